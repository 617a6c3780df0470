//! The short ways of a hit, for caches in which it means to count it with the
//! entry and nothing more; or to note it, to compare the entry's deadline, and to
//! count the look-up.
//!
//! ```text
//!   glance ── plain open? ─► look at one slot ─► found, or not there
//!               │ no                       │
//!               ▼                          │ not sure
//!             timed open? ─► the time ─► look at one slot ─► found and alive
//!               │ no                       │ not sure
//!               └──────────────────────────┴──────► the long way: look
//! ```
//!
//! They do not tidy up, and wait for nothing: what is out of the ordinary is
//! left to the long way.

use super::{Held, Hub, Intent, Shard};
use crate::hash::KeyHash;
use crate::policy::Notes;
use crate::slot::hit_log::Noted;
use crate::vault::Sight;
use equivalent::Equivalent;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a glance has shown.
pub(crate) enum Glance<R> {
    Found(R),
    Nothing,
    /// It takes a look at the clock, or is to be counted, or noted in order.
    Timed,
    /// It takes a closer look.
    Unsure,
}

/// Says in one comparison that nothing here was invalidated, and that nothing
/// stands in the way of readers that make it short: it holds the shard's
/// generation until it is shut.
pub(super) struct Gate(AtomicU64);

/// No generation of a hub.
pub(super) const SHUT: u64 = u64::MAX;

impl Gate {
    pub(super) fn new(is_open: bool) -> Self {
        Gate(AtomicU64::new(if is_open { 0 } else { SHUT }))
    }

    #[inline(always)]
    fn is_open(&self, generation: u64) -> bool {
        self.0.load(Ordering::SeqCst) == generation
    }

    /// Whether it is open for no generation any more.
    #[inline(always)]
    fn is_shut(&self) -> bool {
        self.0.load(Ordering::SeqCst) == SHUT
    }

    #[inline]
    pub(super) fn shut(&self) {
        if self.0.load(Ordering::Relaxed) != SHUT {
            self.0.store(SHUT, Ordering::SeqCst);
        }
    }

    /// The shard is of another generation now; a gate that is shut stays so.
    pub(super) fn follow(&self, before: u64, now: u64) {
        let _ = self.0.compare_exchange(before, now, Ordering::SeqCst, Ordering::SeqCst);
    }
}

impl<K, V> Shard<K, V> {
    /// Looks `key` up, in a shard whose entries are key and value and nothing
    /// else.
    #[inline(always)]
    pub(crate) fn glance<Q, R>(
        &self,
        hub: &Hub<K, V>,
        hash: KeyHash,
        key: &Q,
        intent: Intent,
        use_it: impl FnOnce(&Held<'_, K, V>) -> R,
    ) -> Glance<R>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let generation = hub.generation.load(Ordering::SeqCst);
        if !self.plain.is_open(generation) {
            let is_timed = self.timed.is_open(generation);
            return if is_timed { Glance::Timed } else { Glance::Unsure };
        }
        match self.vault.glance(hash.fragment(), key) {
            // Asked again: if this is the first entry with a deadline or a tag,
            // that was said before it could be found. Not of the generation: what
            // is found here was valid when that was asked for, or came since.
            Sight::Found(held) if !self.plain.is_shut() => {
                if intent == Intent::Use {
                    held.bump();
                }
                Glance::Found(use_it(&held))
            }
            Sight::Nothing => Glance::Nothing,
            Sight::Found(_) | Sight::Beyond => Glance::Unsure,
        }
    }

    /// As [`glance`](Shard::glance), but looks at all slots that may be it. One key
    /// in sixty takes that, and it may be the one that is read most.
    pub(crate) fn gaze<Q, R>(
        &self,
        hub: &Hub<K, V>,
        hash: KeyHash,
        key: &Q,
        use_it: impl FnOnce(&Held<'_, K, V>) -> R,
    ) -> Glance<R>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let generation = hub.generation.load(Ordering::SeqCst);
        if !self.plain.is_open(generation) {
            return Glance::Unsure;
        }
        match self.vault.find(hash.fragment(), key) {
            Some(held) if !self.plain.is_shut() => {
                held.bump();
                Glance::Found(use_it(&held))
            }
            Some(_) => Glance::Unsure,
            None => Glance::Nothing,
        }
    }

    /// Looks `key` up in a shard whose entries may have deadlines, but no tags. By
    /// itself, so that those who need none of this pay nothing for it. Whoever
    /// calls this counts the look-up.
    #[inline(never)]
    pub(crate) fn look_in_time<Q, R>(
        &self,
        hub: &Hub<K, V>,
        hash: KeyHash,
        key: &Q,
        intent: Intent,
        mut use_it: impl FnMut(&Held<'_, K, V>) -> R,
    ) -> Option<R>
    where
        Q: Equivalent<K> + ?Sized,
    {
        // Before the claim, so that nothing has to be kept beyond a call. If the
        // entry came later than that, it was alive as it came: see
        // `Deadlines::begin`.
        let now = self.time(hub);
        match self.vault.glance(hash.fragment(), key) {
            // Asked again, as in `glance`: it may be the first that has a tag.
            Sight::Found(held) if !self.timed.is_shut() => {
                let is_alive = match (now, intent) {
                    (None, _) => self.deadlines.is_unused(),
                    (Some(now), Intent::Use) => self.deadlines.outlive_plainly(held.slot(), now),
                    (Some(now), Intent::Peek) => !self.deadlines.is_over(held.slot(), now),
                };
                if is_alive {
                    if intent == Intent::Use {
                        self.note_use_of(hub, &held);
                    }
                    return Some(use_it(&held));
                }
            }
            Sight::Nothing => return None,
            Sight::Found(_) | Sight::Beyond => {}
        }
        self.look_closely(hub, hash, key, intent, use_it)
    }

    /// Of a use whose time was noted.
    #[inline(always)]
    fn note_use_of(&self, hub: &Hub<K, V>, held: &Held<'_, K, V>) {
        if hub.notes != Notes::Order {
            held.bump();
        } else if self.hit_log.push(held.slot()) == Noted::Filled {
            self.settle();
        }
    }

    #[cold]
    #[inline(never)]
    fn look_closely<Q, R>(
        &self,
        hub: &Hub<K, V>,
        hash: KeyHash,
        key: &Q,
        intent: Intent,
        use_it: impl FnMut(&Held<'_, K, V>) -> R,
    ) -> Option<R>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.look(hub, hash, key, intent, use_it)
    }

    /// Entries have tags from here on. To be said before the first such entry
    /// can be found, as with [`keep_time`](Shard::keep_time).
    #[inline]
    pub(super) fn become_elaborate(&self) {
        self.keep_time();
        self.timed.shut();
    }

    /// Entries have deadlines from here on.
    #[inline]
    pub(super) fn keep_time(&self) {
        self.plain.shut();
    }
}
