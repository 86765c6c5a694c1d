//! Foreign tables in: CSV, TSV, JSON Lines, Parquet, NPZ, plain or gzip, to blocks of typed columns.
//!
//! ```text
//! bytes --source--> format, compression, encoding --delimited, json_lines, parquet, npz--> blocks of typed columns
//! ```
//!
//! The content decides what a file is, never its name. Everything streams: a file is cut into chunks of about a megabyte,
//! which are parsed side by side and taken in their order. Nothing here knows of scores, videos or tensors.
//!
//! What can't be read as the file means it is an error with its row and line, never left out in silence and never
//! guessed at: a quotation mark that stays open, rows of other widths than the header, a file that is cut off.
//!
//! Limits, against foreign bytes: a record of 1 MiB, 10,000 columns, 8 GiB of what has to be copied to be read (from a
//! pipe; a Parquet or NPZ file that is packed with gzip), 300 times its size of what is packed.

mod block;
mod delimited;
mod encoding;
mod error;
mod json_lines;
mod npz;
mod parquet;
mod source;
mod spelling;
mod spreadsheet;
mod table;
mod text;

pub use block::{Block, Cells, Column, Fault, Kind, Numbers, Texts, Wanted};
pub use error::TableError;
pub use source::{Compression, Format, is_stream};
pub use spelling::{cut, is_missing};
pub use spreadsheet::spreadsheet_safe;
pub use table::{Records, Table};

/// The most columns that a file may have.
const MOST_COLUMNS: usize = 10_000;
