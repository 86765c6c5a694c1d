//! Trained detectors made Bayesian: converted at once, fine-tuned, or joined into an ensemble.

use std::path::{Path, PathBuf};

use dubito_data::classes::ClassList;
use dubito_data::manifest::Row;
use dubito_data::split::{self, Round};
use dubito_nn::{
    Crops, Inference, OptimiserConfig, Run, RunConfig, ScheduleConfig, ScheduleName, TrainConfig, TrainedOn, convert,
    device, join, scale,
};

use crate::output::overwrites_nothing;
use crate::predict::FoldRun;
use crate::progress::{OnProgress, Progress, Step};
use crate::train::{TrainOptions, open_crops, train_rounds};
use crate::{Lesson, StudyError};

/// How runs are made Bayesian.
#[derive(Clone, Debug)]
pub struct ConvertOptions {
    /// The method.
    pub inference: Inference,
    /// Epochs of fine-tuning, for Gaussian weights and SWAG; none without it.
    pub epochs: Option<usize>,
    /// Seed of the fine-tuning.
    pub seed: u64,
    /// `cpu` or `gpu`.
    pub device: String,
}

/// The clips that runs were trained on.
#[derive(Clone, Copy, Debug)]
pub struct TrainedClips<'a> {
    /// The manifest, split into folds.
    pub rows: &'a [Row],
    /// The folder that its clips are in.
    pub store: &'a Path,
    /// The class list that names the runs' task.
    pub classes: &'a ClassList,
}

/// Settings that fine-tune a trained run to a posterior: what lies before the scope stays as it is, no dropout, and small
/// steps.
///
/// # Errors
/// The run's network has no such scope.
pub fn fine_tuning(config: &TrainConfig, inference: &Inference, run: &Run) -> Result<TrainConfig, StudyError> {
    let RunConfig { detector, network, preprocessing, class_names, trained_on, .. } = &run.config;
    let stages = detector.network(network)?;
    inference.check(&stages)?;
    let first = inference.scope().map_or(0, |scope| scope.sites(&stages).start);
    Ok(TrainConfig {
        detector: *detector,
        width: network.width,
        class_names: class_names.clone(),
        trained_on: trained_on.clone(),
        normalisation: Some(preprocessing.normalisation),
        signal: preprocessing.signal,
        weights: Some(run.dir.join("weights.safetensors")),
        freeze: first.checked_sub(1).map(|before| stages.stages[before].name.clone()),
        dropout: 0.0,
        optimiser: OptimiserConfig { learning_rate: config.optimiser.learning_rate / 3.0, ..config.optimiser.clone() },
        schedule: match inference {
            Inference::Swag(_) => ScheduleConfig { name: ScheduleName::Constant, ..config.schedule.clone() },
            _ => config.schedule.clone(),
        },
        inference: Some(inference.clone()),
        ..config.clone()
    })
}

/// Makes each run Bayesian in `out` (one run), or in `out/FOLD` (one for each fold, and whatever is fine-tuned).
///
/// `clips` are needed for what is fitted or fine-tuned: each run's own fold is left out again. Fine-tuning goes on where
/// it was stopped.
///
/// # Errors
/// Clips that are needed and not given, or are of another task than the run's; those of [`dubito_nn::convert`] and of
/// training.
pub fn convert_runs(
    runs: &[FoldRun],
    clips: Option<TrainedClips<'_>>,
    out: &Path,
    options: &ConvertOptions,
    step: Step,
    on_progress: OnProgress,
) -> Result<Vec<FoldRun>, StudyError> {
    let needed = |why: &str| StudyError::Input {
        message: format!("{why} needs the clips that the run was trained on"),
        hint: "give --manifest the manifest that it was trained with".into(),
    };
    let targets = targets(runs, out, options.epochs.is_some())?;
    let mut made = Vec::new();
    for (k, (FoldRun { dir, fold }, to)) in runs.iter().zip(targets).enumerate() {
        let run = Run::load(dir)?;
        let name = name_of(dir, fold);
        match (&options.inference, options.epochs) {
            (inference, Some(epochs)) if inference.scope().is_some() => {
                let clips = clips.ok_or_else(|| needed("fine-tuning"))?;
                let lesson = clips.lesson(&run)?;
                let base = TrainConfig { epochs, ..TrainOptions::demo(options.seed)?.config };
                let config = fine_tuning(&base, inference, &run)?;
                let options = TrainOptions { config, device: options.device.clone() };
                let only = Some(name.as_str());
                made.extend(train_rounds(
                    clips.rows,
                    clips.store,
                    out,
                    &options,
                    &lesson,
                    only,
                    None,
                    step,
                    on_progress,
                )?);
                continue;
            }
            (Inference::Laplace(_), None) => {
                let clips = clips.ok_or_else(|| needed("a Laplace approximation"))?;
                let crops = clips.of(&run, &name, |round| &round.train)?;
                convert(&run, &options.inference, Some(crops.as_ref()), &to, &device(&options.device)?)?;
            }
            (Inference::Swag(_), None) => {
                return Err(StudyError::Input {
                    message: "SWAG is a mean over epochs of training".into(),
                    hint: "give --manifest and --epochs, 20 or so".into(),
                });
            }
            (_, None) => drop(convert(&run, &options.inference, None, &to, &device(&options.device)?)?),
            (_, Some(_)) => {
                return Err(StudyError::Input {
                    message: format!("`{}` has nothing to fine-tune", options.inference.name()),
                    hint: "leave --epochs out".into(),
                });
            }
        }
        made.push(FoldRun { dir: to, fold: fold.clone() });
        if !on_progress(&Progress { step, done: k + 1, total: runs.len(), item: name }) {
            return Err(StudyError::stopped());
        }
    }
    Ok(made)
}

/// Joins folders of runs into ensembles: fold by fold in `out/FOLD`, or single runs in `out`.
///
/// # Errors
/// Folders of other folds; those of [`dubito_nn::join`].
pub fn join_runs(folders: &[Vec<FoldRun>], out: &Path, device_name: &str) -> Result<Vec<FoldRun>, StudyError> {
    let folds = |runs: &[FoldRun]| runs.iter().map(|run| run.fold.clone()).collect::<Vec<_>>();
    let first = folders.first().map(|runs| folds(runs)).unwrap_or_default();
    if let Some(other) = folders.iter().find(|runs| folds(runs) != first) {
        let names = |folds: Vec<Option<String>>| match folds.into_iter().flatten().collect::<Vec<_>>() {
            names if names.is_empty() => "a single run".to_owned(),
            names => names.join(", "),
        };
        return Err(StudyError::Input {
            message: format!("the folders hold different folds: {} and {}", names(first), names(folds(other))),
            hint: "train all members on one manifest, each with another --seed".into(),
        });
    }
    let mut dirs = Vec::new();
    for runs in folders {
        // The same for all, as all hold the same folds.
        dirs = targets(runs, out, false)?;
    }
    let mut made = Vec::new();
    for (k, (fold, dir)) in first.into_iter().zip(dirs).enumerate() {
        let members = folders.iter().map(|runs| Run::load(&runs[k].dir)).collect::<Result<Vec<_>, _>>()?;
        join(&members, &dir, &device(device_name)?)?;
        made.push(FoldRun { dir, fold });
    }
    Ok(made)
}

/// Gives each run the temperature that suits the clips it was validated on best, in `out` or in `out/FOLD`.
///
/// # Errors
/// Clips of another task than the run's; those of [`dubito_nn::scale`].
#[allow(clippy::too_many_arguments)] // one call, each argument a different thing
pub fn scale_runs(
    runs: &[FoldRun],
    clips: TrainedClips<'_>,
    out: &Path,
    samples: u32,
    seed: u64,
    device_name: &str,
    step: Step,
    on_progress: OnProgress,
) -> Result<Vec<FoldRun>, StudyError> {
    let targets = targets(runs, out, false)?;
    let mut made = Vec::new();
    for (k, (FoldRun { dir, fold }, to)) in runs.iter().zip(targets).enumerate() {
        let run = Run::load(dir)?;
        let name = name_of(dir, fold);
        let crops = clips.of(&run, &name, |round| &round.valid)?;
        scale(&run, crops.as_ref(), samples, seed, &to, &device(device_name)?)?;
        made.push(FoldRun { dir: to, fold: fold.clone() });
        if !on_progress(&Progress { step, done: k + 1, total: runs.len(), item: name }) {
            return Err(StudyError::stopped());
        }
    }
    Ok(made)
}

/// The folder that is made of each run: `out`, or of one of several runs and of one that is trained on its fold's folder in it.
///
/// # Errors
/// It is the folder of a run.
fn targets(runs: &[FoldRun], out: &Path, is_trained: bool) -> Result<Vec<PathBuf>, StudyError> {
    let target = |FoldRun { dir, fold }: &FoldRun| match fold {
        Some(fold) => out.join(fold),
        None if is_trained => out.join(name_of(dir, fold)),
        None => out.to_owned(),
    };
    let targets: Vec<PathBuf> = runs.iter().map(target).collect();
    let read: Vec<&Path> = runs.iter().map(|run| run.dir.as_path()).collect();
    overwrites_nothing(&targets, &read)?;
    Ok(targets)
}

/// The fold that a run was not trained on: of a run alone, the name of its folder.
fn name_of(dir: &Path, fold: &Option<String>) -> String {
    fold.clone().unwrap_or_else(|| dir.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

impl TrainedClips<'_> {
    /// What a run was taught, made out of these clips again.
    fn lesson(&self, run: &Run) -> Result<Lesson, StudyError> {
        let RunConfig { class_names, trained_on, .. } = &run.config;
        let other = |what: String| StudyError::Input {
            message: format!("{}: {what}", run.dir.display()),
            hint: "give --manifest the one that it was trained with, and --classes if there was one".into(),
        };
        if trained_on.task.is_empty() {
            return Err(other("the run does not say which task it was trained for".into()));
        }
        let lesson = Lesson::of(self.rows, self.classes, &trained_on.task, &trained_on.left_out)?;
        // The prior is of the training, not of the task.
        let taught = TrainedOn { class_prior: Vec::new(), ..trained_on.clone() };
        if lesson.class_names != *class_names || lesson.trained_on != taught {
            let [ours, its] = [&lesson.class_names, class_names].map(|names| names.join(", "));
            return Err(other(format!("of this manifest it would have been taught {ours}, and was taught {its}")));
        }
        Ok(lesson)
    }

    /// The crops of a part of the round that left out a fold.
    fn of(&self, run: &Run, fold: &str, part: fn(&Round) -> &Vec<usize>) -> Result<Box<dyn Crops>, StudyError> {
        let lesson = self.lesson(run)?;
        let rounds = split::rounds(self.rows)?;
        let Some(round) = rounds.iter().find(|round| round.fold == fold) else {
            let folds: Vec<&str> = rounds.iter().map(|r| r.fold.as_str()).collect();
            return Err(StudyError::Input {
                message: format!("{}: {fold:?} is no fold of the manifest ({})", run.dir.display(), folds.join(", ")),
                hint: "name the run's folder as `train` did, after the fold that it was not trained on".into(),
            });
        };
        let rows: Vec<&Row> = part(round).iter().map(|&i| &self.rows[i]).collect();
        let signal = run.config.preprocessing.signal;
        open_crops(&rows, &lesson, self.store, &crate::crops::people(self.rows), signal)
    }
}
