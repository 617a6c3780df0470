//! What is replayed, and which half of it each belongs to.

use crate::trace;
use peers::sizes;
use peers::synthetic::Family;
use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fs;

/// Capacities, of the distinct keys in percent.
const SHARES: [f64; 5] = [0.1, 1.0, 5.0, 10.0, 25.0];
/// Fewer entries tell more about rounding than about policies.
const ENTRIES_MIN: usize = 10;
/// Seeds of each synthetic family, half of them for each half.
const SEEDS: u64 = 8;

/// A trace of more accesses than this takes its time.
pub const LONG: usize = 1_000_000;

/// Who may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Whoever changes the policy.
    Choose,
    /// Whoever says how good it is.
    Report,
}

impl Half {
    fn of(number: usize) -> Half {
        if number.is_multiple_of(2) { Half::Choose } else { Half::Report }
    }

    pub fn name(self) -> &'static str {
        match self {
            Half::Choose => "choose",
            Half::Report => "report",
        }
    }
}

/// A trace or a synthetic sequence.
#[derive(Debug)]
pub struct Subject {
    pub name: String,
    /// The synthetic family, or "trace".
    pub kind: &'static str,
    pub half: Half,
    pub accesses: Vec<u64>,
    pub capacities: Vec<usize>,
    /// Where it changes from one kind to another; its length if it does not.
    pub turns_at: usize,
    /// How large each key's object is; empty if nobody knows.
    pub size_of: HashMap<u64, u32>,
}

impl Subject {
    pub fn of(name: &str, kind: &'static str, half: Half, accesses: Vec<u64>) -> Subject {
        let distinct = accesses.iter().collect::<HashSet<_>>().len();
        let entries = |share: &f64| (distinct as f64 * share / 100.0).round() as usize;
        let capacities = SHARES.iter().map(entries).filter(|entries| *entries >= ENTRIES_MIN);
        let (capacities, turns_at) = (capacities.collect(), accesses.len());
        let (name, size_of) = (name.to_owned(), HashMap::new());
        Subject { name, kind, half, accesses, capacities, turns_at, size_of }
    }
}

/// Every trace of the folders, by name, dealt alternately; of each synthetic
/// family, the odd seeds to choose by.
pub fn subjects(folders: &[String], is_quick: bool) -> Result<Vec<Subject>, Box<dyn Error>> {
    let mut files = Vec::new();
    for folder in folders {
        for entry in fs::read_dir(folder).map_err(|error| format!("{folder}: {error}"))? {
            files.push(entry?.path());
        }
    }
    files.retain(|path| {
        let name = path.to_string_lossy();
        name.ends_with(".u64.zst") || name.ends_with(".ws.zst")
    });
    files.sort();
    let mut subjects = Vec::new();
    let seeds = if is_quick { 2 } else { SEEDS };
    for (number, file) in files.iter().enumerate() {
        let trace = trace::load(file)?;
        if is_quick && trace.accesses.len() > LONG {
            continue;
        }
        let sizes = trace.sizes.iter().flat_map(|sizes| &sizes.bytes_of);
        let size_of = (0..).zip(sizes.copied()).collect();
        let subject = Subject::of(&trace.name, "trace", Half::of(number), trace.accesses);
        subjects.push(Subject { size_of, ..subject });
    }
    subjects.extend((0..seeds).flat_map(|number| Family::ALL.map(|f| synthetic(f, number))));
    Ok(subjects)
}

fn synthetic(family: Family, number: u64) -> Subject {
    let made = family.sequence(number + 1);
    let made_by = (number + 1) * 10 + family as u64;
    let subject = Subject::of(&made.name, family.name(), Half::of(number as usize), made.keys);
    let turns_at = made.turns_at.unwrap_or(subject.turns_at);
    let size_of = sizes::draw(&subject.accesses, made_by).size_of;
    Subject { turns_at, size_of, ..subject }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_have_every_family() {
        for family in Family::ALL {
            assert_eq!(synthetic(family, 0).half, Half::Choose);
            assert_eq!(synthetic(family, 1).half, Half::Report);
            assert_ne!(synthetic(family, 0).accesses, synthetic(family, 1).accesses);
        }
    }

    #[test]
    fn capacities_of_few_entries_are_left_out() {
        let subject = Subject::of("t", "t", Half::Choose, (0..1000).collect());
        assert_eq!(subject.capacities, [10, 50, 100, 250]);
    }
}
