//! Which of several contestants is better, told from the accesses that tell them
//! apart.
//!
//! Who hits where another misses gains a point on it. Nobody can fall further
//! behind the leader than a number of points, so what was long ago is forgotten,
//! and the office is handed on when its holder is more than a share of it behind.
//! These are the saturating counters of set duelling (Qureshi et al., "Adaptive
//! insertion policies for high performance caching", ISCA '07), one for each
//! contestant.
//!
//! A handover costs little, as entries stay where they are; waiting costs every
//! hit that another would have had. So it takes a few points, and no proof that
//! the holder is the worse one for good: with a small cache, a short stretch of
//! accesses would be over before there is one.

use super::arms::ARMS;

/// Points that a contestant is behind the leader at most: half as many as there
/// is room for entries, and never less than this, or small caches change too
/// often.
const MEMORY_MIN: usize = 64;

/// Of these, the share that may be chance: one part in so many, or in half as
/// many where the accesses are only a sample of all.
const MARGIN: i32 = 8;

/// The case is settled after so many accesses in which nobody came near. (With a
/// quarter of this, the thinner sample loses half a tenth of a point.)
const SETTLED_AFTER: u32 = 16_384;

const ALL: u8 = (1 << ARMS) - 1;

pub(super) struct Verdict {
    /// Who is in office.
    current: usize,
    /// How far each is behind the leader, as a number below 0. The leader has 0.
    points: [i32; ARMS],
    /// Points that a contestant is behind the leader at most.
    memory: i32,
    /// Points that may be chance.
    margin: i32,
    /// Accesses since the office was handed on, or another came near.
    quiet: u32,
}

impl Verdict {
    /// With `current` in office.
    pub(super) fn of(current: usize) -> Self {
        let (memory, margin) = (MEMORY_MIN as i32, MEMORY_MIN as i32 / MARGIN);
        Verdict { current, points: [0; ARMS], memory, margin, quiet: 0 }
    }

    /// From now on, the contestants have room for so many entries. The more they
    /// have, the more points are remembered: two that are equally good may hold
    /// quite different entries, and on a loop each then has its hits in one go.
    #[inline]
    pub(super) fn fit(&mut self, room: usize, is_sample: bool) {
        self.memory = (room / 2).max(MEMORY_MIN) as i32;
        self.margin = self.memory / if is_sample { MARGIN / 2 } else { MARGIN };
    }

    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// Whether it takes less to see that nothing changes.
    pub(super) fn is_settled(&self) -> bool {
        self.quiet >= SETTLED_AFTER
    }

    /// Counts an access that the arms in the set `hit` had, and others not, and
    /// hands the office on if another has earned it.
    #[inline]
    pub(super) fn note(&mut self, hit: u8) {
        self.quiet = self.quiet.saturating_add(1);
        if hit != 0 && hit != ALL {
            self.judge(hit);
        }
    }

    fn judge(&mut self, hit: u8) {
        for (arm, points) in self.points.iter_mut().enumerate() {
            *points += i32::from(hit >> arm & 1);
        }
        let most = self.points.into_iter().max().unwrap_or(0);
        let mut leader = self.current;
        for (arm, points) in self.points.iter_mut().enumerate() {
            *points = (*points - most).max(-self.memory);
            if *points == 0 && leader == self.current {
                leader = arm;
            }
        }
        let lead = -self.points[self.current];
        if lead > self.margin / 2 {
            // That is near.
            self.quiet = 0;
        }
        if lead > self.margin {
            self.current = leader;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: i32 = MEMORY_MIN as i32;
    const MARGIN: i32 = MEMORY / super::MARGIN;

    /// So many accesses in a row that the arms in the set `hit` had.
    fn stretch(verdict: &mut Verdict, hit: u8, accesses: i32) {
        (0..accesses).for_each(|_| verdict.note(hit));
    }

    #[test]
    fn a_few_points_may_be_chance_and_more_are_not() {
        let mut verdict = Verdict::of(0);
        stretch(&mut verdict, 1 << 3, MARGIN);
        assert_eq!(verdict.current(), 0);
        verdict.note(1 << 3);
        assert_eq!(verdict.current(), 3);
    }

    #[test]
    fn what_all_or_none_had_tells_nothing() {
        let mut verdict = Verdict::of(0);
        stretch(&mut verdict, ALL, 1000);
        stretch(&mut verdict, 0, 1000);
        assert_eq!((verdict.current(), verdict.points), (0, [0; ARMS]));
    }

    #[test]
    fn leads_that_come_and_go_change_nothing() {
        let mut verdict = Verdict::of(0);
        for _ in 0..1000 {
            stretch(&mut verdict, 1 << 1, MARGIN);
            assert_eq!(verdict.current(), 0);
            stretch(&mut verdict, 1 << 0, MARGIN);
            assert_eq!(verdict.current(), 0);
        }
    }

    #[test]
    fn of_those_that_are_better_the_best_is_chosen() {
        let mut verdict = Verdict::of(0);
        for _ in 0..10 {
            stretch(&mut verdict, 0b1100, 2);
            stretch(&mut verdict, 0b1000, 1);
        }
        assert_eq!(verdict.current(), 3);
    }

    #[test]
    fn the_case_is_settled_while_nobody_comes_near_and_reopened_by_one_who_does() {
        let mut verdict = Verdict::of(0);
        stretch(&mut verdict, ALL, SETTLED_AFTER as i32 - 1);
        assert!(!verdict.is_settled());
        for _ in 0..100 {
            stretch(&mut verdict, 1 << 1, MARGIN / 2);
            stretch(&mut verdict, 1 << 0, MARGIN / 2);
        }
        assert!(verdict.is_settled(), "the lead of 1 is gone again");
        stretch(&mut verdict, 1 << 1, MARGIN / 2 + 1);
        assert!(!verdict.is_settled() && verdict.current() == 0);
    }

    #[test]
    fn who_was_better_for_long_is_replaced_as_soon_as_who_was_for_a_while() {
        let replaced_after = |accesses: i32| {
            let mut verdict = Verdict::of(0);
            stretch(&mut verdict, 1 << 2, accesses);
            let mut needed = 0;
            while verdict.current() == 2 {
                verdict.note(1 << 1);
                needed += 1;
            }
            needed
        };
        assert_eq!(replaced_after(MEMORY), MEMORY + MARGIN + 1);
        assert_eq!(replaced_after(100_000), MEMORY + MARGIN + 1);
    }

    #[test]
    fn with_more_room_more_points_may_be_chance_and_of_a_sample_twice_as_many() {
        let needed = |room: usize, is_sample: bool| {
            let mut verdict = Verdict::of(0);
            verdict.fit(room, is_sample);
            (1..).find(|_| {
                verdict.note(1 << 1);
                verdict.current() == 1
            })
        };
        assert_eq!([1, 128, 512].map(|room| needed(room, false)), [Some(9), Some(9), Some(33)]);
        assert_eq!([1, 128, 512].map(|room| needed(room, true)), [Some(17), Some(17), Some(65)]);
    }
}
