//! What one thread can rely on, over a product of configurations.
//!
//! Each test is a sentence of the contract. [`for_each_cache`] runs it for
//! every policy × capacity × bounds × shards × hasher and validates the whole
//! structure afterwards. These configurations also differ in weigher, expiry,
//! clock, listener and statistics, so that every two settings of two kinds meet
//! in one of them.

use larder::{
    Builder, Cache, Cause, Clock, DefaultHashBuilder, EntryOptions, Equivalent, Eviction,
    ManualClock, SystemClock,
};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Either the default hasher or one under which all keys collide.
#[derive(Clone)]
enum Hashing {
    Random(DefaultHashBuilder),
    Constant,
}

enum KeyHasher {
    Random(<DefaultHashBuilder as BuildHasher>::Hasher),
    Constant,
}

impl BuildHasher for Hashing {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        match self {
            Hashing::Random(hasher) => KeyHasher::Random(hasher.build_hasher()),
            Hashing::Constant => KeyHasher::Constant,
        }
    }
}

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        match self {
            KeyHasher::Random(hasher) => hasher.finish(),
            KeyHasher::Constant => 7,
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if let KeyHasher::Random(hasher) = self {
            hasher.write(bytes);
        }
    }
}

type TestCache = Cache<u32, u32, Hashing>;
type TestBuilder = Builder<u32, u32, Hashing>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bounds {
    Entries,
    Weight,
    Both,
}

/// How long entries live: longer than any test, in every way there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lives {
    Unbounded,
    Ttl,
    JitteredTtl,
    Tti,
    Both,
    Own,
    Forever,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Time {
    Default,
    System,
    /// Stands still.
    Manual,
    /// Moves on by a second whenever it is asked.
    Hurried,
}

#[derive(Default)]
struct Hurried(AtomicUsize);

impl Clock for Hurried {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed) as u64)
    }
}

#[derive(Clone, Copy, Debug)]
struct Config {
    eviction: Eviction,
    capacity: usize,
    bounds: Bounds,
    shards: usize,
    collide: bool,
    more: More,
}

/// What makes no difference to what a test may expect.
#[derive(Clone, Copy, Debug)]
struct More {
    lives: Lives,
    time: Time,
    /// Every entry weighs 1, with a weigher or without.
    weighs: bool,
    listens: bool,
    counts: bool,
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl More {
    /// Any, as `number` has it.
    fn some(number: u64) -> Self {
        use {Lives::*, Time::*};
        // SplitMix64, so that neighbours have nothing in common.
        let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)) as usize;
        More {
            lives: [Unbounded, Ttl, JitteredTtl, Tti, Both, Own, Forever][mixed % 7],
            time: [Default, System, Manual, Hurried][mixed / 7 % 4],
            weighs: mixed / 28 % 2 == 0,
            listens: mixed / 56 % 2 == 0,
            counts: mixed / 112 % 2 == 0,
        }
    }

    fn builder(self, builder: TestBuilder) -> TestBuilder {
        let builder = match self.lives {
            Lives::Unbounded => builder,
            Lives::Ttl => builder.time_to_live(CENTURY),
            Lives::JitteredTtl => builder.time_to_live(CENTURY).ttl_jitter(0.5),
            Lives::Tti => builder.time_to_idle(CENTURY),
            Lives::Both => builder.time_to_live(CENTURY).time_to_idle(CENTURY),
            Lives::Own => builder.expiry(larder::after_access(|_, _| CENTURY)),
            Lives::Forever => builder.time_to_live(Duration::MAX).time_to_idle(Duration::MAX),
        };
        let builder = match self.time {
            Time::Default => builder,
            Time::System => builder.clock(SystemClock::default()),
            Time::Manual => builder.clock(ManualClock::new()),
            Time::Hurried => builder.clock(Hurried::default()),
        };
        let builder = if self.weighs { builder.weigher(|_, _| 1) } else { builder };
        let builder = if self.counts { builder.record_stats() } else { builder };
        if self.listens { builder.on_removal(|_, _, _| {}) } else { builder }
    }
}

impl Config {
    fn builder(self) -> TestBuilder {
        self.more.builder(self.bounded())
    }

    fn bounded(self) -> TestBuilder {
        let hashing = match self.collide {
            true => Hashing::Constant,
            false => Hashing::Random(DefaultHashBuilder::default()),
        };
        let builder = Cache::builder().hasher(hashing).eviction(self.eviction).shards(self.shards);
        let builder = match self.bounds {
            Bounds::Weight => builder,
            _ => builder.capacity(self.capacity),
        };
        match self.bounds {
            Bounds::Entries => builder,
            _ => builder.weight_capacity(self.capacity as u64),
        }
    }
}

fn configs() -> Vec<Config> {
    let mut configs = Vec::new();
    let unusual = [Eviction::Lfu { ageing: None }, Eviction::Lfu { ageing: Some(1) }];
    for eviction in Eviction::ALL.iter().copied().chain(unusual) {
        for capacity in [0, 1, 3, 100] {
            for bounds in [Bounds::Entries, Bounds::Weight, Bounds::Both] {
                for (shards, collide) in [(1, false), (8, false), (1, true), (8, true)] {
                    let more = More::some(configs.len() as u64);
                    configs.push(Config { eviction, capacity, bounds, shards, collide, more });
                }
            }
        }
    }
    configs
}

fn for_each_config(test: impl Fn(Config)) {
    let configs = configs();
    assert!(configs.len() >= 200, "{} configurations", configs.len());
    configs.into_iter().for_each(test);
}

/// The settings of a configuration, each by its kind and value.
fn settings(config: &Config) -> Vec<String> {
    let Config { eviction, capacity, bounds, shards, collide, more } = config;
    let More { lives, time, weighs, listens, counts } = more;
    vec![
        format!("{eviction:?}"),
        format!("capacity {capacity}"),
        format!("bounds {bounds:?}"),
        format!("shards {shards}"),
        format!("collide {collide}"),
        format!("lives {lives:?}"),
        format!("time {time:?}"),
        format!("weighs {weighs}"),
        format!("listens {listens}"),
        format!("counts {counts}"),
    ]
}

#[test]
fn every_two_settings_meet_in_some_configuration() {
    let rows: Vec<Vec<String>> = configs().iter().map(settings).collect();
    for one in 0..rows[0].len() {
        for other in 0..one {
            let values = |kind: usize| rows.iter().map(|row| &row[kind]).collect::<BTreeSet<_>>();
            let met: BTreeSet<_> = rows.iter().map(|row| (&row[one], &row[other])).collect();
            let all = values(one).len() * values(other).len();
            assert_eq!(met.len(), all, "{:?} and {:?}", values(one), values(other));
        }
    }
}

fn for_each_cache(test: impl Fn(Config, &TestCache)) {
    for_each_config(|config| {
        let cache = config.builder().build().unwrap();
        test(config, &cache);
        valid(&cache, config);
    });
}

fn valid(cache: &TestCache, config: Config) {
    cache.validate().unwrap_or_else(|flaw| panic!("{config:?}: {flaw}"));
    assert!(cache.len() <= config.capacity, "{config:?}: {} entries", cache.len());
}

/// Everything a listener was told, in order.
type Told = Arc<Mutex<Vec<(u32, u32, Cause)>>>;

fn telling(builder: TestBuilder) -> (TestCache, Told) {
    let told = Told::default();
    let listener = {
        let told = Arc::clone(&told);
        move |key: &u32, value: &u32, cause| told.lock().push((*key, *value, cause))
    };
    (builder.on_removal(listener).build().unwrap(), told)
}

#[test]
fn as_many_entries_as_the_capacity_stay_and_one_more_makes_one_leave() {
    for_each_cache(|config, cache| {
        for key in 0..config.capacity as u32 {
            cache.insert(key, key + 1);
            assert_eq!(cache.get(&key), Some(key + 1), "{config:?}");
        }
        assert_eq!(cache.len(), config.capacity, "{config:?}");
        assert_eq!(cache.weight(), config.capacity as u64);
        cache.insert(u32::MAX, 0);
        assert_eq!(cache.len(), config.capacity, "{config:?}");
        let left = (0..config.capacity as u32).filter(|key| !cache.contains_key(key)).count();
        assert!(left <= 1, "{config:?}: {left} left for one newcomer");
    });
}

#[test]
fn what_was_removed_or_invalidated_is_gone_and_the_rest_is_not() {
    for_each_cache(|config, cache| {
        let keys = config.capacity as u32;
        cache.extend((0..keys).map(|key| (key, key)));
        for key in (0..keys).step_by(3) {
            assert_eq!(cache.remove(&key), Some(key));
            assert_eq!(cache.remove(&key), None);
        }
        for key in (1..keys).step_by(3) {
            cache.invalidate(&key);
        }
        for key in 0..keys {
            assert_eq!(cache.get(&key), (key % 3 == 2).then_some(key), "{config:?}");
        }
    });
}

#[test]
fn a_predicate_removes_what_it_names() {
    for_each_cache(|config, cache| {
        let keys = config.capacity as u32;
        cache.extend((0..keys).map(|key| (key, key * 10)));
        cache.invalidate_if(|key, value| {
            assert_eq!(key * 10, *value);
            key % 2 == 0
        });
        for key in 0..keys {
            assert_eq!(cache.contains_key(&key), key % 2 == 1, "{config:?}");
        }
    });
}

#[test]
fn after_invalidate_all_nothing_is_visible_to_any_method() {
    for_each_cache(|config, cache| {
        for round in 0..3 {
            cache.extend((0..config.capacity as u32).map(|key| (key, key)));
            for _ in 0..=round {
                cache.invalidate_all();
            }
            assert_eq!(cache.iter().next(), None, "{config:?}");
            assert_eq!(cache.get(&0), None);
            assert_eq!(cache.peek(&1), None);
            assert!(!cache.contains_key(&2));
            assert_eq!(cache.read(&0, |value| *value), None);
            assert_eq!(cache.remove(&0), None);
            assert_eq!(cache.hottest(9), []);
            assert_eq!((cache.len(), cache.weight()), (0, 0), "{config:?}");
        }
    });
}

#[test]
fn a_tag_removes_its_entries_and_no_others() {
    for_each_cache(|config, cache| {
        let keys = config.capacity as u32;
        for key in 0..keys {
            let tags = [format!("mod 2 = {}", key % 2), format!("mod 3 = {}", key % 3)];
            cache.insert_with(key, key, EntryOptions::new().tags(tags));
        }
        cache.invalidate_tag("mod 2 = 0");
        cache.invalidate_tag("mod 3 = 1");
        cache.invalidate_tag("never used");
        for key in 0..keys {
            let stays = key % 2 != 0 && key % 3 != 1;
            assert_eq!(cache.get(&key), stays.then_some(key), "{config:?}, key {key}");
        }
        let stay = (0..keys).filter(|key| key % 2 != 0 && key % 3 != 1).count();
        assert_eq!((cache.iter().count(), cache.len()), (stay, stay));
        if keys > 0 {
            cache.insert_with(0, 1, EntryOptions::new().tag("mod 2 = 0"));
            assert_eq!(cache.get(&0), Some(1), "written after the tag was invalidated");
        }
    });
}

#[test]
fn a_new_value_has_the_tags_it_was_written_with_and_not_the_old_ones() {
    for_each_cache(|config, cache| {
        if config.capacity == 0 {
            return;
        }
        cache.insert_with(1, 10, EntryOptions::new().tag("old"));
        cache.insert(1, 11);
        cache.invalidate_tag("old");
        assert_eq!(cache.get(&1), Some(11), "{config:?}");
        cache.insert_with(1, 12, EntryOptions::new().tag("new"));
        cache.invalidate_tag("new");
        assert_eq!(cache.get(&1), None);
    });
}

#[test]
fn what_was_invalidated_at_once_is_told_and_dropped_when_maintenance_runs() {
    for_each_config(|config| {
        let (cache, told) = telling(config.builder());
        let keys = config.capacity as u32;
        for key in 0..keys {
            cache.insert_with(key, key, EntryOptions::new().tag(["even", "odd"][key as usize % 2]));
        }
        cache.invalidate_tag("even");
        cache.run_maintenance();
        let left: Vec<u32> = told.lock().iter().map(|(key, _, _)| *key).collect();
        assert!(left.iter().all(|key| key % 2 == 0), "{config:?}: {left:?}");
        assert_eq!(left.len(), keys.div_ceil(2) as usize, "{config:?}");
        cache.invalidate_all();
        cache.run_maintenance();
        assert_eq!(told.lock().len(), keys as usize);
        assert!(told.lock().iter().all(|(_, _, cause)| *cause == Cause::Invalidated));
        valid(&cache, config);
    });
}

#[test]
fn clear_has_told_and_dropped_everything_when_it_returns() {
    for_each_config(|config| {
        let (cache, told) = telling(config.builder());
        cache.extend((0..config.capacity as u32).map(|key| (key, key)));
        cache.clear();
        assert_eq!(told.lock().len(), config.capacity, "{config:?}");
        assert!(cache.is_empty());
        valid(&cache, config);
    });
}

#[test]
fn every_value_that_was_written_is_told_once_with_its_cause() {
    for_each_config(|config| {
        let (cache, told) = telling(config.builder());
        for value in 0..500 {
            cache.insert(value % 130, value);
            if value % 7 == 0 {
                cache.remove(&(value % 11));
            }
            valid(&cache, config);
        }
        let resident = cache.len();
        let stats = cache.stats();
        assert_eq!(told.lock().len() + resident, 500, "{config:?}");
        assert_eq!(stats.inserts + stats.rejected, 500, "{config:?}");
        drop(cache);
        let told = told.lock();
        let mut values: Vec<u32> = told.iter().map(|(_, value, _)| *value).collect();
        values.sort_unstable();
        assert_eq!(values, (0..500).collect::<Vec<_>>(), "{config:?}: each value once");
        let by = |cause| told.iter().filter(|(_, _, told)| *told == cause).count() as u64;
        assert_eq!(by(Cause::Closed), resident as u64);
        assert_eq!(by(Cause::Size), stats.evicted);
        assert_eq!(by(Cause::Replaced), stats.replaced);
        assert_eq!(by(Cause::Explicit), stats.removed);
        assert_eq!(by(Cause::Rejected), stats.rejected);
        for key in 0..130 {
            let of_key: Vec<u32> = told.iter().filter(|t| t.0 == key).map(|t| t.1).collect();
            assert!(of_key.is_sorted(), "{config:?}: key {key} out of order: {of_key:?}");
        }
    });
}

#[test]
fn an_entry_heavier_than_the_whole_cache_is_refused_and_the_older_value_replaced() {
    for_each_config(|config| {
        if config.bounds == Bounds::Entries {
            return;
        }
        let (cache, told) = telling(config.builder());
        let too_heavy = EntryOptions::new().weight(config.capacity as u32 + 1);
        if config.capacity > 0 {
            cache.insert(1, 10);
        }
        cache.insert_with(1, 11, too_heavy);
        assert!(!cache.contains_key(&1), "{config:?}");
        let mut wanted = vec![(1, 10, Cause::Replaced), (1, 11, Cause::Rejected)];
        wanted.drain(..usize::from(config.capacity == 0));
        assert_eq!(*told.lock(), wanted, "{config:?}");
        assert_eq!(cache.stats().rejected, 1);
        valid(&cache, config);
    });
}

#[test]
fn a_whole_cache_is_given_to_one_entry_that_just_fits() {
    for_each_cache(|config, cache| {
        if config.bounds == Bounds::Entries || config.capacity == 0 {
            return;
        }
        cache.extend((0..config.capacity as u32).map(|key| (key, key)));
        cache.insert_with(1000, 1, EntryOptions::new().weight(config.capacity as u32));
        assert_eq!(cache.get(&1000), Some(1), "{config:?}");
        assert_eq!((cache.len(), cache.weight()), (1, config.capacity as u64));
    });
}

#[test]
fn weightless_entries_give_way_to_others_by_number_only() {
    for_each_cache(|config, cache| {
        if config.bounds != Bounds::Both || config.capacity < 3 {
            return;
        }
        let weighing = |weight| EntryOptions::new().weight(weight);
        cache.insert_with(1, 1, weighing(0));
        for key in 10..40 {
            cache.insert_with(key, key, weighing(config.capacity as u32));
        }
        assert_eq!(cache.get(&1), Some(1), "{config:?}: weight alone was short");
        for key in 100..100 + 4 * config.capacity as u32 {
            cache.insert_with(key, key, weighing(0));
        }
        assert_eq!(cache.len(), config.capacity, "{config:?}: they count as entries");
    });
    let unbounded = Cache::builder().weight_capacity(5).build().unwrap();
    for key in 0..1000 {
        unbounded.insert_with(key, key, EntryOptions::new().weight(0));
    }
    assert_eq!((unbounded.len(), unbounded.weight()), (1000, 0));
}

#[test]
fn weights_may_be_as_large_as_they_come() {
    for eviction in Eviction::ALL {
        let cache = Cache::builder().weight_capacity(u64::MAX).eviction(*eviction).build().unwrap();
        for key in 0..50 {
            cache.insert_with(key, key, EntryOptions::new().weight(u32::MAX));
        }
        assert_eq!(cache.weight(), 50 * u64::from(u32::MAX));
        cache.set_weight_capacity(10 * u64::from(u32::MAX));
        assert_eq!(cache.len(), 10);
        cache.validate().unwrap();
    }
}

#[test]
fn a_replacement_is_paid_for_by_others() {
    for eviction in Eviction::ALL {
        let cache =
            Cache::builder().weight_capacity(10).shards(1).eviction(*eviction).build().unwrap();
        cache.extend((0..10).map(|key| (key, key)));
        cache.insert_with(9, 99, EntryOptions::new().weight(6));
        assert!(cache.weight() <= 10, "{eviction}");
        cache.insert_with(9, 99, EntryOptions::new().weight(1));
        cache.validate().unwrap();
    }
}

#[test]
fn capacity_follows_set_capacity_up_and_down_to_0_and_to_the_largest() {
    for_each_config(|config| {
        let cache = config.builder().build().unwrap();
        cache.set_weight_capacity(u64::MAX);
        for (step, capacity) in [50, 7, 0, 1, 200, usize::MAX, 3].into_iter().enumerate() {
            cache.set_capacity(capacity);
            assert!(cache.len() <= capacity, "{config:?}: set to {capacity}");
            assert_eq!(cache.capacity(), capacity);
            let first = step as u32 * 1000;
            cache.extend((first..first + 100).map(|key| (key, key)));
            cache.validate().unwrap_or_else(|flaw| panic!("{config:?}: {flaw}"));
            if capacity <= 100 {
                assert_eq!(cache.len(), capacity, "{config:?}");
            }
        }
    });
}

#[test]
fn a_huge_capacity_costs_nothing_until_it_is_used() {
    for eviction in Eviction::ALL {
        let builder = Cache::builder().weight_capacity(u64::MAX).eviction(*eviction);
        let cache = builder.capacity(usize::MAX).build().unwrap();
        cache.insert(1, 1);
        assert_eq!((cache.capacity(), cache.get(&1)), (usize::MAX, Some(1)));
        for capacity in [usize::MAX - 1, usize::MAX / 2 + 1] {
            let builder = Cache::builder().capacity(capacity).eviction(*eviction);
            let cache: Cache<u32, u32> = builder.shards(1).build().unwrap();
            cache.set_capacity(7);
            cache.set_capacity(usize::MAX - 2);
            assert_eq!(cache.capacity(), usize::MAX - 2);
        }
    }
}

#[test]
fn peek_and_contains_key_leave_no_trace() {
    let cache =
        Cache::builder().capacity(2).eviction(Eviction::Lru).record_stats().build().unwrap();
    cache.extend([(1, 1), (2, 2)]);
    assert_eq!((cache.peek(&1), cache.contains_key(&1)), (Some(1), true));
    assert_eq!((cache.peek(&9), cache.contains_key(&9)), (None, false));
    cache.insert(3, 3);
    assert_eq!(cache.peek(&1), None, "looking did not save it");
    assert_eq!((cache.stats().hits, cache.stats().misses), (0, 0));
}

#[test]
fn iteration_meets_each_entry_once_and_none_that_left_before() {
    for_each_cache(|config, cache| {
        let keys = config.capacity as u32;
        cache.extend((0..keys).map(|key| (key, key)));
        let mut met: Vec<u32> = cache.iter().map(|(key, _)| key).collect();
        met.sort_unstable();
        assert_eq!(met, (0..keys).collect::<Vec<_>>(), "{config:?}");
        let mut iter = cache.iter();
        let first = iter.next();
        (0..keys).for_each(|key| cache.invalidate(&key));
        assert_eq!(iter.next(), None, "{config:?}: after {first:?} all were invalidated");
    });
}

#[test]
fn iteration_meets_what_stays_once_while_the_cache_grows_and_shrinks() {
    for (shards, met_before) in [(1, 1), (1, 40), (1, 190), (4, 90)] {
        let builder = Cache::builder().capacity(10_000).shards(shards);
        let cache: Cache<u32, u32> = builder.build().unwrap();
        cache.extend((0..200).map(|key| (key, key)));
        let mut met: Vec<u32> = Vec::new();
        let mut iter = cache.iter();
        met.extend(iter.by_ref().take(met_before).map(|(key, _)| key));
        cache.extend((1000..4000).map(|key| (key, key)));
        met.extend(iter.by_ref().take(10).map(|(key, _)| key));
        (1000..4000).for_each(|key| cache.invalidate(&key));
        cache.run_maintenance();
        // Those that were met are not met again for that.
        cache.extend((0..200).map(|key| (key, key + 1)));
        met.extend(iter.map(|(key, _)| key));
        met.retain(|key| *key < 200);
        met.sort_unstable();
        assert_eq!(met, (0..200).collect::<Vec<_>>(), "{shards} shards, {met_before}");
        cache.validate().unwrap();
    }
}

#[test]
fn hottest_and_coldest_are_the_two_ends_of_the_same_order() {
    for_each_cache(|config, cache| {
        let keys = config.capacity as u32;
        cache.extend((0..keys).map(|key| (key, key)));
        for key in (0..keys).step_by(2) {
            cache.get(&key);
        }
        let (hot, cold) = (cache.hottest(usize::MAX), cache.coldest(usize::MAX));
        assert_eq!(hot.len(), config.capacity, "{config:?}");
        let mut both = [hot.clone(), cold.clone()];
        both.iter_mut().for_each(|order| order.sort_unstable());
        assert_eq!(both[0], both[1], "{config:?}: the same entries");
        if config.shards == 1 {
            assert!(hot.iter().eq(cold.iter().rev()), "{config:?}");
        }
        assert_eq!(cache.hottest(1).len(), config.capacity.min(1));
    });
}

#[test]
fn statistics_add_up_and_can_be_subtracted() {
    let cache = Cache::builder().capacity(10).record_stats().build().unwrap();
    cache.extend((0..10).map(|key| (key, key)));
    (0..20).for_each(|key| {
        cache.get(&key);
    });
    let before = cache.stats();
    assert_eq!((before.hits, before.misses, before.inserts), (10, 10, 10));
    cache.read(&1, |_| ());
    cache.entry(2).or_insert(0);
    cache.entry(100).or_insert(0);
    let since = cache.stats() - before;
    assert_eq!((since.hits, since.misses, since.inserts, since.evicted), (2, 1, 1, 1));
    assert_eq!(since.entries, 10, "what is held is not a difference");
    assert_eq!(since.hit_ratio(), Some(2.0 / 3.0));
}

#[derive(Hash, PartialEq, Eq)]
struct Pair(String, u64);

/// A look-up by borrowed parts. It hashes as [`Pair`] does.
#[derive(Hash)]
struct Parts<'a>(&'a str, u64);

impl Equivalent<Pair> for Parts<'_> {
    fn equivalent(&self, pair: &Pair) -> bool {
        self.0 == pair.0 && self.1 == pair.1
    }
}

#[test]
fn borrowed_parts_find_an_owned_pair_and_text_finds_a_string() {
    let cache = Cache::new(10);
    cache.insert(Pair("a".to_owned(), 1), "pair");
    assert_eq!(cache.get(&Parts("a", 1)), Some("pair"));
    assert_eq!(cache.remove(&Parts("a", 2)), None);
    let cache: Cache<String, Vec<u8>> = Cache::new(10);
    cache.insert("text".to_owned(), vec![1]);
    assert_eq!(cache.read("text", Vec::len), Some(1));
    cache.invalidate("text");
    assert!(!cache.contains_key("text"));
}

#[test]
fn a_summary_shows_numbers_and_no_contents() {
    let cache = Cache::builder().capacity(10).weight_capacity(99).shards(2).build().unwrap();
    cache.insert("secret key", "secret value");
    let summary = format!("{cache:?}");
    assert!(summary.contains("entries: 1") && summary.contains("capacity: 10"), "{summary}");
    assert!(summary.contains("weight_capacity: 99") && summary.contains("Adaptive"), "{summary}");
    assert!(!summary.contains("secret"), "{summary}");
}

#[test]
fn a_handle_is_shared_and_the_last_one_closes() {
    fn is_shared<T: Send + Sync + 'static>(_: &T) {}
    let closed = Arc::new(AtomicUsize::new(0));
    let listener = {
        let closed = Arc::clone(&closed);
        move |_: &u32, _: &u32, cause| {
            closed.fetch_add(usize::from(cause == Cause::Closed), Ordering::Relaxed);
        }
    };
    let cache = Cache::builder().capacity(10).on_removal(listener).build().unwrap();
    is_shared(&cache);
    let other = cache.clone();
    cache.insert(1, 1);
    drop(cache);
    assert_eq!((other.get(&1), closed.load(Ordering::Relaxed)), (Some(1), 0));
    drop(other);
    assert_eq!(closed.load(Ordering::Relaxed), 1);
}

#[test]
fn values_need_not_be_clone() {
    struct Opaque(u32);
    let cache: Cache<u32, Opaque> = Cache::new(10);
    cache.insert(1, Opaque(7));
    assert_eq!(cache.read(&1, |value| value.0), Some(7));
    cache.entry(1).and_compute(|old| larder::Compute::Replace(Opaque(old.map_or(0, |o| o.0 + 1))));
    assert_eq!(cache.read(&1, |value| value.0), Some(8));
    cache.invalidate_if(|_, value| value.0 == 8);
    assert!(cache.is_empty());
}

#[test]
fn each_insert_is_counted_also_one_over_an_older_value() {
    for eviction in Eviction::ALL {
        let cache = Cache::builder().capacity(10).eviction(*eviction).build().unwrap();
        for round in 0..3 {
            (0..10).for_each(|key| cache.insert(key, round));
        }
        let stats = cache.stats();
        assert_eq!((stats.inserts, stats.replaced), (30, 20), "{eviction}");
    }
}

/// Who is evicted while it is read stays in its place, so the newcomer gets another
/// one, and stands in the policy's order as if nobody had read.
#[test]
fn a_newcomer_for_whom_an_entry_leaves_that_is_read_has_its_place_in_the_order() {
    // Not those that hear of reads in order: most are noted when they end.
    let is_silent = |eviction: &&Eviction| ![Eviction::Lru, Eviction::lfu()].contains(eviction);
    for eviction in Eviction::ALL.iter().filter(is_silent) {
        // Under one hasher, since some policies look at hashes.
        let hasher = DefaultHashBuilder::default();
        let [cache, alike] = [(); 2].map(|()| {
            let builder = Cache::builder().capacity(8).shards(1).eviction(*eviction);
            builder.hasher(hasher.clone()).build().unwrap()
        });
        let insert = |key| {
            cache.insert(key, key);
            alike.insert(key, key);
        };
        (0..8).for_each(insert);
        for key in 8..200 {
            // All of them are uses, of both caches.
            (0..key).for_each(|old| _ = alike.get(&old));
            let (mut readers, cache) = ((0..key), &cache);
            read_all(cache, &mut readers, &|| cache.insert(key, key));
            alike.insert(key, key);
            cache.validate().unwrap();
            let (ours, theirs) = (cache.stats(), alike.stats());
            assert_eq!(ours.inserts, theirs.inserts, "{eviction}");
            for old in 0..=key {
                assert_eq!(
                    cache.contains_key(&old),
                    alike.contains_key(&old),
                    "{eviction}: {old}, {key}"
                );
            }
        }
    }
}

/// Does it while all of `keys` are read that are there.
fn read_all(
    cache: &Cache<u64, u64, DefaultHashBuilder>,
    keys: &mut dyn Iterator<Item = u64>,
    it: &dyn Fn(),
) {
    match keys.next() {
        Some(key) if cache.contains_key(&key) => {
            cache.read(&key, |_| read_all(cache, keys, it));
        }
        Some(_) => read_all(cache, keys, it),
        None => it(),
    }
}
