//! One load, with settings of its own.

use super::{LoadError, ToKey};
use crate::cache::{Cache, EntryOptions};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

/// A load that is about to begin, made by [`Cache::load`]: settings first, then
/// one of the methods that take a loader.
#[must_use = "nothing is loaded before a method is given a loader"]
pub struct Load<'a, K, V, S, Q: ?Sized> {
    cache: &'a Cache<K, V, S>,
    key: &'a Q,
    options: EntryOptions,
    wait_timeout: Option<Duration>,
    negative_ttl: Option<Duration>,
}

impl<'a, K, V, S, Q: ?Sized> Load<'a, K, V, S, Q> {
    pub(super) fn new(cache: &'a Cache<K, V, S>, key: &'a Q) -> Self {
        Load { cache, key, options: EntryOptions::new(), wait_timeout: None, negative_ttl: None }
    }

    /// Settings of the entry that the loaded value is stored as.
    pub fn options(mut self, options: EntryOptions) -> Self {
        self.options = options;
        self
    }

    /// How long to wait for the load of another caller.
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.wait_timeout = Some(timeout);
        self
    }

    /// For how long a failure, or that there is no value, is remembered.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = Some(ttl);
        self
    }
}

impl<K, V, S, Q> Load<'_, K, V, S, Q>
where
    K: Hash + Eq,
    V: Clone,
    S: BuildHasher,
    Q: ToKey<K> + ?Sized,
{
    /// The value, or else what `load` returns, stored.
    pub fn with(self, load: impl FnOnce() -> V) -> V {
        match self.cache.get(self.key) {
            Some(value) => value,
            None => self.with_missing(load),
        }
    }

    /// The value, or else what `load` returns, stored if it is no error.
    ///
    /// # Errors
    /// As [`Cache::try_get_with`].
    pub fn try_with<E>(self, load: impl FnOnce() -> Result<V, E>) -> Result<V, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        match self.cache.get(self.key) {
            Some(value) => Ok(value),
            None => self.try_with_missing(load),
        }
    }

    /// The value, or else what `load` returns, stored if there is one.
    ///
    /// # Errors
    /// As [`Cache::try_get_with`].
    pub fn try_optional_with<E>(
        self,
        load: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        if let Some(value) = self.cache.get(self.key) {
            return Ok(Some(value));
        }
        let loaded = load().map_err(|error| LoadError::Failed(Arc::new(error)))?;
        if let Some(value) = &loaded {
            self.cache.insert_with(self.key.to_key(), value.clone(), self.options);
        }
        Ok(loaded)
    }

    /// [`with`](Load::with) for tasks.
    pub async fn with_async(self, load: impl Future<Output = V>) -> V {
        match self.cache.get(self.key) {
            Some(value) => value,
            None => self.with_missing_async(load).await,
        }
    }

    /// [`try_with`](Load::try_with) for tasks.
    ///
    /// # Errors
    /// As [`Cache::try_get_with`].
    pub async fn try_with_async<E>(
        self,
        load: impl Future<Output = Result<V, E>>,
    ) -> Result<V, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        match self.cache.get(self.key) {
            Some(value) => Ok(value),
            None => self.try_with_missing_async(load).await,
        }
    }

    /// [`try_optional_with`](Load::try_optional_with) for tasks.
    ///
    /// # Errors
    /// As [`Cache::try_get_with`].
    pub async fn try_optional_with_async<E>(
        self,
        load: impl Future<Output = Result<Option<V>, E>>,
    ) -> Result<Option<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        if let Some(value) = self.cache.get(self.key) {
            return Ok(Some(value));
        }
        let loaded = load.await;
        self.try_optional_with(|| loaded)
    }

    #[cold]
    pub(super) fn with_missing(self, load: impl FnOnce() -> V) -> V {
        let value = load();
        self.cache.insert_with(self.key.to_key(), value.clone(), self.options);
        value
    }

    #[cold]
    pub(super) fn try_with_missing<E>(
        self,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>> {
        let value = load().map_err(|error| LoadError::Failed(Arc::new(error)))?;
        self.cache.insert_with(self.key.to_key(), value.clone(), self.options);
        Ok(value)
    }

    pub(super) async fn with_missing_async(self, load: impl Future<Output = V>) -> V {
        let value = load.await;
        self.with_missing(|| value)
    }

    pub(super) async fn try_with_missing_async<E>(
        self,
        load: impl Future<Output = Result<V, E>>,
    ) -> Result<V, LoadError<E>> {
        let loaded = load.await;
        self.try_with_missing(|| loaded)
    }
}
