//! Replays a trace of cache accesses, and compares larder's eviction policies
//! with each other and with OPT, which knows the future.
//!
//! ```text
//! cargo run --release --example replay                          a workload made on the spot
//! cargo run --release --example replay -- web.u64.zst           a trace
//! cargo run --release --example replay -- keys.txt --capacity 5%,20000 --eviction lru,s3-fifo
//! cargo run --release --example replay -- --help
//! ```
//!
//! Each access is "get, and insert on a miss" on a real cache. The tables go to
//! standard output and a chart to a file. The exit code is 1 if the trace
//! cannot be replayed, and 2 if the command line makes no sense.

mod args;
mod chart;
mod drive;
mod opt;
mod progress;
mod report;
mod synthetic;
mod table;
mod trace;

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use larder::{BuildError, Eviction};

use args::{Args, ArgsError, Capacity, Request, Source};
use chart::ChartError;
use drive::{Outcome, Setup};
use opt::Oracle;
use progress::Progress;
use report::{Report, Row};
use trace::{Trace, TraceError};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has seen enough of it.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            // Unlike `eprintln!`, survives that nobody reads it.
            let _ = writeln!(io::stderr(), "replay: {failure}");
            failure.exit_code()
        }
    }
}

fn run() -> Result<(), Failure> {
    let args = match args::parse(lexopt::Parser::from_env()).map_err(Failure::Args)? {
        Request::Help => return print(args::HELP),
        Request::Replay(args) => args,
    };
    let trace = read(&args.source)?;
    let report = replay(&trace, &args)?;
    print(&table::text(&report))?;
    if args.explain {
        explain(&trace, &args, report.trace.footprint())?;
    }
    write_chart(&report, args.chart)
}

fn read(source: &Source) -> Result<Trace, Failure> {
    match source {
        Source::Synthetic => {
            print(&format!("{}\n\n", synthetic::DESCRIPTION))?;
            Ok(synthetic::trace())
        }
        Source::Stdin => {
            trace::read_text("standard input", io::stdin().lock()).map_err(Failure::Trace)
        }
        Source::File(path) => trace::load(path).map_err(Failure::Trace),
    }
}

/// Replays the trace for each capacity and policy asked for.
fn replay(trace: &Trace, args: &Args) -> Result<Report, Failure> {
    let mut report = Report::new(trace, &args.evictions);
    let replays = args.capacities.len() * args.evictions.len();
    let mut progress = Progress::new(args.progress, replays as u64 * report.trace.accesses);
    let oracle = Oracle::of(trace);
    for (asked, capacity) in smallest_first(&args.capacities, report.trace.footprint()) {
        let mut scores = Vec::new();
        for policy in &mut report.policies {
            let setup = Setup { eviction: policy.eviction, capacity, shards: args.shards };
            let outcome = replay_one(trace, setup, &mut progress)?;
            policy.elapsed += outcome.elapsed;
            scores.push(outcome.score);
        }
        report.rows.push(Row { asked, capacity, scores, opt: oracle.score(capacity) });
    }
    Ok(report)
}

/// Prints, for each policy that adapts, what it had decided at each twentieth
/// of the trace.
fn explain(trace: &Trace, args: &Args, footprint: u64) -> Result<(), Failure> {
    const STAGES: usize = 20;
    let adapts = |e: &&Eviction| matches!(e, Eviction::Adaptive | Eviction::AdaptiveByWeight);
    for (_, capacity) in smallest_first(&args.capacities, footprint) {
        for &eviction in args.evictions.iter().filter(adapts) {
            let setup = Setup { eviction, capacity, shards: args.shards };
            let stages = drive::explain(trace, setup, STAGES)
                .map_err(|error| Failure::Build { setup, error })?;
            print(&format!("\n{eviction} at {}\n", report::grouped(capacity)))?;
            for stage in stages {
                let ratio = 100.0 * stage.hits as f64 / stage.accesses as f64;
                print(&format!("  {ratio:6.2} % hit; {}\n", stage.report))?;
            }
        }
    }
    Ok(())
}

fn smallest_first(capacities: &[Capacity], footprint: u64) -> Vec<(Capacity, u64)> {
    let asked = capacities.iter();
    let mut sized: Vec<_> = asked.map(|&asked| (asked, asked.of(footprint))).collect();
    sized.sort_by_key(|(_, capacity)| *capacity);
    sized
}

fn replay_one(trace: &Trace, setup: Setup, progress: &mut Progress) -> Result<Outcome, Failure> {
    let on_stretch = |accesses| {
        progress.advance(accesses, || {
            format!("{} at {}", setup.eviction, report::grouped(setup.capacity))
        });
    };
    drive::replay(trace, setup, on_stretch).map_err(|error| Failure::Build { setup, error })
}

fn write_chart(report: &Report, path: PathBuf) -> Result<(), Failure> {
    let svg = chart::svg(report).map_err(Failure::Chart)?;
    match fs::write(&path, svg) {
        Ok(()) => print(&format!("Chart: {}\n", path.display())),
        Err(error) => Err(Failure::ChartFile { path, error }),
    }
}

/// Unlike `print!`, survives that nobody reads on.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    written.and_then(|()| stdout.flush()).map_err(Failure::Output)
}

/// Why there are no results, or not all.
#[derive(Debug)]
enum Failure {
    Args(ArgsError),
    Trace(TraceError),
    /// larder cannot make such a cache.
    Build {
        setup: Setup,
        error: BuildError,
    },
    /// The results could not be printed.
    Output(io::Error),
    Chart(ChartError),
    ChartFile {
        path: PathBuf,
        error: io::Error,
    },
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Args(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Args(error) => write!(f, "{error}; --help shows what is possible"),
            Failure::Trace(error) => write!(f, "{error}"),
            Failure::Build { setup, error } => write!(
                f,
                "no {} cache with a capacity of {}: {error}",
                setup.eviction, setup.capacity
            ),
            Failure::Output(error) => write!(f, "cannot print the results: {error}"),
            Failure::Chart(error) => write!(f, "cannot draw the chart: {error}"),
            Failure::ChartFile { path, error } => {
                write!(f, "cannot write the chart to {}: {error}", path.display())
            }
        }
    }
}
