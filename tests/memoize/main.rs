//! Memoized functions, as their users see them.
//!
//! The strictest lints are on: what `#[memoize]` adds must not be blamed on
//! whoever uses it.
#![cfg(feature = "macros")]
#![warn(clippy::pedantic, rust_2018_idioms, unreachable_pub)]
#![warn(unused_lifetimes, single_use_lifetimes, unused_qualifications, trivial_casts)]

mod arguments;
mod combinations;
mod forms;
mod handle;
mod reloads;
mod returns;
mod settings;
mod tasks;

use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the calls of a function itself.
#[derive(Default)]
struct Calls(AtomicU32);

impl Calls {
    const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Calls since this was last asked.
    fn take(&self) -> u32 {
        self.0.swap(0, Ordering::SeqCst)
    }
}
