//! Tables and cells that are replaced or given back under their readers.

use super::*;

/// Fails if the old table is dropped at once; if a reader does not look again
/// for its table, or with a load that is only `Acquire`; if the writer replaces
/// it with a store that is only `Relaxed`.
#[test]
fn a_key_is_found_while_the_index_grows_and_the_old_table_waits_for_its_readers() {
    bounded_model(3, || {
        let pantry = Pantry::new();
        pantry.add(HASH, 3, 103);
        let seen = race(
            &pantry,
            |p| p.get(HASH, 3),
            |p| {
                p.vault.lock().resize_index(100);
                // Long enough for the old table to be swept, if it may be.
                p.sweep();
            },
        );
        assert_eq!(seen, 103);
    });
}

/// Fails if the look goes on in the new table after it has begun in the old one.
#[test]
fn a_key_that_has_spilled_is_found_while_it_comes_home_as_the_index_grows() {
    model(|| {
        let pantry = Pantry::new();
        (0..13).for_each(|key| pantry.add(HASH, key, key + 100));
        pantry.remove(HASH, 3);
        let grow = |p: &Pantry| p.vault.lock().resize_index(100);
        assert_eq!(race(&pantry, |p| p.get(HASH, 12), grow), 112);
    });
}

/// Fails if the cells are dropped at once.
#[test]
fn memory_is_given_back_when_no_reader_can_be_in_it() {
    model(|| {
        let pantry = Pantry::new();
        pantry.add(SAME_TAG, 1, 10);
        let seen = race(
            &pantry,
            |p| (p.get(HASH, 2), p.get(HASH, 2)),
            |p| {
                p.remove(SAME_TAG, 1);
                p.vault.lock().give_back_memory();
                p.add(HASH, 2, 20);
                p.sweep();
            },
        );
        assert!([(0, 0), (0, 20), (20, 20)].contains(&seen), "{seen:?}");
    });
}

/// No entry in the model has its hash, so it is compared with none.
struct Nobody;

impl Equivalent<Tracked> for Nobody {
    fn equivalent(&self, _: &Tracked) -> bool {
        panic!("a cell that was never filled is taken for an entry")
    }
}

/// Hash 0 is what a cell says that was never filled. Fails if cells are made
/// anew where a reader may still come from before, and readers do not ask
/// whether what they have found was ever linked. Either is enough.
#[test]
fn a_cell_that_was_made_anew_is_not_taken_for_an_entry() {
    model(|| {
        let pantry = Pantry::new();
        // Both in the first chunk; the second has the tag of hash 0.
        pantry.add(OTHER_TAG, 1, 10);
        pantry.add(0x200, 2, 20);
        let seen = race(
            &pantry,
            |p| p.vault.find(0, &Nobody).is_none(),
            |p| {
                p.remove(OTHER_TAG, 1);
                p.remove(0x200, 2);
                p.vault.lock().give_back_memory();
                p.add(OTHER_TAG, 1, 11);
                p.sweep();
            },
        );
        assert!(seen);
    });
}
