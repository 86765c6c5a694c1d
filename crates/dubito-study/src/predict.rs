//! Posterior samples for every clip, each by a detector that never saw its people.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dubito_data::DataError;
use dubito_data::clip::Clip;
use dubito_data::manifest::{Label, Row, Status};
use dubito_report::evaluate::Missing;
use dubito_report::{PredictionWriter, predictions};
use dubito_stats::Task;
use serde::Serialize;
use serde_json::json;

use crate::anytime::{self, Samples, Settled};
use crate::crops::not_as_labelled;
use crate::inputs::inputs;
use crate::lesson::Known;
use crate::progress::{OnProgress, Progress, Step};
use crate::{Detector, StudyError};

/// How samples are drawn.
#[derive(Clone, Debug)]
pub struct PredictOptions {
    /// Posterior samples of each frame.
    pub samples: Samples,
    /// Seed of the samples: sample t is the same network for every clip.
    pub seed: u64,
    /// `cpu` or `gpu`.
    pub device: String,
    /// Whether samples are views of each image; without it those of an ONNX detector are all the same.
    pub views: bool,
    /// What the detector is called in the predictions; its architecture (or file) without it.
    pub name: Option<String>,
}

/// A detector and the fold that it predicts (`None`: everything).
#[derive(Clone, Debug)]
pub struct FoldRun {
    /// The folder of the run, or an ONNX file.
    pub dir: PathBuf,
    /// The fold that it was not trained on.
    pub fold: Option<String>,
}

/// What was predicted.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicted {
    /// The file of predictions.
    pub path: PathBuf,
    /// Videos of the manifest without a prediction; the file's provenance names them, with the reasons.
    pub missing: usize,
    /// Of [`Samples::Auto`], how the sampling of each video ended.
    pub settled: Vec<VideoSettled>,
    /// What a reader should know of the detector ([`Detector::note`]).
    pub note: Option<String>,
}

/// How the sampling of a video ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VideoSettled {
    /// The video.
    pub video: String,
    /// How it ended.
    #[serde(flatten)]
    pub end: Settled,
}

/// What a run's classes are to a file of predictions.
pub(crate) fn task_of(run: &Detector) -> Task {
    let names = run.class_names();
    if names == ["real", "fake"] { Task::binary() } else { Task::multiclass(&names) }
}

/// Opens every run. Errors: one that can't be read, or that has other classes than the first.
pub(crate) fn load_all(runs: &[FoldRun], views: bool) -> Result<Vec<Detector>, StudyError> {
    let loaded = runs.iter().map(|run| Detector::open(&run.dir, views)).collect::<Result<Vec<_>, _>>()?;
    if let Some(first) = loaded.first()
        && let Some(other) = loaded.iter().find(|run| run.taught() != first.taught())
    {
        return Err(StudyError::Input {
            message: format!(
                "{} and {} were taught different things: {} and {}",
                first.path().display(),
                other.path().display(),
                first.class_names().join(", "),
                other.class_names().join(", ")
            ),
            hint: "train all folds with one --task and one --leave-out, or predict with one run at a time".into(),
        });
    }
    Ok(loaded)
}

/// The generators of these rows by what the runs know of them, for the predictions' provenance. A name that is both (of
/// two data sets) counts as seen.
pub(crate) fn knowledge(run: &Detector, rows: &[&Row]) -> serde_json::Value {
    let of = |wanted: Known| -> BTreeSet<&str> {
        let fakes = rows.iter().filter(|row| row.label == Label::Fake && run.class_for(row).1 == wanted);
        fakes.map(|row| row.generator.as_str()).collect()
    };
    let seen = of(Known::Seen);
    let not_seen = |names: BTreeSet<&str>| names.difference(&seen).map(|name| (*name).to_owned()).collect::<Vec<_>>();
    json!({ "unseen": not_seen(of(Known::Unseen)), "set_aside": not_seen(of(Known::SetAside)) })
}

/// The runs in a folder that `train` wrote (one for each fold), or the folder itself where it is a
/// run.
///
/// # Errors
/// Neither of both.
pub fn find_runs(dir: &Path) -> Result<Vec<FoldRun>, StudyError> {
    if dir.join("config.json").is_file() {
        return Ok(vec![FoldRun { dir: dir.to_owned(), fold: None }]);
    }
    if dir.exists() && !dir.is_dir() {
        return Err(StudyError::Input {
            message: format!("{}: is no folder, expected that of a run", dir.display()),
            hint: "give --run the folder that `dubito train` wrote".into(),
        });
    }
    let mut runs = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(StudyError::io(dir))? {
        let entry = entry.map_err(StudyError::io(dir))?;
        if entry.path().join("config.json").is_file() {
            let fold = entry.file_name().to_string_lossy().into_owned();
            runs.push(FoldRun { dir: entry.path(), fold: Some(fold) });
        }
    }
    runs.sort_by(|a, b| a.dir.cmp(&b.dir));
    if runs.is_empty() {
        return Err(StudyError::Input {
            message: format!("{}: neither a run nor a folder of runs", dir.display()),
            hint: "give --run the folder that `dubito train` wrote".into(),
        });
    }
    Ok(runs)
}

/// Draws samples for the clips of `rows` (in `store`) and writes `predictions.parquet` in `out`, one
/// row for each frame and sample, with the probability of each class that the runs were taught. A fake of none of
/// these classes has the label `fake`. Where no class is `real`, only fakes of the classes are predicted. The file's
/// provenance names the generators that the runs never saw (`generators.unseen`) and the videos that have no
/// prediction, each with its reason (`missing`); of [`Samples::Auto`] how the sampling of each video ended (`samples`). What was drawn before for the same weights, clip, samples and seed
/// is kept in `out/samples` and not drawn again.
///
/// # Errors
/// A run or clip that can't be read, an `out` that can't be written to, no clip to predict.
#[allow(clippy::too_many_arguments)] // one call, each argument a different thing
pub fn predict(
    rows: &[Row],
    store: &Path,
    runs: &[FoldRun],
    out: &Path,
    options: &PredictOptions,
    provenance: &serde_json::Value,
    step: Step,
    on_progress: OnProgress,
) -> Result<Predicted, StudyError> {
    options.samples.check()?;
    let loaded = load_all(runs, options.views)?;
    let Some(task) = loaded.first().map(task_of) else {
        return Err(StudyError::Input {
            message: "no run to predict with".into(),
            hint: "give --run the folder that `dubito train` wrote".into(),
        });
    };
    let knows_real = task.classes.iter().any(|class| class == "real");
    let takes = |run: &Detector, fold: &Option<String>, row: &Row| {
        let is_there = row.status == Status::Ok && row.clip.is_some();
        let is_held_out = fold.as_ref().is_none_or(|f| *f == row.split);
        is_there && is_held_out && (knows_real || run.class_for(row).0.is_some())
    };
    let work: Vec<(&Detector, Vec<&Row>)> = loaded
        .iter()
        .zip(runs)
        .map(|(run, of)| (run, rows.iter().filter(|row| takes(run, &of.fold, row)).collect()))
        .collect();
    let total = work.iter().map(|(_, rows)| rows.len()).sum();
    if total == 0 {
        return Err(StudyError::Input {
            message: "no clip to predict: the folds of the runs are not those of the manifest".into(),
            hint: "give the manifest that the runs were trained on, or one run's own folder".into(),
        });
    }
    std::fs::create_dir_all(out).map_err(StudyError::io(out))?;
    let path = out.join("predictions.parquet");
    let mut provenance = provenance.clone();
    let all: Vec<&Row> = work.iter().flat_map(|(_, rows)| rows.iter().copied()).collect();
    provenance["generators"] = knowledge(&loaded[0], &all);
    if let Some(views) = loaded[0].views() {
        provenance["views"] = json!(views);
    }
    if let Some(fake) = loaded[0].fake_class() {
        provenance["fake_class"] = json!(fake);
    }
    let mut writer = PredictionWriter::create(&path, &task, &provenance)?;
    // What the manifest has no clip of is counted too.
    let gone = rows.iter().filter(|row| row.status != Status::Ok);
    let mut missing: Vec<Missing> =
        gone.map(|row| without_prediction(row, row.status.name(), row.reason.clone().unwrap_or_default())).collect();
    let mut settled = Vec::new();
    let (mut done, mut broken) = (0, Vec::new());
    for (run, rows) in work {
        let weights = run.hash()?;
        let posterior = run.posterior(&options.device)?;
        for row in rows {
            let name = row.clip.as_deref().unwrap_or_default();
            let Some(clip) = read_clip(row, store, &mut missing, &mut broken)? else {
                done += 1;
                continue;
            };
            check_clip(run, &clip)?;
            let found = inputs(&clip, run.signal(), &not_as_labelled(row))?;
            if found.is_empty() {
                let (status, reason) = found.reason(run.signal());
                missing.push(without_prediction(row, status, reason));
            }
            let text = format!("{weights} {name} {} {} {}", options.samples.key(), options.seed, found.len());
            let key = blake3::hash(text.as_bytes()).to_hex();
            let kept = out.join("samples").join(&key[..2]).join(format!("{}.f32", &key[..32]));
            let width = kept_classes(&task).len();
            let of_class = |drawn: Vec<f32>| -> Result<Vec<f32>, StudyError> {
                let rows = drawn.chunks_exact(posterior.classes());
                let values: Vec<f32> = rows.flat_map(|p| &p[kept_classes(&task)]).copied().collect();
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                dubito_data::write_atomically(&kept, &bytes)?;
                Ok(values)
            };
            let values = match (options.samples, found.is_empty()) {
                (Samples::Fixed(samples), _) => match read_samples(&kept, found.len() * samples as usize * width) {
                    Some(values) => values,
                    None => of_class(run.draw(posterior.as_ref(), &found, samples, options.seed)?)?,
                },
                (Samples::Auto(_), true) => Vec::new(),
                (Samples::Auto(auto), false) => {
                    let real = anytime::real_class(run)?;
                    let size = [found.len(), width];
                    let (values, end) = match read_whole(&kept, found.len() * width) {
                        Some(values) => {
                            let end = anytime::review(&values, size, real, auto, posterior.networks())?;
                            (values, end)
                        }
                        None => {
                            let (drawn, end) = anytime::draw(run, posterior.as_ref(), &found, auto, options.seed)?;
                            (of_class(drawn)?, end)
                        }
                    };
                    settled.push(VideoSettled { video: row.video.clone(), end });
                    values
                }
            };
            let frames = found.frames.iter().map(|&i| clip.frame_index[i]);
            let name = options.name.clone().unwrap_or_else(|| run.name());
            let samples = values.len() / (found.len() * width).max(1);
            write_clip(&mut writer, &task, row, frames, &values, samples, (run, &name))?;
            done += 1;
            if !on_progress(&Progress { step, done, total, item: row.video.clone() }) {
                return Err(StudyError::stopped());
            }
        }
    }
    some_are_whole(broken, total)?;
    writer.provenance()["missing"] = json!(missing);
    if let Samples::Auto(auto) = options.samples {
        writer.provenance()["samples"] = json!({ "rule": auto.rule(), "videos": settled });
    }
    writer.finish()?;
    Ok(Predicted { path, missing: missing.len(), settled, note: loaded[0].note() })
}

/// The clip of a row, or `None` where its own file is what is wrong: then the row is in `missing` and the error in `broken`, as
/// one clip never costs the others.
///
/// # Errors
/// The machine fails.
pub(crate) fn read_clip(
    row: &Row,
    store: &Path,
    missing: &mut Vec<Missing>,
    broken: &mut Vec<DataError>,
) -> Result<Option<Clip>, StudyError> {
    let error = match Clip::read(&store.join(row.clip.as_deref().unwrap_or_default())) {
        Ok(clip) => return Ok(Some(clip)),
        Err(error) => error,
    };
    let is_of_clip = match &error {
        DataError::Clip { .. } => true,
        DataError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    };
    if !is_of_clip {
        return Err(error.into());
    }
    missing.push(without_prediction(row, "unreadable", error.to_string()));
    broken.push(error);
    Ok(None)
}

/// Checks that not all of `total` clips are broken.
///
/// # Errors
/// That of the last clip.
pub(crate) fn some_are_whole(mut broken: Vec<DataError>, total: usize) -> Result<(), StudyError> {
    match broken.len() == total {
        true => broken.pop().map_or(Ok(()), |error| Err(error.into())),
        false => Ok(()),
    }
}

/// The entry of a video that has no prediction, for the report.
pub(crate) fn without_prediction(row: &Row, status: &str, reason: String) -> Missing {
    Missing {
        video: row.video.clone(),
        status: status.to_owned(),
        reason,
        generator: Some(row.generator.clone()),
        control: row.control.clone(),
        dataset: Some(row.dataset.clone()),
        fold: (!row.split.is_empty()).then(|| row.split.clone()),
    }
}

/// Checks that a clip was cut as the run was taught.
pub(crate) fn check_clip(run: &Detector, clip: &Clip) -> Result<(), StudyError> {
    let wrong = |what: String, hint: String| {
        let place = run.path().display();
        Err(StudyError::Input { message: format!("{}: {what} in {place}", clip.meta.video), hint })
    };
    let (size, margin) = (clip.meta.size, clip.meta.margin);
    if size != run.size() {
        let takes = run.size();
        return wrong(
            format!("a clip of {size} pixels, not {takes} as of the detector"),
            format!("extract again with --size {takes}"),
        );
    }
    match run.margin() {
        Some(takes) if (takes - margin).abs() > 1e-3 => wrong(
            format!("a clip with a margin of {margin} around the face, not {takes} as of the detector"),
            format!("extract again with --margin {takes}"),
        ),
        _ => Ok(()),
    }
}

pub(crate) fn read_samples(path: &Path, count: usize) -> Option<Vec<f32>> {
    read_whole(path, count).filter(|values| values.len() == count)
}

/// Numbers that were kept, one or more times so many.
fn read_whole(path: &Path, one: usize) -> Option<Vec<f32>> {
    let bytes = std::fs::read(path).ok()?;
    let is_whole = one > 0 && !bytes.is_empty() && bytes.len().is_multiple_of(one * 4);
    is_whole.then(|| bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

/// The classes whose probabilities are kept: of two, those of the second are the rest.
pub(crate) fn kept_classes(task: &Task) -> std::ops::Range<usize> {
    if task.positive == Some(1) { 1..2 } else { 0..task.classes.len() }
}

pub(crate) fn write_clip(
    writer: &mut PredictionWriter,
    task: &Task,
    row: &Row,
    frames: impl Iterator<Item = u64>,
    values: &[f32],
    samples: usize,
    (run, name): (&Detector, &str),
) -> Result<(), StudyError> {
    let width = kept_classes(task).len();
    let label = run.class_for(row).0.unwrap_or(predictions::OTHER_FAKE);
    for (frame, drawn) in frames.zip(values.chunks_exact((samples * width).max(1))) {
        for (sample, p) in drawn.chunks_exact(width).enumerate() {
            let probs = match *p {
                [p] => vec![1.0 - f64::from(p), f64::from(p)],
                _ => p.iter().map(|&p| f64::from(p)).collect(),
            };
            writer.push(&predictions::Row {
                item: item_name(&row.video, frame),
                label,
                probs,
                sample: sample as u64,
                frame: Some(frame),
                video: Some(row.video.clone()),
                generator: Some(row.generator.clone()),
                control: row.control.clone(),
                identity: Some(row.identity.clone()),
                donor: row.donor.clone(),
                detector: Some(name.to_owned()),
                dataset: Some(row.dataset.clone()),
                split: None,
                fold: (!row.split.is_empty()).then(|| row.split.clone()),
                skin_tone: row.skin_tone.clone(),
                gender: row.gender.clone(),
            })?;
        }
    }
    Ok(())
}

/// The name of a frame among the predictions.
pub fn item_name(video: &str, frame: u64) -> String {
    format!("{video}#{frame}")
}
