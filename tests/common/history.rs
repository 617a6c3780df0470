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

/// Values of 128 and more are those that were stored under the tag.
pub const TAGGED: u8 = 128;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Get(usize),
    Peek(usize),
    Read(usize),
    /// What a walk over all entries meets.
    Walk(usize),
    /// Returns 1 if there is a value.
    Contains(usize),
    /// As well, asked otherwise.
    ExpiresIn(usize),
    Insert(usize, u8),
    /// Of a value that is `TAGGED`.
    InsertTagged(usize, u8),
    /// Of a value whose time is over at once.
    InsertExpired(usize),
    Remove(usize),
    /// Ends the time of what is there, and returns 1 if something was.
    Expire(usize),
    /// Replaces the value by another one and returns the old one.
    Replace(usize, u8),
    /// Removes the value by a computation that has seen it, and returns it.
    ComputeRemove(usize),
    /// A computation that keeps what it has seen, and returns it.
    ComputeKeep(usize),
    /// One that fails.
    ComputeFail(usize),
    /// Stores the value if there is none, and returns what is there then.
    OrInsert(usize, u8),
    /// Loads the value if there is none, or waits for another load.
    GetWith(usize, u8),
    /// With a loader that fails.
    TryGetWith(usize),
    Invalidate(usize),
    InvalidateAll,
    /// Of values that are `TAGGED`, all at once.
    InvalidateTag,
    /// Of values that are even: one key after the other, not all at once.
    InvalidateEven,
    Clear,
    Maintain,
}

use Operation as Op;

impl Operation {
    /// What the user may hand in to be loaded, and for which key.
    fn loads(self) -> Option<(usize, Option<u8>)> {
        match self {
            Op::GetWith(key, value) => Some((key, Some(value))),
            Op::TryGetWith(key) => Some((key, None)),
            _ => None,
        }
    }

    /// Whether a load of `key` that this meets may not be stored.
    fn overtakes(self, key: usize) -> bool {
        match self {
            Op::Insert(other, _)
            | Op::InsertTagged(other, _)
            | Op::InsertExpired(other)
            | Op::Remove(other)
            | Op::Replace(other, _)
            | Op::ComputeRemove(other)
            | Op::ComputeKeep(other)
            | Op::ComputeFail(other)
            | Op::OrInsert(other, _)
            | Op::Invalidate(other) => other == key,
            Op::InvalidateAll | Op::InvalidateTag | Op::InvalidateEven | Op::Clear => true,
            _ => false,
        }
    }
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
            Step::Whole(
                Op::Get(key)
                | Op::Peek(key)
                | Op::Read(key)
                | Op::Walk(key)
                | Op::ComputeKeep(key)
                | Op::ComputeFail(key)
                | Op::TryGetWith(key),
            ) => state[key],
            Step::Whole(Op::Contains(key) | Op::ExpiresIn(key)) => u8::from(state[key] != 0),
            Step::Whole(Op::Insert(key, value) | Op::InsertTagged(key, value)) => {
                state[key] = value;
                0
            }
            Step::Whole(Op::InsertExpired(key) | Op::Invalidate(key)) => {
                state[key] = 0;
                0
            }
            Step::Whole(Op::Remove(key) | Op::ComputeRemove(key)) => {
                std::mem::take(&mut state[key])
            }
            Step::Whole(Op::Expire(key)) => u8::from(std::mem::take(&mut state[key]) != 0),
            Step::Whole(Op::Replace(key, value)) => std::mem::replace(&mut state[key], value),
            Step::Whole(Op::OrInsert(key, value) | Op::GetWith(key, value)) => {
                if state[key] == 0 {
                    state[key] = value;
                }
                state[key]
            }
            Step::Whole(Op::InvalidateTag) => {
                state = state.map(|value| if value >= TAGGED { 0 } else { value });
                0
            }
            Step::Whole(Op::Maintain) => 0,
            Step::Whole(Op::InvalidateAll | Op::InvalidateEven | Op::Clear) => {
                state = State::default();
                0
            }
            Step::Look(key) => state[key],
            Step::Store(key, value) => {
                state[key] = value;
                0
            }
            Step::Part(Op::InvalidateEven, key) => {
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

    /// Whether the step writes `key`, or may have to, in this `state`. Loads
    /// are not asked: see `Search::after`.
    fn writes(self, key: usize, state: &State) -> bool {
        match self {
            Step::Whole(Op::OrInsert(other, _)) => other == key && state[key] == 0,
            Step::Whole(whole) => whole.overtakes(key) || whole == Op::Expire(key),
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
    /// A load whose value may have been delivered, and not stored, since
    /// something happened to the key meanwhile. Or a write under a tag that may
    /// have died just as it was stored: then it may leave nothing there.
    may_be_unstored: bool,
}

/// What walks over the keys is one step for each of them: it promises nothing
/// about all of them together.
///
/// Where values may be evicted, a computation is two steps: a value that leaves
/// between them is missed by readers until the new one is stored.
fn steps_of(events: &[Event], may_evict: bool) -> Vec<Placed> {
    let steps = events.iter().flat_map(|event| {
        let Event { operation, returned, began, ended } = *event;
        let may_be_unstored = may_be_unstored(event, events);
        let place = |step, returned| Placed { step, returned, began, ended, may_be_unstored };
        match (operation, may_evict) {
            (Op::Replace(key, value), true) => {
                vec![place(Step::Look(key), returned), place(Step::Store(key, value), 0)]
            }
            (Op::ComputeRemove(key), true) => {
                vec![place(Step::Look(key), returned), place(Step::Store(key, 0), 0)]
            }
            (Op::InvalidateEven | Op::Clear, _) => {
                (0..KEYS).map(|key| place(Step::Part(operation, key), returned)).collect()
            }
            _ => vec![place(Step::Whole(operation), returned)],
        }
    });
    steps.collect()
}

/// Of a load: whether it has met something that overtakes it, and what it
/// returned is its own or that of a load that it has met. Of a write under a
/// tag: whether it has met the end of the tag.
fn may_be_unstored(event: &Event, events: &[Event]) -> bool {
    let has_met = |other: &&Event| other.began < event.ended && event.began < other.ended;
    if let Op::InsertTagged(..) = event.operation {
        return events.iter().filter(has_met).any(|met| met.operation == Op::InvalidateTag);
    }
    let Some((key, _)) = event.operation.loads() else { return false };
    let is_source = |other: &Event| other.operation.loads() == Some((key, Some(event.returned)));
    let mut met = events.iter().filter(has_met);
    met.clone().any(|other| other.operation.overtakes(key)) && met.any(is_source)
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
    /// Whether a computation of `key` is under way.
    fn is_under_way(&self, looked: usize, done: u128) -> Option<usize> {
        match self.steps[looked].step {
            Step::Look(key) => {
                let is_begun = done & (1 << looked) != 0 && done & (1 << (looked + 1)) == 0;
                is_begun.then_some(key)
            }
            _ => None,
        }
    }

    /// Whether a computation that is under way keeps this step from its key, or
    /// this is the store of one that has not looked.
    fn is_locked_out(&self, at: usize, done: u128, state: &State) -> bool {
        let step = self.steps[at].step;
        if let Step::Store(..) = step {
            return done & (1 << (at - 1)) == 0;
        }
        let mut claimed = (0..self.steps.len()).filter_map(|step| self.is_under_way(step, done));
        claimed.any(|key| step.writes(key, state))
    }

    /// What the state may be after the step.
    fn after(&self, at: usize, done: u128, state: State) -> impl Iterator<Item = State> + use<> {
        let Placed { step, returned, may_be_unstored, .. } = self.steps[at];
        let mut stored = step.apply(state, returned);
        let mut unstored = None;
        if let Step::Whole(Op::GetWith(key, _) | Op::TryGetWith(key)) = step {
            let mut claimed = (0..self.steps.len()).filter_map(|at| self.is_under_way(at, done));
            if claimed.any(|claimed| claimed == key) {
                // A load does not wait for a computation, and gives way to it.
                stored = stored.filter(|next| *next == state);
            }
            unstored = (may_be_unstored && state[key] == 0).then_some(state);
        }
        if let (Step::Whole(Op::InsertTagged(key, _)), true) = (step, may_be_unstored) {
            let mut without = state;
            without[key] = 0;
            unstored = Some(without);
        }
        stored.into_iter().chain(unstored)
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
            if self.steps[at].began > limit || self.is_locked_out(at, done, &state) {
                continue;
            }
            if self.after(at, done, state).any(|next| self.go_on(done | 1 << at, next)) {
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
