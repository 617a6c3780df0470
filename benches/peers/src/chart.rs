//! Charts as SVG, by hand: bars side by side, and lines that are named where
//! they end, so that nobody has to match colours with a legend.

use std::fmt::Write;

const INK: &str = "#333333";
const FAINT: &str = "#828282";
const GRID: &str = "#e4e4e4";
/// Whoever the chart is about.
const OURS: &str = "#d55e00";
const THEIRS: &str = "#7b9cb8";

/// Okabe and Ito's palette, less its yellow, which is lost on white, and less
/// the vermilion of [`OURS`].
const LINES: [&str; 6] = ["#e69f00", "#56b4e9", "#cc79a7", "#009e73", "#0072b2", "#000000"];

const NAME_HEIGHT: f64 = 15.0;

/// A bar, or a line with a value at each position, if it has one there.
#[derive(Clone, Debug)]
pub struct Series {
    /// As it is shown; those of larder stand out.
    pub name: String,
    /// From left to right.
    pub values: Vec<Option<f64>>,
}

impl Series {
    /// One value: a bar.
    #[must_use]
    pub fn bar(name: impl Into<String>, value: f64) -> Self {
        Series { name: name.into(), values: vec![Some(value)] }
    }

    fn is_ours(&self) -> bool {
        self.name.starts_with("larder")
    }
}

/// Horizontal bars, in the order given.
#[must_use]
pub fn bars(title: &str, unit: &str, series: &[Series]) -> String {
    const LEFT: f64 = 190.0;
    const LENGTH: f64 = 520.0;
    const STEP: f64 = 22.0;
    let values = series.iter().flat_map(|series| &series.values).flatten();
    let largest = values.copied().fold(f64::MIN_POSITIVE, f64::max);
    let mut svg = open(800.0, 64.0 + STEP * series.len() as f64, title, unit);
    for (at, one) in series.iter().enumerate() {
        let Some(&Some(value)) = one.values.first() else { continue };
        let y = 56.0 + STEP * at as f64;
        let colour = if one.is_ours() { OURS } else { THEIRS };
        let width = (LENGTH * value / largest).max(1.0);
        text(&mut svg, LEFT - 8.0, y + 12.0, "end", INK, &one.name);
        let _ = writeln!(
            svg,
            r#"<rect x="{LEFT}" y="{y}" width="{width:.1}" height="16" fill="{colour}"/>"#
        );
        text(&mut svg, LEFT + width + 6.0, y + 12.0, "start", INK, &short(value));
    }
    svg + "</svg>\n"
}

/// Lines over the same positions from left to right, from 0 upwards.
#[must_use]
pub fn lines(title: &str, unit: &str, positions: &[String], series: &[Series]) -> String {
    let frame = Frame::of(positions.len(), series);
    let mut svg = open(Frame::WIDTH, Frame::HEIGHT, title, unit);
    frame.draw_grid(&mut svg, positions);
    let mut ends = Vec::new();
    for (at, one) in series.iter().enumerate() {
        let style = Style::of(at, one);
        let points = one.values.iter().enumerate();
        let points: Vec<(f64, f64)> =
            points.filter_map(|(x, y)| Some((frame.x(x), frame.y((*y)?)))).collect();
        draw_line(&mut svg, &points, style);
        ends.extend(points.last().map(|&end| (end, one, style)));
    }
    ends.sort_by(|(a, ..), (b, ..)| a.1.total_cmp(&b.1));
    let heights: Vec<f64> = ends.iter().map(|((_, y), ..)| *y).collect();
    for (((x, y), one, style), name_y) in ends.iter().zip(apart(&heights, frame.y(0.0))) {
        let (from, to) = (x + 5.0, Frame::RIGHT + 12.0);
        let _ = writeln!(
            svg,
            r#"<path d="M{from:.1},{y:.1} L{to:.1},{name_y:.1}" stroke="{}" stroke-opacity="0.4" fill="none"/>"#,
            style.colour
        );
        text(&mut svg, Frame::RIGHT + 16.0, name_y + 4.0, "start", style.colour, &one.name);
    }
    svg + "</svg>\n"
}

/// Where the lines are drawn, and to which scale.
struct Frame {
    positions: usize,
    top: f64,
}

impl Frame {
    const WIDTH: f64 = 860.0;
    const HEIGHT: f64 = 480.0;
    const LEFT: f64 = 60.0;
    const RIGHT: f64 = 640.0;
    const TOP: f64 = 64.0;
    const BOTTOM: f64 = 440.0;

    fn of(positions: usize, series: &[Series]) -> Self {
        let values = series.iter().flat_map(|series| &series.values).flatten();
        let largest = values.copied().fold(f64::MIN_POSITIVE, f64::max);
        Frame { positions, top: step(largest) * (largest / step(largest)).ceil() }
    }

    fn x(&self, position: usize) -> f64 {
        let share = (position as f64 + 0.5) / self.positions as f64;
        Self::LEFT + share * (Self::RIGHT - Self::LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        Self::BOTTOM - value / self.top * (Self::BOTTOM - Self::TOP)
    }

    fn draw_grid(&self, svg: &mut String, positions: &[String]) {
        let step = step(self.top);
        for tick in 0..=(self.top / step).round() as usize {
            let (value, y) = (tick as f64 * step, self.y(tick as f64 * step));
            let _ = writeln!(
                svg,
                r#"<path d="M{},{y:.1} L{},{y:.1}" stroke="{GRID}"/>"#,
                Self::LEFT,
                Self::RIGHT
            );
            text(svg, Self::LEFT - 6.0, y + 4.0, "end", FAINT, &short(value));
        }
        for (at, position) in positions.iter().enumerate() {
            text(svg, self.x(at), Self::BOTTOM + 18.0, "middle", INK, position);
        }
    }
}

#[derive(Clone, Copy)]
struct Style {
    colour: &'static str,
    width: f64,
    is_dashed: bool,
}

impl Style {
    fn of(at: usize, series: &Series) -> Self {
        let is_dashed = at >= LINES.len();
        match series.name.as_str() {
            "larder" => Style { colour: OURS, width: 3.0, is_dashed: false },
            _ if series.is_ours() => Style { colour: OURS, width: 1.2, is_dashed: true },
            _ => Style { colour: LINES[at % LINES.len()], width: 1.6, is_dashed },
        }
    }
}

fn draw_line(svg: &mut String, points: &[(f64, f64)], style: Style) {
    let points_text: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let dashes = if style.is_dashed { r#" stroke-dasharray="6 4""# } else { "" };
    let (colour, width) = (style.colour, style.width);
    let _ = writeln!(
        svg,
        r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes}/>"#,
        points_text.join(" ")
    );
    for (x, y) in points {
        let _ = writeln!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="2.5" fill="{colour}"/>"#);
    }
}

fn open(width: f64, height: f64, title: &str, unit: &str) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"14\" y=\"24\" font-size=\"17\" fill=\"{INK}\">{}</text>\n",
        escaped(title)
    );
    text(&mut svg, 14.0, 43.0, "start", FAINT, unit);
    svg
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, colour: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{colour}">{text}</text>"#
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.2}"),
    }
}

/// A round step that goes five to ten times into `range`.
fn step(range: f64) -> f64 {
    let decade = 10_f64.powf((range / 5.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
    steps.into_iter().find(|step| range / step <= 10.0).unwrap_or(steps[3])
}

/// Moves heights apart until names fit between them: down from the first one,
/// and back up from `bottom` where there are too many. Expects them sorted.
fn apart(heights: &[f64], bottom: f64) -> Vec<f64> {
    let mut apart = heights.to_vec();
    for at in 1..apart.len() {
        apart[at] = apart[at].max(apart[at - 1] + NAME_HEIGHT);
    }
    let mut limit = bottom;
    for height in apart.iter_mut().rev() {
        *height = height.min(limit);
        limit = *height - NAME_HEIGHT;
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_in_the_chart() {
        let series = [Series::bar("larder", 12.345), Series::bar("a < b", 250.0)];
        let svg = bars("Bytes & blocks", "bytes", &series);
        for part in ["larder", "12.3", "250", "a &lt; b", "Bytes &amp; blocks"] {
            assert!(svg.contains(part), "{part}");
        }
        assert!(svg.ends_with("</svg>\n"));
    }

    #[test]
    fn a_line_has_a_point_where_it_has_a_value() {
        let values = vec![Some(1.0), None, Some(3.0)];
        let series = [Series { name: "moka".into(), values }];
        let positions = ["1", "2", "4"].map(str::to_owned);
        let svg = lines("Hits", "per second", &positions, &series);
        assert_eq!(svg.matches("<circle").count(), 2);
    }

    #[test]
    fn a_chart_without_values_can_be_drawn() {
        assert!(lines("", "", &[], &[]).contains("</svg>"));
        assert!(bars("", "", &[]).contains("</svg>"));
    }

    #[test]
    fn names_keep_their_distance() {
        assert_eq!(apart(&[10., 12., 90.], 100.), [10., 25., 90.]);
        assert_eq!(apart(&[80., 90., 95.], 100.), [70., 85., 100.]);
    }

    #[test]
    fn an_axis_has_five_to_ten_steps() {
        for range in [0.03, 1.0, 7.3, 99.0, 12345.0] {
            let steps = range / step(range);
            assert!((4.9..=10.0).contains(&steps), "{range}: {steps}");
        }
    }
}
