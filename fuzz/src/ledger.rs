//! What any policy may do, and what none may: book-keeping, not prediction.
//!
//! The ledger believes the cache about *which* entries it evicts. From then on
//! it knows what is there, since every value that leaves is told: nothing else
//! may be missing, nothing that is gone may be seen, every value is told once
//! and for a cause that fits, and nobody is evicted while there is room.
//!
//! Of entries with a deadline it knows the times between which they expire: not
//! a moment before the one, and nobody sees them from the other on. What has
//! expired counts until it is told, since the cache may take its time.

use crate::model::{Bounds, Entry, Key, Left, Value, Why};
use std::collections::BTreeMap;

/// Nanoseconds, by the cache's clock.
pub type Time = u64;

/// A time that never comes.
pub const NEVER: Time = Time::MAX;

/// When an entry ends: at some moment between the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    pub earliest: Time,
    pub latest: Time,
    /// Set anew by every read, but no later than the time to live allows.
    pub idle_for: Time,
    pub live_until: (Time, Time),
}

impl Ends {
    pub const NEVER: Ends =
        Ends { earliest: NEVER, latest: NEVER, idle_for: NEVER, live_until: (NEVER, NEVER) };

    /// Of an entry that is written now. A time to live may be up to a half
    /// shorter.
    pub fn new(now: Time, ttl: Time, tti: Time, has_jitter: bool) -> Self {
        let shortest = if has_jitter && ttl != NEVER { ttl / 2 } else { early(ttl) };
        let live_until = (now.saturating_add(shortest), now.saturating_add(ttl));
        Ends { idle_for: tti, live_until, ..Ends::NEVER }.used(now)
    }

    fn used(self, now: Time) -> Self {
        let idle_until = now.saturating_add(self.idle_for);
        // A use that would change little need not be noted.
        let slack = if self.idle_for == NEVER { 0 } else { self.idle_for >> 10 };
        let idle_from = now.saturating_add(early(self.idle_for) - slack);
        let (earliest, latest) = self.live_until;
        Ends { earliest: earliest.min(idle_from), latest: latest.min(idle_until), ..self }
    }
}

/// A lifetime may end a millionth early: deadlines are kept in coarser steps
/// than nanoseconds.
fn early(lifetime: Time) -> Time {
    if lifetime == NEVER { NEVER } else { lifetime - lifetime / 1_000_000 }
}

/// What a call of the cache was meant to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// Nothing that makes visible entries leave.
    Look,
    Write(Entry),
    Remove(Key),
    /// Lower the bounds.
    Fit,
    /// Drop the last handle.
    Close,
}

/// How many values have gone each way.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    pub stored: u64,
    pub explicit: u64,
    pub replaced: u64,
    pub size: u64,
    pub expired: u64,
    pub invalidated: u64,
    pub rejected: u64,
}

#[derive(Clone, Debug)]
pub struct Ledger {
    bounds: Bounds,
    present: BTreeMap<Key, Entry>,
    /// Invalidated, and not yet told: the cache may take its time.
    doomed: Vec<Entry>,
    /// When each of them ends, by its value. Others never do.
    ends: BTreeMap<Value, Ends>,
    now: Time,
    counts: Counts,
}

/// Which bounds would be exceeded if nobody left.
#[derive(Clone, Copy)]
struct Pressure {
    entries: bool,
    weight: bool,
}

impl Ledger {
    pub fn new(bounds: Bounds) -> Self {
        Ledger {
            bounds,
            present: BTreeMap::new(),
            doomed: Vec::new(),
            ends: BTreeMap::new(),
            now: 0,
            counts: Counts::default(),
        }
    }

    /// The latest time that the cache has seen.
    pub fn set_now(&mut self, now: Time) {
        assert!(now >= self.now, "time that goes back changes nothing");
        self.now = now;
    }

    /// To be called before the write of this value is heard.
    pub fn set_ends(&mut self, value: Value, ends: Ends) {
        if ends != Ends::NEVER {
            self.ends.insert(value, ends);
        }
    }

    /// The entry was read, and seen.
    pub fn used(&mut self, key: Key) {
        if let Some(ends) = self.entry(key).and_then(|entry| self.ends.get_mut(&entry.value)) {
            *ends = ends.used(self.now);
        }
    }

    /// The entry may count as read, or not.
    pub fn may_be_used(&mut self, key: Key) {
        if let Some(ends) = self.entry(key).and_then(|entry| self.ends.get_mut(&entry.value)) {
            ends.latest = ends.latest.max(ends.used(self.now).latest);
        }
    }

    /// Whether the entry may have expired by now.
    pub fn may_have_expired(&self, entry: &Entry) -> bool {
        self.ends.get(&entry.value).is_some_and(|ends| ends.earliest <= self.now)
    }

    /// Whether nobody may see the entry any more.
    pub fn has_expired(&self, entry: &Entry) -> bool {
        self.ends.get(&entry.value).is_some_and(|ends| ends.latest <= self.now)
    }

    /// Whether `found` is what a look for `key` may see.
    pub fn fits(&self, key: Key, found: Option<Value>) -> bool {
        match (self.entry(key), found) {
            (Some(entry), Some(value)) => entry.value == value && !self.has_expired(&entry),
            (Some(entry), None) => self.may_have_expired(&entry),
            (None, found) => found.is_none(),
        }
    }

    /// Whether `pairs`, which are in order, are all that can be seen.
    pub fn fits_all(&self, pairs: &[(Key, Value)]) -> bool {
        pairs.iter().all(|(key, _)| self.present.contains_key(key))
            && self.present.keys().all(|key| {
                let found = pairs.iter().find(|pair| pair.0 == *key).map(|pair| pair.1);
                self.fits(*key, found)
            })
    }

    /// How many entries are there and cannot have expired.
    pub fn len_min(&self) -> u64 {
        self.present.values().filter(|entry| !self.may_have_expired(entry)).count() as u64
    }

    /// Whatever is there, seen or not.
    pub fn entry(&self, key: Key) -> Option<Entry> {
        self.present.get(&key).copied()
    }

    pub fn value(&self, key: Key) -> Option<Value> {
        self.entry(key).map(|entry| entry.value)
    }

    pub fn len(&self) -> u64 {
        self.present.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    pub fn weight(&self) -> u64 {
        self.present.values().map(|entry| u64::from(entry.weight)).sum()
    }

    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How many invalidated values are still to be told.
    pub fn untold(&self) -> usize {
        self.doomed.len()
    }

    /// To be called before [`Deed::Fit`] is heard.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// From now on no such entry may be seen, and each is told some time.
    pub fn invalidate(&mut self, is_meant: impl Fn(&Entry) -> bool) {
        let gone = self.present.values().copied().filter(|entry| is_meant(entry));
        self.doomed.extend(gone);
        self.present.retain(|_, entry| !is_meant(entry));
    }

    /// Enters a deed and all that was told before it returned.
    pub fn hear(&mut self, deed: Deed, told: &[Left]) -> Result<(), String> {
        let pressure = self.pressure(deed);
        let mut newcomer = match deed {
            Deed::Write(entry) => Some(entry),
            _ => None,
        };
        for left in told {
            let fits = match left.why {
                Why::Invalidated => self.bury(left),
                Why::Expired => self.expired(left, &mut newcomer),
                Why::Size => self.evicted(left, pressure, &mut newcomer),
                Why::Rejected => self.rejected(left, &mut newcomer),
                Why::Replaced => newcomer.is_some_and(|n| n.key == left.key) && self.take(left),
                Why::Explicit => deed == Deed::Remove(left.key) && self.take(left),
                Why::Closed => deed == Deed::Close && self.take(left),
            };
            if !fits {
                return Err(format!("{left:?} does not fit {deed:?}; all told: {told:?}"));
            }
            self.count(left.why);
        }
        self.conclude(deed, newcomer)?;
        self.check_bounds()
    }

    /// What has to be true once everything was told.
    fn conclude(&mut self, deed: Deed, newcomer: Option<Entry>) -> Result<(), String> {
        let untold = match deed {
            Deed::Write(entry) => self.value(entry.key),
            Deed::Remove(key) => self.value(key),
            Deed::Close if !self.doomed.is_empty() => Some(self.doomed[0].value),
            Deed::Close => self.present.values().map(|entry| entry.value).next(),
            Deed::Look | Deed::Fit => None,
        };
        if let Some(value) = untold {
            return Err(format!("{value} is gone after {deed:?}, but was not told"));
        }
        if let Some(entry) = newcomer {
            if !self.bounds.could_hold(entry.weight) {
                return Err(format!("{entry:?} was not refused by a cache of {:?}", self.bounds));
            }
            self.present.insert(entry.key, entry);
            self.counts.stored += 1;
        }
        Ok(())
    }

    /// What was invalidated counts until it has left.
    fn check_bounds(&self) -> Result<(), String> {
        let held = self.present.values().chain(&self.doomed);
        let entries = self.len() + self.untold() as u64;
        let weight: u64 = held.map(|entry| u64::from(entry.weight)).sum();
        if entries > self.bounds.entries_max || weight > self.bounds.weight_max {
            return Err(format!("{entries} entries of weight {weight} in {:?}", self.bounds));
        }
        Ok(())
    }

    fn pressure(&self, deed: Deed) -> Pressure {
        let held = self.present.values().chain(&self.doomed);
        let mut entries = self.len() + self.untold() as u64;
        let mut weight: u64 = held.map(|entry| u64::from(entry.weight)).sum();
        if let Deed::Write(new) = deed {
            match self.entry(new.key) {
                Some(old) => weight -= u64::from(old.weight),
                None => entries += 1,
            }
            weight += u64::from(new.weight);
        }
        Pressure {
            entries: entries > self.bounds.entries_max,
            weight: weight > self.bounds.weight_max,
        }
    }

    fn bury(&mut self, left: &Left) -> bool {
        let is_it = |entry: &Entry| entry.key == left.key && entry.value == left.value;
        let at = self.doomed.iter().position(is_it);
        at.map(|at| self.doomed.swap_remove(at)).is_some()
    }

    /// The newcomer itself may be the one that leaves.
    fn evicted(&mut self, left: &Left, pressure: Pressure, newcomer: &mut Option<Entry>) -> bool {
        let is_needed = |entry: Entry| pressure.entries || (pressure.weight && entry.weight > 0);
        if newcomer.is_some_and(|entry| entry.key == left.key && entry.value == left.value) {
            self.counts.stored += 1;
            return newcomer
                .take()
                .is_some_and(|entry| is_needed(entry) && self.bounds.could_hold(entry.weight));
        }
        self.entry(left.key).is_some_and(is_needed) && self.take(left)
    }

    /// It may have been invalidated before, or just been written.
    fn expired(&mut self, left: &Left, newcomer: &mut Option<Entry>) -> bool {
        let has_ended = |ends: &Ends| ends.earliest <= self.now;
        if !self.ends.get(&left.value).is_some_and(has_ended) {
            return false;
        }
        if newcomer.take_if(|entry| entry.value == left.value).is_some() {
            self.counts.stored += 1;
            return true;
        }
        self.bury(left) || self.take(left)
    }

    fn rejected(&mut self, left: &Left, newcomer: &mut Option<Entry>) -> bool {
        let is_it = |entry: &Entry| entry.key == left.key && entry.value == left.value;
        let refused = newcomer.take_if(|entry| is_it(entry));
        refused.is_some_and(|entry| !self.bounds.could_hold(entry.weight))
    }

    fn take(&mut self, left: &Left) -> bool {
        let is_it = self.entry(left.key).is_some_and(|entry| entry.value == left.value);
        is_it && self.present.remove(&left.key).is_some()
    }

    fn count(&mut self, why: Why) {
        let counts = &mut self.counts;
        *match why {
            Why::Explicit => &mut counts.explicit,
            Why::Replaced => &mut counts.replaced,
            Why::Size => &mut counts.size,
            Why::Expired => &mut counts.expired,
            Why::Invalidated => &mut counts.invalidated,
            Why::Rejected => &mut counts.rejected,
            Why::Closed => return,
        } += 1;
    }
}
