//! What a backing store has to be able to do, for threads and for tasks.

use crate::wait::outcome_of;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// A place from which values are loaded, by threads.
///
/// A closure will do, by [`from_fn`]. One that can also be written to is a
/// [`Store`].
///
/// ```
/// use larder::store::Loader;
/// use std::collections::HashMap;
///
/// struct Prices(HashMap<String, u32>);
///
/// impl Loader<String, u32> for Prices {
///     type Error = std::io::Error;
///     fn load(&self, key: &String) -> Result<Option<u32>, Self::Error> {
///         Ok(self.0.get(key).copied())
///     }
/// }
/// ```
pub trait Loader<K, V>: Send + Sync {
    /// What goes wrong. Nothing but a text is asked of it, so `anyhow::Error`
    /// and `String` fit as well.
    type Error: fmt::Display + fmt::Debug + Send + Sync + 'static;

    /// The value of `key`; `Ok(None)` if it has none.
    fn load(&self, key: &K) -> Result<Option<V>, Self::Error>;

    /// The values of `keys`, in the same order. One by one, if not
    /// implemented.
    ///
    /// Reading has no effect that could be left half done, so the batch fails
    /// as a whole.
    fn load_many(&self, keys: &[&K]) -> Result<Vec<Option<V>>, Self::Error> {
        keys.iter().map(|key| self.load(key)).collect()
    }

    /// Whether a write that ended with `error` may have reached the store all
    /// the same: a timeout, or a connection lost before the answer. The cache
    /// then forgets the key rather than go on with the old value.
    fn is_ambiguous(&self, error: &Self::Error) -> bool {
        let _ = error;
        false
    }
}

/// A place where values are kept: loaded, written and deleted, by threads.
///
/// [`StoreCache`](crate::store::StoreCache) puts a cache in front of it. Calls
/// come from many threads at a time. Except with
/// [`WritePolicy::Around`](crate::store::WritePolicy::Around), no two writes of
/// one key are under way at a time.
///
/// ```
/// use larder::store::{Loader, Store};
/// use std::collections::HashMap;
/// use std::convert::Infallible;
/// use std::sync::Mutex;
///
/// #[derive(Default)]
/// struct Shelf(Mutex<HashMap<u64, String>>);
///
/// impl Loader<u64, String> for Shelf {
///     type Error = Infallible;
///     fn load(&self, key: &u64) -> Result<Option<String>, Infallible> {
///         Ok(self.0.lock().unwrap().get(key).cloned())
///     }
/// }
///
/// impl Store<u64, String> for Shelf {
///     fn write(&self, key: &u64, value: &String) -> Result<(), Infallible> {
///         self.0.lock().unwrap().insert(*key, value.clone());
///         Ok(())
///     }
///     fn delete(&self, key: &u64) -> Result<(), Infallible> {
///         self.0.lock().unwrap().remove(key);
///         Ok(())
///     }
/// }
/// ```
pub trait Store<K, V>: Loader<K, V> {
    /// Stores `value` under `key`, over what was there.
    fn write(&self, key: &K, value: &V) -> Result<(), Self::Error>;

    /// Removes `key`; it is no error if there is none.
    fn delete(&self, key: &K) -> Result<(), Self::Error>;

    /// Stores all of `entries`, whose keys all differ. `Err` says that nothing
    /// is known to have been stored, as after a transaction that was rolled
    /// back; where some were stored and some not, say so with
    /// [`Written::except`].
    ///
    /// One by one, if not implemented.
    fn write_many(&self, entries: &[(&K, &V)]) -> Result<Written<Self::Error>, Self::Error> {
        Ok(Written::one_by_one(entries, |(key, value)| self.write(key, value)))
    }

    /// Removes all of `keys`; otherwise as [`write_many`](Store::write_many).
    fn delete_many(&self, keys: &[&K]) -> Result<Written<Self::Error>, Self::Error> {
        Ok(Written::one_by_one(keys, |key| self.delete(key)))
    }
}

/// A place from which values are loaded, by tasks of any runtime.
///
/// A closure will do, by [`from_async_fn`].
///
/// ```
/// use larder::store::AsyncLoader;
///
/// struct Lengths;
///
/// impl AsyncLoader<String, usize> for Lengths {
///     type Error = std::io::Error;
///     async fn load(&self, key: &String) -> Result<Option<usize>, Self::Error> {
///         Ok(Some(key.len()))
///     }
/// }
/// ```
pub trait AsyncLoader<K: Sync, V: Send>: Send + Sync {
    /// What goes wrong; see [`Loader::Error`].
    type Error: fmt::Display + fmt::Debug + Send + Sync + 'static;

    /// The value of `key`; `Ok(None)` if it has none.
    fn load(&self, key: &K) -> impl Future<Output = Result<Option<V>, Self::Error>> + Send;

    /// The values of `keys`, in the same order; see [`Loader::load_many`].
    fn load_many(
        &self,
        keys: &[&K],
    ) -> impl Future<Output = Result<Vec<Option<V>>, Self::Error>> + Send {
        async move {
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                match outcome_of(self.load(key)).await {
                    Ok(value) => values.push(value),
                    Err(error) => {
                        // Before the error is on its way out: see `steady`.
                        drop(values);
                        return Err(error);
                    }
                }
            }
            Ok(values)
        }
    }

    /// See [`Loader::is_ambiguous`].
    fn is_ambiguous(&self, error: &Self::Error) -> bool {
        let _ = error;
        false
    }
}

/// A place where values are kept, for tasks of any runtime; see [`Store`].
///
/// ```
/// use larder::store::{AsyncLoader, AsyncStore};
/// use std::collections::HashMap;
/// use std::convert::Infallible;
/// use std::sync::Mutex;
///
/// #[derive(Default)]
/// struct Shelf(Mutex<HashMap<u64, String>>);
///
/// impl AsyncLoader<u64, String> for Shelf {
///     type Error = Infallible;
///     async fn load(&self, key: &u64) -> Result<Option<String>, Infallible> {
///         Ok(self.0.lock().unwrap().get(key).cloned())
///     }
/// }
///
/// impl AsyncStore<u64, String> for Shelf {
///     async fn write(&self, key: &u64, value: &String) -> Result<(), Infallible> {
///         self.0.lock().unwrap().insert(*key, value.clone());
///         Ok(())
///     }
///     async fn delete(&self, key: &u64) -> Result<(), Infallible> {
///         self.0.lock().unwrap().remove(key);
///         Ok(())
///     }
/// }
/// ```
pub trait AsyncStore<K: Sync, V: Send + Sync>: AsyncLoader<K, V> {
    /// Stores `value` under `key`, over what was there.
    fn write(&self, key: &K, value: &V) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Removes `key`; it is no error if there is none.
    fn delete(&self, key: &K) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Stores all of `entries`; see [`Store::write_many`].
    fn write_many(
        &self,
        entries: &[(&K, &V)],
    ) -> impl Future<Output = Result<Written<Self::Error>, Self::Error>> + Send {
        async move {
            let mut written = Written::all();
            for (at, (key, value)) in entries.iter().enumerate() {
                written.note(at, self.write(key, value).await);
            }
            Ok(written)
        }
    }

    /// Removes all of `keys`; see [`Store::write_many`].
    fn delete_many(
        &self,
        keys: &[&K],
    ) -> impl Future<Output = Result<Written<Self::Error>, Self::Error>> + Send {
        async move {
            let mut written = Written::all();
            for (at, key) in keys.iter().enumerate() {
                written.note(at, self.delete(key).await);
            }
            Ok(written)
        }
    }
}

/// What became of a batch: everything was written, except for what is listed.
///
/// ```
/// use larder::store::Written;
///
/// let all: Written<String> = Written::all();
/// assert!(all.is_complete());
/// let most = Written::except([(3, "too long".to_owned())]);
/// assert!(!most.is_complete());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<E> {
    failed: Vec<(usize, E)>,
}

impl<E> Written<E> {
    /// Everything was written.
    ///
    /// ```
    /// assert!(larder::store::Written::<String>::all().is_complete());
    /// ```
    #[must_use]
    pub fn all() -> Self {
        Written { failed: Vec::new() }
    }

    /// Everything but the entries at these positions was written.
    ///
    /// ```
    /// let written = larder::store::Written::except([(0, "no such column")]);
    /// assert!(!written.is_complete());
    /// ```
    #[must_use]
    pub fn except(failed: impl IntoIterator<Item = (usize, E)>) -> Self {
        Written { failed: failed.into_iter().collect() }
    }

    /// Whether everything was written.
    ///
    /// ```
    /// assert!(larder::store::Written::<String>::all().is_complete());
    /// ```
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty()
    }

    fn note(&mut self, at: usize, outcome: Result<(), E>) {
        if let Err(error) = outcome {
            self.failed.push((at, error));
        }
    }

    fn one_by_one<T>(batch: &[T], each: impl Fn(&T) -> Result<(), E>) -> Self {
        let mut written = Written::all();
        for (at, item) in batch.iter().enumerate() {
            written.note(at, each(item));
        }
        written
    }

    /// One outcome for each of `len` entries. A position beyond them names no
    /// entry: then none can be trusted, which the caller is told by `None`.
    pub(crate) fn outcomes(self, len: usize) -> Option<Vec<Result<(), E>>> {
        let mut outcomes: Vec<Result<(), E>> = (0..len).map(|_| Ok(())).collect();
        for (at, error) in self.failed {
            *outcomes.get_mut(at)? = Err(error);
        }
        Some(outcomes)
    }
}

/// A closure from which values are loaded; made by [`from_fn`].
#[derive(Clone, Copy)]
pub struct FromFn<F>(F);

/// An asynchronous closure from which values are loaded; made by
/// [`from_async_fn`].
#[derive(Clone, Copy)]
pub struct FromAsyncFn<F>(F);

/// A store that can only be read: `load`.
///
/// ```
/// use larder::Cache;
/// use larder::store::{StoreCache, from_fn};
///
/// let squares = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
/// let cache = StoreCache::new(Cache::new(100), squares);
/// assert_eq!(cache.get(&12).unwrap(), Some(144));
/// ```
pub fn from_fn<K, V, E, F>(load: F) -> FromFn<F>
where
    F: Fn(&K) -> Result<Option<V>, E> + Send + Sync,
{
    FromFn(load)
}

/// A store that can only be read: `load`, which gets a key of its own.
///
/// ```
/// use larder::Cache;
/// use larder::store::{StoreCache, from_async_fn};
///
/// let squares = from_async_fn(|n: u64| async move { Ok::<_, String>(Some(n * n)) });
/// let cache = StoreCache::new(Cache::new(100), squares);
/// let twelve = async { cache.get_async(&12).await };
/// # drop(twelve);
/// ```
pub fn from_async_fn<K, V, E, F, Fut>(load: F) -> FromAsyncFn<F>
where
    F: Fn(K) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Option<V>, E>> + Send,
{
    FromAsyncFn(load)
}

impl<K, V, E, F> Loader<K, V> for FromFn<F>
where
    F: Fn(&K) -> Result<Option<V>, E> + Send + Sync,
    E: fmt::Display + fmt::Debug + Send + Sync + 'static,
{
    type Error = E;

    fn load(&self, key: &K) -> Result<Option<V>, E> {
        self.0(key)
    }
}

impl<K, V, E, F, Fut> AsyncLoader<K, V> for FromAsyncFn<F>
where
    K: Clone + Sync,
    V: Send,
    F: Fn(K) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Option<V>, E>> + Send,
    E: fmt::Display + fmt::Debug + Send + Sync + 'static,
{
    type Error = E;

    fn load(&self, key: &K) -> impl Future<Output = Result<Option<V>, E>> + Send {
        self.0(key.clone())
    }
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for FromAsyncFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromAsyncFn").finish_non_exhaustive()
    }
}

/// A store that is shared with others.
impl<K, V, T: Loader<K, V>> Loader<K, V> for Arc<T> {
    type Error = T::Error;

    fn load(&self, key: &K) -> Result<Option<V>, T::Error> {
        T::load(self, key)
    }
    fn load_many(&self, keys: &[&K]) -> Result<Vec<Option<V>>, T::Error> {
        T::load_many(self, keys)
    }
    fn is_ambiguous(&self, error: &T::Error) -> bool {
        T::is_ambiguous(self, error)
    }
}

impl<K, V, T: Store<K, V>> Store<K, V> for Arc<T> {
    fn write(&self, key: &K, value: &V) -> Result<(), T::Error> {
        T::write(self, key, value)
    }
    fn delete(&self, key: &K) -> Result<(), T::Error> {
        T::delete(self, key)
    }
    fn write_many(&self, entries: &[(&K, &V)]) -> Result<Written<T::Error>, T::Error> {
        T::write_many(self, entries)
    }
    fn delete_many(&self, keys: &[&K]) -> Result<Written<T::Error>, T::Error> {
        T::delete_many(self, keys)
    }
}

impl<K: Sync, V: Send, T: AsyncLoader<K, V>> AsyncLoader<K, V> for Arc<T> {
    type Error = T::Error;

    fn load(&self, key: &K) -> impl Future<Output = Result<Option<V>, T::Error>> + Send {
        T::load(self, key)
    }
    fn load_many(
        &self,
        keys: &[&K],
    ) -> impl Future<Output = Result<Vec<Option<V>>, T::Error>> + Send {
        T::load_many(self, keys)
    }
    fn is_ambiguous(&self, error: &T::Error) -> bool {
        T::is_ambiguous(self, error)
    }
}

impl<K: Sync, V: Send + Sync, T: AsyncStore<K, V>> AsyncStore<K, V> for Arc<T> {
    fn write(&self, key: &K, value: &V) -> impl Future<Output = Result<(), T::Error>> + Send {
        T::write(self, key, value)
    }
    fn delete(&self, key: &K) -> impl Future<Output = Result<(), T::Error>> + Send {
        T::delete(self, key)
    }
    fn write_many(
        &self,
        entries: &[(&K, &V)],
    ) -> impl Future<Output = Result<Written<T::Error>, T::Error>> + Send {
        T::write_many(self, entries)
    }
    fn delete_many(
        &self,
        keys: &[&K],
    ) -> impl Future<Output = Result<Written<T::Error>, T::Error>> + Send {
        T::delete_many(self, keys)
    }
}
