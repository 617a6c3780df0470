//! What of a returned value is kept.

use crate::Calls;
use larder::{ManualClock, memoize};
use std::io;
use std::num::ParseIntError;
use std::sync::LazyLock;
use std::time::Duration;

static PARSED: Calls = Calls::new();

#[memoize]
fn parsed(text: &str) -> Result<u32, ParseIntError> {
    PARSED.add();
    text.parse()
}

#[test]
fn an_error_comes_back_as_it_is_and_is_not_cached() {
    assert_eq!((parsed("3"), parsed("3")), (Ok(3), Ok(3)));
    assert_eq!(PARSED.take(), 1);
    assert_eq!(parsed("x"), "x".parse::<u32>());
    assert_eq!(parsed("x"), "x".parse::<u32>());
    assert_eq!(PARSED.take(), 2);
    assert_eq!(parsed::cache().get("3"), Some(3), "the cache holds what is in `Ok`");
}

/// Neither `Clone` nor `Send`.
#[derive(Debug)]
struct Local(std::rc::Rc<str>);

#[memoize]
fn local(n: u32) -> Result<u32, Local> {
    if n == 0 { Err(Local("zero".into())) } else { Ok(n) }
}

#[memoize]
fn file(path: &str) -> io::Result<String> {
    std::fs::read_to_string(path)
}

#[memoize]
fn boxed(n: u32) -> Result<u32, Box<dyn std::error::Error>> {
    if n == 0 { Err("zero".into()) } else { Ok(n) }
}

#[test]
fn an_error_may_be_of_any_type() {
    assert_eq!(&*local(0).unwrap_err().0, "zero");
    assert_eq!(local(1).unwrap(), 1);
    assert_eq!(file("no such file").unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(boxed(0).unwrap_err().to_string(), "zero");
    assert_eq!(boxed(1).unwrap(), 1);
}

type Fetched<T> = Result<T, String>;

static FETCHES: Calls = Calls::new();

#[memoize]
fn aliased(n: u32) -> Fetched<u32> {
    FETCHES.add();
    if n == 0 { Err("zero".to_owned()) } else { Ok(n) }
}

#[memoize(result)]
fn said(n: u32) -> Fetched<u32> {
    if n == 0 { Err("zero".to_owned()) } else { Ok(n) }
}

#[test]
fn an_error_behind_an_alias_is_not_cached_either() {
    assert_eq!((aliased(0), aliased(0)), (Err("zero".to_owned()), Err("zero".to_owned())));
    assert_eq!(FETCHES.take(), 2);
    assert_eq!((aliased(1), aliased(1), FETCHES.take()), (Ok(1), Ok(1), 1));
    assert_eq!(aliased::cache().get(&1), Some(Ok(1)));
    assert_eq!((said(0), said(1)), (Err("zero".to_owned()), Ok(1)));
    assert_eq!(said::cache().get(&1), Some(1));
}

static FOUND: Calls = Calls::new();

#[memoize]
fn whole_option(n: u32) -> Option<u32> {
    FOUND.add();
    n.checked_sub(1)
}

#[test]
fn none_is_a_value_like_any_other() {
    assert_eq!((whole_option(0), whole_option(0)), (None, None));
    assert_eq!(FOUND.take(), 1);
    assert_eq!(whole_option::get(0), Some(None));
}

static SOMES: Calls = Calls::new();

#[memoize(some_only)]
fn some(n: u32) -> Option<u32> {
    SOMES.add();
    n.checked_sub(1)
}

#[memoize(some_only)]
fn some_or_error(text: &str) -> Result<Option<u32>, ParseIntError> {
    SOMES_OR_ERRORS.add();
    text.parse::<u32>().map(|n| n.checked_sub(1))
}

static SOMES_OR_ERRORS: Calls = Calls::new();

#[test]
fn some_only_leaves_none_out() {
    assert_eq!((some(0), some(0), SOMES.take()), (None, None, 2));
    assert_eq!((some(1), some(1), SOMES.take()), (Some(0), Some(0), 1));
    assert_eq!(some::get(1), Some(0));
    for _ in 0..2 {
        assert_eq!(some_or_error("0"), Ok(None));
        assert!(some_or_error("x").is_err());
        assert_eq!(SOMES_OR_ERRORS.take(), 2);
    }
    assert_eq!((some_or_error("1"), some_or_error("1")), (Ok(Some(0)), Ok(Some(0))));
    assert_eq!(SOMES_OR_ERRORS.take(), 1);
    some_or_error::prime("7", 9);
    assert_eq!(some_or_error("7"), Ok(Some(9)));
}

static CLOCK: LazyLock<ManualClock> = LazyLock::new(ManualClock::new);
static TRIES: Calls = Calls::new();

#[memoize(negative_ttl = "2s", clock = CLOCK.clone())]
fn remembered(text: &str) -> Result<u32, ParseIntError> {
    TRIES.add();
    text.parse()
}

#[memoize(negative_ttl = "2s", some_only, clock = CLOCK.clone())]
fn remembered_none(n: u32) -> Option<u32> {
    TRIES.add();
    n.checked_sub(1)
}

#[memoize(negative_ttl = "2s", some_only, clock = CLOCK.clone())]
fn remembered_both(text: &str) -> Result<Option<u32>, ParseIntError> {
    TRIES.add();
    text.parse::<u32>().map(|n| n.checked_sub(1))
}

#[test]
fn failures_are_remembered_for_as_long_as_they_are_told_to() {
    let bad = "x".parse::<u32>();
    for (first, then) in [(1, 0), (1, 0)] {
        assert_eq!((remembered("x"), TRIES.take()), (bad.clone(), first));
        assert_eq!((remembered("x"), TRIES.take()), (bad.clone(), then));
        assert_eq!((remembered_none(0), TRIES.take()), (None, first));
        assert_eq!((remembered_none(0), TRIES.take()), (None, then));
        assert_eq!((remembered_both("0"), TRIES.take()), (Ok(None), first));
        assert_eq!((remembered_both("0"), TRIES.take()), (Ok(None), then));
        assert!(remembered_both("x").is_err());
        assert!(remembered_both("x").is_err());
        assert_eq!(TRIES.take(), first + then);
        CLOCK.advance(Duration::from_secs(3));
    }
    assert_eq!((remembered("3"), remembered("3"), TRIES.take()), (Ok(3), Ok(3), 1));
    assert_eq!((remembered("y").is_err(), TRIES.take()), (true, 1));
    remembered::invalidate("y");
    assert_eq!((remembered("y").is_err(), TRIES.take()), (true, 1), "the failure was forgotten");
}
