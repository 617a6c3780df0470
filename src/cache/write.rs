//! Writing: inserting, removing, invalidating, and changing the bounds.

use super::{Cache, EntryOptions, Shared};
use crate::budget::{Cost, Credit, Shortage};
use crate::expiry::nanos;
use crate::hash::KeyHash;
use crate::listener::Cause;
use crate::policy::Need;
use crate::shard::{Held, Incoming, Shard, Short, Visit};
use crate::slab::Entry;
use crate::steady::Steady;
use crate::sync::thread;
use crate::tags::TagSet;
use crate::vault::Cursor;
use equivalent::Equivalent;
use smallvec::SmallVec;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many entries are evicted under one lock when a bound is lowered: enough
/// to be quick, few enough that others need not wait long.
const SHRINK_BATCH: usize = 256;

/// Writing.
impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// Stores `value` under `key`. An older value leaves as
    /// [`Cause::Replaced`]; if the cache is full, others leave as
    /// [`Cause::Size`], and a policy with admission may let the new one leave
    /// soon, or at once if it is heavy. A value that is heavier than the whole
    /// cache is not stored: [`Cause::Rejected`], counted in
    /// [`Stats::rejected`](crate::Stats::rejected).
    ///
    /// # Cost
    /// O(1), amortised. Hashing, weighing and allocation come before the lock,
    /// listeners and `Drop` after it. Waits for a computation of the same key
    /// ([`Entry::and_compute`](crate::Entry::and_compute)).
    ///
    /// # Panics
    /// If it is called from within a computation of this very key, or of one
    /// that waits for it: it would wait for itself.
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// cache.insert("pear", 3);
    /// assert_eq!(cache.get("pear"), Some(3));
    /// ```
    pub fn insert(&self, key: K, value: V) {
        let hash = self.hash(&key);
        let shared = &*self.shared;
        if !shared.is_plain {
            return self.insert_by_visit(hash, (key, value));
        }
        match self.shard(hash).insert_plainly(&shared.hub, hash, (key, value)) {
            Short::Stored(left) => drop(left),
            Short::NotTaken(pair) => self.insert_by_visit(hash, pair),
        }
    }

    #[inline(never)]
    fn insert_by_visit(&self, hash: KeyHash, (key, value): (K, V)) {
        let entry = Entry { key, value, tags: TagSet::default() };
        let cost = Cost::of(self.weigh(&entry.key, &entry.value));
        let span = self.shared.hub.lifetimes.usual_span(u64::from(hash.fragment()));
        self.store(Incoming { hash, cost, span }, entry, &[]);
    }

    /// Stores `value` under `key` with settings of its own. Otherwise like
    /// [`insert`](Cache::insert).
    ///
    /// # Panics
    /// As [`insert`](Cache::insert).
    ///
    /// ```
    /// use larder::EntryOptions;
    ///
    /// let cache = larder::Cache::new(100);
    /// cache.insert_with("ann", 34, EntryOptions::new().tag("staff"));
    /// ```
    pub fn insert_with(&self, key: K, value: V, options: EntryOptions) {
        let hash = self.hash(&key);
        let cost = Cost::of(options.weight.unwrap_or_else(|| self.weigh(&key, &value)));
        let lifetimes = &self.shared.hub.lifetimes;
        let span = lifetimes.span(options.ttl, options.tti, u64::from(hash.fragment()));
        let tags = self.shared.tags.set_of(&options.tags);
        self.store(Incoming { hash, cost, span }, Entry { key, value, tags }, &options.tags);
    }

    /// `tags` are the names of the entry's.
    #[inline]
    fn store(&self, mut incoming: Incoming, entry: Entry<K, V>, tags: &[String]) {
        let mut entry = Some(entry);
        while let Some(unstored) = &mut entry {
            if unstored.tags.any_dead() {
                unstored.tags = self.shared.tags.set_of(tags);
            }
            let current = self.ask_expiry(&mut incoming, &unstored.key, &unstored.value);
            self.try_insert(incoming, current, &mut entry);
        }
    }

    /// Stores `entry` and takes it, unless the key came or went since its
    /// `Expiry` was asked, or others were quicker to take what room there was;
    /// or unless a tag of it has died: it would take the place of what may have
    /// been written since, and nobody would see it.
    #[inline]
    fn try_insert(
        &self,
        incoming: Incoming,
        was_found: Option<bool>,
        entry: &mut Option<Entry<K, V>>,
    ) {
        let Some(unstored) = &*entry else { return };
        let mut visit = self.visit_in_turn(incoming.hash, &unstored.key);
        let mut credit = Credit::new(&self.shared.hub.budget);
        let found = visit.find(incoming.hash, &unstored.key);
        if was_found.is_some_and(|was_found| was_found != found.is_some())
            || unstored.tags.any_dead()
        {
            return;
        }
        if let Err(shortage) =
            visit.store(incoming, found, &mut credit, |visit| take_for(visit, incoming.hash, entry))
        {
            return self.insert_with_help((incoming, was_found), shortage, entry, visit, credit);
        }
        // What leaves to make room is told and dropped once the newcomer is in
        // and the room is given back: see `Credit`.
        visit.unlock();
        drop(credit);
    }

    /// The same, after `shortage` has come up in `visit`: other shards lend.
    #[cold]
    fn insert_with_help<'a>(
        &'a self,
        (incoming, was_found): (Incoming, Option<bool>),
        mut shortage: Shortage,
        entry: &mut Option<Entry<K, V>>,
        mut visit: Visit<'a, K, V>,
        mut credit: Credit<'a>,
    ) {
        let hash = incoming.hash;
        let mut departed: SmallVec<[Visit<'_, K, V>; 2]> = SmallVec::new();
        while let Some(unstored) = &*entry {
            visit.unlock();
            departed.push(visit);
            departed.push(self.borrow(shortage, &mut credit));
            visit = self.shard(hash).visit(&self.shared.hub);
            let is_claimed = visit.turn(hash, &unstored.key).is_some();
            if is_claimed || credit.raise_to(shortage.wanted).is_err() {
                // Others are quicker, or come first: let them.
                thread::yield_now();
                break;
            }
            let found = visit.find(hash, &unstored.key);
            if was_found.is_some_and(|was_found| was_found != found.is_some())
                || unstored.tags.any_dead()
            {
                break;
            }
            match visit
                .store(incoming, found, &mut credit, |visit| take_for(visit, incoming.hash, entry))
            {
                Ok(()) => break,
                Err(again) => shortage = again,
            }
        }
        visit.unlock();
        departed.push(visit);
        drop(credit);
    }

    /// Asks the cache's `Expiry`, if it has one, how long a value shall live.
    /// Returns whether it was asked about an update rather than a new key.
    pub(super) fn ask_expiry(&self, incoming: &mut Incoming, key: &K, value: &V) -> Option<bool> {
        let expiry = self.shared.hub.lifetimes.expiry.as_ref()?;
        let current = self.expires_in(key);
        let own = match current {
            Some(current) => expiry.on_update(key, value, current),
            None => expiry.on_create(key, value),
        };
        incoming.span.own = Some(nanos(own));
        Some(current.is_some())
    }

    pub(super) fn weigh(&self, key: &K, value: &V) -> u32 {
        self.shared.weigher.as_ref().map_or(1, |weigh| weigh(key, value))
    }

    /// Visits the shard of `key` as soon as nobody computes a value for it.
    pub(super) fn visit_in_turn<Q>(&self, hash: KeyHash, key: &Q) -> Visit<'_, K, V>
    where
        Q: Equivalent<K> + ?Sized,
    {
        loop {
            let mut visit = self.shard(hash).visit(&self.shared.hub);
            let Some(turn) = visit.turn(hash, key) else { return visit };
            if visit.claims().overrule(&turn) {
                return visit;
            }
            drop(visit);
            assert!(
                turn.wait().is_ok(),
                "a computation wrote the key that it computes, or one whose computation waits \
                 for it: this would never end; return `Compute::Replace` or `Compute::Remove` \
                 instead, or use `try_and_compute`",
            );
        }
    }

    /// Takes room from the shard that holds most, for one that has less than
    /// its share.
    pub(super) fn borrow(&self, shortage: Shortage, credit: &mut Credit<'_>) -> Visit<'_, K, V> {
        self.shared.borrow(shortage, credit)
    }

    /// Removes `key` and returns its value. It leaves as [`Cause::Explicit`].
    ///
    /// # Cost
    /// O(1). The value is cloned only if someone else still looks at it, or a
    /// listener will.
    /// Waits for a computation of the same key.
    ///
    /// # Panics
    /// As [`insert`](Cache::insert).
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// cache.insert("pear", 3);
    /// assert_eq!(cache.remove("pear"), Some(3));
    /// assert_eq!(cache.remove("pear"), None);
    /// ```
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        let hash = self.hash(key);
        let mut visit = self.visit_in_turn(hash, key);
        visit.overtake(hash, key);
        let slot = visit.find(hash, key)?;
        let taken = visit.take(slot, Cause::Explicit);
        drop(visit);
        Some(taken.into_value())
    }

    /// Gives the value of `key` another time to live, from now on. A time to idle
    /// stays, and begins anew, as after a read. Returns whether there was a value.
    ///
    /// # Cost
    /// O(1). Not a use for the policy.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let cache = larder::Cache::new(100);
    /// cache.insert("pear", 3);
    /// assert!(cache.set_expires_in("pear", Duration::from_secs(60)));
    /// assert!(cache.expires_in("pear") <= Some(Duration::from_secs(60)));
    /// assert!(!cache.set_expires_in("plum", Duration::MAX));
    /// ```
    pub fn set_expires_in<Q>(&self, key: &Q, after: Duration) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        let mut visit = self.shard(hash).visit(&self.shared.hub);
        let found = visit.find_or_keep(hash, key);
        if let Some(slot) = found {
            visit.set_ttl(slot, after);
        }
        found.is_some()
    }

    /// Makes every value of `key` that was written before this call invisible.
    /// A computation of the key that is under way will not be stored. It
    /// leaves as [`Cause::Invalidated`].
    ///
    /// # Cost
    /// O(1). Waits for no computation.
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// cache.insert("pear", 3);
    /// cache.invalidate("pear");
    /// assert_eq!(cache.get("pear"), None);
    /// ```
    pub fn invalidate<Q>(&self, key: &Q)
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        let mut visit = self.shard(hash).visit(&self.shared.hub);
        let found = visit.find(hash, key);
        visit.claims().discard(hash.fragment(), key);
        visit.overtake(hash, key);
        if let Some(slot) = found {
            visit.remove(slot, Cause::Invalidated);
        }
    }

    /// Invalidates every entry for which `is_stale` holds, of those that were
    /// written before this call, also if it has expired and is only kept for when a
    /// load fails. `is_stale` runs without a lock. Loads that are under way, and
    /// computations of keys that have no value, cannot be asked about: none of them
    /// is stored.
    ///
    /// # Cost
    /// O(entries).
    ///
    /// # Panics
    /// If `is_stale` does; what it has chosen before is gone then, the rest is
    /// untouched.
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// cache.extend([("pear", 3), ("plum", 40)]);
    /// cache.invalidate_if(|_, stock| *stock < 10);
    /// assert_eq!((cache.get("pear"), cache.get("plum")), (None, Some(40)));
    /// ```
    pub fn invalidate_if(&self, mut is_stale: impl FnMut(&K, &V) -> bool) {
        let hub = &self.shared.hub;
        for shard in &self.shared.shards {
            // What is being loaded or computed cannot be asked about yet.
            let mut visit = shard.visit(hub);
            visit.overtake_all();
            visit.discard_computations_of_absent();
            drop(visit);
            let mut cursor = Cursor::thorough();
            while let Some(held) = shard.entry_or_fallback_from(hub, &mut cursor) {
                if is_stale(held.key(), held.value()) {
                    self.invalidate_held(shard, held);
                }
            }
            // The values that others have seen may have left before they were met.
            shard.visit(hub).discard_computations_of_absent();
        }
    }

    fn invalidate_held(&self, shard: &Shard<K, V>, held: Held<'_, K, V>) {
        let hash = self.hash(held.key());
        let mut visit = shard.visit(&self.shared.hub);
        visit.claims().discard(hash.fragment(), held.key());
        if visit.is_linked(held.slot()) {
            let slot = held.slot();
            // Before it is unlinked: else it would be in our own way.
            drop(held);
            visit.invalidate(slot);
        }
    }

    /// Makes every value that was written before this call invisible, at once.
    ///
    /// # Cost
    /// O(1), whatever the cache holds. The values are dropped, and their
    /// listeners called, when their shard next does anything, or by
    /// [`run_maintenance`](Cache::run_maintenance).
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// cache.insert("pear", 3);
    /// cache.invalidate_all();
    /// assert_eq!(cache.get("pear"), None);
    /// ```
    pub fn invalidate_all(&self) {
        self.shared.hub.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Makes every value that was written with `tag` before this call
    /// invisible, at once.
    ///
    /// # Cost
    /// O(shards), whatever the number of entries. They are dropped as after
    /// [`invalidate_all`](Cache::invalidate_all).
    ///
    /// ```
    /// use larder::EntryOptions;
    ///
    /// let cache = larder::Cache::new(100);
    /// cache.insert_with("ann", 34, EntryOptions::new().tag("staff"));
    /// cache.insert("bob", 27);
    /// cache.invalidate_tag("staff");
    /// assert_eq!((cache.get("ann"), cache.get("bob")), (None, Some(27)));
    /// ```
    pub fn invalidate_tag(&self, tag: &str) {
        if let Some(doomed) = self.shared.tags.invalidate(tag) {
            for home in doomed.homes {
                self.shared.shards[home].doom(Arc::clone(&doomed.tag));
            }
        }
    }

    /// Removes every entry, and has dropped every value when it returns, save
    /// those that someone is just looking at. They leave as
    /// [`Cause::Invalidated`].
    ///
    /// # Cost
    /// O(entries). [`invalidate_all`](Cache::invalidate_all) is O(1).
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// cache.insert("pear", 3);
    /// cache.clear();
    /// assert!(cache.is_empty());
    /// ```
    pub fn clear(&self) {
        let mut steady = Steady::default();
        for shard in &self.shared.shards {
            steady.step(|| {
                let mut visit = shard.visit(&self.shared.hub);
                visit.claims().discard_all();
                visit.take_all(Cause::Invalidated);
            });
        }
        steady.finish();
    }

    /// Changes the bound on entries. When it returns, the cache holds no more
    /// than that; what had to leave left as [`Cause::Size`].
    ///
    /// # Cost
    /// O(shards), and O(1) for each entry that leaves. If few of many stay, also
    /// for each that stays: they move together, and the memory is given back.
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// cache.extend([("pear", 3), ("plum", 40)]);
    /// cache.set_capacity(1);
    /// assert_eq!((cache.capacity(), cache.len()), (1, 1));
    /// ```
    pub fn set_capacity(&self, entries: usize) {
        self.shared.hub.budget.set_entries_max(entries as u64);
        self.fit_bounds();
    }

    /// Changes the bound on weight; see [`set_capacity`](Cache::set_capacity).
    ///
    /// ```
    /// use larder::EntryOptions;
    ///
    /// let cache = larder::Cache::new(100);
    /// cache.insert_with("pear", 3, EntryOptions::new().weight(7));
    /// cache.set_weight_capacity(5);
    /// assert!(cache.is_empty());
    /// ```
    pub fn set_weight_capacity(&self, weight: u64) {
        self.shared.hub.budget.set_weight_max(weight);
        self.fit_bounds();
    }

    fn fit_bounds(&self) {
        let (hub, shards) = (&self.shared.hub, &self.shared.shards);
        let mut steady = Steady::default();
        for shard in shards {
            steady.step(|| shard.visit(hub).resize());
        }
        while let Some(need) = hub.budget.excess() {
            let richest = self.shared.richest(need);
            let has_shrunk = steady.step(|| richest.visit(hub).shrink(SHRINK_BATCH));
            if has_shrunk == Some(false) {
                // Other writers hold the excess in their hands, and will see
                // the new bound.
                thread::yield_now();
            }
        }
        self.shared.give_back_memory(&mut steady);
        steady.finish();
    }

    /// Frees all that was invalidated or has expired but is still held, and the
    /// memory of shards that hold few entries and held many.
    /// Nothing depends on it being called: every write does some of the same
    /// for its shard, and [`Builder::maintenance`](crate::Builder::maintenance)
    /// calls it from a thread.
    ///
    /// # Cost
    /// O(shards), and O(1) for each entry that is freed; a few hundred expired
    /// ones under one lock, so nobody waits long.
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// cache.insert("pear", 3);
    /// cache.invalidate_all();
    /// cache.run_maintenance(); // drops 3
    /// ```
    pub fn run_maintenance(&self) {
        self.shared.run_maintenance();
    }
}

impl<K, V> Shared<K, V> {
    /// Takes room from the shard that holds most, for one that has less than
    /// its share.
    pub(super) fn borrow(&self, shortage: Shortage, credit: &mut Credit<'_>) -> Visit<'_, K, V> {
        let mut visit = self.richest(shortage.need).visit(&self.hub);
        visit.lend(shortage, credit);
        visit.unlock();
        visit
    }

    /// The shard that has most of what is needed.
    fn richest(&self, need: Need) -> &Shard<K, V> {
        let size = |shard: &&Shard<K, V>| match need {
            Need::Entry => shard.size().entries,
            Need::Weight => shard.size().weight,
        };
        self.shards.iter().max_by_key(size).expect("a cache has at least one shard")
    }
}

/// The entry, which `visit` is about to store: no older load may undo that.
fn take_for<K: Eq, V>(
    visit: &mut Visit<'_, K, V>,
    hash: KeyHash,
    entry: &mut Option<Entry<K, V>>,
) -> Entry<K, V> {
    let entry = entry.take().expect("an entry is stored once");
    visit.overtake(hash, &entry.key);
    entry
}

/// Inserts every pair, in order.
impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// Inserts every pair of `pairs`, one after the other. Unlike
    /// [`Extend::extend`], it needs only a shared reference.
    ///
    /// # Panics
    /// As [`insert`](Cache::insert).
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// cache.extend([("pear", 3), ("plum", 40)]);
    /// assert_eq!(cache.len(), 2);
    /// ```
    pub fn extend(&self, pairs: impl IntoIterator<Item = (K, V)>) {
        for (key, value) in pairs {
            self.insert(key, value);
        }
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Extend<(K, V)> for Cache<K, V, S> {
    fn extend<T: IntoIterator<Item = (K, V)>>(&mut self, pairs: T) {
        Cache::extend(self, pairs);
    }
}

/// A cache with room for just these pairs: its capacity is their number, so
/// none of them is evicted.
///
/// ```
/// let cache: larder::Cache<&str, u32> = [("pear", 3), ("plum", 40)].into_iter().collect();
/// assert_eq!((cache.len(), cache.capacity()), (2, 2));
/// ```
impl<K: Hash + Eq, V> FromIterator<(K, V)> for Cache<K, V> {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(pairs: T) -> Self {
        let pairs: Vec<(K, V)> = pairs.into_iter().collect();
        let cache = Cache::new(pairs.len());
        cache.extend(pairs);
        cache
    }
}
