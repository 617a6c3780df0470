//! A cache over a store: what each policy promises when nothing goes wrong, and
//! with one error at a time.

#[path = "common/faulty.rs"]
mod faulty;

use faulty::{Faulty, Op, Refused};
use larder::store::{
    AsyncLoader, Loader, Overflow, Store, StoreCache, WriteBack, WriteError, WritePolicy,
};
use larder::{Cache, EntryOptions, ManualClock};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

type Cached = StoreCache<u32, u64, Arc<Faulty>>;

const SECOND: Duration = Duration::from_secs(1);

fn over(store: &Arc<Faulty>, policy: WritePolicy) -> Cached {
    let builder = StoreCache::builder(Cache::new(1000), Arc::clone(store)).policy(policy);
    builder.build().unwrap()
}

/// Write-back without a thread, and with a clock that stands still.
fn by_hand(store: &Arc<Faulty>, settings: WriteBack) -> (Cached, ManualClock) {
    let clock = ManualClock::new();
    let cache = StoreCache::builder(Cache::new(1000), Arc::clone(store))
        .policy(WritePolicy::Back(settings.workers(0).jitter(0.0)))
        .clock(clock.clone())
        .build();
    (cache.unwrap(), clock)
}

fn policies() -> [WritePolicy; 3] {
    [WritePolicy::Through, WritePolicy::Around, WritePolicy::Back(WriteBack::new().workers(0))]
}

#[test]
fn reads_see_writes_and_deletes_under_every_policy() {
    for policy in policies() {
        let store = Arc::new(Faulty::default());
        store.set(1, 10);
        let cache = over(&store, policy);
        assert_eq!(cache.get(&1).unwrap(), Some(10));
        cache.put(1, 11).unwrap();
        assert_eq!(cache.get(&1).unwrap(), Some(11));
        cache.delete(1).unwrap();
        assert_eq!(cache.get(&1).unwrap(), None);
        cache.put(1, 12).unwrap();
        assert_eq!(cache.get_many(&[1, 2]).unwrap(), [Some(12), None]);
        cache.flush();
        assert_eq!(store.value(1), Some(12));
    }
}

#[test]
fn a_miss_asks_the_store_once_and_a_missing_row_again_unless_it_is_remembered() {
    let store = Arc::new(Faulty::default());
    store.set(1, 10);
    let cache = over(&store, WritePolicy::Through);
    for _ in 0..3 {
        assert_eq!((cache.get(&1).unwrap(), cache.get(&2).unwrap()), (Some(10), None));
    }
    assert_eq!((store.loads(1), store.loads(2)), (1, 3));
}

#[test]
fn a_refused_write_leaves_the_cache_as_it_was_and_an_ambiguous_one_forgets_the_key() {
    for policy in [WritePolicy::Through, WritePolicy::Around] {
        let store = Arc::new(Faulty::default());
        let cache = over(&store, policy);
        cache.put(1, 10).unwrap();
        cache.get(&1).unwrap();
        store.fail_writes(1, "refused");
        assert!(matches!(cache.put(1, 11), Err(WriteError::Store(_))));
        assert_eq!(cache.cache().peek(&1), Some(10));
        store.fail_writes(1, "ambiguous");
        assert!(matches!(cache.put(1, 12), Err(WriteError::Ambiguous(_))));
        assert_eq!(cache.cache().peek(&1), None);
    }
}

#[test]
fn a_store_that_panics_leaves_the_key_forgotten_and_usable() {
    for policy in [WritePolicy::Through, WritePolicy::Around] {
        let store = Arc::new(Faulty::default());
        let cache = over(&store, policy);
        cache.put(1, 10).unwrap();
        store.panic_on(1, true);
        let put = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cache.put(1, 11)));
        assert!(put.is_err());
        assert_eq!(cache.cache().peek(&1), None);
        store.panic_on(1, false);
        cache.put(1, 12).unwrap();
        assert_eq!(cache.get(&1).unwrap(), Some(12));
    }
}

#[test]
fn put_many_calls_the_store_once_and_each_entry_has_its_outcome() {
    for policy in [WritePolicy::Through, WritePolicy::Around] {
        let store = Arc::new(Faulty::default());
        let cache = over(&store, policy);
        store.fail_writes(2, "refused");
        let outcomes = cache.put_many(vec![(1, 10), (2, 20), (3, 30), (1, 11)]);
        let is_ok: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
        assert_eq!(is_ok, [true, false, true, true]);
        assert_eq!(store.batches(), [3], "the second value of key 1 took the place of the first");
        assert_eq!(cache.get_many(&[1, 2, 3]).unwrap(), [Some(11), None, Some(30)]);
    }
}

#[test]
fn a_batch_is_written_when_it_is_full_or_old_enough_and_a_key_once() {
    let store = Arc::new(Faulty::default());
    let (cache, clock) = by_hand(&store, WriteBack::new().batch(3).delay(SECOND));
    cache.put(1, 10).unwrap();
    cache.put(1, 11).unwrap();
    cache.put(2, 20).unwrap();
    assert_eq!(cache.run_due(), 0, "neither full nor old");
    cache.put(3, 30).unwrap();
    assert_eq!(cache.run_due(), 1, "full");
    assert_eq!(store.batches(), [3]);
    assert_eq!(store.history(1), [Op::Write(11)], "of two writes, the last");
    cache.put(4, 40).unwrap();
    clock.advance(SECOND / 2);
    cache.put(4, 41).unwrap();
    assert_eq!(cache.stats().dirty_age, SECOND / 2, "it counts from the first write");
    clock.advance(SECOND / 2);
    assert_eq!(cache.run_due(), 1, "old enough");
    assert_eq!((store.value(4), cache.stats().coalesced), (Some(41), 2));
}

#[test]
fn a_dirty_value_is_found_after_it_was_evicted_invalidated_or_has_expired() {
    let store = Arc::new(Faulty::default());
    store.set(1, 1);
    let (cache, clock) = by_hand(&store, WriteBack::new().delay(SECOND * 3600));
    cache.put_with(1, 10, EntryOptions::new().ttl(Duration::ZERO)).unwrap();
    assert_eq!(cache.get(&1).unwrap(), Some(10), "expired at once");
    cache.put(1, 11).unwrap();
    cache.cache().invalidate(&1);
    assert_eq!(cache.get(&1).unwrap(), Some(11));
    cache.cache().set_capacity(0);
    cache.put(1, 12).unwrap();
    assert_eq!(cache.cache().peek(&1), None, "evicted at once");
    assert_eq!(cache.get(&1).unwrap(), Some(12));
    cache.delete(1).unwrap();
    assert_eq!(cache.get(&1).unwrap(), None, "a tombstone hides the row");
    assert_eq!(store.loads(1), 0);
    clock.advance(SECOND * 3600);
    cache.run_due();
    assert_eq!((store.value(1), cache.get(&1).unwrap()), (None, None));
    assert_eq!(store.loads(1), 1);
}

#[test]
fn a_full_queue_rejects_blocks_or_writes_through_as_it_is_told() {
    let store = Arc::new(Faulty::default());
    let full = WriteBack::new().max_dirty(2).delay(SECOND);
    let (cache, _) = by_hand(&store, full.clone().overflow(Overflow::Reject));
    cache.put(1, 10).unwrap();
    cache.put(2, 20).unwrap();
    let refused = cache.put(3, 30).unwrap_err();
    assert!(matches!(refused, WriteError::QueueFull { dirty: 2, max_dirty: 2 }));
    assert_eq!(cache.get(&3).unwrap(), None);
    cache.put(2, 21).unwrap();

    let block = Overflow::Block { timeout: Duration::ZERO };
    let (cache, _) = by_hand(&store, full.clone().overflow(block));
    cache.put(1, 10).unwrap();
    cache.put(2, 20).unwrap();
    assert!(matches!(cache.put(3, 30), Err(WriteError::TimedOut { dirty: 2, .. })));

    let (cache, _) = by_hand(&store, full.overflow(Overflow::WriteThrough));
    cache.put(1, 10).unwrap();
    cache.put(2, 20).unwrap();
    cache.put(3, 30).unwrap();
    assert_eq!((store.value(3), cache.get(&3).unwrap()), (Some(30), Some(30)));
    store.fail_writes(4, "refused");
    assert!(matches!(cache.put(4, 40), Err(WriteError::Store(_))));
    assert_eq!(cache.get(&4).unwrap(), None);
    assert_eq!(cache.stats().dirty, 2);
}

#[test]
fn a_writer_that_waits_for_room_goes_on_when_there_is_some() {
    let store = Arc::new(Faulty::default());
    let block = Overflow::Block { timeout: Duration::MAX };
    let settings = WriteBack::new().max_dirty(1).delay(Duration::ZERO).workers(1).overflow(block);
    let cache = over(&store, WritePolicy::Back(settings));
    for value in 0..200 {
        cache.put(value as u32 % 7, value).unwrap();
    }
    assert!(cache.flush().failed.is_empty());
    for key in 0..7_u32 {
        assert_eq!(store.value(key), (0..200).filter(|v| *v as u32 % 7 == key).max());
    }
}

#[test]
fn flush_key_stores_one_key_and_leaves_the_others_waiting() {
    let store = Arc::new(Faulty::default());
    let (cache, _) = by_hand(&store, WriteBack::new().delay(SECOND));
    cache.put(1, 10).unwrap();
    cache.put(2, 20).unwrap();
    assert!(cache.flush_key(&2).failed.is_empty());
    assert_eq!((store.value(1), store.value(2)), (None, Some(20)));
    assert!(cache.flush_key(&3).failed.is_empty(), "nothing to do");
}

#[test]
fn closing_stores_what_is_left_and_refuses_what_comes_later() {
    for workers in [0, 2] {
        let store = Arc::new(Faulty::default());
        let settings = WriteBack::new().delay(SECOND * 3600).workers(workers);
        let cache = over(&store, WritePolicy::Back(settings));
        cache.put(1, 10).unwrap();
        let report = cache.close(Duration::MAX);
        assert!(report.is_clean());
        assert_eq!(store.value(1), Some(10));
        assert!(matches!(cache.put(2, 20), Err(WriteError::Closed)));
        assert!(matches!(cache.delete(1), Err(WriteError::Closed)));
        assert_eq!(cache.get(&1).unwrap(), Some(10), "reads go on");
        assert_eq!(cache.close(Duration::ZERO), report, "the first report");
    }
}

#[test]
fn every_policy_refuses_writes_after_it_was_closed() {
    for policy in policies() {
        let cache = over(&Arc::default(), policy);
        assert!(cache.close(Duration::MAX).is_clean());
        assert!(matches!(cache.put(1, 1), Err(WriteError::Closed)));
        let outcomes = cache.put_many(vec![(1, 1), (2, 2)]);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(WriteError::Closed))));
    }
}

#[test]
fn dropping_the_last_handle_stores_what_is_left() {
    let store = Arc::new(Faulty::default());
    let settings = WriteBack::new().delay(SECOND * 3600);
    let cache = over(&store, WritePolicy::Back(settings.drop_deadline(Duration::MAX)));
    let other = cache.clone();
    cache.put(1, 10).unwrap();
    drop(cache);
    assert_eq!(store.value(1), None, "not the last one");
    drop(other);
    assert_eq!(store.value(1), Some(10));
    assert_eq!(Arc::strong_count(&store), 1, "and the workers have let go of it");
}

#[test]
fn listeners_may_write_the_very_key_that_they_hear_of() {
    for policy in policies() {
        let store = Arc::new(Faulty::default());
        let me: Arc<std::sync::OnceLock<Cached>> = Arc::default();
        let cache = Cache::builder().capacity(100).on_removal({
            let me = Arc::clone(&me);
            move |key: &u32, value: &u64, _| {
                if *value < 3 {
                    me.get().unwrap().put(*key, 3).unwrap();
                }
            }
        });
        let cache = StoreCache::builder(cache.build().unwrap(), Arc::clone(&store))
            .policy(policy)
            .build()
            .unwrap();
        assert!(me.set(cache.clone()).is_ok());
        cache.put(1, 1).unwrap();
        cache.get(&1).unwrap();
        cache.put(1, 2).unwrap();
        cache.flush();
        assert_eq!(cache.get(&1).unwrap(), store.value(1));
    }
}

mod hooked {
    use std::cell::RefCell;
    use std::hash::{Hash, Hasher};

    type Hook = (usize, Box<dyn FnOnce()>);

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Runs `hook` when this thread hashes a key for the `nth` time.
    pub fn on_hash(nth: usize, hook: impl FnOnce() + 'static) {
        HOOK.set(Some((nth, Box::new(hook))));
    }

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Key(pub u32);

    impl Hash for Key {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.0.hash(state);
            match HOOK.take() {
                Some((1, hook)) => hook(),
                Some((nth, hook)) => HOOK.set(Some((nth - 1, hook))),
                None => {}
            }
        }
    }

    impl larder::store::Loader<Key, u64> for super::Faulty {
        type Error = super::faulty::Refused;
        fn load(&self, key: &Key) -> Result<Option<u64>, Self::Error> {
            larder::store::Loader::<u32, u64>::load(self, &key.0)
        }
    }

    impl larder::store::Store<Key, u64> for super::Faulty {
        fn write(&self, key: &Key, value: &u64) -> Result<(), Self::Error> {
            larder::store::Store::<u32, u64>::write(self, &key.0, value)
        }
        fn delete(&self, key: &Key) -> Result<(), Self::Error> {
            larder::store::Store::<u32, u64>::delete(self, &key.0)
        }
    }
}

/// The reader has found nothing in the queue; before its load begins, the key is
/// put and evicted. What the store has is old then.
#[test]
fn a_load_that_begins_after_a_put_and_its_eviction_takes_what_is_dirty() {
    use hooked::{Key, on_hash};
    for is_bulk in [false, true] {
        let store = Arc::new(Faulty::default());
        store.set(1, 1);
        let settings = WriteBack::new().workers(0).delay(SECOND);
        let cache: StoreCache<Key, u64, Arc<Faulty>> =
            StoreCache::builder(Cache::new(100), Arc::clone(&store))
                .policy(WritePolicy::Back(settings))
                .clock(ManualClock::new())
                .build()
                .unwrap();
        let other = cache.clone();
        on_hash(2, move || {
            other.put(Key(1), 10).unwrap();
            other.cache().invalidate(&Key(1));
        });
        let found = match is_bulk {
            true => cache.get_many(&[Key(1)]).unwrap()[0],
            false => cache.get(&Key(1)).unwrap(),
        };
        assert_eq!((found, store.loads(1)), (Some(10), 0));
        assert!(cache.flush().failed.is_empty());
        assert_eq!(cache.get(&Key(1)).unwrap(), Some(10));
    }
}

/// A table with one row, and what happens as it is asked for it.
#[derive(Default)]
struct Staged {
    row: Mutex<Option<u64>>,
    on_load: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    on_write: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Staged {
    fn play(hook: &Mutex<Option<Box<dyn FnOnce() + Send>>>) {
        let hook = hook.lock().unwrap().take();
        hook.into_iter().for_each(|hook| hook());
    }
}

impl Loader<u32, u64> for Staged {
    type Error = Refused;
    fn load(&self, _: &u32) -> Result<Option<u64>, Refused> {
        Self::play(&self.on_load);
        Ok(*self.row.lock().unwrap())
    }
}

impl Store<u32, u64> for Staged {
    fn write(&self, _: &u32, value: &u64) -> Result<(), Refused> {
        *self.row.lock().unwrap() = Some(*value);
        Self::play(&self.on_write);
        Ok(())
    }
    fn delete(&self, _: &u32) -> Result<(), Refused> {
        unreachable!("nobody deletes")
    }
}

impl AsyncLoader<u32, u64> for Staged {
    type Error = Refused;
    async fn load(&self, key: &u32) -> Result<Option<u64>, Refused> {
        Loader::load(self, key)
    }
}

type OverStaged = StoreCache<u32, u64, Arc<Staged>>;

/// All ways to read a row.
const READS: [fn(&OverStaged) -> Option<u64>; 4] = [
    |cache| cache.get(&7).unwrap(),
    |cache| cache.get_many(&[7]).unwrap()[0],
    |cache| pollster::block_on(cache.get_async(&7)).unwrap(),
    |cache| pollster::block_on(cache.get_many_async(&[7])).unwrap()[0],
];

/// A reader whose load was overtaken sees the row that is just being written.
/// The load that took its place has read the row before that: nobody sees it
/// from then on.
#[test]
fn a_row_that_was_seen_while_it_is_written_is_not_taken_back() {
    let policies = [WritePolicy::Through, WritePolicy::Around];
    for (policy, turn) in policies.into_iter().flat_map(|p| (0..8).map(move |n| (p.clone(), n))) {
        let (read, writes_many) = (READS[turn / 2], turn % 2 == 1);
        let store = Arc::new(Staged::default());
        *store.row.lock().unwrap() = Some(1);
        let cache = StoreCache::builder(Cache::new(10), Arc::clone(&store)).policy(policy);
        let cache: OverStaged = cache.build().unwrap();
        let (begin, begun) = mpsc::channel();
        let (written, go_on) = mpsc::channel();
        // The reader's load is overtaken as it begins, another one takes its
        // place and has the old row; then the row is written.
        let other = cache.clone();
        *store.on_load.lock().unwrap() = Some(Box::new(move || {
            other.cache().invalidate(&7);
            assert_eq!(read(&other), Some(1));
            begin.send(()).unwrap();
            go_on.recv().unwrap();
        }));
        let reader = thread::spawn({
            let cache = cache.clone();
            move || [read(&cache), read(&cache)]
        });
        begun.recv().unwrap();
        // The write does not come back before the reader has read twice.
        let (has_read, read_twice) = mpsc::channel();
        *store.on_write.lock().unwrap() = Some(Box::new(move || {
            written.send(()).unwrap();
            read_twice.recv().unwrap();
        }));
        let writer = thread::spawn({
            let cache = cache.clone();
            move || match writes_many {
                true => cache.put_many(vec![(7, 2)]).into_iter().for_each(|put| put.unwrap()),
                false => cache.put(7, 2).unwrap(),
            }
        });
        let seen = reader.join().unwrap();
        has_read.send(()).unwrap();
        writer.join().unwrap();
        assert_eq!(seen, [Some(2), Some(2)]);
        assert_eq!(read(&cache), Some(2));
    }
}
