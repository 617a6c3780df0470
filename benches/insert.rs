//! Writes to a full cache: newcomers that evict, new values for old keys, and
//! entries of unequal weight.
//!
//! ```text
//! cargo bench --bench insert -- evict/sieve
//! ```

mod workload;

use criterion::Criterion;
use larder::{Cache, Eviction};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use workload::{CAPACITY, Keys, Popularity, Shift, THREADS, full_cache, measure};

/// A full cache, and keys that it has never seen.
struct Site {
    cache: Cache<u64, u64>,
    /// The next unused number of each thread.
    next: [AtomicU64; 2],
}

impl Site {
    fn of(cache: Cache<u64, u64>) -> Self {
        Site { cache, next: Default::default() }
    }

    /// New keys, one an operation. Another measurement gets others.
    fn new_keys(&self, shift: Shift) -> Range<u64> {
        let next = &self.next[shift.thread];
        let first = next.fetch_add(shift.operations, Ordering::Relaxed);
        // Above the keys of the fill, and apart from the other thread's.
        let base = (shift.thread as u64 + 1) << 40;
        base + first..base + first + shift.operations
    }
}

fn evict(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("insert/evict");
    for eviction in Eviction::ALL {
        for threads in THREADS {
            let name = format!("{eviction}/threads-{threads}");
            let set_up = || Site::of(full_cache(*eviction, |key| key));
            measure(&mut group, &name, threads, set_up, |site, shift| {
                for key in site.new_keys(shift) {
                    site.cache.insert(key, key);
                }
            });
        }
    }
}

fn replace(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("insert/replace");
    let keys = Keys::draw(Popularity::Uniform, CAPACITY);
    for eviction in Eviction::ALL {
        for threads in THREADS {
            let name = format!("{eviction}/uniform/threads-{threads}");
            let set_up = || full_cache(*eviction, |key| key);
            measure(&mut group, &name, threads, set_up, |cache, shift| {
                for at in shift.positions() {
                    cache.insert(keys.at(at), at as u64);
                }
            });
        }
    }
}

/// Weights from 1 to 16, so that a newcomer may push out several.
fn weight_of(key: &u64, _value: &u64) -> u32 {
    1 + (key % 16) as u32
}

const MEAN_WEIGHT_HALVES: u64 = 17;

fn weighted(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("insert/weighted");
    let weight_capacity = CAPACITY as u64 * MEAN_WEIGHT_HALVES / 2;
    for eviction in Eviction::ALL {
        for threads in THREADS {
            let name = format!("{eviction}/threads-{threads}");
            let set_up = || {
                let builder = Cache::builder().weight_capacity(weight_capacity).weigher(weight_of);
                let cache = builder.eviction(*eviction).build().expect("the settings are in order");
                cache.extend((0..CAPACITY as u64).map(|key| (key, key)));
                assert_eq!(cache.weight(), weight_capacity, "the next newcomer has to evict");
                Site::of(cache)
            };
            measure(&mut group, &name, threads, set_up, |site, shift| {
                for key in site.new_keys(shift) {
                    site.cache.insert(key, key);
                }
            });
        }
    }
}

fn main() {
    let mut criterion = workload::criterion().configure_from_args();
    evict(&mut criterion);
    replace(&mut criterion);
    weighted(&mut criterion);
    criterion.final_summary();
}
