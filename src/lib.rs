//! A concurrent in-process cache.
#![deny(unsafe_code)]

mod budget;
mod builder;
mod cache;
mod claim;
mod hash;
mod index;
mod listener;
mod policy;
mod shard;
mod slab;
mod slot;
mod stats;
mod tags;

pub use builder::{BuildError, Builder};
pub use cache::entry::{Compute, ComputeError, Entry, Outcome};
pub use cache::iter::Iter;
pub use cache::{Cache, EntryOptions};
pub use equivalent::Equivalent;
pub use hash::{DefaultHashBuilder, DefaultHasher};
pub use listener::Cause;
pub use policy::{Eviction, ParseEvictionError};
pub use stats::Stats;
