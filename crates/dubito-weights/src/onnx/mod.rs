//! ONNX files of opset 17: a graph of a few layers is built, then encoded.
//!
//! The protocol is `onnx.proto3` of the ONNX project (IR version 8), encoded by hand in [`proto`]: a model needs eight of
//! its messages, and no generated code. Operators are named and behave as in ONNX's `Operators.md`.

mod graph;
mod proto;
mod read;

pub use graph::{Convolution, Dim, Graph, Pool, Value};
pub use read::last_operator;
