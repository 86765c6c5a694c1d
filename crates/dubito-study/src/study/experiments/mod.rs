//! The experiments: what each asks, the steps it needs, and the section that answers it.

pub(crate) mod attacks;
mod binary;
mod calibration;
mod classes;
mod cross;
mod dose;
mod doubts;
mod leave_one_out;
mod matrix;
mod methods;
mod noise;
mod people;
mod quality;

use std::path::{Path, PathBuf};

use dubito_media::Tools;
use dubito_report::evaluate::{Group, Options, metrics_from_scores};
use dubito_report::section::{Axis, Chart, ChartKind, Curve, Section, Source, Table, Value, far_apart};
use dubito_report::{Level, Metrics, Predictions};
use dubito_stats::{Bootstrap, Estimate};
use serde_json::json;

use super::config::ExperimentConfig;
use super::estimate::Size;
use super::execute::Done;
use super::plan::{Found, Planner};
use super::step::Role;
use crate::StudyError;
use crate::progress::{OnProgress, Step};

/// A kind of experiment.
pub struct Kind {
    /// Its name in a study's file.
    pub name: &'static str,
    /// Its title in the report.
    pub title: &'static str,
    /// What it asks.
    pub question: &'static str,
    /// The keys that it takes, beside `kind`, `needs` and `data`.
    pub keys: &'static [&'static str],
    pub(crate) plan: fn(&mut Planner<'_>, &ExperimentConfig) -> Result<Found, StudyError>,
    pub(crate) section: fn(&Answering<'_>) -> Result<Section, StudyError>,
    /// About how many seconds the section itself takes, given how much there is and how many steps it needs.
    pub(crate) seconds: fn(&Planner<'_>, &ExperimentConfig, Size, usize) -> f64,
}

/// Every kind, in the order of the report.
pub static KINDS: &[Kind] = &[
    binary::KIND,
    matrix::KIND,
    classes::MULTICLASS,
    classes::SOURCE,
    leave_one_out::KIND,
    cross::KIND,
    calibration::KIND,
    attacks::KIND,
    methods::INFERENCE,
    quality::KIND,
    methods::ABLATION,
    doubts::SOURCE,
    doubts::REGIONS,
    doubts::MAPS,
    dose::KIND,
    people::KIND,
    noise::KIND,
];

/// What a section that only reads predictions takes.
fn reading(_: &Planner<'_>, _: &ExperimentConfig, _: Size, needs: usize) -> f64 {
    4.0 * needs as f64
}

/// What an experiment is answered with.
pub struct Answering<'a> {
    pub(crate) kind: &'static Kind,
    pub(crate) name: &'a str,
    pub(crate) experiment: &'a ExperimentConfig,
    /// What was found: its role, and its folder.
    pub(crate) found: Vec<(Role, PathBuf)>,
    /// What was not, and why.
    pub(crate) absent: Vec<(Role, String)>,
    /// The folder of the section itself, for its pictures and what it keeps.
    pub(crate) folder: &'a Path,
    /// The study's folder.
    pub(crate) root: &'a Path,
    /// Posterior samples, seed, and replicates of intervals.
    pub(crate) study: (u32, u64, usize),
    /// `cpu` or `gpu`.
    pub(crate) device: &'a str,
    pub(crate) tools: &'a Tools,
    pub(crate) step: Step,
    pub(crate) on_progress: OnProgress<'a>,
}

/// Predictions of one detector, evaluated.
pub(crate) struct Evaluated {
    pub(crate) role: Role,
    pub(crate) metrics: Metrics,
    pub(crate) predictions: Predictions,
}

impl Role {
    /// Detector and inference method, and the seed where it is not the first.
    pub(crate) fn who(&self) -> String {
        let seed = if self.seed == 0 { String::new() } else { format!(", seed {}", self.seed) };
        format!("{} {}{seed}", self.detector, self.inference)
    }
}

impl Answering<'_> {
    pub(crate) fn bootstrap(&self) -> Bootstrap {
        Bootstrap { replicates: self.study.2, seed: self.study.1, ..Bootstrap::default() }
    }

    pub(crate) fn options(&self) -> Options {
        Options { bootstrap: Some(self.bootstrap()), ..Options::default() }
    }

    /// A section with what is known of every one.
    pub(crate) fn section(&self, method: String) -> Section {
        let sources = self.found.iter().map(|(role, dir)| Source {
            what: [&role.what, &role.who(), &role.task, &role.setting]
                .into_iter()
                .filter(|part| !part.is_empty())
                .cloned()
                .collect::<Vec<_>>()
                .join(", "),
            path: dir.strip_prefix(self.root).unwrap_or(dir).to_string_lossy().into_owned(),
            command: command_of(dir).unwrap_or_default(),
        });
        Section {
            name: self.name.to_owned(),
            title: self.kind.title.to_owned(),
            question: self.kind.question.to_owned(),
            method,
            skipped: self
                .absent
                .iter()
                .map(|(role, why)| {
                    let setting = if role.setting.is_empty() { String::new() } else { format!(", {}", role.setting) };
                    format!("{}{setting} ({}): {why}", role.who(), role.what)
                })
                .collect(),
            sources: sources.collect(),
            ..Section::default()
        }
    }

    /// What was found as `predictions`, `runs` or `clips`.
    pub(crate) fn of(&self, what: &'static str) -> impl Iterator<Item = &(Role, PathBuf)> {
        self.found.iter().filter(move |(role, _)| role.what == what)
    }

    /// The clips that runs judge.
    pub(crate) fn clips_of(&self, runs: &Role) -> Option<&PathBuf> {
        let whose = |role: &Role| (role.detector.clone(), role.inference.clone(), role.seed);
        self.of("clips").find(|(clips, _)| whose(clips) == whose(runs)).map(|(_, dir)| dir)
    }

    /// Reads and evaluates all predictions, one after another. Those that can't be are added to `skipped`.
    pub(crate) fn evaluated(&self, skipped: &mut Vec<String>, options: &Options) -> Result<Vec<Evaluated>, StudyError> {
        let of_predictions: Vec<_> = self.of("predictions").collect();
        let mut all = Vec::new();
        for (k, (role, dir)) in of_predictions.iter().enumerate() {
            match evaluate(dir, options) {
                Ok((metrics, predictions)) => all.push(Evaluated { role: role.clone(), metrics, predictions }),
                Err(error) => skipped.push(format!("{}: {error}", role.who())),
            }
            self.tell(k + 1, of_predictions.len(), &role.who())?;
        }
        if all.is_empty() {
            return Err(StudyError::Input {
                message: "there are no predictions to answer it with".into(),
                hint: "the steps that it needs failed: `dubito study plan` shows which".into(),
            });
        }
        Ok(all)
    }

    pub(crate) fn tell(&self, done: usize, total: usize, item: &str) -> Result<(), StudyError> {
        let progress = crate::Progress { step: self.step, done, total, item: item.to_owned() };
        if (self.on_progress)(&progress) { Ok(()) } else { Err(StudyError::stopped()) }
    }
}

/// The predictions in a step's folder and their metrics.
pub(crate) fn evaluate(dir: &Path, options: &Options) -> Result<(Metrics, Predictions), StudyError> {
    let paths = [dir.join("predictions.parquet")];
    let predictions = Predictions::read(&paths, options)?;
    let mut metrics = metrics_from_scores(&predictions.scores, &predictions.scores.missing, json!({}), options)?;
    if let Some(classes) = &predictions.classes {
        classes.add_to(&mut metrics, &predictions.scores, options)?;
    }
    Ok((metrics, predictions))
}

impl Evaluated {
    /// A metric of all videos (of all items, where there are none).
    pub(crate) fn metric(&self, name: &str) -> Estimate {
        self.at(&[], self.metrics.top_level(), name)
    }

    /// A metric of a group. What one network alone cannot have is undefined.
    pub(crate) fn at(&self, by: &[(&str, &str)], level: Level, name: &str) -> Estimate {
        if self.metrics.samples < 2 && name.contains("epistemic") {
            return Estimate::undefined("one network has no epistemic uncertainty");
        }
        let group: Option<&Group> = self.metrics.group(by, level).or_else(|| {
            // With the detector named in the predictions, it may stand in `by`.
            let detector = self.predictions.scores.sets.first()?.detector.as_deref()?;
            let by: Vec<(&str, &str)> = by.iter().copied().chain([("detector", detector)]).collect();
            self.metrics.group(&by, level)
        });
        group.map_or_else(|| Estimate::undefined("there are no such items"), |group| group.metric(name))
    }

    /// Generators of its fakes.
    pub(crate) fn generators(&self) -> Vec<String> {
        let origins = self.predictions.scores.units.origins().iter();
        origins
            .filter_map(|origin| match origin {
                dubito_report::Origin::Generator(name) => Some(name.clone()),
                _ => None,
            })
            .collect()
    }
}

/// All generators of some predictions, sorted.
pub(crate) fn generators(all: &[Evaluated]) -> Vec<String> {
    let names: std::collections::BTreeSet<String> = all.iter().flat_map(Evaluated::generators).collect();
    names.into_iter().collect()
}

/// A number with its interval, in words: `0.81 (0.74 to 0.88)`.
pub(crate) fn said(estimate: &Estimate) -> String {
    estimate.in_words(3)
}

/// Whether an interval lies above a value: `None` where there is no interval.
pub(crate) fn above(estimate: &Estimate, value: f64) -> Option<bool> {
    estimate.low.map(|low| low > value)
}

/// The largest of some estimates, by value.
pub(crate) fn best<T>(items: &[T], value: impl Fn(&T) -> Option<f64>) -> Option<&T> {
    let known = items.iter().filter_map(|item| Some((value(item)?, item)));
    known.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, item)| item)
}

/// A table of one row for each of `all`: its name, and metrics of all videos.
pub(crate) fn metric_table(
    name: &str,
    title: &str,
    caption: &str,
    all: &[Evaluated],
    columns: &[(&str, &str)],
) -> Table {
    let rows = all.iter().map(|one| {
        let cells = columns.iter().map(|(_, metric)| Value::Estimate(one.metric(metric)));
        std::iter::once(Value::Text(row_name(one))).chain(cells).collect()
    });
    Table {
        name: name.into(),
        title: title.into(),
        caption: caption.into(),
        columns: std::iter::once("detector").chain(columns.iter().map(|(head, _)| *head)).map(str::to_owned).collect(),
        rows: rows.collect(),
    }
}

/// Name of a row: who, and what is changed.
pub(crate) fn row_name(one: &Evaluated) -> String {
    match one.role.setting.as_str() {
        "" => one.role.who(),
        setting => format!("{}, {setting}", one.role.who()),
    }
}

/// A forest plot of some metrics of all.
pub(crate) fn dots(
    name: &str,
    title: &str,
    caption: &str,
    all: &[Evaluated],
    metrics: &[(&str, &str)],
    x: &str,
    reference: Option<(&str, f64)>,
) -> Chart {
    let series = metrics
        .iter()
        .map(|(label, metric)| ((*label).to_owned(), all.iter().map(|one| one.metric(metric)).collect::<Vec<_>>()));
    Chart {
        name: name.into(),
        title: title.into(),
        caption: caption.into(),
        kind: ChartKind::Dots {
            rows: all.iter().map(row_name).collect(),
            series: series.collect(),
            x: Axis { label: x.into(), ..Axis::default() },
            reference: reference.map(|(name, value)| (name.to_owned(), value)),
        },
    }
}

/// A line of a metric for each name (detector, method and seed, or more), from left to right by what is said of each.
pub(crate) fn curves<'a>(
    placed: impl IntoIterator<Item = (&'a Evaluated, f64)>,
    name: impl Fn(&Evaluated) -> String,
    metric: &str,
) -> Vec<Curve> {
    let mut lines: Vec<Curve> = Vec::new();
    for (one, x) in placed {
        let (name, point) = (name(one), (x, one.metric(metric)));
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => lines.push(Curve { name, points: vec![point] }),
        }
    }
    lines.iter_mut().for_each(|line| line.points.sort_by(|a, b| a.0.total_cmp(&b.0)));
    lines
}

/// A shaded matrix of a metric for each of `all` and each generator, `real` first.
pub(crate) fn by_generator(
    name: &str,
    title: &str,
    caption: &str,
    all: &[Evaluated],
    (metric, what): (&str, &str),
    against_real: bool,
    ends: Option<[f64; 2]>,
) -> Chart {
    let generators = generators(all);
    let columns: Vec<String> = match against_real {
        true => generators,
        false => std::iter::once("real".to_owned()).chain(generators).collect(),
    };
    let value = |one: &Evaluated, generator: &str| {
        let level = one.metrics.top_level();
        match against_real {
            true => one.at(&[("generator", generator), ("against", "real")], level, metric),
            false => one.at(&[("generator", generator)], level, metric),
        }
    };
    let values: Vec<Vec<Estimate>> =
        all.iter().map(|one| columns.iter().map(|generator| value(one, generator)).collect()).collect();
    let by_row = ends.is_none() && far_apart(&values);
    Chart {
        name: name.into(),
        title: title.into(),
        caption: caption.into(),
        kind: ChartKind::Matrix {
            rows: all.iter().map(row_name).collect(),
            columns,
            values,
            what: what.into(),
            ends,
            by_row,
        },
    }
}

/// The table behind a matrix, with intervals.
pub(crate) fn matrix_table(chart: &Chart) -> Option<Table> {
    let ChartKind::Matrix { rows, columns, values, .. } = &chart.kind else { return None };
    let line = |(name, values): (&String, &Vec<Estimate>)| {
        std::iter::once(Value::Text(name.clone())).chain(values.iter().cloned().map(Value::Estimate)).collect()
    };
    Some(Table {
        name: format!("{}_values", chart.name),
        title: chart.title.clone(),
        caption: chart.caption.clone(),
        columns: std::iter::once("detector".to_owned()).chain(columns.iter().cloned()).collect(),
        rows: rows.iter().zip(values).map(line).collect(),
    })
}

/// What is known of the step in a folder.
fn done(dir: &Path) -> Option<Done> {
    serde_json::from_slice(&std::fs::read(dir.join("step.json")).ok()?).ok()
}

/// Seconds that the step in a folder took.
pub(crate) fn seconds_of(dir: &Path) -> Option<f64> {
    Some(done(dir)?.seconds)
}

/// The command that did the step in a folder.
fn command_of(dir: &Path) -> Option<String> {
    done(dir)?.provenance.get("command")?.as_str().map(str::to_owned)
}
