//! Loads: many callers on one key, many keys at once, and hits by the method
//! that would load.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml --bin stampede -- \
//!     [--quick] [--out DIR] [--only stampede,misses,hits]
//! ```

use hdrhistogram::Histogram;
use peers::args::Args;
use peers::measure::{Samples, processors};
use peers::pace::{Pace, in_turns};
use peers::sheet::Sheet;
use peers::table::Table;
use std::env;
use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const CAPACITY: usize = 100_000;
const LOAD: Duration = Duration::from_millis(1);
/// Resident all the time; the bystander looks it up.
const BYSTANDERS_KEY: u64 = u64::MAX;
const DISTINCT: usize = 10_000;

/// A cache that loads what is missing, once for all who ask.
trait Loading: Send + Sync {
    fn get(&self, key: u64) -> Option<u64>;
    fn get_with(&self, key: u64, load: &dyn Fn() -> u64) -> u64;
}

impl Loading for larder::Cache<u64, u64> {
    fn get(&self, key: u64) -> Option<u64> {
        larder::Cache::get(self, &key)
    }

    fn get_with(&self, key: u64, load: &dyn Fn() -> u64) -> u64 {
        larder::Cache::get_with(self, &key, load)
    }
}

impl Loading for moka::sync::Cache<u64, u64> {
    fn get(&self, key: u64) -> Option<u64> {
        moka::sync::Cache::get(self, &key)
    }

    fn get_with(&self, key: u64, load: &dyn Fn() -> u64) -> u64 {
        moka::sync::Cache::get_with(self, key, load)
    }
}

impl Loading for quick_cache::sync::Cache<u64, u64> {
    fn get(&self, key: u64) -> Option<u64> {
        quick_cache::sync::Cache::get(self, &key)
    }

    fn get_with(&self, key: u64, load: &dyn Fn() -> u64) -> u64 {
        let loaded = self.get_or_insert_with(&key, || Ok::<u64, std::convert::Infallible>(load()));
        loaded.unwrap_or_else(|never| match never {})
    }
}

const NAMES: [&str; 3] = ["larder", "moka", "quick_cache"];

fn caches() -> [Box<dyn Loading>; 3] {
    [
        Box::new(larder::Cache::<u64, u64>::new(CAPACITY)),
        Box::new(moka::sync::Cache::<u64, u64>::new(CAPACITY as u64)),
        Box::new(quick_cache::sync::Cache::<u64, u64>::new(CAPACITY)),
    ]
}

fn main() -> ExitCode {
    let args = Args::parse(env::args().skip(1)).map_err(Into::into);
    match args.and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stampede: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut sheet = Sheet::new(&args.out, "7-loads")?;
    sheet.add("## Loads");
    if args.wants("stampede") {
        stampedes(args, &mut sheet);
    }
    if args.wants("misses") {
        misses(args, &mut sheet);
    }
    if args.wants("hits") {
        hits(args, &mut sheet);
    }
    Ok(sheet.finish()?)
}

const STAMPEDE: &str = "\
Callers start together on a key that is not there, whose loader sleeps for 1 ms. *loads*:
calls of the loader for each such key. *added*: from when the loader was done until its
callers had the value, µs: the median of all callers, and what 99 % stay below. *bystander*: 99 %
of the gets of another thread, of a key that is there, take at most, ns, meanwhile.";

fn stampedes(args: &Args, sheet: &mut Sheet) {
    sheet.add("### Many callers on one key");
    sheet.add(STAMPEDE);
    let heading = ["", "callers", "loads", "added: median", "99 %", "bystander: 99 %"];
    let mut table = Table::new(&heading);
    let rounds = if args.is_quick { 20 } else { 200 };
    for callers in [2, 8, 64] {
        let mut all = caches().map(|cache| Stampede::new(cache, callers));
        for round in 0..rounds {
            all.iter_mut().for_each(|stampede| stampede.run(round));
        }
        for (name, stampede) in NAMES.iter().zip(&all) {
            table.row([(*name).to_owned()].into_iter().chain(stampede.row(rounds)));
        }
    }
    sheet.add(table);
}

struct Stampede {
    cache: Box<dyn Loading>,
    callers: usize,
    loads: AtomicUsize,
    added_ns: Histogram<u64>,
    bystander_ns: Histogram<u64>,
}

impl Stampede {
    fn new(cache: Box<dyn Loading>, callers: usize) -> Self {
        cache.get_with(BYSTANDERS_KEY, &|| 0);
        let loads = AtomicUsize::new(0);
        let [added_ns, bystander_ns] = [histogram(), histogram()];
        Stampede { cache, callers, loads, added_ns, bystander_ns }
    }

    fn run(&mut self, key: u64) {
        let (together, is_over) = (Barrier::new(self.callers + 1), AtomicBool::new(false));
        let (epoch, loaded_at) = (Instant::now(), AtomicU64::new(0));
        let (cache, loads) = (&self.cache, &self.loads);
        let load = || {
            thread::sleep(LOAD);
            loads.fetch_add(1, Ordering::Relaxed);
            loaded_at.store(nanos_since(epoch), Ordering::Relaxed);
            key
        };
        let caller = || {
            together.wait();
            black_box(cache.get_with(key, &load));
            nanos_since(epoch)
        };
        let bystander = || {
            together.wait();
            let mut took = histogram();
            while !is_over.load(Ordering::Relaxed) {
                let start = Instant::now();
                black_box(cache.get(BYSTANDERS_KEY));
                took.saturating_record(nanos_since(start).max(1));
            }
            took
        };
        let (waited, seen) = thread::scope(|scope| {
            let bystander = scope.spawn(bystander);
            let callers: Vec<_> = (0..self.callers).map(|_| scope.spawn(caller)).collect();
            let waited = callers.into_iter().map(|caller| caller.join().expect("no panic"));
            let waited: Vec<u64> = waited.collect();
            is_over.store(true, Ordering::Relaxed);
            (waited, bystander.join().expect("no panic"))
        });
        let loaded_at = loaded_at.into_inner();
        for waited in waited {
            self.added_ns.saturating_record(waited.saturating_sub(loaded_at).max(1));
        }
        self.bystander_ns.add(seen).expect("both can hold the same values");
    }

    fn row(&self, rounds: u64) -> [String; 5] {
        let added_us = |quantile| self.added_ns.value_at_quantile(quantile) as f64 / 1000.0;
        [
            self.callers.to_string(),
            format!("{:.2}", self.loads.load(Ordering::Relaxed) as f64 / rounds as f64),
            format!("{:.1}", added_us(0.5)),
            format!("{:.1}", added_us(0.99)),
            self.bystander_ns.value_at_quantile(0.99).to_string(),
        ]
    }
}

/// 10 000 keys, each loaded once, by several threads, with a loader that has
/// nothing to do: what loading costs beyond the load.
fn misses(args: &Args, sheet: &mut Sheet) {
    let rounds = if args.is_quick { 5 } else { 40 };
    sheet.add(format!("### {DISTINCT} distinct misses at once"));
    sheet.add(
        "Nanoseconds for one load by a loader that returns at once, by the wall: best, median.",
    );
    let mut table = Table::new(&["", "1 thread: min", "median", "8 threads: min", "median"]);
    let columns = [1, 8].map(|threads| {
        let mut samples = [const { Vec::new() }; 3];
        for _ in 0..rounds {
            for (cache, samples) in caches().iter().zip(&mut samples) {
                samples.push(time_misses(&**cache, threads) / DISTINCT as f64);
            }
        }
        samples.map(Samples::new)
    });
    for (at, name) in NAMES.iter().enumerate() {
        let cells = columns.iter().flat_map(|samples| [samples[at].min(), samples[at].median()]);
        table.row([(*name).to_owned()].into_iter().chain(cells.map(|ns| format!("{ns:.0}"))));
    }
    sheet.add(table);
}

fn time_misses(cache: &dyn Loading, threads: usize) -> f64 {
    let together = Barrier::new(threads);
    let worker = |thread: usize| {
        together.wait();
        let start = Instant::now();
        for key in (thread..DISTINCT).step_by(threads) {
            black_box(cache.get_with(key as u64, &|| key as u64));
        }
        (start, Instant::now())
    };
    let spans: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let worker = &worker;
        let workers: Vec<_> = (0..threads).map(|at| scope.spawn(move || worker(at))).collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
    });
    let start = spans.iter().map(|span| span.0).min();
    let end = spans.iter().map(|span| span.1).max();
    start.zip(end).map_or(f64::NAN, |(start, end)| (end - start).as_nanos() as f64)
}

/// A hit by `get_with` beside one by `get`, in the same cache.
fn hits(args: &Args, sheet: &mut Sheet) {
    struct Subject<'c> {
        cache: &'c dyn Loading,
        loads: bool,
    }
    sheet.add("### A hit by `get_with`, beside one by `get`");
    sheet
        .add("One thread, 1000 keys that are all there; ns, the best slices; ratio in each round.");
    let caches = caches();
    for cache in &caches {
        for key in 0..1000 {
            cache.get_with(key, &|| key);
        }
    }
    let both = |cache| [false, true].map(|loads| Subject { cache, loads });
    let subjects: Vec<Subject<'_>> = caches.iter().flat_map(|cache| both(&**cache)).collect();
    let (rounds, turn) = (if args.is_quick { 5 } else { 60 }, Duration::from_millis(15));
    let pace = Pace { threads: 1, rounds, turn, limit: turn * 20 * rounds as u32 };
    let turns = in_turns(&subjects, pace, |subject, stint| {
        for key in (stint.done..stint.done + stint.operations).map(|key| key as u64 % 1000) {
            if subject.loads {
                black_box(subject.cache.get_with(key, &|| unreachable!("it is there")));
            } else {
                black_box(subject.cache.get(key));
            }
        }
    });
    let mut table = Table::new(&["", "get", "get_with", "ratio"]);
    for (name, pair) in NAMES.iter().zip(turns.chunks(2)) {
        let numbers = [pair[0].min(), pair[1].min(), pair[1].best_ratio_to(&pair[0])];
        table.row([(*name).to_owned()].into_iter().chain(numbers.map(|n| format!("{n:.2}"))));
    }
    sheet.add(table);
    sheet.add(format!("{} processors; medians are over {rounds} rounds.", processors()));
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("bounds are in order")
}

fn nanos_since(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}
