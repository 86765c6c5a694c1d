//! Runs a [`Network`] on the CPU, one image at a time on the calling thread.
//!
//! The networks are small: for them a general tensor library spends most of its time between the
//! operations, and in depthwise convolutions. Here values lie as height, width, channels, with the channels
//! filled up by zeros to whole [`LANES`], so that every inner loop runs over whole vector registers. There
//! are two kernels: [`matmul`], which every convolution becomes that is not depthwise, and [`depthwise`].
//! Products and sums are rounded separately (no fused multiply-add), so that every processor gives the same
//! numbers.

use std::sync::{Mutex, PoisonError};

use crate::network::{Activation, Conv, Network, Op};

/// Channels that are computed at once: one AVX register of `f32`.
const LANES: usize = 8;
/// Pixels that [`matmul`] computes at once.
const PIXELS: usize = 4;

/// Memory that the operations of a run use again and again: fresh pages from the system cost more than some
/// operations.
#[derive(Default)]
struct Workspace {
    free: Vec<Vec<f32>>,
}

impl Workspace {
    /// A buffer of `length` values, whatever they are.
    fn take(&mut self, length: usize) -> Vec<f32> {
        let fits = self.free.iter().position(|buffer| buffer.capacity() >= length);
        let mut buffer = fits.map(|at| self.free.swap_remove(at)).unwrap_or_default();
        buffer.resize(length, 0.0);
        buffer
    }

    /// A buffer of `length` zeros.
    fn zeros(&mut self, length: usize) -> Vec<f32> {
        let mut buffer = self.take(length);
        buffer.fill(0.0);
        buffer
    }

    fn give_back(&mut self, buffer: Vec<f32>) {
        self.free.push(buffer);
    }
}

/// A value: `[height, width, channels]`, `channels` counting the zeros it is filled up with.
struct Map {
    height: usize,
    width: usize,
    channels: usize,
    data: Vec<f32>,
}

/// A convolution's weights in the order in which they are read.
struct Packed {
    /// [`matmul`]: `[out / LANES, k * k * in, LANES]`; [`depthwise`]: `[channels / LANES, k * k, LANES]`.
    weight: Vec<f32>,
    bias: Vec<f32>,
    slope: Vec<f32>,
}

/// One operation's weights.
enum Weights {
    Conv(Packed),
    Add { slope: Vec<f32> },
    None,
}

/// A network whose weights are packed for the CPU.
pub(crate) struct DirectNetwork {
    network: Network,
    weights: Vec<Weights>,
    /// Each value's true number of channels.
    channels: Vec<usize>,
    /// The values that no operation reads any more after each operation.
    done: Vec<Vec<usize>>,
    /// One for each run at the same time.
    workspaces: Mutex<Vec<Workspace>>,
}

/// `count` filled up to whole lanes.
fn fill_up(count: usize) -> usize {
    count.next_multiple_of(LANES)
}

/// Every activation as the slope below zero, `x > 0 ? x : slope * x`: 1 for none, 0 for ReLU.
fn slope(activation: &Activation, channels: usize) -> Vec<f32> {
    let mut slope = match activation {
        Activation::None => vec![1.0; channels],
        Activation::Relu => vec![0.0; channels],
        Activation::PRelu(slope) => slope.clone(),
    };
    slope.resize(fill_up(channels), 0.0);
    slope
}

fn pack(conv: &Conv, stored_inputs: usize) -> Packed {
    let [outputs, inputs, kernel, _] = conv.shape;
    let taps = kernel * kernel;
    let padded = fill_up(outputs);
    let mut bias = conv.bias.clone();
    bias.resize(padded, 0.0);
    // Where weight (out, in, tap) goes; `in` is always 0 where the convolution is depthwise.
    let rows = if conv.depthwise { taps } else { taps * stored_inputs };
    let mut weight = vec![0.0; padded * rows];
    for out in 0..outputs {
        for input in 0..inputs {
            for tap in 0..taps {
                let row = if conv.depthwise { tap } else { tap * stored_inputs + input };
                let to = (out / LANES * rows + row) * LANES + out % LANES;
                weight[to] = conv.weight[(out * inputs + input) * taps + tap];
            }
        }
    }
    Packed { weight, bias, slope: slope(&conv.activation, outputs) }
}

impl DirectNetwork {
    /// Packs the weights.
    pub fn new(network: Network) -> Self {
        let mut channels = vec![3; network.values];
        let stored = |value: usize, channels: &[usize]| if value == 0 { 3 } else { fill_up(channels[value]) };
        let mut weights = Vec::with_capacity(network.ops.len());
        for op in &network.ops {
            weights.push(match op {
                Op::Conv { input, out, conv } => {
                    channels[*out] = conv.shape[0];
                    Weights::Conv(pack(conv, stored(*input, &channels)))
                }
                Op::Add { input, out, activation, .. } => {
                    channels[*out] = channels[*input];
                    Weights::Add { slope: slope(activation, channels[*out]) }
                }
                Op::MaxPool { input, out } | Op::Upsample { input, out } => {
                    channels[*out] = channels[*input];
                    Weights::None
                }
            });
        }
        let mut last_reader = vec![None; network.values];
        for (index, op) in network.ops.iter().enumerate() {
            match op {
                Op::Conv { input, .. } | Op::MaxPool { input, .. } | Op::Upsample { input, .. } => {
                    last_reader[*input] = Some(index);
                }
                Op::Add { input, other, .. } => {
                    last_reader[*input] = Some(index);
                    last_reader[*other] = Some(index);
                }
            }
        }
        for value in network.outputs.iter().flatten() {
            last_reader[*value] = None;
        }
        let done = (0..network.ops.len())
            .map(|index| (0..network.values).filter(|&value| last_reader[value] == Some(index)).collect())
            .collect();
        Self { network, weights, channels, done, workspaces: Mutex::default() }
    }

    /// Runs one image, `[size, size, 3]`; gives each output's values.
    pub fn run(&self, image: &[f32]) -> Vec<Vec<f32>> {
        // A run that panicked leaves nothing behind that could be wrong: buffers hold no state.
        let lock = || self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        let mut workspace = lock().pop().unwrap_or_default();
        let outputs = pulp::Arch::new().dispatch(Run { network: self, image, workspace: &mut workspace });
        lock().push(workspace);
        outputs
    }

    #[inline(always)]
    fn run_vectorised(&self, image: &[f32], workspace: &mut Workspace) -> Vec<Vec<f32>> {
        let size = self.network.size;
        let mut values: Vec<Map> = Vec::with_capacity(self.network.values);
        let mut pixels = workspace.take(size * size * 3);
        pixels.copy_from_slice(&image[..size * size * 3]);
        values.push(Map { height: size, width: size, channels: 3, data: pixels });
        for ((op, weights), done) in self.network.ops.iter().zip(&self.weights).zip(&self.done) {
            // Operation n writes value n + 1, so pushing keeps values in their places.
            let value = match (op, weights) {
                (Op::Conv { input, conv, .. }, Weights::Conv(packed)) if conv.depthwise => {
                    depthwise(&values[*input], conv, packed, workspace)
                }
                (Op::Conv { input, conv, .. }, Weights::Conv(packed)) => {
                    convolution(&values[*input], conv, packed, workspace)
                }
                (Op::Add { input, other, .. }, Weights::Add { slope }) => {
                    add(&values[*input], &values[*other], slope, workspace)
                }
                (Op::MaxPool { input, .. }, _) => max_pool(&values[*input], workspace),
                (Op::Upsample { input, .. }, _) => upsample(&values[*input], workspace),
                _ => unreachable!("weights are packed by operation"),
            };
            values.push(value);
            for &value in done {
                workspace.give_back(std::mem::take(&mut values[value].data));
            }
        }
        let mut outputs = Vec::with_capacity(self.network.outputs.len());
        for parts in &self.network.outputs {
            let mut output = Vec::new();
            for &part in parts {
                let map = &values[part];
                for pixel in map.data.chunks_exact(map.channels) {
                    output.extend_from_slice(&pixel[..self.channels[part]]);
                }
            }
            outputs.push(output);
        }
        for value in values.into_iter().filter(|value| !value.data.is_empty()) {
            workspace.give_back(value.data);
        }
        outputs
    }
}

/// One run, compiled once for each instruction set that [`pulp`] chooses from at run time: everything it calls
/// is inlined into it.
struct Run<'a> {
    network: &'a DirectNetwork,
    image: &'a [f32],
    workspace: &'a mut Workspace,
}

impl pulp::WithSimd for Run<'_> {
    type Output = Vec<Vec<f32>>;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> Self::Output {
        self.network.run_vectorised(self.image, self.workspace)
    }
}

#[inline(always)]
fn activate(x: [f32; LANES], slope: &[f32; LANES]) -> [f32; LANES] {
    std::array::from_fn(|lane| if x[lane] > 0.0 { x[lane] } else { slope[lane] * x[lane] })
}

/// The lanes from `at` on.
#[inline(always)]
fn lanes(values: &[f32], at: usize) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    lanes.copy_from_slice(&values[at..at + LANES]);
    lanes
}

/// Any convolution that is not depthwise: its windows laid out as rows, then [`matmul`].
#[inline(always)]
fn convolution(x: &Map, conv: &Conv, packed: &Packed, workspace: &mut Workspace) -> Map {
    let (kernel, stride) = (conv.shape[2], conv.stride);
    let (top, _, height) = conv.padding(x.height);
    let (left, _, width) = conv.padding(x.width);
    let channels = fill_up(conv.shape[0]);
    let mut data = workspace.take(height * width * channels);
    if kernel == 1 && stride == 1 {
        matmul(&x.data, x.channels, packed, &mut data, channels);
    } else {
        let depth = kernel * kernel * x.channels;
        let mut rows = workspace.zeros(height * width * depth);
        for (at, row) in rows.chunks_exact_mut(depth).enumerate() {
            let (oy, ox) = (at / width, at % width);
            for ky in 0..kernel {
                let Some(y) = (oy * stride + ky).checked_sub(top).filter(|&y| y < x.height) else { continue };
                for kx in 0..kernel {
                    let Some(col) = (ox * stride + kx).checked_sub(left).filter(|&c| c < x.width) else { continue };
                    let from = (y * x.width + col) * x.channels;
                    let to = (ky * kernel + kx) * x.channels;
                    row[to..to + x.channels].copy_from_slice(&x.data[from..from + x.channels]);
                }
            }
        }
        matmul(&rows, depth, packed, &mut data, channels);
        workspace.give_back(rows);
    }
    Map { height, width, channels, data }
}

/// `activate(x * weight + bias)`: `x` is `[pixels, depth]`, the result `[pixels, channels]`.
#[inline(always)]
fn matmul(x: &[f32], depth: usize, packed: &Packed, out: &mut [f32], channels: usize) {
    let blocks = channels / LANES;
    let mut block = 0;
    while block < blocks {
        // Two blocks of lanes at a time share the loads of x.
        if block + 1 < blocks {
            matmul_blocks::<2>(x, depth, packed, out, channels, block);
            block += 2;
        } else {
            matmul_blocks::<1>(x, depth, packed, out, channels, block);
            block += 1;
        }
    }
}

/// [`matmul`] for `BLOCKS` blocks of [`LANES`] output channels from block `first`.
#[inline(always)]
fn matmul_blocks<const BLOCKS: usize>(
    x: &[f32],
    depth: usize,
    packed: &Packed,
    out: &mut [f32],
    channels: usize,
    first: usize,
) {
    let weight: [&[[f32; LANES]]; BLOCKS] = std::array::from_fn(|b| {
        let from = (first + b) * depth * LANES;
        packed.weight[from..from + depth * LANES].as_chunks::<LANES>().0
    });
    let mut tiles = x.chunks_exact(depth * PIXELS);
    let mut results = out.chunks_exact_mut(channels * PIXELS);
    for (tile, result) in (&mut tiles).zip(&mut results) {
        matmul_tile::<BLOCKS, PIXELS>(tile, depth, weight, packed, result, channels, first);
    }
    let rest = tiles.remainder().chunks_exact(depth);
    for (pixel, result) in rest.zip(results.into_remainder().chunks_exact_mut(channels)) {
        matmul_tile::<BLOCKS, 1>(pixel, depth, weight, packed, result, channels, first);
    }
}

// Indices keep the loops in the shape that the compiler turns into whole registers.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
fn matmul_tile<const BLOCKS: usize, const ROWS: usize>(
    x: &[f32],
    depth: usize,
    weight: [&[[f32; LANES]]; BLOCKS],
    packed: &Packed,
    out: &mut [f32],
    channels: usize,
    first: usize,
) {
    let x: [&[f32]; ROWS] = std::array::from_fn(|row| &x[row * depth..(row + 1) * depth]);
    let mut sum = [[[0.0f32; LANES]; BLOCKS]; ROWS];
    for k in 0..depth {
        for row in 0..ROWS {
            let value = x[row][k];
            for block in 0..BLOCKS {
                for lane in 0..LANES {
                    sum[row][block][lane] += value * weight[block][k][lane];
                }
            }
        }
    }
    for row in 0..ROWS {
        for block in 0..BLOCKS {
            let from = (first + block) * LANES;
            let (bias, slope) = (lanes(&packed.bias, from), lanes(&packed.slope, from));
            let sum: [f32; LANES] = std::array::from_fn(|lane| sum[row][block][lane] + bias[lane]);
            out[row * channels + from..][..LANES].copy_from_slice(&activate(sum, &slope));
        }
    }
}

/// A depthwise convolution.
#[inline(always)]
fn depthwise(x: &Map, conv: &Conv, packed: &Packed, workspace: &mut Workspace) -> Map {
    match conv.shape[2] {
        3 => depthwise_kernel::<3, 9>(x, conv, packed, workspace),
        _ => depthwise_kernel::<5, 25>(x, conv, packed, workspace),
    }
}

#[inline(always)]
fn depthwise_kernel<const KERNEL: usize, const TAPS: usize>(
    x: &Map,
    conv: &Conv,
    packed: &Packed,
    workspace: &mut Workspace,
) -> Map {
    let stride = conv.stride;
    let (top, bottom, height) = conv.padding(x.height);
    let (left, right, width) = conv.padding(x.width);
    let channels = x.channels;
    // The image with its border of zeros, so that no window is cut.
    let wide = (left + x.width + right) * channels;
    let mut padded = workspace.zeros((top + x.height + bottom) * wide);
    for (row, from) in x.data.chunks_exact(x.width * channels).enumerate() {
        let at = (top + row) * wide + left * channels;
        padded[at..at + from.len()].copy_from_slice(from);
    }
    let mut data = workspace.take(height * width * channels);
    for (oy, out_row) in data.chunks_exact_mut(width * channels).enumerate() {
        let rows: [&[f32]; KERNEL] = std::array::from_fn(|ky| &padded[(oy * stride + ky) * wide..][..wide]);
        for block in 0..channels / LANES {
            let from = block * LANES;
            let mut weight = [[0.0f32; LANES]; TAPS];
            weight.copy_from_slice(packed.weight[block * TAPS * LANES..][..TAPS * LANES].as_chunks::<LANES>().0);
            let (bias, slope) = (lanes(&packed.bias, from), lanes(&packed.slope, from));
            for (ox, out) in out_row.chunks_exact_mut(channels).enumerate() {
                let mut sum = bias;
                for ky in 0..KERNEL {
                    for kx in 0..KERNEL {
                        let pixel = &rows[ky][(ox * stride + kx) * channels + from..][..LANES];
                        for lane in 0..LANES {
                            sum[lane] += pixel[lane] * weight[ky * KERNEL + kx][lane];
                        }
                    }
                }
                out[from..from + LANES].copy_from_slice(&activate(sum, &slope));
            }
        }
    }
    workspace.give_back(padded);
    Map { height, width, channels, data }
}

/// `activate(x + y)`, where `y` may have fewer channels.
#[inline(always)]
fn add(x: &Map, y: &Map, slope: &[f32], workspace: &mut Workspace) -> Map {
    let mut data = workspace.take(x.data.len());
    let pixels = data.chunks_exact_mut(x.channels).zip(x.data.chunks_exact(x.channels));
    for ((out, x), y) in pixels.zip(y.data.chunks_exact(y.channels)) {
        for (c, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let at = c * LANES;
            let mut sum = lanes(x, at);
            if at < y.len() {
                let y = lanes(y, at);
                sum = std::array::from_fn(|lane| sum[lane] + y[lane]);
            }
            *out = activate(sum, &lanes(slope, at));
        }
    }
    Map { data, ..*x }
}

/// The largest of each 2 x 2 pixels.
#[inline(always)]
fn max_pool(x: &Map, workspace: &mut Workspace) -> Map {
    let (height, width, channels) = (x.height / 2, x.width / 2, x.channels);
    let mut data = workspace.take(height * width * channels);
    for (oy, row) in data.chunks_exact_mut(width * channels).enumerate() {
        let upper = &x.data[2 * oy * x.width * channels..][..x.width * channels];
        let lower = &x.data[(2 * oy + 1) * x.width * channels..][..x.width * channels];
        for (ox, out) in row.chunks_exact_mut(channels).enumerate() {
            let at = 2 * ox * channels;
            for c in (0..channels).step_by(LANES) {
                let (a, b) = (lanes(upper, at + c), lanes(upper, at + channels + c));
                let (d, e) = (lanes(lower, at + c), lanes(lower, at + channels + c));
                let larger = |a: f32, b: f32| if a > b { a } else { b };
                let largest: [f32; LANES] = std::array::from_fn(|i| larger(larger(a[i], b[i]), larger(d[i], e[i])));
                out[c..c + LANES].copy_from_slice(&largest);
            }
        }
    }
    Map { height, width, channels, data }
}

/// Bilinear, half-pixel centres, to twice the size: 3/4 of the nearest and 1/4 of the next pixel each way.
#[inline(always)]
fn upsample(x: &Map, workspace: &mut Workspace) -> Map {
    let (height, width, channels) = (2 * x.height, 2 * x.width, x.channels);
    let neighbours = |at: usize, size: usize| {
        let near = at / 2;
        (near, if at.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(size - 1) })
    };
    let mut data = workspace.take(height * width * channels);
    for (oy, row) in data.chunks_exact_mut(width * channels).enumerate() {
        let (near_y, far_y) = neighbours(oy, x.height);
        for (ox, out) in row.chunks_exact_mut(channels).enumerate() {
            let (near_x, far_x) = neighbours(ox, x.width);
            let pixel = |y: usize, col: usize| &x.data[(y * x.width + col) * channels..][..channels];
            let (a, b) = (pixel(near_y, near_x), pixel(near_y, far_x));
            let (c, d) = (pixel(far_y, near_x), pixel(far_y, far_x));
            for i in 0..channels {
                out[i] = 0.75 * (0.75 * a[i] + 0.25 * b[i]) + 0.25 * (0.75 * c[i] + 0.25 * d[i]);
            }
        }
    }
    Map { height, width, channels, data }
}
