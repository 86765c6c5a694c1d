//! Scored items by group: what `metrics.json` holds.
//!
//! | `by` | whose items |
//! |---|---|
//! | `{}` | all; these groups come first |
//! | `{"generator": "real"}` | real videos that nothing was done to |
//! | `{"generator": G}` | the fakes of G alone: how uncertain, how often missed; an AUROC is undefined here |
//! | `{"generator": G, "against": "real"}` | the fakes of G and *all* reals, null controls too: the AUROC of G |
//! | `{"control": G}` | null controls of G: how often a real is called fake for having been resampled and encoded |
//! | `{"fold": F}`, `{"dataset": D}` | where there is more than one |
//!
//! Each is given by frame and by video, or by item where the predictions name no videos.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use dubito_stats::calibration::{CalibrationError, Gap};
use dubito_stats::weighted::Weighted;
use dubito_stats::{Bootstrap, Estimate, Scored, Task};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::Serialize;

use crate::ReportError;
use crate::rates::{Rate, quantile};
use crate::scores::{Origin, Scores, Video, predicted, real_class};

/// What to evaluate, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// How intervals are made; `None` for none.
    pub bootstrap: Option<Bootstrap>,
    /// Only rows of this detector. Needed where the predictions hold several.
    pub detector: Option<String>,
    /// Only rows of this split. Needed where the predictions hold several.
    pub split: Option<String>,
}

impl Default for Options {
    /// The default [`Bootstrap`], and whatever single detector and split there is.
    fn default() -> Self {
        Self { bootstrap: Some(Bootstrap::default()), detector: None, split: None }
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
    /// Number of samples of each item.
    pub samples: usize,
    /// How the intervals were made.
    pub intervals: Intervals,
    /// The conventions of the numbers, by metric.
    pub conventions: BTreeMap<&'static str, &'static str>,
    /// How the predictions were made: seed, versions, command line, as the caller gives it.
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
pub const CONVENTIONS: [(&str, &str); 9] = [
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
    metrics_from_scores(&Scores::read(paths, options)?, missing, provenance, options)
}

/// [`evaluate`], of what is read already.
pub fn metrics_from_scores(
    scores: &Scores,
    missing: &[Missing],
    provenance: serde_json::Value,
    options: &Options,
) -> Result<Metrics, ReportError> {
    let levels: &[Level] = if scores.has_videos { &[Level::Frame, Level::Video] } else { &[Level::Item] };
    let bootstrap = options.bootstrap.as_ref();
    let mut groups = Vec::new();
    for selection in selections(scores, missing) {
        for &level in levels {
            let chosen: Vec<(&Video, &Scored)> =
                scores.scored(level).into_iter().filter(|(video, _)| selection.holds(&About::of(video))).collect();
            let items: Vec<Scored> = chosen.iter().map(|(_, scored)| (*scored).clone()).collect();
            let by = selection.by();
            let place = |source| ReportError::Stats { place: format!("group {by:?}"), source };
            let mut metrics = dubito_stats::metrics(&items, &scores.task, bootstrap).map_err(place)?;
            add_rates(&mut metrics, &chosen, &selection, scores, level, bootstrap);
            if selection == Selection::All {
                metrics.insert("ece_top15_if_calibrated".into(), ece_if_calibrated(&items, options));
            }
            let videos: BTreeSet<&str> = chosen.iter().map(|(video, _)| video.name.as_str()).collect();
            let missing = missing.iter().filter(|m| selection.holds(&About::of_missing(m))).count();
            groups.push(Group { by, level, items: items.len(), videos: videos.len(), missing, metrics });
        }
    }
    let intervals = Intervals {
        clustered_by: scores.clustered_by,
        clusters: scores.clusters,
        bootstrap: options.bootstrap.clone(),
    };
    Ok(Metrics {
        groups,
        task: scores.task.clone(),
        samples: scores.samples,
        intervals,
        conventions: CONVENTIONS.into_iter().collect(),
        provenance,
    })
}

/// What groups ask of a video, predicted or missing.
struct About {
    origin: Origin,
    dataset: Option<String>,
    fold: Option<String>,
}

impl About {
    fn of(video: &Video) -> Self {
        Self { origin: video.origin.clone(), dataset: video.dataset.clone(), fold: video.fold.clone() }
    }

    fn of_missing(missing: &Missing) -> Self {
        let origin = match (&missing.control, &missing.generator) {
            (Some(control), _) => Origin::Control(control.clone()),
            (None, Some(generator)) if generator != "real" => Origin::Generator(generator.clone()),
            _ => Origin::Real,
        };
        Self { origin, dataset: missing.dataset.clone(), fold: missing.fold.clone() }
    }
}

/// Which videos belong to a group.
#[derive(Clone, PartialEq)]
enum Selection {
    All,
    Real,
    Generator(String),
    Against(String),
    Control(String),
    Fold(String),
    Dataset(String),
}

impl Selection {
    fn holds(&self, about: &About) -> bool {
        match self {
            Self::All => true,
            Self::Real => about.origin == Origin::Real,
            Self::Generator(name) => about.origin == Origin::Generator(name.clone()),
            Self::Against(name) => match &about.origin {
                Origin::Generator(generator) => generator == name,
                _ => true,
            },
            Self::Control(name) => about.origin == Origin::Control(name.clone()),
            Self::Fold(name) => about.fold.as_ref() == Some(name),
            Self::Dataset(name) => about.dataset.as_ref() == Some(name),
        }
    }

    fn by(&self) -> BTreeMap<String, String> {
        let pairs: Vec<(&str, &str)> = match self {
            Self::All => vec![],
            Self::Real => vec![("generator", "real")],
            Self::Generator(name) => vec![("generator", name)],
            Self::Against(name) => vec![("generator", name), ("against", "real")],
            Self::Control(name) => vec![("control", name)],
            Self::Fold(name) => vec![("fold", name)],
            Self::Dataset(name) => vec![("dataset", name)],
        };
        pairs.into_iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }
}

/// Every group there is, in the order of the output. A generator whose videos are all missing has one
/// too.
fn selections(scores: &Scores, missing: &[Missing]) -> Vec<Selection> {
    let abouts: Vec<About> = scores.videos.iter().map(About::of).chain(missing.iter().map(About::of_missing)).collect();
    let origins: BTreeSet<&Origin> = abouts.iter().map(|about| &about.origin).collect();
    let mut all = vec![Selection::All];
    let has_reals = origins.iter().any(|origin| !matches!(origin, Origin::Generator(_)));
    if origins.contains(&Origin::Real) {
        all.push(Selection::Real);
    }
    for origin in &origins {
        if let Origin::Generator(name) = origin {
            all.push(Selection::Generator(name.clone()));
            if has_reals {
                all.push(Selection::Against(name.clone()));
            }
        }
    }
    for origin in &origins {
        if let Origin::Control(name) = origin {
            all.push(Selection::Control(name.clone()));
        }
    }
    let several = |values: BTreeSet<&String>, selection: fn(String) -> Selection| {
        let values: Vec<Selection> = values.into_iter().map(|value| selection(value.clone())).collect();
        if values.len() > 1 { values } else { Vec::new() }
    };
    all.extend(several(abouts.iter().filter_map(|about| about.fold.as_ref()).collect(), Selection::Fold));
    all.extend(several(abouts.iter().filter_map(|about| about.dataset.as_ref()).collect(), Selection::Dataset));
    all
}

/// How often each item is called anything but real.
fn called_fake<'a>(items: impl Iterator<Item = &'a Scored>, real: usize) -> Rate {
    let mut rate = Rate::default();
    items.for_each(|item| rate.push(item.cluster, predicted(item) != real));
    rate
}

fn add_rates(
    metrics: &mut BTreeMap<String, Estimate>,
    chosen: &[(&Video, &Scored)],
    selection: &Selection,
    scores: &Scores,
    level: Level,
    bootstrap: Option<&Bootstrap>,
) {
    let names = ["false_alarm_rate", "miss_rate"];
    let Some(real) = real_class(&scores.task) else {
        for name in names {
            metrics.insert(name.into(), Estimate::undefined("no class is named real"));
        }
        return;
    };
    let items = || chosen.iter().map(|(_, scored)| *scored);
    let alarms = called_fake(items().filter(|item| item.label == real), real);
    let mut misses = Rate::default();
    items().filter(|item| item.label != real).for_each(|item| misses.push(item.cluster, predicted(item) == real));
    metrics.insert("false_alarm_rate".into(), alarms.estimate(bootstrap, "there are no reals"));
    metrics.insert("miss_rate".into(), misses.estimate(bootstrap, "there are no fakes"));
    if let Selection::Control(_) = selection {
        let untouched = scores.scored(level).into_iter().filter(|(video, _)| video.origin == Origin::Real);
        let untouched = called_fake(untouched.map(|(_, scored)| scored), real);
        let above = alarms.minus(&untouched, bootstrap, "there are no untouched reals (or no controls) to compare");
        metrics.insert("false_alarm_rate_above_real".into(), above);
    }
}

/// Simulations of [`ece_if_calibrated`].
const SIMULATIONS: u64 = 400;

/// What the top-class ECE of these confidences would be if each were true: whether an item is right is
/// drawn with its confidence, item by item.
fn ece_if_calibrated(items: &[Scored], options: &Options) -> Estimate {
    if items.is_empty() {
        return Estimate::undefined("there are no items");
    }
    let confidence: Vec<f64> = items.iter().map(|item| item.probs[predicted(item)]).collect();
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
        let item = Scored {
            label: 1,
            probs: vec![0.25, 0.75],
            total: 0.0,
            aleatoric: 0.0,
            between_frames: 0.0,
            epistemic: 0.0,
            cluster: 0,
        };
        let expected = ece_if_calibrated(&vec![item; 100], &Options::default());
        assert!((expected.value.unwrap() - 0.0344).abs() < 0.004, "{expected:?}");
        assert!(expected.low.unwrap() < 0.01 && (0.07..0.1).contains(&expected.high.unwrap()), "{expected:?}");
    }
}
