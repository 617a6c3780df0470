use super::Script;
use crate::slab::Entry;
use crate::slot::{HITS_MAX, Residents, Slot};
use crate::tags::TagSet;
use crate::vault::{Held, Left, Locked, Vault, Watched};
use std::collections::BTreeMap;
use std::rc::Rc;

type Key = u8;
type Value = Rc<u32>;
type Subject = Vault<Key, Value, ()>;

/// So many keys there are, and as many readers as may stay with an entry.
const KEYS: usize = 96;
const READERS: usize = 6;

/// A vault, its index and its slab, beside a map. Readers stay with an entry
/// while it is replaced and removed, and nothing may be dropped under them,
/// twice, or never.
pub fn vault(bytes: &[u8]) {
    let vault: Subject = Vault::new(());
    let mut trial = Trial {
        vault: &vault,
        entries: BTreeMap::new(),
        readers: Vec::new(),
        watched: Vec::new(),
        values: Vec::new(),
    };
    let mut script = Script(bytes);
    // One writer's stay after the other; a byte says how long each is.
    while !script.is_over() {
        let mut locked = vault.lock();
        for _ in 0..=script.below(8) {
            trial.step(&mut locked, &mut script);
        }
        drop(locked);
        trial.between(&mut script);
    }
    let values = trial.conclude();
    drop(vault);
    assert!(values.iter().all(|value| Rc::strong_count(value) == 1), "a value was not dropped");
}

struct Resident {
    slot: Slot,
    value: u32,
    weight: u32,
}

struct Trial<'a> {
    vault: &'a Subject,
    entries: BTreeMap<Key, Resident>,
    readers: Vec<(Held<'a, Key, Value, ()>, Key, u32)>,
    watched: Vec<(Watched, u32)>,
    /// Of every value that was ever made, a share.
    values: Vec<Value>,
}

/// Keys collide: four of them at a time, and some all of them.
fn hash_of(key: Key) -> u32 {
    match key % 3 {
        0 => 0,
        _ => u32::from(key / 4).wrapping_mul(0x9E37_79B9),
    }
}

impl<'a> Trial<'a> {
    fn step(&mut self, locked: &mut Locked<'a, Key, Value, ()>, script: &mut Script<'_>) {
        let key = script.below(KEYS) as Key;
        match script.byte() % 16 {
            0..=5 => self.put(locked, key, script.below(4) as u32),
            6..=8 => self.remove(locked, key),
            9 => self.sweep(locked),
            10 => self.stay_with(locked, key),
            11 => {
                if let Some(resident) = self.entries.get(&key) {
                    locked.bump(resident.slot);
                    assert!((1..=HITS_MAX).contains(&locked.view().hits(resident.slot)));
                }
            }
            12 => locked.expect([None, Some(script.below(256))][script.below(2)]),
            13 => self.empty(locked),
            14 => locked.validate().unwrap(),
            _ => self.look_up(locked, key),
        }
    }

    /// What happens while nobody has the lock.
    fn between(&mut self, script: &mut Script<'_>) {
        match script.byte() % 8 {
            0 | 1 if !self.readers.is_empty() => {
                drop(self.readers.swap_remove(script.below(self.readers.len())));
            }
            2 | 3 => {
                let key = script.below(KEYS) as Key;
                let held = self.vault.find(hash_of(key), &key);
                let expected = self.entries.get(&key).map(|resident| resident.value);
                assert_eq!(held.as_ref().map(|held| **held.value()), expected);
                if let Some(held) = held.filter(|_| self.readers.len() < READERS) {
                    if script.below(2) == 1 {
                        held.narrow();
                    }
                    held.bump();
                    self.readers.push((held, key, expected.unwrap_or_default()));
                }
            }
            4 if !self.watched.is_empty() => {
                let at = script.below(self.watched.len());
                let (watched, value) = self.watched.swap_remove(at);
                assert_eq!(**self.vault.watched(&watched).1, value);
                self.vault.release(watched);
            }
            _ => {}
        }
        for (held, key, value) in &self.readers {
            assert_eq!((*held.key(), **held.value()), (*key, *value), "changed under a reader");
        }
    }

    fn put(&mut self, locked: &mut Locked<'a, Key, Value, ()>, key: Key, weight: u32) {
        let number = self.values.len() as u32;
        let value = Rc::new(number);
        self.values.push(Rc::clone(&value));
        let slot = locked.fill(hash_of(key), weight, Entry { key, value, tags: TagSet::default() });
        let new = Resident { slot, value: number, weight };
        match self.entries.insert(key, new) {
            None => locked.link(slot),
            Some(old) => {
                let left = locked.swing(old.slot, slot);
                self.left(left, old.value);
            }
        }
        self.look_up(locked, key);
    }

    fn remove(&mut self, locked: &mut Locked<'a, Key, Value, ()>, key: Key) {
        if let Some(resident) = self.entries.remove(&key) {
            let left = locked.remove(resident.slot);
            self.left(left, resident.value);
        }
        self.look_up(locked, key);
    }

    fn left(&mut self, left: Left<Key, Value>, value: u32) {
        match left {
            Left::Owned(entry) => {
                assert_eq!(*entry.value, value);
                assert!(self.readers.iter().all(|(_, _, held)| *held != value), "it is held");
            }
            Left::Watched(watched) => self.watched.push((watched, value)),
        }
    }

    fn sweep(&mut self, locked: &mut Locked<'a, Key, Value, ()>) {
        for entry in locked.sweep() {
            let is_held = self.readers.iter().any(|(_, _, value)| *value == *entry.value);
            let is_untold = self.watched.iter().any(|(_, value)| *value == *entry.value);
            assert!(!is_held && !is_untold, "{} was swept too early", entry.value);
        }
    }

    fn stay_with(&mut self, locked: &Locked<'a, Key, Value, ()>, key: Key) {
        if let Some(resident) = self.entries.get(&key).filter(|_| self.readers.len() < READERS) {
            self.readers.push((locked.hold(resident.slot), key, resident.value));
        }
    }

    fn empty(&mut self, locked: &mut Locked<'a, Key, Value, ()>) {
        for key in 0..KEYS as Key {
            if let Some(resident) = self.entries.remove(&key) {
                let left = locked.remove(resident.slot);
                self.left(left, resident.value);
            }
        }
        locked.give_back_memory();
        locked.validate().unwrap();
    }

    fn look_up(&self, locked: &Locked<'a, Key, Value, ()>, key: Key) {
        let found = locked.find(hash_of(key), &key);
        let expected = self.entries.get(&key);
        assert_eq!(found, expected.map(|resident| resident.slot));
        if let Some(resident) = expected {
            assert_eq!(**locked.value(resident.slot), resident.value);
            assert_eq!(locked.weight(resident.slot), resident.weight);
        }
        assert_eq!(locked.len(), self.entries.len());
    }

    fn conclude(mut self) -> Vec<Value> {
        self.readers.clear();
        for (watched, _) in self.watched.drain(..) {
            self.vault.release(watched);
        }
        let mut locked = self.vault.lock();
        self.sweep(&mut locked);
        locked.validate().unwrap();
        for key in 0..KEYS as Key {
            self.look_up(&locked, key);
        }
        assert!(locked.sweep().is_empty(), "nobody watches any more");
        self.values
    }
}
