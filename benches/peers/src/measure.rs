//! A stopwatch for a machine that has other things to do.
//!
//! In each round every subject has its turn, so a slow minute is slow for all.
//! A turn is cut into slices of less than a millisecond or so, which the
//! scheduler often leaves in peace, and the best slice is the sample. The
//! minimum over rounds is then what an operation costs when nobody disturbs it;
//! the median says how much that happened. Differences are taken within a
//! round, where two turns are some milliseconds apart.
//!
//! What happens less than once a slice (a table that grows) is not seen.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Turns for each subject.
    pub rounds: usize,
    /// Threads that work at once.
    pub threads: usize,
    /// Slices at the start of a turn that are not timed: they bring the subject
    /// back into the processor's caches, as far as it fits.
    pub warm_up: usize,
    /// Slices in a turn that are timed.
    pub slices: usize,
    /// What each thread does in a slice.
    pub operations: usize,
}

impl Plan {
    /// Operations of a turn, over all threads and with those not timed.
    #[must_use]
    pub fn operations_a_turn(self) -> usize {
        (self.warm_up + self.slices) * self.operations * self.threads
    }
}

/// What one thread does in one slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// The number of the first operation: each is done once a turn, by one
    /// thread.
    pub first: usize,
    /// How many operations to do.
    pub operations: usize,
}

impl Shift {
    /// The numbers of all operations.
    #[must_use]
    pub fn range(self) -> std::ops::Range<usize> {
        self.first..self.first + self.operations
    }
}

/// One number a round, in nanoseconds per operation as a thread sees it: it
/// stays the same if threads do not get into each other's way.
#[derive(Clone, Debug)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Of a quantity measured elsewhere.
    #[must_use]
    pub fn new(samples: Vec<f64>) -> Self {
        assert!(!samples.is_empty(), "nothing was measured");
        Samples(samples)
    }

    /// The least.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The middle one.
    #[must_use]
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    /// By how much each sample exceeds that of `base` in the same round.
    #[must_use]
    pub fn over(&self, base: &Samples) -> Samples {
        assert_eq!(self.0.len(), base.0.len(), "not of one run");
        Samples(self.0.iter().zip(&base.0).map(|(sample, base)| sample - base).collect())
    }
}

/// Measures `work` on each of `subjects`, round by round. What it returns is in
/// the order of `subjects`.
pub fn interleaved<T: Sync>(
    subjects: &[T],
    plan: Plan,
    work: impl Fn(&T, Shift) + Sync,
) -> Vec<Samples> {
    let mut samples = vec![Vec::with_capacity(plan.rounds); subjects.len()];
    for round in 0..plan.rounds {
        for turn in 0..subjects.len() {
            // Each round begins with another subject.
            let at = (round + turn) % subjects.len();
            samples[at].push(take_turn(plan, &|shift| work(&subjects[at], shift)));
        }
    }
    samples.into_iter().map(Samples::new).collect()
}

/// The best slice of a turn, in nanoseconds per operation.
fn take_turn(plan: Plan, work: &(impl Fn(Shift) + Sync)) -> f64 {
    let slices = plan.warm_up + plan.slices;
    let nanos = time_slices(plan.threads, slices, &|thread, slice| {
        let first = (thread * slices + slice) * plan.operations;
        work(Shift { first, operations: plan.operations });
    });
    nanos[plan.warm_up..].iter().copied().fold(f64::INFINITY, f64::min) / plan.operations as f64
}

/// Has each thread do its part of each slice; the threads begin a slice
/// together. Nanoseconds of each slice, from when the first thread starts until
/// the last one has finished. `work` is told the thread and the slice.
pub(crate) fn time_slices(
    threads: usize,
    slices: usize,
    work: &(impl Fn(usize, usize) + Sync),
) -> Vec<f64> {
    let gate = &Gate { threads, arrivals: AtomicUsize::new(0) };
    let slices_of = move |thread: usize| {
        let slice = |slice: usize| {
            gate.pass();
            let start = Instant::now();
            work(thread, slice);
            (start, Instant::now())
        };
        (0..slices).map(slice).collect::<Vec<_>>()
    };
    let by_thread: Vec<Vec<(Instant, Instant)>> = thread::scope(|scope| {
        let start = |thread| scope.spawn(move || slices_of(thread));
        let workers: Vec<_> = (0..threads).map(start).collect();
        workers.into_iter().map(|worker| worker.join().expect("no work panics")).collect()
    });
    let nanos = |slice: usize| {
        let start = by_thread.iter().map(|slices| slices[slice].0).min();
        let end = by_thread.iter().map(|slices| slices[slice].1).max();
        start.zip(end).map_or(f64::NAN, |(start, end)| (end - start).as_nanos() as f64)
    };
    (0..slices).map(nanos).collect()
}

/// How many threads can run at once.
#[must_use]
pub fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Lets threads pass together. They spin: waking up takes as long as a slice.
/// Where there are more of them than processors, the last ones need theirs.
struct Gate {
    threads: usize,
    arrivals: AtomicUsize,
}

impl Gate {
    /// How often to look before the processor is left to others.
    fn spins(&self) -> usize {
        if self.threads > processors() { 50 } else { 10_000 }
    }

    fn pass(&self) {
        let arrival = self.arrivals.fetch_add(1, Ordering::AcqRel);
        let spins = self.spins();
        let all = (arrival / self.threads + 1) * self.threads;
        for spin in 1.. {
            if self.arrivals.load(Ordering::Acquire) >= all {
                return;
            }
            match spin % spins {
                0 => thread::yield_now(),
                _ => std::hint::spin_loop(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_done_once_a_turn_on_every_subject() {
        let subjects = [AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0)];
        let plan = Plan { rounds: 5, threads: 2, warm_up: 1, slices: 3, operations: 10 };
        let samples = interleaved(&subjects, plan, |subject, shift| {
            subject.fetch_add(shift.range().sum::<usize>(), Ordering::Relaxed);
        });
        assert!(samples.iter().all(|samples| samples.0.len() == 5));
        let each_once = (0..plan.operations_a_turn()).sum::<usize>();
        assert!(subjects.iter().all(|sum| sum.load(Ordering::Relaxed) == 5 * each_once));
    }

    #[test]
    fn differences_are_taken_round_by_round() {
        let (base, more) = (Samples::new(vec![10., 30., 20.]), Samples::new(vec![13., 34., 29.]));
        assert_eq!((more.min(), more.median()), (13., 29.));
        assert_eq!(more.over(&base).median(), 4.);
    }
}
