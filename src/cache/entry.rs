//! Computing the value of one key, one computation at a time.

use super::Cache;
use crate::budget::{Cost, Credit, Shortage};
use crate::claim::{Recursion, Turn};
use crate::hash::{DefaultHashBuilder, KeyHash};
use crate::inside::Inside;
use crate::listener::Cause;
use crate::shard::{Held, Incoming, Visit};
use crate::slab::Entry as Stored;
use crate::sync::thread;
use crate::tags::TagSet;
use smallvec::SmallVec;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// A place for one key, made by [`Cache::entry`].
///
/// ```
/// use larder::{Cache, Compute};
///
/// let cache: Cache<&str, u32> = Cache::new(100);
/// for word in ["pear", "plum", "pear"] {
///     cache.entry(word).and_compute(|count| Compute::Replace(count.unwrap_or(&0) + 1));
/// }
/// assert_eq!(cache.get("pear"), Some(2));
/// ```
pub struct Entry<'a, K, V, S = DefaultHashBuilder> {
    cache: &'a Cache<K, V, S>,
    key: K,
}

/// What a computation wants done with the key.
///
/// ```
/// use larder::{Cache, Compute, Outcome};
///
/// let cache = Cache::new(100);
/// cache.insert("pear", 1);
/// let outcome = cache.entry("pear").and_compute(|stock| match stock {
///     Some(1) => Compute::Remove,
///     Some(n) => Compute::Replace(n - 1),
///     None => Compute::Keep,
/// });
/// assert_eq!(outcome, Outcome::Removed);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Compute<V> {
    /// Leave the key as it is: with its value, or without one.
    Keep,
    /// Store this value.
    Replace(V),
    /// Remove the value, if there is one.
    Remove,
}

/// What a computation has led to.
///
/// ```
/// use larder::{Cache, Compute, Outcome};
///
/// let cache = Cache::new(100);
/// let outcome = cache.entry("pear").and_compute(|_| {
///     cache.invalidate("pear");
///     Compute::Replace(3)
/// });
/// assert_eq!(outcome, Outcome::Discarded(Some(3)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Outcome<V> {
    /// There was no value, and there is none now.
    Absent,
    /// The value was kept.
    Kept,
    /// There was no value; the new one is stored.
    Inserted,
    /// The new value took the place of the old one.
    Replaced,
    /// The value was removed.
    Removed,
    /// The new value is heavier than the whole cache: it was not stored, and
    /// the old one is gone.
    Rejected,
    /// The key was invalidated while the computation ran, so its result was
    /// not stored. If it was a value, here it is.
    Discarded(Option<V>),
}

/// Why a fallible computation has changed nothing.
///
/// ```
/// use larder::{Cache, Compute, ComputeError};
///
/// let cache: Cache<&str, u32> = Cache::new(100);
/// let failed = cache.entry("pear").try_and_compute(|_| "3 pears".parse().map(Compute::Replace));
/// assert!(matches!(failed, Err(ComputeError::Failed(_))));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ComputeError<E> {
    /// The closure returned this error.
    Failed(E),
    /// The key is being computed by a computation that would have to wait for
    /// this one: both would wait for ever.
    Recursive,
}

impl<E: fmt::Display> fmt::Display for ComputeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ComputeError::Failed(error) => write!(f, "the computation failed: {error}"),
            ComputeError::Recursive => f.write_str(RECURSION),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for ComputeError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ComputeError::Failed(error) => Some(error),
            ComputeError::Recursive => None,
        }
    }
}

pub(super) const RECURSION: &str = "a computation asked for the key that it computes, or for one \
     whose computation waits for it: this would never end";

/// Entries.
impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// The place of `key`, to compute its value. Nothing happens until one of
    /// the [`Entry`]'s methods is called.
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// assert_eq!(cache.entry("pear").or_insert_with(|| 3), 3);
    /// assert_eq!(cache.entry("pear").or_insert_with(|| unreachable!()), 3);
    /// ```
    pub fn entry(&self, key: K) -> Entry<'_, K, V, S> {
        Entry { cache: self, key }
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Entry<'_, K, V, S> {
    /// The key.
    ///
    /// ```
    /// let cache: larder::Cache<&str, u32> = larder::Cache::new(100);
    /// assert_eq!(cache.entry("pear").key(), &"pear");
    /// ```
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The value of the key, or else `value`, stored.
    ///
    /// # Panics
    /// As [`or_insert_with`](Entry::or_insert_with).
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// assert_eq!(cache.entry("pear").or_insert(3), 3);
    /// ```
    pub fn or_insert(self, value: V) -> V
    where
        V: Clone,
    {
        self.or_insert_with(|| value)
    }

    /// The value of the key, or else what `make` returns, stored. `make` runs
    /// without a lock, and only once however many callers there are: the
    /// others wait for it. If the key is invalidated meanwhile, the value is
    /// returned but not stored.
    ///
    /// A use for the policy, and a hit or a miss in the statistics.
    ///
    /// # Panics
    /// If `make` does; the next caller then has a try. If `make` asks for the
    /// same key, or for one whose computation waits for this one.
    ///
    /// ```
    /// let cache = larder::Cache::new(100);
    /// assert_eq!(cache.entry("pear").or_insert_with(|| "pear".len()), 4);
    /// ```
    pub fn or_insert_with(self, make: impl FnOnce() -> V) -> V
    where
        V: Clone,
    {
        if let Some(value) = self.cache.get(&self.key) {
            // Before the value is on its way out: see `steady`.
            drop((self.key, make));
            return value;
        }
        let claim = self.claim().unwrap_or_else(|Recursion| panic!("{RECURSION}"));
        if let Some(held) = &claim.old {
            let value = held.value().clone();
            drop((claim, make));
            return value;
        }
        let value = make();
        let stored = value.clone();
        claim.replace(stored);
        value
    }

    /// Calls `compute` with the value of the key, and does what it says:
    /// atomically for the key, since other computations, inserts and removals
    /// of it wait. `compute` runs without a lock, so readers see the old value
    /// meanwhile.
    ///
    /// A new value keeps the tags of the one it replaces. If the key is
    /// invalidated while `compute` runs, its result is discarded, and the
    /// [`Outcome`] says so. If the value that it saw is evicted or expires
    /// meanwhile, the result is stored all the same: readers find no value in
    /// between. An existing entry counts as used, and once more if
    /// it gets a new value; the statistics count no look-up.
    ///
    /// # Panics
    /// If `compute` does; nothing has changed then. If `compute` writes the
    /// same key, or one whose computation waits for this one;
    /// [`try_and_compute`](Entry::try_and_compute) returns an error instead.
    ///
    /// ```
    /// use larder::{Cache, Compute, Outcome};
    ///
    /// let cache = Cache::new(100);
    /// cache.insert("pear", 3);
    /// let outcome = cache.entry("pear").and_compute(|stock| match stock {
    ///     Some(n) => Compute::Replace(n + 1),
    ///     None => Compute::Keep,
    /// });
    /// assert_eq!((outcome, cache.get("pear")), (Outcome::Replaced, Some(4)));
    /// ```
    pub fn and_compute(self, compute: impl FnOnce(Option<&V>) -> Compute<V>) -> Outcome<V> {
        let computed = self.try_and_compute(|old| Ok::<_, Never>(compute(old)));
        match computed {
            Ok(outcome) => outcome,
            Err(ComputeError::Recursive) => panic!("{RECURSION}"),
            Err(ComputeError::Failed(never)) => match never {},
        }
    }

    /// Like [`and_compute`](Entry::and_compute) with a closure that may fail:
    /// then nothing changes.
    ///
    /// # Errors
    /// [`ComputeError::Failed`] with the closure's error.
    ///
    /// [`ComputeError::Recursive`] if this is called from within a computation
    /// of the same key, or of one that waits for it.
    ///
    /// # Panics
    /// If `compute` does; nothing has changed then.
    ///
    /// ```
    /// use larder::{Cache, Compute, Outcome};
    ///
    /// let cache: Cache<&str, u32> = Cache::new(100);
    /// let outcome = cache.entry("pear").try_and_compute(|_| "3".parse().map(Compute::Replace))?;
    /// assert_eq!(outcome, Outcome::Inserted);
    /// # Ok::<(), larder::ComputeError<std::num::ParseIntError>>(())
    /// ```
    pub fn try_and_compute<E>(
        self,
        compute: impl FnOnce(Option<&V>) -> Result<Compute<V>, E>,
    ) -> Result<Outcome<V>, ComputeError<E>> {
        let claim = self.claim().map_err(|Recursion| ComputeError::Recursive)?;
        Ok(match compute(claim.old.as_ref().map(Held::value)) {
            Ok(Compute::Keep) => claim.keep(),
            Ok(Compute::Replace(value)) => claim.replace(value),
            Ok(Compute::Remove) => claim.remove(),
            Err(error) => {
                // Before the error is on its way out: see `steady`.
                drop(claim);
                return Err(ComputeError::Failed(error));
            }
        })
    }
}

impl<'a, K: Hash + Eq, V, S: BuildHasher> Entry<'a, K, V, S> {
    /// Claims the key as soon as nobody else does.
    fn claim(self) -> Result<Claimed<'a, K, V, S>, Recursion> {
        let Entry { cache, key } = self;
        let hash = cache.hash(&key);
        let key = Arc::new(key);
        loop {
            let mut visit = cache.shard(hash).visit(&cache.shared.hub);
            let turn = visit.turn(hash, &*key);
            if let Some(turn) = turn.filter(|turn| !visit.claims().overrule(turn)) {
                drop(visit);
                turn.wait()?;
                continue;
            }
            let found = visit.find_or_keep(hash, &*key);
            if visit.has_consequences() {
                // They run the user's code, which may write this very key:
                // first they, then the claim.
                continue;
            }
            let old = found.map(|slot| {
                visit.note_use(slot);
                visit.hold(slot)
            });
            let generation = visit.generation();
            let turn = visit.claims().add(hash.fragment(), Arc::clone(&key));
            drop(visit);
            let inside = Some(Inside::enter());
            let key = Some(key);
            let tags = old.as_ref().and_then(Held::tags).cloned().unwrap_or_default();
            return Ok(Claimed { cache, hash, key, turn, inside, generation, old, tags });
        }
    }
}

impl<K: fmt::Debug, V, S> fmt::Debug for Entry<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("key", &self.key).finish_non_exhaustive()
    }
}

enum Never {}

/// A key that this thread has claimed. Dropping it gives the key free, so a
/// panic in the closure leaves nothing behind.
struct Claimed<'a, K, V, S> {
    cache: &'a Cache<K, V, S>,
    hash: KeyHash,
    /// Ours and the shard's; gone once the entry owns the key.
    key: Option<Arc<K>>,
    turn: Arc<Turn>,
    inside: Option<Inside>,
    generation: u64,
    /// The value that the computation sees.
    old: Option<Held<'a, K, V>>,
    /// Its tags, which the new one inherits.
    tags: TagSet,
}

impl<K, V, S> Drop for Claimed<'_, K, V, S> {
    fn drop(&mut self) {
        if self.key.is_some() {
            let shared = &self.cache.shared;
            let shard = &shared.shards[self.hash.shard(shared.shards.len())];
            let mut visit = shard.visit(&shared.hub);
            let key = self.release(&mut visit);
            drop(visit);
            drop(key);
        }
    }
}

impl<K, V, S> Claimed<'_, K, V, S> {
    /// Ends the claim and lets those who wait go on, in the same visit as what
    /// it leads to: whoever hears of the result may write the key. The key
    /// comes back to be dropped or stored.
    fn release(&mut self, visit: &mut Visit<'_, K, V>) -> Option<Arc<K>> {
        visit.claims().remove(&self.turn);
        self.inside = None;
        self.key.take()
    }

    /// Whether the key was invalidated since it was claimed: itself, with all
    /// others, or by a tag of its old value.
    fn is_discarded(&self, visit: &Visit<'_, K, V>) -> bool {
        self.turn.is_discarded() || visit.generation() != self.generation || self.tags.any_dead()
    }
}

impl<'a, K: Hash + Eq, V, S: BuildHasher> Claimed<'a, K, V, S> {
    fn keep(mut self) -> Outcome<V> {
        self.turn.finish();
        let mut visit = self.visit();
        let key = self.release(&mut visit);
        let outcome = match &self.old {
            _ if self.is_discarded(&visit) => Outcome::Discarded(None),
            Some(_) => Outcome::Kept,
            None => Outcome::Absent,
        };
        drop(visit);
        drop(key);
        outcome
    }

    fn remove(mut self) -> Outcome<V> {
        self.turn.finish();
        let mut visit = self.visit();
        let key = self.release(&mut visit);
        let outcome = match &self.old {
            _ if self.is_discarded(&visit) => Outcome::Discarded(None),
            None => Outcome::Absent,
            Some(old) => {
                // If it was evicted meanwhile, it is gone all the same.
                let slot = old.slot();
                if visit.is_linked(slot) {
                    // Before it is unlinked: else it would be in our own way.
                    self.old = None;
                    visit.remove(slot, Cause::Explicit);
                }
                visit.overtake(self.hash, key.as_deref().expect("the key is ours until now"));
                Outcome::Removed
            }
        };
        drop(visit);
        drop(key);
        outcome
    }

    fn replace(mut self, value: V) -> Outcome<V> {
        let incoming = self.incoming(&value);
        let mut value = Some(value);
        // Before it is unlinked: else it would be in our own way.
        self.old = None;
        self.turn.finish();
        loop {
            if let Some(outcome) = self.try_replace(incoming, &mut value) {
                return outcome;
            }
            // Others were quicker to take what room there was: let them.
            thread::yield_now();
        }
    }

    /// Stores the value, and takes it, if there is room; what leaves for it is
    /// told and dropped after that, as in `Cache::try_insert`.
    fn try_replace(&mut self, incoming: Incoming, value: &mut Option<V>) -> Option<Outcome<V>> {
        let cache = self.cache;
        let mut departed: SmallVec<[Visit<'_, K, V>; 2]> = SmallVec::new();
        let mut visit = self.visit();
        let mut credit = Credit::new(&cache.shared.hub.budget);
        let (outcome, key) = loop {
            if self.is_discarded(&visit) {
                let key = self.release(&mut visit);
                break (Some(Outcome::Discarded(value.take())), key);
            }
            match self.try_store(&mut visit, incoming, &mut credit, value) {
                Ok(outcome) => break (Some(outcome), None),
                Err(shortage) => {
                    visit.unlock();
                    departed.push(visit);
                    departed.push(cache.borrow(shortage, &mut credit));
                    visit = self.visit();
                    if credit.raise_to(shortage.wanted).is_err() {
                        break (None, None);
                    }
                }
            }
        };
        visit.unlock();
        departed.push(visit);
        drop(credit);
        drop(departed);
        drop(key);
        outcome
    }

    /// Weighs the value and asks how long it shall live. Nobody else writes
    /// the key meanwhile, so it is known whether this is an update, but for an
    /// eviction.
    fn incoming(&self, value: &V) -> Incoming {
        let key = self.key.as_ref().expect("the key is here until it is stored");
        let cost = Cost::of(self.cache.weigh(key, value));
        let lifetimes = &self.cache.shared.hub.lifetimes;
        let span = lifetimes.span(None, None, u64::from(self.hash.fragment()));
        let mut incoming = Incoming { hash: self.hash, cost, span };
        self.cache.ask_expiry(&mut incoming, key, value);
        incoming
    }

    /// Stores the value, unless another shard has to help with room first.
    fn try_store(
        &mut self,
        visit: &mut Visit<'a, K, V>,
        incoming: Incoming,
        credit: &mut Credit<'a>,
        value: &mut Option<V>,
    ) -> Result<Outcome<V>, Shortage> {
        let key = self.key.as_ref().expect("the key is here until it is stored");
        let found = visit.find(self.hash, &**key);
        let tags = self.tags.clone();
        let outcome = match (visit.could_hold(incoming.cost), found) {
            (false, _) => Outcome::Rejected,
            (true, Some(_)) => Outcome::Replaced,
            (true, None) => Outcome::Inserted,
        };
        visit.store(incoming, found, credit, |visit| {
            let key = self.release(visit).and_then(Arc::into_inner);
            let key = key.expect("a claim's key is shared by nobody else");
            visit.overtake(self.hash, &key);
            let value = value.take().expect("a value is stored once");
            Stored { key, value, tags }
        })?;
        Ok(outcome)
    }

    fn visit(&self) -> Visit<'a, K, V> {
        self.cache.shard(self.hash).visit(&self.cache.shared.hub)
    }
}
