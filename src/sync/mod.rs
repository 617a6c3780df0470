//! The locks and threads that the crate is made of, in one place, so that a
//! model checker can put its own in their stead.
//!
//! ```text
//!   cfg              everything     `modelled`: flights and who waits for them
//!   (none)           parking_lot    parking_lot
//!   larder_shuttle   shuttle        shuttle        random schedules, whole cache
//!   larder_loom      parking_lot    loom           all schedules, flights alone
//! ```

#[cfg(any(larder_loom, larder_shuttle))]
mod checked;

#[cfg(not(larder_shuttle))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(not(larder_shuttle))]
pub(crate) use std::{thread, thread_local};

#[cfg(larder_shuttle)]
pub(crate) use checked::{Condvar, Mutex, MutexGuard};
#[cfg(larder_shuttle)]
pub(crate) use shuttle::{thread, thread_local};

/// What flights are made of.
pub(crate) mod modelled {
    #[cfg(larder_loom)]
    pub(crate) use super::checked::{Condvar, Mutex};
    #[cfg(not(larder_loom))]
    pub(crate) use super::{Condvar, Mutex, thread_local};
    #[cfg(larder_loom)]
    pub(crate) use loom::{sync::Arc, thread_local};
    #[cfg(not(larder_loom))]
    pub(crate) use std::sync::Arc;
}
