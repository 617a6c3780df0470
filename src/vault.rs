//! Entries that many read while one writes.
//!
//! The vault is the ground floor's one door: index, slab and hazards are used
//! here and nowhere else, and all that is unsafe about them ends here.
//!
//! ```text
//!   find(hash, key) ── a claim on the hash, a look ─► Held: one entry
//!   lock()          ── Locked: the one writer ─► find, fill, link, swing,
//!                                                remove, hold
//! ```
//!
//! A reader takes no lock: it holds a claim, and so every entry of its hash
//! stays where it is until the claim ends. A writer that unlinks an entry gets
//! it back as [`Left::Owned`] if nobody watches it, which is nearly always.
//! Otherwise the entry stays in *limbo*, unreachable, until a later
//! [`sweep`](Locked::sweep) finds that its readers have gone.

#[cfg(all(test, larder_loom))]
mod models;
mod moves;
mod plain;

use crate::hazard::{Pin, Retired, Salt, Watchers, Word, is_watched};
use crate::index::{Aim, Blocks, Index};
pub(crate) use crate::index::{Cursor, Sight};
use crate::slab::{Cell, EmptyCells, Entry, Slab};
use crate::slot::{Residents, Seen, Slot};
use crate::steady::Steady;
use crate::sync::modelled::{Mutex, MutexGuard, thread};
use crate::tags::TagSet;
use equivalent::Equivalent;
use moves::Moving;
pub(crate) use moves::Progress;

pub(crate) struct Vault<K, V, C> {
    index: Index,
    salt: Salt,
    slab: Slab<K, V>,
    under: Mutex<Under<K, V, C>>,
}

/// What the lock guards. `C` is the shard's part of it.
///
/// What every insert writes comes last, beside the lock: the fewer lines that
/// are, the fewer does a processor wait for if the last insert was another's.
#[repr(C)]
struct Under<K, V, C> {
    /// How many entries there will be when the cache is full, if that is known.
    expected: Option<usize>,
    /// Cells that were given back, beyond `fresh`.
    cells: Option<Retired<EmptyCells<K, V>>>,
    /// Few cells are used, and entries move together.
    moving: Option<Moving>,
    limbo: Vec<Watchers>,
    /// Tables that were outgrown.
    retired: Vec<Retired<Blocks>>,
    /// Empty as long as every entry weighs 1, which is most caches.
    weights: Vec<u32>,
    core: C,
    /// How many entries the index has room for.
    room: usize,
    /// No slot from here on was ever used.
    fresh: usize,
    /// How many entries are linked.
    len: usize,
    free: Vec<Slot>,
}

/// What is left of an entry that was unlinked.
pub(crate) enum Left<K, V> {
    Owned(Entry<K, V>),
    /// A reader may still use it.
    Watched(Watched),
}

/// An entry in limbo. It stays there at least until it is given to
/// [`Vault::release`].
#[must_use = "it stays in limbo until it is released"]
pub(crate) struct Watched {
    salt: Salt,
    slot: Slot,
}

impl<K, V, C> Vault<K, V, C> {
    pub(crate) fn new(core: C) -> Self {
        let index = Index::new();
        let under = Under {
            free: Vec::new(),
            fresh: 0,
            len: 0,
            room: index.room(),
            expected: None,
            weights: Vec::new(),
            limbo: Vec::new(),
            retired: Vec::new(),
            cells: None,
            moving: None,
            core,
        };
        Vault { index, salt: Salt::next(), slab: Slab::new(), under: Mutex::new(under) }
    }

    /// Finds the entry of `key`, without a lock. If it does not, there was a
    /// moment meanwhile at which the key was not there.
    #[inline(always)]
    pub(crate) fn find<Q>(&self, hash: u32, key: &Q) -> Option<Held<'_, K, V, C>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let aim = self.index.aim(hash);
        let pin = Pin::new(Word::new(self.salt, hash));
        let (slot, cell) = self.index.find(aim, hash, |slot| {
            let gone = || Some((slot, None));
            self.slab.with_cell(slot, gone, |cell| {
                // The hash first: it says whether this claim covers the entry.
                // SAFETY: the slot was still linked after the claim was made, and
                // its entry has the claim's hash. So whoever unlinks it sees the
                // claim, and leaves the entry in its cell.
                let is_it = cell.hash() == hash
                    && (cell.was_linked() || self.is_there(hash, slot, cell))
                    && key.equivalent(&unsafe { cell.pair() }.0);
                is_it.then_some((slot, Some(cell)))
            })
        })?;
        match cell {
            Some(cell) => Some(Held { pin, vault: self, slot, cell }),
            None => self.find_again(pin, hash, key),
        }
    }

    /// Finds the entry of `key` as `find` does, or says that it is not there,
    /// or that it would take more than usual to find out. Short, and free of
    /// calls, so that it costs what it does and not what it might have to do.
    #[inline(always)]
    pub(crate) fn glance<Q>(&self, hash: u32, key: &Q) -> Sight<Held<'_, K, V, C>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        let Some(pin) = Pin::own(Word::new(self.salt, hash)) else { return Sight::Beyond };
        let sight = self.index.glance(hash, |slot| {
            // Where there is no cell, an entry may just be moving.
            self.slab.with_cell(
                slot,
                || None,
                |cell| {
                    // SAFETY: as in `find`.
                    let is_it = cell.hash() == hash
                        && cell.was_linked()
                        && key.equivalent(&unsafe { cell.pair() }.0);
                    is_it.then_some((slot, cell))
                },
            )
        });
        match sight {
            Sight::Found((slot, cell)) => Sight::Found(Held { pin, vault: self, slot, cell }),
            Sight::Nothing => Sight::Nothing,
            Sight::Beyond => Sight::Beyond,
        }
    }

    /// Looks once more, since a reader has come by a slot that has no cell: the
    /// entry is just moving, or the cell was given back.
    #[cold]
    fn find_again<Q>(&self, pin: Pin, hash: u32, key: &Q) -> Option<Held<'_, K, V, C>>
    where
        Q: Equivalent<K> + ?Sized,
    {
        loop {
            let mut is_moving = false;
            let found = self.index.find(self.index.aim(hash), hash, |slot| {
                let gone = || {
                    is_moving |= slot == Slot::MOVING;
                    None
                };
                self.slab.with_cell(slot, gone, |cell| {
                    // SAFETY: as in `find`.
                    let is_it = cell.hash() == hash
                        && (cell.was_linked() || self.is_there(hash, slot, cell))
                        && key.equivalent(&unsafe { cell.pair() }.0);
                    is_it.then_some((slot, cell))
                })
            });
            match found {
                Some((slot, cell)) => return Some(Held { pin, vault: self, slot, cell }),
                None if is_moving => thread::yield_now(),
                None => return None,
            }
        }
    }

    /// Whether the entry in `cell` can be found, or could, although it does not
    /// say so: it is being linked just now; or the reader has come to its slot
    /// by a former use of it, and nobody may see the entry yet.
    #[cold]
    fn is_there(&self, hash: u32, slot: Slot, cell: &Cell<K, V>) -> bool {
        let is_it = |other| (other == slot).then_some(());
        let found = self.index.find(self.index.aim(hash), hash, is_it);
        found.is_some() || cell.was_linked()
    }

    /// Whether no entry ever had a tag.
    #[inline]
    pub(crate) fn is_without_tags(&self) -> bool {
        self.slab.is_without_tags()
    }

    /// Where entries of `hash` begin, for a writer who will find and add one:
    /// what is there is fetched from memory meanwhile.
    #[inline]
    pub(crate) fn aim(&self, hash: u32) -> Aim {
        let aim = self.index.aim(hash);
        self.index.prefetch(aim);
        aim
    }

    /// Waits until there is no other writer.
    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_, K, V, C> {
        Locked { vault: self, under: self.under.lock() }
    }

    /// The lock, unless someone else has it.
    pub(crate) fn try_lock(&self) -> Option<Locked<'_, K, V, C>> {
        Some(Locked { vault: self, under: self.under.try_lock()? })
    }

    /// Key and value of an entry in limbo.
    pub(crate) fn watched<'a>(&'a self, watched: &'a Watched) -> (&'a K, &'a V) {
        assert_eq!(watched.salt, self.salt, "an entry of another vault");
        // SAFETY: `Locked::retire` has left it occupied, and `sweep` does not
        // empty it before it is released; `release` takes the only `Watched`.
        let (key, value) = unsafe { self.slab.pair(watched.slot) };
        (key, value)
    }

    /// Lets go of an entry in limbo: it is freed once its readers have gone.
    pub(crate) fn release(&self, watched: Watched) {
        assert_eq!(watched.salt, self.salt, "an entry of another vault");
        self.slab.set_told(watched.slot);
    }

    /// Waits until every reader that is looking for its entry just now has
    /// found it or not: that takes them no time, unless they are interrupted.
    #[cold]
    pub(crate) fn wait_for_readers(&self) {
        let mut readers = Retired::new((), self.salt);
        while readers.is_visited() {
            thread::yield_now();
        }
    }
}

impl<K, V, C> Drop for Vault<K, V, C> {
    fn drop(&mut self) {
        let mut steady = Steady::default();
        for slot in (0..self.under.get_mut().fresh).map(Slot::from_index) {
            if self.slab.is_occupied(slot) {
                // SAFETY: this reference is exclusive: nobody reads or writes.
                let entry = unsafe { self.slab.empty(slot, self.slab.cell(slot)) };
                steady.step(|| drop(entry));
            }
        }
        steady.finish();
    }
}

/// One entry that stays where it is as long as this lives, linked or not.
pub(crate) struct Held<'a, K, V, C> {
    pin: Pin,
    vault: &'a Vault<K, V, C>,
    slot: Slot,
    cell: &'a Cell<K, V>,
}

impl<K, V, C> Held<'_, K, V, C> {
    /// To be called before the user's code runs: other values of the same key
    /// are then not held back meanwhile.
    #[inline]
    pub(crate) fn narrow(&self) {
        self.pin.narrow(self.slot);
    }

    #[inline]
    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    #[inline]
    fn pair(&self) -> &(K, V) {
        // SAFETY: the pin covers the entry of this cell: `find` and `hold` see
        // to that.
        unsafe { self.cell.pair() }
    }

    /// Notes a hit, for policies that count them.
    #[inline]
    pub(crate) fn bump(&self) {
        self.cell.bump();
    }

    #[inline]
    pub(crate) fn key(&self) -> &K {
        &self.pair().0
    }

    #[inline]
    pub(crate) fn value(&self) -> &V {
        &self.pair().1
    }

    #[inline]
    pub(crate) fn tags(&self) -> Option<&TagSet> {
        // SAFETY: as for `pair`.
        unsafe { self.vault.slab.tags(self.slot) }
    }
}

/// The one writer.
pub(crate) struct Locked<'a, K, V, C> {
    vault: &'a Vault<K, V, C>,
    under: MutexGuard<'a, Under<K, V, C>>,
}

impl<'a, K, V, C> Locked<'a, K, V, C> {
    #[inline]
    pub(crate) fn core(&self) -> &C {
        &self.under.core
    }

    #[inline]
    pub(crate) fn core_mut(&mut self) -> &mut C {
        &mut self.under.core
    }

    /// The shard's part, and beside it what policies may see.
    #[inline]
    pub(crate) fn parts(&mut self) -> (&mut C, View<'_, K, V>) {
        let under = &mut *self.under;
        (&mut under.core, View { slab: &self.vault.slab, weights: &under.weights })
    }

    pub(crate) fn view(&self) -> View<'_, K, V> {
        View { slab: &self.vault.slab, weights: &self.under.weights }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.under.len
    }

    /// The next linked entry on a walk over all of them.
    pub(crate) fn next(&self, cursor: &mut Cursor) -> Option<Slot> {
        self.vault.index.next(cursor, |slot| self.vault.slab.hash(slot))
    }

    /// Sizes the index for so many entries, when it grows, so that none of it
    /// stays unused.
    pub(crate) fn expect(&mut self, entries: Option<usize>) {
        self.under.expected = entries;
    }

    #[inline]
    pub(crate) fn find<Q>(&self, hash: u32, key: &Q) -> Option<Slot>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.find_from(self.vault.index.aim(hash), hash, key)
    }

    #[inline]
    pub(crate) fn find_from<Q>(&self, aim: Aim, hash: u32, key: &Q) -> Option<Slot>
    where
        Q: Equivalent<K> + ?Sized,
    {
        self.vault.index.find(aim, hash, |slot| {
            let cell = self.vault.slab.cell(slot);
            // SAFETY: it is linked, so occupied, and only who has the lock
            // empties cells.
            let is_it = cell.hash() == hash && key.equivalent(&unsafe { cell.pair() }.0);
            is_it.then_some(slot)
        })
    }

    /// Whether the entry at `slot` can be found by readers.
    #[inline]
    pub(crate) fn is_linked(&self, slot: Slot) -> bool {
        self.vault.slab.is_linked(slot)
    }

    #[inline]
    pub(crate) fn hash(&self, slot: Slot) -> u32 {
        self.vault.slab.hash(slot)
    }

    #[inline]
    pub(crate) fn weight(&self, slot: Slot) -> u32 {
        self.view().weight(slot)
    }

    pub(crate) fn bump(&self, slot: Slot) {
        self.vault.slab.cell(slot).bump();
    }

    fn pair(&self, slot: Slot) -> &(K, V) {
        assert!(self.vault.slab.is_occupied(slot), "{slot:?} is empty");
        // SAFETY: it is occupied, and only who has the lock empties cells.
        unsafe { self.vault.slab.pair(slot) }
    }

    pub(crate) fn value(&self, slot: Slot) -> &V {
        &self.pair(slot).1
    }

    pub(crate) fn tags(&self, slot: Slot) -> Option<&TagSet> {
        assert!(self.vault.slab.is_occupied(slot), "{slot:?} is empty");
        // SAFETY: as for `pair`.
        unsafe { self.vault.slab.tags(slot) }
    }

    /// Keeps the entry at `slot`, which is linked, beyond the lock.
    pub(crate) fn hold(&self, slot: Slot) -> Held<'a, K, V, C> {
        assert!(self.vault.slab.is_occupied(slot), "{slot:?} is empty");
        // Claimed under the lock, before anybody can unlink it.
        let pin = Pin::new(Word::new(self.vault.salt, self.hash(slot)));
        pin.narrow(slot);
        Held { pin, vault: self.vault, slot, cell: self.vault.slab.cell(slot) }
    }

    #[inline]
    fn free_slot(&mut self) -> Slot {
        match self.under.free.pop() {
            Some(slot) => slot,
            None => self.fresh_slot(),
        }
    }

    /// Gives `entry` a slot. Nobody can find it yet.
    #[inline]
    pub(crate) fn fill(&mut self, hash: u32, weight: u32, entry: Entry<K, V>) -> Slot {
        let slot = self.free_slot();
        // SAFETY: the slot is free, and this is the one writer.
        unsafe { self.vault.slab.fill(slot, hash, entry) };
        if weight != 1 || !self.under.weights.is_empty() {
            self.under.set_weight(slot, weight);
        }
        slot
    }

    #[cold]
    fn fresh_slot(&mut self) -> Slot {
        if self.under.moving.is_some() {
            self.stop_moving();
            return self.under.free.pop().unwrap_or_else(|| self.fresh_slot());
        }
        if self.under.cells.is_some() {
            self.settle_cells();
        }
        let slot = Slot::from_index(self.under.fresh);
        self.under.fresh += 1;
        slot
    }

    /// Cells that were given back are dropped, or else used again: they are not
    /// made anew as long as a reader may come to their slots by a former use.
    /// It would take a cell that was never filled for an entry of hash 0.
    #[cold]
    fn settle_cells(&mut self) {
        if let Some(mut cells) = self.under.cells.take() {
            if cells.is_visited() {
                self.vault.slab.put_back(cells.into_memory());
            }
        }
    }

    /// Lets readers find the entry at `slot`, which was just filled.
    #[inline]
    pub(crate) fn link(&mut self, slot: Slot) {
        if self.under.len == self.under.room {
            self.grow();
        }
        let cell = self.vault.slab.cell(slot);
        self.vault.index.insert(cell.hash(), slot);
        cell.set_linked();
        self.under.len += 1;
    }

    /// Lets readers find the entry at `new`, which was just filled, instead of
    /// the one at `old`, which is of the same key.
    pub(crate) fn swing(&mut self, old: Slot, new: Slot) -> Left<K, V> {
        let slab = &self.vault.slab;
        slab.set_hits(new, slab.hits(old));
        self.vault.index.swing(slab.hash(old), old, new);
        slab.cell(new).set_linked();
        self.retire(old, slab.cell(old))
    }

    /// Takes out the entry at `slot`, which is linked.
    #[inline]
    pub(crate) fn remove(&mut self, slot: Slot) -> Left<K, V> {
        let cell = self.vault.slab.cell(slot);
        self.vault.index.remove(cell.hash(), slot);
        self.under.len -= 1;
        self.retire(slot, cell)
    }

    /// What becomes of an entry that was just unlinked.
    #[inline]
    fn retire(&mut self, slot: Slot, cell: &Cell<K, V>) -> Left<K, V> {
        let word = Word::new(self.vault.salt, cell.hash());
        if let Some(watchers) = Watchers::of(word, slot) {
            self.vault.slab.set_untold(slot);
            self.under.limbo.push(watchers);
            return Left::Watched(Watched { salt: self.vault.salt, slot });
        }
        Left::Owned(self.empty(slot, cell))
    }

    /// Of an entry that is unlinked and not watched: `retire` and `sweep` have
    /// made sure.
    #[inline]
    fn empty(&mut self, slot: Slot, cell: &Cell<K, V>) -> Entry<K, V> {
        self.under.free.push(slot);
        // SAFETY: nobody can find the entry, nobody has found it, and this is
        // the one writer.
        unsafe { self.vault.slab.empty(slot, cell) }
    }

    /// Whether a sweep may have something to do.
    #[inline]
    pub(crate) fn has_leftovers(&self) -> bool {
        !(self.under.limbo.is_empty()
            && self.under.retired.is_empty()
            && self.under.cells.is_none()
            && self.under.moving.is_none())
    }

    /// Whether every entry weighs 1.
    #[inline]
    pub(crate) fn is_unweighed(&self) -> bool {
        self.under.weights.is_empty()
    }

    /// How many entries wait for their readers to leave.
    #[inline]
    pub(crate) fn in_limbo(&self) -> usize {
        self.under.limbo.len()
    }

    /// Takes out of limbo what no reader watches any more.
    #[cold]
    pub(crate) fn sweep(&mut self) -> Vec<Entry<K, V>> {
        self.under.retired.retain_mut(Retired::is_visited);
        self.under.cells.take_if(|cells| !cells.is_visited());
        let mut freed = Vec::new();
        for mut watchers in std::mem::take(&mut self.under.limbo) {
            let slot = watchers.slot();
            if self.vault.slab.is_untold(slot) | watchers.are_there() {
                self.under.limbo.push(watchers);
            } else {
                freed.push(self.empty(slot, self.vault.slab.cell(slot)));
            }
        }
        freed
    }

    #[cold]
    fn grow(&mut self) {
        let room = match self.under.expected {
            // Not a little less than is needed in the end.
            Some(expected) if self.under.room < expected => {
                let doubled = self.under.room * 2;
                if doubled > expected / 4 * 3 { expected } else { doubled }
            }
            // Other shards lend it a little more than its share.
            Some(_) => self.under.room + self.under.room / 4 + 8,
            None => self.under.room * 2,
        };
        self.resize_index(room);
    }

    fn resize_index(&mut self, entries: usize) {
        let vault = self.vault;
        // SAFETY: it is kept, as a leftover, until no reader is in it.
        let table = unsafe { vault.index.rebuild(entries, |slot| vault.slab.hash(slot)) };
        self.under.room = vault.index.room();
        let mut retired = Retired::new(table, self.vault.salt);
        if retired.is_visited() {
            self.under.retired.push(retired);
        }
    }

    /// Gives back the memory of a vault in which nothing is linked any more.
    #[cold]
    pub(crate) fn give_back_memory(&mut self) {
        assert_eq!(self.under.len, 0, "only an empty vault gives its memory back");
        self.resize_index(0);
        self.stop_moving();
        let in_limbo: Vec<Slot> = self.under.limbo.iter().map(Watchers::slot).collect();
        let end = in_limbo.iter().map(|slot| slot.index() + 1).max().unwrap_or(0);
        self.under.free =
            (0..end).map(Slot::from_index).filter(|slot| !in_limbo.contains(slot)).collect();
        self.under.weights.clear();
        self.leave_cells(end);
    }

    /// Every linked slot, in order.
    pub(crate) fn linked(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..self.under.fresh).map(Slot::from_index).filter(|slot| self.is_linked(*slot))
    }

    /// Checks that linked, free and forsaken cells are all there is, and that
    /// the index knows just the first.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let (under, slab) = (&*self.under, &self.vault.slab);
        self.vault.index.validate(|slot| slab.hash(slot))?;
        let mut indexed: Vec<Slot> = self.vault.index.slots().collect();
        indexed.sort_unstable();
        if !indexed.iter().copied().eq(self.linked()) || indexed.len() != under.len {
            return Err(format!("the index's entries are not the slab's {}", under.len));
        }
        let beyond = under.moving.as_ref().map_or(0, |moving| moving.beyond.len());
        let cells = under.len + under.free.len() + beyond + under.limbo.len();
        if cells != under.fresh {
            return Err(format!("slab: {} cells, but {cells} known", under.fresh));
        }
        match under.free.iter().find(|slot| slab.is_occupied(**slot)) {
            Some(slot) => Err(format!("slab: {slot:?} is free and occupied")),
            None => Ok(()),
        }
    }
}

impl<K, V, C> Under<K, V, C> {
    #[inline]
    fn set_weight(&mut self, slot: Slot, weight: u32) {
        if self.weights.len() <= slot.index() {
            self.weights.resize(self.fresh.max(slot.index() + 1), 1);
        }
        self.weights[slot.index()] = weight;
    }
}

/// What policies see of the entries.
pub(crate) struct View<'a, K, V> {
    slab: &'a Slab<K, V>,
    weights: &'a [u32],
}

impl<K, V> Residents for View<'_, K, V> {
    fn hash(&self, slot: Slot) -> u32 {
        self.slab.hash(slot)
    }

    #[inline]
    fn weight(&self, slot: Slot) -> u32 {
        self.weights.get(slot.index()).copied().unwrap_or(1)
    }

    #[inline]
    fn hits(&self, slot: Slot) -> u8 {
        self.slab.hits(slot)
    }

    #[inline]
    fn set_hits(&self, slot: Slot, hits: u8) {
        self.slab.set_hits(slot, hits);
    }

    #[inline]
    fn look(&self, slot: Slot) -> Seen {
        let (hash, hits) = self.slab.hash_and_hits(slot);
        Seen::new(hash, self.weight(slot), hits)
    }
}
