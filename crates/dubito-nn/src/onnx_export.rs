//! A detector as an ONNX file: its network, node by node, with its weights under their names.

use dubito_weights::onnx::{Dim, Graph, Value};

use crate::NnError;
use crate::detector::Detector;
use crate::network::{Activation, Node};
use crate::onnx::{OnnxOptions, OnnxOutput};
use crate::run::RunConfig;
use crate::state::{Array, StateDict};

impl Detector {
    /// The network as ONNX (opset 17): the input `image` `[batch, channels, h, w]` of this height and width, normalised, and
    /// the output `logits` `[batch, classes]`. Dropout is left out and batch norm uses its running statistics, so it is the mean
    /// network: what it doubts of itself does not go along. `metadata` becomes the file's properties.
    ///
    /// # Errors
    /// [`NnError::Input`] for a size that is too small for the network, [`NnError::Setting`] for one with convolutions over
    /// frames, which are not written.
    pub fn to_onnx(&self, size: [usize; 2], metadata: &[(&str, &str)]) -> Result<Vec<u8>, NnError> {
        let (network, [h, w]) = (self.network(), size);
        if h.min(w) < network.least {
            let expected = format!("a size of {} or more", network.least);
            return Err(NnError::Input { what: "ONNX input", expected, found: vec![h, w] });
        }
        let mut over_frames = false;
        network.walk(size, &mut |visit| {
            over_frames |= matches!(visit.node, Node::Convolution(conv) if conv.time.is_some());
        })?;
        if over_frames {
            let expected = "a network on pictures: convolutions over frames are not written; export safetensors";
            return Err(NnError::setting("ONNX export of", expected, self.architecture()));
        }
        let producer = concat!("dubito ", env!("CARGO_PKG_VERSION"));
        let mut writer = Writer { graph: Graph::new(self.architecture().name(), producer), state: self.to_state() };
        metadata.iter().for_each(|(key, value)| writer.graph.metadata(key, value));
        let channels = Dim::Fixed(network.input_channels);
        let shape = [Dim::Named("batch"), channels, Dim::Fixed(h), Dim::Fixed(w)];
        let image = writer.graph.input("image", &shape);
        let nodes = network.stages.iter().flat_map(|stage| &stage.nodes);
        let logits = nodes.fold(image, |x, node| writer.node(node, x));
        // A head without a linear layer leaves a map of 1 x 1.
        let logits = writer.graph.flatten(&logits);
        writer.graph.output(&logits, "logits", &[Dim::Named("batch"), Dim::Fixed(self.config().classes)]);
        Ok(writer.graph.to_bytes())
    }
}

impl OnnxOptions {
    /// What has to stand beside the ONNX file of a run, so that it is read as the run was trained; `None` where the run
    /// does not tell real from fake by two classes, or not by crops.
    pub fn of_run(config: &RunConfig) -> Option<Self> {
        if config.preprocessing.signal.is_some() {
            return None;
        }
        let fake = config.class_names.iter().position(|name| name == "fake")?;
        (config.class_names.len() == 2).then(|| Self {
            size: Some(config.preprocessing.input_size),
            normalisation: config.preprocessing.normalisation,
            output: Some(OnnxOutput::Logits),
            fake: Some(fake),
            margin: Some(config.preprocessing.margin),
            ..Self::default()
        })
    }
}

struct Writer {
    graph: Graph,
    state: StateDict,
}

impl Writer {
    /// An array of the detector; [`Detector::to_state`] has all that its network names.
    fn weight(&mut self, name: &str, part: &str) -> Value {
        let name = format!("{name}.{part}");
        let array = self.state.remove(&name).unwrap_or(Array { shape: vec![0], values: Vec::new() });
        self.graph.weight(&name, &array)
    }

    fn nodes(&mut self, nodes: &[Node], x: Value) -> Value {
        nodes.iter().fold(x, |x, node| self.node(node, x))
    }

    fn node(&mut self, node: &Node, x: Value) -> Value {
        match node {
            Node::Convolution(conv) => {
                let weight = self.weight(&conv.name, "weight");
                let bias = conv.bias.then(|| self.weight(&conv.name, "bias"));
                let [[above, below], [left, right]] = conv.padding;
                let how = dubito_weights::onnx::Convolution {
                    stride: conv.stride,
                    padding: [above, left, below, right],
                    dilation: conv.dilation,
                    groups: conv.groups,
                };
                self.graph.conv(&x, &weight, bias.as_ref(), &how)
            }
            Node::BatchNorm(bn) => {
                let [scale, bias, mean, variance] =
                    ["weight", "bias", "running_mean", "running_var"].map(|part| self.weight(&bn.name, part));
                self.graph.batch_norm(&x, &scale, &bias, &mean, &variance, bn.epsilon)
            }
            Node::Linear(linear) => {
                let row = self.graph.flatten(&x);
                let (weight, bias) = (self.weight(&linear.name, "weight"), self.weight(&linear.name, "bias"));
                self.graph.linear(&row, &weight, &bias)
            }
            Node::Activation(function) => self.activation(*function, &x),
            Node::Residual { body, shortcut } => {
                let around = self.nodes(shortcut, x.clone());
                let y = self.nodes(body, x);
                self.graph.add(&y, &around)
            }
            Node::Excite { gate } => {
                let gate = self.nodes(gate, x.clone());
                self.graph.mul(&x, &gate)
            }
            Node::MaxPool(pool) => {
                let how = dubito_weights::onnx::Pool {
                    kernel: [pool.kernel; 2],
                    stride: [pool.stride; 2],
                    padding: [pool.padding; 4],
                };
                self.graph.max_pool(&x, &how)
            }
            Node::AveragePool => self.graph.global_average_pool(&x),
            Node::Flatten => self.graph.flatten(&x),
            Node::Dropout => x,
        }
    }

    fn activation(&mut self, function: Activation, x: &Value) -> Value {
        match function {
            Activation::Relu => self.graph.relu(x),
            Activation::Relu6 => self.graph.clip(x, 0.0, 6.0),
            Activation::Silu => {
                let gate = self.graph.sigmoid(x);
                self.graph.mul(x, &gate)
            }
            Activation::HardSwish => self.graph.hard_swish(x),
            Activation::Sigmoid => self.graph.sigmoid(x),
            Activation::HardSigmoid => self.graph.hard_sigmoid(x, 1.0 / 6.0, 0.5),
        }
    }
}
