//! A workload made on the spot, for when no trace is at hand.
//!
//! It mixes what tells policies apart: skewed popularity (Zipf), a hot set
//! that moves, scans that are never repeated, and a loop that is a little
//! larger than the 5 % cache, where recency alone finds nothing. It is the
//! same on each run and each machine.

use crate::trace::Trace;

const SEED: u64 = 0x1A4D_E400_5EED;
const ROUNDS: u64 = 20;

/// Accesses of each kind in a round; the first two are shuffled together.
const ZIPF_ACCESSES: u64 = 36_000;
const HOT_ACCESSES: u64 = 16_000;
const SCAN_ACCESSES: u64 = 4_000;
const LOOP_ACCESSES: u64 = 44_000;

const ZIPF_KEYS: u64 = 100_000;
const HOT_KEYS: u64 = 2_000;
/// How far the hot set moves from round to round.
const HOT_STEP_KEYS: u64 = 1_000;
const LOOP_KEYS: u64 = 11_000;

/// What [`trace`] makes, for the reader of its results.
pub const DESCRIPTION: &str = "\
No trace given: a synthetic workload, seeded, of 20 rounds. In each round
  36000 accesses follow Zipf's law over 100000 keys, mixed with
  16000 accesses to a hot set of 2000 keys, half of them new in each round,
   4000 keys are scanned that never come back, and
  44000 accesses loop over 11000 keys, a little more than the 5% cache holds.";

/// Makes the workload.
pub fn trace() -> Trace {
    let mut random = SplitMix64(SEED);
    let zipf = Zipf::over(ZIPF_KEYS);
    let mut keys = Vec::new();
    for round in 0..ROUNDS {
        let mut zipf_left = ZIPF_ACCESSES;
        for left in (1..=ZIPF_ACCESSES + HOT_ACCESSES).rev() {
            if random.below(left) < zipf_left {
                zipf_left -= 1;
                keys.push(Family::Zipf.key(zipf.draw(&mut random)));
            } else {
                let hot = round * HOT_STEP_KEYS + random.below(HOT_KEYS);
                keys.push(Family::Hot.key(hot));
            }
        }
        let scanned = round * SCAN_ACCESSES..(round + 1) * SCAN_ACCESSES;
        keys.extend(scanned.map(|key| Family::Scan.key(key)));
        keys.extend((0..LOOP_ACCESSES).map(|at| Family::Loop.key(at % LOOP_KEYS)));
    }
    Trace::of_keys("synthetic".to_string(), keys)
}

/// Keys of different origin never meet.
#[derive(Clone, Copy)]
enum Family {
    Zipf,
    Hot,
    Scan,
    Loop,
}

impl Family {
    fn key(self, number: u64) -> u64 {
        ((self as u64) << 32) | number
    }
}

/// Draws numbers from 0, where number n is 1 / (n + 1) as popular as 0.
struct Zipf {
    /// `up_to[n]`: the popularity of all numbers up to n.
    up_to: Vec<f64>,
}

impl Zipf {
    // With an exponent of 1 this takes division and addition alone, which all
    // machines round alike; `powf` they do not.
    fn over(numbers: u64) -> Self {
        let mut sum = 0.0;
        let popularity = (1..=numbers).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Zipf { up_to: popularity.collect() }
    }

    fn draw(&self, random: &mut SplitMix64) -> u64 {
        let all = self.up_to.last().expect("there are numbers to draw");
        let at = random.unit() * all;
        self.up_to.partition_point(|&up_to| up_to <= at) as u64
    }
}

/// Steele, Lea and Flood (OOPSLA '14): a counter, well mixed.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Evenly below `end`, but for a bias of less than `end` / 2^64.
    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// Evenly from 0 to below 1, in steps of 2^-53.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workload_is_the_same_each_time() {
        assert_eq!(trace(), trace());
    }

    #[test]
    fn the_description_tells_the_truth() {
        for number in [
            ROUNDS,
            ZIPF_ACCESSES,
            ZIPF_KEYS,
            HOT_ACCESSES,
            HOT_KEYS,
            SCAN_ACCESSES,
            LOOP_ACCESSES,
            LOOP_KEYS,
        ] {
            assert!(DESCRIPTION.contains(&format!(" {number} ")), "{number}");
        }
        assert_eq!(HOT_STEP_KEYS, HOT_KEYS / 2);
    }

    #[test]
    fn the_loop_is_a_little_larger_than_the_five_percent_cache() {
        let five_percent = trace().distinct as u64 / 20;
        assert!(five_percent < LOOP_KEYS, "{five_percent}");
        assert!(LOOP_KEYS < five_percent * 5 / 4, "{five_percent}");
    }

    #[test]
    fn the_generator_agrees_with_published_values() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }
}
