//! The cache of a function: one that is filled by calls alone, or one that also
//! calls the function of its own accord.

use super::returns::{Plan, Untold};
use crate::{Cache, LoadError, LoadingCache, ToKey};
use std::hash::{BuildHasher, Hash};

/// What `load` asks for values, beyond the cache.
pub trait Source<K, V> {
    type Hasher: BuildHasher;

    fn cache(&self) -> &Cache<K, V, Self::Hasher>;

    /// After a hit: the value may be old enough for a reload.
    #[inline]
    fn note_hit<Q: ToKey<K> + ?Sized>(&self, _key: &Q) {}

    /// A value that has expired, where that is better than a call that has
    /// failed just now.
    fn stale_for_now<Q: ToKey<K> + ?Sized>(&self, _key: &Q) -> Option<V> {
        None
    }

    /// A value that has expired, where that is better than an error.
    fn stale<Q: ToKey<K> + ?Sized>(&self, _key: &Q) -> Option<V> {
        None
    }
}

impl<K, V, S: BuildHasher> Source<K, V> for Cache<K, V, S> {
    type Hasher = S;

    #[inline]
    fn cache(&self) -> &Cache<K, V, S> {
        self
    }
}

impl<K, V, S> Source<K, V> for LoadingCache<K, V, Untold, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    type Hasher = S;

    fn cache(&self) -> &Cache<K, V, S> {
        LoadingCache::cache(self)
    }

    fn note_hit<Q: ToKey<K> + ?Sized>(&self, key: &Q) {
        self.consider_reload(key);
    }

    fn stale_for_now<Q: ToKey<K> + ?Sized>(&self, key: &Q) -> Option<V> {
        LoadingCache::stale_for_now(self, key)
    }

    fn stale<Q: ToKey<K> + ?Sized>(&self, key: &Q) -> Option<V> {
        self.or_stale(key, Err(LoadError::Panicked)).ok()
    }
}

/// What a call by the cache itself has returned. Nobody waits for its error;
/// that there is nothing to keep leaves the old value where it is.
pub fn reload<P: Plan>(_plan: P, returned: P::Returned) -> Result<P::Kept, Untold> {
    P::split(returned).ok().flatten().ok_or(Untold)
}

/// [`reload`] for tasks.
pub async fn reload_async<P: Plan>(
    _plan: P,
    returned: impl Future<Output = P::Returned>,
) -> Result<P::Kept, Untold> {
    P::split(returned.await).ok().flatten().ok_or(Untold)
}
