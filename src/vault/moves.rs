//! Entries that move to lower slots, so that the memory above them can be given
//! back: a cache that has become much smaller holds few entries in many cells.
//!
//! ```text
//!   lane    slot ─► MOVING  (swap)  ── load every record's word
//!             nobody watches:  empty the one cell, fill the other
//!                    MOVING ─► new slot  (swap)
//!             somebody does:   MOVING ─► old slot, and another time
//! ```
//!
//! It is what removing an entry and adding it again would be, but for the mark.
//! A reader that comes by meanwhile neither finds the key nor misses it: it
//! looks again until it does. That is the one thing that a reader ever waits
//! for, and it takes a few dozen instructions, none of them the user's. So an
//! entry that is there all the time is found all the time.
//!
//! Who comes by before the mark has claimed the hash before, and is seen. Who
//! comes by after it cannot reach the old slot, since no lane has it; nor the
//! new one, which was free.
//!
//! A round looks at all entries, a few in each visit. When one ends with every
//! high slot put aside, the cells there are empty, and leave.

use super::{Cursor, Locked, Retired, is_watched};
use crate::hazard::Word;
use crate::slot::Slot;
use crate::slot::chunks::{Chunks, Shorten};

/// A shard with fewer empty cells than this is not worth the trouble.
const EMPTY_MIN: usize = if cfg!(larder_loom) { 2 } else { 256 };

/// So many slots are left free below, besides a quarter of those that are used:
/// entries may come while others move.
const SLACK: usize = if cfg!(larder_loom) { 1 } else { 16 };

/// After a round in which readers were in the way of everything, so many visits
/// pass at the most before the next one.
const PAUSE_MAX: u32 = 1024;

/// What one visit may spend: looking at an entry costs one step, and moving it
/// as much as looking at so many.
const STEPS: usize = 1024;
const STEPS_OF_A_MOVE: usize = 8;

/// Entries are on their way below `goal`.
pub(super) struct Moving {
    goal: usize,
    /// Free slots from `goal` on.
    pub(super) beyond: Vec<Slot>,
    cursor: Cursor,
    /// Whether this round has moved any.
    has_moved: bool,
    /// Visits to be left out before the next round.
    pause: u32,
    next_pause: u32,
}

/// How far a visit got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// There is nothing to do, or not just now.
    None,
    /// The next visit goes on.
    Some,
    /// No slot from here on is used any more: what stands beside the entries
    /// may be shortened as well.
    Done(usize),
}

impl<K, V, C> Locked<'_, K, V, C> {
    /// Whether so few cells are used that entries should move together.
    #[inline]
    pub(crate) fn is_sparse(&self) -> bool {
        self.under.fresh / 4 > self.under.len + EMPTY_MIN && self.under.moving.is_none()
    }

    /// Lets entries move together, if that gives back a quarter of the memory.
    /// It is done by the visits that follow.
    #[cold]
    pub(crate) fn begin_moving(&mut self) {
        let vault = self.vault;
        let under = &*self.under;
        let wanted = under.len + under.len / 4 + under.limbo.len() + SLACK;
        let goal = vault.slab.end_of_memory(wanted);
        let end = under.moving.as_ref().map_or(under.fresh, |moving| moving.goal);
        if goal + goal / 4 + EMPTY_MIN > end {
            return;
        }
        let expected = under.expected.filter(|expected| *expected < 2 * goal);
        let room = expected.unwrap_or(goal).max(under.len);
        if room < under.room / 2 {
            self.resize_index(room);
        }
        self.stop_moving();
        let (cursor, beyond) = (Cursor::default(), Vec::new());
        let moving = Moving { goal, beyond, cursor, has_moved: false, pause: 0, next_pause: 1 };
        self.under.moving = Some(moving);
        self.sift();
    }

    /// Puts the high ones of the free slots aside.
    fn sift(&mut self) {
        let under = &mut *self.under;
        if let Some(moving) = &mut under.moving {
            let free = std::mem::take(&mut under.free).into_iter();
            let (low, high) = free.partition::<Vec<Slot>, _>(|slot| slot.index() < moving.goal);
            under.free = low;
            moving.beyond.extend(high);
        }
    }

    /// Moves some entries, and tells from where to where: `beside` while no
    /// reader can find the entry, so that what readers look at besides moves
    /// with it, and `and_then` once they can.
    #[cold]
    pub(crate) fn move_some(
        &mut self,
        is_urgent: bool,
        mut beside: impl FnMut(Slot, Slot),
        mut and_then: impl FnMut(&mut Self, Slot, Slot),
    ) -> Progress {
        if !self.is_its_turn(is_urgent) {
            return Progress::None;
        }
        let mut steps = STEPS;
        while steps > 0 {
            let Some(slot) = self.next_on_round() else { return self.end_round() };
            steps -= 1;
            if !self.is_high(slot) {
                continue;
            }
            let Some(to) = self.low_slot() else {
                // There are more entries than there were.
                self.stop_moving();
                return Progress::None;
            };
            if self.relocate(slot, to, &mut beside) {
                and_then(self, slot, to);
                steps = steps.saturating_sub(STEPS_OF_A_MOVE);
            } else {
                self.under.free.push(to);
            }
        }
        Progress::Some
    }

    fn is_its_turn(&mut self, is_urgent: bool) -> bool {
        let Some(moving) = &mut self.under.moving else { return false };
        if is_urgent {
            moving.pause = 0;
        }
        let is_it = moving.pause == 0;
        moving.pause = moving.pause.saturating_sub(1);
        is_it
    }

    fn next_on_round(&mut self) -> Option<Slot> {
        let moving = self.under.moving.as_mut()?;
        self.vault.index.next(&mut moving.cursor, |slot| self.vault.slab.hash(slot))
    }

    fn is_high(&self, slot: Slot) -> bool {
        self.under.moving.as_ref().is_some_and(|moving| slot.index() >= moving.goal)
    }

    fn low_slot(&mut self) -> Option<Slot> {
        let under = &mut *self.under;
        let moving = under.moving.as_mut()?;
        loop {
            match under.free.pop()? {
                slot if slot.index() < moving.goal => return Some(slot),
                slot => moving.beyond.push(slot),
            }
        }
    }

    /// Moves the entry at `from`, which is linked, to `to`, which is free,
    /// unless readers are in the way. Nobody waits for more than this.
    fn relocate(&mut self, from: Slot, to: Slot, beside: impl FnOnce(Slot, Slot)) -> bool {
        let vault = self.vault;
        let (slab, index, cell) = (&vault.slab, &vault.index, vault.slab.cell(from));
        let hash = cell.hash();
        index.swing(hash, from, Slot::MOVING);
        if is_watched(Word::new(vault.salt, hash), from) {
            index.swing(hash, Slot::MOVING, from);
            return false;
        }
        // SAFETY: the entry cannot be found, nobody has found it, and this is
        // the one writer.
        let entry = unsafe { slab.empty(from, cell) };
        // SAFETY: the slot is free, and this is the one writer.
        unsafe { slab.fill(to, hash, entry) };
        slab.set_hits(to, slab.hits(from));
        slab.cell(to).set_linked();
        beside(from, to);
        index.swing(hash, Slot::MOVING, to);
        let under = &mut *self.under;
        if !under.weights.is_empty() {
            let weight = under.weights.get(from.index()).copied().unwrap_or(1);
            under.set_weight(to, weight);
        }
        if let Some(moving) = &mut under.moving {
            moving.beyond.push(from);
            moving.has_moved = true;
        }
        true
    }

    /// All entries were looked at. Writers may have put others high up since.
    fn end_round(&mut self) -> Progress {
        self.sift();
        let fresh = self.under.fresh;
        let Some(moving) = &mut self.under.moving else { return Progress::None };
        if moving.beyond.len() == fresh - moving.goal {
            let goal = moving.goal;
            self.under.moving = None;
            self.leave_cells(goal);
            return Progress::Done(goal);
        }
        moving.cursor = Cursor::default();
        if std::mem::take(&mut moving.has_moved) {
            moving.next_pause = 1;
            return Progress::Some;
        }
        moving.pause = moving.next_pause;
        moving.next_pause = (moving.next_pause * 2).min(PAUSE_MAX);
        Progress::None
    }

    /// Lets entries stay where they are.
    pub(super) fn stop_moving(&mut self) {
        if let Some(moving) = self.under.moving.take() {
            self.under.free.extend(moving.beyond);
        }
    }

    /// Gives back the memory from `end` on. There, all cells are empty, and
    /// their slots are in no list.
    pub(super) fn leave_cells(&mut self, end: usize) {
        self.settle_cells();
        let under = &mut *self.under;
        under.fresh = end;
        under.weights.truncate(end);
        under.weights.shrink_to_fit();
        under.free.shrink_to_fit();
        // SAFETY: all cells from there on are empty; and they are kept, as a
        // leftover, until no reader is there.
        let cells = unsafe { self.vault.slab.take_from(end) };
        let mut cells = Retired::new(cells, self.vault.salt);
        under.cells = cells.is_visited().then_some(cells);
    }
}

impl<K, V, C> Shorten for Locked<'_, K, V, C> {
    fn shorten<T>(&self, beside: &Chunks<T>) {
        // SAFETY: no cell from there on is used, so nobody holds an entry there.
        // What stands beside an entry is looked at by those who hold it, or who
        // have the lock, as we do.
        drop(unsafe { beside.take_from(self.under.fresh) });
    }
}
