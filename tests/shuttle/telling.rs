//! What left is told: once, in order, and before anybody goes on.

use super::{checked, shelving, spawn};
use larder::{Cache, Cause};
use shuttle::sync::Mutex;
use std::sync::{Arc, OnceLock};

type Told = Arc<Mutex<Vec<(u64, u64, Cause)>>>;

fn telling(told: &Told) -> impl Fn(&u64, &u64, Cause) + Send + Sync + 'static {
    let told = Arc::clone(told);
    move |key, value, cause| told.lock().unwrap().push((*key, *value, cause))
}

pub fn removals_of_a_key_are_told_in_order_and_once() {
    let told = Told::default();
    let shelf = shelving(8, 1).on_removal(telling(&told)).build().unwrap();
    let writers = [10, 20].map(|from| {
        spawn(&shelf, move |shelf| {
            (from..from + 3).for_each(|value| shelf.insert(1, value));
        })
    });
    let removed = shelf.remove(&1);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let last = shelf.get(&1);
    drop(shelf);
    let told = told.lock().unwrap();
    for from in [10, 20] {
        let of_one: Vec<u64> =
            told.iter().map(|told| told.1).filter(|value| value / from == 1).collect();
        assert_eq!(of_one, [from, from + 1, from + 2], "{told:?}");
    }
    // The last value is told last, and what was removed as such.
    let closed = told.last().filter(|told| told.2 == Cause::Closed).map(|told| told.1);
    assert_eq!(closed, last, "{told:?}");
    let explicit = told.iter().find(|told| told.2 == Cause::Explicit).map(|told| told.1);
    assert_eq!((explicit, told.len()), (removed, 6));
}

pub fn a_removal_is_told_before_it_returns() {
    let told = Told::default();
    let shelf = shelving(8, 1).on_removal(telling(&told)).build().unwrap();
    shelf.insert(1, 1);
    let reader = spawn(&shelf, |shelf| shelf.read(&1, |value| *value));
    let other = spawn(&shelf, |shelf| shelf.insert(1, 2));
    let removed = shelf.remove(&1);
    let so_far = told.lock().unwrap().clone();
    let mut expected = vec![(1, 1, Cause::Replaced), (1, 2, Cause::Explicit)];
    if removed == Some(1) {
        expected = vec![(1, 1, Cause::Explicit)];
    }
    assert!(so_far.starts_with(&expected), "{removed:?}: {so_far:?}");
    reader.join().unwrap();
    other.join().unwrap();
    shelf.clear();
    assert_eq!(told.lock().unwrap().len(), 2);
    checked(&shelf);
}

pub fn listeners_that_write_the_cache_end() {
    type Mine = Cache<u64, u64, super::Seedless>;
    let mine: Arc<OnceLock<std::sync::Weak<Mine>>> = Arc::default();
    let listener = {
        let mine = Arc::clone(&mine);
        move |key: &u64, value: &u64, _| {
            let shelf = mine.get().and_then(std::sync::Weak::upgrade);
            if let Some(shelf) = shelf.filter(|_| *key < 10) {
                // Of the very key, and of another one.
                shelf.insert(*key + 10, *value);
                shelf.invalidate(key);
            }
        }
    };
    let shelf = Arc::new(shelving(8, 1).on_removal(listener).build().unwrap());
    mine.set(Arc::downgrade(&shelf)).unwrap();
    let writers = [1, 2].map(|value| {
        spawn(&shelf, move |shelf| {
            shelf.insert(1, value);
            shelf.insert(1, value + 2);
        })
    });
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert!(shelf.contains_key(&11), "one value at least has left");
    checked(&shelf);
    mine.get().unwrap();
    drop(shelf);
}
