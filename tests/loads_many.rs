//! Loading many keys with one call, and remembering that there is nothing.

#[path = "common/quiet.rs"]
mod quiet;
#[path = "common/watchdog.rs"]
mod watchdog;

use larder::{Cache, LoadError, ManualClock, Task};
use quiet::{keep_quiet_about, message_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;
use watchdog::must_end;

type Shelf = Cache<u64, u64>;

fn squares(missing: Vec<&u64>) -> Vec<(u64, u64)> {
    missing.into_iter().map(|key| (*key, key * key)).collect()
}

#[test]
fn the_loader_is_called_once_with_exactly_what_is_missing() {
    let shelf = Shelf::new(100);
    shelf.insert(2, 200);
    let mut calls = Vec::new();
    let found = shelf.get_many_with(&[1, 2, 3, 1], |missing| {
        calls.push(missing.iter().map(|key| **key).collect::<Vec<_>>());
        squares(missing)
    });
    assert_eq!(found, [Some(1), Some(200), Some(9), Some(1)], "in their order, twice if asked so");
    assert_eq!(calls, [[1, 3]]);
    let none = shelf.get_many_with(&[1, 2, 3], |_| -> Vec<(u64, u64)> { unreachable!() });
    assert_eq!(none, [Some(1), Some(200), Some(9)]);
    assert_eq!(shelf.get_many_with(&[], squares), []);
    shelf.validate().unwrap();
}

#[test]
fn borrowed_keys_will_do() {
    let cache: Cache<String, usize> = Cache::new(100);
    let lengths = |missing: Vec<&str>| -> Vec<(String, usize)> {
        missing.into_iter().map(|key| (key.to_owned(), key.len())).collect()
    };
    assert_eq!(cache.get_many_with(["pear", "fig"], lengths), [Some(4), Some(3)]);
    assert_eq!(cache.get("pear"), Some(4));
}

#[test]
fn keys_that_the_loader_leaves_out_have_no_value_and_others_are_dropped() {
    let shelf = Shelf::new(100);
    let found = shelf.get_many_with(&[1, 2], |_| [(2, 4), (3, 9)]);
    assert_eq!(found, [None, Some(4)]);
    assert_eq!((shelf.get(&1), shelf.get(&2), shelf.get(&3)), (None, Some(4), None));
    shelf.validate().unwrap();
}

#[test]
fn a_failure_is_that_of_all_keys_and_nothing_is_stored() {
    let shelf = Shelf::new(100);
    shelf.insert(2, 200);
    let error =
        shelf.try_get_many_with(&[1, 2, 3], |_| Err::<Vec<(u64, u64)>, _>("down")).unwrap_err();
    assert_eq!(error.failure(), Some(&"down"));
    assert_eq!((shelf.get(&1), shelf.get(&2)), (None, Some(200)));
    shelf.validate().unwrap();
}

#[test]
fn a_panic_is_the_callers_and_leaves_every_key_free() {
    keep_quiet_about("on purpose");
    let shelf = Shelf::new(100);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        // Only as the pairs are asked for.
        shelf.get_many_with(&[1, 2], |missing| {
            missing.into_iter().map(|key| if *key == 2 { panic!("on purpose") } else { (1, 1) })
        })
    }));
    assert_eq!(message_of(&*panic.unwrap_err()), "on purpose");
    assert_eq!(shelf.get_many_with(&[1, 2], squares), [Some(1), Some(4)]);
    shelf.validate().unwrap();
}

/// A load of `key` that lands when it is told to.
fn in_the_air(shelf: &Shelf, key: u64) -> (Sender<Result<u64, &'static str>>, Receiver<()>) {
    let (land, landing) = channel();
    let (end, ended) = channel();
    let (begin, has_begun) = channel();
    let shelf = shelf.clone();
    thread::spawn(move || {
        let _ = shelf.try_get_with(&key, || {
            begin.send(()).unwrap();
            landing.recv().unwrap()
        });
        drop(end);
    });
    has_begun.recv().unwrap();
    (land, ended)
}

#[test]
fn what_others_load_is_waited_for_and_not_loaded() {
    must_end("a bulk load that waits", || {
        let shelf = Shelf::new(100);
        let (land, _) = in_the_air(&shelf, 2);
        let found = shelf.get_many_with(&[1, 2, 3], |missing| {
            assert_eq!(missing, [&1, &3]);
            land.send(Ok(200)).unwrap();
            squares(missing)
        });
        assert_eq!(found, [Some(1), Some(200), Some(9)]);
    })
    .unwrap();
}

#[test]
fn what_others_fail_to_load_is_loaded_in_a_second_call_or_is_an_error() {
    must_end("a bulk load whose others fail", || {
        let shelf = Shelf::new(100);
        let (land, _) = in_the_air(&shelf, 2);
        let mut calls = Vec::new();
        let found = shelf.get_many_with(&[1, 2], |missing| {
            calls.push(missing.iter().map(|key| **key).collect::<Vec<_>>());
            let _ = land.send(Err("down"));
            squares(missing)
        });
        assert_eq!((found, calls), (vec![Some(1), Some(4)], vec![vec![1], vec![2]]));
        shelf.clear();
        let (land, _) = in_the_air(&shelf, 2);
        let error = shelf.try_get_many_with(&[1, 2], |missing| {
            land.send(Err("down")).unwrap();
            Ok::<_, &'static str>(squares(missing))
        });
        assert_eq!(error, Err(LoadError::Failed(Arc::new("down"))));
        assert_eq!(shelf.get(&1), Some(1), "what it has loaded itself is stored");
        shelf.validate().unwrap();
    })
    .unwrap();
}

#[test]
fn single_callers_join_a_load_of_many() {
    must_end("joining a bulk load", || {
        let shelf = Shelf::new(100);
        let calls = AtomicUsize::new(0);
        thread::scope(|scope| {
            shelf.get_many_with(&[1, 2], |missing| {
                for key in [1_u64, 2] {
                    let (shelf, calls) = (&shelf, &calls);
                    scope.spawn(move || {
                        let got = shelf.get_with(&key, || {
                            calls.fetch_add(1, Ordering::SeqCst);
                            key * 100
                        });
                        // 2 is left out: its waiter loads by itself.
                        assert_eq!(got, if key == 1 { 1 } else { 200 });
                    });
                }
                while shelf.stats().coalesced < 2 {
                    thread::yield_now();
                }
                missing
                    .into_iter()
                    .filter(|key| **key == 1)
                    .map(|key| (*key, 1))
                    .collect::<Vec<_>>()
            });
        });
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        shelf.validate().unwrap();
    })
    .unwrap();
}

#[test]
fn overlapping_calls_never_wait_in_a_circle() {
    must_end("overlapping bulk loads", || {
        for _ in 0..200 {
            let (shelf, barrier) = (Shelf::new(100), Barrier::new(3));
            let ask = |keys: [u64; 4]| {
                barrier.wait();
                let found = shelf.get_many_with(&keys, squares);
                assert_eq!(found, keys.map(|key| Some(key * key)));
            };
            thread::scope(|scope| {
                scope.spawn(|| ask([1, 2, 3, 4]));
                scope.spawn(|| ask([4, 3, 2, 1]));
                scope.spawn(|| ask([3, 1, 4, 2]));
            });
            let stats = shelf.stats();
            assert_eq!(stats.loads, 4, "each key was loaded once");
            shelf.validate().unwrap();
        }
    })
    .unwrap();
}

#[test]
fn overlapping_calls_of_tasks_never_wait_in_a_circle() {
    for threads in [1, 2] {
        must_end("overlapping bulk loads of tasks", move || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = match threads {
                1 => tokio::runtime::Builder::new_current_thread().build().unwrap(),
                _ => builder.worker_threads(threads).build().unwrap(),
            };
            for _ in 0..100 {
                let shelf = Shelf::new(100);
                let ask = |keys: [u64; 3]| {
                    let shelf = shelf.clone();
                    runtime.spawn(async move {
                        let load = |missing: Vec<&u64>| {
                            let pairs = squares(missing);
                            async {
                                tokio::task::yield_now().await;
                                pairs
                            }
                        };
                        shelf.get_many_with_async(&keys, load).await
                    })
                };
                let tasks = [ask([1, 2, 3]), ask([3, 2, 1]), ask([2, 3, 1])];
                for task in tasks {
                    let found = runtime.block_on(task).unwrap();
                    assert!(found.iter().all(Option::is_some));
                }
                assert_eq!(shelf.stats().loads, 3);
            }
        })
        .unwrap();
    }
}

#[test]
fn an_invalidation_during_a_load_of_many_is_for_the_key_alone() {
    let shelf = Shelf::new(100);
    let found = shelf.get_many_with(&[1, 2, 3], |missing| {
        shelf.invalidate(&1);
        shelf.insert(2, 200);
        squares(missing)
    });
    assert_eq!(found, [Some(1), Some(4), Some(9)]);
    assert_eq!((shelf.get(&1), shelf.get(&2), shelf.get(&3)), (None, Some(200), Some(9)));
    shelf.validate().unwrap();
}

/// A cache, its clock, and how often `absent` and `failing` were called.
struct Negatives {
    clock: ManualClock,
    cache: Shelf,
    calls: AtomicUsize,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Negatives {
    fn new() -> Self {
        let clock = ManualClock::new();
        let cache = Cache::builder().capacity(100).clock(clock.clone()).build().unwrap();
        Negatives { clock, cache, calls: AtomicUsize::new(0) }
    }

    fn absent(&self, key: u64) -> Result<Option<u64>, LoadError<&'static str>> {
        self.cache.load(&key).negative_ttl(MINUTE).try_optional_with(|| {
            self.calls.fetch_add(1, Ordering::SeqCst);
            Ok(None)
        })
    }

    fn failing(&self, key: u64) -> Result<u64, LoadError<&'static str>> {
        self.cache.load(&key).negative_ttl(MINUTE).try_with(|| {
            self.calls.fetch_add(1, Ordering::SeqCst);
            Err("down")
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

#[test]
fn that_there_is_nothing_is_remembered_for_its_time_and_no_longer() {
    let it = Negatives::new();
    for _ in 0..3 {
        assert_eq!(it.absent(1), Ok(None));
    }
    assert_eq!((it.calls(), it.cache.len()), (1, 0), "it takes no room");
    it.clock.advance(MINUTE - Duration::from_secs(1));
    assert_eq!((it.absent(1), it.calls()), (Ok(None), 1));
    it.clock.advance(Duration::from_secs(1));
    assert_eq!((it.absent(1), it.calls()), (Ok(None), 2));
    it.cache.validate().unwrap();
}

#[test]
fn a_failure_that_is_remembered_is_the_same_for_all() {
    let it = Negatives::new();
    let (first, second) = (it.failing(1).unwrap_err(), it.failing(1).unwrap_err());
    match (first, second) {
        (LoadError::Failed(one), LoadError::Failed(two)) => assert!(Arc::ptr_eq(&one, &two)),
        other => panic!("{other:?}"),
    }
    assert_eq!(it.calls(), 1);
    assert_eq!(it.cache.get_with(&1, || 10), 10, "who cannot do with it loads");
    assert_eq!(it.failing(1), Ok(10));
}

#[test]
fn without_a_time_of_its_own_nothing_is_remembered() {
    let shelf = Shelf::new(100);
    let calls = AtomicUsize::new(0);
    for _ in 0..3 {
        let absent = shelf.load(&1).try_optional_with(|| {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok::<_, u8>(None)
        });
        assert_eq!(absent, Ok(None));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[test]
fn whatever_happens_to_the_key_ends_what_is_remembered_of_it() {
    let meddlings: [fn(&Shelf); 6] = [
        |shelf| shelf.invalidate(&1),
        |shelf| shelf.invalidate_all(),
        |shelf| shelf.invalidate_if(|_, _| false),
        |shelf| shelf.clear(),
        |shelf| assert_eq!(shelf.remove(&1), None),
        |shelf| {
            shelf.insert(1, 1);
            shelf.invalidate(&1);
        },
    ];
    for meddle in meddlings {
        let it = Negatives::new();
        assert_eq!(it.absent(1), Ok(None));
        meddle(&it.cache);
        assert_eq!((it.absent(1), it.calls()), (Ok(None), 2));
    }
}

#[test]
fn what_is_remembered_is_bounded_and_dropped() {
    struct Error(#[allow(dead_code, reason = "dropped with it")] Arc<()>);
    let (clock, counter) = (ManualClock::new(), Arc::new(()));
    let cache: Shelf =
        Cache::builder().capacity(10_000).shards(1).clock(clock.clone()).build().unwrap();
    for key in 0..5_000 {
        let failed = cache
            .load(&key)
            .negative_ttl(MINUTE)
            .try_with(|| Err::<u64, _>(Error(Arc::clone(&counter))));
        assert!(failed.is_err());
    }
    assert_eq!(Arc::strong_count(&counter), 1024 + 1);
    clock.advance(MINUTE);
    cache.run_maintenance();
    assert_eq!(Arc::strong_count(&counter), 1);
    cache.validate().unwrap();
}

/// A spawner that keeps its tasks until it is asked to run or to drop them.
#[derive(Clone, Default)]
struct Shelved(Arc<Mutex<Vec<Task>>>);

impl larder::Spawn for Shelved {
    fn spawn(&self, task: Task) {
        self.0.lock().unwrap().push(task);
    }
}

#[test]
fn a_detached_load_outlives_its_caller() {
    let (shelf, spawner) = (Shelf::new(100), Shelved::default());
    let mut call = Box::pin(shelf.load(&1).try_with_detached(&spawner, async { Ok::<_, u8>(10) }));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(call.as_mut().poll(&mut cx).is_pending());
    drop(call);
    let task = spawner.0.lock().unwrap().pop().unwrap();
    thread::spawn(move || pollster::block_on(task)).join().unwrap();
    assert_eq!(shelf.get(&1), Some(10));
}

#[test]
fn a_detached_load_that_the_spawner_drops_or_that_panics_is_an_error() {
    keep_quiet_about("on purpose");
    must_end("detached loads that end badly", || {
        let shelf = Shelf::new(100);
        let dropping = |task: Task| drop(task);
        let load = async { Ok::<u64, u8>(10) };
        let got = pollster::block_on(shelf.load(&1).try_with_detached(&dropping, load));
        assert_eq!(got, Err(LoadError::Cancelled));
        let running = |task: Task| {
            let _ = catch_unwind(AssertUnwindSafe(|| pollster::block_on(task)));
        };
        let load = async { panic!("on purpose") };
        let got: Result<u64, LoadError<u8>> =
            pollster::block_on(shelf.load(&1).try_with_detached(&running, load));
        assert_eq!(got, Err(LoadError::Panicked));
        shelf.validate().unwrap();
    })
    .unwrap();
}
