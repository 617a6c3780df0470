//! loom's atomics, with sequentially consistent loads that deserve the name.
//!
//! loom takes `SeqCst` for `AcqRel`, with one exception: a `SeqCst` load does
//! not return a `SeqCst` store if there is a later one. That is all that
//! Dekker's argument needs, if every store that may be overwritten is one. So
//! here the first value is stored with `SeqCst`, and what asks for `Release` as
//! well: in loom, they do not differ otherwise.
//!
//! And loom remembers only the last access to an atomic when it looks for
//! orders to try: a thread's own load hides another thread's before it, and
//! orders are left out (Flanagan and Godefroid, "Dynamic partial-order
//! reduction", 2005, ask for all of them unless all accesses depend on each
//! other). So every access here is preceded by one that does depend on all
//! others of the same atomic, and changes nothing.

pub(crate) use loom::cell::UnsafeCell;

/// Part of memory that is retired while readers look on: to drop it is a write,
/// and loom sees to it that nobody reads at the same time or later.
pub(crate) struct Life(UnsafeCell<bool>);

impl Default for Life {
    fn default() -> Self {
        Life(UnsafeCell::new(true))
    }
}

impl Life {
    pub(crate) fn is_needed(&self) {
        // SAFETY: loom has checked that nobody writes.
        let is_alive = self.0.with(|is_alive| unsafe { *is_alive });
        assert!(is_alive, "memory is used after it was dropped");
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // SAFETY: loom has checked that nobody else is here.
        self.0.with_mut(|is_alive| unsafe { *is_alive = false });
    }
}

pub(crate) mod atomic {
    use loom::sync::atomic as inner;
    pub(crate) use std::sync::atomic::Ordering;

    struct Step(inner::AtomicBool);

    impl Step {
        fn new() -> Self {
            Step(inner::AtomicBool::new(false))
        }

        fn take(&self) {
            let _ = self.0.compare_exchange(true, true, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn strong(order: Ordering) -> Ordering {
        if order == Ordering::Release { Ordering::SeqCst } else { order }
    }

    macro_rules! wrapped {
        ($($name:ident $(<$type:ident>)? of $value:ty;)*) => {
            $(pub(crate) struct $name$(<$type>)?(inner::$name$(<$type>)?, Step);

            #[allow(dead_code, reason = "not every type needs every method")]
            impl$(<$type>)? $name$(<$type>)? {
                pub(crate) fn new(value: $value) -> Self {
                    let new = $name(inner::$name::new(value), Step::new());
                    new.0.store(value, Ordering::SeqCst);
                    new
                }

                pub(crate) fn load(&self, order: Ordering) -> $value {
                    self.1.take();
                    self.0.load(order)
                }

                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    self.1.take();
                    self.0.store(value, strong(order));
                }

                pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                    self.1.take();
                    self.0.swap(value, strong(order))
                }

                pub(crate) fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.1.take();
                    self.0.compare_exchange(current, new, success, failure)
                }
            })*
        };
    }

    wrapped! {
        AtomicBool of bool;
        AtomicU8 of u8;
        AtomicU32 of u32;
        AtomicU64 of u64;
        AtomicUsize of usize;
        AtomicPtr<T> of *mut T;
    }

    impl AtomicUsize {
        pub(crate) fn fetch_add(&self, value: usize, order: Ordering) -> usize {
            self.1.take();
            self.0.fetch_add(value, order)
        }
    }

    impl AtomicU8 {
        pub(crate) fn fetch_and(&self, value: u8, order: Ordering) -> u8 {
            self.1.take();
            self.0.fetch_and(value, strong(order))
        }
    }
}
