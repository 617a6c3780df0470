//! How each library gets and inserts, in the words of its documentation.

use crate::peer::{Peer, Value};
use mini_moka::sync::ConcurrentCacheExt;
use parking_lot::Mutex;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::ops::Range;

impl<V: Clone + Send + Sync + 'static> Peer<V> for larder::Cache<u64, V> {
    fn get(&self, key: u64) -> Option<V> {
        larder::Cache::get(self, &key)
    }

    fn insert(&self, key: u64, value: V) {
        larder::Cache::insert(self, key, value);
    }

    fn read(&self, key: u64) -> bool {
        larder::Cache::read(self, &key, |value| {
            black_box(value);
        })
        .is_some()
    }

    fn settle(&self) {
        self.run_maintenance();
    }
}

impl<V: Clone + Send + Sync + 'static> Peer<V> for moka::sync::Cache<u64, V> {
    fn get(&self, key: u64) -> Option<V> {
        moka::sync::Cache::get(self, &key)
    }

    fn insert(&self, key: u64, value: V) {
        moka::sync::Cache::insert(self, key, value);
    }

    fn settle(&self) {
        self.run_pending_tasks();
    }
}

impl<V: Clone + Send + Sync + 'static> Peer<V> for mini_moka::sync::Cache<u64, V> {
    fn get(&self, key: u64) -> Option<V> {
        mini_moka::sync::Cache::get(self, &key)
    }

    fn insert(&self, key: u64, value: V) {
        mini_moka::sync::Cache::insert(self, key, value);
    }

    fn settle(&self) {
        self.sync();
    }
}

impl<V, W> Peer<V> for quick_cache::sync::Cache<u64, V, W>
where
    V: Clone + Send + Sync,
    W: quick_cache::Weighter<u64, V> + Clone + Send + Sync,
{
    fn get(&self, key: u64) -> Option<V> {
        quick_cache::sync::Cache::get(self, &key)
    }

    fn insert(&self, key: u64, value: V) {
        quick_cache::sync::Cache::insert(self, key, value);
    }
}

impl<V: Clone + Send + Sync + 'static> Peer<V> for foyer_memory::Cache<u64, V> {
    fn get(&self, key: u64) -> Option<V> {
        foyer_memory::Cache::get(self, &key).map(|entry| entry.value().clone())
    }

    fn insert(&self, key: u64, value: V) {
        foyer_memory::Cache::insert(self, key, value);
    }

    fn read(&self, key: u64) -> bool {
        black_box(foyer_memory::Cache::get(self, &key)).is_some()
    }
}

/// Inserts are queued for a thread of stretto's own, which may refuse them.
pub struct Stretto<V: Send + Sync + 'static> {
    cache: stretto::Cache<u64, V>,
    /// What a value weighs.
    cost: fn(&V) -> i64,
}

impl<V: Clone + Send + Sync + 'static> Stretto<V> {
    /// Ten counters for each entry, as its documentation advises.
    pub fn new(entries: usize, cost_max: i64, cost: fn(&V) -> i64) -> Self {
        let counters = entries.max(1) * 10;
        let cache = stretto::Cache::new(counters, cost_max).expect("the settings are in order");
        Stretto { cache, cost }
    }
}

impl<V: Clone + Send + Sync + 'static> Peer<V> for Stretto<V> {
    fn get(&self, key: u64) -> Option<V> {
        self.cache.get(&key).map(|found| found.value().clone())
    }

    fn insert(&self, key: u64, value: V) {
        let cost = (self.cost)(&value);
        self.cache.insert(key, value, cost);
    }

    fn read(&self, key: u64) -> bool {
        self.cache.get(&key).map(|found| black_box(found.value()) as *const V).is_some()
    }

    fn settle(&self) {
        self.cache.wait().expect("its thread is alive");
    }
}

/// Weights are 16 bits wide and given with each insert.
pub struct TinyUfo<V: Clone + Send + Sync + 'static> {
    cache: tinyufo::TinyUfo<u64, V>,
    weigh: fn(&V) -> u16,
}

impl<V: Clone + Send + Sync + 'static> TinyUfo<V> {
    /// `weight_max` in the unit of `weigh`.
    pub fn new(entries: usize, weight_max: usize, weigh: fn(&V) -> u16) -> Self {
        TinyUfo { cache: tinyufo::TinyUfo::new(weight_max, entries), weigh }
    }
}

impl<V: Clone + Send + Sync + 'static> Peer<V> for TinyUfo<V> {
    fn get(&self, key: u64) -> Option<V> {
        self.cache.get(&key)
    }

    fn insert(&self, key: u64, value: V) {
        let weight = (self.weigh)(&value);
        self.cache.put(key, value, weight);
    }
}

impl<V: Clone + Send + Sync> Peer<V> for sieve_cache::ShardedSieveCache<u64, V> {
    fn get(&self, key: u64) -> Option<V> {
        sieve_cache::ShardedSieveCache::get(self, &key)
    }

    fn insert(&self, key: u64, value: V) {
        sieve_cache::ShardedSieveCache::insert(self, key, value);
    }
}

/// `lru::LruCache` in one mutex or in several.
pub struct Lru<V>(Vec<Mutex<lru::LruCache<u64, V>>>);

impl<V> Lru<V> {
    /// Shares the capacity out evenly, and exactly.
    pub fn new(capacity: usize, shards: usize) -> Self {
        let shards = shards.min(capacity);
        let shard = |at: usize| {
            let part = capacity / shards + usize::from(at < capacity % shards);
            let part = NonZeroUsize::new(part).expect("no more shards than entries");
            Mutex::new(lru::LruCache::new(part))
        };
        Lru((0..shards).map(shard).collect())
    }

    fn shard(&self, key: u64) -> &Mutex<lru::LruCache<u64, V>> {
        // Fibonacci hashing: its high bits are well mixed.
        let mixed = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        &self.0[(mixed as usize * self.0.len()) >> 32]
    }
}

impl<V: Clone + Send + Sync> Peer<V> for Lru<V> {
    fn get(&self, key: u64) -> Option<V> {
        self.shard(key).lock().get(&key).cloned()
    }

    fn insert(&self, key: u64, value: V) {
        // What leaves is dropped after the lock.
        let _gone = self.shard(key).lock().push(key, value);
    }

    fn read(&self, key: u64) -> bool {
        self.shard(key).lock().get(&key).map(|value| black_box(value) as *const V).is_some()
    }
}

impl<V: Clone + Send + Sync + 'static> Peer<V> for scc::HashCache<u64, V> {
    /// Not `read_sync`, which is no use of the entry.
    fn get(&self, key: u64) -> Option<V> {
        self.get_sync(&key).map(|entry| entry.get().clone())
    }

    fn insert(&self, key: u64, value: V) {
        self.entry_sync(key).put_entry(value);
    }

    fn read(&self, key: u64) -> bool {
        self.get_sync(&key).map(|entry| black_box(entry.get()) as *const V).is_some()
    }
}

impl<V: Clone + Send + Sync> Peer<V> for dashmap::DashMap<u64, V> {
    fn get(&self, key: u64) -> Option<V> {
        dashmap::DashMap::get(self, &key).map(|value| value.clone())
    }

    fn insert(&self, key: u64, value: V) {
        dashmap::DashMap::insert(self, key, value);
    }

    fn read(&self, key: u64) -> bool {
        dashmap::DashMap::get(self, &key).map(|value| black_box(&*value) as *const V).is_some()
    }
}

impl<V: Clone + Send + Sync> Peer<V> for papaya::HashMap<u64, V> {
    fn get(&self, key: u64) -> Option<V> {
        self.pin().get(&key).cloned()
    }

    fn insert(&self, key: u64, value: V) {
        self.pin().insert(key, value);
    }

    fn read(&self, key: u64) -> bool {
        self.pin().get(&key).map(|value| black_box(value) as *const V).is_some()
    }
}

/// `hashbrown::HashMap` for one thread: locked once a window, so that what is
/// measured is the map.
pub struct Alone<V>(Mutex<hashbrown::HashMap<u64, V>>);

impl<V> Alone<V> {
    /// Room for as many entries from the start.
    pub fn new(capacity: usize) -> Self {
        Alone(Mutex::new(hashbrown::HashMap::with_capacity(capacity)))
    }
}

impl<V: Clone + Send + Sync> Peer<V> for Alone<V> {
    fn get(&self, key: u64) -> Option<V> {
        self.0.lock().get(&key).cloned()
    }

    fn insert(&self, key: u64, value: V) {
        self.0.lock().insert(key, value);
    }

    fn get_all(&self, keys: &[u32]) -> usize {
        let map = self.0.lock();
        let get = |key: &&u32| black_box(map.get(&u64::from(**key)).cloned()).is_some();
        keys.iter().filter(get).count()
    }

    fn read_all(&self, keys: &[u32]) -> usize {
        let map = self.0.lock();
        let read = |key: &&u32| black_box(map.get(&u64::from(**key))).is_some();
        keys.iter().filter(read).count()
    }

    fn insert_all(&self, keys: Range<u64>)
    where
        V: Value,
    {
        self.0.lock().extend(keys.map(|key| (key, V::of(key))));
    }

    fn mix_all(&self, keys: &[u32]) -> usize
    where
        V: Value,
    {
        let mut map = self.0.lock();
        let mut hits = 0;
        for &key in keys {
            let name = u64::from(key & !crate::peer::WRITE);
            if key == name as u32 {
                hits += usize::from(black_box(map.get(&name).cloned()).is_some());
            } else {
                map.insert(name, V::of(name));
            }
        }
        hits
    }
}
