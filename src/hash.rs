//! Hashing keys: the default hasher, and how the bits of a hash are shared out.

use std::hash::{BuildHasher, Hash, Hasher};

/// The default hasher of a [`Cache`](crate::Cache): fast, and randomly seeded
/// for every cache, so that nobody can choose keys that collide.
///
/// What is inside may change in any release; nothing else may be relied on.
///
/// ```
/// use std::hash::BuildHasher;
///
/// let hasher = larder::DefaultHashBuilder::default();
/// assert_eq!(hasher.hash_one("pear"), hasher.hash_one("pear"));
/// ```
#[derive(Clone, Debug)]
pub struct DefaultHashBuilder(ahash::RandomState);

impl Default for DefaultHashBuilder {
    fn default() -> Self {
        DefaultHashBuilder(ahash::RandomState::new())
    }
}

impl BuildHasher for DefaultHashBuilder {
    type Hasher = DefaultHasher;

    #[inline]
    fn build_hasher(&self) -> DefaultHasher {
        DefaultHasher(self.0.build_hasher())
    }
}

/// The [`Hasher`] that [`DefaultHashBuilder`] builds.
///
/// ```
/// use std::hash::{BuildHasher, Hasher};
///
/// let mut hasher = larder::DefaultHashBuilder::default().build_hasher();
/// hasher.write(b"pear");
/// let _hash: u64 = hasher.finish();
/// ```
#[derive(Clone, Debug)]
pub struct DefaultHasher(ahash::AHasher);

/// Passing each width on matters: the default methods would turn a `u64` into
/// a slice of bytes, which costs several times as much.
macro_rules! forward {
    ($($write:ident($int:ty)),*) => {
        impl Hasher for DefaultHasher {
            #[inline]
            fn finish(&self) -> u64 {
                self.0.finish()
            }

            #[inline]
            fn write(&mut self, bytes: &[u8]) {
                self.0.write(bytes);
            }

            $(#[inline]
            fn $write(&mut self, value: $int) {
                self.0.$write(value);
            })*
        }
    };
}

forward!(
    write_u8(u8),
    write_u16(u16),
    write_u32(u32),
    write_u64(u64),
    write_u128(u128),
    write_usize(usize)
);

/// A key's hash, its 64 bits shared out so that no two uses depend on the same
/// ones: the shard is picked by the high half, and the low half is what the
/// shard keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct KeyHash(u64);

impl KeyHash {
    #[inline]
    pub(crate) fn of<Q: Hash + ?Sized>(key: &Q, hasher: &impl BuildHasher) -> Self {
        // A user's hasher may leave most bits alone (identity for integers, a
        // pointer's address). An odd factor carries low bits up, the shift
        // brings them down again, so that no shard or line stays empty.
        let product = hasher.hash_one(key).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        KeyHash(product ^ (product >> 32))
    }

    /// What the shard keeps of the hash.
    #[inline]
    pub(crate) fn fragment(self) -> u32 {
        self.0 as u32
    }

    /// Which of `shards` (a power of two) the key belongs to.
    #[inline]
    pub(crate) fn shard(self, shards: usize) -> usize {
        (self.0 >> 32) as usize & (shards - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Identity(u64);

    impl Hasher for Identity {
        fn finish(&self) -> u64 {
            self.0
        }

        fn write(&mut self, _: &[u8]) {}

        fn write_u64(&mut self, value: u64) {
            self.0 = value;
        }
    }

    #[test]
    fn a_hasher_that_leaves_bits_alone_still_fills_every_shard_evenly() {
        let hasher = std::hash::BuildHasherDefault::<Identity>::default();
        for step in [1_u64, 8, 4096, 1 << 32] {
            let mut counts = [0_usize; 16];
            for i in 0..16_000_u64 {
                counts[KeyHash::of(&(i * step), &hasher).shard(16)] += 1;
            }
            let (low, high) = (counts.iter().min(), counts.iter().max());
            assert!(low > Some(&700) && high < Some(&1300), "step {step}: {counts:?}");
        }
    }

    #[test]
    fn two_default_hashers_disagree() {
        let (one, two) = (DefaultHashBuilder::default(), DefaultHashBuilder::default());
        let same = (0..64_u64).filter(|i| one.hash_one(i) == two.hash_one(i)).count();
        assert!(same < 2, "seeds are random");
    }
}
