//! The short way of an insert into a full shard in which all entries weigh 1.
//!
//! It does what `evict` and `on_insert` do one after the other, less what only
//! weights make necessary, and less what two steps have to find out twice. Most
//! newcomers push out who has waited longest in the window, and take its slot:
//! the window's queue turns by one, and that is all.

use super::super::{Exchange, Need};
use super::arms::{self, Arm};
use super::parts::{MAIN, WINDOW};
use super::{Adaptive, Player, Standing};
use crate::slot::{Residents, Slot};

/// In a shard of fewer entries, all that is known of them is near.
const FAR: usize = 8192;

/// What the arm in office means for so many entries.
#[derive(Clone, Copy)]
pub(super) struct Office {
    arm: &'static Arm,
    entries: usize,
    /// How many are in the window.
    target: usize,
    /// How many are remembered, and how many while one is leaving.
    reach: usize,
    reach_of_rest: usize,
}

impl Office {
    pub(super) fn of(arm: &'static Arm, entries: usize) -> Self {
        let target = arm.window(entries as u64) as usize;
        let (reach, of_rest) = (arms::reach(entries), arms::reach(entries.saturating_sub(1)));
        Office { arm, entries, target, reach, reach_of_rest: of_rest }
    }
}

impl Adaptive {
    #[inline(always)]
    pub(super) fn exchange_plainly(&mut self, newcomer: u32, all: &dyn Residents) -> Exchange {
        if self.office.arm.remembers && self.office.entries >= FAR {
            self.ghosts.prefetch(newcomer);
        }
        self.watch.look(&mut self.parts.lanes, &mut self.sketch, &self.guide, all);
        let Office { arm, entries, target, reach, reach_of_rest } = self.office();
        if self.parts.count(WINDOW) > target + 1 {
            self.let_out(target as u64, all);
        }
        let Some(leaves) = self.choose_plainly(arm, target, reach, all) else {
            return Exchange::NONE;
        };
        self.full_at = Some((Need::Entry, entries as u64));
        // The hands have reported to the guide since.
        let is_back = self.guide.arm().remembers && self.ghosts.take(newcomer, reach_of_rest);
        if is_back {
            self.sketch.count(newcomer, 1);
        }
        self.parts.hand_over(leaves, if is_back { MAIN } else { WINDOW });
        self.sketch.fit(entries);
        let is_sampled = self.guide.samples(newcomer);
        if self.watch.pass_on(leaves, is_sampled, &mut self.parts.lanes) {
            self.report(newcomer);
        }
        Exchange::of(leaves, self.foresee(all))
    }

    /// As things stand.
    #[inline(always)]
    fn office(&mut self) -> Office {
        let (arm, entries) = (self.guide.arm(), self.parts.lanes.total_len());
        if self.office.entries != entries || !std::ptr::eq(self.office.arm, arm) {
            self.office = Office::of(arm, entries);
        }
        self.office
    }

    /// Who leaves, and stands where it stood until now.
    #[inline(always)]
    fn choose_plainly(
        &mut self,
        arm: &Arm,
        target: usize,
        reach: usize,
        all: &dyn Residents,
    ) -> Option<Slot> {
        let candidate = match self.parts.count(WINDOW) >= target {
            false => None,
            true if arm.contests => self.unread(WINDOW, all),
            true => self.unproven(target as u64, Need::Entry, all),
        };
        let Some(candidate) = candidate else {
            let leaves = self.unread(MAIN, all);
            let leaves = leaves.or_else(|| self.unread(WINDOW, all))?.slot;
            self.stand_down(leaves);
            return Some(leaves);
        };
        let victim = if arm.contests { self.unread(MAIN, all) } else { None };
        let ours = self.sketch.count(candidate.hash, 1);
        if let Some(victim) = victim.filter(|victim| ours > self.count_of(*victim, all)) {
            self.parts.move_to(MAIN, candidate.slot, 1);
            self.standing = None;
            return Some(victim.slot);
        }
        if arm.remembers {
            self.ghosts.remember(candidate.hash, reach);
        }
        Some(candidate.slot)
    }

    /// The first unread entry of `part`.
    #[inline(always)]
    fn unread(&mut self, part: usize, all: &dyn Residents) -> Option<Player> {
        let slot = self.parts.first(part)?;
        let seen = all.look(slot);
        match seen.hits {
            0 => Some(Player::of(slot, seen)),
            _ => self.pass_on(part, Need::Entry, all),
        }
    }

    /// How often the one that would make way was used. Most often, it is the same
    /// as in the last contest.
    #[inline(always)]
    fn count_of(&mut self, victim: Player, all: &dyn Residents) -> u8 {
        let (slot, age) = (victim.slot, self.sketch.age());
        match self.standing {
            Some(known) if known.slot == slot && known.age == age => known.estimate,
            _ => {
                let estimate = self.sketch.estimate(victim.hash);
                self.fetch_after(slot, all);
                self.standing = Some(Standing { slot, estimate, age });
                estimate
            }
        }
    }

    /// Who will probably leave next.
    #[inline(always)]
    fn foresee(&self, all: &dyn Residents) -> Option<Slot> {
        let next = self.parts.first(WINDOW)?;
        if self.office.entries >= FAR {
            self.fetch(next, all);
        }
        Some(next)
    }

    /// Has fetched what will be known of `next`, and whose turn it will be then.
    fn fetch(&self, next: Slot, all: &dyn Residents) {
        let hash = all.hash(next);
        self.sketch.prefetch(hash);
        if self.office.arm.remembers {
            self.ghosts.prefetch(hash);
        }
        self.fetch_after(next, all);
    }

    /// Whose turn it will be after `slot`.
    #[inline]
    pub(super) fn fetch_after(&self, slot: Slot, all: &dyn Residents) {
        if let Some(after) = self.parts.lanes.foresee(slot) {
            all.prefetch(after);
        }
    }
}
