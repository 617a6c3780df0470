//! Loading many keys with one call of a loader.

use super::{LoadError, ToKey};
use crate::cache::Cache;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// Loading many keys at once.
impl<K, V, S> Cache<K, V, S>
where
    K: Hash + Eq,
    V: Clone,
    S: BuildHasher,
{
    /// The values of `keys`, in their order; what is missing is loaded with one
    /// call of `load`, which gets exactly the keys that nobody loads already.
    ///
    /// ```
    /// let cache: larder::Cache<String, usize> = larder::Cache::new(100);
    /// cache.insert("fig".to_owned(), 7);
    /// let found = cache.get_many_with(["pear", "fig"], |missing| {
    ///     assert_eq!(missing, ["pear"]);
    ///     missing.into_iter().map(|key| (key.to_owned(), key.len()))
    /// });
    /// assert_eq!(found, [Some(4), Some(7)]);
    /// ```
    pub fn get_many_with<'q, Q, R>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        mut load: impl FnMut(Vec<&'q Q>) -> R,
    ) -> Vec<Option<V>>
    where
        Q: ToKey<K> + ?Sized + 'q,
        R: IntoIterator<Item = (K, V)>,
    {
        let loaded = self
            .try_get_many_with(keys, |missing| Ok::<_, std::convert::Infallible>(load(missing)));
        loaded.unwrap_or_default()
    }

    /// Like [`get_many_with`](Cache::get_many_with) with a loader that may
    /// fail.
    ///
    /// # Errors
    /// As [`try_get_with`](Cache::try_get_with), for any of the keys.
    pub fn try_get_many_with<'q, Q, R, E>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        mut load: impl FnMut(Vec<&'q Q>) -> Result<R, E>,
    ) -> Result<Vec<Option<V>>, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized + 'q,
        R: IntoIterator<Item = (K, V)>,
        E: Send + Sync + 'static,
    {
        let keys: Vec<&'q Q> = keys.into_iter().collect();
        let missing: Vec<&'q Q> =
            keys.iter().copied().filter(|key| !self.contains_key(*key)).collect();
        if !missing.is_empty() {
            let loaded = load(missing).map_err(|error| LoadError::Failed(Arc::new(error)))?;
            self.extend(loaded);
        }
        Ok(keys.into_iter().map(|key| self.get(key)).collect())
    }

    /// [`get_many_with`](Cache::get_many_with) for tasks.
    pub async fn get_many_with_async<'q, Q, R, F>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        mut load: impl FnMut(Vec<&'q Q>) -> F,
    ) -> Vec<Option<V>>
    where
        Q: ToKey<K> + ?Sized + 'q,
        R: IntoIterator<Item = (K, V)>,
        F: Future<Output = R>,
    {
        let loaded = self.try_get_many_with_async(keys, |missing| {
            let loading = load(missing);
            async { Ok::<_, std::convert::Infallible>(loading.await) }
        });
        loaded.await.unwrap_or_default()
    }

    /// [`try_get_many_with`](Cache::try_get_many_with) for tasks.
    ///
    /// # Errors
    /// As [`try_get_many_with`](Cache::try_get_many_with).
    pub async fn try_get_many_with_async<'q, Q, R, F, E>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        mut load: impl FnMut(Vec<&'q Q>) -> F,
    ) -> Result<Vec<Option<V>>, LoadError<E>>
    where
        Q: ToKey<K> + ?Sized + 'q,
        R: IntoIterator<Item = (K, V)>,
        F: Future<Output = Result<R, E>>,
        E: Send + Sync + 'static,
    {
        let keys: Vec<&'q Q> = keys.into_iter().collect();
        let missing: Vec<&'q Q> =
            keys.iter().copied().filter(|key| !self.contains_key(*key)).collect();
        if !missing.is_empty() {
            let loaded = load(missing).await.map_err(|error| LoadError::Failed(Arc::new(error)))?;
            self.extend(loaded);
        }
        Ok(keys.into_iter().map(|key| self.get(key)).collect())
    }
}
