//! A few weighed queues over the same slots, for policies that move entries
//! between them.

use super::links::{Links, List};
use super::{Residents, Slot};

#[derive(Clone, Copy, Default)]
struct Lane {
    list: List,
    weight: u64,
}

/// `N` queues; every resident stands in one of them, and the lanes know which.
pub(crate) struct Lanes<const N: usize> {
    links: Links,
    lanes: [Lane; N],
    lane_of: Vec<u8>,
}

impl<const N: usize> Default for Lanes<N> {
    fn default() -> Self {
        Lanes { links: Links::default(), lanes: [Lane::default(); N], lane_of: Vec::new() }
    }
}

impl<const N: usize> Lanes<N> {
    /// Adds `slot`, which stands in no lane, at the hot end of `lane`.
    pub(crate) fn push(&mut self, lane: usize, slot: Slot, all: &dyn Residents) {
        if self.lane_of.len() <= slot.index() {
            self.lane_of.resize(slot.index() + 1, 0);
        }
        self.lane_of[slot.index()] = lane as u8;
        self.lanes[lane].list.push_hottest(&mut self.links, slot);
        self.lanes[lane].weight += u64::from(all.weight(slot));
    }

    pub(crate) fn remove(&mut self, slot: Slot, all: &dyn Residents) {
        let lane = &mut self.lanes[usize::from(self.lane_of[slot.index()])];
        lane.list.remove(&mut self.links, slot);
        lane.weight -= u64::from(all.weight(slot));
    }

    /// Moves `slot` from where it stands to the hot end of `lane`.
    pub(crate) fn move_to(&mut self, lane: usize, slot: Slot, all: &dyn Residents) {
        self.remove(slot, all);
        self.push(lane, slot, all);
    }

    /// Puts `to`, which stands in no lane, in the place of `from`. It counts
    /// with the same weight until [`reweigh`](Lanes::reweigh) says otherwise.
    pub(crate) fn replace(&mut self, from: Slot, to: Slot) {
        if self.lane_of.len() <= to.index() {
            self.lane_of.resize(to.index() + 1, 0);
        }
        let lane = self.lane_of[from.index()];
        self.lane_of[to.index()] = lane;
        self.lanes[usize::from(lane)].list.replace(&mut self.links, from, to);
    }

    pub(crate) fn reweigh(&mut self, slot: Slot, was: u32, all: &dyn Residents) {
        let lane = &mut self.lanes[usize::from(self.lane_of[slot.index()])];
        lane.weight = lane.weight - u64::from(was) + u64::from(all.weight(slot));
    }

    pub(crate) fn coldest(&self, lane: usize) -> Option<Slot> {
        self.lanes[lane].list.coldest()
    }

    pub(crate) fn len(&self, lane: usize) -> usize {
        self.lanes[lane].list.len()
    }

    pub(crate) fn weight(&self, lane: usize) -> u64 {
        self.lanes[lane].weight
    }

    pub(crate) fn total_len(&self) -> usize {
        self.lanes.iter().map(|lane| lane.list.len()).sum()
    }

    pub(crate) fn total_weight(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.weight).sum()
    }

    /// From the coldest to the hottest of `lane`.
    pub(crate) fn iter(&self, lane: usize) -> impl Iterator<Item = Slot> + '_ {
        self.lanes[lane].list.iter(&self.links)
    }

    /// Checks that weights and marks agree with the queues.
    pub(crate) fn validate(&self, all: &dyn Residents) -> Result<(), String> {
        for lane in 0..N {
            let weight: u64 = self.iter(lane).map(|slot| u64::from(all.weight(slot))).sum();
            if weight != self.weight(lane) {
                return Err(format!("lane {lane} weighs {weight}, not {}", self.weight(lane)));
            }
            if let Some(slot) = self.iter(lane).find(|s| self.lane_of[s.index()] != lane as u8) {
                return Err(format!("{slot:?} stands in lane {lane} but is marked otherwise"));
            }
        }
        Ok(())
    }
}
