//! How long entries live, by a clock that the test holds: nothing here sleeps.

use larder::{
    Builder, Cache, Cause, Clock, Compute, EntryOptions, Eviction, Expiry, ManualClock, Outcome,
};
use parking_lot::{Condvar, Mutex, RwLock};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn clocked() -> (ManualClock, Builder<u32, u32>) {
    let clock = ManualClock::new();
    let builder = Cache::builder().capacity(100).clock(clock.clone());
    (clock, builder)
}

#[test]
fn an_entry_is_visible_until_its_deadline_and_to_no_method_from_then_on() {
    for eviction in Eviction::ALL {
        let (clock, builder) = clocked();
        let cache = builder.eviction(*eviction).time_to_live(SECOND).build().unwrap();
        cache.insert(1, 10);
        clock.advance(SECOND - Duration::from_nanos(1));
        assert_eq!(
            (cache.get(&1), cache.expires_in(&1)),
            (Some(10), Some(Duration::from_nanos(1)))
        );
        clock.advance(Duration::from_nanos(1));
        assert_eq!(cache.iter().next(), None, "{eviction}");
        assert_eq!((cache.hottest(9), cache.coldest(9)), (vec![], vec![]));
        assert_eq!((cache.peek(&1), cache.expires_in(&1)), (None, None));
        assert!(!cache.contains_key(&1) && !cache.set_expires_in(&1, SECOND));
        assert_eq!(cache.read(&1, |value| *value), None);
        let kept = cache.entry(1).and_compute(|old| {
            assert_eq!(old, None);
            Compute::Keep
        });
        assert_eq!(kept, Outcome::Absent);
        assert_eq!(cache.remove(&1), None);
        cache.invalidate_if(|_, _| panic!("there is nothing to ask about"));
        assert_eq!(cache.get(&1), None);
        assert_eq!(cache.entry(1).or_insert(11), 11);
        cache.validate().unwrap();
    }
}

#[test]
fn what_a_reader_looks_at_stays_while_an_empty_cache_gives_its_memory_back() {
    let clock = ManualClock::new();
    let builder = Cache::builder().capacity(100).shards(1).clock(clock.clone());
    let cache = builder.time_to_live(SECOND).build().unwrap();
    (0..10).for_each(|key| cache.insert(key, format!("old {key}")));
    let seen = cache.read(&5, |value| {
        clock.advance(SECOND);
        cache.run_maintenance();
        assert_eq!(cache.len(), 0);
        // In any of the places that there were, but for the reader's.
        (10..30).for_each(|key| cache.insert(key, format!("new {key}")));
        cache.validate().unwrap();
        value.clone()
    });
    assert_eq!(seen.as_deref(), Some("old 5"));
    assert!((10..30).all(|key| cache.get(&key) == Some(format!("new {key}"))));
    cache.validate().unwrap();
}

#[test]
fn of_several_lifetimes_the_one_that_ends_first_counts() {
    let (clock, builder) = clocked();
    let cache = builder.time_to_live(10 * SECOND).time_to_idle(4 * SECOND).build().unwrap();
    cache.insert(1, 1);
    cache.insert_with(2, 2, EntryOptions::new().ttl(3 * SECOND).tti(100 * SECOND));
    cache.insert_with(3, 3, EntryOptions::new().ttl(100 * SECOND).tti(SECOND));
    let lives = |key| cache.expires_in(&key);
    assert_eq!([lives(1), lives(2), lives(3)], [4, 3, 1].map(|s| Some(s * SECOND)));
    clock.advance(3 * SECOND);
    assert_eq!([cache.get(&1), cache.get(&2), cache.get(&3)], [Some(1), None, None]);
    clock.advance(3 * SECOND);
    assert_eq!(cache.get(&1), Some(1), "read 3 s ago");
    clock.advance(3 * SECOND);
    assert_eq!((cache.get(&1), lives(1)), (Some(1), Some(SECOND)), "the time to live ends first");
    clock.advance(SECOND);
    assert_eq!(cache.get(&1), None);
}

#[test]
fn looking_does_not_prolong_an_idle_entry_and_writing_does() {
    let (clock, builder) = clocked();
    let cache = builder.time_to_idle(4 * SECOND).build().unwrap();
    cache.insert(1, 1);
    clock.advance(3 * SECOND);
    assert_eq!((cache.peek(&1), cache.contains_key(&1)), (Some(1), true));
    assert_eq!(cache.iter().count(), 1);
    assert_eq!(cache.expires_in(&1), Some(SECOND));
    cache.insert(1, 2);
    assert_eq!(cache.expires_in(&1), Some(4 * SECOND));
    clock.advance(3 * SECOND);
    cache.entry(1).and_compute(|_| Compute::Keep);
    assert_eq!(cache.expires_in(&1), Some(4 * SECOND));
}

#[test]
fn durations_saturate_and_zero_is_over_at_once() {
    let (clock, builder) = clocked();
    let cache = builder.time_to_live(Duration::MAX).time_to_idle(Duration::MAX).build().unwrap();
    clock.advance(Duration::from_secs(u64::MAX / 4));
    cache.insert(1, 1);
    cache.insert_with(2, 2, EntryOptions::new().ttl(Duration::MAX).tti(Duration::MAX));
    cache.insert_with(3, 3, EntryOptions::new().ttl(Duration::ZERO));
    cache.insert_with(4, 4, EntryOptions::new().tti(Duration::ZERO));
    assert_eq!(cache.expires_in(&1), Some(Duration::MAX), "no deadline is a value");
    assert_eq!([1, 2, 3, 4].map(|key| cache.get(&key)), [Some(1), Some(2), None, None]);
    clock.advance(Duration::MAX);
    assert_eq!(cache.get(&1), Some(1), "for ever is longer than any clock");
    assert!(cache.set_expires_in(&1, Duration::ZERO));
    assert_eq!(cache.get(&1), None);
    cache.validate().unwrap();
}

#[test]
fn a_live_entry_can_be_given_another_deadline() {
    let (clock, builder) = clocked();
    let cache = builder.build().unwrap();
    cache.insert(1, 1);
    assert_eq!(cache.expires_in(&1), Some(Duration::MAX));
    assert!(cache.set_expires_in(&1, 5 * SECOND));
    assert!(cache.set_expires_in(&1, 2 * SECOND));
    clock.advance(SECOND);
    assert!(cache.set_expires_in(&1, 2 * SECOND));
    clock.advance(SECOND);
    assert_eq!(cache.get(&1), Some(1));
    clock.advance(SECOND);
    assert_eq!(cache.get(&1), None);
}

#[test]
fn a_clock_that_jumps_back_revives_nothing() {
    for seen in [false, true] {
        let (clock, builder) = clocked();
        let cache = builder.time_to_live(SECOND).build().unwrap();
        cache.insert(1, 1);
        clock.advance(2 * SECOND);
        // Whether it is this key or another that someone looks at then.
        assert_eq!(cache.get(&(1 + u32::from(seen))), None);
        cache.contains_key(&1);
        clock.set(Duration::ZERO);
        assert_eq!(cache.get(&1), None);
        cache.insert(1, 2);
        assert_eq!(cache.get(&1), Some(2));
        cache.run_maintenance();
        cache.validate().unwrap();
    }
}

#[test]
fn a_time_that_someone_has_seen_is_over_for_every_shard_when_the_clock_jumps_back() {
    let (clock, builder) = clocked();
    let cache = builder.time_to_live(SECOND).shards(8).build().unwrap();
    for key in 0..64 {
        cache.insert(key, 1);
    }
    clock.advance(2 * SECOND);
    // Only the shard of this key has noticed what has expired.
    cache.insert(64, 1);
    clock.set(Duration::ZERO);
    assert_eq!(clock.now(), Duration::ZERO);
    for key in 0..64 {
        assert_eq!(cache.get(&key), None, "{key}");
    }
    cache.validate().unwrap();
}

#[test]
fn an_eviction_takes_an_expired_entry_first() {
    for eviction in Eviction::ALL {
        let told: Arc<Mutex<Vec<(u32, Cause)>>> = Arc::default();
        let (clock, builder) = clocked();
        let cache = builder
            .capacity(3)
            .shards(1)
            .eviction(*eviction)
            .on_removal({
                let told = Arc::clone(&told);
                move |key, _, cause| told.lock().push((*key, cause))
            })
            .build()
            .unwrap();
        cache.extend([(1, 1)]);
        cache.insert_with(2, 2, EntryOptions::new().ttl(SECOND));
        cache.insert(3, 3);
        (0..5).for_each(|_| assert_eq!(cache.get(&2), Some(2)));
        clock.advance(SECOND);
        cache.insert(4, 4);
        assert_eq!(*told.lock(), [(2, Cause::Expired)], "{eviction}");
        assert_eq!(cache.len(), 3);
    }
}

#[test]
fn each_form_of_expiry_counts_from_its_own_moment() {
    let lifetime = |_: &u32, value: &u32| Duration::from_secs(u64::from(*value));
    type Form = Box<dyn Fn(Builder<u32, u32>) -> Builder<u32, u32>>;
    let forms: [Form; 3] = [
        Box::new(move |builder| builder.expiry(larder::after_create(lifetime))),
        Box::new(move |builder| builder.expiry(larder::after_write(lifetime))),
        Box::new(move |builder| builder.expiry(larder::after_access(lifetime))),
    ];
    // What is left after 4 s and a read, and after a new value of 20 then.
    let wanted = [(6, 6), (6, 20), (10, 20)];
    for (form, (read, written)) in forms.into_iter().zip(wanted) {
        let (clock, builder) = clocked();
        let cache = form(builder).build().unwrap();
        cache.insert(1, 10);
        clock.advance(4 * SECOND);
        cache.get(&1);
        assert_eq!(cache.expires_in(&1), Some(read * SECOND));
        cache.insert(1, 20);
        assert_eq!(cache.expires_in(&1), Some(written * SECOND));
        clock.advance(100 * SECOND);
        cache.run_maintenance();
        assert_eq!(cache.len(), 0);
        cache.validate().unwrap();
    }
}

/// Shortens an entry's life to a second when it is read.
struct BurnAfterReading;

impl Expiry<u32, u32> for BurnAfterReading {
    fn on_create(&self, _: &u32, _: &u32) -> Duration {
        Duration::MAX
    }

    fn on_read(&self, _: &u32, _: &u32, current: Duration) -> Duration {
        current.min(SECOND)
    }
}

#[test]
fn a_read_may_bring_a_deadline_forward_and_the_entry_is_reclaimed_in_time() {
    let (clock, builder) = clocked();
    let cache = builder.expiry(BurnAfterReading).build().unwrap();
    cache.insert(1, 1);
    assert_eq!((cache.get(&1), cache.expires_in(&1)), (Some(1), Some(SECOND)));
    clock.advance(SECOND);
    cache.run_maintenance();
    assert_eq!((cache.get(&1), cache.len()), (None, 0));
    cache.validate().unwrap();
}

#[test]
fn jitter_spreads_deadlines_evenly_and_never_lengthens_one() {
    let (_clock, builder) = clocked();
    let builder = builder.capacity(10_000).time_to_live(1000 * SECOND).ttl_jitter(0.2);
    let cache = builder.build().unwrap();
    let mut tenths = [0; 10];
    for key in 0..10_000 {
        cache.insert(key, key);
        let left = cache.expires_in(&key).unwrap();
        assert!(left <= 1000 * SECOND && left >= 800 * SECOND, "{left:?}");
        tenths[((left - 800 * SECOND).as_secs() / 20).min(9) as usize] += 1;
    }
    // 1000 each, give or take 6 standard deviations of 30.
    assert!(tenths.iter().all(|count| (820..1180).contains(count)), "{tenths:?}");
}

#[test]
fn what_is_wrong_with_a_setting_is_said_with_the_value() {
    let error = |b: Builder<u32, u32>| b.capacity(1).build().unwrap_err().to_string();
    assert_eq!(
        error(Cache::builder().ttl_jitter(1.5)),
        "ttl_jitter must be between 0 and 1, not 1.5"
    );
    assert!(error(Cache::builder().ttl_jitter(f64::NAN)).contains("NaN"));
    assert!(error(Cache::builder().maintenance(Duration::ZERO)).contains("must not be zero"));
}

#[test]
fn a_million_entries_that_expire_together_leave_a_few_at_a_time_and_are_never_seen() {
    const ENTRIES: u32 = 1_000_000;
    let batch_max = Arc::new(AtomicUsize::new(0));
    let batch = Arc::new(AtomicUsize::new(0));
    let (clock, builder) = clocked();
    let cache = builder
        .capacity(2 * ENTRIES as usize)
        .time_to_live(SECOND)
        .on_removal({
            let batch = Arc::clone(&batch);
            move |_, _, cause| {
                assert_eq!(cause, Cause::Expired);
                batch.fetch_add(1, Ordering::Relaxed);
            }
        })
        .build()
        .unwrap();
    cache.extend((0..ENTRIES).map(|key| (key, key)));
    assert_eq!(cache.len(), ENTRIES as usize);
    clock.advance(SECOND);
    assert!((0..ENTRIES).step_by(997).all(|key| cache.peek(&key).is_none()));
    for key in 0..1000 {
        batch.store(0, Ordering::Relaxed);
        cache.insert_with(ENTRIES + key, 0, EntryOptions::new());
        batch_max.fetch_max(batch.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    let most = batch_max.load(Ordering::Relaxed);
    assert!((1..=64).contains(&most), "a write reclaimed {most}");
    cache.run_maintenance();
    assert_eq!(cache.len(), 1000);
    cache.validate().unwrap();
}

#[test]
fn an_idle_cache_with_a_maintenance_thread_frees_what_expires_and_the_thread_ends_with_it() {
    let left = Arc::new((Mutex::new(0), Condvar::new()));
    let (clock, builder) = clocked();
    let cache = builder
        .time_to_live(SECOND)
        .maintenance(Duration::from_millis(1))
        .on_removal({
            let left = Arc::clone(&left);
            move |_, _, _| {
                *left.0.lock() += 1;
                left.1.notify_all();
            }
        })
        .build()
        .unwrap();
    cache.extend((0..100).map(|key| (key, key)));
    clock.advance(SECOND);
    let mut count = left.0.lock();
    while *count < 100 {
        left.1.wait(&mut count);
    }
    drop(count);
    assert_eq!(cache.len(), 0);
    drop(cache);
    // The listener's closure lives in the cache: once it is gone, so is that.
    while Arc::strong_count(&left) > 1 {
        thread::yield_now();
    }
}

#[test]
fn an_entry_that_readers_keep_busy_stays_and_idle_ones_leave() {
    let (clock, builder) = clocked();
    let cache = builder.time_to_idle(10 * SECOND).build().unwrap();
    cache.extend((0..20).map(|key| (key, key)));
    for _round in 0..20 {
        clock.advance(6 * SECOND);
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let cache = cache.clone();
                thread::spawn(move || (0..1000).all(|i| cache.get(&(i % 5)).is_some()))
            })
            .collect();
        assert!(readers.into_iter().all(|reader| reader.join().unwrap()));
    }
    cache.run_maintenance();
    assert_eq!(cache.len(), 5);
    cache.validate().unwrap();
}

/// A clock that lets something else happen when it is asked for the time.
#[derive(Clone, Default)]
struct Interrupted {
    clock: ManualClock,
    /// How often it may be asked before that, and what happens then.
    work: Arc<Mutex<Option<(usize, Work)>>>,
}

type Work = Box<dyn FnOnce() + Send>;

impl Clock for Interrupted {
    fn now(&self) -> Duration {
        let mut work = self.work.lock();
        match work.take() {
            Some((0, due)) => {
                drop(work);
                due();
            }
            later => *work = later.map(|(times, due)| (times - 1, due)),
        }
        self.clock.now()
    }
}

#[test]
fn an_entry_whose_use_could_not_be_noted_is_no_miss_though_others_have_made_room() {
    // Nobody writes for so long that uses can be noted only after a visit; and
    // the reader is interrupted, at each of its looks at the clock, by another.
    for times in 0..8 {
        let clock = Interrupted::default();
        let builder = Cache::builder().capacity(10).shards(1).clock(clock.clone());
        let cache: Cache<u32, u32> = builder.time_to_idle(10 * SECOND).build().unwrap();
        cache.extend([(0, 0), (1, 1)]);
        for round in 0..100 {
            clock.clock.advance(6 * SECOND);
            let (other, reader) = (cache.clone(), Arc::new(Mutex::new(None)));
            let interruption: Work = Box::new({
                let reader = Arc::clone(&reader);
                move || {
                    let looked = Arc::new((Mutex::new(false), Condvar::new()));
                    let done = Arc::clone(&looked);
                    *reader.lock() = Some(thread::spawn(move || {
                        let found = other.get(&0);
                        *done.0.lock() = true;
                        done.1.notify_one();
                        found
                    }));
                    // Not for ever: it waits for us if we have the lock.
                    let mut has_looked = looked.0.lock();
                    if !*has_looked {
                        looked.1.wait_for(&mut has_looked, Duration::from_millis(20));
                    }
                }
            });
            *clock.work.lock() = Some((times, interruption));
            assert_eq!(cache.get(&1), Some(1), "look {times}, round {round}");
            drop(clock.work.lock().take());
            let reader = reader.lock().take();
            let found = reader.map_or_else(|| cache.get(&0), |reader| reader.join().unwrap());
            assert_eq!(found, Some(0), "look {times}, round {round}");
        }
    }
}

#[test]
fn writers_and_a_moving_clock_never_show_what_has_expired() {
    let clock = ManualClock::new();
    let cache: Cache<u32, u64> =
        Cache::builder().capacity(64).time_to_live(SECOND).clock(clock.clone()).build().unwrap();
    // A value is the second it was written in; writers hold the second still.
    let second = Arc::new(RwLock::new(0));
    let workers: Vec<_> = (0..4_u32)
        .map(|worker| {
            let (cache, second) = (cache.clone(), Arc::clone(&second));
            thread::spawn(move || {
                for i in 0..4000_u32 {
                    let key = (i + worker) % 100;
                    let now = *second.read();
                    match cache.get(&key) {
                        Some(written) => assert!(written >= now, "{written} at {now}"),
                        None => {
                            let now = second.read();
                            cache.insert(key, *now);
                        }
                    }
                }
            })
        })
        .collect();
    for _ in 0..500 {
        let mut now = second.write();
        clock.advance(SECOND);
        *now += 1;
        drop(now);
        thread::yield_now();
    }
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    cache.validate().unwrap();
}

/// What an obviously right cache of unbounded size knows of one entry.
#[derive(Clone, Copy, Debug)]
struct Life {
    value: u32,
    ttl_at: u64,
    tti: u64,
    used: u64,
}

impl Life {
    fn ends(&self) -> u64 {
        self.ttl_at.min(self.used.saturating_add(self.tti))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn lifetimes_agree_with_a_sorted_list(
        ttl in prop::option::of(1_u64..50),
        tti in prop::option::of(1_u64..50),
        ops in prop::collection::vec((0_u8..9, 0_u32..12, 0_u64..60), 0..200),
        // 20 minutes are a whole number of the ticks that such long lives are
        // counted in.
        unit in prop::sample::select(vec![1_000_000, 1 << 40]),
    ) {
        const FOREVER: u64 = u64::MAX;
        let units = |count| Duration::from_nanos(count * unit);
        for eviction in Eviction::ALL {
            let (clock, mut builder) = clocked();
            builder = builder.eviction(*eviction).shards(2);
            builder = ttl.into_iter().fold(builder, |b, ttl| b.time_to_live(units(ttl)));
            builder = tti.into_iter().fold(builder, |b, tti| b.time_to_idle(units(tti)));
            let cache = builder.build().unwrap();
            let mut model: BTreeMap<u32, Life> = BTreeMap::new();
            let mut now = 0;
            for (step, (op, key, time)) in ops.iter().copied().enumerate() {
                let value = step as u32;
                let (ttl, tti) = (ttl.unwrap_or(FOREVER), tti.unwrap_or(FOREVER));
                let life = |ttl: u64, tti| {
                    Life { value, ttl_at: ttl.saturating_add(now), tti, used: now }
                };
                match op {
                    0 => {
                        cache.insert(key, value);
                        model.insert(key, life(ttl, tti));
                    }
                    1 => {
                        cache.insert_with(key, value, EntryOptions::new().ttl(units(time)));
                        model.insert(key, life(ttl.min(time), tti));
                    }
                    2 => {
                        cache.insert_with(key, value, EntryOptions::new().tti(units(time)));
                        model.insert(key, life(ttl, tti.min(time)));
                    }
                    3 | 4 => {
                        let found = model.get_mut(&key);
                        prop_assert_eq!(cache.get(&key), found.as_ref().map(|life| life.value));
                        found.into_iter().for_each(|life| life.used = now);
                    }
                    5 => {
                        let found = model.get_mut(&key);
                        prop_assert_eq!(cache.set_expires_in(&key, units(time)), found.is_some());
                        if let Some(life) = found {
                            (life.ttl_at, life.used) = (now + time, now);
                        }
                    }
                    6 => prop_assert_eq!(cache.remove(&key), model.remove(&key).map(|l| l.value)),
                    7 => cache.run_maintenance(),
                    _ => {
                        clock.advance(units(time));
                        now += time;
                    }
                }
                model.retain(|_, life| life.ends() > now);
                let mut entries: Vec<(u32, u32)> = cache.iter().collect();
                entries.sort_unstable();
                let wanted: Vec<_> = model.iter().map(|(key, life)| (*key, life.value)).collect();
                prop_assert_eq!(entries, wanted);
                for (key, life) in &model {
                    let left = match life.ends() {
                        FOREVER => Duration::MAX,
                        ends => units(ends - now),
                    };
                    prop_assert_eq!(cache.expires_in(key), Some(left));
                }
                if op == 7 {
                    prop_assert_eq!(cache.len(), model.len());
                }
                cache.validate().map_err(TestCaseError::fail)?;
            }
        }
    }
}

/// What is asked for each entry: how long from a new key, a new value, a read.
/// `u64::MAX` is no deadline; a read that says nothing leaves it alone.
#[derive(Clone, Copy, Debug)]
struct Wishes {
    create: u64,
    update: u64,
    read: Option<u64>,
}

struct ByWish(Arc<Mutex<Wishes>>);

fn millis(time: u64) -> Duration {
    if time == u64::MAX { Duration::MAX } else { Duration::from_millis(time) }
}

impl Expiry<u32, u32> for ByWish {
    fn on_create(&self, _: &u32, _: &u32) -> Duration {
        millis(self.0.lock().create)
    }

    fn on_update(&self, _: &u32, _: &u32, _: Duration) -> Duration {
        millis(self.0.lock().update)
    }

    fn on_read(&self, _: &u32, _: &u32, current: Duration) -> Duration {
        self.0.lock().read.map_or(current, millis)
    }
}

fn a_wish() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0_u64..60, 1 => Just(u64::MAX)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn lifetimes_of_their_own_agree_with_a_sorted_list(
        ttl in prop::option::of(1_u64..50),
        ops in prop::collection::vec(
            (0_u8..8, 0_u32..12, a_wish(), prop::option::of(a_wish())),
            0..200,
        ),
    ) {
        for eviction in Eviction::ALL {
            let (clock, mut builder) = clocked();
            let nothing = Wishes { create: 0, update: 0, read: None };
            let wishes = Arc::new(Mutex::new(nothing));
            builder = builder.eviction(*eviction).shards(2).expiry(ByWish(Arc::clone(&wishes)));
            builder = ttl.into_iter().fold(builder, |b, ttl| b.time_to_live(millis(ttl)));
            let cache = builder.build().unwrap();
            // When each entry ends by the cache's rule, and by its own.
            let mut model: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
            let (mut now, ttl) = (0_u64, ttl.unwrap_or(u64::MAX));
            for (op, key, time, read) in ops.iter().copied() {
                let at = |time: u64| now.saturating_add(time);
                *wishes.lock() = Wishes { create: time, update: time, read };
                match op {
                    0..=2 => {
                        cache.insert(key, key);
                        model.insert(key, (at(ttl), at(time)));
                    }
                    3 | 4 => {
                        let found = model.get_mut(&key);
                        prop_assert_eq!(cache.get(&key).is_some(), found.is_some());
                        if let (Some(life), Some(read)) = (found, read) {
                            // What it says when it is asked is from then on.
                            let left = life.0.min(life.1);
                            if at(read) != left {
                                life.1 = at(read);
                            }
                        }
                    }
                    5 if time < u64::MAX => {
                        let found = model.get_mut(&key);
                        let set = cache.set_expires_in(&key, millis(time));
                        prop_assert_eq!(set, found.is_some());
                        found.into_iter().for_each(|life| *life = (at(time), u64::MAX));
                    }
                    6 => {
                        // A clock that jumps back changes nothing.
                        clock.set(millis(now / 2));
                        prop_assert_eq!(cache.contains_key(&key), model.contains_key(&key));
                        clock.set(millis(now));
                        cache.run_maintenance();
                    }
                    _ if time < u64::MAX => {
                        clock.advance(millis(time));
                        now += time;
                    }
                    _ => {}
                }
                model.retain(|_, life| life.0.min(life.1) > now);
                let mut keys: Vec<u32> = cache.iter().map(|(key, _)| key).collect();
                keys.sort_unstable();
                prop_assert_eq!(keys, model.keys().copied().collect::<Vec<_>>());
                for (key, life) in &model {
                    let left = match life.0.min(life.1) {
                        u64::MAX => Duration::MAX,
                        ends => millis(ends - now),
                    };
                    prop_assert_eq!(cache.expires_in(key), Some(left));
                }
                if op == 6 {
                    prop_assert_eq!(cache.len(), model.len());
                }
                cache.validate().map_err(TestCaseError::fail)?;
            }
        }
    }
}
