//! Uncertainty maps: which pixels a prediction or its uncertainty hangs on, by its gradient, along a path from a blurred
//! picture, or by covering patches.
//!
//! A map is of one quantity ([`Quantity`]) of one posterior, through all its samples: the gradient of the entropy of their
//! mean, say, not the mean of the gradients of their entropies. Maps of one item do not depend on the others in the batch.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::NnError;
use crate::detector::{Detector, Pass, Statistics};
use crate::gradient::input_gradient;
use crate::inference::Posterior;
use crate::init::Init;
use crate::network::Node;
use crate::rng::{Purpose, normals};

/// What a map is of. Uncertainties are in nats and of real against fake where the detector has a class `real`, else of all
/// its classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Entropy of the mean over the samples, `H[mean p]`.
    Total,
    /// Mean entropy of a sample, `mean H[p]`.
    Aleatoric,
    /// Their difference: what the samples disagree about (Houlsby et al. 2011; Depeweg et al. 2018).
    Epistemic,
    /// `1 - P(real)`, the mean over the samples: of several classes those of [`Run::verdict`](crate::Run::verdict).
    PFake,
}

impl Quantity {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Total, Self::Aleatoric, Self::Epistemic, Self::PFake];

    /// Its name in settings, tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Aleatoric => "aleatoric",
            Self::Epistemic => "epistemic",
            Self::PFake => "p_fake",
        }
    }

    /// Its name in sentences.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Total => "total uncertainty",
            Self::Aleatoric => "aleatoric uncertainty",
            Self::Epistemic => "epistemic uncertainty",
            Self::PFake => "P(fake)",
        }
    }

    /// The quantity `[items]` of probabilities `[items, samples, classes]`, differentiable. `real` is the index of the class
    /// `real`; without it [`Quantity::PFake`] is 1.
    pub fn of(self, p: Tensor<3>, real: Option<usize>) -> Tensor<1> {
        let [items, samples, _] = p.dims();
        let p = match real {
            None => p,
            Some(real) => {
                let real = p.narrow(2, real, 1);
                let fake = -real.clone() + 1.0;
                Tensor::cat(vec![real, fake], 2)
            }
        };
        let entropy = |p: Tensor<3>| -(p.clone() * p.clamp_min(f32::MIN_POSITIVE).log()).sum_dim(2);
        let total = |p: Tensor<3>| entropy(p.mean_dim(1)).reshape([items]);
        let aleatoric = |p: Tensor<3>| (entropy(p).sum_dim(1) / samples as f32).reshape([items]);
        match self {
            Self::Total => total(p),
            Self::Aleatoric => aleatoric(p),
            Self::Epistemic => total(p.clone()) - aleatoric(p),
            Self::PFake if real.is_some() => p.narrow(2, 1, 1).mean_dim(1).reshape([items]),
            Self::PFake => p.sum_dim(2).mean_dim(1).reshape([items]),
        }
    }

    /// The quantity of one item's samples `[samples, classes]`, in double precision.
    pub fn of_samples(self, samples: &[f32], classes: usize, real: Option<usize>) -> f64 {
        let rows: Vec<Vec<f64>> = samples
            .chunks_exact(classes.max(1))
            .map(|row| match real.and_then(|real| row.get(real)) {
                Some(&real) => vec![f64::from(real), 1.0 - f64::from(real)],
                None => row.iter().map(|&p| f64::from(p)).collect(),
            })
            .collect();
        let count = rows.len().max(1) as f64;
        let entropy = |p: &[f64]| -p.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>();
        let width = rows.first().map_or(0, Vec::len);
        let mean: Vec<f64> = (0..width).map(|c| rows.iter().map(|row| row[c]).sum::<f64>() / count).collect();
        let aleatoric = rows.iter().map(|row| entropy(row)).sum::<f64>() / count;
        match self {
            Self::Total => entropy(&mean),
            Self::Aleatoric => aleatoric,
            Self::Epistemic => entropy(&mean) - aleatoric,
            Self::PFake => {
                if real.is_some() {
                    mean.get(1).copied().unwrap_or(0.0)
                } else {
                    1.0
                }
            }
        }
    }
}

impl std::str::FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|q| q.name() == text).ok_or_else(|| format!("{text:?} is none of {}", names()))
    }
}

/// How a map is made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Method {
    /// Size of the gradient, summed over the colours (Simonyan et al. 2014), in nats (or probability) for a change of a pixel
    /// from black to white. Never negative.
    Gradient,
    /// Gradient times normalised input, summed over the colours (Shrikumar et al. 2017). Has a sign.
    TimesInput,
    /// As [`Method::Gradient`], of the mean gradient of noisy copies (Smilkov et al. 2017).
    Smooth {
        /// Copies.
        copies: u32,
        /// Standard deviation of the noise in pixel values (0 to 255).
        sigma: f32,
    },
    /// Integrated gradients (Sundararajan et al. 2017) by the midpoint rule, from the blurred picture. Has a sign; all pixels
    /// add up to the quantity here less that of the blurred picture, but for the error of the rule ([`Completeness`]).
    Integrated {
        /// Steps of the path.
        steps: u32,
        /// Standard deviation of the blur of the picture it begins at, in pixels.
        blur: f32,
    },
    /// What the quantity loses where a patch is blurred: the mean over the patches that cover a pixel (Zeiler and Fergus
    /// 2014). Has a sign. Needs no gradient, so it checks the others.
    Occlusion {
        /// Side of a patch in pixels.
        patch: usize,
        /// Distance of one patch from the next.
        stride: usize,
        /// Standard deviation of the blur in pixels.
        blur: f32,
    },
}

impl Method {
    /// Its name in settings, tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gradient => "gradient",
            Self::TimesInput => "times_input",
            Self::Smooth { .. } => "smooth",
            Self::Integrated { .. } => "integrated",
            Self::Occlusion { .. } => "occlusion",
        }
    }

    /// Checks its settings.
    ///
    /// # Errors
    /// [`NnError::Setting`] that names the field.
    fn check(self) -> Result<(), NnError> {
        let sound = |field, value: f32| match value >= 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(NnError::setting(field, "0 or more", value)),
        };
        let some = |field, value: usize| match value {
            0 => Err(NnError::setting(field, "1 or more", value)),
            _ => Ok(()),
        };
        match self {
            Self::Gradient | Self::TimesInput => Ok(()),
            Self::Smooth { copies, sigma } => some("copies", copies as usize).and(sound("sigma", sigma)),
            Self::Integrated { steps, blur } => some("steps", steps as usize).and(sound("blur", blur)),
            Self::Occlusion { patch, stride, blur } => {
                some("patch", patch).and(some("stride", stride)).and(sound("blur", blur))
            }
        }
    }
}

/// The quantity of a posterior that maps are made of.
#[derive(Clone)]
pub struct Explained<'a> {
    /// The posterior.
    pub posterior: &'a dyn Posterior,
    /// Its samples; their numbers and the seed say which.
    pub samples: Range<u32>,
    /// Seed of the samples, and of the noise of [`Method::Smooth`].
    pub seed: u64,
    /// What of them.
    pub quantity: Quantity,
    /// Index of the class `real`, where there is one.
    pub real: Option<usize>,
    /// By what each channel was divided when the batch was normalised (its values were 0 to 1 before).
    pub deviation: [f32; 3],
}

/// How well integrated gradients add up for one item.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Completeness {
    /// Sum of the map.
    pub sum: f64,
    /// The quantity of the picture less that of the picture that the path begins at.
    pub difference: f64,
}

impl Completeness {
    /// `|sum - difference|`, in the quantity's unit.
    pub fn gap(&self) -> f64 {
        (self.sum - self.difference).abs()
    }
}

/// The map of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// The quantity.
    pub value: f64,
    /// The map, row by row, as large as the input.
    pub pixels: Vec<f32>,
    /// Length of the gradient at the item, of the colours in 0 to 1; `None` of a method that takes no gradient there.
    pub gradient: Option<f64>,
    /// Of integrated gradients.
    pub completeness: Option<Completeness>,
}

impl Explained<'_> {
    fn check(&self) -> Result<(), NnError> {
        if self.quantity == Quantity::PFake && self.real.is_none() {
            return Err(NnError::setting("what", "total, aleatoric or epistemic: no class is `real`", "p_fake"));
        }
        match self.samples.is_empty() {
            true => Err(NnError::setting("samples", "1 or more", 0)),
            false => Ok(()),
        }
    }

    /// The quantity of each item, without any gradient.
    ///
    /// # Errors
    /// Those of [`Posterior::draw`]; [`NnError::Setting`] for P(fake) without a class `real`.
    pub fn values(&self, batch: Tensor<4>) -> Result<Vec<f64>, NnError> {
        self.check()?;
        let classes = self.posterior.classes();
        let drawn = numbers(self.posterior.draw(batch, self.samples.clone(), self.seed)?);
        let one = self.samples.len() * classes;
        Ok(drawn.chunks_exact(one).map(|item| self.quantity.of_samples(item, classes, self.real)).collect())
    }

    /// The quantity of each item and its gradient with respect to the normalised batch.
    ///
    /// # Errors
    /// Those of [`input_gradient`]; [`NnError::Setting`] for P(fake) without a class `real`.
    pub fn gradient(&self, batch: Tensor<4>) -> Result<(Vec<f32>, Tensor<4>), NnError> {
        self.check()?;
        let objective = |p: Tensor<3>| self.quantity.of(p, self.real);
        input_gradient(self.posterior, batch, self.samples.clone(), self.seed, &objective)
    }

    /// A map for each item of a normalised batch `[items, channels, h, w]`.
    ///
    /// # Errors
    /// Those of [`Explained::gradient`]; [`NnError::Setting`] for a setting of the method out of its range.
    pub fn maps(&self, method: Method, batch: &Tensor<4>) -> Result<Vec<Map>, NnError> {
        method.check()?;
        match method {
            Method::Gradient => self.of_gradients(batch, |gradient, _, deviation| (gradient / deviation).abs()),
            Method::TimesInput => self.of_gradients(batch, |gradient, input, _| gradient * input),
            Method::Smooth { copies, sigma } => self.smooth(batch, copies, sigma),
            Method::Integrated { steps, blur } => self.integrated(batch, steps, blur),
            Method::Occlusion { patch, stride, blur } => self.occlusion(batch, patch, stride, blur),
        }
    }

    /// Maps that are a function of the gradient, the input and the channel's deviation, summed over the channels.
    fn of_gradients(&self, batch: &Tensor<4>, of: fn(f32, f32, f32) -> f32) -> Result<Vec<Map>, NnError> {
        let [_, channels, h, w] = batch.dims();
        let (values, gradient) = self.gradient(batch.clone())?;
        let (gradient, input) = (numbers(gradient), numbers(batch.clone()));
        let one = channels * h * w;
        let items = values.iter().zip(gradient.chunks_exact(one)).zip(input.chunks_exact(one));
        Ok(items
            .map(|((&value, gradient), input)| {
                let mut pixels = vec![0.0; h * w];
                for (i, (&g, &x)) in gradient.iter().zip(input).enumerate() {
                    pixels[i % (h * w)] += of(g, x, self.deviation_of(i / (h * w)));
                }
                let gradient = Some(self.length(gradient, h * w));
                Map { value: f64::from(value), pixels, gradient, completeness: None }
            })
            .collect())
    }

    fn deviation_of(&self, channel: usize) -> f32 {
        self.deviation.get(channel).copied().unwrap_or(1.0)
    }

    /// Length of one item's gradient `[channels, plane]`, of colours in 0 to 1.
    fn length(&self, gradient: &[f32], plane: usize) -> f64 {
        let squares = gradient.iter().enumerate().map(|(i, g)| f64::from(g / self.deviation_of(i / plane)).powi(2));
        squares.sum::<f64>().sqrt()
    }

    fn smooth(&self, batch: &Tensor<4>, copies: u32, sigma: f32) -> Result<Vec<Map>, NnError> {
        let shape @ [items, channels, h, w] = batch.dims();
        let (plane, one) = (h * w, channels * h * w);
        let (values, at_item) = self.gradient(batch.clone())?;
        let at_item = numbers(at_item);
        let mut sum = vec![0.0f32; items * one];
        for copy in 0..copies {
            // The same noise for every item, so that no item depends on its place in the batch.
            let mut noise = normals(Purpose::Other, self.seed, copy, 0, one);
            for (i, z) in noise.iter_mut().enumerate() {
                *z *= sigma / 255.0 / self.deviation_of(i / plane);
            }
            let noise = Tensor::<4>::from_data(TensorData::new(noise, [1, channels, h, w]), &batch.device());
            let (_, gradient) = self.gradient(batch.clone() + noise.expand(shape))?;
            sum.iter_mut().zip(numbers(gradient)).for_each(|(sum, g)| *sum += g / copies as f32);
        }
        let items = values.iter().zip(sum.chunks_exact(one)).zip(at_item.chunks_exact(one));
        Ok(items
            .map(|((&value, mean), at_item)| {
                let mut pixels = vec![0.0; plane];
                for (i, g) in mean.iter().enumerate() {
                    pixels[i % plane] += (g / self.deviation_of(i / plane)).abs();
                }
                let gradient = Some(self.length(at_item, plane));
                Map { value: f64::from(value), pixels, gradient, completeness: None }
            })
            .collect())
    }

    fn integrated(&self, batch: &Tensor<4>, steps: u32, blur: f32) -> Result<Vec<Map>, NnError> {
        let [items, channels, h, w] = batch.dims();
        let (plane, one) = (h * w, channels * h * w);
        let baseline = blurred(batch, blur);
        let path = batch.clone() - baseline.clone();
        let mut sum = vec![0.0f64; items * one];
        for step in 0..steps {
            let at = (step as f32 + 0.5) / steps as f32;
            let (_, gradient) = self.gradient(baseline.clone() + path.clone() * at)?;
            sum.iter_mut().zip(numbers(gradient)).for_each(|(sum, g)| *sum += f64::from(g));
        }
        let (values, at_baseline) = (self.values(batch.clone())?, self.values(baseline)?);
        let path = numbers(path);
        Ok((0..items)
            .map(|item| {
                let mut pixels = vec![0.0f64; plane];
                for i in 0..one {
                    let at = item * one + i;
                    pixels[i % plane] += f64::from(path[at]) * sum[at] / f64::from(steps);
                }
                let difference = values[item] - at_baseline[item];
                let completeness = Some(Completeness { sum: pixels.iter().sum(), difference });
                let pixels = pixels.into_iter().map(|v| v as f32).collect();
                Map { value: values[item], pixels, gradient: None, completeness }
            })
            .collect())
    }

    fn occlusion(&self, batch: &Tensor<4>, patch: usize, stride: usize, blur: f32) -> Result<Vec<Map>, NnError> {
        let [items, channels, h, w] = batch.dims();
        let values = self.values(batch.clone())?;
        let (own, other) = (numbers(batch.clone()), numbers(blurred(batch, blur)));
        let starts = |side: usize| -> Vec<usize> {
            let last = side.saturating_sub(patch);
            // Every pixel is covered: the last patch ends at the edge.
            (0..last).step_by(stride).chain([last]).collect()
        };
        let mut sums = vec![vec![(0.0f64, 0u32); h * w]; items];
        for top in starts(h) {
            for left in starts(w) {
                let inside = |y: usize, x: usize| (top..top + patch).contains(&y) && (left..left + patch).contains(&x);
                let covered = own.iter().zip(&other).enumerate().map(|(i, (&own, &other))| {
                    let (y, x) = (i / w % h, i % w);
                    if inside(y, x) { other } else { own }
                });
                let covered = TensorData::new(covered.collect::<Vec<f32>>(), [items, channels, h, w]);
                let found = self.values(Tensor::from_data(covered, &batch.device()))?;
                for ((sums, value), found) in sums.iter_mut().zip(&values).zip(found) {
                    for y in top..(top + patch).min(h) {
                        for (sum, count) in &mut sums[y * w + left..y * w + (left + patch).min(w)] {
                            *sum += value - found;
                            *count += 1;
                        }
                    }
                }
            }
        }
        let pixels = |sums: Vec<(f64, u32)>| sums.into_iter().map(|(sum, n)| (sum / f64::from(n.max(1))) as f32);
        let map = |(sums, value)| Map { value, pixels: pixels(sums).collect(), gradient: None, completeness: None };
        Ok(sums.into_iter().zip(values).map(map).collect())
    }
}

/// Which items' gradients vanish: those shorter than `epsilon` times the median length. Binary entropy is flat where the mean
/// is 0.5 and where a sample's probability is 0 or 1 in single precision; a map of such an item shows rounding.
pub fn vanishing(lengths: &[f64], epsilon: f64) -> Vec<bool> {
    let mut sorted = lengths.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0);
    lengths.iter().map(|length| !(*length > 0.0 && *length >= epsilon * median)).collect()
}

/// Grad-CAM (Selvaraju et al. 2017) at what the last convolution leaves: channels weighted by the mean of their gradients, what
/// is negative set to 0, made as large as the input by bilinear interpolation. `objective` gives each item's number from logits
/// `[items, classes]`. One map `[h * w]` for each item.
///
/// # Errors
/// [`NnError::Input`] for a batch of another shape, [`NnError::Setting`] where the network pools nothing.
pub fn grad_cam(
    net: &Detector,
    batch: Tensor<4>,
    objective: &dyn Fn(Tensor<2>) -> Tensor<1>,
) -> Result<Vec<Vec<f32>>, NnError> {
    net.check_images(&batch)?;
    let [items, _, h, w] = batch.dims();
    let network = net.network();
    let head = network.head();
    let pools = |node: &Node| matches!(node, Node::AveragePool | Node::Flatten);
    let Some(node) = network.stages[head].nodes.iter().position(pools) else {
        return Err(NnError::setting("detector", "a network whose head pools a feature map", net.architecture()));
    };
    let features = net.run_until(batch, [head, node]).autodiff().require_grad();
    let logits = net.run_from(features.clone(), [head, node], &mut Pass::inference(None));
    let gradients = objective(logits.reshape([items, net.config().classes])).sum().backward();
    let [_, rows, columns, channels] = features.dims();
    let Some(gradient) = features.grad(&gradients) else {
        return Ok(vec![vec![0.0; h * w]; items]);
    };
    let (features, gradient) = (numbers(features.inner()), numbers(gradient));
    let one = rows * columns * channels;
    Ok(features
        .chunks_exact(one)
        .zip(gradient.chunks_exact(one))
        .map(|(features, gradient)| {
            let mut weights = vec![0.0f32; channels];
            for (i, g) in gradient.iter().enumerate() {
                weights[i % channels] += g / (rows * columns) as f32;
            }
            let small: Vec<f32> = features
                .chunks_exact(channels)
                .map(|place| place.iter().zip(&weights).map(|(f, a)| f * a).sum::<f32>().max(0.0))
                .collect();
            resize(&small, [rows, columns], [h, w])
        })
        .collect())
}

/// What [`grad_cam`] is usually of: the log-odds of fake, from the index of the class `real`; without one the largest logit.
pub fn log_odds_of_fake(real: Option<usize>) -> impl Fn(Tensor<2>) -> Tensor<1> {
    move |logits| {
        let [items, classes] = logits.dims();
        let Some(real) = real else { return logits.max_dim(1).reshape([items]) };
        let others = (0..classes).filter(|c| *c != real).map(|c| logits.clone().narrow(1, c, 1)).collect();
        let others = Tensor::cat(others, 1);
        let largest = others.clone().max_dim(1);
        let fake = (others - largest.clone()).exp().sum_dim(1).log() + largest;
        (fake - logits.narrow(1, real, 1)).reshape([items])
    }
}

/// A map `[rows, columns]` at another size, bilinear between the centres of its pixels, its edge repeated (PyTorch's
/// `interpolate` with `align_corners` off).
pub fn resize(map: &[f32], [rows, columns]: [usize; 2], [h, w]: [usize; 2]) -> Vec<f32> {
    let place = |i: usize, from: usize, to: usize| {
        let at = ((i as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, from.saturating_sub(1) as f32);
        let low = at as usize;
        (low, (low + 1).min(from.saturating_sub(1)), at - low as f32)
    };
    let mut out = Vec::with_capacity(h * w);
    for y in 0..h {
        let (top, bottom, v) = place(y, rows, h);
        for x in 0..w {
            let (left, right, u) = place(x, columns, w);
            let at = |row: usize, column: usize| map[row * columns + column];
            let above = at(top, left) * (1.0 - u) + at(top, right) * u;
            let below = at(bottom, left) * (1.0 - u) + at(bottom, right) * u;
            out.push(above * (1.0 - v) + below * v);
        }
    }
    out
}

/// The batch blurred by a Gaussian of this standard deviation in pixels, cut off at three of them, edges repeated.
pub fn blurred(batch: &Tensor<4>, sigma: f32) -> Tensor<4> {
    let shape @ [_, _, h, w] = batch.dims();
    let mut values = numbers(batch.clone());
    values.par_chunks_mut((h * w).max(1)).for_each(|plane| blur_plane(plane, [h, w], sigma));
    Tensor::from_data(TensorData::new(values, shape), &batch.device())
}

/// One plane blurred, as [`blurred`] does.
pub fn blur_plane(plane: &mut [f32], [h, w]: [usize; 2], sigma: f32) {
    if sigma <= 0.0 || plane.is_empty() {
        return;
    }
    let radius = (3.0 * sigma + 0.5) as isize;
    let kernel: Vec<f32> = (-radius..=radius).map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp()).collect();
    let norm: f32 = kernel.iter().sum();
    let pass = |from: &[f32], to: &mut [f32], length: usize, index: &dyn Fn(usize, usize) -> usize, lines: usize| {
        for line in 0..lines {
            for i in 0..length {
                let mut sum = 0.0;
                for (k, weight) in kernel.iter().enumerate() {
                    let at = (i as isize + k as isize - radius).clamp(0, length as isize - 1) as usize;
                    sum += weight * from[index(line, at)];
                }
                to[index(line, i)] = sum / norm;
            }
        }
    };
    let mut across = vec![0.0; plane.len()];
    pass(plane, &mut across, w, &|line, i| line * w + i, h);
    pass(&across, plane, h, &|line, i| i * w + line, w);
}

impl Detector {
    /// The same architecture with random weights, a function of the seed: what maps are compared with, since one that does not
    /// change shows the picture and not what was learned (Adebayo et al. 2018). Batch norm's statistics are those of `images`
    /// (a normalised batch), so that activations stay in their usual range.
    ///
    /// # Errors
    /// [`NnError::Input`] for a batch of another shape.
    pub fn randomised(&self, seed: u64, images: Tensor<4>) -> Result<Self, NnError> {
        self.check_images(&images)?;
        let mut net = Self::new(self.architecture(), self.config(), Init::Kaiming, seed, self.device())?;
        let mut seen = Vec::new();
        let stages = 0..net.network().stages.len();
        let mut pass = Pass { statistics: Statistics::Batch(&mut seen), masks: None, noise: None };
        drop(net.run_stages(images, stages, &mut pass));
        net.update_statistics(&seen, Some(1.0));
        Ok(net)
    }
}

/// A tensor's values on the host.
fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}
