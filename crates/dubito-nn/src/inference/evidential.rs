//! Evidential deep learning (Sensoy, Kaplan and Kandemir 2018): one network whose outputs are a Dirichlet distribution of the class
//! probabilities. Its samples are drawn from that, not from networks: what it says of its own doubt is of frames.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData, activation};
use serde::{Deserialize, Serialize};

use super::{Posterior, Sink};
use crate::NnError;
use crate::detector::Detector;
use crate::parameter::values_of;
use crate::rng::{Purpose, Stream};

/// Evidential deep learning: settings of training. The Dirichlet's parameters are 1 and the softplus of the network's outputs, its
/// evidence; the authors cut at 0 instead of the softplus, where no gradient is left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Evidential {
    /// Epochs in which the weight of the divergence from no evidence rises from 0 to 1; 1 or more.
    pub annealing: usize,
}

impl Default for Evidential {
    /// 10 epochs, as in the paper.
    fn default() -> Self {
        Self { annealing: 10 }
    }
}

impl Evidential {
    /// Checks every field.
    ///
    /// # Errors
    /// [`NnError::Setting`] that names the field.
    pub fn check(&self) -> Result<(), NnError> {
        match self.annealing {
            0 => Err(NnError::setting("annealing", "1 or more", 0)),
            _ => Ok(()),
        }
    }

    /// In words, for the model card.
    pub(super) fn in_words(&self) -> String {
        format!("evidential: samples of the Dirichlet that one network says, annealed over {} epochs", self.annealing)
    }

    /// The mean over a batch of the expected squared error of the Dirichlet (equation 5) and its divergence from the uniform one
    /// once the evidence of the crop's own class is taken away, in an epoch counted from 0. `logits` is `[items, classes]`; a crop
    /// counts as much as `counts` says of its class, all the same where that is empty.
    pub(crate) fn loss(
        &self,
        logits: Tensor<2>,
        labels: &[usize],
        counts: &[f32],
        epoch: usize,
        device: &Device,
    ) -> Tensor<1> {
        let [items, classes] = logits.dims();
        let mut own = vec![0.0f32; items * classes];
        labels.iter().enumerate().for_each(|(row, &class)| own[row * classes + class] = 1.0);
        let own = Tensor::<2>::from_data(TensorData::new(own, [items, classes]), device);
        let alpha = alpha(logits);
        let strength = alpha.clone().sum_dim(1);
        let p = alpha.clone() / strength.clone();
        let spread = p.clone() * (p.clone().neg() + 1.0) / (strength + 1.0);
        let count = |class: usize| counts.get(class).copied().unwrap_or(1.0);
        let mut error = (own - p).square() + spread;
        if !counts.is_empty() {
            let counts: Vec<f32> = labels.iter().map(|&class| count(class)).collect();
            error = error * Tensor::<2>::from_data(TensorData::new(counts, [items, 1]), device);
        }
        let error = error.sum() / items as f32;
        let weight = (epoch as f64 / self.annealing as f64).min(1.0);
        if weight == 0.0 {
            return error;
        }
        // Its value and slope are made on the host; what stands for it in the graph has both.
        let values = values_of(alpha.clone());
        let (mut constant, mut slopes) = (0.0, Vec::with_capacity(items * classes));
        for (row, &class) in values.chunks_exact(classes).zip(labels) {
            let others: Vec<f64> =
                row.iter().enumerate().map(|(k, &a)| if k == class { 1.0 } else { f64::from(a) }).collect();
            let (value, slope) = divergence(&others);
            let count = f64::from(count(class));
            constant += count * value;
            for (k, (slope, &a)) in slope.into_iter().zip(row).enumerate() {
                let slope = if k == class { 0.0 } else { count * slope };
                constant -= slope * f64::from(a);
                slopes.push(slope as f32);
            }
        }
        let slopes = Tensor::<2>::from_data(TensorData::new(slopes, [items, classes]), device);
        error + ((alpha * slopes).sum() + constant as f32) * (weight / items as f64) as f32
    }
}

/// The Dirichlet's parameters.
fn alpha(logits: Tensor<2>) -> Tensor<2> {
    activation::softplus(logits, 1.0) + 1.0
}

/// The logits of the Dirichlet's mean: what takes the place of a network's own where a softmax follows.
pub(crate) fn mean_logits(logits: Tensor<2>) -> Tensor<2> {
    alpha(logits).log()
}

/// KL(Dirichlet(alpha) || Dirichlet(1, ..., 1)) in nats, and its derivative by each parameter; all are 1 or more.
fn divergence(alpha: &[f64]) -> (f64, Vec<f64>) {
    let (classes, sum) = (alpha.len() as f64, alpha.iter().sum::<f64>());
    let [ln_gamma_sum, psi_sum, slope_sum] = gammas(sum);
    let mut value = ln_gamma_sum - gammas(classes)[0];
    let mut slopes = Vec::with_capacity(alpha.len());
    for &a in alpha {
        let [ln_gamma, psi, slope] = gammas(a);
        value += (a - 1.0) * (psi - psi_sum) - ln_gamma;
        slopes.push((a - 1.0) * slope - slope_sum * (sum - classes));
    }
    (value, slopes)
}

/// The logarithm of the gamma function with its first and second derivative, at 1 or more (Abramowitz and Stegun 6.1.41, 6.3.18
/// and 6.4.12, after a step up to where they are exact).
fn gammas(x: f64) -> [f64; 3] {
    let (mut x, mut ln, mut psi, mut slope) = (x, 0.0, 0.0, 0.0);
    while x < 12.0 {
        ln -= x.ln();
        psi -= 1.0 / x;
        slope += 1.0 / (x * x);
        x += 1.0;
    }
    let r = 1.0 / (x * x);
    ln += (x - 0.5) * x.ln() - x
        + 0.5 * std::f64::consts::TAU.ln()
        + (1.0 / 12.0 - r * (1.0 / 360.0 - r * (1.0 / 1260.0 - r / 1680.0))) / x;
    psi += x.ln() - 0.5 / x - r * (1.0 / 12.0 - r * (1.0 / 120.0 - r * (1.0 / 252.0 - r / 240.0)));
    slope += 1.0 / x + 0.5 * r + r / x * (1.0 / 6.0 - r * (1.0 / 30.0 - r * (1.0 / 42.0 - r / 30.0)));
    [ln, psi, slope]
}

/// Draws of the Dirichlet that one network says of each input. Sample t is drawn with the same noise for every input, a function
/// of (seed, t, class): a frame that is repeated keeps its doubt. It is no network: how frames hang together it does not know,
/// and what a video's samples say of epistemic doubt is what its frames' do, as if all were wrong together.
#[derive(Debug, Clone)]
pub struct EvidentialPosterior {
    net: Detector,
    /// What the parameter of each class is multiplied by; nothing without it.
    factors: Option<Vec<f32>>,
}

impl EvidentialPosterior {
    /// From a network that was trained so.
    pub fn new(net: Detector) -> Self {
        Self { net, factors: None }
    }

    /// From a network that was trained so, for classes of another prior: each parameter is multiplied by a factor above 1/3, so
    /// that the Dirichlet's mean is that of the prior where there is no evidence (the base rates of subjective logic).
    pub(crate) fn with_factors(net: Detector, factors: &[f64]) -> Self {
        Self { net, factors: Some(factors.iter().map(|&factor| factor as f32).collect()) }
    }
}

/// What a parameter has to be above, so that samples of it can be drawn.
pub(crate) const LEAST_PARAMETER: f64 = 1.0 / 3.0;

/// Standard normals at which Marsaglia and Tsang's (2000) gamma variates of these shapes (above 1/3) are accepted; `[items,
/// classes]`, the same stream of proposals for each item. Of a shape that is no number, infinite or too small, NaN.
fn accepted(alpha: &[f32], classes: usize, seed: u64, sample: u32) -> Vec<f32> {
    let one = |(at, &a): (usize, &f32)| {
        let mut stream = Stream::new(Purpose::Weight, seed, sample, (at % classes) as u32);
        let d = f64::from(a) - LEAST_PARAMETER;
        if !(d > 0.0 && d.is_finite()) {
            return f32::NAN;
        }
        loop {
            let x = stream.normal();
            let u = (f64::from(stream.bits()) + 0.5) / 4_294_967_296.0;
            let z = f64::from(x);
            let v = (1.0 + z / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && u.ln() < 0.5 * z * z + d - d * v + d * v.ln() {
                return x;
            }
        }
    };
    alpha.iter().enumerate().map(one).collect()
}

impl Posterior for EvidentialPosterior {
    fn classes(&self) -> usize {
        self.net.config().classes
    }

    fn device(&self) -> &Device {
        self.net.device()
    }

    fn stream(&self, batch: Tensor<4>, samples: Range<u32>, seed: u64, sink: &mut Sink<'_>) -> Result<(), NnError> {
        let [items, ..] = batch.dims();
        let classes = self.classes();
        let mut alpha = alpha(self.net.forward(batch)?);
        if let Some(factors) = &self.factors {
            alpha = alpha * Tensor::<2>::from_data(TensorData::new(factors.clone(), [1, classes]), self.device());
        }
        let values = values_of(alpha.clone());
        let d = alpha - LEAST_PARAMETER;
        for sample in samples {
            let x = accepted(&values, classes, seed, sample);
            let x = Tensor::<2>::from_data(TensorData::new(x, [items, classes]), self.device());
            let gamma = d.clone() * (x / (d.clone() * 9.0).sqrt() + 1.0).powi_scalar(3);
            let p = gamma.clone() / gamma.sum_dim(1);
            sink(sample..sample + 1, p.reshape([items, 1, classes]))?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The loss and its gradient by the evidence, beside torch-uncertainty's; the slope of the softplus is ours.
    #[test]
    fn the_loss_is_torch_uncertaintys() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/golden/evidential.json")).unwrap();
        let rows: Vec<Vec<f32>> = serde_json::from_value(golden["logits"].clone()).unwrap();
        let labels: Vec<usize> = serde_json::from_value(golden["labels"].clone()).unwrap();
        let (device, shape) = (Device::flex(), [rows.len(), rows[0].len()]);
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            let settings = Evidential { annealing: case["annealing"].as_u64().unwrap() as usize };
            let epoch = case["epoch"].as_u64().unwrap() as usize;
            let data = TensorData::new(rows.concat(), shape);
            let logits = Tensor::<2>::from_data(data, &device).autodiff().require_grad();
            let loss = settings.loss(logits.clone(), &labels, &[], epoch, &device);
            let (value, want) = (values_of(loss.clone().inner())[0], case["value"].as_f64().unwrap() as f32);
            assert!((value - want).abs() < 1e-5 * want.max(1.0), "epoch {epoch}: {value} instead of {want}");
            let ours = values_of(logits.grad(&loss.backward()).unwrap());
            let want: Vec<Vec<f32>> = serde_json::from_value(case["gradient"].clone()).unwrap();
            for (ours, want) in ours.iter().zip(want.concat()) {
                assert!((ours - want).abs() < 1e-5, "epoch {epoch}: gradient {ours} instead of {want}");
            }
        }
    }

    /// Mean, and mean entropy (the aleatoric part), of many samples are those of the Dirichlet in closed form.
    #[test]
    fn samples_are_of_the_dirichlet() {
        for alpha in [[1.0f32, 1.0, 1.0], [1.2, 3.0, 9.0], [40.0, 2.0, 1.0]] {
            let samples = 20_000u32;
            let (mut mean, mut entropy) = ([0.0f64; 3], 0.0);
            for t in 0..samples {
                let x = accepted(&alpha, 3, 5, t);
                let gamma = |(&a, x): (&f32, f32)| {
                    let d = f64::from(a) - 1.0 / 3.0;
                    d * (1.0 + f64::from(x) / (9.0 * d).sqrt()).powi(3)
                };
                let gammas: Vec<f64> = alpha.iter().zip(x).map(gamma).collect();
                let sum: f64 = gammas.iter().sum();
                for (mean, g) in mean.iter_mut().zip(&gammas) {
                    let p = g / sum;
                    *mean += p / f64::from(samples);
                    entropy -= p * p.max(1e-300).ln() / f64::from(samples);
                }
            }
            let sum: f64 = alpha.iter().map(|&a| f64::from(a)).sum();
            let psi = |x: f64| gammas(x)[1];
            let wanted: f64 =
                alpha.iter().map(|&a| f64::from(a) / sum * (psi(sum + 1.0) - psi(f64::from(a) + 1.0))).sum();
            assert!((entropy - wanted).abs() < 0.01, "{alpha:?}: {entropy} instead of {wanted}");
            for (mean, a) in mean.iter().zip(alpha) {
                assert!((mean - f64::from(a) / sum).abs() < 0.01, "{alpha:?}: {mean}");
            }
        }
    }

    #[test]
    fn parameters_that_are_none_have_no_samples() {
        let drawn = accepted(&[f32::NAN, f32::INFINITY, 0.28, -1.0, 1e30, f32::MAX, 0.34, 2.0], 8, 5, 0);
        assert!(drawn[..4].iter().all(|x| x.is_nan()) && drawn[4..].iter().all(|x| x.is_finite()), "{drawn:?}");
    }

    #[test]
    fn gammas_are_known_at_some_places() {
        let euler = 0.577_215_664_901_532_9;
        let sixth = std::f64::consts::PI.powi(2) / 6.0;
        for (x, want) in [(1.0, [0.0, -euler, sixth]), (5.0, [24f64.ln(), 25.0 / 12.0 - euler, sixth - 205.0 / 144.0])]
        {
            for (ours, want) in gammas(x).into_iter().zip(want) {
                assert!((ours - want).abs() < 1e-12, "{x}: {ours} instead of {want}");
            }
        }
        let (value, slopes) = divergence(&[1.0; 4]);
        assert!(value.abs() < 1e-12 && slopes.iter().all(|slope| slope.abs() < 1e-12));
    }
}
