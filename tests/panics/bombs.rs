//! Keys, values and callbacks that explode on demand, and the census of them.

use larder::{Cause, Clock, Equivalent, Expiry, ManualClock, ToKey};
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What every panic of these tests says.
pub const BOOM: &str = "boom: a panic of the test's own";

/// The user's code that can panic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Bomb {
    Hash,
    Eq,
    CloneKey,
    CloneValue,
    DropKey,
    DropValue,
    Weigher,
    Expiry,
    Clock,
    Listener,
    Predicate,
    Compute,
    Make,
    Read,
    /// A loader, a memoized function, a statement; `load` of a store.
    Load,
    /// `write` and `delete` of a store.
    Write,
    IsAmbiguous,
    DeadLetter,
    Encode,
    Decode,
}

impl Bomb {
    pub const ALL: [Bomb; 20] = [
        Bomb::Hash,
        Bomb::Eq,
        Bomb::CloneKey,
        Bomb::CloneValue,
        Bomb::DropKey,
        Bomb::DropValue,
        Bomb::Weigher,
        Bomb::Expiry,
        Bomb::Clock,
        Bomb::Listener,
        Bomb::Predicate,
        Bomb::Compute,
        Bomb::Make,
        Bomb::Read,
        Bomb::Load,
        Bomb::Write,
        Bomb::IsAmbiguous,
        Bomb::DeadLetter,
        Bomb::Encode,
        Bomb::Decode,
    ];

    /// Whether it runs before a plain operation changes anything.
    pub fn comes_first(self) -> bool {
        use Bomb::{Compute, Eq, Expiry, Hash, Load, Make, Read, Weigher};
        matches!(self, Hash | Eq | Weigher | Expiry | Compute | Make | Read | Load)
    }
}

thread_local! {
    /// What will explode in this thread, at which of its next uses.
    static FUSE: Cell<Option<(Bomb, u32)>> = const { Cell::new(None) };
}

pub fn arm(bomb: Bomb, at_use: u32) {
    FUSE.set(Some((bomb, at_use)));
}

/// Returns whether the bomb is still there.
pub fn disarm() -> bool {
    FUSE.take().is_some()
}

/// All code of the user begins with this.
pub fn use_of(bomb: Bomb) {
    match FUSE.get() {
        Some((armed, 1)) if armed == bomb => {
            FUSE.set(None);
            panic!("{BOOM} ({bomb:?})");
        }
        Some((armed, at_use)) if armed == bomb => FUSE.set(Some((armed, at_use - 1))),
        _ => {}
    }
}

/// Which keys and values there are, clones included.
#[derive(Default)]
pub struct Census {
    living: Mutex<HashSet<u64>>,
    born: AtomicU64,
    /// Of values that are no clones.
    made: AtomicU64,
    buried_twice: AtomicU64,
}

impl Census {
    /// How many values were made, not counting clones.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Nothing lives any more, and nothing was dropped twice.
    pub fn assert_all_gone(&self, what: &str) {
        let left = self.living.lock().len();
        assert_eq!(left, 0, "so many keys and values are not dropped: {what}");
        let twice = self.buried_twice.load(Ordering::Relaxed);
        assert_eq!(twice, 0, "so many were dropped twice: {what}");
    }

    pub fn key(self: &Arc<Self>, id: u64) -> Key {
        Key { id, life: Life::begin(self) }
    }

    pub fn query(self: &Arc<Self>, id: u64) -> Query<'_> {
        Query { id, census: self }
    }

    pub fn value(self: &Arc<Self>, key: u64, weight: u32) -> Value {
        let id = self.made.fetch_add(1, Ordering::Relaxed);
        self.value_again(id, key, weight)
    }

    /// A value that was made before, as a store brings it back.
    pub fn value_again(self: &Arc<Self>, id: u64, key: u64, weight: u32) -> Value {
        Value { id, key, weight, life: Life::begin(self) }
    }
}

/// One life in a census.
struct Life {
    serial: u64,
    census: Arc<Census>,
}

impl Life {
    fn begin(census: &Arc<Census>) -> Self {
        let serial = census.born.fetch_add(1, Ordering::Relaxed);
        census.living.lock().insert(serial);
        Life { serial, census: Arc::clone(census) }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if !self.census.living.lock().remove(&self.serial) {
            self.census.buried_twice.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub struct Key {
    pub id: u64,
    life: Life,
}

impl Key {
    #[cfg(feature = "macros")]
    pub fn census(&self) -> &Arc<Census> {
        &self.life.census
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        use_of(Bomb::Hash);
        self.id.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        use_of(Bomb::Eq);
        self.id == other.id
    }
}

impl Eq for Key {}

impl Clone for Key {
    fn clone(&self) -> Self {
        use_of(Bomb::CloneKey);
        self.life.census.key(self.id)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        use_of(Bomb::DropKey);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// Looks up without a key of its own, which would be dropped.
pub struct Query<'a> {
    id: u64,
    census: &'a Arc<Census>,
}

impl Hash for Query<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        use_of(Bomb::Hash);
        self.id.hash(state);
    }
}

impl Equivalent<Key> for Query<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        use_of(Bomb::Eq);
        self.id == key.id
    }
}

impl ToKey<Key> for Query<'_> {
    fn to_key(&self) -> Key {
        use_of(Bomb::CloneKey);
        self.census.key(self.id)
    }
}

pub struct Value {
    /// A clone has the number of what it is cloned from.
    pub id: u64,
    pub key: u64,
    pub weight: u32,
    life: Life,
}

impl Clone for Value {
    fn clone(&self) -> Self {
        use_of(Bomb::CloneValue);
        self.life.census.value_again(self.id, self.key, self.weight)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        use_of(Bomb::DropValue);
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} of {})", self.id, self.key)
    }
}

/// As long as any test could ever take, but not for ever.
pub const LIFETIME: Duration = Duration::from_secs(1 << 20);

pub struct LongLife;

impl Expiry<Key, Value> for LongLife {
    fn on_create(&self, _: &Key, _: &Value) -> Duration {
        use_of(Bomb::Expiry);
        LIFETIME
    }

    fn on_update(&self, _: &Key, _: &Value, _: Duration) -> Duration {
        use_of(Bomb::Expiry);
        LIFETIME
    }

    fn on_read(&self, _: &Key, _: &Value, _: Duration) -> Duration {
        use_of(Bomb::Expiry);
        LIFETIME
    }
}

/// Moves only when a test moves it.
#[derive(Clone, Default)]
pub struct Time(ManualClock);

impl Time {
    pub fn advance(&self, by: Duration) {
        self.0.advance(by);
    }
}

impl Clock for Time {
    fn now(&self) -> Duration {
        use_of(Bomb::Clock);
        self.0.now()
    }
}

pub fn weigh(_: &Key, value: &Value) -> u32 {
    use_of(Bomb::Weigher);
    value.weight
}

/// The numbers of the values that a listener was told of.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Vec<u64>>>);

impl Told {
    pub fn listener(&self) -> impl Fn(&Key, &Value, Cause) + Send + Sync + 'static {
        let told = self.clone();
        move |_: &Key, value: &Value, _: Cause| {
            told.0.lock().push(value.id);
            use_of(Bomb::Listener);
        }
    }

    pub fn times(&self, id: u64) -> usize {
        self.0.lock().iter().filter(|told| **told == id).count()
    }
}

/// An error that a loader or a store returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    pub is_ambiguous: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_ambiguous { "perhaps" } else { "no" })
    }
}

impl std::error::Error for Failure {}
