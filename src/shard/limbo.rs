//! What readers hold back, counted for the whole cache.
//!
//! A value that was unlinked while a reader looks at its key waits in limbo, and
//! is junk when it comes out: then it is dropped by the next visit. Either way
//! it is alive, and nobody can find it. So many may be, and not more however
//! many threads there are: **with one entry in each thread's hands, and one for
//! each shard, at most `LIMBO_MAX` values live beyond the capacity.**
//!
//! - A thread has one in its hands: the value that it is about to store, or the
//!   one that it has taken out, or the one that it looks at.
//! - The short way of an insert does not count what it leaves in limbo, and is
//!   not taken again before a visit has: one for each shard.
//! - All others are counted here. Where the count is too high, a writer that
//!   leaves something in limbo waits until the readers of its shard have gone
//!   on, and sweeps.

use super::{Core, Hub, Shard, Visit};
use crate::slab::Entry;
use crate::vault::Locked;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One thread that is interrupted in the middle of a look holds back all values
/// that its key has meanwhile: that is what this bounds.
const LIMBO_MAX: usize = 64;

/// How many values are in limbo, or were and are not dropped yet.
#[derive(Default)]
pub(crate) struct HeldBack(AtomicUsize);

impl HeldBack {
    fn is_too_much(&self) -> bool {
        self.0.load(Ordering::Relaxed) > LIMBO_MAX
    }
}

/// Entries that left before, and whose readers have gone since.
pub(super) struct Junk<'a, K, V> {
    entries: Vec<Entry<K, V>>,
    /// After the entries: what is dropped counts until then.
    count: Count<'a>,
}

struct Count<'a> {
    held_back: &'a HeldBack,
    junk: usize,
}

impl Drop for Count<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.junk > 0 {
            self.held_back.0.fetch_sub(self.junk, Ordering::Relaxed);
        }
    }
}

impl<'a, K, V> Junk<'a, K, V> {
    #[inline]
    pub(super) fn none(held_back: &'a HeldBack) -> Self {
        Junk { entries: Vec::new(), count: Count { held_back, junk: 0 } }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes over what nobody looks at any more.
    #[cold]
    pub(super) fn sweep(&mut self, locked: &mut Locked<'_, K, V, Core<K, V>>) {
        note(self.count.held_back, locked);
        self.entries.extend(locked.sweep());
        let (before, left) = (locked.core().in_limbo, locked.in_limbo());
        self.count.junk += before - left;
        locked.core_mut().in_limbo = left;
    }
}

/// Counts what has come to limbo since the last visit, and in this one.
#[cold]
fn note<K, V>(held_back: &HeldBack, locked: &mut Locked<'_, K, V, Core<K, V>>) {
    let (counted, is) = (locked.core().in_limbo, locked.in_limbo());
    held_back.0.fetch_add(is - counted, Ordering::Relaxed);
    locked.core_mut().in_limbo = is;
}

impl<K, V> Shard<K, V> {
    /// Whether the one who has the lock has to wait for readers when it is
    /// gone.
    #[inline]
    pub(super) fn is_crowded(
        &self,
        hub: &Hub<K, V>,
        locked: &mut Locked<'_, K, V, Core<K, V>>,
    ) -> bool {
        if locked.in_limbo() == 0 {
            return false;
        }
        note(&hub.held_back, locked);
        hub.held_back.is_too_much()
    }
}

impl<K, V> Visit<'_, K, V> {
    /// After the lock is gone: waits for those who look for an entry just now.
    #[cold]
    pub(super) fn wait_for_readers(&mut self) {
        self.shard.vault.wait_for_readers();
        self.junk.sweep(&mut self.shard.vault.lock());
    }
}
