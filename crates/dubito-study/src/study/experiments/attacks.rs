//! Adversarial robustness: attacks on stochastic detectors, and whether their uncertainty gives the attack away.

use dubito_data::handwritten::nearest;
use dubito_data::manifest;
use dubito_nn::{Attack, AttackMethod, AttackObjective};
use dubito_report::section::Section;

use super::doubts::{named, plan_runs};
use super::{Answering, Kind};
use crate::StudyError;
use crate::attack::{AttackOptions, attack, section as robustness};
use crate::predict::find_runs;
use crate::study::config::ExperimentConfig;

pub(super) const KIND: Kind = Kind {
    name: "attacks",
    title: "Adversarial robustness",
    question: "How small a change of its pixels makes a video seem what it is not, and does the uncertainty give such a change away?",
    keys: &[
        "detectors",
        "inference",
        "seeds",
        "samples",
        "attacks",
        "epsilons",
        "steps",
        "frames",
        "task",
        "leave_out",
    ],
    plan: plan_runs,
    section,
    // Ten steps or so of four epsilons, forward and back.
    seconds: |_, experiment, size, needs| {
        let frames = experiment.frames.first().copied().unwrap_or(FRAMES) * size.videos;
        0.01 * (frames * 10 * experiment.epsilons.len().max(4) * experiment.attacks.len().max(2) * needs / 2) as f64
    },
};

/// Frames of each video.
const FRAMES: usize = 2;
/// JPEG quality of what is encoded again.
const QUALITY: u8 = 90;
/// What a nat of epistemic uncertainty costs an adaptive attack.
const WEIGHT: f32 = 10.0;
const ADAPTIVE: &str = "_adaptive";

/// An attack by its name: a method, or `METHOD_adaptive`.
fn by_name(name: &str) -> Result<(AttackMethod, AttackObjective), String> {
    let (method, objective) = match name.strip_suffix(ADAPTIVE) {
        Some(method) => (method, AttackObjective::Adaptive { weight: WEIGHT }),
        None => (name, AttackObjective::CrossEntropy),
    };
    let known: Vec<&str> = AttackMethod::ALL.iter().map(|m| m.name()).collect();
    let found = AttackMethod::ALL.into_iter().find(|m| m.name() == method);
    let found = found.ok_or_else(|| {
        format!(
            "no attack {name:?}: {}there are {}, each also as NAME_adaptive",
            nearest(method, &known),
            known.join(", ")
        )
    })?;
    Ok((found, objective))
}

/// Checks that all attacks that an experiment names can be made with its epsilons and steps.
///
/// # Errors
/// The first that can't, by its name.
pub(crate) fn check(experiment: &ExperimentConfig) -> Result<(), StudyError> {
    let names = match experiment.attacks.as_slice() {
        [] => vec!["pgd".to_owned()],
        names => names.to_vec(),
    };
    for name in names {
        let (method, objective) = by_name(&name).map_err(|message| StudyError::Input {
            message,
            hint: "docs/ATTACKS.md says what each attack is".into(),
        })?;
        for &epsilon in if experiment.epsilons.is_empty() { &[1.0] } else { experiment.epsilons.as_slice() } {
            let plain = Attack::new(method, epsilon);
            let steps = match (experiment.steps, method) {
                (None, _) | (_, AttackMethod::Fgsm) => plain.steps,
                (Some(steps), _) => u32::try_from(steps).unwrap_or(u32::MAX),
            };
            Attack { objective, steps, ..plain }.check()?;
        }
    }
    Ok(())
}

fn section(answering: &Answering<'_>) -> Result<Section, StudyError> {
    let about = answering.section(String::new());
    let experiment = answering.experiment;
    let names = match experiment.attacks.as_slice() {
        [] => vec!["fgsm".to_owned(), "pgd".to_owned()],
        names => names.to_vec(),
    };
    let epsilons = match experiment.epsilons.as_slice() {
        [] => vec![1.0, 2.0, 4.0, 8.0],
        epsilons => epsilons.to_vec(),
    };
    let mut folders = Vec::new();
    let mut skipped = Vec::new();
    for (role, dir) in answering.of("runs") {
        let Some(store) = answering.clips_of(role) else {
            skipped.push(format!("{}: its clips are not there", role.who()));
            continue;
        };
        let rows = manifest::read(&store.join("manifest.parquet"))?;
        let runs = find_runs(dir)?;
        for name in &names {
            let (method, objective) = match by_name(name) {
                Ok(found) => found,
                Err(why) => {
                    skipped.push(why);
                    continue;
                }
            };
            let plain = Attack::new(method, epsilons[0]);
            let steps = experiment
                .steps
                .map_or(plain.steps, |steps| if method == AttackMethod::Fgsm { 1 } else { steps as u32 });
            let options = AttackOptions {
                attack: Attack { objective, steps, seed: answering.study.1, ..plain },
                epsilons: epsilons.clone(),
                frames: experiment.frames.first().copied().unwrap_or(FRAMES),
                reencode: Some(QUALITY),
                samples: experiment.samples.first().copied().unwrap_or(answering.study.0),
                seed: answering.study.1,
                device: answering.device.to_owned(),
                views: false,
            };
            let title = format!("{}, {name}", role.who());
            let folder = answering.folder.join(title.replace([' ', ','], "-"));
            let how = serde_json::json!({ "attack": options });
            match attack(&rows, store, &runs, &folder, &options, &how, answering.step, answering.on_progress) {
                Ok(_) => folders.push((role.who(), folder)),
                Err(error) if super::super::execute::is_stop(&error) => return Err(error),
                Err(error) => skipped.push(format!("{title}: {error}")),
            }
        }
    }
    let mut section = match folders.is_empty() {
        true => Section::default(),
        false => robustness(&folders, &answering.bootstrap())?,
    };
    section.skipped.extend(skipped);
    Ok(named(section, about))
}
