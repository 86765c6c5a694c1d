//! What can be wrong with a file of weights, each error with the file and what to do.

use std::path::{Path, PathBuf};

/// An error of this crate. [`WeightsError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
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
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
        /// What to do about it, where something can be done.
        hint: Option<String>,
    },
    /// A pickle names something that is no part of a tensor. Nothing of it was run.
    #[error("{}: wants to run `{name}`: refused", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What it wanted to run, as `module.name`.
        name: String,
    },
}

impl WeightsError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { path, source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Some(format!("check that {} exists", path.display()))
            }
            // What else the system says has one explanation for all crates, that of the command line.
            Self::Io { .. } => None,
            Self::Corrupt { hint: Some(hint), .. } => Some(hint.clone()),
            Self::Corrupt { hint: None, .. } => {
                Some("fetch the file again, or save it again by the program that wrote it".into())
            }
            Self::Refused { .. } => Some(
                "where you trust the file, save its weights alone: torch.save(model.state_dict(), FILE), or \
                 safetensors.torch.save_file(model.state_dict(), FILE)"
                    .into(),
            ),
        }
    }

    pub(crate) fn io(path: &Path, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), action, source }
    }

    pub(crate) fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), reason: reason.into(), hint: None }
    }

    pub(crate) fn corrupt_hint(path: &Path, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), reason: reason.into(), hint: Some(hint.into()) }
    }
}
