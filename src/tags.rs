//! Groups of entries that can be invalidated together.
//!
//! A tag is a name in a table; entries hold a pointer to the tag's state.
//! Invalidating a tag takes it out of the table and marks its state dead, so
//! all its entries are invisible at once, whatever their number. The next
//! write under the same name begins a new state.
//!
//! The shards that hold entries of the tag are told, and remove them when they
//! next do anything. A tag that is told to a shard has, or had, an entry there,
//! so invalidating again and again piles up nothing.

use crate::slot::Slot;
use crate::sync::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) struct TagState {
    is_dead: AtomicBool,
    /// The shards that hold entries of this tag.
    homes: Mutex<Vec<usize>>,
}

impl TagState {
    fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Acquire)
    }
}

type Tag = Arc<TagState>;

/// The tags of one entry; none at all costs no allocation, and no more than a
/// comparison when it is dropped.
#[derive(Clone, Default)]
pub(crate) struct TagSet(Option<Arc<[Tag]>>);

impl TagSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn any_dead(&self) -> bool {
        self.iter().any(|tag| tag.is_dead())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.0.iter().flat_map(|tags| tags.iter())
    }
}

/// All tags that were written and not invalidated since.
#[derive(Default)]
pub(crate) struct TagTable {
    tags: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    by_name: HashMap<Box<str>, Tag, ahash::RandomState>,
    /// When the table has grown to this, names that no entry uses are dropped.
    sweep_at: usize,
}

impl Names {
    /// Below this, sweeping is not worth its while.
    const SWEEP_MIN: usize = 64;

    fn state(&mut self, name: &str) -> Tag {
        if let Some(tag) = self.by_name.get(name) {
            return Arc::clone(tag);
        }
        if self.by_name.len() >= self.sweep_at {
            self.by_name.retain(|_, tag| Arc::strong_count(tag) > 1);
            self.sweep_at = (self.by_name.len() * 2).max(Self::SWEEP_MIN);
        }
        let tag =
            Arc::new(TagState { is_dead: AtomicBool::new(false), homes: Mutex::new(Vec::new()) });
        self.by_name.insert(name.into(), Arc::clone(&tag));
        tag
    }
}

impl TagTable {
    /// The states of `names` as they are now. A state that dies before its
    /// entry is written makes the entry invisible from the start.
    pub(crate) fn set_of(&self, names: &[String]) -> TagSet {
        if names.is_empty() {
            return TagSet(None);
        }
        let mut table = self.tags.lock();
        let mut tags: Vec<Tag> = Vec::with_capacity(names.len());
        for name in names {
            let tag = table.state(name);
            if !tags.iter().any(|known| Arc::ptr_eq(known, &tag)) {
                tags.push(tag);
            }
        }
        TagSet(Some(tags.into()))
    }

    /// Makes every entry of `name` invisible. Returns what the shards that
    /// hold some have to be told.
    pub(crate) fn invalidate(&self, name: &str) -> Option<Doomed> {
        let tag = self.tags.lock().by_name.remove(name)?;
        // Before the homes are read: an entry that is linked later sees this.
        tag.is_dead.store(true, Ordering::SeqCst);
        let homes = tag.homes.lock().clone();
        Some(Doomed { tag, homes })
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.tags.lock().by_name.len()
    }
}

/// A tag that was invalidated, and the shards that hold entries of it.
pub(crate) struct Doomed {
    pub(crate) tag: Arc<TagState>,
    pub(crate) homes: Vec<usize>,
}

/// The entries of one shard by their tags.
#[derive(Default)]
pub(crate) struct Members {
    /// By the address of the tag's state, which `Group` keeps alive.
    groups: HashMap<usize, Group, ahash::RandomState>,
}

struct Group {
    tag: Tag,
    slots: HashSet<Slot, ahash::RandomState>,
}

fn address(tag: &Tag) -> usize {
    Arc::as_ptr(tag) as usize
}

impl Members {
    /// Notes that `slot` of shard `home` has `tags`. A tag among them that is
    /// dead already is returned: nobody will tell this shard of it.
    pub(crate) fn join(&mut self, home: usize, slot: Slot, tags: &TagSet) -> Option<Arc<TagState>> {
        let mut dead = None;
        for tag in tags.iter() {
            let group = self.groups.entry(address(tag)).or_insert_with(|| {
                tag.homes.lock().push(home);
                Group { tag: Arc::clone(tag), slots: HashSet::default() }
            });
            group.slots.insert(slot);
            if tag.is_dead.load(Ordering::SeqCst) {
                dead = Some(Arc::clone(tag));
            }
        }
        dead
    }

    pub(crate) fn leave(&mut self, home: usize, slot: Slot, tags: &TagSet) {
        for tag in tags.iter() {
            let Some(group) = self.groups.get_mut(&address(tag)) else { continue };
            group.slots.remove(&slot);
            if group.slots.is_empty() {
                self.groups.remove(&address(tag));
                tag.homes.lock().retain(|other| *other != home);
            }
        }
    }

    /// The entry with `tags` that was at `from` is at `to` now.
    pub(crate) fn follow(&mut self, from: Slot, to: Slot, tags: &TagSet) {
        for tag in tags.iter() {
            if let Some(group) = self.groups.get_mut(&address(tag)) {
                group.slots.remove(&from);
                group.slots.insert(to);
            }
        }
    }

    /// Gives back memory, if there is much more than is needed.
    pub(crate) fn cut(&mut self) {
        self.groups.values_mut().for_each(|group| group.slots.shrink_to_fit());
        self.groups.shrink_to_fit();
    }

    /// The entries that have `tag`.
    pub(crate) fn of(&self, tag: &Arc<TagState>) -> Vec<Slot> {
        self.groups.get(&address(tag)).map_or_else(Vec::new, |g| g.slots.iter().copied().collect())
    }

    pub(crate) fn is_member(&self, slot: Slot, tags: &TagSet) -> bool {
        tags.iter().all(|tag| {
            self.groups.get(&address(tag)).is_some_and(|group| group.slots.contains(&slot))
        })
    }

    /// How often slots are noted, over all tags.
    pub(crate) fn memberships(&self) -> usize {
        self.groups.values().map(|group| group.slots.len()).sum()
    }

    /// Checks that no group is empty or unknown to its tag.
    pub(crate) fn validate(&self, home: usize) -> Result<(), String> {
        for group in self.groups.values() {
            if group.slots.is_empty() {
                return Err("tags: a group is empty".to_owned());
            }
            if !group.tag.homes.lock().contains(&home) {
                return Err(format!("tags: a tag does not know that shard {home} holds some"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_entry_uses_are_dropped_from_the_table() {
        let table = TagTable::default();
        let kept = table.set_of(&["kept".to_owned()]);
        for i in 0..10_000 {
            table.set_of(&[format!("tag {i}")]);
        }
        assert!(table.len() <= 2 * Names::SWEEP_MIN, "{} names", table.len());
        assert!(!kept.any_dead());
        table.invalidate("kept");
        assert!(kept.any_dead());
    }

    #[test]
    fn a_name_begins_anew_after_it_was_invalidated() {
        let table = TagTable::default();
        let names = ["a".to_owned(), "a".to_owned()];
        let old = table.set_of(&names);
        assert_eq!(old.iter().count(), 1, "a tag named twice counts once");
        assert!(table.invalidate("a").is_some());
        assert!(table.invalidate("a").is_none(), "nothing was written since");
        let new = table.set_of(&names);
        assert!(old.any_dead() && !new.any_dead());
    }

    #[test]
    fn a_shard_is_told_only_while_it_holds_an_entry() {
        let (table, mut members) = (TagTable::default(), Members::default());
        let tags = table.set_of(&["a".to_owned()]);
        members.join(5, Slot::from_index(1), &tags);
        members.join(5, Slot::from_index(2), &tags);
        members.leave(5, Slot::from_index(1), &tags);
        members.validate(5).unwrap();
        assert_eq!(table.invalidate("a").map(|doomed| doomed.homes), Some(vec![5]));
        let tags = table.set_of(&["a".to_owned()]);
        members.join(5, Slot::from_index(3), &tags);
        members.leave(5, Slot::from_index(3), &tags);
        assert_eq!(table.invalidate("a").map(|doomed| doomed.homes), Some(vec![]));
    }
}
