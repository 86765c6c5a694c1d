//! Kernels over each value of a map on the CPU: bias and activation in one pass, batch norm while training.

use burn::tensor::Tensor;
use dubito_stats::vectorised::vectorised;
use rayon::prelude::*;

use crate::host::{HostOperation, apply};
use crate::network::Activation;

/// Values that one task works on; sums are of the same parts whatever the number of threads.
const PART: usize = 1 << 15;

/// e^x to 2 units in the last place (Cephes' polynomial), 0 or infinity where f32 ends; vectorises.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to a whole number
    let x = x.clamp(-87.3, 88.3);
    let n = x * std::f32::consts::LOG2_E + MAGIC;
    let whole = n - MAGIC;
    let r = x - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let scale = n.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127) << 23;
    (p * r * r + r + 1.0) * f32::from_bits(scale)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

impl Activation {
    /// The function's value.
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        match self {
            // Not `max`, which makes 0 of what is no number: a network that overflows must not have an answer.
            Self::Relu => {
                if x <= 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::Silu => x * sigmoid(x),
            Self::HardSwish => x * ((x + 3.0).clamp(0.0, 6.0) / 6.0),
            Self::Sigmoid => sigmoid(x),
            Self::HardSigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
        }
    }

    /// Its derivative, as PyTorch defines it where there is none.
    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        let within = |yes: bool, value: f32| if yes { value } else { 0.0 };
        match self {
            Self::Relu => within(x > 0.0, 1.0),
            Self::Relu6 => within(x > 0.0 && x < 6.0, 1.0),
            Self::Silu => {
                let s = sigmoid(x);
                s * (1.0 + x * (1.0 - s))
            }
            Self::HardSwish => within(x > -3.0, if x < 3.0 { x / 3.0 + 0.5 } else { 1.0 }),
            Self::Sigmoid => {
                let s = sigmoid(x);
                s * (1.0 - s)
            }
            Self::HardSigmoid => within(x > -3.0 && x < 3.0, 1.0 / 6.0),
        }
    }
}

/// Calls a closure generic over the activation, so that each is compiled to a loop of its own.
macro_rules! with_activation {
    ($activation:expr, $f:ident, $call:expr) => {
        match $activation {
            None => {
                let $f = None;
                $call
            }
            Some(Activation::Relu) => {
                let $f = Some(Activation::Relu);
                $call
            }
            Some(Activation::Relu6) => {
                let $f = Some(Activation::Relu6);
                $call
            }
            Some(Activation::Silu) => {
                let $f = Some(Activation::Silu);
                $call
            }
            Some(Activation::HardSwish) => {
                let $f = Some(Activation::HardSwish);
                $call
            }
            Some(Activation::Sigmoid) => {
                let $f = Some(Activation::Sigmoid);
                $call
            }
            Some(Activation::HardSigmoid) => {
                let $f = Some(Activation::HardSigmoid);
                $call
            }
        }
    };
}

#[inline(always)]
fn value(activation: Option<Activation>, x: f32) -> f32 {
    activation.map_or(x, |a| a.value(x))
}

#[inline(always)]
fn slope(activation: Option<Activation>, x: f32) -> f32 {
    activation.map_or(1.0, |a| a.slope(x))
}

/// Adds a bias to each channel, channels innermost, then activates.
pub(crate) fn add_and_activate(values: &mut [f32], bias: &[f32], activation: Option<Activation>) {
    with_activation!(
        activation,
        f,
        vectorised(
            #[inline(always)]
            || {
                for pixel in values.chunks_exact_mut(bias.len()) {
                    for (x, b) in pixel.iter_mut().zip(bias) {
                        *x = value(f, *x + b);
                    }
                }
            }
        )
    );
}

/// [`add_and_activate`] in parallel.
pub(crate) fn add_and_activate_all(values: &mut [f32], bias: &[f32], activation: Option<Activation>) {
    let part = rows_in_part(bias.len()) * bias.len();
    values.par_chunks_mut(part).for_each(|values| add_and_activate(values, bias, activation));
}

/// Adds other values, then activates.
pub(crate) fn add_map_and_activate(values: &mut [f32], other: &[f32], activation: Option<Activation>) {
    values.par_chunks_mut(PART).zip(other.par_chunks(PART)).for_each(|(values, other)| {
        with_activation!(
            activation,
            f,
            vectorised(
                #[inline(always)]
                || {
                    for (x, y) in values.iter_mut().zip(other) {
                        *x = value(f, *x + y);
                    }
                }
            )
        );
    });
}

/// Activates each value.
pub(crate) fn activate_all(values: &mut [f32], activation: Activation) {
    values.par_chunks_mut(PART).for_each(|values| {
        with_activation!(
            Some(activation),
            f,
            vectorised(
                #[inline(always)]
                || {
                    values.iter_mut().for_each(|x| *x = value(f, *x));
                }
            )
        );
    });
}

/// Multiplies each channel of each item by its gate: `values` `[items, pixels, channels]`, `gates` `[items, channels]`.
pub(crate) fn multiply_channels(values: &mut [f32], gates: &[f32], [pixels, channels]: [usize; 2]) {
    let items = values.par_chunks_exact_mut(pixels * channels).zip(gates.par_chunks_exact(channels));
    items.for_each(|(values, gates)| {
        vectorised(
            #[inline(always)]
            || {
                for pixel in values.chunks_exact_mut(channels) {
                    pixel.iter_mut().zip(gates).for_each(|(x, g)| *x *= g);
                }
            },
        );
    });
}

fn rows_in_part(channels: usize) -> usize {
    (PART / channels).max(1)
}

/// Sums over rows of what `add` makes of each, by parts and then in order.
fn sum_rows<const N: usize>(
    rows: usize,
    channels: usize,
    add: impl Fn(std::ops::Range<usize>, &mut [Vec<f32>; N]) + Sync,
) -> [Vec<f64>; N] {
    let part = rows_in_part(channels);
    let parts: Vec<[Vec<f32>; N]> = (0..rows.div_ceil(part))
        .into_par_iter()
        .map(|k| {
            let mut sums = std::array::from_fn(|_| vec![0.0; channels]);
            add(k * part..rows.min((k + 1) * part), &mut sums);
            sums
        })
        .collect();
    let mut total: [Vec<f64>; N] = std::array::from_fn(|_| vec![0.0; channels]);
    for sums in parts {
        for (total, sum) in total.iter_mut().zip(sums) {
            total.iter_mut().zip(sum).for_each(|(t, s)| *t += f64::from(s));
        }
    }
    total
}

/// Batch norm by the batch's own statistics, then an activation.
#[derive(Debug, Clone)]
struct NormAndActivate {
    shape: [usize; 4],
    epsilon: f32,
    activation: Option<Activation>,
}

/// Mean and (biased) variance of each channel.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
}

/// Normalises each channel of `[items, h, w, channels]` by the batch, scales it, shifts it, activates it. Weight and
/// bias are `[1, channels]`.
pub(crate) fn norm_and_activate(
    x: Tensor<4>,
    weight: Tensor<2>,
    bias: Tensor<2>,
    epsilon: f32,
    activation: Option<Activation>,
) -> (Tensor<4>, Moments) {
    let shape = x.dims();
    let vector = |t: Tensor<2>| t.reshape([1, 1, 1, shape[3]]);
    apply(NormAndActivate { shape, epsilon, activation }, [x, vector(weight), vector(bias)])
}

impl NormAndActivate {
    fn inverse(&self, moments: &Moments) -> Vec<f32> {
        moments.variance.iter().map(|v| 1.0 / (v + self.epsilon).sqrt()).collect()
    }
}

impl HostOperation<3> for NormAndActivate {
    type Kept = Moments;

    fn shape(&self) -> [usize; 4] {
        self.shape
    }

    fn forward(&self, [x, weight, bias]: [&[f32]; 3]) -> (Vec<f32>, Moments) {
        let c = self.shape[3];
        let rows = x.len() / c;
        let mean = |[sum]: [Vec<f64>; 1]| sum.iter().map(|s| (s / rows as f64) as f32).collect::<Vec<f32>>();
        let average = mean(sum_rows(rows, c, |rows, [sum]| {
            vectorised(
                #[inline(always)]
                || {
                    for x in x[rows.start * c..rows.end * c].chunks_exact(c) {
                        sum.iter_mut().zip(x).for_each(|(s, x)| *s += x);
                    }
                },
            );
        }));
        let variance = mean(sum_rows(rows, c, |rows, [sum]| {
            vectorised(
                #[inline(always)]
                || {
                    for x in x[rows.start * c..rows.end * c].chunks_exact(c) {
                        for ((s, x), m) in sum.iter_mut().zip(x).zip(&average) {
                            *s += (x - m) * (x - m);
                        }
                    }
                },
            );
        }));
        let moments = Moments { mean: average, variance };
        let scale: Vec<f32> = self.inverse(&moments).iter().zip(weight).map(|(i, w)| i * w).collect();
        let part = rows_in_part(c) * c;
        let mut out = vec![0.0; x.len()];
        out.par_chunks_mut(part).zip(x.par_chunks(part)).for_each(|(out, x)| {
            with_activation!(
                self.activation,
                f,
                vectorised(
                    #[inline(always)]
                    || {
                        for (out, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                            let channels = out.iter_mut().zip(x).zip(&moments.mean).zip(&scale).zip(bias);
                            for ((((out, x), m), s), b) in channels {
                                *out = value(f, (x - m) * s + b);
                            }
                        }
                    }
                )
            );
        });
        (out, moments)
    }

    fn backward(
        &self,
        [x, weight, bias]: [&[f32]; 3],
        moments: &Moments,
        gradient: &[f32],
        [of_x, of_weight, of_bias]: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let c = self.shape[3];
        let rows = x.len() / c;
        let inverse = self.inverse(moments);
        let mean = &moments.mean;
        // The gradient before the activation, and its sums alone and times the normalised value.
        let part = rows_in_part(c) * c;
        let mut before = vec![0.0; x.len()];
        before.par_chunks_mut(part).zip(x.par_chunks(part)).zip(gradient.par_chunks(part)).for_each(
            |((before, x), gradient)| {
                with_activation!(
                    self.activation,
                    f,
                    vectorised(
                        #[inline(always)]
                        || {
                            let pixels =
                                before.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(gradient.chunks_exact(c));
                            for ((before, x), gradient) in pixels {
                                let channels = before.iter_mut().zip(x).zip(gradient);
                                let vectors = mean.iter().zip(&inverse).zip(weight).zip(bias);
                                for (((before, x), g), (((m, i), w), b)) in channels.zip(vectors) {
                                    *before = g * slope(f, (x - m) * (i * w) + b);
                                }
                            }
                        }
                    )
                );
            },
        );
        let [sum, product] = sum_rows(rows, c, |rows, [sum, product]| {
            vectorised(
                #[inline(always)]
                || {
                    let range = rows.start * c..rows.end * c;
                    for (g, x) in before[range.clone()].chunks_exact(c).zip(x[range].chunks_exact(c)) {
                        for ((((s, p), g), x), m) in sum.iter_mut().zip(product.iter_mut()).zip(g).zip(x).zip(mean) {
                            *s += g;
                            *p += g * (x - m);
                        }
                    }
                },
            );
        });
        let narrow = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<f32>>();
        let of_weights: Vec<f32> = narrow(&product).iter().zip(&inverse).map(|(p, i)| p * i).collect();
        let of_biases = narrow(&sum);
        if of_x {
            let n = rows as f32;
            let scale: Vec<f32> = inverse.iter().zip(weight).map(|(i, w)| i * w).collect();
            let shift: Vec<f32> = of_biases.iter().map(|s| s / n).collect();
            let lean: Vec<f32> = of_weights.iter().zip(&inverse).map(|(p, i)| p * i / n).collect();
            before.par_chunks_mut(part).zip(x.par_chunks(part)).for_each(|(before, x)| {
                vectorised(
                    #[inline(always)]
                    || {
                        for (before, x) in before.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                            let vectors = mean.iter().zip(&scale).zip(&shift).zip(&lean);
                            for ((g, x), (((m, scale), shift), lean)) in before.iter_mut().zip(x).zip(vectors) {
                                *g = (*g - shift - (x - m) * lean) * scale;
                            }
                        }
                    },
                );
            });
        }
        [of_x.then_some(before), of_weight.then_some(of_weights), of_bias.then_some(of_biases)]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    const ALL: [Activation; 6] = [
        Activation::Relu,
        Activation::Relu6,
        Activation::Silu,
        Activation::HardSwish,
        Activation::Sigmoid,
        Activation::HardSigmoid,
    ];

    #[test]
    fn exp_is_right_to_two_units_in_the_last_place() {
        for i in -87_000..88_000 {
            let x = i as f32 / 1000.0;
            let want = f64::from(x).exp();
            let error = (f64::from(exp(x)) - want).abs() / want;
            assert!(error < 2.5e-7, "{x}: {error}");
        }
        assert!(exp(-1e9) < 1e-37 && exp(1e9) > 1e38 && exp(0.0) == 1.0);
    }

    #[test]
    fn activations_are_the_tensor_librarys_and_their_slopes_their_differences() {
        for activation in ALL {
            let mut ours: Vec<f32> = (-900..900).map(|i| i as f32 / 100.0 + 0.003).collect();
            let x = Tensor::<4>::from_data(TensorData::new(ours.clone(), [1, 1, 1, ours.len()]), &Device::flex());
            let want: Vec<f32> = crate::layers::activate(x, activation).into_data().iter::<f32>().collect();
            for (&x, want) in ours.iter().zip(&want) {
                assert!((activation.value(x) - want).abs() < 1e-6, "{activation:?} {x}");
                let h = 1e-2;
                let difference = (activation.value(x + h) - activation.value(x - h)) / (2.0 * h);
                let bend = [-3.0f32, 0.0, 3.0, 6.0].iter().any(|b| (x - b).abs() < 2.0 * h);
                assert!(bend || (activation.slope(x) - difference).abs() < 1e-3, "{activation:?} {x}");
            }
            activate_all(&mut ours, activation);
            assert!(ours.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }

    #[test]
    fn batch_norm_and_its_gradients_are_those_of_tensor_operations() {
        let device = Device::flex();
        let values = |n: usize, layer| {
            let mut stream = crate::rng::Stream::new(crate::rng::Purpose::Other, 3, 0, layer);
            (0..n).map(|_| stream.normal()).collect::<Vec<f32>>()
        };
        let shape = [3, 5, 4, 6];
        let x = Tensor::<4>::from_data(TensorData::new(values(360, 0), shape), &device) * 2.0 + 1.0;
        let weight = Tensor::<2>::from_data(TensorData::new(values(6, 1), [1, 6]), &device);
        let bias = Tensor::<2>::from_data(TensorData::new(values(6, 2), [1, 6]), &device);
        let upstream = Tensor::<4>::from_data(TensorData::new(values(360, 3), shape), &device);
        for activation in ALL {
            let run = |kernel: bool| {
                let x = x.clone().autodiff().require_grad();
                let weight = weight.clone().autodiff().require_grad();
                let bias = bias.clone().autodiff().require_grad();
                let y = if kernel {
                    norm_and_activate(x.clone(), weight.clone(), bias.clone(), 1e-3, Some(activation)).0
                } else {
                    let [y, ..] = crate::layers::batch_norm(x.clone(), weight.clone(), bias.clone(), 1e-3);
                    crate::layers::activate(y.reshape(shape), activation)
                };
                let mut all = (y.clone() * upstream.clone()).sum().backward();
                let list = |t: Tensor<4>| t.into_data().iter::<f32>().collect::<Vec<f32>>();
                let vector = |t: Tensor<2>| t.reshape([1, 1, 1, 6]);
                let gradients = [
                    x.grad_remove(&mut all).unwrap(),
                    vector(weight.grad_remove(&mut all).unwrap()),
                    vector(bias.grad_remove(&mut all).unwrap()),
                ];
                [list(y.inner())].into_iter().chain(gradients.map(list)).flatten().collect::<Vec<f32>>()
            };
            for (a, b) in run(true).iter().zip(run(false)) {
                assert!((a - b).abs() < 2e-4, "{activation:?}: {a} {b}");
            }
        }
    }
}
