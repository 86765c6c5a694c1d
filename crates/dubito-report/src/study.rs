//! The report of a whole study: one page, and its tables, figures and data as files beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use dubito_stats::Estimate;

use crate::charts::written;
use crate::csv_out;
use crate::figures::Figure;
use crate::report::{WOFF_REGULAR, WOFF_SEMIBOLD, flattened};
use crate::section::{Chart, Section, Source, Table, Value};
use crate::tables::{Cell, Notes, Shown, words};
use crate::{ReportError, write_atomically};

/// Everything that the page of a study shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StudyReport {
    /// Title of the page.
    pub title: String,
    /// What stands below it, in a sentence.
    pub subtitle: String,
    /// What was studied: a name and a value in words.
    pub facts: Vec<(String, String)>,
    /// The experiments in order, each with the folder that its pictures are in.
    pub sections: Vec<(PathBuf, Section)>,
    /// Experiments that were not run, each with the reason.
    pub not_run: Vec<(String, String)>,
    /// How it was made: versions, seeds, commit, command. An object, whose nested fields become rows of a table.
    pub provenance: serde_json::Value,
    /// What holds for all experiments, a paragraph each: limits, conventions.
    pub notes: Vec<String>,
}

/// Writes the page of a study to `out`, which is made if need be, with everything on it as files beside it:
///
/// - `report.html`, which holds all it shows and asks nothing from outside,
/// - `tables/SECTION_TABLE.csv` (every digit) and `.tex` (LaTeX, package `booktabs`),
/// - `figures/SECTION_CHART.svg`, `.png`, and `.csv` with the figure's data,
/// - `sections.json`: the sections as they were given.
///
/// Each file is written whole or not at all.
///
/// # Errors
/// A folder that can't be written, or a fault in drawing.
pub fn write_study(out: &Path, report: &StudyReport) -> Result<(), ReportError> {
    write(out, report, false)
}

/// Writes the page of one experiment alone, as [`write_study`] does. `folder` is where the section's pictures are.
///
/// # Errors
/// As [`write_study`].
pub fn write_section(out: &Path, folder: &Path, section: &Section) -> Result<(), ReportError> {
    let report = StudyReport {
        title: title_of(section).to_owned(),
        sections: vec![(folder.to_owned(), section.clone())],
        ..StudyReport::default()
    };
    write(out, &report, true)
}

fn write(out: &Path, report: &StudyReport, alone: bool) -> Result<(), ReportError> {
    let page = page(report, alone)?;
    for part in &page.parts {
        for table in &part.tables {
            let path = out.join("tables").join(&table.name);
            write_atomically(&path.with_extension("csv"), &csv_of(&table.data, &path)?)?;
            write_atomically(&path.with_extension("tex"), table.shown.latex(&table.name).as_bytes())?;
        }
        for drawn in &part.figures {
            let path = out.join("figures").join(&drawn.figure.name);
            write_atomically(&path.with_extension("svg"), drawn.figure.svg.as_bytes())?;
            write_atomically(&path.with_extension("png"), &drawn.figure.png)?;
            write_atomically(&path.with_extension("csv"), &csv_of(&drawn.all, &path)?)?;
        }
    }
    let path = out.join("sections.json");
    let sections: Vec<&Section> = report.sections.iter().map(|one| &one.1).collect();
    let json = serde_json::to_string_pretty(&sections)
        .map_err(|e| ReportError::Write { path: path.clone(), source: e.into() })?;
    write_atomically(&path, format!("{json}\n").as_bytes())?;
    let html =
        page.render().map_err(|e| ReportError::Figure { figure: "report.html".into(), problem: e.to_string() })?;
    write_atomically(&out.join("report.html"), html.as_bytes())
}

// -------------------------------------------------------------------------------------------- page

#[derive(Template)]
#[template(path = "study.html")]
struct Page<'a> {
    title: &'a str,
    subtitle: &'a str,
    /// Whether it is of one experiment alone, without findings of all and contents.
    alone: bool,
    /// Headings within an experiment: `h3`, or `h2` where it has none of its own.
    level: &'static str,
    facts: &'a [(String, String)],
    parts: Vec<Part<'a>>,
    not_run: &'a [(String, String)],
    notes: &'a [String],
    provenance: Vec<(String, String)>,
    font_regular: String,
    font_semibold: String,
}

/// An experiment.
struct Part<'a> {
    number: usize,
    id: String,
    title: &'a str,
    section: &'a Section,
    /// Findings for the top of the page, or why there are none.
    top: Vec<&'a str>,
    nothing: &'a str,
    tables: Vec<PageTable>,
    figures: Vec<PageFigure>,
    sources: &'a [Source],
}

/// A table as it stands on the page.
struct PageTable {
    number: usize,
    /// Its name in files and links.
    name: String,
    shown: Shown,
    data: Table,
}

/// A figure with the data behind it.
struct PageFigure {
    number: usize,
    figure: Figure,
    /// The data as shown on the page: of long ones the first rows.
    data: Shown,
    rows: usize,
    all: Table,
}

impl PageTable {
    /// Whether a column, 0 the names of the rows, holds words.
    fn holds_words(&self, column: &usize) -> bool {
        holds_words(&self.shown, *column)
    }

    fn is_wide(&self) -> bool {
        self.shown.header.len() > 7
    }
}

impl PageFigure {
    fn holds_words(&self, column: &usize) -> bool {
        holds_words(&self.data, *column)
    }

    /// How many rows the page leaves out.
    fn left_out(&self) -> usize {
        self.rows - self.data.rows.len()
    }
}

fn holds_words(shown: &Shown, column: usize) -> bool {
    column == 0 || shown.words.get(column - 1).copied().unwrap_or(false)
}

/// More rows of a figure's data are in its file alone.
const MOST_ROWS: usize = 200;

fn page(report: &StudyReport, alone: bool) -> Result<Page<'_>, ReportError> {
    let (mut ids, mut files) = (Names::default(), Names::default());
    let (mut tables, mut figures) = (0, 0);
    let mut parts = Vec::new();
    for (at, (folder, section)) in report.sections.iter().enumerate() {
        let id = ids.take(&format!("experiment-{}", section.name));
        let file = |name: &str| if alone { name.to_owned() } else { format!("{}_{name}", section.name) };
        let mut part = Part {
            number: at + 1,
            id,
            title: title_of(section),
            section,
            top: section.findings.iter().take(2).map(String::as_str).collect(),
            nothing: section.skipped.first().map_or("no findings", String::as_str),
            tables: Vec::new(),
            figures: Vec::new(),
            sources: &section.sources,
        };
        for table in &section.tables {
            tables += 1;
            let name = files.take(&file(&table.name));
            part.tables.push(PageTable { number: tables, name, shown: shown(table, usize::MAX), data: table.clone() });
        }
        for chart in &section.charts {
            figures += 1;
            part.figures.push(page_figure(figures, chart, &files.take(&file(&chart.name)), folder)?);
        }
        parts.push(part);
    }
    Ok(Page {
        title: &report.title,
        subtitle: &report.subtitle,
        alone,
        level: if alone { "h2" } else { "h3" },
        facts: &report.facts,
        parts,
        not_run: &report.not_run,
        notes: &report.notes,
        provenance: flattened(&report.provenance),
        font_regular: BASE64.encode(WOFF_REGULAR),
        font_semibold: BASE64.encode(WOFF_SEMIBOLD),
    })
}

fn page_figure(number: usize, chart: &Chart, name: &str, folder: &Path) -> Result<PageFigure, ReportError> {
    let all = chart.data();
    Ok(PageFigure {
        number,
        figure: chart.draw(name, folder)?,
        data: shown(&all, MOST_ROWS),
        rows: all.rows.len(),
        all,
    })
}

fn title_of(section: &Section) -> &str {
    if section.title.trim().is_empty() { &section.name } else { &section.title }
}

/// Names that any file system and any link takes, each once.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn take(&mut self, wanted: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let clean: String = wanted.chars().take(100).map(plain).collect();
        let clean = if clean.bytes().all(|b| b == b'_') { "unnamed".into() } else { clean };
        let tried = (1..).map(|at| if at == 1 { clean.clone() } else { format!("{clean}_{at}") });
        // Some file systems take large and small letters as the same.
        let name = tried.into_iter().find(|name| self.0.insert(name.to_lowercase()));
        name.unwrap_or(clean)
    }
}

/// The table in words; of its rows the first `most`.
fn shown(table: &Table, most: usize) -> Shown {
    let mut notes = Notes::default();
    let mut rows = Vec::new();
    for row in table.rows.iter().take(most) {
        let mut cells = row.iter().map(|value| match value {
            Value::Count(count) => words(count.to_string()),
            Value::Estimate(estimate) => notes.cell_as(estimate, written),
            Value::Text(text) => words(text.as_str()),
        });
        let (name, small) = match cells.next() {
            Some(cell) if !cell.interval.is_empty() => (cell.value, cell.interval),
            Some(cell) => (cell.value, String::new()),
            None => Default::default(),
        };
        // A row that is too short has empty cells at its end.
        let mut cells: Vec<Cell> = cells.collect();
        cells.resize_with(cells.len().max(table.columns.len().saturating_sub(1)), || words(""));
        rows.push((name, small, cells));
    }
    let is_words = |column: usize| {
        let mut cells = table.rows.iter().filter_map(|row| row.get(column)).peekable();
        cells.peek().is_some() && cells.all(|value| matches!(value, Value::Text(_)))
    };
    Shown {
        title: table.title.clone(),
        caption: table.caption.clone(),
        header: table.columns.clone(),
        rows,
        words: (1..table.columns.len()).map(is_words).collect(),
        notes: notes.numbered(),
    }
}

// -------------------------------------------------------------------------------------------- files

/// The table as CSV, with every digit. A column of estimates is four: value, `low`, `high` and `undefined_because`, these
/// with the column's head before them unless that is `value`.
fn csv_of(table: &Table, path: &Path) -> Result<Vec<u8>, ReportError> {
    let columns = table.rows.iter().map(Vec::len).max().unwrap_or(0).max(table.columns.len());
    // Of estimates without interval or reason the value is enough.
    let more =
        |estimate: &Estimate| estimate.low.is_some() || estimate.high.is_some() || estimate.undefined_because.is_some();
    let full: Vec<bool> = (0..columns)
        .map(|column| {
            let head = table.columns.get(column).is_some_and(|head| head == "value");
            let mut cells = table.rows.iter().filter_map(|row| row.get(column));
            head || cells.any(|value| matches!(value, Value::Estimate(estimate) if more(estimate)))
        })
        .collect();
    let mut header = Vec::new();
    for (column, full) in full.iter().enumerate() {
        let head = table.columns.get(column).cloned().unwrap_or_default();
        header.push(head.clone());
        if *full {
            let before = if head == "value" { String::new() } else { format!("{head} ") };
            header.extend(["low", "high", "undefined_because"].map(|name| format!("{before}{name}")));
        }
    }
    let mut written = csv_out::Table::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for row in &table.rows {
        let mut cells = Vec::new();
        for (column, full) in full.iter().enumerate() {
            let (value, rest) = match row.get(column) {
                None => (String::new(), Default::default()),
                Some(Value::Text(text)) => (text.clone(), Default::default()),
                Some(Value::Count(count)) => (count.to_string(), Default::default()),
                Some(Value::Estimate(one)) => {
                    let reason = one.undefined_because.clone().unwrap_or_default();
                    (number(one.value), [number(one.low), number(one.high), reason])
                }
            };
            cells.push(value);
            cells.extend(rest.into_iter().take(if *full { 3 } else { 0 }));
        }
        written.row(cells);
    }
    written.bytes(path)
}
