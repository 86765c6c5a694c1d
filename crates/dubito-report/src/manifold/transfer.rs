//! Whether the signal is the same over detectors and seeds: learned from one's features, tested on another's.

use dubito_stats::Bootstrap;
use dubito_stats::classify::{Classified, Standard};
use rayon::prelude::*;

use super::join::Fakes;
use super::validate::{Learner, classified, of, scatter, split};
use crate::ReportError;

/// `[learned from][tested on]`: what the linear classifier with its usual setting says of every fake. `columns[d]` are the
/// columns of detector `d`, the same features in the same order; the scale is that of the detector learned from, too.
/// People who are tested were not learned from. Errors: faults of the numbers.
pub(crate) fn transfer(fakes: &Fakes, columns: &[Vec<usize>]) -> Result<Vec<Vec<Classified>>, ReportError> {
    let classes = fakes.generators.len();
    let learner = Learner::Linear;
    let from = |source: &Vec<usize>| -> Result<Vec<Classified>, ReportError> {
        let mut all = vec![vec![0.0; fakes.labels.len() * classes]; columns.len()];
        for fold in 0..fakes.folds.len() {
            let (train, test) = split(fakes, fold);
            let learned = fakes.x.select(&train, source);
            let standard = Standard::of(&learned);
            let (z, labels) = (standard.apply(&learned), of(&fakes.labels, &train));
            for (out, target) in all.iter_mut().zip(columns) {
                let others = standard.apply(&fakes.x.select(&test, target));
                let found = learner.probabilities(&[learner.usual()], (&z, &labels), classes, &others)?;
                scatter(out, &test, &found[0], classes);
            }
        }
        all.into_iter().map(|probabilities| classified(fakes, probabilities)).collect()
    };
    columns.par_iter().map(from).collect()
}

/// How much of the largest probability (of a binary detector: how far its mean is from one half) can be had back from
/// features: R^2 of the mean over five neighbours, each fake by people who are not its own; with its interval. 1 is all of
/// it, 0 (or less) nothing.
pub(crate) fn given_away(
    fakes: &Fakes,
    columns: &[usize],
    target: &[f64],
    bootstrap: &Bootstrap,
) -> Result<dubito_stats::Estimate, ReportError> {
    use dubito_stats::classify::{Neighbours, with_interval};
    let place = |source| ReportError::Stats { place: "what features give away".into(), source };
    let (mut guesses, mut means) = (vec![0.0; target.len()], vec![0.0; target.len()]);
    for fold in 0..fakes.folds.len() {
        let (train, test) = split(fakes, fold);
        let (z, others) = super::validate::scaled(&fakes.x, columns, &train, &test);
        let neighbours = Neighbours::fit(z, &vec![0; train.len()], 1, 5).map_err(place)?;
        let mean = train.iter().map(|&i| target[i]).sum::<f64>() / train.len().max(1) as f64;
        for (at, &i) in test.iter().enumerate() {
            let nearest = neighbours.nearest(others.row(at));
            guesses[i] = nearest.iter().map(|&k| target[train[k]]).sum::<f64>() / nearest.len() as f64;
            means[i] = mean;
        }
    }
    let squares = |guess: &[f64]| target.iter().zip(guess).map(|(t, g)| (t - g).powi(2)).collect::<Vec<f64>>();
    let explained = Explained { left: squares(&guesses), all: squares(&means) };
    with_interval(&explained, &fakes.person, bootstrap, "the probability is the same for all fakes").map_err(place)
}

/// One less the squares that are left over those that there are.
struct Explained {
    left: Vec<f64>,
    all: Vec<f64>,
}

impl dubito_stats::weighted::Weighted for Explained {
    fn value(&self, weights: &[u32]) -> Result<f64, dubito_stats::weighted::Undefined> {
        let sum = |squares: &[f64]| squares.iter().zip(weights).map(|(s, &w)| s * f64::from(w)).sum::<f64>();
        let all = sum(&self.all);
        if all > 1e-18 { Ok(1.0 - sum(&self.left) / all) } else { Err(dubito_stats::weighted::Undefined::NoItems) }
    }
}
