//! A count-min sketch with 4-bit counters that age: how often was this hash
//! seen lately, in half a byte a counter?
//!
//! Cormode and Muthukrishnan, "An improved data stream summary: the count-min
//! sketch and its applications" (2005); ageing by halving, and the small
//! counters, are TinyLFU's (Einziger, Friedman and Manes, 2017).

/// Each word holds 16 counters of 4 bits.
const COUNTER_MAX: u64 = 15;
const ROWS: usize = 4;

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
    words: Vec<u64>,
    /// Additions since the counts were last halved.
    added: usize,
    sample: usize,
    /// For how many entries there is room.
    fitted: usize,
}

impl Sketch {
    /// Makes room for the history of `entries` residents. O(1) unless it
    /// doubles; what was counted so far stays counted.
    #[inline]
    pub(crate) fn fit(&mut self, entries: usize) {
        if entries != self.fitted || self.words.is_empty() {
            self.refit(entries);
        }
    }

    #[cold]
    fn refit(&mut self, entries: usize) {
        self.fitted = entries;
        self.sample = (entries.saturating_mul(SAMPLE_PER_ENTRY)).max(SAMPLE_MIN);
        if self.words.is_empty() {
            self.words = vec![0; WORDS_MIN];
        }
        let wanted = entries.min(WORD_EACH_MAX).max(entries / 2);
        while self.words.len() < wanted {
            // The low bits of a number pick the words. One more bit means:
            // these words, or those a table's length further on.
            self.words.extend_from_within(..);
        }
    }

    /// Counts `hash` `times` times, and halves all counts when it is time.
    #[inline]
    pub(crate) fn add(&mut self, hash: u32, times: u8) {
        if times == 0 || self.words.is_empty() {
            return;
        }
        let (block, picks) = self.place(hash);
        let words: &mut [u64; ROWS] = (&mut self.words[block..block + ROWS]).try_into().unwrap();
        for (row, word) in words.iter_mut().enumerate() {
            let shift = shift(picks, row);
            let count = (*word >> shift) & COUNTER_MAX;
            *word += (count + u64::from(times)).min(COUNTER_MAX).wrapping_sub(count) << shift;
        }
        self.added += usize::from(times);
        if self.added >= self.sample {
            self.halve();
        }
    }

    /// At least as often as `hash` was counted lately, up to 15.
    #[inline]
    pub(crate) fn estimate(&self, hash: u32) -> u8 {
        if self.words.is_empty() {
            return 0;
        }
        let (block, picks) = self.place(hash);
        let words: &[u64; ROWS] = self.words[block..block + ROWS].try_into().unwrap();
        let mut least = COUNTER_MAX;
        for (row, word) in words.iter().enumerate() {
            least = least.min((*word >> shift(picks, row)) & COUNTER_MAX);
        }
        least as u8
    }

    /// Where the words of `hash` begin, and 4 bits a row that say which
    /// counter of its word. All rows are on one cache line: it is what a look
    /// at a large sketch costs.
    #[inline]
    fn place(&self, hash: u32) -> (usize, u32) {
        let product = u64::from(hash ^ 0x9E37_79B9).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = product ^ (product >> 29);
        (((mixed >> 20) as usize * ROWS) & (self.words.len() - 1), (mixed >> 4) as u32)
    }

    fn halve(&mut self) {
        for word in &mut self.words {
            *word = (*word >> 1) & 0x7777_7777_7777_7777;
        }
        self.added /= 2;
    }
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
