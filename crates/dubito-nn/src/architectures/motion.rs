//! Compact networks over space and time, on runs of frames of magnified motion in two channels.

use super::six_stages;
use crate::network::{Activation, BatchNorm, Convolution, Linear, Node, Stage, Time};

/// How a layer reaches over space and time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    /// One kernel over both (Tran et al. 2015, C3D).
    Whole,
    /// One over space, then one over time, with an activation between (Tran et al. 2018, R(2+1)D).
    Factored,
}

/// Five layers; each but the first halves time where there are frames left to halve, each halves space. `width` channels in
/// the first, doubled in the next three.
pub(super) fn stages(kernel: Kernel, width: usize, frames: usize, classes: usize, last: &str) -> Vec<Stage> {
    let mut trunk: [Vec<Node>; 5] = Default::default();
    let (mut input, mut frames) = (2, frames);
    for (n, nodes) in trunk.iter_mut().enumerate() {
        let out = width << n.min(3);
        let stride = if n > 0 && frames > 1 { 2 } else { 1 };
        let time = Time { frames, kernel: 3, stride, padding: 1 };
        let name = format!("conv{}", n + 1);
        let norm = |name: &str| [Node::from(BatchNorm::new(name, out)), Activation::Relu.into()];
        match kernel {
            Kernel::Whole => {
                nodes.push(Convolution::new(name, [input, out], 3).stride(2).pad(1).over(time).into());
            }
            Kernel::Factored => {
                let still = Time { frames, kernel: 1, stride: 1, padding: 0 };
                let space = Convolution::new(format!("{name}.0"), [input, out], 3).stride(2).pad(1).over(still);
                nodes.push(space.into());
                nodes.extend(norm(&format!("{name}.1")));
                nodes.push(Convolution::new(format!("{name}.3"), [out, out], 1).over(time).into());
            }
        }
        nodes.extend(norm(&format!("bn{}", n + 1)));
        (input, frames) = (out, time.output().unwrap_or(1));
    }
    let head =
        vec![Node::AveragePool, Node::Dropout, Linear { name: last.into(), input: 8 * width, out: classes }.into()];
    six_stages(trunk, head)
}
