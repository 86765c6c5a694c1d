//! What a study's file says, checked before anything is planned: every number within its range, every list without doubles, every
//! file of weights one.

use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;
use std::path::Path;

use dubito_data::classes::ClassList;
use dubito_data::handwritten::nearest;
use dubito_nn::{TrainConfig, check_rate};

use super::config::{DataConfig, ExperimentConfig, InferenceConfig, SimulateConfig, StudyConfig};
use super::experiments::attacks;
use crate::simulate::SimulateOptions;
use crate::{StudyError, recipe};

/// So many of anything are more than a machine does in a year.
const MANY: usize = 100_000;

/// Checks that a value lies in a range; what is no number does not.
fn within<T: PartialOrd + Display>(key: &str, value: T, range: RangeInclusive<T>) -> Result<(), StudyError> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(StudyError::Input {
            message: format!("{key} is {value}, expected {} to {}", range.start(), range.end()),
            hint: "docs/STUDY.md says what each key is".into(),
        }),
    }
}

/// Checks that a list names nothing twice.
fn once<T: PartialEq + Debug>(key: &str, list: &[T]) -> Result<(), StudyError> {
    match (1..list.len()).find(|&k| list[..k].contains(&list[k])) {
        None => Ok(()),
        Some(k) => Err(StudyError::Input {
            message: format!("{key} has {:?} twice", list[k]),
            hint: "name each once: twice the same is one step".into(),
        }),
    }
}

/// Puts the key before an error of the library that the value is for.
fn at_key<E: Into<StudyError>>(key: &str) -> impl Fn(E) -> StudyError {
    let key = key.to_owned();
    move |error| {
        let error: StudyError = error.into();
        let hint = error.hint().unwrap_or_else(|| "docs/STUDY.md says what each key is".into());
        StudyError::Input { message: format!("{key}: {error}"), hint }
    }
}

/// Checks all numbers and lists of a study; its names and keys are known to be right.
///
/// # Errors
/// [`StudyError::Input`] that names the key, what it is, and what was expected.
pub(super) fn numbers(config: &StudyConfig) -> Result<(), StudyError> {
    within("`samples`", config.samples as usize, 1..=MANY)?;
    within("`replicates`", config.replicates, 1..=1_000_000)?;
    for (name, data) in &config.data {
        check_data(&format!("data.{name}"), data)?;
    }
    let mut trained = Vec::new();
    for (name, detector) in &config.detector {
        let read = recipe::read(&detector.recipe, &detector.changes());
        trained.push(read.map_err(at_key(&format!("detector.{name}")))?);
    }
    for (name, inference) in &config.inference {
        check_inference(&format!("inference.{name}"), inference, &trained)?;
    }
    for (name, experiment) in &config.experiment {
        check_experiment(&format!("experiment.{name}"), experiment, config)?;
    }
    Ok(())
}

fn check_data(key: &str, data: &DataConfig) -> Result<(), StudyError> {
    if let Some(SimulateConfig { subjects, frames, frame_rate, width, height, .. }) = data.simulate {
        let usual = SimulateOptions::default();
        let options = SimulateOptions { subjects, frames, frame_rate, width, height, ..usual };
        options.check().map_err(at_key(&format!("{key}.simulate")))?;
    }
    let forge = &data.forge;
    within(&format!("{key}.forge.frames"), forge.frames, 1..=MANY)?;
    within(&format!("{key}.forge.every"), forge.every, 1..=MANY)?;
    within(&format!("{key}.forge.donors"), forge.donors, 1..=MANY)?;
    within(&format!("{key}.forge.controls"), forge.controls, 0..=MANY)?;
    within(&format!("{key}.forge.crf"), forge.crf, 1..=51)?;
    within(&format!("{key}.forge.strength"), forge.strength.unwrap_or(0.0), 0.0..=1.0)?;
    once(&format!("{key}.forge.generators"), &forge.generators)?;
    for (view, clips) in &data.clips {
        within(&format!("{key}.clips.{view}.frames"), clips.frames, 1..=MANY)?;
    }
    Ok(())
}

/// `trained` are the detectors: what suits one of their networks is taken.
fn check_inference(key: &str, inference: &InferenceConfig, trained: &[TrainConfig]) -> Result<(), StudyError> {
    match inference {
        InferenceConfig::Deterministic => {}
        InferenceConfig::McDropout { rate, .. } => check_rate(rate.unwrap_or(0.0)).map_err(at_key(key))?,
        InferenceConfig::Variational { epochs, .. } => within(&format!("{key}.epochs"), *epochs, 0..=MANY)?,
        InferenceConfig::Laplace { .. } => {}
        InferenceConfig::Swag { epochs, .. } => within(&format!("{key}.epochs"), *epochs, 2..=MANY)?,
        InferenceConfig::Ensemble { members } => within(&format!("{key}.members"), *members, 2..=1000)?,
    }
    let wrong = |message: String| StudyError::Input {
        message: format!("{key}: {message}"),
        hint: "docs/INFERENCE.md explains the methods' settings".into(),
    };
    let Some(settings) = inference.inference().map_err(wrong)? else { return Ok(()) };
    let mut failed = None;
    for config in trained {
        let network = config.detector.network(&config.network());
        match network.and_then(|network| settings.check(&network)) {
            Ok(()) => return Ok(()),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(()), |error| Err(at_key(&format!("{key}.set"))(error)))
}

fn check_experiment(key: &str, experiment: &ExperimentConfig, config: &StudyConfig) -> Result<(), StudyError> {
    let at = |name: &str| format!("{key}.{name}");
    once(&at("detectors"), &experiment.detectors)?;
    once(&at("inference"), &experiment.inference)?;
    once(&at("tests"), &experiment.tests)?;
    once(&at("seeds"), &experiment.seeds)?;
    once(&at("samples"), &experiment.samples)?;
    once(&at("rates"), &experiment.rates)?;
    once(&at("boundaries"), &experiment.boundaries)?;
    once(&at("deltas"), &experiment.deltas)?;
    once(&at("attacks"), &experiment.attacks)?;
    once(&at("epsilons"), &experiment.epsilons)?;
    once(&at("frames"), &experiment.frames)?;
    once(&at("crf"), &experiment.crf)?;
    once(&at("strengths"), &experiment.strengths)?;
    once(&at("traces"), &experiment.traces)?;
    once(&at("shares"), &experiment.shares)?;
    for &samples in &experiment.samples {
        within(&at("samples"), samples as usize, 1..=MANY)?;
    }
    for &frames in &experiment.frames {
        within(&at("frames"), frames, 1..=MANY)?;
    }
    for &rate in &experiment.rates {
        check_rate(rate).map_err(at_key(&at("rates")))?;
    }
    for &delta in &experiment.deltas {
        within(&at("deltas"), delta, 1e-6..=100.0)?;
    }
    for &strength in &experiment.strengths {
        within(&at("strengths"), strength, 0.0..=1.0)?;
    }
    for &share in &experiment.shares {
        within(&at("shares"), share, 0.0..=1.0)?;
    }
    within(&at("videos"), experiment.videos.unwrap_or(1), 1..=MANY)?;
    attacks::check(experiment).map_err(at_key(key))?;
    if let Some(chosen) = experiment.chosen.as_ref().filter(|chosen| !config.inference.contains_key(*chosen)) {
        let known: Vec<&str> = config.inference.keys().map(String::as_str).collect();
        return Err(StudyError::Input {
            message: format!("{} is {chosen:?}, which is no [inference.NAME]", at("chosen")),
            hint: format!("{}there are {}", nearest(chosen, &known), known.join(", ")),
        });
    }
    // Each value must suit one of the detectors: others are left out with the reason, as in any ablation.
    for (name, values) in &experiment.recipe {
        once(&at(&format!("recipe.{name}")), values)?;
        // Whether a detector looks at signals at all, and at which, is asked when its step is planned.
        for value in values.iter().filter(|_| !name.starts_with("signal.")) {
            let mut failed = None;
            let chosen = config
                .detector
                .iter()
                .filter(|(detector, _)| experiment.detectors.is_empty() || experiment.detectors.contains(detector));
            let mut fits = false;
            for (_, detector) in chosen {
                let changes = [detector.changes(), vec![(name.clone(), Some(value.clone()))]].concat();
                match recipe::read(&detector.recipe, &changes) {
                    Ok(_) => fits = true,
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            if let Some(error) = failed.filter(|_| !fits) {
                return Err(at_key(&at(&format!("recipe.{name}")))(error));
            }
        }
    }
    Ok(())
}

/// Checks what a study begins with: folders of videos and manifests that are there, class lists, and that each detector's
/// weights are weights of its architecture.
///
/// # Errors
/// Names the key and the file.
pub fn files(config: &StudyConfig) -> Result<(), StudyError> {
    for (name, data) in &config.data {
        let missing = |key: &str, path: &Path, what: &str, hint: &str| {
            let message = format!("data.{name}.{key}: {} is no {what}", path.display());
            Err(StudyError::Input { message, hint: hint.to_owned() })
        };
        if let Some(faces) = data.faces.as_deref().filter(|faces| !faces.is_dir()) {
            let hint = "a path in the file begins at the file's folder; --faces FOLDER names another";
            return missing("faces", faces, "folder", hint);
        }
        if let Some(manifest) = data.manifest.as_deref().filter(|manifest| !manifest.is_file()) {
            let hint = "a path in the file begins at the file's folder; `dubito data index` writes a manifest";
            return missing("manifest", manifest, "file", hint);
        }
        if let Some(classes) = &data.classes {
            ClassList::read(classes).map_err(at_key(&format!("data.{name}.classes")))?;
        }
    }
    for (name, detector) in &config.detector {
        let trained = recipe::read(&detector.recipe, &detector.changes())?;
        recipe::check_weights(&trained).map_err(at_key(&format!("detector.{name}.weights")))?;
    }
    Ok(())
}
