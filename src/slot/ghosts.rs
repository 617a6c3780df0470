//! Ghosts: hashes of entries that left not long ago.
//!
//! A small table of (hash, when) in buckets of four; the oldest of a bucket
//! makes way. "Not long ago" is a number of departures, given at look-up, so
//! the memory of the table follows the cache that asks and never runs ahead.

const BUCKET: usize = 4;

/// Empty cells look as if they had left this long ago: longer than any reach.
const START: u32 = 1 << 31;

#[derive(Clone, Copy, Default)]
struct Ghost {
    hash: u32,
    /// The departure's number, counted up and wrapping.
    when: u32,
}

pub(crate) struct Ghosts {
    buckets: Vec<[Ghost; BUCKET]>,
    now: u32,
}

impl Default for Ghosts {
    fn default() -> Self {
        Ghosts { buckets: Vec::new(), now: START }
    }
}

impl Ghosts {
    /// Remembers that the entry with `hash` left; `reach` is how many later
    /// departures it shall be remembered for.
    pub(crate) fn remember(&mut self, hash: u32, reach: usize) {
        // Twice the reach in cells, so that a bucket seldom overflows with
        // ghosts that are still wanted.
        let wanted = buckets_for(reach);
        if wanted > self.buckets.len() {
            self.resize(wanted);
        }
        self.now = self.now.wrapping_add(1);
        let ghost = Ghost { hash, when: self.now };
        self.place(ghost);
    }

    /// Forgets the entry with `hash` and says whether it was among the last
    /// `reach` that left.
    pub(crate) fn take(&mut self, hash: u32, reach: usize) -> bool {
        if self.buckets.is_empty() {
            return false;
        }
        let now = self.now;
        let bucket = self.bucket_of(hash);
        let found = self.buckets[bucket]
            .iter_mut()
            .find(|ghost| ghost.hash == hash && age(now, ghost) < reach.min(START as usize));
        match found {
            Some(ghost) => {
                ghost.when = now.wrapping_sub(START);
                true
            }
            None => false,
        }
    }

    fn place(&mut self, ghost: Ghost) {
        let now = self.now;
        let bucket = self.bucket_of(ghost.hash);
        let cells = &mut self.buckets[bucket];
        let same = cells.iter().position(|cell| cell.hash == ghost.hash);
        let cell = same.unwrap_or_else(|| oldest(cells, now));
        cells[cell] = ghost;
    }

    /// Gives back memory if the table is much larger than `reach` asks for.
    pub(crate) fn cut(&mut self, reach: usize) {
        let wanted = buckets_for(reach);
        if self.buckets.len() >= 2 * wanted {
            let now = self.now;
            let is_late = |ghost: &&mut Ghost| age(now, ghost) >= reach;
            let late = self.buckets.iter_mut().flatten().filter(is_late);
            late.for_each(|ghost| ghost.when = now.wrapping_sub(START));
            self.resize(wanted);
        }
    }

    fn resize(&mut self, buckets: usize) {
        let unused = Ghost { hash: 0, when: self.now.wrapping_sub(START) };
        let old = std::mem::replace(&mut self.buckets, vec![[unused; BUCKET]; buckets]);
        for ghost in old.into_iter().flatten() {
            if age(self.now, &ghost) < START as usize {
                self.place(ghost);
            }
        }
    }

    fn bucket_of(&self, hash: u32) -> usize {
        // The index of the shard uses the low bits as they are; a product
        // makes the choice here independent of it.
        let spread = u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (spread >> 32) as usize & (self.buckets.len() - 1)
    }
}

fn buckets_for(reach: usize) -> usize {
    (reach * 2).div_ceil(BUCKET).next_power_of_two()
}

fn age(now: u32, ghost: &Ghost) -> usize {
    now.wrapping_sub(ghost.when) as usize
}

fn oldest(cells: &[Ghost; BUCKET], now: u32) -> usize {
    let (mut at, mut most) = (0, 0);
    for (i, ghost) in cells.iter().enumerate() {
        if age(now, ghost) >= most {
            (at, most) = (i, age(now, ghost));
        }
    }
    at
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
    fn a_smaller_table_keeps_those_who_are_remembered() {
        let mut ghosts = Ghosts::default();
        let hashes: Vec<u32> = (0..10_000_u32).map(|i| i.wrapping_mul(0x85EB_CA6B)).collect();
        for hash in &hashes {
            ghosts.remember(*hash, 10_000);
        }
        ghosts.cut(100);
        assert_eq!(ghosts.buckets.len(), 64);
        let (old, late) = hashes.split_at(hashes.len() - 100);
        assert!(!old.iter().any(|hash| ghosts.take(*hash, 10_000)));
        assert!(late.iter().filter(|hash| ghosts.take(**hash, 100)).count() > 90);
    }

    #[test]
    fn nearly_all_within_reach_are_remembered() {
        let mut ghosts = Ghosts::default();
        let hashes: Vec<u32> = (0..10_000_u32).map(|i| i.wrapping_mul(0x85EB_CA6B)).collect();
        for hash in &hashes {
            ghosts.remember(*hash, 1000);
        }
        let known = hashes.iter().filter(|hash| ghosts.take(**hash, 1000)).count();
        assert!((950..=1000).contains(&known), "{known} of the last 1000");
    }
}
