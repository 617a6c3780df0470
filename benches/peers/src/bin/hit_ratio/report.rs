//! What a replay found. The name is that of the module which `opt.rs`, shared
//! with the `replay` example, expects to find its [`Score`] in.

use peers::contenders::Contender;

/// What a cache had at hand when asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    pub hits: u64,
    /// The weights of these hits together.
    pub hit_weight: u64,
}

impl Score {
    pub fn hit(&mut self, weight: u64) {
        self.hits += 1;
        self.hit_weight += weight;
    }
}

/// Who replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Player {
    Cache(Contender),
    /// Knows the future.
    Opt,
}

/// One replay.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub score: Score,
    /// Hits in the first part, of a sequence that changes half-way.
    pub hits_before_turn: u64,
    /// What it held at the end: entries or bytes.
    pub held: u64,
}
