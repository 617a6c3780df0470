//! How much memory the process has asked for and not given back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

struct Counting;

static HELD: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static HELD_HERE: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    HELD.fetch_add(bytes, Ordering::Relaxed);
    HELD_HERE.set(HELD_HERE.get() + bytes);
}

// SAFETY: what is asked for is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: so the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: so the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// In bytes.
#[allow(dead_code, reason = "some tests look at one thread alone")]
pub fn held() -> i64 {
    HELD.load(Ordering::Relaxed)
}

/// By this thread alone: what it has given back counts, whoever asked for it.
#[allow(dead_code, reason = "most tests look at all threads")]
pub fn held_here() -> i64 {
    HELD_HERE.get()
}
