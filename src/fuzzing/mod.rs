//! The ground structures, driven by a fuzzer's bytes beside a plain model.
//!
//! Only there with `--cfg larder_fuzz`: nothing of this is in a normal build,
//! and no feature can switch it on. The targets are in `fuzz/`; each calls one
//! function of this room, which panics at the first thing that is wrong.

mod bounds;
mod chunks;
mod ghosts;
mod hit_log;
mod index;
mod lanes;
mod sketch;
mod vault;

pub use bounds::bounds;
pub use chunks::chunks;
pub use ghosts::ghosts;
pub use hit_log::hit_log;
pub use index::index;
pub use lanes::lanes;
pub use sketch::sketch;
pub use vault::vault;

use crate::slot::Slot;

/// What is left of the fuzzer's bytes. Beyond their end, all are 0.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// A number below `end`, which is at most 256.
    fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    fn slot_below(&mut self, end: usize) -> Slot {
        Slot::from_index(self.below(end))
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// Few distinct ones, so that they meet, or any.
    fn hash(&mut self) -> u32 {
        let byte = u32::from(self.byte());
        match byte % 4 {
            0 => 0,
            1 => byte / 4,
            // The high bits alone differ, or all of them.
            2 => ((byte / 4) << 26) | 7,
            _ => byte.wrapping_mul(0x9E37_79B9),
        }
    }

    /// As likely a few units as all that there are.
    fn span(&mut self) -> u64 {
        let bits = self.byte() % 64;
        let low = u64::from(self.u16());
        (1_u64 << bits).wrapping_add(low) - 1
    }
}
