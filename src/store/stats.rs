//! What a cache over a store has done.

use crate::stats::Stats;
use std::time::Duration;

/// What a [`StoreCache`](crate::store::StoreCache) has done, and what waits to
/// be stored, at one moment.
///
/// ```
/// use larder::Cache;
/// use larder::store::{StoreCache, from_fn};
///
/// let store = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
/// let cache = StoreCache::new(Cache::new(100), store);
/// cache.get(&3).unwrap();
/// cache.get(&3).unwrap();
/// let stats = cache.stats();
/// assert_eq!((stats.load_calls, stats.dirty), (1, 0));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct StoreStats {
    /// What the cache itself counts.
    pub cache: Stats,
    /// Calls of the store to load, in batches or one by one.
    pub load_calls: u64,
    /// Calls of the store to write or delete, in batches or one by one.
    pub write_calls: u64,
    /// Puts and deletes that were taken.
    pub writes: u64,
    /// Of these, those that another write of the same key made unnecessary
    /// before they reached the store.
    pub coalesced: u64,
    /// Keys that were stored: by a call of the store, one at a time or in a
    /// batch.
    pub stored: u64,
    /// Tries of a key that failed, alone or with its batch.
    pub failures: u64,
    /// Writes that were given up.
    pub dead_letters: u64,
    /// Keys that are not stored now, those that failed included.
    pub dirty: u64,
    /// How long the oldest of them has waited; zero if there is none.
    pub dirty_age: Duration,
    /// Writes in the failed set now.
    pub failed: u64,
    /// Panics of the dead-letter callback.
    pub callback_panics: u64,
}
