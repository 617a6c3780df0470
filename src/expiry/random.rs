//! Numbers for tests: the same every time.

/// xorshift64*.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// As likely a few nanoseconds as centuries.
    pub(super) fn span(&mut self) -> u64 {
        let bits = self.below(63);
        self.next() >> (63 - bits)
    }
}
