//! What chance gives: the same classifier on labels that were permuted among each person's fakes.

use dubito_stats::Estimate;
use dubito_stats::bootstrap::quantile;
use rayon::prelude::*;

use super::join::{Fakes, shuffled};
use super::validate::{Learner, with_setting};
use crate::ReportError;

/// Balanced accuracy under permuted labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Null {
    /// With the true labels, under the same setting as the permutations.
    pub observed: Estimate,
    /// With permuted labels: the mean, and the range of 95 % of them.
    pub permuted: Estimate,
    /// Share of the permutations (the true labels among them) that are at least as good as the true labels: above 0, at
    /// most 1 (Ojala and Garriga, "Permutation Tests for Studying Classifier Performance", JMLR 11, 2010; Phipson and Smyth,
    /// "Permutation P-values Should Never Be Zero", 2010).
    pub p_value: Estimate,
}

/// Permute, learn anew and test, `permutations` times with the classifier's usual setting. Labels are exchanged within a
/// person, so that a classifier that only knows people gains nothing. Errors: faults of the numbers.
pub fn permuted(
    fakes: &Fakes,
    columns: &[usize],
    learner: Learner,
    permutations: usize,
    seed: u64,
) -> Result<Null, ReportError> {
    let of = |labels: &[usize]| with_setting(fakes, columns, learner, learner.usual(), labels);
    let observed = of(&fakes.labels)?;
    let point = Estimate::point(observed);
    let none = |reason: &str| Null {
        observed: point.clone(),
        permuted: Estimate::undefined(reason),
        p_value: Estimate::undefined(reason),
    };
    let mixed = (0..fakes.labels.len())
        .any(|i| (0..i).any(|j| fakes.person[i] == fakes.person[j] && fakes.labels[i] != fakes.labels[j]));
    if !mixed {
        return Ok(none("no person has fakes of two generators: there is nothing to permute within a person"));
    }
    if permutations == 0 {
        return Ok(none("no permutations were asked for"));
    }
    let mut found: Vec<f64> = (0..permutations as u64)
        .into_par_iter()
        .map(|number| of(&shuffled(fakes, seed, number)))
        .collect::<Result<_, _>>()?;
    let better = found.iter().filter(|&&value| value >= observed - 1e-12).count();
    found.sort_by(f64::total_cmp);
    let permuted = Estimate {
        value: Some(found.iter().sum::<f64>() / found.len() as f64),
        low: Some(quantile(&found, 0.025)),
        high: Some(quantile(&found, 0.975)),
        undefined_because: None,
    };
    let p_value = Estimate::point((better + 1) as f64 / (permutations + 1) as f64);
    Ok(Null { observed: point, permuted, p_value })
}
