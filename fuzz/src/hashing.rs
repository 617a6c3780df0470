//! Hashers without a random seed: a crash has to happen again.

use arbitrary::{Arbitrary, Result, Unstructured};
use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasher, Hasher};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hashing {
    Seeded(u8),
    /// All keys collide in all 64 bits.
    Constant,
    /// The key itself.
    Identity,
}

impl Arbitrary<'_> for Hashing {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        Ok(match bytes.arbitrary()? {
            0_u8 => Hashing::Constant,
            1 => Hashing::Identity,
            seed => Hashing::Seeded(seed),
        })
    }
}

impl BuildHasher for Hashing {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        match self {
            Hashing::Seeded(seed) => {
                let mut hasher = DefaultHasher::new();
                hasher.write_u8(*seed);
                KeyHasher::Seeded(hasher)
            }
            Hashing::Constant => KeyHasher::Constant,
            Hashing::Identity => KeyHasher::Identity(0),
        }
    }
}

pub enum KeyHasher {
    Seeded(DefaultHasher),
    Constant,
    Identity(u64),
}

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        match self {
            KeyHasher::Seeded(hasher) => hasher.finish(),
            KeyHasher::Constant => 0,
            KeyHasher::Identity(key) => *key,
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        match self {
            KeyHasher::Seeded(hasher) => hasher.write(bytes),
            KeyHasher::Constant => {}
            KeyHasher::Identity(key) => {
                *key = bytes.iter().fold(*key, |key, byte| (key << 8) | u64::from(*byte));
            }
        }
    }
}
