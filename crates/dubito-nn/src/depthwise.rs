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
mod tests;
