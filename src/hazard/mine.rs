//! A thread's own record, from its first claim to the thread's end.

use super::{IDLE, Record};
use crate::sync::modelled::atomic::Ordering;
use std::cell::Cell;

#[cfg(not(any(larder_loom, larder_shuttle)))]
pub(super) use plain::{get, keep};

#[cfg(any(larder_loom, larder_shuttle))]
pub(super) use checked::{get, keep};

/// The thread ends. If it still reads, it never comes back from that: it calls
/// `exit` from within a read, and its thread-locals end while its stack stands. Then
/// the claim stands as well, and nobody else may have the record.
fn give_back(record: &Record) {
    if record.word.load(Ordering::Relaxed) == IDLE {
        record.give_back();
    }
}

#[cfg(not(any(larder_loom, larder_shuttle)))]
mod plain {
    use super::{Cell, Ordering, Record, give_back};
    use std::ptr;

    /// Stands for no record. It is always in use, as far as a reader can see: so
    /// whoever has none, and whoever reads already, need not be told apart.
    static NONE: Record = Record::busy();

    thread_local! {
        /// Without a destructor, so that reaching it costs one load. A pointer, as
        /// Rust 1.85 allows no reference to a static here.
        static MINE: Cell<*const Record> = const { Cell::new(&raw const NONE) };
        static LEASE: Lease = const { Lease };
    }

    fn has_one() -> bool {
        !ptr::eq(MINE.get(), &NONE)
    }

    /// Gives the record back when the thread ends.
    struct Lease;

    impl Drop for Lease {
        fn drop(&mut self) {
            if has_one() {
                // What is left of the thread, destructors of other
                // thread-locals, may go on reading: each time with a record
                // taken for that.
                let record = mine();
                MINE.set(&raw const NONE);
                give_back(record);
            }
        }
    }

    #[inline]
    pub(in super::super) fn get() -> Option<&'static Record> {
        Some(mine())
    }

    #[inline]
    fn mine() -> &'static Record {
        // SAFETY: it points to `NONE`, or to a record, and records are never freed.
        unsafe { &*MINE.get() }
    }

    /// Keeps `record` for the next claims, unless there is one already or the
    /// thread is ending.
    pub(in super::super) fn keep(record: &'static Record) {
        let is_alive = LEASE.try_with(|_| ()).is_ok();
        if is_alive && !has_one() {
            record.rest.is_leased.store(true, Ordering::Relaxed);
            MINE.set(record);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::super::super::{Pin, Salt, Word};
        use super::{Lease, Ordering, mine};
        use crate::slot::Slot;
        use std::thread;

        #[test]
        fn a_thread_that_ends_within_a_read_keeps_its_record() {
            let is_taken = thread::spawn(|| {
                let pin = Pin::new(Word::new(Salt::next(), 7));
                pin.narrow(Slot::from_index(3));
                let record = mine();
                // As when it calls `exit`.
                drop(Lease);
                let is_taken = record.rest.is_taken.load(Ordering::Relaxed);
                drop(pin);
                is_taken && record.rest.is_taken.load(Ordering::Relaxed)
            });
            assert!(is_taken.join().unwrap());
        }
    }
}

/// A checker's thread-locals all end at once, so the record is in the one that
/// gives it back.
#[cfg(any(larder_loom, larder_shuttle))]
mod checked {
    use super::{Cell, Ordering, Record, give_back};
    use crate::sync::modelled::thread_local;

    thread_local! {
        static LEASE: Lease = Lease(Cell::new(None));
    }

    struct Lease(Cell<Option<&'static Record>>);

    impl Drop for Lease {
        fn drop(&mut self) {
            if let Some(record) = self.0.take() {
                give_back(record);
            }
        }
    }

    pub(in super::super) fn get() -> Option<&'static Record> {
        LEASE.try_with(|lease| lease.0.get()).ok().flatten()
    }

    pub(in super::super) fn keep(record: &'static Record) {
        let _ = LEASE.try_with(|lease| {
            if lease.0.get().is_none() {
                record.rest.is_leased.store(true, Ordering::Relaxed);
                lease.0.set(Some(record));
            }
        });
    }
}
