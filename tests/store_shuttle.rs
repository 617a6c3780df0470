//! A cache over a store under random schedules, tried by shuttle.
//!
//! ```sh
//! RUSTFLAGS='--cfg larder_shuttle' cargo test --release --test store_shuttle
//! ```
//!
//! Each scenario runs under so many schedules as it says; how to have one of
//! them again is in `common/schedules.rs`.
#![cfg(larder_shuttle)]

#[path = "common/schedules.rs"]
mod schedules;

use larder::store::{Loader, Overflow, Store, StoreCache, WriteBack, WriteError, WritePolicy};
use larder::{Cache, ManualClock};
use schedules::schedules;
use shuttle::sync::Mutex;
use shuttle::thread;
use std::collections::BTreeMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A hasher without a random seed, so that schedules can be repeated.
type Seedless = BuildHasherDefault<std::hash::DefaultHasher>;
type Cached = StoreCache<u32, u64, Arc<Table>, Seedless>;

/// How many schedules for each scenario, and each of its policies.
const SCHEDULES: usize = 10_000;

/// Rows, and all that has been written, `None` for a delete; and how many calls
/// are refused before one is not.
#[derive(Default)]
struct Table(Mutex<(BTreeMap<u32, u64>, Vec<(u32, Option<u64>)>)>, AtomicU32);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Down;

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the table is down")
    }
}

impl Table {
    fn change(&self, key: u32, value: Option<u64>) -> Result<(), Down> {
        // A moment in which others may do something.
        thread::yield_now();
        let refused = self.1.load(Ordering::Relaxed);
        if refused > 0 {
            self.1.store(refused - 1, Ordering::Relaxed);
            return Err(Down);
        }
        let mut table = self.0.lock().unwrap();
        table.1.push((key, value));
        match value {
            Some(value) => table.0.insert(key, value),
            None => table.0.remove(&key),
        };
        Ok(())
    }

    fn value(&self, key: u32) -> Option<u64> {
        self.0.lock().unwrap().0.get(&key).copied()
    }
    fn history(&self, key: u32) -> Vec<Option<u64>> {
        let table = self.0.lock().unwrap();
        table.1.iter().filter(|(other, _)| *other == key).map(|(_, value)| *value).collect()
    }
}

impl Loader<u32, u64> for Table {
    type Error = Down;
    fn load(&self, key: &u32) -> Result<Option<u64>, Down> {
        let value = self.value(*key);
        thread::yield_now();
        Ok(value)
    }
}

impl Store<u32, u64> for Table {
    fn write(&self, key: &u32, value: &u64) -> Result<(), Down> {
        self.change(*key, Some(*value))
    }
    fn delete(&self, key: &u32) -> Result<(), Down> {
        self.change(*key, None)
    }
}

fn over(table: &Arc<Table>, policy: WritePolicy, capacity: usize) -> Cached {
    let cache = Cache::builder().capacity(capacity).shards(1).hasher(Seedless::default());
    StoreCache::builder(cache.build().unwrap(), Arc::clone(table))
        .policy(policy)
        .clock(ManualClock::new())
        .build()
        .unwrap()
}

/// Due at once, and done by whoever calls `run_due`.
fn back() -> WriteBack {
    let settings = WriteBack::new().workers(0).delay(Duration::ZERO).seed(1);
    settings.backoff(Duration::ZERO, Duration::ZERO).drop_deadline(Duration::ZERO)
}

fn policies() -> [WritePolicy; 3] {
    [WritePolicy::Through, WritePolicy::Around, WritePolicy::Back(back())]
}

#[test]
fn writing_and_deleting_during_a_flush() {
    schedules(SCHEDULES, || {
        let table = Arc::new(Table::default());
        let cache = over(&table, WritePolicy::Back(back()), 8);
        let writer = thread::spawn({
            let cache = cache.clone();
            move || {
                cache.put(1, 1).unwrap();
                cache.put(1, 2).unwrap();
                cache.delete(1).unwrap();
                cache.put(1, 3).unwrap();
            }
        });
        let workers = [0, 1].map(|_| {
            let cache = cache.clone();
            thread::spawn(move || cache.run_due())
        });
        writer.join().unwrap();
        for worker in workers {
            worker.join().unwrap();
        }
        assert!(cache.flush().failed.is_empty());
        let order =
            |value: &Option<u64>| [Some(1), Some(2), None, Some(3)].iter().position(|v| v == value);
        let history: Vec<_> = table.history(1).iter().map(order).collect();
        assert!(history.is_sorted(), "{history:?}");
        assert_eq!((table.value(1), cache.get(&1).unwrap()), (Some(3), Some(3)));
        assert_eq!(cache.stats().dirty, 0);
    });
}

#[test]
fn readers_never_see_a_key_go_back_while_it_is_evicted_and_flushed() {
    for policy in policies() {
        schedules(SCHEDULES, move || {
            let table = Arc::new(Table::default());
            let cache = over(&table, policy.clone(), 1);
            let writer = thread::spawn({
                let cache = cache.clone();
                move || {
                    for value in 1..=2 {
                        cache.put(1, value).unwrap();
                        assert_eq!(cache.get(&1).unwrap(), Some(value));
                    }
                }
            });
            let reader = thread::spawn({
                let cache = cache.clone();
                move || {
                    let mut seen = None;
                    for _ in 0..3 {
                        let found = cache.get(&1).unwrap();
                        assert!(found >= seen, "{found:?} after {seen:?}");
                        seen = found;
                    }
                }
            });
            let noise = thread::spawn({
                let cache = cache.clone();
                move || {
                    cache.cache().invalidate(&1);
                    cache.get(&2).unwrap();
                    cache.run_due();
                }
            });
            writer.join().unwrap();
            reader.join().unwrap();
            noise.join().unwrap();
            assert!(cache.flush().failed.is_empty());
            assert_eq!((table.value(1), cache.get(&1).unwrap()), (Some(2), Some(2)));
        });
    }
}

#[test]
fn two_writers_of_one_key_leave_cache_and_store_with_the_same_value() {
    for policy in policies() {
        schedules(SCHEDULES, move || {
            let table = Arc::new(Table::default());
            let cache = over(&table, policy.clone(), 8);
            let writers = [Some(1), Some(2), None].map(|value| {
                let cache = cache.clone();
                thread::spawn(move || {
                    match value {
                        Some(value) => cache.put(1, value).unwrap(),
                        None => cache.delete(1).unwrap(),
                    }
                    cache.run_due();
                })
            });
            for writer in writers {
                writer.join().unwrap();
            }
            cache.flush();
            assert_eq!(cache.get(&1).unwrap(), table.value(1));
            cache.cache().invalidate(&1);
            assert_eq!(cache.get(&1).unwrap(), table.value(1));
        });
    }
}

#[test]
fn a_put_that_meets_a_close_is_stored_or_refused() {
    for policy in policies() {
        schedules(SCHEDULES, move || {
            let table = Arc::new(Table::default());
            let cache = over(&table, policy.clone(), 8);
            let writer = thread::spawn({
                let cache = cache.clone();
                move || cache.put(1, 1)
            });
            let closer = thread::spawn({
                let cache = cache.clone();
                move || cache.close(Duration::MAX)
            });
            let put = writer.join().unwrap();
            let report = closer.join().unwrap();
            assert!(report.is_clean());
            match put {
                Ok(()) => assert_eq!(table.value(1), Some(1)),
                Err(WriteError::Closed) => assert_eq!(table.value(1), None),
                Err(other) => panic!("{other}"),
            }
        });
    }
}

#[test]
fn a_flush_returns_when_what_was_written_before_it_is_stored() {
    schedules(SCHEDULES, || {
        let table = Arc::new(Table::default());
        let cache = over(&table, WritePolicy::Back(back()), 8);
        let threads = [1_u64, 2].map(|value| {
            let (cache, table) = (cache.clone(), Arc::clone(&table));
            thread::spawn(move || {
                let key = value as u32;
                cache.put(key, value).unwrap();
                cache.put(3, value).unwrap();
                assert!(cache.flush().failed.is_empty());
                assert_eq!(table.value(key), Some(value));
                assert!(table.value(3).is_some());
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(table.value(3), cache.get(&3).unwrap());
    });
}

#[test]
fn writers_that_wait_for_room_all_get_it() {
    for overflow in [Overflow::Block { timeout: Duration::MAX }, Overflow::WriteThrough] {
        schedules(SCHEDULES, move || {
            let table = Arc::new(Table::default());
            let settings = back().max_dirty(1).overflow(overflow);
            let cache = over(&table, WritePolicy::Back(settings), 8);
            let writers = [1_u32, 2].map(|key| {
                let cache = cache.clone();
                thread::spawn(move || {
                    cache.put(key, 1).unwrap();
                    cache.run_due();
                    cache.put(key, 2).unwrap();
                    cache.run_due();
                })
            });
            for writer in writers {
                writer.join().unwrap();
            }
            cache.flush();
            assert_eq!((table.value(1), table.value(2)), (Some(2), Some(2)));
            for key in [1, 2] {
                assert!(table.history(key).is_sorted());
                assert_eq!(cache.get(&key).unwrap(), Some(2));
            }
        });
    }
}

#[test]
fn a_key_that_was_deleted_is_not_loaded_back() {
    for policy in policies() {
        schedules(SCHEDULES, move || {
            let table = Arc::new(Table::default());
            table.change(1, Some(1)).unwrap();
            let cache = over(&table, policy.clone(), 8);
            let reader = thread::spawn({
                let cache = cache.clone();
                move || {
                    let seen = [(); 2].map(|()| cache.get(&1).unwrap().is_none());
                    assert!(seen.is_sorted(), "{seen:?}");
                }
            });
            let worker = thread::spawn({
                let cache = cache.clone();
                move || cache.run_due()
            });
            cache.delete(1).unwrap();
            assert_eq!(cache.get(&1).unwrap(), None);
            reader.join().unwrap();
            worker.join().unwrap();
            cache.flush();
            assert_eq!((cache.get(&1).unwrap(), table.value(1)), (None, None));
        });
    }
}

#[test]
fn many_keys_are_read_as_they_were_written_before() {
    for policy in policies() {
        schedules(SCHEDULES, move || {
            let table = Arc::new(Table::default());
            let cache = over(&table, policy.clone(), 2);
            let writer = thread::spawn({
                let cache = cache.clone();
                move || cache.put(2, 22).unwrap()
            });
            let reader = thread::spawn({
                let cache = cache.clone();
                move || {
                    let seen = [(); 2].map(|()| cache.get_many(&[1, 3]).unwrap());
                    for key in [0, 1] {
                        assert!(seen[0][key] <= seen[1][key], "{seen:?}");
                    }
                }
            });
            let put = cache.put_many(vec![(1, 10), (2, 20), (3, 30)]);
            assert!(put.iter().all(Result::is_ok), "{put:?}");
            let read = cache.get_many(&[1, 2, 3]).unwrap();
            assert!(
                [[10, 20, 30], [10, 22, 30]]
                    .map(|all| all.map(Some))
                    .contains(&[read[0], read[1], read[2]])
            );
            writer.join().unwrap();
            reader.join().unwrap();
            cache.flush();
            for key in 1..=3 {
                assert_eq!(cache.get(&key).unwrap(), table.value(key));
            }
        });
    }
}

#[test]
fn what_the_store_refused_is_tried_again_and_the_newest_wins() {
    schedules(SCHEDULES, || {
        let table = Arc::new(Table::default());
        table.1.store(2, Ordering::Relaxed);
        let settings = back().max_attempts(1);
        let cache = over(&table, WritePolicy::Back(settings), 8);
        let writer = thread::spawn({
            let cache = cache.clone();
            move || {
                cache.put(1, 1).unwrap();
                cache.run_due();
                cache.put(1, 2).unwrap();
            }
        });
        let worker = thread::spawn({
            let cache = cache.clone();
            move || {
                cache.run_due();
                cache.retry_failed();
                cache.run_due();
            }
        });
        assert!([None, Some(1), Some(2)].contains(&cache.get(&1).unwrap()));
        writer.join().unwrap();
        worker.join().unwrap();
        // Each flush uses up a refusal at the most.
        for _ in 0..3 {
            cache.retry_failed();
            cache.flush();
        }
        assert_eq!((table.value(1), cache.get(&1).unwrap()), (Some(2), Some(2)));
        assert!(table.history(1).is_sorted() && cache.failed().is_empty());
    });
}

#[test]
fn a_refused_write_through_changes_nothing_that_others_see() {
    schedules(SCHEDULES, || {
        let table = Arc::new(Table::default());
        table.change(1, Some(1)).unwrap();
        table.1.store(1, Ordering::Relaxed);
        let cache = over(&table, WritePolicy::Through, 8);
        let writers = [2, 3].map(|value| {
            let cache = cache.clone();
            thread::spawn(move || cache.put(1, value).is_ok().then_some(value))
        });
        let seen = cache.get(&1).unwrap();
        let stored: Vec<u64> =
            writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect();
        assert_eq!(stored.len(), 1, "one of the two is refused");
        assert!(seen == Some(1) || seen == Some(stored[0]), "{seen:?}");
        assert_eq!((table.value(1), cache.get(&1).unwrap()), (Some(stored[0]), Some(stored[0])));
    });
}

#[test]
fn a_load_that_meets_a_put_and_an_eviction_does_not_bring_the_old_row_back() {
    schedules(SCHEDULES, || {
        let table = Arc::new(Table::default());
        table.change(1, Some(1)).unwrap();
        table.change(2, Some(20)).unwrap();
        let cache = over(&table, WritePolicy::Back(back()), 1);
        let reader = thread::spawn({
            let cache = cache.clone();
            move || cache.get(&1).unwrap()
        });
        cache.put(1, 2).unwrap();
        // There is room for one: the other leaves, and the queue has it, until
        // it is stored, perhaps between the old row and the end of its load.
        assert_eq!(cache.get(&2).unwrap(), Some(20));
        cache.run_due();
        assert_eq!(cache.get(&1).unwrap(), Some(2));
        assert!([Some(1), Some(2)].contains(&reader.join().unwrap()));
        cache.flush();
        assert_eq!((cache.get(&1).unwrap(), table.value(1)), (Some(2), Some(2)));
    });
}
