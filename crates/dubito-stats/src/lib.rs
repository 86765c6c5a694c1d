//! Probabilities in, numbers out: uncertainty decomposition, discrimination, calibration, selective
//! prediction, bootstrap.
//!
//! The way of the data:
//!
//! ```text
//! samples of one frame  -> FrameSums -> Scored \
//!                                               -> metrics, reliability -> Estimate
//! samples of one video  -> VideoSums -> Scored /
//! ```
//!
//! Entropies are in nats. Everything is computed in `f64`, and no answer depends on the order of the
//! items, the number of threads or how the work was cut into batches. What cannot be computed is an
//! [`Estimate`] without a value and with a reason in plain words; what must not be given (a
//! probability of 1.2, a label the task doesn't have) is a [`StatsError`] that names the item.
//!
//! | module | what it holds |
//! |---|---|
//! | [`items`] | scored items, column by column: what every metric is computed from |
//! | [`decomposition`] | total, aleatoric, between-frames and epistemic uncertainty of frames and videos |
//! | [`discrimination`] | accuracy, balanced accuracy, AUROC, average precision |
//! | [`calibration`] | NLL, Brier score, calibration errors, reliability diagrams |
//! | [`selective`] | risk-coverage: AURC, AUGRC |
//! | [`bootstrap`] | percentile intervals from resampled clusters |
//! | [`metrics`](mod@metrics) | every metric by its name |
//! | [`probability`] | probability vectors: checking, entropy, sums that no order changes |
//! | [`weighted`] | how a metric is written so that it can be resampled fast |

#![warn(missing_docs)]

pub mod bootstrap;
pub mod calibration;
pub mod decomposition;
pub mod discrimination;
mod error;
pub mod items;
pub mod metrics;
pub mod probability;
pub mod selective;
mod types;
pub mod weighted;

pub use bootstrap::Bootstrap;
pub use calibration::{Confidence, ReliabilityBin, reliability, reliability_of};
pub use decomposition::{Decomposition, FrameSums, VideoSums, decompose};
pub use error::StatsError;
pub use items::Items;
pub use metrics::{metrics, metrics_of};
pub use types::{Estimate, Scored, Task};
