//! A stay in a locked shard: what writers do there, and what follows from it.

use super::{Core, Hub, Shard};
use crate::budget::Cost;
use crate::claim::{Claims, Turn};
use crate::expiry::{Ages, Deadlines, nanos};
use crate::flight::Overtaken;
use crate::hash::KeyHash;
use crate::index::Index;
use crate::listener::{Cause, Desk, Gone, Listener, Receipt, Removal};
use crate::policy::Notes;
use crate::slab::{Node, Slab};
use crate::slot::{Residents, Slot};
use crate::sync::RwLockWriteGuard;
use crate::tags::Members;
use equivalent::Equivalent;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many entries with a passed deadline a visit looks at: some 10 µs.
pub(super) const RECLAIM_STEPS: usize = 64;

/// A stay in a locked shard. When it ends, whichever way, the shard is
/// unlocked, and then what left is told and dropped.
pub(crate) struct Visit<'a, K, V> {
    pub(super) shard: &'a Shard<K, V>,
    pub(super) hub: &'a Hub<K, V>,
    /// `None` only while the visit ends.
    core: Option<RwLockWriteGuard<'a, Core<K, V>>>,
    pub(super) gone: Gone<K, V>,
    /// Loads that were overtaken or forgotten; nobody is told, but their keys
    /// and errors are dropped.
    pub(super) overtaken: Overtaken<K, V>,
    /// What it took to load the value that is stored next.
    pub(super) load_nanos: u64,
}

impl<K, V> Drop for Visit<'_, K, V> {
    fn drop(&mut self) {
        drop(self.leave());
    }
}

/// What a visit has put aside. It is told and dropped when this is.
#[must_use = "dropping this runs the user's code: do it where that may run"]
pub(crate) enum Departed<'a, K, V> {
    /// There is a listener, and its desk holds what left.
    Posted {
        desk: &'a Desk<K, V>,
        receipt: Receipt,
        listener: &'a Listener<K, V>,
        _overtaken: Overtaken<K, V>,
    },
    /// Nobody listens.
    Unheard { _gone: Gone<K, V>, _overtaken: Overtaken<K, V> },
}

impl<K, V> Drop for Departed<'_, K, V> {
    fn drop(&mut self) {
        if let Departed::Posted { desk, receipt, listener, .. } = self {
            desk.work(receipt, listener);
        }
    }
}

impl<'a, K, V> Visit<'a, K, V> {
    /// Begins with tidying up.
    pub(super) fn begin(
        shard: &'a Shard<K, V>,
        hub: &'a Hub<K, V>,
        core: RwLockWriteGuard<'a, Core<K, V>>,
    ) -> Self {
        let (gone, overtaken) = (Gone::new(), Overtaken::new());
        let mut visit = Visit { shard, hub, core: Some(core), gone, overtaken, load_nanos: 0 };
        visit.tidy_up();
        visit
    }

    /// Unlocks the shard. What left is told and dropped with the result.
    pub(crate) fn leave(&mut self) -> Departed<'a, K, V> {
        let gone = std::mem::take(&mut self.gone);
        let overtaken = std::mem::take(&mut self.overtaken);
        let Some(core) = self.core.take() else {
            return Departed::Unheard { _gone: gone, _overtaken: overtaken };
        };
        let gauge = &self.shard.gauge;
        gauge.entries.store(core.slab.len() as u64, Ordering::Relaxed);
        gauge.weight.store(core.weight, Ordering::Relaxed);
        match &self.hub.listener {
            // Still under the lock, so that the order is the shard's.
            Some(listener) if !gone.is_empty() => {
                let desk = &self.shard.desk;
                let receipt = desk.post(gone);
                Departed::Posted { desk, receipt, listener, _overtaken: overtaken }
            }
            _ => Departed::Unheard { _gone: gone, _overtaken: overtaken },
        }
    }

    pub(super) fn core(&self) -> &Core<K, V> {
        self.core.as_ref().expect("locked until the visit ends")
    }

    pub(super) fn core_mut(&mut self) -> &mut Core<K, V> {
        self.core.as_mut().expect("locked until the visit ends")
    }

    /// Lets the policy hear of the hits, then frees what was invalidated since
    /// the last visit, and some of what has expired. The hits come first: they
    /// were made before.
    fn tidy_up(&mut self) {
        let shard = self.shard;
        shard.replay_hits(self.core_mut());
        let generation = self.hub.generation.load(Ordering::SeqCst);
        if self.core().generation != generation {
            self.take_all(Cause::Invalidated);
            self.core_mut().generation = generation;
            shard.gauge.generation.store(generation, Ordering::SeqCst);
        }
        if shard.gauge.has_doomed.load(Ordering::SeqCst) {
            self.bury_doomed();
        }
        self.reclaim(RECLAIM_STEPS);
        self.forget_failures();
    }

    /// Takes out entries that have expired, looking at `steps` at the most.
    /// Returns whether there may be more.
    pub(crate) fn reclaim(&mut self, mut steps: usize) -> bool {
        if self.core().deadlines.is_unused() {
            return false;
        }
        let now = self.hub.lifetimes.reclaimable();
        while let Some(slot) = self.core_mut().deadlines.pop_due(now, &mut steps) {
            self.remove(slot, Cause::Expired);
        }
        steps == 0
    }

    #[cold]
    fn bury_doomed(&mut self) {
        // First the flag: a tag that is told from here on sets it again.
        self.shard.gauge.has_doomed.store(false, Ordering::SeqCst);
        let doomed = std::mem::take(&mut *self.shard.doomed.lock());
        for tag in doomed {
            for slot in self.core().members.of(&tag) {
                self.remove(slot, Cause::Invalidated);
            }
        }
    }

    /// Takes everything out, and gives back the memory.
    #[cold]
    pub(crate) fn take_all(&mut self, cause: Cause) {
        let hub = self.hub;
        let slots: Vec<Slot> = self.core().slab.occupied().collect();
        for slot in slots {
            self.remove(slot, cause);
        }
        self.overtake_all();
        self.shard.hit_log.drain(|_| {});
        let core = self.core_mut();
        core.index = Index::new();
        core.slab = Slab::new();
        core.deadlines = Deadlines::default();
        core.ages = Ages::default();
        core.members = Members::default();
        core.policy = hub.new_policy();
    }

    /// The slot of `key`, if its entry is visible. One that is not is taken
    /// out.
    pub(crate) fn find<Q>(&mut self, hash: KeyHash, key: &Q) -> Option<Slot>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let hub = self.hub;
        let slot = self.core().find(hash.fragment(), key)?;
        match self.core().hidden(slot, self.core().now(hub)) {
            None => Some(slot),
            Some(cause) => {
                self.remove(slot, cause);
                None
            }
        }
    }

    pub(crate) fn node(&self, slot: Slot) -> &Arc<Node<K, V>> {
        self.core().node(slot)
    }

    /// Whether the entry of `node` is still there.
    pub(crate) fn slot_of(&self, hash: KeyHash, node: &Arc<Node<K, V>>) -> Option<Slot> {
        self.core().slot_of(hash, node)
    }

    /// Gives the entry at `slot` another time to live.
    pub(crate) fn set_ttl(&mut self, slot: Slot, ttl: Duration) {
        let now = self.hub.lifetimes.now();
        self.core_mut().deadlines.set_ttl(slot, nanos(ttl), now);
    }

    pub(crate) fn claims(&mut self) -> &mut Claims<K> {
        &mut self.core_mut().claims
    }

    /// Whether something will be told or dropped when the visit ends.
    pub(crate) fn has_consequences(&self) -> bool {
        !self.gone.is_empty() || !self.overtaken.is_empty()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.core().generation
    }

    /// The computation that is under way for `key`.
    pub(crate) fn turn<Q>(&self, hash: KeyHash, key: &Q) -> Option<Arc<Turn>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let claims = &self.core().claims;
        if claims.is_empty() {
            return None;
        }
        claims.find(hash.fragment(), key).map(Arc::clone)
    }

    /// Takes the entry at `slot` out; it is dropped when the visit ends.
    pub(crate) fn remove(&mut self, slot: Slot, cause: Cause) -> Arc<Node<K, V>> {
        let core = self.core_mut();
        core.policy.on_remove(slot, &core.slab);
        let cost = self.unlink(slot, cause);
        self.hub.budget.give(cost);
        Arc::clone(&self.gone.last().expect("it was just put aside").node)
    }

    /// Takes out an entry of which the policy knows that it leaves.
    pub(super) fn unlink(&mut self, slot: Slot, cause: Cause) -> Cost {
        let home = self.shard.home;
        let core = self.core.as_mut().expect("locked until the visit ends");
        let hash = core.slab.hash(slot);
        let weight = core.slab.weight(slot);
        core.index.remove(hash, slot);
        let node = core.slab.remove(slot);
        self.overtaken.extend(core.flights.overtake_reload(hash, slot));
        core.members.leave(home, slot, &node.tags);
        core.deadlines.end(slot);
        core.weight -= u64::from(weight);
        self.put_aside(hash, node, cause);
        Cost::of(weight)
    }

    pub(super) fn put_aside(&mut self, hash: u32, node: Arc<Node<K, V>>, cause: Cause) {
        self.core_mut().tally.removals[cause as usize] += 1;
        self.gone.push(Removal { hash, node, cause });
    }

    /// A use of `slot` by a writer.
    pub(crate) fn note_use(&mut self, slot: Slot) {
        let hub = self.hub;
        let core = self.core_mut();
        let now = core.now(hub);
        core.deadlines.touch(slot, now);
        match core.notes {
            Notes::Nothing => {}
            Notes::Count => core.slab.bump(slot),
            Notes::Order => core.policy.on_hit(slot),
        }
    }

    /// Lets the policy know that the capacity has changed.
    pub(crate) fn resize(&mut self) {
        let entries = self.hub.entries_share();
        self.core_mut().policy.on_resize(entries);
    }

    /// All entries, from the one that would leave first.
    pub(crate) fn coldest_first(&self) -> Vec<Arc<Node<K, V>>> {
        let (core, now) = (self.core(), self.core().now(self.hub));
        let mut slots = core.policy.coldest_first(&core.slab);
        slots.retain(|slot| core.hidden(*slot, now).is_none());
        slots.into_iter().map(|slot| Arc::clone(core.node(slot))).collect()
    }
}
