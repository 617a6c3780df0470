//! Loads, tasks, stores, memoized functions: each operation from each callback
//! of each other one, for the same key and for another.
//!
//! Two things wait for themselves, and their docs say so: a `flush` without a
//! limit from within a call of the store, and a task whose call of the store
//! writes the very key that it is being called for.

#![allow(clippy::unit_arg, reason = "operations are told apart by whether they were refused")]

use crate::hooks::{Callback, Hook, KEY, Key, OTHER, REFUSAL, at, hang, has_fired, is_hung};
use crate::quiet::{keep_quiet_about, message_of};
use crate::watchdog::must_end;
use larder::store::{
    AsyncLoader, AsyncStore, Loader, ReadError, Store, StoreCache, WriteBack, WriteError,
    WritePolicy,
};
use larder::{
    Aside, Cache, Compute, EntryOptions, Expiry, Inline, LoadError, LoadingCache, ManualClock,
};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);

/// How long to wait for writes: for those of the operation that is tried, as
/// long as it takes. A call from within a write may wait for that very write.
fn patience() -> Duration {
    if is_hung() { 50 * SECOND } else { MOMENT }
}

/// Those that any operation here calls; `Make` is called `Compute`.
const CALLBACKS: [Callback; 12] = [
    Callback::Weigher,
    Callback::Expiry,
    Callback::Listener,
    Callback::DropKey,
    Callback::DropValue,
    Callback::Predicate,
    Callback::Compute,
    Callback::Read,
    Callback::Load,
    Callback::Write,
    Callback::IsAmbiguous,
    Callback::DeadLetter,
];

#[derive(Clone)]
struct Value;

impl Drop for Value {
    fn drop(&mut self) {
        at(Callback::DropValue);
    }
}

struct LongLife;

impl Expiry<Key, Value> for LongLife {
    fn on_create(&self, _: &Key, _: &Value) -> Duration {
        at(Callback::Expiry);
        1000 * SECOND
    }

    fn on_read(&self, _: &Key, _: &Value, _: Duration) -> Duration {
        at(Callback::Expiry);
        1000 * SECOND
    }
}

fn load() -> Value {
    at(Callback::Load);
    Value
}

/// It has a value for every key, and fails to write if it is told to.
#[derive(Default)]
struct Shelf(AtomicBool);

impl Shelf {
    fn change(&self) -> Result<(), &'static str> {
        at(Callback::Write);
        if self.0.load(Ordering::Relaxed) { Err("no") } else { Ok(()) }
    }
}

impl Loader<Key, Value> for Shelf {
    type Error = &'static str;

    fn load(&self, _: &Key) -> Result<Option<Value>, &'static str> {
        Ok(Some(load()))
    }
    fn is_ambiguous(&self, _: &&'static str) -> bool {
        at(Callback::IsAmbiguous);
        true
    }
}

impl Store<Key, Value> for Shelf {
    fn write(&self, _: &Key, _: &Value) -> Result<(), &'static str> {
        self.change()
    }
    fn delete(&self, _: &Key) -> Result<(), &'static str> {
        self.change()
    }
}

impl AsyncLoader<Key, Value> for Shelf {
    type Error = &'static str;

    async fn load(&self, _: &Key) -> Result<Option<Value>, &'static str> {
        Ok(Some(load()))
    }
}

impl AsyncStore<Key, Value> for Shelf {
    async fn write(&self, _: &Key, _: &Value) -> Result<(), &'static str> {
        self.change()
    }
    async fn delete(&self, _: &Key) -> Result<(), &'static str> {
        self.change()
    }
}

/// One cache, and all that can be built around it.
struct World {
    cache: Cache<Key, Value>,
    loading: LoadingCache<Key, Value, &'static str>,
    shop: StoreCache<Key, Value, Arc<Shelf>>,
    tasks: StoreCache<Key, Value, Arc<Shelf>>,
    shelf: Arc<Shelf>,
    clock: ManualClock,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Policy {
    Through,
    Around,
    Back,
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    policy: Policy,
    capacity: usize,
    has_key: bool,
}

impl World {
    fn of(shape: Shape) -> Arc<Self> {
        let (clock, shelf) = (ManualClock::new(), Arc::<Shelf>::default());
        let loading = Cache::builder()
            .capacity(shape.capacity)
            .shards(2)
            .weigher(|_: &Key, _: &Value| {
                at(Callback::Weigher);
                1
            })
            .weight_capacity(50)
            .expiry(LongLife)
            .on_removal(|_, _, _| at(Callback::Listener))
            .clock(clock.clone())
            .loader(|_: &Key| Ok::<_, &'static str>(load()))
            .refresh_after(100 * SECOND)
            .spawner(Inline)
            .build()
            .unwrap();
        let policy = || match shape.policy {
            Policy::Through => WritePolicy::Through,
            Policy::Around => WritePolicy::Around,
            Policy::Back => WritePolicy::Back(
                WriteBack::new()
                    .workers(0)
                    .delay(Duration::ZERO)
                    .max_attempts(1)
                    .drop_deadline(MOMENT),
            ),
        };
        let over = || {
            StoreCache::builder(loading.cache().clone(), Arc::clone(&shelf))
                .policy(policy())
                .on_dead_letter(|_| at(Callback::DeadLetter))
        };
        let (shop, tasks) = (over().build().unwrap(), over().build_async().unwrap());
        let cache = loading.cache().clone();
        cache.insert(Key(OTHER), Value);
        if shape.has_key {
            cache.insert_with(Key(KEY), Value, EntryOptions::new().tag("tag"));
        }
        memo::clear();
        Arc::new(World { cache, loading, shop, tasks, shelf, clock })
    }
}

/// What an operation does for its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Effect {
    Looks,
    /// Waits for a load of the key.
    Loads,
    /// Waits for a computation of the key.
    Writes,
    Invalidates,
    /// Waits for a call of the store that writes the key.
    Stores,
    /// As that, and tasks cannot be told that they wait for themselves.
    StoresAsync,
    Other,
}

struct Operation {
    name: &'static str,
    effect: Effect,
    /// Returns whether it was refused.
    run: fn(&World, u64) -> bool,
}

const fn op(name: &'static str, effect: Effect, run: fn(&World, u64) -> bool) -> Operation {
    Operation { name, effect, run }
}

fn is_load<T, E>(loaded: Result<T, LoadError<E>>) -> bool {
    matches!(loaded, Err(LoadError::Recursive))
}

fn is_read<T, E>(read: Result<T, ReadError<E>>) -> bool {
    matches!(read, Err(ReadError::Recursive))
}

fn is_write<E>(written: Result<(), WriteError<E>>) -> bool {
    matches!(written, Err(WriteError::Recursive))
}

fn done<T>(result: T) -> bool {
    drop(result);
    false
}

use Effect::{Invalidates, Loads, Looks, Other, Stores, StoresAsync, Writes};

const OPERATIONS: &[Operation] = &[
    op("get", Looks, |w, key| done(w.cache.get(&Key(key)))),
    op("read", Looks, |w, key| done(w.cache.read(&Key(key), |_| at(Callback::Read)))),
    op("iter", Looks, |w, _| done(w.cache.iter().count())),
    op("len and maintenance", Looks, |w, _| {
        w.cache.run_maintenance();
        done(w.cache.len())
    }),
    op("insert", Writes, |w, key| done(w.cache.insert(Key(key), Value))),
    op("remove", Writes, |w, key| done(w.cache.remove(&Key(key)))),
    op("or_insert_with", Other, |w, key| {
        done(w.cache.entry(Key(key)).or_insert_with(|| {
            at(Callback::Compute);
            Value
        }))
    }),
    op("and_compute", Writes, |w, key| {
        done(w.cache.entry(Key(key)).and_compute(|_| {
            at(Callback::Compute);
            Compute::Replace(Value)
        }))
    }),
    op("invalidate", Invalidates, |w, key| done(w.cache.invalidate(&Key(key)))),
    op("invalidate_if", Invalidates, |w, key| {
        done(w.cache.invalidate_if(|other, _| {
            at(Callback::Predicate);
            other.0 == key
        }))
    }),
    op("invalidate_tag", Invalidates, |w, _| {
        w.cache.invalidate_tag("tag");
        done(w.cache.run_maintenance())
    }),
    op("invalidate_all", Invalidates, |w, _| {
        w.cache.invalidate_all();
        done(w.cache.run_maintenance())
    }),
    op("clear", Invalidates, |w, _| done(w.cache.clear())),
    op("set_capacity", Looks, |w, _| done(w.cache.set_capacity(1))),
    op("get_with", Loads, |w, key| done(w.cache.get_with(&Key(key), load))),
    op("try_get_with", Loads, |w, key| {
        is_load(w.cache.try_get_with(&Key(key), || Ok::<_, &str>(load())))
    }),
    op("load nothing", Loads, |w, key| {
        let key = Key(key);
        is_load(w.cache.load(&key).negative_ttl(SECOND).try_optional_with(|| {
            at(Callback::Load);
            Ok::<_, &str>(None)
        }))
    }),
    op("get_many_with", Other, |w, key| {
        let keys = [Key(key), Key(key + 10)];
        is_load(w.cache.try_get_many_with(&keys, |missing| {
            at(Callback::Load);
            Ok::<_, &str>(missing.into_iter().map(|key| (key.clone(), Value)).collect::<Vec<_>>())
        }))
    }),
    op("get_with_async", Loads, |w, key| {
        done(pollster::block_on(w.cache.get_with_async(&Key(key), async { load() })))
    }),
    op("try_get_with_async", Loads, |w, key| {
        let load = async { Ok::<_, &str>(load()) };
        is_load(pollster::block_on(w.cache.try_get_with_async(&Key(key), load)))
    }),
    op("get_many_with_async", Other, |w, key| {
        let keys = [Key(key), Key(key + 10)];
        let found = w.cache.try_get_many_with_async(&keys, |missing| async move {
            at(Callback::Load);
            Ok::<_, &str>(missing.into_iter().map(|key| (key.clone(), Value)).collect::<Vec<_>>())
        });
        is_load(pollster::block_on(found))
    }),
    op("get_or_load", Loads, |w, key| is_load(w.loading.get_or_load(&Key(key)))),
    op("get_or_load_async", Loads, |w, key| {
        is_load(pollster::block_on(w.loading.get_or_load_async(&Key(key))))
    }),
    op("refresh", Other, |w, key| is_load(w.loading.refresh(&Key(key)))),
    op("reload what is old", Other, |w, key| {
        w.clock.advance(100 * SECOND);
        is_load(w.loading.get_or_load(&Key(key)))
    }),
    op("read aside", Loads, |w, key| {
        let aside = Aside::new(w.cache.clone(), ());
        is_read(aside.read(&Key(key), |()| Ok::<_, &str>(Some(load()))))
    }),
    op("write aside", Other, |w, key| {
        let aside = Aside::new(w.cache.clone(), ());
        done(aside.write(&Key(key), |()| {
            at(Callback::Load);
            Ok::<_, &str>(())
        }))
    }),
    op("get from the store", Loads, |w, key| is_read(w.shop.get(&Key(key)))),
    op("get many from the store", Other, |w, key| {
        is_read(w.shop.get_many(&[Key(key), Key(key + 10)]))
    }),
    op("put", Stores, |w, key| is_write(w.shop.put(Key(key), Value))),
    op("put many", Stores, |w, key| {
        let outcomes = w.shop.put_many(vec![(Key(key), Value), (Key(key + 10), Value)]);
        outcomes.into_iter().any(is_write)
    }),
    op("delete", Stores, |w, key| is_write(w.shop.delete(Key(key)))),
    op("put and flush", Other, |w, key| {
        let is_refused = is_write(w.shop.put(Key(key), Value));
        is_refused | done(w.shop.flush_timeout(patience()))
    }),
    op("put what the store refuses", Other, |w, key| {
        w.shelf.0.store(true, Ordering::Relaxed);
        let is_refused = is_write(w.shop.put(Key(key), Value));
        drop(w.shop.flush_timeout(patience()));
        w.shelf.0.store(false, Ordering::Relaxed);
        drop(w.shop.failed());
        w.shop.retry_failed();
        is_refused | done(w.shop.discard_failed())
    }),
    op("get from the store in a task", Loads, |w, key| {
        is_read(pollster::block_on(w.tasks.get_async(&Key(key))))
    }),
    op("put in a task", StoresAsync, |w, key| {
        is_write(pollster::block_on(w.tasks.put_async(Key(key), Value)))
    }),
    op("delete in a task", StoresAsync, |w, key| {
        is_write(pollster::block_on(w.tasks.delete_async(Key(key))))
    }),
    op("close", Other, |w, _| {
        drop(w.shop.close(patience()));
        done(pollster::block_on(w.tasks.close_async(patience())))
    }),
    op("call a memoized function", Other, |_, key| memo::call(key)),
    op("call a memoized function in a task", Other, |_, key| memo::call_async(key)),
];

#[cfg(feature = "macros")]
mod memo {
    use super::{Callback, Key, Value, at, load};
    use larder::{Cache, memoize};
    use std::sync::LazyLock;

    static CACHE: LazyLock<Cache<Key, Value>> = LazyLock::new(|| {
        let builder = Cache::builder().capacity(2).on_removal(|_, _, _| at(Callback::Listener));
        let weigh = |_: &Key, _: &Value| {
            at(Callback::Weigher);
            1
        };
        builder.weight_capacity(2).weigher(weigh).build().unwrap()
    });

    #[memoize(cache = CACHE)]
    fn remembered(key: &Key) -> Value {
        assert!(key.0 < 100);
        load()
    }

    #[memoize(cache = CACHE)]
    async fn remembered_later(key: &Key) -> Value {
        assert!(key.0 < 100);
        load()
    }

    pub(super) fn clear() {
        CACHE.clear();
    }

    pub(super) fn call(key: u64) -> bool {
        super::done(remembered(&Key(key)))
    }

    pub(super) fn call_async(key: u64) -> bool {
        super::done(pollster::block_on(remembered_later(&Key(key))))
    }
}

#[cfg(not(feature = "macros"))]
mod memo {
    pub(super) fn clear() {}

    pub(super) fn call(_: u64) -> bool {
        false
    }

    pub(super) fn call_async(_: u64) -> bool {
        false
    }
}

/// Runs `outer` for `KEY`, and `inner` in its first call of `callback`. Whether
/// that was refused; `None` if there was no such call.
fn run(
    shape: Shape,
    outer: &Operation,
    callback: Callback,
    inner: Option<(&'static Operation, u64)>,
) -> Option<bool> {
    let world = World::of(shape);
    let is_refused = Arc::new(AtomicBool::new(false));
    let hook: Hook = {
        let (world, is_refused) = (Arc::clone(&world), Arc::clone(&is_refused));
        Box::new(move || {
            let Some((inner, target)) = inner else { return };
            let ended = catch_unwind(AssertUnwindSafe(|| (inner.run)(&world, target)));
            let refused = ended.unwrap_or_else(|panic| {
                assert!(message_of(&*panic).contains(REFUSAL), "{}", message_of(&*panic));
                true
            });
            is_refused.store(refused, Ordering::Relaxed);
        })
    };
    hang(callback, hook);
    (outer.run)(&world, KEY);
    let has_fired = has_fired();
    world.cache.validate().unwrap();
    // All goes on as ever.
    for operation in OPERATIONS {
        assert!(!(operation.run)(&world, KEY), "{} is refused afterwards", operation.name);
    }
    world.cache.validate().unwrap();
    has_fired.then(|| is_refused.load(Ordering::Relaxed))
}

/// What the docs say waits for itself.
fn is_excepted(policy: Policy, callback: Callback, outer: &Operation, inner: &Operation) -> bool {
    policy == Policy::Through
        && callback == Callback::Write
        && outer.effect == StoresAsync
        && inner.effect == StoresAsync
}

/// What has to be refused, if it is for the same key.
fn must_be_refused(shape: Shape, callback: Callback, outer: &Operation, inner: &Operation) -> bool {
    match callback {
        Callback::Load => !shape.has_key && outer.effect == Loads && inner.effect == Loads,
        Callback::Compute => inner.effect == Writes,
        Callback::Write => {
            shape.policy == Policy::Through && outer.effect == Stores && inner.effect == Stores
        }
        _ => false,
    }
}

const SHAPES: [(Policy, usize); 3] =
    [(Policy::Through, 100), (Policy::Around, 1), (Policy::Back, 100)];

/// So many operations are called from so many callbacks of others.
const CELLS: usize = if cfg!(feature = "macros") { 14_960 } else { 12_000 };

#[test]
fn every_operation_may_be_called_from_every_callback_of_every_other_one() {
    keep_quiet_about(REFUSAL);
    let (mut cells, mut excepted, mut spoilt) = (BTreeSet::new(), 0, Vec::new());
    let shapes = SHAPES.into_iter().flat_map(|(policy, capacity)| {
        [false, true].map(|has_key| Shape { policy, capacity, has_key })
    });
    for shape in shapes {
        for (outer, callback) in OPERATIONS.iter().flat_map(|o| CALLBACKS.map(|c| (o, c))) {
            if run(shape, outer, callback, None).is_none() {
                continue;
            }
            for (inner, target) in OPERATIONS.iter().flat_map(|o| [KEY, OTHER].map(|k| (o, k))) {
                let what = format!(
                    "{} of {target} from {callback:?} in {}: {shape:?}",
                    inner.name, outer.name
                );
                if target == KEY && is_excepted(shape.policy, callback, outer, inner) {
                    excepted += 1;
                    continue;
                }
                let cell = (outer.name, callback, inner.name, target);
                let is_of_store = |o: &Operation| matches!(o.effect, Stores | StoresAsync | Other);
                if cells.contains(&cell) && !is_of_store(inner) && !is_of_store(outer) {
                    // The policy makes no difference.
                    continue;
                }
                let ended =
                    must_end(&what, move || run(shape, outer, callback, Some((inner, target))));
                match ended {
                    Err(panic) => spoilt.push(format!("{what}: {}", message_of(&*panic))),
                    Ok(None) => spoilt.push(format!("{what}: not called")),
                    Ok(Some(true)) if target != KEY => spoilt.push(format!("{what}: refused")),
                    Ok(Some(false))
                        if target == KEY && must_be_refused(shape, callback, outer, inner) =>
                    {
                        spoilt.push(format!("{what}: not refused"));
                    }
                    Ok(Some(_)) => drop(cells.insert(cell)),
                }
            }
        }
    }
    assert!(spoilt.is_empty(), "{} are spoilt:\n{}", spoilt.len(), spoilt.join("\n"));
    assert!(cells.len() >= CELLS, "only {} cells", cells.len());
    assert_eq!(excepted, 8, "no more than is documented");
}
