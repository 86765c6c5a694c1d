//! Runs a [`Network`] with burn, on any of its devices.

use burn::tensor::activation::relu;
use burn::tensor::module::{conv2d, interpolate, max_pool2d};
use burn::tensor::ops::{ConvOptions, InterpolateMode, InterpolateOptions, MaxPoolOptions, PadMode};
use burn::tensor::{Device, Tensor, TensorData};

use crate::FaceError;
use crate::network::{Activation, Network, Op};

/// A network whose weights lie on a device.
pub(crate) struct DeviceNetwork {
    network: Network,
    weights: Vec<Option<Weights>>,
    device: Device,
}

/// What an operation keeps on the device.
struct Weights {
    conv: Option<(Tensor<4>, Tensor<1>)>,
    slope: Option<Tensor<4>>,
}

impl DeviceNetwork {
    /// Puts the weights on `device`.
    pub fn new(network: Network, device: &Device) -> Self {
        let slope = |activation: &Activation| match activation {
            Activation::PRelu(slope) => {
                let data = TensorData::new(slope.clone(), [1, slope.len(), 1, 1]);
                Some(Tensor::<4>::from_data(data, device))
            }
            _ => None,
        };
        let weights = network
            .ops
            .iter()
            .map(|op| match op {
                Op::Conv { conv, .. } => Some(Weights {
                    conv: Some((
                        Tensor::from_data(TensorData::new(conv.weight.clone(), conv.shape), device),
                        Tensor::from_data(TensorData::new(conv.bias.clone(), [conv.bias.len()]), device),
                    )),
                    slope: slope(&conv.activation),
                }),
                Op::Add { activation, .. } => Some(Weights { conv: None, slope: slope(activation) }),
                Op::MaxPool { .. } | Op::Upsample { .. } => None,
            })
            .collect();
        Self { network, weights, device: device.clone() }
    }

    /// Runs a batch of images, `[batch, size, size, 3]` one after another; gives each output as
    /// `[batch, values]`, image by image.
    pub fn run(&self, images: &[f32]) -> Result<Vec<Vec<f32>>, FaceError> {
        let size = self.network.size;
        let batch = images.len() / (size * size * 3);
        let data = TensorData::new(images.to_vec(), [batch, size, size, 3]);
        let mut values: Vec<Option<Tensor<4>>> = vec![None; self.network.values];
        values[0] = Some(Tensor::<4>::from_data(data, &self.device).permute([0, 3, 1, 2]));
        // An operation only reads what an earlier one wrote (checked when the file was parsed).
        let read = |values: &[Option<Tensor<4>>], i: usize| -> Result<Tensor<4>, FaceError> {
            values[i].clone().ok_or(FaceError::Device { reason: format!("value {i} was read before it was written") })
        };
        for (op, weights) in self.network.ops.iter().zip(&self.weights) {
            let activate = |x: Tensor<4>, activation: &Activation| match (activation, weights) {
                (Activation::Relu, _) => relu(x),
                (Activation::PRelu(_), Some(Weights { slope: Some(slope), .. })) => {
                    relu(x.clone()) - relu(x.neg()) * slope.clone()
                }
                _ => x,
            };
            let (out, value) = match op {
                Op::Conv { input, out, conv } => {
                    let Some(Weights { conv: Some((weight, bias)), .. }) = weights else { continue };
                    let x = read(&values, *input)?;
                    let (before, after, _) = conv.padding(x.dims()[2]);
                    let groups = if conv.depthwise { conv.shape[0] } else { 1 };
                    let stride = [conv.stride; 2];
                    let options = ConvOptions::new_with_padding(stride, [(before, after); 2], [1, 1], groups);
                    let y = conv2d(x, weight.clone(), Some(bias.clone()), options);
                    (*out, activate(y, &conv.activation))
                }
                Op::Add { input, other, out, activation } => {
                    let (x, mut y) = (read(&values, *input)?, read(&values, *other)?);
                    let missing = x.dims()[1] - y.dims()[1];
                    if missing > 0 {
                        y = y.pad([(0, 0), (0, missing), (0, 0), (0, 0)], PadMode::Constant(0.0));
                    }
                    (*out, activate(x + y, activation))
                }
                Op::MaxPool { input, out } => (*out, max_pool2d(read(&values, *input)?, MaxPoolOptions::new([2, 2]))),
                Op::Upsample { input, out } => {
                    let x = read(&values, *input)?;
                    let [_, _, h, w] = x.dims();
                    let options = InterpolateOptions::new(InterpolateMode::Bilinear)
                        .with_align_corners(false)
                        .with_output_size([2 * h, 2 * w]);
                    (*out, interpolate(x, options))
                }
            };
            values[out] = Some(value);
        }
        let mut outputs = Vec::with_capacity(self.network.outputs.len());
        for parts in &self.network.outputs {
            let mut maps = Vec::with_capacity(parts.len());
            for part in parts {
                let map = read(&values, *part)?.permute([0, 2, 3, 1]);
                let length = map.dims()[1] * map.dims()[2] * map.dims()[3];
                maps.push(map.reshape([batch, length]));
            }
            let data = Tensor::cat(maps, 1)
                .try_into_data_as::<f32>()
                .map_err(|e| FaceError::Device { reason: e.to_string() })?;
            outputs.push(data.try_to_vec().map_err(|e| FaceError::Device { reason: format!("{e:?}") })?);
        }
        Ok(outputs)
    }
}
