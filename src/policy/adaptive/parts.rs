//! The window and the main part: a clock each, and in a cache of unequal
//! weights one for each class of weight.
//!
//! ```text
//!   heavier than most   A B C D      B and K and X are the oldest of their
//!   like most           K L M N O    class; who has taken up most room for
//!   lighter than most   X Y          longest, unread, is the coldest of all
//! ```
//!
//! Whoever takes up much has to be used the more often for it, so what leaves
//! first is what has the greatest product of weight and age. To find it, it is
//! enough to compare the oldest of each class, if in a class all weigh the same
//! to a factor of two (Aggarwal, Wolf and Yu, "Caching on the World Wide Web",
//! IEEE TKDE 1999: pyramidal selection).

use crate::slot::lanes::Lanes;
use crate::slot::{Residents, Slot};

pub(super) const WINDOW: usize = 0;
pub(super) const MAIN: usize = 1;
/// Who does not help when weight is needed waits here, out of the way.
pub(super) const WEIGHTLESS: usize = 2;

/// From a 128th of the mean weight to 128 times as much, by powers of two.
const CLASSES: usize = 15;
/// The class of those that weigh as much as the mean.
const MEAN: usize = CLASSES / 2;

const LANES: usize = 2 * CLASSES + 1;

/// Where the entries of `part` stand while there are no classes.
#[inline]
fn only_lane(part: usize) -> usize {
    part * CLASSES + if part == WEIGHTLESS { 0 } else { MEAN }
}

#[derive(Default)]
pub(super) struct Parts {
    pub(super) lanes: Lanes<LANES>,
    /// Of each part, the classes that entries have come to, as bits.
    classes: [u16; 3],
    /// Entries go by their weight. As long as none does, each part is one clock.
    is_classed: bool,
    /// When each entry came to the hot end of its clock, once they are classed.
    came: Vec<u32>,
    /// Arrivals at the hot ends.
    now: u32,
}

impl Parts {
    /// From now on, weights count.
    pub(super) fn classify(&mut self) {
        self.is_classed = true;
    }

    pub(super) fn is_classed(&self) -> bool {
        self.is_classed
    }

    /// The mean weight of all entries, if that is of any interest.
    #[inline]
    pub(super) fn unit(&self) -> u64 {
        match self.is_classed {
            true => self.lanes.total_weight() / self.lanes.total_len().max(1) as u64,
            false => 1,
        }
    }

    /// Which part `slot` stands in.
    pub(super) fn part(&self, slot: Slot) -> usize {
        self.lanes.lane(slot) / CLASSES
    }

    #[inline]
    pub(super) fn push(&mut self, part: usize, slot: Slot, weight: u32) {
        let lane = self.enter(part, slot, weight);
        self.lanes.push(lane, slot, weight);
    }

    /// Moves `slot` from where it stands to the hot end of `part`.
    pub(super) fn move_to(&mut self, part: usize, slot: Slot, weight: u32) {
        let lane = self.enter(part, slot, weight);
        self.lanes.move_to(lane, slot, weight);
    }

    /// Notes that `slot` comes to the hot end of the lane that is returned.
    #[inline]
    fn enter(&mut self, part: usize, slot: Slot, weight: u32) -> usize {
        match self.is_classed && part != WEIGHTLESS {
            true => self.enter_class(part, slot, weight),
            false => only_lane(part),
        }
    }

    #[inline(never)]
    fn enter_class(&mut self, part: usize, slot: Slot, weight: u32) -> usize {
        if slot.index() >= self.came.len() {
            self.came.resize(slot.index() + 1, self.now);
        }
        self.now = self.now.wrapping_add(1);
        self.came[slot.index()] = self.now;
        let (whole, entries) = (self.lanes.total_weight().max(1), self.lanes.total_len().max(1));
        // Logarithms of base 2, to the whole: a class is a guess in any case.
        let above_mean =
            (weight.max(1).ilog2() + entries.ilog2()) as isize - whole.ilog2() as isize;
        let class = (MEAN as isize + above_mean).clamp(0, CLASSES as isize - 1) as usize;
        self.classes[part] |= 1 << class;
        part * CLASSES + class
    }

    /// Sends `slot`, which is the coldest of `part`, round once more.
    #[inline]
    pub(super) fn turn(&mut self, part: usize, slot: Slot, weight: u32) {
        match self.is_classed {
            true => self.move_to(part, slot, weight),
            false => self.lanes.turn(only_lane(part)),
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, slot: Slot, weight: u32) {
        self.lanes.remove(slot, weight);
    }

    /// As [`coldest`](Parts::coldest), as long as there are no classes.
    #[inline(always)]
    pub(super) fn first(&self, part: usize) -> Option<Slot> {
        self.lanes.coldest(only_lane(part))
    }

    /// As [`len`](Parts::len), as long as there are no classes.
    #[inline(always)]
    pub(super) fn count(&self, part: usize) -> usize {
        self.lanes.len(only_lane(part))
    }

    /// Puts a newcomer at the hot end of `part` that takes the slot of one who
    /// leaves. As long as there are no classes.
    #[inline(always)]
    pub(super) fn hand_over(&mut self, slot: Slot, part: usize) {
        match self.first(part) == Some(slot) {
            true => self.lanes.turn(only_lane(part)),
            false => self.lanes.move_to(only_lane(part), slot, 1),
        }
    }

    pub(super) fn replace(&mut self, from: Slot, to: Slot) {
        self.lanes.replace(from, to);
        if let Some(came) = self.came.get(from.index()).copied() {
            if to.index() >= self.came.len() {
                self.came.resize(to.index() + 1, self.now);
            }
            self.came[to.index()] = came;
        }
    }

    pub(super) fn reweigh(&mut self, slot: Slot, was: u32, all: &dyn Residents) {
        self.lanes.reweigh(slot, was, all);
        let (part, is) = (self.part(slot), all.weight(slot));
        if part == WEIGHTLESS && is > 0 {
            self.move_to(MAIN, slot, is);
        } else if self.is_classed && part != WEIGHTLESS && is != was {
            self.move_to(part, slot, is);
        }
    }

    /// No entry stands at `end` or beyond.
    pub(super) fn cut(&mut self, end: usize) {
        self.lanes.cut(end);
        self.came.truncate(end);
        self.came.shrink_to_fit();
    }

    /// Who leaves `part` first, whether or not it was read.
    #[inline]
    pub(super) fn coldest(&self, part: usize) -> Option<Slot> {
        match self.is_classed {
            true => self.largest_and_oldest(part),
            false => self.lanes.coldest(only_lane(part)),
        }
    }

    #[inline(never)]
    fn largest_and_oldest(&self, part: usize) -> Option<Slot> {
        let heads = self.lanes_of(part).filter_map(|lane| self.lanes.coldest(lane));
        heads.max_by_key(|slot| self.room_taken(*slot))
    }

    /// Weight times age, in units that are the same for all.
    fn room_taken(&self, slot: Slot) -> u64 {
        let came = self.came.get(slot.index()).copied().unwrap_or(0);
        let age = u64::from(self.now.wrapping_sub(came)) + 1;
        age << (self.lanes.lane(slot) % CLASSES)
    }

    fn lanes_of(&self, part: usize) -> impl Iterator<Item = usize> + use<> {
        let mut classes = self.classes[part] | 1 << (only_lane(part) - part * CLASSES);
        std::iter::from_fn(move || {
            let class = (classes != 0).then(|| classes.trailing_zeros() as usize)?;
            classes &= classes - 1;
            Some(part * CLASSES + class)
        })
    }

    #[inline]
    pub(super) fn weight(&self, part: usize) -> u64 {
        match self.is_classed {
            true => self.weight_of_classes(part),
            false => self.lanes.weight(only_lane(part)),
        }
    }

    #[inline(never)]
    fn weight_of_classes(&self, part: usize) -> u64 {
        self.lanes_of(part).map(|lane| self.lanes.weight(lane)).sum()
    }

    pub(super) fn len(&self, part: usize) -> usize {
        self.lanes_of(part).map(|lane| self.lanes.len(lane)).sum()
    }

    /// From the coldest to the hottest of `part`, but for what was read.
    pub(super) fn coldest_first(&self, part: usize) -> Vec<Slot> {
        let mut slots: Vec<Slot> =
            self.lanes_of(part).flat_map(|lane| self.lanes.iter(lane)).collect();
        if self.is_classed {
            slots.sort_by_cached_key(|slot| std::cmp::Reverse(self.room_taken(*slot)));
        }
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(index: usize) -> Slot {
        Slot::from_index(index)
    }

    /// Takes out the coldest of the main part until nobody is left.
    fn order(mut parts: Parts, weights: &[u32]) -> Vec<usize> {
        let next = |parts: &mut Parts| {
            let coldest = parts.coldest(MAIN)?;
            parts.remove(coldest, weights[coldest.index()]);
            Some(coldest.index())
        };
        std::iter::from_fn(|| next(&mut parts)).collect()
    }

    fn with(weights: &[u32]) -> Parts {
        let mut parts = Parts::default();
        parts.classify();
        // So that the mean is known from the start.
        weights.iter().enumerate().for_each(|(at, weight)| parts.push(WINDOW, slot(at), *weight));
        weights.iter().enumerate().for_each(|(at, w)| parts.move_to(MAIN, slot(at), *w));
        parts
    }

    #[test]
    fn who_takes_up_more_room_leaves_earlier_and_equals_in_their_order() {
        let weights = [10, 10, 80, 10, 80, 10];
        assert_eq!(order(with(&weights), &weights), [2, 4, 0, 1, 3, 5]);
    }

    #[test]
    fn age_makes_up_for_weight() {
        // When the last has come, the first is 41 arrivals old and the heavy
        // one 1; it weighs 16 times as much.
        let mut weights = vec![10; 41];
        weights.push(160);
        assert_eq!(order(with(&weights), &weights)[..2], [0, 1]);
    }

    #[test]
    fn without_classes_a_part_is_one_queue_whatever_entries_weigh() {
        let mut parts = Parts::default();
        let weights = [1, 500, 1, 30];
        weights.iter().enumerate().for_each(|(at, weight)| parts.push(MAIN, slot(at), *weight));
        parts.turn(MAIN, slot(0), 1);
        assert_eq!((parts.weight(MAIN), parts.len(MAIN)), (532, 4));
        assert_eq!(order(parts, &weights), [1, 2, 3, 0]);
    }

    #[test]
    fn an_entry_that_moves_keeps_its_age() {
        let weights = [10, 10, 10];
        let mut parts = with(&weights);
        parts.replace(slot(0), slot(3));
        assert_eq!(order(parts, &[10; 4]), [3, 1, 2]);
    }
}
