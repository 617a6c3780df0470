//! The command line: what to replay, how large, and with which policies.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use larder::{Eviction, ParseEvictionError};
use lexopt::prelude::*;

pub const HELP: &str = "\
Replays a trace of cache accesses through larder, for each capacity and policy,
and shows the hit ratios beside OPT, which knows the future.

Usage: cargo run --release --example replay -- [TRACE] [OPTIONS]

TRACE
  *.u64.zst  zstd around 8-byte records: u64 key, little-endian
  *.ws.zst   zstd around 12-byte records: u64 key, u32 size in bytes;
             capacities are bytes, and byte hit ratios are shown as well
  any other  text, one key per line: a key is the whole line without its line
             end; blank lines are skipped
  -          text from standard input
  none       a synthetic workload is made on the spot

Options
  --capacity LIST  shares of the distinct keys (or of all objects' bytes), such
                   as 5%, or plain numbers of entries (or bytes), such as 5000
                   [default: 0.1%,1%,5%,10%,25%]
  --eviction LIST  policies, such as lru,s3-fifo [default: all]
  --shards N       a power of two, or auto for larder's own choice; 1 is exact
                   also for small caches [default: auto]
  --chart PATH     where to write the chart, an SVG [default: replay.svg]
  --explain        show what the policies that adapt decided as the trace went
  --no-progress    no progress line on standard error
  --help           this text
";

const CAPACITIES: &str = "0.1%,1%,5%,10%,25%";
const CHART: &str = "replay.svg";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Request {
    Help,
    Replay(Args),
}

#[derive(Debug, PartialEq)]
pub struct Args {
    pub source: Source,
    pub capacities: Vec<Capacity>,
    pub evictions: Vec<Eviction>,
    /// `None` leaves it to larder.
    pub shards: Option<usize>,
    pub chart: PathBuf,
    pub progress: bool,
    /// Whether to tell what the policies decided.
    pub explain: bool,
}

/// Where the trace comes from.
#[derive(Debug, PartialEq)]
pub enum Source {
    Synthetic,
    Stdin,
    File(PathBuf),
}

/// A capacity as someone writes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Capacity {
    /// Percent of all that the trace touches.
    Percent(f64),
    /// Entries or, for a trace with sizes, bytes.
    Count(u64),
}

/// Why the command line cannot be followed.
#[derive(Debug)]
pub enum ArgsError {
    /// Not an option, or one without its value.
    Usage(lexopt::Error),
    Capacity {
        given: String,
    },
    Eviction(ParseEvictionError),
    Shards {
        given: String,
    },
    /// One trace at a time: the tables and the chart show one.
    SecondTrace {
        given: OsString,
    },
}

impl fmt::Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArgsError::Usage(error) => write!(f, "{error}"),
            ArgsError::Capacity { given } => write!(
                f,
                "--capacity: `{given}` is neither a share above 0% and up to 100%, such as 5%, \
                 nor a whole number from 1"
            ),
            ArgsError::Eviction(error) => write!(f, "--eviction: {error}, or `all` alone"),
            ArgsError::Shards { given } => {
                write!(f, "--shards: `{given}` is neither a power of two nor `auto`")
            }
            ArgsError::SecondTrace { given } => {
                write!(f, "`{}` is a second trace; one at a time", given.to_string_lossy())
            }
        }
    }
}

impl From<lexopt::Error> for ArgsError {
    fn from(error: lexopt::Error) -> Self {
        ArgsError::Usage(error)
    }
}

/// Reads the command line.
pub fn parse(mut parser: lexopt::Parser) -> Result<Request, ArgsError> {
    let mut args = Args::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Request::Help),
            Long("capacity") => args.capacities = capacities(&parser.value()?.string()?)?,
            Long("eviction") => args.evictions = evictions(&parser.value()?.string()?)?,
            Long("shards") => args.shards = shards(parser.value()?.string()?)?,
            Long("chart") => args.chart = parser.value()?.into(),
            Long("explain") => args.explain = true,
            Long("no-progress") => args.progress = false,
            Value(given) if args.source != Source::Synthetic => {
                return Err(ArgsError::SecondTrace { given });
            }
            Value(stdin) if stdin == "-" => args.source = Source::Stdin,
            Value(path) => args.source = Source::File(path.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Request::Replay(args))
}

impl Default for Args {
    fn default() -> Self {
        Args {
            source: Source::Synthetic,
            capacities: capacities(CAPACITIES).expect("the default is well-formed"),
            evictions: Eviction::ALL.to_vec(),
            shards: None,
            chart: CHART.into(),
            progress: true,
            explain: false,
        }
    }
}

fn capacities(list: &str) -> Result<Vec<Capacity>, ArgsError> {
    list.split(',').map(str::trim).map(capacity).collect()
}

fn capacity(text: &str) -> Result<Capacity, ArgsError> {
    let capacity = match text.strip_suffix('%') {
        Some(percent) => percent.parse().ok().map(Capacity::Percent),
        None => text.parse().ok().map(Capacity::Count),
    };
    capacity
        .filter(Capacity::is_sensible)
        .ok_or_else(|| ArgsError::Capacity { given: text.to_string() })
}

fn evictions(list: &str) -> Result<Vec<Eviction>, ArgsError> {
    if list == "all" {
        return Ok(Eviction::ALL.to_vec());
    }
    let names = list.split(',').map(str::trim);
    names.map(|name| name.parse().map_err(ArgsError::Eviction)).collect()
}

fn shards(text: String) -> Result<Option<usize>, ArgsError> {
    match text.parse::<usize>() {
        _ if text == "auto" => Ok(None),
        Ok(shards) if shards.is_power_of_two() => Ok(Some(shards)),
        _ => Err(ArgsError::Shards { given: text }),
    }
}

impl Capacity {
    fn is_sensible(&self) -> bool {
        match *self {
            Capacity::Percent(percent) => percent > 0.0 && percent <= 100.0,
            Capacity::Count(count) => count > 0,
        }
    }

    /// The capacity in entries or bytes, for a trace that touches `footprint`
    /// of them: a share is rounded, and at least 1.
    pub fn of(self, footprint: u64) -> u64 {
        match self {
            Capacity::Percent(percent) => {
                let count = footprint as f64 * percent / 100.0;
                (count.round() as u64).max(1)
            }
            Capacity::Count(count) => count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Request, ArgsError> {
        parse(lexopt::Parser::from_args(words))
    }

    fn args(words: &[&str]) -> Args {
        match parsed(words) {
            Ok(Request::Replay(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    fn refusal(words: &[&str]) -> String {
        parsed(words).expect_err("should be refused").to_string()
    }

    #[test]
    fn no_arguments_replay_everything_on_a_synthetic_trace() {
        let args = args(&[]);
        assert_eq!(args.source, Source::Synthetic);
        assert_eq!(args.evictions, Eviction::ALL);
        assert_eq!(args.capacities.len(), 5);
        assert_eq!(args.shards, None);
        assert!(args.progress);
    }

    #[test]
    fn options_may_come_in_any_order_around_the_trace() {
        let args = args(&[
            "--capacity=2.5%, 5000",
            "web.log",
            "--eviction",
            "lru,s3-fifo",
            "--shards",
            "8",
            "--chart",
            "a/b.svg",
            "--no-progress",
        ]);
        assert_eq!(args.source, Source::File("web.log".into()));
        assert_eq!(args.capacities, [Capacity::Percent(2.5), Capacity::Count(5000)]);
        assert_eq!(args.evictions, [Eviction::Lru, Eviction::S3Fifo]);
        assert_eq!(args.shards, Some(8));
        assert_eq!(args.chart, PathBuf::from("a/b.svg"));
        assert!(!args.progress);
    }

    #[test]
    fn a_dash_is_standard_input() {
        assert_eq!(args(&["-"]).source, Source::Stdin);
    }

    #[test]
    fn a_refusal_names_the_value() {
        for bad in ["", "0", "0%", "-1%", "101%", "NaN%", "5.5", "%", "12k", "5%,,1%"] {
            let given = bad.split(',').nth(1).unwrap_or(bad);
            let refusal = refusal(&[&format!("--capacity={bad}")]);
            assert!(refusal.starts_with(&format!("--capacity: `{given}` is")), "{refusal}");
        }
        assert!(refusal(&["--eviction", "lru,mru"]).contains("mru"));
        assert!(refusal(&["--shards", "3"]).contains("`3`"));
        assert!(refusal(&["--shards", "0"]).contains("`0`"));
        assert!(refusal(&["--colour"]).contains("--colour"));
        assert!(refusal(&["one", "two"]).contains("`two`"));
    }

    #[test]
    fn shares_are_rounded_and_at_least_one() {
        let of = |percent, footprint| Capacity::Percent(percent).of(footprint);
        assert_eq!(of(0.1, 762_543), 763);
        assert_eq!(of(0.1, 1223), 1);
        assert_eq!(of(0.1, 10), 1);
        assert_eq!(of(25.0, 2606), 652); // 651.5
        assert_eq!(of(0.1, 304_213_576), 304_214);
        assert_eq!(of(100.0, 7), 7);
        assert_eq!(Capacity::Count(5000).of(7), 5000);
    }
}
