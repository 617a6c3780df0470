//! Many schedules of one scenario, each of which can be had again by its seed.
//!
//! Half of them choose the next thread at random, and half follow PCT
//! (Burckhardt et al., "A randomized scheduler with probabilistic guarantees of
//! finding bugs", ASPLOS 2010): the thread of the highest priority runs, and at
//! a few steps that are drawn beforehand the one that runs becomes the last.
//! The paper draws them among the steps that a run has. Here a schedule has to
//! follow from its seed alone, so how many steps to expect is drawn as well.
//!
//! `LARDER_SEED` is the first seed, `LARDER_SCHEDULES` how many; without them,
//! each scenario says so itself. A failure prints the seed of its schedule.

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};
use std::collections::HashMap;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const FIRST_SEED: u64 = 0x1a2d_e2ed;

/// PCT finds a bug that takes so many orderings, with a probability that it
/// states; most take fewer.
const DEPTH_MAX: u64 = 4;

/// Runs `scenario` under so many schedules.
pub fn schedules(count: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let number = |name| env::var(name).ok().map(|text| text.parse().expect("a number"));
    let first = number("LARDER_SEED").unwrap_or(FIRST_SEED);
    let count = number("LARDER_SCHEDULES").unwrap_or(count as u64);
    let tried = Tried(Arc::new(AtomicU64::new(first)));
    let scheduler =
        Seeded { next: first, end: first + count, tried: Arc::clone(&tried.0), by: By::none() };
    let mut config = shuttle::Config::new();
    // A shard is made on the stack, and each of its atomics is a large one here.
    config.stack_size = 1 << 20;
    let run = shuttle::Runner::new(scheduler, config).run(scenario);
    assert_eq!(run as u64, count);
    println!("{count} schedules, the first from LARDER_SEED={first}");
}

/// The seed of the schedule that is being tried.
struct Tried(Arc<AtomicU64>);

impl Drop for Tried {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0.load(Ordering::Relaxed);
            let current = std::thread::current();
            let name = current.name().unwrap_or("this test").to_owned();
            eprintln!("once more: LARDER_SEED={seed} LARDER_SCHEDULES=1 … -- --exact {name}");
        }
    }
}

struct Seeded {
    next: u64,
    end: u64,
    tried: Arc<AtomicU64>,
    by: By,
}

/// What chooses, in one schedule.
struct By {
    dice: Dice,
    pct: Option<Priorities>,
}

#[derive(Default)]
struct Priorities {
    of: HashMap<TaskId, u64>,
    /// Steps at which whoever runs becomes the last.
    changes: Vec<u64>,
    steps: u64,
    /// Whoever becomes the last now comes behind those who did before.
    last: u64,
}

impl By {
    fn none() -> Self {
        By { dice: Dice(1), pct: None }
    }

    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut pct = None;
        if seed % 2 == 1 {
            let (depth, steps) = (dice.below(DEPTH_MAX), 8 << dice.below(7));
            let changes = (0..depth).map(|_| 1 + dice.below(steps)).collect();
            pct = Some(Priorities { changes, last: 1 << 32, ..Priorities::default() });
        }
        By { dice, pct }
    }
}

impl Priorities {
    fn choose(
        &mut self,
        dice: &mut Dice,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> TaskId {
        for task in runnable {
            self.of.entry(task.id()).or_insert_with(|| (1 << 32) + dice.below(1 << 31));
        }
        // Where there is no choice, nothing can change: that is no step.
        if runnable.len() > 1 {
            self.steps += 1;
            if is_yielding || self.changes.contains(&self.steps) {
                if let Some(current) = current {
                    self.last -= 1;
                    self.of.insert(current, self.last);
                }
            }
        }
        let first = runnable.iter().max_by_key(|task| self.of[&task.id()]);
        first.expect("some task can run").id()
    }
}

impl Scheduler for Seeded {
    fn new_execution(&mut self) -> Option<Schedule> {
        let seed = self.next;
        if seed == self.end {
            return None;
        }
        self.next += 1;
        self.tried.store(seed, Ordering::Relaxed);
        self.by = By::new(seed);
        Some(Schedule::new(seed))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let By { dice, pct } = &mut self.by;
        Some(match pct {
            Some(priorities) => priorities.choose(dice, runnable, current, is_yielding),
            None => runnable[dice.below(runnable.len() as u64) as usize].id(),
        })
    }

    fn next_u64(&mut self) -> u64 {
        self.by.dice.next()
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0xD134_2543_DE82_EF95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 33) % end
    }
}
