//! Looks after the sampled entries of a shard, so that their hits are seen
//! soon after they happen and nearly in order, although readers only count.
//!
//! One sampled entry is looked at for each eviction, or for several, so that
//! each has its turn some times while the shard's entries are replaced once.

use super::guide::Guide;
use crate::slot::lanes::Lanes;
use crate::slot::sketch::Sketch;
use crate::slot::{Residents, Seen, Slot};

/// Looks at each sampled entry in the time in which all entries are replaced.
const ROUNDS: usize = 8;

/// Marks beside the lane: the slot's entry is in the sample;
pub(super) const WATCHED: u8 = 1 << 7;
/// its noted hit was reported;
const REPORTED: u8 = 1 << 6;
/// the slot is in the list, whatever entry it has by now.
const LISTED: u8 = 1 << 5;

#[derive(Default)]
pub(super) struct Watch {
    slots: Vec<Slot>,
    /// Who has the next turn.
    turn: usize,
    /// A turn is due when this reaches the number of entries.
    due: usize,
}

impl Watch {
    pub(super) fn add<const N: usize>(&mut self, slot: Slot, lanes: &mut Lanes<N>) {
        let marks = lanes.marks(slot);
        if marks & LISTED == 0 {
            self.slots.push(slot);
        }
        lanes.set_marks(slot, LISTED | WATCHED);
    }

    /// The entry of `slot` has left; the list will notice.
    #[inline]
    pub(super) fn forget<const N: usize>(slot: Slot, lanes: &mut Lanes<N>) {
        let marks = lanes.marks(slot);
        if marks != 0 {
            lanes.set_marks(slot, marks & LISTED);
        }
    }

    /// The entry of `slot` has left, and there is another, which is in the sample
    /// or not. Returns whether it is.
    #[inline]
    pub(super) fn pass_on<const N: usize>(
        &mut self,
        slot: Slot,
        is_sampled: bool,
        lanes: &mut Lanes<N>,
    ) -> bool {
        Self::forget(slot, lanes);
        if is_sampled {
            self.add(slot, lanes);
        }
        is_sampled
    }

    /// The entry of `from` is at `to` now.
    pub(super) fn follow<const N: usize>(&mut self, from: Slot, to: Slot, lanes: &mut Lanes<N>) {
        let marks = lanes.marks(from);
        Self::forget(from, lanes);
        if marks & WATCHED != 0 {
            self.add(to, lanes);
            lanes.set_marks(to, marks | LISTED);
        }
    }

    /// No entry stands at `end` or beyond.
    pub(super) fn cut(&mut self, end: usize) {
        self.slots.retain(|slot| slot.index() < end);
        self.slots.shrink_to_fit();
    }

    /// Gives the next sampled entry its turn, if one is due.
    #[inline]
    pub(super) fn look<const N: usize>(
        &mut self,
        lanes: &mut Lanes<N>,
        sketch: &mut Sketch,
        guide: &Guide,
        all: &dyn Residents,
    ) {
        let entries = lanes.total_len();
        self.due = (self.due + self.slots.len() * ROUNDS).min(2 * entries);
        if self.due < entries || self.slots.is_empty() {
            return;
        }
        self.due -= entries;
        self.take_turn(lanes, sketch, guide, all);
    }

    #[inline(never)]
    fn take_turn<const N: usize>(
        &mut self,
        lanes: &mut Lanes<N>,
        sketch: &mut Sketch,
        guide: &Guide,
        all: &dyn Residents,
    ) {
        self.turn = if self.turn < self.slots.len() { self.turn } else { 0 };
        let slot = self.slots[self.turn];
        let marks = lanes.marks(slot);
        let seen = all.look(slot);
        if marks & WATCHED == 0 || !guide.samples(seen.hash()) {
            lanes.set_marks(slot, 0);
            self.slots.swap_remove(self.turn);
            return;
        }
        self.turn += 1;
        let fresh = unreported(seen.hits, marks);
        if fresh == 0 {
            return;
        }
        if seen.hits > 1 {
            // One is left for the hand, and readers have room to count on.
            sketch.add(seen.hash(), seen.hits - 1);
            all.set_hits(slot, 1);
        }
        lanes.set_marks(slot, marks | REPORTED);
        guide.report(seen.hash(), fresh);
    }

    /// The hand takes all noted hits of `slot`, which has some.
    #[inline]
    pub(super) fn take<const N: usize>(
        slot: Slot,
        seen: Seen,
        lanes: &mut Lanes<N>,
        guide: &Guide,
    ) {
        let marks = lanes.marks(slot);
        if marks & WATCHED == 0 {
            return;
        }
        lanes.set_marks(slot, marks & !REPORTED);
        let fresh = unreported(seen.hits, marks);
        if fresh > 0 {
            guide.report(seen.hash(), fresh);
        }
    }
}

/// How many of so many hits the guide has not heard of.
#[inline]
fn unreported(hits: u8, marks: u8) -> u8 {
    hits.saturating_sub(u8::from(marks & REPORTED != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Entries of weight 1, and the hits noted of each.
    struct Noted(Vec<Cell<u8>>);

    impl Residents for Noted {
        fn hash(&self, slot: Slot) -> u32 {
            slot.raw().wrapping_mul(0x9E37_79B9)
        }

        fn weight(&self, _slot: Slot) -> u32 {
            1
        }

        fn hits(&self, slot: Slot) -> u8 {
            self.0[slot.index()].get()
        }

        fn set_hits(&self, slot: Slot, hits: u8) {
            self.0[slot.index()].set(hits);
        }
    }

    /// A hundred entries, of which the first ten are in the sample.
    fn sampled() -> (Watch, Lanes<2>, Sketch, Noted) {
        let all = Noted(vec![Cell::new(0); 100]);
        let (mut watch, mut lanes) = (Watch::default(), Lanes::default());
        for slot in (0..100).map(Slot::from_index) {
            lanes.push(0, slot, 1);
            if slot.index() < 10 {
                watch.add(slot, &mut lanes);
            }
        }
        (watch, lanes, Sketch::default(), all)
    }

    #[test]
    fn each_in_the_sample_has_eight_turns_while_all_are_replaced_once() {
        let (mut watch, mut lanes, mut sketch, all) = sampled();
        let guide = Guide::default();
        let mut turns = [0; 10];
        for _ in 0..100 {
            all.0.iter().for_each(|hits| hits.set(3));
            watch.look(&mut lanes, &mut sketch, &guide, &all);
            for (turns, hits) in turns.iter_mut().zip(&all.0) {
                *turns += usize::from(hits.get() == 1);
            }
            assert!(all.0[10..].iter().all(|hits| hits.get() == 3), "not in the sample");
        }
        assert_eq!(turns, [ROUNDS; 10]);
    }

    #[test]
    fn a_slot_whose_entry_has_left_is_in_the_list_no_more_than_a_round() {
        let (mut watch, mut lanes, mut sketch, all) = sampled();
        let gone = Slot::from_index(3);
        Watch::forget(gone, &mut lanes);
        for _ in 0..100 {
            watch.look(&mut lanes, &mut sketch, &Guide::default(), &all);
        }
        assert_eq!((watch.slots.contains(&gone), watch.slots.len()), (false, 9));
        assert_eq!(lanes.marks(gone), 0, "its next entry may be listed");
    }

    #[test]
    fn the_guide_hears_of_a_hit_once_from_the_turn_or_from_the_hand() {
        let (mut watch, mut lanes, mut sketch, all) = sampled();
        let slot = Slot::from_index(0);
        all.set_hits(slot, 1);
        let first = Guide::default();
        while lanes.marks(slot) & REPORTED == 0 {
            watch.look(&mut lanes, &mut sketch, &first, &all);
        }
        // Told of more entries than a sample may have, a guide takes fewer
        // keys from the next report on.
        let heard = |guide: &Guide| !guide.describe().ends_with("1 key in 1");
        let many = || {
            let guide = Guide::default();
            guide.recount(0, 100_000);
            guide
        };
        let again = many();
        Watch::take(slot, all.look(slot), &mut lanes, &again);
        assert!(!heard(&again), "it was told by the turn");
        let anew = many();
        Watch::take(slot, all.look(slot), &mut lanes, &anew);
        assert!(heard(&anew), "the hand took the first, and this is another");
    }
}
