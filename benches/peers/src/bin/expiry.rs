//! What expiry costs: in reads, in writes, in memory, and when a million
//! entries end at once. Prints the tables of README.md.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml --bin expiry
//! ```
//!
//! Arguments choose parts: `hits`, `inserts`, `reclaim`, `bytes`.

use larder::ManualClock;
use peers::expiring::{Contender, LIFETIME, Rule, larder};
use peers::heap::{self, Counting};
use peers::keys;
use peers::measure::{Plan, Samples, Shift, interleaved};
use peers::peer::Peer;
use peers::table::Table;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: Counting = Counting;

/// Ten megabytes or so: more than a second-level cache holds.
const ENTRIES: usize = 100_000;

/// So few that the processor has them all at hand: what is left are its
/// instructions.
const FEW: usize = 1000;

const MILLION: usize = 1_000_000;

/// How often a million entries expire at once.
const RECLAIMS: usize = 5;

fn main() {
    let parts: [(&str, &str, fn()); 4] = [
        ("hits", "A hit", all_hits),
        ("inserts", "An insert that makes an entry leave", all_inserts),
        ("reclaim", "A million entries expire at once", reclaim),
        ("bytes", "Bytes on the heap for each of a million entries", bytes),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for (name, title, print) in parts {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!("## {title}\n");
            print();
        }
    }
}

fn all_hits() {
    hits(FEW, Plan { rounds: 100, threads: 1, warm_up: 4, slices: 16, operations: 1 << 10 });
    for threads in [1, 2] {
        let plan = Plan { rounds: 15, threads, warm_up: 48, slices: 16, operations: 1 << 12 };
        hits(ENTRIES, plan);
    }
}

fn all_inserts() {
    for threads in [1, 2] {
        inserts(Plan { rounds: 20, threads, warm_up: 4, slices: 4, operations: 1 << 12 });
    }
}

fn hits(entries: usize, plan: Plan) {
    // Room to spare: caches whose shards are full one by one would otherwise
    // have evicted some of the keys.
    let capacity = entries + entries / 20 + 500;
    let keys = keys::uniform(plan.operations_a_turn(), entries);
    let caches = Contender::ALL.map(|contender| {
        let cache = contender.build(capacity);
        cache.insert_all(0..entries as u64);
        assert_eq!(cache.held(0..entries as u64), entries, "{contender}: a get is a hit");
        cache
    });
    let samples = interleaved(&caches, plan, |cache, shift| {
        assert_eq!(cache.get_all(&keys[shift.range()]), shift.operations);
    });
    print_times(entries, plan.threads, &samples);
}

fn inserts(plan: Plan) {
    struct Subject {
        cache: Box<dyn Peer<u64>>,
        next: AtomicU64,
    }
    let subjects = Contender::ALL.map(|contender| {
        let cache = contender.build(ENTRIES);
        cache.insert_all(0..ENTRIES as u64);
        Subject { cache, next: AtomicU64::new(ENTRIES as u64) }
    });
    let samples = interleaved(&subjects, plan, |subject, shift: Shift| {
        let operations = shift.operations as u64;
        let from = subject.next.fetch_add(operations, Ordering::Relaxed);
        subject.cache.insert_all(from..from + operations);
    });
    print_times(ENTRIES, plan.threads, &samples);
}

fn print_times(entries: usize, threads: usize, samples: &[Samples]) {
    let mut table = Table::new(&["ns", "min", "median", "expiry adds: min", "median"]);
    for (contender, sample) in Contender::ALL.iter().zip(samples) {
        let [added_min, added_median] = match contender.rule {
            Rule::Never => [String::new(), String::new()],
            _ => {
                let base = &samples[position_of(contender.base())];
                let added = sample.min() - base.min();
                [format!("{added:+.1}"), format!("{:+.1}", sample.over(base).median())]
            }
        };
        let [min, median] = [sample.min(), sample.median()].map(|ns| format!("{ns:.1}"));
        table.row([contender.to_string(), min, median, added_min, added_median]);
    }
    println!("{entries} entries, threads: {threads}\n\n{table}");
}

fn position_of(contender: Contender) -> usize {
    let mut all = Contender::ALL.iter();
    all.position(|one| *one == contender).expect("each library is there without expiry")
}

/// Only larder: a lifetime that ends at once needs a clock that can be set, and
/// the others have none for their users.
fn reclaim() {
    let mut by_writes = Vec::new();
    let mut by_maintenance = Vec::new();
    for _ in 0..RECLAIMS {
        by_writes.push(Writes::that_reclaim());
        by_maintenance.push(time_of_maintenance());
    }
    let mut table = Table::new(&["", "min", "median"]);
    let mut row = |name: &str, unit: Duration, times: Vec<Duration>| {
        let times = times.iter().map(|time| time.as_secs_f64() / unit.as_secs_f64()).collect();
        let times = Samples::new(times);
        table.row([
            name.to_owned(),
            format!("{:.1}", times.min()),
            format!("{:.1}", times.median()),
        ]);
    };
    let (micro, milli) = (Duration::from_micros(1), Duration::from_millis(1));
    let of = |part: fn(&Writes) -> Duration| by_writes.iter().map(part).collect();
    row("a write while reclaiming, mean (µs)", micro, of(|writes| writes.mean));
    row("99.9 % of such writes take at most (µs)", micro, of(|writes| writes.most));
    row("the longest of them (µs)", micro, of(|writes| writes.longest));
    row(
        "the longest of as many with nothing to reclaim (µs)",
        micro,
        of(|writes| writes.idle_longest),
    );
    row("all of `run_maintenance` (ms)", milli, by_maintenance);
    println!("{table}\nWrites until all were gone: {}.\n", by_writes[0].count);
}

/// Times of single writes.
struct Writes {
    count: usize,
    mean: Duration,
    /// Exceeded by one write in a thousand.
    most: Duration,
    longest: Duration,
    /// Among as many writes once all was reclaimed.
    idle_longest: Duration,
}

impl Writes {
    fn that_reclaim() -> Self {
        let (cache, clock) = a_million();
        clock.advance(LIFETIME);
        let mut next = MILLION as u64..;
        let mut times = Vec::with_capacity(MILLION);
        let mut write = || {
            let key = next.next().expect("keys do not run out");
            let start = Instant::now();
            cache.insert(key, key);
            start.elapsed()
        };
        while cache.stats().expired < MILLION as u64 {
            times.push(write());
        }
        let idle_longest = (0..times.len()).map(|_| write()).max();
        times.sort();
        Writes {
            count: times.len(),
            mean: times.iter().sum::<Duration>() / times.len() as u32,
            most: times[times.len() * 999 / 1000],
            longest: times[times.len() - 1],
            idle_longest: idle_longest.unwrap_or_default(),
        }
    }
}

fn time_of_maintenance() -> Duration {
    let (cache, clock) = a_million();
    clock.advance(LIFETIME);
    let start = Instant::now();
    cache.run_maintenance();
    let time = start.elapsed();
    assert_eq!(cache.stats().expired, MILLION as u64);
    time
}

/// A cache whose entries all end a [`LIFETIME`] from now, by the clock.
fn a_million() -> (larder::Cache<u64, u64>, ManualClock) {
    let clock = ManualClock::new();
    let builder = larder(MILLION, Rule::Ttl).clock(clock.clone());
    let cache = builder.build().expect("the settings are in order");
    cache.insert_all(0..MILLION as u64);
    assert_eq!(cache.len(), MILLION);
    (cache, clock)
}

fn bytes() {
    let per_entry = Contender::ALL.map(|contender| {
        let (cache, used) = heap::of(|| {
            let cache = contender.build(MILLION);
            cache.insert_all(0..MILLION as u64);
            cache.settle();
            cache
        });
        let entries = cache.held(0..MILLION as u64) as f64;
        (used.bytes as f64 / entries, used.blocks as f64 / entries)
    });
    let mut table = Table::new(&["", "bytes", "blocks", "expiry adds"]);
    for (contender, (bytes, blocks)) in Contender::ALL.iter().zip(per_entry) {
        let added = match contender.rule {
            Rule::Never => String::new(),
            _ => format!("{:+.1}", bytes - per_entry[position_of(contender.base())].0),
        };
        let numbers = [format!("{bytes:.1}"), format!("{blocks:.2}"), added];
        table.row([contender.to_string()].into_iter().chain(numbers));
    }
    println!("{table}");
}
