//! Measuring by the clock: each subject does in a turn what it can, so that a
//! run takes as long as was said, whoever takes part.
//!
//! In each round every subject has its turn, one after the other, so a slow
//! minute is slow for all; what is compared are the turns of one round. A turn
//! is cut into slices. The best slice is what an operation costs when nobody
//! disturbs it; the mean over the turn has in it what happens less than once a
//! slice, such as a table that grows, and the disturbances.

use crate::measure::{processors, time_slices};
use std::time::{Duration, Instant};

/// How long to measure, and with how many threads.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Threads that work at once.
    pub threads: usize,
    /// Turns for each subject.
    pub rounds: usize,
    /// How long a turn takes, about, with a fourth of it to warm up.
    pub turn: Duration,
    /// No round begins after this, if there were [`ROUNDS_MIN`].
    pub limit: Duration,
}

/// Fewer have no median worth its name.
pub const ROUNDS_MIN: usize = 3;

/// A slice is far shorter than what the scheduler deals out, and far longer
/// than what it takes to begin one together.
const SLICE: Duration = Duration::from_micros(250);

/// With more threads than processors a slice has to last for several changes
/// of the guard.
const SLICE_IF_CROWDED: Duration = Duration::from_millis(6);

/// What one thread does in one slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stint {
    /// Which thread.
    pub thread: usize,
    /// How many operations each thread has done on this subject before.
    pub done: usize,
    /// How many to do.
    pub operations: usize,
}

/// What one turn took, in nanoseconds for one operation as its thread sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    /// In the best slice.
    pub best: f64,
    /// Over all slices.
    pub mean: f64,
}

/// All turns of one subject.
#[derive(Clone, Debug, Default)]
pub struct Turns(pub Vec<Turn>);

impl Turns {
    /// What an operation takes if nobody disturbs it.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.0.iter().map(|turn| turn.best).fold(f64::INFINITY, f64::min)
    }

    /// What an operation takes in the middle one of the turns.
    #[must_use]
    pub fn median(&self) -> f64 {
        median(self.0.iter().map(|turn| turn.mean))
    }

    /// How many times as long this took as `base`: the middle one of the
    /// ratios within each round.
    #[must_use]
    pub fn ratio_to(&self, base: &Turns) -> f64 {
        median(self.0.iter().zip(&base.0).map(|(turn, base)| turn.mean / base.mean))
    }

    /// As [`ratio_to`](Turns::ratio_to), of the best slices.
    #[must_use]
    pub fn best_ratio_to(&self, base: &Turns) -> f64 {
        median(self.0.iter().zip(&base.0).map(|(turn, base)| turn.best / base.best))
    }
}

/// The middle one, or the mean of the two in the middle. NaN of none.
pub fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = numbers.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// Measures `work` on each subject, round by round. What it returns is in the
/// order of the subjects.
pub fn in_turns<T: Sync>(
    subjects: &[T],
    pace: Pace,
    work: impl Fn(&T, Stint) + Sync,
) -> Vec<Turns> {
    let start = Instant::now();
    let mut runs: Vec<Run<'_, T>> = subjects.iter().map(Run::new).collect();
    runs.iter_mut().for_each(|run| run.calibrate(pace, &work));
    let mut turns = vec![Turns::default(); subjects.len()];
    for round in 0..pace.rounds.max(ROUNDS_MIN) {
        if round >= ROUNDS_MIN && start.elapsed() > pace.limit {
            break;
        }
        for turn in 0..subjects.len() {
            // Each round begins with another subject.
            let at = (round + turn) % subjects.len();
            turns[at].0.push(runs[at].take_turn(pace, &work));
        }
    }
    turns
}

/// A subject, and how fast it is.
struct Run<'t, T> {
    subject: &'t T,
    /// By each thread.
    done: usize,
    operations_a_slice: usize,
    slices: usize,
}

impl<'t, T: Sync> Run<'t, T> {
    /// What is timed to find out how fast a subject is: not so few that the
    /// clock matters, not so many that a slow one takes long.
    const OPERATIONS_FIRST: usize = 256;
    const OPERATIONS_MAX: usize = 1 << 17;

    fn new(subject: &'t T) -> Self {
        Run { subject, done: 0, operations_a_slice: Self::OPERATIONS_FIRST, slices: 1 }
    }

    fn slice(pace: Pace) -> Duration {
        if pace.threads > processors() { SLICE_IF_CROWDED } else { SLICE }
    }

    fn calibrate(&mut self, pace: Pace, work: &(impl Fn(&T, Stint) + Sync)) {
        let wanted = Self::slice(pace).as_nanos() as f64;
        // Twice: the first time everything is cold.
        for _ in 0..2 {
            let nanos = self.time(pace.threads, 3, work).into_iter().fold(f64::INFINITY, f64::min);
            let fits = self.operations_a_slice as f64 * wanted / nanos.max(1.0);
            let range = Self::OPERATIONS_FIRST..=Self::OPERATIONS_MAX;
            self.operations_a_slice = (fits as usize).clamp(*range.start(), *range.end());
        }
        let nanos = median(self.time(pace.threads, 3, work));
        self.slices = ((pace.turn.as_nanos() as f64 / nanos) as usize).clamp(4, 400);
    }

    fn take_turn(&mut self, pace: Pace, work: &(impl Fn(&T, Stint) + Sync)) -> Turn {
        let nanos = self.time(pace.threads, self.slices, work);
        let timed = &nanos[self.slices / 4..];
        let operations = self.operations_a_slice as f64;
        let best = timed.iter().copied().fold(f64::INFINITY, f64::min) / operations;
        let mean = timed.iter().sum::<f64>() / timed.len() as f64 / operations;
        Turn { best, mean }
    }

    /// Nanoseconds of each slice.
    fn time(
        &mut self,
        threads: usize,
        slices: usize,
        work: &(impl Fn(&T, Stint) + Sync),
    ) -> Vec<f64> {
        let (subject, operations, before) = (self.subject, self.operations_a_slice, self.done);
        self.done += slices * operations;
        time_slices(threads, slices, &|thread, slice| {
            work(subject, Stint { thread, done: before + slice * operations, operations });
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn turns(best_and_mean: &[(f64, f64)]) -> Turns {
        Turns(best_and_mean.iter().map(|&(best, mean)| Turn { best, mean }).collect())
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let base = turns(&[(1., 2.), (10., 20.), (5., 10.)]);
        let other = turns(&[(2., 6.), (20., 60.), (20., 10.)]);
        assert_eq!((other.min(), other.median()), (2., 10.));
        assert_eq!(other.ratio_to(&base), 3.0);
        assert_eq!(other.best_ratio_to(&base), 2.0);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median([4., 1., 2., 8.]), 3.);
        assert_eq!(median([3., 1., 2.]), 2.);
        assert!(median([]).is_nan());
    }

    #[test]
    fn each_thread_goes_on_where_it_stopped() {
        let subjects = [Mutex::new(Vec::new()), Mutex::new(Vec::new())];
        let turn = Duration::from_micros(10);
        let pace = Pace { threads: 2, rounds: 4, turn, limit: Duration::MAX };
        let turns = in_turns(&subjects, pace, |stints, stint| stints.lock().unwrap().push(stint));
        assert!(turns.iter().all(|turns| turns.0.len() == 4));
        for stints in subjects.map(|stints| stints.into_inner().unwrap()) {
            for thread in 0..2 {
                let own = stints.iter().filter(|stint| stint.thread == thread);
                let end = own.fold(0, |next, stint| {
                    assert_eq!(stint.done, next);
                    next + stint.operations
                });
                assert!(end > 0);
            }
        }
    }

    #[test]
    fn a_run_that_takes_too_long_has_no_more_rounds_than_it_needs() {
        let (turn, limit) = (Duration::from_micros(10), Duration::ZERO);
        let pace = Pace { threads: 1, rounds: 1000, turn, limit };
        assert_eq!(in_turns(&[()], pace, |(), _| {})[0].0.len(), ROUNDS_MIN);
    }
}
