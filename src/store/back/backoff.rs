//! How long to wait before a failed write is tried again.

use crate::expiry::nanos;
use crate::hash::DefaultHashBuilder;
use crate::store::policy::WriteBack;
use std::hash::BuildHasher;

pub(crate) struct Backoff {
    first: u64,
    max: u64,
    jitter: f64,
    random: u64,
}

impl Backoff {
    pub(crate) fn new(settings: &WriteBack) -> Self {
        // The default hasher is seeded at random, which is all the chance that
        // is needed here.
        let seed = settings.seed.unwrap_or_else(|| DefaultHashBuilder::default().hash_one(0_u8));
        Backoff {
            first: nanos(settings.backoff_first),
            max: nanos(settings.backoff_max),
            jitter: settings.jitter,
            random: seed,
        }
    }

    /// The wait after `strikes` failures: doubled each time, and shortened by
    /// chance.
    pub(crate) fn after(&mut self, strikes: u32) -> u64 {
        let doubled = 1_u64.checked_shl(strikes.saturating_sub(1)).unwrap_or(u64::MAX);
        let full = self.first.saturating_mul(doubled).min(self.max);
        full - (full as f64 * self.jitter * self.chance()) as u64
    }

    /// SplitMix64, as a number from 0 to 1.
    fn chance(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn backoff(jitter: f64) -> Backoff {
        let second = Duration::from_secs(1);
        Backoff::new(&WriteBack::new().backoff(second, second * 10).jitter(jitter).seed(1))
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut waits = backoff(0.0);
        let seconds = [1, 2, 3, 4, 5, 99].map(|strikes| waits.after(strikes) / 1_000_000_000);
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn jitter_only_ever_shortens_and_by_no_more_than_its_part() {
        let mut waits = backoff(0.25);
        let waits: Vec<u64> = (0..1000).map(|_| waits.after(1)).collect();
        assert!(waits.iter().all(|wait| (750_000_000..=1_000_000_000).contains(wait)));
        assert!(waits.iter().max() > waits.iter().min(), "and they differ");
    }
}
