//! Values that know who wrote them, and are counted while they live.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the values that it makes until they are dropped.
#[derive(Default)]
pub struct Ledger {
    made: AtomicU64,
    live: AtomicU64,
    live_max: AtomicU64,
}

/// A value: written once, by `writer`, for `key`, as its `version`.
pub struct Live {
    /// Counts from 0, in the order in which values are made.
    pub id: u64,
    pub key: u64,
    pub writer: u64,
    pub version: u64,
    ledger: Arc<Ledger>,
}

/// Shared, so that a read does not make another one.
pub type Value = Arc<Live>;

impl Ledger {
    pub fn make(self: &Arc<Self>, key: u64, writer: u64, version: u64) -> Value {
        let id = self.made.fetch_add(1, Ordering::Relaxed);
        let live = self.live.fetch_add(1, Ordering::Relaxed) + 1;
        self.live_max.fetch_max(live, Ordering::Relaxed);
        Arc::new(Live { id, key, writer, version, ledger: Arc::clone(self) })
    }

    /// How many values were made.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// How many of them live now.
    pub fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// How many of them have lived at the same time.
    pub fn live_max(&self) -> u64 {
        self.live_max.load(Ordering::Relaxed)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let before = self.ledger.live.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "a value was dropped twice");
    }
}
