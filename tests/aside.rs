//! Cache-aside: whatever becomes of a statement, no read after it sees what was
//! there before, and no load that began before it brings that back.

#[path = "common/quiet.rs"]
mod quiet;

use larder::{Aside, Cache, EntryOptions, Touched};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

/// One row, and how often it was asked for.
#[derive(Default)]
struct Row {
    value: AtomicU64,
    selects: AtomicUsize,
}

impl Row {
    fn select(&self) -> Result<Option<u64>, String> {
        self.selects.fetch_add(1, Ordering::SeqCst);
        Ok(Some(self.value.load(Ordering::SeqCst)))
    }
    fn update(&self, value: u64) -> Result<(), String> {
        self.value.store(value, Ordering::SeqCst);
        Ok(())
    }
}

type Table = Aside<u32, u64, Row>;

fn table() -> Table {
    Aside::new(Cache::new(100), Row::default())
}

#[test]
fn a_row_is_read_once_and_again_after_it_was_written() {
    let table = table();
    for _ in 0..3 {
        assert_eq!(table.read(&1, Row::select).unwrap(), Some(0));
    }
    table.write(&1, |row| row.update(7)).unwrap();
    assert_eq!(table.read(&1, Row::select).unwrap(), Some(7));
    assert_eq!(table.db().selects.load(Ordering::SeqCst), 2);
}

#[test]
fn a_load_that_began_before_the_commit_does_not_bring_the_old_row_back() {
    for by_tag in [false, true] {
        let table = table();
        let (has_read, await_read) = mpsc::channel();
        let (commit, await_commit) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let table = &table;
            let reader = scope.spawn(move || {
                let options = EntryOptions::new().tag("row");
                table.read_with(&1, options, |row| {
                    let old = row.select();
                    has_read.send(()).unwrap();
                    await_commit.recv().unwrap();
                    old
                })
            });
            await_read.recv().unwrap();
            let touched = if by_tag { Touched::tag("row") } else { Touched::key(1) };
            table.write(touched, |row| row.update(7)).unwrap();
            assert_eq!(table.read(&1, Row::select).unwrap(), Some(7), "it waits for no old load");
            commit.send(()).unwrap();
            let old = reader.join().unwrap().unwrap();
            assert!(old == Some(0) || old == Some(7), "who asked before may see either");
        });
        assert_eq!(table.read(&1, Row::select).unwrap(), Some(7));
    }
}

#[test]
fn a_statement_that_fails_or_panics_invalidates_all_the_same() {
    quiet::keep_quiet_about("in the middle of it");
    let table = table();
    table.read(&1, Row::select).unwrap();
    let failed = table.write(&1, |row| {
        row.update(7).unwrap();
        Err::<(), _>("the connection broke after the commit")
    });
    assert!(failed.is_err());
    assert_eq!(table.read(&1, Row::select).unwrap(), Some(7));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        table.write(&1, |row| -> Result<(), String> {
            row.update(8).unwrap();
            panic!("in the middle of it");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(table.read(&1, Row::select).unwrap(), Some(8));
}

#[test]
fn a_read_that_fails_caches_nothing_and_a_missing_row_only_if_told_so() {
    let table = table();
    assert!(table.read(&1, |_| Err::<Option<u64>, _>("down".to_owned())).is_err());
    assert_eq!(table.read(&1, |_| Ok::<_, String>(None)).unwrap(), None);
    assert_eq!(table.read(&1, Row::select).unwrap(), Some(0), "it asked again");
    let table = table.clone_with_memory();
    assert_eq!(table.read(&2, |_| Ok::<_, String>(None)).unwrap(), None);
    assert_eq!(table.read(&2, Row::select).unwrap(), None, "it remembers");
    table.write(&2, |_| Ok::<_, String>(())).unwrap();
    assert_eq!(table.read(&2, Row::select).unwrap(), Some(0));
}

trait WithMemory {
    fn clone_with_memory(&self) -> Table;
}

impl WithMemory for Table {
    fn clone_with_memory(&self) -> Table {
        table().negative_ttl(Duration::from_secs(3600))
    }
}

#[test]
fn a_write_touches_keys_tags_or_everything() {
    let table = table();
    let fill = || {
        for key in 1..=4 {
            let tag = if key % 2 == 0 { "even" } else { "odd" };
            table.read_with(&key, EntryOptions::new().tag(tag), Row::select).unwrap();
        }
    };
    let left_after = |touched: Touched<u32>| {
        fill();
        table.write(touched, |_| Ok::<_, String>(())).unwrap();
        (1..=4).filter(|key| table.cache().contains_key(key)).collect::<Vec<u32>>()
    };
    assert_eq!(left_after(Touched::from([1, 3])), [2, 4]);
    assert_eq!(left_after(Touched::from(vec![2])), [1, 3, 4]);
    assert_eq!(left_after(Touched::tag("even")), [1, 3]);
    assert_eq!(left_after(Touched::key(1).and_tag("even").and_key(9)), [3]);
    assert_eq!(left_after(Touched::all()), [0; 0]);
}

#[test]
fn a_task_that_is_dropped_in_a_statement_invalidates_too() {
    let table = table();
    pollster::block_on(table.read_async(&1, async |row| row.select())).unwrap();
    {
        let mut write = pin!(table.write_async(&1, async |row| {
            row.update(7).unwrap();
            poll_fn(|_| Poll::<()>::Pending).await;
            Ok::<_, String>(())
        }));
        let polled = write.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        assert_eq!(table.cache().peek(&1), Some(0));
    }
    let read = pollster::block_on(table.read_async(&1, async |row| row.select()));
    assert_eq!(read.unwrap(), Some(7));
}
