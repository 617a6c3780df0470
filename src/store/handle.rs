//! The handle, and its methods for threads.

use super::back::flusher::Step;
use super::backend::Blocking;
use super::builder::StoreBuilder;
use super::engine::{Engine, Parts};
use super::errors::{CloseReport, FailedWrite, FlushError, FlushReport, ReadError, WriteError};
use super::policy::WritePolicy;
use super::stats::StoreStats;
use super::traits::{Loader, Store};
use super::{StoreKey, StoreValue};
use crate::cache::{Cache, EntryOptions};
use crate::expiry::{SystemClock, until};
use crate::hash::DefaultHashBuilder;
use crate::sync::thread::{self, JoinHandle};
use crate::wait::{block_on, deadline_in};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A cache in front of a store; see the [module](crate::store).
///
/// The handle is cheap to clone, and every clone is the same cache. Methods
/// that end in `_async` are for an [`AsyncStore`](crate::store::AsyncStore), the
/// others for a [`Store`].
///
/// With [`WritePolicy::Back`], dropping the last handle stores what is left,
/// for as long as [`drop_deadline`](crate::store::WriteBack::drop_deadline)
/// says; the rest is told to the dead-letter callback. To see what came of it,
/// [`close`](StoreCache::close) first.
///
/// ```
/// use larder::Cache;
/// use larder::store::{StoreCache, from_fn};
///
/// let squares = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
/// let cache = StoreCache::new(Cache::new(100), squares);
/// assert_eq!(cache.get(&12).unwrap(), Some(144));
/// assert_eq!(cache.cache().get(&12), Some(144), "it is cached now");
/// ```
pub struct StoreCache<K, V, St, S = DefaultHashBuilder> {
    handle: Arc<Handle<K, V, St, S>>,
}

pub(super) type End<K, V, St, S> = fn(&Engine<K, V, St, S>);

/// What goes with the last handle.
pub(super) struct Handle<K, V, St, S> {
    pub(super) engine: Arc<Engine<K, V, St, S>>,
    pub(super) end: Option<End<K, V, St, S>>,
    pub(super) workers: Vec<JoinHandle<()>>,
}

impl<K, V, St, S> Drop for Handle<K, V, St, S> {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            end(&self.engine);
        }
        let me = thread::current().id();
        let is_deserted = self.engine.alive.load(Ordering::SeqCst) == 0;
        for worker in self.workers.drain(..) {
            // They have nothing left to do but to end; one whose call of the
            // store hangs is left behind.
            if is_deserted && worker.thread().id() != me {
                let _ = worker.join();
            }
        }
    }
}

impl<K, V, St, S> Clone for StoreCache<K, V, St, S> {
    fn clone(&self) -> Self {
        StoreCache { handle: Arc::clone(&self.handle) }
    }
}

impl<K, V, St, S> StoreCache<K, V, St, S> {
    pub(super) fn from_handle(handle: Handle<K, V, St, S>) -> Self {
        StoreCache { handle: Arc::new(handle) }
    }

    pub(super) fn engine(&self) -> &Arc<Engine<K, V, St, S>> {
        &self.handle.engine
    }

    /// Sets up a cache over a store: with a policy, callbacks and more.
    ///
    /// ```
    /// use larder::Cache;
    /// use larder::store::{StoreCache, WritePolicy, from_fn};
    ///
    /// let squares = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
    /// let memory = Cache::<u64, u64>::new(100);
    /// let builder = StoreCache::builder(memory, squares).policy(WritePolicy::Around);
    /// # let _ = builder;
    /// ```
    pub fn builder(cache: Cache<K, V, S>, store: St) -> StoreBuilder<K, V, St, S> {
        StoreBuilder::new(cache, store)
    }

    /// The cache itself: to invalidate, to see what it holds, to change its
    /// bounds.
    ///
    /// What is inserted or removed there does not reach the store, and while a
    /// write of the same key waits to be stored, readers do not see it.
    ///
    /// ```
    /// use larder::Cache;
    /// use larder::store::{StoreCache, from_fn};
    ///
    /// let squares = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
    /// let cache = StoreCache::new(Cache::new(100), squares);
    /// cache.get(&12).unwrap();
    /// cache.cache().invalidate(&12);
    /// assert_eq!(cache.cache().len(), 0);
    /// ```
    #[must_use]
    pub fn cache(&self) -> &Cache<K, V, S> {
        &self.handle.engine.cache
    }

    /// The store. What is written there directly, the cache does not know of.
    ///
    /// ```
    /// use larder::Cache;
    /// use larder::store::{Loader, StoreCache, from_fn};
    ///
    /// let squares = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
    /// let cache = StoreCache::new(Cache::new(100), squares);
    /// assert_eq!(cache.store().load(&12), Ok(Some(144)));
    /// # let _: Option<u64> = cache.get(&1).unwrap();
    /// ```
    #[must_use]
    pub fn store(&self) -> &St {
        &self.handle.engine.store
    }
}

/// For every store.
impl<K: StoreKey, V: StoreValue, St, S: BuildHasher> StoreCache<K, V, St, S> {
    /// A cache over `store`, with write-through.
    ///
    /// ```
    /// use larder::Cache;
    /// use larder::store::{StoreCache, from_fn};
    ///
    /// let squares = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
    /// let cache = StoreCache::new(Cache::new(100), squares);
    /// assert_eq!(cache.get(&12).unwrap(), Some(144));
    /// ```
    #[must_use]
    pub fn new(cache: Cache<K, V, S>, store: St) -> Self {
        let engine = Engine::new(Parts {
            cache,
            store,
            policy: WritePolicy::Through,
            negative_ttl: None,
            journal: None,
            clock: Box::new(SystemClock::default()),
            dead_letter: None,
        });
        let handle = Handle { engine: Arc::new(engine), end: None, workers: Vec::new() };
        StoreCache::from_handle(handle)
    }

    /// What it has done, and what waits to be stored.
    ///
    /// # Cost
    /// That of [`Cache::stats`], and O(keys that wait to be stored).
    ///
    /// ```
    /// use larder::Cache;
    /// use larder::store::{StoreCache, from_fn};
    ///
    /// let squares = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
    /// let cache = StoreCache::new(Cache::new(100), squares);
    /// cache.get(&12).unwrap();
    /// assert_eq!(cache.stats().load_calls, 1);
    /// ```
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let engine = self.engine();
        let now = engine.now();
        let (counts, dirty, failed, since) = engine.visit(|state| {
            let queue = &state.queue;
            (queue.counts, queue.dirty(), queue.failed_len(), queue.oldest_since())
        });
        StoreStats {
            cache: engine.cache.stats(),
            load_calls: engine.calls.loads.load(Ordering::Relaxed),
            write_calls: engine.calls.writes.load(Ordering::Relaxed),
            writes: counts.writes,
            coalesced: counts.coalesced,
            stored: counts.stored,
            failures: counts.failures,
            dead_letters: counts.dead,
            dirty: dirty as u64,
            dirty_age: since.map_or(Duration::ZERO, |since| until(now, since)),
            failed: failed as u64,
            callback_panics: engine.calls.listener_panics.load(Ordering::Relaxed),
        }
    }

    /// Writes that were given up, oldest first. They are still what readers
    /// see, and count towards
    /// [`max_dirty`](crate::store::WriteBack::max_dirty), until they are
    /// written anew, [retried](StoreCache::retry_failed) or
    /// [discarded](StoreCache::discard_failed).
    ///
    /// ```
    /// use larder::Cache;
    /// use larder::store::{StoreCache, from_fn};
    ///
    /// let squares = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
    /// let cache = StoreCache::new(Cache::new(100), squares);
    /// assert!(cache.failed().is_empty());
    /// # let _: Option<u64> = cache.get(&1).unwrap();
    /// ```
    #[must_use]
    pub fn failed(&self) -> Vec<FailedWrite<K, V>> {
        self.engine().visit(|state| state.queue.failed())
    }

    /// Gives each of them another
    /// [`max_attempts`](crate::store::WriteBack::max_attempts), at once. How
    /// many there were; none if the cache is closed.
    ///
    /// ```
    /// use larder::Cache;
    /// use larder::store::{StoreCache, from_fn};
    ///
    /// let squares = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
    /// let cache = StoreCache::new(Cache::new(100), squares);
    /// assert_eq!(cache.retry_failed(), 0);
    /// # let _: Option<u64> = cache.get(&1).unwrap();
    /// ```
    pub fn retry_failed(&self) -> usize {
        let engine = self.engine();
        let now = engine.now();
        engine.visit(|state| {
            state.ring_workers();
            state.queue.retry_failed(now)
        })
    }

    /// Gives them up for good, and returns them. The cache forgets their keys,
    /// so readers see what the store has.
    ///
    /// ```
    /// use larder::Cache;
    /// use larder::store::{StoreCache, from_fn};
    ///
    /// let squares = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
    /// let cache = StoreCache::new(Cache::new(100), squares);
    /// assert!(cache.discard_failed().is_empty());
    /// # let _: Option<u64> = cache.get(&1).unwrap();
    /// ```
    pub fn discard_failed(&self) -> Vec<FailedWrite<K, V>> {
        self.engine().discard_failed()
    }
}

/// Reading, for threads.
impl<K: StoreKey, V: StoreValue, St, S> StoreCache<K, V, St, S>
where
    St: Loader<K, V>,
    S: BuildHasher,
{
    /// The value of `key`: what was written last, else what is cached, else
    /// what the store has. `None` if it has none.
    ///
    /// # Errors
    /// [`ReadError`], if the store was asked and has no answer.
    ///
    /// # Panics
    /// If the store does, and it was this call that asked it.
    ///
    /// ```
    /// use larder::Cache;
    /// use larder::store::{StoreCache, from_fn};
    ///
    /// let squares = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
    /// let cache = StoreCache::new(Cache::new(100), squares);
    /// assert_eq!(cache.get(&12).unwrap(), Some(144));
    /// ```
    pub fn get(&self, key: &K) -> Result<Option<V>, ReadError<St::Error>> {
        self.engine().get(key)
    }

    /// The values of `keys`, in their order; the store is asked once for all
    /// that are missing.
    ///
    /// # Errors
    /// As [`get`](StoreCache::get), if any of them is missing.
    ///
    /// # Panics
    /// As [`get`](StoreCache::get), and if
    /// [`load_many`](Loader::load_many) does not return one answer for each
    /// key.
    ///
    /// ```
    /// use larder::Cache;
    /// use larder::store::{StoreCache, from_fn};
    ///
    /// let squares = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
    /// let cache = StoreCache::new(Cache::new(100), squares);
    /// assert_eq!(cache.get_many(&[1, 2, 3]).unwrap(), [Some(1), Some(4), Some(9)]);
    /// ```
    pub fn get_many(&self, keys: &[K]) -> Result<Vec<Option<V>>, ReadError<St::Error>> {
        self.engine().get_many(keys)
    }
}

/// Writing, for threads.
impl<K: StoreKey, V: StoreValue, St, S> StoreCache<K, V, St, S>
where
    St: Store<K, V>,
    S: BuildHasher + Send + Sync,
{
    /// Writes `value` under `key`, as the [policy](WritePolicy) says. When it
    /// returns, reads see the value.
    ///
    /// # Errors
    /// [`WriteError`]. Unless it says otherwise, nothing has changed.
    ///
    /// # Panics
    /// If the store does, where the policy calls it; the cache has then
    /// forgotten the key.
    ///
    /// ```
    /// # use larder::store::{Loader, Store};
    /// # struct Nothing;
    /// # impl Loader<u64, u64> for Nothing {
    /// #     type Error = String;
    /// #     fn load(&self, _: &u64) -> Result<Option<u64>, String> { Ok(None) }
    /// # }
    /// # impl Store<u64, u64> for Nothing {
    /// #     fn write(&self, _: &u64, _: &u64) -> Result<(), String> { Ok(()) }
    /// #     fn delete(&self, _: &u64) -> Result<(), String> { Ok(()) }
    /// # }
    /// # let store = Nothing;
    /// let cache = larder::store::StoreCache::new(larder::Cache::new(100), store);
    /// cache.put(7, 49).unwrap();
    /// assert_eq!(cache.get(&7).unwrap(), Some(49));
    /// ```
    pub fn put(&self, key: K, value: V) -> Result<(), WriteError<St::Error>> {
        self.change(key, Some(value), EntryOptions::new())
    }

    /// Like [`put`](StoreCache::put), with settings for the cached entry.
    ///
    /// ```
    /// # use larder::store::{Loader, Store};
    /// # struct Nothing;
    /// # impl Loader<u64, u64> for Nothing {
    /// #     type Error = String;
    /// #     fn load(&self, _: &u64) -> Result<Option<u64>, String> { Ok(None) }
    /// # }
    /// # impl Store<u64, u64> for Nothing {
    /// #     fn write(&self, _: &u64, _: &u64) -> Result<(), String> { Ok(()) }
    /// #     fn delete(&self, _: &u64) -> Result<(), String> { Ok(()) }
    /// # }
    /// # let store = Nothing;
    /// use larder::EntryOptions;
    ///
    /// let cache = larder::store::StoreCache::new(larder::Cache::new(100), store);
    /// cache.put_with(7, 49, EntryOptions::new().tag("squares")).unwrap();
    /// cache.cache().invalidate_tag("squares");
    /// assert_eq!(cache.cache().get(&7), None);
    /// ```
    ///
    /// # Errors
    /// As [`put`](StoreCache::put).
    pub fn put_with(
        &self,
        key: K,
        value: V,
        options: EntryOptions,
    ) -> Result<(), WriteError<St::Error>> {
        self.change(key, Some(value), options)
    }

    /// Writes all of `entries`, with as few calls of the store as the policy
    /// allows. Each has its own outcome, in order; of several with one key, the
    /// last is written.
    ///
    /// # Panics
    /// As [`put`](StoreCache::put).
    ///
    /// ```
    /// # use larder::store::{Loader, Store};
    /// # struct Nothing;
    /// # impl Loader<u64, u64> for Nothing {
    /// #     type Error = String;
    /// #     fn load(&self, _: &u64) -> Result<Option<u64>, String> { Ok(None) }
    /// # }
    /// # impl Store<u64, u64> for Nothing {
    /// #     fn write(&self, _: &u64, _: &u64) -> Result<(), String> { Ok(()) }
    /// #     fn delete(&self, _: &u64) -> Result<(), String> { Ok(()) }
    /// # }
    /// # let store = Nothing;
    /// let cache = larder::store::StoreCache::new(larder::Cache::new(100), store);
    /// let outcomes = cache.put_many(vec![(7, 49), (8, 64)]);
    /// assert!(outcomes.iter().all(Result::is_ok));
    /// ```
    pub fn put_many(&self, entries: Vec<(K, V)>) -> Vec<Result<(), WriteError<St::Error>>> {
        let backend = Blocking::new(self.store());
        block_on(self.engine().put_many(&backend, entries), backend.thread_alarm())
    }

    /// Deletes `key`, as the [policy](WritePolicy) says.
    ///
    /// # Errors
    /// As [`put`](StoreCache::put).
    ///
    /// # Panics
    /// As [`put`](StoreCache::put).
    ///
    /// ```
    /// # use larder::store::{Loader, Store};
    /// # struct Nothing;
    /// # impl Loader<u64, u64> for Nothing {
    /// #     type Error = String;
    /// #     fn load(&self, _: &u64) -> Result<Option<u64>, String> { Ok(None) }
    /// # }
    /// # impl Store<u64, u64> for Nothing {
    /// #     fn write(&self, _: &u64, _: &u64) -> Result<(), String> { Ok(()) }
    /// #     fn delete(&self, _: &u64) -> Result<(), String> { Ok(()) }
    /// # }
    /// # let store = Nothing;
    /// let cache = larder::store::StoreCache::new(larder::Cache::new(100), store);
    /// cache.put(7, 49).unwrap();
    /// cache.delete(7).unwrap();
    /// assert_eq!(cache.get(&7).unwrap(), None);
    /// ```
    pub fn delete(&self, key: K) -> Result<(), WriteError<St::Error>> {
        self.change(key, None, EntryOptions::new())
    }

    fn change(
        &self,
        key: K,
        change: Option<V>,
        options: EntryOptions,
    ) -> Result<(), WriteError<St::Error>> {
        let backend = Blocking::new(self.store());
        block_on(self.engine().change(&backend, key, change, options), backend.thread_alarm())
    }

    /// Returns when every write made before this call is stored or has ended
    /// in the failed set, and says which did. With another policy than
    /// [`Back`](WritePolicy::Back), that is at once.
    ///
    /// If the store is down, that takes as long as
    /// [`max_attempts`](crate::store::WriteBack::max_attempts) do.
    ///
    /// ```
    /// # use larder::store::{Loader, Store};
    /// # struct Nothing;
    /// # impl Loader<u64, u64> for Nothing {
    /// #     type Error = String;
    /// #     fn load(&self, _: &u64) -> Result<Option<u64>, String> { Ok(None) }
    /// # }
    /// # impl Store<u64, u64> for Nothing {
    /// #     fn write(&self, _: &u64, _: &u64) -> Result<(), String> { Ok(()) }
    /// #     fn delete(&self, _: &u64) -> Result<(), String> { Ok(()) }
    /// # }
    /// # let store = Nothing;
    /// use larder::store::{StoreCache, WriteBack, WritePolicy};
    ///
    /// let cache = StoreCache::builder(larder::Cache::new(100), store)
    ///     .policy(WritePolicy::Back(WriteBack::new()))
    ///     .build()?;
    /// cache.put(7, 49).unwrap();
    /// assert!(cache.flush().failed.is_empty());
    /// assert_eq!(cache.stats().dirty, 0);
    /// # Ok::<(), larder::store::BuildStoreError>(())
    /// ```
    pub fn flush(&self) -> FlushReport<K> {
        let flushed = self.flush_until(None, None);
        flushed.unwrap_or_else(|error| unreachable!("without a deadline, {error}"))
    }

    /// [`flush`](StoreCache::flush) for one key.
    ///
    /// ```
    /// # use larder::store::{Loader, Store};
    /// # struct Nothing;
    /// # impl Loader<u64, u64> for Nothing {
    /// #     type Error = String;
    /// #     fn load(&self, _: &u64) -> Result<Option<u64>, String> { Ok(None) }
    /// # }
    /// # impl Store<u64, u64> for Nothing {
    /// #     fn write(&self, _: &u64, _: &u64) -> Result<(), String> { Ok(()) }
    /// #     fn delete(&self, _: &u64) -> Result<(), String> { Ok(()) }
    /// # }
    /// # let store = Nothing;
    /// let cache = larder::store::StoreCache::new(larder::Cache::new(100), store);
    /// cache.put(7, 49).unwrap();
    /// assert!(cache.flush_key(&7).failed.is_empty());
    /// ```
    pub fn flush_key(&self, key: &K) -> FlushReport<K> {
        let flushed = self.flush_until(Some(key), None);
        flushed.unwrap_or_else(|error| unreachable!("without a deadline, {error}"))
    }

    /// [`flush`](StoreCache::flush), for as long as `timeout` at the most.
    ///
    /// # Errors
    /// [`FlushError::TimedOut`]; what was not stored goes on being tried.
    ///
    /// ```
    /// # use larder::store::{Loader, Store};
    /// # struct Nothing;
    /// # impl Loader<u64, u64> for Nothing {
    /// #     type Error = String;
    /// #     fn load(&self, _: &u64) -> Result<Option<u64>, String> { Ok(None) }
    /// # }
    /// # impl Store<u64, u64> for Nothing {
    /// #     fn write(&self, _: &u64, _: &u64) -> Result<(), String> { Ok(()) }
    /// #     fn delete(&self, _: &u64) -> Result<(), String> { Ok(()) }
    /// # }
    /// # let store = Nothing;
    /// use std::time::Duration;
    ///
    /// let cache = larder::store::StoreCache::new(larder::Cache::new(100), store);
    /// cache.put(7, 49).unwrap();
    /// cache.flush_timeout(Duration::from_secs(1)).unwrap();
    /// ```
    pub fn flush_timeout(&self, timeout: Duration) -> Result<FlushReport<K>, FlushError> {
        self.flush_until(None, Some(timeout))
    }

    fn flush_until(
        &self,
        key: Option<&K>,
        timeout: Option<Duration>,
    ) -> Result<FlushReport<K>, FlushError> {
        let backend = Blocking::new(self.store());
        let deadline = timeout.and_then(deadline_in);
        block_on(self.engine().flush(&backend, key, deadline), backend.thread_alarm())
    }

    /// Writes what is due, on this thread, and returns how many batches that
    /// were. Only of use with
    /// [`workers(0)`](crate::store::WriteBack::workers), where nobody else
    /// does it.
    ///
    /// ```
    /// # use larder::store::{Loader, Store};
    /// # struct Nothing;
    /// # impl Loader<u64, u64> for Nothing {
    /// #     type Error = String;
    /// #     fn load(&self, _: &u64) -> Result<Option<u64>, String> { Ok(None) }
    /// # }
    /// # impl Store<u64, u64> for Nothing {
    /// #     fn write(&self, _: &u64, _: &u64) -> Result<(), String> { Ok(()) }
    /// #     fn delete(&self, _: &u64) -> Result<(), String> { Ok(()) }
    /// # }
    /// # let store = Nothing;
    /// use larder::store::{StoreCache, WriteBack, WritePolicy};
    /// use std::time::Duration;
    ///
    /// let settings = WriteBack::new().workers(0).delay(Duration::ZERO);
    /// let cache = StoreCache::builder(larder::Cache::new(100), store)
    ///     .policy(WritePolicy::Back(settings))
    ///     .build()?;
    /// cache.put(7, 49).unwrap();
    /// assert_eq!(cache.run_due(), 1);
    /// # Ok::<(), larder::store::BuildStoreError>(())
    /// ```
    pub fn run_due(&self) -> usize {
        let backend = Blocking::new(self.store());
        let mut batches = 0;
        while let Step::Worked = block_on(self.engine().step(&backend), backend.thread_alarm()) {
            batches += 1;
        }
        batches
    }

    /// Flushes for as long as `deadline` at the most, and ends the workers.
    /// Every later write fails with [`WriteError::Closed`]; reads go on. What
    /// could not be stored is in the report, is told to the dead-letter
    /// callback, and stays in a journal.
    ///
    /// What was about to be tried again is tried at once, and then as
    /// scheduled. Closing again returns the first report.
    ///
    /// ```
    /// # use larder::store::{Loader, Store};
    /// # struct Nothing;
    /// # impl Loader<u64, u64> for Nothing {
    /// #     type Error = String;
    /// #     fn load(&self, _: &u64) -> Result<Option<u64>, String> { Ok(None) }
    /// # }
    /// # impl Store<u64, u64> for Nothing {
    /// #     fn write(&self, _: &u64, _: &u64) -> Result<(), String> { Ok(()) }
    /// #     fn delete(&self, _: &u64) -> Result<(), String> { Ok(()) }
    /// # }
    /// # let store = Nothing;
    /// use larder::store::{StoreCache, WriteBack, WriteError, WritePolicy};
    /// use std::time::Duration;
    ///
    /// let cache = StoreCache::builder(larder::Cache::new(100), store)
    ///     .policy(WritePolicy::Back(WriteBack::new()))
    ///     .build()?;
    /// cache.put(7, 49).unwrap();
    /// assert!(cache.close(Duration::from_secs(5)).is_clean());
    /// assert!(matches!(cache.put(8, 64), Err(WriteError::Closed)));
    /// # Ok::<(), larder::store::BuildStoreError>(())
    /// ```
    pub fn close(&self, deadline: Duration) -> CloseReport<K> {
        let backend = Blocking::new(self.store());
        let deadline = deadline_in(deadline);
        block_on(self.engine().close(&backend, deadline), backend.thread_alarm())
    }
}

impl<K: StoreKey, V: StoreValue, St: Sync, S: BuildHasher + Send + Sync> Engine<K, V, St, S> {
    pub(super) async fn change<B>(
        &self,
        backend: &B,
        key: K,
        change: Option<V>,
        options: EntryOptions,
    ) -> Result<(), WriteError<B::Error>>
    where
        B: super::backend::Backend<K, V>,
    {
        match &self.policy {
            WritePolicy::Through => self.put_through(backend, key, (change, options)).await,
            WritePolicy::Around => self.put_around(backend, key, change).await,
            WritePolicy::Back(settings) => {
                self.put_back(backend, settings, (key, change, options)).await
            }
        }
    }
}

impl<K, V, St, S> fmt::Debug for StoreCache<K, V, St, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = &self.handle.engine.policy;
        f.debug_struct("StoreCache").field("policy", policy).finish_non_exhaustive()
    }
}
