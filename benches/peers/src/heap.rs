//! How much of the heap is in use: an allocator that counts while it is asked to.
//!
//! Counted is what was asked for, by whichever thread. What the allocator itself
//! adds for each block (8 to 16 bytes in most) comes on top, which is why blocks
//! are counted, too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// The system's allocator, with a counter. A binary that wants to count says
///
/// ```
/// use peers::heap::Counting;
///
/// #[global_allocator]
/// static HEAP: Counting = Counting;
/// ```
#[derive(Debug)]
pub struct Counting;

/// While this is false an allocation costs a look at it: a shared counter that
/// is always on would have the threads of a benchmark wait for each other.
static IS_ON: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicI64 = AtomicI64::new(0);
static BLOCKS: AtomicI64 = AtomicI64::new(0);

/// What is in use, or what has come into use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// As asked for.
    pub bytes: i64,
    /// Allocations not yet freed.
    pub blocks: i64,
}

/// Makes something, and says how much of the heap that has taken and not given
/// back. One call at a time: the counters are the program's.
pub fn of<T>(make: impl FnOnce() -> T) -> (T, Usage) {
    BYTES.store(0, Ordering::SeqCst);
    BLOCKS.store(0, Ordering::SeqCst);
    IS_ON.store(true, Ordering::SeqCst);
    let made = make();
    IS_ON.store(false, Ordering::SeqCst);
    let (bytes, blocks) = (BYTES.load(Ordering::SeqCst), BLOCKS.load(Ordering::SeqCst));
    (made, Usage { bytes, blocks })
}

fn count(bytes: i64, blocks: i64) {
    if IS_ON.load(Ordering::Relaxed) {
        BYTES.fetch_add(bytes, Ordering::Relaxed);
        BLOCKS.fetch_add(blocks, Ordering::Relaxed);
    }
}

/// No layout is larger than `isize::MAX`.
fn size(layout: Layout) -> i64 {
    layout.size() as i64
}

#[expect(unsafe_code, reason = "the standard library knows no other way to see allocations")]
// SAFETY: every call goes to `System` with what came in; counting does not
// allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout), 1);
        // SAFETY: the caller keeps the promises of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(size(layout), 1);
        // SAFETY: the caller keeps the promises of `GlobalAlloc::alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-size(layout), -1);
        // SAFETY: `block` came from this allocator, so from `System`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as i64 - size(layout), 0);
        // SAFETY: `block` came from this allocator, so from `System`.
        unsafe { System.realloc(block, layout, new_size) }
    }
}
