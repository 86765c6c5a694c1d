//! Sets of classes that hold the true one as often as promised: split conformal prediction.
//!
//! ```text
//! calibration items, labels -> Conformal (thresholds) -> sets of other items -> SetQuality
//! ```
//!
//! A nonconformity score says how badly a class fits an item. The threshold is the
//! `ceil((n + 1)(1 - alpha))`-th smallest score of the true classes of `n` calibration units, and the set
//! of a new item holds every class whose score is not above it. It then holds the true class with a
//! probability of at least `1 - alpha` (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random
//! World", 2005; Papadopoulos et al., "Inductive Confidence Machines for Regression", ECML 2002), **if
//! the new unit and those of the calibration are exchangeable**: an unseen generator breaks the promise,
//! so report the coverage observed there beside it. The promise is an average over calibration sets;
//! given one of them, the coverage varies as [`coverage_interval`] says.
//!
//! The unit is what is exchangeable: a video or an identity, not a frame. [`Unit`] says how the items of
//! a cluster become one unit.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::distributions::{beta_binomial_quantile, clopper_pearson};
use crate::probability::normalise;
use crate::{Bootstrap, Estimate, StatsError, check};

/// How badly a class fits an item: a score, 0 to 1.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// `1 - p_y`: the smallest sets on average (least ambiguous set-valued classifiers; Sadinle, Lei and
    /// Wasserman, "Least Ambiguous Set-Valued Classifiers with Bounded Error Levels", JASA 114, 2019).
    Lac,
    /// The probability of all classes that are at least as probable as `y`, `y` and its ties included:
    /// sets that adapt to the item (adaptive prediction sets; Romano, Sesia and Candes, "Classification
    /// with Valid and Adaptive Coverage", NeurIPS 2020) with their random number fixed at 0. Conservative:
    /// the sets are larger than they need be, and nothing is random.
    Aps,
    /// The same less `u p_y`, with `u` uniform on [0, 1) drawn from the seed and the item's key: the exact
    /// form of Romano, Sesia and Candes. A key gives the same number wherever its item stands.
    ApsRandomised {
        /// Seed of the random numbers.
        seed: u64,
    },
}

/// For whom the promise holds.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Strata {
    /// On average over all items: one threshold.
    Marginal,
    /// Within each true class: a threshold for each label, which also each candidate class is held
    /// against (Mondrian, or label-conditional; Vovk, "Conditional Validity of Inductive Conformal
    /// Predictors", ACML 2012).
    Label,
    /// Within each group of items that is known before the label is (a data set, a codec; not the
    /// generator, which nobody knows in advance). A group without calibration items gets the full set.
    Group,
}

/// How the items of a cluster become one exchangeable unit.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Every item is a unit: right only where items are independent, so shared clusters are refused.
    Item,
    /// One item drawn from each cluster (and stratum) by the seed and the items' keys: clusters are
    /// exchangeable, so one random item of each is too, and the promise is for a random item of a new
    /// cluster (subsampling once; Dunn, Wasserman and Ramdas, "Distribution-Free Prediction Sets for
    /// Two-Layer Hierarchical Models", JASA 118, 2023). Among items of the same key, the one of the
    /// larger score is drawn.
    Drawn {
        /// Seed of the draw.
        seed: u64,
    },
    /// The largest score of each cluster (and stratum): the promise is that the sets of *all* items of a
    /// new cluster (of this stratum) hold their true classes at once. Larger sets.
    Worst,
}

/// Items, one entry for each in every list.
#[derive(Clone, Copy, Debug)]
pub struct Items<'a> {
    /// `[items, classes]` probabilities, row by row.
    pub probs: &'a [f64],
    /// Number of classes, 2 or more.
    pub classes: usize,
    /// What names the item, whatever its place: read by [`Score::ApsRandomised`] and [`Unit::Drawn`] only,
    /// otherwise it may be empty. Keys should differ: equal ones share their random number.
    pub keys: &'a [u64],
    /// The item's group: read by [`Strata::Group`] only, otherwise it may be empty.
    pub groups: &'a [u32],
}

/// The threshold of one stratum.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Threshold {
    /// The label or group; `None` where there is one threshold for all.
    pub stratum: Option<u32>,
    /// Number of calibration units.
    pub units: usize,
    /// Largest score that is let into a set, 0 to 1. Undefined where there are too few units: then every
    /// class is in the set (an infinite threshold), which keeps the promise and says nothing.
    pub score: Estimate,
}

/// Calibrated thresholds.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Conformal {
    /// Share of units whose set may miss the true class.
    pub alpha: f64,
    /// The nonconformity score.
    pub score: Score,
    /// For whom the promise holds.
    pub strata: Strata,
    /// One for each stratum that has calibration items, by rising stratum.
    pub thresholds: Vec<Threshold>,
}

impl Conformal {
    /// Thresholds from calibration items of known labels. `alpha` is above 0 and below 1; `clusters` is
    /// the video or identity of each item.
    ///
    /// Rounding: `(n + 1)(1 - alpha)` counts as whole within 1e-9, so 30 times 0.9 is 27 and not 28.
    /// Errors: `alpha` outside its range, lists of different length, bad probabilities or labels, or
    /// [`Unit::Item`] where items share a cluster.
    pub fn calibrate(
        items: &Items,
        labels: &[usize],
        clusters: &[u32],
        alpha: f64,
        score: Score,
        strata: Strata,
        unit: Unit,
    ) -> Result<Self, StatsError> {
        check::share("alpha", alpha)?;
        let rows = Rows::new(items, score)?;
        rows.check_labels(labels)?;
        check::length("clusters", clusters.len(), labels.len())?;
        if matches!(strata, Strata::Group) {
            check::length("groups", items.groups.len(), labels.len())?;
        }
        if let Unit::Drawn { .. } = unit {
            check::length("keys", items.keys.len(), labels.len())?;
        }
        let count = check::count_distinct(clusters);
        if unit == Unit::Item && count < labels.len() {
            return Err(StatsError::ClusteredRows {
                method: "conformal calibration by item",
                items: labels.len(),
                clusters: count,
                instead: "Unit::Drawn or Unit::Worst, which take one score from each cluster",
            });
        }
        // What stands for each unit: of its smallest draw (Drawn; all are 0 in Worst), the largest score.
        let mut units: BTreeMap<(u32, u32), (u64, f64)> = BTreeMap::new();
        let mut by_stratum: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for (at, &label) in labels.iter().enumerate() {
            let stratum = match strata {
                Strata::Marginal => 0,
                Strata::Label => label as u32,
                Strata::Group => items.groups[at],
            };
            let value = rows.score(at, label);
            match unit {
                Unit::Item => by_stratum.entry(stratum).or_default().push(value),
                Unit::Drawn { seed } => {
                    let candidate = (keyed(seed ^ DRAW, items.keys[at]), value);
                    let unit = units.entry((stratum, clusters[at])).or_insert(candidate);
                    if candidate.0.cmp(&unit.0).then(unit.1.total_cmp(&candidate.1)).is_lt() {
                        *unit = candidate;
                    }
                }
                Unit::Worst => {
                    let unit = units.entry((stratum, clusters[at])).or_insert((0, value));
                    unit.1 = unit.1.max(value);
                }
            }
        }
        for ((stratum, _), (_, value)) in units {
            by_stratum.entry(stratum).or_default().push(value);
        }
        let thresholds = by_stratum
            .into_iter()
            .map(|(stratum, mut scores)| {
                scores.sort_by(f64::total_cmp);
                Threshold {
                    stratum: (strata != Strata::Marginal).then_some(stratum),
                    units: scores.len(),
                    score: match scores.get(rank(scores.len(), alpha) - 1) {
                        Some(&score) => Estimate::point(score),
                        None => Estimate::undefined(format!(
                            "{} calibration units are too few for alpha {alpha}, which needs {}: every class is in the set",
                            scores.len(),
                            fewest_units(alpha)
                        )),
                    },
                }
            })
            .collect();
        Ok(Self { alpha, score, strata, thresholds })
    }

    /// The set of each item: `[items, classes]`, row by row, whether the class is in it.
    ///
    /// With [`Strata::Label`] each class is held against its own threshold. A set may be empty: no class
    /// fits the item as well as true classes do. Errors: lists of different length or bad probabilities.
    pub fn sets(&self, items: &Items) -> Result<Vec<bool>, StatsError> {
        let rows = Rows::new(items, self.score)?;
        let count = rows.count();
        if self.strata == Strata::Group {
            check::length("groups", items.groups.len(), count)?;
        }
        let thresholds: BTreeMap<Option<u32>, f64> =
            self.thresholds.iter().map(|t| (t.stratum, t.score.value.unwrap_or(f64::INFINITY))).collect();
        let mut sets = Vec::with_capacity(count * items.classes);
        for at in 0..count {
            for class in 0..items.classes {
                let stratum = match self.strata {
                    Strata::Marginal => None,
                    Strata::Label => Some(class as u32),
                    Strata::Group => Some(items.groups[at]),
                };
                let most = thresholds.get(&stratum).copied().unwrap_or(f64::INFINITY);
                sets.push(rows.score(at, class) <= most);
            }
        }
        Ok(sets)
    }
}

/// Fewest calibration units with which the threshold is finite: `ceil(1 / alpha) - 1`.
pub fn fewest_units(alpha: f64) -> usize {
    ((1.0 / alpha - 1e-9).ceil() as usize).saturating_sub(1).max(1)
}

/// Which of the sorted scores is the threshold, from 1; above `units` where none is.
fn rank(units: usize, alpha: f64) -> usize {
    (((units as f64 + 1.0) * (1.0 - alpha) - 1e-9).ceil() as usize).max(1)
}

/// The central interval that the coverage observed on `test` exchangeable units lies in with probability
/// `level`, after calibration on `units`: 0 to 1.
///
/// With scores that have no ties the number covered is beta-binomial, `test` trials of a probability drawn
/// from Beta(k, units + 1 - k), `k = ceil((units + 1)(1 - alpha))` (Vovk, "Conditional Validity of
/// Inductive Conformal Predictors", ACML 2012; Angelopoulos and Bates, "Conformal Prediction: A Gentle
/// Introduction", 2023, appendix C). Ties raise the coverage, so only the lower end holds with them.
/// With too few calibration units every set is full: (1, 1). Undefined (`None`) without test units or
/// with `alpha` or `level` not between 0 and 1.
pub fn coverage_interval(units: usize, test: usize, alpha: f64, level: f64) -> Option<(f64, f64)> {
    let inside = |x: f64| x > 0.0 && x < 1.0;
    if test == 0 || !inside(alpha) || !inside(level) {
        return None;
    }
    let k = rank(units, alpha);
    if k > units {
        return Some((1.0, 1.0));
    }
    let (a, b) = (k as f64, (units + 1 - k) as f64);
    let tail = (1.0 - level) / 2.0;
    let end = |p| beta_binomial_quantile(p, test as u64, a, b) as f64 / test as f64;
    Some((end(tail), end(1.0 - tail)))
}

/// How good the sets of some items are.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct SetQuality {
    /// The group; `None` for all items together.
    pub group: Option<u32>,
    /// Number of items.
    pub items: usize,
    /// Share of the items whose set holds the true class, 0 to 1. The interval is Clopper and Pearson's at
    /// 95 % where no items share a cluster, and otherwise that of the [`Bootstrap`] over clusters. Where every
    /// set (or none) holds it, resampling can only repeat that, so the open end is then the exact binomial bound
    /// of that many clusters.
    pub coverage: Estimate,
    /// Mean number of classes in a set, 0 to the number of classes.
    pub mean_size: Estimate,
    /// Share of the sets with exactly one class: the answers.
    pub singletons: Estimate,
    /// Share of the sets without any class.
    pub empty: Estimate,
    /// Share of the sets with every class: "I can't tell".
    pub full: Estimate,
}

/// Coverage and size of sets (`[items, classes]`, from [`Conformal::sets`]): first of all items, then of
/// each group by rising number. `groups` may be anything the coverage is to be looked at by (the
/// generator, say), and may be empty.
///
/// `bootstrap` is for the coverage of items that share clusters, which has no interval without it. Errors: lists of
/// different length, a label that is no class, or bad parameters of the bootstrap.
pub fn set_quality(
    sets: &[bool],
    classes: usize,
    labels: &[usize],
    clusters: &[u32],
    groups: &[u32],
    bootstrap: Option<&Bootstrap>,
) -> Result<Vec<SetQuality>, StatsError> {
    bootstrap.map_or(Ok(()), Bootstrap::check)?;
    check::length("sets", sets.len(), labels.len() * classes)?;
    check::length("clusters", clusters.len(), labels.len())?;
    check_labels(labels, classes)?;
    let everything: Vec<usize> = (0..labels.len()).collect();
    let mut by_group: BTreeMap<Option<u32>, Vec<usize>> = BTreeMap::from([(None, everything)]);
    if !groups.is_empty() {
        check::length("groups", groups.len(), labels.len())?;
        for (at, &group) in groups.iter().enumerate() {
            by_group.entry(Some(group)).or_default().push(at);
        }
    }
    let quality = |(group, items): (Option<u32>, Vec<usize>)| {
        let sizes: Vec<usize> =
            items.iter().map(|&at| sets[at * classes..][..classes].iter().filter(|&&s| s).count()).collect();
        let covered = items.iter().filter(|&&at| sets[at * classes + labels[at]]).count();
        let of = |count: usize| match items.len() {
            0 => Estimate::undefined("there are no items"),
            all => Estimate::point(count as f64 / all as f64),
        };
        let share_of_size = |size: usize| of(sizes.iter().filter(|&&s| s == size).count());
        let mut coverage = of(covered);
        // Covered items, and all, of each cluster.
        let mut by_cluster: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for &at in &items {
            let (events, trials) = by_cluster.entry(clusters[at]).or_default();
            *events += u64::from(sets[at * classes + labels[at]]);
            *trials += 1;
        }
        match bootstrap {
            _ if items.is_empty() => {}
            _ if by_cluster.len() == items.len() => {
                let (low, high) = clopper_pearson(covered as u64, items.len() as u64, 0.95);
                (coverage.low, coverage.high) = (Some(low), Some(high));
            }
            Some(bootstrap) => resampled_share(&by_cluster, bootstrap, &mut coverage),
            None => {
                let reason = "no interval: items share clusters, and no resampling was asked for";
                coverage.undefined_because = Some(reason.into());
            }
        }
        SetQuality {
            group,
            items: items.len(),
            coverage,
            mean_size: of(sizes.iter().sum()),
            singletons: share_of_size(1),
            empty: share_of_size(0),
            full: share_of_size(classes),
        }
    };
    Ok(by_group.into_iter().map(quality).collect())
}

/// Give a share of events its interval over resampled clusters: events and trials of each.
fn resampled_share(by_cluster: &BTreeMap<u32, (u64, u64)>, bootstrap: &Bootstrap, share: &mut Estimate) {
    let ids: Vec<u32> = by_cluster.keys().copied().collect();
    let counts: Vec<(u64, u64)> = by_cluster.values().copied().collect();
    let replicate = |weights: &[u32]| {
        let (mut events, mut trials) = (0, 0);
        for (&(e, t), &weight) in counts.iter().zip(weights) {
            events += u64::from(weight) * e;
            trials += u64::from(weight) * t;
        }
        vec![(trials > 0).then(|| events as f64 / trials as f64)]
    };
    bootstrap.intervals(&ids, &replicate, std::slice::from_mut(share));
    let all = counts.len() as u64;
    match share.value {
        Some(0.0) if share.high.is_some() => share.high = Some(clopper_pearson(0, all, bootstrap.level).1),
        Some(1.0) if share.low.is_some() => share.low = Some(clopper_pearson(all, all, bootstrap.level).0),
        _ => {}
    }
}

/// Checked probabilities with what the score needs.
struct Rows {
    classes: usize,
    probs: Vec<f64>,
    score: Score,
    /// The uniform number of each item, where the score is randomised.
    uniform: Vec<f64>,
}

impl Rows {
    fn new(items: &Items, score: Score) -> Result<Self, StatsError> {
        let classes = items.classes;
        if classes < 2 {
            let value = classes.to_string();
            return Err(StatsError::BadParameter { name: "classes", value, expected: "2 or more" });
        }
        if !items.probs.len().is_multiple_of(classes) {
            return Err(StatsError::RaggedSamples { classes, found: items.probs.len() });
        }
        let (mut probs, mut row) = (Vec::with_capacity(items.probs.len()), Vec::new());
        for (at, values) in items.probs.chunks_exact(classes).enumerate() {
            normalise(values, classes, &mut row, || format!("item {at}"))?;
            probs.extend_from_slice(&row);
        }
        let uniform = match score {
            Score::ApsRandomised { seed } => {
                check::length("keys", items.keys.len(), probs.len() / classes)?;
                items.keys.iter().map(|&key| (keyed(seed, key) >> 11) as f64 / (1u64 << 53) as f64).collect()
            }
            _ => Vec::new(),
        };
        Ok(Self { classes, probs, score, uniform })
    }

    fn count(&self) -> usize {
        self.probs.len() / self.classes
    }

    fn check_labels(&self, labels: &[usize]) -> Result<(), StatsError> {
        check::length("labels", labels.len(), self.count())?;
        check_labels(labels, self.classes)
    }

    /// Nonconformity of a class of an item.
    fn score(&self, item: usize, class: usize) -> f64 {
        let probs = &self.probs[item * self.classes..][..self.classes];
        let own = probs[class];
        if self.score == Score::Lac {
            return 1.0 - own;
        }
        let mut above: Vec<f64> = probs.iter().copied().filter(|&p| p >= own).collect();
        // Added from the largest on, so that the sum does not depend on the order of the classes. All of them
        // are 1 whatever the rounding: ties stay ties.
        above.sort_by(|a, b| b.total_cmp(a));
        let sum: f64 = if above.len() == self.classes { 1.0 } else { above.iter().sum() };
        match self.uniform.get(item) {
            Some(u) => sum - u * own,
            None => sum,
        }
    }
}

fn check_labels(labels: &[usize], classes: usize) -> Result<(), StatsError> {
    match labels.iter().position(|&label| label >= classes) {
        None => Ok(()),
        Some(at) => Err(StatsError::BadLabel {
            place: format!("item {at}"),
            label: labels[at],
            last: classes.saturating_sub(1),
        }),
    }
}

/// Keeps the numbers that draw items apart from those that randomise scores.
const DRAW: u64 = 0x6472_6177; // "draw"

/// A random number of a seed and a key.
fn keyed(seed: u64, key: u64) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(key);
    random.next_u64()
}
