//! The report: everything together, written to a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use dubito_stats::Confidence;

use crate::classes::{ClassView, Predictions};
use crate::comparison::MOST_COMPARED;
use crate::csv_out::Table;
use crate::decisions::decisions;
use crate::evaluate::{CONVENTIONS, Level, Metrics, Missing, Options, metrics_from_scores};
use crate::figures::{Figure, confusion_figure, figures, ratio_figures, unseen_figure};
use crate::names::file_names;
use crate::scores::{ClusteredBy, Scores};
use crate::tables::{
    Shown, across_table, class_tables, comparison_tables, decision_tables, origin_groups, tables, unseen_table,
};
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
    /// What was not done, a sentence each, for "not in this run".
    pub not_in_this_run: Vec<String>,
    /// The split on which thresholds, recalibration and guarantees are chosen, where there is one.
    pub calibration: Option<Scores>,
    /// The predictions as several classes, where they are.
    pub classes: Option<ClassView>,
    /// Whether the tables of single items are written however many there are; otherwise of up to
    /// [`MOST_TABLE_ITEMS`].
    pub all_items: bool,
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
    let Predictions { scores, calibration, classes } = Predictions::read(predictions, options)?;
    write_report_of(out, &scores, &ReportInput { calibration, classes, ..input.clone() }, options)
}

/// [`write_report`], of what [`Predictions::read`] read already; `input.calibration` is the split to choose on,
/// `input.classes` the view of several classes.
///
/// With several detectors the page sets them side by side, and each has a report of its own in
/// `detectors/NAME`.
pub fn write_report_of(
    out: &Path,
    scores: &Scores,
    input: &ReportInput,
    options: &Options,
) -> Result<Metrics, ReportError> {
    let (metrics, drawn) = rayon::join(
        || metrics_from_scores(scores, &input.missing, input.provenance.clone(), options),
        || figures_of_scores(scores),
    );
    let (mut metrics, drawn) = (metrics?, drawn?);
    if let Some(classes) = &input.classes {
        classes.add_to(&mut metrics, scores, options)?;
    }
    if let Some(calibration) = &input.calibration {
        metrics.decisions = decisions(calibration, scores, options)?;
    } else if let Some(how) = options.set_apart {
        let unseen = options.promises.unseen.union(&scores.not_learned.unseen).cloned().collect();
        let (apart, others) = scores.set_apart(how, &unseen)?;
        metrics.decisions = decisions(&apart, &others, options)?;
    }
    if scores.sets.len() > 1 {
        let names = scores.sets.iter().map(|set| set.detector.clone().unwrap_or_default());
        metrics.folders =
            names.zip(folders(scores)).map(|(name, folder)| (name, format!("detectors/{folder}"))).collect();
    }
    write_metrics(out, scores, &metrics, drawn, input)?;
    Ok(metrics)
}

/// The folder of one report, with the figures that are [drawn](figures_of_scores) already. Gives what the page says of
/// the detector; nothing, with several of them.
fn write_metrics(
    out: &Path,
    scores: &Scores,
    metrics: &Metrics,
    drawn: Vec<Figure>,
    input: &ReportInput,
) -> Result<String, ReportError> {
    let (shown, figures) = match scores.sets.len() {
        1 => (tables_of_one(metrics), figures_of_one(drawn, scores, metrics)?),
        _ => (comparison_tables(metrics), figures_of_several(scores, metrics)?),
    };
    // With several detectors: name, link, and what is said of each.
    let mut detectors = Vec::new();
    if scores.sets.len() > 1 {
        for (at, (set, folder)) in scores.sets.iter().zip(folders(scores)).enumerate() {
            let alone = ReportInput {
                title: format!("{}: {}", input.title, set.detector.as_deref().unwrap_or("detector")),
                calibration: input.calibration.as_ref().and_then(|calibration| {
                    let own = calibration.sets.iter().position(|own| own.detector == set.detector)?;
                    Some(calibration.only(own))
                }),
                classes: input.classes.as_ref().and_then(|classes| classes.only(&set.detector)),
                ..input.clone()
            };
            let out = out.join("detectors").join(&folder);
            let scores = scores.only(at);
            let drawn = figures_of_scores(&scores)?;
            let own = Metrics { warnings: scores.warnings(), ..metrics.of_detector(set) };
            let said = write_metrics(&out, &scores, &own, drawn, &alone)?;
            let name = set.detector.clone().unwrap_or_default();
            detectors.push((name, format!("detectors/{folder}/report.html"), said));
        }
    }
    let json = serde_json::to_string_pretty(metrics)
        .map_err(|e| ReportError::Write { path: out.join("metrics.json"), source: e.into() })?;
    for table in &shown {
        let path = out.join("tables").join(table.file_name()).with_extension("tex");
        write_atomically(&path, table.latex(&table.file_name()).as_bytes())?;
    }
    write_tables(&out.join("tables"), scores, metrics, input)?;
    for figure in &figures {
        let path = out.join("figures").join(&figure.name);
        write_atomically(&path.with_extension("svg"), figure.svg.as_bytes())?;
        write_atomically(&path.with_extension("png"), &figure.png)?;
    }
    let page = page(scores, metrics, shown, figures, detectors, input);
    let said = page.summary.clone();
    let page =
        page.render().map_err(|e| ReportError::Figure { figure: "report.html".into(), problem: e.to_string() })?;
    write_atomically(&out.join("metrics.json"), format!("{json}\n").as_bytes())?;
    write_atomically(&out.join("report.html"), page.as_bytes())?;
    Ok(said)
}

fn tables_of_one(metrics: &Metrics) -> Vec<Shown> {
    let mut all = tables(metrics);
    all.extend(class_tables(metrics));
    all.extend(metrics.unseen.iter().map(unseen_table));
    all.extend(metrics.across_generators.iter().filter_map(across_table));
    all.extend(metrics.decisions.iter().flat_map(decision_tables));
    all
}

/// The figures for which no metric is needed; of several detectors each has its own.
fn figures_of_scores(scores: &Scores) -> Result<Vec<Figure>, ReportError> {
    if scores.sets.len() == 1 { figures(scores) } else { Ok(Vec::new()) }
}

fn figures_of_one(mut all: Vec<Figure>, scores: &Scores, metrics: &Metrics) -> Result<Vec<Figure>, ReportError> {
    for confusion in &metrics.confusion {
        all.push(confusion_figure(confusion)?);
    }
    all.extend(unseen_figure(scores, metrics)?);
    for decisions in &metrics.decisions {
        all.extend(ratio_figures(decisions)?);
    }
    Ok(all)
}

/// What each of several detectors calls what, in a file of its own each.
fn figures_of_several(scores: &Scores, metrics: &Metrics) -> Result<Vec<Figure>, ReportError> {
    let mut all = Vec::new();
    for (set, folder) in scores.sets.iter().zip(folders(scores)) {
        for confusion in metrics.confusion.iter().filter(|confusion| confusion.detector == set.detector) {
            let drawn = confusion_figure(confusion)?;
            let detector = set.detector.as_deref().unwrap_or("detector");
            let (name, caption) = (format!("confusion_{folder}"), &drawn.caption);
            all.push(Figure { name, caption: format!("By the detector {detector}. {caption}"), ..drawn });
        }
    }
    Ok(all)
}

/// Detectors that have a report of their own; of more, the first by name have one, and the tables hold all.
pub const MOST_PAGES: usize = MOST_COMPARED;

/// Of each detector that has a report of its own the folder below the common report's.
fn folders(scores: &Scores) -> Vec<String> {
    let names = scores.sets.iter().map(|set| set.detector.as_deref().unwrap_or("detector"));
    let mut folders = file_names(names);
    folders.truncate(MOST_PAGES);
    folders
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

    write_confusion(&folder.join("confusion.csv"), metrics)?;
    write_unseen(&folder.join("unseen.csv"), metrics)?;
    write_decided(folder, metrics, scores)?;
    write_pairs(&folder.join("comparisons.csv"), metrics)?;
    if scores.sets.len() > 1 {
        return Ok(()); // each detector has the rest in its own folder
    }
    let mut levels = vec![(if scores.has_videos { Level::Frame } else { Level::Item }, "items.csv")];
    if scores.has_videos {
        levels.push((Level::Video, "videos.csv"));
    }
    for (level, name) in levels {
        if scores.sets[0].of(level).len() > MOST_TABLE_ITEMS && !input.all_items {
            continue;
        }
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
            let told = |known: bool, part: f64| if known { part.to_string() } else { String::new() };
            cells.push(told(!undivided, all.between_frames()[i]));
            cells.push(told(set.without_epistemic(level).is_none(), all.epistemic()[i]));
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

/// Each confusion matrix, cell by cell; not written without one.
fn write_confusion(path: &Path, metrics: &Metrics) -> Result<(), ReportError> {
    if metrics.confusion.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["detector", "level", "origin", "unseen", "called", "items"]);
    for confusion in &metrics.confusion {
        let seen = confusion.classes.iter().zip(&confusion.counts).map(|(name, counts)| (name, counts, "no"));
        for (name, counts, unseen) in seen.chain(confusion.unseen.iter().map(|(name, counts)| (name, counts, "yes"))) {
            for (called, count) in confusion.classes.iter().zip(counts) {
                let detector = confusion.detector.clone().unwrap_or_default();
                let level = confusion.level.plural().trim_end_matches('s').to_owned();
                table.row([detector, level, name.clone(), unseen.into(), called.clone(), count.to_string()]);
            }
        }
    }
    table.write(path)
}

/// Every number of unseen generators; not written without any.
fn write_unseen(path: &Path, metrics: &Metrics) -> Result<(), ReportError> {
    if metrics.unseen.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[
        "detector",
        "task",
        "level",
        "generator",
        "items",
        "seen",
        "metric",
        "value",
        "low",
        "high",
        "undefined_because",
    ]);
    let number = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
    for unseen in &metrics.unseen {
        for fakes in &unseen.generators {
            let mut numbers = vec![("caught".to_owned(), &fakes.caught)];
            for (name, doubt) in &fakes.doubts {
                let detection = &doubt.detection;
                numbers.extend([
                    (format!("{name}_unseen"), &doubt.unseen),
                    (format!("{name}_seen_fakes"), &doubt.seen_fakes),
                    (format!("{name}_difference"), &doubt.difference),
                    (format!("{name}_auroc"), &detection.auroc),
                    (format!("{name}_average_precision"), &detection.average_precision),
                    (format!("{name}_fpr_at_95_tpr"), &detection.fpr_at_95_tpr),
                ]);
            }
            for (metric, estimate) in numbers {
                table.row([
                    unseen.detector.clone().unwrap_or_default(),
                    unseen.task.to_owned(),
                    unseen.level.plural().trim_end_matches('s').into(),
                    fakes.generator.clone().unwrap_or_else(|| "all unseen".into()),
                    fakes.items.to_string(),
                    unseen.seen.to_string(),
                    metric,
                    number(estimate.value),
                    number(estimate.low),
                    number(estimate.high),
                    estimate.undefined_because.clone().unwrap_or_default(),
                ]);
            }
        }
    }
    table.write(path)
}

/// What was decided of each item, in `decisions.csv`; not written without decisions.
fn write_decided(folder: &Path, metrics: &Metrics, scores: &Scores) -> Result<(), ReportError> {
    if metrics.decisions.iter().all(|decisions| decisions.decided.is_empty()) {
        return Ok(());
    }
    let mut header = vec!["detector", "item", "origin", "label", "predicted"];
    let columns: Vec<String> = scores.task.classes.iter().map(|class| format!("recalibrated_{class}")).collect();
    header.extend(columns.iter().map(String::as_str));
    header.extend(["set", "answered", "log10_lr", "verbal"]);
    let mut table = Table::new(&header);
    for decisions in &metrics.decisions {
        for item in &decisions.decided {
            let mut cells = vec![
                decisions.detector.clone().unwrap_or_default(),
                item.name.clone(),
                item.origin.clone(),
                item.label.clone(),
                item.predicted.clone(),
            ];
            let probs = item.recalibrated.iter().map(f64::to_string).chain(std::iter::repeat(String::new()));
            cells.extend(probs.take(columns.len()));
            cells.extend([
                item.set.join(" "),
                item.answered.map(|answered| answered.to_string()).unwrap_or_default(),
                item.ratio.as_ref().map(|ratio| ratio.log10_lr.to_string()).unwrap_or_default(),
                item.ratio.as_ref().map(|ratio| ratio.text.clone()).unwrap_or_default(),
            ]);
            table.row(cells);
        }
    }
    table.write(&folder.join("decisions.csv"))
}

/// Every pair of detectors; not written without pairs.
fn write_pairs(path: &Path, metrics: &Metrics) -> Result<(), ReportError> {
    if metrics.comparisons.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[
        "first",
        "second",
        "level",
        "items",
        "clusters",
        "metric",
        "method",
        "value_first",
        "value_second",
        "difference",
        "low",
        "high",
        "standard_error",
        "p_value",
        "p_value_holm",
        "smallest_detectable",
        "undefined_because",
    ]);
    let number = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
    for pair in &metrics.comparisons {
        let found = &pair.comparison;
        table.row([
            pair.first.clone(),
            pair.second.clone(),
            pair.level.plural().trim_end_matches('s').into(),
            pair.items.to_string(),
            pair.clusters.to_string(),
            pair.metric.into(),
            pair.method.into(),
            number(found.first.value),
            number(found.second.value),
            number(found.difference.value),
            number(found.difference.low),
            number(found.difference.high),
            number(found.standard_error.value),
            number(found.p_value.value),
            number(pair.p_value_holm.value),
            number(found.smallest_detectable.value),
            found.difference.undefined_because.clone().unwrap_or_default(),
        ]);
    }
    table.write(path)
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
    /// With several detectors: name, link, and what is said of each.
    detectors: Vec<(String, String, String)>,
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
    not_in_this_run: Vec<String>,
    font_regular: String,
    font_semibold: String,
}

struct Card {
    class: &'static str,
    sentence: Sentence,
}

pub(crate) const WOFF_REGULAR: &[u8] = include_bytes!("../fonts/Inter-Regular.woff2");
pub(crate) const WOFF_SEMIBOLD: &[u8] = include_bytes!("../fonts/Inter-SemiBold.woff2");

/// Tables of single items are left out beyond this many.
pub const MOST_TABLE_ITEMS: usize = 200_000;

fn page(
    scores: &Scores,
    metrics: &Metrics,
    tables: Vec<Shown>,
    figures: Vec<Figure>,
    detectors: Vec<(String, String, String)>,
    input: &ReportInput,
) -> Page {
    let sentences = if scores.sets.len() == 1 { verdict(metrics, scores) } else { Vec::new() };
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
        origins: match scores.sets.as_slice() {
            [first, _, ..] => origins(scores, &metrics.of_detector(first)),
            _ => origins(scores, metrics),
        },
        missing: missing.into_iter().map(|((status, reason), count)| (status, reason, count)).collect(),
        tables,
        detectors,
        figures: figures.into_iter().enumerate().map(|(at, figure)| (at + 1, figure)).collect(),
        examples: input.examples.iter().map(|e| (e.group.clone(), e.caption.clone(), BASE64.encode(&e.png))).collect(),
        provenance: flattened(&input.provenance),
        conventions: CONVENTIONS.iter().map(|(name, words)| (name.to_string(), words.to_string())).collect(),
        limits: limits(scores, metrics, input),
        not_in_this_run: input.not_in_this_run.clone(),
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
    let detectors: Vec<&str> = scores.sets.iter().filter_map(|set| set.detector.as_deref()).collect();
    if !detectors.is_empty() {
        fact(if detectors.len() == 1 { "Detector" } else { "Detectors" }, detectors.join(", "));
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
    if let Some(classes) = &scores.classes {
        fact("Classes", classes.join(", "));
    }
    if let Some(unseen) = metrics.unseen.first() {
        let names: Vec<&str> = unseen.generators.iter().filter_map(|one| one.generator.as_deref()).collect();
        fact("Never seen in training", names.join(", "));
        if !unseen.set_aside.is_empty() {
            fact("Partly like what was left out", format!("{}: neither seen nor unseen", unseen.set_aside.join(", ")));
        }
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

/// The fields of an object, nested ones with dots.
pub(crate) fn flattened(value: &serde_json::Value) -> Vec<(String, String)> {
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

fn limits(scores: &Scores, metrics: &Metrics, input: &ReportInput) -> Vec<String> {
    let mut limits = metrics.warnings.clone();
    if scores.sets.len() > MOST_PAGES {
        limits.push(format!(
            "Of {} detectors the first {MOST_PAGES} by name have intervals and a report of their own and are compared in pairs; `tables/metrics.csv` and `metrics.json` have the numbers of all. `--detector NAME` gives intervals and the report of any other.",
            scores.sets.len()
        ));
    }
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
    let most = scores.sets.iter().map(|set| set.items.len()).max().unwrap_or(0);
    if most > MOST_TABLE_ITEMS && !input.all_items {
        limits.push(format!("There are {most} items, so their table is left out; `--all-items` writes it."));
    }
    if most > MOST_TABLE_ITEMS {
        limits.push("Boxes, rejection and ROC curves are drawn of every k-th item, 200,000 at most; every number is of all items.".into());
    }
    match scores.splits.len() {
        0 | 1 if metrics.decisions.is_empty() => limits.push(
            "The predictions name no calibration split, so nothing was chosen on one: no threshold, recalibration, prediction sets, guarantee of abstention or likelihood ratios. A column `split` with rows named `calibration` would give them, or `--set-apart 0.5`.".into(),
        ),
        0 | 1 if input.calibration.is_none() => limits.push(
            "The predictions name no calibration split, so some of those who were tested were set apart to choose on: thresholds, recalibration, sets, abstention and likelihood ratios are judged on the others alone, all other numbers on everybody. Where detectors were cross-fitted, what was chosen belongs to their mixture, not to one of them.".into(),
        ),
        _ => {}
    }
    limits.extend(input.notes.iter().cloned());
    limits
}
