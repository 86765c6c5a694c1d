//! Methods beside bayesian-torch and laplace-torch on the same weights and noise, and beside posteriors that are known.
#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Tensor, TensorData, activation};
use serde_json::Value;

use super::gaussian::{divergence, inverse_softplus, softplus};
use super::laplace::{Evidence, Fit, fit};
use super::noise::{Noise, Place, drawn};
use super::*;
use crate::architectures::{Architecture, NetworkConfig};
use crate::detector::Statistics;
use crate::formula::formula;
use crate::layers::{convolve, convolve_planes};
use crate::network::{Convolution, Linear, ParameterShape, Stage};
use crate::optim::{Optimiser, OptimiserConfig, ScheduleConfig};
use crate::parameter::{Parameter, values_of};
use crate::rng::{Purpose, Stream, normals};

fn golden() -> Value {
    serde_json::from_str(include_str!("../../tests/golden/inference.json")).unwrap()
}

/// Every number in nested lists.
fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(all) => all.iter().flat_map(flat).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn assert_near(ours: &[f32], want: &Value, tolerance: f64, what: &str) {
    let want = flat(want);
    assert_eq!(ours.len(), want.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(want).enumerate() {
        assert!((f64::from(*a) - b).abs() < tolerance * b.abs().max(1.0), "{what} {i}: {a} instead of {b}");
    }
}

/// `tensor` of inference.py.
fn numbers(name: &str, n: usize, scale: f32, offset: f32) -> Vec<f32> {
    formula(name, n).into_iter().map(|u| offset + scale * u).collect()
}

/// An array in PyTorch's layout as a matrix.
fn matrix(shape: &[usize], values: &[f32]) -> Tensor<2> {
    let array = ParameterShape { name: String::new(), shape: shape.to_vec(), learned: true };
    let mut p = Parameter::zeros(0, array, &Device::flex());
    p.set_array(values);
    p.value
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// A layer of inference.py: means, deviations, noise, and what it does to its input in planes.
struct Layer {
    kind: &'static str,
    shape: Vec<usize>,
    x: Tensor<4>,
}

impl Layer {
    fn all() -> [Self; 2] {
        let x = |name, shape: [usize; 4]| tensor(numbers(name, shape.iter().product(), 4.0, 0.0), shape);
        [
            Self { kind: "linear", shape: vec![3, 6], x: x("x", [4, 6, 1, 1]) },
            Self { kind: "convolution", shape: vec![3, 2, 3, 3], x: x("map", [2, 2, 5, 4]) },
        ]
    }

    fn numbers(&self, part: &str, bias: bool, scale: f32, offset: f32) -> Vec<f32> {
        let n = if bias { self.shape[0] } else { self.shape.iter().product() };
        numbers(&format!("{}.{part}", self.kind), n, scale, offset)
    }

    /// Weight and bias as matrices.
    fn matrices(&self, [weight, bias]: [Vec<f32>; 2]) -> [Tensor<2>; 2] {
        [matrix(&self.shape, &weight), matrix(&[bias.len()], &bias)]
    }

    fn mean(&self) -> [Vec<f32>; 2] {
        [self.numbers("weight", false, 1.0, 0.0), self.numbers("bias", true, 1.0, 0.0)]
    }

    fn sigma(&self) -> [Vec<f32>; 2] {
        let rho = [self.numbers("weight.rho", false, 2.0, -2.0), self.numbers("bias.rho", true, 2.0, -2.0)];
        rho.map(|rho| rho.into_iter().map(softplus).collect())
    }

    fn deviation(&self) -> [Vec<f32>; 2] {
        let z = [self.numbers("eps", false, 3.0, 0.0), self.numbers("bias.eps", true, 3.0, 0.0)];
        let mut both = self.sigma().into_iter().zip(z).map(|(s, z)| s.iter().zip(z).map(|(s, z)| s * z).collect());
        [both.next().unwrap(), both.next().unwrap()]
    }

    fn signs(&self, end: &str, channels: usize) -> Tensor<4> {
        let [items, ..] = self.x.dims();
        let values = numbers(&format!("{}.{end}", self.kind), items * channels, 1.0, 0.0);
        tensor(values.into_iter().map(|u| if u < 0.0 { -1.0 } else { 1.0 }).collect(), [items, 1, 1, channels])
    }

    /// The layer without bias, on planes or on a map.
    fn apply(&self, x: Tensor<4>, weight: Tensor<2>, planes: bool) -> Tensor<4> {
        let [out, input] = [self.shape[0], self.shape[1]];
        match self.kind {
            "linear" => {
                let [items, ..] = x.dims();
                x.reshape([items, input]).matmul(weight).reshape([items, 1, 1, out])
            }
            _ => {
                let conv = Convolution::new("c", [input, out], 3).pad(1);
                if planes { convolve_planes(x, weight, &conv) } else { convolve(x, weight, &conv) }
            }
        }
    }

    /// What the noise makes of the layer, in PyTorch's order.
    fn noisy(&self, noise: &Noise, planes: bool) -> Vec<f32> {
        let [mean, bias] = self.matrices(self.mean());
        let x = if planes { self.x.clone() } else { self.x.clone().permute([0, 2, 3, 1]) };
        let y = noise.apply(x, mean, planes, |x, weight| self.apply(x, weight, planes));
        values_of((y + bias.reshape([1, 1, 1, self.shape[0]])).permute([0, 3, 1, 2]))
    }
}

#[test]
fn noisy_layers_are_those_of_bayesian_torch() {
    let golden = golden();
    for layer in Layer::all() {
        let golden = &golden[layer.kind];
        for planes in [false, true] {
            // One network for all items: the drawn weights in place of the means.
            let drawn_weights = layer.matrices(
                layer
                    .mean()
                    .into_iter()
                    .zip(layer.deviation())
                    .map(|(m, d)| m.iter().zip(d).map(|(m, d)| m + d).collect::<Vec<f32>>())
                    .collect::<Vec<_>>()
                    .try_into()
                    .unwrap(),
            );
            let [weight, bias] = drawn_weights;
            let x = if planes { layer.x.clone() } else { layer.x.clone().permute([0, 2, 3, 1]) };
            let y = layer.apply(x, weight, planes) + bias.reshape([1, 1, 1, 3]);
            assert_near(&values_of(y.permute([0, 3, 1, 2])), &golden["reparameterization"], 1e-5, layer.kind);

            let [weight, bias] = layer.matrices(layer.deviation());
            let signs = [layer.signs("in", layer.shape[1]), layer.signs("out", layer.shape[0])];
            let flipout = Noise::Flipout { weight, bias: Some(bias), signs };
            assert_near(&layer.noisy(&flipout, planes), &golden["flipout"], 1e-5, layer.kind);

            let variances = layer.sigma().map(|sigma| sigma.into_iter().map(|s| s * s).collect());
            let [variance, bias_variance] = layer.matrices(variances);
            let place = Place { seed: 3, step: 5, layer: 7 };
            let local = Noise::Local { variance, bias_variance: Some(bias_variance), place };
            // The normals lie channels last.
            let [items, _, h, w] = layer.x.dims();
            let z = tensor(drawn(place, items * h * w * 3), [items, h, w, 3]).permute([0, 3, 1, 2]);
            let z = values_of(z);
            let want = flat(&golden["local"]["mean"]).into_iter().zip(flat(&golden["local"]["deviation"]));
            let want: Vec<f64> = want.zip(z).map(|((mean, deviation), z)| mean + deviation * f64::from(z)).collect();
            assert_near(&layer.noisy(&local, planes), &want.into(), 1e-5, layer.kind);
        }
    }
}

#[test]
fn divergences_are_those_of_bayesian_torch() {
    let golden = golden();
    for layer in Layer::all() {
        let golden = &golden[layer.kind];
        let of = |k: usize, prior: &dyn Fn(f32) -> [f32; 2]| {
            let own = layer.mean()[k].clone().into_iter().zip(layer.sigma()[k].clone());
            divergence(own.map(|(mean, sigma)| ([mean, sigma], prior(mean))))
        };
        let close = |ours: f64, want: &Value| {
            let want = want.as_f64().unwrap();
            assert!((ours - want).abs() < 1e-6 * want, "{ours} instead of {want}");
        };
        let zero = |_| [0.0, 0.3];
        close(of(0, &zero) + of(1, &zero), &golden["divergence"]["zero"]);
        let moped = |mean: f32| [0.9 * mean, 0.2 * (0.9 * mean).abs() + 0.01];
        close(of(0, &moped) + of(1, &moped), &golden["divergence"]["moped"]);
        let unit = |_| [0.0, 1.0];
        let [weights, biases] = [layer.mean()[0].len() as f64, layer.mean()[1].len() as f64];
        close(of(0, &unit) / weights + of(1, &unit) / biases, &golden["layer_mean"]);
    }
}

#[test]
fn moped_begins_as_bayesian_torch_does_but_for_weights_near_zero() {
    let golden = golden();
    let weights = numbers("moped", 40, 1.0, 0.0);
    let settings = Variational::default();
    let rho: Vec<f32> = settings.deviations(&weights).into_iter().map(inverse_softplus).collect();
    let root_mean_square = (weights.iter().map(|w| w * w).sum::<f32>() / 40.0).sqrt();
    let mut raised = 0;
    for ((rho, want), weight) in rho.iter().zip(flat(&golden["moped"]["rho"])).zip(&weights) {
        if weight.abs() > 0.05 * root_mean_square {
            assert!((f64::from(*rho) - want).abs() < 1e-4 * want.abs(), "{rho} instead of {want}");
        } else {
            raised += 1;
            let floor = inverse_softplus(0.2 * 0.05 * root_mean_square);
            assert!((rho - floor).abs() < 1e-4);
        }
    }
    assert!(raised > 0, "the test needs a weight near zero");
}

/// A linear layer on images of one pixel, `input` channels deep.
fn linear_network(weights: &[f32], bias: &[f32]) -> Detector {
    let (classes, input) = (bias.len(), weights.len() / bias.len());
    let linear = Linear { name: "fc".to_owned(), input, out: classes };
    let stage = |name: &str, nodes| Stage { name: name.to_owned(), nodes };
    let stages = vec![stage("stem", vec![Node::Dropout]), stage("head", vec![Node::Dropout, linear.into()])];
    let network = Network { input_channels: input, least: 1, stages };
    let config = NetworkConfig { classes, width: None, window: None };
    let mut net = Detector::of_network(Architecture::Resnet18, &config, network, &Device::flex());
    net.set_value(0, matrix(&[classes, input], weights));
    net.set_value(1, matrix(&[classes], bias));
    net
}

fn laplace_evidence() -> (Detector, Evidence, Value) {
    let golden = golden()["laplace"].clone();
    let [weights, bias] = [numbers("last.weight", 15, 2.0, 0.0), numbers("last.bias", 3, 1.0, 0.0)];
    let net = linear_network(&weights, &bias);
    let features = numbers("features", 300, 3.0, 0.0);
    let logits = values_of(net.forward(tensor(features.clone(), [60, 5, 1, 1])).unwrap());
    let labels = flat(&golden["labels"]).into_iter().map(|l| l as usize).collect();
    (net, Evidence { features, logits, labels, weights: vec![1.0; 60] }, golden)
}

const CURVATURES: [(Curvature, &str); 3] =
    [(Curvature::Full, "full"), (Curvature::Kronecker, "kron"), (Curvature::Diagonal, "diag")];

#[test]
fn a_laplace_approximation_is_that_of_laplace_torch() {
    let (net, evidence, golden) = laplace_evidence();
    let [weights, bias] = [0, 1].map(|i| net.parameters()[i].to_array().values);
    let precisions = flat(&golden["precisions"]);
    for (curvature, name) in CURVATURES {
        let golden = &golden[name];
        let found = Fit::new(curvature, &evidence, &weights, &bias).unwrap();
        let ours: Vec<f32> = precisions.iter().map(|&p| found.log_evidence(p) as f32).collect();
        assert_near(&ours, &golden["log_evidence"], 1e-6, name);
        let best = found.best_precision();
        assert!((1e-3..1e3).contains(&best), "{best}");
        for other in [0.9 * best, 1.1 * best] {
            assert!(found.log_evidence(best) > found.log_evidence(other));
        }

        let settings =
            Laplace { curvature, prior_precision: Some(1.0), predictive: Predictive::Probit, ..Laplace::default() };
        let (inference, arrays) = fit(&settings, &net, &evidence).unwrap();
        let Inference::Laplace(found) = inference else { panic!("{inference:?}") };
        assert_eq!(found.items, 60);
        let posterior = LaplacePosterior::new(net.clone(), &found, &arrays).unwrap();
        let test = numbers("test", 20, 3.0, 0.0);
        let [mean, variance] = posterior.logits(tensor(test.clone(), [4, 5]));
        assert_near(&values_of(mean), &golden["logits"], 1e-5, name);
        assert_near(&values_of(variance), &golden["logit_variance"], 1e-4, name);
        let images = || tensor(test.clone(), [4, 5, 1, 1]);
        let p = posterior.draw(images(), 0..1, 0).unwrap();
        assert_near(&values_of(p), &golden["probit"], 1e-4, name);

        // Drawn networks have these variances.
        let (mut sums, count) = (vec![[0.0f64; 2]; 12], 3000);
        for t in 0..count {
            let logits = values_of(posterior.network(t, 1).forward(images()).unwrap());
            for (sums, (logit, mean)) in sums.iter_mut().zip(logits.iter().zip(flat(&golden["logits"]))) {
                let apart = f64::from(*logit) - mean;
                *sums = [sums[0] + apart, sums[1] + apart * apart];
            }
        }
        for ([sum, square], want) in sums.into_iter().zip(flat(&golden["logit_variance"])) {
            let n = f64::from(count);
            assert!((sum / n).abs() < 4.5 * (want / n).sqrt(), "{name}");
            assert!((square / n / want - 1.0).abs() < 4.5 * (2.0 / n).sqrt(), "{name}: {} of {want}", square / n);
        }
    }
}

/// Labels of a logistic regression on one feature, and the feature.
fn toy(n: usize) -> (Vec<f32>, Vec<usize>) {
    let mut stream = Stream::new(Purpose::Other, 11, 0, 0);
    let x: Vec<f32> = (0..n).map(|_| stream.range(-2.0, 2.0)).collect();
    let labels = x.iter().map(|x| usize::from(stream.uniform() < 1.0 / (1.0 + (-1.2 * x - 0.4).exp()))).collect();
    (x, labels)
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn laplace_predicts_what_the_integral_over_the_posterior_does() {
    let (x, labels) = toy(60);
    let precision = 0.5f64;
    // Two outputs with a prior each are one of half the precision on their difference. Its mode, by Newton's method.
    let half = 0.5 * precision;
    let [mut w, mut b] = [0.0f64; 2];
    for _ in 0..30 {
        let (mut g, mut h) = ([-half * w, -half * b], [half, 0.0, half]);
        for (&x, &y) in x.iter().zip(&labels) {
            let (x, p) = (f64::from(x), logistic(w * f64::from(x) + b));
            let v = p * (1.0 - p);
            g = [g[0] + (y as f64 - p) * x, g[1] + y as f64 - p];
            h = [h[0] + v * x * x, h[1] + v * x, h[2] + v];
        }
        let det = h[0] * h[2] - h[1] * h[1];
        (w, b) = (w + (h[2] * g[0] - h[1] * g[1]) / det, b + (h[0] * g[1] - h[1] * g[0]) / det);
    }
    let halves = |v: f64| [-0.5 * v as f32, 0.5 * v as f32];
    let net = linear_network(&halves(w), &halves(b));
    let logits = values_of(net.forward(tensor(x.clone(), [60, 1, 1, 1])).unwrap());
    let evidence = Evidence { features: x.clone(), logits, labels: labels.clone(), weights: vec![1.0; 60] };

    // The posterior of slope and intercept on a grid.
    let test = [-3.0f32, -0.3, 1.0, 4.0];
    let (mut total, mut sums) = (0.0, [0.0; 4]);
    for i in 0..121 {
        for j in 0..121 {
            let (slope, intercept) = (w + 0.04 * f64::from(i - 60), b + 0.04 * f64::from(j - 60));
            let mut log_p = -0.5 * half * (slope * slope + intercept * intercept);
            for (&x, &y) in x.iter().zip(&labels) {
                let p = logistic(slope * f64::from(x) + intercept);
                log_p += if y == 1 { p.ln() } else { (1.0 - p).ln() };
            }
            let weight = (log_p + 30.0).exp();
            total += weight;
            for (sum, &x) in sums.iter_mut().zip(&test) {
                *sum += weight * logistic(slope * f64::from(x) + intercept);
            }
        }
    }
    let settings = Laplace { curvature: Curvature::Full, prior_precision: Some(precision), ..Laplace::default() };
    let (inference, arrays) = fit(&settings, &net, &evidence).unwrap();
    let Inference::Laplace(settings) = inference else { panic!("{inference:?}") };
    let posterior = LaplacePosterior::new(net, &settings, &arrays).unwrap();
    let p = values_of(posterior.draw(tensor(test.to_vec(), [4, 1, 1, 1]), 0..4000, 2).unwrap().mean_dim(1));
    for (p, sum) in p.chunks_exact(2).zip(sums) {
        // The posterior of sixty labels is a little skewed, which a Gaussian is not.
        assert!((f64::from(p[1]) - sum / total).abs() < 0.02, "{} instead of {}", p[1], sum / total);
    }
}

/// Means and deviations of slope and intercept that make the evidence lower bound of [`toy`] largest among Gaussians of
/// independent weights, for two outputs with standard normal priors: [slope, intercept] of output 1, those of output 0
/// being their negatives, then the deviations. The conditions are exact (Opper and Archambeau 2009), the expectations
/// integrals over one dimension.
fn best_gaussian(x: &[f32], labels: &[usize]) -> [f64; 4] {
    let nodes: Vec<(f64, f64)> = (-60..=60).map(|k| 0.1 * f64::from(k)).map(|z| (z, (-0.5 * z * z).exp())).collect();
    let total: f64 = nodes.iter().map(|n| n.1).sum();
    let [mut w, mut b, mut sw, mut sb] = [0.0, 0.0, 0.5, 0.5];
    for _ in 0..400 {
        let (mut g, mut h) = ([-w, -b], [1.0, 1.0]);
        for (&x, &y) in x.iter().zip(labels) {
            let x = f64::from(x);
            let (mean, sd) = (2.0 * (w * x + b), f64::sqrt(2.0 * (x * x * sw * sw + sb * sb)));
            let mut p = [0.0; 2];
            for (z, weight) in &nodes {
                let one = logistic(mean + sd * z);
                p = [p[0] + weight / total * one, p[1] + weight / total * one * (1.0 - one)];
            }
            g = [g[0] + (y as f64 - p[0]) * x, g[1] + y as f64 - p[0]];
            h = [h[0] + p[1] * x * x, h[1] + p[1]];
        }
        (w, b) = (w + 0.2 * g[0] / h[0], b + 0.2 * g[1] / h[1]);
        (sw, sb) = (1.0 / h[0].sqrt(), 1.0 / h[1].sqrt());
    }
    [w, b, sw, sb]
}

#[test]
fn training_finds_the_gaussian_with_the_largest_lower_bound() {
    let n = 40;
    let (x, labels) = toy(n);
    let best = best_gaussian(&x, &labels);
    assert!(best[0] > 0.3 && (0.1..1.0).contains(&best[2]), "{best:?}");
    for estimator in [Estimator::Reparameterised, Estimator::Local, Estimator::Flipout] {
        let mut net = linear_network(&[-0.5, 0.5], &[-0.5, 0.5]);
        let settings =
            Variational { estimator, prior: Prior::Zero { sigma: 1.0 }, delta: 0.5, ..Variational::default() };
        let mut training = VariationalTraining::begin(&settings, n, &net);
        let mut optimiser = Optimiser::new(&OptimiserConfig::default());
        let images = tensor(x.clone(), [n, 1, 1, 1]);
        let mut shares = vec![0.0; 2 * n];
        labels.iter().enumerate().for_each(|(i, &y)| shares[2 * i + y] = -1.0 / n as f32);
        let steps = 3000;
        for step in 0..steps {
            let mut tracked = net.clone();
            for p in tracked.parameters_mut(0..2) {
                p.value = p.value.clone().autodiff().require_grad();
            }
            let weights = training.track(&mut tracked, 1, step, n);
            let mut seen = Vec::new();
            let mut pass = Pass { statistics: Statistics::Batch(&mut seen), masks: None, noise: Some(&weights.noise) };
            let logits = tracked.run_stages(images.clone(), 0..2, &mut pass).reshape([n, 2]);
            let loss = (activation::log_softmax(logits, 1) * tensor(shares.clone(), [n, 2])).sum();
            let mut gradients = (loss + training.penalty(&weights, 1.0, n)).backward();
            let deviations = weights.untrack(&mut tracked, &mut gradients);
            let rate = ScheduleConfig::default().rate(0.05, step, steps as usize, 1);
            optimiser.begin_step();
            for (p, tracked) in net.parameters_mut(0..2).zip(tracked.parameters_mut(0..2)) {
                let mut values = p.values();
                let gradient = values_of(tracked.value.grad_remove(&mut gradients).unwrap());
                optimiser.update(p.name(), &mut values, &gradient, rate, 0.0);
                p.set(values);
            }
            assert_eq!(deviations.len(), 2);
            training.update(deviations, &mut optimiser, rate);
        }
        let state = training.rhos();
        for (k, name) in ["fc.weight", "fc.bias"].into_iter().enumerate() {
            let means = net.to_state()[name].values.clone();
            let sigmas = state[&format!("{name}.rho")].values.iter().map(|&rho| softplus(rho)).collect::<Vec<_>>();
            for (output, sign) in [(0, -1.0), (1, 1.0)] {
                let (mean, sigma) = (f64::from(means[output]), f64::from(sigmas[output]));
                let what = format!("{estimator:?} {name}: {mean} +- {sigma} instead of {best:?}");
                assert!((sign * mean - best[k]).abs() < 0.25 * best[2 + k], "{what}");
                assert!((sigma / best[2 + k] - 1.0).abs() < 0.1, "{what}");
            }
        }
        // Predictions draw from that Gaussian.
        let posterior = VariationalPosterior::new(net, &settings, &state).unwrap();
        let slopes: Vec<f64> =
            (0..2000).map(|t| f64::from(posterior.network(t, 4).to_state()["fc.weight"].values[1])).collect();
        let mean = slopes.iter().sum::<f64>() / 2000.0;
        let sd = (slopes.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 2000.0).sqrt();
        assert!((mean - best[0]).abs() < 0.3 * best[2] && (sd / best[2] - 1.0).abs() < 0.15, "{mean} {sd} {best:?}");
    }
}

#[test]
fn swag_is_that_of_torch_uncertainty() {
    let golden = golden()["swag"].clone();
    let settings = Swag { rank: 4, ..Swag::default() };
    let mut training = SwagTraining::begin(&settings, &linear_network(&[0.0; 8], &[0.0; 2]));
    let through = |epoch: usize| linear_network(&numbers(&format!("swag {epoch}"), 8, 1.0, 0.0), &[0.0; 2]);
    for epoch in 0..3 {
        training.collect(&through(epoch));
    }
    // Stopped and gone on.
    let mut state = StateDict::new();
    training.to_state(&through(0), &mut state);
    let mut training = SwagTraining::resume(&settings, 3, &through(0), &mut state).unwrap();
    assert!(state.is_empty());
    for epoch in 3..6 {
        training.collect(&through(epoch));
    }
    let mean = training.mean(&through(5));
    assert_near(&mean.to_state()["fc.weight"].values, &golden["mean"], 1e-6, "mean");
    let kept = training.kept(&mean);
    assert_near(&kept["fc.weight.deviation"].values, &golden["deviation"], 1e-6, "deviation");
    for k in 0..4 {
        assert_near(&kept[&format!("fc.weight.away.{k}")].values, &golden["away"][k], 1e-6, "away");
    }
    let of = |name: &str| matrix(&[2, 4], &kept[name].values);
    let away: Vec<Tensor<2>> = (0..4).map(|k| of(&format!("fc.weight.away.{k}"))).collect();
    let z = matrix(&[2, 4], &numbers("swag z", 8, 3.0, 0.0));
    let shared = numbers("swag shared", 4, 3.0, 0.0);
    let weight = mean.parameters()[0].value.clone();
    let sample = super::swag::drawn(weight, &of("fc.weight.deviation"), &away, z, &shared);
    assert_near(&values_of(sample.transpose()), &golden["sample"], 1e-6, "sample");

    // Drawn networks have the Gaussian's mean and variances, half of each part.
    let Inference::Swag(settings) = training.inference() else { panic!("{:?}", training.inference()) };
    assert_eq!(settings.collected, 6);
    let posterior = SwagPosterior::new(mean, &settings, &kept).unwrap();
    let count = 3000;
    let drawn: Vec<Vec<f32>> =
        (0..count).map(|t| posterior.network(t, 1).to_state()["fc.weight"].values.clone()).collect();
    for i in 0..8 {
        let want = flat(&golden["deviation"])[i].powi(2) / 2.0
            + (0..4).map(|k| flat(&golden["away"][k])[i].powi(2)).sum::<f64>() / 6.0;
        let mean = flat(&golden["mean"])[i];
        let apart = |weights: &Vec<f32>| f64::from(weights[i]) - mean;
        let n = f64::from(count);
        assert!((drawn.iter().map(apart).sum::<f64>() / n).abs() < 4.5 * (want / n).sqrt());
        let variance = drawn.iter().map(|w| apart(w).powi(2)).sum::<f64>() / n;
        assert!((variance / want - 1.0).abs() < 4.5 * (2.0 / n).sqrt(), "{variance} instead of {want}");
    }
    let few = Swag { collected: 1, ..settings };
    assert!(SwagPosterior::new(through(0), &few, &kept).is_err());
}

#[test]
fn the_temperature_of_logits_three_times_too_large_is_three() {
    let (x, labels) = toy(3000);
    let logits: Vec<f32> = x.iter().map(|x| 3.0 * (1.2 * x + 0.4)).collect();
    let probabilities = logits.iter().map(|l| 1.0 / (1.0 + (-l).exp())).flat_map(|p| [1.0 - p, p]).collect();
    let found = super::scaled::Labelled {
        classes: 2,
        prior: vec![1.0; 2],
        probabilities,
        samples: 1,
        labels,
        weights: vec![1.0; 3000],
    };
    let temperature = f64::from(found.best_temperature().unwrap());
    assert!((temperature - 3.0).abs() < 0.3, "{temperature}");
    for other in [0.97, 1.03] {
        assert!(found.loss(temperature) < found.loss(other * temperature));
    }
}

#[test]
fn a_step_sees_other_noise_than_the_last_and_the_same_when_it_is_made_again() {
    let place = |step| Place { seed: 1, step, layer: 2 };
    assert_eq!(drawn(place(3), 10), normals(Purpose::TrainNoise, 1, 3, 2, 10));
    assert_ne!(drawn(place(3), 10), drawn(place(4), 10));
    let signs = |purpose, step| values_of(super::noise::signs(purpose, place(step), [50, 40], &Device::flex()));
    let own = signs(Purpose::SignIn, 3);
    assert_eq!(own, signs(Purpose::SignIn, 3));
    assert_ne!(own, signs(Purpose::SignOut, 3));
    assert!(own.iter().sum::<f32>().abs() < 4.5 * 2000f32.sqrt() && own.iter().all(|s| s.abs() == 1.0));
}
