//! What every policy promises, checked for all of them.

use super::*;
use crate::slot::HITS_MAX;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeSet;

/// Residents without a cache: what a policy may see, and nothing else.
#[derive(Default)]
struct Book {
    hashes: Vec<u32>,
    weights: Vec<u32>,
    hits: Vec<Cell<u8>>,
}

impl Residents for Book {
    fn hash(&self, slot: Slot) -> u32 {
        self.hashes[slot.index()]
    }

    fn weight(&self, slot: Slot) -> u32 {
        self.weights[slot.index()]
    }

    fn hits(&self, slot: Slot) -> u8 {
        self.hits[slot.index()].get()
    }

    fn set_hits(&self, slot: Slot, hits: u8) {
        assert!(hits <= HITS_MAX);
        self.hits[slot.index()].set(hits);
    }
}

/// A policy, what it can see, and a set that knows who ought to be there.
struct Bench {
    policy: Box<dyn Policy>,
    book: Book,
    residents: BTreeSet<Slot>,
}

impl Bench {
    fn new(eviction: Eviction, slots: usize) -> Self {
        let hashes = (0..slots as u32).map(|slot| slot.wrapping_mul(0x9E37_79B9)).collect();
        let (weights, hits) = (vec![1; slots], vec![Cell::new(0); slots]);
        let book = Book { hashes, weights, hits };
        let mut policy = Policies::new(eviction).policy();
        policy.on_resize(slots as u64);
        Bench { policy, book, residents: BTreeSet::new() }
    }

    fn insert(&mut self, slot: Slot, weight: u32) {
        if self.residents.insert(slot) {
            self.book.weights[slot.index()] = weight;
            self.book.set_hits(slot, 0);
            let seen = self.book.look(slot);
            self.policy.on_insert(slot, seen, &self.book);
        }
    }

    fn hit(&mut self, slot: Slot) {
        if !self.residents.contains(&slot) {
            return;
        }
        match self.policy.notes() {
            Notes::Nothing => {}
            Notes::Count => self.book.set_hits(slot, (self.book.hits(slot) + 1).min(HITS_MAX)),
            Notes::Order => self.policy.on_hit(slot),
        }
    }

    fn remove(&mut self, slot: Slot) {
        if self.residents.remove(&slot) {
            self.policy.on_remove(slot, &self.book);
        }
    }

    fn reweigh(&mut self, slot: Slot, weight: u32) {
        if self.residents.contains(&slot) {
            let was = std::mem::replace(&mut self.book.weights[slot.index()], weight);
            self.policy.on_reweigh(slot, was, &self.book);
        }
    }

    fn evict(&mut self, need: Need) -> Option<Slot> {
        let helps = |slot: &Slot| need == Need::Entry || self.book.weight(*slot) > 0;
        let can_help = self.residents.iter().any(helps);
        let victim = self.policy.evict(need, &self.book);
        assert_eq!(victim.is_some(), can_help, "a victim exactly when there is one");
        if let Some(victim) = victim {
            assert!(self.residents.remove(&victim), "{victim:?} was given up, but is not there");
            assert!(need == Need::Entry || self.book.weight(victim) > 0, "weight was needed");
        }
        victim
    }

    /// Evicts an entry, and gives its slot to a newcomer of `hash`.
    fn evict_and_insert(&mut self, hash: u32) -> Option<Slot> {
        let victim = self.evict(Need::Entry)?;
        self.book.hashes[victim.index()] = hash;
        self.insert(victim, 1);
        Some(victim)
    }

    /// The same in one call.
    fn exchange(&mut self, hash: u32) -> Option<Slot> {
        let exchange = self.policy.exchange(hash, &self.book);
        let victim = exchange.victim()?;
        assert!(exchange.next().is_none_or(|next| self.residents.contains(&next)));
        // Only now does the book say so.
        self.book.hashes[victim.index()] = hash;
        self.book.set_hits(victim, 0);
        Some(victim)
    }

    fn check(&self) {
        self.policy.validate(&self.book).unwrap();
        let mut order = self.policy.coldest_first(&self.book);
        order.sort_unstable();
        assert!(order.iter().eq(&self.residents), "the order is all residents, each once");
        let next = self.policy.next_victim();
        assert!(next.is_none_or(|next| self.residents.contains(&next)), "{next:?} is not there");
    }
}

fn slot(index: usize) -> Slot {
    Slot::from_index(index)
}

fn evictions() -> Vec<Eviction> {
    let unusual = [
        Eviction::AdaptiveByWeight,
        Eviction::Lfu { ageing: None },
        Eviction::Lfu { ageing: Some(1) },
    ];
    Eviction::ALL.iter().copied().chain(unusual).collect()
}

#[test]
fn an_entry_that_gains_weight_where_it_stands_may_leave_for_its_weight() {
    for eviction in evictions() {
        let mut bench = Bench::new(eviction, 8);
        (0..6).for_each(|index| bench.insert(slot(index), u32::from(index > 3)));
        while bench.evict(Need::Weight).is_some() {}
        bench.reweigh(slot(1), 1);
        assert_eq!(bench.evict(Need::Weight), Some(slot(1)), "{eviction}");
    }
}

#[test]
fn who_came_while_there_was_room_need_not_contend_for_it() {
    // Those with a contest: the newest are still in the window. Nobody was ever
    // read, so the oldest there does not win against who came first.
    let contests = [Eviction::default(), Eviction::AdaptiveByWeight, Eviction::TinyLfu];
    for (eviction, need) in contests.iter().flat_map(|e| [(*e, Need::Entry), (*e, Need::Weight)]) {
        let mut bench = Bench::new(eviction, 1000);
        (0..1000).for_each(|index| bench.insert(slot(index), 1));
        let victim = bench.evict(need).unwrap().index();
        assert!((900..999).contains(&victim), "{eviction}, {need:?}: {victim}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_policy_gives_up_residents_only_and_each_exactly_once(
        ops in prop::collection::vec((0u8..8, 0usize..24, 0u32..3), 0..400)
    ) {
        for eviction in evictions() {
            let mut bench = Bench::new(eviction, 24);
            for (op, index, weight) in &ops {
                match op {
                    0 | 1 => bench.insert(slot(*index), *weight),
                    2..=4 => bench.hit(slot(*index)),
                    5 => bench.remove(slot(*index)),
                    6 => bench.reweigh(slot(*index), *weight),
                    _ => {
                        bench.evict(if *weight == 0 { Need::Weight } else { Need::Entry });
                    }
                }
                bench.check();
            }
            while bench.evict(Need::Entry).is_some() {
                bench.check();
            }
            prop_assert!(bench.residents.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_exchange_is_an_eviction_and_an_insert(
        ops in prop::collection::vec((0u8..8, 0usize..40, any::<u32>()), 0..400)
    ) {
        for eviction in evictions() {
            let benches = [(); 2].map(|()| Bench::new(eviction, 40));
            let [mut one, mut two] = benches;
            for (op, index, hash) in &ops {
                match op {
                    0 | 1 => [&mut one, &mut two].map(|bench| bench.insert(slot(*index), 1)),
                    2 | 3 => [&mut one, &mut two].map(|bench| bench.hit(slot(*index))),
                    4 => [&mut one, &mut two].map(|bench| bench.remove(slot(*index))),
                    _ => {
                        // Some of them have left before.
                        let hash = (hash % 64).wrapping_mul(0x9E37_79B9);
                        prop_assert_eq!(one.evict_and_insert(hash), two.exchange(hash));
                        [(); 2]
                    }
                };
                two.check();
                let order = |bench: &Bench| bench.policy.coldest_first(&bench.book);
                prop_assert_eq!(order(&one), order(&two), "{}", eviction);
            }
        }
    }
}

#[test]
fn weightless_entries_stay_however_much_weight_is_needed() {
    for eviction in evictions() {
        let mut bench = Bench::new(eviction, 200);
        for index in 0..200 {
            bench.insert(slot(index), u32::from(index % 4 == 0));
        }
        for _ in 0..50 {
            assert!(bench.evict(Need::Weight).is_some(), "{eviction}");
            bench.check();
        }
        assert_eq!(bench.evict(Need::Weight), None, "{eviction}");
        assert_eq!(bench.residents.len(), 150);
    }
}

/// The hit ratio of a policy alone, on keys `0..keys`, without a cache.
fn hit_ratio(eviction: Eviction, capacity: usize, keys: usize, trace: &[usize]) -> f64 {
    let mut bench = Bench::new(eviction, keys);
    bench.policy.on_resize(capacity as u64);
    let mut hits = 0;
    for key in trace {
        if bench.residents.contains(&slot(*key)) {
            bench.hit(slot(*key));
            hits += 1;
            continue;
        }
        if bench.residents.len() == capacity {
            bench.evict(Need::Entry);
        }
        bench.insert(slot(*key), 1);
    }
    f64::from(hits) / trace.len() as f64
}

#[test]
fn on_a_loop_just_above_the_capacity_admission_wins_and_recency_loses_all() {
    let trace: Vec<usize> = (0..100).flat_map(|_| 0..120).collect();
    assert_eq!(hit_ratio(Eviction::Lru, 100, 120, &trace), 0.0);
    assert_eq!(hit_ratio(Eviction::Fifo, 100, 120, &trace), 0.0);
    assert!(hit_ratio(Eviction::TinyLfu, 100, 120, &trace) > 0.6);
}

#[test]
fn a_scan_does_not_wash_out_what_is_read_often() {
    // 20 hot keys, each read once in 40 accesses, and a scan in between.
    let trace: Vec<usize> =
        (0..40_000).map(|i| if i % 2 == 0 { (i / 2) % 20 } else { 20 + (i / 2) % 2000 }).collect();
    assert_eq!(hit_ratio(Eviction::Lru, 30, 2020, &trace), 0.0);
    for eviction in [Eviction::S3Fifo, Eviction::TinyLfu] {
        assert!(hit_ratio(eviction, 30, 2020, &trace) > 0.49, "{eviction}");
    }
    assert!(hit_ratio(Eviction::Fifo, 40, 2020, &trace) < 0.26);
    for eviction in [Eviction::Lru, Eviction::lfu(), Eviction::Sieve] {
        assert!(hit_ratio(eviction, 40, 2020, &trace) > 0.49, "{eviction}");
    }
}

/// As many keys as a cache of 100 could hold, moving on all the time.
fn moving_set(accesses: usize) -> impl Iterator<Item = usize> {
    (0..accesses).map(|i| 200 + i / 20 + i * 7919 % 80)
}

#[test]
fn the_adaptive_policy_does_well_on_a_loop_and_then_on_a_hot_set_that_moves() {
    let a_loop: Vec<usize> = (0..400).flat_map(|_| 0..150).collect();
    let moving: Vec<usize> = moving_set(60_000).collect();
    let both: Vec<usize> = a_loop.iter().chain(&moving).copied().collect();
    let keys = 200 + 60_000 / 20 + 80;
    // A small window keeps 99 of 150, a large one none; a small one misses
    // what is new, a large one follows.
    let ratio = |eviction, trace: &[usize]| hit_ratio(eviction, 100, keys, trace);
    assert!(ratio(Eviction::Adaptive, &a_loop) > 0.6);
    assert_eq!(ratio(Eviction::Lru, &a_loop), 0.0);
    assert!(ratio(Eviction::TinyLfu, &moving) < 0.7);
    assert!(ratio(Eviction::Adaptive, &moving) > 0.8);
    assert!(ratio(Eviction::Adaptive, &both) > 0.7);
    for rigid in [Eviction::Lru, Eviction::TinyLfu, Eviction::Sieve] {
        assert!(ratio(rigid, &both) < 0.65, "{rigid}");
    }
}

#[test]
fn the_adaptive_policy_leaves_a_scan_outside() {
    let trace: Vec<usize> =
        (0..40_000).map(|i| if i % 2 == 0 { (i / 2) % 20 } else { 20 + (i / 2) % 2000 }).collect();
    assert!(hit_ratio(Eviction::Adaptive, 30, 2020, &trace) > 0.48);
}

#[test]
fn shards_share_what_the_adaptive_policy_has_learnt() {
    let policies = Policies::new(Eviction::Adaptive);
    let shards = 4;
    let mut benches: Vec<Bench> = (0..shards)
        .map(|_| Bench { policy: policies.policy(), ..Bench::new(Eviction::Fifo, 60_000) })
        .collect();
    assert!(policies.describe().contains("changed 0 times"), "{}", policies.describe());
    // Only three shards work, and the fourth learns with them.
    for key in moving_set(200_000) {
        let bench = &mut benches[key % 3];
        if bench.residents.contains(&slot(key)) {
            bench.hit(slot(key));
            continue;
        }
        if bench.residents.len() == 100 / shards {
            bench.evict(Need::Entry);
        }
        bench.insert(slot(key), 1);
    }
    assert!(!policies.describe().contains("changed 0 times"), "{}", policies.describe());
}

/// Hits and the weight of hits of a policy alone that has room for so much, on
/// keys below `keys`, asked as a shard asks it.
fn weighted_hits(
    eviction: Eviction,
    room: u32,
    keys: usize,
    weight: impl Fn(usize) -> u32,
    trace: impl Iterator<Item = usize>,
) -> (u32, u32) {
    let mut bench = Bench::new(eviction, keys);
    let (mut hits, mut hit_weight, mut held) = (0, 0, 0);
    for key in trace {
        let weight_of_key = weight(key);
        if bench.residents.contains(&slot(key)) {
            bench.hit(slot(key));
            hits += 1;
            hit_weight += weight_of_key;
            continue;
        }
        let newcomer = Seen::new(bench.book.hash(slot(key)), weight_of_key, 0);
        if held + weight_of_key > room && !bench.policy.admits(newcomer, &bench.book) {
            continue;
        }
        while held + weight_of_key > room {
            let Some(victim) = bench.evict(Need::Weight) else { break };
            held -= weight(victim.index());
        }
        bench.insert(slot(key), weight_of_key);
        held += weight_of_key;
    }
    bench.check();
    (hits, hit_weight)
}

/// Numbers below `end`, in no order.
fn draws(count: usize, end: usize) -> impl Iterator<Item = usize> {
    let mut random = 1_u64;
    (0..count).map(move |_| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (random >> 33) as usize % end
    })
}

/// 10 objects of weight 20, each asked for three times as often as one of 200 of
/// weight 1, compete for a room of 150.
fn few_heavy_and_many_light(eviction: Eviction) -> (u32, u32) {
    let weight = |key| if key < 10 { 20 } else { 1 };
    let key = |draw| if draw < 30 { draw / 3 } else { draw - 20 };
    weighted_hits(eviction, 150, 210, weight, draws(60_000, 230).map(key))
}

#[test]
fn weight_is_favoured_only_if_asked_for() {
    let (hits, weight) = few_heavy_and_many_light(Eviction::Adaptive);
    let (hits_by_weight, weight_by_weight) = few_heavy_and_many_light(Eviction::AdaptiveByWeight);
    assert!(hits > hits_by_weight, "{hits} hits, {hits_by_weight} by weight");
    assert!(weight < weight_by_weight, "{weight} hit, {weight_by_weight} by weight");
}

#[test]
fn heavy_objects_that_are_asked_for_once_push_nobody_out() {
    // 100 light objects fill nine tenths of the room; every fifth access is to
    // one that would take up a third of it, and never comes back.
    let weight = |key| if key < 100 { 9 } else { 330 };
    let trace = || {
        (0..)
            .zip(draws(40_000, 100))
            .map(|(at, light)| if at % 5 == 0 { 100 + at / 5 } else { light })
    };
    let hits = |eviction| weighted_hits(eviction, 1000, 8100, weight, trace()).0;
    assert!(hits(Eviction::Adaptive) > 31_000, "{}", hits(Eviction::Adaptive));
    assert!(hits(Eviction::Lru) < 20_000);
}

#[test]
fn among_the_unread_who_takes_up_most_room_leaves_first() {
    for (eviction, leaves) in [(Eviction::Adaptive, 8), (Eviction::Fifo, 0)] {
        let mut bench = Bench::new(eviction, 20);
        (0..20).for_each(|at| bench.insert(slot(at), if at == 8 { 80 } else { 10 }));
        assert_eq!(bench.evict(Need::Weight), Some(slot(leaves)), "{eviction}");
    }
}

#[test]
fn of_objects_that_are_asked_for_alike_the_light_ones_stay() {
    // 200 of weight 1 and 200 of weight 50, and room for a tenth of all: all
    // the light ones have room, which is half of all accesses.
    let weight = |key| if key < 200 { 1 } else { 50 };
    let hits = |eviction| weighted_hits(eviction, 1000, 400, weight, draws(60_000, 400)).0;
    assert!(hits(Eviction::Adaptive) > 29_000, "{}", hits(Eviction::Adaptive));
    assert!(hits(Eviction::Lru) < 10_000);
}

#[test]
fn lfu_with_ageing_forgets_what_was_hot_once_and_without_it_does_not() {
    // 10 keys are read 100 times each; then 10 others, a little at a time.
    let old = (0..1000).map(|i| i % 10);
    let new = (0..2000).map(|i| 10 + (i / 3) % 10);
    let trace: Vec<usize> = old.chain(new).collect();
    let aged = hit_ratio(Eviction::lfu(), 10, 20, &trace);
    let unaged = hit_ratio(Eviction::Lfu { ageing: None }, 10, 20, &trace);
    assert!(aged > unaged + 0.05, "{aged} with ageing, {unaged} without");
}

#[test]
fn counts_halve_after_exactly_that_many_uses() {
    let mut bench = Bench::new(Eviction::Lfu { ageing: Some(2) }, 3);
    // Six uses make a halving. 0: 4 uses, 1: 1 use, 2: 1 use (the sixth).
    bench.insert(slot(0), 1);
    for _ in 0..3 {
        bench.hit(slot(0));
    }
    bench.insert(slot(1), 1);
    bench.insert(slot(2), 1);
    // Now 0 counts 2, the others 0. Two hits bring 1 level with 0, and later.
    bench.hit(slot(1));
    bench.hit(slot(1));
    let order: Vec<usize> =
        bench.policy.coldest_first(&bench.book).into_iter().map(Slot::index).collect();
    assert_eq!(order, [2, 0, 1]);
}

#[test]
fn names_are_understood_and_others_are_answered_with_a_list() {
    for eviction in evictions() {
        assert_eq!(eviction.to_string().parse(), Ok(eviction));
    }
    let error = "lfu-ageing-x".parse::<Eviction>().unwrap_err().to_string();
    assert!(error.contains("`lfu-ageing-x`") && error.contains("s3-fifo"), "{error}");
}

/// Readers go on while others look: each look at the hits may show more.
struct Restless(Cell<u32>);

impl Residents for Restless {
    fn hash(&self, slot: Slot) -> u32 {
        slot.raw()
    }

    fn weight(&self, _: Slot) -> u32 {
        1
    }

    fn hits(&self, _: Slot) -> u8 {
        self.0.set(self.0.get().wrapping_mul(0x0019_660D).wrapping_add(0x3C6E_F35F));
        (self.0.get() >> 30) as u8
    }

    fn set_hits(&self, _: Slot, _: u8) {}
}

#[test]
fn hits_that_are_noted_while_entries_are_put_in_order_do_no_harm() {
    for seed in 0..1000 {
        let slots = || (0..200).map(Slot::from_index);
        let ordered = by_hits(slots(), &Restless(Cell::new(seed)));
        assert_eq!(ordered.iter().collect::<BTreeSet<_>>().len(), 200);
    }
}
