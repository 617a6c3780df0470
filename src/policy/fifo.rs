//! First in, first out.

use super::{Exchange, Need, Notes, Policy};
use crate::slot::links::{Links, List};
use crate::slot::{Residents, Seen, Slot};

#[derive(Default)]
pub(super) struct Fifo {
    links: Links,
    queue: List,
}

impl Policy for Fifo {
    fn notes(&self) -> Notes {
        Notes::Nothing
    }

    fn on_insert(&mut self, slot: Slot, _seen: Seen, _all: &dyn Residents) {
        self.queue.push_hottest(&mut self.links, slot);
    }

    fn on_move(&mut self, from: Slot, to: Slot) {
        self.queue.replace(&mut self.links, from, to);
    }

    fn on_remove(&mut self, slot: Slot, _all: &dyn Residents) {
        self.queue.remove(&mut self.links, slot);
    }

    fn on_reweigh(&mut self, _slot: Slot, was: u32, _all: &dyn Residents) {
        if was == 0 {
            self.queue.weight_gained();
        }
    }

    fn on_cut(&mut self, end: usize) {
        self.links.cut(end);
    }

    fn evict(&mut self, need: Need, all: &dyn Residents) -> Option<Slot> {
        let victim = match need {
            Need::Entry => self.queue.coldest()?,
            Need::Weight => self.queue.coldest_weighty(&self.links, |s| all.weight(s) > 0)?,
        };
        self.queue.remove(&mut self.links, victim);
        Some(victim)
    }

    fn exchange(&mut self, _hash: u32, _all: &dyn Residents) -> Exchange {
        let Some(victim) = self.queue.coldest() else { return Exchange::NONE };
        self.queue.move_hottest(&mut self.links, victim);
        Exchange::of(victim, self.queue.coldest())
    }

    fn next_victim(&self) -> Option<Slot> {
        self.queue.coldest()
    }

    fn coldest_first(&self, _all: &dyn Residents) -> Vec<Slot> {
        self.queue.iter(&self.links).collect()
    }
}
