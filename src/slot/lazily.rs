//! A value that is made when it is first needed, for readers without a lock.
//!
//! Like `OnceLock<Box<T>>`, but whether it is there is one load and one
//! comparison.

use crate::sync::modelled::atomic::{AtomicPtr, Ordering};
use std::ptr;

/// Null, or a value from a leaked box.
pub(crate) struct Lazily<T>(AtomicPtr<T>);

// SAFETY: it owns its value as an `Option<Box<T>>` would.
unsafe impl<T: Send> Send for Lazily<T> {}
// SAFETY: as above; and whoever shares it may make the value.
unsafe impl<T: Send + Sync> Sync for Lazily<T> {}

impl<T> Default for Lazily<T> {
    fn default() -> Self {
        Lazily(AtomicPtr::new(ptr::null_mut()))
    }
}

impl<T> Lazily<T> {
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        // SAFETY: not null means from a leaked box that `put` has published
        // with Release, and that only `drop` takes out again.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    pub(crate) fn get_or_make(&self) -> &T
    where
        T: Default,
    {
        self.get_or_make_with(T::default)
    }

    pub(crate) fn get_or_make_with(&self, make: impl FnOnce() -> T) -> &T {
        self.get().unwrap_or_else(|| self.put(make()))
    }

    #[cold]
    fn put(&self, value: T) -> &T {
        let made = Box::into_raw(Box::new(value));
        let swapped =
            self.0.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire);
        if swapped.is_err() {
            // SAFETY: another thread was first, and nobody has seen this one.
            drop(unsafe { Box::from_raw(made) });
        }
        self.get().expect("it was just made")
    }
}

impl<T> Drop for Lazily<T> {
    fn drop(&mut self) {
        let made = self.0.load(Ordering::Relaxed);
        if !made.is_null() {
            // SAFETY: from a leaked box, and this reference is exclusive.
            drop(unsafe { Box::from_raw(made) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn threads_that_race_find_one_value() {
        let lazily: Arc<Lazily<AtomicUsize>> = Arc::default();
        assert!(lazily.get().is_none());
        let add = |_| {
            let lazily = Arc::clone(&lazily);
            std::thread::spawn(move || lazily.get_or_make().fetch_add(1, Ordering::Relaxed))
        };
        let threads: Vec<_> = (0..4).map(add).collect();
        threads.into_iter().for_each(|thread| assert!(thread.join().is_ok()));
        assert_eq!(lazily.get().map(|sum| sum.load(Ordering::Relaxed)), Some(4));
    }
}
