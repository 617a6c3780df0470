//! Keys, drawn before the clock starts and from a fixed seed: two runs look up
//! the same.

use crate::peer::WRITE;
use std::fmt;

const SEED: u64 = 0x1A4D_E400_BE4C;

/// How popular the keys are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Popularity {
    /// Each as much as any other.
    Uniform,
    /// The key of rank n is 1 / n^exponent as popular as the first.
    Zipf(f64),
    /// The same one over and over.
    OneHotKey,
}

impl fmt::Display for Popularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Popularity::Uniform => f.write_str("uniform"),
            Popularity::Zipf(exponent) => write!(f, "Zipf {exponent}"),
            Popularity::OneHotKey => f.write_str("one hot key"),
        }
    }
}

/// `count` keys below `distinct`.
#[must_use]
pub fn draw(popularity: Popularity, count: usize, distinct: usize) -> Vec<u32> {
    let mut random = SplitMix64(SEED);
    match popularity {
        Popularity::Uniform => uniform(count, distinct),
        Popularity::OneHotKey => vec![random.below(distinct) as u32; count],
        Popularity::Zipf(exponent) => {
            let zipf = Zipf::new(distinct, exponent);
            // Caches are filled in the order of the keys. Were that also the
            // order of rank, all hot entries would be neighbours.
            let by_rank = shuffled(distinct, &mut random);
            (0..count).map(|_| by_rank[zipf.draw(&mut random)]).collect()
        }
    }
}

/// `count` keys below `distinct`, each as likely as any other.
#[must_use]
pub fn uniform(count: usize, distinct: usize) -> Vec<u32> {
    let mut random = SplitMix64(SEED);
    (0..count).map(|_| random.below(distinct) as u32).collect()
}

/// Marks this share of the keys, at random, as to be written.
#[must_use]
pub fn with_writes(mut keys: Vec<u32>, percent: u32) -> Vec<u32> {
    let mut random = SplitMix64(!SEED);
    for key in &mut keys {
        if random.below(100) < percent as usize {
            *key |= WRITE;
        }
    }
    keys
}

fn shuffled(distinct: usize, random: &mut SplitMix64) -> Vec<u32> {
    let mut keys: Vec<u32> = (0..distinct as u32).collect();
    for at in (1..distinct).rev() {
        keys.swap(at, random.below(at + 1));
    }
    keys
}

/// Draws ranks from 0 by Zipf's law.
#[derive(Debug)]
pub struct Zipf {
    /// `up_to[n]`: the popularity of all ranks up to n.
    up_to: Vec<f64>,
    /// `guide[i]`: the rank where the popularity reaches i / [`Self::GUIDES`],
    /// which leaves few ranks to search.
    guide: Vec<u32>,
}

impl Zipf {
    const GUIDES: usize = 1 << 16;

    /// Ranks below `distinct`, of which there must be some.
    #[must_use]
    pub fn new(distinct: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=distinct).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        let up_to: Vec<f64> = sums.collect();
        let part = |guide: usize| sum * guide as f64 / Self::GUIDES as f64;
        let rank_of = |guide| up_to.partition_point(|up_to| *up_to <= part(guide)) as u32;
        let guide = (0..=Self::GUIDES).map(rank_of).collect();
        Zipf { up_to, guide }
    }

    /// One rank.
    pub fn draw(&self, random: &mut SplitMix64) -> usize {
        let last = self.up_to.len() - 1;
        let unit = random.unit();
        let guide = (unit * Self::GUIDES as f64) as usize;
        let (from, to) = (self.guide[guide] as usize, self.guide[guide + 1] as usize);
        let at = unit * self.up_to[last];
        let among = &self.up_to[from..=to.min(last)];
        (from + among.partition_point(|up_to| *up_to <= at)).min(last)
    }
}

/// Steele, Lea and Flood (OOPSLA '14): a counter, well mixed.
#[derive(Clone, Debug)]
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    /// 64 random bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends: not worth an iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Evenly below `end`, but for a bias of less than `end` / 2^64.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// Evenly from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly from `from` to below `to`.
    pub fn between(&mut self, from: f64, to: f64) -> f64 {
        from + self.unit() * (to - from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_agrees_with_published_values() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn ranks_come_as_often_as_zipf_has_it() {
        let (zipf, mut random) = (Zipf::new(1000, 0.8), SplitMix64(1));
        let mut counts = vec![0.0; 1000];
        (0..1_000_000).for_each(|_| counts[zipf.draw(&mut random)] += 1.0);
        for rank in [1, 3, 9, 99_usize] {
            let (ratio, law) = (counts[0] / counts[rank], (rank as f64 + 1.0).powf(0.8));
            assert!((ratio / law - 1.0).abs() < 0.1, "rank {rank}: {ratio} against {law}");
        }
        assert!(counts[999] > 0.0);
    }

    #[test]
    fn the_guide_finds_the_rank_that_a_plain_search_finds() {
        for (distinct, exponent) in [(1, 1.0), (7, 0.0), (100_000, 0.99), (300, 2.5)] {
            let (zipf, mut random) = (Zipf::new(distinct, exponent), SplitMix64(9));
            for _ in 0..10_000 {
                let at = random.clone().unit() * zipf.up_to[distinct - 1];
                let plain = zipf.up_to.partition_point(|up_to| *up_to <= at).min(distinct - 1);
                assert_eq!(zipf.draw(&mut random), plain);
            }
        }
    }

    #[test]
    fn as_many_keys_are_written_as_were_asked_for() {
        let keys = with_writes(uniform(100_000, 500), 25);
        let writes = keys.iter().filter(|key| **key & WRITE != 0).count();
        assert!((24_000..26_000).contains(&writes), "{writes}");
        assert!(keys.iter().all(|key| key & !WRITE < 500));
    }
}
