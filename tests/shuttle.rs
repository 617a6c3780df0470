//! The whole cache under random schedules, tried by shuttle.
//!
//! ```sh
//! RUSTFLAGS='--cfg larder_shuttle' cargo test --release --test shuttle
//! ```
//!
//! Each scenario runs `LARDER_SCHEDULES` times (10 000 if that is not set), from
//! the seed `LARDER_SEED`. A failure prints the schedule, and the seed with
//! which the run can be repeated.
#![cfg(larder_shuttle)]

use larder::{Cache, Compute, Inline, LoadError};
use shuttle::future::block_on;
use shuttle::scheduler::RandomScheduler;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::{Config, Runner, future, thread};
use std::env;
use std::hash::BuildHasherDefault;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A hasher without a random seed, so that schedules can be repeated.
type Seedless = BuildHasherDefault<std::hash::DefaultHasher>;
type Shelf = Cache<u64, u64, Seedless>;

fn schedules(scenario: impl Fn() + Send + Sync + 'static) {
    let number = |name, default| env::var(name).map_or(default, |text| text.parse().unwrap());
    let seed = number("LARDER_SEED", 0x1a2d_e2ed);
    let schedules = number("LARDER_SCHEDULES", 10_000) as usize;
    println!("{schedules} schedules from LARDER_SEED={seed}");
    let scheduler = RandomScheduler::new_from_seed(seed, schedules);
    let mut config = Config::new();
    // A shard is made on the stack, and each of its atomics is a large one here.
    config.stack_size = 1 << 20;
    Runner::new(scheduler, config).run(scenario);
}

fn shelf(capacity: usize, shards: usize) -> Shelf {
    Cache::builder().capacity(capacity).shards(shards).hasher(Seedless::default()).build().unwrap()
}

fn checked(shelf: &Shelf) {
    shelf.validate().unwrap();
}

#[test]
fn threads_share_one_load() {
    schedules(|| {
        let (shelf, loads) = (shelf(8, 1), Arc::new(AtomicUsize::new(0)));
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (shelf, loads) = (shelf.clone(), Arc::clone(&loads));
                thread::spawn(move || {
                    shelf.get_with(&1, || {
                        loads.fetch_add(1, Ordering::SeqCst);
                        thread::yield_now();
                        10
                    })
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), 10);
        }
        assert_eq!(loads.load(Ordering::SeqCst), 1);
        checked(&shelf);
    });
}

#[test]
fn threads_and_tasks_share_one_load() {
    schedules(|| {
        let (shelf, loads) = (shelf(8, 1), Arc::new(AtomicUsize::new(0)));
        let task = {
            let (shelf, loads) = (shelf.clone(), Arc::clone(&loads));
            future::spawn(async move {
                let load = async {
                    loads.fetch_add(1, Ordering::SeqCst);
                    future::yield_now().await;
                    10
                };
                shelf.get_with_async(&1, load).await
            })
        };
        let count = || {
            loads.fetch_add(1, Ordering::SeqCst);
            thread::yield_now();
            10
        };
        assert_eq!(shelf.get_with(&1, count), 10);
        assert_eq!(block_on(task).unwrap(), 10);
        assert_eq!(loads.load(Ordering::SeqCst), 1);
        checked(&shelf);
    });
}

#[test]
fn a_leader_that_is_dropped_leaves_nobody_waiting() {
    schedules(|| {
        let shelf = shelf(8, 1);
        let task = {
            let shelf = shelf.clone();
            future::spawn(async move {
                let never = std::future::pending::<u64>();
                shelf.get_with_async(&1, never).await
            })
        };
        let waiter = {
            let shelf = shelf.clone();
            future::spawn(async move { shelf.get_with_async(&1, async { 10 }).await })
        };
        thread::yield_now();
        task.abort();
        assert_eq!(block_on(waiter).unwrap(), 10);
        drop(block_on(task));
        checked(&shelf);
    });
}

#[test]
fn failures_and_panics_are_one_call_per_wave() {
    schedules(|| {
        let (shelf, loads) = (shelf(8, 1), Arc::new(AtomicUsize::new(0)));
        let failing = {
            let (shelf, loads) = (shelf.clone(), Arc::clone(&loads));
            thread::spawn(move || {
                let failed = shelf.try_get_with(&1, || {
                    loads.fetch_add(1, Ordering::SeqCst);
                    thread::yield_now();
                    Err::<u64, _>("down")
                });
                assert!(matches!(failed, Err(LoadError::Failed(_)) | Ok(10)), "{failed:?}");
            })
        };
        // Another error type: it has to load by itself.
        let number = shelf.try_get_with(&1, || Ok::<_, u8>(10));
        assert_eq!(number.unwrap(), 10);
        failing.join().unwrap();
        assert!(loads.load(Ordering::SeqCst) <= 1);
        assert_eq!(shelf.get(&1), Some(10));
        checked(&shelf);
    });
}

#[test]
fn nothing_that_was_loaded_before_an_invalidation_is_seen_after_it() {
    schedules(|| {
        let (shelf, epoch) = (shelf(8, 1), Arc::new(AtomicUsize::new(0)));
        let load = {
            let epoch = Arc::clone(&epoch);
            move || {
                let now = epoch.load(Ordering::SeqCst);
                thread::yield_now();
                now as u64
            }
        };
        let loaders: Vec<_> = (0..2)
            .map(|_| {
                let (shelf, load) = (shelf.clone(), load.clone());
                thread::spawn(move || shelf.get_with(&1, load))
            })
            .collect();
        epoch.store(1, Ordering::SeqCst);
        shelf.invalidate(&1);
        assert_eq!(shelf.get_with(&1, load), 1);
        for loader in loaders {
            loader.join().unwrap();
        }
        assert!(matches!(shelf.get(&1), None | Some(1)));
        checked(&shelf);
    });
}

#[test]
fn invalidating_everything_overtakes_every_load() {
    schedules(|| {
        let (shelf, epoch) = (shelf(8, 2), Arc::new(AtomicUsize::new(0)));
        let loaders: Vec<_> = (0..2)
            .map(|key| {
                let (shelf, epoch) = (shelf.clone(), Arc::clone(&epoch));
                thread::spawn(move || {
                    shelf.get_with(&key, || {
                        let now = epoch.load(Ordering::SeqCst);
                        thread::yield_now();
                        now as u64
                    })
                })
            })
            .collect();
        epoch.store(1, Ordering::SeqCst);
        shelf.invalidate_all();
        assert!((0..2).all(|key| matches!(shelf.get(&key), None | Some(1))));
        for loader in loaders {
            loader.join().unwrap();
        }
        assert!((0..2).all(|key| matches!(shelf.get(&key), None | Some(1))));
        checked(&shelf);
    });
}

#[test]
fn writes_and_computations_win_over_loads() {
    schedules(|| {
        let shelf = shelf(8, 1);
        let loader = {
            let shelf = shelf.clone();
            thread::spawn(move || {
                shelf.get_with(&1, || {
                    thread::yield_now();
                    10
                })
            })
        };
        let computer = {
            let shelf = shelf.clone();
            thread::spawn(move || {
                shelf.entry(1).and_compute(|old| Compute::Replace(old.map_or(20, |_| 30)));
            })
        };
        shelf.insert(2, 1);
        let loaded = loader.join().unwrap();
        computer.join().unwrap();
        let now = shelf.get(&1);
        assert!(matches!((loaded, now), (10, Some(20 | 30)) | (20, Some(20))), "{loaded} {now:?}");
        checked(&shelf);
    });
}

#[test]
fn overlapping_loads_of_many_keys_end() {
    schedules(|| {
        let shelf = shelf(8, 2);
        let square = |missing: Vec<&u64>| {
            thread::yield_now();
            missing.into_iter().map(|key| (*key, key * key)).collect::<Vec<_>>()
        };
        let other = {
            let shelf = shelf.clone();
            thread::spawn(move || shelf.get_many_with(&[3, 2, 1], square))
        };
        let single = {
            let shelf = shelf.clone();
            thread::spawn(move || shelf.get_with(&2, || 4))
        };
        assert_eq!(shelf.get_many_with(&[1, 2, 3], square), [Some(1), Some(4), Some(9)]);
        assert_eq!(other.join().unwrap(), [Some(9), Some(4), Some(1)]);
        assert_eq!(single.join().unwrap(), 4);
        checked(&shelf);
    });
}

#[test]
fn a_crowded_cache_loads_and_evicts_within_its_bounds() {
    schedules(|| {
        let shelf = shelf(2, 2);
        let loaders: Vec<_> = (0..3)
            .map(|from| {
                let shelf = shelf.clone();
                thread::spawn(move || {
                    for key in from..from + 3 {
                        assert_eq!(shelf.get_with(&key, || key + 100), key + 100);
                        assert!(shelf.len() <= 2);
                    }
                })
            })
            .collect();
        for loader in loaders {
            loader.join().unwrap();
        }
        checked(&shelf);
    });
}

#[test]
fn panicking_loaders_leave_nobody_waiting() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload().downcast_ref::<&str>();
        if message != Some(&"on purpose") {
            eprintln!("{panic}");
        }
    }));
    schedules(|| {
        let shelf = shelf(8, 1);
        let panicking = {
            let shelf = shelf.clone();
            thread::spawn(move || {
                let got = catch_unwind(AssertUnwindSafe(|| {
                    shelf.get_with(&1, || {
                        thread::yield_now();
                        panic!("on purpose")
                    })
                }));
                assert!(got.is_err() || got.is_ok_and(|value| value == 10));
            })
        };
        let tried = {
            let shelf = shelf.clone();
            thread::spawn(move || {
                let tried = shelf.try_get_with(&1, || Ok::<_, u8>(10));
                assert!(matches!(tried, Ok(10) | Err(LoadError::Panicked)));
            })
        };
        assert_eq!(shelf.get_with(&1, || 10), 10);
        panicking.join().unwrap();
        tried.join().unwrap();
        checked(&shelf);
    });
}

#[test]
fn a_forced_reload_is_not_stored_over_a_newer_value() {
    schedules(|| {
        let cache = Cache::builder()
            .capacity(8)
            .shards(1)
            .hasher(Seedless::default())
            .loader(|_: &u64| {
                thread::yield_now();
                Ok::<_, u8>(10)
            })
            .spawner(Inline)
            .build()
            .unwrap();
        cache.insert(1, 1);
        let reloader = {
            let cache = cache.clone();
            thread::spawn(move || cache.refresh(&1).unwrap())
        };
        let writer = {
            let cache = cache.clone();
            thread::spawn(move || {
                cache.insert(1, 2);
                assert!(matches!(cache.get(&1), Some(2 | 10)));
            })
        };
        assert!(matches!(cache.get_or_load(&1), Ok(1 | 2 | 10)));
        assert_eq!(reloader.join().unwrap(), 10);
        writer.join().unwrap();
        assert!(matches!(cache.get(&1), Some(2 | 10)));
        cache.validate().unwrap();
    });
}
