//! A cache over a store, to try operations on.

use crate::bombs::{BOOM, Bomb, Census, Failure, Key, Time, Told, Value, use_of, weigh};
use crate::matrix::{FIRST, Holdings, Scene, Scope, Try};
use larder::Cache;
use larder::store::{
    AsyncLoader, AsyncStore, CloseReport, Loader, Overflow, Store, StoreCache, WriteBack,
    WritePolicy,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Every key that any operation is about.
const KEYS: std::ops::Range<u64> = 0..14;
const HOUR: Duration = Duration::from_secs(3600);

/// Rows by key: the numbers of values.
#[derive(Default)]
pub struct Table {
    census: Arc<Census>,
    rows: Mutex<BTreeMap<u64, u64>>,
    fails: Mutex<Option<Failure>>,
}

impl Table {
    fn row(&self, key: u64) -> Option<u64> {
        self.rows.lock().get(&key).copied()
    }

    pub fn fail(&self, how: Option<Failure>) {
        *self.fails.lock() = how;
    }

    fn find(&self, key: u64) -> Result<Option<Value>, Failure> {
        use_of(Bomb::Load);
        Ok(self.row(key).map(|id| self.census.value_again(id, key, 2)))
    }

    fn change(&self, key: u64, row: Option<u64>) -> Result<(), Failure> {
        use_of(Bomb::Write);
        if let Some(failure) = *self.fails.lock() {
            return Err(failure);
        }
        match row {
            Some(id) => self.rows.lock().insert(key, id),
            None => self.rows.lock().remove(&key),
        };
        // It may also panic when all is done.
        use_of(Bomb::Write);
        Ok(())
    }

    fn judge(error: Failure) -> bool {
        use_of(Bomb::IsAmbiguous);
        error.is_ambiguous
    }
}

impl Loader<Key, Value> for Table {
    type Error = Failure;

    fn load(&self, key: &Key) -> Result<Option<Value>, Failure> {
        self.find(key.id)
    }
    fn is_ambiguous(&self, error: &Failure) -> bool {
        Table::judge(*error)
    }
}

impl Store<Key, Value> for Table {
    fn write(&self, key: &Key, value: &Value) -> Result<(), Failure> {
        self.change(key.id, Some(value.id))
    }
    fn delete(&self, key: &Key) -> Result<(), Failure> {
        self.change(key.id, None)
    }
}

impl AsyncLoader<Key, Value> for Table {
    type Error = Failure;

    async fn load(&self, key: &Key) -> Result<Option<Value>, Failure> {
        self.find(key.id)
    }
    fn is_ambiguous(&self, error: &Failure) -> bool {
        Table::judge(*error)
    }
}

impl AsyncStore<Key, Value> for Table {
    async fn write(&self, key: &Key, value: &Value) -> Result<(), Failure> {
        self.change(key.id, Some(value.id))
    }
    async fn delete(&self, key: &Key) -> Result<(), Failure> {
        self.change(key.id, None)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    Through,
    Around,
    Back,
    /// The queue holds two keys, and what does not fit is written at once.
    Cramped,
    #[cfg(feature = "journal")]
    Journaled,
}

#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub policy: Policy,
    pub is_async: bool,
}

impl Shape {
    pub fn all(is_async: bool, policies: &[Policy]) -> Vec<Shape> {
        policies.iter().map(|policy| Shape { policy: *policy, is_async }).collect()
    }
}

type Stored = StoreCache<Key, Value, Arc<Table>>;

/// A cache over a table, and what is known of it. Everything happens in the
/// thread that asks, and so do the explosions.
pub struct Shop {
    pub cache: Stored,
    pub table: Arc<Table>,
    pub time: Time,
    shape: Shape,
    is_closed: AtomicBool,
}

impl Shop {
    fn build(shape: Shape) -> Self {
        let census = Arc::<Census>::default();
        let table = Table { census: Arc::clone(&census), ..Table::default() };
        let (table, time) = (Arc::new(table), Time::default());
        let cache = Cache::builder().capacity(8).shards(2).weigher(weigh);
        let cache = cache.on_removal(Told::default().listener());
        let settings = WriteBack::new().workers(0).max_attempts(1).delay(Duration::ZERO).batch(4);
        // The clock stands still, and a flush waits for what is tried again.
        let settings = settings.backoff(Duration::ZERO, Duration::ZERO);
        let settings = match shape.policy {
            Policy::Cramped => settings.max_dirty(2).overflow(Overflow::WriteThrough),
            _ => settings,
        };
        let policy = match shape.policy {
            Policy::Through => WritePolicy::Through,
            Policy::Around => WritePolicy::Around,
            _ => WritePolicy::Back(settings),
        };
        let builder = Stored::builder(cache.build().unwrap(), Arc::clone(&table))
            .policy(policy)
            .negative_ttl(HOUR)
            .clock(time.clone())
            .on_dead_letter(|write| {
                use_of(Bomb::DeadLetter);
                drop(write);
            });
        #[cfg(feature = "journal")]
        let builder = match shape.policy {
            Policy::Journaled => builder.journal(crate::journal::in_memory(&census)),
            _ => builder,
        };
        let cache = if shape.is_async { builder.build_async() } else { builder.build() };
        Shop { cache: cache.unwrap(), table, time, shape, is_closed: AtomicBool::new(false) }
    }

    pub fn is_async(&self) -> bool {
        self.shape.is_async
    }

    pub fn key(&self, id: u64) -> Key {
        self.table.census.key(id)
    }

    pub fn value(&self, key: u64) -> Value {
        self.table.census.value(key, 2)
    }

    pub fn get(&self, key: u64) -> Option<u64> {
        let key = self.key(key);
        let found = match self.shape.is_async {
            true => pollster::block_on(self.cache.get_async(&key)),
            false => self.cache.get(&key),
        };
        found.unwrap().map(|value| {
            assert_eq!(value.key, key.id, "a value of another key");
            value.id
        })
    }

    pub fn get_many(&self, keys: &[u64]) {
        let keys: Vec<Key> = keys.iter().map(|key| self.key(*key)).collect();
        let found = match self.shape.is_async {
            true => pollster::block_on(self.cache.get_many_async(&keys)),
            false => self.cache.get_many(&keys),
        };
        assert_eq!(found.unwrap().len(), keys.len());
    }

    pub fn put(&self, key: u64) {
        let (key, value) = (self.key(key), self.value(key));
        let put = match self.shape.is_async {
            true => pollster::block_on(self.cache.put_async(key, value)),
            false => self.cache.put(key, value),
        };
        drop(put);
    }

    pub fn put_many(&self, keys: &[u64]) {
        let entries: Vec<_> = keys.iter().map(|key| (self.key(*key), self.value(*key))).collect();
        drop(match self.shape.is_async {
            true => pollster::block_on(self.cache.put_many_async(entries)),
            false => self.cache.put_many(entries),
        });
    }

    pub fn delete(&self, key: u64) {
        let key = self.key(key);
        let deleted = match self.shape.is_async {
            true => pollster::block_on(self.cache.delete_async(key)),
            false => self.cache.delete(key),
        };
        drop(deleted);
    }

    pub fn flush(&self) {
        drop(match self.shape.is_async {
            true => pollster::block_on(self.cache.flush_async()),
            false => self.cache.flush(),
        });
    }

    pub fn flush_key(&self, key: u64) {
        let key = self.key(key);
        drop(match self.shape.is_async {
            true => pollster::block_on(self.cache.flush_key_async(&key)),
            false => self.cache.flush_key(&key),
        });
    }

    pub fn close(&self) -> CloseReport<Key> {
        self.is_closed.store(true, Ordering::Relaxed);
        match self.shape.is_async {
            true => pollster::block_on(self.cache.close_async(HOUR)),
            false => self.cache.close(HOUR),
        }
    }

    /// Once everything is stored, reads see what the store has; and nothing is
    /// left in the queue that would hide what others write there.
    fn settle(&self, what: &str) {
        self.table.fail(None);
        self.cache.retry_failed();
        self.time.advance(HOUR);
        self.flush();
        let stats = self.cache.stats();
        assert_eq!((stats.dirty, stats.failed), (0, 0), "not all is stored: {what}");
        for key in KEYS {
            assert_eq!(self.get(key), self.table.row(key), "{key}: {what}");
        }
        for key in KEYS {
            self.table.rows.lock().insert(key, 1000 + key);
            self.cache.cache().invalidate(&self.key(key));
            assert_eq!(self.get(key), Some(1000 + key), "{key} is hidden: {what}");
        }
    }

    fn check_ended(&self, tried: &Try<'_, Self>) {
        let Try { what, bomb, message, .. } = tried;
        let must_be_swallowed = matches!(bomb, Bomb::Listener | Bomb::Clock | Bomb::DeadLetter);
        // The flusher tries again, or tells a dead letter, with a key and a
        // value of its own; and a journal that forgets too little does no harm.
        let may_be_swallowed =
            matches!(bomb, Bomb::Write | Bomb::Encode | Bomb::DropKey | Bomb::DropValue);
        match message {
            None => assert!(must_be_swallowed || may_be_swallowed, "swallowed: {what}"),
            Some(message) => assert!(message.contains(BOOM) && !must_be_swallowed, "{what}"),
        }
        let counted = u64::from(*bomb == Bomb::DeadLetter);
        let is_dropped = matches!(bomb, Bomb::DropKey | Bomb::DropValue);
        let panics = self.cache.stats().callback_panics;
        assert!(panics == counted || (is_dropped && panics == 1), "{panics} counted: {what}");
    }
}

impl Scene for Shop {
    type Shape = Shape;

    fn set(shape: Shape) -> Self {
        let shop = Shop::build(shape);
        FIRST.for_each(|key| shop.put(key));
        shop.flush();
        shop
    }

    fn census(&self) -> Arc<Census> {
        Arc::clone(&self.table.census)
    }

    fn holdings(&self) -> Holdings {
        FIRST.filter_map(|key| Some((key, self.get(key)?))).collect()
    }

    fn check(&self, tried: &Try<'_, Self>) {
        let what = tried.what;
        self.check_ended(tried);
        let after = self.holdings();
        let is_other = |key: u64| match tried.operation.scope {
            Scope::Nothing => true,
            Scope::One(concerned) => key != concerned,
            Scope::All => false,
        };
        for (key, id) in tried.before.iter().filter(|(key, _)| is_other(**key)) {
            assert_eq!(after.get(key), Some(id), "{key} is another: {what}");
        }
        self.cache.cache().validate().unwrap_or_else(|error| panic!("{what}: {error}"));
        if !self.is_closed.load(Ordering::Relaxed) {
            self.settle(what);
        }
    }

    fn check_again(&self, tried: &Try<'_, Self>) {
        let what = tried.what;
        self.cache.cache().validate().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(self.close().in_flight.is_empty(), "a call is said to be under way: {what}");
    }

    fn strike(self, _tried: &Try<'_, Self>) {
        drop(self.cache);
    }
}
