//! Predictions in; `metrics.json`, tables, figures and one self-contained `report.html` out.
//!
//! ```text
//! anyone's scores --> Scores -> Metrics ---> metrics.json, tables/*.csv
//!                           \-> figures ---> figures/*.svg, *.png
//!                            \-> verdict --> report.html
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`input`] | files of scores, from any framework: formats, columns, checks |
//! | [`predictions`] | our own files of predictions, written |
//! | [`classes`] | predictions of several classes as such, beside the view of real against fake |
//! | [`scores`] | rows reduced over their samples: scored frames and videos |
//! | [`evaluate`](mod@evaluate) | scored items by group: the content of `metrics.json` |
//! | [`generators`] | whether doubt follows accuracy from generator to generator |
//! | [`SetApart`] | people set apart to choose on, where there is no split for it |
//! | [`decisions`](mod@decisions) | thresholds, recalibration, sets, abstention, likelihood ratios: chosen on one split, judged on another |
//! | [`comparison`] | whether detectors differ |
//! | [`unseen`](mod@unseen) | what is made of generators that the detector never saw |
//! | [`rates`] | how often something is called fake, with clustered intervals |
//! | [`verdict`] | what the numbers say, in words |
//! | [`figures`] | every figure, to SVG and PNG by the same function |
//! | [`charts`] | the charts of a section, drawn, and the data behind them |
//! | [`manifold`] | which generator made a fake, from the uncertainty alone |
//! | [`section`] | one experiment of a study: words, tables and charts as data |
//! | [`lines`] | a figure of lines, each on axes of its own: signals and spectra |
//! | [`study`] | the report of a whole study: sections to one page and its files |
//! | [`report`] | everything together, written to a folder |

// A library says nothing by itself: it returns what there is to say.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod apart;
pub mod charts;
pub mod classes;
pub mod comparison;
pub mod csv_out;
pub mod decisions;
pub mod error;
pub mod evaluate;
pub mod figures;
pub mod generators;
pub mod input;
pub mod lines;
pub mod manifold;
pub mod names;
pub mod predictions;
pub mod rates;
pub mod report;
pub mod scores;
pub mod section;
pub mod sheet;
pub mod study;
mod tables;
pub mod unseen;
pub mod verdict;

use std::path::Path;

use tempfile::NamedTempFile;

pub use apart::SetApart;
pub use classes::{ClassView, Predictions};
pub use error::ReportError;
pub use evaluate::{Group, Level, Metrics, Missing, Options, evaluate};
pub use input::{Explanation, InputOptions, View, explain};
pub use predictions::{PredictionWriter, Row};
pub use report::{Example, ReportInput, write_report};
pub use scores::{NotLearned, Origin, ScoreSet, Scores};
pub use study::{StudyReport, write_section, write_study};
pub use verdict::{Judgement, Sentence};

/// Give a finished temporary file its name, readable as any new file is.
pub(crate) fn persist(file: NamedTempFile, path: &Path) -> Result<(), ReportError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let readable = std::fs::Permissions::from_mode(0o644);
        let error = |source| ReportError::Write { path: path.into(), source };
        std::fs::set_permissions(file.path(), readable).map_err(error)?;
    }
    file.persist(path).map_err(|e| ReportError::Write { path: path.into(), source: e.error })?;
    Ok(())
}

/// A file that is being written, of the name that `dubito_media::temporary` knows such files by, and held by this process:
/// what is left of it after a kill is removed by the next run.
pub(crate) fn temporary_in(folder: &Path) -> std::io::Result<NamedTempFile> {
    let file = tempfile::Builder::new().prefix(".dubito-").suffix(".part").tempfile_in(folder)?;
    // Without locks on this file system what is left goes after a day.
    let _ = file.as_file().try_lock();
    Ok(file)
}

/// Write a file so that a reader sees all of it or what was there before.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), ReportError> {
    use std::io::Write;
    let error = |source| ReportError::Write { path: path.into(), source };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|source| ReportError::Write { path: folder.into(), source })?;
    let mut file = temporary_in(folder).map_err(error)?;
    file.write_all(content).map_err(error)?;
    persist(file, path)
}
