//! A cache that knows its loader: reloading, stale values, pauses after
//! failures. Time stands still unless a test moves it.

#[path = "common/quiet.rs"]
mod quiet;
#[path = "common/watchdog.rs"]
mod watchdog;

use larder::{Cache, Eviction, Inline, LoadError, LoadingBuilder, LoadingCache, ManualClock, Task};
use quiet::keep_quiet_about;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use watchdog::must_end;

const SECOND: Duration = Duration::from_secs(1);

/// What the loader does next: returns how often it was called, or fails.
#[derive(Default)]
struct Source {
    calls: AtomicU64,
    is_down: Mutex<bool>,
    takes: Mutex<Duration>,
}

impl Source {
    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    fn set_down(&self, is_down: bool) {
        *self.is_down.lock().unwrap() = is_down;
    }
}

type Loading = LoadingCache<u64, u64, &'static str>;

/// Spawned tasks, to be run when the test likes.
#[derive(Clone, Default)]
struct Later(Arc<Mutex<Vec<Task>>>);

impl larder::Spawn for Later {
    fn spawn(&self, task: Task) {
        self.0.lock().unwrap().push(task);
    }
}

impl Later {
    /// Runs what was spawned, and says how many tasks that were.
    fn run(&self) -> usize {
        let tasks = std::mem::take(&mut *self.0.lock().unwrap());
        let count = tasks.len();
        tasks.into_iter().for_each(pollster::block_on);
        count
    }
}

struct Set {
    clock: ManualClock,
    source: Arc<Source>,
    later: Later,
    cache: Loading,
}

/// Values live for 100 s.
fn set(
    with: impl FnOnce(LoadingBuilder<u64, u64, &'static str>) -> LoadingBuilder<u64, u64, &'static str>,
) -> Set {
    let (clock, source, later) = (ManualClock::new(), Arc::<Source>::default(), Later::default());
    let builder = Cache::builder()
        .capacity(1000)
        .time_to_live(100 * SECOND)
        .clock(clock.clone())
        .loader({
            let (clock, source) = (clock.clone(), Arc::clone(&source));
            move |_: &u64| {
                let calls = source.calls.fetch_add(1, Ordering::SeqCst) + 1;
                clock.advance(*source.takes.lock().unwrap());
                if *source.is_down.lock().unwrap() { Err("down") } else { Ok(calls) }
            }
        })
        .spawner(later.clone());
    let cache = with(builder).build().unwrap();
    Set { clock, source, later, cache }
}

impl Set {
    fn get(&self) -> Result<u64, LoadError<&'static str>> {
        self.cache.get_or_load(&1)
    }
}

fn down() -> Result<u64, LoadError<&'static str>> {
    Err(LoadError::Failed(Arc::new("down")))
}

/// Entries of a cache that has become small move together.
#[test]
fn a_reload_follows_its_value_that_moves() {
    let (clock, later) = (ManualClock::new(), Later::default());
    let builder = Cache::builder().capacity(100_000).shards(1).eviction(Eviction::Fifo);
    let builder = builder.clock(clock.clone()).loader(|_: &u64| Ok(2)).spawner(later.clone());
    let cache: Loading = builder.refresh_after(10 * SECOND).build().unwrap();
    (0..5000).for_each(|key| cache.insert(key, 1));
    clock.advance(10 * SECOND);
    for key in 4997..5000 {
        assert_eq!(cache.get_or_load(&key), Ok(1));
    }
    (0..4997).for_each(|key| cache.invalidate(&key));
    cache.run_maintenance();
    // One leaves: its reload is void.
    cache.set_capacity(2);
    cache.set_capacity(10);
    assert_eq!(later.run(), 3);
    assert_eq!([4997, 4998, 4999].map(|key| cache.get(&key)), [None, Some(2), Some(2)]);
}

#[test]
fn the_first_read_past_the_age_starts_one_reload_and_returns_the_old_value() {
    let it = set(|builder| builder.refresh_after(10 * SECOND));
    assert_eq!(it.get(), Ok(1));
    it.clock.advance(10 * SECOND - Duration::from_nanos(1));
    assert_eq!((it.get(), it.later.run()), (Ok(1), 0), "too early by a nanosecond");
    it.clock.advance(Duration::from_nanos(1));
    for _ in 0..5 {
        assert_eq!(it.get(), Ok(1));
    }
    assert_eq!((it.later.run(), it.get(), it.source.calls()), (1, Ok(2), 2));
    let stats = it.cache.stats();
    assert_eq!((stats.loads, stats.refreshes, stats.coalesced), (2, 1, 0));
    it.clock.advance(10 * SECOND);
    assert_eq!((it.get(), it.later.run(), it.get()), (Ok(2), 1, Ok(3)), "its age begins anew");
    it.cache.validate().unwrap();
}

#[test]
fn plain_reads_reload_nothing() {
    let it = set(|builder| builder.refresh_after(10 * SECOND));
    it.cache.insert(1, 7);
    it.clock.advance(50 * SECOND);
    assert_eq!((it.cache.get(&1), it.later.run()), (Some(7), 0));
}

type Meddling = (&'static str, fn(&Set), Option<u64>);

#[test]
fn a_reload_is_stored_only_over_the_value_that_it_was_for() {
    let meddlings: [Meddling; 8] = [
        ("insert", |it| it.cache.insert(1, 70), Some(70)),
        ("remove", |it| assert!(it.cache.remove(&1).is_some()), None),
        ("invalidate", |it| it.cache.invalidate(&1), None),
        ("invalidate_all", |it| it.cache.invalidate_all(), None),
        ("invalidate_if", |it| it.cache.invalidate_if(|_, _| true), None),
        ("clear", |it| it.cache.clear(), None),
        ("eviction", |it| it.cache.set_capacity(0), None),
        ("expiry", |it| it.clock.advance(95 * SECOND), None),
    ];
    for (name, meddle, left) in meddlings {
        let it = set(|builder| builder.refresh_after(10 * SECOND));
        assert_eq!(it.get(), Ok(1));
        it.clock.advance(10 * SECOND);
        assert_eq!(it.get(), Ok(1));
        meddle(&it);
        it.cache.set_capacity(1000);
        assert_eq!(it.later.run(), 1);
        assert_eq!(it.cache.get(&1), left, "{name}");
        it.cache.validate().unwrap();
    }
}

#[test]
fn a_reload_keeps_the_tags_of_the_value_and_is_void_once_one_is_invalidated() {
    let it = set(|builder| builder.refresh_after(10 * SECOND));
    let tagged = || larder::EntryOptions::new().tag("fruit");
    it.cache.insert_with(1, 70, tagged());
    it.clock.advance(10 * SECOND);
    assert_eq!((it.get(), it.later.run(), it.get()), (Ok(70), 1, Ok(1)));
    it.cache.invalidate_tag("fruit");
    assert_eq!(it.cache.get(&1), None);
    it.cache.insert_with(1, 70, tagged());
    it.clock.advance(10 * SECOND);
    assert_eq!(it.get(), Ok(70));
    it.cache.invalidate_tag("fruit");
    assert_eq!((it.later.run(), it.cache.get(&1)), (1, None));
}

#[test]
fn a_reload_that_fails_keeps_the_value_and_the_next_one_waits_longer_and_longer() {
    let it = set(|builder| builder.refresh_after(10 * SECOND).retry_after(SECOND));
    assert_eq!(it.get(), Ok(1));
    it.source.set_down(true);
    it.clock.advance(10 * SECOND);
    assert_eq!((it.get(), it.later.run()), (Ok(1), 1));
    for pause in [1, 2, 4, 8] {
        assert_eq!((it.get(), it.later.run()), (Ok(1), 0));
        it.clock.advance(pause * SECOND - Duration::from_nanos(1));
        assert_eq!((it.get(), it.later.run()), (Ok(1), 0), "{pause}");
        it.clock.advance(Duration::from_nanos(1));
        assert_eq!((it.get(), it.later.run()), (Ok(1), 1), "{pause}");
    }
    it.source.set_down(false);
    it.clock.advance(16 * SECOND);
    let calls = it.source.calls() + 1;
    assert_eq!((it.get(), it.later.run(), it.get()), (Ok(1), 1, Ok(calls)));
    assert_eq!(it.cache.stats().load_failures, 5);
}

#[test]
fn the_end_of_a_values_life_is_the_end() {
    let it = set(|builder| builder.refresh_after(10 * SECOND));
    assert_eq!(it.get(), Ok(1));
    it.clock.advance(99 * SECOND);
    assert_eq!(it.get(), Ok(1));
    it.clock.advance(SECOND);
    it.source.set_down(true);
    assert_eq!(it.get(), down(), "whatever reload is under way");
    assert_eq!(it.cache.get(&1), None);
}

#[test]
fn a_stale_value_serves_only_if_loading_fails_and_not_for_ever() {
    let it = set(|builder| builder.stale_if_error(50 * SECOND).retry_after(SECOND));
    assert_eq!(it.get(), Ok(1));
    it.clock.advance(100 * SECOND);
    assert_eq!(it.cache.get(&1), None, "nobody else sees it");
    assert_eq!((it.cache.peek(&1), it.cache.contains_key(&1)), (None, false));
    assert_eq!((it.cache.expires_in(&1), it.cache.iter().count()), (None, 0));
    it.source.set_down(true);
    assert_eq!((it.get(), it.source.calls()), (Ok(1), 2));
    assert_eq!((it.get(), it.source.calls()), (Ok(1), 2), "it is not tried again at once");
    it.clock.advance(SECOND);
    assert_eq!((it.get(), it.source.calls()), (Ok(1), 3));
    assert_eq!(it.cache.stats().stale_served, 3);
    it.clock.advance(49 * SECOND);
    assert_eq!(it.get(), down(), "it has been stale for too long");
    it.source.set_down(false);
    let calls = it.source.calls() + 1;
    assert_eq!(it.get(), Ok(calls));
    it.cache.validate().unwrap();
}

#[test]
fn a_stale_value_is_replaced_by_a_load_that_succeeds() {
    let it = set(|builder| builder.stale_if_error(50 * SECOND));
    assert_eq!(it.get(), Ok(1));
    it.clock.advance(120 * SECOND);
    assert_eq!((it.get(), it.cache.get(&1), it.cache.len()), (Ok(2), Some(2), 1));
    it.cache.validate().unwrap();
}

#[test]
fn what_was_invalidated_is_never_served_stale() {
    let meddlings: [fn(&Loading); 4] = [
        |cache| cache.invalidate(&1),
        |cache| cache.invalidate_all(),
        |cache| cache.clear(),
        |cache| assert_eq!(cache.remove(&1), None),
    ];
    for meddle in meddlings {
        let it = set(|builder| builder.stale_if_error(50 * SECOND));
        assert_eq!(it.get(), Ok(1));
        it.clock.advance(110 * SECOND);
        it.source.set_down(true);
        meddle(&it.cache);
        assert_eq!(it.get(), down());
    }
}

#[test]
fn early_refreshes_come_before_the_end_and_only_if_loading_takes_time() {
    let it = set(|builder| builder.early_refresh(1.0));
    assert_eq!(it.get(), Ok(1));
    it.clock.advance(100 * SECOND - Duration::from_nanos(1));
    assert_eq!((it.get(), it.later.run()), (Ok(1), 0), "a load took no time");
    *it.source.takes.lock().unwrap() = 1000 * SECOND;
    let slow = set(|builder| builder.early_refresh(1.0));
    *slow.source.takes.lock().unwrap() = 1_000_000 * SECOND;
    assert_eq!(slow.get(), Ok(1));
    // Each read reloads with a probability of exp(-0.0001): it does not take
    // many of them.
    let reloads = (0..1000).find(|_| {
        assert!(slow.get().is_ok());
        slow.later.run() > 0
    });
    assert!(reloads.is_some());
}

#[test]
fn a_forced_reload_replaces_the_value_and_a_failed_one_does_not() {
    let it = set(|builder| builder);
    assert_eq!((it.cache.refresh(&1), it.cache.get(&1)), (Ok(1), Some(1)), "without a value");
    assert_eq!((it.cache.refresh(&1), it.cache.get(&1)), (Ok(2), Some(2)));
    it.source.set_down(true);
    assert_eq!((it.cache.refresh(&1), it.cache.get(&1)), (down(), Some(2)));
    it.source.set_down(false);
    assert_eq!(pollster::block_on(it.cache.refresh_async(&1)), Ok(4));
    assert_eq!(it.cache.stats().refreshes, 3);
}

#[test]
fn everything_together() {
    let it = set(|builder| {
        builder
            .refresh_after(10 * SECOND)
            .stale_if_error(50 * SECOND)
            .negative_ttl(5 * SECOND)
            .retry_after(4 * SECOND)
            .early_refresh(1.0)
    });
    // No value: a failure is remembered, and nothing else serves.
    it.source.set_down(true);
    assert_eq!((it.get(), it.get(), it.source.calls()), (down(), down(), 1));
    it.clock.advance(5 * SECOND);
    it.source.set_down(false);
    assert_eq!((it.get(), it.source.calls()), (Ok(2), 2));
    // Old: reloaded in the background; that fails, and waits.
    it.clock.advance(10 * SECOND);
    it.source.set_down(true);
    assert_eq!((it.get(), it.later.run(), it.get(), it.later.run()), (Ok(2), 1, Ok(2), 0));
    it.clock.advance(4 * SECOND);
    assert_eq!((it.get(), it.later.run()), (Ok(2), 1));
    // Expired: loads fail, and the stale value serves; then it does not.
    it.clock.advance(86 * SECOND);
    assert_eq!((it.cache.get(&1), it.get()), (None, Ok(2)));
    let calls = it.source.calls();
    assert_eq!((it.get(), it.source.calls()), (Ok(2), calls));
    it.clock.advance(50 * SECOND);
    assert_eq!(it.get(), down());
    // A forced reload does not ask for remembered failures.
    it.source.set_down(false);
    let next = it.source.calls() + 1;
    assert_eq!((it.get(), it.cache.refresh(&1), it.get()), (down(), Ok(next), Ok(next)));
    it.cache.validate().unwrap();
}

#[test]
fn an_inline_reload_is_done_when_the_read_returns() {
    let clock = ManualClock::new();
    let cache = Cache::<u64, u64>::builder()
        .capacity(10)
        .clock(clock.clone())
        .loader(|key: &u64| Ok::<_, u8>(key * 2))
        .refresh_after(SECOND)
        .spawner(Inline)
        .build()
        .unwrap();
    cache.insert(1, 70);
    clock.advance(SECOND);
    assert_eq!((cache.get_or_load(&1), cache.get(&1)), (Ok(70), Some(2)));
}

#[test]
fn without_a_spawner_a_thread_of_the_caches_own_reloads() {
    must_end("the cache's own thread", || {
        let (clock, (tell, told)) = (ManualClock::new(), channel());
        let tell = Mutex::new(tell);
        let cache = Cache::<u64, thread::ThreadId>::builder()
            .capacity(10)
            .clock(clock.clone())
            .loader(move |_: &u64| {
                let id = thread::current().id();
                tell.lock().unwrap().send(id).unwrap();
                Ok::<_, u8>(id)
            })
            .refresh_after(SECOND)
            .build()
            .unwrap();
        let me = thread::current().id();
        assert_eq!(cache.get_or_load(&1), Ok(me));
        assert_eq!(told.recv(), Ok(me));
        clock.advance(SECOND);
        assert_eq!(cache.get_or_load(&1), Ok(me));
        let worker = told.recv().unwrap();
        assert_ne!(worker, me);
        while cache.get(&1) != Some(worker) {
            thread::yield_now();
        }
        drop(cache);
        // The loader goes with the last handle, also that of the thread.
        assert!(told.recv().is_err());
    })
    .unwrap();
}

#[test]
fn an_async_loader_serves_tasks_and_threads() {
    must_end("an async loader", || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let handle = runtime.handle().clone();
        let clock = ManualClock::new();
        let cache = Cache::<String, usize>::builder()
            .capacity(10)
            .clock(clock.clone())
            .loader_async(|key: &String| {
                let length = key.len();
                async move {
                    tokio::task::yield_now().await;
                    if length == 0 { Err("empty") } else { Ok(length) }
                }
            })
            .refresh_after(SECOND)
            .spawner(move |task: Task| drop(handle.spawn(task)))
            .build()
            .unwrap();
        assert_eq!(cache.get_or_load("pear"), Ok(4));
        let task = {
            let cache = cache.clone();
            runtime.spawn(async move {
                let found = cache.get_or_load_async("fig").await;
                (found, cache.get_or_load_async("").await.is_err())
            })
        };
        assert_eq!(runtime.block_on(task).unwrap(), (Ok(3), true));
        cache.insert("pear".to_owned(), 0);
        clock.advance(SECOND);
        assert_eq!(cache.get_or_load("pear"), Ok(0));
        while cache.get("pear") != Some(4) {
            thread::yield_now();
        }
    })
    .unwrap();
}

#[test]
fn a_reload_whose_loader_panics_or_is_dropped_keeps_the_value() {
    keep_quiet_about("on purpose");
    must_end("a panicking reload", || {
        let clock = ManualClock::new();
        let cache = Cache::<u64, u64>::builder()
            .capacity(10)
            .clock(clock.clone())
            .loader(|_: &u64| -> Result<u64, u8> { panic!("on purpose") })
            .refresh_after(SECOND)
            .build()
            .unwrap();
        cache.insert(1, 70);
        clock.advance(SECOND);
        assert_eq!(cache.get_or_load(&1), Ok(70));
        while cache.stats().load_failures == 0 {
            thread::yield_now();
        }
        assert_eq!(cache.get_or_load(&1), Ok(70));
        cache.validate().unwrap();
    })
    .unwrap();
    let it = set(|builder| builder.refresh_after(SECOND));
    it.cache.insert(1, 70);
    it.clock.advance(SECOND);
    assert_eq!(it.get(), Ok(70));
    it.later.0.lock().unwrap().clear();
    it.cache.validate().unwrap();
    assert_eq!(
        (it.get(), it.later.run(), it.get()),
        (Ok(70), 1, Ok(1)),
        "the next read tries again"
    );
}
