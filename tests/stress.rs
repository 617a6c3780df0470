//! Everything at once, for as long as one likes.
//!
//! Each key has one writer, whose versions only grow. So whatever happens, a
//! reader that has seen a version never sees an older one, and none that was
//! written before an invalidation that it knows to be over.
//!
//! A round for each policy by default; `LARDER_STRESS_SECONDS` makes it longer.

#[path = "common/dice.rs"]
mod dice;
#[path = "common/live.rs"]
#[allow(dead_code, reason = "shared with tests that look at all of it")]
mod live;

use dice::Dice;
use larder::{Cache, Cause, Compute, EntryOptions, Eviction, ManualClock, Outcome};
use live::{Ledger, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const THREADS: u64 = 4;
const KEYS: u64 = 48;
const OPERATIONS: u64 = 4000;
const TAGS: [&str; 3] = ["red", "green", "blue"];

/// What all threads know of a key.
#[derive(Default)]
struct Known {
    /// The last version whose write has returned.
    written: AtomicU64,
    /// Older ones are gone for good.
    floor: AtomicU64,
}

struct Trial {
    cache: Cache<u64, Value>,
    clock: ManualClock,
    ledger: Arc<Ledger>,
    told: Arc<AtomicU64>,
    /// Computed, and never stored.
    discarded: AtomicU64,
    known: Vec<Known>,
}

impl Trial {
    fn new(eviction: Eviction, round: u64) -> Self {
        let (clock, told) = (ManualClock::new(), Arc::<AtomicU64>::default());
        let mut builder = Cache::builder()
            .capacity(32)
            .eviction(eviction)
            .shards(if round % 2 == 0 { 1 } else { 4 })
            .time_to_live(Duration::from_secs(50))
            .time_to_idle(Duration::from_secs(20))
            .clock(clock.clone());
        // Without a listener, what leaves goes another way.
        if round % 3 != 0 {
            let told = Arc::clone(&told);
            builder = builder.on_removal(move |key: &u64, value: &Value, _: Cause| {
                assert_eq!(*key, value.key);
                told.fetch_add(1, Ordering::Relaxed);
            });
        }
        let known = (0..KEYS).map(|_| Known::default()).collect();
        let cache = builder.build().unwrap();
        Trial { cache, clock, ledger: Arc::default(), told, discarded: AtomicU64::new(0), known }
    }

    fn work(&self, me: u64, seed: u64) {
        let (mut dice, mut newest) = (Dice::new(seed * THREADS + me), [0; KEYS as usize]);
        for turn in 1..=OPERATIONS {
            let key = dice.below(KEYS);
            let own = key - key % THREADS + me;
            match dice.below(40) {
                0..=7 => self.write(own, |value| self.cache.insert(own, value)),
                8..=9 => self.write(own, |value| {
                    let tag = TAGS[dice.below(3) as usize];
                    let ttl = Duration::from_secs(dice.below(9));
                    self.cache.insert_with(own, value, EntryOptions::new().tag(tag).ttl(ttl));
                }),
                10..=12 => self.write(own, |value| {
                    let outcome = self.cache.entry(own).and_compute(|_| Compute::Replace(value));
                    if matches!(outcome, Outcome::Discarded(_)) {
                        self.discarded.fetch_add(1, Ordering::Relaxed);
                    }
                }),
                13 => self.forget(&[own], || drop(self.cache.remove(&own))),
                14..=15 => self.forget(&[key], || self.cache.invalidate(&key)),
                16 if turn % 8 == 0 => self.forget(&all(), || self.cache.invalidate_all()),
                17 if turn % 8 == 0 => self.forget(&all(), || self.cache.clear()),
                18 if turn % 4 == 0 => {
                    let is_even = |key: &u64, _: &Value| key % 2 == 0;
                    let even: Vec<u64> = all().into_iter().filter(|key| key % 2 == 0).collect();
                    self.forget(&even, || self.cache.invalidate_if(is_even));
                }
                19 => self.cache.invalidate_tag(TAGS[dice.below(3) as usize]),
                20 => self.cache.set_capacity(8 + dice.below(32) as usize),
                21 => self.clock.advance(Duration::from_secs(1)),
                22 => self.cache.run_maintenance(),
                23 => {
                    let floors: Vec<u64> = all().iter().map(|key| self.floor(*key)).collect();
                    for (key, value) in &self.cache {
                        check(key, &value, floors[key as usize], &mut newest);
                    }
                }
                choice => {
                    let floor = self.floor(key);
                    let value = match choice {
                        24..=27 => self.cache.peek(&key),
                        28..=33 => self.cache.read(&key, Arc::clone),
                        _ => self.cache.get(&key),
                    };
                    value.iter().for_each(|value| check(key, value, floor, &mut newest));
                }
            }
        }
    }

    fn floor(&self, key: u64) -> u64 {
        self.known[key as usize].floor.load(Ordering::SeqCst)
    }

    /// Only ever by the one writer of `key`.
    fn write(&self, key: u64, write: impl FnOnce(Value)) {
        let written = &self.known[key as usize].written;
        let version = written.load(Ordering::SeqCst) + 1;
        write(self.ledger.make(key, key % THREADS, version));
        written.store(version, Ordering::SeqCst);
    }

    /// What was written before is gone afterwards.
    fn forget(&self, keys: &[u64], forget: impl FnOnce()) {
        let written = |key: &u64| self.known[*key as usize].written.load(Ordering::SeqCst);
        let before: Vec<u64> = keys.iter().map(written).collect();
        forget();
        for (key, before) in keys.iter().zip(before) {
            self.known[*key as usize].floor.fetch_max(before + 1, Ordering::SeqCst);
        }
    }
}

fn all() -> Vec<u64> {
    (0..KEYS).collect()
}

fn check(key: u64, value: &Value, floor: u64, newest: &mut [u64; KEYS as usize]) {
    let (version, newest) = (value.version, &mut newest[key as usize]);
    assert_eq!(value.key, key, "a value of another key");
    assert!(version >= floor, "key {key}: {version} after all below {floor} were invalidated");
    assert!(version >= *newest, "key {key}: {version} after {newest}");
    *newest = version;
}

fn round(eviction: Eviction, number: u64) {
    let trial = Arc::new(Trial::new(eviction, number));
    let start = |me| {
        let trial = Arc::clone(&trial);
        thread::spawn(move || trial.work(me, number))
    };
    let threads: Vec<_> = (0..THREADS).map(start).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    trial.cache.validate().unwrap();
    trial.cache.clear();
    assert_eq!(trial.ledger.live(), 0, "{eviction}");
    let told = trial.told.load(Ordering::Relaxed);
    let stored = trial.ledger.made() - trial.discarded.load(Ordering::Relaxed);
    assert!([0, stored].contains(&told), "{eviction}: {told} of {stored} were told");
}

#[test]
fn no_reader_sees_a_version_go_back_whatever_happens() {
    let seconds = std::env::var("LARDER_STRESS_SECONDS").ok();
    let limit = Duration::from_secs(seconds.map_or(0, |text| text.parse().expect("seconds")));
    let (begin, mut number) = (Instant::now(), 0);
    loop {
        for eviction in Eviction::ALL {
            round(*eviction, number);
            number += 1;
        }
        if begin.elapsed() >= limit {
            break;
        }
    }
}
