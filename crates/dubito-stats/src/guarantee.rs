//! The doubt above which to abstain, so that errors stay below a promised share: selective prediction
//! with a finite-sample guarantee.
//!
//! ```text
//! calibration items, Promise -> Abstention (threshold) -> other items -> Observed
//! ```
//!
//! An item is answered where its doubt is at or below the threshold. Both promises hold for new units that
//! are **exchangeable** with those of the calibration, and say nothing of generators that it had none of:
//! report what [`observed`] says of those beside the promise. Units are clusters (videos or identities);
//! where every item is a cluster of its own, tests are exact binomial ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::distributions::clopper_pearson;
use crate::distributions::{binomial_cdf, bisect};
use crate::{Estimate, StatsError, check};

/// What is promised of the errors.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// P(wrong | answered) is at most `alpha`, with probability at least `1 - delta` over calibration sets.
    ///
    /// Learn then test (Angelopoulos, Bates, Candes, Jordan and Lei, "Learn then Test: Calibrating
    /// Predictive Algorithms to Achieve Risk Control", 2021; Annals of Applied Statistics 19, 2025).
    /// With clusters, the risk is that of a random answered item of a random cluster that has one.
    WrongAmongAnswered {
        /// Share of the answers that may be wrong, above 0 and below 1.
        alpha: f64,
        /// Share of calibration sets for which the promise may fail, above 0 and below 1.
        delta: f64,
    },
    /// The expected share of all items that are answered and wrong is at most `alpha`, on average over
    /// calibration sets.
    ///
    /// Conformal risk control (Angelopoulos, Bates, Fisch, Lei and Schuster, ICLR 2024). With clusters,
    /// the share is that of a random item of a random cluster.
    AnsweredAndWrong {
        /// Share of all items that may be answered and wrong, above 0 and below 1.
        alpha: f64,
    },
}

impl Promise {
    /// The promised share.
    pub fn alpha(&self) -> f64 {
        match *self {
            Self::WrongAmongAnswered { alpha, .. } | Self::AnsweredAndWrong { alpha } => alpha,
        }
    }

    fn check(&self) -> Result<(), StatsError> {
        check::share("alpha", self.alpha())?;
        match *self {
            Self::WrongAmongAnswered { delta, .. } => check::share("delta", delta),
            Self::AnsweredAndWrong { .. } => Ok(()),
        }
    }
}

/// When to abstain.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Abstention {
    /// What is promised.
    pub promise: Promise,
    /// Items of this doubt or less are answered, in the doubt's own unit. Undefined, with the reason, where
    /// no threshold keeps the promise: then nothing is answered.
    pub threshold: Estimate,
    /// Share of the calibration items that are answered, 0 to 1; 0 without a threshold.
    pub answered: f64,
    /// The promised kind of risk at the threshold, as it is in the calibration items, 0 to 1. It was chosen
    /// to be small: the promise is `alpha`.
    pub risk: Estimate,
    /// What bounds the risk, at most `alpha`: the smallest `alpha` that the test of this threshold alone
    /// would have passed (learn then test), or `(n risk + 1) / (n + 1)` of `n` clusters (conformal risk
    /// control).
    pub bound: Estimate,
    /// Number of calibration clusters.
    pub clusters: usize,
}

/// The most permissive threshold of doubt that keeps the promise.
///
/// `doubt` is any column of which more means more doubtful, `wrong` whether the prediction is wrong,
/// `clusters` the video or identity of each item, `grid` the thresholds to choose from, if they were fixed
/// before the calibration items were seen; otherwise each doubt among them is one.
///
/// **Conformal risk control** takes the largest threshold with `(n risk + 1) / (n + 1) <= alpha`.
///
/// **Learn then test** tests one threshold after another from the most strict on, each for "the risk is above
/// `alpha`", and stops at the first that is not rejected at `delta` (fixed-sequence testing), so no
/// correction for their number is needed. The p-value is `P(Binomial(answered, alpha) <= wrong)` for
/// independent items, and that of Hoeffding and Bentkus (Bates et al., "Distribution-Free, Risk-Controlling
/// Prediction Sets", Journal of the ACM 68, 2021) of the share wrong of each cluster that has answers.
/// - With a `grid` this is exact, whatever the risk does. Its strictest threshold should leave
///   [`fewest_answers`] clusters or more to answer: with fewer, not even a faultless detector passes.
/// - Without one, the sequence starts where that many clusters are answered. One early error would end it
///   there, so up to four sequences start at 1, 2, 4 and 8 times as many, as far as there are clusters, each
///   at its share of `delta` (multi-start), and the most permissive threshold counts. For independent items
///   this is exact if the risk among the answered does not fall again as the threshold rises, which is what
///   makes a doubt a doubt: to go beyond the point where the risk reaches `alpha`, a sequence must pass a test
///   there whose answers are independent draws. With clusters it is so but for where the sequences start.
///
/// Errors: `alpha` or `delta` outside their range, lists of different length, numbers that are not finite.
pub fn abstention(
    doubt: &[f64],
    wrong: &[bool],
    clusters: &[u32],
    promise: Promise,
    grid: Option<&[f64]>,
) -> Result<Abstention, StatsError> {
    promise.check()?;
    let sweep = Sweep::new(doubt, wrong, clusters)?;
    let mut thresholds = match grid {
        Some(grid) => {
            check::finite("grid", grid)?;
            grid.to_vec()
        }
        None => doubt.to_vec(),
    };
    thresholds.sort_by(f64::total_cmp);
    thresholds.dedup();
    let chosen = match promise {
        Promise::AnsweredAndWrong { alpha } => control_risk(&sweep, alpha, &thresholds),
        Promise::WrongAmongAnswered { alpha, delta } => test(&sweep, alpha, delta, &thresholds, grid.is_some()),
    };
    let n = sweep.sizes.len();
    Ok(match chosen {
        Ok((at, bound)) => Abstention {
            promise,
            threshold: Estimate::point(at.threshold),
            answered: at.items as f64 / doubt.len() as f64,
            risk: Estimate::point(at.risk(&promise, n)),
            bound: Estimate::point(bound),
            clusters: n,
        },
        Err(because) => {
            let reason = format!("no threshold keeps the promise, because {because}");
            Abstention {
                promise,
                threshold: Estimate::undefined(&reason),
                answered: 0.0,
                risk: Estimate::undefined(&reason),
                bound: Estimate::undefined(&reason),
                clusters: n,
            }
        }
    })
}

/// Fewest independent answers, none of them wrong, that show a risk of at most `alpha` at `delta`:
/// `ln delta / ln(1 - alpha)`, rounded up. 45 for 5 % at 10 %, 299 for 1 % at 5 %.
pub fn fewest_answers(alpha: f64, delta: f64) -> usize {
    ((delta.ln() / (-alpha).ln_1p() - 1e-9).ceil() as usize).max(1)
}

fn control_risk(sweep: &Sweep, alpha: f64, thresholds: &[f64]) -> Result<(At, f64), String> {
    let n = sweep.sizes.len() as f64;
    if 1.0 / (n + 1.0) > alpha {
        return Err(format!(
            "{n} clusters are too few for a share of {alpha}: at least {} are needed",
            (1.0 / alpha - 1e-9).ceil() - 1.0
        ));
    }
    let bound = |at: &At| (at.wrong_share + 1.0) / (n + 1.0);
    let mut best = None;
    sweep.each(thresholds, |at| {
        let kept = bound(&at) <= alpha + 1e-12;
        if kept && at.items > 0 {
            best = Some(at);
        }
        kept
    });
    match best {
        Some(at) => Ok((at, bound(&at))),
        None => Err("among the least doubtful items too many are wrong".into()),
    }
}

/// Learn then test, from one start or several.
fn test(sweep: &Sweep, alpha: f64, delta: f64, thresholds: &[f64], fixed: bool) -> Result<(At, f64), String> {
    let n = sweep.sizes.len();
    let starts = match fixed {
        true => vec![0],
        false => {
            let list = |count: u32| -> Vec<usize> {
                let first = fewest_answers(alpha, delta / f64::from(count));
                (0..count).map(|double| first << double).collect()
            };
            let fits = |starts: &Vec<usize>| starts.last().is_some_and(|&last| last <= n);
            [4, 3, 2].into_iter().map(list).find(fits).unwrap_or_else(|| list(1))
        }
    };
    let level = delta / starts.len() as f64;
    if starts[0] > n {
        return Err(format!(
            "{n} clusters are too few for a share of {alpha} at {delta}: even without any error {} are needed",
            starts[0]
        ));
    }
    // The last threshold that each sequence passed, while it has not stopped.
    let mut passed: Vec<(usize, Option<At>, bool)> = starts.iter().map(|&start| (start, None, true)).collect();
    sweep.each(thresholds, |at| {
        let reached = |start: usize, goes_on: bool| goes_on && at.clusters >= start;
        if passed.iter().any(|&(start, _, goes_on)| reached(start, goes_on)) {
            let rejected = sweep.p_value(at.rate, at.clusters, alpha) <= level;
            for (start, last, goes_on) in &mut passed {
                if reached(*start, *goes_on) {
                    if rejected { *last = Some(at) } else { *goes_on = false }
                }
            }
        }
        passed.iter().any(|&(_, _, goes_on)| goes_on)
    });
    // Sequences that went furthest have the largest threshold.
    let best = passed.into_iter().filter_map(|(_, last, _)| last).max_by(|a, b| a.threshold.total_cmp(&b.threshold));
    match best {
        Some(at) => Ok((at, upper(|risk| sweep.p_value(at.rate, at.clusters, risk), at.mean_rate(), level))),
        None => Err(format!(
            "the least doubtful items are too few or too often wrong to show a risk of at most {alpha} (at confidence {})",
            1.0 - delta
        )),
    }
}

/// What a threshold does on other items than those it was chosen on.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Observed {
    /// Share of the items that are answered, 0 to 1.
    pub answered: Estimate,
    /// The promised kind of risk, 0 to 1, with an interval of 95 %: Clopper and Pearson's for independent
    /// items, Hoeffding's and Bentkus' (wide, but exact) where items share clusters.
    pub risk: Estimate,
    /// Whether the risk is above the promised share; `None` where it is undefined.
    pub violated: Option<bool>,
    /// Whether the whole interval is: more than chance.
    pub clearly_violated: Option<bool>,
    /// Number of clusters.
    pub clusters: usize,
}

/// Risk and coverage of a threshold ([`Abstention::threshold`]; `None` answers nothing) on other items.
///
/// The risk of [`Promise::WrongAmongAnswered`] is undefined where nothing is answered, both are without
/// items. Errors: as [`abstention`].
pub fn observed(
    threshold: Option<f64>,
    promise: Promise,
    doubt: &[f64],
    wrong: &[bool],
    clusters: &[u32],
) -> Result<Observed, StatsError> {
    promise.check()?;
    let sweep = Sweep::new(doubt, wrong, clusters)?;
    if let Some(threshold) = threshold {
        check::finite("threshold", &[threshold])?;
    }
    let mut at = At::default();
    sweep.each(threshold.as_slice(), |found| {
        at = found;
        true
    });
    let n = sweep.sizes.len();
    let (sum, units) = match promise {
        Promise::WrongAmongAnswered { .. } => (at.rate, at.clusters),
        Promise::AnsweredAndWrong { .. } => (at.wrong_share, n),
    };
    let answered = match doubt.len() {
        0 => Estimate::undefined("there are no items"),
        items => Estimate::point(at.items as f64 / items as f64),
    };
    if units == 0 {
        let reason = if n == 0 { "there are no items" } else { "nothing is answered" };
        let risk = Estimate::undefined(reason);
        return Ok(Observed { answered, risk, violated: None, clearly_violated: None, clusters: n });
    }
    const LEVEL: f64 = 0.95;
    let mean = sum / units as f64;
    let (low, high) = if sweep.independent() {
        clopper_pearson(sum.round() as u64, units as u64, LEVEL)
    } else {
        let side = (1.0 - LEVEL) / 2.0;
        // The lower end is the upper end of the share that is not wrong.
        let rest = units as f64 - sum;
        let low = 1.0 - upper(|risk| hoeffding_bentkus(rest, units, risk), 1.0 - mean, side);
        (low.min(mean), upper(|risk| hoeffding_bentkus(sum, units, risk), mean, side))
    };
    let alpha = promise.alpha();
    Ok(Observed {
        answered,
        risk: Estimate { value: Some(mean), low: Some(low), high: Some(high), undefined_because: None },
        violated: Some(mean > alpha),
        clearly_violated: Some(low > alpha),
        clusters: n,
    })
}

/// The smallest risk above `mean` whose p-value is at most `level`.
fn upper(p_value: impl Fn(f64) -> f64, mean: f64, level: f64) -> f64 {
    if mean >= 1.0 { 1.0 } else { bisect(mean, 1.0, |risk| p_value(risk) <= level) }
}

/// P-value of "the mean is above `alpha`" from the sum of `n` independent losses from 0 to 1 (Bates et al.
/// 2021): the smaller of Hoeffding's, `exp(-n KL(mean, alpha))`, and Bentkus', `e P(Binomial <= ceil(sum))`.
fn hoeffding_bentkus(sum: f64, n: usize, alpha: f64) -> f64 {
    let mean = (sum / n as f64).clamp(0.0, 1.0);
    if mean >= alpha {
        return 1.0;
    }
    if alpha >= 1.0 {
        return 0.0;
    }
    let part = |a: f64, b: f64| if a > 0.0 { a * (a / b).ln() } else { 0.0 };
    let hoeffding = (-(n as f64) * (part(mean, alpha) + part(1.0 - mean, 1.0 - alpha))).exp();
    // The sum may be a hair above a whole number.
    let bentkus = std::f64::consts::E * binomial_cdf((sum - 1e-9).ceil().max(0.0) as u64, n as u64, alpha);
    hoeffding.min(bentkus).min(1.0)
}

/// Items by rising doubt, and the clusters they are in.
struct Sweep {
    /// Doubt, cluster (from 0), wrong.
    items: Vec<(f64, usize, bool)>,
    /// Number of items of each cluster.
    sizes: Vec<usize>,
}

/// What is answered at one threshold.
#[derive(Clone, Copy, Default)]
struct At {
    threshold: f64,
    /// Answered items, and clusters with any.
    items: usize,
    clusters: usize,
    /// Sum over clusters of the share wrong among their answered items.
    rate: f64,
    /// Sum over clusters of the share of their items that are answered and wrong.
    wrong_share: f64,
}

impl At {
    fn mean_rate(&self) -> f64 {
        self.rate / self.clusters as f64
    }

    fn risk(&self, promise: &Promise, clusters: usize) -> f64 {
        match promise {
            Promise::WrongAmongAnswered { .. } => self.mean_rate(),
            Promise::AnsweredAndWrong { .. } => self.wrong_share / clusters as f64,
        }
    }
}

impl Sweep {
    fn new(doubt: &[f64], wrong: &[bool], clusters: &[u32]) -> Result<Self, StatsError> {
        check::length("wrong", wrong.len(), doubt.len())?;
        check::length("clusters", clusters.len(), doubt.len())?;
        check::finite("doubt", doubt)?;
        let mut sizes = BTreeMap::new();
        clusters.iter().for_each(|&cluster| *sizes.entry(cluster).or_insert(0usize) += 1);
        let number: BTreeMap<u32, usize> = sizes.keys().enumerate().map(|(at, &cluster)| (cluster, at)).collect();
        let mut items: Vec<(f64, usize, bool)> =
            doubt.iter().zip(clusters).zip(wrong).map(|((&d, c), &w)| (d + 0.0, number[c], w)).collect();
        // By content, so that sums do not depend on the order of the items.
        items.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        Ok(Self { items, sizes: sizes.into_values().collect() })
    }

    fn independent(&self) -> bool {
        self.sizes.len() == self.items.len()
    }

    /// P-value of "the risk is above `alpha`" from the sum of the losses of `n` units.
    fn p_value(&self, sum: f64, n: usize, alpha: f64) -> f64 {
        match (n, self.independent()) {
            (0, _) => 1.0,
            (_, true) => binomial_cdf(sum.round() as u64, n as u64, alpha),
            (_, false) => hoeffding_bentkus(sum, n, alpha),
        }
    }

    /// Visit rising thresholds for as long as `visit` says to go on.
    fn each(&self, thresholds: &[f64], mut visit: impl FnMut(At) -> bool) {
        let mut counts = vec![(0usize, 0usize); self.sizes.len()];
        let mut at = At::default();
        for &threshold in thresholds {
            at.threshold = threshold;
            while let Some(&(doubt, cluster, wrong)) = self.items.get(at.items)
                && doubt <= threshold
            {
                let (answered, errors) = &mut counts[cluster];
                if *answered == 0 {
                    at.clusters += 1;
                } else {
                    at.rate -= *errors as f64 / *answered as f64;
                }
                *answered += 1;
                *errors += usize::from(wrong);
                at.rate = (at.rate + *errors as f64 / *answered as f64).max(0.0);
                if wrong {
                    at.wrong_share += 1.0 / self.sizes[cluster] as f64;
                }
                at.items += 1;
            }
            if !visit(at) {
                return;
            }
        }
    }
}
