//! What time it is: the system's clock, or one that a test holds.

use crate::sync::Mutex;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// A source of time for a cache.
///
/// Only differences matter, so it may count from any moment. It should not go
/// back; if it does, the cache goes on with the latest time it has seen, so
/// nothing that has expired comes back to life.
///
/// It is asked in the midst of other things, under locks, so it must not use
/// the cache, and a panic of it goes no further than the panic hook: for as long as it panics, it is taken to
/// stand still.
///
/// ```
/// use larder::{Cache, Clock};
/// use std::time::Duration;
///
/// /// Runs ten times as fast as the system's clock.
/// struct Hurried(larder::SystemClock);
///
/// impl Clock for Hurried {
///     fn now(&self) -> Duration {
///         self.0.now() * 10
///     }
/// }
///
/// let clock = Hurried(larder::SystemClock::default());
/// let cache: Cache<u8, u8> = Cache::builder().capacity(10).clock(clock).build()?;
/// # Ok::<(), larder::BuildError>(())
/// ```
pub trait Clock: Send + Sync {
    /// The time since some fixed moment. Called by every look-up in a cache
    /// whose entries have deadlines, so it should be quick.
    fn now(&self) -> Duration;
}

/// What a user's clock says; `None` if it panics.
pub(crate) fn asked(clock: &dyn Clock) -> Option<Duration> {
    catch_unwind(AssertUnwindSafe(|| clock.now())).ok()
}

/// The system's monotonic clock, read the cheap way. The default.
///
/// On Linux and Android it moves in steps of one to ten milliseconds (4 on most
/// Linux systems) and costs about 5 ns; elsewhere it is as exact, and as dear,
/// as [`std::time::Instant`]. Entries so expire up to a step late by another
/// clock, and never before others written earlier.
///
/// ```
/// use larder::{Clock, SystemClock};
///
/// let clock = SystemClock::default();
/// let earlier = clock.now();
/// assert!(clock.now() >= earlier);
/// ```
#[derive(Clone, Copy)]
pub struct SystemClock {
    start: moment::Moment,
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock { start: moment::now() }
    }
}

impl SystemClock {
    /// Nanoseconds since this clock was made.
    #[inline]
    pub(super) fn nanos(&self) -> u64 {
        moment::nanos_since(self.start)
    }
}

/// The clock that moves with the scheduler's tick: to read it, the kernel need
/// not ask the hardware.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[expect(unsafe_code, reason = "a call of the C library; 5 ns, where `Instant` takes 23")]
mod moment {
    /// Nanoseconds, from a moment of the system's choice.
    pub(super) type Moment = u64;

    #[inline]
    pub(super) fn now() -> Moment {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes a `timespec` where it is told to, and that
        // is ours.
        let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
        // Since Linux 2.6.32 it cannot: there is such a clock.
        debug_assert_eq!(failed, 0, "the system has no coarse monotonic clock");
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }

    #[inline]
    pub(super) fn nanos_since(start: Moment) -> u64 {
        now().saturating_sub(start)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod moment {
    pub(super) use std::time::Instant as Moment;

    pub(super) fn now() -> Moment {
        Moment::now()
    }

    pub(super) fn nanos_since(start: Moment) -> u64 {
        super::super::nanos(start.elapsed())
    }
}

impl SystemClock {
    /// Nanoseconds since some moment, exact but dear.
    pub(super) fn fine_nanos(&self) -> u64 {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        super::nanos(START.get_or_init(std::time::Instant::now).elapsed())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos())
    }
}

impl fmt::Debug for SystemClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemClock").finish_non_exhaustive()
    }
}

/// A clock that stands still until it is told to move, for tests. Clones are
/// the same clock.
///
/// ```
/// use larder::{Cache, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let cache = Cache::builder()
///     .capacity(100)
///     .time_to_live(Duration::from_secs(60))
///     .clock(clock.clone())
///     .build()?;
/// cache.insert("pear", 3);
/// clock.advance(Duration::from_secs(59));
/// assert_eq!(cache.get("pear"), Some(3));
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(cache.get("pear"), None);
/// # Ok::<(), larder::BuildError>(())
/// ```
#[derive(Clone, Default)]
pub struct ManualClock {
    now: Arc<Mutex<Duration>>,
}

impl ManualClock {
    /// A clock that shows 0.
    ///
    /// ```
    /// use larder::{Clock, ManualClock};
    ///
    /// assert!(ManualClock::new().now().is_zero());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        ManualClock::default()
    }

    /// Moves the clock forward; beyond [`Duration::MAX`] it stands still.
    ///
    /// ```
    /// use larder::{Clock, ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(clock.now(), Duration::from_secs(1));
    /// ```
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock();
        *now = now.saturating_add(by);
    }

    /// Sets the clock, forward or back.
    ///
    /// ```
    /// use larder::{Clock, ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// clock.set(Duration::from_secs(10));
    /// assert_eq!(clock.now(), Duration::from_secs(10));
    /// ```
    pub fn set(&self, now: Duration) {
        *self.now.lock() = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        *self.now.lock()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}
