//! Steps of a study: what each does, what it needs, and the key by which its result is known.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dubito_data::extract::ExtractOptions;
use dubito_data::forge::ForgeOptions;
use dubito_data::names::is_passed_over;
use dubito_nn::{Boundary, Inference, TrainConfig};
use serde::{Deserialize, Serialize};

use super::config::ExperimentConfig;
use super::estimate::Size;
use crate::StudyError;
use crate::simulate::SimulateOptions;

/// The version of what steps do: results of another one are made again.
const REVISION: u32 = 1;

/// Bytes at either end of a file that its fingerprint is of.
const END: u64 = 1 << 20;

/// Place of a step in its plan; every step comes after those that it needs.
pub type StepId = usize;

/// What a step does. Whatever changes its result is a field, or the result of a step that it needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// Renders simulated people.
    Simulate {
        /// Who, and how many frames of them.
        options: SimulateOptions,
    },
    /// Forges the videos of a folder, or of the step that it needs.
    Forge {
        /// The folder.
        faces: Option<PathBuf>,
        /// How.
        options: ForgeOptions,
    },
    /// Cuts clips of the videos in a manifest, or of the step that it needs.
    Extract {
        /// The manifest.
        manifest: Option<PathBuf>,
        /// How.
        options: ExtractOptions,
    },
    /// Runs all clips, and their augmented variants, through the frozen stages of given weights. Needs clips.
    Trunk {
        /// The settings of those that train what lies behind.
        config: Box<TrainConfig>,
    },
    /// Trains a detector for each fold of people. Needs clips, and their maps where a trunk of given weights is frozen.
    Train {
        /// The settings.
        config: Box<TrainConfig>,
        /// `binary`, `multiclass` or `source`.
        task: String,
        /// Generators that it never sees.
        leave_out: Vec<String>,
        /// Share of the videos whose label is turned before training.
        turned: f32,
        /// Whether self-blended faces stay, though they resemble whatever is left out.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        self_blends: bool,
    },
    /// The same runs, their samples drawn by another dropout. Needs runs.
    Dropout {
        /// The rate; that of training without it, 0 for one network.
        rate: Option<f32>,
        /// Where it begins; as in training without it.
        boundary: Option<Boundary>,
    },
    /// Makes runs Bayesian. Needs runs and their clips.
    Convert {
        /// The method.
        inference: Inference,
        /// Epochs of fine-tuning.
        epochs: usize,
        /// Seed of it.
        seed: u64,
    },
    /// Joins runs into an ensemble. Needs runs, of several steps.
    Join,
    /// Draws samples for the people that each run has not seen. Needs runs and clips.
    Predict {
        /// Name of the detector in the predictions.
        detector: String,
        /// Samples of each input.
        samples: u32,
        /// Seed of the samples.
        seed: u64,
        /// Whether these are other people than those trained on, so that each run may judge any of them.
        others: bool,
    },
    /// Answers an experiment. Needs whatever its roles say, and makes do with less.
    Section {
        /// Name of the experiment.
        experiment: String,
        /// Its kind.
        kind: &'static str,
        /// Its settings.
        config: Box<ExperimentConfig>,
        /// The study's samples, seed and replicates.
        study: (u32, u64, usize),
        /// What each of the steps that it needs is to it.
        roles: Vec<Role>,
        /// What it asked for and can't have, and why.
        absent: Vec<(Role, String)>,
    },
}

impl Action {
    /// In a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Simulate { .. } => "simulate",
            Self::Forge { .. } => "forge",
            Self::Extract { .. } => "extract",
            Self::Trunk { .. } => "trunk",
            Self::Train { .. } => "train",
            Self::Dropout { .. } => "dropout",
            Self::Convert { .. } => "convert",
            Self::Join => "join",
            Self::Predict { .. } => "predict",
            Self::Section { .. } => "section",
        }
    }
}

/// What a step is to an experiment.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Role {
    /// `predictions`, `runs` or `clips`.
    pub what: String,
    /// Name of the detector.
    pub detector: String,
    /// Name of the inference method.
    pub inference: String,
    /// The data set that it was trained on.
    pub data: String,
    /// The data set that it is tested on.
    pub test: String,
    /// `binary`, `multiclass` or `source`.
    pub task: String,
    /// Generators that were left out.
    pub left_out: Vec<String>,
    /// Seed of training.
    pub seed: u64,
    /// What is changed in it, as `samples = 10`.
    pub setting: String,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// In words, for people.
    pub title: String,
    /// What it does.
    pub action: Action,
    /// The steps that it needs.
    pub needs: Vec<StepId>,
    /// What its result is known by.
    pub key: String,
    /// Its folder, as seen from the study's.
    pub folder: PathBuf,
    /// How large its result is, as far as that can be told beforehand.
    pub size: Size,
    /// About how many seconds it takes on two cores.
    pub seconds: f64,
}

impl Step {
    /// Whether it goes on without some of what it needs.
    pub fn is_section(&self) -> bool {
        matches!(self.action, Action::Section { .. })
    }
}

/// Steps in an order in which they can be done, and the experiments that ask for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// Name of each experiment, and the step that answers it or why there is none.
    pub experiments: Vec<(String, Result<StepId, String>)>,
    known: BTreeMap<String, StepId>,
}

impl Plan {
    /// The turn of each step, by which several processes share them: what takes long is dealt out one after the other, what
    /// follows from one of them at once has its turn.
    pub(crate) fn turns(&self) -> Vec<usize> {
        let mut turns: Vec<usize> = Vec::with_capacity(self.steps.len());
        let mut next = 0;
        for step in &self.steps {
            let follows =
                matches!(step.action, Action::Dropout { .. } | Action::Convert { .. } | Action::Predict { .. });
            turns.push(match step.needs.first() {
                Some(&need) if follows => turns[need],
                _ => {
                    next += 1;
                    next - 1
                }
            });
        }
        turns
    }

    /// Adds a step, or finds the one that does the same.
    ///
    /// # Errors
    /// A file that it reads can't be read.
    pub(crate) fn add(
        &mut self,
        title: String,
        action: Action,
        needs: Vec<StepId>,
        size: Size,
        seconds: f64,
    ) -> Result<StepId, StudyError> {
        let mut hash = blake3::Hasher::new();
        hash.update(&REVISION.to_le_bytes());
        // Where a file lies is nothing to its content, and a recipe's name is nothing to what it says.
        let mut value = serde_json::to_value(&action).unwrap_or_default();
        for path in ["faces", "manifest"] {
            if let Some(found) = value.get(path).and_then(|p| p.as_str()).map(PathBuf::from) {
                value[path] = fingerprint(&found)?.into();
            }
        }
        // An experiment's key is of what its file says, so that a new key of others leaves it as it is.
        if matches!(action, Action::Section { .. })
            && let Some(config) = value.get_mut("config").and_then(|c| c.as_object_mut())
        {
            config.retain(|_, value| !is_nothing(value));
        }
        if let Some(config) = value.get_mut("config").and_then(|c| c.as_object_mut()) {
            config.remove("recipe");
            if let Some(weights) = config.get("weights").and_then(|p| p.as_str()).map(PathBuf::from) {
                config.insert("weights".into(), fingerprint(&weights)?.into());
            }
        }
        hash.update(value.to_string().as_bytes());
        for &need in &needs {
            hash.update(self.steps[need].key.as_bytes());
        }
        let key = hash.finalize().to_hex().to_string();
        if let Some(&known) = self.known.get(&key) {
            return Ok(known);
        }
        let slug: String = title.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let slug: Vec<&str> = slug.split('-').filter(|part| !part.is_empty()).collect();
        let slug: String = slug.join("-").chars().take(80).collect();
        let folder = Path::new("steps").join(format!("{slug}-{}", &key[..10]));
        let id = self.steps.len();
        self.known.insert(key.clone(), id);
        self.steps.push(Step { title, action, needs, key, folder, size, seconds });
        Ok(id)
    }
}

/// Whether a key of an experiment says nothing: it was not given.
pub(crate) fn is_nothing(value: &serde_json::Value) -> bool {
    value.is_null()
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// What a file or folder holds: names, sizes, and a hash of each file's first and last mebibyte. (Videos are hashed whole
/// where they are forged or cut.)
///
/// # Errors
/// It can't be read.
pub(crate) fn fingerprint(path: &Path) -> Result<String, StudyError> {
    let mut hash = blake3::Hasher::new();
    add_to(&mut hash, path, path)?;
    Ok(hash.finalize().to_hex().to_string())
}

fn add_to(hash: &mut blake3::Hasher, root: &Path, path: &Path) -> Result<(), StudyError> {
    use std::io::{Read, Seek, SeekFrom};
    let error = || StudyError::io(path);
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(error())?;
        let mut entries = entries.map(|e| Ok(e.map_err(error())?.path())).collect::<Result<Vec<_>, StudyError>>()?;
        // What a system leaves beside files comes and goes, and is no data.
        entries.retain(|path| path.file_name().is_none_or(|name| !is_passed_over(name)));
        entries.sort();
        return entries.iter().try_for_each(|entry| add_to(hash, root, entry));
    }
    let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
    let mut file = std::fs::File::open(path).map_err(error())?;
    let length = file.metadata().map_err(error())?.len();
    hash.update(name.as_bytes()).update(&length.to_le_bytes());
    let mut bytes = Vec::new();
    file.by_ref().take(END).read_to_end(&mut bytes).map_err(error())?;
    if length > 2 * END {
        file.seek(SeekFrom::End(-(END as i64))).map_err(error())?;
    }
    file.take(END).read_to_end(&mut bytes).map_err(error())?;
    hash.update(&bytes);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_content_of_what_goes_in() {
        let folder = tempfile::tempdir().unwrap();
        let faces = folder.path().join("faces");
        std::fs::create_dir(&faces).unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(faces.join(name), bytes).unwrap();
        write("a.mp4", b"one");
        let mut plan = Plan::default();
        let mut forge = |faces: &Path, seed: u64| {
            let options = ForgeOptions { seed, ..ForgeOptions::default() };
            let action = Action::Forge { faces: Some(faces.to_owned()), options };
            let id = plan.add(format!("forge {seed}"), action, vec![], Size::default(), 1.0).unwrap();
            (id, plan.steps[id].key.clone())
        };
        let first = forge(&faces, 0);
        assert_eq!(forge(&faces, 0), first);
        assert_ne!(forge(&faces, 1).1, first.1);
        // The same videos elsewhere are the same; another byte is not.
        let moved = folder.path().join("moved");
        std::fs::create_dir(&moved).unwrap();
        std::fs::write(moved.join("a.mp4"), b"one").unwrap();
        assert_eq!(forge(&moved, 0), first);
        write("a.mp4", b"two");
        let changed = forge(&faces, 0);
        assert_ne!(changed.1, first.1);
        // What depends on it changes with it.
        let mut extract = |need: StepId| {
            let action = Action::Extract { manifest: None, options: ExtractOptions::default() };
            let id = plan.add("extract".into(), action, vec![need], Size::default(), 1.0).unwrap();
            plan.steps[id].key.clone()
        };
        assert_ne!(extract(first.0), extract(changed.0));
        assert_eq!(extract(first.0), extract(first.0));
        let missing = Action::Forge { faces: Some("no such folder".into()), options: ForgeOptions::default() };
        assert!(plan.add("x".into(), missing, vec![], Size::default(), 1.0).is_err());
    }
}
