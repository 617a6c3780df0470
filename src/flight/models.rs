//! Every schedule of a few threads, tried by loom.
//!
//! ```sh
//! RUSTFLAGS='--cfg larder_loom' cargo test --release --lib flight::models
//! ```
//!
//! The shard is as small as can be: a lock, one key, the table of flights. The
//! flight, the table and the waiting are the real ones.

use super::{Flight, Flights, Landing, Purpose};
use crate::sync::modelled::{Arc, Mutex};
use crate::tags::TagSet;
use crate::wait::{ThreadAlarm, block_on};
use loom::thread;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc as Key;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

const KEY: u32 = 7;
const HASH: u32 = 70;

#[derive(Default)]
struct Field {
    flights: Flights<u32, u32>,
    stored: Option<u32>,
    /// How many loads have begun. Not an atomic of loom's: it is only counted.
    loads: AtomicUsize,
}

#[derive(Clone)]
struct Shard(Arc<Mutex<Field>>);

/// What `get` returns: what was loaded, by whomever, or that it was not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Got {
    Value(u32),
    Failed(u32),
    TimedOut,
}

/// What the loader does.
#[derive(Clone, Copy)]
enum Load {
    Ok(u32),
    Fail(u32),
    Panic,
    Cancel,
}

enum Step {
    Done(Got),
    Join(Arc<Flight<u32>>),
    Lead(Key<u32>, Arc<Flight<u32>>),
}

impl Shard {
    fn new() -> Self {
        Shard(Arc::new(Mutex::new(Field::default())))
    }

    fn board(&self, useless: Option<&Arc<Flight<u32>>>) -> Step {
        let mut field = self.0.lock();
        if let Some(value) = field.stored {
            return Step::Done(Got::Value(value));
        }
        if let Some(registered) = field.flights.find(HASH, &KEY) {
            let flight = Arc::clone(&registered.flight);
            if !useless.is_some_and(|useless| Arc::ptr_eq(useless, &flight)) {
                return Step::Join(flight);
            }
            let overtaken = field.flights.overtake(HASH, &KEY);
            drop(overtaken);
        }
        let (key, flight) = (Key::new(KEY), Flight::take_off());
        let (ours, theirs) = (Key::clone(&key), Arc::clone(&flight));
        field.flights.register(HASH, ours, theirs, TagSet::default(), Purpose::Missing);
        field.loads.fetch_add(1, Ordering::Relaxed);
        Step::Lead(key, flight)
    }

    /// As `Lead` does: publish under the lock, then land.
    fn land(&self, key: Key<u32>, flight: &Arc<Flight<u32>>, load: Load) -> Option<Got> {
        if let Load::Cancel = load {
            flight.land(Landing::Abandoned);
        }
        let mut field = self.0.lock();
        let registered = field.flights.take(HASH, flight);
        if let (Load::Ok(value), Some(_)) = (load, &registered) {
            field.stored = Some(value);
        }
        drop(field);
        drop(registered);
        let key = Key::into_inner(key);
        match load {
            Load::Ok(value) => {
                assert!(key.is_some(), "the key is shared by nobody else");
                if Arc::strong_count(flight) > 1 {
                    flight.land(Landing::Value(value));
                }
                Some(Got::Value(value))
            }
            Load::Fail(error) => {
                flight.land(Landing::Failed(Key::new(error)));
                Some(Got::Failed(error))
            }
            Load::Panic => {
                flight.land(Landing::Panicked);
                None
            }
            Load::Cancel => None,
        }
    }

    /// Gets the key as a thread that loads with `load` if it has to lead, and
    /// with `then` if it has to do so once more. `None` if its own loader
    /// panicked or was cancelled.
    fn get(&self, load: Load) -> Option<Got> {
        let mut useless = None;
        loop {
            match self.board(useless.as_ref()) {
                Step::Done(got) => return Some(got),
                Step::Lead(key, flight) => return self.land(key, &flight, load),
                Step::Join(flight) => {
                    let alarm = ThreadAlarm::default();
                    match block_on(flight.join(), &alarm) {
                        Landing::Value(value) => return Some(Got::Value(value)),
                        Landing::Failed(error) => {
                            return Some(Got::Failed(*error.downcast_ref::<u32>().unwrap()));
                        }
                        Landing::Absent | Landing::Panicked | Landing::Abandoned => {}
                    }
                    useless = Some(flight);
                }
            }
        }
    }

    /// Gets the key, but waits for no more than a moment.
    fn get_impatiently(&self, load: Load) -> Option<Got> {
        match self.board(None) {
            Step::Done(got) => Some(got),
            Step::Lead(key, flight) => self.land(key, &flight, load),
            Step::Join(flight) => {
                let mut join = pin!(flight.join());
                match join.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(Landing::Value(value)) => Some(Got::Value(value)),
                    Poll::Ready(_) => None,
                    Poll::Pending => Some(Got::TimedOut),
                }
            }
        }
    }

    fn overtake(&self, write: impl FnOnce(&mut Option<u32>)) {
        let mut field = self.0.lock();
        let overtaken = field.flights.overtake(HASH, &KEY);
        write(&mut field.stored);
        drop(field);
        drop(overtaken);
    }

    fn stored(&self) -> Option<u32> {
        self.0.lock().stored
    }

    fn loads(&self) -> usize {
        self.0.lock().loads.load(Ordering::Relaxed)
    }

    fn is_idle(&self) -> bool {
        self.0.lock().flights.is_empty()
    }
}

fn spawn<R: 'static>(shard: &Shard, work: impl FnOnce(&Shard) -> R + 'static) -> Thread<R> {
    let shard = shard.clone();
    thread::spawn(move || work(&shard))
}

/// Every schedule.
fn every(model: impl Fn() + Send + Sync + 'static) {
    loom::model(model);
}

/// Every schedule in which threads are interrupted three times at the most,
/// besides where they wait: for three threads, all would take hours.
fn most(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

type Thread<R> = thread::JoinHandle<R>;

#[test]
fn two_callers_share_one_load() {
    every(|| {
        let shard = Shard::new();
        let other = spawn(&shard, |shard| shard.get(Load::Ok(1)));
        let mine = shard.get(Load::Ok(1));
        assert_eq!((mine, other.join().unwrap()), (Some(Got::Value(1)), Some(Got::Value(1))));
        assert_eq!((shard.loads(), shard.stored()), (1, Some(1)));
        assert!(shard.is_idle());
    });
}

#[test]
fn three_callers_share_one_load_and_none_misses_the_landing() {
    most(|| {
        let shard = Shard::new();
        let others = [(); 2].map(|()| spawn(&shard, |shard| shard.get(Load::Ok(1))));
        assert_eq!(shard.get(Load::Ok(1)), Some(Got::Value(1)));
        for other in others {
            assert_eq!(other.join().unwrap(), Some(Got::Value(1)));
        }
        assert_eq!(shard.loads(), 1);
    });
}

#[test]
fn a_failure_is_that_of_everyone_who_waited_and_of_nobody_later() {
    every(|| {
        let shard = Shard::new();
        let other = spawn(&shard, |shard| shard.get(Load::Fail(2)));
        let mine = shard.get(Load::Fail(1));
        let theirs = other.join().unwrap();
        match shard.loads() {
            1 => assert_eq!(mine, theirs),
            2 => assert_eq!((mine, theirs), (Some(Got::Failed(1)), Some(Got::Failed(2)))),
            loads => panic!("{loads} loads"),
        }
        assert_eq!(shard.stored(), None);
        assert!(shard.is_idle());
    });
}

#[test]
fn who_waits_for_a_panic_takes_over() {
    every(|| {
        let shard = Shard::new();
        let other = spawn(&shard, |shard| shard.get(Load::Panic));
        assert_eq!(shard.get(Load::Ok(1)), Some(Got::Value(1)));
        let theirs = other.join().unwrap();
        assert!(theirs.is_none() || theirs == Some(Got::Value(1)));
        assert!(shard.is_idle());
    });
}

#[test]
fn who_waits_for_a_leader_that_is_cancelled_takes_over() {
    every(|| {
        let shard = Shard::new();
        let other = spawn(&shard, |shard| shard.get(Load::Cancel));
        assert_eq!(shard.get(Load::Ok(1)), Some(Got::Value(1)));
        let theirs = other.join().unwrap();
        assert!(theirs.is_none() || theirs == Some(Got::Value(1)));
        assert!(shard.is_idle());
    });
}

#[test]
fn of_two_who_wait_for_a_leader_that_is_cancelled_one_leads() {
    most(|| {
        let shard = Shard::new();
        let Step::Lead(key, flight) = shard.board(None) else { unreachable!() };
        let others = [(); 2].map(|()| spawn(&shard, |shard| shard.get(Load::Ok(1))));
        shard.land(key, &flight, Load::Cancel);
        for other in others {
            assert_eq!(other.join().unwrap(), Some(Got::Value(1)));
        }
        assert_eq!(shard.loads(), 2);
        assert!(shard.is_idle());
    });
}

#[test]
fn joining_while_it_lands_is_seen_by_one_or_the_other() {
    most(|| {
        let flight = Flight::take_off();
        let waiters = [(); 2].map(|()| {
            let flight = Arc::clone(&flight);
            thread::spawn(move || {
                let landing = block_on(flight.join(), &ThreadAlarm::default());
                assert!(matches!(landing, Landing::Value(1)));
            })
        });
        flight.land(Landing::Value(1));
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(flight.waiting(), 0);
    });
}

#[test]
fn nothing_that_began_before_an_invalidation_is_stored_after_it() {
    every(|| {
        let shard = Shard::new();
        let Step::Lead(key, flight) = shard.board(None) else { unreachable!() };
        let lander = spawn(&shard, move |shard| shard.land(key, &flight, Load::Ok(1)));
        shard.overtake(|stored| *stored = None);
        assert_eq!(shard.stored(), None);
        assert_eq!(lander.join().unwrap(), Some(Got::Value(1)));
        assert_eq!(shard.stored(), None);
        assert!(shard.is_idle());
    });
}

#[test]
fn who_waited_through_an_invalidation_gets_the_value_and_who_asks_later_does_not() {
    most(|| {
        let shard = Shard::new();
        let Step::Lead(key, flight) = shard.board(None) else { unreachable!() };
        let lander = spawn(&shard, move |shard| shard.land(key, &flight, Load::Ok(1)));
        let waiter = spawn(&shard, |shard| shard.get(Load::Ok(2)));
        shard.overtake(|stored| *stored = None);
        // It may find what the waiter has loaded since, but never the old one.
        assert_eq!(shard.get(Load::Ok(2)), Some(Got::Value(2)));
        lander.join().unwrap();
        let waited = waiter.join().unwrap();
        assert!(matches!(waited, Some(Got::Value(1 | 2))));
        assert_eq!(shard.stored(), Some(2));
    });
}

#[test]
fn a_value_that_is_inserted_during_a_load_stays() {
    most(|| {
        let shard = Shard::new();
        let Step::Lead(key, flight) = shard.board(None) else { unreachable!() };
        let lander = spawn(&shard, move |shard| shard.land(key, &flight, Load::Ok(1)));
        let waiter = spawn(&shard, |shard| shard.get(Load::Ok(3)));
        shard.overtake(|stored| *stored = Some(2));
        assert_eq!(shard.stored(), Some(2));
        lander.join().unwrap();
        assert!(matches!(waiter.join().unwrap(), Some(Got::Value(1 | 2))));
        assert_eq!(shard.stored(), Some(2));
        assert!(shard.is_idle());
    });
}

#[test]
fn a_removal_during_a_load_is_not_undone() {
    every(|| {
        let shard = Shard::new();
        let remover = spawn(&shard, |shard| {
            let mut removed = None;
            shard.overtake(|stored| removed = stored.take());
            removed
        });
        let loaded = shard.get(Load::Ok(1));
        assert_eq!(loaded, Some(Got::Value(1)));
        // It came before the load began, or it has removed or prevented it.
        match (remover.join().unwrap(), shard.stored()) {
            (Some(1), None) | (None, Some(1) | None) => {}
            other => panic!("{other:?}"),
        }
        assert!(shard.is_idle());
    });
}

#[test]
fn who_gives_up_waiting_is_not_in_the_way_of_the_landing() {
    most(|| {
        let shard = Shard::new();
        let Step::Lead(key, flight) = shard.board(None) else { unreachable!() };
        let impatient = spawn(&shard, |shard| shard.get_impatiently(Load::Ok(2)));
        let patient = spawn(&shard, |shard| shard.get(Load::Ok(2)));
        shard.land(key, &flight, Load::Ok(1));
        let got = impatient.join().unwrap();
        assert!(matches!(got, Some(Got::TimedOut | Got::Value(1))), "{got:?}");
        assert_eq!(patient.join().unwrap(), Some(Got::Value(1)));
        assert_eq!(flight.waiting(), 0);
    });
}

#[test]
fn who_has_timed_out_takes_the_place_of_the_leader_whose_value_is_then_not_stored() {
    every(|| {
        let shard = Shard::new();
        let Step::Lead(key, stuck) = shard.board(None) else { unreachable!() };
        let lander = {
            let stuck = Arc::clone(&stuck);
            spawn(&shard, move |shard| shard.land(key, &stuck, Load::Ok(1)))
        };
        match shard.board(Some(&stuck)) {
            Step::Done(got) => assert_eq!(got, Got::Value(1), "it was not stuck after all"),
            Step::Join(_) => unreachable!("nobody else is here"),
            Step::Lead(key, flight) => {
                shard.land(key, &flight, Load::Ok(2));
                assert_eq!(shard.stored(), Some(2));
                lander.join().unwrap();
                assert_eq!(shard.stored(), Some(2));
            }
        }
    });
}

#[test]
fn a_seat_that_is_given_up_goes_to_the_next_and_its_waker_is_the_one_that_is_woken() {
    every(|| {
        let flight = Flight::take_off();
        let lander = {
            let flight = Arc::clone(&flight);
            thread::spawn(move || flight.land(Landing::Value(1)))
        };
        for _ in 0..2 {
            let mut join = pin!(flight.join());
            let _ = join.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        // Polled by turns with another waker: the last one counts.
        let mut join = pin!(flight.join());
        let landing = block_on(poll_fn(|cx| join.as_mut().poll(cx)), &ThreadAlarm::default());
        assert!(matches!(landing, Landing::Value(1)));
        lander.join().unwrap();
    });
}

#[test]
fn a_failure_that_is_remembered_is_forgotten_with_an_invalidation() {
    every(|| {
        let shard = Shard::new();
        let Step::Lead(_key, flight) = shard.board(None) else { unreachable!() };
        let lander = {
            let flight = Arc::clone(&flight);
            spawn(&shard, move |shard| {
                let mut field = shard.0.lock();
                let forgotten = field.flights.remember(HASH, &flight, 100);
                drop(field);
                drop(forgotten);
                flight.land(Landing::Failed(Key::new(1_u32)));
            })
        };
        shard.overtake(|_| {});
        assert_eq!(shard.get(Load::Ok(2)), Some(Got::Value(2)));
        lander.join().unwrap();
        assert_eq!(shard.stored(), Some(2));
    });
}
