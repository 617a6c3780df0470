//! What is done while there is little memory. Each script checks what it is
//! told, so that a wrong answer is found as well.

#[cfg(feature = "journal")]
use crate::disk::Disk;
use larder::store::{Loader, Overflow, Store, StoreCache, WriteBack, WritePolicy};
use larder::{BuildError, Cache, Compute, EntryOptions, Eviction, Inline, ManualClock, Outcome};
use pollster::block_on;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn check(cache: &Cache<u64, u64>, keys: std::ops::Range<u64>) {
    for key in keys {
        assert!(cache.get(&key).is_none_or(|value| value == key * 2), "{key} has another's value");
    }
    cache.validate().unwrap();
}

fn fill(cache: &Cache<u64, u64>, keys: std::ops::Range<u64>) {
    keys.for_each(|key| cache.insert(key, key * 2));
}

pub fn entries_become_many() {
    for shards in [1, 4] {
        let cache =
            Cache::builder().capacity(20_000).shards(shards).record_stats().build().unwrap();
        fill(&cache, 0..5_000);
        assert_eq!(cache.len(), 5_000);
        check(&cache, 0..5_000);
        assert_eq!(cache.iter().count(), 5_000);
        assert_eq!((cache.hottest(10).len(), cache.coldest(10).len()), (10, 10));
    }
}

pub fn policies_find_victims() {
    for eviction in Eviction::ALL {
        let cache = Cache::builder().capacity(300).shards(1).eviction(*eviction).build().unwrap();
        fill(&cache, 0..1_000);
        check(&cache, 0..1_000);
        fill(&cache, 500..1_500);
        check(&cache, 0..1_500);
        assert_eq!(cache.len(), 300);
    }
}

pub fn bounds_change() {
    let cache = Cache::builder()
        .capacity(100)
        .weight_capacity(100_000)
        .weigher(|_, value: &u64| *value as u32 % 7)
        .shards(2)
        .build()
        .unwrap();
    for capacity in [100, 3_000, 50, 0, 1_000] {
        cache.set_capacity(capacity);
        fill(&cache, 0..4_000);
        check(&cache, 0..4_000);
        assert_eq!(cache.len(), capacity);
        cache.run_maintenance();
    }
    cache.set_weight_capacity(10);
    assert!(cache.weight() <= 10);
    check(&cache, 0..4_000);
    cache.clear();
    assert_eq!(cache.len(), 0);
}

pub fn lifetimes_end() {
    let clock = ManualClock::new();
    let cache = Cache::builder()
        .capacity(5_000)
        .time_to_live(SECOND * 1_000)
        .time_to_idle(SECOND * 500)
        .ttl_jitter(0.5)
        .expiry(larder::after_create(move |key, _| SECOND * (*key as u32 % 900 + 1)))
        .clock(clock.clone())
        .build()
        .unwrap();
    for _ in 0..3 {
        fill(&cache, 0..1_000);
        for key in 1_000..1_100 {
            let options = EntryOptions::new().ttl(SECOND * key as u32).tti(SECOND * 10);
            cache.insert_with(key, key * 2, options);
            assert!(cache.set_expires_in(&key, SECOND * 20));
        }
        for _ in 0..10 {
            clock.advance(SECOND * 50);
            check(&cache, 0..1_100);
            cache.run_maintenance();
        }
        clock.advance(SECOND * 2_000);
        cache.run_maintenance();
        assert_eq!(cache.len(), 0);
    }
}

pub fn removals_are_told() {
    let told = Arc::new(AtomicUsize::new(0));
    let listener = Arc::clone(&told);
    let cache = Cache::builder()
        .capacity(200)
        .shards(2)
        .on_removal(move |key, value: &u64, _| {
            assert_eq!(*value, *key * 2);
            listener.fetch_add(1, Relaxed);
        })
        .build()
        .unwrap();
    for key in 0..400 {
        let tags = [["red", "blue", "green"][key as usize % 3], "all"];
        cache.insert_with(key, key * 2, EntryOptions::new().tags(tags));
    }
    cache.invalidate_tag("red");
    check(&cache, 0..400);
    cache.invalidate_if(|key, _| key % 2 == 0);
    cache.extend((400..500).map(|key| (key, key * 2)));
    assert!(cache.remove(&499).is_none_or(|value| value == 998));
    cache.invalidate(&498);
    cache.invalidate_all();
    cache.run_maintenance();
    assert_eq!((cache.len(), told.load(Relaxed)), (0, 500));
}

pub fn values_are_computed_and_loaded() {
    let cache: Cache<u64, u64> = Cache::new(500);
    for key in 0..20 {
        assert_eq!(cache.get_with(&key, || key * 2), key * 2);
        let loaded = cache.try_get_with(&(key + 100), || (key % 2 == 0).then_some(7).ok_or("odd"));
        assert_eq!(loaded.is_ok(), key % 2 == 0);
        assert_eq!(block_on(cache.get_with_async(&(key + 200), async { 9 })), 9);
        let key_of_detached = key + 300;
        let load = cache.load(&key_of_detached);
        let detached = load.try_with_detached(&Inline, async { Ok::<_, ()>(9) });
        assert_eq!(block_on(detached).unwrap(), 9);
        let computed = cache.entry(key).and_compute(|old| Compute::Replace(old.unwrap() + 1));
        assert_eq!(computed, Outcome::Replaced);
        assert_eq!(cache.entry(key).or_insert_with(|| 0), key * 2 + 1);
    }
    let keys: Vec<u64> = (10..40).collect();
    let ones = |missing: Vec<&u64>| missing.into_iter().map(|key| (*key, 1)).collect::<Vec<_>>();
    let many = cache.get_many_with(&keys, ones);
    assert_eq!(many.len(), 30);
    cache.validate().unwrap();
}

/// Where the caller is, and then on larder's own thread.
pub fn values_are_reloaded() {
    for is_inline in [true, false] {
        let clock = ManualClock::new();
        let builder = Cache::builder()
            .capacity(100)
            .time_to_live(SECOND * 100)
            .clock(clock.clone())
            .loader(|key: &u64| if *key == 0 { Err("none") } else { Ok(*key) })
            .refresh_after(SECOND * 10)
            .stale_if_error(SECOND * 100)
            .negative_ttl(SECOND)
            .early_refresh(1.0);
        let builder = if is_inline { builder.spawner(Inline) } else { builder };
        let cache = builder.build().unwrap();
        for _ in 0..4 {
            for key in 0..20 {
                assert_eq!(cache.get_or_load(&key).ok(), (key > 0).then_some(key));
                assert_eq!(block_on(cache.get_or_load_async(&key)).ok(), (key > 0).then_some(key));
            }
            assert_eq!(cache.refresh(&1).unwrap(), 1);
            clock.advance(SECOND * 40);
        }
        // The thread may be in the middle of a reload.
        assert!(!is_inline || cache.cache().validate() == Ok(()));
    }
}

/// Threads that read, write and wait for the same load, and one that tidies up.
pub fn threads_meet() {
    const THREADS: u64 = 4;
    let cache = Cache::builder()
        .capacity(300)
        .shards(2)
        .maintenance(Duration::from_millis(1))
        .record_stats()
        .build()
        .unwrap();
    let barrier = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for id in 0..THREADS {
            let (cache, barrier) = (&cache, &barrier);
            scope.spawn(move || {
                fill(cache, id * 50..id * 50 + 200);
                barrier.wait();
                assert_eq!(cache.get_with(&9_999, || 19_998), 19_998);
                let load = cache.load(&9_998).wait_timeout(SECOND).with_async(async { 19_996 });
                assert_eq!(block_on(load), 19_996);
                fill(cache, 0..400);
                assert!(cache.iter().all(|(key, value)| value == key * 2));
                cache.invalidate_if(|key, _| key % 4 == id);
            });
        }
    });
    check(&cache, 0..400);
}

/// A table, and a store over it.
#[derive(Default)]
struct Table(Mutex<BTreeMap<u64, u64>>);

impl Table {
    fn rows(&self) -> BTreeMap<u64, u64> {
        self.0.lock().unwrap().clone()
    }
}

impl Loader<u64, u64> for Table {
    type Error = Infallible;

    fn load(&self, key: &u64) -> Result<Option<u64>, Infallible> {
        Ok(self.0.lock().unwrap().get(key).copied())
    }
}

impl Store<u64, u64> for Table {
    fn write(&self, key: &u64, value: &u64) -> Result<(), Infallible> {
        self.0.lock().unwrap().insert(*key, *value);
        Ok(())
    }

    fn delete(&self, key: &u64) -> Result<(), Infallible> {
        self.0.lock().unwrap().remove(key);
        Ok(())
    }
}

type Stored = StoreCache<u64, u64, Table>;

/// Puts, deletes and reads, against a map.
fn use_it(cache: &Stored) {
    let mut model = BTreeMap::new();
    for key in 0..40 {
        cache.put(key, key).unwrap();
        model.insert(key, key);
    }
    assert!(cache.put_many((30..60).map(|key| (key, 7)).collect()).iter().all(Result::is_ok));
    model.extend((30..60).map(|key| (key, 7)));
    for key in (0..60).step_by(3) {
        cache.delete(key).unwrap();
        model.remove(&key);
    }
    let keys: Vec<u64> = (0..60).collect();
    let found = cache.get_many(&keys).unwrap();
    assert!(found.iter().zip(&keys).all(|(found, key)| found.as_ref() == model.get(key)));
    assert!(cache.flush().failed.is_empty());
    assert_eq!(cache.get(&1).unwrap(), model.get(&1).copied());
    assert_eq!(cache.store().rows(), model);
}

pub fn a_store_is_written() {
    let back = WriteBack::new().workers(0).max_dirty(20).overflow(Overflow::WriteThrough);
    for policy in [WritePolicy::Through, WritePolicy::Around, WritePolicy::Back(back)] {
        let built = Stored::builder(Cache::new(30), Table::default()).policy(policy).build();
        let cache = built.unwrap();
        use_it(&cache);
        cache.close(SECOND);
    }
}

pub fn a_thread_writes_behind() {
    let back = WriteBack::new().workers(1).batch(8).delay(Duration::ZERO);
    let builder = Stored::builder(Cache::new(30), Table::default());
    use_it(&builder.policy(WritePolicy::Back(back)).build().unwrap());
}

#[cfg(feature = "journal")]
pub fn a_journal_is_kept() {
    use larder::store::Journal;
    let disk = Disk::default();
    for _ in 0..2 {
        let journal = Journal::options().open_on(disk.clone()).unwrap();
        let back = WriteBack::new().workers(0).drop_deadline(Duration::ZERO);
        let builder = Stored::builder(Cache::new(30), Table::default());
        let cache = builder.policy(WritePolicy::Back(back)).journal(journal).build().unwrap();
        use_it(&cache);
        cache.put(1, 100).unwrap();
    }
}

#[cfg(feature = "macros")]
pub fn a_function_is_memoized() {
    #[larder::memoize(capacity = 50)]
    fn repeated(text: &str, times: usize) -> Result<String, String> {
        if times == 0 { Err(text.to_owned()) } else { Ok(text.repeat(times)) }
    }
    for _ in 0..2 {
        for times in 0..60 {
            let wanted = if times == 0 { Err("ab".to_owned()) } else { Ok("ab".repeat(times)) };
            assert_eq!(repeated("ab", times), wanted);
        }
    }
    assert_eq!(repeated::cache().len(), 50);
    repeated::cache().validate().unwrap();
}

pub fn every_setting_is_as_large_as_can_be() {
    for eviction in Eviction::ALL {
        let cache: Cache<u64, u64> = Cache::builder()
            .capacity(usize::MAX)
            .weight_capacity(u64::MAX)
            .weigher(|_, _| u32::MAX)
            .shards(8)
            .eviction(*eviction)
            .time_to_live(Duration::MAX)
            .time_to_idle(Duration::MAX)
            .ttl_jitter(1.0)
            .maintenance(Duration::MAX)
            .load_timeout(Duration::MAX)
            .record_stats()
            .build()
            .unwrap();
        fill(&cache, 0..100);
        check(&cache, 0..100);
        cache.set_capacity(0);
        cache.set_capacity(usize::MAX);
        fill(&cache, 0..100);
        let all = [cache.hottest(usize::MAX).len(), cache.coldest(usize::MAX).len()];
        assert_eq!((cache.len(), all), (100, [100, 100]));
    }
    let shards = |shards| Cache::<u64, u64>::builder().capacity(9).shards(shards).build();
    let max = 1 << 16;
    let given = 1 << (usize::BITS - 1);
    assert_eq!(shards(given).err(), Some(BuildError::TooManyShards { given, max }));
    let given = usize::MAX;
    assert_eq!(shards(given).err(), Some(BuildError::ShardsNotPowerOfTwo { given }));
    let back = WriteBack::new()
        .batch(usize::MAX)
        .max_dirty(usize::MAX)
        .max_attempts(u32::MAX)
        .delay(Duration::MAX)
        .backoff(Duration::MAX, Duration::MAX)
        .workers(1);
    let cache = Cache::builder().capacity(usize::MAX).shards(8).build().unwrap();
    let builder = Stored::builder(cache, Table::default());
    use_it(&builder.policy(WritePolicy::Back(back)).build().unwrap());
}
