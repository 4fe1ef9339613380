//! What was measured, as a table to read or as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::Fallible;
use crate::contest::Measure;
use crate::stats::Quartiles;

/// Where the two ends run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// Both on the same core. The robust one: a wake across cores can cost ten times one on the same core.
    One,
    /// Each on a core of its own.
    Two,
}

impl Cores {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::One => "one core",
            Self::Two => "two cores",
        }
    }

    /// On which core the server or receiver runs, and on which the other side.
    pub(crate) fn choose(self, cores: &[usize]) -> Fallible<(usize, usize)> {
        let other = match self {
            Self::One => cores.first(),
            Self::Two => cores.get(1),
        };
        Ok((*cores.first().ok_or("no core to run on")?, *other.ok_or("no second core")?))
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) cores: Cores,
    pub(crate) measure: Measure,
    /// Whose values `ours` are.
    pub(crate) subject: &'static str,
    pub(crate) ours: Quartiles,
    /// What it is held against, by name.
    pub(crate) yardstick: Option<(&'static str, Quartiles)>,
    /// Of each round, ours by the yardstick's.
    pub(crate) ratio: Option<Quartiles>,
    /// Of our side for each operation.
    pub(crate) allocations: Option<f64>,
    pub(crate) rounds: usize,
    /// How large that is of which there is a row for several sizes.
    pub(crate) size: Option<u32>,
}

const HEADS: [&str; 9] =
    ["what", "cores", "measure", "ours", "", "yardstick", "", "ratio (quartiles)", "allocations"];

impl Row {
    fn cells(&self) -> [String; HEADS.len()] {
        let (yardstick, theirs) = self.yardstick.unzip();
        [
            self.what.clone(),
            self.cores.label().to_owned(),
            self.measure.label().to_owned(),
            self.subject.to_owned(),
            spread(self.ours),
            yardstick.unwrap_or_default().to_owned(),
            theirs.map(spread).unwrap_or_default(),
            self.ratio.map(spread).unwrap_or_default(),
            self.allocations.map(|count| figures(round_to_thousandths(count))).unwrap_or_default(),
        ]
    }

    fn json(&self) -> Value {
        let quartiles =
            |all: Quartiles| json!({ "lower": all.lower, "median": all.median, "upper": all.upper });
        json!({
            "what": self.what,
            "cores": self.cores.label(),
            "measure": self.measure.label(),
            "subject": self.subject,
            "value": quartiles(self.ours),
            "yardstick": self.yardstick.map(|(name, value)| json!({ "name": name, "value": quartiles(value) })),
            "ratio": self.ratio.map(quartiles),
            "allocations": self.allocations,
            "rounds": self.rounds,
            "size": self.size,
        })
    }
}

/// All rows as a table that is Markdown, too.
pub(crate) fn table(rows: &[Row]) -> String {
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    let heads = HEADS.map(str::to_owned);
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|column| {
            let width = |row: &[String; HEADS.len()]| row.get(column).map_or(0, |cell| cell.chars().count());
            cells.iter().chain([&heads]).map(width).max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    let mut line = |row: &[String; HEADS.len()]| {
        for (cell, width) in row.iter().zip(&widths) {
            // Writing into a string can't fail.
            let _ = write!(out, "| {cell:<width$} ");
        }
        out.push_str("|\n");
    };
    line(&heads);
    line(&std::array::from_fn(|column| "-".repeat(widths.get(column).copied().unwrap_or(0).max(3))));
    for row in &cells {
        line(row);
    }
    out
}

/// All rows as JSON.
pub(crate) fn json(rows: &[Row]) -> Value {
    rows.iter().map(Row::json).collect()
}

/// The median, and the quartiles around it.
fn spread(all: Quartiles) -> String {
    format!("{} ({}–{})", figures(all.median), figures(all.lower), figures(all.upper))
}

fn round_to_thousandths(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

/// A number in about three figures, thousands apart.
pub(crate) fn figures(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = match value.abs() {
        big if big >= 99.95 => 0,
        middle if middle >= 9.995 => 1,
        small if small >= 0.095 => 2,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let mut out = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        let all = |median| Quartiles { lower: median - 1.0, median, upper: median + 1.0 };
        Row {
            what: "ping".to_owned(),
            cores: Cores::One,
            measure: Measure::ServerCpu,
            subject: "std",
            ours: all(4_000.0),
            yardstick: Some(("mmsg 32", all(2_000.0))),
            ratio: Some(all(2.0)),
            allocations: Some(0.000_04),
            rounds: 8,
            size: None,
        }
    }

    #[test]
    fn the_columns_of_a_table_are_aligned() {
        let table = table(&[row(), Row { what: "a longer one".to_owned(), ..row() }]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 4);
        let bars =
            |line: &str| line.chars().enumerate().filter(|(_, c)| *c == '|').map(|(at, _)| at).collect();
        let bars: Vec<Vec<usize>> = lines.into_iter().map(bars).collect();
        assert!(bars.iter().all(|line| line.len() == HEADS.len() + 1 && *line == bars[0]), "{table}");
        assert!(
            table.contains("| 4,000 (3,999–4,001) | mmsg 32   | 2,000 (1,999–2,001) | 2.00 (1.00–3.00)"),
            "{table}"
        );
    }

    #[test]
    fn the_json_names_what_the_table_shows() {
        let json = json(&[row()]);
        assert_eq!(json[0]["value"]["median"], 4_000.0);
        assert_eq!(json[0]["yardstick"]["name"], "mmsg 32");
        assert_eq!(json[0]["ratio"]["upper"], 3.0);
        assert_eq!(json[0]["cores"], "one core");
        assert!(super::json(&[Row { ratio: None, ..row() }])[0]["ratio"].is_null());
    }

    #[test]
    fn numbers_have_about_three_figures() {
        let numbers = [0.0, 0.004, 0.5, 1.234, 12.34, 123.4, 1_234.5, 1_234_567.0, -1_234.0];
        let text = ["0", "0.0040", "0.50", "1.23", "12.3", "123", "1,234", "1,234,567", "-1,234"];
        assert_eq!(numbers.map(figures), text);
    }
}
