//! The short way of a look-up, which sees what the long way would.

use super::*;

/// Fails if `Pin::with` publishes the word with a store that is only `Relaxed`.
#[test]
fn an_entry_that_is_unlinked_stays_as_long_as_it_is_glanced_at() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        let seen = race(
            &pantry,
            |p| p.glance(HASH, 1),
            |p| {
                p.remove(HASH, 1);
            },
        );
        assert!(seen == 10 || seen == 0);
    });
}

/// Fails if a glance does not ask whether what it has found was ever linked. That
/// it compares the key before it asks is not found.
#[test]
fn a_glance_does_not_take_an_entry_for_another_that_had_its_slot() {
    bounded_model(3, || {
        let pantry = Pantry::new();
        pantry.add(SAME_TAG, 1, 10);
        let seen = race(
            &pantry,
            |p| (p.glance(HASH, 2), p.glance(HASH, 2)),
            |p| {
                p.remove(SAME_TAG, 1);
                p.add(HASH, 2, 20);
            },
        );
        assert!([(0, 0), (0, 20), (20, 20)].contains(&seen), "{seen:?}");
    });
}

/// Fails if a glance that meets another entry with the same tag says that there
/// is nothing.
#[test]
fn a_glance_misses_no_key_that_is_there() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(SAME_TAG, 1, 10);
        pantry.add(HASH, 2, 20);
        let seen = race(
            &pantry,
            |p| p.glance(HASH, 2),
            |p| {
                p.remove(SAME_TAG, 1);
                p.replace(HASH, 2, 21);
            },
        );
        assert!([20, 21].contains(&seen), "{seen}");
    });
}

/// Fails if a glance may go to a table that was replaced before its claim.
#[test]
fn a_glance_does_not_look_at_a_table_that_was_replaced() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        let grow = |p: &Pantry| {
            p.vault.lock().resize_index(100);
            p.sweep();
        };
        assert_eq!(race(&pantry, |p| p.glance(HASH, 1), grow), 10);
    });
}
