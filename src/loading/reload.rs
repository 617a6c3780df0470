//! When a value is reloaded before its time is up, and what serves when
//! loading fails.
//!
//! ```text
//!   written ──────────► refresh_after ───────────► expires ───────► + stale_if_error
//!   │  returned as it is  │  returned, and reloaded  │  loaded anew; returned
//!   │                     │  in the background       │  only if that fails
//!   │       early_refresh: at random, shortly before ┘
//! ```

use super::LoadingCache;
use crate::cache::load::lead::Lead;
use crate::cache::load::{LoadError, ToKey};
use crate::expiry::{Freshness, NEVER};
use crate::flight::Purpose;
use crate::spawn::Spawn;
use std::cell::Cell;
use std::hash::{BuildHasher, Hash, RandomState};
use std::pin::pin;
use std::sync::Arc;

/// When a value is due for a reload. Times are in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) refresh_after: u64,
    /// 0: no early refresh.
    pub(super) beta: f64,
    pub(super) serves_stale: bool,
}

impl Rules {
    fn never_reload(&self) -> bool {
        self.refresh_after == NEVER && self.beta == 0.0
    }

    /// Whether a value is due at `now`. `chance` is random, from 0 (not
    /// included) to 1.
    fn is_due(&self, age: Freshness, deadline: u64, now: u64, chance: f64) -> bool {
        let is_old = now.saturating_sub(age.written_at) >= self.refresh_after;
        now >= age.retry_at && (is_old || self.is_due_early(age, deadline, now, chance))
    }

    /// XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache
    /// Stampede Prevention, VLDB 2015): each read takes the value for expired
    /// if `now - delta * beta * ln(rand()) >= expiry`, where delta is what it
    /// took to load it. The closer the end and the dearer the load, the likelier.
    fn is_due_early(&self, age: Freshness, deadline: u64, now: u64, chance: f64) -> bool {
        let head_start = age.load_nanos as f64 * self.beta * -chance.ln();
        self.beta > 0.0 && deadline != NEVER && now as f64 + head_start >= deadline as f64
    }
}

thread_local! {
    static RANDOM: Cell<u64> = Cell::new(RandomState::new().hash_one(0) | 1);
}

/// A random number from 0 (not included) to 1, by xorshift64*.
fn chance() -> f64 {
    let drawn = RANDOM.try_with(|random| {
        let mut state = random.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        random.set(state);
        state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    });
    ((drawn.unwrap_or(u64::MAX) >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

impl<K, V, E, S> LoadingCache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// After a hit: starts a reload if the value is due for one.
    #[inline]
    pub(crate) fn consider_reload<Q: ToKey<K> + ?Sized>(&self, key: &Q) {
        if !self.inner.rules.never_reload() && self.is_due(key) {
            self.start_reload(key);
        }
    }

    fn is_due<Q: ToKey<K> + ?Sized>(&self, key: &Q) -> bool {
        let Some((age, deadline)) = self.inner.cache.age(key) else { return false };
        self.inner.rules.is_due(age, deadline, self.inner.cache.shared().now(), chance())
    }

    #[cold]
    fn start_reload<Q: ToKey<K> + ?Sized>(&self, key: &Q) {
        let Some(lead) = self.begin_reload(key) else { return };
        // The task does not keep the loader alive, nor the worker that runs it.
        let (inner, key) = (Arc::downgrade(&self.inner), key.to_key());
        let task = Box::pin(async move {
            let Some(inner) = inner.upgrade() else { return };
            let load = pin!(inner.loader.load(&key));
            // Failures are counted, and keep the next reload waiting.
            let _ = lead.fly(load).await;
        });
        match &self.inner.spawner {
            Some(spawner) => spawner.spawn(task),
            None => self.inner.worker.spawn(task),
        }
    }

    /// Registers a reload, unless the key is being loaded already.
    fn begin_reload<Q: ToKey<K> + ?Sized>(&self, key: &Q) -> Option<Lead<K, V>> {
        let (cache, owned) = (&self.inner.cache, Arc::new(key.to_key()));
        let hash = cache.hash_of(key);
        let mut visit = cache.shared().visit(hash);
        let slot = visit.find_or_keep(hash, key)?;
        let now = cache.shared().now();
        // It may just have been reloaded by another reader.
        let is_pausing = visit.freshness(slot).is_none_or(|age| now < age.retry_at);
        if visit.is_loading(hash, key) || is_pausing || visit.has_consequences() {
            return None;
        }
        if !self.is_still_due(visit.freshness(slot), now) {
            return None;
        }
        let tags = visit.tags_of(slot);
        let reload = Purpose::Reload(slot);
        let flight = visit.begin_load(hash, Arc::clone(&owned), tags.clone(), reload);
        drop(visit);
        let request = &self.inner.request;
        Some(Lead::new(cache.shared(), hash, owned, flight, tags, request).reloading())
    }

    /// With an early refresh, the dice were cast already; a value that was
    /// written meanwhile is told by its age alone.
    fn is_still_due(&self, age: Option<Freshness>, now: u64) -> bool {
        let Rules { refresh_after, beta, .. } = self.inner.rules;
        age.is_some_and(|age| beta > 0.0 || now.saturating_sub(age.written_at) >= refresh_after)
    }

    /// A value that has expired, if loading has failed so lately that it is not
    /// tried again yet.
    pub(crate) fn stale_for_now<Q: ToKey<K> + ?Sized>(&self, key: &Q) -> Option<V> {
        if !self.inner.rules.serves_stale {
            return None;
        }
        let now = self.inner.cache.shared().now();
        self.inner.cache.stale(key, |age| now < age.retry_at)
    }

    /// What was loaded, or else a value that has expired, if that will do.
    pub(crate) fn or_stale<Q: ToKey<K> + ?Sized>(
        &self,
        key: &Q,
        loaded: Result<V, LoadError<E>>,
    ) -> Result<V, LoadError<E>> {
        match loaded {
            Err(error) if self.inner.rules.serves_stale => {
                self.inner.cache.stale(key, |_| true).ok_or(error)
            }
            loaded => loaded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { refresh_after: NEVER, beta: 1.0, serves_stale: false };

    /// By the paper, a read at `ahead` before the end reloads with probability
    /// exp(-ahead / (delta * beta)).
    #[test]
    fn early_refreshes_are_as_likely_as_the_paper_says() {
        let age = Freshness { load_nanos: 1_000, ..Freshness::default() };
        let deadline = 1_000_000;
        for (ahead, beta) in [(0, 1.0), (500, 1.0), (1_000, 1.0), (2_000, 2.0), (5_000, 1.0)] {
            let rules = Rules { beta, ..RULES };
            let (now, draws) = (deadline - ahead, 200_000);
            let due = (0..draws).filter(|_| rules.is_due(age, deadline, now, chance())).count();
            let expected = (-(ahead as f64) / (1_000.0 * beta)).exp();
            let share = due as f64 / f64::from(draws);
            // Five standard deviations of 200 000 draws are 0.0056 at the most.
            assert!((share - expected).abs() < 0.006, "{ahead}: {share} instead of {expected}");
        }
    }

    #[test]
    fn a_value_without_an_end_or_that_was_not_loaded_is_not_refreshed_early() {
        let loaded = Freshness { load_nanos: 1_000, ..Freshness::default() };
        assert!(!RULES.is_due(loaded, NEVER, NEVER - 1, 1e-9));
        assert!(!RULES.is_due(Freshness::default(), 1_000, 999, 1e-9));
        assert!(RULES.is_due(loaded, 1_000, 999, 0.1));
        let failed = Freshness { retry_at: 2_000, ..loaded };
        assert!(!RULES.is_due(failed, 1_000, 1_999, 0.1), "it is too early to try again");
    }
}
