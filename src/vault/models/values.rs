//! Which values a reader sees, and that it sees them whole.

use super::*;

/// Fails if `Pin::new` publishes the word with a store that is only `Relaxed`;
/// if `Table::remove` clears the lane with one; if a scan loads the word, or
/// follows the list of records, with only `Acquire`.
#[test]
fn an_entry_that_is_unlinked_stays_as_long_as_it_is_read() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        let seen = race(&pantry, |p| p.get(HASH, 1), |p| _ = p.remove(HASH, 1));
        assert!(seen == 10 || seen == 0);
    });
}

/// Fails if the word is taken back with a store that is only `Relaxed`.
#[test]
fn a_slot_is_used_again_for_another_key_of_the_same_hash() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        let seen = race(
            &pantry,
            |p| (p.get(HASH, 1), p.get(HASH, 2)),
            |p| {
                p.remove(HASH, 1);
                p.add(HASH, 2, 20);
            },
        );
        assert!([(10, 0), (10, 20), (0, 0), (0, 20)].contains(&seen), "{seen:?}");
    });
}

/// Fails if `Slab::fill` publishes the hash with a store that is only `Relaxed`.
#[test]
fn a_slot_is_used_again_for_a_key_of_another_hash() {
    bounded_model(3, || {
        let pantry = Pantry::new();
        pantry.add(SAME_TAG, 1, 10);
        let seen = race(
            &pantry,
            |p| p.get(HASH, 2),
            |p| {
                p.remove(SAME_TAG, 1);
                p.add(HASH, 2, 20);
            },
        );
        assert!(seen == 20 || seen == 0);
    });
}

/// Fails if readers do not ask whether what they have found was ever linked.
#[test]
fn a_value_is_not_seen_before_it_is_linked_through_what_its_slot_was_before() {
    bounded_model(3, || {
        let pantry = Pantry::new();
        pantry.add(SAME_TAG, 1, 10);
        pantry.add(HASH, 2, 20);
        let seen = race(
            &pantry,
            |p| (p.get(HASH, 2), p.get(HASH, 2)),
            |p| {
                p.remove(SAME_TAG, 1);
                p.replace(HASH, 2, 21);
            },
        );
        assert!([(20, 20), (20, 21), (21, 21)].contains(&seen), "{seen:?}");
    });
}

/// Fails if `Index::swing` sets the new slot with a store that is only
/// `Relaxed`; if it clears the lane before; if readers who find an entry that
/// does not say that it was linked do not look again whether it is.
#[test]
fn a_key_whose_value_is_replaced_is_never_missed_and_never_goes_back() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        let seen = race(
            &pantry,
            |p| (p.get(HASH, 1), p.get(HASH, 1)),
            |p| {
                p.replace(HASH, 1, 11);
                p.replace(HASH, 1, 12);
            },
        );
        assert!(seen.0 >= 10 && seen.1 >= seen.0, "{seen:?}");
    });
}

/// As above, on the shorter way: fails of the same, and if it does not ask whether
/// the value is watched.
#[test]
fn a_key_whose_value_is_superseded_is_never_missed_and_never_goes_back() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        let seen = race(
            &pantry,
            |p| (p.get(HASH, 1), p.get(HASH, 1)),
            |p| {
                p.supersede(HASH, 1, 11);
                p.supersede(HASH, 1, 12);
            },
        );
        assert!(seen.0 >= 10 && seen.1 >= seen.0, "{seen:?}");
    });
}

/// Fails if `Locked::supplant` does not ask whether the entry is watched, or asks
/// before it is unlinked; if it is left in limbo as one that is still to be told.
#[test]
fn an_entry_whose_cell_is_taken_over_stays_as_long_as_it_is_read() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(HASH, 1, 10);
        let seen = race(
            &pantry,
            |p| (p.get(HASH, 1), p.get(HASH, 2)),
            |p| p.supplant((HASH, 1), HASH, 2, 20),
        );
        assert!([(10, 0), (10, 20), (0, 0), (0, 20)].contains(&seen), "{seen:?}");
    });
}

/// Fails if `Cell::exchange` publishes the hash with a store that is only
/// `Relaxed`, or before the pair.
#[test]
fn a_cell_is_taken_over_by_a_key_of_another_hash() {
    bounded_model(3, || {
        let pantry = Pantry::new();
        pantry.add(SAME_TAG, 1, 10);
        let seen = race(&pantry, |p| p.get(HASH, 2), |p| p.supplant((SAME_TAG, 1), HASH, 2, 20));
        assert!(seen == 20 || seen == 0);
    });
}

/// Fails if `Cell::exchange` leaves the state as it was, so that readers take the
/// newcomer for linked.
#[test]
fn who_takes_over_a_cell_is_not_seen_before_it_is_linked() {
    bounded_model(3, || {
        let pantry = Pantry::new();
        pantry.add(SAME_TAG, 1, 10);
        let seen = race(
            &pantry,
            |p| (p.get(HASH, 2), p.get(HASH, 2)),
            |p| p.supplant((SAME_TAG, 1), HASH, 2, 20),
        );
        assert!([(0, 0), (0, 20), (20, 20)].contains(&seen), "{seen:?}");
    });
}

/// A line that is full, and one that has spilled from it, as key 12.
fn spilled() -> Arc<Pantry> {
    let pantry = Pantry::new();
    (0..13).for_each(|key| pantry.add(HASH, key, key + 100));
    pantry
}

/// Fails if `Table::remove` takes back one too many of those that have spilled.
/// Not seen to fail if it does so before it takes out the entry: then only that
/// one is missed, a little earlier.
#[test]
fn a_key_that_stays_is_found_while_others_come_and_go_and_spill() {
    model(|| {
        let pantry = spilled();
        let seen = race(
            &pantry,
            |p| p.get(HASH, 12),
            |p| {
                p.add(SAME_TAG, 20, 120);
                p.remove(HASH, 3);
                p.remove(SAME_TAG, 20);
            },
        );
        assert_eq!(seen, 112);
    });
}

/// Fails if `Table::place` stores the slot before it sets the tag (who has seen
/// the tag of the entry that was in the lane before finds the newcomer, and then
/// does not), and readers do not ask whether it was linked. Either is enough.
#[test]
fn a_key_that_leaves_and_comes_back_in_another_lane_is_not_seen_to_go_back() {
    model(|| {
        let pantry = spilled();
        let seen = race(
            &pantry,
            |p| [p.get(HASH, 12), p.get(HASH, 12)],
            |p| {
                p.remove(HASH, 12);
                p.remove(HASH, 3);
                p.add(HASH, 12, 113);
            },
        );
        let order = |value| [112, 0, 113].iter().position(|step| *step == value).unwrap();
        assert!(order(seen[0]) <= order(seen[1]), "{seen:?}");
    });
}
