//! What can be wrong with a foreign table: which file, which row and line, which column; what was found, and expected.

use std::path::{Path, PathBuf};

/// Why a table was not read. Every variant names the file; [`TableError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A file that can't be opened or read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file that is no table, or of no format that is read.
    #[error("{}: {problem}", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What it is instead, and what to do.
        problem: String,
    },
    /// An NPZ file that is corrupt, cut off, too large, or has an array of an unfit type.
    #[error("{}: NPZ: {problem}", path.display())]
    Npz {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A Parquet file that is corrupt, cut off, too large, or has a column of an unfit type.
    #[error("{}: Parquet: {problem}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A row that can't be cut into cells, or is no object.
    #[error("{}: {}row {row}: {problem}", path.display(), in_line(*line))]
    BadRow {
        /// The file.
        path: PathBuf,
        /// The row, from 1; 0 is the header.
        row: u64,
        /// The line of the file that it begins in, from 1, of a text.
        line: Option<u64>,
        /// What is wrong.
        problem: String,
    },
    /// A cell that is wrong.
    #[error("{}: {}row {row}, column {column}: found {found}, expected {expected}", path.display(), in_line(*line))]
    BadCell {
        /// The file.
        path: PathBuf,
        /// The row, from 1.
        row: u64,
        /// The line of the file that the row begins in, from 1, of a text.
        line: Option<u64>,
        /// The column.
        column: String,
        /// What is there.
        found: Box<str>,
        /// What was expected.
        expected: Box<str>,
    },
    /// A column that is needed is not there.
    #[error("{}: no column {expected}; the columns are: {}", path.display(), found.join(", "))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        expected: String,
        /// What is there.
        found: Vec<String>,
    },
    /// Two columns of one name.
    #[error("{}: the column {column} is there twice: remove or rename one", path.display())]
    DoubleColumn {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
    },
    /// A file without rows, or without bytes.
    #[error("{}: holds no rows", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

fn in_line(line: Option<u64>) -> String {
    line.map(|line| format!("line {line}, ")).unwrap_or_default()
}

impl TableError {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. }
            | Self::UnknownFormat { path, .. }
            | Self::Npz { path, .. }
            | Self::Parquet { path, .. }
            | Self::BadRow { path, .. }
            | Self::BadCell { path, .. }
            | Self::MissingColumn { path, .. }
            | Self::DoubleColumn { path, .. }
            | Self::Empty { path } => path,
        }
    }

    /// What whoever has the file can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { path, source } => match source.kind() {
                std::io::ErrorKind::NotFound => format!("check that {} exists", path.display()),
                std::io::ErrorKind::PermissionDenied => format!("check who may read {}", path.display()),
                std::io::ErrorKind::StorageFull => {
                    "free some disk space where temporary files lie ($TMPDIR), and run the same command again".into()
                }
                _ => "copy or download the file again".into(),
            },
            Self::UnknownFormat { .. } => {
                "CSV, TSV, JSON Lines, Parquet and NPZ are read, each plain or packed with gzip".into()
            }
            Self::Npz { .. } => {
                "write one array of one dimension for each column: numpy.savez(FILE, label=..., p_fake=...)".into()
            }
            Self::Parquet { .. } => {
                "write it again, with pandas for example: pandas.read_csv(...).to_parquet(FILE); or give it as CSV"
                    .into()
            }
            Self::BadRow { .. } => {
                "mend the row, or write the table again with a program that quotes its cells (pandas, R, a spreadsheet)"
                    .into()
            }
            Self::BadCell { column, .. } => format!("mend the cell, or what wrote the column {column}"),
            Self::MissingColumn { .. } => "rename the column in the file's header".into(),
            Self::DoubleColumn { column, .. } => format!("give each column {column} a name of its own"),
            Self::Empty { .. } => "a header and one row or more were expected: did what wrote the file finish?".into(),
        })
    }
}
