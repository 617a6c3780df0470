//! Drives a real larder cache through a trace: get, and insert on a miss.

use std::time::{Duration, Instant};

use larder::{BuildError, Cache, Eviction};

use crate::report::Score;
use crate::trace::{Sizes, Trace};

/// Accesses between two looks at the clock, which so costs nothing.
const STRETCH: usize = 1 << 16;

/// One cache to try.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub eviction: Eviction,
    /// In entries or, for a trace with sizes, in bytes.
    pub capacity: u64,
    pub shards: Option<usize>,
}

/// What came of it.
pub struct Outcome {
    pub score: Score,
    pub elapsed: Duration,
}

/// Replays the whole trace on a fresh cache; tells `on_stretch` how many
/// accesses were made since it was last told.
pub fn replay(
    trace: &Trace,
    setup: Setup,
    on_stretch: impl FnMut(usize),
) -> Result<Outcome, BuildError> {
    match &trace.sizes {
        None => replay_entries(trace, setup, on_stretch),
        Some(sizes) => replay_bytes(trace, sizes, setup, on_stretch),
    }
}

fn replay_entries(
    trace: &Trace,
    setup: Setup,
    on_stretch: impl FnMut(usize),
) -> Result<Outcome, BuildError> {
    let cache = cache_of_entries(setup)?;
    let ask = |key| {
        let found = cache.get(&key);
        if found.is_none() {
            cache.insert(key, ());
        }
        found.map(|()| 1)
    };
    Ok(drive(&trace.accesses, ask, on_stretch))
}

fn replay_bytes(
    trace: &Trace,
    sizes: &Sizes,
    setup: Setup,
    on_stretch: impl FnMut(usize),
) -> Result<Outcome, BuildError> {
    let cache = cache_of_bytes(setup)?;
    let ask = |key| {
        let found = cache.get(&key);
        if found.is_none() {
            cache.insert(key, sizes.bytes_of[key as usize]);
        }
        found
    };
    Ok(drive(&trace.accesses, ask, on_stretch))
}

fn cache_of_entries(setup: Setup) -> Result<Cache<u64, ()>, BuildError> {
    // More entries than addresses cannot be held anyway.
    let capacity = usize::try_from(setup.capacity).unwrap_or(usize::MAX);
    let builder = Cache::builder().capacity(capacity).eviction(setup.eviction);
    match setup.shards {
        Some(shards) => builder.shards(shards).build(),
        None => builder.build(),
    }
}

fn cache_of_bytes(setup: Setup) -> Result<Cache<u64, u32>, BuildError> {
    let builder = Cache::builder()
        .weight_capacity(setup.capacity)
        .weigher(|_: &u64, size_bytes: &u32| *size_bytes)
        .eviction(setup.eviction);
    match setup.shards {
        Some(shards) => builder.shards(shards).build(),
        None => builder.build(),
    }
}

/// A part of a replay: what hit in it, and what the policy said at its end.
pub struct Stage {
    pub accesses: usize,
    pub hits: usize,
    pub report: String,
}

/// Replays the whole trace on a fresh cache in `stages` parts.
pub fn explain(trace: &Trace, setup: Setup, stages: usize) -> Result<Vec<Stage>, BuildError> {
    match &trace.sizes {
        None => {
            let cache = cache_of_entries(setup)?;
            Ok(explain_on(&cache, trace, stages, |_| ()))
        }
        Some(sizes) => {
            let cache = cache_of_bytes(setup)?;
            Ok(explain_on(&cache, trace, stages, |key| sizes.bytes_of[key as usize]))
        }
    }
}

fn explain_on<V: Clone>(
    cache: &Cache<u64, V>,
    trace: &Trace,
    stages: usize,
    load: impl Fn(u64) -> V,
) -> Vec<Stage> {
    let length = trace.accesses.len().div_ceil(stages);
    let stage = |accesses: &[u64]| {
        let mut hits = 0;
        for &key in accesses {
            match cache.get(&key) {
                Some(_) => hits += 1,
                None => cache.insert(key, load(key)),
            }
        }
        Stage { accesses: accesses.len(), hits, report: cache.policy_report() }
    };
    trace.accesses.chunks(length).map(stage).collect()
}

/// Asks for each key in turn; `ask` returns the weight of a hit.
fn drive(
    accesses: &[u64],
    ask: impl Fn(u64) -> Option<u32>,
    mut on_stretch: impl FnMut(usize),
) -> Outcome {
    let mut score = Score::default();
    let mut elapsed = Duration::ZERO;
    for stretch in accesses.chunks(STRETCH) {
        let begin = Instant::now();
        for &key in stretch {
            if let Some(weight) = ask(key) {
                score.hit(u64::from(weight));
            }
        }
        elapsed += begin.elapsed();
        on_stretch(stretch.len());
    }
    Outcome { score, elapsed }
}
