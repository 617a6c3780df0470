//! Where entries live: numbered cells that never move.
//!
//! A cell keeps what the shard and its policy look at often (hash, hits) next
//! to key and value. This file only says how a cell is laid out and what may
//! be done with it when; that it is done then is `vault.rs`'s business, the
//! only room that uses it.
//!
//! ```text
//!   free ── fill ──► linked ── unlinked, no reader watches ── empty ──► free
//!                       │                                       ▲
//!                       └─ unlinked, a reader watches ─► limbo ─┘
//! ```

use crate::slot::chunks::{Chunk, Chunks, prefetch};
use crate::slot::lazily::Lazily;
use crate::slot::{HITS_MAX, Slot};
use crate::sync::modelled::atomic::{AtomicU8, AtomicU32, Ordering};
use crate::sync::modelled::{Life, UnsafeCell};
use crate::tags::TagSet;
use std::mem::MaybeUninit;

/// An entry as it comes and goes.
pub(crate) struct Entry<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
    pub(crate) tags: TagSet,
}

/// There is an entry in the cell.
const OCCUPIED: u8 = 1;
/// Readers can find it.
const LINKED: u8 = 2;
/// They cannot any more, and its removal is still to be told.
const UNTOLD: u8 = 4;
/// Readers can find it, or could.
const FOUND: u8 = 8;

pub(crate) struct Cell<K, V> {
    hash: AtomicU32,
    hits: AtomicU8,
    state: AtomicU8,
    pair: UnsafeCell<MaybeUninit<(K, V)>>,
    life: Life,
}

impl<K, V> Default for Cell<K, V> {
    fn default() -> Self {
        Cell {
            hash: AtomicU32::new(0),
            hits: AtomicU8::new(0),
            state: AtomicU8::new(0),
            pair: UnsafeCell::new(MaybeUninit::uninit()),
            life: Life::default(),
        }
    }
}

impl<K, V> Cell<K, V> {
    #[inline]
    pub(crate) fn hash(&self) -> u32 {
        self.life.is_needed();
        self.hash.load(Ordering::Acquire)
    }

    /// By the one writer, as it links the entry.
    #[inline]
    pub(crate) fn set_linked(&self) {
        self.state.store(OCCUPIED | LINKED | FOUND, Ordering::Release);
    }

    /// Whether the entry was ever linked. Asked after its hash was seen.
    #[inline]
    pub(crate) fn was_linked(&self) -> bool {
        self.state.load(Ordering::Acquire) & FOUND != 0
    }

    /// Notes a hit, for policies that count them.
    #[inline]
    pub(crate) fn bump(&self) {
        let noted = self.hits.load(Ordering::Relaxed);
        // Two readers may both write the same sum: one hit less is counted,
        // and neither waits. Once saturated, nobody writes at all.
        if noted < HITS_MAX {
            self.hits.store(noted + 1, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn hits(&self) -> u8 {
        self.hits.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_hits(&self, hits: u8) {
        self.hits.store(hits, Ordering::Relaxed);
    }

    /// What is in this cell now is of `hash`, and readers cannot find it yet.
    #[inline]
    fn begin(&self, hash: u32) {
        self.hits.store(0, Ordering::Relaxed);
        self.state.store(OCCUPIED, Ordering::Relaxed);
        // Release: whoever finds this hash here finds the entry, too.
        self.hash.store(hash, Ordering::Release);
    }

    /// Takes out the pair that is in this cell; see [`Slab::empty`].
    ///
    /// # Safety
    /// As there.
    #[inline]
    pub(crate) unsafe fn empty(&self) -> (K, V) {
        self.state.store(0, Ordering::Relaxed);
        // SAFETY: the cell was occupied and is not any more, so this is the
        // only time that the pair is taken; nobody else looks at it.
        self.pair.with_mut(|pair| unsafe { (*pair).assume_init_read() })
    }

    /// Puts `pair` in the place of the one that is in this cell. Neither has
    /// tags.
    ///
    /// # Safety
    /// As for [`Slab::empty`], and then for [`Slab::fill`].
    #[inline]
    pub(crate) unsafe fn exchange(&self, hash: u32, pair: (K, V)) -> (K, V) {
        // SAFETY: the cell is occupied, so there is a pair; nobody else looks at
        // it, and whoever gets it is the only one.
        let old = self.pair.with_mut(|place| unsafe { (*place).as_mut_ptr().replace(pair) });
        self.begin(hash);
        old
    }

    /// Has fetched what key and value point to, for someone who will soon drop
    /// them. Whatever is in the cell: it does not matter if that is nothing.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        self.pair.with(|pair| {
            let pair = pair.cast::<(K, V)>();
            // SAFETY: this is the place of a pair, whether there is one or not.
            let (key, value) = unsafe { (&raw const (*pair).0, &raw const (*pair).1) };
            fetch_behind(key);
            fetch_behind(value);
        });
    }

    /// Key and value.
    ///
    /// # Safety
    /// The cell is occupied, and is not emptied as long as they are used: the
    /// caller holds the lock, or a claim that covers it.
    #[inline]
    pub(crate) unsafe fn pair(&self) -> &(K, V) {
        // SAFETY: it is occupied, so the pair was written.
        self.pair.with(|pair| unsafe { (*pair).assume_init_ref() })
    }
}

/// Has the memory fetched to which a `T` at `place` points, if it is a pointer, or
/// one and a length, and owns what is there: an `Arc`, a `Box<str>`. To drop it
/// takes a look there. What else a `T` of that size may be, is taken for a pointer
/// in vain.
#[inline(always)]
fn fetch_behind<T>(place: *const T) {
    const WORD: usize = size_of::<*const u8>();
    let may_point = align_of::<T>() == WORD && [WORD, 2 * WORD].contains(&size_of::<T>());
    #[cfg(all(target_arch = "x86_64", target_pointer_width = "64", not(miri)))]
    if std::mem::needs_drop::<T>() && may_point {
        // SAFETY: there is a word at `place`, and to fetch what is where it points
        // needs no memory to be there. All of it could as well not be done, so it
        // does not matter if nobody has written to `place`, or others do, a reader
        // who may change his value, say.
        unsafe {
            std::arch::asm!(
                "mov {word}, [{place}]",
                "prefetcht0 [{word}]",
                place = in(reg) place,
                word = out(reg) _,
                options(readonly, nostack, preserves_flags),
            );
        }
    }
    #[cfg(not(all(target_arch = "x86_64", target_pointer_width = "64", not(miri))))]
    let _ = (place, may_point);
}

/// Tags stand beside the cells, and only in a shard where an entry has some.
#[derive(Default)]
struct TagCell(UnsafeCell<TagSet>);

pub(crate) struct Slab<K, V> {
    cells: Chunks<Cell<K, V>>,
    tags: Lazily<Chunks<TagCell>>,
}

// SAFETY: cells are filled and emptied by one thread at a time, and read by
// others only in between: that is what the unsafe methods ask for. So sharing a
// slab shares its entries, and moves them from thread to thread.
unsafe impl<K: Send, V: Send> Send for Slab<K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Slab<K, V> {}

/// Memory of cells, taken out; see [`Chunks::take_from`].
pub(crate) struct EmptyCells<K, V> {
    cells: Vec<Chunk<Cell<K, V>>>,
    tags: Vec<Chunk<TagCell>>,
}

// SAFETY: nobody can reach into it; it is only ever dropped, and the cells are
// empty: there is no key and no value.
unsafe impl<K, V> Send for EmptyCells<K, V> {}
// SAFETY: as above.
unsafe impl<K, V> Sync for EmptyCells<K, V> {}

impl<K, V> Slab<K, V> {
    pub(crate) fn new() -> Self {
        Slab { cells: Chunks::default(), tags: Lazily::default() }
    }

    #[inline]
    pub(crate) fn cell(&self, slot: Slot) -> &Cell<K, V> {
        self.cells.at(slot)
    }

    /// The hash of the entry at `slot`, or of the last one there.
    #[inline]
    pub(crate) fn hash(&self, slot: Slot) -> u32 {
        self.cell(slot).hash.load(Ordering::Acquire)
    }

    /// Has the cell of `slot` fetched, for someone who will go there soon.
    #[inline]
    pub(crate) fn prefetch(&self, slot: Slot) {
        prefetch(self.cells.at(slot));
    }

    /// The hash and the noted hits of the entry at `slot`.
    #[inline]
    pub(crate) fn hash_and_hits(&self, slot: Slot) -> (u32, u8) {
        let cell = self.cell(slot);
        (cell.hash.load(Ordering::Acquire), cell.hits())
    }

    /// What `look` says of the cell of a slot that a reader has found, or what
    /// `gone` says if it was emptied since, and is not there any more.
    #[inline(always)]
    pub(crate) fn with_cell<'a, R>(
        &'a self,
        slot: Slot,
        gone: impl FnOnce() -> Option<R>,
        look: impl FnOnce(&'a Cell<K, V>) -> Option<R>,
    ) -> Option<R> {
        self.cells.with(slot, gone, look)
    }

    /// Whether no entry ever had a tag.
    #[inline]
    pub(crate) fn is_without_tags(&self) -> bool {
        self.tags.get().is_none()
    }

    #[inline]
    pub(crate) fn is_occupied(&self, slot: Slot) -> bool {
        let cell = self.cells.get(slot);
        cell.is_some_and(|cell| cell.state.load(Ordering::Relaxed) & OCCUPIED != 0)
    }

    pub(crate) fn is_untold(&self, slot: Slot) -> bool {
        self.cell(slot).state.load(Ordering::Acquire) & UNTOLD != 0
    }

    #[inline]
    pub(crate) fn is_linked(&self, slot: Slot) -> bool {
        let cell = self.cells.get(slot);
        cell.is_some_and(|cell| cell.state.load(Ordering::Relaxed) & LINKED != 0)
    }

    pub(crate) fn set_untold(&self, slot: Slot) {
        self.cell(slot).state.store(OCCUPIED | UNTOLD | FOUND, Ordering::Release);
    }

    /// Of an entry whose removal nobody is to be told of.
    pub(crate) fn set_unlinked(&self, slot: Slot) {
        self.cell(slot).state.store(OCCUPIED | FOUND, Ordering::Release);
    }

    pub(crate) fn set_told(&self, slot: Slot) {
        self.cell(slot).state.fetch_and(!UNTOLD, Ordering::Release);
    }

    #[inline]
    pub(crate) fn hits(&self, slot: Slot) -> u8 {
        self.cell(slot).hits()
    }

    #[inline]
    pub(crate) fn set_hits(&self, slot: Slot, hits: u8) {
        self.cell(slot).set_hits(hits);
    }

    /// Puts an entry into the cell of `slot`.
    ///
    /// # Safety
    /// The cell is free, and nobody else fills or empties cells meanwhile.
    #[inline]
    pub(crate) unsafe fn fill(&self, slot: Slot, hash: u32, entry: Entry<K, V>) -> &Cell<K, V> {
        if !entry.tags.is_empty() {
            let cells = self.tags.get_or_make();
            // SAFETY: the cell is free, so nobody reads its tags.
            cells.of(slot).0.with_mut(|tags| unsafe { *tags = entry.tags });
        }
        // SAFETY: so our caller promises.
        unsafe { self.fill_plainly(slot, hash, (entry.key, entry.value)) }
    }

    /// Puts an entry without tags into the cell of `slot`.
    ///
    /// # Safety
    /// As for `fill`.
    #[inline]
    pub(crate) unsafe fn fill_plainly(&self, slot: Slot, hash: u32, pair: (K, V)) -> &Cell<K, V> {
        let cell = self.cells.of(slot);
        // SAFETY: the cell is free, so nobody reads it, and nothing that would
        // have to be dropped is overwritten.
        cell.pair.with_mut(|place| unsafe { (*place).write(pair) });
        cell.begin(hash);
        cell
    }

    /// Takes the entry out of `cell`, which is that of `slot`.
    ///
    /// # Safety
    /// The cell is occupied and unlinked, no reader watches it, and nobody else
    /// fills or empties cells meanwhile.
    #[inline]
    pub(crate) unsafe fn empty(&self, slot: Slot, cell: &Cell<K, V>) -> Entry<K, V> {
        // SAFETY: so our caller promises.
        let (key, value) = unsafe { cell.empty() };
        let tags = match self.tags.get().and_then(|cells| cells.get(slot)) {
            // SAFETY: as above.
            Some(tags) => tags.0.with_mut(|tags| unsafe { std::mem::take(&mut *tags) }),
            None => TagSet::default(),
        };
        Entry { key, value, tags }
    }

    /// Key and value at `slot`.
    ///
    /// # Safety
    /// As for [`Cell::pair`].
    #[inline]
    pub(crate) unsafe fn pair(&self, slot: Slot) -> &(K, V) {
        // SAFETY: so our caller promises.
        unsafe { self.cell(slot).pair() }
    }

    /// The tags of the entry at `slot`.
    ///
    /// # Safety
    /// As for [`Cell::pair`].
    #[inline]
    pub(crate) unsafe fn tags(&self, slot: Slot) -> Option<&TagSet> {
        let cell = self.tags.get()?.get(slot)?;
        // SAFETY: tags are written only when the cell is filled or emptied.
        Some(cell.0.with(|tags| unsafe { &*tags }))
    }

    /// Up to where the memory reaches that `len` cells need.
    pub(crate) fn end_of_memory(&self, len: usize) -> usize {
        Chunks::<Cell<K, V>>::end_of_chunk(len)
    }

    /// Takes out the memory of all cells from about `index` on, which are
    /// empty.
    ///
    /// # Safety
    /// Readers may still look at the hashes there: what is returned must not be
    /// dropped before they have left.
    pub(crate) unsafe fn take_from(&self, index: usize) -> EmptyCells<K, V> {
        // SAFETY: so our caller promises.
        unsafe {
            EmptyCells {
                cells: self.cells.take_from(index),
                tags: self.tags.get().map_or_else(Vec::new, |tags| tags.take_from(index)),
            }
        }
    }

    /// Puts back what was taken out, before anything was filled there.
    pub(crate) fn put_back(&self, empty: EmptyCells<K, V>) {
        self.cells.put_back(empty.cells);
        if let Some(tags) = self.tags.get() {
            tags.put_back(empty.tags);
        }
    }
}
