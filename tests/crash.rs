//! A process that writes through the journal is killed with SIGKILL at random
//! moments, again and again. What it had acknowledged is there after the next
//! start, and never out of order.
//!
//! The process is this test itself, started with [`CHILD`] set. It says what
//! was acknowledged on a pipe, which the system keeps although the process
//! dies.
#![cfg(all(feature = "journal", unix))]

#[path = "common/folder.rs"]
mod folder;

use folder::Folder;
use larder::Cache;
use larder::store::{Durability, Journal, Loader, Store, StoreCache, WriteBack, WritePolicy};
use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

const CHILD: &str = "LARDER_CRASH_CHILD";

/// Another number by `LARDER_CRASHES`.
const CYCLES: usize = 300;

const KEYS: u32 = 16;
const WRITERS: u32 = 3;

/// A store that is a file: one line for each key and version, appended. What a
/// killed process has appended stays, as with the journal.
struct Lines {
    file: Mutex<File>,
    path: PathBuf,
}

impl Lines {
    fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join("store");
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        Ok(Lines { file: Mutex::new(file), path })
    }
}

/// Keys and versions, in the order in which they were appended. A last line
/// that the kill has cut off is none.
fn history(path: &Path) -> Vec<(u32, u64)> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<(u32, u64)> {
    let (key, version) = line.split_once(' ')?;
    Some((key.parse().ok()?, version.parse().ok()?))
}

impl Loader<u32, u64> for Lines {
    type Error = io::Error;
    fn load(&self, key: &u32) -> io::Result<Option<u64>> {
        let of_key = history(&self.path).into_iter().rfind(|(other, _)| other == key);
        Ok(of_key.map(|(_, version)| version))
    }
}

impl Store<u32, u64> for Lines {
    fn write(&self, key: &u32, version: &u64) -> io::Result<()> {
        self.file.lock().unwrap().write_all(format!("{key} {version}\n").as_bytes())
    }
    fn delete(&self, _: &u32) -> io::Result<()> {
        unreachable!("nothing is deleted")
    }
}

type Cached = StoreCache<u32, u64, Lines>;

fn open(folder: &Path, durability: Durability) -> Cached {
    let journal = Journal::options().durability(durability).open(folder.join("journal"));
    let settings = WriteBack::new().delay(Duration::from_millis(2)).batch(8);
    StoreCache::builder(Cache::new(100), Lines::open(folder).unwrap())
        .policy(WritePolicy::Back(settings))
        .journal(journal.unwrap())
        .build()
        .unwrap()
}

/// Writes until it is killed. Each key has one writer, so its versions are
/// acknowledged in order.
fn child(folder: &Path) -> ! {
    let durability = match env::var("LARDER_CRASH_DURABILITY").as_deref() {
        Ok("disk") => Durability::Disk,
        _ => Durability::Process,
    };
    let cache = open(folder, durability);
    let say = Mutex::new(io::stdout());
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (cache, say) = (&cache, &say);
            scope.spawn(move || {
                let mine: Vec<u32> = (0..KEYS).filter(|key| key % WRITERS == writer).collect();
                let mut next: BTreeMap<u32, u64> =
                    mine.iter().map(|key| (*key, cache.get(key).unwrap().unwrap_or(0))).collect();
                for key in mine.iter().cycle() {
                    let version = next.get_mut(key).unwrap();
                    *version += 1;
                    cache.put(*key, *version).unwrap();
                    // One system call a line, so that no line is cut.
                    let line = format!("ack {key} {version}\n");
                    say.lock().unwrap().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
    unreachable!("it writes until it is killed")
}

/// Starts the child, lets it acknowledge some writes, kills it, and returns
/// all that it has acknowledged.
fn cycle(folder: &Path, durability: &str, after: usize) -> Vec<(u32, u64)> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "a_killed_process_loses_nothing_that_it_acknowledged"])
        .env(CHILD, folder)
        .env("LARDER_CRASH_DURABILITY", durability)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    let mut take = |line: io::Result<String>| {
        acknowledged.extend(line.unwrap().strip_prefix("ack ").and_then(parse));
        acknowledged.len()
    };
    for line in lines.by_ref() {
        if take(line) >= after {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had said before it died is still in the pipe.
    for line in lines {
        take(line);
    }
    assert!(acknowledged.len() >= after, "the child ended by itself");
    acknowledged
}

/// What each key was acknowledged as last.
fn newest(events: &[(u32, u64)]) -> BTreeMap<u32, u64> {
    events.iter().copied().collect()
}

/// Opens what the killed process has left, stores it, and compares.
fn check(folder: &Path, acknowledged: &[(u32, u64)], durability: Durability) {
    let before = history(&folder.join("store")).len();
    let cache = open(folder, durability);
    for (key, version) in newest(acknowledged) {
        let found = cache.get(&key).unwrap().unwrap_or(0);
        assert!(found >= version, "{key} was acknowledged as {version} and is {found}");
    }
    assert!(cache.flush().failed.is_empty());
    drop(cache);
    let history = history(&folder.join("store"));
    for (key, version) in newest(acknowledged) {
        let versions: Vec<u64> =
            history.iter().filter(|(other, _)| *other == key).map(|(_, v)| *v).collect();
        assert!(versions.last() >= Some(&version), "{key}: {version} was not stored");
        // The first that was stored again may repeat what was stored before.
        assert!(versions.is_sorted(), "{key} was stored out of order: {versions:?}");
    }
    assert!(history.len() - before <= KEYS as usize, "more was replayed than was dirty");
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    if let Some(folder) = env::var_os(CHILD) {
        child(Path::new(&folder));
    }
    let cycles = env::var("LARDER_CRASHES").map_or(CYCLES, |cycles| cycles.parse().unwrap());
    let folder = Folder::new("crash");
    let (mut acknowledged, mut random) = (0, 1_u64);
    for at in 0..cycles {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let after = 1 + (random >> 33) as usize % 60;
        // Most cycles without syncs: what is tested is what is in the file.
        let (name, durability) = match at % 10 {
            0 => ("disk", Durability::Disk),
            _ => ("process", Durability::Process),
        };
        let events = cycle(folder.path(), name, after);
        acknowledged += events.len();
        check(folder.path(), &events, durability);
        // So that comparing does not take longer and longer.
        let kept = newest(&history(&folder.path().join("store")));
        let lines: String =
            kept.iter().map(|(key, version)| format!("{key} {version}\n")).collect();
        fs::write(folder.path().join("store"), lines).unwrap();
    }
    println!("{cycles} kills, {acknowledged} writes acknowledged, none lost");
}
