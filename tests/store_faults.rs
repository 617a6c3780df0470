//! Write-back over a store that fails: nothing is lost, nothing is reordered,
//! tries are made as scheduled, and what is sound is not held up. The clock
//! stands still until the test moves it; hangs end when the test says so.

#[path = "common/faulty.rs"]
mod faulty;
#[path = "common/quiet.rs"]
mod quiet;
#[path = "common/watchdog.rs"]
mod watchdog;

use faulty::{Faulty, Op};
use larder::store::{
    Failure, FlushError, Overflow, StoreCache, WriteBack, WriteError, WritePolicy,
};
use larder::{Cache, ManualClock};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

type Cached = StoreCache<u32, u64, Arc<Faulty>>;

const SECOND: Duration = Duration::from_secs(1);

/// No thread, no jitter, and waits of 1, 2, 4, 8, 8, … seconds.
fn settings() -> WriteBack {
    WriteBack::new()
        .workers(0)
        .jitter(0.0)
        .delay(Duration::ZERO)
        .backoff(SECOND, SECOND * 8)
        .drop_deadline(Duration::ZERO)
}

struct Setup {
    store: Arc<Faulty>,
    clock: ManualClock,
    cache: Cached,
    /// Keys, attempts, and what was said.
    dead: Arc<Mutex<Vec<(u32, u32, String)>>>,
}

fn set_up(settings: WriteBack) -> Setup {
    let (store, clock) = (Arc::new(Faulty::default()), ManualClock::new());
    let dead: Arc<Mutex<Vec<(u32, u32, String)>>> = Arc::default();
    let cache = StoreCache::builder(Cache::new(10_000), Arc::clone(&store))
        .policy(WritePolicy::Back(settings))
        .clock(clock.clone())
        .on_dead_letter({
            let dead = Arc::clone(&dead);
            move |write| {
                let letter = (write.key, write.attempts, write.failure.to_string());
                dead.lock().unwrap().push(letter);
            }
        })
        .build()
        .unwrap();
    Setup { store, clock, cache, dead }
}

#[test]
fn tries_are_made_as_scheduled_and_then_the_write_is_in_the_failed_set() {
    let Setup { store, clock, cache, dead } = set_up(settings().max_attempts(5));
    store.fail_writes(1, "poison");
    cache.put(1, 10).unwrap();
    cache.run_due();
    for (waits, attempts) in [(1, 2), (2, 3), (4, 4), (8, 5)] {
        clock.advance(SECOND * waits - Duration::from_nanos(1));
        cache.run_due();
        assert_eq!(store.attempts(1), attempts - 1, "not yet");
        clock.advance(Duration::from_nanos(1));
        cache.run_due();
        assert_eq!(store.attempts(1), attempts);
    }
    clock.advance(SECOND * 1000);
    assert_eq!((cache.run_due(), store.attempts(1)), (0, 5), "given up");
    assert_eq!(*dead.lock().unwrap(), [(1, 5, "poison".to_owned())]);
    let failed = cache.failed();
    assert_eq!((failed.len(), failed[0].value), (1, Some(10)));
    assert!(failed[0].failure.downcast_ref::<faulty::Refused>().is_some());
    assert_eq!(cache.get(&1).unwrap(), Some(10), "it is still the truth");
    assert_eq!(cache.flush().failed, [1]);

    store.heal(1);
    assert_eq!(cache.retry_failed(), 1);
    assert!(cache.flush().failed.is_empty());
    assert_eq!((store.value(1), cache.stats().dirty), (Some(10), 0));
}

#[test]
fn a_newer_write_takes_the_place_of_one_that_failed_for_good() {
    let Setup { store, cache, .. } = set_up(settings().max_attempts(1));
    store.fail_writes(1, "poison");
    cache.put(1, 10).unwrap();
    assert_eq!(cache.flush().failed, [1]);
    store.heal(1);
    cache.put(1, 11).unwrap();
    assert!(cache.failed().is_empty());
    assert!(cache.flush().failed.is_empty());
    assert_eq!(store.history(1), [Op::Write(11)]);
}

#[test]
fn what_is_discarded_is_forgotten_by_the_cache_too() {
    let Setup { store, cache, .. } = set_up(settings().max_attempts(1));
    store.set(1, 1);
    store.fail_writes(1, "poison");
    cache.put(1, 10).unwrap();
    cache.flush();
    let discarded = cache.discard_failed();
    assert_eq!((discarded.len(), discarded[0].value), (1, Some(10)));
    assert_eq!(cache.get(&1).unwrap(), Some(1));
    assert_eq!((cache.stats().dirty, cache.stats().failed), (0, 0));
}

#[test]
fn a_poisoned_key_is_found_by_halving_and_no_other_key_is_blamed() {
    let Setup { store, clock, cache, dead } = set_up(settings().batch(64).max_attempts(3));
    store.transactional();
    store.fail_writes(37, "poison");
    for key in 0..64 {
        cache.put(key, u64::from(key)).unwrap();
        assert_eq!(key == 63, cache.stats().dirty == 64);
    }
    cache.run_due();
    for wait in [1, 2, 4, 8, 8, 8, 8, 8] {
        clock.advance(SECOND * wait);
        cache.run_due();
    }
    assert_eq!(store.batches(), [64, 32, 32, 16, 16, 8, 8, 4, 4, 2, 2, 1, 1, 1, 1]);
    assert_eq!(*dead.lock().unwrap(), [(37, 3, "poison".to_owned())]);
    let stored = (0..64).filter(|key| store.value(*key).is_some()).count();
    assert_eq!(stored, 63);
    assert_eq!(cache.flush().failed, [37]);
}

#[test]
fn a_poisoned_key_does_not_hold_up_what_is_written_after_it() {
    let Setup { store, cache, .. } = set_up(settings());
    store.fail_writes(1, "poison");
    cache.put(1, 10).unwrap();
    cache.run_due();
    for key in 2..100 {
        cache.put(key, 1).unwrap();
        cache.run_due();
        assert_eq!(store.value(key), Some(1));
    }
    assert_eq!(store.attempts(1), 1, "it waits for its time");
}

#[test]
fn of_a_partial_batch_only_what_failed_is_tried_again() {
    let Setup { store, clock, cache, .. } = set_up(settings());
    store.fail_writes(2, "refused");
    let outcomes = cache.put_many(vec![(1, 10), (2, 20), (3, 30)]);
    assert!(outcomes.iter().all(Result::is_ok));
    cache.run_due();
    assert_eq!((store.attempts(1), store.attempts(2), store.attempts(3)), (1, 1, 1));
    store.heal(2);
    clock.advance(SECOND);
    cache.run_due();
    assert_eq!((store.attempts(1), store.attempts(2), store.attempts(3)), (1, 2, 1));
    assert_eq!(cache.stats().dirty, 0);
}

#[test]
fn a_store_that_panics_is_a_store_that_fails() {
    quiet::keep_quiet_about("the store panics");
    let Setup { store, clock, cache, dead } = set_up(settings().max_attempts(2));
    store.panic_on(1, true);
    cache.put(1, 10).unwrap();
    cache.put(2, 20).unwrap();
    for _ in 0..4 {
        cache.run_due();
        clock.advance(SECOND * 8);
    }
    assert_eq!((store.value(1), store.value(2)), (None, Some(20)));
    assert_eq!(dead.lock().unwrap().len(), 1);
    assert!(matches!(cache.failed()[0].failure, Failure::Panicked(_)));
}

#[test]
fn while_the_store_is_down_memory_is_bounded_and_nothing_is_lost() {
    let bounded = settings().max_dirty(100).overflow(Overflow::Reject).max_attempts(u32::MAX);
    let Setup { store, clock, cache, dead } = set_up(bounded);
    store.down(true);
    let mut taken = 0;
    for round in 0..50 {
        for key in 0..1000 {
            match cache.put(key, round) {
                Ok(()) => taken += 1,
                Err(WriteError::QueueFull { dirty: 100, max_dirty: 100 }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        cache.run_due();
        clock.advance(SECOND * 8);
        assert_eq!(cache.stats().dirty, 100);
    }
    assert_eq!(taken, 50 * 100, "keys that wait already may be written again");
    store.down(false);
    while cache.stats().dirty > 0 {
        cache.run_due();
        clock.advance(SECOND * 8);
    }
    assert_eq!(store.rows(), (0..100).map(|key| (key, 49)).collect());
    assert!((0..100).all(|key| store.history(key) == [Op::Write(49)]), "each was stored once");
    assert!(dead.lock().unwrap().is_empty());
}

#[test]
fn a_flush_that_does_not_end_in_time_says_what_is_left() {
    let Setup { store, clock, cache, .. } = set_up(settings());
    store.down(true);
    cache.put(1, 10).unwrap();
    cache.put(2, 20).unwrap();
    let left = cache.flush_timeout(Duration::ZERO);
    assert_eq!(left, Err(FlushError::TimedOut { left: 2 }));
    cache.run_due();
    store.down(false);
    clock.advance(SECOND * 8);
    cache.run_due();
    assert!(cache.flush_timeout(Duration::ZERO).unwrap().failed.is_empty());
}

#[test]
fn closing_reports_what_failed_and_what_is_left_and_tells_each_once() {
    let Setup { store, cache, dead, .. } = set_up(settings().max_attempts(2));
    store.fail_writes(1, "poison");
    cache.put(1, 10).unwrap();
    cache.run_due();
    store.down(true);
    cache.put(2, 20).unwrap();
    let report = cache.close(Duration::ZERO);
    assert_eq!((report.failed, report.left, report.in_flight), (vec![], vec![2, 1], vec![]));
    let mut told = dead.lock().unwrap().clone();
    told.sort();
    let closed = "the cache was closed before it was stored".to_owned();
    assert_eq!(told, [(1, 1, "poison".to_owned()), (2, 0, closed)]);
    drop(cache);
    assert_eq!(dead.lock().unwrap().len(), 2, "not again");
}

#[test]
fn dropping_the_last_handle_while_the_store_is_down_tells_the_dead_letter_callback() {
    let hurried = settings().drop_deadline(Duration::ZERO);
    let Setup { store, cache, dead, .. } = set_up(hurried);
    store.down(true);
    cache.put(1, 10).unwrap();
    drop(cache);
    assert_eq!(dead.lock().unwrap().len(), 1);
    assert_eq!(Arc::strong_count(&store), 1);
}

#[test]
fn a_callback_that_panics_is_counted_and_called_again() {
    quiet::keep_quiet_about("the store panics");
    let store = Arc::new(Faulty::default());
    store.down(true);
    let cache: Cached = StoreCache::builder(Cache::new(100), Arc::clone(&store))
        .policy(WritePolicy::Back(settings().max_attempts(1)))
        .on_dead_letter(|_| panic!("the store panics, says the callback"))
        .build()
        .unwrap();
    cache.put(1, 10).unwrap();
    cache.flush();
    cache.put(2, 20).unwrap();
    cache.flush();
    assert_eq!((cache.stats().callback_panics, cache.stats().dead_letters), (2, 2));
}

/// With threads: what hangs, hangs until the test releases it.
fn threaded(store: &Arc<Faulty>, workers: usize) -> Cached {
    let settings = WriteBack::new().workers(workers).delay(Duration::ZERO).batch(16);
    StoreCache::builder(Cache::new(10_000), Arc::clone(store))
        .policy(WritePolicy::Back(settings))
        .build()
        .unwrap()
}

/// Runs a test that could hang.
fn guarded(test: impl FnOnce() + Send + 'static) {
    if let Err(panic) = watchdog::must_end("a call of the store", test) {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_call_that_hangs_holds_up_no_other_key() {
    guarded(|| {
        let store = Arc::new(Faulty::default());
        let cache = threaded(&store, 2);
        store.hang_on(1);
        cache.put(1, 10).unwrap();
        store.await_hang(1);
        for key in 2..200 {
            cache.put(key, 1).unwrap();
            cache.flush_key(&key);
            assert_eq!(store.value(key), Some(1));
        }
        assert_eq!((store.value(1), cache.get(&1).unwrap()), (None, Some(10)));
        store.release(1);
        assert!(cache.flush().failed.is_empty());
        assert_eq!(store.value(1), Some(10));
    });
}

#[test]
fn what_is_written_or_deleted_during_a_flush_stays_dirty_and_comes_after_it() {
    guarded(|| {
        for second in [Some(11), None] {
            let store = Arc::new(Faulty::default());
            let cache = threaded(&store, 1);
            store.hang_on(1);
            cache.put(1, 10).unwrap();
            store.await_hang(1);
            match second {
                Some(value) => cache.put(1, value).unwrap(),
                None => cache.delete(1).unwrap(),
            }
            assert_eq!(cache.get(&1).unwrap(), second);
            store.release(1);
            cache.flush();
            let newer = second.map_or(Op::Delete, Op::Write);
            assert_eq!(store.history(1), [Op::Write(10), newer]);
            assert_eq!((cache.get(&1).unwrap(), cache.stats().dirty), (second, 0));
        }
    });
}

#[test]
fn a_close_whose_deadline_finds_a_call_under_way_says_so() {
    guarded(|| {
        let store = Arc::new(Faulty::default());
        let cache = threaded(&store, 1);
        store.hang_on(1);
        cache.put(1, 10).unwrap();
        store.await_hang(1);
        cache.put(2, 20).unwrap();
        let report = cache.close(Duration::ZERO);
        assert_eq!((report.left, report.in_flight), (vec![2], vec![1]));
        store.release(1);
        drop(cache);
        assert_eq!(store.value(2), None);
    });
}

#[test]
fn a_write_through_waits_for_the_one_before_it_and_readers_for_neither() {
    guarded(|| {
        let store = Arc::new(Faulty::default());
        store.set(1, 1);
        let cache: Cached = StoreCache::new(Cache::new(100), Arc::clone(&store));
        assert_eq!(cache.get(&1).unwrap(), Some(1));
        store.hang_on(1);
        let (tell, told) = mpsc::channel();
        let writer = |value| {
            let (cache, tell) = (cache.clone(), tell.clone());
            thread::spawn(move || {
                cache.put(1, value).unwrap();
                tell.send(value).unwrap();
            })
        };
        let first = writer(10);
        store.await_hang(1);
        let second = writer(11);
        assert_eq!(cache.get(&1).unwrap(), Some(1), "not stored, not visible");
        assert!(told.try_recv().is_err());
        store.release(1);
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!(store.history(1), [Op::Write(10), Op::Write(11)]);
        assert_eq!(cache.get(&1).unwrap(), Some(11));
    });
}

#[test]
fn a_store_that_writes_the_key_that_it_is_written_for_is_told_so() {
    use larder::store::{Loader, Store};
    use std::sync::OnceLock;

    #[derive(Default)]
    struct Selfish(OnceLock<StoreCache<u32, u64, Arc<Selfish>>>);
    impl Loader<u32, u64> for Selfish {
        type Error = String;
        fn load(&self, _: &u32) -> Result<Option<u64>, String> {
            Ok(None)
        }
    }
    impl Store<u32, u64> for Selfish {
        fn write(&self, key: &u32, value: &u64) -> Result<(), String> {
            match self.0.get().unwrap().put(*key, value + 1) {
                Err(WriteError::Recursive) => Ok(()),
                other => panic!("{other:?}"),
            }
        }
        fn delete(&self, _: &u32) -> Result<(), String> {
            Ok(())
        }
    }
    let store = Arc::new(Selfish::default());
    let cache = StoreCache::new(Cache::new(100), Arc::clone(&store));
    assert!(store.0.set(cache.clone()).is_ok());
    cache.put(1, 10).unwrap();
    assert_eq!(cache.get(&1).unwrap(), Some(10));
}
