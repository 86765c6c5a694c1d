//! Whether doubt follows accuracy from generator to generator.

use dubito_stats::Estimate;
use dubito_stats::unseen::{Correlations, correlation};
use serde::Serialize;

use crate::{Group, Level, Options, ReportError};

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
    /// Mean epistemic uncertainty, nats; `None` where a video's doubt cannot be divided.
    pub epistemic: Option<f64>,
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

/// Doubt and accuracy of each generator's fakes: the groups `{"generator": G}` of one detector, in nats. A generator
/// without items is left out. Errors: faults of the numbers.
pub(crate) fn across_generators<'a>(
    detector: Option<String>,
    level: Level,
    groups: impl Iterator<Item = (&'a str, &'a Group)>,
    options: &Options,
) -> Result<AcrossGenerators, ReportError> {
    let doubt = |(generator, group): (&str, &Group)| {
        Some(GeneratorDoubt {
            generator: generator.to_string(),
            items: group.items,
            accuracy: group.metric("accuracy").value?,
            total: group.metric("total").value?,
            epistemic: group.metric("epistemic").value,
        })
    };
    let generators: Vec<GeneratorDoubt> = groups.filter_map(doubt).collect();
    let seed = options.bootstrap.as_ref().map_or(0, |bootstrap| bootstrap.seed);
    let correlated = |of: &dyn Fn(&GeneratorDoubt) -> Option<f64>| {
        let known = || generators.iter().filter_map(|one| Some((of(one)?, one.accuracy)));
        let (doubt, accuracy): (Vec<f64>, Vec<f64>) = known().unzip();
        let place = |source| ReportError::Stats { place: "doubt across generators".into(), source };
        correlation(&doubt, &accuracy, seed).map_err(place)
    };
    let (total, mut epistemic) = (correlated(&|one| Some(one.total))?, correlated(&|one| one.epistemic)?);
    if generators.iter().any(|one| one.epistemic.is_none()) {
        let reason = "the epistemic part of the generators' doubt is not known";
        for correlation in [&mut epistemic.pearson, &mut epistemic.spearman, &mut epistemic.kendall] {
            (correlation.value, correlation.p_value) = (Estimate::undefined(reason), Estimate::undefined(reason));
        }
    }
    Ok(AcrossGenerators { detector, level, generators, total, epistemic })
}
