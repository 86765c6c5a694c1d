//! What can go wrong in this crate, each error with the file or field, what was expected and what to do.

use std::path::{Path, PathBuf};

/// An error of this crate. [`NnError::hint`] says what to do.
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
        /// What was expected and what was found.
        reason: String,
        /// What to do about it, where there is more to say than to restore the file.
        hint: Option<String>,
    },
    /// An error in what a file holds.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<NnError>,
    },
    /// A state dict lacks a tensor that the detector needs.
    #[error("tensor `{name}` {expected:?} is missing")]
    MissingTensor {
        /// The tensor's name, as torchvision spells it.
        name: String,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// A state dict holds a tensor that the detector does not have.
    #[error("tensor `{name}` {found:?} is not part of this architecture")]
    ExtraTensor {
        /// The tensor's name.
        name: String,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// A tensor has another shape than the detector needs.
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    TensorShape {
        /// The tensor's name.
        name: String,
        /// The shape the detector needs.
        expected: Vec<usize>,
        /// The shape in the state dict.
        found: Vec<usize>,
    },
    /// A tensor holds a number that no trained network has.
    #[error("tensor `{name}` holds {found:e} at index {index}, expected {expected}: the weights are broken")]
    BadWeight {
        /// The tensor's name.
        name: String,
        /// Where in it, row by row.
        index: usize,
        /// The number.
        found: f32,
        /// What it may be.
        expected: &'static str,
    },
    /// A network's answer is no number.
    #[error("{}: the network answers {found} where a probability should be", path.display())]
    NotFinite {
        /// The run's folder, or the ONNX file.
        path: PathBuf,
        /// What it answers.
        found: f32,
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
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Io { path, source, .. } => return io_hint(path, source),
            Self::Corrupt { hint: Some(hint), .. } => hint.as_str(),
            Self::Corrupt { hint: None, .. } => "restore the file, or make it again by the command that wrote it",
            Self::InFile { source, .. } => return source.hint(),
            Self::MissingTensor { .. } => {
                "the weights are of another architecture, or were cut short: give those of this detector, or name theirs"
            }
            Self::ExtraTensor { .. } => "give the weights of a detector of this architecture, width and depth",
            Self::BadWeight { .. } => {
                "restore the file, train again, or export the weights again from where they come from"
            }
            Self::NotFinite { .. } => {
                "its weights overflow on this input: check how its input is scaled, restore the weights, or train again"
            }
            Self::TensorShape { .. } => "check the number of classes, the width and the window against the weights",
            Self::Setting { field, .. } if field.contains('.') => {
                "`dubito train --show` prints every setting of a recipe with its value"
            }
            Self::Setting { .. } => {
                "give another value, in the file or by the option that says it (`--help` lists them)"
            }
            Self::Input { .. } => "give inputs of the size and number that the detector was made for",
            Self::NotDifferentiable => "`--methods square` attacks it by its answers alone",
            Self::Data { .. } => "`dubito data stats MANIFEST` counts what there is to train on",
            Self::Crop { .. } => {
                "extract the clips again: `dubito extract` with the same options makes the broken ones anew"
            }
            Self::Diverged { .. } => "a tenth of the learning rate is a good next try: `--learning-rate`",
            Self::Device { .. } => "`--device cpu` works everywhere; `dubito doctor` lists what there is",
            Self::Stopped { .. } => "run the same command again: it goes on from there",
        };
        Some(hint.to_owned())
    }

    /// An I/O error at `path`; `action` is a verb such as "read".
    pub(crate) fn io(path: &Path, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), action, source }
    }

    /// A file whose content is wrong.
    pub(crate) fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), reason: reason.into(), hint: None }
    }

    /// A file whose content is wrong, and what to do about it.
    pub(crate) fn corrupt_hint(path: &Path, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), reason: reason.into(), hint: Some(hint.into()) }
    }

    /// Names the file that an error lies in, unless the error does so itself.
    pub(crate) fn in_file(path: &Path) -> impl Fn(Self) -> Self {
        let path = path.to_owned();
        move |error| match error {
            Self::MissingTensor { .. }
            | Self::ExtraTensor { .. }
            | Self::TensorShape { .. }
            | Self::BadWeight { .. }
            | Self::Setting { .. } => Self::InFile { path: path.clone(), source: Box::new(error) },
            error => error,
        }
    }

    /// A setting out of its range.
    pub(crate) fn setting(field: &'static str, expected: impl Into<String>, found: impl ToString) -> Self {
        Self::Setting { field, expected: expected.into(), found: found.to_string() }
    }
}

/// What can be done where the system refuses a file.
fn io_hint(path: &Path, source: &std::io::Error) -> Option<String> {
    use std::io::ErrorKind;
    Some(match source.kind() {
        ErrorKind::NotFound => format!("check that {} exists", path.display()),
        ErrorKind::PermissionDenied => format!("check who may read and write {}", path.display()),
        ErrorKind::StorageFull => "free some disk space and run the same command again: it resumes".to_owned(),
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            format!("{} is a file, where a folder is needed: choose another by -o", path.display())
        }
        _ => return None,
    })
}
