//! Xception (Chollet 2017) in the layout and names of Cadene's `pretrainedmodels`, which FaceForensics++ trains.

use super::six_stages;
use crate::network::{Activation, BatchNorm, Convolution, Linear, Node, Pool, Stage};

/// Inputs are meant to be 299 x 299, normalised by mean and deviation 0.5.
pub(super) fn stages(classes: usize, last: &str) -> Vec<Stage> {
    let relu = || Node::from(Activation::Relu);
    let stem = vec![
        Convolution::new("conv1", [3, 32], 3).stride(2).into(),
        BatchNorm::new("bn1", 32).into(),
        relu(),
        Convolution::new("conv2", [32, 64], 3).into(),
        BatchNorm::new("bn2", 64).into(),
        relu(),
    ];
    let first = block(1, [64, 128], 2, 2, true);
    let second = block(2, [128, 256], 2, 2, true);
    let mut third = block(3, [256, 728], 2, 2, true);
    for n in 4..12 {
        third.extend(block(n, [728, 728], 3, 1, true));
    }
    let mut fourth = block(12, [728, 1024], 2, 2, false);
    for (n, input, out) in [(3, 1024, 1536), (4, 1536, 2048)] {
        fourth.extend(separable(&format!("conv{n}"), [input, out]));
        fourth.extend([BatchNorm::new(format!("bn{n}"), out).into(), relu()]);
    }
    let head = vec![Node::AveragePool, Node::Dropout, Linear { name: last.into(), input: 2048, out: classes }.into()];
    six_stages([stem, first, second, third, fourth], head)
}

/// A 3 x 3 convolution of each channel by itself, then one of all channels at each place.
fn separable(name: &str, [input, out]: [usize; 2]) -> [Node; 2] {
    let depthwise = Convolution::new(format!("{name}.conv1"), [input, input], 3).pad(1).groups(input);
    [depthwise.into(), Convolution::new(format!("{name}.pointwise"), [input, out], 1).into()]
}

/// Separable convolutions, each after an activation (the first one's is left out of block 1), and a way around them.
/// The channels grow in the first (`grow_first`) or in the last.
fn block(n: usize, [input, out]: [usize; 2], repeats: usize, stride: usize, grow_first: bool) -> Vec<Node> {
    let mut body = Vec::new();
    let mut place = 0;
    for repeat in 0..repeats {
        if repeat > 0 || n > 1 {
            body.push(Activation::Relu.into());
            place += 1;
        }
        let grows = if grow_first { 0 } else { repeats - 1 };
        let before = if repeat > grows { out } else { input };
        let after = if repeat >= grows { out } else { input };
        body.extend(separable(&format!("block{n}.rep.{place}"), [before, after]));
        body.push(BatchNorm::new(format!("block{n}.rep.{}", place + 1), after).into());
        place += 2;
    }
    let mut shortcut = Vec::new();
    if stride != 1 {
        body.push(Node::MaxPool(Pool { kernel: 3, stride, padding: 1 }));
    }
    if stride != 1 || input != out {
        shortcut.push(Convolution::new(format!("block{n}.skip"), [input, out], 1).stride(stride).into());
        shortcut.push(BatchNorm::new(format!("block{n}.skipbn"), out).into());
    }
    vec![Node::Residual { body, shortcut }]
}
