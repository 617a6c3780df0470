//! The same cache in miniature, once for each arm.
//!
//! A miniature sees only the keys of a sample, and has room for the same
//! sample of entries: its hit ratio estimates what the whole cache would hit
//! with that arm (Waldspurger et al., "Cache modeling and optimization using
//! miniature simulations", USENIX ATC '17). All of them see the same keys, so
//! even small differences mean something.

mod keys;
mod ring;

use super::arms::{self, ARMS, Arm, PROOF};
use super::verdict::Verdict;
use crate::slot::ghosts::Ghosts;
use crate::slot::sketch::Sketch;
use keys::Keys;
use ring::Ring;

/// Samples are smaller, except for a moment in a cache that has grown much at
/// once. All miniatures together hold no more keys than there are numbers.
const ROOM_MAX: usize = 4096;

const ALL: u8 = (1 << ARMS) - 1;

pub(super) struct Trial {
    minis: [Mini; ARMS],
    keys: Keys,
    sketch: Sketch,
    room: usize,
    verdict: Verdict,
}

/// Two clocks of numbers of keys, the coldest in front, and who left.
#[derive(Default)]
struct Mini {
    window: Ring,
    main: Ring,
    ghosts: Ghosts,
    /// How many are in the window, and how many are remembered, of as many as
    /// there is room for.
    target: usize,
    reach: usize,
}

impl Trial {
    pub(super) fn new() -> Self {
        let mut trial = Trial {
            minis: Default::default(),
            keys: Keys::default(),
            sketch: Sketch::default(),
            room: 0,
            verdict: Verdict::of(arms::FIRST),
        };
        trial.set_room(1);
        trial
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
    #[inline]
    pub(super) fn set_room(&mut self, room: usize) {
        let room = room.clamp(1, ROOM_MAX);
        self.verdict.fit(room);
        if room != self.room {
            self.change_room(room);
        }
    }

    #[cold]
    fn change_room(&mut self, room: usize) {
        self.room = room;
        self.sketch.fit(room);
        for (mini, arm) in self.minis.iter_mut().zip(&arms::ALL) {
            (mini.target, mini.reach) = (arm.window(room as u64) as usize, arms::reach(room));
        }
    }

    /// Lets all miniatures see that `hash` was asked for `times` times in a
    /// row. Only the first of these can tell them apart.
    pub(super) fn access(&mut self, hash: u32, times: u8) {
        let age = self.sketch.age();
        let count = self.sketch.count(hash, times);
        if self.sketch.age() != age {
            self.keys.halve_counts();
        }
        let number = self.keys.number(hash);
        let key = self.keys.at(number);
        key.count = count;
        let hit = key.holders;
        key.again |= if times > 1 { hit } else { hit & key.read };
        key.read |= hit;
        self.verdict.note(hit);
        if hit != ALL {
            self.admit(number, !hit & ALL);
        }
    }

    /// Takes out the keys for which `stays` does not hold.
    pub(super) fn retain(&mut self, stays: impl Fn(u32) -> bool) {
        let Trial { minis, keys, .. } = self;
        for mini in minis.iter_mut() {
            for queue in [&mut mini.window, &mut mini.main] {
                queue.retain(|number| stays(keys.at(number).hash));
            }
        }
        keys.retain(stays);
    }

    /// Adds a key to the miniatures in the set `arms`. The last to give it up
    /// may be the first to have taken it in, so it belongs to all meanwhile.
    fn admit(&mut self, number: u16, arms: u8) {
        let Trial { minis, keys, room, .. } = self;
        let key = keys.at(number);
        let hash = key.hash;
        key.holders = ALL;
        key.read &= !arms;
        key.again &= !arms;
        let mut refused = 0;
        for (at, mini) in minis.iter_mut().enumerate() {
            if arms & 1 << at != 0 {
                // Each arm has code of its own: what it does is known there.
                let admit = match at {
                    0 => Mini::admit::<0>,
                    1 => Mini::admit::<1>,
                    2 => Mini::admit::<2>,
                    3 => Mini::admit::<3>,
                    _ => Mini::admit::<4>,
                };
                refused |= admit(mini, number, hash, *room, keys);
            }
        }
        if refused != 0 {
            keys.leave(number, refused);
        }
    }
}

impl Mini {
    /// Adds a key, and lets others go if there is no room for all. Returns the bit
    /// of the arm `AT`, which is this miniature's, if the key itself had to go.
    ///
    /// As the cache itself does it, in all that follows: see `Adaptive`.
    fn admit<const AT: usize>(
        &mut self,
        number: u16,
        hash: u32,
        room: usize,
        keys: &mut Keys,
    ) -> u8 {
        let (arm, bit) = (const { &arms::ALL[AT] }, 1 << AT);
        let is_back = arm.remembers && self.ghosts.take(hash, self.reach);
        let queue = if is_back { &mut self.main } else { &mut self.window };
        queue.push(number);
        let mut refused = 0;
        while self.window.len() + self.main.len() > room {
            match self.evict(bit, arm, keys) {
                Some(out) if out == number => refused = bit,
                Some(out) => keys.leave(out, bit),
                None => break,
            }
        }
        refused
    }

    /// Takes out who leaves.
    #[inline(always)]
    fn evict(&mut self, bit: u8, arm: &Arm, keys: &mut Keys) -> Option<u16> {
        while self.window.len() > self.target + 1 {
            self.main.extend(self.window.pop());
        }
        let candidate = match arm.contests {
            true if self.window.len() > self.target => pass(&mut self.window, bit, keys),
            true => None,
            false => self.unproven(bit, keys),
        };
        let Some(candidate) = candidate else {
            return pass(&mut self.main, bit, keys)
                .and_then(|_| self.main.pop())
                .or_else(|| self.window.pop());
        };
        self.window.pop();
        let victim = if arm.contests { pass(&mut self.main, bit, keys) } else { None };
        if let Some(victim) = victim {
            if keys.at(candidate).count > keys.at(victim).count {
                self.main.pop();
                self.main.push(candidate);
                return Some(victim);
            }
        }
        if arm.remembers {
            self.ghosts.remember(keys.at(candidate).hash, self.reach);
        }
        Some(candidate)
    }

    /// The first key in the window that was not read often enough; the others
    /// have earned their place in the main part.
    fn unproven(&mut self, bit: u8, keys: &mut Keys) -> Option<u16> {
        while self.window.len() > self.target {
            let number = self.window.front()?;
            if keys.at(number).take_reads(bit) < PROOF {
                return Some(number);
            }
            self.window.pop();
            self.main.push(number);
        }
        None
    }
}

/// The first unread key, which is in front then; the hand forgives those it
/// passes.
#[inline(always)]
fn pass(queue: &mut Ring, bit: u8, keys: &mut Keys) -> Option<u16> {
    loop {
        let number = queue.front()?;
        if keys.at(number).take_reads(bit) == 0 {
            return Some(number);
        }
        queue.turn();
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
        trial.keys.check();
        for (arm, mini) in trial.minis.iter().enumerate() {
            let mut queued: Vec<u16> = mini.window.iter().chain(mini.main.iter()).collect();
            queued.sort_unstable();
            assert!(queued.len() <= trial.room);
            assert_eq!(queued, trial.keys.held_by(1 << arm));
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
        let mut held: Vec<u16> = trial.keys.held_by(ALL);
        held.retain(|number| trial.keys.at(*number).hash % 2 == 1);
        assert_eq!(held, [0; 0]);
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
