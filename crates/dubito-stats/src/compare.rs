//! Whether two detectors differ on the same items, and what difference the data could have shown.
//!
//! | rows | AUROC | accuracy | any metric |
//! |---|---|---|---|
//! | share clusters (videos, identities) | [`auroc_clustered`] | [`accuracy_difference`] | [`paired_bootstrap`] |
//! | share donors and targets | | | [`paired_bootstrap_two_way`] |
//! | independent | [`delong`] | [`mcnemar`] | the same with a cluster for each row |
//!
//! What takes rows as independent refuses rows that are not. Many pairs of detectors: [`holm`].
//! A difference is always the first minus the second.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::bootstrap::quantile;
use crate::distributions::{binomial_cdf, binomial_half, normal_above, normal_quantile};
use crate::ranking::{Order, Ranking};
use crate::weighted::{Undefined, Weighted};
use crate::{Bootstrap, Estimate, StatsError, check};

/// A metric of two detectors on the same items.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Comparison {
    /// The first detector's value.
    pub first: Estimate,
    /// The second detector's.
    pub second: Estimate,
    /// First minus second, with its interval.
    pub difference: Estimate,
    /// Standard error of the difference, in the metric's unit.
    pub standard_error: Estimate,
    /// Two-sided p-value of "they do not differ", 0 to 1.
    pub p_value: Estimate,
    /// The smallest true difference that data like these would show at the two-sided 5 % level four times
    /// out of five, see [`smallest_detectable`].
    pub smallest_detectable: Estimate,
}

/// The smallest difference that a two-sided test at `significance` detects with probability `power`:
/// `(z(1 - significance/2) + z(power)) * standard_error`, by normal theory (the far tail is neglected), in the
/// standard error's unit; 2.80 standard errors for 5 % and 80 %. If no difference was found, one smaller than
/// this could have been missed (Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988; Bloom,
/// "Minimum Detectable Effects", Evaluation Review 19, 1995).
///
/// Errors: a standard error that is negative or not finite, `significance` or `power` not between 0 and 1, or
/// a power not above half the significance (nothing has to be detected then).
pub fn smallest_detectable(standard_error: f64, significance: f64, power: f64) -> Result<f64, StatsError> {
    check::share("significance", significance)?;
    check::share("power", power)?;
    let bad = |name, value: f64, expected| Err(StatsError::BadParameter { name, value: value.to_string(), expected });
    if !(standard_error.is_finite() && standard_error >= 0.0) {
        return bad("standard_error", standard_error, "a finite number, 0 or more");
    }
    if power <= significance / 2.0 {
        return bad("power", power, "more than half the significance");
    }
    Ok((normal_quantile(1.0 - significance / 2.0) + normal_quantile(power)) * standard_error)
}

/// Difference of any metric, by resampling whole clusters (videos or identities) for both detectors alike, so
/// that what they share cancels (Field and Welsh, "Bootstrapping Clustered Data", JRSS B 69, 2007).
///
/// `first` and `second` are the same metric of the two detectors, made of the same items in the same order;
/// `clusters` is the cluster of each. The interval is the percentile interval of the paired differences
/// (type 7); the p-value is `2 min(#(d* <= 0) + 1, #(d* >= 0) + 1) / (replicates + 1)`, at most 1 (the level at
/// which the interval would begin to hold 0; Efron and Tibshirani, "An Introduction to the Bootstrap", 1993);
/// the standard error is the standard deviation of the `d*`. Drawn as [`Bootstrap`] draws: replicate `i` uses
/// stream `i` of the seed and picks clusters by rising number, whatever the order of the items.
///
/// Undefined where the metric is for one of the detectors; without interval and p-value, with the reason,
/// where there are fewer clusters than `min_clusters` or more than 5 % of the replicates have no value. Errors:
/// bad parameters of the bootstrap.
pub fn paired_bootstrap(
    first: &dyn Weighted,
    second: &dyn Weighted,
    clusters: &[u32],
    bootstrap: &Bootstrap,
) -> Result<Comparison, StatsError> {
    let (numbers, count) = renumber(clusters);
    resampled(first, second, clusters.len(), count, bootstrap, |replicate, weights| {
        let drawn = draw(bootstrap.seed, replicate, count);
        for (weight, &cluster) in weights.iter_mut().zip(&numbers) {
            *weight = drawn[cluster];
        }
    })
}

/// As [`paired_bootstrap`], for items that depend on each other through two identities: the target (whose
/// video it is) and the donor (whose face was put in; `None` for a real video). Both are resampled, each
/// among its own kind, and an item counts as often as its target times its donor was drawn (the pigeonhole
/// bootstrap for crossed random effects; Owen, "The Pigeonhole Bootstrap", Annals of Applied Statistics 1,
/// 2007). It is somewhat conservative: what belongs to one pair alone is counted up to three times.
///
/// Targets are drawn from stream `2 i` of the seed, donors from stream `2 i + 1`. There is an interval only if
/// there are `min_clusters` targets and as many donors. Errors: as [`paired_bootstrap`], or lists of different
/// length.
pub fn paired_bootstrap_two_way(
    first: &dyn Weighted,
    second: &dyn Weighted,
    donors: &[Option<u32>],
    targets: &[u32],
    bootstrap: &Bootstrap,
) -> Result<Comparison, StatsError> {
    check::length("donors", donors.len(), targets.len())?;
    let (target_numbers, target_count) = renumber(targets);
    let known: Vec<u32> = donors.iter().flatten().copied().collect();
    let (known_numbers, donor_count) = renumber(&known);
    let mut known_numbers = known_numbers.into_iter();
    let donor_numbers: Vec<Option<usize>> =
        donors.iter().map(|donor| donor.and_then(|_| known_numbers.next())).collect();
    let fewest = target_count.min(donor_count);
    resampled(first, second, targets.len(), fewest, bootstrap, |replicate, weights| {
        let of_target = draw(bootstrap.seed, 2 * replicate, target_count);
        let of_donor = draw(bootstrap.seed, 2 * replicate + 1, donor_count);
        for ((weight, &target), donor) in weights.iter_mut().zip(&target_numbers).zip(&donor_numbers) {
            *weight = of_target[target] * donor.map_or(1, |donor| of_donor[donor]);
        }
    })
}

/// Number values from 0 by rising value; and how many different ones there are.
fn renumber(values: &[u32]) -> (Vec<usize>, usize) {
    let mut number: BTreeMap<u32, usize> = values.iter().map(|&v| (v, 0)).collect();
    number.values_mut().enumerate().for_each(|(at, number)| *number = at);
    (values.iter().map(|v| number[v]).collect(), number.len())
}

/// How often each of `count` is in a sample of as many, drawn with replacement.
fn draw(seed: u64, stream: u64, count: usize) -> Vec<u32> {
    let mut drawn = vec![0; count];
    crate::bootstrap::draw(seed, stream, &mut drawn);
    drawn
}

fn resampled(
    first: &dyn Weighted,
    second: &dyn Weighted,
    items: usize,
    clusters: usize,
    bootstrap: &Bootstrap,
    weigh: impl Fn(u64, &mut [u32]) + Sync,
) -> Result<Comparison, StatsError> {
    if !(1..=1_000_000).contains(&bootstrap.replicates) {
        let value = bootstrap.replicates.to_string();
        return Err(StatsError::BadParameter { name: "replicates", value, expected: "a number from 1 to 1000000" });
    }
    check::share("level", bootstrap.level)?;
    let ones = vec![1; items];
    let value = |metric: &dyn Weighted| match metric.value(&ones) {
        Ok(value) => Estimate::point(value),
        Err(undefined) => Estimate::undefined(words(undefined)),
    };
    let (first_value, second_value) = (value(first), value(second));
    let (Some(a), Some(b)) = (first_value.value, second_value.value) else {
        let because = [&first_value, &second_value].into_iter().find_map(|e| e.undefined_because.clone());
        return Ok(Comparison::undefined(first_value, second_value, because.unwrap_or_default()));
    };
    let mut comparison = Comparison::undefined(first_value, second_value, String::new());
    let mut without_interval = |reason: String| {
        comparison.difference =
            Estimate { value: Some(a - b), low: None, high: None, undefined_because: Some(reason.clone()) };
        for estimate in [&mut comparison.standard_error, &mut comparison.p_value, &mut comparison.smallest_detectable] {
            *estimate = Estimate::undefined(&reason);
        }
        Ok(comparison.clone())
    };
    let needed = bootstrap.min_clusters.max(2);
    if clusters < needed {
        let plural = if clusters == 1 { "" } else { "s" };
        return without_interval(format!(
            "no interval: the items come from {clusters} cluster{plural} (identities, targets or donors), an interval needs at least {needed}"
        ));
    }
    let differences: Vec<Option<f64>> = (0..bootstrap.replicates as u64)
        .into_par_iter()
        .map_init(
            || vec![0; items],
            |weights, replicate| {
                weigh(replicate, weights);
                Some(first.value(weights).ok()? - second.value(weights).ok()?)
            },
        )
        .collect();
    let mut found: Vec<f64> = differences.into_iter().flatten().collect();
    let missing = bootstrap.replicates - found.len();
    if missing * 20 > bootstrap.replicates || found.len() < 2 {
        return without_interval(format!(
            "no interval: {missing} of the {} bootstrap replicates have no value, more than 5 % (or all but one)",
            bootstrap.replicates
        ));
    }
    found.sort_by(f64::total_cmp);
    let n = found.len() as f64;
    let mean = found.iter().sum::<f64>() / n;
    let error = (found.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let count = |holds: fn(f64) -> bool| found.iter().filter(|d| holds(**d)).count() as f64 + 1.0;
    let p = (2.0 * count(|d| d <= 0.0).min(count(|d| d >= 0.0)) / (n + 1.0)).min(1.0);
    comparison.difference = Estimate {
        value: Some(a - b),
        low: Some(quantile(&found, (1.0 - bootstrap.level) / 2.0)),
        high: Some(quantile(&found, (1.0 + bootstrap.level) / 2.0)),
        undefined_because: None,
    };
    comparison.standard_error = Estimate::point(error);
    comparison.p_value = Estimate::point(p);
    comparison.smallest_detectable = detectable(error);
    Ok(comparison)
}

/// At 5 % and 80 %.
fn detectable(standard_error: f64) -> Estimate {
    match smallest_detectable(standard_error, 0.05, 0.8) {
        Ok(smallest) if smallest > 0.0 => Estimate::point(smallest),
        _ => Estimate::undefined("the standard error is 0: these items say nothing of how much it varies"),
    }
}

fn words(undefined: Undefined) -> String {
    match undefined {
        Undefined::NoItems => "there are no items".into(),
        Undefined::NoPositives => "there are no positive items".into(),
        Undefined::NoNegatives => "there are no negative items".into(),
        Undefined::NotKnown => "the items do not hold what it is computed from".into(),
        Undefined::OneClass(class) => format!("all items are of class {class}"),
        Undefined::OnePrediction(class) => format!("all items are predicted as class {class}"),
        Undefined::FewItems { found, needed } => format!("there are {found} items, {needed} are needed"),
        Undefined::FewNegatives { found, needed } => format!("there are {found} negative items, {needed} are needed"),
    }
}

impl Comparison {
    /// Nothing to compare, because.
    fn undefined(first: Estimate, second: Estimate, reason: String) -> Self {
        let none = || Estimate::undefined(&reason);
        Self { first, second, difference: none(), standard_error: none(), p_value: none(), smallest_detectable: none() }
    }

    /// From two values and their covariance matrix, by normal theory.
    fn normal(values: [f64; 2], covariance: [[f64; 2]; 2], level: f64) -> Self {
        let each = |at: usize| normal_interval(values[at], covariance[at][at].max(0.0).sqrt(), level);
        let difference = values[0] - values[1];
        let variance = covariance[0][0] + covariance[1][1] - covariance[0][1] - covariance[1][0];
        // Less than this share of the two variances is the rounding of their difference.
        let variance = if variance <= 1e-12 * (covariance[0][0] + covariance[1][1]) { 0.0 } else { variance };
        let error = variance.sqrt();
        Self {
            first: each(0),
            second: each(1),
            difference: normal_interval(difference, error, level),
            standard_error: Estimate::point(error),
            p_value: if error > 0.0 {
                Estimate::point(2.0 * normal_above(difference.abs() / error))
            } else {
                Estimate::undefined("the standard error is 0: no test is possible")
            },
            smallest_detectable: detectable(error),
        }
    }
}

/// A value with its normal interval; without one where the standard error is 0, which only says that these
/// items do not show how much it varies.
fn normal_interval(value: f64, error: f64, level: f64) -> Estimate {
    if error > 0.0 {
        let half = normal_quantile((1.0 + level) / 2.0) * error;
        return Estimate {
            value: Some(value),
            low: Some(value - half),
            high: Some(value + half),
            undefined_because: None,
        };
    }
    let mut estimate = Estimate::point(value);
    estimate.undefined_because = Some("no interval: the estimated standard error is 0".into());
    estimate
}

/// AUROCs of two detectors and their difference, for independent rows (DeLong, DeLong and Clarke-Pearson,
/// "Comparing the Areas under Two or More Correlated Receiver Operating Characteristic Curves", Biometrics
/// 44, 1988; by midranks, in the time of a sort: Sun and Xu, "Fast Implementation of DeLong's Algorithm",
/// IEEE Signal Processing Letters 21, 2014).
///
/// Scores of more meaning more likely positive, ties one half; `level` is that of the normal intervals, 0.95
/// say. The covariance has denominators m - 1 and n - 1. Undefined, with the reason, without two positives and
/// two negatives. Errors: rows that share clusters ([`StatsError::ClusteredRows`]; use [`auroc_clustered`]),
/// lists of different length, scores that are not finite, or a level not between 0 and 1.
pub fn delong(
    first: &[f64],
    second: &[f64],
    positive: &[bool],
    clusters: &[u32],
    level: f64,
) -> Result<Comparison, StatsError> {
    independent(
        "DeLong's test",
        clusters,
        positive.len(),
        "Obuchowski's method (auroc_clustered) or paired_bootstrap",
    )?;
    // With a cluster for each row, Obuchowski's covariance is DeLong's.
    auroc_clustered(first, second, positive, clusters, level)
}

/// AUROCs of two detectors and their difference, for rows that share clusters (Obuchowski, "Nonparametric
/// Analysis of Clustered ROC Curve Data", Biometrics 53, 1997). A cluster may hold positives, negatives or
/// both; with one row each it is [`delong`].
///
/// Conventions as [`delong`]. Undefined, with the reason, where fewer than two clusters hold positives or
/// fewer than two hold negatives: there is nothing to estimate the variance between clusters from. Errors:
/// lists of different length, scores that are not finite, or a level not between 0 and 1.
pub fn auroc_clustered(
    first: &[f64],
    second: &[f64],
    positive: &[bool],
    clusters: &[u32],
    level: f64,
) -> Result<Comparison, StatsError> {
    check::share("level", level)?;
    for (name, scores) in [("first", first), ("second", second)] {
        check::length(name, scores.len(), positive.len())?;
        check::finite(name, scores)?;
    }
    check::length("clusters", clusters.len(), positive.len())?;
    let (numbers, count) = renumber(clusters);
    // Items of each cluster by class: [negatives, positives].
    let mut sizes = vec![[0.0; 2]; count];
    for (&cluster, &positive) in numbers.iter().zip(positive) {
        sizes[cluster][usize::from(positive)] += 1.0;
    }
    let total = |class: usize| sizes.iter().map(|size| size[class]).sum::<f64>();
    let holding = |class: usize| sizes.iter().filter(|size| size[class] > 0.0).count();
    for (class, name) in [(1, "positive"), (0, "negative")] {
        if holding(class) < 2 {
            let reason = format!(
                "{} clusters hold {name} items, the variance of an AUROC needs two or more with positives and two or more with negatives",
                holding(class)
            );
            return Ok(Comparison::undefined(Estimate::undefined(&reason), Estimate::undefined(&reason), reason));
        }
    }
    let (negatives, positives) = (total(0), total(1));
    // For each detector its AUROC and, for each cluster and class, the sum of its items' shares of pairs won,
    // less what would be expected.
    let placements = [first, second].map(|scores| {
        let shares = placements(scores, positive);
        let auroc = {
            // Twice the pairs won, in whole numbers: no rounding, whatever the order.
            let won: u64 = shares.iter().zip(positive).filter(|(_, p)| **p).map(|(twice, _)| twice).sum();
            won as f64 / 2.0 / (positives * negatives)
        };
        let mut won = vec![[0u64; 2]; count];
        for ((&cluster, &positive), &twice) in numbers.iter().zip(positive).zip(&shares) {
            won[cluster][usize::from(positive)] += twice;
        }
        let excess: Vec<[f64; 2]> = won
            .iter()
            .zip(&sizes)
            .map(|(won, size)| {
                [won[0] as f64 / 2.0 / positives - size[0] * auroc, won[1] as f64 / 2.0 / negatives - size[1] * auroc]
            })
            .collect();
        (auroc, excess)
    });
    let product = |r: usize, s: usize, x: usize, y: usize| -> f64 {
        placements[r].1.iter().zip(&placements[s].1).map(|(a, b)| a[x] * b[y]).sum()
    };
    let correction = |clusters: usize| clusters as f64 / (clusters as f64 - 1.0);
    let covariance = |r: usize, s: usize| {
        let own = correction(holding(1)) * product(r, s, 1, 1) / (positives * positives)
            + correction(holding(0)) * product(r, s, 0, 0) / (negatives * negatives);
        own + correction(count) * (product(r, s, 1, 0) + product(r, s, 0, 1)) / (positives * negatives)
    };
    let matrix = [[covariance(0, 0), covariance(0, 1)], [covariance(1, 0), covariance(1, 1)]];
    Ok(Comparison::normal([placements[0].0, placements[1].0], matrix, level))
}

/// For each item twice the number of items of the other class that it wins against (a positive by the higher
/// score, a negative by the lower one), ties one half.
fn placements(scores: &[f64], positive: &[bool]) -> Vec<u64> {
    let ranking = Ranking::new(scores, positive);
    // Of each block of ties, what is above it and in it.
    let (mut sorted, mut blocks) = (Vec::new(), Vec::new());
    let (mut positives, mut negatives) = (0u64, 0u64);
    ranking.curve(None, Order::Falling).blocks(|block| {
        sorted.push(block.score);
        blocks.push((positives, negatives, block.hits, block.others));
        positives += block.hits;
        negatives += block.others;
    });
    scores
        .iter()
        .zip(positive)
        .map(|(&score, &positive)| {
            let (above, above_negatives, p, n) = blocks[sorted.partition_point(|&s| s > score)];
            if positive { 2 * (negatives - above_negatives - n) + n } else { 2 * above + p }
        })
        .collect()
}

/// The two p-values of McNemar's test, and what they are made of.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct McNemar {
    /// Items that only the first detector predicted right.
    pub only_first: usize,
    /// Items that only the second predicted right.
    pub only_second: usize,
    /// Exact two-sided p-value: twice the binomial tail of the smaller count, at most 1. Never too small,
    /// often too large.
    pub exact: f64,
    /// The mid-p value, which counts the observed table half: closer to the level (Fagerland, Lydersen and
    /// Laake, "The McNemar Test for Binary Matched-Pairs Data: Mid-p and Asymptotic Are Better Than Exact
    /// Conditional", BMC Medical Research Methodology 13, 2013).
    pub mid_p: f64,
}

/// Whether two detectors are right equally often, for independent rows, from the items where one of them is
/// right and the other wrong (McNemar, "Note on the Sampling Error of the Difference between Correlated
/// Proportions or Percentages", Psychometrika 12, 1947). Without such items nothing speaks for a difference
/// and both p-values are 1.
///
/// Errors: rows that share clusters ([`StatsError::ClusteredRows`]; use [`accuracy_difference`]), or lists of
/// different length.
pub fn mcnemar(first_correct: &[bool], second_correct: &[bool], clusters: &[u32]) -> Result<McNemar, StatsError> {
    check::length("second_correct", second_correct.len(), first_correct.len())?;
    independent("McNemar's test", clusters, first_correct.len(), "accuracy_difference or paired_bootstrap")?;
    let count =
        |a: bool, b: bool| first_correct.iter().zip(second_correct).filter(|(x, y)| (**x, **y) == (a, b)).count();
    let (only_first, only_second) = (count(true, false), count(false, true));
    let (fewer, all) = (only_first.min(only_second) as u64, (only_first + only_second) as u64);
    let twice = 2.0 * binomial_cdf(fewer, all, 0.5);
    Ok(McNemar {
        only_first,
        only_second,
        exact: twice.min(1.0),
        mid_p: if all == 0 { 1.0 } else { (twice - binomial_half(fewer, all)).min(1.0) },
    })
}

/// Accuracies of two detectors and their difference, for rows that share clusters or not: normal theory with
/// the cluster-robust covariance of a mean, `C / (C - 1)` times the sum over the `C` clusters of the product of
/// summed deviations, over `n^2` (Liang and Zeger, "Longitudinal Data Analysis Using Generalized Linear
/// Models", Biometrika 73, 1986). Good from some twenty clusters on; for few, [`paired_bootstrap`] says no
/// more, and for independent rows [`mcnemar`] is exact.
///
/// `level` is that of the intervals. Undefined, with the reason, below two clusters. Errors: lists of different
/// length, or a level not between 0 and 1.
pub fn accuracy_difference(
    first_correct: &[bool],
    second_correct: &[bool],
    clusters: &[u32],
    level: f64,
) -> Result<Comparison, StatsError> {
    check::share("level", level)?;
    check::length("second_correct", second_correct.len(), first_correct.len())?;
    check::length("clusters", clusters.len(), first_correct.len())?;
    let (numbers, count) = renumber(clusters);
    if count < 2 {
        let reason = format!("the items come from {count} clusters, a variance needs two or more");
        return Ok(Comparison::undefined(Estimate::undefined(&reason), Estimate::undefined(&reason), reason));
    }
    let n = first_correct.len() as f64;
    let means = [first_correct, second_correct].map(|correct| correct.iter().filter(|&&c| c).count() as f64 / n);
    let mut sums = vec![[0.0; 3]; count]; // right by the first, by the second, items
    for (at, &cluster) in numbers.iter().enumerate() {
        let row = [first_correct[at], second_correct[at], true].map(|b| f64::from(u8::from(b)));
        sums[cluster].iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    let excess = |sum: &[f64; 3], r: usize| sum[r] - sum[2] * means[r];
    let scale = count as f64 / (count as f64 - 1.0) / (n * n);
    let covariance = |r: usize, s: usize| scale * sums.iter().map(|sum| excess(sum, r) * excess(sum, s)).sum::<f64>();
    let matrix = [[covariance(0, 0), covariance(0, 1)], [covariance(1, 0), covariance(1, 1)]];
    Ok(Comparison::normal(means, matrix, level))
}

/// Holm's adjusted p-values, in the order given: a pair differs at level `a`, with all pairs taken together, if
/// its adjusted value is at most `a` (Holm, "A Simple Sequentially Rejective Multiple Test Procedure",
/// Scandinavian Journal of Statistics 6, 1979). Valid however the tests depend on each other. Errors: a p-value
/// that is no number from 0 to 1.
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>, StatsError> {
    check::probabilities("p_values", p_values)?;
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let (mut adjusted, mut largest) = (vec![0.0; p_values.len()], 0.0f64);
    for (rank, &at) in order.iter().enumerate() {
        largest = largest.max(((p_values.len() - rank) as f64 * p_values[at]).min(1.0));
        adjusted[at] = largest;
    }
    Ok(adjusted)
}

/// That no two rows share a cluster.
fn independent(method: &'static str, clusters: &[u32], items: usize, instead: &'static str) -> Result<(), StatsError> {
    check::length("clusters", clusters.len(), items)?;
    let count = check::count_distinct(clusters);
    if count == items { Ok(()) } else { Err(StatsError::ClusteredRows { method, items, clusters: count, instead }) }
}
