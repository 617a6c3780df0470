//! Cache-aside: the user's own statements, and a cache that never shows an old
//! row after they have returned.
//!
//! Filling the cache by hand beside a database goes wrong in one way above all:
//!
//! ```text
//!   reader   SELECT (old row) ───────────────────────────► insert (old row)
//!   writer              UPDATE, COMMIT ──► invalidate
//! ```
//!
//! Here the reader's load has begun before the invalidation, which therefore
//! overtakes it: the reader gets its row, and the cache does not keep it.
//!
//! Between COMMIT and the invalidation, readers may have either row, and the old
//! one also after the new one.

use crate::cache::{Cache, EntryOptions};
use crate::hash::DefaultHashBuilder;
use crate::steady::Steady;
use crate::store::ReadError;
use crate::wait::outcome_of;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

/// A cache beside a database, with the statements left to the caller.
///
/// `Db` is whatever the closures shall get: a connection pool, a client, a
/// mutex around a connection.
///
/// What is written to the database by others, or behind its back, the cache
/// does not know of: give such entries a time to live.
///
/// ```
/// use larder::{Aside, Cache};
/// use std::collections::HashMap;
/// use std::convert::Infallible;
/// use std::sync::Mutex;
///
/// let db = Mutex::new(HashMap::from([(7, "Ann".to_owned())]));
/// let people: Aside<u64, String, _> = Aside::new(Cache::new(1000), db);
/// let select = |db: &Mutex<HashMap<u64, String>>| {
///     Ok::<_, Infallible>(db.lock().unwrap().get(&7).cloned())
/// };
/// assert_eq!(people.read(&7, select).unwrap().as_deref(), Some("Ann"));
///
/// people.write(&7, |db| {
///     db.lock().unwrap().insert(7, "Anna".to_owned());
///     Ok::<_, Infallible>(())
/// })?;
/// assert_eq!(people.read(&7, select).unwrap().as_deref(), Some("Anna"));
/// # Ok::<(), Infallible>(())
/// ```
#[derive(Clone)]
pub struct Aside<K, V, Db, S = DefaultHashBuilder> {
    cache: Cache<K, V, S>,
    db: Db,
    negative_ttl: Option<Duration>,
}

/// What a write has touched: keys, tags, or everything. Made from one key, from
/// several, or with the methods here.
///
/// ```
/// use larder::Touched;
///
/// let touched = Touched::key(7).and_key(8).and_tag("staff");
/// # let _: Touched<u64> = touched;
/// let same = Touched::from([7, 8]).and_tag("staff");
/// # let _: Touched<u64> = same;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Touched<K> {
    keys: Vec<K>,
    tags: Vec<String>,
    is_all: bool,
}

impl<K> Touched<K> {
    fn nothing() -> Self {
        Touched { keys: Vec::new(), tags: Vec::new(), is_all: false }
    }

    /// One key.
    ///
    /// ```
    /// let touched = larder::Touched::key(7);
    /// # let _: larder::Touched<u64> = touched;
    /// ```
    pub fn key(key: K) -> Self {
        Touched::nothing().and_key(key)
    }

    /// All entries that were read with this tag.
    ///
    /// ```
    /// let touched = larder::Touched::tag("staff");
    /// # let _: larder::Touched<u64> = touched;
    /// ```
    pub fn tag(tag: impl Into<String>) -> Self {
        Touched::nothing().and_tag(tag)
    }

    /// Everything that is cached.
    ///
    /// ```
    /// let touched = larder::Touched::all();
    /// # let _: larder::Touched<u64> = touched;
    /// ```
    pub fn all() -> Self {
        Touched { is_all: true, ..Touched::nothing() }
    }

    /// This key as well.
    ///
    /// ```
    /// let touched = larder::Touched::key(7).and_key(8);
    /// # let _: larder::Touched<u64> = touched;
    /// ```
    pub fn and_key(mut self, key: K) -> Self {
        self.keys.push(key);
        self
    }

    /// Entries with this tag as well.
    ///
    /// ```
    /// let touched = larder::Touched::key(7).and_tag("staff");
    /// # let _: larder::Touched<u64> = touched;
    /// ```
    pub fn and_tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }
}

impl<K: Clone> From<&K> for Touched<K> {
    fn from(key: &K) -> Self {
        Touched::key(key.clone())
    }
}

impl<K> From<Vec<K>> for Touched<K> {
    fn from(keys: Vec<K>) -> Self {
        Touched { keys, ..Touched::nothing() }
    }
}

impl<K, const N: usize> From<[K; N]> for Touched<K> {
    fn from(keys: [K; N]) -> Self {
        Touched::from(Vec::from(keys))
    }
}

/// Invalidates when it is dropped: after the statement, however that ended.
struct Invalidate<'a, K: Hash + Eq, V, S: BuildHasher> {
    cache: &'a Cache<K, V, S>,
    touched: Touched<K>,
}

impl<K: Hash + Eq, V, S: BuildHasher> Drop for Invalidate<'_, K, V, S> {
    fn drop(&mut self) {
        if self.touched.is_all {
            return self.cache.invalidate_all();
        }
        let mut steady = Steady::default();
        for key in &self.touched.keys {
            let invalidate = || self.cache.invalidate(key);
            // If it panics before it has done its work, it is done again.
            if steady.step(invalidate).is_none() {
                steady.step(invalidate);
            }
        }
        for tag in &self.touched.tags {
            self.cache.invalidate_tag(tag);
        }
        steady.finish_drop();
    }
}

impl<K, V, Db, S> Aside<K, V, Db, S> {
    /// `cache` beside `db`.
    ///
    /// ```
    /// use larder::{Aside, Cache};
    ///
    /// let connection = "the database";
    /// let people: Aside<u64, String, _> = Aside::new(Cache::new(1000), connection);
    /// assert_eq!(people.db(), &"the database");
    /// ```
    #[must_use]
    pub fn new(cache: Cache<K, V, S>, db: Db) -> Self {
        Aside { cache, db, negative_ttl: None }
    }

    /// For how long it is remembered that there is no row. Not at all, if not
    /// set.
    ///
    /// ```
    /// use larder::{Aside, Cache};
    /// use std::time::Duration;
    ///
    /// let people: Aside<u64, String, ()> =
    ///     Aside::new(Cache::new(1000), ()).negative_ttl(Duration::from_secs(1));
    /// ```
    #[must_use]
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = Some(ttl);
        self
    }

    /// The cache.
    ///
    /// ```
    /// use larder::{Aside, Cache};
    ///
    /// let people: Aside<u64, String, ()> = Aside::new(Cache::new(1000), ());
    /// assert!(people.cache().is_empty());
    /// ```
    #[must_use]
    pub fn cache(&self) -> &Cache<K, V, S> {
        &self.cache
    }

    /// The database, for statements that the cache has no part in.
    ///
    /// ```
    /// use larder::{Aside, Cache};
    ///
    /// let people: Aside<u64, String, u8> = Aside::new(Cache::new(1000), 5);
    /// assert_eq!(people.db(), &5);
    /// ```
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }
}

impl<K: Hash + Eq + Clone, V: Clone, Db, S: BuildHasher> Aside<K, V, Db, S> {
    /// The cached value of `key`, or else what `select` finds, which is then
    /// cached. Of several callers that miss a key at the same time, one runs
    /// its `select`, and all get the result.
    ///
    /// # Errors
    /// [`ReadError::Store`] with the error of `select`, shared by all who
    /// waited for it; nothing is cached then.
    ///
    /// # Panics
    /// If `select` does.
    ///
    /// ```
    /// use larder::{Aside, Cache};
    ///
    /// let lengths: Aside<String, usize, ()> = Aside::new(Cache::new(1000), ());
    /// let pear = "pear".to_owned();
    /// let found = lengths.read(&pear, |()| Ok::<_, String>(Some(pear.len())));
    /// assert_eq!(found.unwrap(), Some(4));
    /// ```
    pub fn read<E: Send + Sync + 'static>(
        &self,
        key: &K,
        select: impl FnOnce(&Db) -> Result<Option<V>, E>,
    ) -> Result<Option<V>, ReadError<E>> {
        self.read_with(key, EntryOptions::new(), select)
    }

    /// Like [`read`](Aside::read), with settings for the entry: tags, by which
    /// a write can invalidate it, or a lifetime of its own.
    ///
    /// # Errors
    /// As [`read`](Aside::read).
    ///
    /// # Panics
    /// As [`read`](Aside::read).
    ///
    /// ```
    /// use larder::{Aside, Cache, EntryOptions, Touched};
    ///
    /// let lengths: Aside<String, usize, ()> = Aside::new(Cache::new(1000), ());
    /// let pear = "pear".to_owned();
    /// let fruit = EntryOptions::new().tag("fruit");
    /// lengths.read_with(&pear, fruit, |()| Ok::<_, String>(Some(pear.len()))).unwrap();
    /// lengths.write(Touched::tag("fruit"), |()| Ok::<_, String>(())).unwrap();
    /// assert!(!lengths.cache().contains_key("pear"));
    /// ```
    pub fn read_with<E: Send + Sync + 'static>(
        &self,
        key: &K,
        options: EntryOptions,
        select: impl FnOnce(&Db) -> Result<Option<V>, E>,
    ) -> Result<Option<V>, ReadError<E>> {
        let mut load = self.cache.load(key).options(options);
        if let Some(ttl) = self.negative_ttl {
            load = load.negative_ttl(ttl);
        }
        Ok(load.try_optional_with(|| select(&self.db))?)
    }

    /// Runs `statement`, a statement or a whole transaction, and then
    /// invalidates what it has touched. When this returns, no read finds what
    /// was there before, nor does a load that began before bring it back.
    ///
    /// It also invalidates if `statement` fails or panics: the database may
    /// have taken the change all the same, and a read more is cheap.
    ///
    /// # Errors
    /// That of `statement`.
    ///
    /// # Panics
    /// If `statement` does.
    ///
    /// ```
    /// use larder::{Aside, Cache};
    /// use std::sync::Mutex;
    ///
    /// let rows = Mutex::new(vec![1, 2, 3]);
    /// let table: Aside<usize, u32, _> = Aside::new(Cache::new(1000), rows);
    /// let taken = table.write([0, 2], |rows| {
    ///     let mut rows = rows.lock().unwrap();
    ///     rows.swap(0, 2);
    ///     Ok::<_, String>(rows[0])
    /// });
    /// assert_eq!(taken, Ok(3));
    /// ```
    pub fn write<R, E>(
        &self,
        touched: impl Into<Touched<K>>,
        statement: impl FnOnce(&Db) -> Result<R, E>,
    ) -> Result<R, E> {
        let after = Invalidate { cache: &self.cache, touched: touched.into() };
        let written = statement(&self.db);
        // Before what was written is on its way out: see `steady`.
        drop(after);
        written
    }

    /// [`read`](Aside::read) for tasks.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use larder::{Aside, Cache};
    ///
    /// # pollster::block_on(async {
    /// let lengths: Aside<String, usize, ()> = Aside::new(Cache::new(1000), ());
    /// let pear = "pear".to_owned();
    /// let found = lengths.read_async(&pear, async |()| Ok::<_, String>(Some(4))).await;
    /// assert_eq!(found.unwrap(), Some(4));
    /// # });
    /// ```
    pub async fn read_async<'a, E, F>(
        &'a self,
        key: &K,
        select: impl FnOnce(&'a Db) -> F,
    ) -> Result<Option<V>, ReadError<E>>
    where
        E: Send + Sync + 'static,
        F: Future<Output = Result<Option<V>, E>>,
    {
        self.read_with_async(key, EntryOptions::new(), select).await
    }

    /// [`read_with`](Aside::read_with) for tasks.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use larder::{Aside, Cache, EntryOptions};
    ///
    /// # pollster::block_on(async {
    /// let lengths: Aside<u64, usize, ()> = Aside::new(Cache::new(1000), ());
    /// let tagged = EntryOptions::new().tag("fruit");
    /// let found = lengths.read_with_async(&7, tagged, async |()| Ok::<_, String>(Some(4))).await;
    /// assert_eq!(found.unwrap(), Some(4));
    /// # });
    /// ```
    pub async fn read_with_async<'a, E, F>(
        &'a self,
        key: &K,
        options: EntryOptions,
        select: impl FnOnce(&'a Db) -> F,
    ) -> Result<Option<V>, ReadError<E>>
    where
        E: Send + Sync + 'static,
        F: Future<Output = Result<Option<V>, E>>,
    {
        let mut load = self.cache.load(key).options(options);
        if let Some(ttl) = self.negative_ttl {
            load = load.negative_ttl(ttl);
        }
        Ok(load.try_optional_with_async(async { outcome_of(select(&self.db)).await }).await?)
    }

    /// [`write`](Aside::write) for tasks. If the task is dropped while the
    /// statement runs, what it touches is invalidated then.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use larder::{Aside, Cache};
    ///
    /// # pollster::block_on(async {
    /// let table: Aside<u64, String, ()> = Aside::new(Cache::new(1000), ());
    /// table.write_async(&7, async |()| Ok::<_, String>(())).await.unwrap();
    /// # });
    /// ```
    pub async fn write_async<'a, R, E, F>(
        &'a self,
        touched: impl Into<Touched<K>>,
        statement: impl FnOnce(&'a Db) -> F,
    ) -> Result<R, E>
    where
        F: Future<Output = Result<R, E>>,
    {
        let after = Invalidate { cache: &self.cache, touched: touched.into() };
        let written = outcome_of(statement(&self.db)).await;
        drop(after);
        written
    }
}

impl<K, V, Db: fmt::Debug, S> fmt::Debug for Aside<K, V, Db, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aside").field("db", &self.db).finish_non_exhaustive()
    }
}
