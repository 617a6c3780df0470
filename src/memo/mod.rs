//! What `#[memoize]` expands to: nothing here is for anyone else.
//!
//! A memoized function is one call of [`load`] or [`load_async`]: with its
//! cache, the key as it is looked up, how it returns, and the function itself.
//!
//! ```text
//!   args     arguments, borrowed ─► a key that need not be built on a hit
//!   caches   one cache for each instance of a generic function
//!   returns  what of a returned value is kept: all, the Ok, the Some
//!   load     the call of the cache's own loading methods
//! ```
//!
//! Expansions name the types of keys and values by way of [`KeyPart`] and
//! [`Kept`]. Where a type will not do, the compiler then says so once, in the
//! words of these traits, and does not go on to what follows from it.

mod args;
mod caches;
mod load;
mod returns;

pub use args::{Args, KeyPart};
pub use caches::{Caches, built};
pub use load::{How, load, load_async};
pub use returns::{
    Fails, Fallible, FallibleKind, Kept, Maybe, MaybeFails, Optional, Plan, RetryKind, ReturnKind,
    Returned, Shareable, SharedFails, SharedMaybeFails, ValueKind,
};

/// The capacity of a function's cache that was given none.
pub const DEFAULT_CAPACITY: usize = 10_000;

/// Nothing is said of the entries.
#[must_use]
pub fn no_options() -> crate::EntryOptions {
    crate::EntryOptions::new()
}
