//! Many threads at once, in every configuration.
//!
//! Every value says for which key, by whom and as which version it was
//! written, and is counted while it lives. So each promise is checked by
//! looking at values alone, whatever order the threads happen to run in. The
//! amount of work is fixed, and nothing depends on time.

#[path = "common/dice.rs"]
mod dice;
#[path = "common/live.rs"]
mod live;
#[path = "common/watchdog.rs"]
mod watchdog;

use dice::Dice;
use larder::{Builder, Cache, Cause, Compute, EntryOptions, Eviction, Outcome};
use live::{Ledger, Value};
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use watchdog::must_end;

/// One more than the processors of a small machine, so that threads are also
/// interrupted in the middle of what they do.
const THREADS: u64 = 3;

#[derive(Clone, Copy, Debug)]
struct Setup {
    eviction: Eviction,
    capacity: usize,
    /// `None`: the default.
    shards: Option<usize>,
    is_weighed: bool,
}

/// The product of all policies and these settings.
fn setups(capacities: &[usize], shards: &[Option<usize>], weighed: &[bool]) -> Vec<Setup> {
    let mut setups = Vec::new();
    for &eviction in Eviction::ALL {
        for &capacity in capacities {
            for &shards in shards {
                for &is_weighed in weighed {
                    setups.push(Setup { eviction, capacity, shards, is_weighed });
                }
            }
        }
    }
    setups
}

/// All that is worth telling apart.
fn all_setups() -> Vec<Setup> {
    setups(&[1, 3, 100, 1000], &[Some(1), Some(8), None], &[false, true])
}

impl Setup {
    /// Weights are 0 to 3, and there is room for twice the capacity. So some
    /// entries do not count, in a cache of 1 some are heavier than all of it,
    /// and both bounds are met.
    fn builder(self) -> Builder<u64, Value> {
        let mut builder = Cache::builder().capacity(self.capacity).eviction(self.eviction);
        if let Some(shards) = self.shards {
            builder = builder.shards(shards);
        }
        if self.is_weighed {
            let weigh = |_: &u64, value: &Value| (value.version % 4) as u32;
            builder = builder.weight_capacity(2 * self.capacity as u64).weigher(weigh);
        }
        builder
    }

    fn build(self) -> Cache<u64, Value> {
        self.builder().build().unwrap()
    }

    /// So many keys that some have to leave.
    fn keys(self) -> u64 {
        self.capacity as u64 * 3 / 2 + 2 * THREADS
    }

    /// What holds whenever nobody writes.
    fn check_at_rest<S: BuildHasher>(self, cache: &Cache<u64, Value, S>) {
        cache.validate().unwrap_or_else(|error| panic!("{self:?}: {error}"));
        assert!(cache.len() <= cache.capacity(), "{self:?}");
        assert!(cache.weight() <= cache.weight_capacity(), "{self:?}");
        let held: HashMap<u64, Value> = cache.iter().collect();
        assert_eq!(held.len(), cache.len(), "{self:?}: each entry is met once");
        assert!(held.iter().all(|(key, value)| *key == value.key), "{self:?}");
    }
}

/// Runs `work` in so many threads at once, with their numbers, and waits.
fn race(what: &str, threads: u64, work: impl Fn(u64) + Send + Sync + 'static) {
    let work = Arc::new(work);
    let all = must_end(what, move || {
        let start = |me| {
            let work = Arc::clone(&work);
            thread::spawn(move || work(me))
        };
        let running: Vec<_> = (0..threads).map(start).collect();
        running.into_iter().for_each(|thread| thread.join().unwrap_or_else(|p| resume_unwind(p)));
    });
    all.unwrap_or_else(|panic| resume_unwind(panic));
}

/// Low keys more often than high ones, so that large caches see hits too.
fn low_key(dice: &mut Dice, end: u64) -> u64 {
    let first = dice.below(end);
    dice.below(first + 1)
}

#[test]
fn a_thread_reads_its_last_write_or_nothing_and_nobody_sees_a_key_go_back() {
    for setup in all_setups() {
        let (cache, ledger) = (setup.build(), Arc::<Ledger>::default());
        let shared = cache.clone();
        race(&format!("{setup:?}"), THREADS, move |me| {
            let mut dice = Dice::new(me);
            let mut view = View { me, written: HashMap::new(), newest: HashMap::new() };
            for version in 1..=150 {
                let key = low_key(&mut dice, setup.keys());
                // Each key has one writer, whose versions only grow.
                let own = key - key % THREADS + me;
                let value = || ledger.make(own, me, version);
                match dice.below(12) {
                    0..=3 => {
                        shared.insert(own, value());
                        view.written.insert(own, version);
                    }
                    4 => {
                        shared.insert_with(own, value(), EntryOptions::new().tag("any"));
                        view.written.insert(own, version);
                    }
                    5 => {
                        let old = shared.remove(&own);
                        old.iter().for_each(|old| view.check(own, old));
                        view.written.remove(&own);
                    }
                    6 => {
                        shared.invalidate(&own);
                        view.written.remove(&own);
                    }
                    7 => {
                        let outcome = shared.entry(own).and_compute(|old| {
                            old.into_iter().for_each(|old| view.check(own, old));
                            Compute::Replace(value())
                        });
                        let is_discarded = matches!(outcome, Outcome::Discarded(_));
                        assert!(!is_discarded, "{setup:?}: nobody invalidates the key");
                        view.written.insert(own, version);
                    }
                    8 => {
                        let got = shared.entry(own).or_insert_with(value);
                        if got.version == version {
                            view.written.insert(own, version);
                        }
                        view.check(own, &got);
                    }
                    9 => shared.iter().take(50).for_each(|(key, value)| view.check(key, &value)),
                    10 => shared.peek(&own).iter().for_each(|value| view.check(own, value)),
                    _ => shared.get(&key).iter().for_each(|value| view.check(key, value)),
                }
            }
        });
        setup.check_at_rest(&cache);
    }
}

/// What one thread knows of the keys.
struct View {
    me: u64,
    /// The last version that this thread wrote, of its keys that it has not
    /// removed since.
    written: HashMap<u64, u64>,
    /// The newest version that it has seen.
    newest: HashMap<u64, u64>,
}

impl View {
    fn check(&mut self, key: u64, value: &Value) {
        assert_eq!((value.key, value.writer), (key, key % THREADS), "a value of another key");
        if value.writer == self.me {
            let last = self.written.get(&key);
            assert_eq!(last, Some(&value.version), "not what this thread wrote last");
        }
        let newest = self.newest.entry(key).or_default();
        assert!(value.version >= *newest, "key {key}: {} after {newest}", value.version);
        *newest = value.version;
    }
}

#[derive(Default)]
struct AllTheSame;

impl Hasher for AllTheSame {
    fn finish(&self) -> u64 {
        7
    }

    fn write(&mut self, _: &[u8]) {}
}

#[test]
fn a_read_finds_a_value_of_its_key_also_when_all_keys_share_one_hash() {
    for setup in setups(&[1, 3, 30], &[Some(1), Some(8)], &[false, true]) {
        let hasher = BuildHasherDefault::<AllTheSame>::default();
        let cache = setup.builder().hasher(hasher).build().unwrap();
        let (shared, ledger) = (cache.clone(), Arc::<Ledger>::default());
        race(&format!("{setup:?}"), THREADS, move |me| {
            let mut dice = Dice::new(me);
            for version in 0..100 {
                let key = low_key(&mut dice, setup.keys());
                let value = || ledger.make(key, me, version);
                let found = match dice.below(8) {
                    0..=2 => {
                        shared.insert(key, value());
                        None
                    }
                    3 => shared.remove(&key),
                    4 => {
                        shared.invalidate(&key);
                        None
                    }
                    5 => Some(shared.entry(key).or_insert_with(value)),
                    6 => shared.read(&key, Arc::clone),
                    _ => shared.get(&key),
                };
                assert!(found.is_none_or(|found| found.key == key), "{setup:?}");
            }
        });
        setup.check_at_rest(&cache);
    }
}

/// The ways to make what was written before invisible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Barrier {
    Key,
    Predicate,
    Tag,
    All,
    Clear,
}

impl Barrier {
    fn is_meant(self, key: u64, chosen: u64) -> bool {
        match self {
            Barrier::Key => key == chosen,
            Barrier::Predicate | Barrier::Tag => key % 2 == chosen % 2,
            Barrier::All | Barrier::Clear => true,
        }
    }

    fn act(self, cache: &Cache<u64, Value>, chosen: u64) {
        match self {
            Barrier::Key => cache.invalidate(&chosen),
            Barrier::Predicate => cache.invalidate_if(|key, _| self.is_meant(*key, chosen)),
            Barrier::Tag => cache.invalidate_tag(tag_of(chosen)),
            Barrier::All => cache.invalidate_all(),
            Barrier::Clear => cache.clear(),
        }
    }

    /// Whether it also meets computations that began before it. A predicate
    /// and a tag can only meet the value that a computation replaces.
    fn meets_computations(self) -> bool {
        matches!(self, Barrier::Key | Barrier::All | Barrier::Clear)
    }
}

fn tag_of(key: u64) -> &'static str {
    ["even", "odd"][key as usize % 2]
}

/// For each key and writer, a version.
#[derive(Default)]
struct Marks([[AtomicU64; 2]; Marks::KEYS as usize]);

impl Marks {
    const KEYS: u64 = 6;

    fn of(&self, key: u64) -> &[AtomicU64; 2] {
        &self.0[key as usize]
    }

    fn read(&self, key: u64) -> [u64; 2] {
        self.of(key).each_ref().map(|mark| mark.load(Ordering::SeqCst))
    }

    fn raise(&self, key: u64, to: [u64; 2]) {
        for (mark, to) in self.of(key).iter().zip(to) {
            mark.fetch_max(to, Ordering::SeqCst);
        }
    }
}

/// Writer 0 inserts, writer 1 computes, thread 2 invalidates, thread 3 reads.
fn nothing_comes_back_after(barrier: Barrier) {
    for setup in setups(&[3, 100], &[Some(1), Some(8)], &[false]) {
        let cache = setup.build();
        let (shared, ledger) = (cache.clone(), Arc::<Ledger>::default());
        // What is there for certain, and what must not be seen any more.
        let (written, sunk) = (Marks::default(), Marks::default());
        race(&format!("{barrier:?}, {setup:?}"), 4, move |me| {
            let mut dice = Dice::new(me);
            for version in 1..=1200 {
                let key = dice.below(Marks::KEYS);
                match me {
                    0 => {
                        let options = EntryOptions::new().tag(tag_of(key));
                        shared.insert_with(key, ledger.make(key, me, version), options);
                        written.of(key)[0].store(version, Ordering::SeqCst);
                    }
                    // Of what it computes anew, no tag can be known.
                    1 if barrier == Barrier::Tag => shared.run_maintenance(),
                    1 => {
                        let has_begun = || written.of(key)[1].store(version, Ordering::SeqCst);
                        shared.entry(key).and_compute(|_| {
                            if barrier.meets_computations() {
                                has_begun();
                                thread::yield_now();
                            }
                            Compute::Replace(ledger.make(key, me, version))
                        });
                        has_begun();
                    }
                    2 => {
                        let before: Vec<_> =
                            (0..Marks::KEYS).map(|key| written.read(key)).collect();
                        barrier.act(&shared, key);
                        for (other, before) in (0..Marks::KEYS).zip(before) {
                            if barrier.is_meant(other, key) {
                                sunk.raise(other, before);
                            }
                        }
                    }
                    _ => {
                        let sunk = sunk.read(key);
                        let found = match version % 4 {
                            0 => shared.get(&key),
                            1 => shared.peek(&key),
                            2 => shared.read(&key, Arc::clone),
                            _ => shared.iter().find(|(met, _)| *met == key).map(|(_, value)| value),
                        };
                        if let Some(found) = found {
                            let sunk = sunk[found.writer as usize];
                            assert!(found.version > sunk, "{setup:?}: key {key} came back");
                        }
                    }
                }
            }
        });
        setup.check_at_rest(&cache);
    }
}

#[test]
fn nothing_comes_back_after_invalidate() {
    nothing_comes_back_after(Barrier::Key);
}

#[test]
fn nothing_comes_back_after_invalidate_if() {
    nothing_comes_back_after(Barrier::Predicate);
}

#[test]
fn nothing_comes_back_after_invalidate_tag() {
    nothing_comes_back_after(Barrier::Tag);
}

#[test]
fn nothing_comes_back_after_invalidate_all() {
    nothing_comes_back_after(Barrier::All);
}

#[test]
fn nothing_comes_back_after_clear() {
    nothing_comes_back_after(Barrier::Clear);
}

/// What a listener was told, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Notice>>>);

#[derive(Clone, Copy)]
struct Notice {
    id: u64,
    key: u64,
    version: u64,
}

impl Told {
    fn listener(&self) -> impl Fn(&u64, &Value, Cause) + Send + Sync + use<> {
        let told = self.clone();
        move |key, value, _| told.note(*key, value)
    }

    /// Remembers the value without keeping it alive.
    fn note(&self, key: u64, value: &Value) {
        assert_eq!(key, value.key);
        self.0.lock().push(Notice { id: value.id, key, version: value.version });
    }

    /// Nothing was told twice.
    fn ids(&self) -> HashSet<u64> {
        let told = self.0.lock();
        let ids: HashSet<u64> = told.iter().map(|notice| notice.id).collect();
        assert_eq!(ids.len(), told.len(), "a value was told twice");
        ids
    }

    fn versions_by_key(&self) -> BTreeMap<u64, Vec<u64>> {
        let mut versions: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for notice in self.0.lock().iter() {
            versions.entry(notice.key).or_default().push(notice.version);
        }
        versions
    }
}

/// Every value that was `made` is either in the cache, or was told, or was
/// `returned` to whoever computed it in vain; and when the cache is gone, all
/// others were told, and every one was dropped.
fn check_conserved(
    setup: Setup,
    cache: Cache<u64, Value>,
    ledger: &Ledger,
    told: &Told,
    returned: &Mutex<Vec<u64>>,
) {
    setup.check_at_rest(&cache);
    let resident: HashSet<u64> = cache.iter().map(|(_, value)| value.id).collect();
    let mut gone = told.ids();
    gone.extend(returned.lock().iter());
    assert!(gone.is_disjoint(&resident), "{setup:?}: a value is told, but still here");
    assert_eq!((gone.len() + resident.len()) as u64, ledger.made(), "{setup:?}");
    drop(cache);
    let told = told.ids();
    assert_eq!((told.len() + returned.lock().len()) as u64, ledger.made(), "{setup:?}");
    assert_eq!(ledger.live(), 0, "{setup:?}: values that nobody drops");
}

#[test]
fn every_value_is_here_or_was_told_once_and_in_the_end_all_are_dropped() {
    for setup in all_setups() {
        let (ledger, told) = (Arc::<Ledger>::default(), Told::default());
        let returned: Arc<Mutex<Vec<u64>>> = Arc::default();
        let cache = setup.builder().on_removal(told.listener()).build().unwrap();
        let shared = (cache.clone(), Arc::clone(&ledger), Arc::clone(&returned));
        race(&format!("{setup:?}"), THREADS, move |me| {
            let (cache, ledger, returned) = &shared;
            let mut dice = Dice::new(me);
            for version in 0..120 {
                let key = low_key(&mut dice, setup.keys());
                let value = ledger.make(key, me, version);
                match dice.below(16) {
                    0..=7 => cache.insert(key, value),
                    8..=9 => cache.insert_with(key, value, EntryOptions::new().tag(tag_of(key))),
                    _ => {
                        let outcome = cache.entry(key).and_compute(|_| Compute::Replace(value));
                        returned.lock().extend(discarded(outcome));
                    }
                }
                match dice.below(32) {
                    0..=3 => drop(cache.remove(&key)),
                    4..=6 => cache.invalidate(&key),
                    7 => cache.invalidate_all(),
                    8 => cache.clear(),
                    9 => cache.invalidate_tag(tag_of(key)),
                    10 => cache.invalidate_if(|other, _| other % 3 == key % 3),
                    11 => drop(cache.entry(key).and_compute(|_| Compute::Remove)),
                    12 => cache.run_maintenance(),
                    _ => drop(cache.get(&key)),
                }
            }
        });
        check_conserved(setup, cache, &ledger, &told, &returned);
    }
}

#[test]
fn racing_writers_hold_few_values_beyond_the_capacity() {
    for setup in setups(&[1, 16], &[Some(1), Some(8)], &[false]) {
        for (threads, is_told) in [2, 4, 8, 32].into_iter().flat_map(|n| [(n, false), (n, true)]) {
            let (ledger, told) = (Arc::<Ledger>::default(), Told::default());
            let mut builder = setup.builder();
            if is_told {
                // A slow listener keeps what it is told of alive meanwhile.
                let note = told.listener();
                builder = builder.on_removal(move |key, value, cause| {
                    (0..8).for_each(|_| thread::yield_now());
                    note(key, value, cause);
                });
            }
            let cache = builder.build().unwrap();
            let shared = (cache.clone(), Arc::clone(&ledger));
            race(&format!("{threads} threads, {setup:?}"), threads, move |me| {
                let mut dice = Dice::new(me);
                for version in 0..40 {
                    let key = dice.below(3 * setup.keys());
                    shared.0.insert(key, shared.1.make(key, me, version));
                }
            });
            setup.check_at_rest(&cache);
            let most = setup.capacity as u64 + setup.shards.unwrap_or(1) as u64 + threads;
            let live_max = ledger.live_max();
            assert!(live_max <= most, "{live_max} values lived, not {most}: {threads}, {setup:?}");
        }
    }
}

#[test]
fn writers_whose_listeners_take_their_time_hold_one_value_each() {
    const WRITERS: u64 = 32;
    let (ledger, told) = (Arc::<Ledger>::default(), Arc::new(AtomicU64::new(0)));
    let wait_for_all = {
        let told = Arc::clone(&told);
        move |_: &u64, _: &Value, _| {
            told.fetch_add(1, Ordering::AcqRel);
            while told.load(Ordering::Acquire) < WRITERS {
                thread::yield_now();
            }
        }
    };
    let builder = Cache::builder().capacity(1).shards(8).on_removal(wait_for_all);
    let cache = builder.build().unwrap();
    let made = Arc::clone(&ledger);
    race("slow listeners", WRITERS, move |me| {
        for key in (me..).step_by(WRITERS as usize) {
            cache.insert(key, made.make(key, me, 0));
            if told.load(Ordering::Acquire) >= WRITERS {
                break;
            }
        }
    });
    assert!(ledger.live_max() <= 1 + 8 + WRITERS, "{} values lived", ledger.live_max());
}

#[test]
fn a_full_cache_holds_exactly_its_capacity() {
    let shards = [None, Some(1), Some(8), Some(16)];
    for setup in setups(&[1, 3, 17, 1000], &shards, &[false]) {
        let (alone, raced) = (setup.build(), setup.build());
        let ledger = Arc::<Ledger>::default();
        let more = setup.capacity as u64 + 100;
        for key in 0..more {
            alone.insert(key, ledger.make(key, 0, 0));
            let held = setup.capacity.min(key as usize + 1);
            if key % 32 == 0 {
                assert_eq!(alone.len(), held, "{setup:?}");
            }
        }
        let shared = raced.clone();
        race(&format!("{setup:?}"), THREADS, move |me| {
            for key in (me..more).step_by(THREADS as usize) {
                shared.insert(key, ledger.make(key, me, 0));
            }
        });
        for cache in [alone, raced] {
            setup.check_at_rest(&cache);
            assert_eq!(cache.len(), setup.capacity, "{setup:?}");
        }
    }
}

/// Writers write while thread 0 calls `resize` with new bounds.
fn bounds_hold_while_they_change(resize: fn(&Cache<u64, Value>, u64)) {
    for setup in setups(&[60], &[Some(1), Some(8)], &[true]) {
        for last in [0, 2, 11, 500] {
            let (cache, ledger) = (setup.build(), Arc::<Ledger>::default());
            let shared = cache.clone();
            race(&format!("to {last}, {setup:?}"), THREADS + 1, move |me| {
                let mut dice = Dice::new(me);
                if me == 0 {
                    for bound in [5, 80, 1, 40, 0, 300, 7, last] {
                        thread::yield_now();
                        resize(&shared, bound);
                    }
                } else {
                    for version in 0..150 {
                        let key = dice.below(1000);
                        shared.insert(key, ledger.make(key, me, version));
                    }
                }
            });
            setup.check_at_rest(&cache);
        }
    }
}

#[test]
fn a_bound_on_entries_can_change_while_others_write() {
    bounds_hold_while_they_change(|cache, bound| cache.set_capacity(bound as usize));
}

#[test]
fn a_bound_on_weight_can_change_while_others_write() {
    bounds_hold_while_they_change(|cache, bound| cache.set_weight_capacity(bound));
}

#[test]
fn writers_of_heavy_entries_do_not_wait_for_each_other_for_ever() {
    // Two thirds of these weigh more than half of the cache. So writers meet
    // that each have got hold of a part of what they need.
    for setup in setups(&[5], &[Some(2), Some(8)], &[true]) {
        let weigh = |_: &u64, value: &Value| [5, 10, 7][value.version as usize % 3];
        let cache = setup.builder().weight_capacity(10).weigher(weigh).build().unwrap();
        let (shared, ledger) = (cache.clone(), Arc::<Ledger>::default());
        race(&format!("{setup:?}"), THREADS, move |me| {
            for version in 0..1000 {
                shared.insert(version % 8, ledger.make(version % 8, me, version + me));
            }
        });
        setup.check_at_rest(&cache);
    }
}

#[test]
fn no_increment_is_lost() {
    for setup in setups(&[1000], &[Some(1), Some(8)], &[false]) {
        let mut builder = Cache::builder().capacity(setup.capacity).eviction(setup.eviction);
        builder = builder.shards(setup.shards.unwrap_or(1));
        let cache: Cache<u64, u64> = builder.build().unwrap();
        let shared = cache.clone();
        race(&format!("{setup:?}"), 4, move |me| {
            for step in 0..1000 {
                let key = (me + step) % 3;
                let add = |sum: Option<&u64>| Compute::Replace(sum.unwrap_or(&0) + 1);
                shared.entry(key).and_compute(add);
                // Readers do not get in the way.
                assert!(shared.get(&key).is_some());
            }
        });
        cache.validate().unwrap();
        assert_eq!(cache.iter().map(|(_, sum)| sum).sum::<u64>(), 4000, "{setup:?}");
    }
}

/// A value that says what its writer saw before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Link {
    id: u64,
    seen: Seen,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seen {
    /// A plain insert does not look.
    NotLooked,
    Nothing,
    Value(u64),
}

impl Seen {
    fn of(old: Option<&Link>) -> Self {
        old.map_or(Seen::Nothing, |old| Seen::Value(old.id))
    }
}

#[test]
fn computations_inserts_and_removals_of_a_key_follow_one_another() {
    for setup in setups(&[1000], &[Some(1), Some(8)], &[false]) {
        let told: Arc<Mutex<Vec<(u64, Link, Cause)>>> = Arc::default();
        let removed: Arc<Mutex<HashSet<u64>>> = Arc::default();
        let note = {
            let told = Arc::clone(&told);
            move |key: &u64, link: &Link, cause| told.lock().push((*key, *link, cause))
        };
        let builder = Cache::builder().capacity(setup.capacity).eviction(setup.eviction);
        let builder = builder.shards(setup.shards.unwrap_or(1)).on_removal(note);
        let cache: Cache<u64, Link> = builder.build().unwrap();
        let (shared, taken) = (cache.clone(), Arc::clone(&removed));
        race(&format!("{setup:?}"), THREADS, move |me| {
            let mut dice = Dice::new(me);
            for id in (me..3000).step_by(THREADS as usize) {
                let key = dice.below(2);
                let mut seen = Seen::Nothing;
                match dice.below(8) {
                    0..=3 => drop(
                        shared
                            .entry(key)
                            .and_compute(|old| Compute::Replace(Link { id, seen: Seen::of(old) })),
                    ),
                    4 => {
                        let outcome = shared.entry(key).and_compute(|old| {
                            seen = Seen::of(old);
                            Compute::Remove
                        });
                        assert_eq!(outcome == Outcome::Removed, seen != Seen::Nothing);
                    }
                    5 => seen = Seen::of(shared.remove(&key).as_ref()),
                    6 => drop(shared.entry(key).and_compute(|_| Compute::Keep)),
                    _ => shared.insert(key, Link { id, seen: Seen::NotLooked }),
                }
                if let Seen::Value(id) = seen {
                    assert!(taken.lock().insert(id), "{id} was removed twice");
                }
            }
        });
        cache.validate().unwrap();
        drop(cache);
        let (told, removed) = (told.lock(), removed.lock());
        for key in 0..2 {
            check_chain(told.iter().filter(|told| told.0 == key), &removed);
        }
    }
}

/// Values of one key are told in the order in which they came and went. So a
/// computation must have seen just the one before its own, and nothing where
/// that one was removed.
fn check_chain<'a>(told: impl Iterator<Item = &'a (u64, Link, Cause)>, removed: &HashSet<u64>) {
    let mut before: Option<(u64, Cause)> = None;
    for (_, link, cause) in told {
        let found = before.and_then(|(id, cause)| (cause == Cause::Replaced).then_some(id));
        match link.seen {
            Seen::NotLooked => {}
            Seen::Nothing => assert_eq!(found, None, "{link:?} has overwritten another"),
            Seen::Value(seen) => assert_eq!(found, Some(seen), "{link:?} has seen another"),
        }
        assert_eq!(*cause == Cause::Explicit, removed.contains(&link.id), "{link:?}: {cause}");
        assert!(before.is_none_or(|(_, cause)| cause != Cause::Closed), "the last one comes last");
        before = Some((link.id, *cause));
    }
}

#[test]
fn threads_that_want_the_same_value_make_it_once() {
    for setup in setups(&[1000], &[Some(1), Some(8)], &[false]) {
        let (cache, ledger) = (setup.build(), Arc::<Ledger>::default());
        let (shared, made) = (cache.clone(), Arc::clone(&ledger));
        let agreed: Arc<Mutex<HashMap<u64, u64>>> = Arc::default();
        race(&format!("{setup:?}"), 4, move |me| {
            for key in 0..60 {
                let value = shared.entry(key).or_insert_with(|| {
                    thread::yield_now();
                    made.make(key, me, 0)
                });
                let id = *agreed.lock().entry(key).or_insert(value.id);
                assert_eq!(id, value.id, "{setup:?}: two threads got different values");
            }
        });
        setup.check_at_rest(&cache);
        assert_eq!(ledger.made(), 60, "{setup:?}");
    }
}

#[test]
fn values_of_a_key_are_told_in_the_order_in_which_they_were_written() {
    for setup in setups(&[1, 3, 100], &[Some(1), Some(8)], &[false, true]) {
        let (ledger, told) = (Arc::<Ledger>::default(), Told::default());
        let cache = setup.builder().on_removal(told.listener()).build().unwrap();
        let (shared, heard) = (cache.clone(), told.clone());
        race(&format!("{setup:?}"), THREADS, move |me| {
            let mut dice = Dice::new(me);
            for version in 0..150 {
                // Each key has one writer; whoever likes may remove it.
                let key = low_key(&mut dice, setup.keys());
                let own = key - key % THREADS + me;
                shared.insert(own, ledger.make(own, me, version));
                match dice.below(8) {
                    0 => {
                        if let Some(value) = shared.remove(&key) {
                            let is_told = heard.0.lock().iter().rev().any(|n| n.id == value.id);
                            assert!(is_told, "{setup:?}: told later than removed");
                        }
                    }
                    1 => shared.invalidate(&key),
                    2 if version % 16 == 0 => shared.invalidate_all(),
                    3 if version % 16 == 0 => shared.clear(),
                    _ => {}
                }
            }
        });
        setup.check_at_rest(&cache);
        drop(cache);
        for (key, versions) in told.versions_by_key() {
            let is_in_order = versions.is_sorted_by(|earlier, later| earlier < later);
            assert!(is_in_order, "{setup:?}: key {key} was told as {versions:?}");
        }
    }
}

thread_local! {
    /// Whether this thread's listener is at work already: what that leads to
    /// must not lead to more of it, without end.
    static IS_BUSY: Cell<bool> = const { Cell::new(false) };
}

#[test]
fn a_listener_may_use_its_cache_from_many_threads() {
    for setup in setups(&[1, 3, 30], &[Some(1), Some(8)], &[false]) {
        let (ledger, told) = (Arc::<Ledger>::default(), Told::default());
        let returned: Arc<Mutex<Vec<u64>>> = Arc::default();
        let home: Arc<Mutex<Option<Cache<u64, Value>>>> = Arc::default();
        let listener = {
            let (told, home) = (told.clone(), Arc::clone(&home));
            let (ledger, returned) = (Arc::clone(&ledger), Arc::clone(&returned));
            move |key: &u64, value: &Value, _| {
                told.note(*key, value);
                let cache = home.lock().clone();
                if let Some(cache) = cache.filter(|_| !IS_BUSY.replace(true)) {
                    let made = use_it(&cache, *key, value.id, &ledger);
                    returned.lock().extend(made);
                    IS_BUSY.set(false);
                }
            }
        };
        let cache = setup.builder().on_removal(listener).build().unwrap();
        *home.lock() = Some(cache.clone());
        let shared = (cache.clone(), Arc::clone(&ledger), Arc::clone(&returned));
        race(&format!("{setup:?}"), THREADS, move |me| {
            let (cache, ledger, returned) = &shared;
            let mut dice = Dice::new(me);
            for version in 0..100 {
                let key = low_key(&mut dice, setup.keys());
                let value = ledger.make(key, me, version);
                if version % 4 == 0 {
                    let outcome = cache.entry(key).and_compute(|_| Compute::Replace(value));
                    returned.lock().extend(discarded(outcome));
                } else {
                    cache.insert(key, value);
                }
            }
        });
        home.lock().take();
        let panics = cache.stats().listener_panics;
        assert_eq!(panics, 0, "{setup:?}");
        check_conserved(setup, cache, &ledger, &told, &returned);
    }
}

fn discarded(outcome: Outcome<Value>) -> Option<u64> {
    match outcome {
        Outcome::Discarded(value) => value.map(|value| value.id),
        _ => None,
    }
}

/// One of the things that a listener might do. Returns what it has made in
/// vain.
fn use_it(cache: &Cache<u64, Value>, key: u64, choice: u64, ledger: &Arc<Ledger>) -> Option<u64> {
    let value = |key| ledger.make(key, 0, 0);
    match choice % 14 {
        0 => drop(cache.get(&key)),
        1 => cache.insert(key, value(key)),
        2 => cache.insert(key + 1, value(key + 1)),
        3 => drop(cache.remove(&key)),
        4 => drop(cache.remove(&(key + 1))),
        5 => cache.invalidate(&key),
        6 => cache.invalidate_all(),
        7 => cache.clear(),
        8 => assert!(cache.iter().all(|(key, value)| key == value.key)),
        9 => assert!(cache.len() <= cache.capacity()),
        10 => assert!(cache.stats().inserts > 0),
        11 => cache.run_maintenance(),
        12 => cache.invalidate_if(|other, _| other % 2 == key % 2),
        _ => {
            let computed = value(key + 1);
            let outcome = cache.entry(key + 1).and_compute(|_| Compute::Replace(computed));
            return discarded(outcome);
        }
    }
    None
}
