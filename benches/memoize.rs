//! What a hit on a memoized function costs beside the same hit by hand.
//!
//! ```text
//! cargo bench --bench memoize --features macros                   # time
//! valgrind --tool=callgrind <this program> --run memoized 200000  # instructions
//! ```
//!
//! With `--run`, set-up is not told apart: run it with N and with 2 N, and
//! divide the difference by N.

use criterion::Criterion;
use larder::{Cache, memoize};
use std::env;
use std::hint::black_box;
use std::sync::LazyLock;

/// Keys that are all there.
const KEYS: u64 = 1024;

#[memoize(capacity = 100_000)]
fn memoized(n: u64) -> u64 {
    n + 1
}

#[memoize(capacity = 100_000)]
fn fallible(n: u64) -> Result<u64, String> {
    if n == u64::MAX { Err("too much".to_owned()) } else { Ok(n + 1) }
}

#[memoize(capacity = 100_000)]
fn pair(text: &str, n: u64) -> u64 {
    text.len() as u64 + n
}

static CACHE: LazyLock<Cache<u64, u64>> = LazyLock::new(|| Cache::new(100_000));

type Hit = fn(u64) -> u64;

const SCENARIOS: [(&str, Hit); 5] = [
    ("nothing", |n| n),
    ("cache-get", |n| CACHE.get(&n).unwrap_or_default()),
    ("memoized", memoized),
    ("memoized-result", |n| fallible(n).unwrap_or_default()),
    ("memoized-pair", |n| pair("pear", n)),
];

fn fill() {
    (0..KEYS).for_each(|n| CACHE.insert(n, n + 1));
}

fn run(name: &str, operations: u64) {
    let Some((_, hit)) = SCENARIOS.iter().find(|(known, _)| *known == name) else {
        panic!("no scenario {name}: there are {:?}", SCENARIOS.map(|(name, _)| name));
    };
    for n in 0..operations {
        black_box(hit(black_box(n % KEYS)));
    }
}

fn main() {
    fill();
    let args: Vec<String> = env::args().collect();
    if let [_, flag, name, operations] = &*args {
        if flag == "--run" {
            return run(name, operations.parse().expect("a number of operations"));
        }
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("memoize/hit");
    for (name, hit) in SCENARIOS {
        let mut n = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                n = (n + 1) % KEYS;
                hit(black_box(n))
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
