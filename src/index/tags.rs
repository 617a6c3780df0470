//! The tags of a line, which are compared all at once: a hit among many entries
//! takes as long as its instructions keep the processor from running ahead to the
//! next one, which is waiting for memory as well.

use super::LANES;
use crate::sync::modelled::atomic::{AtomicU64, Ordering};

const TAG_BITS: usize = 8;
const LANES_LOW: usize = 8;
const SPILLED_ONE: u64 = 1 << 32;
const ALL: u32 = (1 << LANES) - 1;

#[repr(C, align(16))]
pub(super) struct Tags {
    /// Tags of the first 8 lanes, a byte each. 0 in an empty lane, and in some
    /// others.
    low: AtomicU64,
    /// Tags of the other 4, and above them how many entries passed this line
    /// because it was full.
    high: AtomicU64,
}

impl Default for Tags {
    fn default() -> Self {
        Tags { low: AtomicU64::new(0), high: AtomicU64::new(0) }
    }
}

impl Tags {
    /// The lanes with this tag.
    #[inline(always)]
    pub(super) fn lanes(&self, tag: u8) -> Lanes {
        // What has spilled is no tag.
        Lanes(self.equal_bytes(tag) & ALL)
    }

    #[inline(always)]
    pub(super) fn has_spilled(&self) -> bool {
        self.high.load(Ordering::Acquire) >= SPILLED_ONE
    }

    /// Of a lane that is empty, and so has no tag. Only the one writer sets tags, so
    /// a load and a store will do.
    #[inline]
    pub(super) fn set(&self, lane: usize, tag: u8) {
        let tags = self.half(lane);
        let others = tags.load(Ordering::Relaxed);
        let shift = lane % LANES_LOW * TAG_BITS;
        tags.store(others | u64::from(tag) << shift, Ordering::Release);
    }

    #[inline]
    pub(super) fn clear(&self, lane: usize) {
        let tags = self.half(lane);
        let shift = lane % LANES_LOW * TAG_BITS;
        tags.store(tags.load(Ordering::Relaxed) & !(0xFF << shift), Ordering::Release);
    }

    pub(super) fn get(&self, lane: usize) -> u8 {
        (self.half(lane).load(Ordering::Relaxed) >> (lane % LANES_LOW * TAG_BITS)) as u8
    }

    #[inline]
    fn half(&self, lane: usize) -> &AtomicU64 {
        if lane < LANES_LOW { &self.low } else { &self.high }
    }

    pub(super) fn spilled(&self) -> u64 {
        self.high.load(Ordering::Relaxed) / SPILLED_ONE
    }

    #[inline]
    pub(super) fn spill(&self) {
        self.high.store(self.high.load(Ordering::Relaxed) + SPILLED_ONE, Ordering::Release);
    }

    #[inline]
    pub(super) fn unspill(&self) {
        self.high.store(self.high.load(Ordering::Relaxed) - SPILLED_ONE, Ordering::Release);
    }
}

/// Lanes, a bit each.
#[derive(Clone, Copy)]
pub(super) struct Lanes(u32);

impl Lanes {
    #[inline(always)]
    pub(super) fn first(self) -> Option<usize> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as usize)
    }
}

impl Iterator for Lanes {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let first = self.first()?;
        self.0 &= self.0 - 1;
        Some(first)
    }
}

impl Tags {
    /// Which of the 16 bytes are this one, a bit each, from the lowest up.
    #[cfg(all(
        target_arch = "x86_64",
        target_feature = "sse2",
        not(any(larder_loom, larder_shuttle))
    ))]
    #[inline(always)]
    fn equal_bytes(&self, byte: u8) -> u32 {
        use std::arch::{asm, x86_64 as arch};
        let bytes: arch::__m128i;
        // SAFETY: reads both words, and nothing else. It does so as two atomic
        // loads that acquire would: on this processor every load does, and no
        // word of 8 bytes is torn.
        unsafe {
            asm!(
                "movdqa {}, [{}]",
                out(xmm_reg) bytes,
                in(reg) self,
                options(nostack, readonly, preserves_flags),
            );
        }
        #[allow(unused_unsafe, reason = "from Rust 1.87 on, these are safe")]
        // SAFETY: this is compiled only for processors that have SSE2.
        unsafe {
            let pattern = arch::_mm_set1_epi8(byte as i8);
            arch::_mm_movemask_epi8(arch::_mm_cmpeq_epi8(bytes, pattern)) as u32
        }
    }

    #[cfg(not(all(
        target_arch = "x86_64",
        target_feature = "sse2",
        not(any(larder_loom, larder_shuttle))
    )))]
    #[inline(always)]
    fn equal_bytes(&self, byte: u8) -> u32 {
        let (low, high) = (self.low.load(Ordering::Acquire), self.high.load(Ordering::Acquire));
        portable::equal_bytes(low, high, byte)
    }
}

/// The same in words of 8 bytes.
#[cfg(any(
    test,
    not(all(
        target_arch = "x86_64",
        target_feature = "sse2",
        not(any(larder_loom, larder_shuttle))
    ))
))]
mod portable {
    const ONES: u64 = 0x0101_0101_0101_0101;
    /// Times a word of which only the lowest bit of each byte is set: brings
    /// these bits together in the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;

    #[inline(always)]
    pub(super) fn equal_bytes(low: u64, high: u64, byte: u8) -> u32 {
        let pattern = u64::from(byte) * ONES;
        zeros(low ^ pattern) | zeros(high ^ pattern) << 8
    }

    /// Which of 8 bytes are zero. The sum has a byte's highest bit set if any of
    /// the others was, and never carries into the next byte.
    #[inline(always)]
    fn zeros(bytes: u64) -> u32 {
        let lower = !(ONES << 7);
        let is_zero = !(((bytes & lower) + lower) | bytes | lower) >> 7;
        (is_zero.wrapping_mul(GATHER) >> 56) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_are_equal_or_not(
            bytes in prop::array::uniform16(prop_oneof![Just(0), Just(0x7F), Just(0x80), any::<u8>()]),
            other: u8,
            at in 0..16_usize,
        ) {
            let half = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            let (low, high) = (half(0), half(8));
            let tags = Tags { low: AtomicU64::new(low), high: AtomicU64::new(high) };
            for byte in [bytes[at], other] {
                let wanted = (0..16).filter(|at| bytes[*at] == byte).map(|at| 1 << at).sum::<u32>();
                prop_assert_eq!(tags.equal_bytes(byte), wanted);
                prop_assert_eq!(portable::equal_bytes(low, high, byte), wanted);
            }
        }
    }

    #[test]
    fn what_has_spilled_is_no_tag() {
        let tags = Tags::default();
        (0..LANES).for_each(|lane| tags.set(lane, 1));
        assert_eq!(tags.lanes(0).first(), None);
        assert!(!tags.has_spilled());
        tags.spill();
        assert!(tags.has_spilled() && tags.spilled() == 1);
        assert_eq!(tags.lanes(1).collect::<Vec<_>>(), (0..LANES).collect::<Vec<_>>());
        tags.unspill();
        assert_eq!(tags.spilled(), 0);
    }
}
