//! A panic in the user's code spoils nothing but the call that it ends.
//!
//! Keys, values and callbacks here are bombs: the n-th time that one kind of
//! code runs, it panics. Each operation is run with each kind of bomb, first
//! at its first use, then at its second, until the operation gets by without.
//! After each panic all other keys have their values, the cache is in order,
//! every method works from another thread, and in the end every value was told
//! once and dropped.

#[path = "common/quiet.rs"]
mod quiet;
#[path = "common/watchdog.rs"]
mod watchdog;

use larder::{Cache, Cause, Compute, EntryOptions, Equivalent, Eviction, Expiry, Outcome};
use parking_lot::Mutex;
use quiet::{keep_quiet_about, message_of};
use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use watchdog::must_end;

const BOOM: &str = "boom: a panic of the test's own";

/// The user's code that can panic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bomb {
    Hash,
    Eq,
    CloneKey,
    CloneValue,
    DropKey,
    DropValue,
    Weigher,
    Expiry,
    Listener,
    Predicate,
    Compute,
    Make,
    Read,
}

impl Bomb {
    const ALL: [Bomb; 13] = [
        Bomb::Hash,
        Bomb::Eq,
        Bomb::CloneKey,
        Bomb::CloneValue,
        Bomb::DropKey,
        Bomb::DropValue,
        Bomb::Weigher,
        Bomb::Expiry,
        Bomb::Listener,
        Bomb::Predicate,
        Bomb::Compute,
        Bomb::Make,
        Bomb::Read,
    ];

    /// Whether it runs before the operation changes anything.
    fn comes_first(self) -> bool {
        match self {
            Bomb::Hash | Bomb::Eq | Bomb::Weigher | Bomb::Expiry => true,
            Bomb::Compute | Bomb::Make | Bomb::Read => true,
            Bomb::CloneKey | Bomb::CloneValue | Bomb::DropKey | Bomb::DropValue => false,
            Bomb::Listener | Bomb::Predicate => false,
        }
    }
}

thread_local! {
    /// What will explode in this thread, at which of its next uses.
    static FUSE: Cell<Option<(Bomb, u32)>> = const { Cell::new(None) };
}

fn arm(bomb: Bomb, at_use: u32) {
    FUSE.set(Some((bomb, at_use)));
}

/// Returns whether the bomb is still there.
fn disarm() -> bool {
    FUSE.take().is_some()
}

/// All code of the user begins with this.
fn use_of(bomb: Bomb) {
    match FUSE.get() {
        Some((armed, 1)) if armed == bomb => {
            FUSE.set(None);
            panic!("{BOOM} ({bomb:?})");
        }
        Some((armed, at_use)) if armed == bomb => FUSE.set(Some((armed, at_use - 1))),
        _ => {}
    }
}

struct Key(u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        use_of(Bomb::Hash);
        self.0.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        use_of(Bomb::Eq);
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Clone for Key {
    fn clone(&self) -> Self {
        use_of(Bomb::CloneKey);
        Key(self.0)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        use_of(Bomb::DropKey);
    }
}

/// Looks up without a key of its own, which would be dropped.
struct Query(u64);

impl Hash for Query {
    fn hash<H: Hasher>(&self, state: &mut H) {
        use_of(Bomb::Hash);
        self.0.hash(state);
    }
}

impl Equivalent<Key> for Query {
    fn equivalent(&self, key: &Key) -> bool {
        use_of(Bomb::Eq);
        self.0 == key.0
    }
}

/// How many values there are, clones included, and how many were ever made.
#[derive(Default)]
struct Census {
    live: AtomicI64,
    made: AtomicU64,
}

struct Value {
    /// A clone has the number of what it is cloned from.
    id: u64,
    key: u64,
    weight: u32,
    census: Arc<Census>,
}

impl Clone for Value {
    fn clone(&self) -> Self {
        use_of(Bomb::CloneValue);
        self.census.live.fetch_add(1, Ordering::Relaxed);
        Value { census: Arc::clone(&self.census), ..*self }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.census.live.fetch_sub(1, Ordering::Relaxed);
        use_of(Bomb::DropValue);
    }
}

/// As long as any test could ever take, but not for ever.
const LIFETIME: Duration = Duration::from_secs(1 << 20);

struct LongLife;

impl Expiry<Key, Value> for LongLife {
    fn on_create(&self, _: &Key, _: &Value) -> Duration {
        use_of(Bomb::Expiry);
        LIFETIME
    }

    fn on_update(&self, _: &Key, _: &Value, _: Duration) -> Duration {
        use_of(Bomb::Expiry);
        LIFETIME
    }

    fn on_read(&self, _: &Key, _: &Value, _: Duration) -> Duration {
        use_of(Bomb::Expiry);
        LIFETIME
    }
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    eviction: Eviction,
    /// All of the first keys fit, and no more, or else some more do.
    is_full: bool,
    shards: usize,
    has_expiry: bool,
    has_listener: bool,
}

impl Shape {
    fn all() -> Vec<Shape> {
        let mut shapes = Vec::new();
        for (eviction, has_expiry) in [(Eviction::Lru, false), (Eviction::TinyLfu, true)] {
            for (is_full, shards) in [(false, 1), (false, 4), (true, 1), (true, 4)] {
                for has_listener in [false, true] {
                    shapes.push(Shape { eviction, is_full, shards, has_expiry, has_listener });
                }
            }
        }
        shapes
    }
}

/// The keys that are there at first; each weighs `WEIGHT`.
const FIRST: std::ops::Range<u64> = 0..6;
const WEIGHT: u32 = 2;
/// One of them, and one that is none of them.
const KEY: u64 = 3;
const NEW: u64 = 9;

/// A cache, and what is known of it.
struct Pantry {
    cache: Cache<Key, Value>,
    census: Arc<Census>,
    /// The values that the listener was told of.
    told: Arc<Mutex<Vec<u64>>>,
}

impl Pantry {
    fn of(shape: Shape) -> Self {
        let told: Arc<Mutex<Vec<u64>>> = Arc::default();
        let weight_max = WEIGHT * FIRST.end as u32;
        let mut builder = Cache::builder()
            .capacity(100)
            .weight_capacity(u64::from(if shape.is_full { weight_max } else { 50 }))
            .eviction(shape.eviction)
            .shards(shape.shards)
            .weigher(|_: &Key, value: &Value| {
                use_of(Bomb::Weigher);
                value.weight
            });
        if shape.has_expiry {
            builder = builder.expiry(LongLife);
        }
        if shape.has_listener {
            let told = Arc::clone(&told);
            builder = builder.on_removal(move |_: &Key, value: &Value, _: Cause| {
                told.lock().push(value.id);
                use_of(Bomb::Listener);
            });
        }
        let pantry = Pantry { cache: builder.build().unwrap(), census: Arc::default(), told };
        for key in FIRST {
            pantry.insert(key, WEIGHT);
        }
        pantry
    }

    fn value(&self, key: u64, weight: u32) -> Value {
        self.census.live.fetch_add(1, Ordering::Relaxed);
        let id = self.census.made.fetch_add(1, Ordering::Relaxed);
        Value { id, key, weight, census: Arc::clone(&self.census) }
    }

    fn insert(&self, key: u64, weight: u32) {
        let options = EntryOptions::new().tag(["even", "odd"][key as usize % 2]);
        let options = if key % 3 == 0 { options.tag("third") } else { options };
        // A weight of its own would keep the weigher out of it.
        self.cache.insert_with(Key(key), self.value(key, weight), options);
    }

    fn compute(&self, key: u64, wish: impl FnOnce() -> Compute<Value>) -> Outcome<Value> {
        self.cache.entry(Key(key)).and_compute(|_| {
            use_of(Bomb::Compute);
            wish()
        })
    }

    fn make(&self, key: u64) {
        self.cache.entry(Key(key)).or_insert_with(|| {
            use_of(Bomb::Make);
            self.value(key, WEIGHT)
        });
    }

    fn read(&self, key: u64) {
        self.cache.read(&Query(key), |value| {
            use_of(Bomb::Read);
            assert_eq!(value.key, key);
        });
    }

    /// The numbers of the values that are there, by key.
    fn holdings(&self) -> HashMap<u64, u64> {
        let pairs = self.cache.iter().map(|(key, value)| {
            assert_eq!(key.0, value.key, "a value of another key");
            (key.0, value.id)
        });
        let holdings: HashMap<u64, u64> = pairs.collect();
        for (key, id) in &holdings {
            assert_eq!(self.cache.peek(&Query(*key)).map(|value| value.id), Some(*id));
        }
        holdings
    }
}

/// Which keys an operation is about: the others must get through its panic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scope {
    /// Only reads.
    Nothing,
    One(u64),
    All,
}

struct Operation {
    name: &'static str,
    scope: Scope,
    /// It changes nothing before it has run most of the user's code.
    is_one_step: bool,
    run: fn(&Pantry),
}

const fn reads(name: &'static str, run: fn(&Pantry)) -> Operation {
    Operation { name, scope: Scope::Nothing, is_one_step: true, run }
}

const fn writes(name: &'static str, key: u64, run: fn(&Pantry)) -> Operation {
    Operation { name, scope: Scope::One(key), is_one_step: true, run }
}

const fn takes_steps(name: &'static str, key: u64, run: fn(&Pantry)) -> Operation {
    Operation { name, scope: Scope::One(key), is_one_step: false, run }
}

const fn sweeps(name: &'static str, run: fn(&Pantry)) -> Operation {
    Operation { name, scope: Scope::All, is_one_step: false, run }
}

const OPERATIONS: &[Operation] = &[
    reads("get", |pantry| _ = pantry.cache.get(&Query(KEY))),
    reads("get nothing", |pantry| _ = pantry.cache.get(&Query(NEW))),
    reads("peek", |pantry| _ = pantry.cache.peek(&Query(KEY))),
    reads("read", |pantry| pantry.read(KEY)),
    reads("contains_key", |pantry| _ = pantry.cache.contains_key(&Query(KEY))),
    reads("expires_in", |pantry| _ = pantry.cache.expires_in(&Query(KEY))),
    reads("iter", |pantry| pantry.cache.iter().for_each(drop)),
    reads("hottest", |pantry| _ = pantry.cache.hottest(9)),
    reads("coldest", |pantry| _ = pantry.cache.coldest(9)),
    reads("or_insert_with a hit", |pantry| pantry.make(KEY)),
    reads("compute and keep", |pantry| _ = pantry.compute(KEY, || Compute::Keep)),
    reads("compute and keep nothing", |pantry| _ = pantry.compute(NEW, || Compute::Keep)),
    reads("compute in vain", |pantry| {
        _ = pantry.cache.entry(Key(KEY)).try_and_compute(|_| {
            use_of(Bomb::Compute);
            Err(())
        });
    }),
    reads("remove nothing", |pantry| _ = pantry.cache.remove(&Query(NEW))),
    reads("invalidate nothing", |pantry| pantry.cache.invalidate(&Query(NEW))),
    writes("insert", NEW, |pantry| pantry.insert(NEW, WEIGHT)),
    writes("insert over", KEY, |pantry| pantry.insert(KEY, WEIGHT)),
    writes("insert a lighter one over", KEY, |pantry| pantry.insert(KEY, 0)),
    writes("insert a heavier one over", KEY, |pantry| pantry.insert(KEY, 3 * WEIGHT)),
    writes("insert a heavier one", NEW, |pantry| pantry.insert(NEW, 3 * WEIGHT)),
    writes("insert too heavy a one", NEW, |pantry| pantry.insert(NEW, 1000)),
    writes("insert too heavy a one over", KEY, |pantry| pantry.insert(KEY, 1000)),
    writes("remove", KEY, |pantry| _ = pantry.cache.remove(&Query(KEY))),
    writes("invalidate", KEY, |pantry| pantry.cache.invalidate(&Query(KEY))),
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
        pantry.compute(KEY, || Compute::Replace(pantry.value(KEY, 1000)));
    }),
    writes("compute and remove", KEY, |pantry| _ = pantry.compute(KEY, || Compute::Remove)),
    takes_steps("compute and be discarded", KEY, |pantry| {
        pantry.compute(KEY, || {
            pantry.cache.invalidate(&Query(KEY));
            Compute::Replace(pantry.value(KEY, WEIGHT))
        });
    }),
    sweeps("extend", |pantry| {
        pantry.cache.extend(FIRST.map(|key| (Key(key), pantry.value(key, WEIGHT))));
    }),
    sweeps("invalidate_if", |pantry| {
        pantry.cache.invalidate_if(|key, _| {
            use_of(Bomb::Predicate);
            key.0 % 2 == 0
        });
    }),
    sweeps("invalidate_tag", |pantry| {
        pantry.cache.invalidate_tag("odd");
        pantry.cache.run_maintenance();
    }),
    sweeps("two invalidate_tags and a look-up", |pantry| {
        pantry.cache.invalidate_tag("odd");
        pantry.cache.invalidate_tag("third");
        _ = pantry.cache.get(&Query(KEY));
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
    sweeps("clear", |pantry| pantry.cache.clear()),
    sweeps("set_capacity", |pantry| pantry.cache.set_capacity(2)),
    sweeps("set_weight_capacity", |pantry| pantry.cache.set_weight_capacity(5)),
];

/// Runs every operation with `bomb`, ever later, until it does not explode.
fn explode(bomb: Bomb) {
    keep_quiet_about(BOOM);
    let mut explosions = 0;
    for shape in Shape::all() {
        for operation in OPERATIONS {
            for at_use in 1.. {
                let what = format!("{}, {bomb:?} at use {at_use}, {shape:?}", operation.name);
                if !has_exploded(&what, shape, operation, bomb, at_use) {
                    break;
                }
                explosions += 1;
            }
        }
    }
    assert!(explosions > 0, "no operation comes by a {bomb:?}");
}

fn has_exploded(what: &str, shape: Shape, operation: &Operation, bomb: Bomb, at_use: u32) -> bool {
    let pantry = Arc::new(Pantry::of(shape));
    let before = pantry.holdings();
    assert_eq!(before.len() as u64, FIRST.end, "all fit: {what}");
    arm(bomb, at_use);
    let ended = catch_unwind(AssertUnwindSafe(|| (operation.run)(&pantry)));
    let has_exploded = !disarm();
    if has_exploded {
        check_ended(what, &pantry, bomb, ended.err().as_deref().map(message_of));
        check_others(what, shape, operation, bomb, &before, &pantry);
        pantry.cache.validate().unwrap_or_else(|error| panic!("{what}: {error}"));
        let again = Arc::clone(&pantry);
        let ended = must_end(what, move || OPERATIONS.iter().for_each(|o| (o.run)(&again)));
        assert!(ended.is_ok(), "{what}");
        pantry.cache.validate().unwrap_or_else(|error| panic!("{what}: {error}"));
        let Pantry { cache, census, told } = Arc::into_inner(pantry).unwrap();
        drop(cache);
        // The compiler forgets what is just being returned when a key or value
        // that is dropped on the way out panics.
        let forgotten = i64::from(matches!(bomb, Bomb::DropKey | Bomb::DropValue));
        check_gone(what, shape, &before, &census, &told.lock(), forgotten);
    }
    has_exploded
}

/// The panic reaches the caller, save that of a listener, which is counted.
fn check_ended(what: &str, pantry: &Pantry, bomb: Bomb, message: Option<&str>) {
    let panics = pantry.cache.stats().listener_panics;
    if bomb == Bomb::Listener {
        assert_eq!((message, panics), (None, 1), "{what}");
    } else {
        assert!(message.is_some_and(|message| message.contains(BOOM)), "{what}: {message:?}");
        assert_eq!(panics, 0, "{what}");
    }
}

/// What the operation is not about is there, with its value.
fn check_others(
    what: &str,
    shape: Shape,
    operation: &Operation,
    bomb: Bomb,
    before: &HashMap<u64, u64>,
    pantry: &Pantry,
) {
    let after = pantry.holdings();
    let is_concerned = |key| match operation.scope {
        Scope::Nothing => false,
        Scope::One(concerned) => key == concerned,
        Scope::All => true,
    };
    let others = || before.iter().filter(|(key, _)| !is_concerned(**key));
    for (key, id) in others() {
        assert!(after.get(key).is_none_or(|now| now == id), "{key} is another: {what}");
    }
    let lost = others().filter(|(key, _)| !after.contains_key(key)).count();
    // What makes room for a newcomer of three times the weight, and no more.
    let may_lose = if shape.is_full && operation.scope != Scope::Nothing { 3 } else { 0 };
    assert!(lost <= may_lose, "{lost} others are lost: {what}");
    if operation.is_one_step && bomb.comes_first() && !shape.is_full {
        assert_eq!(after, *before, "something has changed: {what}");
    }
}

/// When the last handle is gone, all values are dropped, and those that were
/// in the cache were told once.
fn check_gone(
    what: &str,
    shape: Shape,
    before: &HashMap<u64, u64>,
    census: &Census,
    told: &[u64],
    forgotten_max: i64,
) {
    let live = census.live.load(Ordering::Relaxed);
    assert!((0..=forgotten_max).contains(&live), "{live} values are not dropped: {what}");
    for id in 0..census.made.load(Ordering::Relaxed) {
        let times = told.iter().filter(|told| **told == id).count();
        assert!(times <= 1, "{id} was told {times} times: {what}");
        let must_be_told = shape.has_listener && before.values().any(|first| *first == id);
        assert!(times == 1 || !must_be_told, "{id} was never told: {what}");
    }
}

#[test]
fn a_panic_in_hash_spoils_nothing() {
    explode(Bomb::Hash);
}

#[test]
fn a_panic_in_eq_spoils_nothing() {
    explode(Bomb::Eq);
}

#[test]
fn a_panic_in_the_clone_of_a_key_spoils_nothing() {
    explode(Bomb::CloneKey);
}

#[test]
fn a_panic_in_the_clone_of_a_value_spoils_nothing() {
    explode(Bomb::CloneValue);
}

#[test]
fn a_panic_in_the_drop_of_a_key_spoils_nothing() {
    explode(Bomb::DropKey);
}

#[test]
fn a_panic_in_the_drop_of_a_value_spoils_nothing() {
    explode(Bomb::DropValue);
}

#[test]
fn a_panic_in_a_weigher_spoils_nothing() {
    explode(Bomb::Weigher);
}

#[test]
fn a_panic_in_an_expiry_spoils_nothing() {
    explode(Bomb::Expiry);
}

#[test]
fn a_panic_in_a_listener_spoils_nothing() {
    explode(Bomb::Listener);
}

#[test]
fn a_panic_in_a_predicate_spoils_nothing() {
    explode(Bomb::Predicate);
}

#[test]
fn a_panic_in_a_computation_spoils_nothing() {
    explode(Bomb::Compute);
}

#[test]
fn a_panic_in_what_makes_a_missing_value_spoils_nothing() {
    explode(Bomb::Make);
}

#[test]
fn a_panic_in_a_reader_spoils_nothing() {
    explode(Bomb::Read);
}

#[test]
fn a_panic_while_the_last_handle_is_dropped_keeps_no_value_from_being_told_and_dropped() {
    keep_quiet_about(BOOM);
    for shape in Shape::all() {
        for bomb in [Bomb::DropKey, Bomb::DropValue, Bomb::Listener] {
            for at_use in 1..=FIRST.end as u32 {
                let what = format!("{bomb:?} at {at_use}, {shape:?}");
                let pantry = Pantry::of(shape);
                let before = pantry.holdings();
                let Pantry { cache, census, told } = pantry;
                arm(bomb, at_use);
                let ended = catch_unwind(AssertUnwindSafe(|| drop(cache)));
                let has_exploded = !disarm();
                let is_swallowed = bomb == Bomb::Listener || !has_exploded;
                assert_eq!(ended.is_ok(), is_swallowed, "{what}");
                check_gone(&what, shape, &before, &census, &told.lock(), 0);
            }
        }
    }
}

type End = fn(&Pantry) -> Result<Compute<Value>, ()>;

/// What a computation may end with: some of it runs the user's code again.
const ENDS: &[(&str, End)] = &[
    ("replacing", |pantry| Ok(Compute::Replace(pantry.value(KEY, WEIGHT)))),
    ("too heavy a value", |pantry| Ok(Compute::Replace(pantry.value(KEY, 1000)))),
    ("removing", |_| Ok(Compute::Remove)),
    ("keeping", |_| Ok(Compute::Keep)),
    ("failing", |_| Err(())),
    ("discarded", |pantry| {
        pantry.cache.invalidate(&Query(KEY));
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
        |pantry| _ = pantry.cache.remove(&Query(KEY)),
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
        pantry.cache.entry(Key(KEY)).try_and_compute(|_| {
            is_computing.store(true, Ordering::Release);
            // Time for the others to begin waiting, in most runs.
            (0..50).for_each(|_| thread::yield_now());
            arm(bomb, at_use);
            use_of(Bomb::Compute);
            end(&pantry)
        })
    }));
    let is_swallowed = disarm() || bomb == Bomb::Listener;
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    assert_eq!(ended.is_ok(), is_swallowed);
    drop(ended);
    pantry.cache.validate().unwrap();
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
