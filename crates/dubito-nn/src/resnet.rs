//! ResNet-18 (He et al. 2016) in torchvision's layout and names, as a list of named stages.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use burn::tensor::{Device, Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::NnError;
use crate::dropout::Masks;
use crate::layers::{BatchNorm, Convolution, Linear, Parameter, Statistics, init_stream, max_pool};
use crate::state::{Array, StateDict, read_state, write_state};

/// The stages in order; a range of their indices is what [`ResNet::forward_stages`] runs.
pub const STAGES: [&str; 6] = ["stem", "layer1", "layer2", "layer3", "layer4", "head"];
/// Index of the last stage: average pooling, dropout, the fully connected layer.
pub const HEAD: usize = 5;

/// Index of a stage by its name in [`STAGES`].
///
/// # Errors
/// [`NnError::Setting`] that lists the names.
pub fn stage_index(field: &'static str, name: &str) -> Result<usize, NnError> {
    STAGES
        .iter()
        .position(|&s| s == name)
        .ok_or_else(|| NnError::setting(field, format!("one of {}", STAGES.join(", ")), name))
}

/// How the weights of the first convolution begin; the others begin by He et al. 2015.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// He et al. 2015, as torchvision does.
    Kaiming,
    /// The 7 x 7 discrete cosine basis without its mean, most of it on luma and the rest on the two
    /// colour differences: residuals of every frequency and direction, which is where resampling,
    /// blending and compression leave their traces. Good for a trunk that stays frozen.
    #[default]
    Dct,
}

/// What makes two ResNets' weights interchangeable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNetConfig {
    /// Number of classes, 2 or more.
    pub classes: usize,
    /// Channels of the first stage; 64 is ResNet-18, and only that is torchvision's. Costs grow with
    /// its square.
    #[serde(default = "default_width")]
    pub width: usize,
}

fn default_width() -> usize {
    64
}

/// How one forward pass is to be made.
pub(crate) struct Pass<'a> {
    /// Where batch norm takes its statistics from.
    pub(crate) statistics: Statistics<'a>,
    /// Dropout masks by stage, or none.
    pub(crate) masks: Option<&'a Masks>,
}

impl Pass<'_> {
    /// Inference with these masks.
    pub(crate) fn inference(masks: Option<&Masks>) -> Pass<'_> {
        Pass { statistics: Statistics::Running, masks }
    }
}

/// Two 3 x 3 convolutions and a way around them.
#[derive(Debug, Clone)]
struct BasicBlock {
    conv1: Convolution,
    bn1: BatchNorm,
    conv2: Convolution,
    bn2: BatchNorm,
    downsample: Option<(Convolution, BatchNorm)>,
}

impl BasicBlock {
    fn new(name: &str, input: usize, out: usize, stride: usize, device: &Device) -> Self {
        let part = |part: &str| format!("{name}.{part}");
        Self {
            conv1: Convolution::new(&part("conv1"), [input, out], [3, stride, 1], device),
            bn1: BatchNorm::new(&part("bn1"), out, device),
            conv2: Convolution::new(&part("conv2"), [out, out], [3, 1, 1], device),
            bn2: BatchNorm::new(&part("bn2"), out, device),
            downsample: (stride != 1 || input != out).then(|| {
                (
                    Convolution::new(&part("downsample.0"), [input, out], [1, stride, 0], device),
                    BatchNorm::new(&part("downsample.1"), out, device),
                )
            }),
        }
    }

    fn forward(&self, x: Tensor<4>, statistics: &mut Statistics<'_>) -> Tensor<4> {
        let around = match &self.downsample {
            Some((conv, bn)) => bn.forward(conv.forward(x.clone()), statistics),
            None => x.clone(),
        };
        let y = self.bn1.forward(self.conv1.forward(x), statistics);
        let y = self.conv2.forward(activation::relu(y));
        activation::relu(self.bn2.forward(y, statistics) + around)
    }
}

/// A ResNet-18 with its weights on a device.
///
/// Cloning is cheap: tensors are shared.
#[derive(Debug, Clone)]
pub struct ResNet {
    config: ResNetConfig,
    device: Device,
    conv1: Convolution,
    bn1: BatchNorm,
    layers: [[BasicBlock; 2]; 4],
    fc: Linear,
}

impl ResNet {
    /// A network with random weights, a function of the seed alone.
    ///
    /// # Errors
    /// [`NnError::Setting`] for fewer than 2 classes or a width outside 4..=512.
    pub fn new(config: &ResNetConfig, init: Init, seed: u64, device: &Device) -> Result<Self, NnError> {
        let mut net = Self::zeroed(config, device)?;
        let mut index = 0;
        net.each_convolution(&mut |conv| {
            conv.initialise(&mut init_stream(seed, index), device);
            index += 1;
        });
        net.fc.initialise(&mut init_stream(seed, index), device);
        if init == Init::Dct {
            let array = Array { shape: vec![config.width, 3, 7, 7], values: dct_filters(config.width) };
            let matrix = net.conv1.weight.layout.matrix_from_array(&array);
            net.conv1.weight.set(matrix, device);
        }
        Ok(net)
    }

    /// A network whose convolutions are all zero, to be loaded into.
    fn zeroed(config: &ResNetConfig, device: &Device) -> Result<Self, NnError> {
        if config.classes < 2 {
            return Err(NnError::setting("classes", "2 or more", config.classes));
        }
        if !(4..=512).contains(&config.width) {
            return Err(NnError::setting("width", "4 to 512", config.width));
        }
        let w = config.width;
        let layer = |n: usize| {
            let out = w << (n - 1);
            let (input, stride) = if n == 1 { (w, 1) } else { (out / 2, 2) };
            [
                BasicBlock::new(&format!("layer{n}.0"), input, out, stride, device),
                BasicBlock::new(&format!("layer{n}.1"), out, out, 1, device),
            ]
        };
        Ok(Self {
            config: config.clone(),
            device: device.clone(),
            conv1: Convolution::new("conv1", [3, w], [7, 2, 3], device),
            bn1: BatchNorm::new("bn1", w, device),
            layers: [layer(1), layer(2), layer(3), layer(4)],
            fc: Linear::new("fc", [8 * w, config.classes], device),
        })
    }

    /// Number of classes and width.
    pub fn config(&self) -> &ResNetConfig {
        &self.config
    }

    /// The device its weights are on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Channels of a stage's output: what a dropout mask after it has; for `head`, of what goes into
    /// the fully connected layer.
    pub fn channels(&self, stage: usize) -> usize {
        self.config.width << stage.saturating_sub(1).min(3)
    }

    /// Class logits `[items, classes]` of images `[items, 3, h, w]`, normalised, h and w 32 or more.
    /// No dropout; batch norm uses its running statistics.
    ///
    /// # Errors
    /// [`NnError::Input`] for another number of channels or a smaller image.
    pub fn forward(&self, images: Tensor<4>) -> Result<Tensor<2>, NnError> {
        check_images(&images)?;
        let out = self.run_stages(images, 0..STAGES.len(), &mut Pass::inference(None));
        let [items, ..] = out.dims();
        Ok(out.reshape([items, self.config.classes]))
    }

    /// Runs the stages `stages` (indices in [`STAGES`]) without dropout, batch norm by its running
    /// statistics. Stage 0 takes images `[items, 3, h, w]`, each other the feature map
    /// `[items, h, w, channels]` that the stage before it returns; the head returns logits
    /// `[items, 1, 1, classes]`.
    ///
    /// # Errors
    /// [`NnError::Setting`] for a stage that is not there, [`NnError::Input`] for an input of another shape.
    pub fn forward_stages(&self, x: Tensor<4>, stages: Range<usize>) -> Result<Tensor<4>, NnError> {
        if stages.end > STAGES.len() {
            return Err(NnError::setting("stages", format!("{} at most", STAGES.len()), stages.end));
        }
        let [items, _, _, channels] = x.dims();
        if stages.start == 0 && !stages.is_empty() {
            check_images(&x)?;
        } else if items == 0 || (!stages.is_empty() && channels != self.channels(stages.start - 1)) {
            return Err(NnError::Input {
                what: "feature map",
                expected: format!("[items, h, w, {}]", self.channels(stages.start - 1)),
                found: x.dims().to_vec(),
            });
        }
        Ok(self.run_stages(x, stages, &mut Pass::inference(None)))
    }

    /// Runs some stages. Stage 0 takes images `[items, 3, h, w]`, each other takes the feature map
    /// `[items, h, w, channels]` that the stage before it returns; the head returns
    /// `[items, 1, 1, classes]`. A mask, where there is one, is applied to a stage's output, and for
    /// the head to the pooled features.
    pub(crate) fn run_stages(&self, x: Tensor<4>, stages: Range<usize>, pass: &mut Pass<'_>) -> Tensor<4> {
        stages.fold(x, |x, stage| match stage {
            0 => self.drop(0, self.stem(x, &mut pass.statistics), pass),
            HEAD => {
                let x = self.drop(HEAD, average_pool(x), pass);
                let [items, _, _, channels] = x.dims();
                let logits = self.fc.forward(x.reshape([items, channels]));
                logits.reshape([items, 1, 1, self.config.classes])
            }
            _ => {
                let x = self.layers[stage - 1].iter().fold(x, |x, block| block.forward(x, &mut pass.statistics));
                self.drop(stage, x, pass)
            }
        })
    }

    fn drop(&self, stage: usize, x: Tensor<4>, pass: &Pass<'_>) -> Tensor<4> {
        match pass.masks {
            Some(masks) => masks.apply(stage, x),
            None => x,
        }
    }

    fn stem(&self, images: Tensor<4>, statistics: &mut Statistics<'_>) -> Tensor<4> {
        let x = self.bn1.forward(self.conv1.forward_image(images), statistics);
        max_pool(activation::relu(x))
    }

    /// The detector's arrays by torchvision's names.
    pub fn to_state(&self) -> StateDict {
        let mut state = StateDict::new();
        self.clone().each_parameter(0..STAGES.len(), &mut |p, _| {
            state.insert(p.name.clone(), p.layout.array_from_matrix(&p.values()));
        });
        state
    }

    /// A detector from a state dict with torchvision's names.
    ///
    /// # Errors
    /// [`NnError::MissingTensor`], [`NnError::ExtraTensor`], [`NnError::TensorShape`].
    pub fn from_state(config: &ResNetConfig, state: &StateDict, device: &Device) -> Result<Self, NnError> {
        let mut net = Self::zeroed(config, device)?;
        let mut known = BTreeSet::new();
        let mut error = None;
        net.each_parameter(0..STAGES.len(), &mut |p, _| {
            match state.get(&p.name) {
                Some(array) if array.shape == p.layout.shape() => {
                    let matrix = p.layout.matrix_from_array(array);
                    p.set(matrix, device);
                }
                found => {
                    let name = p.name.clone();
                    let expected = p.layout.shape();
                    error.get_or_insert(match found {
                        Some(array) => NnError::TensorShape { name, expected, found: array.shape.clone() },
                        None => NnError::MissingTensor { name, expected },
                    });
                }
            }
            known.insert(p.name.clone());
        });
        if let Some(error) = error {
            return Err(error);
        }
        match state.iter().find(|(name, _)| !known.contains(*name)) {
            Some((name, array)) => Err(NnError::ExtraTensor { name: name.clone(), found: array.shape.clone() }),
            None => Ok(net),
        }
    }

    /// [`ResNet::from_state`] of a safetensors file.
    ///
    /// # Errors
    /// As [`read_state`] and [`ResNet::from_state`].
    pub fn load(config: &ResNetConfig, path: &Path, device: &Device) -> Result<Self, NnError> {
        Self::from_state(config, &read_state(path)?, device)
    }

    /// Writes the weights as safetensors with torchvision's names, atomically.
    ///
    /// # Errors
    /// As [`write_state`].
    pub fn save(&self, path: &Path) -> Result<(), NnError> {
        write_state(path, &self.to_state())
    }

    /// Visits the arrays of some stages in a fixed order; the second argument says whether it is
    /// learned (weights and biases) or measured (running statistics).
    pub(crate) fn each_parameter(&mut self, stages: Range<usize>, visit: &mut dyn FnMut(&mut Parameter, bool)) {
        fn norm(bn: &mut BatchNorm, visit: &mut dyn FnMut(&mut Parameter, bool)) {
            visit(&mut bn.weight, true);
            visit(&mut bn.bias, true);
            visit(&mut bn.mean, false);
            visit(&mut bn.variance, false);
        }
        for stage in stages {
            match stage {
                0 => {
                    visit(&mut self.conv1.weight, true);
                    norm(&mut self.bn1, visit);
                }
                HEAD => {
                    visit(&mut self.fc.weight, true);
                    visit(&mut self.fc.bias, true);
                }
                _ => {
                    for block in &mut self.layers[stage - 1] {
                        visit(&mut block.conv1.weight, true);
                        norm(&mut block.bn1, visit);
                        visit(&mut block.conv2.weight, true);
                        norm(&mut block.bn2, visit);
                        if let Some((conv, bn)) = &mut block.downsample {
                            visit(&mut conv.weight, true);
                            norm(bn, visit);
                        }
                    }
                }
            }
        }
    }

    fn each_convolution(&mut self, visit: &mut dyn FnMut(&mut Convolution)) {
        visit(&mut self.conv1);
        for block in self.layers.iter_mut().flatten() {
            visit(&mut block.conv1);
            visit(&mut block.conv2);
            if let Some((conv, _)) = &mut block.downsample {
                visit(conv);
            }
        }
    }

    /// Moves running statistics towards those of a batch; see [`BatchNorm::update`].
    pub(crate) fn update_statistics(&mut self, seen: &[(String, Tensor<1>, Tensor<1>)], momentum: f32) {
        let update = |bn: &mut BatchNorm| {
            for (name, mean, variance) in seen {
                if name == bn.name() {
                    bn.update(mean, variance, momentum);
                }
            }
        };
        update(&mut self.bn1);
        for block in self.layers.iter_mut().flatten() {
            update(&mut block.bn1);
            update(&mut block.bn2);
            if let Some((_, bn)) = &mut block.downsample {
                update(bn);
            }
        }
    }
}

/// `[items, h, w, channels]` -> `[items, 1, 1, channels]`.
pub(crate) fn average_pool(x: Tensor<4>) -> Tensor<4> {
    let [items, h, w, channels] = x.dims();
    x.reshape([items, h * w, channels]).mean_dim(1).reshape([items, 1, 1, channels])
}

/// Images must be `[items, 3, h, w]`, at least one, h and w 32 or more.
pub(crate) fn check_images(images: &Tensor<4>) -> Result<(), NnError> {
    let found = images.dims();
    let [items, channels, h, w] = found;
    if items == 0 || channels != 3 || h < 32 || w < 32 {
        return Err(NnError::Input {
            what: "image batch",
            expected: "[items, 3, h, w] with items 1 or more, h and w 32 or more".to_owned(),
            found: found.to_vec(),
        });
    }
    Ok(())
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
