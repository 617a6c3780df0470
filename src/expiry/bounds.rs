//! Which deadlines have passed? A tree of lower bounds.
//!
//! The deadlines themselves lie in an array, by slot. A leaf of this tree stands
//! for 32 neighbours there, and keeps a time before which none of them ends; a
//! node above it keeps the least of its sixteen children. That is a tournament
//! (Knuth, "The Art of Computer Programming", vol. 3, 5.2.3), of which all but
//! the lowest round is always up to date:
//!
//! ```text
//!                      3                     due at 5: go down where a bound is
//!            ┌─────────┴─────────┐           5 or less, to a leaf
//!            3                   8
//!      ┌─────┼─────┐       ┌─────┼─────┐
//!      9     3     7       …     8     …     a bound of each leaf
//!           9 4 6                            the deadlines now: nobody ends at 3
//! ```
//!
//! When an entry leaves or its deadline moves on, the bound of its leaf stays.
//! Only when time reaches it, somebody looks at the leaf, and it gets the least
//! deadline that is there then. A bound was a deadline once: so whoever looks
//! finds an entry that has ended, or one has left or moved on since. Each look
//! is paid for by such an entry, and there is no other search.
//!
//! Next to a wheel of timers (Varghese and Lauck, SOSP '87), which moves an entry
//! a few times at O(1) each, this takes O(log n) with a base of 16, and a few
//! bits an entry instead of links.

use super::NEVER;
use crate::slot::Slot;

/// Slots of a leaf: as many as a `u32` has bits.
const LEAF: usize = u32::BITS as usize;

/// Children of a node: two cache lines of bounds.
const CHILDREN: usize = 16;

/// Slots that have a deadline, by time.
#[derive(Default)]
pub(crate) struct Bounds {
    /// For each leaf, a bit for each slot that waits for its deadline.
    waiting: Vec<u32>,
    /// The bounds of the leaves, of the nodes above them, and so on: the last
    /// level has one.
    levels: Vec<Vec<u64>>,
    /// The leaf that is being worked off, and the slots of it that nobody has
    /// looked at yet.
    open: Option<(usize, u32)>,
    len: usize,
    /// The latest time that it was told.
    now: u64,
}

fn place(slot: Slot) -> (usize, u32) {
    (slot.index() / LEAF, 1 << (slot.index() % LEAF))
}

/// The slots of `leaf` whose bits are set.
fn slots(leaf: usize, mut bits: u32) -> impl Iterator<Item = Slot> {
    std::iter::from_fn(move || {
        let bit = (bits != 0).then_some(bits.trailing_zeros())?;
        bits &= bits - 1;
        Some(Slot::from_index(leaf * LEAF + bit as usize))
    })
}

fn least(bounds: &[u64]) -> u64 {
    bounds.iter().copied().min().unwrap_or(NEVER)
}

/// Of `level`, what the node number `parent` above it stands for.
fn children(level: &[u64], parent: usize) -> &[u64] {
    let first = parent * CHILDREN;
    &level[first..level.len().min(first + CHILDREN)]
}

impl Bounds {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether `slot` waits for its deadline here.
    pub(crate) fn contains(&self, slot: Slot) -> bool {
        let (leaf, bit) = place(slot);
        self.waiting.get(leaf).is_some_and(|waiting| waiting & bit != 0)
    }

    /// Lets `slot` be found once `deadline` has passed. It may wait for another
    /// one already.
    pub(crate) fn schedule(&mut self, slot: Slot, deadline: u64) {
        let (leaf, bit) = place(slot);
        if leaf >= self.waiting.len() {
            self.grow(leaf + 1);
        }
        self.len += usize::from(self.waiting[leaf] & bit == 0);
        self.waiting[leaf] |= bit;
        let mut node = leaf;
        for level in &mut self.levels {
            if level[node] <= deadline {
                break;
            }
            level[node] = deadline;
            node /= CHILDREN;
        }
    }

    /// `slot` waits no longer.
    #[inline]
    pub(crate) fn cancel(&mut self, slot: Slot) {
        let (leaf, bit) = place(slot);
        if let Some(waiting) = self.waiting.get_mut(leaf) {
            self.len -= usize::from(*waiting & bit != 0);
            *waiting &= !bit;
        }
    }

    /// What waits at `from` waits at `to` from now on.
    pub(crate) fn follow(&mut self, from: Slot, to: Slot) {
        if self.contains(from) {
            self.cancel(from);
            // Its leaf's bound is not later than its deadline.
            let bound = self.levels[0][place(from).0];
            self.schedule(to, bound);
        }
    }

    /// Gives back the memory for slots from `end` on, none of which waits here.
    pub(crate) fn cut(&mut self, end: usize) {
        let leaves = end.div_ceil(LEAF);
        if leaves >= self.waiting.len() {
            return;
        }
        let bounds: Vec<u64> = self.levels[0][..leaves].to_vec();
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.truncate(leaves);
        *self = Bounds { now: self.now, ..Bounds::default() };
        if leaves > 0 {
            self.grow(leaves);
        }
        for (leaf, (waiting, bound)) in waiting.into_iter().zip(bounds).enumerate() {
            for slot in slots(leaf, waiting) {
                self.schedule(slot, bound);
            }
        }
    }

    /// Takes out one slot whose deadline has passed at `now`. `deadline_of` gives
    /// the deadline that counts, which may be later than the one that was
    /// scheduled, but not earlier. Each slot that is taken out costs one of
    /// `steps`, and so does each leaf that is finished; when they are used up,
    /// the rest waits for another call. `now` is a time, not "never".
    pub(crate) fn pop_due(
        &mut self,
        now: u64,
        steps: &mut usize,
        deadline_of: impl Fn(Slot) -> u64,
    ) -> Option<Slot> {
        debug_assert!(now < NEVER);
        self.now = self.now.max(now);
        while *steps > 0 {
            let (leaf, unseen) = self.open.or_else(|| self.due_leaf())?;
            *steps -= 1;
            let unseen = unseen & self.waiting[leaf];
            let due = slots(leaf, unseen).find(|slot| deadline_of(*slot) <= self.now);
            let Some(slot) = due else {
                self.finish(leaf, &deadline_of);
                continue;
            };
            self.cancel(slot);
            let (_, bit) = place(slot);
            // Those before it were looked at.
            self.open = Some((leaf, unseen & !bit & !(bit - 1)));
            return Some(slot);
        }
        None
    }

    /// Whether [`pop_due`](Bounds::pop_due) would have something to look at.
    #[inline]
    pub(crate) fn is_due(&self, now: u64) -> bool {
        let root = self.levels.last().map_or(NEVER, |root| root[0]);
        self.open.is_some() || root <= self.now.max(now)
    }

    /// The first leaf whose bound has been reached, with all its slots.
    fn due_leaf(&self) -> Option<(usize, u32)> {
        let (root, below) = self.levels.split_last()?;
        if root[0] > self.now {
            return None;
        }
        let leaf = below.iter().rev().fold(0, |parent, level| {
            let due = children(level, parent).iter().position(|bound| *bound <= self.now);
            parent * CHILDREN + due.expect("a node keeps the least bound of its children")
        });
        Some((leaf, u32::MAX))
    }

    /// Gives `leaf` a new bound.
    fn finish(&mut self, leaf: usize, deadline_of: impl Fn(Slot) -> u64) {
        self.open = None;
        let bound = slots(leaf, self.waiting[leaf]).map(deadline_of).min().unwrap_or(NEVER);
        self.levels[0][leaf] = bound;
        let mut node = leaf;
        for level in 1..self.levels.len() {
            node /= CHILDREN;
            let bound = least(children(&self.levels[level - 1], node));
            if self.levels[level][node] == bound {
                break;
            }
            self.levels[level][node] = bound;
        }
    }

    /// Makes room for so many leaves.
    #[cold]
    fn grow(&mut self, leaves: usize) {
        self.waiting.resize(leaves, 0);
        let (mut len, mut level) = (leaves, 0);
        loop {
            if level == self.levels.len() {
                // What was the root is the first of its children.
                let bound = self.levels.last().map_or(NEVER, |root| root[0]);
                self.levels.push(vec![bound]);
            }
            self.levels[level].resize(len, NEVER);
            if len == 1 {
                break;
            }
            (len, level) = (len.div_ceil(CHILDREN), level + 1);
        }
    }

    /// Checks that nobody ends before the bounds above it.
    pub(crate) fn validate(&self, deadline_of: impl Fn(Slot) -> u64) -> Result<(), String> {
        let len = self.waiting.iter().map(|bits| bits.count_ones() as usize).sum::<usize>();
        if len != self.len {
            return Err(format!("bounds: {len} slots wait, but {} are counted", self.len));
        }
        for (leaf, bits) in self.waiting.iter().enumerate() {
            let bound = self.levels[0][leaf];
            if let Some(slot) = slots(leaf, *bits).find(|slot| deadline_of(*slot) < bound) {
                return Err(format!("bounds: {slot:?} ends before {bound}, its leaf's"));
            }
        }
        for (below, level) in self.levels.iter().zip(self.levels.iter().skip(1)) {
            let is_least = |node: usize| level[node] == least(children(below, node));
            if !(0..level.len()).all(is_least) {
                return Err("bounds: a node has not the least of its children's".to_owned());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;
    use std::cell::Cell;
    use std::collections::BTreeSet;

    fn agree_with_a_sorted_list(slots: usize, seed: u64, steps: u32) {
        let mut random = Random(seed);
        let mut deadlines = vec![0_u64; slots];
        let mut waiting: BTreeSet<(u64, usize)> = BTreeSet::new();
        let (mut bounds, mut now, mut latest) = (Bounds::default(), 0_u64, 0_u64);
        for step in 0..steps {
            let index = random.next() as usize % deadlines.len();
            let slot = Slot::from_index(index);
            match random.below(8) {
                0..=2 => {
                    waiting.remove(&(deadlines[index], index));
                    deadlines[index] = latest.saturating_add(random.span());
                    waiting.insert((deadlines[index], index));
                    bounds.schedule(slot, deadlines[index]);
                }
                // Moved on by a reader: nobody says so.
                3 if waiting.remove(&(deadlines[index], index)) => {
                    deadlines[index] = deadlines[index].saturating_add(random.span());
                    waiting.insert((deadlines[index], index));
                }
                4 if index % 2 == 0 => {
                    waiting.remove(&(deadlines[index], index));
                    bounds.cancel(slot);
                }
                // Moves to another slot, if nobody waits there.
                4 => {
                    let to = random.next() as usize % deadlines.len();
                    if !waiting.contains(&(deadlines[to], to)) {
                        deadlines[to] = deadlines[index];
                        if waiting.remove(&(deadlines[index], index)) {
                            waiting.insert((deadlines[to], to));
                        }
                        bounds.follow(slot, Slot::from_index(to));
                    }
                }
                5 => now = now.saturating_sub(random.span()),
                _ if step % 50_000 == 0 => now = u64::MAX - 1,
                _ => now = now.saturating_add(random.span() >> 20),
            }
            if now > u64::MAX / 2 {
                // Start over: there are 584 years once only.
                (bounds, now, latest) = (Bounds::default(), 0, 0);
                waiting.clear();
            }
            latest = latest.max(now);
            // Time that goes back changes nothing: what was due stays due.
            let is_due = waiting.first().is_some_and(|(deadline, _)| *deadline <= latest);
            assert!(bounds.is_due(now) || !is_due, "step {step}");
            let mut steps = usize::MAX;
            while let Some(slot) = bounds.pop_due(now, &mut steps, |s| deadlines[s.index()]) {
                let index = slot.index();
                assert!(deadlines[index] <= latest, "step {step}: {index} is not due");
                assert!(waiting.remove(&(deadlines[index], index)), "step {step}: not waiting");
            }
            assert!(waiting.first().is_none_or(|(deadline, _)| *deadline > latest), "step {step}");
            assert_eq!(bounds.len(), waiting.len());
            assert!(!bounds.is_due(now), "step {step}");
        }
        bounds.validate(|s| deadlines[s.index()]).unwrap();
    }

    #[test]
    fn bounds_agree_with_a_sorted_list_over_a_million_steps_and_jumps() {
        agree_with_a_sorted_list(64, 0x5EED, 1_000_000);
    }

    #[test]
    fn bounds_of_many_levels_agree_with_a_sorted_list() {
        agree_with_a_sorted_list(20_000, 0xF00D, 300_000);
    }

    #[test]
    fn steps_bound_the_work_and_nothing_is_lost_between_calls() {
        let mut bounds = Bounds::default();
        for index in 0..1000 {
            bounds.schedule(Slot::from_index(index), 5);
        }
        let (mut due, mut calls) = (0, 0);
        while bounds.len() > 0 {
            let mut steps = 64;
            while bounds.pop_due(5, &mut steps, |_| 5).is_some() {
                due += 1;
            }
            calls += 1;
            // A step for each slot, and one for each of 32 leaves.
            assert!(calls <= 17);
        }
        assert_eq!((due, calls), (1000, 17));
    }

    #[test]
    fn what_is_left_of_many_slots_is_still_met_at_its_time() {
        for left in [0, 1, 31, 32, 33, 700] {
            let mut bounds = Bounds::default();
            for index in 0..5000 {
                bounds.schedule(Slot::from_index(index), 10 + index as u64);
            }
            (left..5000).for_each(|index| bounds.cancel(Slot::from_index(index)));
            bounds.cut(left);
            let deadline_of = |slot: Slot| 10 + slot.index() as u64;
            bounds.validate(deadline_of).unwrap();
            assert!(bounds.waiting.len() <= left.div_ceil(LEAF));
            for now in 0..10 + left as u64 {
                let due = bounds.pop_due(now, &mut { usize::MAX }, deadline_of);
                assert_eq!(due.map(|slot| slot.index() as u64), now.checked_sub(10));
            }
            assert_eq!(bounds.len(), 0);
            bounds.schedule(Slot::from_index(4000), 7);
            assert!(bounds.contains(Slot::from_index(4000)));
        }
    }

    #[test]
    fn a_deadline_that_moved_on_is_met_at_its_new_time() {
        let mut bounds = Bounds::default();
        let slot = Slot::from_index(3);
        bounds.schedule(slot, 1_000);
        let mut steps = usize::MAX;
        assert_eq!(bounds.pop_due(1_000, &mut steps, |_| 9_000), None);
        assert_eq!(bounds.pop_due(8_999, &mut steps, |_| 9_000), None);
        assert_eq!(bounds.pop_due(9_000, &mut steps, |_| 9_000), Some(slot));
        assert!(!bounds.contains(slot));
    }

    #[test]
    fn slots_are_looked_at_in_proportion_to_those_that_ended_or_left() {
        const SLOTS: usize = 100_000;
        let mut bounds = Bounds::default();
        let mut deadlines: Vec<u64> = (0..SLOTS as u64).collect();
        for (index, deadline) in deadlines.iter().enumerate() {
            bounds.schedule(Slot::from_index(index), *deadline);
        }
        let looks = Cell::new(0);
        let (mut now, mut moved) = (0, 0);
        let mut random = Random(0x5EED);
        for _ in 0..1000 {
            for _ in 0..10 {
                // Moved on, as if it was used.
                let index = random.next() as usize % SLOTS;
                deadlines[index] = now + SLOTS as u64;
                moved += 1;
            }
            now += 10;
            let mut steps = usize::MAX;
            let deadline_of = |slot: Slot| {
                looks.set(looks.get() + 1);
                deadlines[slot.index()]
            };
            while bounds.pop_due(now, &mut steps, deadline_of).is_some() {}
        }
        let ended = SLOTS - bounds.len();
        assert!(ended > 8000, "{ended}");
        // A leaf is read twice for each of them at the most.
        assert!(looks.get() <= 2 * LEAF * (ended + moved + 1000), "{looks:?}");
    }
}
