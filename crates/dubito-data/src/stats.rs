//! What is in a manifest: counts by everything that splits and reports go by, as a page and as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use dubito_table::spreadsheet_safe;
use serde::Serialize;

use crate::error::DataError;
use crate::finding::Finding;
use crate::manifest::{Label, Row, Status};
use crate::write_atomically;

/// Rows shown of a table in the page; the CSV has all.
const SHOWN: usize = 30;

/// One line of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What is counted, e.g. a generator's name; `(not said)` where the manifest is silent.
    pub value: String,
    /// Real videos (null controls among them).
    pub real: usize,
    /// Fakes.
    pub fake: usize,
    /// Different people in them, targets and donors alike.
    pub people: usize,
    /// Bytes, as far as the manifest says.
    pub bytes: u64,
}

/// Videos counted by one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// What they are counted by, e.g. `generator`.
    pub by: String,
    /// The lines, the largest first.
    pub lines: Vec<Line>,
}

/// What is in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Everything that is `ok`.
    pub total: Line,
    /// Rows by status.
    pub status: BTreeMap<&'static str, usize>,
    /// Groups of people that no split may cut.
    pub components: usize,
    /// People in the largest of them.
    pub largest_component: usize,
    /// Videos whose status is `ok`, counted by this and that. A thing that no row says anything of has no table.
    pub tables: Vec<Table>,
}

const NOT_SAID: &str = "(not said)";

/// Counts the rows.
pub fn stats(rows: &[Row]) -> Stats {
    type Of = fn(&Row) -> String;
    let things: [(&str, Of); 10] = [
        ("dataset", |r| r.dataset.clone()),
        ("generator", |r| r.generator.clone()),
        ("split", |r| r.split.clone()),
        ("generator and split", |r| {
            if r.split.is_empty() { String::new() } else { format!("{}, {}", r.generator, r.split) }
        }),
        ("compression", |r| r.compression.clone()),
        ("race", |r| r.race.clone().unwrap_or_default()),
        ("gender", |r| r.gender.clone().unwrap_or_default()),
        ("skin tone", |r| r.skin_tone.clone().unwrap_or_default()),
        ("audio", |r| r.audio.clone().unwrap_or_default()),
        ("identity", |r| r.identity.clone()),
    ];
    let ok: Vec<&Row> = rows.iter().filter(|r| r.status == Status::Ok).collect();
    let mut tables: Vec<Table> = Vec::new();
    for (by, of) in things {
        let mut groups: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
        for row in &ok {
            groups.entry(of(row)).or_default().push(row);
        }
        if groups.len() == 1 && groups.contains_key("") {
            continue;
        }
        let named = |value: String| if value.is_empty() { NOT_SAID.to_owned() } else { value };
        let mut lines: Vec<Line> = groups.into_iter().map(|(value, rows)| line(named(value), &rows)).collect();
        lines.sort_by(|a, b| (b.real + b.fake).cmp(&(a.real + a.fake)).then(a.value.cmp(&b.value)));
        tables.push(Table { by: by.to_owned(), lines });
    }
    let components = crate::split::components_of(rows);
    let mut status = BTreeMap::new();
    for row in rows {
        *status.entry(row.status.name()).or_default() += 1;
    }
    Stats {
        total: line("all".into(), &ok),
        status,
        components: components.len(),
        largest_component: components.iter().map(BTreeSet::len).max().unwrap_or_default(),
        tables,
    }
}

fn line(value: String, rows: &[&Row]) -> Line {
    let fake = rows.iter().filter(|r| r.label == Label::Fake).count();
    let people: BTreeSet<&str> = rows.iter().flat_map(|r| r.people()).collect();
    let bytes = rows.iter().filter_map(|r| r.bytes).sum();
    Line { value, real: rows.len() - fake, fake, people: people.len(), bytes }
}

/// Writes `stats.html`, which holds all it shows and asks nothing from outside, and `stats.csv` to `out`. Gives the
/// page's path.
///
/// # Errors
/// A folder that can't be written to.
pub fn write(stats: &Stats, findings: &[Finding], title: &str, out: &Path) -> Result<PathBuf, DataError> {
    write_atomically(&out.join("stats.csv"), &csv(stats, &out.join("stats.csv"))?)?;
    let path = out.join("stats.html");
    write_atomically(&path, page(stats, findings, title).as_bytes())?;
    Ok(path)
}

fn csv(stats: &Stats, path: &Path) -> Result<Vec<u8>, DataError> {
    let failed =
        |e: &dyn std::fmt::Display| DataError::Table { path: path.to_owned(), row: None, message: e.to_string() };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["by", "value", "real", "fake", "people", "bytes"]).map_err(|e| failed(&e))?;
    let all = std::iter::once(("all", &stats.total));
    let lines = stats.tables.iter().flat_map(|table| table.lines.iter().map(|line| (table.by.as_str(), line)));
    for (by, line) in all.chain(lines) {
        let numbers = [line.real, line.fake, line.people].map(|n| n.to_string());
        let value = spreadsheet_safe(&line.value);
        let fields = [by, &value, &numbers[0], &numbers[1], &numbers[2], &line.bytes.to_string()];
        writer.write_record(fields).map_err(|e| failed(&e))?;
    }
    writer.into_inner().map_err(|e| failed(&e))
}

/// Text as it may stand in a page.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// How the pages of `dubito data` look.
pub const STYLE: &str = "\
:root { --ink: #1f2430; --grey: #5d6675; --rule: #e2e5ea; --real: #2c6fb3; --fake: #c8570c; }
body { margin: 0 auto; padding: 56px 32px; max-width: 900px; color: var(--ink);
  font: 400 16px/1.55 Inter, Helvetica, Arial, sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 34px; line-height: 1.15; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 22px; margin: 48px 0 8px; }
p, li, figcaption { max-width: 70ch; } .grey, figcaption { color: var(--grey); font-size: 14px; }
figure { margin: 0; } svg { display: block; width: 100%; height: auto; }
svg text { font: 400 13px Inter, Helvetica, Arial, sans-serif; fill: var(--ink); } svg .n { fill: var(--grey); }
.real { fill: var(--real); } .fake { fill: var(--fake); }
table { border-collapse: collapse; font-size: 14.5px; } th, td { text-align: left; padding: 6px 18px 6px 0;
  border-bottom: 1px solid var(--rule); } td.num, th.num { text-align: right; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaee; --grey: #a3abb8; --rule: #353b46; --real: #6aa9e9;
  --fake: #f08b45; } body { background: #14171c; } }
";

fn page(stats: &Stats, findings: &[Finding], title: &str) -> String {
    let mut html = String::new();
    let total = &stats.total;
    let title = escape(title);
    // Writing to a String does not fail.
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<h1>{title}</h1>\n<p>{} videos: {} real and {} fake, with {} people in them, in {} that no split \
         may cut (the largest of {}).</p>\n",
        total.real + total.fake,
        total.real,
        total.fake,
        total.people,
        if stats.components == 1 { "one group".to_owned() } else { format!("{} groups", stats.components) },
        stats.largest_component
    );
    let others: Vec<String> =
        stats.status.iter().filter(|(s, _)| **s != "ok").map(|(s, n)| format!("{n} {s}")).collect();
    if !others.is_empty() {
        let _ = writeln!(html, "<p>Not counted below: {}.</p>", escape(&others.join(", ")));
    }
    if !findings.is_empty() {
        html.push_str("<h2>Noticed</h2>\n<ul>\n");
        for finding in findings {
            let _ = writeln!(html, "<li>{}</li>", escape(&finding.line()));
        }
        html.push_str("</ul>\n");
    }
    for table in &stats.tables {
        let _ = writeln!(html, "<h2>By {}</h2>", escape(&table.by));
        if table.by == "identity" {
            html.push_str(&histogram(table));
        } else {
            html.push_str(&bars(table));
        }
    }
    html.push_str("<p class=\"grey\">All numbers are in stats.csv beside this page.</p>\n</body>\n</html>\n");
    html
}

/// A bar for each line, real and fake end to end.
fn bars(table: &Table) -> String {
    let shown = &table.lines[..table.lines.len().min(SHOWN)];
    let most = shown.iter().map(|l| l.real + l.fake).max().unwrap_or(1).max(1) as f64;
    let (left, width, row) = (220.0, 370.0, 24.0);
    let height = row * shown.len() as f64 + 4.0;
    let mut svg = format!(
        "<figure>\n<svg viewBox=\"0 0 860 {height:.0}\" role=\"img\" aria-label=\"Videos by {}\">\n",
        escape(&table.by)
    );
    for (i, line) in shown.iter().enumerate() {
        let y = row * i as f64;
        let [real, fake] = [line.real, line.fake].map(|n| width * n as f64 / most);
        let name: String = if line.value.chars().count() > 30 {
            line.value.chars().take(29).chain(['…']).collect()
        } else {
            line.value.clone()
        };
        let counts = match (line.real, line.fake) {
            (n, 0) => format!("{n} real"),
            (0, n) => format!("{n} fake"),
            (r, f) => format!("{r} real, {f} fake"),
        };
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text><rect class=\"real\" x=\"{left:.0}\" \
             y=\"{:.1}\" width=\"{real:.2}\" height=\"15\"/><rect class=\"fake\" x=\"{:.2}\" y=\"{:.1}\" \
             width=\"{fake:.2}\" height=\"15\"/><text class=\"n\" x=\"{:.2}\" y=\"{:.0}\">{counts}, {} people</text>",
            left - 10.0,
            y + 16.0,
            escape(&name),
            y + 4.0,
            left + real,
            y + 4.0,
            left + real + fake + 8.0,
            y + 16.0,
            line.people,
        );
    }
    svg.push_str("</svg>\n");
    if table.lines.len() > shown.len() {
        let _ = writeln!(svg, "<figcaption>The {} largest of {}.</figcaption>", shown.len(), table.lines.len());
    }
    svg.push_str("</figure>\n");
    svg
}

/// How many people are the target of how many videos.
fn histogram(table: &Table) -> String {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for line in &table.lines {
        *counts.entry(line.real + line.fake).or_default() += 1;
    }
    let mut html = String::from(
        "<table>\n<thead><tr><th class=\"num\">videos of a person</th><th class=\"num\">people</th></tr></thead>\n<tbody>\n",
    );
    for (videos, people) in counts.iter().take(SHOWN) {
        let _ = writeln!(html, "<tr><td class=\"num\">{videos}</td><td class=\"num\">{people}</td></tr>");
    }
    html.push_str("</tbody>\n</table>\n");
    if counts.len() > SHOWN {
        let _ = writeln!(html, "<p class=\"grey\">The first {SHOWN} of {} rows.</p>", counts.len());
    }
    html
}
