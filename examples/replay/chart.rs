//! The report as a chart: a panel for each measure, a line for each policy.
//!
//! Lines are named where they end, so that nobody has to match colours with a
//! legend; where lines end close together, the names move apart.

use std::io;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::{Measure, Report, Row, Score, grouped};

const PANEL_PX: (u32, u32) = (900, 520);
const NAMES_PX: u32 = 108;
const NAME_HEIGHT_PX: i32 = 17;
/// A tick closer to the one before goes without its label.
const TICK_LABEL_PX: i32 = 64;

const INK: RGBColor = RGBColor(51, 51, 51);
const OPT_GREY: RGBColor = RGBColor(130, 130, 130);
const GRID_GREY: RGBColor = RGBColor(228, 228, 228);

/// Okabe and Ito's palette, less its yellow, which is lost on white: also told
/// apart by those who see fewer colours.
const POLICY_COLOURS: [RGBColor; 7] = [
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(204, 121, 167),
    RGBColor(0, 158, 115),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 0, 0),
];

pub type ChartError = DrawingAreaErrorKind<io::Error>;
type Canvas<'s> = DrawingArea<SVGBackend<'s>, Shift>;
type Plot<'p, 's> = ChartContext<'p, SVGBackend<'s>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A line to draw: its points are at each row's capacity, in percent.
struct Line {
    name: String,
    style: ShapeStyle,
    dashed: bool,
    points: Vec<(f64, f64)>,
}

/// Draws the report as an SVG.
pub fn svg(report: &Report) -> Result<String, ChartError> {
    let mut svg = String::new();
    let measures = report.trace.measures();
    let width_px = PANEL_PX.0 * measures.len() as u32;
    {
        let canvas = SVGBackend::with_string(&mut svg, (width_px, PANEL_PX.1)).into_drawing_area();
        canvas.fill(&WHITE)?;
        for (panel, &measure) in canvas.split_evenly((1, measures.len())).iter().zip(measures) {
            draw_panel(panel, report, measure)?;
        }
        canvas.present()?;
    }
    Ok(svg)
}

fn draw_panel(panel: &Canvas, report: &Report, measure: Measure) -> Result<(), ChartError> {
    let lines = lines(report, measure);
    let mut plot = ChartBuilder::on(panel)
        .margin(14)
        .margin_top(64)
        .margin_right(14 + NAMES_PX)
        .x_label_area_size(58)
        .y_label_area_size(48)
        .build_cartesian_2d(x_range(&report.rows), 0.0..y_top(&lines))?;
    plot.configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_labels(8)
        .y_label_formatter(&|percent| format!("{percent}%"))
        .label_style(font(13).color(&INK))
        .bold_line_style(GRID_GREY)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .draw()?;
    draw_titles(panel, report, measure)?;
    draw_ticks(panel, &plot, report)?;
    for line in &lines {
        draw_line(&mut plot, line)?;
    }
    draw_names(panel, &plot, &lines)
}

/// OPT first, so that the policies are drawn over it.
fn lines(report: &Report, measure: Measure) -> Vec<Line> {
    let points = |score_of: &dyn Fn(&Row) -> Score| {
        let percent = |row| report.trace.percent(score_of(row), measure);
        report.rows.iter().map(|row| (x(row), percent(row))).collect()
    };
    let mut lines = vec![Line {
        name: "OPT".to_string(),
        style: OPT_GREY.stroke_width(2),
        dashed: true,
        points: points(&|row| row.opt),
    }];
    for (index, policy) in report.policies.iter().enumerate() {
        lines.push(Line {
            name: policy.eviction.to_string(),
            style: POLICY_COLOURS[index % POLICY_COLOURS.len()].stroke_width(2),
            dashed: false,
            points: points(&|row| row.scores[index]),
        });
    }
    lines
}

/// Where a row stands on the logarithmic axis of capacities.
fn x(row: &Row) -> f64 {
    (row.capacity as f64).ln()
}

fn x_range(rows: &[Row]) -> std::ops::Range<f64> {
    let ends = rows.first().zip(rows.last());
    let (low, high) = ends.map_or((0.0, 0.0), |(first, last)| (x(first), x(last)));
    // A single capacity has no width of its own, and stands in the middle.
    let margin = if high > low { (high - low) * 0.04 } else { 1.0 };
    low - margin..high + margin
}

/// A round number of percents above all points.
fn y_top(lines: &[Line]) -> f64 {
    let points = lines.iter().flat_map(|line| &line.points);
    let highest = points.map(|point| point.1).fold(0.0, f64::max);
    let step = [0.1, 0.5, 1.0, 5.0].into_iter().find(|step| highest <= step * 10.0).unwrap_or(10.0);
    ((highest / step).ceil() * step).max(step)
}

fn font(size_px: u32) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size_px).into_font())
}

fn draw_titles(panel: &Canvas, report: &Report, measure: Measure) -> Result<(), ChartError> {
    let trace = &report.trace;
    let title = format!("{}: {} by capacity", trace.name, measure.title());
    let below = format!("{} accesses to {} keys", grouped(trace.accesses), grouped(trace.distinct));
    panel.draw(&Text::new(title, (62, 14), font(20).color(&INK)))?;
    panel.draw(&Text::new(below, (62, 40), font(13).color(&OPT_GREY)))
}

/// A grid line at each capacity; below it the share, and the count.
fn draw_ticks(panel: &Canvas, plot: &Plot, report: &Report) -> Result<(), ChartError> {
    let style = font(13).color(&INK).pos(Pos::new(HPos::Center, VPos::Top));
    let faint = font(12).color(&OPT_GREY).pos(Pos::new(HPos::Center, VPos::Top));
    let y_range = plot.y_range();
    let mut labelled_to = i32::MIN;
    for row in &report.rows {
        let foot = on_panel(panel, plot, (x(row), y_range.start));
        let head = on_panel(panel, plot, (x(row), y_range.end));
        panel.draw(&PathElement::new([foot, head], GRID_GREY))?;
        if foot.0 < labelled_to {
            continue;
        }
        labelled_to = foot.0 + TICK_LABEL_PX;
        let (share, count) = (report.share(row), grouped(row.capacity));
        panel.draw(&Text::new(share, (foot.0, foot.1 + 8), style.clone()))?;
        panel.draw(&Text::new(count, (foot.0, foot.1 + 26), faint.clone()))?;
    }
    let below = match &report.trace.bytes {
        None => "capacity: share of the distinct keys, and entries",
        Some(_) => "capacity: share of all objects' bytes, and bytes",
    };
    let middle = (panel.dim_in_pixel().0 as i32 - NAMES_PX as i32 + 48) / 2;
    let bottom = panel.dim_in_pixel().1 as i32 - 20;
    panel.draw(&Text::new(below, (middle, bottom), faint))
}

fn draw_line(plot: &mut Plot, line: &Line) -> Result<(), ChartError> {
    let points = line.points.iter().copied();
    if line.dashed {
        plot.draw_series(DashedLineSeries::new(points, 10, 6, line.style))?;
    } else {
        plot.draw_series(LineSeries::new(points.clone(), line.style))?;
        let dot = |point| Circle::new(point, 3, line.style.filled());
        plot.draw_series(points.map(dot))?;
    }
    Ok(())
}

/// Names each line to the right of its end.
fn draw_names(panel: &Canvas, plot: &Plot, lines: &[Line]) -> Result<(), ChartError> {
    let end_of = |line: &Line| Some(on_panel(panel, plot, *line.points.last()?));
    let mut named: Vec<_> = lines.iter().filter_map(|line| Some((end_of(line)?, line))).collect();
    named.sort_by_key(|((_, y), _)| *y);
    let ends: Vec<i32> = named.iter().map(|((_, y), _)| *y).collect();
    let bottom = on_panel(panel, plot, (plot.x_range().end, 0.0));
    let name_x = bottom.0 + 16;
    for ((end, line), name_y) in named.iter().zip(apart(&ends, bottom.1)) {
        let leader = [(end.0 + 6, end.1), (name_x - 12, name_y), (name_x - 4, name_y)];
        let style = font(13).color(&line.style.color).pos(Pos::new(HPos::Left, VPos::Center));
        panel.draw(&PathElement::new(leader, line.style.color.mix(0.5)))?;
        panel.draw(&Text::new(line.name.as_str(), (name_x, name_y), style))?;
    }
    Ok(())
}

/// Moves heights apart until names fit between them: down from the first one,
/// and back up from `bottom` where there are too many. Expects them sorted.
fn apart(heights: &[i32], bottom: i32) -> Vec<i32> {
    let mut apart = heights.to_vec();
    for index in 1..apart.len() {
        apart[index] = apart[index].max(apart[index - 1] + NAME_HEIGHT_PX);
    }
    let mut limit = bottom;
    for height in apart.iter_mut().rev() {
        *height = limit.min(*height);
        limit = *height - NAME_HEIGHT_PX;
    }
    apart
}

/// The pixel of the panel where the plot shows a point.
fn on_panel(panel: &Canvas, plot: &Plot, point: (f64, f64)) -> (i32, i32) {
    let (x, y) = plot.backend_coord(&point);
    let (left, top) = panel.get_base_pixel();
    (x - left, y - top)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn a_chart_names_the_trace_and_every_line() {
        let svg = svg(&report()).unwrap();
        for text in ["web: hit ratio by capacity", "fifo", "lru", "OPT", "50%"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn a_single_capacity_without_hits_can_be_drawn() {
        let mut report = report();
        report.rows.truncate(1);
        report.rows[0].scores.fill(Score::default());
        report.rows[0].opt = Score::default();
        assert!(svg(&report).is_ok());
    }

    #[test]
    fn names_keep_their_distance() {
        assert_eq!(apart(&[10, 12, 90], 100), [10, 27, 90]);
        assert_eq!(apart(&[80, 90, 95], 100), [66, 83, 100]);
        assert_eq!(apart(&[], 100), []);
    }
}
