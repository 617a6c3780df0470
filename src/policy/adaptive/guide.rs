//! What the shards of a cache share: one trial, and one choice for all.
//!
//! A shard reads two numbers on its way; only for keys of the sample does it
//! ask for the trial's lock, and if another shard has it just then, the access
//! is left out. Nobody waits.

use super::arms::{self, Arm};
use super::trial::Trial;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// At most this many entries are in the sample. Twice as many would cost
/// twice the memory for a tenth of a point, and half as many lose a fifth.
const SAMPLE_MAX: usize = 512;

/// While the choice has stood for long, a quarter of all entries is enough, within
/// these bounds. (An eighth loses a twentieth of a point where phases follow one
/// another.)
const SHARE_SETTLED: usize = 4;
const SETTLED_MIN: usize = 64;
const SETTLED_MAX: usize = 256;

pub(in super::super) struct Guide {
    /// The number of the arm in office.
    arm: AtomicUsize,
    /// One key in two to the power of this is in the sample.
    rarity: AtomicU32,
    /// Entries of all shards, as they have last told.
    entries: AtomicUsize,
    /// How often the choice has changed.
    changes: AtomicUsize,
    trial: Mutex<Option<Box<Trial>>>,
}

impl Default for Guide {
    fn default() -> Self {
        Guide {
            arm: AtomicUsize::new(arms::FIRST),
            rarity: AtomicU32::new(0),
            entries: AtomicUsize::new(0),
            changes: AtomicUsize::new(0),
            trial: Mutex::new(None),
        }
    }
}

impl Guide {
    /// How the cache is run just now.
    #[inline]
    pub(super) fn arm(&self) -> &'static Arm {
        &arms::ALL[self.arm.load(Ordering::Relaxed)]
    }

    #[inline]
    pub(super) fn samples(&self, hash: u32) -> bool {
        is_sampled(hash, self.rarity.load(Ordering::Relaxed))
    }

    /// A shard that had `was` entries has `is` by now.
    #[inline]
    pub(super) fn recount(&self, was: usize, is: usize) {
        if was != is {
            self.entries.fetch_add(is.wrapping_sub(was), Ordering::Relaxed);
        }
    }

    /// An entry of the sample was asked for `times` times.
    pub(super) fn report(&self, hash: u32, times: u8) {
        let Some(mut trial) = self.trial.try_lock() else { return };
        let trial = trial.get_or_insert_with(|| Box::new(Trial::new()));
        let entries = self.entries.load(Ordering::Relaxed);
        let mut rarity = self.rarity.load(Ordering::Relaxed);
        let most = sample(entries, trial.is_settled());
        if entries >> rarity > most {
            rarity += 1;
            trial.retain(|hash| is_sampled(hash, rarity));
        } else if rarity > 0 && entries >> (rarity - 1) <= most - most / 8 {
            rarity -= 1;
        }
        self.rarity.store(rarity, Ordering::Relaxed);
        if !is_sampled(hash, rarity) {
            return;
        }
        trial.set_room(entries >> rarity);
        trial.access(hash, times);
        let best = trial.best();
        if best != self.arm.load(Ordering::Relaxed) {
            self.arm.store(best, Ordering::Relaxed);
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was decided, for people.
    pub(in super::super) fn describe(&self) -> String {
        let Arm { share, remembers, contests } = *self.arm();
        let ghosts = if remembers { ", ghosts" } else { "" };
        let contest = if contests { "" } else { ", no contest" };
        let rarity = self.rarity.load(Ordering::Relaxed);
        let changes = self.changes.load(Ordering::Relaxed);
        format!(
            "window {}.{} %{ghosts}{contest}, changed {changes} times; sample of 1 key in {}",
            share / 10,
            share % 10,
            1_u64 << rarity,
        )
    }
}

/// How many of `entries` are in the sample at most.
fn sample(entries: usize, is_settled: bool) -> usize {
    match is_settled {
        true => (entries / SHARE_SETTLED).clamp(SETTLED_MIN, SETTLED_MAX),
        false => SAMPLE_MAX,
    }
}

/// Depends on bits that neither the index nor the sketch picks by.
#[inline]
fn is_sampled(hash: u32, rarity: u32) -> bool {
    hash.wrapping_mul(0x9E37_79B9).leading_zeros() >= rarity
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_thinned_out_as_the_cache_grows_and_grows_again_with_less() {
        let guide = Guide::default();
        guide.recount(0, 100_000);
        (0..100_000).for_each(|hash| guide.report(hash, 1));
        let rarity = guide.rarity.load(Ordering::Relaxed);
        assert!((100_000 >> rarity) <= SAMPLE_MAX && (100_000 >> (rarity - 1)) > SAMPLE_MAX);
        guide.recount(100_000, 1000);
        (0..100_000).for_each(|hash| guide.report(hash, 1));
        assert!(guide.rarity.load(Ordering::Relaxed) < rarity);
        assert_eq!(guide.entries.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn a_shard_that_finds_the_trial_taken_goes_on() {
        let guide = Guide::default();
        guide.recount(0, 100);
        let _taken = guide.trial.lock();
        guide.report(1, 1);
    }
}
