//! Random combinations of settings, on functions and methods, sync and async:
//! nothing excludes anything else. Each is put through the same trial. (Written
//! by a script with a random seed, once.)

use crate::Calls;
use larder::{ManualClock, memoize};
use std::sync::LazyLock;
use std::time::Duration;

type Clock = LazyLock<ManualClock>;

#[derive(Debug)]
struct Unclonable;

type Fetched = Result<u64, u8>;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Scale(u64);

/// A value is computed once, and again after it was invalidated or has expired;
/// a failure is never taken for a value.
struct Trial<'a> {
    calls: &'a Calls,
    /// Of this trial alone: others run at the same time.
    clock: &'a ManualClock,
    call: &'a dyn Fn(u64) -> Option<u64>,
    invalidate: &'a dyn Fn(u64),
    invalidate_all: &'a dyn Fn(),
    expires_after: Option<Duration>,
}

impl Trial<'_> {
    fn run(&self) {
        let call = |n, calls| {
            assert_eq!((self.call)(n), (n <= 100).then_some(n));
            assert_eq!(self.calls.take(), calls, "calls for {n}");
        };
        call(3, 1);
        call(3, 0);
        call(4, 1);
        (self.invalidate)(3);
        call(3, 1);
        call(4, 0);
        (self.invalidate_all)();
        call(3, 1);
        call(4, 1);
        if let Some(after) = self.expires_after {
            self.clock.advance(after);
            call(3, 1);
            call(3, 0);
        }
        for n in [101, 201] {
            assert_eq!((self.call)(n), None);
            assert!(self.calls.take() > 0);
            (self.invalidate)(n);
            assert_eq!((self.call)(n), None);
            assert!(self.calls.take() > 0, "a failure was kept");
        }
    }
}

static CALLS_0: Calls = Calls::new();
static CLOCK_0: Clock = Clock::new(ManualClock::new);

impl Scale {
    #[memoize(negative_ttl = "5s", jitter = 0.2, include(self), tags = [n.to_string()], name = handle_0, ttl = "1h30m", clock = CLOCK_0.clone())]
    async fn f_0(&self, n: u64, text: &str) -> Result<u64, String> {
        assert_eq!(self.0, 1);
        CALLS_0.add();
        tokio::task::yield_now().await;
        if n > 100 { Err(format!("{n}{text}")) } else { Ok(n) }
    }
}

#[test]
fn trial_0() {
    Trial {
        calls: &CALLS_0,
        clock: &CLOCK_0,
        call: &|n| pollster::block_on(async { Scale(1).f_0(n, "x").await }).ok(),
        invalidate: &|n| Scale(1).handle_0_invalidate(n, "x"),
        invalidate_all: &|| Scale::handle_0_invalidate_all(),
        expires_after: Some(Duration::from_secs(5400)),
    }
    .run();
}

static CALLS_1: Calls = Calls::new();
static CLOCK_1: Clock = Clock::new(ManualClock::new);

#[memoize(result, key = (text, n), tti = "5m", clock = CLOCK_1.clone(), eviction = "lru", tags = [n.to_string()])]
fn f_1(n: u64, text: &str) -> Fetched {
    let _ = text;
    CALLS_1.add();
    if n > 100 { Err(7) } else { Ok(n) }
}

#[test]
fn trial_1() {
    Trial {
        calls: &CALLS_1,
        clock: &CLOCK_1,
        call: &|n| f_1(n, "x").ok(),
        invalidate: &|n| f_1::invalidate(n, "x"),
        invalidate_all: &|| f_1::invalidate_all(),
        expires_after: Some(Duration::from_secs(300)),
    }
    .run();
}

static CALLS_2: Calls = Calls::new();
static CLOCK_2: Clock = Clock::new(ManualClock::new);

#[memoize(clock = CLOCK_2.clone(), result)]
fn f_2(n: u64, text: &str) -> Fetched {
    let _ = text;
    CALLS_2.add();
    if n > 100 { Err(7) } else { Ok(n) }
}

#[test]
fn trial_2() {
    Trial {
        calls: &CALLS_2,
        clock: &CLOCK_2,
        call: &|n| f_2(n, "x").ok(),
        invalidate: &|n| f_2::invalidate(n, "x"),
        invalidate_all: &|| f_2::invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_3: Calls = Calls::new();
static CLOCK_3: Clock = Clock::new(ManualClock::new);

#[memoize(skip(text), some_only, negative_ttl = "5s", jitter = 0.2, tags = [n.to_string()], ttl = "1h30m", clock = CLOCK_3.clone())]
async fn f_3(n: u64, text: &str) -> Result<Option<u64>, String> {
    CALLS_3.add();
    tokio::task::yield_now().await;
    if n > 200 { Err(text.to_owned()) } else { Ok((n <= 100).then_some(n)) }
}

#[test]
fn trial_3() {
    Trial {
        calls: &CALLS_3,
        clock: &CLOCK_3,
        call: &|n| pollster::block_on(f_3(n, "x")).ok().flatten(),
        invalidate: &|n| f_3::invalidate(n),
        invalidate_all: &|| f_3::invalidate_all(),
        expires_after: Some(Duration::from_secs(5400)),
    }
    .run();
}

static CALLS_4: Calls = Calls::new();
static CLOCK_4: Clock = Clock::new(ManualClock::new);

#[memoize(eviction = "tiny-lfu", skip(text), clock = CLOCK_4.clone(), on_removal = |_, _, _| ())]
fn f_4(n: u64, text: &str) -> u64 {
    let _ = text;
    CALLS_4.add();
    n
}

#[test]
fn trial_4() {
    Trial {
        calls: &CALLS_4,
        clock: &CLOCK_4,
        call: &|n| Some(f_4(n, "x")).filter(|n| *n <= 100),
        invalidate: &|n| f_4::invalidate(n),
        invalidate_all: &|| f_4::invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_5: Calls = Calls::new();
static CLOCK_5: Clock = Clock::new(ManualClock::new);

#[memoize(clock = CLOCK_5.clone(), weight_capacity = 1 << 20, weigher = |_, _| 3, key: u64 = n + 1, maintenance = "1h")]
async fn f_5(n: u64, text: &str) -> Result<u64, Unclonable> {
    let _ = text;
    CALLS_5.add();
    tokio::task::yield_now().await;
    if n > 100 { Err(Unclonable) } else { Ok(n) }
}

#[test]
fn trial_5() {
    Trial {
        calls: &CALLS_5,
        clock: &CLOCK_5,
        call: &|n| pollster::block_on(f_5(n, "x")).ok(),
        invalidate: &|n| f_5::invalidate(n, "x"),
        invalidate_all: &|| f_5::invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_6: Calls = Calls::new();
static CLOCK_6: Clock = Clock::new(ManualClock::new);

impl Scale {
    #[memoize(result, clock = CLOCK_6.clone(), key: u64 = n + 1, name = handle_6)]
    async fn f_6(&self, n: u64, text: &str) -> Fetched {
        assert_eq!(self.0, 1);
        let _ = text;
        CALLS_6.add();
        tokio::task::yield_now().await;
        if n > 100 { Err(7) } else { Ok(n) }
    }
}

#[test]
fn trial_6() {
    Trial {
        calls: &CALLS_6,
        clock: &CLOCK_6,
        call: &|n| pollster::block_on(async { Scale(1).f_6(n, "x").await }).ok(),
        invalidate: &|n| Scale(1).handle_6_invalidate(n, "x"),
        invalidate_all: &|| Scale::handle_6_invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_7: Calls = Calls::new();
static CLOCK_7: Clock = Clock::new(ManualClock::new);

impl Scale {
    #[memoize(name = handle_7, maintenance = "1h", clock = CLOCK_7.clone(), eviction = "lru", key = n)]
    async fn f_7(&self, n: u64, text: &str) -> Result<u64, Unclonable> {
        assert_eq!(self.0, 1);
        let _ = text;
        CALLS_7.add();
        tokio::task::yield_now().await;
        if n > 100 { Err(Unclonable) } else { Ok(n) }
    }
}

#[test]
fn trial_7() {
    Trial {
        calls: &CALLS_7,
        clock: &CLOCK_7,
        call: &|n| pollster::block_on(async { Scale(1).f_7(n, "x").await }).ok(),
        invalidate: &|n| Scale(1).handle_7_invalidate(n),
        invalidate_all: &|| Scale::handle_7_invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_8: Calls = Calls::new();
static CLOCK_8: Clock = Clock::new(ManualClock::new);

impl Scale {
    #[memoize(ttl = "1h30m", name = handle_8, record_stats, include(self), eviction = "fifo", some_only, negative_ttl = "5s", jitter = 0.2, clock = CLOCK_8.clone(), weight_capacity = 1 << 20, weigher = |_, _| 3, on_removal = |_, _, _| ())]
    fn f_8(&self, n: u64, text: &str) -> Result<Option<u64>, String> {
        assert_eq!(self.0, 1);
        CALLS_8.add();
        if n > 200 { Err(text.to_owned()) } else { Ok((n <= 100).then_some(n)) }
    }
}

#[test]
fn trial_8() {
    Trial {
        calls: &CALLS_8,
        clock: &CLOCK_8,
        call: &|n| Scale(1).f_8(n, "x").ok().flatten(),
        invalidate: &|n| Scale(1).handle_8_invalidate(n, "x"),
        invalidate_all: &|| Scale::handle_8_invalidate_all(),
        expires_after: Some(Duration::from_secs(5400)),
    }
    .run();
}

static CALLS_9: Calls = Calls::new();
static CLOCK_9: Clock = Clock::new(ManualClock::new);

#[memoize(clock = CLOCK_9.clone(), weight_capacity = 1 << 20, weigher = |_, _| 3, key = n, negative_ttl = "5s", record_stats, maintenance = "1h", tti = "5m", shards = 8)]
fn f_9(n: u64, text: &str) -> Result<u64, String> {
    CALLS_9.add();
    if n > 100 { Err(format!("{n}{text}")) } else { Ok(n) }
}

#[test]
fn trial_9() {
    Trial {
        calls: &CALLS_9,
        clock: &CLOCK_9,
        call: &|n| f_9(n, "x").ok(),
        invalidate: &|n| f_9::invalidate(n),
        invalidate_all: &|| f_9::invalidate_all(),
        expires_after: Some(Duration::from_secs(300)),
    }
    .run();
}

static CALLS_10: Calls = Calls::new();
static CLOCK_10: Clock = Clock::new(ManualClock::new);

impl Scale {
    #[memoize(name = handle_10, key = (text, n), clock = CLOCK_10.clone(), some_only, tti = "5m")]
    fn f_10(&self, n: u64, text: &str) -> Option<u64> {
        assert_eq!(self.0, 1);
        let _ = text;
        CALLS_10.add();
        (n <= 100).then_some(n)
    }
}

#[test]
fn trial_10() {
    Trial {
        calls: &CALLS_10,
        clock: &CLOCK_10,
        call: &|n| Scale(1).f_10(n, "x"),
        invalidate: &|n| Scale(1).handle_10_invalidate(n, "x"),
        invalidate_all: &|| Scale::handle_10_invalidate_all(),
        expires_after: Some(Duration::from_secs(300)),
    }
    .run();
}

static CALLS_11: Calls = Calls::new();
static CLOCK_11: Clock = Clock::new(ManualClock::new);

impl Scale {
    #[memoize(tags = [n.to_string()], clock = CLOCK_11.clone(), key: u64 = n + 1, name = handle_11)]
    async fn f_11(&self, n: u64, text: &str) -> Fetched {
        assert_eq!(self.0, 1);
        let _ = text;
        CALLS_11.add();
        tokio::task::yield_now().await;
        if n > 100 { Err(7) } else { Ok(n) }
    }
}

#[test]
fn trial_11() {
    Trial {
        calls: &CALLS_11,
        clock: &CLOCK_11,
        call: &|n| pollster::block_on(async { Scale(1).f_11(n, "x").await }).ok(),
        invalidate: &|n| Scale(1).handle_11_invalidate(n, "x"),
        invalidate_all: &|| Scale::handle_11_invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_12: Calls = Calls::new();
static CLOCK_12: Clock = Clock::new(ManualClock::new);

#[memoize(key: (u64, bool) = (n, n > 2), clock = CLOCK_12.clone(), jitter = 0.2, ttl = "10s")]
fn f_12(n: u64, text: &str) -> Result<u64, Unclonable> {
    let _ = text;
    CALLS_12.add();
    if n > 100 { Err(Unclonable) } else { Ok(n) }
}

#[test]
fn trial_12() {
    Trial {
        calls: &CALLS_12,
        clock: &CLOCK_12,
        call: &|n| f_12(n, "x").ok(),
        invalidate: &|n| f_12::invalidate(n, "x"),
        invalidate_all: &|| f_12::invalidate_all(),
        expires_after: Some(Duration::from_secs(10)),
    }
    .run();
}

static CALLS_13: Calls = Calls::new();
static CLOCK_13: Clock = Clock::new(ManualClock::new);

impl Scale {
    #[memoize(skip(text), shards = 1, include(self), capacity = 50, negative_ttl = "5s", name = handle_13, clock = CLOCK_13.clone())]
    fn f_13(&self, n: u64, text: &str) -> Result<u64, String> {
        assert_eq!(self.0, 1);
        CALLS_13.add();
        if n > 100 { Err(format!("{n}{text}")) } else { Ok(n) }
    }
}

#[test]
fn trial_13() {
    Trial {
        calls: &CALLS_13,
        clock: &CLOCK_13,
        call: &|n| Scale(1).f_13(n, "x").ok(),
        invalidate: &|n| Scale(1).handle_13_invalidate(n),
        invalidate_all: &|| Scale::handle_13_invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_14: Calls = Calls::new();
static CLOCK_14: Clock = Clock::new(ManualClock::new);

impl Scale {
    #[memoize(tags = [n.to_string()], maintenance = "1h", clock = CLOCK_14.clone(), on_removal = |_, _, _| (), name = handle_14, key = n)]
    fn f_14(&self, n: u64, text: &str) -> u64 {
        assert_eq!(self.0, 1);
        let _ = text;
        CALLS_14.add();
        n
    }
}

#[test]
fn trial_14() {
    Trial {
        calls: &CALLS_14,
        clock: &CLOCK_14,
        call: &|n| Some(Scale(1).f_14(n, "x")).filter(|n| *n <= 100),
        invalidate: &|n| Scale(1).handle_14_invalidate(n),
        invalidate_all: &|| Scale::handle_14_invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_15: Calls = Calls::new();
static CLOCK_15: Clock = Clock::new(ManualClock::new);

#[memoize(negative_ttl = "5s", weight_capacity = 1 << 20, weigher = |_, _| 3, clock = CLOCK_15.clone())]
fn f_15(n: u64, text: &str) -> Result<u64, String> {
    CALLS_15.add();
    if n > 100 { Err(format!("{n}{text}")) } else { Ok(n) }
}

#[test]
fn trial_15() {
    Trial {
        calls: &CALLS_15,
        clock: &CLOCK_15,
        call: &|n| f_15(n, "x").ok(),
        invalidate: &|n| f_15::invalidate(n, "x"),
        invalidate_all: &|| f_15::invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_16: Calls = Calls::new();
static CLOCK_16: Clock = Clock::new(ManualClock::new);

#[memoize(clock = CLOCK_16.clone(), skip(text))]
fn f_16(n: u64, text: &str) -> Result<u64, Unclonable> {
    let _ = text;
    CALLS_16.add();
    if n > 100 { Err(Unclonable) } else { Ok(n) }
}

#[test]
fn trial_16() {
    Trial {
        calls: &CALLS_16,
        clock: &CLOCK_16,
        call: &|n| f_16(n, "x").ok(),
        invalidate: &|n| f_16::invalidate(n),
        invalidate_all: &|| f_16::invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_17: Calls = Calls::new();
static CLOCK_17: Clock = Clock::new(ManualClock::new);

#[memoize(key = (text, n), capacity = 50, maintenance = "1h", clock = CLOCK_17.clone())]
fn f_17(n: u64, text: &str) -> Result<u64, Unclonable> {
    let _ = text;
    CALLS_17.add();
    if n > 100 { Err(Unclonable) } else { Ok(n) }
}

#[test]
fn trial_17() {
    Trial {
        calls: &CALLS_17,
        clock: &CLOCK_17,
        call: &|n| f_17(n, "x").ok(),
        invalidate: &|n| f_17::invalidate(n, "x"),
        invalidate_all: &|| f_17::invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_18: Calls = Calls::new();
static CLOCK_18: Clock = Clock::new(ManualClock::new);

impl Scale {
    #[memoize(maintenance = "1h", clock = CLOCK_18.clone(), record_stats, name = handle_18, include(self))]
    fn f_18(&self, n: u64, text: &str) -> u64 {
        assert_eq!(self.0, 1);
        let _ = text;
        CALLS_18.add();
        n
    }
}

#[test]
fn trial_18() {
    Trial {
        calls: &CALLS_18,
        clock: &CLOCK_18,
        call: &|n| Some(Scale(1).f_18(n, "x")).filter(|n| *n <= 100),
        invalidate: &|n| Scale(1).handle_18_invalidate(n, "x"),
        invalidate_all: &|| Scale::handle_18_invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_19: Calls = Calls::new();
static CLOCK_19: Clock = Clock::new(ManualClock::new);

#[memoize(jitter = 0.2, key = n, some_only, negative_ttl = "5s", eviction = "lru", ttl = "1h30m", clock = CLOCK_19.clone())]
async fn f_19(n: u64, text: &str) -> Result<Option<u64>, String> {
    CALLS_19.add();
    tokio::task::yield_now().await;
    if n > 200 { Err(text.to_owned()) } else { Ok((n <= 100).then_some(n)) }
}

#[test]
fn trial_19() {
    Trial {
        calls: &CALLS_19,
        clock: &CLOCK_19,
        call: &|n| pollster::block_on(f_19(n, "x")).ok().flatten(),
        invalidate: &|n| f_19::invalidate(n),
        invalidate_all: &|| f_19::invalidate_all(),
        expires_after: Some(Duration::from_secs(5400)),
    }
    .run();
}

static CALLS_20: Calls = Calls::new();
static CLOCK_20: Clock = Clock::new(ManualClock::new);

#[memoize(result, on_removal = |_, _, _| (), clock = CLOCK_20.clone(), key = (text, n))]
fn f_20(n: u64, text: &str) -> Fetched {
    let _ = text;
    CALLS_20.add();
    if n > 100 { Err(7) } else { Ok(n) }
}

#[test]
fn trial_20() {
    Trial {
        calls: &CALLS_20,
        clock: &CLOCK_20,
        call: &|n| f_20(n, "x").ok(),
        invalidate: &|n| f_20::invalidate(n, "x"),
        invalidate_all: &|| f_20::invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_21: Calls = Calls::new();
static CLOCK_21: Clock = Clock::new(ManualClock::new);

#[memoize(clock = CLOCK_21.clone(), shards = 1, record_stats, eviction = "s3-fifo", key: (u64, bool) = (n, n > 2), on_removal = |_, _, _| (), ttl = "1h30m")]
async fn f_21(n: u64, text: &str) -> Result<u64, Unclonable> {
    let _ = text;
    CALLS_21.add();
    tokio::task::yield_now().await;
    if n > 100 { Err(Unclonable) } else { Ok(n) }
}

#[test]
fn trial_21() {
    Trial {
        calls: &CALLS_21,
        clock: &CLOCK_21,
        call: &|n| pollster::block_on(f_21(n, "x")).ok(),
        invalidate: &|n| f_21::invalidate(n, "x"),
        invalidate_all: &|| f_21::invalidate_all(),
        expires_after: Some(Duration::from_secs(5400)),
    }
    .run();
}

static CALLS_22: Calls = Calls::new();
static CLOCK_22: Clock = Clock::new(ManualClock::new);

impl Scale {
    #[memoize(clock = CLOCK_22.clone(), key: u64 = n + 1, name = handle_22, on_removal = |_, _, _| ())]
    fn f_22(&self, n: u64, text: &str) -> Fetched {
        assert_eq!(self.0, 1);
        let _ = text;
        CALLS_22.add();
        if n > 100 { Err(7) } else { Ok(n) }
    }
}

#[test]
fn trial_22() {
    Trial {
        calls: &CALLS_22,
        clock: &CLOCK_22,
        call: &|n| Scale(1).f_22(n, "x").ok(),
        invalidate: &|n| Scale(1).handle_22_invalidate(n, "x"),
        invalidate_all: &|| Scale::handle_22_invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_23: Calls = Calls::new();
static CLOCK_23: Clock = Clock::new(ManualClock::new);

#[memoize(record_stats, tti = "5m", clock = CLOCK_23.clone(), shards = 2)]
async fn f_23(n: u64, text: &str) -> Result<u64, Unclonable> {
    let _ = text;
    CALLS_23.add();
    tokio::task::yield_now().await;
    if n > 100 { Err(Unclonable) } else { Ok(n) }
}

#[test]
fn trial_23() {
    Trial {
        calls: &CALLS_23,
        clock: &CLOCK_23,
        call: &|n| pollster::block_on(f_23(n, "x")).ok(),
        invalidate: &|n| f_23::invalidate(n, "x"),
        invalidate_all: &|| f_23::invalidate_all(),
        expires_after: Some(Duration::from_secs(300)),
    }
    .run();
}

static CALLS_24: Calls = Calls::new();
static CLOCK_24: Clock = Clock::new(ManualClock::new);

#[memoize(clock = CLOCK_24.clone(), key = n, result, record_stats)]
fn f_24(n: u64, text: &str) -> Fetched {
    let _ = text;
    CALLS_24.add();
    if n > 100 { Err(7) } else { Ok(n) }
}

#[test]
fn trial_24() {
    Trial {
        calls: &CALLS_24,
        clock: &CLOCK_24,
        call: &|n| f_24(n, "x").ok(),
        invalidate: &|n| f_24::invalidate(n),
        invalidate_all: &|| f_24::invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_25: Calls = Calls::new();
static CLOCK_25: Clock = Clock::new(ManualClock::new);

#[memoize(clock = CLOCK_25.clone(), maintenance = "1h", record_stats, eviction = "lfu-no-ageing", tags = [n.to_string()], key = n, weight_capacity = 1 << 20, weigher = |_, _| 3)]
fn f_25(n: u64, text: &str) -> Result<u64, Unclonable> {
    let _ = text;
    CALLS_25.add();
    if n > 100 { Err(Unclonable) } else { Ok(n) }
}

#[test]
fn trial_25() {
    Trial {
        calls: &CALLS_25,
        clock: &CLOCK_25,
        call: &|n| f_25(n, "x").ok(),
        invalidate: &|n| f_25::invalidate(n),
        invalidate_all: &|| f_25::invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_26: Calls = Calls::new();
static CLOCK_26: Clock = Clock::new(ManualClock::new);

impl Scale {
    #[memoize(jitter = 0.2, clock = CLOCK_26.clone(), tags = [n.to_string()], some_only, negative_ttl = "5s", eviction = "lfu", name = handle_26, key = n, ttl = "10s")]
    async fn f_26(&self, n: u64, text: &str) -> Result<Option<u64>, String> {
        assert_eq!(self.0, 1);
        CALLS_26.add();
        tokio::task::yield_now().await;
        if n > 200 { Err(text.to_owned()) } else { Ok((n <= 100).then_some(n)) }
    }
}

#[test]
fn trial_26() {
    Trial {
        calls: &CALLS_26,
        clock: &CLOCK_26,
        call: &|n| pollster::block_on(async { Scale(1).f_26(n, "x").await }).ok().flatten(),
        invalidate: &|n| Scale(1).handle_26_invalidate(n),
        invalidate_all: &|| Scale::handle_26_invalidate_all(),
        expires_after: Some(Duration::from_secs(10)),
    }
    .run();
}

static CALLS_27: Calls = Calls::new();
static CLOCK_27: Clock = Clock::new(ManualClock::new);

#[memoize(skip(text), clock = CLOCK_27.clone(), eviction = "lfu-no-ageing", on_removal = |_, _, _| (), tti = "20s", maintenance = "1h", ttl = "10s", jitter = 0.2)]
async fn f_27(n: u64, text: &str) -> Result<u64, Unclonable> {
    let _ = text;
    CALLS_27.add();
    tokio::task::yield_now().await;
    if n > 100 { Err(Unclonable) } else { Ok(n) }
}

#[test]
fn trial_27() {
    Trial {
        calls: &CALLS_27,
        clock: &CLOCK_27,
        call: &|n| pollster::block_on(f_27(n, "x")).ok(),
        invalidate: &|n| f_27::invalidate(n),
        invalidate_all: &|| f_27::invalidate_all(),
        expires_after: Some(Duration::from_secs(10)),
    }
    .run();
}

static CALLS_28: Calls = Calls::new();
static CLOCK_28: Clock = Clock::new(ManualClock::new);

impl Scale {
    #[memoize(tags = [n.to_string()], result, name = handle_28, maintenance = "1h", include(self), clock = CLOCK_28.clone(), on_removal = |_, _, _| ())]
    async fn f_28(&self, n: u64, text: &str) -> Fetched {
        assert_eq!(self.0, 1);
        let _ = text;
        CALLS_28.add();
        tokio::task::yield_now().await;
        if n > 100 { Err(7) } else { Ok(n) }
    }
}

#[test]
fn trial_28() {
    Trial {
        calls: &CALLS_28,
        clock: &CLOCK_28,
        call: &|n| pollster::block_on(async { Scale(1).f_28(n, "x").await }).ok(),
        invalidate: &|n| Scale(1).handle_28_invalidate(n, "x"),
        invalidate_all: &|| Scale::handle_28_invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_29: Calls = Calls::new();
static CLOCK_29: Clock = Clock::new(ManualClock::new);

impl Scale {
    #[memoize(ttl = "1m", on_removal = |_, _, _| (), eviction = "s3-fifo", clock = CLOCK_29.clone(), negative_ttl = "5s", capacity = 50, include(self), name = handle_29)]
    async fn f_29(&self, n: u64, text: &str) -> Result<u64, String> {
        assert_eq!(self.0, 1);
        CALLS_29.add();
        tokio::task::yield_now().await;
        if n > 100 { Err(format!("{n}{text}")) } else { Ok(n) }
    }
}

#[test]
fn trial_29() {
    Trial {
        calls: &CALLS_29,
        clock: &CLOCK_29,
        call: &|n| pollster::block_on(async { Scale(1).f_29(n, "x").await }).ok(),
        invalidate: &|n| Scale(1).handle_29_invalidate(n, "x"),
        invalidate_all: &|| Scale::handle_29_invalidate_all(),
        expires_after: Some(Duration::from_secs(60)),
    }
    .run();
}

static CALLS_30: Calls = Calls::new();
static CLOCK_30: Clock = Clock::new(ManualClock::new);

impl Scale {
    #[memoize(eviction = "s3-fifo", name = handle_30, include(self), skip(text), clock = CLOCK_30.clone(), capacity = 50)]
    fn f_30(&self, n: u64, text: &str) -> u64 {
        assert_eq!(self.0, 1);
        let _ = text;
        CALLS_30.add();
        n
    }
}

#[test]
fn trial_30() {
    Trial {
        calls: &CALLS_30,
        clock: &CLOCK_30,
        call: &|n| Some(Scale(1).f_30(n, "x")).filter(|n| *n <= 100),
        invalidate: &|n| Scale(1).handle_30_invalidate(n),
        invalidate_all: &|| Scale::handle_30_invalidate_all(),
        expires_after: None,
    }
    .run();
}

static CALLS_31: Calls = Calls::new();
static CLOCK_31: Clock = Clock::new(ManualClock::new);

#[memoize(on_removal = |_, _, _| (), eviction = "s3-fifo", shards = 8, skip(text), weight_capacity = 1 << 20, weigher = |_, _| 3, maintenance = "1h", clock = CLOCK_31.clone())]
async fn f_31(n: u64, text: &str) -> Result<u64, Unclonable> {
    let _ = text;
    CALLS_31.add();
    tokio::task::yield_now().await;
    if n > 100 { Err(Unclonable) } else { Ok(n) }
}

#[test]
fn trial_31() {
    Trial {
        calls: &CALLS_31,
        clock: &CLOCK_31,
        call: &|n| pollster::block_on(f_31(n, "x")).ok(),
        invalidate: &|n| f_31::invalidate(n),
        invalidate_all: &|| f_31::invalidate_all(),
        expires_after: None,
    }
    .run();
}
