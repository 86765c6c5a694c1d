//! Doing the steps of a plan: what is done stays done, what fails is written down, the rest goes on.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dubito_data::classes::ClassList;
use dubito_data::extract::extract;
use dubito_data::finding::Finding;
use dubito_data::forge::forge;
use dubito_data::identities::{self, SAME_FRAMES};
use dubito_data::manifest::{self, Label, Row};
use dubito_data::shard::Shard;
use dubito_data::verify;
use dubito_face::FaceModels;
use dubito_media::Tools;
use dubito_nn::Run;
use dubito_stats::label_noise::flip_labels;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::config::StudyConfig;
use super::experiments::{Answering, KINDS};
use super::step::{Action, Plan, Role, StepId};
use crate::bayes::{ConvertOptions, TrainedClips, convert_runs, join_runs};
use crate::demo::{data_progress, relative_to};
use crate::predict::{FoldRun, PredictOptions, find_runs, predict};
use crate::progress::{OnProgress, Progress, Step as Bar};
use crate::provenance::complete;
use crate::simulate::simulate;
use crate::train::{TrainOptions, frozen_trunk, train_rounds};
use crate::{Lesson, StudyError};

/// The warnings about the videos that a step reads: a list of sentences in its folder.
pub(crate) const WARNINGS: &str = "warnings.json";
/// How often a step is tried.
const TRIES: u32 = 2;
/// How long another shard may be silent before it counts as gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is written into the folder of a finished step: `step.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// What was done, in words.
    pub title: String,
    /// What the result is known by.
    pub key: String,
    /// Seconds that it took.
    pub seconds: f64,
    /// About how many it was expected to take.
    pub expected: f64,
    /// What was done, in every detail.
    pub action: Value,
    /// Folders of the steps that it needed.
    pub needs: Vec<PathBuf>,
    /// Those of them that a section had to do without.
    #[serde(default)]
    pub without: Vec<PathBuf>,
    /// How it was made, down to the command line and the machine.
    pub provenance: Value,
}

/// What is written into the folder of a step that failed: `failed.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// What was to be done, in words.
    pub title: String,
    /// What went wrong.
    pub error: String,
    /// What may help.
    pub hint: Option<String>,
    /// How often it was tried.
    pub tries: u32,
}

/// What is known of a step's result.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// It is there.
    Done(Box<Done>),
    /// It failed.
    Failed(Box<Failed>),
    /// It has not been done, or was stopped.
    Open,
}

/// The end of a run of a study.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Steps done now.
    pub done: usize,
    /// Steps that were done already.
    pub kept: usize,
    /// Titles of the steps that failed, and why.
    pub failed: Vec<(String, StudyError)>,
}

/// What steps are done with.
pub struct Doing<'a> {
    /// The study.
    pub config: &'a StudyConfig,
    /// Its folder.
    pub out: &'a Path,
    /// Programs that decode and encode.
    pub tools: &'a Tools,
    /// Program, version, commit, seed and decoder: in every result.
    pub provenance: Value,
    /// The part of the steps to do, where several processes share them.
    pub shard: Option<Shard>,
    /// What is told of progress.
    pub on_progress: OnProgress<'a>,
}

/// What is known of a step.
pub fn state(plan: &Plan, step: StepId, out: &Path) -> State {
    let step = &plan.steps[step];
    let dir = out.join(&step.folder);
    let read = |name: &str| std::fs::read(dir.join(name)).ok();
    match read("step.json").and_then(|bytes| serde_json::from_slice::<Done>(&bytes).ok()) {
        Some(done) if done.key == step.key => return State::Done(Box::new(done)),
        _ => {}
    }
    match read("failed.json").and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        Some(failed) => State::Failed(Box::new(failed)),
        None => State::Open,
    }
}

impl Doing<'_> {
    /// Does every step that is not done, in order; with a shard, those of its part, as soon as what they need is there.
    ///
    /// # Errors
    /// The folder can't be written to, another process works in it, or the progress function said to stop. A step that
    /// fails is no error: it is in the outcome.
    pub fn run(&self, plan: &Plan) -> Result<Outcome, StudyError> {
        std::fs::create_dir_all(self.out).map_err(StudyError::io(self.out))?;
        let _lock = self.lock()?;
        let turns = plan.turns();
        let mut outcome = Outcome::default();
        // Those that failed in this run, so that they are not tried a third time.
        let mut failed = vec![false; plan.steps.len()];
        let mut open: Vec<StepId> = Vec::new();
        for (id, &turn) in turns.iter().enumerate() {
            if self.is_done(plan, id) {
                outcome.kept += 1;
            } else if self.is_mine(turn) {
                open.push(id);
            }
        }
        let all: f64 = open.iter().map(|&id| plan.steps[id].seconds).sum::<f64>().max(1e-9);
        let (mut passed, count) = (0.0, open.len());
        let mut silent = Instant::now();
        while !open.is_empty() {
            let ready = open.iter().position(|&id| {
                let needs = &plan.steps[id].needs;
                needs.iter().all(|&need| self.is_done(plan, need) || self.has_failed(plan, need, &failed, &turns))
            });
            let Some(at) = ready else {
                self.wait(plan, &open, &turns, &mut silent)?;
                continue;
            };
            silent = Instant::now();
            let id = open.remove(at);
            let step = &plan.steps[id];
            let share = step.seconds / all;
            let name = step.action.name();
            let bar = Bar { name, number: count - open.len(), of: count, before: passed / all, share };
            passed += step.seconds;
            let tell = |done: usize| {
                let progress = Progress { step: bar, done, total: 1, item: step.title.clone() };
                if (self.on_progress)(&progress) { Ok(()) } else { Err(StudyError::stopped()) }
            };
            tell(0)?;
            match self.attempt(plan, id, bar) {
                Ok(()) => outcome.done += 1,
                Err(error) if is_stop(&error) => return Err(error),
                Err(error) => {
                    failed[id] = true;
                    outcome.failed.push((step.title.clone(), error));
                }
            }
        }
        Ok(outcome)
    }

    /// Does one step, at most [`TRIES`] times, and writes down what became of it.
    fn attempt(&self, plan: &Plan, id: StepId, bar: Bar) -> Result<(), StudyError> {
        let step = &plan.steps[id];
        let dir = self.out.join(&step.folder);
        let absent: Vec<StepId> = step.needs.iter().copied().filter(|&need| !self.is_done(plan, need)).collect();
        let nothing = absent.len() == step.needs.len() && !step.needs.is_empty();
        if (!step.is_section() && !absent.is_empty()) || nothing {
            let missing = &plan.steps[absent[0]].title;
            let error = StudyError::Input {
                message: format!("it needs {missing:?}, which failed"),
                hint: "mend that one; the same command goes on".into(),
            };
            self.write_failure(&dir, &step.title, &error, 0)?;
            return Err(error);
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let begun = Instant::now();
            std::fs::create_dir_all(&dir).map_err(StudyError::io(&dir))?;
            dubito_data::remove_unfinished(&dir, |_| true);
            let caught = catch_unwind(AssertUnwindSafe(|| self.perform(plan, id, &dir, bar)));
            let crashed = caught.is_err();
            let result = caught.unwrap_or_else(|panic| {
                let said = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
                Err(StudyError::Input {
                    message: format!("the step crashed: {}", said.unwrap_or("no message")),
                    hint: "this is a fault of the program: please report it with failed.json".into(),
                })
            });
            match result {
                Ok(()) => {
                    let folder = |&id: &StepId| plan.steps[id].folder.clone();
                    let done = Done {
                        title: step.title.clone(),
                        key: step.key.clone(),
                        seconds: begun.elapsed().as_secs_f64(),
                        expected: step.seconds,
                        action: json!(step.action),
                        needs: step.needs.iter().map(folder).collect(),
                        without: absent.iter().map(folder).collect(),
                        provenance: complete(&self.provenance),
                    };
                    write_json(&dir.join("step.json"), &done)?;
                    let _ = std::fs::remove_file(dir.join("failed.json"));
                    return Ok(());
                }
                Err(error) if is_stop(&error) => return Err(error),
                Err(error) => {
                    self.write_failure(&dir, &step.title, &error, tries)?;
                    // What can't be used can't be used a second time either.
                    if tries >= TRIES || error.exit_code() == 3 && !crashed {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn write_failure(&self, dir: &Path, title: &str, error: &StudyError, tries: u32) -> Result<(), StudyError> {
        let failed = Failed { title: title.to_owned(), error: error.to_string(), hint: error.hint(), tries };
        write_json(&dir.join("failed.json"), &failed)
    }

    fn perform(&self, plan: &Plan, id: StepId, dir: &Path, bar: Bar) -> Result<(), StudyError> {
        let step = &plan.steps[id];
        let need = |k: usize| self.out.join(&plan.steps[step.needs[k]].folder);
        let progress = self.on_progress;
        let how = || {
            let mut how = self.provenance.clone();
            how["step"] = json!({ "title": step.title, "key": step.key, "action": step.action });
            how
        };
        match &step.action {
            Action::Simulate { options } => simulate(dir, options, &self.embedded(), bar, progress),
            Action::Forge { faces, options } => {
                let (faces, tools) = match faces {
                    Some(faces) => (faces.clone(), self.tools.clone()),
                    // Simulated people are the same everywhere: only what is built in is used.
                    None => (need(0), self.embedded()),
                };
                let folder = identities::index(&faces, Some(&dir.join(SAME_FRAMES)), &tools)?;
                write_json(&dir.join(WARNINGS), &folder.warnings)?;
                let rows = forge(&folder, dir, options, &tools, &FaceModels::cpu()?, &data_progress(bar, progress))?;
                Ok(manifest::write(&dir.join("manifest.parquet"), &rows, &how().to_string())?)
            }
            Action::Extract { manifest: given, options } => {
                let path = given.clone().unwrap_or_else(|| need(0).join("manifest.parquet"));
                let (rows, root, noticed) = verify::open(&path)?;
                write_json(&dir.join(WARNINGS), &noticed.iter().map(Finding::line).collect::<Vec<_>>())?;
                let told = data_progress(bar, progress);
                let rows = extract(&rows, &root, dir, options, self.tools, &FaceModels::cpu()?, &told)?;
                let rows = relative_to(rows, dir);
                Ok(manifest::write(&dir.join("manifest.parquet"), &rows, &how().to_string())?)
            }
            Action::Trunk { config } => {
                frozen_trunk(&clips_in(&need(0))?, &need(0), dir, config, &self.config.device, bar, progress)
            }
            Action::Train { config, task, leave_out, turned, .. } => {
                let mut rows = clips_in(&need(0))?;
                turn_labels(&mut rows, *turned, config.seed)?;
                let classes = self.classes_of(plan, step.needs[0], id)?;
                let lesson = Lesson::of(&rows, &classes, task, leave_out)?;
                let options = TrainOptions { config: (**config).clone(), device: self.config.device.clone() };
                let trunk = (step.needs.len() > 1).then(|| need(1));
                let trunk = trunk.as_deref();
                train_rounds(&rows, &need(0), dir, &options, &lesson, None, trunk, bar, progress).map(drop)
            }
            Action::Dropout { rate, boundary } => {
                for FoldRun { dir: from, fold } in find_runs(&need(0))? {
                    let mut run = Run::load(&from)?;
                    run.config.dropout = rate.unwrap_or(run.config.dropout);
                    run.config.boundary = boundary.unwrap_or(run.config.boundary);
                    let to = fold.as_ref().map_or(dir.to_owned(), |fold| dir.join(fold));
                    std::fs::create_dir_all(&to).map_err(StudyError::io(&to))?;
                    for name in ["weights.safetensors", "model_card.md"] {
                        let (from, to) = (from.join(name), to.join(name));
                        std::fs::copy(&from, &to).map_err(StudyError::io(&from))?;
                    }
                    write_json(&to.join("config.json"), &run.config)?;
                    Run::load(&to)?;
                }
                Ok(())
            }
            Action::Convert { inference, epochs, seed } => {
                let rows = clips_in(&need(1))?;
                let classes = self.classes_of(plan, step.needs[1], step.needs[0])?;
                let clips = TrainedClips { rows: &rows, store: &need(1), classes: &classes };
                let options = ConvertOptions {
                    inference: inference.clone(),
                    epochs: (*epochs > 0).then_some(*epochs),
                    seed: *seed,
                    device: self.config.device.clone(),
                };
                convert_runs(&find_runs(&need(0))?, Some(clips), dir, &options, bar, progress).map(drop)
            }
            Action::Join => {
                let members = (0..step.needs.len()).map(|k| find_runs(&need(k))).collect::<Result<Vec<_>, _>>()?;
                join_runs(&members, dir, &self.config.device).map(drop)
            }
            Action::Predict { detector, samples, seed, others } => {
                let runs = find_runs(&need(0))?;
                let mut rows = clips_in(&need(1))?;
                if *others {
                    share_out(&mut rows, &runs);
                }
                let options = PredictOptions {
                    samples: (*samples).into(),
                    seed: *seed,
                    device: self.config.device.clone(),
                    views: false,
                    name: Some(detector.clone()),
                };
                predict(&rows, &need(1), &runs, dir, &options, &how(), bar, progress).map(drop)
            }
            Action::Section { experiment, kind, config, study, roles, absent } => {
                let kind = KINDS.iter().find(|k| k.name == *kind).ok_or_else(|| StudyError::Input {
                    message: format!("no experiment {kind:?}"),
                    hint: "the kinds are listed in docs/STUDY.md".into(),
                })?;
                let mut answering = Answering {
                    kind,
                    name: experiment,
                    experiment: config,
                    found: Vec::new(),
                    absent: absent.clone(),
                    folder: dir,
                    root: self.out,
                    study: *study,
                    device: &self.config.device,
                    tools: self.tools,
                    step: bar,
                    on_progress: progress,
                };
                for (role, &need) in roles.iter().zip(&step.needs) {
                    let role: Role = role.clone();
                    match state(plan, need, self.out) {
                        State::Done(_) => answering.found.push((role, self.out.join(&plan.steps[need].folder))),
                        State::Failed(failed) => answering.absent.push((role, failed.error)),
                        State::Open => answering.absent.push((role, "it was not done".into())),
                    }
                }
                let section = (kind.section)(&answering)?;
                write_json(&dir.join("section.json"), &section)
            }
        }
    }

    fn embedded(&self) -> Tools {
        Tools { ffmpeg: None, ..self.tools.clone() }
    }

    /// The class list of the data set that clips are of, for the training `trained` on them.
    fn classes_of(&self, plan: &Plan, clips: StepId, trained: StepId) -> Result<ClassList, StudyError> {
        if matches!(plan.steps[trained].action, Action::Train { self_blends: true, .. }) {
            // These are forged here, and go by the program's list.
            return Ok(ClassList::default().without_resemblance());
        }
        let Action::Extract { manifest, .. } = &plan.steps[clips].action else { return Ok(ClassList::default()) };
        let data = self.config.data.values().find(|data| data.manifest.is_some() && data.manifest == *manifest);
        let list = data.and_then(|data| data.classes.as_deref());
        Ok(list.map_or_else(|| Ok(ClassList::default()), ClassList::read)?)
    }

    fn is_done(&self, plan: &Plan, id: StepId) -> bool {
        match state(plan, id, self.out) {
            // A section that had to do without something is done again when that is there.
            State::Done(done) => done.without.iter().all(|folder| !self.out.join(folder).join("step.json").is_file()),
            _ => false,
        }
    }

    /// Whether a step failed for good: in this run, or in that of another shard.
    fn has_failed(&self, plan: &Plan, id: StepId, failed: &[bool], turns: &[usize]) -> bool {
        if self.is_mine(turns[id]) {
            return failed[id];
        }
        matches!(state(plan, id, self.out), State::Failed(_))
    }

    /// Whether a step of this turn is this process's.
    fn is_mine(&self, turn: usize) -> bool {
        self.shard.is_none_or(|shard| turn as u32 % shard.of() == shard.number() - 1)
    }

    /// One process for each part of a study's folder.
    fn lock(&self) -> Result<File, StudyError> {
        let path = self.out.join(lock_name(self.shard));
        let file = File::create(&path).map_err(StudyError::io(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StudyError::Input {
                message: format!("{}: another process runs this study", self.out.display()),
                hint: "wait for it, or let several share the steps: --shard 1/2 and --shard 2/2".into(),
            }),
            Err(TryLockError::Error(error)) => Err(StudyError::Io { path, source: error }),
        }
    }

    /// Waits for other shards; an error where one that is needed is not running.
    fn wait(&self, plan: &Plan, open: &[StepId], turns: &[usize], silent: &mut Instant) -> Result<(), StudyError> {
        let needed = open
            .iter()
            .flat_map(|&id| &plan.steps[id].needs)
            .find(|&&need| !self.is_mine(turns[need]) && !self.is_done(plan, need));
        let (Some(shard), Some(&needed)) = (self.shard, needed) else {
            return Err(StudyError::Input {
                message: "no step can be done next".into(),
                hint: "this is a fault of the program: please report it".into(),
            });
        };
        let other = turns[needed] as u32 % shard.of() + 1;
        let path = self.out.join(format!("run-{other}-of-{}.lock", shard.of()));
        let runs = File::open(&path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
        if runs {
            *silent = Instant::now();
        } else if silent.elapsed() > PATIENCE {
            return Err(StudyError::Input {
                message: format!(
                    "{:?} is a step of shard {other}/{}, which is not running",
                    plan.steps[needed].title,
                    shard.of()
                ),
                hint: format!("run it too: --shard {other}/{}; this command then goes on", shard.of()),
            });
        }
        std::thread::sleep(Duration::from_millis(500));
        Ok(())
    }
}

fn lock_name(shard: Option<Shard>) -> String {
    match shard {
        None => "run.lock".into(),
        Some(shard) => format!("run-{}-of-{}.lock", shard.number(), shard.of()),
    }
}

/// Whether the user (or the disk) stopped the study, so that nothing else should be tried.
pub(crate) fn is_stop(error: &StudyError) -> bool {
    use std::io::ErrorKind;
    let is_full = |source: &std::io::Error| matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    error.is_stopped() || error.system().is_some_and(|(_, source)| is_full(source))
}

fn clips_in(dir: &Path) -> Result<Vec<Row>, StudyError> {
    Ok(manifest::read(&dir.join("manifest.parquet"))?)
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), StudyError> {
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    Ok(dubito_data::write_atomically(path, &text)?)
}

/// Gives people that no run was trained on to the runs in turn, by a hash of their names.
fn share_out(rows: &mut [Row], runs: &[FoldRun]) {
    let folds: Vec<&String> = runs.iter().filter_map(|run| run.fold.as_ref()).collect();
    for row in rows.iter_mut().filter(|_| !folds.is_empty()) {
        // Whoever shares a video is one group.
        let group = row.cell.as_deref().unwrap_or(&row.identity);
        let hash = blake3::hash(group.as_bytes());
        let number = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        row.split = folds[number as usize % folds.len()].clone();
    }
}

/// Turns the labels of a share of the videos that have clips, exactly that share of the real and of the fake ones
/// ([`flip_labels`]): fake becomes real, real becomes fake by a generator that is drawn by the seed and the video's name.
///
/// # Errors
/// A share that is none, a video that is there twice.
fn turn_labels(rows: &mut [Row], share: f32, seed: u64) -> Result<(), StudyError> {
    let generators: BTreeSet<String> =
        rows.iter().filter(|r| r.label == Label::Fake).map(|r| r.generator.clone()).collect();
    let generators: Vec<String> = generators.into_iter().collect();
    if share == 0.0 || generators.is_empty() {
        return Ok(());
    }
    let with_clips: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].clip.is_some()).collect();
    let names: Vec<&str> = with_clips.iter().map(|&i| rows[i].video.as_str()).collect();
    let fake: Vec<bool> = with_clips.iter().map(|&i| rows[i].label == Label::Fake).collect();
    let turned = flip_labels(&names, &fake, share.into(), seed).map_err(|error| StudyError::Input {
        message: format!("labels can't be turned: {error}"),
        hint: "`shares` are numbers from 0 to 1; a manifest names each video once".into(),
    })?;
    for ((i, was_fake), is_fake) in with_clips.into_iter().zip(fake).zip(turned) {
        let row = &mut rows[i];
        match (was_fake, is_fake) {
            (true, false) => (row.label, row.generator) = (Label::Real, "real".into()),
            (false, true) => {
                let hash = blake3::hash(format!("turned {seed} {}", row.video).as_bytes());
                let drawn = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                row.generator = generators[drawn as usize % generators.len()].clone();
                (row.label, row.control) = (Label::Fake, None);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_share_of_each_class_is_turned() {
        let mut rows = crate::lesson::tests::manifest(&["faceswap", "wav2lip"]);
        rows[0].clip = None;
        let before = rows.clone();
        turn_labels(&mut rows, 0.25, 7).unwrap();
        let turned = |label: Label| {
            before.iter().zip(&rows).filter(|(was, is)| was.label == label && was.label != is.label).count()
        };
        // Of 17 real videos with clips (null controls are real) and 12 fakes.
        assert_eq!((turned(Label::Real), turned(Label::Fake)), (4, 3));
        for row in &rows {
            assert_eq!(row.label == Label::Real, row.generator == "real", "{}", row.video);
            assert!(row.label == Label::Real || row.control.is_none(), "{}", row.video);
        }
        let mut again = before.clone();
        turn_labels(&mut again, 0.25, 7).unwrap();
        assert_eq!(again, rows);
        let mut none = before.clone();
        turn_labels(&mut none, 0.0, 7).unwrap();
        assert_eq!(none, before);
        assert!(turn_labels(&mut again, 1.5, 7).unwrap_err().to_string().contains("can't be turned"));
    }
}
