//! When each entry of a shard ends.
//!
//! A reader compares one number, the earliest of an entry's deadlines, with the
//! time. What moves a deadline on (reads, under a time to idle) only stores
//! that number anew; the wheel finds out when it meets the entry at its old
//! time. A cache in which no entry has a deadline has no such numbers at all.

use super::wheel::Wheel;
use crate::slot::Slot;
use crate::slot::chunks::Chunks;
use crate::slot::lazily::Lazily;
use std::sync::atomic::{AtomicU64, Ordering};

/// No deadline: a time that never comes. Times are nanoseconds since the cache
/// was made, so this is 584 years on.
pub(crate) const NEVER: u64 = u64::MAX;

/// How long an entry lives from now on, by each of the rules that may apply;
/// the one that ends first counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) ttl: u64,
    pub(crate) tti: u64,
    /// What an [`Expiry`](super::Expiry) said, where there is one: it may say
    /// something else after a read.
    pub(crate) own: Option<u64>,
}

impl Span {
    pub(crate) const ENDLESS: Span = Span { ttl: NEVER, tti: NEVER, own: None };

    fn ends_at(self, now: u64) -> u64 {
        now.saturating_add(self.ttl.min(self.tti).min(self.own.unwrap_or(NEVER)))
    }
}

/// The rules that one entry is under, if reads may move its deadline on.
///
/// A time to idle of 0 means that there are none: such an entry has ended
/// before anybody could read it, so it need not be told from one without rules.
#[derive(Default)]
struct Rules {
    ttl_at: AtomicU64,
    tti: AtomicU64,
    own_at: AtomicU64,
}

/// An entry's earliest deadline. Starts as "never".
struct Earliest(AtomicU64);

impl Default for Earliest {
    fn default() -> Self {
        Earliest(AtomicU64::new(NEVER))
    }
}

#[derive(Default)]
struct Numbers {
    earliest: Chunks<Earliest>,
    /// Only for entries that reads may move on.
    rules: Chunks<Rules>,
}

/// The deadlines of one shard, as readers see them. Absent until an entry has
/// one.
#[derive(Default)]
pub(crate) struct Deadlines(Lazily<Numbers>);

/// The deadlines of one shard, as they have to be worked off. Under the lock.
#[derive(Default)]
pub(crate) struct Schedule(Option<Box<Wheel>>);

impl Deadlines {
    /// Whether no entry ever had a deadline: then there is no need to ask what
    /// time it is.
    #[inline]
    pub(crate) fn is_unused(&self) -> bool {
        self.0.get().is_none()
    }

    /// When the entry at `slot` ends.
    #[inline]
    pub(crate) fn of(&self, slot: Slot) -> u64 {
        self.0.get().map_or(NEVER, |numbers| numbers.of(slot))
    }

    /// Starts the life of a new value at `slot`, before readers can find it.
    pub(crate) fn begin(&self, schedule: &mut Schedule, slot: Slot, span: Span, now: u64) {
        if span == Span::ENDLESS && self.is_unused() {
            return;
        }
        let numbers = self.0.get_or_make();
        numbers.set_rules(slot, span, now);
        numbers.set(slot, span.ends_at(now));
        schedule.set(slot, span.ends_at(now), now);
    }

    /// Gives the entry at `slot` another time to live, from now on.
    pub(crate) fn set_ttl(&self, schedule: &mut Schedule, slot: Slot, ttl: u64, now: u64) {
        let numbers = self.0.get_or_make();
        let span = match numbers.rules.get(slot).map(|rules| rules.tti.load(Ordering::Relaxed)) {
            None | Some(0) => Span { ttl, ..Span::ENDLESS },
            Some(tti) => Span { ttl, tti, own: Some(NEVER) },
        };
        self.begin(schedule, slot, span, now);
    }

    /// Whether the entry at `slot` has not reached its deadline; if so, notes a
    /// use. Called by readers without a lock.
    #[inline]
    pub(crate) fn outlive(&self, slot: Slot, now: u64) -> bool {
        let Some(numbers) = self.0.get() else { return true };
        let is_alive = numbers.of(slot) > now;
        if is_alive {
            numbers.touch(slot, now);
        }
        is_alive
    }

    /// Notes a use of the entry at `slot`. Called by readers without a lock.
    #[inline]
    pub(crate) fn touch(&self, slot: Slot, now: u64) {
        if let Some(numbers) = self.0.get() {
            numbers.touch(slot, now);
        }
    }

    /// Lets the entry at `slot` end `own` from now, as far as its `Expiry` is
    /// concerned. Called by readers without a lock. Whether it ends earlier
    /// than the schedule expects.
    pub(crate) fn set_own(&self, slot: Slot, own: u64, now: u64) -> bool {
        let Some(numbers) = self.0.get() else { return false };
        let before = numbers.of(slot);
        numbers.rules.of(slot).own_at.store(now.saturating_add(own), Ordering::Relaxed);
        numbers.touch(slot, now);
        numbers.of(slot) < before
    }

    /// Tells the schedule of a deadline that readers have brought forward.
    pub(crate) fn reschedule(&self, schedule: &mut Schedule, slot: Slot, now: u64) {
        schedule.set(slot, self.of(slot), now);
    }

    /// The entry at `from` is about to be at `to`, and no reader can find it
    /// meanwhile.
    pub(crate) fn copy(&self, from: Slot, to: Slot) {
        if let Some(numbers) = self.0.get() {
            numbers.copy(from, to);
        }
    }

    /// Takes out of the schedule one entry that has ended; see
    /// [`Wheel::pop_due`].
    pub(crate) fn pop_due(
        &self,
        schedule: &mut Schedule,
        now: u64,
        steps: &mut usize,
    ) -> Option<Slot> {
        schedule.0.as_mut()?.pop_due(now, steps, |slot| self.of(slot))
    }

    /// Checks that just the entries with a deadline are in the wheel.
    pub(crate) fn validate(
        &self,
        schedule: &Schedule,
        linked: impl Iterator<Item = Slot>,
    ) -> Result<(), String> {
        let Some(wheel) = &schedule.0 else { return Ok(()) };
        wheel.validate()?;
        let mut waiting = 0;
        for slot in linked {
            waiting += usize::from(wheel.contains(slot));
            if self.of(slot) != NEVER && !wheel.contains(slot) {
                return Err(format!("{slot:?} has a deadline but is not in the wheel"));
            }
        }
        match waiting == wheel.len() {
            true => Ok(()),
            false => Err(format!("the wheel holds {} slots, {waiting} linked", wheel.len())),
        }
    }
}

impl Schedule {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn set(&mut self, slot: Slot, deadline: u64, now: u64) {
        match (deadline, &mut self.0) {
            (NEVER, None) => {}
            (NEVER, Some(wheel)) => wheel.cancel(slot),
            (_, wheel) => {
                wheel.get_or_insert_with(|| Box::new(Wheel::new(now))).schedule(slot, deadline);
            }
        }
    }

    /// The entry at `from` is at `to` now.
    pub(crate) fn follow(&mut self, from: Slot, to: Slot) {
        if let Some(wheel) = &mut self.0 {
            wheel.follow(from, to);
        }
    }

    /// Gives back the memory for slots from `end` on, where no entry is.
    pub(crate) fn cut(&mut self, end: usize) {
        if let Some(wheel) = &mut self.0 {
            wheel.cut(end);
        }
    }

    /// The entry at `slot` has left. What readers see of its deadline stays:
    /// one that has found it before must not take it for endless.
    #[inline]
    pub(crate) fn cancel(&mut self, slot: Slot) {
        if let Some(wheel) = &mut self.0 {
            wheel.cancel(slot);
        }
    }
}

impl Numbers {
    #[inline]
    fn of(&self, slot: Slot) -> u64 {
        self.earliest.get(slot).map_or(NEVER, |earliest| earliest.0.load(Ordering::Relaxed))
    }

    fn set_rules(&self, slot: Slot, span: Span, now: u64) {
        let store = |number: &AtomicU64, value| number.store(value, Ordering::Relaxed);
        if span.tti == NEVER && span.own.is_none() {
            if let Some(rules) = self.rules.get(slot) {
                store(&rules.tti, 0);
            }
            return;
        }
        let rules = self.rules.of(slot);
        store(&rules.ttl_at, now.saturating_add(span.ttl));
        store(&rules.tti, span.tti);
        store(&rules.own_at, now.saturating_add(span.own.unwrap_or(NEVER)));
    }

    fn set(&self, slot: Slot, earliest: u64) {
        self.earliest.of(slot).0.store(earliest, Ordering::Relaxed);
    }

    fn copy(&self, from: Slot, to: Slot) {
        if let Some(earliest) = self.earliest.get(from) {
            self.set(to, earliest.0.load(Ordering::Relaxed));
        }
        match (self.rules.get(from), self.rules.get(to)) {
            (None, None) => {}
            (None, Some(to)) => to.tti.store(0, Ordering::Relaxed),
            (Some(from), _) => {
                let to = self.rules.of(to);
                let pairs =
                    [(&from.ttl_at, &to.ttl_at), (&from.tti, &to.tti), (&from.own_at, &to.own_at)];
                for (from, to) in pairs {
                    to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
                }
            }
        }
    }

    #[inline]
    fn touch(&self, slot: Slot, now: u64) {
        let Some(rules) = self.rules.get(slot) else { return };
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        if load(&rules.tti) == 0 {
            return;
        }
        let idle_at = now.saturating_add(load(&rules.tti));
        let earliest = idle_at.min(load(&rules.ttl_at)).min(load(&rules.own_at));
        // The clock moves in steps, so in most cases nothing has changed, and
        // readers do not write what others read.
        if self.of(slot) != earliest {
            self.earliest.of(slot).0.store(earliest, Ordering::Relaxed);
        }
    }
}
