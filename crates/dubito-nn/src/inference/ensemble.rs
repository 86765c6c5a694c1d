//! Deep ensembles (Lakshminarayanan, Pritzel and Blundell 2017): networks trained apart, each a sample.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{Device, Tensor, activation};
use serde::{Deserialize, Serialize};

use super::{Posterior, Sink};
use crate::NnError;
use crate::detector::Detector;
use crate::run::Run;
use crate::state::StateDict;

/// An ensemble as one run: the first member's weights are the run's, those of the others stand beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ensemble {
    /// Networks, two or more.
    pub members: usize,
}

impl Ensemble {
    /// Checks every field.
    ///
    /// # Errors
    /// [`NnError::Setting`] for fewer than two members.
    pub fn check(&self) -> Result<(), NnError> {
        match self.members {
            2.. => Ok(()),
            n => Err(NnError::setting("members", "two runs or more", n)),
        }
    }

    /// In words, for the model card.
    pub(super) fn in_words(&self) -> String {
        format!("ensemble of {} networks, each a sample", self.members)
    }
}

/// Checks that runs can be one posterior, and returns their weights beside those of the first: `1/NAME`, `2/NAME`, ...
///
/// # Errors
/// [`NnError::Setting`] that names the first run which differs from the first one, and in what; as [`Run::detector`].
pub(super) fn join(runs: &[Run], device: &Device) -> Result<StateDict, NnError> {
    let mut arrays = StateDict::new();
    Ensemble { members: runs.len() }.check()?;
    for (k, run) in runs.iter().enumerate() {
        let (first, other) = (&runs[0].config, &run.config);
        let differs = [
            ("task", first.trained_on != other.trained_on),
            ("classes", first.class_names != other.class_names),
            ("architecture", (first.detector, &first.network) != (other.detector, &other.network)),
            ("preprocessing", first.preprocessing != other.preprocessing),
        ];
        if let Some((what, _)) = differs.into_iter().find(|(_, differs)| *differs) {
            let [a, b] = [&runs[0], run].map(|run| run.dir.display());
            let found = format!("{b}, whose {what} is not that of {a}");
            return Err(NnError::setting(
                "members",
                "runs of one task, its classes, one architecture and input",
                found,
            ));
        }
        if other.softmax_temperature.is_some() {
            let found = format!("{}, which has a temperature", run.dir.display());
            return Err(NnError::setting("members", "runs without one: that comes last", found));
        }
        if let Some(inference) = &other.inference {
            let found = format!("{}, which is `{}`", run.dir.display(), inference.name());
            return Err(NnError::setting("members", "deterministic or dropout runs", found));
        }
        let state = run.detector(device)?.to_state();
        if k > 0 {
            arrays.extend(state.into_iter().map(|(name, array)| (format!("{k}/{name}"), array)));
        }
    }
    Ok(arrays)
}

/// Networks trained apart. Sample t is member t, and from the last on the first again: ask for as many samples as there
/// are members, or a multiple.
#[derive(Debug, Clone)]
pub struct EnsemblePosterior {
    members: Vec<Detector>,
}

impl EnsemblePosterior {
    /// From the first member and the arrays of the others.
    ///
    /// # Errors
    /// [`NnError::Setting`] for fewer than two members; as [`Detector::from_state`].
    pub fn new(first: Detector, settings: &Ensemble, arrays: &StateDict) -> Result<Self, NnError> {
        settings.check()?;
        let mut states: BTreeMap<usize, StateDict> = (1..settings.members).map(|k| (k, StateDict::new())).collect();
        for (name, array) in arrays {
            let place = name.split_once('/').and_then(|(k, name)| Some((states.get_mut(&k.parse().ok()?)?, name)));
            match place {
                Some((state, name)) => drop(state.insert(name.to_owned(), array.clone())),
                None => return Err(NnError::ExtraTensor { name: name.clone(), found: array.shape.clone() }),
            }
        }
        let (architecture, config, device) = (first.architecture(), first.config().clone(), first.device().clone());
        let mut members = vec![first];
        for state in states.into_values() {
            members.push(Detector::from_state(architecture, &config, &state, &device)?);
        }
        Ok(Self { members })
    }
}

impl Posterior for EnsemblePosterior {
    fn classes(&self) -> usize {
        self.members[0].config().classes
    }

    fn device(&self) -> &Device {
        self.members[0].device()
    }

    fn networks(&self) -> Option<u32> {
        u32::try_from(self.members.len()).ok()
    }

    fn stream(&self, batch: Tensor<4>, samples: Range<u32>, _seed: u64, sink: &mut Sink<'_>) -> Result<(), NnError> {
        let [items, ..] = batch.dims();
        let count = self.members.len();
        let mut asked: BTreeMap<usize, Tensor<3>> = BTreeMap::new();
        for sample in samples {
            let k = sample as usize % count;
            let p = match asked.get(&k) {
                Some(p) => p.clone(),
                None => {
                    let p = activation::softmax(self.members[k].forward(batch.clone())?, 1);
                    let p = p.reshape([items, 1, self.classes()]);
                    asked.insert(k, p.clone());
                    p
                }
            };
            sink(sample..sample + 1, p)?;
        }
        Ok(())
    }
}
