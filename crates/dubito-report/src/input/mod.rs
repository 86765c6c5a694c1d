//! Anyone's scores: tables of predictions (read by [`dubito_table`], whatever their format) to scores.
//!
//! ```text
//! bytes --dubito_table--> columns, blocks of rows --layout--> which column is what --rows--> scores
//! ```
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

pub(crate) mod diagnose;
mod explain;
mod layout;
pub(crate) mod rows;
pub(crate) mod store;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use dubito_table::{Compression, Format, Texts};
pub use explain::{Explanation, explain};
pub use layout::{FACTS, Use, View};

pub(crate) use dubito_table::{Block, Fault, Kind, Table, Wanted};
pub(crate) use layout::{Layout, Request, Scoring};

use crate::ReportError;
use crate::predictions::PROVENANCE_KEY;

/// What the writer of a Parquet file of predictions said about how it was made; `None` in a foreign file.
/// Errors: a file that is no Parquet.
pub fn provenance(path: &Path) -> Result<Option<serde_json::Value>, ReportError> {
    let text = Table::open(path)?.metadata(PROVENANCE_KEY)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

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
