//! The demo: the study `studies/demo.toml` on a folder of real face videos or on simulated people, and a full report of its
//! detector.

use std::path::{Path, PathBuf};

use dubito_data::identities::holds_media;
use dubito_data::manifest::{self, Row};
use dubito_media::Tools;
use dubito_report::evaluate::Options;
use dubito_report::{Metrics, SetApart};
use serde_json::{Value, json};

use crate::StudyError;
use crate::output::is_apart;
use crate::progress::{OnProgress, Progress, Step};
use crate::provenance;
use crate::study::{self, Action, Doing, Plan, State, StepId, StudyConfig};

/// What the demo needs to be told.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Folder of real face videos; without one, people are simulated.
    pub faces: Option<PathBuf>,
    /// Folder of everything that is written.
    pub out: PathBuf,
    /// Seed of everything drawn at random.
    pub seed: u64,
}

/// What the demo leaves behind.
pub struct Demo {
    /// The numbers.
    pub metrics: Metrics,
    /// What the user should know about the input.
    pub warnings: Vec<String>,
}

/// The study, and the names in it that the demo goes by.
const STUDY: &str = include_str!("../../../studies/demo.toml");
const DATA: &str = "forged";
const EXPERIMENT: &str = "leave_one_out";
/// Distance of one frame from the next in real videos, which are long.
const EVERY: usize = 8;

/// Runs the demo: `out/report.html`, `metrics.json`, `predictions.parquet` and `manifest.parquet` of its detector, and the
/// report of all experiments in `out/study`. What an earlier, stopped run has finished is not done again.
///
/// # Errors
/// Those of its steps. A single video that can't be used is none: it is a row of the manifest.
pub fn demo(options: &DemoOptions, tools: &Tools, made_by: Value, on_progress: OnProgress) -> Result<Demo, StudyError> {
    let DemoOptions { faces, out, seed } = options;
    let config = config(options)?;
    let plan = study::plan(&config, false)?;
    // Of a folder that can't be read not one experiment is planned.
    if let Some((_, Err(why))) = plan.experiments.iter().find(|(name, _)| name == EXPERIMENT) {
        return Err(StudyError::Input {
            message: why.clone(),
            hint: "--faces names a folder of real face videos; without it people are simulated".into(),
        });
    }
    // What holds no video is said by the step that looks for them.
    if let Some(faces) = faces.as_deref().filter(|faces| holds_media(faces)) {
        is_apart(out, faces)?;
    }
    // Simulated people are the same everywhere: only what is built in is used.
    let embedded = Tools { ffmpeg: None, ..tools.clone() };
    let tools = if faces.is_some() { tools } else { &embedded };
    let doing = Doing { config: &config, out, tools, provenance: made_by.clone(), shard: None, on_progress };
    let outcome = doing.run(&plan)?;
    let (predictions, clips) = main_steps(&plan).ok_or_else(|| StudyError::Input {
        message: "studies/demo.toml has no predictions of a detector with generators left out".into(),
        hint: "this is a fault of the program: please report it".into(),
    })?;
    let folder = |id: StepId| out.join(&plan.steps[id].folder);
    if let Some(failed) = first_failure(&plan, predictions, out) {
        return Err(failed);
    }
    let store = folder(clips);
    let rows = manifest::read(&store.join("manifest.parquet"))?;
    let written = out.join("predictions.parquet");
    copy(&folder(predictions).join("predictions.parquet"), &written)?;
    manifest::write(&out.join("manifest.parquet"), &in_study(&rows, &plan.steps[clips].folder), &made_by.to_string())?;

    let step = Step { name: "report", number: 1, of: 1, before: 0.99, share: 0.01 };
    on_progress(&Progress { step, done: 0, total: 1, item: "metrics and figures".into() });
    let mut how = made_by.clone();
    how["study"] = json!(config);
    study::report(&config, &plan, out, &out.join("study"), made_by.clone())?;
    let mut left = not_in_the_demo();
    left.extend(outcome.failed.iter().map(|(title, why)| format!("Failed: {title}: {why}")));
    let title = "What this detector can be believed for";
    let metrics = crate::report::report(&[written], &rows, Some(&store), title, how, &left, out, &bootstrap(*seed))?;
    provenance::write(out, "demo", &made_by)?;
    on_progress(&Progress { step, done: 1, total: 1, item: "report.html".into() });
    Ok(Demo { metrics, warnings: study::warnings(&plan, out) })
}

/// The study's file, with the user's folder and seed.
fn config(options: &DemoOptions) -> Result<StudyConfig, StudyError> {
    let wrong = |message: String| StudyError::Input {
        message: format!("studies/demo.toml: {message}"),
        hint: "this is a fault of the program: please report it".into(),
    };
    let mut config = study::config::parse(STUDY, Path::new(""), &[]).map_err(|fault| wrong(fault.message))?;
    config.seed = options.seed;
    let data = config.data.get_mut(DATA).ok_or_else(|| wrong(format!("no [data.{DATA}]")))?;
    if let Some(faces) = &options.faces {
        data.simulate = None;
        data.faces = Some(faces.clone());
        data.forge.every = EVERY;
    }
    Ok(config)
}

/// The predictions of the detector that the full report is of, and the clips that they are of.
fn main_steps(plan: &Plan) -> Option<(StepId, StepId)> {
    let section = plan.experiments.iter().find_map(|(name, step)| step.as_ref().ok().filter(|_| name == EXPERIMENT))?;
    let is_predict = |id: &&StepId| matches!(plan.steps[**id].action, Action::Predict { .. });
    let predictions = *plan.steps[*section].needs.iter().find(is_predict)?;
    let [_, clips] = *plan.steps[predictions].needs.as_slice() else { return None };
    Some((predictions, clips))
}

/// What went wrong first, where a step is not done.
fn first_failure(plan: &Plan, step: StepId, out: &Path) -> Option<StudyError> {
    match study::state(plan, step, out) {
        State::Done(_) => None,
        state => {
            let earlier = plan.steps[step].needs.iter().find_map(|&need| first_failure(plan, need, out));
            earlier.or_else(|| {
                let (message, hint) = match state {
                    State::Failed(failed) => (failed.error, failed.hint),
                    _ => (format!("{:?} was not done", plan.steps[step].title), None),
                };
                Some(StudyError::Input { message, hint: hint.unwrap_or_else(|| "run the same command again".into()) })
            })
        }
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), StudyError> {
    let bytes = std::fs::read(from).map_err(StudyError::io(from))?;
    Ok(dubito_data::write_atomically(to, &bytes)?)
}

/// Rows of a manifest in a step's folder as seen from the study's.
fn in_study(rows: &[Row], folder: &Path) -> Vec<Row> {
    let within = |path: &String| match Path::new(path).is_absolute() {
        true => path.clone(),
        false => folder.join(path).to_string_lossy().into_owned(),
    };
    let each = rows.iter().map(|row| Row {
        path: within(&row.path),
        mask: row.mask.as_ref().map(within),
        clip: row.clip.as_ref().map(within),
        ..row.clone()
    });
    each.collect()
}

/// What a whole study has and the demo has not.
fn not_in_the_demo() -> Vec<String> {
    [
        "More than one detector: a small ResNet-18 stands for them all. What inference methods make of it is in study/report.html.",
        "People kept for calibration alone: thresholds, recalibration and guarantees are chosen on half of those tested \
         and judged on the others.",
        "Compressions other than one, other data sets, adversarial attacks, maps of uncertainty: `dubito study run \
         studies/forged.toml`.",
    ]
    .map(str::to_owned)
    .into()
}

fn bootstrap(seed: u64) -> Options {
    let set_apart = Some(SetApart { share: 0.5, seed });
    let mut options = Options { set_apart, ..Options::default() };
    if let Some(bootstrap) = &mut options.bootstrap {
        bootstrap.seed = seed;
    }
    options
}

/// A data step's progress as the study's.
pub fn data_progress<'a>(
    step: Step,
    on_progress: OnProgress<'a>,
) -> impl Fn(&dubito_data::extract::Progress) -> bool + Sync + 'a {
    move |p| on_progress(&Progress { step, done: p.done, total: p.total, item: p.item.clone() })
}

/// Paths below `root` as seen from there, so that the folder can be moved.
pub fn relative_to(rows: Vec<Row>, root: &Path) -> Vec<Row> {
    let absolute = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let relative = |path: String| {
        let path = std::path::absolute(&path).unwrap_or_else(|_| PathBuf::from(&path));
        path.strip_prefix(&absolute).unwrap_or(&path).to_string_lossy().into_owned()
    };
    rows.into_iter().map(|row| Row { path: relative(row.path), mask: row.mask.map(relative), ..row }).collect()
}
