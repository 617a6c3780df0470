//! An allocator that has no more to give: from a certain allocation on, or of
//! what is larger than a certain size.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

struct Scarce;

static IS_SCARCE: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);
static REFUSED: AtomicUsize = AtomicUsize::new(0);
/// So many are granted, none of them larger than that.
static GRANTED: AtomicUsize = AtomicUsize::new(usize::MAX);
static SIZE_MAX: AtomicUsize = AtomicUsize::new(usize::MAX);

fn is_refused(bytes: usize) -> bool {
    if !IS_SCARCE.load(Relaxed) {
        return false;
    }
    LARGEST.fetch_max(bytes, Relaxed);
    let is_late = ASKED.fetch_add(1, Relaxed) >= GRANTED.load(Relaxed);
    let is_refused = is_late || bytes > SIZE_MAX.load(Relaxed);
    REFUSED.fetch_add(usize::from(is_refused), Relaxed);
    is_refused
}

// SAFETY: what is not refused is handed to the system's allocator as it is. What
// grows, or is wanted empty, comes by `alloc` as well: that is the trait's way.
unsafe impl GlobalAlloc for Scarce {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_refused(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: so the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: so the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Scarce = Scarce;

/// What is refused.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    Nothing,
    /// All but so many allocations.
    After(usize),
    LargerThan(usize),
}

impl Limit {
    /// Of so many allocations, each of at most so many bytes.
    fn numbers(self) -> (usize, usize) {
        match self {
            Limit::Nothing => (usize::MAX, usize::MAX),
            Limit::After(granted) => (granted, usize::MAX),
            Limit::LargerThan(size) => (usize::MAX, size),
        }
    }

    /// What `Display` has written.
    pub fn parse(text: &str) -> Self {
        let (granted, size) = text.split_once(' ').unwrap();
        match (granted.parse().unwrap(), size.parse().unwrap()) {
            (usize::MAX, usize::MAX) => Limit::Nothing,
            (granted, usize::MAX) => Limit::After(granted),
            (_, size) => Limit::LargerThan(size),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (granted, size) = self.numbers();
        write!(f, "{granted} {size}")
    }
}

/// What all threads have asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Census {
    pub asked: usize,
    pub largest: usize,
    pub refused: usize,
}

/// Once in a process.
pub fn during(limit: Limit, script: fn()) -> Census {
    let (granted, size) = limit.numbers();
    GRANTED.store(granted, Relaxed);
    SIZE_MAX.store(size, Relaxed);
    IS_SCARCE.store(true, Relaxed);
    script();
    IS_SCARCE.store(false, Relaxed);
    let [asked, largest, refused] = [&ASKED, &LARGEST, &REFUSED].map(|count| count.load(Relaxed));
    Census { asked, largest, refused }
}
