//! Unseen generators, conformal sets, guarantees, likelihood ratios and comparisons against scikit-learn, SciPy,
//! MAPIE, lir, statsmodels and plain NumPy: golden/decide.json, made by golden/decide.py.
#![allow(clippy::unwrap_used)]

use dubito_stats::Estimate;
use dubito_stats::compare::{
    Comparison, accuracy_difference, auroc_clustered, delong, holm, mcnemar, smallest_detectable,
};
use dubito_stats::conformal::{Conformal, Items, Score, Strata, Unit, coverage_interval};
use dubito_stats::forensic::{
    LikelihoodRatios, LogitMap, Recalibration, empirical_cross_entropy, forensic_cost, tippett,
};
use dubito_stats::guarantee::{Promise, abstention, observed};
use dubito_stats::unseen::{Correlation, correlation, detects_unseen};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    unseen: Vec<Unseen>,
    correlations: Vec<Pairs>,
    conformal: Vec<Sets>,
    /// Units, test units, alpha, level, low, high.
    coverage: Vec<(usize, usize, f64, f64, f64, f64)>,
    guarantee: Vec<Guarantee>,
    forensic: Vec<Forensic>,
    compare: Vec<Compare>,
    /// P-values, adjusted ones.
    holm: Vec<(Vec<f64>, Vec<f64>)>,
}

#[derive(Deserialize)]
struct Unseen {
    name: String,
    unseen: Vec<u8>,
    doubt: Vec<f64>,
    want: UnseenWant,
}

#[derive(Deserialize)]
struct UnseenWant {
    auroc: f64,
    average_precision: f64,
    fpr_at_95_tpr: f64,
}

#[derive(Deserialize)]
struct Pairs {
    x: Vec<f64>,
    y: Vec<f64>,
    want: PairsWant,
}

/// Coefficient and p-value of each.
#[derive(Deserialize)]
struct PairsWant {
    pearson: (f64, f64),
    spearman: (f64, f64),
    kendall: (f64, f64),
}

#[derive(Deserialize)]
struct Sets {
    probs: Vec<Vec<f64>>,
    labels: Vec<usize>,
    new: Vec<Vec<f64>>,
    classes: usize,
    alpha: f64,
    lac: Vec<Vec<u8>>,
    aps_threshold: Option<f64>,
    aps_scores: Vec<Vec<f64>>,
    lac_by_label: Vec<Option<f64>>,
    lac_worst: Option<f64>,
}

#[derive(Deserialize)]
struct Guarantee {
    doubt: Vec<f64>,
    wrong: Vec<u8>,
    clusters: Vec<u32>,
    alpha: f64,
    delta: f64,
    grid: Vec<f64>,
    test: Option<f64>,
    test_grid: Option<f64>,
    control: Option<f64>,
    risk_at_07: f64,
    interval_at_07: (f64, f64),
}

#[derive(Deserialize)]
struct Forensic {
    name: String,
    posterior: Vec<f64>,
    fake: Vec<u8>,
    prior: f64,
    plain: Vec<f64>,
    logistic: Option<(f64, f64)>,
    new: Vec<f64>,
    pav: Vec<f64>,
    cllr: f64,
    cllr_min: f64,
    elub: (f64, f64),
    odds: Vec<f64>,
    ece: Vec<(f64, f64, f64)>,
    misleading: (f64, f64),
    tippett: Vec<(f64, f64, f64)>,
}

#[derive(Deserialize)]
struct Compare {
    name: String,
    first: Vec<f64>,
    second: Vec<f64>,
    positive: Vec<u8>,
    clusters: Vec<u32>,
    delong: Normal,
    clustered: Option<Normal>,
    mcnemar: (usize, usize, f64, f64),
    /// Accuracies and the standard error of their difference.
    accuracy: (f64, f64, f64),
}

#[derive(Deserialize)]
struct Normal {
    values: (f64, f64),
    errors: (f64, f64),
    error: f64,
    p: Option<f64>,
    /// At 90 %.
    interval: Option<(f64, f64)>,
    smallest: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/decide.json")).unwrap()
}

fn bools(values: &[u8]) -> Vec<bool> {
    values.iter().map(|&v| v == 1).collect()
}

fn own_clusters(n: usize) -> Vec<u32> {
    (0..n as u32).collect()
}

#[track_caller]
fn near(found: f64, want: f64, what: &str) {
    assert!((found - want).abs() <= 1e-9 * want.abs().max(1.0), "{what}: {found}, expected {want}");
}

#[track_caller]
fn is(found: &Estimate, want: f64, what: &str) {
    near(found.value.unwrap_or_else(|| panic!("{what}: {found:?}, expected {want}")), want, what);
}

#[track_caller]
fn is_or_none(found: &Estimate, want: Option<f64>, what: &str) {
    match want {
        Some(want) => is(found, want, what),
        None => {
            assert!(found.value.is_none() && found.undefined_because.as_ref().unwrap().len() > 20, "{what}: {found:?}")
        }
    }
}

#[test]
fn detection_of_the_unseen_agrees_with_scikit_learn() {
    for case in golden().unseen {
        let found = detects_unseen(&case.doubt, &bools(&case.unseen)).unwrap();
        is(&found.auroc, case.want.auroc, &case.name);
        is(&found.average_precision, case.want.average_precision, &case.name);
        is(&found.fpr_at_95_tpr, case.want.fpr_at_95_tpr, &case.name);
        assert_eq!(found.seen + found.unseen, case.doubt.len());
    }
}

#[test]
fn correlations_agree_with_scipy() {
    for Pairs { x, y, want } in golden().correlations {
        let found = correlation(&x, &y, 0).unwrap();
        let check = |found: &Correlation, want: (f64, f64), what: &str| {
            is(&found.value, want.0, what);
            is(&found.p_value, want.1, what);
            assert!(found.exact);
        };
        check(&found.pearson, want.pearson, "Pearson");
        check(&found.spearman, want.spearman, "Spearman");
        check(&found.kendall, want.kendall, "Kendall");
    }
}

#[test]
fn conformal_sets_agree_with_mapie_and_numpy() {
    for case in golden().conformal {
        let (probs, new) = (case.probs.concat(), case.new.concat());
        let items = Items { probs: &probs, classes: case.classes, keys: &[], groups: &[] };
        let others = Items { probs: &new, ..items };
        let clusters = own_clusters(case.labels.len());
        let calibrate = |score, strata, clusters: &[u32], unit| {
            Conformal::calibrate(&items, &case.labels, clusters, case.alpha, score, strata, unit).unwrap()
        };
        let lac = calibrate(Score::Lac, Strata::Marginal, &clusters, Unit::Item);
        let want: Vec<bool> = case.lac.concat().iter().map(|&b| b == 1).collect();
        assert_eq!(lac.sets(&others).unwrap(), want);

        let aps = calibrate(Score::Aps, Strata::Marginal, &clusters, Unit::Item);
        is_or_none(&aps.thresholds[0].score, case.aps_threshold, "APS");
        let most = case.aps_threshold.unwrap_or(f64::INFINITY);
        for (inside, score) in aps.sets(&others).unwrap().into_iter().zip(case.aps_scores.concat()) {
            assert!((score - most).abs() < 1e-9 || inside == (score <= most), "{score} {most}");
        }

        let by_label = calibrate(Score::Lac, Strata::Label, &clusters, Unit::Item);
        for (class, want) in case.lac_by_label.iter().enumerate() {
            match by_label.thresholds.iter().find(|t| t.stratum == Some(class as u32)) {
                Some(threshold) => is_or_none(&threshold.score, *want, "by label"),
                None => assert_eq!(*want, None),
            }
        }
        let sets = by_label.sets(&others).unwrap();
        for (at, inside) in sets.into_iter().enumerate() {
            let most = case.lac_by_label[at % case.classes].unwrap_or(f64::INFINITY);
            assert_eq!(inside, 1.0 - new[at] <= most);
        }

        let thirds: Vec<u32> = clusters.iter().map(|c| c / 3).collect();
        let worst = calibrate(Score::Lac, Strata::Marginal, &thirds, Unit::Worst);
        is_or_none(&worst.thresholds[0].score, case.lac_worst, "worst of each cluster");
        assert_eq!(worst.thresholds[0].units, case.labels.len().div_ceil(3));
    }
}

#[test]
fn coverage_intervals_agree_with_scipy() {
    for (units, test, alpha, level, low, high) in golden().coverage {
        let found = coverage_interval(units, test, alpha, level).unwrap();
        near(found.0, low, "low");
        near(found.1, high, "high");
    }
}

#[test]
fn guarantees_agree_with_counting_again_at_each_threshold() {
    for case in golden().guarantee {
        let wrong = bools(&case.wrong);
        let (alpha, delta) = (case.alpha, case.delta);
        let find = |promise, grid| abstention(&case.doubt, &wrong, &case.clusters, promise, grid).unwrap();
        let among = Promise::WrongAmongAnswered { alpha, delta };
        let both = Promise::AnsweredAndWrong { alpha };
        for (found, want) in [
            (find(among, None), case.test),
            (find(among, Some(&case.grid[..])), case.test_grid),
            (find(both, None), case.control),
        ] {
            is_or_none(&found.threshold, want, "threshold");
            let answered = case.doubt.iter().filter(|d| want.is_some_and(|t| **d <= t)).count();
            near(found.answered, answered as f64 / case.doubt.len() as f64, "answered");
            if want.is_some() {
                assert!(found.bound.value.unwrap() <= alpha + 1e-9, "{found:?}");
                assert!(found.risk.value.unwrap() <= found.bound.value.unwrap(), "{found:?}");
            }
        }
        let found = observed(Some(0.7), among, &case.doubt, &wrong, &case.clusters).unwrap();
        is(&found.risk, case.risk_at_07, "risk");
        near(found.risk.low.unwrap(), case.interval_at_07.0, "low");
        near(found.risk.high.unwrap(), case.interval_at_07.1, "high");
        assert_eq!(found.violated, Some(case.risk_at_07 > alpha));
        assert_eq!(found.clearly_violated, Some(case.interval_at_07.0 > alpha));
    }
}

#[test]
fn likelihood_ratios_agree_with_lir_and_scikit_learn() {
    for case in golden().forensic {
        let (name, fake) = (case.name.as_str(), bools(&case.fake));
        let clusters = own_clusters(fake.len());
        let fit = |how| LikelihoodRatios::fit(&case.posterior, &fake, &clusters, Some(case.prior), how);
        let plain = fit(Recalibration::None).unwrap();
        let found = plain.unlimited_log10_lr(&case.posterior).unwrap();
        found.iter().zip(&case.plain).for_each(|(found, want)| near(*found, *want, name));
        near(plain.limits.low, case.elub.0, name);
        near(plain.limits.high, case.elub.1, name);
        let kept = plain.log10_lr(&case.posterior).unwrap();
        assert!(kept.iter().all(|lr| (plain.limits.low..=plain.limits.high).contains(lr)), "{name}");

        match (fit(Recalibration::Logistic), case.logistic) {
            (Ok(LikelihoodRatios { map: LogitMap::Line { slope, intercept }, .. }), Some(want)) => {
                assert!((slope - want.0).abs() < 1e-6 && (intercept - want.1).abs() < 1e-6, "{name} {slope} {want:?}");
            }
            (Err(error), None) => assert!(error.to_string().contains("separates"), "{error}"),
            (found, want) => panic!("{name}: {found:?}, expected {want:?}"),
        }

        let pav = fit(Recalibration::Pav).unwrap();
        for (found, want) in pav.unlimited_log10_lr(&case.new).unwrap().into_iter().zip(&case.pav) {
            // Infinite ones are 99 in the file.
            near(found.clamp(-99.0, 99.0), *want, name);
        }
        assert!(pav.log10_lr(&case.new).unwrap().iter().all(|lr| lr.is_finite()), "{name}");

        let cost = forensic_cost(&found, &fake).unwrap();
        is(&cost.cllr, case.cllr, name);
        is(&cost.cllr_min, case.cllr_min, name);
        is(&cost.cllr_cal, case.cllr - case.cllr_min, name);
        is(&cost.misleading_fakes, case.misleading.0, name);
        is(&cost.misleading_reals, case.misleading.1, name);

        let curve = empirical_cross_entropy(&found, &fake, &case.odds).unwrap().unwrap();
        assert_eq!(curve.len(), case.ece.len());
        for (point, want) in curve.iter().zip(&case.ece) {
            near(point.system, want.0, name);
            near(point.ideal, want.1, name);
            near(point.reference, want.2, name);
        }
        let points = tippett(&found, &fake).unwrap();
        for (point, want) in points.iter().zip(&case.tippett) {
            near(point.log10_lr, want.0, name);
            near(point.fakes.unwrap(), want.1, name);
            near(point.reals.unwrap(), want.2, name);
        }
    }
}

fn agrees(found: &Comparison, want: &Normal, name: &str) {
    is(&found.first, want.values.0, name);
    is(&found.second, want.values.1, name);
    is(&found.standard_error, want.error, name);
    is(&found.difference, want.values.0 - want.values.1, name);
    for (found, error) in [(&found.first, want.errors.0), (&found.second, want.errors.1)] {
        match found.high {
            // 1.645 standard errors at 90 %.
            Some(high) => near((high - found.value.unwrap()) / 1.644_853_626_951_472_7, error, name),
            None => assert!(error < 1e-9 && found.undefined_because.is_some(), "{name}: {found:?}"),
        }
    }
    is_or_none(&found.p_value, want.p, name);
    match want.interval {
        Some((low, high)) => {
            near(found.difference.low.unwrap(), low, name);
            near(found.difference.high.unwrap(), high, name);
            is(&found.smallest_detectable, want.smallest, name);
        }
        None => assert!(found.difference.low.is_none() && found.difference.undefined_because.is_some(), "{name}"),
    }
}

#[test]
fn comparisons_agree_with_numpy_and_statsmodels() {
    let golden = golden();
    assert!(golden.compare.iter().filter(|case| case.clustered.is_some()).count() >= 4);
    for case in golden.compare {
        let (name, positive) = (case.name.as_str(), bools(&case.positive));
        let single = own_clusters(positive.len());
        agrees(&delong(&case.first, &case.second, &positive, &single, 0.9).unwrap(), &case.delong, name);
        let clustered = auroc_clustered(&case.first, &case.second, &positive, &case.clusters, 0.9).unwrap();
        match &case.clustered {
            Some(want) => agrees(&clustered, want, name),
            None => assert!(clustered.difference.undefined_because.unwrap().contains("two or more"), "{name}"),
        }
        let correct = |scores: &[f64]| -> Vec<bool> {
            scores.iter().zip(&positive).map(|(&score, &positive)| (score > 0.5) == positive).collect()
        };
        let (first, second) = (correct(&case.first), correct(&case.second));
        let found = mcnemar(&first, &second, &single).unwrap();
        assert_eq!((found.only_first, found.only_second), (case.mcnemar.0, case.mcnemar.1));
        near(found.exact, case.mcnemar.2, name);
        near(found.mid_p, case.mcnemar.3, name);
        let found = accuracy_difference(&first, &second, &case.clusters, 0.9).unwrap();
        is(&found.first, case.accuracy.0, name);
        is(&found.second, case.accuracy.1, name);
        is(&found.standard_error, case.accuracy.2, name);
    }
    for (p_values, want) in golden.holm {
        holm(&p_values).unwrap().into_iter().zip(want).for_each(|(found, want)| near(found, want, "Holm"));
    }
    near(smallest_detectable(1.0, 0.05, 0.8).unwrap(), 2.801_585_218_112_969, "smallest detectable");
}
