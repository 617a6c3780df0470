//! Sizes for the keys of a sequence, drawn by rule from a seed that is given.

use crate::keys::SplitMix64;
use std::collections::HashMap;

/// How the sizes of a sequence were drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// What the seed made of it.
    pub parameters: String,
    /// Of every key that occurs; at least 1.
    pub size_of: HashMap<u64, u32>,
}

/// From nearly equal to very unequal: log-normal, with a heavy tail as in
/// Pareto's law, or of two kinds. Every other time, they have to do with how
/// often a key occurs: who is popular is large, or small.
#[must_use]
pub fn draw(keys: &[u64], seed: u64) -> Drawn {
    let mut times = HashMap::new();
    for key in keys {
        *times.entry(*key).or_insert(0_u32) += 1;
    }
    let mut keys: Vec<(u64, u32)> = times.into_iter().collect();
    // A table's order is another one each time.
    keys.sort_unstable();
    let mut random = SplitMix64(seed.wrapping_mul(7919) + 13);
    let (kind, spread) = (random.below(4), random.between(0.3, 2.5));
    let power = [0.0, 0.0, 0.7, -0.7][random.below(4)];
    let mut size = |times: u32| {
        let by_popularity = f64::from(times).powf(power);
        let size = match kind {
            0 | 1 => (8.0 + spread * normal(&mut random)).exp() * by_popularity,
            2 => 1000.0 * random.unit().max(1e-9).powf(-1.0 / (0.8 + spread / 2.0)) * by_popularity,
            _ if random.unit() < 0.2 => 50_000.0,
            _ => 1000.0,
        };
        size.clamp(1.0, 4e6) as u32
    };
    let size_of = keys.into_iter().map(|(key, times)| (key, size(times))).collect();
    let kind = ["log-normal", "log-normal", "Pareto", "two kinds"][kind];
    let parameters = format!("{kind}, spread {spread:.1}, by popularity to the power of {power}");
    Drawn { parameters, size_of }
}

/// Nearly normal, with a variance of 1.
fn normal(random: &mut SplitMix64) -> f64 {
    (0..12).map(|_| random.unit()).sum::<f64>() - 6.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_draws_the_same_sizes_and_each_key_has_one() {
        let keys: Vec<u64> = (0..1000).map(|at| at * at % 300).collect();
        let drawn = draw(&keys, 5);
        assert_eq!(drawn, draw(&keys, 5));
        assert_ne!(drawn.size_of, draw(&keys, 6).size_of);
        assert!(keys.iter().all(|key| drawn.size_of[key] >= 1));
    }

    #[test]
    fn sizes_differ_under_every_seed() {
        let keys: Vec<u64> = (0..1000).collect();
        for seed in 0..40 {
            let drawn = draw(&keys, seed);
            let sizes = || drawn.size_of.values().copied();
            assert!(sizes().max() > sizes().min(), "{}", drawn.parameters);
        }
    }
}
