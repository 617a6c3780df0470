//! One shard: a lock, and everything it guards.
//!
//! A key belongs to exactly one shard, so no shard ever waits for another.
//! Entries leave by being put aside: they are told and dropped after the lock
//! is gone. The only code of the user that runs under the lock is `Hash` and
//! `Eq` of keys and `Clone` of values, and it runs before anything changes, so
//! a panic there leaves the shard as it was.
//!
//! A writer's way through a shard:
//!
//! ```text
//!   visit ── lock, tidy up ──► find ──► make room ──► link ──► end of visit
//!              │                           │                    │
//!              │ invalidated entries       │ victims            │ unlock; then
//!              └───────────────────────────┴── put aside ───────┘ tell and drop
//! ```

use crate::budget::{Budget, Cost, Credit, Lenders, Shortage};
use crate::claim::{Claims, Turn};
use crate::expiry::{Deadlines, Lifetimes, NEVER, Span, nanos, until};
use crate::hash::KeyHash;
use crate::index::Index;
use crate::listener::{Cause, Desk, Gone, Listener, Removal};
use crate::policy::{Eviction, Need, Notes, Policy};
use crate::slab::{Node, Slab};
use crate::slot::hit_log::{HitLog, Noted};
use crate::slot::{Residents, Slot};
use crate::stats::Tally;
use crate::tags::{Members, TagSet, TagState};
use equivalent::Equivalent;
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What the shards of a cache have in common.
pub(crate) struct Hub<K, V> {
    pub(crate) shards: usize,
    pub(crate) eviction: Eviction,
    pub(crate) budget: Budget,
    pub(crate) lenders: Lenders,
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

/// How many entries with a passed deadline a visit looks at: some 10 µs.
const RECLAIM_STEPS: usize = 64;

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
    members: Members,
    claims: Claims<K>,
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
            members: Members::default(),
            claims: Claims::default(),
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

    /// Why the entry at `slot` must not be seen, if so. Asks for the time only
    /// if entries have deadlines.
    fn hidden(&self, slot: Slot, now: impl FnOnce() -> u64) -> Option<Cause> {
        if self.node(slot).tags.any_dead() {
            return Some(Cause::Invalidated);
        }
        let is_over = !self.deadlines.is_unused() && self.deadlines.of(slot) <= now();
        is_over.then_some(Cause::Expired)
    }
}

/// What is known of an entry before it is stored.
#[derive(Clone, Copy)]
pub(crate) struct Incoming {
    pub(crate) hash: KeyHash,
    pub(crate) cost: Cost,
    pub(crate) span: Span,
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
        let core = Some(self.core.write());
        let mut visit = Visit { shard: self, hub, core, gone: Gone::new() };
        visit.tidy_up();
        visit
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
            if core.hidden(slot, || hub.lifetimes.now()).is_none() {
                let used = use_it(core.node(slot));
                let noted = self.note_hit(hub, &core, slot, intent);
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
        let is_visible = core.hidden(slot, || now).is_none();
        is_visible.then(|| until(core.deadlines.of(slot), now))
    }

    fn note_hit(&self, hub: &Hub<K, V>, core: &Core<K, V>, slot: Slot, intent: Intent) -> Noted {
        if intent == Intent::Use {
            core.deadlines.touch(slot, || hub.lifetimes.now());
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

    /// Entries and weight, after what was invalidated has been freed.
    pub(crate) fn usage(&self, hub: &Hub<K, V>) -> Cost {
        let is_stale =
            self.gauge.generation.load(Ordering::SeqCst) != hub.generation.load(Ordering::SeqCst);
        if is_stale || self.gauge.has_doomed.load(Ordering::SeqCst) {
            drop(self.visit(hub));
        }
        self.size()
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
        (from..core.slab.slots()).find_map(|index| {
            let slot = Slot::from_index(index);
            let node = core.slab.get(slot)?;
            let is_visible = core.hidden(slot, || hub.lifetimes.now()).is_none();
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

/// A stay in a locked shard. When it ends, whichever way, the shard is
/// unlocked, and then what left is told and dropped.
pub(crate) struct Visit<'a, K, V> {
    shard: &'a Shard<K, V>,
    hub: &'a Hub<K, V>,
    /// `None` only while the visit ends.
    core: Option<RwLockWriteGuard<'a, Core<K, V>>>,
    gone: Gone<K, V>,
}

impl<K, V> Drop for Visit<'_, K, V> {
    fn drop(&mut self) {
        let Some(core) = self.core.take() else { return };
        let gauge = &self.shard.gauge;
        gauge.entries.store(core.slab.len() as u64, Ordering::Relaxed);
        gauge.weight.store(core.weight, Ordering::Relaxed);
        match &self.hub.listener {
            Some(listener) if !self.gone.is_empty() => {
                let receipt = self.shard.desk.post(std::mem::take(&mut self.gone));
                drop(core);
                self.shard.desk.work(&receipt, listener);
            }
            // Without a listener, `gone` is dropped after this, unlocked.
            _ => drop(core),
        }
    }
}

impl<'a, K, V> Visit<'a, K, V> {
    fn core(&self) -> &Core<K, V> {
        self.core.as_ref().expect("locked until the visit ends")
    }

    fn core_mut(&mut self) -> &mut Core<K, V> {
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
    }

    /// Takes out entries that have expired, looking at `steps` at the most.
    /// Returns whether there may be more.
    pub(crate) fn reclaim(&mut self, mut steps: usize) -> bool {
        if self.core().deadlines.is_unused() {
            return false;
        }
        let now = self.hub.lifetimes.now();
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
        self.shard.hit_log.drain(|_| {});
        let core = self.core_mut();
        core.index = Index::new();
        core.slab = Slab::new();
        core.deadlines = Deadlines::default();
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
        match self.core().hidden(slot, || hub.lifetimes.now()) {
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
        !self.gone.is_empty()
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
    fn unlink(&mut self, slot: Slot, cause: Cause) -> Cost {
        let home = self.shard.home;
        let core = self.core_mut();
        let hash = core.slab.hash(slot);
        let weight = core.slab.weight(slot);
        core.index.remove(hash, slot);
        let node = core.slab.remove(slot);
        core.members.leave(home, slot, &node.tags);
        core.deadlines.end(slot);
        core.weight -= u64::from(weight);
        self.put_aside(hash, node, cause);
        Cost::of(weight)
    }

    fn put_aside(&mut self, hash: u32, node: Arc<Node<K, V>>, cause: Cause) {
        self.core_mut().tally.removals[cause as usize] += 1;
        self.gone.push(Removal { hash, node, cause });
    }

    /// A use of `slot` by a writer.
    pub(crate) fn note_use(&mut self, slot: Slot) {
        let hub = self.hub;
        let core = self.core_mut();
        core.deadlines.touch(slot, || hub.lifetimes.now());
        match core.notes {
            Notes::Nothing => {}
            Notes::Count => core.slab.bump(slot),
            Notes::Order => core.policy.on_hit(slot),
        }
    }

    pub(crate) fn could_hold(&self, cost: Cost) -> bool {
        self.hub.budget.could_hold(cost)
    }

    /// Stores the entry that `make` returns where [`find`](Visit::find) has
    /// found its key, or puts it aside at once if the whole cache could not
    /// hold it. Fails, without having called `make`, if another shard has to
    /// help with room first.
    pub(crate) fn store(
        &mut self,
        incoming: Incoming,
        found: Option<Slot>,
        make: impl FnOnce(&mut Self) -> Arc<Node<K, V>>,
    ) -> Result<(), Shortage> {
        if !self.could_hold(incoming.cost) {
            if let Some(slot) = found {
                self.remove(slot, Cause::Replaced);
            }
            let node = make(self);
            self.put_aside(incoming.hash.fragment(), node, Cause::Rejected);
            return Ok(());
        }
        match found {
            Some(slot) => self.store_over(incoming, slot, make),
            None => {
                let mut credit = self.make_room(incoming.cost, None)?;
                let node = make(self);
                credit.spend(incoming.cost);
                self.link(incoming, node);
                Ok(())
            }
        }
    }

    /// Stores a value in the place of the older one at `slot`.
    fn store_over(
        &mut self,
        incoming: Incoming,
        slot: Slot,
        make: impl FnOnce(&mut Self) -> Arc<Node<K, V>>,
    ) -> Result<(), Shortage> {
        self.note_use(slot);
        let weight = |weight| Cost { entries: 0, weight };
        let (was, is) = (u64::from(self.core().slab.weight(slot)), incoming.cost.weight);
        let growth = weight(is.saturating_sub(was));
        let old = Arc::as_ptr(self.node(slot));
        let mut credit = self.make_room(growth, Some(slot))?;
        if self.core().slab.get(slot).is_none() {
            drop(credit);
            return self.store_after(old, incoming, make);
        }
        let node = make(self);
        credit.spend(growth);
        credit.refund(weight(was.saturating_sub(is)));
        self.swap(incoming, slot, node);
        Ok(())
    }

    /// Stores a value whose predecessor `old` left while room was made for it.
    fn store_after(
        &mut self,
        old: *const Node<K, V>,
        incoming: Incoming,
        make: impl FnOnce(&mut Self) -> Arc<Node<K, V>>,
    ) -> Result<(), Shortage> {
        let is_old = |gone: &&Removal<K, V>| Arc::as_ptr(&gone.node) == old;
        match self.gone.iter().find(is_old).map(|gone| gone.cause) {
            // Its time was up: the newcomer is stored like any other.
            Some(Cause::Expired) => self.store(incoming, None, make),
            // The policy chose this very entry to make room for its new value.
            _ => {
                let node = make(self);
                // It came and went: counted both ways, so that sums agree.
                self.core_mut().tally.inserts += 1;
                self.put_aside(incoming.hash.fragment(), node, Cause::Size);
                Ok(())
            }
        }
    }

    fn swap(&mut self, incoming: Incoming, slot: Slot, node: Arc<Node<K, V>>) {
        let home = self.shard.home;
        let core = self.core_mut();
        let tags = node.tags.clone();
        let (was, is) = (core.slab.weight(slot), incoming.cost.weight);
        let old = core.slab.replace(slot, node);
        if is != u64::from(was) {
            core.slab.set_weight(slot, is as u32);
            core.weight = core.weight - u64::from(was) + is;
            core.policy.on_reweigh(slot, was, &core.slab);
        }
        core.tally.inserts += 1;
        core.members.leave(home, slot, &old.tags);
        self.put_aside(incoming.hash.fragment(), old, Cause::Replaced);
        self.begin(slot, incoming.span, &tags);
    }

    fn link(&mut self, incoming: Incoming, node: Arc<Node<K, V>>) {
        let hash = incoming.hash.fragment();
        let core = self.core_mut();
        let tags = node.tags.clone();
        let slot = core.slab.insert(hash, incoming.cost.weight as u32, node);
        let slab = &core.slab;
        core.index.insert(hash, slot, |slot| slab.hash(slot));
        core.policy.on_insert(slot, &core.slab);
        core.weight += incoming.cost.weight;
        core.tally.inserts += 1;
        self.begin(slot, incoming.span, &tags);
    }

    /// Starts the life of the value that was just stored at `slot`.
    fn begin(&mut self, slot: Slot, span: Span, tags: &TagSet) {
        let hub = self.hub;
        let core = self.core_mut();
        if span != Span::ENDLESS || !core.deadlines.is_unused() {
            core.deadlines.begin(slot, span, hub.lifetimes.now());
        }
        self.join(slot, tags);
    }

    fn join(&mut self, slot: Slot, tags: &TagSet) {
        let home = self.shard.home;
        if let Some(dead) = self.core_mut().members.join(home, slot, tags) {
            // It was invalidated between its look-up and here.
            self.shard.doom(dead);
        }
    }

    /// Evicts until `cost` is paid for, what has expired first, or until
    /// `replaced`, which the room is for, has left itself. Fails if another
    /// shard has to help. A credit never outlives the visit: the user's code,
    /// which runs after it, may need all the room there is.
    fn make_room(&mut self, cost: Cost, replaced: Option<Slot>) -> Result<Credit<'a>, Shortage> {
        let hub = self.hub;
        let mut credit = Credit::new(&hub.budget);
        while let Err(need) = credit.raise_to(cost) {
            if replaced.is_some_and(|slot| self.core().slab.get(slot).is_none()) {
                break;
            }
            if self.reclaim_one() {
                continue;
            }
            if self.is_poor(need, cost) || !self.evict(need, &mut credit) {
                return Err(Shortage { need, wanted: cost });
            }
        }
        Ok(credit)
    }

    /// Whether this shard would still be within its share with `cost` more:
    /// then another one has more than its share, and ought to give.
    fn is_poor(&self, need: Need, cost: Cost) -> bool {
        let share = self.hub.share();
        let core = self.core();
        self.hub.shards > 1
            && match need {
                Need::Entry => core.slab.len() as u64 + cost.entries <= share.entries,
                Need::Weight => core.weight.saturating_add(cost.weight) <= share.weight,
            }
    }

    /// Takes out an entry that has expired, if one is soon found.
    fn reclaim_one(&mut self) -> bool {
        if self.core().deadlines.is_unused() {
            return false;
        }
        let (now, mut steps) = (self.hub.lifetimes.now(), RECLAIM_STEPS);
        let due = self.core_mut().deadlines.pop_due(now, &mut steps);
        if let Some(slot) = due {
            self.remove(slot, Cause::Expired);
        }
        due.is_some()
    }

    /// Evicts one entry and adds what it cost to `credit`.
    fn evict(&mut self, need: Need, credit: &mut Credit<'_>) -> bool {
        let core = self.core_mut();
        let Some(victim) = core.policy.evict(need, &core.slab) else { return false };
        let cost = self.unlink(victim, Cause::Size);
        credit.refund(cost);
        true
    }

    /// Evicts for another shard's sake: one entry at least, and more for
    /// weight, as long as this shard has more than its share. Returns whether
    /// any left.
    pub(crate) fn lend(&mut self, Shortage { need, wanted }: Shortage) -> bool {
        let hub = self.hub;
        let mut has_lent = false;
        while self.evict(need, &mut Credit::new(&hub.budget)) {
            has_lent = true;
            let is_enough = need == Need::Entry || hub.budget.has_weight(wanted.weight);
            if is_enough || self.core().weight <= hub.share().weight {
                break;
            }
        }
        has_lent
    }

    /// Evicts as long as the cache holds more than it may, `most` entries at
    /// the most. Returns whether any left.
    pub(crate) fn shrink(&mut self, most: usize) -> bool {
        let hub = self.hub;
        let mut has_shrunk = false;
        for _ in 0..most {
            let Some(need) = hub.budget.excess() else { break };
            if !self.evict(need, &mut Credit::new(&hub.budget)) {
                break;
            }
            has_shrunk = true;
        }
        has_shrunk
    }

    /// Lets the policy know that the capacity has changed.
    pub(crate) fn resize(&mut self) {
        let entries = self.hub.entries_share();
        self.core_mut().policy.on_resize(entries);
    }

    /// All entries, from the one that would leave first.
    pub(crate) fn coldest_first(&self) -> Vec<Arc<Node<K, V>>> {
        let (core, now) = (self.core(), self.hub.lifetimes.now());
        let mut slots = core.policy.coldest_first(&core.slab);
        slots.retain(|slot| core.hidden(*slot, || now).is_none());
        slots.into_iter().map(|slot| Arc::clone(core.node(slot))).collect()
    }
}
