//! The whole cache under random schedules, tried by shuttle.
//!
//! ```sh
//! RUSTFLAGS='--cfg larder_shuttle' cargo test --release --test shuttle
//! ```
//!
//! How often each scenario is run stands in the list at the end; how to have a
//! schedule again, in `common/schedules.rs`.
#![cfg(larder_shuttle)]

#[path = "../common/schedules.rs"]
mod schedules;

mod bounds;
mod computing;
mod invalidating;
mod lifetimes;
mod loads;
mod reads;
mod telling;

use larder::{Builder, Cache, Eviction};
use schedules::schedules;
use shuttle::thread::{self, JoinHandle};
use std::hash::BuildHasherDefault;

/// A hasher without a random seed, so that schedules can be repeated.
type Seedless = BuildHasherDefault<std::hash::DefaultHasher>;
type Shelf = Cache<u64, u64, Seedless>;

fn shelving(capacity: usize, shards: usize) -> Builder<u64, u64, Seedless> {
    Cache::builder().capacity(capacity).shards(shards).hasher(Seedless::default())
}

fn shelf(capacity: usize, shards: usize) -> Shelf {
    shelving(capacity, shards).build().unwrap()
}

fn checked(shelf: &Shelf) {
    shelf.validate().unwrap();
}

fn spawn<R: Send + 'static>(
    shelf: &Shelf,
    work: impl FnOnce(&Shelf) -> R + Send + 'static,
) -> JoinHandle<R> {
    let shelf = shelf.clone();
    thread::spawn(move || work(&shelf))
}

macro_rules! scenarios {
    ($($module:ident { $($name:ident $times:literal,)* })*) => {
        $($(#[test]
        fn $name() {
            schedules($times * 1000, $module::$name);
        })*)*

        /// Of all scenarios together, without those of the policies.
        const THOUSANDS: usize = 0 $($(+ $times)*)*;
        const NAMES: &[&str] = &[$($(stringify!($name),)*)*];
    };
}

macro_rules! policies {
    ($($name:ident $eviction:expr,)*) => {
        $(#[test]
        fn $name() {
            schedules(POLICY_THOUSANDS * 1000, || bounds::hits_and_evictions_race($eviction));
        })*

        const POLICIES: &[Eviction] = &[$($eviction,)*];
    };
}

const POLICY_THOUSANDS: usize = 15;

#[test]
fn there_are_forty_scenarios_and_a_million_schedules() {
    for eviction in Eviction::ALL {
        assert!(POLICIES.contains(eviction), "{eviction} has no scenario");
    }
    let scenarios = NAMES.len() + POLICIES.len();
    let schedules = (THOUSANDS + POLICY_THOUSANDS * POLICIES.len()) * 1000;
    println!("{scenarios} scenarios, {schedules} schedules");
    assert!(scenarios >= 40 && schedules >= 1_000_000, "{scenarios}, {schedules}");
}

policies! {
    books_are_kept_while_hits_and_evictions_race_under_adaptive Eviction::Adaptive,
    books_are_kept_while_hits_and_evictions_race_under_adaptive_by_weight
        Eviction::AdaptiveByWeight,
    books_are_kept_while_hits_and_evictions_race_under_fifo Eviction::Fifo,
    books_are_kept_while_hits_and_evictions_race_under_lru Eviction::Lru,
    books_are_kept_while_hits_and_evictions_race_under_lfu Eviction::lfu(),
    books_are_kept_while_hits_and_evictions_race_under_sieve Eviction::Sieve,
    books_are_kept_while_hits_and_evictions_race_under_s3_fifo Eviction::S3Fifo,
    books_are_kept_while_hits_and_evictions_race_under_tiny_lfu Eviction::TinyLfu,
}

scenarios! {
    reads {
        a_value_is_never_missed_and_never_goes_back_while_it_is_replaced 25,
        all_ways_to_look_show_what_was_written_before 25,
        a_value_that_is_held_stays_whole_while_others_come 25,
        a_removed_value_is_handed_to_one_thread 25,
        iterating_meets_what_stays_once 20,
        the_coldest_and_the_hottest_are_entries_and_each_is_listed_once 20,
        every_value_is_dropped_once 20,
        the_last_handle_takes_everything_with_it 25,
        lookups_inserts_and_removals_are_all_counted 25,
    }
    bounds {
        there_are_never_more_entries_than_the_capacity 20,
        there_is_never_more_weight_than_the_capacity 20,
        what_is_too_heavy_leaves_nothing_behind 20,
        a_smaller_capacity_holds_once_it_is_set 20,
        a_smaller_weight_capacity_holds_once_it_is_set 20,
        shards_lend_each_other_room_and_lose_none 20,
    }
    computing {
        computations_of_one_key_take_turns 25,
        a_value_is_made_once_for_all_who_want_to_insert_it 25,
        a_computation_and_writes_take_turns 25,
        computations_that_wait_for_each_other_are_told 25,
        what_was_computed_before_an_invalidation_is_not_seen_after_it 25,
        what_was_computed_before_all_was_invalidated_is_not_seen_after_it 25,
        what_was_computed_before_a_clear_is_not_seen_after_it 25,
        what_was_computed_before_its_tag_was_invalidated_is_not_seen_after_it 25,
        a_computation_that_panics_lets_the_next_one_in 20,
    }
    invalidating {
        a_tag_hides_all_its_entries_at_once 25,
        what_was_written_under_a_tag_before_is_gone_and_freed 25,
        tags_that_die_one_after_the_other_are_all_freed 25,
        a_write_whose_tag_dies_meanwhile_takes_no_newer_value_with_it 25,
        a_predicate_meets_all_that_was_there 25,
        clearing_and_writing_lose_nothing_that_came_later 25,
    }
    lifetimes {
        nobody_sees_what_has_expired 25,
        nobody_meets_a_value_that_has_expired_at_once 25,
        a_read_prolongs_the_time_to_idle 25,
        a_deadline_that_was_put_off_in_time_is_kept 25,
        what_an_expiry_says_of_a_read_holds 20,
    }
    telling {
        removals_of_a_key_are_told_in_order_and_once 25,
        a_removal_is_told_before_it_returns 25,
        listeners_that_write_the_cache_end 20,
    }
    loads {
        threads_share_one_load 20,
        threads_and_tasks_share_one_load 20,
        a_leader_that_is_dropped_leaves_nobody_waiting 20,
        failures_and_panics_are_one_call_per_wave 20,
        nothing_that_was_loaded_before_an_invalidation_is_seen_after_it 20,
        nothing_that_was_loaded_and_weighed_before_an_invalidation_is_seen_after_it 10,
        invalidating_everything_overtakes_every_load 20,
        writes_and_computations_win_over_loads 20,
        overlapping_loads_of_many_keys_end 20,
        a_key_that_is_asked_for_twice_has_its_value_twice 20,
        a_crowded_cache_loads_and_evicts_within_its_bounds 10,
        panicking_loaders_leave_nobody_waiting 10,
        a_forced_reload_is_not_stored_over_a_newer_value 20,
        a_failure_that_is_remembered_is_forgotten_with_a_write 20,
        a_detached_load_goes_on_when_its_caller_has_gone 20,
        tasks_and_threads_load_many_keys_together 20,
        a_reload_does_not_bring_back_what_was_removed_meanwhile 20,
        a_stale_value_is_served_while_the_loader_fails_and_never_over_a_write 20,
        a_value_that_is_due_is_reloaded_once_for_all_who_read_it 20,
        a_row_beside_the_cache_is_never_seen_old_once_its_write_has_returned 20,
    }
}
