//! Probabilities in, numbers out: uncertainty decomposition, discrimination, calibration,
//! recalibration, selective prediction, bootstrap.
//!
//! The way of the data:
//!
//! ```text
//! samples of one frame  -> FrameSums -> Scored \
//!                                               -> Items -> metrics_of, reliability_of -> Estimate
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
//! | [`ranking`] | items in order of a score |
//! | [`discrimination`] | accuracy, F1, MCC, AUROC, average precision, EER, TPR at a FPR |
//! | [`calibration`] | NLL, Brier score and its parts, calibration errors, AvU, reliability diagrams |
//! | [`selective`] | risk and coverage: AURC, E-AURC, AUGRC, accuracy-rejection curve |
//! | [`threshold`] | a decision threshold chosen on one split and judged on another |
//! | [`recalibrate`] | temperature, Platt, isotonic, beta, histogram binning |
//! | [`video`] | from frames to a video by mean, median, log-odds, top-k, majority |
//! | [`bootstrap`] | percentile intervals from resampled clusters |
//! | [`unseen`] | whether doubt rises on what the detector never saw, and follows its accuracy |
//! | [`conformal`] | sets of classes that hold the true one as often as promised |
//! | [`guarantee`] | the doubt above which to abstain, so that errors stay below a promised share |
//! | [`forensic`] | likelihood ratios, their cost, their limits and their verbal scale |
//! | [`sequential`] | when the samples of one item are enough |
//! | [`compare`] | whether two detectors differ, and what difference the data could have shown |
//! | [`metrics`](mod@metrics) | every metric by its name |
//! | [`classify`] | small classifiers of features, and open sets: which class, or none of them |
//! | [`label_noise`] | a known share of labels flipped |
//! | [`samples`] | all samples of one item added up at once |
//! | [`probability`] | probability vectors: checking, entropy, sums that no order changes |
//! | [`vectorised`] | loops over many numbers for each instruction set, and the logarithm in them |
//! | [`weighted`] | how a metric is written so that it can be resampled fast |

// A library says nothing by itself: it returns what there is to say.
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![warn(missing_docs)]

pub mod bootstrap;
pub mod calibration;
mod check;
pub mod classify;
pub mod compare;
pub mod conformal;
pub mod decomposition;
pub mod discrimination;
mod distributions;
mod error;
pub mod forensic;
pub mod guarantee;
pub mod items;
pub mod label_noise;
pub mod metrics;
pub mod probability;
pub mod ranking;
pub mod recalibrate;
pub mod samples;
pub mod selective;
pub mod sequential;
pub mod threshold;
mod types;
pub mod unseen;
pub mod vectorised;
pub mod video;
pub mod weighted;

pub use bootstrap::Bootstrap;
pub use calibration::{Confidence, ReliabilityBin, reliability, reliability_of};
pub use decomposition::{Decomposition, FrameSums, Measures, Unit, VideoSums, decompose, epistemic_jackknife};
pub use error::StatsError;
pub use items::{Doubt, Items, Scale};
pub use metrics::{metrics, metrics_of, metrics_of_groups};
pub use recalibrate::{Method, Recalibration};
pub use samples::SampleAdder;
pub use sequential::{ConfidenceSequence, Progress, Sequential, Side, StopRule, Tracked};
pub use threshold::{AtThreshold, ThresholdRule, at_threshold, choose_threshold};
pub use types::{Estimate, Scored, Task};
pub use video::{VideoRule, video_probs};
