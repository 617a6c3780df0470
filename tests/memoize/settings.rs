//! Each setting of the cache, and random combinations of them.

use crate::Calls;
use larder::{Cause, Eviction, ManualClock, after_create, memoize};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

static CLOCK: LazyLock<ManualClock> = LazyLock::new(ManualClock::new);
const SECOND: Duration = Duration::from_secs(1);

#[memoize]
fn bare(n: u64) -> u64 {
    n
}

#[memoize(capacity = 3)]
fn bounded(n: u64) -> u64 {
    n
}

#[memoize(weight_capacity = 100, weigher = weigh)]
fn weighed(n: u32) -> String {
    "x".repeat(n as usize)
}

#[expect(clippy::trivially_copy_pass_by_ref, clippy::ptr_arg, reason = "as weighers are")]
fn weigh(_n: &u32, text: &String) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

#[test]
fn capacity_and_weigher_bound_the_cache() {
    assert_eq!((bare(1), bare::cache().capacity()), (1, 10_000));
    let sum: u64 = (0..10).map(bounded).sum();
    assert_eq!((sum, bounded::cache().len(), bounded::cache().capacity()), (45, 3, 3));
    assert_eq!(weighed(101).len(), 101);
    assert!(weighed::cache().is_empty(), "heavier than the whole cache");
    assert_eq!((weighed(60).len(), weighed::cache().weight()), (60, 60));
}

static LIVES: Calls = Calls::new();

#[memoize(ttl = "10s", clock = CLOCK.clone())]
fn living(n: u64) -> u64 {
    LIVES.add();
    n
}

#[memoize(tti = SECOND * 10, clock = CLOCK.clone())]
fn idle(n: u64) -> u64 {
    LIVES.add();
    n
}

#[memoize(ttl = "1m", jitter = 0.5, clock = CLOCK.clone(), capacity = 100)]
fn jittered(n: u64) -> u64 {
    n
}

#[memoize(expiry = after_create(|_: &u64, value: &u64| SECOND * u32::try_from(*value).unwrap()), clock = CLOCK.clone())]
fn own_expiry(n: u64) -> u64 {
    n
}

#[test]
fn values_live_as_long_as_they_are_told_to() {
    for (wait, calls) in [(0, 2), (6, 0), (6, 1), (6, 1)] {
        CLOCK.advance(SECOND * wait);
        assert_eq!((living(1), idle(1)), (1, 1));
        assert_eq!(LIVES.take(), calls, "after {wait} s more");
        if calls == 1 && living::cache().expires_in(&1) == Some(SECOND * 10) {
            // It was the one with a time to live.
            break;
        }
    }
    (0..100).for_each(|n| assert_eq!(jittered(n), n));
    let lives: Vec<_> = (0..100).filter_map(|n| jittered::cache().expires_in(&n)).collect();
    assert!(lives.iter().all(|life| (SECOND * 30..=SECOND * 60).contains(life)));
    assert!(lives.iter().any(|life| *life < SECOND * 55), "some are shortened");
    assert_eq!((own_expiry(5), own_expiry::cache().expires_in(&5)), (5, Some(SECOND * 5)));
}

macro_rules! of_policy {
    ($($function:ident $name:literal $policy:expr;)*) => {
        $(
            #[memoize(eviction = $name, shards = 1, capacity = 10)]
            fn $function(n: u64) -> u64 {
                n
            }
        )*

        #[test]
        fn every_policy_can_be_named() {
            $(
                (0..20).for_each(|n| assert_eq!($function(n), n));
                let shown = format!("{:?}", $function::cache());
                assert!(shown.contains(&format!("{:?}", $policy)), "{shown}");
                assert_eq!($name.parse(), Ok($policy));
            )*
        }
    };
}

of_policy! {
    lru "lru" Eviction::Lru;
    lfu "lfu" Eviction::lfu();
    lfu_no_ageing "lfu-no-ageing" Eviction::Lfu { ageing: None };
    lfu_ageing "lfu-ageing-5" Eviction::Lfu { ageing: Some(5) };
    fifo "fifo" Eviction::Fifo;
    sieve "sieve" Eviction::Sieve;
    s3_fifo "s3-fifo" Eviction::S3Fifo;
    tiny_lfu "tiny-lfu" Eviction::TinyLfu;
}

#[memoize(eviction = Eviction::Lru, capacity = 2, shards = 1)]
fn recent(n: u64) -> u64 {
    n
}

#[test]
fn a_policy_may_be_an_expression() {
    assert_eq!([recent(1), recent(2), recent(1), recent(3)], [1, 2, 1, 3]);
    assert_eq!((recent::get(1), recent::get(2), recent::get(3)), (Some(1), None, Some(3)));
}

static TOLD: Mutex<Vec<(u64, u64, Cause)>> = Mutex::new(Vec::new());

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as listeners are")]
fn tell(key: &u64, value: &u64, cause: Cause) {
    TOLD.lock().unwrap().push((*key, *value, cause));
}

#[memoize(on_removal = tell, capacity = 1, shards = 1, eviction = "fifo", maintenance = "1h")]
fn heard(n: u64) -> u64 {
    n * 10
}

#[test]
fn a_listener_hears_what_leaves() {
    assert_eq!([heard(1), heard(2)], [10, 20]);
    heard::invalidate(2);
    let told = std::mem::take(&mut *TOLD.lock().unwrap());
    assert_eq!(told, [(1, 10, Cause::Size), (2, 20, Cause::Invalidated)]);
}

#[memoize(record_stats)]
fn counted(n: u64) -> u64 {
    n
}

#[memoize(record_stats, tags = [n.to_string()])]
fn counted_with_tags(n: u64) -> u64 {
    n
}

#[test]
fn look_ups_are_counted_if_asked_for() {
    assert_eq!([counted(1), counted(1), counted(1)], [1; 3]);
    assert_eq!((counted::stats().hits, counted::stats().misses), (2, 1));
    assert_eq!([1; 3].map(counted_with_tags), [1; 3]);
    let stats = counted_with_tags::stats();
    assert_eq!((stats.hits, stats.misses), (2, 1));
    assert_eq!([bare(7), bare(7)], [7, 7]);
    assert_eq!(bare::stats().hits, 0);
}

static TAGGED: Calls = Calls::new();

#[memoize(tags = [TAGGED.tag(&group), "all".to_owned()])]
#[expect(clippy::needless_pass_by_value, reason = "to have tags of an owned argument")]
fn tagged(n: u64, group: String) -> String {
    format!("{group}{n}")
}

impl Calls {
    fn tag(&self, group: &str) -> String {
        self.add();
        group.to_owned()
    }
}

#[test]
fn tags_are_made_on_a_miss_and_invalidate_a_group() {
    let call = |n, group: &str| tagged(n, group.to_owned());
    assert_eq!([call(1, "a"), call(2, "a"), call(3, "b")], ["a1", "a2", "b3"]);
    assert_eq!(TAGGED.take(), 3);
    assert_eq!((call(1, "a"), TAGGED.take()), ("a1".to_owned(), 0), "not on a hit");
    tagged::cache().invalidate_tag("a");
    assert_eq!(tagged::get(1, "a".to_owned()), None);
    assert_eq!(tagged::get(3, "b".to_owned()), Some("b3".to_owned()));
    tagged::prime(4, "b".to_owned(), "x".to_owned());
    tagged::cache().invalidate_tag("all");
    assert!(tagged::cache().is_empty());
}

#[memoize(shards = 8, capacity = 80)]
fn sharded(n: u64) -> u64 {
    n
}

#[test]
fn the_number_of_shards_can_be_set() {
    sharded(1);
    assert!(format!("{:?}", sharded::cache()).contains("shards: 8"));
}

#[memoize(shards = 3 + 9)]
fn misbuilt(n: u64) -> u64 {
    n
}

#[test]
#[should_panic(expected = "the cache of `misbuilt` cannot be built: shards must be a power of two")]
fn settings_that_are_wrong_at_run_time_are_told() {
    misbuilt(1);
}
