//! Loads that are shared, fail, are cancelled, and are overtaken.

use super::{Seedless, Shelf, checked, shelf, shelving, spawn};
use larder::{Aside, Cache, Compute, Inline, LoadError, LoadingCache, ManualClock, Task};
use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::{future, thread};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

pub fn threads_share_one_load() {
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
}

pub fn threads_and_tasks_share_one_load() {
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
}

pub fn a_leader_that_is_dropped_leaves_nobody_waiting() {
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
}

pub fn failures_and_panics_are_one_call_per_wave() {
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
}

pub fn nothing_that_was_loaded_before_an_invalidation_is_seen_after_it() {
    invalidate_during_loads(shelf(8, 1));
}

/// Where values are weighed, loads go the long way.
pub fn nothing_that_was_loaded_and_weighed_before_an_invalidation_is_seen_after_it() {
    invalidate_during_loads(shelving(8, 1).weigher(|_, _| 1).build().unwrap());
}

fn invalidate_during_loads(shelf: Shelf) {
    let epoch = Arc::new(AtomicUsize::new(0));
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
}

pub fn invalidating_everything_overtakes_every_load() {
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
}

pub fn writes_and_computations_win_over_loads() {
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
    let seen = [(); 2].map(|()| shelf.peek(&1));
    let loaded = loader.join().unwrap();
    computer.join().unwrap();
    let now = shelf.get(&1);
    assert!(matches!((loaded, now), (10, Some(20 | 30)) | (20, Some(20))), "{loaded} {now:?}");
    // What the computation has not seen was not stored before it.
    assert!(now != Some(20) || !seen.contains(&Some(10)), "{seen:?}");
    checked(&shelf);
}

pub fn overlapping_loads_of_many_keys_end() {
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
}

pub fn a_crowded_cache_loads_and_evicts_within_its_bounds() {
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
}

/// What panics on purpose is not written about.
pub fn be_quiet() {
    static QUIET: std::sync::Once = std::sync::Once::new();
    QUIET.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.payload().downcast_ref::<&str>();
            if message != Some(&"on purpose") {
                eprintln!("{panic}");
            }
        }));
    });
}

pub fn panicking_loaders_leave_nobody_waiting() {
    be_quiet();
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
}

pub fn a_forced_reload_is_not_stored_over_a_newer_value() {
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
}

pub fn a_failure_that_is_remembered_is_forgotten_with_a_write() {
    let shelf = shelf(8, 1);
    let ask = |shelf: &Shelf| {
        let load = shelf.load(&1).negative_ttl(Duration::from_secs(1000));
        load.try_optional_with(|| {
            thread::yield_now();
            Ok::<_, u8>(None)
        })
    };
    let asker = spawn(&shelf, move |shelf| {
        for _ in 0..2 {
            assert!(matches!(ask(shelf), Ok(None | Some(10))));
        }
    });
    shelf.insert(1, 10);
    assert_eq!(ask(&shelf).unwrap(), Some(10));
    asker.join().unwrap();
    assert_eq!(ask(&shelf).unwrap(), Some(10));
    checked(&shelf);
}

pub fn a_detached_load_goes_on_when_its_caller_has_gone() {
    let shelf = shelf(8, 1);
    let loads = Arc::new(AtomicUsize::new(0));
    let caller = future::spawn({
        let (shelf, loads) = (shelf.clone(), Arc::clone(&loads));
        async move {
            let on_shuttle = |task: Task| drop(future::spawn(task));
            let load = async move {
                loads.fetch_add(1, Ordering::SeqCst);
                future::yield_now().await;
                Ok::<u64, u8>(10)
            };
            shelf.load(&1).try_with_detached(&on_shuttle, load).await
        }
    });
    thread::yield_now();
    caller.abort();
    assert_eq!(shelf.get_with(&1, || 10), 10);
    drop(block_on(caller));
    // Either of the two may have led, or the caller did not begin at all.
    assert!(loads.load(Ordering::SeqCst) <= 1);
    assert_eq!(shelf.get(&1), Some(10));
    checked(&shelf);
}

pub fn tasks_and_threads_load_many_keys_together() {
    let (shelf, loads) = (shelf(8, 2), Arc::new(AtomicUsize::new(0)));
    let task = future::spawn({
        let (shelf, loads) = (shelf.clone(), Arc::clone(&loads));
        async move {
            let square = |missing: Vec<&u64>| {
                loads.fetch_add(missing.len(), Ordering::SeqCst);
                let squares: Vec<_> = missing.into_iter().map(|key| (*key, key * key)).collect();
                async move {
                    future::yield_now().await;
                    squares
                }
            };
            shelf.get_many_with_async(&[2, 3], square).await
        }
    });
    let count = |missing: Vec<&u64>| {
        loads.fetch_add(missing.len(), Ordering::SeqCst);
        missing.into_iter().map(|key| (*key, key * key)).collect::<Vec<_>>()
    };
    assert_eq!(shelf.get_many_with(&[1, 2], count), [Some(1), Some(4)]);
    assert_eq!(block_on(task).unwrap(), [Some(4), Some(9)]);
    assert_eq!(loads.load(Ordering::SeqCst), 3, "each key is loaded once");
    checked(&shelf);
}

/// What a loader returns that counts its calls.
fn reloading(clock: &ManualClock, row: &Arc<AtomicUsize>) -> LoadingCache<u64, u64, u8, Seedless> {
    let row = Arc::clone(row);
    let builder = Cache::builder().capacity(8).shards(1).hasher(Seedless::default());
    let loader = move |_: &u64| {
        let now = row.load(Ordering::SeqCst) as u64;
        thread::yield_now();
        if now == FAILING { Err(1) } else { Ok(now) }
    };
    let builder = builder.clock(clock.clone()).time_to_live(SECOND * 10).loader(loader);
    let builder = builder.refresh_after(SECOND).stale_if_error(SECOND * 100);
    builder.spawner(Inline).build().unwrap()
}

const SECOND: Duration = Duration::from_secs(1);
const FAILING: u64 = 99;

pub fn a_reload_does_not_bring_back_what_was_removed_meanwhile() {
    let (clock, row) = (ManualClock::new(), Arc::new(AtomicUsize::new(1)));
    let cache = reloading(&clock, &row);
    assert_eq!(cache.get_or_load(&1), Ok(1));
    clock.advance(SECOND * 2);
    let reader = {
        let cache = cache.clone();
        thread::spawn(move || assert!(matches!(cache.get_or_load(&1), Ok(1 | 2))))
    };
    row.store(2, Ordering::SeqCst);
    cache.invalidate(&1);
    assert!(matches!(cache.get(&1), None | Some(2)));
    reader.join().unwrap();
    assert!(matches!(cache.get(&1), None | Some(2)));
    assert_eq!(cache.get_or_load(&1), Ok(2));
    cache.validate().unwrap();
}

pub fn a_stale_value_is_served_while_the_loader_fails_and_never_over_a_write() {
    let (clock, row) = (ManualClock::new(), Arc::new(AtomicUsize::new(1)));
    let cache = reloading(&clock, &row);
    assert_eq!(cache.get_or_load(&1), Ok(1));
    clock.advance(SECOND * 20);
    row.store(FAILING as usize, Ordering::SeqCst);
    let readers = [(); 2].map(|()| {
        let cache = cache.clone();
        thread::spawn(move || cache.get_or_load(&1))
    });
    cache.insert(1, 2);
    assert_eq!(cache.get_or_load(&1), Ok(2));
    for reader in readers {
        assert!(matches!(reader.join().unwrap(), Ok(1 | 2)));
    }
    assert_eq!(cache.get(&1), Some(2));
    cache.validate().unwrap();
}

pub fn a_value_that_is_due_is_reloaded_once_for_all_who_read_it() {
    let (clock, row) = (ManualClock::new(), Arc::new(AtomicUsize::new(1)));
    let cache = reloading(&clock, &row);
    assert_eq!(cache.get_or_load(&1), Ok(1));
    clock.advance(SECOND * 2);
    row.store(2, Ordering::SeqCst);
    let readers = [(); 3].map(|()| {
        let cache = cache.clone();
        thread::spawn(move || assert!(matches!(cache.get_or_load(&1), Ok(1 | 2))))
    });
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert_eq!(cache.get(&1), Some(2));
    cache.validate().unwrap();
}

pub fn a_row_beside_the_cache_is_never_seen_old_once_its_write_has_returned() {
    let row = Arc::new(AtomicUsize::new(1));
    let aside = Aside::new(shelf(8, 1), row);
    let read = |aside: &Aside<u64, u64, Arc<AtomicUsize>, Seedless>| {
        let select = |row: &Arc<AtomicUsize>| {
            let now = row.load(Ordering::SeqCst) as u64;
            thread::yield_now();
            Ok::<_, u8>(Some(now))
        };
        aside.read(&1, select).unwrap().unwrap()
    };
    let reader = {
        let aside = aside.clone();
        thread::spawn(move || {
            let seen = [(); 2].map(|()| read(&aside));
            assert!(seen.is_sorted(), "{seen:?}");
        })
    };
    let written = aside.write(&1, |row| {
        row.store(2, Ordering::SeqCst);
        Ok::<_, u8>(())
    });
    written.unwrap();
    assert_eq!(read(&aside), 2);
    reader.join().unwrap();
    assert_eq!(read(&aside), 2);
    checked(aside.cache());
}

pub fn a_key_that_is_asked_for_twice_has_its_value_twice() {
    let shelf = shelf(8, 1);
    let asker = spawn(&shelf, |shelf| {
        shelf.get_many_with(&[1, 1], |missing| {
            missing.into_iter().map(|key| (*key, key * 10)).collect::<Vec<_>>()
        })
    });
    shelf.invalidate(&1);
    assert_eq!(shelf.get_with(&1, || 10), 10);
    assert_eq!(asker.join().unwrap(), [Some(10), Some(10)]);
    checked(&shelf);
}
