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

use super::visit::RECLAIM_STEPS;
use super::{Core, Hub, Shard, Visit};
use crate::budget::{Cost, Credit, Shortage};
use crate::expiry::Span;
use crate::hash::KeyHash;
use crate::listener::Cause;
use crate::policy::Need;
use crate::slab::Entry;
use crate::slot::{Residents, Seen, Slot};
use crate::vault::{Left, Locked};

/// What is known of an entry before it is stored.
#[derive(Clone, Copy)]
pub(crate) struct Incoming {
    pub(crate) hash: KeyHash,
    pub(crate) cost: Cost,
    pub(crate) span: Span,
}

/// What became of the value that a newcomer was to take the place of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Predecessor {
    InPlace,
    /// It left while room was made.
    Gone(Cause),
}

impl<K, V> Shard<K, V> {
    /// Whether this shard would still be within its share with `cost` more:
    /// then another one has more than its share, and ought to give.
    #[inline]
    pub(super) fn is_poor(
        &self,
        hub: &Hub<K, V>,
        locked: &Locked<'_, K, V, Core<K, V>>,
        need: Need,
        cost: Cost,
    ) -> bool {
        hub.shards > 1
            && match need {
                // Multiplied out, because every insert asks.
                Need::Entry => {
                    let entries = locked.len() as u64 + cost.entries;
                    entries * hub.shards as u64 <= hub.budget.entries_max()
                }
                Need::Weight => {
                    locked.core().weight.saturating_add(cost.weight) <= hub.share().weight
                }
            }
    }
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
        make: impl FnOnce(&mut Self) -> Entry<K, V>,
    ) -> Result<(), Shortage> {
        if !self.could_hold(incoming.cost) {
            if let Some(slot) = found {
                self.remove(slot, Cause::Replaced);
            }
            let entry = make(self);
            self.put_aside(incoming.hash.fragment(), Left::Owned(entry), Cause::Rejected);
            return Ok(());
        }
        match found {
            Some(slot) => self.store_over(incoming, slot, credit, make),
            None => {
                if !self.is_admitted(incoming, credit) {
                    return self.come_and_go(incoming, make);
                }
                self.make_room(incoming.cost, None, credit)?;
                let entry = make(self);
                credit.spend(incoming.cost);
                self.link(incoming, entry);
                Ok(())
            }
        }
    }

    /// Whether the policy lets a new entry in, if this shard has to give up
    /// others for its weight, and not only what has expired.
    #[inline]
    fn is_admitted(&mut self, incoming: Incoming, credit: &mut Credit<'a>) -> bool {
        while credit.raise_to(incoming.cost) == Err(Need::Weight) {
            if self.shard.is_poor(self.hub, self.locked(), Need::Weight, incoming.cost) {
                return true;
            }
            if self.reclaim_one().is_none() {
                let (core, all) = self.locked_mut().parts();
                let (hash, weight) = (incoming.hash.fragment(), incoming.cost.weight);
                return core.policy.admits(Seen::new(hash, weight as u32, 0), &all);
            }
        }
        true
    }

    /// A new value comes in, and the policy gives up that very entry.
    fn come_and_go(
        &mut self,
        incoming: Incoming,
        make: impl FnOnce(&mut Self) -> Entry<K, V>,
    ) -> Result<(), Shortage> {
        let entry = make(self);
        // Counted both ways, so that sums agree.
        self.core_mut().tally.inserts += 1;
        self.put_aside(incoming.hash.fragment(), Left::Owned(entry), Cause::Size);
        Ok(())
    }

    /// Stores a value in the place of the older one at `slot`.
    fn store_over(
        &mut self,
        incoming: Incoming,
        slot: Slot,
        credit: &mut Credit<'a>,
        make: impl FnOnce(&mut Self) -> Entry<K, V>,
    ) -> Result<(), Shortage> {
        self.note_use(slot);
        let weight = |weight| Cost { entries: 0, weight };
        let (was, is) = (u64::from(self.locked().weight(slot)), incoming.cost.weight);
        let growth = weight(is.saturating_sub(was));
        match self.make_room(growth, Some(slot), credit)? {
            Predecessor::InPlace => {}
            // Its time was up: the newcomer is stored like any other.
            Predecessor::Gone(Cause::Expired) => return self.store(incoming, None, credit, make),
            // The policy chose this very entry to make room for its new value.
            Predecessor::Gone(_) => return self.come_and_go(incoming, make),
        }
        let entry = make(self);
        credit.spend(growth);
        credit.refund(weight(was.saturating_sub(is)));
        self.swing(incoming, slot, entry);
        Ok(())
    }

    /// Puts a value in the place of the older one at `old`.
    fn swing(&mut self, incoming: Incoming, old: Slot, entry: Entry<K, V>) {
        let home = self.shard.home;
        if let Some(tags) = self.locked().tags(old).filter(|tags| !tags.is_empty()).cloned() {
            self.core_mut().members.leave(home, old, &tags);
        }
        let hash = incoming.hash.fragment();
        let (was, is) = (self.locked().weight(old), incoming.cost.weight);
        let new = self.fill(incoming, entry);
        let left = self.locked_mut().swing(old, new);
        let (core, all) = self.locked_mut().parts();
        core.policy.on_move(old, new);
        if is != u64::from(was) {
            core.weight = core.weight - u64::from(was) + is;
            core.policy.on_reweigh(new, was, &all);
        }
        core.tally.inserts += 1;
        core.schedule.cancel(old);
        self.put_aside(hash, left, Cause::Replaced);
    }

    #[inline]
    fn link(&mut self, incoming: Incoming, entry: Entry<K, V>) {
        let slot = self.fill(incoming, entry);
        self.locked_mut().link(slot);
        let (core, all) = self.locked_mut().parts();
        core.policy.on_insert(slot, all.look(slot), &all);
        core.weight += incoming.cost.weight;
        core.tally.inserts += 1;
    }

    /// Makes an entry ready to be found.
    #[inline]
    fn fill(&mut self, incoming: Incoming, entry: Entry<K, V>) -> Slot {
        let (shard, hub, load_nanos) = (self.shard, self.hub, self.load_nanos);
        let tags = (!entry.tags.is_empty()).then(|| entry.tags.clone());
        if tags.is_some() {
            shard.become_elaborate();
        }
        if incoming.span != Span::ENDLESS {
            shard.keep_time();
        }
        let weight = incoming.cost.weight as u32;
        let slot = self.locked_mut().fill(incoming.hash.fragment(), weight, entry);
        let core = self.core_mut();
        if incoming.span != Span::ENDLESS || !shard.deadlines.is_unused() {
            shard.deadlines.begin(&mut core.schedule, slot, incoming.span, &hub.lifetimes);
        }
        core.ages.begin(slot, &hub.lifetimes, load_nanos);
        let dead = tags.and_then(|tags| core.members.join(shard.home, slot, &tags));
        if let Some(dead) = dead {
            // It was invalidated between its look-up and here.
            shard.doom(dead);
        }
        slot
    }

    /// Evicts until `credit` covers `cost`, what has expired first, or until
    /// `replaced`, which the room is for, has left itself. Fails if another
    /// shard has to help.
    #[inline]
    fn make_room(
        &mut self,
        cost: Cost,
        replaced: Option<Slot>,
        credit: &mut Credit<'a>,
    ) -> Result<Predecessor, Shortage> {
        while let Err(need) = credit.raise_to(cost) {
            let (leaver, cause) = match self.reclaim_one() {
                Some(slot) => (Some(slot), Cause::Expired),
                None if self.shard.is_poor(self.hub, self.locked(), need, cost) => {
                    (None, Cause::Size)
                }
                None => (self.evict(need, credit), Cause::Size),
            };
            match leaver {
                None => return Err(Shortage { need, wanted: cost }),
                leaver if leaver == replaced => return Ok(Predecessor::Gone(cause)),
                Some(_) => {}
            }
        }
        Ok(Predecessor::InPlace)
    }

    /// Takes out an entry that has expired, if one is soon found.
    #[inline]
    fn reclaim_one(&mut self) -> Option<Slot> {
        if self.core().schedule.is_empty() {
            return None;
        }
        let (now, mut steps) = (self.hub.lifetimes.reclaimable(), RECLAIM_STEPS);
        let due = self.pop_due(now, &mut steps)?;
        self.remove(due, Cause::Expired);
        Some(due)
    }

    /// Evicts one entry and adds what it cost to `credit`.
    #[inline]
    fn evict(&mut self, need: Need, credit: &mut Credit<'_>) -> Option<Slot> {
        let (core, all) = self.locked_mut().parts();
        let victim = core.policy.evict(need, &all)?;
        let (hash, cost, left) = self.unlink(victim);
        self.put_aside(hash, left, Cause::Size);
        credit.refund(cost);
        Some(victim)
    }

    /// Evicts for another shard's sake: one entry at least, and more as long
    /// as this shard has more than its share and `credit` is not enough.
    pub(crate) fn lend(&mut self, shortage: Shortage, credit: &mut Credit<'_>) {
        while self.evict(shortage.need, credit).is_some() {
            let (entries, share) = (self.locked().len() as u64, self.hub.share());
            let is_rich = entries > share.entries || self.core().weight > share.weight;
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
            if self.evict(need, &mut Credit::new(&hub.budget)).is_none() {
                break;
            }
            has_shrunk = true;
        }
        has_shrunk
    }
}

#[cfg(test)]
mod tests {
    use crate::hash::KeyHash;
    use crate::{Cache, Eviction, ManualClock};
    use std::hash::{BuildHasherDefault, DefaultHasher};
    use std::time::Duration;

    type Seedless = BuildHasherDefault<DefaultHasher>;

    /// Keys that belong to one of two shards.
    fn keys_of(shard: usize) -> impl Iterator<Item = u64> {
        (0..).filter(move |key| KeyHash::of(key, &Seedless::default()).shard(2) == shard)
    }

    #[test]
    fn a_shard_that_comes_late_gets_its_share_from_the_one_that_holds_more() {
        for by_weight in [false, true] {
            let builder = Cache::builder().shards(2).hasher(Seedless::default());
            let builder = builder.eviction(Eviction::Lru);
            let cache = match by_weight {
                true => builder.weight_capacity(100).weigher(|_, _| 1).build().unwrap(),
                false => builder.capacity(100).build().unwrap(),
            };
            for key in keys_of(0).take(100).chain(keys_of(1).take(200)) {
                cache.insert(key, ());
            }
            let late = keys_of(1).take(200).filter(|key| cache.contains_key(key)).count();
            assert_eq!((late, cache.len()), (50, 100));
        }
    }

    /// Full of 200 entries of weight 5 that are asked for often. A newcomer of
    /// weight 600 is not worth what would have to leave.
    fn full_of_light_ones(clock: &ManualClock) -> Cache<u64, u32, Seedless> {
        let builder = Cache::builder().shards(1).hasher(Seedless::default()).record_stats();
        let builder = builder.time_to_live(Duration::from_secs(10)).clock(clock.clone());
        let builder = builder.weight_capacity(1000).weigher(|_, weight: &u32| *weight);
        let cache = builder.build().unwrap();
        for round in 0..20 {
            for key in 0..200 {
                cache.get_with(&key, || 5);
            }
            cache.insert(1000 + round, 5);
        }
        cache
    }

    #[test]
    fn a_heavy_newcomer_that_is_refused_comes_and_goes_and_nobody_leaves_for_it() {
        let cache = full_of_light_ones(&ManualClock::new());
        let before = cache.stats();
        cache.insert(99_999, 600);
        assert_eq!((cache.get(&99_999), cache.len(), cache.weight()), (None, 200, 1000));
        let since = cache.stats() - before;
        assert_eq!((since.inserts, since.evicted, since.rejected), (1, 1, 0));
    }

    #[test]
    fn a_heavy_newcomer_takes_the_room_of_what_has_expired_and_nobody_has_to_let_it_in() {
        let clock = ManualClock::new();
        let cache = full_of_light_ones(&clock);
        clock.advance(Duration::from_secs(11));
        let before = cache.stats();
        cache.insert(99_999, 600);
        assert_eq!((cache.get(&99_999), (cache.stats() - before).evicted), (Some(600), 0));
    }
}
