//! A waker is the user's code, too: of whoever waits, one that panics keeps no
//! other one waiting, and each may use the cache when it is dropped.

#[path = "common/quiet.rs"]
#[allow(dead_code, reason = "shared with tests that read what a panic says")]
mod quiet;
#[path = "common/watchdog.rs"]
mod watchdog;

use larder::Cache;
use larder::store::{AsyncLoader, AsyncStore, StoreCache};
use quiet::keep_quiet_about;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use watchdog::must_end;

const BOOM: &str = "boom: a waker of the test's own";

#[derive(Default)]
struct Bell {
    has_rung: AtomicBool,
    is_cracked: bool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.has_rung.store(true, Ordering::Relaxed);
        assert!(!self.is_cracked, "{BOOM}");
    }
}

/// The second of them panics when it is rung.
fn bells() -> [Arc<Bell>; 4] {
    [0, 1, 2, 3].map(|at| Arc::new(Bell { is_cracked: at == 1, ..Bell::default() }))
}

fn poll<F: Future>(future: &mut Pin<Box<F>>, waker: &Waker) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(waker))
}

/// Ready when `gate` is open. It is asked again whenever it is polled.
async fn opened(gate: &AtomicBool) {
    poll_fn(|_| if gate.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Lets each of `waiters` wait, ends what they wait for, and sees to it that
/// each is told.
fn all_are_rung<F: Future>(mut waiters: [Pin<Box<F>>; 4], end: impl FnOnce()) {
    keep_quiet_about(BOOM);
    let bells = bells();
    for (waiter, bell) in waiters.iter_mut().zip(&bells) {
        assert!(poll(waiter, &Waker::from(Arc::clone(bell))).is_pending());
    }
    end();
    for (at, bell) in bells.iter().enumerate() {
        assert!(bell.has_rung.load(Ordering::Relaxed), "number {at} waits in vain");
    }
}

#[test]
fn a_load_that_lands_wakes_all_who_wait_for_it() {
    let (cache, gate) = (Cache::<u64, u64>::new(100), AtomicBool::new(false));
    let load = async {
        opened(&gate).await;
        7
    };
    let mut leader = Box::pin(cache.get_with_async(&1, load));
    assert!(poll(&mut leader, Waker::noop()).is_pending());
    let waiter = || Box::pin(cache.get_with_async(&1, async { unreachable!("it is loaded") }));
    all_are_rung([waiter(), waiter(), waiter(), waiter()], || {
        gate.store(true, Ordering::Relaxed);
        assert_eq!(poll(&mut leader, Waker::noop()), Poll::Ready(7), "it is not the leader's");
    });
}

#[test]
fn a_leader_that_is_dropped_wakes_all_who_wait_for_it() {
    let (cache, gate) = (Cache::<u64, u64>::new(100), AtomicBool::new(false));
    let load = || async {
        opened(&gate).await;
        7
    };
    let mut leader = Box::pin(cache.get_with_async(&1, load()));
    assert!(poll(&mut leader, Waker::noop()).is_pending());
    let waiter = || Box::pin(cache.get_with_async(&1, load()));
    all_are_rung([waiter(), waiter(), waiter(), waiter()], || drop(leader));
}

/// A store whose writes end when the gate is open.
struct Gated(AtomicBool);

impl AsyncLoader<u64, u64> for Gated {
    type Error = Infallible;

    async fn load(&self, _: &u64) -> Result<Option<u64>, Infallible> {
        Ok(None)
    }
}

impl AsyncStore<u64, u64> for Gated {
    async fn write(&self, _: &u64, _: &u64) -> Result<(), Infallible> {
        opened(&self.0).await;
        Ok(())
    }

    async fn delete(&self, _: &u64) -> Result<(), Infallible> {
        Ok(())
    }
}

fn gated() -> StoreCache<u64, u64, Gated> {
    let store = Gated(AtomicBool::new(false));
    StoreCache::builder(Cache::new(100), store).build_async().unwrap()
}

#[test]
fn a_write_that_ends_wakes_all_who_wait_for_their_turn() {
    let cache = gated();
    let mut first = Box::pin(cache.put_async(1, 1));
    assert!(poll(&mut first, Waker::noop()).is_pending());
    let waiter = || Box::pin(cache.put_async(1, 2));
    all_are_rung([waiter(), waiter(), waiter(), waiter()], || {
        cache.store().0.store(true, Ordering::Relaxed);
        assert!(matches!(poll(&mut first, Waker::noop()), Poll::Ready(Ok(()))));
    });
}

/// Looks at the cache when it is dropped.
struct Curious(StoreCache<u64, u64, Gated>);

impl Wake for Curious {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Curious {
    fn drop(&mut self) {
        assert_eq!(self.0.stats().failed, 0);
    }
}

#[test]
fn a_waker_may_use_the_cache_as_it_is_dropped() {
    let ended = must_end("a waker that is dropped by a cache over a store", || {
        let cache = gated();
        let mut first = Box::pin(cache.put_async(1, 1));
        assert!(poll(&mut first, Waker::noop()).is_pending());
        let mut waiter = Box::pin(cache.put_async(1, 2));
        let curious = || Waker::from(Arc::new(Curious(cache.clone())));
        assert!(poll(&mut waiter, &curious()).is_pending());
        assert!(poll(&mut waiter, &curious()).is_pending(), "the first one is dropped");
        drop(waiter);
    });
    assert!(ended.is_ok());
}
