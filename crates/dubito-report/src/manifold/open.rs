//! Open set: fakes of a generator that the classifier does not know, by the probability that it gives its best guess.

use dubito_stats::classify::{OpenSet, Oscr, with_interval};
use dubito_stats::discrimination::Auroc;
use dubito_stats::probability::argmax;
use dubito_stats::weighted::Weighted;
use dubito_stats::{Bootstrap, Estimate};
use rayon::prelude::*;

use super::join::Fakes;
use super::validate::{Learner, of, scaled, split};
use crate::ReportError;

/// One generator as the unknown one.
pub(crate) struct Unknown {
    /// The area under the OSCR curve.
    pub area: Estimate,
    /// How well the unknown are told by a low largest probability.
    pub auroc: Estimate,
    /// Share of the known fakes that are named right.
    pub closed: Estimate,
    /// The curve's points.
    pub curve: Vec<(f64, f64)>,
    /// The area, to be resampled with others; and the fakes' people.
    pub oscr: Oscr,
    pub detection: Auroc,
}

/// Leave out each generator from learning in turn. All fakes are tested by models that saw neither their person nor the
/// generator left out; the linear classifier with its usual setting. Errors: faults of the numbers.
pub(crate) fn leave_each_out(
    fakes: &Fakes,
    columns: &[usize],
    bootstrap: &Bootstrap,
) -> Result<Vec<Unknown>, ReportError> {
    let place = |source| ReportError::Stats { place: "the open set".into(), source };
    let learner = Learner::Linear;
    let classes = fakes.generators.len();
    let one = |left_out: usize| -> Result<Unknown, ReportError> {
        let count = fakes.labels.len();
        let (mut scores, mut right) = (vec![0.0; count], vec![false; count]);
        for fold in 0..fakes.folds.len() {
            let (train, test) = split(fakes, fold);
            let known: Vec<usize> = train.into_iter().filter(|&i| fakes.labels[i] != left_out).collect();
            let (z, others) = scaled(&fakes.x, columns, &known, &test);
            // The generator left out is no class at all.
            let without = |label: usize| label - usize::from(label > left_out);
            let labels: Vec<usize> = of(&fakes.labels, &known).into_iter().map(without).collect();
            let found = learner.probabilities(&[learner.usual()], (&z, &labels), classes - 1, &others)?;
            for (&i, row) in test.iter().zip(found[0].chunks_exact(classes - 1)) {
                let best = argmax(row);
                scores[i] = row[best];
                right[i] = fakes.labels[i] != left_out && best == without(fakes.labels[i]);
            }
        }
        let unknown: Vec<bool> = fakes.labels.iter().map(|&label| label == left_out).collect();
        let doubt: Vec<f64> = scores.iter().map(|score| -score).collect();
        let detection = Auroc::new(&doubt, &unknown);
        let known_right = Share(unknown.iter().zip(&right).map(|(&u, &r)| (!u).then_some(r)).collect());
        let items = OpenSet { scores, unknown, right };
        let (oscr, curve) = (Oscr::new(&items).map_err(place)?, items.curve().map_err(place)?);
        let interval = |metric: &dyn Weighted| {
            with_interval(metric, &fakes.person, bootstrap, "there are no known or no unknown fakes").map_err(place)
        };
        Ok(Unknown {
            area: interval(&oscr)?,
            auroc: interval(&detection)?,
            closed: interval(&known_right)?,
            curve,
            oscr,
            detection,
        })
    };
    (0..classes).into_par_iter().map(one).collect()
}

/// The share of true ones; `None` does not count.
struct Share(Vec<Option<bool>>);

impl Weighted for Share {
    fn value(&self, weights: &[u32]) -> Result<f64, dubito_stats::weighted::Undefined> {
        let (mut right, mut all) = (0u64, 0u64);
        for (is_right, &weight) in self.0.iter().zip(weights) {
            let Some(is_right) = is_right else { continue };
            all += u64::from(weight);
            right += u64::from(weight) * u64::from(*is_right);
        }
        if all > 0 { Ok(right as f64 / all as f64) } else { Err(dubito_stats::weighted::Undefined::NoItems) }
    }
}
