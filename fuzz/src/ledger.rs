//! What any policy may do, and what none may: book-keeping, not prediction.
//!
//! The ledger believes the cache about *which* entries it evicts. From then on
//! it knows what is there, since every value that leaves is told: nothing else
//! may be missing, nothing that is gone may be seen, every value is told once
//! and for a cause that fits, and nobody is evicted while there is room.

use crate::model::{Bounds, Entry, Key, Left, Value, Why};
use std::collections::BTreeMap;

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
    pub invalidated: u64,
    pub rejected: u64,
}

#[derive(Clone, Debug)]
pub struct Ledger {
    bounds: Bounds,
    present: BTreeMap<Key, Entry>,
    /// Invalidated, and not yet told: the cache may take its time.
    doomed: Vec<Entry>,
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
        let (present, doomed) = (BTreeMap::new(), Vec::new());
        Ledger { bounds, present, doomed, counts: Counts::default() }
    }

    pub fn entry(&self, key: Key) -> Option<Entry> {
        self.present.get(&key).copied()
    }

    pub fn value(&self, key: Key) -> Option<Value> {
        self.entry(key).map(|entry| entry.value)
    }

    /// Every visible entry, in order of the keys.
    pub fn pairs(&self) -> Vec<(Key, Value)> {
        self.present.values().map(|entry| (entry.key, entry.value)).collect()
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

    fn rejected(&mut self, left: &Left, newcomer: &mut Option<Entry>) -> bool {
        let is_it = |entry: &Entry| entry.key == left.key && entry.value == left.value;
        let refused = newcomer.take_if(|entry| is_it(entry));
        refused.is_some_and(|entry| !self.bounds.could_hold(entry.weight))
    }

    fn take(&mut self, left: &Left) -> bool {
        self.present.remove(&left.key).is_some_and(|entry| entry.value == left.value)
    }

    fn count(&mut self, why: Why) {
        let counts = &mut self.counts;
        *match why {
            Why::Explicit => &mut counts.explicit,
            Why::Replaced => &mut counts.replaced,
            Why::Size => &mut counts.size,
            Why::Invalidated => &mut counts.invalidated,
            Why::Rejected => &mut counts.rejected,
            Why::Closed => return,
        } += 1;
    }
}
