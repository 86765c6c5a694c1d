//! The noise of variational training whose gradients vary less than those of drawn weights: Flipout and local
//! reparameterisation. It is each item's own, so it serves training alone: a sample that is one network has none of it.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor, TensorData};

use crate::network::Node;
use crate::rng::{Purpose, Stream, normals};

/// What training adds to the layers of a network, by their names.
#[derive(Debug, Default)]
pub(crate) struct LayerNoise(pub(crate) HashMap<String, Noise>);

impl LayerNoise {
    /// That of a node, if it is a layer that has some.
    pub(crate) fn of(&self, node: &Node) -> Option<&Noise> {
        match node {
            Node::Convolution(conv) => self.0.get(&conv.name),
            Node::Linear(linear) => self.0.get(&linear.name),
            _ => None,
        }
    }
}

/// What training adds to one layer.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // one of each layer, for one step
pub(crate) enum Noise {
    /// Flipout (Wen et al. 2018): one deviation of the weights for all items, with signs of each item's own on the
    /// channels that go in, `[items, 1, 1, in]`, and come out, `[items, 1, 1, out]`.
    Flipout { weight: Tensor<2>, bias: Option<Tensor<2>>, signs: [Tensor<4>; 2] },
    /// Local reparameterisation (Kingma et al. 2015): the Gaussian that the weights' variances make of each output, with
    /// standard normals drawn where they are needed.
    Local { variance: Tensor<2>, bias_variance: Option<Tensor<2>>, place: Place },
}

/// Where a layer's noise is drawn: seed, step and index of its weight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) seed: u64,
    pub(crate) step: u32,
    pub(crate) layer: u32,
}

/// Standard normals of a layer's outputs in a step.
pub(crate) fn drawn(Place { seed, step, layer }: Place, n: usize) -> Vec<f32> {
    normals(Purpose::TrainNoise, seed, step, layer, n)
}

/// Random signs `[items, 1, 1, channels]`.
pub(crate) fn signs(
    purpose: Purpose,
    Place { seed, step, layer }: Place,
    [items, channels]: [usize; 2],
    device: &Device,
) -> Tensor<4> {
    let mut stream = Stream::new(purpose, seed, step, layer);
    let values: Vec<f32> = (0..items * channels).map(|_| if stream.bits() & 1 == 0 { 1.0 } else { -1.0 }).collect();
    Tensor::from_data(TensorData::new(values, [items, 1, 1, channels]), device)
}

impl Noise {
    /// The layer's output without its mean bias. `layer` applies a weight; `planes`: `x` is `[items, channels, h, w]`.
    pub(crate) fn apply(
        &self,
        x: Tensor<4>,
        mean: Tensor<2>,
        planes: bool,
        layer: impl Fn(Tensor<4>, Tensor<2>) -> Tensor<4>,
    ) -> Tensor<4> {
        let row = |bias: &Tensor<2>| {
            let [_, out] = bias.dims();
            bias.clone().reshape([1, 1, 1, out])
        };
        match self {
            Self::Flipout { weight, bias, signs: [enter, leave] } => {
                let enter = if planes { enter.clone().permute([0, 3, 1, 2]) } else { enter.clone() };
                let flipped = layer(x.clone() * enter, weight.clone());
                let flipped = match bias {
                    Some(bias) => flipped + row(bias),
                    None => flipped,
                };
                layer(x, mean) + flipped * leave.clone()
            }
            Self::Local { variance, bias_variance, place } => {
                let spread = layer(x.clone().square(), variance.clone());
                let spread = match bias_variance {
                    Some(bias) => spread + row(bias),
                    None => spread,
                };
                let shape = spread.dims();
                let z = drawn(*place, shape.iter().product());
                let z = Tensor::<4>::from_data(TensorData::new(z, shape), &spread.device());
                // The root has no slope at 0, where all that goes into an output is 0.
                layer(x, mean) + spread.clamp_min(1e-16).sqrt() * z
            }
        }
    }
}
