//! A count-min sketch with 4-bit counters that age: how often was this hash
//! seen lately, in half a byte a counter?
//!
//! Cormode and Muthukrishnan, "An improved data stream summary: the count-min
//! sketch and its applications" (2005); ageing by halving, and the small
//! counters, are TinyLFU's (Einziger, Friedman and Manes, 2017).

use super::chunks::prefetch;

/// Each word holds 16 counters of 4 bits.
const COUNTER_MAX: u64 = 15;
const ROWS: usize = 4;

/// One word of each row.
type Block = [u64; ROWS];

/// Fewer words make small caches forget what they need: on loops a sketch
/// sized to a cache of 100 entries has collisions enough to admit anyone.
const WORDS_MIN: usize = 1024;
const SAMPLE_MIN: usize = 10_000;

/// Up to this many entries, each has a word. Larger caches give each half a
/// word: that is where memory is felt, and collisions matter less.
const WORD_EACH_MAX: usize = 8192;

/// All counts are halved after this many additions per entry.
const SAMPLE_PER_ENTRY: usize = 10;

#[derive(Default)]
pub(crate) struct Sketch {
    blocks: Vec<Block>,
    /// Additions since the counts were last halved.
    added: usize,
    sample: usize,
    /// For how many entries there is room.
    fitted: usize,
    /// How often the counts were halved.
    age: u32,
}

impl Sketch {
    /// Makes room for the history of `entries` residents. O(1) unless it
    /// doubles; what was counted so far stays counted.
    #[inline]
    pub(crate) fn fit(&mut self, entries: usize) {
        if entries != self.fitted || self.blocks.is_empty() {
            self.refit(entries);
        }
    }

    #[cold]
    fn refit(&mut self, entries: usize) {
        self.fitted = entries;
        self.sample = (entries.saturating_mul(SAMPLE_PER_ENTRY)).max(SAMPLE_MIN);
        if self.blocks.is_empty() {
            self.blocks = vec![[0; ROWS]; WORDS_MIN / ROWS];
        }
        let wanted = words_for(entries);
        while self.words() < wanted {
            // The low bits of a number pick the block. One more bit means: this
            // one, or the one a table's length further on.
            self.blocks.extend_from_within(..);
        }
    }

    fn words(&self) -> usize {
        self.blocks.len() * ROWS
    }

    /// Gives back memory if `entries` residents need much less. What was counted
    /// so far stays counted, though more of it collides.
    pub(crate) fn cut(&mut self, entries: usize) {
        let wanted = words_for(entries).max(WORDS_MIN);
        if self.words() < 2 * wanted {
            return;
        }
        while self.words() >= 2 * wanted {
            // The reverse of growth.
            let half = self.blocks.len() / 2;
            let (low, high) = self.blocks.split_at_mut(half);
            let pairs = low.as_flattened_mut().iter_mut().zip(high.as_flattened());
            pairs.for_each(|(low, high)| *low = greater(*low, *high));
            self.blocks.truncate(half);
        }
        self.blocks.shrink_to_fit();
        self.refit(entries);
    }

    /// Counts `hash` `times` times, and halves all counts when it is time.
    /// Returns whether it was.
    #[inline]
    pub(crate) fn add(&mut self, hash: u32, times: u8) -> bool {
        let age = self.age;
        self.count(hash, times);
        self.age != age
    }

    /// Counts `hash` `times` times, halves all counts when it is time, and
    /// returns what [`estimate`](Sketch::estimate) would.
    #[inline]
    pub(crate) fn count(&mut self, hash: u32, times: u8) -> u8 {
        let (at, picks) = self.place(hash);
        let Some(block) = self.blocks.get_mut(at) else { return 0 };
        // What each counter lacks to its end; the least is the one that lacks most.
        let mut most = 0;
        for (row, word) in block.iter_mut().enumerate() {
            let shift = shift(picks, row);
            let lacks = (!*word >> shift) & COUNTER_MAX;
            *word += lacks.min(u64::from(times)) << shift;
            most = most.max(lacks);
        }
        let mut least = COUNTER_MAX - most.saturating_sub(u64::from(times));
        self.added += usize::from(times);
        if self.added >= self.sample && times > 0 {
            self.halve();
            least /= 2;
        }
        least as u8
    }

    /// At least as often as `hash` was counted lately, up to 15.
    #[inline]
    pub(crate) fn estimate(&self, hash: u32) -> u8 {
        let (at, picks) = self.place(hash);
        let Some(block) = self.blocks.get(at) else { return 0 };
        let count = |row: usize| (block[row] >> shift(picks, row)) & COUNTER_MAX;
        count(0).min(count(1)).min(count(2).min(count(3))) as u8
    }

    /// What is known of `hash` will be asked for soon.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u32) {
        if let Some(block) = self.blocks.get(self.place(hash).0) {
            prefetch(block);
        }
    }

    /// Changes whenever the counts are halved.
    #[inline]
    pub(crate) fn age(&self) -> u32 {
        self.age
    }

    /// Which block is that of `hash`, and 4 bits a row that say which counter of
    /// its word. All rows are on one cache line: it is what a look at a large
    /// sketch costs. As long as there are no blocks, it is none of them.
    #[inline]
    fn place(&self, hash: u32) -> (usize, u32) {
        let product = u64::from(hash ^ 0x9E37_79B9).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = product ^ (product >> 29);
        ((mixed >> 20) as usize & self.blocks.len().wrapping_sub(1), (mixed >> 4) as u32)
    }

    #[cold]
    fn halve(&mut self) {
        for word in self.blocks.as_flattened_mut() {
            *word = (*word >> 1) & 0x7777_7777_7777_7777;
        }
        self.added /= 2;
        self.age = self.age.wrapping_add(1);
    }
}

fn words_for(entries: usize) -> usize {
    entries.min(WORD_EACH_MAX).max(entries / 2)
}

/// Of each of the 16 counters, the greater one.
fn greater(one: u64, other: u64) -> u64 {
    const COUNTER: u64 = 0x0F0F_0F0F_0F0F_0F0F;
    const TOP: u64 = 0x8080_8080_8080_8080;
    let of_bytes = |one: u64, other: u64| {
        // In each byte, the highest bit stays if nothing is borrowed from it.
        let is_greater = ((one | TOP) - other) & TOP;
        let mask = (is_greater - (is_greater >> 7)) | is_greater;
        (one & mask) | (other & !mask)
    };
    let high = of_bytes((one >> 4) & COUNTER, (other >> 4) & COUNTER);
    high << 4 | of_bytes(one & COUNTER, other & COUNTER)
}

#[inline]
fn shift(picks: u32, row: usize) -> u32 {
    ((picks >> (4 * row)) & 15) * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_never_too_low_and_stops_at_15() {
        let mut sketch = Sketch::default();
        sketch.fit(100);
        for hash in 0..100 {
            sketch.add(hash, (hash % 4) as u8);
        }
        for hash in 0..100_u32 {
            assert!(sketch.estimate(hash) >= (hash % 4) as u8);
        }
        for _ in 0..10 {
            sketch.add(5, 3);
        }
        assert_eq!(sketch.estimate(5), 15);
    }

    #[test]
    fn counting_returns_the_estimate_also_when_it_is_time_to_halve() {
        let mut sketch = Sketch::default();
        sketch.fit(1);
        for step in 0..3 * SAMPLE_MIN as u32 {
            let hash = (step * step % 701).wrapping_mul(0x85EB_CA6B);
            assert_eq!(sketch.count(hash, 1 + (step % 3) as u8), sketch.estimate(hash));
        }
        assert!(sketch.age() > 3);
    }

    #[test]
    fn estimates_are_mostly_exact_when_the_sketch_fits() {
        let mut sketch = Sketch::default();
        sketch.fit(4096);
        for hash in 0..4096_u32 {
            sketch.add(hash.wrapping_mul(0x85EB_CA6B), 1);
        }
        let wrong = (0..4096_u32)
            .filter(|hash| sketch.estimate(hash.wrapping_mul(0x85EB_CA6B)) != 1)
            .count();
        assert!(wrong < 41, "{wrong} of 4096 overestimated: more than 1 %");
    }

    #[test]
    fn counts_halve_once_the_sample_is_full() {
        let mut sketch = Sketch::default();
        sketch.fit(1);
        for _ in 0..8 {
            sketch.add(1, 1);
        }
        for filler in 0..SAMPLE_MIN as u32 - 9 {
            sketch.add(filler.wrapping_mul(0x85EB_CA6B) | 1 << 31, 1);
        }
        let before = sketch.estimate(1);
        sketch.add(2, 1);
        assert_eq!(sketch.estimate(1), before / 2);
    }

    #[test]
    fn the_greater_of_all_counters_is_found() {
        for one in 0..16_u64 {
            for other in 0..16_u64 {
                let most = one.max(other);
                let (every, both) = (0x1111_1111_1111_1111, 0x0101_0101_0101_0101);
                assert_eq!(greater(one * every, other * every), most * every);
                let sum = (one * both) | ((other * both) << 4);
                assert_eq!(greater(one * both, (other * both) << 4), sum);
            }
        }
    }

    #[test]
    fn a_smaller_sketch_keeps_the_counts() {
        let mut sketch = Sketch::default();
        sketch.fit(100_000);
        for hash in 0..50_u32 {
            sketch.add(hash.wrapping_mul(0x85EB_CA6B), 1 + (hash % 3) as u8);
        }
        sketch.cut(10);
        assert_eq!(sketch.words(), WORDS_MIN);
        for hash in 0..50_u32 {
            let counted = 1 + (hash % 3) as u8;
            assert!(sketch.estimate(hash.wrapping_mul(0x85EB_CA6B)) >= counted);
        }
    }

    #[test]
    fn growth_keeps_the_counts() {
        let mut sketch = Sketch::default();
        sketch.fit(10);
        for hash in 0..50 {
            sketch.add(hash, 3);
        }
        sketch.fit(100_000);
        for hash in 0..50 {
            assert!(sketch.estimate(hash) >= 3);
        }
    }
}
