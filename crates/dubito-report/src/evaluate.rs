//! Scored items by group: what `metrics.json` holds.
//!
//! | `by` | whose items |
//! |---|---|
//! | `{}` | all; these groups come first |
//! | `{"generator": "real"}` | real videos that nothing was done to |
//! | `{"generator": G}` | the fakes of G alone: how uncertain, how often missed; an AUROC is undefined here |
//! | `{"generator": G, "against": "real"}` | the fakes of G and *all* reals, null controls too: the AUROC of G |
//! | `{"generator": G, "against": "untouched"}` | the fakes of G and the reals without null controls, where there are some |
//! | `{"control": G}` | null controls of G: how often a real is called fake for having been resampled and encoded |
//! | `{"fold": F}`, `{"dataset": D}` | where there is more than one |
//! | `{C: V}` | of each value of a column that was asked for |
//! | `{"task": "multiclass"}` | all items of the classes, as these classes; every other group is of real against fake, where one class is `real` |
//! | `{"video_rule": R}` | all videos, their probability taken from their frames' in another way than by the mean of samples |
//!
//! With several detectors each group has `detector` in its `by` as well.
//!
//! Each is given by frame and by video, or by item where the predictions name no videos.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use dubito_stats::bootstrap::quantile;
use dubito_stats::calibration::{CalibrationError, Gap};
use dubito_stats::weighted::Weighted;
use dubito_stats::{Bootstrap, Estimate, Items, Task, Unit, VideoRule, metrics_of, video_probs};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, IntoParallelRefIterator, ParallelIterator};
use serde::Serialize;

use crate::ReportError;
use crate::apart::SetApart;
use crate::classes::{Confusion, Predictions};
use crate::comparison::{MOST_COMPARED, Pair, comparisons};
use crate::decisions::{Decisions, Promises};
use crate::generators::{AcrossGenerators, across_generators};
use crate::input::{InputOptions, Request, View};
use crate::rates::Rate;
use crate::scores::{Fact, Origin, ScoreSet, Scores, Units, real_class};
use crate::unseen::{Unseen, unseen};

/// What to evaluate, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// How intervals are made; `None` for none.
    pub bootstrap: Option<Bootstrap>,
    /// Only this detector; otherwise each one is evaluated for itself.
    pub detector: Option<String>,
    /// Only rows of this split. Needed where the predictions hold several.
    pub split: Option<String>,
    /// How the files' columns are to be understood, where their names don't say it.
    pub input: InputOptions,
    /// As what probabilities of several classes are read.
    pub view: View,
    /// More columns to give the numbers by.
    pub by: Vec<String>,
    /// The split on which everything is chosen that [`decisions`](mod@crate::decisions) judges; by default
    /// [`CALIBRATION_SPLITS`], where there is one.
    pub calibration_split: Option<String>,
    /// Who is chosen on where the files have no split for it; `None` for nobody.
    pub set_apart: Option<SetApart>,
    /// What is promised.
    pub promises: Promises,
    /// Unit of the mean uncertainties among the metrics.
    pub unit: Unit,
}

/// Names by which the split to judge is known.
pub const TEST_SPLITS: [&str; 2] = ["test", "testing"];

/// Names by which the split to choose on is known, the best first.
pub const CALIBRATION_SPLITS: [&str; 6] = ["calibration", "cal", "validation", "valid", "val", "dev"];

impl Options {
    /// The same for the detector of this number: of more than [`MOST_COMPARED`] only the first have intervals, as the time
    /// of the others' would grow without bound.
    pub(crate) fn of_detector(&self, at: usize) -> Cow<'_, Self> {
        if at < MOST_COMPARED { Cow::Borrowed(self) } else { Cow::Owned(Self { bootstrap: None, ..self.clone() }) }
    }

    /// What is asked of every file.
    pub(crate) fn request(&self) -> Request {
        Request {
            view: self.view,
            input: self.input.clone(),
            by: self.by.clone(),
            detector: self.detector.clone(),
            split: self.split.clone(),
        }
    }
}

impl Default for Options {
    /// The default [`Bootstrap`], every detector, and whatever single split there is.
    fn default() -> Self {
        Self {
            bootstrap: Some(Bootstrap::default()),
            detector: None,
            split: None,
            input: InputOptions::default(),
            view: View::default(),
            by: Vec::new(),
            calibration_split: None,
            set_apart: None,
            promises: Promises::default(),
            unit: Unit::Nats,
        }
    }
}

/// A video that the manifest lists but that has no prediction.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, Serialize)]
pub struct Missing {
    /// Its name.
    pub video: String,
    /// Its status, for example `no_face`.
    pub status: String,
    /// Why.
    pub reason: String,
    /// What made the fake; `real` or nothing for a real video.
    pub generator: Option<String>,
    /// The generator that it is the null control of.
    pub control: Option<String>,
    /// Its data set.
    pub dataset: Option<String>,
    /// Its fold.
    pub fold: Option<String>,
}

/// What one item of a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// One frame of a video.
    Frame,
    /// One video: each sample averaged over its frames first.
    Video,
    /// One item of predictions that name no videos.
    Item,
}

impl Level {
    /// In words, for many.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Frame => "frames",
            Self::Video => "videos",
            Self::Item => "items",
        }
    }
}

/// The metrics of one group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Whose items; empty for all.
    pub by: BTreeMap<String, String>,
    /// What an item is.
    pub level: Level,
    /// Number of items.
    pub items: usize,
    /// Number of videos they belong to (of items, where there are no videos).
    pub videos: usize,
    /// Number of videos of this group that the manifest lists but that have no prediction, whatever
    /// the level.
    pub missing: usize,
    /// Every metric by name: those of [`dubito_stats::metrics()`], and
    ///
    /// | name | what |
    /// |---|---|
    /// | `false_alarm_rate` | share of the reals that are called fake |
    /// | `miss_rate` | share of the fakes that are called real |
    /// | `false_alarm_rate_above_real` | null controls only: their rate minus that of the untouched reals, on the same people |
    /// | `ece_top15_if_calibrated` | overall only: what `ece_top15` would be, by chance alone, were the confidences true (Bröcker and Smith, Weather and Forecasting 22, 2007): the mean and the central 95 % of simulations |
    pub metrics: BTreeMap<String, Estimate>,
}

/// The content of `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// Overall groups first.
    pub groups: Vec<Group>,
    /// The classes, and the positive one where there is one.
    pub task: Task,
    /// Number of samples of each item; the smallest, where items or detectors differ.
    pub samples: usize,
    /// How the intervals were made.
    pub intervals: Intervals,
    /// Unit of the mean uncertainties: `nats`, `bits` or `normalised`.
    pub unit: Unit,
    /// Doubt and accuracy from generator to generator, for each detector.
    pub across_generators: Vec<AcrossGenerators>,
    /// What was decided on one split and judged on another, for each detector; empty without a split to
    /// decide on.
    pub decisions: Vec<Decisions>,
    /// Every pair of detectors, of the first [`MOST_COMPARED`](crate::comparison::MOST_COMPARED).
    pub comparisons: Vec<Pair>,
    /// What each detector makes of generators that it never saw, as real against fake and, of several classes, as these;
    /// empty where it is not known of any.
    pub unseen: Vec<Unseen>,
    /// What is called what, for each detector; empty with no more classes than real and fake.
    pub confusion: Vec<Confusion>,
    /// The conventions of the numbers, by metric.
    pub conventions: BTreeMap<&'static str, &'static str>,
    /// With several detectors: the folder of each that has a report of its own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub folders: BTreeMap<String, String>,
    /// What was rounded in the files or in sums of probabilities, and names of columns that contradict what they are read
    /// as, in a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How the numbers were made, as the caller gives it: seed, versions. What differs from run to run of the same
    /// (command line, threads, machine) does not belong here.
    pub provenance: serde_json::Value,
}

/// How the intervals of [`Metrics`] were made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Intervals {
    /// What is resampled as one.
    pub clustered_by: crate::scores::ClusteredBy,
    /// Number of these.
    pub clusters: usize,
    /// Bootstrap: replicates, level, seed, least number of clusters.
    pub bootstrap: Option<Bootstrap>,
}

impl Metrics {
    /// The group of this `by` and level.
    pub fn group(&self, by: &[(&str, &str)], level: Level) -> Option<&Group> {
        let by: BTreeMap<String, String> = by.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        self.groups.iter().find(|group| group.by == by && group.level == level)
    }

    /// What is said of one detector among several, as if it were alone.
    pub(crate) fn of_detector(&self, set: &ScoreSet) -> Self {
        let name = set.detector.as_ref();
        let mut groups: Vec<Group> =
            self.groups.iter().filter(|group| group.by.get("detector") == name).cloned().collect();
        groups.iter_mut().for_each(|group| drop(group.by.remove("detector")));
        Self {
            groups,
            samples: set.samples,
            across_generators: self.across_generators.iter().filter(|a| a.detector.as_ref() == name).cloned().collect(),
            decisions: self.decisions.iter().filter(|d| d.detector.as_ref() == name).cloned().collect(),
            comparisons: Vec::new(),
            unseen: self.unseen.iter().filter(|u| u.detector.as_ref() == name).cloned().collect(),
            confusion: self.confusion.iter().filter(|c| c.detector.as_ref() == name).cloned().collect(),
            task: self.task.clone(),
            intervals: self.intervals.clone(),
            unit: self.unit,
            conventions: self.conventions.clone(),
            folders: BTreeMap::new(),
            warnings: self.warnings.clone(),
            provenance: self.provenance.clone(),
        }
    }

    /// The level at which a verdict is given: videos, or items where there are none.
    pub fn top_level(&self) -> Level {
        if self.groups.iter().any(|group| group.level == Level::Video) { Level::Video } else { Level::Item }
    }
}

impl Group {
    /// A metric by name; one that the group does not hold is undefined.
    pub fn metric(&self, name: &str) -> Estimate {
        self.metrics.get(name).cloned().unwrap_or_else(|| Estimate::undefined("not computed for this group"))
    }
}

/// Conventions that a reader of the numbers needs.
pub const CONVENTIONS: [(&str, &str); 11] = [
    ("accuracy", "share whose most probable class is the true one; in a binary task: fake above one half"),
    (
        "auroc",
        "area under the ROC curve of P(fake), ties count one half; over several classes the mean of one against the rest",
    ),
    ("ece_top15", "expected calibration error of the largest probability, 15 equal bins closed on the right"),
    ("ece_pos15", "the same of P(fake) against the share of fakes"),
    ("brier", "binary: (P(fake) - y)^2, 0 to 1; several classes: summed over them, 0 to 2"),
    ("aurc", "mean over all coverages of the error rate among the most confident items (not the trapezoid rule)"),
    (
        "total, aleatoric, between_frames, epistemic",
        "nats; total = H[mean p]; aleatoric = mean H[p]; a video averages each sample over its frames first",
    ),
    (
        "total_variance, aleatoric_variance, between_frames_variance, epistemic_variance",
        "law of total variance; of two classes that of one of them, of more summed over the classes",
    ),
    ("epistemic_jackknife", "epistemic less its bias from there being few samples; may be below 0"),
    ("misclassification_auroc_*", "how well this uncertainty tells wrong from right answers: 0.5 is chance"),
    ("intervals", "95 % percentile bootstrap over whole clusters (people), unless stated otherwise"),
];

/// Read predictions and compute every group. See the [module](self).
///
/// `missing` are the videos without a prediction; `provenance` is carried into the result. Errors: see
/// [`Scores::read`].
pub fn evaluate(
    paths: &[PathBuf],
    missing: &[Missing],
    provenance: serde_json::Value,
    options: &Options,
) -> Result<Metrics, ReportError> {
    let Predictions { scores, classes, .. } = Predictions::read_one_split(paths, options)?;
    let mut metrics = metrics_from_scores(&scores, missing, provenance, options)?;
    if let Some(classes) = classes {
        classes.add_to(&mut metrics, &scores, options)?;
    }
    Ok(metrics)
}

/// [`evaluate`], of what is read already.
pub fn metrics_from_scores(
    scores: &Scores,
    missing: &[Missing],
    provenance: serde_json::Value,
    options: &Options,
) -> Result<Metrics, ReportError> {
    let levels: &[Level] = if scores.has_videos { &[Level::Frame, Level::Video] } else { &[Level::Item] };
    let selections = selections(scores, missing, &options.by);
    let mut across = Vec::new();
    // By detector and level, of each selection.
    let mut found: Vec<std::vec::IntoIter<Group>> = Vec::new();
    for (at, set) in scores.sets.iter().enumerate() {
        let own = options.of_detector(at);
        let options: &Options = &own;
        for &level in levels {
            let mut groups = groups_of(scores, set, level, &selections, missing, options)?;
            if level == levels[levels.len() - 1] {
                let generators = selections.iter().zip(&groups).filter_map(|(selection, group)| match selection {
                    Selection::Generator(name) => Some((name.as_str(), group)),
                    _ => None,
                });
                across.push(across_generators(set.detector.clone(), level, generators, options)?);
            }
            groups.iter_mut().for_each(|group| in_unit(&mut group.metrics, options.unit, scores.task.classes.len()));
            found.push(groups.into_iter());
        }
    }
    let mut groups = Vec::new();
    for _ in &selections {
        groups.extend(found.iter_mut().filter_map(Iterator::next));
    }
    for (at, set) in scores.sets.iter().enumerate().filter(|_| scores.has_videos) {
        groups.extend(by_video_rule(scores, set, &options.of_detector(at))?);
    }
    let intervals = Intervals {
        clustered_by: scores.clustered_by,
        clusters: scores.clusters,
        bootstrap: options.bootstrap.clone(),
    };
    Ok(Metrics {
        groups,
        task: scores.task.clone(),
        samples: scores.sets.iter().map(|set| set.samples).min().unwrap_or(0),
        intervals,
        unit: options.unit,
        across_generators: across,
        decisions: Vec::new(),
        comparisons: comparisons(scores, options)?,
        unseen: unseen(scores, &scores.not_learned, options)?,
        confusion: Vec::new(),
        conventions: CONVENTIONS.into_iter().collect(),
        folders: BTreeMap::new(),
        warnings: scores.warnings(),
        provenance,
    })
}

/// The groups of one detector on one level, for each selection, uncertainties in nats.
fn groups_of(
    scores: &Scores,
    set: &ScoreSet,
    level: Level,
    selections: &[Selection],
    missing: &[Missing],
    options: &Options,
) -> Result<Vec<Group>, ReportError> {
    let all = set.of(level);
    let bootstrap = options.bootstrap.as_ref();
    let by = |selection: &Selection| {
        let mut by = selection.by();
        if let (true, Some(detector)) = (scores.sets.len() > 1, &set.detector) {
            by.insert("detector".into(), detector.clone());
        }
        by
    };
    let members: Vec<Members> = selections.iter().map(|selection| Members::of(selection, &scores.units)).collect();
    let holds: Vec<_> =
        members.iter().map(|members| move |i: usize| members.hold(&scores.units, scores.unit(set, level, i))).collect();
    let metrics: Vec<BTreeMap<String, Estimate>> = match bootstrap {
        None => {
            let groups: Vec<dubito_stats::metrics::Group> = holds.iter().map(|holds| holds as _).collect();
            let place = |source| ReportError::Stats { place: format!("groups of {}", level.plural()), source };
            dubito_stats::metrics_of_groups(all, &groups).map_err(place)?
        }
        // Every replicate goes over the items of the group alone.
        Some(_) => (selections.iter().zip(&holds))
            .map(|(selection, holds)| {
                let place = |source| ReportError::Stats { place: format!("group {:?}", by(selection)), source };
                let items = match selection {
                    Selection::All => Cow::Borrowed(all),
                    _ => Cow::Owned(all.select(holds)),
                };
                metrics_of(&items, bootstrap).map_err(place)
            })
            .collect::<Result<_, _>>()?,
    };
    let holds: Vec<_> = holds.iter().map(|holds| holds as &(dyn Fn(usize) -> bool + Sync)).collect();
    let tallies = Tally::of(scores, set, level, &holds, bootstrap.is_some());
    let group = |((selection, tally), mut metrics): ((&Selection, Tally), BTreeMap<String, Estimate>)| {
        let real = real_class(&scores.task);
        let Tally { items, videos, alarms, misses, .. } = tally;
        for (name, rate, reason) in
            [("false_alarm_rate", &alarms, "there are no reals"), ("miss_rate", &misses, "there are no fakes")]
        {
            let reason = if real.is_some() { reason } else { "no class is named real" };
            metrics.insert(name.into(), rate.estimate(bootstrap, reason));
        }
        if let (Selection::Control(_), Some(real)) = (selection, real) {
            let mut untouched = Rate::new(bootstrap.is_some());
            let is_untouched = |&i: &usize| *scores.units.origin(scores.unit(set, level, i)) == Origin::Real;
            for i in (0..all.len()).filter(is_untouched) {
                untouched.push(all.cluster(i), all.predicted(i) != real);
            }
            let above = alarms.minus(&untouched, bootstrap, "there are no untouched reals (or no controls) to compare");
            metrics.insert("false_alarm_rate_above_real".into(), above);
        }
        if *selection == Selection::All {
            metrics.insert("ece_top15_if_calibrated".into(), ece_if_calibrated(all, options));
        }
        if let (Level::Video, Some(reason)) = (level, set.videos_undivided) {
            let undivided = |name: &str| name.contains("between_frames") || name.contains("epistemic");
            let unknown = metrics.iter_mut().filter(|(name, _)| undivided(name));
            unknown.for_each(|(_, estimate)| *estimate = Estimate::undefined(reason));
        }
        if let (true, Some(reason)) = (set.views, set.without_epistemic(level)) {
            let of_views: Vec<(String, Estimate)> = metrics
                .iter_mut()
                .filter(|(name, _)| name.contains("epistemic"))
                .map(|(name, e)| {
                    (name.replace("epistemic", BETWEEN_VIEWS), std::mem::replace(e, Estimate::undefined(reason)))
                })
                .collect();
            metrics.extend(of_views);
        }
        let missing = missing.iter().filter(|m| selection.holds_missing(m)).count();
        Group { by: by(selection), level, items, videos, missing, metrics }
    };
    Ok(selections.par_iter().zip(tallies).zip(metrics).map(group).collect())
}

/// What the epistemic part is called in the names of metrics where samples are views.
const BETWEEN_VIEWS: &str = "between_views";

/// How many items of a group there are, of how many videos, and how many of them are called what they are not.
struct Tally {
    items: usize,
    videos: usize,
    /// The units of the first and the last item. Items are sorted by video.
    ends: Option<(usize, usize)>,
    alarms: Rate,
    misses: Rate,
}

impl Tally {
    fn new(clustered: bool) -> Self {
        Self { items: 0, videos: 0, ends: None, alarms: Rate::new(clustered), misses: Rate::new(clustered) }
    }

    /// Of each group of one detector's items, in one pass on several threads. `clustered` as of [`Rate::new`].
    fn of(
        scores: &Scores,
        set: &ScoreSet,
        level: Level,
        groups: &[&(dyn Fn(usize) -> bool + Sync)],
        clustered: bool,
    ) -> Vec<Self> {
        const PART: usize = 1 << 16;
        let (all, real) = (set.of(level), real_class(&scores.task));
        let none = || groups.iter().map(|_| Self::new(clustered)).collect::<Vec<_>>();
        let part = |part: usize| {
            let mut tallies = none();
            for i in part * PART..all.len().min((part + 1) * PART) {
                let unit = scores.unit(set, level, i);
                let (is_real, called_real) = (Some(all.label(i)) == real, Some(all.predicted(i)) == real);
                for (tally, holds) in tallies.iter_mut().zip(groups) {
                    if !holds(i) {
                        continue;
                    }
                    tally.items += 1;
                    tally.videos += usize::from(tally.ends.is_none_or(|(_, last)| last != unit));
                    tally.ends = Some((tally.ends.map_or(unit, |(first, _)| first), unit));
                    if real.is_some() {
                        let rate = if is_real { &mut tally.alarms } else { &mut tally.misses };
                        rate.push(all.cluster(i), called_real != is_real);
                    }
                }
            }
            tallies
        };
        let merged = |mut all: Vec<Self>, more: Vec<Self>| {
            all.iter_mut().zip(more).for_each(|(all, more)| all.merge(more));
            all
        };
        (0..all.len().div_ceil(PART)).into_par_iter().map(part).reduce(none, merged)
    }

    /// Add the items that follow.
    fn merge(&mut self, next: Self) {
        self.items += next.items;
        self.videos += next.videos;
        self.ends = match (self.ends, next.ends) {
            (Some((first, last)), Some((start, end))) => {
                self.videos -= usize::from(last == start); // a video cut in two
                Some((first, end))
            }
            (ends, None) | (None, ends) => ends,
        };
        self.alarms.merge(next.alarms);
        self.misses.merge(next.misses);
    }
}

/// Mean uncertainties in the unit asked for.
pub(crate) fn in_unit(metrics: &mut BTreeMap<String, Estimate>, unit: Unit, classes: usize) {
    for name in ["total", "aleatoric", "between_frames", "epistemic", "epistemic_jackknife"] {
        if let Some(estimate) = metrics.get_mut(name) {
            for value in [&mut estimate.value, &mut estimate.low, &mut estimate.high] {
                *value = value.map(|nats| unit.of_nats(nats, classes));
            }
        }
    }
}

/// The ways to a video's probability other than the mean of samples, by the name they have in `by`.
const VIDEO_RULES: [(&str, VideoRule); 4] = [
    ("median", VideoRule::Median),
    ("log_odds", VideoRule::LogOdds),
    ("top_tenth", VideoRule::TopShare(0.1)),
    ("majority", VideoRule::Majority),
];

/// The videos of one detector, their probabilities taken from their frames' in other ways: `by` holds
/// `video_rule`. What needs samples is left out.
fn by_video_rule(scores: &Scores, set: &ScoreSet, options: &Options) -> Result<Vec<Group>, ReportError> {
    let mut groups = Vec::new();
    for (name, rule) in VIDEO_RULES {
        let place = |source| ReportError::Stats { place: format!("videos by the rule {name}"), source };
        let mut videos = Items::new(&scores.task).map_err(place)?;
        let mut frames: Vec<f64> = Vec::new();
        let mut next = 0; // items are sorted by video
        for i in 0..set.videos.len() {
            let unit = scores.unit(set, Level::Video, i);
            frames.clear();
            while next < set.items.len() && scores.unit(set, Level::Frame, next) <= unit {
                if scores.unit(set, Level::Frame, next) == unit {
                    frames.extend_from_slice(set.items.probs(next));
                }
                next += 1;
            }
            let probs = video_probs(rule, &frames, &scores.task).map_err(place)?;
            let total = dubito_stats::probability::entropy(&probs);
            let parts = [total, total, 0.0, 0.0];
            videos.push_parts(set.videos.label(i), &probs, parts, set.videos.cluster(i)).map_err(place)?;
        }
        videos.uncover_ranks();
        let mut metrics = metrics_of(&videos, options.bootstrap.as_ref()).map_err(place)?;
        let of_samples = ["aleatoric", "between_frames", "epistemic", "variation_ratio"];
        metrics.retain(|metric, _| !of_samples.iter().any(|part| metric.contains(part)));
        in_unit(&mut metrics, options.unit, scores.task.classes.len());
        let mut by = BTreeMap::from([("video_rule".to_string(), name.to_string())]);
        if let (true, Some(detector)) = (scores.sets.len() > 1, &set.detector) {
            by.insert("detector".into(), detector.clone());
        }
        let (items, level) = (videos.len(), Level::Video);
        groups.push(Group { by, level, items, videos: items, missing: 0, metrics });
    }
    Ok(groups)
}

/// Where a missing video would come from.
fn origin_of(missing: &Missing) -> Origin {
    match (&missing.control, &missing.generator) {
        (Some(control), _) => Origin::Control(control.clone()),
        (None, Some(generator)) if generator != "real" => Origin::Generator(generator.clone()),
        _ => Origin::Real,
    }
}

/// Which videos belong to a group.
#[derive(Clone, PartialEq)]
enum Selection {
    All,
    Real,
    Generator(String),
    Against(String),
    AgainstUntouched(String),
    Control(String),
    /// A column and its value.
    Fact(String, String),
}

impl Selection {
    fn holds<'a>(&self, origin: &Origin, fact: impl Fn(&str) -> Option<&'a str>) -> bool {
        match (self, origin) {
            (Self::All, _) => true,
            (Self::Real, origin) => *origin == Origin::Real,
            (Self::Generator(name), Origin::Generator(generator)) => generator == name,
            (Self::Generator(_), _) => false,
            (Self::Against(name), Origin::Generator(generator)) => generator == name,
            (Self::Against(_), _) => true,
            (Self::AgainstUntouched(name), Origin::Generator(generator)) => generator == name,
            (Self::AgainstUntouched(_), origin) => *origin == Origin::Real,
            (Self::Control(name), Origin::Control(control)) => control == name,
            (Self::Control(_), _) => false,
            (Self::Fact(name, value), _) => fact(name) == Some(value),
        }
    }

    fn holds_missing(&self, missing: &Missing) -> bool {
        self.holds(&origin_of(missing), |name| match name {
            "dataset" => missing.dataset.as_deref(),
            "fold" => missing.fold.as_deref(),
            _ => None,
        })
    }

    fn by(&self) -> BTreeMap<String, String> {
        let pairs: Vec<(&str, &str)> = match self {
            Self::All => vec![],
            Self::Real => vec![("generator", "real")],
            Self::Generator(name) => vec![("generator", name)],
            Self::Against(name) => vec![("generator", name), ("against", "real")],
            Self::AgainstUntouched(name) => vec![("generator", name), ("against", "untouched")],
            Self::Control(name) => vec![("control", name)],
            Self::Fact(name, value) => vec![(name, value)],
        };
        pairs.into_iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }
}

/// The units of a selection by their codes, which are quick to ask for many items.
enum Members<'a> {
    /// Whether each of the [`Units::origins`] is held.
    Origins(Vec<bool>),
    /// A column, and the place of its value.
    Fact(&'a Fact, usize),
    None,
}

impl<'a> Members<'a> {
    fn of(selection: &Selection, units: &'a Units) -> Self {
        match selection {
            Selection::Fact(name, value) => {
                let fact = units.fact(name);
                let code = fact.and_then(|fact| fact.values.binary_search(value).ok());
                fact.zip(code).map_or(Self::None, |(fact, code)| Self::Fact(fact, code))
            }
            _ => Self::Origins(units.origins().iter().map(|origin| selection.holds(origin, |_| None)).collect()),
        }
    }

    fn hold(&self, units: &Units, unit: usize) -> bool {
        match self {
            Self::Origins(held) => held[units.origin_code(unit)],
            Self::Fact(fact, code) => fact.code(unit) == Some(*code),
            Self::None => false,
        }
    }
}

/// Every group there is, in the order of the output. A generator whose videos are all missing has one
/// too.
fn selections(scores: &Scores, missing: &[Missing], by: &[String]) -> Vec<Selection> {
    let of_missing: Vec<Origin> = missing.iter().map(origin_of).collect();
    let origins: BTreeSet<&Origin> = scores.units.origins().iter().chain(&of_missing).collect();
    let mut all = vec![Selection::All];
    let has_reals = origins.iter().any(|origin| !matches!(origin, Origin::Generator(_)));
    let has_controls = origins.iter().any(|origin| matches!(origin, Origin::Control(_)));
    if origins.contains(&Origin::Real) {
        all.push(Selection::Real);
    }
    for origin in &origins {
        if let Origin::Generator(name) = origin {
            all.push(Selection::Generator(name.clone()));
            if has_reals {
                all.push(Selection::Against(name.clone()));
            }
            if has_controls && origins.contains(&Origin::Real) {
                all.push(Selection::AgainstUntouched(name.clone()));
            }
        }
    }
    for origin in &origins {
        if let Origin::Control(name) = origin {
            all.push(Selection::Control(name.clone()));
        }
    }
    let mut several = |name: &str, missing: BTreeSet<&String>, least: usize| {
        let mut values: BTreeSet<&String> = missing;
        values.extend(scores.units.fact(name).into_iter().flat_map(|fact| &fact.values));
        if values.len() >= least {
            all.extend(values.into_iter().map(|value| Selection::Fact(name.to_string(), value.clone())));
        }
    };
    let asked = |name: &str| if by.iter().any(|wanted| wanted == name) { 1 } else { 2 };
    several("fold", missing.iter().filter_map(|m| m.fold.as_ref()).collect(), asked("fold"));
    several("dataset", missing.iter().filter_map(|m| m.dataset.as_ref()).collect(), asked("dataset"));
    for name in by.iter().filter(|name| !["fold", "dataset", "generator", "detector"].contains(&name.as_str())) {
        several(name, BTreeSet::new(), 1);
    }
    all
}

/// Simulations of [`ece_if_calibrated`].
const SIMULATIONS: u64 = 400;

/// What the top-class ECE of these confidences would be if each were true: whether an item is right is
/// drawn with its confidence, item by item.
pub(crate) fn ece_if_calibrated(items: &Items, options: &Options) -> Estimate {
    if items.is_empty() {
        return Estimate::undefined("there are no items");
    }
    if options.bootstrap.is_none() {
        return Estimate::undefined("not simulated, as no intervals were asked for");
    }
    let mut confidence: Vec<f64> = (0..items.len()).map(|i| items.probs(i)[items.predicted(i)]).collect();
    confidence.sort_unstable_by(f64::total_cmp); // each draw belongs to a confidence, whatever the items' order
    let ones = vec![1u32; items.len()];
    let seed = options.bootstrap.as_ref().map_or(0, |bootstrap| bootstrap.seed);
    let mut values = Vec::with_capacity(SIMULATIONS as usize);
    for simulation in 0..SIMULATIONS {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(u64::MAX - simulation); // far from the bootstrap's
        let right: Vec<bool> =
            confidence.iter().map(|&c| (random.next_u64() >> 11) as f64 / ((1u64 << 53) as f64) < c).collect();
        if let Ok(value) = CalibrationError::new(&confidence, &right, 15, Gap::Mean).value(&ones) {
            values.push(value);
        }
    }
    if values.is_empty() {
        return Estimate::undefined("no simulation has a value");
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.sort_by(f64::total_cmp);
    Estimate {
        value: Some(mean),
        low: Some(quantile(&values, 0.025)),
        high: Some(quantile(&values, 0.975)),
        undefined_because: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// With one confidence there is one bin, and the error is the mean absolute deviation of a binomial
    /// share: 0.03440 of 100 trials at 0.75 (SciPy: `sum(binom.pmf(k, 100, .75) * abs(k / 100 - .75))`).
    #[test]
    fn chance_alone_gives_the_binomial_deviation() {
        let mut items = Items::new(&Task::binary()).unwrap();
        (0..100).for_each(|_| items.push_parts(1, &[0.25, 0.75], [0.0; 4], 0).unwrap());
        let expected = ece_if_calibrated(&items, &Options::default());
        assert!((expected.value.unwrap() - 0.0344).abs() < 0.004, "{expected:?}");
        assert!(expected.low.unwrap() < 0.01 && (0.07..0.1).contains(&expected.high.unwrap()), "{expected:?}");
    }
}
