//! Deadlines in four bytes, for entries that live by the cache's own rules.
//!
//! Time is counted in ticks, so long that the cache's longest lifetime has fewer
//! than 2^30 of them. A stamp is the tick at which its entry ends, modulo 2^32.
//! Which of all those ticks is meant says the *base*, a tick that no entry which
//! is still to end comes before:
//!
//! ```text
//!        base                 now           the last stamp there is
//!     ────┼────────────────────┼──────────────────┼─────────────────►
//!         │  these have ended  │  these are alive │
//!         └───────────── less than 2^32 ──────────┘
//! ```
//!
//! Before there is no room to the right, a writer moves the base up to now.
//! What ended before that is marked as such; what lives keeps its stamp. That is
//! a walk over all stamps, 16 to a cache line, once in two lifetimes: by then all
//! of what the last walk has seen has ended or was prolonged.
//!
//! A lifetime that ticks would not do justice to has no stamp: see `exact.rs`.

use super::{NEVER, Span};
use crate::slot::Slot;
use crate::slot::chunks::{Chunks, Shorten};
use crate::sync::modelled::atomic::{AtomicU32, AtomicU64, Ordering};

/// A lifetime has fewer ticks.
const LIFE_BITS: u32 = 30;

/// And no fewer than this, unless ticks are nanoseconds: it ends a millionth
/// of its length early at the most.
const LIFE_MIN: u64 = 1 << 20;

/// When a writer moves the base up: so many ticks after it.
const BASE_AGE: u64 = 1 << 31;

/// Other stamps are ticks.
const ELSEWHERE: u32 = u32::MAX;
const OVER: u32 = u32::MAX - 1;

/// Later stamps than so many ticks after the base would mean earlier ones.
const REACH: u64 = OVER as u64;

/// A use is not noted if it would prolong a life by less than this part of the
/// time to idle.
const NEGLIGIBLE_BITS: u32 = 10;

/// How long a tick is, and which lives have a stamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scale {
    tti: u64,
    tick_bits: u32,
    /// Longer lives have none.
    life_max: u64,
}

impl Scale {
    /// No life has a stamp.
    pub(super) const NONE: Scale = Scale { tti: NEVER, tick_bits: 0, life_max: 0 };

    /// For a cache with these lifetimes, in nanoseconds.
    pub(super) fn new(ttl: u64, tti: u64) -> Self {
        let finite = [ttl, tti].into_iter().filter(|life| *life != NEVER);
        let Some(longest) = finite.max() else { return Scale::NONE };
        let tick_bits = (u64::BITS - longest.leading_zeros()).saturating_sub(LIFE_BITS);
        Scale { tti, tick_bits, life_max: longest }
    }

    #[inline]
    fn tick(self, nanos: u64) -> u64 {
        nanos >> self.tick_bits
    }

    /// A use is not noted if it would prolong a life by no more ticks.
    fn negligible(self) -> u64 {
        self.tick(self.tti) >> NEGLIGIBLE_BITS
    }

    /// Whether a stamp does justice to a life that begins at `now`.
    fn fits(self, span: Span, now: u64) -> bool {
        let life = span.ttl.min(span.tti);
        let is_known = |life| life == NEVER || life <= self.life_max;
        self.life_max > 0
            && span.own.is_none()
            && span.tti == self.tti
            && is_known(span.ttl)
            && life != NEVER
            && (self.tick_bits == 0 || self.tick(life) >= LIFE_MIN)
            && now.checked_add(self.life_max).is_some_and(|end| end != NEVER)
    }
}

struct Stamp(AtomicU32);

impl Default for Stamp {
    fn default() -> Self {
        Stamp(AtomicU32::new(ELSEWHERE))
    }
}

impl Stamp {
    fn set(&self, stamp: u32) {
        if cfg!(larder_loom) {
            // loom knows no order of one thread's store and another's swap.
            self.0.swap(stamp, Ordering::AcqRel);
        } else {
            self.0.store(stamp, Ordering::Release);
        }
    }
}

/// The stamp of an entry that ends at `tick`, give or take two ticks: it never
/// ends later.
fn stamp_at(tick: u64) -> u32 {
    (tick as u32).min(OVER - 1)
}

/// What a stamp says of its entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Alive,
    Over,
    /// The entry has no stamp.
    Elsewhere,
}

/// The stamps of one shard.
pub(super) struct Stamps {
    scale: Scale,
    /// A life that has so many ticks left need not be prolonged by a use: all
    /// there are, less what is negligible. One tick if none is ever prolonged.
    plenty: u64,
    base: AtomicU64,
    ends: Chunks<Stamp>,
    /// When the time to live ends, if an entry has one besides a time to idle.
    ttl_ends: Chunks<Stamp>,
}

/// A stamp, and the base that it goes by.
#[derive(Clone, Copy)]
struct Reading {
    stamp: u32,
    base: u64,
}

impl Reading {
    #[inline]
    fn is_ahead_of(self, tick: u64) -> bool {
        self.is_ahead_by(1, tick)
    }

    /// Whether its entry ends `ticks` after `tick`, or later. A reader whose
    /// time is from before the base has been held up; all that was not marked
    /// ends later.
    #[inline]
    fn is_ahead_by(self, ticks: u64, tick: u64) -> bool {
        // Of a stamp that goes by another base, the sum may be anything.
        let end = self.base.wrapping_add(self.ticks_of(self.stamp));
        self.stamp < OVER && end.saturating_sub(tick) >= ticks
    }

    /// From the base to `stamp`.
    #[inline]
    fn ticks_of(self, stamp: u32) -> u64 {
        u64::from(stamp.wrapping_sub(self.base as u32))
    }
}

impl Stamps {
    pub(super) fn new(scale: Scale, now: u64) -> Self {
        let base = AtomicU64::new(scale.tick(now));
        let plenty = match scale.tti {
            NEVER => 1,
            tti => (scale.tick(tti) - scale.negligible()).max(1),
        };
        Stamps { scale, plenty, base, ends: Chunks::default(), ttl_ends: Chunks::default() }
    }

    /// Whether the entry at `slot` is alive at `now`, and a use would prolong its
    /// life by next to nothing. Called by readers without a lock.
    #[inline(always)]
    pub(super) fn lasts(&self, slot: Slot, now: u64) -> bool {
        let tick = self.scale.tick(now);
        self.ends.get(slot).is_some_and(|stamp| {
            let reading = self.first_look(stamp);
            reading.is_ahead_by(self.plenty, tick)
                // Or it is as long as its time to live.
                || (reading.is_ahead_of(tick) && reading.stamp == self.ttl_end(slot))
        })
    }

    pub(super) fn cut(&self, slots: &impl Shorten) {
        slots.shorten(&self.ends);
        slots.shorten(&self.ttl_ends);
    }

    /// Whether the entry at `slot` has no stamp.
    #[inline]
    pub(super) fn is_elsewhere(&self, slot: Slot) -> bool {
        self.ends.get(slot).is_none_or(|stamp| stamp.0.load(Ordering::Acquire) == ELSEWHERE)
    }

    /// Whether the entry at `slot` is alive at `now`. Called by readers without
    /// a lock.
    #[inline]
    pub(super) fn state(&self, slot: Slot, now: u64) -> State {
        match self.ends.get(slot) {
            Some(stamp) => self.state_of(stamp, now),
            None => State::Elsewhere,
        }
    }

    #[inline]
    fn state_of(&self, stamp: &Stamp, now: u64) -> State {
        match self.first_look(stamp).is_ahead_of(self.scale.tick(now)) {
            true => State::Alive,
            false => self.state_on_second_look(stamp, now),
        }
    }

    /// If that is ahead of now, so is its entry.
    #[inline]
    fn first_look(&self, stamp: &Stamp) -> Reading {
        // Who has seen a base sees the marks that were made before it.
        let base = self.base.load(Ordering::Acquire);
        Reading { base, stamp: stamp.0.load(Ordering::Acquire) }
    }

    /// The base may have been moved up between the two looks, and a stamp been
    /// given that goes by the new one.
    #[cold]
    fn state_on_second_look(&self, stamp: &Stamp, now: u64) -> State {
        let reading = self.read(stamp);
        match reading.stamp {
            ELSEWHERE => State::Elsewhere,
            _ if reading.is_ahead_of(self.scale.tick(now)) => State::Alive,
            _ => State::Over,
        }
    }

    fn read(&self, stamp: &Stamp) -> Reading {
        loop {
            let base = self.base.load(Ordering::Acquire);
            let stamp = stamp.0.load(Ordering::Acquire);
            if self.base.load(Ordering::Relaxed) == base {
                return Reading { stamp, base };
            }
        }
    }

    /// When the entry at `slot` ends, in nanoseconds, if it has a stamp.
    pub(super) fn end(&self, slot: Slot) -> Option<u64> {
        let reading = self.read(self.ends.get(slot)?);
        match reading.stamp {
            ELSEWHERE => None,
            // Before the base, that is.
            OVER => Some(reading.base << self.scale.tick_bits),
            stamp => Some((reading.base + reading.ticks_of(stamp)) << self.scale.tick_bits),
        }
    }

    /// The time to idle of the entry at `slot`, if it has a stamp.
    pub(super) fn tti(&self, slot: Slot) -> Option<u64> {
        self.end(slot).map(|_| self.scale.tti)
    }

    /// Starts a life at `slot`, if a stamp does justice to it. Under the shard's
    /// lock.
    pub(super) fn begin(&self, slot: Slot, span: Span, now: u64) -> bool {
        if !self.scale.fits(span, now) {
            return false;
        }
        self.move_base(now);
        let tick = |life: u64| self.scale.tick(now.saturating_add(life));
        if self.scale.tti != NEVER {
            self.begin_ttl(slot, (span.ttl != NEVER).then(|| tick(span.ttl)));
        }
        let end = tick(span.ttl.min(span.tti));
        let stamp = match end <= self.base.load(Ordering::Relaxed) {
            true => OVER,
            false => stamp_at(end),
        };
        self.ends.of(slot).set(stamp);
        true
    }

    fn begin_ttl(&self, slot: Slot, end: Option<u64>) {
        match (end, self.ttl_ends.get(slot)) {
            (Some(end), _) => self.ttl_ends.of(slot).set(stamp_at(end)),
            (None, Some(stamp)) => stamp.set(ELSEWHERE),
            (None, None) => {}
        }
    }

    /// The entry at `slot` has no stamp, but a deadline elsewhere. Under the
    /// shard's lock.
    pub(super) fn clear(&self, slot: Slot) {
        if let Some(stamp) = self.ends.get(slot) {
            stamp.set(ELSEWHERE);
        }
    }

    /// What is said of `from` is said of `to` as well. Under the shard's lock, while
    /// no reader can find the entry.
    pub(super) fn copy(&self, from: Slot, to: Slot) {
        for stamps in [&self.ttl_ends, &self.ends] {
            match (stamps.get(from), stamps.get(to)) {
                (None, None) => {}
                (None, Some(to)) => to.0.store(ELSEWHERE, Ordering::Release),
                (Some(from), _) => {
                    let stamp = from.0.load(Ordering::Acquire);
                    stamps.of(to).0.store(stamp, Ordering::Release);
                }
            }
        }
    }

    /// Notes a use of the entry at `slot`, if it has a stamp and is alive. Called
    /// by readers without a lock. Returns whether there was room for that; see
    /// [`is_cramped`](Stamps::is_cramped).
    #[inline]
    pub(super) fn touch(&self, slot: Slot, now: u64) -> bool {
        self.scale.tti == NEVER || self.prolong(slot, now)
    }

    fn prolong(&self, slot: Slot, now: u64) -> bool {
        let Some(stamp) = self.ends.get(slot) else { return true };
        let idle_at = self.scale.tick(now.saturating_add(self.scale.tti));
        let negligible = self.scale.negligible();
        loop {
            let reading = self.read(stamp);
            if !reading.is_ahead_of(self.scale.tick(now)) {
                return true;
            }
            // A use that was held up for so long prolongs nothing.
            let Some(idle) = idle_at.checked_sub(reading.base) else { return true };
            let ttl_end = self.ttl_end(slot);
            let ttl = if ttl_end == ELSEWHERE { u64::MAX } else { reading.ticks_of(ttl_end) };
            let end = idle.min(ttl);
            if end <= reading.ticks_of(reading.stamp) + negligible {
                return true;
            }
            if end >= REACH {
                return false;
            }
            // Not if a writer was here meanwhile: what it says counts.
            let (was, is) = (reading.stamp, stamp_at(reading.base + end));
            let changed =
                stamp.0.compare_exchange(was, is, Ordering::AcqRel, Ordering::Relaxed).is_ok();
            if changed && self.ttl_end(slot) == ttl_end {
                return true;
            }
        }
    }

    #[inline]
    fn ttl_end(&self, slot: Slot) -> u32 {
        self.ttl_ends.get(slot).map_or(ELSEWHERE, |stamp| stamp.0.load(Ordering::Acquire))
    }

    /// Whether uses cannot be noted before a writer has moved the base up: there
    /// was none for two lifetimes.
    #[inline]
    pub(super) fn is_cramped(&self, now: impl FnOnce() -> u64) -> bool {
        self.scale.tti != NEVER && {
            let age = self.scale.tick(now()).saturating_sub(self.base.load(Ordering::Relaxed));
            age >= REACH - (1 << LIFE_BITS)
        }
    }

    /// Moves the base up to `now`, if it is time. Under the shard's lock.
    #[inline]
    pub(super) fn move_base(&self, now: u64) {
        let (tick, base) = (self.scale.tick(now), self.base.load(Ordering::Relaxed));
        if tick.saturating_sub(base) >= BASE_AGE {
            self.move_base_to(tick, base);
        }
    }

    #[cold]
    fn move_base_to(&self, tick: u64, base: u64) {
        for stamp in self.ends.all() {
            let mut reading = Reading { stamp: stamp.0.load(Ordering::Relaxed), base };
            while reading.stamp < OVER && !reading.is_ahead_of(tick) {
                let marked = stamp.0.compare_exchange(
                    reading.stamp,
                    OVER,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
                match marked {
                    Ok(_) => break,
                    // A reader has just prolonged it.
                    Err(stamp) => reading.stamp = stamp,
                }
            }
        }
        self.base.store(tick, Ordering::Release);
    }
}

#[cfg(all(test, not(larder_loom)))]
mod tests {
    use super::super::random::Random;
    use super::*;

    fn slot(index: u64) -> Slot {
        Slot::from_index(index as usize)
    }

    fn span(ttl: u64, tti: u64) -> Span {
        Span { ttl, tti, own: None }
    }

    /// What is known of an entry, to the nanosecond.
    #[derive(Clone, Copy)]
    struct Life {
        ttl_at: u64,
        end: u64,
    }

    /// Lives under `ttl` and `tti` over thousands of lifetimes, next to their
    /// exact deadlines.
    fn agree_with_exact_deadlines(ttl: u64, tti: u64) {
        let (stamps, life) = (Stamps::new(Scale::new(ttl, tti), 0), ttl.min(tti));
        let mut random = Random(ttl ^ tti.rotate_left(9));
        // By so much a life may be shorter than it was said to be.
        let early = life / 1_000_000 + if tti == NEVER { 0 } else { tti >> 10 };
        let (mut lives, mut now) = ([None::<Life>; 40], 0);
        for _ in 0..200_000 {
            let index = random.below(40);
            match random.below(8) {
                0 | 1 => {
                    let ttl = if ttl == NEVER { ttl } else { ttl - random.below(ttl / 2) };
                    assert!(stamps.begin(slot(index), span(ttl, tti), now));
                    let ttl_at = now.saturating_add(ttl);
                    let end = ttl_at.min(now.saturating_add(tti));
                    lives[index as usize] = Some(Life { ttl_at, end });
                }
                2..5 => {
                    let alive = lives[index as usize].as_mut().filter(|life| life.end > now);
                    if let Some(life) =
                        alive.filter(|_| stamps.state(slot(index), now) == State::Alive)
                    {
                        assert!(stamps.touch(slot(index), now));
                        life.end = life.ttl_at.min(now.saturating_add(tti));
                    }
                }
                5 => now += random.below(life / 8),
                6 if random.below(20) == 0 => now += random.below(5 * life),
                _ => {
                    stamps.move_base(now);
                    for (index, life) in lives.iter().enumerate() {
                        let state = stamps.state(slot(index as u64), now);
                        if stamps.lasts(slot(index as u64), now) {
                            assert_eq!(state, State::Alive);
                            let end = stamps.end(slot(index as u64));
                            assert!(stamps.touch(slot(index as u64), now));
                            assert!(stamps.end(slot(index as u64)) <= end.map(|end| end + early));
                        }
                        match life {
                            Some(life) if life.end <= now => assert_eq!(state, State::Over),
                            Some(life) if life.end - early > now => {
                                assert_eq!(state, State::Alive);
                                let end = stamps.end(slot(index as u64)).unwrap();
                                assert!((life.end - early..=life.end).contains(&end));
                            }
                            Some(_) => assert_ne!(state, State::Elsewhere),
                            None => assert_eq!(state, State::Elsewhere),
                        }
                    }
                }
            }
            if now > u64::MAX / 8 {
                break;
            }
        }
    }

    #[test]
    fn stamps_agree_with_exact_deadlines_over_thousands_of_lifetimes() {
        const SECOND: u64 = 1_000_000_000;
        for life in [1000, SECOND / 50, SECOND, 60 * SECOND, 86_400 * SECOND] {
            agree_with_exact_deadlines(life, NEVER);
            agree_with_exact_deadlines(NEVER, life);
            agree_with_exact_deadlines(10 * life, life);
            agree_with_exact_deadlines(life, 3 * life);
        }
    }

    #[test]
    fn a_lifetime_of_up_to_a_second_is_exact_and_a_longer_one_to_a_millionth() {
        for life in [1, 77, 999_999_999, 1_000_000_000] {
            let stamps = Stamps::new(Scale::new(life, NEVER), 0);
            assert!(stamps.begin(slot(0), span(life, NEVER), 5));
            assert_eq!(stamps.end(slot(0)), Some(5 + life));
        }
        for bits in 30..60 {
            let longest = (1 << bits) - 1;
            let stamps = Stamps::new(Scale::new(longest, NEVER), 0);
            for life in [longest, longest / 1000] {
                assert!(stamps.begin(slot(0), span(life, NEVER), 12345));
                let end = stamps.end(slot(0)).unwrap();
                assert!(end <= 12345 + life && end > 12345 + life - life / 1_000_000 - 1, "{life}");
            }
        }
    }

    #[test]
    fn a_life_for_which_ticks_are_too_long_or_too_few_has_no_stamp() {
        let hour = 3_600_000_000_000;
        let stamps = Stamps::new(Scale::new(hour, NEVER), 0);
        assert!(!stamps.begin(slot(0), span(1_000_000, NEVER), 0), "a millisecond");
        assert!(!stamps.begin(slot(0), span(hour + 1, NEVER), 0));
        assert!(!stamps.begin(slot(0), span(NEVER, NEVER), 0));
        assert!(!stamps.begin(slot(0), span(hour, hour), 0), "a time to idle of its own");
        assert!(!stamps.begin(slot(0), Span { own: Some(hour), ..span(hour, NEVER) }, 0));
        assert!(!stamps.begin(slot(0), span(hour, NEVER), NEVER - hour));
        assert!(stamps.begin(slot(0), span(hour, NEVER), NEVER - hour - 1));
        let none = Stamps::new(Scale::new(NEVER, NEVER), 0);
        assert!(
            !none.begin(slot(0), span(0, NEVER), 0) && !none.begin(slot(0), span(hour, NEVER), 0)
        );
    }

    #[test]
    fn a_use_that_prolongs_a_life_by_next_to_nothing_is_not_noted() {
        let stamps = Stamps::new(Scale::new(NEVER, 1024), 0);
        assert!(stamps.begin(slot(0), span(NEVER, 1024), 0));
        let ends_after_use_at = |now| {
            assert!(stamps.touch(slot(0), now));
            stamps.end(slot(0))
        };
        assert_eq!([1, 2, 3, 4].map(ends_after_use_at), [1024, 1026, 1026, 1028].map(Some));
    }

    #[test]
    fn a_life_that_can_be_prolonged_no_more_lasts_as_one_that_need_not_be() {
        let stamps = Stamps::new(Scale::new(2048, 1024), 0);
        assert!(stamps.begin(slot(0), span(2048, 1024), 0));
        assert!(!stamps.lasts(slot(0), 1000), "a use would prolong it");
        assert!(stamps.touch(slot(0), 1000) && stamps.touch(slot(0), 2000));
        assert_eq!([2000, 2047, 2048].map(|now| stamps.lasts(slot(0), now)), [true, true, false]);
    }

    #[test]
    fn a_clock_that_jumps_over_centuries_leaves_nobody_alive() {
        for bits in 0..64 {
            let stamps = Stamps::new(Scale::new(1000, NEVER), 0);
            assert!(stamps.begin(slot(0), span(1000, NEVER), 0));
            let now = (u64::MAX >> bits).max(1000);
            assert_eq!(stamps.state(slot(0), now), State::Over);
            stamps.move_base(now);
            assert_eq!(stamps.state(slot(0), now), State::Over);
            assert!(stamps.end(slot(0)).is_some_and(|end| end <= now));
        }
    }

    #[test]
    fn readers_alone_are_cramped_after_three_lifetimes_until_the_base_is_moved() {
        let tti = (1 << LIFE_BITS) - 1;
        let stamps = Stamps::new(Scale::new(NEVER, tti), 0);
        assert!(stamps.begin(slot(0), span(NEVER, tti), 0));
        let mut now = 0;
        while !stamps.is_cramped(|| now) {
            now += tti / 2;
            assert_eq!((stamps.state(slot(0), now), now < 4 * tti), (State::Alive, true));
            assert!(stamps.is_cramped(|| now) || stamps.touch(slot(0), now));
        }
        assert!(now > 3 * tti - tti / 2);
        stamps.move_base(now);
        assert!(!stamps.is_cramped(|| now) && stamps.touch(slot(0), now));
        assert_eq!(stamps.end(slot(0)), Some(now + tti));
    }
}
