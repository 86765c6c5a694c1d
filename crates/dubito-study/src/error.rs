//! What can go wrong in a study, with what to do about it and the exit code that a script sees.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use dubito_data::DataError;
use dubito_media::MediaError;
use dubito_nn::NnError;
use dubito_report::ReportError;
use dubito_table::TableError;
use dubito_weights::WeightsError;

/// An error of a step. [`StudyError::hint`] says what to do, [`StudyError::exit_code`] what the
/// program ends with.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// Data could not be read, forged or extracted.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Face models could not be loaded.
    #[error(transparent)]
    Face(#[from] dubito_face::FaceError),
    /// Training or prediction failed.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// Weights could not be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Predictions or the report could not be read or written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
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
    /// An error about what a file holds.
    #[error("{path}: {source}")]
    InFile {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<StudyError>,
    },
    /// Some of several files failed, and the others are done.
    #[error("{failed} of {all} files failed: {source}")]
    Partly {
        /// How many failed.
        failed: usize,
        /// How many there are.
        all: usize,
        /// What the first of them failed by.
        source: Box<StudyError>,
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
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// Names the file that an error is about, unless it begins with it.
    pub fn in_file<E: Into<Self>>(path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |error| {
            let source = error.into();
            let message = source.to_string();
            let rest = message.strip_prefix(&*path.to_string_lossy());
            match rest.is_some_and(|rest| rest.starts_with([':', ','])) {
                true => source,
                false => Self::InFile { path, source: Box::new(source) },
            }
        }
    }

    /// Sums up the errors of `all` files that were worked on one by one: at most one error of each.
    ///
    /// # Errors
    /// The error of the only file, or the first one.
    pub fn of_files(failed: Vec<Self>, all: usize) -> Result<(), Self> {
        let count = failed.len();
        match failed.into_iter().next() {
            None => Ok(()),
            Some(error) if all == 1 => Err(error),
            Some(first) => Err(Self::Partly { failed: count, all, source: Box::new(first) }),
        }
    }

    /// What a step ends with when its progress function says to stop.
    pub fn stopped() -> Self {
        DataError::Stopped.into()
    }

    /// Whether the error is about the rows that were given, and does not say which file they came from.
    pub fn is_of_rows(&self) -> bool {
        match self {
            Self::Data(error) => {
                matches!(error, DataError::TooFewPeople { .. } | DataError::Joined { .. } | DataError::Leak { .. })
            }
            Self::Report(error) => matches!(
                error,
                ReportError::Samples { .. }
                    | ReportError::Several { .. }
                    | ReportError::NoSuch { .. }
                    | ReportError::SameSplit { .. }
                    | ReportError::NobodyApart { .. }
                    | ReportError::Stats { .. }
                    | ReportError::Experiment { .. }
            ),
            _ => false,
        }
    }

    /// Whether the progress function said to stop.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Data(DataError::Stopped) | Self::Nn(NnError::Stopped { .. }))
    }

    /// The file and what the system says, where it is the system that refuses.
    pub fn system(&self) -> Option<(&Path, &io::Error)> {
        match self {
            Self::Io { path, source }
            | Self::Data(DataError::Io { path, source } | DataError::Media(MediaError::Io { path, source }))
            | Self::Nn(NnError::Io { path, source, .. })
            | Self::Weights(WeightsError::Io { path, source, .. })
            | Self::Report(
                ReportError::Read { path, source }
                | ReportError::Write { path, source }
                | ReportError::Table(TableError::Read { path, source }),
            ) => Some((path, source)),
            Self::InFile { source, .. } | Self::Partly { source, .. } => source.system(),
            _ => None,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        if let Some((path, source)) = self.system() {
            return Some(system_hint(path, source));
        }
        match self {
            Self::Data(error) => error.hint(),
            Self::Input { hint, .. } | Self::Output { hint, .. } => Some(hint.clone()),
            Self::InFile { source, .. } | Self::Partly { source, .. } => source.hint(),
            Self::CheckFailed { .. } => Some("what did not pass is listed above, or in the JSON".into()),
            Self::Report(error) => error.hint(),
            Self::Weights(error) => error.hint(),
            Self::Face(error) => Some(error.hint()),
            Self::Nn(error) => error.hint(),
            Self::Io { .. } => None,
        }
    }

    /// The program's exit code: 1 the machine failed (a disk, a program), 3 the input can't be used,
    /// 4 something is missing on this machine, 5 a check did not pass. (0 is success, 2 a wrong
    /// command line.)
    pub fn exit_code(&self) -> u8 {
        if let Some((_, source)) = self.system() {
            // A path that can't be one, or that nothing is at, is what the user gave.
            return match source.kind() {
                _ if matches!(self, Self::Report(ReportError::Write { .. })) => 1,
                ErrorKind::NotFound
                | ErrorKind::IsADirectory
                | ErrorKind::InvalidFilename
                | ErrorKind::InvalidInput
                | ErrorKind::InvalidData
                | ErrorKind::UnexpectedEof => 3,
                ErrorKind::NotADirectory if matches!(self, Self::Report(_)) => 3,
                _ => 1,
            };
        }
        match self {
            Self::Data(DataError::Media(MediaError::ToolMissing { .. })) | Self::Nn(NnError::Device { .. }) => 4,
            Self::Data(DataError::Media(MediaError::Tool { .. } | MediaError::Encode { .. })) => 1,
            Self::Data(DataError::Stopped) | Self::Nn(NnError::Stopped { .. }) | Self::Face(_) => 1,
            Self::Report(ReportError::Figure { .. }) | Self::Output { .. } => 1,
            Self::InFile { source, .. } | Self::Partly { source, .. } => source.exit_code(),
            Self::CheckFailed { .. } => 5,
            Self::Data(_) | Self::Nn(_) | Self::Weights(_) | Self::Report(_) | Self::Input { .. } | Self::Io { .. } => {
                3
            }
        }
    }
}

/// What can be done where the system refuses a file.
fn system_hint(path: &Path, source: &io::Error) -> String {
    let path = path.display();
    match source.kind() {
        ErrorKind::NotFound => format!("check that {path} exists; a relative path begins at the current folder"),
        ErrorKind::PermissionDenied => format!("check who may read and write {path}"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some disk space, or choose another folder by -o, and give the command again".into()
        }
        ErrorKind::ReadOnlyFilesystem => format!("{path} can't be written to: choose another folder by -o"),
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            format!("a part of {path} is a file, where a folder is needed: choose another by -o")
        }
        ErrorKind::IsADirectory => format!("{path} is a folder: name a file in it"),
        ErrorKind::InvalidFilename => format!("no file of this system can be called {path}: choose a shorter name"),
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
            "the file is damaged or cut off: fetch or make it again".into()
        }
        ErrorKind::BrokenPipe => "the program at the other end has gone: give the command again".into(),
        _ => format!("the system's reason is above; check the disk that {path} is on, and give the command again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_an_error_is_named_once() {
        let of_rows = || DataError::TooFewPeople { found: 2, needed: 3 };
        for path in ["m", ".", "2"] {
            let said = StudyError::in_file(Path::new(path))(of_rows()).to_string();
            assert_eq!(said, format!("{path}: {}", of_rows()));
        }
        for said in ["m.csv: no rows", "m.csv, row 3: no label"] {
            let error = StudyError::Input { message: said.into(), hint: String::new() };
            assert_eq!(StudyError::in_file(Path::new("m.csv"))(error).to_string(), said);
        }
    }
}
