//! A trace of a million accesses, read through a fresh cache by one thread.
//!
//! A policy that misses less also inserts less, so this weighs what a policy
//! costs against what it is worth, with nothing to load on a miss.
//!
//! ```text
//! cargo bench --bench replay
//! ```

mod workload;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput};
use larder::{Cache, Eviction};
use workload::{SplitMix64, Zipf};

const SEED: u64 = 0x1A4D_E400_4E91;
const ACCESSES: usize = 1_000_000;
const CAPACITY: usize = 10_000;

/// A trace comes in rounds: skewed accesses, then a scan that never returns,
/// then a loop that is a little larger than the cache.
const ROUNDS: usize = 10;
const ZIPF_ACCESSES: usize = 70_000;
const SCAN_ACCESSES: usize = 8_000;
const LOOP_ACCESSES: usize = 22_000;

const ZIPF_KEYS: usize = 100_000;
const ZIPF_EXPONENT: f64 = 0.9;
const LOOP_KEYS: usize = CAPACITY + CAPACITY / 10;

/// Keys of different origin never meet.
#[derive(Clone, Copy)]
enum Family {
    Zipf,
    Scan,
    Loop,
}

impl Family {
    fn key(self, number: usize) -> u64 {
        ((self as u64) << 32) | number as u64
    }
}

fn trace() -> Vec<u64> {
    let mut random = SplitMix64(SEED);
    let zipf = Zipf::new(ZIPF_KEYS, ZIPF_EXPONENT);
    let mut keys = Vec::with_capacity(ACCESSES);
    for round in 0..ROUNDS {
        keys.extend((0..ZIPF_ACCESSES).map(|_| Family::Zipf.key(zipf.draw(&mut random))));
        let scan = round * SCAN_ACCESSES..(round + 1) * SCAN_ACCESSES;
        keys.extend(scan.map(|number| Family::Scan.key(number)));
        keys.extend((0..LOOP_ACCESSES).map(|at| Family::Loop.key(at % LOOP_KEYS)));
    }
    assert_eq!(keys.len(), ACCESSES);
    keys
}

fn replay(criterion: &mut Criterion) {
    let trace = trace();
    let mut group = criterion.benchmark_group("replay");
    group.throughput(Throughput::Elements(ACCESSES as u64)).sampling_mode(SamplingMode::Flat);
    for eviction in Eviction::ALL {
        group.bench_function(format!("{eviction}/synthetic/threads-1"), |bencher| {
            let empty = || {
                let builder = Cache::builder().capacity(CAPACITY).eviction(*eviction);
                builder.build().expect("the settings are in order")
            };
            let read_through = |cache: Cache<u64, u64>| {
                for key in &trace {
                    if cache.get(key).is_none() {
                        cache.insert(*key, *key);
                    }
                }
                cache
            };
            bencher.iter_batched(empty, read_through, BatchSize::PerIteration);
        });
    }
}

fn main() {
    let mut criterion = workload::criterion().configure_from_args();
    replay(&mut criterion);
    criterion.final_summary();
}
