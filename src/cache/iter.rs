//! Walking over the entries without a lock.

use super::{Cache, Shared};
use crate::shard::Held;
use crate::slot::Slot;
use crate::vault::Cursor;
use std::fmt;

/// An iterator over clones of the entries, made by [`Cache::iter`].
///
/// Weakly consistent: an entry that stays throughout is met exactly once, also if it
/// gets a new value or the cache grows; one that comes or goes meanwhile, perhaps.
/// What was invalidated before a step is not met in it. Nothing is locked between
/// steps. (Should keys share their hash, and the cache grow just while they are met,
/// one may be taken for another.)
///
/// ```
/// let cache = larder::Cache::new(100);
/// cache.extend([("pear", 3), ("plum", 40)]);
/// let sum: u32 = cache.iter().map(|(_, stock)| stock).sum();
/// assert_eq!(sum, 43);
/// ```
pub struct Iter<'a, K, V, S> {
    cache: &'a Cache<K, V, S>,
    shard: usize,
    cursor: Cursor,
}

impl<'a, K, V, S> Iter<'a, K, V, S> {
    fn next_held(&mut self) -> Option<Held<'a, K, V>> {
        let shared: &'a Shared<K, V> = &self.cache.shared;
        while let Some(shard) = shared.shards.get(self.shard) {
            if let Some(held) = shard.entry_from(&shared.hub, &mut self.cursor) {
                return Some(held);
            }
            self.shard += 1;
            self.cursor = Cursor::default();
        }
        None
    }
}

impl<K: Clone, V: Clone, S> Iterator for Iter<'_, K, V, S> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        let held = self.next_held()?;
        Some((held.key().clone(), held.value().clone()))
    }
}

impl<K, V, S> fmt::Debug for Iter<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("cache", self.cache).finish_non_exhaustive()
    }
}

impl<'a, K: Clone, V: Clone, S> IntoIterator for &'a Cache<K, V, S> {
    type Item = (K, V);
    type IntoIter = Iter<'a, K, V, S>;

    fn into_iter(self) -> Iter<'a, K, V, S> {
        self.iter()
    }
}

/// Walking over the entries. None of these is a use for the policy.
impl<K, V, S> Cache<K, V, S> {
    /// Clones of the entries, in no order; see [`Iter`].
    ///
    /// # Cost
    /// A short lock and two clones a step.
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// cache.insert("pear", 3);
    /// assert_eq!(cache.iter().collect::<Vec<_>>(), [("pear", 3)]);
    /// ```
    pub fn iter(&self) -> Iter<'_, K, V, S> {
        Iter { cache: self, shard: 0, cursor: Cursor::default() }
    }

    /// Up to `n` entries that would stay longest, the hottest first, as far as
    /// the policy can tell; with several shards, these take turns.
    ///
    /// # Cost
    /// O(entries × log entries), and each shard is locked in turn.
    ///
    /// ```
    /// use larder::{Cache, Eviction};
    ///
    /// let cache = Cache::builder().capacity(9).eviction(Eviction::Lru).build()?;
    /// cache.extend([("pear", 3), ("plum", 40), ("fig", 5)]);
    /// cache.get("pear");
    /// assert_eq!(cache.hottest(2), [("pear", 3), ("fig", 5)]);
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn hottest(&self, n: usize) -> Vec<(K, V)>
    where
        K: Clone,
        V: Clone,
    {
        self.ranked(n, |slots| slots.reverse())
    }

    /// Up to `n` entries that would leave first, the coldest first; see
    /// [`hottest`](Cache::hottest).
    ///
    /// ```
    /// use larder::{Cache, Eviction};
    ///
    /// let cache = Cache::builder().capacity(9).eviction(Eviction::Lru).build()?;
    /// cache.extend([("pear", 3), ("plum", 40), ("fig", 5)]);
    /// assert_eq!(cache.coldest(1), [("pear", 3)]);
    /// # Ok::<(), larder::BuildError>(())
    /// ```
    pub fn coldest(&self, n: usize) -> Vec<(K, V)>
    where
        K: Clone,
        V: Clone,
    {
        self.ranked(n, |_| ())
    }

    fn ranked(&self, n: usize, order: impl Fn(&mut Vec<(Slot, u32)>)) -> Vec<(K, V)>
    where
        K: Clone,
        V: Clone,
    {
        let Shared { shards, hub, .. } = &*self.shared;
        let mut ranks: Vec<Vec<(Slot, u32)>> =
            shards.iter().map(|shard| shard.coldest_first(hub)).collect();
        ranks.iter_mut().for_each(order);
        let longest = ranks.iter().map(Vec::len).max().unwrap_or(0);
        let in_turn = (0..longest).flat_map(|at| {
            let ranked = shards.iter().zip(&ranks);
            ranked.filter_map(move |(shard, rank)| Some((shard, *rank.get(at)?)))
        });
        let held = in_turn.filter_map(|(shard, at)| shard.entry_at(hub, at));
        held.take(n).map(|held| (held.key().clone(), held.value().clone())).collect()
    }
}
