//! A detector for each fold of people, trained on the others.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use dubito_data::manifest::Row;
use dubito_data::split::{self, Round};
use dubito_nn::{Crops, EpochRecord, Inference, NnError, Run, Signal, TrainConfig, Trunk};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::bayes::fine_tuning;
use crate::crops::{SignalCrops, Signals, StoreCrops};
use crate::output::overwrites_nothing;
use crate::predict::FoldRun;
use crate::progress::{OnProgress, Progress, Step};
use crate::{Lesson, StudyError, curves, events, recipe};

/// Parts that the training of a fold is counted in.
const PARTS: usize = 1000;

/// How detectors are trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainOptions {
    /// The network, its schedule and augmentation; the classes are those of the lesson.
    pub config: TrainConfig,
    /// `cpu` or `gpu`.
    pub device: String,
}

impl TrainOptions {
    /// Those of the recipe `demo`: a small ResNet-18.
    ///
    /// # Errors
    /// None, as long as the recipe is one.
    pub fn demo(seed: u64) -> Result<Self, StudyError> {
        Ok(Self { config: TrainConfig { seed, ..recipe::read("demo", &[])? }, device: "cpu".into() })
    }
}

/// Trains a detector for each round of cross-fitting (or for `only` that fold) in `out/FOLD`, on the
/// videos that the lesson teaches. A finished one whose data and settings are the same is kept; a stopped
/// one goes on. After each epoch the learning curves are written beside it. What a frozen trunk of given weights makes of the
/// crops is taken from the folder `trunk` ([`frozen_trunk`]); without one it is computed once for all folds and thrown away.
///
/// # Errors
/// Those of [`split::rounds`] and of training; weights or a store that lie where a fold or the trunk is written.
#[allow(clippy::too_many_arguments)] // one call, each argument a different thing
pub fn train_rounds(
    rows: &[Row],
    store: &Path,
    out: &Path,
    options: &TrainOptions,
    lesson: &Lesson,
    only: Option<&str>,
    trunk: Option<&Path>,
    step: Step,
    on_progress: OnProgress,
) -> Result<Vec<FoldRun>, StudyError> {
    let mut rounds = split::rounds(rows)?;
    if let Some(only) = only {
        let folds: Vec<String> = rounds.iter().map(|r| r.fold.clone()).collect();
        rounds.retain(|r| r.fold == only);
        if rounds.is_empty() {
            return Err(StudyError::Input {
                message: format!("no fold {only:?} in the manifest; there are {}", folds.join(", ")),
                hint: "give --fold one of them".into(),
            });
        }
    }
    let options = &TrainOptions {
        config: TrainConfig {
            class_names: lesson.class_names.clone(),
            trained_on: lesson.trained_on.clone(),
            ..options.config.clone()
        },
        device: options.device.clone(),
    };
    // The trunk of these trainings alone.
    let own = (trunk.is_none() && Trunk::is_shared(&options.config)).then(|| out.join("trunk"));
    let written: Vec<PathBuf> = rounds.iter().map(|round| out.join(&round.fold)).chain(own.clone()).collect();
    let read: Vec<&Path> = options.config.weights.as_deref().into_iter().chain([store]).collect();
    overwrites_nothing(&written, &read)?;
    let finished = rounds.iter().all(|round| out.join(&round.fold).join("config.json").is_file());
    let trunk = match (&own, trunk) {
        (Some(_), _) if finished => None,
        (Some(own), _) => {
            let half = Step { share: step.share / 2.0, ..step };
            frozen_trunk(rows, store, own, &options.config, &options.device, half, on_progress)?;
            Some(Trunk::open(own)?)
        }
        (None, Some(dir)) if Trunk::is_shared(&options.config) => Some(Trunk::open(dir)?),
        (None, _) => None,
    };
    let signal = options.config.signal();
    let signals = signal.map(|signal| Signals::find(&rows.iter().collect::<Vec<_>>(), store, signal)).transpose()?;
    let data = Data { rows, store, lesson, signals: signals.as_ref(), trunk: trunk.as_ref() };
    // The folds are independent, and small networks leave cores idle: they are trained side by side.
    let parts: Vec<AtomicUsize> = rounds.iter().map(|_| AtomicUsize::new(0)).collect();
    let total = rounds.len() * PARTS;
    let runs = rounds
        .par_iter()
        .enumerate()
        .map(|(k, round)| {
            let dir = out.join(&round.fold);
            train_round(&data, &dir, round, options, &mut |done, of, epoch| {
                parts[k].store(done * PARTS / of.max(1), Ordering::Relaxed);
                let done = parts.iter().map(|p| p.load(Ordering::Relaxed)).sum();
                on_progress(&Progress { step, done, total, item: format!("{}, epoch {epoch}", round.fold) })
            })?;
            parts[k].store(PARTS, Ordering::Relaxed);
            Ok(FoldRun { dir, fold: Some(round.fold.clone()) })
        })
        .collect::<Result<_, StudyError>>()?;
    if let Some(own) = own.filter(|own| own.is_dir()) {
        std::fs::remove_dir_all(&own).map_err(StudyError::io(&own))?;
    }
    Ok(runs)
}

/// What the frozen trunk of given weights makes of all clips of a manifest, whatever is learned from them, into the folder
/// `dir`: trainings on any part of them share it.
///
/// # Errors
/// The settings freeze nothing or give no weights; a clip can't be read.
pub(crate) fn frozen_trunk(
    rows: &[Row],
    store: &Path,
    dir: &Path,
    config: &TrainConfig,
    device: &str,
    step: Step,
    on_progress: OnProgress,
) -> Result<(), StudyError> {
    let crops = StoreCrops::all(rows, store)?;
    let device = dubito_nn::device(device)?;
    let told = &mut |done, total| {
        let item = "frozen stages".to_owned();
        match on_progress(&Progress { step, done, total, item }) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    };
    match Trunk::compute(config, &crops, dir, &device, told) {
        Err(NnError::Stopped { .. }) => Err(StudyError::stopped()),
        other => Ok(other?),
    }
}

/// What all folds learn from.
struct Data<'a> {
    rows: &'a [Row],
    store: &'a Path,
    lesson: &'a Lesson,
    signals: Option<&'a Signals>,
    trunk: Option<&'a Trunk>,
}

fn train_round(
    data: &Data<'_>,
    dir: &Path,
    round: &Round,
    options: &TrainOptions,
    told: &mut dyn FnMut(usize, usize, usize) -> bool,
) -> Result<(), StudyError> {
    let Data { rows, store, lesson, signals, trunk } = *data;
    let config = &options.config;
    let people = crate::crops::people(rows);
    let open = |part: &[usize]| -> Result<Box<dyn Crops>, StudyError> {
        let part: Vec<&Row> = part.iter().map(|&i| &rows[i]).collect();
        Ok(match signals {
            None => Box::new(StoreCrops::open(&part, lesson, store, &people)?),
            Some(signals) => Box::new(SignalCrops::of(signals, &part, lesson, store, &people)?),
        })
    };
    let (train, valid) = (open(&round.train)?, open(&round.valid)?);
    // What the run depends on: other data or settings are another run.
    let clips: Vec<_> = [&round.train, &round.valid]
        .into_iter()
        .flat_map(|part| part.iter().map(|&i| (&rows[i].clip, lesson.class_of(&rows[i]))))
        .collect();
    let options =
        TrainOptions { config: TrainConfig { recipe: String::new(), ..options.config.clone() }, ..options.clone() };
    let begun = options.config.weights.as_ref().and_then(|path| std::fs::read(path).ok());
    let begun = begun.map(|bytes| blake3::hash(&bytes).to_hex().to_string());
    let text = match begun {
        Some(begun) => serde_json::to_string(&(&options, clips, begun)),
        None => serde_json::to_string(&(&options, clips)),
    };
    let text = text.unwrap_or_default();
    let key = blake3::hash(text.as_bytes()).to_hex().to_string();
    let key_path = dir.join("inputs.blake3");
    if std::fs::read_to_string(&key_path).is_ok_and(|k| k != key) {
        std::fs::remove_dir_all(dir).map_err(StudyError::io(dir))?;
    }
    dubito_data::write_atomically(&key_path, key.as_bytes())?;
    let (device, crops) = (&options.device, [train.as_ref(), valid.as_ref()]);
    let fold = round.fold.as_str();
    match &config.inference {
        // Gaussian weights around trained ones (MOPED) begin with the training of those.
        Some(inference @ Inference::Variational(settings)) if config.weights.is_none() && settings.is_moped() => {
            let first = dir.join("trained");
            let plain = TrainConfig { inference: None, ..config.clone() };
            train_into(&plain, crops, trunk, fold, &first, device, &mut |done, of, epoch| told(done, 2 * of, epoch))?;
            let config = fine_tuning(config, inference, &Run::load(&first)?)?;
            let second = &mut |done, of, epoch| told(done + of, 2 * of, epoch);
            train_into(&config, crops, None, fold, dir, device, second)
        }
        _ => train_into(config, crops, trunk, fold, dir, device, told),
    }
}

/// The crops of clips, or the pictures of a signal in them.
pub(crate) fn open_crops(
    rows: &[&Row],
    lesson: &Lesson,
    store: &Path,
    people: &[&str],
    signal: Option<Signal>,
) -> Result<Box<dyn Crops>, StudyError> {
    Ok(match signal {
        None => Box::new(StoreCrops::open(rows, lesson, store, people)?),
        Some(signal) => Box::new(SignalCrops::open(rows, lesson, store, people, signal)?),
    })
}

fn train_into(
    config: &TrainConfig,
    [train, valid]: [&dyn Crops; 2],
    trunk: Option<&Trunk>,
    fold: &str,
    dir: &Path,
    device: &str,
    told: &mut dyn FnMut(usize, usize, usize) -> bool,
) -> Result<(), StudyError> {
    dubito_data::write_atomically(&dir.join("recipe.toml"), recipe::to_toml(config).as_bytes())?;
    let device = dubito_nn::device(device)?;
    let mut drawn = Ok(());
    let trained = dubito_nn::train(config, train, valid, trunk, dir, &device, &mut |p| {
        if p.saved {
            drawn = draw(dir, fold, config);
        }
        // The frozen stages' pass counts as an epoch: the one numbered 0.
        let done = p.epoch * p.steps + p.step;
        let go_on = told(done, (p.epochs + 1) * p.steps, p.epoch) && drawn.is_ok();
        if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    drawn?;
    match trained {
        Err(NnError::Stopped { .. }) => Err(StudyError::stopped()),
        // Which of the folds it was, and what is left of it.
        Err(error @ NnError::Diverged { epoch, .. }) => Err(StudyError::Input {
            message: format!("{}: {error}", dir.display()),
            hint: match epoch {
                1 => "no epoch was whole, so there is no checkpoint yet; other settings begin anew".into(),
                epoch => format!(
                    "{} is of epoch {}; the same command would end here again, other settings begin anew: give another \
                     folder by -o to keep this one",
                    dir.join("checkpoint.safetensors").display(),
                    epoch - 1
                ),
            },
        }),
        other => {
            other?;
            draw(dir, fold, config)
        }
    }
}

/// The learning curves, as a page and for TensorBoard, of the epochs that are written down.
fn draw(dir: &Path, fold: &str, config: &TrainConfig) -> Result<(), StudyError> {
    let path = dir.join("history.json");
    let text = std::fs::read(&path).map_err(StudyError::io(&path))?;
    let history: Vec<EpochRecord> = serde_json::from_slice(&text).map_err(|e| StudyError::Input {
        message: format!("{}: {e}", path.display()),
        hint: "training writes this file: train into another folder, or remove this one".into(),
    })?;
    curves::write(dir, fold, config, &history)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    events::update(&dir.join(events::FILE), &history, now)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use dubito_data::classes::ClassList;

    use super::*;

    #[test]
    fn no_fold_and_no_trunk_is_written_over_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("fold2/old")).unwrap();
        let rows = crate::lesson::tests::manifest(&["faceswap"]);
        let lesson = Lesson::of(&rows, &ClassList::default(), "binary", &[]).unwrap();
        let said = |store: &str, weights: &str, only: Option<&str>| {
            let mut options = TrainOptions::demo(1).unwrap();
            options.config.weights = Some(at(weights));
            options.config.freeze = Some("layer1".into());
            let step = Step::only("test");
            train_rounds(&rows, &at(store), folder.path(), &options, &lesson, only, None, step, &|_| true)
                .unwrap_err()
                .to_string()
        };
        for (store, weights) in
            [("fold2", "w"), ("fold2/old", "w"), ("trunk", "w"), ("clips", "fold2/old/w"), ("clips", "fold2")]
        {
            assert!(said(store, weights, None).contains("would be overwritten"), "{store} {weights}");
        }
        // Beside them, or in the folder of a fold that is not trained.
        for (store, only) in [("clips", None), ("", None), ("fold2", Some("fold1"))] {
            assert!(!said(store, "w", only).contains("would be overwritten"), "{store:?}");
        }
    }
}
