//! How a file would be read: for whoever wonders what a column was taken for. Nothing is computed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dubito_table::{Block, Compression, Fault, Format, cut};
use serde::Serialize;

use super::layout::{Layout, Request, Scoring, Use};
use super::rows::{Context, class_of, fold};
use super::{InputOptions, Table};
use crate::ReportError;

/// Rows looked at.
const LOOKED_AT: usize = 10_000;

/// Different labels, detectors or splits that are listed.
const LISTED: usize = 20;

/// Names by which other tools call a column of ours.
const ALIASES: [(&str, &[&str]); 6] = [
    ("label", &["truth", "target", "y", "y_true", "gt", "ground_truth", "class", "is_fake", "labels"]),
    (
        "p_fake",
        &[
            "score",
            "prob",
            "p",
            "pred",
            "prediction",
            "y_score",
            "y_pred",
            "fake_prob",
            "prob_fake",
            "probability",
            "confidence",
            "output",
            "scores",
        ],
    ),
    ("item", &["id", "name", "file", "filename", "path", "image", "image_path", "img", "key"]),
    ("video", &["video_id", "video_name", "clip", "vid", "video_path"]),
    ("generator", &["source", "method", "manipulation", "attack", "forgery"]),
    ("identity", &["subject", "person", "actor", "speaker", "target_id"]),
];

/// How a file would be read. As text by [`Explanation::lines`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The file.
    pub path: PathBuf,
    /// Its format, told by its content.
    pub format: Format,
    /// How it is packed.
    pub compression: Compression,
    /// What cuts the cells of a CSV.
    pub delimiter: Option<char>,
    /// `long`, `long with samples`, `long, reduced over the samples`, `wide` or `wide, one ensemble`;
    /// `None` where the columns don't make a layout.
    pub layout: Option<String>,
    /// The classes that follow from the columns.
    pub classes: Vec<String>,
    /// Every column.
    pub columns: Vec<Use>,
    /// Number of rows looked at; the file may hold more.
    pub rows_looked_at: usize,
    /// How often each label came in them, as the file writes it; at most 20.
    pub labels: BTreeMap<String, u64>,
    /// How often each detector of the column `detector` came in them; at most 20.
    pub detectors: BTreeMap<String, u64>,
    /// What a reader of the numbers should know.
    pub notes: Vec<String>,
    /// What keeps the file from being read, or may be understood in two ways, and what would settle it.
    pub problems: Vec<String>,
}

impl Explanation {
    /// The explanation in words, line by line. Names of columns and labels stand in it as the file has them.
    pub fn lines(&self) -> Vec<String> {
        let packed = if self.compression == Compression::Gzip { ", packed with gzip" } else { "" };
        let delimiter = match self.delimiter {
            Some('\t') => ", cells cut by tabs".into(),
            Some(delimiter) => format!(", cells cut by \"{delimiter}\""),
            None => String::new(),
        };
        let mut lines = vec![format!("{}: {}{packed}{delimiter}", self.path.display(), self.format.name())];
        lines.push(match &self.layout {
            Some(layout) => format!("layout: {layout}; classes: {}", self.classes.join(", ")),
            None => "layout: none".into(),
        });
        let width = self.columns.iter().map(|c| c.column.chars().count()).max().unwrap_or(0).min(40);
        for column in &self.columns {
            let read_as = column.read_as.as_deref().map_or("not read".into(), |ours| format!("read as {ours}"));
            lines.push(format!("  {:width$}  {read_as} ({})", column.column, column.because));
        }
        let list = |counts: &BTreeMap<String, u64>| {
            let words: Vec<String> = counts.iter().map(|(word, count)| format!("{word} ({count})")).collect();
            words.join(", ")
        };
        lines.push(format!("rows looked at: {}", self.rows_looked_at));
        if !self.labels.is_empty() {
            lines.push(format!("labels: {}", list(&self.labels)));
        }
        if !self.detectors.is_empty() {
            lines.push(format!("detectors: {}", list(&self.detectors)));
        }
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines.extend(self.problems.iter().map(|problem| format!("problem: {problem}")));
        lines
    }
}

/// Say how a file would be read, by its first rows. Errors: a file that can't be opened or whose format is
/// not known; what is wrong with its columns or rows is among the [`problems`](Explanation::problems).
pub fn explain(path: &Path, options: &InputOptions) -> Result<Explanation, ReportError> {
    let table = Table::open(path)?;
    let request = Request { input: options.clone(), ..Request::default() };
    let mut explanation = Explanation {
        path: path.into(),
        format: table.format,
        compression: table.compression,
        delimiter: table.delimiter(),
        layout: None,
        classes: Vec::new(),
        columns: Vec::new(),
        rows_looked_at: 0,
        labels: BTreeMap::new(),
        detectors: BTreeMap::new(),
        notes: Vec::new(),
        problems: Vec::new(),
    };
    explanation.notes.extend(table.remarks());
    match Layout::of(&table, &request) {
        Ok(layout) => explanation.look(&table, &layout, &request),
        Err(error) => {
            let name = |column: &String| Use { column: column.clone(), read_as: None, because: "no layout yet".into() };
            explanation.columns = table.names.iter().map(name).collect();
            explanation.problems.push(error.to_string());
            explanation.guess(&table.names, options);
        }
    }
    Ok(explanation)
}

impl Explanation {
    /// What known names the columns may stand for.
    fn guess(&mut self, names: &[String], options: &InputOptions) {
        for (ours, aliases) in ALIASES {
            let is_there = names.iter().any(|name| name == ours) || options.map.iter().any(|(name, _)| name == ours);
            let alias = names.iter().find(|name| aliases.contains(&name.to_lowercase().as_str()));
            if let (false, Some(alias)) = (is_there, alias) {
                self.problems.push(format!("is {alias} the column {ours}? then --map {ours}={alias}"));
            }
        }
    }

    fn look(&mut self, table: &Table, layout: &Layout, request: &Request) {
        let ensemble = request.input.as_ensemble;
        self.classes = layout.classes.classes.clone();
        if layout.real.is_some() {
            self.notes
                .push("read as real against fake, P(fake) = 1 - prob_real, and as the classes that they are".into());
        }
        self.columns = layout.uses.clone();
        self.notes.extend(layout.opposites());
        self.layout = Some(
            match (&layout.scoring, layout.sample) {
                (Scoring::Wide(_), _) if ensemble => "wide, one ensemble",
                (Scoring::Wide(_), _) => "wide",
                (Scoring::Reduced { .. }, _) => "long, reduced over the samples",
                (_, Some(_)) => "long with samples",
                _ if ensemble => "long, one ensemble",
                _ => "long",
            }
            .into(),
        );
        self.note_columns(table, layout, request);
        let context = Context {
            request,
            task: &layout.task,
            facts: (0..layout.facts.len()).filter(|&at| layout.facts[at].is_some()).collect(),
            has_videos: layout.video.is_some(),
            has_frames: layout.frame.is_some(),
            raw: layout.has_samples(ensemble),
        };
        let mut splits = BTreeMap::new();
        let mut is_told = false;
        let read: Result<(), ReportError> = table.read(
            &layout.wanted,
            |block| Ok((fold(&block, layout, &context).err(), block)),
            |(fault, block): (Option<Fault>, Block), before| {
                let rows = block.rows.min(LOOKED_AT - self.rows_looked_at);
                for row in 0..rows {
                    count(&mut self.labels, block.text(Some(layout.label), row));
                    count(&mut self.detectors, block.text(layout.detector, row));
                    count(&mut splits, block.text(layout.split(), row));
                }
                self.rows_looked_at += rows;
                if let (Some(fault), false) = (fault, is_told) {
                    self.problems.push(table.error(fault, before).to_string());
                    is_told = true;
                }
                Ok(self.rows_looked_at < LOOKED_AT)
            },
        );
        if let Err(error) = read {
            self.problems.push(error.to_string());
        }
        let binary = dubito_stats::Task::binary();
        let are_binary = !self.labels.is_empty() && self.labels.keys().all(|label| class_of(label, &binary).is_some());
        if layout.task.positive.is_none() && are_binary {
            self.problems.push(
                "the labels are those of real and fake, but the columns prob_* are read as classes: if each is a detector, --detector-column 'prob_*'".into(),
            );
        }
        if self.labels.len() == 1 && self.rows_looked_at > 1 {
            self.notes.push("the rows looked at are of one class: what compares classes will be undefined".into());
        }
        if splits.len() > 1 {
            let names: Vec<&str> = splits.keys().map(String::as_str).collect();
            self.problems
                .push(format!("several splits ({}): choose one, or keep them apart with --by split", names.join(", ")));
        }
    }

    fn note_columns(&mut self, table: &Table, layout: &Layout, request: &Request) {
        for (column, name) in self.columns.iter_mut().zip(&table.names) {
            if column.read_as.is_none() && matches!(name.as_str(), "p_mean" | "expected_entropy" | "samples") {
                column.because = "another column holds the scores".into();
            }
            if column.read_as.is_none() && name.starts_with("prob_") && request.input.detector_columns.is_empty() {
                column.because = "another column holds the scores; a detector of its own: --detector-column".into();
            }
        }
        if layout.item.is_none() {
            self.notes.push(if layout.names_frames() {
                "no column item: each frame of a video is an item".into()
            } else {
                "no column item: each row is an item of its own".into()
            });
        }
        if layout.video.is_none() {
            self.notes.push("no column video: every item stands for itself, and there is no level of videos".into());
        }
        if layout.facts[2].is_none() {
            let of = if layout.video.is_some() { "videos" } else { "items" };
            self.notes.push(format!(
                "no column identity: intervals are clustered by {of}, too narrow where people come twice"
            ));
        }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, text: &str) {
    if text.is_empty() {
        return;
    }
    let text = cut(text);
    if counts.len() < LISTED || counts.contains_key(&text) {
        *counts.entry(text).or_default() += 1;
    }
}
