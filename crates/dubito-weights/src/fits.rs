//! Which architecture weights are of, by their plain names and shapes.

use crate::array::StateDict;

/// An architecture that weights are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// Its name, e.g. `resnet18`.
    pub architecture: &'static str,
    /// Its classes; `None` where the weights have no last layer of its shape.
    pub classes: Option<usize>,
    /// Tensors that it has, with as many as these weights hold.
    pub tensors: (usize, usize),
}

/// What tells one architecture from the others: tensors with their shapes, and how many it has in all (floating-point
/// ones, as torchvision or Cadene has them).
struct Architecture {
    name: &'static str,
    marks: &'static [(&'static str, &'static [usize])],
    absent: &'static str,
    head: (&'static str, usize),
    tensors: usize,
}

const ARCHITECTURES: [Architecture; 9] = [
    Architecture {
        name: "resnet18",
        marks: &[("conv1.weight", &[64, 3, 7, 7]), ("layer4.1.conv2.weight", &[512, 512, 3, 3])],
        absent: "layer4.2.conv2.weight",
        head: ("fc.weight", 512),
        tensors: 102,
    },
    Architecture {
        name: "resnet34",
        marks: &[("conv1.weight", &[64, 3, 7, 7]), ("layer4.2.conv2.weight", &[512, 512, 3, 3])],
        absent: "layer4.0.conv3.weight",
        head: ("fc.weight", 512),
        tensors: 182,
    },
    Architecture {
        name: "resnet50",
        marks: &[("conv1.weight", &[64, 3, 7, 7]), ("layer4.2.conv3.weight", &[2048, 512, 1, 1])],
        absent: "layer3.6.conv1.weight",
        head: ("fc.weight", 2048),
        tensors: 267,
    },
    Architecture {
        name: "xception",
        marks: &[("conv1.weight", &[32, 3, 3, 3]), ("conv4.pointwise.weight", &[2048, 1536, 1, 1])],
        absent: "block13.skip.weight",
        head: ("last_linear.weight", 2048),
        tensors: 236,
    },
    Architecture {
        name: "mobilenet_v2",
        marks: &[("features.0.0.weight", &[32, 3, 3, 3]), ("features.18.0.weight", &[1280, 320, 1, 1])],
        absent: "features.19.0.weight",
        head: ("classifier.1.weight", 1280),
        tensors: 262,
    },
    Architecture {
        name: "mobilenet_v3_small",
        marks: &[("features.0.0.weight", &[16, 3, 3, 3]), ("features.12.0.weight", &[576, 96, 1, 1])],
        absent: "features.13.0.weight",
        head: ("classifier.3.weight", 1024),
        tensors: 210,
    },
    Architecture {
        name: "mobilenet_v3_large",
        marks: &[("features.0.0.weight", &[16, 3, 3, 3]), ("features.16.0.weight", &[960, 160, 1, 1])],
        absent: "features.17.0.weight",
        head: ("classifier.3.weight", 1280),
        tensors: 266,
    },
    Architecture {
        name: "efficientnet_b0",
        marks: &[("features.0.0.weight", &[32, 3, 3, 3]), ("features.8.0.weight", &[1280, 320, 1, 1])],
        absent: "features.9.0.weight",
        head: ("classifier.1.weight", 1280),
        tensors: 311,
    },
    Architecture {
        name: "efficientnet_b4",
        marks: &[("features.0.0.weight", &[48, 3, 3, 3]), ("features.8.0.weight", &[1792, 448, 1, 1])],
        absent: "features.9.0.weight",
        head: ("classifier.1.weight", 1792),
        tensors: 610,
    },
];

/// The architecture that weights under plain names (see [`clean`](crate::clean)) are of, if it is one that is known.
pub fn fits(state: &StateDict) -> Option<Fit> {
    let shape = |name: &str| state.get(name).map(|array| array.shape.as_slice());
    let found = ARCHITECTURES.iter().find(|of| {
        of.marks.iter().all(|(name, expected)| shape(name) == Some(*expected)) && !state.contains_key(of.absent)
    })?;
    let classes = match shape(found.head.0) {
        Some([classes, width]) if *width == found.head.1 => Some(*classes),
        _ => None,
    };
    Some(Fit { architecture: found.name, classes, tensors: (found.tensors, state.len()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Array;

    fn of(architecture: &Architecture, classes: usize) -> StateDict {
        let head = [classes, architecture.head.1];
        let shapes = architecture.marks.iter().copied().chain([(architecture.head.0, head.as_slice())]);
        shapes.map(|(name, shape)| (name.to_owned(), Array { shape: shape.to_vec(), values: Vec::new() })).collect()
    }

    #[test]
    fn each_is_told_from_the_others() {
        for architecture in &ARCHITECTURES {
            let mut state = of(architecture, 7);
            let fit = Fit { architecture: architecture.name, classes: Some(7), tensors: (architecture.tensors, 3) };
            assert_eq!(fits(&state), Some(fit));
            state.remove(architecture.head.0);
            assert_eq!(fits(&state).and_then(|fit| fit.classes), None);
            state.insert(architecture.absent.to_owned(), Array { shape: vec![], values: vec![0.0] });
            assert_ne!(fits(&state).map(|fit| fit.architecture), Some(architecture.name));
        }
        assert_eq!(fits(&StateDict::new()), None);
    }
}
