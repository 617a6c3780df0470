//! What the store has seen, compared with what was acknowledged: for every
//! policy, with a store that fails as often as it likes, under many writers,
//! and readers that check that they never see a key go back.

#[path = "common/faulty.rs"]
mod faulty;

use faulty::{Faulty, Op};
use larder::store::{Overflow, StoreCache, WriteBack, WriteError, WritePolicy};
use larder::{Cache, ManualClock};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

type Cached = StoreCache<u32, u64, Arc<Faulty>>;

const KEYS: u32 = 6;

fn back(workers: usize) -> WriteBack {
    let quick = Duration::from_micros(50);
    WriteBack::new()
        .workers(workers)
        .batch(4)
        .delay(quick)
        .backoff(quick, quick * 8)
        .max_attempts(u32::MAX)
}

fn policies() -> Vec<(&'static str, WritePolicy)> {
    let tight = back(2).max_dirty(3);
    let block = Overflow::Block { timeout: Duration::MAX };
    vec![
        ("through", WritePolicy::Through),
        ("around", WritePolicy::Around),
        ("back", WritePolicy::Back(back(2))),
        ("back, full, blocking", WritePolicy::Back(tight.clone().overflow(block))),
        ("back, full, through", WritePolicy::Back(tight.overflow(Overflow::WriteThrough))),
    ]
}

/// So small that most reads load.
fn over(store: &Arc<Faulty>, policy: WritePolicy, capacity: usize) -> Cached {
    StoreCache::builder(Cache::new(capacity), Arc::clone(store)).policy(policy).build().unwrap()
}

/// Writes by one thread a key, with rising versions, while readers look. With
/// `noise`, someone keeps invalidating and evicting.
fn rising(name: &str, policy: WritePolicy, failures: u64, capacity: usize) {
    const VERSIONS: u64 = 300;
    let store = Arc::new(Faulty::default());
    store.flaky(failures, 11);
    let cache = over(&store, policy, capacity);
    // What was acknowledged last, and what was begun last.
    let acknowledged: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let begun: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..KEYS)
            .map(|key| {
                let (cache, begun, acknowledged) = (&cache, &begun, &acknowledged);
                scope.spawn(move || {
                    for version in 1..=VERSIONS {
                        begun[key as usize].store(version, Ordering::SeqCst);
                        // A write that is refused is made again.
                        while let Err(error) = cache.put(key, version) {
                            assert!(matches!(error, WriteError::Store(_)), "{error}");
                        }
                        acknowledged[key as usize].store(version, Ordering::SeqCst);
                        let own = cache.get(&key).unwrap();
                        assert_eq!(own, Some(version), "a writer reads what it wrote");
                    }
                })
            })
            .collect();
        for reader in 0..2_u32 {
            let (cache, begun, acknowledged) = (&cache, &begun, &acknowledged);
            let is_over = &is_over;
            scope.spawn(move || {
                let mut seen = [0_u64; KEYS as usize];
                let mut turn = reader;
                while !is_over.load(Ordering::SeqCst) {
                    turn += 1;
                    let keys: Vec<u32> = match turn % 4 {
                        0 => (0..KEYS).collect(),
                        _ => vec![turn % KEYS],
                    };
                    let known: Vec<u64> = keys
                        .iter()
                        .map(|key| acknowledged[*key as usize].load(Ordering::SeqCst))
                        .collect();
                    let found = match keys.as_slice() {
                        [key] => vec![cache.get(key).unwrap()],
                        keys => cache.get_many(keys).unwrap(),
                    };
                    for ((key, known), found) in keys.iter().zip(known).zip(found) {
                        let (at, found) = (*key as usize, found.unwrap_or(0));
                        assert!(found >= known, "{name}: read {found} after {known} was written");
                        assert!(found >= seen[at], "{name}: read {found} after {}", seen[at]);
                        assert!(found <= begun[at].load(Ordering::SeqCst));
                        seen[at] = found;
                    }
                }
            });
        }
        let (noise, is_over) = (&cache, &is_over);
        scope.spawn(move || {
            let mut turn = 0;
            while !is_over.load(Ordering::SeqCst) {
                turn += 1;
                noise.cache().invalidate(&(turn % KEYS));
                thread::yield_now();
            }
        });
        let ended: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::SeqCst);
        ended.into_iter().for_each(|ended| ended.unwrap());
    });
    assert!(cache.flush().failed.is_empty());
    for key in 0..KEYS {
        let versions: Vec<u64> = store
            .history(key)
            .into_iter()
            .map(|op| match op {
                Op::Write(version) => version,
                Op::Delete => panic!("nobody deletes"),
            })
            .collect();
        assert!(versions.is_sorted(), "{name}: {key} was stored out of order: {versions:?}");
        assert_eq!(store.value(key), Some(VERSIONS), "{name}");
        assert_eq!(cache.get(&key).unwrap(), Some(VERSIONS), "{name}");
        assert_eq!(cache.stats().dirty, 0, "{name}");
    }
}

#[test]
fn no_reader_sees_a_key_go_back_under_any_policy() {
    for (name, policy) in policies() {
        rising(name, policy.clone(), 0, 100);
        rising(name, policy, 0, 2);
    }
}

#[test]
fn no_reader_sees_a_key_go_back_while_the_store_fails() {
    for (name, policy) in policies() {
        rising(name, policy.clone(), 30, 100);
        rising(name, policy, 70, 2);
    }
}

/// Several writers of the same key: nobody knows their order beforehand, but
/// the cache and the store have to agree on it.
#[test]
fn writers_of_one_key_leave_cache_and_store_with_the_same_value() {
    for (name, policy) in policies() {
        let store = Arc::new(Faulty::default());
        let cache = over(&store, policy, 100);
        for round in 0..50_u64 {
            thread::scope(|scope| {
                for writer in 0..4_u64 {
                    let cache = &cache;
                    scope.spawn(move || match writer {
                        3 => cache.delete(1).unwrap(),
                        _ => cache.put(1, round * 10 + writer).unwrap(),
                    });
                }
            });
            let seen = cache.get(&1).unwrap();
            assert!(cache.flush().failed.is_empty());
            assert_eq!((seen, cache.get(&1).unwrap()), (store.value(1), store.value(1)), "{name}");
        }
    }
}

/// What one step of a script does.
#[derive(Clone, Debug)]
enum Do {
    Put(u32, u64),
    PutMany(Vec<(u32, u64)>),
    Delete(u32),
    Get(u32),
    Invalidate(u32),
    Shrink(usize),
    Advance(u64),
    Fail(u32),
    Heal(u32),
    Transactional,
    Flush,
    Retry,
    Discard,
}

fn step() -> impl Strategy<Value = Do> {
    let key = || 0..KEYS;
    prop_oneof![
        6 => (key(), any::<u64>()).prop_map(|(key, value)| Do::Put(key, value)),
        1 => prop::collection::vec((key(), any::<u64>()), 0..6).prop_map(Do::PutMany),
        2 => key().prop_map(Do::Delete),
        4 => key().prop_map(Do::Get),
        1 => key().prop_map(Do::Invalidate),
        1 => (0..4_usize).prop_map(Do::Shrink),
        4 => (0..20_u64).prop_map(Do::Advance),
        1 => key().prop_map(Do::Fail),
        2 => key().prop_map(Do::Heal),
        1 => Just(Do::Transactional),
        1 => Just(Do::Flush),
        1 => Just(Do::Retry),
        1 => Just(Do::Discard),
    ]
}

/// Plays a script on one thread against the plainest of models: a map of what
/// was acknowledged last.
fn play(script: &[Do], policy: WritePolicy) {
    let (store, clock) = (Arc::new(Faulty::default()), ManualClock::new());
    let cache: Cached = StoreCache::builder(Cache::new(4), Arc::clone(&store))
        .policy(policy)
        .clock(clock.clone())
        .build()
        .unwrap();
    let mut truth: BTreeMap<u32, Option<u64>> = BTreeMap::new();
    for step in script {
        match step {
            Do::Put(key, value) => {
                if cache.put(*key, *value).is_ok() {
                    truth.insert(*key, Some(*value));
                }
            }
            Do::PutMany(entries) => {
                for (entry, outcome) in entries.iter().zip(cache.put_many(entries.clone())) {
                    if outcome.is_ok() {
                        truth.insert(entry.0, Some(entry.1));
                    }
                }
            }
            Do::Delete(key) => {
                if cache.delete(*key).is_ok() {
                    truth.insert(*key, None);
                }
            }
            Do::Get(key) => drop(cache.get_many(&[*key, key + 1])),
            Do::Invalidate(key) => cache.cache().invalidate(key),
            Do::Shrink(capacity) => cache.cache().set_capacity(*capacity),
            Do::Advance(by) => {
                clock.advance(Duration::from_millis(*by));
                cache.run_due();
            }
            Do::Fail(key) => store.fail_writes(*key, "refused"),
            Do::Heal(key) => store.heal(*key),
            Do::Transactional => store.transactional(),
            Do::Flush => drop(cache.flush_timeout(Duration::ZERO)),
            Do::Retry => drop(cache.retry_failed()),
            Do::Discard => {
                for write in cache.discard_failed() {
                    truth.insert(write.key, store.value(write.key));
                }
            }
        }
        for key in 0..KEYS {
            let known = truth.get(&key).copied().unwrap_or_default();
            assert_eq!(cache.get(&key).unwrap(), known, "{key} after {step:?}");
        }
    }
    for key in 0..KEYS {
        store.heal(key);
    }
    cache.retry_failed();
    for _ in 0..20 {
        clock.advance(Duration::from_secs(1));
        cache.run_due();
    }
    assert!(cache.close(Duration::ZERO).is_clean());
    for (key, value) in truth {
        assert_eq!(store.value(key), value, "{key} in the store");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_cache_over_a_store_agrees_with_a_map(script in prop::collection::vec(step(), 0..60)) {
        let back = back(0).delay(Duration::from_millis(5)).max_attempts(3).seed(1);
        let full = back.clone().max_dirty(2);
        let wait = Overflow::Block { timeout: Duration::ZERO };
        play(&script, WritePolicy::Through);
        play(&script, WritePolicy::Around);
        play(&script, WritePolicy::Back(back));
        play(&script, WritePolicy::Back(full.clone().overflow(Overflow::Reject)));
        play(&script, WritePolicy::Back(full.clone().overflow(wait)));
        play(&script, WritePolicy::Back(full.overflow(Overflow::WriteThrough)));
    }
}
