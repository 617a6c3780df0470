//! One shard: a lock, and everything it guards.
//!
//! A key belongs to exactly one shard, so no shard ever waits for another.
//! Entries leave by being put aside: they are told and dropped after the lock
//! is gone. The only code of the user that runs under the lock is `Hash` and
//! `Eq` of keys and `Clone` of values, and it runs before anything changes, so
//! a panic there leaves the shard as it was.
//!
//! Readers are served here, without the lock; a writer makes a [`Visit`], which is in `visit.rs`,
//! and what storing a value takes is in `store.rs`:
//!
//! ```text
//!   visit ── lock, tidy up ──► find ──► make room ──► link ──► end of visit
//!              │                           │                    │
//!              │ invalidated entries       │ victims            │ unlock; then
//!              └───────────────────────────┴── put aside ───────┘ tell and drop
//! ```

mod flights;
mod glance;
mod limbo;
mod plain;
mod store;
mod thin;
mod visit;

pub(crate) use flights::{Boarding, Stale};
pub(crate) use glance::Glance;
pub(crate) use limbo::HeldBack;
pub(crate) use plain::{Short, ShortBoarding};
pub(crate) use store::Incoming;
pub(crate) use visit::Visit;

use crate::budget::{Budget, Cost};
use crate::claim::Claims;
use crate::expiry::{Ages, Deadlines, Lifetimes, Schedule, nanos, until};
use crate::flight::Flights;
use crate::hash::KeyHash;
use crate::listener::{Cause, Desk, Listener};
use crate::policy::{Notes, Policies, Policy};
use crate::slot::Slot;
use crate::slot::hit_log::{HitLog, Noted};
use crate::stats::Tally;
use crate::sync::Mutex;
use crate::tags::{Members, TagSet, TagState};
use crate::vault::{self, Cursor, Locked, Vault};
use equivalent::Equivalent;
use glance::{Gate, SHUT};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What the shards of a cache have in common.
pub(crate) struct Hub<K, V> {
    pub(crate) shards: usize,
    pub(crate) policies: Policies,
    /// What readers note down for the policy.
    pub(crate) notes: Notes,
    pub(crate) budget: Budget,
    /// Counts `invalidate_all`. A shard that was last tidied under another
    /// generation holds nothing that anybody may see.
    pub(crate) generation: AtomicU64,
    pub(crate) listener: Option<Listener<K, V>>,
    /// Whether hits and misses are counted.
    pub(crate) counts_lookups: bool,
    pub(crate) lifetimes: Lifetimes<K, V>,
    pub(crate) held_back: HeldBack,
}

impl<K, V> Hub<K, V> {
    /// Whether entries are keys, values and deadlines that the cache gives them,
    /// and nothing else: nobody listens or has a say, and none is kept after its
    /// time.
    pub(crate) fn is_plain(&self) -> bool {
        let lifetimes = &self.lifetimes;
        let lives_plainly = lifetimes.is_endless() || lifetimes.grace == 0;
        self.listener.is_none() && lifetimes.expiry.is_none() && lives_plainly
    }

    /// When a load begins or ends; always the same if nobody wants to know how
    /// long loads take, since looking costs more than a short load.
    pub(crate) fn stopwatch(&self) -> u64 {
        match self.counts_lookups || self.lifetimes.keeps_ages {
            true => self.lifetimes.stopwatch(),
            false => 0,
        }
    }

    /// Whether a hit only has to be counted with its entry, if at all.
    fn looks_plainly(&self) -> bool {
        let is_silent = self.notes != Notes::Order && !self.counts_lookups;
        is_silent && self.lifetimes.is_endless() && self.lifetimes.expiry.is_none()
    }

    /// Whether nobody but the clock says when an entry ends, and it is not kept
    /// any longer.
    fn looks_in_time(&self) -> bool {
        self.lifetimes.expiry.is_none() && self.lifetimes.grace == 0
    }

    /// One shard's fair share of the capacity, rounded down.
    #[inline]
    fn share(&self) -> Cost {
        let max = self.budget.max();
        // A power of two.
        let bits = self.shards.trailing_zeros();
        Cost { entries: max.entries >> bits, weight: max.weight >> bits }
    }

    fn new_policy(&self) -> Box<dyn Policy> {
        let mut policy = self.policies.policy();
        policy.on_resize(self.entries_share());
        policy
    }

    /// As many entries as a shard has when the cache is full, and a few more:
    /// hashes do not spread them quite evenly. `None` if that is not known.
    fn entries_expected(&self) -> Option<usize> {
        let share = usize::try_from(self.entries_share()).ok()?;
        share.checked_add(4 * share.isqrt() + 8)
    }

    /// The share as policies see it, rounded up; `u64::MAX` if unbounded.
    fn entries_share(&self) -> u64 {
        match self.budget.max().entries {
            u64::MAX => u64::MAX,
            entries => entries.div_ceil(self.shards as u64),
        }
    }
}

/// The vault of a shard, whose lock guards the shard's core.
pub(crate) type ShardVault<K, V> = Vault<K, V, Core<K, V>>;
/// An entry of a shard that a reader holds.
pub(crate) type Held<'a, K, V> = vault::Held<'a, K, V, Core<K, V>>;

/// Readers look at what comes first; writers write what comes last.
#[repr(C)]
pub(crate) struct Shard<K, V> {
    vault: ShardVault<K, V>,
    deadlines: Deadlines,
    /// The generation of the hub under which this shard was last tidied up.
    generation: AtomicU64,
    /// Open as long as a hit is nothing but a count and a clone.
    plain: Gate,
    /// Open as long as it may be that and a look at the entry's deadline.
    timed: Gate,
    home: usize,
    hit_log: HitLog,
    gauge: Gauge,
    /// Invalidated tags of which this shard holds entries.
    doomed: Mutex<Vec<Arc<TagState>>>,
    desk: Desk<K, V>,
}

/// What others may know of a shard without its lock. On a cache line of its
/// own: each writer writes it, and readers do not care.
#[derive(Default)]
#[repr(align(128))]
struct Gauge {
    entries: AtomicU64,
    weight: AtomicU64,
    has_doomed: AtomicBool,
}

/// What the lock guards besides the entries themselves; what every insert writes
/// comes last, as in the vault's part.
#[repr(C)]
pub(crate) struct Core<K, V> {
    ages: Ages,
    members: Members,
    flights: Flights<K, V>,
    claims: Claims<K>,
    /// How much of what is in limbo here is counted in the hub.
    in_limbo: usize,
    policy: Box<dyn Policy>,
    schedule: Schedule,
    weight: u64,
    /// The generation under which there was nothing in the way of the short ways,
    /// if no visit was made since; see `plain.rs`.
    orderly_under: u64,
    tally: Tally,
}

impl<K, V> Core<K, V> {
    fn new(hub: &Hub<K, V>) -> Self {
        Core {
            policy: hub.new_policy(),
            weight: 0,
            schedule: Schedule::default(),
            ages: Ages::default(),
            members: Members::default(),
            claims: Claims::default(),
            flights: Flights::default(),
            tally: Tally::default(),
            orderly_under: SHUT,
            in_limbo: 0,
        }
    }
}

impl<K, V> Shard<K, V> {
    pub(crate) fn new(home: usize, hub: &Hub<K, V>) -> Self {
        let vault = Vault::new(Core::new(hub));
        vault.lock().expect(hub.entries_expected());
        Shard {
            vault,
            deadlines: Deadlines::new(&hub.lifetimes),
            generation: AtomicU64::new(0),
            plain: Gate::new(hub.looks_plainly()),
            timed: Gate::new(hub.looks_in_time()),
            home,
            hit_log: HitLog::default(),
            gauge: Gauge::default(),
            doomed: Mutex::default(),
            desk: Desk::default(),
        }
    }

    /// Locks the shard for writing, and tidies it up first.
    pub(crate) fn visit<'a>(&'a self, hub: &'a Hub<K, V>) -> Visit<'a, K, V> {
        let mut locked = self.vault.lock();
        locked.core_mut().orderly_under = SHUT;
        Visit::begin(self, hub, locked)
    }

    /// What time it is, if entries have deadlines: there is no need to look at
    /// the clock otherwise.
    #[inline]
    fn now(&self, hub: &Hub<K, V>) -> u64 {
        self.time(hub).unwrap_or(0)
    }

    /// Whether the entry at `slot` has no deadline or not reached it; if so, it
    /// is used now.
    #[inline]
    fn is_alive(&self, hub: &Hub<K, V>, slot: Slot) -> bool {
        self.deadlines.is_unused() || self.deadlines.outlive(slot, hub.lifetimes.now())
    }

    /// What time it is, if that matters: if an entry here may have a deadline.
    #[inline]
    fn time(&self, hub: &Hub<K, V>) -> Option<u64> {
        (!self.deadlines.is_unused()).then(|| hub.lifetimes.now())
    }

    /// Why an entry must not be seen, if so.
    #[inline]
    fn hidden(&self, slot: Slot, tags: Option<&TagSet>, now: u64) -> Option<Cause> {
        if tags.is_some_and(TagSet::any_dead) {
            return Some(Cause::Invalidated);
        }
        self.deadlines.is_over(slot, now).then_some(Cause::Expired)
    }

    /// Whether everything here was invalidated since the shard was tidied up.
    #[inline]
    fn is_stale(&self, hub: &Hub<K, V>) -> bool {
        self.generation.load(Ordering::SeqCst) != hub.generation.load(Ordering::SeqCst)
    }

    /// The visible entry of `key`, and what time it is. Takes no lock.
    #[inline]
    fn find<Q>(&self, hub: &Hub<K, V>, hash: KeyHash, key: &Q) -> Option<(Held<'_, K, V>, u64)>
    where
        Q: Equivalent<K> + ?Sized,
    {
        if self.is_stale(hub) {
            self.tidy_up(hub);
            return None;
        }
        if self.deadlines.is_cramped(|| hub.lifetimes.now()) {
            self.make_room_in_time(hub);
        }
        let held = self.vault.find(hash.fragment(), key)?;
        if self.deadlines.is_unused() && self.vault.is_without_tags() {
            return Some((held, 0));
        }
        self.if_visible(hub, held)
    }

    #[inline]
    fn if_visible<'a>(
        &'a self,
        hub: &Hub<K, V>,
        held: Held<'a, K, V>,
    ) -> Option<(Held<'a, K, V>, u64)> {
        let now = self.now(hub);
        if self.hidden(held.slot(), held.tags(), now).is_some() {
            drop(held);
            self.tidy_up(hub);
            return None;
        }
        Some((held, now))
    }

    /// Something here was invalidated or has expired: this is "the next time
    /// the shard does anything", and a miss may take its time.
    #[cold]
    fn tidy_up(&self, hub: &Hub<K, V>) {
        drop(self.visit(hub));
    }

    /// A use could not be noted without this, since nobody wrote here for long.
    #[cold]
    fn make_room_in_time(&self, hub: &Hub<K, V>) {
        let _visit = self.visit(hub);
        self.deadlines.move_base(hub.lifetimes.now());
    }

    /// Nothing is here any more that is older than `generation` of the hub.
    fn note_tidied(&self, generation: u64) {
        let before = self.generation.swap(generation, Ordering::SeqCst);
        for gate in [&self.plain, &self.timed] {
            gate.follow(before, generation);
        }
    }

    /// Looks `key` up and hands the entry to `use_it`, which may clone, and
    /// nothing else: other values of the key are held back meanwhile.
    pub(crate) fn look<Q, R>(
        &self,
        hub: &Hub<K, V>,
        hash: KeyHash,
        key: &Q,
        intent: Intent,
        use_it: impl FnOnce(&Held<'_, K, V>) -> R,
    ) -> Option<R>
    where
        Q: Equivalent<K> + ?Sized,
    {
        if intent == Intent::Use && hub.notes != Notes::Order && self.vault.is_without_tags() {
            return self.use_without_tags(hub, hash, key, use_it);
        }
        let (held, now) = self.find(hub, hash, key)?;
        let used = use_it(&held);
        if intent == Intent::Use {
            self.note_hit(hub, held, now);
        }
        Some(used)
    }

    /// A use of an entry that may have a deadline, but no tags: the deadline is
    /// compared and moved on at the same time.
    #[inline]
    fn use_without_tags<Q, R>(
        &self,
        hub: &Hub<K, V>,
        hash: KeyHash,
        key: &Q,
        use_it: impl FnOnce(&Held<'_, K, V>) -> R,
    ) -> Option<R>
    where
        Q: Equivalent<K> + ?Sized,
    {
        if self.is_stale(hub) {
            self.tidy_up(hub);
            return None;
        }
        let held = self.vault.find(hash.fragment(), key)?;
        if !self.vault.is_without_tags() {
            // It may be the first that has one.
            drop(held);
            return self.look(hub, hash, key, Intent::Use, use_it);
        }
        if !self.is_alive(hub, held.slot()) {
            // Unless it is over, the use could not be noted. Not to be asked is
            // whether that is so still: others may have made room meanwhile.
            let is_over = self.deadlines.is_over(held.slot(), hub.lifetimes.now());
            drop(held);
            if !is_over {
                self.make_room_in_time(hub);
                return self.look(hub, hash, key, Intent::Use, use_it);
            }
            self.tidy_up(hub);
            return None;
        }
        held.bump();
        Some(use_it(&held))
    }

    /// Looks `key` up for a use that may take its time. Says what time it is.
    pub(crate) fn hold<Q>(
        &self,
        hub: &Hub<K, V>,
        hash: KeyHash,
        key: &Q,
    ) -> Option<(Held<'_, K, V>, u64)>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let (held, now) = self.find(hub, hash, key)?;
        held.narrow();
        if self.note_hit_of(hub, &held, now) == Noted::Filled {
            self.settle();
        }
        Some((held, now))
    }

    /// Lets a read that is over `now` prolong or shorten the life of its entry, as
    /// the cache's `Expiry` says. Runs the user's code.
    pub(crate) fn expire_on_read(&self, hub: &Hub<K, V>, held: &Held<'_, K, V>, now: u64) {
        let Some(expiry) = &hub.lifetimes.expiry else { return };
        let current = until(self.deadlines.of(held.slot()), now);
        let wanted = expiry.on_read(held.key(), held.value(), current);
        if wanted == current {
            return;
        }
        if self.deadlines.set_own(held.slot(), nanos(wanted), now) {
            self.visit(hub).reschedule(held.slot());
        }
    }

    /// How long `key` has to live: `None` without a value, `MAX` without a
    /// deadline.
    pub(crate) fn expires_in<Q>(&self, hub: &Hub<K, V>, hash: KeyHash, key: &Q) -> Option<Duration>
    where
        Q: Equivalent<K> + ?Sized,
    {
        if self.is_stale(hub) {
            return None;
        }
        let held = self.vault.find(hash.fragment(), key)?;
        let now = hub.lifetimes.now();
        let is_visible = self.hidden(held.slot(), held.tags(), now).is_none();
        is_visible.then(|| until(self.deadlines.of(held.slot()), now))
    }

    /// Notes the hit, and lets go of the entry.
    #[inline]
    fn note_hit(&self, hub: &Hub<K, V>, held: Held<'_, K, V>, now: u64) {
        if hub.notes == Notes::Count && self.deadlines.is_unused() {
            return held.bump();
        }
        if self.note_hit_of(hub, &held, now) == Noted::Filled {
            drop(held);
            self.settle();
        }
    }

    fn note_hit_of(&self, hub: &Hub<K, V>, held: &Held<'_, K, V>, now: u64) -> Noted {
        self.deadlines.touch(held.slot(), now);
        match hub.notes {
            Notes::Nothing => Noted::Kept,
            Notes::Count => {
                held.bump();
                Noted::Kept
            }
            Notes::Order => self.hit_log.push(held.slot()),
        }
    }

    /// Empties a full hit log, unless someone else has the lock.
    #[cold]
    fn settle(&self) {
        if let Some(mut locked) = self.vault.try_lock() {
            self.replay_hits(&mut locked);
        }
    }

    #[inline(never)]
    fn replay_hits(&self, locked: &mut Locked<'_, K, V, Core<K, V>>) {
        self.hit_log.drain(|slot| {
            // It may have left since, and another entry have its place.
            if locked.is_linked(slot) {
                locked.core_mut().policy.on_hit(slot);
            }
        });
    }

    /// Frees what was invalidated, if anything was.
    pub(crate) fn free_hidden(&self, hub: &Hub<K, V>) {
        if self.is_stale(hub) || self.gauge.has_doomed.load(Ordering::SeqCst) {
            self.tidy_up(hub);
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
        self.vault.lock().core().tally
    }

    /// Tells this shard that a tag was invalidated.
    pub(crate) fn doom(&self, tag: Arc<TagState>) {
        self.doomed.lock().push(tag);
        self.gauge.has_doomed.store(true, Ordering::SeqCst);
    }

    /// The next visible entry. Nothing stays locked.
    pub(crate) fn entry_from(
        &self,
        hub: &Hub<K, V>,
        cursor: &mut Cursor,
    ) -> Option<Held<'_, K, V>> {
        self.next_from(hub, cursor, |_, _| false)
    }

    /// As [`entry_from`](Shard::entry_from), and also what has expired but is kept
    /// for when a load fails.
    pub(crate) fn entry_or_fallback_from(
        &self,
        hub: &Hub<K, V>,
        cursor: &mut Cursor,
    ) -> Option<Held<'_, K, V>> {
        self.next_from(hub, cursor, |slot, now| self.is_in_grace(slot, now, hub))
    }

    fn next_from(
        &self,
        hub: &Hub<K, V>,
        cursor: &mut Cursor,
        is_kept: impl Fn(Slot, u64) -> bool,
    ) -> Option<Held<'_, K, V>> {
        if self.is_stale(hub) {
            return None;
        }
        let locked = self.vault.lock();
        // Not before the lock: there may have been no deadlines then.
        let now = self.now(hub);
        while let Some(slot) = locked.next(cursor) {
            match self.hidden(slot, locked.tags(slot), now) {
                None => return Some(locked.hold(slot)),
                Some(Cause::Expired) if is_kept(slot, now) => return Some(locked.hold(slot)),
                Some(_) => {}
            }
        }
        None
    }

    /// All visible entries, from the one that would leave first, each with its
    /// hash.
    pub(crate) fn coldest_first(&self, hub: &Hub<K, V>) -> Vec<(Slot, u32)> {
        let mut visit = self.visit(hub);
        let now = self.now(hub);
        let (core, all) = visit.locked_mut().parts();
        let mut slots = core.policy.coldest_first(&all);
        let locked = visit.locked();
        slots.retain(|slot| self.hidden(*slot, locked.tags(*slot), now).is_none());
        slots.into_iter().map(|slot| (slot, locked.hash(slot))).collect()
    }

    /// The entry at `slot`, if there is still one of that hash, and visible.
    pub(crate) fn entry_at(
        &self,
        hub: &Hub<K, V>,
        (slot, hash): (Slot, u32),
    ) -> Option<Held<'_, K, V>> {
        let locked = self.vault.lock();
        let now = self.now(hub);
        let is_visible = !self.is_stale(hub)
            && locked.is_linked(slot)
            && locked.hash(slot) == hash
            && self.hidden(slot, locked.tags(slot), now).is_none();
        is_visible.then(|| locked.hold(slot))
    }

    /// Checks that everything the lock guards agrees, and returns the usage.
    pub(crate) fn validate(&self, hub: &Hub<K, V>) -> Result<Cost, String> {
        let mut visit = self.visit(hub);
        let (core, all) = visit.locked_mut().parts();
        core.policy.validate(&all)?;
        let mut ordered = core.policy.coldest_first(&all);
        ordered.sort_unstable();
        let (locked, core) = (visit.locked(), visit.core());
        locked.validate()?;
        if !ordered.iter().copied().eq(locked.linked()) {
            return Err("the policy's entries are not the slab's".to_owned());
        }
        core.members.validate(self.home)?;
        self.deadlines.validate(&core.schedule, locked.linked())?;
        let weight: u64 = ordered.iter().map(|slot| u64::from(locked.weight(*slot))).sum();
        if weight != core.weight {
            return Err(format!("entries weigh {weight}, but {} is counted", core.weight));
        }
        let tags_of = |slot: &Slot| locked.tags(*slot).cloned().unwrap_or_default();
        let tags = ordered.iter().map(|slot| tags_of(slot).iter().count()).sum::<usize>();
        let is_member = |slot: &Slot| core.members.is_member(*slot, &tags_of(slot));
        if tags != core.members.memberships() || !ordered.iter().all(is_member) {
            return Err("the tags' entries are not the slab's".to_owned());
        }
        if !core.claims.is_empty() {
            return Err("a claim was left behind".to_owned());
        }
        if core.flights.flying() > 0 {
            return Err("a load was left behind".to_owned());
        }
        Ok(Cost { entries: locked.len() as u64, weight })
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
