//! The journal: what it keeps, for whom, and for how long. What a crash or a
//! damaged disk does to it is in `journal_disk.rs` and `crash.rs`.
#![cfg(feature = "journal")]

#[path = "common/faulty.rs"]
mod faulty;
#[path = "common/folder.rs"]
mod folder;

use faulty::{Faulty, Op};
use folder::Folder;
use larder::store::{
    BuildStoreError, Durability, Journal, JournalError, StoreCache, WriteBack, WritePolicy,
};
use larder::{Cache, ManualClock};
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

type Cached = StoreCache<u32, u64, Arc<Faulty>>;

/// Write-back without a thread that would store anything by itself.
fn journaled(folder: &Folder, store: &Arc<Faulty>) -> Cached {
    let settings = WriteBack::new().workers(0).drop_deadline(Duration::ZERO).max_attempts(1);
    StoreCache::builder(Cache::new(1000), Arc::clone(store))
        .policy(WritePolicy::Back(settings))
        .clock(ManualClock::new())
        .journal(Journal::open(folder.path()).unwrap())
        .build()
        .unwrap()
}

#[test]
fn what_was_not_stored_is_stored_after_the_next_start_in_order_and_once() {
    let (folder, store) = (Folder::new("replay"), Arc::new(Faulty::default()));
    let cache = journaled(&folder, &store);
    for (key, value) in [(1, 10), (2, 20), (1, 11), (3, 30)] {
        cache.put(key, value).unwrap();
    }
    cache.delete(2).unwrap();
    cache.flush_key(&3);
    store.down(true);
    drop(cache);
    assert_eq!(store.history(1), []);

    store.down(false);
    let cache = journaled(&folder, &store);
    assert_eq!(cache.get_many(&[1, 2, 3]).unwrap(), [Some(11), None, Some(30)], "it is the truth");
    assert_eq!(store.loads(1), 0);
    cache.flush();
    assert_eq!(store.history(1), [Op::Write(11)]);
    assert_eq!(store.history(2), [Op::Delete]);
    assert_eq!(store.history(3), [Op::Write(30)], "it was stored before");
    drop(cache);
    assert!(Journal::<u32, u64>::open(folder.path()).unwrap().is_empty());
}

#[test]
fn a_write_that_failed_for_good_is_kept_until_it_is_stored_or_discarded() {
    let (folder, store) = (Folder::new("failed"), Arc::new(Faulty::default()));
    store.fail_writes(1, "poison");
    let cache = journaled(&folder, &store);
    cache.put(1, 10).unwrap();
    assert_eq!(cache.flush().failed, [1]);
    drop(cache);
    let cache = journaled(&folder, &store);
    assert_eq!(cache.flush().failed, [1], "it was tried again");
    cache.put(2, 20).unwrap();
    store.fail_writes(2, "poison");
    assert_eq!(cache.flush().failed.len(), 2);
    store.heal(2);
    assert_eq!(cache.retry_failed(), 2);
    assert_eq!(cache.flush().failed, [1]);
    assert_eq!(cache.discard_failed().len(), 1);
    drop(cache);
    assert!(Journal::<u32, u64>::open(folder.path()).unwrap().is_empty());
}

#[test]
fn what_is_written_after_a_replay_is_newer_than_what_was_replayed() {
    let (folder, store) = (Folder::new("newer"), Arc::new(Faulty::default()));
    store.down(true);
    for value in 1..5 {
        let cache = journaled(&folder, &store);
        assert_eq!(cache.get(&1).unwrap(), (value > 1).then(|| value - 1));
        cache.put(1, value).unwrap();
        drop(cache);
    }
    store.down(false);
    journaled(&folder, &store).flush();
    assert_eq!(store.history(1), [Op::Write(4)]);
}

#[test]
fn the_file_grows_with_what_is_dirty_and_not_with_what_was_written() {
    let (folder, store) = (Folder::new("bounded"), Arc::new(Faulty::default()));
    let options = Journal::options().durability(Durability::Process);
    let cache: Cached = StoreCache::builder(Cache::new(1000), Arc::clone(&store))
        .policy(WritePolicy::Back(WriteBack::new().workers(0)))
        .journal(options.open(folder.path()).unwrap())
        .build()
        .unwrap();
    let size = || fs::metadata(folder.path().join("journal.redb")).unwrap().len();
    let round = |round: u64| {
        for key in 0..50 {
            cache.put(key, round).unwrap();
        }
        cache.flush();
    };
    (0..5).for_each(round);
    let early = size();
    (5..50).for_each(round);
    assert!(size() <= early * 2, "{early} bytes, then {}", size());
}

#[test]
fn writers_of_one_time_share_a_commit_and_each_is_safe_when_its_put_returns() {
    let (folder, store) = (Folder::new("group"), Arc::new(Faulty::default()));
    store.down(true);
    let cache = journaled(&folder, &store);
    thread::scope(|scope| {
        for writer in 0..8 {
            let cache = &cache;
            scope.spawn(move || {
                for value in 0..20 {
                    cache.put(writer, value).unwrap();
                }
            });
        }
    });
    drop(cache);
    let journal = Journal::<u32, u64>::open(folder.path()).unwrap();
    assert_eq!(journal.len(), 8);
}

#[test]
fn a_journal_is_opened_once_at_a_time() {
    let folder = Folder::new("once");
    let first = Journal::<u32, u64>::open(folder.path()).unwrap();
    let second = Journal::<u32, u64>::open(folder.path());
    assert_eq!(second.unwrap_err(), JournalError::InUse);
    drop(first);
    assert!(Journal::<u32, u64>::open(folder.path()).is_ok());
}

#[test]
fn a_journal_needs_write_back() {
    let folder = Folder::new("through");
    let cache = StoreCache::builder(Cache::new(10), Arc::new(Faulty::default()))
        .journal(Journal::open(folder.path()).unwrap())
        .build();
    assert_eq!(cache.unwrap_err(), BuildStoreError::JournalWithoutWriteBack);
}

#[test]
fn a_type_that_the_codec_does_not_read_is_refused_and_nothing_is_lost() {
    let (folder, store) = (Folder::new("codec"), Arc::new(Faulty::default()));
    store.down(true);
    let cache = journaled(&folder, &store);
    cache.put(1, 300).unwrap();
    drop(cache);
    let other = Journal::<u32, (u8, String)>::open(folder.path());
    assert!(matches!(other.unwrap_err(), JournalError::Codec { .. }));
    assert_eq!(Journal::<u32, u64>::open(folder.path()).unwrap().len(), 1);
}
