//! A network as an ONNX graph, layer by layer.

use super::proto::Message;
use crate::array::Array;

/// `ir_version` of the files that are written (that of opset 17).
const IR_VERSION: i64 = 8;
/// Version of the operators.
const OPSET: i64 = 17;
/// `TensorProto.DataType`.
const FLOAT: i64 = 1;
const INT64: i64 = 7;

/// What flows along an edge of the graph: an input, a weight or a layer's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value(String);

/// One dimension of an input or output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    /// Of this size.
    Fixed(usize),
    /// Of any size, the same wherever the name stands, e.g. `batch`.
    Named(&'static str),
}

/// How a convolution moves; heights before widths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Steps down and right.
    pub stride: [usize; 2],
    /// Zeros at the top, left, bottom and right.
    pub padding: [usize; 4],
    /// Distance of the kernel's taps.
    pub dilation: [usize; 2],
    /// Groups of channels; as many as channels for a depthwise one.
    pub groups: usize,
}

impl Default for Convolution {
    /// Stride 1, no padding, one group.
    fn default() -> Self {
        Self { stride: [1, 1], padding: [0; 4], dilation: [1, 1], groups: 1 }
    }
}

/// How a pooling window moves; heights before widths. Padding is not counted into an average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// The window.
    pub kernel: [usize; 2],
    /// Steps down and right.
    pub stride: [usize; 2],
    /// Padding at the top, left, bottom and right.
    pub padding: [usize; 4],
}

enum Attribute<'a> {
    Int(i64),
    Float(f32),
    Ints(&'a [usize]),
    Text(&'a str),
}

/// A graph that is being built: each method adds a layer and returns its output. Images are `[batch, channels, height,
/// width]`.
///
/// # Example
/// ```
/// use dubito_weights::{Array, onnx::{Dim, Graph}};
/// let mut graph = Graph::new("mean", "example 1.0");
/// let x = graph.input("image", &[Dim::Named("batch"), Dim::Fixed(3), Dim::Fixed(8), Dim::Fixed(8)]);
/// let x = graph.global_average_pool(&x);
/// let x = graph.flatten(&x);
/// graph.output(&x, "mean", &[Dim::Named("batch"), Dim::Fixed(3)]);
/// assert!(!graph.to_bytes().is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct Graph {
    graph: Message,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
    weights: Vec<Message>,
    metadata: Vec<(String, String)>,
    producer: String,
    /// Layers so far.
    layers: usize,
}

impl Graph {
    /// An empty graph; `producer` says which program and version writes it.
    pub fn new(name: &str, producer: &str) -> Self {
        Self {
            graph: Message::default().bytes(2, name.as_bytes()),
            inputs: Vec::new(),
            outputs: Vec::new(),
            weights: Vec::new(),
            metadata: Vec::new(),
            producer: producer.to_owned(),
            layers: 0,
        }
    }

    /// Adds an entry to the model's `metadata_props`.
    pub fn metadata(&mut self, key: &str, value: &str) {
        self.metadata.push((key.to_owned(), value.to_owned()));
    }

    /// An input of f32.
    pub fn input(&mut self, name: &str, shape: &[Dim]) -> Value {
        self.inputs.push(value_info(name, shape));
        Value(name.to_owned())
    }

    /// A weight, under its name in a state dict.
    pub fn weight(&mut self, name: &str, array: &Array) -> Value {
        let raw: Vec<u8> = array.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, &array.shape, FLOAT, &raw)
    }

    /// Marks a value as an output of the graph and gives it a name.
    pub fn output(&mut self, value: &Value, name: &str, shape: &[Dim]) {
        self.node("Identity", &[value], Some(name), &[]);
        self.outputs.push(value_info(name, shape));
    }

    /// `Conv`: `weight` is `[out, in / groups, height, width]`, `bias` `[out]`.
    pub fn conv(&mut self, x: &Value, weight: &Value, bias: Option<&Value>, how: &Convolution) -> Value {
        let inputs: Vec<&Value> = [x, weight].into_iter().chain(bias).collect();
        let attributes = [
            ("strides", Attribute::Ints(&how.stride)),
            ("pads", Attribute::Ints(&how.padding)),
            ("dilations", Attribute::Ints(&how.dilation)),
            ("group", Attribute::Int(how.groups as i64)),
        ];
        self.node("Conv", &inputs, None, &attributes)
    }

    /// `BatchNormalization` with fixed statistics.
    pub fn batch_norm(
        &mut self,
        x: &Value,
        scale: &Value,
        bias: &Value,
        mean: &Value,
        variance: &Value,
        epsilon: f32,
    ) -> Value {
        let attributes = [("epsilon", Attribute::Float(epsilon))];
        self.node("BatchNormalization", &[x, scale, bias, mean, variance], None, &attributes)
    }

    /// `Relu`.
    pub fn relu(&mut self, x: &Value) -> Value {
        self.node("Relu", &[x], None, &[])
    }

    /// `Clip` to `low` to `high`.
    pub fn clip(&mut self, x: &Value, low: f32, high: f32) -> Value {
        let (low, high) = (self.scalar(low), self.scalar(high));
        self.node("Clip", &[x, &low, &high], None, &[])
    }

    /// `Sigmoid`.
    pub fn sigmoid(&mut self, x: &Value) -> Value {
        self.node("Sigmoid", &[x], None, &[])
    }

    /// `HardSigmoid`: max(0, min(1, alpha x + beta)). PyTorch's has alpha 1/6 and beta 1/2.
    pub fn hard_sigmoid(&mut self, x: &Value, alpha: f32, beta: f32) -> Value {
        let attributes = [("alpha", Attribute::Float(alpha)), ("beta", Attribute::Float(beta))];
        self.node("HardSigmoid", &[x], None, &attributes)
    }

    /// `HardSwish`: x max(0, min(1, x / 6 + 1/2)).
    pub fn hard_swish(&mut self, x: &Value) -> Value {
        self.node("HardSwish", &[x], None, &[])
    }

    /// `Add`, with broadcasting.
    pub fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Add", &[a, b], None, &[])
    }

    /// `Mul`, with broadcasting.
    pub fn mul(&mut self, a: &Value, b: &Value) -> Value {
        self.node("Mul", &[a, b], None, &[])
    }

    /// `GlobalAveragePool`: `[batch, channels, 1, 1]`.
    pub fn global_average_pool(&mut self, x: &Value) -> Value {
        self.node("GlobalAveragePool", &[x], None, &[])
    }

    /// `MaxPool`.
    pub fn max_pool(&mut self, x: &Value, how: &Pool) -> Value {
        self.pool("MaxPool", x, how)
    }

    /// `AveragePool`.
    pub fn average_pool(&mut self, x: &Value, how: &Pool) -> Value {
        self.pool("AveragePool", x, how)
    }

    /// `Flatten` of all but the batch.
    pub fn flatten(&mut self, x: &Value) -> Value {
        self.node("Flatten", &[x], None, &[("axis", Attribute::Int(1))])
    }

    /// `Gemm` as a linear layer: `weight` is `[out, in]`, as PyTorch keeps it.
    pub fn linear(&mut self, x: &Value, weight: &Value, bias: &Value) -> Value {
        self.node("Gemm", &[x, weight, bias], None, &[("transB", Attribute::Int(1))])
    }

    /// `Pad` of images by a constant, at the top, left, bottom and right.
    pub fn pad(&mut self, x: &Value, padding: [usize; 4], value: f32) -> Value {
        let [top, left, bottom, right] = padding;
        let sizes: Vec<u8> =
            [0, 0, top, left, 0, 0, bottom, right].into_iter().flat_map(|n| (n as i64).to_le_bytes()).collect();
        let name = format!("pads_{}", self.layers);
        let (sizes, value) = (self.tensor(&name, &[8], INT64, &sizes), self.scalar(value));
        self.node("Pad", &[x, &sizes, &value], None, &[("mode", Attribute::Text("constant"))])
    }

    /// `Softmax` over the last axis.
    pub fn softmax(&mut self, x: &Value) -> Value {
        self.node("Softmax", &[x], None, &[("axis", Attribute::Int(-1))])
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut graph = self.graph.clone();
        for (field, messages) in [(5, &self.weights), (11, &self.inputs), (12, &self.outputs)] {
            graph = messages.iter().fold(graph, |graph, message| graph.message(field, message));
        }
        let opset = Message::default().bytes(1, b"").int(2, OPSET);
        let model = Message::default().int(1, IR_VERSION).bytes(2, self.producer.as_bytes());
        let model = model.message(7, &graph).message(8, &opset);
        let entry =
            |(key, value): &(String, String)| Message::default().bytes(1, key.as_bytes()).bytes(2, value.as_bytes());
        self.metadata.iter().fold(model, |model, pair| model.message(14, &entry(pair))).finish()
    }

    fn pool(&mut self, kind: &str, x: &Value, how: &Pool) -> Value {
        let attributes = [
            ("kernel_shape", Attribute::Ints(&how.kernel)),
            ("strides", Attribute::Ints(&how.stride)),
            ("pads", Attribute::Ints(&how.padding)),
        ];
        self.node(kind, &[x], None, &attributes)
    }

    fn scalar(&mut self, value: f32) -> Value {
        let name = format!("constant_{}", self.weights.len());
        self.tensor(&name, &[], FLOAT, &value.to_le_bytes())
    }

    fn tensor(&mut self, name: &str, shape: &[usize], kind: i64, raw: &[u8]) -> Value {
        let dims = shape.iter().fold(Message::default(), |message, size| message.int(1, *size as i64));
        self.weights.push(dims.int(2, kind).bytes(8, name.as_bytes()).bytes(9, raw));
        Value(name.to_owned())
    }

    fn node(&mut self, kind: &str, inputs: &[&Value], name: Option<&str>, attributes: &[(&str, Attribute)]) -> Value {
        let output = name.map_or_else(|| format!("{}_{}", kind.to_lowercase(), self.layers), str::to_owned);
        let node = inputs.iter().fold(Message::default(), |node, input| node.bytes(1, input.0.as_bytes()));
        let label = format!("{kind}_{}", self.layers);
        let node = node.bytes(2, output.as_bytes()).bytes(3, label.as_bytes()).bytes(4, kind.as_bytes());
        let node = attributes.iter().fold(node, |node, (name, value)| node.message(5, &attribute(name, value)));
        self.graph = std::mem::take(&mut self.graph).message(1, &node);
        self.layers += 1;
        Value(output)
    }
}

/// An `AttributeProto`; `type` is field 20.
fn attribute(name: &str, value: &Attribute) -> Message {
    let message = Message::default().bytes(1, name.as_bytes());
    match value {
        Attribute::Float(value) => message.float(2, *value).int(20, 1),
        Attribute::Int(value) => message.int(3, *value).int(20, 2),
        Attribute::Text(value) => message.bytes(4, value.as_bytes()).int(20, 3),
        Attribute::Ints(values) => values.iter().fold(message, |m, value| m.int(8, *value as i64)).int(20, 7),
    }
}

/// A `ValueInfoProto` of f32.
fn value_info(name: &str, shape: &[Dim]) -> Message {
    let dim = |dim: &Dim| match dim {
        Dim::Fixed(size) => Message::default().int(1, *size as i64),
        Dim::Named(name) => Message::default().bytes(2, name.as_bytes()),
    };
    let shape = shape.iter().fold(Message::default(), |shape, size| shape.message(1, &dim(size)));
    let tensor = Message::default().int(1, FLOAT).message(2, &shape);
    Message::default().bytes(1, name.as_bytes()).message(2, &Message::default().message(1, &tensor))
}
