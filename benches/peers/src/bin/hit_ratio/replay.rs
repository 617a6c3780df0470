//! Drives a real cache through a trace: get, and insert on a miss.

use crate::report::{Outcome, Score};
use crate::trace::{Sizes, Trace};
use peers::contenders::Contender;
use peers::peer::Peer;

/// One cache to try.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub contender: Contender,
    /// In entries, or in bytes.
    pub capacity: u64,
    /// Where to note the hits so far.
    pub turns_at: usize,
}

/// Entries count alike, whatever sizes the trace has.
pub fn by_entries(trace: &Trace, setup: Setup) -> Outcome {
    let cache = setup.contender.build::<u64>(setup.capacity as usize);
    let mut outcome = drive(&*cache, &trace.accesses, setup, |key| key, |_| 1);
    outcome.held = cache.held(0..trace.distinct as u64) as u64;
    outcome
}

/// `None` if the contender cannot weigh.
pub fn by_bytes(trace: &Trace, sizes: &Sizes, setup: Setup) -> Option<Outcome> {
    let mean_bytes = (sizes.footprint_bytes / trace.distinct as u64).max(1);
    let entries = (setup.capacity / mean_bytes).max(1) as usize;
    let cache = setup.contender.build_weighted(setup.capacity, entries)?;
    let size = |key: u64| sizes.bytes_of[key as usize];
    let mut outcome = drive(&*cache, &trace.accesses, setup, size, |size: &u32| u64::from(*size));
    cache.settle();
    let held = (0..trace.distinct as u64).filter_map(|key| cache.get(key));
    outcome.held = held.map(u64::from).sum();
    Some(outcome)
}

fn drive<V>(
    cache: &dyn Peer<V>,
    accesses: &[u64],
    setup: Setup,
    value_of: impl Fn(u64) -> V,
    weigh: impl Fn(&V) -> u64,
) -> Outcome {
    let mut maintenance = Maintenance::of(setup);
    let mut score = Score::default();
    let mut hits_before_turn = 0;
    for (at, &key) in accesses.iter().enumerate() {
        if at == setup.turns_at {
            hits_before_turn = score.hits;
        }
        let found = cache.get(key);
        let is_hit = found.is_some();
        match found {
            Some(value) => score.hit(weigh(&value)),
            None => cache.insert(key, value_of(key)),
        }
        if maintenance.is_due(is_hit) {
            cache.settle();
        }
    }
    Outcome { score, hits_before_turn, held: 0 }
}

/// Some put work off, and decide better, or hold no more than they may, if it
/// is done often: as often as helps.
struct Maintenance {
    inserts: u64,
    accesses: u64,
    inserts_max: u64,
    accesses_max: u64,
}

impl Maintenance {
    fn of(setup: Setup) -> Self {
        let some = (setup.capacity / 16).clamp(1, 64);
        let (inserts_max, accesses_max) = match setup.contender {
            Contender::Moka | Contender::MiniMoka => (some, 64),
            // Waking its thread is dear, and reads are not queued there.
            Contender::Stretto => (some, u64::MAX),
            _ => (u64::MAX, u64::MAX),
        };
        Maintenance { inserts: 0, accesses: 0, inserts_max, accesses_max }
    }

    fn is_due(&mut self, is_hit: bool) -> bool {
        self.accesses += 1;
        self.inserts += u64::from(!is_hit);
        let is_due = self.accesses >= self.accesses_max || self.inserts >= self.inserts_max;
        if is_due {
            (self.accesses, self.inserts) = (0, 0);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder::Eviction;

    fn setup(contender: Contender, capacity: u64) -> Setup {
        Setup { contender, capacity, turns_at: usize::MAX }
    }

    #[test]
    fn an_lru_cache_hits_what_it_saw_lately() {
        let trace = Trace::of_keys("t".to_owned(), [1, 2, 1, 3, 2, 3, 3]);
        for contender in [Contender::LruMutex, Contender::LarderWith(Eviction::Lru)] {
            let outcome = by_entries(&trace, setup(contender, 2));
            assert_eq!((outcome.score.hits, outcome.held), (3, 2), "{contender}");
        }
    }

    #[test]
    fn hits_are_noted_where_the_trace_turns() {
        let trace = Trace::of_keys("t".to_owned(), [1, 1, 1, 2, 2]);
        let turns_at = 3;
        let setup = Setup { turns_at, ..setup(Contender::LruMutex, 10) };
        let outcome = by_entries(&trace, setup);
        assert_eq!((outcome.hits_before_turn, outcome.score.hits), (2, 3));
    }

    #[test]
    fn bytes_are_counted_where_they_are_weighed() {
        let mut trace = Trace::of_keys("t".to_owned(), [0, 1, 0, 1]);
        let sizes = Sizes { bytes_of: vec![30, 50], footprint_bytes: 80, requested_bytes: 160 };
        trace.sizes = Some(sizes.clone());
        let outcome = by_bytes(&trace, &sizes, setup(Contender::Larder, 1000)).unwrap();
        assert_eq!((outcome.score.hits, outcome.score.hit_weight, outcome.held), (2, 80, 80));
        assert!(by_bytes(&trace, &sizes, setup(Contender::SieveCache, 1000)).is_none());
    }
}
