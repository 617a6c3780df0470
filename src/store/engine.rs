//! What all handles of a [`StoreCache`](super::StoreCache) share: the cache,
//! the store, the queue, and who waits for what.
//!
//! One lock, [`State`], and no user code under it but `Eq` of keys and `Clone`
//! of keys and values: [`Engine::visit`] wakes and drops after it.

use crate::cache::{Cache, EntryOptions};
use crate::expiry::{Clock, asked, nanos};
use crate::steady::Steady;
use crate::store::back::filter::Filter;
use crate::store::back::queue::{Change, Hindsight, Named, Queue, Unpinned};
use crate::store::backend::Backend;
use crate::store::errors::{CloseReport, FailedWrite};
use crate::store::journal::Log;
use crate::store::policy::{WriteBack, WritePolicy};
use crate::store::{StoreKey, StoreValue};
use crate::sync::Mutex;
use crate::wait::{Alarm, WakerSet, wake_all};
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

pub(crate) type DeadLetter<K, V> = Box<dyn Fn(FailedWrite<K, V>) + Send + Sync>;

pub(crate) struct Engine<K, V, St, S> {
    pub(crate) cache: Cache<K, V, S>,
    pub(crate) store: St,
    pub(crate) policy: WritePolicy,
    pub(crate) negative_ttl: Option<Duration>,
    pub(crate) journal: Option<Box<dyn Log<K, V>>>,
    state: Mutex<State<K, V>>,
    filter: Arc<Filter>,
    clock: Box<dyn Clock>,
    /// What the clock said last.
    seen: AtomicU64,
    dead_letter: Option<DeadLetter<K, V>>,
    /// Workers that are there to serve the queue.
    pub(crate) alive: AtomicUsize,
    /// Flushers that were made, and may not have begun: whoever is the last to let
    /// go of the cache leaves the rest to them.
    pub(crate) promised: AtomicUsize,
    pub(crate) calls: Calls,
}

/// Calls of the store, for the statistics.
#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) loads: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) listener_panics: AtomicU64,
}

pub(crate) struct State<K, V> {
    pub(crate) queue: Queue<K, V>,
    /// Writers that wait for room.
    pub(crate) space: WakerSet,
    /// Those who wait for a flush.
    pub(crate) flushed: WakerSet,
    /// Writers that wait for another writer's call of the store.
    pub(crate) turns: WakerSet,
    /// Workers that have nothing to do.
    pub(crate) workers: WakerSet,
    pub(crate) report: Option<CloseReport<K>>,
    /// The last handle is gone: workers go on until then.
    pub(crate) orphan_until: Option<Instant>,
    ring: Vec<Waker>,
}

impl<K, V> State<K, V> {
    pub(crate) fn ring_workers(&mut self) {
        self.ring.extend(self.workers.drain());
    }

    /// Something was stored or given up.
    pub(crate) fn ring_waiters(&mut self) {
        for waiting in [&mut self.space, &mut self.flushed, &mut self.turns] {
            self.ring.extend(waiting.drain());
        }
    }
}

/// What an engine is made of.
pub(crate) struct Parts<K, V, St, S> {
    pub(crate) cache: Cache<K, V, S>,
    pub(crate) store: St,
    pub(crate) policy: WritePolicy,
    pub(crate) negative_ttl: Option<Duration>,
    pub(crate) journal: Option<Box<dyn Log<K, V>>>,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) dead_letter: Option<DeadLetter<K, V>>,
}

impl<K: StoreKey, V: StoreValue, St, S> Engine<K, V, St, S> {
    pub(crate) fn new(parts: Parts<K, V, St, S>) -> Self {
        let Parts { cache, store, policy, negative_ttl, journal, clock, dead_letter } = parts;
        let filter = Arc::new(Filter::new());
        let settings = match &policy {
            WritePolicy::Back(settings) => settings.clone(),
            _ => WriteBack::new(),
        };
        let state = State {
            queue: Queue::new(&settings, Arc::clone(&filter)),
            space: WakerSet::default(),
            flushed: WakerSet::default(),
            turns: WakerSet::default(),
            workers: WakerSet::default(),
            report: None,
            orphan_until: None,
            ring: Vec::new(),
        };
        Engine {
            cache,
            store,
            policy,
            negative_ttl,
            journal,
            state: Mutex::new(state),
            filter,
            clock,
            seen: AtomicU64::new(0),
            dead_letter,
            alive: AtomicUsize::new(0),
            promised: AtomicUsize::new(0),
            calls: Calls::default(),
        }
    }

    pub(crate) fn now(&self) -> u64 {
        let Some(now) = asked(&*self.clock) else { return self.seen.load(Ordering::Relaxed) };
        self.seen.store(nanos(now), Ordering::Relaxed);
        nanos(now)
    }

    /// Locks, works, unlocks; then wakes and drops, also if the work panics:
    /// nobody else might come by.
    pub(crate) fn visit<R>(&self, work: impl FnOnce(&mut State<K, V>) -> R) -> R {
        let mut steady = Steady::default();
        let mut state = self.state.lock();
        let done = steady.step(|| work(&mut state));
        let ring = std::mem::take(&mut state.ring);
        let trash = std::mem::take(&mut state.queue.trash);
        drop(state);
        wake_all(ring);
        steady.step(|| drop(trash));
        let Some(done) = done else { steady.resume() };
        steady.finish_drop();
        done
    }

    /// What the queue has to say about `key`, before the cache is asked.
    ///
    /// In this order. The other way round, a reader could take an old value
    /// from the cache, that two writers in a hurry had left there for a
    /// moment, after it had already seen the newer one in the queue.
    #[inline]
    pub(crate) fn look(&self, key: &K) -> Option<Change<V>> {
        let hash = self.filter.hash(key);
        if !self.filter.may_have(hash) {
            return None;
        }
        self.state.lock().queue.look(hash, key)
    }

    /// What a reader makes of the row that it has just had from the store.
    ///
    /// While the row is being written, one reader may have the new one and
    /// another one the old one. Whoever has the new one shall not be shown the
    /// old one afterwards, so all that was read before it is forgotten:
    ///
    /// ```text
    ///   A    load ─────────────────────── new row, returned; read: old row!
    ///   B                 load ── old row, cached
    ///   C      invalidate (overtakes A)
    ///   W                           write ─────────────────────── done
    /// ```
    pub(crate) fn look_back(&self, key: &K, loaded: Option<V>) -> Option<V>
    where
        S: BuildHasher,
    {
        let hash = self.filter.hash(key);
        if !self.filter.may_have(hash) {
            return loaded;
        }
        let hindsight = self.state.lock().queue.look_back(hash, key);
        match hindsight {
            Hindsight::Calm => loaded,
            Hindsight::Unsettled => {
                self.cache.invalidate(key);
                loaded
            }
            Hindsight::Changed(change) => {
                // Before the change is on its way out: see `steady`.
                drop(loaded);
                change
            }
        }
    }

    /// `key` as the queue knows it.
    pub(crate) fn named(&self, key: K) -> Named<K> {
        Named::new(key, self.filter.hasher())
    }

    pub(crate) fn hash(&self, key: &K) -> u64 {
        self.filter.hash(key)
    }

    /// Tells dead letters. A callback that panics is counted, and called again
    /// for the next one.
    pub(crate) fn tell(&self, dead: Vec<FailedWrite<K, V>>) {
        let Some(tell) = &self.dead_letter else { return };
        for write in dead {
            if catch_unwind(AssertUnwindSafe(|| tell(write))).is_err() {
                self.calls.listener_panics.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until `ready` has something, asking again whenever the set that
    /// `queue` picks is rung; `None` at the deadline.
    pub(crate) async fn wait<B, T>(
        &self,
        backend: &B,
        pick: fn(&mut State<K, V>) -> &mut WakerSet,
        deadline: Option<Instant>,
        mut ready: impl FnMut(&mut State<K, V>) -> Option<T>,
    ) -> Option<T>
    where
        B: Backend<K, V>,
    {
        let mut waiter = Waiter { engine: self, pick, id: None };
        let mut alarm = None;
        let found = poll_fn(|cx| {
            let mut unused = Some(cx.waker().clone());
            let found = self.visit(|state| {
                let found = ready(state);
                if found.is_none() {
                    let set = pick(state);
                    unused = unused.take().and_then(|waker| set.add(&mut waiter.id, waker));
                }
                found
            });
            drop(unused);
            if found.is_some() || deadline.is_some_and(|at| Instant::now() >= at) {
                return Poll::Ready(found);
            }
            // The old one first: taking it back must not undo the new one.
            drop(alarm.take());
            alarm = deadline.map(|at| backend.alarm().set(at, cx.waker()));
            Poll::Pending
        })
        .await;
        // They run the user's code: before what was found is on its way out.
        drop((waiter, alarm, ready));
        found
    }
}

/// Someone in a set; leaves it when dropped.
struct Waiter<'a, K: StoreKey, V: StoreValue, St, S> {
    engine: &'a Engine<K, V, St, S>,
    pick: fn(&mut State<K, V>) -> &mut WakerSet,
    id: Option<u64>,
}

impl<K: StoreKey, V: StoreValue, St, S> Drop for Waiter<'_, K, V, St, S> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let waker = self.engine.visit(|state| (self.pick)(state).remove(id));
            drop(waker);
        }
    }
}

/// A writer's pin on a key, from before its change is recorded until the cache
/// has it.
pub(crate) struct Pinned<'a, K: StoreKey, V: StoreValue, St, S: BuildHasher> {
    engine: &'a Engine<K, V, St, S>,
    key: Named<K>,
    is_shown: bool,
}

impl<'a, K: StoreKey, V: StoreValue, St, S: BuildHasher> Pinned<'a, K, V, St, S> {
    /// Stands for the pin that the queue has just put on `key`.
    pub(crate) fn new(engine: &'a Engine<K, V, St, S>, key: &Named<K>) -> Self {
        Pinned { engine, key: key.clone(), is_shown: true }
    }

    /// Makes the cache forget the key. If that panics before it has done its
    /// work, it is done again.
    pub(crate) fn forget(&self, steady: &mut Steady) {
        let invalidate = || self.engine.cache.invalidate(&*self.key);
        if steady.step(invalidate).is_none() {
            steady.step(invalidate);
        }
    }

    /// The cache has not got the change.
    pub(crate) fn distrust(&mut self) {
        self.is_shown = false;
    }

    /// Lets the cache have the change. Listeners and `Drop` may run here, and
    /// may write this very key: no lock is held, only the pin.
    pub(crate) fn show(&mut self, change: Change<V>, options: EntryOptions) {
        self.is_shown = false;
        let cache = &self.engine.cache;
        match change {
            Some(value) => cache.insert_with(K::clone(&self.key), value, options),
            None => drop(cache.remove(&*self.key)),
        }
        self.is_shown = true;
    }
}

impl<K: StoreKey, V: StoreValue, St, S: BuildHasher> Drop for Pinned<'_, K, V, St, S> {
    fn drop(&mut self) {
        let (engine, key) = (self.engine, &self.key);
        // Whatever the user's code does on the way, the pin goes.
        let mut steady = Steady::default();
        if !self.is_shown {
            steady.step(|| engine.visit(|state| state.queue.distrust(key)));
        }
        let mut cleaned = None;
        loop {
            let mut unpinned = Unpinned::Done;
            steady.step(|| engine.visit(|state| unpinned = state.queue.unpin(key, cleaned)));
            let Unpinned::Overlapped(overlaps) = unpinned else { break };
            self.forget(&mut steady);
            cleaned = Some(overlaps);
        }
        steady.finish_drop();
    }
}
