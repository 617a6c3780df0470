//! Everything switched on, for as many operations as one likes.
//!
//! One cache with a bound on weight, both lifetimes, tags, a listener and
//! statistics, over a store that fails now and then and is written back to.
//! Some keys belong to the store; the others are beside a database, and are
//! loaded, written, computed and invalidated. Every key has one writer, whose
//! versions only grow, so:
//!
//! - no reader ever sees a version go back, nor one that is older than a write
//!   that had returned before the read began;
//! - the values that are alive are never more than the bounds allow;
//! - after the first tenth, memory does not grow any more.
//!
//! `LARDER_SOAK_OPS` says how many operations, all policies together;
//! `tests/soak.sh` makes it a thousand million.

#[path = "common/dice.rs"]
mod dice;
#[path = "common/heap.rs"]
#[expect(unsafe_code, reason = "an allocator that counts")]
mod heap;
#[path = "common/live.rs"]
#[allow(dead_code, reason = "shared with tests that look at all of it")]
mod live;

use dice::Dice;
use larder::store::{Loader, Overflow, Store, StoreCache, WriteBack, WritePolicy};
use larder::{Cache, Cause, Compute, EntryOptions, Eviction, ManualClock};
use live::{Ledger, Value};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const THREADS: u64 = 4;
/// Keys below are the store's, the others are beside a database.
const STORED: u64 = 2048;
const KEYS: u64 = 3 * STORED;
const CAPACITY: u64 = 1024;
const SHARDS: u64 = 4;
const DIRTY_MAX: u64 = 256;
/// Operations before the first tenth: tables have grown to where they stay.
const WARM_UP: u64 = 100_000;
/// After a tenth of so many, memory stays within a tenth of what it is.
const LONG: u64 = 10_000_000;
/// The queue's table of keys, 184 bytes each and one to find them by, doubles once
/// if it is full of graves just while the queue is nearly full. That may be soon or
/// late.
const DOUBLING: i64 = 2 * DIRTY_MAX as i64 * 185;
/// What readers may hold back in a shard, and one more.
const LIMBO: u64 = 65;
const TAGS: [&str; 3] = ["red", "green", "blue"];

/// What the store, or the database, knows of a key.
#[derive(Default)]
struct Row {
    /// 0 if there is none.
    version: AtomicU64,
    /// The highest there ever was.
    highest: AtomicU64,
    /// The last whose write has returned to its writer.
    acknowledged: AtomicU64,
}

/// Rows of the store. It fails every so often.
struct Table {
    rows: Arc<[Row]>,
    ledger: Arc<Ledger>,
    calls: AtomicU64,
    /// Whoever holds it keeps all writes waiting.
    gate: Arc<Mutex<()>>,
}

impl Table {
    fn write(&self, key: u64, version: u64) -> Result<(), &'static str> {
        drop(self.gate.lock().unwrap());
        if self.calls.fetch_add(1, Ordering::Relaxed) % 61 == 60 {
            return Err("down");
        }
        let row = &self.rows[key as usize];
        if version > 0 {
            let before = row.highest.swap(version, Ordering::SeqCst);
            assert!(before <= version, "key {key} is written back from {before} to {version}");
        }
        row.version.store(version, Ordering::SeqCst);
        Ok(())
    }
}

impl Loader<u64, Value> for Table {
    type Error = &'static str;

    fn load(&self, key: &u64) -> Result<Option<Value>, &'static str> {
        let version = self.rows[*key as usize].version.load(Ordering::SeqCst);
        Ok((version > 0).then(|| self.ledger.make(*key, key % THREADS, version)))
    }
}

impl Store<u64, Value> for Table {
    fn write(&self, key: &u64, value: &Value) -> Result<(), &'static str> {
        Table::write(self, *key, value.version)
    }

    fn delete(&self, key: &u64) -> Result<(), &'static str> {
        Table::write(self, *key, 0)
    }
}

struct Soak {
    cache: StoreCache<u64, Value, Table>,
    clock: ManualClock,
    ledger: Arc<Ledger>,
    rows: Arc<[Row]>,
    told: Arc<AtomicU64>,
    gate: Arc<Mutex<()>>,
}

/// What a thread knows.
struct Reader {
    dice: Dice,
    newest: Vec<u64>,
    /// The version that it has written last, of each key.
    written: Vec<u64>,
}

impl Soak {
    fn new(eviction: Eviction) -> Self {
        let (clock, told, ledger) = (ManualClock::new(), Arc::default(), Arc::<Ledger>::default());
        let rows: Arc<[Row]> = (0..KEYS).map(|_| Row::default()).collect();
        let listener = {
            let told = Arc::<AtomicU64>::clone(&told);
            move |key: &u64, value: &Value, _: Cause| {
                assert_eq!(*key, value.key);
                told.fetch_add(1, Ordering::Relaxed);
            }
        };
        let cache = Cache::builder()
            .capacity(CAPACITY as usize)
            .weight_capacity(2 * CAPACITY)
            .weigher(|_, value: &Value| 1 + (value.version % 4) as u32)
            .eviction(eviction)
            .shards(SHARDS as usize)
            .time_to_live(Duration::from_secs(50))
            .time_to_idle(Duration::from_secs(20))
            .clock(clock.clone())
            .on_removal(listener)
            .record_stats()
            .build()
            .unwrap();
        let back = WriteBack::new()
            .workers(1)
            .batch(32)
            .delay(Duration::from_millis(1))
            .max_dirty(DIRTY_MAX as usize)
            .overflow(Overflow::Block { timeout: Duration::MAX })
            .backoff(Duration::from_micros(100), Duration::from_millis(1))
            .max_attempts(1000);
        let gate = Arc::<Mutex<()>>::default();
        let table = Table {
            rows: Arc::clone(&rows),
            ledger: Arc::clone(&ledger),
            calls: AtomicU64::new(0),
            gate: Arc::clone(&gate),
        };
        let cache = StoreCache::builder(cache, table).policy(WritePolicy::Back(back));
        let cache = cache.build().unwrap();
        Soak { cache, clock, ledger, rows, told, gate }
    }

    /// Fills the queue of writes: it has to have its largest size before memory
    /// can be compared.
    fn fill_queue(&self, readers: &mut [Reader]) {
        let gate = self.gate.lock().unwrap();
        for key in 0..DIRTY_MAX {
            let value = self.next(&mut readers[(key % THREADS) as usize], key);
            let version = value.version;
            self.cache.put(key, value).unwrap();
            self.acknowledge(key, version);
        }
        drop(gate);
        self.cache.flush();
    }

    fn work(&self, me: u64, reader: &mut Reader, operations: u64) {
        for turn in 0..operations {
            let key = reader.dice.below(KEYS);
            let key = reader.dice.below(key + 1);
            let own = key - key % THREADS + me;
            if turn % 512 == 511 {
                self.upset(reader);
            } else if key < STORED {
                self.use_store(reader, key, own);
            } else {
                self.use_cache(reader, key, own);
            }
        }
    }

    /// Keys of the store: only the cache over it touches them.
    fn use_store(&self, reader: &mut Reader, key: u64, own: u64) {
        match reader.dice.below(16) {
            0..=2 => {
                let value = self.next(reader, own);
                let version = value.version;
                self.cache.put(own, value).unwrap();
                self.acknowledge(own, version);
            }
            3 if own % 8 < 4 => {
                // A deleted row counts as a version of its own.
                let version = self.next(reader, own).version;
                self.cache.delete(own).unwrap();
                self.acknowledge(own, version);
            }
            4 => {
                let keys = [key, own, key / 2];
                let floors = keys.map(|key| self.floor(key));
                let found = self.cache.get_many(&keys).unwrap();
                for ((key, floor), value) in keys.into_iter().zip(floors).zip(found) {
                    reader.check(key, floor, value.as_ref());
                }
            }
            _ => {
                let floor = self.floor(key);
                let value = self.cache.get(&key).unwrap();
                // Nobody deletes the others.
                assert!(value.is_some() || key % 8 < 4 || floor == 0, "key {key} is gone");
                reader.check(key, floor, value.as_ref());
            }
        }
    }

    /// Keys beside a database, which is always written first.
    fn use_cache(&self, reader: &mut Reader, key: u64, own: u64) {
        let cache = self.cache.cache();
        let load = |key: u64| {
            let version = self.rows[key as usize].version.load(Ordering::SeqCst);
            self.ledger.make(key, key % THREADS, version)
        };
        let floor = self.floor(key);
        let choice = reader.dice.below(32);
        let found = match choice {
            0..=2 => return self.commit(reader, own, |value| cache.insert(own, value)),
            3 => {
                let tag = TAGS[reader.dice.below(3) as usize];
                let ttl = Duration::from_secs(reader.dice.below(9));
                let options = EntryOptions::new().tag(tag).ttl(ttl);
                return self.commit(reader, own, |value| cache.insert_with(own, value, options));
            }
            4..=5 => {
                return self.commit(reader, own, |value| {
                    // If it is discarded, the older value is gone as well.
                    let _ = cache.entry(own).and_compute(|_| Compute::Replace(value));
                });
            }
            6 => return self.commit(reader, own, |_| cache.invalidate(&own)),
            7 => return drop(cache.remove(&own)),
            8 => return cache.invalidate(&key),
            9..=13 => Some(cache.get_with(&key, || load(key))),
            14 => cache.try_get_with(&key, || Err::<Value, _>(())).ok(),
            15 => Some(pollster::block_on(cache.get_with_async(&key, async { load(key) }))),
            16 => Some(cache.entry(key).or_insert_with(|| load(key))),
            17..=18 => cache.peek(&key),
            19..=22 => cache.read(&key, Arc::clone),
            _ => cache.get(&key),
        };
        reader.check(key, floor, found.as_ref());
    }

    /// What concerns many keys.
    fn upset(&self, reader: &mut Reader) {
        let cache = self.cache.cache();
        match reader.dice.below(16) {
            0 => cache.invalidate_all(),
            1 => cache.clear(),
            2 => cache.invalidate_if(|key, _| key % 5 == 0),
            3..=5 => cache.invalidate_tag(TAGS[reader.dice.below(3) as usize]),
            6 => cache.set_capacity((CAPACITY - reader.dice.below(CAPACITY / 2)) as usize),
            7 => cache.set_weight_capacity(2 * CAPACITY - reader.dice.below(CAPACITY)),
            8..=11 => self.clock.advance(Duration::from_millis(500)),
            12 => cache.run_maintenance(),
            13 => assert!(self.cache.flush_timeout(Duration::from_secs(60)).is_ok()),
            14 => {
                let from = reader.dice.below(64) as usize;
                let floors: Vec<u64> = (0..KEYS).map(|key| self.floor(key)).collect();
                for (key, value) in cache.iter().skip(from).take(64) {
                    // The queue is the truth for keys of the store, and not asked here.
                    if key >= STORED {
                        reader.check(key, floors[key as usize], Some(&value));
                    }
                }
            }
            _ => assert!(cache.hottest(8).len() <= 8),
        }
    }

    fn floor(&self, key: u64) -> u64 {
        self.rows[key as usize].acknowledged.load(Ordering::SeqCst)
    }

    /// The next value of a key, by its only writer.
    fn next(&self, reader: &mut Reader, key: u64) -> Value {
        let version = &mut reader.written[key as usize];
        *version += 1;
        self.ledger.make(key, key % THREADS, *version)
    }

    /// First the database, then the cache.
    fn commit(&self, reader: &mut Reader, key: u64, tell_cache: impl FnOnce(Value)) {
        let value = self.next(reader, key);
        let version = value.version;
        self.rows[key as usize].version.store(version, Ordering::SeqCst);
        tell_cache(value);
        self.acknowledge(key, version);
    }

    fn acknowledge(&self, key: u64, version: u64) {
        self.rows[key as usize].acknowledged.store(version, Ordering::SeqCst);
    }
}

impl Reader {
    fn new(seed: u64) -> Self {
        let none = vec![0; KEYS as usize];
        Reader { dice: Dice::new(seed), newest: none.clone(), written: none }
    }

    fn check(&mut self, key: u64, floor: u64, value: Option<&Value>) {
        let Some(value) = value else { return };
        let (version, newest) = (value.version, &mut self.newest[key as usize]);
        assert_eq!(value.key, key, "a value of another key");
        assert!(version >= floor, "key {key}: {version} is read after {floor} was acknowledged");
        assert!(version >= *newest, "key {key}: {version} after {newest}");
        *newest = version;
    }
}

/// In a tenth of the operations at a time, so that memory is looked at while
/// nobody works. Returns what was held then.
fn soak(eviction: Eviction, operations: u64) -> Vec<i64> {
    let soak = Soak::new(eviction);
    let mut readers: Vec<Reader> = (0..THREADS).map(Reader::new).collect();
    soak.fill_queue(&mut readers);
    let mut held = Vec::new();
    for tenth in 0..=10 {
        let part = if tenth == 0 { WARM_UP } else { operations / 10 };
        thread::scope(|scope| {
            for (me, reader) in readers.iter_mut().enumerate() {
                let soak = &soak;
                scope.spawn(move || soak.work(me as u64, reader, part / THREADS));
            }
        });
        soak.cache.flush();
        settle(&soak);
        soak.cache.cache().validate().unwrap();
        held.push(heap::held());
    }
    let bound = CAPACITY + 2 * DIRTY_MAX + SHARDS * LIMBO + 4 * THREADS;
    assert!(soak.ledger.live_max() <= bound, "{} of {bound}", soak.ledger.live_max());
    end(&soak);
    held.split_off(1)
}

/// Empties the cache, so that what it holds besides can be compared: whatever
/// was kept and should not have been is not hidden behind entries. It was full
/// right before, so what a policy learns in has been made.
fn settle(soak: &Soak) {
    let cache = soak.cache.cache();
    cache.set_capacity(CAPACITY as usize);
    cache.set_weight_capacity(2 * CAPACITY);
    for key in STORED..STORED + 2 * CAPACITY {
        let version = soak.rows[key as usize].version.load(Ordering::SeqCst);
        cache.get_with(&key, || soak.ledger.make(key, key % THREADS, version));
    }
    cache.clear();
    cache.run_maintenance();
}

fn end(soak: &Soak) {
    let report = soak.cache.close(Duration::from_secs(60));
    assert!(report.is_clean(), "{report:?}");
    for (key, row) in soak.rows.iter().enumerate().take(STORED as usize) {
        let (acknowledged, highest) = (&row.acknowledged, &row.highest);
        assert!(highest.load(Ordering::SeqCst) <= acknowledged.load(Ordering::SeqCst), "{key}");
    }
    soak.cache.cache().clear();
    assert_eq!(soak.cache.cache().len(), 0);
    // The worker lets go of its last batch a moment after it was stored.
    let begin = Instant::now();
    while soak.ledger.live() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(60), "{} values live", soak.ledger.live());
        thread::yield_now();
    }
    let stats = soak.cache.cache().stats();
    assert_eq!(stats.listener_panics, 0);
    // All that was stored has left, and all that left was told.
    let left = stats.removed + stats.replaced + stats.expired + stats.evicted + stats.invalidated;
    assert_eq!(left + stats.rejected, soak.told.load(Ordering::Relaxed));
}

#[test]
fn with_everything_on_nothing_goes_back_and_memory_stays_flat() {
    let given = std::env::var("LARDER_SOAK_OPS").ok();
    let operations = given.map_or(400_000, |text| text.parse::<u64>().expect("a number"));
    for eviction in Eviction::ALL {
        let begin = Instant::now();
        let part = operations / Eviction::ALL.len() as u64;
        let held = soak(*eviction, part);
        let rate = part as f64 / begin.elapsed().as_secs_f64();
        println!("{eviction}: {part} operations, {rate:.0} a second, {held:?} bytes held");
        let (first, last) = (held[0], held[9]);
        // A short run has not yet met all that makes a table grow.
        let slack = if part < LONG { 256 << 10 } else { 0 };
        let most = first + first / 10 + DOUBLING + slack;
        assert!(last <= most, "{eviction}: {first} bytes held, and {last} at the end");
    }
}
