//! The least frequently used leaves.
//!
//! Entries with the same count share a level; levels are kept in order of
//! their counts, and each keeps its entries in order of use (after Matani,
//! Shah and Mitra, "An O(1) algorithm for implementing the LFU cache eviction
//! scheme", 2010). A use costs O(log levels), and halving all counts
//! O(entries), once in `ageing` × capacity uses.
//!
//! ```text
//!   count      1           2           5
//!   level   A ─ D ─ F      B         C ─ E      the next victim: A
//! ```

use super::{Need, Notes, Policy};
use crate::slot::links::{Links, List};
use crate::slot::{Residents, Seen, Slot};
use std::collections::BTreeMap;

/// What is known of one entry.
#[derive(Clone, Copy, Default)]
struct Usage {
    count: u32,
    /// The number of the last use: the order of use when levels are merged.
    last: u64,
}

pub(super) struct Lfu {
    links: Links,
    levels: BTreeMap<u32, List>,
    usage: Vec<Usage>,
    len: usize,
    uses: u64,
    /// All counts halve after this many uses per entry of capacity.
    ageing: Option<u32>,
    uses_until_halving: u64,
    /// `None` in a cache without a bound on entries.
    entries_max: Option<u64>,
}

impl Lfu {
    pub(super) fn new(ageing: Option<u32>) -> Self {
        Lfu {
            links: Links::default(),
            levels: BTreeMap::new(),
            usage: Vec::new(),
            len: 0,
            uses: 0,
            ageing,
            uses_until_halving: 0,
            entries_max: None,
        }
    }

    fn enter(&mut self, slot: Slot, count: u32) {
        self.uses += 1;
        self.usage[slot.index()] = Usage { count, last: self.uses };
        self.levels.entry(count).or_default().push_hottest(&mut self.links, slot);
    }

    fn leave(&mut self, slot: Slot) {
        let count = self.usage[slot.index()].count;
        let level = self.levels.get_mut(&count).expect("every resident has a level");
        level.remove(&mut self.links, slot);
        if level.is_empty() {
            self.levels.remove(&count);
        }
    }

    /// Notes one use, and halves all counts when it is time.
    fn age(&mut self) {
        let Some(ageing) = self.ageing else { return };
        self.uses_until_halving += 1;
        let capacity = self.entries_max.unwrap_or(self.len as u64).max(1);
        if self.uses_until_halving >= u64::from(ageing).saturating_mul(capacity) {
            self.uses_until_halving = 0;
            self.halve();
        }
    }

    fn halve(&mut self) {
        let old = std::mem::take(&mut self.levels);
        for (count, mut level) in old {
            let halved = count / 2;
            let mut merged = self.levels.remove(&halved).unwrap_or_default();
            self.merge(&mut merged, &mut level);
            self.levels.insert(halved, merged);
        }
        for usage in &mut self.usage {
            usage.count /= 2;
        }
    }

    /// Moves all of `from` into `into`, both in order of use before and after.
    fn merge(&mut self, into: &mut List, from: &mut List) {
        let mut place = into.coldest();
        while let Some(slot) = from.pop_coldest(&mut self.links) {
            let last = self.usage[slot.index()].last;
            while let Some(other) = place.filter(|p| self.usage[p.index()].last < last) {
                place = self.links.hotter(other);
            }
            match place {
                Some(later) => into.insert_colder(&mut self.links, slot, later),
                None => into.push_hottest(&mut self.links, slot),
            }
        }
    }
}

impl Policy for Lfu {
    fn notes(&self) -> Notes {
        Notes::Order
    }

    fn on_hit(&mut self, slot: Slot) {
        let count = self.usage[slot.index()].count;
        self.leave(slot);
        self.enter(slot, count.saturating_add(1));
        self.age();
    }

    fn on_insert(&mut self, slot: Slot, _seen: Seen, _all: &dyn Residents) {
        if self.usage.len() <= slot.index() {
            self.usage.resize(slot.index() + 1, Usage::default());
        }
        self.len += 1;
        self.enter(slot, 1);
        self.age();
    }

    fn on_move(&mut self, from: Slot, to: Slot) {
        if self.usage.len() <= to.index() {
            self.usage.resize(to.index() + 1, Usage::default());
        }
        let usage = self.usage[from.index()];
        self.usage[to.index()] = usage;
        let level = self.levels.get_mut(&usage.count).expect("every resident has a level");
        level.replace(&mut self.links, from, to);
    }

    fn on_remove(&mut self, slot: Slot, _all: &dyn Residents) {
        self.leave(slot);
        self.len -= 1;
    }

    fn on_reweigh(&mut self, slot: Slot, was: u32, _all: &dyn Residents) {
        if was == 0 {
            let count = self.usage[slot.index()].count;
            self.levels.entry(count).and_modify(List::weight_gained);
        }
    }

    fn on_resize(&mut self, entries_max: u64) {
        self.entries_max = (entries_max != u64::MAX).then_some(entries_max);
    }

    fn on_cut(&mut self, end: usize) {
        self.links.cut(end);
        self.usage.truncate(end);
        self.usage.shrink_to_fit();
    }

    fn evict(&mut self, need: Need, all: &dyn Residents) -> Option<Slot> {
        let links = &self.links;
        let victim = match need {
            Need::Entry => self.levels.values().next()?.coldest()?,
            Need::Weight => self
                .levels
                .values_mut()
                .find_map(|level| level.coldest_weighty(links, |slot| all.weight(slot) > 0))?,
        };
        self.on_remove(victim, all);
        Some(victim)
    }

    fn coldest_first(&self, _all: &dyn Residents) -> Vec<Slot> {
        self.levels.values().flat_map(|level| level.iter(&self.links)).collect()
    }

    fn validate(&self, _all: &dyn Residents) -> Result<(), String> {
        for (count, level) in &self.levels {
            let mut last = 0;
            for slot in level.iter(&self.links) {
                let usage = self.usage[slot.index()];
                if usage.count != *count {
                    return Err(format!("lfu: {slot:?} counts {}, not {count}", usage.count));
                }
                if usage.last <= last {
                    return Err(format!("lfu: level {count} is out of order at {slot:?}"));
                }
                last = usage.last;
            }
        }
        Ok(())
    }
}
