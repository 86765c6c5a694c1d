//! Snapshot ensembles (Huang et al. 2017): one training whose rate falls and rises again and again, a network kept at the end of
//! each cycle. What is kept is an [`Ensemble`].

use super::{Ensemble, Inference};
use crate::NnError;
use crate::detector::Detector;
use crate::state::{StateDict, write_state};

/// The networks that were kept so far, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(Vec<StateDict>);

impl Snapshots {
    /// From what [`Snapshots::to_state`] left, which is taken out of `state`.
    pub(crate) fn resume(state: &mut StateDict) -> Self {
        let mut kept: Vec<StateDict> = Vec::new();
        let names: Vec<String> = state.keys().filter(|name| name.starts_with("snapshot.")).cloned().collect();
        for name in names {
            let place = name.strip_prefix("snapshot.").and_then(|rest| rest.split_once('/'));
            let Some((k, own)) = place.and_then(|(k, own)| Some((k.parse::<usize>().ok()?, own))) else { continue };
            if kept.len() <= k {
                kept.resize_with(k + 1, StateDict::new);
            }
            kept[k].extend(state.remove(&name).map(|array| (own.to_owned(), array)));
        }
        Self(kept)
    }

    /// What it takes to go on.
    pub(crate) fn to_state(&self, state: &mut StateDict) {
        for (k, kept) in self.0.iter().enumerate() {
            state.extend(kept.iter().map(|(name, array)| (format!("snapshot.{k}/{name}"), array.clone())));
        }
    }

    /// Keeps the network that a cycle ended with.
    pub(crate) fn keep(&mut self, net: &Detector) {
        self.0.push(net.to_state());
    }

    /// What the run is: an ensemble of the networks.
    pub(crate) fn inference(&self) -> Inference {
        Inference::Ensemble(Ensemble { members: self.0.len() })
    }

    /// Writes them as the run in `dir`: its weights are the newest network's, and what stands beside them goes back in time, so
    /// that so many samples are the last so many networks.
    pub(crate) fn write(&self, dir: &std::path::Path) -> Result<(), NnError> {
        let mut newest = self.0.iter().rev();
        let Some(last) = newest.next() else { return Ok(()) };
        write_state(&dir.join("weights.safetensors"), last)?;
        let mut others = StateDict::new();
        for (k, kept) in (1..).zip(newest) {
            others.extend(kept.iter().map(|(name, array)| (format!("{k}/{name}"), array.clone())));
        }
        self.inference().write_arrays(dir, &others)
    }
}
