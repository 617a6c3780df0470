//! Reading, writing and computing with bombs.

use crate::bombs::{BOOM, Bomb, LIFETIME, arm, disarm, use_of};
use crate::matrix::{
    FIRST, KEY, NEW, Operation, Scene, explode, reads, sweeps, takes_steps, writes,
};
use crate::pantry::{HEAVY, Pantry, Shape, WEIGHT};
use crate::quiet::keep_quiet_about;
use larder::{Compute, EntryOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};

const OPERATIONS: &[Operation<Pantry>] = &[
    reads("get", |pantry| _ = pantry.cache.get(&pantry.query(KEY))),
    reads("get nothing", |pantry| _ = pantry.cache.get(&pantry.query(NEW))),
    reads("peek", |pantry| _ = pantry.cache.peek(&pantry.query(KEY))),
    reads("read", |pantry| pantry.read(KEY)),
    reads("contains_key", |pantry| _ = pantry.cache.contains_key(&pantry.query(KEY))),
    reads("expires_in", |pantry| _ = pantry.cache.expires_in(&pantry.query(KEY))),
    reads("iter", |pantry| pantry.cache.iter().for_each(drop)),
    reads("hottest", |pantry| _ = pantry.cache.hottest(9)),
    reads("coldest", |pantry| _ = pantry.cache.coldest(9)),
    reads("or_insert_with a hit", |pantry| pantry.make(KEY)),
    reads("compute and keep", |pantry| _ = pantry.compute(KEY, || Compute::Keep)),
    reads("compute and keep nothing", |pantry| _ = pantry.compute(NEW, || Compute::Keep)),
    reads("compute in vain", |pantry| {
        _ = pantry.cache.entry(pantry.key(KEY)).try_and_compute(|_| {
            use_of(Bomb::Compute);
            Err(())
        });
    }),
    reads("remove nothing", |pantry| _ = pantry.cache.remove(&pantry.query(NEW))),
    reads("invalidate nothing", |pantry| pantry.cache.invalidate(&pantry.query(NEW))),
    writes("insert", NEW, |pantry| pantry.insert(NEW, WEIGHT)),
    writes("insert over", KEY, |pantry| pantry.insert(KEY, WEIGHT)),
    writes("insert a lighter one over", KEY, |pantry| pantry.insert(KEY, 0)),
    writes("insert a heavier one over", KEY, |pantry| pantry.insert(KEY, 3 * WEIGHT)),
    writes("insert a heavier one", NEW, |pantry| pantry.insert(NEW, 3 * WEIGHT)),
    writes("insert too heavy a one", NEW, |pantry| pantry.insert(NEW, HEAVY)),
    writes("insert too heavy a one over", KEY, |pantry| pantry.insert(KEY, HEAVY)),
    writes("remove", KEY, |pantry| _ = pantry.cache.remove(&pantry.query(KEY))),
    writes("invalidate", KEY, |pantry| pantry.cache.invalidate(&pantry.query(KEY))),
    writes("or_insert_with", NEW, |pantry| pantry.make(NEW)),
    writes("compute a first value", NEW, |pantry| {
        pantry.compute(NEW, || Compute::Replace(pantry.value(NEW, WEIGHT)));
    }),
    writes("compute another value", KEY, |pantry| {
        pantry.compute(KEY, || Compute::Replace(pantry.value(KEY, WEIGHT)));
    }),
    writes("compute a heavier value", KEY, |pantry| {
        pantry.compute(KEY, || Compute::Replace(pantry.value(KEY, 3 * WEIGHT)));
    }),
    writes("compute too heavy a value", KEY, |pantry| {
        pantry.compute(KEY, || Compute::Replace(pantry.value(KEY, HEAVY)));
    }),
    writes("compute and remove", KEY, |pantry| _ = pantry.compute(KEY, || Compute::Remove)),
    takes_steps("compute and be discarded", KEY, |pantry| {
        pantry.compute(KEY, || {
            pantry.cache.invalidate(&pantry.query(KEY));
            Compute::Replace(pantry.value(KEY, WEIGHT))
        });
    }),
    sweeps("extend", |pantry| {
        pantry.cache.extend(FIRST.map(|key| (pantry.key(key), pantry.value(key, WEIGHT))));
    }),
    sweeps("invalidate_if", |pantry| {
        pantry.cache.invalidate_if(|key, _| {
            use_of(Bomb::Predicate);
            key.id % 2 == 0
        });
    }),
    sweeps("invalidate_tag", |pantry| {
        pantry.cache.invalidate_tag("odd");
        pantry.cache.run_maintenance();
    }),
    sweeps("two invalidate_tags and a look-up", |pantry| {
        pantry.cache.invalidate_tag("odd");
        pantry.cache.invalidate_tag("third");
        _ = pantry.cache.get(&pantry.query(KEY));
    }),
    sweeps("invalidate_all", |pantry| {
        pantry.cache.invalidate_all();
        pantry.cache.run_maintenance();
    }),
    sweeps("invalidate_all and len", |pantry| {
        pantry.cache.invalidate_all();
        assert_eq!(pantry.cache.len(), 0);
    }),
    sweeps("invalidate_all and insert", |pantry| {
        pantry.cache.invalidate_all();
        pantry.insert(KEY, WEIGHT);
    }),
    sweeps("invalidate_all and compute", |pantry| {
        pantry.cache.invalidate_all();
        pantry.compute(KEY, || Compute::Replace(pantry.value(KEY, WEIGHT)));
    }),
    sweeps("compute, invalidate_all meanwhile", |pantry| {
        pantry.compute(KEY, || {
            pantry.cache.invalidate_all();
            Compute::Replace(pantry.value(KEY, WEIGHT))
        });
    }),
    sweeps("all expire and are tidied up", |pantry| {
        pantry.age();
        pantry.cache.run_maintenance();
    }),
    sweeps("all expire and one is asked for", |pantry| {
        pantry.age();
        _ = pantry.cache.get(&pantry.query(KEY));
    }),
    sweeps("all expire and one is inserted", |pantry| {
        pantry.age();
        pantry.insert(NEW, WEIGHT);
    }),
    writes("set_expires_in", KEY, |pantry| {
        pantry.cache.set_expires_in(&pantry.query(KEY), LIFETIME);
    }),
    writes("insert_with a time to live", NEW, |pantry| {
        let options = EntryOptions::new().ttl(LIFETIME).tti(LIFETIME);
        pantry.cache.insert_with(pantry.key(NEW), pantry.value(NEW, WEIGHT), options);
    }),
    sweeps("clear", |pantry| pantry.cache.clear()),
    sweeps("set_capacity", |pantry| pantry.cache.set_capacity(2)),
    sweeps("set_weight_capacity", |pantry| pantry.cache.set_weight_capacity(5)),
];

/// So many operations meet so many bombs, at the least.
pub const CELLS: usize = 284;

#[test]
fn a_panic_while_a_cache_is_read_or_written_spoils_nothing() {
    let cells = explode::<Pantry>(&Shape::all(), OPERATIONS, &Bomb::ALL);
    assert!(cells.len() >= CELLS, "only {} cells", cells.len());
}

#[test]
fn a_panic_while_the_last_handle_is_dropped_keeps_no_value_from_being_told_and_dropped() {
    keep_quiet_about(BOOM);
    for shape in Shape::all() {
        for bomb in [Bomb::DropKey, Bomb::DropValue, Bomb::Listener] {
            for at_use in 1..=FIRST.end as u32 {
                let what = format!("{bomb:?} at {at_use}, {shape:?}");
                let mut pantry = Pantry::of(shape);
                let before = pantry.holdings();
                arm(bomb, at_use);
                let ended = catch_unwind(AssertUnwindSafe(|| pantry.close()));
                let has_exploded = !disarm();
                let is_swallowed = bomb == Bomb::Listener || !has_exploded;
                assert_eq!(ended.is_ok(), is_swallowed, "{what}");
                pantry.assert_told(&what, &before);
                pantry.census.assert_all_gone(&what);
            }
        }
    }
}
