//! Networks on PPG maps: FakeCatcher's three convolutions, and a deep one for PPG cells.

use super::six_stages;
use crate::network::{Activation, BatchNorm, Convolution, Linear, Node, Pool, Stage};

const HALVE: Node = Node::MaxPool(Pool { kernel: 2, stride: 2, padding: 0 });

/// Three convolutions, each halved, and two fully connected layers, as Ciftci, Demir and Yin (2020) describe their network;
/// they give no widths, so these are ours, and so is the batch norm. Maps of 64 rows and `omega` columns.
pub(super) fn stages(width: usize, omega: usize, classes: usize, last: &str) -> Vec<Stage> {
    let block = |n: usize, input: usize, out: usize| {
        let mut nodes = convolution(&format!("conv{n}"), &format!("bn{n}"), input, out).to_vec();
        nodes.extend([HALVE, Node::Dropout]);
        nodes
    };
    let features = 4 * width * (64 / 8) * (omega / 8);
    let head = vec![
        Node::Flatten,
        Linear { name: "fc1".into(), input: features, out: 128 }.into(),
        Activation::Relu.into(),
        Node::Dropout,
        Linear { name: last.into(), input: 128, out: classes }.into(),
    ];
    let nodes = [block(1, 1, width), block(2, width, 2 * width), block(3, 2 * width, 4 * width), head];
    let names = ["stem", "layer1", "layer2", "head"];
    names.into_iter().zip(nodes).map(|(name, nodes)| Stage { name: name.to_owned(), nodes }).collect()
}

/// VGG-19 with batch norm (Simonyan and Zisserman 2015) on one channel, torchvision's names for its convolutions, and a mean
/// over the map before the last layer: the deeper network that PPG cells are told apart by (Ciftci, Demir, Yin, "How Do the
/// Hearts of Deep Fakes Beat?", 2020, where VGG-19 does best). `width` is 64 there.
pub(super) fn cell_stages(width: usize, classes: usize, last: &str) -> Vec<Stage> {
    const CONVOLUTIONS: [usize; 5] = [2, 2, 4, 4, 4];
    let mut trunk: [Vec<Node>; 5] = Default::default();
    let (mut input, mut place) = (1, 0);
    for (stage, (nodes, repeats)) in trunk.iter_mut().zip(CONVOLUTIONS).enumerate() {
        let out = width << stage.min(3);
        for _ in 0..repeats {
            let name = |place: usize| format!("features.{place}");
            nodes.extend(convolution(&name(place), &name(place + 1), input, out));
            (input, place) = (out, place + 3);
        }
        nodes.push(HALVE);
        place += 1;
    }
    let head =
        vec![Node::AveragePool, Node::Dropout, Linear { name: last.into(), input: 8 * width, out: classes }.into()];
    six_stages(trunk, head)
}

fn convolution(name: &str, norm: &str, input: usize, out: usize) -> [Node; 3] {
    let conv = Convolution::new(name, [input, out], 3).pad(1).with_bias();
    [conv.into(), BatchNorm::new(norm, out).into(), Activation::Relu.into()]
}
