//! What readers see, and what becomes of values.

use super::{Seedless, checked, shelf, shelving, spawn};
use larder::{Cache, Cause};
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;
use std::sync::Arc;

pub fn a_value_is_never_missed_and_never_goes_back_while_it_is_replaced() {
    let shelf = shelf(8, 1);
    shelf.insert(1, 10);
    let readers = [(); 2].map(|()| {
        spawn(&shelf, |shelf| {
            let seen = [shelf.get(&1), shelf.peek(&1), shelf.get(&1)];
            assert!(seen.is_sorted() && seen[0] >= Some(10), "{seen:?}");
        })
    });
    shelf.insert(1, 11);
    shelf.insert(1, 12);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    assert_eq!(shelf.get(&1), Some(12));
    checked(&shelf);
}

pub fn all_ways_to_look_show_what_was_written_before() {
    let shelf = shelf(8, 1);
    let others = [
        spawn(&shelf, |shelf| {
            shelf.insert(2, 20);
            shelf.remove(&2);
        }),
        spawn(&shelf, |shelf| shelf.run_maintenance()),
    ];
    for value in [10, 11] {
        shelf.insert(1, value);
        assert_eq!(shelf.get(&1), Some(value));
        assert_eq!(shelf.read(&1, |value| *value), Some(value));
        assert_eq!(shelf.peek(&1), Some(value));
        assert!(shelf.contains_key(&1));
    }
    assert_eq!(shelf.remove(&1), Some(11));
    assert!(!shelf.contains_key(&1) && shelf.peek(&1).is_none() && shelf.get(&1).is_none());
    others.into_iter().for_each(|other| other.join().unwrap());
    checked(&shelf);
}

pub fn a_value_that_is_held_stays_whole_while_others_come() {
    let live = Arc::new(AtomicUsize::new(0));
    let cache = Cache::builder().capacity(8).shards(1).hasher(Seedless::default());
    let cache: Cache<u64, Counted, _> = cache.build().unwrap();
    cache.insert(1, Counted::new(10, &live));
    let reader = {
        let cache = cache.clone();
        thread::spawn(move || {
            cache.read(&1, |value| {
                let before = value.number();
                thread::yield_now();
                assert_eq!(value.number(), before);
            })
        })
    };
    for number in 11..13 {
        cache.insert(1, Counted::new(number, &live));
    }
    cache.remove(&1);
    cache.insert(2, Counted::new(20, &live));
    reader.join().unwrap();
    cache.run_maintenance();
    assert_eq!(live.load(Ordering::SeqCst), 1);
    cache.validate().unwrap();
}

/// A value that knows whether it was dropped, and is told apart from others.
struct Counted(Box<AtomicUsize>, Arc<AtomicUsize>);

const DROPPED: usize = usize::MAX;

impl Counted {
    fn new(number: usize, live: &Arc<AtomicUsize>) -> Self {
        live.fetch_add(1, Ordering::SeqCst);
        Counted(Box::new(AtomicUsize::new(number)), Arc::clone(live))
    }

    fn number(&self) -> usize {
        let number = self.0.load(Ordering::SeqCst);
        assert_ne!(number, DROPPED);
        number
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Counted::new(self.number(), &self.1)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert_ne!(self.0.swap(DROPPED, Ordering::SeqCst), DROPPED, "dropped twice");
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

pub fn a_removed_value_is_handed_to_one_thread() {
    let shelf = shelf(8, 1);
    shelf.insert(1, 10);
    let others = [(); 2].map(|()| spawn(&shelf, |shelf| shelf.remove(&1)));
    let mut handed = vec![shelf.remove(&1)];
    handed.extend(others.map(|other| other.join().unwrap()));
    assert_eq!(handed.iter().flatten().collect::<Vec<_>>(), [&10]);
    checked(&shelf);
}

pub fn iterating_meets_what_stays_once() {
    let shelf = shelf(16, 2);
    (0..4).for_each(|key| shelf.insert(key, 0));
    let writer = spawn(&shelf, |shelf| {
        shelf.remove(&0);
        shelf.insert(1, 1);
        shelf.insert(7, 0);
    });
    let mut met: Vec<u64> = shelf.iter().map(|(key, _)| key).collect();
    met.sort_unstable();
    let is_staying = |key: &&u64| (1..4).contains(*key);
    assert!(met.iter().filter(is_staying).eq([1, 2, 3].iter()), "{met:?}");
    assert!(met.windows(2).all(|pair| pair[0] < pair[1]), "{met:?}");
    writer.join().unwrap();
    checked(&shelf);
}

pub fn the_coldest_and_the_hottest_are_entries_and_each_is_listed_once() {
    let shelf = shelf(4, 2);
    (0..3).for_each(|key| shelf.insert(key, key));
    let writer = spawn(&shelf, |shelf| {
        shelf.insert(5, 5);
        shelf.get(&0);
        shelf.remove(&1);
    });
    for listed in [shelf.hottest(9), shelf.coldest(9)] {
        let mut keys: Vec<u64> = listed.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        assert!(listed.iter().all(|(key, value)| key == value), "{listed:?}");
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
        assert!(keys.contains(&2), "nobody has touched it");
    }
    writer.join().unwrap();
    checked(&shelf);
}

pub fn every_value_is_dropped_once() {
    let live = Arc::new(AtomicUsize::new(0));
    let cache = Cache::builder().capacity(2).shards(1).hasher(Seedless::default());
    let cache: Cache<u64, Counted, _> = cache.build().unwrap();
    let threads = [1, 2].map(|from| {
        let (cache, live) = (cache.clone(), Arc::clone(&live));
        thread::spawn(move || {
            for key in [from, from + 1, 1] {
                cache.insert(key, Counted::new(1, &live));
                cache.get(&2).iter().for_each(|value| assert_eq!(value.number(), 1));
            }
        })
    });
    cache.clear();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    cache.run_maintenance();
    assert_eq!(live.load(Ordering::SeqCst), cache.len());
    cache.validate().unwrap();
    drop(cache);
    assert_eq!(live.load(Ordering::SeqCst), 0);
}

pub fn the_last_handle_takes_everything_with_it() {
    let told = Arc::new(AtomicUsize::new(0));
    let listener = {
        let told = Arc::clone(&told);
        move |_: &u64, _: &u64, cause| {
            assert_eq!(cause, Cause::Closed);
            told.fetch_add(1, Ordering::SeqCst);
        }
    };
    let shelf = shelving(8, 2).on_removal(listener).build().unwrap();
    let threads = [1, 2].map(|key| {
        let shelf = shelf.clone();
        thread::spawn(move || shelf.insert(key, key))
    });
    drop(shelf);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(told.load(Ordering::SeqCst), 2);
}

pub fn lookups_inserts_and_removals_are_all_counted() {
    let shelf = shelving(2, 1).record_stats().build().unwrap();
    let threads = [0, 1].map(|from| {
        spawn(&shelf, move |shelf| {
            for key in from..from + 3 {
                shelf.insert(key, key);
                shelf.get(&1);
            }
            shelf.remove(&from);
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let stats = shelf.stats();
    assert_eq!((stats.hits + stats.misses, stats.inserts), (6, 6), "{stats:?}");
    let left = stats.removed + stats.replaced + stats.evicted;
    assert_eq!(left + stats.entries, 6, "{stats:?}");
    checked(&shelf);
}
