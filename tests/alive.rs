//! How many values live, and how much memory is held, whoever reads or stalls.

#[path = "common/heap.rs"]
#[expect(unsafe_code, reason = "an allocator that counts")]
mod heap;
#[path = "common/live.rs"]
#[allow(dead_code, reason = "shared with tests that look at all of it")]
mod live;

use heap::held;

use larder::{Builder, Cache, ManualClock};
use live::{Ledger, Value};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Tests that look at the memory of the whole process take turns.
static TURN: Mutex<()> = Mutex::new(());

/// A value that is no `Arc`: a reader uses the one in the cache.
struct Owned(Value);

impl Clone for Owned {
    fn clone(&self) -> Self {
        Owned(Arc::clone(&self.0))
    }
}

fn make(ledger: &Arc<Ledger>, key: u64, version: u64) -> Owned {
    Owned(ledger.make(key, 0, version))
}

/// No scope: ThreadSanitizer does not see how the standard library ends one.
fn join(threads: Vec<thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// What a cache may hold back for readers that were interrupted.
const LIMBO_MAX: u64 = 64;

#[test]
fn few_values_live_beyond_the_capacity_however_many_threads_there_are() {
    let _turn = TURN.lock();
    const SHARDS: u64 = 4;
    const CAPACITY: u64 = 64;
    for threads in [2, 4, 8, 32] {
        let cache = Cache::builder().capacity(CAPACITY as usize).shards(SHARDS as usize);
        let cache: Cache<u64, Owned> = cache.build().unwrap();
        let ledger = Arc::<Ledger>::default();
        let work = |me: u64| {
            let (cache, ledger) = (cache.clone(), Arc::clone(&ledger));
            thread::spawn(move || {
                for turn in 0..60_000 / threads {
                    // Few keys are read by all, so that they meet.
                    let key = (turn * 7 + me) % 3;
                    if (turn + me) % 4 == 0 {
                        let key = if turn % 3 == 0 { key } else { turn % 200 };
                        cache.insert(key, make(&ledger, key, turn));
                    } else if turn % 2 == 0 {
                        cache.read(&key, |value| assert_eq!(value.0.key, key));
                    } else {
                        cache.get(&key).inspect(|value| assert_eq!(value.0.key, key));
                    }
                }
            })
        };
        join((0..threads).map(work).collect());
        // What is held back, and one for each thread: what it has made, or taken
        // out, or looks at.
        let bound = CAPACITY + SHARDS + threads + LIMBO_MAX;
        let (most, now) = (ledger.live_max(), ledger.live());
        println!("{threads} threads: {} beyond the capacity", most.saturating_sub(CAPACITY));
        assert!(most <= bound, "{most} of {bound} with {threads} threads");
        cache.run_maintenance();
        assert!(ledger.live() <= CAPACITY, "{now} before, {} now", ledger.live());
        drop(cache);
        assert_eq!(ledger.live(), 0);
    }
}

#[test]
fn readers_of_one_hot_key_do_not_hold_back_its_older_values() {
    let _turn = TURN.lock();
    let cache: Cache<u64, Owned> = Cache::builder().capacity(10).shards(1).build().unwrap();
    let ledger = Arc::<Ledger>::default();
    let is_over = Arc::<AtomicBool>::default();
    cache.insert(1, make(&ledger, 1, 0));
    let read = |_| {
        let (cache, is_over) = (cache.clone(), Arc::clone(&is_over));
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                assert!(cache.contains_key(&1));
            }
        })
    };
    let readers = (0..4).map(read).collect();
    (0..5000).for_each(|version| cache.insert(1, make(&ledger, 1, version)));
    is_over.store(true, Ordering::Relaxed);
    join(readers);
    // The new one, the old one, and what is in limbo, of which one visit may
    // find a little more than it leaves.
    assert!(ledger.live_max() <= 2 + LIMBO_MAX + 1, "{}", ledger.live_max());
}

#[test]
fn a_reader_that_stalls_holds_back_one_value_while_its_key_is_overwritten() {
    let cache: Cache<u64, Owned> = Cache::new(100);
    let ledger = Arc::<Ledger>::default();
    cache.insert(1, make(&ledger, 1, 0));
    let seen = cache.read(&1, |value| {
        let (cache, ledger) = (cache.clone(), Arc::clone(&ledger));
        let write = move || (1..=100_000).for_each(|i| cache.insert(1, make(&ledger, 1, i)));
        join(vec![thread::spawn(write)]);
        value.0.version
    });
    assert_eq!(seen, Some(0));
    assert!(ledger.live_max() <= 3, "{}: held, there, new", ledger.live_max());
    cache.insert(2, make(&ledger, 2, 0));
    cache.run_maintenance();
    assert_eq!(ledger.live(), cache.len() as u64);
}

#[test]
fn what_nobody_reads_is_dropped_at_once() {
    let cache: Cache<u64, Owned> = Cache::new(100);
    let ledger = Arc::<Ledger>::default();
    cache.insert(1, make(&ledger, 1, 0));
    cache.insert(1, make(&ledger, 1, 1));
    assert_eq!(ledger.live(), 1);
    cache.invalidate(&1);
    assert_eq!(ledger.live(), 0);
    cache.insert(1, make(&ledger, 1, 2));
    drop(cache.remove(&1));
    assert_eq!(ledger.live(), 0);
    (0..1000).for_each(|key| cache.insert(key, make(&ledger, key, 0)));
    assert_eq!(ledger.live(), 100);
    cache.clear();
    assert_eq!(ledger.live(), 0);
}

#[test]
fn thousands_of_threads_that_came_and_went_leave_nothing_behind() {
    let _turn = TURN.lock();
    let cache: Cache<u64, u64> = Cache::new(1000);
    (0..1000).for_each(|key| cache.insert(key, key));
    let visit = |threads: u64| {
        for key in 0..threads {
            let cache = cache.clone();
            // Two readings at a time, so two records.
            let read = move || cache.read(&(key % 1000), |_| cache.get(&1));
            assert_eq!(thread::spawn(read).join().unwrap(), Some(Some(1)));
        }
    };
    visit(100);
    let before = held();
    visit(3000);
    let grown = held() - before;
    assert!(grown < 20_000, "3000 threads left {grown} bytes behind");
}

#[test]
fn memory_is_given_back_when_everything_was_invalidated() {
    let _turn = TURN.lock();
    let before = held();
    let cache: Cache<u64, [u64; 8]> = Cache::builder().capacity(100_000).shards(2).build().unwrap();
    let empty = held() - before;
    (0..100_000).for_each(|key| cache.insert(key, [key; 8]));
    let full = held() - before;
    cache.invalidate_all();
    cache.run_maintenance();
    let after = held() - before;
    assert!(full > 8_000_000, "{full}");
    assert!(after < empty + full / 20, "{after} bytes of {full} are still held; {empty} at first");
}

#[test]
fn a_drop_that_panics_does_not_end_the_maintenance_thread() {
    let _turn = TURN.lock();
    struct Counted(Arc<AtomicUsize>, bool);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            assert!(!self.1, "this drop panics, as the test has it");
        }
    }
    let (clock, dropped) = (ManualClock::new(), Arc::new(AtomicUsize::new(0)));
    let builder = Cache::builder().capacity(100).clock(clock.clone());
    let cache: Cache<u64, Counted> = builder
        .time_to_live(Duration::from_secs(60))
        .maintenance(Duration::from_millis(1))
        .build()
        .unwrap();
    for (round, panics) in [true, true, false].into_iter().enumerate() {
        cache.insert(1, Counted(Arc::clone(&dropped), panics));
        clock.advance(Duration::from_secs(60));
        while dropped.load(Ordering::SeqCst) == round {
            thread::yield_now();
        }
    }
}

#[test]
fn an_idle_cache_with_a_maintenance_thread_gives_back_what_has_expired() {
    let _turn = TURN.lock();
    const ENTRIES: u64 = 100_000;
    let (before, clock) = (held(), ManualClock::new());
    let builder = Cache::builder().capacity(ENTRIES as usize).shards(2).clock(clock.clone());
    let cache: Cache<u64, [u64; 8]> = builder
        .time_to_live(Duration::from_secs(60))
        .maintenance(Duration::from_millis(1))
        .build()
        .unwrap();
    let empty = held() - before;
    let mut left = Vec::new();
    for _ in 0..3 {
        (0..ENTRIES).for_each(|key| cache.insert(key, [key; 8]));
        let full = held() - before;
        assert!(full > 8_000_000, "{full}");
        clock.advance(Duration::from_secs(60));
        while !cache.is_empty() || held() - before > full / 2 {
            thread::yield_now();
        }
        // What it has begun, it has done when this returns.
        cache.run_maintenance();
        left.push(held() - before - empty);
    }
    // The policy's queues, and what readers may still look at.
    assert!(
        left.iter().all(|bytes| *bytes < 24 * ENTRIES as i64),
        "{left:?} bytes; {empty} at first"
    );
    assert!((left[2] - left[0]).abs() < ENTRIES as i64, "{left:?} bytes are left");
}

#[test]
fn a_deadline_takes_a_few_bytes_of_each_entry_and_none_where_there_are_none() {
    let _turn = TURN.lock();
    const ENTRIES: u64 = 200_000;
    type Form = fn(Builder<u64, u64>) -> Builder<u64, u64>;
    const HOUR: Duration = Duration::from_secs(3600);
    let bytes = |form: Form| {
        let before = held();
        let builder = Cache::builder().capacity(ENTRIES as usize).shards(2);
        let cache = form(builder).build().unwrap();
        (0..ENTRIES).for_each(|key| cache.insert(key, key));
        let after = held();
        drop(cache);
        (after - before) as f64 / ENTRIES as f64
    };
    let without = bytes(|builder| builder);
    let forms: [(&str, f64, Form); 5] = [
        ("time to live", 6.0, |builder| builder.time_to_live(HOUR)),
        ("with jitter", 6.0, |builder| builder.time_to_live(HOUR).ttl_jitter(0.1)),
        ("time to idle", 6.0, |builder| builder.time_to_idle(HOUR)),
        ("both", 11.0, |builder| builder.time_to_live(HOUR).time_to_idle(HOUR)),
        ("of its own", 11.0, |builder| builder.expiry(larder::after_access(|_, _| HOUR))),
    ];
    for (name, most, form) in forms {
        let more = bytes(form) - without;
        println!("{name}: {more:.2} bytes more than {without:.2}");
        assert!(more <= most, "{name}: {more} bytes an entry");
    }
}

#[test]
fn a_huge_capacity_costs_nothing_until_it_is_used() {
    let _turn = TURN.lock();
    let before = held();
    // By default, as many shards as four times the processors.
    let builder = Cache::<u64, u64>::builder().capacity(usize::MAX).shards(16);
    let cache = builder.build().unwrap();
    cache.insert(1, 1);
    let grown = held() - before;
    assert!(grown < 200_000, "{grown} bytes for one entry");
    assert_eq!(cache.get(&1), Some(1));
}

#[test]
fn a_thread_that_ends_may_read_from_its_last_destructors() {
    struct Late(Cache<u64, Owned>, Arc<AtomicI64>);
    impl Drop for Late {
        fn drop(&mut self) {
            let version = |value: &Owned| value.0.version as i64;
            self.1.store(self.0.read(&1, version).unwrap_or(-1), Ordering::SeqCst);
        }
    }
    thread_local!(static LATE: RefCell<Option<Late>> = const { RefCell::new(None) });
    let (cache, ledger) = (Cache::new(10), Arc::<Ledger>::default());
    cache.insert(1, make(&ledger, 1, 7));
    let seen = Arc::<AtomicI64>::default();
    let late = Late(cache.clone(), Arc::clone(&seen));
    // Set before the thread's first reading, so dropped after its record.
    let ends = thread::spawn(move || {
        LATE.with(|slot| *slot.borrow_mut() = Some(late));
        LATE.with(|slot| slot.borrow().as_ref().and_then(|late| late.0.get(&1)).is_some())
    });
    assert!(ends.join().unwrap());
    assert_eq!(seen.load(Ordering::SeqCst), 7);
    drop(cache);
    assert_eq!(ledger.live(), 0);
}
