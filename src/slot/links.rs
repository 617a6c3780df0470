//! Doubly linked lists over slots: queues without pointers.
//!
//! Several [`List`]s share one [`Links`], because an entry stands in one queue
//! at a time. Every operation is O(1) unless it says otherwise.
//!
//! ```text
//!   coldest                           hottest
//!   (leaves first)                    (arrived or was used last)
//!      3  <---->  7  <---->  0  <---->  5
//! ```

use super::Slot;
use super::chunks::prefetch;

#[derive(Clone, Copy)]
struct Pair {
    colder: u32,
    hotter: u32,
}

/// The two neighbours of every slot, 8 bytes an entry.
#[derive(Default)]
pub(crate) struct Links {
    pairs: Vec<Pair>,
}

impl Links {
    #[inline]
    pub(crate) fn hotter(&self, slot: Slot) -> Option<Slot> {
        Slot::from_raw(self.pairs[slot.index()].hotter)
    }

    #[inline]
    pub(crate) fn prefetch(&self, slot: Slot) {
        prefetch(&self.pairs[slot.index()]);
    }

    /// Gives back the memory for slots from `end` on, which are in no list.
    pub(crate) fn cut(&mut self, end: usize) {
        self.pairs.truncate(end);
        self.pairs.shrink_to_fit();
    }

    #[inline]
    fn set(&mut self, slot: Slot, pair: Pair) {
        match self.pairs.get_mut(slot.index()) {
            Some(place) => *place = pair,
            None => self.grow(slot, pair),
        }
    }

    #[cold]
    fn grow(&mut self, slot: Slot, pair: Pair) {
        let lonely = Pair { colder: Slot::NONE, hotter: Slot::NONE };
        self.pairs.resize(slot.index(), lonely);
        self.pairs.push(pair);
    }
}

/// One queue, from its coldest entry to its hottest.
#[derive(Clone, Copy)]
pub(crate) struct List {
    coldest: u32,
    hottest: u32,
    len: usize,
    /// Every entry colder than this one is weightless, so that a search for
    /// weight need not pass over the same weightless entries again and again.
    /// `NONE`: the search starts at the coldest.
    weighty_from: u32,
}

impl Default for List {
    fn default() -> Self {
        List { coldest: Slot::NONE, hottest: Slot::NONE, len: 0, weighty_from: Slot::NONE }
    }
}

impl List {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn coldest(&self) -> Option<Slot> {
        Slot::from_raw(self.coldest)
    }

    #[inline]
    pub(crate) fn push_hottest(&mut self, links: &mut Links, slot: Slot) {
        links.set(slot, Pair { colder: self.hottest, hotter: Slot::NONE });
        match Slot::from_raw(self.hottest) {
            Some(neighbour) => links.pairs[neighbour.index()].hotter = slot.raw(),
            None => self.coldest = slot.raw(),
        }
        self.hottest = slot.raw();
        self.len += 1;
    }

    /// Puts `slot` just on the cold side of `before`, which is in this list.
    pub(crate) fn insert_colder(&mut self, links: &mut Links, slot: Slot, before: Slot) {
        let colder = links.pairs[before.index()].colder;
        links.set(slot, Pair { colder, hotter: before.raw() });
        links.pairs[before.index()].colder = slot.raw();
        match Slot::from_raw(colder) {
            Some(neighbour) => links.pairs[neighbour.index()].hotter = slot.raw(),
            None => self.coldest = slot.raw(),
        }
        self.weighty_from = Slot::NONE;
        self.len += 1;
    }

    /// Takes `slot`, which is in this list, out of it.
    #[inline]
    pub(crate) fn remove(&mut self, links: &mut Links, slot: Slot) {
        let Pair { colder, hotter } = links.pairs[slot.index()];
        match Slot::from_raw(colder) {
            Some(neighbour) => links.pairs[neighbour.index()].hotter = hotter,
            None => self.coldest = hotter,
        }
        match Slot::from_raw(hotter) {
            Some(neighbour) => links.pairs[neighbour.index()].colder = colder,
            None => self.hottest = colder,
        }
        if self.weighty_from == slot.raw() {
            self.weighty_from = if hotter == Slot::NONE { colder } else { hotter };
        }
        self.len -= 1;
    }

    /// Puts `to`, which is in no list, in the place of `from`.
    #[inline]
    pub(crate) fn replace(&mut self, links: &mut Links, from: Slot, to: Slot) {
        let Pair { colder, hotter } = links.pairs[from.index()];
        links.set(to, Pair { colder, hotter });
        match Slot::from_raw(colder) {
            Some(neighbour) => links.pairs[neighbour.index()].hotter = to.raw(),
            None => self.coldest = to.raw(),
        }
        match Slot::from_raw(hotter) {
            Some(neighbour) => links.pairs[neighbour.index()].colder = to.raw(),
            None => self.hottest = to.raw(),
        }
        if self.weighty_from == from.raw() {
            self.weighty_from = to.raw();
        }
    }

    pub(crate) fn pop_coldest(&mut self, links: &mut Links) -> Option<Slot> {
        let slot = self.coldest()?;
        self.remove(links, slot);
        Some(slot)
    }

    #[inline]
    pub(crate) fn move_hottest(&mut self, links: &mut Links, slot: Slot) {
        if self.hottest == slot.raw() {
            return;
        }
        // So somebody is hotter, and the list will not be empty meanwhile.
        let Pair { colder, hotter } = links.pairs[slot.index()];
        match Slot::from_raw(colder) {
            Some(neighbour) => links.pairs[neighbour.index()].hotter = hotter,
            None => self.coldest = hotter,
        }
        links.pairs[hotter as usize].colder = colder;
        if self.weighty_from == slot.raw() {
            self.weighty_from = hotter;
        }
        links.pairs[slot.index()] = Pair { colder: self.hottest, hotter: Slot::NONE };
        links.pairs[self.hottest as usize].hotter = slot.raw();
        self.hottest = slot.raw();
    }

    /// The coldest entry for which `is_weighty` holds. Entries that a search
    /// has passed are not looked at again, so the cost is O(1), amortised.
    pub(crate) fn coldest_weighty(
        &mut self,
        links: &Links,
        is_weighty: impl Fn(Slot) -> bool,
    ) -> Option<Slot> {
        let mut at = Slot::from_raw(self.weighty_from).or(self.coldest());
        while let Some(slot) = at {
            self.weighty_from = slot.raw();
            if is_weighty(slot) {
                return Some(slot);
            }
            at = links.hotter(slot);
        }
        None
    }

    /// To be called when an entry of this list gains weight where it stands.
    pub(crate) fn weight_gained(&mut self) {
        self.weighty_from = Slot::NONE;
    }

    /// From the coldest to the hottest.
    pub(crate) fn iter<'a>(&self, links: &'a Links) -> impl Iterator<Item = Slot> + use<'a> {
        std::iter::successors(self.coldest(), |slot| links.hotter(*slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn slot(index: u8) -> Slot {
        Slot::from_index(index as usize)
    }

    fn order(list: &List, links: &Links) -> Vec<Slot> {
        list.iter(links).collect()
    }

    proptest! {
        #[test]
        fn a_list_agrees_with_a_deque(ops in prop::collection::vec((0u8..5, 0u8..12), 0..200)) {
            let (mut links, mut list) = (Links::default(), List::default());
            let mut model: VecDeque<Slot> = VecDeque::new();
            for (op, index) in ops {
                let s = slot(index);
                let known = model.contains(&s);
                match op {
                    0 if !known => {
                        list.push_hottest(&mut links, s);
                        model.push_back(s);
                    }
                    1 if known => {
                        list.remove(&mut links, s);
                        model.retain(|x| *x != s);
                    }
                    2 if known => {
                        list.move_hottest(&mut links, s);
                        model.retain(|x| *x != s);
                        model.push_back(s);
                    }
                    3 => {
                        prop_assert_eq!(list.pop_coldest(&mut links), model.pop_front());
                    }
                    4 if known && !model.contains(&slot(index + 20)) => {
                        list.replace(&mut links, s, slot(index + 20));
                        model.iter_mut().filter(|x| **x == s).for_each(|x| *x = slot(index + 20));
                    }
                    _ => {}
                }
                prop_assert_eq!(order(&list, &links), Vec::from(model.clone()));
                prop_assert_eq!(list.len(), model.len());
            }
        }

        #[test]
        fn the_coldest_weighty_entry_is_found_whatever_came_and_went(
            ops in prop::collection::vec((0u8..4, 0u8..12), 0..200)
        ) {
            // Odd slots have weight, even ones have none.
            let is_weighty = |s: Slot| s.raw() % 2 == 1;
            let (mut links, mut list) = (Links::default(), List::default());
            let mut model: Vec<Slot> = Vec::new();
            for (op, index) in ops {
                let s = slot(index);
                let known = model.contains(&s);
                match op {
                    0 if !known => {
                        list.push_hottest(&mut links, s);
                        model.push(s);
                    }
                    1 if known => {
                        list.remove(&mut links, s);
                        model.retain(|x| *x != s);
                    }
                    2 if known => {
                        list.move_hottest(&mut links, s);
                        model.retain(|x| *x != s);
                        model.push(s);
                    }
                    _ => {}
                }
                let found = list.coldest_weighty(&links, is_weighty);
                prop_assert_eq!(found, model.iter().copied().find(|s| is_weighty(*s)));
            }
        }
    }
}
