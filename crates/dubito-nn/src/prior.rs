//! The prior of the classes: a network of several classes is trained so that its own answers are for equally common classes, and
//! is asked for a verdict, in which real and fake are equally likely before anything is seen.

use std::ops::Range;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use dubito_stats::probability::half_real_prior;

use crate::NnError;
use crate::inference::{Inference, LEAST_PARAMETER, Posterior, Sink};
use crate::parameter::values_of;
use crate::run::RunConfig;

/// The class that is nobody's forgery.
const REAL: &str = "real";

/// Least prior of a class: a factor of its reciprocal keeps the digits of a probability.
const LEAST: f64 = 1e-6;

/// Whether classes are `real` and two others or more: of two classes the prior is what training makes it, one half each where it
/// is balanced.
pub(crate) fn has_several_fakes(class_names: &[String]) -> bool {
    class_names.len() > 2 && class_names.iter().any(|name| name == REAL)
}

/// The prior of equally common classes.
pub(crate) fn equal_prior(classes: usize) -> Vec<f64> {
    vec![1.0 / classes.max(1) as f64; classes]
}

impl RunConfig {
    /// The prior that the network's own answers are for: what the run says, else that of equally common classes.
    pub fn class_prior(&self) -> Vec<f64> {
        match self.trained_on.class_prior.as_slice() {
            [] => equal_prior(self.class_names.len()),
            prior => prior.to_vec(),
        }
    }

    /// What the probability of each class is multiplied by (before they sum to 1 again) so that real and fake are equally
    /// likely before anything is seen; `None` where that is nothing: no class is `real`, or of two classes nothing is said.
    pub fn verdict_factors(&self) -> Option<Vec<f64>> {
        let real = self.class_names.iter().position(|name| name == REAL)?;
        if self.class_names.len() <= 2 && self.trained_on.class_prior.is_empty() {
            return None;
        }
        let (from, to) = (self.class_prior(), half_real_prior(self.class_names.len(), real));
        Some(from.iter().zip(to).map(|(from, to)| to / from).collect())
    }

    /// Checks the prior that the run says.
    ///
    /// # Errors
    /// [`NnError::Setting`] where it is none of these classes.
    pub(crate) fn check_class_prior(&self) -> Result<(), NnError> {
        let prior = &self.trained_on.class_prior;
        let sound = prior.len() == self.class_names.len()
            && prior.iter().all(|p| *p >= LEAST)
            && (prior.iter().sum::<f64>() - 1.0).abs() < 1e-6;
        match prior.is_empty() || sound {
            true => Ok(()),
            false => Err(NnError::setting(
                "trained_on.class_prior",
                format!("{} numbers of {LEAST} or more that sum to 1, one for each class", self.class_names.len()),
                format!("{prior:?}"),
            )),
        }
    }

    /// Checks what goes with an evidential network: its samples are of no network, so that nothing follows from a temperature;
    /// and a prior that is far from a verdict's leaves parameters of which no samples can be drawn.
    ///
    /// # Errors
    /// [`NnError::Setting`].
    pub(crate) fn check_evidential(&self) -> Result<(), NnError> {
        if !matches!(self.inference, Some(Inference::Evidential(_))) {
            return Ok(());
        }
        if let Some(temperature) = self.softmax_temperature {
            return Err(NnError::setting("softmax_temperature", "none for an evidential run", temperature));
        }
        match self.verdict_factors() {
            Some(factors) if factors.iter().any(|factor| *factor <= LEAST_PARAMETER) => Err(NnError::setting(
                "trained_on.class_prior",
                "for an evidential run less than 3 times the prior of a verdict for each class (one half for `real`)",
                format!("{:?}", self.trained_on.class_prior),
            )),
            _ => Ok(()),
        }
    }
}

/// A posterior that a verdict is made of: its samples are of classes with another prior, and an answer that is no number is an
/// error. Sample t stays sample t.
pub struct VerdictPosterior {
    inner: Box<dyn Posterior>,
    factors: Option<Vec<f32>>,
    path: PathBuf,
}

impl VerdictPosterior {
    /// On top of the posterior of the detector at `path`; with one factor above 0 for each class, where there are some, as
    /// [`RunConfig::verdict_factors`] gives them.
    pub fn new(inner: Box<dyn Posterior>, factors: Option<Vec<f64>>, path: &Path) -> Self {
        // Only their ratios count, and whole numbers leave no rounding: F of `real` for F classes of fakes.
        let scaled = |factors: Vec<f64>| {
            let smallest = factors.iter().copied().fold(f64::INFINITY, f64::min);
            factors.iter().map(|factor| (factor / smallest) as f32).collect()
        };
        Self { inner, factors: factors.map(scaled), path: path.to_owned() }
    }
}

impl Posterior for VerdictPosterior {
    fn classes(&self) -> usize {
        self.inner.classes()
    }

    fn device(&self) -> &Device {
        self.inner.device()
    }

    fn networks(&self) -> Option<u32> {
        self.inner.networks()
    }

    fn stream(&self, batch: Tensor<4>, samples: Range<u32>, seed: u64, sink: &mut Sink<'_>) -> Result<(), NnError> {
        let factors = self.factors.as_ref().map(|factors| {
            let data = TensorData::new(factors.clone(), [1, 1, factors.len()]);
            Tensor::<3>::from_data(data, self.device())
        });
        self.inner.stream(batch, samples, seed, &mut |range, p| {
            if let Some(found) = values_of(p.clone()).into_iter().find(|p| !p.is_finite()) {
                return Err(NnError::NotFinite { path: self.path.clone(), found });
            }
            match &factors {
                None => sink(range, p),
                Some(factors) => {
                    let p = p * factors.clone();
                    let sum = p.clone().sum_dim(2);
                    sink(range, p / sum)
                }
            }
        })
    }
}
