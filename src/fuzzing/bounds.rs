use super::Script;
use crate::expiry::bounds::Bounds;
use crate::slot::Slot;
use std::collections::BTreeSet;

const SLOTS: usize = 48;

/// The last moment there is: the number beyond stands for "never".
const END: u64 = u64::MAX - 1;

/// A tree of bounds beside a sorted list, with a clock that jumps both ways.
pub fn bounds(bytes: &[u8]) {
    let mut script = Script(bytes);
    let start = script.span().min(END);
    let mut trial = Trial {
        bounds: Bounds::default(),
        deadlines: [0; SLOTS],
        waiting: BTreeSet::new(),
        now: start,
        latest: start,
    };
    // So that it knows what time it is.
    trial.pop(0);
    while !script.is_over() {
        trial.step(&mut script);
    }
    trial.conclude();
}

struct Trial {
    bounds: Bounds,
    /// The deadline that counts, of each slot that waits.
    deadlines: [u64; SLOTS],
    waiting: BTreeSet<(u64, usize)>,
    now: u64,
    /// The latest that the tree has seen: time that goes back changes nothing.
    latest: u64,
}

impl Trial {
    fn step(&mut self, script: &mut Script<'_>) {
        let (operation, slot) = (script.byte() % 16, script.slot_below(SLOTS));
        match operation {
            0..=4 => self.schedule(slot, self.latest.saturating_add(script.span())),
            5 => self.schedule(slot, script.span()),
            6 => self.postpone(slot, script.span()),
            7 => {
                self.waiting.remove(&(self.deadlines[slot.index()], slot.index()));
                self.bounds.cancel(slot);
                assert!(!self.bounds.contains(slot));
            }
            8 | 9 => self.now = self.now.saturating_sub(script.span()),
            10..=12 => self.now = self.now.saturating_add(script.span()).min(END),
            13 => self.validate(),
            // A few steps at a time, as a visit of a shard does.
            _ => self.pop(script.below(4)),
        }
    }

    fn schedule(&mut self, slot: Slot, deadline: u64) {
        let (index, deadline) = (slot.index(), deadline.min(END));
        self.waiting.remove(&(self.deadlines[index], index));
        self.deadlines[index] = deadline;
        self.waiting.insert((deadline, index));
        self.bounds.schedule(slot, deadline);
        assert!(self.bounds.contains(slot));
    }

    /// Later than it was scheduled for: the tree learns of it as it pops.
    fn postpone(&mut self, slot: Slot, by: u64) {
        let index = slot.index();
        if self.waiting.remove(&(self.deadlines[index], index)) {
            self.deadlines[index] = self.deadlines[index].saturating_add(by).min(END);
            self.waiting.insert((self.deadlines[index], index));
        }
    }

    fn validate(&self) {
        self.bounds.validate(|slot| self.deadlines[slot.index()]).unwrap();
    }

    fn pop(&mut self, steps: usize) {
        self.latest = self.latest.max(self.now);
        let (mut steps, deadlines) = (steps, self.deadlines);
        let deadline_of = |slot: Slot| deadlines[slot.index()];
        while let Some(slot) = self.bounds.pop_due(self.now, &mut steps, deadline_of) {
            let index = slot.index();
            assert!(self.waiting.remove(&(deadlines[index], index)), "{index} did not wait");
            assert!(deadlines[index] <= self.latest, "{index} is not due");
        }
        assert_eq!(self.bounds.len(), self.waiting.len());
        if steps > 0 {
            let first = self.waiting.first();
            assert!(first.is_none_or(|(deadline, _)| *deadline > self.latest), "{first:?} is due");
        }
    }

    fn conclude(mut self) {
        self.pop(usize::MAX);
        self.validate();
        for slot in (0..SLOTS).map(Slot::from_index) {
            let is_waiting = self.waiting.contains(&(self.deadlines[slot.index()], slot.index()));
            assert_eq!(self.bounds.contains(slot), is_waiting);
        }
        self.now = END;
        self.pop(usize::MAX);
        assert_eq!(self.bounds.len(), 0, "everything is due at the end of time");
    }
}
