//! Finishing what was begun although the user's code panics on the way.
//!
//! A value may panic as it is dropped. What has several things to do then does
//! the rest first, and raises the panic again when it is done.
//!
//! What a function returns is forgotten, neither dropped nor returned, if what
//! is left to be dropped after it panics: that is how Rust unwinds
//! (rust-lang/rust#47949). So where the user's code may run as a function ends,
//! what it returns is a variable until all else has been dropped:
//!
//! ```text
//!   let value = find(&key);
//!   drop(key);                 if this panics, the value is dropped, too
//!   value                      nothing is left to be dropped after it
//! ```

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The first panic of several steps.
#[derive(Default)]
#[must_use = "a panic that was caught has to be raised again: call `finish`"]
pub(crate) struct Steady {
    panic: Option<Box<dyn Any + Send>>,
}

impl Steady {
    /// Does one step. `None` if it panicked.
    pub(crate) fn step<R>(&mut self, step: impl FnOnce() -> R) -> Option<R> {
        // What a step leaves behind is looked at again only through locks that
        // a panic releases, on data that is changed before user code runs.
        match catch_unwind(AssertUnwindSafe(step)) {
            Ok(done) => Some(done),
            Err(panic) => {
                self.panic.get_or_insert(panic);
                None
            }
        }
    }

    /// [`finish`](Steady::finish) for a `drop`, which may run as another panic
    /// unwinds: that one goes on.
    pub(crate) fn finish_drop(self) {
        if !std::thread::panicking() {
            self.finish();
        }
    }

    /// Raises the first panic, if there was one.
    pub(crate) fn finish(self) {
        if let Some(panic) = self.panic {
            resume_unwind(panic);
        }
    }

    /// Raises the panic of a step that has returned `None`.
    pub(crate) fn resume(self) -> ! {
        self.finish();
        unreachable!("a step that did not end has panicked")
    }
}
