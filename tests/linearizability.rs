//! Per key, operations are linearizable: small concurrent programs are run, what
//! they return is written down, and an order is looked for that explains it.
//!
//! `LARDER_HISTORIES` says how many (20 000 by default), `LARDER_SEED` where to
//! begin: the operations of a program follow from its number, though how its
//! threads meet does not.

#[path = "common/history.rs"]
mod history;

use history::{Event, KEYS, Operation, Ticker, is_linearizable};
use larder::{Cache, Compute, Eviction};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

const THREADS: usize = 3;
const OPERATIONS_MAX: u64 = 17;

/// What is tested. `call` returns 0 for nothing.
trait Store: Send + Sync {
    fn call(&self, operation: Operation) -> u8;
}

impl Store for Cache<usize, u8> {
    fn call(&self, operation: Operation) -> u8 {
        match operation {
            Operation::Get(key) => return self.get(&key).unwrap_or(0),
            Operation::Insert(key, value) => self.insert(key, value),
            Operation::Remove(key) => return self.remove(&key).unwrap_or(0),
            Operation::Replace(key, value) => {
                let mut old = 0;
                self.entry(key).and_compute(|found| {
                    old = found.copied().unwrap_or(0);
                    Compute::Replace(value)
                });
                return old;
            }
            Operation::OrInsert(key, value) => return self.entry(key).or_insert_with(|| value),
            Operation::Invalidate(key) => self.invalidate(&key),
            Operation::InvalidateAll => self.invalidate_all(),
            Operation::InvalidateEven => self.invalidate_if(|_, value| value % 2 == 0),
            Operation::Clear => self.clear(),
        }
        0
    }
}

/// Random enough, and the same for the same number (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Dice((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
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
        match (dice.below(12), kind) {
            (0..=3, _) => Operation::Get(key),
            (4..=6, _) => Operation::Insert(key, value),
            (7, _) => Operation::Remove(key),
            (8..=9, Kind::Computing) => Operation::Replace(key, value),
            (_, Kind::Computing) => Operation::OrInsert(key, value),
            (8, Kind::Invalidating) => Operation::Invalidate(key),
            (9, Kind::Invalidating) => Operation::InvalidateAll,
            (10, Kind::Invalidating) => Operation::InvalidateEven,
            (_, Kind::Invalidating) => Operation::Clear,
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

/// Returns an older value now and then.
struct Broken {
    cache: Cache<usize, u8>,
    calls: AtomicU64,
    old: [AtomicU64; KEYS],
}

impl Store for Broken {
    fn call(&self, operation: Operation) -> u8 {
        let returned = self.cache.call(operation);
        let Operation::Get(key) = operation else { return returned };
        let old = self.old[key].swap(u64::from(returned), Ordering::Relaxed) as u8;
        let is_broken = self.calls.fetch_add(1, Ordering::Relaxed) % 3 == 2;
        if is_broken && old != 0 { old } else { returned }
    }
}

#[test]
fn a_cache_that_returns_old_values_is_found_out() {
    let make = |_| -> Arc<dyn Store> {
        let (cache, calls) = (Cache::new(1000), AtomicU64::default());
        Arc::new(Broken { cache, calls, old: Default::default() })
    };
    for may_evict in [false, true] {
        assert!(first_that_is_not(0..2000, &make, may_evict).is_some());
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
