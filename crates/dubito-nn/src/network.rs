//! A network as data: named stages of nodes. The forward pass interprets it, and anyone may walk it.
//!
//! A feature map is `[items, height, width, channels]`; a stage's last node marks where its dropout lies.

use crate::NnError;

/// Height, width and channels of one item's feature map.
pub type MapShape = [usize; 3];

/// A network: what it takes, and its stages from the first to the head.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Channels of the pictures it takes, 3 for RGB.
    pub input_channels: usize,
    /// The smallest height and width of an image it takes, in pixels.
    pub least: usize,
    /// Its stages in order; the last is the head, which returns logits `[items, 1, 1, classes]`.
    pub stages: Vec<Stage>,
}

/// A part of a network between two feature maps, the unit of freezing and of the stochastic boundary.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Its name in settings: `stem`, `layer1`, ..., `head`.
    pub name: String,
    /// What is done to the map, in order. Exactly one of them is a [`Node::Dropout`].
    pub nodes: Vec<Node>,
}

/// One step of a network: a layer, or a block of steps.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A convolution.
    Convolution(Convolution),
    /// Batch normalisation of each channel.
    BatchNorm(BatchNorm),
    /// A fully connected layer on a map of 1 x 1.
    Linear(Linear),
    /// A function of each value by itself.
    Activation(Activation),
    /// `body(x) + shortcut(x)`; an empty shortcut is `x` itself (He et al. 2016).
    Residual {
        /// The way that learns the difference.
        body: Vec<Node>,
        /// The way around it.
        shortcut: Vec<Node>,
    },
    /// `x * gate(x)`, where the gate ends in a map of 1 x 1: squeeze and excitation (Hu et al. 2018).
    Excite {
        /// Average pooling, two layers and an activation in 0 to 1.
        gate: Vec<Node>,
    },
    /// The largest value of each window; what lies outside the map never is.
    MaxPool(Pool),
    /// The mean over height and width: a map of 1 x 1.
    AveragePool,
    /// A map as one row, channels first as PyTorch flattens: a map of 1 x 1.
    Flatten,
    /// Where the stage's dropout mask is applied, one value for each channel. The identity without a mask.
    Dropout,
}

/// A convolution; its weight is `NAME.weight` `[out, in / groups, kernel height, kernel width]`, with [`Convolution::time`]
/// `[out, in / groups, kernel frames, kernel height, kernel width]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolution {
    /// Prefix of its weights' names.
    pub name: String,
    /// Channels that it takes.
    pub input: usize,
    /// Channels that it returns.
    pub out: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Step between windows, down and across.
    pub stride: [usize; 2],
    /// Zeros before and after the map: `[[above, below], [left, right]]`.
    pub padding: [[usize; 2]; 2],
    /// Step between the places of a kernel, down and across.
    pub dilation: [usize; 2],
    /// Parts that input and output channels are split into; `input` of them is a depthwise convolution.
    pub groups: usize,
    /// Whether it adds `NAME.bias` `[out]`.
    pub bias: bool,
    /// How it reaches over frames, where the map is a clip's: its frames' maps, one below the other.
    pub time: Option<Time>,
}

/// The third dimension of a convolution over a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// Frames in the map that it takes; the map's height is a multiple.
    pub frames: usize,
    /// Frames of the kernel.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Frames of zeros before the first and after the last.
    pub padding: usize,
}

impl Time {
    /// Frames of what is returned; none where the kernel does not fit.
    pub fn output(&self) -> Option<usize> {
        Some((self.frames + 2 * self.padding).checked_sub(self.kernel)? / self.stride + 1)
    }
}

impl Convolution {
    /// A square kernel at stride 1 without padding or bias.
    pub fn new(name: impl Into<String>, [input, out]: [usize; 2], kernel: usize) -> Self {
        Self {
            name: name.into(),
            input,
            out,
            kernel: [kernel; 2],
            stride: [1; 2],
            padding: [[0; 2]; 2],
            dilation: [1; 2],
            groups: 1,
            bias: false,
            time: None,
        }
    }

    /// Over the frames of a clip too.
    #[must_use]
    pub fn over(mut self, time: Time) -> Self {
        self.time = Some(time);
        self
    }

    /// Places of the kernel: frames times height times width.
    pub fn places(&self) -> usize {
        self.time.map_or(1, |time| time.kernel) * self.kernel[0] * self.kernel[1]
    }

    /// With this stride both ways.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = [stride; 2];
        self
    }

    /// With as many zeros on each side.
    #[must_use]
    pub fn pad(mut self, padding: usize) -> Self {
        self.padding = [[padding; 2]; 2];
        self
    }

    /// With zeros before and after, the same down and across.
    #[must_use]
    pub fn pad_sides(mut self, sides: [usize; 2]) -> Self {
        self.padding = [sides; 2];
        self
    }

    /// With channels in so many groups.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// With a bias.
    #[must_use]
    pub fn with_bias(mut self) -> Self {
        self.bias = true;
        self
    }

    /// Whether each channel has a kernel of its own and nothing else.
    pub fn is_depthwise(&self) -> bool {
        self.groups == self.input && self.out == self.input && self.groups > 1 && self.time.is_none()
    }

    /// Height and width of what it returns; none where the kernel does not fit, or the height is not one of so many
    /// frames.
    pub fn output(&self, size: [usize; 2]) -> Option<[usize; 2]> {
        let frames = self.time.map_or(1, |time| time.frames);
        let size = [size[0].is_multiple_of(frames).then(|| size[0] / frames)?, size[1]];
        let side = |d: usize| {
            let [before, after] = self.padding[d];
            let reach = self.dilation[d] * (self.kernel[d] - 1) + 1;
            Some((size[d] + before + after).checked_sub(reach)? / self.stride[d] + 1)
        };
        let frames = self.time.map_or(Some(1), |time| time.output())?;
        Some([frames * side(0)?, side(1)?])
    }
}

/// Batch normalisation (Ioffe and Szegedy 2015); `NAME.weight`, `.bias`, `.running_mean`, `.running_var`,
/// each `[channels]`.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm {
    /// Prefix of its weights' names.
    pub name: String,
    /// Channels.
    pub channels: usize,
    /// Added to the variance.
    pub epsilon: f32,
    /// How far running statistics move towards a batch's, PyTorch's convention.
    pub momentum: f32,
}

impl BatchNorm {
    /// With PyTorch's defaults: epsilon 1e-5, momentum 0.1.
    pub fn new(name: impl Into<String>, channels: usize) -> Self {
        Self { name: name.into(), channels, epsilon: 1e-5, momentum: 0.1 }
    }
}

/// A fully connected layer; `NAME.weight` `[out, in]` and `NAME.bias` `[out]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// Prefix of its weights' names.
    pub name: String,
    /// Values in a row that it takes.
    pub input: usize,
    /// Values that it returns.
    pub out: usize,
}

/// A function of each value by itself, as PyTorch defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), 6).
    Relu6,
    /// x * sigmoid(x), also called swish.
    Silu,
    /// x * min(max(x + 3, 0), 6) / 6.
    HardSwish,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// min(max(x + 3, 0), 6) / 6.
    HardSigmoid,
}

/// Square windows of a pooling layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Side of a window.
    pub kernel: usize,
    /// Step between windows.
    pub stride: usize,
    /// Places outside the map on each side.
    pub padding: usize,
}

/// A named array of a network, as a state dict holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterShape {
    /// Its name.
    pub name: String,
    /// Its shape in PyTorch's layout.
    pub shape: Vec<usize>,
    /// Whether it is learned (weights and biases), or measured (running statistics).
    pub learned: bool,
}

/// A node met on a walk, with the maps before and after it.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// Index of its stage.
    pub stage: usize,
    /// How many blocks it lies within.
    pub depth: usize,
    /// The node.
    pub node: &'a Node,
    /// The map that it takes.
    pub input: MapShape,
    /// The map that it returns.
    pub output: MapShape,
}

impl Network {
    /// Index of a stage by its name.
    ///
    /// # Errors
    /// [`NnError::Setting`] about `field` that lists the names.
    pub fn stage_index(&self, field: &'static str, name: &str) -> Result<usize, NnError> {
        let names: Vec<&str> = self.stages.iter().map(|s| s.name.as_str()).collect();
        let at = names.iter().position(|&s| s == name);
        at.ok_or_else(|| NnError::setting(field, format!("one of {}", names.join(", ")), name))
    }

    /// Index of the last stage.
    pub fn head(&self) -> usize {
        self.stages.len() - 1
    }

    /// Visits every node in the order of the forward pass, blocks before what is in them (a residual's body
    /// before its shortcut), for images of this height and width; returns the last map.
    ///
    /// # Errors
    /// [`NnError::Input`] where a map has other channels than a node takes, or is too small for a kernel.
    pub fn walk(&self, size: [usize; 2], visit: &mut dyn FnMut(Visit<'_>)) -> Result<MapShape, NnError> {
        let mut map = [size[0], size[1], self.input_channels];
        for (index, stage) in self.stages.iter().enumerate() {
            map = walk_nodes(&stage.nodes, map, &mut |node, depth, input, output| {
                visit(Visit { stage: index, depth, node, input, output });
            })?;
        }
        Ok(map)
    }

    /// Every array of the network with the index of its stage, in the order of [`Network::walk`].
    pub fn parameters(&self) -> Vec<(usize, ParameterShape)> {
        let mut out = Vec::new();
        for (index, stage) in self.stages.iter().enumerate() {
            for_each(&stage.nodes, &mut |node| out.extend(node.parameters().into_iter().map(|p| (index, p))));
        }
        out
    }

    /// Channels at a stage's dropout: as many as a mask has values.
    pub fn channels(&self, stage: usize) -> usize {
        let nodes = self.stages[..=stage].iter().flat_map(|s| &s.nodes);
        channels_after(nodes, self.input_channels, stage)
    }
}

/// Channels after some nodes, or where the dropout lies that comes after so many others.
fn channels_after<'a>(nodes: impl Iterator<Item = &'a Node>, input: usize, dropouts: usize) -> usize {
    let (mut channels, mut seen) = (input, 0);
    for node in nodes {
        match node {
            Node::Dropout if seen == dropouts => break,
            Node::Dropout => seen += 1,
            Node::Convolution(c) => channels = c.out,
            Node::Linear(l) => channels = l.out,
            Node::Residual { body, .. } => channels = channels_after(body.iter(), channels, usize::MAX),
            _ => {}
        }
    }
    channels
}

/// Visits nodes and what is in them.
pub(crate) fn for_each<'a>(nodes: &'a [Node], visit: &mut dyn FnMut(&'a Node)) {
    for node in nodes {
        visit(node);
        match node {
            Node::Residual { body, shortcut } => {
                for_each(body, visit);
                for_each(shortcut, visit);
            }
            Node::Excite { gate } => for_each(gate, visit),
            _ => {}
        }
    }
}

type WalkVisit<'a> = dyn FnMut(&Node, usize, MapShape, MapShape) + 'a;

fn walk_nodes(nodes: &[Node], map: MapShape, visit: &mut WalkVisit<'_>) -> Result<MapShape, NnError> {
    nodes.iter().try_fold(map, |map, node| {
        let output = node.output(map)?;
        visit(node, 0, map, output);
        let deeper = &mut |node: &Node, depth: usize, input, output| visit(node, depth + 1, input, output);
        match node {
            Node::Residual { body, shortcut } => {
                walk_nodes(body, map, deeper)?;
                walk_nodes(shortcut, map, deeper)?;
            }
            Node::Excite { gate } => {
                walk_nodes(gate, map, deeper)?;
            }
            _ => {}
        }
        Ok(output)
    })
}

impl Node {
    /// The map that the node returns for this one.
    ///
    /// # Errors
    /// [`NnError::Input`] where it has other channels than the node takes, is too small for a kernel, or the two
    /// ways of a block do not fit together.
    pub fn output(&self, map: MapShape) -> Result<MapShape, NnError> {
        let [h, w, c] = map;
        let wrong = |expected: String| {
            Err(NnError::Input { what: "feature map [height, width, channels]", expected, found: map.to_vec() })
        };
        let through = |nodes: &[Node]| walk_nodes(nodes, map, &mut |_, _, _, _| {});
        match self {
            Self::Convolution(conv) if conv.input == c => match conv.output([h, w]) {
                Some([h, w]) => Ok([h, w, conv.out]),
                None => wrong(format!("one that the kernel {:?} of `{}` fits into", conv.kernel, conv.name)),
            },
            Self::Convolution(conv) => wrong(format!("{} channels for `{}`", conv.input, conv.name)),
            Self::BatchNorm(bn) if bn.channels != c => wrong(format!("{} channels for `{}`", bn.channels, bn.name)),
            Self::Linear(linear) if map == [1, 1, linear.input] => Ok([1, 1, linear.out]),
            Self::Linear(linear) => wrong(format!("[1, 1, {}] for `{}`", linear.input, linear.name)),
            Self::Residual { body, shortcut } => match (through(body)?, through(shortcut)?) {
                (a, b) if a == b => Ok(a),
                (a, b) => wrong(format!("two ways to the same shape, not {a:?} and {b:?}")),
            },
            Self::Excite { gate } => match through(gate)? {
                [1, 1, n] if n == c => Ok(map),
                other => wrong(format!("a gate to [1, 1, {c}], not {other:?}")),
            },
            Self::MaxPool(pool) => {
                let side = |n: usize| Some((n + 2 * pool.padding).checked_sub(pool.kernel)? / pool.stride + 1);
                match (side(h), side(w)) {
                    (Some(h), Some(w)) => Ok([h, w, c]),
                    _ => wrong(format!("{} or more each way for the pooling window", pool.kernel)),
                }
            }
            Self::AveragePool => Ok([1, 1, c]),
            Self::Flatten => Ok([1, 1, h * w * c]),
            Self::BatchNorm(_) | Self::Activation(_) | Self::Dropout => Ok(map),
        }
    }

    /// The node's own arrays, not those of what is in it, weights first.
    pub fn parameters(&self) -> Vec<ParameterShape> {
        let array = |name: &str, part: &str, shape: Vec<usize>, learned| ParameterShape {
            name: format!("{name}.{part}"),
            shape,
            learned,
        };
        match self {
            Self::Convolution(conv) => {
                let mut shape = vec![conv.out, conv.input / conv.groups];
                shape.extend(conv.time.map(|time| time.kernel));
                shape.extend(conv.kernel);
                let weight = array(&conv.name, "weight", shape, true);
                let bias = conv.bias.then(|| array(&conv.name, "bias", vec![conv.out], true));
                std::iter::once(weight).chain(bias).collect()
            }
            Self::BatchNorm(bn) => [("weight", true), ("bias", true), ("running_mean", false), ("running_var", false)]
                .map(|(part, learned)| array(&bn.name, part, vec![bn.channels], learned))
                .to_vec(),
            Self::Linear(linear) => vec![
                array(&linear.name, "weight", vec![linear.out, linear.input], true),
                array(&linear.name, "bias", vec![linear.out], true),
            ],
            _ => Vec::new(),
        }
    }
}

impl From<Convolution> for Node {
    fn from(layer: Convolution) -> Self {
        Self::Convolution(layer)
    }
}

impl From<BatchNorm> for Node {
    fn from(layer: BatchNorm) -> Self {
        Self::BatchNorm(layer)
    }
}

impl From<Linear> for Node {
    fn from(layer: Linear) -> Self {
        Self::Linear(layer)
    }
}

impl From<Activation> for Node {
    fn from(activation: Activation) -> Self {
        Self::Activation(activation)
    }
}
