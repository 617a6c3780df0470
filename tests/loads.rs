//! One load for all who ask, whoever they are and whatever happens meanwhile.
//!
//! `Meeting`s hold a load in the air until the test lets it land, so each race
//! happens as it is written down. Every test runs for threads and for tasks, of
//! tokio's runtimes and of a bare executor, by `Kind`.

mod common {
    pub mod kinds;
    pub mod quiet;
    pub mod watchdog;
}

use common::kinds::{KINDS, Kind, Landing, PAIRS, Running, start};
use common::quiet::keep_quiet_about;
use common::watchdog::must_end;
use larder::{Cache, Clock, Compute, EntryOptions, LoadError, LoadingCache, ManualClock};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

type Shelf = Cache<u64, u64>;

fn shelf() -> Shelf {
    Cache::new(1000)
}

/// Checks what must hold after every test.
fn at_rest(shelf: &Shelf) {
    shelf.validate().unwrap();
}

/// Starts a load of key 1 by `kind`, and returns once its loader runs.
fn in_the_air(shelf: &Shelf, kind: Kind) -> Running {
    let load = start(shelf, kind);
    load.has_begun();
    load
}

fn waits(shelf: &Shelf, kind: Kind, coalesced: u64) -> Running {
    let load = start(shelf, kind);
    while shelf.stats().coalesced < coalesced {
        std::thread::yield_now();
    }
    load
}

fn for_pairs(what: &'static str, test: impl Fn(Kind, Kind) + Send + Clone + 'static) {
    for (leader, waiter) in PAIRS {
        let test = test.clone();
        must_end(what, move || test(leader, waiter)).unwrap();
    }
}

#[test]
fn callers_of_any_kind_share_one_load() {
    for_pairs("a shared load", |leader, waiter| {
        let shelf = shelf();
        let leading = in_the_air(&shelf, leader);
        let waiting: Vec<_> = (1..=8).map(|n| waits(&shelf, waiter, n)).collect();
        leading.land(Landing::Ok(10));
        assert_eq!(leading.end(), Ok(10));
        for load in waiting {
            assert_eq!((load.end(), load.calls()), (Ok(10), 0), "{leader:?}, {waiter:?}");
        }
        assert_eq!(shelf.get(&1), Some(10));
        let stats = shelf.stats();
        assert_eq!((stats.loads, stats.load_failures, stats.coalesced), (1, 0, 8));
        at_rest(&shelf);
    });
}

#[test]
fn a_failure_is_shared_by_all_who_waited_and_is_not_cached() {
    for_pairs("a shared failure", |leader, waiter| {
        let shelf = shelf();
        let leading = in_the_air(&shelf, leader);
        let waiting: Vec<_> = (1..=4).map(|n| waits(&shelf, waiter, n)).collect();
        leading.land(Landing::Fail("down"));
        let error = leading.end().unwrap_err();
        let LoadError::Failed(error) = error else { panic!("{error}") };
        for load in waiting {
            match load.end() {
                Err(LoadError::Failed(same)) => assert!(Arc::ptr_eq(&error, &same)),
                other => panic!("{other:?}"),
            }
            assert_eq!(load.calls(), 0);
        }
        assert_eq!(shelf.get(&1), None);
        let again = in_the_air(&shelf, waiter);
        again.land(Landing::Ok(10));
        assert_eq!(again.end(), Ok(10));
        assert_eq!(shelf.stats().load_failures, 1);
        at_rest(&shelf);
    });
}

#[test]
fn a_waiter_with_another_type_of_error_leads_next() {
    for_pairs("another type of error", |leader, waiter| {
        let shelf = shelf();
        let leading = in_the_air(&shelf, leader);
        let others: Vec<_> = (1..=3).map(|n| waits(&shelf, waiter.infallible(), n)).collect();
        leading.land(Landing::Fail("down"));
        assert!(leading.end().is_err());
        others.iter().for_each(|other| other.land(Landing::Ok(10)));
        for other in &others {
            assert_eq!(other.end(), Ok(10));
        }
        assert_eq!(others.iter().map(Running::calls).sum::<usize>(), 1, "they share a load, too");
        at_rest(&shelf);
    });
}

#[test]
fn a_panic_is_the_leaders_and_waiters_are_told_or_take_over() {
    keep_quiet_about("on purpose");
    for_pairs("a panic", |leader, waiter| {
        let shelf = shelf();
        let leading = in_the_air(&shelf, leader);
        let told = waits(&shelf, waiter, 1);
        let taking_over = waits(&shelf, waiter.infallible(), 2);
        leading.land(Landing::Panic);
        assert_eq!(leading.panic(), "on purpose");
        assert_eq!(told.end(), Err(LoadError::Panicked));
        taking_over.land(Landing::Ok(10));
        assert_eq!((taking_over.end(), taking_over.calls()), (Ok(10), 1));
        assert_eq!(shelf.get(&1), Some(10));
        at_rest(&shelf);
    });
}

#[test]
fn a_dropped_leader_hands_over_to_one_who_waits() {
    for_pairs("a dropped leader", |leader, waiter| {
        if !leader.can_be_dropped() {
            return;
        }
        let shelf = shelf();
        let leading = in_the_air(&shelf, leader);
        let waiting: Vec<_> = (1..=3).map(|n| waits(&shelf, waiter, n)).collect();
        leading.drop_it();
        waiting.iter().for_each(|load| load.land(Landing::Ok(10)));
        for load in &waiting {
            assert_eq!(load.end(), Ok(10));
        }
        assert_eq!(waiting.iter().map(Running::calls).sum::<usize>(), 1);
        at_rest(&shelf);
    });
}

#[test]
fn a_load_whose_only_caller_is_dropped_ends() {
    for kind in KINDS.into_iter().filter(|kind| kind.can_be_dropped()) {
        must_end("a dropped load", move || {
            let shelf = shelf();
            in_the_air(&shelf, kind).drop_it();
            let next = in_the_air(&shelf, Kind::THREAD);
            next.land(Landing::Ok(10));
            assert_eq!((next.end(), next.calls()), (Ok(10), 1));
            at_rest(&shelf);
        })
        .unwrap();
    }
}

#[test]
fn three_hundred_dropped_loads_in_a_row_do_no_harm() {
    must_end("many dropped loads", || {
        let shelf = shelf();
        for _ in 0..300 {
            in_the_air(&shelf, Kind::BARE).drop_it();
        }
        assert_eq!(shelf.get_with(&1, || 10), 10);
        at_rest(&shelf);
    })
    .unwrap();
}

/// What may happen to a key while it is loaded, and what is found afterwards.
type Meddling = (&'static str, fn(&Shelf), Option<u64>);

const MEDDLINGS: [Meddling; 9] = [
    ("insert", |shelf| shelf.insert(1, 20), Some(20)),
    ("remove", |shelf| assert_eq!(shelf.remove(&1), None), None),
    ("invalidate", |shelf| shelf.invalidate(&1), None),
    ("invalidate_all", |shelf| shelf.invalidate_all(), None),
    ("invalidate_tag", |shelf| shelf.invalidate_tag("loaded"), None),
    ("invalidate_if", |shelf| shelf.invalidate_if(|_, _| false), None),
    ("clear", |shelf| shelf.clear(), None),
    (
        "and_compute",
        |shelf| {
            shelf.entry(1).and_compute(|_| Compute::Replace(20));
        },
        Some(20),
    ),
    (
        "or_insert",
        |shelf| {
            shelf.entry(1).or_insert(20);
        },
        Some(20),
    ),
];

#[test]
fn whatever_happens_to_the_key_during_a_load_wins() {
    for_pairs("meddling", |leader, waiter| {
        for (name, meddle, left) in MEDDLINGS {
            let shelf = shelf();
            let leading = in_the_air(&shelf, leader);
            let waiting = waits(&shelf, waiter, 1);
            meddle(&shelf);
            leading.land(Landing::Ok(10));
            assert_eq!((leading.end(), waiting.end()), (Ok(10), Ok(10)), "{name}");
            assert_eq!(shelf.get(&1), left, "{name}, {leader:?}, {waiter:?}");
            at_rest(&shelf);
        }
    });
}

#[test]
fn who_asks_after_an_invalidation_does_not_join_an_older_load() {
    for_pairs("a later caller", |leader, later| {
        for (name, meddle, left) in MEDDLINGS {
            if left.is_some() {
                continue;
            }
            let shelf = shelf();
            let leading = in_the_air(&shelf, leader);
            meddle(&shelf);
            let later = in_the_air(&shelf, later);
            leading.land(Landing::Ok(10));
            assert_eq!(leading.end(), Ok(10));
            assert_eq!(shelf.get(&1), None, "{name}: the old load must not be stored");
            later.land(Landing::Ok(30));
            assert_eq!((later.end(), shelf.get(&1)), (Ok(30), Some(30)), "{name}");
            at_rest(&shelf);
        }
    });
}

#[test]
fn an_invalidation_of_other_keys_and_tags_leaves_a_load_alone() {
    let shelf = shelf();
    let leading = in_the_air(&shelf, Kind::THREAD);
    shelf.invalidate(&2);
    shelf.remove(&3);
    shelf.insert(4, 4);
    shelf.invalidate_tag("others");
    leading.land(Landing::Ok(10));
    assert_eq!((leading.end(), shelf.get(&1)), (Ok(10), Some(10)));
}

#[test]
fn loads_of_other_keys_do_not_wait() {
    must_end("other keys", || {
        let shelf = Cache::builder().capacity(1000).shards(1).build().unwrap();
        let leading = in_the_air(&shelf, Kind::THREAD);
        for key in 2..500 {
            assert_eq!(shelf.get_with(&key, || key), key);
        }
        leading.land(Landing::Ok(10));
        assert_eq!(leading.end(), Ok(10));
        at_rest(&shelf);
    })
    .unwrap();
}

#[test]
fn who_waits_too_long_is_told_or_loads_by_itself() {
    for_pairs("timeouts", |leader, waiter| {
        let shelf = shelf();
        let leading = in_the_air(&shelf, leader);
        let moment = Duration::from_millis(1);
        assert_eq!(start(&shelf, waiter.patient_for(moment)).end(), Err(LoadError::TimedOut));
        let alone = start(&shelf, waiter.infallible().patient_for(moment));
        alone.land(Landing::Ok(20));
        assert_eq!((alone.end(), alone.calls()), (Ok(20), 1));
        leading.land(Landing::Ok(10));
        assert_eq!(leading.end(), Ok(10));
        assert_eq!(shelf.get(&1), Some(20), "the leader was taken for stuck");
        at_rest(&shelf);
    });
}

#[test]
fn a_time_that_is_long_enough_changes_nothing() {
    for_pairs("a long timeout", |leader, waiter| {
        let shelf = shelf();
        let leading = in_the_air(&shelf, leader);
        let waiting = waits(&shelf, waiter.patient_for(Duration::from_secs(600)), 1);
        leading.land(Landing::Ok(10));
        assert_eq!((leading.end(), waiting.end()), (Ok(10), Ok(10)));
    });
}

#[test]
fn the_caches_own_limit_is_for_all_who_wait() {
    must_end("the limit of a cache", || {
        let moment = Duration::from_millis(1);
        let shelf = Cache::builder().capacity(10).load_timeout(moment).build().unwrap();
        let leading = in_the_air(&shelf, Kind::THREAD);
        for kind in KINDS {
            assert_eq!(start(&shelf, kind).end(), Err(LoadError::TimedOut), "{kind:?}");
        }
        leading.land(Landing::Ok(10));
        assert_eq!(leading.end(), Ok(10));
    })
    .unwrap();
}

#[test]
fn two_threads_that_wait_for_each_other_end_by_their_limits() {
    must_end("a circle of two threads", || {
        let moment = Duration::from_millis(20);
        let shelf: Shelf = Cache::builder().capacity(10).load_timeout(moment).build().unwrap();
        let both_load = std::sync::Barrier::new(2);
        let ask = |mine: u64, other: u64| {
            shelf.try_get_with(&mine, || {
                both_load.wait();
                shelf.try_get_with(&other, || Ok::<u64, &str>(0)).map_err(|_| "gave up")
            })
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(|| ask(2, 1));
            let (mine, other) = (ask(1, 2), other.join().unwrap());
            assert!(mine.is_err() || other.is_err(), "{mine:?}, {other:?}");
        });
        at_rest(&shelf);
    })
    .unwrap();
}

#[test]
fn a_loader_that_asks_for_its_own_key_is_told() {
    keep_quiet_about("would never end");
    must_end("recursion", || {
        let shelf = shelf();
        let nested = shelf.try_get_with(&1, || {
            let inner = shelf.try_get_with(&1, || Ok::<_, u8>(0));
            assert!(matches!(inner, Err(LoadError::Recursive)));
            Ok::<_, u8>(10)
        });
        assert_eq!(nested.unwrap(), 10);
        shelf.clear();
        let through = shelf.try_get_with(&1, || {
            Ok::<_, u8>(
                shelf.get_with(&2, || shelf.try_get_with(&1, || Ok::<_, u8>(0)).map_or(7, |v| v)),
            )
        });
        assert_eq!(through.unwrap(), 7, "through another key");
        shelf.clear();
        let clear = catch_unwind(AssertUnwindSafe(|| {
            shelf.get_with(&1, || shelf.get_with(&1, || 0));
        }));
        let message = clear.unwrap_err();
        assert!(common::quiet::message_of(&*message).contains("would never end"));
        at_rest(&shelf);
    })
    .unwrap();
}

#[test]
fn an_async_loader_that_asks_for_its_own_key_is_told() {
    must_end("async recursion", || {
        let shelf = shelf();
        let nested = pollster::block_on(shelf.try_get_with_async(&1, async {
            tokio_free_yield().await;
            let inner = shelf.try_get_with_async(&1, async { Ok::<_, u8>(0) }).await;
            assert!(matches!(inner, Err(LoadError::Recursive)));
            let many = shelf.try_get_many_with(&[1, 2], |_| Ok::<Vec<(u64, u64)>, u8>(vec![]));
            assert!(matches!(many, Err(LoadError::Recursive)));
            Ok::<_, u8>(10)
        }));
        assert_eq!(nested.unwrap(), 10);
        at_rest(&shelf);
    })
    .unwrap();
}

async fn tokio_free_yield() {
    let mut has_yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

#[test]
fn siblings_in_one_task_share_a_load() {
    must_end("siblings", || {
        let shelf = shelf();
        let calls = AtomicUsize::new(0);
        let ask = || {
            shelf.get_with_async(&1, async {
                calls.fetch_add(1, Ordering::Relaxed);
                tokio_free_yield().await;
                10
            })
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let both = runtime.block_on(async { tokio::join!(ask(), ask()) });
        assert_eq!((both, calls.load(Ordering::Relaxed)), ((10, 10), 1));
    })
    .unwrap();
}

#[test]
fn the_owned_key_is_made_on_a_miss_only_and_once_per_caller() {
    #[derive(PartialEq, Eq, Hash)]
    struct Owned(String);
    let made = AtomicUsize::new(0);
    impl larder::ToKey<Owned> for Named<'_> {
        fn to_key(&self) -> Owned {
            self.1.fetch_add(1, Ordering::Relaxed);
            Owned(self.0.to_owned())
        }
    }
    // Hashes as the owned key does: without the counter.
    struct Named<'a>(&'a str, &'a AtomicUsize);
    impl std::hash::Hash for Named<'_> {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }
    impl larder::Equivalent<Owned> for Named<'_> {
        fn equivalent(&self, key: &Owned) -> bool {
            self.0 == key.0
        }
    }
    let cache: Cache<Owned, u32> = Cache::new(10);
    let pear = Named("pear", &made);
    assert_eq!(cache.get_with(&pear, || 3), 3);
    assert_eq!(made.load(Ordering::Relaxed), 1);
    for _ in 0..10 {
        assert_eq!(cache.get_with(&pear, || 4), 3);
    }
    assert_eq!(made.load(Ordering::Relaxed), 1);
}

#[test]
fn a_cache_without_room_still_shares_loads() {
    for_pairs("no room", |leader, waiter| {
        let shelf = Shelf::new(0);
        let leading = in_the_air(&shelf, leader);
        let waiting = waits(&shelf, waiter, 1);
        leading.land(Landing::Ok(10));
        assert_eq!((leading.end(), waiting.end(), waiting.calls()), (Ok(10), Ok(10), 0));
        assert_eq!((shelf.len(), shelf.get(&1)), (0, None));
        at_rest(&shelf);
    });
}

#[test]
fn a_loaded_entry_has_the_options_of_its_load() {
    let shelf = Cache::<u64, u64>::new(100);
    let options = EntryOptions::new().weight(5).tag("fruit").ttl(Duration::from_secs(60));
    assert_eq!(shelf.load(&1).options(options).with(|| 10), 10);
    assert_eq!(shelf.weight(), 5);
    assert!(shelf.expires_in(&1).unwrap() <= Duration::from_secs(60));
    shelf.invalidate_tag("fruit");
    assert_eq!(shelf.get(&1), None);
}

#[test]
fn a_listener_that_asks_for_the_loaded_key_gets_it() {
    must_end("a listener that loads", || {
        let cell: Arc<std::sync::OnceLock<Shelf>> = Arc::default();
        let seen = Arc::new(AtomicUsize::new(0));
        let shelf = {
            let (cell, seen) = (Arc::clone(&cell), Arc::clone(&seen));
            let listen = move |key: &u64, _: &u64, _| {
                if let (1, Some(shelf)) = (*key, cell.get()) {
                    seen.store(shelf.get_with(&2, || 99) as usize, Ordering::Relaxed);
                }
            };
            Cache::builder().capacity(1).shards(1).on_removal(listen).build().unwrap()
        };
        cell.set(shelf.clone()).unwrap();
        shelf.insert(1, 10);
        // Loading 2 evicts 1, whose listener asks for 2.
        assert_eq!(shelf.get_with(&2, || 20), 20);
        assert_eq!(seen.load(Ordering::Relaxed), 20);
        assert_eq!(shelf.stats().listener_panics, 0);
        at_rest(&shelf);
    })
    .unwrap();
}

/// A clock that holds up who looks at it: a load at its `nth` look, and a reader at
/// the first, until the test lets them go.
struct Gates {
    nth: usize,
    looks: AtomicUsize,
    load: Gate,
    reader: Gate,
}

#[derive(Default)]
struct Gate {
    is_reached: AtomicBool,
    is_open: AtomicBool,
}

impl Gate {
    fn pass(&self) {
        self.is_reached.store(true, Ordering::SeqCst);
        while !self.is_open.load(Ordering::SeqCst) {
            thread::yield_now();
        }
    }

    /// Until someone stands there, or whoever was to come has ended.
    fn await_one<T>(&self, who: &thread::JoinHandle<T>) -> bool {
        while !self.is_reached.load(Ordering::SeqCst) && !who.is_finished() {
            thread::yield_now();
        }
        self.is_reached.load(Ordering::SeqCst)
    }

    fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Other,
    Load,
    Reader,
}

thread_local! {
    static ROLE: Cell<Role> = const { Cell::new(Role::Other) };
}

#[derive(Clone)]
struct GatedClock(Arc<Gates>);

impl Clock for GatedClock {
    fn now(&self) -> Duration {
        let gates = &*self.0;
        match ROLE.get() {
            Role::Load if gates.looks.fetch_add(1, Ordering::SeqCst) + 1 == gates.nth => {
                gates.load.pass();
            }
            Role::Reader => gates.reader.pass(),
            _ => {}
        }
        Duration::from_secs(1)
    }
}

#[test]
fn no_reader_sees_the_first_value_with_a_tag_that_has_died_while_it_was_loaded() {
    // Wherever the load is held up while the tag dies, and a reader that begins
    // after that at its own first look at the clock.
    let mut places = 0;
    loop {
        let gates = Arc::new(Gates {
            nth: places + 1,
            looks: AtomicUsize::new(0),
            load: Gate::default(),
            reader: Gate::default(),
        });
        let builder = Cache::builder().capacity(1).shards(1);
        let builder = builder.time_to_live(Duration::from_secs(60));
        let shelf: Shelf = builder.clock(GatedClock(Arc::clone(&gates))).build().unwrap();
        shelf.insert(99, 0);
        let load = thread::spawn({
            let shelf = shelf.clone();
            move || {
                let load = shelf.load(&1).options(EntryOptions::new().tag("t"));
                load.with(|| {
                    ROLE.set(Role::Load);
                    42
                })
            }
        });
        let is_held_up = gates.load.await_one(&load);
        shelf.invalidate_tag("t");
        let reader = thread::spawn({
            let shelf = shelf.clone();
            move || {
                // The first look of a thread is not the usual one.
                shelf.get(&99);
                ROLE.set(Role::Reader);
                shelf.get(&1)
            }
        });
        gates.reader.await_one(&reader);
        gates.load.open();
        let loaded = load.join().unwrap();
        gates.reader.open();
        if !is_held_up {
            break;
        }
        assert_eq!((loaded, reader.join().unwrap()), (42, None), "at look {places}");
        places += 1;
    }
    assert!(places > 0);
}

type Kept = LoadingCache<u64, u64, &'static str>;

#[test]
fn no_way_to_invalidate_leaves_a_fallback_for_when_a_load_fails() {
    let ways: [fn(&Kept); 5] = [
        |shelf| shelf.invalidate(&1),
        |shelf| shelf.invalidate_if(|key, value| (*key, *value) == (1, 5)),
        |shelf| shelf.invalidate_all(),
        |shelf| shelf.invalidate_tag("t"),
        |shelf| shelf.clear(),
    ];
    for (way, invalidate) in ways.into_iter().enumerate() {
        let (clock, is_down) = (ManualClock::new(), Arc::new(AtomicBool::new(false)));
        let is_down_now = Arc::clone(&is_down);
        let load = move |_: &u64| match is_down_now.load(Ordering::SeqCst) {
            true => Err("down"),
            false => Ok(5),
        };
        let builder = Cache::<u64, u64>::builder().capacity(9).clock(clock.clone());
        let builder = builder.time_to_live(Duration::from_secs(10));
        let shelf = builder.loader(load).stale_if_error(Duration::from_secs(1000)).build().unwrap();
        shelf.insert_with(1, 5, EntryOptions::new().tag("t"));
        shelf.get_or_load(&2).unwrap();
        clock.advance(Duration::from_secs(20));
        is_down.store(true, Ordering::SeqCst);
        assert_eq!(shelf.get_or_load(&1).ok(), Some(5), "it is kept until then");
        invalidate(&shelf);
        assert!(shelf.get_or_load(&1).is_err(), "{way}");
        let is_other_kept = matches!(way, 0 | 1 | 3);
        assert_eq!(shelf.get_or_load(&2).is_ok(), is_other_kept, "{way}");
    }
}

#[test]
fn what_is_computed_while_its_key_has_no_value_is_overtaken_by_all_ways_to_invalidate() {
    let ways: [fn(&Shelf); 4] = [
        |shelf| shelf.invalidate(&1),
        |shelf| shelf.invalidate_if(|_, _| false),
        |shelf| shelf.invalidate_all(),
        |shelf| shelf.clear(),
    ];
    for (way, invalidate) in ways.into_iter().enumerate() {
        let shelf = shelf();
        let read = |shelf: &Shelf| {
            let row = 7;
            invalidate(shelf);
            row
        };
        assert_eq!(shelf.entry(1).or_insert_with(|| read(&shelf)), 7);
        assert_eq!(shelf.get(&1), None, "{way}");
        // The value that was seen leaves meanwhile.
        let shelf: Shelf = Cache::builder().capacity(1).shards(1).build().unwrap();
        shelf.insert(1, 10);
        let _ = shelf.entry(1).and_compute(|old| {
            shelf.set_capacity(0);
            shelf.set_capacity(1);
            Compute::Replace(read(&shelf) + old.copied().unwrap_or(0))
        });
        assert_eq!(shelf.get(&1), None, "{way}");
    }
}

#[test]
fn a_computation_over_a_value_that_is_not_chosen_is_stored() {
    let shelf = shelf();
    shelf.insert(1, 10);
    let _ = shelf.entry(1).and_compute(|old| {
        shelf.invalidate_if(|_, value| *value != 10);
        Compute::Replace(old.copied().unwrap_or(0) + 1)
    });
    assert_eq!(shelf.get(&1), Some(11));
}

#[test]
fn what_changes_nothing_leaves_a_fallback_where_it_is() {
    let ways: [fn(&Kept); 3] = [
        |shelf| assert!(!shelf.set_expires_in(&1, Duration::from_secs(5))),
        |shelf| {
            let _ = shelf.entry(1).and_compute(|old| {
                assert_eq!(old, None, "nobody sees it");
                Compute::Keep
            });
        },
        |shelf| assert_eq!(shelf.peek(&1), None),
    ];
    for (way, look) in ways.into_iter().enumerate() {
        let clock = ManualClock::new();
        let builder = Cache::<u64, u64>::builder().capacity(9).clock(clock.clone());
        let builder = builder.time_to_live(Duration::from_secs(10)).loader(|_: &u64| Err("down"));
        let shelf = builder.stale_if_error(Duration::from_secs(1000)).build().unwrap();
        shelf.insert(1, 5);
        clock.advance(Duration::from_secs(20));
        look(&shelf);
        assert_eq!(shelf.get_or_load(&1).ok(), Some(5), "{way}");
        // What is computed anew takes its place.
        assert_eq!(shelf.entry(1).or_insert(6), 6);
        assert_eq!(shelf.get(&1), Some(6));
        shelf.validate().unwrap();
    }
}
