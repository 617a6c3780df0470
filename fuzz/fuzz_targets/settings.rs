//! Settings and statistics, read from any bytes, as JSON and as postcard: an
//! error, or something that works and is read back as it was written.

#![no_main]

use larder::{Cache, Cause, Eviction, Stats};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => read::<Eviction>(bytes).into_iter().for_each(build),
        1 => drop(read::<Cause>(bytes)),
        2 => read::<Stats>(bytes).into_iter().for_each(reckon),
        _ => parse(bytes),
    }
});

/// Both readings, each written and read once more.
fn read<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Vec<T> {
    let from_json: Option<T> = serde_json::from_slice(bytes).ok();
    let from_postcard: Option<T> = postcard::from_bytes(bytes).ok();
    if let Some(value) = &from_json {
        let text = serde_json::to_string(value).unwrap();
        assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *value);
    }
    if let Some(value) = &from_postcard {
        let bytes = postcard::to_allocvec(value).unwrap();
        assert_eq!(postcard::from_bytes::<T>(&bytes).unwrap(), *value);
    }
    from_json.into_iter().chain(from_postcard).collect()
}

/// A policy by its name.
fn parse(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match text.parse::<Eviction>() {
        Ok(eviction) => {
            assert_eq!(eviction.to_string().parse(), Ok(eviction));
            build(eviction);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn build(eviction: Eviction) {
    let refused = eviction == Eviction::Lfu { ageing: Some(0) };
    let Ok(cache) = Cache::builder().capacity(3).shards(1).eviction(eviction).build() else {
        assert!(refused, "{eviction} was refused");
        return;
    };
    for key in 0..5_u8 {
        cache.insert(key, key);
        cache.get(&(key / 2));
    }
    assert!(!refused && cache.len() <= 3);
    cache.validate().unwrap();
}

fn reckon(stats: Stats) {
    if let Some(ratio) = stats.hit_ratio() {
        assert!((0.0..=1.0).contains(&ratio), "{ratio} of {stats:?}");
    }
    let _ = (stats.mean_load_time(), stats - Stats::default(), Stats::default() - stats);
}
