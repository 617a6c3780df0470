//! What loading costs beside the loader itself.
//!
//! * `loads/hit/…`: a hit through `get_with` against `get`.
//! * `loads/miss/…`: loads of 10 000 keys, one after the other and by 8 threads.
//! * `loads/stampede/…`: callers that miss one key together, with a loader that
//!   takes 1 ms: the time until the last one has the value.

use criterion::{BenchmarkId, Criterion, Throughput};
use larder::Cache;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const KEYS: u64 = 10_000;

fn hits(c: &mut Criterion) {
    let cache: Cache<u64, u64> = Cache::new(2 * KEYS as usize);
    cache.extend((0..KEYS).map(|key| (key, key)));
    let mut group = c.benchmark_group("loads/hit");
    group.throughput(Throughput::Elements(KEYS));
    group.bench_function("get", |b| {
        b.iter(|| (0..KEYS).filter_map(|key| cache.get(black_box(&key))).sum::<u64>());
    });
    group.bench_function("get_with", |b| {
        b.iter(|| (0..KEYS).map(|key| cache.get_with(black_box(&key), || key)).sum::<u64>());
    });
    group.finish();
}

fn misses(c: &mut Criterion) {
    let mut group = c.benchmark_group("loads/miss");
    group.throughput(Throughput::Elements(KEYS));
    for threads in [1, 8] {
        group.bench_function(BenchmarkId::new("get_with/threads", threads), |b| {
            b.iter_custom(|rounds| (0..rounds).map(|_| load_all(threads)).sum());
        });
    }
    group.bench_function("get, then insert", |b| {
        b.iter_with_large_drop(|| {
            let cache: Cache<u64, u64> = Cache::new(2 * KEYS as usize);
            for key in 0..KEYS {
                if cache.get(&key).is_none() {
                    cache.insert(key, key);
                }
            }
            cache
        });
    });
    group.finish();
}

/// How long it takes to load all keys, each by one of `threads`.
fn load_all(threads: u64) -> Duration {
    let cache: Cache<u64, u64> = Cache::new(2 * KEYS as usize);
    let begin = Instant::now();
    thread::scope(|scope| {
        for first in 0..threads {
            let cache = &cache;
            scope.spawn(move || {
                for key in (first..KEYS).step_by(threads as usize) {
                    black_box(cache.get_with(&key, || key));
                }
            });
        }
    });
    begin.elapsed()
}

fn stampedes(c: &mut Criterion) {
    let mut group = c.benchmark_group("loads/stampede");
    group.sample_size(20);
    for callers in [2, 8, 64] {
        group.bench_function(BenchmarkId::new("callers", callers), |b| {
            b.iter_custom(|rounds| (0..rounds).map(|_| stampede(callers)).sum());
        });
    }
    group.finish();
}

/// How long it takes until the last of `callers` has the value.
fn stampede(callers: usize) -> Duration {
    let cache: Cache<u64, u64> = Cache::new(100);
    let (calls, start) = (AtomicUsize::new(0), Barrier::new(callers + 1));
    let ask = || {
        start.wait();
        cache.get_with(&1, || {
            calls.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(1));
            1
        })
    };
    let took = thread::scope(|scope| {
        let threads: Vec<_> = (0..callers).map(|_| scope.spawn(ask)).collect();
        start.wait();
        let begin = Instant::now();
        for thread in threads {
            assert_eq!(thread.join().expect("no caller panics"), 1);
        }
        begin.elapsed()
    });
    assert_eq!(calls.load(Ordering::Relaxed), 1, "exactly one load");
    took
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    hits(&mut criterion);
    misses(&mut criterion);
    stampedes(&mut criterion);
    criterion.final_summary();
}
