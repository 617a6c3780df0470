//! Deadlines to the nanosecond, for entries with rules of their own.

use super::{NEVER, Span};
use crate::slot::Slot;
use crate::slot::chunks::{Chunks, Shorten};
use std::sync::atomic::{AtomicU64, Ordering};

/// As in `stamps.rs`.
const NEGLIGIBLE_BITS: u32 = 10;

/// The rules that one entry is under, if there are several and reads may move
/// its deadline on.
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
pub(super) struct Exact {
    earliest: Chunks<Earliest>,
    rules: Chunks<Rules>,
}

#[inline]
fn load(number: &AtomicU64) -> u64 {
    number.load(Ordering::Relaxed)
}

#[inline]
fn store(number: &AtomicU64, value: u64) {
    number.store(value, Ordering::Relaxed);
}

impl Exact {
    pub(super) fn cut(&self, slots: &impl Shorten) {
        slots.shorten(&self.earliest);
        slots.shorten(&self.rules);
    }

    /// When the entry at `slot` ends.
    #[inline]
    pub(super) fn end(&self, slot: Slot) -> u64 {
        self.earliest.get(slot).map_or(NEVER, |earliest| load(&earliest.0))
    }

    /// The time to idle of the entry at `slot`.
    pub(super) fn tti(&self, slot: Slot) -> u64 {
        self.rules.get(slot).map(|rules| load(&rules.tti)).filter(|tti| *tti > 0).unwrap_or(NEVER)
    }

    /// Starts a life at `slot`. Under the shard's lock.
    pub(super) fn begin(&self, slot: Slot, span: Span, now: u64) {
        self.set_rules(slot, span, now);
        // After the rules: see `set_own`.
        self.earliest.of(slot).0.store(span.ends_at(now), Ordering::Release);
    }

    fn set_rules(&self, slot: Slot, span: Span, now: u64) {
        let is_mixed = span.own.is_some() && span.ttl != NEVER;
        if span.tti == NEVER && !is_mixed {
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

    /// What is said of `from` is said of `to` as well. Under the shard's lock, while
    /// no reader can find the entry.
    pub(super) fn copy(&self, from: Slot, to: Slot) {
        match (self.earliest.get(from), self.earliest.get(to)) {
            (None, None) => {}
            (None, Some(to)) => store(&to.0, NEVER),
            (Some(from), _) => store(&self.earliest.of(to).0, load(&from.0)),
        }
        match (self.rules.get(from), self.rules.get(to)) {
            (None, None) => {}
            (None, Some(to)) => store(&to.tti, 0),
            (Some(from), _) => {
                let to = self.rules.of(to);
                store(&to.ttl_at, load(&from.ttl_at));
                store(&to.tti, load(&from.tti));
                store(&to.own_at, load(&from.own_at));
            }
        }
    }

    /// Notes a use of the entry at `slot`. Called by readers without a lock.
    #[inline]
    pub(super) fn touch(&self, slot: Slot, now: u64) {
        let Some(rules) = self.rules.get(slot) else { return };
        let tti = load(&rules.tti);
        if tti == 0 || tti == NEVER {
            return;
        }
        let Some(earliest) = self.earliest.get(slot) else { return };
        let (was, is) = (load(&earliest.0), rules.earliest(now));
        if is.saturating_sub(was) > tti >> NEGLIGIBLE_BITS {
            // Not if a writer was here meanwhile: what it says counts.
            let _ = earliest.0.compare_exchange(was, is, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Lets the entry at `slot` end `own` from now, as far as its `Expiry` is
    /// concerned. Called by readers without a lock. Whether it ends earlier than
    /// before.
    pub(super) fn set_own(&self, slot: Slot, own: u64, now: u64) -> bool {
        let own_at = now.saturating_add(own);
        let earliest = &self.earliest.of(slot).0;
        loop {
            // Before the rules: if a writer gives the entry others meanwhile, this is
            // not what stands there in the end, and counts for nothing.
            let was = earliest.load(Ordering::Acquire);
            let is = match self.rules.get(slot).filter(|rules| load(&rules.tti) > 0) {
                Some(rules) => {
                    store(&rules.own_at, own_at);
                    rules.earliest(now)
                }
                None => own_at,
            };
            let swap = earliest.compare_exchange(was, is, Ordering::Release, Ordering::Relaxed);
            if swap.is_ok() {
                return is < was;
            }
        }
    }
}

impl Rules {
    /// The earliest deadline of an entry that is used now.
    #[inline]
    fn earliest(&self, now: u64) -> u64 {
        let idle_at = now.saturating_add(load(&self.tti));
        idle_at.min(load(&self.ttl_at)).min(load(&self.own_at))
    }
}
