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

    fn counter<Q: Hash + ?Sized>(&self, key: &Q) -> &AtomicU32 {
        &self.counters[self.hasher.hash_one(key) as usize % COUNTERS]
    }

    pub(super) fn add<Q: Hash + ?Sized>(&self, key: &Q) {
        self.counter(key).fetch_add(1, Ordering::Release);
    }

    pub(super) fn remove<Q: Hash + ?Sized>(&self, key: &Q) {
        self.counter(key).fetch_sub(1, Ordering::Release);
    }

    /// Whether there may be a record of `key`.
    pub(crate) fn may_have<Q: Hash + ?Sized>(&self, key: &Q) -> bool {
        self.counter(key).load(Ordering::Acquire) > 0
    }
}
