//! The short way in, for the insert that most caches see most of the time: into
//! a shard where nothing else is going on.
//!
//! It does what a [`Visit`](super::Visit) would do, less all that a visit finds
//! it need not do. Where anything is out of the ordinary it changes nothing and
//! says so, and the visit is made.

use super::{Core, Hub, Shard};
use crate::budget::{Cost, Credit};
use crate::hash::KeyHash;
use crate::listener::Cause;
use crate::policy::{Need, Notes};
use crate::slab::Entry;
use crate::slot::Slot;
use crate::vault::{Left, Locked};
use std::sync::atomic::Ordering;

/// What became of an insert.
pub(crate) enum Short<K, V> {
    /// It is stored, and this made way for it, if anything had to and no reader
    /// uses it.
    Stored(Option<Entry<K, V>>),
    /// It has to go the long way.
    NotTaken(Entry<K, V>),
}

/// Who makes way.
enum Victim<K, V> {
    /// Nobody has to.
    None,
    /// It has left; nothing of it is here if a reader still uses it.
    Here(Option<Entry<K, V>>),
    /// Another shard should give, or this one cannot.
    Elsewhere,
}

impl<K: Eq, V> Shard<K, V> {
    /// Stores `entry` if that takes no more than an eviction.
    #[inline]
    pub(crate) fn insert_plainly(
        &self,
        hub: &Hub<K, V>,
        hash: KeyHash,
        entry: Entry<K, V>,
    ) -> Short<K, V> {
        let mut locked = self.vault.lock();
        if !self.is_calm(hub, &locked) {
            return Short::NotTaken(entry);
        }
        let aim = locked.aim(hash.fragment());
        if let Some(old) = locked.find_from(aim, hash.fragment(), &entry.key) {
            return Short::Stored(self.replace_plainly(hub, &mut locked, old, entry));
        }
        let mut credit = Credit::new(&hub.budget);
        let (need, cost) = (credit.raise_to(Cost::of(1)).err(), Cost::of(1));
        let victim = match need {
            None => {
                credit.spend(cost);
                Victim::None
            }
            Some(need) if self.is_poor(hub, &locked, need, cost) => Victim::Elsewhere,
            // Its room goes to the newcomer, and never back to the account.
            Some(need) => self.evict_plainly(&mut locked, need),
        };
        let victim = match victim {
            Victim::Elsewhere => return Short::NotTaken(entry),
            Victim::None => {
                locked.core_mut().weight += 1;
                self.gauge.entries.store(locked.len() as u64 + 1, Ordering::Relaxed);
                self.gauge.weight.store(locked.core().weight, Ordering::Relaxed);
                None
            }
            Victim::Here(victim) => victim,
        };
        let slot = locked.add(aim, hash.fragment(), entry);
        let (core, all) = locked.parts();
        core.policy.on_insert(slot, &all);
        core.tally.inserts += 1;
        Short::Stored(victim)
    }

    /// Whether a visit would find nothing to tidy up, nobody to wait for, and
    /// no entry that is more than key and value.
    #[inline]
    fn is_calm(&self, hub: &Hub<K, V>, locked: &Locked<'_, K, V, Core<K, V>>) -> bool {
        self.deadlines.is_unused()
            && self.vault.is_without_tags()
            && !self.is_stale(hub)
            && !self.gauge.has_doomed.load(Ordering::SeqCst)
            && !locked.has_leftovers()
            && locked.is_unweighed()
            && locked.core().claims.is_empty()
            && locked.core().flights.is_empty()
            && self.hit_log.is_empty()
    }

    /// Puts `entry` in the place of the one at `old`, which is of the same key.
    fn replace_plainly(
        &self,
        hub: &Hub<K, V>,
        locked: &mut Locked<'_, K, V, Core<K, V>>,
        old: Slot,
        entry: Entry<K, V>,
    ) -> Option<Entry<K, V>> {
        match hub.notes {
            Notes::Nothing => {}
            Notes::Count => locked.bump(old),
            Notes::Order => locked.core_mut().policy.on_hit(old),
        }
        let new = locked.fill(locked.hash(old), 1, entry);
        let left = locked.swing(old, new);
        let core = locked.core_mut();
        core.policy.on_move(old, new);
        core.tally.inserts += 1;
        core.tally.removals[Cause::Replaced as usize] += 1;
        self.owned(left)
    }

    /// What left, unless a reader still uses it: nobody else will hear of it.
    #[inline]
    fn owned(&self, left: Left<K, V>) -> Option<Entry<K, V>> {
        match left {
            Left::Owned(entry) => Some(entry),
            Left::Watched(watched) => {
                self.vault.release(watched);
                None
            }
        }
    }

    /// Evicts one entry, if the policy gives one up.
    #[inline]
    fn evict_plainly(&self, locked: &mut Locked<'_, K, V, Core<K, V>>, need: Need) -> Victim<K, V> {
        let (core, all) = locked.parts();
        let Some(slot) = core.policy.evict(need, &all) else { return Victim::Elsewhere };
        core.tally.removals[Cause::Size as usize] += 1;
        Victim::Here(self.owned(locked.remove(slot)))
    }
}
