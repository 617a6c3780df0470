//! The short way in, for the inserts and loads that most caches see most of the
//! time: into a shard where nothing else is going on.
//!
//! It does what a [`Visit`](super::Visit) would do, less all that a visit finds
//! it need not do. Where anything is out of the ordinary it changes nothing and
//! says so, and the visit is made.

use super::{Core, Hub, Shard};
use crate::budget::{Cost, Credit};
use crate::flight::{Flight, Purpose};
use crate::hash::KeyHash;
use crate::index::Aim;
use crate::listener::Cause;
use crate::policy::{Need, Notes};
use crate::slab::Entry;
use crate::slot::{Seen, Slot};
use crate::sync::modelled;
use crate::tags::TagSet;
use crate::vault::{Left, Locked};
use equivalent::Equivalent;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What became of an insert.
pub(crate) enum Short<K, V> {
    /// It is stored, and this made way for it, if anything had to and no reader
    /// uses it.
    Stored(Option<Entry<K, V>>),
    /// It has to go the long way.
    NotTaken(Entry<K, V>),
}

/// What became of someone who wants to load a key.
pub(crate) enum ShortBoarding<V> {
    /// There is a value after all.
    Hit(V),
    /// The load is registered.
    Begun,
    /// It has to go the long way.
    NotTaken,
}

/// There was room, or has been made by this, if no reader still uses it.
type Victim<K, V> = Option<Entry<K, V>>;

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
        let now = self.time(hub);
        if !self.is_calm(hub, &locked, now) {
            return Short::NotTaken(entry);
        }
        let aim = locked.aim(hash.fragment());
        if let Some(old) = locked.find_from(aim, hash.fragment(), &entry.key) {
            return Short::Stored(self.replace_plainly(hub, &mut locked, old, entry, now));
        }
        let Some(victim) = self.make_room_plainly(hub, &mut locked) else {
            return Short::NotTaken(entry);
        };
        self.add_plainly(hub, &mut locked, (aim, hash), entry, now);
        Short::Stored(victim)
    }

    /// Looks for a value of `key` once more, and else registers `flight`, which
    /// is to load it.
    pub(crate) fn board_plainly<Q>(
        &self,
        hub: &Hub<K, V>,
        hash: KeyHash,
        (key, owned): (&Q, &Arc<K>),
        flight: &modelled::Arc<Flight<V>>,
    ) -> ShortBoarding<V>
    where
        Q: Equivalent<K> + ?Sized,
        V: Clone,
    {
        let mut locked = self.vault.lock();
        let now = self.time(hub);
        if !self.is_quiet(hub, &locked, now) || locked.core().flights.remembers_any() {
            return ShortBoarding::NotTaken;
        }
        if let Some(slot) = locked.find(hash.fragment(), key) {
            self.note_plainly(hub, &mut locked, slot, now);
            return ShortBoarding::Hit(locked.value(slot).clone());
        }
        let flights = &mut locked.core_mut().flights;
        if !flights.is_empty() && flights.find(hash.fragment(), key).is_some() {
            return ShortBoarding::NotTaken;
        }
        let (owned, flight) = (Arc::clone(owned), modelled::Arc::clone(flight));
        flights.register(hash.fragment(), owned, flight, TagSet::default(), Purpose::Missing);
        ShortBoarding::Begun
    }

    /// Stores what `flight` has loaded, and ends its registration. `None` if
    /// that has to go the long way: then `key` and `value` are still there.
    pub(crate) fn land_plainly(
        &self,
        hub: &Hub<K, V>,
        hash: KeyHash,
        (key, value): (&mut Option<Arc<K>>, &mut Option<V>),
        flight: &modelled::Arc<Flight<V>>,
        nanos: u64,
    ) -> Option<Victim<K, V>> {
        let mut locked = self.vault.lock();
        let now = self.time(hub);
        if !self.is_quiet(hub, &locked, now) {
            return None;
        }
        let registered = locked.core_mut().flights.take(hash.fragment(), flight);
        let was_overtaken = registered.is_none();
        if was_overtaken {
            return None;
        }
        let Some(victim) = self.make_room_plainly(hub, &mut locked) else {
            let flights = &mut locked.core_mut().flights;
            registered.into_iter().for_each(|again| flights.put_back(hash.fragment(), again));
            return None;
        };
        // The key is the leader's as well: nothing of the user's is dropped.
        drop(registered);
        let key = key.take().and_then(Arc::into_inner);
        let key = key.expect("a load's key is shared by nobody else");
        let value = value.take().expect("a value is stored once");
        // Whoever had stored the key since would have overtaken the load.
        let (aim, entry) =
            (locked.aim(hash.fragment()), Entry { key, value, tags: TagSet::default() });
        self.add_plainly(hub, &mut locked, (aim, hash), entry, now);
        let core = locked.core_mut();
        core.tally.loads += 1;
        core.tally.load_nanos += nanos;
        Some(victim)
    }

    /// Makes room for one entry, if this shard can and ought to.
    #[inline]
    fn make_room_plainly(
        &self,
        hub: &Hub<K, V>,
        locked: &mut Locked<'_, K, V, Core<K, V>>,
    ) -> Option<Victim<K, V>> {
        let (mut credit, cost) = (Credit::new(&hub.budget), Cost::of(1));
        if let Err(need) = credit.raise_to(cost) {
            if self.is_poor(hub, locked, need, cost) {
                return None;
            }
            // Its room goes to the newcomer, and never back to the account.
            return self.evict_plainly(locked, need);
        }
        credit.spend(cost);
        locked.core_mut().weight += 1;
        self.gauge.entries.store(locked.len() as u64 + 1, Ordering::Relaxed);
        self.gauge.weight.store(locked.core().weight, Ordering::Relaxed);
        Some(None)
    }

    /// Adds an entry for which there is room.
    #[inline]
    fn add_plainly(
        &self,
        hub: &Hub<K, V>,
        locked: &mut Locked<'_, K, V, Core<K, V>>,
        (aim, hash): (Aim, KeyHash),
        entry: Entry<K, V>,
        now: Option<u64>,
    ) {
        let begin = |core: &mut Core<K, V>, slot| {
            if let Some(now) = now {
                self.begin_life(hub, core, slot, hash.fragment(), now);
            }
        };
        let slot = locked.add(aim, hash.fragment(), entry, begin);
        let (core, all) = locked.parts();
        core.policy.on_insert(slot, Seen::new(hash.fragment(), 1, 0), &all);
        core.tally.inserts += 1;
    }

    /// Starts the life of the entry at `slot`, before readers can find it.
    #[inline(never)]
    fn begin_life(&self, hub: &Hub<K, V>, core: &mut Core<K, V>, slot: Slot, hash: u32, now: u64) {
        let span = hub.lifetimes.usual_span(u64::from(hash));
        self.deadlines.begin_at(now, &mut core.schedule, slot, span, &hub.lifetimes);
    }

    /// Whether a visit would find nothing to tidy up, nobody to wait for or to
    /// overtake, and no entry that is more than key, value and deadline.
    #[inline]
    fn is_calm(
        &self,
        hub: &Hub<K, V>,
        locked: &Locked<'_, K, V, Core<K, V>>,
        now: Option<u64>,
    ) -> bool {
        self.is_quiet(hub, locked, now) && locked.core().flights.is_empty()
    }

    /// Like [`is_calm`](Shard::is_calm), but that keys may be being loaded.
    #[inline]
    fn is_quiet(
        &self,
        hub: &Hub<K, V>,
        locked: &Locked<'_, K, V, Core<K, V>>,
        now: Option<u64>,
    ) -> bool {
        now.is_none_or(|now| !locked.core().schedule.is_due(now))
            && self.vault.is_without_tags()
            && !self.is_stale(hub)
            && !self.gauge.has_doomed.load(Ordering::SeqCst)
            && !locked.has_leftovers()
            && locked.is_unweighed()
            && locked.core().claims.is_empty()
            && self.hit_log.is_empty()
    }

    /// Puts `entry` in the place of the one at `old`, which is of the same key.
    fn replace_plainly(
        &self,
        hub: &Hub<K, V>,
        locked: &mut Locked<'_, K, V, Core<K, V>>,
        old: Slot,
        entry: Entry<K, V>,
        now: Option<u64>,
    ) -> Option<Entry<K, V>> {
        self.note_plainly(hub, locked, old, None);
        let hash = locked.hash(old);
        let new = locked.fill(hash, 1, entry);
        if let Some(now) = now {
            self.begin_life(hub, locked.core_mut(), new, hash, now);
        }
        let left = locked.swing(old, new);
        let core = locked.core_mut();
        core.schedule.cancel(old);
        core.policy.on_move(old, new);
        core.tally.inserts += 1;
        core.tally.removals[Cause::Replaced as usize] += 1;
        self.owned(left)
    }

    /// A use of `slot`, as [`note_use`](super::Visit::note_use) has it.
    fn note_plainly(
        &self,
        hub: &Hub<K, V>,
        locked: &mut Locked<'_, K, V, Core<K, V>>,
        slot: Slot,
        now: Option<u64>,
    ) {
        if let Some(now) = now {
            self.deadlines.touch(slot, now);
        }
        match hub.notes {
            Notes::Nothing => {}
            Notes::Count => locked.bump(slot),
            Notes::Order => locked.core_mut().policy.on_hit(slot),
        }
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
    fn evict_plainly(
        &self,
        locked: &mut Locked<'_, K, V, Core<K, V>>,
        need: Need,
    ) -> Option<Victim<K, V>> {
        let (core, all) = locked.parts();
        let slot = core.policy.evict(need, &all)?;
        core.schedule.cancel(slot);
        core.tally.removals[Cause::Size as usize] += 1;
        Some(self.owned(locked.remove(slot)))
    }
}
