//! Ghosts: entries that left not long ago, in two bytes each.
//!
//! A cell keeps eleven bits of the hash and in which epoch the entry left; an
//! epoch is an eighth of the reach that is asked for, so "not long ago" is told
//! to an eighth. A bucket has room for eight ghosts, the newest in front, of
//! which the oldest makes way. Eleven bits mistake one newcomer in 256 for a ghost at worst.

use super::chunks::prefetch;

const BUCKET: usize = 8;

/// A bucket is one number, its newest cell in the lowest bits, so that all
/// cells are looked at together.
type Bucket = u128;
const CELL_BITS: u32 = 16;

/// A one in each cell.
const ONES: Bucket = 0x0001_0001_0001_0001_0001_0001_0001_0001;
const TOPS: Bucket = ONES << (CELL_BITS - 1);
/// What is kept of the hash, in each cell.
const MARKS: Bucket = ONES * !EPOCH_MASK as Bucket;

/// An epoch's number in a cell, which wraps around.
const EPOCH_BITS: u32 = 5;
const EPOCH_MASK: u16 = (1 << EPOCH_BITS) - 1;

/// So many epochs make up a reach.
const EPOCHS: usize = 8;

/// No mark is 0.
const EMPTY: Bucket = 0;

#[derive(Default)]
pub(crate) struct Ghosts {
    buckets: Vec<Bucket>,
    epoch: u16,
    /// Departures in this epoch.
    departures: usize,
    /// The table is large enough for a reach of this.
    fits: usize,
}

impl Ghosts {
    /// Remembers that the entry with `hash` left; `reach` is how many later
    /// departures it shall be remembered for.
    #[inline]
    pub(crate) fn remember(&mut self, hash: u32, reach: usize) {
        if reach > self.fits || self.buckets.is_empty() {
            self.grow(reach);
        }
        self.departures += 1;
        if self.departures >= epoch_len(reach) {
            self.departures = 0;
            self.epoch = (self.epoch + 1) & EPOCH_MASK;
        }
        let (at, mark) = self.place(hash);
        let bucket = &mut self.buckets[at];
        *bucket = *bucket << CELL_BITS | Bucket::from(mark | self.epoch);
    }

    /// Forgets the entry with `hash` and says whether it was among the last
    /// `reach` that left, or nearly so.
    #[inline]
    pub(crate) fn take(&mut self, hash: u32, reach: usize) -> bool {
        let (at, mark) = self.place(hash);
        let Some(bucket) = self.buckets.get_mut(at) else { return false };
        // Where nothing differs, the top bit stays. (Without the epochs, a cell
        // has room to be shifted, so nothing is borrowed from the next.)
        let differs = (*bucket ^ in_all_cells(mark)) & MARKS;
        let found = (TOPS - (differs >> 1)) & TOPS;
        if found == 0 {
            return false;
        }
        let newest = *bucket >> (found.trailing_zeros() / CELL_BITS * CELL_BITS);
        *bucket &= !(found | (found - (found >> (CELL_BITS - 1))));
        age(self.epoch, newest as u16) < reach / epoch_len(reach)
    }

    /// `hash` will be taken or remembered soon.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u32) {
        if let Some(bucket) = self.buckets.get(self.place(hash).0) {
            prefetch(bucket);
        }
    }

    /// Gives the memory back if the table is much larger than `reach` asks for.
    /// The ghosts go with it: a cache that has become small meets others soon.
    pub(crate) fn cut(&mut self, reach: usize) {
        if self.buckets.len() >= 2 * buckets_for(reach) {
            (self.buckets, self.fits) = (Vec::new(), 0);
        }
    }

    /// The low bits of a number pick the bucket. One more bit means: this one,
    /// or the one a table's length further on. Each ghost is in both.
    #[cold]
    fn grow(&mut self, reach: usize) {
        let buckets = buckets_for(reach);
        if self.buckets.is_empty() {
            self.buckets = vec![EMPTY; buckets];
        }
        while self.buckets.len() < buckets {
            self.buckets.extend_from_within(..);
        }
        self.fits = self.fits.max(reach);
    }

    /// The bucket, and what stands for the hash in a cell of it. As long as
    /// there are no buckets, it is none of them.
    #[inline]
    fn place(&self, hash: u32) -> (usize, u16) {
        // The index of the shard uses the low bits as they are; a product
        // makes the choice here independent of it.
        let spread = u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mark = (spread >> (64 - CELL_BITS)) as u16 & !EPOCH_MASK;
        let at = (spread >> 16) as usize & self.buckets.len().wrapping_sub(1);
        (at, mark.max(1 << EPOCH_BITS))
    }
}

#[inline]
fn in_all_cells(cell: u16) -> Bucket {
    let half = ONES as u64 * u64::from(cell);
    Bucket::from(half) << 64 | Bucket::from(half)
}

/// A quarter more cells than ghosts, so that buckets seldom overflow.
fn buckets_for(reach: usize) -> usize {
    (reach + reach / 4).div_ceil(BUCKET).next_power_of_two()
}

fn epoch_len(reach: usize) -> usize {
    (reach / EPOCHS).max(1)
}

#[inline]
fn age(epoch: u16, cell: u16) -> usize {
    usize::from(epoch.wrapping_sub(cell) & EPOCH_MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ghost_is_known_within_its_reach_and_only_once() {
        let mut ghosts = Ghosts::default();
        assert!(!ghosts.take(0, 10), "an empty table knows nobody, not even hash 0");
        ghosts.remember(7, 3);
        assert!(ghosts.take(7, 3));
        assert!(!ghosts.take(7, 3), "it came back: no ghost any more");
        ghosts.remember(7, 3);
        ghosts.remember(8, 3);
        ghosts.remember(9, 3);
        ghosts.remember(10, 3);
        assert!(!ghosts.take(7, 3), "three have left since");
        assert!(ghosts.take(8, 3));
    }

    #[test]
    fn growth_keeps_those_who_are_remembered() {
        let mut ghosts = Ghosts::default();
        for hash in 0..4_u32 {
            ghosts.remember(hash * 0x0101_0101, 4);
        }
        ghosts.remember(99, 4096);
        for hash in 0..4_u32 {
            assert!(ghosts.take(hash * 0x0101_0101, 4096));
        }
    }

    #[test]
    fn a_table_that_is_much_too_large_is_given_back() {
        let mut ghosts = Ghosts::default();
        (0..10_000).for_each(|hash| ghosts.remember(hash, 10_000));
        ghosts.cut(9_000);
        assert!(ghosts.take(9_999, 10_000), "it is not much too large");
        ghosts.cut(100);
        assert_eq!(ghosts.buckets.capacity(), 0);
        ghosts.remember(7, 100);
        assert!(ghosts.take(7, 100) && ghosts.buckets.len() == buckets_for(100));
    }

    fn known_of(departures: u32, reach: usize) -> usize {
        let mut ghosts = Ghosts::default();
        let hashes: Vec<u32> = (0..departures).map(|i| i.wrapping_mul(0x85EB_CA6B)).collect();
        for hash in &hashes {
            ghosts.remember(*hash, reach);
        }
        hashes.iter().filter(|hash| ghosts.take(**hash, reach)).count()
    }

    #[test]
    fn nearly_all_within_reach_are_remembered_and_few_others() {
        for reach in [100, 1000, 1500] {
            let known = known_of(10_000, reach);
            assert!(known > reach * 17 / 20, "{known} of the last {reach}");
            assert!(known < reach * 23 / 20, "{known} with a reach of {reach}");
        }
    }

    #[test]
    fn strangers_are_seldom_taken_for_ghosts() {
        let mut ghosts = Ghosts::default();
        (0..10_000_u32).for_each(|i| ghosts.remember(i.wrapping_mul(0x85EB_CA6B), 4096));
        let strangers = (1..100_001_u32).map(|i| i.wrapping_mul(0x2545_F491));
        let mistaken = strangers.filter(|hash| ghosts.take(*hash, 4096)).count();
        assert!(mistaken < 100_000 / 256, "{mistaken} of 100 000");
    }
}
