//! Classifiers under identity-disjoint cross-validation: nobody who is tested was learned from, and what is chosen is
//! chosen inside the training folds.

use dubito_stats::classify::{Classified, Logistic, Matrix, Neighbours, Standard};
use dubito_stats::probability::argmax;
use forust_ml::GradientBooster;
use rayon::prelude::*;

use super::join::Fakes;
use crate::ReportError;

/// Largest slope at which the linear classifier's search ends, see [`Logistic::fit`].
const TOLERANCE: f64 = 1e-4;
/// Of the trees: their learning rate and depth.
const RATE: f32 = 0.1;
const DEPTH: usize = 3;
/// Groups of people where there is one training fold only.
const INNER: usize = 3;

/// A kind of classifier, each with one setting that is chosen inside the training folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learner {
    /// Multinomial logistic regression; its setting is the L2 penalty.
    Linear,
    /// k nearest neighbours; its setting is k.
    Neighbours,
    /// Gradient-boosted trees, one ensemble for each class against the rest; the setting is their number.
    Trees,
}

impl Learner {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Linear, Self::Neighbours, Self::Trees];

    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Neighbours => "k-NN",
            Self::Trees => "boosted trees",
        }
    }

    /// What is chosen from, the plainest first, which wins a tie.
    fn settings(self) -> &'static [f64] {
        match self {
            Self::Linear => &[1000.0, 100.0, 10.0, 1.0, 0.1],
            Self::Neighbours => &[45.0, 15.0, 5.0],
            Self::Trees => &[20.0, 50.0, 100.0],
        }
    }

    /// Where nothing is chosen: for permutations, open sets and transfer.
    pub(crate) fn usual(self) -> f64 {
        match self {
            Self::Linear => 10.0,
            Self::Neighbours => 15.0,
            Self::Trees => 50.0,
        }
    }

    /// Learn from standardised rows; the probabilities `[rows, classes]` of others under each of these settings. Classes
    /// count the same however many rows they have. Errors: faults of the numbers.
    pub(crate) fn probabilities(
        self,
        settings: &[f64],
        (train, labels): (&Matrix, &[usize]),
        classes: usize,
        test: &Matrix,
    ) -> Result<Vec<Vec<f64>>, ReportError> {
        let place = |source| ReportError::Stats { place: format!("the {} classifier", self.title()), source };
        let weights = balanced(labels, classes);
        match self {
            Self::Linear => {
                let fit = |&penalty: &f64| Logistic::fit(train, labels, classes, &weights, penalty, TOLERANCE);
                settings.iter().map(|penalty| Ok(fit(penalty).map_err(place)?.probabilities(test))).collect()
            }
            Self::Neighbours => {
                let fit = |&k: &f64| Neighbours::fit(train.clone(), labels, classes, k as usize);
                settings.iter().map(|k| Ok(fit(k).map_err(place)?.probabilities(test))).collect()
            }
            Self::Trees => trees(settings, train, labels, &weights, classes, test),
        }
    }
}

/// Weights under which all classes that are there weigh the same, with the mean 1.
fn balanced(labels: &[usize], classes: usize) -> Vec<f64> {
    let mut counts = vec![0.0; classes];
    labels.iter().for_each(|&label| counts[label] += 1.0);
    let present = counts.iter().filter(|&&count| count > 0.0).count() as f64;
    labels.iter().map(|&label| labels.len() as f64 / (present * counts[label])).collect()
}

/// One ensemble of trees for each class against the rest, the log-odds of each to a probability, divided by their sum.
fn trees(
    settings: &[f64],
    train: &Matrix,
    labels: &[usize],
    weights: &[f64],
    classes: usize,
    test: &Matrix,
) -> Result<Vec<Vec<f64>>, ReportError> {
    let flat = |x: &Matrix| -> Vec<f64> { (0..x.columns()).flat_map(|j| x.column(j).collect::<Vec<_>>()).collect() };
    let (train_values, test_values) = (flat(train), flat(test));
    let of = |x: &Matrix| (x.rows(), x.columns());
    let ((rows, columns), (others, _)) = (of(train), of(test));
    let most = settings.iter().copied().fold(1.0, f64::max) as usize;
    let failed = |problem: String| ReportError::Experiment {
        problem: format!("the boosted trees cannot be fitted: {problem}"),
        hint: "this is a fault of the program: please report it with the predictions".into(),
    };
    let mut all = vec![vec![0.0; others * classes]; settings.len()];
    for class in 0..classes {
        let y: Vec<f64> = labels.iter().map(|&label| f64::from(u8::from(label == class))).collect();
        if y.iter().all(|&y| y == 0.0) {
            continue;
        }
        let mut booster = GradientBooster::default()
            .set_iterations(most)
            .set_learning_rate(RATE)
            .set_max_depth(DEPTH)
            .set_nbins(64)
            .set_parallel(false);
        let train = forust_ml::Matrix::new(&train_values, rows, columns);
        booster.fit(&train, &y, weights, None).map_err(|error| failed(error.to_string()))?;
        let test = forust_ml::Matrix::new(&test_values, others, columns);
        for (out, &setting) in all.iter_mut().zip(settings) {
            booster.prediction_iteration = Some(setting as usize);
            for (row, odds) in booster.predict(&test, false).into_iter().enumerate() {
                out[row * classes + class] = 1.0 / (1.0 + (-odds).exp());
            }
        }
    }
    for row in all.iter_mut().flat_map(|one| one.chunks_exact_mut(classes)) {
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|p| *p /= sum);
    }
    Ok(all)
}

/// The rows of some fakes under some columns, and the rows of others, on the scale of the first.
pub(crate) fn scaled(x: &Matrix, columns: &[usize], train: &[usize], test: &[usize]) -> (Matrix, Matrix) {
    let (train, test) = (x.select(train, columns), x.select(test, columns));
    let standard = Standard::of(&train);
    (standard.apply(&train), standard.apply(&test))
}

/// What the classifier says of every fake, each by a model that never saw its person, with the setting of each fold chosen
/// by leaving out one training fold after the other; and these settings. Errors: faults of the numbers.
pub(crate) fn cross_validated(
    fakes: &Fakes,
    columns: &[usize],
    learner: Learner,
) -> Result<(Classified, Vec<f64>), ReportError> {
    let settings = learner.settings();
    let classes = fakes.generators.len();
    let of_fold = |fold: usize| -> Result<(Vec<usize>, Vec<f64>, f64), ReportError> {
        let (train, test) = split(fakes, fold);
        let inner = inner_groups(fakes, &train);
        let groups = inner.iter().max().map_or(0, |last| last + 1);
        let mut right = vec![vec![(0usize, 0usize); classes]; settings.len()];
        for group in 0..groups {
            let part = |is: bool| -> Vec<usize> {
                train.iter().zip(&inner).filter(|(_, g)| (**g == group) == is).map(|(&i, _)| i).collect()
            };
            let (learned, judged) = (part(false), part(true));
            if learned.is_empty() || judged.is_empty() {
                continue;
            }
            let (z, others) = scaled(&fakes.x, columns, &learned, &judged);
            let labels = of(&fakes.labels, &learned);
            let found = learner.probabilities(settings, (&z, &labels), classes, &others)?;
            for (counts, probabilities) in right.iter_mut().zip(&found) {
                for (&i, row) in judged.iter().zip(probabilities.chunks_exact(classes)) {
                    let label = fakes.labels[i];
                    counts[label].1 += 1;
                    counts[label].0 += usize::from(argmax(row) == label);
                }
            }
        }
        let recall = |counts: &Vec<(usize, usize)>| -> f64 {
            let present = counts.iter().filter(|(_, all)| *all > 0);
            present.map(|(right, all)| *right as f64 / *all as f64).sum()
        };
        let mut best = 0;
        for at in 1..settings.len() {
            if recall(&right[at]) > recall(&right[best]) + 1e-12 {
                best = at;
            }
        }
        let (z, others) = scaled(&fakes.x, columns, &train, &test);
        let labels = of(&fakes.labels, &train);
        let mut found = learner.probabilities(&settings[best..=best], (&z, &labels), classes, &others)?;
        Ok((test, found.pop().unwrap_or_default(), settings[best]))
    };
    let folds: Vec<_> = (0..fakes.folds.len()).into_par_iter().map(of_fold).collect::<Result<_, _>>()?;
    let mut chosen = Vec::new();
    let mut probabilities = vec![0.0; fakes.labels.len() * classes];
    for (test, found, setting) in folds {
        scatter(&mut probabilities, &test, &found, classes);
        chosen.push(setting);
    }
    Ok((classified(fakes, probabilities)?, chosen))
}

/// The same with one setting, and other labels to learn from and to be judged by. One thread, for callers that run many.
pub(crate) fn with_setting(
    fakes: &Fakes,
    columns: &[usize],
    learner: Learner,
    setting: f64,
    labels: &[usize],
) -> Result<f64, ReportError> {
    let classes = fakes.generators.len();
    let mut counts = dubito_stats::discrimination::ClassCounts::new(classes);
    for fold in 0..fakes.folds.len() {
        let (train, test) = split(fakes, fold);
        let (z, others) = scaled(&fakes.x, columns, &train, &test);
        let found = learner.probabilities(&[setting], (&z, &of(labels, &train)), classes, &others)?;
        for (&i, row) in test.iter().zip(found[0].chunks_exact(classes)) {
            counts.add(labels[i], argmax(row), 1);
        }
    }
    let place = "permuted labels".to_owned();
    counts.balanced_accuracy().map_err(|_| ReportError::Experiment {
        problem: format!("{place}: fewer than two generators"),
        hint: "give fakes of several generators".into(),
    })
}

pub(crate) fn classified(fakes: &Fakes, probabilities: Vec<f64>) -> Result<Classified, ReportError> {
    let place = |source| ReportError::Stats { place: "the classifier".into(), source };
    Classified::new(fakes.generators.len(), fakes.labels.clone(), probabilities, fakes.person.clone()).map_err(place)
}

/// Write the rows of some fakes to their places.
pub(crate) fn scatter(all: &mut [f64], rows: &[usize], found: &[f64], classes: usize) {
    for (&i, row) in rows.iter().zip(found.chunks_exact(classes)) {
        all[i * classes..(i + 1) * classes].copy_from_slice(row);
    }
}

/// The fakes outside a fold, and those in it.
pub(crate) fn split(fakes: &Fakes, fold: usize) -> (Vec<usize>, Vec<usize>) {
    (0..fakes.labels.len()).partition(|&i| fakes.fold[i] != fold)
}

pub(crate) fn of(labels: &[usize], rows: &[usize]) -> Vec<usize> {
    rows.iter().map(|&i| labels[i]).collect()
}

/// Groups of people among the training rows: their folds, or thirds of the people where there is one fold only.
fn inner_groups(fakes: &Fakes, train: &[usize]) -> Vec<usize> {
    let mut folds: Vec<usize> = train.iter().map(|&i| fakes.fold[i]).collect();
    folds.sort_unstable();
    folds.dedup();
    match folds.len() {
        0 | 1 => train.iter().map(|&i| fakes.person[i] as usize % INNER).collect(),
        _ => train.iter().map(|&i| folds.binary_search(&fakes.fold[i]).unwrap_or(0)).collect(),
    }
}
