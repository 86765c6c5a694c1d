//! Whether doubt follows accuracy from generator to generator.

use dubito_stats::unseen::{Correlations, by_group, correlation};
use dubito_stats::{Doubt, StatsError};
use serde::Serialize;

use crate::scores::{Origin, Scores};
use crate::{Level, Options, ReportError};

/// One generator's fakes under one detector.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GeneratorDoubt {
    /// The generator.
    pub generator: String,
    /// Number of its fakes.
    pub items: usize,
    /// Share that is called what it is.
    pub accuracy: f64,
    /// Mean total uncertainty, nats.
    pub total: f64,
    /// Mean epistemic uncertainty, nats.
    pub epistemic: f64,
}

/// All generators under one detector.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AcrossGenerators {
    /// The detector, where the predictions name one.
    pub detector: Option<String>,
    /// What an item is.
    pub level: Level,
    /// By name.
    pub generators: Vec<GeneratorDoubt>,
    /// Correlation over the generators of mean total uncertainty with accuracy: negative, if doubt is of use.
    pub total: Correlations,
    /// The same of mean epistemic uncertainty.
    pub epistemic: Correlations,
}

/// Doubt and accuracy of each generator's fakes, on the level of videos (of items, where there are none).
/// Errors: faults of the numbers.
pub fn across_generators(scores: &Scores, options: &Options) -> Result<Vec<AcrossGenerators>, ReportError> {
    let level = if scores.has_videos { Level::Video } else { Level::Item };
    let seed = options.bootstrap.as_ref().map_or(0, |bootstrap| bootstrap.seed);
    let of_set = |set: &crate::ScoreSet| -> Result<AcrossGenerators, StatsError> {
        let items = set.of(level);
        let origins = scores.units.origins();
        let (mut places, mut groups) = (Vec::new(), Vec::new());
        for i in 0..items.len() {
            let origin = scores.units.origin(scores.unit(set, level, i));
            if let (Origin::Generator(_), Ok(at)) = (origin, origins.binary_search(origin)) {
                places.push(i);
                groups.push(at as u32);
            }
        }
        let right: Vec<bool> = places.iter().map(|&i| !items.is_error(i)).collect();
        let of = |doubt: Doubt| {
            let doubt: Vec<f64> = places.iter().map(|&i| items.doubt(i, doubt)).collect();
            by_group(&doubt, &right, &groups)
        };
        let (total, epistemic) = (of(Doubt::Total)?, of(Doubt::Epistemic)?);
        let generators = total
            .iter()
            .zip(&epistemic)
            .map(|(total, epistemic)| GeneratorDoubt {
                generator: origins[total.group as usize].title(),
                items: total.items,
                accuracy: total.accuracy,
                total: total.doubt,
                epistemic: epistemic.doubt,
            })
            .collect();
        let correlated = |of: &[dubito_stats::unseen::GroupDoubt]| {
            let (doubt, accuracy): (Vec<f64>, Vec<f64>) = of.iter().map(|group| (group.doubt, group.accuracy)).unzip();
            correlation(&doubt, &accuracy, seed)
        };
        let detector = set.detector.clone();
        let (total, epistemic) = (correlated(&total)?, correlated(&epistemic)?);
        Ok(AcrossGenerators { detector, level, generators, total, epistemic })
    };
    let place = |source| ReportError::Stats { place: "doubt across generators".into(), source };
    scores.sets.iter().map(|set| of_set(set).map_err(place)).collect()
}
