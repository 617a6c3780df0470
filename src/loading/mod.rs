//! A cache that knows its loader, and so can reload values by itself.

mod builder;
mod reload;

pub use builder::LoadingBuilder;

use crate::cache::Cache;
use crate::cache::load::drive::Request;
use crate::cache::load::{LoadError, ToKey};
use crate::hash::DefaultHashBuilder;
use crate::spawn::{Spawn, Worker};
use crate::wait::{ThreadAlarm, block_on};
use reload::Rules;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

type Loading<V, E> = Pin<Box<dyn Future<Output = Result<V, E>> + Send>>;

type Load<K, R> = Box<dyn Fn(&K) -> R + Send + Sync>;

/// What loads a value.
enum Loader<K, V, E> {
    Sync(Load<K, Result<V, E>>),
    Async(Load<K, Loading<V, E>>),
}

impl<K, V, E> Loader<K, V, E> {
    async fn load(&self, key: &K) -> Result<Option<V>, E> {
        match self {
            Loader::Sync(load) => load(key).map(Some),
            Loader::Async(load) => load(key).await.map(Some),
        }
    }
}

/// A [`Cache`] together with the loader of its values. Made by
/// [`Builder::loader`](crate::Builder::loader) or
/// [`loader_async`](crate::Builder::loader_async); clones are the same cache.
///
/// It is a handle to a cache, with all of that one's methods: what is inserted
/// or invalidated there is what is found here. Look-ups of the plain cache
/// (`get`, `peek`) load nothing.
///
/// Both kinds of loader can be used from threads and from tasks. From a task, a
/// loader that is not async blocks the thread that polls; from a thread, an
/// async loader is driven by that thread, without any runtime.
///
/// # Reloading
///
/// * [`refresh_after`](LoadingBuilder::refresh_after): the first read past that
///   age starts one reload in the background, and returns the old value.
/// * [`early_refresh`](LoadingBuilder::early_refresh): the same, at a random
///   time shortly before the value expires.
/// * [`stale_if_error`](LoadingBuilder::stale_if_error): a value that has
///   expired is returned for a while if loading a newer one fails.
///
/// All of them can be combined. A reload is stored only if the value that it is
/// to replace is still there: a write, a removal, an invalidation, an eviction
/// or the end of its life make the reload void. A reload that fails leaves the
/// old value as it is, and the next one has to
/// [wait](LoadingBuilder::retry_after). A value that has reached the end of its
/// life is not returned, whatever reloads are under way, but for
/// `stale_if_error`.
///
/// ```
/// use larder::Cache;
///
/// let lengths = Cache::<String, usize>::builder()
///     .capacity(100)
///     .loader(|key: &String| Ok::<_, std::fmt::Error>(key.len()))
///     .build()?;
/// assert_eq!(lengths.get_or_load("pear").unwrap(), 4);
/// assert_eq!(lengths.get("pear"), Some(4));
/// lengths.invalidate("pear");
/// assert_eq!(lengths.get("pear"), None);
/// # Ok::<(), larder::BuildError>(())
/// ```
pub struct LoadingCache<K, V, E, S = DefaultHashBuilder> {
    inner: Arc<Inner<K, V, E, S>>,
}

struct Inner<K, V, E, S> {
    cache: Cache<K, V, S>,
    loader: Loader<K, V, E>,
    request: Request,
    rules: Rules,
    spawner: Option<Box<dyn Spawn>>,
    worker: Worker,
}

impl<K, V, E, S> LoadingCache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// The value of `key`, loaded if there is none; as
    /// [`Cache::try_get_with`].
    ///
    /// # Errors
    /// As [`Cache::try_get_with`].
    ///
    /// # Panics
    /// If the loader does.
    ///
    /// ```
    /// let numbers = larder::Cache::<String, u32>::builder()
    ///     .capacity(100)
    ///     .loader(|key: &String| key.parse::<u32>())
    ///     .build()?;
    /// assert_eq!(numbers.get_or_load("3").unwrap(), 3);
    /// assert!(numbers.get_or_load("three").is_err());
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn get_or_load<Q>(&self, key: &Q) -> Result<V, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized,
    {
        if let Some(value) = self.inner.cache.get(key) {
            self.consider_reload(key);
            return Ok(value);
        }
        if let Some(value) = self.stale_for_now(key) {
            return Ok(value);
        }
        let loaded = self.block_on(key, &self.inner.request);
        self.or_stale(key, loaded)
    }

    /// [`get_or_load`](LoadingCache::get_or_load) for tasks.
    ///
    /// # Errors
    /// As [`Cache::try_get_with`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let numbers = larder::Cache::<String, u32>::builder()
    ///     .capacity(100)
    ///     .loader_async(|key: &String| {
    ///         let parsed = key.parse::<u32>();
    ///         async { parsed }
    ///     })
    ///     .build()?;
    /// assert_eq!(numbers.get_or_load_async("3").await.unwrap(), 3);
    /// # Ok::<(), larder::BuildError>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_or_load_async<Q>(&self, key: &Q) -> Result<V, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized,
    {
        if let Some(value) = self.inner.cache.get(key) {
            self.consider_reload(key);
            return Ok(value);
        }
        if let Some(value) = self.stale_for_now(key) {
            return Ok(value);
        }
        let loaded = self.run(key, &self.inner.request).await;
        self.or_stale(key, loaded)
    }

    /// Loads `key` whether or not it has a value, and returns what was loaded.
    /// Others find the old value meanwhile; if it fails, they keep it. If the
    /// key is being loaded already, this waits for that load.
    ///
    /// # Errors
    /// As [`Cache::try_get_with`].
    ///
    /// # Panics
    /// If the loader does.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// let calls = AtomicU32::new(0);
    /// let count = move |_: &String| Ok::<_, std::fmt::Error>(calls.fetch_add(1, Ordering::Relaxed));
    /// let cache = larder::Cache::builder().capacity(100).loader(count).build()?;
    /// assert_eq!(cache.get_or_load("pear").unwrap(), 0);
    /// assert_eq!(cache.refresh("pear").unwrap(), 1);
    /// assert_eq!(cache.get_or_load("pear").unwrap(), 1);
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn refresh<Q>(&self, key: &Q) -> Result<V, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized,
    {
        self.block_on(key, &self.forced())
    }

    /// [`refresh`](LoadingCache::refresh) for tasks.
    ///
    /// # Errors
    /// As [`Cache::try_get_with`].
    ///
    /// ```
    /// # pollster::block_on(async {
    /// let cache = larder::Cache::<String, usize>::builder()
    ///     .capacity(100)
    ///     .loader(|key: &String| Ok::<_, std::fmt::Error>(key.len()))
    ///     .build()?;
    /// cache.insert("pear".to_owned(), 0);
    /// assert_eq!(cache.refresh_async("pear").await.unwrap(), 4);
    /// # Ok::<(), larder::BuildError>(())
    /// # }).unwrap();
    /// ```
    pub async fn refresh_async<Q>(&self, key: &Q) -> Result<V, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized,
    {
        self.run(key, &self.forced()).await
    }

    fn forced(&self) -> Request {
        Request { is_forced: true, ..self.inner.request.clone() }
    }

    fn block_on<Q>(&self, key: &Q, request: &Request) -> Result<V, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized,
    {
        let alarm = ThreadAlarm::default();
        let load = self.run_loader(key);
        let loaded = self.inner.cache.find_or_load(key, request, load, &alarm);
        block_on(loaded, &alarm).map(present)
    }

    async fn run<Q>(&self, key: &Q, request: &Request) -> Result<V, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized,
    {
        let alarms = self.inner.cache.shared().alarms();
        self.inner.cache.find_or_load(key, request, self.run_loader(key), alarms).await.map(present)
    }

    async fn run_loader<Q>(&self, key: &Q) -> Result<Option<V>, E>
    where
        Q: ToKey<K> + ?Sized,
    {
        let key = key.to_key();
        let loaded = self.inner.loader.load(&key).await;
        // Before the value is on its way out: see `steady`.
        drop(key);
        loaded
    }

    /// The cache itself. All its methods can also be called on this handle.
    ///
    /// ```
    /// let loading = larder::Cache::<u8, u8>::builder()
    ///     .capacity(100)
    ///     .loader(|key: &u8| Ok::<_, std::fmt::Error>(*key))
    ///     .build()?;
    /// let cache: larder::Cache<u8, u8> = loading.cache().clone();
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn cache(&self) -> &Cache<K, V, S> {
        &self.inner.cache
    }
}

fn present<V>(value: Option<V>) -> V {
    value.expect("this loader never says that there is no value")
}

impl<K, V, E, S> Deref for LoadingCache<K, V, E, S> {
    type Target = Cache<K, V, S>;

    fn deref(&self) -> &Cache<K, V, S> {
        &self.inner.cache
    }
}

impl<K, V, E, S> Clone for LoadingCache<K, V, E, S> {
    fn clone(&self) -> Self {
        LoadingCache { inner: Arc::clone(&self.inner) }
    }
}

impl<K, V, E, S> fmt::Debug for LoadingCache<K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadingCache").field("cache", &self.inner.cache).finish_non_exhaustive()
    }
}
