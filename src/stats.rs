//! Counting what happens, without a cache line that threads would share.
//!
//! Look-ups are counted in stripes, one a thread as long as there are as many
//! stripes as threads; everything else is counted in the shard, under the lock
//! that is held anyway.

use crate::listener::Cause;
use std::ops::Sub;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// What a shard counts under its lock.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
pub(crate) struct Tally {
    pub(crate) loads: u64,
    pub(crate) load_failures: u64,
    pub(crate) load_nanos: u64,
    pub(crate) coalesced: u64,
    pub(crate) refreshes: u64,
    pub(crate) stale_served: u64,
    pub(crate) removals: [u64; Cause::COUNT],
    pub(crate) inserts: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.inserts += other.inserts;
        self.loads += other.loads;
        self.load_failures += other.load_failures;
        self.load_nanos += other.load_nanos;
        self.coalesced += other.coalesced;
        self.refreshes += other.refreshes;
        self.stale_served += other.stale_served;
        for (sum, more) in self.removals.iter_mut().zip(other.removals) {
            *sum += more;
        }
    }
}

/// More stripes than most machines have threads that use one cache: 8 KiB.
const STRIPES: usize = 64;

/// Two cache lines each, since processors fetch lines in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Stripe {
    hits: AtomicU64,
    misses: AtomicU64,
}

pub(crate) struct Lookups {
    stripes: Box<[Stripe]>,
}

static NEXT_STRIPE: AtomicUsize = AtomicUsize::new(0);

crate::sync::thread_local! {
    static MY_STRIPE: usize = NEXT_STRIPE.fetch_add(1, Ordering::Relaxed) % STRIPES;
}

impl Lookups {
    pub(crate) fn new() -> Self {
        Lookups { stripes: (0..STRIPES).map(|_| Stripe::default()).collect() }
    }

    pub(crate) fn count(&self, is_hit: bool) {
        // A thread that is just ending may have lost its number already.
        let stripe = &self.stripes[MY_STRIPE.try_with(|at| *at).unwrap_or(0)];
        let counter = if is_hit { &stripe.hits } else { &stripe.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Hits and misses so far.
    pub(crate) fn sums(&self) -> (u64, u64) {
        let sum = |counter: fn(&Stripe) -> &AtomicU64| {
            self.stripes.iter().map(|s| counter(s).load(Ordering::Relaxed)).sum()
        };
        (sum(|stripe| &stripe.hits), sum(|stripe| &stripe.misses))
    }
}

/// What a cache has done, and what it holds, at one moment.
///
/// Counters are read one after the other while others go on counting, so a
/// snapshot under load is off by the operations of that moment.
///
/// ```
/// use larder::Cache;
///
/// let cache = Cache::builder().capacity(100).record_stats().build()?;
/// cache.insert("pear", 3);
/// cache.get("pear");
/// let before = cache.stats();
/// cache.get("plum");
/// cache.get("pear");
/// assert_eq!(cache.stats().hit_ratio(), Some(2.0 / 3.0));
/// assert_eq!((cache.stats() - before).hit_ratio(), Some(0.5));
/// # Ok::<(), larder::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Stats {
    /// Look-ups that found a value. Only counted by a cache that was built
    /// with `record_stats`; so are `misses`.
    pub hits: u64,
    /// Look-ups that found none.
    pub misses: u64,
    /// Values that were stored, replacements included.
    pub inserts: u64,
    /// Removed by `remove` or a computation.
    pub removed: u64,
    /// Values that a newer one of the same key took the place of.
    pub replaced: u64,
    /// Expired entries that were reclaimed.
    pub expired: u64,
    /// Evicted because the cache was full.
    pub evicted: u64,
    /// Removed by an `invalidate…` method or `clear`, once reclaimed.
    pub invalidated: u64,
    /// Refused because they were heavier than the whole cache.
    pub rejected: u64,
    /// Calls of the removal listener that panicked.
    pub listener_panics: u64,
    /// Loads that succeeded, reloads included. That there is no value is a
    /// success, too.
    pub loads: u64,
    /// Loads that ended with an error or a panic.
    pub load_failures: u64,
    /// How long all these loads took together, by the cache's clock if one was
    /// set. Measured only with [`record_stats`](crate::Builder::record_stats),
    /// and by caches that keep the ages of their values.
    pub load_time: Duration,
    /// Calls that joined a load of another caller instead of loading.
    pub coalesced: u64,
    /// Loads that replaced, or were to replace, a value that was still there.
    pub refreshes: u64,
    /// Calls that got a value that had expired, because loads failed.
    pub stale_served: u64,
    /// Entries held now.
    pub entries: u64,
    /// Their weight now.
    pub weight: u64,
}

impl Stats {
    /// Hits as a share of all look-ups, from 0 to 1; `None` if there were no
    /// look-ups, or none were recorded.
    ///
    /// ```
    /// let stats = larder::Stats::default();
    /// assert_eq!(stats.hit_ratio(), None);
    /// ```
    pub fn hit_ratio(&self) -> Option<f64> {
        // Statistics that were read from somewhere may say anything.
        let lookups = u128::from(self.hits) + u128::from(self.misses);
        (lookups > 0).then(|| self.hits as f64 / lookups as f64)
    }

    /// How long a load took on average; `None` if no time was measured.
    ///
    /// ```
    /// let cache: larder::Cache<String, u32> =
    ///     larder::Cache::builder().capacity(100).record_stats().build()?;
    /// assert_eq!(cache.stats().mean_load_time(), None);
    /// cache.get_with("pear", || 3);
    /// assert!(cache.stats().mean_load_time().is_some());
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn mean_load_time(&self) -> Option<Duration> {
        if self.load_time.is_zero() {
            return None;
        }
        let loads = u128::from(self.loads) + u128::from(self.load_failures);
        let nanos = self.load_time.as_nanos().checked_div(loads)?;
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    pub(crate) fn with_tally(mut self, tally: &Tally) -> Self {
        let by = |cause: Cause| tally.removals[cause as usize];
        self.inserts = tally.inserts;
        self.removed = by(Cause::Explicit);
        self.replaced = by(Cause::Replaced);
        self.expired = by(Cause::Expired);
        self.evicted = by(Cause::Size);
        self.invalidated = by(Cause::Invalidated);
        self.rejected = by(Cause::Rejected);
        self.loads = tally.loads;
        self.load_failures = tally.load_failures;
        self.load_time = Duration::from_nanos(tally.load_nanos);
        self.coalesced = tally.coalesced;
        self.refreshes = tally.refreshes;
        self.stale_served = tally.stale_served;
        self
    }
}

/// What happened between two snapshots: counters are subtracted (to 0 at
/// least), `entries` and `weight` are those of the later one.
impl Sub for Stats {
    type Output = Stats;

    fn sub(self, earlier: Stats) -> Stats {
        let since = |later: u64, earlier: u64| later.saturating_sub(earlier);
        Stats {
            hits: since(self.hits, earlier.hits),
            misses: since(self.misses, earlier.misses),
            inserts: since(self.inserts, earlier.inserts),
            removed: since(self.removed, earlier.removed),
            replaced: since(self.replaced, earlier.replaced),
            expired: since(self.expired, earlier.expired),
            evicted: since(self.evicted, earlier.evicted),
            invalidated: since(self.invalidated, earlier.invalidated),
            rejected: since(self.rejected, earlier.rejected),
            listener_panics: since(self.listener_panics, earlier.listener_panics),
            loads: since(self.loads, earlier.loads),
            load_failures: since(self.load_failures, earlier.load_failures),
            load_time: self.load_time.saturating_sub(earlier.load_time),
            coalesced: since(self.coalesced, earlier.coalesced),
            refreshes: since(self.refreshes, earlier.refreshes),
            stale_served: since(self.stale_served, earlier.stale_served),
            entries: self.entries,
            weight: self.weight,
        }
    }
}
