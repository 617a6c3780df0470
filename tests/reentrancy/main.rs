//! Every callback may use the cache that calls it.
//!
//! Whatever would have to wait for itself is refused, with an error where there
//! is one to be had and else with a panic, alone or in a circle of threads;
//! nothing hangs.
//!
//! `Hash`, `Eq`, `Clone` and a `Clock` are no callbacks: they may run under a
//! lock, and must not use the cache.

#[path = "../common/quiet.rs"]
mod quiet;
#[path = "../common/watchdog.rs"]
mod watchdog;

mod entries;
mod everything;
mod hooks;
