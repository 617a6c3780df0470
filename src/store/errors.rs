//! What can go wrong, one list for each operation, and the reports of `flush`
//! and `close`.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a read has no answer.
///
/// ```
/// use larder::Cache;
/// use larder::store::{ReadError, StoreCache, from_fn};
///
/// let broken = from_fn(|_: &u64| Err::<Option<u64>, _>("no connection"));
/// let cache = StoreCache::new(Cache::new(100), broken);
/// match cache.get(&1) {
///     Err(ReadError::Store(error)) => assert_eq!(*error, "no connection"),
///     other => panic!("{other:?}"),
/// }
/// ```
#[non_exhaustive]
pub enum ReadError<E> {
    /// The store's error, shared by all who waited for the same call.
    Store(Arc<E>),
    /// The store panicked while another thread waited for its answer here.
    Panicked,
    /// Whoever asked the store did not answer within the wait timeout.
    TimedOut,
    /// The store asked the cache for the key that it was loading.
    Recursive,
    /// The load that this call waited for was given up.
    Cancelled,
}

/// Why a write was not acknowledged. Unless said otherwise, nothing has
/// changed.
///
/// ```
/// use larder::store::WriteError;
///
/// let full: WriteError<String> = WriteError::QueueFull { dirty: 10, max_dirty: 10 };
/// assert_eq!(full.to_string(), "10 of at most 10 keys wait to be stored");
/// ```
#[non_exhaustive]
pub enum WriteError<E> {
    /// The cache was closed.
    Closed,
    /// There is no room for another key, and [`Overflow::Reject`] is set.
    ///
    /// [`Overflow::Reject`]: crate::store::Overflow::Reject
    QueueFull {
        /// Keys that wait to be stored.
        dirty: usize,
        /// How many may.
        max_dirty: usize,
    },
    /// There was no room for another key within the timeout.
    TimedOut {
        /// How long this call has waited for it.
        waited: Duration,
        /// Keys that wait to be stored.
        dirty: usize,
    },
    /// The store refused the write.
    Store(Arc<E>),
    /// The store may have the value or not, so the cache has forgotten the
    /// key.
    Ambiguous(Arc<E>),
    /// The store wrote the key that it was being written for.
    Recursive,
    /// The journal could not be written, so the value was not taken. It may
    /// come back at the next start, if it got there all the same.
    Journal(String),
    /// The store's answer to a batch names an entry that was not in it, so
    /// none of it can be trusted; the cache has forgotten the keys.
    BadAnswer,
}

/// Why a flush did not end.
///
/// ```
/// let error = larder::store::FlushError::TimedOut { left: 3 };
/// assert_eq!(error.to_string(), "3 writes were not stored in time");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushError {
    /// Some writes were neither stored nor given up in time.
    TimedOut {
        /// How many.
        left: usize,
    },
}

/// What is wrong with the settings of a
/// [`StoreCache`](crate::store::StoreCache).
///
/// ```
/// use larder::store::BuildStoreError;
///
/// assert_eq!(BuildStoreError::BatchIsZero.to_string(), "a batch must have room for a key");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum BuildStoreError {
    /// `batch(0)`.
    BatchIsZero,
    /// `max_dirty(0)`.
    MaxDirtyIsZero,
    /// `max_attempts(0)`.
    MaxAttemptsIsZero,
    /// A jitter that is no fraction.
    JitterOutOfRange {
        /// The fraction that was asked for.
        given: f64,
    },
    /// The first wait after a failure is longer than the longest.
    BackoffReversed {
        /// The first.
        first: Duration,
        /// The longest.
        max: Duration,
    },
    /// A journal was given, and nothing will be written back.
    JournalWithoutWriteBack,
    /// The journal could not be read.
    Journal {
        /// What it said.
        reason: String,
    },
    /// The system gave no thread.
    ThreadNotStarted {
        /// What it said.
        reason: String,
    },
}

/// Why a queued write failed: the store's error, of whatever type, or a panic.
///
/// ```
/// use larder::store::Failure;
///
/// fn is_conflict(failure: &Failure) -> bool {
///     failure.downcast_ref::<std::io::Error>().is_some()
/// }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Failure {
    /// What the store said.
    Store(Arc<dyn StoreFailure>),
    /// The store panicked, and this is what it said.
    Panicked(String),
    /// The store's answer named an entry that was not in the batch.
    BadAnswer,
    /// The cache was closed before the store had taken the write.
    Closed,
}

impl Failure {
    /// The store's error, if it is an `E`.
    ///
    /// ```
    /// let closed = larder::store::Failure::Closed;
    /// assert!(closed.downcast_ref::<String>().is_none());
    /// ```
    #[must_use]
    pub fn downcast_ref<E: 'static>(&self) -> Option<&E> {
        match self {
            Failure::Store(error) => (**error).as_any().downcast_ref(),
            _ => None,
        }
    }
}

/// An error of any store; implemented for all that can be one.
pub trait StoreFailure: fmt::Display + fmt::Debug + Send + Sync + 'static {
    /// The error, to be asked for its type.
    fn as_any(&self) -> &dyn Any;
}

impl<E: fmt::Display + fmt::Debug + Send + Sync + 'static> StoreFailure for E {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A write that was given up, for the dead-letter callback and
/// [`failed`](crate::store::StoreCache::failed).
///
/// ```
/// use larder::store::FailedWrite;
///
/// fn log(write: &FailedWrite<u64, String>) {
///     let what = if write.value.is_some() { "write" } else { "delete" };
///     eprintln!("{what} {} after {} attempts: {}", write.key, write.attempts, write.failure);
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedWrite<K, V> {
    /// The key.
    pub key: K,
    /// The value to be written, or `None` for a delete.
    pub value: Option<V>,
    /// How often it was tried.
    pub attempts: u32,
    /// What came of the last attempt.
    pub failure: Failure,
    /// A call of the store was under way when the cache was closed, and may
    /// still store it.
    pub is_in_flight: bool,
}

/// What a flush has come to.
///
/// ```
/// use larder::store::FlushReport;
///
/// fn check(report: &FlushReport<u64>) {
///     assert!(report.failed.is_empty(), "not stored: {:?}", report.failed);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlushReport<K> {
    /// Keys whose write from before the flush is in the failed set.
    pub failed: Vec<K>,
}

/// What a close has come to.
///
/// ```
/// use larder::store::CloseReport;
///
/// fn check(report: &CloseReport<u64>) {
///     assert!(report.is_clean(), "{} left, {} failed", report.left.len(), report.failed.len());
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseReport<K> {
    /// Keys whose last write had failed for good.
    pub failed: Vec<K>,
    /// Keys whose last write was still waiting at the deadline.
    pub left: Vec<K>,
    /// Keys for which a call of the store was under way at the deadline: it
    /// may have stored them or not.
    pub in_flight: Vec<K>,
}

impl<K> CloseReport<K> {
    /// Whether everything was stored.
    ///
    /// ```
    /// use larder::store::CloseReport;
    ///
    /// fn warn(report: &CloseReport<u64>) {
    ///     if !report.is_clean() {
    ///         eprintln!("not everything was stored: {report:?}");
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.left.is_empty() && self.in_flight.is_empty()
    }
}

// Written out, since `Arc<E>` is cloned whatever `E` is.
impl<E> Clone for ReadError<E> {
    fn clone(&self) -> Self {
        match self {
            ReadError::Store(error) => ReadError::Store(Arc::clone(error)),
            ReadError::Panicked => ReadError::Panicked,
            ReadError::TimedOut => ReadError::TimedOut,
            ReadError::Recursive => ReadError::Recursive,
            ReadError::Cancelled => ReadError::Cancelled,
        }
    }
}

impl<E> Clone for WriteError<E> {
    fn clone(&self) -> Self {
        match self {
            WriteError::Closed => WriteError::Closed,
            &WriteError::QueueFull { dirty, max_dirty } => {
                WriteError::QueueFull { dirty, max_dirty }
            }
            &WriteError::TimedOut { waited, dirty } => WriteError::TimedOut { waited, dirty },
            WriteError::Store(error) => WriteError::Store(Arc::clone(error)),
            WriteError::Ambiguous(error) => WriteError::Ambiguous(Arc::clone(error)),
            WriteError::Recursive => WriteError::Recursive,
            WriteError::Journal(reason) => WriteError::Journal(reason.clone()),
            WriteError::BadAnswer => WriteError::BadAnswer,
        }
    }
}

impl<E: fmt::Display> fmt::Display for ReadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Store(error) => write!(f, "the store failed: {error}"),
            ReadError::Panicked => f.write_str("the store panicked"),
            ReadError::TimedOut => f.write_str("another caller's load took too long"),
            ReadError::Recursive => f.write_str("the store asked for the key that it was loading"),
            ReadError::Cancelled => f.write_str("the load was given up"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for WriteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Closed => f.write_str("the cache is closed"),
            WriteError::QueueFull { dirty, max_dirty } => {
                write!(f, "{dirty} of at most {max_dirty} keys wait to be stored")
            }
            WriteError::TimedOut { waited, dirty } => {
                write!(f, "no room in {waited:?}: {dirty} keys wait to be stored")
            }
            WriteError::Store(error) => write!(f, "the store failed: {error}"),
            WriteError::Ambiguous(error) => write!(f, "the store may have failed: {error}"),
            WriteError::Recursive => f.write_str("the store wrote the key that it was writing"),
            WriteError::Journal(reason) => write!(f, "the journal failed: {reason}"),
            WriteError::BadAnswer => f.write_str(BAD_ANSWER),
        }
    }
}

const BAD_ANSWER: &str = "the store's answer names an entry that was not in the batch";

impl<E: fmt::Debug> fmt::Debug for ReadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Store(error) => f.debug_tuple("Store").field(error).finish(),
            ReadError::Panicked => f.write_str("Panicked"),
            ReadError::TimedOut => f.write_str("TimedOut"),
            ReadError::Recursive => f.write_str("Recursive"),
            ReadError::Cancelled => f.write_str("Cancelled"),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for WriteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Closed => f.write_str("Closed"),
            WriteError::QueueFull { dirty, max_dirty } => f
                .debug_struct("QueueFull")
                .field("dirty", dirty)
                .field("max_dirty", max_dirty)
                .finish(),
            WriteError::TimedOut { waited, dirty } => {
                f.debug_struct("TimedOut").field("waited", waited).field("dirty", dirty).finish()
            }
            WriteError::Store(error) => f.debug_tuple("Store").field(error).finish(),
            WriteError::Ambiguous(error) => f.debug_tuple("Ambiguous").field(error).finish(),
            WriteError::Recursive => f.write_str("Recursive"),
            WriteError::Journal(reason) => f.debug_tuple("Journal").field(reason).finish(),
            WriteError::BadAnswer => f.write_str("BadAnswer"),
        }
    }
}

impl<E: fmt::Display + fmt::Debug> std::error::Error for ReadError<E> {}
impl<E: fmt::Display + fmt::Debug> std::error::Error for WriteError<E> {}

impl fmt::Display for FlushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlushError::TimedOut { left } => write!(f, "{left} writes were not stored in time"),
        }
    }
}

impl std::error::Error for FlushError {}

impl fmt::Display for BuildStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildStoreError::BatchIsZero => f.write_str("a batch must have room for a key"),
            BuildStoreError::MaxDirtyIsZero => f.write_str("max_dirty must be at least 1"),
            BuildStoreError::MaxAttemptsIsZero => f.write_str("max_attempts must be at least 1"),
            BuildStoreError::JitterOutOfRange { given } => {
                write!(f, "the jitter must be between 0 and 1, not {given}")
            }
            BuildStoreError::BackoffReversed { first, max } => {
                write!(f, "the first wait after a failure, {first:?}, exceeds the longest, {max:?}")
            }
            BuildStoreError::JournalWithoutWriteBack => {
                f.write_str("a journal is of use with WritePolicy::Back only")
            }
            BuildStoreError::Journal { reason } => write!(f, "the journal: {reason}"),
            BuildStoreError::ThreadNotStarted { reason } => {
                write!(f, "the flusher's thread could not be started: {reason}")
            }
        }
    }
}

impl std::error::Error for BuildStoreError {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Store(error) => error.fmt(f),
            Failure::Panicked(said) => write!(f, "the store panicked: {said}"),
            Failure::BadAnswer => f.write_str(BAD_ANSWER),
            Failure::Closed => f.write_str("the cache was closed before it was stored"),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Store(error) => f.debug_tuple("Store").field(error).finish(),
            Failure::Panicked(said) => f.debug_tuple("Panicked").field(said).finish(),
            Failure::BadAnswer => f.write_str("BadAnswer"),
            Failure::Closed => f.write_str("Closed"),
        }
    }
}
