//! An array that grows without ever moving what it holds.
//!
//! It is made of chunks. A reader needs no lock to find its way, and what it
//! has found stays at its address. Each chunk is a fifth or less of what lies
//! before it, so little is allocated that is not used:
//!
//! ```text
//!   chunk   0: 0–15   1: 16–31   2: 32–47   3: 48–63   4: 64–95   5: 96–127  …
//! ```

use super::Slot;
use crate::sync::Mutex;
use crate::sync::modelled::atomic::{AtomicPtr, Ordering};
use std::ptr;

/// Chunks between one doubling and the next.
const STEPS: usize = 4;
const STEPS_BITS: u32 = STEPS.trailing_zeros();

/// As long as the first chunks of a doubling together.
const FIRST: usize = if cfg!(larder_loom) { 8 } else { 64 };
const FIRST_BITS: u32 = FIRST.trailing_zeros();

/// Enough for every slot there can be.
const CHUNKS: usize =
    if cfg!(larder_loom) { 2 * STEPS } else { (32 - FIRST_BITS as usize + 1) * STEPS };

/// What owns a chunk's memory once it has been taken out.
pub(crate) struct Chunk<T> {
    values: Box<[T]>,
    chunk: usize,
}

pub(crate) struct Chunks<T> {
    /// Null, or where the value of place 0 would be if all places lay in a row
    /// with this chunk's, which come from a leaked box. So a value is found
    /// without knowing where its chunk begins.
    chunks: [AtomicPtr<T>; CHUNKS],
    /// Where each chunk does begin. Nobody looks there but programs that look
    /// for leaks: to them, memory is lost if no pointer leads into it, and those
    /// above lead beside it.
    begins: Mutex<Vec<*mut T>>,
}

/// Whoever knows up to where slots are used. Gives back the memory of what stands
/// beside entries, for the slots beyond.
pub(crate) trait Shorten {
    fn shorten<T>(&self, beside: &Chunks<T>);
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        let chunks = std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut()));
        Chunks { chunks, begins: Mutex::default() }
    }
}

// SAFETY: a `Chunks` owns its values as a `Vec` would, and hands out shared
// references to them from shared references to itself.
unsafe impl<T: Send> Send for Chunks<T> {}
// SAFETY: as above; values are also made and dropped by whoever shares it.
unsafe impl<T: Send + Sync> Sync for Chunks<T> {}

impl<T> Chunks<T> {
    /// The value of `slot`, if its chunk was made.
    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&T> {
        self.with(slot, || None, Some)
    }

    /// What `look` says of the value of `slot`, if its chunk was made, and else
    /// what `gone` says.
    #[inline(always)]
    pub(crate) fn with<'a, R>(
        &'a self,
        slot: Slot,
        gone: impl FnOnce() -> Option<R>,
        look: impl FnOnce(&'a T) -> Option<R>,
    ) -> Option<R> {
        let place = slot.index() + FIRST;
        // SeqCst: a reader that has published its claim must not find a chunk
        // that was taken out before; see `take_from`.
        let is_no_slot = slot == Slot::MOVING || slot.raw() == Slot::NONE;
        debug_assert!(chunk_of(place) < CHUNKS || is_no_slot);
        if cfg!(larder_loom) && is_no_slot {
            return gone();
        }
        // SAFETY: there are chunks for every number that a slot may have.
        let origin = unsafe { self.chunks.get_unchecked(chunk_of(place)) }.load(Ordering::SeqCst);
        if origin.is_null() {
            return gone();
        }
        // SAFETY: a chunk that is not null has a value for each of its places,
        // all made before its pointer was stored. Whoever takes a chunk out
        // keeps it for as long as this reference may live; that is what
        // `take_from` asks of its caller.
        look(unsafe { &*origin.wrapping_add(place) })
    }

    /// The value of `slot`, whose chunk was made.
    #[inline(always)]
    pub(crate) fn at(&self, slot: Slot) -> &T {
        debug_assert_ne!(slot, Slot::MOVING, "there is nothing there");
        let place = slot.index() + FIRST;
        // SAFETY: as in `with`, here and below.
        let origin = unsafe { self.chunks.get_unchecked(chunk_of(place)) }.load(Ordering::SeqCst);
        assert!(!origin.is_null(), "the chunk of a slot that was used exists");
        // SAFETY: as above.
        unsafe { &*origin.wrapping_add(place) }
    }

    /// The value of `slot`; a default one if it is the first of its chunk.
    #[inline]
    pub(crate) fn of(&self, slot: Slot) -> &T
    where
        T: Default,
    {
        self.get(slot).unwrap_or_else(|| {
            self.make(chunk_of(slot.index() + FIRST));
            self.get(slot).expect("its chunk was just made")
        })
    }

    /// Where the chunk ends that the place before `index` lies in.
    pub(crate) fn end_of_chunk(index: usize) -> usize {
        let chunk = chunk_of((index + FIRST).max(FIRST + 1) - 1);
        first_of(chunk) + len_of(chunk) - FIRST
    }

    /// Every value of every chunk that was made, by slot. Those that take chunks
    /// out must not do so meanwhile.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().enumerate().flat_map(|(chunk, origin)| {
            let origin = origin.load(Ordering::SeqCst);
            let len = if origin.is_null() { 0 } else { len_of(chunk) };
            (first_of(chunk)..first_of(chunk) + len).map(move |place| {
                // SAFETY: as in `get`.
                unsafe { &*origin.wrapping_add(place) }
            })
        })
    }

    #[cold]
    fn make(&self, chunk: usize)
    where
        T: Default,
    {
        let values = (0..len_of(chunk)).map(|_| T::default()).collect();
        self.put(Chunk { values, chunk });
    }

    /// Puts `Chunk`s back where they were taken out, unless they were made anew
    /// since.
    pub(crate) fn put_back(&self, chunks: Vec<Chunk<T>>) {
        chunks.into_iter().for_each(|chunk| self.put(chunk));
    }

    fn put(&self, Chunk { values, chunk }: Chunk<T>) {
        let begin = Box::into_raw(values).cast::<T>();
        let made = begin.wrapping_sub(first_of(chunk));
        assert!(!made.is_null(), "null stands for a chunk that is not there");
        let place = &self.chunks[chunk];
        let raced =
            place.compare_exchange(ptr::null_mut(), made, Ordering::SeqCst, Ordering::SeqCst);
        if raced.is_err() {
            // SAFETY: nobody else has seen `made`.
            return drop(unsafe { own(made, chunk) });
        }
        self.begins.lock().push(begin);
    }

    /// Drops the chunks that lie wholly at or beyond `index`.
    pub(crate) fn cut(&mut self, index: usize) {
        // SAFETY: this reference is exclusive, so there are no others.
        drop(unsafe { self.take_from(index) });
    }

    /// Takes out the chunks that lie wholly at or beyond `index`.
    ///
    /// # Safety
    /// Others may still hold references into what is returned: it must not be
    /// dropped before all of them are gone.
    pub(crate) unsafe fn take_from(&self, index: usize) -> Vec<Chunk<T>> {
        let first_chunk =
            (0..CHUNKS).find(|chunk| first_of(*chunk) >= index + FIRST).unwrap_or(CHUNKS);
        let taken = self.chunks[first_chunk..].iter().enumerate().filter_map(|(at, chunk)| {
            let values = chunk.swap(ptr::null_mut(), Ordering::SeqCst);
            // SAFETY: it was made by `make` for this place, and nobody else
            // takes it out again.
            (!values.is_null()).then(|| unsafe { own(values, first_chunk + at) })
        });
        let taken: Vec<Chunk<T>> = taken.collect();
        let is_here = |begin: &*mut T| !taken.iter().any(|chunk| chunk.values.as_ptr() == *begin);
        self.begins.lock().retain(is_here);
        taken
    }
}

#[cfg(larder_fuzz)]
impl<T> Chunks<T> {
    /// [`take_from`](Chunks::take_from) by whoever has the chunks alone.
    pub(crate) fn take_from_alone(&mut self, index: usize) -> Vec<Chunk<T>> {
        // SAFETY: this reference is exclusive, so there are no others.
        unsafe { self.take_from(index) }
    }
}

impl<T> Drop for Chunks<T> {
    fn drop(&mut self) {
        // SAFETY: there are no references any more: this one is exclusive.
        drop(unsafe { self.take_from(0) });
    }
}

/// # Safety
/// `origin` was made by `Chunks::put` for `chunk`, and nobody else owns it.
unsafe fn own<T>(origin: *mut T, chunk: usize) -> Chunk<T> {
    let values = origin.wrapping_add(first_of(chunk));
    // SAFETY: so the caller promises.
    let values = unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(values, len_of(chunk))) };
    Chunk { values, chunk }
}

/// The chunk that `place` lies in; places begin with `FIRST`.
#[inline]
fn chunk_of(place: usize) -> usize {
    // The number of the doubling, and below it the step: that is how a float
    // begins, so one conversion does what would take shifts and subtractions.
    // A place has 33 bits, so it loses none.
    const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    let bits = (place as i64 as f64).to_bits() >> (FRACTION_BITS - STEPS_BITS);
    bits as usize - FLOAT_OF_FIRST
}

/// What [`chunk_of`] finds there for the first place of the first chunk.
const FLOAT_OF_FIRST: usize = ((f64::MAX_EXP as usize - 1) + FIRST_BITS as usize) << STEPS_BITS;

fn len_of(chunk: usize) -> usize {
    (FIRST / STEPS) << (chunk / STEPS)
}

/// The first place in `chunk`.
fn first_of(chunk: usize) -> usize {
    (FIRST << (chunk / STEPS)) + (chunk % STEPS) * len_of(chunk)
}

/// Has the cache line of `place` fetched, for someone who will go there soon.
#[inline(always)]
pub(crate) fn prefetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: fetching changes nothing, and needs no memory to be there.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn every_slot_has_a_value_of_its_own_and_keeps_it() {
        let chunks: Chunks<AtomicUsize> = Chunks::default();
        assert!(chunks.get(Slot::from_index(5)).is_none());
        for index in 0..5000 {
            chunks.of(Slot::from_index(index)).store(index, Ordering::Relaxed);
        }
        for index in 0..5000 {
            let value = chunks.get(Slot::from_index(index)).unwrap();
            assert_eq!(value.load(Ordering::Relaxed), index);
        }
    }

    #[test]
    fn chunks_follow_one_another_without_a_gap() {
        let mut next = FIRST;
        for chunk in 0..CHUNKS {
            assert_eq!((first_of(chunk), chunk_of(next)), (next, chunk));
            next += len_of(chunk);
            assert_eq!(chunk_of(next - 1), chunk);
        }
    }

    #[test]
    fn the_last_slot_there_can_be_has_a_place() {
        assert!(chunk_of(u32::MAX as usize + FIRST) < CHUNKS);
    }

    #[test]
    fn what_stands_for_a_slot_has_no_value() {
        let chunks: Chunks<AtomicUsize> = Chunks::default();
        let last = chunk_of(u32::MAX as usize - 64 + FIRST);
        for no_slot in [Slot::MOVING, Slot::or_none(Slot::NONE)] {
            assert!(chunks.get(no_slot).is_none());
            let chunk = chunk_of(no_slot.index() + FIRST);
            assert!(chunk != last && chunk < CHUNKS, "its chunk is never made");
        }
    }

    #[test]
    fn a_chunk_ends_where_the_next_one_begins() {
        let ends = [0, 1, 16, 17, 64, 65, 96, 97].map(Chunks::<u8>::end_of_chunk);
        assert_eq!(ends, [16, 16, 16, 32, 64, 96, 96, 128]);
    }

    #[test]
    fn what_is_taken_out_is_made_anew_when_it_is_needed() {
        let chunks: Chunks<AtomicUsize> = Chunks::default();
        for index in 0..200 {
            chunks.of(Slot::from_index(index)).store(index, Ordering::Relaxed);
        }
        // SAFETY: no reference into it is left.
        drop(unsafe { chunks.take_from(70) });
        assert!(chunks.get(Slot::from_index(95)).is_some(), "its chunk begins before 70");
        assert!(chunks.get(Slot::from_index(96)).is_none());
        assert_eq!(chunks.of(Slot::from_index(199)).load(Ordering::Relaxed), 0);
        assert_eq!(chunks.of(Slot::from_index(95)).load(Ordering::Relaxed), 95);
    }
}
