//! Random weights for a network that begins anew, a function of the seed alone.

use serde::{Deserialize, Serialize};

use crate::network::{Convolution, Linear, Network, Node, for_each};
use crate::parameter::Parameter;
use crate::rng::{Purpose, Stream};

/// How the weights of the first convolution begin; the others begin by He et al. 2015.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// He et al. 2015, as torchvision does.
    Kaiming,
    /// Of a 7 x 7 convolution on RGB (ResNet-18's): the discrete cosine basis without its mean, most of it on luma
    /// and the rest on the two colour differences: residuals of every frequency and direction, which is where
    /// resampling, blending and compression leave their traces. Good for a trunk that stays frozen. Another
    /// network's first convolution begins as with [`Init::Kaiming`].
    #[default]
    Dct,
}

/// Fills the arrays of a network, which lie in the order of its walk.
pub(crate) fn initialise(network: &Network, parameters: &mut [Parameter], init: Init, seed: u64) {
    let (mut layer, mut parameters) = (0, parameters.iter_mut());
    let mut first = true;
    for stage in &network.stages {
        for_each(&stage.nodes, &mut |node| {
            let mut own = (&mut parameters).take(node.parameters().len()).collect::<Vec<_>>();
            let mut stream = || {
                layer += 1;
                Stream::new(Purpose::Init, seed, 0, layer - 1)
            };
            match (node, own.as_mut_slice()) {
                (Node::Convolution(conv), [weight, ..]) => {
                    let values = convolution(conv, &mut stream());
                    match std::mem::take(&mut first) {
                        true if init == Init::Dct && conv.kernel == [7, 7] && conv.input == 3 && conv.groups == 1 => {
                            weight.set_array(&dct_filters(conv.out));
                        }
                        _ => weight.set(values),
                    }
                }
                (Node::Linear(linear), [weight, bias]) => {
                    let (w, b) = fully_connected(linear, &mut stream());
                    weight.set(w);
                    bias.set(b);
                }
                (Node::BatchNorm(bn), [weight, _, _, variance]) => {
                    weight.set(vec![1.0; bn.channels]);
                    variance.set(vec![1.0; bn.channels]);
                }
                _ => {}
            }
        });
    }
}

/// Kaiming's normal initialisation, fan out of a group, for ReLU (He et al. 2015), as torchvision does without groups.
fn convolution(conv: &Convolution, stream: &mut Stream) -> Vec<f32> {
    let places = conv.places();
    let std = (2.0 / (conv.out / conv.groups * places) as f32).sqrt();
    (0..conv.out * conv.input / conv.groups * places).map(|_| std * stream.normal()).collect()
}

/// PyTorch's default: uniform within one over the root of the inputs.
fn fully_connected(linear: &Linear, stream: &mut Stream) -> (Vec<f32>, Vec<f32>) {
    let bound = 1.0 / (linear.input as f32).sqrt();
    let mut draw = |n| (0..n).map(|_| stream.range(-bound, bound)).collect();
    (draw(linear.input * linear.out), draw(linear.out))
}

/// `[width, 3, 7, 7]` filters for the first convolution: three quarters of them the discrete cosine
/// basis (type II, without its mean) on luma, from low to high frequency, the others its lowest
/// functions on the differences blue - luma and red - luma in turn. Every filter has the norm that
/// He's initialisation gives on average.
fn dct_filters(width: usize) -> Vec<f32> {
    const LUMA: [f32; 3] = [0.299, 0.587, 0.114];
    let mut basis: Vec<(usize, usize)> = (0..7).flat_map(|u| (0..7).map(move |v| (u, v))).skip(1).collect();
    basis.sort_by_key(|&(u, v)| (u + v, u));
    let luma = width - width / 4;
    let colour = width / 4;
    let mut out = Vec::with_capacity(width * 147);
    let norm = (147.0 * 2.0 / (width as f32 * 49.0)).sqrt();
    for i in 0..width {
        let ((u, v), rgb) = if i < luma {
            (basis[i * basis.len() / luma % basis.len()], LUMA)
        } else {
            let j = i - luma;
            let own = if j.is_multiple_of(2) { 2 } else { 0 };
            let difference: [f32; 3] = std::array::from_fn(|c| f32::from(c == own) - LUMA[c]);
            (basis[j / 2 % basis.len().min(colour.max(1))], difference)
        };
        let cosine = |k: usize, n: usize| (std::f32::consts::PI * (n as f32 + 0.5) * k as f32 / 7.0).cos();
        let filter: Vec<f32> = rgb
            .iter()
            .flat_map(|c| (0..7).flat_map(move |y| (0..7).map(move |x| c * cosine(u, y) * cosine(v, x))))
            .collect();
        let length = filter.iter().map(|v| v * v).sum::<f32>().sqrt();
        out.extend(filter.iter().map(|v| v * norm / length));
    }
    out
}
