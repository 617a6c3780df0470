//! Write-through, and a writer's own call of the store: stored first, then
//! visible.
//!
//! ```text
//!   board: the key is ours, or wait for whoever has it
//!     store.write          no lock; readers see the old value
//!   land: stored           readers see the new value, from the queue's record
//!     cache.insert         overtakes loads that began before
//!   unpin                  the record is gone; readers see the cache
//! ```

use super::back::queue::{Boarding, Change, Landing, Named};
use super::backend::Backend;
use super::engine::{Engine, Pinned};
use super::errors::WriteError;
use super::{StoreKey, StoreValue};
use crate::cache::EntryOptions;
use crate::steady::Steady;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A key that this writer has boarded. Dropped without having landed, after a
/// panic or in a task that was cancelled, it says that nobody knows what the
/// store has.
pub(crate) struct Aboard<'a, K: StoreKey, V: StoreValue, St, S: BuildHasher> {
    engine: &'a Engine<K, V, St, S>,
    key: Named<K>,
    has_landed: bool,
    pin: Pinned<'a, K, V, St, S>,
}

impl<'a, K: StoreKey, V: StoreValue, St, S: BuildHasher> Aboard<'a, K, V, St, S> {
    pub(crate) fn new(engine: &'a Engine<K, V, St, S>, key: Named<K>) -> Self {
        let pin = Pinned::new(engine, &key);
        Aboard { engine, key, has_landed: false, pin }
    }

    fn land(&mut self, landing: Landing<V>) {
        // It lands, whatever the user's code does on the way.
        let mut steady = Steady::default();
        self.has_landed = true;
        if matches!(landing, Landing::Unknown) {
            // First the cache, since readers look there once we have landed.
            // If that panics, the pin does it again.
            steady.step(|| self.engine.cache.invalidate(&*self.key));
        }
        let now = self.engine.now();
        steady.step(|| {
            self.engine.visit(|state| {
                state.queue.land(&self.key, landing, now);
                state.ring_waiters();
                state.ring_workers();
            });
        });
        steady.finish_drop();
    }

    /// The store has answered.
    pub(crate) fn settle<E>(
        mut self,
        outcome: Result<(), (Arc<E>, bool)>,
        change: Change<V>,
        options: EntryOptions,
    ) -> Result<(), WriteError<E>> {
        let error = match outcome {
            Ok(()) => {
                let for_readers = change.clone();
                // Until the cache has it: what is dropped on the way may panic.
                self.pin.distrust();
                self.land(Landing::Stored(for_readers));
                self.pin.show(change, options);
                return Ok(());
            }
            Err((error, true)) => {
                self.land(Landing::Unknown);
                WriteError::Ambiguous(error)
            }
            Err((error, false)) => {
                self.land(Landing::Refused);
                WriteError::Store(error)
            }
        };
        // Before the error is on its way out: see `steady`.
        drop((self, change));
        Err(error)
    }
}

impl<K: StoreKey, V: StoreValue, St, S: BuildHasher> Drop for Aboard<'_, K, V, St, S> {
    fn drop(&mut self) {
        if !self.has_landed {
            self.land(Landing::Unknown);
        }
    }
}

impl<K: StoreKey, V: StoreValue, St, S: BuildHasher> Engine<K, V, St, S> {
    pub(crate) async fn put_through<B: Backend<K, V>>(
        &self,
        backend: &B,
        key: K,
        (change, options): (Change<V>, EntryOptions),
    ) -> Result<(), WriteError<B::Error>>
    where
        St: Sync,
        S: Sync + Send,
    {
        let mut key = self.named(key);
        let owner = backend.owner();
        let boarding = self.wait(
            backend,
            |state| &mut state.turns,
            None,
            |state| match state.queue.board(&mut key, owner) {
                Boarding::Busy => None,
                Boarding::Begun => Some(Ok(Aboard::new(self, key.clone()))),
                Boarding::Recursive => Some(Err(WriteError::Recursive)),
                Boarding::Closed => Some(Err(WriteError::Closed)),
            },
        );
        let written = match boarding.await.unwrap_or(Err(WriteError::Closed)) {
            Ok(aboard) => self.fly(backend, aboard, (change, options)).await,
            Err(error) => Err(error),
        };
        drop(key);
        written
    }

    /// Calls the store for a key that has been boarded.
    pub(crate) async fn fly<B: Backend<K, V>>(
        &self,
        backend: &B,
        aboard: Aboard<'_, K, V, St, S>,
        (change, options): (Change<V>, EntryOptions),
    ) -> Result<(), WriteError<B::Error>>
    where
        St: Sync,
        S: Sync + Send,
    {
        let outcome = self.call(backend, &aboard.key, &change).await;
        aboard.settle(outcome, change, options)
    }

    /// One call of the store. An error comes with whether it is ambiguous.
    pub(crate) async fn call<B: Backend<K, V>>(
        &self,
        backend: &B,
        key: &K,
        change: &Change<V>,
    ) -> Result<(), (Arc<B::Error>, bool)>
    where
        St: Sync,
        S: Sync + Send,
    {
        self.calls.writes.fetch_add(1, Ordering::Relaxed);
        let outcome = match change {
            Some(value) => backend.write(key, value).await,
            None => backend.delete(key).await,
        };
        outcome.map_err(|error| {
            let is_ambiguous = backend.is_ambiguous(&error);
            (Arc::new(error), is_ambiguous)
        })
    }
}
