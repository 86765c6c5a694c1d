//! Plain names: what wrappers, data-parallel training and benchmarks put around the names of weights is taken off.
//!
//! | what is found | where it comes from | what becomes of it |
//! |---|---|---|
//! | prefixes `module.`, `_orig_mod.`, `model.`, `net.`, `backbone.`, `encoder.`, `efficientnet.` on half of the names or more | `DataParallel`, `torch.compile`, Lightning; DeepfakeBench (`training/detectors`: every network is a `backbone`); FaceForensics++ (`classification/network/models.py`: a `model` in a `TransferModel`) | taken off |
//! | `last_linear.1.`, `fc.1.` | a dropout before the last layer (both benchmarks) | `last_linear.`, `fc.` |
//! | `adjust_channel.` | DeepfakeBench (`training/networks`): a projection that its plain detectors do not use | left out |
//! | `resnet.0.` ... `resnet.7.` with `fc.` | DeepfakeBench's ResNet-34, a `Sequential` of torchvision's children | `conv1.`, `bn1.`, `layer1.` ... `layer4.` |
//! | pointwise weights `[out, in]` of an Xception | Cadene's `xception-b5690688.pth`, which FaceForensics++ and DeepfakeBench begin with | `[out, in, 1, 1]` |
//! | `fc.` of an Xception | the same file | `last_linear.` (Cadene's name) |
//! | `_conv_stem`, `_blocks.N.`, `_fc` (and DeepfakeBench's `last_layer`) | lukemelas' EfficientNet-PyTorch | torchvision's `features.S.N.block.`, `classifier.1.` |
//! | `conv_stem`, `blocks.S.N.`, `classifier` | timm's EfficientNet | the same |

use crate::array::{Array, StateDict};

/// Prefixes that say nothing of the network.
const PREFIXES: [&str; 7] = ["module.", "_orig_mod.", "model.", "net.", "backbone.", "encoder.", "efficientnet."];
/// Blocks of each stage of EfficientNet-B0 and of B4 (Tan and Le 2019, scaled in depth by 1 and 1.8).
const REPEATS: [[usize; 7]; 2] = [[1, 2, 2, 3, 3, 4, 1], [2, 4, 4, 6, 6, 8, 2]];

/// Weights under plain names.
#[derive(Debug, Clone, PartialEq)]
pub struct Cleaned {
    /// The weights.
    pub state: StateDict,
    /// What was done, in sentences; empty where the names were plain.
    pub notes: Vec<String>,
}

/// Puts weights under the names of torchvision (ResNet, MobileNet, EfficientNet) or Cadene (Xception), as the table on
/// top has it. Names of other networks only lose their prefixes. Nothing is renamed onto a name that is there.
pub fn clean(state: StateDict) -> Cleaned {
    let mut cleaned = Cleaned { state, notes: Vec::new() };
    cleaned.strip_prefixes();
    cleaned.rename("a dropout before the last layer", |name| {
        let (head, rest) = name.split_once(".1.")?;
        ["last_linear", "fc"].contains(&head).then(|| format!("{head}.{rest}"))
    });
    let before = cleaned.state.len();
    cleaned.state.retain(|name, _| !name.starts_with("adjust_channel."));
    let left = before - cleaned.state.len();
    if left > 0 {
        cleaned
            .notes
            .push(format!("left out {left} tensors `adjust_channel.`, which DeepfakeBench's detectors do not use"));
    }
    if cleaned.state.keys().any(|name| name.starts_with("resnet.4.0.")) {
        cleaned.rename("torchvision's ResNet in a Sequential", sequential_resnet);
    }
    if cleaned.state.contains_key("block12.skip.weight") && cleaned.state.contains_key("conv4.pointwise.weight") {
        cleaned.rename("Cadene's first Xception", |name| Some(format!("last_linear.{}", name.strip_prefix("fc.")?)));
        cleaned.unsqueeze_pointwise();
    }
    cleaned.efficientnet();
    cleaned
}

impl Cleaned {
    fn strip_prefixes(&mut self) {
        for _ in 0..PREFIXES.len() {
            let holders = |prefix: &str| self.state.keys().filter(|name| name.starts_with(prefix)).count();
            let found = PREFIXES.iter().find(|prefix| holders(prefix) * 2 >= self.state.len().max(1));
            let Some(prefix) = found else { return };
            if !self.rename(&format!("prefix `{prefix}`"), |name| Some(name.strip_prefix(prefix)?.to_owned())) {
                return;
            }
        }
    }

    /// Renames what `to` gives a new name, unless two would have one name; whether anything was renamed.
    fn rename(&mut self, what: &str, to: impl Fn(&str) -> Option<String>) -> bool {
        let mut renamed = StateDict::new();
        let mut changed = 0;
        for (name, array) in &self.state {
            let new = to(name);
            changed += usize::from(new.is_some());
            renamed.insert(new.unwrap_or_else(|| name.clone()), array.clone());
        }
        if changed == 0 {
            return false;
        }
        if renamed.len() < self.state.len() {
            self.notes.push(format!("kept names as they are ({what}): without it two tensors would have one name"));
            return false;
        }
        self.notes.push(format!("renamed {changed} tensors ({what})"));
        self.state = renamed;
        true
    }

    fn unsqueeze_pointwise(&mut self) {
        let flat = |name: &str, array: &Array| name.ends_with("pointwise.weight") && array.shape.len() == 2;
        let mut count = 0;
        for (_, array) in self.state.iter_mut().filter(|(name, array)| flat(name, array)) {
            array.shape.extend([1, 1]);
            count += 1;
        }
        if count > 0 {
            self.notes.push(format!("gave {count} pointwise weights [out, in] the shape [out, in, 1, 1]"));
        }
    }

    fn efficientnet(&mut self) {
        let stem = |name: &str| self.state.get(name).map(|array| array.shape.first().copied() == Some(48));
        if let Some(is_b4) = stem("_conv_stem.weight") {
            let repeats = &REPEATS[usize::from(is_b4)];
            self.rename("EfficientNet-PyTorch to torchvision", |name| lukemelas_name(name, repeats));
        } else if stem("conv_stem.weight").is_some() {
            self.rename("timm's EfficientNet to torchvision", timm_name);
        }
    }
}

fn sequential_resnet(name: &str) -> Option<String> {
    let (index, rest) = name.strip_prefix("resnet.")?.split_once('.')?;
    let part = match index.parse().ok()? {
        0 => "conv1".to_owned(),
        1 => "bn1".to_owned(),
        stage @ 4..=7 => format!("layer{}", stage - 3),
        _ => return None,
    };
    Some(format!("{part}.{rest}"))
}

/// The name of a part of the `block`-th block of a stage (both from 0); `part` counts convolutions and the squeeze
/// between them, as torchvision lists them. The first stage has no expansion.
fn block_name(stage: usize, block: usize, part: usize, inside: &str) -> Option<String> {
    let part = if stage == 0 { part.checked_sub(1)? } else { part };
    Some(format!("features.{}.{block}.block.{part}.{inside}", stage + 1))
}

fn lukemelas_name(name: &str, repeats: &[usize]) -> Option<String> {
    let (module, rest) = name.split_once('.')?;
    if module != "_blocks" {
        let plain = match module {
            "_conv_stem" => "features.0.0",
            "_bn0" => "features.0.1",
            "_conv_head" => "features.8.0",
            "_bn1" => "features.8.1",
            "_fc" | "last_layer" => "classifier.1",
            _ => return None,
        };
        return Some(format!("{plain}.{rest}"));
    }
    let (index, rest) = rest.split_once('.')?;
    let (module, rest) = rest.split_once('.')?;
    let mut block: usize = index.parse().ok()?;
    let mut stage = 0;
    while block >= *repeats.get(stage)? {
        block -= repeats[stage];
        stage += 1;
    }
    let (part, inside) = match module {
        "_expand_conv" => (0, "0"),
        "_bn0" => (0, "1"),
        "_depthwise_conv" => (1, "0"),
        "_bn1" => (1, "1"),
        "_se_reduce" => (2, "fc1"),
        "_se_expand" => (2, "fc2"),
        "_project_conv" => (3, "0"),
        "_bn2" => (3, "1"),
        _ => return None,
    };
    block_name(stage, block, part, &format!("{inside}.{rest}"))
}

fn timm_name(name: &str) -> Option<String> {
    let (module, rest) = name.split_once('.')?;
    if module != "blocks" {
        let plain = match module {
            "conv_stem" => "features.0.0",
            "bn1" => "features.0.1",
            "conv_head" => "features.8.0",
            "bn2" => "features.8.1",
            "classifier" if !rest.contains('.') => "classifier.1",
            _ => return None,
        };
        return Some(format!("{plain}.{rest}"));
    }
    let mut parts = rest.splitn(3, '.');
    let (stage, block) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let rest = parts.next()?;
    let (module, leaf) = rest.rsplit_once('.')?;
    // In the first stage the depthwise convolution comes first and `conv_pw` projects.
    let (part, inside) = match (stage, module) {
        (0, "conv_dw") => (1, "0"),
        (0, "bn1") => (1, "1"),
        (0, "conv_pw") => (3, "0"),
        (0, "bn2") => (3, "1"),
        (_, "conv_pw") => (0, "0"),
        (_, "bn1") => (0, "1"),
        (_, "conv_dw") => (1, "0"),
        (_, "bn2") => (1, "1"),
        (_, "se.conv_reduce") => (2, "fc1"),
        (_, "se.conv_expand") => (2, "fc2"),
        (_, "conv_pwl") => (3, "0"),
        (_, "bn3") => (3, "1"),
        _ => return None,
    };
    block_name(stage, block, part, &format!("{inside}.{leaf}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn state(names: &[(&str, &[usize])]) -> StateDict {
        let array = |shape: &[usize]| Array { shape: shape.to_vec(), values: vec![0.5; shape.iter().product()] };
        names.iter().map(|(name, shape)| ((*name).to_owned(), array(shape))).collect()
    }

    fn names(cleaned: &Cleaned) -> Vec<&str> {
        cleaned.state.keys().map(String::as_str).collect()
    }

    #[test]
    fn both_benchmarks_xception_get_cadenes_names() {
        let bench = clean(state(&[
            ("module.backbone.block12.skip.weight", &[4, 2, 1, 1]),
            ("module.backbone.conv4.pointwise.weight", &[4, 3]),
            ("module.backbone.last_linear.1.weight", &[2, 4]),
            ("module.backbone.adjust_channel.0.weight", &[2, 4, 1, 1]),
        ]));
        assert_eq!(names(&bench), ["block12.skip.weight", "conv4.pointwise.weight", "last_linear.weight"]);
        assert_eq!(bench.state["conv4.pointwise.weight"].shape, [4, 3, 1, 1]);
        assert_eq!(bench.notes.len(), 5, "{:?}", bench.notes);
        let ffpp = clean(state(&[
            ("model.block12.skip.weight", &[4, 2, 1, 1]),
            ("model.conv4.pointwise.weight", &[4, 3, 1, 1]),
            ("model.fc.weight", &[2, 4]),
        ]));
        assert_eq!(names(&ffpp), names(&bench));
    }

    #[test]
    fn deepfakebench_resnet_and_efficientnet_get_torchvisions_names() {
        let resnet = clean(state(&[
            ("backbone.resnet.0.weight", &[1]),
            ("backbone.resnet.1.bias", &[1]),
            ("backbone.resnet.4.0.conv1.weight", &[1]),
            ("backbone.resnet.7.2.bn2.bias", &[1]),
            ("backbone.fc.weight", &[2, 1]),
        ]));
        assert_eq!(
            names(&resnet),
            ["bn1.bias", "conv1.weight", "fc.weight", "layer1.0.conv1.weight", "layer4.2.bn2.bias"]
        );
        let net = clean(state(&[
            ("backbone.efficientnet._conv_stem.weight", &[48, 1, 1, 1]),
            ("backbone.efficientnet._bn1.bias", &[1]),
            ("backbone.efficientnet._blocks.1._depthwise_conv.weight", &[1]),
            ("backbone.efficientnet._blocks.2._expand_conv.weight", &[1]),
            ("backbone.efficientnet._blocks.31._bn2.running_mean", &[1]),
            ("backbone.last_layer.weight", &[2, 1]),
        ]));
        assert_eq!(
            names(&net),
            [
                "classifier.1.weight",
                "features.0.0.weight",
                "features.1.1.block.0.0.weight",
                "features.2.0.block.0.0.weight",
                "features.7.1.block.3.1.running_mean",
                "features.8.1.bias"
            ]
        );
    }

    #[test]
    fn what_would_collide_keeps_its_name_and_plain_names_stay() {
        let plain = state(&[("fc.weight", &[2, 1]), ("conv1.weight", &[1])]);
        assert_eq!(clean(plain.clone()), Cleaned { state: plain, notes: vec![] });
        let both = state(&[("module.a", &[1]), ("a", &[1])]);
        let cleaned = clean(both.clone());
        assert_eq!(cleaned.state, both);
        assert!(cleaned.notes[0].contains("one name"), "{:?}", cleaned.notes);
    }
}
