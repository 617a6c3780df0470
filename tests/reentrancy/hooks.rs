//! What one call of a callback does besides, and keys that tell of their drops.

use larder::Equivalent;
use std::cell::RefCell;
use std::hash::{Hash, Hasher};

/// The key that an operation is about.
pub const KEY: u64 = 0;
/// One that stands by.
pub const OTHER: u64 = 1;

/// What a refusal says.
pub const REFUSAL: &str = "this would never end";

/// The user's code that a cache runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Callback {
    Weigher,
    Expiry,
    Listener,
    DropKey,
    DropValue,
    Predicate,
    Compute,
    Make,
    Read,
    /// A loader, a statement, a memoized function, `load` of a store.
    Load,
    /// `write` and `delete` of a store.
    Write,
    IsAmbiguous,
    DeadLetter,
}

pub type Hook = Box<dyn FnOnce()>;

thread_local! {
    static HOOK: RefCell<Option<(Callback, Hook)>> = const { RefCell::new(None) };
}

/// What this thread's next call of `callback` shall do besides.
pub fn hang(callback: Callback, hook: Hook) {
    HOOK.set(Some((callback, hook)));
}

/// Returns whether there was such a call.
pub fn has_fired() -> bool {
    HOOK.take().is_none()
}

/// Whether that call is still to come.
pub fn is_hung() -> bool {
    HOOK.with_borrow(Option::is_some)
}

/// Every callback of every cache here says this first.
pub fn at(callback: Callback) {
    // A drop in a thread that ends has nothing to do any more.
    let hook = HOOK.try_with(|hook| hook.borrow_mut().take_if(|(at, _)| *at == callback));
    if let Ok(Some((_, work))) = hook {
        work();
    }
}

#[derive(Clone, Debug)]
pub struct Key(pub u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.0 == other.0
    }
}

impl Eq for Key {}

/// Looking up makes no key that could be dropped.
impl Equivalent<Key> for u64 {
    fn equivalent(&self, key: &Key) -> bool {
        *self == key.0
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        at(Callback::DropKey);
    }
}
