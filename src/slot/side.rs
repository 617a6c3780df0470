//! A value beside every slot, at an address that never changes.
//!
//! Chunks double in size and are only ever added, so a reader needs no lock to
//! follow one, and nothing is allocated for slots that have no value yet.
//!
//! ```text
//!   chunk   0: slots 0–63   1: 64–191   2: 192–447   3: 448–959   …
//! ```

use super::Slot;
use std::sync::OnceLock;

const FIRST: usize = 64;
const FIRST_BITS: u32 = FIRST.trailing_zeros();

/// Enough for every slot there can be.
const CHUNKS: usize = 32 - FIRST_BITS as usize + 1;

pub(crate) struct Side<T> {
    chunks: [OnceLock<Box<[T]>>; CHUNKS],
}

impl<T> Default for Side<T> {
    fn default() -> Self {
        Side { chunks: [const { OnceLock::new() }; CHUNKS] }
    }
}

impl<T: Default> Side<T> {
    /// The value of `slot`, if anyone has asked for one of its chunk.
    pub(crate) fn get(&self, slot: Slot) -> Option<&T> {
        let (chunk, at) = place(slot);
        self.chunks[chunk].get().map(|values| &values[at])
    }

    /// The value of `slot`; a default one if it is the first of its chunk.
    pub(crate) fn of(&self, slot: Slot) -> &T {
        let (chunk, at) = place(slot);
        let len = FIRST << chunk;
        &self.chunks[chunk].get_or_init(|| (0..len).map(|_| T::default()).collect())[at]
    }
}

fn place(slot: Slot) -> (usize, usize) {
    let shifted = slot.index() + FIRST;
    let chunk = shifted.ilog2() - FIRST_BITS;
    (chunk as usize, shifted - (FIRST << chunk))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_slot_has_a_value_of_its_own_and_keeps_it() {
        let side: Side<AtomicUsize> = Side::default();
        assert!(side.get(Slot::from_index(5)).is_none());
        for index in 0..5000 {
            side.of(Slot::from_index(index)).store(index, Ordering::Relaxed);
        }
        for index in 0..5000 {
            let value = side.get(Slot::from_index(index)).unwrap();
            assert_eq!(value.load(Ordering::Relaxed), index);
        }
    }

    #[test]
    fn the_last_slot_there_can_be_has_a_place() {
        let (chunk, at) = place(Slot::from_index(u32::MAX as usize - 1));
        assert!(chunk < CHUNKS && at < FIRST << chunk);
    }
}
