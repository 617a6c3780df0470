//! Entries that are keys and values and nothing else: of weight 1, without tags,
//! and nobody is told of them. They come and go on shorter ways, step by step
//! what those of all entries are.

use super::{Locked, Vault};
use crate::hazard::{Watchers, Word, is_watched};
use crate::index::Aim;
use crate::slab::Slab;
use crate::slot::{Residents, Seen, Slot};

/// What policies see of entries that all weigh 1.
impl<K, V> Residents for Slab<K, V> {
    #[inline]
    fn hash(&self, slot: Slot) -> u32 {
        self.hash(slot)
    }

    #[inline]
    fn weight(&self, _slot: Slot) -> u32 {
        1
    }

    #[inline]
    fn hits(&self, slot: Slot) -> u8 {
        self.hits(slot)
    }

    #[inline]
    fn set_hits(&self, slot: Slot, hits: u8) {
        self.set_hits(slot, hits);
    }

    #[inline]
    fn prefetch(&self, slot: Slot) {
        self.prefetch(slot);
    }

    #[inline]
    fn look(&self, slot: Slot) -> Seen {
        let (hash, hits) = self.hash_and_hits(slot);
        Seen::new(hash, 1, hits)
    }
}

impl<K, V, C> Locked<'_, K, V, C> {
    /// The shard's part, and beside it what policies may see, in a vault in which
    /// every entry weighs 1.
    #[inline]
    pub(crate) fn plain_parts(&mut self) -> (&mut C, &dyn Residents) {
        debug_assert!(self.is_unweighed(), "not every entry weighs 1");
        (&mut self.under.core, &self.vault.slab)
    }

    /// Fills and links an entry. Calls `prepare` before readers can find it.
    #[inline]
    pub(crate) fn add(
        &mut self,
        hash: u32,
        pair: (K, V),
        prepare: impl FnOnce(&mut C, Slot),
    ) -> Slot {
        if self.under.len == self.under.room {
            self.grow();
        }
        let slot = self.free_slot();
        // SAFETY: the slot is free, and this is the one writer.
        let cell = unsafe { self.vault.slab.fill_plainly(slot, hash, pair) };
        prepare(&mut self.under.core, slot);
        self.vault.index.insert(hash, slot);
        cell.set_linked();
        self.under.len += 1;
        slot
    }

    /// Takes out the entry at `victim`, which is linked, and adds another one in
    /// its cell, whose hash has its place at `aim`. Returns the one that was
    /// there. If a reader is there, that one stays until a sweep, and `pair` comes
    /// back: it needs another cell.
    #[inline]
    pub(crate) fn supplant(
        &mut self,
        victim: Slot,
        (aim, hash): (Aim, u32),
        pair: (K, V),
        prepare: impl FnOnce(&mut C, Slot),
    ) -> Result<(K, V), (K, V)> {
        let Vault { index, slab, salt, .. } = self.vault;
        let cell = slab.cell(victim);
        let was = cell.hash();
        index.remove(was, victim);
        if is_watched(Word::new(*salt, was), victim) {
            self.under.len -= 1;
            self.leave_to_readers(victim, was);
            return Err(pair);
        }
        // SAFETY: nobody can find the entry, nobody has found it, and this is
        // the one writer.
        let old = unsafe { cell.exchange(hash, pair) };
        prepare(&mut self.under.core, victim);
        index.insert_at(aim, hash, victim);
        cell.set_linked();
        Ok(old)
    }

    /// Has fetched what will be needed of the entry at `slot`, which will soon
    /// leave: its place, and what its key and value point to.
    #[inline(always)]
    pub(crate) fn prefetch(&self, slot: Slot) {
        let cell = self.vault.slab.cell(slot);
        self.vault.index.prefetch_home(cell.hash());
        cell.prefetch();
    }

    /// Lets readers find an entry of `pair` instead of the one at `old`, which is
    /// of the same key. Returns the new one's slot, and the old one, unless a
    /// reader is there: then it stays until a sweep.
    #[inline]
    pub(crate) fn supersede(
        &mut self,
        old: Slot,
        pair: (K, V),
        prepare: impl FnOnce(&mut C, Slot, u32),
    ) -> (Slot, Option<(K, V)>) {
        let new = self.free_slot();
        let Vault { index, slab, salt, .. } = self.vault;
        let old_cell = slab.cell(old);
        let hash = old_cell.hash();
        // SAFETY: the slot is free, and this is the one writer.
        let cell = unsafe { slab.fill_plainly(new, hash, pair) };
        cell.set_hits(old_cell.hits());
        prepare(&mut self.under.core, new, hash);
        index.swing(hash, old, new);
        cell.set_linked();
        if is_watched(Word::new(*salt, hash), old) {
            self.leave_to_readers(old, hash);
            return (new, None);
        }
        self.under.free.push(old);
        // SAFETY: as in `supplant`.
        (new, Some(unsafe { old_cell.empty() }))
    }

    /// The entry at `slot` was just unlinked, and is watched. Nobody will hear of
    /// it.
    #[cold]
    fn leave_to_readers(&mut self, slot: Slot, hash: u32) {
        self.vault.slab.set_unlinked(slot);
        self.under.limbo.push(Watchers::remember(Word::new(self.vault.salt, hash), slot));
    }
}
