//! Depthwise convolution: a kernel for each channel. On the CPU by kernels of our own, forward and backward;
//! elsewhere as a sum of shifted maps.
//!
//! A general grouped convolution treats each channel as a multiplication of its own. Here channels lie innermost, so
//! a vector register holds eight of them at one pixel, and a kernel's weights stay in registers along a row.

use burn::tensor::{Slice, Tensor};
use rayon::prelude::*;

use crate::elementwise::add_and_activate;
use crate::host::{HostOperation, apply, is_host, tensor, with_values};
use crate::network::{Activation, Convolution};

/// Channels that are computed at once: one AVX register of `f32`.
const LANES: usize = 8;
/// Rows of the result whose part of the weights' gradient is summed together.
const ROWS: usize = 16;

/// Convolves `[items, h, w, channels]` with weights `[kernel height * kernel width, channels]`.
pub(crate) fn depthwise(x: Tensor<4>, weight: Tensor<2>, conv: &Convolution) -> Tensor<4> {
    let geometry = Geometry::new(x.dims(), conv);
    if is_host(&x) {
        let [taps, c] = weight.dims();
        return apply(geometry, [x, weight.reshape([1, 1, taps, c])]).0;
    }
    shifted(x, weight, &geometry)
}

/// [`depthwise`] on the host without autodiff, then a bias for each channel and an activation in the same pass.
pub(crate) fn depthwise_and(
    x: Tensor<4>,
    weight: Tensor<2>,
    conv: &Convolution,
    bias: Tensor<2>,
    activation: Option<Activation>,
) -> Tensor<4> {
    let geometry = Geometry::new(x.dims(), conv);
    let values = with_values(x, |x| {
        with_values(weight, |weight| {
            with_values(bias, |bias| geometry.convolve(x, weight, |row| add_and_activate(row, bias, activation)))
        })
    });
    tensor(values, geometry.shape())
}

/// The sum over the kernel's places of the map, shifted, times the place's weights: any device, any autodiff.
fn shifted(x: Tensor<4>, weight: Tensor<2>, g: &Geometry) -> Tensor<4> {
    let [_, h, w, c] = x.dims();
    // As many zeros behind as the last window needs; what no window reaches is left out by the slices.
    let after = |d: usize, n: usize| {
        ((g.out[d] - 1) * g.stride[d] + (g.kernel[d] - 1) * g.dilation[d] + 1).saturating_sub(n + g.before[d])
    };
    let x = x.pad([(0, 0), (g.before[0], after(0, h)), (g.before[1], after(1, w)), (0, 0)], 0.0);
    let mut sum: Option<Tensor<4>> = None;
    for ky in 0..g.kernel[0] {
        for kx in 0..g.kernel[1] {
            let places = |d: usize, k: usize| {
                let from = k * g.dilation[d];
                let to = from + (g.out[d] - 1) * g.stride[d] + 1;
                Slice::new(from as isize, Some(to as isize), g.stride[d] as isize)
            };
            let part = x.clone().slice([Slice::full(), places(0, ky), places(1, kx), Slice::full()]);
            let own = weight.clone().narrow(0, ky * g.kernel[1] + kx, 1).reshape([1, 1, 1, c]);
            let part = part * own;
            sum = Some(match sum {
                Some(sum) => sum + part,
                None => part,
            });
        }
    }
    sum.unwrap_or(x)
}

/// The sizes of one depthwise convolution.
#[derive(Debug, Clone)]
struct Geometry {
    items: usize,
    size: [usize; 2],
    channels: usize,
    out: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    before: [usize; 2],
}

impl Geometry {
    fn new([items, h, w, channels]: [usize; 4], conv: &Convolution) -> Self {
        Self {
            items,
            size: [h, w],
            channels,
            out: conv.output([h, w]).unwrap_or([0, 0]),
            kernel: conv.kernel,
            stride: conv.stride,
            dilation: conv.dilation,
            before: [conv.padding[0][0], conv.padding[1][0]],
        }
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// The input's row or column under place `k` of the window at `o`; none outside the map.
    #[inline(always)]
    fn inside(&self, d: usize, o: usize, k: usize) -> Option<usize> {
        (o * self.stride[d] + k * self.dilation[d]).checked_sub(self.before[d]).filter(|&i| i < self.size[d])
    }

    /// The columns of the result whose windows lie within the map's width.
    fn interior(&self) -> std::ops::Range<usize> {
        let from = self.before[1].div_ceil(self.stride[1]);
        let reach = (self.kernel[1] - 1) * self.dilation[1];
        let to = match (self.size[1] + self.before[1]).checked_sub(reach + 1) {
            Some(last) => (last / self.stride[1] + 1).min(self.out[1]),
            None => 0,
        };
        from.min(to)..to
    }

    /// The convolution that takes the gradient of the result to that of the input, where the stride is 1 and the
    /// padding no wider than the kernel; its weights are the others turned about.
    fn transposed(&self) -> Option<Self> {
        let mut before = [0; 2];
        for (d, before) in before.iter_mut().enumerate() {
            *before = ((self.kernel[d] - 1) * self.dilation[d]).checked_sub(self.before[d])?;
        }
        (self.stride == [1, 1]).then(|| Self { size: self.out, out: self.size, before, ..self.clone() })
    }

    /// The result, each row finished by `finish`.
    fn convolve(&self, x: &[f32], weight: &[f32], finish: impl Fn(&mut [f32]) + Sync) -> Vec<f32> {
        let [oh, ow] = self.out;
        let (h, width) = (self.size[0], self.size[1] * self.channels);
        let mut out = vec![0.0; self.items * oh * ow * self.channels];
        let nothing = vec![0.0; width];
        let rows = out.par_chunks_exact_mut(ow * self.channels).enumerate();
        rows.with_min_len((oh / 4).max(1)).for_each(|(row, out)| {
            let (item, oy) = (row / oh, row % oh);
            let x = &x[item * h * width..][..h * width];
            let rows = (0..self.kernel[0]).map(|ky| match self.inside(0, oy, ky) {
                Some(y) => &x[y * width..][..width],
                None => &nothing,
            });
            let rows: Vec<&[f32]> = rows.collect();
            pulp::Arch::new().dispatch(Row { geometry: self, rows: &rows, weight, out });
            finish(out);
        });
        out
    }

    /// The gradient of the input, for any stride: each row of it sums what the windows over it hand back.
    fn scatter(&self, weight: &[f32], gradient: &[f32]) -> Vec<f32> {
        let [oh, ow] = self.out;
        let (c, h, width) = (self.channels, self.size[0], self.size[1] * self.channels);
        let mut out = vec![0.0; self.items * h * width];
        out.par_chunks_exact_mut(width).enumerate().for_each(|(row, out)| {
            let (item, y) = (row / h, row % h);
            for ky in 0..self.kernel[0] {
                let Some(from) = (y + self.before[0]).checked_sub(ky * self.dilation[0]) else { continue };
                let oy = from / self.stride[0];
                if !from.is_multiple_of(self.stride[0]) || oy >= oh {
                    continue;
                }
                let gradient = &gradient[(item * oh + oy) * ow * c..][..ow * c];
                let weight = &weight[ky * self.kernel[1] * c..][..self.kernel[1] * c];
                pulp::Arch::new().dispatch(Scatter { geometry: self, gradient, weight, out });
            }
        });
        out
    }

    /// The gradient of the weights.
    fn weight_gradient(&self, x: &[f32], gradient: &[f32]) -> Vec<f32> {
        let ([oh, ow], c, h) = (self.out, self.channels, self.size[0]);
        let width = self.size[1] * c;
        let nothing = vec![0.0; width];
        // Parts of rows, whatever the number of threads, are summed by themselves and then in order.
        let tasks: Vec<(usize, usize)> =
            (0..self.items).flat_map(|item| (0..oh).step_by(ROWS).map(move |y| (item, y))).collect();
        let parts: Vec<Vec<f32>> = tasks
            .into_par_iter()
            .map(|(item, from)| {
                let mut sum = vec![0.0; self.taps() * c];
                let x = &x[item * h * width..][..h * width];
                for oy in from..oh.min(from + ROWS) {
                    let rows = (0..self.kernel[0]).map(|ky| match self.inside(0, oy, ky) {
                        Some(y) => &x[y * width..][..width],
                        None => &nothing,
                    });
                    let rows: Vec<&[f32]> = rows.collect();
                    let gradient = &gradient[(item * oh + oy) * ow * c..][..ow * c];
                    pulp::Arch::new().dispatch(WeightRow { geometry: self, rows: &rows, gradient, sum: &mut sum });
                }
                sum
            })
            .collect();
        let mut sum = vec![0.0; self.taps() * c];
        for part in parts {
            sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
        }
        sum
    }
}

/// The lanes from `at` on.
#[inline(always)]
fn lanes(values: &[f32], at: usize) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    lanes.copy_from_slice(&values[at..at + LANES]);
    lanes
}

/// One row of the result.
struct Row<'a> {
    geometry: &'a Geometry,
    /// The input's rows under each row of the kernel; zeros outside the map.
    rows: &'a [&'a [f32]],
    weight: &'a [f32],
    out: &'a mut [f32],
}

impl pulp::WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        match self.geometry.kernel {
            [3, 3] => self.run::<9>(3),
            [5, 5] => self.run::<25>(5),
            _ => self.run::<0>(0),
        }
    }
}

impl Row<'_> {
    /// `TAPS` places, `side` each way; none where they are not known beforehand.
    #[inline(always)]
    fn run<const TAPS: usize>(self, side: usize) {
        let (g, c) = (self.geometry, self.geometry.channels);
        let (stride, dilation, kernel) = (g.stride[1], g.dilation[1], g.kernel[1]);
        let inside = if TAPS > 0 { g.interior() } else { 0..0 };
        let whole = c / LANES * LANES;
        for from in (0..whole).step_by(LANES) {
            let mut weight = [[0.0; LANES]; TAPS];
            for (tap, weight) in weight.iter_mut().enumerate() {
                *weight = lanes(self.weight, tap * c + from);
            }
            for ox in inside.clone() {
                let start = (ox * stride - g.before[1]) * c + from;
                let mut sum = [0.0; LANES];
                for (tap, weight) in weight.iter().enumerate() {
                    let pixel: [f32; LANES] = lanes(self.rows[tap / side], start + tap % side * dilation * c);
                    for lane in 0..LANES {
                        sum[lane] += pixel[lane] * weight[lane];
                    }
                }
                self.out[ox * c + from..][..LANES].copy_from_slice(&sum);
            }
        }
        // The pixels whose windows are cut, and the channels that fill no register.
        for (ox, out) in self.out.chunks_exact_mut(c).enumerate() {
            let first = if inside.contains(&ox) { whole } else { 0 };
            if first == c {
                continue;
            }
            for (ky, row) in self.rows.iter().enumerate() {
                for kx in 0..kernel {
                    let Some(x) = g.inside(1, ox, kx) else { continue };
                    let weight = &self.weight[(ky * kernel + kx) * c..][..c];
                    let pixel = &row[x * c..][..c];
                    for ((out, x), w) in out[first..].iter_mut().zip(&pixel[first..]).zip(&weight[first..]) {
                        *out += x * w;
                    }
                }
            }
        }
    }
}

/// What a row of the result's gradient adds to a row of the input's.
struct Scatter<'a> {
    geometry: &'a Geometry,
    gradient: &'a [f32],
    /// The weights of the kernel's row that joins the two.
    weight: &'a [f32],
    out: &'a mut [f32],
}

impl pulp::WithSimd for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let c = self.geometry.channels;
        for (ox, gradient) in self.gradient.chunks_exact(c).enumerate() {
            for (kx, weight) in self.weight.chunks_exact(c).enumerate() {
                if let Some(x) = self.geometry.inside(1, ox, kx) {
                    for ((out, g), w) in self.out[x * c..][..c].iter_mut().zip(gradient).zip(weight) {
                        *out += g * w;
                    }
                }
            }
        }
    }
}

/// What a row of the result adds to the gradient of the weights.
struct WeightRow<'a> {
    geometry: &'a Geometry,
    rows: &'a [&'a [f32]],
    gradient: &'a [f32],
    sum: &'a mut [f32],
}

impl pulp::WithSimd for WeightRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        match self.geometry.kernel {
            [3, 3] => self.run::<9>(3),
            [5, 5] => self.run::<25>(5),
            _ => self.run::<0>(0),
        }
    }
}

impl WeightRow<'_> {
    #[inline(always)]
    fn run<const TAPS: usize>(self, side: usize) {
        let (g, c) = (self.geometry, self.geometry.channels);
        let (stride, dilation, kernel) = (g.stride[1], g.dilation[1], g.kernel[1]);
        let inside = if TAPS > 0 { g.interior() } else { 0..0 };
        let whole = c / LANES * LANES;
        for from in (0..whole).step_by(LANES) {
            let mut sum = [[0.0; LANES]; TAPS];
            for ox in inside.clone() {
                let start = (ox * stride - g.before[1]) * c + from;
                let gradient: [f32; LANES] = lanes(self.gradient, ox * c + from);
                for (tap, sum) in sum.iter_mut().enumerate() {
                    let pixel: [f32; LANES] = lanes(self.rows[tap / side], start + tap % side * dilation * c);
                    for lane in 0..LANES {
                        sum[lane] += pixel[lane] * gradient[lane];
                    }
                }
            }
            for (tap, sum) in sum.iter().enumerate() {
                self.sum[tap * c + from..][..LANES].iter_mut().zip(sum).for_each(|(s, v)| *s += v);
            }
        }
        for (ox, gradient) in self.gradient.chunks_exact(c).enumerate() {
            let first = if inside.contains(&ox) { whole } else { 0 };
            if first == c {
                continue;
            }
            for (ky, row) in self.rows.iter().enumerate() {
                for kx in 0..kernel {
                    let Some(x) = g.inside(1, ox, kx) else { continue };
                    let sum = &mut self.sum[(ky * kernel + kx) * c..][..c];
                    let pixel = &row[x * c..][..c];
                    for ((sum, x), g) in sum[first..].iter_mut().zip(&pixel[first..]).zip(&gradient[first..]) {
                        *sum += x * g;
                    }
                }
            }
        }
    }
}

impl HostOperation<2> for Geometry {
    type Kept = ();

    fn shape(&self) -> [usize; 4] {
        [self.items, self.out[0], self.out[1], self.channels]
    }

    fn forward(&self, [x, weight]: [&[f32]; 2]) -> (Vec<f32>, ()) {
        (self.convolve(x, weight, |_| {}), ())
    }

    fn backward(
        &self,
        [x, weight]: [&[f32]; 2],
        (): &(),
        gradient: &[f32],
        [of_x, of_weight]: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let x_gradient = of_x.then(|| match self.transposed() {
            Some(transposed) => {
                let turned: Vec<f32> = weight.chunks_exact(self.channels).rev().flatten().copied().collect();
                transposed.convolve(gradient, &turned, |_| {})
            }
            None => self.scatter(weight, gradient),
        });
        [x_gradient, of_weight.then(|| self.weight_gradient(x, gradient))]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::rng::{Purpose, Stream};

    fn random<const D: usize>(shape: [usize; D], layer: u32) -> Tensor<D> {
        let mut stream = Stream::new(Purpose::Other, 1, 0, layer);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().iter::<f32>().collect()
    }

    /// The definition, value by value, in float64.
    fn naive(x: &[f32], weight: &[f32], g: &Geometry) -> Vec<f64> {
        let mut out = Vec::new();
        for item in 0..g.items {
            for oy in 0..g.out[0] {
                for ox in 0..g.out[1] {
                    for c in 0..g.channels {
                        let mut sum = 0.0;
                        for ky in 0..g.kernel[0] {
                            for kx in 0..g.kernel[1] {
                                let y = (oy * g.stride[0] + ky * g.dilation[0]) as isize - g.before[0] as isize;
                                let x_ = (ox * g.stride[1] + kx * g.dilation[1]) as isize - g.before[1] as isize;
                                if (0..g.size[0] as isize).contains(&y) && (0..g.size[1] as isize).contains(&x_) {
                                    let at = (item * g.size[0] + y as usize) * g.size[1] + x_ as usize;
                                    let place = ky * g.kernel[1] + kx;
                                    sum +=
                                        f64::from(x[at * g.channels + c]) * f64::from(weight[place * g.channels + c]);
                                }
                            }
                        }
                        out.push(sum);
                    }
                }
            }
        }
        out
    }

    fn cases() -> Vec<(Convolution, [usize; 4])> {
        let conv = |channels, kernel| Convolution::new("c", [channels, channels], kernel).groups(channels);
        vec![
            (conv(8, 3).pad(1), [2, 7, 9, 8]),
            (conv(24, 3).stride(2).pad_sides([0, 1]), [2, 8, 10, 24]),
            (conv(12, 5).pad(2), [1, 6, 11, 12]),
            (conv(20, 5).stride(2).pad_sides([1, 2]), [2, 9, 8, 20]),
            (Convolution { dilation: [2, 3], ..conv(9, 3).pad(2) }, [1, 12, 13, 9]),
            (Convolution { kernel: [1, 4], stride: [2, 1], padding: [[0, 0], [3, 0]], ..conv(5, 1) }, [3, 5, 4, 5]),
            (conv(16, 5).pad(2), [1, 2, 2, 16]), // smaller than its kernel
        ]
    }

    #[test]
    fn the_kernel_is_the_definition_and_its_gradients_those_of_the_shifted_sum() {
        for (conv, shape) in cases() {
            let geometry = Geometry::new(shape, &conv);
            let taps = geometry.taps();
            let (x, weight) = (random(shape, 1), random([taps, conv.out], 2));
            let ours = depthwise(x.clone(), weight.clone(), &conv);
            assert_eq!(ours.dims(), geometry.shape());
            let want = naive(&values(x.clone()), &values(weight.clone()), &geometry);
            for (a, b) in values(ours.clone()).iter().zip(&want) {
                assert!((f64::from(*a) - b).abs() < 1e-5, "{conv:?}: {a} {b}");
            }
            // With a bias and an activation in the same pass.
            let bias = random([1, conv.out], 3);
            let fused = depthwise_and(x.clone(), weight.clone(), &conv, bias.clone(), Some(Activation::HardSwish));
            let apart = ours.clone() + bias.reshape([1, 1, 1, conv.out]);
            let apart = crate::layers::activate(apart, Activation::HardSwish);
            for (a, b) in values(fused).iter().zip(values(apart)) {
                assert!((a - b).abs() < 1e-5, "{conv:?}: {a} {b}");
            }
            let upstream = random(geometry.shape(), 4);
            let gradients = |run: &dyn Fn(Tensor<4>, Tensor<2>) -> Tensor<4>| {
                let x = x.clone().autodiff().require_grad();
                let weight = weight.clone().autodiff().require_grad();
                let y = run(x.clone(), weight.clone());
                let mut all = (y * upstream.clone()).sum().backward();
                (values(x.grad_remove(&mut all).unwrap()), values(weight.grad_remove(&mut all).unwrap()))
            };
            let ours = gradients(&|x, w| depthwise(x, w, &conv));
            let want = gradients(&|x, w| shifted(x, w, &geometry));
            for (a, b) in ours.0.iter().zip(&want.0).chain(ours.1.iter().zip(&want.1)) {
                assert!((a - b).abs() < 1e-4, "{conv:?}: {a} {b}");
            }
        }
    }

    #[test]
    fn the_gradient_does_not_depend_on_the_number_of_threads() {
        let (conv, _) = cases().swap_remove(0);
        let shape = [3, 40, 9, 8];
        let (x, gradient) = (values(random(shape, 1)), values(random(shape, 4)));
        let geometry = Geometry::new(shape, &conv);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| geometry.weight_gradient(&x, &gradient))
        };
        assert_eq!(with(1), with(5));
    }

    /// One block of Xception's middle, forward and backward: three times activation, depthwise convolution, pointwise
    /// convolution and batch norm, and a way around them. Run by hand: `cargo test --release -p dubito-nn --lib -- --ignored
    /// --nocapture xception`.
    #[test]
    #[ignore = "a timing, not a test"]
    fn times_of_one_xception_block() {
        let shape = [4, 19, 19, 728];
        let conv = Convolution::new("c", [728, 728], 3).pad(1).groups(728);
        let geometry = Geometry::new(shape, &conv);
        let (x, weight, point) = (random(shape, 1), random([9, 728], 2), random([728, 728], 3) * 0.05);
        let (one, zero) = (Tensor::ones([1, 728], &Device::flex()), Tensor::zeros([1, 728], &Device::flex()));
        let grouped = |x: Tensor<4>, weight: Tensor<2>| {
            let weight = weight.permute([1, 0]).reshape([728, 1, 3, 3]);
            let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 728);
            conv2d(x.permute([0, 3, 1, 2]), weight, None, options).permute([0, 2, 3, 1])
        };
        type Depthwise<'a> = &'a dyn Fn(Tensor<4>, Tensor<2>) -> Tensor<4>;
        let time = |name: &str, run: Depthwise<'_>| {
            let mut best = [f64::INFINITY; 4];
            for _ in 0..5 {
                let begin = std::time::Instant::now();
                values(run(x.clone(), weight.clone()));
                let one_forward = begin.elapsed().as_secs_f64();
                let begin = std::time::Instant::now();
                let leaf = x.clone().autodiff().require_grad();
                drop(run(leaf, weight.clone().autodiff().require_grad()).sum().backward());
                let one_both = begin.elapsed().as_secs_f64();
                let block = |x: Tensor<4>, weight: Tensor<2>, point: Tensor<2>| {
                    let y = (0..3).fold(x.clone(), |y, _| {
                        let y = run(crate::layers::activate(y, Activation::Relu), weight.clone());
                        let y = y.reshape([4 * 361, 728]).matmul(point.clone()).reshape(shape);
                        crate::elementwise::norm_and_activate(y, one.clone(), zero.clone(), 1e-5, None).0
                    });
                    y + x
                };
                let begin = std::time::Instant::now();
                values(block(x.clone(), weight.clone(), point.clone()));
                let forward = begin.elapsed().as_secs_f64();
                let tracked = |t: Tensor<2>| t.autodiff().require_grad();
                let begin = std::time::Instant::now();
                let gradients =
                    block(x.clone().autodiff().require_grad(), tracked(weight.clone()), tracked(point.clone()))
                        .sum()
                        .backward();
                drop(gradients);
                let both = begin.elapsed().as_secs_f64();
                for (best, seconds) in best.iter_mut().zip([one_forward, one_both, forward, both]) {
                    *best = seconds.min(*best);
                }
            }
            println!(
                "{name} [ms]: one forward, with backward; block forward, with backward: {:.1?}",
                best.map(|s| s * 1e3)
            );
        };
        time("grouped convolution", &grouped);
        time("sum of shifted maps", &|x, w| shifted(x, w, &geometry));
        time("kernel of our own", &|x, w| depthwise(x, w, &conv));
    }
}
