//! The locks and threads that the crate is made of, in one place, so that a
//! model checker can put its own in their stead.
//!
//! ```text
//!   cfg              everything     `modelled`: flights, and the ground floor
//!   (none)           parking_lot    parking_lot, std
//!   larder_shuttle   shuttle        shuttle        random schedules, whole cache
//!   larder_loom      parking_lot    loom           all schedules, one protocol
//! ```

#![allow(unused_imports, dead_code, reason = "each set is whole, whatever is used of it")]

#[cfg(any(larder_loom, larder_shuttle))]
mod checked;
#[cfg(larder_loom)]
mod looms;

#[cfg(not(larder_shuttle))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(not(larder_shuttle))]
pub(crate) use std::{thread, thread_local};

#[cfg(larder_shuttle)]
pub(crate) use checked::{Condvar, Mutex, MutexGuard};
#[cfg(larder_shuttle)]
pub(crate) use shuttle::{thread, thread_local};

/// What flights are made of, and what readers without a lock look at.
pub(crate) mod modelled {
    #[cfg(larder_loom)]
    pub(crate) use super::checked::{Condvar, Mutex, MutexGuard};
    #[cfg(larder_loom)]
    pub(crate) use super::looms::{Life, UnsafeCell, atomic};
    #[cfg(not(larder_loom))]
    pub(crate) use super::{Condvar, Mutex, MutexGuard, thread, thread_local};
    #[cfg(larder_loom)]
    pub(crate) use loom::{sync::Arc, thread, thread_local};
    #[cfg(not(larder_loom))]
    pub(crate) use std::sync::Arc;

    #[cfg(not(any(larder_loom, larder_shuttle)))]
    pub(crate) use std::sync::atomic;

    #[cfg(all(larder_shuttle, not(larder_loom)))]
    pub(crate) use shuttle::sync::atomic;

    #[cfg(not(larder_loom))]
    pub(crate) use plain::{Life, UnsafeCell};

    /// The standard cell in the shape that a checker can look into.
    #[cfg(not(larder_loom))]
    mod plain {
        #[derive(Default)]
        pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

        impl<T> UnsafeCell<T> {
            pub(crate) const fn new(value: T) -> Self {
                UnsafeCell(std::cell::UnsafeCell::new(value))
            }

            /// For reading.
            #[inline(always)]
            pub(crate) fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
                look(self.0.get())
            }

            /// For writing.
            #[inline(always)]
            pub(crate) fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
                change(self.0.get())
            }
        }

        /// Nothing; under a checker, what notices that memory is looked at
        /// after its time.
        #[derive(Default)]
        pub(crate) struct Life(());

        impl Life {
            #[inline(always)]
            pub(crate) fn is_needed(&self) {}
        }
    }
}
