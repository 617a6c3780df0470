//! The least recently used leaves.

use super::{Exchange, Need, Notes, Policy};
use crate::slot::links::{Links, List};
use crate::slot::{Residents, Seen, Slot};

#[derive(Default)]
pub(super) struct Lru {
    links: Links,
    by_use: List,
}

impl Policy for Lru {
    fn notes(&self) -> Notes {
        Notes::Order
    }

    fn on_hit(&mut self, slot: Slot) {
        self.by_use.move_hottest(&mut self.links, slot);
    }

    fn on_insert(&mut self, slot: Slot, _seen: Seen, _all: &dyn Residents) {
        self.by_use.push_hottest(&mut self.links, slot);
    }

    fn on_move(&mut self, from: Slot, to: Slot) {
        self.by_use.replace(&mut self.links, from, to);
    }

    fn on_remove(&mut self, slot: Slot, _all: &dyn Residents) {
        self.by_use.remove(&mut self.links, slot);
    }

    fn on_reweigh(&mut self, _slot: Slot, was: u32, _all: &dyn Residents) {
        if was == 0 {
            self.by_use.weight_gained();
        }
    }

    fn on_cut(&mut self, end: usize) {
        self.links.cut(end);
    }

    fn evict(&mut self, need: Need, all: &dyn Residents) -> Option<Slot> {
        let victim = match need {
            Need::Entry => self.by_use.coldest()?,
            Need::Weight => self.by_use.coldest_weighty(&self.links, |s| all.weight(s) > 0)?,
        };
        self.by_use.remove(&mut self.links, victim);
        Some(victim)
    }

    fn exchange(&mut self, _hash: u32, _all: &dyn Residents) -> Exchange {
        let Some(victim) = self.by_use.coldest() else { return Exchange::NONE };
        self.by_use.move_hottest(&mut self.links, victim);
        Exchange::of(victim, self.by_use.coldest())
    }

    fn next_victim(&self) -> Option<Slot> {
        self.by_use.coldest()
    }

    fn coldest_first(&self, _all: &dyn Residents) -> Vec<Slot> {
        self.by_use.iter(&self.links).collect()
    }
}
