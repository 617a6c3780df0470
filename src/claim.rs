//! One computation at a time for a key.
//!
//! A thread that computes a key's value claims the key in its shard and then
//! runs the user's closure without any lock. Writers of the same key wait for
//! the claim to end; readers, and other keys, do not notice.
//!
//! ```text
//!   claim ──► closure runs ──► finish: store, remove or keep ──► over
//!                 │                                               ▲
//!                 ├─ invalidated: the result is discarded ────────┤
//!                 └─ panics: nothing changes ─────────────────────┘
//! ```
//!
//! A thread that would have to wait for itself, directly or through others
//! that wait in turn, is told so instead of hanging.

use crate::sync::thread::{self, ThreadId};
use crate::sync::{Condvar, Mutex};
use equivalent::Equivalent;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The wait would never end: the thread waits, in the end, for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Recursion;

/// A running computation, as others see it.
pub(crate) struct Turn {
    owner: ThreadId,
    is_discarded: AtomicBool,
    /// The closure has returned, and its result is about to be stored.
    is_finishing: AtomicBool,
    is_over: Mutex<bool>,
    over: Condvar,
}

/// Which thread waits for which turn, in the whole process: a circle may lead
/// through several caches. Only threads that have to wait come here.
#[cfg(not(larder_shuttle))]
static WAITING: Mutex<Waiting> = Mutex::new(Waiting::new());

// Anew for each schedule: threads have the same names in all of them.
#[cfg(larder_shuttle)]
shuttle::lazy_static! {
    static ref WAITING: Mutex<Waiting> = Mutex::new(Waiting::new());
}

type Waiting = Vec<(ThreadId, Arc<Turn>)>;

impl Turn {
    fn new() -> Self {
        // Made here and not by who waits first: that may be while some other
        // thread panics, and a checker's threads are all one to `std`.
        #[cfg(larder_shuttle)]
        let _ = &*WAITING;
        Turn {
            owner: thread::current().id(),
            is_discarded: AtomicBool::new(false),
            is_finishing: AtomicBool::new(false),
            is_over: Mutex::new(false),
            over: Condvar::new(),
        }
    }

    /// Set and read under the shard's lock.
    pub(crate) fn is_discarded(&self) -> bool {
        self.is_discarded.load(Ordering::Relaxed)
    }

    pub(crate) fn finish(&self) {
        self.is_finishing.store(true, Ordering::Relaxed);
    }

    /// Whether this thread is storing the result just now: whoever asks is a
    /// listener or a `Drop` that was called on the way, and need not wait.
    fn is_finished_here(&self) -> bool {
        self.is_finishing.load(Ordering::Relaxed) && self.owner == thread::current().id()
    }

    /// Waits until the computation has ended.
    pub(crate) fn wait(self: &Arc<Self>) -> Result<(), Recursion> {
        let me = thread::current().id();
        {
            let mut waiting = WAITING.lock();
            if leads_to(me, self, &waiting) {
                return Err(Recursion);
            }
            waiting.push((me, Arc::clone(self)));
        }
        let mut is_over = self.is_over.lock();
        while !*is_over {
            self.over.wait(&mut is_over);
        }
        drop(is_over);
        WAITING.lock().retain(|(thread, _)| *thread != me);
        Ok(())
    }

    pub(crate) fn end(&self) {
        *self.is_over.lock() = true;
        self.over.notify_all();
    }
}

/// Whether `turn` ends only after something that `me` has to do first.
fn leads_to(me: ThreadId, turn: &Arc<Turn>, waiting: &[(ThreadId, Arc<Turn>)]) -> bool {
    let mut turn = turn;
    // A circle that does not contain `me` would have been refused before.
    loop {
        // Who waited for it may be listed still, but goes on already.
        if *turn.is_over.lock() {
            return false;
        }
        if turn.owner == me {
            return true;
        }
        match waiting.iter().find(|(thread, _)| *thread == turn.owner) {
            Some((_, next)) => turn = next,
            None => return false,
        }
    }
}

struct Claim<K> {
    hash: u32,
    key: Arc<K>,
    turn: Arc<Turn>,
}

/// The claimed keys of one shard: as many as threads compute in it.
pub(crate) struct Claims<K>(Vec<Claim<K>>);

impl<K> Default for Claims<K> {
    fn default() -> Self {
        Claims(Vec::new())
    }
}

impl<K> Claims<K> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn find<Q: Equivalent<K> + ?Sized>(&self, hash: u32, key: &Q) -> Option<&Arc<Turn>> {
        let is_it = |claim: &&Claim<K>| claim.hash == hash && key.equivalent(&claim.key);
        self.0.iter().find(is_it).map(|claim| &claim.turn)
    }

    pub(crate) fn add(&mut self, hash: u32, key: Arc<K>) -> Arc<Turn> {
        let turn = Arc::new(Turn::new());
        self.0.push(Claim { hash, key, turn: Arc::clone(&turn) });
        turn
    }

    /// Ends the claim. The key is still with whoever made it.
    pub(crate) fn remove(&mut self, turn: &Arc<Turn>) {
        self.0.retain(|claim| !Arc::ptr_eq(&claim.turn, turn));
        turn.end();
    }

    /// Ends the claim of `turn` if its result is being stored by this very
    /// thread: a write from there comes later, so the result is discarded.
    pub(crate) fn overrule(&mut self, turn: &Arc<Turn>) -> bool {
        let is_overruled = turn.is_finished_here();
        if is_overruled {
            turn.is_discarded.store(true, Ordering::Relaxed);
            self.0.retain(|claim| !Arc::ptr_eq(&claim.turn, turn));
        }
        is_overruled
    }

    /// What is being computed for the key shall not be stored.
    pub(crate) fn discard<Q: Equivalent<K> + ?Sized>(&self, hash: u32, key: &Q) {
        if let Some(turn) = self.find(hash, key) {
            turn.is_discarded.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn discard_all(&self) {
        self.discard_where(|_, _| true);
    }

    pub(crate) fn discard_where(&self, is_meant: impl Fn(u32, &K) -> bool) {
        for claim in self.0.iter().filter(|claim| is_meant(claim.hash, &claim.key)) {
            claim.turn.is_discarded.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_told_that_it_would_wait_for_itself() {
        let turn = Arc::new(Turn::new());
        assert_eq!(turn.wait(), Err(Recursion));
    }

    #[test]
    fn only_a_claim_whose_result_this_thread_is_storing_is_overruled_and_no_other_ends() {
        let mut claims = Claims::default();
        let turn = claims.add(7, Arc::new("pear"));
        let other = claims.add(7, Arc::new("plum"));
        assert!(!claims.overrule(&turn), "it is still being computed");
        assert!(claims.find(7, "pear").is_some() && !turn.is_discarded());
        turn.finish();
        assert!(claims.overrule(&turn) && turn.is_discarded());
        assert!(claims.find(7, "pear").is_none());
        let kept = claims.find(7, "plum").expect("its own computation goes on");
        assert!(Arc::ptr_eq(kept, &other) && !other.is_discarded());
    }

    #[test]
    fn a_circle_through_another_thread_is_refused_and_the_other_goes_on() {
        let mine = Arc::new(Turn::new());
        let (tell, told) = std::sync::mpsc::channel();
        let other = thread::spawn({
            let mine = Arc::clone(&mine);
            move || {
                let theirs = Arc::new(Turn::new());
                tell.send(Arc::clone(&theirs)).unwrap();
                let waited = mine.wait();
                theirs.end();
                waited
            }
        });
        let theirs = told.recv().unwrap();
        // Whether or not the other thread waits already: one of both is told,
        // and here the other one cannot be, because it came first.
        while !WAITING.lock().iter().any(|(id, _)| *id == other.thread().id()) {
            thread::yield_now();
        }
        assert_eq!(theirs.wait(), Err(Recursion));
        mine.end();
        assert_eq!(other.join().unwrap(), Ok(()));
        assert_eq!(theirs.wait(), Ok(()), "it is over: nobody has to wait");
    }
}
