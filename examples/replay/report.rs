//! What a replay found, ready to be shown as a table or as a chart.

use std::time::Duration;

use larder::Eviction;

use crate::args::Capacity;
use crate::trace::Trace;

/// The results of one trace.
pub struct Report {
    pub trace: Summary,
    /// The policies, in the order of each row's scores.
    pub policies: Vec<Policy>,
    /// By capacity, smallest first.
    pub rows: Vec<Row>,
}

/// A trace in a few numbers.
pub struct Summary {
    pub name: String,
    pub accesses: u64,
    pub distinct: u64,
    /// Of a trace with sizes, whose capacities are bytes.
    pub bytes: Option<SummaryBytes>,
}

/// The numbers that only a trace with sizes has.
pub struct SummaryBytes {
    pub footprint: u64,
    pub requested: u64,
}

/// A policy, and how long its replays took, all capacities together.
pub struct Policy {
    pub eviction: Eviction,
    pub elapsed: Duration,
}

/// All policies at one capacity.
pub struct Row {
    /// The capacity as it was asked for.
    pub asked: Capacity,
    /// The capacity in entries or, for a trace with sizes, in bytes.
    pub capacity: u64,
    pub scores: Vec<Score>,
    pub opt: Score,
}

/// What a cache had at hand when asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    pub hits: u64,
    /// The weights of these hits together.
    pub hit_weight: u64,
}

/// What a hit counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    HitRatio,
    ByteHitRatio,
}

impl Score {
    pub fn hit(&mut self, weight: u64) {
        self.hits += 1;
        self.hit_weight += weight;
    }

    /// The part of this score that `measure` looks at.
    pub fn of(&self, measure: Measure) -> u64 {
        match measure {
            Measure::HitRatio => self.hits,
            Measure::ByteHitRatio => self.hit_weight,
        }
    }
}

impl Measure {
    pub fn title(self) -> &'static str {
        match self {
            Measure::HitRatio => "hit ratio",
            Measure::ByteHitRatio => "byte hit ratio",
        }
    }
}

impl Summary {
    pub fn of(trace: &Trace) -> Self {
        Summary {
            name: trace.name.clone(),
            accesses: trace.accesses.len() as u64,
            distinct: trace.distinct as u64,
            bytes: trace.sizes.as_ref().map(|sizes| SummaryBytes {
                footprint: sizes.footprint_bytes,
                requested: sizes.requested_bytes,
            }),
        }
    }

    /// What a cache would hold that never evicts.
    pub fn footprint(&self) -> u64 {
        self.bytes.as_ref().map_or(self.distinct, |bytes| bytes.footprint)
    }

    /// What this trace's capacities count.
    pub fn unit(&self) -> &'static str {
        match self.bytes {
            None => "entries",
            Some(_) => "bytes",
        }
    }

    /// What there is to tell about this trace.
    pub fn measures(&self) -> &'static [Measure] {
        match self.bytes {
            None => &[Measure::HitRatio],
            Some(_) => &[Measure::HitRatio, Measure::ByteHitRatio],
        }
    }

    /// A score as a share of all that was asked for.
    pub fn percent(&self, score: Score, measure: Measure) -> f64 {
        let asked = match (measure, &self.bytes) {
            (Measure::ByteHitRatio, Some(bytes)) => bytes.requested,
            _ => self.accesses,
        };
        // A trace may consist of empty objects.
        100.0 * score.of(measure) as f64 / asked.max(1) as f64
    }

    /// The hit ratio of a cache that never evicts: each key misses once.
    pub fn percent_unbounded(&self) -> f64 {
        100.0 * (self.accesses - self.distinct) as f64 / self.accesses as f64
    }
}

impl Report {
    /// A report without any row yet.
    pub fn new(trace: &Trace, evictions: &[Eviction]) -> Self {
        let policy = |&eviction| Policy { eviction, elapsed: Duration::ZERO };
        Report {
            trace: Summary::of(trace),
            policies: evictions.iter().map(policy).collect(),
            rows: Vec::new(),
        }
    }

    /// A row's capacity as a share of the trace's footprint.
    pub fn share(&self, row: &Row) -> String {
        match row.asked {
            Capacity::Percent(percent) => format!("{percent}%"),
            Capacity::Count(count) => {
                let percent = 100.0 * count as f64 / self.trace.footprint().max(1) as f64;
                // Two digits that count, also for small shares.
                let decimals = (1.0 - percent.log10().floor()).clamp(0.0, 6.0) as usize;
                format!("{percent:.decimals$}%")
            }
        }
    }
}

/// A number with a comma before each third digit from the end.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn policy(eviction: Eviction, elapsed_ms: u64) -> Policy {
        Policy { eviction, elapsed: Duration::from_millis(elapsed_ms) }
    }

    fn row(asked: Capacity, capacity: u64, hits: [u64; 2], opt_hits: u64) -> Row {
        let score = |hits| Score { hits, hit_weight: hits };
        Row { asked, capacity, scores: hits.map(score).to_vec(), opt: score(opt_hits) }
    }

    /// Two policies at two capacities.
    pub fn report() -> Report {
        Report {
            trace: Summary { name: "web".to_string(), accesses: 1000, distinct: 500, bytes: None },
            policies: vec![policy(Eviction::Fifo, 1), policy(Eviction::Lru, 2)],
            rows: vec![
                row(Capacity::Percent(1.0), 5, [100, 101], 400),
                row(Capacity::Count(250), 250, [500, 500], 500),
            ],
        }
    }

    #[test]
    fn byte_hit_ratios_are_shares_of_the_requested_bytes() {
        let mut summary = report().trace;
        summary.bytes = Some(SummaryBytes { footprint: 60, requested: 80 });
        let score = Score { hits: 10, hit_weight: 20 };
        assert_eq!(summary.percent(score, Measure::HitRatio), 1.0);
        assert_eq!(summary.percent(score, Measure::ByteHitRatio), 25.0);
        assert_eq!(summary.footprint(), 60);
    }

    #[test]
    fn a_share_of_a_count_has_two_digits_that_count() {
        let share = |count| {
            let asked = Capacity::Count(count);
            report().share(&row(asked, count, [0, 0], 0))
        };
        assert_eq!(share(1), "0.20%");
        assert_eq!(share(7), "1.4%");
        assert_eq!(share(60), "12%");
        assert_eq!(share(5000), "1000%");
    }

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(12_345_678), "12,345,678");
    }
}
