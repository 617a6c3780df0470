//! One load, with settings of its own.

use super::drive::{Request, Turn};
use super::{LoadError, RECURSION, ToKey};
use crate::cache::{Cache, EntryOptions};
use crate::wait::{ThreadAlarm, block_on, outcome_of};
use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

/// A load that is about to begin, made by [`Cache::load`]: settings first, then
/// one of the methods that take a loader.
///
/// ```
/// use larder::{Cache, EntryOptions};
/// use std::time::Duration;
///
/// let users: Cache<u64, String> = Cache::new(1000);
/// let name = users
///     .load(&7)
///     .options(EntryOptions::new().tag("staff").ttl(Duration::from_secs(60)))
///     .wait_timeout(Duration::from_secs(2))
///     .negative_ttl(Duration::from_secs(5))
///     .try_optional_with(|| Ok::<_, std::io::Error>(Some("ann".to_owned())))?;
/// assert_eq!(name.as_deref(), Some("ann"));
/// # Ok::<(), larder::LoadError<std::io::Error>>(())
/// ```
#[must_use = "nothing is loaded before a method is given a loader"]
pub struct Load<'a, K, V, S, Q: ?Sized> {
    pub(super) cache: &'a Cache<K, V, S>,
    pub(super) key: &'a Q,
    pub(super) request: Request,
}

impl<'a, K, V, S, Q: ?Sized> Load<'a, K, V, S, Q> {
    pub(super) fn new(cache: &'a Cache<K, V, S>, key: &'a Q) -> Self {
        Load { cache, key, request: Request::default() }
    }

    /// Settings of the entry that the loaded value is stored as.
    ///
    /// If one of its tags is invalidated during the load, the value is not
    /// stored.
    ///
    /// ```
    /// use larder::EntryOptions;
    ///
    /// let cache: larder::Cache<String, u32> = larder::Cache::new(100);
    /// let fruit = EntryOptions::new().tag("fruit");
    /// let loaded = cache.load("pear").options(fruit).with(|| {
    ///     cache.invalidate_tag("fruit");
    ///     3
    /// });
    /// assert_eq!((loaded, cache.get("pear")), (3, None));
    /// ```
    pub fn options(mut self, options: EntryOptions) -> Self {
        self.request.options = options;
        self
    }

    /// How long to wait for the load of another caller. Fallible methods then
    /// return [`LoadError::TimedOut`]; the others take the place of the leader,
    /// and if that was done by another one already, which takes as long again,
    /// load for themselves. A load of this caller's own may take as long as it
    /// likes.
    ///
    /// The limit that is set for [all loads](crate::Builder::load_timeout), or
    /// none, if this is not called.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let cache: larder::Cache<String, u32> = larder::Cache::new(100);
    /// let soon = Duration::from_secs(2);
    /// assert_eq!(cache.load("pear").wait_timeout(soon).with(|| 3), 3);
    /// ```
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.request.wait_timeout = Some(timeout);
        self
    }

    /// For how long a failure, or that there is no value, is remembered, by the
    /// cache's clock: until then, nobody calls a loader for this key who can
    /// do with that answer. A write or an invalidation of the key ends it.
    ///
    /// Such answers take no room in the cache; each shard remembers the 1024
    /// latest.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let cache: larder::Cache<String, u32> = larder::Cache::new(100);
    /// let minute = Duration::from_secs(60);
    /// let load = |text: &'static str| {
    ///     cache.load("pear").negative_ttl(minute).try_with(|| text.parse::<u32>())
    /// };
    /// assert!(load("three").is_err());
    /// assert!(load("3").is_err(), "this was not even tried");
    /// cache.invalidate("pear");
    /// assert_eq!(load("3").unwrap(), 3);
    /// ```
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.request.negative_ttl = Some(ttl);
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
    /// The value, or else what `load` returns, stored; as
    /// [`Cache::get_with`].
    ///
    /// # Panics
    /// As [`Cache::get_with`].
    ///
    /// ```
    /// let cache: larder::Cache<String, u32> = larder::Cache::new(100);
    /// assert_eq!(cache.load("pear").with(|| 3), 3);
    /// ```
    pub fn with(self, load: impl FnOnce() -> V) -> V {
        let Some(value) = self.cache.get(self.key) else { return self.with_missing(load) };
        // Before the value is on its way out: see `steady`.
        drop(load);
        value
    }

    /// The value, or else what `load` returns, stored if it is no error; as
    /// [`Cache::try_get_with`].
    ///
    /// # Errors
    /// As [`Cache::try_get_with`], and [`LoadError::TimedOut`].
    ///
    /// # Panics
    /// If `load` does.
    ///
    /// ```
    /// let cache: larder::Cache<String, u32> = larder::Cache::new(100);
    /// assert_eq!(cache.load("pear").try_with(|| "3".parse::<u32>())?, 3);
    /// # Ok::<(), larder::LoadError<std::num::ParseIntError>>(())
    /// ```
    pub fn try_with<E>(self, load: impl FnOnce() -> Result<V, E>) -> Result<V, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        let Some(value) = self.cache.get(self.key) else { return self.try_with_missing(load) };
        drop(load);
        Ok(value)
    }

    /// The value, or else what `load` returns, stored if there is one. That
    /// there is none is shared by all who wait and can do with that answer, and
    /// is remembered if [`negative_ttl`](Load::negative_ttl) says so.
    ///
    /// # Errors
    /// As [`try_with`](Load::try_with).
    ///
    /// # Panics
    /// If `load` does.
    ///
    /// ```
    /// let cache: larder::Cache<String, u32> = larder::Cache::new(100);
    /// let found = cache.load("pear").try_optional_with(|| Ok::<_, std::fmt::Error>(None))?;
    /// assert_eq!(found, None);
    /// # Ok::<(), larder::LoadError<std::fmt::Error>>(())
    /// ```
    pub fn try_optional_with<E>(
        mut self,
        load: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        if let Some(value) = self.cache.get(self.key) {
            drop(load);
            return Ok(Some(value));
        }
        self.request.takes_absent = true;
        self.block_on(load)
    }

    /// [`with`](Load::with) for tasks; see [`Cache::get_with_async`].
    ///
    /// # Panics
    /// As [`Cache::get_with`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let cache: larder::Cache<String, u32> = larder::Cache::new(100);
    /// assert_eq!(cache.load("pear").with_async(async { 3 }).await, 3);
    /// # });
    /// ```
    pub async fn with_async(self, load: impl Future<Output = V>) -> V {
        let Some(value) = self.cache.get(self.key) else {
            return self.with_async_missing(load).await;
        };
        drop(load);
        value
    }

    /// [`try_with`](Load::try_with) for tasks.
    ///
    /// # Errors
    /// As [`try_with`](Load::try_with).
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let cache: larder::Cache<String, u32> = larder::Cache::new(100);
    /// assert_eq!(cache.load("pear").try_with_async(async { "3".parse::<u32>() }).await?, 3);
    /// # Ok::<(), larder::LoadError<std::num::ParseIntError>>(())
    /// # }).unwrap();
    /// ```
    pub async fn try_with_async<E>(
        self,
        load: impl Future<Output = Result<V, E>>,
    ) -> Result<V, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        let Some(value) = self.cache.get(self.key) else {
            return self.try_with_async_missing(load).await;
        };
        drop(load);
        Ok(value)
    }

    /// [`try_optional_with`](Load::try_optional_with) for tasks.
    ///
    /// # Errors
    /// As [`try_with`](Load::try_with).
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let cache: larder::Cache<String, u32> = larder::Cache::new(100);
    /// let load = async { Ok::<_, std::fmt::Error>(None) };
    /// assert_eq!(cache.load("pear").try_optional_with_async(load).await.unwrap(), None);
    /// # });
    /// ```
    pub async fn try_optional_with_async<E>(
        mut self,
        load: impl Future<Output = Result<Option<V>, E>>,
    ) -> Result<Option<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        if let Some(value) = self.cache.get(self.key) {
            drop(load);
            return Ok(Some(value));
        }
        self.request.takes_absent = true;
        self.run(load).await
    }

    #[cold]
    pub(super) fn with_missing(mut self, load: impl FnOnce() -> V) -> V {
        self.request.must_succeed = true;
        certain(self.block_on(|| Ok(Some(load()))))
    }

    #[cold]
    pub(super) fn try_with_missing<E>(
        self,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        self.block_on(|| load().map(Some)).map(present)
    }

    pub(super) async fn with_async_missing(mut self, load: impl Future<Output = V>) -> V {
        self.request.must_succeed = true;
        certain(self.run(async { Ok(Some(outcome_of(load).await)) }).await)
    }

    pub(super) async fn try_with_async_missing<E>(
        self,
        load: impl Future<Output = Result<V, E>>,
    ) -> Result<V, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        self.run(async { outcome_of(load).await.map(Some) }).await.map(present)
    }

    /// For whoever has looked already: [`try_optional_with`](Load::try_optional_with),
    /// or [`try_with`](Load::try_with) unless it `takes_absent`.
    #[cfg(feature = "macros")]
    pub(crate) fn load_missing<E>(
        mut self,
        takes_absent: bool,
        load: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        self.request.takes_absent = takes_absent;
        self.block_on(load)
    }

    /// [`load_missing`](Load::load_missing) for tasks.
    #[cfg(feature = "macros")]
    pub(crate) async fn load_missing_async<E>(
        mut self,
        takes_absent: bool,
        load: impl Future<Output = Result<Option<V>, E>>,
    ) -> Result<Option<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        self.request.takes_absent = takes_absent;
        self.run(load).await
    }

    fn block_on<E>(
        self,
        load: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        let Load { cache, key, request } = self;
        match cache.board(cache.hash_of(key), key, &request, None) {
            // Most callers: nothing is waited for.
            Turn::Lead(lead) => lead.fly_here(load),
            turn => {
                let alarm = ThreadAlarm::default();
                let load = async { load() };
                block_on(cache.go_on((key, turn), &request, load, &alarm), &alarm)
            }
        }
    }

    async fn run<E>(
        self,
        load: impl Future<Output = Result<Option<V>, E>>,
    ) -> Result<Option<V>, LoadError<E>>
    where
        E: Send + Sync + 'static,
    {
        let Load { cache, key, request } = self;
        cache.find_or_load(key, &request, load, &cache.shared.alarms).await
    }
}

/// What a load that cannot fail has returned.
fn certain<V>(loaded: Result<Option<V>, LoadError<Infallible>>) -> V {
    present(sure(loaded))
}

/// What is left of a result whose error is none that can be returned.
pub(super) fn sure<T>(loaded: Result<T, LoadError<Infallible>>) -> T {
    match loaded {
        Ok(loaded) => loaded,
        Err(LoadError::Failed(never)) => match *never {},
        Err(LoadError::Recursive) => panic!("{RECURSION}"),
        Err(LoadError::Panicked | LoadError::TimedOut | LoadError::Cancelled) => {
            unreachable!("who cannot be told of an error goes on by itself")
        }
    }
}

/// The value of a load whose caller asked for one.
pub(super) fn present<V>(value: Option<V>) -> V {
    value.expect("only who can do with it is told that there is no value")
}

impl<K, V, S, Q: fmt::Debug + ?Sized> fmt::Debug for Load<'_, K, V, S, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut load = f.debug_struct("Load");
        load.field("key", &self.key).field("request", &self.request).finish_non_exhaustive()
    }
}
