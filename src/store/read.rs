//! Read-through: a miss asks the store, once for all who miss together.
//!
//! The queue is asked three times. Before the cache, since what waits to be
//! stored is the truth. By whoever loads, after its load has begun: a key that
//! was put and evicted in between is dirty, and the store's row is old; what is
//! put after that overtakes the load, so the row is not kept. And once the store
//! has answered, since the row may just be being written: see
//! [`look_back`](Engine::look_back).

use super::engine::Engine;
use super::errors::ReadError;
use super::traits::{AsyncLoader, Loader};
use super::{StoreKey, StoreValue};
use crate::cache::load::LoadError;
use std::hash::BuildHasher;
use std::sync::atomic::Ordering;

impl<E> From<LoadError<E>> for ReadError<E> {
    fn from(error: LoadError<E>) -> Self {
        match error {
            LoadError::Failed(error) => ReadError::Store(error),
            LoadError::Panicked => ReadError::Panicked,
            LoadError::Recursive => ReadError::Recursive,
            LoadError::TimedOut => ReadError::TimedOut,
            LoadError::Cancelled => ReadError::Cancelled,
        }
    }
}

/// `keys` of a batch: those that the queue has answered, and those to ask for.
struct Sorted<'q, K, V> {
    known: Vec<(K, V)>,
    unknown: Vec<&'q K>,
}

impl<K: StoreKey, V: StoreValue, St, S: BuildHasher> Engine<K, V, St, S> {
    pub(crate) fn get<E>(&self, key: &K) -> Result<Option<V>, ReadError<E>>
    where
        St: Loader<K, V, Error = E>,
        E: Send + Sync + 'static,
    {
        if let Some(change) = self.look_and_use(key) {
            return Ok(change);
        }
        let mut load = self.cache.load(key);
        if let Some(ttl) = self.negative_ttl {
            load = load.negative_ttl(ttl);
        }
        let loaded = load.try_optional_with(|| match self.look(key) {
            Some(change) => Ok(change),
            None => {
                let loaded = self.count_load(|| self.store.load(key))?;
                Ok(self.look_back(key, loaded))
            }
        });
        Ok(loaded?)
    }

    pub(crate) async fn get_async<E>(&self, key: &K) -> Result<Option<V>, ReadError<E>>
    where
        St: AsyncLoader<K, V, Error = E>,
        E: Send + Sync + 'static,
    {
        if let Some(change) = self.look_and_use(key) {
            return Ok(change);
        }
        let mut load = self.cache.load(key);
        if let Some(ttl) = self.negative_ttl {
            load = load.negative_ttl(ttl);
        }
        let loaded = load.try_optional_with_async(async {
            match self.look(key) {
                Some(change) => Ok(change),
                None => {
                    let loaded = self.count_load(|| self.store.load(key)).await?;
                    Ok(self.look_back(key, loaded))
                }
            }
        });
        Ok(loaded.await?)
    }

    pub(crate) fn get_many<E>(&self, keys: &[K]) -> Result<Vec<Option<V>>, ReadError<E>>
    where
        St: Loader<K, V, Error = E>,
        E: Send + Sync + 'static,
    {
        let (found, clean) = self.sort_out(keys);
        let loaded = self.cache.try_get_many_with(clean.iter().map(|at| &keys[*at]), |missing| {
            let Sorted { known, unknown } = self.sort_missing(missing);
            if unknown.is_empty() {
                return Ok(known);
            }
            let values = self.count_load(|| self.store.load_many(&unknown));
            self.joined(known, &unknown, values)
        });
        filled(found, clean, loaded)
    }

    pub(crate) async fn get_many_async<E>(&self, keys: &[K]) -> Result<Vec<Option<V>>, ReadError<E>>
    where
        St: AsyncLoader<K, V, Error = E>,
        E: Send + Sync + 'static,
    {
        let (found, clean) = self.sort_out(keys);
        let wanted = clean.iter().map(|at| &keys[*at]);
        let loading = self.cache.try_get_many_with_async(wanted, |missing| async move {
            let Sorted { known, unknown } = self.sort_missing(missing);
            if unknown.is_empty() {
                return Ok(known);
            }
            let values = self.count_load(|| self.store.load_many(&unknown)).await;
            self.joined(known, &unknown, values)
        });
        let loaded = loading.await;
        filled(found, clean, loaded)
    }

    /// What the queue says about `key`, with the cache's policy and statistics
    /// told of the use.
    fn look_and_use(&self, key: &K) -> Option<Option<V>> {
        let change = self.look(key)?;
        self.cache.read(key, |_| ());
        Some(change)
    }

    fn count_load<R>(&self, load: impl FnOnce() -> R) -> R {
        self.calls.loads.fetch_add(1, Ordering::Relaxed);
        load()
    }

    /// What the queue knows of `keys`, each in its place, and the places of
    /// the others.
    fn sort_out(&self, keys: &[K]) -> (Vec<Option<V>>, Vec<usize>) {
        let mut found = Vec::with_capacity(keys.len());
        let mut clean = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            let change = self.look_and_use(key);
            if change.is_none() {
                clean.push(at);
            }
            found.push(change.flatten());
        }
        (found, clean)
    }

    fn sort_missing<'q>(&self, missing: Vec<&'q K>) -> Sorted<'q, K, V> {
        let mut sorted = Sorted { known: Vec::new(), unknown: Vec::new() };
        for key in missing {
            match self.look(key) {
                Some(change) => sorted.known.extend(change.map(|value| (key.clone(), value))),
                None => sorted.unknown.push(key),
            }
        }
        sorted
    }

    /// What is known, with what the store says of `keys`.
    fn joined<E>(
        &self,
        mut known: Vec<(K, V)>,
        keys: &[&K],
        values: Result<Vec<Option<V>>, E>,
    ) -> Result<Vec<(K, V)>, E> {
        match values {
            Ok(values) => {
                known.extend(self.pairs(keys, values));
                Ok(known)
            }
            Err(error) => {
                // Before the error is on its way out: see `steady`.
                drop(known);
                Err(error)
            }
        }
    }

    /// What the store says of `keys`, as [`look_back`](Engine::look_back) has
    /// it.
    ///
    /// # Panics
    /// If there are not as many values as keys: which is whose cannot be known.
    fn pairs(&self, keys: &[&K], values: Vec<Option<V>>) -> Vec<(K, V)> {
        assert_eq!(
            values.len(),
            keys.len(),
            "`load_many` has to return one value, or `None`, for each key",
        );
        let pairs = keys.iter().zip(values);
        let pair = |(key, value): (&&K, _)| Some((K::clone(key), self.look_back(key, value)?));
        pairs.filter_map(pair).collect()
    }
}

/// What was found, with what was loaded at its `places`.
fn filled<V, E>(
    mut found: Vec<Option<V>>,
    places: Vec<usize>,
    loaded: Result<Vec<Option<V>>, LoadError<E>>,
) -> Result<Vec<Option<V>>, ReadError<E>> {
    match loaded {
        Ok(loaded) => {
            for (at, value) in places.into_iter().zip(loaded) {
                found[at] = value;
            }
            Ok(found)
        }
        Err(error) => {
            // Before the error is on its way out: see `steady`.
            drop(found);
            Err(error.into())
        }
    }
}
