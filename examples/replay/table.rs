//! The report as tables, which are Markdown: aligned for a terminal, and fit
//! to be pasted into an issue.

use std::time::Duration;

use larder::Eviction;

use crate::report::{Measure, Report, Row, grouped};

/// One table for each measure, and a sentence on the trace above them.
pub fn text(report: &Report) -> String {
    let mut text = heading(report);
    for &measure in report.trace.measures() {
        text += &format!("\n{} in % (* = best of the row)\n\n", measure.title());
        let mut table = Table::with_head(head(report));
        for row in &report.rows {
            table.push(cells(report, row, measure));
        }
        if measure == Measure::HitRatio {
            table.push(speeds(report));
        }
        text += &table.to_markdown();
    }
    text + "\n" + &footing(report)
}

fn heading(report: &Report) -> String {
    let trace = &report.trace;
    let mut heading = format!(
        "{}: {} accesses to {} keys",
        trace.name,
        grouped(trace.accesses),
        grouped(trace.distinct)
    );
    if let Some(bytes) = &trace.bytes {
        heading += &format!(" of {} bytes", grouped(bytes.footprint));
    }
    heading += &format!("; without any eviction {:.2} % would hit.\n", trace.percent_unbounded());
    heading
}

fn footing(report: &Report) -> String {
    let opt = match report.trace.bytes {
        None => "no cache of as many entries hits more",
        Some(_) => "few caches of as many bytes hit more",
    };
    let default = Eviction::default();
    format!("OPT knows the future: {opt}. larder's default is {default}.\n")
}

fn head(report: &Report) -> Vec<String> {
    let mut head = vec!["capacity".to_string(), report.trace.unit().to_string()];
    head.extend(report.policies.iter().map(|policy| policy.eviction.to_string()));
    head.push("OPT".to_string());
    head
}

fn cells(report: &Report, row: &Row, measure: Measure) -> Vec<String> {
    let best = best(row, measure);
    let mut cells = vec![report.share(row), row.capacity.to_string()];
    for &score in &row.scores {
        // The blank keeps the digits of a column under each other.
        let is_best = Some(score.of(measure)) == best;
        let mark = if is_best { '*' } else { ' ' };
        cells.push(format!("{:.2}{mark}", report.trace.percent(score, measure)));
    }
    cells.push(format!("{:.2}", report.trace.percent(row.opt, measure)));
    cells
}

/// The best score of a row, if that says something.
fn best(row: &Row, measure: Measure) -> Option<u64> {
    let scores = row.scores.iter().map(|score| score.of(measure));
    scores.max().filter(|&best| best > 0 && row.scores.len() > 1)
}

fn speeds(report: &Report) -> Vec<String> {
    let accesses = report.trace.accesses * report.rows.len() as u64;
    let mut cells = vec!["M accesses/s".to_string(), String::new()];
    for policy in &report.policies {
        cells.push(format!("{:.1} ", millions_per_second(accesses, policy.elapsed)));
    }
    cells.push(String::new());
    cells
}

fn millions_per_second(accesses: u64, elapsed: Duration) -> f64 {
    // A clock may be too coarse to see a tiny trace.
    let seconds = elapsed.max(Duration::from_nanos(1)).as_secs_f64();
    accesses as f64 / seconds / 1e6
}

/// Rows of equally many cells; all but the first column are numbers.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn with_head(head: Vec<String>) -> Self {
        Table { rows: vec![head] }
    }

    fn push(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn to_markdown(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            text += &line(row, &widths);
            if index == 0 {
                text += &rule(&widths);
            }
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| self.rows.iter().map(move |row| row[column].chars().count());
        let columns = 0..self.rows[0].len();
        columns.map(|column| width(column).max().unwrap_or(0)).collect()
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (column, (cell, &width)) in cells.iter().zip(widths).enumerate() {
        line += &match column {
            0 => format!("| {cell:<width$} |"),
            _ => format!(" {cell:>width$} |"),
        };
    }
    line + "\n"
}

fn rule(widths: &[usize]) -> String {
    let mut line = String::new();
    for (column, &width) in widths.iter().enumerate() {
        line += &match column {
            0 => format!("|{:-<1$}|", "", width + 2),
            _ => format!("{:-<1$}:|", "", width + 1),
        };
    }
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn a_table_is_aligned_and_marks_the_best() {
        let text = text(&report());
        let table: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(
            table,
            [
                "| capacity     | entries |   fifo |    lru |   OPT |",
                "|--------------|--------:|-------:|-------:|------:|",
                "| 1%           |       5 | 10.00  | 10.10* | 40.00 |",
                "| 50%          |     250 | 50.00* | 50.00* | 50.00 |",
                "| M accesses/s |         |   2.0  |   1.0  |       |",
            ]
        );
    }

    #[test]
    fn the_heading_sums_up_the_trace() {
        let text = text(&report());
        assert_eq!(
            text.lines().next(),
            Some("web: 1,000 accesses to 500 keys; without any eviction 50.00 % would hit.")
        );
    }
}
