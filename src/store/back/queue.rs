//! The queue of writes: what is due, what is in flight, what was acknowledged,
//! what is tried again and when.
//!
//! A state machine: no thread, no clock, no user code but `Hash` and `Eq` of
//! keys and `Clone` of values. Time is handed in, in nanoseconds.
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

use super::backoff::Backoff;
use super::filter::Filter;
use crate::hash::DefaultHashBuilder;
use crate::store::errors::{FailedWrite, Failure};
use crate::store::policy::WriteBack;
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::thread::ThreadId;

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
    pub(crate) key: Arc<K>,
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
    key: Option<Arc<K>>,
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
    records: HashMap<Arc<K>, Record<V>, DefaultHashBuilder>,
    /// Units that have not been tried, by age.
    fresh: BTreeMap<u64, Arc<K>>,
    /// Units that wait to be tried again, by time.
    timed: BTreeMap<(u64, u64), Arc<K>>,
    failed: BTreeMap<u64, Arc<K>>,
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
pub(crate) type Trash<K, V> = SmallVec<[(Option<Arc<K>>, Option<V>); 2]>;

impl<K: Hash + Eq + Clone, V: Clone> Queue<K, V> {
    pub(crate) fn new(settings: &WriteBack, filter: Arc<Filter>) -> Self {
        Queue {
            batch: settings.batch,
            delay: crate::expiry::nanos(settings.delay),
            max_dirty: settings.max_dirty,
            max_attempts: settings.max_attempts,
            backoff: Backoff::new(settings),
            records: HashMap::with_hasher(filter.hasher().clone()),
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
    pub(crate) fn look(&self, key: &K) -> Option<Change<V>> {
        self.records.get(key)?.change.clone()
    }

    // --- Writers -----------------------------------------------------------

    /// Asks for the right to record a change of `key`, and pins it.
    pub(crate) fn admit(&mut self, key: &Arc<K>) -> Admission {
        if self.is_closed {
            return Admission::Closed;
        }
        let is_dirty = self.records.get(key).is_some_and(Record::is_dirty);
        if !is_dirty && self.dirty + self.reserved >= self.max_dirty {
            return Admission::Full { dirty: self.dirty };
        }
        self.pending += 1;
        self.reserved += usize::from(!is_dirty);
        self.pin(key);
        Admission::Admitted(Ticket { takes_room: !is_dirty })
    }

    /// The version of the next write. In the order in which they are asked
    /// for, versions are recorded, journaled and stored.
    pub(crate) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// Gives an admitted writer's right back; its pin remains.
    pub(crate) fn withdraw(&mut self, ticket: Ticket) {
        self.pending -= 1;
        self.reserved -= usize::from(ticket.takes_room);
    }

    /// Records a change. Whether a worker should look at it now.
    pub(crate) fn record(
        &mut self,
        key: &Arc<K>,
        ticket: Ticket,
        (version, change): (u64, Change<V>),
        now: u64,
    ) -> bool {
        self.withdraw(ticket);
        self.counts.writes += 1;
        self.version = self.version.max(version);
        let Some(record) = self.records.get_mut(key) else {
            unreachable!("the writer's pin holds the record")
        };
        if record.version > version {
            // A newer write was quicker to get here; this one is part of it.
            self.counts.coalesced += 1;
            self.trash.push((None, change));
            return false;
        }
        let was_dirty = record.is_dirty();
        record.version = version;
        let old = record.change.replace(change);
        self.trash.push((None, old.flatten()));
        record.attempts = 0;
        record.failure = None;
        self.dirty += usize::from(!was_dirty);
        match record.place {
            Place::Fresh | Place::Timed(_) => {
                self.counts.coalesced += 1;
                return false;
            }
            Place::Nowhere if record.unit.is_some() => {
                self.counts.coalesced += 1;
                return false;
            }
            Place::Nowhere => {}
            Place::Failed => {
                let unit = record.unit.take();
                self.failed.remove(&unit.unwrap_or(0));
                record.strikes = 0;
            }
        }
        self.begin_unit(key, now)
    }

    /// A new unit of a record that has none: fresh, or behind a flight.
    fn begin_unit(&mut self, key: &Arc<K>, now: u64) -> bool {
        let Some(record) = self.records.get_mut(key) else { return false };
        self.unit += 1;
        self.units += 1;
        record.unit = Some(self.unit);
        record.since = now;
        if record.flight.is_some() {
            record.place = Place::Nowhere;
            return false;
        }
        record.place = Place::Fresh;
        self.fresh.insert(self.unit, Arc::clone(key));
        let waiting = self.fresh.len();
        waiting == 1 || waiting == self.batch || self.unit <= self.hurry
    }

    /// Takes in what the journal has kept from an earlier process, whatever
    /// room there is.
    pub(crate) fn restore(&mut self, key: &Arc<K>, version: u64, change: Change<V>, now: u64) {
        self.pin(key);
        self.pending += 1;
        self.record(key, Ticket { takes_room: false }, (version, change), now);
        self.unpin(key, None);
    }

    /// Boards all of `keys`, which differ, or none.
    pub(crate) fn board_all(&mut self, keys: &[Arc<K>], owner: Option<ThreadId>) -> Boarding {
        if self.is_closed {
            return Boarding::Closed;
        }
        for flight in keys.iter().filter_map(|key| self.records.get(key)?.flight.as_ref()) {
            let is_mine = owner.is_some() && flight.owner == owner;
            return if is_mine { Boarding::Recursive } else { Boarding::Busy };
        }
        for key in keys {
            self.board(key, owner);
        }
        Boarding::Begun
    }

    /// Puts a pin on `key`.
    fn pin(&mut self, key: &Arc<K>) {
        let record = self.records.entry(Arc::clone(key)).or_insert_with(|| {
            self.filter.add(key);
            Record::new(self.batch)
        });
        record.overlaps += u32::from(record.pins > 0);
        record.pins += 1;
    }

    /// Takes a pin off `key`, once the cache has the change. `cleaned` is the
    /// number that an earlier try returned.
    pub(crate) fn unpin(&mut self, key: &K, cleaned: Option<u32>) -> Unpinned {
        let Some(record) = self.records.get_mut(key) else { return Unpinned::Done };
        let is_settled = record.overlaps == 0 || cleaned == Some(record.overlaps);
        if record.pins == 1 && !is_settled {
            return Unpinned::Overlapped(record.overlaps);
        }
        record.pins -= 1;
        if record.pins == 0 {
            record.overlaps = 0;
        }
        self.sweep(key);
        Unpinned::Done
    }

    /// The cached value of `key` can not be trusted: the last pin to go shall
    /// forget it.
    pub(crate) fn distrust(&mut self, key: &K) {
        if let Some(record) = self.records.get_mut(key) {
            record.overlaps += 1;
        }
    }

    /// Takes the record of `key` out if nothing needs it.
    fn sweep(&mut self, key: &K) {
        if self.records.get(key).is_some_and(|record| record.pins == 0 && !record.is_dirty()) {
            if let Some((key, record)) = self.records.remove_entry(key) {
                self.filter.remove(&key);
                self.trash.push((Some(key), record.change.flatten()));
            }
        }
    }

    /// A writer wants to call the store itself, now, for `key`. If it may, the
    /// key is pinned.
    pub(crate) fn board(&mut self, key: &Arc<K>, owner: Option<ThreadId>) -> Boarding {
        if self.is_closed {
            return Boarding::Closed;
        }
        if let Some(flight) = self.records.get(key).and_then(|record| record.flight.as_ref()) {
            let is_mine = owner.is_some() && flight.owner == owner;
            return if is_mine { Boarding::Recursive } else { Boarding::Busy };
        }
        self.pin(key);
        let version = self.next_version();
        self.counts.writes += 1;
        if let Some(record) = self.records.get_mut(key) {
            self.dirty += usize::from(!record.is_dirty());
            record.flight = Some(Flight { version, unit: None, since: 0, owner });
        }
        Boarding::Begun
    }

    /// A writer's own call of the store has ended; its pin remains.
    pub(crate) fn land(&mut self, key: &Arc<K>, landing: Landing<V>, now: u64) {
        let Some(record) = self.records.get_mut(key) else { return };
        let Some(flight) = record.flight.take() else { return };
        self.counts.stored += u64::from(matches!(landing, Landing::Stored(_)));
        if let Some(unit) = record.unit {
            // Written again meanwhile, which is newer.
            record.place = Place::Fresh;
            record.since = record.since.min(now);
            self.fresh.insert(unit, Arc::clone(key));
            return;
        }
        self.dirty -= 1;
        match landing {
            Landing::Stored(change) => {
                let old = record.change.replace(change);
                self.trash.push((None, old.flatten()));
                record.version = flight.version;
            }
            Landing::Refused => {}
            Landing::Unknown => {
                self.trash.push((None, record.change.take().flatten()));
                record.overlaps += 1;
            }
        }
    }

    // --- Workers -----------------------------------------------------------

    /// When there will be something to do; `None` if nothing is waiting.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let timed = self.timed.keys().next().map(|(due, _)| *due);
        let fresh = self.fresh.iter().next().map(|(unit, key)| self.fresh_due(*unit, key));
        timed.into_iter().chain(fresh).min()
    }

    fn fresh_due(&self, unit: u64, key: &Arc<K>) -> u64 {
        if unit <= self.hurry || self.fresh.len() >= self.batch {
            return 0;
        }
        self.records.get(key).map_or(0, |record| record.since.saturating_add(self.delay))
    }

    /// Takes a batch that is due, if there is one.
    pub(crate) fn take(&mut self, now: u64) -> Option<Work<K, V>> {
        let timed = self.timed.keys().next().map(|(due, _)| *due).filter(|due| *due <= now);
        let fresh = self.fresh.iter().next().map(|(unit, key)| self.fresh_due(*unit, key));
        let fresh = fresh.filter(|due| *due <= now);
        let mut work = Work { writes: Vec::new(), deletes: Vec::new() };
        match (timed, fresh) {
            (None, None) => return None,
            // A crowd of retries must not keep what is new waiting, nor the
            // other way round: whoever has waited longer.
            (Some(timed), Some(fresh)) if fresh < timed => self.take_fresh(&mut work),
            (None, Some(_)) => self.take_fresh(&mut work),
            (Some(_), _) => self.take_timed(now, &mut work),
        }
        Some(work)
    }

    fn take_fresh(&mut self, work: &mut Work<K, V>) {
        for _ in 0..self.batch {
            let Some((_, key)) = self.fresh.pop_first() else { break };
            self.depart(key, work);
        }
    }

    /// Those that may share a batch, of those that are due.
    fn take_timed(&mut self, now: u64, work: &mut Work<K, V>) {
        let mut limit = None;
        let mut taken = 0;
        while let Some(first) = self.timed.first_entry() {
            let own = self.records.get(first.get()).map_or(1, |record| record.limit);
            let limit = *limit.get_or_insert(own);
            if first.key().0 > now || own != limit || taken >= limit {
                break;
            }
            let key = first.remove();
            taken += 1;
            self.depart(key, work);
        }
    }

    fn depart(&mut self, key: Arc<K>, work: &mut Work<K, V>) {
        let Some(record) = self.records.get_mut(&key) else { return };
        let Some(change) = record.change.clone() else { return };
        let version = record.version;
        let (unit, since) = (record.unit.take(), record.since);
        record.place = Place::Nowhere;
        record.flight = Some(Flight { version, unit, since, owner: None });
        let list = if change.is_some() { &mut work.writes } else { &mut work.deletes };
        list.push(Item { key, version, change });
    }

    /// What became of an item that was taken.
    pub(crate) fn finish(&mut self, item: &Item<K, V>, verdict: Verdict, now: u64) {
        let key = &item.key;
        let Some(record) = self.records.get_mut(key) else { return };
        let Some(flight) = record.flight.take() else { return };
        debug_assert_eq!(flight.version, item.version, "one flight a key");
        match verdict {
            Verdict::Stored => {
                self.counts.stored += 1;
                (record.strikes, record.attempts, record.limit) = (0, 0, self.batch);
                match record.unit {
                    Some(unit) => {
                        record.place = Place::Fresh;
                        self.fresh.insert(unit, Arc::clone(key));
                    }
                    None => self.dirty -= 1,
                }
                self.resolve(key, flight.unit);
                self.sweep(key);
            }
            Verdict::Failed(failure) => {
                let limit = record.limit;
                self.fail(key, flight, (failure, true, limit), now);
            }
            Verdict::FailedAmong(1, failure) => {
                self.fail(key, flight, (failure, true, 1), now);
            }
            Verdict::FailedAmong(size, failure) => {
                self.fail(key, flight, (failure, false, size.div_ceil(2)), now);
            }
            Verdict::Cancelled => {
                let superseded = record.unit.take();
                (record.unit, record.since) = (flight.unit, flight.since);
                self.resolve(key, superseded);
                match self.is_over {
                    true => self.bury(key),
                    false => self.schedule(key, now),
                }
            }
        }
    }

    fn fail(
        &mut self,
        key: &Arc<K>,
        flight: Flight,
        (failure, is_own_fault, limit): (Failure, bool, usize),
        now: u64,
    ) {
        self.counts.failures += 1;
        let Some(record) = self.records.get_mut(key) else { return };
        record.strikes += 1;
        record.limit = limit;
        // What was put meanwhile is newer and takes over its place in the line:
        // a flush that waits for the older one now waits for this.
        let superseded = record.unit.take();
        if superseded.is_none() {
            record.attempts += u32::from(is_own_fault);
            record.failure = Some(failure);
        }
        (record.unit, record.since) = (flight.unit, flight.since);
        let is_dead = record.attempts >= self.max_attempts;
        let due = now.saturating_add(self.backoff.after(record.strikes));
        self.resolve(key, superseded);
        if is_dead || self.is_over {
            self.bury(key);
        } else {
            self.schedule(key, due);
        }
    }

    /// Both halves of a split batch have strikes alike, so without this they
    /// would come due at moments of their own, one by one.
    pub(crate) fn align(&mut self, items: &[Item<K, V>], now: u64) {
        let half = items.len().div_ceil(2);
        for group in items.chunks(half.max(1)) {
            let strikes = group.iter().filter_map(|item| self.records.get(&item.key));
            let strikes = strikes.map(|record| record.strikes).max().unwrap_or(1);
            let due = now.saturating_add(self.backoff.after(strikes));
            for item in group {
                self.schedule(&item.key, due);
            }
        }
    }

    /// Moves a unit that waits to be tried to another time.
    fn schedule(&mut self, key: &Arc<K>, due: u64) {
        let Some(record) = self.records.get_mut(key) else { return };
        let Some(unit) = record.unit else { return };
        match record.place {
            Place::Failed => return,
            Place::Timed(was) => drop(self.timed.remove(&(was, unit))),
            Place::Fresh => drop(self.fresh.remove(&unit)),
            Place::Nowhere if record.flight.is_some() => return,
            Place::Nowhere => {}
        }
        record.place = Place::Timed(due);
        self.timed.insert((due, unit), Arc::clone(key));
    }

    /// Gives a unit up: into the failed set, and told as a dead letter, unless
    /// it was told when everything ended.
    fn bury(&mut self, key: &Arc<K>) {
        let Some(record) = self.records.get_mut(key) else { return };
        let Some(unit) = record.unit else { return };
        record.place = Place::Failed;
        self.failed.insert(unit, Arc::clone(key));
        if !self.is_over {
            self.counts.dead += 1;
            self.dead.extend(record.failed_write(key, false));
        }
        self.resolve(key, Some(unit));
    }

    /// Dead letters since the last call.
    pub(crate) fn take_dead(&mut self) -> Vec<FailedWrite<K, V>> {
        std::mem::take(&mut self.dead)
    }

    // --- Flushing and closing ----------------------------------------------

    /// Hastens all that was written so far, or `key` alone, and returns a
    /// number to ask [`is_reached`](Queue::is_reached) with.
    pub(crate) fn barrier(&mut self, key: Option<&K>) -> u64 {
        let mut upto = self.unit;
        let key = key.map(|key| self.records.get_key_value(key).map(|(key, _)| Arc::clone(key)));
        let (key, remaining) = match key {
            None => {
                self.hurry = upto;
                (None, self.units)
            }
            Some(None) => {
                upto = 0;
                (None, 0)
            }
            Some(Some(key)) => {
                let units = self.records.get(&key).map_or(0, Record::units);
                if self.records.get(&key).is_some_and(|record| record.place == Place::Fresh) {
                    self.schedule(&key, 0);
                }
                (Some(key), units)
            }
        };
        let id = self.next_barrier;
        self.next_barrier += 1;
        self.barriers.push(Barrier { id, upto, key, remaining });
        id
    }

    /// How many units a barrier still waits for.
    pub(crate) fn remaining(&self, id: u64) -> usize {
        self.barriers.iter().find(|barrier| barrier.id == id).map_or(0, |b| b.remaining)
    }

    pub(crate) fn is_reached(&self, id: u64) -> bool {
        self.remaining(id) == 0
    }

    /// Ends a barrier. The keys whose write from before it has failed.
    pub(crate) fn lift(&mut self, id: u64) -> Vec<K> {
        let Some(at) = self.barriers.iter().position(|barrier| barrier.id == id) else {
            return Vec::new();
        };
        let barrier = self.barriers.swap_remove(at);
        self.trash.push((barrier.key.clone(), None));
        let is_meant = |key: &Arc<K>| barrier.key.as_ref().is_none_or(|own| own == key);
        let failed = self.failed.range(..=barrier.upto).map(|(_, key)| key);
        failed.filter(|key| is_meant(key)).map(|key| K::clone(key)).collect()
    }

    fn resolve(&mut self, key: &Arc<K>, unit: Option<u64>) {
        let Some(unit) = unit else { return };
        self.units -= 1;
        for barrier in &mut self.barriers {
            let is_meant = barrier.key.as_ref().is_none_or(|own| own == key);
            if is_meant && unit <= barrier.upto {
                barrier.remaining -= 1;
            }
        }
    }

    /// Refuses further writes, and hastens all that waits: also what waits to
    /// be tried again, once.
    pub(crate) fn close(&mut self) {
        if self.is_closed {
            return;
        }
        self.is_closed = true;
        self.hurry = u64::MAX;
        let waiting: Vec<Arc<K>> = self.timed.values().cloned().collect();
        for key in waiting {
            self.schedule(&key, 0);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether all that was admitted has been stored or given up.
    pub(crate) fn is_drained(&self) -> bool {
        self.units == 0 && self.pending == 0
    }

    /// Ends everything: gives up what waits, and takes no more retries.
    /// Returns the keys that were waiting and those in flight.
    pub(crate) fn abandon(&mut self) -> (Vec<K>, Vec<K>) {
        self.is_closed = true;
        let waiting: Vec<Arc<K>> =
            self.fresh.values().chain(self.timed.values()).cloned().collect();
        self.fresh.clear();
        self.timed.clear();
        for key in &waiting {
            if let Some(record) = self.records.get_mut(key) {
                record.failure.get_or_insert(Failure::Closed);
            }
            self.bury(key);
        }
        self.is_over = true;
        let mut in_flight = Vec::new();
        for (key, record) in self.records.iter().filter(|(_, record)| record.is_under_way()) {
            self.counts.dead += 1;
            self.dead.extend(record.failed_write(key, true));
            in_flight.push(K::clone(key));
        }
        (waiting.iter().map(|key| K::clone(key)).collect(), in_flight)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    // --- The failed set ----------------------------------------------------

    pub(crate) fn failed(&self) -> Vec<FailedWrite<K, V>> {
        let records = self.failed.values().filter_map(|key| Some((key, self.records.get(key)?)));
        records.filter_map(|(key, record)| record.failed_write(key, false)).collect()
    }

    pub(crate) fn failed_keys(&self) -> Vec<K> {
        self.failed.values().map(|key| K::clone(key)).collect()
    }

    /// Gives every failed write another `max_attempts`. How many there were.
    pub(crate) fn retry_failed(&mut self, now: u64) -> usize {
        if self.is_closed {
            return 0;
        }
        let failed = std::mem::take(&mut self.failed);
        for key in failed.values() {
            let version = self.next_version();
            if let Some(record) = self.records.get_mut(key) {
                record.version = version;
                (record.attempts, record.strikes, record.unit) = (0, 0, None);
            }
            self.begin_unit(key, now);
        }
        self.hurry = self.unit;
        failed.len()
    }

    /// Gives the failed writes up for good; they are pinned, so that their
    /// cached values can be forgotten, with their versions.
    pub(crate) fn discard_failed(&mut self) -> Vec<(Arc<K>, u64, Option<FailedWrite<K, V>>)> {
        let failed = std::mem::take(&mut self.failed);
        let mut discarded = Vec::with_capacity(failed.len());
        for key in failed.into_values() {
            let Some(record) = self.records.get_mut(&key) else { continue };
            let write = record.failed_write(&key, false);
            let version = record.version;
            record.unit = None;
            record.place = Place::Nowhere;
            self.trash.push((None, record.change.take().flatten()));
            record.overlaps += 1;
            record.pins += 1;
            self.dirty -= 1;
            discarded.push((key, version, write));
        }
        discarded
    }

    // --- Statistics --------------------------------------------------------

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

    fn failed_write<K: Clone>(&self, key: &Arc<K>, is_in_flight: bool) -> Option<FailedWrite<K, V>>
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
