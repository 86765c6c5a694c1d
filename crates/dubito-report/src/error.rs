//! What can be wrong with predictions, or with the place the report is written to.

use std::path::PathBuf;

use dubito_stats::StatsError;

/// Why no report was written: which file, which row and column, what was expected.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file that can't be opened or read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file or folder that can't be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A name that ends in neither `.csv` nor `.parquet`.
    #[error("{}: predictions are read and written as .csv or .parquet: name the file so", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// The content is of another kind than the name says.
    #[error(
        "{}: {}",
        path.display(),
        if *is_parquet {
            "is a Parquet file: name it .parquet"
        } else {
            "is no Parquet file (it does not begin with PAR1): if it is text, name it .csv"
        }
    )]
    WrongKind {
        /// The file.
        path: PathBuf,
        /// Whether the content is Parquet.
        is_parquet: bool,
    },
    /// A Parquet file that is corrupt, cut off, or has a column of an unfit type.
    #[error("{}: Parquet: {problem}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A CSV row that can't be cut into cells.
    #[error("{}: row {row}: {problem}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// The row, from 1; 0 is the header.
        row: u64,
        /// What is wrong.
        problem: String,
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
    /// A file without rows, or no file at all.
    #[error("{}: holds no predictions: expected one row for each item and sample", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A cell that is wrong.
    #[error("{}: row {row}, column {column}: found {found}, expected {expected}", path.display())]
    BadValue {
        /// The file.
        path: PathBuf,
        /// The row, from 1.
        row: u64,
        /// The column.
        column: String,
        /// What is there.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// Two rows that say different things of one video or item.
    #[error(
        "{}: row {row}, column {column}: \"{second}\", but an earlier row of {what} says \"{first}\": all rows of one video must agree",
        path.display()
    )]
    Conflict {
        /// The file.
        path: PathBuf,
        /// The row, from 1.
        row: u64,
        /// The column.
        column: &'static str,
        /// The video or item.
        what: String,
        /// What the earlier row says.
        first: String,
        /// What this row says.
        second: String,
    },
    /// An item that lacks samples, or has one twice.
    #[error(
        "{item}: {found} rows for {expected} samples: expected each sample once (are two runs mixed in the files, or is one given twice?)"
    )]
    Samples {
        /// The item.
        item: String,
        /// Its number of rows.
        found: u64,
        /// The number of different samples in all files.
        expected: u64,
    },
    /// Files whose classes differ.
    #[error("{}: classes {}, but {} has {}: evaluate them apart", path.display(), found.join(", "), first.display(), expected.join(", "))]
    ClassesDiffer {
        /// The file.
        path: PathBuf,
        /// Its classes.
        found: Vec<String>,
        /// The first file.
        first: PathBuf,
        /// Its classes.
        expected: Vec<String>,
    },
    /// Rows of several detectors or splits, and no choice made.
    #[error(
        "the predictions hold several values of {column}: {}: choose one with Options::{column}",
        found.join(", ")
    )]
    Several {
        /// `detector` or `split`.
        column: &'static str,
        /// The values found.
        found: Vec<String>,
    },
    /// A choice of detector or split that no row has.
    #[error("no row has the {column} \"{wanted}\"; there are: {}", found.join(", "))]
    NoSuch {
        /// `detector` or `split`.
        column: &'static str,
        /// The value asked for.
        wanted: String,
        /// The values found.
        found: Vec<String>,
    },
    /// Numbers that the statistics refuse.
    #[error("{place}: {source}")]
    Stats {
        /// The item, video or group.
        place: String,
        /// What is wrong.
        source: StatsError,
    },
    /// A figure that can't be drawn; a fault of ours.
    #[error("figure {figure}: {problem}")]
    Figure {
        /// Its name.
        figure: String,
        /// What the drawing library says.
        problem: String,
    },
}
