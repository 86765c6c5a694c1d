//! A detector: a network with its weights on a device, its forward pass, and its weights in and out by name.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use crate::NnError;
use crate::architectures::{Architecture, NetworkConfig};
use crate::depthwise::depthwise_and;
use crate::dropout::Masks;
use crate::elementwise::{
    activate_all, add_and_activate_all, add_map_and_activate, multiply_channels, norm_and_activate,
};
use crate::host::{in_place, is_host, tensor, with_values};
use crate::inference::{LayerNoise, Noise};
use crate::init::{Init, initialise};
use crate::layers::{activate, average_pool, batch_norm, convolve, convolve_planes, flatten, max_pool};
use crate::network::{Activation, BatchNorm, Convolution, Network, Node};
use crate::parameter::Parameter;
use crate::state::{StateDict, read_state, write_state};

/// The largest size of a weight, mean or variance that is taken for one: published networks stay below 1e6.
const MOST: f32 = 1e8;

/// Mean and unbiased variance of one batch at a batch norm, each `[1, channels]`.
pub(crate) struct Seen {
    name: String,
    momentum: f32,
    mean: Tensor<2>,
    variance: Tensor<2>,
}

/// How batch norm gets its mean and variance.
pub(crate) enum Statistics<'a> {
    /// From the running statistics of the weights file: inference, and every frozen stage.
    Running,
    /// From the batch itself; those of each layer are handed out.
    Batch(&'a mut Vec<Seen>),
}

/// How one forward pass is to be made.
pub(crate) struct Pass<'a> {
    /// Where batch norm takes its statistics from.
    pub(crate) statistics: Statistics<'a>,
    /// Dropout masks by stage, or none.
    pub(crate) masks: Option<&'a Masks>,
    /// What an estimator of variational training adds to layers, or nothing.
    pub(crate) noise: Option<&'a LayerNoise>,
}

impl Pass<'_> {
    /// Inference with these masks.
    pub(crate) fn inference(masks: Option<&Masks>) -> Pass<'_> {
        Pass { statistics: Statistics::Running, masks, noise: None }
    }
}

/// A network with its weights on a device. Cloning is cheap: tensors are shared.
#[derive(Debug, Clone)]
pub struct Detector {
    architecture: Architecture,
    config: NetworkConfig,
    network: Arc<Network>,
    places: Arc<HashMap<String, usize>>,
    parameters: Vec<Parameter>,
    device: Device,
}

impl Detector {
    /// A detector with random weights, a function of the seed alone.
    ///
    /// # Errors
    /// As [`Architecture::network`].
    pub fn new(
        architecture: Architecture,
        config: &NetworkConfig,
        init: Init,
        seed: u64,
        device: &Device,
    ) -> Result<Self, NnError> {
        let mut detector = Self::zeroed(architecture, config, device)?;
        initialise(&detector.network.clone(), &mut detector.parameters, init, seed);
        Ok(detector)
    }

    /// A detector whose arrays are all zero, to be loaded into.
    fn zeroed(architecture: Architecture, config: &NetworkConfig, device: &Device) -> Result<Self, NnError> {
        Ok(Self::of_network(architecture, config, architecture.network(config)?, device))
    }

    /// A network whose arrays are all zero.
    pub(crate) fn of_network(
        architecture: Architecture,
        config: &NetworkConfig,
        network: Network,
        device: &Device,
    ) -> Self {
        let parameters: Vec<Parameter> =
            network.parameters().into_iter().map(|(stage, array)| Parameter::zeros(stage, array, device)).collect();
        let places = parameters.iter().enumerate().map(|(i, p)| (p.name().to_owned(), i)).collect();
        Self {
            architecture,
            config: config.clone(),
            network: Arc::new(network),
            places: Arc::new(places),
            parameters,
            device: device.clone(),
        }
    }

    /// Which architecture it is.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Its size.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// Its stages as data.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The device its weights are on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Class logits `[items, classes]` of images `[items, 3, h, w]`, normalised, h and w 32 or more.
    /// No dropout; batch norm uses its running statistics.
    ///
    /// # Errors
    /// [`NnError::Input`] for another number of channels or a smaller image.
    pub fn forward(&self, images: Tensor<4>) -> Result<Tensor<2>, NnError> {
        self.check_images(&images)?;
        let out = self.run_stages(images, 0..self.network.stages.len(), &mut Pass::inference(None));
        let [items, ..] = out.dims();
        Ok(out.reshape([items, self.config.classes]))
    }

    /// Runs the stages `stages` (indices in [`Network::stages`]) without dropout, batch norm by its running
    /// statistics. Stage 0 takes images `[items, 3, h, w]`, each other the feature map
    /// `[items, h, w, channels]` that the stage before it returns; the head returns logits
    /// `[items, 1, 1, classes]`.
    ///
    /// # Errors
    /// [`NnError::Setting`] for a stage that is not there, [`NnError::Input`] for an input of another shape.
    pub fn forward_stages(&self, x: Tensor<4>, stages: Range<usize>) -> Result<Tensor<4>, NnError> {
        let count = self.network.stages.len();
        if stages.end > count {
            return Err(NnError::setting("stages", format!("{count} at most"), stages.end));
        }
        let found @ [items, h, w, channels] = x.dims();
        let wrong = |expected: String| NnError::Input { what: "feature map", expected, found: found.to_vec() };
        if stages.start == 0 && !stages.is_empty() {
            self.check_images(&x)?;
        } else if items == 0 {
            return Err(wrong("1 item or more".to_owned()));
        } else {
            let nodes = self.network.stages[stages.clone()].iter().flat_map(|s| &s.nodes);
            nodes.into_iter().try_fold([h, w, channels], |map, node| node.output(map))?;
        }
        Ok(self.run_stages(x, stages, &mut Pass::inference(None)))
    }

    /// Images must be as many channels and as large as the network takes, at least one.
    pub(crate) fn check_images(&self, images: &Tensor<4>) -> Result<(), NnError> {
        let found @ [items, channels, h, w] = images.dims();
        let Network { input_channels, least, .. } = *self.network;
        if items == 0 || channels != input_channels || h < least || w < least {
            return Err(NnError::Input {
                what: "image batch",
                expected: format!("[items, {input_channels}, h, w] with items 1 or more, h and w {least} or more"),
                found: found.to_vec(),
            });
        }
        self.network.walk([h, w], &mut |_| {}).map(|_| ())
    }

    /// Runs some stages; see [`Detector::forward_stages`]. A mask, where there is one, is applied at its stage's
    /// dropout.
    pub(crate) fn run_stages(&self, x: Tensor<4>, stages: Range<usize>, pass: &mut Pass<'_>) -> Tensor<4> {
        stages.fold(x, |x, stage| self.run_nodes(&self.network.stages[stage].nodes, x, stage, stage == 0, pass))
    }

    /// What reaches a node (by its stage and its place there) from images: what is computed once, whatever happens from
    /// there on.
    pub(crate) fn run_until(&self, images: Tensor<4>, [stage, node]: [usize; 2]) -> Tensor<4> {
        let mut pass = Pass::inference(None);
        let x = self.run_stages(images, 0..stage, &mut pass);
        let nodes = &self.network.stages[stage].nodes;
        self.run_nodes(&nodes[..node], x, stage, stage == 0, &mut pass)
    }

    /// Logits `[items, 1, 1, classes]` from what reaches a node.
    pub(crate) fn run_from(&self, x: Tensor<4>, [stage, node]: [usize; 2], pass: &mut Pass<'_>) -> Tensor<4> {
        let nodes = &self.network.stages[stage].nodes;
        let x = self.run_nodes(&nodes[node..], x, stage, stage == 0 && node == 0, pass);
        self.run_stages(x, stage + 1..self.network.stages.len(), pass)
    }

    /// Where the dropout of a stage lies.
    pub(crate) fn dropout(&self, stage: usize) -> [usize; 2] {
        let nodes = &self.network.stages[stage].nodes;
        [stage, nodes.iter().position(|node| *node == Node::Dropout).unwrap_or(nodes.len())]
    }

    /// Runs some nodes of a stage in order. `planes`: `x` is images `[items, channels, h, w]`.
    ///
    /// In inference a convolution takes the batch norm behind it into its weights, and on the CPU the activation is
    /// applied in place; in training batch norm and activation are one operation there.
    fn run_nodes(&self, nodes: &[Node], x: Tensor<4>, stage: usize, planes: bool, pass: &mut Pass<'_>) -> Tensor<4> {
        let (mut x, mut planes, mut rest) = (x, planes, nodes);
        while let Some((node, after)) = rest.split_first() {
            rest = after;
            if let Some(noise) = pass.noise.and_then(|noise| noise.of(node)) {
                x = self.run_noisy(node, noise, x, std::mem::take(&mut planes));
                continue;
            }
            let running = matches!(pass.statistics, Statistics::Running);
            let host = is_host(&x);
            let in_place_allowed = running && host && !x.is_autodiff();
            x = match node {
                Node::Convolution(conv) => {
                    let norm = if running { take_norm(&mut rest) } else { None };
                    let activation = if in_place_allowed { take_activation(&mut rest) } else { None };
                    self.convolution(conv, norm, activation, x, std::mem::take(&mut planes), in_place_allowed)
                }
                Node::BatchNorm(bn) => match &mut pass.statistics {
                    Statistics::Running => {
                        let (scale, shift) = self.scale_and_shift(bn);
                        let vector = |t: Tensor<2>| t.reshape([1, 1, 1, bn.channels]);
                        x * vector(scale) + vector(shift)
                    }
                    Statistics::Batch(seen) if host => {
                        let activation = take_activation(&mut rest);
                        self.norm_by_batch(bn, x, Some(activation), seen)
                    }
                    Statistics::Batch(seen) => self.norm_by_batch(bn, x, None, seen),
                },
                Node::Activation(function) if in_place_allowed => in_place(x, |x| activate_all(x, *function)),
                Node::Activation(function) => activate(x, *function),
                Node::Linear(linear) => {
                    let [items, ..] = x.dims();
                    let y = x.reshape([items, linear.input]).matmul(self.array(&linear.name, "weight"));
                    (y + self.array(&linear.name, "bias")).reshape([items, 1, 1, linear.out])
                }
                Node::Residual { body, shortcut } => {
                    let around = self.run_nodes(shortcut, x.clone(), stage, false, pass);
                    let y = self.run_nodes(body, x, stage, false, pass);
                    if in_place_allowed {
                        let activation = take_activation(&mut rest);
                        with_values(around, |around| in_place(y, |y| add_map_and_activate(y, around, activation)))
                    } else {
                        y + around
                    }
                }
                Node::Excite { gate } => {
                    let gate = self.run_nodes(gate, x.clone(), stage, false, pass);
                    let [_, h, w, c] = x.dims();
                    if in_place_allowed {
                        with_values(gate, |gate| in_place(x, |x| multiply_channels(x, gate, [h * w, c])))
                    } else {
                        x * gate
                    }
                }
                Node::MaxPool(pool) => max_pool(x, *pool),
                Node::AveragePool => average_pool(x),
                Node::Flatten => flatten(x),
                Node::Dropout => match pass.masks {
                    Some(masks) => masks.apply(stage, x),
                    None => x,
                },
            };
        }
        x
    }

    /// A convolution, and what is to be done at once with what it returns.
    fn convolution(
        &self,
        conv: &Convolution,
        norm: Option<&BatchNorm>,
        activation: Option<Activation>,
        x: Tensor<4>,
        planes: bool,
        in_place_allowed: bool,
    ) -> Tensor<4> {
        let mut weight = self.array(&conv.name, "weight");
        let mut bias = conv.bias.then(|| self.array(&conv.name, "bias"));
        if let Some(norm) = norm {
            let (scale, shift) = self.scale_and_shift(norm);
            weight = weight * scale.clone();
            bias = Some(match bias {
                Some(bias) => bias * scale + shift,
                None => shift,
            });
        }
        if in_place_allowed && conv.is_depthwise() && !planes {
            let bias = bias.unwrap_or_else(|| Tensor::zeros([1, conv.out], &self.device));
            return depthwise_and(x, weight, conv, bias, activation);
        }
        let y = if planes { convolve_planes(x, weight, conv) } else { convolve(x, weight, conv) };
        match bias {
            Some(bias) if in_place_allowed => {
                with_values(bias, |bias| in_place(y, |y| add_and_activate_all(y, bias, activation)))
            }
            Some(bias) => y + bias.reshape([1, 1, 1, conv.out]),
            None => match activation {
                Some(activation) => in_place(y, |y| activate_all(y, activation)),
                None => y,
            },
        }
    }

    /// Batch norm by the batch's own statistics; with `Some`, by the CPU's kernel with an activation, if any, behind it.
    fn norm_by_batch(
        &self,
        bn: &BatchNorm,
        x: Tensor<4>,
        kernel: Option<Option<Activation>>,
        seen: &mut Vec<Seen>,
    ) -> Tensor<4> {
        let shape = x.dims();
        let rows = shape.iter().product::<usize>() / bn.channels;
        let (weight, bias) = (self.array(&bn.name, "weight"), self.array(&bn.name, "bias"));
        let (y, mean, variance) = match kernel {
            Some(activation) => {
                let (y, moments) = norm_and_activate(x, weight, bias, bn.epsilon, activation);
                let vector = |v: Vec<f32>| tensor(v, [1, 1, 1, bn.channels]).reshape([1, bn.channels]);
                (y, vector(moments.mean), vector(moments.variance))
            }
            None => {
                let [y, mean, variance] = batch_norm(x, weight, bias, bn.epsilon);
                (y.reshape(shape), mean.inner(), variance.inner())
            }
        };
        let unbiased = rows as f32 / (rows.max(2) - 1) as f32;
        seen.push(Seen { name: bn.name.clone(), momentum: bn.momentum, mean, variance: variance * unbiased });
        y
    }

    /// What batch norm by running statistics multiplies by and adds, each `[1, channels]`.
    fn scale_and_shift(&self, bn: &BatchNorm) -> (Tensor<2>, Tensor<2>) {
        let array = |part| self.array(&bn.name, part);
        let scale = array("weight") / array("running_var").add_scalar(bn.epsilon).sqrt();
        let shift = array("bias") - array("running_mean") * scale.clone();
        (scale, shift)
    }

    /// A layer under what variational training adds to it.
    fn run_noisy(&self, node: &Node, noise: &Noise, x: Tensor<4>, planes: bool) -> Tensor<4> {
        let (name, out, bias) = match node {
            Node::Convolution(conv) => (&conv.name, conv.out, conv.bias),
            Node::Linear(linear) => (&linear.name, linear.out, true),
            _ => return x,
        };
        let layer = |x: Tensor<4>, weight: Tensor<2>| match node {
            Node::Convolution(conv) if planes => convolve_planes(x, weight, conv),
            Node::Convolution(conv) => convolve(x, weight, conv),
            _ => {
                let [items, _, _, n] = x.dims();
                x.reshape([items, n]).matmul(weight).reshape([items, 1, 1, out])
            }
        };
        let y = noise.apply(x, self.array(name, "weight"), planes, layer);
        match bias {
            true => y + self.array(name, "bias").reshape([1, 1, 1, out]),
            false => y,
        }
    }

    fn array(&self, layer: &str, part: &str) -> Tensor<2> {
        self.parameters[self.places[&format!("{layer}.{part}")]].value.clone()
    }

    /// Moves running statistics towards those of a batch, by `momentum` or else by each layer's own.
    pub(crate) fn update_statistics(&mut self, seen: &[Seen], momentum: Option<f32>) {
        for seen in seen {
            let momentum = momentum.unwrap_or(seen.momentum);
            for (part, value) in [("running_mean", &seen.mean), ("running_var", &seen.variance)] {
                let running = &mut self.parameters[self.places[&format!("{}.{part}", seen.name)]].value;
                *running = running.clone() * (1.0 - momentum) + value.clone() * momentum;
            }
        }
    }

    /// Index of an array among those, by its layer and what it is there.
    pub(crate) fn index_of(&self, layer: &str, part: &str) -> usize {
        self.places[&format!("{layer}.{part}")]
    }

    /// Every array, in the order of [`Network::parameters`].
    pub(crate) fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Replaces an array by one that lies as a matrix, too.
    pub(crate) fn set_value(&mut self, index: usize, value: Tensor<2>) {
        self.parameters[index].value = value;
    }

    /// The arrays of some stages in a fixed order.
    pub(crate) fn parameters_mut(&mut self, stages: Range<usize>) -> impl Iterator<Item = &mut Parameter> {
        self.parameters.iter_mut().filter(move |p| stages.contains(&p.stage))
    }

    /// The detector's arrays by their names.
    pub fn to_state(&self) -> StateDict {
        self.parameters.iter().map(|p| (p.name().to_owned(), p.to_array())).collect()
    }

    /// A detector from a state dict with the architecture's names.
    ///
    /// # Errors
    /// As [`Architecture::network`]; [`NnError::MissingTensor`], [`NnError::ExtraTensor`], [`NnError::TensorShape`],
    /// [`NnError::BadWeight`].
    pub fn from_state(
        architecture: Architecture,
        config: &NetworkConfig,
        state: &StateDict,
        device: &Device,
    ) -> Result<Self, NnError> {
        let mut detector = Self::zeroed(architecture, config, device)?;
        let mut known = BTreeSet::new();
        for p in &mut detector.parameters {
            let (name, expected) = (p.array.name.clone(), p.array.shape.clone());
            match state.get(&name) {
                Some(array) if array.shape == expected => {
                    check_weights(&name, &array.values)?;
                    p.set_array(&array.values);
                }
                Some(array) => return Err(NnError::TensorShape { name, expected, found: array.shape.clone() }),
                None => return Err(NnError::MissingTensor { name, expected }),
            }
            known.insert(name);
        }
        match state.iter().find(|(name, _)| !known.contains(*name)) {
            Some((name, array)) => Err(NnError::ExtraTensor { name: name.clone(), found: array.shape.clone() }),
            None => Ok(detector),
        }
    }

    /// [`Detector::from_state`] of a safetensors file.
    ///
    /// # Errors
    /// As [`read_state`] and [`Detector::from_state`].
    pub fn load(
        architecture: Architecture,
        config: &NetworkConfig,
        path: &Path,
        device: &Device,
    ) -> Result<Self, NnError> {
        Self::from_state(architecture, config, &read_state(path)?, device)
    }

    /// Writes the weights as safetensors with the architecture's names, atomically.
    ///
    /// # Errors
    /// As [`write_state`].
    pub fn save(&self, path: &Path) -> Result<(), NnError> {
        write_state(path, &self.to_state())
    }
}

/// Refuses numbers that no trained network has: those not finite or beyond [`MOST`], and negative variances.
fn check_weights(name: &str, values: &[f32]) -> Result<(), NnError> {
    let is_variance = name.ends_with("running_var");
    let (least, expected) = match is_variance {
        true => (0.0, "a variance from 0 to 1e8"),
        false => (-MOST, "a number from -1e8 to 1e8"),
    };
    match values.iter().position(|value| !(least..=MOST).contains(value)) {
        Some(index) => Err(NnError::BadWeight { name: name.to_owned(), index, found: values[index], expected }),
        None => Ok(()),
    }
}

/// The batch norm that comes next, taken off.
fn take_norm<'n>(rest: &mut &'n [Node]) -> Option<&'n BatchNorm> {
    match rest.split_first() {
        Some((Node::BatchNorm(norm), after)) => {
            *rest = after;
            Some(norm)
        }
        _ => None,
    }
}

/// The activation that comes next, taken off.
fn take_activation(rest: &mut &[Node]) -> Option<Activation> {
    match rest.split_first() {
        Some((Node::Activation(activation), after)) => {
            *rest = after;
            Some(*activation)
        }
        _ => None,
    }
}
