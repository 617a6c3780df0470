use super::Script;
use crate::index::{Cursor, Index};
use crate::slot::Slot;
use std::collections::{BTreeMap, BTreeSet};

/// So many entries may be there at a time.
const ENTRIES: usize = 200;

/// An index beside a map, and a walk that must not miss what stays.
pub fn index(bytes: &[u8]) {
    let mut trial = Trial {
        index: Index::new(),
        entries: BTreeMap::new(),
        hashes: BTreeMap::new(),
        walk: None,
    };
    let mut script = Script(bytes);
    while !script.is_over() {
        trial.step(&mut script);
    }
    trial.conclude();
}

struct Walk {
    cursor: Cursor,
    /// What was there when it began, has not left, and was not met yet.
    due: BTreeSet<usize>,
    /// What was met, and has not left since.
    met: BTreeSet<usize>,
    is_blurred: bool,
    has_moved: bool,
}

struct Trial {
    index: Index,
    /// Of each entry its slot, which changes when it gets a new value.
    entries: BTreeMap<usize, Slot>,
    hashes: BTreeMap<Slot, u32>,
    walk: Option<Walk>,
}

impl Trial {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0..=6 => self.insert(script.below(ENTRIES), script.hash()),
            7..=9 => self.remove(script.below(ENTRIES)),
            10 | 11 => self.swing(script.below(ENTRIES)),
            12 => self.rebuild(self.entries.len() + script.below(256)),
            13 => {
                let due = self.entries.keys().copied().collect();
                self.walk = Some(Walk {
                    cursor: Cursor::default(),
                    due,
                    met: BTreeSet::new(),
                    is_blurred: false,
                    has_moved: false,
                });
            }
            14 => self.walk(script.below(32)),
            _ => self.validate(),
        }
    }

    fn insert(&mut self, entry: usize, hash: u32) {
        if self.entries.contains_key(&entry) {
            return;
        }
        if self.entries.len() == self.index.room() {
            self.rebuild(2 * self.entries.len());
        }
        let slot = Slot::from_index(entry);
        self.index.insert(hash, slot);
        if self.has_moved() && self.hashes.values().any(|other| *other == hash) {
            // See `Cursor::met_before`.
            self.walk = None;
        }
        self.entries.insert(entry, slot);
        self.hashes.insert(slot, hash);
        assert!(self.finds(slot));
    }

    fn remove(&mut self, entry: usize) {
        let Some(slot) = self.entries.remove(&entry) else { return };
        self.index.remove(self.hashes[&slot], slot);
        assert!(!self.finds(slot));
        let hash = self.hashes.remove(&slot);
        if let Some(walk) = &mut self.walk {
            walk.due.remove(&entry);
            walk.met.remove(&entry);
        }
        if self.hashes.values().any(|other| Some(*other) == hash) {
            self.blur();
        }
    }

    /// Whether the table was replaced since the walk began.
    fn has_moved(&self) -> bool {
        self.walk.as_ref().is_some_and(|walk| walk.has_moved)
    }

    /// Entries share a hash: if the table is replaced now, the walk may take one for
    /// another.
    fn blur(&mut self) {
        if let Some(walk) = &mut self.walk {
            walk.is_blurred = true;
        }
    }

    fn swing(&mut self, entry: usize) {
        let Some(slot) = self.entries.get(&entry).copied() else { return };
        let new = Slot::from_index(slot.index() ^ 1024);
        let hash = self.hashes[&slot];
        self.index.swing(hash, slot, new);
        assert!(!self.finds(slot));
        self.hashes.remove(&slot);
        self.hashes.insert(new, hash);
        self.entries.insert(entry, new);
        assert!(self.finds(new));
    }

    fn rebuild(&mut self, entries: usize) {
        let hashes = &self.hashes;
        self.index.rebuild_alone(entries, |slot| hashes[&slot]);
        assert!(self.index.room() >= entries);
        let distinct: BTreeSet<u32> = hashes.values().copied().collect();
        if distinct.len() < hashes.len() {
            self.blur();
        }
        if self.walk.as_ref().is_some_and(|walk| walk.is_blurred) {
            // See `Cursor::met_before`.
            self.walk = None;
        }
        if let Some(walk) = &mut self.walk {
            walk.has_moved = true;
        }
    }

    fn walk(&mut self, steps: usize) {
        for _ in 0..steps {
            let Some(walk) = &mut self.walk else { return };
            match self.index.next(&mut walk.cursor, |slot| self.hashes[&slot]) {
                Some(slot) => {
                    assert!(self.hashes.contains_key(&slot), "{slot:?} is not there");
                    let entry = slot.index() & 1023;
                    assert!(walk.met.insert(entry), "{slot:?} was met twice");
                    walk.due.remove(&entry);
                }
                None => {
                    assert_eq!(walk.due, BTreeSet::new(), "missed");
                    self.walk = None;
                }
            }
        }
    }

    fn finds(&self, slot: Slot) -> bool {
        let hash = self.hashes[&slot];
        let is_it = |other| (other == slot).then_some(());
        self.index.find(self.index.aim(hash), hash, is_it).is_some()
    }

    fn validate(&self) {
        self.index.validate(|slot| self.hashes[&slot]).unwrap();
        let slots: BTreeSet<Slot> = self.index.slots().collect();
        assert!(slots.iter().eq(self.hashes.keys()));
    }

    fn conclude(mut self) {
        self.validate();
        assert!(self.hashes.keys().all(|slot| self.finds(*slot)));
        self.walk(usize::MAX);
    }
}
