//! Every setting of a cache, of one that knows its loader and of one over a
//! store, extremes included: the one error that says what is wrong, or a cache
//! that works.

#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use larder::store::{BuildStoreError, Loader, Overflow, Store, StoreCache, WriteBack, WritePolicy};
use larder::{BuildError, Builder, Cache, EntryOptions, Eviction, ManualClock};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

fuzz_target!(|settings: Settings| {
    let clock = ManualClock::new();
    let expected = settings.flaw();
    match settings.builder(&clock).build() {
        Err(error) => {
            assert!(expected.is_some_and(|is_it| is_it(&error)), "{error:?} in {settings:?}");
            assert!(!error.to_string().is_empty());
        }
        Ok(cache) => {
            assert!(expected.is_none(), "{settings:?} were accepted");
            settings.use_it(&cache, &clock);
        }
    }
    match settings.face % 4 {
        0 => settings.loading(&clock),
        1 => settings.store(&clock),
        _ => {}
    }
});

/// As likely nothing, everything or something between.
#[derive(Clone, Copy, Debug)]
struct Number(u64);

impl Arbitrary<'_> for Number {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Number(match bytes.arbitrary::<u8>()? {
            0 => u64::MAX,
            1 => u64::MAX - 1,
            2 => u64::from(u32::MAX),
            3 => 1 << 63,
            4 => bytes.arbitrary()?,
            small => u64::from(small) - 5,
        }))
    }
}

impl Number {
    fn duration(self) -> Duration {
        match self.0 {
            u64::MAX => Duration::MAX,
            large if large > 1 << 31 => Duration::from_secs(large),
            nanos => Duration::from_nanos(nanos),
        }
    }

    fn count(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

#[derive(Clone, Copy, Debug)]
struct SomeFloat(f64);

impl Arbitrary<'_> for SomeFloat {
    fn arbitrary(bytes: &mut Unstructured<'_>) -> Result<Self> {
        let special = [0.0, -0.0, 1.0, 0.5, f64::NAN, f64::INFINITY, -1.0, f64::MAX, 1e-300];
        Ok(SomeFloat(match special.get(usize::from(bytes.arbitrary::<u8>()? % 16)) {
            Some(special) => *special,
            None => bytes.arbitrary()?,
        }))
    }
}

#[derive(Arbitrary, Debug)]
struct Settings {
    face: u8,
    capacity: Option<Number>,
    weight_capacity: Option<Number>,
    eviction: u8,
    ageing: Option<Number>,
    shards: Option<Number>,
    ttl: Option<Number>,
    tti: Option<Number>,
    own: Option<Number>,
    jitter: Option<SomeFloat>,
    flags: u8,
    /// Of the loader and the store.
    more: [Number; 8],
    fraction: SomeFloat,
    /// What is done with the cache then.
    script: Vec<(u8, Number)>,
}

type IsIt = fn(&BuildError) -> bool;

impl Settings {
    fn eviction(&self) -> Eviction {
        match Eviction::ALL.get(usize::from(self.eviction) % (Eviction::ALL.len() + 1)) {
            Some(eviction) => *eviction,
            None => Eviction::Lfu {
                ageing: self.ageing.map(|ageing| u32::try_from(ageing.0).unwrap_or(u32::MAX)),
            },
        }
    }

    /// Thousands of shards take a while to make: a test tries these.
    fn shards(&self) -> Option<usize> {
        let shards = self.shards?.count();
        Some(if shards > 256 && shards <= 1 << 16 { shards % 257 } else { shards })
    }

    /// Of several flaws, the one that is looked for first.
    fn flaw(&self) -> Option<IsIt> {
        let jitter = self.jitter.map_or(0.0, |jitter| jitter.0);
        if self.capacity.is_none() && self.weight_capacity.is_none() {
            Some(|error| matches!(error, BuildError::CapacityMissing))
        } else if self.eviction() == (Eviction::Lfu { ageing: Some(0) }) {
            Some(|error| matches!(error, BuildError::AgeingZero))
        } else if !(0.0..=1.0).contains(&jitter) {
            Some(|error| matches!(error, BuildError::JitterOutOfRange { .. }))
        } else if self.shards().is_some_and(|shards| !shards.is_power_of_two()) {
            Some(|error| matches!(error, BuildError::ShardsNotPowerOfTwo { .. }))
        } else if self.shards().is_some_and(|shards| shards > 1 << 16) {
            Some(|error| matches!(error, BuildError::TooManyShards { .. }))
        } else {
            None
        }
    }

    fn builder(&self, clock: &ManualClock) -> Builder<u8, u64> {
        let mut builder = Cache::builder().eviction(self.eviction()).clock(clock.clone());
        if let Some(capacity) = self.capacity {
            builder = builder.capacity(capacity.count());
        }
        if let Some(weight) = self.weight_capacity {
            builder = builder.weight_capacity(weight.0);
        }
        if let Some(shards) = self.shards() {
            builder = builder.shards(shards);
        }
        if let Some(ttl) = self.ttl {
            builder = builder.time_to_live(ttl.duration());
        }
        if let Some(tti) = self.tti {
            builder = builder.time_to_idle(tti.duration());
        }
        if let Some(own) = self.own {
            builder = builder.expiry(larder::after_access(move |_, _| own.duration()));
        }
        if let Some(jitter) = self.jitter {
            builder = builder.ttl_jitter(jitter.0);
        }
        if self.flags & 1 != 0 {
            builder = builder.record_stats();
        }
        if self.flags & 2 != 0 {
            builder = builder.weigher(|_, value| u32::try_from(*value).unwrap_or(u32::MAX));
        }
        if self.flags & 4 != 0 {
            builder = builder.on_removal(|_, _, _| {});
        }
        if self.flags & 8 != 0 {
            builder = builder.load_timeout(self.more[0].duration());
        }
        builder
    }

    /// Reads find nothing else than what was written, and the bounds hold.
    fn use_it(&self, cache: &Cache<u8, u64>, clock: &ManualClock) {
        for (operation, number) in self.script.iter().take(24) {
            let (key, number) = (operation / 8 % 4, *number);
            match operation % 8 {
                0 => cache.insert(key, number.0),
                1 => {
                    let weight = u32::try_from(number.0).unwrap_or(u32::MAX);
                    let options = EntryOptions::new().ttl(number.duration()).weight(weight);
                    cache.insert_with(key, number.0, options);
                }
                2 => cache.insert_with(key, 7, EntryOptions::new().tti(number.duration())),
                3 => clock.advance(number.duration()),
                4 => clock.set(number.duration()),
                5 => cache.set_capacity(number.count()),
                6 => cache.set_weight_capacity(number.0),
                _ => cache.run_maintenance(),
            }
            let written = |value: &u64| *value == 7 || self.script.iter().any(|s| s.1.0 == *value);
            assert!(cache.get(&key).as_ref().is_none_or(written));
            assert!(cache.len() <= cache.capacity() && cache.weight() <= cache.weight_capacity());
        }
        cache.validate().unwrap();
    }

    fn loading(&self, clock: &ManualClock) {
        let [_, refresh, grace, negative, retry, ..] = self.more;
        let loader = |key: &u8| if *key < 2 { Ok(u64::from(*key)) } else { Err("none") };
        let mut builder = self.builder(clock).loader(loader).spawner(larder::Inline);
        if self.flags & 16 != 0 {
            builder = builder.refresh_after(refresh.duration());
        }
        if self.flags & 32 != 0 {
            builder = builder.stale_if_error(grace.duration());
        }
        if self.flags & 64 != 0 {
            builder = builder.negative_ttl(negative.duration());
        }
        if self.flags & 128 != 0 {
            builder = builder.early_refresh(self.fraction.0).retry_after(retry.duration());
        }
        let is_in_order = self.flags & 128 == 0 || (0.0..f64::INFINITY).contains(&self.fraction.0);
        match builder.build() {
            Ok(cache) => {
                assert!(is_in_order && self.flaw().is_none());
                for (key, number) in self.script.iter().take(8) {
                    clock.advance(number.duration());
                    let (key, found) = (key % 4, cache.get_or_load(&(key % 4)));
                    assert_eq!(found.ok(), (key < 2).then_some(u64::from(key)));
                }
            }
            Err(_) => assert!(!is_in_order || self.flaw().is_some()),
        }
    }

    fn store(&self, clock: &ManualClock) {
        let [_, batch, delay, max_dirty, first, max, attempts, workers] = self.more;
        let overflow =
            [Overflow::Reject, Overflow::WriteThrough, Overflow::Block { timeout: max.duration() }];
        let settings = WriteBack::new()
            .batch(batch.count())
            .delay(delay.duration())
            .max_dirty(max_dirty.count())
            .overflow(overflow[usize::from(self.flags) % 3])
            .backoff(first.duration(), max.duration())
            .jitter(self.fraction.0)
            .seed(batch.0)
            .max_attempts(u32::try_from(attempts.0).unwrap_or(u32::MAX))
            // A thread each; these have to be few.
            .workers(workers.count() % 2)
            .drop_deadline(Duration::ZERO);
        let policy = match self.flags / 8 % 8 {
            0 => WritePolicy::Back(settings),
            1 => WritePolicy::Around,
            _ => WritePolicy::Through,
        };
        let is_back = matches!(policy, WritePolicy::Back(_));
        let cache = Cache::<u8, u64>::new(4);
        let mut builder = StoreCache::builder(cache, Small).policy(policy).clock(clock.clone());
        if self.flags & 4 != 0 {
            builder = builder.negative_ttl(delay.duration());
        }
        match builder.build() {
            Ok(cache) => {
                assert_eq!(cache.get(&1).unwrap(), Some(1));
                assert_eq!(cache.get(&3).unwrap(), None);
            }
            Err(BuildStoreError::ThreadNotStarted { reason }) => panic!("{reason}"),
            Err(error) => assert!(is_back && !error.to_string().is_empty(), "{error:?}"),
        }
    }
}

/// It has two values, and takes no others.
struct Small;

impl Loader<u8, u64> for Small {
    type Error = &'static str;
    fn load(&self, key: &u8) -> std::result::Result<Option<u64>, &'static str> {
        Ok((*key < 2).then_some(u64::from(*key)))
    }
}

impl Store<u8, u64> for Small {
    fn write(&self, _: &u8, _: &u64) -> std::result::Result<(), &'static str> {
        Err("full")
    }
    fn delete(&self, _: &u8) -> std::result::Result<(), &'static str> {
        Err("full")
    }
}
