//! Small classifiers of a few features, and how well they tell the classes apart: for experiments that ask what can be
//! read from a number, not for detectors.
//!
//! ```text
//! Matrix --Standard (of the training rows)--> Logistic, Neighbours --> Classified --> Judgement
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`matrix`] | rows of features, and their standardisation |
//! | [`logistic`] | multinomial logistic regression with an L2 penalty |
//! | [`neighbours`] | k nearest neighbours |
//! | [`components`] | principal components |
//! | [`judge`](mod@judge) | balanced accuracy, macro AUROC, confusion, with clustered intervals |
//! | [`open_set`] | items of none of the known classes: OSCR |
//!
//! Everything is computed in `f64` by one thread, so the same rows give the same bits.

pub mod components;
pub mod judge;
pub mod logistic;
pub mod matrix;
pub mod neighbours;
pub mod open_set;

pub use components::Components;
pub use judge::{BalancedAccuracy, Classified, Judgement, MacroAuroc, MeanOf, judge, with_interval};
pub use logistic::Logistic;
pub use matrix::{Matrix, Standard};
pub use neighbours::Neighbours;
pub use open_set::{OpenSet, Oscr};
