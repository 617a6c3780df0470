//! How long the slow ones take: percentiles of get and insert while evicting.

use hdrhistogram::Histogram;
use peers::args::Args;
use peers::chart::{self, Series};
use peers::contenders::Contender;
use peers::keys::SplitMix64;
use peers::pace::median;
use peers::peer::Peer;
use peers::sheet::Sheet;
use peers::table::Table;
use std::hint::black_box;
use std::io;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

const ENTRIES: u64 = 100_000;

const METHOD: &str = "\
Capacity 100000, full. Each thread inserts a new key and then gets one of the
last 100000 that were inserted, over and over, and looks at the clock before and
after each; what that alone takes is in the row *the clock*. Nanoseconds. The
median of all rounds; in brackets the best round, as the scheduler disturbs the
others. How often the gets find something is up to the policy.";

/// Percentiles of one kind of call by one contender.
#[derive(Clone, Debug)]
pub struct Latency {
    pub contender: Option<Contender>,
    pub threads: usize,
    pub call: Call,
    rounds: Vec<Histogram<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Get,
    Insert,
}

impl Latency {
    fn of_rounds(&self, part: impl Fn(&Histogram<u64>) -> u64) -> [f64; 2] {
        let values: Vec<f64> = self.rounds.iter().map(|round| part(round) as f64).collect();
        [median(values.iter().copied()), values.into_iter().fold(f64::INFINITY, f64::min)]
    }

    /// Of the median round, and of the best one.
    pub fn at(&self, quantile: f64) -> [f64; 2] {
        self.of_rounds(|round| round.value_at_quantile(quantile))
    }

    fn row(&self) -> Vec<String> {
        let name = self.contender.map_or("the clock".to_owned(), |one| one.to_string());
        let cell = |[median, best]: [f64; 2]| format!("{median:.0} ({best:.0})");
        let percentiles = [0.5, 0.99, 0.999].map(|quantile| cell(self.at(quantile)));
        let longest = cell(self.of_rounds(Histogram::max));
        [name].into_iter().chain(percentiles).chain([longest]).collect()
    }
}

pub fn run(args: &Args, sheet: &mut Sheet) -> io::Result<Vec<Latency>> {
    sheet.add(METHOD);
    let mut all = Vec::new();
    for threads in if args.threads.is_empty() { vec![1, 2] } else { args.threads.clone() } {
        eprintln!("latency: {threads} threads");
        let latencies = measure(args, threads);
        for (call, name) in [(Call::Get, "get"), (Call::Insert, "insert")] {
            let of_call = || latencies.iter().filter(move |latency| latency.call == call);
            let title = format!("Latency of {name} while evicting, threads: {threads}");
            sheet.add(format!("### {title}"));
            let mut table = Table::new(&["ns", "p50", "p99", "p99.9", "max"]);
            of_call().for_each(|latency| table.row(latency.row()));
            sheet.add(table);
            let bar = |latency: &Latency| Some((latency.contender?, latency.at(0.999)[0]));
            let bars = of_call().filter_map(bar);
            let bars: Vec<Series> =
                bars.map(|(one, ns)| Series::bar(one.to_string(), ns)).collect();
            let svg = chart::bars(&title, "99.9 % take at most so many ns", &bars);
            sheet.chart(&format!("latency-{name}-{threads}"), &title, &svg)?;
        }
        all.extend(latencies);
    }
    Ok(all)
}

/// Nobody's, to see what the clock takes.
struct Nothing;

impl Peer<u64> for Nothing {
    fn get(&self, key: u64) -> Option<u64> {
        Some(key)
    }

    fn insert(&self, _key: u64, _value: u64) {}
}

struct Subject {
    contender: Option<Contender>,
    cache: Box<dyn Peer<u64>>,
    next: AtomicU64,
}

impl Subject {
    fn new(contender: Option<Contender>) -> Self {
        let build = |one: Contender| one.build::<u64>(ENTRIES as usize);
        let cache = contender.map_or_else(|| Box::new(Nothing) as Box<dyn Peer<u64>>, build);
        cache.insert_all(0..2 * ENTRIES);
        Subject { contender, cache, next: AtomicU64::new(2 * ENTRIES) }
    }
}

fn measure(args: &Args, threads: usize) -> Vec<Latency> {
    let (rounds, calls) = if args.is_quick { (3, 30_000) } else { (9, 200_000) };
    let contenders = Contender::for_speed().into_iter().filter(|one| one.evicts_in_bounded_time());
    let subjects = [None].into_iter().chain(contenders.map(Some)).map(Subject::new);
    let subjects: Vec<Subject> = subjects.collect();
    let empty = |contender, call| Latency { contender, threads, call, rounds: Vec::new() };
    let both = |subject: &Subject| [Call::Get, Call::Insert].map(|c| empty(subject.contender, c));
    let mut latencies: Vec<[Latency; 2]> = subjects.iter().map(both).collect();
    for _ in 0..rounds {
        for (subject, latency) in subjects.iter().zip(&mut latencies) {
            let [gets, inserts] = take_turn(subject, threads, calls);
            latency[0].rounds.push(gets);
            latency[1].rounds.push(inserts);
        }
    }
    latencies.into_iter().flatten().collect()
}

/// Gets and inserts of all threads.
fn take_turn(subject: &Subject, threads: usize, calls: usize) -> [Histogram<u64>; 2] {
    let together = Barrier::new(threads);
    let worker = |thread| {
        together.wait();
        calls_of_a_thread(subject, thread, calls)
    };
    let of_threads: Vec<[Histogram<u64>; 2]> = thread::scope(|scope| {
        let worker = &worker;
        let start = |thread| scope.spawn(move || worker(thread));
        let workers: Vec<_> = (0..threads).map(start).collect();
        workers.into_iter().map(|worker| worker.join().expect("no peer panics")).collect()
    });
    of_threads.into_iter().reduce(merge).expect("there is a thread")
}

fn merge(mut sum: [Histogram<u64>; 2], more: [Histogram<u64>; 2]) -> [Histogram<u64>; 2] {
    for (sum, more) in sum.iter_mut().zip(more) {
        sum.add(more).expect("both can hold the same values");
    }
    sum
}

fn calls_of_a_thread(subject: &Subject, thread: usize, calls: usize) -> [Histogram<u64>; 2] {
    // Whatever does not fit is as long as the longest that does.
    let empty = || Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("bounds are in order");
    let [mut gets, mut inserts] = [empty(), empty()];
    let mut random = SplitMix64(thread as u64);
    for at in 0..calls + calls / 10 {
        let new = subject.next.fetch_add(1, Ordering::Relaxed);
        let old = new - random.below(ENTRIES as usize) as u64;
        let insert_ns = nanos(|| subject.cache.insert(new, new));
        let get_ns = nanos(|| subject.cache.get(old));
        // The first tenth brings the cache back into the processor's.
        if at >= calls / 10 {
            gets.saturating_record(get_ns.max(1));
            inserts.saturating_record(insert_ns.max(1));
        }
    }
    [gets, inserts]
}

fn nanos<T>(call: impl FnOnce() -> T) -> u64 {
    let start = Instant::now();
    black_box(call());
    start.elapsed().as_nanos() as u64
}
