//! One face for all caches.
//!
//! An adaptor says how its library gets and inserts; the loops come for free.
//! They are methods, and so are compiled for each cache: a virtual call costs
//! one a window, not one an operation.

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;

/// Set in a key of [`Peer::mix_all`] that is to be written.
pub const WRITE: u32 = 1 << 31;

/// What is kept under a key.
pub trait Value: Clone + Send + Sync + 'static {
    /// As it is shown in titles.
    const NAME: &'static str;

    /// The value that belongs to a key.
    fn of(key: u64) -> Self;
}

impl Value for u64 {
    const NAME: &'static str = "u64";

    fn of(key: u64) -> Self {
        key
    }
}

impl Value for Arc<u64> {
    const NAME: &'static str = "Arc";

    fn of(key: u64) -> Self {
        Arc::new(key)
    }
}

/// A cache, as its users call it.
pub trait Peer<V>: Send + Sync {
    /// Looks a key up. This is a use of the entry.
    fn get(&self, key: u64) -> Option<V>;

    /// Stores a value, whether or not the key has one.
    fn insert(&self, key: u64, value: V);

    /// Looks at a value in place, if the library lets its users do that in a
    /// call that is still a use of the entry. Otherwise a plain [`get`](Peer::get).
    fn read(&self, key: u64) -> bool {
        black_box(self.get(key)).is_some()
    }

    /// Does all that was put off.
    fn settle(&self) {}

    /// How many of these keys are there, when all that was put off is done.
    fn held(&self, keys: Range<u64>) -> usize {
        self.settle();
        keys.filter(|&key| self.get(key).is_some()).count()
    }

    /// Looks up one key after the other, and returns how many were there.
    fn get_all(&self, keys: &[u32]) -> usize {
        let get = |key: &&u32| black_box(self.get(u64::from(**key))).is_some();
        keys.iter().filter(get).count()
    }

    /// As [`get_all`](Peer::get_all), by [`read`](Peer::read).
    fn read_all(&self, keys: &[u32]) -> usize {
        keys.iter().filter(|key| self.read(u64::from(**key))).count()
    }

    /// Inserts each of `keys` with its value.
    fn insert_all(&self, keys: Range<u64>)
    where
        V: Value,
    {
        for key in keys {
            self.insert(key, V::of(key));
        }
    }

    /// Writes the keys that have [`WRITE`] set, and looks up the others.
    /// Returns how many of these were there.
    fn mix_all(&self, keys: &[u32]) -> usize
    where
        V: Value,
    {
        let mut hits = 0;
        for &key in keys {
            match u64::from(key & !WRITE) {
                name if key & WRITE != 0 => self.insert(name, V::of(name)),
                name => hits += usize::from(black_box(self.get(name)).is_some()),
            }
        }
        hits
    }

    /// Looks each key up and inserts what is missing. Returns how many were
    /// there.
    fn read_through_all(&self, keys: &[u32]) -> usize
    where
        V: Value,
    {
        let mut hits = 0;
        for key in keys.iter().copied().map(u64::from) {
            match black_box(self.get(key)) {
                Some(_) => hits += 1,
                None => self.insert(key, V::of(key)),
            }
        }
        hits
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::sync::Mutex;

    /// Too simple to be wrong, and never full.
    #[derive(Default)]
    pub(crate) struct Plain(Mutex<HashMap<u64, u64>>);

    impl Peer<u64> for Plain {
        fn get(&self, key: u64) -> Option<u64> {
            self.0.lock().unwrap().get(&key).copied()
        }

        fn insert(&self, key: u64, value: u64) {
            self.0.lock().unwrap().insert(key, value);
        }
    }

    #[test]
    fn reading_through_inserts_what_is_missing_and_counts_the_rest() {
        let peer = Plain::default();
        assert_eq!(peer.read_through_all(&[1, 2, 1, 3, 2]), 2);
        assert_eq!(peer.held(0..10), 3);
    }

    #[test]
    fn a_mix_writes_the_keys_that_are_marked() {
        let peer = Plain::default();
        assert_eq!(peer.mix_all(&[5, 5 | WRITE, 5, 6]), 1);
        assert_eq!(peer.get(5), Some(5));
        assert_eq!(peer.held(0..10), 1);
    }
}
