//! Who holds back what, and for how long.

use super::*;

/// Fails if `narrow` does nothing.
#[test]
fn a_reader_that_has_narrowed_its_claim_holds_back_one_value_of_its_key() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        let held = pantry.find(HASH, 1).unwrap();
        held.narrow();
        let writer = begin(&pantry, |p| [11, 12].map(|value| p.replace(HASH, 1, value)));
        assert_eq!(held.value().number(), 10);
        assert_eq!(writer.join().unwrap(), [true, false]);
        assert_eq!(held.value().number(), 10);
        drop(held);
        pantry.check();
    });
}

/// Fails if the slot is not reset when a claim ends: the next claim of the same
/// record is then taken for one of the slot where the value was before.
#[test]
fn a_claim_that_follows_a_narrowed_one_is_not_narrowed() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        let held = pantry.find(HASH, 1).unwrap();
        held.narrow();
        drop(held);
        // Now the value is in another slot.
        assert!(!pantry.replace(HASH, 1, 11));
        let writer = begin(&pantry, |p| p.replace(HASH, 1, 12));
        let seen = pantry.get(HASH, 1);
        writer.join().unwrap();
        assert!([11, 12].contains(&seen), "{seen}");
        pantry.check();
    });
}

/// Fails if `Pin::new` takes the thread's own record although it is in use.
#[test]
fn a_reader_may_read_again_while_it_reads() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        pantry.add(OTHER_TAG, 2, 20);
        race(
            &pantry,
            |p| {
                let outer = p.find(HASH, 1);
                let inner = p.find(OTHER_TAG, 2);
                let sum = |held: &Option<Kept<'_>>| held.as_ref().map(|h| h.value().number());
                assert!([None, Some(10)].contains(&sum(&outer)));
                assert!([None, Some(20)].contains(&sum(&inner)));
                drop(inner);
                assert!([None, Some(10)].contains(&sum(&outer)));
            },
            |p| {
                p.remove(HASH, 1);
                p.remove(OTHER_TAG, 2);
            },
        );
    });
}

/// Fails if scans look at the first record only.
#[test]
fn every_reader_has_a_record_of_its_own() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        let readers = [0, 1].map(|_| begin(&pantry, |p| p.get(HASH, 1)));
        pantry.remove(HASH, 1);
        for reader in readers {
            assert!([0, 10].contains(&reader.join().unwrap()));
        }
        pantry.check();
    });
}

/// Fails if a record is given back before its word is (then the next owner's
/// word is wiped out); if two may take the same one.
#[test]
fn a_record_that_is_given_back_is_the_next_readers_own() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        pantry.add(OTHER_TAG, 2, 20);
        // This thread's own record is in use, so it takes another for each of
        // its readings meanwhile, and gives it back at once.
        let outer = pantry.find(OTHER_TAG, 2);
        assert_eq!(pantry.get(HASH, 1), 10);
        let reader = begin(&pantry, |p| p.get(HASH, 1));
        assert_eq!(pantry.get(HASH, 1), 10);
        pantry.remove(HASH, 1);
        drop(outer);
        assert!([0, 10].contains(&reader.join().unwrap()));
        pantry.check();
    });
}

/// Fails if a sweep empties what is in limbo without asking for its readers.
#[test]
fn what_is_in_limbo_is_swept_when_its_readers_have_gone() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        race(
            &pantry,
            |p| {
                if let Some(held) = p.find(HASH, 1) {
                    held.narrow();
                    assert_eq!(held.value().number(), 10);
                }
            },
            |p| {
                p.remove(HASH, 1);
                p.sweep();
            },
        );
    });
}

/// Fails if a sweep does not ask whether an entry was told; if `set_told` is
/// only `Relaxed`.
#[test]
fn what_is_in_limbo_is_kept_for_a_listener_until_it_is_released() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        let held = pantry.find(HASH, 1).unwrap();
        let Left::Watched(watched) = pantry.unlink(HASH, 1) else { panic!("it is watched") };
        drop(held);
        let listener = begin(&pantry, move |p| {
            assert_eq!(p.vault.watched(&watched).1.number(), 10);
            p.vault.release(watched);
        });
        pantry.sweep();
        listener.join().unwrap();
        pantry.check();
    });
}

/// Fails if a sweep asks for anybody who reads the hash, not for those who did
/// when the entry was unlinked: whoever came later cannot have found it.
#[test]
fn readers_that_came_later_hold_nothing_back() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        let held = pantry.find(HASH, 1).unwrap();
        assert!(pantry.replace(HASH, 1, 11));
        drop(held);
        let later = pantry.find(HASH, 1).unwrap();
        pantry.sweep();
        assert_eq!(pantry.live.load(Ordering::Relaxed), 2);
        drop(later);
        pantry.check();
    });
}

/// With how few records some schedule of `steps` does: a thread that is joined
/// may still be about to give its own back, so others take more.
fn fewest_records(steps: impl Fn(&Arc<Pantry>) + Send + Sync + 'static) -> usize {
    let fewest = std::sync::Arc::new(AtomicUsize::new(usize::MAX));
    let seen = std::sync::Arc::clone(&fewest);
    model(move || {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        steps(&pantry);
        seen.fetch_min(crate::hazard::records(), Ordering::Relaxed);
        pantry.check();
    });
    fewest.load(Ordering::Relaxed)
}

/// Fails if a thread that ends does not give its record back.
#[test]
fn a_thread_that_ends_leaves_its_record_to_the_next() {
    let records = fewest_records(|pantry| {
        for _ in 0..2 {
            assert_eq!(begin(pantry, |p| p.get(HASH, 1)).join().unwrap(), 10);
        }
    });
    assert_eq!(records, 1);
}

/// Fails if a record that is given back goes on saying that it is some thread's
/// own: whoever takes it for one claim would keep it.
#[test]
fn a_record_of_a_thread_that_has_ended_is_anybodys() {
    let records = fewest_records(|pantry| {
        let outer = pantry.find(HASH, 1);
        assert_eq!(begin(pantry, |p| p.get(HASH, 1)).join().unwrap(), 10);
        // Claims within a claim: each takes the record that is free.
        assert_eq!([(); 2].map(|()| pantry.get(HASH, 1)), [10, 10]);
        drop(outer);
    });
    assert_eq!(records, 2);
}
