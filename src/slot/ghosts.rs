//! Ghosts: entries that left not long ago, in two bytes each.
//!
//! A cell keeps eleven bits of the hash and in which epoch the entry left; an
//! epoch is an eighth of the reach that is asked for, so "not long ago" is told
//! to an eighth. A bucket has room for eight ghosts, the newest in front, of
//! which the oldest makes way. Eleven bits mistake one newcomer in 256 for a ghost at worst.

const BUCKET: usize = 8;

/// An epoch's number in a cell, which wraps around.
const EPOCH_BITS: u32 = 5;
const EPOCH_MASK: u16 = (1 << EPOCH_BITS) - 1;

/// So many epochs make up a reach.
const EPOCHS: usize = 8;

const EMPTY: u16 = 0;

#[derive(Default)]
pub(crate) struct Ghosts {
    buckets: Vec<[u16; BUCKET]>,
    epoch: u16,
    /// Departures in this epoch.
    departures: usize,
}

impl Ghosts {
    /// Remembers that the entry with `hash` left; `reach` is how many later
    /// departures it shall be remembered for.
    pub(crate) fn remember(&mut self, hash: u32, reach: usize) {
        let wanted = buckets_for(reach);
        if wanted > self.buckets.len() {
            self.grow(wanted);
        }
        self.departures += 1;
        if self.departures >= epoch_len(reach) {
            self.departures = 0;
            self.epoch = (self.epoch + 1) & EPOCH_MASK;
        }
        let (bucket, mark) = self.place(hash);
        let cells = &mut self.buckets[bucket];
        let former = *cells;
        cells[0] = mark << EPOCH_BITS | self.epoch;
        cells[1..].copy_from_slice(&former[..BUCKET - 1]);
    }

    /// Forgets the entry with `hash` and says whether it was among the last
    /// `reach` that left, or nearly so.
    pub(crate) fn take(&mut self, hash: u32, reach: usize) -> bool {
        if self.buckets.is_empty() {
            return false;
        }
        let (bucket, mark) = self.place(hash);
        let cells = &mut self.buckets[bucket];
        // Looking at all of them takes fewer steps than stopping at the right one.
        let mut found = 0_u32;
        for (i, cell) in cells.iter().enumerate() {
            found |= u32::from(*cell >> EPOCH_BITS == mark) << i;
        }
        let Some(newest) = cells.get(found.trailing_zeros() as usize) else { return false };
        let is_recent = age(self.epoch, *newest) < reach / epoch_len(reach);
        while found != 0 {
            cells[found.trailing_zeros() as usize] = EMPTY;
            found &= found - 1;
        }
        is_recent
    }

    /// Gives the memory back if the table is much larger than `reach` asks for.
    /// The ghosts go with it: a cache that has become small meets others soon.
    pub(crate) fn cut(&mut self, reach: usize) {
        if self.buckets.len() >= 2 * buckets_for(reach) {
            self.buckets = Vec::new();
        }
    }

    /// The low bits of a number pick the bucket. One more bit means: this one,
    /// or the one a table's length further on. Each ghost is in both.
    fn grow(&mut self, buckets: usize) {
        if self.buckets.is_empty() {
            self.buckets = vec![[EMPTY; BUCKET]; buckets];
        }
        while self.buckets.len() < buckets {
            self.buckets.extend_from_within(..);
        }
    }

    /// The bucket, and what stands for the hash in it, which is never 0.
    #[inline]
    fn place(&self, hash: u32) -> (usize, u16) {
        // The index of the shard uses the low bits as they are; a product
        // makes the choice here independent of it.
        let spread = u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mark = (spread >> (64 - 16 + EPOCH_BITS)) as u16;
        ((spread >> 16) as usize & (self.buckets.len() - 1), mark.max(1))
    }
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
