//! The face of the library: one handle, and what can be asked of it.
//!
//! A method here picks the shard, does what runs the user's code before the
//! lock (hash, weigh, allocate), and leaves the rest to the shard. The walk of
//! a hit: `get` → `Shard::look` → `Index::find` → `Clone`.

pub(crate) mod entry;
pub(crate) mod iter;
pub(crate) mod load;
mod options;
mod write;

pub use options::EntryOptions;

use crate::alarm::AlarmClock;
use crate::budget::{Budget, Cost};
use crate::builder::{Builder, Weigher};
use crate::expiry::{Lifetimes, nanos};
use crate::hash::{DefaultHashBuilder, KeyHash};
use crate::listener::{Cause, Listener};
use crate::maintenance::Stop;
use crate::policy::Policies;
use crate::shard::{Glance, Held, HeldBack, Hub, Intent, Shard};
use crate::stats::{Lookups, Stats, Tally};
use crate::steady::Steady;
use crate::tags::TagTable;
use equivalent::Equivalent;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// How many expired entries maintenance looks at under one lock: others wait
/// for some 60 µs.
const RECLAIM_BATCH: usize = 256;

/// A concurrent cache of bounded size.
///
/// The handle is cheap to clone, and every clone is the same cache; use it from
/// threads and from async tasks alike (its methods do not wait for anything but
/// short locks, and for computations of the very same key).
///
/// Keys can be looked up by anything [`Equivalent`]: `&str` finds `String`.
/// `V` need not be `Clone` as such; methods that hand out an owned value ask
/// for it, and for large values `Arc<T>` makes that cheap.
///
/// Per key, operations are linearizable; an eviction may act as a `remove` at
/// any moment.
///
/// ```
/// use larder::Cache;
///
/// let cache: Cache<String, u32> = Cache::new(10_000);
/// cache.insert("pear".to_owned(), 3);
/// assert_eq!(cache.get("pear"), Some(3));
/// assert_eq!(cache.get("plum"), None);
/// ```
pub struct Cache<K, V, S = DefaultHashBuilder> {
    shared: Arc<Shared<K, V>>,
    hasher: Arc<S>,
}

/// What all handles of a cache share, but for the hasher: a maintenance thread
/// works on it without knowing what that is.
pub(crate) struct Shared<K, V> {
    hub: Hub<K, V>,
    shards: Box<[Shard<K, V>]>,
    /// Ends the maintenance thread, if there is one.
    stop: Arc<Stop>,
    tags: TagTable,
    weigher: Option<Weigher<K, V>>,
    /// Whether an insert may take the short way.
    is_plain: bool,
    lookups: Option<Lookups>,
    /// How long a caller waits for another one's load, unless it says so.
    load_timeout: Option<Duration>,
    alarms: AlarmClock,
}

impl<K, V> Shared<K, V> {
    pub(crate) fn stop(&self) -> &Arc<Stop> {
        &self.stop
    }

    #[inline]
    fn shard(&self, hash: KeyHash) -> &Shard<K, V> {
        &self.shards[hash.shard(self.shards.len())]
    }

    /// Frees what was invalidated or has expired, a little under each lock.
    pub(crate) fn run_maintenance(&self) {
        let mut steady = Steady::default();
        for shard in &self.shards {
            let batch = || shard.visit(&self.hub).reclaim_for_good(RECLAIM_BATCH);
            // After a panic, too, there may be more to reclaim.
            while steady.step(batch).unwrap_or(true) {}
        }
        self.give_back_memory(&mut steady);
        steady.finish();
    }

    /// Lets the entries of shards that have become small move together, a few
    /// under each lock, so that the memory above them can be given back.
    fn give_back_memory(&self, steady: &mut Steady) {
        for shard in &self.shards {
            let mut has_more = true;
            steady.step(|| shard.visit(&self.hub).begin_moving());
            while has_more {
                has_more = steady.step(|| shard.visit(&self.hub).move_some(true)) == Some(true);
            }
        }
    }
}

/// Whoever drops the last handle tells and drops what is still there.
impl<K, V> Drop for Shared<K, V> {
    fn drop(&mut self) {
        self.stop.now();
        if self.hub.listener.is_none() {
            return;
        }
        let mut steady = Steady::default();
        for shard in &self.shards {
            steady.step(|| shard.visit(&self.hub).take_all(Cause::Closed));
        }
        steady.finish();
    }
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// A cache of at most `capacity` entries, with everything else as by
    /// default.
    ///
    /// ```
    /// let cache = larder::Cache::new(2);
    /// cache.insert("pear", 3);
    /// assert_eq!(cache.len(), 1);
    /// ```
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        match Builder::new().capacity(capacity).build() {
            Ok(cache) => cache,
            Err(error) => unreachable!("a capacity is all that must be set: {error}"),
        }
    }
}

impl<K, V> Cache<K, V> {
    /// Sets up a cache with bounds, a policy, a listener and more.
    ///
    /// ```
    /// use larder::{Cache, Eviction};
    ///
    /// let cache: Cache<u64, String> =
    ///     Cache::builder().capacity(1000).eviction(Eviction::Sieve).build()?;
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn builder() -> Builder<K, V> {
        Builder::new()
    }
}

/// Reading.
impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// A clone of the value of `key`. A use for the policy, and a hit or a
    /// miss in the statistics.
    ///
    /// # Cost
    /// One hash, two to three cache misses and one clone of `V`. No lock; and
    /// nothing is written that other threads read, once an entry has been read
    /// a few times.
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// cache.insert("pear".to_owned(), 3);
    /// assert_eq!(cache.get("pear"), Some(3));
    /// ```
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        let hash = self.hash(key);
        let (shard, hub) = (self.shard(hash), &self.shared.hub);
        let intent = Intent::Use;
        match shard.glance(hub, hash, key, intent, clone_value) {
            Glance::Found(value) => Some(value),
            Glance::Nothing => None,
            // The last thing that is done here, so that a hit on the short way
            // need not save registers for it.
            Glance::Timed => self.look_in_time(shard, hash, key, clone_value),
            Glance::Unsure => self.look_closely(hash, key),
        }
    }

    /// Calls `use_it` with the value of `key`, without a clone and without a
    /// lock: it may take its time, and use the cache. Otherwise like
    /// [`get`](Cache::get).
    ///
    /// A value that leaves the cache meanwhile lives on until `use_it` returns.
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// cache.insert("pear", "a fruit".to_owned());
    /// assert_eq!(cache.read("pear", |text| text.len()), Some(7));
    /// ```
    pub fn read<Q, R>(&self, key: &Q, use_it: impl FnOnce(&V) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        let (shard, hub) = (self.shard(hash), &self.shared.hub);
        let mut use_it = Some(use_it);
        let mut use_once = |held: &Held<'_, K, V>| {
            held.narrow();
            use_it.take().expect("it is used once")(held.value())
        };
        let intent = Intent::Use;
        match shard.glance(hub, hash, key, intent, &mut use_once) {
            Glance::Found(used) => Some(used),
            Glance::Nothing => None,
            Glance::Timed => self.look_in_time(shard, hash, key, use_once),
            Glance::Unsure => self.read_closely(hash, key, use_once),
        }
    }

    /// A clone of the value of `key`, without any effect on policy, expiry or
    /// statistics.
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// cache.insert("pear", 3);
    /// assert_eq!(cache.peek("pear"), Some(3));
    /// ```
    pub fn peek<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        self.glimpse(key, clone_value)
    }

    /// Whether `key` has a value now, without any effect, like
    /// [`peek`](Cache::peek). It may be gone by the next call.
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// cache.insert("pear", 3);
    /// assert!(cache.contains_key("pear"));
    /// ```
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.glimpse(key, |_| ()).is_some()
    }

    /// How long `key` has until it expires: [`Duration::MAX`] if it has no
    /// deadline, `None` if it has no value. No effect, like
    /// [`peek`](Cache::peek).
    ///
    /// ```
    /// use larder::{EntryOptions, ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let cache = larder::Cache::builder().capacity(100).clock(clock.clone()).build()?;
    /// cache.insert("plum", 40);
    /// cache.insert_with("pear", 3, EntryOptions::new().ttl(Duration::from_secs(60)));
    /// clock.advance(Duration::from_secs(20));
    /// assert_eq!(cache.expires_in("pear"), Some(Duration::from_secs(40)));
    /// assert_eq!(cache.expires_in("plum"), Some(Duration::MAX));
    /// assert_eq!(cache.expires_in("fig"), None);
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn expires_in<Q>(&self, key: &Q) -> Option<Duration>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        self.shard(hash).expires_in(&self.shared.hub, hash, key)
    }

    /// What `show` says of the entry of `key`, without any effect.
    #[inline]
    fn glimpse<Q, R>(&self, key: &Q, show: impl Fn(&Held<'_, K, V>) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        let (shard, hub) = (self.shard(hash), &self.shared.hub);
        let intent = Intent::Peek;
        match shard.glance(hub, hash, key, intent, &show) {
            Glance::Found(shown) => Some(shown),
            Glance::Nothing => None,
            Glance::Timed => shard.look_in_time(hub, hash, key, intent, show),
            Glance::Unsure => self.look(hash, key, intent, show),
        }
    }

    /// A look-up in a shard whose entries may have deadlines. By itself, so that
    /// those who need none of this pay nothing for it.
    #[inline(never)]
    fn look_in_time<Q, R>(
        &self,
        shard: &Shard<K, V>,
        hash: KeyHash,
        key: &Q,
        use_it: impl FnMut(&Held<'_, K, V>) -> R,
    ) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.counted(shard.look_in_time(&self.shared.hub, hash, key, Intent::Use, use_it))
    }

    #[inline(never)]
    fn read_closely<Q, R>(
        &self,
        hash: KeyHash,
        key: &Q,
        mut use_it: impl FnMut(&Held<'_, K, V>) -> R,
    ) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let (shard, hub) = (self.shard(hash), &self.shared.hub);
        match shard.gaze(hub, hash, key, &mut use_it) {
            Glance::Found(used) => return Some(used),
            Glance::Nothing => return None,
            Glance::Timed | Glance::Unsure => {}
        }
        let (held, _) = self.counted(shard.hold(hub, hash, key))?;
        let used = use_it(&held);
        if hub.lifetimes.expiry.is_some() {
            shard.expire_on_read(hub, &held, hub.lifetimes.now());
        }
        Some(used)
    }

    #[cold]
    #[inline(never)]
    fn look_closely<Q>(&self, hash: KeyHash, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        let (shard, hub) = (self.shard(hash), &self.shared.hub);
        match shard.gaze(hub, hash, key, clone_value) {
            Glance::Found(value) => Some(value),
            Glance::Nothing => None,
            Glance::Timed | Glance::Unsure => self.look(hash, key, Intent::Use, clone_value),
        }
    }

    #[inline(never)]
    fn look<Q, R>(
        &self,
        hash: KeyHash,
        key: &Q,
        intent: Intent,
        use_it: impl FnOnce(&Held<'_, K, V>) -> R,
    ) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let (shard, hub) = (self.shard(hash), &self.shared.hub);
        let found = if intent == Intent::Use && hub.lifetimes.expiry.is_some() {
            let held = shard.hold(hub, hash, key);
            held.map(|(held, now)| {
                let used = use_it(&held);
                shard.expire_on_read(hub, &held, now);
                used
            })
        } else {
            shard.look(hub, hash, key, intent, use_it)
        };
        if intent == Intent::Use { self.counted(found) } else { found }
    }

    /// What a look-up has found, once it is counted.
    #[inline]
    fn counted<R>(&self, found: Option<R>) -> Option<R> {
        self.count(found.is_some());
        found
    }

    #[inline]
    fn count(&self, is_hit: bool) {
        if let Some(lookups) = &self.shared.lookups {
            lookups.count(is_hit);
        }
    }

    #[inline]
    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> KeyHash {
        KeyHash::of(key, &*self.hasher)
    }

    #[inline]
    fn shard(&self, hash: KeyHash) -> &Shard<K, V> {
        self.shared.shard(hash)
    }
}

#[inline]
fn clone_value<K, V: Clone>(held: &Held<'_, K, V>) -> V {
    // A clone that needs no drop is a copy, and over at once.
    if std::mem::needs_drop::<V>() {
        held.narrow();
    }
    held.value().clone()
}

/// What it holds and how it is set up.
impl<K, V, S> Cache<K, V, S> {
    pub(crate) fn from_builder(builder: Builder<K, V, S>, shards: usize) -> Self {
        let budget = Budget::new(builder.bounds());
        let mut lifetimes = Lifetimes::new(
            (builder.time_to_live, builder.time_to_idle),
            builder.ttl_jitter,
            builder.expiry,
            builder.clock,
        );
        lifetimes.keeps_ages = builder.keeps_ages;
        lifetimes.grace = nanos(builder.grace);
        lifetimes.retry_after = nanos(builder.retry_after);
        let policies = Policies::new(builder.eviction);
        let hub = Hub {
            shards,
            notes: policies.policy().notes(),
            policies,
            budget,
            generation: AtomicU64::new(0),
            listener: builder.on_removal.map(Listener::new),
            counts_lookups: builder.record_stats,
            lifetimes,
            held_back: HeldBack::default(),
        };
        let shards = (0..shards).map(|home| Shard::new(home, &hub)).collect();
        let shared = Shared {
            is_plain: hub.is_plain() && !builder.keeps_ages && builder.weigher.is_none(),
            hub,
            shards,
            stop: Arc::default(),
            tags: TagTable::default(),
            weigher: builder.weigher,
            lookups: builder.record_stats.then(Lookups::new),
            load_timeout: builder.load_timeout,
            alarms: AlarmClock::default(),
        };
        Cache { shared: Arc::new(shared), hasher: Arc::new(builder.hasher) }
    }

    /// What the eviction policy has learnt, for people who look into it; empty
    /// if it learns nothing. The text may change in any release.
    ///
    /// ```
    /// let cache = larder::Cache::<u64, u64>::new(1000);
    /// assert!(cache.policy_report().starts_with("window"));
    /// ```
    #[doc(hidden)]
    pub fn policy_report(&self) -> String {
        self.shared.hub.policies.describe()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<K, V>> {
        &self.shared
    }

    fn usage(&self) -> Cost {
        for shard in &self.shared.shards {
            shard.free_hidden(&self.shared.hub);
        }
        // The account, not the sum of the shards: an entry that made way in
        // one of them for a newcomer in another would be summed up twice.
        self.shared.hub.budget.used()
    }

    /// How many entries there are. While others write, what they have paid for
    /// and not yet stored is counted too, so it is never more than the
    /// [`capacity`](Cache::capacity), unless that is being lowered.
    ///
    /// # Cost
    /// O(shards); entries invalidated before are freed first.
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// cache.insert("pear", 3);
    /// assert_eq!(cache.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.usage().entries as usize
    }

    /// Whether there is no entry.
    ///
    /// ```
    /// let cache: larder::Cache<u8, u8> = larder::Cache::new(100);
    /// assert!(cache.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of the entries' weights; without a weigher, their number.
    ///
    /// ```
    /// use larder::EntryOptions;
    ///
    /// let cache = larder::Cache::new(100);
    /// cache.insert("pear", 3);
    /// cache.insert_with("plum", 4, EntryOptions::new().weight(10));
    /// assert_eq!(cache.weight(), 11);
    /// ```
    pub fn weight(&self) -> u64 {
        self.usage().weight
    }

    /// The bound on entries; `usize::MAX` if there is none.
    ///
    /// ```
    /// let cache: larder::Cache<u8, u8> = larder::Cache::new(100);
    /// assert_eq!(cache.capacity(), 100);
    /// ```
    pub fn capacity(&self) -> usize {
        usize::try_from(self.shared.hub.budget.max().entries).unwrap_or(usize::MAX)
    }

    /// The bound on the sum of weights; `u64::MAX` if there is none.
    ///
    /// ```
    /// let cache: larder::Cache<u8, u8> = larder::Cache::new(100);
    /// assert_eq!(cache.weight_capacity(), u64::MAX);
    /// ```
    pub fn weight_capacity(&self) -> u64 {
        self.shared.hub.budget.max().weight
    }

    /// What has happened so far. Hits and misses are counted only if the cache
    /// was built with [`record_stats`](Builder::record_stats).
    ///
    /// # Cost
    /// O(shards).
    ///
    /// ```
    /// let cache = larder::Cache::new(1);
    /// cache.insert("pear", 3);
    /// cache.insert("plum", 4);
    /// let stats = cache.stats();
    /// assert_eq!((stats.inserts, stats.evicted, stats.entries), (2, 1, 1));
    /// assert_eq!(stats.hit_ratio(), None, "look-ups were not recorded");
    /// ```
    pub fn stats(&self) -> Stats {
        let mut tally = Tally::default();
        for shard in &self.shared.shards {
            tally.add(&shard.tally());
        }
        let (hits, misses) = self.shared.lookups.as_ref().map_or((0, 0), Lookups::sums);
        let usage = self.usage();
        let listener_panics = self.shared.hub.listener.as_ref().map_or(0, Listener::panics);
        Stats {
            hits,
            misses,
            listener_panics,
            entries: usage.entries,
            weight: usage.weight,
            ..Stats::default()
        }
        .with_tally(&tally)
    }

    /// Checks that every part of the cache agrees with every other, and says
    /// what does not. For tests of larder itself: O(entries × log entries), and
    /// only meaningful while nobody else writes.
    #[doc(hidden)]
    pub fn validate(&self) -> Result<(), String> {
        let mut sum = Cost::default();
        for (home, shard) in self.shared.shards.iter().enumerate() {
            let cost =
                shard.validate(&self.shared.hub).map_err(|e| format!("shard {home}: {e}"))?;
            sum.entries += cost.entries;
            sum.weight += cost.weight;
        }
        let (used, max) = (self.shared.hub.budget.used(), self.shared.hub.budget.max());
        if used != sum {
            return Err(format!("the budget says {used:?}, the shards hold {sum:?}"));
        }
        if sum.entries > max.entries || sum.weight > max.weight {
            return Err(format!("{sum:?} is more than {max:?}"));
        }
        Ok(())
    }
}

impl<K, V, S> Clone for Cache<K, V, S> {
    fn clone(&self) -> Self {
        Cache { shared: Arc::clone(&self.shared), hasher: Arc::clone(&self.hasher) }
    }
}

/// A summary, never the contents.
impl<K, V, S> fmt::Debug for Cache<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (used, max) = (self.usage(), self.shared.hub.budget.max());
        let mut summary = f.debug_struct("Cache");
        summary.field("entries", &used.entries).field("weight", &used.weight);
        if max.entries != u64::MAX {
            summary.field("capacity", &max.entries);
        }
        if max.weight != u64::MAX {
            summary.field("weight_capacity", &max.weight);
        }
        summary
            .field("eviction", &self.shared.hub.policies.eviction())
            .field("shards", &self.shared.hub.shards)
            .finish()
    }
}
