//! The small classifiers, against scikit-learn, and open sets against a derivation of their own.
#![allow(clippy::unwrap_used)]

use dubito_stats::Bootstrap;
use dubito_stats::classify::{Classified, Components, Logistic, Matrix, Neighbours, OpenSet, Oscr, Standard, judge};
use dubito_stats::weighted::Weighted;
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/classify.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    match value.as_array() {
        Some(list) => list.iter().flat_map(numbers).collect(),
        None => vec![value.as_f64().unwrap()],
    }
}

fn near(found: &[f64], expected: &[f64], slack: f64) {
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= slack, "{at}: {found} {expected}");
    }
}

struct Data {
    train: Matrix,
    test: Matrix,
    labels: Vec<usize>,
    weights: Vec<f64>,
    all: Matrix,
}

fn data(golden: &Value) -> Data {
    let x = numbers(&golden["x"]);
    let labels: Vec<usize> = numbers(&golden["labels"]).into_iter().map(|l| l as usize).collect();
    let all = Matrix::new(labels.len(), x.len() / labels.len(), x).unwrap();
    let cut = golden["train"].as_u64().unwrap() as usize;
    let columns: Vec<usize> = (0..all.columns()).collect();
    Data {
        train: all.select(&(0..cut).collect::<Vec<_>>(), &columns),
        test: all.select(&(cut..labels.len()).collect::<Vec<_>>(), &columns),
        weights: numbers(&golden["weights"])[..cut].to_vec(),
        labels,
        all,
    }
}

#[test]
fn logistic_regression_is_that_of_scikit_learn() {
    let golden = golden();
    let data = data(&golden);
    let cut = data.train.rows();
    for of in golden["logistic"].as_array().unwrap() {
        let penalty = of["penalty"].as_f64().unwrap();
        let model = Logistic::fit(&data.train, &data.labels[..cut], 3, &data.weights, penalty, 1e-10).unwrap();
        let coefficients: Vec<f64> = (0..3).flat_map(|class| model.coefficients(class).to_vec()).collect();
        near(&coefficients, &numbers(&of["coefficients"]), 1e-4);
        near(&model.probabilities(&data.test), &numbers(&of["probabilities"]), 1e-5);
        // At the tolerance that is used, probabilities are right to 1e-3.
        let model = Logistic::fit(&data.train, &data.labels[..cut], 3, &data.weights, penalty, 1e-5).unwrap();
        near(&model.probabilities(&data.test), &numbers(&of["probabilities"]), 1e-3);
    }
}

#[test]
fn neighbours_are_those_of_scikit_learn() {
    let golden = golden();
    let data = data(&golden);
    let cut = data.train.rows();
    for of in golden["neighbours"].as_array().unwrap() {
        let k = of["k"].as_u64().unwrap() as usize;
        let model = Neighbours::fit(data.train.clone(), &data.labels[..cut], 3, k).unwrap();
        near(&model.probabilities(&data.test), &numbers(&of["probabilities"]), 1e-12);
    }
}

#[test]
fn components_are_those_of_scikit_learn_to_their_sign() {
    let golden = golden();
    let data = data(&golden);
    let found = Components::of(&data.all).unwrap();
    near(&found.variance, &numbers(&golden["pca"]["variance"]), 1e-9);
    let explained: Vec<f64> = (0..5).map(|k| found.explained(k)).collect();
    near(&explained, &numbers(&golden["pca"]["explained"]), 1e-9);
    let (directions, projected) = (numbers(&golden["pca"]["directions"]), numbers(&golden["pca"]["projected"]));
    let rows = found.project(&data.all, 5);
    for k in 0..5 {
        let theirs = &directions[5 * k..5 * (k + 1)];
        let sign = found.directions.row(k).iter().zip(theirs).map(|(a, b)| a * b).sum::<f64>().signum();
        near(found.directions.row(k), &theirs.iter().map(|v| sign * v).collect::<Vec<_>>(), 1e-8);
        let along: Vec<f64> = rows.iter().map(|row| row[k]).collect();
        let theirs: Vec<f64> = projected.chunks(5).map(|row| sign * row[k]).collect();
        near(&along, &theirs, 1e-8);
        let largest = found.directions.row(k).iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
        assert!(largest > 0.0);
    }
}

#[test]
fn balanced_accuracy_and_auroc_are_those_of_scikit_learn() {
    let golden = golden();
    let data = data(&golden);
    let labels = data.labels[data.train.rows()..].to_vec();
    let probabilities = numbers(&golden["logistic"][1]["probabilities"]);
    let clusters = (0..labels.len() as u32).map(|i| i / 2).collect();
    let items = Classified::new(3, labels, probabilities, clusters).unwrap();
    let found = judge(&items, &Bootstrap { replicates: 200, ..Bootstrap::default() }).unwrap();
    let expected = |name: &str| golden["judged"][name].as_f64().unwrap();
    for (found, name) in [(&found.balanced_accuracy, "balanced_accuracy"), (&found.auroc, "auroc")] {
        near(&[found.value.unwrap()], &[expected(name)], 1e-12);
        assert!(found.low.unwrap() <= expected(name) && expected(name) <= found.high.unwrap());
    }
    let confusion = items.confusion();
    assert_eq!(confusion.iter().flatten().sum::<u64>(), 30);
}

#[test]
fn oscr_is_that_of_another_derivation() {
    let golden = &golden()["oscr"];
    let (known, unknown) = (numbers(&golden["known"]), numbers(&golden["unknown"]));
    let mut right: Vec<bool> = golden["right"].as_array().unwrap().iter().map(|v| v.as_bool().unwrap()).collect();
    right.resize(known.len() + unknown.len(), true);
    let items = OpenSet {
        unknown: (0..right.len()).map(|i| i >= known.len()).collect(),
        scores: [known.clone(), unknown.clone()].concat(),
        right,
    };
    let points = items.curve().unwrap();
    let flat: Vec<f64> = points.iter().flat_map(|p| [p.0, p.1]).collect();
    near(&flat, &numbers(&golden["points"]), 1e-12);
    let area = Oscr::new(&items).unwrap();
    near(&[area.value(&vec![1; items.scores.len()]).unwrap()], &[golden["area"].as_f64().unwrap()], 1e-12);
    // An item that counts twice is as good as two.
    let mut weights = vec![1; items.scores.len()];
    (weights[0], weights[3], weights[45]) = (2, 0, 3);
    let copies = |column: &[f64]| -> Vec<f64> {
        column.iter().zip(&weights).flat_map(|(v, &w)| std::iter::repeat_n(*v, w as usize)).collect()
    };
    let flags = |column: &[bool]| -> Vec<bool> {
        column.iter().zip(&weights).flat_map(|(v, &w)| std::iter::repeat_n(*v, w as usize)).collect()
    };
    let copied = OpenSet { scores: copies(&items.scores), unknown: flags(&items.unknown), right: flags(&items.right) };
    let expected = Oscr::new(&copied).unwrap().value(&vec![1; copied.scores.len()]).unwrap();
    near(&[area.value(&weights).unwrap()], &[expected], 1e-12);
    // Only known items, or only unknown ones.
    let none = vec![0; items.scores.len()];
    assert!(area.value(&none).is_err());
    let known_only = OpenSet { unknown: vec![false; items.scores.len()], ..items };
    assert!(known_only.curve().is_err());
}

#[test]
fn what_cannot_be_fitted_says_so() {
    let x = Matrix::new(2, 1, vec![0.0, 1.0]).unwrap();
    assert!(Logistic::fit(&x, &[0], 2, &[1.0, 1.0], 1.0, 1e-5).is_err());
    assert!(Logistic::fit(&x, &[0, 2], 2, &[1.0, 1.0], 1.0, 1e-5).is_err());
    assert!(Logistic::fit(&x, &[0, 1], 2, &[1.0, 1.0], -1.0, 1e-5).is_err());
    assert!(Logistic::fit(&x, &[0, 1], 2, &[1.0, f64::NAN], 1.0, 1e-5).is_err());
    let missing = Matrix::new(2, 1, vec![0.0, f64::NAN]).unwrap();
    assert!(Logistic::fit(&missing, &[0, 1], 2, &[1.0, 1.0], 1.0, 1e-5).is_err());
    assert!(Neighbours::fit(x.clone(), &[0, 1], 2, 0).is_err());
    assert!(Components::of(&x.select(&[0], &[0])).is_err());
    assert!(Classified::new(2, vec![0, 1], vec![0.5, 0.5, f64::NAN, 0.0], vec![0, 1]).is_err());
    // Constant features and one class are no faults: the model says what it knows.
    let constant = Matrix::new(3, 2, vec![4.0; 6]).unwrap();
    let z = Standard::of(&constant).apply(&constant);
    let model = Logistic::fit(&z, &[0, 0, 0], 2, &[1.0; 3], 1.0, 1e-8).unwrap();
    assert!(model.probabilities(&z).iter().all(|p| p.is_finite()));
    assert!(model.probabilities(&z)[0] > 0.99);
    assert_eq!(Components::of(&z).unwrap().explained(0), 0.0);
}

#[test]
fn rank_correlation_over_generators_has_an_interval_over_people() {
    use dubito_stats::unseen::{by_group, correlation, rank_correlation};
    let noise = |i: usize| ((i as f64 * 0.618_033_988_75).fract() - 0.5) * 0.2;
    // Five generators, 20 people; doubt rises as the accuracy falls, but two generators are close.
    let (mut doubt, mut right, mut groups, mut people) = (vec![], vec![], vec![], vec![]);
    for person in 0..20usize {
        for group in 0..5usize {
            for copy in 0..4usize {
                let level = [0.1, 0.3, 0.31, 0.5, 0.7][group];
                let item = (person * 5 + group) * 4 + copy;
                doubt.push(level + noise(item));
                right.push(f64::from(u8::from((item as f64 * 0.754_877_666).fract() > level)));
                groups.push(group as u32);
                people.push(person as u32);
            }
        }
    }
    let bootstrap = Bootstrap { replicates: 300, ..Bootstrap::default() };
    let found = rank_correlation(&doubt, &right, &groups, &people, &bootstrap).unwrap();
    // The value is that of the groups' means.
    let correct: Vec<bool> = right.iter().map(|&r| r > 0.5).collect();
    let by: Vec<_> = by_group(&doubt, &correct, &groups).unwrap();
    let (x, y): (Vec<f64>, Vec<f64>) = by.iter().map(|g| (g.doubt, g.accuracy)).unzip();
    let spearman = correlation(&x, &y, 0).unwrap().spearman.value.value.unwrap();
    near(&[found.value.unwrap()], &[spearman], 1e-12);
    assert!(
        found.low.unwrap() <= spearman && spearman <= found.high.unwrap() && found.high.unwrap() < 0.0,
        "{found:?}"
    );
    // In another order of the items, the same bits.
    let back = |v: &[f64]| v.iter().rev().copied().collect::<Vec<_>>();
    let back_u = |v: &[u32]| v.iter().rev().copied().collect::<Vec<_>>();
    let again = rank_correlation(&back(&doubt), &back(&right), &back_u(&groups), &back_u(&people), &bootstrap).unwrap();
    assert_eq!(found, again);
    // Two generators, equal means, one person.
    let two: Vec<u32> = groups.iter().map(|g| g % 2).collect();
    assert!(rank_correlation(&doubt, &right, &two, &people, &bootstrap).unwrap().value.is_none());
    let same = vec![0.5; doubt.len()];
    assert!(rank_correlation(&same, &right, &groups, &people, &bootstrap).unwrap().value.is_none());
    let alone = rank_correlation(&doubt, &right, &groups, &vec![0; doubt.len()], &bootstrap).unwrap();
    assert!(alone.value.is_some() && alone.low.is_none() && alone.undefined_because.is_some());
    assert!(rank_correlation(&doubt, &right[1..], &groups, &people, &bootstrap).is_err());
}
