//! From a hash to a slot: a table of 64-byte lines that readers walk without a
//! lock.
//!
//! ```text
//!   line    tags: 12 × 8 bits │ spilled: 32 bits │ slots: 12 × 32 bits
//! ```
//!
//! A hash has a home line; what does not fit goes to the next line that has
//! room, and every full line it passes counts it in `spilled`. So a look-up
//! reads one cache line, and a second one only if something of that line was
//! spilled; a removal leaves no tombstone; nothing ever moves within a table.
//!
//! ```text
//!   find(h)   home ── tag match? ──► ask the caller whether it is the key
//!               │ no, and spilled > 0
//!               ▼
//!             next line …
//! ```
//!
//! One writer at a time changes a table; readers look on. **A reader misses a
//! key only if there was a moment, while it looked, at which the key was not
//! there.** The argument: while an entry is linked, its tag, its slot and the
//! `spilled` of the lines before it stand; a writer sets them before the entry
//! counts as linked and clears them after. Another value of the same key takes
//! over its lane with one store. To find none of this, the reader must have
//! come to the lane before the entry or after it, and if the entry was on both
//! sides of that moment in two lanes, it was in neither in between.
//!
//! A table that is outgrown stands still; the new one has all its entries
//! before readers can find it. So a reader in the old one sees the moment in
//! which it was replaced.

mod tags;

use crate::slot::Slot;
use crate::slot::chunks::prefetch;
use crate::sync::modelled::Life;
use crate::sync::modelled::atomic::{AtomicPtr, AtomicU32, Ordering};
use smallvec::SmallVec;
use std::ptr;
use tags::Tags;

const LANES: usize = 12;

/// A table is replaced by a larger one when more than 13/20 of its lanes are
/// taken. The fuller the lines, the more entries spill, and each that did
/// costs look-ups of its home a second cache line.
const LOAD_NUMERATOR: usize = 13;
const LOAD_DENOMINATOR: usize = 20;

#[repr(C, align(64))]
struct Line {
    tags: Tags,
    slots: [AtomicU32; LANES],
    life: Life,
}

impl Default for Line {
    fn default() -> Self {
        Line {
            tags: Tags::default(),
            slots: std::array::from_fn(|_| AtomicU32::new(Slot::NONE)),
            life: Life::default(),
        }
    }
}

impl Line {
    /// Hands each slot with this tag to `visit`, until that returns something.
    #[inline(always)]
    fn visit<R>(&self, tag: u8, visit: &mut impl FnMut(Slot) -> Option<R>) -> Sight<R> {
        self.life.is_needed();
        for lane in self.tags.lanes(tag) {
            if let Some(found) = self.slot(lane).and_then(&mut *visit) {
                return Sight::Found(found);
            }
        }
        if self.tags.has_spilled() { Sight::Beyond } else { Sight::Nothing }
    }

    /// As `visit`, but only for the first slot with this tag, which nearly always
    /// is the one: `Beyond` if that settles nothing.
    #[inline(always)]
    fn glance<R>(&self, tag: u8, visit: impl FnOnce(Slot) -> Option<R>) -> Sight<R> {
        self.life.is_needed();
        let Some(lane) = self.tags.lanes(tag).first() else {
            return if self.tags.has_spilled() { Sight::Beyond } else { Sight::Nothing };
        };
        // If the lane is free, this stands for no slot, and has no cell either.
        let slot = Slot::or_none(self.slots[lane].load(Ordering::SeqCst));
        match visit(slot) {
            Some(found) => Sight::Found(found),
            None => Sight::Beyond,
        }
    }

    /// The lane of `slot`, if it is in this line with this tag.
    #[inline]
    fn lane_of(&self, tag: u8, slot: Slot) -> Option<usize> {
        let is_it = |lane: &usize| self.slots[*lane].load(Ordering::Relaxed) == slot.raw();
        self.tags.lanes(tag).find(is_it)
    }

    #[inline]
    fn free_lane(&self) -> Option<usize> {
        let is_free = |lane: &usize| self.slots[*lane].load(Ordering::Relaxed) == Slot::NONE;
        // Some entries' tag is that of an empty lane.
        self.tags.lanes(0).find(is_free)
    }

    /// Puts `slot` into a free lane.
    #[inline]
    fn take(&self, lane: usize, tag: u8, slot: Slot) {
        // The slot last: with it, and no earlier, the entry is there. A reader
        // may still see the tag of who was in the lane before.
        self.tags.set(lane, tag);
        self.slots[lane].store(slot.raw(), Ordering::Release);
    }

    #[inline]
    fn leave(&self, lane: usize) {
        self.slots[lane].swap(Slot::NONE, Ordering::SeqCst);
        self.tags.clear(lane);
    }

    #[inline]
    fn swing(&self, lane: usize, slot: Slot) {
        self.slots[lane].swap(slot.raw(), Ordering::SeqCst);
    }

    #[inline]
    fn slot(&self, lane: usize) -> Option<Slot> {
        // SeqCst: see `hazard`. A reader that has published its claim must not
        // find what was unlinked before.
        Slot::from_raw(self.slots[lane].load(Ordering::SeqCst))
    }
}

/// What a look at one line, or one slot, has shown.
pub(crate) enum Sight<R> {
    Found(R),
    Nothing,
    /// It may be further on.
    Beyond,
}

/// The tag comes from the low bits of the 32, the home line from the high
/// ones: entries that share a line would otherwise share their tags as well.
#[inline]
fn tag_of(hash: u32) -> u8 {
    hash as u8
}

/// Lines that stand together in memory, so that the address of a table has bits
/// to spare.
#[derive(Default)]
#[repr(align(256))]
pub(crate) struct Block {
    _lines: [Line; BLOCK],
}

const BLOCK: usize = 4;

/// The memory of a table.
pub(crate) type Blocks = Box<[Block]>;

/// How many lines a table has, in 8 bits: 4 to 7 of them times a power of two,
/// in steps of an eighth. They are the low bits of the table's address, which
/// so says all that there is to know, in one load.
#[derive(Clone, Copy)]
struct Size(usize);

impl Size {
    const BITS: usize = 0xFF;
    /// More lines than slots can be told apart.
    const MAX: usize = 29 << 3;

    /// The smallest that is at least so many lines.
    fn of(lines: usize) -> Self {
        let is_enough = |size: &Size| size.is_whole() && size.lines() >= lines;
        let mut sizes = (0..Self::MAX).map(Size);
        sizes.find(is_enough).expect("an index has fewer than 2^31 lines")
    }

    /// Twice the number of lines, as its leading bits and how far they are
    /// shifted.
    #[inline]
    fn twice(self) -> (u64, usize) {
        (8 | (self.0 as u64 & 7), self.0 >> 3)
    }

    fn is_whole(self) -> bool {
        self.0 > 7 || self.0 % 2 == 0
    }

    #[inline]
    fn lines(self) -> usize {
        let (leading, shift) = self.twice();
        ((leading << shift) / 2) as usize
    }

    /// The smallest hash whose home line is `home` or one after it.
    fn first_hash(self, home: usize) -> u64 {
        ((home as u64) << 32).div_ceil(self.lines() as u64)
    }

    /// The home line of `hash` among so many: the high bits of the hash, scaled
    /// to a number that need not be a power of two (Lemire, "Fast random integer
    /// generation in an interval", 2019). Always less than `lines`.
    #[inline]
    fn home(self, hash: u32) -> usize {
        let (leading, shift) = self.twice();
        // 32 bits, 4, and a shift of at most 28: they fit.
        (((u64::from(hash) * leading) << shift) >> 33) as usize
    }
}

/// A table, as whoever may walk through it sees it.
#[derive(Clone, Copy)]
struct Table<'a> {
    lines: &'a [Line],
    size: Size,
}

impl<'a> Table<'a> {
    #[inline]
    fn home(&self, hash: u32) -> usize {
        self.size.home(hash)
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.lines.len() { 0 } else { at + 1 }
    }

    #[cold]
    fn find_beyond<R>(&self, hash: u32, mut visit: impl FnMut(Slot) -> Option<R>) -> Option<R> {
        let (tag, home) = (tag_of(hash), self.home(hash));
        let mut at = self.next(home);
        while at != home {
            match self.lines[at].visit(tag, &mut visit) {
                Sight::Found(found) => return Some(found),
                Sight::Nothing => return None,
                Sight::Beyond => at = self.next(at),
            }
        }
        None
    }

    /// Puts `slot` into the first line that has room.
    #[cold]
    fn place(&self, hash: u32, slot: Slot) {
        let mut at = self.home(hash);
        loop {
            let line = &self.lines[at];
            if let Some(lane) = line.free_lane() {
                return line.take(lane, tag_of(hash), slot);
            }
            line.tags.spill();
            at = self.next(at);
        }
    }

    /// The line and lane of `slot`, which is here under `hash`.
    fn lane_of(&self, hash: u32, slot: Slot) -> (usize, usize) {
        let (tag, home) = (tag_of(hash), self.home(hash));
        let mut at = home;
        loop {
            if let Some(lane) = self.lines[at].lane_of(tag, slot) {
                return (at, lane);
            }
            at = self.next(at);
            assert!(at != home, "{slot:?} is not in the index");
        }
    }

    /// Takes out `slot`, wherever it is.
    #[cold]
    fn remove(&self, hash: u32, slot: Slot) {
        let (at, lane) = self.lane_of(hash, slot);
        self.lines[at].leave(lane);
        let mut passed = self.home(hash);
        while passed != at {
            self.lines[passed].tags.unspill();
            passed = self.next(passed);
        }
    }

    /// Lets `new` take the place of `old`, wherever it is.
    #[cold]
    fn swing(&self, hash: u32, old: Slot, new: Slot) {
        let (at, lane) = self.lane_of(hash, old);
        self.lines[at].swing(lane, new);
    }

    /// Every slot whose home line is `home`, and others that are near; each with its
    /// lane, of all in the table. Begins after lane `after`, if that is given, which
    /// is one of these.
    fn group(
        self,
        home: usize,
        after: Option<usize>,
    ) -> impl Iterator<Item = (usize, Slot)> + use<'a> {
        let beyond = move |at: &usize| {
            let next = self.next(*at);
            (self.lines[*at].tags.has_spilled() && next != home).then_some(next)
        };
        let (line, mut lane) = after.map_or((home, 0), |after| (after / LANES, after % LANES + 1));
        let lines = std::iter::successors(Some(line), beyond);
        let lanes = lines
            .flat_map(move |at| (std::mem::take(&mut lane)..LANES).map(move |lane| (at, lane)));
        lanes.filter_map(move |(at, lane)| Some((at * LANES + lane, self.lines[at].slot(lane)?)))
    }

    fn slots(self) -> impl Iterator<Item = Slot> + use<'a> {
        self.lines.iter().flat_map(|line| (0..LANES).filter_map(|lane| line.slot(lane)))
    }
}

/// How far a walk over all entries has come: by hash, from home line to home line,
/// and within one by lane, as an entry stays in its lane when it gets a new value,
/// and a new slot.
#[derive(Default)]
pub(crate) struct Cursor {
    /// Entries of smaller hashes were met.
    from: u64,
    /// How many tables there were before that which `lane` is a place in.
    table: usize,
    /// The lane, of all in the table, of the last that was met, if it is one of the
    /// home line where the walk is.
    lane: Option<usize>,
    /// The hashes of those in that home line that were met.
    met: SmallVec<[u32; LANES]>,
    /// The same of a table that was replaced since: one of each hash is not to be
    /// met again. (Should keys share their hash, one may be taken for another.)
    met_before: SmallVec<[u32; LANES]>,
    is_thorough: bool,
}

impl Cursor {
    /// For a walk that may meet an entry twice, but must not miss one, even if all
    /// keys share one hash.
    pub(crate) fn thorough() -> Self {
        Cursor { is_thorough: true, ..Cursor::default() }
    }

    /// The next slot whose home line is `home`.
    fn next_of(
        &mut self,
        table: Table<'_>,
        home: usize,
        hash_of: &impl Fn(Slot) -> u32,
    ) -> Option<Slot> {
        for (lane, slot) in table.group(home, self.lane) {
            let hash = hash_of(slot);
            if u64::from(hash) < self.from || table.home(hash) != home {
                continue;
            }
            self.lane = Some(lane);
            self.met.push(hash);
            match self.met_before.iter().position(|before| *before == hash) {
                Some(at) => drop(self.met_before.swap_remove(at)),
                None => return Some(slot),
            }
        }
        None
    }

    /// Goes on in a table before which there were so many.
    fn move_to(&mut self, table: usize) {
        if self.table != table {
            self.table = table;
            self.lane = None;
            match self.is_thorough {
                true => self.met.clear(),
                false => self.met_before.append(&mut self.met),
            }
        }
    }

    /// All of home line `home` were met.
    fn pass(&mut self, table: Table<'_>, home: usize) {
        self.from = table.size.first_hash(home + 1);
        self.lane = None;
        self.met.clear();
        self.met_before.retain(|hash| u64::from(*hash) >= self.from);
    }
}

/// Where a look-up begins: found out before the reader publishes its claim, so
/// that it need not wait for it afterwards.
#[derive(Clone, Copy)]
pub(crate) struct Aim {
    table: *mut Block,
    /// Not to be followed before it is known that the table still stands.
    line: *const Line,
}

pub(crate) struct Index {
    /// The first block of the table, from a leaked box, with the table's size
    /// in the low bits.
    table: AtomicPtr<Block>,
    /// How many lines it has, once more, for the one writer alone: so no model
    /// looks at it.
    lines: std::sync::atomic::AtomicUsize,
    /// How many tables there were before this one. Likewise.
    rebuilds: std::sync::atomic::AtomicUsize,
}

fn leak(size: Size) -> *mut Block {
    let blocks = size.lines().div_ceil(BLOCK);
    let blocks: Blocks = (0..blocks).map(|_| Block::default()).collect();
    Box::into_raw(blocks).cast::<Block>().map_addr(|address| address | size.0)
}

#[inline]
fn size_of(table: *mut Block) -> Size {
    Size(table.addr() & Size::BITS)
}

#[inline]
fn first_block(table: *mut Block) -> *mut Block {
    table.map_addr(|address| address & !Size::BITS)
}

/// # Safety
/// `table` was made by `leak`, and is not dropped as long as this is used.
unsafe fn standing<'a>(table: *mut Block) -> Table<'a> {
    let (first, size) = (first_block(table).cast::<Line>(), size_of(table));
    // SAFETY: it has so many lines, in whole blocks.
    let lines = unsafe { std::slice::from_raw_parts(first, size.lines()) };
    Table { lines, size }
}

/// # Safety
/// `table` was made by `leak`, and nobody else owns it.
unsafe fn own(table: *mut Block) -> Blocks {
    let blocks = size_of(table).lines().div_ceil(BLOCK);
    // SAFETY: so the caller promises.
    unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(first_block(table), blocks)) }
}

impl Index {
    pub(crate) fn new() -> Self {
        Self::of(Size::of(1))
    }

    fn of(size: Size) -> Self {
        let table = AtomicPtr::new(leak(size));
        Index { table, lines: size.lines().into(), rebuilds: 0.into() }
    }

    #[inline]
    fn table(&self) -> Table<'_> {
        // SAFETY: whoever takes the table out of here, in `rebuild`, keeps it for
        // as long as this reference may live: that is what `rebuild` asks of its
        // caller. SeqCst: a reader that has published its claim must not find
        // a table that was taken out before.
        unsafe { standing(self.table.load(Ordering::SeqCst)) }
    }

    /// Where to look for `hash`, as things stand.
    #[inline(always)]
    pub(crate) fn aim(&self, hash: u32) -> Aim {
        let table = self.table.load(Ordering::SeqCst);
        let home = size_of(table).home(hash);
        Aim { table, line: first_block(table).cast::<Line>().wrapping_add(home) }
    }

    /// Has the line that `aim` is at fetched, for someone who will go there soon.
    #[inline(always)]
    pub(crate) fn prefetch(&self, aim: Aim) {
        prefetch(aim.line);
    }

    /// The same for the home line of `hash`, by the one writer.
    #[inline(always)]
    pub(crate) fn prefetch_home(&self, hash: u32) {
        prefetch(self.home(hash));
    }

    /// The home line of `hash`, for the one writer: nobody else changes the table
    /// and its number of lines, so they belong together.
    #[inline(always)]
    fn home(&self, hash: u32) -> &Line {
        let lines = self.lines.load(Ordering::Relaxed) as u64;
        // As `Size::home` has it.
        let home = (u64::from(hash) * lines) >> 32;
        let first = first_block(self.table.load(Ordering::SeqCst)).cast::<Line>();
        // SAFETY: the table stands, since only the one writer replaces it, and it has
        // more lines than this.
        unsafe { &*first.add(home as usize) }
    }

    /// Hands each slot that may be of `hash` to `visit`, until that returns
    /// something. `visit` may panic.
    #[inline(always)]
    pub(crate) fn find<R>(
        &self,
        aim: Aim,
        hash: u32,
        mut visit: impl FnMut(Slot) -> Option<R>,
    ) -> Option<R> {
        // The table may have been replaced before the claim was made.
        let aim = self.corrected(aim, hash);
        // SAFETY: the line is one of a table that stands, now that the claim is
        // made; see `table`.
        match unsafe { &*aim.line }.visit(tag_of(hash), &mut visit) {
            Sight::Found(found) => Some(found),
            Sight::Nothing => None,
            // SAFETY: as above. In the same table: in another one, the entry
            // may be in the line that was looked at in this one.
            Sight::Beyond => unsafe { standing(aim.table) }.find_beyond(hash, visit),
        }
    }

    /// As `find`, but looks at one slot only: `Beyond` if there is more to do.
    #[inline(always)]
    pub(crate) fn glance<R>(&self, hash: u32, visit: impl FnOnce(Slot) -> Option<R>) -> Sight<R> {
        // SAFETY: as in `find`.
        unsafe { &*self.aim(hash).line }.glance(tag_of(hash), visit)
    }

    /// How many entries this has room for.
    pub(crate) fn room(&self) -> usize {
        self.table().lines.len() * LANES * LOAD_NUMERATOR / LOAD_DENOMINATOR
    }

    /// Adds `slot` under `hash`. One writer at a time, as for all that change
    /// something.
    pub(crate) fn insert(&self, hash: u32, slot: Slot) {
        self.insert_at(self.aim(hash), hash, slot);
    }

    /// As `insert`, for someone who knows already where to begin.
    #[inline]
    pub(crate) fn insert_at(&self, aim: Aim, hash: u32, slot: Slot) {
        let aim = self.corrected(aim, hash);
        // SAFETY: the table stands, since only the one writer replaces it.
        let line = unsafe { &*aim.line };
        match line.free_lane() {
            Some(lane) => line.take(lane, tag_of(hash), slot),
            None => self.table().place(hash, slot),
        }
    }

    /// Takes out `slot`, which is here under `hash`.
    #[inline]
    pub(crate) fn remove(&self, hash: u32, slot: Slot) {
        let line = self.home(hash);
        match line.lane_of(tag_of(hash), slot) {
            Some(lane) => line.leave(lane),
            None => self.table().remove(hash, slot),
        }
    }

    /// `aim`, unless the table was replaced since it was taken.
    #[inline(always)]
    fn corrected(&self, aim: Aim, hash: u32) -> Aim {
        let stands = self.table.load(Ordering::SeqCst);
        if stands != aim.table {
            return self.aim(hash);
        }
        // By the pointer that was just loaded: it may be another table, which has the
        // memory that one before it had.
        let line = stands.cast::<Line>().with_addr(aim.line.addr());
        Aim { table: stands, line }
    }

    /// Lets `new` take the place of `old`, which is here under the same hash:
    /// readers find the one or the other.
    #[inline]
    pub(crate) fn swing(&self, hash: u32, old: Slot, new: Slot) {
        let line = self.home(hash);
        match line.lane_of(tag_of(hash), old) {
            Some(lane) => line.swing(lane, new),
            None => self.table().swing(hash, old, new),
        }
    }

    /// Moves everything to a table for `entries` entries, about. `hash_of` is
    /// asked for the hash of every slot. Returns the old table.
    ///
    /// # Safety
    /// Readers may still be in the old table: it must not be dropped before
    /// all of them have left.
    pub(crate) unsafe fn rebuild(&self, entries: usize, hash_of: impl Fn(Slot) -> u32) -> Blocks {
        let lines = (entries * LOAD_DENOMINATOR).div_ceil(LANES * LOAD_NUMERATOR);
        let next = Self::of(Size::of(lines.max(1)));
        for slot in self.table().slots() {
            next.insert(hash_of(slot), slot);
        }
        let old = self.table.swap(next.table.load(Ordering::Relaxed), Ordering::SeqCst);
        self.lines.store(next.lines.load(Ordering::Relaxed), Ordering::Relaxed);
        self.rebuilds.store(self.rebuilds.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        std::mem::forget(next);
        // SAFETY: from a leaked box, and nobody else takes it out again.
        unsafe { own(old) }
    }

    /// [`rebuild`](Index::rebuild) by whoever has the index alone.
    #[cfg(larder_fuzz)]
    pub(crate) fn rebuild_alone(&mut self, entries: usize, hash_of: impl Fn(Slot) -> u32) {
        // SAFETY: this reference is exclusive, so there are no readers.
        drop(unsafe { self.rebuild(entries, hash_of) });
    }

    /// Every slot, in no order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.table().slots()
    }

    /// The next slot on a walk over all of them, by the one writer. `hash_of` is
    /// asked for the hash of every slot. What stays throughout the walk is met once,
    /// also if the table is replaced meanwhile, or it gets a new value.
    pub(crate) fn next(&self, cursor: &mut Cursor, hash_of: impl Fn(Slot) -> u32) -> Option<Slot> {
        let table = self.table();
        cursor.move_to(self.rebuilds.load(Ordering::Relaxed));
        while let Ok(from) = u32::try_from(cursor.from) {
            let home = table.home(from);
            let next = cursor.next_of(table, home, &hash_of);
            if next.is_some() {
                return next;
            }
            cursor.pass(table, home);
        }
        None
    }

    /// Checks that every slot can be found and that every spill is accounted
    /// for.
    pub(crate) fn validate(&self, hash_of: impl Fn(Slot) -> u32) -> Result<(), String> {
        let table = self.table();
        let mut spilled = vec![0; table.lines.len()];
        for (at, line) in table.lines.iter().enumerate() {
            for lane in 0..LANES {
                let Some(slot) = line.slot(lane) else {
                    if line.tags.get(lane) != 0 {
                        return Err(format!("index: line {at}: a tag without a slot"));
                    }
                    continue;
                };
                let hash = hash_of(slot);
                if line.tags.get(lane) != tag_of(hash) {
                    return Err(format!("index: {slot:?} has the tag of another hash"));
                }
                let mut passed = table.home(hash);
                while passed != at {
                    spilled[passed] += 1;
                    passed = table.next(passed);
                }
            }
        }
        let counted = |at: usize| table.lines[at].tags.spilled();
        match (0..spilled.len()).find(|at| spilled[*at] != counted(*at)) {
            Some(at) => Err(format!(
                "index: line {at} counts {} spilled, but {} passed it",
                counted(at),
                spilled[at],
            )),
            None => Ok(()),
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // SAFETY: from a leaked box; this reference is exclusive, so there are
        // no readers.
        drop(unsafe { own(self.table.load(Ordering::Relaxed)) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn sizes_are_near_and_never_too_small() {
        assert_eq!(Size::of(1).lines(), 4);
        for lines in (4..5000).chain([1 << 20, (1 << 30) + 1]) {
            let given = Size::of(lines).lines();
            assert!(given >= lines && given <= lines + lines / 8, "{given} for {lines}");
        }
    }

    #[test]
    fn homes_are_spread_over_all_lines_and_no_further() {
        for size in (4..300).chain([1 << 20, (1 << 30) + 1]).map(Size::of) {
            let lines = size.lines();
            assert_eq!((size.home(0), size.home(u32::MAX)), (0, lines - 1));
            let scaled = |hash: u32| ((u64::from(hash) * lines as u64) >> 32) as usize;
            for hash in [1, 77, 1 << 20, 1 << 31, 0x9E37_79B9, u32::MAX - 9] {
                assert_eq!(size.home(hash), scaled(hash));
            }
        }
    }

    #[test]
    fn a_line_is_a_cache_line() {
        assert_eq!(std::mem::size_of::<Line>(), 64);
    }

    #[test]
    fn no_match_is_missed_and_the_first_free_lane_is_free() {
        for tag in 0..=255_u8 {
            for lane in 0..LANES {
                let line = Line::default();
                let others = (0..LANES).filter(|other| *other != lane);
                others.for_each(|other| line.tags.set(other, tag ^ 0x80));
                (0..LANES).for_each(|l| line.slots[l].store(l as u32, Ordering::Relaxed));
                line.tags.set(lane, tag);
                let mut seen = Vec::new();
                let sight = line.visit(tag, &mut |slot| {
                    seen.push(slot.index());
                    None::<()>
                });
                assert!(matches!(sight, Sight::Nothing));
                assert_eq!((seen[0], line.tags.get(lane)), (lane, tag));
                assert_eq!(line.free_lane(), None);
                line.leave(lane);
                assert_eq!(line.free_lane(), Some(lane));
                line.tags.spill();
                assert!(matches!(line.visit(tag, &mut |_| None::<()>), Sight::Beyond));
            }
        }
    }

    #[test]
    fn the_first_hash_of_a_line_is_the_smallest_that_is_at_home_there() {
        for size in (4..300).chain([1 << 20, (1 << 30) + 1]).map(Size::of) {
            for home in [0, 1, 3, size.lines() / 3, size.lines() - 1] {
                let first = size.first_hash(home);
                assert_eq!(size.home(u32::try_from(first).unwrap()), home);
                assert!(home == 0 || size.home(u32::try_from(first - 1).unwrap()) == home - 1);
            }
            assert_eq!(size.first_hash(size.lines()), 1 << 32);
        }
    }

    #[test]
    fn a_walk_meets_each_once_whatever_becomes_of_the_table() {
        let hash = |slot: Slot| slot.raw().wrapping_mul(0x9E37_79B9) >> (slot.raw() % 3);
        for steps_between in 1..40 {
            let index = Index::new();
            // SAFETY: there are no other readers.
            let resize = |room| drop(unsafe { index.rebuild(room, hash) });
            resize(600);
            (0..600).map(Slot::from_index).for_each(|slot| index.insert(hash(slot), slot));
            let mut met = vec![0; 600];
            let mut cursor = Cursor::default();
            for step in 1.. {
                let Some(slot) = index.next(&mut cursor, hash) else { break };
                met[slot.index()] += 1;
                if step % steps_between == 0 {
                    resize(600 * (1 + step / steps_between % 4));
                }
            }
            assert_eq!(met, [1; 600]);
        }
    }

    #[test]
    fn a_thorough_walk_misses_none_of_those_that_share_a_hash() {
        let hash = |_: Slot| 77;
        let index = Index::new();
        // SAFETY: there are no other readers.
        let resize = |room| drop(unsafe { index.rebuild(room, hash) });
        resize(300);
        (0..300).map(Slot::from_index).for_each(|slot| index.insert(77, slot));
        let mut cursor = Cursor::thorough();
        let mut left = 300;
        while let Some(slot) = index.next(&mut cursor, hash) {
            index.remove(77, slot);
            left -= 1;
            if left % 50 == 0 {
                resize(left + 1);
            }
        }
        assert_eq!((left, index.slots().count()), (0, 0));
    }

    proptest! {
        #[test]
        fn an_index_agrees_with_a_map(
            // Few distinct hashes make lines spill; wide ones make it grow.
            ops in prop::collection::vec((0u8..3, 0u32..200, 0u32..4), 0..600)
        ) {
            let index = Index::new();
            let mut model: HashMap<Slot, u32> = HashMap::new();
            for (op, raw, hash_kind) in ops {
                let slot = Slot::from_index(raw as usize);
                let hash = [0, 7, raw % 3, raw.wrapping_mul(0x9E37_79B9)][hash_kind as usize];
                match (op, model.get(&slot).copied()) {
                    (0, None) => {
                        if model.len() == index.room() {
                            // SAFETY: there are no other readers.
                            drop(unsafe { index.rebuild(2 * index.room(), |s| model[&s]) });
                        }
                        index.insert(hash, slot);
                        model.insert(slot, hash);
                    }
                    (1, Some(hash)) => {
                        index.remove(hash, slot);
                        model.remove(&slot);
                    }
                    (2, Some(hash)) => {
                        let other = Slot::from_index(raw as usize + 1000);
                        index.swing(hash, slot, other);
                        prop_assert_eq!(index.find(index.aim(hash), hash, |s| (s == other).then_some(s)), Some(other));
                        prop_assert_eq!(index.find(index.aim(hash), hash, |s| (s == slot).then_some(s)), None);
                        index.swing(hash, other, slot);
                    }
                    _ => {}
                }
                index.validate(|s| model[&s]).map_err(TestCaseError::fail)?;
                prop_assert_eq!(index.slots().count(), model.len());
            }
            for (slot, hash) in &model {
                let found = index.find(index.aim(*hash), *hash, |s| (s == *slot).then_some(s));
                prop_assert_eq!(found, Some(*slot));
            }
        }
    }
}
