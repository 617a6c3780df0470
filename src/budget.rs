//! How much the whole cache may hold, and how much it does.
//!
//! Every entry is paid for before it becomes visible and refunded after it
//! has gone, so the cache never holds more than it may, however many threads
//! write. The account is one for all shards: that is how they lend to one
//! another. A shard that gives up an entry for a newcomer of the same weight
//! does not touch it, so it is quiet once the cache is full.

use crate::policy::Need;
use std::sync::atomic::{AtomicU64, Ordering};

/// What entries cost: their number and their weight.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) entries: u64,
    pub(crate) weight: u64,
}

impl Cost {
    #[inline]
    pub(crate) fn of(weight: u32) -> Self {
        Cost { entries: 1, weight: u64::from(weight) }
    }
}

/// One bound and what is used of it.
struct Account {
    used: AtomicU64,
    max: AtomicU64,
}

impl Account {
    #[inline]
    fn new(max: u64) -> Self {
        Account { used: AtomicU64::new(0), max: AtomicU64::new(max) }
    }

    #[inline]
    fn take(&self, amount: u64) -> bool {
        if amount == 0 {
            return true;
        }
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            // More is used than there may be while a bound is being lowered.
            let free = self.max().saturating_sub(used);
            if free < amount {
                return false;
            }
            let swapped = self.used.compare_exchange_weak(
                used,
                used + amount,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => return true,
                Err(current) => used = current,
            }
        }
    }

    #[inline]
    fn give(&self, amount: u64) {
        if amount > 0 {
            self.used.fetch_sub(amount, Ordering::Relaxed);
        }
    }

    #[inline]
    fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.max()
    }
}

/// In lines of its own: as long as the cache fills, every writer writes here, and
/// readers look at what is beside it.
#[repr(align(128))]
pub(crate) struct Budget {
    entries: Account,
    weight: Account,
}

impl Budget {
    #[inline]
    pub(crate) fn new(max: Cost) -> Self {
        Budget { entries: Account::new(max.entries), weight: Account::new(max.weight) }
    }

    #[inline]
    pub(crate) fn max(&self) -> Cost {
        Cost { entries: self.entries.max(), weight: self.weight.max() }
    }

    #[inline]
    pub(crate) fn entries_max(&self) -> u64 {
        self.entries.max()
    }

    #[inline]
    pub(crate) fn used(&self) -> Cost {
        let used = |account: &Account| account.used.load(Ordering::Relaxed);
        Cost { entries: used(&self.entries), weight: used(&self.weight) }
    }

    pub(crate) fn set_entries_max(&self, entries: u64) {
        self.entries.max.store(entries, Ordering::SeqCst);
    }

    pub(crate) fn set_weight_max(&self, weight: u64) {
        self.weight.max.store(weight, Ordering::SeqCst);
    }

    /// Whether an empty cache would have room for this.
    pub(crate) fn could_hold(&self, cost: Cost) -> bool {
        cost.entries <= self.entries.max() && cost.weight <= self.weight.max()
    }

    /// What there is too much of since a bound was lowered.
    pub(crate) fn excess(&self) -> Option<Need> {
        if self.entries.is_over() {
            Some(Need::Entry)
        } else if self.weight.is_over() {
            Some(Need::Weight)
        } else {
            None
        }
    }

    /// Takes room for one entry of weight 1, or says what is lacking.
    #[inline]
    pub(crate) fn take_one(&self) -> Result<(), Need> {
        if !self.entries.take(1) {
            return Err(Need::Entry);
        }
        if !self.weight.take(1) {
            self.entries.give(1);
            return Err(Need::Weight);
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn give(&self, cost: Cost) {
        self.entries.give(cost.entries);
        self.weight.give(cost.weight);
    }
}

/// A shard cannot make room by itself: another one has to give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shortage {
    pub(crate) need: Need,
    /// What the writer has to pay in all.
    pub(crate) wanted: Cost,
}

/// What a writer has paid in and not yet spent on an entry. What is left goes
/// back when it is dropped, also when a panic drops it.
///
/// Whoever holds some may wait for locks and for nothing else, and runs no code
/// of the user: that may need all the room there is.
pub(crate) struct Credit<'a> {
    budget: &'a Budget,
    held: Cost,
}

impl<'a> Credit<'a> {
    #[inline]
    pub(crate) fn new(budget: &'a Budget) -> Self {
        Credit { budget, held: Cost::default() }
    }

    /// Adds what an entry cost that has just left.
    #[inline]
    pub(crate) fn refund(&mut self, cost: Cost) {
        self.held.entries += cost.entries;
        self.held.weight += cost.weight;
    }

    /// Makes sure that `cost` is held, or says what is lacking.
    #[inline]
    pub(crate) fn raise_to(&mut self, cost: Cost) -> Result<(), Need> {
        let entries = cost.entries.saturating_sub(self.held.entries);
        if !self.budget.entries.take(entries) {
            return Err(Need::Entry);
        }
        self.held.entries += entries;
        let weight = cost.weight.saturating_sub(self.held.weight);
        if !self.budget.weight.take(weight) {
            return Err(Need::Weight);
        }
        self.held.weight += weight;
        Ok(())
    }

    /// Pays for an entry that becomes resident now.
    #[inline]
    pub(crate) fn spend(&mut self, cost: Cost) {
        debug_assert!(self.held.entries >= cost.entries && self.held.weight >= cost.weight);
        self.held.entries -= cost.entries;
        self.held.weight -= cost.weight;
    }
}

impl Drop for Credit<'_> {
    fn drop(&mut self) {
        self.budget.give(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is() {
        let budget = Budget::new(Cost { entries: 2, weight: 10 });
        let mut credit = Credit::new(&budget);
        assert_eq!(credit.raise_to(Cost { entries: 2, weight: 10 }), Ok(()));
        assert_eq!(credit.raise_to(Cost { entries: 3, weight: 0 }), Err(Need::Entry));
        assert_eq!(credit.raise_to(Cost { entries: 2, weight: 11 }), Err(Need::Weight));
        credit.spend(Cost { entries: 1, weight: 4 });
        drop(credit);
        assert_eq!(budget.used(), Cost { entries: 1, weight: 4 });
    }

    #[test]
    fn sums_beyond_the_largest_number_are_refused_not_wrapped() {
        let budget = Budget::new(Cost { entries: u64::MAX, weight: u64::MAX });
        let mut credit = Credit::new(&budget);
        assert_eq!(credit.raise_to(Cost { entries: 1, weight: u64::MAX }), Ok(()));
        credit.spend(Cost { entries: 1, weight: u64::MAX });
        assert_eq!(credit.raise_to(Cost { entries: 1, weight: 1 }), Err(Need::Weight));
    }
}
