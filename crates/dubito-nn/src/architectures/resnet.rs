//! ResNet-18 (He et al. 2016) in torchvision's layout and names.

use super::six_stages;
use crate::network::{Activation, BatchNorm, Convolution, Linear, Node, Pool, Stage};

/// `width` channels in the first stage; 64 is torchvision's.
pub(super) fn stages(width: usize, classes: usize, last: &str) -> Vec<Stage> {
    let stem = vec![
        Convolution::new("conv1", [3, width], 7).stride(2).pad(3).into(),
        BatchNorm::new("bn1", width).into(),
        Activation::Relu.into(),
        Node::MaxPool(Pool { kernel: 3, stride: 2, padding: 1 }),
    ];
    let layer = |n: usize| {
        let out = width << (n - 1);
        let (input, stride) = if n == 1 { (width, 1) } else { (out / 2, 2) };
        let mut nodes = block(&format!("layer{n}.0"), input, out, stride);
        nodes.extend(block(&format!("layer{n}.1"), out, out, 1));
        nodes
    };
    let head =
        vec![Node::AveragePool, Node::Dropout, Linear { name: last.into(), input: 8 * width, out: classes }.into()];
    six_stages([stem, layer(1), layer(2), layer(3), layer(4)], head)
}

/// Two 3 x 3 convolutions and a way around them.
fn block(name: &str, input: usize, out: usize, stride: usize) -> Vec<Node> {
    let part = |part: &str| format!("{name}.{part}");
    let body = vec![
        Convolution::new(part("conv1"), [input, out], 3).stride(stride).pad(1).into(),
        BatchNorm::new(part("bn1"), out).into(),
        Activation::Relu.into(),
        Convolution::new(part("conv2"), [out, out], 3).pad(1).into(),
        BatchNorm::new(part("bn2"), out).into(),
    ];
    let shortcut = match stride != 1 || input != out {
        true => vec![
            Convolution::new(part("downsample.0"), [input, out], 1).stride(stride).into(),
            BatchNorm::new(part("downsample.1"), out).into(),
        ],
        false => Vec::new(),
    };
    vec![Node::Residual { body, shortcut }, Activation::Relu.into()]
}
