//! Waiting, for threads and for tasks alike.
//!
//! Everything that may wait is written once, as a future, and leaves its waker
//! in a [`WakerSet`]. A thread is a task whose waker rings a bell that it waits
//! for ([`block_on`]); it differs only in how it is woken when a time has come
//! ([`Alarm`]).
//!
//! A waker is the user's code. It is cloned, woken and dropped without a lock.

use crate::sync::modelled::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// Whoever waits for one kind of event.
#[derive(Default)]
pub(crate) struct WakerSet {
    /// By a number that is the waiter's own, in the order in which they came.
    waiting: BTreeMap<u64, Waker>,
    next: u64,
}

impl WakerSet {
    /// Adds `waker`, or puts it in the place of the one that `id` had before,
    /// which comes back to be dropped after the lock. `id` is the waiter's, to
    /// be kept.
    pub(crate) fn add(&mut self, id: &mut Option<u64>, waker: Waker) -> Option<Waker> {
        let id = *id.get_or_insert_with(|| {
            self.next += 1;
            self.next
        });
        self.waiting.insert(id, waker)
    }

    /// Who leaves is not woken. The waker is to be dropped after the lock.
    pub(crate) fn remove(&mut self, id: u64) -> Option<Waker> {
        self.waiting.remove(&id)
    }

    /// Takes all of them out, for [`wake_all`].
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Waker> + use<> {
        std::mem::take(&mut self.waiting).into_values()
    }

    #[cfg(all(test, not(larder_shuttle)))]
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// Wakes each of `wakers`; not to be called under a lock. They are other
/// tasks', and belong to their runtimes: one that panics keeps neither the
/// others from being woken nor the caller from going on.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

/// Wakes whoever waits with a limit when the limit is reached.
pub(crate) trait Alarm: Send + Sync {
    /// As long as this lives, the alarm is set.
    type Set<'a>: Send
    where
        Self: 'a;

    fn set(&self, at: Instant, waker: &Waker) -> Self::Set<'_>;
}

/// The alarm of a thread that waits in [`block_on`]: it waits no longer than
/// that.
#[derive(Default)]
pub(crate) struct ThreadAlarm(parking_lot::Mutex<Option<Instant>>);

pub(crate) struct ThreadAlarmSet<'a>(&'a ThreadAlarm);

impl Alarm for ThreadAlarm {
    type Set<'a> = ThreadAlarmSet<'a>;

    fn set(&self, at: Instant, _waker: &Waker) -> ThreadAlarmSet<'_> {
        *self.0.lock() = Some(at);
        ThreadAlarmSet(self)
    }
}

impl Drop for ThreadAlarmSet<'_> {
    fn drop(&mut self) {
        *self.0.0.lock() = None;
    }
}

/// What wakes a thread. A flag and a condition rather than `park`: the user's
/// code below may park and unpark the thread for reasons of its own.
#[derive(Default)]
struct Bell {
    has_rung: Mutex<bool>,
    rung: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.has_rung.lock() = true;
        self.rung.notify_one();
    }
}

impl Bell {
    /// Waits until the bell rings, or until `until`.
    fn wait(&self, until: Option<Instant>) {
        let mut has_rung = self.has_rung.lock();
        while !*has_rung {
            match until {
                None => self.rung.wait(&mut has_rung),
                Some(until) if Instant::now() < until => {
                    let _ = self.rung.wait_until(&mut has_rung, until);
                }
                Some(_) => break,
            }
        }
        *has_rung = false;
    }
}

/// Runs `future` to its end on this thread. The future may set `alarm`.
pub(crate) fn block_on<F: Future>(future: F, alarm: &ThreadAlarm) -> F::Output {
    let mut future = pin!(outcome_of(future));
    // Most futures here have nothing to wait for: no bell for these.
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return output;
    }
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => {
                let until = *alarm.0.lock();
                bell.wait(until);
            }
        }
    }
}

/// As `future.await`, which drops the future when its output is on its way out
/// already, and forgets the output if that panics: here it is dropped first. See
/// [`steady`](crate::steady).
pub(crate) async fn outcome_of<F: Future>(future: F) -> F::Output {
    let mut future = pin!(Some(future));
    let polled = poll_fn(|cx| match future.as_mut().as_pin_mut() {
        Some(future) => future.poll(cx),
        None => unreachable!("it is taken out after its end"),
    });
    let output = polled.await;
    future.set(None);
    output
}

/// When `wait` will be over; `None` if that is too far off to say.
pub(crate) fn deadline_in(wait: Duration) -> Option<Instant> {
    Instant::now().checked_add(wait)
}

#[cfg(all(test, not(larder_loom), not(larder_shuttle)))]
mod tests {
    use super::*;
    use crate::alarm::AlarmClock;

    /// Ready once `at` has come.
    async fn until(at: Instant, alarm: &impl Alarm) {
        let mut set = None;
        let reached = poll_fn(|cx| {
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            drop(set.take());
            set = Some(alarm.set(at, cx.waker()));
            Poll::Pending
        });
        reached.await;
    }

    #[test]
    fn a_thread_and_a_task_are_woken_by_their_alarms() {
        let at = Instant::now() + Duration::from_millis(2);
        let alarm = ThreadAlarm::default();
        block_on(until(at, &alarm), &alarm);
        // The thread has no alarm of its own here: only the clock wakes it.
        let at = Instant::now() + Duration::from_millis(2);
        block_on(until(at, &AlarmClock::default()), &ThreadAlarm::default());
    }

    #[test]
    fn a_waiter_that_has_gone_is_not_kept() {
        let mut set = WakerSet::default();
        let (mut one, mut other) = (None, None);
        assert!(set.add(&mut one, Waker::noop().clone()).is_none());
        assert!(set.add(&mut other, Waker::noop().clone()).is_none());
        assert!(set.add(&mut one, Waker::noop().clone()).is_some(), "renewed, not added again");
        assert_eq!(set.len(), 2);
        assert!(one.and_then(|id| set.remove(id)).is_some());
        assert_eq!(set.drain().count(), 1);
        assert!(set.add(&mut other, Waker::noop().clone()).is_none(), "who was rung comes back");
        assert_eq!(set.len(), 1);
    }
}
