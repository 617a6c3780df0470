//! Write-back: acknowledged once cached and queued, stored later.
//!
//! ```text
//!   admit        room, or wait for it; the key is pinned
//!   journal      if there is one: wait until the write is safe there
//!   record       from here on the change is the truth: readers see it
//!   show         the cache has it
//!   unpin        put returns
//! ```
//!
//! [`queue`] decides, [`flusher`] does.

mod backoff;
pub(crate) mod filter;
pub(crate) mod flusher;
pub(crate) mod queue;

use super::backend::Backend;
use super::engine::{Engine, Pinned};
use super::errors::{FailedWrite, WriteError};
use super::journal::{Commit, Entry};
use super::policy::{Overflow, WriteBack};
use super::through::Aboard;
use super::{StoreKey, StoreValue};
use crate::cache::EntryOptions;
use crate::steady::Steady;
use crate::wait::deadline_in;
use queue::{Admission, Boarding, Change, Named, Ticket};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

/// A write that was admitted, and the right to record it. Dropped before it
/// was recorded, in a task that was cancelled, it is recorded all the same if
/// the journal may have it already: what the next start would bring back must
/// not differ from what this process believes.
struct Admitted<'a, K: StoreKey, V: StoreValue, St, S: BuildHasher> {
    engine: &'a Engine<K, V, St, S>,
    key: Named<K>,
    version: u64,
    change: Option<(Ticket, Change<V>)>,
    commit: Option<Arc<Commit>>,
    pin: Pinned<'a, K, V, St, S>,
}

/// What came of asking for room.
enum Asked<'a, K: StoreKey, V: StoreValue, St, S: BuildHasher> {
    Admitted(Admitted<'a, K, V, St, S>),
    /// No room: the writer has boarded the key and shall call the store.
    Boarded(Aboard<'a, K, V, St, S>, Change<V>),
    Failed(Refusal),
}

enum Refusal {
    Closed,
    Full { dirty: usize },
    TimedOut { dirty: usize },
}

impl<K: StoreKey, V: StoreValue, St, S: BuildHasher> Admitted<'_, K, V, St, S> {
    /// Records the change and lets the cache have it. False if everything
    /// ended meanwhile.
    fn publish(mut self, options: EntryOptions) -> bool {
        // Before the ticket is taken: it may panic.
        let for_cache = self.change.as_ref().and_then(|(_, change)| change.clone());
        let Some((ticket, change)) = self.change.take() else { return false };
        // Until the cache has it: what is dropped on the way may panic.
        self.pin.distrust();
        let is_taken = self.record(ticket, change);
        if is_taken {
            self.pin.show(for_cache, options);
        }
        is_taken
    }

    fn record(&self, ticket: Ticket, change: Change<V>) -> bool {
        let now = self.engine.now();
        self.engine.visit(|state| {
            if state.queue.is_over() {
                state.queue.withdraw(ticket);
                state.queue.trash.push((None, change));
                return false;
            }
            let dirty = state.queue.dirty();
            if state.queue.record(&self.key, ticket, (self.version, change), now) {
                state.ring_workers();
            }
            if state.queue.is_closed() || state.queue.dirty() == dirty {
                // Whoever closes waits for this; and whoever waits for room may have
                // that which was kept for this.
                state.ring_waiters();
            }
            true
        })
    }
}

impl<K: StoreKey, V: StoreValue, St, S: BuildHasher> Drop for Admitted<'_, K, V, St, S> {
    fn drop(&mut self) {
        let Some((ticket, change)) = self.change.take() else { return };
        let may_be_journaled = self.commit.as_ref().is_some_and(|commit| !commit.has_failed());
        if may_be_journaled {
            let mut steady = Steady::default();
            let for_cache = steady.step(|| change.clone());
            self.pin.distrust();
            let is_taken = steady.step(|| self.record(ticket, change)).unwrap_or(true);
            if let Some(change) = for_cache.filter(|_| is_taken) {
                steady.step(|| self.pin.show(change, EntryOptions::new()));
            }
            steady.finish_drop();
        } else {
            self.engine.visit(|state| {
                state.queue.withdraw(ticket);
                state.queue.trash.push((None, change));
                state.ring_waiters();
            });
        }
    }
}

impl<K: StoreKey, V: StoreValue, St: Sync, S: BuildHasher + Sync + Send> Engine<K, V, St, S> {
    pub(crate) async fn put_back<B: Backend<K, V>>(
        &self,
        backend: &B,
        settings: &WriteBack,
        (key, change, options): (K, Change<V>, EntryOptions),
    ) -> Result<(), WriteError<B::Error>> {
        match self.ask(backend, settings, key, change).await? {
            Asked::Admitted(admitted) => complete(admitted, options).await,
            Asked::Boarded(aboard, change) => self.fly(backend, aboard, (change, options)).await,
            Asked::Failed(_) => Err(WriteError::Closed),
        }
    }

    /// All of them, so that a journal is synced once for many. Each has its
    /// own outcome.
    pub(crate) async fn put_many_back<B: Backend<K, V>>(
        &self,
        backend: &B,
        settings: &WriteBack,
        entries: Vec<(K, Change<V>)>,
    ) -> Vec<Result<(), WriteError<B::Error>>> {
        // Those that are admitted take up room before they can be stored, so
        // not too many at once.
        let chunk = (settings.max_dirty / 4).clamp(1, 256);
        let mut outcomes = Vec::with_capacity(entries.len());
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            let mut asked = Vec::new();
            for (key, change) in entries.by_ref().take(chunk) {
                asked.push(match self.ask(backend, settings, key, change).await {
                    Ok(Asked::Admitted(admitted)) => Ok(Some(admitted)),
                    Ok(Asked::Boarded(aboard, change)) => {
                        let options = EntryOptions::new();
                        self.fly(backend, aboard, (change, options)).await.map(|()| None)
                    }
                    Ok(Asked::Failed(_)) => Err(WriteError::Closed),
                    Err(error) => Err(error),
                });
            }
            for one in asked {
                outcomes.push(match one {
                    Ok(Some(admitted)) => complete(admitted, EntryOptions::new()).await,
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                });
            }
        }
        outcomes
    }

    async fn ask<B: Backend<K, V>>(
        &self,
        backend: &B,
        settings: &WriteBack,
        key: K,
        change: Change<V>,
    ) -> Result<Asked<'_, K, V, St, S>, WriteError<B::Error>> {
        let entry = match &self.journal {
            Some(journal) => match journal.encode(&key, &change) {
                Ok(entry) => Some(entry),
                Err(reason) => {
                    // Before the reason is on its way out: see `steady`.
                    drop((key, change));
                    return Err(WriteError::Journal(reason));
                }
            },
            None => None,
        };
        let (overflow, owner) = (settings.overflow, backend.owner());
        let timeout = match overflow {
            Overflow::Block { timeout } => timeout,
            _ => Duration::ZERO,
        };
        let mut key = self.named(key);
        let mut offer = Some((entry, change));
        let mut dirty = 0;
        let asked = self.wait(
            backend,
            |state| &mut state.space,
            deadline_in(timeout),
            |state| match state.queue.admit(&mut key) {
                Admission::Closed => Some(Asked::Failed(Refusal::Closed)),
                Admission::Admitted(ticket) => {
                    let (entry, change) = offer.take()?;
                    let version = state.queue.next_version();
                    let commit = self.enqueue(version, entry);
                    let pin = Pinned::new(self, &key);
                    let key = key.clone();
                    let change = Some((ticket, change));
                    Some(Asked::Admitted(Admitted {
                        engine: self,
                        key,
                        version,
                        change,
                        commit,
                        pin,
                    }))
                }
                Admission::Full { dirty: now } => {
                    dirty = now;
                    match overflow {
                        Overflow::Block { .. } => {
                            // Room comes from writing, which may not be due for long.
                            state.queue.hasten();
                            state.ring_workers();
                            None
                        }
                        Overflow::Reject => Some(Asked::Failed(Refusal::Full { dirty })),
                        Overflow::WriteThrough => match state.queue.board(&mut key, owner) {
                            Boarding::Begun => {
                                let aboard = Aboard::new(self, key.clone());
                                let (_, change) = offer.take()?;
                                Some(Asked::Boarded(aboard, change))
                            }
                            // A key in flight is dirty, and so was admitted.
                            _ => Some(Asked::Failed(Refusal::Closed)),
                        },
                    }
                }
            },
        );
        match asked.await.unwrap_or(Asked::Failed(Refusal::TimedOut { dirty })) {
            Asked::Failed(refusal) => Err(refusal.into_error(settings, timeout)),
            asked => Ok(asked),
        }
    }

    /// Under the lock, so that the journal has writes in the order of their
    /// versions.
    fn enqueue(&self, version: u64, entry: Option<Entry>) -> Option<Arc<Commit>> {
        let (journal, entry) = (self.journal.as_ref()?, entry?);
        Some(journal.append(version, entry))
    }
}

impl<K: StoreKey, V: StoreValue, St, S: BuildHasher> Engine<K, V, St, S> {
    pub(crate) fn discard_failed(&self) -> Vec<FailedWrite<K, V>> {
        let discarded = self.visit(|state| {
            let discarded = state.queue.discard_failed();
            state.ring_waiters();
            // Here already, in case that a drop ends this.
            let pinned = |(key, version, write)| (Pinned::new(self, &key), key, version, write);
            discarded.into_iter().map(pinned).collect::<Vec<_>>()
        });
        let mut writes = Vec::with_capacity(discarded.len());
        let mut steady = Steady::default();
        for (pinned, key, version, write) in discarded {
            steady.step(|| drop(pinned));
            if let Some(journal) = &self.journal {
                steady.step(|| journal.forget(&[(&key, version)]));
            }
            writes.extend(write);
            steady.step(|| drop(key));
        }
        steady.finish();
        writes
    }
}

/// Waits for the journal, and makes the write visible.
async fn complete<E, K: StoreKey, V: StoreValue, St, S: BuildHasher>(
    admitted: Admitted<'_, K, V, St, S>,
    options: EntryOptions,
) -> Result<(), WriteError<E>> {
    let committed = match &admitted.commit {
        Some(commit) => commit.done().await,
        None => Ok(()),
    };
    if let Err(reason) = committed {
        drop(admitted);
        return Err(WriteError::Journal(reason));
    }
    match admitted.publish(options) {
        true => Ok(()),
        false => Err(WriteError::Closed),
    }
}

impl Refusal {
    fn into_error<E>(self, settings: &WriteBack, waited: Duration) -> WriteError<E> {
        match self {
            Refusal::Closed => WriteError::Closed,
            Refusal::Full { dirty } => {
                WriteError::QueueFull { dirty, max_dirty: settings.max_dirty }
            }
            Refusal::TimedOut { dirty } => WriteError::TimedOut { waited, dirty },
        }
    }
}
