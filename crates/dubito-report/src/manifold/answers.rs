//! What each classifier says by each set of features, and what a detector that knows classes says itself.

use dubito_stats::classify::{Classified, Judgement, judge};

use super::features::Kind;
use super::join::Fakes;
use super::sets::FeatureSet;
use super::validate::{Learner, classified, cross_validated};
use super::{ManifoldOptions, Null, permuted};
use crate::ReportError;

/// One classifier on one set.
pub(crate) struct Answer {
    pub set: FeatureSet,
    pub learner: Learner,
    pub items: Classified,
    pub judgement: Judgement,
    /// Under permuted labels; `None` where the classifier is not permuted.
    pub null: Option<Null>,
    /// The setting chosen in each fold.
    pub settings: Vec<f64>,
}

/// What a detector that knows the generators says itself.
pub(crate) struct Own {
    pub detector: String,
    pub judgement: Judgement,
    /// Generators that are none of its classes, which it cannot name.
    pub lacks: Vec<String>,
}

/// All classifiers on all sets. Errors: faults of the numbers.
pub(crate) fn answers(
    fakes: &Fakes,
    sets: &[FeatureSet],
    options: &ManifoldOptions,
) -> Result<Vec<Answer>, ReportError> {
    let place = |source| ReportError::Stats { place: "source detection".into(), source };
    let mut all = Vec::new();
    for set in sets {
        for &learner in &options.learners {
            let (items, settings) = cross_validated(fakes, &set.columns, learner)?;
            let judgement = judge(&items, &options.bootstrap).map_err(place)?;
            // Trees take too long to be grown some hundred times over.
            let null = match learner {
                Learner::Trees => None,
                _ => Some(permuted(fakes, &set.columns, learner, options.permutations, options.seed)?),
            };
            all.push(Answer { set: set.clone(), learner, items, judgement, null, settings });
        }
    }
    Ok(all)
}

/// The most probable of the generators by each detector that knows some of them as classes: nothing is learned. Errors:
/// faults of the numbers.
pub(crate) fn own(fakes: &Fakes, options: &ManifoldOptions) -> Result<Vec<Own>, ReportError> {
    let place = |source| ReportError::Stats { place: "a detector's own classes".into(), source };
    let count = fakes.generators.len();
    let mut all = Vec::new();
    for (at, (name, classes)) in fakes.detectors.iter().enumerate() {
        if classes.is_none() {
            continue;
        }
        let column = |generator: &String| {
            let is_it = |c: &super::Column| {
                c.detector == Some(at) && c.kind == Kind::Probability && c.feature == format!("p_{generator}")
            };
            fakes.columns.iter().position(is_it)
        };
        let columns: Vec<Option<usize>> = fakes.generators.iter().map(column).collect();
        let lacks: Vec<String> =
            fakes.generators.iter().zip(&columns).filter(|(_, c)| c.is_none()).map(|(g, _)| g.clone()).collect();
        if lacks.len() == count {
            continue;
        }
        let mut probabilities = Vec::with_capacity(fakes.labels.len() * count);
        for row in 0..fakes.labels.len() {
            let values: Vec<f64> = columns.iter().map(|c| c.map_or(0.0, |c| fakes.x.row(row)[c].max(0.0))).collect();
            let sum: f64 = values.iter().sum();
            // Sure that it is real, it says nothing of the generator.
            probabilities.extend(values.iter().map(|p| if sum > 0.0 { p / sum } else { 1.0 / count as f64 }));
        }
        let items = classified(fakes, probabilities)?;
        let judgement = judge(&items, &options.bootstrap).map_err(place)?;
        all.push(Own { detector: name.clone(), judgement, lacks });
    }
    Ok(all)
}
