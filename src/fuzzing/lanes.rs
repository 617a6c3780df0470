use super::Script;
use crate::slot::lanes::{Lanes, MARKS};
use crate::slot::links::{Links, List};
use crate::slot::{Residents, Slot};
use std::cell::RefCell;

const SLOTS: usize = 40;
const LANES: usize = 4;

/// Linked queues beside vectors: one list by itself, and several weighed ones.
pub fn lanes(bytes: &[u8]) {
    let (mut one, mut several) = (OneList::default(), Several::default());
    let mut script = Script(bytes);
    while !script.is_over() {
        if script.below(2) == 0 {
            one.step(&mut script);
        } else {
            several.step(&mut script);
        }
    }
    one.check();
    several.check();
}

/// A slot of this number weighs nothing for now.
type Weightless = [bool; SLOTS];

struct OneList {
    links: Links,
    list: List,
    model: Vec<Slot>,
    weightless: Weightless,
}

impl Default for OneList {
    fn default() -> Self {
        OneList {
            links: Links::default(),
            list: List::default(),
            model: Vec::new(),
            weightless: std::array::from_fn(|index| index % 2 == 0),
        }
    }
}

impl OneList {
    fn step(&mut self, script: &mut Script<'_>) {
        let (operation, slot) = (script.byte() % 8, script.slot_below(SLOTS));
        let place = self.model.iter().position(|other| *other == slot);
        match (operation, place) {
            (0 | 1, None) => {
                self.list.push_hottest(&mut self.links, slot);
                self.model.push(slot);
            }
            (2, None) if !self.model.is_empty() => {
                let at = script.below(self.model.len());
                self.list.insert_colder(&mut self.links, slot, self.model[at]);
                self.model.insert(at, slot);
            }
            (2, Some(at)) => {
                self.list.remove(&mut self.links, slot);
                self.model.remove(at);
            }
            (3, Some(at)) => {
                self.list.move_hottest(&mut self.links, slot);
                self.model[at..].rotate_left(1);
            }
            (4, _) => {
                let coldest = (!self.model.is_empty()).then(|| self.model.remove(0));
                assert_eq!(self.list.pop_coldest(&mut self.links), coldest);
            }
            (5, Some(at)) => self.replace(at, script.slot_below(SLOTS)),
            (6, Some(_)) => {
                let weightless = &mut self.weightless[slot.index()];
                *weightless = !*weightless;
                if !*weightless {
                    self.list.weight_gained();
                }
            }
            _ => self.look_for_weight(),
        }
        assert_eq!(self.list.len(), self.model.len());
        assert_eq!(self.list.coldest(), self.model.first().copied());
    }

    /// Who comes weighs no more than who goes: then nobody need be told.
    fn replace(&mut self, at: usize, to: Slot) {
        if self.model.contains(&to) {
            return;
        }
        self.weightless[to.index()] = self.weightless[self.model[at].index()];
        self.list.replace(&mut self.links, self.model[at], to);
        self.model[at] = to;
    }

    fn look_for_weight(&mut self) {
        let weightless = self.weightless;
        let is_weighty = |slot: Slot| !weightless[slot.index()];
        let expected = self.model.iter().copied().find(|slot| is_weighty(*slot));
        assert_eq!(self.list.coldest_weighty(&self.links, is_weighty), expected);
    }

    fn check(&mut self) {
        assert!(self.list.iter(&self.links).eq(self.model.iter().copied()));
        assert_eq!(self.list.is_empty(), self.model.is_empty());
        self.look_for_weight();
    }
}

#[derive(Default)]
struct Weights(RefCell<[u32; 32]>);

impl Residents for Weights {
    fn hash(&self, slot: Slot) -> u32 {
        slot.raw()
    }
    fn weight(&self, slot: Slot) -> u32 {
        self.0.borrow()[slot.index() % 32]
    }
    fn hits(&self, _: Slot) -> u8 {
        0
    }
    fn set_hits(&self, _: Slot, _: u8) {}
}

#[derive(Default)]
struct Several {
    lanes: Lanes<LANES>,
    model: [Vec<Slot>; LANES],
    weights: Weights,
}

impl Several {
    fn step(&mut self, script: &mut Script<'_>) {
        let (operation, slot, lane) =
            (script.byte() % 8, script.slot_below(32), script.below(LANES));
        let place = self.place(slot);
        match (operation, place) {
            (0..=2, None) => {
                self.weights.0.borrow_mut()[slot.index()] = self.some_weight(script);
                self.lanes.push(lane, slot, self.weights.weight(slot));
                self.model[lane].push(slot);
            }
            (3, Some((from, at))) => {
                self.lanes.remove(slot, self.weights.weight(slot));
                self.model[from].remove(at);
            }
            (4, Some((from, at))) => {
                self.lanes.move_to(lane, slot, self.weights.weight(slot));
                self.model[from].remove(at);
                self.model[lane].push(slot);
            }
            (5, Some((from, at))) => {
                let to = script.slot_below(32);
                if self.place(to).is_none() {
                    let weight = self.weights.weight(slot);
                    self.weights.0.borrow_mut()[to.index()] = weight;
                    self.lanes.replace(slot, to);
                    self.model[from][at] = to;
                }
            }
            (6, Some(_)) => {
                let was = self.weights.weight(slot);
                self.weights.0.borrow_mut()[slot.index()] = self.some_weight(script);
                self.lanes.reweigh(slot, was, &self.weights);
            }
            (7, Some(_)) => {
                let marks = script.byte() & MARKS;
                self.lanes.set_marks(slot, marks);
                assert_eq!(self.lanes.marks(slot), marks);
            }
            _ => {}
        }
        if let Some((lane, _)) = self.place(slot) {
            assert_eq!(self.lanes.lane(slot), lane);
        }
    }

    fn some_weight(&self, script: &mut Script<'_>) -> u32 {
        match script.byte() {
            255 => u32::MAX,
            small => u32::from(small % 8),
        }
    }

    fn place(&self, slot: Slot) -> Option<(usize, usize)> {
        let at = |lane: &Vec<Slot>| lane.iter().position(|other| *other == slot);
        self.model.iter().enumerate().find_map(|(lane, slots)| Some((lane, at(slots)?)))
    }

    fn check(&self) {
        self.lanes.validate(&self.weights).unwrap();
        for (lane, slots) in self.model.iter().enumerate() {
            assert!(self.lanes.iter(lane).eq(slots.iter().copied()));
            assert_eq!(self.lanes.len(lane), slots.len());
            assert_eq!(self.lanes.coldest(lane), slots.first().copied());
            let foreseen = slots.iter().filter_map(|slot| self.lanes.foresee(*slot));
            assert!(foreseen.eq(slots.iter().skip(1).copied()));
        }
        let slots: Vec<Slot> = self.model.concat();
        let weight: u64 = slots.iter().map(|slot| u64::from(self.weights.weight(*slot))).sum();
        assert_eq!((self.lanes.total_len(), self.lanes.total_weight()), (slots.len(), weight));
    }
}
