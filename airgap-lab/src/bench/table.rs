//! What was measured, as a table of 100 columns and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::measure::Figures;

const LABEL_WIDTH: usize = 28;
const WALL_WIDTH: usize = 20;

const MEGABYTE: f64 = 1e6;
/// Memory is counted in these, as limits on it are.
const MEBIBYTE: f64 = 1_048_576.0;

/// What follows the time on the wall.
type Columns = [Column; 4];

/// Of programs that run and end.
const WORK: Columns = [
    Column { heading: "CPU s", width: 8, figure: |run| run.cpu, unit: 1.0, decimals: 2 },
    Column { heading: "RSS MiB", width: 8, figure: |run| run.peak, unit: MEBIBYTE, decimals: 1 },
    Column { heading: "written MB", width: 11, figure: |run| run.written, unit: MEGABYTE, decimals: 1 },
    Column { heading: "size MB", width: 8, figure: |run| run.size, unit: MEGABYTE, decimals: 1 },
];

/// Of servers, which stay.
const SERVICE: Columns = [
    Column { heading: "CPU s", width: 8, figure: |run| run.cpu, unit: 1.0, decimals: 3 },
    Column { heading: "RSS MiB", width: 8, figure: |run| run.peak, unit: MEBIBYTE, decimals: 1 },
    Column { heading: "a second", width: 11, figure: |run| run.rate, unit: 1.0, decimals: 0 },
    Column { heading: "p99 ms", width: 8, figure: |run| run.p99, unit: 1e-3, decimals: 2 },
];

/// One of the figures.
#[derive(Debug)]
struct Column {
    heading: &'static str,
    width: usize,
    figure: fn(&Figures) -> Option<f64>,
    unit: f64,
    decimals: usize,
}

/// Ratios have no unit.
const RATIO_DECIMALS: usize = 2;

/// Everything that was measured about one question.
#[derive(Debug, Serialize)]
pub(super) struct Chapter {
    name: &'static str,
    title: String,
    #[serde(skip)]
    columns: &'static Columns,
    rows: Vec<Row>,
    remarks: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    label: String,
    kind: Kind,
    runs: Vec<Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bar: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Seconds and bytes.
    Measured,
    /// One over another, run by run.
    Ratio,
}

impl Chapter {
    pub(super) fn new(name: &'static str, title: String) -> Self {
        Self { name, title, columns: &WORK, rows: Vec::new(), remarks: Vec::new() }
    }

    /// A chapter about servers: how often they answer counts, and how late.
    pub(super) fn of_servers(name: &'static str, title: String) -> Self {
        Self { columns: &SERVICE, ..Self::new(name, title) }
    }

    /// Adds a row of seconds and bytes.
    pub(super) fn row(&mut self, label: &str, runs: Vec<Figures>) {
        self.rows.push(Row { label: label.to_owned(), kind: Kind::Measured, runs, bar: None });
    }

    /// Adds a row of ratios, pair by pair.
    pub(super) fn ratio(&mut self, label: &str, ours: &[Figures], theirs: &[Figures]) {
        let runs = ours.iter().zip(theirs).map(|(a, b)| a.over(*b)).collect();
        self.rows.push(Row { label: label.to_owned(), kind: Kind::Ratio, runs, bar: None });
    }

    /// Puts the bar that was set beside the row added last.
    pub(super) fn bar(&mut self, bar: &'static str) {
        if let Some(row) = self.rows.last_mut() {
            row.bar = Some(bar);
        }
    }

    /// Adds a line below the table.
    pub(super) fn remark(&mut self, text: String) {
        self.remarks.push(text);
    }

    /// The table, for people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.name, self.title);
        let headings = self.columns.each_ref().map(|column| column.heading.to_owned());
        line(&mut text, "", "wall s", self.columns, &headings, None);
        for row in &self.rows {
            row.write(&mut text, self.columns);
        }
        for remark in &self.remarks {
            writeln!(text, "  {remark}").expect("a string takes all text");
        }
        text
    }
}

impl Row {
    fn write(&self, text: &mut String, columns: &Columns) {
        let spread = Spread::of(self.runs.iter().map(|run| run.wall));
        let wall = spread.map_or_else(String::new, |spread| spread.text());
        let is_ratio = self.kind == Kind::Ratio;
        let cells = columns.each_ref().map(|Column { figure, unit, decimals, .. }| {
            let (unit, decimals) = if is_ratio { (1.0, RATIO_DECIMALS) } else { (*unit, *decimals) };
            let figures: Option<Vec<f64>> = self.runs.iter().map(figure).collect();
            let spread = Spread::of(figures.into_iter().flatten());
            spread.map_or_else(String::new, |spread| format!("{:.decimals$}", spread.median / unit))
        });
        line(text, &self.label, &wall, columns, &cells, self.bar);
    }
}

fn line(
    text: &mut String,
    label: &str,
    wall: &str,
    columns: &Columns,
    cells: &[String; 4],
    bar: Option<&str>,
) {
    let mut line = format!("  {label:<LABEL_WIDTH$} {wall:<WALL_WIDTH$}");
    for (cell, Column { width, .. }) in cells.iter().zip(columns) {
        write!(line, "{cell:>width$}").expect("a string takes all text");
    }
    if let Some(bar) = bar {
        write!(line, "  {bar}").expect("a string takes all text");
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

/// Where several runs lie.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
    runs: usize,
}

impl Spread {
    /// Of at least one run.
    fn of(runs: impl Iterator<Item = f64>) -> Option<Self> {
        let mut runs: Vec<f64> = runs.collect();
        runs.sort_by(f64::total_cmp);
        let (min, max) = (*runs.first()?, *runs.last()?);
        // The two in the middle are the same one if their number is odd.
        let median = f64::midpoint(runs[(runs.len() - 1) / 2], runs[runs.len() / 2]);
        Some(Self { median, min, max, runs: runs.len() })
    }

    fn text(&self) -> String {
        let Self { median, min, max, runs } = self;
        if *runs == 1 { format!("{median:.2}") } else { format!("{median:.2} ({min:.2}–{max:.2})") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_COLUMNS: usize = 100;

    #[test]
    fn the_median_is_in_the_middle() {
        let cases: [(&[f64], Option<&str>); 4] = [
            (&[], None),
            (&[2.0], Some("2.00")),
            (&[3.0, 1.0, 2.5], Some("2.50 (1.00–3.00)")),
            (&[4.0, 1.0, 2.0, 3.0], Some("2.50 (1.00–4.00)")),
        ];
        for (runs, expected) in cases {
            let found = Spread::of(runs.iter().copied()).map(|spread| spread.text());
            assert_eq!(found.as_deref(), expected, "{runs:?}");
        }
    }

    #[test]
    fn a_table_fits_its_width_and_says_what_was_measured() {
        let large = Figures {
            wall: 14.56,
            cpu: Some(234.567),
            peak: Some(1024.0 * MEBIBYTE),
            written: Some(12_345.6 * MEGABYTE),
            size: Some(2000.0 * MEGABYTE),
            ..Figures::default()
        };
        let small = Figures { wall: 7.28, size: None, ..large };
        let mut chapter = Chapter::new("size", "2 GB".to_owned());
        chapter.row("sealift bundle, without keys", vec![large, Figures { wall: 14.0, ..large }]);
        chapter.bar("bar 128 MiB");
        chapter.row("keys", vec![Figures::seconds(0.5)]);
        chapter.ratio("pair by pair", &[large], &[small]);
        chapter.remark("nobody else was at work".to_owned());
        let text = chapter.text();
        assert!(text.lines().all(|line| line.chars().count() <= MAX_COLUMNS), "{text}");
        let expected = "\
size: 2 GB
                               wall s                 CPU s RSS MiB written MB size MB
  sealift bundle, without keys 14.28 (14.00–14.56)   234.57  1024.0    12345.6  2000.0  bar 128 MiB
  keys                         0.50
  pair by pair                 2.00                    1.00    1.00       1.00
  nobody else was at work
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_table_of_servers_says_how_often_and_how_late() {
        let run = Figures { rate: Some(23_456.7), p99: Some(0.001_234), ..Figures::seconds(4.26) };
        let mut chapter = Chapter::of_servers("manifests", "100,000 of them".to_owned());
        chapter.row("sealift-registry", vec![run]);
        chapter.ratio("over itself", &[run], &[run]);
        let expected = "\
manifests: 100,000 of them
                               wall s                 CPU s RSS MiB   a second  p99 ms
  sealift-registry             4.26                                      23457    1.23
  over itself                  1.00                                       1.00    1.00
";
        assert_eq!(chapter.text(), expected);
    }
}
