//! Hits on memoized functions: `#[memoize]` beside `#[cached]` and
//! `#[concurrent_cached]`, each bounded to as many entries.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml --bin memoize
//! ```
//!
//! Contenders take turns in every round. A figure is the time a round took by
//! the wall, divided by the calls that all threads made in it, in nanoseconds:
//! minimum and median over the rounds.

use cached::macros::{cached, concurrent_cached};
use larder::memoize;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

const CAPACITY: usize = 10_000;
/// Keys of the scenario with distinct ones; all fit.
const KEYS: u64 = 4096;
const CALLS: u64 = 40_000;
const ROUNDS: usize = 15;

#[memoize(capacity = 10_000)]
fn larder_fn(n: u64) -> u64 {
    n + 1
}

#[cached(max_size = 10_000)]
fn cached_fn(n: u64) -> u64 {
    n + 1
}

#[concurrent_cached(max_size = 10_000)]
fn concurrent_cached_fn(n: u64) -> u64 {
    n + 1
}

/// What it is called, and how it is called.
type Contender = (&'static str, fn(u64) -> u64);

const CONTENDERS: [Contender; 3] = [
    ("larder `#[memoize]`", larder_fn),
    ("`#[cached]`", cached_fn),
    ("`#[concurrent_cached]`", concurrent_cached_fn),
];

/// From when the first thread began until the last one ended.
fn round(hit: fn(u64) -> u64, threads: u64, keys: u64) -> Duration {
    let begin = Barrier::new(threads as usize);
    let run = |thread: u64| {
        begin.wait();
        let began = Instant::now();
        for call in 0..CALLS {
            // Threads begin at different keys.
            let n = (call + thread * 509) % keys;
            assert_eq!(black_box(hit(black_box(n))), n + 1);
        }
        (began, Instant::now())
    };
    let (begin, end) = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn({
                    let run = &run;
                    move || run(thread)
                })
            })
            .collect();
        let spans = threads.into_iter().map(|thread| thread.join().expect("a thread panicked"));
        spans.fold((None::<Instant>, None::<Instant>), |(first, last), (began, ended)| {
            let first = first.map_or(began, |first| first.min(began));
            (Some(first), Some(last.map_or(ended, |last| last.max(ended))))
        })
    });
    end.zip(begin).map_or(Duration::ZERO, |(end, begin)| end - begin)
}

fn main() {
    println!("capacity {CAPACITY}, {ROUNDS} rounds of {CALLS} calls a thread; ns a call\n");
    println!("| keys | threads | function | min | median |");
    println!("|---|--:|---|--:|--:|");
    for (what, keys) in [("one", 1), ("4096", KEYS)] {
        for threads in [1, 2, 8] {
            let mut times = [const { Vec::new() }; CONTENDERS.len()];
            for _ in 0..ROUNDS {
                for (times, (_, hit)) in times.iter_mut().zip(CONTENDERS) {
                    (0..keys).for_each(|n| assert_eq!(hit(n), n + 1));
                    let wall = round(hit, threads, keys);
                    times.push(wall.as_nanos() as f64 / (CALLS * threads) as f64);
                }
            }
            for (times, (name, _)) in times.iter_mut().zip(CONTENDERS) {
                times.sort_by(f64::total_cmp);
                let (min, median) = (times[0], times[ROUNDS / 2]);
                println!("| {what} | {threads} | {name} | {min:.1} | {median:.1} |");
            }
        }
    }
}
