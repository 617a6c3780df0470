//! Tasks: the same promises over an asynchronous store, and what is special to
//! tasks, which may be dropped at any point.

use larder::Cache;
use larder::store::{
    AsyncLoader, AsyncStore, Overflow, StoreCache, WriteBack, WriteError, WritePolicy,
};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

type Cached = StoreCache<u32, u64, Arc<Table>>;

/// A table whose calls wait while the gate is shut.
#[derive(Default)]
struct Table(Mutex<State>);

#[derive(Default)]
struct State {
    rows: BTreeMap<u32, u64>,
    history: Vec<(u32, Option<u64>)>,
    is_shut: bool,
    waiting: Vec<Waker>,
    error: Option<&'static str>,
}

impl Table {
    fn shut(&self, is_shut: bool) {
        let mut state = self.0.lock().unwrap();
        state.is_shut = is_shut;
        state.waiting.drain(..).for_each(Waker::wake);
    }
    fn fail(&self, error: Option<&'static str>) {
        self.0.lock().unwrap().error = error;
    }
    fn value(&self, key: u32) -> Option<u64> {
        self.0.lock().unwrap().rows.get(&key).copied()
    }
    fn history(&self) -> Vec<(u32, Option<u64>)> {
        self.0.lock().unwrap().history.clone()
    }
    async fn gate(&self) {
        poll_fn(|cx| {
            let mut state = self.0.lock().unwrap();
            if state.is_shut {
                state.waiting.push(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
    async fn change(&self, key: u32, value: Option<u64>) -> Result<(), String> {
        self.gate().await;
        let mut state = self.0.lock().unwrap();
        if let Some(error) = state.error {
            return Err(error.to_owned());
        }
        state.history.push((key, value));
        match value {
            Some(value) => state.rows.insert(key, value),
            None => state.rows.remove(&key),
        };
        Ok(())
    }
}

impl AsyncLoader<u32, u64> for Table {
    type Error = String;
    async fn load(&self, key: &u32) -> Result<Option<u64>, String> {
        self.gate().await;
        Ok(self.value(*key))
    }
    fn is_ambiguous(&self, error: &String) -> bool {
        error == "timeout"
    }
}

impl AsyncStore<u32, u64> for Table {
    async fn write(&self, key: &u32, value: &u64) -> Result<(), String> {
        self.change(*key, Some(*value)).await
    }
    async fn delete(&self, key: &u32) -> Result<(), String> {
        self.change(*key, None).await
    }
}

fn over(table: &Arc<Table>, policy: WritePolicy) -> Cached {
    let builder = StoreCache::builder(Cache::new(100), Arc::clone(table)).policy(policy);
    builder.build_async().unwrap()
}

fn policies() -> [WritePolicy; 3] {
    [WritePolicy::Through, WritePolicy::Around, WritePolicy::Back(WriteBack::new())]
}

/// Polls once, and says whether it has ended.
fn poke<F: Future>(future: Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn the_futures_may_be_sent_between_threads() {
    fn is_send<F: Future + Send>(_: F) {}
    let cache = over(&Arc::default(), WritePolicy::Through);
    is_send(cache.get_async(&1));
    is_send(cache.get_many_async(&[1]));
    is_send(cache.put_async(1, 1));
    is_send(cache.put_many_async(vec![(1, 1)]));
    is_send(cache.delete_async(1));
    is_send(cache.flush_async());
    is_send(cache.close_async(Duration::ZERO));
    is_send(cache.flusher());
}

#[test]
fn reads_see_writes_and_deletes_under_every_policy() {
    pollster::block_on(async {
        for policy in policies() {
            let table = Arc::new(Table::default());
            let cache = over(&table, policy);
            cache.put_async(1, 10).await.unwrap();
            assert_eq!(cache.get_async(&1).await.unwrap(), Some(10));
            cache.delete_async(1).await.unwrap();
            assert_eq!(cache.get_async(&1).await.unwrap(), None);
            let outcomes = cache.put_many_async(vec![(1, 11), (2, 20)]).await;
            assert!(outcomes.iter().all(Result::is_ok));
            assert_eq!(cache.get_many_async(&[1, 2, 3]).await.unwrap(), [Some(11), Some(20), None]);
            assert!(cache.flush_async().await.failed.is_empty());
            assert_eq!((table.value(1), table.value(2)), (Some(11), Some(20)));
            assert!(cache.close_async(Duration::MAX).await.is_clean());
            assert!(matches!(cache.put_async(1, 12).await, Err(WriteError::Closed)));
        }
    });
}

#[test]
fn an_ambiguous_error_forgets_the_key_and_another_changes_nothing() {
    pollster::block_on(async {
        let table = Arc::new(Table::default());
        let cache = over(&table, WritePolicy::Through);
        cache.put_async(1, 10).await.unwrap();
        table.fail(Some("refused"));
        assert!(matches!(cache.put_async(1, 11).await, Err(WriteError::Store(_))));
        assert_eq!(cache.cache().peek(&1), Some(10));
        table.fail(Some("timeout"));
        assert!(matches!(cache.put_async(1, 12).await, Err(WriteError::Ambiguous(_))));
        assert_eq!(cache.cache().peek(&1), None);
    });
}

#[test]
fn a_write_that_is_dropped_while_the_store_works_forgets_the_key_and_lets_others_go_on() {
    for policy in [WritePolicy::Through, WritePolicy::Around] {
        let table = Arc::new(Table::default());
        let cache = over(&table, policy);
        pollster::block_on(cache.put_async(1, 10)).unwrap();
        pollster::block_on(cache.get_async(&1)).unwrap();
        table.shut(true);
        {
            let mut put = pin!(cache.put_async(1, 11));
            assert!(!poke(put.as_mut()), "it waits for the store");
            assert_eq!(cache.cache().peek(&1), Some(10));
        }
        assert_eq!(cache.cache().peek(&1), None, "nobody knows what the store has");
        table.shut(false);
        pollster::block_on(cache.put_async(1, 12)).unwrap();
        assert_eq!(pollster::block_on(cache.get_async(&1)).unwrap(), Some(12));
    }
}

#[test]
fn a_writer_that_gives_up_waiting_for_its_turn_is_passed_over() {
    let table = Arc::new(Table::default());
    let cache = over(&table, WritePolicy::Through);
    table.shut(true);
    let mut first = pin!(cache.put_async(1, 1));
    assert!(!poke(first.as_mut()));
    {
        let mut second = pin!(cache.put_async(1, 2));
        assert!(!poke(second.as_mut()));
    }
    let mut third = pin!(cache.put_async(1, 3));
    assert!(!poke(third.as_mut()));
    table.shut(false);
    assert!(poke(first.as_mut()));
    assert!(poke(third.as_mut()));
    assert_eq!(table.history(), [(1, Some(1)), (1, Some(3))]);
}

#[test]
fn a_flusher_that_is_dropped_in_the_middle_of_a_batch_gives_it_back() {
    let table = Arc::new(Table::default());
    let cache = over(&table, WritePolicy::Back(WriteBack::new().delay(Duration::ZERO)));
    pollster::block_on(cache.put_async(1, 10)).unwrap();
    table.shut(true);
    {
        let mut flusher = Box::pin(cache.flusher());
        assert!(!poke(flusher.as_mut()), "it waits for the store");
    }
    assert_eq!(cache.stats().dirty, 1);
    table.shut(false);
    assert!(pollster::block_on(cache.flush_async()).failed.is_empty());
    assert_eq!(table.history(), [(1, Some(10))]);
}

#[test]
fn a_flusher_that_has_not_begun_stores_what_the_last_handle_leaves() {
    let table = Arc::new(Table::default());
    let cache = over(&table, WritePolicy::Back(WriteBack::new().delay(Duration::from_secs(3600))));
    let (flusher, other) = (cache.flusher(), cache.flusher());
    pollster::block_on(cache.put_async(1, 10)).unwrap();
    drop(other);
    drop(cache);
    assert_eq!(table.value(1), None);
    pollster::block_on(flusher);
    assert_eq!(table.value(1), Some(10));
    // One that never begins leaves nobody: it is told what is lost.
    let lost = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&lost);
    let cache = StoreCache::builder(Cache::new(100), Arc::clone(&table))
        .policy(WritePolicy::Back(WriteBack::new()))
        .on_dead_letter(move |write| told.lock().unwrap().push(write.key))
        .build_async()
        .unwrap();
    let flusher = cache.flusher();
    pollster::block_on(cache.put_async(2, 20)).unwrap();
    drop(cache);
    assert_eq!(*lost.lock().unwrap(), [0; 0]);
    drop(flusher);
    assert_eq!(*lost.lock().unwrap(), [2]);
}

#[test]
fn a_full_queue_is_emptied_whatever_the_delay() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let table = Arc::new(Table::default());
        let timeout = Duration::from_secs(60);
        let settings = WriteBack::new().delay(Duration::from_secs(3600)).batch(100).max_dirty(4);
        let settings = settings.overflow(Overflow::Block { timeout });
        let cache = over(&table, WritePolicy::Back(settings));
        let flusher = tokio::spawn(cache.flusher());
        for key in 0..40 {
            cache.put_async(key, u64::from(key)).await.unwrap();
        }
        assert!(table.value(35).is_some(), "nobody waited for the delay");
        drop(cache);
        flusher.await.unwrap();
        assert_eq!(table.value(39), Some(39));
    });
}

#[test]
fn a_flush_is_taken_over_when_the_only_flusher_goes() {
    let table = Arc::new(Table::default());
    let cache = over(&table, WritePolicy::Back(WriteBack::new().delay(Duration::ZERO)));
    table.shut(true);
    pollster::block_on(cache.put_async(1, 10)).unwrap();
    let mut flusher = Box::pin(cache.flusher());
    assert!(!poke(flusher.as_mut()));
    let mut flush = pin!(cache.flush_async());
    assert!(!poke(flush.as_mut()), "the flusher is at it");
    drop(flusher);
    table.shut(false);
    while !poke(flush.as_mut()) {}
    assert_eq!(table.value(1), Some(10));
}

#[test]
fn flushers_store_what_is_due_and_end_when_the_last_handle_goes() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let table = Arc::new(Table::default());
        let settings = WriteBack::new().delay(Duration::from_millis(1)).batch(8);
        let cache = over(&table, WritePolicy::Back(settings));
        let flushers = [tokio::spawn(cache.flusher()), tokio::spawn(cache.flusher())];
        let writers: Vec<_> = (0..4_u32)
            .map(|key| {
                let cache = cache.clone();
                tokio::spawn(async move {
                    for value in 0..200 {
                        cache.put_async(key, value).await.unwrap();
                        assert_eq!(cache.get_async(&key).await.unwrap(), Some(value));
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        drop(cache);
        for flusher in flushers {
            flusher.await.unwrap();
        }
        assert_eq!((0..4).map(|key| table.value(key)).collect::<Vec<_>>(), [Some(199); 4]);
        let mut last = BTreeMap::new();
        for (key, value) in table.history() {
            assert!(last.insert(key, value) < Some(value), "{key} went back to {value:?}");
        }
    });
}

#[test]
fn what_a_dropped_cache_leaves_without_a_flusher_is_told() {
    let table = Arc::new(Table::default());
    let dead: Arc<Mutex<Vec<u32>>> = Arc::default();
    let cache = StoreCache::builder(Cache::new(100), Arc::clone(&table))
        .policy(WritePolicy::Back(WriteBack::new()))
        .on_dead_letter({
            let dead = Arc::clone(&dead);
            move |write: larder::store::FailedWrite<u32, u64>| dead.lock().unwrap().push(write.key)
        })
        .build_async()
        .unwrap();
    pollster::block_on(cache.put_async(1, 10)).unwrap();
    drop(cache);
    assert_eq!(*dead.lock().unwrap(), [1]);
    assert_eq!(table.value(1), None);
}

#[test]
fn a_task_that_waits_for_room_gets_it_or_is_told_in_time() {
    let table = Arc::new(Table::default());
    let block = |timeout| {
        let settings = WriteBack::new().max_dirty(1).delay(Duration::ZERO);
        over(&table, WritePolicy::Back(settings.overflow(Overflow::Block { timeout })))
    };
    let cache = block(Duration::MAX);
    pollster::block_on(cache.put_async(1, 10)).unwrap();
    let mut put = pin!(cache.put_async(2, 20));
    assert!(!poke(put.as_mut()), "full");
    pollster::block_on(cache.flush_async());
    assert!(poke(put.as_mut()));
    // The alarm wakes the task: nothing else does.
    let cache = block(Duration::from_millis(1));
    pollster::block_on(cache.put_async(1, 10)).unwrap();
    let late = pollster::block_on(cache.put_async(2, 20));
    assert!(matches!(late, Err(WriteError::TimedOut { dirty: 1, .. })));
}
