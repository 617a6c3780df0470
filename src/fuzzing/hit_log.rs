use super::Script;
use crate::slot::Slot;
use crate::slot::hit_log::{HitLog, Noted};

/// A log of hits beside a vector: in order, each once, and none after the log
/// was full.
pub fn hit_log(bytes: &[u8]) {
    let log = HitLog::default();
    let mut model: Vec<Slot> = Vec::new();
    let mut is_full = false;
    let mut script = Script(bytes);
    while !script.is_over() {
        let (operation, slot) = (script.byte(), script.slot_below(256));
        // A run of pushes, or the log is emptied.
        let times = if operation % 4 == 0 { 0 } else { 1 + operation / 4 };
        for _ in 0..times {
            let noted = log.push(slot);
            assert_eq!(noted == Noted::Dropped, is_full);
            if !is_full {
                model.push(slot);
            }
            is_full |= noted == Noted::Filled;
        }
        assert_eq!(log.is_empty(), model.is_empty());
        if times == 0 {
            let mut drained = Vec::new();
            log.drain(|slot| drained.push(slot));
            assert_eq!(drained, std::mem::take(&mut model));
            is_full = false;
        }
    }
}
