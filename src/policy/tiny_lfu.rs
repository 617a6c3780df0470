//! W-TinyLFU (Einziger, Friedman and Manes, 2017) on clocks.
//!
//! ```text
//!                 seen more often than
//!                 who would make way?
//!   newcomer ─► window (10 %) ──┬─ yes ─► probation ─ read ─► protected (80 %)
//!                              │            ▲  │                │
//!                              └─ no ─► out │  └─ else ─► out   │ not read
//!                                           └───────────────────┘
//! ```
//!
//! The paper keeps each part in order of use. Here a hit only adds to the
//! entry's few bits; a hand that passes the entry credits them to the sketch
//! and grants another round. In replays of real traces this loses nothing.

use super::{Exchange, Need, Notes, Policy, by_hits};
use crate::slot::lanes::Lanes;
use crate::slot::sketch::Sketch;
use crate::slot::{HITS_MAX, Residents, Seen, Slot};

const WINDOW: usize = 0;
const PROBATION: usize = 1;
const PROTECTED: usize = 2;

/// The window takes one tenth of the weight, and always one entry. The paper's
/// hundredth is right for scans and loops, and costs up to 12 points where what
/// was used last is used next; a tenth loses up to 3.2 points on loops and
/// has the better mean (41.5 % against 40.6 % over 49 replays of real traces;
/// one twentieth: 41.2 %, one fifth: 41.3 %).
const WINDOW_SHARE: u64 = 10;

/// The protected part takes four fifths of what is not window.
const PROTECTED_NUMERATOR: u64 = 4;
const PROTECTED_DENOMINATOR: u64 = 5;

#[derive(Default)]
pub(super) struct TinyLfu {
    lanes: Lanes<3>,
    sketch: Sketch,
    /// Something left since the last newcomer came: there is no free room.
    is_crowded: bool,
}

impl TinyLfu {
    /// The window's oldest unread entry, if the window has its full share.
    fn candidate(&mut self, need: Need, all: &dyn Residents) -> Option<Slot> {
        if self.lanes.weight(WINDOW) < self.window_target() {
            return None;
        }
        for _ in 0..self.lanes.len(WINDOW) * 2 {
            let slot = self.lanes.coldest(WINDOW)?;
            if self.credit(slot, all) > 0 {
                self.lanes.turn(WINDOW);
            } else if need == Need::Weight && all.weight(slot) == 0 {
                self.lanes.move_to(PROBATION, slot, all.weight(slot));
            } else {
                return Some(slot);
            }
        }
        None
    }

    /// The oldest unread entry on probation. Those that were read are
    /// promoted on the way, and push others back on probation.
    fn victim(&mut self, need: Need, all: &dyn Residents) -> Option<Slot> {
        // Readers may add hits while we look; after this many looks, hits
        // pardon nobody.
        let mut looks = self.lanes.total_len() * (usize::from(HITS_MAX) + 1);
        if need == Need::Weight && self.main_weight() == 0 {
            return None;
        }
        loop {
            let Some(slot) = self.lanes.coldest(PROBATION) else {
                self.demote_one(all)?;
                continue;
            };
            let is_read = self.credit(slot, all) > 0 && looks > 0;
            looks = looks.saturating_sub(1);
            if is_read {
                self.promote(slot, all);
            } else if need == Need::Weight && all.weight(slot) == 0 {
                // It would only come round again here.
                self.lanes.move_to(PROTECTED, slot, all.weight(slot));
            } else {
                return Some(slot);
            }
        }
    }

    /// Who leaves.
    #[inline]
    fn leaving(&mut self, need: Need, all: &dyn Residents) -> Option<Slot> {
        let candidate = self.candidate(need, all);
        match (candidate, self.victim(need, all)) {
            (Some(candidate), Some(victim)) => Some(self.contest(candidate, victim, all)),
            (Some(only), None) | (None, Some(only)) => Some(only),
            (None, None) => {
                self.lanes.iter(WINDOW).find(|s| need == Need::Entry || all.weight(*s) > 0)
            }
        }
    }

    fn promote(&mut self, slot: Slot, all: &dyn Residents) {
        self.lanes.move_to(PROTECTED, slot, all.weight(slot));
        for _ in 0..self.lanes.len(PROTECTED) {
            let protected = self.lanes.weight(PROTECTED);
            if protected * PROTECTED_DENOMINATOR <= self.main_weight() * PROTECTED_NUMERATOR {
                return;
            }
            self.demote_one(all);
        }
    }

    /// Moves the oldest protected entry back on probation, or, if it was
    /// read, once more round.
    fn demote_one(&mut self, all: &dyn Residents) -> Option<()> {
        let slot = self.lanes.coldest(PROTECTED)?;
        let lane = if self.credit(slot, all) > 0 { PROTECTED } else { PROBATION };
        self.lanes.move_to(lane, slot, all.weight(slot));
        Some(())
    }

    /// Counts the hits noted at `slot` in the sketch, and returns them.
    fn credit(&mut self, slot: Slot, all: &dyn Residents) -> u8 {
        let hits = all.hits(slot);
        if hits > 0 {
            self.sketch.add(all.hash(slot), hits);
            all.set_hits(slot, 0);
        }
        hits
    }

    fn main_weight(&self) -> u64 {
        self.lanes.weight(PROBATION) + self.lanes.weight(PROTECTED)
    }

    fn window_target(&self) -> u64 {
        // Whole entries: a fraction of one would switch the contest off.
        (self.lanes.total_weight() / WINDOW_SHARE).max(1)
    }

    /// Both know what they were counted for; the newcomer has to have more.
    fn contest(&mut self, candidate: Slot, victim: Slot, all: &dyn Residents) -> Slot {
        let frequency = |slot| self.sketch.estimate(all.hash(slot));
        if frequency(candidate) > frequency(victim) {
            self.lanes.move_to(PROBATION, candidate, all.weight(candidate));
            victim
        } else {
            candidate
        }
    }
}

impl Policy for TinyLfu {
    fn notes(&self) -> Notes {
        Notes::Count
    }

    fn on_insert(&mut self, slot: Slot, seen: Seen, all: &dyn Residents) {
        self.lanes.push(WINDOW, slot, seen.weight());
        self.sketch.fit(self.lanes.total_len());
        self.sketch.add(seen.hash(), 1);
        // While there is free room, nobody has to win a contest for it.
        while !self.is_crowded
            && self.lanes.weight(WINDOW) > self.window_target()
            && self.lanes.len(WINDOW) > 1
        {
            let Some(oldest) = self.lanes.coldest(WINDOW) else { break };
            self.lanes.move_to(PROBATION, oldest, all.weight(oldest));
        }
        self.is_crowded = false;
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
        self.sketch.cut(self.lanes.total_len());
    }

    fn evict(&mut self, need: Need, all: &dyn Residents) -> Option<Slot> {
        let leaves = self.leaving(need, all)?;
        self.lanes.remove(leaves, all.weight(leaves));
        self.is_crowded = true;
        Some(leaves)
    }

    fn exchange(&mut self, hash: u32, all: &dyn Residents) -> Exchange {
        let Some(leaves) = self.leaving(Need::Entry, all) else { return Exchange::NONE };
        self.lanes.move_to(WINDOW, leaves, 1);
        self.sketch.fit(self.lanes.total_len());
        self.sketch.add(hash, 1);
        self.is_crowded = false;
        Exchange::of(leaves, self.next_victim())
    }

    fn next_victim(&self) -> Option<Slot> {
        self.lanes.coldest(WINDOW)
    }

    fn coldest_first(&self, all: &dyn Residents) -> Vec<Slot> {
        let lanes = [PROBATION, WINDOW, PROTECTED];
        by_hits(lanes.into_iter().flat_map(|lane| self.lanes.iter(lane)), all)
    }

    fn validate(&self, all: &dyn Residents) -> Result<(), String> {
        self.lanes.validate(all)
    }
}
