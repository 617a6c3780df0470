//! A stay in a locked shard: what writers do there, and what follows from it.

use super::limbo::Junk;
use super::{Core, Held, Hub, Shard};
use crate::budget::Cost;
use crate::claim::{Claims, Turn};
use crate::expiry::{Ages, Schedule, nanos};
use crate::flight::Overtaken;
use crate::hash::KeyHash;
use crate::listener::{Cause, Gone, Receipt, Removal};
use crate::policy::Notes;
use crate::slab::Entry;
use crate::slot::Slot;
use crate::steady::Steady;
use crate::tags::Members;
use crate::vault::{Left, Locked};
use equivalent::Equivalent;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many entries with a passed deadline a visit looks at: some 10 µs.
pub(super) const RECLAIM_STEPS: usize = 64;

/// A stay in a locked shard. When it ends, whichever way, the shard is
/// unlocked, and then what left is told and dropped.
#[must_use = "dropping this runs the user's code: do it where that may run"]
pub(crate) struct Visit<'a, K, V> {
    pub(super) shard: &'a Shard<K, V>,
    pub(super) hub: &'a Hub<K, V>,
    /// `None` once the shard is unlocked.
    locked: Option<Locked<'a, K, V, Core<K, V>>>,
    gone: Gone<K, V>,
    /// What left and is at the desk, if somebody listens.
    posted: Option<Receipt>,
    pub(super) junk: Junk<'a, K, V>,
    /// Loads that were overtaken or forgotten; nobody is told, but their keys
    /// and errors are dropped.
    pub(super) overtaken: Overtaken<K, V>,
    /// What it took to load the value that is stored next.
    pub(super) load_nanos: u64,
}

impl<K, V> Drop for Visit<'_, K, V> {
    #[inline]
    fn drop(&mut self) {
        self.unlock();
        if let (Some(receipt), Some(listener)) = (self.posted.take(), &self.hub.listener) {
            self.shard.desk.work(&receipt, listener, &self.shard.vault);
        }
    }
}

/// An entry that was taken out, for someone who wants its value.
pub(crate) enum Taken<K, V> {
    Entry(Entry<K, V>),
    /// Others look at it, or will hear of it.
    Clone(V),
}

impl<K, V> Taken<K, V> {
    /// Drops the key: not to be called under a lock.
    pub(crate) fn into_value(self) -> V {
        match self {
            Taken::Entry(Entry { key, value, tags }) => {
                // One after the other: a value that is on its way out as the
                // key's drop panics would be forgotten.
                drop((key, tags));
                value
            }
            Taken::Clone(value) => value,
        }
    }
}

impl<'a, K, V> Visit<'a, K, V> {
    /// Begins with tidying up.
    #[inline]
    pub(super) fn begin(
        shard: &'a Shard<K, V>,
        hub: &'a Hub<K, V>,
        locked: Locked<'a, K, V, Core<K, V>>,
    ) -> Self {
        let (locked, gone, junk) = (Some(locked), Gone::new(), Junk::none(&hub.held_back));
        let (posted, overtaken, load_nanos) = (None, Overtaken::new(), 0);
        let mut visit = Visit { shard, hub, locked, gone, posted, junk, overtaken, load_nanos };
        visit.tidy_up();
        visit
    }

    /// Unlocks the shard. What left is told and dropped with the visit.
    #[inline]
    pub(crate) fn unlock(&mut self) {
        let Some(mut locked) = self.locked.take() else { return };
        let gauge = &self.shard.gauge;
        gauge.entries.store(locked.len() as u64, Ordering::Relaxed);
        gauge.weight.store(locked.core().weight, Ordering::Relaxed);
        if self.hub.listener.is_some() && !self.gone.is_empty() {
            // Still under the lock, so that the order is the shard's.
            self.posted = Some(self.shard.desk.post(std::mem::take(&mut self.gone)));
        }
        let is_crowded = self.shard.is_crowded(self.hub, &mut locked);
        drop(locked);
        if is_crowded {
            self.wait_for_readers();
        }
    }

    #[inline]
    pub(super) fn locked(&self) -> &Locked<'a, K, V, Core<K, V>> {
        self.locked.as_ref().expect("locked until it is unlocked")
    }

    #[inline]
    pub(super) fn locked_mut(&mut self) -> &mut Locked<'a, K, V, Core<K, V>> {
        self.locked.as_mut().expect("locked until it is unlocked")
    }

    #[inline]
    pub(super) fn core(&self) -> &Core<K, V> {
        self.locked().core()
    }

    #[inline]
    pub(super) fn core_mut(&mut self) -> &mut Core<K, V> {
        self.locked_mut().core_mut()
    }

    /// Lets the policy hear of the hits, then frees what was invalidated since
    /// the last visit, and some of what has expired. The hits come first: they
    /// were made before.
    #[inline]
    fn tidy_up(&mut self) {
        let (shard, hub) = (self.shard, self.hub);
        if hub.notes == Notes::Order {
            shard.replay_hits(self.locked_mut());
        }
        if self.locked().has_leftovers() {
            let locked = self.locked.as_mut().expect("locked until it is unlocked");
            self.junk.sweep(locked);
            self.move_some(false);
        }
        if shard.is_stale(hub) {
            self.bury_all();
        }
        if shard.gauge.has_doomed.load(Ordering::SeqCst) {
            self.bury_doomed();
        }
        if !self.core().schedule.is_empty() {
            self.reclaim(RECLAIM_STEPS);
        }
        if self.locked().is_sparse() {
            self.locked_mut().begin_moving();
        }
        self.forget_failures();
    }

    /// Takes out entries that have expired, looking at `steps` at the most.
    /// Returns whether there may be more.
    pub(crate) fn reclaim(&mut self, mut steps: usize) -> bool {
        if self.core().schedule.is_empty() {
            return false;
        }
        let now = self.hub.lifetimes.reclaimable();
        while let Some(slot) = self.pop_due(now, &mut steps) {
            self.remove(slot, Cause::Expired);
        }
        steps == 0
    }

    /// As [`reclaim`](Visit::reclaim); and if nothing is left after that, gives
    /// back the memory.
    pub(crate) fn reclaim_for_good(&mut self, steps: usize) -> bool {
        let is_more = self.reclaim(steps);
        if self.locked().len() == 0 && !self.core().schedule.is_empty() {
            self.shard.hit_log.drain(|_| {});
            self.locked_mut().give_back_memory();
            self.cut(0);
            // Until another entry has a deadline, there is nothing to give back.
            self.core_mut().schedule = Schedule::default();
        }
        is_more
    }

    pub(super) fn pop_due(&mut self, now: u64, steps: &mut usize) -> Option<Slot> {
        self.shard.deadlines.pop_due(&mut self.core_mut().schedule, now, steps)
    }

    #[cold]
    fn bury_all(&mut self) {
        let generation = self.hub.generation.load(Ordering::SeqCst);
        self.take_all(Cause::Invalidated);
        self.shard.note_tidied(generation);
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
        let slots: Vec<Slot> = self.locked().linked().collect();
        for slot in slots {
            self.remove(slot, cause);
        }
        self.overtake_all();
        self.shard.hit_log.drain(|_| {});
        self.locked_mut().give_back_memory();
        self.shard.deadlines.cut(self.locked());
        let core = self.core_mut();
        core.schedule = Schedule::default();
        core.ages = Ages::default();
        core.members = Members::default();
        core.policy = hub.new_policy();
    }

    /// The slot of `key`, if its entry is visible. One that is not is taken
    /// out.
    #[inline]
    pub(crate) fn find<Q>(&mut self, hash: KeyHash, key: &Q) -> Option<Slot>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let slot = self.locked().find(hash.fragment(), key)?;
        let now = self.shard.now(self.hub);
        match self.shard.hidden(slot, self.locked().tags(slot), now) {
            None => Some(slot),
            Some(cause) => {
                self.remove(slot, cause);
                None
            }
        }
    }

    /// Takes out the entry at `slot`, which is invalidated, if nothing else ended it
    /// before.
    pub(crate) fn invalidate(&mut self, slot: Slot) {
        let now = self.shard.now(self.hub);
        let hidden = self.shard.hidden(slot, self.locked().tags(slot), now);
        self.remove(slot, hidden.unwrap_or(Cause::Invalidated));
    }

    /// Lets no computation of a key that has no value be stored: what it has seen may
    /// have been anything.
    pub(crate) fn discard_computations_of_absent(&mut self)
    where
        K: Eq,
    {
        let now = self.shard.now(self.hub);
        let locked = self.locked();
        locked.core().claims.discard_where(|hash, key| {
            let slot = locked.find(hash, key);
            slot.is_none_or(|slot| self.shard.hidden(slot, locked.tags(slot), now).is_some())
        });
    }

    /// Keeps the entry at `slot` beyond the visit.
    pub(crate) fn hold(&self, slot: Slot) -> Held<'a, K, V> {
        self.locked().hold(slot)
    }

    /// Whether the entry that someone holds at `slot` can still be found.
    pub(crate) fn is_linked(&self, slot: Slot) -> bool {
        self.locked().is_linked(slot)
    }

    /// Gives the entry at `slot` another time to live.
    pub(crate) fn set_ttl(&mut self, slot: Slot, ttl: Duration) {
        let (hub, deadlines) = (self.hub, &self.shard.deadlines);
        self.shard.keep_time();
        deadlines.set_ttl(&mut self.core_mut().schedule, slot, nanos(ttl), &hub.lifetimes);
    }

    /// Notes that readers have brought the deadline at `slot` forward.
    pub(super) fn reschedule(&mut self, slot: Slot) {
        if self.is_linked(slot) {
            let deadlines = &self.shard.deadlines;
            deadlines.reschedule(&mut self.core_mut().schedule, slot);
        }
    }

    pub(crate) fn claims(&mut self) -> &mut Claims<K> {
        &mut self.core_mut().claims
    }

    /// Whether something will be told or dropped when the visit ends.
    pub(crate) fn has_consequences(&self) -> bool {
        !self.gone.is_empty() || !self.junk.is_empty() || !self.overtaken.is_empty()
    }

    /// Of what is here now; it is tidied up.
    pub(crate) fn generation(&self) -> u64 {
        self.shard.generation.load(Ordering::SeqCst)
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
    pub(crate) fn remove(&mut self, slot: Slot, cause: Cause) {
        let (hash, left) = self.let_go(slot);
        self.put_aside(hash, left, cause);
    }

    /// Takes the entry at `slot` out for the sake of its value.
    pub(crate) fn take(&mut self, slot: Slot, cause: Cause) -> Taken<K, V>
    where
        V: Clone,
    {
        if self.hub.listener.is_some() {
            let value = self.locked().value(slot).clone();
            self.remove(slot, cause);
            return Taken::Clone(value);
        }
        match self.let_go(slot) {
            (_, Left::Owned(entry)) => {
                self.core_mut().tally.removals[cause as usize] += 1;
                Taken::Entry(entry)
            }
            (hash, Left::Watched(watched)) => {
                let mut steady = Steady::default();
                let value = steady.step(|| self.shard.vault.watched(&watched).1.clone());
                self.put_aside(hash, Left::Watched(watched), cause);
                steady.finish();
                Taken::Clone(value.expect("a panic would have been raised again"))
            }
        }
    }

    /// Takes out an entry of which the policy does not know yet that it leaves.
    fn let_go(&mut self, slot: Slot) -> (u32, Left<K, V>) {
        let (core, all) = self.locked_mut().parts();
        core.policy.on_remove(slot, &all);
        let (hash, cost, left) = self.unlink(slot);
        self.hub.budget.give(cost);
        (hash, left)
    }

    /// Takes out an entry of which the policy knows that it leaves.
    #[inline]
    pub(super) fn unlink(&mut self, slot: Slot) -> (u32, Cost, Left<K, V>) {
        let home = self.shard.home;
        let (hash, weight) = (self.locked().hash(slot), self.locked().weight(slot));
        if let Some(tags) = self.locked().tags(slot).filter(|tags| !tags.is_empty()).cloned() {
            self.core_mut().members.leave(home, slot, &tags);
        }
        self.overtake_reload(hash, slot);
        let core = self.core_mut();
        core.schedule.cancel(slot);
        core.weight -= u64::from(weight);
        (hash, Cost::of(weight), self.locked_mut().remove(slot))
    }

    #[inline]
    pub(super) fn put_aside(&mut self, hash: u32, left: Left<K, V>, cause: Cause) {
        self.core_mut().tally.removals[cause as usize] += 1;
        match left {
            // Nobody will hear of it: its readers are all that keep it.
            Left::Watched(watched) if self.hub.listener.is_none() => {
                self.shard.vault.release(watched);
            }
            left => self.gone.push(Removal { hash, left, cause }),
        }
    }

    /// A use of `slot` by a writer.
    pub(crate) fn note_use(&mut self, slot: Slot) {
        let now = self.shard.now(self.hub);
        self.shard.deadlines.touch(slot, now);
        match self.hub.notes {
            Notes::Nothing => {}
            Notes::Count => self.locked().bump(slot),
            Notes::Order => self.core_mut().policy.on_hit(slot),
        }
    }

    /// Lets the policy know that the capacity has changed.
    pub(crate) fn resize(&mut self) {
        let (entries, expected) = (self.hub.entries_share(), self.hub.entries_expected());
        self.core_mut().policy.on_resize(entries);
        self.locked_mut().expect(expected);
    }
}
