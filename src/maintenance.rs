//! A thread that tidies up a cache nobody uses.
//!
//! Only on request: every use of a shard does the same for that shard, but an
//! idle cache would keep its expired values. The thread holds no handle while
//! it waits, so it does not keep the cache alive, and ends with it.

use crate::cache::Shared;
use crate::sync::{Condvar, Mutex};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

/// The word that ends the thread.
#[derive(Default)]
pub(crate) struct Stop {
    is_said: Mutex<bool>,
    said: Condvar,
}

impl Stop {
    pub(crate) fn now(&self) {
        *self.is_said.lock() = true;
        self.said.notify_all();
    }

    /// Waits for `interval`; whether the word was said meanwhile.
    fn within(&self, interval: Duration) -> bool {
        let mut is_said = self.is_said.lock();
        if !*is_said {
            self.said.wait_for(&mut is_said, interval);
        }
        *is_said
    }
}

/// Starts a thread that frees what has expired or was invalidated, each time
/// `interval` has passed.
pub(crate) fn start<K, V>(shared: &Arc<Shared<K, V>>, interval: Duration) -> io::Result<()>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let (stop, cache) = (Arc::clone(shared.stop()), Arc::downgrade(shared));
    let run = move || {
        while !stop.within(interval) && tidy(&cache) {}
    };
    thread::Builder::new().name("larder-maintenance".to_owned()).spawn(run).map(drop)
}

/// Whether the cache is still there.
fn tidy<K, V>(cache: &Weak<Shared<K, V>>) -> bool {
    let Some(shared) = cache.upgrade() else { return false };
    // A `Drop` of the user's that panics, which the panic hook has told of, must not
    // end the upkeep. This may be the last handle, too.
    let _ = catch_unwind(AssertUnwindSafe(move || shared.run_maintenance()));
    true
}
