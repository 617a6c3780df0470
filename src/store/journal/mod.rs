//! Where acknowledged writes are kept until the store has them.
//!
//! This file is what the write path knows of it; the journal itself is behind
//! the feature `journal`.

#[cfg(feature = "journal")]
mod backend;
#[cfg(feature = "journal")]
mod codec;
#[cfg(feature = "journal")]
mod file;
#[cfg(all(test, feature = "journal", larder_shuttle))]
mod model;
#[cfg(feature = "journal")]
mod open;

#[cfg(feature = "journal")]
pub use codec::{Codec, CodecError, Postcard};
#[cfg(feature = "journal")]
pub use open::{Durability, Journal, JournalError, JournalOptions};

use crate::store::back::queue::Change;
use crate::sync::Mutex;
use crate::wait::{WakerSet, wake_all};
use std::future::poll_fn;
use std::task::Poll;

/// A change as the journal keeps it: bytes, made before any lock is taken.
#[cfg_attr(not(feature = "journal"), expect(dead_code, reason = "read by the journal"))]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) change: Option<Vec<u8>>,
}

/// The journal as the write path sees it.
pub(crate) trait Log<K, V>: Send + Sync {
    /// Runs the user's codec, without a lock.
    fn encode(&self, key: &K, change: &Change<V>) -> Result<Entry, String>;
    /// Adds an entry to the commit that comes next. Called under the lock of
    /// the engine, so in the order of versions; takes a lock of its own, and
    /// no other.
    fn append(&self, version: u64, entry: Entry) -> std::sync::Arc<Commit>;
    /// The store has these versions.
    fn forget(&self, stored: &[(&K, u64)]);
    /// Writes what is pending, and lets go of the file.
    fn close(&self);
}

/// One commit of the journal, which many writers may wait for.
#[derive(Default)]
pub(crate) struct Commit {
    state: Mutex<CommitState>,
}

#[derive(Default)]
struct CommitState {
    outcome: Option<Result<(), String>>,
    waiting: WakerSet,
}

impl Commit {
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.state.lock().outcome, Some(Err(_)))
    }

    pub(crate) async fn done(&self) -> Result<(), String> {
        let mut waiter = Waiter { commit: self, id: None };
        poll_fn(move |cx| {
            let waker = cx.waker().clone();
            let mut state = self.state.lock();
            let (polled, unused) = match &state.outcome {
                Some(outcome) => (Poll::Ready(outcome.clone()), Some(waker)),
                None => (Poll::Pending, state.waiting.add(&mut waiter.id, waker)),
            };
            drop(state);
            drop(unused);
            polled
        })
        .await
    }

    #[cfg_attr(not(feature = "journal"), expect(dead_code, reason = "called by the journal"))]
    pub(crate) fn finish(&self, outcome: Result<(), String>) {
        let mut state = self.state.lock();
        state.outcome = Some(outcome);
        let waiting = state.waiting.drain();
        drop(state);
        wake_all(waiting);
    }
}

struct Waiter<'a> {
    commit: &'a Commit,
    id: Option<u64>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let waker = self.commit.state.lock().waiting.remove(id);
            drop(waker);
        }
    }
}
