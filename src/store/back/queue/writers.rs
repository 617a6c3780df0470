//! What writers ask of the queue: room, a place in the order of a key, or the
//! right to call the store themselves.

use super::{
    Admission, Boarding, Change, Flight, Landing, Named, Place, Queue, Record, Ticket, Unpinned,
};
use crate::sync::thread::ThreadId;
use std::hash::Hash;

impl<K: Hash + Eq + Clone, V: Clone> Queue<K, V> {
    /// Makes `key` the one that the queue knows, if it knows an equal one.
    fn meet(&mut self, key: &mut Named<K>) {
        let known = self.records.find(key.hash(), key).map(|(known, _)| known.clone());
        if let Some(known) = known.filter(|known| !known.is(key)) {
            self.trash.push((Some(std::mem::replace(key, known)), None));
        }
    }

    /// Asks for the right to record a change of `key`, and pins it.
    pub(crate) fn admit(&mut self, key: &mut Named<K>) -> Admission {
        if self.is_closed {
            return Admission::Closed;
        }
        self.meet(key);
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
        key: &Named<K>,
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
    pub(super) fn begin_unit(&mut self, key: &Named<K>, now: u64) -> bool {
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
        self.fresh.insert(self.unit, key.clone());
        let waiting = self.fresh.len();
        waiting == 1 || waiting == self.batch || self.unit <= self.hurry
    }

    /// Takes in what the journal has kept from an earlier process, whatever
    /// room there is.
    pub(crate) fn restore(
        &mut self,
        key: &mut Named<K>,
        version: u64,
        change: Change<V>,
        now: u64,
    ) {
        self.meet(key);
        self.pin(key);
        self.pending += 1;
        self.record(key, Ticket { takes_room: false }, (version, change), now);
        self.unpin(key, None);
    }

    /// Boards all of `keys`, which differ, or none.
    pub(crate) fn board_all(&mut self, keys: &mut [Named<K>], owner: Option<ThreadId>) -> Boarding {
        if self.is_closed {
            return Boarding::Closed;
        }
        keys.iter_mut().for_each(|key| self.meet(key));
        let flying = keys.iter().find_map(|key| self.records.get(key)?.flight.as_ref());
        if let Some(flight) = flying {
            let is_mine = owner.is_some() && flight.owner == owner;
            return if is_mine { Boarding::Recursive } else { Boarding::Busy };
        }
        for key in keys {
            self.take_off(key, owner);
        }
        Boarding::Begun
    }

    /// Pins all of `keys`, which differ, for a writer that leaves nothing in the
    /// cache. `false`, and no pin, if the queue is closed.
    pub(crate) fn pass(&mut self, keys: &mut [Named<K>]) -> bool {
        if self.is_closed {
            return false;
        }
        for key in keys {
            self.meet(key);
            self.pin(key);
        }
        true
    }

    /// Puts a pin on `key`, which has been met.
    fn pin(&mut self, key: &Named<K>) {
        if self.records.get(key).is_none() {
            self.filter.add(key.hash());
            self.records.add(key.clone(), Record::new(self.batch));
        }
        let Some(record) = self.records.get_mut(key) else { return };
        record.overlaps += u32::from(record.pins > 0);
        record.pins += 1;
    }

    /// Takes a pin off `key`, once the cache has the change. `cleaned` is the
    /// number that an earlier try returned.
    pub(crate) fn unpin(&mut self, key: &Named<K>, cleaned: Option<u32>) -> Unpinned {
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
    pub(crate) fn distrust(&mut self, key: &Named<K>) {
        if let Some(record) = self.records.get_mut(key) {
            record.overlaps += 1;
        }
    }

    /// Takes the record of `key` out if nothing needs it.
    pub(super) fn sweep(&mut self, key: &Named<K>) {
        if self.records.get(key).is_some_and(|record| record.pins == 0 && !record.is_dirty()) {
            if let Some((key, record)) = self.records.remove(key) {
                self.filter.remove(key.hash());
                self.trash.push((Some(key), record.change.flatten()));
            }
        }
    }

    /// A writer wants to call the store itself, now, for `key`, which has no
    /// unit that waits. If it may, the key is pinned.
    pub(crate) fn board(&mut self, key: &mut Named<K>, owner: Option<ThreadId>) -> Boarding {
        if self.is_closed {
            return Boarding::Closed;
        }
        self.meet(key);
        if let Some(flight) = self.records.get(key).and_then(|record| record.flight.as_ref()) {
            let is_mine = owner.is_some() && flight.owner == owner;
            return if is_mine { Boarding::Recursive } else { Boarding::Busy };
        }
        self.take_off(key, owner);
        Boarding::Begun
    }

    fn take_off(&mut self, key: &Named<K>, owner: Option<ThreadId>) {
        self.pin(key);
        let version = self.next_version();
        self.counts.writes += 1;
        if let Some(record) = self.records.get_mut(key) {
            self.dirty += usize::from(!record.is_dirty());
            record.flight = Some(Flight { version, unit: None, since: 0, owner });
        }
    }

    /// A writer's own call of the store has ended; its pin remains.
    pub(crate) fn land(&mut self, key: &Named<K>, landing: Landing<V>, now: u64) {
        let Some(record) = self.records.get_mut(key) else { return };
        let Some(flight) = record.flight.take() else { return };
        self.counts.stored += u64::from(matches!(landing, Landing::Stored(_)));
        if let Some(unit) = record.unit {
            // Written again meanwhile, which is newer.
            record.place = Place::Fresh;
            record.since = record.since.min(now);
            self.fresh.insert(unit, key.clone());
            self.hasten_if_awaited(key, unit);
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
}
