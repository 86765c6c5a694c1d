//! The sets of features that are compared.

use super::features::Kind;
use super::join::Fakes;

/// Features under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureSet {
    /// Its name in tables.
    pub name: &'static str,
    /// Columns of [`Fakes::x`].
    pub columns: Vec<usize>,
    /// The set that it is compared with, where there is one.
    pub against: Option<&'static str>,
}

/// The names of the sets.
pub(crate) const PROBABILITY: &str = "probability";
pub(crate) const UNCERTAINTY: &str = "uncertainty";
pub(crate) const EPISTEMIC: &str = "epistemic only";
pub(crate) const BOTH: &str = "both";
pub(crate) const FURTHER: &str = "further columns";
pub(crate) const WITH_FURTHER: &str = "uncertainty and further columns";
pub(crate) const CLASS_PROBABILITY: &str = "class probabilities";
pub(crate) const CLASS_UNCERTAINTY: &str = "class uncertainty";
pub(crate) const CLASS_EPISTEMIC: &str = "class epistemic only";

/// The sets of these features: of detectors that only tell real from fake, of those that know classes, and of further
/// columns. A set without columns is not there; why is said instead.
pub(crate) fn sets(fakes: &Fakes) -> (Vec<FeatureSet>, Vec<String>) {
    let of = |knows_classes: bool, kinds: &[Kind]| -> Vec<usize> {
        let is_of = |at: &usize| {
            let column = &fakes.columns[*at];
            let is_detector = column.detector.is_some_and(|d| fakes.detectors[d].1.is_some() == knows_classes);
            is_detector && kinds.contains(&column.kind)
        };
        (0..fakes.columns.len()).filter(is_of).collect()
    };
    let further: Vec<usize> = (0..fakes.columns.len()).filter(|&at| fakes.columns[at].kind == Kind::Further).collect();
    let uncertainty = of(false, &[Kind::Entropy, Kind::Epistemic]);
    let set = |name, columns, against| FeatureSet { name, columns, against };
    let mut all = vec![
        set(PROBABILITY, of(false, &[Kind::Probability]), None),
        set(UNCERTAINTY, uncertainty.clone(), Some(PROBABILITY)),
        set(EPISTEMIC, of(false, &[Kind::Epistemic]), Some(PROBABILITY)),
        set(BOTH, of(false, &[Kind::Probability, Kind::Entropy, Kind::Epistemic]), Some(PROBABILITY)),
        set(CLASS_PROBABILITY, of(true, &[Kind::Probability]), None),
        set(CLASS_UNCERTAINTY, of(true, &[Kind::Entropy, Kind::Epistemic]), Some(CLASS_PROBABILITY)),
        set(CLASS_EPISTEMIC, of(true, &[Kind::Epistemic]), Some(CLASS_PROBABILITY)),
        set(FURTHER, further.clone(), None),
    ];
    if !further.is_empty() && !uncertainty.is_empty() {
        all.push(set(WITH_FURTHER, [uncertainty, further].concat(), Some(UNCERTAINTY)));
    }
    let knows = |classes: bool| fakes.detectors.iter().any(|(_, of)| of.is_some() == classes);
    let expected = |name: &str| match name {
        FURTHER | WITH_FURTHER => false,
        CLASS_PROBABILITY | CLASS_UNCERTAINTY | CLASS_EPISTEMIC => knows(true),
        _ => knows(false),
    };
    let missing = all
        .iter()
        .filter(|set| set.columns.is_empty() && expected(set.name))
        .map(|set| format!("{}: no feature of it differs between the fakes", set.name))
        .collect();
    all.retain(|set| !set.columns.is_empty());
    (all, missing)
}
