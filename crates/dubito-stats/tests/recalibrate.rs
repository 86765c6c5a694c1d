//! Recalibration against scikit-learn, netcal, betacal and SciPy (golden/recalibrate.json, made by
//! golden/recalibrate.py), and what holds for all of them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use dubito_stats::recalibrate::fit;
use dubito_stats::{Items, Method, Recalibration, Task, metrics_of};
use proptest::prelude::*;
use serde::Deserialize;

const METHODS: [(Method, &str); 5] = [
    (Method::Temperature, "temperature"),
    (Method::Platt, "platt"),
    (Method::Beta, "beta"),
    (Method::Isotonic, "isotonic"),
    (Method::Histogram, "histogram"),
];

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    probs: Vec<Vec<f64>>,
    labels: Vec<usize>,
    temperature: f64,
    grid: Vec<Vec<f64>>,
    want: BTreeMap<String, Vec<Vec<f64>>>,
}

fn items(probs: &[Vec<f64>], labels: &[usize]) -> Items {
    let classes = probs.first().map_or(2, Vec::len);
    let task = if classes == 2 { Task::binary() } else { Task::multiclass((0..classes).map(|k| format!("c{k}"))) };
    let mut items = Items::new(&task).unwrap();
    for (i, (probs, &label)) in probs.iter().zip(labels).enumerate() {
        items.push_parts(label, probs, [0.1, 0.1, 0.0, 0.0], i as u32).unwrap();
    }
    items
}

#[test]
fn every_method_agrees_with_the_libraries() {
    let golden: Golden = serde_json::from_str(include_str!("golden/recalibrate.json")).unwrap();
    for case in golden.cases {
        let items = items(&case.probs, &case.labels);
        for (method, name) in METHODS {
            let fitted = fit(method, &items).unwrap();
            if let Recalibration::Temperature { temperature } = fitted {
                assert!((temperature / case.temperature - 1.0).abs() < 1e-9, "{}: {temperature}", case.name);
            }
            for (probs, want) in case.grid.iter().zip(&case.want[name]) {
                let found = fitted.apply(probs).unwrap();
                let far = found.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(far < 1e-6, "{}, {name}: {probs:?} became {found:?}, expected {want:?}", case.name);
            }
            // What is written is read again (the reader of JSON may differ in a last digit).
            let json = serde_json::to_string(&fitted).unwrap();
            let read: Recalibration = serde_json::from_str(&json).unwrap();
            for probs in &case.grid {
                let (a, b) = (fitted.apply(probs).unwrap(), read.apply(probs).unwrap());
                assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-9), "{}, {name}: {a:?} {b:?}", case.name);
            }
        }
    }
}

#[test]
fn recalibration_lowers_what_it_was_fitted_for() {
    let golden: Golden = serde_json::from_str(include_str!("golden/recalibrate.json")).unwrap();
    let case = &golden.cases[0];
    let items = items(&case.probs, &case.labels);
    let before = metrics_of(&items, None).unwrap();
    for (method, name) in METHODS {
        let recalibrated = fit(method, &items).unwrap().apply_to(&items).unwrap();
        let after = metrics_of(&recalibrated, None).unwrap();
        for score in ["nll", "brier", "ece_pos15"] {
            let (after, before) = (after[score].value.unwrap(), before[score].value.unwrap());
            assert!(after < before - 0.001, "{name}, {score}: {before} became {after}");
        }
        assert_eq!((recalibrated.len(), recalibrated.labels()), (items.len(), items.labels()));
        let p = recalibrated.probs(3)[1];
        let entropy = -p * p.ln() - (1.0 - p) * (1.0 - p).ln();
        assert!(p == 0.0 || p == 1.0 || (recalibrated.total()[3] - entropy).abs() < 1e-12);
    }
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let rows = |ps: &[f64]| ps.iter().map(|p| vec![1.0 - p, *p]).collect::<Vec<_>>();
    let why = |method, ps: &[f64], labels: &[usize]| fit(method, &items(&rows(ps), labels)).unwrap_err().to_string();
    for (method, _) in METHODS {
        assert!(why(method, &[], &[]).ends_with("there are no items"));
    }
    let right = [0.1, 0.2, 0.8, 0.9];
    assert!(why(Method::Temperature, &right, &[0, 0, 1, 1]).contains("without an error"));
    assert!(why(Method::Beta, &right, &[0, 0, 1, 1]).contains("without an error"));
    assert!(why(Method::Temperature, &right, &[1, 1, 0, 0]).contains("say nothing of the labels"));
    assert!(why(Method::Platt, &right, &[1, 1, 1, 1]).contains("needs items that are fake and items that are not"));
    // Platt's targets are never sure, so there is always a maximum.
    for labels in [[0, 0, 1, 1], [1, 1, 0, 0]] {
        let fitted = fit(Method::Platt, &items(&rows(&right), &labels)).unwrap();
        assert!(fitted.apply(&[0.3, 0.7]).unwrap()[1].is_finite());
    }
    // All alike: nothing but the share of fakes can be learned.
    let alike = fit(Method::Platt, &items(&rows(&[0.7; 8]), &[1, 1, 1, 1, 1, 1, 0, 0])).unwrap();
    let smoothed = (6.0 * 7.0 / 8.0 + 2.0 / 4.0) / 8.0;
    assert!((alike.apply(&[0.3, 0.7]).unwrap()[1] - smoothed).abs() < 1e-9);
    assert!(alike.apply(&[0.3, 0.3, 0.4]).unwrap_err().to_string().contains("3 probabilities, but there are 2"));
    assert!(alike.apply(&[0.3, f64::NAN]).is_err());
}

fn probs(classes: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(prop_oneof![4 => 0.0..1.0f64, 1 => Just(0.5), 1 => Just(1e-20)], classes).prop_map(|raw| {
        let sum: f64 = raw.iter().sum();
        raw.iter().map(|p| p / sum).collect()
    })
}

fn argmax(probs: &[f64]) -> usize {
    (0..probs.len()).rev().max_by(|&a, &b| probs[a].total_cmp(&probs[b])).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn temperature_keeps_the_most_probable_class(
        probs in (2..7usize).prop_flat_map(probs),
        temperature in 0.01..100.0f64,
        hair in 0..3usize,
    ) {
        // Two classes that differ by the last bit.
        let mut probs = probs;
        if hair == 0 && probs.len() > 2 {
            probs[1] = probs[0].next_up();
            let sum: f64 = probs.iter().sum();
            probs.iter_mut().for_each(|p| *p /= sum);
        }
        let after = Recalibration::Temperature { temperature }.apply(&probs).unwrap();
        prop_assert_eq!(argmax(&after), argmax(&probs), "{:?} {:?}", probs, after);
        prop_assert!((after.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn no_order_of_items_changes_a_fit((rows, order) in (prop::collection::vec((probs(3), 0..3usize), 12..40)).prop_flat_map(|rows| {
        let order: Vec<usize> = (0..rows.len()).collect();
        (Just(rows), Just(order).prop_shuffle())
    })) {
        let of = |order: &[usize]| {
            let probs: Vec<Vec<f64>> = order.iter().map(|&i| rows[i].0.clone()).collect();
            let labels: Vec<usize> = order.iter().map(|&i| rows[i].1).collect();
            items(&probs, &labels)
        };
        let sorted: Vec<usize> = (0..rows.len()).collect();
        for (method, _) in METHODS {
            prop_assert_eq!(fit(method, &of(&sorted)), fit(method, &of(&order)));
        }
    }

    #[test]
    fn maps_rise(rows in prop::collection::vec((0.0..1.0f64, 0..2usize), 8..60)) {
        let probs: Vec<Vec<f64>> = rows.iter().map(|(p, _)| vec![1.0 - p, *p]).collect();
        let labels: Vec<usize> = rows.iter().map(|(_, label)| *label).collect();
        for method in [Method::Beta, Method::Isotonic] {
            let Ok(fitted) = fit(method, &items(&probs, &labels)) else { continue };
            let values: Vec<f64> = (0..=200).map(|i| fitted.apply(&[1.0 - f64::from(i) / 200.0, f64::from(i) / 200.0]).unwrap()[1]).collect();
            prop_assert!(values.windows(2).all(|w| w[0] <= w[1] + 1e-12), "{:?}", method);
            prop_assert!(values.iter().all(|v| (0.0..=1.0).contains(v)));
        }
    }
}
