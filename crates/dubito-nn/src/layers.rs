//! The layers of a convolutional detector: convolution, batch norm, linear; feature maps are [items, h, w, channels].
//!
//! Convolutions gather patches into rows and multiply once for the whole batch. On small maps that is
//! several times faster on a CPU than a convolution item by item, both ways.

use burn::tensor::{Device, Int, Slice, Tensor, TensorData};

use crate::rng::{Purpose, Stream};
use crate::state::Array;

/// Patches are gathered for so many values at a time, to bound memory (4 MiB).
const PATCH_VALUES: usize = 1 << 20;

/// How a parameter's matrix is laid out in a state dict, in PyTorch's layout.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Layout {
    /// `[out, in, k, k]`; the matrix is `[k * k * in, out]`.
    Convolution { out: usize, input: usize, k: usize },
    /// `[out, in]`; the matrix is `[in, out]`.
    Linear { out: usize, input: usize },
    /// `[n]`; the matrix is `[1, n]`.
    Vector(usize),
}

impl Layout {
    /// The shape in a state dict.
    pub(crate) fn shape(&self) -> Vec<usize> {
        match *self {
            Self::Convolution { out, input, k } => vec![out, input, k, k],
            Self::Linear { out, input } => vec![out, input],
            Self::Vector(n) => vec![n],
        }
    }

    /// Rows and columns of the matrix.
    pub(crate) fn matrix(&self) -> [usize; 2] {
        match *self {
            Self::Convolution { out, input, k } => [k * k * input, out],
            Self::Linear { out, input } => [input, out],
            Self::Vector(n) => [1, n],
        }
    }

    /// For each place in the matrix, row-major, its place in the state dict's array.
    fn source(&self) -> impl Fn(usize, usize) -> usize {
        let this = self.clone();
        move |row, column| match this {
            Self::Convolution { input, k, .. } => {
                let (patch, channel) = (row / input, row % input);
                (column * input + channel) * k * k + patch
            }
            Self::Linear { input, .. } => column * input + row,
            Self::Vector(_) => column,
        }
    }

    /// The matrix's values from an array in PyTorch's layout.
    pub(crate) fn matrix_from_array(&self, array: &Array) -> Vec<f32> {
        let [rows, columns] = self.matrix();
        let source = self.source();
        let mut out = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            for column in 0..columns {
                out.push(array.values[source(row, column)]);
            }
        }
        out
    }

    /// The array in PyTorch's layout from the matrix's values.
    pub(crate) fn array_from_matrix(&self, matrix: &[f32]) -> Array {
        let [rows, columns] = self.matrix();
        let source = self.source();
        let mut values = vec![0.0; rows * columns];
        for row in 0..rows {
            for column in 0..columns {
                values[source(row, column)] = matrix[row * columns + column];
            }
        }
        Array { shape: self.shape(), values }
    }
}

/// A named array of the detector, kept as a matrix.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    /// PyTorch's name, `layer1.0.conv1.weight`.
    pub(crate) name: String,
    /// How it lies in a state dict.
    pub(crate) layout: Layout,
    /// The values. Part of an autodiff graph while its stage is trained.
    pub(crate) value: Tensor<2>,
}

impl Parameter {
    fn new(name: String, layout: Layout, device: &Device) -> Self {
        let value = Tensor::zeros(layout.matrix(), device);
        Self { name, layout, value }
    }

    /// Replaces the values; `matrix` is row-major.
    pub(crate) fn set(&mut self, matrix: Vec<f32>, device: &Device) {
        self.value = Tensor::from_data(TensorData::new(matrix, self.layout.matrix()), device);
    }

    /// The values, row-major.
    pub(crate) fn values(&self) -> Vec<f32> {
        values_of(self.value.clone())
    }
}

/// A tensor's values on the host, row-major.
pub(crate) fn values_of<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// How batch norm gets its mean and variance.
pub(crate) enum Statistics<'a> {
    /// From the running statistics of the weights file: inference, and every frozen stage.
    Running,
    /// From the batch itself; mean and unbiased variance of each layer are handed out by name.
    Batch(&'a mut Vec<(String, Tensor<1>, Tensor<1>)>),
}

/// A convolution without bias.
#[derive(Debug, Clone)]
pub(crate) struct Convolution {
    pub(crate) weight: Parameter,
    out: usize,
    input: usize,
    k: usize,
    stride: usize,
    padding: usize,
}

impl Convolution {
    pub(crate) fn new(name: &str, [input, out]: [usize; 2], [k, stride, padding]: [usize; 3], device: &Device) -> Self {
        let layout = Layout::Convolution { out, input, k };
        Self { weight: Parameter::new(format!("{name}.weight"), layout, device), out, input, k, stride, padding }
    }

    /// `[items, h, w, in]` -> `[items, h', w', out]`.
    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [items, h, w, _] = x.dims();
        let weight = self.weight.value.clone();
        if self.k == 1 && self.stride == 1 {
            let y = x.reshape([items * h * w, self.input]).matmul(weight);
            return y.reshape([items, h, w, self.out]);
        }
        let out = |n: usize| (n + 2 * self.padding - self.k) / self.stride + 1;
        let patch = Patch { k: self.k, stride: self.stride, padding: self.padding };
        convolve(x, weight, patch, [out(h), out(w)])
    }

    /// The first layer, 7 x 7 at stride 2, on an image in planes `[items, 3, h, w]`:
    /// `[items, h / 2, w / 2, out]`, halves rounded up.
    ///
    /// Each 2 x 2 pixels are laid into one of four times the channels, on which the kernel, with a
    /// row and a column of zeros put before, is 4 x 4 at stride 1: the same sum in longer rows.
    pub(crate) fn forward_image(&self, x: Tensor<4>) -> Tensor<4> {
        let [items, c, h, w] = x.dims();
        let (oh, ow) = (h.div_ceil(2), w.div_ceil(2));
        let x = x
            .pad((0, 2 * ow - w, 0, 2 * oh - h), 0.0)
            .reshape([items, c, oh, 2, ow, 2])
            .permute([0, 2, 4, 3, 5, 1])
            .reshape([items, oh, ow, 4 * c]);
        let weight = self.weight.value.clone().reshape([7, 7, c, self.out]);
        let column = Tensor::zeros([7, 1, c, self.out], &weight.device());
        let row = Tensor::zeros([1, 8, c, self.out], &weight.device());
        let weight = Tensor::cat(vec![row, Tensor::cat(vec![column, weight], 1)], 0)
            .reshape([4, 2, 4, 2, c, self.out])
            .permute([0, 2, 1, 3, 4, 5])
            .reshape([64 * c, self.out]);
        convolve(x, weight, Patch { k: 4, stride: 1, padding: 2 }, [oh, ow])
    }

    /// Kaiming's normal initialisation, fan out, for ReLU (He et al. 2015), as torchvision does.
    pub(crate) fn initialise(&mut self, stream: &mut Stream, device: &Device) {
        let std = (2.0 / (self.out * self.k * self.k) as f32).sqrt();
        let n = self.out * self.input * self.k * self.k;
        self.weight.set((0..n).map(|_| std * stream.normal()).collect(), device);
    }
}

/// Where the input of each output pixel lies.
#[derive(Clone, Copy)]
struct Patch {
    /// Side of the kernel.
    k: usize,
    /// Step between patches.
    stride: usize,
    /// Zeros before the map; those after it follow from the output's size.
    padding: usize,
}

/// Convolves `[items, h, w, in]` with a matrix `[k * k * in, out]` to `[items, out_h, out_w, out]`:
/// patches are gathered into rows, as many items at a time as the limit allows, and multiplied.
fn convolve(x: Tensor<4>, weight: Tensor<2>, patch: Patch, [oh, ow]: [usize; 2]) -> Tensor<4> {
    let [items, h, w, c] = x.dims();
    let [length, out] = weight.dims();
    let chunk = (PATCH_VALUES / (oh * ow * length)).clamp(1, items.max(1));
    let index = patch_index(chunk, [h, w], [oh, ow], patch, &x.device());
    let chunks: Vec<Tensor<4>> = (0..items)
        .step_by(chunk)
        .map(|from| {
            let n = chunk.min(items - from);
            let part = if n == items { x.clone() } else { x.clone().narrow(0, from, n) };
            // The first row, of zeros, stands for everything outside the map.
            let zeros = Tensor::zeros([1, c], &x.device());
            let rows = Tensor::cat(vec![zeros, part.reshape([n * h * w, c])], 0);
            let index = index.clone().narrow(0, 0, n * oh * ow * patch.k * patch.k);
            rows.select(0, index).reshape([n * oh * ow, length]).matmul(weight.clone()).reshape([n, oh, ow, out])
        })
        .collect();
    Tensor::cat(chunks, 0)
}

/// For each output pixel and each place in its patch, the input's row counted from 1; 0 is outside.
fn patch_index(
    items: usize,
    [h, w]: [usize; 2],
    [oh, ow]: [usize; 2],
    Patch { k, stride, padding }: Patch,
    device: &Device,
) -> Tensor<1, Int> {
    let inside = |o: usize, k: usize, n: usize| (o * stride + k).checked_sub(padding).filter(|&i| i < n);
    let mut index = Vec::with_capacity(items * oh * ow * k * k);
    for y in 0..oh {
        for x in 0..ow {
            for ky in 0..k {
                for kx in 0..k {
                    index.push(match (inside(y, ky, h), inside(x, kx, w)) {
                        (Some(row), Some(column)) => (1 + row * w + column) as i64,
                        _ => 0,
                    });
                }
            }
        }
    }
    let one = index.len();
    for item in 1..items {
        let offset = (item * h * w) as i64;
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

/// Max pooling, 3 x 3 at stride 2, padding 1, of a map that is nowhere negative (after ReLU).
pub(crate) fn max_pool(x: Tensor<4>) -> Tensor<4> {
    let [_, h, w, _] = x.dims();
    // Of each axis in turn: the largest of the places 2i - 1, 2i, 2i + 1; zeros outside.
    let pool = |x: Tensor<4>, axis: usize, n: usize| {
        let out = n.div_ceil(2);
        let places = |from: usize| {
            let slices: [Slice; 4] = std::array::from_fn(|d| {
                if d == axis {
                    Slice::new(from as isize, Some((from + 2 * out - 1) as isize), 2)
                } else {
                    Slice::full()
                }
            });
            x.clone().slice(slices)
        };
        places(0).max_pair(places(1)).max_pair(places(2))
    };
    let x = pool(x.pad([(0, 0), (1, 1), (1, 1), (0, 0)], 0.0), 2, w);
    pool(x, 1, h)
}

/// Batch normalisation (Ioffe and Szegedy 2015), with PyTorch's epsilon 1e-5 and momentum 0.1.
#[derive(Debug, Clone)]
pub(crate) struct BatchNorm {
    name: String,
    pub(crate) weight: Parameter,
    pub(crate) bias: Parameter,
    pub(crate) mean: Parameter,
    pub(crate) variance: Parameter,
    channels: usize,
}

impl BatchNorm {
    const EPSILON: f32 = 1e-5;

    pub(crate) fn new(name: &str, channels: usize, device: &Device) -> Self {
        let vector = |part: &str| Parameter::new(format!("{name}.{part}"), Layout::Vector(channels), device);
        let mut this = Self {
            name: name.to_owned(),
            weight: vector("weight"),
            bias: vector("bias"),
            mean: vector("running_mean"),
            variance: vector("running_var"),
            channels,
        };
        this.weight.set(vec![1.0; channels], device);
        this.variance.set(vec![1.0; channels], device);
        this
    }

    /// Normalises each channel of `[items, h, w, channels]`.
    pub(crate) fn forward(&self, x: Tensor<4>, statistics: &mut Statistics<'_>) -> Tensor<4> {
        let shape = x.dims();
        let rows = shape.iter().product::<usize>() / self.channels;
        let x = x.reshape([rows, self.channels]);
        let (weight, bias) = (self.weight.value.clone(), self.bias.value.clone());
        let y = match statistics {
            Statistics::Running => {
                let scale = weight / self.variance.value.clone().add_scalar(Self::EPSILON).sqrt();
                let shift = bias - self.mean.value.clone() * scale.clone();
                x * scale + shift
            }
            Statistics::Batch(seen) => {
                let mean = x.clone().mean_dim(0);
                let centred = x - mean.clone();
                let variance = centred.clone().square().mean_dim(0);
                let unbiased = rows as f32 / (rows.max(2) - 1) as f32;
                let vector = |t: Tensor<2>| t.inner().reshape([self.channels]);
                seen.push((self.name.clone(), vector(mean), vector(variance.clone()) * unbiased));
                let scale = weight / variance.add_scalar(Self::EPSILON).sqrt();
                centred * scale + bias
            }
        };
        y.reshape(shape)
    }

    /// Moves the running statistics towards those of a batch: `momentum` 0.1 in training, 1 to set them.
    pub(crate) fn update(&mut self, mean: &Tensor<1>, variance: &Tensor<1>, momentum: f32) {
        for (running, seen) in [(&mut self.mean, mean), (&mut self.variance, variance)] {
            let seen = seen.clone().reshape([1, self.channels]);
            running.value = running.value.clone() * (1.0 - momentum) + seen * momentum;
        }
    }

    /// The layer's name, `layer1.0.bn1`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// A fully connected layer.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub(crate) weight: Parameter,
    pub(crate) bias: Parameter,
    input: usize,
    out: usize,
}

impl Linear {
    pub(crate) fn new(name: &str, [input, out]: [usize; 2], device: &Device) -> Self {
        let weight = format!("{name}.weight");
        Self {
            weight: Parameter::new(weight, Layout::Linear { out, input }, device),
            bias: Parameter::new(format!("{name}.bias"), Layout::Vector(out), device),
            input,
            out,
        }
    }

    /// `[rows, in]` -> `[rows, out]`.
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.value.clone()) + self.bias.value.clone()
    }

    /// PyTorch's default: uniform within one over the root of the inputs.
    pub(crate) fn initialise(&mut self, stream: &mut Stream, device: &Device) {
        let bound = 1.0 / (self.input as f32).sqrt();
        let mut draw = |n| (0..n).map(|_| stream.range(-bound, bound)).collect();
        let (weight, bias) = (draw(self.input * self.out), draw(self.out));
        self.weight.set(weight, device);
        self.bias.set(bias, device);
    }
}

/// Stream of initial values for the parameter at this index.
pub(crate) fn init_stream(seed: u64, index: usize) -> Stream {
    Stream::new(Purpose::Init, seed, 0, index as u32)
}
