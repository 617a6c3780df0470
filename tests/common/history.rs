//! Histories of small concurrent programs, and whether they are linearizable.
//!
//! After Wing and Gong, "Testing and verifying concurrent objects" (1993): look
//! for an order of the operations that respects which ended before which began,
//! and in which each returns what it did. Situations that were met before are
//! not looked at again (Lowe, "Testing for linearizability", 2017).

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

/// Keys are 0 to 2.
pub const KEYS: usize = 3;

/// What every key holds; 0 means nothing.
pub type State = [u8; KEYS];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Get(usize),
    Insert(usize, u8),
    Remove(usize),
    /// Replaces the value by another one and returns the old one.
    Replace(usize, u8),
    /// Stores the value if there is none, and returns what is there then.
    OrInsert(usize, u8),
    Invalidate(usize),
    InvalidateAll,
    /// Of values that are even: one key after the other, not all at once.
    InvalidateEven,
    Clear,
}

/// An operation, what it returned (0: nothing), and when.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub operation: Operation,
    pub returned: u8,
    pub began: u64,
    pub ended: u64,
}

/// Hands out moments.
#[derive(Default)]
pub struct Ticker(AtomicU64);

impl Ticker {
    pub fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// What may be done to the cache at one moment.
#[derive(Clone, Copy)]
enum Step {
    Whole(Operation),
    /// The part of `InvalidateEven` or `Clear` that is about one key.
    Part(Operation, usize),
    /// A computation sees the value of a key, and nobody else writes the key
    /// before it stores another.
    Look(usize),
    Store(usize, u8),
}

impl Step {
    /// The state afterwards, if `returned` is what the operation returns.
    fn apply(self, mut state: State, returned: u8) -> Option<State> {
        let expected = match self {
            Step::Whole(Operation::Get(key)) => state[key],
            Step::Whole(Operation::Insert(key, value)) => {
                state[key] = value;
                0
            }
            Step::Whole(Operation::Remove(key)) => std::mem::take(&mut state[key]),
            Step::Whole(Operation::Replace(key, value)) => {
                std::mem::replace(&mut state[key], value)
            }
            Step::Whole(Operation::OrInsert(key, value)) => {
                if state[key] == 0 {
                    state[key] = value;
                }
                state[key]
            }
            Step::Whole(Operation::Invalidate(key)) => {
                state[key] = 0;
                0
            }
            Step::Whole(_) => {
                state = State::default();
                0
            }
            Step::Look(key) => state[key],
            Step::Store(key, value) => {
                state[key] = value;
                0
            }
            Step::Part(Operation::InvalidateEven, key) => {
                if state[key] % 2 == 0 {
                    state[key] = 0;
                }
                0
            }
            Step::Part(_, key) => {
                state[key] = 0;
                0
            }
        };
        (expected == returned).then_some(state)
    }

    /// Whether the step writes `key`, or may have to, in this `state`.
    fn writes(self, key: usize, state: &State) -> bool {
        match self {
            Step::Whole(Operation::Get(_)) => false,
            Step::Whole(Operation::OrInsert(other, _)) => other == key && state[key] == 0,
            Step::Whole(
                Operation::Insert(other, _)
                | Operation::Remove(other)
                | Operation::Replace(other, _)
                | Operation::Invalidate(other),
            ) => other == key,
            Step::Whole(_) => true,
            Step::Part(_, other) | Step::Look(other) | Step::Store(other, _) => other == key,
        }
    }
}

/// A step of a history: after what began, before what ended. The store of a
/// computation stands right behind its look.
struct Placed {
    step: Step,
    returned: u8,
    began: u64,
    ended: u64,
}

/// What walks over the keys is one step for each of them: it promises nothing
/// about all of them together.
///
/// Where values may be evicted, a computation is two steps: a value that leaves
/// between them is missed by readers until the new one is stored.
fn steps_of(events: &[Event], may_evict: bool) -> Vec<Placed> {
    let steps = events.iter().flat_map(|event| {
        let Event { returned, began, ended, .. } = *event;
        if let (Operation::Replace(key, value), true) = (event.operation, may_evict) {
            let look = Placed { step: Step::Look(key), returned, began, ended };
            let store = Placed { step: Step::Store(key, value), returned: 0, began, ended };
            return vec![look, store];
        }
        let steps = match event.operation {
            parted @ (Operation::InvalidateEven | Operation::Clear) => {
                (0..KEYS).map(|key| Step::Part(parted, key)).collect()
            }
            whole => vec![Step::Whole(whole)],
        };
        let place = move |step| Placed { step, returned, began, ended };
        steps.into_iter().map(place).collect()
    });
    steps.collect()
}

/// Whether there is an order that explains `events`. With `may_evict`, any
/// value may leave at any moment.
pub fn is_linearizable(events: &[Event], may_evict: bool) -> bool {
    let steps = steps_of(events, may_evict);
    assert!(steps.len() <= 128, "a history has at most 128 steps");
    let mut search = Search { steps, may_evict, seen: HashSet::new() };
    search.go_on(0, State::default())
}

struct Search {
    steps: Vec<Placed>,
    may_evict: bool,
    seen: HashSet<(u128, State)>,
}

impl Search {
    /// Whether a computation that is under way keeps this step from its key, or
    /// this is the store of one that has not looked.
    fn is_locked_out(&self, at: usize, done: u128, state: &State) -> bool {
        let step = self.steps[at].step;
        if let Step::Store(..) = step {
            return done & (1 << (at - 1)) == 0;
        }
        let is_under_way = |looked: usize| match self.steps[looked].step {
            Step::Look(key) => {
                done & (1 << looked) != 0
                    && done & (1 << (looked + 1)) == 0
                    && step.writes(key, state)
            }
            _ => false,
        };
        (0..self.steps.len()).any(is_under_way)
    }

    /// Whether the steps that are not in `done` can follow, from `state` on.
    fn go_on(&mut self, done: u128, state: State) -> bool {
        if done.count_ones() as usize == self.steps.len() {
            return true;
        }
        if !self.seen.insert((done, state)) {
            return false;
        }
        let is_left = |at: &usize| done & (1 << at) == 0;
        let left: Vec<usize> = (0..self.steps.len()).filter(is_left).collect();
        // Nothing may come after what began when it had ended.
        let limit = left.iter().map(|at| self.steps[*at].ended).min().unwrap_or(u64::MAX);
        for at in left {
            let Placed { step, returned, began, .. } = self.steps[at];
            if began > limit || self.is_locked_out(at, done, &state) {
                continue;
            }
            let next = step.apply(state, returned);
            if next.is_some_and(|next| self.go_on(done | 1 << at, next)) {
                return true;
            }
        }
        self.may_evict
            && (0..KEYS).filter(|key| state[*key] != 0).any(|key| {
                let mut without = state;
                without[key] = 0;
                self.go_on(done, without)
            })
    }
}
