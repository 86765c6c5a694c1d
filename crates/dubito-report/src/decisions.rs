//! What may be decided with a detector's scores: everything that is chosen on one split and judged on another.
//!
//! ```text
//! calibration split -> thresholds, recalibration, sets, abstention, likelihood ratios -> evaluated split
//! ```
//!
//! A promise (a coverage, a bound on errors) holds for new clusters that are exchangeable with those of the
//! calibration split. A generator that the calibration split has none of is not: what happened there is
//! reported beside the promise, never under it.

use std::collections::{BTreeMap, BTreeSet};

use dubito_stats::conformal::{self, Conformal, Score, SetQuality, Strata, Unit, coverage_interval, set_quality};
use dubito_stats::forensic::{
    self, CrossEntropy, ForensicCost, LikelihoodRatios, TippettPoint, Verbal, empirical_cross_entropy, forensic_cost,
    tippett, verbal,
};
use dubito_stats::guarantee::{Abstention, Observed, Promise, abstention, observed};
use dubito_stats::recalibrate::{self, Recalibration};
use dubito_stats::threshold::{AtThreshold, ThresholdRule, at_threshold, choose_threshold};
use dubito_stats::unseen::{UnseenDetection, detects_unseen};
use dubito_stats::{Doubt, Estimate, Items, Scale, StatsError, metrics_of};
use serde::Serialize;

use crate::scores::{Origin, ScoreSet, Scores};
use crate::{Level, Options, ReportError};

/// What is promised, and of whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Promises {
    /// Share of items whose set may miss the true class, and of answers that may be wrong. Above 0, below 1.
    pub alpha: f64,
    /// Share of calibration sets for which a bound on errors may fail. Above 0, below 1.
    pub delta: f64,
    /// The share of fakes that the detector was trained for; `None`: that of the calibration split.
    pub prior: Option<f64>,
    /// Generators that the detector never saw. Those that the calibration split has none of count as well.
    pub unseen: BTreeSet<String>,
}

impl Default for Promises {
    /// One in ten, in nine of ten calibrations.
    fn default() -> Self {
        Self { alpha: 0.1, delta: 0.1, prior: None, unseen: BTreeSet::new() }
    }
}

/// One of the two splits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// Its name.
    pub split: Option<String>,
    /// Number of items of the level.
    pub items: usize,
    /// Number of clusters they come from.
    pub clusters: usize,
    /// What made its fakes.
    pub generators: Vec<String>,
}

/// A decision threshold on the score as it was given, and what it does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Threshold {
    /// How it was chosen on the calibration split.
    pub rule: &'static str,
    /// The threshold: at it or above, an item is called fake.
    pub threshold: Estimate,
    /// What it is compared with: P(fake), or its log-odds where logits were given (or P(fake) rounds to 1 and P(real)
    /// tells more).
    pub scale: Scale,
    /// What it does on the evaluated split.
    pub evaluated: Option<AtThreshold>,
}

/// A recalibration, and what it does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recalibrated {
    /// `none`, `temperature`, `platt`, `beta`, `isotonic` or `histogram`.
    pub method: &'static str,
    /// What was fitted on the calibration split.
    pub fitted: Option<Recalibration>,
    /// Why nothing was.
    pub undefined_because: Option<String>,
    /// On the evaluated split: [`RECALIBRATED`].
    pub metrics: BTreeMap<String, Estimate>,
}

/// What is given of recalibrated probabilities.
pub const RECALIBRATED: [&str; 8] =
    ["accuracy", "auroc", "nll", "brier", "ece_top15", "ece_top15_debiased", "ece_adaptive15", "ks_calibration"];

/// Prediction sets, and what they hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sets {
    /// How the sets are made, in words.
    pub name: String,
    /// Score, strata, level and thresholds.
    pub conformal: Conformal,
    /// The promised coverage.
    pub promised: f64,
    /// The central 95 % of coverages that exchangeable items would show after this calibration, where there
    /// is one threshold.
    pub expected: Option<(f64, f64)>,
    /// On all evaluated items.
    pub evaluated: SetQuality,
    /// On those that were made by nobody or by generators of the calibration split: what the promise is for.
    pub exchangeable: SetQuality,
    /// By origin.
    pub by_origin: Vec<(String, SetQuality)>,
}

/// An abstention threshold, and what it does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Abstained {
    /// The doubt that is compared with the threshold.
    pub doubt: &'static str,
    /// What was chosen on the calibration split.
    pub chosen: Abstention,
    /// On all evaluated items.
    pub evaluated: Observed,
    /// On the reals and the fakes of generators of the calibration split: what the promise is for.
    pub exchangeable: Observed,
    /// On the reals and the fakes of each generator that the calibration split has none of.
    pub unseen: Vec<(String, Observed)>,
}

/// Likelihood ratios, and what they cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ratios {
    /// `none`, `logistic` or `pav`.
    pub recalibration: &'static str,
    /// What was fitted on the calibration split.
    pub fitted: Option<LikelihoodRatios>,
    /// Why nothing was.
    pub undefined_because: Option<String>,
    /// Cost on the evaluated split, without limits, in bits.
    pub cost: Option<ForensicCost>,
    /// Evaluated items by what the verbal scale says of them: words, fakes, reals.
    pub verbal: Vec<(String, usize, usize)>,
    /// For the plot; not in `metrics.json`.
    #[serde(skip)]
    pub tippett: Vec<TippettPoint>,
    /// For the plot; not in `metrics.json`.
    #[serde(skip)]
    pub cross_entropy: Vec<CrossEntropy>,
}

/// What one item was decided to be; for the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// Name of the video or item.
    pub name: String,
    /// Where it comes from.
    pub origin: String,
    /// True class.
    pub label: String,
    /// Probability of the predicted class, and that class.
    pub predicted: String,
    /// Probability of each class after temperature scaling; empty where it could not be fitted.
    pub recalibrated: Vec<f64>,
    /// Classes of the first prediction set.
    pub set: Vec<String>,
    /// Whether the first abstention threshold lets it be answered.
    pub answered: Option<bool>,
    /// The likelihood ratio within its limits, and the words for it.
    pub ratio: Option<Verbal>,
}

/// Everything decided with one detector.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decisions {
    /// The detector, where the predictions name one.
    pub detector: Option<String>,
    /// What an item is.
    pub level: Level,
    /// What everything was chosen on.
    pub calibration: Side,
    /// What it was judged on.
    pub evaluated: Side,
    /// Generators that are judged and that no promise covers.
    pub unseen: Vec<String>,
    /// Binary tasks only.
    pub thresholds: Vec<Threshold>,
    /// Before and after.
    pub recalibration: Vec<Recalibrated>,
    /// Conformal prediction.
    pub sets: Vec<Sets>,
    /// Selective prediction with a guarantee.
    pub abstention: Vec<Abstained>,
    /// Binary tasks only.
    pub likelihood_ratios: Vec<Ratios>,
    /// Whether each doubt tells the fakes of unseen generators from all other items; empty without unseen ones.
    pub detects_unseen: BTreeMap<&'static str, UnseenDetection>,
    /// Item by item; in `tables/decisions.csv`.
    #[serde(skip)]
    pub decided: Vec<Decided>,
}

/// Everything decided with each detector that both splits have scores of, on the level of videos (of items,
/// where there are none). Errors: faults of the numbers.
pub fn decisions(calibration: &Scores, evaluated: &Scores, options: &Options) -> Result<Vec<Decisions>, ReportError> {
    let mut all = Vec::new();
    for (at, set) in evaluated.sets.iter().enumerate() {
        let Some(own) = calibration.sets.iter().find(|own| own.detector == set.detector) else { continue };
        let place = |source| ReportError::Stats {
            place: format!("decisions of {}", set.detector.as_deref().unwrap_or("the detector")),
            source,
        };
        let (fit, judge) = (Part::new(calibration, own), Part::new(evaluated, set));
        all.push(decide(&fit, &judge, &options.of_detector(at)).map_err(place)?);
    }
    Ok(all)
}

/// The scored items of one split.
struct Part<'a> {
    scores: &'a Scores,
    set: &'a ScoreSet,
    level: Level,
    items: &'a Items,
    clusters: usize,
}

impl<'a> Part<'a> {
    fn new(scores: &'a Scores, set: &'a ScoreSet) -> Self {
        let level = if scores.has_videos { Level::Video } else { Level::Item };
        let items = set.of(level);
        let clusters = items.clusters().iter().collect::<BTreeSet<_>>().len();
        Self { scores, set, level, items, clusters }
    }

    fn unit(&self, i: usize) -> usize {
        self.scores.unit(self.set, self.level, i)
    }

    fn origin(&self, i: usize) -> &Origin {
        self.scores.units.origin(self.unit(i))
    }

    fn generators(&self) -> BTreeSet<String> {
        (0..self.items.len())
            .filter_map(|i| match self.origin(i) {
                Origin::Generator(name) => Some(name.clone()),
                _ => None,
            })
            .collect()
    }

    fn side(&self) -> Side {
        Side {
            split: self.scores.split.clone(),
            items: self.items.len(),
            clusters: self.clusters,
            generators: self.generators().into_iter().collect(),
        }
    }

    fn labels(&self) -> Vec<usize> {
        (0..self.items.len()).map(|i| self.items.label(i)).collect()
    }

    fn wrong(&self) -> Vec<bool> {
        (0..self.items.len()).map(|i| self.items.is_error(i)).collect()
    }

    fn probs(&self) -> Vec<f64> {
        (0..self.items.len()).flat_map(|i| self.items.probs(i)).copied().collect()
    }

    /// A number for each item from its name, whatever its place: 64-bit FNV-1a.
    fn keys(&self) -> Vec<u64> {
        let hash = |name: &str| {
            name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
        };
        (0..self.items.len()).map(|i| hash(self.scores.units.name(self.unit(i)))).collect()
    }

    /// Log-odds of the positive class, and whether the item is of it.
    fn positive(&self, class: usize) -> (Vec<f64>, Vec<bool>) {
        (self.items.bounded_log_odds(), (0..self.items.len()).map(|i| self.items.label(i) == class).collect())
    }

    fn doubt(&self, doubt: Doubt) -> Vec<f64> {
        (0..self.items.len()).map(|i| self.items.doubt(i, doubt)).collect()
    }
}

fn decide(fit: &Part, judge: &Part, options: &Options) -> Result<Decisions, StatsError> {
    let promises = &options.promises;
    let known = fit.generators();
    let named = |name: &String| promises.unseen.contains(name) || judge.scores.not_learned.unseen.contains(name);
    let unseen: Vec<String> =
        judge.generators().into_iter().filter(|name| !known.contains(name) || named(name)).collect();
    let is_unseen: Vec<bool> = (0..judge.items.len())
        .map(|i| matches!(judge.origin(i), Origin::Generator(name) if unseen.contains(name)))
        .collect();
    let recalibration = recalibration(fit, judge, options)?;
    let sets = sets(fit, judge, promises.alpha, options, &is_unseen)?;
    let abstention = abstentions(fit, judge, promises, &unseen)?;
    let (thresholds, ratios) = match fit.scores.task.positive {
        Some(class) => (thresholds(fit, judge)?, ratios(fit, judge, class, promises)?),
        None => (Vec::new(), Vec::new()),
    };
    let mut detects = BTreeMap::new();
    if !unseen.is_empty() {
        for (name, doubt) in doubts(judge) {
            detects.insert(name, detects_unseen(&judge.doubt(doubt), &is_unseen)?);
        }
    }
    let decided = decided(judge, &recalibration, &sets, &abstention, &ratios)?;
    Ok(Decisions {
        detector: judge.set.detector.clone(),
        level: judge.level,
        calibration: fit.side(),
        evaluated: judge.side(),
        unseen,
        thresholds,
        recalibration,
        sets,
        abstention,
        likelihood_ratios: ratios,
        detects_unseen: detects,
        decided,
    })
}

/// The doubts that the scores have; without samples the epistemic part is 0 and decides nothing.
fn doubts(part: &Part) -> Vec<(&'static str, Doubt)> {
    let mut doubts = vec![("total", Doubt::Total), ("max_probability", Doubt::MaxProbability)];
    if part.set.samples != 1 && part.set.without_epistemic(part.level).is_none() {
        doubts.push(("epistemic", Doubt::Epistemic));
    }
    doubts
}

fn thresholds(fit: &Part, judge: &Part) -> Result<Vec<Threshold>, StatsError> {
    let rules = [
        ("Youden's index", ThresholdRule::Youden),
        ("false alarms at most 10 %", ThresholdRule::AtFpr(0.1)),
        ("false alarms at most 1 %", ThresholdRule::AtFpr(0.01)),
    ];
    let judged = |(rule, how)| {
        let (threshold, scale) = (choose_threshold(fit.items, how)?, fit.items.scale());
        let evaluated = threshold.value.map(|value| at_threshold(judge.items, scale, value)).transpose()?;
        Ok(Threshold { rule, threshold, scale, evaluated })
    };
    rules.into_iter().map(judged).collect()
}

fn recalibration(fit: &Part, judge: &Part, options: &Options) -> Result<Vec<Recalibrated>, StatsError> {
    let measure = |items: &Items| -> Result<BTreeMap<String, Estimate>, StatsError> {
        let mut metrics = metrics_of(items, options.bootstrap.as_ref())?;
        metrics.retain(|name, _| RECALIBRATED.contains(&name.as_str()));
        Ok(metrics)
    };
    let mut all =
        vec![Recalibrated { method: "none", fitted: None, undefined_because: None, metrics: measure(judge.items)? }];
    use recalibrate::Method;
    let methods = [
        ("temperature", Method::Temperature),
        ("platt", Method::Platt),
        ("beta", Method::Beta),
        ("isotonic", Method::Isotonic),
        ("histogram", Method::Histogram),
    ];
    for (name, method) in methods {
        let mut entry = Recalibrated { method: name, fitted: None, undefined_because: None, metrics: BTreeMap::new() };
        match recalibrate::fit(method, fit.items) {
            Ok(fitted) => {
                entry.metrics = measure(&fitted.apply_to(judge.items)?)?;
                entry.fitted = Some(fitted);
            }
            Err(reason) => entry.undefined_because = Some(reason.to_string()),
        }
        all.push(entry);
    }
    Ok(all)
}

fn sets(fit: &Part, judge: &Part, alpha: f64, options: &Options, is_unseen: &[bool]) -> Result<Vec<Sets>, StatsError> {
    let classes = fit.scores.task.classes.len();
    let seed = options.bootstrap.as_ref().map_or(0, |bootstrap| bootstrap.seed);
    let independent = fit.clusters == fit.items.len();
    let unit = if independent { Unit::Item } else { Unit::Drawn { seed } };
    let (fit_probs, fit_keys, fit_labels) = (fit.probs(), fit.keys(), fit.labels());
    let (probs, keys, labels) = (judge.probs(), judge.keys(), judge.labels());
    let items = conformal::Items { probs: &fit_probs, classes, keys: &fit_keys, groups: &[] };
    let others = conformal::Items { probs: &probs, classes, keys: &keys, groups: &[] };
    // Groups of the evaluated items: their origins, by number.
    let origins: BTreeSet<&Origin> = (0..labels.len()).map(|i| judge.origin(i)).collect();
    let origins: Vec<&Origin> = origins.into_iter().collect();
    let groups: Vec<u32> =
        (0..labels.len()).map(|i| origins.binary_search(&judge.origin(i)).unwrap_or(0) as u32).collect();
    let kinds = [
        ("the smallest sets (LAC)", Score::Lac, Strata::Marginal),
        ("the smallest sets, promised for each true class (LAC, Mondrian)", Score::Lac, Strata::Label),
        ("sets that adapt to the item (APS)", Score::ApsRandomised { seed }, Strata::Marginal),
    ];
    let mut all = Vec::new();
    for (name, score, strata) in kinds {
        let conformal = Conformal::calibrate(&items, &fit_labels, fit.items.clusters(), alpha, score, strata, unit)?;
        let found = conformal.sets(&others)?;
        let bootstrap = options.bootstrap.as_ref();
        let quality = set_quality(&found, classes, &labels, judge.items.clusters(), &groups, bootstrap)?;
        let mut quality = quality.into_iter();
        let Some(evaluated) = quality.next() else { continue };
        let by_origin =
            quality.filter_map(|quality| Some((origins.get(quality.group? as usize)?.title(), quality))).collect();
        let kept: Vec<usize> = (0..labels.len()).filter(|&i| !is_unseen[i]).collect();
        let kept_sets: Vec<bool> = kept.iter().flat_map(|&i| &found[i * classes..][..classes]).copied().collect();
        let kept_labels: Vec<usize> = kept.iter().map(|&i| labels[i]).collect();
        let kept_clusters: Vec<u32> = kept.iter().map(|&i| judge.items.cluster(i)).collect();
        let exchangeable = set_quality(&kept_sets, classes, &kept_labels, &kept_clusters, &[], bootstrap)?;
        let Some(exchangeable) = exchangeable.into_iter().next() else { continue };
        let expected = match conformal.thresholds.as_slice() {
            [one] if independent && judge.clusters == judge.items.len() => {
                coverage_interval(one.units, kept.len(), alpha, 0.95)
            }
            _ => None,
        };
        let name = name.to_string();
        all.push(Sets { name, promised: 1.0 - alpha, expected, evaluated, exchangeable, by_origin, conformal });
    }
    Ok(all)
}

fn abstentions(fit: &Part, judge: &Part, promises: &Promises, unseen: &[String]) -> Result<Vec<Abstained>, StatsError> {
    let (alpha, delta) = (promises.alpha, promises.delta);
    let (fit_wrong, wrong) = (fit.wrong(), judge.wrong());
    let mut all = Vec::new();
    for (name, doubt) in doubts(judge) {
        let (fit_doubt, doubt) = (fit.doubt(doubt), judge.doubt(doubt));
        for promise in [Promise::WrongAmongAnswered { alpha, delta }, Promise::AnsweredAndWrong { alpha }] {
            let chosen = abstention(&fit_doubt, &fit_wrong, fit.items.clusters(), promise, None)?;
            let threshold = chosen.threshold.value;
            let look = |keep: &dyn Fn(&Origin) -> bool| {
                let kept: Vec<usize> = (0..doubt.len()).filter(|&i| keep(judge.origin(i))).collect();
                let doubt: Vec<f64> = kept.iter().map(|&i| doubt[i]).collect();
                let wrong: Vec<bool> = kept.iter().map(|&i| wrong[i]).collect();
                let clusters: Vec<u32> = kept.iter().map(|&i| judge.items.cluster(i)).collect();
                observed(threshold, promise, &doubt, &wrong, &clusters)
            };
            let known = |origin: &Origin| !matches!(origin, Origin::Generator(name) if unseen.contains(name));
            let evaluated = look(&|_| true)?;
            let exchangeable = look(&known)?;
            let mut by_unseen = Vec::new();
            for generator in unseen {
                let of = |origin: &Origin| match origin {
                    Origin::Generator(name) => name == generator,
                    _ => true,
                };
                by_unseen.push((generator.clone(), look(&of)?));
            }
            all.push(Abstained { doubt: name, chosen, evaluated, exchangeable, unseen: by_unseen });
        }
    }
    Ok(all)
}

/// log10 prior odds of the empirical cross-entropy plot.
fn prior_odds() -> Vec<f64> {
    (-25..=25).map(|at| f64::from(at) / 10.0).collect()
}

fn ratios(fit: &Part, judge: &Part, class: usize, promises: &Promises) -> Result<Vec<Ratios>, StatsError> {
    let (fit_log_odds, fit_fake) = fit.positive(class);
    let (log_odds, fake) = judge.positive(class);
    use forensic::Recalibration;
    let kinds = [("logistic", Recalibration::Logistic), ("pav", Recalibration::Pav), ("none", Recalibration::None)];
    let mut all = Vec::new();
    for (name, how) in kinds {
        let mut entry = Ratios {
            recalibration: name,
            fitted: None,
            undefined_because: None,
            cost: None,
            verbal: Vec::new(),
            tippett: Vec::new(),
            cross_entropy: Vec::new(),
        };
        match LikelihoodRatios::fit_log_odds(&fit_log_odds, &fit_fake, fit.items.clusters(), promises.prior, how) {
            Ok(fitted) => {
                let raw = fitted.unlimited_of_log_odds(&log_odds);
                let limited = fitted.limited(raw.clone());
                entry.cost = Some(forensic_cost(&raw, &fake)?);
                entry.tippett = tippett(&limited, &fake)?;
                entry.cross_entropy = empirical_cross_entropy(&limited, &fake, &prior_odds())?.unwrap_or_default();
                let mut words: BTreeMap<(i8, String), (usize, usize)> = BTreeMap::new();
                for (&lr, &fake) in limited.iter().zip(&fake) {
                    let said = verbal(lr, &fitted.limits)?;
                    let (order, side) = match said.favours {
                        forensic::Favours::Real => (-1, "real"),
                        forensic::Favours::Neither => (0, "either"),
                        forensic::Favours::Fake => (1, "fake"),
                    };
                    let counts = words.entry((order, format!("{} support for {side}", said.support))).or_default();
                    if fake {
                        counts.0 += 1;
                    } else {
                        counts.1 += 1;
                    }
                }
                entry.verbal = words.into_iter().map(|((_, words), (fakes, reals))| (words, fakes, reals)).collect();
                entry.fitted = Some(fitted);
            }
            Err(reason) => entry.undefined_because = Some(reason.to_string()),
        }
        all.push(entry);
    }
    Ok(all)
}

fn decided(
    judge: &Part,
    recalibration: &[Recalibrated],
    sets: &[Sets],
    abstention: &[Abstained],
    ratios: &[Ratios],
) -> Result<Vec<Decided>, StatsError> {
    let task = &judge.scores.task;
    let classes = task.classes.len();
    let (probs, keys) = (judge.probs(), judge.keys());
    let items = conformal::Items { probs: &probs, classes, keys: &keys, groups: &[] };
    let found = sets.first().map(|sets| sets.conformal.sets(&items)).transpose()?;
    let temperature = recalibration.iter().find(|r| r.method == "temperature").and_then(|r| r.fitted.as_ref());
    let ratios = ratios.iter().find_map(|ratios| ratios.fitted.as_ref());
    let log_odds = if task.positive.is_some() { judge.items.bounded_log_odds() } else { Vec::new() };
    let mut all = Vec::with_capacity(judge.items.len());
    for i in 0..judge.items.len() {
        let answered = abstention.first().map(|first| {
            first.chosen.threshold.value.is_some_and(|threshold| judge.items.doubt(i, Doubt::Total) <= threshold)
        });
        let ratio = match (ratios, task.positive) {
            (Some(fitted), Some(_)) => {
                let lr = fitted.unlimited_of_log_odds(&log_odds[i..=i]);
                Some(verbal(lr[0], &fitted.limits)?)
            }
            _ => None,
        };
        let in_set = |class: &usize| found.as_ref().is_some_and(|found| found[i * classes + class]);
        all.push(Decided {
            name: judge.scores.units.name(judge.unit(i)).to_string(),
            origin: judge.origin(i).title(),
            label: task.classes[judge.items.label(i)].clone(),
            predicted: task.classes[judge.items.predicted(i)].clone(),
            recalibrated: temperature.map(|t| t.apply_item(judge.items, i)).transpose()?.unwrap_or_default(),
            set: (0..classes).filter(in_set).map(|class| task.classes[class].clone()).collect(),
            answered,
            ratio,
        });
    }
    Ok(all)
}
