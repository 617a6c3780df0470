//! Where work goes that nobody waits for.

use crate::sync::{Condvar, Mutex, thread};
use crate::wait::{ThreadAlarm, block_on};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

/// A piece of work that nobody waits for.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs tasks in the background. The user's runtime, as a cache sees it; any
/// closure that takes a [`Task`] will do:
///
/// ```no_run
/// use larder::Task;
///
/// let on_tokio = |task: Task| drop(tokio::spawn(task));
/// # fn is_spawn(_: impl larder::Spawn) {}
/// # is_spawn(on_tokio);
/// ```
///
/// A task that is dropped without being run to its end is a load that was
/// cancelled: nobody waits for it in vain.
pub trait Spawn: Send + Sync {
    /// Sees to it that `task` runs to its end, soon.
    fn spawn(&self, task: Task);
}

impl<F: Fn(Task) + Send + Sync> Spawn for F {
    fn spawn(&self, task: Task) {
        self(task);
    }
}

/// Runs each task at once, on the thread that spawns it, which waits for it:
/// whoever comes upon a value that is due for a reload has to reload it.
///
/// ```
/// use larder::{Inline, Spawn};
/// use std::sync::{Arc, Mutex};
///
/// let told = Arc::new(Mutex::new(0));
/// let teller = Arc::clone(&told);
/// Inline.spawn(Box::pin(async move { *teller.lock().unwrap() = 3 }));
/// assert_eq!(*told.lock().unwrap(), 3);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline;

impl Spawn for Inline {
    fn spawn(&self, task: Task) {
        block_on(task, &ThreadAlarm::default());
    }
}

/// One thread that runs one task after the other. It is started by the first
/// task, and ends when this is dropped; tasks that have not begun by then are
/// dropped.
#[derive(Default)]
pub(crate) struct Worker {
    desk: Arc<Desk>,
}

#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    is_running: bool,
    is_over: bool,
}

impl Spawn for Worker {
    fn spawn(&self, task: Task) {
        let mut state = self.desk.state.lock();
        state.tasks.push_back(task);
        if !state.is_running {
            state.is_running = self.start();
        }
        let is_running = state.is_running;
        drop(state);
        self.desk.changed.notify_one();
        if !is_running {
            // There is no thread to be had: whoever asks has to do it.
            self.desk.run_all();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut state = self.desk.state.lock();
        state.is_over = true;
        let tasks = std::mem::take(&mut state.tasks);
        drop(state);
        self.desk.changed.notify_one();
        drop(tasks);
    }
}

impl Worker {
    fn start(&self) -> bool {
        let desk = Arc::clone(&self.desk);
        let thread = thread::Builder::new().name("larder-worker".to_owned());
        thread.spawn(move || desk.run()).is_ok()
    }
}

impl Desk {
    fn run(&self) {
        let mut state = self.state.lock();
        while !state.is_over {
            if state.tasks.is_empty() {
                self.changed.wait(&mut state);
                continue;
            }
            drop(state);
            self.run_all();
            state = self.state.lock();
        }
    }

    fn run_all(&self) {
        loop {
            let Some(task) = self.state.lock().tasks.pop_front() else { return };
            // The loader's panic was counted as a failed load.
            let _ = catch_unwind(AssertUnwindSafe(|| Inline.spawn(task)));
        }
    }
}

#[cfg(all(test, not(larder_loom), not(larder_shuttle)))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_worker_outlives_a_panic_and_ends_with_its_owner() {
        std::panic::set_hook(Box::new(|_| {}));
        let worker = Worker::default();
        let desk = Arc::downgrade(&worker.desk);
        worker.spawn(Box::pin(async { panic!("on purpose") }));
        let (tell, told) = channel();
        worker.spawn(Box::pin(async move { tell.send(thread::current().id()).unwrap() }));
        assert_ne!(told.recv().unwrap(), thread::current().id());
        drop(worker);
        while desk.strong_count() > 0 {
            thread::yield_now();
        }
        let _ = std::panic::take_hook();
    }
}
