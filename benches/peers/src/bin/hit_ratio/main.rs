//! Hit ratios of larder and its peers, by their real interfaces, over every
//! trace in some folders and over synthetic sequences.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml --bin hit_ratio -- \
//!     [--quick] [--out DIR] [--only traces,synthetic,bytes,capacity] FOLDER...
//! ```
//!
//! A folder's `*.u64.zst` and `*.ws.zst` are read, as the `replay` example
//! describes them.

mod capacity;
#[path = "../../../../../examples/replay/opt.rs"]
mod opt;
mod plan;
mod replay;
mod report;
mod tables;
#[path = "../../../../../examples/replay/trace.rs"]
mod trace;

use peers::args::Args;
use peers::sheet::{self, Sheet};
use peers::synthetic::Family;
use plan::{Subject, Unit};
use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use trace::Trace;

/// Of the distinct keys, or of their bytes, in percent.
const SHARES: [f64; 5] = [0.1, 1.0, 5.0, 10.0, 25.0];
const SHARES_IF_QUICK: [f64; 2] = [1.0, 10.0];
/// A quick run reads the beginnings of traces.
const ACCESSES_IF_QUICK: usize = 200_000;

const SEEDS: u64 = 4;

fn main() -> ExitCode {
    let args = Args::parse(env::args().skip(1)).map_err(Into::into);
    match args.and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hit_ratio: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut sheet = Sheet::new(&args.out, "8-hit-ratio")?;
    sheet.add("## Hit ratio");
    sheet.add(sheet::machine());
    if args.is_quick {
        sheet.add("**A short run** (`--quick`): the beginnings of traces, and fewer capacities.");
    }
    if args.wants("capacity") {
        capacity::run(&mut sheet);
    }
    let traces = traces(&args.rest, args.is_quick)?;
    if args.wants("traces") && !traces.is_empty() {
        let subjects = traces.iter().map(|trace| subject(trace.clone(), Unit::Entries, args));
        tables::run("traces", "Traces, by entries", &subjects.collect::<Vec<_>>(), &mut sheet)?;
    }
    if args.wants("synthetic") {
        tables::run("synthetic", "Synthetic sequences", &synthetic(args), &mut sheet)?;
    }
    let weighted = traces.iter().filter(|trace| trace.sizes.is_some());
    let weighted: Vec<Subject> =
        weighted.map(|trace| subject(trace.clone(), Unit::Bytes, args)).collect();
    if args.wants("bytes") && !weighted.is_empty() {
        tables::run("bytes", "Traces, by bytes", &weighted, &mut sheet)?;
    }
    sheet.finish()?;
    println!("All of it took {} s.", start.elapsed().as_secs());
    Ok(())
}

fn subject(trace: Trace, unit: Unit, args: &Args) -> Subject {
    Subject::new(trace, unit, if args.is_quick { &SHARES_IF_QUICK } else { &SHARES })
}

fn synthetic(args: &Args) -> Vec<Subject> {
    let seeds = 1..=if args.is_quick { 1 } else { SEEDS };
    let sequences = seeds.flat_map(|seed| Family::ALL.map(|family| family.sequence(seed)));
    let subject = |sequence: peers::synthetic::Sequence| {
        eprintln!("hit_ratio: {}: {}", sequence.name, sequence.parameters);
        let trace = Trace::of_keys(sequence.name, sequence.keys);
        Subject { turns_at: sequence.turns_at, ..subject(trace, Unit::Entries, args) }
    };
    sequences.map(subject).collect()
}

/// All traces of all folders, by name.
fn traces(folders: &[String], is_quick: bool) -> Result<Vec<Trace>, Box<dyn Error>> {
    let mut files = Vec::new();
    for folder in folders {
        files.extend(trace_files(Path::new(folder)).map_err(|error| format!("{folder}: {error}"))?);
    }
    files.sort();
    let read = |file: &PathBuf| {
        let trace = trace::load(file)?;
        Ok(if is_quick { beginning(trace) } else { trace })
    };
    files.iter().map(read).collect()
}

fn trace_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.to_string_lossy();
        if name.ends_with(".u64.zst") || name.ends_with(".ws.zst") {
            files.push(path);
        }
    }
    Ok(files)
}

/// Keys are numbered as they come, so the first ones are those that stay.
fn beginning(mut trace: Trace) -> Trace {
    trace.accesses.truncate(ACCESSES_IF_QUICK);
    trace.distinct = trace.accesses.iter().max().map_or(0, |key| *key as usize + 1);
    if let Some(sizes) = &mut trace.sizes {
        sizes.bytes_of.truncate(trace.distinct);
        sizes.footprint_bytes = sizes.bytes_of.iter().copied().map(u64::from).sum();
        let size = |key: &u64| u64::from(sizes.bytes_of[*key as usize]);
        sizes.requested_bytes = trace.accesses.iter().map(size).sum();
    }
    trace
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Sizes;

    #[test]
    fn the_beginning_of_a_trace_is_a_trace() {
        let long = (0..2 * ACCESSES_IF_QUICK as u64).map(|at| at / 2);
        let mut trace = Trace::of_keys("t".to_owned(), long);
        let bytes_of = vec![3; trace.distinct];
        trace.sizes = Some(Sizes { bytes_of, footprint_bytes: 0, requested_bytes: 0 });
        let short = beginning(trace);
        assert_eq!((short.accesses.len(), short.distinct), (200_000, 100_000));
        let sizes = short.sizes.unwrap();
        assert_eq!((sizes.footprint_bytes, sizes.requested_bytes), (300_000, 600_000));
    }
}
