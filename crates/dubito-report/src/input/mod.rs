//! Anyone's scores: files of predictions read as blocks of rows, whatever their format.
//!
//! ```text
//! bytes --file--> format, compression --layout--> which column is what
//!   \--csv, json_lines, parquet, npz--> blocks of typed columns --> scores
//! ```
//!
//! Formats: CSV (delimited by comma, tab, semicolon or bar), JSON Lines, Parquet and NPZ, each as it is or
//! packed with gzip, told by the content. Everything streams: a file is cut into chunks of about a
//! megabyte, which are parsed side by side and taken in their order.
//!
//! Limits, against foreign bytes: a record of 1 MiB, 10,000 columns, 8 GiB for a Parquet or NPZ file that
//! is packed with gzip (it has to be unpacked to be read).
//!
//! # Layouts
//! **Long**: one row for each item, or for each item and sample.
//!
//! | column | what it holds |
//! |---|---|
//! | `item` | name of what was scored: a frame, or a whole video; without the column each row is an item of its own (or each `frame` of a `video`) |
//! | `label` | the truth: the name of a class or its index; in a binary task `real` or `fake` in any case, `0` or `1`, `false` or `true`; among more classes, one of them `real`, `fake` is a fake of none of them |
//! | `p_fake`, or one `prob_<class>` for each class | probabilities, 0 to 1; those of the classes sum to 1 |
//! | `p_mean`, `expected_entropy`, `samples` | instead of them, samples that are reduced already: mean of `p_fake`, mean entropy in nats, and how many |
//! | `sample` | which draw from the posterior, a whole number; without the column every row is sample 0 |
//! | `video`, `frame` | the video that the item is a frame of, and its number in it |
//! | `generator` | what made the fake; `real` or nothing for a real video |
//! | `control` | the generator whose null control this is: a real video put through that generator's whole warp, blend and encode; its label is `real` |
//! | `identity`, `donor` | the person seen, and the person whose face was put in |
//! | `detector` | the detector that gave the probabilities; each one is evaluated for itself |
//! | `dataset`, `split`, `fold` | where the number comes from |
//!
//! **Wide**: the same with one column of P(fake) for each detector, chosen by
//! [`InputOptions::detector_columns`]. An empty cell or NaN is a missing score, counted, never 0.
//!
//! Probabilities of several classes, one of them `real`, are read in two views ([`View`]): as real against fake,
//! which all that is binary is computed from, and as the classes that they are.
//!
//! Only the label and the probabilities are needed. Other columns are not read, unless grouping by them
//! was asked for.

mod block;
mod csv;
pub(crate) mod diagnose;
mod explain;
mod file;
mod json_lines;
mod layout;
mod npz;
pub(crate) mod parquet;
pub(crate) mod rows;
pub(crate) mod store;
mod text;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

pub use block::Texts;
pub use explain::{Explanation, explain};
pub use file::{Compression, Format};
pub use layout::{FACTS, Use, View};
pub use parquet::provenance;

pub(crate) use block::{Block, Fault, Kind, Wanted};
pub(crate) use layout::{Layout, Request, Scoring};

use crate::ReportError;

/// The most columns that a file may have.
const MOST_COLUMNS: usize = 10_000;

/// How a file's columns are to be understood, where their names don't say it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InputOptions {
    /// Pairs of our name and the file's name for a column: `("label", "truth")`.
    pub map: Vec<(String, String)>,
    /// The columns that each hold one detector's P(fake): names, or patterns with `*` and `?`. Empty for
    /// the long layout.
    pub detector_columns: Vec<String>,
    /// Take the detectors together as the samples of one, an ensemble. An item that lacks the score of
    /// a member is left out and counted as missing.
    pub as_ensemble: bool,
    /// The scores are logits: one of them goes through the sigmoid, those of several classes through
    /// the softmax.
    pub logits: bool,
}

/// A file whose format and columns are known.
pub(crate) struct Table {
    pub path: PathBuf,
    pub format: Format,
    pub compression: Compression,
    /// The columns as the file names them.
    pub names: Vec<String>,
    /// The header of a CSV.
    csv: Option<csv::Header>,
}

impl Table {
    /// Look at a file. Errors: it can't be read, is of no known format, has no columns or one twice.
    pub fn open(path: &Path) -> Result<Self, ReportError> {
        let (format, compression) = file::sniff(path)?;
        let csv = match format {
            Format::Csv => Some(csv::header(path, compression)?),
            _ => None,
        };
        let names = match (format, &csv) {
            (_, Some(header)) => header.names.clone(),
            (Format::JsonLines, _) => json_lines::names(path, compression)?,
            (Format::Npz, _) => npz::names(path, compression)?,
            _ => parquet::names(path, compression)?,
        };
        if names.len() > MOST_COLUMNS {
            let problem = format!("has {} columns, expected at most {MOST_COLUMNS}", names.len());
            return Err(ReportError::UnknownFormat { path: path.into(), problem });
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !name.is_empty() && !seen.insert(name.as_str())) {
            return Err(ReportError::DoubleColumn { path: path.into(), column: twice.clone() });
        }
        Ok(Self { path: path.into(), format, compression, names, csv })
    }

    /// The delimiter of a CSV.
    pub fn delimiter(&self) -> Option<char> {
        self.csv.as_ref().map(|header| char::from(header.delimiter))
    }

    /// Read the wanted columns block by block: `map` is called for several blocks at a time, `sink` for
    /// one after the other, in the order of the rows and with the number of rows before. `sink` says
    /// whether to go on. Errors name the row; a file without rows is [`ReportError::Empty`].
    pub fn read<T: Send>(
        &self,
        wanted: &[Wanted],
        map: impl Fn(Block) -> Result<T, Fault> + Sync,
        sink: impl FnMut(T, u64) -> Result<bool, ReportError> + Send,
    ) -> Result<(), ReportError> {
        let (path, compression) = (self.path.as_path(), self.compression);
        match (self.format, &self.csv) {
            (Format::JsonLines, _) => {
                let mut chunks = json_lines::chunks(path, compression)?;
                let known: BTreeSet<&str> = self.names.iter().map(String::as_str).collect();
                let parse = |chunk: Vec<u8>| json_lines::parse(&chunk, wanted, &known);
                in_order(path, 1, || chunks.next(json_lines::last_end), parse, map, sink)
            }
            (Format::Npz, _) => {
                let mut arrays = npz::Arrays::new(path, compression, wanted)?;
                let kinds = arrays.kinds();
                let parse = |raw: npz::Raw| npz::parse(&raw, &kinds, wanted);
                in_order(path, 1, || Ok(arrays.next(path, wanted)?), parse, map, sink)
            }
            (Format::Csv, Some(header)) => {
                let mut chunks = csv::chunks(path, compression, header)?;
                let slots = csv::slots(header.names.len(), wanted);
                let parse = |chunk: Vec<u8>| csv::parse(&chunk, header.delimiter, &slots, wanted);
                in_order(path, 1, || chunks.next(|chunk| csv::last_end(chunk, header.delimiter)), parse, map, sink)
            }
            _ => {
                let mut batches = parquet::Batches::new(path, compression, wanted)?;
                let places = batches.places();
                let parse = |batch| parquet::parse(path, &batch, &places, wanted);
                in_order(path, parquet::TOGETHER, || Ok(batches.next(path)?), parse, map, sink)
            }
        }
    }
}

/// Pieces to blocks to parts, several at a time, and each part to the sink in its order. Each thread reads the pieces
/// that it makes parts of itself, so that their memory is its own, a lot of `together` pieces at a time; while some
/// become parts, the parts before them are taken.
fn in_order<P: Send, T: Send>(
    path: &Path,
    together: usize,
    next: impl FnMut() -> Result<Option<P>, Fault> + Send,
    parse: impl Fn(P) -> Result<Block, Fault> + Sync,
    map: impl Fn(Block) -> Result<T, Fault> + Sync,
    mut sink: impl FnMut(T, u64) -> Result<bool, ReportError> + Send,
) -> Result<(), ReportError> {
    let width = 8 * rayon::current_num_threads(); // so many that no thread waits long for the others
    let source = Mutex::new(Source { next, lots: 0, end: None });
    let folded = |piece: P| -> Result<(usize, T), Fault> {
        let block = parse(piece)?;
        Ok((block.rows, map(block)?))
    };
    let folded_lot = |_| -> Lot<T> {
        let (number, pieces) = source.lock().unwrap_or_else(PoisonError::into_inner).lot(together);
        (number, pieces.into_iter().map(folded).collect())
    };
    let mut row = 0;
    let mut take = |lots: Vec<Lot<T>>| -> Result<bool, ReportError> {
        for part in lots.into_iter().flat_map(|(_, parts)| parts) {
            let (rows, part) = part.map_err(|fault| fault.into_error(path, row))?;
            if !sink(part, row)? {
                return Ok(false);
            }
            row += rows as u64;
        }
        Ok(true)
    };
    let mut lots = Vec::new();
    loop {
        let (taken, mut made) =
            rayon::join(|| take(lots), || (0..width).into_par_iter().map(folded_lot).collect::<Vec<_>>());
        if !taken? {
            return Ok(());
        }
        made.retain(|(_, parts)| !parts.is_empty());
        made.sort_unstable_by_key(|&(number, _)| number);
        if made.is_empty() {
            break;
        }
        lots = made;
    }
    match source.into_inner().unwrap_or_else(PoisonError::into_inner).end {
        Some(Err(fault)) => Err(fault.into_error(path, row)),
        _ if row == 0 => Err(ReportError::Empty { path: path.into() }),
        _ => Ok(()),
    }
}

/// The number of a lot, and of each of its pieces the number of rows and what they became.
type Lot<T> = (usize, Vec<Result<(usize, T), Fault>>);

/// What pieces are read from, one after the other.
struct Source<F> {
    next: F,
    /// Number of lots so far.
    lots: usize,
    /// How it ended.
    end: Option<Result<(), Fault>>,
}

impl<P, F: FnMut() -> Result<Option<P>, Fault>> Source<F> {
    /// The next pieces, at most so many and at the end none, and the number of their lot.
    fn lot(&mut self, together: usize) -> (usize, Vec<P>) {
        let mut pieces = Vec::with_capacity(together);
        while pieces.len() < together && self.end.is_none() {
            match (self.next)() {
                Ok(Some(piece)) => pieces.push(piece),
                Ok(None) => self.end = Some(Ok(())),
                Err(fault) => self.end = Some(Err(fault)),
            }
        }
        self.lots += 1;
        (self.lots, pieces)
    }
}
