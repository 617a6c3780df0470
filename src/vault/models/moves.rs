//! Entries that move to lower slots under their readers.

use super::*;

/// A vault in which only one key is left, `KEPT`, in a high slot.
const KEPT: u32 = 9;
const KEPT_HASH: u32 = HASH;

fn sparse() -> Arc<Pantry> {
    let pantry = Pantry::new();
    // Others have other hashes, and other tags.
    (0..7).for_each(|key| pantry.add(0x1010 + key, key, key + 100));
    pantry.add(KEPT_HASH, KEPT, 10);
    (0..7).for_each(|key| _ = pantry.remove(0x1010 + key, key));
    pantry.vault.lock().begin_moving();
    pantry
}

impl Pantry {
    /// A visit's share of the moving. Returns how many have moved.
    fn move_some(&self) -> (usize, Progress) {
        let mut moved = 0;
        let progress = self.vault.lock().move_some(true, |_, _| {}, |_, _, _| moved += 1);
        (moved, progress)
    }
}

/// Fails if `relocate` does not ask whether the entry is watched; if it clears
/// the lane instead of marking it; if it marks it with a store that is only
/// `Relaxed`, or not at all, or only after it has asked; if it sets the new slot
/// with a store that is only `Relaxed`; if it does not put the old one back; if a
/// reader that comes by the mark does not look again, or a glance takes it for
/// nothing.
#[test]
fn an_entry_that_moves_is_found_all_the_time() {
    bounded_model(3, || {
        let pantry = sparse();
        let seen = race(
            &pantry,
            |p| [p.get(KEPT_HASH, KEPT), p.glance(KEPT_HASH, KEPT)],
            |p| _ = p.move_some(),
        );
        assert_eq!(seen, [10, 10]);
    });
}

/// Fails if the scan passes over claims that were narrowed.
#[test]
fn an_entry_that_someone_holds_stays_where_it_is() {
    model(|| {
        let pantry = sparse();
        let held = pantry.find(KEPT_HASH, KEPT).unwrap();
        held.narrow();
        let mover = begin(&pantry, |p| p.move_some());
        assert_eq!(held.value().number(), 10);
        assert_eq!(mover.join().unwrap(), (0, Progress::None));
        assert_eq!(held.value().number(), 10);
        drop(held);
        assert_eq!(pantry.move_some().0, 1);
        assert_eq!(pantry.get(KEPT_HASH, KEPT), 10);
        pantry.check();
    });
}

/// Fails if the memory that was left is dropped at once: a reader of a key that
/// only looks alike is in nobody's way.
#[test]
fn memory_that_entries_have_left_waits_for_its_readers() {
    model(|| {
        let pantry = sparse();
        let seen = race(
            &pantry,
            |p| (p.get(SAME_TAG, 2), p.get(KEPT_HASH, KEPT)),
            |p| {
                while p.move_some().1 == Progress::Some {}
                p.sweep();
            },
        );
        assert_eq!(seen, (0, 10));
    });
}

/// Fails if an entry that has moved leaves its old cell occupied.
#[test]
fn a_slot_that_an_entry_has_left_is_used_again() {
    model(|| {
        let pantry = sparse();
        let seen = race(
            &pantry,
            |p| (p.get(KEPT_HASH, KEPT), p.get(SAME_TAG, 2)),
            |p| {
                _ = p.move_some();
                p.vault.lock().stop_moving();
                p.add(SAME_TAG, 2, 20);
            },
        );
        assert!(seen.0 == 10 && [0, 20].contains(&seen.1), "{seen:?}");
    });
}

/// A reader of a key that is not there, but has the hash of the one that moves,
/// is in its way, and finds nothing.
#[test]
fn readers_of_the_same_hash_are_not_led_astray() {
    model(|| {
        let pantry = sparse();
        let seen = race(
            &pantry,
            |p| (p.get(KEPT_HASH, 77), p.get(KEPT_HASH, KEPT)),
            |p| _ = p.move_some(),
        );
        assert_eq!(seen, (0, 10));
    });
}

/// Fails if a reader that comes by the mark looks on as if it were nothing.
#[test]
fn values_do_not_go_back_while_their_entry_moves() {
    model(|| {
        let pantry = sparse();
        let seen = race(
            &pantry,
            |p| [p.get(KEPT_HASH, KEPT), p.get(KEPT_HASH, KEPT)],
            |p| {
                _ = p.move_some();
                p.replace(KEPT_HASH, KEPT, 11);
            },
        );
        assert!(seen[0] >= 10 && seen[1] >= seen[0], "{seen:?}");
    });
}
