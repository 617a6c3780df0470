//! Every interleaving of what readers and writers share here; see
//! `vault/models.rs`.

use super::Slot;
use super::chunks::Chunks;
use super::hit_log::{HitLog, Noted};
use super::lazily::Lazily;
use crate::sync::modelled::{Arc, Life, thread};

fn model(steps: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(steps);
}

/// The log has room for two hits here. Fails if a drain does not take out what
/// it hands on.
#[test]
fn a_hit_is_handed_on_once_or_not_at_all() {
    model(|| {
        let log = Arc::new(HitLog::default());
        let readers = [1, 2].map(|index| {
            let log = Arc::clone(&log);
            thread::spawn(move || log.push(Slot::from_index(index)))
        });
        let mut seen = Vec::new();
        log.drain(|slot| seen.push(slot.index()));
        for reader in readers {
            reader.join().unwrap();
        }
        log.drain(|slot| seen.push(slot.index()));
        seen.sort_unstable();
        seen.windows(2).for_each(|pair| assert_ne!(pair[0], pair[1]));
        assert!(seen.iter().all(|index| [1, 2].contains(index)), "{seen:?}");
    });
}

/// Fails if the last place is not told as `Filled`: a full log that nobody
/// empties drops all further hits.
#[test]
fn of_those_who_fill_the_log_one_is_told() {
    model(|| {
        let log = Arc::new(HitLog::default());
        let push = |index| {
            let log = Arc::clone(&log);
            thread::spawn(move || log.push(Slot::from_index(index)))
        };
        let readers = [push(1), push(2)];
        let mine = log.push(Slot::from_index(3));
        let [first, second] = readers.map(|reader| reader.join().unwrap());
        let filled = [mine, first, second].iter().filter(|noted| **noted == Noted::Filled).count();
        assert_eq!(filled, 1);
    });
}

#[derive(Default)]
struct Made(Life);

/// Fails if `put` publishes with `Relaxed`.
#[test]
fn who_finds_a_value_made_lazily_finds_it_whole_and_the_same() {
    model(|| {
        let lazily: Arc<Lazily<Made>> = Arc::default();
        let other = thread::spawn({
            let lazily = Arc::clone(&lazily);
            move || {
                lazily.get().inspect(|made| made.0.is_needed());
                let made = lazily.get_or_make();
                made.0.is_needed();
                std::ptr::from_ref(made) as usize
            }
        });
        let made = lazily.get_or_make();
        made.0.is_needed();
        assert_eq!(other.join().unwrap(), std::ptr::from_ref(made) as usize);
    });
}

/// Fails if `make` publishes a chunk with `Relaxed`.
#[test]
fn who_finds_a_chunk_finds_its_values_whole() {
    model(|| {
        let chunks: Arc<Chunks<Made>> = Arc::default();
        let reader = thread::spawn({
            let chunks = Arc::clone(&chunks);
            move || {
                if let Some(made) = chunks.get(Slot::from_index(3)) {
                    made.0.is_needed();
                }
            }
        });
        chunks.of(Slot::from_index(2)).0.is_needed();
        reader.join().unwrap();
    });
}
