//! Look-ups: hits and misses of every policy, alone and with another thread.
//!
//! ```text
//! cargo bench --bench get -- 'hit/lru/zipf'
//! ```

mod workload;

use criterion::Criterion;
use larder::Eviction;
use std::hint::black_box;
use std::sync::Arc;
use workload::{CAPACITY, Keys, Popularity, THREADS, full_cache, measure};

/// Added to a key, makes one that no cache holds.
const ABSENT: u64 = 1 << 40;

fn hit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("get/hit");
    for popularity in [Popularity::Uniform, Popularity::Zipf(0.99), Popularity::OneHotKey] {
        let keys = Keys::draw(popularity, CAPACITY);
        for eviction in Eviction::ALL {
            for threads in THREADS {
                let name = format!("{eviction}/{popularity}/threads-{threads}");
                let set_up = || full_cache(*eviction, |key| key);
                measure(&mut group, &name, threads, set_up, |cache, shift| {
                    for at in shift.positions() {
                        black_box(cache.get(&keys.at(at)));
                    }
                });
            }
        }
    }
}

fn miss(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("get/miss");
    let keys = Keys::draw(Popularity::Uniform, CAPACITY);
    for eviction in Eviction::ALL {
        for threads in THREADS {
            let name = format!("{eviction}/uniform/threads-{threads}");
            let set_up = || full_cache(*eviction, |key| key);
            measure(&mut group, &name, threads, set_up, |cache, shift| {
                for at in shift.positions() {
                    black_box(cache.get(&(keys.at(at) + ABSENT)));
                }
            });
        }
    }
}

/// A value behind an `Arc`: `get` clones it, `read` looks at it in place.
fn shared_value(criterion: &mut Criterion) {
    let eviction = Eviction::default();
    let set_up = || full_cache(eviction, |key| Arc::new([key; 8]));
    for popularity in [Popularity::Uniform, Popularity::OneHotKey] {
        let keys = Keys::draw(popularity, CAPACITY);
        for threads in THREADS {
            let name = format!("{eviction}/{popularity}/threads-{threads}");
            let mut group = criterion.benchmark_group("get/hit-arc");
            measure(&mut group, &name, threads, set_up, |cache, shift| {
                for at in shift.positions() {
                    black_box(cache.get(&keys.at(at)));
                }
            });
            drop(group);
            let mut group = criterion.benchmark_group("read/hit-arc");
            measure(&mut group, &name, threads, set_up, |cache, shift| {
                for at in shift.positions() {
                    black_box(cache.read(&keys.at(at), |value| value[0]));
                }
            });
        }
    }
}

fn main() {
    let mut criterion = workload::criterion().configure_from_args();
    hit(&mut criterion);
    miss(&mut criterion);
    shared_value(&mut criterion);
    criterion.final_summary();
}
