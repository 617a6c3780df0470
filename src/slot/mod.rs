//! Positions in a shard, and the small structures that are built on them.
//!
//! A [`Slot`] says where an entry lives, never what it is: everything in this
//! room works without keys and values, is compiled once, and can be tested
//! without a cache around it.

#[expect(unsafe_code, reason = "chunks that readers follow while others are added")]
pub(crate) mod chunks;
pub(crate) mod ghosts;
pub(crate) mod hit_log;
pub(crate) mod lanes;
#[expect(unsafe_code, reason = "a box that readers see appear, at the cost of one load")]
pub(crate) mod lazily;
pub(crate) mod links;
#[cfg(all(test, larder_loom))]
mod models;
pub(crate) mod sketch;

/// The position of an entry in its shard. A position is not a count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Slot(u32);

impl Slot {
    /// The raw value that means "no slot" where an `Option` would cost 4 bytes.
    pub(crate) const NONE: u32 = u32::MAX;

    /// Stands for a slot while the entry there moves to another one. No chunk
    /// has a place for it.
    pub(crate) const MOVING: Slot = Slot(u32::MAX - 2);

    /// So many slots a shard may have. Some numbers beyond are no slots: "none",
    /// "any" in a reader's claim, and "moving".
    const LEN_MAX: u32 = u32::MAX - 63;

    pub(crate) fn from_index(index: usize) -> Self {
        let raw = u32::try_from(index).unwrap_or(Self::NONE);
        assert!(
            raw < Self::LEN_MAX,
            "a shard holds at most {} entries; build the cache with more shards",
            Self::LEN_MAX,
        );
        Slot(raw)
    }

    pub(crate) fn from_raw(raw: u32) -> Option<Self> {
        (raw != Self::NONE).then_some(Slot(raw))
    }

    /// As `from_raw`, for someone who only looks for what is there: no chunk has
    /// a place for [`NONE`](Slot::NONE).
    #[inline]
    pub(crate) fn or_none(raw: u32) -> Self {
        Slot(raw)
    }

    pub(crate) fn raw(self) -> u32 {
        self.0
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What there is to see of one entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    /// Both in one, so that all of it fits into two registers.
    hash_and_weight: u64,
    pub(crate) hits: u8,
}

impl Seen {
    #[inline]
    pub(crate) fn new(hash: u32, weight: u32, hits: u8) -> Self {
        Seen { hash_and_weight: u64::from(hash) << 32 | u64::from(weight), hits }
    }

    #[inline]
    pub(crate) fn hash(self) -> u32 {
        (self.hash_and_weight >> 32) as u32
    }

    #[inline]
    pub(crate) fn weight(self) -> u32 {
        self.hash_and_weight as u32
    }
}

/// What a policy may see of the entries: hashes, weights and noted hits.
///
/// The slab implements it; so does a `Vec` in the policies' own tests.
pub(crate) trait Residents {
    /// The 32 bits of the key's hash that the shard keeps.
    fn hash(&self, slot: Slot) -> u32;

    fn weight(&self, slot: Slot) -> u32;

    /// Hits that readers noted since the count was last set, up to
    /// [`HITS_MAX`]. Only kept for policies that ask for
    /// [`Notes::Count`](crate::policy::Notes::Count).
    fn hits(&self, slot: Slot) -> u8;

    fn set_hits(&self, slot: Slot, hits: u8);

    /// Somebody will look at `slot` soon.
    fn prefetch(&self, _slot: Slot) {}

    /// All three at once: who wants more than one of them goes there once.
    fn look(&self, slot: Slot) -> Seen {
        Seen::new(self.hash(slot), self.weight(slot), self.hits(slot))
    }
}

/// Two bits are enough for a clock's hand (S3-FIFO, section 4), and a hot
/// entry that has reached them is read without any write.
pub(crate) const HITS_MAX: u8 = 3;
