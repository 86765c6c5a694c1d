//! MobileNetV2 (Sandler et al. 2018) and MobileNetV3-small (Howard et al. 2019) in torchvision's layout and names.

use super::six_stages;
use crate::network::{Activation, BatchNorm, Convolution, Linear, Node, Stage};

/// The nearest multiple of 8, not below nine tenths.
pub(super) fn whole_eights(channels: f64) -> usize {
    let near = ((channels + 4.0) as usize / 8 * 8).max(8);
    if (near as f64) < 0.9 * channels { near + 8 } else { near }
}

/// MobileNetV2.
pub(super) fn v2_stages(classes: usize, last: &str) -> Vec<Stage> {
    /// Expansion, output channels, repeats and first stride.
    const SETTINGS: [[usize; 4]; 7] =
        [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]];
    let layer = |name: &str, conv: Convolution| {
        let norm = BatchNorm::new(format!("{name}.1"), conv.out);
        let conv = Convolution { name: format!("{name}.0"), ..conv };
        [Node::from(conv), norm.into(), Activation::Relu6.into()]
    };
    let mut trunk: [Vec<Node>; 5] = Default::default();
    trunk[0].extend(layer("features.0", Convolution::new("", [3, 32], 3).stride(2).pad(1)));
    let (mut input, mut index, mut stage) = (32, 1, 0);
    for [expand, out, repeats, first] in SETTINGS {
        for repeat in 0..repeats {
            let stride = if repeat == 0 { first } else { 1 };
            stage += stride - 1;
            let name = |part: usize| format!("features.{index}.conv.{part}");
            let hidden = input * expand;
            let mut body = Vec::new();
            let mut part = 0;
            if expand != 1 {
                body.extend(layer(&name(0), Convolution::new("", [input, hidden], 1)));
                part = 1;
            }
            let depthwise = Convolution::new("", [hidden, hidden], 3).stride(stride).pad(1).groups(hidden);
            body.extend(layer(&name(part), depthwise));
            body.push(Convolution::new(name(part + 1), [hidden, out], 1).into());
            body.push(BatchNorm::new(name(part + 2), out).into());
            trunk[stage].extend(around(body, stride == 1 && input == out));
            (input, index) = (out, index + 1);
        }
    }
    trunk[4].extend(layer("features.18", Convolution::new("", [320, 1280], 1)));
    let head = vec![Node::AveragePool, Node::Dropout, Linear { name: last.into(), input: 1280, out: classes }.into()];
    six_stages(trunk, head)
}

/// A body with a way around it, or alone.
pub(super) fn around(body: Vec<Node>, residual: bool) -> Vec<Node> {
    if residual { vec![Node::Residual { body, shortcut: Vec::new() }] } else { body }
}

/// One block of MobileNetV3: kernel, expanded and output channels, squeeze and excitation, hard swish, stride.
type Block = (usize, usize, usize, bool, bool, usize);

/// MobileNetV3-small.
pub(super) fn v3_small_stages(classes: usize, last: &str) -> Vec<Stage> {
    const BLOCKS: [Block; 11] = [
        (3, 16, 16, true, false, 2),
        (3, 72, 24, false, false, 2),
        (3, 88, 24, false, false, 1),
        (5, 96, 40, true, true, 2),
        (5, 240, 40, true, true, 1),
        (5, 240, 40, true, true, 1),
        (5, 120, 48, true, true, 1),
        (5, 144, 48, true, true, 1),
        (5, 288, 96, true, true, 2),
        (5, 576, 96, true, true, 1),
        (5, 576, 96, true, true, 1),
    ];
    let norm = |name: String, channels| BatchNorm { epsilon: 1e-3, momentum: 0.01, ..BatchNorm::new(name, channels) };
    let layer = |name: &str, conv: Convolution, activation: Option<Activation>| {
        let norm = norm(format!("{name}.1"), conv.out);
        let conv = Convolution { name: format!("{name}.0"), ..conv };
        [Node::from(conv), norm.into()].into_iter().chain(activation.map(Node::from))
    };
    let mut trunk: [Vec<Node>; 5] = Default::default();
    let first = Convolution::new("", [3, 16], 3).stride(2).pad(1);
    trunk[0].extend(layer("features.0", first, Some(Activation::HardSwish)));
    let (mut input, mut stage) = (16, 0);
    for (index, (kernel, expanded, out, excite, hard_swish, stride)) in BLOCKS.into_iter().enumerate() {
        stage += stride - 1;
        let activation = Some(if hard_swish { Activation::HardSwish } else { Activation::Relu });
        let mut part = 0;
        let mut name = || {
            part += 1;
            format!("features.{}.block.{}", index + 1, part - 1)
        };
        let mut body = Vec::new();
        if expanded != input {
            body.extend(layer(&name(), Convolution::new("", [input, expanded], 1), activation));
        }
        let depthwise =
            Convolution::new("", [expanded, expanded], kernel).stride(stride).pad(kernel / 2).groups(expanded);
        body.extend(layer(&name(), depthwise, activation));
        if excite {
            let squeezed = whole_eights(expanded as f64 / 4.0);
            let name = name();
            let names = [format!("{name}.fc1"), format!("{name}.fc2")];
            body.push(excitation(names, [expanded, squeezed], [Activation::Relu, Activation::HardSigmoid]));
        }
        body.extend(layer(&name(), Convolution::new("", [expanded, out], 1), None));
        trunk[stage].extend(around(body, stride == 1 && input == out));
        input = out;
    }
    trunk[4].extend(layer("features.12", Convolution::new("", [96, 576], 1), Some(Activation::HardSwish)));
    let head = vec![
        Node::AveragePool,
        Linear { name: "classifier.0".into(), input: 576, out: 1024 }.into(),
        Activation::HardSwish.into(),
        Node::Dropout,
        Linear { name: last.into(), input: 1024, out: classes }.into(),
    ];
    six_stages(trunk, head)
}

/// Squeeze and excitation by two 1 x 1 convolutions with a bias.
pub(super) fn excitation(
    [reduce, expand]: [String; 2],
    [channels, squeezed]: [usize; 2],
    [within, last]: [Activation; 2],
) -> Node {
    let gate = vec![
        Node::AveragePool,
        Convolution::new(reduce, [channels, squeezed], 1).with_bias().into(),
        within.into(),
        Convolution::new(expand, [squeezed, channels], 1).with_bias().into(),
        last.into(),
    ];
    Node::Excite { gate }
}
