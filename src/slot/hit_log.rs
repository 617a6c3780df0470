//! Hits, noted by readers in the order they came, for policies that need it.
//!
//! A reader appends one number; whoever holds the shard's lock next hands them
//! to the policy before it does anything else. From one thread nothing is ever
//! lost or out of order, so an exact LRU stays exact. When many threads fill
//! the log faster than it can be emptied, further hits are dropped rather than
//! waited for: a hit never waits for anybody.

use super::Slot;
use crate::sync::modelled::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Long enough that emptying it costs little for each hit, short enough to
/// stay in the first-level cache (256 bytes).
const LEN: usize = if cfg!(larder_loom) { 2 } else { 64 };

/// What became of a noted hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Noted {
    Kept,
    /// Kept, and the log is full: empty it if the lock is free.
    Filled,
    Dropped,
}

pub(crate) struct HitLog {
    next: AtomicUsize,
    slots: [AtomicU32; LEN],
}

impl Default for HitLog {
    fn default() -> Self {
        HitLog {
            next: AtomicUsize::new(0),
            slots: std::array::from_fn(|_| AtomicU32::new(Slot::NONE)),
        }
    }
}

impl HitLog {
    pub(crate) fn push(&self, slot: Slot) -> Noted {
        // Looking first keeps a full log from being written by every reader.
        if self.next.load(Ordering::Relaxed) >= LEN {
            return Noted::Dropped;
        }
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        if at >= LEN {
            return Noted::Dropped;
        }
        self.slots[at].store(slot.raw(), Ordering::Release);
        if at == LEN - 1 { Noted::Filled } else { Noted::Kept }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.next.load(Ordering::Relaxed) == 0
    }

    /// Hands out the noted hits, oldest first. One caller at a time: the one
    /// that holds the shard's lock.
    pub(crate) fn drain(&self, mut each: impl FnMut(Slot)) {
        let noted = self.next.load(Ordering::Relaxed).min(LEN);
        if noted == 0 {
            return;
        }
        for cell in &self.slots[..noted] {
            // A reader that has its place but has not filled it yet leaves
            // `NONE` here; its note comes late or is lost, as the promise above
            // allows.
            if let Some(slot) = Slot::from_raw(cell.load(Ordering::Acquire)) {
                cell.store(Slot::NONE, Ordering::Relaxed);
                each(slot);
            }
        }
        self.next.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(log: &HitLog) -> Vec<usize> {
        let mut seen = Vec::new();
        log.drain(|slot| seen.push(slot.index()));
        seen
    }

    #[test]
    fn hits_come_out_in_the_order_they_went_in_and_only_once() {
        let log = HitLog::default();
        for index in [3, 1, 3] {
            assert_eq!(log.push(Slot::from_index(index)), Noted::Kept);
        }
        assert_eq!(drained(&log), [3, 1, 3]);
        assert_eq!(drained(&log), [0; 0]);
    }

    #[test]
    fn a_full_log_says_so_once_and_then_drops() {
        let log = HitLog::default();
        for index in 0..LEN - 1 {
            assert_eq!(log.push(Slot::from_index(index)), Noted::Kept);
        }
        assert_eq!(log.push(Slot::from_index(LEN)), Noted::Filled);
        assert_eq!(log.push(Slot::from_index(7)), Noted::Dropped);
        assert_eq!(drained(&log).len(), LEN);
        assert_eq!(log.push(Slot::from_index(7)), Noted::Kept);
    }
}
