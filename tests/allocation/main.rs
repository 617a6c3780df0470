//! What happens when there is no memory to be had.
//!
//! Rust reports it in one way: `handle_alloc_error` ends the process with a
//! message (SIGABRT). That is what has to happen in each operation, whichever
//! allocation fails, instead of a null pointer that is written through, a wait
//! that never ends, or a wrong answer. And nothing that a caller *sets* to a
//! large number makes larder ask for much.
//!
//! A process that ends like this can only be watched from outside, so each test
//! starts itself again with [`CHILD`] set. There, the script of the test runs,
//! and the allocator refuses.
#![cfg(unix)]

#[path = "../common/disk.rs"]
#[cfg(feature = "journal")]
#[allow(dead_code, reason = "shared with tests that look at what is on it")]
mod disk;
#[path = "../common/watchdog.rs"]
mod watchdog;

#[expect(unsafe_code, reason = "an allocator that refuses")]
mod scarce;
mod scripts;

use scarce::{Census, Limit};
use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use watchdog::must_end;

const CHILD: &str = "LARDER_ALLOCATION_CHILD";
const SIGABRT: i32 = 6;

/// How a child ended.
#[derive(PartialEq, Eq, Debug)]
enum End {
    /// By itself, with all the right answers.
    Well(Census),
    /// As Rust ends a process for which there is no memory.
    Reported,
}

/// The last words of a child that has ended by itself.
fn report(census: Census) {
    println!("\ncensus {} {} {}", census.asked, census.largest, census.refused);
}

/// The test `name` again, in a process of its own.
fn start(name: &str, limit: Limit) -> Output {
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "--test-threads=1", name])
        .env(CHILD, limit.to_string())
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    child.unwrap().wait_with_output().unwrap()
}

/// # Panics
/// If the child neither ended well nor with Rust's report.
fn end_of(name: &'static str, limit: Limit) -> End {
    let output = must_end(&format!("{name}, {limit:?}"), move || start(name, limit)).unwrap();
    let [said, complained] = [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap());
    let census = || {
        let line = said.lines().find_map(|line| line.strip_prefix("census "))?;
        let mut numbers = line.split(' ').map(|number| number.parse().unwrap());
        let mut next = || numbers.next().unwrap();
        Some(Census { asked: next(), largest: next(), refused: next() })
    };
    let is_told = complained.contains("memory allocation of ") && complained.contains(" failed");
    match (output.status.code(), output.status.signal(), census()) {
        (Some(0), None, Some(census)) => End::Well(census),
        (None, Some(SIGABRT), None) if is_told => End::Reported,
        _ => panic!("{name}, {limit:?}: {}\n{said}\n{complained}", output.status),
    }
}

/// The first ones one by one: those are the many different ones that begin
/// something. Then in steps.
fn moments(asked: usize) -> Vec<usize> {
    const EACH: usize = 100;
    const STEPS: usize = 60;
    let rest = asked.saturating_sub(EACH);
    let steps = (0..rest).step_by(rest.div_ceil(STEPS).max(1)).map(|at| EACH + at);
    (0..asked.min(EACH)).chain(steps).collect()
}

/// Below the largest, there has to be a report.
fn sizes(largest: usize) -> Vec<usize> {
    (0..).map(|power| 8 << power).take_while(|size| *size < largest).collect()
}

/// Runs `script` in one process after the other, each of which is refused
/// something else. How many it asks for may differ from run to run by what
/// threads do; whoever was refused something has to say so.
fn every_refusal_is_reported(name: &'static str, script: fn()) {
    if let Ok(order) = env::var(CHILD) {
        return report(scarce::during(Limit::parse(&order), script));
    }
    let End::Well(whole) = end_of(name, Limit::Nothing) else {
        panic!("{name}: nothing is refused")
    };
    assert!(whole.asked > 0 && whole.refused == 0, "{whole:?}");
    let mut reported = 0;
    let limits = moments(whole.asked).into_iter().map(Limit::After);
    for limit in limits.chain(sizes(whole.largest).into_iter().map(Limit::LargerThan)) {
        match end_of(name, limit) {
            End::Reported => reported += 1,
            End::Well(census) => {
                assert_eq!(census.refused, 0, "{name}, {limit:?}: it went on with nothing");
            }
        }
    }
    println!("{name}: {whole:?}, {reported} reports");
    assert!(reported > 5, "{name}: {reported} reports");
}

/// Each row is the name of a script, and the script.
macro_rules! every_refusal_is_reported {
    ($($(#[$meta:meta])* $name:ident: $script:expr;)*) => {$(
        $(#[$meta])*
        #[test]
        fn $name() {
            every_refusal_is_reported(stringify!($name), $script);
        }
    )*};
}

every_refusal_is_reported! {
    as_entries_become_many: scripts::entries_become_many;
    as_policies_find_victims: scripts::policies_find_victims;
    as_bounds_change: scripts::bounds_change;
    as_lifetimes_end: scripts::lifetimes_end;
    as_removals_are_told: scripts::removals_are_told;
    as_values_are_computed_and_loaded: scripts::values_are_computed_and_loaded;
    as_values_are_reloaded: scripts::values_are_reloaded;
    as_threads_meet: scripts::threads_meet;
    as_a_store_is_written: scripts::a_store_is_written;
    as_a_thread_writes_behind: scripts::a_thread_writes_behind;
    #[cfg(feature = "journal")]
    as_a_journal_is_kept: scripts::a_journal_is_kept;
    #[cfg(feature = "macros")]
    as_a_function_is_memoized: scripts::a_function_is_memoized;
}

/// As [`every_refusal_is_reported`], but that it is not refused anything.
fn asks_for_no_more_than(size: usize, name: &'static str, script: fn()) {
    if let Ok(order) = env::var(CHILD) {
        return report(scarce::during(Limit::parse(&order), script));
    }
    let end = end_of(name, Limit::LargerThan(size));
    println!("{name}: {end:?}");
    assert!(matches!(end, End::Well(Census { refused: 0, .. })), "{name}: {end:?}");
}

/// The largest is the array of eight shards.
const LITTLE: usize = 64 << 10;

#[test]
fn no_setting_makes_a_cache_ask_for_more_than_a_little() {
    let name = "no_setting_makes_a_cache_ask_for_more_than_a_little";
    asks_for_no_more_than(LITTLE, name, scripts::every_setting_is_as_large_as_can_be);
}
