//! What a trial does, made from the fuzzer's bytes: settings and operations.
//!
//! Numbers are drawn from small ranges, so that keys meet each other and bounds
//! are reached. Variants are chosen by one byte each, which `derive` would do
//! by four: scripts are short, and no byte of them is idle.

use crate::hashing::Hashing;
use crate::model::{Bounds, Key, Tags, UNBOUNDED};
use arbitrary::{Arbitrary, Result, Unstructured};
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Script {
    pub settings: Settings,
    pub operations: Vec<Operation>,
}

impl Arbitrary<'_> for Script {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        let mut script = Script { settings: bytes.arbitrary()?, operations: Vec::new() };
        while !bytes.is_empty() {
            script.operations.push(bytes.arbitrary()?);
        }
        Ok(script)
    }
}

#[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    pub policy: Policy,
    pub entries_max: Bound,
    pub weight_max: Bound,
    pub shards: Shards,
    pub hashing: Hashing,
    /// With a weigher, an entry weighs what its value says: 0 to 4.
    pub weighs: bool,
    pub records_stats: bool,
    pub ttl: Lifetime,
    pub tti: Lifetime,
    /// Deadlines come up to a half earlier.
    pub has_jitter: bool,
}

impl Settings {
    /// Bounds that a builder accepts: at least one is there.
    pub fn bounds(&self) -> Bounds {
        let (entries_max, weight_max) = (self.entries_max.0, self.weight_max.0);
        match (entries_max, weight_max) {
            (UNBOUNDED, UNBOUNDED) => Bounds { entries_max: 8, weight_max },
            _ => Bounds { entries_max, weight_max },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    Fifo,
    Lru,
    /// All counts halve after this many uses for each entry of the capacity.
    Lfu {
        ageing: Option<u32>,
    },
    Sieve,
    S3Fifo,
    TinyLfu,
    Adaptive,
    AdaptiveByWeight,
}

impl Arbitrary<'_> for Policy {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        let ageings = [None, Some(1), Some(2), Some(10)];
        let lfus = ageings.map(|ageing| Policy::Lfu { ageing });
        let others = [
            Policy::Adaptive,
            Policy::AdaptiveByWeight,
            Policy::Fifo,
            Policy::Lru,
            Policy::Sieve,
            Policy::S3Fifo,
            Policy::TinyLfu,
        ];
        bytes.choose(&[&others[..], &lfus].concat()).copied()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shards {
    One,
    Two,
    Eight,
}

impl Arbitrary<'_> for Shards {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        bytes.choose(&[Shards::One, Shards::Two, Shards::Eight]).copied()
    }
}

/// A capacity of up to 40, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bound(pub u64);

impl Arbitrary<'_> for Bound {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Bound(match bytes.arbitrary::<u8>()? % 64 {
            small @ 0..=40 => u64::from(small),
            _ => UNBOUNDED,
        }))
    }
}

/// How long an entry lives: mostly for ever, else for no time, a little, or
/// longer than anybody waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetime(pub Option<Duration>);

impl Arbitrary<'_> for Lifetime {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Lifetime(match bytes.arbitrary::<u8>()? % 32 {
            0..=15 => None,
            16 => Some(Duration::ZERO),
            17 => Some(Duration::MAX),
            // Beyond what the cache can count, and just within it.
            18 => Some(Duration::from_nanos(u64::MAX)),
            19 => Some(Duration::from_nanos(u64::MAX - 1)),
            small => Some(Duration::from_millis(u64::from(small) - 19)),
        }))
    }
}

/// How far the clock jumps: mostly milliseconds, sometimes a century or more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Jump(pub Duration);

impl Arbitrary<'_> for Jump {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Jump(match bytes.arbitrary::<u8>()? % 64 {
            0 => Duration::MAX,
            1 => Duration::from_secs(100 * 365 * 24 * 60 * 60),
            2 => Duration::from_secs(60 * 60),
            3 => Duration::from_nanos(1),
            small => Duration::from_millis(u64::from(small) - 3),
        }))
    }
}

/// How many keys there are: a few more than the largest cache holds.
pub const KEYS: u8 = 48;

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SomeKey(pub Key);

impl Arbitrary<'_> for SomeKey {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        Ok(SomeKey(bytes.arbitrary::<u8>()? % KEYS))
    }
}

/// A weight: mostly small or none, sometimes more than any cache holds,
/// sometimes as much as there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SomeWeight(pub u32);

impl Arbitrary<'_> for SomeWeight {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        Ok(SomeWeight(match bytes.arbitrary::<u8>()? % 64 {
            0..=15 => 0,
            small @ 16..=47 => u32::from(small) % 8 + 1,
            large @ 48..=62 => u32::from(large),
            _ => u32::MAX,
        }))
    }
}

/// A set of the tags that there are, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SomeTags(pub Tags);

/// How many tags there are.
pub const TAGS: u8 = 3;

impl Arbitrary<'_> for SomeTags {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        Ok(SomeTags(bytes.arbitrary::<u8>()? % (1 << TAGS)))
    }
}

/// One tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SomeTag(pub u8);

impl Arbitrary<'_> for SomeTag {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        Ok(SomeTag(bytes.arbitrary::<u8>()? % TAGS))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Get(SomeKey),
    /// One key after the other, with no writer between: hits pile up.
    GetMany {
        first: SomeKey,
        times: u8,
    },
    Read(SomeKey),
    Peek(SomeKey),
    ContainsKey(SomeKey),
    Insert(SomeKey),
    InsertWith {
        key: SomeKey,
        weight: Option<SomeWeight>,
        tags: SomeTags,
        /// Time to live, or else time to idle.
        own: Option<(bool, Lifetime)>,
    },
    Remove(SomeKey),
    Invalidate(SomeKey),
    /// Those whose key has this remainder modulo 4.
    InvalidateIf {
        remainder: u8,
    },
    InvalidateTag(SomeTag),
    InvalidateAll,
    Clear,
    OrInsertWith {
        key: SomeKey,
        meanwhile: Meanwhile,
    },
    Compute {
        key: SomeKey,
        wish: Wish,
        meanwhile: Meanwhile,
    },
    SetCapacity(Bound),
    SetWeightCapacity(Bound),
    Len,
    Weight,
    Iterate,
    Coldest {
        most: u8,
    },
    Hottest {
        most: u8,
    },
    RunMaintenance,
    Validate,
    Advance(Jump),
    SetBack(Jump),
}

impl Arbitrary<'_> for Operation {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        // What is done most comes up most: one byte of many means a get.
        Ok(match bytes.arbitrary::<u8>()? % 64 {
            0 => Operation::Read(bytes.arbitrary()?),
            1 => Operation::Peek(bytes.arbitrary()?),
            2 => Operation::ContainsKey(bytes.arbitrary()?),
            3 => Operation::Remove(bytes.arbitrary()?),
            4 => Operation::Invalidate(bytes.arbitrary()?),
            5 => Operation::InvalidateIf { remainder: bytes.arbitrary()? },
            6 => Operation::InvalidateTag(bytes.arbitrary()?),
            7 => Operation::InvalidateAll,
            8 => Operation::Clear,
            9 => Operation::SetCapacity(bytes.arbitrary()?),
            10 => Operation::SetWeightCapacity(bytes.arbitrary()?),
            11 => Operation::Len,
            12 => Operation::Weight,
            13 => Operation::Iterate,
            14 => Operation::Coldest { most: bytes.arbitrary()? },
            15 => Operation::Hottest { most: bytes.arbitrary()? },
            16 => Operation::RunMaintenance,
            17 => Operation::Validate,
            18..=20 => {
                Operation::OrInsertWith { key: bytes.arbitrary()?, meanwhile: bytes.arbitrary()? }
            }
            21..=25 => Operation::Compute {
                key: bytes.arbitrary()?,
                wish: bytes.arbitrary()?,
                meanwhile: bytes.arbitrary()?,
            },
            26..=35 => Operation::InsertWith {
                key: bytes.arbitrary()?,
                weight: bytes.arbitrary()?,
                tags: bytes.arbitrary()?,
                own: bytes.arbitrary()?,
            },
            36..=45 => Operation::Insert(bytes.arbitrary()?),
            46..=47 => Operation::GetMany { first: bytes.arbitrary()?, times: bytes.arbitrary()? },
            48 | 49 => Operation::Advance(bytes.arbitrary()?),
            50 => Operation::SetBack(bytes.arbitrary()?),
            _ => Operation::Get(bytes.arbitrary()?),
        })
    }
}

/// What a computation wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    Keep,
    Replace,
    Remove,
    /// The closure returns an error.
    Fail,
}

impl Arbitrary<'_> for Wish {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        bytes.choose(&[Wish::Keep, Wish::Replace, Wish::Remove, Wish::Fail]).copied()
    }
}

/// What happens while a computation runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meanwhile {
    Nothing,
    ReadItself,
    ComputeItself,
    InvalidateItself,
    InsertAnother(SomeKey),
    InvalidateTag(SomeTag),
    InvalidateAll,
    Clear,
}

impl Arbitrary<'_> for Meanwhile {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        Ok(match bytes.arbitrary::<u8>()? % 16 {
            0 => Meanwhile::ReadItself,
            1 => Meanwhile::ComputeItself,
            2 => Meanwhile::InvalidateItself,
            3..=5 => Meanwhile::InsertAnother(bytes.arbitrary()?),
            6 => Meanwhile::InvalidateTag(bytes.arbitrary()?),
            7 => Meanwhile::InvalidateAll,
            8 => Meanwhile::Clear,
            _ => Meanwhile::Nothing,
        })
    }
}
