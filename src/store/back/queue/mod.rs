//! The queue of writes: what is due, what is in flight, what was acknowledged,
//! what is tried again and when.
//!
//! A state machine: no thread, no clock, no user code but `Eq` of a key that is
//! met, before anything is changed, and `Clone` of keys and values. Time is handed in, in nanoseconds.
//!
//! ```text
//!                put                 take                    stored
//!   (no record) ─────► fresh ───────────────► in flight ───────────────► gone
//!                        ▲                      │   ▲
//!                        │ put during flight    │   │ take, when due
//!                        └────── stored ────────┤   │
//!                                               ▼   │
//!                                    failed:   timed ──► failed set, after
//!                                                        max_attempts
//! ```
//!
//! Each write has a version. A record keeps the newest change of its key. All
//! changes of a key that no batch has taken yet are one *unit*, numbered when
//! the first of them was recorded; units are what flushes wait for. A batch
//! carries the versions it took, and acknowledges those; what was put meanwhile
//! is another unit.
//!
//! A *pin* is held by a writer from before its change is recorded until the
//! cache has it. Writers of one key may reach the cache in another order than
//! the queue; as long as there is a pin, the record stays and is what readers
//! see, and where pins overlapped the last one to go forgets the cached value.
//! A pin on a record without a change says that somebody is writing the key.

mod failed;
mod flushing;
mod records;
#[cfg(all(test, not(larder_loom), not(larder_shuttle)))]
mod tests;
mod workers;
mod writers;

use super::backoff::Backoff;
use super::filter::Filter;
use crate::store::errors::{FailedWrite, Failure};
use crate::store::policy::WriteBack;
use crate::sync::thread::ThreadId;
use records::Records;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

pub(crate) use records::Named;

/// What a write does to its key: a value, or the absence of one.
pub(crate) type Change<V> = Option<V>;

struct Record<V> {
    /// What readers see; `None`: whatever the cache and the store say.
    change: Option<Change<V>>,
    /// Of `change`.
    version: u64,
    /// The unit that is not stored and in no batch.
    unit: Option<u64>,
    /// When that began.
    since: u64,
    place: Place,
    flight: Option<Flight>,
    /// Tries that have failed, of this value.
    attempts: u32,
    /// Tries that have failed since the key was last stored.
    strikes: u32,
    /// The largest batch that it may be in: smaller after each split.
    limit: usize,
    failure: Option<Failure>,
    pins: u32,
    /// How often a pin was added beside another.
    overlaps: u32,
}

/// Where the unit of a record waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// No unit, or the key is in flight and the unit waits for that.
    Nowhere,
    Fresh,
    Timed(u64),
    Failed,
}

struct Flight {
    version: u64,
    /// The unit that it carries; `None` for a call that a writer makes itself.
    unit: Option<u64>,
    since: u64,
    owner: Option<ThreadId>,
}

/// The right to record one change of a key.
#[derive(Debug)]
#[must_use]
pub(crate) struct Ticket {
    takes_room: bool,
}

/// What a writer is told that asks to write a key.
#[derive(Debug)]
pub(crate) enum Admission {
    Admitted(Ticket),
    Full { dirty: usize },
    Closed,
}

/// What a writer is told that wants to call the store itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Boarding {
    Begun,
    /// A call for this key is under way.
    Busy,
    /// By this very thread, further up its stack.
    Recursive,
    Closed,
}

/// How a writer's own call of the store has ended.
pub(crate) enum Landing<V> {
    Stored(Change<V>),
    Refused,
    /// The store may have it or not: the cached value must be forgotten.
    Unknown,
}

/// What a reader is told that has just had a key's row from the store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hindsight<V> {
    /// Nobody is writing the key.
    Calm,
    /// Somebody is. The row may be of before that or of after it, and what
    /// others have read meanwhile may be older.
    Unsettled,
    /// It has been changed meanwhile.
    Changed(Change<V>),
}

/// What a writer is told that has finished with the cache.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unpinned {
    Done,
    /// Others wrote the key at the same time: forget the cached value, then
    /// unpin again with this number.
    Overlapped(u32),
}

/// One change in a batch.
pub(crate) struct Item<K, V> {
    pub(crate) key: Named<K>,
    pub(crate) version: u64,
    pub(crate) change: Change<V>,
}

/// What a worker shall do: writes and deletes, one call of the store each.
pub(crate) struct Work<K, V> {
    pub(crate) writes: Vec<Item<K, V>>,
    pub(crate) deletes: Vec<Item<K, V>>,
}

/// What became of one item.
pub(crate) enum Verdict {
    Stored,
    /// This very item is to blame.
    Failed(Failure),
    /// A batch of this size failed, and nobody knows which item is to blame.
    FailedAmong(usize, Failure),
    /// The call was given up before it had answered.
    Cancelled,
}

/// Who waits for what.
struct Barrier<K> {
    id: u64,
    upto: u64,
    key: Option<Named<K>>,
    remaining: usize,
}

/// Counters for the statistics.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) writes: u64,
    pub(crate) coalesced: u64,
    pub(crate) stored: u64,
    pub(crate) failures: u64,
    pub(crate) dead: u64,
}

pub(crate) struct Queue<K, V> {
    batch: usize,
    delay: u64,
    max_dirty: usize,
    max_attempts: u32,
    backoff: Backoff,
    records: Records<K, V>,
    /// Units that have not been tried, by age.
    fresh: BTreeMap<u64, Named<K>>,
    /// Units that wait to be tried again, by time.
    timed: BTreeMap<(u64, u64), Named<K>>,
    failed: BTreeMap<u64, Named<K>>,
    /// Records that are not stored.
    dirty: usize,
    /// Admitted writers that will add another one.
    reserved: usize,
    /// Writers that were admitted and have not recorded yet.
    pending: usize,
    /// Fresh units up to this version do not wait for others.
    hurry: u64,
    version: u64,
    unit: u64,
    /// Units that are neither stored nor given up.
    units: usize,
    barriers: Vec<Barrier<K>>,
    next_barrier: u64,
    is_closed: bool,
    is_over: bool,
    dead: Vec<FailedWrite<K, V>>,
    filter: Arc<Filter>,
    /// What was put aside, to be dropped after the lock.
    pub(crate) trash: Trash<K, V>,
    pub(crate) counts: Counts,
}

/// Keys and values whose `Drop` is the user's code.
pub(crate) type Trash<K, V> = SmallVec<[(Option<Named<K>>, Option<V>); 2]>;

impl<K: Hash + Eq + Clone, V: Clone> Queue<K, V> {
    pub(crate) fn new(settings: &WriteBack, filter: Arc<Filter>) -> Self {
        Queue {
            batch: settings.batch,
            delay: crate::expiry::nanos(settings.delay),
            max_dirty: settings.max_dirty,
            max_attempts: settings.max_attempts,
            backoff: Backoff::new(settings),
            records: Records::new(),
            fresh: BTreeMap::new(),
            timed: BTreeMap::new(),
            failed: BTreeMap::new(),
            dirty: 0,
            reserved: 0,
            pending: 0,
            hurry: 0,
            version: 0,
            unit: 0,
            units: 0,
            barriers: Vec::new(),
            next_barrier: 0,
            is_closed: false,
            is_over: false,
            dead: Vec::new(),
            filter,
            trash: Trash::new(),
            counts: Counts::default(),
        }
    }

    /// What a reader sees of `key`, if the queue has a say.
    pub(crate) fn look(&self, hash: u64, key: &K) -> Option<Change<V>> {
        self.records.find(hash, key)?.1.change.clone()
    }

    /// What has happened to `key` while its row was read.
    pub(crate) fn look_back(&self, hash: u64, key: &K) -> Hindsight<V> {
        match self.records.find(hash, key) {
            None => Hindsight::Calm,
            Some((_, record)) => match &record.change {
                Some(change) => Hindsight::Changed(change.clone()),
                None => Hindsight::Unsettled,
            },
        }
    }

    pub(crate) fn dirty(&self) -> usize {
        self.dirty
    }

    pub(crate) fn failed_len(&self) -> usize {
        self.failed.len()
    }

    /// When the oldest write that is not stored was made.
    pub(crate) fn oldest_since(&self) -> Option<u64> {
        let since = |record: &Record<V>| {
            let waiting = record.unit.map(|_| record.since);
            let flying = record.flight.as_ref().and_then(|f| f.unit.map(|_| f.since));
            waiting.into_iter().chain(flying).min()
        };
        self.records.values().filter_map(since).min()
    }
}

impl<V> Record<V> {
    fn new(batch: usize) -> Self {
        Record {
            change: None,
            version: 0,
            unit: None,
            since: 0,
            place: Place::Nowhere,
            flight: None,
            attempts: 0,
            strikes: 0,
            limit: batch,
            failure: None,
            pins: 0,
            overlaps: 0,
        }
    }

    fn is_dirty(&self) -> bool {
        self.unit.is_some() || self.flight.is_some()
    }

    /// Whether a queued write of it is in a call of the store, or waits for
    /// such a call to end.
    fn is_under_way(&self) -> bool {
        let is_flying = self.flight.as_ref().is_some_and(|flight| flight.unit.is_some());
        is_flying || (self.place == Place::Nowhere && self.unit.is_some())
    }

    /// Units that are neither stored nor given up.
    fn units(&self) -> usize {
        let waiting = self.unit.is_some() && self.place != Place::Failed;
        let flying = self.flight.as_ref().is_some_and(|flight| flight.unit.is_some());
        usize::from(waiting) + usize::from(flying)
    }

    fn failed_write<K: Clone>(
        &self,
        key: &Named<K>,
        is_in_flight: bool,
    ) -> Option<FailedWrite<K, V>>
    where
        V: Clone,
    {
        Some(FailedWrite {
            key: K::clone(key),
            value: self.change.clone()?,
            attempts: self.attempts,
            failure: self.failure.clone().unwrap_or(Failure::Closed),
            is_in_flight,
        })
    }
}
