//! Settings, checked once.

use crate::budget::Cost;
use crate::cache::{Cache, Shared};
use crate::expiry::{Clock, Expiry};
use crate::hash::DefaultHashBuilder;
use crate::listener::Cause;
use crate::maintenance;
use crate::policy::Eviction;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

pub(crate) type Weigher<K, V> = Box<dyn Fn(&K, &V) -> u32 + Send + Sync>;
pub(crate) type RemovalListener<K, V> = Box<dyn Fn(&K, &V, Cause) + Send + Sync>;

/// Shards are picked by mask, and a slot must be told from another's.
const SHARDS_MAX: usize = 1 << 16;

/// With fewer entries a shard, the hit ratio begins to suffer: nothing is lost
/// at 290, up to 1.2 points at 20 to 45, up to 2.8 at 10.
const ENTRIES_PER_SHARD_MIN: u64 = 256;

/// What an entry is taken to weigh where there is no bound on entries. Most weighers
/// count bytes, and of entries much smaller than this there are so many that a few
/// shards less make no difference to hits. (In traces of web objects and of blocks on
/// disk, whose mean is at 8 KB, up to 3 points of hits lie between 64 shards and 1.)
const WEIGHT_EXPECTED: u64 = 1024;

/// A processor that waits for a shard finds, with four times as many of them,
/// another one free in most cases.
const SHARDS_PER_CORE: u64 = 4;

/// Sets up a [`Cache`]. Made by [`Cache::builder`]; setters only set, and
/// [`build`](Builder::build) checks everything at once.
///
/// However large its bounds are, a cache asks for memory only as it grows. If
/// there is none to be had, the process ends with a message, as it does when a
/// collection of the standard library cannot grow.
///
/// ```
/// use larder::{Cache, Eviction};
///
/// let cache: Cache<String, Vec<u8>> = Cache::builder()
///     .weight_capacity(64 << 20)
///     .weigher(|key: &String, value: &Vec<u8>| (key.len() + value.len()) as u32)
///     .eviction(Eviction::S3Fifo)
///     .record_stats()
///     .build()?;
/// assert_eq!(cache.weight_capacity(), 64 << 20);
/// # Ok::<(), larder::BuildError>(())
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder<K, V, S = DefaultHashBuilder> {
    pub(crate) capacity: Option<usize>,
    pub(crate) weight_capacity: Option<u64>,
    pub(crate) eviction: Eviction,
    pub(crate) shards: Option<usize>,
    pub(crate) weigher: Option<Weigher<K, V>>,
    pub(crate) on_removal: Option<RemovalListener<K, V>>,
    pub(crate) record_stats: bool,
    pub(crate) time_to_live: Option<Duration>,
    pub(crate) time_to_idle: Option<Duration>,
    pub(crate) ttl_jitter: f64,
    pub(crate) expiry: Option<Box<dyn Expiry<K, V>>>,
    /// `None`: the system's.
    pub(crate) clock: Option<Box<dyn Clock>>,
    maintenance: Option<Maintenance<K, V>>,
    pub(crate) load_timeout: Option<Duration>,
    /// These three are set for a cache that knows its loader.
    pub(crate) keeps_ages: bool,
    pub(crate) grace: Duration,
    pub(crate) retry_after: Duration,
    pub(crate) hasher: S,
}

type Start<K, V> = fn(&Arc<Shared<K, V>>, Duration) -> io::Result<()>;

/// A thread that is wanted. The function is chosen where it is known that keys
/// and values may be sent to one.
struct Maintenance<K, V> {
    interval: Duration,
    start: Start<K, V>,
}

impl<K, V> Builder<K, V> {
    pub(crate) fn new() -> Self {
        Builder {
            capacity: None,
            weight_capacity: None,
            eviction: Eviction::default(),
            shards: None,
            weigher: None,
            on_removal: None,
            record_stats: false,
            time_to_live: None,
            time_to_idle: None,
            ttl_jitter: 0.0,
            expiry: None,
            clock: None,
            maintenance: None,
            load_timeout: None,
            keeps_ages: false,
            grace: Duration::ZERO,
            retry_after: Duration::ZERO,
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl<K, V, S> Builder<K, V, S> {
    /// Bounds the number of entries. Exact: 1000 means 1000. `0` makes a cache
    /// that stores nothing; nothing is allocated ahead for a large one.
    ///
    /// ```
    /// let cache: larder::Cache<u8, u8> = larder::Cache::builder().capacity(3).build()?;
    /// assert_eq!(cache.capacity(), 3);
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn capacity(mut self, entries: usize) -> Self {
        self.capacity = Some(entries);
        self
    }

    /// Bounds the sum of the entries' weights, in whatever unit the
    /// [`weigher`](Builder::weigher) counts. Without one, every entry weighs 1
    /// unless [`EntryOptions`](crate::EntryOptions) say otherwise. Both bounds
    /// may be given.
    ///
    /// ```
    /// let cache: larder::Cache<u8, String> = larder::Cache::builder()
    ///     .weight_capacity(10)
    ///     .weigher(|_: &u8, value: &String| value.len() as u32)
    ///     .build()?;
    /// cache.insert(1, "a longer text than fits".to_owned());
    /// assert!(!cache.contains_key(&1), "heavier than the whole cache");
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn weight_capacity(mut self, weight: u64) -> Self {
        self.weight_capacity = Some(weight);
        self
    }

    /// How heavy an entry is. Called once for each value that is written, by
    /// the thread that writes it, before any lock is taken.
    ///
    /// An entry of weight 0 is never evicted to make room for weight, but it
    /// counts towards [`capacity`](Builder::capacity). When many of them stand
    /// beside a few heavy ones, an eviction may have to pass them by.
    ///
    /// ```
    /// let cache: larder::Cache<u8, String> = larder::Cache::builder()
    ///     .weight_capacity(10)
    ///     .weigher(|_: &u8, value: &String| value.len() as u32)
    ///     .build()?;
    /// cache.insert(1, "four".to_owned());
    /// assert_eq!(cache.weight(), 4);
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn weigher(mut self, weigh: impl Fn(&K, &V) -> u32 + Send + Sync + 'static) -> Self {
        self.weigher = Some(Box::new(weigh));
        self
    }

    /// Which entry leaves a full cache; see [`Eviction`] for the choice.
    ///
    /// ```
    /// use larder::{Cache, Eviction};
    ///
    /// let cache: Cache<u8, u8> =
    ///     Cache::builder().capacity(2).eviction(Eviction::Fifo).build()?;
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn eviction(mut self, eviction: Eviction) -> Self {
        self.eviction = eviction;
        self
    }

    /// Calls `tell` with every value that leaves the cache, and why: once a
    /// value, for one key in order, and without any lock, so it may use the
    /// cache itself. Values that are still there when the last handle is
    /// dropped are told as [`Cause::Closed`].
    ///
    /// It runs on the thread that removed the value, before that thread's call
    /// returns (what a listener removes may be told just after it returns).
    /// When it panics, the panic is counted in
    /// [`Stats::listener_panics`](crate::Stats::listener_panics), and it is
    /// called again for the next value. It must not wait for another thread
    /// that writes the same key: that one waits for it.
    ///
    /// ```
    /// use larder::{Cache, Cause};
    ///
    /// let cache = Cache::builder()
    ///     .capacity(100)
    ///     .on_removal(|key: &u64, _value: &String, cause| println!("{key} left: {cause}"))
    ///     .build()?;
    /// cache.insert(1, "one".to_owned());
    /// cache.invalidate(&1); // prints "1 left: invalidated"
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn on_removal(mut self, tell: impl Fn(&K, &V, Cause) + Send + Sync + 'static) -> Self {
        self.on_removal = Some(Box::new(tell));
        self
    }

    /// Splits the cache into `shards` independent parts, a power of two, so
    /// that writers of different keys seldom wait for each other. They lend
    /// capacity to one another, so the bounds hold for the whole.
    ///
    /// The default is 4 for each processor, but not so many that a shard would
    /// hold fewer than 256 entries; where only a weigher bounds the cache, fewer
    /// than 256 entries of weight 1024, as if it counted bytes. Small shards cost
    /// hits, large ones only make writers wait. With 1, `Lru`, `Lfu` and `Fifo`
    /// choose exactly the textbook's victim.
    ///
    /// ```
    /// let cache: larder::Cache<u8, u8> =
    ///     larder::Cache::builder().capacity(100).shards(1).build()?;
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Hashes keys with `hasher` instead of the default one. Any will do, also
    /// one that leaves most bits alone; keys whose 64 bits are all the same
    /// are told apart, but each look-up then compares them one by one.
    ///
    /// So where others choose the keys, keep the default: it is seeded at
    /// random. With a hash that can be foreseen, `n` keys of one hash cost `n`
    /// comparisons for each look-up and each write of one of them, 200 million
    /// to fill a cache with 20 000 of them. They all fall into one shard, whose
    /// other writers wait meanwhile; look-ups of other keys compare no more
    /// than ever.
    ///
    /// ```
    /// use std::hash::RandomState;
    ///
    /// let cache: larder::Cache<u8, u8, RandomState> =
    ///     larder::Cache::builder().capacity(100).hasher(RandomState::new()).build()?;
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn hasher<T>(self, hasher: T) -> Builder<K, V, T> {
        Builder {
            capacity: self.capacity,
            weight_capacity: self.weight_capacity,
            eviction: self.eviction,
            shards: self.shards,
            weigher: self.weigher,
            on_removal: self.on_removal,
            record_stats: self.record_stats,
            time_to_live: self.time_to_live,
            time_to_idle: self.time_to_idle,
            ttl_jitter: self.ttl_jitter,
            expiry: self.expiry,
            clock: self.clock,
            maintenance: self.maintenance,
            load_timeout: self.load_timeout,
            keeps_ages: self.keeps_ages,
            grace: self.grace,
            retry_after: self.retry_after,
            hasher,
        }
    }

    /// Counts hits and misses too, one relaxed addition a look-up, on a cache
    /// line that no other thread writes (up to 64 threads), and measures how
    /// long loads take, two looks at a clock. All other counters of
    /// [`Stats`](crate::Stats) are kept in any case.
    ///
    /// ```
    /// let cache: larder::Cache<u8, u8> =
    ///     larder::Cache::builder().capacity(100).record_stats().build()?;
    /// cache.get(&1);
    /// assert_eq!(cache.stats().misses, 1);
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn record_stats(mut self) -> Self {
        self.record_stats = true;
        self
    }

    /// Every entry expires this long after it was created or its value last
    /// replaced. `Duration::MAX` is no limit; zero means at once.
    ///
    /// # Cost
    /// A look-up also asks for the time and compares one number with it: a hit
    /// took 26 ns instead of 10 where that was measured, and 29 with a time to
    /// idle; about 5 of these for the default clock. An entry costs about 5 bytes more, and
    /// as many again if it has a time to idle as well. A deadline of its own costs
    /// about 10, and three more numbers if there are other rules beside it. A cache
    /// without lifetimes pays no bytes, and a check or two for each operation.
    ///
    /// # Precision
    /// Up to a second, a lifetime is exact to the nanosecond. A longer one ends a
    /// millionth of itself early at the most, usually a billionth; never late.
    ///
    /// ```
    /// use larder::Cache;
    /// use std::time::Duration;
    ///
    /// let cache: Cache<u8, u8> =
    ///     Cache::builder().capacity(100).time_to_live(Duration::from_secs(60)).build()?;
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn time_to_live(mut self, lifetime: Duration) -> Self {
        self.time_to_live = Some(lifetime);
        self
    }

    /// Every entry expires this long after it was last written or read.
    /// Together with a time to live, whichever ends first counts.
    ///
    /// # Cost
    /// That of a [time to live](Builder::time_to_live). A read writes four bytes
    /// with the entry, but not if that prolongs its life by less than a
    /// thousandth: so an entry that is read all the time is hardly ever written,
    /// and may expire a thousandth of the time early.
    ///
    /// ```
    /// use larder::{Cache, ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let cache = Cache::builder()
    ///     .capacity(100)
    ///     .time_to_idle(Duration::from_secs(60))
    ///     .clock(clock.clone())
    ///     .build()?;
    /// cache.insert("pear", 3);
    /// clock.advance(Duration::from_secs(50));
    /// assert_eq!(cache.get("pear"), Some(3));
    /// clock.advance(Duration::from_secs(50));
    /// assert_eq!(cache.get("pear"), Some(3), "it was read 50 s ago");
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn time_to_idle(mut self, idle: Duration) -> Self {
        self.time_to_idle = Some(idle);
        self
    }

    /// Gives every entry a lifetime of its own; see [`Expiry`]. Of this and
    /// the other lifetimes, whichever ends first counts.
    ///
    /// ```
    /// use larder::Cache;
    /// use std::time::Duration;
    ///
    /// let by_key = larder::after_write(|key: &u64, _: &String| Duration::from_secs(*key));
    /// let cache = Cache::builder().capacity(100).expiry(by_key).build()?;
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn expiry(mut self, expiry: impl Expiry<K, V> + 'static) -> Self {
        self.expiry = Some(Box::new(expiry));
        self
    }

    /// Shortens each time to live by a random part of up to `fraction`, so that
    /// entries written together do not all expire together: with 0.1, between
    /// 90 and 100 % of it is left, evenly spread. It never lengthens one.
    ///
    /// ```
    /// use larder::{BuildError, Cache};
    /// use std::time::Duration;
    ///
    /// let minute = Duration::from_secs(60);
    /// let cache: Cache<u8, u8> =
    ///     Cache::builder().capacity(100).time_to_live(minute).ttl_jitter(0.1).build()?;
    /// cache.insert(1, 1);
    /// assert!(cache.expires_in(&1) > Some(minute * 8 / 10));
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn ttl_jitter(mut self, fraction: f64) -> Self {
        self.ttl_jitter = fraction;
        self
    }

    /// Takes the time from `clock` instead of the system, in tests from a
    /// [`ManualClock`](crate::ManualClock).
    ///
    /// ```
    /// use larder::{Cache, ManualClock};
    ///
    /// let clock = ManualClock::new();
    /// let cache: Cache<u8, u8> = Cache::builder().capacity(100).clock(clock.clone()).build()?;
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Some(Box::new(clock));
        self
    }

    /// Starts a thread that calls
    /// [`run_maintenance`](Cache::run_maintenance) each time `interval` has
    /// passed by the system's clock, so that a cache nobody uses still frees
    /// what has expired. It ends when the last handle is dropped; if that
    /// happens while it works, it is the one that drops the values. Without
    /// it, there is no thread, and expired entries leave as others are written.
    ///
    /// ```
    /// use larder::Cache;
    /// use std::time::Duration;
    ///
    /// let cache: Cache<u8, u8> = Cache::builder()
    ///     .capacity(100)
    ///     .time_to_live(Duration::from_secs(60))
    ///     .maintenance(Duration::from_secs(10))
    ///     .build()?;
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn maintenance(mut self, interval: Duration) -> Self
    where
        K: Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        self.maintenance = Some(Maintenance { interval, start: maintenance::start });
        self
    }

    /// How long a caller waits for the load of another one, unless
    /// [`Load::wait_timeout`](crate::Load::wait_timeout) says otherwise; without
    /// a limit by default. Fallible methods then return
    /// [`LoadError::TimedOut`](crate::LoadError::TimedOut), the others load for
    /// themselves.
    ///
    /// It is what ends the wait for a task that is alive but never polled
    /// again, and for loaders of two threads that ask for each other's keys.
    /// For tasks that wait, one thread is started when the first of them does;
    /// it ends with the cache.
    ///
    /// ```
    /// use larder::{Cache, LoadError};
    /// use std::time::Duration;
    ///
    /// let cache: Cache<String, u32> =
    ///     Cache::builder().capacity(100).load_timeout(Duration::from_millis(1)).build()?;
    /// cache.get_with("pear", || {
    ///     let wait = || cache.try_get_with("pear", || Ok::<_, std::fmt::Error>(4));
    ///     let waited = std::thread::scope(|scope| scope.spawn(wait).join().unwrap());
    ///     assert!(matches!(waited, Err(LoadError::TimedOut)));
    ///     3
    /// });
    /// assert_eq!(cache.get("pear"), Some(3));
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn load_timeout(mut self, timeout: Duration) -> Self {
        self.load_timeout = Some(timeout);
        self
    }

    /// Makes the cache.
    ///
    /// # Errors
    /// [`BuildError`], which says what is wrong with which setting.
    ///
    /// ```
    /// use larder::{BuildError, Cache};
    ///
    /// let none = Cache::<u8, u8>::builder().build();
    /// assert_eq!(none.unwrap_err(), BuildError::CapacityMissing);
    /// ```
    pub fn build(mut self) -> Result<Cache<K, V, S>, BuildError>
    where
        K: Hash + Eq,
        S: BuildHasher,
    {
        let shards = self.check()?;
        let maintenance = self.maintenance.take();
        let cache = Cache::from_builder(self, shards);
        if let Some(Maintenance { interval, start }) = maintenance {
            let failed =
                |error: io::Error| BuildError::ThreadNotStarted { reason: error.to_string() };
            start(cache.shared(), interval).map_err(failed)?;
        }
        Ok(cache)
    }

    /// Checks every setting, and returns the number of shards.
    fn check(&self) -> Result<usize, BuildError> {
        if self.capacity.is_none() && self.weight_capacity.is_none() {
            return Err(BuildError::CapacityMissing);
        }
        if self.eviction == (Eviction::Lfu { ageing: Some(0) }) {
            return Err(BuildError::AgeingZero);
        }
        if !(0.0..=1.0).contains(&self.ttl_jitter) {
            return Err(BuildError::JitterOutOfRange { given: self.ttl_jitter.to_string() });
        }
        if self.maintenance.as_ref().is_some_and(|thread| thread.interval.is_zero()) {
            return Err(BuildError::MaintenanceIntervalZero);
        }
        match self.shards {
            Some(given) if !given.is_power_of_two() => {
                Err(BuildError::ShardsNotPowerOfTwo { given })
            }
            Some(given) if given > SHARDS_MAX => {
                Err(BuildError::TooManyShards { given, max: SHARDS_MAX })
            }
            Some(given) => Ok(given),
            None => Ok(default_shards(self.expected_entries())),
        }
    }

    /// How many entries there may be when the cache is full. Nobody has said so
    /// where only a weigher bounds it.
    fn expected_entries(&self) -> u64 {
        let Cost { entries, weight } = self.bounds();
        match (self.capacity, &self.weigher) {
            (None, Some(_)) => weight / WEIGHT_EXPECTED,
            _ => entries.min(weight),
        }
    }

    pub(crate) fn bounds(&self) -> Cost {
        Cost {
            entries: self.capacity.map_or(u64::MAX, |entries| entries as u64),
            weight: self.weight_capacity.unwrap_or(u64::MAX),
        }
    }
}

fn default_shards(entries: u64) -> usize {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let wanted = (cores * SHARDS_PER_CORE).min(entries / ENTRIES_PER_SHARD_MIN).max(1);
    1 << wanted.ilog2().min(SHARDS_MAX.ilog2())
}

impl<K, V, S> fmt::Debug for Builder<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("capacity", &self.capacity)
            .field("weight_capacity", &self.weight_capacity)
            .field("eviction", &self.eviction)
            .field("shards", &self.shards)
            .field("record_stats", &self.record_stats)
            .finish_non_exhaustive()
    }
}

/// What is wrong with the settings of a [`Builder`].
///
/// ```
/// use larder::Cache;
///
/// let error = Cache::<u8, u8>::builder().capacity(100).shards(12).build().unwrap_err();
/// assert_eq!(error.to_string(), "shards must be a power of two, not 12");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// Neither `capacity` nor `weight_capacity` was given, and there is no
    /// honest default.
    CapacityMissing,
    /// Shards are picked by mask, so their number is a power of two.
    ShardsNotPowerOfTwo {
        /// The number that was asked for.
        given: usize,
    },
    /// More shards than could ever help.
    TooManyShards {
        /// The number that was asked for.
        given: usize,
        /// The largest number that is allowed.
        max: usize,
    },
    /// `Lfu { ageing: Some(0) }` would halve all counts without end; `None`
    /// turns ageing off.
    AgeingZero,
    /// Jitter is a part of the time to live: from 0 to 1.
    JitterOutOfRange {
        /// The part that was asked for.
        given: String,
    },
    /// The `beta` of `early_refresh` is a factor: 0 or more.
    BetaOutOfRange {
        /// The factor that was asked for.
        given: String,
    },
    /// A maintenance thread that never waits would do nothing else.
    MaintenanceIntervalZero,
    /// The system refused to start the maintenance thread.
    ThreadNotStarted {
        /// What the system said.
        reason: String,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::CapacityMissing => {
                f.write_str("the cache needs a bound: set `capacity` or `weight_capacity`")
            }
            BuildError::ShardsNotPowerOfTwo { given } => {
                write!(f, "shards must be a power of two, not {given}")
            }
            BuildError::TooManyShards { given, max } => {
                write!(f, "shards must be at most {max}, not {given}")
            }
            BuildError::JitterOutOfRange { given } => {
                write!(f, "ttl_jitter must be between 0 and 1, not {given}")
            }
            BuildError::BetaOutOfRange { given } => {
                write!(f, "the beta of early_refresh must be 0 or more, not {given}")
            }
            BuildError::MaintenanceIntervalZero => {
                f.write_str("the interval of `maintenance` must not be zero")
            }
            BuildError::ThreadNotStarted { reason } => {
                write!(f, "the maintenance thread could not be started: {reason}")
            }
            BuildError::AgeingZero => f.write_str(
                "`Lfu { ageing: Some(0) }` would halve all counts without end; \
                 use `None` for no ageing, or 1 and more",
            ),
        }
    }
}

impl std::error::Error for BuildError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_by_default_are_few_enough_to_hold_256_entries_each() {
        assert_eq!(default_shards(0), 1);
        assert_eq!(default_shards(511), 1);
        for entries in [512, 1000, 5000, 1 << 20, u64::MAX] {
            let shards = default_shards(entries);
            assert!(shards.is_power_of_two() && shards as u64 <= entries / 256);
        }
    }

    #[test]
    fn entries_are_expected_to_weigh_a_kibibyte_where_only_a_weigher_bounds_them() {
        let of = || Cache::<u8, u8>::builder();
        let weighed = || of().weight_capacity(1 << 20).weigher(|_, _| 1);
        assert_eq!(weighed().expected_entries(), 1 << 10);
        assert_eq!(weighed().capacity(1 << 12).expected_entries(), 1 << 12);
        assert_eq!(weighed().capacity(1 << 22).expected_entries(), 1 << 20);
        assert_eq!(of().weight_capacity(1 << 20).expected_entries(), 1 << 20);
        assert_eq!(of().capacity(1 << 20).expected_entries(), 1 << 20);
    }
}
