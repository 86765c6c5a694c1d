//! A whole study from one file: planned as steps that are known by what goes into them, done, resumed, reported.
//!
//! ```text
//! study.toml -> StudyConfig -> Plan (steps, each a folder) -> section.json of each experiment -> report.html
//! ```

mod check;
pub mod config;
mod estimate;
pub mod execute;
pub mod experiments;
mod plan;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dubito_report::section::Section;
use dubito_report::study::{StudyReport, write_study};
use serde_json::{Value, json};

pub use self::check::files as check_files;
pub use self::config::{StudyConfig, read};
pub use self::execute::{Doing, Done, Outcome, State, state};
pub use self::plan::plan;
pub use self::step::{Action, Plan, Role, Step, StepId};
use crate::StudyError;

/// So many warnings about the data are on the page; all are in the folders of the steps that read videos.
const MOST_WARNINGS: usize = 20;

/// What is planned, step by step.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Planned {
    /// What it does.
    pub title: String,
    /// `done`, `failed` or `open`.
    pub state: &'static str,
    /// Seconds that it took, or about how many it will take on this machine.
    pub seconds: f64,
    /// Its folder, as seen from the study's.
    pub folder: PathBuf,
    /// Why it failed.
    pub error: Option<String>,
}

/// The state of every step, and how long what is open should take: the built-in rates, corrected for each kind of step by
/// what those that are done have taken.
pub fn planned(plan: &Plan, out: &Path) -> Vec<Planned> {
    let states: Vec<State> = (0..plan.steps.len()).map(|id| state(plan, id, out)).collect();
    // Seconds taken and expected, by kind of step and over all.
    let mut taken: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
    for (step, state) in plan.steps.iter().zip(&states) {
        if let State::Done(done) = state {
            for kind in [step.action.name(), ""] {
                let sums = taken.entry(kind).or_default();
                sums[0] += done.seconds;
                sums[1] += done.expected;
            }
        }
    }
    let factor = |kind: &str| {
        let of = |kind: &str| taken.get(kind).filter(|sums| sums[1] > 0.0).map(|sums| sums[0] / sums[1]);
        of(kind).or_else(|| of("")).unwrap_or(1.0)
    };
    let each = plan.steps.iter().zip(states).map(|(step, state)| {
        let (state, seconds, error) = match state {
            State::Done(done) => ("done", done.seconds, None),
            State::Failed(failed) => ("failed", step.seconds * factor(step.action.name()), Some(failed.error)),
            State::Open => ("open", step.seconds * factor(step.action.name()), None),
        };
        Planned { title: step.title.clone(), state, seconds, folder: step.folder.clone(), error }
    });
    each.collect()
}

/// The warnings about folders of videos that were forged and manifests that were cut to clips, as their steps wrote them down,
/// each once.
pub fn warnings(plan: &Plan, out: &Path) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let reads = |step: &&Step| matches!(step.action, Action::Forge { .. } | Action::Extract { .. });
    for step in plan.steps.iter().filter(reads) {
        let found = std::fs::read(out.join(&step.folder).join(execute::WARNINGS)).ok();
        let found: Vec<String> = found.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        all.extend(found);
    }
    let mut seen = BTreeSet::new();
    all.retain(|warning| seen.insert(warning.clone()));
    all
}

/// Writes the report of what there is in a study's folder `out` into the folder `to`: the sections that are done; of each
/// experiment that is not, why.
///
/// # Errors
/// A folder that can't be written to.
pub fn report(
    config: &StudyConfig,
    plan: &Plan,
    out: &Path,
    to: &Path,
    provenance: Value,
) -> Result<Vec<Section>, StudyError> {
    let mut sections = Vec::new();
    let mut not_run = Vec::new();
    for (name, step) in &plan.experiments {
        let step = match step {
            Ok(step) => *step,
            Err(why) => {
                not_run.push((name.clone(), why.clone()));
                continue;
            }
        };
        let dir = out.join(&plan.steps[step].folder);
        let read = || {
            std::fs::read(dir.join("section.json"))
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Section>(&bytes).ok())
        };
        match state(plan, step, out) {
            State::Done(_) => match read() {
                Some(section) => sections.push((dir, section)),
                None => not_run.push((name.clone(), format!("{} can't be read", dir.join("section.json").display()))),
            },
            State::Failed(failed) => not_run.push((name.clone(), failed.error)),
            State::Open => not_run.push((name.clone(), "it has not been run yet".into())),
        }
    }
    let found: Vec<Section> = sections.iter().map(|(_, section)| section.clone()).collect();
    let planned = planned(plan, out);
    let done: Vec<&Planned> = planned.iter().filter(|step| step.state == "done").collect();
    let words = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>().join(", ");
    let mut facts = vec![
        (
            "Data".into(),
            config.data.iter().map(|(name, data)| data_in_words(name, data)).collect::<Vec<_>>().join("; "),
        ),
        ("Detectors".into(), words(config.detector.keys().collect())),
        ("Inference methods".into(), words(config.inference.keys().collect())),
        ("Posterior samples".into(), config.samples.to_string()),
        ("Seed".into(), config.seed.to_string()),
        ("Device".into(), config.device.clone()),
        ("Steps".into(), format!("{} of {} done", done.len(), planned.len())),
    ];
    let warnings = warnings(plan, out);
    if !warnings.is_empty() {
        let more = warnings.len().saturating_sub(MOST_WARNINGS);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let first = warnings.iter().take(MOST_WARNINGS).cloned().collect::<Vec<_>>().join("; ");
        facts.insert(1, ("Warnings about the data".into(), first + &more));
    }
    let failed: Vec<String> =
        planned.iter().filter_map(|step| Some(format!("Failed: {}: {}", step.title, step.error.as_deref()?))).collect();
    let report = StudyReport {
        title: config.title.clone(),
        subtitle: format!("{} experiments of {}", found.len(), plan.experiments.len()),
        facts,
        sections,
        not_run,
        provenance: json!({ "made_by": provenance, "study": config }),
        notes: failed,
    };
    write_study(to, &report)?;
    Ok(found)
}

fn data_in_words(name: &str, data: &config::DataConfig) -> String {
    match (&data.faces, &data.simulate, &data.manifest) {
        (Some(faces), ..) => {
            format!("{name}: forged from the videos of {}", faces.file_name().unwrap_or_default().to_string_lossy())
        }
        (_, Some(simulate), _) => format!("{name}: forged from {} simulated people", simulate.subjects),
        (.., Some(manifest)) => {
            format!("{name}: the videos of {}", manifest.file_name().unwrap_or_default().to_string_lossy())
        }
        _ => name.to_owned(),
    }
}

/// Removes the folders of steps that the plan does not have: results of earlier settings. Gives their names.
///
/// # Errors
/// A folder that can't be removed.
pub fn clean(plan: &Plan, out: &Path) -> Result<Vec<String>, StudyError> {
    let steps = out.join("steps");
    let mut removed = Vec::new();
    let Ok(entries) = std::fs::read_dir(&steps) else { return Ok(removed) };
    for entry in entries {
        let path = entry.map_err(StudyError::io(&steps))?.path();
        let known = plan.steps.iter().any(|step| out.join(&step.folder) == path);
        if path.is_dir() && !known {
            std::fs::remove_dir_all(&path).map_err(StudyError::io(&path))?;
            removed.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    removed.sort();
    Ok(removed)
}
