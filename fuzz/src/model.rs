//! A cache that is obviously right: one `Vec`, searched from end to end.
//!
//! It says exactly what FIFO, LRU and LFU hold after any sequence of calls by
//! one thread, and what left on the way. Invalidated entries leave at once.
//!
//! The `Vec` is in the order in which entries arrived (FIFO) or were last used
//! (LRU, LFU), so the textbook's victim is the first one in it, or for LFU the
//! first of those with the smallest count.

pub type Key = u8;

/// Every value that is ever written is another one, so that none can be taken
/// for another.
pub type Value = u32;

/// A set of tags: one bit each.
pub type Tags = u8;

/// Stands for a bound that is not there.
pub const UNBOUNDED: u64 = u64::MAX;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    pub entries_max: u64,
    pub weight_max: u64,
}

impl Bounds {
    /// Whether an empty cache would have room for an entry of this weight.
    pub fn could_hold(&self, weight: u32) -> bool {
        self.entries_max > 0 && u64::from(weight) <= self.weight_max
    }
}

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    pub key: Key,
    pub value: Value,
    pub weight: u32,
    pub tags: Tags,
}

/// Why a value left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Why {
    Explicit,
    Replaced,
    Size,
    Expired,
    Invalidated,
    Rejected,
    Closed,
}

/// A value that has left, or was refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Left {
    pub key: Key,
    pub value: Value,
    pub why: Why,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    Fifo,
    Lru,
    /// All counts halve after this many uses for each entry of the capacity.
    Lfu {
        ageing: Option<u32>,
    },
}

#[derive(Clone, Debug)]
struct Resident {
    entry: Entry,
    /// Uses, since it arrived or halved with the others.
    count: u64,
}

#[derive(Clone, Debug)]
pub struct Model {
    rule: Rule,
    bounds: Bounds,
    residents: Vec<Resident>,
    uses_since_halving: u64,
    left: Vec<Left>,
}

impl Model {
    pub fn new(rule: Rule, bounds: Bounds) -> Self {
        Model { rule, bounds, residents: Vec::new(), uses_since_halving: 0, left: Vec::new() }
    }

    pub fn peek(&self, key: Key) -> Option<Value> {
        self.residents.iter().map(|r| r.entry).find(|e| e.key == key).map(|e| e.value)
    }

    pub fn get(&mut self, key: Key) -> Option<Value> {
        let at = self.position(key)?;
        self.residents[at].count += 1;
        if self.rule != Rule::Fifo {
            self.residents[at..].rotate_left(1);
        }
        self.note_use();
        self.peek(key)
    }

    pub fn insert(&mut self, new: Entry) {
        if !self.bounds.could_hold(new.weight) {
            self.remove_as(new.key, Why::Replaced);
            self.leave(new, Why::Rejected);
        } else if self.position(new.key).is_some() {
            self.replace(new);
        } else {
            while self.len() + 1 > self.bounds.entries_max {
                self.evict(|_| true);
            }
            while self.weight() + u64::from(new.weight) > self.bounds.weight_max {
                self.evict(|resident| resident.entry.weight > 0);
            }
            self.residents.push(Resident { entry: new, count: 1 });
            self.note_use();
        }
    }

    /// A use of the entry, which keeps its place in a FIFO. Room is made while
    /// the old value still stands. It may be the one that has to go: then the
    /// new one goes with it, and nobody else has to.
    fn replace(&mut self, new: Entry) {
        self.get(new.key);
        let old_weight = self.position(new.key).map_or(0, |at| self.residents[at].entry.weight);
        let growth = u64::from(new.weight.saturating_sub(old_weight));
        while self.weight() + growth > self.bounds.weight_max {
            self.evict(|resident| resident.entry.weight > 0);
            if self.position(new.key).is_none() {
                self.leave(new, Why::Size);
                return;
            }
        }
        if let Some(at) = self.position(new.key) {
            let old = std::mem::replace(&mut self.residents[at].entry, new);
            self.leave(old, Why::Replaced);
        }
    }

    pub fn remove(&mut self, key: Key) -> Option<Value> {
        self.remove_as(key, Why::Explicit)
    }

    pub fn invalidate(&mut self, key: Key) {
        self.remove_as(key, Why::Invalidated);
    }

    pub fn invalidate_if(&mut self, is_stale: impl Fn(&Entry) -> bool) {
        let stale: Vec<Key> = self
            .residents
            .iter()
            .map(|r| &r.entry)
            .filter(|e| is_stale(e))
            .map(|e| e.key)
            .collect();
        stale.into_iter().for_each(|key| self.invalidate(key));
    }

    /// The history goes too: the counting of uses begins anew.
    pub fn invalidate_all(&mut self) {
        self.invalidate_if(|_| true);
        self.uses_since_halving = 0;
    }

    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        while self.len() > self.bounds.entries_max {
            self.evict(|_| true);
        }
        while self.weight() > self.bounds.weight_max {
            self.evict(|resident| resident.entry.weight > 0);
        }
    }

    pub fn len(&self) -> u64 {
        self.residents.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.residents.is_empty()
    }

    pub fn weight(&self) -> u64 {
        self.residents.iter().map(|resident| u64::from(resident.entry.weight)).sum()
    }

    /// All entries, from the one that would leave first.
    pub fn coldest_first(&self) -> Vec<(Key, Value)> {
        let mut residents: Vec<&Resident> = self.residents.iter().collect();
        // Stable: equals stay in order of use.
        residents.sort_by_key(|resident| self.rank(resident));
        residents.into_iter().map(|resident| (resident.entry.key, resident.entry.value)).collect()
    }

    /// What has left since this was last called, in order.
    pub fn take_left(&mut self) -> Vec<Left> {
        std::mem::take(&mut self.left)
    }

    fn position(&self, key: Key) -> Option<usize> {
        self.residents.iter().position(|resident| resident.entry.key == key)
    }

    fn rank(&self, resident: &Resident) -> u64 {
        match self.rule {
            Rule::Fifo | Rule::Lru => 0,
            Rule::Lfu { .. } => resident.count,
        }
    }

    fn evict(&mut self, may_leave: impl Fn(&Resident) -> bool) {
        let candidates = self.residents.iter().filter(|resident| may_leave(resident));
        // The first of those with the lowest rank.
        let victim = candidates.min_by_key(|resident| self.rank(resident));
        let victim = victim.expect("too much is held, so somebody can help").entry.key;
        self.remove_as(victim, Why::Size);
    }

    fn remove_as(&mut self, key: Key, why: Why) -> Option<Value> {
        let at = self.position(key)?;
        let entry = self.residents.remove(at).entry;
        self.leave(entry, why);
        Some(entry.value)
    }

    fn leave(&mut self, entry: Entry, why: Why) {
        self.left.push(Left { key: entry.key, value: entry.value, why });
    }

    fn note_use(&mut self) {
        let Rule::Lfu { ageing: Some(ageing) } = self.rule else { return };
        self.uses_since_halving += 1;
        let capacity = match self.bounds.entries_max {
            UNBOUNDED => self.len(),
            entries_max => entries_max,
        };
        if self.uses_since_halving >= u64::from(ageing) * capacity.max(1) {
            self.uses_since_halving = 0;
            self.residents.iter_mut().for_each(|resident| resident.count /= 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_three(rule: Rule) -> Model {
        let mut model = Model::new(rule, Bounds { entries_max: 3, weight_max: 6 });
        for key in 1..=3 {
            model.insert(Entry { key, value: u32::from(key), weight: 2, tags: 0 });
        }
        model
    }

    fn keys(model: &Model) -> Vec<Key> {
        model.coldest_first().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn each_rule_has_its_order() {
        for (rule, order) in [
            (Rule::Fifo, [1, 2, 3]),
            (Rule::Lru, [2, 3, 1]),
            (Rule::Lfu { ageing: None }, [2, 1, 3]),
        ] {
            let mut model = of_three(rule);
            for key in [3, 3, 2, 3, 1] {
                model.get(key);
            }
            assert_eq!(keys(&model), order, "{rule:?}");
        }
    }

    #[test]
    fn a_heavier_value_pushes_out_others_or_leaves_itself() {
        let heavier = Entry { key: 1, value: 9, weight: 5, tags: 0 };
        let left = |rule| {
            let mut model = of_three(rule);
            model.insert(heavier);
            model.take_left().into_iter().map(|left| (left.value, left.why)).collect::<Vec<_>>()
        };
        assert_eq!(left(Rule::Lru), [(2, Why::Size), (3, Why::Size), (1, Why::Replaced)]);
        assert_eq!(left(Rule::Fifo), [(1, Why::Size), (9, Why::Size)]);
    }

    #[test]
    fn counts_halve_after_as_many_uses_as_were_asked_for() {
        let mut model = of_three(Rule::Lfu { ageing: Some(2) });
        // Three uses so far. After three more, 1 counts 4 / 2, the others 0.
        for _ in 0..3 {
            model.get(1);
        }
        model.get(2);
        model.get(2);
        assert_eq!(keys(&model), [3, 1, 2]);
    }
}
