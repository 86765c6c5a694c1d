//! The study: steps that resume, each of which can be entered from a file and left to a file.

// A library says nothing by itself: it returns what there is to say.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod anytime;
pub mod attack;
pub mod audit;
pub mod bayes;
mod crops;
pub mod curves;
pub mod demo;
pub mod detect;
mod detector;
mod error;
pub mod events;
pub mod explain;
mod inputs;
pub mod lesson;
mod logistic;
pub mod maps;
pub mod output;
pub mod predict;
pub mod progress;
pub mod provenance;
pub mod pulse;
pub mod recipe;
pub mod regions;
pub mod report;
pub mod sheet;
pub mod simulate;
pub mod study;
pub mod train;

pub use crops::{SignalCrops, Signals, StoreCrops};
pub use detector::Detector;
pub use error::StudyError;
pub use inputs::{Inputs, inputs};
pub use lesson::Lesson;
pub use progress::{OnProgress, Progress, Step};
