//! Which entry leaves a full shard.
//!
//! A policy sees slots, hashes and weights, never keys or values: it is not
//! generic, it is compiled once, and a trace can drive it with no cache around
//! it. A new one is a file beside this one, a variant of [`Eviction`] and a
//! line in [`Policies::policy`]; the tests at the end of this file then check
//! it with the others.

mod adaptive;
mod fifo;
mod lfu;
mod lru;
mod s3_fifo;
mod sieve;
mod tiny_lfu;

use crate::slot::{Residents, Seen, Slot};
use adaptive::{Adaptive, Favour, Guide};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What readers note down for a policy, without taking a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Notes {
    /// Hits do not matter.
    Nothing,
    /// How often, up to a few: kept with the entry, read by a clock's hand.
    Count,
    /// Each hit in order: handed to [`Policy::on_hit`] later, under the lock.
    Order,
}

/// What the cache is short of when it asks for a victim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// Room for one more entry: anyone may leave.
    Entry,
    /// Weight: an entry of weight 0 would not help, and stays.
    Weight,
}

/// What became of an [`exchange`](Policy::exchange). Two numbers, so that it comes
/// back in registers.
#[derive(Clone, Copy)]
pub(crate) struct Exchange {
    victim: u32,
    next: u32,
}

impl Exchange {
    /// Nobody can help.
    const NONE: Exchange = Exchange { victim: Slot::NONE, next: Slot::NONE };

    /// `next` is the one that will probably be given up next.
    #[inline]
    fn of(victim: Slot, next: Option<Slot>) -> Self {
        Exchange { victim: victim.raw(), next: next.map_or(Slot::NONE, Slot::raw) }
    }

    /// Whose slot the newcomer has got.
    #[inline]
    pub(crate) fn victim(self) -> Option<Slot> {
        Slot::from_raw(self.victim)
    }

    #[inline]
    pub(crate) fn next(self) -> Option<Slot> {
        Slot::from_raw(self.next)
    }
}

/// Chooses which entry leaves a full shard. Every method runs under the
/// shard's exclusive lock.
///
/// Refusing a newcomer needs no method of its own: give it up when asked next.
pub(crate) trait Policy: Send + Sync {
    fn notes(&self) -> Notes;

    /// A use of `slot`: a hit that was noted in order, or a new value.
    fn on_hit(&mut self, _slot: Slot) {}

    /// Whether a newcomer may come in, if others have to leave for its weight. If
    /// not, nobody does, and it leaves at once. Not asked about one that weighs 1
    /// in a shard where all do.
    fn admits(&mut self, _newcomer: Seen, _all: &dyn Residents) -> bool {
        true
    }

    /// An entry has come in, and this is what there is to see of it: nobody has
    /// hit it yet.
    fn on_insert(&mut self, slot: Slot, seen: Seen, all: &dyn Residents);

    /// `slot` leaves for another reason than this policy's choice.
    fn on_remove(&mut self, slot: Slot, all: &dyn Residents);

    /// The entry at `from` has got a new value, or has moved, and is at `to`; it
    /// keeps its place, and its noted hits. [`on_hit`](Policy::on_hit) tells of the use.
    fn on_move(&mut self, from: Slot, to: Slot);

    /// `slot` weighed `was` until now, and keeps its place.
    fn on_reweigh(&mut self, _slot: Slot, _was: u32, _all: &dyn Residents) {}

    /// The shard's share of the cache's capacity in entries is now this.
    fn on_resize(&mut self, _entries_max: u64) {}

    /// No entry stands at `end` or beyond any more: gives back the memory for
    /// that.
    fn on_cut(&mut self, end: usize);

    /// Gives up one resident; `None` only when none can help with `need`.
    fn evict(&mut self, need: Need, all: &dyn Residents) -> Option<Slot>;

    /// Gives up one resident for a newcomer of `hash`, who gets its slot: does what
    /// [`evict`](Policy::evict) and [`on_insert`](Policy::on_insert) do one after
    /// the other. Only asked where every entry weighs 1, and so does the newcomer:
    /// anyone's leaving helps. What `all` says of the slot is still of the one that
    /// leaves.
    fn exchange(&mut self, hash: u32, all: &dyn Residents) -> Exchange {
        let Some(victim) = self.evict(Need::Entry, all) else { return Exchange::NONE };
        self.on_insert(victim, Seen::new(hash, 1, 0), all);
        Exchange::of(victim, self.next_victim())
    }

    /// Who will probably be given up next, if that is quickly said: what is
    /// needed for it can be fetched from memory meanwhile.
    fn next_victim(&self) -> Option<Slot> {
        None
    }

    /// Every resident once, from the one that would leave first to the one
    /// that would stay longest, as far as the policy can tell.
    fn coldest_first(&self, all: &dyn Residents) -> Vec<Slot>;

    /// Checks what the policy keeps besides the order of its entries.
    fn validate(&self, _all: &dyn Residents) -> Result<(), String> {
        Ok(())
    }
}

/// How a full cache chooses the entry that leaves.
///
/// ```
/// use larder::{Cache, Eviction};
///
/// let cache: Cache<u64, u64> =
///     Cache::builder().capacity(2).eviction(Eviction::Lru).build()?;
/// cache.insert(1, 10);
/// cache.insert(2, 20);
/// cache.get(&1);
/// cache.insert(3, 30);
/// assert_eq!(cache.get(&2), None, "2 was used least recently");
/// # Ok::<(), larder::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Eviction {
    /// W-TinyLFU on clocks that adapts: its window is small for loops, scans
    /// and lasting popularity, and large where what was used last is used next;
    /// and where entries are used again a little later, those that come back
    /// are let in at once, as in S3-FIFO. The default, and the choice when you
    /// do not know.
    ///
    /// It runs five miniatures of the cache on a sample of the keys, each in
    /// another way, and does as the one does that hit most lately. In a weighted
    /// cache it maximises the number of hits: a heavy entry has to be used more
    /// often than the lighter ones in its place, and of those that are not read,
    /// the one leaves first that has taken up most room for longest. Once the
    /// entries have been used as often as there are entries, a newcomer that is
    /// heavier than most, too heavy for the window, has to be worth more from
    /// the start: otherwise it leaves at once, as [`Cause::Size`], and nobody
    /// makes way for it.
    ///
    /// In all, it takes 19 KB more than [`Sieve`] in a cache of 10 entries, 86 KB
    /// with 2000 in 4 shards, and 5.3 bytes an entry with a million; and of each
    /// entry 2.3 to 4.5 bytes more while those that left are remembered. What it
    /// costs in time, it costs on misses, the more the smaller the cache, because
    /// more of its keys are in the sample: under Zipf's law, with 50 to 60 % hits, a
    /// miss took 45 ns more than with [`Sieve`] at 20 000 entries, 65 to 75 ns at 400
    /// to 2000, and 100 ns at 100. Once the choice has stood for long, the sample is
    /// thinned out; until then, a cache of up to 512 entries has all keys in it, and
    /// a miss takes some 1600 instructions more.
    ///
    /// [`Sieve`]: Eviction::Sieve
    /// [`Cause::Size`]: crate::Cause::Size
    ///
    /// Einziger, Eytan, Friedman and Manes, "Adaptive software cache
    /// management" (Middleware '18); Yang et al., "FIFO queues are all you need
    /// for cache eviction" (SOSP '23); Waldspurger, Saemundsson, Ahmad and Park,
    /// "Cache modeling and optimization using miniature simulations" (USENIX
    /// ATC '17); Monteleoni and Jaakkola, "Online learning of non-stationary
    /// sequences" (NIPS '03); by weight, Aggarwal, Wolf and Yu, "Caching on the
    /// World Wide Web" (IEEE Transactions on Knowledge and Data Engineering,
    /// 1999).
    #[default]
    Adaptive,
    /// First in, first out. A new value for a key leaves it in its place.
    ///
    /// Exact with one shard.
    Fifo,
    /// The least recently used leaves. Reads and new values are uses.
    ///
    /// Exact from one thread with one shard. Readers note their hits in a
    /// short log; when many threads fill it at once, some hits go unnoticed.
    Lru,
    /// The least frequently used leaves; among equals, the least recently
    /// used of them. An entry comes in with a count of 1; every hit and every
    /// new value adds 1.
    ///
    /// Exact from one thread with one shard, with the same log as
    /// [`Lru`](Eviction::Lru). [`Eviction::lfu`] is the usual form.
    Lfu {
        /// All counts halve, rounded down, after every `ageing` × capacity
        /// uses (hits, new values and new entries; in a cache bounded by
        /// weight alone, the capacity is the number of entries it holds just
        /// then). `None`: never, and what was hot once may stay for ever.
        ageing: Option<u32>,
    },
    /// SIEVE: a queue with a hand that moves from old to new and pardons what
    /// was read since it last passed. Little to do on a hit, and better than
    /// LRU on web traffic; scans pass through it.
    ///
    /// Zhang et al., "SIEVE is simpler than LRU" (NSDI '24).
    Sieve,
    /// S3-FIFO: newcomers prove themselves in a small queue before they enter
    /// the main one; those that left the small one lately need no second
    /// proof. Good on databases and block storage.
    ///
    /// Yang et al., "FIFO queues are all you need for cache eviction"
    /// (SOSP '23).
    S3Fifo,
    /// W-TinyLFU on clocks: a small window takes every newcomer, and lets it
    /// into the main part only if it was seen more often, lately, than the
    /// entry that would make way.
    ///
    /// Einziger, Friedman and Manes, "TinyLFU: a highly efficient cache
    /// admission policy" (ACM Transactions on Storage, 2017).
    TinyLfu,
    /// As [`Adaptive`](Eviction::Adaptive), but what it maximises is the
    /// *weight* of the entries that are hit: in a cache whose weights are
    /// bytes, the bytes that need not be fetched. Large entries then stay as
    /// easily as small ones; but one that is too large for the window has to
    /// have been asked for more often than the one that would make way, here too.
    AdaptiveByWeight,
}

impl Eviction {
    /// One of each, LFU and the adaptive one in their usual form.
    ///
    /// ```
    /// use larder::Eviction;
    ///
    /// assert!(Eviction::ALL.contains(&Eviction::default()));
    /// ```
    pub const ALL: &'static [Eviction] = &[
        Eviction::Adaptive,
        Eviction::Fifo,
        Eviction::Lru,
        Eviction::lfu(),
        Eviction::Sieve,
        Eviction::S3Fifo,
        Eviction::TinyLfu,
    ];

    /// LFU whose counts halve after every 10 × capacity uses.
    ///
    /// ```
    /// use larder::Eviction;
    ///
    /// assert_eq!(Eviction::lfu(), Eviction::Lfu { ageing: Some(10) });
    /// ```
    pub const fn lfu() -> Self {
        Eviction::Lfu { ageing: Some(10) }
    }
}

/// Makes the policies of a cache, one for each shard. What they learn, they
/// share.
#[derive(Clone)]
pub(crate) struct Policies {
    eviction: Eviction,
    guide: Arc<Guide>,
}

impl Policies {
    pub(crate) fn new(eviction: Eviction) -> Self {
        Policies { eviction, guide: Arc::default() }
    }

    pub(crate) fn eviction(&self) -> Eviction {
        self.eviction
    }

    /// What was learnt so far, for people; empty if nothing is ever learnt.
    pub(crate) fn describe(&self) -> String {
        match self.eviction {
            Eviction::Adaptive | Eviction::AdaptiveByWeight => self.guide.describe(),
            _ => String::new(),
        }
    }

    /// A policy for one more shard.
    pub(crate) fn policy(&self) -> Box<dyn Policy> {
        let adaptive = |favour| Box::new(Adaptive::new(favour, Arc::clone(&self.guide)));
        match self.eviction {
            Eviction::Adaptive => adaptive(Favour::Entries),
            Eviction::AdaptiveByWeight => adaptive(Favour::Weight),
            Eviction::Fifo => Box::new(fifo::Fifo::default()),
            Eviction::Lru => Box::new(lru::Lru::default()),
            Eviction::Lfu { ageing } => Box::new(lfu::Lfu::new(ageing)),
            Eviction::Sieve => Box::new(sieve::Sieve::default()),
            Eviction::S3Fifo => Box::new(s3_fifo::S3Fifo::default()),
            Eviction::TinyLfu => Box::new(tiny_lfu::TinyLfu::default()),
        }
    }
}

/// `adaptive`, `adaptive-by-weight`, `fifo`, `lru`, `lfu`, `lfu-no-ageing`,
/// `lfu-ageing-5`, `sieve`, `s3-fifo` or `tiny-lfu`.
impl fmt::Display for Eviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Eviction::Adaptive => f.write_str("adaptive"),
            Eviction::AdaptiveByWeight => f.write_str("adaptive-by-weight"),
            Eviction::Fifo => f.write_str("fifo"),
            Eviction::Lru => f.write_str("lru"),
            lfu if lfu == Eviction::lfu() => f.write_str("lfu"),
            Eviction::Lfu { ageing: None } => f.write_str("lfu-no-ageing"),
            Eviction::Lfu { ageing: Some(times) } => write!(f, "lfu-ageing-{times}"),
            Eviction::Sieve => f.write_str("sieve"),
            Eviction::S3Fifo => f.write_str("s3-fifo"),
            Eviction::TinyLfu => f.write_str("tiny-lfu"),
        }
    }
}

/// The inverse of `Display`.
///
/// ```
/// use larder::Eviction;
///
/// assert_eq!("s3-fifo".parse(), Ok(Eviction::S3Fifo));
/// let error = "mru".parse::<Eviction>().unwrap_err();
/// assert!(error.to_string().contains("`mru`"));
/// ```
impl FromStr for Eviction {
    type Err = ParseEvictionError;

    fn from_str(name: &str) -> Result<Self, ParseEvictionError> {
        if let Some(policy) = Eviction::ALL.iter().find(|policy| policy.to_string() == name) {
            return Ok(*policy);
        }
        if name == "adaptive-by-weight" {
            return Ok(Eviction::AdaptiveByWeight);
        }
        if name == "lfu-no-ageing" {
            return Ok(Eviction::Lfu { ageing: None });
        }
        name.strip_prefix("lfu-ageing-")
            .and_then(|times| times.parse().ok())
            .map(|times| Eviction::Lfu { ageing: Some(times) })
            .ok_or_else(|| ParseEvictionError { given: name.to_owned() })
    }
}

/// A name that stands for no [`Eviction`].
///
/// ```
/// let error = "mru".parse::<larder::Eviction>().unwrap_err();
/// assert_eq!(error.given(), "mru");
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseEvictionError {
    given: String,
}

impl ParseEvictionError {
    /// The name that was not understood.
    ///
    /// ```
    /// let error = "lfo".parse::<larder::Eviction>().unwrap_err();
    /// assert_eq!(error.given(), "lfo");
    /// ```
    pub fn given(&self) -> &str {
        &self.given
    }
}

impl fmt::Display for ParseEvictionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no eviction policy is called `{}`; there are ", self.given)?;
        for policy in Eviction::ALL {
            write!(f, "{policy}, ")?;
        }
        f.write_str("adaptive-by-weight, lfu-no-ageing and lfu-ageing-N")
    }
}

impl std::error::Error for ParseEvictionError {}

/// Whether a candidate takes the place of the entry that would make way: who
/// has more uses for its weight. Each is `(uses, weight)`.
fn wins(candidate: (u8, u32), victim: (u8, u32)) -> bool {
    let value = |uses: u8, other: u32| u64::from(uses) * u64::from(other.max(1));
    value(candidate.0, victim.1) > value(victim.0, candidate.1)
}

/// The coldest first among entries of which only the noted hits tell them
/// apart; equals stay in the order they are given in.
fn by_hits(slots: impl Iterator<Item = Slot>, all: &dyn Residents) -> Vec<Slot> {
    let mut slots: Vec<Slot> = slots.collect();
    // Asked once each: readers note more meanwhile, and an order that changes
    // while it is made is none.
    slots.sort_by_cached_key(|slot| all.hits(*slot));
    slots
}

#[cfg(test)]
mod tests;
