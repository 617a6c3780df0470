//! Sequences of keys made by rule, with parameters drawn at random from a seed
//! that is given: nobody can have tuned a policy for them.

use crate::keys::{SplitMix64, Zipf};

/// Accesses in each sequence.
pub const ACCESSES: usize = 200_000;

/// Capacities that loops and hot sets are made to fit, or not quite, as shares
/// of the distinct keys.
const SHARES: [f64; 4] = [0.01, 0.05, 0.10, 0.25];

/// A sequence, and how it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    /// The family and the seed.
    pub name: String,
    /// What the seed made of it.
    pub parameters: String,
    /// One key an access.
    pub keys: Vec<u64>,
    /// Where it changes from one kind to another, if it does so once.
    pub turns_at: Option<usize>,
}

/// What kind of sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Zipf's law, with an exponent from 0.6 to 1.2.
    Zipf,
    /// The same, with scans of keys that never come back.
    Scans,
    /// The same, with a loop over a few more keys than a cache holds.
    Loops,
    /// A set of hot keys that moves on, over a background of Zipf's law.
    ShiftingHotSet,
    /// All of these, shuffled.
    Mixture,
    /// One half by recency, one half looping, or the other way round.
    Phases,
}

impl Family {
    /// One of each.
    pub const ALL: [Family; 6] = [
        Family::Zipf,
        Family::Scans,
        Family::Loops,
        Family::ShiftingHotSet,
        Family::Mixture,
        Family::Phases,
    ];

    /// As in a file's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Family::Zipf => "zipf",
            Family::Scans => "scans",
            Family::Loops => "loops",
            Family::ShiftingHotSet => "hot-set",
            Family::Mixture => "mixture",
            Family::Phases => "phases",
        }
    }

    /// The sequence of this family that the seed stands for.
    #[must_use]
    pub fn sequence(self, seed: u64) -> Sequence {
        let mut maker = Maker::new(SplitMix64(seed.wrapping_mul(8) + self as u64));
        let mut turns_at = None;
        match self {
            Family::Zipf => maker.zipf(ACCESSES),
            Family::Scans => maker.scans(ACCESSES),
            Family::Loops => maker.loops(ACCESSES),
            Family::ShiftingHotSet => maker.shifting_hot_set(ACCESSES),
            Family::Mixture => maker.mixture(),
            Family::Phases => turns_at = Some(maker.phases()),
        }
        let Maker { keys, parameters, .. } = maker;
        let name = format!("{}-{seed}", self.name());
        Sequence { name, parameters: parameters.join(", "), keys, turns_at }
    }
}

/// Keys of different origin never meet.
const SCAN: u64 = 1 << 40;
const LOOP: u64 = 2 << 40;
const HOT: u64 = 3 << 40;

struct Maker {
    random: SplitMix64,
    keys: Vec<u64>,
    parameters: Vec<String>,
    /// Keys that follow Zipf's law, which make up most of the distinct ones.
    popular: usize,
    law: Zipf,
    next_scanned: u64,
}

impl Maker {
    fn new(mut random: SplitMix64) -> Self {
        let popular = random.between(8_000.0, 40_000.0) as usize;
        let exponent = random.between(0.6, 1.2);
        let parameters = vec![format!("Zipf {exponent:.2} over {popular} keys")];
        let law = Zipf::new(popular, exponent);
        Maker { random, keys: Vec::new(), parameters, popular, law, next_scanned: SCAN }
    }

    fn note(&mut self, parameter: String) {
        self.parameters.push(parameter);
    }

    fn share(&mut self) -> f64 {
        SHARES[self.random.below(SHARES.len())]
    }

    fn popular_key(&mut self) -> u64 {
        self.law.draw(&mut self.random) as u64
    }

    fn zipf(&mut self, accesses: usize) {
        for _ in 0..accesses {
            let key = self.popular_key();
            self.keys.push(key);
        }
    }

    fn scans(&mut self, accesses: usize) {
        let length = self.random.between(200.0, 5000.0) as usize;
        let between = (length as f64 * self.random.between(2.0, 10.0)) as usize;
        self.note(format!("scans of {length} keys every {between}"));
        let end = self.keys.len() + accesses;
        while self.keys.len() < end {
            self.zipf(between.min(end - self.keys.len()));
            let scan = length.min(end - self.keys.len()) as u64;
            self.keys.extend(self.next_scanned..self.next_scanned + scan);
            self.next_scanned += scan;
        }
    }

    fn loop_length(&mut self) -> u64 {
        let (share, excess) = (self.share(), self.random.between(1.02, 1.5));
        let length = (self.popular as f64 * share * excess).max(20.0) as u64;
        self.note(format!("a loop over {length} keys"));
        length
    }

    /// One access of the loop after one to the popular keys, or in turns of
    /// several rounds.
    fn loops(&mut self, accesses: usize) {
        let length = self.loop_length();
        let part = self.random.between(0.2, 0.8);
        self.note(format!("{:.0} % of all", 100.0 * part));
        let mut at = 0;
        for _ in 0..accesses {
            let key = if self.random.unit() < part {
                at += 1;
                LOOP + at % length
            } else {
                self.popular_key()
            };
            self.keys.push(key);
        }
    }

    fn shifting_hot_set(&mut self, accesses: usize) {
        let size = (self.popular as f64 * self.share() * self.random.between(0.3, 0.9)) as usize;
        let size = size.max(10);
        let moves_every = (size as f64 * self.random.between(4.0, 40.0)) as usize;
        let part = self.random.between(0.3, 0.9);
        self.note(format!(
            "{:.0} % to {size} hot keys, half of them new every {moves_every}",
            100.0 * part
        ));
        for at in 0..accesses {
            let key = if self.random.unit() < part {
                let first = (at / moves_every * size.div_ceil(2)) as u64;
                HOT + first + self.random.below(size) as u64
            } else {
                self.popular_key()
            };
            self.keys.push(key);
        }
    }

    /// A stretch of each kind after the other, four times over.
    fn mixture(&mut self) {
        let stretches = 16;
        for stretch in 0..stretches {
            let accesses = ACCESSES / stretches;
            match stretch % 4 {
                0 => self.zipf(accesses),
                1 => self.scans(accesses),
                2 => self.loops(accesses),
                _ => self.shifting_hot_set(accesses),
            }
        }
        // Sixteen times as many parameters say nothing.
        self.parameters.truncate(4);
        self.note("…".to_owned());
    }

    /// Where the second phase begins.
    fn phases(&mut self) -> usize {
        let half = ACCESSES / 2;
        let loops_first = self.random.below(2) == 0;
        self.note(format!("{} first", if loops_first { "loops" } else { "the hot set" }));
        if loops_first {
            self.loops(half);
            self.shifting_hot_set(half);
        } else {
            self.shifting_hot_set(half);
            self.loops(half);
        }
        half
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn distinct(keys: &[u64]) -> usize {
        keys.iter().collect::<HashSet<_>>().len()
    }

    #[test]
    fn a_seed_always_makes_the_same_sequence() {
        for family in Family::ALL {
            assert_eq!(family.sequence(7), family.sequence(7));
            assert_ne!(family.sequence(7).keys, family.sequence(8).keys);
        }
    }

    #[test]
    fn every_sequence_is_as_long_as_was_said() {
        for (family, seed) in Family::ALL.into_iter().flat_map(|f| (0..5).map(move |s| (f, s))) {
            let sequence = family.sequence(seed);
            assert_eq!(sequence.keys.len(), ACCESSES, "{}", sequence.name);
            let distinct = distinct(&sequence.keys);
            assert!((1_000..ACCESSES).contains(&distinct), "{}: {distinct}", sequence.name);
        }
    }

    #[test]
    fn what_is_scanned_never_comes_back() {
        let sequence = Family::Scans.sequence(3);
        let is_scanned = |key: &&u64| (SCAN..LOOP).contains(*key);
        let scanned: Vec<u64> = sequence.keys.iter().filter(is_scanned).copied().collect();
        assert!(!scanned.is_empty());
        assert_eq!(distinct(&scanned), scanned.len());
    }

    #[test]
    fn a_loop_goes_through_its_keys_in_order_again_and_again() {
        let sequence = Family::Loops.sequence(1);
        let is_of_loop = |key: &&u64| (LOOP..HOT).contains(*key);
        let of_loop: Vec<u64> = sequence.keys.iter().filter(is_of_loop).copied().collect();
        let length = distinct(&of_loop);
        assert!(of_loop.len() > 3 * length);
        assert!(of_loop.iter().zip(&of_loop[length..]).all(|(now, then)| now == then));
    }

    #[test]
    fn a_sequence_of_phases_says_where_it_turns() {
        let sequence = Family::Phases.sequence(2);
        let at = sequence.turns_at.unwrap();
        let has_loop = |keys: &[u64]| keys.iter().any(|key| (LOOP..HOT).contains(key));
        let [first, second] = [has_loop(&sequence.keys[..at]), has_loop(&sequence.keys[at..])];
        assert_ne!(first, second);
    }
}
