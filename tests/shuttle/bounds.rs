//! How much there may be, at every moment.

use super::{checked, shelf, shelving, spawn};
use larder::Eviction;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub fn hits_and_evictions_race(eviction: Eviction) {
    let shelf = shelving(3, 1).eviction(eviction).build().unwrap();
    (0..3).for_each(|key| shelf.insert(key, key));
    let reader = spawn(&shelf, |shelf| {
        for key in [0, 0, 2, 4] {
            assert!(shelf.get(&key).is_none_or(|value| value % 10 == key));
        }
    });
    let writer = spawn(&shelf, |shelf| {
        shelf.insert(4, 4);
        shelf.insert(0, 10);
        assert!(shelf.len() <= 3);
    });
    shelf.insert(5, 5);
    shelf.remove(&1);
    assert!(shelf.len() <= 3);
    reader.join().unwrap();
    writer.join().unwrap();
    checked(&shelf);
    // The policy knows them all: each can be made to leave.
    let left = shelf.len();
    assert_eq!((shelf.coldest(9).len(), shelf.hottest(9).len()), (left, left));
    shelf.set_capacity(0);
    assert!(shelf.is_empty());
    checked(&shelf);
}

pub fn there_are_never_more_entries_than_the_capacity() {
    let shelf = shelf(2, 1);
    let writers = [0, 10].map(|from| {
        spawn(&shelf, move |shelf| {
            for key in from..from + 3 {
                shelf.insert(key, 1);
                assert!(shelf.len() <= 2);
            }
        })
    });
    assert!(shelf.iter().count() <= 4, "two at a time, and two that came meanwhile");
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(shelf.len(), 2);
    checked(&shelf);
}

pub fn there_is_never_more_weight_than_the_capacity() {
    let shelf = shelving(100, 2).weight_capacity(10).weigher(|_, value| *value as u32);
    let shelf = shelf.build().unwrap();
    let writers = [[3, 6], [4, 5]].map(|weights| {
        spawn(&shelf, move |shelf| {
            for weight in weights {
                shelf.insert(weight, weight);
                assert!(shelf.weight() <= 10);
                // Another weight for the same key.
                shelf.insert(weight, weight - 1);
                assert!(shelf.weight() <= 10);
            }
        })
    });
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(shelf.weight(), shelf.iter().map(|(_, weight)| weight).sum::<u64>());
    checked(&shelf);
}

pub fn what_is_too_heavy_leaves_nothing_behind() {
    let shelf = shelving(100, 1).weight_capacity(10).weigher(|_, value| *value as u32);
    let rejected = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&rejected);
    let listener = move |_: &u64, value: &u64, cause| {
        assert_eq!(cause == larder::Cause::Rejected, *value > 10, "{cause}");
        told.fetch_add(u64::from(*value > 10), Ordering::Relaxed);
    };
    let shelf = shelf.on_removal(listener).build().unwrap();
    let writer = spawn(&shelf, |shelf| shelf.insert(1, 5));
    let reader = spawn(&shelf, |shelf| {
        assert!([None, Some(5)].contains(&shelf.get(&1)), "nobody sees what is too heavy");
    });
    shelf.insert(1, 11);
    writer.join().unwrap();
    reader.join().unwrap();
    assert!([None, Some(5)].contains(&shelf.get(&1)));
    assert_eq!(rejected.load(Ordering::Relaxed), 1);
    checked(&shelf);
}

pub fn a_smaller_capacity_holds_once_it_is_set() {
    let shelf = shelf(4, 2);
    (0..3).for_each(|key| shelf.insert(key, key));
    let writer = spawn(&shelf, |shelf| {
        shelf.insert(5, 5);
        shelf.insert(6, 6);
    });
    shelf.set_capacity(1);
    assert!(shelf.len() <= 1);
    writer.join().unwrap();
    assert_eq!(shelf.len(), 1);
    checked(&shelf);
}

pub fn a_smaller_weight_capacity_holds_once_it_is_set() {
    let shelf = shelving(100, 1).weight_capacity(12).weigher(|_, value| *value as u32);
    let shelf = shelf.build().unwrap();
    [3, 4].iter().for_each(|weight| shelf.insert(*weight, *weight));
    let writer = spawn(&shelf, |shelf| {
        shelf.insert(5, 5);
        shelf.insert(3, 2);
    });
    shelf.set_weight_capacity(5);
    assert!(shelf.weight() <= 5);
    writer.join().unwrap();
    assert!(shelf.weight() <= 5);
    checked(&shelf);
}

pub fn shards_lend_each_other_room_and_lose_none() {
    let shelf = shelf(3, 2);
    let writers = [0, 10].map(|from| {
        spawn(&shelf, move |shelf| {
            for key in from..from + 3 {
                shelf.insert(key, 1);
                assert!(shelf.len() <= 3);
            }
        })
    });
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(shelf.len(), 3, "no room is lost");
    checked(&shelf);
}
