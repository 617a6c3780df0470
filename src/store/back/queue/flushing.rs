//! Barriers, and the end.

use super::{Barrier, Named, Place, Queue, Record};
use crate::steady::Steady;
use crate::store::errors::Failure;
use std::hash::Hash;

impl<K: Hash + Eq + Clone, V: Clone> Queue<K, V> {
    /// Hastens all that was written so far, or `key` alone, and returns a
    /// number to ask [`is_reached`](Queue::is_reached) with.
    pub(crate) fn barrier(&mut self, key: Option<(u64, &K)>) -> u64 {
        let mut upto = self.unit;
        let key = key.map(|(hash, key)| self.records.find(hash, key).map(|(key, _)| key.clone()));
        let (key, remaining) = match key {
            None => {
                // Whoever closes has hastened all there will be.
                self.hurry = self.hurry.max(upto);
                (None, self.units)
            }
            Some(None) => {
                upto = 0;
                (None, 0)
            }
            Some(Some(key)) => {
                let units = self.records.get(&key).map_or(0, Record::units);
                if self.records.get(&key).is_some_and(|record| record.place == Place::Fresh) {
                    self.schedule(&key, 0);
                }
                (Some(key), units)
            }
        };
        let id = self.next_barrier;
        self.next_barrier += 1;
        self.barriers.push(Barrier { id, upto, key, remaining });
        id
    }

    /// Hastens all that was written so far: somebody waits for room.
    pub(crate) fn hasten(&mut self) {
        self.hurry = self.hurry.max(self.unit);
    }

    /// A unit that was behind a flight, when somebody came to wait for its key, is as
    /// urgent as one that was not.
    pub(super) fn hasten_if_awaited(&mut self, key: &Named<K>, unit: u64) {
        let waits = |barrier: &Barrier<K>| {
            unit <= barrier.upto && barrier.key.as_ref().is_some_and(|own| own.is(key))
        };
        if self.barriers.iter().any(waits) {
            self.schedule(key, 0);
        }
    }

    /// How many units a barrier still waits for.
    pub(crate) fn remaining(&self, id: u64) -> usize {
        self.barriers.iter().find(|barrier| barrier.id == id).map_or(0, |b| b.remaining)
    }

    pub(crate) fn is_reached(&self, id: u64) -> bool {
        self.remaining(id) == 0
    }

    /// Ends a barrier. The keys whose write from before it has failed.
    pub(crate) fn lift(&mut self, id: u64) -> Vec<K> {
        let Some(at) = self.barriers.iter().position(|barrier| barrier.id == id) else {
            return Vec::new();
        };
        let barrier = self.barriers.swap_remove(at);
        self.trash.push((barrier.key.clone(), None));
        let is_meant = |key: &Named<K>| barrier.key.as_ref().is_none_or(|own| own.is(key));
        let failed = self.failed.range(..=barrier.upto).map(|(_, key)| key);
        failed.filter(|key| is_meant(key)).map(|key| K::clone(key)).collect()
    }

    pub(super) fn resolve(&mut self, key: &Named<K>, unit: Option<u64>) {
        let Some(unit) = unit else { return };
        self.units -= 1;
        for barrier in &mut self.barriers {
            let is_meant = barrier.key.as_ref().is_none_or(|own| own.is(key));
            if is_meant && unit <= barrier.upto {
                barrier.remaining -= 1;
            }
        }
    }

    /// Refuses further writes, and hastens all that waits: also what waits to
    /// be tried again, once.
    pub(crate) fn close(&mut self) {
        if self.is_closed {
            return;
        }
        self.is_closed = true;
        self.hurry = u64::MAX;
        let waiting: Vec<Named<K>> = self.timed.values().cloned().collect();
        for key in waiting {
            self.schedule(&key, 0);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether all that was admitted has been stored or given up.
    pub(crate) fn is_drained(&self) -> bool {
        self.units == 0 && self.pending == 0
    }

    /// Ends everything: gives up what waits, and takes no more retries.
    /// Returns the keys that were waiting and those in flight, but for those
    /// whose clone panics, which `steady` is left to tell.
    pub(crate) fn abandon(&mut self, steady: &mut Steady) -> (Vec<K>, Vec<K>) {
        self.is_closed = true;
        let waiting: Vec<Named<K>> =
            self.fresh.values().chain(self.timed.values()).cloned().collect();
        self.fresh.clear();
        self.timed.clear();
        for key in &waiting {
            if let Some(record) = self.records.get_mut(key) {
                record.failure.get_or_insert(Failure::Closed);
            }
            steady.step(|| self.bury(key));
        }
        self.is_over = true;
        let mut in_flight = Vec::new();
        for (key, record) in self.records.iter().filter(|(_, record)| record.is_under_way()) {
            self.counts.dead += 1;
            self.dead.extend(steady.step(|| record.failed_write(key, true)).flatten());
            in_flight.extend(steady.step(|| K::clone(key)));
        }
        (waiting.iter().filter_map(|key| steady.step(|| K::clone(key))).collect(), in_flight)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }
}
