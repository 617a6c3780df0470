//! OPT: what a cache that knows the future would hit.
//!
//! Belady's rule with bypass: of the residents and the newcomer, the one
//! whose next use is furthest goes. Over entry counts no policy can hit more,
//! whatever it admits. With unequal sizes the rule is a strong yardstick and
//! not a bound: one large object may cost several small ones.

use std::collections::BTreeSet;

use crate::report::Score;
use crate::trace::Trace;

/// The position in a trace of an access that never comes.
const NEVER: usize = usize::MAX;

/// A trace, and what lies ahead at each of its accesses.
pub struct Oracle<'t> {
    trace: &'t Trace,
    /// For each access, the position of the next one with the same key.
    next_use: Vec<usize>,
}

impl<'t> Oracle<'t> {
    /// Reads the trace once, from its end: serves any number of capacities.
    pub fn of(trace: &'t Trace) -> Self {
        let mut seen_at = vec![NEVER; trace.distinct];
        let mut next_use = vec![NEVER; trace.accesses.len()];
        for (at, &key) in trace.accesses.iter().enumerate().rev() {
            next_use[at] = seen_at[key as usize];
            seen_at[key as usize] = at;
        }
        Oracle { trace, next_use }
    }

    /// What OPT hits at this capacity: bytes if the trace has sizes, or else
    /// entries.
    pub fn score(&self, capacity: u64) -> Score {
        match &self.trace.sizes {
            None => self.replay(capacity, |_| 1),
            Some(sizes) => self
                .replay(capacity, |at| u64::from(sizes.bytes_of[self.trace.accesses[at] as usize])),
        }
    }

    /// Replays the trace, where the access at a position weighs `weight_at`.
    ///
    /// A resident is known by the position of its next use. That names its
    /// key, orders it for eviction, and makes the access there a hit; what is
    /// never used again is not worth keeping and counts as gone.
    fn replay(&self, capacity: u64, weight_at: impl Fn(usize) -> u64) -> Score {
        let mut score = Score::default();
        let mut residents = BTreeSet::new();
        let mut weight = 0;
        for (at, &next_use) in self.next_use.iter().enumerate() {
            // Nobody's next use has passed, so this one can only be the first.
            if residents.first() == Some(&at) {
                residents.pop_first();
                weight -= weight_at(at);
                score.hit(weight_at(at));
            }
            if next_use == NEVER || weight_at(at) > capacity {
                continue;
            }
            residents.insert(next_use);
            weight += weight_at(at);
            while weight > capacity {
                let furthest = residents.pop_last().expect("someone weighs too much");
                weight -= weight_at(furthest);
            }
        }
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Sizes;

    fn trace(keys: &[u64], bytes_of: Option<&[u32]>) -> Trace {
        let mut trace = Trace::of_keys("t".to_string(), keys.iter().copied());
        trace.sizes =
            bytes_of.map(|bytes_of| Sizes { bytes_of: bytes_of.to_vec(), ..Sizes::default() });
        trace
    }

    /// The most hits that any choices at all lead to: tries them all.
    fn most_hits(accesses: &[u64], capacity: usize, residents: &[u64]) -> u64 {
        let Some((key, ahead)) = accesses.split_first() else {
            return 0;
        };
        if residents.contains(key) {
            return 1 + most_hits(ahead, capacity, residents);
        }
        let refused = most_hits(ahead, capacity, residents);
        let mut with_key = residents.to_vec();
        with_key.push(*key);
        if with_key.len() <= capacity {
            return refused.max(most_hits(ahead, capacity, &with_key));
        }
        let without = |victim: usize| {
            let mut residents = with_key.clone();
            residents.remove(victim);
            most_hits(ahead, capacity, &residents)
        };
        (0..capacity).map(without).fold(refused, u64::max)
    }

    #[test]
    fn no_choices_hit_more_than_opt() {
        // All sequences of 7 accesses to 4 keys, by counting in base 4.
        for code in 0..4_u64.pow(7) {
            let keys: Vec<u64> = (0..7).map(|digit| (code >> (2 * digit)) & 3).collect();
            let trace = trace(&keys, None);
            for capacity in 1..=3 {
                let opt = Oracle::of(&trace).score(capacity as u64);
                let most = most_hits(&trace.accesses, capacity, &[]);
                assert_eq!(opt.hits, most, "{keys:?} at {capacity}");
            }
        }
    }

    #[test]
    fn a_cache_that_holds_everything_misses_each_key_once() {
        let trace = trace(&[1, 2, 3, 1, 2, 3, 3, 4], None);
        assert_eq!(Oracle::of(&trace).score(4).hits, 4);
        assert_eq!(Oracle::of(&trace).score(u64::MAX).hits, 4);
    }

    #[test]
    fn an_object_larger_than_the_cache_is_never_admitted() {
        let trace = trace(&[0, 1, 0, 1, 0], Some(&[11, 10]));
        let score = Oracle::of(&trace).score(10);
        assert_eq!((score.hits, score.hit_weight), (1, 10));
    }

    #[test]
    fn a_large_newcomer_takes_the_place_of_all_that_come_later() {
        let trace = trace(&[0, 1, 2, 2, 0, 1], Some(&[4, 4, 8]));
        let score = Oracle::of(&trace).score(8);
        assert_eq!((score.hits, score.hit_weight), (1, 8));
    }
}
