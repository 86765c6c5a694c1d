//! What can go wrong between a folder of videos and a clip, said so that the reader can mend it.

use std::path::{Path, PathBuf};

use dubito_table::TableError;

/// An error of this crate. Every variant names the file; [`DataError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A folder holds no video and no image.
    #[error("{path}: no video or image in this folder ({seen} other files{})", .passed_over.iter().map(|line| format!("; {line}")).collect::<String>())]
    NoMedia {
        /// The folder.
        path: PathBuf,
        /// Files of other kinds that were seen there.
        seen: usize,
        /// Links, folders and names that were not followed or read, a line each.
        passed_over: Vec<String>,
    },
    /// A table (manifest, identities) is not what it should be.
    #[error("{path}{}: {message}", .row.map(|r| format!(", row {r}")).unwrap_or_default())]
    Table {
        /// The table's file.
        path: PathBuf,
        /// The row, counted from 1 without the header.
        row: Option<usize>,
        /// What was expected and what was found.
        message: String,
    },
    /// A file can't be read as a table.
    #[error(transparent)]
    Foreign(TableError),
    /// A file of settings that somebody wrote by hand is not what it should be.
    #[error("{path}: {message}")]
    Written {
        /// The file.
        path: PathBuf,
        /// Line, column and key, what was expected and what was found.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// A folder is not laid out as it should be.
    #[error("{path}: {message}")]
    Layout {
        /// The folder.
        path: PathBuf,
        /// What was looked for and what was found.
        message: String,
    },
    /// A clip's file is corrupt, or of another version.
    #[error("{path}: {message}")]
    Clip {
        /// The clip's file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// The parts of a manifest that several processes wrote are not all there, or don't belong together.
    #[error("{path}: {message}")]
    Shards {
        /// The store.
        path: PathBuf,
        /// What was found.
        message: String,
    },
    /// There are not enough people to keep those that are tested apart from those that are learned.
    #[error("{found} people, but at least {needed} are needed to test on people never trained on")]
    TooFewPeople {
        /// People found.
        found: usize,
        /// People needed.
        needed: usize,
    },
    /// So many people are joined by their videos that a split can't part them.
    #[error("{largest} of {people} people are joined by videos that show two of them: no split can part them")]
    Joined {
        /// People in the largest group.
        largest: usize,
        /// People in all.
        people: usize,
    },
    /// An identity stands on both sides of a split.
    #[error("identity {identity:?} is in split {first:?} and in split {second:?}")]
    Leak {
        /// The identity, a target's or a donor's.
        identity: String,
        /// A split that holds it.
        first: String,
        /// Another split that holds it.
        second: String,
    },
    /// A video could not be decoded or encoded.
    #[error(transparent)]
    Media(#[from] dubito_media::MediaError),
    /// Faces could not be found or followed.
    #[error(transparent)]
    Face(#[from] dubito_face::FaceError),
    /// The caller asked to stop.
    #[error("stopped; what was finished is kept, and the same command resumes")]
    Stopped,
}

impl From<TableError> for DataError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Read { path, source } if !is_of_the_content(source.kind()) => Self::Io { path, source },
            error => Self::Foreign(error),
        }
    }
}

/// Whether a file could not be read for what it is or holds, not because the machine failed.
fn is_of_the_content(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, IsADirectory, UnexpectedEof};
    matches!(kind, InvalidData | InvalidInput | IsADirectory | UnexpectedEof)
}

impl DataError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            // What the system says has one explanation for all crates, that of the command line.
            Self::Io { .. } => None,
            Self::NoMedia { .. } => {
                Some("give a folder that holds .mp4, .mov, .mkv, .avi, .webm, .gif, .png, .jpg, .webp, .bmp or .tif files".into())
            }
            Self::Written { hint, .. } => Some(hint.clone()),
            Self::Table { .. } => Some(
                "docs/DATA.md shows the tables of each layout; `dubito extract --help` lists the columns of a manifest"
                    .into(),
            ),
            Self::Foreign(error) => error.hint(),
            Self::Layout { .. } => Some(format!(
                "`--layout` takes one of {}; docs/DATA.md shows each, with the root that is meant",
                crate::layouts::names().join(", ")
            )),
            Self::Clip { .. } => {
                Some("delete the file and run `dubito extract` again: it makes what is missing".into())
            }
            Self::Shards { .. } => Some(
                "run `dubito extract --shard i/N` again for each part that is missing or another job's (what is there is \
                 not made again), and delete the manifest.i-of-N.parquet of other jobs"
                    .into(),
            ),
            Self::TooFewPeople { .. } => Some(
                "add videos of other people, or an identities.csv (file,identity) if several people were taken for one"
                    .into(),
            ),
            Self::Joined { .. } => Some(
                "`--cut` puts people, not groups, into splits and leaves out the videos that join two splits; \
                 fewer or other splits (--ratios) may do as well"
                    .into(),
            ),
            Self::Leak { .. } => Some("split by identity, counting targets and donors alike".into()),
            Self::Media(error) => error.hint(),
            Self::Face(error) => Some(error.hint()),
            Self::Stopped => Some("give the same command again: it goes on from there".into()),
        }
    }

    /// Why a file can't be used, for its row or answer: without the file's path, which stands beside it, and with what to do.
    pub fn reason(&self) -> String {
        let text = self.to_string();
        let path = match self {
            Self::Media(error) => return error.reason(),
            Self::Io { path, .. }
            | Self::NoMedia { path, .. }
            | Self::Table { path, .. }
            | Self::Written { path, .. }
            | Self::Layout { path, .. }
            | Self::Clip { path, .. }
            | Self::Shards { path, .. } => path.as_path(),
            Self::Foreign(error) => error.path(),
            _ => Path::new(""),
        };
        let without = text.strip_prefix(&path.display().to_string()).unwrap_or(&text);
        let without = without.trim_start_matches([':', ',', ' ']);
        self.hint().map_or(without.to_owned(), |hint| format!("{without}; {hint}"))
    }

    /// Wraps an input/output error with the path it happened at.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_holds_no_path() {
        let path = PathBuf::from("/data/set/a.csv");
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let table = DataError::Table { path: path.clone(), row: Some(2), message: "no label".into() };
        assert!(table.reason().starts_with("row 2: no label; "), "{}", table.reason());
        for error in [
            DataError::Io { path: path.clone(), source: full },
            DataError::NoMedia { path: path.clone(), seen: 3, passed_over: Vec::new() },
            DataError::Written { path: path.clone(), message: "line 1".into(), hint: "mend it".into() },
            DataError::Clip { path: path.clone(), message: "cut".into() },
            DataError::Foreign(TableError::Empty { path: path.clone() }),
            DataError::Media(dubito_media::MediaError::Empty { path }),
        ] {
            let reason = error.reason();
            assert!(!reason.contains("/data") && !reason.starts_with([':', ' ']), "{reason}");
        }
        let people = DataError::TooFewPeople { found: 2, needed: 5 };
        assert!(people.reason().starts_with("2 people, but"), "{}", people.reason());
    }
}
