//! What a power failure, or a damaged disk, does to the journal.
//!
//! A simulated disk drops what was not synced. From one run of writes and
//! flushes, images are made of what the disk may hold after a failure at any
//! moment: all that was synced, and of the rest any part, down to single
//! sectors. Each is opened and compared with what was acknowledged by then.
#![cfg(feature = "journal")]

#[path = "common/disk.rs"]
mod disk;

use disk::{Disk, Step};
use larder::store::{Journal, JournalError, Loader, Store, StoreCache, WriteBack, WritePolicy};
use larder::{Cache, ManualClock};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Mutex;

/// A version, and some ballast, so that entries fill pages.
type Value = (u64, Vec<u8>);

/// How many images are made at least. Another number by `LARDER_IMAGES`.
const IMAGES: usize = 600;

/// A generator that gives the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// Something that happened to a version of a key at a moment of the disk.
#[derive(Clone, Copy)]
struct Event {
    key: u32,
    version: u64,
    moment: usize,
}

/// Notes what reaches it.
struct Notes {
    disk: Disk,
    stored: Mutex<Vec<Event>>,
}

impl Loader<u32, Value> for Notes {
    type Error = Infallible;
    fn load(&self, _: &u32) -> Result<Option<Value>, Infallible> {
        Ok(None)
    }
}

impl Store<u32, Value> for Notes {
    fn write(&self, key: &u32, value: &Value) -> Result<(), Infallible> {
        let event = Event { key: *key, version: value.0, moment: self.disk.moment() };
        self.stored.lock().unwrap().push(event);
        Ok(())
    }
    fn delete(&self, _: &u32) -> Result<(), Infallible> {
        unreachable!("the run deletes nothing")
    }
}

/// What a run has left behind.
struct Run {
    /// When the empty journal was there. In a folder, it gets its name then.
    created: usize,
    steps: Vec<Step>,
    begun: Vec<Event>,
    acknowledged: Vec<Event>,
    stored: Vec<Event>,
}

fn run(random: &mut Random) -> Run {
    let disk = Disk::default();
    let notes = Notes { disk: disk.clone(), stored: Mutex::default() };
    let settings = WriteBack::new().workers(0).batch(8).drop_deadline(std::time::Duration::ZERO);
    let cache = StoreCache::builder(Cache::new(1000), notes)
        .policy(WritePolicy::Back(settings))
        .clock(ManualClock::new())
        .journal(Journal::options().open_on(disk.clone()).unwrap())
        .build()
        .unwrap();
    let created = disk.moment();
    let (mut begun, mut acknowledged) = (Vec::new(), Vec::new());
    for version in 1..=150 {
        let key = random.below(20) as u32;
        let ballast = vec![version as u8; random.below(900) as usize];
        begun.push(Event { key, version, moment: disk.moment() });
        cache.put(key, (version, ballast)).unwrap();
        acknowledged.push(Event { key, version, moment: disk.moment() });
        if random.below(10) == 0 {
            cache.flush_key(&key);
        }
    }
    let stored = cache.store().stored.lock().unwrap().clone();
    let steps = disk.steps();
    Run { created, steps, begun, acknowledged, stored }
}

/// The newest version of each key by then.
fn newest(events: &[Event], moment: usize) -> BTreeMap<u32, u64> {
    let events = events.iter().filter(|event| event.moment <= moment);
    events.map(|event| (event.key, event.version)).collect()
}

fn check(run: &Run, moment: usize, image: Vec<u8>) {
    let opened = Journal::<u32, Value>::options().open_on(Disk::holding(image));
    let journal = opened.unwrap_or_else(|error| panic!("after step {moment}: {error}"));
    // The first thing that a cache does with it is to store all of it, in order.
    let notes = Notes { disk: Disk::default(), stored: Mutex::default() };
    let cache = StoreCache::builder(Cache::new(1000), notes)
        .policy(WritePolicy::Back(WriteBack::new().workers(0)))
        .journal(journal)
        .build()
        .unwrap();
    cache.flush();
    let replayed = cache.store().stored.lock().unwrap().clone();
    let versions: Vec<u64> = replayed.iter().map(|event| event.version).collect();
    assert!(versions.is_sorted(), "after step {moment}: replayed as {versions:?}");
    let replayed = newest(&replayed, usize::MAX);
    let (begun, stored) = (newest(&run.begun, moment), newest(&run.stored, moment));
    for (key, acknowledged) in newest(&run.acknowledged, moment) {
        let known = replayed.get(&key).max(stored.get(&key)).copied().unwrap_or(0);
        assert!(known >= acknowledged, "after step {moment}: {key} is {known}, not {acknowledged}");
    }
    for (key, version) in &replayed {
        assert!(begun.get(key) >= Some(version), "after step {moment}: nobody wrote {version}");
    }
}

#[test]
fn no_power_failure_loses_what_was_acknowledged() {
    let images = std::env::var("LARDER_IMAGES").map_or(IMAGES, |images| images.parse().unwrap());
    let mut random = Random(7);
    let (mut made, mut rounds) = (0, 0);
    while made < images {
        let run = run(&mut random);
        rounds += 1;
        let syncs: Vec<usize> = (0..run.steps.len())
            .filter(|at| *at >= run.created && matches!(run.steps[*at], Step::Sync))
            .collect();
        let mut synced = Vec::new();
        let mut done = 0;
        for window in syncs.windows(2) {
            let [sync, next] = *window else { unreachable!() };
            run.steps[done..=sync].iter().for_each(|step| step.apply(&mut synced));
            done = sync + 1;
            for _ in 0..2 {
                // Everything up to `sync` is there; of what was written from
                // there to the failure, any part.
                let failure = sync + 1 + random.below((next - sync) as u64) as usize;
                let mut image = synced.clone();
                let odds = random.below(5);
                for step in &run.steps[sync + 1..failure] {
                    step.apply_torn(&mut image, || random.below(4) < odds);
                }
                check(&run, failure, image);
                made += 1;
            }
        }
    }
    println!("{made} images of {rounds} runs");
}

#[test]
fn a_damaged_file_is_refused_and_never_half_applied() {
    let disk = Disk::default();
    let settings = WriteBack::new().workers(0).drop_deadline(std::time::Duration::ZERO);
    let notes = Notes { disk: Disk::default(), stored: Mutex::default() };
    let cache = StoreCache::builder(Cache::new(1000), notes)
        .policy(WritePolicy::Back(settings))
        .clock(ManualClock::new())
        .journal(Journal::options().open_on(disk.clone()).unwrap())
        .build()
        .unwrap();
    for key in 0..200 {
        cache.put(key, (u64::from(key), vec![key as u8; 50])).unwrap();
    }
    drop(cache);
    let sound = disk.data();
    let in_use: Vec<usize> = (0..sound.len()).filter(|at| sound[*at] != 0).collect();
    let (mut refused, mut whole) = (0, 0);
    for at in in_use.iter().step_by(in_use.len() / 1000 + 1) {
        let mut damaged = sound.clone();
        damaged[*at] ^= 0x10;
        match Journal::<u32, Value>::options().open_on(Disk::holding(damaged)) {
            Ok(journal) => {
                assert_eq!(journal.len(), 200, "byte {at}: some is missing");
                whole += 1;
            }
            Err(JournalError::Io { reason }) => panic!("byte {at}: told as {reason}"),
            Err(_) => refused += 1,
        }
    }
    println!("{refused} refused, {whole} did not matter");
    assert!(refused > 100, "the damage has to be somewhere where it matters");
}
