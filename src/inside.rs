//! Whether this thread runs code of the user that other threads may wait for.
//!
//! A listener that is being told of a key, and a computation of one, make
//! others wait. Whoever runs such code must not wait for a listener in turn,
//! or two of them could wait for each other.

use std::cell::Cell;

crate::sync::thread_local! {
    /// How many listeners and computations this thread is inside of.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// As long as this lives, the thread is inside.
pub(crate) struct Inside {
    /// Not to be sent to another thread.
    _here: std::marker::PhantomData<*const ()>,
}

impl Inside {
    pub(crate) fn enter() -> Self {
        // A thread that is ending has lost the number, and can start no
        // further computation.
        let _ = DEPTH.try_with(|depth| depth.set(depth.get() + 1));
        Inside { _here: std::marker::PhantomData }
    }

    /// Whether this thread is inside of anything.
    pub(crate) fn is_any() -> bool {
        DEPTH.try_with(|depth| depth.get() > 0).unwrap_or(false)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = DEPTH.try_with(|depth| depth.set(depth.get() - 1));
    }
}
