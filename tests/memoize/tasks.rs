//! Async functions, under a runtime and without one.

use crate::Calls;
use larder::memoize;
use std::num::ParseIntError;
use std::sync::Arc;
use tokio::sync::Barrier;

static FETCHES: Calls = Calls::new();

#[memoize(capacity = 100)]
async fn fetch(url: &str, retries: u8) -> Result<String, ParseIntError> {
    FETCHES.add();
    tokio::task::yield_now().await;
    let number: u32 = url.parse()?;
    Ok(format!("{number}/{retries}"))
}

#[test]
fn an_async_function_is_memoized_under_a_bare_executor() {
    pollster::block_on(async {
        assert_eq!(fetch("1", 2).await, Ok("1/2".to_owned()));
        assert_eq!(fetch("1", 2).await, Ok("1/2".to_owned()));
        assert_eq!(FETCHES.take(), 1);
        assert!(fetch("x", 2).await.is_err());
        assert_eq!(fetch::get("1", 2), Some("1/2".to_owned()));
        assert_eq!(fetch::uncached("7", 0).await, Ok("7/0".to_owned()));
    });
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Client(u32);

impl Client {
    #[memoize(include(self))]
    async fn get(&self, path: &str) -> Result<u32, ParseIntError> {
        GETS.add();
        let number: u32 = path.parse()?;
        tokio::task::yield_now().await;
        Ok(number + self.0)
    }

    #[memoize(skip(self), some_only)]
    async fn find(&self, path: String) -> Option<u32> {
        tokio::task::yield_now().await;
        let number: u32 = path.parse().ok()?;
        Some(number + self.0)
    }
}

static GETS: Calls = Calls::new();

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_async_method_is_memoized_in_tasks() {
    let client = Arc::new(Client(1));
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.get(if n % 2 == 0 { "1" } else { "2" }).await })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), Ok(if n % 2 == 0 { 2 } else { 3 }));
    }
    assert_eq!(GETS.take(), 2);
    assert_eq!(client.get("1").await, Ok(2));
    assert!(client.get("x").await.is_err());
    assert_eq!(client.find("3".to_owned()).await, Some(4));
    assert_eq!(client.find("x".to_owned()).await, None);
}

static SLOW: Calls = Calls::new();

#[memoize(skip(all_here))]
async fn slow(n: u32, all_here: Arc<Barrier>) -> u32 {
    SLOW.add();
    all_here.wait().await;
    n
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_call() {
    let all_here = Arc::new(Barrier::new(2));
    let tasks: Vec<_> = (0..8).map(|_| tokio::spawn(slow(1, Arc::clone(&all_here)))).collect();
    // Each of them runs until it waits before this one goes on.
    tokio::task::yield_now().await;
    all_here.wait().await;
    for task in tasks {
        assert_eq!(task.await.unwrap(), 1);
    }
    assert_eq!(SLOW.take(), 1);
}

/// Cannot be cloned, so it cannot be told to those who wait.
#[derive(Debug)]
struct Unclonable;

static FAILING: Calls = Calls::new();

#[memoize(skip(all_here))]
async fn failing(n: u32, all_here: Arc<Barrier>) -> Result<u32, String> {
    FAILING.add();
    all_here.wait().await;
    Err(format!("{n} is bad"))
}

#[memoize(skip(all_here))]
async fn failing_alone(n: u32, all_here: Option<Arc<Barrier>>) -> Result<u32, Unclonable> {
    let _ = n;
    FAILING_ALONE.add();
    if let Some(all_here) = all_here {
        all_here.wait().await;
    }
    Err(Unclonable)
}

static FAILING_ALONE: Calls = Calls::new();

#[tokio::test]
async fn callers_at_the_same_time_share_one_error() {
    let all_here = Arc::new(Barrier::new(2));
    let tasks: Vec<_> = (0..8).map(|_| tokio::spawn(failing(1, Arc::clone(&all_here)))).collect();
    tokio::task::yield_now().await;
    all_here.wait().await;
    for task in tasks {
        assert_eq!(task.await.unwrap(), Err("1 is bad".to_owned()));
    }
    assert_eq!(FAILING.take(), 1);
}

#[tokio::test]
async fn an_error_that_cannot_be_shared_is_had_by_each_caller_for_itself() {
    let all_here = Arc::new(Barrier::new(2));
    let tasks: Vec<_> = (0..4)
        .map(|n| tokio::spawn(failing_alone(1, (n == 0).then(|| Arc::clone(&all_here)))))
        .collect();
    tokio::task::yield_now().await;
    all_here.wait().await;
    for task in tasks {
        assert!(task.await.unwrap().is_err());
    }
    assert_eq!(FAILING_ALONE.take(), 4);
}

fn is_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn the_future_of_a_memoized_function_can_be_sent() {
    drop(is_send(fetch("1", 2)));
    drop(is_send(Client(1).find(String::new())));
}
