//! What was invalidated is gone at once, and in the end freed.

use super::{checked, shelf, spawn};
use larder::EntryOptions;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

fn red() -> EntryOptions {
    EntryOptions::new().tag("red")
}

pub fn a_tag_hides_all_its_entries_at_once() {
    let shelf = shelf(16, 2);
    (0..4).for_each(|key| shelf.insert_with(key, key, red()));
    shelf.insert(9, 9);
    let reader = spawn(&shelf, |shelf| {
        let seen = [0, 1, 2, 3].map(|key| shelf.get(&key).is_some());
        // Once one is gone, so are all that are looked at later.
        assert!(seen.windows(2).all(|pair| pair[0] || !pair[1]), "{seen:?}");
    });
    let other = spawn(&shelf, |shelf| shelf.run_maintenance());
    shelf.invalidate_tag("red");
    assert!((0..4).all(|key| shelf.peek(&key).is_none()));
    reader.join().unwrap();
    other.join().unwrap();
    shelf.run_maintenance();
    assert_eq!((shelf.len(), shelf.get(&9)), (1, Some(9)));
    checked(&shelf);
}

pub fn what_was_written_under_a_tag_before_is_gone_and_freed() {
    let (shelf, written) = (shelf(8, 1), Arc::new(AtomicU64::new(0)));
    let writer = spawn(&shelf, {
        let written = Arc::clone(&written);
        move |shelf| {
            for version in 1..=3 {
                shelf.insert_with(1, version, red());
                written.store(version, Ordering::SeqCst);
            }
        }
    });
    let tidy = spawn(&shelf, |shelf| shelf.run_maintenance());
    let mut before = 0;
    for _ in 0..2 {
        before = written.load(Ordering::SeqCst);
        shelf.invalidate_tag("red");
        assert!(shelf.get(&1).is_none_or(|version| version > before));
    }
    writer.join().unwrap();
    tidy.join().unwrap();
    assert!(shelf.get(&1).is_none_or(|version| version > before));
    shelf.run_maintenance();
    assert_eq!(shelf.len(), usize::from(shelf.contains_key(&1)), "what is hidden is freed");
    checked(&shelf);
}

pub fn a_predicate_meets_all_that_was_there() {
    let shelf = shelf(16, 2);
    (0..4).for_each(|key| shelf.insert(key, key));
    let writer = spawn(&shelf, |shelf| {
        shelf.insert(0, 100);
        shelf.insert(1, 101);
        shelf.insert(5, 102);
    });
    shelf.invalidate_if(|_, value| value % 2 == 1 && *value < 100);
    assert!(shelf.get(&3).is_none() && shelf.get(&1) != Some(1));
    assert!(shelf.get(&0).is_some() && shelf.get(&2) == Some(2), "these are not meant");
    writer.join().unwrap();
    assert_eq!([0, 1, 5].map(|key| shelf.get(&key)), [Some(100), Some(101), Some(102)]);
    checked(&shelf);
}

pub fn clearing_and_writing_lose_nothing_that_came_later() {
    let shelf = shelf(16, 1);
    (0..3).for_each(|key| shelf.insert(key, 0));
    let reader = spawn(&shelf, |shelf| {
        for key in 0..3 {
            let seen = [shelf.get(&key), shelf.get(&key)];
            assert!(seen != [None, Some(0)], "what is cleared does not come back");
        }
    });
    let writer = spawn(&shelf, |shelf| {
        shelf.clear();
        shelf.insert(1, 1);
        assert_eq!(shelf.get(&1), Some(1));
    });
    shelf.insert(7, 7);
    reader.join().unwrap();
    writer.join().unwrap();
    assert_eq!([0, 1, 2].map(|key| shelf.get(&key)), [None, Some(1), None]);
    assert!([None, Some(7)].contains(&shelf.get(&7)));
    checked(&shelf);
}

pub fn tags_that_die_one_after_the_other_are_all_freed() {
    let shelf = shelf(8, 1);
    shelf.insert_with(1, 1, red());
    shelf.insert_with(2, 2, EntryOptions::new().tag("blue"));
    let tidy = spawn(&shelf, |shelf| shelf.run_maintenance());
    shelf.invalidate_tag("red");
    shelf.invalidate_tag("blue");
    tidy.join().unwrap();
    shelf.run_maintenance();
    assert_eq!(shelf.len(), 0);
    checked(&shelf);
}

pub fn a_write_whose_tag_dies_meanwhile_takes_no_newer_value_with_it() {
    let shelf = shelf(8, 1);
    shelf.insert_with(2, 0, red());
    let writer = spawn(&shelf, |shelf| shelf.insert_with(1, 1, red()));
    shelf.invalidate_tag("red");
    shelf.insert(1, 2);
    // Written before the tag died, it is gone, and the other came later; or it
    // was written after that, and is there unless the other came last.
    assert!(matches!(shelf.get(&1), Some(1 | 2)));
    writer.join().unwrap();
    assert!(matches!(shelf.get(&1), Some(1 | 2)));
    checked(&shelf);
}
