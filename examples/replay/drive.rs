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
    // More entries than addresses cannot be held anyway.
    let capacity = usize::try_from(setup.capacity).unwrap_or(usize::MAX);
    let mut builder = Cache::<u64, ()>::builder().capacity(capacity).eviction(setup.eviction);
    if let Some(shards) = setup.shards {
        builder = builder.shards(shards);
    }
    let cache = builder.build()?;
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
    let mut builder = Cache::<u64, u32>::builder()
        .weight_capacity(setup.capacity)
        .weigher(|_: &u64, size_bytes: &u32| *size_bytes)
        .eviction(setup.eviction);
    if let Some(shards) = setup.shards {
        builder = builder.shards(shards);
    }
    let cache = builder.build()?;
    let ask = |key| {
        let found = cache.get(&key);
        if found.is_none() {
            cache.insert(key, sizes.bytes_of[key as usize]);
        }
        found
    };
    Ok(drive(&trace.accesses, ask, on_stretch))
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
