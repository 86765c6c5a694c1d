//! Decision thresholds of a binary task: chosen on one split, judged on another.
//!
//! An item is called positive where the positive class' probability is *at least* the threshold. A
//! threshold is always one of the scores it was chosen from (or just above all of them), so ties are
//! never parted. One that is chosen and judged on the same items looks better than it is: choose it on
//! the calibration split.

use serde::{Deserialize, Serialize};

use crate::items::{Items, Scale};
use crate::ranking::{Order, Ranking};
use crate::weighted::Undefined;
use crate::{Estimate, StatsError};

/// How a threshold is chosen.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdRule {
    /// The lowest threshold at which at most this share (above 0, below 1) of the negatives is called
    /// positive. Needs `3 / share` negatives, as [`tpr_at_fpr`](crate::discrimination::tpr_at_fpr) does.
    AtFpr(f64),
    /// Where TPR - FPR is largest (Youden, "Index for Rating Diagnostic Tests", Cancer 3, 1950); the
    /// highest of them where several are. Needs positives and negatives.
    Youden,
}

/// Choose a threshold from the items of the calibration split, on the [scale](Items::scale) of their scores.
///
/// The estimate has no value, and says why, where the items do not hold what the rule needs. Errors: a task
/// without a positive class, a share of negatives outside (0, 1).
pub fn choose_threshold(items: &Items, rule: ThresholdRule) -> Result<Estimate, StatsError> {
    let positive = positive(items)?;
    if let ThresholdRule::AtFpr(fpr) = rule
        && !(fpr > 0.0 && fpr < 1.0)
    {
        let expected = "a share above 0 and below 1, for example 0.01";
        return Err(StatsError::BadParameter { name: "false-positive rate", value: fpr.to_string(), expected });
    }
    let (scores, positives) = items.class(positive);
    let ranking = Ranking::new(&scores, &positives);
    let curve = ranking.curve(None, Order::Falling);
    let class = |class: usize| items.task().classes[class].as_str();
    let (positives, negatives) = match (curve.both(), rule) {
        (Ok(both), _) => both,
        // Without positives the negatives still tell where the FPR is kept.
        (Err(Undefined::NoPositives), ThresholdRule::AtFpr(_)) => (0, curve.others),
        (Err(Undefined::NoItems), _) => return Ok(Estimate::undefined("there are no items")),
        (Err(undefined), _) => {
            let alone = if undefined == Undefined::NoNegatives { positive } else { 1 - positive };
            return Ok(Estimate::undefined(format!("all items are {}: a threshold needs both classes", class(alone))));
        }
    };
    // Above every score nothing is called positive: TPR and FPR are 0.
    let mut chosen = None;
    let mut highest = f64::NEG_INFINITY;
    let (mut hits, mut others, mut best) = (0u64, 0u64, 0i128);
    if let ThresholdRule::AtFpr(fpr) = rule {
        let needed = (3.0 / fpr - 1e-6).ceil() as u64;
        if negatives < needed {
            let name = class(1 - positive);
            return Ok(Estimate::undefined(format!(
                "only {negatives} items are {name}: a threshold at this false-positive rate needs at least {needed}"
            )));
        }
    }
    curve.blocks(|block| {
        highest = highest.max(block.score);
        hits += block.hits;
        others += block.others;
        match rule {
            ThresholdRule::AtFpr(fpr) => {
                if others as f64 / negatives as f64 <= fpr {
                    chosen = Some(block.score);
                }
            }
            ThresholdRule::Youden => {
                // TPR - FPR, times both numbers: whole, so that equal ones are equal.
                let youden = i128::from(hits) * i128::from(negatives) - i128::from(others) * i128::from(positives);
                if youden > best {
                    (best, chosen) = (youden, Some(block.score));
                }
            }
        }
    });
    Ok(Estimate::point(chosen.unwrap_or(highest.next_up())))
}

/// What a threshold does to items.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct AtThreshold {
    /// Positives that are called positive.
    pub true_positives: u64,
    /// Negatives that are called positive.
    pub false_positives: u64,
    /// Negatives that are not.
    pub true_negatives: u64,
    /// Positives that are not.
    pub false_negatives: u64,
    /// Share of the items that are called what they are.
    pub accuracy: Estimate,
    /// Mean of `tpr` and `1 - fpr`.
    pub balanced_accuracy: Estimate,
    /// Share of the positives that are called positive.
    pub tpr: Estimate,
    /// Share of the negatives that are called positive.
    pub fpr: Estimate,
}

/// Judge a threshold that is given on this scale on items. Error: a task without a positive class.
pub fn at_threshold(items: &Items, scale: Scale, threshold: f64) -> Result<AtThreshold, StatsError> {
    let positive = positive(items)?;
    let (mut called, mut not) = ([0u64; 2], [0u64; 2]);
    for i in 0..items.len() {
        let class = usize::from(items.label(i) == positive);
        let counts = if items.score_on(scale, i) >= threshold { &mut called } else { &mut not };
        counts[class] += 1;
    }
    let share = |events: u64, all: u64, what: &str| match all {
        0 => Estimate::undefined(format!("there are no {what}")),
        all => Estimate::point(events as f64 / all as f64),
    };
    let name = |class: usize| format!("items that are {}", items.task().classes[class]);
    let tpr = share(called[1], called[1] + not[1], &name(positive));
    let fpr = share(called[0], called[0] + not[0], &name(1 - positive));
    let balanced_accuracy = match (tpr.value, fpr.value) {
        (Some(tpr), Some(fpr)) => Estimate::point((tpr + 1.0 - fpr) / 2.0),
        (None, Some(_)) => tpr.clone(),
        _ => fpr.clone(),
    };
    Ok(AtThreshold {
        true_positives: called[1],
        false_positives: called[0],
        true_negatives: not[0],
        false_negatives: not[1],
        accuracy: share(called[1] + not[0], items.len() as u64, "items"),
        balanced_accuracy,
        tpr,
        fpr,
    })
}

fn positive(items: &Items) -> Result<usize, StatsError> {
    items.task().positive.ok_or(StatsError::BadTask {
        problem: "a threshold needs a binary task with a positive class, this one has none".into(),
    })
}
