//! Setting up a cache over a store.

use super::back::flusher::Alive;
use super::backend::Blocking;
use super::engine::{DeadLetter, Engine, Parts};
use super::errors::{BuildStoreError, FailedWrite};
use super::handle::{End, Handle, StoreCache};
use super::journal::Log;
use super::policy::WritePolicy;
use super::traits::{AsyncStore, Store};
use super::{StoreKey, StoreValue};
use crate::cache::Cache;
use crate::expiry::{Clock, SystemClock};
use crate::hash::DefaultHashBuilder;
use crate::sync::thread;
use crate::wait::{block_on, deadline_in};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What a journal has kept for a cache: where to write on, and the writes of
/// an earlier process.
pub(crate) struct Journaled<K, V> {
    pub(crate) log: Box<dyn Log<K, V>>,
    pub(crate) kept: Vec<(K, u64, Option<V>)>,
}

/// Sets up a [`StoreCache`]. Made by [`StoreCache::builder`]; setters only set.
///
/// ```
/// use larder::Cache;
/// use larder::store::{StoreCache, WritePolicy};
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
/// let cache = StoreCache::builder(Cache::new(100), store)
///     .policy(WritePolicy::Around)
///     .build()?;
/// # let _: StoreCache<u64, u64, _> = cache;
/// # Ok::<(), larder::store::BuildStoreError>(())
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct StoreBuilder<K, V, St, S = DefaultHashBuilder> {
    cache: Cache<K, V, S>,
    store: St,
    policy: WritePolicy,
    negative_ttl: Option<Duration>,
    clock: Option<Box<dyn Clock>>,
    dead_letter: Option<DeadLetter<K, V>>,
    journal: Option<Journaled<K, V>>,
}

impl<K, V, St, S> StoreBuilder<K, V, St, S> {
    pub(super) fn new(cache: Cache<K, V, S>, store: St) -> Self {
        StoreBuilder {
            cache,
            store,
            policy: WritePolicy::default(),
            negative_ttl: None,
            clock: None,
            dead_letter: None,
            journal: None,
        }
    }

    /// When writes reach the store; [`WritePolicy::Through`] if not set.
    ///
    /// ```
    /// use larder::store::{StoreCache, WritePolicy, from_fn};
    ///
    /// let store = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
    /// let builder = StoreCache::builder(larder::Cache::<u64, u64>::new(100), store)
    ///     .policy(WritePolicy::Around);
    /// # let _ = builder;
    /// ```
    pub fn policy(mut self, policy: WritePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// For how long it is remembered that the store has no value for a key.
    /// Not at all, if not set.
    ///
    /// ```
    /// use larder::store::{StoreCache, from_fn};
    /// use std::time::{Duration, Instant};
    ///
    /// let store = from_fn(|n: &u64| Ok::<_, String>(n.checked_sub(1)));
    /// let builder = StoreCache::builder(larder::Cache::<u64, u64>::new(100), store)
    ///     .negative_ttl(Duration::from_secs(1));
    /// # let _ = builder;
    /// ```
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = Some(ttl);
        self
    }

    /// Takes the time of delays and back-offs from `clock`, in tests from a
    /// [`ManualClock`](crate::ManualClock). Timeouts and deadlines are by the
    /// system's.
    ///
    /// ```
    /// use larder::ManualClock;
    /// use larder::store::{StoreCache, from_fn};
    ///
    /// let store = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
    /// let builder =
    ///     StoreCache::builder(larder::Cache::<u64, u64>::new(100), store).clock(ManualClock::new());
    /// # let _ = builder;
    /// ```
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Some(Box::new(clock));
        self
    }

    /// Calls `tell` with every write that is given up: after `max_attempts`,
    /// and what is left when the cache is closed. Without a lock, on the thread
    /// that gave up. If it panics, that is counted.
    ///
    /// It should not hold a handle of this cache: the last handle could then
    /// never be dropped.
    ///
    /// ```
    /// use larder::store::{StoreCache, from_fn};
    ///
    /// let store = from_fn(|n: &u64| Ok::<_, String>(Some(n * n)));
    /// let builder = StoreCache::builder(larder::Cache::<u64, u64>::new(100), store)
    ///     .on_dead_letter(|write| eprintln!("{} is lost: {}", write.key, write.failure));
    /// # let _ = builder;
    /// ```
    pub fn on_dead_letter(
        mut self,
        tell: impl Fn(FailedWrite<K, V>) + Send + Sync + 'static,
    ) -> Self {
        self.dead_letter = Some(Box::new(tell));
        self
    }

    #[cfg(feature = "journal")]
    pub(super) fn journaled(mut self, journal: Journaled<K, V>) -> Self {
        self.journal = Some(journal);
        self
    }
}

impl<K: StoreKey, V: StoreValue, St, S> StoreBuilder<K, V, St, S>
where
    St: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// A cache over a store for threads. With
    /// [`WritePolicy::Back`], its workers start.
    ///
    /// # Errors
    /// [`BuildStoreError`], which says what is wrong with which setting.
    ///
    /// ```
    /// use larder::store::{BuildStoreError, StoreCache, WriteBack, WritePolicy};
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
    /// let none = StoreCache::<u64, u64, _>::builder(larder::Cache::new(100), store)
    ///     .policy(WritePolicy::Back(WriteBack::new().batch(0)))
    ///     .build();
    /// assert_eq!(none.unwrap_err(), BuildStoreError::BatchIsZero);
    /// ```
    pub fn build(self) -> Result<StoreCache<K, V, St, S>, BuildStoreError>
    where
        St: Store<K, V>,
    {
        let engine = self.engine()?;
        let mut workers = Vec::new();
        let mut end: Option<End<K, V, St, S>> = None;
        if let WritePolicy::Back(settings) = &engine.policy {
            end = Some(close_blocking);
            for _ in 0..settings.workers {
                workers.push(start(&engine)?);
            }
        }
        Ok(StoreCache::from_handle(Handle { engine, end, workers }))
    }

    /// A cache over a store for tasks. With [`WritePolicy::Back`], at least one
    /// [`flusher`](StoreCache::flusher) has to be spawned.
    ///
    /// # Errors
    /// As [`build`](StoreBuilder::build).
    ///
    /// ```
    /// use larder::store::{StoreCache, WritePolicy};
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
    /// # let store = Nothing;
    /// let cache: StoreCache<u64, u64, _> = StoreCache::builder(larder::Cache::new(100), store)
    ///     .policy(WritePolicy::Through)
    ///     .build_async()?;
    /// # Ok::<(), larder::store::BuildStoreError>(())
    /// ```
    pub fn build_async(self) -> Result<StoreCache<K, V, St, S>, BuildStoreError>
    where
        St: AsyncStore<K, V>,
    {
        let engine = self.engine()?;
        let end: Option<End<K, V, St, S>> = match engine.policy {
            WritePolicy::Back(_) => Some(orphan),
            _ => None,
        };
        Ok(StoreCache::from_handle(Handle { engine, end, workers: Vec::new() }))
    }

    fn engine(self) -> Result<Arc<Engine<K, V, St, S>>, BuildStoreError> {
        match &self.policy {
            WritePolicy::Back(settings) => settings.check()?,
            _ if self.journal.is_some() => return Err(BuildStoreError::JournalWithoutWriteBack),
            _ => {}
        }
        let (journal, kept) = match self.journal {
            Some(Journaled { log, kept }) => (Some(log), kept),
            None => (None, Vec::new()),
        };
        let engine = Engine::new(Parts {
            cache: self.cache,
            store: self.store,
            policy: self.policy,
            negative_ttl: self.negative_ttl,
            journal,
            clock: self.clock.unwrap_or_else(|| Box::new(SystemClock::default())),
            dead_letter: self.dead_letter,
        });
        let now = engine.now();
        for (key, version, change) in kept {
            let mut key = engine.named(key);
            engine.visit(|state| state.queue.restore(&mut key, version, change, now));
            // The cache may have been filled before.
            engine.cache.invalidate(&*key);
        }
        Ok(Arc::new(engine))
    }
}

/// A worker on a thread of its own.
fn start<K, V, St, S>(
    engine: &Arc<Engine<K, V, St, S>>,
) -> Result<thread::JoinHandle<()>, BuildStoreError>
where
    K: StoreKey,
    V: StoreValue,
    St: Store<K, V> + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    let engine = Arc::clone(engine);
    engine.alive.fetch_add(1, Ordering::SeqCst);
    let counted = Arc::clone(&engine);
    let run = move || {
        let _alive = Alive::counted(&engine);
        let backend = Blocking::new(&engine.store);
        block_on(engine.serve(&backend), backend.thread_alarm());
    };
    let started = thread::Builder::new().name("larder-flusher".to_owned()).spawn(run);
    started.map_err(|error| {
        counted.alive.fetch_sub(1, Ordering::SeqCst);
        // The workers that did start shall end.
        counted.end();
        BuildStoreError::ThreadNotStarted { reason: error.to_string() }
    })
}

/// What the drop of the last handle does, over a store for threads.
fn close_blocking<K, V, St, S>(engine: &Engine<K, V, St, S>)
where
    K: StoreKey,
    V: StoreValue,
    St: Store<K, V>,
    S: BuildHasher + Send + Sync,
{
    let WritePolicy::Back(settings) = &engine.policy else { return };
    let deadline = deadline_in(settings.drop_deadline);
    let backend = Blocking::new(&engine.store);
    let closing = async {
        engine.close(&backend, deadline).await;
        engine.deserted(&backend, deadline).await;
    };
    block_on(closing, backend.thread_alarm());
}

/// What the drop of the last handle does, over a store for tasks: it can not
/// wait, so the flushers have until the deadline.
fn orphan<K: StoreKey, V: StoreValue, St, S>(engine: &Engine<K, V, St, S>) {
    let WritePolicy::Back(settings) = &engine.policy else { return };
    // Too far off to say is a year, for a process that is about to end.
    let deadline = deadline_in(settings.drop_deadline);
    engine.orphan(deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(31_536_000)));
}

impl<K, V, St, S> fmt::Debug for StoreBuilder<K, V, St, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreBuilder").field("policy", &self.policy).finish_non_exhaustive()
    }
}
