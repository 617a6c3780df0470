//! Instructions an operation takes, counted by callgrind.
//!
//! Unlike a time, the count is the same on a busy machine, so a regression of
//! a few instructions shows. Set-up is not counted: each scenario runs with N
//! and with 2 N operations, and the difference is divided by N.
//!
//! ```text
//! cargo bench --bench instructions                       # every scenario
//! cargo bench --bench instructions -- get-hit/lru        # those that contain this
//! ```
//!
//! This program starts itself under valgrind for that, as
//! `valgrind --tool=callgrind instructions --run get-hit/lru 200000`; to see
//! where the instructions go, give that command by hand, with
//! `--dump-instr=yes`, and read the output with `callgrind_annotate`.

mod workload;

use larder::{Cache, Eviction};
use std::env;
use std::error::Error;
use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::str::FromStr;
use std::time::Duration;
use workload::{CAPACITY, Keys, Popularity, fill};

/// Twice the capacity: the hand of a clock goes round, and growth is long over.
const OPERATIONS: u64 = 200_000;

/// Nothing expires meanwhile.
const HOUR: Duration = Duration::from_secs(3600);

type Failure = Box<dyn Error>;

#[derive(Clone, Copy)]
enum Operation {
    /// A get of keys that are all there, drawn evenly.
    GetHit,
    /// The same through `get_with`, whose loader is never called.
    GetWithHit,
    /// An insert of keys that are new, into a full cache.
    InsertEvict,
    /// A load of keys that are new, into a full cache.
    LoadEvict,
    /// A get-hit under a time to live.
    GetHitTtl,
    /// A get-hit under a time to idle.
    GetHitTti,
    /// An evicting insert under a time to live.
    InsertEvictTtl,
}

impl Operation {
    const ALL: [Operation; 4] = {
        use Operation::{GetHit, GetWithHit, InsertEvict, LoadEvict};
        [GetHit, GetWithHit, InsertEvict, LoadEvict]
    };

    /// With the default policy only.
    const WITH_LIFETIMES: [Operation; 3] = {
        use Operation::{GetHitTti, GetHitTtl, InsertEvictTtl};
        [GetHitTtl, GetHitTti, InsertEvictTtl]
    };
}

#[derive(Clone, Copy)]
struct Scenario {
    operation: Operation,
    eviction: Eviction,
}

impl Scenario {
    fn all() -> impl Iterator<Item = Scenario> {
        let all = Operation::ALL.into_iter().flat_map(|operation| {
            Eviction::ALL.iter().map(move |eviction| Scenario { operation, eviction: *eviction })
        });
        let eviction = Eviction::default();
        let living = Operation::WITH_LIFETIMES;
        all.chain(living.into_iter().map(move |operation| Scenario { operation, eviction }))
    }

    fn name(self) -> String {
        match self.operation {
            Operation::GetHit => format!("get-hit/{}", self.eviction),
            Operation::GetWithHit => format!("get-with-hit/{}", self.eviction),
            Operation::LoadEvict => format!("load-evict/{}", self.eviction),
            Operation::InsertEvict => format!("insert-evict/{}", self.eviction),
            Operation::GetHitTtl => format!("get-hit-ttl/{}", self.eviction),
            Operation::GetHitTti => format!("get-hit-tti/{}", self.eviction),
            Operation::InsertEvictTtl => format!("insert-evict-ttl/{}", self.eviction),
        }
    }

    fn run(self, operations: u64) {
        let builder = Cache::builder().eviction(self.eviction);
        let builder = match self.operation {
            Operation::GetHitTtl | Operation::InsertEvictTtl => builder.time_to_live(HOUR),
            Operation::GetHitTti => builder.time_to_idle(HOUR),
            _ => builder,
        };
        let cache = fill(builder, |key| key);
        match self.operation {
            Operation::GetHit | Operation::GetHitTtl | Operation::GetHitTti => {
                let keys = Keys::draw(Popularity::Uniform, CAPACITY);
                for at in 0..operations as usize {
                    black_box(cache.get(&keys.at(at)));
                }
            }
            Operation::GetWithHit => {
                let keys = Keys::draw(Popularity::Uniform, CAPACITY);
                for at in 0..operations as usize {
                    black_box(cache.get_with(&keys.at(at), || 0));
                }
            }
            Operation::LoadEvict => {
                for key in (CAPACITY as u64..).take(operations as usize) {
                    black_box(cache.get_with(&key, || key));
                }
            }
            Operation::InsertEvict | Operation::InsertEvictTtl => {
                for key in (CAPACITY as u64..).take(operations as usize) {
                    cache.insert(key, key);
                }
            }
        }
        // Counted in neither run, since the process ends here: dropping it.
        std::mem::forget(cache);
    }

    fn count(self, operations: u64) -> Result<u64, Failure> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(env::current_exe()?)
            .args(["--run", &self.name(), &operations.to_string()])
            .output()?;
        let report = String::from_utf8_lossy(&output.stderr);
        // "==1234== Collected : 5678"
        let collected = report.lines().find_map(|line| line.split("Collected :").nth(1));
        let count = collected.and_then(|count| u64::from_str(count.trim()).ok());
        count.ok_or_else(|| format!("callgrind gave no count:\n{report}").into())
    }
}

fn named(name: &str) -> Result<Scenario, Failure> {
    let scenario = Scenario::all().find(|scenario| scenario.name() == name);
    scenario.ok_or_else(|| format!("no scenario is called `{name}`").into())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--run", name, operations] => run_one(name, operations),
        _ if arguments.contains(&"--bench") => compare(&arguments),
        // `cargo test --benches`: only see that everything works.
        _ => {
            Scenario::all().for_each(|scenario| scenario.run(100));
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("instructions: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run_one(name: &str, operations: &str) -> Result<(), Failure> {
    named(name)?.run(operations.parse()?);
    Ok(())
}

fn compare(arguments: &[&str]) -> Result<(), Failure> {
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        // No reason for all of `cargo bench` to fail.
        println!("instructions: skipped, since valgrind did not start: {error}");
        return Ok(());
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with("--"));
    for scenario in Scenario::all() {
        let name = scenario.name();
        if filter.is_none_or(|part| name.contains(part)) {
            let (once, twice) = (scenario.count(OPERATIONS)?, scenario.count(2 * OPERATIONS)?);
            let each = twice.saturating_sub(once) as f64 / OPERATIONS as f64;
            println!("instructions/{name:<24} {each:8.1}");
        }
    }
    Ok(())
}
