//! Reads and writes together, over more keys than fit.
//!
//! ```text
//! cargo bench --bench mixed -- read-through
//! ```

mod workload;

use criterion::Criterion;
use larder::Eviction;
use std::hint::black_box;
use workload::{CAPACITY, Keys, Popularity, THREADS, full_cache, measure};

/// Few enough that most look-ups hit, enough that newcomers never end.
const DISTINCT: usize = 4 * CAPACITY;

const POPULARITY: Popularity = Popularity::Zipf(0.9);

/// A part of the operations, in a fixed pattern, inserts what it has not
/// looked for; the rest looks up and leaves a miss at that.
fn get_and_insert(criterion: &mut Criterion) {
    let keys = Keys::draw(POPULARITY, DISTINCT);
    for (mix, insert_every) in [("75-25", 4), ("50-50", 2)] {
        let mut group = criterion.benchmark_group(format!("mixed/{mix}"));
        for eviction in Eviction::ALL {
            for threads in THREADS {
                let name = format!("{eviction}/{POPULARITY}/threads-{threads}");
                let set_up = || full_cache(*eviction, |key| key);
                measure(&mut group, &name, threads, set_up, |cache, shift| {
                    for at in shift.positions() {
                        let key = keys.at(at);
                        if at % insert_every == 0 {
                            cache.insert(key, key);
                        } else {
                            black_box(cache.get(&key));
                        }
                    }
                });
            }
        }
    }
}

/// What caches are for: look up, and on a miss insert.
fn read_through(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mixed/read-through");
    let keys = Keys::draw(POPULARITY, DISTINCT);
    for eviction in Eviction::ALL {
        for threads in THREADS {
            let name = format!("{eviction}/{POPULARITY}/threads-{threads}");
            let set_up = || full_cache(*eviction, |key| key);
            measure(&mut group, &name, threads, set_up, |cache, shift| {
                for at in shift.positions() {
                    let key = keys.at(at);
                    if black_box(cache.get(&key)).is_none() {
                        cache.insert(key, key);
                    }
                }
            });
        }
    }
}

fn main() {
    let mut criterion = workload::criterion().configure_from_args();
    get_and_insert(&mut criterion);
    read_through(&mut criterion);
    criterion.final_summary();
}
