//! 64 tasks ask for the same missing key, and the source is slow: what the
//! source sees, and how long each task waits, with and without single flight.
//!
//! ```sh
//! cargo run --release --example stampede
//! ```

use larder::Cache;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Barrier, Semaphore};

const TASKS: usize = 64;

/// A source that takes 20 ms for an answer, and gives 4 at a time.
#[derive(Clone)]
struct Source {
    calls: Arc<AtomicUsize>,
    places: Arc<Semaphore>,
}

impl Source {
    fn new() -> Self {
        Source { calls: Arc::default(), places: Arc::new(Semaphore::new(4)) }
    }

    async fn ask(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let _place = self.places.acquire().await.expect("it is never closed");
        let work = || std::thread::sleep(Duration::from_millis(20));
        tokio::task::spawn_blocking(work).await.expect("sleeping does not panic");
        42
    }
}

async fn with_single_flight(cache: Cache<String, u64>, source: Source) -> u64 {
    cache.get_with_async("answer", source.ask()).await
}

async fn without(cache: Cache<String, u64>, source: Source) -> u64 {
    if let Some(answer) = cache.get("answer") {
        return answer;
    }
    let answer = source.ask().await;
    cache.insert("answer".to_owned(), answer);
    answer
}

/// Lets all tasks ask at the same time; returns how long each of them waited,
/// in order, and how often the source was asked.
async fn stampede<F>(ask: fn(Cache<String, u64>, Source) -> F) -> (Vec<Duration>, usize)
where
    F: Future<Output = u64> + Send + 'static,
{
    let (cache, source) = (Cache::new(100), Source::new());
    let start = Arc::new(Barrier::new(TASKS));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (asking, start) = (ask(cache.clone(), source.clone()), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                let begin = Instant::now();
                assert_eq!(asking.await, 42);
                begin.elapsed()
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.push(task.await.expect("no task panics"));
    }
    latencies.sort();
    (latencies, source.calls.load(Ordering::Relaxed))
}

fn print(name: &str, latencies: &[Duration], calls: usize) {
    let millis = |latency: Duration| latency.as_secs_f64() * 1000.0;
    let (half, last) = (latencies[TASKS / 2], latencies[TASKS - 1]);
    println!("{name}");
    println!("  calls of the source  {calls:>6}");
    println!(
        "  latency              {:>6.1} ms median, {:.1} ms worst",
        millis(half),
        millis(last)
    );
    for (from, to) in
        [(0, 50), (50, 100), (100, 150), (150, 200), (200, 250), (250, 300), (300, u128::MAX)]
    {
        let count = latencies.iter().filter(|l| (from..to).contains(&l.as_millis())).count();
        println!("  from {from:>3} ms  {:<64} {count}", "█".repeat(count));
    }
    println!();
}

#[tokio::main]
async fn main() {
    println!(
        "{TASKS} tasks ask for one key; the source takes 20 ms, and gives 4 answers at a time\n"
    );
    let (latencies, calls) = stampede(without).await;
    print("without single flight", &latencies, calls);
    let (latencies, calls) = stampede(with_single_flight).await;
    print("with single flight", &latencies, calls);
}
