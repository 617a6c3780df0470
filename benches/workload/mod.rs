//! What the benches have in common: keys, full caches, and threads on a clock.
//!
//! Every sequence of keys is drawn before the clock starts, from a fixed seed,
//! so that a bench measures the cache alone and two runs measure the same.

#![allow(dead_code, reason = "each bench uses its own part of this")]

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use larder::{Builder, Cache, Eviction};
use std::fmt;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Entries in the caches of most benches: 100 000 of them do not fit the
/// second-level cache of today's processors.
pub const CAPACITY: usize = 100_000;

pub const THREADS: [usize; 2] = [1, 2];

const SEED: u64 = 0x1A4D_E400_BE4C;

/// Settings for a bench of a second or two: there are more than a hundred.
pub fn criterion() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(10)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

/// How popular the keys are.
#[derive(Clone, Copy)]
pub enum Popularity {
    Uniform,
    /// The key of rank n is 1 / n^exponent as popular as the first.
    Zipf(f64),
    OneHotKey,
}

impl fmt::Display for Popularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Popularity::Uniform => f.write_str("uniform"),
            Popularity::Zipf(exponent) => write!(f, "zipf-{exponent}"),
            Popularity::OneHotKey => f.write_str("one-hot-key"),
        }
    }
}

/// How many keys are drawn ahead: two or three times as many as the caches
/// hold. Four bytes each, and read in order, they cost a bench next to nothing.
const DRAWS: usize = 1 << 18;

/// Keys drawn ahead.
pub struct Keys(Box<[u32; DRAWS]>);

impl Keys {
    /// Draws from the keys below `distinct`.
    pub fn draw(popularity: Popularity, distinct: usize) -> Self {
        let mut random = SplitMix64(SEED);
        let drawn: Vec<u32> = match popularity {
            Popularity::Uniform => (0..DRAWS).map(|_| random.below(distinct) as u32).collect(),
            Popularity::OneHotKey => vec![random.below(distinct) as u32; DRAWS],
            Popularity::Zipf(exponent) => {
                let zipf = Zipf::new(distinct, exponent);
                // Caches are filled in the order of the keys. Were that also
                // the order of rank, all hot entries would be neighbours.
                let by_rank = shuffled(distinct, &mut random);
                (0..DRAWS).map(|_| by_rank[zipf.draw(&mut random)]).collect()
            }
        };
        Keys(drawn.try_into().expect("as many as were asked for"))
    }

    /// The `at`th key; after the last, the first comes again.
    #[inline]
    pub fn at(&self, at: usize) -> u64 {
        u64::from(self.0[at % DRAWS])
    }
}

fn shuffled(distinct: usize, random: &mut SplitMix64) -> Vec<u32> {
    let mut keys: Vec<u32> = (0..distinct as u32).collect();
    for at in (1..distinct).rev() {
        keys.swap(at, random.below(at + 1));
    }
    keys
}

/// Draws ranks from 0 by Zipf's law, from a table of sums.
pub struct Zipf {
    /// `up_to[n]`: the popularity of all ranks up to n.
    up_to: Vec<f64>,
}

impl Zipf {
    pub fn new(distinct: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=distinct).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Zipf { up_to: sums.collect() }
    }

    pub fn draw(&self, random: &mut SplitMix64) -> usize {
        let all = self.up_to[self.up_to.len() - 1];
        let at = random.unit() * all;
        self.up_to.partition_point(|up_to| *up_to <= at).min(self.up_to.len() - 1)
    }
}

/// Steele, Lea and Flood (OOPSLA '14): a counter, well mixed.
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Evenly below `end`, but for a bias of less than `end` / 2^64.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// Evenly from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A cache of [`CAPACITY`] that holds just the keys below it.
pub fn full_cache<V>(eviction: Eviction, value: impl Fn(u64) -> V) -> Cache<u64, V> {
    fill(Cache::builder().eviction(eviction), value)
}

/// The same with other settings.
pub fn fill<V>(builder: Builder<u64, V>, value: impl Fn(u64) -> V) -> Cache<u64, V> {
    let cache = builder.capacity(CAPACITY).build();
    let cache = cache.expect("the settings are in order");
    cache.extend((0..CAPACITY as u64).map(|key| (key, value(key))));
    assert_eq!(cache.len(), CAPACITY, "a get of these keys is a hit");
    cache
}

/// What one thread does in one measurement.
#[derive(Clone, Copy)]
pub struct Shift {
    pub thread: usize,
    pub threads: usize,
    pub operations: u64,
}

impl Shift {
    /// Positions in [`Keys`], one an operation; each thread begins elsewhere.
    #[inline]
    pub fn positions(self) -> std::ops::Range<usize> {
        let first = DRAWS / self.threads * self.thread;
        first..first + self.operations as usize
    }
}

/// Measures `work`, done by `threads` threads at once on what `set_up` makes.
///
/// The time that is reported is that of one operation as its thread sees it:
/// it stays the same if threads do not get into each other's way. All threads
/// together are reported as the throughput.
///
/// `set_up` runs only if the bench is not filtered out, and once.
pub fn measure<T: Sync>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    threads: usize,
    set_up: impl Fn() -> T,
    work: impl Fn(&T, Shift) + Sync,
) {
    let mut state = None;
    group.throughput(Throughput::Elements(threads as u64));
    group.bench_function(name, |bencher| {
        let state = &*state.get_or_insert_with(&set_up);
        bencher.iter_custom(|operations| {
            run_together(threads, |thread| work(state, Shift { thread, threads, operations }))
        });
    });
}

/// From the first thread's start, once all stand ready, to the last one's end.
/// The threads look at the clock themselves: on a busy machine, whoever waits
/// for them may be late to notice.
fn run_together(threads: usize, work: impl Fn(usize) + Sync) -> Duration {
    let ready = Barrier::new(threads);
    let run = |thread| {
        ready.wait();
        let start = Instant::now();
        work(thread);
        (start, Instant::now())
    };
    let spans: Vec<(Instant, Instant)> = if threads == 1 {
        vec![run(0)]
    } else {
        thread::scope(|scope| {
            let run = &run;
            let running: Vec<_> =
                (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
            running.into_iter().map(|thread| thread.join().expect("a bench panicked")).collect()
        })
    };
    let start = spans.iter().map(|span| span.0).min().expect("there is a thread");
    let end = spans.iter().map(|span| span.1).max().expect("there is a thread");
    end - start
}
