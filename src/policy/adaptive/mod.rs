//! W-TinyLFU (Einziger, Friedman and Manes, 2017) on two clocks, run in the way
//! that does best just now.
//!
//! ```text
//!              read: once more round             read: once more round
//!                  ┌──────┐   counts for more       ┌──────┐
//!                  ▼      │   than who would        ▼      │
//!   newcomer ─► window ───┴─── make way? ── yes ─► main ───┴── else ─► out
//!       │       1 % to all        no ─► out         ▲
//!       │                               ghost ──────┘
//!       └─────────── came back in time ─────────────┘
//! ```
//!
//! How much of the cache newcomers should have, and what they should do for a
//! place in the main part, depends on what the cache is used for: on loops
//! every slot that they get is lost; where what was used last is used next, all
//! of it should be theirs; and where it is used again a little later, those who
//! come back should find the door open, as in S3-FIFO (Yang et al., 2023). No
//! fixed way is safe, so miniatures of the cache, one for each of five ways
//! ([`arms`]), run on a sample of its keys ([`trial`]), and when one of them is
//! some hits ahead ([`verdict`]), the cache does as it does. Einziger,
//! Eytan, Friedman and Manes, "Adaptive software cache management" (Middleware
//! '18), found that the window's share is what to adapt; they climb by trying
//! it on the cache itself.
//!
//! A hit only adds to the entry's few bits; a hand that passes the entry
//! credits them to the sketch and grants another round.

mod arms;
mod guide;
mod parts;
mod plain;
mod trial;
mod verdict;
mod watch;

pub(super) use guide::Guide;

use super::{Exchange, Need, Notes, Policy, by_hits, wins};
use crate::slot::ghosts::Ghosts;
use crate::slot::sketch::Sketch;
use crate::slot::{HITS_MAX, Residents, Seen, Slot};
use arms::{Arm, PROOF};
use parts::{MAIN, Parts, WEIGHTLESS, WINDOW};
use plain::Office;
use std::sync::Arc;
use watch::Watch;

pub(super) struct Adaptive {
    parts: Parts,
    sketch: Sketch,
    /// Who was refused lately: kept only while the arm in office asks.
    ghosts: Ghosts,
    guide: Arc<Guide>,
    watch: Watch,
    favour: Favour,
    /// Who would have made way when there was a contest last.
    standing: Option<Standing>,
    /// What was short when an entry was last given up, and how much of it all
    /// entries had then.
    full_at: Option<(Need, u64)>,
    /// The number of entries that the guide was told.
    told: usize,
    /// Hits that the hands have found so far.
    uses: usize,
    /// The newcomer that was let in to go straight to the main part.
    straight: Option<u32>,
    /// How much weight the newcomer, for which others leave, brings into the
    /// window.
    incoming: u64,
    /// As it was at the last exchange.
    office: Office,
}

/// What a hit is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Favour {
    /// The same, whatever the entry weighs.
    Entries,
    /// As much as the entry weighs.
    Weight,
}

impl Adaptive {
    pub(super) fn new(favour: Favour, guide: Arc<Guide>) -> Self {
        Adaptive {
            parts: Parts::default(),
            sketch: Sketch::default(),
            ghosts: Ghosts::default(),
            office: Office::of(guide.arm(), 0),
            guide,
            watch: Watch::default(),
            favour,
            standing: None,
            full_at: None,
            told: 0,
            uses: 0,
            straight: None,
            incoming: 1,
        }
    }

    /// The window's share of all: one entry of the usual weight at least.
    #[inline]
    fn target(&self, arm: &Arm) -> u64 {
        arm.window(self.parts.lanes.total_weight()).max(self.parts.unit())
    }

    /// Lets entries out of a window that has become too large. There is no
    /// contest for them: the main part has as much too little.
    #[inline]
    fn narrow_window(&mut self, target: u64, all: &dyn Residents) {
        if self.parts.weight(WINDOW) > target {
            self.let_out(target, all);
        }
    }

    #[inline(never)]
    fn let_out(&mut self, target: u64, all: &dyn Residents) {
        for _ in 0..2 {
            let Some(oldest) = self.parts.coldest(WINDOW) else { return };
            let weight = all.weight(oldest);
            if self.parts.weight(WINDOW) - u64::from(weight) <= target {
                return;
            }
            self.promote(Player::of(oldest, all.look(oldest)));
        }
    }

    /// Lets an entry out of the window into the main part without a contest. A
    /// newcomer's first use is counted when it leaves the window: there, most
    /// have to be looked up in the sketch anyway.
    fn promote(&mut self, from_window: Player) {
        self.sketch.count(from_window.hash, 1);
        self.parts.move_to(MAIN, from_window.slot, from_window.weight);
    }

    /// The window's oldest entry that has done nothing for a place in the main
    /// part, if the window has its full share.
    #[inline]
    fn candidate(
        &mut self,
        arm: &Arm,
        target: u64,
        need: Need,
        all: &dyn Residents,
    ) -> Option<Player> {
        if self.parts.weight(WINDOW) + self.incoming <= target {
            None
        } else if arm.contests {
            self.pass(WINDOW, need, all)
        } else {
            self.unproven(target, need, all)
        }
    }

    /// The window's oldest entry that was not read often enough. The others
    /// have earned their place in the main part.
    #[inline(never)]
    fn unproven(&mut self, target: u64, need: Need, all: &dyn Residents) -> Option<Player> {
        while self.parts.weight(WINDOW) + self.incoming > target {
            let slot = self.parts.coldest(WINDOW)?;
            let seen = all.look(slot);
            self.credit(slot, seen, all);
            if seen.hits >= PROOF {
                self.promote(Player::of(slot, seen));
            } else if need == Need::Weight && seen.weight() == 0 {
                self.parts.move_to(WEIGHTLESS, slot, 0);
            } else {
                return Some(Player::of(slot, seen));
            }
        }
        None
    }

    /// The first unread entry of `lane`. Those that were read go round, but most
    /// often, the coldest is unread.
    #[inline(always)]
    fn pass(&mut self, lane: usize, need: Need, all: &dyn Residents) -> Option<Player> {
        let slot = self.parts.coldest(lane)?;
        let seen = all.look(slot);
        if seen.hits == 0 && (need == Need::Entry || seen.weight() > 0) {
            return Some(Player::of(slot, seen));
        }
        self.pass_on(lane, need, all)
    }

    #[inline(never)]
    fn pass_on(&mut self, lane: usize, need: Need, all: &dyn Residents) -> Option<Player> {
        // Readers may add hits while we look; after this many looks, hits
        // pardon nobody.
        let mut looks = self.parts.len(lane) * (usize::from(HITS_MAX) + 1);
        self.standing = None;
        loop {
            let slot = self.parts.coldest(lane)?;
            self.fetch_after(slot, all);
            let seen = all.look(slot);
            self.credit(slot, seen, all);
            let is_read = seen.hits > 0 && looks > 0;
            looks = looks.saturating_sub(1);
            if is_read {
                self.parts.turn(lane, slot, seen.weight());
            } else if need == Need::Weight && seen.weight() == 0 {
                self.parts.move_to(WEIGHTLESS, slot, 0);
            } else {
                return Some(Player::of(slot, seen));
            }
        }
    }

    /// Takes the hits noted at `slot`, and counts them in the sketch.
    #[inline]
    fn credit(&mut self, slot: Slot, seen: Seen, all: &dyn Residents) {
        if seen.hits > 0 {
            self.uses = self.uses.saturating_add(usize::from(seen.hits));
            self.sketch.add(seen.hash(), seen.hits);
            all.set_hits(slot, 0);
            Watch::take(slot, seen, &mut self.parts.lanes, &self.guide);
        }
    }

    /// Whether a candidate that was counted so often takes the place of the one
    /// that would make way for it.
    #[inline(always)]
    fn contest(&mut self, candidate: Player, ours: u8, victim: Player) -> bool {
        let age = self.sketch.age();
        let theirs = match self.standing {
            Some(known) if known.slot == victim.slot && known.age == age => known.estimate,
            _ => self.sketch.estimate(victim.hash),
        };
        let is_won = match self.favour {
            Favour::Weight => ours > theirs,
            Favour::Entries => wins((ours, candidate.weight), (theirs, victim.weight)),
        };
        self.standing = Some(Standing { slot: victim.slot, estimate: theirs, age });
        is_won
    }

    /// Takes out who leaves.
    #[inline]
    fn choose(
        &mut self,
        arm: &Arm,
        target: u64,
        need: Need,
        all: &dyn Residents,
    ) -> Option<Player> {
        let candidate = self.candidate(arm, target, need, all);
        let victim = match candidate {
            Some(_) if !arm.contests => None,
            _ => self.pass(MAIN, need, all),
        };
        let Some(candidate) = candidate else {
            return victim.or_else(|| self.pass(WINDOW, need, all));
        };
        let ours = self.sketch.count(candidate.hash, 1);
        if let Some(victim) = victim.filter(|victim| self.contest(candidate, ours, *victim)) {
            self.parts.move_to(MAIN, candidate.slot, candidate.weight);
            return Some(victim);
        }
        if arm.remembers {
            self.ghosts.remember(candidate.hash, arms::reach(self.parts.lanes.total_len()));
        }
        Some(candidate)
    }

    /// Whether a newcomer was refused lately, and weighs no more than the one
    /// that would make way for it.
    #[inline]
    fn is_back(&mut self, seen: Seen, all: &dyn Residents) -> bool {
        self.ghosts.take(seen.hash(), arms::reach(self.parts.lanes.total_len()))
            && (!self.parts.is_classed() || self.is_light(seen, all))
    }

    #[inline(never)]
    fn is_light(&self, seen: Seen, all: &dyn Residents) -> bool {
        self.parts.coldest(MAIN).is_none_or(|slot| seen.weight() <= all.weight(slot))
    }

    /// Whether a newcomer that does not fit into the window takes the place of
    /// the one that would make way. Nobody is refused before the entries have been
    /// used as often as there are entries: until then, who knows what they are
    /// worth?
    fn is_worth_it(&mut self, newcomer: Seen, all: &dyn Residents) -> bool {
        let ours = self.sketch.count(newcomer.hash(), 1);
        let Some(victim) = self.pass(MAIN, Need::Weight, all) else { return true };
        self.uses < self.parts.lanes.total_len()
            || self.contest(Player::of(Slot::MOVING, newcomer), ours, victim)
    }

    /// Whether nobody has had to leave yet, or many have left for other
    /// reasons. A heavy victim may leave room for several newcomers; that does
    /// not count.
    #[inline]
    fn has_free_room(&self) -> bool {
        self.full_at.is_none_or(|(need, full)| self.amount(need) < full - full / 8)
    }

    #[inline]
    fn amount(&self, need: Need) -> u64 {
        match need {
            Need::Entry => self.parts.lanes.total_len() as u64,
            Need::Weight => self.parts.lanes.total_weight(),
        }
    }

    #[inline]
    fn stand_down(&mut self, slot: Slot) {
        if self.standing.is_some_and(|known| known.slot == slot) {
            self.standing = None;
        }
    }

    #[inline]
    fn drop_out(&mut self, slot: Slot, weight: u32) {
        self.stand_down(slot);
        Watch::forget(slot, &mut self.parts.lanes);
        self.parts.remove(slot, weight);
    }

    /// An entry of the sample has come in.
    #[cold]
    fn watch(&mut self, slot: Slot, hash: u32) {
        self.watch.add(slot, &mut self.parts.lanes);
        self.report(hash);
    }

    fn report(&mut self, hash: u32) {
        self.guide.recount(self.told, self.parts.lanes.total_len());
        self.told = self.parts.lanes.total_len();
        self.guide.report(hash, 1);
    }

    /// Whether a newcomer goes straight to the main part of a weighted cache,
    /// because it does not fit into the window.
    #[inline(never)]
    fn is_straight(&mut self, newcomer: Seen) -> bool {
        if self.favour == Favour::Entries {
            self.parts.classify();
        }
        self.incoming = 1;
        self.straight.take() == Some(newcomer.hash())
    }

    /// While there is free room, nobody has to win a contest for it.
    #[cold]
    fn fill_main(&mut self, arm: &Arm, all: &dyn Residents) {
        let target = self.target(arm);
        while self.parts.weight(WINDOW) > target && self.parts.len(WINDOW) > 1 {
            let Some(oldest) = self.parts.coldest(WINDOW) else { break };
            self.promote(Player::of(oldest, all.look(oldest)));
        }
    }
}

/// Who would make way, and its estimate. Most newcomers are refused, and then it
/// stays where it is and is asked again soon.
#[derive(Clone, Copy)]
struct Standing {
    slot: Slot,
    estimate: u8,
    /// The sketch's, then: when that ages, estimates are others.
    age: u32,
}

/// Somebody who may have to leave.
#[derive(Clone, Copy)]
struct Player {
    slot: Slot,
    hash: u32,
    weight: u32,
}

impl Player {
    #[inline]
    fn of(slot: Slot, seen: Seen) -> Self {
        Player { slot, hash: seen.hash(), weight: seen.weight() }
    }
}

impl Policy for Adaptive {
    fn notes(&self) -> Notes {
        Notes::Count
    }

    fn admits(&mut self, newcomer: Seen, all: &dyn Residents) -> bool {
        let (hash, weight, arm) = (newcomer.hash(), newcomer.weight(), self.guide.arm());
        self.sketch.fit(self.parts.lanes.total_len());
        self.incoming = u64::from(weight);
        self.straight = None;
        if self.incoming <= self.target(arm) {
            return true;
        }
        if self.is_worth_it(newcomer, all) {
            (self.incoming, self.straight) = (1, Some(hash));
            return true;
        }
        if arm.remembers {
            self.ghosts.remember(hash, arms::reach(self.parts.lanes.total_len()));
        }
        if self.guide.samples(hash) {
            self.report(hash);
        }
        false
    }

    fn on_insert(&mut self, slot: Slot, seen: Seen, all: &dyn Residents) {
        let (hash, arm) = (seen.hash(), self.guide.arm());
        let is_back = arm.remembers && self.is_back(seen, all);
        let is_straight = seen.weight() != 1 && self.is_straight(seen);
        if is_back && !is_straight {
            self.sketch.count(hash, 1);
        }
        self.parts.push(if is_back || is_straight { MAIN } else { WINDOW }, slot, seen.weight());
        self.sketch.fit(self.parts.lanes.total_len());
        if self.guide.samples(hash) {
            self.watch(slot, hash);
        }
        if self.has_free_room() {
            self.fill_main(arm, all);
        }
    }

    fn on_remove(&mut self, slot: Slot, all: &dyn Residents) {
        self.drop_out(slot, all.weight(slot));
    }

    fn on_move(&mut self, from: Slot, to: Slot) {
        self.stand_down(from);
        self.parts.replace(from, to);
        self.watch.follow(from, to, &mut self.parts.lanes);
    }

    fn on_reweigh(&mut self, slot: Slot, was: u32, all: &dyn Residents) {
        self.stand_down(slot);
        self.parts.reweigh(slot, was, all);
    }

    fn on_resize(&mut self, _entries_max: u64) {
        self.full_at = None;
    }

    fn on_cut(&mut self, end: usize) {
        self.parts.cut(end);
        self.watch.cut(end);
        self.sketch.cut(self.parts.lanes.total_len());
        self.ghosts.cut(arms::reach(self.parts.lanes.total_len()));
    }

    fn evict(&mut self, need: Need, all: &dyn Residents) -> Option<Slot> {
        self.watch.look(&mut self.parts.lanes, &mut self.sketch, &self.guide, all);
        if need == Need::Entry {
            // One at a time, those that were out of the way are in it again.
            if let Some(slot) = self.parts.coldest(WEIGHTLESS) {
                self.parts.move_to(MAIN, slot, all.weight(slot));
            }
        }
        let arm = self.guide.arm();
        let target = self.target(arm);
        self.narrow_window(target, all);
        let leaves = self.choose(arm, target, need, all)?;
        self.full_at = Some((need, self.amount(need)));
        self.drop_out(leaves.slot, leaves.weight);
        Some(leaves.slot)
    }

    fn exchange(&mut self, hash: u32, all: &dyn Residents) -> Exchange {
        if !self.parts.is_classed() {
            return self.exchange_plainly(hash, all);
        }
        let Some(victim) = self.evict(Need::Entry, all) else { return Exchange::NONE };
        self.on_insert(victim, Seen::new(hash, 1, 0), all);
        Exchange::of(victim, self.next_victim())
    }

    fn next_victim(&self) -> Option<Slot> {
        self.parts.coldest(WINDOW).or(self.parts.coldest(MAIN))
    }

    fn coldest_first(&self, all: &dyn Residents) -> Vec<Slot> {
        let parts = [MAIN, WINDOW, WEIGHTLESS];
        by_hits(parts.into_iter().flat_map(|part| self.parts.coldest_first(part)), all)
    }

    fn validate(&self, all: &dyn Residents) -> Result<(), String> {
        self.parts.lanes.validate(all)
    }
}

impl Drop for Adaptive {
    fn drop(&mut self) {
        self.guide.recount(self.told, 0);
    }
}
