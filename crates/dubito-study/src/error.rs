//! What can go wrong in a study, with what to do about it and the exit code that a script sees.

use std::path::{Path, PathBuf};

/// An error of a step. [`StudyError::hint`] says what to do, [`StudyError::exit_code`] what the
/// program ends with.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// Data could not be read, forged or extracted.
    #[error(transparent)]
    Data(#[from] dubito_data::DataError),
    /// Face models could not be loaded.
    #[error(transparent)]
    Face(#[from] dubito_face::FaceError),
    /// Training or prediction failed.
    #[error(transparent)]
    Nn(#[from] dubito_nn::NnError),
    /// Weights could not be read or written.
    #[error(transparent)]
    Weights(#[from] dubito_weights::WeightsError),
    /// Predictions or the report could not be read or written.
    #[error(transparent)]
    Report(#[from] dubito_report::ReportError),
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The input is not what the step needs.
    #[error("{message}")]
    Input {
        /// What was expected and what was found.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// What is to be written can't be.
    #[error("{message}")]
    Output {
        /// Where, and what the operating system said.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// A check that was asked for did not pass.
    #[error("{message}")]
    CheckFailed {
        /// What was found.
        message: String,
    },
}

impl StudyError {
    /// Wraps an input/output error with the path it happened at.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// What a step ends with when its progress function says to stop.
    pub(crate) fn stopped() -> Self {
        dubito_data::DataError::Stopped.into()
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Data(error) => error.hint(),
            Self::Io { path, source } => match source.kind() {
                std::io::ErrorKind::StorageFull => {
                    Some("free some disk space and run the same command again: it resumes".into())
                }
                std::io::ErrorKind::PermissionDenied => Some(format!("check who may write to {}", path.display())),
                std::io::ErrorKind::NotFound => Some(format!("check that {} exists", path.display())),
                std::io::ErrorKind::AlreadyExists => {
                    Some(format!("{} is a file, where a folder is needed: choose another by -o", path.display()))
                }
                _ => None,
            },
            Self::Input { hint, .. } | Self::Output { hint, .. } => Some(hint.clone()),
            Self::CheckFailed { .. } => Some("what did not pass is listed above, or in the JSON".into()),
            Self::Report(error) => error.hint(),
            Self::Weights(error) => error.hint(),
            Self::Nn(error) => error.hint(),
            Self::Face(_) => None,
        }
    }

    /// The program's exit code: 1 the machine failed (a disk, a program), 3 the input can't be used,
    /// 4 something is missing on this machine, 5 a check did not pass. (0 is success, 2 a wrong
    /// command line.)
    pub fn exit_code(&self) -> u8 {
        use dubito_data::DataError;
        match self {
            Self::Data(DataError::Media(dubito_media::MediaError::ToolMissing { .. })) => 4,
            Self::Nn(dubito_nn::NnError::Device { .. }) => 4,
            Self::Report(dubito_report::ReportError::Write { .. }) => 1,
            Self::Data(DataError::Io { source, .. })
            | Self::Io { source, .. }
            | Self::Weights(dubito_weights::WeightsError::Io { source, .. })
            | Self::Nn(dubito_nn::NnError::Io { source, .. }) => {
                if source.kind() == std::io::ErrorKind::NotFound {
                    3
                } else {
                    1
                }
            }
            Self::Data(DataError::Stopped) | Self::Face(_) | Self::Output { .. } => 1,
            Self::Data(_) | Self::Nn(_) | Self::Weights(_) | Self::Report(_) | Self::Input { .. } => 3,
            Self::CheckFailed { .. } => 5,
        }
    }
}
