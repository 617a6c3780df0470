use super::Script;
use crate::slot::Slot;
use crate::slot::chunks::{Chunk, Chunks};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

/// So many places are used: ten chunks or so, of growing length.
const PLACES: usize = 600;

/// An array of chunks beside a map: what was written stays where it is, until
/// its chunk is taken out, and comes back with it.
pub fn chunks(bytes: &[u8]) {
    let mut chunks: Chunks<AtomicU32> = Chunks::default();
    let mut model: BTreeMap<usize, u32> = BTreeMap::new();
    let mut taken: Option<Taken> = None;
    let mut script = Script(bytes);
    for number in 1.. {
        if script.is_over() {
            break;
        }
        let operation = script.byte() % 8;
        let place = usize::from(script.u16()) % PLACES;
        match operation {
            0..=3 => {
                chunks.of(Slot::from_index(place)).store(number, Ordering::Relaxed);
                model.insert(place, number);
            }
            4 | 5 => look(&chunks, &model, place),
            6 => taken = Some(take(&mut chunks, &mut model, place)),
            _ => {
                if let Some(taken) = taken.take() {
                    put_back(&chunks, &mut model, taken);
                }
            }
        }
    }
    (0..PLACES).for_each(|place| look(&chunks, &model, place));
}

struct Taken {
    chunks: Vec<Chunk<AtomicU32>>,
    values: BTreeMap<usize, u32>,
}

fn value(chunks: &Chunks<AtomicU32>, place: usize) -> Option<u32> {
    chunks.get(Slot::from_index(place)).map(|value| value.load(Ordering::Relaxed))
}

fn look(chunks: &Chunks<AtomicU32>, model: &BTreeMap<usize, u32>, place: usize) {
    match model.get(&place) {
        Some(number) => assert_eq!(value(chunks, place), Some(*number)),
        None => assert_eq!(value(chunks, place).unwrap_or(0), 0, "a place nobody wrote to"),
    }
}

fn take(chunks: &mut Chunks<AtomicU32>, model: &mut BTreeMap<usize, u32>, place: usize) -> Taken {
    let taken = chunks.take_from_alone(place);
    let mut values = model.split_off(&place);
    // A chunk that begins before stays.
    while let Some(first) = values.first_entry() {
        if value(chunks, *first.key()).is_none() {
            break;
        }
        model.insert(*first.key(), first.remove());
    }
    assert!(values.keys().all(|place| value(chunks, *place).is_none()));
    Taken { chunks: taken, values }
}

/// Of chunks that were made anew since, the new ones stay.
fn put_back(chunks: &Chunks<AtomicU32>, model: &mut BTreeMap<usize, u32>, taken: Taken) {
    let is_gone = |place: &usize| value(chunks, *place).is_none();
    let back: Vec<_> = taken.values.into_iter().filter(|(place, _)| is_gone(place)).collect();
    chunks.put_back(taken.chunks);
    model.extend(back);
}
