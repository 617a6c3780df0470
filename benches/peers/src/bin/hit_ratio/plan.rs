//! All replays of a run, and doing them on all processors.

use crate::opt::Oracle;
use crate::replay::{self, Setup};
use crate::report::{Outcome, Player, Score};
use crate::trace::Trace;
use larder::Eviction;
use peers::contenders::Contender;
use peers::measure::processors;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What a capacity counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    Entries,
    Bytes,
}

/// A trace, and what is to be known of it.
#[derive(Debug)]
pub struct Subject {
    pub trace: Trace,
    pub unit: Unit,
    /// As a share of the distinct keys or of their bytes in percent, and in
    /// entries or bytes.
    pub capacities: Vec<(f64, u64)>,
    pub turns_at: Option<usize>,
}

impl Subject {
    /// Capacities of fewer than ten entries tell more about rounding than
    /// about policies, and are left out.
    pub fn new(trace: Trace, unit: Unit, shares: &[f64]) -> Self {
        let bytes = trace.sizes.as_ref().map(|sizes| sizes.footprint_bytes);
        let whole = match unit {
            Unit::Entries => trace.distinct as u64,
            Unit::Bytes => bytes.expect("only traces with sizes are weighed"),
        };
        let capacity = |&share: &f64| (share, (whole as f64 * share / 100.0).round() as u64);
        let capacities = shares.iter().map(capacity).filter(|(_, capacity)| *capacity >= 10);
        Subject { unit, capacities: capacities.collect(), trace, turns_at: None }
    }
}

/// Which replay: subject, capacity, player.
type Key = (usize, usize, usize);

/// What came of all replays.
#[derive(Debug)]
pub struct Results {
    pub players: Vec<Player>,
    outcomes: HashMap<Key, Outcome>,
    /// How long each player took, all its replays together.
    pub took: Vec<Duration>,
}

impl Results {
    pub fn get(&self, subject: usize, capacity: usize, player: usize) -> Option<&Outcome> {
        self.outcomes.get(&(subject, capacity, player))
    }
}

/// No contender may keep all others waiting: one that has worked for so long
/// does without its remaining replays.
const PATIENCE: Duration = Duration::from_secs(300);

/// Replays everything, the longest traces first.
pub fn run(subjects: &[Subject]) -> Results {
    let caches = Contender::for_hit_ratio().into_iter().map(Player::Cache);
    let players: Vec<Player> = caches.chain([Player::Opt]).collect();
    let tasks = tasks(subjects, players.len());
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
    let took = Mutex::new(vec![Duration::ZERO; players.len()]);
    let worker = || {
        while let Some(&key) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (subject, capacity, player) = key;
            if is_left_out(&subjects[subject], capacity, players[player]) {
                continue;
            }
            if took.lock().unwrap()[player] > PATIENCE {
                eprintln!("hit_ratio: {:?} is too slow: skipped", players[player]);
                continue;
            }
            let start = Instant::now();
            let outcome = play(&subjects[subject], capacity, players[player]);
            took.lock().unwrap()[player] += start.elapsed();
            outcomes.lock().unwrap().extend(outcome.map(|outcome| (key, outcome)));
        }
    };
    thread::scope(|scope| (0..processors()).for_each(|_| drop(scope.spawn(worker))));
    let (outcomes, took) = (outcomes.into_inner().unwrap(), took.into_inner().unwrap());
    Results { players, outcomes, took }
}

/// Whoever walks its whole table for a newcomer takes part where that is small, and
/// whoever differs from the default in what weighs alone, where there are weights.
fn is_left_out(subject: &Subject, capacity: usize, player: Player) -> bool {
    let by_weight = Player::Cache(Contender::LarderWith(Eviction::AdaptiveByWeight));
    is_endless(subject, capacity, player) || player == by_weight && subject.unit == Unit::Entries
}

fn is_endless(subject: &Subject, capacity: usize, player: Player) -> bool {
    const STEPS_MAX: u64 = 300_000_000;
    let entries = subject.capacities[capacity].0 / 100.0 * subject.trace.distinct as f64;
    let steps = entries as u64 * subject.trace.accesses.len() as u64;
    match player {
        Player::Cache(contender) => !contender.evicts_in_bounded_time() && steps > STEPS_MAX,
        Player::Opt => false,
    }
}

fn tasks(subjects: &[Subject], players: usize) -> Vec<Key> {
    let mut tasks = Vec::new();
    for (at, subject) in subjects.iter().enumerate() {
        let capacities = 0..subject.capacities.len();
        tasks.extend(capacities.flat_map(|c| (0..players).map(move |player| (at, c, player))));
    }
    tasks.sort_by_key(|(subject, ..)| usize::MAX - subjects[*subject].trace.accesses.len());
    tasks
}

fn play(subject: &Subject, capacity: usize, player: Player) -> Option<Outcome> {
    let capacity = subject.capacities[capacity].1;
    let trace = &subject.trace;
    match player {
        Player::Opt => {
            let score = oracle(subject, capacity);
            Some(Outcome { score, hits_before_turn: 0, held: 0 })
        }
        Player::Cache(contender) => {
            let turns_at = subject.turns_at.unwrap_or(usize::MAX);
            let setup = Setup { contender, capacity, turns_at };
            match (subject.unit, &trace.sizes) {
                (Unit::Bytes, Some(sizes)) => replay::by_bytes(trace, sizes, setup),
                _ => Some(replay::by_entries(trace, setup)),
            }
        }
    }
}

fn oracle(subject: &Subject, capacity: u64) -> Score {
    match subject.unit {
        Unit::Bytes => Oracle::of(&subject.trace).score(capacity),
        // It goes by sizes where there are some.
        Unit::Entries => {
            let trace = Trace { sizes: None, ..subject.trace.clone() };
            Oracle::of(&trace).score(capacity)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_player_replays_every_capacity_of_ten_entries_or_more() {
        let keys = (0..3000).map(|at| at * at % 500);
        let trace = Trace::of_keys("t".to_owned(), keys);
        let subjects = [Subject::new(trace, Unit::Entries, &[0.1, 10.0, 25.0])];
        let capacities = &subjects[0].capacities;
        assert!(capacities.iter().all(|(_, capacity)| *capacity >= 10));
        let results = run(&subjects);
        let opt = results.players.len() - 1;
        for (capacity, (_, entries)) in capacities.iter().enumerate() {
            let best = results.get(0, capacity, opt).unwrap().score.hits;
            for player in 0..opt {
                let outcome = results.get(0, capacity, player).unwrap();
                let who = results.players[player];
                let is_fair = outcome.held <= *entries;
                assert!(outcome.score.hits <= best || !is_fair, "{who:?}: {outcome:?}");
            }
        }
    }
}
