//! The same for caches that are bounded by weight: hits by the default, and the
//! weight of hits by the one that is asked to favour weight.

use crate::halves::{Half, Subject};
use crate::{Seeded, on_all_processors};
use larder::Eviction;
use peers::args::Args;
use peers::contenders::{Contender, Foyer};
use peers::peer::Peer;
use peers::table::Table;
use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::Path;

/// Capacities, of the weight of the distinct keys in percent.
const SHARES: [f64; 5] = [0.1, 1.0, 5.0, 10.0, 25.0];
/// Seeds of the hash for each cell.
const SEEDS: u64 = 2;

/// Hits, and their weight, in percent of all accesses.
type Percent = [f64; 2];

struct Cell<'s> {
    subject: &'s Subject,
    capacity: u64,
}

impl Cell<'_> {
    fn all<'s>(subjects: &'s [&'s Subject]) -> Vec<Cell<'s>> {
        let cells = |subject: &'s &'s Subject| {
            let footprint: u64 = subject.size_of.values().copied().map(u64::from).sum();
            let of = move |share: f64| (footprint as f64 * share / 100.0).round() as u64;
            SHARES.map(|share| Cell { subject, capacity: of(share) })
        };
        subjects.iter().flat_map(cells).collect()
    }

    fn name(&self) -> String {
        format!("{}\t{}", self.subject.name, self.capacity)
    }

    fn replay(&self, cache: &dyn Peer<u32>, settles: bool) -> Percent {
        let (mut hits, mut weight, mut whole) = (0, 0, 0);
        for (at, key) in self.subject.accesses.iter().enumerate() {
            let size = self.subject.size_of[key];
            whole += u64::from(size);
            match cache.get(*key) {
                Some(_) => (hits, weight) = (hits + 1, weight + u64::from(size)),
                None => cache.insert(*key, size),
            }
            if settles && at % 64 == 0 {
                cache.settle();
            }
        }
        let of = |part: u64, whole: u64| 100.0 * part as f64 / whole as f64;
        [of(hits, self.subject.accesses.len() as u64), of(weight, whole)]
    }

    /// Over all seeds.
    fn larder(&self, eviction: Eviction) -> Percent {
        let runs = (1..=SEEDS).map(|seed| {
            let builder = larder::Cache::<u64, u32>::builder().weight_capacity(self.capacity);
            let builder = builder.weigher(|_, size| *size).eviction(eviction);
            let cache = builder.hasher(Seeded(seed)).build().expect("the settings are in order");
            self.replay(&Hashed(cache), false)
        });
        runs.fold([0.0; 2], |sum, run| [0, 1].map(|at| sum[at] + run[at] / SEEDS as f64))
    }

    /// The best of other libraries, in hits and in the weight of hits.
    fn libraries(&self) -> Percent {
        let entries = (self.subject.size_of.len() as u64 * self.capacity
            / self.subject.size_of.values().copied().map(u64::from).sum::<u64>())
        .max(1) as usize;
        let best = |best: Percent, contender: Contender| {
            let cache = contender.build_weighted(self.capacity, entries).expect("it can weigh");
            let found = self.replay(&*cache, contender == Contender::Moka);
            [0, 1].map(|at| best[at].max(found[at]))
        };
        let foyer = [Foyer::Lru, Foyer::Lfu, Foyer::S3Fifo, Foyer::Sieve].map(Contender::Foyer);
        let others = [Contender::QuickCache, Contender::Moka, Contender::TinyUfo];
        foyer.into_iter().chain(others).fold([0.0; 2], best)
    }
}

struct Hashed(larder::Cache<u64, u32, Seeded>);

impl Peer<u32> for Hashed {
    fn get(&self, key: u64) -> Option<u32> {
        self.0.get(&key)
    }

    fn insert(&self, key: u64, value: u32) {
        self.0.insert(key, value);
    }
}

pub fn run(args: &Args, subjects: &[Subject]) -> Result<(), Box<dyn Error>> {
    for half in [Half::Choose, Half::Report] {
        if !args.wants(&format!("{}-weighted", half.name())) {
            continue;
        }
        let is_of = |subject: &&Subject| subject.half == half && !subject.size_of.is_empty();
        let of_half: Vec<&Subject> = subjects.iter().filter(is_of).collect();
        let cells = Cell::all(&of_half);
        let others = others(&cells, &args.out.join("tuning-others-weighted.tsv"))?;
        let ours = on_all_processors(&cells, |cell| {
            [Eviction::Adaptive, Eviction::AdaptiveByWeight].map(|policy| cell.larder(policy))
        });
        let ours: Vec<Percent> =
            ours.into_iter().map(|[hits, weight]| [hits[0], weight[1]]).collect();
        show(half, &cells, &ours, &others);
        let line = |((cell, [hits, weight]), others): ((&Cell<'_>, &Percent), &Percent)| {
            format!("{}\t{hits:.3}\t{weight:.3}\t{:.3}\t{:.3}\n", cell.name(), others[0], others[1])
        };
        let lines: String = cells.iter().zip(&ours).zip(&others).map(line).collect();
        fs::write(args.out.join(format!("tuning-{}-weighted.tsv", half.name())), lines)?;
    }
    Ok(())
}

/// From the file, and where that knows nothing, by replay.
fn others(cells: &[Cell<'_>], file: &Path) -> Result<Vec<Percent>, Box<dyn Error>> {
    let text = if file.exists() { fs::read_to_string(file)? } else { String::new() };
    let mut known: HashMap<String, Percent> = text.lines().filter_map(parse).collect();
    let missing: Vec<&Cell<'_>> =
        cells.iter().filter(|cell| !known.contains_key(&cell.name())).collect();
    let found = on_all_processors(&missing, |cell| cell.libraries());
    known.extend(missing.iter().map(|cell| cell.name()).zip(found));
    let lines = known.iter().map(|(name, [hits, weight])| format!("{name}\t{hits}\t{weight}\n"));
    fs::write(file, lines.collect::<String>())?;
    Ok(cells.iter().map(|cell| known[&cell.name()]).collect())
}

fn parse(line: &str) -> Option<(String, Percent)> {
    let mut fields = line.rsplitn(3, '\t');
    let (weight, hits) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((fields.next()?.to_owned(), [hits, weight]))
}

fn show(half: Half, cells: &[Cell<'_>], ours: &[Percent], others: &[Percent]) {
    println!("\n## {}, by weight\n", half.name());
    let names = ["", "cells", "hits", "behind libraries", "worst", "weight", "behind", "worst"];
    let mut table = Table::new(&names);
    let mut kinds: Vec<&str> = cells.iter().map(|cell| cell.subject.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in ["all"].into_iter().chain(kinds) {
        let is_of = |at: &usize| kind == "all" || cells[*at].subject.kind == kind;
        let of_kind: Vec<usize> = (0..cells.len()).filter(is_of).collect();
        let mean = |of: &dyn Fn(usize) -> f64| {
            of_kind.iter().map(|at| of(*at)).sum::<f64>() / of_kind.len() as f64
        };
        let columns = [0, 1].map(|what| {
            let behind = |at: usize| others[at][what] - ours[at][what];
            let worst = of_kind.iter().map(|at| behind(*at)).fold(f64::MIN, f64::max);
            [mean(&|at| ours[at][what]), mean(&behind), worst]
        });
        let numbers = columns.as_flattened().iter().map(|number| format!("{number:.2}"));
        table.row([kind.to_owned(), of_kind.len().to_string()].into_iter().chain(numbers));
    }
    println!("{table}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(parse("a b\t100\t12.5\t0.5"), Some(("a b\t100".to_owned(), [12.5, 0.5])));
    }

    #[test]
    fn hits_and_their_weight_are_counted() {
        let size_of = HashMap::from([(1, 30), (2, 10)]);
        let subject = Subject { size_of, ..Subject::of("t", "t", Half::Choose, vec![1, 2, 1, 1]) };
        let cell = Cell { subject: &subject, capacity: 1000 };
        assert_eq!(cell.larder(Eviction::Adaptive), [50.0, 60.0]);
        assert_eq!(cell.libraries(), [50.0, 60.0]);
    }
}
