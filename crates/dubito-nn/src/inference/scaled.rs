//! Temperature scaling (Guo et al. 2017) on top of any method: one number that all logits are divided by.

use std::ops::Range;

use burn::tensor::{Device, Tensor, activation};

use super::{Posterior, Sink};
use crate::NnError;

/// Temperatures that are looked at.
const RANGE: [f64; 2] = [0.05, 20.0];

/// A posterior whose samples' logits are divided by a temperature. Sample t stays sample t.
pub struct ScaledPosterior {
    inner: Box<dyn Posterior>,
    temperature: f32,
}

impl ScaledPosterior {
    /// On top of a posterior.
    ///
    /// # Errors
    /// [`NnError::Setting`] for a temperature that is not above 0.
    pub fn new(inner: Box<dyn Posterior>, temperature: f32) -> Result<Self, NnError> {
        check_temperature(temperature)?;
        Ok(Self { inner, temperature })
    }
}

impl Posterior for ScaledPosterior {
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
        self.inner.stream(batch, samples, seed, &mut |range, p| {
            // Logits but for a constant, which the softmax takes away.
            let logits = p.clamp_min(f32::MIN_POSITIVE).log() / self.temperature;
            sink(range, activation::softmax(logits, 2))
        })
    }
}

/// Checks a temperature.
///
/// # Errors
/// [`NnError::Setting`] where it is not above 0.
pub(crate) fn check_temperature(temperature: f32) -> Result<(), NnError> {
    match temperature > 0.0 && temperature.is_finite() {
        true => Ok(()),
        false => Err(NnError::setting("softmax_temperature", "above 0", temperature)),
    }
}

/// Samples of labelled items, to find a temperature on.
#[derive(Debug)]
pub(crate) struct Labelled {
    pub(crate) classes: usize,
    /// What each class's probability is multiplied by once the logits are divided, before they sum to 1 again.
    pub(crate) prior: Vec<f64>,
    /// Probabilities `[items, samples, classes]`.
    pub(crate) probabilities: Vec<f32>,
    /// Samples of an item.
    pub(crate) samples: usize,
    pub(crate) labels: Vec<usize>,
    /// What each item counts.
    pub(crate) weights: Vec<f64>,
}

impl Labelled {
    /// The temperature (from 0.05 to 20) at which the mean over the samples gives the labels the largest likelihood.
    ///
    /// # Errors
    /// [`NnError::Data`] where there is no item.
    pub(crate) fn best_temperature(&self) -> Result<f32, NnError> {
        if self.labels.is_empty() {
            return Err(NnError::Data { reason: "there is no crop to find a temperature on".to_owned() });
        }
        // Golden sections of the logarithm's range.
        let [mut low, mut high] = RANGE.map(f64::ln);
        let golden = 0.5 * (5f64.sqrt() - 1.0);
        let [mut left, mut right] = [high - golden * (high - low), low + golden * (high - low)];
        let [mut at_left, mut at_right] = [left, right].map(|t| self.loss(t.exp()));
        for _ in 0..40 {
            if at_left < at_right {
                (high, right, at_right) = (right, left, at_left);
                left = high - golden * (high - low);
                at_left = self.loss(left.exp());
            } else {
                (low, left, at_left) = (left, right, at_right);
                right = low + golden * (high - low);
                at_right = self.loss(right.exp());
            }
        }
        Ok((0.5 * (low + high)).exp() as f32)
    }

    /// The mean negative log-likelihood at a temperature, in nats.
    pub(crate) fn loss(&self, temperature: f64) -> f64 {
        let total: f64 = self.weights.iter().sum();
        let items = self.probabilities.chunks_exact(self.samples * self.classes);
        let one = |((item, &label), weight): ((&[f32], &usize), &f64)| {
            let sample = |p: &[f32]| {
                let power = |p: f32| (f64::from(p.max(f32::MIN_POSITIVE)).ln() / temperature).exp();
                let powers: Vec<f64> = p.iter().zip(&self.prior).map(|(&p, prior)| power(p) * prior).collect();
                powers[label] / powers.iter().sum::<f64>()
            };
            let mean = item.chunks_exact(self.classes).map(sample).sum::<f64>() / self.samples as f64;
            -weight * mean.max(f64::MIN_POSITIVE).ln()
        };
        items.zip(&self.labels).zip(&self.weights).map(one).sum::<f64>() / total
    }
}
