//! Write-around: stored, and forgotten by the cache.
//!
//! Invalidating after the store has answered is all it takes: it overtakes
//! every load that began before, so no old row comes back. Writers of one key
//! need not take turns, since none of them leaves a value behind.

use super::back::queue::Change;
use super::backend::Backend;
use super::engine::Engine;
use super::errors::WriteError;
use super::{StoreKey, StoreValue};
use crate::cache::Cache;
use crate::steady::Steady;
use std::hash::BuildHasher;

/// Keys that the cache forgets when this is dropped: also after a panic, and
/// in a task that was cancelled, when nobody knows what the store has.
pub(crate) struct Forget<'a, K: StoreKey, V: StoreValue, S: BuildHasher> {
    pub(crate) cache: &'a Cache<K, V, S>,
    pub(crate) keys: Vec<K>,
}

impl<K: StoreKey, V: StoreValue, S: BuildHasher> Drop for Forget<'_, K, V, S> {
    fn drop(&mut self) {
        let mut steady = Steady::default();
        for key in &self.keys {
            let invalidate = || self.cache.invalidate(key);
            // If it panics before it has done its work, it is done again.
            if steady.step(invalidate).is_none() {
                steady.step(invalidate);
            }
        }
        steady.finish_drop();
    }
}

impl<K: StoreKey, V: StoreValue, St, S: BuildHasher> Engine<K, V, St, S> {
    pub(crate) async fn put_around<B: Backend<K, V>>(
        &self,
        backend: &B,
        key: K,
        change: Change<V>,
    ) -> Result<(), WriteError<B::Error>>
    where
        St: Sync,
        S: Sync + Send,
    {
        if self.visit(|state| state.queue.is_closed()) {
            return Err(WriteError::Closed);
        }
        let mut forget = Forget { cache: &self.cache, keys: vec![key.clone()] };
        match self.call(backend, &key, &change).await {
            Ok(()) => Ok(()),
            Err((error, true)) => Err(WriteError::Ambiguous(error)),
            Err((error, false)) => {
                forget.keys.clear();
                Err(WriteError::Store(error))
            }
        }
    }
}
