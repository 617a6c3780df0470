//! Who takes part, and how each is set up: by capacity, and with everything
//! else as its documentation has it.

use crate::adaptors::{Alone, Lru, Stretto, TinyUfo};
use crate::peer::{Peer, Value};
use foyer_memory::{EvictionConfig, FifoConfig, LfuConfig, LruConfig, S3FifoConfig, SieveConfig};
use larder::Eviction;
use std::fmt;

/// TinyUFO's weights end at 65535: in this unit, at 4 MiB.
pub const TINY_UFO_UNIT_BYTES: u64 = 64;

/// foyer lets its users choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foyer {
    /// Its default.
    Lru,
    /// First in, first out.
    Fifo,
    /// W-TinyLFU.
    Lfu,
    /// S3-FIFO.
    S3Fifo,
    /// SIEVE.
    Sieve,
}

/// A cache to compare, or a map to compare caches with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// This library, as it comes.
    Larder,
    /// This library, with a policy that was asked for.
    LarderWith(Eviction),
    /// moka's `sync::Cache`.
    Moka,
    /// mini-moka's `sync::Cache`.
    MiniMoka,
    /// quick_cache's `sync::Cache`.
    QuickCache,
    /// foyer's cache in memory.
    Foyer(Foyer),
    /// stretto's `Cache`.
    Stretto,
    /// Pingora's cache.
    TinyUfo,
    /// sieve-cache's sharded form.
    SieveCache,
    /// `lru` in one mutex.
    LruMutex,
    /// `lru` in 64 mutexes.
    LruShards,
    /// scc's `HashCache`.
    Scc,
    /// A map, which never evicts.
    DashMap,
    /// A map, which never evicts.
    Papaya,
    /// A map for one thread: what no cache can be faster than.
    Hashbrown,
}

/// What a contender can take part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has a capacity, and makes room.
    Cache,
    /// It only ever grows.
    Map,
    /// So does this, and for one thread alone.
    MapOfOneThread,
}

impl Contender {
    /// Those whose speed and memory are compared, larder first.
    #[must_use]
    pub fn for_speed() -> Vec<Contender> {
        use Contender::*;
        vec![
            Larder,
            LarderWith(Eviction::Sieve),
            LarderWith(Eviction::S3Fifo),
            LarderWith(Eviction::Lru),
            QuickCache,
            Moka,
            MiniMoka,
            Foyer(self::Foyer::Lru),
            Stretto,
            TinyUfo,
            SieveCache,
            LruMutex,
            LruShards,
            Scc,
            DashMap,
            Papaya,
            Hashbrown,
        ]
    }

    /// Those whose hit ratio is compared, larder first.
    #[must_use]
    pub fn for_hit_ratio() -> Vec<Contender> {
        use Contender::*;
        let of_ours = Eviction::ALL.iter().filter(|policy| **policy != Eviction::default());
        let others = [
            QuickCache,
            Moka,
            MiniMoka,
            Foyer(self::Foyer::Lru),
            Foyer(self::Foyer::Fifo),
            Foyer(self::Foyer::Lfu),
            Foyer(self::Foyer::S3Fifo),
            Foyer(self::Foyer::Sieve),
            Stretto,
            TinyUfo,
            SieveCache,
            LruMutex,
            Scc,
        ];
        let of_ours = of_ours.chain([&Eviction::AdaptiveByWeight]);
        let of_ours = of_ours.map(|policy| LarderWith(*policy));
        [Larder].into_iter().chain(of_ours).chain(others).collect()
    }

    /// What it can take part in.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Contender::DashMap | Contender::Papaya => Kind::Map,
            Contender::Hashbrown => Kind::MapOfOneThread,
            _ => Kind::Cache,
        }
    }

    /// Whether making room takes a bounded time. stretto walks its whole table
    /// for each newcomer once it is full (0.3 ms at 100000 entries), in a thread
    /// that would still be at it, and keep a processor busy, in the others' turns.
    #[must_use]
    pub fn evicts_in_bounded_time(self) -> bool {
        self.kind() == Kind::Cache && self != Contender::Stretto
    }

    /// Whether it is this library, with whichever policy.
    #[must_use]
    pub fn is_larder(self) -> bool {
        matches!(self, Contender::Larder | Contender::LarderWith(_))
    }

    /// Sets up an empty cache of `capacity` entries.
    ///
    /// # Panics
    /// If a library refuses the capacity, as some do with 0.
    #[must_use]
    pub fn build<V: Value>(self, capacity: usize) -> Box<dyn Peer<V>> {
        let larder = || larder::Cache::builder().capacity(capacity);
        let refused = "the settings are in order";
        match self {
            Contender::Larder => Box::new(larder().build().expect(refused)),
            Contender::LarderWith(policy) => {
                Box::new(larder().eviction(policy).build().expect(refused))
            }
            Contender::Moka => Box::new(moka::sync::Cache::new(capacity as u64)),
            Contender::MiniMoka => Box::new(mini_moka::sync::Cache::new(capacity as u64)),
            Contender::QuickCache => Box::new(quick_cache::sync::Cache::new(capacity)),
            Contender::Foyer(policy) => {
                let builder = foyer_memory::CacheBuilder::new(capacity);
                Box::new(builder.with_eviction_config(foyer(policy)).build::<Properties>())
            }
            Contender::Stretto => Box::new(Stretto::new(capacity, capacity as i64, |_| 1)),
            Contender::TinyUfo => Box::new(TinyUfo::new(capacity, capacity, |_| 1)),
            Contender::SieveCache => {
                Box::new(sieve_cache::ShardedSieveCache::new(capacity).expect(refused))
            }
            Contender::LruMutex => Box::new(Lru::new(capacity, 1)),
            Contender::LruShards => Box::new(Lru::new(capacity, 64)),
            Contender::Scc => Box::new(scc::HashCache::with_capacity(0, capacity)),
            Contender::DashMap => Box::new(dashmap::DashMap::with_capacity(capacity)),
            Contender::Papaya => Box::new(papaya::HashMap::with_capacity(capacity)),
            Contender::Hashbrown => Box::new(Alone::new(capacity)),
        }
    }

    /// Sets up an empty cache of `bytes`, whose values are sizes in bytes, and
    /// of which some `entries` will fit in. `None` if it cannot weigh.
    ///
    /// # Panics
    /// If a library refuses the settings.
    #[must_use]
    pub fn build_weighted(self, bytes: u64, entries: usize) -> Option<Box<dyn Peer<u32>>> {
        let larder = || {
            let builder = larder::Cache::builder().weight_capacity(bytes);
            builder.weigher(|_: &u64, size: &u32| *size)
        };
        let refused = "the settings are in order";
        Some(match self {
            Contender::Larder => Box::new(larder().build().expect(refused)),
            Contender::LarderWith(policy) => {
                Box::new(larder().eviction(policy).build().expect(refused))
            }
            Contender::Moka => {
                let builder = moka::sync::Cache::builder().max_capacity(bytes);
                Box::new(builder.weigher(|_: &u64, size: &u32| *size).build())
            }
            Contender::MiniMoka => {
                let builder = mini_moka::sync::Cache::builder().max_capacity(bytes);
                Box::new(builder.weigher(|_: &u64, size: &u32| *size).build())
            }
            Contender::QuickCache => {
                Box::new(quick_cache::sync::Cache::with_weighter(entries, bytes, BySize))
            }
            Contender::Foyer(policy) => {
                let builder = foyer_memory::CacheBuilder::new(bytes as usize);
                let builder = builder.with_eviction_config(foyer(policy));
                let builder = builder.with_weighter(|_: &u64, size: &u32| *size as usize);
                Box::new(builder.build::<Properties>())
            }
            Contender::Stretto => {
                Box::new(Stretto::new(entries, bytes as i64, |size| i64::from(*size)))
            }
            Contender::TinyUfo => {
                let units = (bytes / TINY_UFO_UNIT_BYTES) as usize;
                Box::new(TinyUfo::new(entries, units, in_tiny_ufo_units))
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Contender::Larder => "larder",
            Contender::LarderWith(policy) => return write!(f, "larder, {policy}"),
            Contender::Moka => "moka",
            Contender::MiniMoka => "mini-moka",
            Contender::QuickCache => "quick_cache",
            Contender::Foyer(Foyer::Lru) => "foyer, LRU",
            Contender::Foyer(Foyer::Fifo) => "foyer, FIFO",
            Contender::Foyer(Foyer::Lfu) => "foyer, LFU",
            Contender::Foyer(Foyer::S3Fifo) => "foyer, S3-FIFO",
            Contender::Foyer(Foyer::Sieve) => "foyer, SIEVE",
            Contender::Stretto => "stretto",
            Contender::TinyUfo => "TinyUFO",
            Contender::SieveCache => "sieve-cache, sharded",
            Contender::LruMutex => "lru in a mutex",
            Contender::LruShards => "lru in 64 mutexes",
            Contender::Scc => "scc HashCache",
            Contender::DashMap => "dashmap (no eviction)",
            Contender::Papaya => "papaya (no eviction)",
            Contender::Hashbrown => "hashbrown (one thread)",
        })
    }
}

type Properties = foyer_memory::CacheProperties;

fn foyer(policy: Foyer) -> EvictionConfig {
    match policy {
        Foyer::Lru => LruConfig::default().into(),
        Foyer::Fifo => FifoConfig::default().into(),
        Foyer::Lfu => LfuConfig::default().into(),
        Foyer::S3Fifo => S3FifoConfig::default().into(),
        Foyer::Sieve => SieveConfig.into(),
    }
}

/// Rounded up, so that it does not hold more than it may.
fn in_tiny_ufo_units(size_bytes: &u32) -> u16 {
    let units = u64::from(*size_bytes).div_ceil(TINY_UFO_UNIT_BYTES);
    u16::try_from(units).unwrap_or(u16::MAX)
}

#[derive(Clone)]
struct BySize;

impl quick_cache::Weighter<u64, u32> for BySize {
    fn weight(&self, _key: &u64, size: &u32) -> u64 {
        u64::from(*size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn every_contender_finds_what_it_was_given() {
        for contender in Contender::for_speed().into_iter().chain(Contender::for_hit_ratio()) {
            let cache = contender.build::<Arc<u64>>(1000);
            cache.insert(7, Arc::new(70));
            cache.settle();
            assert_eq!(cache.get(7).as_deref(), Some(&70), "{contender}");
            assert!(cache.read(7), "{contender}");
            assert!(cache.get(8).is_none(), "{contender}");
            assert_eq!((cache.get_all(&[7, 8]), cache.read_all(&[7, 8])), (1, 1), "{contender}");
        }
    }

    #[test]
    fn every_cache_makes_room() {
        for contender in Contender::for_speed() {
            let cache = contender.build::<u64>(1000);
            cache.insert_all(0..10_000);
            let held = cache.held(0..10_000);
            match contender.kind() {
                // scc rounds up to a power of two, by sets of 32.
                Kind::Cache => assert!((1..=2048).contains(&held), "{contender}: {held}"),
                _ => assert_eq!(held, 10_000, "{contender}"),
            }
        }
    }

    #[test]
    fn those_that_weigh_go_by_the_weight() {
        let weighted = Contender::for_hit_ratio().into_iter();
        let mut count = 0;
        for (contender, cache) in weighted.filter_map(|c| Some((c, c.build_weighted(64_000, 100)?)))
        {
            for key in 0..1000 {
                cache.insert(key, 6400);
                cache.settle();
            }
            let held = cache.held(0..1000);
            assert!(held <= 10, "{contender}: {held}");
            count += 1;
        }
        assert!(count >= 10, "{count}");
    }
}
