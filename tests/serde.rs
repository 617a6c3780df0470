//! With the feature `serde`: settings and statistics survive being stored.

#![cfg(feature = "serde")]

use larder::{Cache, Cause, Eviction, Stats};

#[test]
fn a_policy_is_read_back_as_it_was_written() {
    let unaged = Eviction::Lfu { ageing: None };
    for eviction in Eviction::ALL.iter().copied().chain([unaged]) {
        let text = serde_json::to_string(&eviction).unwrap();
        assert_eq!(serde_json::from_str::<Eviction>(&text).unwrap(), eviction, "{text}");
    }
}

#[test]
fn statistics_and_causes_are_read_back_as_they_were_written() {
    let cache = Cache::builder().capacity(1).record_stats().build().unwrap();
    cache.extend([(1, 1), (2, 2)]);
    cache.get(&2);
    let stats = cache.stats();
    let text = serde_json::to_string(&stats).unwrap();
    assert_eq!(serde_json::from_str::<Stats>(&text).unwrap(), stats, "{text}");
    assert_eq!(serde_json::to_string(&Cause::Size).unwrap(), "\"Size\"");
}

#[test]
fn statistics_that_say_anything_are_reckoned_with() {
    let most = u64::MAX.to_string();
    let text = serde_json::to_string(&Stats::default()).unwrap();
    let mut stats: serde_json::Value = serde_json::from_str(&text).unwrap();
    for name in ["hits", "misses", "loads", "load_failures"] {
        stats[name] = serde_json::from_str(&most).unwrap();
    }
    stats["load_time"]["secs"] = serde_json::from_str(&most).unwrap();
    let stats: Stats = serde_json::from_value(stats).unwrap();
    assert_eq!(stats.hit_ratio(), Some(0.5));
    assert!(stats.mean_load_time().is_some());
    assert_eq!((Stats::default() - stats).hit_ratio(), None);
}
