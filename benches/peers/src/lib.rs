//! What the binaries of this package share: the caches to compare, keys, a
//! stopwatch, a count of the heap, tables and charts.
//!
//! Caches are set up as their documentation suggests and as larder is: by
//! capacity and rule of expiry, with everything else as by default.

pub mod adaptors;
pub mod args;
pub mod chart;
pub mod contenders;
pub mod expiring;
pub mod heap;
pub mod keys;
pub mod measure;
pub mod pace;
pub mod peer;
pub mod sheet;
pub mod sizes;
pub mod standing;
pub mod synthetic;
pub mod table;
