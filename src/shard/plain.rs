//! The short way in, for the inserts and loads that most caches see most of the
//! time: into a shard where nothing else is going on.
//!
//! It does what a [`Visit`](super::Visit) would do, less all that a visit finds
//! it need not do. Where anything is out of the ordinary it changes nothing and
//! says so, and the visit is made.

use super::{Core, Hub, SHUT, Shard};
use crate::budget::Cost;
use crate::flight::{Flight, Purpose};
use crate::hash::KeyHash;
use crate::index::Aim;
use crate::listener::Cause;
use crate::policy::Notes;
use crate::slot::{Seen, Slot};
use crate::sync::modelled;
use crate::tags::TagSet;
use crate::vault::Locked;
use equivalent::Equivalent;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What became of an insert.
pub(crate) enum Short<K, V> {
    /// It is stored, and this left for it, if anything had to and no reader uses
    /// it.
    Stored(Option<(K, V)>),
    /// It has to go the long way.
    NotTaken((K, V)),
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

/// Room for one entry.
enum Room {
    /// There was some, and it is taken now.
    Free,
    /// This one is to make it. The policy has given it up, and takes the newcomer
    /// for the one at its slot.
    Of(Slot),
}

impl<K: Eq, V> Shard<K, V> {
    /// Stores `pair` if that takes no more than an eviction.
    #[inline]
    pub(crate) fn insert_plainly(
        &self,
        hub: &Hub<K, V>,
        hash: KeyHash,
        pair: (K, V),
    ) -> Short<K, V> {
        let hash = hash.fragment();
        let aim = self.vault.aim(hash);
        let mut locked = self.vault.lock();
        let now = self.time(hub);
        if !self.is_calm(hub, &mut locked, now) {
            return Short::NotTaken(pair);
        }
        if let Some(old) = locked.find_from(aim, hash, &pair.0) {
            return Short::Stored(self.replace_plainly(hub, &mut locked, old, pair, now));
        }
        match self.room(hub, &mut locked, hash) {
            Some(Room::Free) => {
                self.add_plainly(hub, &mut locked, hash, pair, now);
                Short::Stored(None)
            }
            Some(Room::Of(victim)) => {
                let place = (aim, hash);
                let left = self.supplant_plainly(hub, &mut locked, victim, place, pair, now);
                drop(locked);
                Short::Stored(left)
            }
            None => Short::NotTaken(pair),
        }
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
        if !self.is_quiet(hub, &mut locked, now) || locked.core().flights.remembers_any() {
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
    ) -> Option<Option<(K, V)>> {
        let aim = self.vault.aim(hash.fragment());
        let mut locked = self.vault.lock();
        let now = self.time(hub);
        if !self.is_quiet(hub, &mut locked, now) {
            return None;
        }
        let registered = locked.core_mut().flights.take(hash.fragment(), flight);
        let was_overtaken = registered.is_none();
        if was_overtaken {
            return None;
        }
        let Some(room) = self.room(hub, &mut locked, hash.fragment()) else {
            let flights = &mut locked.core_mut().flights;
            registered.into_iter().for_each(|again| flights.put_back(hash.fragment(), again));
            return None;
        };
        // The key is the leader's as well: nothing of the user's is dropped.
        drop(registered);
        let key = key.take().and_then(Arc::into_inner);
        let key = key.expect("a load's key is shared by nobody else");
        let value = value.take().expect("a value is stored once");
        let hash = hash.fragment();
        // Whoever had stored the key since would have overtaken the load.
        let left = match room {
            Room::Free => {
                self.add_plainly(hub, &mut locked, hash, (key, value), now);
                None
            }
            Room::Of(victim) => {
                let (place, pair) = ((aim, hash), (key, value));
                self.supplant_plainly(hub, &mut locked, victim, place, pair, now)
            }
        };
        let core = locked.core_mut();
        core.tally.loads += 1;
        core.tally.load_nanos += nanos;
        Some(left)
    }

    /// Finds room for an entry of `hash`, if this shard can and ought to.
    #[inline(always)]
    fn room(
        &self,
        hub: &Hub<K, V>,
        locked: &mut Locked<'_, K, V, Core<K, V>>,
        hash: u32,
    ) -> Option<Room> {
        let Err(need) = hub.budget.take_one() else {
            self.grow_by_one(locked);
            return Some(Room::Free);
        };
        if self.is_poor(hub, locked, need, Cost::of(1)) {
            return None;
        }
        let (core, all) = locked.plain_parts();
        let exchange = core.policy.exchange(hash, all);
        let victim = exchange.victim()?;
        core.tally.removals[Cause::Size as usize] += 1;
        core.tally.inserts += 1;
        if let Some(next) = exchange.next() {
            locked.prefetch(next);
        }
        // Its room goes to the newcomer, and never back to the account.
        Some(Room::Of(victim))
    }

    /// There will be one entry more.
    #[inline(never)]
    fn grow_by_one(&self, locked: &mut Locked<'_, K, V, Core<K, V>>) {
        locked.core_mut().weight += 1;
        self.gauge.entries.store(locked.len() as u64 + 1, Ordering::Relaxed);
        self.gauge.weight.store(locked.core().weight, Ordering::Relaxed);
    }

    /// Adds an entry in the place of `victim`. Returns that, unless a reader keeps
    /// it.
    #[inline(always)]
    fn supplant_plainly(
        &self,
        hub: &Hub<K, V>,
        locked: &mut Locked<'_, K, V, Core<K, V>>,
        victim: Slot,
        (aim, hash): (Aim, u32),
        pair: (K, V),
        now: Option<u64>,
    ) -> Option<(K, V)> {
        let begin = self.life(hub, hash, now);
        match locked.supplant(victim, (aim, hash), pair, begin) {
            Ok(left) => Some(left),
            Err(pair) => {
                self.settle_elsewhere(hub, locked, victim, hash, pair, now);
                None
            }
        }
    }

    /// Adds an entry in a cell of its own, since a reader is in that of `victim`,
    /// where the policy takes it to be.
    #[cold]
    fn settle_elsewhere(
        &self,
        hub: &Hub<K, V>,
        locked: &mut Locked<'_, K, V, Core<K, V>>,
        victim: Slot,
        hash: u32,
        pair: (K, V),
        now: Option<u64>,
    ) {
        let slot = self.add_in_own_cell(hub, locked, hash, pair, now);
        let core = locked.core_mut();
        core.schedule.cancel(victim);
        core.policy.on_move(victim, slot);
    }

    /// Adds an entry for which there was room.
    #[inline(never)]
    fn add_plainly(
        &self,
        hub: &Hub<K, V>,
        locked: &mut Locked<'_, K, V, Core<K, V>>,
        hash: u32,
        pair: (K, V),
        now: Option<u64>,
    ) {
        let slot = self.add_in_own_cell(hub, locked, hash, pair, now);
        let (core, all) = locked.plain_parts();
        core.tally.inserts += 1;
        core.policy.on_insert(slot, Seen::new(hash, 1, 0), all);
    }

    /// Adds an entry of which the policy is still to hear.
    #[inline]
    fn add_in_own_cell(
        &self,
        hub: &Hub<K, V>,
        locked: &mut Locked<'_, K, V, Core<K, V>>,
        hash: u32,
        pair: (K, V),
        now: Option<u64>,
    ) -> Slot {
        let slot = locked.add(hash, pair, self.life(hub, hash, now));
        // The index may have grown, or a reader be in the cell that was to be
        // taken.
        locked.core_mut().orderly_under = SHUT;
        slot
    }

    /// Starts the life of an entry, before readers can find it, if it may have a
    /// deadline.
    #[inline(always)]
    fn life<'a>(
        &'a self,
        hub: &'a Hub<K, V>,
        hash: u32,
        now: Option<u64>,
    ) -> impl FnOnce(&mut Core<K, V>, Slot) + use<'a, K, V> {
        move |core, slot| {
            if let Some(now) = now {
                self.begin_life(hub, core, slot, hash, now);
            }
        }
    }

    /// Starts the life of the entry at `slot`, before readers can find it; who was
    /// there has left.
    #[inline(never)]
    fn begin_life(&self, hub: &Hub<K, V>, core: &mut Core<K, V>, slot: Slot, hash: u32, now: u64) {
        core.schedule.cancel(slot);
        let span = hub.lifetimes.usual_span(u64::from(hash));
        self.deadlines.begin_at(now, &mut core.schedule, slot, span, &hub.lifetimes);
    }

    /// Whether a visit would find nothing to tidy up, nobody to wait for or to
    /// overtake, and no entry that is more than key, value and deadline. The
    /// policy has heard of all hits then.
    #[inline]
    fn is_calm(
        &self,
        hub: &Hub<K, V>,
        locked: &mut Locked<'_, K, V, Core<K, V>>,
        now: Option<u64>,
    ) -> bool {
        self.is_quiet(hub, locked, now) && locked.core().flights.is_empty()
    }

    /// Like [`is_calm`](Shard::is_calm), but that keys may be being loaded.
    #[inline]
    fn is_quiet(
        &self,
        hub: &Hub<K, V>,
        locked: &mut Locked<'_, K, V, Core<K, V>>,
        now: Option<u64>,
    ) -> bool {
        let generation = hub.generation.load(Ordering::SeqCst);
        let is_quiet = now.is_none_or(|now| !locked.core().schedule.is_due(now))
            && (locked.core().orderly_under == generation || self.is_orderly(locked, generation));
        if is_quiet && !self.hit_log.is_empty() {
            self.replay_hits(locked);
        }
        is_quiet
    }

    /// The part of it that only changes in a visit, or where the short ways say
    /// so: it is asked once, and then remembered.
    #[inline(never)]
    fn is_orderly(&self, locked: &mut Locked<'_, K, V, Core<K, V>>, generation: u64) -> bool {
        // Where no entry ever had a tag, none is doomed.
        let is_orderly = self.generation.load(Ordering::SeqCst) == generation
            && self.vault.is_without_tags()
            && !locked.has_leftovers()
            && locked.is_unweighed()
            && locked.core().claims.is_empty();
        if is_orderly {
            locked.core_mut().orderly_under = generation;
        }
        is_orderly
    }

    /// Puts `pair` in the place of the one at `old`, which is of the same key.
    /// Returns that, unless a reader keeps it.
    #[inline(never)]
    fn replace_plainly(
        &self,
        hub: &Hub<K, V>,
        locked: &mut Locked<'_, K, V, Core<K, V>>,
        old: Slot,
        pair: (K, V),
        now: Option<u64>,
    ) -> Option<(K, V)> {
        self.note_plainly(hub, locked, old, None);
        let begin = |core: &mut Core<K, V>, slot, hash| {
            if let Some(now) = now {
                self.begin_life(hub, core, slot, hash, now);
            }
        };
        let (new, left) = locked.supersede(old, pair, begin);
        let core = locked.core_mut();
        core.schedule.cancel(old);
        core.policy.on_move(old, new);
        core.tally.inserts += 1;
        core.tally.removals[Cause::Replaced as usize] += 1;
        if left.is_none() {
            core.orderly_under = SHUT;
        }
        left
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
}
