//! Which of several contestants is better, told from paired blocks.
//!
//! Hits come in bursts, so counting each as evidence would be rash. A block
//! of accesses gives one lead of each contestant over the one in office, and
//! what counts is whether the leads agree: their sum has to exceed the root of
//! the sum of their squares by a factor. One burst, however large, never does;
//! a few blocks that agree do. (A paired t-test, in integers, that forgets.)

use super::arms::ARMS;

/// The square of the factor: three blocks have to agree, or more if they
/// differ in size.
const FACTOR_SQUARED: i64 = 3;

/// Of what is remembered, this share of 16 is after another block.
const MEMORY: i64 = 15;

/// The case is settled after so many blocks in which nobody came near. (With a
/// quarter of this, the thinner sample loses half a tenth of a point.)
const SETTLED_AFTER: u32 = 128;

/// Who leads by less than one access in so many does not come near.
const NEAR: i64 = 200;

/// Leads are kept in sixteenths, so that forgetting is not rounded away.
const UNIT: i64 = 16;

#[derive(Default)]
pub(super) struct Verdict {
    /// Who is in office.
    current: usize,
    /// Hits of each in this block.
    hits: [i64; ARMS],
    leads: [i64; ARMS],
    squares: [i64; ARMS],
    /// Blocks since the office was handed on, or another came near.
    quiet: u32,
}

impl Verdict {
    /// With `current` in office.
    pub(super) fn of(current: usize) -> Self {
        Verdict { current, ..Verdict::default() }
    }

    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// Counts accesses that the arms in the set `hit` had, and others not.
    pub(super) fn note(&mut self, hit: u8, times: u32) {
        for (arm, hits) in self.hits.iter_mut().enumerate() {
            *hits += i64::from(hit >> arm & 1) * i64::from(times);
        }
    }

    /// Whether it takes less to see that nothing changes.
    pub(super) fn is_settled(&self) -> bool {
        self.quiet >= SETTLED_AFTER
    }

    /// Ends a block of so many accesses, and hands the office on if another has
    /// earned it.
    pub(super) fn end_block(&mut self, accesses: usize) {
        // A lead that is the same in each block sums up to as much as the memory
        // lasts.
        let near = accesses as i64 * UNIT * (16 / (16 - MEMORY)) / NEAR;
        self.quiet = self.quiet.saturating_add(1);
        let hits = std::mem::take(&mut self.hits);
        let mut best = (self.current, 0);
        for (arm, own) in hits.into_iter().enumerate() {
            let lead = (own - hits[self.current]) * UNIT;
            self.leads[arm] = self.leads[arm] * MEMORY / 16 + lead;
            self.squares[arm] = self.squares[arm] * MEMORY / 16 + lead * lead;
            let sum = self.leads[arm];
            if sum > near && sum * sum > self.squares[arm] {
                self.quiet = 0;
            }
            if sum > best.1 && sum * sum > FACTOR_SQUARED * self.squares[arm] {
                best = (arm, sum);
            }
        }
        if best.0 != self.current {
            // Leads were over the former holder: they say nothing any more.
            *self = Verdict::of(best.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(verdict: &mut Verdict, arm: usize, lead: usize) {
        verdict.note(1 << arm, lead as u32);
        verdict.end_block(lead.max(100));
    }

    #[test]
    fn one_burst_proves_nothing_and_a_few_equal_leads_do() {
        let mut verdict = Verdict::default();
        block(&mut verdict, 2, 10_000);
        assert_eq!(verdict.current(), 0);
        let mut verdict = Verdict::default();
        for blocks in 1..=4 {
            block(&mut verdict, 3, 5);
            assert_eq!(verdict.current() == 3, blocks == 4, "after {blocks}");
        }
    }

    #[test]
    fn leads_that_come_and_go_change_nothing() {
        let mut verdict = Verdict::default();
        for _ in 0..1000 {
            block(&mut verdict, 1, 20);
            assert_eq!(verdict.current(), 0);
            block(&mut verdict, 0, 20);
            assert_eq!(verdict.current(), 0);
        }
    }

    #[test]
    fn of_those_that_are_better_the_best_is_chosen() {
        let mut verdict = Verdict::default();
        for _ in 0..10 {
            verdict.note(0b1100, 5);
            block(&mut verdict, 3, 5);
        }
        assert_eq!(verdict.current(), 3);
    }

    #[test]
    fn the_case_is_settled_while_nobody_comes_near_and_reopened_by_one_who_does() {
        let mut verdict = Verdict::default();
        for blocks in 0..SETTLED_AFTER {
            assert!(!verdict.is_settled(), "after {blocks}");
            block(&mut verdict, 0, 10);
        }
        (0..100).for_each(|at| block(&mut verdict, at % 2, 10));
        assert!(verdict.is_settled(), "the lead of 1 is gone with the next block");
        block(&mut verdict, 1, 40);
        block(&mut verdict, 1, 40);
        assert!(!verdict.is_settled() && verdict.current() == 0);
    }

    #[test]
    fn who_was_better_long_ago_is_replaced_soon() {
        let mut verdict = Verdict::default();
        (0..10_000).for_each(|_| block(&mut verdict, 2, 50));
        let mut blocks = 0;
        while verdict.current() == 2 {
            block(&mut verdict, 1, 50);
            blocks += 1;
        }
        assert!(blocks < 40, "{blocks}");
    }
}
