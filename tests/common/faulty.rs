//! A store that does what a test wants: fails, panics, hangs, and remembers.
#![allow(dead_code, reason = "each test uses a part of it")]

use larder::store::{Loader, Store, Written};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Write(u64),
    Delete,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

#[derive(Default)]
struct State {
    rows: BTreeMap<u32, u64>,
    history: BTreeMap<u32, Vec<Op>>,
    loads: BTreeMap<u32, usize>,
    /// Sizes of the batches that were asked for.
    batches: Vec<usize>,
    /// Keys that fail, and how.
    failing: BTreeMap<u32, &'static str>,
    panicking: BTreeSet<u32>,
    hanging: BTreeSet<u32>,
    /// Keys in a call right now.
    inside: BTreeMap<u32, usize>,
    /// Every call fails.
    is_down: bool,
    /// One failing row fails the whole batch.
    is_transactional: bool,
    /// In 1/256 of the calls, by a generator.
    failure_rate: u64,
    random: u64,
    attempts: BTreeMap<u32, usize>,
}

/// A table of numbers, with faults.
#[derive(Default)]
pub struct Faulty {
    state: Mutex<State>,
    changed: Condvar,
}

impl Faulty {
    pub fn set(&self, key: u32, value: u64) {
        self.state.lock().unwrap().rows.insert(key, value);
    }
    pub fn value(&self, key: u32) -> Option<u64> {
        self.state.lock().unwrap().rows.get(&key).copied()
    }
    pub fn rows(&self) -> BTreeMap<u32, u64> {
        self.state.lock().unwrap().rows.clone()
    }
    pub fn history(&self, key: u32) -> Vec<Op> {
        self.state.lock().unwrap().history.get(&key).cloned().unwrap_or_default()
    }
    pub fn loads(&self, key: u32) -> usize {
        self.state.lock().unwrap().loads.get(&key).copied().unwrap_or(0)
    }
    pub fn attempts(&self, key: u32) -> usize {
        self.state.lock().unwrap().attempts.get(&key).copied().unwrap_or(0)
    }
    /// Sizes of the batches since the last call.
    pub fn batches(&self) -> Vec<usize> {
        std::mem::take(&mut self.state.lock().unwrap().batches)
    }
    pub fn fail_writes(&self, key: u32, why: &'static str) {
        self.state.lock().unwrap().failing.insert(key, why);
    }
    pub fn heal(&self, key: u32) {
        self.state.lock().unwrap().failing.remove(&key);
    }
    pub fn panic_on(&self, key: u32, panics: bool) {
        let mut state = self.state.lock().unwrap();
        match panics {
            true => state.panicking.insert(key),
            false => state.panicking.remove(&key),
        };
    }
    /// Calls for `key` do not return until `release`.
    pub fn hang_on(&self, key: u32) {
        self.state.lock().unwrap().hanging.insert(key);
    }
    pub fn release(&self, key: u32) {
        self.state.lock().unwrap().hanging.remove(&key);
        self.changed.notify_all();
    }
    /// Returns once a call for `key` hangs.
    pub fn await_hang(&self, key: u32) {
        let state = self.state.lock().unwrap();
        let is_not_there = |state: &mut State| !state.inside.contains_key(&key);
        drop(self.changed.wait_while(state, is_not_there).unwrap());
    }
    pub fn down(&self, is_down: bool) {
        self.state.lock().unwrap().is_down = is_down;
    }
    pub fn transactional(&self) {
        self.state.lock().unwrap().is_transactional = true;
    }
    /// `percent` of the calls fail.
    pub fn flaky(&self, percent: u64, seed: u64) {
        let mut state = self.state.lock().unwrap();
        (state.failure_rate, state.random) = (percent, seed);
    }

    fn enter(&self, keys: &[u32]) -> std::sync::MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(|poison| poison.into_inner());
        for key in keys {
            *state.attempts.entry(*key).or_default() += 1;
            *state.inside.entry(*key).or_default() += 1;
            let calls = state.inside[key];
            assert_eq!(calls, 1, "two calls for key {key} at a time");
        }
        self.changed.notify_all();
        let hangs = |state: &mut State| keys.iter().any(|key| state.hanging.contains(key));
        let mut state = self.changed.wait_while(state, hangs).unwrap();
        for key in keys {
            state.inside.remove(key);
        }
        state
    }

    fn check(state: &mut State, keys: &[u32]) -> Result<(), Refused> {
        if let Some(key) = keys.iter().find(|key| state.panicking.contains(key)) {
            panic!("the store panics on {key}");
        }
        state.random =
            state.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        if state.is_down || (state.random >> 33) % 100 < state.failure_rate {
            return Err(Refused("down"));
        }
        Ok(())
    }

    fn apply(state: &mut State, key: u32, op: Op) -> Result<(), Refused> {
        if let Some(why) = state.failing.get(&key) {
            return Err(Refused(why));
        }
        state.history.entry(key).or_default().push(op);
        match op {
            Op::Write(value) => state.rows.insert(key, value),
            Op::Delete => state.rows.remove(&key),
        };
        Ok(())
    }

    fn batch(&self, ops: &[(u32, Op)]) -> Result<Written<Refused>, Refused> {
        let keys: Vec<u32> = ops.iter().map(|(key, _)| *key).collect();
        let mut state = self.enter(&keys);
        state.batches.push(ops.len());
        let checked = Self::check_quietly(&mut state, &keys);
        if let Err(panics) = checked {
            drop(state);
            std::panic::resume_unwind(panics);
        }
        checked.unwrap()?;
        if state.is_transactional {
            if let Some(why) = keys.iter().find_map(|key| state.failing.get(key)) {
                return Err(Refused(why));
            }
        }
        let outcomes = ops.iter().map(|(key, op)| Self::apply(&mut state, *key, *op));
        let outcomes: Vec<_> = outcomes.enumerate().collect();
        Ok(Written::except(outcomes.into_iter().filter_map(|(at, o)| Some((at, o.err()?)))))
    }

    /// Without poisoning the lock.
    fn check_quietly(
        state: &mut State,
        keys: &[u32],
    ) -> Result<Result<(), Refused>, Box<dyn std::any::Any + Send>> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Self::check(state, keys)))
    }

    fn one(&self, key: u32, op: Op) -> Result<(), Refused> {
        let written = self.batch(&[(key, op)])?;
        match written.is_complete() {
            true => Ok(()),
            false => Err(Refused(self.state.lock().unwrap().failing[&key])),
        }
    }
}

impl Loader<u32, u64> for Faulty {
    type Error = Refused;

    fn load(&self, key: &u32) -> Result<Option<u64>, Refused> {
        let mut state = self.state.lock().unwrap();
        *state.loads.entry(*key).or_default() += 1;
        Ok(state.rows.get(key).copied())
    }

    fn is_ambiguous(&self, error: &Refused) -> bool {
        error.0 == "ambiguous"
    }
}

impl Store<u32, u64> for Faulty {
    fn write(&self, key: &u32, value: &u64) -> Result<(), Refused> {
        self.one(*key, Op::Write(*value))
    }
    fn delete(&self, key: &u32) -> Result<(), Refused> {
        self.one(*key, Op::Delete)
    }
    fn write_many(&self, entries: &[(&u32, &u64)]) -> Result<Written<Refused>, Refused> {
        let ops: Vec<(u32, Op)> = entries.iter().map(|(k, v)| (**k, Op::Write(**v))).collect();
        self.batch(&ops)
    }
    fn delete_many(&self, keys: &[&u32]) -> Result<Written<Refused>, Refused> {
        let ops: Vec<(u32, Op)> = keys.iter().map(|key| (**key, Op::Delete)).collect();
        self.batch(&ops)
    }
}
