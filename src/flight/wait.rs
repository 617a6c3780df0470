//! A thread that waits as a task does.

use crate::sync::modelled::{Condvar, Mutex};
use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

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

/// Wakes whoever waits with a limit when the limit is reached.
pub(crate) trait Alarm {
    /// As long as this lives, the alarm is set.
    type Set<'a>
    where
        Self: 'a;

    fn set(&self, at: Instant, waker: &Waker) -> Self::Set<'_>;
}

/// The alarm of a thread that waits in [`block_on`].
#[derive(Default)]
pub(crate) struct ThreadAlarm(Cell<Option<Instant>>);

pub(crate) struct ThreadAlarmSet<'a>(&'a ThreadAlarm);

impl Alarm for ThreadAlarm {
    type Set<'a> = ThreadAlarmSet<'a>;

    fn set(&self, at: Instant, _waker: &Waker) -> ThreadAlarmSet<'_> {
        self.0.set(Some(at));
        ThreadAlarmSet(self)
    }
}

impl Drop for ThreadAlarmSet<'_> {
    fn drop(&mut self) {
        self.0.0.set(None);
    }
}

/// Runs `future` to its end on this thread. The future may set `alarm`.
pub(crate) fn block_on<F: Future>(future: F, alarm: &ThreadAlarm) -> F::Output {
    let mut future = pin!(future);
    // Most futures here are a leader's, and ready at once: no bell for these.
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return output;
    }
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut cx = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => bell.wait(alarm.0.get()),
        }
    }
}
