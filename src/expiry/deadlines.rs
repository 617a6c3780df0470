//! When each entry of a shard ends.
//!
//! A reader compares one number with the time: a stamp of four bytes, or, for an
//! entry with rules of its own, its deadline to the nanosecond. What moves a
//! deadline on (reads, under a time to idle) only stores that number anew; the
//! schedule finds out when the old time comes. A cache in which no entry has a
//! deadline has no such numbers at all.

use super::Lifetimes;
use super::bounds::Bounds;
use super::exact::Exact;
use super::stamps::{Scale, Stamps, State};
use crate::slot::Slot;
use crate::slot::chunks::Shorten;
use crate::slot::lazily::Lazily;

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

    pub(super) fn ends_at(self, now: u64) -> u64 {
        now.saturating_add(self.ttl.min(self.tti).min(self.own.unwrap_or(NEVER)))
    }
}

struct Numbers {
    stamps: Stamps,
    /// Of entries that have no stamp.
    exact: Lazily<Exact>,
}

/// The deadlines of one shard, as readers see them. Absent until an entry has
/// one.
#[derive(Default)]
pub(crate) struct Deadlines(Lazily<Numbers>);

/// The deadlines of one shard, as they have to be worked off. Under the lock.
#[derive(Default)]
pub(crate) struct Schedule(Option<Box<Bounds>>);

impl Deadlines {
    /// In use from the beginning if every entry has a deadline by default.
    pub(crate) fn new<K, V>(lifetimes: &Lifetimes<K, V>) -> Self {
        let deadlines = Deadlines::default();
        if !lifetimes.is_endless() {
            deadlines.numbers(lifetimes, lifetimes.now());
        }
        deadlines
    }

    fn numbers<K, V>(&self, lifetimes: &Lifetimes<K, V>, now: u64) -> &Numbers {
        self.0.get_or_make_with(|| Numbers::new(lifetimes.scale(), now))
    }

    /// Whether no entry ever had a deadline, nor will have one unless it asks for
    /// it: then there is no need to ask what time it is.
    #[inline]
    pub(crate) fn is_unused(&self) -> bool {
        self.0.get().is_none()
    }

    /// When the entry at `slot` ends.
    pub(crate) fn of(&self, slot: Slot) -> u64 {
        self.0.get().map_or(NEVER, |numbers| numbers.end(slot))
    }

    /// Whether the entry at `slot` has reached its deadline.
    #[inline]
    pub(crate) fn is_over(&self, slot: Slot, now: u64) -> bool {
        let Some(numbers) = self.0.get() else { return false };
        match numbers.stamps.state(slot, now) {
            State::Alive => false,
            State::Over => true,
            State::Elsewhere => numbers.exact_end(slot) <= now,
        }
    }

    /// Starts the life of a new value at `slot`, before readers can find it.
    pub(crate) fn begin<K, V>(
        &self,
        schedule: &mut Schedule,
        slot: Slot,
        span: Span,
        lifetimes: &Lifetimes<K, V>,
    ) {
        if span != Span::ENDLESS || !self.is_unused() {
            self.begin_at(lifetimes.now(), schedule, slot, span, lifetimes);
        }
    }

    /// The same by a writer who knows already what time it is.
    pub(crate) fn begin_at<K, V>(
        &self,
        now: u64,
        schedule: &mut Schedule,
        slot: Slot,
        span: Span,
        lifetimes: &Lifetimes<K, V>,
    ) {
        let numbers = self.numbers(lifetimes, now);
        // What ends as it begins has ended long ago: so it has also for a reader
        // whose time is from before it began.
        let is_nothing = span.ends_at(0) == 0 && lifetimes.grace == 0;
        numbers.begin(slot, span, if is_nothing { 0 } else { now });
        schedule.set(slot, numbers.end(slot));
    }

    /// Gives the entry at `slot` another time to live, from now on.
    pub(crate) fn set_ttl<K, V>(
        &self,
        schedule: &mut Schedule,
        slot: Slot,
        ttl: u64,
        lifetimes: &Lifetimes<K, V>,
    ) {
        let tti = self.0.get().map_or(NEVER, |numbers| numbers.tti(slot));
        // What an `Expiry` said before does not count any longer.
        let own = lifetimes.expiry.is_some().then_some(NEVER);
        self.begin(schedule, slot, Span { ttl, tti, own }, lifetimes);
    }

    /// Whether the entry at `slot` has not reached its deadline; if so, notes a
    /// use. Not if that takes a visit first: see
    /// [`is_cramped`](Deadlines::is_cramped). Called by readers without a lock.
    #[inline]
    pub(crate) fn outlive(&self, slot: Slot, now: u64) -> bool {
        let Some(numbers) = self.0.get() else { return true };
        match numbers.stamps.state(slot, now) {
            State::Alive => numbers.stamps.touch(slot, now),
            State::Over => false,
            State::Elsewhere => numbers.exact_outlive(slot, now),
        }
    }

    /// As [`outlive`](Deadlines::outlive), but only if that is quickly done: what
    /// this denies may be so. Free of calls.
    #[inline(always)]
    pub(crate) fn outlive_plainly(&self, slot: Slot, now: u64) -> bool {
        let Some(numbers) = self.0.get() else { return true };
        numbers.stamps.lasts(slot, now)
            || (numbers.stamps.is_elsewhere(slot) && numbers.exact_outlive(slot, now))
    }

    /// Notes a use of the entry at `slot`. Called by readers without a lock.
    #[inline]
    pub(crate) fn touch(&self, slot: Slot, now: u64) {
        if let Some(numbers) = self.0.get() {
            match numbers.stamps.state(slot, now) {
                State::Elsewhere => numbers.exact_touch(slot, now),
                State::Alive | State::Over => _ = numbers.stamps.touch(slot, now),
            }
        }
    }

    /// Whether uses cannot be noted before somebody has visited the shard, which
    /// nobody did for long.
    #[inline]
    pub(crate) fn is_cramped(&self, now: impl FnOnce() -> u64) -> bool {
        self.0.get().is_some_and(|numbers| numbers.stamps.is_cramped(now))
    }

    /// Makes room for later times, if it is time. Under the shard's lock.
    pub(crate) fn move_base(&self, now: u64) {
        if let Some(numbers) = self.0.get() {
            numbers.stamps.move_base(now);
        }
    }

    /// Gives back the memory of deadlines at slots that are not used any more.
    pub(crate) fn cut(&self, slots: &impl Shorten) {
        if let Some(numbers) = self.0.get() {
            numbers.stamps.cut(slots);
            numbers.exact.get().into_iter().for_each(|exact| exact.cut(slots));
        }
    }

    /// Lets the entry at `slot` end `own` from now, as far as its `Expiry` is
    /// concerned. Called by readers without a lock. Whether it ends earlier
    /// than the schedule expects.
    pub(crate) fn set_own(&self, slot: Slot, own: u64, now: u64) -> bool {
        let exact = self.0.get().and_then(|numbers| numbers.exact.get());
        exact.is_some_and(|exact| exact.set_own(slot, own, now))
    }

    /// Tells the schedule of a deadline that readers have brought forward.
    pub(crate) fn reschedule(&self, schedule: &mut Schedule, slot: Slot) {
        schedule.set(slot, self.of(slot));
    }

    /// The entry at `from` is about to be at `to`, and no reader can find it
    /// meanwhile.
    pub(crate) fn copy(&self, from: Slot, to: Slot) {
        if let Some(numbers) = self.0.get() {
            numbers.copy(from, to);
        }
    }

    /// Takes out of the schedule one entry that has ended; see
    /// [`Bounds::pop_due`].
    pub(crate) fn pop_due(
        &self,
        schedule: &mut Schedule,
        now: u64,
        steps: &mut usize,
    ) -> Option<Slot> {
        let (bounds, numbers) = (schedule.0.as_mut()?, self.0.get()?);
        numbers.stamps.move_base(now);
        bounds.pop_due(now, steps, |slot| numbers.end(slot))
    }

    /// Checks that just the entries with a deadline are in the schedule.
    pub(crate) fn validate(
        &self,
        schedule: &Schedule,
        linked: impl Iterator<Item = Slot>,
    ) -> Result<(), String> {
        let Some(bounds) = &schedule.0 else { return Ok(()) };
        bounds.validate(|slot| self.of(slot))?;
        let mut waiting = 0;
        for slot in linked {
            waiting += usize::from(bounds.contains(slot));
            if self.of(slot) != NEVER && !bounds.contains(slot) {
                return Err(format!("{slot:?} has a deadline but is not in the schedule"));
            }
        }
        match waiting == bounds.len() {
            true => Ok(()),
            false => Err(format!("{} slots are scheduled, {waiting} linked", bounds.len())),
        }
    }
}

impl Schedule {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether entries may have ended by `now`, and wait to be taken out.
    #[inline]
    pub(crate) fn is_due(&self, now: u64) -> bool {
        self.0.as_ref().is_some_and(|bounds| bounds.is_due(now))
    }

    fn set(&mut self, slot: Slot, deadline: u64) {
        match deadline {
            NEVER => self.cancel(slot),
            _ => self.0.get_or_insert_default().schedule(slot, deadline),
        }
    }

    /// The entry at `from` is at `to` now.
    pub(crate) fn follow(&mut self, from: Slot, to: Slot) {
        if let Some(bounds) = &mut self.0 {
            bounds.follow(from, to);
        }
    }

    /// Gives back the memory for slots from `end` on, where no entry is.
    pub(crate) fn cut(&mut self, end: usize) {
        if let Some(bounds) = &mut self.0 {
            bounds.cut(end);
        }
    }

    /// The entry at `slot` has left. What readers see of its deadline stays:
    /// one that has found it before must not take it for endless.
    #[inline]
    pub(crate) fn cancel(&mut self, slot: Slot) {
        if let Some(bounds) = &mut self.0 {
            bounds.cancel(slot);
        }
    }
}

impl Numbers {
    fn new(scale: Scale, now: u64) -> Self {
        Numbers { stamps: Stamps::new(scale, now), exact: Lazily::default() }
    }

    fn begin(&self, slot: Slot, span: Span, now: u64) {
        if self.stamps.begin(slot, span, now) {
            return;
        }
        self.exact.get_or_make().begin(slot, span, now);
        // Now that it can be found there.
        self.stamps.clear(slot);
    }

    fn end(&self, slot: Slot) -> u64 {
        self.stamps.end(slot).unwrap_or_else(|| self.exact_end(slot))
    }

    fn tti(&self, slot: Slot) -> u64 {
        let elsewhere = || self.exact.get().map_or(NEVER, |exact| exact.tti(slot));
        self.stamps.tti(slot).unwrap_or_else(elsewhere)
    }

    fn copy(&self, from: Slot, to: Slot) {
        if let Some(exact) = self.exact.get() {
            exact.copy(from, to);
        }
        self.stamps.copy(from, to);
    }

    #[inline]
    fn exact_end(&self, slot: Slot) -> u64 {
        self.exact.get().map_or(NEVER, |exact| exact.end(slot))
    }

    #[inline]
    fn exact_outlive(&self, slot: Slot, now: u64) -> bool {
        let is_alive = self.exact_end(slot) > now;
        if is_alive {
            self.exact_touch(slot, now);
        }
        is_alive
    }

    #[inline]
    fn exact_touch(&self, slot: Slot, now: u64) {
        if let Some(exact) = self.exact.get() {
            exact.touch(slot, now);
        }
    }
}

#[cfg(all(test, not(larder_loom)))]
mod tests {
    use super::*;
    use crate::ManualClock;
    use std::time::Duration;

    fn lifetimes(ttl: Option<Duration>, grace: u64) -> (Lifetimes<(), ()>, ManualClock) {
        let clock = ManualClock::new();
        let mut lifetimes = Lifetimes::new((ttl, None), 0.0, None, Some(Box::new(clock.clone())));
        lifetimes.grace = grace;
        (lifetimes, clock)
    }

    #[test]
    fn who_knows_only_an_earlier_time_does_not_see_what_ended_as_it_began() {
        for ttl in [None, Some(Duration::ZERO), Some(Duration::from_secs(60))] {
            let (lifetimes, clock) = lifetimes(ttl, 0);
            let (deadlines, mut schedule) = (Deadlines::default(), Schedule::default());
            clock.advance(Duration::from_secs(9));
            let slots = [0, 1].map(Slot::from_index);
            for (slot, life) in slots.into_iter().zip([0, 1]) {
                let span = Span { ttl: life, ..Span::ENDLESS };
                deadlines.begin(&mut schedule, slot, span, &lifetimes);
            }
            for now in [0, 1_000_000_000, 9_000_000_000] {
                let alive = slots.map(|slot| deadlines.outlive_plainly(slot, now));
                assert_eq!(alive, [false, true], "{ttl:?} at {now}");
            }
        }
    }

    #[test]
    fn what_ended_as_it_began_ended_then_where_it_is_kept_for_a_while() {
        let (lifetimes, clock) = lifetimes(None, 5);
        let (deadlines, mut schedule) = (Deadlines::default(), Schedule::default());
        clock.advance(Duration::from_secs(9));
        let span = Span { ttl: 0, ..Span::ENDLESS };
        deadlines.begin(&mut schedule, Slot::from_index(0), span, &lifetimes);
        assert_eq!(deadlines.of(Slot::from_index(0)), 9_000_000_000);
    }
}
