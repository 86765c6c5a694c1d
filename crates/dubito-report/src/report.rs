//! The report: everything together, written to a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use dubito_stats::{Confidence, Estimate};

use crate::evaluate::{CONVENTIONS, Group, Level, Metrics, Missing, Options, metrics_from_scores};
use crate::figures::{Figure, figures};
use crate::scores::{ClusteredBy, Origin, Scores};
use crate::verdict::{Judgement, Sentence, summary, verdict};
use crate::{ReportError, write_atomically};

/// What the caller knows beyond the predictions.
#[derive(Clone, Debug, Default)]
pub struct ReportInput {
    /// Title of the page.
    pub title: String,
    /// How the predictions were made: seed, versions, command line, decoder, training. An object, whose
    /// nested fields become rows of a table; it is copied to `metrics.json`.
    pub provenance: serde_json::Value,
    /// More rows for "what was tested": a name and a value in words.
    pub facts: Vec<(String, String)>,
    /// Videos that the manifest lists but that have no prediction.
    pub missing: Vec<Missing>,
    /// Example frames; [`Scores::examples`] chooses.
    pub examples: Vec<Example>,
    /// Paragraphs for "limits".
    pub notes: Vec<String>,
}

/// One example frame.
#[derive(Clone, Debug)]
pub struct Example {
    /// The picture, as the bytes of a PNG.
    pub png: Vec<u8>,
    /// What is said under it.
    pub caption: String,
    /// Why it is shown, for example "most certain and wrong".
    pub group: String,
}

/// Read predictions and write `report.html`, `metrics.json`, `tables/*.csv` and `figures/*.{svg,png}`
/// to `out`, which is made if need be. Each file is written whole or not at all. The page holds all it
/// shows and asks nothing from outside. Errors: those of [`Scores::read`], or a folder that cannot be
/// written.
pub fn write_report(
    out: &Path,
    predictions: &[PathBuf],
    input: &ReportInput,
    options: &Options,
) -> Result<Metrics, ReportError> {
    let scores = Scores::read(predictions, options)?;
    write_report_of(out, &scores, input, options)
}

/// [`write_report`], of what is read already.
pub fn write_report_of(
    out: &Path,
    scores: &Scores,
    input: &ReportInput,
    options: &Options,
) -> Result<Metrics, ReportError> {
    if scores.sets.len() > 1 {
        // The page tells of one detector.
        let found = scores.sets.iter().map(|set| set.detector.clone().unwrap_or_default()).collect();
        return Err(ReportError::Several { column: "detector", found });
    }
    let metrics = metrics_from_scores(scores, &input.missing, input.provenance.clone(), options)?;
    let json = serde_json::to_string_pretty(&metrics)
        .map_err(|e| ReportError::Write { path: out.join("metrics.json"), source: e.into() })?;
    let figures = figures(scores)?;
    let page = page(scores, &metrics, &figures, input)
        .render()
        .map_err(|e| ReportError::Figure { figure: "report.html".into(), problem: e.to_string() })?;
    write_tables(&out.join("tables"), scores, &metrics, input)?;
    for figure in &figures {
        let path = out.join("figures").join(figure.name);
        write_atomically(&path.with_extension("svg"), figure.svg.as_bytes())?;
        write_atomically(&path.with_extension("png"), &figure.png)?;
    }
    write_atomically(&out.join("metrics.json"), format!("{json}\n").as_bytes())?;
    write_atomically(&out.join("report.html"), page.as_bytes())?;
    Ok(metrics)
}

// ------------------------------------------------------------------------------------------ tables

fn write_tables(folder: &Path, scores: &Scores, metrics: &Metrics, input: &ReportInput) -> Result<(), ReportError> {
    let number = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
    let mut long = Table::new(&[
        "by",
        "level",
        "items",
        "videos",
        "missing",
        "metric",
        "value",
        "low",
        "high",
        "undefined_because",
    ]);
    for group in &metrics.groups {
        for (name, estimate) in &group.metrics {
            long.row([
                by_in_words(&group.by),
                group.level.plural().trim_end_matches('s').into(),
                group.items.to_string(),
                group.videos.to_string(),
                group.missing.to_string(),
                name.clone(),
                number(estimate.value),
                number(estimate.low),
                number(estimate.high),
                estimate.undefined_because.clone().unwrap_or_default(),
            ]);
        }
    }
    long.write(&folder.join("metrics.csv"))?;

    let mut levels = vec![(if scores.has_videos { Level::Frame } else { Level::Item }, "items.csv")];
    if scores.has_videos {
        levels.push((Level::Video, "videos.csv"));
    }
    for (level, name) in levels {
        let mut header = vec!["item", "video", "frame", "origin", "identity", "fold", "label", "predicted"];
        let columns: Vec<String> = scores.task.classes.iter().map(|class| format!("prob_{class}")).collect();
        header.extend(columns.iter().map(String::as_str));
        header.extend(["total", "aleatoric", "between_frames", "epistemic"]);
        let mut table = Table::new(&header);
        let class = |index: usize| scores.task.classes[index].clone();
        let set = &scores.sets[0];
        let all = set.of(level);
        for i in 0..all.len() {
            let (id, unit) = (set.id(level, i), scores.unit(set, level, i));
            let video = scores.units.name(unit);
            let (name, frame) = match level {
                Level::Video => (video, None),
                _ => (scores.item_name(id), scores.frame_of(id)),
            };
            let fact = |name| scores.units.text(name, unit).unwrap_or_default().to_string();
            let mut cells = vec![
                name.to_string(),
                video.to_string(),
                frame.map(|n| n.to_string()).unwrap_or_default(),
                scores.units.origin(unit).title(),
                fact("identity"),
                fact("fold"),
                class(all.label(i)),
                class(all.predicted(i)),
            ];
            cells.extend(all.probs(i).iter().map(f64::to_string));
            let undivided = level == Level::Video && set.videos_undivided.is_some();
            cells.extend([all.total()[i], all.aleatoric()[i]].map(|part| part.to_string()));
            let divided = [all.between_frames()[i], all.epistemic()[i]];
            cells.extend(divided.map(|part| if undivided { String::new() } else { part.to_string() }));
            table.row(cells);
        }
        table.write(&folder.join(name))?;
    }

    let mut missing = Table::new(&["video", "status", "reason", "generator", "control", "dataset", "fold"]);
    for m in &input.missing {
        let words = |text: &Option<String>| text.clone().unwrap_or_default();
        let origin = [words(&m.generator), words(&m.control), words(&m.dataset), words(&m.fold)];
        missing.row([m.video.clone(), m.status.clone(), m.reason.clone()].into_iter().chain(origin));
    }
    missing.write(&folder.join("missing.csv"))?;

    let mut bins = Table::new(&[
        "level",
        "confidence_of",
        "low",
        "high",
        "count",
        "confidence",
        "accuracy",
        "accuracy_low",
        "accuracy_high",
    ]);
    let kinds: &[(Confidence, &str)] = match scores.task.positive {
        Some(_) => &[(Confidence::Top, "top"), (Confidence::Positive, "positive")],
        None => &[(Confidence::Top, "top")],
    };
    for level in [Level::Frame, Level::Video, Level::Item] {
        if metrics.group(&[], level).is_none() {
            continue;
        }
        for &(kind, name) in kinds {
            let found = dubito_stats::reliability_of(scores.sets[0].of(level), 15, kind)
                .map_err(|source| ReportError::Stats { place: "reliability".into(), source })?;
            for bin in found {
                bins.row([
                    level.plural().trim_end_matches('s').into(),
                    name.into(),
                    bin.low.to_string(),
                    bin.high.to_string(),
                    bin.count.to_string(),
                    number(bin.confidence),
                    number(bin.accuracy),
                    number(bin.accuracy_low),
                    number(bin.accuracy_high),
                ]);
            }
        }
    }
    bins.write(&folder.join("reliability.csv"))
}

/// A CSV in the making. Writing to memory does not fail.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|name| name.to_string()).collect()] }
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn write(&self, path: &Path) -> Result<(), ReportError> {
        let failed = |source: std::io::Error| ReportError::Write { path: path.into(), source };
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in &self.rows {
            writer.write_record(row).map_err(|e| failed(e.into()))?;
        }
        write_atomically(path, &writer.into_inner().map_err(|e| failed(e.into_error()))?)
    }
}

fn by_in_words(by: &BTreeMap<String, String>) -> String {
    if by.is_empty() {
        return "all".into();
    }
    by.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

// -------------------------------------------------------------------------------------------- page

/// What the template shows, all of it in words already.
#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    title: String,
    subtitle: String,
    summary: String,
    verdict: Vec<Card>,
    facts: Vec<(String, String)>,
    /// What the items of `origins` are.
    items: &'static str,
    origins: Vec<(String, usize, usize, usize)>,
    missing: Vec<(String, String, usize)>,
    tables: Vec<Shown>,
    figures: Vec<(usize, Figure)>,
    examples: Vec<(String, String, String)>,
    provenance: Vec<(String, String)>,
    conventions: Vec<(String, String)>,
    limits: Vec<String>,
    font_regular: String,
    font_semibold: String,
}

struct Card {
    class: &'static str,
    sentence: Sentence,
}

/// One table of numbers, with the reasons for what it lacks below it.
struct Shown {
    title: String,
    caption: String,
    header: Vec<String>,
    rows: Vec<(String, String, Vec<Cell>)>,
    notes: Vec<(usize, String)>,
}

struct Cell {
    value: String,
    interval: String,
    note: usize,
}

const WOFF_REGULAR: &[u8] = include_bytes!("../fonts/Inter-Regular.woff2");
const WOFF_SEMIBOLD: &[u8] = include_bytes!("../fonts/Inter-SemiBold.woff2");

fn page(scores: &Scores, metrics: &Metrics, figures: &[Figure], input: &ReportInput) -> Page {
    let sentences = verdict(metrics, scores);
    let mut missing: BTreeMap<(String, String), usize> = BTreeMap::new();
    for m in &input.missing {
        *missing.entry((m.status.clone(), m.reason.clone())).or_default() += 1;
    }
    Page {
        title: input.title.clone(),
        subtitle: subtitle(scores),
        summary: summary(&sentences),
        verdict: sentences.into_iter().map(|sentence| Card { class: class(sentence.judgement), sentence }).collect(),
        facts: facts(scores, metrics, input),
        items: if scores.has_videos { "Frames" } else { "Items" },
        origins: origins(scores, metrics),
        missing: missing.into_iter().map(|((status, reason), count)| (status, reason, count)).collect(),
        tables: tables(metrics),
        figures: figures.iter().cloned().enumerate().map(|(at, figure)| (at + 1, figure)).collect(),
        examples: input.examples.iter().map(|e| (e.group.clone(), e.caption.clone(), BASE64.encode(&e.png))).collect(),
        provenance: flattened(&input.provenance),
        conventions: CONVENTIONS.iter().map(|(name, words)| (name.to_string(), words.to_string())).collect(),
        limits: limits(scores, input),
        font_regular: BASE64.encode(WOFF_REGULAR),
        font_semibold: BASE64.encode(WOFF_SEMIBOLD),
    }
}

fn class(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Good => "good",
        Judgement::Bad => "bad",
        Judgement::Unclear => "unclear",
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn subtitle(scores: &Scores) -> String {
    let mut parts = Vec::new();
    if scores.clustered_by == ClusteredBy::Identity {
        parts.push(count(scores.clusters, "person", "people"));
    }
    if scores.has_videos {
        parts.push(count(scores.units.len(), "video", "videos"));
        parts.push(count(scores.items(), "frame", "frames"));
    } else {
        parts.push(count(scores.items(), "item", "items"));
    }
    parts.push(format!("{} each", count(scores.sets[0].samples, "posterior sample", "posterior samples")));
    parts.join(" · ")
}

fn facts(scores: &Scores, metrics: &Metrics, input: &ReportInput) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_string(), value));
    if let Some(detector) = &scores.sets[0].detector {
        fact("Detector", detector.clone());
    }
    if let Some(split) = &scores.split {
        fact("Split", split.clone());
    }
    fact(
        "People",
        match scores.clustered_by {
            ClusteredBy::Identity => scores.clusters.to_string(),
            _ => "unknown: the predictions do not say who is seen".into(),
        },
    );
    if scores.has_videos {
        fact("Videos", scores.units.len().to_string());
        fact("Frames", scores.items().to_string());
    } else {
        fact("Items", scores.items().to_string());
    }
    fact("Without a prediction", input.missing.len().to_string());
    fact("Posterior samples of each", scores.sets[0].samples.to_string());
    let folds = metrics.groups.iter().filter(|g| g.by.contains_key("fold") && g.level == metrics.top_level()).count();
    if folds > 0 {
        fact("Folds", format!("{folds}, each held out from a detector of its own"));
    }
    if let Some(bootstrap) = &metrics.intervals.bootstrap {
        fact(
            "Intervals",
            format!(
                "{:.0} %, bootstrap of {} {}, {} replicates",
                100.0 * bootstrap.level,
                metrics.intervals.clusters,
                metrics.intervals.clustered_by.plural(),
                bootstrap.replicates
            ),
        );
    }
    facts.extend(input.facts.iter().cloned());
    facts
}

/// Of each origin: its name, videos, frames, and videos that are missing.
fn origins(scores: &Scores, metrics: &Metrics) -> Vec<(String, usize, usize, usize)> {
    let items = if scores.has_videos { Level::Frame } else { Level::Item };
    origin_groups(metrics, items)
        .into_iter()
        .map(|(origin, group)| (origin.title(), group.videos, group.items, group.missing))
        .collect()
}

/// The groups of the reals, each control and each generator, in this order.
fn origin_groups(metrics: &Metrics, level: Level) -> Vec<(Origin, &Group)> {
    let mut found: Vec<(Origin, &Group)> = metrics
        .groups
        .iter()
        .filter(|group| group.level == level && group.by.len() == 1)
        .filter_map(|group| {
            let (key, value) = group.by.iter().next()?;
            let origin = match (key.as_str(), value.as_str()) {
                ("generator", "real") => Origin::Real,
                ("generator", name) => Origin::Generator(name.into()),
                ("control", name) => Origin::Control(name.into()),
                _ => return None,
            };
            Some((origin, group))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Cells of one table, which number the reasons for what is undefined.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn cell(&mut self, estimate: &Estimate) -> Cell {
        let note = match &estimate.undefined_because {
            None => 0,
            Some(reason) => {
                let at = self.0.iter().position(|known| known == reason).unwrap_or_else(|| {
                    self.0.push(reason.clone());
                    self.0.len() - 1
                });
                at + 1
            }
        };
        let interval = match (estimate.low, estimate.high) {
            (Some(low), Some(high)) => format!("{low:.3} to {high:.3}"),
            _ => String::new(),
        };
        Cell { value: estimate.value.map_or("–".into(), |v| format!("{v:.3}")), interval, note }
    }

    fn numbered(self) -> Vec<(usize, String)> {
        self.0.into_iter().enumerate().map(|(at, reason)| (at + 1, reason)).collect()
    }
}

/// Metrics of the overall table: name, words, whether more is better.
const OVERALL: [(&str, &str); 20] = [
    ("accuracy", "share of right answers"),
    ("balanced_accuracy", "mean of the classes' recalls"),
    ("auroc", "0.5 is guessing, 1 is perfect"),
    ("average_precision", "of the fakes; guessing gives their share"),
    ("false_alarm_rate", "share of the reals called fake"),
    ("miss_rate", "share of the fakes called real"),
    ("nll", "negative log-likelihood, nats; smaller is better"),
    ("brier", "squared error of P(fake); smaller is better"),
    ("ece_top15", "calibration error of the confidence"),
    ("ece_top15_if_calibrated", "what chance alone gives a calibrated detector"),
    ("ece_pos15", "calibration error of P(fake)"),
    ("aurc", "mean risk over all coverages; smaller is better"),
    ("augrc", "generalised risk over all coverages; smaller is better"),
    ("misclassification_auroc_total", "does total uncertainty find the errors? 0.5 is guessing"),
    ("misclassification_auroc_aleatoric", "the same of the aleatoric part"),
    ("misclassification_auroc_epistemic", "the same of the epistemic part"),
    ("total", "mean total uncertainty, nats"),
    ("aleatoric", "doubt that lies in the data, nats"),
    ("between_frames", "doubt from frames that differ, nats (videos only)"),
    ("epistemic", "doubt that lies in the model, nats"),
];

fn tables(metrics: &Metrics) -> Vec<Shown> {
    let levels: Vec<Level> =
        [Level::Video, Level::Frame, Level::Item].into_iter().filter(|l| metrics.group(&[], *l).is_some()).collect();
    let overall: Vec<&Group> = levels.iter().filter_map(|&level| metrics.group(&[], level)).collect();
    let mut notes = Notes::default();
    let rows = OVERALL
        .iter()
        .filter(|(name, _)| overall.iter().any(|group| group.metrics.contains_key(*name)))
        .map(|(name, words)| {
            let cells = overall.iter().map(|group| notes.cell(&group.metric(name))).collect();
            (name.to_string(), words.to_string(), cells)
        })
        .collect();
    let heads = overall.iter().map(|group| format!("{} {}", group.items, group.level.plural()));
    let mut all = vec![Shown {
        title: "Overall".into(),
        caption: "Under each number its interval. Resampling adds noise of its own to a calibration error, so its interval sits high; compare the error with what chance alone gives.".into(),
        header: ["Metric".to_string()].into_iter().chain(heads).collect(),
        rows,
        notes: notes.numbered(),
    }];
    for &level in &levels {
        all.extend(by_origin_table(metrics, level));
    }
    let folds: Vec<&Group> =
        metrics.groups.iter().filter(|g| g.level == metrics.top_level() && g.by.contains_key("fold")).collect();
    if !folds.is_empty() {
        let mut notes = Notes::default();
        let columns = ["accuracy", "auroc", "ece_top15", "total", "aleatoric", "epistemic"];
        let rows = folds
            .iter()
            .map(|group| {
                let cells = columns.iter().map(|name| notes.cell(&group.metric(name))).collect();
                (format!("fold {}", group.by["fold"]), format!("n = {}", group.items), cells)
            })
            .collect();
        all.push(Shown {
            title: format!("By fold, {}", metrics.top_level().plural()),
            caption: "Each fold was held out from a detector of its own. If they differ much, the result hangs on who was in the training data.".into(),
            header: ["Fold", "Accuracy", "AUROC", "ECE", "Total", "Aleatoric", "Epistemic"].map(String::from).to_vec(),
            rows,
            notes: notes.numbered(),
        });
    }
    all
}

fn by_origin_table(metrics: &Metrics, level: Level) -> Option<Shown> {
    let groups = origin_groups(metrics, level);
    if groups.is_empty() {
        return None;
    }
    let mut notes = Notes::default();
    let rows = groups
        .iter()
        .map(|(origin, group)| {
            let (called_fake, auroc) = match origin {
                Origin::Generator(name) => {
                    let against = metrics.group(&[("generator", name), ("against", "real")], level);
                    let auroc = against.map_or_else(|| group.metric("auroc"), |g| g.metric("auroc"));
                    (complement(&group.metric("miss_rate")), Some(auroc))
                }
                _ => (group.metric("false_alarm_rate"), None),
            };
            let mut cells = vec![notes.cell(&called_fake)];
            cells.push(match auroc {
                Some(auroc) => notes.cell(&auroc),
                None => Cell { value: String::new(), interval: String::new(), note: 0 },
            });
            let parts = ["total", "aleatoric", "between_frames", "epistemic"];
            let parts = parts.iter().filter(|name| level == Level::Video || **name != "between_frames");
            cells.extend(parts.map(|name| notes.cell(&group.metric(name))));
            (origin.title(), format!("n = {}", group.items), cells)
        })
        .collect();
    let mut header = vec!["Origin", "Called fake", "AUROC against reals", "Total", "Aleatoric"];
    if level == Level::Video {
        header.push("Between frames");
    }
    header.push("Epistemic");
    Some(Shown {
        title: format!("By generator, {}", level.plural()),
        caption: "Called fake: a false alarm for reals and null controls, a catch for fakes. The AUROC sets the fakes of one generator against all reals, null controls too. Uncertainties are means over the row's own items, in nats.".into(),
        header: header.into_iter().map(String::from).collect(),
        rows,
        notes: notes.numbered(),
    })
}

/// One minus a share, with its interval turned round.
fn complement(share: &Estimate) -> Estimate {
    let minus = |value: Option<f64>| value.map(|v| 1.0 - v);
    Estimate {
        value: minus(share.value),
        low: minus(share.high),
        high: minus(share.low),
        undefined_because: share.undefined_because.clone(),
    }
}

/// The fields of an object, nested ones with dots.
fn flattened(value: &serde_json::Value) -> Vec<(String, String)> {
    fn walk(name: &str, value: &serde_json::Value, rows: &mut Vec<(String, String)>) {
        use serde_json::Value;
        match value {
            Value::Object(fields) => {
                for (key, field) in fields {
                    let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                    walk(&name, field, rows);
                }
            }
            Value::Array(items) => {
                let words: Vec<String> =
                    items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), String::from)).collect();
                rows.push((name.to_string(), words.join(" ")));
            }
            Value::String(text) => rows.push((name.to_string(), text.clone())),
            Value::Null => {}
            other => rows.push((name.to_string(), other.to_string())),
        }
    }
    let mut rows = Vec::new();
    walk("", value, &mut rows);
    rows
}

fn limits(scores: &Scores, input: &ReportInput) -> Vec<String> {
    let mut limits = Vec::new();
    match scores.clustered_by {
        ClusteredBy::Identity if scores.clusters < 100 => limits.push(format!(
            "{} were seen. The intervals say what other people like these would give; they say nothing of people, cameras and light that are not among them.",
            count(scores.clusters, "person", "people")
        )),
        ClusteredBy::Identity => {}
        ClusteredBy::Video => limits.push(
            "Some videos do not say who is seen, so the intervals resample videos. If one person is in several, they are too short.".into(),
        ),
        ClusteredBy::Item => limits.push(
            "The predictions name neither people nor videos, so the intervals take every item as independent. If they are not, they are too short.".into(),
        ),
    }
    limits.push(
        "Fakes that were forged for a test measure the method, not the world: what other generators make may be easier or harder, and a detector that was shown to fail here will hardly do better there.".into(),
    );
    if !input.missing.is_empty() {
        limits.push(format!(
            "{} no prediction and {} in no number above; if what fails is harder than the rest, the numbers are too kind.",
            count(input.missing.len(), "video has", "videos have"),
            if input.missing.len() == 1 { "is" } else { "are" }
        ));
    }
    if scores.sets[0].samples == 1 {
        limits.push(
            "There is one sample of each item, so epistemic uncertainty is 0 by construction and says nothing.".into(),
        );
    }
    limits.extend(input.notes.iter().cloned());
    limits
}
