//! What a visit has to do with the loads of its shard.
//!
//! A load is registered here before it begins. Whatever happens to its key
//! meanwhile overtakes it: a later caller then begins a load of its own, and
//! the leader, who visits once more to store the value, finds that it is not
//! registered any more.

use super::{Hub, Shard, Visit};
use crate::expiry::Freshness;
use crate::flight::{Flight, Purpose};
use crate::hash::KeyHash;
use crate::listener::Cause;
use crate::slot::Slot;
use crate::stats::Tally;
use crate::sync::modelled;
use crate::tags::TagSet;
use equivalent::Equivalent;
use std::sync::Arc;

/// What someone finds who wants to load a key.
pub(crate) enum Boarding<V> {
    /// There is a value after all.
    Hit(V),
    /// It is being loaded, or has failed lately.
    Join(modelled::Arc<Flight<V>>),
    /// Nobody loads it. It may have a value, if that was to be reloaded.
    Free(Option<Slot>),
}

/// A value that may have expired.
pub(crate) struct Stale<V> {
    pub(crate) value: V,
    pub(crate) age: Freshness,
    pub(crate) has_expired: bool,
}

impl<K, V> Visit<'_, K, V> {
    /// Looks for a value of `key`, and else for a load of it, other than
    /// `useless`, which this caller could not use. With `is_forced`, a value
    /// and a remembered failure will not do.
    pub(crate) fn board<Q>(
        &mut self,
        hash: KeyHash,
        key: &Q,
        useless: Option<&modelled::Arc<Flight<V>>>,
        is_forced: bool,
    ) -> Boarding<V>
    where
        Q: Equivalent<K> + ?Sized,
        V: Clone,
    {
        let found = self.find_or_keep(hash, key);
        if let (Some(slot), false) = (found, is_forced) {
            let value = self.locked().value(slot).clone();
            self.note_use(slot);
            return Boarding::Hit(value);
        }
        match self.join_load(hash, key, useless, is_forced) {
            Some(flight) => Boarding::Join(flight),
            None => Boarding::Free(found),
        }
    }

    /// The load of `key` that is under way, if it may be joined. One that may
    /// not is overtaken.
    fn join_load<Q>(
        &mut self,
        hash: KeyHash,
        key: &Q,
        useless: Option<&modelled::Arc<Flight<V>>>,
        is_forced: bool,
    ) -> Option<modelled::Arc<Flight<V>>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let lifetimes = &self.hub.lifetimes;
        let registered = self.core().flights.find(hash.fragment(), key)?;
        let flight = modelled::Arc::clone(&registered.flight);
        let is_useless = (is_forced && registered.until.is_some())
            || useless.is_some_and(|useless| modelled::Arc::ptr_eq(useless, &flight));
        if is_useless || registered.is_over(|| lifetimes.now()) {
            self.overtake(hash, key);
            return None;
        }
        if registered.until.is_none() {
            self.tally().coalesced += 1;
        }
        Some(flight)
    }

    /// Registers a load that is to begin after this visit.
    pub(crate) fn begin_load(
        &mut self,
        hash: KeyHash,
        key: Arc<K>,
        tags: TagSet,
        purpose: Purpose,
    ) -> modelled::Arc<Flight<V>> {
        let flight = Flight::take_off();
        let flights = &mut self.core_mut().flights;
        let registered = modelled::Arc::clone(&flight);
        flights.register(hash.fragment(), key, registered, tags, purpose);
        flight
    }

    /// Whether what `flight` has loaded may be stored.
    pub(crate) fn may_land<Q>(
        &self,
        hash: KeyHash,
        key: &Q,
        flight: &modelled::Arc<Flight<V>>,
    ) -> bool
    where
        Q: Equivalent<K> + ?Sized,
    {
        let core = self.core();
        // A computation that is under way comes later, and decides.
        core.flights.holds(hash.fragment(), flight)
            && core.claims.find(hash.fragment(), key).is_none()
    }

    /// Ends the registration of `flight`, if it has not been overtaken.
    pub(crate) fn end_load(&mut self, hash: KeyHash, flight: &modelled::Arc<Flight<V>>) {
        drop(self.core_mut().flights.take(hash.fragment(), flight));
        // Storing the value may just have overtaken it. The leader has the key
        // and the flight, too: nothing of the user's is dropped here.
        self.overtaken.retain(|other| !modelled::Arc::ptr_eq(&other.flight, flight));
    }

    /// Lets `flight`, which has failed, be joined for `nanos` from now on.
    pub(crate) fn remember(
        &mut self,
        hash: KeyHash,
        flight: &modelled::Arc<Flight<V>>,
        nanos: u64,
    ) {
        let until = self.hub.lifetimes.now().saturating_add(nanos);
        let forgotten = self.core_mut().flights.remember(hash.fragment(), flight, until);
        self.overtaken.extend(forgotten);
    }

    /// What is being loaded for the key shall not be stored, and nobody shall
    /// join it from here on; a failure of it is forgotten.
    #[inline]
    pub(crate) fn overtake<Q>(&mut self, hash: KeyHash, key: &Q)
    where
        Q: Equivalent<K> + ?Sized,
    {
        let flights = &mut self.core_mut().flights;
        if !flights.is_empty() {
            let overtaken = flights.overtake(hash.fragment(), key);
            self.overtaken.extend(overtaken);
        }
    }

    /// The value at `slot` leaves: a reload of it is void.
    #[inline]
    pub(super) fn overtake_reload(&mut self, hash: u32, slot: Slot) {
        let flights = &mut self.core_mut().flights;
        if !flights.is_empty() {
            let overtaken = flights.overtake_reload(hash, slot);
            self.overtaken.extend(overtaken);
        }
    }

    /// As [`overtake`](Visit::overtake), for every key of the shard.
    pub(crate) fn overtake_all(&mut self) {
        let all = self.core_mut().flights.overtake_all();
        self.overtaken.extend(all);
    }

    /// Drops remembered failures whose time is up.
    pub(super) fn forget_failures(&mut self) {
        let lifetimes = &self.hub.lifetimes;
        while let Some(forgotten) = self.core_mut().flights.forget_due(|| lifetimes.now()) {
            self.overtaken.push(forgotten);
        }
    }

    pub(crate) fn tally(&mut self) -> &mut Tally {
        &mut self.core_mut().tally
    }

    /// The slot of `key`, if its entry is visible. One that is not is taken
    /// out, as in [`find`](Visit::find), unless it may still be of use should
    /// a load fail.
    pub(crate) fn find_or_keep<Q>(&mut self, hash: KeyHash, key: &Q) -> Option<Slot>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let hub = self.hub;
        let slot = self.locked().find(hash.fragment(), key)?;
        let now = self.shard.now(hub);
        match self.shard.hidden(slot, self.locked().tags(slot), now) {
            None => Some(slot),
            Some(Cause::Expired) if self.shard.is_in_grace(slot, now, hub) => None,
            Some(cause) => {
                self.remove(slot, cause);
                None
            }
        }
    }

    /// Says that the value which is stored next took `nanos` to load.
    pub(crate) fn load_took(&mut self, nanos: u64) {
        self.load_nanos = nanos;
    }

    /// Counts a load that has ended.
    pub(crate) fn count_load(&mut self, is_ok: bool, is_reload: bool, nanos: u64) {
        let tally = self.tally();
        tally.loads += u64::from(is_ok);
        tally.load_failures += u64::from(!is_ok);
        tally.load_nanos += nanos;
        tally.refreshes += u64::from(is_reload);
    }

    /// How old the value at `slot` is.
    pub(crate) fn freshness(&self, slot: Slot) -> Option<Freshness> {
        self.core().ages.of(slot)
    }

    /// Whether `key` is being loaded.
    pub(crate) fn is_loading<Q>(&self, hash: KeyHash, key: &Q) -> bool
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.core().flights.find(hash.fragment(), key).is_some()
    }

    /// Notes that a load of `key` has failed: if it has a value, the next
    /// reload has to wait.
    pub(crate) fn back_off<Q>(&self, hash: KeyHash, key: &Q)
    where
        Q: Equivalent<K> + ?Sized,
    {
        let lifetimes = &self.hub.lifetimes;
        if lifetimes.keeps_ages {
            if let Some(slot) = self.locked().find(hash.fragment(), key) {
                self.core().ages.failed(slot, lifetimes.retry_after, lifetimes.now());
            }
        }
    }

    pub(crate) fn tags_of(&self, slot: Slot) -> TagSet {
        self.locked().tags(slot).cloned().unwrap_or_default()
    }
}

impl<K, V> Shard<K, V> {
    pub(super) fn is_in_grace(&self, slot: Slot, now: u64, hub: &Hub<K, V>) -> bool {
        let grace = hub.lifetimes.grace;
        grace > 0 && self.deadlines.of(slot).saturating_add(grace) > now
    }

    /// How old the value of `key` is, and until when it lives.
    pub(crate) fn age<Q>(&self, hub: &Hub<K, V>, hash: KeyHash, key: &Q) -> Option<(Freshness, u64)>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let locked = self.vault.lock();
        let slot = locked.find(hash.fragment(), key)?;
        let hidden = self.hidden(slot, locked.tags(slot), self.now(hub));
        let is_visible = !self.is_stale(hub) && hidden.is_none();
        let age = locked.core().ages.of(slot).filter(|_| is_visible)?;
        Some((age, self.deadlines.of(slot)))
    }

    /// The value of `key`, also if it has expired, but not for longer than the
    /// cache's grace; and how old it is.
    pub(crate) fn stale<Q>(&self, hub: &Hub<K, V>, hash: KeyHash, key: &Q) -> Option<Stale<V>>
    where
        Q: Equivalent<K> + ?Sized,
        V: Clone,
    {
        let locked = self.vault.lock();
        if self.is_stale(hub) {
            return None;
        }
        let slot = locked.find(hash.fragment(), key)?;
        let now = hub.lifetimes.now();
        let has_expired = match self.hidden(slot, locked.tags(slot), now) {
            None => false,
            Some(Cause::Expired) if self.is_in_grace(slot, now, hub) => true,
            Some(_) => return None,
        };
        let age = locked.core().ages.of(slot).unwrap_or_default();
        Some(Stale { value: locked.value(slot).clone(), age, has_expired })
    }
}
