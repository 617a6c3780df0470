//! SIEVE (Zhang et al., NSDI '24): the hand walks from old to new, pardons
//! each visited entry once, and gives up the first unvisited one.
//!
//! ```text
//!   oldest ── A  B* C  D* ── newest        * read since the hand last passed
//!                ▲
//!               hand      B is pardoned (its mark goes), C leaves,
//!                         and the hand stays where C was: on D.
//! ```

use super::{Exchange, Need, Notes, Policy, by_hits};
use crate::slot::links::{Links, List};
use crate::slot::{Residents, Seen, Slot};

#[derive(Default)]
pub(super) struct Sieve {
    links: Links,
    queue: List,
    hand: Hand,
}

/// Who is looked at next; `Slot::NONE` starts over at the oldest.
struct Hand(u32);

impl Default for Hand {
    fn default() -> Self {
        Hand(Slot::NONE)
    }
}

impl Hand {
    #[inline]
    fn at(&self) -> Option<Slot> {
        Slot::from_raw(self.0)
    }

    #[inline]
    fn put(&mut self, at: Option<Slot>) {
        self.0 = at.map_or(Slot::NONE, Slot::raw);
    }
}

impl Sieve {
    /// Who is given up.
    #[inline]
    fn victim(&mut self, need: Need, all: &dyn Residents) -> Option<Slot> {
        // Often, the first one will do.
        let first = self.hand.at().or(self.queue.coldest())?;
        if need == Need::Entry && all.hits(first) == 0 {
            return Some(first);
        }
        self.search(need, all)
    }

    #[inline(never)]
    fn search(&mut self, need: Need, all: &dyn Residents) -> Option<Slot> {
        let helps = |slot: Slot| need == Need::Entry || all.weight(slot) > 0;
        let mut at = self.hand.at().or(self.queue.coldest())?;
        // One round takes every mark away, so the second finds a victim,
        // unless readers set new marks as fast as the hand moves.
        for _ in 0..2 * self.queue.len() {
            if helps(at) && all.hits(at) == 0 {
                return Some(at);
            }
            if helps(at) {
                all.set_hits(at, 0);
            }
            at = self.links.hotter(at).or(self.queue.coldest())?;
        }
        self.queue.iter(&self.links).find(|slot| helps(*slot))
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
        if self.hand.at() == Some(from) {
            self.hand.put(Some(to));
        }
        self.queue.replace(&mut self.links, from, to);
    }

    fn on_remove(&mut self, slot: Slot, _all: &dyn Residents) {
        if self.hand.at() == Some(slot) {
            self.hand.put(self.links.hotter(slot));
        }
        self.queue.remove(&mut self.links, slot);
    }

    fn on_cut(&mut self, end: usize) {
        self.links.cut(end);
    }

    fn evict(&mut self, need: Need, all: &dyn Residents) -> Option<Slot> {
        let victim = self.victim(need, all)?;
        self.hand.put(self.links.hotter(victim));
        self.queue.remove(&mut self.links, victim);
        Some(victim)
    }

    fn exchange(&mut self, _hash: u32, all: &dyn Residents) -> Exchange {
        let Some(victim) = self.victim(Need::Entry, all) else { return Exchange::NONE };
        self.hand.put(self.links.hotter(victim));
        self.queue.move_hottest(&mut self.links, victim);
        Exchange::of(victim, self.hand.at())
    }

    fn next_victim(&self) -> Option<Slot> {
        self.hand.at()
    }

    fn coldest_first(&self, all: &dyn Residents) -> Vec<Slot> {
        let hand = self.hand.at().or(self.queue.coldest());
        let ahead = std::iter::successors(hand, |slot| self.links.hotter(*slot));
        let behind = self.queue.iter(&self.links).take_while(|slot| Some(*slot) != hand);
        by_hits(ahead.chain(behind), all)
    }

    fn validate(&self, _all: &dyn Residents) -> Result<(), String> {
        match self.hand.at() {
            Some(hand) if !self.queue.iter(&self.links).any(|slot| slot == hand) => {
                Err(format!("sieve: the hand is on {hand:?}, which is not in the queue"))
            }
            _ => Ok(()),
        }
    }
}
