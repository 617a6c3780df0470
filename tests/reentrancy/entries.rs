//! Reading, writing and computing.
//!
//! Each callback calls each method, for the key at hand and for another one,
//! in caches with room and without. Whatever would have to wait for itself is
//! refused, alone or in a circle of threads; nothing hangs.

use crate::hooks::{Callback, KEY, Key, OTHER, REFUSAL, at, hang, has_fired};
use crate::quiet::{keep_quiet_about, message_of};
use crate::watchdog::must_end;
use larder::{Cache, Compute, ComputeError, EntryOptions, Eviction, Expiry, Outcome};
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Weighs more than any cache here can hold.
const HEAVY: u32 = 1000;

#[derive(Clone)]
struct Value {
    weight: u32,
}

impl Drop for Value {
    fn drop(&mut self) {
        at(Callback::DropValue);
    }
}

const LIGHT: Value = Value { weight: 1 };

/// As long as any test could ever take, but not for ever.
const LIFETIME: Duration = Duration::from_secs(1 << 20);

struct LongLife;

impl Expiry<Key, Value> for LongLife {
    fn on_create(&self, _: &Key, _: &Value) -> Duration {
        at(Callback::Expiry);
        LIFETIME
    }

    fn on_update(&self, _: &Key, _: &Value, _: Duration) -> Duration {
        at(Callback::Expiry);
        LIFETIME
    }

    fn on_read(&self, _: &Key, _: &Value, _: Duration) -> Duration {
        at(Callback::Expiry);
        LIFETIME
    }
}

type Pantry = Cache<Key, Value>;

#[derive(Clone, Copy, Debug)]
struct Shape {
    eviction: Eviction,
    capacity: usize,
    shards: usize,
    has_expiry: bool,
    has_listener: bool,
}

impl Shape {
    fn build(self) -> Pantry {
        let mut builder = Cache::builder()
            .capacity(self.capacity)
            .weight_capacity(u64::from(HEAVY) - 1)
            .eviction(self.eviction)
            .shards(self.shards)
            .weigher(|_: &Key, value: &Value| {
                at(Callback::Weigher);
                value.weight
            });
        if self.has_expiry {
            builder = builder.expiry(LongLife);
        }
        if self.has_listener {
            builder = builder.on_removal(|_, _, _| at(Callback::Listener));
        }
        builder.build().unwrap()
    }

    fn is_full_with_one(self) -> bool {
        self.capacity == 1
    }

    fn all() -> Vec<Shape> {
        let shapes = [
            (Eviction::Lru, 100, 1, false),
            (Eviction::TinyLfu, 100, 8, true),
            (Eviction::TinyLfu, 1, 1, true),
            (Eviction::Lru, 1, 8, false),
        ];
        let with = |has_listener| {
            shapes.map(|(eviction, capacity, shards, has_expiry)| Shape {
                eviction,
                capacity,
                shards,
                has_expiry,
                has_listener,
            })
        };
        [with(false), with(true)].concat()
    }
}

/// What a method does to the key that it is called for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Effect {
    /// Nothing that another writer of the key would have to wait for.
    Looks,
    /// Waits for a computation of the key.
    Writes,
    /// Does not wait, but has the computation's result discarded.
    Invalidates,
}

struct Method {
    name: &'static str,
    effect: Effect,
    call: fn(&Pantry, u64),
}

const fn looks(name: &'static str, call: fn(&Pantry, u64)) -> Method {
    Method { name, effect: Effect::Looks, call }
}

const fn writes(name: &'static str, call: fn(&Pantry, u64)) -> Method {
    Method { name, effect: Effect::Writes, call }
}

const fn invalidates(name: &'static str, call: fn(&Pantry, u64)) -> Method {
    Method { name, effect: Effect::Invalidates, call }
}

const METHODS: &[Method] = &[
    looks("get", |cache, key| _ = cache.get(&key)),
    looks("peek", |cache, key| _ = cache.peek(&key)),
    looks("read", |cache, key| _ = cache.read(&key, |value| value.weight)),
    looks("contains_key", |cache, key| _ = cache.contains_key(&key)),
    looks("expires_in", |cache, key| _ = cache.expires_in(&key)),
    looks("iter", |cache, _| _ = cache.iter().count()),
    looks("hottest", |cache, _| _ = cache.hottest(3)),
    looks("coldest", |cache, _| _ = cache.coldest(3)),
    looks("len", |cache, _| _ = cache.len()),
    looks("weight", |cache, _| _ = cache.weight()),
    looks("stats", |cache, _| _ = cache.stats()),
    looks("debug", |cache, _| _ = format!("{cache:?}")),
    looks("set_capacity", |cache, _| cache.set_capacity(1)),
    looks("set_weight_capacity", |cache, _| cache.set_weight_capacity(1)),
    looks("run_maintenance", |cache, _| cache.run_maintenance()),
    looks("clone and drop", |cache, _| _ = cache.clone()),
    writes("insert", |cache, key| cache.insert(Key(key), LIGHT)),
    writes("insert twice", |cache, key| cache.extend([(Key(key), LIGHT), (Key(key), LIGHT)])),
    writes("insert too heavy a value", |cache, key| {
        cache.insert(Key(key), Value { weight: HEAVY });
    }),
    writes("insert_with", |cache, key| {
        cache.insert_with(Key(key), LIGHT, EntryOptions::new().tag("tag").weight(2));
    }),
    writes("insert and remove", |cache, key| {
        cache.insert(Key(key), LIGHT);
        drop(cache.remove(&key));
    }),
    writes("remove", |cache, key| _ = cache.remove(&key)),
    writes("and_compute", |cache, key| {
        drop(cache.entry(Key(key)).and_compute(|_| Compute::Replace(LIGHT)));
    }),
    writes("and_compute, removing", |cache, key| {
        drop(cache.entry(Key(key)).and_compute(|_| Compute::Remove));
    }),
    invalidates("invalidate", |cache, key| cache.invalidate(&key)),
    invalidates("invalidate_if", |cache, key| cache.invalidate_if(|other, _| other.0 == key)),
    invalidates("invalidate_tag", |cache, _| cache.invalidate_tag("tag")),
    invalidates("invalidate_all", |cache, _| cache.invalidate_all()),
    invalidates("invalidate_all and maintain", |cache, _| {
        cache.invalidate_all();
        cache.run_maintenance();
    }),
    invalidates("clear", |cache, _| cache.clear()),
];

/// A way to have a callback called.
struct Trigger {
    name: &'static str,
    /// Whether `KEY` is in the cache before. `OTHER` always is, if it fits.
    has_key: bool,
    /// Whether it only happens in a cache that has no room for both.
    is_for_full: bool,
    act: fn(&Pantry),
}

const fn with_key(name: &'static str, act: fn(&Pantry)) -> Trigger {
    Trigger { name, has_key: true, is_for_full: false, act }
}

const fn without_key(name: &'static str, act: fn(&Pantry)) -> Trigger {
    Trigger { name, has_key: false, is_for_full: false, act }
}

const fn when_full(name: &'static str, act: fn(&Pantry)) -> Trigger {
    Trigger { name, has_key: false, is_for_full: true, act }
}

fn insert_key(cache: &Pantry) {
    cache.insert_with(Key(KEY), LIGHT, EntryOptions::new().tag("tag"));
}

fn compute_key(cache: &Pantry) {
    drop(cache.entry(Key(KEY)).and_compute(|_| Compute::Replace(LIGHT)));
}

fn make_key(cache: &Pantry) {
    drop(cache.entry(Key(KEY)).or_insert_with(|| LIGHT));
}

/// Each of them lets values leave the cache, and keys.
const REMOVALS: &[Trigger] = &[
    with_key("insert over", insert_key),
    with_key("insert too heavy a value over", |cache| {
        cache.insert(Key(KEY), Value { weight: HEAVY });
    }),
    without_key("insert too heavy a value", |cache| {
        cache.insert(Key(KEY), Value { weight: HEAVY });
    }),
    with_key("remove", |cache| drop(cache.remove(&KEY))),
    with_key("invalidate", |cache| cache.invalidate(&KEY)),
    with_key("invalidate_if", |cache| cache.invalidate_if(|key, _| key.0 == KEY)),
    with_key("invalidate_tag", |cache| {
        cache.invalidate_tag("tag");
        cache.run_maintenance();
    }),
    with_key("invalidate_all", |cache| {
        cache.invalidate_all();
        cache.run_maintenance();
    }),
    with_key("look-up after invalidate_all", |cache| {
        cache.invalidate_all();
        drop(cache.get(&KEY));
    }),
    with_key("computation after invalidate_all", |cache| {
        cache.invalidate_all();
        compute_key(cache);
    }),
    with_key("clear", Pantry::clear),
    with_key("set_capacity", |cache| cache.set_capacity(0)),
    with_key("set_weight_capacity", |cache| cache.set_weight_capacity(0)),
    with_key("computed replacement", compute_key),
    with_key("computed removal", |cache| {
        drop(cache.entry(Key(KEY)).and_compute(|_| Compute::Remove));
    }),
    with_key("computed value that is too heavy", |cache| {
        drop(cache.entry(Key(KEY)).and_compute(|_| Compute::Replace(Value { weight: HEAVY })));
    }),
    when_full("insert into a full cache", insert_key),
    when_full("compute into a full cache", compute_key),
    when_full("make into a full cache", make_key),
];

/// None of these is a removal, but a key is dropped.
const LOST_KEYS: &[Trigger] = &[
    with_key("an entry that is not used", |cache| drop(cache.entry(Key(KEY)))),
    with_key("a computation that keeps", |cache| {
        drop(cache.entry(Key(KEY)).and_compute(|_| Compute::Keep));
    }),
    with_key("a computation that fails", |cache| {
        drop(cache.entry(Key(KEY)).try_and_compute(|_| Err(())));
    }),
    with_key("a computation that is discarded", |cache| {
        drop(cache.entry(Key(KEY)).and_compute(|_| {
            cache.invalidate(&KEY);
            Compute::Replace(LIGHT)
        }));
    }),
    with_key("a hit of or_insert_with", make_key),
];

/// Calls every method from `callback`, each in its own cache and thread.
fn check(callback: Callback, triggers: &[Trigger], is_computing: bool) {
    keep_quiet_about(REFUSAL);
    let mut cells = BTreeSet::new();
    for shape in Shape::all() {
        for trigger in triggers {
            let has_callback = match callback {
                Callback::Listener => shape.has_listener,
                Callback::Expiry => shape.has_expiry,
                _ => true,
            };
            if !has_callback || trigger.is_for_full && !shape.is_full_with_one() {
                continue;
            }
            for method in METHODS {
                for target in [KEY, OTHER] {
                    let what = format!(
                        "{} of {target} from {callback:?} in {}: {shape:?}",
                        method.name, trigger.name
                    );
                    let (act, has_key, call) = (trigger.act, trigger.has_key, method.call);
                    let ended =
                        must_end(&what, move || run(shape, callback, has_key, act, call, target));
                    let is_refused =
                        is_computing && method.effect == Effect::Writes && target == KEY;
                    match ended {
                        Ok(has_fired) => {
                            assert!(has_fired, "not called: {what}");
                            assert!(!is_refused, "not refused: {what}");
                        }
                        Err(panic) => {
                            assert!(message_of(&*panic).contains(REFUSAL), "another panic: {what}");
                            assert!(is_refused, "refused: {what}");
                        }
                    }
                    cells.insert((trigger.name, trigger.has_key, method.name, target));
                }
            }
        }
    }
    assert_eq!(cells.len(), triggers.len() * METHODS.len() * 2, "not all was tried");
}

/// Returns whether the callback was called.
fn run(
    shape: Shape,
    callback: Callback,
    has_key: bool,
    act: fn(&Pantry),
    call: fn(&Pantry, u64),
    target: u64,
) -> bool {
    let cache = shape.build();
    cache.insert(Key(OTHER), LIGHT);
    if has_key {
        insert_key(&cache);
    }
    let home = cache.clone();
    hang(callback, Box::new(move || call(&home, target)));
    // If it panics, the cache must still be in order.
    let ended = catch_unwind(AssertUnwindSafe(|| act(&cache)));
    let has_fired = has_fired();
    cache.validate().unwrap();
    assert_eq!(cache.stats().listener_panics, 0);
    for method in METHODS {
        (method.call)(&cache, KEY);
    }
    cache.validate().unwrap();
    ended.unwrap_or_else(|panic| resume_unwind(panic));
    has_fired
}

#[test]
fn a_weigher_may_call_any_method() {
    let triggers = [
        with_key("insert over", insert_key),
        without_key("insert", insert_key),
        without_key("insert_with", |cache| {
            cache.insert_with(Key(KEY), LIGHT, EntryOptions::new().tag("tag"));
        }),
    ];
    check(Callback::Weigher, &triggers, false);
}

#[test]
fn a_weigher_of_a_computed_value_may_call_any_method_but_write_its_key() {
    let triggers = [
        with_key("a computed replacement", compute_key),
        without_key("a computed value", compute_key),
        without_key("or_insert_with", make_key),
    ];
    check(Callback::Weigher, &triggers, true);
}

#[test]
fn an_expiry_may_call_any_method() {
    let triggers = [
        with_key("insert over", insert_key),
        without_key("insert", insert_key),
        with_key("get", |cache| _ = cache.get(&KEY)),
        with_key("read", |cache| _ = cache.read(&KEY, |value| value.weight)),
        with_key("a hit of or_insert_with", make_key),
    ];
    check(Callback::Expiry, &triggers, false);
}

#[test]
fn an_expiry_of_a_computed_value_may_call_any_method_but_write_its_key() {
    let triggers = [
        with_key("a computed replacement", compute_key),
        without_key("a computed value", compute_key),
        without_key("or_insert_with", make_key),
    ];
    check(Callback::Expiry, &triggers, true);
}

#[test]
fn a_listener_may_call_any_method() {
    check(Callback::Listener, REMOVALS, false);
}

#[test]
fn the_drop_of_a_value_may_call_any_method() {
    check(Callback::DropValue, REMOVALS, false);
}

#[test]
fn the_drop_of_a_key_may_call_any_method() {
    check(Callback::DropKey, REMOVALS, false);
}

#[test]
fn the_drop_of_a_key_that_was_of_no_use_may_call_any_method() {
    check(Callback::DropKey, LOST_KEYS, false);
}

#[test]
fn a_predicate_may_call_any_method() {
    let triggers = [
        with_key("invalidate_if, choosing it", |cache| {
            cache.invalidate_if(|_, _| {
                at(Callback::Predicate);
                true
            });
        }),
        with_key("invalidate_if, sparing it", |cache| {
            cache.invalidate_if(|_, _| {
                at(Callback::Predicate);
                false
            });
        }),
    ];
    check(Callback::Predicate, &triggers, false);
}

#[test]
fn a_reader_may_call_any_method() {
    let triggers = [with_key("read", |cache| {
        cache.read(&KEY, |value| {
            at(Callback::Read);
            assert_eq!(value.weight, 1, "the value lives as long as it is read");
        });
    })];
    check(Callback::Read, &triggers, false);
}

fn compute_with_hook(cache: &Pantry, wish: Compute<Value>) {
    drop(cache.entry(Key(KEY)).and_compute(|_| {
        at(Callback::Compute);
        wish
    }));
}

#[test]
fn a_computation_may_call_any_method_but_write_its_own_key() {
    let triggers = [
        with_key("replacing", |cache| compute_with_hook(cache, Compute::Replace(LIGHT))),
        with_key("removing", |cache| compute_with_hook(cache, Compute::Remove)),
        with_key("keeping", |cache| compute_with_hook(cache, Compute::Keep)),
        without_key("inserting", |cache| compute_with_hook(cache, Compute::Replace(LIGHT))),
        without_key("removing nothing", |cache| compute_with_hook(cache, Compute::Remove)),
        without_key("keeping nothing", |cache| compute_with_hook(cache, Compute::Keep)),
    ];
    check(Callback::Compute, &triggers, true);
}

#[test]
fn what_makes_a_missing_value_may_call_any_method_but_write_its_own_key() {
    let triggers = [without_key("or_insert_with", |cache| {
        drop(cache.entry(Key(KEY)).or_insert_with(|| {
            at(Callback::Make);
            LIGHT
        }));
    })];
    check(Callback::Make, &triggers, true);
}

#[test]
fn a_computation_whose_key_is_invalidated_meanwhile_is_discarded() {
    let barriers = METHODS.iter().filter(|method| method.effect == Effect::Invalidates);
    for (method, shape) in barriers.flat_map(|m| Shape::all().into_iter().map(move |s| (m, s))) {
        let (call, what) = (method.call, format!("{}: {shape:?}", method.name));
        let ended = must_end(&what, move || {
            let cache = shape.build();
            insert_key(&cache);
            let outcome = cache.entry(Key(KEY)).and_compute(|_| {
                call(&cache, KEY);
                Compute::Replace(LIGHT)
            });
            assert!(matches!(outcome, Outcome::Discarded(Some(Value { weight: 1 }))));
            assert!(!cache.contains_key(&KEY));
            insert_key(&cache);
            for wish in [Compute::Keep, Compute::Remove] {
                let outcome = cache.entry(Key(KEY)).and_compute(|_| {
                    call(&cache, KEY);
                    wish
                });
                assert!(matches!(outcome, Outcome::Discarded(None)));
                insert_key(&cache);
            }
            cache.validate().unwrap();
        });
        assert!(ended.is_ok(), "{what}");
    }
}

#[test]
fn a_fallible_computation_within_one_of_the_same_key_is_told() {
    let ended = must_end("a nested computation", || {
        let cache: Cache<u64, u64> = Cache::new(100);
        let outcome = cache.entry(KEY).and_compute(|_| {
            let inner = cache.entry(KEY).try_and_compute(|_| Ok::<_, ()>(Compute::Remove));
            assert_eq!(inner, Err(ComputeError::Recursive));
            let other = cache.entry(OTHER).try_and_compute(|_| Ok::<_, ()>(Compute::Replace(1)));
            assert_eq!(other, Ok(Outcome::Inserted));
            Compute::Replace(1)
        });
        assert_eq!(outcome, Outcome::Inserted);
        cache.validate().unwrap();
    });
    assert!(ended.is_ok());
}

/// A point that `n` threads reach before any goes on.
struct Meeting {
    missing: AtomicUsize,
}

impl Meeting {
    fn of(threads: usize) -> Arc<Self> {
        Arc::new(Meeting { missing: AtomicUsize::new(threads) })
    }

    fn arrive(&self) {
        self.missing.fetch_sub(1, Ordering::AcqRel);
        while self.missing.load(Ordering::Acquire) > 0 {
            thread::yield_now();
        }
    }
}

/// Long enough for another thread to come to the next point where it waits, in
/// most runs; in the others, a test shows less.
fn let_others_go_on() {
    (0..200).for_each(|_| thread::yield_now());
}

/// Each of `threads` computes its own key, and writes the next one's.
fn circle_of(threads: usize, shards: usize, write_next: fn(&Cache<u64, u64>, u64) -> bool) {
    keep_quiet_about(REFUSAL);
    let refused = must_end("a circle", move || {
        let cache: Cache<u64, u64> = Cache::builder().capacity(100).shards(shards).build().unwrap();
        let meeting = Meeting::of(threads);
        let spawn = |me: u64| {
            let (cache, meeting) = (cache.clone(), Arc::clone(&meeting));
            thread::spawn(move || {
                let mut is_refused = false;
                let outcome = cache.entry(me).try_and_compute(|_| {
                    meeting.arrive();
                    is_refused = !write_next(&cache, (me + 1) % threads as u64);
                    if is_refused { Err(()) } else { Ok(Compute::Replace(me)) }
                });
                assert_eq!(outcome.is_err(), is_refused);
                is_refused
            })
        };
        let running: Vec<_> = (0..threads as u64).map(spawn).collect();
        let refused: Vec<bool> = running.into_iter().map(|thread| thread.join().unwrap()).collect();
        cache.validate().unwrap();
        refused.into_iter().filter(|is_refused| *is_refused).count()
    });
    assert_eq!(refused.unwrap(), 1, "one is refused, and so the others go on");
}

fn compute_next(cache: &Cache<u64, u64>, next: u64) -> bool {
    let outcome = cache.entry(next).try_and_compute(|_| Ok::<_, ()>(Compute::Replace(0)));
    assert!(outcome.is_ok() || outcome == Err(ComputeError::Recursive));
    outcome.is_ok()
}

fn insert_next(cache: &Cache<u64, u64>, next: u64) -> bool {
    let inserted = catch_unwind(AssertUnwindSafe(|| cache.insert(next, 0)));
    assert!(inserted.as_ref().err().is_none_or(|panic| message_of(&**panic).contains(REFUSAL)));
    inserted.is_ok()
}

#[test]
fn of_two_threads_that_compute_each_others_keys_one_is_refused() {
    for shards in [1, 8] {
        (0..20).for_each(|_| circle_of(2, shards, compute_next));
    }
}

#[test]
fn of_two_threads_that_insert_each_others_keys_one_is_refused() {
    for shards in [1, 8] {
        (0..20).for_each(|_| circle_of(2, shards, insert_next));
    }
}

#[test]
fn of_a_ring_of_threads_one_is_refused() {
    (0..20).for_each(|_| circle_of(5, 8, compute_next));
    (0..20).for_each(|_| circle_of(5, 8, insert_next));
}

#[test]
fn a_circle_through_two_caches_is_refused_as_well() {
    keep_quiet_about(REFUSAL);
    let refused = must_end("a circle through two caches", || {
        let caches: [Cache<u64, u64>; 2] = [Cache::new(100), Cache::new(100)];
        let meeting = Meeting::of(2);
        let running: Vec<_> = (0..2)
            .map(|me| {
                let (caches, meeting) = (caches.clone(), Arc::clone(&meeting));
                thread::spawn(move || {
                    let outcome = caches[me].entry(KEY).try_and_compute(|_| {
                        meeting.arrive();
                        let is_written = insert_next(&caches[1 - me], KEY);
                        if is_written { Ok(Compute::Replace(1)) } else { Err(()) }
                    });
                    outcome.is_err()
                })
            })
            .collect();
        running.into_iter().filter_map(|thread| thread.join().unwrap().then_some(())).count()
    });
    assert_eq!(refused.unwrap(), 1);
}

#[test]
fn a_wait_that_is_over_is_no_part_of_a_circle() {
    let ended = must_end("threads that wait in turn", || {
        let cache: Cache<u64, u64> = Cache::new(100);
        let inner = cache.clone();
        let other = thread::spawn(move || {
            for i in 0..5000 {
                inner.entry(KEY).and_compute(|_| {
                    inner.insert(OTHER, i);
                    Compute::Replace(i)
                });
            }
        });
        // This thread never waits while it computes, so there is no circle: it
        // ends the computation that the other one waits for, and then waits
        // for the other one.
        for i in 0..5000 {
            cache.entry(OTHER).and_compute(|_| Compute::Replace(i));
            cache.insert(KEY, i);
        }
        other.join().unwrap();
        cache.validate().unwrap();
    });
    assert!(ended.is_ok(), "someone was refused without need");
}

#[test]
fn a_computation_may_remove_what_a_listener_that_waits_for_it_is_told_of() {
    let ended = must_end("a listener and a computation", || {
        let home: Arc<Mutex<Option<Cache<u64, u64>>>> = Arc::default();
        let is_told = Arc::new(AtomicBool::new(false));
        let listener = {
            let (home, is_told) = (Arc::clone(&home), Arc::clone(&is_told));
            move |key: &u64, _: &u64, _| {
                if *key == OTHER && !is_told.swap(true, Ordering::AcqRel) {
                    let cache = home.lock().clone().unwrap();
                    // Waits for the computation.
                    cache.insert(KEY, 1);
                }
            }
        };
        let builder = Cache::builder().capacity(100).on_removal(listener);
        let cache: Cache<u64, u64> = builder.build().unwrap();
        *home.lock() = Some(cache.clone());
        cache.insert(OTHER, 0);
        let meeting = Meeting::of(2);
        let (inner, met) = (cache.clone(), Arc::clone(&meeting));
        let computer = thread::spawn(move || {
            inner.entry(KEY).and_compute(|_| {
                met.arrive();
                while !is_told.load(Ordering::Acquire) {
                    thread::yield_now();
                }
                let_others_go_on();
                inner.insert(OTHER, 1);
                // The listener is still busy with the value before.
                inner.remove(&OTHER);
                Compute::Replace(2)
            })
        });
        meeting.arrive();
        cache.invalidate(&OTHER);
        computer.join().unwrap();
        home.lock().take();
        cache.validate().unwrap();
    });
    assert!(ended.is_ok());
}

#[test]
fn a_listener_may_write_a_key_whose_computed_value_is_just_rejected() {
    let ended = must_end("a listener and a computed value", || {
        let home: Arc<Mutex<Option<Cache<u64, u64>>>> = Arc::default();
        let is_told = Arc::new(AtomicBool::new(false));
        let listener = {
            let (home, is_told) = (Arc::clone(&home), Arc::clone(&is_told));
            move |_: &u64, _: &u64, _| {
                if !is_told.swap(true, Ordering::AcqRel) {
                    let cache = home.lock().clone().unwrap();
                    cache.insert(KEY, 1);
                }
            }
        };
        let cache: Cache<u64, u64> = Cache::builder()
            .weight_capacity(10)
            .weigher(|_: &u64, value: &u64| *value as u32)
            .on_removal(listener)
            .build()
            .unwrap();
        *home.lock() = Some(cache.clone());
        cache.insert(KEY, 10);
        let meeting = Meeting::of(2);
        let (inner, met) = (cache.clone(), Arc::clone(&meeting));
        let computer = thread::spawn(move || {
            inner.entry(KEY).and_compute(|_| {
                met.arrive();
                while !is_told.load(Ordering::Acquire) {
                    thread::yield_now();
                }
                let_others_go_on();
                Compute::Replace(11)
            })
        });
        meeting.arrive();
        // Evicts `KEY`; the listener writes it again, and so waits for the
        // computation. That has a value of `KEY` to tell, too.
        cache.insert(OTHER, 10);
        assert_eq!(computer.join().unwrap(), Outcome::Rejected);
        home.lock().take();
        cache.validate().unwrap();
    });
    assert!(ended.is_ok());
}

thread_local! {
    /// Whether this thread's listener looks on idly.
    static IS_IDLE: Cell<bool> = const { Cell::new(false) };
}

#[test]
fn a_computation_may_insert_others_while_many_listeners_wait_for_it() {
    const WAITERS: usize = 12;
    let ended = must_end("many listeners and a computation", || {
        let home: Arc<Mutex<Option<Cache<u64, u64>>>> = Arc::default();
        let waiting = Arc::new(AtomicUsize::new(0));
        let listener = {
            let (home, waiting) = (Arc::clone(&home), Arc::clone(&waiting));
            move |_: &u64, _: &u64, _| {
                if !IS_IDLE.replace(true) {
                    waiting.fetch_add(1, Ordering::AcqRel);
                    let cache = home.lock().clone().unwrap();
                    cache.insert(KEY, 1);
                }
            }
        };
        let builder = Cache::builder().capacity(1).shards(2).on_removal(listener);
        let cache: Cache<u64, u64> = builder.build().unwrap();
        *home.lock() = Some(cache.clone());
        let outcome = cache.entry(KEY).try_and_compute(|_| {
            IS_IDLE.set(true);
            let spawn = |me: usize| {
                let cache = cache.clone();
                // Writes until its listener is called, which then waits.
                let write = move || {
                    let keys = (1..).map(|i| (i * WAITERS + me) as u64);
                    keys.take_while(|_| !IS_IDLE.get()).for_each(|key| cache.insert(key, 0));
                };
                thread::spawn(write)
            };
            let running: Vec<_> = (0..WAITERS).map(spawn).collect();
            while waiting.load(Ordering::Acquire) < WAITERS {
                thread::yield_now();
            }
            // Some of these belong to another shard than the one that is here.
            (1..50).for_each(|key| cache.insert(key, 0));
            Err::<Compute<u64>, _>(running)
        });
        let Err(ComputeError::Failed(running)) = outcome else { panic!("it has failed") };
        running.into_iter().for_each(|thread| thread.join().unwrap());
        home.lock().take();
        cache.validate().unwrap();
    });
    assert!(ended.is_ok());
}
