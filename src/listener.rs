//! Telling the user's listener what left, and why.
//!
//! Removals are posted under the shard's lock, so they are in order, and told
//! after it, so the listener may do what it likes. A thread tells what it
//! removed before it goes on; if another thread is just telling an earlier
//! removal of the same key, that one comes first:
//!
//! ```text
//!   thread 1   remove k ─ post ─┬─ tell k ───────────┬─ drop the value
//!   thread 2        insert k, replace k ─ post ─ (k is busy: wait) ─ tell k
//!   thread 2 instead, from inside a listener or a computation:
//!                                                 leave it to whoever is busy
//! ```
//!
//! So at most one removal a thread is waiting to be told, and nobody for whom
//! others wait ever waits for a listener.

use crate::inside::Inside;
use crate::steady::Steady;
use crate::sync::{Condvar, Mutex};
use crate::vault::{Left, Vault};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a value left the cache.
///
/// ```
/// use larder::{Cache, Cause};
/// use std::sync::{Arc, Mutex};
///
/// let told = Arc::new(Mutex::new(Vec::new()));
/// let listener = {
///     let told = Arc::clone(&told);
///     move |key: &u64, value: &u64, cause| told.lock().unwrap().push((*key, *value, cause))
/// };
/// let cache = Cache::builder().capacity(8).on_removal(listener).build()?;
/// cache.insert(1, 10);
/// cache.insert(1, 11);
/// cache.remove(&1);
/// assert_eq!(*told.lock().unwrap(), [(1, 10, Cause::Replaced), (1, 11, Cause::Explicit)]);
/// # Ok::<(), larder::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Cause {
    /// Someone removed the key, with `remove` or a computation.
    Explicit,
    /// A newer value of the key took its place.
    Replaced,
    /// Its time was up.
    Expired,
    /// The cache was full, and the eviction policy chose this entry.
    Size,
    /// An `invalidate…` method or `clear` met it.
    Invalidated,
    /// It was heavier than the whole cache, and never visible.
    Rejected,
    /// It was still there when the last handle of the cache was dropped.
    Closed,
}

impl Cause {
    /// How many causes there are, to count by cause.
    pub(crate) const COUNT: usize = 7;
}

/// The cause in lower case: `explicit`, `replaced`, …
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Explicit => "explicit",
            Cause::Replaced => "replaced",
            Cause::Expired => "expired",
            Cause::Size => "size",
            Cause::Invalidated => "invalidated",
            Cause::Rejected => "rejected",
            Cause::Closed => "closed",
        })
    }
}

/// A value that has left the cache and waits to be told and dropped.
pub(crate) struct Removal<K, V> {
    pub(crate) hash: u32,
    pub(crate) left: Left<K, V>,
    pub(crate) cause: Cause,
}

/// What one operation removed. Most remove at most one entry.
pub(crate) type Gone<K, V> = SmallVec<[Removal<K, V>; 1]>;

type Tell<K, V> = dyn Fn(&K, &V, Cause) + Send + Sync;

pub(crate) struct Listener<K, V> {
    tell: Box<Tell<K, V>>,
    panics: AtomicU64,
}

impl<K, V> Listener<K, V> {
    pub(crate) fn new(tell: Box<Tell<K, V>>) -> Self {
        Listener { tell, panics: AtomicU64::new(0) }
    }

    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Calls the user's listener. Its panic is counted and goes no further.
    fn tell<C>(&self, removal: &Removal<K, V>, vault: &Vault<K, V, C>) {
        let (key, value) = match &removal.left {
            Left::Owned(entry) => (&entry.key, &entry.value),
            Left::Watched(watched) => vault.watched(watched),
        };
        let told = catch_unwind(AssertUnwindSafe(|| (self.tell)(key, value, removal.cause)));
        if told.is_err() {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Where the removals of one shard wait to be told.
pub(crate) struct Desk<K, V> {
    queue: Mutex<Queue<K, V>>,
    freed: Condvar,
}

/// A queue that was emptied keeps room for so many: everything may have been
/// invalidated at once, and that room would stay.
const ROOM_KEPT: usize = 64;

struct Queue<K, V> {
    waiting: VecDeque<Posted<K, V>>,
    /// Hashes of the keys whose removals are being told just now.
    busy: Vec<u32>,
    next_ticket: u64,
}

struct Posted<K, V> {
    ticket: u64,
    /// Nobody waits for it: it was posted from inside the user's code.
    is_orphan: bool,
    removal: Removal<K, V>,
}

/// What a thread has posted and wants to see told: a range of tickets.
#[must_use]
pub(crate) struct Receipt {
    first: u64,
    end: u64,
    is_nested: bool,
}

impl<K, V> Default for Desk<K, V> {
    fn default() -> Self {
        let queue = Queue { waiting: VecDeque::new(), busy: Vec::new(), next_ticket: 0 };
        Desk { queue: Mutex::new(queue), freed: Condvar::new() }
    }
}

impl<K, V> Queue<K, V> {
    /// Takes the oldest removal that may be told now and is wanted.
    fn claim(&mut self, is_wanted: impl Fn(&Posted<K, V>) -> bool) -> Option<Removal<K, V>> {
        // Removals of one key are in order here, so the first whose key is not
        // busy is the first of its key, unless an earlier one was passed over.
        let mut passed: SmallVec<[u32; 8]> = SmallVec::new();
        for at in 0..self.waiting.len() {
            let hash = self.waiting[at].removal.hash;
            if self.busy.contains(&hash) || passed.contains(&hash) {
                continue;
            }
            if is_wanted(&self.waiting[at]) {
                self.busy.push(hash);
                return self.waiting.remove(at).map(|posted| posted.removal);
            }
            passed.push(hash);
        }
        None
    }

    fn holds(&self, receipt: &Receipt) -> bool {
        self.waiting.iter().any(|posted| receipt.covers(posted))
    }
}

impl Receipt {
    fn covers<K, V>(&self, posted: &Posted<K, V>) -> bool {
        (self.first..self.end).contains(&posted.ticket)
    }
}

impl<K, V> Desk<K, V> {
    /// Called under the shard's lock, so that the order is the shard's.
    pub(crate) fn post(&self, gone: Gone<K, V>) -> Receipt {
        let is_orphan = Inside::is_any();
        let mut queue = self.queue.lock();
        let first = queue.next_ticket;
        for (ticket, removal) in (first..).zip(gone) {
            queue.waiting.push_back(Posted { ticket, is_orphan, removal });
            queue.next_ticket = ticket + 1;
        }
        Receipt { first, end: queue.next_ticket, is_nested: is_orphan }
    }

    /// Tells what `receipt` stands for, and what nobody else waits for. When
    /// it returns, all of the receipt is told, unless it was posted from
    /// inside a listener or a computation: then some may be left to the threads
    /// that are busy with the same keys.
    pub(crate) fn work<C>(
        &self,
        receipt: &Receipt,
        listener: &Listener<K, V>,
        vault: &Vault<K, V, C>,
    ) {
        let mut steady = Steady::default();
        let mut queue = self.queue.lock();
        loop {
            let wanted = |posted: &Posted<K, V>| posted.is_orphan || receipt.covers(posted);
            if let Some(removal) = queue.claim(wanted) {
                drop(queue);
                let hash = removal.hash;
                // Others wait for this key until its value is dropped.
                let inside = Inside::enter();
                listener.tell(&removal, vault);
                steady.step(|| match removal.left {
                    Left::Owned(entry) => drop(entry),
                    Left::Watched(watched) => vault.release(watched),
                });
                drop(inside);
                queue = self.queue.lock();
                queue.busy.retain(|busy| *busy != hash);
                self.freed.notify_all();
            } else if queue.holds(receipt) && !receipt.is_nested {
                self.freed.wait(&mut queue);
            } else {
                break;
            }
        }
        if queue.waiting.is_empty() {
            queue.waiting.shrink_to(ROOM_KEPT);
        }
        drop(queue);
        steady.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Entry;
    use crate::tags::TagSet;
    use std::sync::Arc;

    type SharedListener = Arc<Listener<u32, u32>>;

    fn removal(key: u32, value: u32) -> Removal<u32, u32> {
        let left = Left::Owned(Entry { key, value, tags: TagSet::default() });
        Removal { hash: key, left, cause: Cause::Explicit }
    }

    fn vault() -> Vault<u32, u32, ()> {
        Vault::new(())
    }

    fn gone(removals: impl IntoIterator<Item = (u32, u32)>) -> Gone<u32, u32> {
        removals.into_iter().map(|(key, value)| removal(key, value)).collect()
    }

    #[test]
    fn each_thread_finds_its_own_removals_told_and_keys_stay_in_order() {
        let desk = Arc::new(Desk::default());
        let told: Arc<Mutex<Vec<(u32, u32)>>> = Arc::default();
        let listener = Arc::new(Listener::new(Box::new({
            let told = Arc::clone(&told);
            move |key: &u32, value: &u32, _| told.lock().push((*key, *value))
        })));
        // The posting order stands for the shard's lock.
        let order = Arc::new(Mutex::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (desk, told) = (Arc::clone(&desk), Arc::clone(&told));
                let (listener, order) = (Arc::clone(&listener), Arc::clone(&order));
                std::thread::spawn(move || {
                    for i in 0..500_u32 {
                        let mut version = order.lock();
                        *version += 1;
                        let value = *version;
                        let receipt = desk.post(gone([(i % 3, value)]));
                        drop(version);
                        desk.work(&receipt, &listener, &vault());
                        assert!(told.lock().contains(&(i % 3, value)));
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let told = told.lock();
        assert_eq!(told.len(), 2000);
        for key in 0..3 {
            let of_key: Vec<u32> = told.iter().filter(|t| t.0 == key).map(|t| t.1).collect();
            assert!(of_key.is_sorted(), "key {key} was told out of order");
        }
    }

    #[test]
    fn what_a_listener_removes_is_told_after_it_returns() {
        let desk: Arc<Desk<u32, u32>> = Arc::default();
        let told: Arc<Mutex<Vec<u32>>> = Arc::default();
        let me: Arc<Mutex<Option<SharedListener>>> = Arc::default();
        let listener = Arc::new(Listener::new(Box::new({
            let (desk, told, me) = (Arc::clone(&desk), Arc::clone(&told), Arc::clone(&me));
            move |key: &u32, value: &u32, _| {
                if *value < 3 {
                    let receipt = desk.post(gone([(*key, value + 1)]));
                    let again = me.lock().clone().unwrap();
                    desk.work(&receipt, &again, &vault());
                }
                told.lock().push(*value);
            }
        })));
        *me.lock() = Some(Arc::clone(&listener));
        let receipt = desk.post(gone([(7, 0)]));
        desk.work(&receipt, &listener, &vault());
        assert_eq!(*told.lock(), [0, 1, 2, 3]);
        me.lock().take();
    }
}
