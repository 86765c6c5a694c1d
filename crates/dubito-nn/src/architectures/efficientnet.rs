//! EfficientNet (Tan and Le 2019), in the layout and names of `efficientnet_pytorch` or of torchvision.
//!
//! The former keeps TensorFlow's padding ("same": the odd zero goes behind) as it is for the size of input that the
//! network was made for, whatever size it is given; so do these descriptions. Stochastic depth, which both use while
//! training, is left out.

use super::mobilenet::{around, excitation, whole_eights};
use super::{Architecture, six_stages};
use crate::network::{Activation, BatchNorm, Convolution, Linear, Node, Stage};

/// How far a network is scaled up from B0, and the side of the images it was made for.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    width: f64,
    depth: f64,
    size: usize,
}

/// EfficientNet-B0.
pub(super) const B0: Scale = Scale { width: 1.0, depth: 1.0, size: 224 };
/// EfficientNet-B4.
pub(super) const B4: Scale = Scale { width: 1.4, depth: 1.8, size: 380 };

/// Whose names, padding and batch norm.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Flavour {
    /// `efficientnet_pytorch`: TensorFlow's padding, batch norm with epsilon 1e-3 and momentum 0.01.
    Tensorflow,
    /// torchvision: the same padding on all sides, PyTorch's batch norm.
    Torchvision,
}

impl Flavour {
    /// That of an architecture.
    pub(super) fn of(architecture: Architecture) -> Self {
        match architecture {
            Architecture::EfficientnetB0Torchvision | Architecture::EfficientnetB4Torchvision => Self::Torchvision,
            _ => Self::Tensorflow,
        }
    }

    fn norm(self, name: String, channels: usize) -> BatchNorm {
        let norm = BatchNorm::new(name, channels);
        match self {
            Self::Tensorflow => BatchNorm { epsilon: 1e-3, momentum: 0.01, ..norm },
            Self::Torchvision => norm,
        }
    }

    /// Names of a layer's convolution and batch norm: the n-th in block `block`, or outside of one.
    fn names(self, prefix: &str, tensorflow: [&str; 2], part: usize) -> [String; 2] {
        match self {
            Self::Tensorflow => tensorflow.map(|name| format!("{prefix}{name}")),
            Self::Torchvision => [0, 1].map(|i| format!("{prefix}{part}.{i}")),
        }
    }

    /// Pads a convolution on a map of this side.
    fn pad(self, conv: Convolution, side: usize) -> Convolution {
        let (kernel, stride) = (conv.kernel[0], conv.stride[0]);
        match self {
            Self::Tensorflow => {
                let zeros = ((side.div_ceil(stride) - 1) * stride + kernel).saturating_sub(side);
                conv.pad_sides([zeros / 2, zeros - zeros / 2])
            }
            Self::Torchvision => conv.pad(kernel / 2),
        }
    }
}

/// The stages of one scale.
pub(super) fn stages(scale: Scale, flavour: Flavour, classes: usize, last: &str) -> Vec<Stage> {
    /// Expansion, kernel, first stride, output channels and repeats of B0.
    const SETTINGS: [[usize; 5]; 7] = [
        [1, 3, 1, 16, 1],
        [6, 3, 2, 24, 2],
        [6, 5, 2, 40, 2],
        [6, 3, 2, 80, 3],
        [6, 5, 1, 112, 3],
        [6, 5, 2, 192, 4],
        [6, 3, 1, 320, 1],
    ];
    let channels = |n: usize| whole_eights(n as f64 * scale.width);
    let layer = |names: [String; 2], conv: Convolution| {
        let [name, norm] = names;
        let norm = flavour.norm(norm, conv.out);
        [Node::from(Convolution { name, ..conv }), norm.into(), Activation::Silu.into()]
    };
    let outer = |tensorflow: [&str; 2], part: usize| {
        let prefix = if flavour == Flavour::Torchvision { "features." } else { "" };
        flavour.names(prefix, tensorflow, part)
    };
    let mut trunk: [Vec<Node>; 5] = Default::default();
    let mut side = scale.size;
    let stem = flavour.pad(Convolution::new("", [3, channels(32)], 3).stride(2), side);
    trunk[0].extend(layer(outer(["_conv_stem", "_bn0"], 0), stem));
    side = side.div_ceil(2);
    let (mut input, mut stage, mut count) = (channels(32), 0, 0);
    for (group, [expand, kernel, first, out, repeats]) in SETTINGS.into_iter().enumerate() {
        let out = channels(out);
        for repeat in 0..(repeats as f64 * scale.depth).ceil() as usize {
            let stride = if repeat == 0 { first } else { 1 };
            stage += stride - 1;
            let prefix = match flavour {
                Flavour::Tensorflow => format!("_blocks.{count}."),
                Flavour::Torchvision => format!("features.{}.{repeat}.block.", group + 1),
            };
            let hidden = input * expand;
            let mut body = Vec::new();
            let mut part = 0;
            if expand != 1 {
                let names = flavour.names(&prefix, ["_expand_conv", "_bn0"], part);
                body.extend(layer(names, Convolution::new("", [input, hidden], 1)));
                part += 1;
            }
            let depthwise = Convolution::new("", [hidden, hidden], kernel).stride(stride).groups(hidden);
            let names = flavour.names(&prefix, ["_depthwise_conv", "_bn1"], part);
            body.extend(layer(names, flavour.pad(depthwise, side)));
            side = side.div_ceil(stride);
            let names = match flavour {
                Flavour::Tensorflow => ["_se_reduce", "_se_expand"].map(|name| format!("{prefix}{name}")),
                Flavour::Torchvision => ["fc1", "fc2"].map(|name| format!("{prefix}{}.{name}", part + 1)),
            };
            body.push(excitation(names, [hidden, (input / 4).max(1)], [Activation::Silu, Activation::Sigmoid]));
            let names = flavour.names(&prefix, ["_project_conv", "_bn2"], part + 2);
            body.extend(layer(names, Convolution::new("", [hidden, out], 1)).into_iter().take(2));
            trunk[stage].extend(around(body, stride == 1 && input == out));
            (input, count) = (out, count + 1);
        }
    }
    let features = match flavour {
        Flavour::Tensorflow => channels(1280),
        Flavour::Torchvision => 4 * input,
    };
    trunk[4].extend(layer(outer(["_conv_head", "_bn1"], 8), Convolution::new("", [input, features], 1)));
    let last = Linear { name: last.into(), input: features, out: classes };
    six_stages(trunk, vec![Node::AveragePool, Node::Dropout, last.into()])
}
