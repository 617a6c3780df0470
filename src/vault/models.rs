//! Every interleaving of a reader and a writer, in the small.
//!
//! loom runs each model again and again, with every order of its threads' steps
//! that differs and every value that a load may see, up to a number of
//! preemptions. Keys, values, tables and cells here carry something that loom
//! tracks: whoever looks at one that is being dropped, or was, fails the model;
//! so does a value that is never dropped, or twice.
//!
//! ```sh
//! RUSTFLAGS='--cfg larder_loom' cargo test --release --lib models --target-dir target/loom
//! ```
//!
//! A model that cannot fail proves nothing. So each says which changes to the
//! code it is known to find ("Fails if"): they were made, one at a time, and the
//! model has failed. Where two safeguards hide each other ("Either is enough"),
//! it has failed with both gone, and with neither gone alone. What it was asked
//! to find and did not is said, too.
//!
//! What loom cannot show: an access that is weaker than `SeqCst` where other
//! accesses around it are not (see `sync/looms.rs`: a store in the place of a
//! swap is told from it only if it is `Relaxed`), and orders that take more
//! preemptions.

use super::*;
use crate::sync::modelled::{Arc, Life};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicUsize, Ordering};

mod claims;
mod glances;
mod memory;
mod moves;
mod values;

/// So often may a thread be interrupted where it need not be. Bugs that take
/// more are rare (Musuvathi and Qadeer, "Iterative context bounding", 2007).
const PREEMPTIONS: usize = 2;

fn model(steps: impl Fn() + Send + Sync + 'static) {
    bounded_model(PREEMPTIONS, steps);
}

fn bounded_model(preemptions: usize, steps: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 10_000;
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(steps);
}

/// A key or a value.
struct Tracked {
    number: u32,
    life: Life,
    live: std::sync::Arc<AtomicUsize>,
}

impl Tracked {
    fn number(&self) -> u32 {
        self.life.is_needed();
        self.number
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        assert_ne!(self.live.fetch_sub(1, Ordering::Relaxed), 0, "dropped twice");
    }
}

#[derive(PartialEq, Eq, Hash)]
struct Key(u32);

impl Equivalent<Tracked> for Key {
    fn equivalent(&self, key: &Tracked) -> bool {
        self.0 == key.number()
    }
}

/// A vault, and how many keys and values are alive.
struct Pantry {
    vault: ManuallyDrop<Vault<Tracked, Tracked, ()>>,
    live: std::sync::Arc<AtomicUsize>,
}

impl Drop for Pantry {
    fn drop(&mut self) {
        // Of a model that has failed, loom's part is gone already.
        if !std::thread::panicking() {
            // SAFETY: this is the end of it.
            unsafe { ManuallyDrop::drop(&mut self.vault) };
        }
    }
}

type Kept<'a> = Held<'a, Tracked, Tracked, ()>;

/// A line's tags come from the low byte of a hash, and its home from the high
/// bits: these are all at home in line 0, and the first two look alike there.
const HASH: u32 = 0x103;
const SAME_TAG: u32 = 0x203;
const OTHER_TAG: u32 = 0x104;

impl Pantry {
    fn new() -> Arc<Self> {
        Arc::new(Pantry {
            vault: ManuallyDrop::new(Vault::new(())),
            live: std::sync::Arc::default(),
        })
    }

    fn tracked(&self, number: u32) -> Tracked {
        self.live.fetch_add(1, Ordering::Relaxed);
        let live = std::sync::Arc::clone(&self.live);
        Tracked { number, life: Life::default(), live }
    }

    fn entry(&self, key: u32, value: u32) -> Entry<Tracked, Tracked> {
        let tags = TagSet::default();
        Entry { key: self.tracked(key), value: self.tracked(value), tags }
    }

    /// Adds a key that is not there.
    fn add(&self, hash: u32, key: u32, value: u32) {
        let entry = self.entry(key, value);
        let mut locked = self.vault.lock();
        let slot = locked.fill(hash, 1, entry);
        locked.link(slot);
    }

    /// Stores another value for a key that is there. Returns whether readers
    /// hold the older one back.
    fn replace(&self, hash: u32, key: u32, value: u32) -> bool {
        let entry = self.entry(key, value);
        let mut locked = self.vault.lock();
        let old = locked.find(hash, &Key(key)).unwrap();
        let new = locked.fill(hash, 1, entry);
        let left = locked.swing(old, new);
        drop(locked);
        self.let_go(left)
    }

    /// As `replace`, on the shorter way.
    fn supersede(&self, hash: u32, key: u32, value: u32) {
        let pair = (self.tracked(key), self.tracked(value));
        let mut locked = self.vault.lock();
        let old = locked.find(hash, &Key(key)).unwrap();
        let (_, left) = locked.supersede(old, pair, |_, _, _| {});
        drop(locked);
        drop(left);
    }

    /// Adds a key in the place of another one.
    fn supplant(&self, (old_hash, old): (u32, u32), hash: u32, key: u32, value: u32) {
        let pair = (self.tracked(key), self.tracked(value));
        let aim = self.vault.aim(hash);
        let mut locked = self.vault.lock();
        let victim = locked.find(old_hash, &Key(old)).unwrap();
        let left = locked.supplant(victim, (aim, hash), pair, |_, _| {});
        let left = left.or_else(|pair| {
            locked.add(hash, pair, |_, _| {});
            Err(())
        });
        drop(locked);
        drop(left);
    }

    fn unlink(&self, hash: u32, key: u32) -> Left<Tracked, Tracked> {
        let mut locked = self.vault.lock();
        let slot = locked.find(hash, &Key(key)).unwrap();
        locked.remove(slot)
    }

    fn remove(&self, hash: u32, key: u32) -> bool {
        self.let_go(self.unlink(hash, key))
    }

    fn let_go(&self, left: Left<Tracked, Tracked>) -> bool {
        match left {
            Left::Owned(_) => false,
            Left::Watched(watched) => {
                self.vault.release(watched);
                true
            }
        }
    }

    fn sweep(&self) {
        let swept = self.vault.lock().sweep();
        drop(swept);
    }

    fn find(&self, hash: u32, key: u32) -> Option<Kept<'_>> {
        self.vault.find(hash, &Key(key))
    }

    /// As `get`, but glances first, as look-ups of the cache do. The thread has
    /// a record already, or it would not.
    fn glance(&self, hash: u32, key: u32) -> u32 {
        drop(Pin::new(Word::new(self.vault.salt, hash)));
        match self.vault.glance(hash, &Key(key)) {
            Sight::Found(held) => held.value().number(),
            Sight::Nothing => 0,
            Sight::Beyond => self.get(hash, key),
        }
    }

    /// 0 if the key is not there.
    fn get(&self, hash: u32, key: u32) -> u32 {
        self.find(hash, key).map_or(0, |held| held.value().number())
    }

    /// When all threads have ended: everything is where it should be, and once
    /// swept, nothing is alive that is not.
    fn check(&self) {
        self.sweep();
        let move_some = || self.vault.lock().move_some(true, |_, _| {}, |_, _, _| {});
        while move_some() == Progress::Some {}
        self.sweep();
        let locked = self.vault.lock();
        locked.validate().unwrap();
        assert_eq!(self.live.load(Ordering::Relaxed), 2 * locked.len());
        assert!(!locked.has_leftovers());
    }
}

/// Runs `read` in a second thread, and `write` in this one.
fn race<R: Send + 'static>(
    pantry: &Arc<Pantry>,
    read: impl FnOnce(&Pantry) -> R + Send + 'static,
    write: impl FnOnce(&Pantry),
) -> R {
    let reader = begin(pantry, read);
    write(pantry);
    let result = reader.join().unwrap();
    pantry.check();
    result
}

fn begin<R: Send + 'static>(
    pantry: &Arc<Pantry>,
    work: impl FnOnce(&Pantry) -> R + Send + 'static,
) -> thread::JoinHandle<R> {
    let pantry = Arc::clone(pantry);
    thread::spawn(move || work(&pantry))
}
