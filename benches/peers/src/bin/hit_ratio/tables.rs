//! The results of one set of subjects, as tables and charts.

use crate::plan::{self, Results, Subject, Unit};
use crate::report::{Outcome, Player};
use peers::chart::{self, Series};
use peers::contenders::Contender;
use peers::sheet::Sheet;
use peers::standing::{Cell, Standing, standing};
use peers::table::Table;
use std::io;

/// What is held beyond the capacity and still compared: an entry, or 1 %.
const TOLERANCE: f64 = 0.01;

const STANDINGS: &str = "\
*mean*: of the hit ratios, in percent. *behind*: by how many points the best of all
others was better, the mean over cells; below 0, it was the best itself. *worst*: the
same in the worst cell. *won*: cells where nobody was better. First among all, then
among other libraries only, which for those of larder leaves out larder's other
policies. Whoever held more than its capacity (by an entry, and by 1 %) is nobody's
measure in that cell; how often that was is in the last column.";

/// Replays, and shows.
pub fn run(slug: &str, title: &str, subjects: &[Subject], sheet: &mut Sheet) -> io::Result<()> {
    eprintln!("hit_ratio: {title}");
    let results = plan::run(subjects);
    let board = Board { subjects, results };
    sheet.add(format!("### {title}"));
    let measures: &[Measure] = match subjects.first().map(|subject| subject.unit) {
        Some(Unit::Bytes) => &[Measure::Objects, Measure::Bytes],
        _ => &[Measure::Objects],
    };
    for &measure in measures {
        board.show_standings(slug, title, measure, sheet)?;
    }
    board.show_halves(sheet);
    for &measure in measures {
        board.show_cells(measure, sheet);
    }
    board.show_times(sheet);
    Ok(())
}

/// What a hit counts for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    Objects,
    Bytes,
}

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Measure::Objects => "hit ratio",
            Measure::Bytes => "byte hit ratio",
        }
    }
}

struct Board<'s> {
    subjects: &'s [Subject],
    results: Results,
}

impl Board<'_> {
    fn percent(&self, subject: usize, capacity: usize, player: usize, of: Measure) -> Option<f64> {
        let score = self.results.get(subject, capacity, player)?.score;
        let trace = &self.subjects[subject].trace;
        let requested = trace.sizes.as_ref().map_or(1, |sizes| sizes.requested_bytes);
        Some(match of {
            Measure::Objects => 100.0 * score.hits as f64 / trace.accesses.len() as f64,
            Measure::Bytes => 100.0 * score.hit_weight as f64 / requested as f64,
        })
    }

    fn is_fair(&self, subject: usize, capacity: usize, outcome: &Outcome) -> bool {
        let subject = &self.subjects[subject];
        let may = subject.capacities[capacity].1 as f64;
        let excess = outcome.held as f64 - may;
        excess <= may * TOLERANCE || (subject.unit == Unit::Entries && excess <= 1.0)
    }

    fn players(&self) -> std::ops::Range<usize> {
        0..self.results.players.len()
    }

    fn contender(&self, player: usize) -> Option<Contender> {
        match self.results.players[player] {
            Player::Cache(contender) => Some(contender),
            Player::Opt => None,
        }
    }

    /// By subject and capacity.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let capacities = self.subjects.iter().map(|subject| subject.capacities.len());
        capacities.enumerate().flat_map(|(at, capacities)| (0..capacities).map(move |c| (at, c)))
    }

    fn cells(&self, measure: Measure) -> Vec<Cell> {
        let cell = |(subject, capacity): (usize, usize)| {
            let at = &self.subjects[subject];
            let score = |player| self.percent(subject, capacity, player, measure);
            let is_fair = |player| {
                let outcome = self.results.get(subject, capacity, player);
                outcome.is_some_and(|outcome| self.is_fair(subject, capacity, outcome))
            };
            Cell {
                name: format!("{} at {} %", at.trace.name, at.capacities[capacity].0),
                scores: self.players().map(score).collect(),
                is_fair: self.players().map(is_fair).collect(),
            }
        };
        self.places().map(cell).collect()
    }

    fn show_standings(
        &self,
        slug: &str,
        title: &str,
        measure: Measure,
        sheet: &mut Sheet,
    ) -> io::Result<()> {
        let cells = self.cells(measure);
        let name = measure.name();
        sheet.add(format!("#### Standings, {name}, {} cells", cells.len()));
        sheet.add(STANDINGS);
        let heading = ["", "mean", "behind", "worst", "won", "libraries: behind", "worst", "won"];
        let heading = heading.into_iter().chain(["where", "cells", "over capacity"]);
        let mut table = Table::new(&heading.collect::<Vec<_>>());
        let (mut means, mut gaps) = (Vec::new(), Vec::new());
        for player in self.players() {
            let Some(row) = self.row(&cells, player) else { continue };
            means.push(Series::bar(row.name.clone(), row.all.mean));
            if self.contender(player).is_some() {
                gaps.push(Series::bar(row.name.clone(), row.all.gap.max(0.0)));
            }
            table.row(row.text());
        }
        sheet.add(table);
        let slug = format!("{slug}-{}", name.replace(' ', "-"));
        let title = format!("{title}: mean {name}");
        let svg = chart::bars(&title, "percent", &means);
        sheet.chart(&slug, &title, &svg)?;
        let title = format!("{title}, behind the best of each cell");
        let svg = chart::bars(&title, "points; less is better", &gaps);
        sheet.chart(&format!("{slug}-gap"), &title, &svg)
    }

    fn row(&self, cells: &[Cell], player: usize) -> Option<Row> {
        let is_ours = |player: usize| self.contender(player).is_some_and(Contender::is_larder);
        let caches = || self.players().filter(|&player| self.contender(player).is_some());
        let all: Vec<usize> = caches().collect();
        let libraries: Vec<usize> =
            caches().filter(|&other| !(is_ours(player) && is_ours(other))).collect();
        let unfair = |cell: &&Cell| cell.scores[player].is_some() && !cell.is_fair[player];
        Some(Row {
            name: self.contender(player).map_or("OPT".to_owned(), |one| one.to_string()),
            all: standing(cells, player, &all)?,
            libraries: standing(cells, player, &libraries)?,
            over: cells.iter().filter(unfair).count(),
        })
    }

    /// One row a cell: every hit ratio.
    fn show_cells(&self, measure: Measure, sheet: &mut Sheet) {
        sheet.add(format!("#### Every {} in percent (*: held more than it may)", measure.name()));
        let cells = self.cells(measure);
        let took_part = |player: usize| cells.iter().any(|cell| cell.scores[player].is_some());
        let players: Vec<usize> = self.players().filter(|player| took_part(*player)).collect();
        let names: Vec<String> = players
            .iter()
            .map(|player| self.contender(*player).map_or("OPT".to_owned(), |one| one.to_string()))
            .collect();
        let heading = ["cell", "capacity"].into_iter().chain(names.iter().map(String::as_str));
        let mut table = Table::new(&heading.collect::<Vec<_>>());
        for ((subject, capacity), cell) in self.places().zip(&cells) {
            let entries = self.subjects[subject].capacities[capacity].1;
            let scores = players.iter().map(|&player| {
                let mark = if cell.is_fair[player] { "" } else { "*" };
                cell.scores[player].map_or(String::new(), |percent| format!("{percent:.1}{mark}"))
            });
            table.row([cell.name.clone(), entries.to_string()].into_iter().chain(scores));
        }
        sheet.add(table);
    }

    /// Of sequences that change half-way: whether the default keeps up with the
    /// better policy in each half.
    fn show_halves(&self, sheet: &mut Sheet) {
        let turning = |(subject, _): &(usize, usize)| self.subjects[*subject].turns_at.is_some();
        let places: Vec<(usize, usize)> = self.places().filter(turning).collect();
        if places.is_empty() {
            return;
        }
        sheet.add("#### Sequences that change from one kind to another half-way");
        let mut table = Table::new(&["", "half", "larder", "larder's best static", "behind"]);
        for (subject, capacity) in places {
            for half in [0, 1] {
                let percent = |player| self.percent_of_half(subject, capacity, player, half);
                let is_static =
                    |&p: &usize| matches!(self.contender(p), Some(Contender::LarderWith(_)));
                let of_static = self.players().filter(is_static).filter_map(percent);
                let best = of_static.max_by(f64::total_cmp).unwrap_or(f64::NAN);
                let ours = percent(0).unwrap_or(f64::NAN);
                let at = &self.subjects[subject];
                let name = format!("{} at {} %", at.trace.name, at.capacities[capacity].0);
                let numbers = [ours, best, best - ours].map(|number| format!("{number:.1}"));
                table.row([name, (half + 1).to_string()].into_iter().chain(numbers));
            }
        }
        sheet.add(table);
    }

    fn percent_of_half(&self, subject: usize, at: usize, player: usize, half: u8) -> Option<f64> {
        let outcome = self.results.get(subject, at, player)?;
        let (accesses, turns_at) =
            (self.subjects[subject].trace.accesses.len(), self.subjects[subject].turns_at?);
        let (hits, of) = match half {
            0 => (outcome.hits_before_turn, turns_at),
            _ => (outcome.score.hits - outcome.hits_before_turn, accesses - turns_at),
        };
        Some(100.0 * hits as f64 / of as f64)
    }

    fn show_times(&self, sheet: &mut Sheet) {
        let time = |(player, took): (usize, &std::time::Duration)| {
            let name = self.contender(player).map_or("OPT".to_owned(), |one| one.to_string());
            format!("{name} {:.1} s", took.as_secs_f64())
        };
        let times: Vec<String> = self.results.took.iter().enumerate().map(time).collect();
        sheet.add(format!("Time of all replays: {}.", times.join("; ")));
    }
}

/// A contender in the table of standings.
struct Row {
    name: String,
    all: Standing,
    libraries: Standing,
    over: usize,
}

impl Row {
    fn text(self) -> Vec<String> {
        let Row { name, all, libraries, over } = self;
        let gaps = |s: &Standing| {
            [format!("{:.2}", s.gap), format!("{:.1}", s.worst.0), s.won.to_string()]
        };
        let mut row = vec![name, format!("{:.2}", all.mean)];
        row.extend(gaps(&all));
        row.extend(gaps(&libraries));
        row.extend([all.worst.1, all.cells.to_string(), over.to_string()]);
        row
    }
}
