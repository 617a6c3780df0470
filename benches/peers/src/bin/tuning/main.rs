//! How good the default policy is, for whoever changes it: quick enough to ask
//! after every change, and with one half of everything kept out of sight.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml --bin tuning -- \
//!     [--only choose|report|choose-weighted|report-weighted] [--quick] [--out DIR] FOLDER...
//! ```
//!
//! Traces and synthetic sequences are dealt into two halves. Choose on the
//! first, as often as you like; look at the second to report, and not again.
//! Each cell is replayed under several seeds of the hash, because a choice that
//! depends on the sample of keys depends on the hash.
//!
//! All others are measured once, and kept in `DIR/tuning-others.tsv`; delete
//! the file to measure them anew. What each cell came to is in
//! `DIR/tuning-choose.tsv` and `DIR/tuning-report.tsv`. `--quick` leaves out
//! long traces and most of the synthetic sequences.

mod halves;
mod others;
#[path = "../../../../../examples/replay/trace.rs"]
mod trace;
mod weighted;

use halves::{Half, LONG, Subject};
use others::{Best, Others};
use peers::args::Args;
use peers::table::Table;
use std::error::Error;
use std::hash::{BuildHasher, Hasher};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use std::{env, fs, thread};

/// Seeds of the hash for each cell; of long traces, fewer.
const SEEDS: u64 = 4;
/// So many of the worst cells are listed.
const WORST: usize = 15;

fn main() -> ExitCode {
    let args = Args::parse(env::args().skip(1)).map_err(Into::into);
    match args.and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tuning: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let subjects = halves::subjects(&args.rest, args.is_quick)?;
    weighted::run(args, &subjects)?;
    if args.wants("choose") || args.wants("report") {
        by_entries(args, &subjects)?;
    }
    println!("{} s", start.elapsed().as_secs());
    Ok(())
}

fn by_entries(args: &Args, subjects: &[Subject]) -> Result<(), Box<dyn Error>> {
    let others = Others::measured(subjects, &args.out.join("tuning-others.tsv"))?;
    for half in [Half::Choose, Half::Report] {
        if !args.wants(half.name()) {
            continue;
        }
        let of_half: Vec<&Subject> = subjects.iter().filter(|s| s.half == half).collect();
        let cells = cells(&of_half, &others);
        show(half, &cells);
        let file = args.out.join(format!("tuning-{}.tsv", half.name()));
        fs::write(file, cells.iter().map(Cell::line).collect::<String>())?;
    }
    Ok(())
}

/// The default at one capacity of one subject.
struct Cell<'s> {
    subject: &'s Subject,
    capacity: usize,
    best: &'s Best,
    /// Hits in percent, and those of each part where it turns: by seed.
    runs: Vec<[f64; 3]>,
}

impl Cell<'_> {
    fn mean(&self, part: usize) -> f64 {
        self.runs.iter().map(|run| run[part]).sum::<f64>() / self.runs.len() as f64
    }

    fn spread(&self) -> f64 {
        let all = || self.runs.iter().map(|run| run[0]);
        all().fold(f64::MIN, f64::max) - all().fold(f64::MAX, f64::min)
    }

    /// To compare two runs cell by cell.
    fn line(&self) -> String {
        let (name, capacity) = (&self.subject.name, self.capacity);
        format!("{name}\t{capacity}\t{:.3}\t{:.3}\n", self.mean(0), self.behind_all())
    }

    fn behind_libraries(&self) -> f64 {
        self.best.library.1 - self.mean(0)
    }

    fn behind_all(&self) -> f64 {
        self.best.library.1.max(self.best.own[0].1) - self.mean(0)
    }
}

fn cells<'s>(subjects: &[&'s Subject], others: &'s Others) -> Vec<Cell<'s>> {
    let all =
        subjects.iter().flat_map(|s| s.capacities.iter().map(move |capacity| (*s, *capacity)));
    let places: Vec<(&Subject, usize)> = all.collect();
    let cell = |&(subject, capacity): &(&'s Subject, usize)| {
        let seeds = if subject.accesses.len() > LONG { 1 } else { SEEDS };
        let runs = (1..=seeds).map(|seed| percent(subject, replay(subject, capacity, seed)));
        Cell { subject, capacity, best: others.of(subject, capacity), runs: runs.collect() }
    };
    on_all_processors(&places, cell)
}

/// Maps `items`, in their order.
fn on_all_processors<T: Sync, R: Send>(items: &[T], map: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            // Who comes later got a larger number: each worker's are in order.
            done.push((std::ptr::from_ref(item) as usize, map(item)));
        }
        done
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..peers::measure::processors()).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no replay fails")).collect()
    });
    done.sort_by_key(|(address, _)| *address);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Hits before and after the turn.
fn replay(subject: &Subject, capacity: usize, seed: u64) -> [usize; 2] {
    let builder = larder::Cache::<u64, ()>::builder().capacity(capacity);
    let cache = builder.hasher(Seeded(seed)).build().expect("the settings are in order");
    let mut hits = [0, 0];
    for (at, key) in subject.accesses.iter().enumerate() {
        match cache.get(key) {
            Some(()) => hits[usize::from(at >= subject.turns_at)] += 1,
            None => cache.insert(*key, ()),
        }
    }
    hits
}

/// Of all, and of each part. Without a turn, all is the first part.
fn percent(subject: &Subject, [first, second]: [usize; 2]) -> [f64; 3] {
    let of = |hits: usize, accesses: usize| 100.0 * hits as f64 / accesses.max(1) as f64;
    let (all, turn) = (subject.accesses.len(), subject.turns_at.min(subject.accesses.len()));
    [of(first + second, all), of(first, turn), of(second, all - turn)]
}

fn show(half: Half, cells: &[Cell<'_>]) {
    println!("\n## {}\n", half.name());
    let names = ["", "cells", "mean", "behind libraries", "worst", "behind all", "worst", "spread"];
    let mut table = Table::new(&names);
    let mut kinds: Vec<&str> = cells.iter().map(|cell| cell.subject.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in ["all", "all synthetic"].into_iter().chain(kinds) {
        let is_of = |cell: &&Cell<'_>| match kind {
            "all" => true,
            "all synthetic" => cell.subject.kind != "trace",
            kind => cell.subject.kind == kind,
        };
        table.row(row(kind, &cells.iter().filter(is_of).collect::<Vec<_>>()));
    }
    println!("{table}");
    show_turns(cells);
    show_worst(cells);
}

fn row(kind: &str, cells: &[&Cell<'_>]) -> Vec<String> {
    let all = |of: fn(&Cell<'_>) -> f64| cells.iter().map(move |cell| of(cell));
    let mean = |of| all(of).sum::<f64>() / cells.len() as f64;
    let worst = |of| all(of).fold(f64::MIN, f64::max);
    let numbers = [
        mean(|cell| cell.mean(0)),
        mean(|cell| cell.behind_libraries()),
        worst(|cell| cell.behind_libraries()),
        mean(|cell| cell.behind_all()),
        worst(|cell| cell.behind_all()),
        mean(|cell| cell.spread()),
    ];
    let numbers = numbers.map(|number| format!("{number:.2}"));
    [kind.to_owned(), cells.len().to_string()].into_iter().chain(numbers).collect()
}

/// Behind the better static policy, in each half of a sequence that turns.
fn show_turns(cells: &[Cell<'_>]) {
    let turning = cells.iter().filter(|cell| cell.subject.turns_at < cell.subject.accesses.len());
    let behind = |cell: &Cell<'_>, part: usize| cell.best.own[part].1 - cell.mean(part);
    let halves: Vec<f64> = turning.flat_map(|c| [1, 2].map(|part| behind(c, part))).collect();
    let within = halves.iter().filter(|behind| **behind <= 1.0).count();
    let worst = halves.iter().copied().fold(f64::MIN, f64::max);
    let mean = halves.iter().sum::<f64>() / halves.len() as f64;
    println!(
        "Halves of sequences that turn: {within} of {} within a point of the best static \
         policy; {mean:.2} points behind it, at worst {worst:.1}.\n",
        halves.len(),
    );
}

fn show_worst(cells: &[Cell<'_>]) {
    let names = ["worst cells", "entries", "larder", "spread", "best library", "", "best own", ""];
    let mut table = Table::new(&names);
    let mut cells: Vec<&Cell<'_>> = cells.iter().collect();
    cells.sort_by(|a, b| b.behind_all().total_cmp(&a.behind_all()));
    for cell in cells.into_iter().take(WORST) {
        let Best { library, own } = cell.best;
        table.row([
            cell.subject.name.clone(),
            cell.capacity.to_string(),
            format!("{:.1}", cell.mean(0)),
            format!("{:.1}", cell.spread()),
            format!("{:.1}", library.1),
            library.0.clone(),
            format!("{:.1}", own[0].1),
            own[0].0.clone(),
        ]);
    }
    println!("{table}");
}

/// Keys are small numbers: well mixed, and another way for each seed.
#[derive(Clone)]
struct Seeded(u64);

struct Mixed(u64);

impl BuildHasher for Seeded {
    type Hasher = Mixed;

    fn build_hasher(&self) -> Mixed {
        Mixed(self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = peers::keys::SplitMix64(self.0 ^ number).next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..1000).collect();
        assert_eq!(on_all_processors(&items, |item| *item), items);
    }

    #[test]
    fn hits_before_and_after_the_turn_are_told_apart() {
        let accesses = vec![1, 1, 1, 2, 2];
        let subject = Subject { turns_at: 3, ..Subject::of("t", "t", Half::Choose, accesses) };
        let hits = replay(&subject, 10, 1);
        assert_eq!(hits, [2, 1]);
        assert_eq!(percent(&subject, hits), [60.0, 200.0 / 3.0, 50.0]);
    }

    #[test]
    fn a_seed_changes_the_hash_and_nothing_else_does() {
        let hash = |seed| Seeded(seed).hash_one(7_u64);
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
    }
}
