//! Speed and memory of larder and its peers, side by side.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml --bin speed -- \
//!     [--quick] [--out DIR] [--only throughput,latency,memory,alive,instructions] [--threads 1,2]
//! ```

mod aims;
mod alive;
mod instructions;
mod latency;
mod memory;
mod scene;
mod throughput;

use aims::Measured;
use peers::args::Args;
use peers::heap::Counting;
use peers::sheet::{self, Sheet};
use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

#[global_allocator]
static HEAP: Counting = Counting;

const CRATES: [&str; 14] = [
    "larder",
    "quick_cache",
    "moka",
    "mini-moka",
    "foyer-memory",
    "stretto",
    "TinyUFO",
    "sieve-cache",
    "lru",
    "scc",
    "dashmap",
    "papaya",
    "hashbrown",
    "hdrhistogram",
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let done = match args.split_first() {
        Some((first, rest)) if first == "--instructions" => {
            instructions::run_one(rest).map_err(Into::into)
        }
        _ => Args::parse(args).map_err(Into::into).and_then(|args| run(&args)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("speed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut head = Sheet::new(&args.out, "1-machine")?;
    head.add("## Machine");
    head.add(sheet::machine());
    head.add(sheet::versions(&CRATES) + ".");
    if args.is_quick {
        head.add("**A short run** (`--quick`): few rounds of short turns, for a first impression.");
    }
    head.finish()?;
    let measured = measure(args)?;
    let mut aims = Sheet::new(&args.out, "2-aims")?;
    aims::show(&measured, &mut aims);
    aims.finish()?;
    println!("All of it took {} s.", start.elapsed().as_secs());
    Ok(())
}

fn measure(args: &Args) -> Result<Measured, Box<dyn Error>> {
    let mut measured = Measured::default();
    let part = |name: &str, title: &str| {
        let mut sheet = Sheet::new(&args.out, name)?;
        sheet.add(format!("## {title}"));
        Ok::<_, std::io::Error>(sheet)
    };
    if args.wants("throughput") {
        let mut sheet = part("3-throughput", "Throughput")?;
        measured.figures = throughput::run(args, &mut sheet)?;
        sheet.finish()?;
    }
    if args.wants("latency") {
        let mut sheet = part("4-latency", "Latency")?;
        measured.latencies = latency::run(args, &mut sheet)?;
        sheet.finish()?;
    }
    if args.wants("memory") || args.wants("alive") {
        let mut sheet = part("5-memory", "Memory")?;
        if args.wants("memory") {
            measured.footprints = memory::run(args, &mut sheet)?;
        }
        if args.wants("alive") {
            measured.excesses = alive::run(args, &mut sheet)?;
        }
        sheet.finish()?;
    }
    if args.wants("instructions") {
        let mut sheet = part("6-instructions", "Instructions")?;
        measured.instructions = instructions::run(args, &mut sheet)?;
        sheet.finish()?;
    }
    Ok(measured)
}
