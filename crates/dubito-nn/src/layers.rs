//! The layers of a convolutional detector: convolution, batch norm, linear; feature maps are [items, h, w, channels].
//!
//! Convolutions gather patches into rows and multiply once for the whole batch. On small maps that is
//! several times faster on a CPU than a convolution item by item, both ways.

use burn::tensor::{Device, Int, Tensor, TensorData, module, ops::ConvOptions};

use crate::rng::{Purpose, Stream};
use crate::state::Array;

/// Patches are gathered for so many values at a time, to bound memory (16 MiB).
const PATCH_VALUES: usize = 4 << 20;

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

    fn out_size(&self, n: usize) -> usize {
        (n + 2 * self.padding - self.k) / self.stride + 1
    }

    /// On an image in planes, `[items, in, h, w]` -> `[items, out, h', w']`: few channels, large map.
    pub(crate) fn forward_planes(&self, x: Tensor<4>) -> Tensor<4> {
        let weight = self.weight.value.clone().reshape([self.k, self.k, self.input, self.out]).permute([3, 2, 0, 1]);
        module::conv2d(x, weight, None, ConvOptions::new([self.stride; 2], [self.padding; 2], [1; 2], 1))
    }

    /// `[items, h, w, in]` -> `[items, h', w', out]`.
    pub(crate) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [items, h, w, _] = x.dims();
        let (oh, ow) = (self.out_size(h), self.out_size(w));
        if self.k == 1 && self.stride == 1 {
            return x
                .reshape([items * h * w, self.input])
                .matmul(self.weight.value.clone())
                .reshape([items, oh, ow, self.out]);
        }
        let per_item = oh * ow * self.k * self.k * self.input;
        let chunk = (PATCH_VALUES / per_item).clamp(1, items.max(1));
        if chunk >= items {
            return self.patches(x);
        }
        let chunks =
            (0..items).step_by(chunk).map(|i| self.patches(x.clone().slice([i..(i + chunk).min(items)]))).collect();
        Tensor::cat(chunks, 0)
    }

    /// Gathers patches into rows, `[items * h' * w', k * k * in]`, and multiplies.
    fn patches(&self, x: Tensor<4>) -> Tensor<4> {
        let [items, h, w, _] = x.dims();
        let (oh, ow) = (self.out_size(h), self.out_size(w));
        let device = x.device();
        let index = self.patch_index(items, h, w, &device);
        let mut rows = x.reshape([items * h * w, self.input]);
        if self.padding > 0 {
            // One row of zeros at the end stands for everything outside the map.
            rows = Tensor::cat(vec![rows, Tensor::zeros([1, self.input], &device)], 0);
        }
        rows.select(0, index)
            .reshape([items * oh * ow, self.k * self.k * self.input])
            .matmul(self.weight.value.clone())
            .reshape([items, oh, ow, self.out])
    }

    /// For each output pixel and each place in its patch, the input's row; `items * h * w` is outside.
    fn patch_index(&self, items: usize, h: usize, w: usize, device: &Device) -> Tensor<1, Int> {
        let (oh, ow) = (self.out_size(h), self.out_size(w));
        let outside = (items * h * w) as i64;
        let inside = |o: usize, k: usize, n: usize| (o * self.stride + k).checked_sub(self.padding).filter(|&i| i < n);
        let mut index = Vec::with_capacity(items * oh * ow * self.k * self.k);
        for item in 0..items {
            for (y, x) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
                for (ky, kx) in (0..self.k).flat_map(|y| (0..self.k).map(move |x| (y, x))) {
                    index.push(match (inside(y, ky, h), inside(x, kx, w)) {
                        (Some(row), Some(column)) => ((item * h + row) * w + column) as i64,
                        _ => outside,
                    });
                }
            }
        }
        let n = index.len();
        Tensor::from_data(TensorData::new(index, [n]), device)
    }

    /// Kaiming's normal initialisation, fan out, for ReLU (He et al. 2015), as torchvision does.
    pub(crate) fn initialise(&mut self, stream: &mut Stream, device: &Device) {
        let std = (2.0 / (self.out * self.k * self.k) as f32).sqrt();
        let n = self.out * self.input * self.k * self.k;
        self.weight.set((0..n).map(|_| std * stream.normal()).collect(), device);
    }
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

    /// Normalises each channel; `axis` is where the channels are, 1 (planes) or 3 (feature maps).
    pub(crate) fn forward(&self, x: Tensor<4>, axis: usize, statistics: &mut Statistics<'_>) -> Tensor<4> {
        let mut shape = [1; 4];
        shape[axis] = self.channels;
        let along = |p: &Parameter| p.value.clone().reshape(shape);
        match statistics {
            Statistics::Running => {
                let scale = along(&self.weight) / along(&self.variance).add_scalar(Self::EPSILON).sqrt();
                let shift = along(&self.bias) - along(&self.mean) * scale.clone();
                x * scale + shift
            }
            Statistics::Batch(seen) => {
                let mean_of = |x: Tensor<4>| (0..4).filter(|&d| d != axis).fold(x, |x, d| x.mean_dim(d));
                let count = x.dims().iter().product::<usize>() / self.channels;
                let mean = mean_of(x.clone());
                let centred = x - mean.clone();
                let variance = mean_of(centred.clone() * centred.clone());
                let unbiased = count as f32 / (count.max(2) - 1) as f32;
                seen.push((
                    self.name.clone(),
                    mean.inner().reshape([self.channels]),
                    variance.clone().inner().reshape([self.channels]) * unbiased,
                ));
                let scale = along(&self.weight) / variance.add_scalar(Self::EPSILON).sqrt();
                centred * scale + along(&self.bias)
            }
        }
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
