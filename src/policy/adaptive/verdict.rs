//! Which of several contestants to follow, told from the accesses that tell them
//! apart.
//!
//! Who hits where another misses gains a point on it. Nobody can fall further
//! behind the leader than a number of points, so what was long ago is forgotten.
//! These are the saturating counters of set duelling (Qureshi et al., "Adaptive
//! insertion policies for high performance caching", ISCA '07), one for each
//! contestant.
//!
//! How far the leader has to be ahead before it is worth following is another
//! question, and has no answer that always holds. Who follows at once is right
//! where one kind of accesses gives way to another for long, and always late where
//! leads come and go: equally good contestants hold different entries, and on a
//! loop each then has its hits in one go. So several [`Follower`]s, from the hasty
//! to the one who stays where it is, play the same game: each gains a point where
//! its contestant of the moment hits, and pays for every change. The office is with
//! the contestant of the follower who does best. This is tracking the best expert
//! with the rate of change learned on top (Monteleoni and Jaakkola, "Online learning
//! of non-stationary sequences", NIPS '03), in whole points.

use super::arms::ARMS;

/// Points that a contestant is behind the leader at most: half as many as there
/// is room for entries, and never less than this, or small caches change too
/// often.
const MEMORY_MIN: usize = 64;

/// How many followers there are. Each waits for twice the lead that the one before
/// it waits for: an eighth of all points that are remembered, a quarter, a half, and
/// all of them, a lead that nobody can have.
const FOLLOWERS: usize = 4;

/// Who is followed before anything is known.
const FIRST: usize = 1;

/// What a change costs, as one part in so many of the points remembered. It is less
/// than the smallest lead that is followed: a change that was right is no loss.
const PRICE: i32 = 10;

/// The case is settled after so many accesses in which nobody came near. (With a
/// quarter of this, the thinner sample loses half a tenth of a point.)
const SETTLED_AFTER: u32 = 16_384;

const ALL: u8 = (1 << ARMS) - 1;

pub(super) struct Verdict {
    /// How far each contestant is behind the leader, as a number below 0. The leader
    /// has 0.
    points: [i32; ARMS],
    followers: [Follower; FOLLOWERS],
    /// The follower who does best.
    followed: usize,
    /// Points that a contestant is behind the leader at most, and a follower behind
    /// the best of them.
    memory: i32,
    /// Accesses since the office was handed on, or another came near.
    quiet: u32,
}

/// Goes with the contestant that is ahead, after a while.
#[derive(Clone, Copy)]
struct Follower {
    /// Whom it follows just now.
    with: usize,
    /// How far it is behind the best follower, as a number below 0.
    points: i32,
}

impl Verdict {
    /// With `current` in office.
    pub(super) fn of(current: usize) -> Self {
        Verdict {
            points: [0; ARMS],
            followers: [Follower { with: current, points: 0 }; FOLLOWERS],
            followed: FIRST,
            memory: MEMORY_MIN as i32,
            quiet: 0,
        }
    }

    /// From now on, the contestants have room for so many entries. The more they
    /// have, the more points are remembered: two that are equally good may hold
    /// quite different entries.
    #[inline]
    pub(super) fn fit(&mut self, room: usize) {
        self.memory = (room / 2).max(MEMORY_MIN) as i32;
    }

    /// Who is in office.
    pub(super) fn current(&self) -> usize {
        self.followers[self.followed].with
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
        let leader = self.count(hit);
        if -self.points[self.current()] > self.memory >> FOLLOWERS {
            // Half of what the hastiest waits for: that is near.
            self.quiet = 0;
        }
        self.follow(leader, hit);
        if -self.followers[self.followed].points > self.memory / PRICE {
            let best = (0..FOLLOWERS).max_by_key(|at| self.followers[*at].points);
            self.followed = best.unwrap_or(0);
        }
    }

    /// Who leads, now that the arms in the set `hit` have one point more.
    fn count(&mut self, hit: u8) -> usize {
        for (arm, points) in self.points.iter_mut().enumerate() {
            *points += i32::from(hit >> arm & 1);
        }
        let most = self.points.into_iter().max().unwrap_or(0);
        let mut leader = 0;
        for (arm, points) in self.points.iter_mut().enumerate().rev() {
            *points = (*points - most).max(-self.memory);
            if *points == 0 {
                leader = arm;
            }
        }
        leader
    }

    /// Each follower has what its arm had; then those change who have waited long
    /// enough.
    fn follow(&mut self, leader: usize, hit: u8) {
        let mut most = i32::MIN;
        for (at, follower) in self.followers.iter_mut().enumerate() {
            follower.points += i32::from(hit >> follower.with & 1);
            let patience = self.memory >> (FOLLOWERS - 1 - at);
            if -self.points[follower.with] > patience {
                follower.with = leader;
                follower.points -= self.memory / PRICE;
            }
            most = most.max(follower.points);
        }
        for follower in &mut self.followers {
            follower.points = (follower.points - most).max(-self.memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: i32 = MEMORY_MIN as i32;

    /// The lead that follower `at` waits for, with the smallest memory.
    const fn patience(at: usize) -> i32 {
        MEMORY >> (FOLLOWERS - 1 - at)
    }

    /// So many accesses in a row that the arms in the set `hit` had.
    fn stretch(verdict: &mut Verdict, hit: u8, accesses: i32) {
        (0..accesses).for_each(|_| verdict.note(hit));
    }

    /// So many accesses that only `arm` has, until it is in office.
    fn needed(verdict: &mut Verdict, arm: usize) -> i32 {
        let mut accesses = 0;
        while verdict.current() != arm {
            verdict.note(1 << arm);
            accesses += 1;
        }
        accesses
    }

    #[test]
    fn a_few_points_may_be_chance_and_more_are_not() {
        let mut verdict = Verdict::of(0);
        assert_eq!(needed(&mut verdict, 3), patience(FIRST) + 1);
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
            stretch(&mut verdict, 1 << 1, patience(FIRST));
            assert_eq!(verdict.current(), 0);
            stretch(&mut verdict, 1 << 0, patience(FIRST));
            assert_eq!(verdict.current(), 0);
        }
    }

    #[test]
    fn who_changes_too_often_is_followed_no_longer() {
        let mut verdict = Verdict::of(0);
        let mut changes = [0; 10];
        for changes in &mut changes {
            for arm in [1, 0].repeat(20) {
                let before = verdict.current();
                stretch(&mut verdict, 1 << arm, patience(FIRST) + 2);
                *changes += usize::from(verdict.current() != before);
            }
        }
        assert!(changes[0] > 0 && changes[1..] == [0; 9], "{changes:?}");
    }

    #[test]
    fn where_each_has_its_time_for_long_the_hasty_are_followed() {
        let mut verdict = Verdict::of(0);
        let times = [1, 2].repeat(10).into_iter().map(|arm| {
            let accesses = needed(&mut verdict, arm);
            stretch(&mut verdict, 1 << arm, 10 * MEMORY);
            accesses
        });
        let times: Vec<i32> = times.collect();
        assert_eq!(times[0], patience(FIRST) + 1);
        let soonest = MEMORY + patience(0) + 1;
        assert!(times[2..].iter().all(|accesses| *accesses == soonest), "{times:?}");
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
        let near = patience(0) / 2;
        let mut verdict = Verdict::of(0);
        stretch(&mut verdict, ALL, SETTLED_AFTER as i32 - 1);
        assert!(!verdict.is_settled());
        for _ in 0..100 {
            stretch(&mut verdict, 1 << 1, near);
            stretch(&mut verdict, 1 << 0, near);
        }
        assert!(verdict.is_settled(), "the lead is gone again");
        stretch(&mut verdict, 1 << 1, near + 1);
        assert!(!verdict.is_settled() && verdict.current() == 0);
    }

    #[test]
    fn who_was_better_for_long_is_replaced_as_soon_as_who_was_for_a_while() {
        let replaced_after = |accesses: i32| {
            let mut verdict = Verdict::of(0);
            stretch(&mut verdict, 1 << 2, accesses);
            needed(&mut verdict, 1)
        };
        assert_eq!(replaced_after(2 * MEMORY), replaced_after(100_000));
    }

    #[test]
    fn with_more_room_more_points_may_be_chance() {
        let needed = |room: usize| {
            let mut verdict = Verdict::of(0);
            verdict.fit(room);
            needed(&mut verdict, 1)
        };
        assert_eq!([1, 128, 512].map(needed), [17, 17, 65]);
    }

    #[test]
    fn no_lead_moves_the_most_patient() {
        let mut verdict = Verdict::of(0);
        stretch(&mut verdict, 1 << 3, 100_000);
        assert_eq!(verdict.followers.map(|follower| follower.with), [3, 3, 3, 0]);
    }
}
