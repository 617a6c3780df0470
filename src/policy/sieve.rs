//! SIEVE (Zhang et al., NSDI '24): the hand walks from old to new, pardons
//! each visited entry once, and gives up the first unvisited one.
//!
//! ```text
//!   oldest ── A  B* C  D* ── newest        * read since the hand last passed
//!                ▲
//!               hand      B is pardoned (its mark goes), C leaves,
//!                         and the hand stays where C was: on D.
//! ```

use super::{Need, Notes, Policy, by_hits};
use crate::slot::links::{Links, List};
use crate::slot::{Residents, Seen, Slot};

#[derive(Default)]
pub(super) struct Sieve {
    links: Links,
    queue: List,
    /// Who is looked at next; `None` starts over at the oldest.
    hand: Option<Slot>,
}

impl Sieve {
    #[inline]
    fn give_up(&mut self, victim: Slot) -> Slot {
        self.hand = self.links.hotter(victim);
        self.queue.remove(&mut self.links, victim);
        victim
    }

    #[inline(never)]
    fn search(&mut self, need: Need, all: &dyn Residents) -> Option<Slot> {
        let helps = |slot: Slot| need == Need::Entry || all.weight(slot) > 0;
        let mut at = self.hand.or(self.queue.coldest())?;
        // One round takes every mark away, so the second finds a victim,
        // unless readers set new marks as fast as the hand moves.
        for _ in 0..2 * self.queue.len() {
            if helps(at) && all.hits(at) == 0 {
                return Some(self.give_up(at));
            }
            if helps(at) {
                all.set_hits(at, 0);
            }
            at = self.links.hotter(at).or(self.queue.coldest())?;
        }
        let anyone = self.queue.iter(&self.links).find(|slot| helps(*slot))?;
        Some(self.give_up(anyone))
    }
}

impl Policy for Sieve {
    fn notes(&self) -> Notes {
        Notes::Count
    }

    fn on_insert(&mut self, slot: Slot, _seen: Seen, _all: &dyn Residents) {
        self.queue.push_hottest(&mut self.links, slot);
    }

    fn on_move(&mut self, from: Slot, to: Slot) {
        if self.hand == Some(from) {
            self.hand = Some(to);
        }
        self.queue.replace(&mut self.links, from, to);
    }

    fn on_remove(&mut self, slot: Slot, _all: &dyn Residents) {
        if self.hand == Some(slot) {
            self.hand = self.links.hotter(slot);
        }
        self.queue.remove(&mut self.links, slot);
    }

    fn on_cut(&mut self, end: usize) {
        self.links.cut(end);
    }

    fn evict(&mut self, need: Need, all: &dyn Residents) -> Option<Slot> {
        // Often, the first one will do.
        let first = self.hand.or(self.queue.coldest())?;
        if need == Need::Entry && all.hits(first) == 0 {
            return Some(self.give_up(first));
        }
        self.search(need, all)
    }

    fn next_victim(&self) -> Option<Slot> {
        self.hand
    }

    fn coldest_first(&self, all: &dyn Residents) -> Vec<Slot> {
        let hand = self.hand.or(self.queue.coldest());
        let ahead = std::iter::successors(hand, |slot| self.links.hotter(*slot));
        let behind = self.queue.iter(&self.links).take_while(|slot| Some(*slot) != hand);
        by_hits(ahead.chain(behind), all)
    }

    fn validate(&self, _all: &dyn Residents) -> Result<(), String> {
        match self.hand {
            Some(hand) if !self.queue.iter(&self.links).any(|slot| slot == hand) => {
                Err(format!("sieve: the hand is on {hand:?}, which is not in the queue"))
            }
            _ => Ok(()),
        }
    }
}
