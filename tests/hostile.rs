//! What somebody sends who means harm, or has made a mistake: keys that all
//! share one hash, settings at both ends of their range, clocks that jump by a
//! century, keys as large as files.
//!
//! Nothing here is timed. What must not take for ever runs under a watchdog;
//! what a look-up costs is counted in comparisons of keys.

#[path = "common/watchdog.rs"]
mod watchdog;

use larder::{BuildError, Cache, EntryOptions, Equivalent, Eviction, ManualClock};
use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::time::Duration;
use watchdog::must_end;

thread_local! {
    static COMPARISONS: Cell<u64> = const { Cell::new(0) };
}

/// Keys compared by this thread while `work` runs.
fn comparisons(work: impl FnOnce()) -> u64 {
    let before = COMPARISONS.get();
    work();
    COMPARISONS.get() - before
}

/// Chosen so that all hashes are the same, or as it comes.
#[derive(Clone, Eq, Debug)]
enum Key {
    Chosen(u32),
    Plain(u32),
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Key::Chosen(_) => state.write_u64(u64::MAX),
            Key::Plain(number) => state.write_u32(*number),
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        COMPARISONS.set(COMPARISONS.get() + 1);
        match (self, other) {
            (Key::Chosen(a), Key::Chosen(b)) | (Key::Plain(a), Key::Plain(b)) => a == b,
            _ => false,
        }
    }
}

const CHOSEN: u32 = 20_000;
const PLAIN: u32 = 2_000;

/// So many of them are let in where there is room for all. 20 000 are compared
/// 200 million times, which takes a build without optimization too long.
const CHOSEN_AT_ONCE: u32 = if cfg!(debug_assertions) { 3_000 } else { CHOSEN };

#[test]
fn keys_of_one_hash_cost_as_many_comparisons_as_there_are_and_others_pay_nothing() {
    let work = || {
        let cache: Cache<Key, u32> =
            Cache::builder().capacity(50_000).shards(8).eviction(Eviction::Lru).build().unwrap();
        cache.extend((0..PLAIN).map(|n| (Key::Plain(n), n)));
        let filling = comparisons(|| {
            (0..CHOSEN_AT_ONCE).for_each(|n| cache.insert(Key::Chosen(n), n));
        });
        // Each newcomer is compared with all that are there, once.
        let pairs = u64::from(CHOSEN_AT_ONCE) * u64::from(CHOSEN_AT_ONCE - 1) / 2;
        assert!(filling <= pairs, "{filling} comparisons for {pairs} pairs");
        let one = comparisons(|| {
            assert_eq!(cache.get(&Key::Chosen(CHOSEN_AT_ONCE - 1)), Some(CHOSEN_AT_ONCE - 1))
        });
        // With the first of them twice: by the short way, and then by the long one.
        let most = u64::from(CHOSEN_AT_ONCE) + 1;
        assert!(one <= most, "{one} comparisons for one look-up");
        let none = comparisons(|| assert_eq!(cache.get(&Key::Chosen(CHOSEN_AT_ONCE)), None));
        assert!(none <= most, "{none} comparisons for a miss");
        let plain = comparisons(|| {
            (0..PLAIN).for_each(|n| assert_eq!(cache.get(&Key::Plain(n)), Some(n)));
        });
        assert_eq!(plain, u64::from(PLAIN), "one for each of the others, as ever");
        cache.invalidate_if(|key, _| matches!(key, Key::Chosen(_)));
        assert_eq!(cache.len(), PLAIN as usize);
        let again = comparisons(|| cache.insert(Key::Chosen(0), 0));
        assert_eq!(again, 0, "nothing of them is left in the way");
        cache.validate().unwrap();
    };
    must_end("as many keys of one hash as there is room for", work).unwrap();
}

#[test]
fn keys_of_one_hash_are_bounded_like_all_others() {
    let work = || {
        for eviction in Eviction::ALL {
            let cache: Cache<Key, u32> =
                Cache::builder().capacity(100).shards(8).eviction(*eviction).build().unwrap();
            let cost = comparisons(|| (0..CHOSEN).for_each(|n| cache.insert(Key::Chosen(n), n)));
            assert!(cost <= u64::from(CHOSEN) * 100, "{eviction}: {cost} comparisons");
            assert_eq!(cache.len(), 100, "{eviction}");
            cache.validate().unwrap();
        }
    };
    must_end("20 000 keys of one hash in 100 places", work).unwrap();
}

#[test]
fn capacities_and_weights_may_be_nothing_one_or_all_there_is() {
    let entries = [None, Some(0), Some(1), Some(usize::MAX)];
    let weights = [None, Some(0), Some(1), Some(u64::MAX)];
    for eviction in Eviction::ALL {
        for (capacity, weight_capacity) in entries.iter().flat_map(|e| weights.map(|w| (*e, w))) {
            for shards in [1, 4] {
                let mut builder = Cache::builder().eviction(*eviction).shards(shards);
                if let Some(entries) = capacity {
                    builder = builder.capacity(entries);
                }
                if let Some(weight) = weight_capacity {
                    builder = builder.weight_capacity(weight);
                }
                match builder.build() {
                    Ok(cache) => extremes(&cache),
                    Err(error) => {
                        assert_eq!(error, BuildError::CapacityMissing);
                        assert_eq!((capacity, weight_capacity), (None, None));
                    }
                }
            }
        }
    }
}

fn extremes(cache: &Cache<u32, u32>) {
    for (key, weight) in [0, 1, u32::MAX, 0, u32::MAX, 1].into_iter().enumerate() {
        let key = key as u32;
        cache.insert_with(key, key, EntryOptions::new().weight(weight));
        let fits = cache.capacity() > 0 && u64::from(weight) <= cache.weight_capacity();
        // A policy may turn a newcomer away, so there is no more to say.
        assert!(fits || !cache.contains_key(&key), "{cache:?}: weight {weight}");
        assert!(cache.len() <= cache.capacity() && cache.weight() <= cache.weight_capacity());
        cache.get(&key);
    }
    for (entries, weight) in [(0, u64::MAX), (usize::MAX, 0), (1, 1), (usize::MAX, u64::MAX)] {
        cache.set_capacity(entries);
        cache.set_weight_capacity(weight);
        assert!(cache.len() <= entries && cache.weight() <= weight, "{cache:?}");
        cache.extend((0..9).map(|key| (key, key)));
        cache.validate().unwrap();
    }
    assert_eq!(cache.len(), 9);
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Every way to say how long an entry lives.
fn lifetimes(lifetime: Duration, clock: &ManualClock) -> Vec<(Cache<u8, u8>, EntryOptions)> {
    let builder = || Cache::builder().capacity(9).clock(clock.clone());
    let of_each = EntryOptions::new();
    let caches = [
        (builder().time_to_live(lifetime), of_each.clone()),
        (builder().time_to_live(lifetime).ttl_jitter(1.0), of_each.clone()),
        (builder().time_to_idle(lifetime), of_each.clone()),
        (builder().time_to_live(lifetime).time_to_idle(lifetime), of_each.clone()),
        (builder().expiry(larder::after_create(move |_, _| lifetime)), of_each.clone()),
        (builder().expiry(larder::after_access(move |_, _| lifetime)), of_each.clone()),
        (builder(), of_each.clone().ttl(lifetime)),
        (builder(), of_each.tti(lifetime)),
    ];
    caches.into_iter().map(|(builder, options)| (builder.build().unwrap(), options)).collect()
}

#[test]
fn a_life_of_no_time_is_over_at_once_and_one_without_end_does_not_end() {
    let clock = ManualClock::new();
    for (cache, options) in lifetimes(Duration::ZERO, &clock) {
        cache.insert_with(1, 1, options.clone());
        assert_eq!((cache.get(&1), cache.peek(&1), cache.remove(&1)), (None, None, None));
        assert_eq!((cache.iter().next(), cache.contains_key(&1)), (None, false));
        cache.insert_with(1, 2, options);
        cache.run_maintenance();
        assert_eq!((cache.len(), cache.stats().expired), (0, 2), "both values went that way");
        cache.validate().unwrap();
    }
    for (at, (cache, options)) in lifetimes(Duration::MAX, &clock).into_iter().enumerate() {
        cache.insert_with(1, 1, options);
        for _ in 0..5 {
            clock.advance(CENTURY);
            cache.run_maintenance();
            assert_eq!(cache.get(&1), Some(1), "way {at}");
        }
        assert_eq!(cache.expires_in(&1), Some(Duration::MAX));
        cache.validate().unwrap();
    }
}

#[test]
fn a_clock_may_jump_by_a_century_either_way() {
    for lifetime in [Duration::from_nanos(1), Duration::from_secs(60), CENTURY / 2] {
        let clock = ManualClock::new();
        clock.set(CENTURY * 10);
        for (at, (cache, options)) in lifetimes(lifetime, &clock).into_iter().enumerate() {
            let has_jitter = at == 1;
            cache.insert_with(1, 1, options.clone());
            assert!(has_jitter || cache.get(&1) == Some(1), "{lifetime:?}, way {at}");
            clock.advance(CENTURY);
            assert_eq!(cache.get(&1), None, "{lifetime:?}, way {at}");
            let written_late = || cache.insert_with(2, 2, options.clone());
            written_late();
            clock.set(clock.now_for_tests().saturating_sub(CENTURY * 2));
            assert_eq!(cache.get(&1), None, "{lifetime:?}, way {at}: it does not come back");
            assert!(has_jitter || cache.get(&2) == Some(2), "{lifetime:?}, way {at}: nor end");
            cache.run_maintenance();
            cache.validate().unwrap();
            clock.set(Duration::MAX);
            assert_eq!((cache.get(&1), cache.get(&2)), (None, None));
            cache.run_maintenance();
            assert_eq!(cache.len(), 0);
            cache.validate().unwrap();
            clock.set(CENTURY * 10);
        }
    }
}

trait Now {
    fn now_for_tests(&self) -> Duration;
}

impl Now for ManualClock {
    fn now_for_tests(&self) -> Duration {
        larder::Clock::now(self)
    }
}

#[test]
fn a_cache_that_reloads_takes_every_duration() {
    let durations = [Duration::ZERO, Duration::from_nanos(1), Duration::MAX];
    for refresh in durations {
        for grace in durations {
            for retry in durations {
                let clock = ManualClock::new();
                let cache = Cache::builder()
                    .capacity(9)
                    .time_to_live(Duration::from_secs(1))
                    .clock(clock.clone())
                    .loader(|key: &u8| if *key == 0 { Err("none") } else { Ok(*key) })
                    .spawner(larder::Inline)
                    .refresh_after(refresh)
                    .stale_if_error(grace)
                    .retry_after(retry)
                    .negative_ttl(grace)
                    .early_refresh(1.0)
                    .build()
                    .unwrap();
                for _ in 0..4 {
                    assert_eq!(cache.get_or_load(&1).unwrap(), 1);
                    assert!(cache.get_or_load(&0).is_err());
                    clock.advance(CENTURY);
                }
                cache.cache().validate().unwrap();
            }
        }
    }
}

#[test]
fn keys_values_and_tags_may_be_as_large_as_files() {
    const LENGTH: usize = 16 << 20;
    let weigh = |key: &String, value: &Vec<u8>| (key.len() + value.len()) as u32;
    let cache = Cache::builder().weight_capacity(4 * LENGTH as u64).weigher(weigh).build().unwrap();
    let key = |n: usize| format!("{}{n}", "k".repeat(LENGTH));
    for n in 0..4 {
        cache.insert(key(n), vec![n as u8; LENGTH / 2]);
    }
    assert_eq!(cache.len(), 2, "the bound is in bytes");
    let tag = "t".repeat(LENGTH);
    cache.insert_with("small".to_owned(), vec![1], EntryOptions::new().tag(tag.clone()));
    assert_eq!(cache.peek("small"), Some(vec![1]));
    cache.invalidate_tag(&tag);
    assert_eq!(cache.peek("small"), None);
    (0..4).for_each(|n| cache.invalidate(key(n).as_str()));
    assert_eq!((cache.len(), cache.weight()), (0, 0));
    cache.validate().unwrap();
}

/// Says that it has more items than there can be.
struct Boastful<I>(I);

impl<I: Iterator> Iterator for Boastful<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

#[test]
fn nothing_is_reserved_because_somebody_says_so() {
    let cache: Cache<u32, u32> = Cache::new(usize::MAX);
    cache.extend(Boastful((0..9).map(|key| (key, key))));
    assert_eq!((cache.len(), cache.hottest(usize::MAX).len()), (9, 9));
    assert_eq!(cache.coldest(usize::MAX).len(), 9);
    let many = Cache::<u32, u32>::builder().capacity(9).shards(1 << 16).build().unwrap();
    many.extend((0..99).map(|key| (key, key)));
    assert_eq!(many.len(), 9, "more shards than entries");
    many.validate().unwrap();
    for (shards, is_right) in [
        (0, false),
        (3, false),
        (usize::MAX, false),
        (1 << 17, false),
        (1 << (usize::BITS - 1), false),
        (1, true),
    ] {
        let built = Cache::<u8, u8>::builder().capacity(1).shards(shards).build();
        assert_eq!(built.is_ok(), is_right, "{shards} shards");
    }
}

/// Equal to every key.
#[derive(Hash)]
struct Anything;

impl Equivalent<u8> for Anything {
    fn equivalent(&self, _: &u8) -> bool {
        true
    }
}

#[test]
fn a_look_up_that_lies_finds_something_or_nothing_and_harms_nobody() {
    let cache: Cache<u8, u8> = Cache::new(100);
    cache.extend((0..100).map(|key| (key, key)));
    assert!(cache.get(&Anything).is_none_or(|value| value < 100));
    let removed = cache.remove(&Anything);
    cache.invalidate(&Anything);
    cache.validate().unwrap();
    let there = (0..100).filter(|key| cache.get(key) == Some(*key)).count();
    assert!(there + 2 >= 100 && removed.is_none_or(|value| cache.get(&value).is_none()));
}
