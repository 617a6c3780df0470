//! Workers: they take what is due, call the store, and say what came of it.
//!
//! A worker is a thread, a future that the user spawns, or a caller of
//! `run_due`, `flush` or `close` where there is neither. The queue decides; all
//! that is here is the calls and the waiting.

use super::queue::{Item, Verdict};
use crate::steady::Steady;
use crate::store::backend::Backend;
use crate::store::engine::{Engine, State};
use crate::store::errors::{CloseReport, Failure, FlushError, FlushReport};
use crate::store::traits::Written;
use crate::store::{StoreKey, StoreValue};
use crate::wait::deadline_in;
use std::any::Any;
use std::future::{Future, poll_fn};
use std::hash::BuildHasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

/// How long a worker waits before it tries again what has panicked.
const AFTER_PANIC: Duration = Duration::from_millis(50);

/// What a worker has found.
pub(crate) enum Step {
    Worked,
    /// Nothing is due until then; `None`: nothing waits at all.
    Idle(Option<u64>),
    Over,
}

/// A worker that others may rely on, as long as this lives.
pub(crate) struct Alive<'a, K: StoreKey, V: StoreValue, St, S>(&'a Engine<K, V, St, S>);

impl<'a, K: StoreKey, V: StoreValue, St, S> Alive<'a, K, V, St, S> {
    /// The caller has counted it already.
    pub(crate) fn counted(engine: &'a Engine<K, V, St, S>) -> Self {
        Alive(engine)
    }
}

impl<K: StoreKey, V: StoreValue, St, S> Drop for Alive<'_, K, V, St, S> {
    fn drop(&mut self) {
        if self.0.alive.fetch_sub(1, Ordering::SeqCst) == 1 {
            if self.0.is_deserted() {
                self.0.end_if_orphaned();
            }
            // Whoever waits for a flush has to do it alone now.
            self.0.visit(|state| state.ring_waiters());
        }
    }
}

/// A flusher that was made and has not begun. Dropped by one that begins, after it
/// was counted as alive, or with one that never will.
pub(crate) struct Promised<K: StoreKey, V: StoreValue, St, S>(Arc<Engine<K, V, St, S>>);

impl<K: StoreKey, V: StoreValue, St, S> Promised<K, V, St, S> {
    pub(crate) fn new(engine: Arc<Engine<K, V, St, S>>) -> Self {
        engine.promised.fetch_add(1, Ordering::SeqCst);
        Promised(engine)
    }
}

impl<K: StoreKey, V: StoreValue, St, S> Drop for Promised<K, V, St, S> {
    fn drop(&mut self) {
        self.0.promised.fetch_sub(1, Ordering::SeqCst);
        if self.0.is_deserted() {
            self.0.end_if_orphaned();
        }
    }
}

/// A batch in a call of the store. Dropped before it is answered, in a task
/// that was cancelled, it gives back what it took.
struct InFlight<'a, K: StoreKey, V: StoreValue, St, S> {
    engine: &'a Engine<K, V, St, S>,
    items: Vec<Item<K, V>>,
}

impl<K: StoreKey, V: StoreValue, St, S> InFlight<'_, K, V, St, S> {
    fn land(mut self, verdicts: Vec<Verdict>) {
        let items = std::mem::take(&mut self.items);
        let size = items.len();
        let is_split = size > 1 && matches!(verdicts.first(), Some(Verdict::FailedAmong(..)));
        let stored: Vec<(&K, u64)> = items
            .iter()
            .zip(&verdicts)
            .filter(|(_, verdict)| matches!(verdict, Verdict::Stored))
            .map(|(item, _)| (&*item.key, item.version))
            .collect();
        // First the journal: whoever was told that all is stored may look at
        // it. If we die in between, it is stored once more.
        if let Some(journal) = self.engine.journal.as_ref().filter(|_| !stored.is_empty()) {
            // The codec is the user's; if it panics, a key is stored once more
            // after the next start, and no more than that.
            let _ = catch_unwind(AssertUnwindSafe(|| journal.forget(&stored)));
        }
        drop(stored);
        let now = self.engine.now();
        // All of them land, whatever the user's code does on the way.
        let (mut steady, mut outer) = (Steady::default(), Steady::default());
        outer.step(|| {
            self.engine.visit(|state| {
                for (item, verdict) in items.iter().zip(verdicts) {
                    steady.step(|| state.queue.finish(item, verdict, now));
                }
                if is_split {
                    state.queue.align(&items, now);
                }
                state.ring_waiters();
                state.ring_workers();
            });
        });
        self.engine.tell(self.engine.visit(|state| state.queue.take_dead()));
        steady.finish();
        outer.finish();
    }
}

impl<K: StoreKey, V: StoreValue, St, S> Drop for InFlight<'_, K, V, St, S> {
    fn drop(&mut self) {
        let items = std::mem::take(&mut self.items);
        if items.is_empty() {
            return;
        }
        let now = self.engine.now();
        let (mut steady, mut outer) = (Steady::default(), Steady::default());
        outer.step(|| {
            self.engine.visit(|state| {
                for item in &items {
                    steady.step(|| state.queue.finish(item, Verdict::Cancelled, now));
                }
                state.ring_waiters();
                state.ring_workers();
            });
        });
        steady.finish_drop();
        outer.finish_drop();
    }
}

impl<K: StoreKey, V: StoreValue, St: Sync, S: BuildHasher + Sync + Send> Engine<K, V, St, S> {
    /// Serves the queue until everything is over.
    pub(crate) async fn serve<B: Backend<K, V>>(&self, backend: &B) {
        loop {
            match caught(self.step(backend)).await {
                Ok(Step::Worked) => {}
                Ok(Step::Idle(due)) => self.idle(backend, due).await,
                Ok(Step::Over) => return,
                // A clone or a drop of the user's. Others rely on this worker.
                Err(_) => self.pause(backend).await,
            }
            self.end_if_late();
        }
    }

    /// What has panicked may do so again at once.
    async fn pause<B: Backend<K, V>>(&self, backend: &B) {
        let until = self.earlier(deadline_in(AFTER_PANIC));
        let is_over = |state: &mut State<K, V>| state.queue.is_over().then_some(());
        self.wait(backend, |state| &mut state.workers, until, is_over).await;
    }

    /// Does one batch of what is due.
    pub(crate) async fn step<B: Backend<K, V>>(&self, backend: &B) -> Step {
        let now = self.now();
        let (work, due) = self.visit(|state| {
            let is_over = state.queue.is_over();
            let work = if is_over { None } else { state.queue.take(now) };
            let due = state.queue.next_due();
            if work.is_some() && due.is_some_and(|due| due <= now) {
                // There is more: let another one come and help.
                state.ring_workers();
            }
            // Here already, in case that something else ends this step.
            let in_flight = |items| InFlight { engine: self, items };
            let work = work.map(|work| (in_flight(work.writes), in_flight(work.deletes)));
            (work.ok_or(is_over), due)
        });
        match work {
            Ok((writes, deletes)) => {
                self.fly_batch(backend, writes).await;
                self.fly_batch(backend, deletes).await;
                Step::Worked
            }
            Err(true) => Step::Over,
            Err(false) => Step::Idle(due),
        }
    }

    async fn fly_batch<B: Backend<K, V>>(&self, backend: &B, batch: InFlight<'_, K, V, St, S>) {
        if batch.items.is_empty() {
            return;
        }
        self.calls.writes.fetch_add(1, Ordering::Relaxed);
        let size = batch.items.len();
        let answer = caught(call(backend, &batch.items)).await;
        batch.land(verdicts(size, answer));
    }

    /// Waits until something may be due.
    async fn idle<B: Backend<K, V>>(&self, backend: &B, due: Option<u64>) {
        let deadline = due.map(|due| Duration::from_nanos(due.saturating_sub(self.now())));
        let deadline = deadline.and_then(deadline_in);
        let mut is_first = true;
        let woken = self.wait(
            backend,
            |state| &mut state.workers,
            self.earlier(deadline),
            |state| {
                // Rung since we looked, or something came just before we did.
                let is_rung = !std::mem::replace(&mut is_first, false);
                (is_rung || state.queue.is_over() || state.queue.next_due() != due).then_some(())
            },
        );
        woken.await;
    }

    /// Where the last handle is gone, a worker must not sleep longer than it
    /// has left.
    fn earlier(&self, deadline: Option<Instant>) -> Option<Instant> {
        let orphan = self.visit(|state| state.orphan_until);
        deadline.into_iter().chain(orphan).min()
    }

    /// Waits until all that was written so far, or `key` alone, is stored or
    /// given up.
    pub(crate) async fn flush<B: Backend<K, V>>(
        &self,
        backend: &B,
        key: Option<&K>,
        deadline: Option<Instant>,
    ) -> Result<FlushReport<K>, FlushError> {
        let key = key.map(|key| (self.hash(key), key));
        let lift = self.visit(|state| {
            state.ring_workers();
            Lift { engine: self, id: state.queue.barrier(key) }
        });
        let id = lift.id;
        let is_reached = self.drain(backend, deadline, |state| state.queue.is_reached(id)).await;
        if !is_reached {
            return Err(FlushError::TimedOut { left: self.visit(|s| s.queue.remaining(id)) });
        }
        Ok(FlushReport { failed: lift.now() })
    }

    /// Waits until `is_done`, and works as long as there is no other worker.
    async fn drain<B: Backend<K, V>>(
        &self,
        backend: &B,
        deadline: Option<Instant>,
        is_done: impl Fn(&mut State<K, V>) -> bool,
    ) -> bool {
        loop {
            if self.visit(|state| is_done(state)) {
                return true;
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return false;
            }
            let is_alone = self.alive.load(Ordering::SeqCst) == 0;
            let due = match is_alone {
                true => match self.step(backend).await {
                    Step::Worked => continue,
                    Step::Idle(due) => due,
                    // Somebody else's call is still under way.
                    Step::Over => None,
                },
                false => None,
            };
            let wait = due.map(|due| Duration::from_nanos(due.saturating_sub(self.now())));
            let until = wait.and_then(deadline_in).into_iter().chain(deadline).min();
            let mut is_first = true;
            let rung = self.wait(
                backend,
                |state| &mut state.flushed,
                until,
                |state| {
                    let is_rung = !std::mem::replace(&mut is_first, false);
                    let is_deserted = !is_alone && self.alive.load(Ordering::SeqCst) == 0;
                    // Something came before we were among those who are rung
                    // for, and nobody else would do it.
                    let has_work = is_alone && state.queue.next_due() != due;
                    (is_rung || is_deserted || has_work || is_done(state)).then_some(())
                },
            );
            rung.await;
        }
    }

    pub(crate) async fn close<B: Backend<K, V>>(
        &self,
        backend: &B,
        deadline: Option<Instant>,
    ) -> CloseReport<K> {
        let report = self.visit(|state| {
            state.queue.close();
            state.ring_workers();
            // Writers that wait for room wait in vain.
            state.ring_waiters();
            state.report.clone()
        });
        if let Some(report) = report {
            return report;
        }
        self.drain(backend, deadline, |state| state.queue.is_drained()).await;
        self.end()
    }
}

impl<K: StoreKey, V: StoreValue, St, S> Engine<K, V, St, S> {
    /// Gives up what is left, unless that has happened already.
    pub(crate) fn end(&self) -> CloseReport<K> {
        // It ends, whatever the user's code does on the way.
        let mut steady = Steady::default();
        let (report, dead) = self.visit(|state| {
            if let Some(report) = &state.report {
                return (report.clone(), Vec::new());
            }
            let failed = steady.step(|| state.queue.failed_keys()).unwrap_or_default();
            let (left, in_flight) = state.queue.abandon(&mut steady);
            let report = CloseReport { failed, left, in_flight };
            state.report = Some(report.clone());
            state.ring_workers();
            state.ring_waiters();
            (report, state.queue.take_dead())
        });
        if let Some(journal) = &self.journal {
            journal.close();
        }
        self.tell(dead);
        steady.finish();
        report
    }

    /// The last handle is gone, and with it whoever could close: the workers
    /// have until then.
    pub(crate) fn orphan(&self, deadline: Instant) {
        self.visit(|state| {
            state.queue.close();
            state.orphan_until = Some(deadline);
            state.ring_workers();
            state.ring_waiters();
        });
        if self.is_deserted() {
            self.end();
        }
    }

    /// Whether nobody serves the queue, and nobody is to come.
    fn is_deserted(&self) -> bool {
        // In this order: who begins is counted as alive before it ceases to be
        // promised.
        let [promised, alive] = [&self.promised, &self.alive].map(|n| n.load(Ordering::SeqCst));
        promised + alive == 0
    }

    /// For a worker of an orphaned engine: ends it if all is stored, or if
    /// there is no time left.
    fn end_if_late(&self) {
        let is_time = self.visit(|state| {
            let is_late = state.orphan_until.is_some_and(|at| Instant::now() >= at);
            is_late || (state.orphan_until.is_some() && state.queue.is_drained())
        });
        if is_time {
            self.end();
        }
    }

    /// For the last worker that leaves.
    fn end_if_orphaned(&self) {
        if self.visit(|state| state.orphan_until.is_some()) {
            self.end();
        }
    }
}

/// A barrier that goes when whoever waits for it does.
struct Lift<'a, K: StoreKey, V: StoreValue, St, S> {
    engine: &'a Engine<K, V, St, S>,
    id: u64,
}

impl<K: StoreKey, V: StoreValue, St, S> Lift<'_, K, V, St, S> {
    fn now(&self) -> Vec<K> {
        self.engine.visit(|state| state.queue.lift(self.id))
    }
}

impl<K: StoreKey, V: StoreValue, St, S> Drop for Lift<'_, K, V, St, S> {
    fn drop(&mut self) {
        self.now();
    }
}

/// One call of the store for all of `items`, which are of one kind.
async fn call<K, V, B: Backend<K, V>>(
    backend: &B,
    items: &[Item<K, V>],
) -> Result<Written<B::Error>, B::Error>
where
    K: StoreKey,
    V: StoreValue,
{
    if let [item] = items {
        return match &item.change {
            Some(value) => backend.write(&item.key, value).await,
            None => backend.delete(&item.key).await,
        }
        .map(|()| Written::all());
    }
    let writes: Vec<(&K, &V)> =
        items.iter().filter_map(|item| Some((&*item.key, item.change.as_ref()?))).collect();
    if writes.is_empty() {
        let keys: Vec<&K> = items.iter().map(|item| &*item.key).collect();
        return backend.delete_many(&keys).await;
    }
    backend.write_many(&writes).await
}

type Caught<T> = Result<T, Box<dyn Any + Send>>;

/// `future`, with its panic as an error.
async fn caught<F: Future>(future: F) -> Caught<F::Output> {
    let mut future = pin!(future);
    // The store is the user's; what is ours was changed before or will be
    // changed after the call.
    let polled =
        poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Err(panic) => Poll::Ready(Err(panic)),
        });
    polled.await
}

fn verdicts<E>(size: usize, answer: Caught<Result<Written<E>, E>>) -> Vec<Verdict>
where
    E: std::fmt::Display + std::fmt::Debug + Send + Sync + 'static,
{
    let all = |failure: Failure| -> Vec<Verdict> {
        (0..size).map(|_| Verdict::FailedAmong(size, failure.clone())).collect()
    };
    match answer {
        Ok(Ok(written)) => match written.outcomes(size) {
            Some(outcomes) => outcomes.into_iter().map(verdict).collect(),
            None => all(Failure::BadAnswer),
        },
        Ok(Err(error)) => all(Failure::Store(Arc::new(error))),
        Err(panic) => all(Failure::Panicked(said(&*panic))),
    }
}

fn verdict<E>(outcome: Result<(), E>) -> Verdict
where
    E: std::fmt::Display + std::fmt::Debug + Send + Sync + 'static,
{
    match outcome {
        Ok(()) => Verdict::Stored,
        Err(error) => Verdict::Failed(Failure::Store(Arc::new(error))),
    }
}

/// What a panic said, if it was a text.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "something that is no text".to_owned())
}

impl<K: StoreKey, V: StoreValue, St: Sync, S: BuildHasher + Sync + Send> Engine<K, V, St, S> {
    /// Waits until no worker is left.
    pub(crate) async fn deserted<B: Backend<K, V>>(&self, backend: &B, deadline: Option<Instant>) {
        let is_deserted = || self.alive.load(Ordering::SeqCst) == 0;
        let waited = self.wait(
            backend,
            |state| &mut state.flushed,
            deadline,
            |_| is_deserted().then_some(()),
        );
        waited.await;
    }
}
