//! A thread that wakes tasks which wait with a limit.
//!
//! No runtime can be assumed, so no runtime's timer can be used. The thread is
//! started by the first task of a cache that waits with a limit, for another
//! one's load or for a store's turn, and ends with the cache. Threads need none: they can wait with a
//! limit by themselves.

use crate::wait::{Alarm, wake_all};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::thread;
use std::time::Instant;

// Not the primitives of a model checker: these know no time.
use parking_lot::{Condvar, Mutex};

#[derive(Default)]
pub(crate) struct AlarmClock {
    board: Arc<Board>,
}

#[derive(Default)]
struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By time, and a number, since two may be set to the same time.
    waiting: BTreeMap<(Instant, u64), Waker>,
    next: u64,
    is_running: bool,
    is_over: bool,
}

impl Drop for AlarmClock {
    fn drop(&mut self) {
        self.board.state.lock().is_over = true;
        self.board.changed.notify_one();
    }
}

/// An alarm that is set; dropping it takes it back.
pub(crate) struct AlarmSet {
    board: Arc<Board>,
    at: (Instant, u64),
}

impl Drop for AlarmSet {
    fn drop(&mut self) {
        let waker = self.board.state.lock().waiting.remove(&self.at);
        drop(waker);
    }
}

impl Alarm for AlarmClock {
    type Set<'a> = AlarmSet;

    fn set(&self, at: Instant, waker: &Waker) -> AlarmSet {
        let waker = waker.clone();
        let mut state = self.board.state.lock();
        let at = (at, state.next);
        state.next += 1;
        let is_first = state.waiting.keys().next().is_none_or(|first| at < *first);
        state.waiting.insert(at, waker);
        if !state.is_running {
            state.is_running = self.start();
        } else if is_first {
            self.board.changed.notify_one();
        }
        drop(state);
        AlarmSet { board: Arc::clone(&self.board), at }
    }
}

impl AlarmClock {
    /// Whether it could be started. If not, the limit is seen when the task is
    /// polled for another reason, and the next one tries again.
    fn start(&self) -> bool {
        let board = Arc::clone(&self.board);
        let thread = thread::Builder::new().name("larder-alarm".to_owned());
        thread.spawn(move || board.run()).is_ok()
    }
}

impl Board {
    fn run(&self) {
        let mut state = self.state.lock();
        while !state.is_over {
            let Some(first) = state.waiting.keys().next().copied() else {
                self.changed.wait(&mut state);
                continue;
            };
            if Instant::now() < first.0 {
                let _ = self.changed.wait_until(&mut state, first.0);
                continue;
            }
            let waker = state.waiting.remove(&first);
            drop(state);
            wake_all(waker);
            state = self.state.lock();
        }
    }
}
