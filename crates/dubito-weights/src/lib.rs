//! Weight files of every framework to named arrays and back, with limits, and no code of theirs is run.
//!
//! ```text
//! bytes -> format (by content) -> tensors -> state dict -> plain names -> safetensors, ONNX
//!          file.rs   torch.rs     array.rs                names.rs        file.rs, onnx/
//! ```

// A library says nothing by itself: it returns what there is to say.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod array;
mod error;
mod file;
mod fits;
mod names;
pub mod onnx;
mod pickle;
mod torch;

pub use array::{Array, Element, StateDict, Tensor};
pub use error::WeightsError;
pub use file::{
    Format, Weights, read_metadata, read_state, state_from_bytes, write_atomic, write_state, write_state_with,
};
pub use fits::{Fit, fits};
pub use names::{Cleaned, clean};
