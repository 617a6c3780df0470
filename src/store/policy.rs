//! How writes reach the store.

use crate::store::errors::BuildStoreError;
use std::time::Duration;

/// When a write reaches the store.
///
/// | policy | `put` returns when | the next read | lost if the process dies |
/// |---|---|---|---|
/// | `Through` | the store has it | hits | nothing |
/// | `Around` | the store has it | loads | nothing |
/// | `Back` | it is cached and queued | hits | what is not flushed yet, unless there is a journal |
///
/// ```
/// use larder::store::{WriteBack, WritePolicy};
/// use std::time::Duration;
///
/// let policy = WritePolicy::Back(WriteBack::new().delay(Duration::from_millis(50)));
/// # let _ = policy;
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum WritePolicy {
    /// The store is written first, then the value becomes visible. Writes of
    /// one key take turns. For what is read soon after it is written.
    #[default]
    Through,
    /// The store is written, and the cached value is forgotten; the next read
    /// loads it. For what is seldom read after it is written.
    Around,
    /// The value becomes visible, and the store is written later, in batches;
    /// of several writes of one key only the last is. For what is written
    /// often, where a short delay does no harm.
    Back(WriteBack),
}

/// What a write does when [`max_dirty`](WriteBack::max_dirty) keys wait to be
/// stored already, and its own is not among them.
///
/// ```
/// use larder::store::{Overflow, WriteBack};
///
/// let settings = WriteBack::new().max_dirty(1000).overflow(Overflow::Reject);
/// # let _ = settings;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// Waits for room, but no longer than this. What is in the queue is stored
    /// without waiting for [`delay`](WriteBack::delay) then.
    Block {
        /// How long.
        timeout: Duration,
    },
    /// Writes the store itself before it returns, as `Through` does.
    WriteThrough,
    /// Fails at once with [`QueueFull`](crate::store::WriteError::QueueFull).
    Reject,
}

/// Settings of [`WritePolicy::Back`]; what is not set is as the table says.
///
/// | setting | default |
/// |---|---|
/// | `batch` | 128 keys |
/// | `delay` | 100 ms |
/// | `max_dirty` | 100 000 keys |
/// | `overflow` | block for 5 s |
/// | `backoff` | from 50 ms, doubled up to 30 s |
/// | `jitter` | 0.5 |
/// | `max_attempts` | 10 |
/// | `workers` | 2 |
/// | `drop_deadline` | 5 s |
///
/// **Window of loss.** Without a journal, a process that dies takes with it
/// what was acknowledged but not stored: at a healthy store, the writes of the
/// last `delay` plus one call of the store; while the store is down, up to
/// `max_dirty` keys. With a journal (feature `journal`), nothing when the
/// process is killed; see `Durability` for power loss.
///
/// ```
/// use larder::store::WriteBack;
/// use std::time::Duration;
///
/// let settings = WriteBack::new()
///     .batch(500)
///     .delay(Duration::from_millis(20))
///     .max_dirty(10_000)
///     .backoff(Duration::from_millis(10), Duration::from_secs(5))
///     .max_attempts(5);
/// # let _ = settings;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct WriteBack {
    pub(crate) batch: usize,
    pub(crate) delay: Duration,
    pub(crate) max_dirty: usize,
    pub(crate) overflow: Overflow,
    pub(crate) backoff_first: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) jitter: f64,
    pub(crate) seed: Option<u64>,
    pub(crate) max_attempts: u32,
    pub(crate) workers: usize,
    pub(crate) drop_deadline: Duration,
}

impl Default for WriteBack {
    fn default() -> Self {
        WriteBack {
            batch: 128,
            delay: Duration::from_millis(100),
            max_dirty: 100_000,
            overflow: Overflow::Block { timeout: Duration::from_secs(5) },
            backoff_first: Duration::from_millis(50),
            backoff_max: Duration::from_secs(30),
            jitter: 0.5,
            seed: None,
            max_attempts: 10,
            workers: 2,
            drop_deadline: Duration::from_secs(5),
        }
    }
}

impl WriteBack {
    /// The defaults.
    ///
    /// ```
    /// let settings = larder::store::WriteBack::new();
    /// # let _ = settings;
    /// ```
    pub fn new() -> Self {
        WriteBack::default()
    }

    /// The most keys that one call of the store is given. When so many wait,
    /// they are written without waiting for `delay`.
    ///
    /// ```
    /// let settings = larder::store::WriteBack::new().batch(500);
    /// # let _ = settings;
    /// ```
    pub fn batch(mut self, keys: usize) -> Self {
        self.batch = keys;
        self
    }

    /// How long a write may wait for others to share its batch. Counted from
    /// the first write of the key that is not stored yet, so a key that is
    /// written again and again is stored all the same.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let settings = larder::store::WriteBack::new().delay(Duration::from_millis(5));
    /// # let _ = settings;
    /// ```
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The most keys that may wait to be stored, those that failed included.
    ///
    /// ```
    /// let settings = larder::store::WriteBack::new().max_dirty(1000);
    /// # let _ = settings;
    /// ```
    pub fn max_dirty(mut self, keys: usize) -> Self {
        self.max_dirty = keys;
        self
    }

    /// What a write does when there is no room for its key.
    ///
    /// ```
    /// use larder::store::{Overflow, WriteBack};
    ///
    /// let settings = WriteBack::new().overflow(Overflow::WriteThrough);
    /// # let _ = settings;
    /// ```
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// How long to wait after the first failure, and the most to wait after
    /// any; in between, it doubles.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let settings = larder::store::WriteBack::new()
    ///     .backoff(Duration::from_millis(10), Duration::from_secs(5));
    /// # let _ = settings;
    /// ```
    pub fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.backoff_first = first;
        self.backoff_max = max;
        self
    }

    /// By which part of itself, at most, each wait after a failure is shortened
    /// at random, so that many caches do not come back to a store at once.
    ///
    /// ```
    /// let settings = larder::store::WriteBack::new().jitter(0.2);
    /// # let _ = settings;
    /// ```
    pub fn jitter(mut self, fraction: f64) -> Self {
        self.jitter = fraction;
        self
    }

    /// Makes the jitter repeatable, for tests.
    ///
    /// ```
    /// let settings = larder::store::WriteBack::new().seed(7);
    /// # let _ = settings;
    /// ```
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How often a value is tried before it goes to the failed set. A batch
    /// that fails as a whole counts for none of its keys: it is split first,
    /// since any one of them may be to blame.
    ///
    /// ```
    /// let settings = larder::store::WriteBack::new().max_attempts(3);
    /// # let _ = settings;
    /// ```
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// How many calls of the store may be under way at a time, each on a
    /// thread of larder's own. With two or more, a call that hangs does not
    /// hold up the others. With 0 there is no thread: the store is written by
    /// [`run_due`](crate::store::StoreCache::run_due), `flush` and `close`.
    ///
    /// A cache over an [`AsyncStore`](crate::store::AsyncStore) has no threads:
    /// there, each future from
    /// [`flusher`](crate::store::StoreCache::flusher) is a worker.
    ///
    /// ```
    /// let settings = larder::store::WriteBack::new().workers(1);
    /// # let _ = settings;
    /// ```
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// How long the drop of the last handle may take to store what is left.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let settings = larder::store::WriteBack::new().drop_deadline(Duration::from_secs(1));
    /// # let _ = settings;
    /// ```
    pub fn drop_deadline(mut self, deadline: Duration) -> Self {
        self.drop_deadline = deadline;
        self
    }

    pub(crate) fn check(&self) -> Result<(), BuildStoreError> {
        if self.batch == 0 {
            return Err(BuildStoreError::BatchIsZero);
        }
        if self.max_dirty == 0 {
            return Err(BuildStoreError::MaxDirtyIsZero);
        }
        if self.max_attempts == 0 {
            return Err(BuildStoreError::MaxAttemptsIsZero);
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(BuildStoreError::JitterOutOfRange { given: self.jitter });
        }
        if self.backoff_first > self.backoff_max {
            return Err(BuildStoreError::BackoffReversed {
                first: self.backoff_first,
                max: self.backoff_max,
            });
        }
        Ok(())
    }
}
