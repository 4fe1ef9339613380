//! Curves of what grows, as an image.

use std::fmt::Write as _;

use crate::table::{Row, figures};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
/// Around the plot: for the numbers and what they mean.
const LEFT: f64 = 72.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 56.0;
/// Told apart by those who see no colours, too: by how light they are.
const COLOURS: [&str; 4] = ["#1b4f8f", "#c2571a", "#3f9e6e", "#8a8a8a"];

/// What a chart is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    /// What grows, from left to right, by powers of ten.
    pub(crate) across: &'static str,
    /// What is measured.
    pub(crate) up: &'static str,
}

/// The medians of one subject, by size.
type Curve = (&'static str, Vec<(f64, f64)>);

impl Chart {
    /// Draws the rows that have sizes; none if there are no two sizes.
    pub(crate) fn of(self, rows: &[Row]) -> Option<String> {
        let curves = curves(rows);
        let points = || curves.iter().flat_map(|(_, points)| points.iter().copied());
        let least = points().map(|(size, _)| size).min_by(f64::total_cmp)?;
        let most = points().map(|(size, _)| size).max_by(f64::total_cmp).filter(|most| *most > least)?;
        let step = step(points().map(|(_, value)| value).max_by(f64::total_cmp)?);
        let highest = points().map(|(_, value)| (value / step).ceil() * step).max_by(f64::total_cmp)?;
        let plot = Plot { least, most, highest };
        let mut out = String::new();
        // Writing into a string can't fail.
        let _ = self.draw(&mut out, &plot, step, &curves);
        Some(out)
    }

    fn draw(self, out: &mut String, plot: &Plot, step: f64, curves: &[Curve]) -> std::fmt::Result {
        let Self { title, across, up } = self;
        writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">"#
        )?;
        writeln!(out, r#"<rect width="100%" height="100%" fill="white"/>"#)?;
        writeln!(out, r#"<text x="{LEFT}" y="24" font-size="16">{}</text>"#, escaped(title))?;
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut value = 0.0;
        while value <= plot.highest {
            let y = plot.y(value);
            writeln!(out, r##"<path d="M{LEFT} {y:.1}H{right}" stroke="#ddd"/>"##)?;
            let number = figures(value);
            let number = number.strip_suffix(".00").or_else(|| number.strip_suffix(".0")).unwrap_or(&number);
            writeln!(
                out,
                r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{number}</text>"#,
                LEFT - 8.0,
                y + 4.0
            )?;
            value += step;
        }
        let mut sizes: Vec<f64> =
            curves.iter().flat_map(|(_, points)| points.iter().map(|(x, _)| *x)).collect();
        sizes.sort_unstable_by(f64::total_cmp);
        sizes.dedup();
        for size in sizes {
            let (x, number) = (plot.x(size), figures(size));
            let number = number.strip_suffix(".0").unwrap_or(&number);
            writeln!(out, r##"<path d="M{x:.1} {bottom}v5" stroke="#666"/>"##)?;
            writeln!(
                out,
                r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{number}</text>"#,
                bottom + 20.0
            )?;
        }
        let middle = (LEFT + right) / 2.0;
        writeln!(
            out,
            r#"<text x="{middle}" y="{}" text-anchor="middle">{}</text>"#,
            HEIGHT - 14.0,
            escaped(across)
        )?;
        let middle = (TOP + bottom) / 2.0;
        writeln!(
            out,
            r#"<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">{}</text>"#,
            escaped(up)
        )?;
        let mut lowest_label = f64::INFINITY;
        let mut labels: Vec<_> = curves.iter().zip(COLOURS.iter().cycle()).collect();
        labels.sort_by(|((_, one), _), ((_, other), _)| last(one).total_cmp(&last(other)));
        for ((name, points), colour) in labels {
            write!(out, r#"<polyline fill="none" stroke="{colour}" stroke-width="2" points=""#)?;
            for (size, value) in points {
                write!(out, "{:.1},{:.1} ", plot.x(*size), plot.y(*value))?;
            }
            writeln!(out, r#""/>"#)?;
            for (size, value) in points {
                let (x, y) = (plot.x(*size), plot.y(*value));
                writeln!(
                    out,
                    r#"<circle cx="{x:.1}" cy="{y:.1}" r="3.5" fill="{colour}"><title>{}</title></circle>"#,
                    figures(*value)
                )?;
            }
            // Names beside the ends of their curves, none over another.
            lowest_label = (plot.y(last(points)) + 4.0).min(lowest_label - 16.0);
            writeln!(
                out,
                r#"<text x="{}" y="{lowest_label:.1}" fill="{colour}">{}</text>"#,
                right + 10.0,
                escaped(name)
            )?;
        }
        writeln!(out, "</svg>")
    }
}

fn last(points: &[(f64, f64)]) -> f64 {
    points.last().map_or(0.0, |(_, value)| *value)
}

/// From sizes and values to places.
struct Plot {
    least: f64,
    most: f64,
    highest: f64,
}

impl Plot {
    fn x(&self, size: f64) -> f64 {
        let part = (size / self.least).ln() / (self.most / self.least).ln();
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - value / self.highest * (HEIGHT - TOP - BOTTOM)
    }
}

/// A round number of which four to nine make `most`.
fn step(most: f64) -> f64 {
    let power = 10f64.powf((most.max(f64::MIN_POSITIVE) / 4.0).log10().floor());
    [5.0, 2.0].into_iter().map(|times| times * power).find(|step| most / step >= 4.0).unwrap_or(power)
}

/// Ours and the yardstick's, in the order in which they first come.
fn curves(rows: &[Row]) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    let mut put = |name, size: u32, value| {
        let point = (f64::from(size), value);
        match curves.iter_mut().find(|(known, _)| *known == name) {
            Some((_, points)) if points.iter().any(|(size, _)| *size == point.0) => {}
            Some((_, points)) => points.push(point),
            None => curves.push((name, vec![point])),
        }
    };
    for (row, size) in rows.iter().filter_map(|row| Some((row, row.size?))) {
        put(row.subject, size, row.ours.median);
        if let Some((name, value)) = row.yardstick {
            put(name, size, value.median);
        }
    }
    for (_, points) in &mut curves {
        points.sort_unstable_by(|(one, _), (other, _)| one.total_cmp(other));
    }
    curves
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::Measure;
    use crate::stats::Quartiles;
    use crate::table::Cores;

    const CHART: Chart = Chart { title: "a < b & c", across: "links", up: "ns" };

    fn row(subject: &'static str, size: Option<u32>, value: f64) -> Row {
        let all = |median| Quartiles { lower: median, median, upper: median };
        Row {
            what: String::new(),
            cores: Cores::One,
            measure: Measure::Cpu,
            subject,
            ours: all(value),
            yardstick: Some(("raw", all(value / 2.0))),
            ratio: None,
            allocations: None,
            rounds: 8,
            size,
        }
    }

    fn numbers(text: &str) -> Vec<f64> {
        let numbers = text.split([' ', ',']).filter(|number| !number.is_empty());
        numbers.map(|number| number.parse().unwrap()).collect()
    }

    #[test]
    fn each_size_is_a_point_of_each_curve() {
        let rows = [row("std", Some(1_000), 40.0), row("std", Some(10), 10.0), row("std", Some(100), 20.0)];
        let image = CHART.of(&rows).unwrap();
        let lines: Vec<Vec<f64>> = image
            .lines()
            .filter(|line| line.starts_with("<polyline"))
            .map(|line| numbers(line.split("points=\"").nth(1).unwrap().split('"').next().unwrap()))
            .collect();
        // From left to right, the highest value at the top, half of it halfway up.
        let (left, middle, right) = (LEFT, (LEFT + WIDTH - RIGHT) / 2.0, WIDTH - RIGHT);
        let up = |part: f64| HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM);
        assert_eq!(lines[1], [left, up(0.25), middle, up(0.5), right, up(1.0)]);
        assert_eq!(lines[0], [left, up(0.125), middle, up(0.25), right, up(0.5)]);
        assert_eq!(image.matches("<circle").count(), 6);
    }

    #[test]
    fn tags_are_closed_and_text_is_escaped() {
        let image = CHART.of(&[row("std", Some(1), 3.0), row("std", Some(2), 4.0)]).unwrap();
        for tag in ["svg", "text", "circle", "title"] {
            let opened =
                image.matches(&format!("<{tag} ")).count() + image.matches(&format!("<{tag}>")).count();
            assert_eq!(opened, image.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        assert!(image.contains(">a &lt; b &amp; c</text>"));
    }

    #[test]
    fn without_two_sizes_there_is_nothing_to_draw() {
        assert_eq!(CHART.of(&[]), None);
        assert_eq!(CHART.of(&[row("std", None, 1.0), row("std", Some(5), 1.0)]), None);
    }

    #[test]
    fn the_scale_has_four_to_nine_steps() {
        assert_eq!([4.0, 9.9, 10.0, 350.0, 19_767.0].map(step), [1.0, 2.0, 2.0, 50.0, 2_000.0]);
        for tenths in 1..10_000 {
            let most = f64::from(tenths) / 10.0;
            let steps = most / step(most);
            assert!((4.0..=10.0).contains(&steps), "{most}: {steps}");
        }
    }
}
