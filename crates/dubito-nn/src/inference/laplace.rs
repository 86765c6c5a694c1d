//! Laplace's approximation of the last layer's posterior (MacKay 1992; Daxberger et al. 2021): a Gaussian around the
//! trained weights whose precision is the generalised Gauss-Newton matrix of the likelihood and the prior's precision.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData, activation};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::eigen::symmetric_eigen;
use super::{Inference, Posterior, Sink, stream_networks};
use crate::NnError;
use crate::detector::Detector;
use crate::network::{Linear, Network, Node};
use crate::rng::{Purpose, normals};
use crate::state::{Array, StateDict};

/// Most weights and biases of a last layer for a full matrix.
const MOST: usize = 2100;

/// What of the curvature is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Curvature {
    /// Every pair of weights.
    Full,
    /// The product of a matrix of the inputs and one of the outputs (Martens and Grosse 2015), the bias by itself.
    #[default]
    Kronecker,
    /// Each weight by itself.
    Diagonal,
}

/// How the posterior becomes probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predictive {
    /// Sampled weights.
    #[default]
    Samples,
    /// The mean over the weights by the probit approximation (MacKay 1992), every sample the same: no epistemic part.
    Probit,
}

/// Last-layer Laplace: settings of fit and prediction.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Laplace {
    /// What of the curvature is kept.
    pub curvature: Curvature,
    /// How the posterior becomes probabilities.
    pub predictive: Predictive,
    /// Precision of the prior on each weight, above 0; without it the one that makes the data likeliest.
    pub prior_precision: Option<f64>,
    /// Distinct items that it was fitted on.
    pub items: usize,
    /// What the fit came to: ln p(labels) by the approximation, to compare fits on the same items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_evidence: Option<f64>,
}

impl Laplace {
    /// Checks every field.
    ///
    /// # Errors
    /// [`NnError::Setting`] for a precision that is not above 0; as [`last_layer`].
    pub fn check(&self, network: &Network) -> Result<(), NnError> {
        last_layer(network)?;
        match self.prior_precision {
            Some(precision) if !(precision > 0.0 && precision.is_finite()) => {
                Err(NnError::setting("prior_precision", "above 0", precision))
            }
            _ => Ok(()),
        }
    }

    /// In words, for the model card.
    pub(super) fn in_words(&self) -> String {
        let kept = match self.curvature {
            Curvature::Full => "full",
            Curvature::Kronecker => "Kronecker-factored",
            Curvature::Diagonal => "diagonal",
        };
        let how = match self.predictive {
            Predictive::Samples => "",
            Predictive::Probit => ", averaged by the probit approximation",
        };
        let precision = self.prior_precision.map_or(String::new(), |p| format!(", prior precision {p:.3}"));
        format!("last-layer Laplace, {kept} curvature of {} items{precision}{how}", self.items)
    }
}

/// The linear layer that returns the logits, and where it lies.
///
/// # Errors
/// [`NnError::Setting`] where the network does not end in one.
pub(crate) fn last_layer(network: &Network) -> Result<([usize; 2], &Linear), NnError> {
    let head = network.head();
    match network.stages[head].nodes.as_slice() {
        [before @ .., Node::Linear(linear)] => Ok(([head, before.len()], linear)),
        _ => Err(NnError::setting("inference", "a method for networks that do not end in a linear layer", "laplace")),
    }
}

/// What a last layer was fitted on: features `[items, input]`, logits `[items, classes]`, each item's class, and how
/// often each counts.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) features: Vec<f32>,
    pub(crate) logits: Vec<f32>,
    pub(crate) labels: Vec<usize>,
    pub(crate) weights: Vec<f64>,
}

/// A fitted curvature, in a basis in which it is diagonal.
pub(crate) struct Fit {
    /// What it is, by the structure.
    basis: Basis,
    /// Of each weight or direction, the curvature of the likelihood.
    values: Vec<f64>,
    /// ln p(labels | trained weights).
    log_likelihood: f64,
    /// Sum of the squares of the trained weights.
    square: f64,
}

enum Basis {
    /// Eigenvectors, each in a row, over `[classes, input + 1]`.
    Full(Vec<f64>),
    /// Eigenvectors of inputs and of outputs, each in a row; values `[input, classes]`, then `[classes]`.
    Kronecker { enter: Vec<f64>, leave: Vec<f64> },
    /// Values `[classes, input]`, then `[classes]`.
    Diagonal,
}

impl Fit {
    /// The curvature at the trained weights `[classes, input]` and biases.
    ///
    /// # Errors
    /// [`NnError::Data`] where there is nothing to fit on; [`NnError::Setting`] for a matrix that is too large.
    pub(crate) fn new(
        curvature: Curvature,
        evidence: &Evidence,
        weights: &[f32],
        bias: &[f32],
    ) -> Result<Self, NnError> {
        let Evidence { features, logits, labels, .. } = evidence;
        if labels.is_empty() {
            return Err(NnError::Data { reason: "there is no crop to fit a Laplace approximation on".to_owned() });
        }
        let (items, classes) = (labels.len(), bias.len());
        let input = features.len() / items;
        let log_p = |row: &[f32]| {
            let top = row.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
            let sum: f64 = row.iter().map(|&l| f64::from(l - top).exp()).sum();
            row.iter().map(|&l| f64::from(l - top) - sum.ln()).collect::<Vec<f64>>()
        };
        let log_p: Vec<Vec<f64>> = logits.chunks_exact(classes).map(log_p).collect();
        let log_likelihood =
            log_p.iter().zip(labels).zip(&evidence.weights).map(|((row, &label), weight)| weight * row[label]).sum();
        // The curvature of the softmax at an item: diag(p) - p p'.
        let lambda = |n: usize, a: usize, b: usize| {
            let [pa, pb] = [a, b].map(|c| log_p[n][c].exp());
            evidence.weights[n] * (if a == b { pa } else { 0.0 } - pa * pb)
        };
        let feature = |n: usize| &features[n * input..(n + 1) * input];
        let (basis, values) = match curvature {
            Curvature::Full => {
                let (width, size) = (input + 1, classes * (input + 1));
                if size > MOST {
                    let expected = format!("`kronecker` or `diagonal` for a last layer of more than {MOST} weights");
                    return Err(NnError::setting("curvature", expected, format!("`full`, of {size} weights")));
                }
                let mut matrix = vec![0.0; size * size];
                for a in 0..classes {
                    for b in 0..=a {
                        let block = second_moment(items, width, |n| lambda(n, a, b), |n| (feature(n), true));
                        for i in 0..width {
                            for j in 0..width {
                                let (row, column) = (a * width + i, b * width + j);
                                matrix[row * size + column] = block[i * width + j];
                                matrix[column * size + row] = block[i * width + j];
                            }
                        }
                    }
                }
                let (values, vectors) = symmetric_eigen(matrix, size);
                (Basis::Full(vectors), values)
            }
            Curvature::Kronecker => {
                let total: f64 = evidence.weights.iter().sum();
                let enter = second_moment(items, input, |n| evidence.weights[n] / total, |n| (feature(n), false));
                let leave: Vec<f64> = (0..classes * classes)
                    .map(|k| (0..items).map(|n| lambda(n, k / classes, k % classes)).sum())
                    .collect();
                let (inputs, enter) = symmetric_eigen(enter, input);
                let (outputs, leave) = symmetric_eigen(leave, classes);
                let products = inputs.iter().flat_map(|i| outputs.iter().map(move |o| i.max(0.0) * o.max(0.0)));
                let values = products.chain(outputs.iter().copied()).collect();
                (Basis::Kronecker { enter, leave }, values)
            }
            Curvature::Diagonal => {
                let weight = |k: usize| {
                    let (class, i) = (k / input, k % input);
                    (0..items).map(|n| lambda(n, class, class) * f64::from(feature(n)[i]).powi(2)).sum::<f64>()
                };
                let mut values: Vec<f64> = (0..classes * input).into_par_iter().map(weight).collect();
                values.extend((0..classes).map(|c| (0..items).map(|n| lambda(n, c, c)).sum::<f64>()));
                (Basis::Diagonal, values)
            }
        };
        let values = values.into_iter().map(|v| v.max(0.0)).collect();
        let square = weights.iter().chain(bias).map(|&w| f64::from(w).powi(2)).sum();
        Ok(Self { basis, values, log_likelihood, square })
    }

    /// ln p(labels) by Laplace's approximation, for a prior of this precision around 0.
    pub(crate) fn log_evidence(&self, precision: f64) -> f64 {
        let determinant: f64 = self.values.iter().map(|v| ((v + precision) / precision).ln()).sum();
        self.log_likelihood - 0.5 * (precision * self.square + determinant)
    }

    /// The precision that makes the labels likeliest (MacKay 1992): where as many weights are determined by the data as
    /// the prior says; from 1e-6 to 1e6.
    pub(crate) fn best_precision(&self) -> f64 {
        let too_low = |p: f64| self.values.iter().map(|v| v / (v + p)).sum::<f64>() > p * self.square;
        let (mut low, mut high) = (-6.0, 6.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if too_low(10f64.powf(middle)) { low = middle } else { high = middle }
        }
        10f64.powf(0.5 * (low + high))
    }

    /// What is kept beside the weights: the posterior's root under a prior of this precision.
    pub(crate) fn root(&self, name: &str, precision: f64, [input, classes]: [usize; 2]) -> StateDict {
        let deviation: Vec<f32> = self.values.iter().map(|v| (1.0 / (v + precision).sqrt()) as f32).collect();
        let array =
            |part: &str, shape: Vec<usize>, values: Vec<f32>| (format!("{name}.{part}"), Array { shape, values });
        let f32s = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<f32>>();
        match &self.basis {
            Basis::Full(vectors) => {
                // Rows of the root are weights, columns directions.
                let n = self.values.len();
                let entry = |k: usize| vectors[(k % n) * n + k / n] as f32 * deviation[k % n];
                StateDict::from([array("root", vec![n, n], (0..n * n).map(entry).collect())])
            }
            Basis::Kronecker { enter, leave } => StateDict::from([
                array("weight.enter", vec![input, input], f32s(enter)),
                array("weight.leave", vec![classes, classes], f32s(leave)),
                array("weight.deviation", vec![input, classes], deviation[..input * classes].to_vec()),
                array("bias.deviation", vec![classes], deviation[input * classes..].to_vec()),
            ]),
            Basis::Diagonal => StateDict::from([
                array("weight.deviation", vec![classes, input], deviation[..input * classes].to_vec()),
                array("bias.deviation", vec![classes], deviation[input * classes..].to_vec()),
            ]),
        }
    }
}

/// The sum over items of a weight times x x', where x is the item's features, with a 1 behind them where that is said.
fn second_moment<'a>(
    items: usize,
    width: usize,
    weight: impl Fn(usize) -> f64 + Sync,
    row: impl Fn(usize) -> (&'a [f32], bool) + Sync,
) -> Vec<f64> {
    let mut sums = vec![0.0; width * width];
    // Each row of sums by itself, so that their order does not depend on the number of threads.
    sums.par_chunks_mut(width).enumerate().for_each(|(i, sums)| {
        for n in 0..items {
            let (x, one) = row(n);
            let scale = weight(n) * x.get(i).map_or(1.0, |&x| f64::from(x));
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum += scale * f64::from(x);
            }
            if one {
                sums[width - 1] += scale;
            }
        }
    });
    sums
}

/// Fits a last layer: the settings with what was found, and what is kept beside the weights.
pub(crate) fn fit(settings: &Laplace, net: &Detector, evidence: &Evidence) -> Result<(Inference, StateDict), NnError> {
    settings.check(net.network())?;
    let (_, linear) = last_layer(net.network())?;
    let [weight, bias] = ["weight", "bias"].map(|part| &net.parameters()[net.index_of(&linear.name, part)]);
    let fit = Fit::new(settings.curvature, evidence, &weight.to_array().values, &bias.to_array().values)?;
    let precision = settings.prior_precision.unwrap_or_else(|| fit.best_precision());
    let arrays = fit.root(&linear.name, precision, [linear.input, linear.out]);
    let items = evidence.labels.len();
    let found = Laplace {
        prior_precision: Some(precision),
        items,
        log_evidence: Some(fit.log_evidence(precision)),
        ..settings.clone()
    };
    Ok((Inference::Laplace(found), arrays))
}

/// A root of the posterior's covariance, as tensors.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // there is one
enum Root {
    /// `[classes * (input + 1)] ^ 2`.
    Full(Tensor<2>),
    /// Eigenvectors in columns, `[input, input]` and `[classes, classes]`; deviations `[input, classes]`, `[1, classes]`.
    Kronecker { enter: Tensor<2>, leave: Tensor<2>, weight: Tensor<2>, bias: Tensor<2> },
    /// Deviations `[input, classes]` and `[1, classes]`.
    Diagonal { weight: Tensor<2>, bias: Tensor<2> },
}

/// A Gaussian last layer. Sample t is the network whose last layer is mean + root times normals that are a function of
/// (seed, t).
#[derive(Debug, Clone)]
pub struct LaplacePosterior {
    net: Detector,
    place: [usize; 2],
    /// Indices of weight and bias.
    arrays: [usize; 2],
    root: Root,
    predictive: Predictive,
}

impl LaplacePosterior {
    /// From the trained network and what the fit left.
    ///
    /// # Errors
    /// [`NnError::Setting`] as [`Laplace::check`]; [`NnError::MissingTensor`], [`NnError::TensorShape`].
    pub fn new(net: Detector, settings: &Laplace, arrays: &StateDict) -> Result<Self, NnError> {
        settings.check(net.network())?;
        let (place, linear) = last_layer(net.network())?;
        let (name, input, classes) = (&linear.name, linear.input, linear.out);
        let matrix = |part: &str, shape: [usize; 2]| {
            let name = format!("{name}.{part}");
            let expected = shape.to_vec();
            let Some(Array { shape: found, values }) = arrays.get(&name) else {
                return Err(NnError::MissingTensor { name, expected });
            };
            if found.iter().product::<usize>() != shape[0] * shape[1] || found.last() != Some(&shape[1]) {
                return Err(NnError::TensorShape { name, expected, found: found.clone() });
            }
            Ok(Tensor::<2>::from_data(TensorData::new(values.clone(), shape), net.device()))
        };
        let root = match settings.curvature {
            Curvature::Full => Root::Full(matrix("root", [classes * (input + 1); 2])?),
            Curvature::Kronecker => Root::Kronecker {
                enter: matrix("weight.enter", [input; 2])?.transpose(),
                leave: matrix("weight.leave", [classes; 2])?.transpose(),
                weight: matrix("weight.deviation", [input, classes])?,
                bias: matrix("bias.deviation", [1, classes])?,
            },
            Curvature::Diagonal => Root::Diagonal {
                weight: matrix("weight.deviation", [classes, input])?.transpose(),
                bias: matrix("bias.deviation", [1, classes])?,
            },
        };
        let indices = ["weight", "bias"].map(|part| net.index_of(name, part));
        Ok(Self { place, arrays: indices, root, predictive: settings.predictive, net })
    }

    /// Input and classes of the last layer.
    fn sides(&self) -> [usize; 2] {
        let [weight, _] = self.arrays;
        self.net.parameters()[weight].value.dims()
    }

    /// The network that sample `sample` is.
    pub fn network(&self, sample: u32, seed: u64) -> Detector {
        let [input, classes] = self.sides();
        let n = (input + 1) * classes;
        let z = normals(Purpose::Weight, seed, sample, self.arrays[0] as u32, n);
        let z = Tensor::<2>::from_data(TensorData::new(z, [n, 1]), self.net.device());
        let weight_part = |z: &Tensor<2>| z.clone().narrow(0, 0, input * classes).reshape([input, classes]);
        let bias_part = |z: &Tensor<2>| z.clone().narrow(0, input * classes, classes).reshape([1, classes]);
        let [weight, bias] = match &self.root {
            Root::Full(root) => {
                let moved = root.clone().matmul(z).reshape([classes, input + 1]);
                [moved.clone().narrow(1, 0, input).transpose(), moved.narrow(1, input, 1).transpose()]
            }
            Root::Kronecker { enter, leave, weight, bias } => [
                enter.clone().matmul(weight_part(&z) * weight.clone()).matmul(leave.clone().transpose()),
                (bias_part(&z) * bias.clone()).matmul(leave.clone().transpose()),
            ],
            Root::Diagonal { weight, bias } => [weight_part(&z) * weight.clone(), bias_part(&z) * bias.clone()],
        };
        let mut net = self.net.clone();
        for (index, moved) in self.arrays.into_iter().zip([weight, bias]) {
            net.set_value(index, self.net.parameters()[index].value.clone() + moved);
        }
        net
    }

    /// Mean and variance of each logit, `[items, classes]`, for features `[items, input]`.
    pub(super) fn logits(&self, features: Tensor<2>) -> [Tensor<2>; 2] {
        let [input, classes] = self.sides();
        let [weight, bias] = self.arrays.map(|index| self.net.parameters()[index].value.clone());
        let mean = features.clone().matmul(weight) + bias;
        let variance = match &self.root {
            Root::Full(root) => {
                let of = |class: usize| {
                    let rows = root.clone().narrow(0, class * (input + 1), input + 1);
                    let moved = features.clone().matmul(rows.clone().narrow(0, 0, input)) + rows.narrow(0, input, 1);
                    moved.square().sum_dim(1)
                };
                Tensor::cat((0..classes).map(of).collect(), 1)
            }
            Root::Kronecker { enter, leave, weight, bias } => {
                let turned = features.matmul(enter.clone()).square().matmul(weight.clone().square());
                (turned + bias.clone().square()).matmul(leave.clone().square().transpose())
            }
            Root::Diagonal { weight, bias } => {
                features.square().matmul(weight.clone().square()) + bias.clone().square()
            }
        };
        [mean, variance]
    }
}

impl Posterior for LaplacePosterior {
    fn classes(&self) -> usize {
        self.net.config().classes
    }

    fn device(&self) -> &Device {
        self.net.device()
    }

    fn networks(&self) -> Option<u32> {
        (self.predictive == Predictive::Probit).then_some(1)
    }

    fn stream(&self, batch: Tensor<4>, samples: Range<u32>, seed: u64, sink: &mut Sink<'_>) -> Result<(), NnError> {
        match self.predictive {
            Predictive::Samples => {
                stream_networks(&self.net, self.place, batch, samples, sink, &|sample| self.network(sample, seed))
            }
            Predictive::Probit => {
                self.net.check_images(&batch)?;
                let [items, ..] = batch.dims();
                let [input, classes] = self.sides();
                let features = self.net.run_until(batch, self.place).reshape([items, input]);
                let [mean, variance] = self.logits(features);
                let p = activation::softmax(mean / (variance * (std::f32::consts::PI / 8.0) + 1.0).sqrt(), 1);
                sink(samples.clone(), p.reshape([items, 1, classes]).repeat_dim(1, samples.len()))
            }
        }
    }
}
