//! What `#[memoize]` expands to: nothing here is for anyone else.
//!
//! A memoized function is one call of `load` or `load_async`: with its
//! cache, the key as it is looked up, how it returns, and the function itself.
//!
//! ```text
//!   args     arguments, borrowed ─► a key that need not be built on a hit
//!   caches   one cache for each instance of a generic function
//!   returns  what of a returned value is kept: all, the Ok, the Some
//!   source   a cache, or one that calls the function of its own accord
//!   load     the call of the cache's own loading methods
//! ```
//!
//! What an expansion needs of types is checked first where the user wrote
//! them, by [`assert_key_part`] and [`assert_kept`]: their errors come before
//! those that follow from the same.

mod args;
mod caches;
mod load;
mod returns;
mod source;

use crate::{Cache, EntryOptions, ToKey};
use std::hash::{BuildHasher, Hash};

pub use args::{Args, KeyPart};
pub use caches::{Caches, built, built_loading};
pub use load::{How, load, load_async};
pub use returns::{
    Fails, Fallible, FallibleKind, Kept, Maybe, MaybeFails, Optional, Plan, RetryKind, ReturnKind,
    Returned, Shareable, SharedFails, SharedMaybeFails, Untold, ValueKind,
};

pub use source::{Source, reload, reload_async};

/// The capacity of a function's cache that was given none.
pub const DEFAULT_CAPACITY: usize = 10_000;

/// Nothing is said of the entries.
#[must_use]
pub fn no_options() -> EntryOptions {
    EntryOptions::new()
}

/// Checks an argument's type.
#[inline(always)]
pub const fn assert_key_part<T: KeyPart + ?Sized>() {}

/// Checks the type of what is kept.
#[inline(always)]
pub const fn assert_kept<T: Kept>() {}

/// Checks the type of an error that is remembered.
#[inline(always)]
pub const fn assert_shareable<R: Fallible<Err: Shareable>>() {}

/// [`Cache::get`].
pub fn get<K, V, S, Q>(cache: &Cache<K, V, S>, key: &Q) -> Option<V>
where
    K: Hash + Eq,
    V: Clone,
    S: BuildHasher,
    Q: ToKey<K> + ?Sized,
{
    cache.get(key)
}

/// [`Cache::insert_with`].
pub fn insert<K, V, S, Q>(cache: &Cache<K, V, S>, key: &Q, value: V, options: EntryOptions)
where
    K: Hash + Eq,
    S: BuildHasher,
    Q: ToKey<K> + ?Sized,
{
    cache.insert_with(key.to_key(), value, options);
}

/// [`Cache::invalidate`].
pub fn invalidate<K, V, S, Q>(cache: &Cache<K, V, S>, key: &Q)
where
    K: Hash + Eq,
    S: BuildHasher,
    Q: ToKey<K> + ?Sized,
{
    cache.invalidate(key);
}

/// [`Cache::invalidate_all`].
pub fn invalidate_all<K: Hash + Eq, V, S: BuildHasher>(cache: &Cache<K, V, S>) {
    cache.invalidate_all();
}
