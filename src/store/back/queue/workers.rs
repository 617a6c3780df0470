//! What workers ask of the queue: what is due, and what follows from what came
//! of it.

use super::{Change, Flight, Item, Named, Place, Queue, Verdict, Work};
use crate::steady::Steady;
use crate::store::errors::{FailedWrite, Failure};
use std::hash::Hash;

impl<K: Hash + Eq + Clone, V: Clone> Queue<K, V> {
    /// When there will be something to do; `None` if nothing is waiting.
    pub(crate) fn next_due(&self) -> Option<u64> {
        let timed = self.timed.keys().next().map(|(due, _)| *due);
        let fresh = self.fresh.iter().next().map(|(unit, key)| self.fresh_due(*unit, key));
        timed.into_iter().chain(fresh).min()
    }

    pub(super) fn fresh_due(&self, unit: u64, key: &Named<K>) -> u64 {
        if unit <= self.hurry || self.fresh.len() >= self.batch {
            return 0;
        }
        self.records.get(key).map_or(0, |record| record.since.saturating_add(self.delay))
    }

    /// Since when a fresh unit has been due: since it was put, if something has
    /// hastened it.
    fn waiting_since(&self, unit: u64, key: &Named<K>) -> u64 {
        let since = self.records.get(key).map_or(0, |record| record.since);
        self.fresh_due(unit, key).max(since)
    }

    /// Takes a batch that is due, if there is one.
    pub(crate) fn take(&mut self, now: u64) -> Option<Work<K, V>> {
        let timed = self.timed.keys().next().map(|(due, _)| *due).filter(|due| *due <= now);
        let fresh = self.fresh.iter().next();
        let fresh = fresh.filter(|(unit, key)| self.fresh_due(**unit, key) <= now);
        let fresh = fresh.map(|(unit, key)| self.waiting_since(*unit, key));
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

    pub(super) fn take_fresh(&mut self, work: &mut Work<K, V>) {
        let keys: Vec<Named<K>> = self.fresh.values().take(self.batch).cloned().collect();
        self.depart(keys, work);
    }

    /// Those that may share a batch, of those that are due.
    pub(super) fn take_timed(&mut self, now: u64, work: &mut Work<K, V>) {
        let limit_of = |key: &Named<K>| self.records.get(key).map_or(1, |record| record.limit);
        let Some(limit) = self.timed.values().next().map(limit_of) else { return };
        let due = self.timed.iter().take(limit).take_while(|((due, _), _)| *due <= now);
        let keys = due.map(|(_, key)| key).take_while(|key| limit_of(key) == limit);
        let keys: Vec<Named<K>> = keys.cloned().collect();
        self.depart(keys, work);
    }

    pub(super) fn depart(&mut self, keys: Vec<Named<K>>, work: &mut Work<K, V>) {
        // First all the clones: if one panics, nothing has changed.
        let change = |key: &Named<K>| self.records.get(key).and_then(|r| r.change.clone());
        let changes: Vec<Option<Change<V>>> = keys.iter().map(change).collect();
        for (key, change) in keys.into_iter().zip(changes) {
            let Some(record) = self.records.get_mut(&key) else { continue };
            let (Some(unit), Some(change)) = (record.unit.take(), change) else { continue };
            match record.place {
                Place::Timed(due) => drop(self.timed.remove(&(due, unit))),
                _ => drop(self.fresh.remove(&unit)),
            }
            let (version, since) = (record.version, record.since);
            record.place = Place::Nowhere;
            record.flight = Some(Flight { version, unit: Some(unit), since, owner: None });
            let list = if change.is_some() { &mut work.writes } else { &mut work.deletes };
            list.push(Item { key, version, change });
        }
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
                        self.fresh.insert(unit, key.clone());
                        self.hasten_if_awaited(key, unit);
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

    pub(super) fn fail(
        &mut self,
        key: &Named<K>,
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
    pub(super) fn schedule(&mut self, key: &Named<K>, due: u64) {
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
        self.timed.insert((due, unit), key.clone());
    }

    /// Gives a unit up: into the failed set, and told as a dead letter, unless
    /// it was told when everything ended.
    pub(super) fn bury(&mut self, key: &Named<K>) {
        let Some(record) = self.records.get_mut(key) else { return };
        let Some(unit) = record.unit else { return };
        // A clone that panics costs no more than the letter.
        let mut steady = Steady::default();
        let letter = steady.step(|| (!self.is_over).then(|| record.failed_write(key, false)));
        record.place = Place::Failed;
        self.failed.insert(unit, key.clone());
        if !self.is_over {
            self.counts.dead += 1;
            self.dead.extend(letter.flatten().flatten());
        }
        self.resolve(key, Some(unit));
        steady.finish();
    }

    /// Dead letters since the last call.
    pub(crate) fn take_dead(&mut self) -> Vec<FailedWrite<K, V>> {
        std::mem::take(&mut self.dead)
    }
}
