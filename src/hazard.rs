//! What readers are looking at, so that writers leave it alone.
//!
//! After Michael, "Hazard pointers: safe memory reclamation for lock-free
//! objects" (2004), but a reader publishes the *hash* that it is about to look
//! up, before it knows where the entry is. So it publishes once, and does not
//! have to check and repeat; and a reader that stalls holds back the entries
//! of one hash, not the cache.
//!
//! ```text
//!   reader   publish the word (swap) ── look it up ── use K, V ── publish 0
//!   writer   unlink the slot (swap) ── scan the records: is the word in one?
//!              no ──► nobody can reach the entry any more: take it out
//!              yes ─► leave it where it is, and ask again later
//! ```
//!
//! Both swaps are sequentially consistent, and so are the loads after them. So
//! either the writer sees the reader's word, or the reader sees that the slot
//! is unlinked: not neither (Dekker's argument; a model checker goes through
//! the interleavings in the tests).
//!
//! A reader that will be long, because the user's code runs, narrows its claim
//! to the one slot that it has found. Then later values of the same key are
//! not held back.

mod mine;

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr;

use crate::slot::Slot;
use crate::sync::modelled::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// The claim of a reader that has not narrowed it: any slot of this hash. No
/// slot has this number, and it is not "none" either.
const ANY: u32 = u32::MAX - 1;

/// Nothing is looked up. A word is never 0, because salts are not.
const IDLE: u64 = 0;

/// What is looked up: a shard's salt and 32 bits of a hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Word(u64);

impl Word {
    #[inline]
    pub(crate) fn new(salt: Salt, hash: u32) -> Self {
        Word(salt.0 | u64::from(hash))
    }
}

/// Tells shards apart. Two that share one, after four billion, only hold back
/// a little more than they must.
///
/// The upper half of their readers' words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Salt(u64);

impl Salt {
    pub(crate) fn next() -> Self {
        // No model looks at it.
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
        Salt(u64::from(NEXT.fetch_add(1, Ordering::Relaxed).max(1)) << 32)
    }
}

/// One reader's claim. Two cache lines, since processors fetch lines in pairs:
/// nobody but its reader writes here while it reads.
#[repr(C, align(128))]
pub(crate) struct Record {
    word: AtomicU64,
    slot: AtomicU32,
    /// How many claims were made with it: tells one from those that follow.
    turn: AtomicU32,
    rest: Rest,
}

/// What hardly ever changes, in a line of its own. So a writer that goes through
/// all records knows at once where they are, and waits for the lines that their
/// readers write to all at the same time, not for one after the other.
#[repr(align(64))]
struct Rest {
    next: AtomicPtr<Record>,
    is_taken: AtomicBool,
    /// Some thread keeps it between its readings.
    is_leased: AtomicBool,
}

impl Record {
    /// One that is in use, and stays so.
    #[cfg(not(any(larder_loom, larder_shuttle)))]
    const fn busy() -> Self {
        Record {
            word: AtomicU64::new(!IDLE),
            slot: AtomicU32::new(ANY),
            turn: AtomicU32::new(0),
            rest: Rest {
                next: AtomicPtr::new(ptr::null_mut()),
                is_taken: AtomicBool::new(true),
                is_leased: AtomicBool::new(false),
            },
        }
    }

    fn give_back(&self) {
        self.rest.is_leased.store(false, Ordering::Relaxed);
        self.rest.is_taken.store(false, Ordering::Release);
    }

    #[inline]
    fn is_on(&self, word: Word, slot: Slot) -> bool {
        // The word first: what is then read of the slot is of that claim, or
        // of a later one.
        self.word.load(Ordering::SeqCst) == word.0 && {
            let claimed = self.slot.load(Ordering::Acquire);
            claimed == ANY || claimed == slot.raw()
        }
    }

    /// Which claim it is now, or a later one: to be asked after `is_on` or
    /// `is_roaming`, whose load of the word has seen the claim begin.
    fn turn(&self) -> u32 {
        self.turn.load(Ordering::Acquire)
    }

    /// Whether its reader may be anywhere in the shard of `salt`.
    fn is_roaming(&self, salt: Salt) -> bool {
        let word = self.word.load(Ordering::SeqCst);
        word >> 32 == salt.0 >> 32 && self.slot.load(Ordering::Acquire) == ANY
    }
}

/// All records there are: as many as readers have been at work at the same
/// time. They are used again, and never freed.
pub(crate) struct Registry {
    first: AtomicPtr<Record>,
}

/// One for all caches: a thread needs one record, not one a cache.
#[cfg(not(any(larder_loom, larder_shuttle)))]
static REGISTRY: Registry = Registry { first: AtomicPtr::new(ptr::null_mut()) };

#[cfg(larder_loom)]
loom::lazy_static! {
    static ref REGISTRY: Registry = Registry { first: AtomicPtr::new(ptr::null_mut()) };
}

#[cfg(all(larder_shuttle, not(larder_loom)))]
shuttle::lazy_static! {
    static ref REGISTRY: Registry = Registry { first: AtomicPtr::new(ptr::null_mut()) };
}

impl Registry {
    #[inline]
    fn records(&self) -> impl Iterator<Item = &'static Record> + use<> {
        let follow = |link: &AtomicPtr<Record>| {
            // SAFETY: `add` links only records that it has leaked, fully made,
            // and nothing unlinks one.
            unsafe { link.load(Ordering::SeqCst).as_ref::<'static>() }
        };
        std::iter::successors(follow(&self.first), move |record| follow(&record.rest.next))
    }

    /// A record that nobody else uses: one that was given back, or a new one.
    fn take(&self) -> &'static Record {
        let free = self.records().find(|record| {
            !record.rest.is_taken.load(Ordering::Relaxed)
                && !record.rest.is_taken.swap(true, Ordering::Acquire)
        });
        free.unwrap_or_else(|| self.add())
    }

    #[cold]
    fn add(&self) -> &'static Record {
        let record: &'static Record = Box::leak(Box::new(Record {
            word: AtomicU64::new(IDLE),
            slot: AtomicU32::new(ANY),
            turn: AtomicU32::new(0),
            rest: Rest {
                next: AtomicPtr::new(ptr::null_mut()),
                is_taken: AtomicBool::new(true),
                is_leased: AtomicBool::new(false),
            },
        }));
        let mut first = self.first.load(Ordering::Relaxed);
        loop {
            record.rest.next.store(first, Ordering::Relaxed);
            // SeqCst: a writer whose scan does not meet this record has read
            // the list before, and so has unlinked its slot before the reader
            // looks.
            let swapped = self.first.compare_exchange(
                first,
                ptr::from_ref(record).cast_mut(),
                Ordering::SeqCst,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => return record,
                Err(now) => first = now,
            }
        }
    }
}

/// How many records there are.
#[cfg(all(test, larder_loom))]
pub(crate) fn records() -> usize {
    REGISTRY.records().count()
}

/// Whether a reader may be using the entry of `word` at `slot`, which its
/// caller has unlinked with a sequentially consistent swap.
#[inline]
pub(crate) fn is_watched(word: Word, slot: Slot) -> bool {
    REGISTRY.records().any(|record| record.is_on(word, slot))
}

/// Those who may be using an entry that was unlinked; it stays until they have
/// gone. Who comes later cannot find it, and holds nothing back, however often
/// the same key is read.
pub(crate) struct Watchers {
    word: Word,
    slot: Slot,
    readers: Vec<Claim>,
}

/// Of a record that is used for one claim after the other, this one.
type Claim = (&'static Record, u32);

impl Watchers {
    /// `None` if nobody may be using it, which is nearly always. As for
    /// `is_watched`, the slot was unlinked before.
    #[inline]
    pub(crate) fn of(word: Word, slot: Slot) -> Option<Self> {
        is_watched(word, slot).then(|| Self::remember(word, slot))
    }

    #[cold]
    pub(crate) fn remember(word: Word, slot: Slot) -> Self {
        let readers = REGISTRY.records().filter(|record| record.is_on(word, slot));
        let readers = readers.map(|record| (record, record.turn())).collect();
        Watchers { word, slot, readers }
    }

    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    /// Whether one of them may still be there.
    pub(crate) fn are_there(&mut self) -> bool {
        let is_there =
            |claim: &Claim| claim.0.turn() == claim.1 && claim.0.is_on(self.word, self.slot);
        self.readers.retain(is_there);
        !self.readers.is_empty()
    }
}

/// Memory of a shard that readers may still be walking through: an index that
/// was outgrown, or an empty part of the slab.
///
/// It was unreachable for new readers when this was made. Those of that time
/// are remembered, and forgotten one by one as they are seen elsewhere.
pub(crate) struct Retired<T> {
    memory: T,
    salt: Salt,
    readers: Vec<Claim>,
}

impl<T> Retired<T> {
    pub(crate) fn new(memory: T, salt: Salt) -> Self {
        let readers = REGISTRY.records().filter(|record| record.is_roaming(salt));
        let readers = readers.map(|record| (record, record.turn())).collect();
        Retired { memory, salt, readers }
    }

    pub(crate) fn into_memory(self) -> T {
        self.memory
    }

    /// Whether some reader may still be there.
    pub(crate) fn is_visited(&mut self) -> bool {
        let is_there = |claim: &Claim| claim.0.turn() == claim.1 && claim.0.is_roaming(self.salt);
        self.readers.retain(is_there);
        !self.readers.is_empty()
    }
}

/// A reader's claim, from before it looks until it is dropped. Stays on its
/// thread.
pub(crate) struct Pin {
    record: &'static Record,
    /// It is this thread's own, and is not given back after the claim. Where
    /// the compiler can tell, the question costs nothing.
    is_own: bool,
    is_narrow: Cell<bool>,
    _here: PhantomData<*const ()>,
}

impl Pin {
    /// Claims every entry of `word`, wherever it is.
    #[inline]
    pub(crate) fn new(word: Word) -> Self {
        Pin::own(word).unwrap_or_else(|| Pin::with(another(), false, word))
    }

    /// As `new`, but only if that is quickly done: the thread has a record, and
    /// is not reading already.
    #[inline(always)]
    pub(crate) fn own(word: Word) -> Option<Self> {
        let record = mine::get()?;
        let is_idle = record.word.load(Ordering::Relaxed) == IDLE;
        is_idle.then(|| Pin::with(record, true, word))
    }

    #[inline(always)]
    fn with(record: &'static Record, is_own: bool, word: Word) -> Self {
        record.word.swap(word.0, Ordering::SeqCst);
        Pin { record, is_own, is_narrow: Cell::new(false), _here: PhantomData }
    }

    /// Gives up all but `slot`, which was found under this claim.
    #[inline]
    pub(crate) fn narrow(&self, slot: Slot) {
        self.record.slot.store(slot.raw(), Ordering::Release);
        self.is_narrow.set(true);
    }
}

impl Drop for Pin {
    #[inline]
    fn drop(&mut self) {
        let record = self.record;
        // In this order: nobody may take the next claim for a narrowed one.
        record.word.store(IDLE, Ordering::Release);
        let turn = record.turn.load(Ordering::Relaxed).wrapping_add(1);
        record.turn.store(turn, Ordering::Release);
        if self.is_narrow.get() {
            record.slot.store(ANY, Ordering::Release);
        }
        if !self.is_own && !record.rest.is_leased.load(Ordering::Relaxed) {
            record.give_back();
        }
    }
}

/// A record for a thread that has none yet, or whose own is in use: a closure
/// that reads may read again.
#[cold]
fn another() -> &'static Record {
    let record = REGISTRY.take();
    mine::keep(record);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(index: usize) -> Slot {
        Slot::from_index(index)
    }

    #[test]
    fn a_claim_covers_its_hash_until_it_is_narrowed_and_ends_when_dropped() {
        let salt = Salt::next();
        let word = Word::new(salt, 7);
        assert!(!is_watched(word, slot(1)));
        let pin = Pin::new(word);
        assert!(is_watched(word, slot(1)) && is_watched(word, slot(2)));
        assert!(!is_watched(Word::new(salt, 8), slot(1)));
        assert!(!is_watched(Word::new(Salt::next(), 7), slot(1)), "another shard's");
        pin.narrow(slot(2));
        assert!(!is_watched(word, slot(1)) && is_watched(word, slot(2)));
        drop(pin);
        assert!(!is_watched(word, slot(2)));
        let again = Pin::new(word);
        assert!(is_watched(word, slot(1)), "a new claim is not narrowed");
        drop(again);
    }

    #[test]
    fn a_reader_may_read_again_while_it_reads() {
        let salt = Salt::next();
        let words = [1, 2, 3].map(|hash| Word::new(salt, hash));
        let pins = words.map(Pin::new);
        assert!(words.iter().all(|word| is_watched(*word, slot(0))));
        let [first, second, third] = pins;
        drop(first);
        assert!(!is_watched(words[0], slot(0)) && is_watched(words[1], slot(0)));
        drop((second, third));
        assert!(!words.iter().any(|word| is_watched(*word, slot(0))));
    }

    #[test]
    fn retired_memory_waits_only_for_those_who_roam_its_shard() {
        let salt = Salt::next();
        let elsewhere = Pin::new(Word::new(Salt::next(), 1));
        let roaming = Pin::new(Word::new(salt, 1));
        let found = Pin::new(Word::new(salt, 2));
        found.narrow(slot(3));
        let mut retired = Retired::new((), salt);
        assert!(retired.is_visited());
        let later = Pin::new(Word::new(salt, 5));
        drop(roaming);
        assert!(!retired.is_visited(), "who came later has not seen it");
        drop((elsewhere, found, later));
    }

    #[test]
    fn threads_that_come_and_go_use_the_same_records() {
        let count = || REGISTRY.records().count();
        let word = Word::new(Salt::next(), 1);
        let read = move || drop(Pin::new(word));
        std::thread::spawn(read).join().unwrap();
        let before = count();
        for _ in 0..1000 {
            std::thread::spawn(read).join().unwrap();
        }
        // Other tests run meanwhile, on a few threads.
        assert!(count() <= before + 64, "{} records, {before} before", count());
    }

    #[test]
    fn a_thread_that_ends_reads_also_from_its_last_destructors() {
        struct Late(Word);
        impl Drop for Late {
            fn drop(&mut self) {
                let pin = Pin::new(self.0);
                assert!(is_watched(self.0, slot(0)));
                drop(pin);
                assert!(!is_watched(self.0, slot(0)));
            }
        }
        thread_local!(static LATE: std::cell::OnceCell<Late> = const { std::cell::OnceCell::new() });
        let word = Word::new(Salt::next(), 9);
        let ends = std::thread::spawn(move || {
            // Made first, so dropped after the thread's lease.
            LATE.with(|late| late.set(Late(word)).is_ok());
            drop(Pin::new(word));
        });
        ends.join().unwrap();
    }
}
