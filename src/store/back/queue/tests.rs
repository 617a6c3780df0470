//! The queue alone: any order of what writers, workers and flushes may do, with
//! its books checked after every step.

use super::*;
use proptest::prelude::*;
use std::time::Duration;

const KEYS: u8 = 4;

impl Queue<u8, u32> {
    /// Counts everything anew, and compares.
    fn check_books(&self) {
        let records = || self.records.values();
        assert_eq!(self.dirty, records().filter(|record| record.is_dirty()).count());
        assert_eq!(self.units, records().map(Record::units).sum::<usize>());
        for (key, record) in self.records.iter() {
            let (unit, place) = (record.unit, record.place);
            let is_at = |wanted: bool, found: Option<&Named<u8>>| {
                let is_found = found.is_some_and(|found| found.is(key));
                assert_eq!(wanted, is_found, "{} is in {place:?}", **key);
            };
            is_at(place == Place::Fresh, self.fresh.get(&unit.unwrap_or(0)));
            is_at(place == Place::Failed, self.failed.get(&unit.unwrap_or(0)));
            if let Place::Timed(due) = place {
                is_at(true, self.timed.get(&(due, unit.unwrap_or(0))));
            }
            assert!(self.filter.may_have(key.hash()));
            assert!(record.pins > 0 || record.is_dirty(), "{} is of no use", **key);
        }
        let waiting = |wanted: fn(&Place) -> bool| {
            self.records.values().filter(|record| wanted(&record.place)).count()
        };
        assert_eq!(self.fresh.len(), waiting(|place| *place == Place::Fresh));
        assert_eq!(self.timed.len(), waiting(|place| matches!(place, Place::Timed(_))));
        assert_eq!(self.failed.len(), waiting(|place| *place == Place::Failed));
        for barrier in &self.barriers {
            let is_meant = |key: &Named<u8>| barrier.key.as_ref().is_none_or(|own| own.is(key));
            let units =
                self.records.iter().filter(|(key, _)| is_meant(key)).flat_map(|(_, record)| {
                    let waiting = record.unit.filter(|_| record.place != Place::Failed);
                    waiting.into_iter().chain(record.flight.as_ref().and_then(|flight| flight.unit))
                });
            let remaining = units.filter(|unit| *unit <= barrier.upto).count();
            assert_eq!(barrier.remaining, remaining);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Option<u32>),
    /// A put that is admitted now, and recorded or withdrawn later.
    Admit(u8),
    Record(usize, bool),
    Take,
    Finish(usize, u8),
    Board(u8),
    Land(usize, u8),
    Barrier(Option<u8>),
    Lift(usize),
    Retry,
    Discard,
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS;
    let at = || 0..8_usize;
    prop_oneof![
        4 => (key(), any::<Option<u32>>()).prop_map(|(key, change)| Step::Put(key, change)),
        1 => key().prop_map(Step::Admit),
        2 => (at(), any::<bool>()).prop_map(|(at, is_kept)| Step::Record(at, is_kept)),
        4 => Just(Step::Take),
        5 => (at(), 0..4_u8).prop_map(|(at, verdict)| Step::Finish(at, verdict)),
        1 => key().prop_map(Step::Board),
        2 => (at(), 0..3_u8).prop_map(|(at, landing)| Step::Land(at, landing)),
        1 => prop::option::of(key()).prop_map(Step::Barrier),
        1 => at().prop_map(Step::Lift),
        1 => Just(Step::Retry),
        1 => Just(Step::Discard),
        3 => (0..40_u64).prop_map(Step::Advance),
    ]
}

/// A queue, what is under way around it, and what should be true.
struct Trial {
    queue: Queue<u8, u32>,
    now: u64,
    admitted: Vec<(Named<u8>, Ticket, u64)>,
    flying: Vec<Item<u8, u32>>,
    boarded: Vec<Named<u8>>,
    barriers: Vec<u64>,
    /// The last version of each key that was stored.
    stored: [u64; KEYS as usize],
}

impl Trial {
    fn new() -> Self {
        let nanos = Duration::from_nanos;
        let settings = WriteBack::new()
            .batch(2)
            .delay(nanos(10))
            .max_dirty(3)
            .backoff(nanos(4), nanos(32))
            .max_attempts(2)
            .seed(1);
        Trial {
            queue: Queue::new(&settings, Arc::new(Filter::new())),
            now: 0,
            admitted: Vec::new(),
            flying: Vec::new(),
            boarded: Vec::new(),
            barriers: Vec::new(),
            stored: [0; KEYS as usize],
        }
    }

    fn named(&self, key: u8) -> Named<u8> {
        Named::new(key, self.queue.filter.hasher())
    }

    fn unpin(&mut self, key: &Named<u8>) {
        if let Unpinned::Overlapped(overlaps) = self.queue.unpin(key, None) {
            assert_eq!(self.queue.unpin(key, Some(overlaps)), Unpinned::Done);
        }
    }

    fn admit(&mut self, key: u8) {
        let mut key = self.named(key);
        match self.queue.admit(&mut key) {
            Admission::Admitted(ticket) => {
                let version = self.queue.next_version();
                self.admitted.push((key, ticket, version));
            }
            Admission::Full { dirty } => assert!(dirty <= 3 + self.boarded.len()),
            Admission::Closed => unreachable!("nobody closes"),
        }
    }

    fn record(&mut self, at: usize, change: Option<Change<u32>>) {
        if self.admitted.is_empty() {
            return;
        }
        let (key, ticket, version) = self.admitted.remove(at % self.admitted.len());
        match change {
            Some(change) => drop(self.queue.record(&key, ticket, (version, change), self.now)),
            None => self.queue.withdraw(ticket),
        }
        self.unpin(&key);
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::Put(key, change) => {
                self.admit(key);
                let at = self.admitted.iter().position(|(other, ..)| **other == key);
                if let Some(at) = at {
                    self.record(at, Some(change));
                }
            }
            Step::Admit(key) => self.admit(key),
            Step::Record(at, is_kept) => self.record(at, is_kept.then_some(Some(7))),
            Step::Take => {
                if let Some(work) = self.queue.take(self.now) {
                    let items = work.writes.into_iter().chain(work.deletes);
                    for item in items {
                        let flies = self.flying.iter().any(|other| *other.key == *item.key);
                        assert!(!flies, "two calls for one key");
                        assert!(item.version > self.stored[usize::from(*item.key)]);
                        self.flying.push(item);
                    }
                }
            }
            Step::Finish(at, verdict) => self.finish(at, verdict),
            Step::Board(key) => {
                let mut key = self.named(key);
                let record = self.queue.records.find(key.hash(), &key);
                let waits = record.is_some_and(|(_, record)| record.unit.is_some());
                if !waits && self.queue.board(&mut key, None) == Boarding::Begun {
                    self.boarded.push(key);
                }
            }
            Step::Land(at, landing) => self.land(at, landing),
            Step::Barrier(key) => {
                let key = key.map(|key| (self.named(key).hash(), key));
                let key = key.as_ref().map(|(hash, key)| (*hash, key));
                self.barriers.push(self.queue.barrier(key));
            }
            Step::Lift(at) => {
                if !self.barriers.is_empty() {
                    let id = self.barriers.remove(at % self.barriers.len());
                    self.queue.lift(id);
                }
            }
            Step::Retry => drop(self.queue.retry_failed(self.now)),
            Step::Discard => {
                for (key, ..) in self.queue.discard_failed() {
                    self.unpin(&key);
                }
            }
            Step::Advance(by) => self.now += by,
        }
        self.queue.trash.clear();
        self.queue.check_books();
    }

    fn finish(&mut self, at: usize, verdict: u8) {
        if self.flying.is_empty() {
            return;
        }
        let item = self.flying.remove(at % self.flying.len());
        let verdict = match verdict {
            0 => Verdict::Stored,
            1 => Verdict::Failed(Failure::BadAnswer),
            2 => Verdict::FailedAmong(2, Failure::BadAnswer),
            _ => Verdict::Cancelled,
        };
        if matches!(verdict, Verdict::Stored) {
            self.stored[usize::from(*item.key)] = item.version;
        }
        self.queue.finish(&item, verdict, self.now);
    }

    fn land(&mut self, at: usize, landing: u8) {
        if self.boarded.is_empty() {
            return;
        }
        let key = self.boarded.remove(at % self.boarded.len());
        let landing = match landing {
            0 => Landing::Stored(Some(9)),
            1 => Landing::Refused,
            _ => Landing::Unknown,
        };
        self.queue.land(&key, landing, self.now);
        self.unpin(&key);
    }

    /// Ends all that is under way, with a store that works.
    fn wind_up(mut self) {
        while !self.admitted.is_empty() {
            self.play(&Step::Record(0, true));
        }
        while !self.boarded.is_empty() {
            self.play(&Step::Land(0, 0));
        }
        self.play(&Step::Retry);
        for _ in 0..100 {
            self.play(&Step::Finish(0, 0));
            self.play(&Step::Advance(1000));
            self.play(&Step::Take);
        }
        assert!(self.barriers.iter().all(|id| self.queue.is_reached(*id)));
        assert_eq!((self.queue.dirty, self.queue.units, self.queue.records.len()), (0, 0, 0));
        assert!((0..KEYS).all(|key| !self.queue.filter.may_have(self.named(key).hash())));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_books_are_right_after_every_step_and_empty_in_the_end(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut trial = Trial::new();
        for step in &steps {
            trial.play(step);
        }
        trial.wind_up();
    }
}

#[test]
fn crowds_of_retries_and_of_new_writes_do_not_keep_each_other_waiting() {
    // With batches of one, all that is new is due, whatever the delay.
    for delay in [Duration::ZERO, Duration::from_secs(3600)] {
        retries_and_new_writes_take_turns(&WriteBack::new().batch(1).delay(delay).jitter(0.0));
    }
}

fn put(queue: &mut Queue<u8, u32>, key: u8, now: u64) {
    let mut key = Named::new(key, queue.filter.hasher());
    let Admission::Admitted(ticket) = queue.admit(&mut key) else { panic!("there is room") };
    let version = queue.next_version();
    queue.record(&key, ticket, (version, Some(0)), now);
    queue.unpin(&key, None);
}

fn retries_and_new_writes_take_turns(settings: &WriteBack) {
    let mut queue: Queue<u8, u32> = Queue::new(settings, Arc::new(Filter::new()));
    put(&mut queue, 1, 0);
    let work = queue.take(0).unwrap();
    queue.finish(&work.writes[0], Verdict::Failed(Failure::BadAnswer), 0);
    let due = queue.next_due().unwrap();
    put(&mut queue, 2, due - 1);
    put(&mut queue, 3, due + 1);
    let order: Vec<u8> = (0..3).map(|_| *queue.take(due + 1).unwrap().writes[0].key).collect();
    assert_eq!(order, [2, 1, 3], "whoever has waited longest");
}

#[test]
fn a_flush_during_a_close_does_not_take_its_haste_back() {
    let settings = WriteBack::new().delay(Duration::from_secs(3600));
    let mut queue: Queue<u8, u32> = Queue::new(&settings, Arc::new(Filter::new()));
    let mut key = Named::new(1, queue.filter.hasher());
    let Admission::Admitted(ticket) = queue.admit(&mut key) else { panic!("there is room") };
    queue.close();
    queue.barrier(None);
    let version = queue.next_version();
    assert!(queue.record(&key, ticket, (version, Some(0)), 5), "a worker should look at it");
    assert_eq!(queue.next_due(), Some(0));
}

#[test]
fn whoever_waits_for_a_key_hastens_also_what_is_behind_a_flight() {
    let settings = WriteBack::new().batch(1).delay(Duration::ZERO);
    let mut queue: Queue<u8, u32> = Queue::new(&settings, Arc::new(Filter::new()));
    put(&mut queue, 1, 0);
    let work = queue.take(0).unwrap();
    (queue.delay, queue.batch) = (1_000_000, 100);
    put(&mut queue, 1, 0);
    let hash = work.writes[0].key.hash();
    let id = queue.barrier(Some((hash, &1)));
    queue.finish(&work.writes[0], Verdict::Stored, 0);
    assert_eq!((queue.remaining(id), queue.next_due()), (1, Some(0)));
    let work = queue.take(0).unwrap();
    queue.finish(&work.writes[0], Verdict::Stored, 0);
    assert!(queue.is_reached(id));
}
