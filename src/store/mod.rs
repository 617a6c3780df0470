//! A cache in front of a store: read-through, write-through, write-around and
//! write-back.
//!
//! ```
//! use larder::Cache;
//! use larder::store::{Loader, Store, StoreCache};
//! use std::collections::HashMap;
//! use std::convert::Infallible;
//! use std::sync::Mutex;
//!
//! #[derive(Default)]
//! struct Table(Mutex<HashMap<u64, String>>);
//!
//! impl Loader<u64, String> for Table {
//!     type Error = Infallible;
//!     fn load(&self, id: &u64) -> Result<Option<String>, Infallible> {
//!         Ok(self.0.lock().unwrap().get(id).cloned())
//!     }
//! }
//!
//! impl Store<u64, String> for Table {
//!     fn write(&self, id: &u64, name: &String) -> Result<(), Infallible> {
//!         self.0.lock().unwrap().insert(*id, name.clone());
//!         Ok(())
//!     }
//!     fn delete(&self, id: &u64) -> Result<(), Infallible> {
//!         self.0.lock().unwrap().remove(id);
//!         Ok(())
//!     }
//! }
//!
//! let people = StoreCache::new(Cache::new(10_000), Table::default());
//! people.put(7, "Ann".to_owned()).unwrap();
//! assert_eq!(people.get(&7).unwrap(), Some("Ann".to_owned()));
//! people.delete(7).unwrap();
//! assert_eq!(people.get(&7).unwrap(), None);
//! ```
//!
//! # Promises
//!
//! * **Reads** ask the store once for all who miss a key at the same time.
//!   `Ok(None)` is remembered only with
//!   [`negative_ttl`](StoreBuilder::negative_ttl).
//! * **[`Through`](WritePolicy::Through)**: the store is written before the new
//!   value is visible. An error leaves the cache as it was; an
//!   [ambiguous](Loader::is_ambiguous) one makes it forget the key, and so do a
//!   panic of the store and a task that is dropped while it waits for it. For
//!   one key, the order in the store is the order in the cache.
//! * **[`Around`](WritePolicy::Around)**: the store is written, the cached value
//!   is forgotten, and no load that began before can bring the old one back.
//! * **[`Back`](WritePolicy::Back)**: see [`WriteBack`], also for what may be
//!   lost. Until it is stored, a written value is the truth: reads find it also
//!   after it was evicted, has expired or was invalidated in the cache.
//! * Whatever the policy, **reads see writes**: after `put` has returned, no
//!   read returns an older value of the key, and no reader sees an older value
//!   after a newer one. (What others write to the store itself is seen when
//!   the entry leaves the cache.)
//!
//! No lock is held while the store, a listener or a callback runs, so all of
//! them may use the cache. For threads, a store that writes the very key that
//! it is being written for is told so ([`WriteError::Recursive`]); a task that
//! does so waits for itself, and so does a `flush` without a limit that is
//! called from within the store.
//!
//! # Tasks
//!
//! Over an [`AsyncStore`], use [`build_async`](StoreBuilder::build_async) and
//! the methods that end in `_async`. Any runtime will do: what has to be done
//! later is done by the future that [`flusher`](StoreCache::flusher) returns,
//! which the user spawns.

mod around;
mod back;
mod backend;
mod builder;
mod engine;
mod errors;
mod handle;
mod handle_async;
mod journal;
mod many;
mod policy;
mod read;
mod stats;
mod through;
mod traits;

pub use builder::StoreBuilder;
pub use errors::{
    BuildStoreError, CloseReport, FailedWrite, Failure, FlushError, FlushReport, ReadError,
    StoreFailure, WriteError,
};
pub use handle::StoreCache;
#[cfg(feature = "journal")]
pub use journal::{Codec, CodecError, Durability, Journal, JournalError, JournalOptions, Postcard};
pub use policy::{Overflow, WriteBack, WritePolicy};
pub use stats::StoreStats;
pub use traits::{
    AsyncLoader, AsyncStore, FromAsyncFn, FromFn, Loader, Store, Written, from_async_fn, from_fn,
};

use std::hash::Hash;

/// What a key of a [`StoreCache`] has to be; implemented for all that is.
/// Clones go to the cache and to the queue.
///
/// ```
/// fn is_key<K: larder::store::StoreKey>() {}
/// is_key::<String>();
/// ```
pub trait StoreKey: Hash + Eq + Clone + Send + Sync + 'static {}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> StoreKey for K {}

/// What a value of a [`StoreCache`] has to be; implemented for all that is.
/// Reads and writes clone it, so large values are best behind an
/// [`Arc`](std::sync::Arc).
///
/// ```
/// fn is_value<V: larder::store::StoreValue>() {}
/// is_value::<std::sync::Arc<[u8]>>();
/// ```
pub trait StoreValue: Clone + Send + Sync + 'static {}

impl<V: Clone + Send + Sync + 'static> StoreValue for V {}
