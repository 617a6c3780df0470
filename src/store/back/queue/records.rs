//! Records, by key.
//!
//! A key is hashed once, before any lock, and compared with others when it is
//! first met. From then on its writers and workers hold the very key that is
//! in here, which is known by its address: so nothing of the user's runs, and
//! could panic, between the steps of a change.

use super::Record;
use crate::hash::DefaultHashBuilder;
use crate::steady::Steady;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::ops::Deref;
use std::sync::Arc;

/// A key whose hash is known. Clones are the same key, and another one with an
/// equal key in it is not.
pub(crate) struct Named<K> {
    hash: u64,
    key: Arc<K>,
}

impl<K: Hash> Named<K> {
    pub(crate) fn new(key: K, hasher: &DefaultHashBuilder) -> Self {
        Named { hash: hasher.hash_one(&key), key: Arc::new(key) }
    }
}

impl<K> Named<K> {
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn is(&self, other: &Named<K>) -> bool {
        Arc::ptr_eq(&self.key, &other.key)
    }
}

impl<K> Clone for Named<K> {
    fn clone(&self) -> Self {
        Named { hash: self.hash, key: Arc::clone(&self.key) }
    }
}

impl<K> Deref for Named<K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.key
    }
}

type OfOneHash<K, V> = SmallVec<[(Named<K>, Record<V>); 1]>;

pub(super) struct Records<K, V> {
    by_hash: HashMap<u64, OfOneHash<K, V>, DefaultHashBuilder>,
}

/// A table of the standard library's forgets the rest when the drop of one of
/// its keys or values panics.
impl<K, V> Drop for Records<K, V> {
    fn drop(&mut self) {
        let mut steady = Steady::default();
        for of_hash in std::mem::take(&mut self.by_hash).into_values() {
            steady.step(|| drop(of_hash));
        }
        steady.finish_drop();
    }
}

impl<K, V> Records<K, V> {
    pub(super) fn new() -> Self {
        Records { by_hash: HashMap::default() }
    }

    /// The only one that runs the user's code.
    pub(super) fn find(&self, hash: u64, key: &K) -> Option<(&Named<K>, &Record<V>)>
    where
        K: Eq,
    {
        let found = self.by_hash.get(&hash)?.iter().find(|(other, _)| **other == *key)?;
        Some((&found.0, &found.1))
    }

    pub(super) fn get(&self, key: &Named<K>) -> Option<&Record<V>> {
        let of_hash = self.by_hash.get(&key.hash)?;
        of_hash.iter().find(|(other, _)| other.is(key)).map(|(_, record)| record)
    }

    pub(super) fn get_mut(&mut self, key: &Named<K>) -> Option<&mut Record<V>> {
        let of_hash = self.by_hash.get_mut(&key.hash)?;
        of_hash.iter_mut().find(|(other, _)| other.is(key)).map(|(_, record)| record)
    }

    /// Adds a record for a key that has none.
    pub(super) fn add(&mut self, key: Named<K>, record: Record<V>) {
        self.by_hash.entry(key.hash).or_default().push((key, record));
    }

    pub(super) fn remove(&mut self, key: &Named<K>) -> Option<(Named<K>, Record<V>)> {
        let of_hash = self.by_hash.get_mut(&key.hash)?;
        let at = of_hash.iter().position(|(other, _)| other.is(key))?;
        let removed = of_hash.swap_remove(at);
        if of_hash.is_empty() {
            self.by_hash.remove(&key.hash);
        }
        Some(removed)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Named<K>, &Record<V>)> {
        self.by_hash.values().flatten().map(|(key, record)| (key, record))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Record<V>> {
        self.iter().map(|(_, record)| record)
    }

    #[cfg(all(test, not(larder_loom), not(larder_shuttle)))]
    pub(super) fn len(&self) -> usize {
        self.iter().count()
    }
}
