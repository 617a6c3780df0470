//! The ways in which the cache can be run, of which one is in office.

/// How many there are.
pub(super) const ARMS: usize = 5;

/// What an entry does for a place in the main part, and how long it may wait
/// for its chance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Arm {
    /// The window's share of the capacity, in thousandths.
    pub(super) share: u64,
    /// Who was refused and comes back soon needs no second proof: those that
    /// left the window are remembered as ghosts, as in S3-FIFO.
    pub(super) remembers: bool,
    /// Whoever leaves the window has to have been seen more often than the one
    /// that would make way, as in TinyLFU. Otherwise it has to have been read
    /// [`PROOF`] times in the window, as in S3-FIFO.
    pub(super) contests: bool,
}

/// Reads in the window that are proof enough where there is no contest.
pub(super) const PROOF: u8 = 2;

/// For loops and scans; for skewed popularity; for hot sets that move; for
/// those that only recency can follow (with this one the cache is a clock);
/// and for what is used again a little later than a small window lasts.
///
/// Of the sets of five that were tried, this one leaves the best choice in
/// each cell closest to the best of all policies and peers.
pub(super) const ALL: [Arm; ARMS] = [
    Arm { share: 10, remembers: false, contests: true },
    Arm { share: 50, remembers: true, contests: true },
    Arm { share: 400, remembers: false, contests: true },
    Arm { share: 1000, remembers: false, contests: true },
    Arm { share: 10, remembers: true, contests: false },
];

/// Who is in office before anything is known: alone, it would do well. (Where a
/// large cache is filled by a skewed popularity, arm 0 would cost some points until
/// enough is counted, although over shorter sequences it gains a little.)
pub(super) const FIRST: usize = 1;

impl Arm {
    /// The window's part of `whole`: at least one, because a fraction of an
    /// entry would switch the contest off.
    #[inline]
    pub(super) fn window(&self, whole: u64) -> u64 {
        let part = match whole.checked_mul(self.share) {
            Some(product) => product / 1000,
            None => whole / 1000 * self.share,
        };
        part.max(1)
    }
}

/// So many of those that left are remembered, by a cache of `entries`.
#[inline]
pub(super) fn reach(entries: usize) -> usize {
    (entries - entries / 10).max(1)
}
