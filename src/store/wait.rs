//! Waiting, for threads and for tasks alike.
//!
//! Everything that may wait is written once, as a future. A thread is a task
//! whose waker unparks it ([`block_on`]); it differs only in how it is woken
//! when a time has come ([`Alarm`]).

use parking_lot::{Condvar, Mutex};
use std::collections::BinaryHeap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// Whoever waits for one kind of event.
#[derive(Default)]
pub(crate) struct WakerSet {
    waiting: Vec<(u64, Waker)>,
    next: u64,
}

impl WakerSet {
    /// Adds `waker`, or renews it. `id` is the waiter's, to be kept.
    pub(crate) fn add(&mut self, id: &mut Option<u64>, waker: &Waker) {
        let own = id.and_then(|id| self.waiting.iter_mut().find(|(other, _)| *other == id));
        if let Some((_, old)) = own {
            old.clone_from(waker);
            return;
        }
        *id = Some(self.next);
        self.waiting.push((self.next, waker.clone()));
        self.next += 1;
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.waiting.retain(|(other, _)| *other != id);
    }

    /// Moves all of them to `ring`, to be woken once no lock is held.
    pub(crate) fn ring_into(&mut self, ring: &mut Vec<Waker>) {
        ring.extend(self.waiting.drain(..).map(|(_, waker)| waker));
    }
}

/// Wakes a waiter when a time has come.
pub(crate) trait Alarm: Send + Sync {
    fn set(&self, at: Instant, waker: &Waker);
}

/// For a thread in [`block_on`], which then parks no longer than that.
#[derive(Default)]
pub(crate) struct ThreadAlarm(Mutex<Option<Instant>>);

impl Alarm for ThreadAlarm {
    fn set(&self, at: Instant, _waker: &Waker) {
        let mut earliest = self.0.lock();
        *earliest = Some(earliest.map_or(at, |other| other.min(at)));
    }
}

struct Unpark(crate::sync::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs `future` on this thread.
pub(crate) fn block_on<F: Future>(alarm: &ThreadAlarm, future: F) -> F::Output {
    let mut future = pin!(future);
    // Most calls have nothing to wait for, and need no waker.
    if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return done;
    }
    let waker = Waker::from(Arc::new(Unpark(crate::sync::thread::current())));
    loop {
        *alarm.0.lock() = None;
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        match *alarm.0.lock() {
            Some(at) => {
                crate::sync::thread::park_timeout(at.saturating_duration_since(Instant::now()))
            }
            None => crate::sync::thread::park(),
        }
    }
}

/// For a task: a thread of larder's own, started on first use, that serves all
/// caches of the process. So no runtime is asked for a timer.
#[derive(Default)]
pub(crate) struct TaskAlarm(Mutex<Option<(Instant, Waker)>>);

impl Alarm for TaskAlarm {
    fn set(&self, at: Instant, waker: &Waker) {
        let mut last = self.0.lock();
        if last.as_ref().is_some_and(|(when, who)| *when == at && who.will_wake(waker)) {
            return;
        }
        *last = Some((at, waker.clone()));
        drop(last);
        timer().add(at, waker.clone());
    }
}

struct Ring {
    at: Instant,
    waker: Waker,
}

/// The earliest is the greatest, so that a heap gives it first.
impl Ord for Ring {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Ring {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ring {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Ring {}

#[derive(Default)]
struct Timer {
    rings: Mutex<BinaryHeap<Ring>>,
    changed: Condvar,
}

fn timer() -> &'static Timer {
    static TIMER: OnceLock<&'static Timer> = OnceLock::new();
    TIMER.get_or_init(|| {
        let timer: &'static Timer = Box::leak(Box::default());
        let run = move || timer.run();
        // Without a thread no task is woken by time, only by events.
        let _ = thread::Builder::new().name("larder-timer".to_owned()).spawn(run);
        timer
    })
}

impl Timer {
    fn add(&self, at: Instant, waker: Waker) {
        self.rings.lock().push(Ring { at, waker });
        self.changed.notify_one();
    }

    fn run(&self) {
        let mut rings = self.rings.lock();
        loop {
            let now = Instant::now();
            match rings.peek().map(|ring| ring.at) {
                None => self.changed.wait(&mut rings),
                Some(at) if at > now => drop(self.changed.wait_until(&mut rings, at)),
                Some(_) => {
                    let due = rings.pop();
                    parking_lot::MutexGuard::unlocked(&mut rings, || {
                        // A waker is the runtime's; its panic is not ours.
                        let wake = || due.map(|ring| ring.waker.wake());
                        let _ = catch_unwind(AssertUnwindSafe(wake));
                    });
                }
            }
        }
    }
}

/// When `wait` will be over; `None` if that is too far off to say.
pub(crate) fn deadline_in(wait: Duration) -> Option<Instant> {
    Instant::now().checked_add(wait)
}

#[cfg(all(test, not(larder_loom), not(larder_shuttle)))]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// Ready once `at` has come.
    async fn until(at: Instant, alarm: &impl Alarm) {
        poll_fn(|cx| {
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            alarm.set(at, cx.waker());
            Poll::Pending
        })
        .await;
    }

    #[test]
    fn a_thread_and_a_task_are_woken_by_their_alarms() {
        let at = Instant::now() + Duration::from_millis(2);
        let alarm = ThreadAlarm::default();
        block_on(&alarm, until(at, &alarm));
        // The thread has no alarm of its own here: only the timer wakes it.
        let at = Instant::now() + Duration::from_millis(2);
        block_on(&ThreadAlarm::default(), until(at, &TaskAlarm::default()));
    }

    #[test]
    fn a_waiter_that_has_gone_is_not_kept() {
        let mut set = WakerSet::default();
        let mut id = None;
        set.add(&mut id, Waker::noop());
        set.add(&mut id, Waker::noop());
        assert_eq!(set.waiting.len(), 1, "renewed, not added again");
        set.remove(id.unwrap());
        assert!(set.waiting.is_empty());
    }
}
