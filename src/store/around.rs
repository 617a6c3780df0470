//! Write-around: stored, and forgotten by the cache.
//!
//! Invalidating after the store has answered overtakes every load that began
//! before, so no old row comes back. Writers of one key need not take turns,
//! since none of them leaves a value behind; but each pins it, so that who
//! reads the row meanwhile knows that it is being written.

use super::back::queue::{Change, Named};
use super::backend::Backend;
use super::engine::{Engine, Pinned};
use super::errors::WriteError;
use super::{StoreKey, StoreValue};
use crate::steady::Steady;
use std::hash::BuildHasher;

/// Keys that are being written. The cache forgets them when this is dropped:
/// also after a panic, and in a task that was cancelled, when nobody knows what
/// the store has.
pub(crate) struct Passing<'a, K: StoreKey, V: StoreValue, St, S: BuildHasher> {
    pins: Vec<Pinned<'a, K, V, St, S>>,
    is_refused: bool,
}

impl<K: StoreKey, V: StoreValue, St, S: BuildHasher> Passing<'_, K, V, St, S> {
    /// The store has changed nothing.
    fn refuse(&mut self) {
        self.is_refused = true;
    }
}

impl<K: StoreKey, V: StoreValue, St, S: BuildHasher> Drop for Passing<'_, K, V, St, S> {
    fn drop(&mut self) {
        if self.is_refused {
            return;
        }
        let mut steady = Steady::default();
        for pin in &self.pins {
            pin.forget(&mut steady);
        }
        steady.finish_drop();
    }
}

impl<K: StoreKey, V: StoreValue, St, S: BuildHasher> Engine<K, V, St, S> {
    /// Begins to write `keys`, which differ; `None` if the queue is closed.
    pub(crate) fn pass(&self, keys: Vec<K>) -> Option<Passing<'_, K, V, St, S>> {
        let mut keys: Vec<Named<K>> = keys.into_iter().map(|key| self.named(key)).collect();
        self.visit(|state| {
            let is_open = state.queue.pass(&mut keys);
            let pins = || keys.iter().map(|key| Pinned::new(self, key)).collect();
            is_open.then(|| Passing { pins: pins(), is_refused: false })
        })
    }

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
        let mut passing = self.pass(vec![key.clone()]).ok_or(WriteError::Closed)?;
        let written = match self.call(backend, &key, &change).await {
            Ok(()) => Ok(()),
            Err((error, true)) => Err(WriteError::Ambiguous(error)),
            Err((error, false)) => {
                passing.refuse();
                Err(WriteError::Store(error))
            }
        };
        // Before the error is on its way out: see `steady`.
        drop((passing, key, change));
        written
    }
}
