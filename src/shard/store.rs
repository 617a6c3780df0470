//! Storing a value, and making room for it.
//!
//! ```text
//!   found ──► its place is taken over; only growth needs room
//!   new   ──► room for all of it
//!                │
//!   room: free ─► else what has expired ─► else a victim of this shard
//!                                           │ but not if it has less than its
//!                                           ▼ share: then another one lends
//! ```

use super::Visit;
use super::visit::RECLAIM_STEPS;
use crate::budget::{Cost, Credit, Shortage};
use crate::expiry::Span;
use crate::hash::KeyHash;
use crate::listener::{Cause, Removal};
use crate::policy::Need;
use crate::slab::Node;
use crate::slot::{Residents, Slot};
use crate::tags::TagSet;
use std::sync::Arc;

/// What is known of an entry before it is stored.
#[derive(Clone, Copy)]
pub(crate) struct Incoming {
    pub(crate) hash: KeyHash,
    pub(crate) cost: Cost,
    pub(crate) span: Span,
}

impl<'a, K, V> Visit<'a, K, V> {
    pub(crate) fn could_hold(&self, cost: Cost) -> bool {
        self.hub.budget.could_hold(cost)
    }

    /// Stores the entry that `make` returns where [`find`](Visit::find) has
    /// found its key, or puts it aside at once if the whole cache could not
    /// hold it. Fails, without having called `make`, if another shard has to
    /// help with room first.
    pub(crate) fn store(
        &mut self,
        incoming: Incoming,
        found: Option<Slot>,
        credit: &mut Credit<'a>,
        make: impl FnOnce(&mut Self) -> Arc<Node<K, V>>,
    ) -> Result<(), Shortage> {
        if !self.could_hold(incoming.cost) {
            if let Some(slot) = found {
                self.remove(slot, Cause::Replaced);
            }
            let node = make(self);
            self.put_aside(incoming.hash.fragment(), node, Cause::Rejected);
            return Ok(());
        }
        match found {
            Some(slot) => self.store_over(incoming, slot, credit, make),
            None => {
                self.make_room(incoming.cost, None, credit)?;
                let node = make(self);
                credit.spend(incoming.cost);
                self.link(incoming, node);
                Ok(())
            }
        }
    }

    /// Stores a value in the place of the older one at `slot`.
    fn store_over(
        &mut self,
        incoming: Incoming,
        slot: Slot,
        credit: &mut Credit<'a>,
        make: impl FnOnce(&mut Self) -> Arc<Node<K, V>>,
    ) -> Result<(), Shortage> {
        self.note_use(slot);
        let weight = |weight| Cost { entries: 0, weight };
        let (was, is) = (u64::from(self.core().slab.weight(slot)), incoming.cost.weight);
        let growth = weight(is.saturating_sub(was));
        let old = Arc::as_ptr(self.node(slot));
        self.make_room(growth, Some(slot), credit)?;
        if self.core().slab.get(slot).is_none() {
            return self.store_after(old, incoming, credit, make);
        }
        let node = make(self);
        credit.spend(growth);
        credit.refund(weight(was.saturating_sub(is)));
        self.swap(incoming, slot, node);
        Ok(())
    }

    /// Stores a value whose predecessor `old` left while room was made for it.
    fn store_after(
        &mut self,
        old: *const Node<K, V>,
        incoming: Incoming,
        credit: &mut Credit<'a>,
        make: impl FnOnce(&mut Self) -> Arc<Node<K, V>>,
    ) -> Result<(), Shortage> {
        let is_old = |gone: &&Removal<K, V>| Arc::as_ptr(&gone.node) == old;
        match self.gone.iter().find(is_old).map(|gone| gone.cause) {
            // Its time was up: the newcomer is stored like any other.
            Some(Cause::Expired) => self.store(incoming, None, credit, make),
            // The policy chose this very entry to make room for its new value.
            _ => {
                let node = make(self);
                // It came and went: counted both ways, so that sums agree.
                self.core_mut().tally.inserts += 1;
                self.put_aside(incoming.hash.fragment(), node, Cause::Size);
                Ok(())
            }
        }
    }

    fn swap(&mut self, incoming: Incoming, slot: Slot, node: Arc<Node<K, V>>) {
        let home = self.shard.home;
        let core = self.core_mut();
        let tags = node.tags.clone();
        let (was, is) = (core.slab.weight(slot), incoming.cost.weight);
        let old = core.slab.replace(slot, node);
        if is != u64::from(was) {
            core.slab.set_weight(slot, is as u32);
            core.weight = core.weight - u64::from(was) + is;
            core.policy.on_reweigh(slot, was, &core.slab);
        }
        core.tally.inserts += 1;
        core.members.leave(home, slot, &old.tags);
        self.put_aside(incoming.hash.fragment(), old, Cause::Replaced);
        self.start_life(slot, incoming.span, &tags);
    }

    fn link(&mut self, incoming: Incoming, node: Arc<Node<K, V>>) {
        let hash = incoming.hash.fragment();
        let core = self.core_mut();
        let tags = node.tags.clone();
        let slot = core.slab.insert(hash, incoming.cost.weight as u32, node);
        let slab = &core.slab;
        core.index.insert(hash, slot, |slot| slab.hash(slot));
        core.policy.on_insert(slot, &core.slab);
        core.weight += incoming.cost.weight;
        core.tally.inserts += 1;
        self.start_life(slot, incoming.span, &tags);
    }

    /// Starts the life of the value that was just stored at `slot`.
    fn start_life(&mut self, slot: Slot, span: Span, tags: &TagSet) {
        let (hub, load_nanos) = (self.hub, self.load_nanos);
        let core = self.core_mut();
        if span != Span::ENDLESS || !core.deadlines.is_unused() {
            core.deadlines.begin(slot, span, hub.lifetimes.now());
        }
        core.ages.begin(slot, &hub.lifetimes, load_nanos);
        self.join(slot, tags);
    }

    fn join(&mut self, slot: Slot, tags: &TagSet) {
        let home = self.shard.home;
        if let Some(dead) = self.core_mut().members.join(home, slot, tags) {
            // It was invalidated between its look-up and here.
            self.shard.doom(dead);
        }
    }

    /// Evicts until `credit` covers `cost`, what has expired first, or until
    /// `replaced`, which the room is for, has left itself. Fails if another
    /// shard has to help.
    fn make_room(
        &mut self,
        cost: Cost,
        replaced: Option<Slot>,
        credit: &mut Credit<'a>,
    ) -> Result<(), Shortage> {
        while let Err(need) = credit.raise_to(cost) {
            if replaced.is_some_and(|slot| self.core().slab.get(slot).is_none()) {
                break;
            }
            if self.reclaim_one() {
                continue;
            }
            if self.is_poor(need, cost) || !self.evict(need, credit) {
                return Err(Shortage { need, wanted: cost });
            }
        }
        Ok(())
    }

    /// Whether this shard would still be within its share with `cost` more:
    /// then another one has more than its share, and ought to give.
    fn is_poor(&self, need: Need, cost: Cost) -> bool {
        let share = self.hub.share();
        let core = self.core();
        self.hub.shards > 1
            && match need {
                Need::Entry => core.slab.len() as u64 + cost.entries <= share.entries,
                Need::Weight => core.weight.saturating_add(cost.weight) <= share.weight,
            }
    }

    /// Takes out an entry that has expired, if one is soon found.
    fn reclaim_one(&mut self) -> bool {
        if self.core().deadlines.is_unused() {
            return false;
        }
        let (now, mut steps) = (self.hub.lifetimes.reclaimable(), RECLAIM_STEPS);
        let due = self.core_mut().deadlines.pop_due(now, &mut steps);
        if let Some(slot) = due {
            self.remove(slot, Cause::Expired);
        }
        due.is_some()
    }

    /// Evicts one entry and adds what it cost to `credit`.
    fn evict(&mut self, need: Need, credit: &mut Credit<'_>) -> bool {
        let core = self.core_mut();
        let Some(victim) = core.policy.evict(need, &core.slab) else { return false };
        let cost = self.unlink(victim, Cause::Size);
        credit.refund(cost);
        true
    }

    /// Evicts for another shard's sake: one entry at least, and more as long
    /// as this shard has more than its share and `credit` is not enough.
    pub(crate) fn lend(&mut self, shortage: Shortage, credit: &mut Credit<'_>) {
        while self.evict(shortage.need, credit) {
            let (core, share) = (self.core(), self.hub.share());
            let is_rich = core.slab.len() as u64 > share.entries || core.weight > share.weight;
            if credit.raise_to(shortage.wanted).is_ok() || !is_rich {
                break;
            }
        }
    }

    /// Evicts as long as the cache holds more than it may, `most` entries at
    /// the most. Returns whether any left.
    pub(crate) fn shrink(&mut self, most: usize) -> bool {
        let hub = self.hub;
        let mut has_shrunk = false;
        for _ in 0..most {
            let Some(need) = hub.budget.excess() else { break };
            if !self.evict(need, &mut Credit::new(&hub.budget)) {
                break;
            }
            has_shrunk = true;
        }
        has_shrunk
    }
}
