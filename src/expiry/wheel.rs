//! Which deadlines have passed? A hierarchical timer wheel.
//!
//! Varghese and Lauck, "Hashed and hierarchical timing wheels" (SOSP '87).
//! Eight wheels of 64 buckets; a bucket of the first spans about 1 ms, of each
//! further one 64 times as much:
//!
//! ```text
//!   wheel      0        1       2        3        4        5        6      7
//!   bucket   1 ms    67 ms   4.3 s   4.6 min   4.9 h   13 days   2.3 a   146 a
//! ```
//!
//! A deadline's wheel is given by the highest digit, in base 64, in which it
//! differs from now, and its bucket by that digit. When time reaches a bucket's
//! span, the whole bucket is put on a pile, at no cost, whatever it holds. The
//! pile is worked off a few entries at a time: those that are due leave, the
//! others go to a finer wheel. So an entry is moved at most once a wheel,
//! nobody waits for a large bucket, and there is no other search.

use crate::slot::Slot;
use crate::slot::links::{Links, List};

const WHEELS: usize = 8;
const DIGIT_BITS: u32 = 6;
const BUCKETS: usize = 1 << DIGIT_BITS;

/// 2^20 ns, about a millisecond, is the finest span.
const FINEST_BITS: u32 = 20;

/// No list, or the slot is in none.
const NOWHERE: u16 = u16::MAX;

fn shift(wheel: usize) -> u32 {
    FINEST_BITS + DIGIT_BITS * wheel as u32
}

fn digit(time: u64, wheel: usize) -> usize {
    (time >> shift(wheel)) as usize % BUCKETS
}

/// Slots that have a deadline, by time.
pub(crate) struct Wheel {
    links: Links,
    /// Lists have numbers, so that a slot knows its list wherever that is.
    lists: Vec<List>,
    unused: Vec<u16>,
    buckets: [[u16; BUCKETS]; WHEELS],
    /// A bit for every bucket that has a list.
    filled: [u64; WHEELS],
    /// Lists whose span has begun, those of the finest wheel on top.
    pile: Vec<u16>,
    list_of: Vec<u16>,
    len: usize,
    now: u64,
}

impl Wheel {
    /// A wheel that has seen the time `now`, in nanoseconds.
    pub(crate) fn new(now: u64) -> Self {
        Wheel {
            links: Links::default(),
            lists: Vec::new(),
            unused: Vec::new(),
            buckets: [[NOWHERE; BUCKETS]; WHEELS],
            filled: [0; WHEELS],
            pile: Vec::new(),
            list_of: Vec::new(),
            len: 0,
            now,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether `slot` waits for its deadline here.
    pub(crate) fn contains(&self, slot: Slot) -> bool {
        self.list_of.get(slot.index()).is_some_and(|list| *list != NOWHERE)
    }

    /// Puts `slot` where it is found once `deadline` has passed, wherever it
    /// was before.
    pub(crate) fn schedule(&mut self, slot: Slot, deadline: u64) {
        self.cancel(slot);
        if self.list_of.len() <= slot.index() {
            self.list_of.resize(slot.index() + 1, NOWHERE);
        }
        let list = match deadline <= self.now {
            true => self.list_of_the_due(),
            false => self.list_for(deadline),
        };
        self.lists[usize::from(list)].push_hottest(&mut self.links, slot);
        self.list_of[slot.index()] = list;
        self.len += 1;
    }

    pub(crate) fn cancel(&mut self, slot: Slot) {
        let Some(list) = self.list_of.get_mut(slot.index()) else { return };
        let list = std::mem::replace(list, NOWHERE);
        if list != NOWHERE {
            self.lists[usize::from(list)].remove(&mut self.links, slot);
            self.len -= 1;
        }
    }

    /// Puts `to`, which does not wait here, in the place of `from`, if that
    /// does.
    pub(crate) fn follow(&mut self, from: Slot, to: Slot) {
        let Some(list) = self.list_of.get_mut(from.index()) else { return };
        let list = std::mem::replace(list, NOWHERE);
        if list == NOWHERE {
            return;
        }
        if self.list_of.len() <= to.index() {
            self.list_of.resize(to.index() + 1, NOWHERE);
        }
        self.list_of[to.index()] = list;
        self.lists[usize::from(list)].replace(&mut self.links, from, to);
    }

    /// Gives back the memory for slots from `end` on, none of which waits here.
    pub(crate) fn cut(&mut self, end: usize) {
        self.links.cut(end);
        self.list_of.truncate(end);
        self.list_of.shrink_to_fit();
    }

    /// Takes out one slot whose deadline has passed at `now`. `deadline_of`
    /// gives the deadline that counts: a slot that has got a later one than it
    /// was scheduled for is scheduled anew. Each slot that is looked at costs
    /// one of `steps`; when they are used up, the rest waits for another call.
    pub(crate) fn pop_due(
        &mut self,
        now: u64,
        steps: &mut usize,
        deadline_of: impl Fn(Slot) -> u64,
    ) -> Option<Slot> {
        self.advance(now);
        while *steps > 0 {
            let list = *self.pile.last()?;
            let Some(slot) = self.lists[usize::from(list)].coldest() else {
                self.pile.pop();
                self.unused.push(list);
                continue;
            };
            *steps -= 1;
            self.cancel(slot);
            let deadline = deadline_of(slot);
            if deadline <= self.now {
                return Some(slot);
            }
            self.schedule(slot, deadline);
        }
        None
    }

    /// Puts the buckets whose span has begun on the pile. The coarse ones
    /// first, so that what is due is worked off before what is only moved.
    fn advance(&mut self, now: u64) {
        if now <= self.now {
            return;
        }
        for wheel in (0..WHEELS).rev() {
            let bits = shift(wheel);
            let is_same_bucket = now >> bits == self.now >> bits;
            // The finest bucket is looked at again even so: some of its
            // deadlines may have passed since.
            if is_same_bucket && wheel > 0 {
                continue;
            }
            let is_same_round = (now >> bits) >> DIGIT_BITS == (self.now >> bits) >> DIGIT_BITS;
            let begun = match is_same_round {
                true => u64::MAX >> (BUCKETS - 1 - digit(now, wheel)),
                false => u64::MAX,
            };
            self.pile_up(wheel, begun);
        }
        self.now = now;
    }

    fn pile_up(&mut self, wheel: usize, buckets: u64) {
        let mut begun = self.filled[wheel] & buckets;
        self.filled[wheel] &= !buckets;
        while begun != 0 {
            let bucket = begun.trailing_zeros() as usize;
            begun &= begun - 1;
            self.pile.push(std::mem::replace(&mut self.buckets[wheel][bucket], NOWHERE));
        }
    }

    /// The list of the bucket for `deadline`, which is after now.
    fn list_for(&mut self, deadline: u64) -> u16 {
        let differs = (deadline ^ self.now) >> FINEST_BITS;
        let wheel = (differs.checked_ilog2().unwrap_or(0) / DIGIT_BITS) as usize;
        let bucket = digit(deadline, wheel);
        if self.buckets[wheel][bucket] == NOWHERE {
            self.buckets[wheel][bucket] = self.unused_list();
            self.filled[wheel] |= 1 << bucket;
        }
        self.buckets[wheel][bucket]
    }

    /// A list on the pile: any will do.
    fn list_of_the_due(&mut self) -> u16 {
        if self.pile.is_empty() {
            let list = self.unused_list();
            self.pile.push(list);
        }
        self.pile[self.pile.len() - 1]
    }

    fn unused_list(&mut self) -> u16 {
        self.unused.pop().unwrap_or_else(|| {
            self.lists.push(List::default());
            (self.lists.len() - 1) as u16
        })
    }

    /// Checks that every slot is in the list it says.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let mut len = 0;
        for (number, list) in self.lists.iter().enumerate() {
            for slot in list.iter(&self.links) {
                len += 1;
                if usize::from(self.list_of[slot.index()]) != number {
                    return Err(format!("wheel: {slot:?} is in list {number}, not where it says"));
                }
            }
        }
        if len != self.len {
            return Err(format!("wheel: {len} slots are in lists, but {} counted", self.len));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// xorshift64*: the same jumps every time.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
        }

        /// As likely a few nanoseconds as centuries.
        fn span(&mut self) -> u64 {
            let bits = self.next() % 63;
            self.next() >> (63 - bits)
        }
    }

    #[test]
    fn a_wheel_agrees_with_a_sorted_list_over_a_million_steps_and_jumps() {
        let mut random = Random(0x5EED);
        let mut deadlines = vec![0_u64; 64];
        let mut waiting: BTreeSet<(u64, usize)> = BTreeSet::new();
        let (mut wheel, mut now, mut latest) = (Wheel::new(0), 0_u64, 0_u64);
        for step in 0..1_000_000_u32 {
            let index = random.next() as usize % deadlines.len();
            let slot = Slot::from_index(index);
            match random.next() % 8 {
                0..=3 => {
                    waiting.remove(&(deadlines[index], index));
                    deadlines[index] = latest.saturating_add(random.span());
                    waiting.insert((deadlines[index], index));
                    wheel.schedule(slot, deadlines[index]);
                }
                4 => {
                    waiting.remove(&(deadlines[index], index));
                    wheel.cancel(slot);
                }
                5 => now = now.saturating_sub(random.span()),
                _ if step % 50_000 == 0 => now = u64::MAX - 1,
                _ => now = now.saturating_add(random.span() >> 20),
            }
            if now > u64::MAX / 2 {
                // Start over: a wheel sees 584 years once only.
                (wheel, now, latest) = (Wheel::new(0), 0, 0);
                waiting.clear();
            }
            latest = latest.max(now);
            // Time that goes back changes nothing: what was due stays due.
            let mut steps = usize::MAX;
            while let Some(slot) = wheel.pop_due(now, &mut steps, |s| deadlines[s.index()]) {
                let index = slot.index();
                assert!(deadlines[index] <= latest, "step {step}: {index} is not due");
                assert!(waiting.remove(&(deadlines[index], index)), "step {step}: not waiting");
            }
            assert!(waiting.first().is_none_or(|(deadline, _)| *deadline > latest), "step {step}");
            assert_eq!(wheel.len(), waiting.len());
        }
        wheel.validate().unwrap();
    }

    #[test]
    fn steps_bound_the_work_and_nothing_is_lost_between_calls() {
        let mut wheel = Wheel::new(0);
        for index in 0..1000 {
            wheel.schedule(Slot::from_index(index), 5_000_000_000);
        }
        let (mut due, mut calls) = (0, 0);
        while wheel.len() > 0 {
            let mut steps = 64;
            while wheel.pop_due(5_000_000_000, &mut steps, |_| 5_000_000_000).is_some() {
                due += 1;
            }
            calls += 1;
            assert!(calls <= 16);
        }
        assert_eq!((due, calls), (1000, 16));
    }

    #[test]
    fn a_deadline_that_moved_on_is_met_at_its_new_time() {
        let mut wheel = Wheel::new(0);
        let slot = Slot::from_index(3);
        wheel.schedule(slot, 1_000_000_000);
        let mut steps = usize::MAX;
        assert_eq!(wheel.pop_due(1_000_000_000, &mut steps, |_| 9_000_000_000), None);
        assert_eq!(wheel.pop_due(8_999_999_999, &mut steps, |_| 9_000_000_000), None);
        assert_eq!(wheel.pop_due(9_000_000_000, &mut steps, |_| 9_000_000_000), Some(slot));
        assert!(!wheel.contains(slot));
    }
}
