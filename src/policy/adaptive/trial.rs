//! The same cache in miniature, once for each arm.
//!
//! A miniature sees only the keys of a sample, and has room for the same
//! sample of entries: its hit ratio estimates what the whole cache would hit
//! with that arm (Waldspurger et al., "Cache modeling and optimization using
//! miniature simulations", USENIX ATC '17). All of them see the same keys, so
//! even small differences mean something.

use super::super::wins;
use super::arms::{self, ARMS, Arm, PROOF};
use super::verdict::Verdict;
use crate::slot::ghosts::Ghosts;
use crate::slot::sketch::Sketch;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// A block of the verdict is as many accesses as a quarter of the room, and
/// never less than this.
const BLOCK_MIN: usize = 128;
const BLOCKS_PER_ROOM: usize = 4;

const ALL: u8 = (1 << ARMS) - 1;

pub(super) struct Trial {
    minis: [Mini; ARMS],
    keys: Vec<Key>,
    vacant: Vec<u16>,
    number_of: HashMap<u32, u16, BuildHasherDefault<Spread>>,
    sketch: Sketch,
    room: usize,
    /// Accesses in this block.
    accesses: usize,
    verdict: Verdict,
}

/// A key that some miniature holds. Sets of miniatures are bits.
struct Key {
    hash: u32,
    /// As the sketch had it when the key was last asked for, and halved with
    /// it since: who contests need not look it up.
    count: u8,
    holders: u8,
    /// Where it was read since the hand last passed, and where more than once.
    read: u8,
    again: u8,
}

impl Key {
    /// The hand of `arm` takes the reads, up to two.
    fn take_reads(&mut self, arm: usize) -> u8 {
        let bit = 1 << arm;
        let reads = u8::from(self.read & bit != 0) + u8::from(self.again & bit != 0);
        self.read &= !bit;
        self.again &= !bit;
        reads
    }
}

/// Two clocks of numbers of keys, the coldest in front, and who left.
#[derive(Default)]
struct Mini {
    window: VecDeque<u16>,
    main: VecDeque<u16>,
    ghosts: Ghosts,
}

impl Trial {
    pub(super) fn new() -> Self {
        Trial {
            minis: Default::default(),
            keys: Vec::new(),
            vacant: Vec::new(),
            number_of: HashMap::default(),
            sketch: Sketch::default(),
            room: 1,
            accesses: 0,
            verdict: Verdict::of(arms::FIRST),
        }
    }

    /// The arm that has done best.
    pub(super) fn best(&self) -> usize {
        self.verdict.current()
    }

    /// Whether the best has been the best for long, and no other comes near.
    pub(super) fn is_settled(&self) -> bool {
        self.verdict.is_settled()
    }

    /// How many entries each miniature has room for from now on.
    pub(super) fn set_room(&mut self, room: usize) {
        self.room = room.max(1);
        self.sketch.fit(self.room);
    }

    /// Lets all miniatures see that `hash` was asked for `times` times in a
    /// row. Only the first of these can tell them apart.
    pub(super) fn access(&mut self, hash: u32, times: u8) {
        self.sketch.fit(self.room);
        let age = self.sketch.age();
        let count = self.sketch.count(hash, times);
        if self.sketch.age() != age {
            self.keys.iter_mut().for_each(|key| key.count /= 2);
        }
        let number = self.number(hash);
        let key = &mut self.keys[usize::from(number)];
        key.count = count;
        let hit = key.holders;
        key.again |= if times > 1 { hit } else { hit & key.read };
        key.read |= hit;
        if hit != ALL {
            self.verdict.note(hit);
            self.admit(number, !hit & ALL);
        }
        self.accesses += 1;
        if self.accesses >= (self.room / BLOCKS_PER_ROOM).max(BLOCK_MIN) {
            self.verdict.end_block(std::mem::take(&mut self.accesses));
        }
    }

    /// Takes out the keys for which `stays` does not hold.
    pub(super) fn retain(&mut self, stays: impl Fn(u32) -> bool) {
        let Trial { minis, keys, .. } = self;
        for mini in minis.iter_mut() {
            for queue in [&mut mini.window, &mut mini.main] {
                queue.retain(|number| stays(keys[usize::from(*number)].hash));
            }
        }
        for number in 0..self.keys.len() {
            if self.keys[number].holders != 0 && !stays(self.keys[number].hash) {
                self.leave(number as u16, ALL);
            }
        }
    }

    fn number(&mut self, hash: u32) -> u16 {
        if let Some(number) = self.number_of.get(&hash) {
            return *number;
        }
        let key = Key { hash, count: 0, holders: 0, read: 0, again: 0 };
        let number = match self.vacant.pop() {
            Some(number) => {
                self.keys[usize::from(number)] = key;
                number
            }
            None => {
                self.keys.push(key);
                (self.keys.len() - 1) as u16
            }
        };
        self.number_of.insert(hash, number);
        number
    }

    /// Adds a key to the miniatures in the set `arms`. The last to give it up
    /// may be the first to have taken it in, so it belongs to all meanwhile.
    fn admit(&mut self, number: u16, arms: u8) {
        let key = &mut self.keys[usize::from(number)];
        let hash = key.hash;
        key.holders = ALL;
        key.read &= !arms;
        key.again &= !arms;
        let mut refused = 0;
        for (arm, mini) in self.minis.iter_mut().enumerate() {
            if arms >> arm & 1 == 0 {
                continue;
            }
            mini.admit(number, hash, &arms::ALL[arm], self.room);
            while mini.window.len() + mini.main.len() > self.room {
                let Some(out) = mini.evict(arm, self.room, &mut self.keys) else {
                    break;
                };
                if out == number {
                    refused |= 1 << arm;
                    continue;
                }
                let key = &mut self.keys[usize::from(out)];
                key.holders &= !(1 << arm);
                if key.holders == 0 {
                    self.number_of.remove(&key.hash);
                    self.vacant.push(out);
                }
            }
        }
        if refused != 0 {
            self.leave(number, refused);
        }
    }

    fn leave(&mut self, number: u16, arms: u8) {
        let key = &mut self.keys[usize::from(number)];
        key.holders &= !arms;
        if key.holders == 0 {
            self.number_of.remove(&key.hash);
            self.vacant.push(number);
        }
    }
}

impl Mini {
    /// As the cache itself does it, in all that follows: see `Adaptive`.
    fn admit(&mut self, number: u16, hash: u32, arm: &Arm, room: usize) {
        let is_back = arm.remembers && self.ghosts.take(hash, arms::reach(room));
        let queue = if is_back { &mut self.main } else { &mut self.window };
        queue.push_back(number);
    }

    fn evict(&mut self, at: usize, room: usize, keys: &mut [Key]) -> Option<u16> {
        let arm = &arms::ALL[at];
        let target = arm.window(room as u64) as usize;
        while self.window.len() > target + 1 {
            self.main.extend(self.window.pop_front());
        }
        let candidate = match arm.contests {
            true if self.window.len() > target => pass(&mut self.window, at, keys),
            true => None,
            false => self.unproven(target, at, keys),
        };
        let victim = match candidate {
            Some(_) if !arm.contests => None,
            _ => pass(&mut self.main, at, keys),
        };
        let (Some(candidate), Some(victim)) = (candidate, victim) else {
            if let (Some(out), true) = (candidate, arm.remembers) {
                self.ghosts.remember(keys[usize::from(out)].hash, arms::reach(room));
            }
            return candidate.or(victim).or_else(|| self.window.pop_front());
        };
        let count = |number: u16| keys[usize::from(number)].count;
        if wins((count(candidate), 1), (count(victim), 1)) {
            self.main.push_back(candidate);
            return Some(victim);
        }
        self.main.push_front(victim);
        if arm.remembers {
            self.ghosts.remember(keys[usize::from(candidate)].hash, arms::reach(room));
        }
        Some(candidate)
    }

    /// Takes the first key out of the window that was not read often enough;
    /// the others have earned their place in the main part.
    fn unproven(&mut self, target: usize, at: usize, keys: &mut [Key]) -> Option<u16> {
        while self.window.len() > target {
            let number = self.window.pop_front()?;
            if keys[usize::from(number)].take_reads(at) < PROOF {
                return Some(number);
            }
            self.main.push_back(number);
        }
        None
    }
}

/// Takes the first unread key out; the hand forgives those it passes.
fn pass(queue: &mut VecDeque<u16>, at: usize, keys: &mut [Key]) -> Option<u16> {
    loop {
        let number = queue.pop_front()?;
        if keys[usize::from(number)].take_reads(at) == 0 {
            return Some(number);
        }
        queue.push_back(number);
    }
}

/// Hashes are spread already; this puts entropy where the table looks for it.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, hash: u32) {
        self.0 = (self.0 ^ u64::from(hash)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(key: u32) -> u32 {
        key.wrapping_mul(0x85EB_CA6B) ^ 0x5bd1_e995
    }

    fn of_room(room: usize) -> Trial {
        let mut trial = Trial::new();
        trial.set_room(room);
        trial
    }

    /// Every number is held, known by its hash, and queued as its sets say.
    fn check(trial: &Trial) {
        let held = trial.keys.iter().filter(|key| key.holders != 0).count();
        assert_eq!(trial.number_of.len(), held);
        assert_eq!(trial.vacant.len() + held, trial.keys.len());
        for (arm, mini) in trial.minis.iter().enumerate() {
            let queued: Vec<u16> = mini.window.iter().chain(&mini.main).copied().collect();
            assert!(queued.len() <= trial.room);
            assert!(queued.iter().all(|n| trial.keys[usize::from(*n)].holders >> arm & 1 == 1));
            let holders = trial.keys.iter().filter(|key| key.holders >> arm & 1 == 1).count();
            assert_eq!(queued.len(), holders);
        }
    }

    #[test]
    fn miniatures_never_hold_more_than_there_is_room_for() {
        let mut trial = of_room(50);
        for step in 0..20_000_u32 {
            trial.access(hash(step * step % 997 % 200), 1);
            if step % 100 == 0 {
                check(&trial);
            }
        }
        trial.retain(|hash| hash % 2 == 0);
        check(&trial);
        assert!(trial.keys.iter().all(|key| key.holders == 0 || key.hash % 2 == 0));
        trial.set_room(3);
        (0..100).for_each(|key| trial.access(hash(key), 1));
        check(&trial);
    }

    #[test]
    fn on_a_loop_a_small_window_wins() {
        let mut trial = of_room(100);
        (0..100).for_each(|_| (0..130).for_each(|key| trial.access(hash(key), 1)));
        assert!(arms::ALL[trial.best()].share <= 50);
    }

    #[test]
    fn where_a_hot_set_moves_on_all_is_window() {
        let mut trial = of_room(100);
        (0..60_000).for_each(|step| trial.access(hash(step / 20 + step * 7919 % 80), 1));
        assert!(arms::ALL[trial.best()].share >= 400);
    }
}
