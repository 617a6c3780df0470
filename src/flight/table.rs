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

/// Flights that are kept without a table: most shards never have more.
const FEW: usize = 2;

type OfOneHash<K, V> = SmallVec<[Registered<K, V>; 1]>;

/// What left a table: to be dropped after the lock.
pub(crate) type Overtaken<K, V> = SmallVec<[Registered<K, V>; 1]>;

pub(crate) struct Flights<K, V> {
    /// How many there are.
    len: usize,
    few: SmallVec<[(u32, Registered<K, V>); FEW]>,
    /// Those for which `few` had no room.
    many: HashMap<u32, OfOneHash<K, V>, BuildHasherDefault<Spread>>,
    /// Hash and serial number of those that have landed, oldest first. Some may
    /// have left the table since.
    remembered: VecDeque<(u32, u64)>,
    next_serial: u64,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Flights {
            len: 0,
            few: SmallVec::new(),
            many: HashMap::default(),
            remembered: VecDeque::new(),
            next_serial: 0,
        }
    }
}

impl<K, V> Flights<K, V> {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All that have `hash`.
    fn of_hash(&self, hash: u32) -> impl Iterator<Item = &Registered<K, V>> {
        let few = self.few.iter().filter(move |(other, _)| *other == hash);
        let many = if self.many.is_empty() { None } else { self.many.get(&hash) };
        few.map(|(_, registered)| registered).chain(many.into_iter().flatten())
    }

    fn of_hash_mut(&mut self, hash: u32) -> impl Iterator<Item = &mut Registered<K, V>> {
        let few = self.few.iter_mut().filter(move |(other, _)| *other == hash);
        let many = self.many.get_mut(&hash).into_iter().flatten();
        few.map(|(_, registered)| registered).chain(many)
    }

    /// Whether failures are remembered that may have to be forgotten.
    #[inline]
    pub(crate) fn remembers_any(&self) -> bool {
        !self.remembered.is_empty()
    }

    /// The flight of `key`. It may be overtaken already; see
    /// [`is_over`](Registered::is_over).
    pub(crate) fn find<Q>(&self, hash: u32, key: &Q) -> Option<&Registered<K, V>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.of_hash(hash).find(|registered| key.equivalent(&registered.key))
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
        self.put_back(hash, Registered { key, flight, tags, purpose, serial, until: None });
    }

    /// Registers anew what was just taken out.
    #[inline]
    pub(crate) fn put_back(&mut self, hash: u32, registered: Registered<K, V>) {
        self.len += 1;
        match self.few.len() < FEW {
            true => self.few.push((hash, registered)),
            false => self.many.entry(hash).or_default().push(registered),
        }
    }

    /// Whether `flight` has not been overtaken.
    pub(crate) fn holds(&self, hash: u32, flight: &modelled::Arc<Flight<V>>) -> bool {
        self.of_hash(hash).any(|registered| modelled::Arc::ptr_eq(&registered.flight, flight))
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
        for registered in self.of_hash_mut(hash) {
            if registered.purpose == Purpose::Reload(from) {
                registered.purpose = Purpose::Reload(to);
            }
        }
    }

    pub(crate) fn overtake_all(&mut self) -> impl Iterator<Item = Registered<K, V>> + use<K, V> {
        let all = std::mem::take(self);
        self.next_serial = all.next_serial;
        let few = all.few.into_iter().map(|(_, registered)| registered);
        few.chain(all.many.into_values().flatten())
    }

    /// Keeps `flight`, which is about to land without a value, until `until`.
    /// Returns those that have to go for it.
    pub(crate) fn remember(
        &mut self,
        hash: u32,
        flight: &modelled::Arc<Flight<V>>,
        until: u64,
    ) -> Option<Registered<K, V>> {
        let is_it = |r: &&mut Registered<K, V>| modelled::Arc::ptr_eq(&r.flight, flight);
        let registered = self.of_hash_mut(hash).find(is_it)?;
        registered.until = Some(until);
        let serial = registered.serial;
        self.remembered.push_back((hash, serial));
        (self.remembered.len() > REMEMBERED_MAX).then(|| self.forget_oldest()).flatten()
    }

    /// Forgets one failure whose time is up, if it is the oldest.
    pub(crate) fn forget_due(&mut self, now: impl FnOnce() -> u64) -> Option<Registered<K, V>> {
        let (hash, serial) = *self.remembered.front()?;
        let oldest = self.of_hash(hash).find(|registered| registered.serial == serial);
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
        let is_among_few = |(other, r): &(u32, _)| *other == hash && is_it(r);
        if let Some(at) = self.few.iter().position(is_among_few) {
            self.len -= 1;
            return Some(self.few.swap_remove(at).1);
        }
        self.take_of_many(hash, is_it)
    }

    fn take_of_many(
        &mut self,
        hash: u32,
        is_it: impl Fn(&Registered<K, V>) -> bool,
    ) -> Option<Registered<K, V>> {
        let of_hash = self.many.get_mut(&hash)?;
        let at = of_hash.iter().position(is_it)?;
        self.len -= 1;
        let registered = of_hash.swap_remove(at);
        if of_hash.is_empty() {
            self.many.remove(&hash);
        }
        if self.many.is_empty() && self.many.capacity() > KEPT_MAX {
            self.many = HashMap::default();
        }
        Some(registered)
    }

    /// How many flights are in the air.
    pub(crate) fn flying(&self) -> usize {
        let few = self.few.iter().map(|(_, registered)| registered);
        let all = few.chain(self.many.values().flatten());
        all.filter(|registered| registered.until.is_none()).count()
    }
}

impl<K, V> Registered<K, V> {
    /// Whether nobody may join any more: what would be loaded was invalidated,
    /// or a failure has been remembered for long enough.
    pub(crate) fn is_over(&self, now: impl FnOnce() -> u64) -> bool {
        self.tags.any_dead() || self.until.is_some_and(|until| until <= now())
    }
}
