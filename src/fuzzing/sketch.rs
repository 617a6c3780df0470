use super::Script;
use crate::slot::sketch::Sketch;
use std::collections::BTreeMap;

/// After so many additions for each entry, and at least so many in all, every
/// count is halved.
const SAMPLE_PER_ENTRY: usize = 10;
const SAMPLE_MIN: usize = 10_000;

/// A sketch beside exact counts, which age as it does: an estimate is never
/// below the count, and never above 15 or what was counted in all.
pub fn sketch(bytes: &[u8]) {
    let (mut sketch, mut model) = (Sketch::default(), Model::default());
    let mut script = Script(bytes);
    while !script.is_over() {
        let (operation, hash) = (script.byte(), script.hash());
        match operation % 8 {
            0 => {
                let entries = usize::from(script.u16()) % 3000;
                sketch.fit(entries);
                model.sample = (entries * SAMPLE_PER_ENTRY).max(SAMPLE_MIN);
            }
            1..=4 => {
                sketch.add(hash, operation / 8);
                model.add(hash, operation / 8);
            }
            5 => {
                // As many as it takes to be halved soon.
                for step in 0..u32::from(script.byte()) {
                    let hash = hash.wrapping_add(step % 8);
                    sketch.add(hash, 255);
                    model.add(hash, 255);
                }
            }
            _ => model.compare(&sketch, hash),
        }
    }
    model.counts.keys().for_each(|hash| model.compare(&sketch, *hash));
}

#[derive(Default)]
struct Model {
    counts: BTreeMap<u32, u8>,
    added: usize,
    /// All that was ever counted.
    total: usize,
    /// 0 as long as the sketch has no room for anything.
    sample: usize,
}

impl Model {
    fn add(&mut self, hash: u32, times: u8) {
        if self.sample == 0 {
            return;
        }
        let count = self.counts.entry(hash).or_default();
        *count = count.saturating_add(times).min(15);
        self.added += usize::from(times);
        self.total += usize::from(times);
        if times > 0 && self.added >= self.sample {
            self.counts.values_mut().for_each(|count| *count /= 2);
            self.added /= 2;
        }
    }

    fn compare(&self, sketch: &Sketch, hash: u32) {
        let estimate = sketch.estimate(hash);
        let count = self.counts.get(&hash).copied().unwrap_or(0);
        assert!(estimate >= count, "{hash} was counted {count} times, not {estimate}");
        assert!(usize::from(estimate) <= self.total.min(15));
    }
}
