//! Writing many keys with few calls of the store.

use super::back::queue::{Boarding, Named};
use super::backend::Backend;
use super::engine::Engine;
use super::errors::WriteError;
use super::policy::WritePolicy;
use super::through::Aboard;
use super::traits::Written;
use super::{StoreKey, StoreValue};
use crate::cache::EntryOptions;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering;

type Outcomes<E> = Vec<Result<(), WriteError<E>>>;

impl<K: StoreKey, V: StoreValue, St: Sync, S: BuildHasher + Sync + Send> Engine<K, V, St, S> {
    /// One outcome for each entry, in order. Of several entries with one key
    /// the last is written, and they share its outcome.
    pub(crate) async fn put_many<B: Backend<K, V>>(
        &self,
        backend: &B,
        entries: Vec<(K, V)>,
    ) -> Outcomes<B::Error> {
        let (places, entries) = without_duplicates(entries);
        let outcomes = match &self.policy {
            WritePolicy::Back(settings) => {
                let changes = entries.into_iter().map(|(key, value)| (key, Some(value)));
                self.put_many_back(backend, settings, changes.collect()).await
            }
            WritePolicy::Around => self.put_many_around(backend, entries).await,
            WritePolicy::Through => self.put_many_through(backend, entries).await,
        };
        let listed = places.into_iter().map(|place| outcomes[place].clone()).collect();
        // Before the list is on its way out: see `steady`.
        drop(outcomes);
        listed
    }

    async fn put_many_through<B: Backend<K, V>>(
        &self,
        backend: &B,
        entries: Vec<(K, V)>,
    ) -> Outcomes<B::Error> {
        let (mut keys, values): (Vec<Named<K>>, Vec<V>) =
            entries.into_iter().map(|(key, value)| (self.named(key), value)).unzip();
        let outcomes = match self.board_all(backend, &mut keys).await {
            Ok(aboard) => self.fly_all(backend, aboard, &keys, values).await,
            Err(error) => {
                drop(values);
                refused(keys.len(), &error)
            }
        };
        // Before the outcomes are on their way out: see `steady`.
        drop(keys);
        outcomes
    }

    /// All at once: two callers that boarded one key after the other could
    /// each have what the other one waits for.
    async fn board_all<B: Backend<K, V>>(
        &self,
        backend: &B,
        keys: &mut [Named<K>],
    ) -> Result<Vec<Aboard<'_, K, V, St, S>>, WriteError<B::Error>> {
        let owner = backend.owner();
        let boarding = self.wait(
            backend,
            |state| &mut state.turns,
            None,
            |state| match state.queue.board_all(keys, owner) {
                Boarding::Busy => None,
                Boarding::Begun => {
                    let aboard = keys.iter().map(|key| Aboard::new(self, key.clone()));
                    Some(Ok(aboard.collect::<Vec<_>>()))
                }
                Boarding::Recursive => Some(Err(WriteError::Recursive)),
                Boarding::Closed => Some(Err(WriteError::Closed)),
            },
        );
        boarding.await.unwrap_or(Err(WriteError::Closed))
    }

    /// Calls the store for keys that have been boarded.
    async fn fly_all<B: Backend<K, V>>(
        &self,
        backend: &B,
        aboard: Vec<Aboard<'_, K, V, St, S>>,
        keys: &[Named<K>],
        values: Vec<V>,
    ) -> Outcomes<B::Error> {
        let pairs: Vec<(&K, &V)> = keys.iter().map(|key| &**key).zip(&values).collect();
        let answer = self.write_many(backend, &pairs).await;
        drop(pairs);
        let Some(outcomes) = answer else {
            // Dropping who is aboard tells that nobody knows.
            drop((aboard, values));
            return refused(keys.len(), &WriteError::BadAnswer);
        };
        let settled = aboard.into_iter().zip(outcomes).zip(values);
        let settle = |((aboard, outcome), value): ((Aboard<'_, K, V, St, S>, _), V)| {
            aboard.settle(outcome, Some(value), EntryOptions::new())
        };
        settled.map(settle).collect()
    }

    async fn put_many_around<B: Backend<K, V>>(
        &self,
        backend: &B,
        entries: Vec<(K, V)>,
    ) -> Outcomes<B::Error> {
        let keys = entries.iter().map(|(key, _)| key.clone()).collect();
        let Some(passing) = self.pass(keys) else {
            let size = entries.len();
            drop(entries);
            return refused(size, &WriteError::Closed);
        };
        let pairs: Vec<(&K, &V)> = entries.iter().map(|(key, value)| (key, value)).collect();
        let answer = self.write_many(backend, &pairs).await;
        drop(passing);
        let error = |(error, is_ambiguous)| match is_ambiguous {
            true => WriteError::Ambiguous(error),
            false => WriteError::Store(error),
        };
        let outcomes = match answer {
            Some(outcomes) => outcomes.into_iter().map(|o| o.map_err(error)).collect(),
            None => refused(entries.len(), &WriteError::BadAnswer),
        };
        drop(entries);
        outcomes
    }

    /// One call of the store. `None` if the answer makes no sense.
    async fn write_many<B: Backend<K, V>>(
        &self,
        backend: &B,
        pairs: &[(&K, &V)],
    ) -> Option<Vec<Result<(), (Arc<B::Error>, bool)>>> {
        if pairs.is_empty() {
            return Some(Vec::new());
        }
        self.calls.writes.fetch_add(1, Ordering::Relaxed);
        let answer: Result<Written<B::Error>, B::Error> = backend.write_many(pairs).await;
        match answer {
            Ok(written) => {
                let judge = |error: B::Error| {
                    let is_ambiguous = backend.is_ambiguous(&error);
                    (Arc::new(error), is_ambiguous)
                };
                let outcomes = written.outcomes(pairs.len())?;
                Some(outcomes.into_iter().map(|outcome| outcome.map_err(judge)).collect())
            }
            Err(error) => {
                let is_ambiguous = backend.is_ambiguous(&error);
                let error = Arc::new(error);
                Some(pairs.iter().map(|_| Err((Arc::clone(&error), is_ambiguous))).collect())
            }
        }
    }
}

fn refused<E>(len: usize, error: &WriteError<E>) -> Outcomes<E> {
    (0..len).map(|_| Err(error.clone())).collect()
}

/// The last entry of each key, and for each entry that was given, which of
/// these it became.
fn without_duplicates<K: StoreKey, V>(entries: Vec<(K, V)>) -> (Vec<usize>, Vec<(K, V)>) {
    let mut of_key: HashMap<&K, usize> = HashMap::with_capacity(entries.len());
    let mut places = Vec::with_capacity(entries.len());
    for (key, _) in &entries {
        let next = of_key.len();
        places.push(*of_key.entry(key).or_insert(next));
    }
    let mut unique: Vec<(K, V)> = Vec::with_capacity(of_key.len());
    drop(of_key);
    for (place, (key, value)) in places.iter().zip(entries) {
        match unique.get_mut(*place) {
            Some(earlier) => earlier.1 = value,
            None => unique.push((key, value)),
        }
    }
    (places, unique)
}
