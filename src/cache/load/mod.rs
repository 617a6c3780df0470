//! Loading what is missing, once for all who ask.

mod detached;
pub(crate) mod drive;
mod error;
mod key;
pub(crate) mod lead;
mod many;
mod request;

pub use error::LoadError;
pub use key::ToKey;
pub use request::Load;

use super::Cache;
use std::hash::{BuildHasher, Hash};

pub(crate) const RECURSION: &str = "a loader asked for the very key that it loads, or for one \
    whose loader waits for it: this would never end";

/// Loading.
impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq,
    V: Clone,
    S: BuildHasher,
{
    /// The value of `key`, or else what `load` returns, stored.
    ///
    /// Callers that miss together share one call of a loader, whichever of the
    /// loading methods they use; the others wait. `load` runs without a lock.
    /// If the key is written, removed or invalidated meanwhile, those who wait
    /// get the loaded value, but it is not stored.
    ///
    /// # Cost
    /// A hit is one [`get`](Cache::get), and allocates nothing.
    ///
    /// # Panics
    /// If `load` does; one of those who wait then calls its own. If `load` asks
    /// for the same key: it would wait for itself.
    ///
    /// ```
    /// let cache: larder::Cache<String, usize> = larder::Cache::new(100);
    /// assert_eq!(cache.get_with("pear", || "pear".len()), 4);
    /// assert_eq!(cache.get("pear"), Some(4));
    /// ```
    #[inline]
    pub fn get_with<Q>(&self, key: &Q, load: impl FnOnce() -> V) -> V
    where
        Q: ToKey<K> + ?Sized,
    {
        let Some(value) = self.get(key) else { return self.load(key).with_missing(load) };
        // Before the value is on its way out: see `steady`.
        drop(load);
        value
    }

    /// Like [`get_with`](Cache::get_with) with a loader that may fail. A
    /// failure is not cached.
    ///
    /// # Errors
    /// [`LoadError::Failed`] with the loader's error, shared by all who waited:
    /// a backend that is down sees one call, not one per caller. Whoever waited
    /// with another type of error calls its own loader.
    ///
    /// [`LoadError::Panicked`] if another caller's loader panicked.
    ///
    /// [`LoadError::Recursive`] if `load` asks for the same key.
    ///
    /// # Panics
    /// If `load` does.
    ///
    /// ```
    /// let cache: larder::Cache<String, u32> = larder::Cache::new(100);
    /// assert_eq!(cache.try_get_with("3", || "3".parse::<u32>())?, 3);
    /// assert!(cache.try_get_with("x", || "x".parse::<u32>()).is_err());
    /// # Ok::<(), larder::LoadError<std::num::ParseIntError>>(())
    /// ```
    #[inline]
    pub fn try_get_with<Q, E>(
        &self,
        key: &Q,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized,
        E: Send + Sync + 'static,
    {
        let Some(value) = self.get(key) else { return self.load(key).try_with_missing(load) };
        drop(load);
        Ok(value)
    }

    /// Like [`get_with`](Cache::get_with), for tasks of any runtime: a task
    /// that waits for another one's load blocks no thread.
    ///
    /// `load` runs within this call. If this call is dropped before it ends,
    /// one of those who wait goes on with its own loader.
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let cache: larder::Cache<String, usize> = larder::Cache::new(100);
    /// assert_eq!(cache.get_with_async("pear", async { 4 }).await, 4);
    /// # });
    /// ```
    pub async fn get_with_async<Q>(&self, key: &Q, load: impl Future<Output = V>) -> V
    where
        Q: ToKey<K> + ?Sized,
    {
        let Some(value) = self.get(key) else {
            return self.load(key).with_async_missing(load).await;
        };
        drop(load);
        value
    }

    /// Like [`try_get_with`](Cache::try_get_with), for tasks; see
    /// [`get_with_async`](Cache::get_with_async).
    ///
    /// # Errors
    /// As [`try_get_with`](Cache::try_get_with).
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let cache: larder::Cache<String, u32> = larder::Cache::new(100);
    /// let parsed = cache.try_get_with_async("3", async { "3".parse::<u32>() }).await?;
    /// assert_eq!(parsed, 3);
    /// # Ok::<(), larder::LoadError<std::num::ParseIntError>>(())
    /// # }).unwrap();
    /// ```
    pub async fn try_get_with_async<Q, E>(
        &self,
        key: &Q,
        load: impl Future<Output = Result<V, E>>,
    ) -> Result<V, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized,
        E: Send + Sync + 'static,
    {
        let Some(value) = self.get(key) else {
            return self.load(key).try_with_async_missing(load).await;
        };
        drop(load);
        Ok(value)
    }

    /// Begins a load with settings of its own; see [`Load`].
    ///
    /// ```
    /// use larder::EntryOptions;
    ///
    /// let cache: larder::Cache<String, u32> = larder::Cache::new(100);
    /// let fruit = EntryOptions::new().tag("fruit");
    /// assert_eq!(cache.load("pear").options(fruit).with(|| 3), 3);
    /// ```
    pub fn load<'a, Q: ?Sized>(&'a self, key: &'a Q) -> Load<'a, K, V, S, Q> {
        Load::new(self, key)
    }
}
