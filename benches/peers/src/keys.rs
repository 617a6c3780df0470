//! Keys, drawn before the clock starts and from a fixed seed: two runs look up
//! the same.

const SEED: u64 = 0x1A4D_E400_BE4C;

/// `count` keys below `distinct`, each as likely as any other.
#[must_use]
pub fn uniform(count: usize, distinct: usize) -> Vec<u32> {
    let mut random = SplitMix64(SEED);
    (0..count).map(|_| random.below(distinct) as u32).collect()
}

/// Steele, Lea and Flood (OOPSLA '14): a counter, well mixed.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Evenly below `end`, but for a bias of less than `end` / 2^64.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}
