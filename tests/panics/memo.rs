//! Memoized functions with bombs.
//!
//! One exception: an argument that is taken by value, or a key that is made by
//! an expression, is dropped as the function returns. If that drop panics, the
//! compiler forgets the value that is just being returned, as it does in any
//! function. So keys are borrowed here.

use crate::bombs::{BOOM, Bomb, Census, Failure, Key, LongLife, Time, Told, Value, use_of, weigh};
use crate::matrix::{
    FIRST, Holdings, KEY, NEW, Operation, Scene, Scope, Try, explode, reads, sweeps, takes_steps,
    writes,
};
use crate::pantry::REFRESH;
use larder::{Cache, Inline, memoize};
use std::sync::{Arc, LazyLock};

/// Too few for all the keys that there are.
static CACHE: LazyLock<Cache<Key, Value>> = LazyLock::new(|| {
    let builder = Cache::builder().capacity(8).shards(2).weigher(weigh).expiry(LongLife);
    builder.on_removal(Told::default().listener()).build().unwrap()
});

static TIME: LazyLock<Time> = LazyLock::new(Time::default);

fn make(key: &Key) -> Value {
    use_of(Bomb::Load);
    key.census().value(key.id, 1)
}

#[memoize(cache = CACHE, tags = "all")]
fn plain(key: &Key) -> Value {
    make(key)
}

#[memoize(cache = CACHE)]
fn failing(key: &Key) -> Result<Value, Failure> {
    drop(make(key));
    Err(Failure { is_ambiguous: false })
}

#[memoize(cache = CACHE, skip(is_some), some_only)]
fn optional(key: &Key, is_some: bool) -> Option<Value> {
    let value = make(key);
    is_some.then_some(value)
}

#[memoize(cache = CACHE)]
async fn tasked(key: &Key) -> Value {
    make(key)
}

#[memoize(
    capacity = 8,
    refresh_after = "100s",
    ttl = "200s",
    stale_if_error = "200s",
    clock = TIME.clone(),
    spawner = Inline
)]
fn reloaded(key: &Key) -> Result<Value, Failure> {
    Ok(make(key))
}

/// The caches of these functions.
struct Study {
    census: Arc<Census>,
}

impl Study {
    fn key(&self, id: u64) -> Key {
        self.census.key(id)
    }

    fn clear() {
        CACHE.clear();
        reloaded::cache().clear();
    }
}

const OPERATIONS: &[Operation<Study>] = &[
    reads("a hit", |study| drop(plain(&study.key(KEY)))),
    writes("a call", NEW, |study| drop(plain(&study.key(NEW)))),
    reads("a hit in a task", |study| drop(pollster::block_on(tasked(&study.key(KEY))))),
    writes("a call in a task", NEW, |study| drop(pollster::block_on(tasked(&study.key(NEW))))),
    reads("get", |study| drop(plain::get(&study.key(KEY)))),
    writes("prime", KEY, |study| plain::prime(&study.key(KEY), study.census.value(KEY, 1))),
    writes("invalidate", KEY, |study| plain::invalidate(&study.key(KEY))),
    reads("uncached", |study| drop(plain::uncached(&study.key(KEY)))),
    writes("a call that fails", NEW, |study| drop(failing(&study.key(NEW)))),
    takes_steps("a call that returns nothing", NEW, |study| drop(optional(&study.key(NEW), false))),
    takes_steps("a call that returns something", NEW, |study| {
        drop(optional(&study.key(NEW), true))
    }),
    sweeps("more calls than there is room for", |study| {
        (0..12).for_each(|key| drop(plain(&study.key(key))));
    }),
    sweeps("a call after all was invalidated", |study| {
        plain::invalidate_all();
        drop(plain(&study.key(KEY)));
    }),
    takes_steps("a reload", NEW, |study| {
        drop(reloaded(&study.key(NEW)));
        TIME.advance(REFRESH);
        drop(reloaded(&study.key(NEW)));
    }),
    takes_steps("a call after it has expired", NEW, |study| {
        drop(reloaded(&study.key(NEW)));
        TIME.advance(2 * REFRESH);
        drop(reloaded(&study.key(NEW)));
    }),
];

impl Scene for Study {
    type Shape = ();

    fn set((): ()) -> Self {
        Study::clear();
        let study = Study { census: Arc::default() };
        FIRST.for_each(|key| drop(plain(&study.key(key))));
        study
    }

    fn census(&self) -> Arc<Census> {
        Arc::clone(&self.census)
    }

    fn holdings(&self) -> Holdings {
        CACHE.iter().map(|(key, value)| (key.id, value.id)).collect()
    }

    fn check(&self, tried: &Try<'_, Self>) {
        let Try { what, bomb, message, operation, before, .. } = tried;
        let is_swallowed = matches!(bomb, Bomb::Listener | Bomb::Clock);
        assert_eq!(message.as_ref().is_none_or(|m| !m.contains(BOOM)), is_swallowed, "{what}");
        CACHE.validate().unwrap_or_else(|error| panic!("{what}: {error}"));
        reloaded::cache().validate().unwrap_or_else(|error| panic!("{what}: {error}"));
        let after = self.holdings();
        let is_other = |key: u64| match operation.scope {
            Scope::Nothing => true,
            Scope::One(concerned) => key != concerned,
            Scope::All => false,
        };
        for (key, id) in before.iter().filter(|(key, _)| is_other(**key)) {
            assert_eq!(after.get(key), Some(id), "{key} is another: {what}");
        }
    }

    fn strike(self, _tried: &Try<'_, Self>) {
        Study::clear();
    }
}

/// So many operations meet so many bombs, at the least.
pub const CELLS: usize = 103;

/// One test: the caches of functions are there once.
#[test]
fn a_panic_in_a_memoized_function_spoils_nothing() {
    let cells = explode::<Study>(&[()], OPERATIONS, &Bomb::ALL);
    assert!(cells.len() >= CELLS, "only {} cells", cells.len());
}
