//! The demo: from a folder of real face videos to a report, each step kept and resumed.

use std::path::{Path, PathBuf};

use dubito_data::classes::ClassList;
use dubito_data::extract::{ExtractOptions, extract};
use dubito_data::follow::Sampling;
use dubito_data::forge::{ForgeOptions, forge};
use dubito_data::identities;
use dubito_data::manifest::{self, Row};
use dubito_face::FaceModels;
use dubito_media::Tools;
use dubito_report::evaluate::Options;
use dubito_report::{Metrics, SetApart};
use serde_json::{Value, json};

use crate::predict::{PredictOptions, predict};
use crate::progress::{OnProgress, Progress, Step};
use crate::simulate::{SimulateOptions, simulate};
use crate::train::{TrainOptions, train_rounds};
use crate::{Lesson, StudyError};

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

/// Generators that the detector never learns from: a swap and a mouth.
const LEFT_OUT: [&str; 2] = ["faceshifter", "neuraltextures"];
/// Frames of each video.
const FRAMES: usize = 12;
/// Side of the demo's crops in pixels.
const SIZE: u32 = 112;
/// Posterior samples of each frame.
const SAMPLES: u32 = 50;

const fn step(number: usize, name: &'static str, before: f64, share: f64) -> Step {
    Step { name, number, of: 5, before, share }
}
const SIMULATE: Step = step(0, "simulate", 0.0, 0.05);
const FORGE: Step = step(1, "forge", 0.0, 0.25);
const EXTRACT: Step = step(2, "extract", 0.25, 0.10);
const TRAIN: Step = step(3, "train", 0.35, 0.55);
const PREDICT: Step = step(4, "predict", 0.90, 0.08);
const REPORT: Step = step(5, "report", 0.98, 0.02);

/// Runs the demo. What an earlier, stopped run has finished is not done again.
///
/// # Errors
/// Those of its steps. A single video that can't be used is none: it is a row of the manifest.
pub fn demo(
    options: &DemoOptions,
    tools: &Tools,
    provenance: Value,
    on_progress: OnProgress,
) -> Result<Demo, StudyError> {
    let DemoOptions { faces, out, seed } = options;
    let models = FaceModels::cpu()?;
    // Simulated people are the same everywhere: only what is built in is used.
    let embedded = Tools { ffmpeg: None, ..tools.clone() };
    let (faces, tools) = match faces {
        Some(faces) => (faces.clone(), tools),
        None => {
            let people = out.join("people");
            simulate(&people, &simulated(*seed), &embedded, SIMULATE, on_progress)?;
            (people, &embedded)
        }
    };
    let folder = identities::index(&faces, tools)?;

    let forge_options = ForgeOptions {
        seed: *seed,
        frames: FRAMES,
        every: if options.faces.is_some() { 8 } else { 1 },
        donors: 1,
        controls: 2,
        ..ForgeOptions::default()
    };
    let forged = out.join("forged");
    let rows = forge(&folder, &forged, &forge_options, tools, &models, &data_progress(FORGE, on_progress))?;
    manifest::write(&forged.join("manifest.parquet"), &rows, &provenance.to_string())?;

    let extract_options = ExtractOptions {
        sampling: Sampling::Uniform { frames: forge_options.frames },
        min_frames: forge_options.min_frames,
        size: SIZE,
        ..ExtractOptions::default()
    };
    let store = out.join("clips");
    let progress = data_progress(EXTRACT, on_progress);
    let rows = extract(&rows, &forged, &store, &extract_options, tools, &models, &progress)?;
    let rows = relative_to(rows, out);
    manifest::write(&out.join("manifest.parquet"), &rows, &provenance.to_string())?;

    let train_options = TrainOptions::demo(*seed)?;
    let lesson = Lesson::of(&rows, &ClassList::default(), "multiclass", &LEFT_OUT.map(str::to_owned))?;
    let runs = train_rounds(&rows, &store, &out.join("runs"), &train_options, &lesson, None, TRAIN, on_progress)?;

    let predict_options =
        PredictOptions { samples: SAMPLES, seed: *seed, device: "cpu".into(), views: false, name: None };
    let predictions = predict(&rows, &store, &runs, out, &predict_options, &provenance, PREDICT, on_progress)?;

    on_progress(&Progress { step: REPORT, done: 0, total: 1, item: "metrics and figures".into() });
    let mut how = provenance;
    how["forge"] = json!(forge_options);
    how["extract"] = json!(extract_options);
    how["train"] = json!(train_options);
    how["samples"] = json!(SAMPLES);
    let title = "What this detector can be believed for";
    let options = bootstrap(*seed);
    let metrics =
        crate::report::report(&[predictions.path], &rows, Some(&store), title, how, &not_in_the_demo(), out, &options)?;
    on_progress(&Progress { step: REPORT, done: 1, total: 1, item: "report.html".into() });
    Ok(Demo { metrics, warnings: folder.warnings })
}

/// The demo's people: each shown in a few frames, two seconds long.
fn simulated(seed: u64) -> SimulateOptions {
    SimulateOptions {
        seed,
        subjects: 24,
        frames: FRAMES,
        frame_rate: 6.0,
        width: 480,
        height: 360,
        ..SimulateOptions::default()
    }
}

/// What a whole study has and the demo has not.
fn not_in_the_demo() -> Vec<String> {
    [
        "More than one detector: a small ResNet-18 stands for them all.",
        "More than one inference method: Monte Carlo dropout before the last layer.",
        "People kept for calibration alone: thresholds, recalibration and guarantees are chosen on half of those tested \
         and judged on the others.",
        "Compressions other than one, other data sets, adversarial attacks, maps of uncertainty.",
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
