//! The rounds as a chart: calls of the database, and latencies of writes.

use super::Round;
use super::table::percentile;
use plotters::prelude::*;
use std::io;

type ChartError = DrawingAreaErrorKind<io::Error>;
type Canvas<'s> = DrawingArea<SVGBackend<'s>, plotters::coord::Shift>;

const PANEL_PX: (u32, u32) = (520, 340);
const NAMES_PX: i32 = 110;
const BAR_PX: i32 = 22;
const ROW_PX: i32 = 62;
const READS: RGBColor = RGBColor(86, 180, 233);
const WRITES: RGBColor = RGBColor(230, 159, 0);
const INK: RGBColor = RGBColor(51, 51, 51);

/// A panel: its title, and for each round two bars and what they say.
struct Panel {
    title: &'static str,
    bars: Vec<[(f64, String); 2]>,
}

pub fn svg(rounds: &[Round]) -> Result<String, ChartError> {
    let calls = |count: u64, what: &str| (count as f64, format!("{count} {what}"));
    let micros = |round: &Round, percent: usize| {
        let micros = percentile(&round.write_latency, percent).as_secs_f64() * 1e6;
        // On a logarithmic scale, from a tenth of a microsecond.
        ((micros / 0.1).max(1.0).log10(), format!("p{percent} {micros:.1} µs"))
    };
    let panels = [
        Panel {
            title: "Calls of the database",
            bars: rounds
                .iter()
                .map(|r| [calls(r.reads, "reads"), calls(r.writes, "writes")])
                .collect(),
        },
        Panel {
            title: "Time of a write (logarithmic)",
            bars: rounds.iter().map(|r| [micros(r, 50), micros(r, 99)]).collect(),
        },
    ];
    let mut svg = String::new();
    {
        let size = (PANEL_PX.0 * panels.len() as u32, PANEL_PX.1);
        let canvas = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        canvas.fill(&WHITE)?;
        for (area, panel) in canvas.split_evenly((1, panels.len())).iter().zip(&panels) {
            draw(area, panel, rounds)?;
        }
        canvas.present()?;
    }
    Ok(svg)
}

fn draw(area: &Canvas<'_>, panel: &Panel, rounds: &[Round]) -> Result<(), ChartError> {
    let font = |size: i32| ("sans-serif", size).into_font().color(&INK);
    area.draw(&Text::new(panel.title, (14, 16), font(17)))?;
    let most = panel.bars.iter().flatten().map(|(length, _)| *length).fold(1.0, f64::max);
    let room = PANEL_PX.0 as i32 - NAMES_PX - 130;
    for (at, (round, bars)) in rounds.iter().zip(&panel.bars).enumerate() {
        let top = 56 + at as i32 * ROW_PX;
        area.draw(&Text::new(round.name, (14, top + 12), font(14)))?;
        for ((length, label), (below, colour)) in bars.iter().zip([(0, READS), (BAR_PX, WRITES)]) {
            let end = NAMES_PX + (length / most * f64::from(room)) as i32;
            let (from, to) = ((NAMES_PX, top + below), (end, top + below + BAR_PX - 3));
            area.draw(&Rectangle::new([from, to], colour.filled()))?;
            area.draw(&Text::new(label.clone(), (end + 6, top + below + 3), font(12)))?;
        }
    }
    Ok(())
}
