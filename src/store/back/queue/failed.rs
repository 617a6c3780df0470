//! Writes that were given up.

use super::{Named, Place, Queue};
use crate::store::errors::FailedWrite;
use std::hash::Hash;

/// A key that was given up for good, the version, and what there was to write.
pub(crate) type Discarded<K, V> = (Named<K>, u64, Option<FailedWrite<K, V>>);

impl<K: Hash + Eq + Clone, V: Clone> Queue<K, V> {
    pub(crate) fn failed(&self) -> Vec<FailedWrite<K, V>> {
        let records = self.failed.values().filter_map(|key| Some((key, self.records.get(key)?)));
        records.filter_map(|(key, record)| record.failed_write(key, false)).collect()
    }

    pub(crate) fn failed_keys(&self) -> Vec<K> {
        self.failed.values().map(|key| K::clone(key)).collect()
    }

    /// Gives every failed write another `max_attempts`. How many there were.
    pub(crate) fn retry_failed(&mut self, now: u64) -> usize {
        if self.is_closed {
            return 0;
        }
        let failed = std::mem::take(&mut self.failed);
        for key in failed.values() {
            if let Some(record) = self.records.get_mut(key) {
                (record.attempts, record.strikes, record.unit) = (0, 0, None);
            }
            self.begin_unit(key, now);
        }
        self.hurry = self.unit;
        failed.len()
    }

    /// Gives the failed writes up for good; they are pinned, so that their
    /// cached values can be forgotten, with their versions.
    pub(crate) fn discard_failed(&mut self) -> Vec<Discarded<K, V>> {
        // First all the clones: if one panics, nothing has changed.
        let write = |key: &Named<K>| self.records.get(key)?.failed_write(key, false);
        let writes: Vec<_> = self.failed.values().map(write).collect();
        let failed = std::mem::take(&mut self.failed);
        let mut discarded = Vec::with_capacity(failed.len());
        for (key, write) in failed.into_values().zip(writes) {
            let Some(record) = self.records.get_mut(&key) else { continue };
            let version = record.version;
            record.unit = None;
            record.place = Place::Nowhere;
            self.trash.push((None, record.change.take().flatten()));
            record.overlaps += 1;
            record.pins += 1;
            self.dirty -= 1;
            discarded.push((key, version, write));
        }
        discarded
    }
}
