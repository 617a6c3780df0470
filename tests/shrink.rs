//! A cache that has become small holds little memory, and nobody who uses it
//! meanwhile notices: entries move to lower slots under their readers.

#[path = "common/heap.rs"]
#[expect(unsafe_code, reason = "an allocator that counts")]
mod heap;
#[path = "common/live.rs"]
#[allow(dead_code, reason = "shared with tests that look at all of it")]
mod live;

use heap::held;
use larder::{Builder, Cache, EntryOptions, Eviction, ManualClock};
use live::{Ledger, Value};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Tests that look at the memory of the whole process take turns.
static TURN: Mutex<()> = Mutex::new(());

const LARGE: u64 = 50_000;
const SMALL: u64 = 1000;

/// So much more than a cache that was never larger. A quarter of the cells is
/// left free for what comes, and chunks and tables come in steps.
const FACTOR: i64 = 2;

/// Allocations of the readers, and what a thread leaves behind.
const NOISE: i64 = 50_000;

/// Two threads that read all the time, until they are told to stop.
struct Readers {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    fn of<V: Send + Sync + 'static>(
        cache: &Cache<u64, V>,
        keys: u64,
        look: impl Fn(u64, Option<&V>) + Copy + Send + 'static,
    ) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let read = |me| {
            let (cache, is_over) = (cache.clone(), Arc::clone(&is_over));
            let mut key = me;
            let read = move || {
                while !is_over.load(Ordering::Relaxed) {
                    key = (key * 5 + 3) % keys;
                    if cache.read(&key, |value| look(key, Some(value))).is_none() {
                        look(key, None);
                    }
                }
            };
            thread::spawn(read)
        };
        let threads = [1, 2].map(read).into();
        Readers { is_over, threads }
    }

    fn stop(self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// What the cache holds that `make` fills, in bytes.
fn weigh<V>(make: impl FnOnce() -> Cache<u64, V>) -> (Cache<u64, V>, i64) {
    let before = held();
    let cache = make();
    (cache, held() - before)
}

fn come_back(name: &str, builder: impl Fn() -> Builder<u64, [u64; 4]>, options: &EntryOptions) {
    let fill = |capacity: u64, keys: u64| {
        let cache: Cache<u64, [u64; 4]> = builder().capacity(capacity as usize).build().unwrap();
        (0..keys).for_each(|key| cache.insert_with(key, [key; 4], options.clone()));
        cache
    };
    let (small, always_small) = weigh(|| fill(SMALL, 5 * SMALL));
    let before = held();
    let cache = fill(LARGE, LARGE);
    let large = held() - before;
    let readers = Readers::of(&cache, LARGE, |key, value| {
        assert!(value.is_none_or(|value| *value == [key; 4]));
    });
    cache.set_capacity(SMALL as usize);
    readers.stop();
    cache.run_maintenance();
    let after = held() - before;
    println!("{name}: {large} bytes, then {after}; {always_small} if it was always small");
    let bound = always_small * FACTOR + NOISE;
    assert!(after <= bound, "{name}: {after}, not {always_small}");
    cache.validate().unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(cache.len(), SMALL as usize, "{name}");
    drop(small);
}

#[test]
fn memory_comes_back_when_the_capacity_is_lowered_whatever_the_policy() {
    let _turn = TURN.lock();
    for eviction in Eviction::ALL.iter().copied().chain([Eviction::AdaptiveByWeight]) {
        let builder = || Cache::builder().shards(2).eviction(eviction);
        come_back(&eviction.to_string(), builder, &EntryOptions::new());
    }
}

#[test]
fn memory_comes_back_with_weights_and_tags() {
    let _turn = TURN.lock();
    let builder = || Cache::builder().shards(2);
    come_back("weights", builder, &EntryOptions::new().weight(3));
    come_back("tags", builder, &EntryOptions::new().tag("all").tag("some"));
}

#[test]
fn memory_comes_back_with_deadlines() {
    let _turn = TURN.lock();
    let hour = Duration::from_secs(3600);
    let builder = || Cache::builder().shards(2).time_to_live(hour);
    come_back("time to live", builder, &EntryOptions::new());
    let builder = || Cache::builder().shards(2).time_to_idle(hour);
    come_back("time to idle", builder, &EntryOptions::new());
    let own = EntryOptions::new().ttl(hour).tti(hour / 2);
    come_back("lifetimes of their own", || Cache::builder().shards(2), &own);
}

#[test]
fn nothing_is_left_of_what_stood_beside_the_entries_when_all_are_invalidated() {
    let _turn = TURN.lock();
    let plain = || Cache::<u64, u64>::builder().capacity(LARGE as usize).shards(2);
    nothing_is_left("deadlines", || plain().time_to_idle(Duration::from_secs(9)));
    nothing_is_left("removals that were told", || plain().on_removal(|_, _, _| {}));
}

fn nothing_is_left(name: &str, builder: impl Fn() -> Builder<u64, u64>) {
    let (_, empty) = weigh(|| builder().build().unwrap());
    let (cache, full) = weigh(|| {
        let cache = builder().build().unwrap();
        (0..LARGE).for_each(|key| cache.insert(key, key));
        cache
    });
    let before = held();
    cache.invalidate_all();
    cache.run_maintenance();
    let left = full - (before - held());
    println!("{name}: {empty} bytes, {full} when it is full, then {left}");
    assert!(left <= empty * FACTOR + NOISE, "{name}: {left}, not {empty}");
    cache.validate().unwrap();
}

#[test]
fn a_million_entries_leave_no_more_than_a_thousand_need() {
    let _turn = TURN.lock();
    // Each shard takes its memory, and their number stays.
    let fill = |capacity: usize, keys: u64| {
        let cache = Cache::builder().capacity(capacity).shards(4).build().unwrap();
        (0..keys).for_each(|key| cache.insert(key, key));
        cache
    };
    let (small, always_small) = weigh(|| fill(1000, 5000));
    let before = held();
    let cache = fill(1_000_000, 1_000_000);
    let large = held() - before;
    cache.set_capacity(1000);
    let after = held() - before;
    println!("{large} bytes, then {after}; {always_small} if it was always small");
    assert!(after <= always_small * FACTOR + NOISE, "{after}, not {always_small}");
    cache.validate().unwrap();
    drop(small);
}

#[test]
fn what_stays_is_found_all_the_time_while_the_rest_leaves() {
    let _turn = TURN.lock();
    let ledger = Arc::<Ledger>::default();
    let cache: Cache<u64, Value> = Cache::builder().shards(2).capacity(1_000_000).build().unwrap();
    // Those that stay are spread over all slots.
    let stays = |key: u64| key % 100 == 0;
    (0..LARGE).for_each(|key| cache.insert(key, ledger.make(key, 0, 7)));
    let readers = Readers::of(&cache, LARGE, move |key, value| match value {
        Some(value) => assert_eq!((value.key, value.version), (key, 7)),
        None => assert!(!stays(key), "{key} was missed, and was there all the time"),
    });
    let before = held();
    for round in 0..3 {
        (0..LARGE).filter(|key| !stays(*key)).for_each(|key| cache.invalidate(&key));
        cache.run_maintenance();
        if round < 2 {
            let come = (0..LARGE).filter(|key| !stays(*key));
            come.for_each(|key| cache.insert(key, ledger.make(key, 0, 7)));
        }
    }
    readers.stop();
    cache.run_maintenance();
    cache.validate().unwrap();
    assert_eq!(cache.len() as u64, LARGE / 100);
    assert_eq!(ledger.live(), LARGE / 100, "nothing is lost, and nothing is kept");
    assert!(held() < before - 1_000_000, "{} bytes before, {} now", before, held());
    (0..LARGE).filter(|key| stays(*key)).for_each(|key| assert!(cache.contains_key(&key)));
    drop(cache);
    assert_eq!(ledger.live(), 0);
}

/// Were there two of a value for a moment, what one reader does to it would be
/// lost.
#[test]
fn there_is_only_one_of_a_value_that_moves() {
    let _turn = TURN.lock();
    const KEPT: u64 = 50;
    let cache: Cache<u64, AtomicU64> =
        Cache::builder().shards(1).capacity(1 << 20).build().unwrap();
    let sum = Arc::<AtomicU64>::default();
    let is_over = Arc::<AtomicBool>::default();
    let others = KEPT..20_000;
    others.clone().for_each(|key| cache.insert(key, AtomicU64::new(0)));
    (0..KEPT).for_each(|key| cache.insert(key, AtomicU64::new(0)));
    let count = |me: u64| {
        let (cache, sum, is_over) = (cache.clone(), Arc::clone(&sum), Arc::clone(&is_over));
        let count = move || {
            let (mut key, mut counted) = (me, 0);
            while !is_over.load(Ordering::Relaxed) {
                key = (key + 7) % KEPT;
                cache.read(&key, |value| value.fetch_add(1, Ordering::Relaxed)).unwrap();
                counted += 1;
            }
            sum.fetch_add(counted, Ordering::Relaxed);
        };
        thread::spawn(count)
    };
    let threads = [0, 3].map(count);
    for _ in 0..5 {
        // Away with those below, and those that are counted move there: but for
        // a few, to make way for which they have to move once more.
        others.clone().for_each(|key| cache.invalidate(&key));
        cache.run_maintenance();
        others.clone().for_each(|key| cache.insert(key, AtomicU64::new(0)));
    }
    is_over.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let counted = |key: u64| cache.read(&key, |value| value.load(Ordering::Relaxed)).unwrap();
    assert_eq!((0..KEPT).map(counted).sum::<u64>(), sum.load(Ordering::Relaxed));
    cache.validate().unwrap();
}

#[test]
fn exact_policies_keep_their_order_when_entries_move() {
    let _turn = TURN.lock();
    for eviction in [Eviction::Lru, Eviction::Fifo, Eviction::lfu(), Eviction::Sieve] {
        let builder = Cache::builder().shards(1).capacity(100_000).eviction(eviction);
        let cache: Cache<u64, u64> = builder.build().unwrap();
        (0..20_000).for_each(|key| cache.insert(key, key));
        (0..20_000).filter(|key| key % 100 != 7).for_each(|key| cache.invalidate(&key));
        (0..20_000).step_by(3).for_each(|key| _ = cache.get(&key));
        let before = cache.coldest(1000);
        cache.run_maintenance();
        assert_eq!(cache.coldest(1000), before, "{eviction}");
        cache.validate().unwrap();
    }
}

#[test]
fn deadlines_and_tags_go_with_their_entries() {
    let _turn = TURN.lock();
    let clock = ManualClock::new();
    let builder = Cache::builder().shards(1).capacity(100_000).clock(clock.clone());
    let cache: Cache<u64, u64> = builder.build().unwrap();
    let seconds = Duration::from_secs;
    for key in 0..20_000 {
        let options = EntryOptions::new().ttl(seconds(10 + key % 7));
        let options = if key % 2 == 0 { options.tag("even") } else { options.tti(seconds(5)) };
        cache.insert_with(key, key, options);
    }
    let kept: Vec<u64> = (0..20_000).filter(|key| key % 101 == 5).collect();
    (0..20_000).filter(|key| key % 101 != 5).for_each(|key| cache.invalidate(&key));
    let expiry = |key: &u64| cache.expires_in(key);
    let before: Vec<_> = kept.iter().map(expiry).collect();
    cache.run_maintenance();
    assert_eq!(kept.iter().map(expiry).collect::<Vec<_>>(), before);
    cache.validate().unwrap();
    // A use moves the deadline on where it may.
    clock.advance(seconds(4));
    kept.iter().for_each(|key| assert_eq!(cache.get(key), Some(*key)));
    clock.advance(seconds(4));
    kept.iter().for_each(|key| assert_eq!(cache.get(key), Some(*key)));
    clock.advance(seconds(3));
    let lives = |key: &u64| 10 + key % 7 > 11;
    kept.iter().for_each(|key| assert_eq!(cache.contains_key(key), lives(key), "{key}"));
    cache.invalidate_tag("even");
    let lives = |key: &u64| lives(key) && key % 2 == 1;
    kept.iter().for_each(|key| assert_eq!(cache.contains_key(key), lives(key), "{key}"));
    cache.run_maintenance();
    cache.validate().unwrap();
    clock.advance(seconds(10));
    cache.run_maintenance();
    assert!(cache.is_empty());
    cache.validate().unwrap();
}

/// A reader that holds a high entry keeps its memory, and nothing else.
#[test]
fn a_reader_in_the_way_is_waited_for_by_nobody() {
    let _turn = TURN.lock();
    let cache: Cache<u64, [u64; 8]> = Cache::builder().shards(1).capacity(100_000).build().unwrap();
    let before = held();
    (0..50_000).for_each(|key| cache.insert(key, [key; 8]));
    let last = 49_999;
    let full = held() - before;
    cache.read(&last, |value| {
        (0..last).filter(|key| key % 1000 != 0).for_each(|key| cache.invalidate(&key));
        cache.run_maintenance();
        assert!(held() - before > full / 2, "its chunk is there");
        cache.validate().unwrap();
        assert_eq!(*value, [last; 8]);
        (0..5000).for_each(|key| cache.insert(key, [key; 8]));
    });
    cache.set_capacity(50);
    let after = held() - before;
    assert!(after < full / 10, "{after} of {full}");
    cache.validate().unwrap();
    assert_eq!(cache.len(), 50);
}
