//! Known values; and what the decisions, ratios and comparisons say to input that defines nothing or is wrong.
#![allow(clippy::unwrap_used)]

use dubito_stats::compare::{
    accuracy_difference, auroc_clustered, delong, holm, mcnemar, paired_bootstrap, paired_bootstrap_two_way,
    smallest_detectable,
};
use dubito_stats::conformal::{Conformal, Items, Score, Strata, Unit, coverage_interval, fewest_units, set_quality};
use dubito_stats::discrimination::Auroc;
use dubito_stats::forensic::{
    CllrMin, Favours, LARGEST_LOG10_LR, LikelihoodRatios, Limits, Recalibration, empirical_cross_entropy,
    forensic_cost, limits, tippett, verbal,
};
use dubito_stats::guarantee::{Promise, abstention, clopper_pearson, fewest_answers, observed};
use dubito_stats::unseen::{by_group, correlation, detects_unseen};
use dubito_stats::weighted::{Mean, Weighted};
use dubito_stats::{Bootstrap, Estimate, StatsError};

const NAN: f64 = f64::NAN;

fn reason(estimate: &Estimate) -> &str {
    assert_eq!((estimate.value, estimate.low, estimate.high), (None, None, None));
    estimate.undefined_because.as_deref().unwrap()
}

fn near(found: f64, want: f64) {
    assert!((found - want).abs() < 1e-12, "{found}, expected {want}");
}

#[test]
fn a_ratio_of_one_costs_one_bit() {
    let fake = [true, false, false];
    let cost = forensic_cost(&[0.0; 3], &fake).unwrap();
    assert_eq!((cost.cllr.value, cost.cllr_min.value, cost.cllr_cal.value), (Some(1.0), Some(1.0), Some(0.0)));
    assert_eq!((cost.misleading_fakes.value, cost.misleading_reals.value), (Some(0.0), Some(0.0)));
    let curve = empirical_cross_entropy(&[0.0; 3], &fake, &[-3.0, 0.0, 1.0]).unwrap().unwrap();
    for point in &curve {
        near(point.system, point.reference);
        near(point.ideal, point.reference);
    }
    near(curve[1].reference, 1.0);
}

#[test]
fn infinite_ratios_cost_nothing_or_a_lot_but_not_infinity() {
    let (up, down) = (f64::INFINITY, f64::NEG_INFINITY);
    let right = forensic_cost(&[up, down], &[true, false]).unwrap();
    assert!(right.cllr.value.unwrap() < 1e-12);
    assert_eq!(right.cllr_min.value, Some(0.0));
    let wrong = forensic_cost(&[down, up], &[true, false]).unwrap();
    near(wrong.cllr.value.unwrap(), LARGEST_LOG10_LR * std::f64::consts::LOG2_10);
    assert_eq!((wrong.cllr_min.value, wrong.misleading_reals.value), (Some(1.0), Some(1.0)));
}

#[test]
fn weights_count_as_copies() {
    let (lr, fake) = ([2.0, 0.5, -0.5, 0.5, -1.0, 1.0], [true, true, true, false, false, false]);
    let weights = [1, 2, 0, 3, 1, 1];
    let copies = || weights.iter().enumerate().flat_map(|(at, &times)| std::iter::repeat_n(at, times as usize));
    let (lr2, fake2): (Vec<f64>, Vec<bool>) = copies().map(|at| (lr[at], fake[at])).unzip();
    let copied = forensic_cost(&lr2, &fake2).unwrap();
    let cllr = dubito_stats::forensic::Cllr::new(&lr, &fake).value(&weights).unwrap();
    near(cllr, copied.cllr.value.unwrap());
    near(CllrMin::new(&lr, &fake).value(&weights).unwrap(), copied.cllr_min.value.unwrap());
    assert!(CllrMin::new(&lr, &fake).value(&[0, 0, 0, 1, 1, 1]).is_err());
}

#[test]
fn words_go_no_further_than_the_data() {
    let far = Limits { low: -9.0, high: 9.0, fakes: 1_000_000_000, reals: 1_000_000_000 };
    for (lr, favours, support) in [
        (0.0, Favours::Neither, "no"),
        (1.99f64.log10(), Favours::Neither, "no"),
        (2f64.log10(), Favours::Fake, "weak"),
        (9.99f64.log10(), Favours::Fake, "weak"),
        (10f64.log10(), Favours::Fake, "moderate"),
        (2.0, Favours::Fake, "moderately strong"),
        (3.0, Favours::Fake, "strong"),
        (4.0, Favours::Fake, "very strong"),
        (5.999, Favours::Fake, "very strong"),
        (6.0, Favours::Fake, "extremely strong"),
        (-0.2, Favours::Neither, "no"),
        (-1.5, Favours::Real, "moderate"),
    ] {
        let found = verbal(lr, &far).unwrap();
        assert_eq!((found.favours, found.support.as_str(), found.limited), (favours, support, false), "{lr}");
    }
    let near = Limits { low: -1.2, high: 2.3, fakes: 30, reals: 250 };
    let found = verbal(f64::INFINITY, &near).unwrap();
    assert_eq!((found.support.as_str(), found.limited, found.log10_lr), ("moderately strong", true, 2.3));
    assert!(found.text.contains("250 real validation units"), "{}", found.text);
    let found = verbal(-5.0, &near).unwrap();
    assert_eq!((found.support.as_str(), found.favours), ("moderate", Favours::Real));
    assert!(found.text.contains("30 fake"), "{}", found.text);
    assert!(verbal(NAN, &near).is_err());
}

/// As the bootstrap of any other mean over clusters.
fn clusters_have_a_resampled_interval() {
    let (items, clusters): (usize, Vec<u32>) = (60, (0..60).map(|i| i / 4).collect());
    let labels = vec![0; items];
    let covered = |i: usize| !i.is_multiple_of(7) && i / 4 != 3;
    let sets: Vec<bool> = (0..items).flat_map(|i| [covered(i), true]).collect();
    let bootstrap = dubito_stats::Bootstrap { replicates: 400, ..Default::default() };
    let found = &set_quality(&sets, 2, &labels, &clusters, &[], Some(&bootstrap)).unwrap()[0].coverage;
    let mut same = dubito_stats::Items::new(&dubito_stats::Task::binary()).unwrap();
    // Accuracy is the share of the right ones, which are those that are covered.
    for (i, &cluster) in clusters.iter().enumerate() {
        let probs = if covered(i) { [0.9, 0.1] } else { [0.1, 0.9] };
        same.push_parts(0, &probs, [0.0; 4], cluster).unwrap();
    }
    assert_eq!(*found, dubito_stats::metrics_of(&same, Some(&bootstrap)).unwrap()["accuracy"]);
    // SciPy: beta.ppf(.025, 15, 1).
    let all = vec![true; 2 * items];
    let full = &set_quality(&all, 2, &labels, &clusters, &[], Some(&bootstrap)).unwrap()[0].coverage;
    assert!((full.low.unwrap() - 0.781_980_6).abs() < 1e-6 && full.high == Some(1.0), "{full:?}");
    let bad = dubito_stats::Bootstrap { replicates: 0, ..bootstrap };
    assert!(set_quality(&all, 2, &labels, &clusters, &[], Some(&bad)).is_err());
}

#[test]
fn limits_stay_below_the_number_of_units() {
    // A perfect system: 99 reals support an LR of 100 times the share of fakes above.
    let lr: Vec<f64> = (0..149).map(|at| if at < 99 { -20.0 } else { 20.0 }).collect();
    let fake: Vec<bool> = (0..149).map(|at| at >= 99).collect();
    let single: Vec<u32> = (0..149).collect();
    let found = limits(&lr, &fake, &single).unwrap();
    near(found.high, (100.0f64 * 50.0 / 51.0).log10());
    near(found.low, -(51.0f64 * 99.0 / 100.0).log10());
    // The same from nine real videos.
    let videos: Vec<u32> = (0..149).map(|at| if at < 99 { at / 11 } else { at }).collect();
    let found = limits(&lr, &fake, &videos).unwrap();
    assert_eq!((found.high, found.reals, found.fakes), (1.0, 9, 50));
    // A useless system supports nothing.
    let found = limits(&[3.0; 4], &[true, true, false, false], &[0, 1, 2, 3]).unwrap();
    assert_eq!((found.low, found.high), (0.0, 0.0));
}

#[test]
fn ratios_of_one_class_or_bad_numbers() {
    let undefined = forensic_cost(&[1.0], &[true]).unwrap();
    assert!(reason(&undefined.cllr).contains("no item is real"));
    assert_eq!(reason(&undefined.misleading_reals), "no item is real");
    assert_eq!(reason(&forensic_cost(&[], &[]).unwrap().cllr_min), "there are no items");
    assert_eq!(empirical_cross_entropy(&[1.0], &[true], &[0.0]).unwrap(), None);
    assert_eq!(tippett(&[], &[]).unwrap(), vec![]);
    assert_eq!(tippett(&[1.0], &[true]).unwrap()[0].reals, None);
    assert!(forensic_cost(&[NAN], &[true]).unwrap_err().to_string().contains("log10_lr of item 0"));
    assert!(limits(&[1.0], &[true], &[0]).unwrap_err().to_string().contains("real"));
    let fit = |p: &[f64], y: &[bool], prior, how| LikelihoodRatios::fit(p, y, &vec![0; y.len()], prior, how);
    let both = [true, false];
    assert!(
        fit(&[0.1, 1.2], &both, None, Recalibration::None).unwrap_err().to_string().contains("posterior of item 1")
    );
    assert!(fit(&[0.1, 0.2], &[true, true], None, Recalibration::None).is_err());
    assert!(fit(&[0.1, 0.2], &both, Some(1.0), Recalibration::None).unwrap_err().to_string().contains("prior is 1"));
    assert!(fit(&[0.1], &both, None, Recalibration::None).is_err());
    for p in [[0.1, 0.9], [0.9, 0.1], [0.5, 0.5]] {
        assert!(matches!(fit(&p, &both, None, Recalibration::Logistic), Err(StatsError::CannotFit { .. })), "{p:?}");
    }
    // Sure posteriors are finite, and the limits of two items are narrow.
    let sure = fit(&[1.0, 0.0], &both, Some(0.5), Recalibration::None).unwrap();
    near(sure.unlimited_log10_lr(&[1.0]).unwrap()[0], LARGEST_LOG10_LR);
    assert!(sure.log10_lr(&[1.0, 0.0]).unwrap().iter().all(|lr| lr.abs() <= 2f64.log10()));
    let pav = fit(&[1.0, 0.0], &both, None, Recalibration::Pav).unwrap();
    assert_eq!(pav.unlimited_log10_lr(&[1.0, 0.0]).unwrap(), [f64::INFINITY, f64::NEG_INFINITY]);
}

#[test]
fn sets_of_too_few_or_wrong_items() {
    let probs = [0.9, 0.1, 0.2, 0.8];
    let items = Items { probs: &probs, classes: 2, keys: &[], groups: &[] };
    let calibrate = |items: &Items, labels: &[usize], alpha, score, strata| {
        Conformal::calibrate(items, labels, &[0, 1], alpha, score, strata, Unit::Item)
    };
    let found = calibrate(&items, &[0, 1], 0.1, Score::Lac, Strata::Marginal).unwrap();
    assert!(reason(&found.thresholds[0].score).contains("needs 9"));
    let sets = found.sets(&items).unwrap();
    assert_eq!(sets, [true; 4]);
    let quality = &set_quality(&sets, 2, &[0, 1], &[0, 1], &[], None).unwrap()[0];
    assert_eq!(
        (quality.full.value, quality.coverage.value, quality.mean_size.value),
        (Some(1.0), Some(1.0), Some(2.0))
    );
    near(quality.coverage.low.unwrap(), clopper_pearson(2, 2, 0.95).0);
    assert_eq!((fewest_units(0.1), fewest_units(0.05), fewest_units(0.3), fewest_units(0.9)), (9, 19, 3, 1));
    // With a third, the threshold is the larger of the two scores.
    let found = calibrate(&items, &[0, 1], 1.0 / 3.0, Score::Lac, Strata::Marginal).unwrap();
    near(found.thresholds[0].score.value.unwrap(), 0.2);
    // A label without calibration items is in every set, a group without them gets every class.
    let by_label = calibrate(&items, &[0, 0], 0.4, Score::Lac, Strata::Label).unwrap();
    assert!(by_label.sets(&items).unwrap().chunks(2).all(|set| set[1]));
    let grouped = Items { groups: &[4, 4], ..items };
    let by_group = calibrate(&grouped, &[0, 1], 0.4, Score::Aps, Strata::Group).unwrap();
    assert_eq!(by_group.sets(&Items { groups: &[5, 5], ..items }).unwrap(), [true; 4]);
    // Nothing to calibrate on, nothing to cover.
    let none = Items { probs: &[], classes: 2, keys: &[], groups: &[] };
    let empty = Conformal::calibrate(&none, &[], &[], 0.1, Score::Lac, Strata::Marginal, Unit::Item).unwrap();
    assert_eq!(empty.sets(&items).unwrap(), [true; 4]);
    assert_eq!(reason(&set_quality(&[], 2, &[], &[], &[], None).unwrap()[0].coverage), "there are no items");
    assert_eq!(coverage_interval(5, 0, 0.1, 0.95), None);
    assert_eq!(coverage_interval(5, 10, 0.1, 0.95), Some((1.0, 1.0)));
    // Clusters have no exact interval.
    let quality = &set_quality(&sets, 2, &[0, 1], &[7, 7], &[3, 4], None).unwrap();
    assert!(quality[0].coverage.low.is_none() && quality[0].coverage.undefined_because.is_some());
    clusters_have_a_resampled_interval();
    assert_eq!(quality.iter().map(|q| q.group).collect::<Vec<_>>(), [None, Some(3), Some(4)]);

    for (found, words) in [
        (calibrate(&items, &[0, 1], 1.0, Score::Lac, Strata::Marginal), "alpha is 1"),
        (calibrate(&items, &[0, 2], 0.1, Score::Lac, Strata::Marginal), "item 1: label 2"),
        (calibrate(&items, &[0], 0.1, Score::Lac, Strata::Marginal), "labels has 1 entries"),
        (calibrate(&items, &[0, 1], 0.1, Score::ApsRandomised { seed: 0 }, Strata::Marginal), "keys has 0"),
        (calibrate(&items, &[0, 1], 0.1, Score::Lac, Strata::Group), "groups has 0"),
        (calibrate(&Items { probs: &[0.5; 3], ..items }, &[0], 0.1, Score::Lac, Strata::Marginal), "rows of 2"),
        (calibrate(&Items { probs: &[0.5, NAN], ..items }, &[0], 0.1, Score::Lac, Strata::Marginal), "item 0"),
        (calibrate(&Items { classes: 1, ..items }, &[0; 4], 0.1, Score::Lac, Strata::Marginal), "classes is 1"),
    ] {
        let error = found.unwrap_err().to_string();
        assert!(error.contains(words), "{error}, expected {words}");
    }
}

#[test]
fn promises_that_cannot_be_kept() {
    assert_eq!((fewest_answers(0.05, 0.1), fewest_answers(0.01, 0.05)), (45, 299));
    let single: Vec<u32> = (0..50).collect();
    let doubt: Vec<f64> = (0..50).map(f64::from).collect();
    let among = |alpha| Promise::WrongAmongAnswered { alpha, delta: 0.1 };
    let both = |alpha| Promise::AnsweredAndWrong { alpha };
    for (wrong, promise, words) in [
        (false, among(0.01), "50 clusters are too few"),
        (true, among(0.1), "too often wrong"),
        (false, both(0.01), "at least 99 are needed"),
        (true, both(0.02), "too many are wrong"),
    ] {
        let found = abstention(&doubt, &[wrong; 50], &single, promise, None).unwrap();
        assert!(reason(&found.threshold).contains(words), "{:?}", found.threshold);
        assert!(reason(&found.threshold).starts_with("no threshold keeps the promise, because"));
        assert_eq!(found.answered, 0.0);
        let seen = observed(found.threshold.value, promise, &doubt, &[wrong; 50], &single).unwrap();
        assert_eq!(seen.answered.value, Some(0.0));
    }
    // 50 right answers show a risk of at most 1 - .1^(1/50).
    let found = abstention(&doubt, &[false; 50], &single, among(0.1), None).unwrap();
    assert_eq!((found.threshold.value, found.answered, found.risk.value), (Some(49.0), 1.0, Some(0.0)));
    let found = abstention(&doubt, &[false; 50], &single, among(0.1), Some(&[20.0, 60.0])).unwrap();
    assert!(reason(&found.threshold).contains("too few"), "the first of the grid leaves 21");
    let found = abstention(&doubt, &[false; 50], &single, among(0.1), Some(&[60.0])).unwrap();
    near(found.bound.value.unwrap(), 1.0 - 0.1f64.powf(0.02));
    let found = abstention(&doubt, &[false; 50], &single, both(0.1), None).unwrap();
    near(found.bound.value.unwrap(), 1.0 / 51.0);

    let none = observed(None, among(0.1), &doubt, &[false; 50], &single).unwrap();
    assert_eq!(reason(&none.risk), "nothing is answered");
    assert_eq!((none.violated, none.clearly_violated), (None, None));
    assert_eq!(reason(&observed(None, both(0.1), &[], &[], &[]).unwrap().risk), "there are no items");
    assert_eq!(observed(None, both(0.1), &doubt, &[true; 50], &single).unwrap().risk.value, Some(0.0));
    let all = observed(Some(99.0), among(0.1), &doubt, &[true; 50], &[1; 50]).unwrap();
    assert_eq!((all.risk.value, all.risk.high, all.violated), (Some(1.0), Some(1.0), Some(true)));
    assert_eq!(all.clearly_violated, Some(false), "one cluster shows nothing");
    assert!(abstention(&[], &[], &[], among(0.1), None).unwrap().threshold.value.is_none());

    for (found, words) in [
        (abstention(&doubt, &[false; 50], &single, among(0.0), None), "alpha is 0"),
        (abstention(&doubt, &[false; 49], &single, among(0.1), None), "wrong has 49"),
        (abstention(&[NAN; 50], &[false; 50], &single, among(0.1), None), "doubt of item 0 is NaN"),
        (abstention(&doubt, &[false; 50], &single, among(0.1), Some(&[NAN])), "grid of item 0"),
    ] {
        let error = found.unwrap_err().to_string();
        assert!(error.contains(words), "{error}, expected {words}");
    }
    assert_eq!(clopper_pearson(0, 10, 0.95).0, 0.0);
    assert!((clopper_pearson(0, 10, 0.95).1 - 0.308_497_1).abs() < 1e-6);
}

#[test]
fn comparisons_without_variance_or_independence() {
    let y = [true, true, false, false];
    let (a, single, shared) = ([0.9, 0.6, 0.7, 0.1], [0, 1, 2, 3], [0, 1, 1, 3]);
    let same = delong(&a, &a, &y, &single, 0.95).unwrap();
    assert_eq!((same.difference.value, same.standard_error.value), (Some(0.0), Some(0.0)));
    assert!(reason(&same.p_value).contains("standard error is 0"));
    assert!(reason(&same.smallest_detectable).contains("standard error is 0"));
    assert!(
        delong(&a, &a, &[true; 4], &single, 0.95).unwrap().difference.undefined_because.unwrap().contains("negative")
    );
    for (found, words) in [
        (delong(&a, &a, &y, &shared, 0.95).map(drop), "auroc_clustered"),
        (mcnemar(&y, &y, &shared).map(drop), "accuracy_difference"),
        (delong(&a[..3], &a, &y, &single, 0.95).map(drop), "first has 3"),
        (auroc_clustered(&a, &[NAN; 4], &y, &shared, 0.95).map(drop), "second of item 0"),
        (auroc_clustered(&a, &a, &y, &shared, 1.0).map(drop), "level is 1"),
        (accuracy_difference(&y, &y[..1], &shared, 0.9).map(drop), "second_correct has 1"),
        (holm(&[0.1, NAN]).map(drop), "p_values of item 1"),
        (smallest_detectable(-1.0, 0.05, 0.8).map(drop), "standard_error is -1"),
        (smallest_detectable(1.0, 0.05, 0.02).map(drop), "power is 0.02"),
    ] {
        let error = found.unwrap_err().to_string();
        assert!(error.contains(words), "{error}, expected {words}");
    }
    let equal = mcnemar(&y, &y, &single).unwrap();
    assert_eq!((equal.only_first, equal.exact, equal.mid_p), (0, 1.0, 1.0));
    assert_eq!(mcnemar(&[], &[], &[]).unwrap().exact, 1.0);
    assert!(accuracy_difference(&y, &y, &[1; 4], 0.9).unwrap().difference.undefined_because.unwrap().contains("two"));
    assert_eq!(holm(&[]).unwrap(), Vec::<f64>::new());

    let bootstrap = Bootstrap { replicates: 20, ..Bootstrap::default() };
    let few = paired_bootstrap(&Mean(a.into()), &Mean(vec![0.0; 4]), &shared, &bootstrap).unwrap();
    assert!(few.difference.value.is_some() && few.difference.low.is_none());
    assert!(few.difference.undefined_because.unwrap().contains("3 clusters"));
    let (one, other) = (Auroc::new(&a, &[true; 4]), Auroc::new(&a, &y));
    let undefined = paired_bootstrap(&one, &other, &single, &bootstrap).unwrap();
    assert!(reason(&undefined.difference).contains("no negative"));
    assert_eq!(undefined.second.value, Some(0.75));
    let least = Bootstrap { min_clusters: 2, ..bootstrap.clone() };
    let rare = paired_bootstrap(&other, &other, &single, &least).unwrap();
    assert!(rare.difference.undefined_because.unwrap().contains("have no value"));
    let two = paired_bootstrap_two_way(&other, &other, &[None; 4], &single, &bootstrap).unwrap();
    assert!(two.difference.undefined_because.unwrap().contains("0 clusters"));
    assert!(paired_bootstrap_two_way(&other, &other, &[None; 3], &single, &bootstrap).is_err());
    let bad = Bootstrap { replicates: 0, ..bootstrap };
    assert!(paired_bootstrap(&other, &other, &single, &bad).unwrap_err().to_string().contains("replicates is 0"));
}

#[test]
fn unseen_without_two_kinds_or_three_groups() {
    let none = detects_unseen(&[0.1, 0.2], &[false, false]).unwrap();
    assert!(reason(&none.auroc).contains("no item is unseen"));
    let all = detects_unseen(&[0.1, 0.2], &[true, true]).unwrap();
    assert!(reason(&all.fpr_at_95_tpr).contains("every item is unseen"));
    assert_eq!(reason(&detects_unseen(&[], &[]).unwrap().average_precision), "there are no items");
    let same = detects_unseen(&[0.3; 4], &[true, false, true, false]).unwrap();
    assert_eq!((same.auroc.value, same.fpr_at_95_tpr.value), (Some(0.5), Some(1.0)));
    assert!(detects_unseen(&[NAN], &[true]).is_err());

    let few = correlation(&[0.1, 0.2], &[0.9, 0.8], 0).unwrap();
    assert!(reason(&few.spearman.value).contains("there are 2 groups"));
    let flat = correlation(&[0.1, 0.2, 0.3], &[0.9; 3], 0).unwrap();
    assert!(reason(&flat.kendall.p_value).contains("accuracy is the same"));
    // Three in perfect order: two of the six pairings are as extreme.
    let line = correlation(&[0.1, 0.2, 0.3], &[0.9, 0.8, 0.7], 0).unwrap();
    near(line.pearson.value.value.unwrap(), -1.0);
    near(line.kendall.p_value.value.unwrap(), 1.0 / 3.0);
    // Beyond nine groups the pairings are drawn: near the exact value, and by the seed.
    let x: Vec<f64> = (0..12).map(f64::from).collect();
    let y: Vec<f64> = x.iter().map(|x| (x * 5.0) % 12.0 - 0.4 * x).collect();
    let (drawn, again) = (correlation(&x, &y, 1).unwrap(), correlation(&x, &y, 2).unwrap());
    let p = |c: &dubito_stats::unseen::Correlations| c.pearson.p_value.value.unwrap();
    assert!(!drawn.pearson.exact && p(&drawn) != p(&again) && (p(&drawn) - p(&again)).abs() < 0.03);
    // SciPy: pearsonr of the same, -0.18446 (t test: p = .566).
    near(drawn.pearson.value.value.unwrap(), -0.184_459_296_125_545_15);
    assert!((p(&drawn) - 0.566).abs() < 0.03, "{drawn:?}");
    assert!(correlation(&[0.1], &[NAN], 0).is_err());
    let groups = by_group(&[0.4, 0.1, 0.3], &[true, true, false], &[9, 2, 9]).unwrap();
    assert_eq!((groups[0].group, groups[0].items, groups[1].accuracy), (2, 1, 0.5));
    near(groups[1].doubt, 0.35);
    assert!(by_group(&[0.4], &[true], &[]).is_err());
}

/// `cllr` and `cllr_min` among the metrics are those of the ratios that the probabilities are under equal
/// priors; `lir` has judged those.
#[test]
fn the_metrics_hold_the_cost_of_the_posteriors() {
    use dubito_stats::{Items, Task, metrics_of};
    let posteriors = [0.0, 1.0, 0.5, 0.5, 0.2, 0.9, 0.7, 0.7, 0.31, 0.05];
    let fake = [false, true, true, false, false, true, false, true, true, false];
    let mut items = Items::new(&Task::binary()).unwrap();
    for (&p, &fake) in posteriors.iter().zip(&fake) {
        items.push_parts(usize::from(fake), &[1.0 - p, p], [0.0; 4], 0).unwrap();
    }
    let ratios: Vec<f64> = posteriors.iter().map(|p: &f64| (p / (1.0 - p)).log10()).collect();
    let cost = forensic_cost(&ratios, &fake).unwrap();
    let found = metrics_of(&items, None).unwrap();
    near(found["cllr"].value.unwrap(), cost.cllr.value.unwrap());
    near(found["cllr_min"].value.unwrap(), cost.cllr_min.value.unwrap());
}
