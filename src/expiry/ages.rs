//! How old values are, and what it took to load them.
//!
//! Kept only by a cache that reloads values before they expire; any other pays
//! one check for a value that is stored.

use super::Lifetimes;
use crate::slot::Slot;
use crate::slot::chunks::Chunks;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[derive(Default)]
struct Age {
    written_at: AtomicU64,
    /// How long the load took; 0 if it was not loaded.
    load_nanos: AtomicU64,
    /// No reload before this, since one has failed.
    retry_at: AtomicU64,
    /// How many reloads in a row have failed.
    failures: AtomicU32,
}

impl Age {
    fn copied(&self) -> ([u64; 3], u32) {
        let numbers = [&self.written_at, &self.load_nanos, &self.retry_at];
        let numbers = numbers.map(|number| number.load(Ordering::Relaxed));
        (numbers, self.failures.load(Ordering::Relaxed))
    }
}

/// The ages of a shard's values. Absent until the first one is noted.
#[derive(Default)]
pub(crate) struct Ages(Option<Box<Chunks<Age>>>);

/// What is known of a value's age.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Freshness {
    pub(crate) written_at: u64,
    pub(crate) load_nanos: u64,
    pub(crate) retry_at: u64,
}

impl Ages {
    /// Notes that a value was stored at `slot` just now, and what it took to
    /// load it.
    #[inline]
    pub(crate) fn begin<K, V>(&mut self, slot: Slot, lifetimes: &Lifetimes<K, V>, nanos: u64) {
        if lifetimes.keeps_ages {
            self.note(slot, lifetimes.now(), nanos);
        }
    }

    fn note(&mut self, slot: Slot, now: u64, load_nanos: u64) {
        let age = self.0.get_or_insert_default().of(slot);
        age.written_at.store(now, Ordering::Relaxed);
        age.load_nanos.store(load_nanos, Ordering::Relaxed);
        age.retry_at.store(0, Ordering::Relaxed);
        age.failures.store(0, Ordering::Relaxed);
    }

    /// The value at `from` is at `to` now.
    pub(crate) fn follow(&mut self, from: Slot, to: Slot) {
        let Some(ages) = &mut self.0 else { return };
        let Some(age) = ages.get(from).map(Age::copied) else { return };
        let to = ages.of(to);
        for (number, value) in [&to.written_at, &to.load_nanos, &to.retry_at].iter().zip(age.0) {
            number.store(value, Ordering::Relaxed);
        }
        to.failures.store(age.1, Ordering::Relaxed);
    }

    /// Gives back the memory for slots from `end` on, where no value is.
    pub(crate) fn cut(&mut self, end: usize) {
        if let Some(ages) = &mut self.0 {
            ages.cut(end);
        }
    }

    /// Notes that a reload of the value at `slot` has failed: the next one has
    /// to wait for `pause`, and twice as long after each further failure, up to
    /// 64 times.
    pub(crate) fn failed(&self, slot: Slot, pause: u64, now: u64) {
        if let Some(age) = self.age(slot) {
            let failures = age.failures.fetch_add(1, Ordering::Relaxed).min(6);
            let retry_at = now.saturating_add(pause.saturating_mul(1 << failures));
            age.retry_at.store(retry_at, Ordering::Relaxed);
        }
    }

    pub(crate) fn of(&self, slot: Slot) -> Option<Freshness> {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        self.age(slot).map(|age| Freshness {
            written_at: load(&age.written_at),
            load_nanos: load(&age.load_nanos),
            retry_at: load(&age.retry_at),
        })
    }

    fn age(&self, slot: Slot) -> Option<&Age> {
        self.0.as_ref().and_then(|ages| ages.get(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_64_times_and_begin_anew_with_the_next_value() {
        let mut ages = Ages::default();
        let slot = Slot::from_index(3);
        assert_eq!(ages.of(slot), None);
        for _ in 0..2 {
            ages.note(slot, 5, 0);
            assert_eq!(ages.of(slot).unwrap().retry_at, 0);
            for factor in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
                ages.failed(slot, 10, 100);
                assert_eq!(ages.of(slot).unwrap().retry_at, 100 + 10 * factor);
            }
        }
        ages.failed(slot, u64::MAX, 100);
        assert_eq!(ages.of(slot).unwrap().retry_at, u64::MAX);
    }
}
