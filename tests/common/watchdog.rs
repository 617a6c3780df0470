//! Fails a test that hangs, instead of letting it hang.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// No measure of speed: what does not end by then never will, even on a busy
/// machine under a sanitizer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `work` in a thread of its own, and returns its result or its panic.
///
/// # Panics
/// If `work` hangs. Its thread is then left behind.
pub fn must_end<R: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> R + Send + 'static,
) -> thread::Result<R> {
    let (waiter, has_ended) = (thread::current(), Arc::new(AtomicBool::new(false)));
    let worker = thread::spawn({
        let has_ended = Arc::clone(&has_ended);
        move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            has_ended.store(true, Ordering::Release);
            waiter.unpark();
            result
        }
    });
    let deadline = Instant::now() + PATIENCE;
    while !has_ended.load(Ordering::Acquire) {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "this hangs: {what}");
        thread::park_timeout(left);
    }
    worker.join().and_then(|result| result)
}
