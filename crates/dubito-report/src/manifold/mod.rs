//! Source detection from the uncertainty alone: which generator made a fake, told from nothing but features of what
//! detectors doubt about it.
//!
//! ```text
//! predictions --features--> a row for each fake and detector --join--> Fakes: features side by side, people, folds
//!   \--validate, null--> balanced accuracy by feature set and classifier, against permuted labels
//!    \--open, transfer--> unknown generators; other detectors and seeds
//!     \--draw--> principal components, t-SNE
//! ```
//!
//! docs/SOURCE.md says what is measured and how it is read. [`source_section`] does all of it,
//! [`write_section`](crate::study::write_section) draws and writes it.

mod answers;
mod draw;
mod features;
mod join;
mod null;
mod open;
mod section;
mod sets;
mod transfer;
mod validate;

use std::collections::BTreeSet;
use std::path::PathBuf;

use dubito_stats::Bootstrap;

pub use features::Kind;
pub use join::{Column, Fakes};
pub use null::{Null, permuted};
pub use section::source_section;
pub use sets::FeatureSet;
pub use validate::Learner;

use crate::ReportError;

/// What is asked of predictions.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifoldOptions {
    /// How intervals are made, by people.
    pub bootstrap: Bootstrap,
    /// Permutations of the labels for each feature set; 0 leaves the test out. The smallest p-value there can be is one over
    /// one more than these.
    pub permutations: usize,
    /// Seed of permutations, and of folds where the predictions name none.
    pub seed: u64,
    /// Only rows of this split; needed where the predictions hold several.
    pub split: Option<String>,
    /// A table (CSV, Parquet, ...) with the column `video` and further features as numbers.
    pub further: Option<PathBuf>,
    /// Names of the detectors in the files, in their order; empty to take them from the files (and their folders, where two
    /// are named the same).
    pub names: Vec<String>,
    /// Only fakes of these generators; empty for all.
    pub generators: BTreeSet<String>,
    /// The classifiers.
    pub learners: Vec<Learner>,
}

impl Default for ManifoldOptions {
    /// The default bootstrap, 199 permutations, seed 0, all generators and classifiers.
    fn default() -> Self {
        Self {
            bootstrap: Bootstrap::default(),
            permutations: 199,
            seed: 0,
            split: None,
            further: None,
            names: Vec::new(),
            generators: BTreeSet::new(),
            learners: Learner::ALL.to_vec(),
        }
    }
}

/// Read predictions to fakes with their features. Errors: as [`Scores::read`](crate::Scores::read); detectors that
/// contradict each other; too few generators or people; names of another number than the detectors.
pub fn fakes(predictions: &[PathBuf], options: &ManifoldOptions) -> Result<Fakes, ReportError> {
    let mut detectors = Vec::new();
    for path in predictions {
        let read = features::read(path, options.split.as_deref())?;
        detectors.extend(read.into_iter().map(|detector| (path.clone(), detector)));
    }
    if options.names.is_empty() {
        join::name_apart(&mut detectors);
    } else if options.names.len() == detectors.len() {
        detectors.iter_mut().zip(&options.names).for_each(|((_, detector), name)| detector.name.clone_from(name));
    } else {
        return Err(ReportError::Experiment {
            problem: format!("{} names for {} detectors", options.names.len(), detectors.len()),
            hint: "give a name for each detector of each file, or none".into(),
        });
    }
    let detectors = detectors.into_iter().map(|(_, detector)| detector).collect();
    join::join(detectors, options.further.as_deref(), &options.generators, options.seed)
}
