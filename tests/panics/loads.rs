//! Loading with bombs: threads, tasks, caches that know their loader, and
//! caches beside a database.

use crate::bombs::{Bomb, Failure, Key, Value, use_of};
use crate::matrix::{KEY, NEW, Operation, explode, reads, sweeps, takes_steps, writes};
use crate::pantry::{HEAVY, Pantry, REFRESH, Shape, WEIGHT};
use larder::{Aside, Cache, EntryOptions, Equivalent, LoadError, ToKey, Touched};
use std::future::{Future, pending};
use std::hash::{Hash, Hasher};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

const FAILURE: Failure = Failure { is_ambiguous: false };
const MINUTE: Duration = Duration::from_secs(60);

/// What `get_many` is asked for: some are there, some are not.
const MANY: [u64; 4] = [KEY, NEW, NEW + 1, NEW + 2];

/// Keys that nothing ever has a value for.
const LOST: [u64; 2] = [20, 21];

impl Pantry {
    fn fail(&self) -> Result<Value, Failure> {
        use_of(Bomb::Load);
        Err(FAILURE)
    }

    /// The pairs are made as they are asked for.
    fn pairs(&self, keys: &[u64]) -> impl Iterator<Item = (Key, Value)> {
        keys.iter().map(|key| (self.key(*key), self.load(*key)))
    }

    fn get_many(&self) {
        let queries = MANY.map(|key| self.query(key));
        let found = self.cache.get_many_with(&queries, |missing| {
            assert!(missing.len() <= MANY.len());
            // More than was asked for.
            self.pairs(&MANY)
        });
        assert!(found.iter().zip(MANY).all(|(value, key)| value.as_ref().unwrap().key == key));
    }
}

/// A key that is written while it is turned into one that can be kept: after
/// the first look, and before the second.
struct Late<'a> {
    pantry: &'a Pantry,
    id: u64,
    then: fn(&Cache<Key, Value>),
}

impl Hash for Late<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pantry.query(self.id).hash(state);
    }
}

impl Equivalent<Key> for Late<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.pantry.query(self.id).equivalent(key)
    }
}

impl ToKey<Key> for Late<'_> {
    fn to_key(&self) -> Key {
        self.pantry.insert(self.id, WEIGHT);
        (self.then)(&self.pantry.cache);
        self.pantry.key(self.id)
    }
}

const LOADS: &[Operation<Pantry>] = &[
    reads("get_with a hit", |pantry| {
        let value = pantry.cache.get_with(&pantry.query(KEY), || pantry.load(KEY));
        assert_eq!(value.key, KEY);
    }),
    writes("get_with", NEW, |pantry| {
        let value = pantry.cache.get_with(&pantry.query(NEW), || pantry.load(NEW));
        assert_eq!(value.key, NEW);
    }),
    writes("get_with an owned key", NEW, |pantry| {
        let value = pantry.cache.get_with(&pantry.key(NEW), || pantry.load(NEW));
        assert_eq!(value.key, NEW);
    }),
    writes("try_get_with", NEW, |pantry| {
        let loaded =
            pantry.cache.try_get_with(&pantry.query(NEW), || Ok::<_, Failure>(pantry.load(NEW)));
        assert_eq!(loaded.unwrap().key, NEW);
    }),
    writes("try_get_with a failure", NEW, |pantry| {
        let loaded = pantry.cache.try_get_with(&pantry.query(NEW), || pantry.fail());
        drop(loaded);
    }),
    takes_steps("get_many_with", NEW, Pantry::get_many),
    takes_steps("try_get_many_with a failure", NEW, |pantry| {
        let queries = MANY.map(|key| pantry.query(key));
        let found = pantry.cache.try_get_many_with(&queries, |_| {
            use_of(Bomb::Load);
            Err::<Vec<_>, _>(FAILURE)
        });
        drop(found);
    }),
    writes("load with options", NEW, |pantry| {
        let options = EntryOptions::new().tag("odd").ttl(MINUTE);
        let query = pantry.query(NEW);
        pantry.cache.load(&query).options(options).wait_timeout(MINUTE).with(|| pantry.load(NEW));
    }),
    writes("load what is too heavy", NEW, |pantry| {
        let query = pantry.query(NEW);
        pantry
            .cache
            .load(&query)
            .options(EntryOptions::new().weight(HEAVY))
            .with(|| pantry.load(NEW));
    }),
    writes("load what is heavier", NEW, |pantry| {
        let query = pantry.query(NEW);
        pantry.cache.load(&query).with(|| {
            use_of(Bomb::Load);
            pantry.value(NEW, 3 * WEIGHT)
        });
    }),
    writes("load nothing, and remember that", NEW, |pantry| {
        for _ in 0..2 {
            let query = pantry.query(NEW);
            let load = pantry.cache.load(&query).negative_ttl(MINUTE);
            let loaded = load.try_optional_with(|| {
                use_of(Bomb::Load);
                Ok::<_, Failure>(None)
            });
            drop(loaded);
        }
    }),
    writes("load, and remember a failure", NEW, |pantry| {
        for _ in 0..2 {
            let query = pantry.query(NEW);
            let load = pantry.cache.load(&query).negative_ttl(MINUTE);
            drop(load.try_with(|| pantry.fail()));
        }
        pantry.time.advance(2 * MINUTE);
        pantry.cache.run_maintenance();
    }),
    takes_steps("load what is written meanwhile", NEW, |pantry| {
        pantry.cache.get_with(&pantry.query(NEW), || {
            pantry.insert(NEW, WEIGHT);
            pantry.load(NEW)
        });
    }),
    takes_steps("load what is computed meanwhile", NEW, |pantry| {
        pantry.cache.get_with(&pantry.query(NEW), || {
            pantry.make(NEW);
            pantry.load(NEW)
        });
    }),
    takes_steps("load what is removed meanwhile", NEW, |pantry| {
        pantry.cache.get_with(&pantry.query(NEW), || {
            drop(pantry.cache.remove(&pantry.query(NEW)));
            pantry.load(NEW)
        });
    }),
    takes_steps("load what appears in the last moment", NEW, |pantry| {
        let late = Late { pantry, id: NEW, then: |_| () };
        drop(pantry.cache.get_with(&late, || pantry.load(NEW)));
    }),
    sweeps("load what appears as others go", |pantry| {
        let late = Late { pantry, id: NEW, then: |cache| cache.invalidate_tag("even") };
        drop(pantry.cache.get_with(&late, || pantry.load(NEW)));
    }),
    sweeps("load while all is invalidated", |pantry| {
        pantry.cache.get_with(&pantry.query(NEW), || {
            pantry.cache.invalidate_all();
            pantry.load(NEW)
        });
    }),
    sweeps("load after all was invalidated", |pantry| {
        pantry.cache.invalidate_all();
        pantry.cache.get_with(&pantry.query(KEY), || pantry.load(KEY));
    }),
    sweeps("load after all has expired", |pantry| {
        pantry.age();
        pantry.cache.get_with(&pantry.query(KEY), || pantry.load(KEY));
    }),
    takes_steps("load what asks for itself", NEW, |pantry| {
        let query = pantry.query(NEW);
        pantry.cache.get_with(&query, || {
            let inner = pantry.cache.try_get_with(&query, || pantry.fail());
            assert_eq!(inner.unwrap_err(), LoadError::Recursive);
            pantry.load(NEW)
        });
    }),
];

/// A load that never ends by itself.
fn begin_and_drop<F: Future>(load: F) {
    let polled = pin!(load).poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "it has ended");
}

const TASKS: &[Operation<Pantry>] = &[
    reads("get_with_async a hit", |pantry| {
        let load = async { pantry.load(KEY) };
        pollster::block_on(pantry.cache.get_with_async(&pantry.query(KEY), load));
    }),
    writes("get_with_async", NEW, |pantry| {
        let load = async { pantry.load(NEW) };
        pollster::block_on(pantry.cache.get_with_async(&pantry.query(NEW), load));
    }),
    writes("get_with_async, the loader has a key and a value of its own", NEW, |pantry| {
        let own = (pantry.key(NEW), pantry.value(NEW, WEIGHT));
        let load = async {
            let (key, _value) = &own;
            pantry.load(key.id)
        };
        pollster::block_on(pantry.cache.get_with_async(&pantry.query(NEW), load));
    }),
    writes("try_get_with_async", NEW, |pantry| {
        let load = async { Ok::<_, Failure>(pantry.load(NEW)) };
        drop(pollster::block_on(pantry.cache.try_get_with_async(&pantry.query(NEW), load)));
    }),
    writes("try_get_with_async a failure", NEW, |pantry| {
        let load = async { pantry.fail() };
        drop(pollster::block_on(pantry.cache.try_get_with_async(&pantry.query(NEW), load)));
    }),
    writes("try_optional_with_async", NEW, |pantry| {
        let query = pantry.query(NEW);
        let load = pantry.cache.load(&query).negative_ttl(MINUTE);
        let loaded = load.try_optional_with_async(async {
            use_of(Bomb::Load);
            Ok::<_, Failure>(None)
        });
        drop(pollster::block_on(loaded));
    }),
    takes_steps("get_many_with_async", NEW, |pantry| {
        let queries = MANY.map(|key| pantry.query(key));
        let found = pantry.cache.get_many_with_async(&queries, |missing| async move {
            assert!(missing.len() <= MANY.len());
            pantry.pairs(&MANY)
        });
        drop(pollster::block_on(found));
    }),
    takes_steps("try_get_many_with_async a failure", NEW, |pantry| {
        let queries = MANY.map(|key| pantry.query(key));
        let found = pantry.cache.try_get_many_with_async(&queries, |_| async {
            use_of(Bomb::Load);
            Err::<Vec<_>, _>(FAILURE)
        });
        drop(pollster::block_on(found));
    }),
    writes("a task that is dropped while it loads", NEW, |pantry| {
        let own = (pantry.key(NEW), pantry.value(NEW, WEIGHT));
        begin_and_drop(pantry.cache.get_with_async(&pantry.query(LOST[0]), async {
            use_of(Bomb::Load);
            pending::<()>().await;
            own.1.clone()
        }));
    }),
    takes_steps("a task that is dropped while it loads many", NEW, |pantry| {
        let queries = LOST.map(|key| pantry.query(key));
        begin_and_drop(pantry.cache.get_many_with_async(&queries, |_| async {
            use_of(Bomb::Load);
            pending::<()>().await;
            pantry.pairs(&LOST)
        }));
    }),
    takes_steps("load what is written meanwhile, in a task", NEW, |pantry| {
        let load = async {
            pantry.insert(NEW, WEIGHT);
            pantry.load(NEW)
        };
        pollster::block_on(pantry.cache.get_with_async(&pantry.query(NEW), load));
    }),
    sweeps("load after all was invalidated, in a task", |pantry| {
        pantry.cache.invalidate_all();
        let load = async { pantry.load(KEY) };
        pollster::block_on(pantry.cache.get_with_async(&pantry.query(KEY), load));
    }),
];

const LOADING: &[Operation<Pantry>] = &[
    reads("get_or_load a hit", |pantry| {
        drop(pantry.loading().get_or_load(&pantry.query(KEY)));
    }),
    writes("get_or_load", NEW, |pantry| {
        drop(pantry.loading().get_or_load(&pantry.query(NEW)));
    }),
    writes("get_or_load_async", NEW, |pantry| {
        drop(pollster::block_on(pantry.loading().get_or_load_async(&pantry.query(NEW))));
    }),
    writes("refresh", KEY, |pantry| {
        drop(pantry.loading().refresh(&pantry.query(KEY)));
    }),
    writes("refresh_async", KEY, |pantry| {
        drop(pollster::block_on(pantry.loading().refresh_async(&pantry.query(KEY))));
    }),
    writes("refresh what is not there", NEW, |pantry| {
        drop(pantry.loading().refresh(&pantry.query(NEW)));
    }),
    takes_steps("reload what is old", KEY, |pantry| {
        pantry.time.advance(REFRESH);
        drop(pantry.loading().get_or_load(&pantry.query(KEY)));
    }),
    takes_steps("reload what is old in a task", KEY, |pantry| {
        pantry.time.advance(REFRESH);
        drop(pollster::block_on(pantry.loading().get_or_load_async(&pantry.query(KEY))));
    }),
    takes_steps("fail to reload what is old", KEY, |pantry| {
        pantry.time.advance(REFRESH);
        pantry.is_down.store(true, Ordering::Relaxed);
        drop(pantry.loading().get_or_load(&pantry.query(KEY)));
        pantry.is_down.store(false, Ordering::Relaxed);
    }),
    sweeps("serve what has expired", |pantry| {
        pantry.time.advance(2 * REFRESH);
        pantry.is_down.store(true, Ordering::Relaxed);
        for _ in 0..2 {
            drop(pantry.loading().get_or_load(&pantry.query(KEY)));
        }
        pantry.is_down.store(false, Ordering::Relaxed);
    }),
    sweeps("load what has expired", |pantry| {
        pantry.time.advance(2 * REFRESH);
        drop(pantry.loading().get_or_load(&pantry.query(KEY)));
    }),
    takes_steps("remember a failure", NEW, |pantry| {
        pantry.is_down.store(true, Ordering::Relaxed);
        for _ in 0..2 {
            drop(pantry.loading().get_or_load(&pantry.query(NEW)));
        }
        pantry.is_down.store(false, Ordering::Relaxed);
    }),
];

impl Pantry {
    fn aside(&self) -> Aside<Key, Value, ()> {
        Aside::new(self.cache.clone(), ()).negative_ttl(MINUTE)
    }
}

fn statement(_: &()) -> Result<(), Failure> {
    use_of(Bomb::Load);
    Ok(())
}

const ASIDE: &[Operation<Pantry>] = &[
    reads("aside, a hit", |pantry| {
        let read = |_: &()| Ok::<_, Failure>(Some(pantry.load(KEY)));
        drop(pantry.aside().read(&pantry.key(KEY), read));
    }),
    writes("aside, read", NEW, |pantry| {
        let read = |_: &()| Ok::<_, Failure>(Some(pantry.load(NEW)));
        drop(pantry.aside().read(&pantry.key(NEW), read));
    }),
    writes("aside, read nothing", NEW, |pantry| {
        drop(pantry.aside().read(&pantry.key(NEW), |db| statement(db).map(|()| None::<Value>)));
    }),
    writes("aside, read in a task", NEW, |pantry| {
        let read = |_: &()| async { Ok::<_, Failure>(Some(pantry.load(NEW))) };
        drop(pollster::block_on(pantry.aside().read_async(&pantry.key(NEW), read)));
    }),
    takes_steps("aside, write a key", KEY, |pantry| {
        _ = pantry.aside().write(Touched::key(pantry.key(KEY)), statement);
    }),
    sweeps("aside, write keys and a tag", |pantry| {
        let touched = Touched::key(pantry.key(KEY)).and_key(pantry.key(NEW)).and_tag("third");
        _ = pantry.aside().write(touched, statement);
        pantry.cache.run_maintenance();
    }),
    sweeps("aside, write all", |pantry| {
        _ = pantry.aside().write(Touched::all(), statement);
        pantry.cache.run_maintenance();
    }),
    takes_steps("aside, write in a task", KEY, |pantry| {
        let write = |db: &()| std::future::ready(statement(db));
        let touched = Touched::key(pantry.key(KEY));
        _ = pollster::block_on(pantry.aside().write_async(touched, write));
    }),
];

/// So many operations meet so many bombs, at the least.
pub const CELLS: [usize; 4] = [195, 97, 114, 57];

#[track_caller]
fn check(shapes: &[Shape], operations: &'static [Operation<Pantry>], at_least: usize) {
    let cells = explode::<Pantry>(shapes, operations, &Bomb::ALL);
    assert!(cells.len() >= at_least, "only {} cells", cells.len());
}

#[test]
fn a_panic_while_a_thread_loads_spoils_nothing() {
    check(&Shape::some(), LOADS, CELLS[0]);
}

#[test]
fn a_panic_while_a_task_loads_spoils_nothing() {
    check(&Shape::some(), TASKS, CELLS[1]);
}

#[test]
fn a_panic_in_a_cache_that_knows_its_loader_spoils_nothing() {
    check(&Shape::loading(), LOADING, CELLS[2]);
}

#[test]
fn a_panic_beside_a_database_spoils_nothing() {
    check(&Shape::some(), ASIDE, CELLS[3]);
}
