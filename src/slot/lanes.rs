//! A few weighed queues over the same slots, for policies that move entries
//! between them.

use super::chunks::prefetch;
use super::links::{Links, List};
use super::{Residents, Slot};

#[derive(Clone, Copy, Default)]
struct Lane {
    list: List,
    weight: u64,
}

/// Of the byte beside a slot, the bits that say which lane it stands in. The
/// others are marks, for the policy to use.
const LANE: u8 = 0b1_1111;
/// The bits of a mark.
#[cfg(larder_fuzz)]
pub(crate) const MARKS: u8 = !LANE;

/// `N` queues, 32 at most; every resident stands in one of them, and the
/// lanes know which.
pub(crate) struct Lanes<const N: usize> {
    links: Links,
    lanes: [Lane; N],
    /// Of all lanes.
    total: Total,
    lane_of: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
struct Total {
    len: usize,
    weight: u64,
}

impl<const N: usize> Default for Lanes<N> {
    fn default() -> Self {
        let (links, lanes) = (Links::default(), [Lane::default(); N]);
        Lanes { links, lanes, total: Total::default(), lane_of: Vec::new() }
    }
}

impl<const N: usize> Lanes<N> {
    /// Which lane `slot` stands in, if it is a resident.
    #[inline]
    pub(crate) fn lane(&self, slot: Slot) -> usize {
        usize::from(self.lane_of[slot.index()] & LANE)
    }

    /// The marks of `slot`, which stay with it whoever is there.
    #[inline]
    pub(crate) fn marks(&self, slot: Slot) -> u8 {
        self.lane_of[slot.index()] & !LANE
    }

    #[inline]
    pub(crate) fn set_marks(&mut self, slot: Slot, marks: u8) {
        debug_assert_eq!(marks & LANE, 0, "these bits are the lane's");
        let byte = &mut self.lane_of[slot.index()];
        *byte = (*byte & LANE) | marks;
    }

    /// Gives back the memory for slots from `end` on, which stand in no lane.
    pub(crate) fn cut(&mut self, end: usize) {
        self.links.cut(end);
        self.lane_of.truncate(end);
        self.lane_of.shrink_to_fit();
    }

    #[inline]
    fn place(&mut self, slot: Slot, lane: usize) {
        let Some(byte) = self.lane_of.get_mut(slot.index()) else {
            return self.grow(slot, lane);
        };
        *byte = (*byte & !LANE) | lane as u8;
    }

    #[cold]
    fn grow(&mut self, slot: Slot, lane: usize) {
        self.lane_of.resize(slot.index(), 0);
        self.lane_of.push(lane as u8);
    }

    /// Adds `slot`, which stands in no lane, at the hot end of `lane`.
    #[inline]
    pub(crate) fn push(&mut self, lane: usize, slot: Slot, weight: u32) {
        self.enter(lane, slot, weight);
        self.total.len += 1;
        self.total.weight += u64::from(weight);
    }

    #[inline(always)]
    fn enter(&mut self, lane: usize, slot: Slot, weight: u32) {
        self.place(slot, lane);
        let lane = &mut self.lanes[lane];
        lane.list.push_hottest(&mut self.links, slot);
        lane.weight += u64::from(weight);
    }

    #[inline]
    pub(crate) fn remove(&mut self, slot: Slot, weight: u32) {
        self.leave(slot, weight);
        self.total.len -= 1;
        self.total.weight -= u64::from(weight);
    }

    #[inline(always)]
    fn leave(&mut self, slot: Slot, weight: u32) {
        let lane = self.lane(slot);
        let lane = &mut self.lanes[lane];
        lane.list.remove(&mut self.links, slot);
        lane.weight -= u64::from(weight);
    }

    /// Moves `slot` from where it stands to the hot end of `lane`.
    pub(crate) fn move_to(&mut self, lane: usize, slot: Slot, weight: u32) {
        if self.lane(slot) == lane {
            return self.lanes[lane].list.move_hottest(&mut self.links, slot);
        }
        self.leave(slot, weight);
        self.enter(lane, slot, weight);
    }

    /// Moves the coldest of `lane` to its hot end.
    #[inline]
    pub(crate) fn turn(&mut self, lane: usize) {
        let list = &mut self.lanes[lane].list;
        if let Some(slot) = list.coldest() {
            list.move_hottest(&mut self.links, slot);
        }
    }

    /// Puts `to`, which stands in no lane, in the place of `from`. It counts
    /// with the same weight until [`reweigh`](Lanes::reweigh) says otherwise.
    pub(crate) fn replace(&mut self, from: Slot, to: Slot) {
        let lane = self.lane(from);
        self.place(to, lane);
        self.lanes[lane].list.replace(&mut self.links, from, to);
    }

    pub(crate) fn reweigh(&mut self, slot: Slot, was: u32, all: &dyn Residents) {
        let lane = self.lane(slot);
        let (was, is) = (u64::from(was), u64::from(all.weight(slot)));
        for weight in [&mut self.lanes[lane].weight, &mut self.total.weight] {
            *weight = *weight - was + is;
        }
    }

    /// Who leaves the lane after `slot`. What is known of that is fetched: its turn
    /// is soon.
    #[inline]
    pub(crate) fn foresee(&self, slot: Slot) -> Option<Slot> {
        let after = self.links.hotter(slot)?;
        self.links.prefetch(after);
        prefetch(&self.lane_of[after.index()]);
        Some(after)
    }

    #[inline]
    pub(crate) fn coldest(&self, lane: usize) -> Option<Slot> {
        self.lanes[lane].list.coldest()
    }

    #[inline]
    pub(crate) fn len(&self, lane: usize) -> usize {
        self.lanes[lane].list.len()
    }

    #[inline]
    pub(crate) fn weight(&self, lane: usize) -> u64 {
        self.lanes[lane].weight
    }

    #[inline]
    pub(crate) fn total_len(&self) -> usize {
        self.total.len
    }

    #[inline]
    pub(crate) fn total_weight(&self) -> u64 {
        self.total.weight
    }

    /// From the coldest to the hottest of `lane`.
    pub(crate) fn iter(&self, lane: usize) -> impl Iterator<Item = Slot> + '_ {
        self.lanes[lane].list.iter(&self.links)
    }

    /// Checks that weights and marks agree with the queues.
    pub(crate) fn validate(&self, all: &dyn Residents) -> Result<(), String> {
        let len: usize = self.lanes.iter().map(|lane| lane.list.len()).sum();
        let weight: u64 = self.lanes.iter().map(|lane| lane.weight).sum();
        if (len, weight) != (self.total_len(), self.total_weight()) {
            return Err(format!("lanes: {len} entries weigh {weight}, which are not all"));
        }
        for lane in 0..N {
            let weight: u64 = self.iter(lane).map(|slot| u64::from(all.weight(slot))).sum();
            if weight != self.weight(lane) {
                return Err(format!("lane {lane} weighs {weight}, not {}", self.weight(lane)));
            }
            if let Some(slot) = self.iter(lane).find(|s| self.lane(*s) != lane) {
                return Err(format!("{slot:?} stands in lane {lane} but is marked otherwise"));
            }
        }
        Ok(())
    }
}
