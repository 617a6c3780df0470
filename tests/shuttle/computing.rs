//! Computations: in turn with whatever else writes their key.

use super::{Shelf, checked, shelf, spawn};
use larder::{Compute, ComputeError, EntryOptions, Outcome};
use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use shuttle::thread;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

fn add(shelf: &Shelf, key: u64, more: u64) -> Outcome<u64> {
    shelf.entry(key).and_compute(|old| {
        thread::yield_now();
        Compute::Replace(old.unwrap_or(&0) + more)
    })
}

pub fn computations_of_one_key_take_turns() {
    let shelf = shelf(8, 1);
    let adders = [1, 10].map(|more| {
        spawn(&shelf, move |shelf| {
            let outcomes = [add(shelf, 1, more), add(shelf, 1, more)];
            let is_stored = |o: &Outcome<u64>| matches!(o, Outcome::Inserted | Outcome::Replaced);
            assert!(outcomes.iter().all(is_stored), "{outcomes:?}");
        })
    });
    add(&shelf, 1, 100);
    adders.into_iter().for_each(|adder| adder.join().unwrap());
    assert_eq!(shelf.get(&1), Some(122));
    checked(&shelf);
}

pub fn a_value_is_made_once_for_all_who_want_to_insert_it() {
    let (shelf, made) = (shelf(8, 1), Arc::new(AtomicUsize::new(0)));
    let make = {
        let made = Arc::clone(&made);
        move || {
            made.fetch_add(1, Ordering::SeqCst);
            10
        }
    };
    let others = [(); 2].map(|()| {
        let make = make.clone();
        spawn(&shelf, move |shelf| shelf.entry(1).or_insert_with(make))
    });
    assert_eq!(shelf.entry(1).or_insert_with(make), 10);
    assert_eq!(others.map(|other| other.join().unwrap()), [10, 10]);
    assert_eq!(made.load(Ordering::SeqCst), 1);
    checked(&shelf);
}

pub fn a_computation_and_writes_take_turns() {
    let shelf = shelf(8, 1);
    shelf.insert(1, 1);
    let adder = spawn(&shelf, |shelf| add(shelf, 1, 10));
    let remover = spawn(&shelf, |shelf| shelf.remove(&1));
    shelf.insert(1, 2);
    let (added, removed) = (adder.join().unwrap(), remover.join().unwrap());
    // In whichever order the three came.
    let came = (added, removed, shelf.get(&1));
    assert!(orders().contains(&came), "{came:?}");
    checked(&shelf);
}

/// What an addition of 10, a removal, and a write of 2 may come to, in one
/// order or another: outcome, what was removed, what is left.
fn orders() -> Vec<(Outcome<u64>, Option<u64>, Option<u64>)> {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let run = |order: [usize; 3]| {
        let (mut value, mut outcome, mut removed) = (Some(1), Outcome::Inserted, None);
        for step in order {
            match step {
                0 => {
                    if value.is_some() {
                        outcome = Outcome::Replaced;
                    }
                    value = Some(value.unwrap_or(0) + 10);
                }
                1 => removed = value.take(),
                _ => value = Some(2),
            }
        }
        (outcome, removed, value)
    };
    orders.map(run).into()
}

pub fn computations_that_wait_for_each_other_are_told() {
    let shelf = shelf(8, 2);
    let compute = |shelf: &Shelf, outer: u64, inner: u64| {
        let mut is_told = false;
        shelf.entry(outer).and_compute(|_| {
            let nested = shelf.entry(inner).try_and_compute(|_| Ok::<_, u8>(Compute::Replace(1)));
            is_told = matches!(nested, Err(ComputeError::Recursive));
            Compute::Replace(2)
        });
        is_told
    };
    let other = spawn(&shelf, move |shelf| compute(shelf, 2, 1));
    let mine = compute(&shelf, 1, 2);
    let theirs = other.join().unwrap();
    assert!(!(mine && theirs), "one of the two could have gone on");
    assert!(shelf.contains_key(&1) && shelf.contains_key(&2));
    checked(&shelf);
}

/// Computes from an epoch that ends before `forget`: what was computed from the
/// old one is not to be seen afterwards.
fn forgetting(forget: impl Fn(&Shelf), begin: impl Fn(&Shelf)) {
    let (shelf, epoch) = (shelf(8, 1), Arc::new(AtomicU64::new(0)));
    begin(&shelf);
    let computers = [(); 2].map(|()| {
        let epoch = Arc::clone(&epoch);
        spawn(&shelf, move |shelf| {
            shelf.entry(1).and_compute(|_| {
                let now = epoch.load(Ordering::SeqCst);
                thread::yield_now();
                Compute::Replace(now)
            })
        })
    });
    epoch.store(1, Ordering::SeqCst);
    forget(&shelf);
    assert!(matches!(shelf.get(&1), None | Some(1)));
    let outcomes = computers.map(|computer| computer.join().unwrap());
    let seen = shelf.get(&1);
    assert!(matches!(seen, None | Some(1)), "{outcomes:?}");
    let all_discarded = outcomes.iter().all(|o| matches!(o, Outcome::Discarded(_)));
    assert!(!all_discarded || seen.is_none(), "{outcomes:?}");
    checked(&shelf);
}

pub fn what_was_computed_before_an_invalidation_is_not_seen_after_it() {
    forgetting(|shelf| shelf.invalidate(&1), |_| ());
}

pub fn what_was_computed_before_all_was_invalidated_is_not_seen_after_it() {
    forgetting(Shelf::invalidate_all, |_| ());
}

pub fn what_was_computed_before_a_clear_is_not_seen_after_it() {
    forgetting(Shelf::clear, |shelf| shelf.insert(1, 0));
}

pub fn what_was_computed_before_its_tag_was_invalidated_is_not_seen_after_it() {
    forgetting(
        |shelf| shelf.invalidate_tag("red"),
        |shelf| shelf.insert_with(1, 0, EntryOptions::new().tag("red")),
    );
}

pub fn a_computation_that_panics_lets_the_next_one_in() {
    super::loads::be_quiet();
    let shelf = shelf(8, 1);
    shelf.insert(1, 1);
    let panicking = spawn(&shelf, |shelf| {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            shelf.entry(1).and_compute(|_| {
                thread::yield_now();
                panic!("on purpose")
            })
        }));
        assert!(panicked.is_err());
    });
    let adder = spawn(&shelf, |shelf| add(shelf, 1, 10));
    add(&shelf, 1, 100);
    panicking.join().unwrap();
    adder.join().unwrap();
    assert_eq!(shelf.get(&1), Some(111));
    checked(&shelf);
}
