//! Whether doubt rises on what the detector never saw (unseen generators), and whether it is highest
//! where the detector is worst.
//!
//! [`detects_unseen`] takes one doubt for each item and asks how well it tells unseen from seen, [`unseen_doubt`] also by
//! how much it rises, both with intervals;
//! [`by_group`] and [`correlation`] ask whether the mean doubt of a generator follows its accuracy, [`rank_correlation`] how
//! sure that is over people.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::discrimination::{auroc, average_precision};
use crate::probability::SignedSum;
use crate::ranking::{Curve, Order, Ranking};
use crate::weighted::{Undefined, Weighted};
use crate::{Bootstrap, Estimate, StatsError, check};

/// False positive rate at a true positive rate of at least `tpr`: over the thresholds (the distinct
/// scores, an item is called positive at its score or above) that find at least that share of the
/// positives, the smallest share of the negatives that is called positive too; 0 to 1, smaller is better.
/// Nothing is interpolated and items of equal score are called together, so it does not depend on
/// their order (Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution
/// Examples in Neural Networks", ICLR 2017; FPR95 of Liang, Li and Srikant, "Enhancing the Reliability
/// of Out-of-Distribution Image Detection in Neural Networks", ICLR 2018). Needs positives and negatives.
pub struct FprAtTpr {
    ranking: Ranking,
    tpr: f64,
}

impl FprAtTpr {
    /// Of these scores (higher means more likely positive); `tpr` above 0, at most 1.
    pub fn new(scores: &[f64], positive: &[bool], tpr: f64) -> Self {
        Self { ranking: Ranking::new(scores, positive), tpr }
    }
}

impl Weighted for FprAtTpr {
    fn value(&self, weights: &[u32]) -> Result<f64, Undefined> {
        fpr_at_tpr(&self.ranking.curve(Some(weights), Order::Falling), self.tpr)
    }
}

/// [`FprAtTpr`] of a curve that falls with the score.
fn fpr_at_tpr(curve: &Curve, tpr: f64) -> Result<f64, Undefined> {
    let (positives, negatives) = curve.both()?;
    let (mut found, mut alarms, mut at) = (0u64, 0u64, None);
    curve.blocks(|block| {
        found += block.hits;
        alarms += block.others;
        if at.is_none() && found as f64 / positives as f64 >= tpr {
            at = Some(alarms);
        }
    });
    Ok(at.unwrap_or(negatives) as f64 / negatives as f64)
}

/// How well one doubt tells what the detector never saw from what it knows.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct UnseenDetection {
    /// Probability that an unseen item has the higher doubt of an unseen and a seen one, ties one half,
    /// 0 to 1; guessing gives 0.5. [`auroc`].
    pub auroc: Estimate,
    /// Average precision with the unseen as positive, 0 to 1; guessing gives the share of the unseen.
    /// [`average_precision`].
    pub average_precision: Estimate,
    /// Share of the seen that is taken for unseen where 95 % of the unseen are found, 0 to 1; guessing
    /// gives 0.95. [`FprAtTpr`].
    pub fpr_at_95_tpr: Estimate,
    /// Number of seen items.
    pub seen: usize,
    /// Number of unseen items.
    pub unseen: usize,
}

/// Detection of unseen items by their doubt (any column of which more means more doubtful).
///
/// Values without intervals: for those, resample [`Auroc`](crate::discrimination::Auroc) and [`FprAtTpr`].
/// Undefined without seen or without unseen items. Errors: lists of different length, or a doubt that
/// is not finite.
pub fn detects_unseen(doubt: &[f64], unseen: &[bool]) -> Result<UnseenDetection, StatsError> {
    check::length("unseen", unseen.len(), doubt.len())?;
    check::finite("doubt", doubt)?;
    let ranking = Ranking::new(doubt, unseen);
    let curve = ranking.curve(None, Order::Falling);
    let estimate = |value: Result<f64, Undefined>| match value {
        Ok(value) => Estimate::point(value),
        Err(Undefined::NoItems) => Estimate::undefined("there are no items"),
        Err(Undefined::NoPositives) => Estimate::undefined("no item is unseen: detection needs seen and unseen items"),
        Err(_) => Estimate::undefined("every item is unseen: detection needs seen and unseen items"),
    };
    let count = unseen.iter().filter(|&&u| u).count();
    Ok(UnseenDetection {
        auroc: estimate(auroc(&curve)),
        average_precision: estimate(average_precision(&curve)),
        fpr_at_95_tpr: estimate(fpr_at_tpr(&curve, 0.95)),
        seen: unseen.len() - count,
        unseen: count,
    })
}

/// What an item is to a detector that some generators were kept from.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Real.
    Real,
    /// A fake by a generator that the detector learned from.
    SeenFake,
    /// A fake by a generator that it never saw.
    UnseenFake,
}

/// One doubt on the fakes of unseen generators, beside that on what the detector knows.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct UnseenDoubt {
    /// Mean doubt on unseen fakes, in the doubt's own unit.
    pub unseen: Estimate,
    /// Mean doubt on seen fakes.
    pub seen_fakes: Estimate,
    /// The first minus the second: above 0 where doubt rises on what was never seen.
    pub difference: Estimate,
    /// How well the doubt tells unseen fakes from all that is seen, reals among it.
    pub detection: UnseenDetection,
}

/// [`detects_unseen`] and the means that go with it, with intervals from resampled `clusters`, the same draws for every
/// number (see [`bootstrap`](crate::bootstrap)).
///
/// Means are undefined without items to take them of. The same bits in whatever order the items come. Errors: lists of
/// different length, a doubt that is not finite or not below 1e6 in size, bad parameters of the bootstrap.
pub fn unseen_doubt(
    doubt: &[f64],
    kinds: &[Kind],
    clusters: &[u32],
    bootstrap: Option<&Bootstrap>,
) -> Result<UnseenDoubt, StatsError> {
    check::length("kinds", kinds.len(), doubt.len())?;
    check::length("clusters", clusters.len(), doubt.len())?;
    if let Some(value) = doubt.iter().find(|d| d.abs() >= 1e6) {
        let value = value.to_string();
        return Err(StatsError::BadParameter { name: "doubt", value, expected: "a number below 1e6 in size" });
    }
    let is_unseen: Vec<bool> = kinds.iter().map(|&kind| kind == Kind::UnseenFake).collect();
    let mut detection = detects_unseen(doubt, &is_unseen)?;
    let ranking = Ranking::new(doubt, &is_unseen);
    let mean = |of: Kind, weights: Option<&[u32]>| -> Option<f64> {
        let (mut sum, mut total) = (SignedSum::default(), 0u64);
        for (i, (&doubt, _)) in doubt.iter().zip(kinds).enumerate().filter(|(_, (_, kind))| **kind == of) {
            let weight = weights.map_or(1, |weights| u64::from(weights[i]));
            sum.add(doubt, weight);
            total += weight;
        }
        (total > 0).then(|| sum.value() / total as f64)
    };
    let means = |weights: Option<&[u32]>| {
        let (unseen, seen) = (mean(Kind::UnseenFake, weights), mean(Kind::SeenFake, weights));
        [unseen, seen, unseen.zip(seen).map(|(unseen, seen)| unseen - seen)]
    };
    let why = |kind: usize| match kind {
        0 => "there are no fakes of unseen generators",
        1 => "there are no fakes of seen generators",
        _ => "the difference needs fakes of seen and of unseen generators",
    };
    let point = |(at, value): (usize, Option<f64>)| value.map_or_else(|| Estimate::undefined(why(at)), Estimate::point);
    let mut estimates: Vec<Estimate> = means(None).into_iter().enumerate().map(point).collect();
    estimates.extend([&detection.auroc, &detection.average_precision, &detection.fpr_at_95_tpr].map(Clone::clone));
    if let Some(bootstrap) = bootstrap {
        bootstrap.check()?;
        let replicate = |weights: &[u32]| -> Vec<Option<f64>> {
            let curve = ranking.curve(Some(weights), Order::Falling);
            let of_curve = [auroc(&curve), average_precision(&curve), fpr_at_tpr(&curve, 0.95)];
            means(Some(weights)).into_iter().chain(of_curve.map(Result::ok)).collect()
        };
        bootstrap.intervals(clusters, &replicate, &mut estimates);
    }
    let mut next = estimates.into_iter();
    let mut take = || next.next().unwrap_or_else(|| Estimate::undefined("not computed"));
    let (unseen, seen_fakes, difference) = (take(), take(), take());
    (detection.auroc, detection.average_precision, detection.fpr_at_95_tpr) = (take(), take(), take());
    Ok(UnseenDoubt { unseen, seen_fakes, difference, detection })
}

/// Mean doubt and accuracy of one group of items, for example of one generator.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct GroupDoubt {
    /// The group's number.
    pub group: u32,
    /// Number of its items.
    pub items: usize,
    /// Mean doubt of its items, in the doubt's own unit.
    pub doubt: f64,
    /// Share of its items that were predicted right, 0 to 1.
    pub accuracy: f64,
}

/// Mean doubt and accuracy of each group, by rising group. Errors: lists of different length, or a
/// doubt that is not finite.
pub fn by_group(doubt: &[f64], correct: &[bool], groups: &[u32]) -> Result<Vec<GroupDoubt>, StatsError> {
    check::length("correct", correct.len(), doubt.len())?;
    check::length("groups", groups.len(), doubt.len())?;
    check::finite("doubt", doubt)?;
    let mut rows: Vec<(u32, f64, bool)> =
        groups.iter().zip(doubt).zip(correct).map(|((&group, &doubt), &correct)| (group, doubt, correct)).collect();
    // By content, so that the sums do not depend on the order of the items.
    rows.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    Ok(rows
        .chunk_by(|a, b| a.0 == b.0)
        .map(|rows| GroupDoubt {
            group: rows[0].0,
            items: rows.len(),
            doubt: rows.iter().map(|row| row.1).sum::<f64>() / rows.len() as f64,
            accuracy: rows.iter().filter(|row| row.2).count() as f64 / rows.len() as f64,
        })
        .collect())
}

/// A correlation with its p-value.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Correlation {
    /// The coefficient, -1 to 1.
    pub value: Estimate,
    /// Two-sided permutation p-value: the share of the pairings of the two lists whose coefficient is at
    /// least as far from 0, above 0 and at most 1.
    pub p_value: Estimate,
    /// Whether the p-value counts every pairing; otherwise 9,999 random ones and the one observed.
    pub exact: bool,
}

/// Three correlations of the same pairs.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Correlations {
    /// Pearson's product-moment correlation: how near the pairs are to a straight line.
    pub pearson: Correlation,
    /// Spearman's rank correlation (Pearson's of the midranks): how near they are to any rising curve.
    pub spearman: Correlation,
    /// Kendall's tau-b: pairs of groups in the same order less those in opposite order, corrected for
    /// ties (Kendall, "The Treatment of Ties in Ranking Problems", Biometrika 33, 1945).
    pub kendall: Correlation,
    /// Number of pairs.
    pub groups: usize,
}

/// Up to this many pairs every one of the `n!` pairings is counted (9! is 362,880).
const EXACT_UP_TO: usize = 9;

/// Random pairings where there are more pairs than that.
const RANDOM_PAIRINGS: u64 = 9_999;

/// Correlation of mean doubt and accuracy over groups (generators), one pair for each group. A doubt
/// that knows where the detector fails has a correlation near -1.
///
/// The p-values are permutation tests (Pitman, "Significance Tests Which May Be Applied to Samples from
/// Any Populations II", JRSS Supplement 4, 1937): exact up to nine groups, from 9,999 random pairings
/// drawn with `seed` above. With three groups the smallest possible is 1/3, with four 1/12: few
/// generators cannot show much. Groups count the same however many items they have.
///
/// Undefined below three groups, and where one of the lists is constant. Errors: lists of different
/// length, or a number that is not finite. The same bits in whatever order the groups come.
pub fn correlation(doubt: &[f64], accuracy: &[f64], seed: u64) -> Result<Correlations, StatsError> {
    check::length("accuracy", accuracy.len(), doubt.len())?;
    check::finite("doubt", doubt)?;
    check::finite("accuracy", accuracy)?;
    let groups = doubt.len();
    let constant = |values: &[f64]| values.iter().all(|v| *v == values[0]);
    let reason = if groups < 3 {
        let plural = if groups == 1 { "" } else { "s" };
        Some(format!("there are {groups} group{plural} (generators), a correlation needs three or more"))
    } else if constant(doubt) {
        Some("the doubt is the same in every group: it cannot go with anything".into())
    } else if constant(accuracy) {
        Some("the accuracy is the same in every group: there is nothing to go with".into())
    } else {
        None
    };
    if let Some(reason) = reason {
        let none = Correlation {
            value: Estimate::undefined(&reason),
            p_value: Estimate::undefined(&reason),
            exact: groups <= EXACT_UP_TO,
        };
        return Ok(Correlations { pearson: none.clone(), spearman: none.clone(), kendall: none, groups });
    }
    let mut pairs: Vec<(f64, f64)> = doubt.iter().zip(accuracy).map(|(d, a)| (d + 0.0, a + 0.0)).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    let statistics = [
        Standardised::pearson(&x, &y),
        Standardised::pearson(&midranks(&x), &midranks(&y)),
        Standardised::kendall(&x, &y),
    ];
    let mut order: Vec<usize> = (0..groups).collect();
    let observed = statistics.each_ref().map(|s| s.of(&order));
    let (mut extreme, mut pairings) = ([0u64; 3], 0u64);
    let mut count = |order: &[usize]| {
        pairings += 1;
        for ((statistic, observed), extreme) in statistics.iter().zip(observed).zip(&mut extreme) {
            // Pairings that are equal but for rounding count as equal.
            *extreme += u64::from(statistic.of(order).abs() >= observed.abs() - 1e-12);
        }
    };
    if groups <= EXACT_UP_TO {
        each_permutation(&mut order, &mut count);
    } else {
        count(&order);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..RANDOM_PAIRINGS {
            for at in (1..groups).rev() {
                let other = (u128::from(random.next_u64()) * (at as u128 + 1)) >> 64;
                order.swap(at, other as usize);
            }
            count(&order);
        }
    }
    let result = |at: usize| Correlation {
        value: Estimate::point(observed[at].clamp(-1.0, 1.0)),
        p_value: Estimate::point(extreme[at] as f64 / pairings as f64),
        exact: groups <= EXACT_UP_TO,
    };
    Ok(Correlations { pearson: result(0), spearman: result(1), kendall: result(2), groups })
}

/// Spearman's rank correlation over groups (generators) of their items' mean doubt and accuracy, -1 to 1, with an interval
/// from resampled `clusters` (people): how sure the correlation is, given these generators. The p-value of
/// [`correlation`] asks another thing: whether so few generators could pair by chance.
///
/// Each replicate takes the groups' means anew, of the items drawn; one in which a group has no items, or all groups the
/// same mean, has no value. `correct` may be any number of each item, of which the mean is meant (an accuracy, a fall of
/// accuracy). Undefined below three groups, and where all means are the same. Errors: lists of different length, a number
/// that is not finite, bad parameters of the bootstrap. The same bits in whatever order the items come.
pub fn rank_correlation(
    doubt: &[f64],
    correct: &[f64],
    groups: &[u32],
    clusters: &[u32],
    bootstrap: &Bootstrap,
) -> Result<Estimate, StatsError> {
    check::length("correct", correct.len(), doubt.len())?;
    check::length("groups", groups.len(), doubt.len())?;
    check::length("clusters", clusters.len(), doubt.len())?;
    for (name, values) in [("doubt", doubt), ("correct", correct)] {
        check::finite(name, values)?;
        if let Some(value) = values.iter().find(|v| v.abs() >= 1e6) {
            let value = value.to_string();
            return Err(StatsError::BadParameter { name, value, expected: "numbers below 1e6 in size" });
        }
    }
    bootstrap.check()?;
    let mut names = groups.to_vec();
    names.sort_unstable();
    names.dedup();
    if names.len() < 3 {
        let reason = format!("there are {} groups (generators), a correlation needs three or more", names.len());
        return Ok(Estimate::undefined(reason));
    }
    let place: Vec<usize> = groups.iter().map(|group| names.partition_point(|name| name < group)).collect();
    let value = |weights: &[u32]| -> Option<f64> {
        let mut sums = vec![(SignedSum::default(), SignedSum::default(), 0u64); names.len()];
        for (i, &weight) in weights.iter().enumerate() {
            let (of_doubt, of_correct, count) = &mut sums[place[i]];
            of_doubt.add(doubt[i], weight.into());
            of_correct.add(correct[i], weight.into());
            *count += u64::from(weight);
        }
        if sums.iter().any(|(_, _, count)| *count == 0) {
            return None;
        }
        let mean = |sum: &SignedSum, count: u64| sum.value() / count as f64;
        let x: Vec<f64> = sums.iter().map(|(sum, _, count)| mean(sum, *count)).collect();
        let y: Vec<f64> = sums.iter().map(|(_, sum, count)| mean(sum, *count)).collect();
        let constant = |values: &[f64]| values.iter().all(|v| *v == values[0]);
        if constant(&x) || constant(&y) {
            return None;
        }
        let order: Vec<usize> = (0..names.len()).collect();
        Some(Standardised::pearson(&midranks(&x), &midranks(&y)).of(&order).clamp(-1.0, 1.0))
    };
    let Some(point) = value(&vec![1; doubt.len()]) else {
        return Ok(Estimate::undefined("all groups (generators) have the same mean doubt, or the same accuracy"));
    };
    let mut estimate = [Estimate::point(point)];
    bootstrap.intervals(clusters, &|weights| vec![value(weights)], &mut estimate);
    let [estimate] = estimate;
    Ok(estimate)
}

/// A correlation as a sum of products: `sum_k x_k y_order(k)` of standardised values (Pearson), or of the
/// signs of all differences (Kendall).
struct Standardised {
    x: Vec<f64>,
    y: Vec<f64>,
    /// Whether `x` and `y` are `[groups, groups]` signs of differences.
    pairs: bool,
}

impl Standardised {
    fn pearson(x: &[f64], y: &[f64]) -> Self {
        let standardise = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let norm = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>().sqrt();
            values.iter().map(|v| (v - mean) / norm).collect()
        };
        Self { x: standardise(x), y: standardise(y), pairs: false }
    }

    fn kendall(x: &[f64], y: &[f64]) -> Self {
        let signs = |values: &[f64]| {
            let sign = |a: f64, b: f64| if a > b { 1.0 } else { f64::from(-i8::from(a < b)) };
            let all: Vec<f64> = values.iter().flat_map(|&a| values.iter().map(move |&b| sign(a, b))).collect();
            let norm = all.iter().map(|s| s * s).sum::<f64>().sqrt();
            all.into_iter().map(|s| s / norm).collect()
        };
        Self { x: signs(x), y: signs(y), pairs: true }
    }

    /// The coefficient where the `k`-th `x` goes with the `order[k]`-th `y`.
    fn of(&self, order: &[usize]) -> f64 {
        if !self.pairs {
            return self.x.iter().zip(order).map(|(x, &k)| x * self.y[k]).sum();
        }
        let rows = self.x.chunks_exact(order.len()).zip(order);
        rows.map(|(x, &i)| x.iter().zip(order).map(|(x, &j)| x * self.y[i * order.len() + j]).sum::<f64>()).sum()
    }
}

/// Ranks from 1, ties sharing their mean rank; `values` are any finite numbers.
fn midranks(values: &[f64]) -> Vec<f64> {
    values
        .iter()
        .map(|v| {
            let below = values.iter().filter(|other| *other < v).count();
            let equal = values.iter().filter(|other| *other == v).count();
            below as f64 + (equal as f64 + 1.0) / 2.0
        })
        .collect()
}

/// Call `visit` with every permutation of `order` (Heap, "Permutations by Interchanges", The Computer
/// Journal 6, 1963).
fn each_permutation(order: &mut [usize], visit: &mut impl FnMut(&[usize])) {
    let mut counters = vec![0; order.len()];
    visit(order);
    let mut at = 1;
    while at < order.len() {
        if counters[at] < at {
            order.swap(if at % 2 == 0 { 0 } else { counters[at] }, at);
            visit(order);
            counters[at] += 1;
            at = 1;
        } else {
            counters[at] = 0;
            at += 1;
        }
    }
}
