//! A quick no: whether the queue may have a say about a key.
//!
//! Every read asks, and nearly always there is nothing, so the answer costs one
//! hash and one load of a number that only writers change.

use crate::hash::DefaultHashBuilder;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU32, Ordering};

/// 16 KiB. With a thousand records, a quarter of the clean keys ask in vain.
const COUNTERS: usize = 4096;

pub(crate) struct Filter {
    counters: Box<[AtomicU32]>,
    hasher: DefaultHashBuilder,
}

impl Filter {
    pub(crate) fn new() -> Self {
        let counters = (0..COUNTERS).map(|_| AtomicU32::new(0)).collect();
        Filter { counters, hasher: DefaultHashBuilder::default() }
    }

    pub(crate) fn hasher(&self) -> &DefaultHashBuilder {
        &self.hasher
    }

    /// What the other methods ask for instead of `key`.
    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    #[inline]
    fn counter(&self, hash: u64) -> &AtomicU32 {
        &self.counters[hash as usize % COUNTERS]
    }

    pub(super) fn add(&self, hash: u64) {
        self.counter(hash).fetch_add(1, Ordering::Release);
    }

    pub(super) fn remove(&self, hash: u64) {
        self.counter(hash).fetch_sub(1, Ordering::Release);
    }

    /// Whether there may be a record of the key.
    #[inline]
    pub(crate) fn may_have(&self, hash: u64) -> bool {
        self.counter(hash).load(Ordering::Acquire) > 0
    }
}
