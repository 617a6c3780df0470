//! Instructions an operation takes, counted by callgrind: the same on a busy
//! machine. Set-up is not counted: each scenario runs with N and with 2 N
//! operations, and the difference is divided by N.
//!
//! The program starts itself under valgrind, as
//! `valgrind --tool=callgrind speed --instructions get-hit quick_cache 50000`.

use peers::args::Args;
use peers::chart::{self, Series};
use peers::contenders::Contender;
use peers::keys::{self, Popularity};
use peers::sheet::Sheet;
use peers::table::Table;
use std::env;
use std::io;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const ENTRIES: usize = 100_000;

const METHOD: &str = "\
Counted by callgrind, one thread, capacity 100000, u64 keys and values: a get of
a key that is there (uniform), a get of one that is not, an insert of a new key into
a full cache, and read-through (Zipf 0.9 over ten times as many keys). Threads of a
library's own (stretto) are counted, too.";

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    GetHit,
    GetMiss,
    InsertEvict,
    ReadThrough,
}

impl Count {
    const ALL: [Count; 4] = [Count::GetHit, Count::GetMiss, Count::InsertEvict, Count::ReadThrough];

    pub fn name(self) -> &'static str {
        match self {
            Count::GetHit => "get-hit",
            Count::GetMiss => "get-miss",
            Count::InsertEvict => "insert-evict",
            Count::ReadThrough => "read-through",
        }
    }

    fn suits(self, contender: Contender) -> bool {
        contender.evicts_in_bounded_time() || matches!(self, Count::GetHit | Count::GetMiss)
    }
}

/// Instructions of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Instructions {
    pub contender: Contender,
    pub count: Count,
    pub each: f64,
}

/// Runs under valgrind: `--instructions COUNT CONTENDER OPERATIONS`.
pub fn run_one(args: &[String]) -> Result<(), String> {
    let [count, contender, operations] = args else {
        return Err("--instructions needs a count, a contender and a number".to_owned());
    };
    let count = Count::ALL.into_iter().find(|one| one.name() == count).ok_or("no such count")?;
    let mut all = Contender::for_speed().into_iter();
    let contender = all.find(|one| one.to_string() == *contender).ok_or("no such contender")?;
    let operations = operations.parse().map_err(|error| format!("{operations}: {error}"))?;
    work(count, contender, operations);
    Ok(())
}

fn work(count: Count, contender: Contender, operations: usize) {
    // As everywhere: where all keys have to be there, some room to spare.
    let spare = if count == Count::GetHit { ENTRIES / 20 + 500 } else { 0 };
    let cache = contender.build::<u64>(ENTRIES + spare);
    cache.insert_all(0..ENTRIES as u64);
    cache.settle();
    let entries = ENTRIES as u64;
    match count {
        Count::GetHit => {
            let keys = keys::uniform(2 * ENTRIES, ENTRIES);
            cache.get_all(&keys[..operations]);
        }
        Count::GetMiss => {
            let keys = keys::uniform(2 * ENTRIES, ENTRIES).into_iter();
            let keys: Vec<u32> = keys.map(|key| key + ENTRIES as u32).collect();
            cache.get_all(&keys[..operations]);
        }
        Count::InsertEvict => cache.insert_all(entries..entries + operations as u64),
        Count::ReadThrough => {
            let keys = keys::draw(Popularity::Zipf(0.9), 4 * ENTRIES, 10 * ENTRIES);
            let (warm_up, counted) = keys.split_at(2 * ENTRIES);
            cache.read_through_all(warm_up);
            cache.read_through_all(&counted[..operations]);
        }
    }
    cache.settle();
    // Counted in neither run, since the process ends here: dropping it.
    std::mem::forget(cache);
}

pub fn run(args: &Args, sheet: &mut Sheet) -> io::Result<Vec<Instructions>> {
    sheet.add("### Instructions for one operation");
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        sheet.add(format!("Not counted: valgrind did not start ({error})."));
        return Ok(Vec::new());
    }
    eprintln!("instructions");
    sheet.add(METHOD);
    let contenders = contenders(args);
    let all = count_all(&contenders, if args.is_quick { 20_000 } else { 50_000 });
    let mut table = Table::new(&["", "get, hit", "get, miss", "insert, evicting", "read-through"]);
    for contender in contenders {
        let each =
            |count| find(&all, contender, count).map_or(String::new(), |n| format!("{n:.0}"));
        table.row([contender.to_string()].into_iter().chain(Count::ALL.map(each)));
    }
    sheet.add(table);
    for (count, title) in [(Count::GetHit, "a hit"), (Count::InsertEvict, "an insert that evicts")]
    {
        let of_count = all.iter().filter(|one| one.count == count);
        let bars = of_count.map(|one| Series::bar(one.contender.to_string(), one.each));
        let title = format!("Instructions for {title}");
        let svg = chart::bars(&title, "by callgrind", &bars.collect::<Vec<_>>());
        sheet.chart(&format!("instructions-{}", count.name()), &title, &svg)?;
    }
    Ok(all)
}

pub fn find(all: &[Instructions], contender: Contender, count: Count) -> Option<f64> {
    all.iter().find(|one| one.contender == contender && one.count == count).map(|one| one.each)
}

/// A quick run leaves out those that are slow, and slower still under valgrind.
fn contenders(args: &Args) -> Vec<Contender> {
    let all = Contender::for_speed().into_iter();
    let is_quick_one = |one: &Contender| {
        one.is_larder() || matches!(one, Contender::QuickCache | Contender::LruMutex)
    };
    all.filter(|one| !args.is_quick || is_quick_one(one)).collect()
}

/// Two at a time, or as many as there are processors: counts do not mind.
fn count_all(contenders: &[Contender], operations: usize) -> Vec<Instructions> {
    let pairs = contenders.iter().copied();
    let pairs = pairs.flat_map(|one| Count::ALL.map(|count| (one, count)));
    let pairs: Vec<(Contender, Count)> = pairs.filter(|(one, count)| count.suits(*one)).collect();
    let (next, counted) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let worker = || {
        while let Some(&(contender, count)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
            match count_one(count, contender, operations) {
                Ok(each) => counted.lock().unwrap().push(Instructions { contender, count, each }),
                Err(error) => eprintln!("instructions: {contender}, {}: {error}", count.name()),
            }
        }
    };
    thread::scope(|scope| {
        (0..peers::measure::processors()).for_each(|_| drop(scope.spawn(worker)));
    });
    let mut counted = counted.into_inner().unwrap();
    let place = |one: &Instructions| pairs.iter().position(|p| *p == (one.contender, one.count));
    counted.sort_by_key(place);
    counted
}

fn count_one(count: Count, contender: Contender, operations: usize) -> Result<f64, String> {
    let once = collected(count, contender, operations)?;
    let twice = collected(count, contender, 2 * operations)?;
    Ok((twice as f64 - once as f64) / operations as f64)
}

fn collected(count: Count, contender: Contender, operations: usize) -> Result<u64, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--instructions", count.name(), &contender.to_string(), &operations.to_string()])
        .output()
        .map_err(|error| error.to_string())?;
    let report = String::from_utf8_lossy(&output.stderr);
    // "==1234== Collected : 5678"
    let collected = report.lines().find_map(|line| line.split("Collected :").nth(1));
    let collected = collected.and_then(|count| count.trim().parse().ok());
    collected.ok_or_else(|| format!("callgrind gave no count:\n{report}"))
}
