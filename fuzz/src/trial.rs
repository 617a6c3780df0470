//! A script, run on a cache, with the ledger and, where there is one, the
//! model looking on. Panics at the first thing that is not as it ought to be.

use crate::hashing::Hashing;
use crate::ledger::{Deed, Ends, Ledger, NEVER, Time};
use crate::model::{Bounds, Entry, Key, Left, Model, Rule, UNBOUNDED, Value, Why};
use crate::script::{
    KEYS, Lifetime, Meanwhile, Operation, Policy, Script, Settings, Shards, SomeKey, TAGS, Wish,
};
use larder::{
    Cache, Cause, Clock, Compute, ComputeError, EntryOptions, Eviction, ManualClock, Outcome,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Runs `script` from end to end.
///
/// # Panics
/// If the cache does not do what it promises.
pub fn run(script: &Script) {
    let mut trial = Trial::new(script.settings);
    for operation in &script.operations {
        trial.perform(*operation);
    }
    trial.conclude();
}

/// What the listener heard and nobody has looked at yet.
type Told = Arc<Mutex<Vec<Left>>>;

/// The script's clock, and the latest time that the cache has read from it.
#[derive(Clone, Default)]
struct Watch {
    clock: ManualClock,
    seen: Arc<AtomicU64>,
}

impl Clock for Watch {
    fn now(&self) -> Duration {
        let now = self.clock.now();
        self.seen.fetch_max(nanos(now).min(NEVER - 1), Ordering::Relaxed);
        now
    }
}

fn nanos(duration: Duration) -> Time {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

struct Trial {
    watch: Watch,
    cache: Cache<Key, Value, Hashing>,
    settings: Settings,
    told: Told,
    ledger: Ledger,
    /// Only for what is exact: one shard of FIFO, LRU or LFU.
    model: Option<Model>,
    written: Value,
    hits: u64,
    misses: u64,
}

impl Trial {
    fn new(settings: Settings) -> Self {
        let (told, bounds) = (Told::default(), settings.bounds());
        let mut builder = Cache::builder()
            .eviction(eviction(settings.policy))
            .shards(match settings.shards {
                Shards::One => 1,
                Shards::Two => 2,
                Shards::Eight => 8,
            })
            .on_removal({
                let told = Arc::clone(&told);
                move |key: &Key, value: &Value, cause| {
                    let left = Left { key: *key, value: *value, why: why(cause) };
                    told.lock().unwrap_or_else(PoisonError::into_inner).push(left);
                }
            })
            .hasher(settings.hashing);
        if bounds.entries_max != UNBOUNDED {
            builder = builder.capacity(bounds.entries_max as usize);
        }
        if bounds.weight_max != UNBOUNDED {
            builder = builder.weight_capacity(bounds.weight_max);
        }
        if settings.weighs {
            builder = builder.weigher(weigh);
        }
        if settings.records_stats {
            builder = builder.record_stats();
        }
        let watch = Watch::default();
        builder = builder.clock(watch.clone());
        if let Some(ttl) = settings.ttl.0 {
            builder = builder.time_to_live(ttl);
        }
        if let Some(tti) = settings.tti.0 {
            builder = builder.time_to_idle(tti);
        }
        if settings.has_jitter {
            builder = builder.ttl_jitter(0.5);
        }
        Trial {
            watch,
            cache: builder.build().expect("the settings are in order"),
            settings,
            told,
            ledger: Ledger::new(bounds),
            model: exact_rule(settings).map(|rule| Model::new(rule, bounds)),
            written: 0,
            hits: 0,
            misses: 0,
        }
    }

    fn perform(&mut self, operation: Operation) {
        match operation {
            Operation::Get(key) => self.get(key.0),
            Operation::GetMany { first, times } => {
                for distance in 0..times {
                    self.get((first.0 + distance % KEYS) % KEYS);
                }
            }
            Operation::Read(key) => {
                let found = self.cache.read(&key.0, |value| *value);
                self.looked_up(key.0, found);
            }
            Operation::Peek(key) => {
                let found = self.cache.peek(&key.0);
                self.saw(key.0, found);
            }
            Operation::ContainsKey(key) => {
                let is_there = self.cache.contains_key(&key.0);
                self.hear(Deed::Look);
                let value = self.ledger.value(key.0).filter(|_| is_there);
                assert!(is_there == value.is_some() && self.ledger.fits(key.0, value));
            }
            Operation::Insert(key) => self.insert(key.0),
            Operation::InsertWith { key, weight, tags, own } => {
                let mut options = EntryOptions::new().tags(names(tags.0));
                let mut entry = Entry { tags: tags.0, ..self.new_entry(key.0) };
                if let Some(weight) = weight {
                    options = options.weight(weight.0);
                    entry.weight = weight.0;
                }
                let (mut ttl, mut tti) = (Lifetime(None), Lifetime(None));
                match own {
                    Some((true, lifetime)) => ttl = lifetime,
                    Some((false, lifetime)) => tti = lifetime,
                    None => {}
                }
                options = ttl.0.map_or(options.clone(), |ttl| options.ttl(ttl));
                options = tti.0.map_or(options.clone(), |tti| options.tti(tti));
                if ttl.0.or(tti.0).is_some() {
                    // From now on there are deadlines that no model knows of.
                    self.model = None;
                }
                self.cache.insert_with(entry.key, entry.value, options);
                self.wrote_for(entry, ttl, tti);
            }
            Operation::Remove(key) => {
                let removed = self.cache.remove(&key.0);
                self.now();
                assert!(self.ledger.fits(key.0, removed), "removed {removed:?}");
                self.removed(key.0);
            }
            Operation::Invalidate(key) => self.invalidate(key.0),
            Operation::InvalidateIf { remainder } => {
                let is_stale = |key: Key| key % 4 == remainder % 4;
                self.cache.invalidate_if(|key, _| is_stale(*key));
                self.invalidated(|entry| is_stale(entry.key));
            }
            Operation::InvalidateTag(tag) => self.invalidate_tag(tag.0),
            Operation::InvalidateAll => self.invalidate_all(),
            Operation::Clear => self.clear(),
            Operation::OrInsertWith { key, meanwhile } => self.or_insert_with(key.0, meanwhile),
            Operation::Compute { key, wish, meanwhile } => self.compute(key.0, wish, meanwhile),
            Operation::SetCapacity(entries_max) => {
                let entries_max = entries_max.0;
                self.cache.set_capacity(usize::try_from(entries_max).unwrap_or(usize::MAX));
                self.bounded(Bounds { entries_max, ..self.ledger.bounds() });
            }
            Operation::SetWeightCapacity(weight_max) => {
                let weight_max = weight_max.0;
                self.cache.set_weight_capacity(weight_max);
                self.bounded(Bounds { weight_max, ..self.ledger.bounds() });
            }
            Operation::Len => {
                let len = self.cache.len() as u64;
                self.hear(Deed::Look);
                assert!((self.ledger.len_min()..=self.ledger.len()).contains(&len));
                assert_eq!(self.ledger.untold(), 0, "`len` frees what was invalidated");
            }
            Operation::Weight => {
                let weight = self.cache.weight();
                self.hear(Deed::Look);
                assert!(weight <= self.ledger.weight());
                if self.model.is_some() {
                    assert_eq!(weight, self.ledger.weight());
                }
            }
            Operation::Iterate => {
                let mut pairs: Vec<_> = self.cache.iter().collect();
                pairs.sort_unstable();
                self.hear(Deed::Look);
                assert!(self.ledger.fits_all(&pairs), "{pairs:?} of {:?}", self.ledger);
            }
            Operation::Coldest { most } => {
                let coldest = self.cache.coldest(usize::from(most));
                self.ranked(usize::from(most), coldest, |all| all);
            }
            Operation::Hottest { most } => {
                let hottest = self.cache.hottest(usize::from(most));
                self.ranked(usize::from(most), hottest, |mut all| {
                    all.reverse();
                    all
                });
            }
            Operation::RunMaintenance => {
                self.cache.run_maintenance();
                self.hear(Deed::Look);
                assert_eq!(self.ledger.untold(), 0, "maintenance frees what was invalidated");
            }
            Operation::Validate => self.validate(),
            Operation::Advance(jump) => self.watch.clock.advance(jump.0),
            Operation::SetBack(jump) => {
                let now = self.watch.clock.now();
                self.watch.clock.set(now.saturating_sub(jump.0));
            }
        }
    }

    fn new_entry(&mut self, key: Key) -> Entry {
        self.written += 1;
        let value = self.written;
        let weight = if self.settings.weighs { weigh(&key, &value) } else { 1 };
        Entry { key, value, weight, tags: 0 }
    }

    fn get(&mut self, key: Key) {
        let found = self.cache.get(&key);
        self.looked_up(key, found);
    }

    fn insert(&mut self, key: Key) {
        let entry = self.new_entry(key);
        self.cache.insert(entry.key, entry.value);
        self.wrote(entry);
    }

    fn invalidate(&mut self, key: Key) {
        self.cache.invalidate(&key);
        self.invalidated(|entry| entry.key == key);
    }

    fn invalidate_tag(&mut self, tag: u8) {
        self.cache.invalidate_tag(&name(tag));
        let is_unbounded = self.ledger.bounds().entries_max == UNBOUNDED;
        if is_unbounded && matches!(self.settings.policy, Policy::Lfu { .. }) {
            // Without a bound, LFU ages by the number of entries it holds, and
            // those that are not freed yet are among them.
            self.cache.run_maintenance();
        }
        self.invalidated(|entry| entry.tags & (1 << tag) != 0);
    }

    fn invalidate_all(&mut self) {
        self.cache.invalidate_all();
        self.emptied();
    }

    fn clear(&mut self) {
        self.cache.clear();
        self.emptied();
        assert_eq!(self.ledger.untold(), 0, "`clear` has dropped everything");
    }

    fn or_insert_with(&mut self, key: Key, meanwhile: Meanwhile) {
        let cache = self.cache.clone();
        let new = self.new_entry(key);
        let mut is_new = false;
        let found = cache.entry(key).or_insert_with(|| {
            is_new = true;
            self.misses += 1;
            self.saw(key, None);
            self.meanwhile(key, meanwhile);
            new.value
        });
        if !is_new {
            self.looked_up(key, Some(found));
            return;
        }
        assert_eq!(found, new.value);
        if is_discarded(None, meanwhile) {
            self.hear(Deed::Look);
        } else {
            self.wrote(new);
        }
    }

    fn compute(&mut self, key: Key, wish: Wish, meanwhile: Meanwhile) {
        let cache = self.cache.clone();
        let seen = self.cache.peek(&key);
        self.now();
        let old = seen.and_then(|_| self.ledger.entry(key));
        self.ledger.may_be_used(key);
        assert!(self.ledger.fits(key, old.map(|old| old.value)));
        // An existing entry counts as used, before anything else happens.
        if let Some(model) = &mut self.model {
            model.get(key);
        }
        let tags = old.map_or(0, |old| old.tags);
        let new = Entry { tags, ..self.new_entry(key) };
        let outcome = cache.entry(key).try_and_compute(|seen| {
            assert_eq!(seen.copied(), old.map(|old| old.value));
            self.meanwhile(key, meanwhile);
            match wish {
                Wish::Keep => Ok(Compute::Keep),
                Wish::Replace => Ok(Compute::Replace(new.value)),
                Wish::Remove => Ok(Compute::Remove),
                Wish::Fail => Err(()),
            }
        });
        let is_discarded = is_discarded(old, meanwhile);
        match wish {
            Wish::Fail => {
                self.hear(Deed::Look);
                assert_eq!(outcome, Err(ComputeError::Failed(())));
            }
            _ if is_discarded => {
                self.hear(Deed::Look);
                let unused = (wish == Wish::Replace).then_some(new.value);
                assert_eq!(outcome, Ok(Outcome::Discarded(unused)));
            }
            Wish::Keep => {
                self.hear(Deed::Look);
                assert_eq!(outcome, Ok(old.map_or(Outcome::Absent, |_| Outcome::Kept)));
            }
            Wish::Remove => {
                self.removed(key);
                assert_eq!(outcome, Ok(old.map_or(Outcome::Absent, |_| Outcome::Removed)));
            }
            Wish::Replace => {
                let could_hold = self.ledger.bounds().could_hold(new.weight);
                let old = self.ledger.entry(key);
                let has_old = old.is_some_and(|old| !self.ledger.may_have_expired(&old));
                let may_have_old = old.is_some_and(|old| !self.ledger.has_expired(&old));
                let old_left_for_room = self.has_heard(key, Why::Size);
                self.wrote(new);
                match outcome {
                    Ok(Outcome::Rejected) => assert!(!could_hold),
                    Ok(Outcome::Replaced) => assert!(could_hold && may_have_old),
                    Ok(Outcome::Inserted) => {
                        assert!(could_hold && (!has_old || old_left_for_room));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn meanwhile(&mut self, key: Key, meanwhile: Meanwhile) {
        match meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::ReadItself => self.get(key),
            Meanwhile::ComputeItself => {
                let again = self.cache.entry(key).try_and_compute(|_| Ok::<_, ()>(Compute::Keep));
                self.hear(Deed::Look);
                assert_eq!(again, Err(ComputeError::Recursive));
            }
            Meanwhile::InvalidateItself => self.invalidate(key),
            // Inserting itself would be refused with a panic.
            Meanwhile::InsertAnother(another) if another.0 == key => {}
            Meanwhile::InsertAnother(another) => self.insert(another.0),
            Meanwhile::InvalidateTag(tag) => self.invalidate_tag(tag.0),
            Meanwhile::InvalidateAll => self.invalidate_all(),
            Meanwhile::Clear => self.clear(),
        }
    }

    fn validate(&mut self) {
        self.cache.validate().unwrap();
        self.hear(Deed::Look);
        let stats = self.cache.stats();
        let counts = self.ledger.counts();
        assert_eq!(
            (stats.inserts, stats.removed, stats.replaced, stats.evicted),
            (counts.stored, counts.explicit, counts.replaced, counts.size),
            "inserts, removed, replaced, evicted"
        );
        assert_eq!(
            (stats.invalidated, stats.rejected, stats.expired, stats.listener_panics),
            (counts.invalidated, counts.rejected, counts.expired, 0),
            "invalidated, rejected, expired, listener's panics"
        );
        assert!((self.ledger.len_min()..=self.ledger.len()).contains(&stats.entries));
        assert!(stats.weight <= self.ledger.weight());
        if self.model.is_some() {
            assert_eq!((stats.entries, stats.weight), (self.ledger.len(), self.ledger.weight()));
        }
        if self.settings.records_stats {
            assert_eq!((stats.hits, stats.misses), (self.hits, self.misses));
        }
    }

    /// Looks at everything once more, and lets go of the cache.
    fn conclude(mut self) {
        for key in 0..KEYS {
            self.perform(Operation::Peek(SomeKey(key)));
        }
        self.perform(Operation::Coldest { most: KEYS });
        self.perform(Operation::Iterate);
        self.validate();
        let Trial { cache, told, mut ledger, .. } = self;
        drop(cache);
        let told = told.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.hear(Deed::Close, &told).unwrap();
    }
}

/// What the cache has done is entered into the books, and compared.
impl Trial {
    fn looked_up(&mut self, key: Key, found: Option<Value>) {
        match found {
            Some(_) => self.hits += 1,
            None => self.misses += 1,
        }
        if let Some(model) = &mut self.model {
            assert_eq!(found, model.get(key), "the model has another value of {key}");
        }
        self.saw(key, found);
        if found.is_some() {
            self.ledger.used(key);
        }
    }

    fn saw(&mut self, key: Key, found: Option<Value>) {
        self.hear(Deed::Look);
        assert!(self.ledger.fits(key, found), "{key} is {found:?}, but: {:?}", self.ledger);
        if let Some(model) = &self.model {
            assert_eq!(found, model.peek(key), "the model has another value of {key}");
        }
    }

    fn wrote(&mut self, entry: Entry) {
        self.wrote_for(entry, Lifetime(None), Lifetime(None));
    }

    fn wrote_for(&mut self, entry: Entry, ttl: Lifetime, tti: Lifetime) {
        let shorter = |own: Lifetime, of_all: Lifetime| {
            own.0.map_or(NEVER, nanos).min(of_all.0.map_or(NEVER, nanos))
        };
        let (ttl, tti) = (shorter(ttl, self.settings.ttl), shorter(tti, self.settings.tti));
        let ends = Ends::new(self.now(), ttl, tti, self.settings.has_jitter);
        self.ledger.set_ends(entry.value, ends);
        if let Some(model) = &mut self.model {
            model.insert(entry);
        }
        self.hear(Deed::Write(entry));
    }

    /// The latest time that the cache has read from its clock: it never goes
    /// back, and what the cache did not look at, it did not need.
    fn now(&mut self) -> Time {
        let now = self.watch.seen.load(Ordering::Relaxed);
        self.ledger.set_now(now);
        now
    }

    fn removed(&mut self, key: Key) {
        if let Some(model) = &mut self.model {
            model.remove(key);
        }
        self.hear(Deed::Remove(key));
    }

    fn invalidated(&mut self, is_meant: impl Fn(&Entry) -> bool) {
        self.ledger.invalidate(&is_meant);
        if let Some(model) = &mut self.model {
            model.invalidate_if(is_meant);
        }
        self.hear(Deed::Look);
    }

    fn emptied(&mut self) {
        self.ledger.invalidate(|_| true);
        if let Some(model) = &mut self.model {
            model.invalidate_all();
        }
        self.hear(Deed::Look);
    }

    fn bounded(&mut self, bounds: Bounds) {
        self.ledger.set_bounds(bounds);
        if let Some(model) = &mut self.model {
            model.set_bounds(bounds);
        }
        self.hear(Deed::Fit);
        let entries_max = usize::try_from(bounds.entries_max).unwrap_or(usize::MAX);
        assert_eq!(self.cache.capacity(), entries_max);
        assert_eq!(self.cache.weight_capacity(), bounds.weight_max);
    }

    fn ranked(&mut self, most: usize, ranked: Pairs, order: impl Fn(Pairs) -> Pairs) {
        self.hear(Deed::Look);
        if let Some(model) = &self.model {
            let expected: Pairs = order(model.coldest_first()).into_iter().take(most).collect();
            assert_eq!(ranked, expected, "the model has another order");
        }
        let mut distinct = ranked.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() >= most.min(self.ledger.len_min() as usize));
        assert!(distinct.len() <= most.min(self.ledger.len() as usize));
        assert_eq!(distinct.len(), ranked.len(), "one came up twice");
        assert!(distinct.iter().all(|pair| self.ledger.fits(pair.0, Some(pair.1))));
    }

    fn has_heard(&self, key: Key, why: Why) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().any(|left| left.key == key && left.why == why)
    }

    /// Enters `deed` and what was told meanwhile; the model has done it before.
    fn hear(&mut self, deed: Deed) {
        self.now();
        let told: Vec<Left> = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.drain(..).collect()
        };
        if let Err(complaint) = self.ledger.hear(deed, &told) {
            panic!("{complaint}");
        }
        if let Some(model) = &mut self.model {
            // What is invalidated leaves the cache later, and in any order.
            let in_order = |left: &Left| left.why != Why::Invalidated;
            let expected: Vec<Left> = model.take_left().into_iter().filter(in_order).collect();
            let told: Vec<Left> = told.into_iter().filter(in_order).collect();
            assert_eq!(told, expected, "the model has told otherwise after {deed:?}");
        }
    }
}

type Pairs = Vec<(Key, Value)>;

fn is_discarded(old: Option<Entry>, meanwhile: Meanwhile) -> bool {
    match meanwhile {
        Meanwhile::InvalidateItself | Meanwhile::InvalidateAll | Meanwhile::Clear => true,
        Meanwhile::InvalidateTag(tag) => old.is_some_and(|old| old.tags & (1 << tag.0) != 0),
        Meanwhile::Nothing
        | Meanwhile::ReadItself
        | Meanwhile::ComputeItself
        | Meanwhile::InsertAnother(_) => false,
    }
}

fn weigh(_: &Key, value: &Value) -> u32 {
    value % 5
}

fn name(tag: u8) -> String {
    format!("tag {tag}")
}

fn names(tags: u8) -> impl Iterator<Item = String> {
    (0..TAGS).filter(move |tag| tags & (1 << tag) != 0).map(name)
}

fn eviction(policy: Policy) -> Eviction {
    match policy {
        Policy::Fifo => Eviction::Fifo,
        Policy::Lru => Eviction::Lru,
        Policy::Lfu { ageing } => Eviction::Lfu { ageing },
        Policy::Sieve => Eviction::Sieve,
        Policy::S3Fifo => Eviction::S3Fifo,
        Policy::TinyLfu => Eviction::TinyLfu,
        Policy::Adaptive => Eviction::Adaptive,
        Policy::AdaptiveByWeight => Eviction::AdaptiveByWeight,
    }
}

fn exact_rule(settings: Settings) -> Option<Rule> {
    if settings.ttl.0.or(settings.tti.0).is_some() {
        // What has expired leaves before the victim, and in its own time.
        return None;
    }
    match (settings.shards, settings.policy) {
        (Shards::One, Policy::Fifo) => Some(Rule::Fifo),
        (Shards::One, Policy::Lru) => Some(Rule::Lru),
        (Shards::One, Policy::Lfu { ageing }) => Some(Rule::Lfu { ageing }),
        _ => None,
    }
}

fn why(cause: Cause) -> Why {
    match cause {
        Cause::Explicit => Why::Explicit,
        Cause::Replaced => Why::Replaced,
        Cause::Size => Why::Size,
        Cause::Expired => Why::Expired,
        Cause::Invalidated => Why::Invalidated,
        Cause::Rejected => Why::Rejected,
        Cause::Closed => Why::Closed,
        other => panic!("nothing here can lead to {other:?}"),
    }
}
