//! The layers of a detector as tensor operations: convolution, batch norm, pooling; feature maps are [items, h, w, channels].
//!
//! On the CPU convolutions gather patches into rows and multiply once for the whole batch. On small maps that is
//! several times faster there than a convolution item by item, both ways. Elsewhere the device's own convolution runs.

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Int, Slice, Tensor, TensorData, activation};

use crate::depthwise::depthwise;
use crate::host::is_host;
use crate::network::{Activation, Convolution, Pool};

/// Patches are gathered for so many values at a time, to bound memory: 4 MiB, which is in reach of a CPU's caches.
const PATCH_VALUES: usize = 1 << 20;
/// The same on other devices (256 MiB), where each part costs a launch.
const DEVICE_PATCH_VALUES: usize = 1 << 26;

/// Convolves `[items, h, w, in]` with a matrix `[places of the kernel * in / groups, out]`; no bias.
///
/// The caller knows that the kernel fits into the map.
pub(crate) fn convolve(x: Tensor<4>, weight: Tensor<2>, conv: &Convolution) -> Tensor<4> {
    let [items, h, w, c] = x.dims();
    if conv.is_depthwise() {
        return depthwise(x, weight, conv);
    }
    let at_each_pixel = conv.places() == 1 && conv.stride == [1, 1] && conv.groups == 1;
    if !is_host(&x) && conv.time.is_none() && !at_each_pixel {
        return native(x.permute([0, 3, 1, 2]), weight, conv);
    }
    if conv.groups > 1 {
        let (input, out) = (conv.input / conv.groups, conv.out / conv.groups);
        let one = Convolution { input, out, groups: 1, ..conv.clone() };
        let group =
            |g: usize| convolve(x.clone().narrow(3, g * input, input), weight.clone().narrow(1, g * out, out), &one);
        return Tensor::cat((0..conv.groups).map(group).collect(), 3);
    }
    let [oh, ow] = conv.output([h, w]).unwrap_or([0, 0]);
    if conv.places() == 1 && conv.stride == [1, 1] && [oh, ow] == [h, w] {
        return x.reshape([items * h * w, c]).matmul(weight).reshape([items, h, w, conv.out]);
    }
    let patch = Patch {
        kernel: [1, conv.kernel[0], conv.kernel[1]],
        stride: [1, conv.stride[0], conv.stride[1]],
        dilation: [1, conv.dilation[0], conv.dilation[1]],
        before: [0, conv.padding[0][0], conv.padding[1][0]],
    };
    match conv.time {
        None => gather(x, weight, patch, [1, h, w], [1, oh, ow]),
        Some(time) => {
            let patch = patch.over(time.kernel, time.stride, time.padding);
            let frames = time.output().unwrap_or(1);
            gather(x, weight, patch, [time.frames, h / time.frames, w], [frames, oh / frames, ow])
        }
    }
}

/// A convolution of stride 2 on an image in planes `[items, c, h, w]`, as the first layers of detectors are:
/// `[items, h', w', out]`.
///
/// Each 2 x 2 pixels are laid into one of four times the channels, on which the kernel, filled up with zeros to an
/// even place and side, is half as large at stride 1: the same sum in longer rows.
pub(crate) fn convolve_planes(x: Tensor<4>, weight: Tensor<2>, conv: &Convolution) -> Tensor<4> {
    let [items, c, h, w] = x.dims();
    if !is_host(&x) && conv.time.is_none() {
        return native(x, weight, conv);
    }
    if conv.stride != [2, 2] || conv.dilation != [1, 1] || conv.groups != 1 || conv.time.is_some() {
        return convolve(x.permute([0, 2, 3, 1]), weight, conv);
    }
    let [oh, ow] = conv.output([h, w]).unwrap_or([0, 0]);
    let [kh, kw] = conv.kernel;
    // Zeros before the kernel so that windows begin at even places, and after it to an even side.
    let front: [usize; 2] = std::array::from_fn(|d| conv.padding[d][0] % 2);
    let half: [usize; 2] = std::array::from_fn(|d| (conv.kernel[d] + front[d]).div_ceil(2));
    let (h2, w2) = (h.div_ceil(2), w.div_ceil(2));
    let x = x
        .pad((0, 2 * w2 - w, 0, 2 * h2 - h), 0.0)
        .reshape([items, c, h2, 2, w2, 2])
        .permute([0, 2, 4, 3, 5, 1])
        .reshape([items, h2, w2, 4 * c]);
    let behind: [usize; 2] = std::array::from_fn(|d| 2 * half[d] - conv.kernel[d] - front[d]);
    let weight = weight
        .reshape([kh, kw, c, conv.out])
        .pad([(front[0], behind[0]), (front[1], behind[1]), (0, 0), (0, 0)], 0.0)
        .reshape([half[0], 2, half[1], 2, c, conv.out])
        .permute([0, 2, 1, 3, 4, 5])
        .reshape([half[0] * half[1] * 4 * c, conv.out]);
    let before = [0, conv.padding[0][0].div_ceil(2), conv.padding[1][0].div_ceil(2)];
    let patch = Patch { kernel: [1, half[0], half[1]], stride: [1; 3], dilation: [1; 3], before };
    gather(x, weight, patch, [1, h2, w2], [1, oh, ow])
}

/// The device's own convolution of planes `[items, in, h, w]` with a matrix `[places of the kernel * in / groups, out]`:
/// `[items, h', w', out]`.
fn native(x: Tensor<4>, weight: Tensor<2>, conv: &Convolution) -> Tensor<4> {
    let [kh, kw] = conv.kernel;
    let weight = weight.reshape([kh, kw, conv.input / conv.groups, conv.out]).permute([3, 2, 0, 1]);
    let options = ConvOptions {
        stride: conv.stride,
        padding: conv.padding.map(|[before, after]| (before, after)),
        dilation: conv.dilation,
        groups: conv.groups,
    };
    conv2d(x, weight, None, options).permute([0, 2, 3, 1])
}

/// Where the input of each output pixel lies, along frames, down and across.
#[derive(Clone, Copy)]
struct Patch {
    kernel: [usize; 3],
    stride: [usize; 3],
    dilation: [usize; 3],
    /// Zeros before the map; those after it follow from the output's size.
    before: [usize; 3],
}

impl Patch {
    /// Reaching over frames too.
    fn over(mut self, kernel: usize, stride: usize, before: usize) -> Self {
        (self.kernel[0], self.stride[0], self.before[0]) = (kernel, stride, before);
        self
    }

    /// Places of the kernel.
    fn places(&self) -> usize {
        self.kernel.iter().product()
    }

    /// The input's frame, row or column at place `k` of the window at `o`; none outside the `n` there are.
    fn inside(&self, d: usize, o: usize, k: usize, n: usize) -> Option<usize> {
        (o * self.stride[d] + k * self.dilation[d]).checked_sub(self.before[d]).filter(|&i| i < n)
    }
}

/// Convolves `[items, frames * h, w, in]` with a matrix `[places * in, out]` to `[items, out_frames * out_h, out_w, out]`:
/// patches are gathered into rows, as many items at a time as the limit allows, and multiplied.
fn gather(x: Tensor<4>, weight: Tensor<2>, patch: Patch, size: [usize; 3], out_size: [usize; 3]) -> Tensor<4> {
    let [items, _, _, c] = x.dims();
    let [length, out] = weight.dims();
    let (pixels, out_pixels): (usize, usize) = (size.iter().product(), out_size.iter().product());
    let [frames, oh, ow] = out_size;
    let values = if is_host(&x) { PATCH_VALUES } else { DEVICE_PATCH_VALUES };
    let chunk = (values / (out_pixels * length)).clamp(1, items.max(1));
    let index = patch_index(chunk, size, out_size, patch, &x.device());
    let chunks: Vec<Tensor<4>> = (0..items)
        .step_by(chunk)
        .map(|from| {
            let n = chunk.min(items - from);
            let part = if n == items { x.clone() } else { x.clone().narrow(0, from, n) };
            // The first row, of zeros, stands for everything outside the map.
            let zeros = Tensor::zeros([1, c], &x.device());
            let rows = Tensor::cat(vec![zeros, part.reshape([n * pixels, c])], 0);
            let index = index.clone().narrow(0, 0, n * out_pixels * patch.places());
            let rows = rows.select(0, index).reshape([n * out_pixels, length]);
            rows.matmul(weight.clone()).reshape([n, frames * oh, ow, out])
        })
        .collect();
    Tensor::cat(chunks, 0)
}

/// For each output pixel and each place in its patch, the input's row counted from 1; 0 is outside.
fn patch_index(
    items: usize,
    [frames, h, w]: [usize; 3],
    [out_frames, oh, ow]: [usize; 3],
    patch: Patch,
    device: &Device,
) -> Tensor<1, Int> {
    let [kt, kh, kw] = patch.kernel;
    let mut index = Vec::with_capacity(items * out_frames * oh * ow * patch.places());
    for t in 0..out_frames {
        for y in 0..oh {
            for x in 0..ow {
                for k in 0..kt {
                    let frame = patch.inside(0, t, k, frames);
                    for ky in 0..kh {
                        let row = frame.zip(patch.inside(1, y, ky, h)).map(|(frame, row)| frame * h + row);
                        for kx in 0..kw {
                            index.push(match (row, patch.inside(2, x, kx, w)) {
                                (Some(row), Some(column)) => (1 + row * w + column) as i64,
                                _ => 0,
                            });
                        }
                    }
                }
            }
        }
    }
    let one = index.len();
    for item in 1..items {
        let offset = (item * frames * h * w) as i64;
        index.extend_from_within(0..one);
        for i in &mut index[item * one..] {
            if *i > 0 {
                *i += offset;
            }
        }
    }
    let n = index.len();
    Tensor::from_data(TensorData::new(index, [n]), device)
}

/// The largest value of each window; what lies outside the map never is.
pub(crate) fn max_pool(x: Tensor<4>, pool: Pool) -> Tensor<4> {
    // Of each axis in turn: the largest of the places that a window has along it.
    [2, 1].into_iter().fold(x, |x, axis| {
        let n = x.dims()[axis];
        let out = (n + 2 * pool.padding - pool.kernel) / pool.stride + 1;
        let mut sides = [(0, 0); 4];
        sides[axis] = (pool.padding, pool.padding);
        let x = if pool.padding > 0 { x.pad(sides, f32::MIN) } else { x };
        let places = |from: usize| {
            let slices: [Slice; 4] = std::array::from_fn(|d| {
                if d == axis {
                    let to = from + (out - 1) * pool.stride + 1;
                    Slice::new(from as isize, Some(to as isize), pool.stride as isize)
                } else {
                    Slice::full()
                }
            });
            x.clone().slice(slices)
        };
        (1..pool.kernel).fold(places(0), |largest, from| largest.max_pair(places(from)))
    })
}

/// `[items, h, w, channels]` -> `[items, 1, 1, channels]`.
pub(crate) fn average_pool(x: Tensor<4>) -> Tensor<4> {
    let [items, h, w, channels] = x.dims();
    x.reshape([items, h * w, channels]).mean_dim(1).reshape([items, 1, 1, channels])
}

/// A map as one row `[items, 1, 1, channels * h * w]`, in PyTorch's order.
pub(crate) fn flatten(x: Tensor<4>) -> Tensor<4> {
    let [items, h, w, c] = x.dims();
    x.permute([0, 3, 1, 2]).reshape([items, 1, 1, c * h * w])
}

/// Each value through an activation.
pub(crate) fn activate(x: Tensor<4>, function: Activation) -> Tensor<4> {
    let hard = |x: Tensor<4>| (x + 3.0).clamp(0.0, 6.0) / 6.0;
    match function {
        Activation::Relu => activation::relu(x),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Silu => activation::silu(x),
        Activation::HardSwish => x.clone() * hard(x),
        Activation::Sigmoid => activation::sigmoid(x),
        Activation::HardSigmoid => hard(x),
    }
}

/// Batch norm by the batch's own mean and variance: the result, the mean and the (biased) variance, each
/// `[1, channels]`. Weight and bias are `[1, channels]`.
pub(crate) fn batch_norm(x: Tensor<4>, weight: Tensor<2>, bias: Tensor<2>, epsilon: f32) -> [Tensor<2>; 3] {
    let channels = x.dims()[3];
    let rows = x.shape().num_elements() / channels;
    let x = x.reshape([rows, channels]);
    let mean = x.clone().mean_dim(0);
    let centred = x - mean.clone();
    let variance = centred.clone().square().mean_dim(0);
    let scale = weight / variance.clone().add_scalar(epsilon).sqrt();
    [centred * scale + bias, mean, variance]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::module::{conv3d, max_pool2d};
    use burn::tensor::ops::MaxPoolOptions;

    use super::*;
    use crate::network::Time;
    use crate::rng::{Purpose, Stream};

    fn random<const D: usize>(shape: [usize; D], layer: u32) -> Tensor<D> {
        let mut stream = Stream::new(Purpose::Other, 1, 0, layer);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.normal()).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    fn assert_close(a: Tensor<4>, b: Tensor<4>, what: &str) {
        assert_eq!(a.dims(), b.dims(), "{what}");
        let worst = (a - b).abs().max().into_scalar::<f32>();
        assert!(worst < 1e-4, "{what}: {worst}");
    }

    #[test]
    fn convolutions_are_those_of_the_library_whatever_groups_stride_dilation_and_padding() {
        let conv = |input, out, kernel| Convolution::new("c", [input, out], kernel);
        let cases = [
            (conv(3, 5, 7).stride(2).pad(3), [2, 3, 21, 18]),
            (conv(3, 8, 3).stride(2), [1, 3, 17, 16]),
            (conv(3, 8, 3).stride(2).pad(1), [1, 3, 15, 18]),
            (conv(1, 4, 5).stride(2).pad(2), [2, 1, 12, 11]),
            (conv(6, 9, 3).pad(1).groups(3), [2, 6, 8, 7]),
            (Convolution { dilation: [2, 1], ..conv(4, 6, 3).pad(2) }, [1, 4, 9, 10]),
            (Convolution { kernel: [3, 1], padding: [[1, 1], [0, 0]], ..conv(4, 6, 3) }, [1, 4, 9, 10]),
            (conv(4, 6, 1).stride(2), [2, 4, 9, 10]),
        ];
        for (conv, shape) in cases {
            let [kh, kw] = conv.kernel;
            let input = conv.input / conv.groups;
            let weight = random([conv.out, input, kh, kw], 1);
            let matrix = weight.clone().permute([2, 3, 1, 0]).reshape([kh * kw * input, conv.out]);
            let x = random(shape, 2);
            let padding = [conv.padding[0][0], conv.padding[1][0]];
            let options = ConvOptions::new(conv.stride, padding, conv.dilation, conv.groups);
            let want = conv2d(x.clone(), weight, None, options).permute([0, 2, 3, 1]);
            let what = format!("{conv:?}");
            assert_close(convolve_planes(x.clone(), matrix.clone(), &conv), want.clone(), &what);
            assert_close(native(x.clone(), matrix.clone(), &conv), want.clone(), &what);
            assert_close(convolve(x.permute([0, 2, 3, 1]), matrix, &conv), want, &what);
        }
    }

    #[test]
    fn a_convolution_over_frames_is_the_librarys_in_three_dimensions() {
        for (kernel, stride, padding) in [(3, 1, 1), (3, 2, 1), (1, 1, 0), (2, 2, 0)] {
            let time = Time { frames: 6, kernel, stride, padding };
            let conv = Convolution::new("c", [2, 5], 3).stride(2).pad(1).over(time);
            let weight = random([5, 2, kernel, 3, 3], 1);
            let matrix = weight.clone().permute([2, 3, 4, 1, 0]).reshape([conv.places() * 2, 5]);
            let x = random([2, 2, 6, 9, 8], 2);
            let options = ConvOptions::new([stride, 2, 2], [padding, 1, 1], [1; 3], 1);
            let want = conv3d(x.clone(), weight, None, options).permute([0, 2, 3, 4, 1]);
            let [items, frames, h, w, c] = want.dims();
            assert_eq!(conv.output([54, 8]), Some([frames * h, w]));
            let want = want.reshape([items, frames * h, w, c]);
            let planes = x.reshape([2, 2, 54, 8]);
            assert_close(convolve_planes(planes.clone(), matrix.clone(), &conv), want.clone(), "planes");
            assert_close(convolve(planes.permute([0, 2, 3, 1]), matrix, &conv), want, "channels last");
            assert_eq!(conv.output([55, 8]), None, "not six frames");
        }
    }

    #[test]
    fn zeros_may_be_on_one_side_alone() {
        let conv = Convolution::new("c", [3, 4], 3).stride(2).pad_sides([0, 1]);
        let (x, weight) = (random([1, 3, 8, 10], 1), random([27, 4], 2));
        let even = Convolution { padding: [[0; 2]; 2], ..conv.clone() };
        let padded = x.clone().pad([(0, 0), (0, 0), (0, 1), (0, 1)], 0.0);
        let want = convolve_planes(padded, weight.clone(), &even);
        assert_close(convolve_planes(x, weight, &conv), want, "one side");
    }

    #[test]
    fn a_map_is_flattened_channels_first() {
        let x = Tensor::<4>::from_data([[[[0.0f32, 1.0], [2.0, 3.0]]]], &Device::flex()); // height 1, width 2, channels 2
        assert_eq!(flatten(x).into_data().iter::<f32>().collect::<Vec<_>>(), [0.0, 2.0, 1.0, 3.0]);
    }

    #[test]
    fn pooling_is_the_librarys_for_negative_values_too() {
        for (kernel, stride, padding) in [(3, 2, 1), (2, 2, 0), (3, 1, 1)] {
            let x = random([2, 9, 12, 5], 3) - 3.0;
            let ours = max_pool(x.clone(), Pool { kernel, stride, padding });
            let options = MaxPoolOptions::new([kernel; 2]).with_stride([stride; 2]).with_padding([padding; 2]);
            let want = max_pool2d(x.permute([0, 3, 1, 2]), options).permute([0, 2, 3, 1]);
            assert_close(ours, want, "max pool");
        }
    }
}
