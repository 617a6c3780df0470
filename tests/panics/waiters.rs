//! Others wait while the code that they wait for explodes.

use crate::bombs::{BOOM, Bomb, Value, arm, disarm, use_of};
use crate::matrix::KEY;
use crate::pantry::{HEAVY, Pantry, Shape, WEIGHT};
use crate::quiet::keep_quiet_about;
use crate::watchdog::must_end;
use larder::{Cache, Compute};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

type End = fn(&Pantry) -> Result<Compute<Value>, ()>;

/// What a computation may end with: some of it runs the user's code again.
const ENDS: &[(&str, End)] = &[
    ("replacing", |pantry| Ok(Compute::Replace(pantry.value(KEY, WEIGHT)))),
    ("too heavy a value", |pantry| Ok(Compute::Replace(pantry.value(KEY, HEAVY)))),
    ("removing", |_| Ok(Compute::Remove)),
    ("keeping", |_| Ok(Compute::Keep)),
    ("failing", |_| Err(())),
    ("discarded", |pantry| {
        pantry.cache.invalidate(&pantry.query(KEY));
        Ok(Compute::Replace(pantry.value(KEY, WEIGHT)))
    }),
    ("all invalidated", |pantry| {
        pantry.cache.invalidate_all();
        Ok(Compute::Replace(pantry.value(KEY, WEIGHT)))
    }),
    ("all invalidated, keeping", |pantry| {
        pantry.cache.invalidate_all();
        Ok(Compute::Keep)
    }),
    ("all invalidated, failing", |pantry| {
        pantry.cache.invalidate_all();
        Err(())
    }),
];

#[test]
fn whoever_waits_for_a_computation_that_panics_goes_on() {
    keep_quiet_about(BOOM);
    let shapes = Shape::all().into_iter().filter(|shape| !shape.is_full);
    for shape in shapes {
        for (name, end) in ENDS {
            for (bomb, at_use) in Bomb::ALL.into_iter().flat_map(|b| [(b, 1), (b, 2), (b, 3)]) {
                let what = format!("{name}, {bomb:?} at use {at_use}, {shape:?}");
                let ended =
                    must_end(&what, move || compute_while_others_wait(shape, *end, bomb, at_use));
                assert!(ended.is_ok(), "{what}");
            }
        }
    }
}

fn compute_while_others_wait(shape: Shape, end: End, bomb: Bomb, at_use: u32) {
    let pantry = Arc::new(Pantry::of(shape));
    let is_computing = Arc::new(AtomicBool::new(false));
    let others: [fn(&Pantry); 3] = [
        |pantry| pantry.insert(KEY, WEIGHT),
        |pantry| _ = pantry.cache.remove(&pantry.query(KEY)),
        |pantry| _ = pantry.compute(KEY, || Compute::Keep),
    ];
    let waiters = others.map(|write| {
        let (pantry, is_computing) = (Arc::clone(&pantry), Arc::clone(&is_computing));
        thread::spawn(move || {
            while !is_computing.load(Ordering::Acquire) {
                thread::yield_now();
            }
            write(&pantry);
        })
    });
    let ended = catch_unwind(AssertUnwindSafe(|| {
        pantry.cache.entry(pantry.key(KEY)).try_and_compute(|_| {
            is_computing.store(true, Ordering::Release);
            // Time for the others to begin waiting, in most runs.
            (0..50).for_each(|_| thread::yield_now());
            arm(bomb, at_use);
            use_of(Bomb::Compute);
            end(&pantry)
        })
    }));
    let is_swallowed = disarm() || matches!(bomb, Bomb::Listener | Bomb::Clock);
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    assert_eq!(ended.is_ok(), is_swallowed);
    drop(ended);
    pantry.cache.validate().unwrap();
    let mut pantry = Arc::into_inner(pantry).expect("all threads have ended");
    pantry.close();
    pantry.census.assert_all_gone("after a computation");
}

#[test]
fn when_the_maker_of_a_value_panics_the_next_in_line_makes_it() {
    keep_quiet_about(BOOM);
    let ended = must_end("several makers", || {
        let cache: Cache<u64, u64> = Cache::new(100);
        for key in 0..200 {
            let calls = Arc::new(AtomicU64::new(0));
            let makers = [1, 2, 3].map(|me| {
                let (cache, calls) = (cache.clone(), Arc::clone(&calls));
                thread::spawn(move || {
                    let make = || {
                        let is_first = calls.fetch_add(1, Ordering::Relaxed) == 0;
                        thread::yield_now();
                        assert!(!is_first, "{BOOM}");
                        me
                    };
                    cache.entry(key).or_insert_with(make)
                })
            });
            let values = makers.map(|maker| maker.join());
            assert_eq!(values.iter().filter(|value| value.is_err()).count(), 1);
            let made: Vec<u64> = values.into_iter().filter_map(Result::ok).collect();
            assert_eq!(made[0], made[1], "both got the second maker's value");
            assert_eq!(calls.load(Ordering::Relaxed), 2);
        }
        cache.validate().unwrap();
    });
    assert!(ended.is_ok());
}
