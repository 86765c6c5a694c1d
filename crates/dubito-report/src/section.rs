//! One experiment as a report shows it: what was asked, how, tables, charts, what it means. Data alone, kept as JSON;
//! whoever shows it draws it.

use dubito_stats::Estimate;
use serde::{Deserialize, Serialize};

/// One experiment of a study.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Its name in files and links: letters, digits, `_`.
    pub name: String,
    /// Its title.
    pub title: String,
    /// What was asked, in a sentence or two.
    pub question: String,
    /// How it was answered: data, detectors, what was held out, how intervals were made.
    pub method: String,
    /// What was found: sentences with numbers and intervals, the most important first. The first ones of all sections are
    /// the findings on top of the report.
    pub findings: Vec<String>,
    /// Tables.
    pub tables: Vec<Table>,
    /// Charts.
    pub charts: Vec<Chart>,
    /// What it means and what it does not, a paragraph each.
    pub meaning: Vec<String>,
    /// What could not be computed, each with its reason.
    pub skipped: Vec<String>,
    /// Where the numbers come from.
    pub sources: Vec<Source>,
}

/// Where numbers come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What it is, e.g. `predictions of resnet18, mc_dropout, seed 0`.
    pub what: String,
    /// Its folder or file, as seen from the study's folder.
    pub path: String,
    /// The command that makes it anew, where there is one.
    #[serde(default)]
    pub command: String,
}

/// A table. Its first column names the rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Its name in files: letters, digits, `_`.
    pub name: String,
    /// Its title.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// Heads of the columns.
    pub columns: Vec<String>,
    /// Rows, as long as there are columns.
    pub rows: Vec<Vec<Value>>,
}

/// What stands in a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Something counted.
    Count(u64),
    /// A number with its interval, or why there is none.
    Estimate(Estimate),
    /// Words.
    Text(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Estimate> for Value {
    fn from(estimate: Estimate) -> Self {
        Self::Estimate(estimate)
    }
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

/// A chart: its data, and what kind of drawing shows them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    /// Its name in files: letters, digits, `_`.
    pub name: String,
    /// Its title.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// What is drawn.
    #[serde(flatten)]
    pub kind: ChartKind,
}

/// An axis: what it shows, and its ends where they are not those of the data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// What it shows, with the unit.
    pub label: String,
    /// Its two ends.
    #[serde(default)]
    pub ends: Option<[f64; 2]>,
    /// Whether it is logarithmic (base 2 where all its values are powers of two, else 10).
    #[serde(default)]
    pub logarithmic: bool,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ChartKind {
    /// A number for each row and column, as shade and in figures. An undefined one is hatched, its reason in the data.
    Matrix {
        /// Names of the rows.
        rows: Vec<String>,
        /// Names of the columns.
        columns: Vec<String>,
        /// The numbers, row by row.
        values: Vec<Vec<Estimate>>,
        /// What the numbers are, with the unit.
        what: String,
        /// Numbers of the lightest and the darkest shade, where they are not the smallest and the largest.
        #[serde(default)]
        ends: Option<[f64; 2]>,
        /// Whether each row has a scale of its own, from its smallest to its largest number, instead of `ends`: for rows that
        /// differ by orders of magnitude.
        #[serde(default)]
        by_row: bool,
    },
    /// For each row one mark a series, with its interval: what a forest plot shows.
    Dots {
        /// Names of the rows.
        rows: Vec<String>,
        /// Name of each series and its value for each row.
        series: Vec<(String, Vec<Estimate>)>,
        /// The axis across.
        x: Axis,
        /// A dotted line from top to bottom, and what it stands for (`chance`).
        #[serde(default)]
        reference: Option<(String, f64)>,
    },
    /// Lines in panels side by side on the same axes.
    Curves {
        /// The panels.
        panels: Vec<CurvesPanel>,
        /// The axis across.
        x: Axis,
        /// The axis up.
        y: Axis,
        /// A dotted line from left to right, and what it stands for.
        #[serde(default)]
        reference: Option<(String, f64)>,
    },
    /// Points in groups, in panels side by side, each on axes of its own.
    Scatter {
        /// The panels.
        panels: Vec<ScatterPanel>,
        /// The axis across.
        x: Axis,
        /// The axis up.
        y: Axis,
    },
    /// Pictures in rows with their names, as PNG.
    Pictures {
        /// How many stand in a row.
        columns: usize,
        /// What stands above each, and its file as seen from the section's own folder.
        tiles: Vec<(String, String)>,
    },
}

/// Whether the largest numbers (in size) of two rows of a matrix differ tenfold or more, so that on one scale most rows would
/// have one shade. Rows of zeros, or without numbers, don't count.
pub fn far_apart(rows: &[Vec<Estimate>]) -> bool {
    let largest = |row: &Vec<Estimate>| row.iter().filter_map(|e| e.value).map(f64::abs).fold(0.0, f64::max);
    let largest: Vec<f64> = rows.iter().map(largest).filter(|largest| *largest > 0.0).collect();
    let (low, high) = largest.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(*v), high.max(*v)));
    high >= 10.0 * low
}

/// A panel of lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CurvesPanel {
    /// What stands above it.
    pub title: String,
    /// Its lines.
    pub lines: Vec<Curve>,
}

/// A line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Its name.
    pub name: String,
    /// Its points from left to right; one whose y is undefined interrupts it.
    pub points: Vec<(f64, Estimate)>,
}

/// A panel of points.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScatterPanel {
    /// What stands above it.
    pub title: String,
    /// Name of each group, and its points.
    pub groups: Vec<(String, Vec<[f64; 2]>)>,
    /// Words beside single points: place and text.
    #[serde(default)]
    pub labels: Vec<([f64; 2], String)>,
}
