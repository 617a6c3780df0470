//! Per key, operations are linearizable: small concurrent programs are run, what
//! they return is written down, and an order is looked for that explains it.
//!
//! `LARDER_HISTORIES` says how many (20 000 by default), `LARDER_SEED` where to
//! begin: the operations of a program follow from its number, though how its
//! threads meet does not.

#[path = "common/dice.rs"]
mod dice;
#[path = "common/history.rs"]
mod history;

use dice::Dice;
use history::{Event, KEYS, Operation, Operation as Op, State, TAGGED, Ticker, is_linearizable};
use larder::{Cache, Compute, ComputeError, EntryOptions, Eviction};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const THREADS: usize = 3;
const OPERATIONS_MAX: u64 = 17;

/// What is tested. `call` returns 0 for nothing.
trait Store: Send + Sync {
    fn call(&self, operation: Operation) -> u8;
}

impl Store for Cache<usize, u8> {
    fn call(&self, operation: Operation) -> u8 {
        let or_nothing = |value: Option<u8>| value.unwrap_or(0);
        match operation {
            Op::Get(key) => return or_nothing(self.get(&key)),
            Op::Peek(key) => return or_nothing(self.peek(&key)),
            Op::Read(key) => return or_nothing(self.read(&key, |value| *value)),
            Op::Walk(key) => {
                let met = self.iter().find(|(other, _)| *other == key);
                return or_nothing(met.map(|(_, value)| value));
            }
            Op::Contains(key) => return u8::from(self.contains_key(&key)),
            Op::ExpiresIn(key) => return u8::from(self.expires_in(&key).is_some()),
            Op::Insert(key, value) => self.insert(key, value),
            Op::InsertTagged(key, value) => {
                self.insert_with(key, value, EntryOptions::new().tag("tag"));
            }
            Op::InsertExpired(key) => {
                self.insert_with(key, 1, EntryOptions::new().ttl(Duration::ZERO));
            }
            Op::Remove(key) => return or_nothing(self.remove(&key)),
            Op::Expire(key) => return u8::from(self.set_expires_in(&key, Duration::ZERO)),
            Op::Replace(key, value) => return self.compute(key, Ok(Compute::Replace(value))),
            Op::ComputeRemove(key) => return self.compute(key, Ok(Compute::Remove)),
            Op::ComputeKeep(key) => return self.compute(key, Ok(Compute::Keep)),
            Op::ComputeFail(key) => return self.compute(key, Err(())),
            Op::OrInsert(key, value) => return self.entry(key).or_insert_with(|| value),
            Op::GetWith(key, value) => return self.get_with(&key, || value),
            Op::TryGetWith(key) => return self.try_get_with(&key, || Err(())).unwrap_or(0),
            Op::Invalidate(key) => self.invalidate(&key),
            Op::InvalidateAll => self.invalidate_all(),
            Op::InvalidateTag => self.invalidate_tag("tag"),
            Op::InvalidateEven => self.invalidate_if(|_, value| value % 2 == 0),
            Op::Clear => self.clear(),
            Op::Maintain => self.run_maintenance(),
        }
        0
    }
}

trait ComputeSeen {
    fn compute(&self, key: usize, wish: Result<Compute<u8>, ()>) -> u8;
}

impl ComputeSeen for Cache<usize, u8> {
    /// Returns what the computation has seen.
    fn compute(&self, key: usize, wish: Result<Compute<u8>, ()>) -> u8 {
        let mut seen = 0;
        let computed = self.entry(key).try_and_compute(|found| {
            seen = found.copied().unwrap_or(0);
            wish
        });
        assert!(!matches!(computed, Err(ComputeError::Recursive)));
        seen
    }
}

/// A computation that is discarded has no effect but what it returned says: so
/// programs that compute do not invalidate, and the other way round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Computing,
    Invalidating,
}

/// What each thread does. Values are never written twice.
fn program(seed: u64) -> Vec<Vec<Operation>> {
    let mut dice = Dice::new(seed);
    let keys = 1 + dice.below(KEYS as u64);
    let kind = if dice.below(2) == 0 { Kind::Computing } else { Kind::Invalidating };
    let length = 2 + dice.below(OPERATIONS_MAX - 1);
    let mut value = 0;
    let mut operation = |_| {
        let key = dice.below(keys) as usize;
        value += 1;
        match (dice.below(40), kind) {
            (0..=3, _) => Op::Get(key),
            (4, _) => Op::Peek(key),
            (5..=6, _) => Op::Read(key),
            (7, _) => Op::Walk(key),
            (8, _) => Op::Contains(key),
            (9, _) => Op::ExpiresIn(key),
            (10..=15, _) => Op::Insert(key, value),
            (16, _) => Op::InsertExpired(key),
            (17..=20, _) => Op::Remove(key),
            (21..=24, _) => Op::GetWith(key, value),
            (25, _) => Op::TryGetWith(key),
            (26, _) => Op::Maintain,
            (27..=31, Kind::Computing) => Op::Replace(key, value),
            (32..=33, Kind::Computing) => Op::ComputeRemove(key),
            (34, Kind::Computing) => Op::ComputeKeep(key),
            (35, Kind::Computing) => Op::ComputeFail(key),
            (_, Kind::Computing) => Op::OrInsert(key, value),
            (27..=28, Kind::Invalidating) => Op::Expire(key),
            (29..=31, Kind::Invalidating) => Op::InsertTagged(key, TAGGED + value),
            (32..=33, Kind::Invalidating) => Op::InvalidateTag,
            (34..=35, Kind::Invalidating) => Op::Invalidate(key),
            (36..=37, Kind::Invalidating) => Op::InvalidateAll,
            (38, Kind::Invalidating) => Op::InvalidateEven,
            (_, Kind::Invalidating) => Op::Clear,
        }
    };
    (0..THREADS).map(|_| (0..length).map(&mut operation).collect()).collect()
}

/// Runs a program for each of `seeds`, on the same threads, and checks what
/// came of it. Returns the first that nothing explains.
fn first_that_is_not(
    seeds: std::ops::Range<u64>,
    make: &(impl Fn(u64) -> Arc<dyn Store> + Sync),
    may_evict: bool,
) -> Option<(u64, Vec<Event>)> {
    seeds.into_iter().find_map(|seed| {
        let events = run(make(seed), program(seed));
        (!is_linearizable(&events, may_evict)).then_some((seed, events))
    })
}

fn run(store: Arc<dyn Store>, program: Vec<Vec<Operation>>) -> Vec<Event> {
    let (ticker, ready) = (Arc::<Ticker>::default(), Arc::<AtomicUsize>::default());
    let start = |operations: Vec<Operation>| {
        let (store, ticker, ready) = (Arc::clone(&store), Arc::clone(&ticker), Arc::clone(&ready));
        thread::spawn(move || {
            ready.fetch_add(1, Ordering::SeqCst);
            while ready.load(Ordering::SeqCst) < THREADS {
                thread::yield_now();
            }
            let call = |operation| {
                let began = ticker.tick();
                let returned = store.call(operation);
                Event { operation, returned, began, ended: ticker.tick() }
            };
            operations.into_iter().map(call).collect::<Vec<_>>()
        })
    };
    let threads: Vec<_> = program.into_iter().map(start).collect();
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

fn check(make: impl Fn(u64) -> Arc<dyn Store> + Sync, may_evict: bool) {
    let first = number("LARDER_SEED", 0);
    let seeds = first..first + number("LARDER_HISTORIES", 20_000) / 2;
    if let Some((seed, events)) = first_that_is_not(seeds, &make, may_evict) {
        panic!("LARDER_SEED={seed}: nothing explains this history: {events:#?}");
    }
}

fn policy(seed: u64) -> Eviction {
    Eviction::ALL[(seed / 7) as usize % Eviction::ALL.len()]
}

#[test]
fn what_threads_see_of_a_cache_with_room_enough_can_be_put_in_order() {
    check(
        |seed| {
            let shards = if seed % 2 == 0 { 1 } else { 4 };
            let builder = Cache::builder().capacity(1000).shards(shards);
            Arc::new(builder.eviction(policy(seed)).build().unwrap())
        },
        false,
    );
}

#[test]
fn what_threads_see_of_a_cache_that_evicts_can_be_put_in_order() {
    let make = |seed| -> Arc<dyn Store> {
        Arc::new(Cache::builder().capacity(1).eviction(policy(seed)).build().unwrap())
    };
    check(make, true);
}

/// What may be wrong with a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    Nothing,
    /// A read returns what the last one has.
    OldValue,
    /// A key is there although its value is gone.
    OldKey,
    LostInsert,
    LostRemove,
    /// Two threads may have the same value.
    RemoveInTwoSteps,
    /// Somebody may write between the look and the store.
    ReplaceInTwoSteps,
    OrInsertInTwoSteps,
    /// A load stores its value over a newer one.
    LoadOverWrite,
    /// A load returns a value that nobody has stored, and does not store it.
    LoadOfNothing,
    AllInThreeSteps,
    TagInThreeSteps,
    TagMissesOne,
    ClearMissesOne,
    EvenMissesOne,
    ExpiredIsSeen,
    ExpireDoesNothing,
    ComputeSeesNothing,
    FailedComputationRemoves,
}

impl Fault {
    const ALL: [Fault; 18] = [
        Fault::OldValue,
        Fault::OldKey,
        Fault::LostInsert,
        Fault::LostRemove,
        Fault::RemoveInTwoSteps,
        Fault::ReplaceInTwoSteps,
        Fault::OrInsertInTwoSteps,
        Fault::LoadOverWrite,
        Fault::LoadOfNothing,
        Fault::AllInThreeSteps,
        Fault::TagInThreeSteps,
        Fault::TagMissesOne,
        Fault::ClearMissesOne,
        Fault::EvenMissesOne,
        Fault::ExpiredIsSeen,
        Fault::ExpireDoesNothing,
        Fault::ComputeSeesNothing,
        Fault::FailedComputationRemoves,
    ];

    /// Whether an eviction explains what comes of it, always or nearly so.
    fn is_like_eviction(self) -> bool {
        use Fault::{AllInThreeSteps, TagInThreeSteps};
        use Fault::{ComputeSeesNothing, FailedComputationRemoves, LostInsert};
        let losing = [LostInsert, ComputeSeesNothing, FailedComputationRemoves];
        losing.contains(&self) || [AllInThreeSteps, TagInThreeSteps].contains(&self)
    }
}

/// A map behind a lock, with a fault.
struct Map {
    fault: Fault,
    state: Mutex<State>,
    calls: AtomicU64,
    last: [AtomicU8; KEYS],
}

impl Map {
    fn with(fault: Fault) -> Arc<dyn Store> {
        let state = Mutex::new(State::default());
        Arc::new(Map { fault, state, calls: AtomicU64::new(0), last: Default::default() })
    }

    fn is(&self, fault: Fault) -> bool {
        fault != Fault::Nothing && self.fault == fault
    }

    /// Where there is a fault of this kind, in every third call.
    fn errs(&self, fault: Fault) -> bool {
        self.is(fault) && self.calls.fetch_add(1, Ordering::Relaxed) % 3 == 2
    }

    /// In one step, or with a fault in two, with time between them.
    fn change(&self, fault: Fault, key: usize, value: impl Fn(u8) -> u8) -> u8 {
        let mut state = self.state.lock();
        let old = state[key];
        if self.is(fault) {
            drop(state);
            thread::yield_now();
            state = self.state.lock();
        }
        state[key] = value(old);
        old
    }

    fn forget(&self, fault: Fault, is_meant: impl Fn(usize, u8) -> bool) {
        let mut state = self.state.lock();
        for key in 0..KEYS {
            if is_meant(key, state[key]) {
                state[key] = 0;
            }
            if self.is(fault) {
                drop(state);
                thread::yield_now();
                state = self.state.lock();
            }
        }
    }
}

impl Store for Map {
    fn call(&self, operation: Operation) -> u8 {
        let get = |key: usize| self.state.lock()[key];
        let set = |key: usize, value: u8| self.state.lock()[key] = value;
        match operation {
            Op::Get(key) | Op::Peek(key) | Op::Read(key) | Op::Walk(key) | Op::TryGetWith(key) => {
                let value = get(key);
                let last = self.last[key].swap(value, Ordering::Relaxed);
                return if last != 0 && self.errs(Fault::OldValue) { last } else { value };
            }
            Op::Contains(key) | Op::ExpiresIn(key) => {
                return u8::from(get(key) != 0 || self.errs(Fault::OldKey));
            }
            Op::Insert(key, value) | Op::InsertTagged(key, value) => {
                if !self.errs(Fault::LostInsert) {
                    set(key, value);
                }
            }
            Op::InsertExpired(key) => {
                set(key, if self.fault == Fault::ExpiredIsSeen { 1 } else { 0 });
            }
            Op::Remove(key) => {
                let is_lost = self.errs(Fault::LostRemove);
                let left = |old| if is_lost { old } else { 0 };
                return self.change(Fault::RemoveInTwoSteps, key, left);
            }
            Op::ComputeRemove(key) => return self.change(Fault::RemoveInTwoSteps, key, |_| 0),
            Op::Expire(key) if self.fault == Fault::ExpireDoesNothing => {
                return u8::from(get(key) != 0);
            }
            Op::Expire(key) => return u8::from(self.change(Fault::Nothing, key, |_| 0) != 0),
            Op::Replace(key, value) => {
                return self.change(Fault::ReplaceInTwoSteps, key, |_| value);
            }
            Op::ComputeKeep(key) => {
                return if self.errs(Fault::ComputeSeesNothing) { 0 } else { get(key) };
            }
            Op::ComputeFail(key) => {
                let seen = get(key);
                if self.errs(Fault::FailedComputationRemoves) {
                    set(key, 0);
                }
                return seen;
            }
            Op::OrInsert(key, value) => {
                let kept = |old| if old == 0 { value } else { old };
                return kept(self.change(Fault::OrInsertInTwoSteps, key, kept));
            }
            Op::GetWith(_, value) if self.errs(Fault::LoadOfNothing) => return value,
            Op::GetWith(key, value) => {
                let kept = |old| if old == 0 { value } else { old };
                return kept(self.change(Fault::LoadOverWrite, key, kept));
            }
            Op::Invalidate(key) => set(key, 0),
            Op::InvalidateAll => self.forget(Fault::AllInThreeSteps, |_, _| true),
            Op::InvalidateTag => {
                let is_missed = |key| self.fault == Fault::TagMissesOne && key == 0;
                let is_meant = |key, value| value >= TAGGED && !is_missed(key);
                self.forget(Fault::TagInThreeSteps, is_meant);
            }
            Op::InvalidateEven => {
                let is_missed = |key| self.fault == Fault::EvenMissesOne && key == 0;
                self.forget(Fault::Nothing, |key, value| value % 2 == 0 && !is_missed(key));
            }
            Op::Clear => {
                let is_missed = |key| self.fault == Fault::ClearMissesOne && key == 0;
                self.forget(Fault::Nothing, |key, _| !is_missed(key));
            }
            Op::Maintain => {}
        }
        0
    }
}

#[test]
fn each_fault_of_a_map_is_found_and_a_map_without_one_is_not() {
    for may_evict in [false, true] {
        let sound = first_that_is_not(0..2000, &|_| Map::with(Fault::Nothing), may_evict);
        assert!(sound.is_none(), "{sound:?}");
        for fault in Fault::ALL {
            if may_evict && fault.is_like_eviction() {
                continue;
            }
            // Where threads have to meet in the middle of something, that may
            // take some histories.
            let found = first_that_is_not(0..200_000, &|_| Map::with(fault), may_evict);
            let Some((seed, _)) = found else { panic!("{fault:?} is not found, {may_evict}") };
            println!("{fault:?} is found in history {seed}");
        }
    }
}

#[test]
fn the_checker_knows_what_overlaps() {
    let event = |operation, returned, began, ended| Event { operation, returned, began, ended };
    let get = |returned, began| event(Operation::Get(0), returned, began, began + 1);
    let insert = event(Operation::Insert(0, 1), 0, 0, 9);
    // While a value is being stored it may be there or not; but it does not go.
    let seen = [([0, 0], true), ([0, 1], true), ([1, 1], true), ([1, 0], false)];
    for ([first, second], is_possible) in seen {
        let events = [insert, get(first, 2), get(second, 4)];
        assert_eq!(is_linearizable(&events, false), is_possible, "{first}, {second}");
        assert!(is_linearizable(&events, true), "it may have been evicted");
    }
    // A value may be evicted while another one is computed from it; but nobody
    // writes the key meanwhile.
    let compute = event(Operation::Replace(0, 2), 1, 10, 19);
    let missed = [insert, compute, get(0, 12), get(2, 20)];
    assert!(is_linearizable(&missed, true) && !is_linearizable(&missed, false));
    let written = event(Operation::Insert(0, 3), 0, 12, 13);
    assert!(is_linearizable(&[insert, compute, written, get(3, 20)], true));
    let lost = [insert, compute, written, get(3, 14), get(2, 16), get(3, 20)];
    assert!(!is_linearizable(&lost, true), "what was written comes before or after");
    assert!(!is_linearizable(&[insert, get(0, 10)], false), "it has been stored by then");
    assert!(!is_linearizable(&[insert, get(2, 10)], true), "nobody has stored a 2");
}
