//! How a load can fail.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why a fallible load has no value to return.
///
/// The loader's error is shared by all who waited for the same load, so it is
/// behind an [`Arc`], and a `LoadError` can be cloned whatever `E` is.
///
/// ```
/// use larder::{Cache, LoadError};
///
/// let cache: Cache<String, u32> = Cache::new(100);
/// let parsed = cache.try_get_with("pear", || "three".parse::<u32>());
/// assert_eq!(parsed.unwrap_err().to_string(), "the loader failed: invalid digit found in string");
/// assert_eq!(cache.get("pear"), None, "failures are not cached");
/// ```
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader returned this error: to this caller, or to the one whose load
    /// it waited for.
    Failed(Arc<E>),
    /// The loader of another caller panicked while this one waited for it.
    Panicked,
    /// The loader asked, directly or through other loaders, for the very key
    /// that it loads: it would wait for itself.
    Recursive,
    /// The load of another caller took longer than this one was to wait.
    TimedOut,
    /// The loader was given to a spawner, which has dropped it.
    Cancelled,
}

impl<E> LoadError<E> {
    /// The loader's own error, if that is what happened.
    ///
    /// ```
    /// use larder::{Cache, LoadError};
    ///
    /// let cache: Cache<String, u32> = Cache::new(100);
    /// let error = cache.try_get_with("pear", || Err("no pears")).unwrap_err();
    /// assert_eq!(error.failure(), Some(&"no pears"));
    /// assert_eq!(LoadError::<u8>::TimedOut.failure(), None);
    /// ```
    pub fn failure(&self) -> Option<&E> {
        match self {
            LoadError::Failed(error) => Some(error),
            _ => None,
        }
    }
}

/// Cheap: the loader's error is shared.
impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            LoadError::Failed(error) => LoadError::Failed(Arc::clone(error)),
            LoadError::Panicked => LoadError::Panicked,
            LoadError::Recursive => LoadError::Recursive,
            LoadError::TimedOut => LoadError::TimedOut,
            LoadError::Cancelled => LoadError::Cancelled,
        }
    }
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Failed(error) => write!(f, "the loader failed: {error}"),
            LoadError::Panicked => f.write_str("the loader panicked in the caller that ran it"),
            LoadError::Recursive => f.write_str(super::RECURSION),
            LoadError::Cancelled => f.write_str("the spawner dropped the loader"),
            LoadError::TimedOut => {
                f.write_str("the load of another caller took longer than this one was to wait")
            }
        }
    }
}

impl<E: Error + 'static> Error for LoadError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            LoadError::Failed(error) => Some(&**error),
            _ => None,
        }
    }
}
