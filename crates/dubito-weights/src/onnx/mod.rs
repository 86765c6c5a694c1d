//! ONNX files: those of others are read and judged before they are run, ours are written (opset 17).
//!
//! The protocol is `onnx.proto3` of the ONNX project (IR version 8), read and encoded by hand (`wire`, `proto`): a model needs
//! a dozen of its messages, and no generated code. Operators are named and behave as in ONNX's `Operators.md`.

mod graph;
mod judge;
mod meaning;
mod model;
mod proto;
mod wire;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use graph::{Convolution, Dim, Graph, Pool, Value};
pub use judge::judge;
pub use model::short;

/// Why an ONNX file is not run, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnnxError {
    /// What is wrong: the node and attribute, the tensor, the input.
    pub reason: String,
    /// What the user can do about it.
    pub hint: String,
}

impl OnnxError {
    /// A reason and what to do.
    pub fn new(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: hint.into() }
    }
}

impl fmt::Display for OnnxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for OnnxError {}

/// What an ONNX file takes and gives, as far as its graph says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// What it takes, weights apart.
    pub inputs: Vec<OnnxInput>,
    /// What it gives.
    pub outputs: Vec<OnnxOutput>,
    /// What its author wrote into it.
    pub metadata: Vec<(String, String)>,
    /// Files that hold weights, beside the model or below it.
    pub external: Vec<ExternalFile>,
}

/// A file that holds weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalFile {
    /// Its path from the model's folder on.
    pub location: String,
    /// The tensors in it; whoever judged the model looks at them.
    #[serde(skip)]
    pub tensors: Vec<ExternalTensor>,
}

impl ExternalFile {
    /// How long it has to be in bytes.
    pub fn needs(&self) -> u64 {
        self.tensors.iter().map(ExternalTensor::end).max().unwrap_or(0)
    }
}

/// Where a file holds the numbers of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalTensor {
    name: String,
    offset: u64,
    length: u64,
    kind: i64,
}

impl ExternalTensor {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// An input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OnnxInput {
    /// Its name.
    pub name: String,
    /// Code of its element type (`TensorProto.DataType`); 0 where the file does not say.
    pub kind: i64,
    /// Sizes, or the names of open ones.
    pub dims: Vec<Result<u64, String>>,
}

impl OnnxInput {
    /// Whether it takes numbers with a fraction, of whatever width.
    pub fn is_float(&self) -> bool {
        judge::is_float(self.kind)
    }

    /// Where the channels of its pictures stand; `None` where its sizes are none of pictures in colour.
    pub fn layout(&self) -> Option<Layout> {
        let fixed = |dim: &Result<u64, String>| dim.as_ref().ok().copied();
        Layout::of(&self.dims.iter().map(fixed).collect::<Vec<_>>())
    }
}

/// Where the channels of pictures stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[batch, channels, height, width]`.
    Nchw,
    /// `[batch, height, width, channels]`.
    Nhwc,
}

impl Layout {
    /// By the sizes of an input, as far as they are fixed.
    fn of(dims: &[Option<u64>]) -> Option<Self> {
        match dims {
            [_, Some(3), _, _] => Some(Self::Nchw),
            [_, _, _, Some(3)] => Some(Self::Nhwc),
            // Channels that are left open stand where PyTorch has them.
            [_, None, _, _] => Some(Self::Nchw),
            _ => None,
        }
    }
}

/// An output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OnnxOutput {
    /// Its name.
    pub name: String,
    /// Its sizes for one picture, as far as they are known.
    pub shape: Option<Vec<Option<u64>>>,
    /// What its numbers are.
    pub meaning: OutputMeaning,
}

/// What the numbers of an output are, by the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputMeaning {
    /// They come from a layer that gives any numbers.
    Logits,
    /// They come from a Softmax or Sigmoid, through operators that keep them probabilities.
    Probabilities {
        /// Which of its classes they are of.
        column: Column,
        /// Whether they are 1 - p.
        turned: bool,
    },
    /// They are logarithms of probabilities.
    LogProbabilities {
        /// Which of its classes they are of.
        column: Column,
        /// Whether they are of 1 - p.
        turned: bool,
    },
    /// It can't be told, because of this node.
    Unclear(String),
}

/// Which classes of a Softmax or Sigmoid were chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Column {
    /// All, in their order.
    #[default]
    All,
    /// One.
    Class(u64),
    /// It can't be told.
    Unknown,
}
