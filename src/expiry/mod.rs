//! How long entries live.
//!
//! Rules are the user's, in durations; inside, everything is nanoseconds since
//! the cache was made. An expired entry is invisible from its deadline on,
//! whether or not it has been reclaimed.

mod ages;
pub(crate) mod bounds;
mod clock;
mod deadlines;
mod exact;
#[cfg(all(test, larder_loom))]
mod models;
#[cfg(test)]
mod random;
mod stamps;

pub(crate) use ages::{Ages, Freshness};
pub(crate) use clock::asked;
pub use clock::{Clock, ManualClock, SystemClock};
pub(crate) use deadlines::{Deadlines, NEVER, Schedule, Span};
use stamps::Scale;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Gives each entry a lifetime of its own.
///
/// Every method returns how long the entry shall live from now on;
/// [`Duration::MAX`] means: without a deadline. Of this, the cache's time to
/// live and its time to idle, the earliest counts. No lock is held.
///
/// For the usual cases there are [`after_create`], [`after_write`] and
/// [`after_access`].
///
/// ```
/// use larder::{Cache, Expiry, ManualClock};
/// use std::time::Duration;
///
/// /// Even keys live for a minute, odd ones for ever.
/// struct EvenOnly;
///
/// impl Expiry<u64, String> for EvenOnly {
///     fn on_create(&self, key: &u64, _value: &String) -> Duration {
///         if key % 2 == 0 { Duration::from_secs(60) } else { Duration::MAX }
///     }
/// }
///
/// let clock = ManualClock::new();
/// let cache =
///     Cache::builder().capacity(100).expiry(EvenOnly).clock(clock.clone()).build()?;
/// cache.insert(1, "one".to_owned());
/// cache.insert(2, "two".to_owned());
/// clock.advance(Duration::from_secs(60));
/// assert_eq!((cache.contains_key(&1), cache.contains_key(&2)), (true, false));
/// # Ok::<(), larder::BuildError>(())
/// ```
pub trait Expiry<K, V>: Send + Sync {
    /// For a key that has no value yet.
    fn on_create(&self, key: &K, value: &V) -> Duration;

    /// For a new value of a key; `current` is how long the old one would have
    /// lived. As for a new key, if not implemented.
    fn on_update(&self, key: &K, value: &V, current: Duration) -> Duration {
        let _ = current;
        self.on_create(key, value)
    }

    /// After a read; `current` is how long the entry would have lived. The
    /// same, if not implemented.
    fn on_read(&self, key: &K, value: &V, current: Duration) -> Duration {
        let _ = (key, value);
        current
    }
}

struct AfterCreate<F>(F);
struct AfterWrite<F>(F);
struct AfterAccess<F>(F);

impl<K, V, F: Fn(&K, &V) -> Duration + Send + Sync> Expiry<K, V> for AfterCreate<F> {
    fn on_create(&self, key: &K, value: &V) -> Duration {
        self.0(key, value)
    }

    fn on_update(&self, _key: &K, _value: &V, current: Duration) -> Duration {
        current
    }
}

impl<K, V, F: Fn(&K, &V) -> Duration + Send + Sync> Expiry<K, V> for AfterWrite<F> {
    fn on_create(&self, key: &K, value: &V) -> Duration {
        self.0(key, value)
    }
}

impl<K, V, F: Fn(&K, &V) -> Duration + Send + Sync> Expiry<K, V> for AfterAccess<F> {
    fn on_create(&self, key: &K, value: &V) -> Duration {
        self.0(key, value)
    }

    fn on_read(&self, key: &K, value: &V, _current: Duration) -> Duration {
        self.0(key, value)
    }
}

/// Entries live for `lifetime` from their creation; a new value for a key does
/// not prolong it.
///
/// ```
/// use larder::Cache;
/// use std::time::Duration;
///
/// let by_size = larder::after_create(|_: &u8, text: &String| Duration::from_secs(text.len() as u64));
/// let cache = Cache::builder().capacity(100).expiry(by_size).build()?;
/// cache.insert(1, "sixty".to_owned());
/// assert!(cache.expires_in(&1) <= Some(Duration::from_secs(5)));
/// # Ok::<(), larder::BuildError>(())
/// ```
pub fn after_create<K, V>(
    lifetime: impl Fn(&K, &V) -> Duration + Send + Sync + 'static,
) -> impl Expiry<K, V> + 'static {
    AfterCreate(lifetime)
}

/// Entries live for `lifetime` from when their value was last written.
///
/// ```
/// use larder::Cache;
/// use std::time::Duration;
///
/// let minutes = larder::after_write(|_: &u8, minutes: &u64| Duration::from_secs(60 * minutes));
/// let cache = Cache::builder().capacity(100).expiry(minutes).build()?;
/// # Ok::<(), larder::BuildError>(())
/// ```
pub fn after_write<K, V>(
    lifetime: impl Fn(&K, &V) -> Duration + Send + Sync + 'static,
) -> impl Expiry<K, V> + 'static {
    AfterWrite(lifetime)
}

/// Entries live for `lifetime` from when they were last written or read.
///
/// ```
/// use larder::Cache;
/// use std::time::Duration;
///
/// let idle = larder::after_access(|_: &u8, _: &String| Duration::from_secs(60));
/// let cache = Cache::builder().capacity(100).expiry(idle).build()?;
/// # Ok::<(), larder::BuildError>(())
/// ```
pub fn after_access<K, V>(
    lifetime: impl Fn(&K, &V) -> Duration + Send + Sync + 'static,
) -> impl Expiry<K, V> + 'static {
    AfterAccess(lifetime)
}

/// The cache's rules, and its clock.
pub(crate) struct Lifetimes<K, V> {
    pub(crate) ttl: u64,
    pub(crate) tti: u64,
    /// By which part of itself a time to live may be shortened.
    pub(crate) jitter: f64,
    pub(crate) expiry: Option<Box<dyn Expiry<K, V>>>,
    /// Whether it is noted when each value was written.
    pub(crate) keeps_ages: bool,
    /// For how long a value is kept, invisible, after it has expired.
    pub(crate) grace: u64,
    /// How long to wait after a reload has failed.
    pub(crate) retry_after: u64,
    time: TimeSource,
    /// The latest time that anybody has seen: a clock that goes back does not
    /// take the cache with it.
    latest: AtomicU64,
}

impl<K, V> Lifetimes<K, V> {
    pub(crate) fn new(
        (ttl, tti): (Option<Duration>, Option<Duration>),
        jitter: f64,
        expiry: Option<Box<dyn Expiry<K, V>>>,
        clock: Option<Box<dyn Clock>>,
    ) -> Self {
        let nanos = |lifetime: Option<Duration>| lifetime.map_or(NEVER, nanos);
        let time = match clock {
            None => TimeSource::System(SystemClock::default()),
            Some(clock) => TimeSource::User { start: clock.now(), clock },
        };
        let latest = AtomicU64::new(0);
        let (ttl, tti) = (nanos(ttl), nanos(tti));
        Lifetimes {
            ttl,
            tti,
            jitter,
            expiry,
            keeps_ages: false,
            grace: 0,
            retry_after: 0,
            time,
            latest,
        }
    }

    /// Values that had expired by then need not be kept any longer.
    #[inline]
    pub(crate) fn reclaimable(&self) -> u64 {
        self.now().saturating_sub(self.grace)
    }

    /// Which lives have a stamp: none if reads may say something new of each, or
    /// if it counts for how long an entry has been over.
    fn scale(&self) -> Scale {
        match self.expiry.is_some() || self.grace > 0 {
            true => Scale::NONE,
            false => Scale::new(self.ttl, self.tti),
        }
    }

    /// What to measure the time of a load with, in nanoseconds: finer than
    /// [`now`](Lifetimes::now), which moves in steps.
    pub(crate) fn stopwatch(&self) -> u64 {
        match &self.time {
            TimeSource::System(clock) => clock.fine_nanos(),
            TimeSource::User { .. } => self.now(),
        }
    }

    /// Nanoseconds since the cache was made; never less than before.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match &self.time {
            // Monotonic, the system promises.
            TimeSource::System(clock) => clock.nanos(),
            TimeSource::User { clock, start } => self.now_by(&**clock, *start),
        }
    }

    /// What the user's clock says, unless it was further already.
    #[inline(never)]
    fn now_by(&self, clock: &dyn Clock, start: Duration) -> u64 {
        let latest = self.latest.load(Ordering::Relaxed);
        let Some(now) = asked(clock) else { return latest };
        let now = nanos(now.saturating_sub(start)).min(NEVER - 1);
        if now > latest {
            // Once for each step of the clock, not for each look at it.
            self.latest.fetch_max(now, Ordering::Relaxed);
        }
        now.max(latest)
    }

    /// Whether entries have no deadline unless they ask for one.
    #[inline]
    pub(crate) fn is_endless(&self) -> bool {
        self.ttl == NEVER && self.tti == NEVER
    }

    /// The rules for an entry that asks for `ttl` and `tti` of its own.
    pub(crate) fn span(&self, ttl: Option<Duration>, tti: Option<Duration>, seed: u64) -> Span {
        let ttl = ttl.map_or(NEVER, nanos).min(self.ttl);
        let tti = tti.map_or(NEVER, nanos).min(self.tti);
        Span { ttl: self.with_jitter(ttl, seed), tti, own: None }
    }

    /// The rules for an entry that asks for nothing of its own.
    #[inline]
    pub(crate) fn usual_span(&self, seed: u64) -> Span {
        match self.jitter == 0.0 {
            true => Span { ttl: self.ttl, tti: self.tti, own: None },
            false => self.span(None, None, seed),
        }
    }

    /// Shortens `ttl` by a part that depends on `seed`, evenly spread.
    fn with_jitter(&self, ttl: u64, seed: u64) -> u64 {
        if self.jitter == 0.0 || ttl == NEVER {
            return ttl;
        }
        let mixed = (seed ^ self.now()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let part = (mixed >> 11) as f64 / (1_u64 << 53) as f64;
        ttl - (ttl as f64 * self.jitter * part) as u64
    }
}

/// Where the time comes from. Every look-up with a deadline asks, so the usual
/// clock is called directly, without the detour over a [`Duration`].
enum TimeSource {
    System(SystemClock),
    User { clock: Box<dyn Clock>, start: Duration },
}

/// Nanoseconds; what is too long to count is for ever.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

/// How long from `now` until `deadline`.
pub(crate) fn until(deadline: u64, now: u64) -> Duration {
    match deadline {
        NEVER => Duration::MAX,
        _ => Duration::from_nanos(deadline.saturating_sub(now)),
    }
}
