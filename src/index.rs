//! From a hash to a slot: a table of 64-byte lines.
//!
//! ```text
//!   line    tags: 12 × 8 bits │ spilled: 32 bits │ slots: 12 × 32 bits
//! ```
//!
//! A hash has a home line; what does not fit goes to the next line that has
//! room, and every full line it passes counts it in `spilled`. So a look-up
//! reads one cache line, and a second one only if something of that line was
//! spilled; a removal leaves no tombstone; nothing ever moves but on growth.
//!
//! ```text
//!   find(h)   home ── tag match? ──► ask the caller whether it is the key
//!               │ no, and spilled > 0
//!               ▼
//!             next line …
//! ```

use crate::slot::Slot;

const LANES: usize = 12;

/// Lines are doubled when more than 5/8 of the lanes are taken. The fuller the
/// lines, the more entries spill, and each that did costs look-ups of its home
/// a second cache line.
const LOAD_NUMERATOR: usize = 5;
const LOAD_DENOMINATOR: usize = 8;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    /// 0 means empty.
    tags: [u8; LANES],
    /// How many entries passed this line because it was full.
    spilled: u32,
    slots: [u32; LANES],
}

const EMPTY: Line = Line { tags: [0; LANES], spilled: 0, slots: [Slot::NONE; LANES] };

impl Line {
    /// A bit for every lane whose tag is `tag`.
    ///
    /// Bytes are compared eight at a time in an ordinary register. The sum
    /// cannot carry from one byte into the next, so there is no false match:
    /// a zero byte is the only one that ends with its high bit clear.
    fn matches(&self, tag: u8) -> u32 {
        const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
        let pattern = u64::from(tag) * 0x0101_0101_0101_0101;
        let mut first = [0; 8];
        let mut last = [0; 8];
        first.copy_from_slice(&self.tags[..8]);
        last[..4].copy_from_slice(&self.tags[8..]);
        let gather = |bytes: [u8; 8]| {
            let differs = u64::from_le_bytes(bytes) ^ pattern;
            let zero = !(((differs & LOW) + LOW) | differs | LOW);
            // One bit per byte, at 7, 15, …, brought together in the top byte.
            ((zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
        };
        gather(first) | (gather(last) & 0xF) << 8
    }

    fn lane_of(&self, slot: Slot) -> Option<usize> {
        (0..LANES).find(|lane| self.tags[*lane] != 0 && self.slots[*lane] == slot.raw())
    }
}

/// The tag comes from the high bits of the 32, the home line from the low
/// ones: entries that share a line would otherwise share their tags as well.
fn tag_of(hash: u32) -> u8 {
    ((hash >> 24) as u8).max(1)
}

pub(crate) struct Index {
    lines: Vec<Line>,
    len: usize,
}

impl Index {
    pub(crate) fn new() -> Self {
        Index { lines: vec![EMPTY], len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The slot of `hash` for which `is_it` holds. `is_it` may panic: the
    /// index is not touched.
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(Slot) -> bool) -> Option<Slot> {
        let tag = tag_of(hash);
        let mut at = self.home(hash);
        for _ in 0..self.lines.len() {
            let line = &self.lines[at];
            let mut matches = line.matches(tag);
            while matches != 0 {
                let lane = matches.trailing_zeros() as usize;
                let slot = Slot::from_raw(line.slots[lane]);
                if slot.is_some_and(&mut is_it) {
                    return slot;
                }
                matches &= matches - 1;
            }
            if line.spilled == 0 {
                return None;
            }
            at = self.next(at);
        }
        None
    }

    /// Adds `slot` under `hash`. On growth, `hash_of` is asked for the hash of
    /// every slot that is already here.
    pub(crate) fn insert(&mut self, hash: u32, slot: Slot, hash_of: impl Fn(Slot) -> u32) {
        if (self.len + 1) * LOAD_DENOMINATOR > self.lines.len() * LANES * LOAD_NUMERATOR {
            self.grow(hash_of);
        }
        self.place(hash, slot);
        self.len += 1;
    }

    /// Takes out `slot`, which is here under `hash`.
    pub(crate) fn remove(&mut self, hash: u32, slot: Slot) {
        let (mut at, mut passed) = (self.home(hash), 0);
        let lane = loop {
            if let Some(lane) = self.lines[at].lane_of(slot) {
                break lane;
            }
            assert!(passed < self.lines.len(), "{slot:?} is not in the index");
            passed += 1;
            at = self.next(at);
        };
        self.lines[at].tags[lane] = 0;
        self.lines[at].slots[lane] = Slot::NONE;
        self.len -= 1;
        let mut at = self.home(hash);
        for _ in 0..passed {
            self.lines[at].spilled -= 1;
            at = self.next(at);
        }
    }

    fn place(&mut self, hash: u32, slot: Slot) {
        let mut at = self.home(hash);
        loop {
            let free = self.lines[at].matches(0);
            let line = &mut self.lines[at];
            if free != 0 {
                let lane = free.trailing_zeros() as usize;
                line.tags[lane] = tag_of(hash);
                line.slots[lane] = slot.raw();
                return;
            }
            line.spilled += 1;
            at = self.next(at);
        }
    }

    fn grow(&mut self, hash_of: impl Fn(Slot) -> u32) {
        let doubled = vec![EMPTY; self.lines.len() * 2];
        for line in std::mem::replace(&mut self.lines, doubled) {
            for slot in line.slots.into_iter().filter_map(Slot::from_raw) {
                self.place(hash_of(slot), slot);
            }
        }
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.lines.len() - 1)
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.lines.len() - 1)
    }

    /// Every slot, in no order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.lines.iter().flat_map(|line| line.slots.into_iter().filter_map(Slot::from_raw))
    }

    /// Checks that every slot can be found and that every spill is accounted
    /// for.
    pub(crate) fn validate(&self, hash_of: impl Fn(Slot) -> u32) -> Result<(), String> {
        let mut spilled = vec![0; self.lines.len()];
        let mut len = 0;
        for (at, line) in self.lines.iter().enumerate() {
            for lane in 0..LANES {
                let Some(slot) = Slot::from_raw(line.slots[lane]) else {
                    if line.tags[lane] != 0 {
                        return Err(format!("index: line {at}: a tag without a slot"));
                    }
                    continue;
                };
                let hash = hash_of(slot);
                if line.tags[lane] != tag_of(hash) {
                    return Err(format!("index: {slot:?} has the tag of another hash"));
                }
                len += 1;
                let mut passed = self.home(hash);
                while passed != at {
                    spilled[passed] += 1;
                    passed = self.next(passed);
                }
            }
        }
        if len != self.len {
            return Err(format!("index: holds {len} slots but counts {}", self.len));
        }
        match (0..spilled.len()).find(|at| spilled[*at] != self.lines[*at].spilled) {
            Some(at) => Err(format!(
                "index: line {at} counts {} spilled, but {} passed it",
                self.lines[at].spilled, spilled[at],
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_line_is_a_cache_line() {
        assert_eq!(std::mem::size_of::<Line>(), 64);
    }

    #[test]
    fn matches_are_exact_in_every_lane_for_every_tag() {
        for tag in 0..=255_u8 {
            for lane in 0..LANES {
                let mut line = EMPTY;
                line.tags = [tag ^ 0x80; LANES];
                line.tags[lane] = tag;
                assert_eq!(line.matches(tag), 1 << lane, "tag {tag} in lane {lane}");
            }
        }
        let mut line = EMPTY;
        line.tags = [1; LANES];
        assert_eq!(line.matches(1), 0xFFF);
        assert_eq!(line.matches(0), 0, "1 next to 0 is no match for 0");
    }

    proptest! {
        #[test]
        fn an_index_agrees_with_a_map(
            // Few distinct hashes make lines spill; wide ones make it grow.
            ops in prop::collection::vec((any::<bool>(), 0u32..200, 0u32..4), 0..600)
        ) {
            let mut index = Index::new();
            let mut model: HashMap<Slot, u32> = HashMap::new();
            for (insert, raw, hash_kind) in ops {
                let slot = Slot::from_index(raw as usize);
                let hash = [0, 7, raw % 3, raw.wrapping_mul(0x9E37_79B9)][hash_kind as usize];
                if insert && !model.contains_key(&slot) {
                    index.insert(hash, slot, |s| model[&s]);
                    model.insert(slot, hash);
                } else if let Some(hash) = model.get(&slot).copied() {
                    index.remove(hash, slot);
                    model.remove(&slot);
                }
                index.validate(|s| model[&s]).map_err(TestCaseError::fail)?;
                prop_assert_eq!(index.len(), model.len());
            }
            for (slot, hash) in &model {
                prop_assert_eq!(index.find(*hash, |s| s == *slot), Some(*slot));
                prop_assert_eq!(index.find(hash ^ 0x4000_0000, |s| s == *slot && model[&s] == hash ^ 0x4000_0000), None);
            }
        }
    }
}
