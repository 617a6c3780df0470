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

/// Against a claim that stays narrowed when it ends: the next one would be taken
/// for a claim of the slot where the value was before. Two preemptions do not
/// show it.
#[test]
fn a_claim_that_follows_a_narrowed_one_is_not_narrowed() {
    bounded_model(3, || {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        let seen = race(
            &pantry,
            |p| {
                let read = |held: Kept<'_>| {
                    held.narrow();
                    held.value().number()
                };
                [p.find(HASH, 1).map(read), p.find(HASH, 1).map(read)]
            },
            |p| {
                p.replace(HASH, 1, 11);
                p.replace(HASH, 1, 12);
            },
        );
        assert!(seen[0].is_some() && seen[0] <= seen[1], "{seen:?}");
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
/// word is wiped out).
#[test]
fn a_thread_that_ends_hands_its_record_on() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        let first = begin(&pantry, |p| p.get(HASH, 1));
        let second = begin(&pantry, |p| {
            // One record for the thread, and one that is given back at once.
            let outer = p.find(HASH, 1);
            let seen = p.get(HASH, 1);
            drop(outer);
            seen
        });
        pantry.remove(HASH, 1);
        assert!([0, 10].contains(&first.join().unwrap()));
        assert!([0, 10].contains(&second.join().unwrap()));
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
