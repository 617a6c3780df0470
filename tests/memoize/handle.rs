//! What stands beside a memoized function.

use crate::Calls;
use larder::{Cache, memoize};
use std::sync::LazyLock;

mod inner {
    //! Both the function and its handle are imported by its name.

    /// Squares.
    #[larder::memoize(record_stats)]
    #[must_use]
    pub(crate) fn square(n: u64) -> u64 {
        super::SQUARES.add();
        n * n
    }
}

use inner::square;

static SQUARES: Calls = Calls::new();

#[test]
fn the_handle_reaches_the_cache_and_the_function() {
    let calls = || SQUARES.take();
    assert_eq!((square::get(3), calls()), (None, 0));
    assert_eq!((square(3), square(3), calls()), (9, 9, 1));
    assert_eq!(square::get(3), Some(9));
    square::prime(4, 17);
    assert_eq!((square(4), calls()), (17, 0));
    assert_eq!((square::uncached(4), calls(), square(4)), (16, 1, 17));
    square::invalidate(4);
    assert_eq!((square(4), square(3), calls()), (16, 9, 1));
    square::invalidate_all();
    assert_eq!((square(4), square(3), calls()), (16, 9, 2));
    let stats = square::stats();
    assert_eq!((stats.entries, stats.inserts), (2, 5));
    assert_eq!(stats.hits, square::cache().stats().hits);
    assert!(stats.hits >= 5, "{stats:?}");
}

#[memoize(name = Cubes)]
fn cube(n: u64) -> u64 {
    n * n * n
}

#[test]
fn the_handle_may_have_a_name_of_its_own() {
    assert_eq!(cube(2), 8);
    assert_eq!(Cubes::get(2), Some(8));
}

static SHARED: LazyLock<Cache<u64, u64>> = LazyLock::new(|| Cache::new(100));

#[memoize(cache = SHARED, tags = "doubles")]
fn double(n: u64) -> u64 {
    n * 2
}

#[memoize(cache = SHARED, key = n + 1000)]
fn triple(n: u64) -> u64 {
    n * 3
}

#[test]
fn functions_may_share_a_cache_that_exists() {
    assert_eq!((double(2), triple(2)), (4, 6));
    assert_eq!((SHARED.get(&2), SHARED.get(&1002)), (Some(4), Some(6)));
    assert_eq!((double::get(2), triple::get(2)), (Some(4), Some(6)));
    SHARED.invalidate_tag("doubles");
    assert_eq!((double::get(2), triple::get(2)), (None, Some(6)));
    triple::invalidate(2);
    assert_eq!(SHARED.get(&1002), None);
}

#[memoize]
fn fib(n: u32) -> u64 {
    if n < 2 { u64::from(n) } else { fib(n - 1) + fib(n - 2) }
}

#[test]
fn a_function_may_call_itself_with_other_arguments() {
    assert_eq!(fib(90), 2_880_067_194_370_816_120);
    assert_eq!(fib::cache().len(), 91);
}

#[memoize]
fn endless(n: u32) -> u32 {
    endless(n) + 1
}

#[memoize]
fn endlessly_failing(n: u32) -> Result<u32, String> {
    endlessly_failing(n).map(|n| n + 1)
}

#[test]
#[should_panic(expected = "asked for the very key that it loads")]
fn a_function_that_calls_itself_with_the_same_arguments_panics() {
    endless(1);
}

#[test]
#[should_panic(expected = "asked for the very key that it loads")]
fn a_fallible_function_that_calls_itself_with_the_same_arguments_panics() {
    let _ = endlessly_failing(1);
}

static HALVES: Calls = Calls::new();

#[memoize]
fn half(n: u32) -> u32 {
    HALVES.add();
    assert!(n % 2 == 0, "{n} is odd");
    n / 2
}

#[test]
fn a_panic_reaches_the_caller_and_is_not_cached() {
    for _ in 0..2 {
        assert!(std::panic::catch_unwind(|| half(3)).is_err());
        assert_eq!(HALVES.take(), 1);
    }
    assert_eq!(half(4), 2);
}
