//! What can go wrong in this crate, each error with the file or field, what was expected and what to do.

use std::path::{Path, PathBuf};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// A file could not be read or written.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a verb ("read", "write").
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is there but is not what its name says.
    #[error("{}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// A state dict lacks a tensor that the detector needs.
    #[error("tensor `{name}` {expected:?} is missing: the weights are of another architecture, or were cut short")]
    MissingTensor {
        /// The tensor's name, as torchvision spells it.
        name: String,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// A state dict holds a tensor that the detector does not have.
    #[error(
        "tensor `{name}` {found:?} is not part of this architecture: take the weights of a detector with its width and depth"
    )]
    ExtraTensor {
        /// The tensor's name.
        name: String,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// A tensor has another shape than the detector needs.
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}: check the number of classes and the width")]
    TensorShape {
        /// The tensor's name.
        name: String,
        /// The shape the detector needs.
        expected: Vec<usize>,
        /// The shape in the state dict.
        found: Vec<usize>,
    },
    /// A setting has a value that cannot work.
    #[error("setting `{field}` is {found}; expected {expected}")]
    Setting {
        /// The setting's name, as in the configuration file.
        field: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The input of a function has the wrong shape.
    #[error("{what} has shape {found:?}, expected {expected}")]
    Input {
        /// Which input.
        what: &'static str,
        /// What its shape should be, in words.
        expected: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// A gradient was asked of a posterior that has none.
    #[error(
        "this detector has no gradient (an ONNX file is a black box): attack it with `square`, which needs its answers alone"
    )]
    NotDifferentiable,
    /// The training data cannot be trained on.
    #[error("training data: {reason}")]
    Data {
        /// What is wrong and what to do.
        reason: String,
    },
    /// A crop could not be read.
    #[error("crop {index} cannot be read: {reason}")]
    Crop {
        /// Its index in the set.
        index: usize,
        /// The set's reason.
        reason: String,
    },
    /// The loss became infinite or not a number.
    #[error(
        "the loss is {loss} at step {step} of epoch {epoch}: training stopped, the last good checkpoint is kept; lower `learning_rate` or look for broken crops"
    )]
    Diverged {
        /// Epoch, from 1.
        epoch: usize,
        /// Step in the epoch, from 1.
        step: usize,
        /// The loss.
        loss: f32,
    },
    /// The device is not there, or this build has no support for it.
    #[error("device `{name}`: {reason}")]
    Device {
        /// What was asked for.
        name: String,
        /// Why it cannot be had and what to do.
        reason: String,
    },
    /// The caller's progress function asked to stop.
    #[error("stopped after epoch {epoch} as asked; the same command goes on from there")]
    Stopped {
        /// Epochs completed.
        epoch: usize,
    },
}

impl NnError {
    /// An I/O error at `path`; `action` is a verb such as "read".
    pub(crate) fn io(path: &Path, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), action, source }
    }

    /// A file whose content is wrong.
    pub(crate) fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), reason: reason.into() }
    }

    /// A setting out of its range.
    pub(crate) fn setting(field: &'static str, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Setting { field, expected: expected.into(), found: found.to_string() }
    }
}
