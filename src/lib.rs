//! A concurrent cache inside your process: bounded exactly by entries, by
//! weight or by both, with a choice of eviction policies and of lifetimes. What
//! was invalidated or has expired is never read again, and every value that
//! leaves can be listened to, in order.
//!
//! # Four examples
//!
//! Bounded by entries. A clone of the handle is the same cache:
//!
//! ```
//! use larder::Cache;
//!
//! let stock: Cache<String, u32> = Cache::new(10_000);
//! stock.insert("pear".to_owned(), 3);
//! let handle = stock.clone();
//! std::thread::spawn(move || handle.insert("plum".to_owned(), 40)).join().unwrap();
//! assert_eq!(stock.get("pear"), Some(3));
//! assert_eq!(stock.get("plum"), Some(40));
//! assert_eq!(stock.get("fig"), None);
//! ```
//!
//! Bounded by weight, here in bytes, with a time to live and a listener that
//! hears what leaves:
//!
//! ```
//! use larder::{Cache, Cause, Eviction};
//! use std::sync::mpsc::channel;
//! use std::time::Duration;
//!
//! let (tell, told) = channel();
//! let pages = Cache::builder()
//!     .weight_capacity(1000)
//!     .weigher(|path: &&str, page: &String| (path.len() + page.len()) as u32)
//!     .time_to_live(Duration::from_secs(600))
//!     .eviction(Eviction::Lru)
//!     .on_removal(move |path, _page, cause| drop(tell.send((*path, cause))))
//!     .build()?;
//! pages.insert("/about", "x".repeat(600));
//! pages.insert("/news", "y".repeat(600));
//! assert_eq!(told.recv(), Ok(("/about", Cause::Size)));
//! assert_eq!(pages.weight(), 605);
//! # Ok::<(), larder::BuildError>(())
//! ```
//!
//! Changing a value in one step that no other writer can come between, and
//! removing a group of entries by a tag:
//!
//! ```
//! use larder::{Cache, Compute, EntryOptions, Outcome};
//!
//! let stock = Cache::new(1000);
//! stock.insert_with("pear", 3, EntryOptions::new().tag("fruit"));
//! let sold = stock.entry("pear").and_compute(|left| match left {
//!     Some(n) if *n > 1 => Compute::Replace(n - 1),
//!     _ => Compute::Remove,
//! });
//! assert_eq!((sold, stock.get("pear")), (Outcome::Replaced, Some(2)));
//! stock.invalidate_tag("fruit");
//! assert_eq!(stock.get("pear"), None);
//! ```
//!
//! Loading what is missing, once for all who ask for it, also from async tasks;
//! and a cache that knows its loader, and reloads what is in use before it
//! expires:
//!
//! ```
//! use larder::Cache;
//! use std::time::Duration;
//!
//! let numbers: Cache<String, u32> = Cache::new(1000);
//! assert_eq!(numbers.try_get_with("3", || "3".parse::<u32>())?, 3);
//!
//! let lengths = Cache::<String, usize>::builder()
//!     .capacity(1000)
//!     .time_to_live(Duration::from_secs(600))
//!     .loader(|key: &String| Ok::<_, std::io::Error>(key.len()))
//!     .refresh_after(Duration::from_secs(60))
//!     .stale_if_error(Duration::from_secs(3600))
//!     .build()?;
//! assert_eq!(lengths.get_or_load("pear")?, 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it behaves
//!
//! * **Bounds** are exact: a [`capacity`](Builder::capacity) of 1000 means
//!   1000. Room is paid for before an entry becomes visible, so the cache does
//!   not exceed its bounds for a moment either. Shards lend each other room: an
//!   entry is refused only if it is heavier than the whole
//!   [`weight_capacity`](Builder::weight_capacity).
//! * **Eviction** follows the [`Eviction`] policy of the cache. FIFO, LRU and
//!   LFU choose the textbook victim when used from one thread with one shard;
//!   across shards, each chooses among its own.
//! * **Lifetimes**, by [`time_to_live`](Builder::time_to_live),
//!   [`time_to_idle`](Builder::time_to_idle), an [`Expiry`] or
//!   [`EntryOptions`], end on time for every reader; the value is freed by later
//!   writes, by [`run_maintenance`](Cache::run_maintenance), or by a thread if
//!   one is [asked for](Builder::maintenance). The [`Clock`] can be replaced.
//! * **Invalidation** is a promise: after [`invalidate`](Cache::invalidate),
//!   [`invalidate_if`](Cache::invalidate_if),
//!   [`invalidate_tag`](Cache::invalidate_tag) or
//!   [`invalidate_all`](Cache::invalidate_all) returns, no value it applies to
//!   that was written before the call is read again. A write that overlaps the
//!   call may count as later. The last two do not walk over the entries: these
//!   are freed when their shard next does anything.
//! * **Computations** of one key come one after the other; other writers of the
//!   key wait for them, readers do not ([`Entry`]). A computation that would
//!   wait for itself is told so instead of hanging.
//! * **Loads** ([`get_with`](Cache::get_with) and its kin) of one key are one,
//!   whoever asks: threads, tasks of any runtime, calls for many keys at once.
//!   All who wait share the value or the error; if the leader panics or is
//!   dropped, one of them goes on. A write or an invalidation during a load
//!   wins: those who wait get the loaded value, but it is not stored. A loader
//!   that asks for its own key is told so. Loaders of several threads that wait
//!   for each other in a circle are not found out: they wait until the
//!   [limit](Builder::load_timeout) that was set, and for ever if none was.
//! * **Reloads** of a [`LoadingCache`] run in the background, where its
//!   [spawner](LoadingBuilder::spawner) says.
//! * **Listeners** ([`on_removal`](Builder::on_removal)) hear of every value
//!   that leaves once, with its [`Cause`], and of one key in order. No lock is
//!   held: they may use the cache.
//! * **Panics** in a closure, a listener, a weigher, `Hash`, `Eq`, `Clone` or
//!   `Drop` leave every other key intact, no lock held and nobody waiting. A
//!   listener's panic is [counted](Stats::listener_panics) and goes no further;
//!   others reach the caller.
//! * **Async** tasks use the same methods, and those that end in `_async` where
//!   there is something to wait for. The others wait for short locks, and for
//!   computations of the very same key, but for nothing else.
//! * **Stores**: [`store`] puts a cache in front of a database, with
//!   write-through, write-around or write-back; [`Aside`] keeps one beside it,
//!   and leaves the statements to you.
//!
//! # Features and what they cost
//!
//! Nothing is on by default; larder then brings 13 other crates, none of them a
//! proc macro.
//!
//! * `serde`: `Serialize` and `Deserialize` for [`Stats`], [`Eviction`] and
//!   [`Cause`]. 7 more crates, one of them a proc macro.
//! * `journal`: a journal for write-back, so that what was acknowledged
//!   survives a crash (`store::Journal`). 12 more crates, two of them proc
//!   macros.
//! * `macros`: `#[memoize]` on functions. 5 more crates, one of them a proc
//!   macro: syn 3 and what goes with it, the same that `serde` brings. A debug
//!   build with larder and its dependencies took 12 s of processor time with
//!   it; each further function of the same types adds 7 ms.
//!
//! # Map
//!
//! ```text
//!   face     cache, loading, store, aside, builder   what users call
//!   shard    shard                                   one lock and what it guards
//!   rooms    policy  expiry  flight  listener  claim  tags  stats  …
//!   ground   index  slab  slot                       positions, not keys
//! ```
//!
//! ARCHITECTURE.md in the repository says what each of these promises, and
//! follows a read and a write through them.
#![deny(unsafe_code)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("larder counts on addresses of 64 bits");

#[cfg(feature = "macros")]
#[doc(hidden)]
#[path = "memo/mod.rs"]
pub mod __private;
mod alarm;
mod aside;
mod budget;
mod builder;
mod cache;
mod claim;
mod expiry;
mod flight;
#[cfg(larder_fuzz)]
#[doc(hidden)]
pub mod fuzzing;
mod hash;
#[expect(unsafe_code, reason = "records that outlive their threads; what they buy: benches/get.rs")]
mod hazard;
#[expect(unsafe_code, reason = "a table that is replaced under its readers")]
mod index;
mod inside;
mod listener;
mod loading;
mod maintenance;
mod policy;
mod shard;
#[expect(unsafe_code, reason = "cells that are read without a lock")]
mod slab;
mod slot;
mod spawn;
mod stats;
mod steady;
pub mod store;
#[cfg_attr(larder_loom, expect(unsafe_code, reason = "what loom looks into"))]
mod sync;
mod tags;
#[expect(unsafe_code, reason = "the proofs that index, slab and hazard ask for")]
mod vault;
mod wait;

pub use aside::{Aside, Touched};
pub use builder::{BuildError, Builder};
pub use cache::entry::{Compute, ComputeError, Entry, Outcome};
pub use cache::iter::Iter;
pub use cache::load::{Load, LoadError, ToKey};
pub use cache::{Cache, EntryOptions};
pub use equivalent::Equivalent;
pub use expiry::{
    Clock, Expiry, ManualClock, SystemClock, after_access, after_create, after_write,
};
pub use hash::{DefaultHashBuilder, DefaultHasher};
#[cfg(feature = "macros")]
pub use larder_macros::memoize;
pub use listener::Cause;
pub use loading::{LoadingBuilder, LoadingCache};
pub use policy::{Eviction, ParseEvictionError};
pub use spawn::{Inline, Spawn, Task};
pub use stats::Stats;

/// The README's examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
