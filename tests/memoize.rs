//! Memoized functions, as their users see them.
#![cfg(feature = "macros")]
#![deny(warnings, clippy::pedantic)]
use larder::memoize;
use std::sync::atomic::{AtomicU32, Ordering};

#[memoize]
fn fib(n: u64) -> u64 {
    if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
}

static CALLS: AtomicU32 = AtomicU32::new(0);

#[memoize(capacity = 10, eviction = "lru", ttl = "5m", record_stats)]
fn area(name: &str, (w, h): (u32, u32)) -> std::io::Result<String> {
    CALLS.fetch_add(1, Ordering::Relaxed);
    if w == 0 {
        return Err(std::io::Error::other("flat"));
    }
    Ok(format!("{name}: {}", w * h))
}

#[memoize(some_only, negative_ttl = "1s")]
async fn find<T: Clone + Eq + std::hash::Hash + Send + Sync + 'static>(
    t: &T,
    n: Vec<u8>,
) -> Option<T> {
    if n.is_empty() { None } else { Some(t.clone()) }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Shape(u32);
impl Shape {
    #[memoize(include(self), name = wide)]
    fn wide(&self, by: u32) -> u32 {
        self.0 * by
    }
    #[memoize(skip(self))]
    async fn narrow(&self, by: &str) -> Result<u32, std::num::ParseIntError> {
        let n: u32 = by.parse()?;
        Ok(n)
    }
    #[memoize(associated, tags = [by.to_string()])]
    fn assoc(by: u32) -> u32 {
        by
    }
}

#[memoize(key = (a, b))]
fn picked(a: &str, b: u64, _c: &mut u32) -> u64 {
    a.len() as u64 + b
}
#[memoize(key: u64 = a.len() as u64)]
fn keyed(a: &str) -> u64 {
    a.len() as u64
}
static C: std::sync::LazyLock<larder::Cache<u64, u64>> =
    std::sync::LazyLock::new(|| larder::Cache::new(3));
#[memoize(cache = C, name = Other)]
fn shared(a: u64) -> u64 {
    a
}

#[test]
fn smoke() {
    assert_eq!(fib(80), 23_416_728_348_467_685);
    assert_eq!(fib::cache().len(), 81);
    assert_eq!(area("x", (2, 3)).unwrap(), "x: 6");
    assert_eq!(area("x", (2, 3)).unwrap(), "x: 6");
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    assert!(area("x", (0, 3)).is_err());
    assert!(area("x", (0, 3)).is_err());
    assert_eq!(CALLS.load(Ordering::Relaxed), 3);
    assert_eq!(pollster::block_on(find(&3, vec![1])), Some(3));
    assert_eq!(find::cache::<i32>().len(), 1);
    assert_eq!(Shape(3).wide(4), 12);
    assert_eq!(Shape(3).wide(4), 12);
    assert_eq!(pollster::block_on(Shape(3).narrow("4")), Ok(4));
    assert_eq!(Shape::assoc(4), 4);
    assert_eq!(Shape::wide_cache().len(), 1);
}
