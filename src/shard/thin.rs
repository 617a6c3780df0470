//! A shard that has become small gives back what it had when it was large:
//! its entries move to lower slots, and everything that knows them by their
//! slots follows.

use super::{Core, Visit};
use crate::slot::Slot;
use crate::vault::{Locked, Progress};

impl<K, V> Visit<'_, K, V> {
    /// Lets entries move together, if that is worth its while. It is done in
    /// the visits that follow.
    pub(crate) fn begin_moving(&mut self) {
        self.locked_mut().begin_moving();
    }

    /// Moves some entries, if they are to move together. Returns whether there
    /// is more to do for the next visit. Readers may be in the way; then it is
    /// left alone for a while, unless it is urgent.
    pub(crate) fn move_some(&mut self, is_urgent: bool) -> bool {
        let shard = self.shard;
        let beside = |from, to| shard.deadlines.copy(from, to);
        let progress = self.locked_mut().move_some(is_urgent, beside, follow);
        if let Progress::Done(end) = progress {
            self.cut(end);
        }
        progress == Progress::Some
    }

    /// Gives back what stands beside the slots from `end` on, which are used no
    /// more.
    pub(super) fn cut(&mut self, end: usize) {
        self.shard.deadlines.cut(self.locked());
        let core = self.core_mut();
        core.policy.on_cut(end);
        core.schedule.cut(end);
        core.ages.cut(end);
        core.members.cut();
    }
}

/// The entry that was at `from` is at `to`.
fn follow<K, V>(locked: &mut Locked<'_, K, V, Core<K, V>>, from: Slot, to: Slot) {
    let hash = locked.hash(to);
    let tags = locked.tags(to).filter(|tags| !tags.is_empty()).cloned();
    let core = locked.core_mut();
    core.policy.on_move(from, to);
    core.schedule.follow(from, to);
    core.ages.follow(from, to);
    if let Some(tags) = tags {
        core.members.follow(from, to, &tags);
    }
    if !core.flights.is_empty() {
        core.flights.follow_reload(hash, from, to);
    }
}
