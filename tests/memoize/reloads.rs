//! Caches that call the function of their own accord.

use crate::Calls;
use larder::{Inline, ManualClock, memoize};
use std::io;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

type Clock = LazyLock<ManualClock>;
const SECOND: Duration = Duration::from_secs(1);

static CLOCK: Clock = Clock::new(ManualClock::new);
static VERSION: AtomicU64 = AtomicU64::new(0);

#[memoize(refresh_after = "1m", ttl = "10m", clock = CLOCK.clone(), spawner = Inline, tags = "all")]
fn versioned(name: &str, n: u64) -> String {
    format!("{name}{n} v{}", VERSION.fetch_add(1, Ordering::SeqCst))
}

#[test]
fn an_old_value_is_returned_once_more_while_it_is_reloaded() {
    assert_eq!(versioned("a", 1), "a1 v0");
    CLOCK.advance(SECOND * 59);
    assert_eq!(versioned("a", 1), "a1 v0");
    CLOCK.advance(SECOND);
    assert_eq!(versioned("a", 1), "a1 v0", "starts the reload");
    assert_eq!(versioned("a", 1), "a1 v1");
    assert_eq!(versioned::get("a", 1).as_deref(), Some("a1 v1"));
    versioned::cache().invalidate_tag("all");
    assert_eq!(versioned::get("a", 1), None, "a reload keeps the tags");
}

static DOWN: AtomicBool = AtomicBool::new(false);
static READ: Calls = Calls::new();
static READ_CLOCK: Clock = Clock::new(ManualClock::new);

#[memoize(ttl = "1m", stale_if_error = "10m", retry_after = "5s", clock = READ_CLOCK.clone())]
fn read(key: String) -> io::Result<String> {
    READ.add();
    if DOWN.load(Ordering::SeqCst) { Err(io::Error::other("down")) } else { Ok(key) }
}

#[test]
fn a_value_that_has_expired_is_better_than_an_error() {
    let call = || read("a".to_owned()).map_err(|error| error.to_string());
    assert_eq!((call(), READ.take()), (Ok("a".to_owned()), 1));
    READ_CLOCK.advance(SECOND * 61);
    DOWN.store(true, Ordering::SeqCst);
    assert_eq!((call(), READ.take()), (Ok("a".to_owned()), 1), "tried, and failed");
    assert_eq!(read("b".to_owned()).unwrap_err().to_string(), "down");
    READ_CLOCK.advance(SECOND * 601);
    assert_eq!(call(), Err("down".to_owned()));
    DOWN.store(false, Ordering::SeqCst);
    assert_eq!(call(), Ok("a".to_owned()));
}

static ASYNC_CLOCK: Clock = Clock::new(ManualClock::new);
static ASYNC_VERSION: AtomicU64 = AtomicU64::new(0);

#[memoize(
    refresh_after = "1m",
    early_refresh = 1.0,
    ttl = "10m",
    clock = ASYNC_CLOCK.clone(),
    spawner = Inline,
    some_only
)]
async fn fetched(name: &str, n: u64) -> Result<Option<String>, io::Error> {
    std::future::ready(()).await;
    Ok(Some(format!("{name}{n} v{}", ASYNC_VERSION.fetch_add(1, Ordering::SeqCst))))
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Client(u64);

impl Client {
    #[memoize(include(self), name = pages, refresh_after = "1m", clock = METHOD_CLOCK.clone(), spawner = Inline)]
    fn page(&self, n: u64) -> u64 {
        self.0 + n + 1000 * METHOD_VERSION.fetch_add(1, Ordering::SeqCst)
    }
}

static METHOD_CLOCK: Clock = Clock::new(ManualClock::new);
static METHOD_VERSION: AtomicU64 = AtomicU64::new(0);

#[test]
fn async_functions_and_methods_are_reloaded_too() {
    let call = || pollster::block_on(fetched("a", 1)).unwrap().unwrap();
    assert_eq!(call(), "a1 v0");
    ASYNC_CLOCK.advance(SECOND * 60);
    assert_eq!([call(), call()], ["a1 v0", "a1 v1"]);
    assert_eq!(Client(3).page(4), 7);
    METHOD_CLOCK.advance(SECOND * 60);
    assert_eq!([Client(3).page(4), Client(3).page(4)], [7, 1007]);
    assert_eq!(Client::pages_cache().len(), 1);
}
