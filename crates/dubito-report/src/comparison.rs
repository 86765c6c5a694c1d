//! Whether detectors differ: every pair on the items that both scored, with the test that fits the rows.
//!
//! | rows | AUROC | accuracy | Brier score |
//! |---|---|---|---|
//! | independent | DeLong | McNemar, mid-p | paired bootstrap |
//! | share clusters | Obuchowski | cluster-robust normal | paired bootstrap over clusters |
//! | target and donor known | two-way paired bootstrap | two-way paired bootstrap | two-way paired bootstrap |
//!
//! The p-values of all pairs under one metric and method are corrected together by Holm's method.

use std::collections::BTreeMap;

use dubito_stats::calibration::{brier_positive, brier_sum};
use dubito_stats::compare::{
    Comparison, accuracy_difference, auroc_clustered, delong, holm, mcnemar, paired_bootstrap, paired_bootstrap_two_way,
};
use dubito_stats::discrimination::Auroc;
use dubito_stats::weighted::{Mean, Weighted};
use dubito_stats::{Bootstrap, Estimate, Items, StatsError};
use serde::Serialize;

use crate::scores::{ScoreSet, Scores};
use crate::{Level, Options, ReportError};

/// Two detectors, one metric, one method.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The first detector.
    pub first: String,
    /// The second.
    pub second: String,
    /// What an item is.
    pub level: Level,
    /// Number of items that both scored.
    pub items: usize,
    /// Number of clusters they come from.
    pub clusters: usize,
    /// `auroc`, `accuracy` or `brier`.
    pub metric: &'static str,
    /// How it was tested.
    pub method: &'static str,
    /// Values, difference (first minus second), p-value, smallest detectable difference.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// The p-value, corrected by Holm's method for all pairs under this metric and method.
    pub p_value_holm: Estimate,
}

/// Detectors that are compared in pairs, of which there are nearly half as many as the square of this; of more, the first
/// by name.
pub const MOST_COMPARED: usize = 40;

/// Every pair of detectors (of the first [`MOST_COMPARED`]), on the level of videos (of items, where there are none).
/// Errors: faults of the numbers.
pub fn comparisons(scores: &Scores, options: &Options) -> Result<Vec<Pair>, ReportError> {
    let mut pairs = Vec::new();
    let sets = &scores.sets[..scores.sets.len().min(MOST_COMPARED)];
    for (at, first) in sets.iter().enumerate() {
        for second in &sets[at + 1..] {
            let place = |source| ReportError::Stats {
                place: format!("comparison of {} and {}", name(first), name(second)),
                source,
            };
            pairs.extend(compare(scores, first, second, options).map_err(place)?);
        }
    }
    correct(&mut pairs).map_err(|source| ReportError::Stats { place: "comparisons".into(), source })?;
    Ok(pairs)
}

fn name(set: &ScoreSet) -> String {
    set.detector.clone().unwrap_or_default()
}

/// A metric of the first detector and of the second, to be resampled together.
type Resampled = (&'static str, Box<dyn Weighted>, Box<dyn Weighted>);

/// The items of one detector that the other scored too.
struct Common {
    /// Index in the first's items and in the second's.
    places: Vec<(usize, usize)>,
    clusters: Vec<u32>,
    donors: Option<Vec<Option<u32>>>,
}

fn common(scores: &Scores, first: &ScoreSet, second: &ScoreSet, level: Level) -> Common {
    let (a, b) = (first.of(level), second.of(level));
    let mut places = Vec::new();
    let mut j = 0;
    // Both are in the order of the ids.
    for i in 0..a.len() {
        let id = first.id(level, i);
        while j < b.len() && second.id(level, j) < id {
            j += 1;
        }
        if j < b.len() && second.id(level, j) == id {
            places.push((i, j));
        }
    }
    let clusters = places.iter().map(|&(i, _)| a.cluster(i)).collect();
    let donors = scores.units.fact("donor").map(|fact| {
        places.iter().map(|&(i, _)| fact.code(scores.unit(first, level, i)).map(|code| code as u32)).collect()
    });
    Common { places, clusters, donors }
}

fn compare(scores: &Scores, first: &ScoreSet, second: &ScoreSet, options: &Options) -> Result<Vec<Pair>, StatsError> {
    let level = if scores.has_videos { Level::Video } else { Level::Item };
    let common = common(scores, first, second, level);
    let (a, b) = (first.of(level), second.of(level));
    let count = common.places.len();
    let mut distinct = common.clusters.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let independent = distinct.len() == count;
    let bootstrap = options.bootstrap.clone();
    let confidence = bootstrap.as_ref().map_or(0.95, |bootstrap| bootstrap.level);
    let mut found: Vec<(&'static str, &'static str, Comparison)> = Vec::new();
    let correct = |items: &Items, at: &dyn Fn(&(usize, usize)) -> usize| -> Vec<bool> {
        common.places.iter().map(|place| !items.is_error(at(place))).collect()
    };
    let (right_a, right_b) = (correct(a, &|p| p.0), correct(b, &|p| p.1));
    let brier = |items: &Items, at: &dyn Fn(&(usize, usize)) -> usize| -> Vec<f64> {
        common
            .places
            .iter()
            .map(|place| {
                let (probs, label) = (items.probs(at(place)), items.label(at(place)));
                match scores.task.positive {
                    Some(class) => brier_positive(probs[class], label == class),
                    None => brier_sum(probs, label),
                }
            })
            .collect()
    };
    let share = |right: &[bool]| Mean(right.iter().map(|&r| f64::from(u8::from(r))).collect());
    let mut resampled: Vec<Resampled> = vec![
        ("brier", Box::new(Mean(brier(a, &|p| p.0))), Box::new(Mean(brier(b, &|p| p.1)))),
        ("accuracy", Box::new(share(&right_a)), Box::new(share(&right_b))),
    ];
    if let Some(class) = scores.task.positive {
        let scores_a: Vec<f64> = common.places.iter().map(|&(i, _)| a.score(i)).collect();
        let scores_b: Vec<f64> = common.places.iter().map(|&(_, j)| b.score(j)).collect();
        let positive: Vec<bool> = common.places.iter().map(|&(i, _)| a.label(i) == class).collect();
        found.push(if independent {
            ("auroc", "DeLong", delong(&scores_a, &scores_b, &positive, &common.clusters, confidence)?)
        } else {
            let tested = auroc_clustered(&scores_a, &scores_b, &positive, &common.clusters, confidence)?;
            ("auroc", "Obuchowski", tested)
        });
        let (auroc_a, auroc_b) = (Auroc::new(&scores_a, &positive), Auroc::new(&scores_b, &positive));
        resampled.push(("auroc", Box::new(auroc_a), Box::new(auroc_b)));
    }
    let mut accuracy = accuracy_difference(&right_a, &right_b, &common.clusters, confidence)?;
    found.push(if independent {
        accuracy.p_value = Estimate::point(mcnemar(&right_a, &right_b, &common.clusters)?.mid_p);
        ("accuracy", "McNemar (mid-p)", accuracy)
    } else {
        ("accuracy", "cluster-robust", accuracy)
    });
    if let Some(bootstrap) = &bootstrap {
        for (metric, first, second) in &resampled {
            let method = "paired bootstrap";
            let tested = paired_bootstrap(&**first, &**second, &common.clusters, bootstrap)?;
            found.push((*metric, method, tested));
            if let Some(donors) = two_way(&common, bootstrap) {
                let method = "paired bootstrap over targets and donors";
                let tested = paired_bootstrap_two_way(&**first, &**second, donors, &common.clusters, bootstrap)?;
                found.push((*metric, method, tested));
            }
        }
    }
    let pair = |(metric, method, comparison)| Pair {
        first: name(first),
        second: name(second),
        level,
        items: count,
        clusters: distinct.len(),
        metric,
        method,
        comparison,
        p_value_holm: Estimate::undefined("not corrected yet"),
    };
    Ok(found.into_iter().map(pair).collect())
}

/// The donors, where enough are known for a two-way interval.
fn two_way<'a>(common: &'a Common, bootstrap: &Bootstrap) -> Option<&'a Vec<Option<u32>>> {
    let donors = common.donors.as_ref()?;
    let mut known: Vec<u32> = donors.iter().flatten().copied().collect();
    known.sort_unstable();
    known.dedup();
    (known.len() >= bootstrap.min_clusters.max(2)).then_some(donors)
}

fn correct(pairs: &mut [Pair]) -> Result<(), StatsError> {
    let mut families: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (at, pair) in pairs.iter().enumerate() {
        families.entry((pair.metric, family(pair.method))).or_default().push(at);
    }
    for members in families.into_values() {
        let (with, values): (Vec<usize>, Vec<f64>) =
            members.iter().filter_map(|&at| Some((at, pairs[at].comparison.p_value.value?))).unzip();
        for &at in &members {
            let reason = pairs[at].comparison.p_value.undefined_because.clone();
            pairs[at].p_value_holm = Estimate::undefined(reason.unwrap_or_else(|| "there is no p-value".into()));
        }
        for (at, value) in with.into_iter().zip(holm(&values)?) {
            pairs[at].p_value_holm = Estimate::point(value);
        }
    }
    Ok(())
}

/// Methods that test the same question in the same way, for rows that share clusters and for rows that don't.
fn family(method: &'static str) -> &'static str {
    match method {
        "DeLong" | "Obuchowski" => "theory",
        "McNemar (mid-p)" | "cluster-robust" => "theory",
        other => other,
    }
}
