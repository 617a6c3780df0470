//! The handle's methods for tasks.

use super::back::flusher::{Alive, Promised};
use super::backend::Tasks;
use super::errors::{CloseReport, FlushError, FlushReport, ReadError, WriteError};
use super::handle::StoreCache;
use super::traits::{AsyncLoader, AsyncStore};
use super::{StoreKey, StoreValue};
use crate::cache::EntryOptions;
use crate::wait::deadline_in;
use std::future::Future;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Reading, for tasks.
impl<K: StoreKey, V: StoreValue, St, S> StoreCache<K, V, St, S>
where
    St: AsyncLoader<K, V>,
    S: BuildHasher,
{
    /// [`get`](StoreCache::get) for tasks.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use larder::Cache;
    /// use larder::store::{StoreCache, from_async_fn};
    ///
    /// # pollster::block_on(async {
    /// let squares = from_async_fn(|n: u64| async move { Ok::<_, String>(Some(n * n)) });
    /// let cache = StoreCache::new(Cache::new(100), squares);
    /// assert_eq!(cache.get_async(&12).await.unwrap(), Some(144));
    /// # });
    /// ```
    pub async fn get_async(&self, key: &K) -> Result<Option<V>, ReadError<St::Error>> {
        self.engine().get_async(key).await
    }

    /// [`get_many`](StoreCache::get_many) for tasks.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use larder::Cache;
    /// use larder::store::{StoreCache, from_async_fn};
    ///
    /// # pollster::block_on(async {
    /// let squares = from_async_fn(|n: u64| async move { Ok::<_, String>(Some(n * n)) });
    /// let cache = StoreCache::new(Cache::new(100), squares);
    /// assert_eq!(cache.get_many_async(&[2, 3]).await.unwrap(), [Some(4), Some(9)]);
    /// # });
    /// ```
    pub async fn get_many_async(&self, keys: &[K]) -> Result<Vec<Option<V>>, ReadError<St::Error>> {
        self.engine().get_many_async(keys).await
    }
}

/// Writing, for tasks. A task that is dropped while it waits for the store
/// leaves the cache without the key.
impl<K: StoreKey, V: StoreValue, St, S> StoreCache<K, V, St, S>
where
    St: AsyncStore<K, V>,
    S: BuildHasher + Send + Sync,
{
    /// [`put`](StoreCache::put) for tasks.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// # use larder::store::{AsyncLoader, AsyncStore};
    /// # struct Nothing;
    /// # impl AsyncLoader<u64, u64> for Nothing {
    /// #     type Error = String;
    /// #     async fn load(&self, _: &u64) -> Result<Option<u64>, String> { Ok(None) }
    /// # }
    /// # impl AsyncStore<u64, u64> for Nothing {
    /// #     async fn write(&self, _: &u64, _: &u64) -> Result<(), String> { Ok(()) }
    /// #     async fn delete(&self, _: &u64) -> Result<(), String> { Ok(()) }
    /// # }
    /// # pollster::block_on(async {
    /// # let store = Nothing;
    /// let cache = larder::store::StoreCache::new(larder::Cache::new(100), store);
    /// cache.put_async(7, 49).await.unwrap();
    /// assert_eq!(cache.get_async(&7).await.unwrap(), Some(49));
    /// cache.delete_async(7).await.unwrap();
    /// assert_eq!(cache.get_async(&7).await.unwrap(), None);
    /// # });
    /// ```
    pub async fn put_async(&self, key: K, value: V) -> Result<(), WriteError<St::Error>> {
        self.put_with_async(key, value, EntryOptions::new()).await
    }

    /// [`put_with`](StoreCache::put_with) for tasks.
    ///
    /// # Errors
    /// As [`put`](StoreCache::put).
    pub async fn put_with_async(
        &self,
        key: K,
        value: V,
        options: EntryOptions,
    ) -> Result<(), WriteError<St::Error>> {
        let backend = Tasks::new(self.engine());
        self.engine().change(&backend, key, Some(value), options).await
    }

    /// [`put_many`](StoreCache::put_many) for tasks.
    pub async fn put_many_async(
        &self,
        entries: Vec<(K, V)>,
    ) -> Vec<Result<(), WriteError<St::Error>>> {
        let backend = Tasks::new(self.engine());
        self.engine().put_many(&backend, entries).await
    }

    /// [`delete`](StoreCache::delete) for tasks; see
    /// [`put_async`](StoreCache::put_async) for an example.
    ///
    /// # Errors
    /// As there.
    pub async fn delete_async(&self, key: K) -> Result<(), WriteError<St::Error>> {
        let backend = Tasks::new(self.engine());
        self.engine().change(&backend, key, None, EntryOptions::new()).await
    }

    /// [`flush`](StoreCache::flush) for tasks. Where no
    /// [`flusher`](StoreCache::flusher) runs, this task does its work.
    ///
    /// ```
    /// # use larder::store::{AsyncLoader, AsyncStore};
    /// # struct Nothing;
    /// # impl AsyncLoader<u64, u64> for Nothing {
    /// #     type Error = String;
    /// #     async fn load(&self, _: &u64) -> Result<Option<u64>, String> { Ok(None) }
    /// # }
    /// # impl AsyncStore<u64, u64> for Nothing {
    /// #     async fn write(&self, _: &u64, _: &u64) -> Result<(), String> { Ok(()) }
    /// #     async fn delete(&self, _: &u64) -> Result<(), String> { Ok(()) }
    /// # }
    /// # pollster::block_on(async {
    /// # let store = Nothing;
    /// use larder::store::{StoreCache, WriteBack, WritePolicy};
    ///
    /// let cache = StoreCache::builder(larder::Cache::new(100), store)
    ///     .policy(WritePolicy::Back(WriteBack::new()))
    ///     .build_async()
    ///     .unwrap();
    /// cache.put_async(7, 49).await.unwrap();
    /// assert!(cache.flush_async().await.failed.is_empty());
    /// # });
    /// ```
    pub async fn flush_async(&self) -> FlushReport<K> {
        let flushed = self.flush_until_async(None, None).await;
        flushed.unwrap_or_else(|error| unreachable!("without a deadline, {error}"))
    }

    /// [`flush_key`](StoreCache::flush_key) for tasks.
    pub async fn flush_key_async(&self, key: &K) -> FlushReport<K> {
        let flushed = self.flush_until_async(Some(key), None).await;
        flushed.unwrap_or_else(|error| unreachable!("without a deadline, {error}"))
    }

    /// [`flush_timeout`](StoreCache::flush_timeout) for tasks.
    ///
    /// # Errors
    /// As there.
    pub async fn flush_timeout_async(
        &self,
        timeout: Duration,
    ) -> Result<FlushReport<K>, FlushError> {
        self.flush_until_async(None, Some(timeout)).await
    }

    async fn flush_until_async(
        &self,
        key: Option<&K>,
        timeout: Option<Duration>,
    ) -> Result<FlushReport<K>, FlushError> {
        let backend = Tasks::new(self.engine());
        self.engine().flush(&backend, key, timeout.and_then(deadline_in)).await
    }

    /// [`close`](StoreCache::close) for tasks. The deadline is looked at
    /// between calls of the store; where no flusher runs, a call that this task
    /// itself waits for is not given up.
    ///
    /// ```
    /// # use larder::store::{AsyncLoader, AsyncStore};
    /// # struct Nothing;
    /// # impl AsyncLoader<u64, u64> for Nothing {
    /// #     type Error = String;
    /// #     async fn load(&self, _: &u64) -> Result<Option<u64>, String> { Ok(None) }
    /// # }
    /// # impl AsyncStore<u64, u64> for Nothing {
    /// #     async fn write(&self, _: &u64, _: &u64) -> Result<(), String> { Ok(()) }
    /// #     async fn delete(&self, _: &u64) -> Result<(), String> { Ok(()) }
    /// # }
    /// # pollster::block_on(async {
    /// # let store = Nothing;
    /// use std::time::Duration;
    ///
    /// let cache = larder::store::StoreCache::new(larder::Cache::new(100), store);
    /// cache.put_async(7, 49).await.unwrap();
    /// assert!(cache.close_async(Duration::from_secs(5)).await.is_clean());
    /// # });
    /// ```
    pub async fn close_async(&self, deadline: Duration) -> CloseReport<K> {
        let backend = Tasks::new(self.engine());
        self.engine().close(&backend, deadline_in(deadline)).await
    }

    /// A worker: a future to be spawned on any runtime, which stores what is
    /// due until the cache is closed. It does not keep the cache from being
    /// closed by the drop of the last handle: then it stores what is left, for
    /// as long as [`drop_deadline`](crate::store::WriteBack::drop_deadline)
    /// says, and ends.
    ///
    /// Each has one call of the store under way at a time; with two, a call
    /// that hangs does not hold up the others. Without any, the store is
    /// written by `flush_async` and `close_async` alone.
    ///
    /// One that was made is counted on: as long as it is neither run nor dropped,
    /// what the last handle leaves waits for it.
    ///
    /// ```
    /// # use larder::store::{AsyncLoader, AsyncStore};
    /// # struct Nothing;
    /// # impl AsyncLoader<u64, u64> for Nothing {
    /// #     type Error = String;
    /// #     async fn load(&self, _: &u64) -> Result<Option<u64>, String> { Ok(None) }
    /// # }
    /// # impl AsyncStore<u64, u64> for Nothing {
    /// #     async fn write(&self, _: &u64, _: &u64) -> Result<(), String> { Ok(()) }
    /// #     async fn delete(&self, _: &u64) -> Result<(), String> { Ok(()) }
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = Nothing;
    /// use larder::store::{StoreCache, WriteBack, WritePolicy};
    ///
    /// let cache = StoreCache::builder(larder::Cache::new(100), store)
    ///     .policy(WritePolicy::Back(WriteBack::new()))
    ///     .build_async()
    ///     .unwrap();
    /// let flusher = tokio::spawn(cache.flusher());
    /// cache.put_async(7, 49).await.unwrap();
    /// drop(cache);
    /// flusher.await.unwrap(); // it is stored now, though the task had not begun
    /// # });
    /// ```
    pub fn flusher(&self) -> impl Future<Output = ()> + Send + 'static + use<K, V, St, S>
    where
        St: 'static,
        S: 'static,
    {
        let engine = Arc::clone(self.engine());
        let promised = Promised::new(Arc::clone(&engine));
        async move {
            engine.alive.fetch_add(1, Ordering::SeqCst);
            let _alive = Alive::counted(&engine);
            drop(promised);
            let backend = Tasks::new(&engine);
            engine.serve(&backend).await;
        }
    }
}
