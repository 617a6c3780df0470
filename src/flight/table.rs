//! Which loads are under way in a shard, by key.
//!
//! Everything here happens under the shard's lock, and nothing here runs the
//! user's code, but for `Eq` of the key in hand: what leaves the table is
//! returned, to be dropped after the lock.
//!
//! A load that failed may stay for a while after it has landed: whoever asks
//! then joins it, and has the failure at once.

use super::Flight;
use crate::slot::Slot;
use crate::sync::modelled;
use crate::tags::TagSet;
use equivalent::Equivalent;
use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// How many failures a shard remembers at the most.
const REMEMBERED_MAX: usize = 1024;

/// A table this large is given back when the last flight has left it.
const KEPT_MAX: usize = 256;

/// What the load is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// The key had no value.
    Missing,
    /// The key has a value at this place, which a newer one is to take. The
    /// flight is overtaken by whatever happens to that value.
    Reload(Slot),
}

/// A flight as its shard knows it.
pub(crate) struct Registered<K, V> {
    /// The table's and the leader's, nobody else's. The leader's lives longer.
    pub(crate) key: Arc<K>,
    pub(crate) flight: modelled::Arc<Flight<V>>,
    /// Of the value to come: when one dies, the flight is overtaken.
    pub(crate) tags: TagSet,
    pub(crate) purpose: Purpose,
    serial: u64,
    /// Until when the flight is remembered; `None` as long as it flies.
    pub(crate) until: Option<u64>,
}

/// Hashes are good already; the factor fills the high bits, too.
#[derive(Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers of 32 bits are hashed");
    }

    fn write_u32(&mut self, hash: u32) {
        self.0 = u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

type OfOneHash<K, V> = SmallVec<[Registered<K, V>; 1]>;

/// What left a table: to be dropped after the lock.
pub(crate) type Overtaken<K, V> = SmallVec<[Registered<K, V>; 1]>;

pub(crate) struct Flights<K, V> {
    by_hash: HashMap<u32, OfOneHash<K, V>, BuildHasherDefault<Spread>>,
    /// Hash and serial number of those that have landed, oldest first. Some may
    /// have left the table since.
    remembered: VecDeque<(u32, u64)>,
    next_serial: u64,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Flights { by_hash: HashMap::default(), remembered: VecDeque::new(), next_serial: 0 }
    }
}

impl<K, V> Flights<K, V> {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// The flight of `key`. It may be overtaken already; see
    /// [`is_over`](Registered::is_over).
    pub(crate) fn find<Q>(&self, hash: u32, key: &Q) -> Option<&Registered<K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.by_hash.get(&hash)?.iter().find(|registered| key.equivalent(&registered.key))
    }

    /// Registers a flight for a key that has none.
    pub(crate) fn register(
        &mut self,
        hash: u32,
        key: Arc<K>,
        flight: modelled::Arc<Flight<V>>,
        tags: TagSet,
        purpose: Purpose,
    ) {
        let serial = self.next_serial;
        self.next_serial += 1;
        let registered = Registered { key, flight, tags, purpose, serial, until: None };
        self.by_hash.entry(hash).or_default().push(registered);
    }

    /// Whether `flight` has not been overtaken.
    pub(crate) fn holds(&self, hash: u32, flight: &modelled::Arc<Flight<V>>) -> bool {
        let is_it =
            |registered: &Registered<K, V>| modelled::Arc::ptr_eq(&registered.flight, flight);
        self.by_hash.get(&hash).is_some_and(|of_hash| of_hash.iter().any(is_it))
    }

    /// Takes `flight` out, if it is still there.
    pub(crate) fn take(
        &mut self,
        hash: u32,
        flight: &modelled::Arc<Flight<V>>,
    ) -> Option<Registered<K, V>> {
        self.take_if(hash, |registered| modelled::Arc::ptr_eq(&registered.flight, flight))
    }

    /// Takes the flight of `key` out, since something has happened to the key
    /// that its value must not undo.
    pub(crate) fn overtake<Q>(&mut self, hash: u32, key: &Q) -> Option<Registered<K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.take_if(hash, |registered| key.equivalent(&registered.key))
    }

    /// Takes out the flight that was to reload the value at `slot`, which has
    /// left.
    pub(crate) fn overtake_reload(&mut self, hash: u32, slot: Slot) -> Option<Registered<K, V>> {
        self.take_if(hash, |registered| registered.purpose == Purpose::Reload(slot))
    }

    /// The value at `from` is at `to` now: a reload of it goes on.
    pub(crate) fn follow_reload(&mut self, hash: u32, from: Slot, to: Slot) {
        for registered in self.by_hash.get_mut(&hash).into_iter().flatten() {
            if registered.purpose == Purpose::Reload(from) {
                registered.purpose = Purpose::Reload(to);
            }
        }
    }

    pub(crate) fn overtake_all(&mut self) -> impl Iterator<Item = Registered<K, V>> + use<K, V> {
        let all = std::mem::take(self);
        self.next_serial = all.next_serial;
        all.by_hash.into_values().flatten()
    }

    /// Keeps `flight`, which is about to land without a value, until `until`.
    /// Returns those that have to go for it.
    pub(crate) fn remember(
        &mut self,
        hash: u32,
        flight: &modelled::Arc<Flight<V>>,
        until: u64,
    ) -> Option<Registered<K, V>> {
        let of_hash = self.by_hash.get_mut(&hash)?;
        let is_it = |r: &&mut Registered<K, V>| modelled::Arc::ptr_eq(&r.flight, flight);
        let registered = of_hash.iter_mut().find(is_it)?;
        registered.until = Some(until);
        self.remembered.push_back((hash, registered.serial));
        (self.remembered.len() > REMEMBERED_MAX).then(|| self.forget_oldest()).flatten()
    }

    /// Forgets one failure whose time is up, if it is the oldest.
    pub(crate) fn forget_due(&mut self, now: impl FnOnce() -> u64) -> Option<Registered<K, V>> {
        let (hash, serial) = *self.remembered.front()?;
        let is_it = |r: &&Registered<K, V>| r.serial == serial;
        let oldest = self.by_hash.get(&hash).and_then(|of_hash| of_hash.iter().find(is_it));
        let is_due = oldest.and_then(|oldest| oldest.until).is_none_or(|until| until <= now());
        is_due.then(|| self.forget_oldest()).flatten()
    }

    fn forget_oldest(&mut self) -> Option<Registered<K, V>> {
        let (hash, serial) = self.remembered.pop_front()?;
        self.take_if(hash, |registered| registered.serial == serial)
    }

    fn take_if(
        &mut self,
        hash: u32,
        is_it: impl Fn(&Registered<K, V>) -> bool,
    ) -> Option<Registered<K, V>> {
        let of_hash = self.by_hash.get_mut(&hash)?;
        let at = of_hash.iter().position(is_it)?;
        let registered = of_hash.swap_remove(at);
        if of_hash.is_empty() {
            self.by_hash.remove(&hash);
        }
        if self.by_hash.is_empty() && self.by_hash.capacity() > KEPT_MAX {
            self.by_hash = HashMap::default();
        }
        Some(registered)
    }

    /// How many flights are in the air.
    pub(crate) fn flying(&self) -> usize {
        self.by_hash.values().flatten().filter(|registered| registered.until.is_none()).count()
    }
}

impl<K, V> Registered<K, V> {
    /// Whether nobody may join any more: what would be loaded was invalidated,
    /// or a failure has been remembered for long enough.
    pub(crate) fn is_over(&self, now: impl FnOnce() -> u64) -> bool {
        self.tags.any_dead() || self.until.is_some_and(|until| until <= now())
    }
}
