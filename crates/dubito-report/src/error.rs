//! What can be wrong with predictions, or with the place the report is written to.

use std::path::PathBuf;

use dubito_stats::StatsError;
use dubito_table::TableError;

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
    /// A file that can't be read as a table.
    #[error(transparent)]
    Table(TableError),
    /// A file or folder that can't be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file to be written whose name ends in neither `.csv` nor `.parquet`.
    #[error("{}: predictions are written as .csv or .parquet: name the file so", path.display())]
    UnknownName {
        /// The file.
        path: PathBuf,
    },
    /// Columns that don't go together.
    #[error("{}: {problem}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Files of which some hold samples and some what samples were reduced to.
    #[error("{}: is reduced already (p_mean), but {} holds scores as they are: evaluate them apart", path.display(), first.display())]
    FormsDiffer {
        /// The file that is reduced.
        path: PathBuf,
        /// A file that is not.
        first: PathBuf,
    },
    /// The same sample of the same item and detector in two rows.
    #[error(
        "{}: row {row}: {item} has the same sample of the same detector here and in row {first_row} of {}: remove one (is a file or a run given twice?)",
        path.display(),
        first_path.display()
    )]
    Duplicate {
        /// The file of the second row.
        path: PathBuf,
        /// The second row, from 1.
        row: u64,
        /// The item.
        item: String,
        /// The file of the first row.
        first_path: PathBuf,
        /// The first row, from 1.
        first_row: u64,
    },
    /// More items, or scores of them, than can be numbered.
    #[error("{}: more than {most} items, or scores of items: evaluate them in parts", path.display())]
    TooMany {
        /// The file that had them.
        path: PathBuf,
        /// As many as there may be.
        most: u64,
    },
    /// A file that is another one when it is read again.
    #[error("{}: changed while it was read: try again when nothing writes to it", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
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
    /// A file without rows, or no file at all.
    #[error("{}: holds no predictions: expected one row for each item and sample", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A value that can't be written as a prediction.
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
        column: Box<str>,
        /// The video or item.
        what: Box<str>,
        /// What the earlier row says.
        first: String,
        /// What this row says.
        second: String,
    },
    /// An item that lacks a sample.
    #[error(
        "{item}: {found} rows for {expected} samples{}: expected each sample once for each item (are two runs mixed in the files?)",
        lacks.map(|sample| format!(", none for sample {sample}")).unwrap_or_default()
    )]
    Samples {
        /// The item.
        item: String,
        /// Its number of rows.
        found: u64,
        /// The number of different samples of its detector in all files.
        expected: u64,
        /// The first sample that it lacks.
        lacks: Option<u64>,
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
        "the predictions hold several values of {column}: {}: choose one",
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
    /// What is chosen on a split can't be judged on it.
    #[error("the split \"{name}\" is both to choose on and to judge: name another one to judge")]
    SameSplit {
        /// The split.
        name: String,
    },
    /// Nobody can be set apart to choose on.
    #[error("nobody can be set apart to choose on: there are {groups} groups of people who share no video")]
    NobodyApart {
        /// Groups of people joined by a video, as target and donor.
        groups: usize,
    },
    /// Numbers that the statistics refuse.
    #[error("{place}: {source}")]
    Stats {
        /// The item, video or group.
        place: String,
        /// What is wrong.
        source: StatsError,
    },
    /// Predictions that do not have what an experiment needs.
    #[error("{problem}")]
    Experiment {
        /// What is missing.
        problem: String,
        /// What to do.
        hint: String,
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

impl From<TableError> for ReportError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Empty { path } => Self::Empty { path },
            error => Self::Table(error),
        }
    }
}

/// Whether what was found where a probability is expected is a number, or the sum of several.
fn may_be_logit(found: &str, expected: &str) -> bool {
    let number = found.trim_start_matches("a sum of ");
    expected.contains("--logits") && number.parse::<f64>().is_ok_and(f64::is_finite)
}

impl ReportError {
    /// What the user of the command line can do about it.
    pub fn hint(&self) -> Option<String> {
        let explain = |path: &std::path::Path| {
            format!(
                "`dubito analyze --explain {}` says how each column is read; `--map label=NAME` tells what the file calls it",
                path.display()
            )
        };
        let hint = match self {
            // What the system says has one explanation for all crates, that of the command line.
            Self::Read { .. } | Self::Write { .. } | Self::Table(TableError::Read { .. }) => return None,
            Self::MissingColumn { path, .. } | Self::Layout { path, .. } | Self::Conflict { path, .. } => {
                return Some(explain(path));
            }
            Self::BadValue { path, found, expected, .. } if may_be_logit(found, expected) => {
                return Some(format!("if {} holds logits, add --logits", path.display()));
            }
            Self::Table(TableError::BadCell { path, found, expected, .. }) if may_be_logit(found, expected) => {
                return Some(format!("if {} holds logits, add --logits", path.display()));
            }
            Self::BadValue { path, .. }
            | Self::Table(TableError::BadCell { path, .. } | TableError::MissingColumn { path, .. }) => {
                return Some(explain(path));
            }
            Self::Table(error) => return error.hint(),
            Self::Several { column: "split", .. } => {
                "--split NAME says which one to judge, --by split keeps them apart"
            }
            Self::Several { column, .. } => return Some(format!("--{column} NAME chooses one")),
            Self::NoSuch { column, .. } => return Some(format!("give one of those to --{column}, or leave it out")),
            Self::NobodyApart { .. } => {
                "leave --set-apart out, or give scores with a column `split` whose rows named `calibration` show other \
                 people than those of `test`"
            }
            Self::Experiment { hint, .. } => return Some(hint.clone()),
            Self::SameSplit { .. } => "--split NAME says which one to judge",
            Self::UnknownName { .. } => "for example predictions.parquet",
            Self::FormsDiffer { .. } => "give the files to two commands, each with its own -o",
            Self::Duplicate { .. } => "give each file once, and each run its own name in the column `detector`",
            Self::TooMany { .. } => "divide the file, by detector or by data set, and evaluate each part",
            Self::Changed { .. } => "wait until the program that writes it has ended, or copy it and give the copy",
            Self::Empty { .. } => {
                "check that the program that wrote it had something to write; docs/ANALYZE.md shows each format"
            }
            Self::Samples { .. } => {
                "give the files of one run, all of them, or let each run have its name in the column `detector`"
            }
            Self::ClassesDiffer { .. } => "give the files to two commands, each with its own -o",
            Self::Stats { source, .. } => source.hint(),
            Self::Figure { .. } => {
                "the tables and metrics.json are not concerned; please report the figure's data as a fault of the program"
            }
        };
        Some(hint.to_owned())
    }
}
