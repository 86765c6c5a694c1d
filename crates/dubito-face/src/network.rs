//! A network as it lies in a weights file: a list of operations over named values, with their weights.
//!
//! The files are made by `weights/convert.py`, which documents the operations. Two executors run the same
//! [`Network`]: [`crate::direct`] on the CPU and [`crate::device`] with burn on any device.

use std::collections::HashMap;

use half::f16;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::FaceError;

/// What is applied to each value that a convolution or an addition writes.
#[derive(Clone, Debug)]
pub(crate) enum Activation {
    None,
    Relu,
    /// `max(x, 0) + slope * min(x, 0)`, one slope a channel.
    PRelu(Vec<f32>),
}

/// A convolution's weights, `[out, in, k, k]`, or `[channels, 1, k, k]` where it is depthwise.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    pub weight: Vec<f32>,
    pub shape: [usize; 4],
    pub bias: Vec<f32>,
    pub stride: usize,
    /// TensorFlow's SAME padding; otherwise none.
    pub same: bool,
    pub depthwise: bool,
    pub activation: Activation,
}

impl Conv {
    /// Zeros before and after an axis of `size` values, and the size of the result. SAME padding puts the
    /// odd zero at the end, as TensorFlow does.
    pub fn padding(&self, size: usize) -> (usize, usize, usize) {
        let kernel = self.shape[2];
        if !self.same {
            return (0, 0, (size - kernel) / self.stride + 1);
        }
        let out = size.div_ceil(self.stride);
        let total = ((out - 1) * self.stride + kernel).saturating_sub(size);
        (total / 2, total - total / 2, out)
    }
}

/// One operation, reading and writing values by their number; value 0 is the image.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Conv {
        input: usize,
        out: usize,
        conv: Conv,
    },
    /// `other` may have fewer channels: the missing ones are zero.
    Add {
        input: usize,
        other: usize,
        out: usize,
        activation: Activation,
    },
    /// 2 x 2, stride 2.
    MaxPool {
        input: usize,
        out: usize,
    },
    /// Bilinear with half-pixel centres, to twice the size.
    Upsample {
        input: usize,
        out: usize,
    },
}

/// A network: its operations in the order they run.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// Height and width of the square image it reads.
    pub size: usize,
    /// How many values the operations name.
    pub values: usize,
    pub ops: Vec<Op>,
    /// For each output, the values whose pixels (height, width, channels) follow one another in it.
    pub outputs: Vec<Vec<usize>>,
}

/// An operation as `convert.py` writes it.
#[derive(Deserialize)]
struct Record {
    op: String,
    #[serde(rename = "in")]
    input: String,
    out: String,
    other: Option<String>,
    weight: Option<String>,
    bias: Option<String>,
    #[serde(default)]
    stride: usize,
    #[serde(default)]
    same: bool,
    #[serde(default)]
    depthwise: bool,
    act: Option<String>,
}

impl Network {
    /// Reads a weights file; `name` is what errors call it.
    ///
    /// # Errors
    /// [`FaceError::Weights`] where the file is not safetensors, lacks a field, or names what it does not
    /// hold.
    pub fn parse(name: &'static str, bytes: &[u8]) -> Result<Self, FaceError> {
        let fail = |reason: String| FaceError::Weights { file: name, reason };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| fail(e.to_string()))?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| fail(e.to_string()))?;
        let metadata = header.metadata().as_ref();
        let field =
            |key: &str| metadata.and_then(|m| m.get(key)).ok_or_else(|| fail(format!("metadata has no field `{key}`")));
        let json = |key: &str, e: serde_json::Error| fail(format!("metadata field `{key}`: {e}"));
        let input: Vec<usize> = serde_json::from_str(field("input")?).map_err(|e| json("input", e))?;
        let records: Vec<Record> = serde_json::from_str(field("graph")?).map_err(|e| json("graph", e))?;
        let outputs: Vec<Vec<String>> = serde_json::from_str(field("outputs")?).map_err(|e| json("outputs", e))?;
        let [1, size, width, 3] = input[..] else {
            return Err(fail(format!("metadata field `input`: expected [1, size, size, 3], found {input:?}")));
        };
        if size != width {
            return Err(fail(format!("metadata field `input`: expected a square image, found {input:?}")));
        }

        let tensor = |key: &str| -> Result<(Vec<f32>, Vec<usize>), FaceError> {
            let view = tensors.tensor(key).map_err(|e| fail(format!("tensor `{key}`: {e}")))?;
            if view.dtype() != Dtype::F16 {
                return Err(fail(format!("tensor `{key}`: expected float16, found {:?}", view.dtype())));
            }
            let values = view.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect();
            Ok((values, view.shape().to_vec()))
        };
        let activation = |act: &Option<String>| match act.as_deref() {
            None => Ok(Activation::None),
            Some("relu") => Ok(Activation::Relu),
            Some(slope) => tensor(slope).map(|(values, _)| Activation::PRelu(values)),
        };

        let mut numbers = HashMap::from([("input".to_string(), 0)]);
        let mut ops = Vec::with_capacity(records.len());
        for (index, record) in records.iter().enumerate() {
            let missing = |what: &str| fail(format!("graph operation {index} (`{}`) has no `{what}`", record.op));
            let value = |value: &str| {
                numbers
                    .get(value)
                    .copied()
                    .ok_or_else(|| fail(format!("graph operation {index} reads `{value}`, which nothing wrote")))
            };
            let input = value(&record.input)?;
            let out = index + 1;
            ops.push(match record.op.as_str() {
                "conv" => {
                    let (weight, shape) = tensor(record.weight.as_deref().ok_or_else(|| missing("weight"))?)?;
                    let (bias, _) = tensor(record.bias.as_deref().ok_or_else(|| missing("bias"))?)?;
                    let shape: [usize; 4] = shape
                        .try_into()
                        .map_err(|s| fail(format!("graph operation {index}: expected a rank 4 weight, found {s:?}")))?;
                    if bias.len() != shape[0] || shape[2] != shape[3] || record.stride == 0 {
                        return Err(fail(format!("graph operation {index}: weight {shape:?} does not fit its bias")));
                    }
                    let (stride, same, depthwise) = (record.stride, record.same, record.depthwise);
                    let activation = activation(&record.act)?;
                    Op::Conv { input, out, conv: Conv { weight, shape, bias, stride, same, depthwise, activation } }
                }
                "add" => {
                    let other = value(record.other.as_deref().ok_or_else(|| missing("other"))?)?;
                    Op::Add { input, other, out, activation: activation(&record.act)? }
                }
                "maxpool" => Op::MaxPool { input, out },
                "upsample" => Op::Upsample { input, out },
                other => return Err(fail(format!("graph operation {index}: `{other}` is not known"))),
            });
            numbers.insert(record.out.clone(), out);
        }
        let outputs = outputs
            .iter()
            .map(|parts| parts.iter().map(|part| numbers.get(part).copied()).collect::<Option<Vec<_>>>())
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| fail("metadata field `outputs` names a value that nothing wrote".into()))?;
        Ok(Self { size, values: ops.len() + 1, ops, outputs })
    }
}
