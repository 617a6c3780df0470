//! The rounds as a table, and as a chart of letters.

use super::Round;
use std::fmt::Write;
use std::time::Duration;

const BAR: usize = 44;

pub fn text(rounds: &[Round]) -> String {
    let mut text = String::new();
    let mut line = |cells: [&str; 9]| {
        let [name, rest @ ..] = cells;
        let _ = write!(text, "{name:<14}");
        for cell in rest {
            let _ = write!(text, "{cell:>10}");
        }
        text.push('\n');
    };
    line(["", "hits", "reads", "writes", "coa-", "read", "read", "write", "write"]);
    line(["", "", "of the DB", "of the DB", "lesced", "p50", "p99", "p50", "p99"]);
    for round in rounds {
        line([
            round.name,
            &format!("{:.1} %", round.hit_ratio * 100.0),
            &round.reads.to_string(),
            &round.writes.to_string(),
            &round.coalesced.to_string(),
            &time(percentile(&round.read_latency, 50)),
            &time(percentile(&round.read_latency, 99)),
            &time(percentile(&round.write_latency, 50)),
            &time(percentile(&round.write_latency, 99)),
        ]);
    }
    let Some(plain) = rounds.first() else { return text };
    text.push_str("\nCalls of the database, reads (=) and writes (#):\n\n");
    let most = plain.reads + plain.writes;
    for round in rounds {
        let bar = |calls: u64| (calls * BAR as u64).div_ceil(most) as usize;
        let saved = 100.0 - (round.reads + round.writes) as f64 / most as f64 * 100.0;
        let _ = writeln!(
            text,
            "{:<14}{}{}  {}, {saved:.0} % saved, in {}",
            round.name,
            "=".repeat(bar(round.reads)),
            "#".repeat(bar(round.writes)),
            round.reads + round.writes,
            time(round.took),
        );
    }
    text
}

pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}

fn time(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    match nanos {
        ..1e3 => format!("{nanos:.0} ns"),
        ..1e6 => format!("{:.1} µs", nanos / 1e3),
        ..1e9 => format!("{:.1} ms", nanos / 1e6),
        _ => format!("{:.1} s", nanos / 1e9),
    }
}
