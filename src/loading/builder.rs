//! Setting up a cache that knows its loader.

use super::reload::Rules;
use super::{Inner, Loader, LoadingCache};
use crate::builder::{BuildError, Builder};
use crate::cache::load::drive::Request;
use crate::expiry::nanos;
use crate::hash::DefaultHashBuilder;
use crate::spawn::{Spawn, Worker};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

/// How long to wait after a reload has failed, unless the user says so.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl<K, V, S> Builder<K, V, S> {
    /// Makes a cache that loads what is missing with `load`, and can reload
    /// values before they expire. What concerns the cache itself is set before
    /// this, what concerns loading after it.
    ///
    /// ```
    /// use larder::Cache;
    ///
    /// let numbers = Cache::<String, u32>::builder()
    ///     .capacity(100)
    ///     .loader(|key: &String| key.parse::<u32>())
    ///     .build()?;
    /// assert_eq!(numbers.get_or_load("3").unwrap(), 3);
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn loader<E>(
        self,
        load: impl Fn(&K) -> Result<V, E> + Send + Sync + 'static,
    ) -> LoadingBuilder<K, V, E, S> {
        LoadingBuilder::new(self, Loader::Sync(Box::new(load)))
    }

    /// As [`loader`](Builder::loader), with an async function. Its future owns
    /// what it needs of the key.
    ///
    /// Reloads run where the [spawner](LoadingBuilder::spawner) says. Without
    /// one, larder's own thread drives the future, and knows no runtime: a
    /// future that needs one there fails.
    ///
    /// ```
    /// # pollster::block_on(async {
    /// use larder::Cache;
    ///
    /// let squares = Cache::<u64, u64>::builder()
    ///     .capacity(100)
    ///     .loader_async(|n: &u64| {
    ///         let n = *n;
    ///         async move { Ok::<_, std::fmt::Error>(n * n) }
    ///     })
    ///     .build()?;
    /// assert_eq!(squares.get_or_load_async(&3).await.unwrap(), 9);
    /// # Ok::<(), larder::BuildError>(())
    /// # }).unwrap();
    /// ```
    pub fn loader_async<E, F>(
        self,
        load: impl Fn(&K) -> F + Send + Sync + 'static,
    ) -> LoadingBuilder<K, V, E, S>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        LoadingBuilder::new(self, Loader::Async(Box::new(move |key| Box::pin(load(key)))))
    }
}

/// Sets up a [`LoadingCache`]. Made by [`Builder::loader`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct LoadingBuilder<K, V, E, S = DefaultHashBuilder> {
    builder: Builder<K, V, S>,
    loader: Loader<K, V, E>,
    refresh_after: Option<Duration>,
    early_refresh: Option<f64>,
    stale_if_error: Option<Duration>,
    negative_ttl: Option<Duration>,
    retry_after: Duration,
    spawner: Option<Box<dyn Spawn>>,
}

impl<K, V, E, S> LoadingBuilder<K, V, E, S> {
    fn new(builder: Builder<K, V, S>, loader: Loader<K, V, E>) -> Self {
        LoadingBuilder {
            builder,
            loader,
            refresh_after: None,
            early_refresh: None,
            stale_if_error: None,
            negative_ttl: None,
            retry_after: RETRY_AFTER,
            spawner: None,
        }
    }

    /// The first read of a value that is at least this old starts a reload in
    /// the background, and returns the value as it is. A value that nobody
    /// reads is not reloaded.
    ///
    /// # Cost
    /// A hit asks for the time and for the age of the value, which is a second
    /// look-up. An entry costs 32 bytes more.
    ///
    /// ```
    /// use larder::{Cache, Inline, ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let cache = Cache::<u64, String>::builder()
    ///     .capacity(100)
    ///     .time_to_live(Duration::from_secs(600))
    ///     .clock(clock.clone())
    ///     .loader(|key: &u64| Ok::<_, std::fmt::Error>(format!("loaded {key}")))
    ///     .refresh_after(Duration::from_secs(60))
    ///     .spawner(Inline)
    ///     .build()?;
    /// cache.insert(7, "inserted".to_owned());
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(cache.get_or_load(&7).unwrap(), "inserted");
    /// assert_eq!(cache.get_or_load(&7).unwrap(), "loaded 7");
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn refresh_after(mut self, age: Duration) -> Self {
        self.refresh_after = Some(age);
        self
    }

    /// Reloads values in the background at a random time shortly before they
    /// expire, so that not all readers meet the end of a value together: the
    /// XFetch algorithm (Vattani, Chierichetti, Lowenstein: Optimal
    /// Probabilistic Cache Stampede Prevention, VLDB 2015), with the measured
    /// time of the value's load as delta. The usual `beta` is 1; more of it
    /// reloads earlier.
    ///
    /// A value that was not loaded but inserted has no such time, and is left
    /// alone.
    ///
    /// ```
    /// use larder::Cache;
    /// use std::time::Duration;
    ///
    /// let cache = Cache::<u64, u64>::builder()
    ///     .capacity(100)
    ///     .time_to_live(Duration::from_secs(60))
    ///     .loader(|key: &u64| Ok::<_, std::fmt::Error>(key * key))
    ///     .early_refresh(1.0)
    ///     .build()?;
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn early_refresh(mut self, beta: f64) -> Self {
        self.early_refresh = Some(beta);
        self
    }

    /// For this long after a value has expired, it is returned if loading a
    /// newer one fails. It is invisible to everything else, and is kept until
    /// then if there is room.
    ///
    /// ```
    /// use larder::{Cache, ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let cache = Cache::<u64, u64>::builder()
    ///     .capacity(100)
    ///     .time_to_live(Duration::from_secs(60))
    ///     .clock(clock.clone())
    ///     .loader(|_: &u64| Err("the source is down"))
    ///     .stale_if_error(Duration::from_secs(600))
    ///     .build()?;
    /// cache.insert(7, 49);
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(cache.get(&7), None);
    /// assert_eq!(cache.get_or_load(&7).unwrap(), 49);
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn stale_if_error(mut self, grace: Duration) -> Self {
        self.stale_if_error = Some(grace);
        self
    }

    /// For how long a failure is remembered when there is no value; see
    /// [`Load::negative_ttl`](crate::Load::negative_ttl).
    ///
    /// ```
    /// use larder::Cache;
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use std::time::Duration;
    ///
    /// let calls = Arc::new(AtomicU32::new(0));
    /// let counter = Arc::clone(&calls);
    /// let cache = Cache::<u64, u64>::builder()
    ///     .capacity(100)
    ///     .loader(move |_: &u64| Err(counter.fetch_add(1, Ordering::Relaxed)))
    ///     .negative_ttl(Duration::from_secs(60))
    ///     .build()?;
    /// assert!(cache.get_or_load(&7).is_err());
    /// assert!(cache.get_or_load(&7).is_err());
    /// assert_eq!(calls.load(Ordering::Relaxed), 1);
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = Some(ttl);
        self
    }

    /// How long the next reload of a value waits after one has failed: one
    /// second, if this is not called, and twice as long after each further
    /// failure, up to 64 times as long.
    ///
    /// ```
    /// use larder::Cache;
    /// use std::time::Duration;
    ///
    /// let cache = Cache::<u64, u64>::builder()
    ///     .capacity(100)
    ///     .loader(|key: &u64| Ok::<_, std::fmt::Error>(key * key))
    ///     .refresh_after(Duration::from_secs(60))
    ///     .retry_after(Duration::from_secs(5))
    ///     .build()?;
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = pause;
        self
    }

    /// Where reloads run: on the user's runtime, or [`Inline`](crate::Inline).
    /// Without this, on one thread of the cache's own, which is started by the
    /// first reload, runs one after the other, and ends with the last handle.
    ///
    /// ```
    /// use larder::{Cache, Task};
    ///
    /// let cache = Cache::<u64, u64>::builder()
    ///     .capacity(100)
    ///     .loader(|key: &u64| Ok::<_, std::fmt::Error>(key * key))
    ///     .spawner(|task: Task| drop(std::thread::spawn(|| pollster::block_on(task))))
    ///     .build()?;
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn spawner(mut self, spawner: impl Spawn + 'static) -> Self {
        self.spawner = Some(Box::new(spawner));
        self
    }

    /// Makes the cache.
    ///
    /// # Errors
    /// As [`Builder::build`], and [`BuildError::BetaOutOfRange`].
    ///
    /// ```
    /// use larder::{BuildError, Cache};
    ///
    /// let cache = Cache::<u64, u64>::builder()
    ///     .capacity(100)
    ///     .loader(|key: &u64| Ok::<_, std::fmt::Error>(*key))
    ///     .early_refresh(-1.0)
    ///     .build();
    /// assert_eq!(cache.unwrap_err(), BuildError::BetaOutOfRange { given: "-1".to_owned() });
    /// ```
    pub fn build(mut self) -> Result<LoadingCache<K, V, E, S>, BuildError>
    where
        K: Hash + Eq,
        S: BuildHasher,
    {
        let beta = self.early_refresh.unwrap_or(0.0);
        if !(0.0..f64::INFINITY).contains(&beta) {
            return Err(BuildError::BetaOutOfRange { given: beta.to_string() });
        }
        let rules = Rules {
            refresh_after: self.refresh_after.map_or(u64::MAX, nanos),
            beta,
            serves_stale: self.stale_if_error.is_some(),
        };
        let reloads = self.refresh_after.is_some() || self.early_refresh.is_some();
        self.builder.keeps_ages = reloads || rules.serves_stale;
        self.builder.grace = self.stale_if_error.unwrap_or_default();
        self.builder.retry_after = self.retry_after;
        let request = Request { negative_ttl: self.negative_ttl, ..Request::default() };
        let (loader, spawner) = (self.loader, self.spawner);
        let (cache, worker) = (self.builder.build()?, Worker::default());
        let inner = Inner { cache, loader, request, rules, spawner, worker };
        Ok(LoadingCache { inner: Arc::new(inner) })
    }
}

impl<K, V, E, S> fmt::Debug for LoadingBuilder<K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadingBuilder")
            .field("builder", &self.builder)
            .field("refresh_after", &self.refresh_after)
            .field("early_refresh", &self.early_refresh)
            .field("stale_if_error", &self.stale_if_error)
            .field("negative_ttl", &self.negative_ttl)
            .field("retry_after", &self.retry_after)
            .finish_non_exhaustive()
    }
}
