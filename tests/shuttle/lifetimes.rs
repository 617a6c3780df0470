//! Entries whose time ends while others look on.

use super::{Seedless, Shelf, checked, shelving, spawn};
use larder::{Builder, EntryOptions, Expiry, ManualClock};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn clocked() -> (Builder<u64, u64, Seedless>, ManualClock) {
    let clock = ManualClock::new();
    (shelving(8, 1).clock(clock.clone()), clock)
}

pub fn nobody_sees_what_has_expired() {
    let (builder, clock) = clocked();
    let shelf = builder.time_to_live(SECOND * 30).build().unwrap();
    shelf.insert_with(1, 10, EntryOptions::new().ttl(SECOND * 10));
    shelf.insert(2, 20);
    let reader = spawn(&shelf, |shelf| {
        let seen = [(); 3].map(|()| shelf.get(&1).is_none());
        assert!(seen.is_sorted(), "what has expired does not come back: {seen:?}");
    });
    let other = spawn(&shelf, |shelf| {
        shelf.insert(3, 30);
        shelf.run_maintenance();
    });
    clock.advance(SECOND * 10);
    assert!(shelf.get(&1).is_none() && !shelf.contains_key(&1));
    assert_eq!(shelf.get(&2), Some(20));
    reader.join().unwrap();
    other.join().unwrap();
    clock.advance(SECOND * 60);
    shelf.run_maintenance();
    assert_eq!(shelf.len(), 0);
    checked(&shelf);
}

/// The first deadline that there ever is in a shard: until then nobody asks what
/// time it is.
pub fn nobody_meets_a_value_that_has_expired_at_once() {
    let (builder, clock) = clocked();
    let shelf = builder.build().unwrap();
    // Its time is not 0 any more.
    clock.advance(SECOND);
    shelf.insert(2, 20);
    let writer = spawn(&shelf, |shelf| {
        shelf.insert_with(1, 10, EntryOptions::new().ttl(Duration::ZERO));
    });
    let looker = spawn(&shelf, |shelf| {
        assert_eq!(shelf.get(&1), None);
        assert!(shelf.hottest(4).iter().all(|(key, _)| *key == 2));
    });
    assert!(shelf.iter().all(|(key, _)| key == 2));
    writer.join().unwrap();
    looker.join().unwrap();
    checked(&shelf);
}

pub fn a_read_prolongs_the_time_to_idle() {
    let (builder, clock) = clocked();
    let shelf = builder.time_to_idle(SECOND * 10).build().unwrap();
    shelf.insert(1, 10);
    shelf.insert(2, 20);
    let others = [
        spawn(&shelf, Shelf::run_maintenance),
        spawn(&shelf, |shelf| {
            shelf.insert(3, 30);
            shelf.remove(&3);
        }),
    ];
    for _ in 0..3 {
        clock.advance(SECOND * 6);
        assert_eq!(shelf.get(&1), Some(10));
    }
    assert_eq!(shelf.get(&2), None);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert_eq!(shelf.get(&1), Some(10));
    shelf.run_maintenance();
    assert_eq!(shelf.len(), 1);
    checked(&shelf);
}

pub fn a_deadline_that_was_put_off_in_time_is_kept() {
    let (builder, clock) = clocked();
    let shelf = builder.time_to_live(SECOND * 10).build().unwrap();
    shelf.insert(1, 10);
    let putter = spawn(&shelf, |shelf| shelf.set_expires_in(&1, SECOND * 100));
    let tidy = spawn(&shelf, Shelf::run_maintenance);
    clock.advance(SECOND * 20);
    let is_put_off = putter.join().unwrap();
    tidy.join().unwrap();
    assert_eq!(shelf.get(&1), is_put_off.then_some(10));
    assert_eq!(shelf.expires_in(&1).is_some(), is_put_off);
    shelf.run_maintenance();
    assert_eq!(shelf.len(), usize::from(is_put_off));
    checked(&shelf);
}

/// As many seconds as the value says; from a read on, one.
struct OneMore;

impl Expiry<u64, u64> for OneMore {
    fn on_create(&self, _: &u64, value: &u64) -> Duration {
        SECOND * *value as u32
    }

    fn on_read(&self, _: &u64, _: &u64, _: Duration) -> Duration {
        SECOND
    }
}

pub fn what_an_expiry_says_of_a_read_holds() {
    let (builder, clock) = clocked();
    let shelf = builder.expiry(OneMore).build().unwrap();
    shelf.insert(1, 100);
    shelf.insert(2, 100);
    let reader = spawn(&shelf, |shelf| shelf.get(&1));
    let other = spawn(&shelf, |shelf| shelf.insert(3, 1));
    assert_eq!(reader.join().unwrap(), Some(100));
    clock.advance(SECOND);
    assert_eq!(shelf.peek(&1), None, "the read has brought its end forward");
    other.join().unwrap();
    assert_eq!(shelf.peek(&2), Some(100));
    clock.advance(SECOND);
    shelf.run_maintenance();
    assert_eq!(shelf.len(), 1);
    checked(&shelf);
}
