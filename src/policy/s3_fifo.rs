//! S3-FIFO (Yang et al., SOSP '23): three queues and no hit path.
//!
//! ```text
//!                    read twice
//!   newcomer ─► small (10 %) ─────────► main (90 %) ─► out
//!                  │                     ▲  ▲     │ read: once more round
//!                  │ else                │  └─────┘
//!                  ▼                     │
//!                 out, as a ghost ───────┘ comes back in time
//! ```

use super::{Exchange, Need, Notes, Policy, by_hits};
use crate::slot::ghosts::Ghosts;
use crate::slot::lanes::Lanes;
use crate::slot::{HITS_MAX, Residents, Seen, Slot};

const SMALL: usize = 0;
const MAIN: usize = 1;

/// The small queue's share of the weight is one tenth (section 4.2).
const SMALL_SHARE: u64 = 10;

/// Hits in the small queue that are proof enough ("accessed more than once").
const PROOF: u8 = 2;

#[derive(Default)]
pub(super) struct S3Fifo {
    lanes: Lanes<2>,
    ghosts: Ghosts,
}

impl S3Fifo {
    /// Whether the oldest entry of the small queue leaves, and is remembered;
    /// otherwise it moves on.
    fn pass_small(&mut self, slot: Slot, seen: Seen, stays: bool, all: &dyn Residents) -> bool {
        if stays || seen.hits >= PROOF {
            all.set_hits(slot, 0);
            self.lanes.move_to(MAIN, slot, seen.weight());
            return false;
        }
        self.ghosts.remember(seen.hash(), self.reach());
        true
    }

    /// Whether the oldest entry of the main queue leaves; otherwise it goes round
    /// again, for one of its hits.
    fn pass_main(&mut self, slot: Slot, hits: u8, stays: bool, all: &dyn Residents) -> bool {
        if hits == 0 && !stays {
            return true;
        }
        all.set_hits(slot, hits.saturating_sub(1));
        self.lanes.turn(MAIN);
        false
    }

    fn reach(&self) -> usize {
        reach(self.lanes.total_len())
    }

    #[inline]
    fn small_is_due(&self) -> bool {
        let is_over = self.lanes.weight(SMALL) * SMALL_SHARE >= self.lanes.total_weight();
        self.lanes.len(MAIN) == 0 || (is_over && self.lanes.len(SMALL) > 0)
    }

    /// Who leaves, and its weight.
    #[inline]
    fn victim(&mut self, need: Need, all: &dyn Residents) -> Option<(Slot, u32)> {
        let lane = if self.small_is_due() { SMALL } else { MAIN };
        let slot = self.lanes.coldest(lane)?;
        let seen = all.look(slot);
        // Often, the first one will do.
        let leaves = match lane {
            SMALL => seen.hits < PROOF,
            _ => seen.hits == 0,
        };
        if !leaves || need == Need::Weight {
            return self.search(need, all);
        }
        if lane == SMALL {
            self.ghosts.remember(seen.hash(), self.reach());
        }
        Some((slot, seen.weight()))
    }

    #[inline(never)]
    fn search(&mut self, need: Need, all: &dyn Residents) -> Option<(Slot, u32)> {
        if need == Need::Weight && self.lanes.total_weight() == 0 {
            return None;
        }
        // Readers may add hits while we look. Who has been round as often as
        // hits can pardon has had its chance.
        let mut looks = self.lanes.total_len() * (usize::from(HITS_MAX) + 2);
        loop {
            let lane = if self.small_is_due() { SMALL } else { MAIN };
            let slot = self.lanes.coldest(lane)?;
            let mut seen = all.look(slot);
            let stays = need == Need::Weight && seen.weight() == 0;
            if looks == 0 {
                seen.hits = 0;
            }
            looks = looks.saturating_sub(1);
            let leaves = match lane {
                SMALL => self.pass_small(slot, seen, stays, all),
                _ => self.pass_main(slot, seen.hits, stays, all),
            };
            if leaves {
                return Some((slot, seen.weight()));
            }
        }
    }
}

/// As many ghosts as entries that the main queue has room for, out of so many:
/// those it holds would be too few while it is still empty.
fn reach(total: usize) -> usize {
    (total - total / SMALL_SHARE as usize).max(1)
}

impl Policy for S3Fifo {
    fn notes(&self) -> Notes {
        Notes::Count
    }

    fn on_insert(&mut self, slot: Slot, seen: Seen, _all: &dyn Residents) {
        let is_back = self.ghosts.take(seen.hash(), self.reach());
        self.lanes.push(if is_back { MAIN } else { SMALL }, slot, seen.weight());
    }

    fn on_move(&mut self, from: Slot, to: Slot) {
        self.lanes.replace(from, to);
    }

    fn on_remove(&mut self, slot: Slot, all: &dyn Residents) {
        self.lanes.remove(slot, all.weight(slot));
    }

    fn on_reweigh(&mut self, slot: Slot, was: u32, all: &dyn Residents) {
        self.lanes.reweigh(slot, was, all);
    }

    fn on_cut(&mut self, end: usize) {
        self.lanes.cut(end);
        self.ghosts.cut(self.reach());
    }

    fn evict(&mut self, need: Need, all: &dyn Residents) -> Option<Slot> {
        let (slot, weight) = self.victim(need, all)?;
        self.lanes.remove(slot, weight);
        Some(slot)
    }

    fn exchange(&mut self, hash: u32, all: &dyn Residents) -> Exchange {
        let victim = self.victim(Need::Entry, all);
        let Some((victim, weight)) = victim else { return Exchange::NONE };
        // One entry is leaving, and does not count any more.
        let reach = reach(self.lanes.total_len() - 1);
        let lane = if self.ghosts.take(hash, reach) { MAIN } else { SMALL };
        self.lanes.move_to(lane, victim, weight);
        Exchange::of(victim, self.next_victim())
    }

    fn next_victim(&self) -> Option<Slot> {
        self.lanes.coldest(if self.small_is_due() { SMALL } else { MAIN })
    }

    fn coldest_first(&self, all: &dyn Residents) -> Vec<Slot> {
        by_hits(self.lanes.iter(SMALL).chain(self.lanes.iter(MAIN)), all)
    }

    fn validate(&self, all: &dyn Residents) -> Result<(), String> {
        self.lanes.validate(all)
    }
}
