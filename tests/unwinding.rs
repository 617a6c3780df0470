//! What a call was about to return is given back if the user's code panics as
//! the call ends.
//!
//! Keys, values, errors and what loaders capture are fragile here: the n-th of
//! them that is dropped panics, for each n that a call gets to. After that, this
//! thread holds not a byte more than before.

#[path = "common/heap.rs"]
#[expect(unsafe_code, reason = "an allocator that counts")]
mod heap;
#[path = "common/quiet.rs"]
#[allow(dead_code, reason = "shared with tests that read what a panic says")]
mod quiet;

use heap::held_here;
use larder::store::{
    AsyncLoader, AsyncStore, Loader, Store, StoreCache, WriteBack, WritePolicy, Written,
};
use larder::{Aside, Cache, Compute, Equivalent, Inline, ToKey, Touched};
use pollster::block_on;
use quiet::keep_quiet_about;
use std::cell::Cell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

const BOOM: &str = "boom: a drop of the test's own";

thread_local! {
    /// Which of the next drops panics; 0: none.
    static FUSE: Cell<u32> = const { Cell::new(0) };
}

/// The box is what is found missing if this is forgotten.
#[derive(Clone)]
struct Fragile(#[expect(dead_code, reason = "it is only held")] Box<u8>);

impl Fragile {
    fn new() -> Self {
        Fragile(Box::new(0))
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        match FUSE.get() {
            0 => {}
            1 => {
                FUSE.set(0);
                panic!("{BOOM}");
            }
            left => FUSE.set(left - 1),
        }
    }
}

#[derive(Clone)]
struct Key(u64, #[expect(dead_code, reason = "it is only dropped")] Fragile);

/// What keys are looked up by: not fragile.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Name(u64);

type Value = Fragile;

#[derive(Debug)]
struct Failure(#[expect(dead_code, reason = "it is only dropped")] Fragile);

fn key(id: u64) -> Key {
    Key(id, Fragile::new())
}

fn failure() -> Failure {
    Failure(Fragile::new())
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Name(self.0).hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Equivalent<Key> for Name {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.0
    }
}

impl ToKey<Key> for Name {
    fn to_key(&self) -> Key {
        key(self.0)
    }
}

impl fmt::Debug for Fragile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fragile")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no")
    }
}

/// Ready at once, and still there when its output is.
struct Late<T> {
    output: Option<T>,
    _own: Fragile,
}

fn late<T>(output: T) -> Late<T> {
    Late { output: Some(output), _own: Fragile::new() }
}

impl<T: Unpin> Future for Late<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        Poll::Ready(self.output.take().expect("polled once"))
    }
}

/// Calls `call`, with one drop after the other panicking, until it gets by.
fn nothing_is_lost<S, R>(what: &str, set: impl Fn() -> S, call: impl Fn(&S) -> R) {
    keep_quiet_about(BOOM);
    for at in 1.. {
        let mut has_exploded = false;
        for turn in 0..3 {
            let before = held_here();
            let scene = set();
            FUSE.set(at);
            let ended = catch_unwind(AssertUnwindSafe(|| call(&scene)));
            has_exploded = FUSE.take() == 0;
            drop((ended, scene));
            let lost = held_here() - before;
            // The first time may fill what is kept for later.
            assert!(turn == 0 || lost == 0, "{what}: {lost} bytes are lost at drop {at}");
        }
        if !has_exploded {
            break;
        }
    }
}

/// Each row is the name of a call, and the call.
macro_rules! nothing_is_lost {
    ($set:expr; $($what:literal: $call:expr,)*) => {
        $(nothing_is_lost($what, &$set, $call);)*
    };
}

const HIT: Name = Name(1);
const MISS: Name = Name(9);

fn cache() -> Cache<Key, Value> {
    let cache = Cache::builder().capacity(100).shards(2).build().unwrap();
    (0..4).for_each(|id| cache.insert(key(id), Fragile::new()));
    cache
}

/// A loader with something of its own, which it drops before it returns, since
/// what it returns is its own affair until then.
fn loader<T>(load: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let own = Fragile::new();
    move || {
        drop(own);
        load()
    }
}

async fn task<T>(own: Fragile, load: impl FnOnce() -> T) -> T {
    drop(own);
    load()
}

/// As `call(&key)`, but that the key is dropped before what is returned is on
/// its way out: else this test would lose it.
fn with_key<R>(id: u64, call: impl FnOnce(&Key) -> R) -> R {
    let key = key(id);
    let returned = call(&key);
    drop(key);
    returned
}

type Found = Result<Value, Failure>;
type Perhaps = Result<Option<Value>, Failure>;

fn value() -> Value {
    Fragile::new()
}

#[test]
fn a_value_that_is_found_is_not_lost_as_the_loader_is_dropped() {
    let own = Fragile::new;
    nothing_is_lost! { cache;
        "get_with": |cache| cache.get_with(&HIT, loader(value)),
        "try_get_with": |cache| cache.try_get_with(&HIT, loader(|| Found::Ok(value()))),
        "load, with": |cache| cache.load(&HIT).with(loader(value)),
        "load, try_with": |cache| cache.load(&HIT).try_with(loader(|| Found::Ok(value()))),
        "load, try_optional_with": |cache| {
            cache.load(&HIT).try_optional_with(loader(|| Perhaps::Ok(None)))
        },
        "get_with_async": |cache| block_on(cache.get_with_async(&HIT, task(own(), value))),
        "try_get_with_async": |cache| {
            block_on(cache.try_get_with_async(&HIT, task(own(), || Found::Ok(value()))))
        },
        "load, with_async": |cache| block_on(cache.load(&HIT).with_async(task(own(), value))),
        "load, try_with_async": |cache| {
            block_on(cache.load(&HIT).try_with_async(task(own(), || Found::Ok(value()))))
        },
        "load, try_optional_with_async": |cache| {
            let load = task(own(), || Perhaps::Ok(None));
            block_on(cache.load(&HIT).try_optional_with_async(load))
        },
        "load, try_with_detached": |cache| {
            let load = task(own(), || Found::Ok(value()));
            block_on(cache.load(&HIT).try_with_detached(&Inline, load))
        },
        "or_insert": |cache| cache.entry(key(HIT.0)).or_insert(value()),
        "or_insert_with": |cache| cache.entry(key(HIT.0)).or_insert_with(loader(value)),
        "aside, read": |cache| {
            let select = loader(|| Perhaps::Ok(None));
            with_key(HIT.0, |key| Aside::new(cache.clone(), ()).read(key, |()| select()))
        },
        "aside, read_async": |cache| {
            let select = task(own(), || Perhaps::Ok(None));
            let aside = Aside::new(cache.clone(), ());
            with_key(HIT.0, |key| block_on(aside.read_async(key, |()| select)))
        },
    }
}

#[test]
fn a_value_that_is_loaded_is_not_lost_as_the_call_ends() {
    nothing_is_lost! { cache;
        "get_with": |cache| with_key(MISS.0, |key| cache.get_with(key, loader(value))),
        "try_get_with a failure": |cache| {
            with_key(MISS.0, |key| cache.try_get_with(key, loader(|| Found::Err(failure()))))
        },
        "get_with_async": |cache| block_on(cache.get_with_async(&MISS, late(value()))),
        "try_get_with_async a failure": |cache| {
            block_on(cache.try_get_with_async(&MISS, late(Found::Err(failure()))))
        },
        "load, try_optional_with_async": |cache| {
            let load = late(Perhaps::Ok(Some(value())));
            block_on(cache.load(&MISS).try_optional_with_async(load))
        },
        "load, try_with_detached": |cache| {
            let load = late(Found::Ok(value()));
            block_on(cache.load(&MISS).try_with_detached(&Inline, load))
        },
        "or_insert_with": |cache| cache.entry(key(MISS.0)).or_insert_with(loader(value)),
        "aside, read_async": |cache| {
            let aside = Aside::new(cache.clone(), ());
            let select = late(Perhaps::Ok(Some(value())));
            with_key(MISS.0, |key| block_on(aside.read_async(key, |()| select)))
        },
    }
}

#[test]
fn what_a_computation_or_a_statement_returns_is_not_lost() {
    nothing_is_lost! { cache;
        "try_and_compute a failure": |cache| {
            cache.entry(key(HIT.0)).try_and_compute(|_| Err(failure()))
        },
        "and_compute, discarded": |cache| {
            cache.entry(key(HIT.0)).and_compute(|_| {
                cache.invalidate(&HIT);
                Compute::Replace(value())
            })
        },
        "remove": |cache| cache.remove(&HIT),
        "aside, write": |cache| {
            let touched = Touched::key(key(HIT.0)).and_key(key(MISS.0));
            Aside::new(cache.clone(), ()).write(touched, |()| Found::Ok(value()))
        },
        "aside, write a failure": |cache| {
            Aside::new(cache.clone(), ()).write(Touched::all(), |()| Found::Err(failure()))
        },
        "aside, write_async": |cache| {
            let touched = Touched::key(key(HIT.0));
            let statement = late(Found::Ok(value()));
            block_on(Aside::new(cache.clone(), ()).write_async(touched, |()| statement))
        },
    }
}

/// Some are there, some are not.
const MANY: [Name; 4] = [HIT, Name(8), Name(0), MISS];

fn pairs(missing: Vec<&Name>) -> Vec<(Key, Value)> {
    missing.into_iter().map(|name| (key(name.0), value())).collect()
}

/// A loader of many with something of its own.
fn loader_of_many<T>(load: impl Fn(Vec<&Name>) -> T) -> impl FnMut(Vec<&'static Name>) -> T {
    let own = Fragile::new();
    move |missing| {
        let _ = &own;
        load(missing)
    }
}

#[test]
fn the_list_of_many_values_is_not_lost() {
    let refuse = |_: Vec<&Name>| Err::<Vec<_>, _>(failure());
    nothing_is_lost! { cache;
        "get_many_with": |cache| cache.get_many_with(&MANY, loader_of_many(pairs)),
        "get_many_with hits": |cache| cache.get_many_with(&MANY[..1], loader_of_many(pairs)),
        "try_get_many_with": |cache| {
            cache.try_get_many_with(&MANY, loader_of_many(|names| Ok::<_, Failure>(pairs(names))))
        },
        "try_get_many_with a failure": |cache| {
            cache.try_get_many_with(&MANY, loader_of_many(refuse))
        },
        "get_many_with_async": |cache| {
            let load = loader_of_many(|names| late(pairs(names)));
            block_on(cache.get_many_with_async(&MANY, load))
        },
        "try_get_many_with_async a failure": |cache| {
            let load = loader_of_many(|names| late(refuse(names)));
            block_on(cache.try_get_many_with_async(&MANY, load))
        },
    }
}

/// A table with a value in every row whose key is even.
#[derive(Clone, Copy, Debug)]
enum Table {
    Takes,
    Refuses,
    /// It answers for fewer keys than it was asked about.
    Babbles,
}

impl Table {
    fn row(self, key: &Key) -> Perhaps {
        match self {
            Table::Takes => Ok((key.0 % 2 == 0).then(value)),
            Table::Refuses | Table::Babbles => Err(failure()),
        }
    }

    fn change(self) -> Result<(), Failure> {
        match self {
            Table::Takes => Ok(()),
            Table::Refuses | Table::Babbles => Err(failure()),
        }
    }

    fn change_many(self, size: usize) -> Result<Written<Failure>, Failure> {
        match self {
            Table::Takes => Ok(Written::all()),
            Table::Refuses => Err(failure()),
            Table::Babbles => Ok(Written::except([(size, failure())])),
        }
    }
}

impl Loader<Key, Value> for Table {
    type Error = Failure;

    fn load(&self, key: &Key) -> Perhaps {
        self.row(key)
    }
}

impl Store<Key, Value> for Table {
    fn write(&self, _: &Key, _: &Value) -> Result<(), Failure> {
        self.change()
    }
    fn delete(&self, _: &Key) -> Result<(), Failure> {
        self.change()
    }
    fn write_many(&self, entries: &[(&Key, &Value)]) -> Result<Written<Failure>, Failure> {
        self.change_many(entries.len())
    }
}

impl AsyncLoader<Key, Value> for Table {
    type Error = Failure;

    async fn load(&self, key: &Key) -> Perhaps {
        self.row(key)
    }
}

impl AsyncStore<Key, Value> for Table {
    async fn write(&self, _: &Key, _: &Value) -> Result<(), Failure> {
        self.change()
    }
    async fn delete(&self, _: &Key) -> Result<(), Failure> {
        self.change()
    }
    async fn write_many(&self, entries: &[(&Key, &Value)]) -> Result<Written<Failure>, Failure> {
        self.change_many(entries.len())
    }
}

type Stored = StoreCache<Key, Value, Table>;

fn policies() -> [WritePolicy; 3] {
    let settings = WriteBack::new().workers(0).max_attempts(1).delay(Duration::ZERO);
    // A batch that is refused is split and tried again: at once.
    let settings = settings.backoff(Duration::ZERO, Duration::ZERO).drop_deadline(Duration::ZERO);
    [WritePolicy::Through, WritePolicy::Around, WritePolicy::Back(settings)]
}

/// One key twice.
fn entries() -> Vec<(Key, Value)> {
    [3, 4, 5, 3, 6].map(|id| (key(id), value())).into()
}

fn keys() -> Vec<Key> {
    (0..6).map(key).collect()
}

#[test]
fn what_a_cache_over_a_store_returns_is_not_lost() {
    for (policy, table) in policies().into_iter().flat_map(|policy| {
        [Table::Takes, Table::Refuses, Table::Babbles].map(|table| (policy.clone(), table))
    }) {
        let built = || Stored::builder(cache(), table).policy(policy.clone());
        println!("{policy:?} over a table that {table:?}");
        let set = || built().build().unwrap();
        nothing_is_lost! { set;
            "get": |cache| with_key(6, |key| cache.get(key)),
            "get_many": |cache| {
                let keys = keys();
                let found = cache.get_many(&keys);
                drop(keys);
                found
            },
            "put": |cache| cache.put(key(HIT.0), value()),
            "delete": |cache| cache.delete(key(HIT.0)),
            "put_many": |cache| cache.put_many(entries()),
            "put_many and flush": |cache| {
                drop(cache.put_many(entries()));
                cache.flush()
            },
            "put, fail, and discard": |cache| {
                drop(cache.put(key(HIT.0), value()));
                drop(cache.flush());
                cache.discard_failed()
            },
            "put and close": |cache| {
                drop(cache.put_many(entries()));
                cache.close(Duration::ZERO)
            },
            "put_many too late": |cache| {
                drop(cache.close(Duration::ZERO));
                cache.put_many(entries())
            },
        }
        let set = || built().build_async().unwrap();
        nothing_is_lost! { set;
            "get_async": |cache| with_key(6, |key| block_on(cache.get_async(key))),
            "get_many_async": |cache| {
                let keys = keys();
                let found = block_on(cache.get_many_async(&keys));
                drop(keys);
                found
            },
            "put_async": |cache| block_on(cache.put_async(key(HIT.0), value())),
            "put_many_async": |cache| block_on(cache.put_many_async(entries())),
            "delete_async": |cache| block_on(cache.delete_async(key(HIT.0))),
        }
    }
}

/// Memoized functions. Keys are borrowed; what else a function is given, the
/// call drops.
#[cfg(feature = "macros")]
mod memoized {
    use super::*;
    use larder::__private::{How, Returned, Source, load, load_async, no_options};
    use larder::{DefaultHashBuilder, memoize};
    use std::sync::LazyLock;

    static SHELF: LazyLock<Cache<Key, Value>> = LazyLock::new(cache);

    #[memoize(cache = SHELF, skip(own))]
    fn plain(_key: &Key, own: Fragile) -> Value {
        drop(own);
        value()
    }

    #[memoize(cache = SHELF, skip(own))]
    fn failing(_key: &Key, own: Fragile) -> Result<Value, Failure> {
        drop(own);
        Err(failure())
    }

    #[memoize(cache = SHELF, skip(own), some_only)]
    fn optional(_key: &Key, own: Fragile) -> Option<Value> {
        drop(own);
        Some(value())
    }

    #[memoize(cache = SHELF, skip(own))]
    async fn tasked(_key: &Key, own: Fragile) -> Value {
        drop(own);
        value()
    }

    #[memoize(cache = SHELF, skip(own))]
    async fn failing_task(_key: &Key, own: Fragile) -> Result<Value, Failure> {
        drop(own);
        Err(failure())
    }

    /// As it was, at the beginning and in the end.
    struct Stocked;

    impl Stocked {
        fn new() -> Self {
            SHELF.clear();
            SHELF.insert(key(HIT.0), value());
            Stocked
        }
    }

    impl Drop for Stocked {
        fn drop(&mut self) {
            SHELF.clear();
        }
    }

    #[test]
    fn what_a_memoized_function_returns_is_not_lost() {
        let own = Fragile::new;
        for id in [HIT.0, MISS.0] {
            nothing_is_lost! { Stocked::new;
                "a value": |_| with_key(id, |key| plain(key, own())),
                "a result": |_| with_key(id, |key| failing(key, own())),
                "an option": |_| with_key(id, |key| optional(key, own())),
                "a task": |_| with_key(id, |key| block_on(tasked(key, own()))),
                "a task that fails": |_| with_key(id, |key| block_on(failing_task(key, own()))),
            }
        }
    }

    /// A cache that always has an old value, so the function is not called.
    struct Old(Cache<Key, Value>);

    impl Source<Key, Value> for Old {
        type Hasher = DefaultHashBuilder;

        fn cache(&self) -> &Cache<Key, Value> {
            &self.0
        }

        fn stale_for_now<Q: ToKey<Key> + ?Sized>(&self, _: &Q) -> Option<Value> {
            Some(value())
        }
    }

    #[test]
    fn an_old_value_is_not_lost_as_the_function_that_was_not_called_is_dropped() {
        let how = || How { options: no_options, negative_ttl: None };
        let plan = || Returned::<Value>::NEW;
        nothing_is_lost! { || Old(cache());
            "a value": |old| load(plan(), old, &MISS, how(), loader(value)),
            "a task": |old| {
                block_on(load_async(plan(), old, &MISS, how(), task(Fragile::new(), value)))
            },
        }
    }
}
