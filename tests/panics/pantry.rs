//! A cache with everything switched on, or nothing, to try operations on.

use crate::bombs::Key;
use crate::bombs::{
    BOOM, Bomb, Census, Failure, LIFETIME, LongLife, Query, Time, Told, Value, use_of, weigh,
};
use crate::matrix::{FIRST, Holdings, Scene, Scope, Try};
use larder::{Cache, Compute, EntryOptions, Eviction, Inline, LoadingCache, Outcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub eviction: Eviction,
    /// All of the first keys fit, and no more, or else some more do.
    pub is_full: bool,
    pub shards: usize,
    pub has_expiry: bool,
    pub has_listener: bool,
    /// Without a weigher, and so without anything: the shorter ways.
    pub is_plain: bool,
    pub knows_loader: bool,
}

impl Shape {
    pub fn all() -> Vec<Shape> {
        let mut shapes = Vec::new();
        let of = |eviction, shards, is_full| Shape {
            eviction,
            is_full,
            shards,
            has_expiry: false,
            has_listener: false,
            is_plain: false,
            knows_loader: false,
        };
        for (eviction, has_expiry) in [(Eviction::Lru, false), (Eviction::TinyLfu, true)] {
            for (is_full, shards) in [(false, 1), (false, 4), (true, 1), (true, 4)] {
                for has_listener in [false, true] {
                    shapes.push(Shape {
                        has_expiry,
                        has_listener,
                        ..of(eviction, shards, is_full)
                    });
                }
            }
        }
        for (is_full, eviction) in [(true, Eviction::Lru), (false, Eviction::default())] {
            shapes.push(Shape { is_plain: true, ..of(eviction, 2, is_full) });
        }
        shapes
    }

    /// Those among which everything is there that a load may meet.
    pub fn some() -> Vec<Shape> {
        let all = Shape::all();
        let differ = |shape: &Shape| shape.is_plain || (shape.shards > 1) == shape.has_expiry;
        all.into_iter().filter(differ).collect()
    }

    pub fn loading() -> Vec<Shape> {
        let some = Shape::some().into_iter().filter(|shape| !shape.is_plain);
        some.map(|shape| Shape { knows_loader: true, ..shape }).collect()
    }
}

/// Each of the first keys weighs so much.
pub const WEIGHT: u32 = 2;
pub const HEAVY: u32 = 1000;

/// The age at which a value is reloaded; it lives twice as long, and as long
/// again if a load fails.
pub const REFRESH: Duration = Duration::from_secs(100);

pub type Loading = LoadingCache<Key, Value, Failure>;

/// A cache, and what is known of it.
pub struct Pantry {
    pub cache: Cache<Key, Value>,
    loading: Option<Loading>,
    pub census: Arc<Census>,
    pub time: Time,
    /// Whether the cache's own loader fails.
    pub is_down: Arc<AtomicBool>,
    told: Told,
    shape: Shape,
}

impl Pantry {
    pub fn of(shape: Shape) -> Self {
        let (census, told, time) = (Arc::<Census>::default(), Told::default(), Time::default());
        let is_down = Arc::<AtomicBool>::default();
        let mut builder = Cache::builder().eviction(shape.eviction).shards(shape.shards);
        builder = builder.capacity(if shape.is_plain && shape.is_full { 6 } else { 100 });
        if !shape.is_plain {
            let weight_max = WEIGHT * FIRST.end as u32;
            builder = builder
                .weight_capacity(u64::from(if shape.is_full { weight_max } else { 50 }))
                .weigher(weigh)
                .clock(time.clone());
        }
        if shape.has_expiry {
            builder = builder.expiry(LongLife);
        }
        if shape.has_listener {
            builder = builder.on_removal(told.listener());
        }
        let mut loading = None;
        let cache = if shape.knows_loader {
            let (census, is_down) = (Arc::clone(&census), Arc::clone(&is_down));
            let load = move |key: &Key| {
                use_of(Bomb::Load);
                match is_down.load(Ordering::Relaxed) {
                    true => Err(Failure { is_ambiguous: false }),
                    false => Ok(census.value(key.id, WEIGHT)),
                }
            };
            let knowing = builder
                .time_to_live(2 * REFRESH)
                .loader(load)
                .refresh_after(REFRESH)
                .retry_after(Duration::from_secs(1))
                .negative_ttl(Duration::from_secs(1))
                .stale_if_error(2 * REFRESH)
                .spawner(Inline)
                .build()
                .unwrap();
            let cache = knowing.cache().clone();
            loading = Some(knowing);
            cache
        } else {
            builder.build().unwrap()
        };
        let pantry = Pantry { cache, loading, census, time, is_down, told, shape };
        for key in FIRST {
            pantry.insert(key, WEIGHT);
        }
        pantry
    }

    pub fn loading(&self) -> &Loading {
        self.loading.as_ref().expect("only asked of a cache that knows its loader")
    }

    pub fn value(&self, key: u64, weight: u32) -> Value {
        self.census.value(key, weight)
    }

    pub fn key(&self, id: u64) -> Key {
        self.census.key(id)
    }

    pub fn query(&self, id: u64) -> Query<'_> {
        self.census.query(id)
    }

    pub fn insert(&self, key: u64, weight: u32) {
        if self.shape.is_plain {
            return self.cache.insert(self.key(key), self.value(key, weight));
        }
        let options = EntryOptions::new().tag(["even", "odd"][key as usize % 2]);
        let options = if key % 3 == 0 { options.tag("third") } else { options };
        // A weight of its own would keep the weigher out of it.
        self.cache.insert_with(self.key(key), self.value(key, weight), options);
    }

    pub fn compute(&self, key: u64, wish: impl FnOnce() -> Compute<Value>) -> Outcome<Value> {
        self.cache.entry(self.key(key)).and_compute(|_| {
            use_of(Bomb::Compute);
            wish()
        })
    }

    pub fn make(&self, key: u64) {
        self.cache.entry(self.key(key)).or_insert_with(|| {
            use_of(Bomb::Make);
            self.value(key, WEIGHT)
        });
    }

    pub fn read(&self, key: u64) {
        self.cache.read(&self.query(key), |value| {
            use_of(Bomb::Read);
            assert_eq!(value.key, key);
        });
    }

    /// A loader's work.
    pub fn load(&self, key: u64) -> Value {
        use_of(Bomb::Load);
        self.value(key, WEIGHT)
    }

    /// Everything expires.
    pub fn age(&self) {
        self.time.advance(2 * LIFETIME);
    }

    fn validate(&self, what: &str) {
        self.cache.validate().unwrap_or_else(|error| panic!("{what}: {error}"));
    }

    /// Values that were in the cache are told once, if somebody listens.
    pub fn assert_told(&self, what: &str, before: &Holdings) {
        for id in 0..self.census.made() {
            let times = self.told.times(id);
            assert!(times <= 1, "{id} was told {times} times: {what}");
            let must_be_told = self.shape.has_listener && before.values().any(|first| *first == id);
            assert!(times == 1 || !must_be_told, "{id} was never told: {what}");
        }
    }

    /// Drops the last handle.
    pub fn close(&mut self) {
        let gone = Cache::builder().capacity(0).build().unwrap();
        let (cache, loading) = (std::mem::replace(&mut self.cache, gone), self.loading.take());
        drop(loading);
        drop(cache);
    }

    /// The panic reaches the caller, save that of a listener, which is counted,
    /// and that of a clock, which then stands still.
    fn check_ended(&self, tried: &Try<'_, Self>) {
        let Try { what, bomb, message, .. } = tried;
        let panics = self.cache.stats().listener_panics;
        if *bomb == Bomb::Listener || *bomb == Bomb::Clock {
            let counted = u64::from(*bomb == Bomb::Listener);
            assert_eq!((message.as_deref(), panics), (None, counted), "{what}");
        } else {
            assert!(message.as_ref().is_some_and(|message| message.contains(BOOM)), "{what}");
            assert_eq!(panics, 0, "{what}");
        }
    }

    /// What the operation is not about is there, with its value.
    fn check_others(&self, tried: &Try<'_, Self>) {
        let Try { what, shape, operation, bomb, before, .. } = tried;
        let after = self.holdings();
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
}

impl Scene for Pantry {
    type Shape = Shape;

    fn set(shape: Shape) -> Self {
        Pantry::of(shape)
    }

    fn census(&self) -> Arc<Census> {
        Arc::clone(&self.census)
    }

    fn holdings(&self) -> Holdings {
        let pairs = self.cache.iter().map(|(key, value)| {
            assert_eq!(key.id, value.key, "a value of another key");
            (key.id, value.id)
        });
        let holdings: Holdings = pairs.collect();
        for (key, id) in &holdings {
            assert_eq!(self.cache.peek(&self.query(*key)).map(|value| value.id), Some(*id));
        }
        holdings
    }

    fn check(&self, tried: &Try<'_, Self>) {
        self.check_ended(tried);
        self.check_others(tried);
        self.validate(tried.what);
    }

    fn check_again(&self, tried: &Try<'_, Self>) {
        self.validate(tried.what);
    }

    fn strike(mut self, tried: &Try<'_, Self>) {
        self.close();
        self.assert_told(tried.what, &tried.before);
    }
}
