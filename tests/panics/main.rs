//! A panic in the user's code spoils nothing but the call that it ends.
//!
//! Keys, values and callbacks here are bombs: the n-th time that one kind of
//! code runs, it panics. Each operation is run with each kind of bomb, first
//! at its first use, then at its second, until the operation gets by without.
//! After each panic all other keys have their values, the cache is in order,
//! every method works from another thread, and in the end every value was told
//! once, and every key and value dropped once.
//!
//! An operation that meets a kind of bomb is a *cell*. Each part counts its
//! cells, and fails if there are fewer than before: then some code is not
//! reached any more.

#[path = "../common/quiet.rs"]
mod quiet;
#[path = "../common/watchdog.rs"]
mod watchdog;

mod bombs;
mod entries;
#[cfg(feature = "journal")]
mod journal;
mod loads;
mod matrix;
#[cfg(feature = "macros")]
mod memo;
mod pantry;
mod shop;
mod stores;
mod waiters;

/// All the cells that are there at the least, if all features are on.
#[cfg(all(feature = "journal", feature = "macros"))]
const _: () = {
    let (loads, stores) = (loads::CELLS, stores::CELLS);
    let loads = loads[0] + loads[1] + loads[2] + loads[3];
    let stores = stores[0] + stores[1] + stores[2] + stores[3] + stores[4] + stores[5];
    assert!(entries::CELLS + loads + stores + memo::CELLS == 1962);
};
