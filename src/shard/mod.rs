//! One shard: a lock, and everything it guards.
//!
//! A key belongs to exactly one shard, so no shard ever waits for another.
//! Entries leave by being put aside: they are told and dropped after the lock
//! is gone. The only code of the user that runs under the lock is `Hash` and
//! `Eq` of keys and `Clone` of values, and it runs before anything changes, so
//! a panic there leaves the shard as it was.
//!
//! Readers are served here; a writer makes a [`Visit`], which is in `visit.rs`,
//! and what storing a value takes is in `store.rs`:
//!
//! ```text
//!   visit ── lock, tidy up ──► find ──► make room ──► link ──► end of visit
//!              │                           │                    │
//!              │ invalidated entries       │ victims            │ unlock; then
//!              └───────────────────────────┴── put aside ───────┘ tell and drop
//! ```

mod flights;
mod store;
mod visit;

pub(crate) use flights::{Boarding, Stale};
pub(crate) use store::Incoming;
pub(crate) use visit::{Departed, Visit};

use crate::budget::{Budget, Cost};
use crate::claim::Claims;
use crate::expiry::{Ages, Deadlines, Lifetimes, NEVER, nanos, until};
use crate::flight::Flights;
use crate::hash::KeyHash;
use crate::index::Index;
use crate::listener::{Cause, Desk, Listener};
use crate::policy::{Eviction, Notes, Policy};
use crate::slab::{Node, Slab};
use crate::slot::hit_log::{HitLog, Noted};
use crate::slot::{Residents, Slot};
use crate::stats::Tally;
use crate::sync::{Mutex, RwLock};
use crate::tags::{Members, TagState};
use equivalent::Equivalent;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What the shards of a cache have in common.
pub(crate) struct Hub<K, V> {
    pub(crate) shards: usize,
    pub(crate) eviction: Eviction,
    pub(crate) budget: Budget,
    /// Counts `invalidate_all`. A shard that was last tidied under another
    /// generation holds nothing that anybody may see.
    pub(crate) generation: AtomicU64,
    pub(crate) listener: Option<Listener<K, V>>,
    pub(crate) lifetimes: Lifetimes<K, V>,
}

impl<K, V> Hub<K, V> {
    /// One shard's fair share of the capacity, rounded down.
    fn share(&self) -> Cost {
        let max = self.budget.max();
        let shards = self.shards as u64;
        Cost { entries: max.entries / shards, weight: max.weight / shards }
    }

    fn new_policy(&self) -> Box<dyn Policy> {
        let mut policy = self.eviction.policy();
        policy.on_resize(self.entries_share());
        policy
    }

    /// The share as policies see it, rounded up; `u64::MAX` if unbounded.
    fn entries_share(&self) -> u64 {
        match self.budget.max().entries {
            u64::MAX => u64::MAX,
            entries => entries.div_ceil(self.shards as u64),
        }
    }
}

pub(crate) struct Shard<K, V> {
    home: usize,
    core: RwLock<Core<K, V>>,
    hit_log: HitLog,
    /// What others may know without the lock.
    gauge: Gauge,
    /// Invalidated tags of which this shard holds entries.
    doomed: Mutex<Vec<Arc<TagState>>>,
    desk: Desk<K, V>,
}

#[derive(Default)]
struct Gauge {
    entries: AtomicU64,
    weight: AtomicU64,
    generation: AtomicU64,
    has_doomed: AtomicBool,
}

/// What the lock guards.
struct Core<K, V> {
    index: Index,
    slab: Slab<K, V>,
    policy: Box<dyn Policy>,
    notes: Notes,
    weight: u64,
    deadlines: Deadlines,
    ages: Ages,
    members: Members,
    claims: Claims<K>,
    flights: Flights<K, V>,
    generation: u64,
    tally: Tally,
}

impl<K, V> Core<K, V> {
    fn new(hub: &Hub<K, V>, generation: u64) -> Self {
        let policy = hub.new_policy();
        Core {
            index: Index::new(),
            slab: Slab::new(),
            notes: policy.notes(),
            policy,
            weight: 0,
            deadlines: Deadlines::default(),
            ages: Ages::default(),
            members: Members::default(),
            claims: Claims::default(),
            flights: Flights::default(),
            generation,
            tally: Tally::default(),
        }
    }

    fn find<Q: Equivalent<K> + ?Sized>(&self, hash: u32, key: &Q) -> Option<Slot> {
        self.index.find(hash, |slot| {
            // The hash first: it is at hand, the key is a pointer away.
            self.slab.hash(slot) == hash
                && self.slab.get(slot).is_some_and(|node| key.equivalent(&node.key))
        })
    }

    fn node(&self, slot: Slot) -> &Arc<Node<K, V>> {
        self.slab.get(slot).expect("the index knows occupied slots only")
    }

    fn slot_of(&self, hash: KeyHash, node: &Arc<Node<K, V>>) -> Option<Slot> {
        self.index.find(hash.fragment(), |slot| Arc::ptr_eq(self.node(slot), node))
    }

    /// What time it is, if entries have deadlines: there is no need to look at
    /// the clock otherwise.
    fn now(&self, hub: &Hub<K, V>) -> u64 {
        if self.deadlines.is_unused() { 0 } else { hub.lifetimes.now() }
    }

    /// Why the entry at `slot` must not be seen, if so.
    fn hidden(&self, slot: Slot, now: u64) -> Option<Cause> {
        if self.node(slot).tags.any_dead() {
            return Some(Cause::Invalidated);
        }
        (self.deadlines.of(slot) <= now).then_some(Cause::Expired)
    }
}

impl<K, V> Shard<K, V> {
    pub(crate) fn new(home: usize, hub: &Hub<K, V>) -> Self {
        Shard {
            home,
            core: RwLock::new(Core::new(hub, 0)),
            hit_log: HitLog::default(),
            gauge: Gauge::default(),
            doomed: Mutex::default(),
            desk: Desk::default(),
        }
    }

    /// Locks the shard for writing, and tidies it up first.
    pub(crate) fn visit<'a>(&'a self, hub: &'a Hub<K, V>) -> Visit<'a, K, V> {
        Visit::begin(self, hub, self.core.write())
    }

    /// Looks `key` up and hands the entry to `use_it`, under the shared lock:
    /// `use_it` may clone, and nothing else.
    pub(crate) fn look<Q, R>(
        &self,
        hub: &Hub<K, V>,
        hash: KeyHash,
        key: &Q,
        intent: Intent,
        use_it: impl FnOnce(&Arc<Node<K, V>>) -> R,
    ) -> Option<R>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let core = self.core.read();
        if core.generation == hub.generation.load(Ordering::SeqCst) {
            let slot = core.find(hash.fragment(), key)?;
            let now = core.now(hub);
            if core.hidden(slot, now).is_none() {
                let used = use_it(core.node(slot));
                let noted = self.note_hit(&core, slot, intent, now);
                drop(core);
                if noted == Noted::Filled {
                    self.settle();
                }
                return Some(used);
            }
        }
        drop(core);
        // Something here was invalidated or has expired: this is "the next
        // time the shard does anything", and a miss may take its time.
        drop(self.visit(hub));
        None
    }

    /// Lets a read prolong or shorten the life of its entry, as the cache's
    /// `Expiry` says. Runs the user's code, so after the look-up's lock.
    pub(crate) fn expire_on_read(&self, hub: &Hub<K, V>, hash: KeyHash, node: &Arc<Node<K, V>>) {
        let Some(expiry) = &hub.lifetimes.expiry else { return };
        let current = self.remaining(hub, hash, node);
        let wanted = expiry.on_read(&node.key, &node.value, current);
        if wanted == current {
            return;
        }
        let now = hub.lifetimes.now();
        let core = self.core.read();
        let slot = core.slot_of(hash, node);
        let is_sooner = slot.is_some_and(|s| core.deadlines.set_own(s, nanos(wanted), now));
        drop(core);
        if is_sooner {
            let mut visit = self.visit(hub);
            if let Some(slot) = visit.slot_of(hash, node) {
                visit.core_mut().deadlines.reschedule(slot, now);
            }
        }
    }

    /// How long the entry of `node` has to live; `MAX` without a deadline.
    fn remaining(&self, hub: &Hub<K, V>, hash: KeyHash, node: &Arc<Node<K, V>>) -> Duration {
        let core = self.core.read();
        let deadline = core.slot_of(hash, node).map_or(NEVER, |slot| core.deadlines.of(slot));
        until(deadline, hub.lifetimes.now())
    }

    /// How long `key` has to live: `None` without a value, `MAX` without a
    /// deadline.
    pub(crate) fn expires_in<Q>(&self, hub: &Hub<K, V>, hash: KeyHash, key: &Q) -> Option<Duration>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let core = self.core.read();
        if core.generation != hub.generation.load(Ordering::SeqCst) {
            return None;
        }
        let slot = core.find(hash.fragment(), key)?;
        let now = hub.lifetimes.now();
        let is_visible = core.hidden(slot, now).is_none();
        is_visible.then(|| until(core.deadlines.of(slot), now))
    }

    fn note_hit(&self, core: &Core<K, V>, slot: Slot, intent: Intent, now: u64) -> Noted {
        if intent == Intent::Use {
            core.deadlines.touch(slot, now);
        }
        match (intent, core.notes) {
            (Intent::Peek, _) | (_, Notes::Nothing) => Noted::Kept,
            (Intent::Use, Notes::Count) => {
                core.slab.bump(slot);
                Noted::Kept
            }
            (Intent::Use, Notes::Order) => self.hit_log.push(slot),
        }
    }

    /// Empties a full hit log, unless someone else has the lock.
    #[cold]
    fn settle(&self) {
        if let Some(mut core) = self.core.try_write() {
            self.replay_hits(&mut core);
        }
    }

    fn replay_hits(&self, core: &mut Core<K, V>) {
        if core.notes == Notes::Order {
            let Core { policy, slab, .. } = core;
            self.hit_log.drain(|slot| {
                if slab.get(slot).is_some() {
                    policy.on_hit(slot);
                }
            });
        }
    }

    /// Frees what was invalidated, if anything was.
    pub(crate) fn free_hidden(&self, hub: &Hub<K, V>) {
        let is_stale =
            self.gauge.generation.load(Ordering::SeqCst) != hub.generation.load(Ordering::SeqCst);
        if is_stale || self.gauge.has_doomed.load(Ordering::SeqCst) {
            drop(self.visit(hub));
        }
    }

    /// Entries and weight, as far as can be told without the lock.
    pub(crate) fn size(&self) -> Cost {
        Cost {
            entries: self.gauge.entries.load(Ordering::Relaxed),
            weight: self.gauge.weight.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        self.core.read().tally
    }

    /// Tells this shard that a tag was invalidated.
    pub(crate) fn doom(&self, tag: Arc<TagState>) {
        self.doomed.lock().push(tag);
        self.gauge.has_doomed.store(true, Ordering::SeqCst);
    }

    /// The first visible entry at or after position `from`, and where the next
    /// search begins. Nothing stays locked.
    pub(crate) fn entry_from(
        &self,
        hub: &Hub<K, V>,
        from: usize,
    ) -> Option<(Arc<Node<K, V>>, usize)> {
        let core = self.core.read();
        if core.generation != hub.generation.load(Ordering::SeqCst) {
            return None;
        }
        let now = core.now(hub);
        (from..core.slab.slots()).find_map(|index| {
            let slot = Slot::from_index(index);
            let node = core.slab.get(slot)?;
            let is_visible = core.hidden(slot, now).is_none();
            is_visible.then(|| (Arc::clone(node), index + 1))
        })
    }

    /// Checks that everything the lock guards agrees, and returns the usage.
    pub(crate) fn validate(&self, hub: &Hub<K, V>) -> Result<Cost, String> {
        let visit = self.visit(hub);
        let core = visit.core();
        core.slab.validate()?;
        core.index.validate(|slot| core.slab.hash(slot))?;
        core.policy.validate(&core.slab)?;
        core.members.validate(self.home)?;
        core.deadlines.validate(core.slab.occupied())?;
        let mut ordered = core.policy.coldest_first(&core.slab);
        ordered.sort_unstable();
        if !ordered.iter().copied().eq(core.slab.occupied()) {
            return Err("the policy's entries are not the slab's".to_owned());
        }
        let mut indexed: Vec<Slot> = core.index.slots().collect();
        indexed.sort_unstable();
        if indexed != ordered || core.index.len() != core.slab.len() {
            return Err("the index's entries are not the slab's".to_owned());
        }
        let weight: u64 = ordered.iter().map(|slot| u64::from(core.slab.weight(*slot))).sum();
        if weight != core.weight {
            return Err(format!("entries weigh {weight}, but {} is counted", core.weight));
        }
        let tags = ordered.iter().map(|slot| core.node(*slot).tags.iter().count()).sum::<usize>();
        let is_member = |slot: &Slot| core.members.is_member(*slot, &core.node(*slot).tags);
        if tags != core.members.memberships() || !ordered.iter().all(is_member) {
            return Err("the tags' entries are not the slab's".to_owned());
        }
        if !core.claims.is_empty() {
            return Err("a claim was left behind".to_owned());
        }
        if core.flights.flying() > 0 {
            return Err("a load was left behind".to_owned());
        }
        Ok(Cost { entries: core.slab.len() as u64, weight })
    }
}

/// What a look-up means to the policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Intent {
    /// A use of the entry.
    Use,
    /// Only looking: no policy shall hear of it.
    Peek,
}
