//! Where entries live: numbered cells that never move.
//!
//! A cell keeps what the shard and its policy look at often (hash, hits) next
//! to a shared pointer to the entry itself. The pointer is what lets a reader
//! go on with an entry after the lock is gone, and what makes the last one who
//! holds it drop the value.

use crate::slot::{HITS_MAX, Residents, Slot};
use crate::tags::TagSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// One entry: written once, then only read, and dropped by whoever lets go of
/// it last.
pub(crate) struct Node<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    pub(crate) tags: TagSet,
}

struct Cell<K, V> {
    node: Option<Arc<Node<K, V>>>,
    /// The hash of an occupied cell; of a free one, the next free cell.
    hash_or_next: u32,
    hits: AtomicU8,
}

pub(crate) struct Slab<K, V> {
    cells: Vec<Cell<K, V>>,
    /// Empty as long as every entry weighs 1, which is most caches.
    weights: Vec<u32>,
    free: u32,
    len: usize,
}

impl<K, V> Slab<K, V> {
    pub(crate) fn new() -> Self {
        Slab { cells: Vec::new(), weights: Vec::new(), free: Slot::NONE, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// One more than the highest slot that was ever taken.
    pub(crate) fn slots(&self) -> usize {
        self.cells.len()
    }

    pub(crate) fn insert(&mut self, hash: u32, weight: u32, node: Arc<Node<K, V>>) -> Slot {
        let cell = Cell { node: Some(node), hash_or_next: hash, hits: AtomicU8::new(0) };
        let slot = match Slot::from_raw(self.free) {
            Some(slot) => {
                self.free = self.cells[slot.index()].hash_or_next;
                self.cells[slot.index()] = cell;
                slot
            }
            None => {
                let slot = Slot::from_index(self.cells.len());
                self.cells.push(cell);
                slot
            }
        };
        self.set_weight(slot, weight);
        self.len += 1;
        slot
    }

    /// Empties `slot`, which is occupied.
    pub(crate) fn remove(&mut self, slot: Slot) -> Arc<Node<K, V>> {
        let cell = &mut self.cells[slot.index()];
        let node = cell.node.take().expect("only occupied slots are removed");
        cell.hash_or_next = self.free;
        self.free = slot.raw();
        self.len -= 1;
        node
    }

    /// Puts another entry of the same key into `slot`, which is occupied.
    pub(crate) fn replace(&mut self, slot: Slot, node: Arc<Node<K, V>>) -> Arc<Node<K, V>> {
        let old = self.cells[slot.index()].node.replace(node);
        old.expect("only occupied slots are replaced")
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Arc<Node<K, V>>> {
        self.cells.get(slot.index())?.node.as_ref()
    }

    pub(crate) fn set_weight(&mut self, slot: Slot, weight: u32) {
        if self.weights.is_empty() && weight == 1 {
            return;
        }
        if self.weights.len() < self.cells.len() {
            self.weights.resize(self.cells.len(), 1);
        }
        self.weights[slot.index()] = weight;
    }

    /// Notes a hit, for policies that count them.
    #[inline]
    pub(crate) fn bump(&self, slot: Slot) {
        let hits = &self.cells[slot.index()].hits;
        let noted = hits.load(Ordering::Relaxed);
        // Two readers may both write the same sum: one hit less is counted,
        // and neither waits. Once saturated, nobody writes at all.
        if noted < HITS_MAX {
            hits.store(noted + 1, Ordering::Relaxed);
        }
    }

    pub(crate) fn occupied(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..self.cells.len())
            .filter(|index| self.cells[*index].node.is_some())
            .map(Slot::from_index)
    }

    /// Checks that free cells and occupied ones are all there is.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let occupied = self.occupied().count();
        if occupied != self.len {
            return Err(format!("slab: {occupied} cells are occupied but {} counted", self.len));
        }
        let (mut free, mut at) = (0, Slot::from_raw(self.free));
        while let Some(slot) = at {
            if self.get(slot).is_some() {
                return Err(format!("slab: {slot:?} is free and occupied"));
            }
            free += 1;
            if free > self.cells.len() {
                return Err("slab: the free cells form a circle".to_owned());
            }
            at = Slot::from_raw(self.cells[slot.index()].hash_or_next);
        }
        if free + occupied != self.cells.len() {
            return Err(format!("slab: {} cells, {free} free, {occupied} taken", self.cells.len()));
        }
        Ok(())
    }
}

impl<K, V> Residents for Slab<K, V> {
    fn hash(&self, slot: Slot) -> u32 {
        self.cells[slot.index()].hash_or_next
    }

    fn weight(&self, slot: Slot) -> u32 {
        self.weights.get(slot.index()).copied().unwrap_or(1)
    }

    fn hits(&self, slot: Slot) -> u8 {
        self.cells[slot.index()].hits.load(Ordering::Relaxed)
    }

    fn set_hits(&self, slot: Slot, hits: u8) {
        self.cells[slot.index()].hits.store(hits, Ordering::Relaxed);
    }
}
