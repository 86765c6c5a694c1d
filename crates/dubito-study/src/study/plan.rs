//! From a study's file to its steps: every experiment asks for what it needs, and what two of them need is done once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dubito_data::classes::ClassList;
use dubito_data::forge::{DATASET, Generator, Traces};
use dubito_data::manifest::{self, Label, Row};
use dubito_nn::{TrainConfig, Trunk};

use super::config::{
    CROPS, ClipsConfig, DataConfig, ExperimentConfig, ForgeConfig, InferenceConfig, LeaveOut, StudyConfig,
};
use super::estimate::{self, Size};
use super::step::{Action, Plan, Role, StepId};
use crate::StudyError;
use crate::recipe::{self, Change};
use crate::simulate::SimulateOptions;

/// What an experiment wants to have predicted.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// The data set that detectors are trained on.
    pub(crate) data: String,
    /// The one that they are tested on.
    pub(crate) test: String,
    pub(crate) detector: String,
    /// The inference method's name, and what it is.
    pub(crate) inference: (String, InferenceConfig),
    pub(crate) task: String,
    pub(crate) leave_out: Vec<String>,
    pub(crate) seed: u64,
    pub(crate) samples: u32,
    /// Share of labels that are turned before training.
    pub(crate) turned: f32,
    /// Whether self-blended faces stay in training, though they resemble whatever is left out.
    pub(crate) self_blends: bool,
    /// What is changed in the detector's recipe.
    pub(crate) recipe: Vec<Change>,
    /// The clips that it looks at: the detector's, or a view of [`Planner::of_frames`].
    pub(crate) view: String,
    /// What is changed, in words, for tables.
    pub(crate) setting: String,
}

/// Steps that an experiment is answered with, and what each is to it.
pub(crate) type Found = Vec<(Role, StepId)>;

/// Makes a plan.
pub(crate) struct Planner<'a> {
    pub(crate) config: &'a StudyConfig,
    pub(crate) plan: Plan,
    classes: BTreeMap<String, ClassList>,
    manifests: BTreeMap<PathBuf, Vec<Row>>,
    /// Data sets that experiments make out of those of the file.
    derived: BTreeMap<String, DataConfig>,
    /// Views that experiments make out of those of the file, by data set and name.
    views: BTreeMap<(String, String), ClipsConfig>,
    /// What the experiment in hand asked for and can't have, and why.
    absent: Vec<(Role, String)>,
}

/// The steps of a study. An experiment that cannot be planned is in it with the reason; so is one that needs what this
/// build or machine has not, unless `everything` is planned.
///
/// # Errors
/// What concerns all experiments: data or recipes that can't be read.
pub fn plan(config: &StudyConfig, everything: bool) -> Result<Plan, StudyError> {
    let mut planner = Planner {
        config,
        plan: Plan::default(),
        classes: BTreeMap::new(),
        manifests: BTreeMap::new(),
        derived: BTreeMap::new(),
        views: BTreeMap::new(),
        absent: Vec::new(),
    };
    for (name, data) in &config.data {
        let list = data.classes.as_deref().map_or_else(|| Ok(ClassList::default()), ClassList::read)?;
        planner.classes.insert(name.clone(), list);
    }
    let mut experiments = Vec::new();
    for (name, experiment) in &config.experiment {
        experiments.push((experiment.kind_of(name)?, name, experiment));
    }
    // In the order of the kinds, and by name among those of one kind.
    experiments
        .sort_by_key(|(kind, name, _)| (super::experiments::KINDS.iter().position(|k| k.name == kind.name), *name));
    for (kind, name, experiment) in experiments {
        let gpu_missing = experiment.needs.as_deref() == Some("gpu") && config.device != "gpu";
        let found = if gpu_missing && !everything {
            Err("it is declared to need a GPU, and the study's device is the CPU (device = \"gpu\" runs it)".to_owned())
        } else {
            planner.experiment(kind, name, experiment).map_err(|error| error.to_string())
        };
        planner.plan.experiments.push((name.clone(), found));
    }
    Ok(planner.plan)
}

impl Planner<'_> {
    fn experiment(
        &mut self,
        kind: &'static super::experiments::Kind,
        name: &str,
        experiment: &ExperimentConfig,
    ) -> Result<StepId, StudyError> {
        self.absent.clear();
        let found = (kind.plan)(self, experiment)?;
        let (roles, needs): (Vec<Role>, Vec<StepId>) = found.into_iter().unzip();
        let absent = std::mem::take(&mut self.absent);
        if needs.is_empty() {
            let why = absent.first().map_or("it asks for nothing that there is", |(_, why)| why);
            return Err(StudyError::Input {
                message: why.to_owned(),
                hint: "docs/STUDY.md says what each kind needs".into(),
            });
        }
        let size = needs.iter().map(|&need| self.plan.steps[need].size).max_by_key(|s| s.videos).unwrap_or_default();
        let seconds = (kind.seconds)(self, experiment, size, needs.len());
        let action = Action::Section {
            experiment: name.to_owned(),
            kind: kind.name,
            config: Box::new(experiment.clone()),
            study: (self.config.samples, self.config.seed, self.config.replicates),
            roles,
            absent,
        };
        self.plan.add(format!("experiment {name}"), action, needs, size, seconds)
    }

    /// The data set of an experiment.
    pub(crate) fn data_of(&self, experiment: &ExperimentConfig) -> String {
        let only = self.config.data.keys().next().cloned().unwrap_or_default();
        experiment.data.clone().unwrap_or(only)
    }

    /// The detectors of an experiment: those that it names, or all.
    pub(crate) fn detectors_of(&self, experiment: &ExperimentConfig) -> Vec<String> {
        match experiment.detectors.as_slice() {
            [] => self.config.detector.keys().cloned().collect(),
            named => named.to_vec(),
        }
    }

    /// The inference methods of an experiment: those that it names, or `default`.
    pub(crate) fn inference_of(
        &self,
        experiment: &ExperimentConfig,
        default: &[&str],
    ) -> Vec<(String, InferenceConfig)> {
        let names = match experiment.inference.as_slice() {
            [] => default
                .iter()
                .map(|name| (*name).to_owned())
                .filter(|n| self.config.inference.contains_key(n))
                .collect(),
            named => named.to_vec(),
        };
        names.into_iter().filter_map(|name| Some((name.clone(), self.config.inference.get(&name)?.clone()))).collect()
    }

    /// The seeds of an experiment.
    pub(crate) fn seeds_of(experiment: &ExperimentConfig) -> Vec<u64> {
        match experiment.seeds.as_slice() {
            [] => vec![0],
            seeds => seeds.to_vec(),
        }
    }

    /// The settings of the detector that is asked for, with the study's seed and its own.
    ///
    /// # Errors
    /// A change to its recipe that it does not take.
    fn train_config(&self, ask: &Ask) -> Result<TrainConfig, StudyError> {
        let detector = &self.config.detector[&ask.detector];
        let changes = [detector.changes(), ask.recipe.clone()].concat();
        if let Some(name) = ask.recipe.iter().find_map(|(key, _)| key.strip_prefix("signal.")) {
            let signal = recipe::read(&detector.recipe, &detector.changes())?.signal();
            let has = |signal| serde_json::to_value(signal).is_ok_and(|settings| settings.get(name).is_some());
            let why = match signal {
                None => Some("it looks at crops, not at signals: its recipe has no [signal]".to_owned()),
                Some(signal) if !has(signal) => Some(format!("a signal of the kind {} has no `{name}`", signal.kind())),
                Some(_) => None,
            };
            if let Some(message) = why {
                return Err(StudyError::Input { message, hint: "name the `detectors` of the ablation".into() });
            }
        }
        let config = recipe::read(&detector.recipe, &changes)?;
        Ok(TrainConfig { seed: self.config.seed + ask.seed, ..config })
    }

    fn data(&self, name: &str) -> &DataConfig {
        self.derived.get(name).unwrap_or_else(|| &self.config.data[name])
    }

    /// A data set like this one, forged otherwise; `how` in words.
    ///
    /// # Errors
    /// Its videos are forged already.
    fn forged_otherwise(
        &mut self,
        name: &str,
        how: &str,
        change: impl FnOnce(&mut ForgeConfig),
    ) -> Result<String, StudyError> {
        let mut data = self.data(name).clone();
        if data.manifest.is_some() {
            return Err(StudyError::Input {
                message: format!("data.{name} is forged already, so it can't be forged {how}"),
                hint: "give it `faces` or `simulate` in place of `manifest`".into(),
            });
        }
        change(&mut data.forge);
        let derived = format!("{name} {how}");
        self.derived.insert(derived.clone(), data);
        Ok(derived)
    }

    /// A data set like this one, forged at another strength: the whole fake, or one trace of it.
    ///
    /// # Errors
    /// Its videos are forged already; a strength or a trace that is none.
    pub(crate) fn of_strength(&mut self, name: &str, trace: Option<&str>, strength: f32) -> Result<String, StudyError> {
        if !(0.0..=1.0).contains(&strength) {
            return Err(StudyError::Input {
                message: format!("strength {strength} is not between 0 and 1"),
                hint: "0 is hardest to see, 1 easiest".into(),
            });
        }
        let mut traces = Traces::default();
        if let Some(trace) = trace {
            traces = self.data(name).forge.traces.with(trace, strength).ok_or_else(|| StudyError::Input {
                message: format!("no trace {trace:?} of the forge"),
                hint: format!("`traces` are some of {}", Traces::NAMES.join(", ")),
            })?;
        }
        let how = format!("at {} {strength}", trace.unwrap_or("strength"));
        self.forged_otherwise(name, &how, |forge| match trace {
            None => forge.strength = Some(strength),
            Some(_) => forge.traces = traces,
        })
    }

    /// A data set like this one, its videos encoded with another quantiser.
    ///
    /// # Errors
    /// Its videos are forged already.
    pub(crate) fn of_crf(&mut self, name: &str, crf: u8) -> Result<String, StudyError> {
        self.forged_otherwise(name, &format!("at crf {crf}"), |forge| (forge.crf, forge.raw) = (crf, false))
    }

    /// A data set like this one, with self-blended faces among its fakes.
    ///
    /// # Errors
    /// Its videos are forged already.
    pub(crate) fn with_self_blends(&mut self, name: &str) -> Result<String, StudyError> {
        self.forged_otherwise(name, "with self-blends", |forge| {
            if !forge.generators.contains(&Generator::SelfBlended) {
                forge.generators.push(Generator::SelfBlended);
            }
        })
    }

    /// A view like the one that is asked for, with another number of frames of each video.
    ///
    /// # Errors
    /// The detector looks at runs of frames, whose length its recipe says; the videos are shorter.
    pub(crate) fn of_frames(&mut self, ask: &Ask, frames: usize) -> Result<String, StudyError> {
        let bad = |message: String, hint: &str| Err(StudyError::Input { message, hint: hint.into() });
        let data = self.data(&ask.data);
        let clips = data.clips.get(&ask.view).cloned().unwrap_or_default();
        if let Some(signal) = self.train_config(ask)?.signal() {
            let window = signal.window();
            return bad(
                format!("it looks at runs of {window} consecutive frames, not at {frames} of a video"),
                "change the window by `recipe` instead (signal.omega or signal.frames)",
            );
        }
        if clips.sampling.starts_with("windows") {
            return bad(
                format!(
                    "clips.{} are cut by `sampling = {:?}`, which says the number of frames",
                    ask.view, clips.sampling
                ),
                "name a detector whose clips are cut by `uniform` or `every:STEP`",
            );
        }
        let simulated = data.simulate.as_ref().map(|people| people.frames.div_ceil(data.forge.every));
        let most = simulated.unwrap_or(usize::MAX).min(data.forge.frames);
        if data.manifest.is_none() && most < frames {
            return bad(
                format!("the forged videos have {most} frames, fewer than {frames}"),
                "raise the `frames` of the data set's `forge` (and of the simulated people)",
            );
        }
        let view = format!("{} of {frames} frames", ask.view);
        self.views.insert((ask.data.clone(), view.clone()), ClipsConfig { frames, ..clips });
        Ok(view)
    }

    /// Whether two data sets show the same people in the same folds: made of the same videos.
    pub(crate) fn same_people(&self, one: &str, other: &str) -> bool {
        let of = |name: &str| {
            let DataConfig { faces, simulate, manifest, .. } = self.data(name);
            (faces.clone(), simulate.clone(), manifest.clone())
        };
        one == other || of(one) == of(other)
    }

    fn manifest(&mut self, path: &Path) -> Result<&[Row], StudyError> {
        if !self.manifests.contains_key(path) {
            self.manifests.insert(path.to_owned(), manifest::read(path)?);
        }
        Ok(&self.manifests[path])
    }

    /// The step that leaves the videos of a data set, unless they are there already.
    fn videos(&mut self, name: &str) -> Result<Option<StepId>, StudyError> {
        let DataConfig { faces, simulate, manifest, forge, .. } = self.data(name).clone();
        if manifest.is_some() {
            return Ok(None);
        }
        let (people, needs) = match (&faces, &simulate) {
            (Some(faces), _) => (dubito_data::identities::count(faces)?, Vec::new()),
            (None, simulate) => {
                let s = simulate.clone().unwrap_or_default();
                let options = SimulateOptions {
                    seed: self.config.seed + s.seed,
                    subjects: s.subjects,
                    frames: s.frames,
                    frame_rate: s.frame_rate,
                    width: s.width,
                    height: s.height,
                    quantiser: if s.raw { None } else { SimulateOptions::default().quantiser },
                };
                let size = Size { videos: s.subjects, frames: s.frames, ..Size::default() };
                let action = Action::Simulate { options };
                let title = format!("simulate {} people", s.subjects);
                (s.subjects, vec![self.plan.add(title, action, vec![], size, size.inputs() * estimate::SIMULATE)?])
            }
        };
        let each = 1 + forge.controls.min(forge.generators.len()) + forge.generators.len() * forge.donors;
        let folds = (people / 5).clamp(3, 5);
        let size = Size { videos: people * each, frames: forge.frames, folds, ..Size::default() };
        let options = forge.options(self.config.seed);
        let seconds = size.inputs() * estimate::FORGE;
        self.plan.add(format!("forge {name}"), Action::Forge { faces, options }, needs, size, seconds).map(Some)
    }

    /// The step that leaves clips of a data set.
    pub(crate) fn clips(&mut self, name: &str, view: &str) -> Result<StepId, StudyError> {
        let data = self.data(name).clone();
        let clips = match self.views.get(&(name.to_owned(), view.to_owned())).or(data.clips.get(view)) {
            Some(clips) => clips.clone(),
            None if view == CROPS => ClipsConfig::default(),
            None => {
                return Err(StudyError::Input {
                    message: format!("no [data.{name}.clips.{view}] in this file"),
                    hint: "a detector's `clips` names one of the ways in which its data set is cut".into(),
                });
            }
        };
        let options =
            clips.options().map_err(|message| StudyError::Input { message, hint: "see docs/STUDY.md".into() })?;
        let videos = self.videos(name)?;
        let size = match (&videos, &data.manifest) {
            (Some(videos), _) => self.plan.steps[*videos].size,
            (None, Some(path)) => {
                let rows = self.manifest(path)?;
                let folds =
                    rows.iter().map(|r| r.split.as_str()).filter(|s| !s.is_empty()).collect::<BTreeSet<_>>().len();
                Size { videos: rows.len(), folds, frames: clips.frames, side: 0 }
            }
            (None, None) => Size::default(),
        };
        let frames = match options.sampling {
            dubito_data::follow::Sampling::Windows { windows, length } => windows * length,
            _ => clips.frames,
        };
        let frames = if videos.is_some() { frames.min(size.frames) } else { frames };
        let size = Size { frames, side: clips.size, ..size };
        let action = Action::Extract { manifest: data.manifest.clone(), options };
        let needs = videos.into_iter().collect();
        self.plan.add(format!("extract {name} {view}"), action, needs, size, size.inputs() * estimate::EXTRACT)
    }

    /// The step that leaves what a frozen trunk makes of clips, where it is the same for all that is trained behind it.
    fn trunk(&mut self, ask: &Ask, clips: StepId, config: &TrainConfig) -> Result<Option<StepId>, StudyError> {
        if !Trunk::is_shared(config) {
            return Ok(None);
        }
        let size = self.plan.steps[clips].size;
        // What comes behind the trunk changes nothing in it.
        let of = TrainConfig {
            detector: config.detector,
            width: config.width,
            weights: config.weights.clone(),
            freeze: config.freeze.clone(),
            augment: config.augment.clone(),
            augment_copies: config.augment_copies,
            normalisation: config.normalisation,
            seed: config.seed,
            dropout: 0.0,
            ..TrainConfig::default()
        };
        let title = format!("frozen stages of {} on {}, seed {}", ask.detector, ask.data, config.seed);
        let seconds = estimate::trunk(config, size);
        let action = Action::Trunk { config: Box::new(of) };
        self.plan.add(title, action, vec![clips], size, seconds).map(Some)
    }

    /// The step that leaves the runs that an experiment asks for, and the clips that they were trained on.
    pub(crate) fn runs(&mut self, ask: &Ask) -> Result<(StepId, StepId), StudyError> {
        let clips = self.clips(&ask.data, &ask.view)?;
        let trained = |planner: &mut Self, seed: u64| {
            let config = planner.train_config(&Ask { seed, ..ask.clone() })?;
            let size = planner.plan.steps[clips].size;
            let seconds = estimate::train(&config, size);
            let mut title = format!("train {} on {}, {}", ask.detector, ask.data, ask.task);
            if !ask.leave_out.is_empty() {
                title += &format!(", without {}", ask.leave_out.join(" and "));
            }
            if ask.turned > 0.0 {
                title += &format!(", {} of the labels turned", ask.turned);
            }
            for (key, value) in &ask.recipe {
                title += &format!(", {key} = {}", value.as_ref().map(ToString::to_string).unwrap_or_default());
            }
            if planner.views.contains_key(&(ask.data.clone(), ask.view.clone())) {
                title += &format!(", {}", ask.view);
            }
            title += &format!(", seed {seed}");
            let needs = [Some(clips), planner.trunk(ask, clips, &config)?].into_iter().flatten().collect();
            let action = Action::Train {
                config: Box::new(config),
                task: ask.task.clone(),
                leave_out: ask.leave_out.clone(),
                turned: ask.turned,
                self_blends: ask.self_blends,
            };
            planner.plan.add(title, action, needs, size, seconds)
        };
        let size = self.plan.steps[clips].size;
        let title = |of: &Self, first: StepId| format!("{} of {}", ask.inference.0, of.plan.steps[first].title);
        let runs = match &ask.inference.1 {
            InferenceConfig::Ensemble { members } => {
                let members =
                    (0..*members as u64).map(|k| trained(self, ask.seed + k)).collect::<Result<Vec<StepId>, _>>()?;
                let title = title(self, members[0]);
                self.plan.add(title, Action::Join, members, size, 2.0)?
            }
            method => {
                let first = trained(self, ask.seed)?;
                let title = title(self, first);
                match (method, method.inference().ok().flatten()) {
                    (InferenceConfig::Deterministic, _) => {
                        let action = Action::Dropout { rate: Some(0.0), boundary: None };
                        self.plan.add(title, action, vec![first], size, 1.0)?
                    }
                    (InferenceConfig::McDropout { rate: None, boundary: None }, _) => first,
                    (InferenceConfig::McDropout { rate, boundary }, _) => {
                        let title = format!("{title} {} {}", rate.unwrap_or_default(), boundary.unwrap_or_default());
                        let action = Action::Dropout { rate: *rate, boundary: *boundary };
                        self.plan.add(title, action, vec![first], size, 1.0)?
                    }
                    (method, Some(inference)) => {
                        let epochs = match method {
                            InferenceConfig::Variational { epochs, .. } | InferenceConfig::Swag { epochs, .. } => {
                                *epochs
                            }
                            _ => 0,
                        };
                        let config = self.train_config(ask)?;
                        let seconds = estimate::train(&TrainConfig { epochs: epochs.max(1), ..config }, size) * 0.5;
                        let action = Action::Convert { inference, epochs, seed: self.config.seed + ask.seed };
                        self.plan.add(title, action, vec![first, clips], size, seconds)?
                    }
                    (_, None) => first,
                }
            }
        };
        Ok((runs, clips))
    }

    /// The step that leaves the predictions that an experiment asks for, and what they are to it.
    pub(crate) fn predictions(&mut self, ask: &Ask) -> Result<(Role, StepId), StudyError> {
        let (runs, _) = self.runs(ask)?;
        let clips = self.clips(&ask.test, &ask.view)?;
        let size = self.plan.steps[clips].size;
        let config = self.train_config(ask)?;
        let one_network = matches!(ask.inference.1, InferenceConfig::Deterministic);
        let samples = match &ask.inference.1 {
            InferenceConfig::Ensemble { members } => *members as u32,
            _ if one_network => 1,
            _ => ask.samples,
        };
        let tail = match &ask.inference.1 {
            InferenceConfig::Ensemble { .. } => 1.0,
            _ => 0.01,
        };
        let others = !self.same_people(&ask.data, &ask.test);
        let title = format!("predict {} with {}, {samples} samples", ask.test, self.plan.steps[runs].title);
        let action = Action::Predict {
            detector: format!("{} {}", ask.detector, ask.inference.0),
            samples,
            seed: self.config.seed,
            others,
        };
        let seconds = estimate::predict(&config, size, samples, tail);
        let step = self.plan.add(title, action, vec![runs, clips], size, seconds)?;
        Ok((self.role("predictions", ask), step))
    }

    /// Adds predictions to what an experiment finds, or the reason why it can't have them to what it must do without.
    pub(crate) fn want(&mut self, found: &mut Found, ask: &Ask) {
        match self.predictions(ask) {
            Ok(predictions) => found.push(predictions),
            Err(error) => self.lack(ask, &error),
        }
    }

    /// What an experiment must do without, and why.
    pub(crate) fn lack(&mut self, ask: &Ask, error: &StudyError) {
        self.absent.push((self.role("predictions", ask), error.to_string()));
    }

    /// The same of runs and the clips that they judge.
    pub(crate) fn want_runs(&mut self, found: &mut Found, ask: &Ask) {
        match self.runs(ask) {
            Ok((runs, clips)) => {
                found.extend([(self.role("runs", ask), runs), (self.role("clips", ask), clips)]);
            }
            Err(error) => self.absent.push((self.role("runs", ask), error.to_string())),
        }
    }

    /// What runs, clips or predictions are to an experiment.
    pub(crate) fn role(&self, what: &str, ask: &Ask) -> Role {
        Role {
            what: what.to_owned(),
            detector: ask.detector.clone(),
            inference: ask.inference.0.clone(),
            data: ask.data.clone(),
            test: ask.test.clone(),
            task: ask.task.clone(),
            left_out: ask.leave_out.clone(),
            seed: ask.seed,
            setting: ask.setting.clone(),
        }
    }

    /// What an experiment asks for without saying more: one task, trained and tested on one data set.
    pub(crate) fn ask(
        &self,
        experiment: &ExperimentConfig,
        detector: &str,
        inference: &(String, InferenceConfig),
    ) -> Ask {
        let data = self.data_of(experiment);
        Ask {
            test: data.clone(),
            data,
            detector: detector.to_owned(),
            inference: inference.clone(),
            task: experiment.task.clone().unwrap_or_else(|| "binary".into()),
            leave_out: match &experiment.leave_out {
                Some(LeaveOut::Lists(lists)) => lists.first().cloned().unwrap_or_default(),
                _ => Vec::new(),
            },
            seed: 0,
            samples: self.config.samples,
            turned: 0.0,
            self_blends: false,
            recipe: Vec::new(),
            view: self.config.detector[detector].clips.clone(),
            setting: String::new(),
        }
    }

    /// What an experiment asks for with each of its detectors, inference methods (`methods` where it names none) and seeds.
    pub(crate) fn asks(&self, experiment: &ExperimentConfig, methods: &[&str]) -> Vec<Ask> {
        let mut asks = Vec::new();
        for detector in self.detectors_of(experiment) {
            for inference in self.inference_of(experiment, methods) {
                let ask = self.ask(experiment, &detector, &inference);
                let samples = experiment.samples.first().copied().unwrap_or(ask.samples);
                let of_seed = |seed| Ask { seed, samples, ..ask.clone() };
                asks.extend(Self::seeds_of(experiment).into_iter().map(of_seed));
            }
        }
        asks
    }

    /// What is left out, one list after another: those of the experiment, or one generator of each family alone.
    pub(crate) fn left_out(&mut self, experiment: &ExperimentConfig) -> Result<Vec<Vec<String>>, StudyError> {
        if let Some(LeaveOut::Lists(lists)) = &experiment.leave_out {
            return Ok(lists.clone());
        }
        let name = self.data_of(experiment);
        let data = self.data(&name).clone();
        let makers: BTreeSet<(String, String)> = match &data.manifest {
            Some(path) => {
                let rows = self.manifest(path)?.iter().filter(|row| row.label == Label::Fake);
                rows.map(|row| (row.dataset.clone(), row.generator.clone())).collect()
            }
            None => data.forge.generators.iter().map(|g| (DATASET.to_owned(), g.name().to_owned())).collect(),
        };
        let list = &self.classes[&name];
        let mut families: BTreeMap<BTreeSet<String>, String> = BTreeMap::new();
        for (dataset, generator) in &makers {
            let of = list.families(dataset, generator);
            if of.len() == 1 {
                families.entry(of).or_insert_with(|| generator.clone());
            }
        }
        Ok(families.into_values().map(|generator| vec![generator]).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn config(text: &str) -> StudyConfig {
        super::super::config::parse(text, Path::new(""), &[]).unwrap()
    }

    const BASE: &str =
        "title = \"T\"\n[data.a]\nsimulate = { subjects = 15, frames = 4 }\n[detector.d]\nrecipe = \"demo\"\n";

    #[test]
    fn what_two_experiments_need_is_done_once() {
        let one = plan(&config(&(BASE.to_owned() + "[experiment.binary]\n")), false).unwrap();
        let both =
            plan(&config(&(BASE.to_owned() + "[experiment.binary]\n[experiment.calibration]\n")), false).unwrap();
        assert_eq!(both.steps.len(), one.steps.len() + 1, "the second adds its section alone");
        // Simulate, forge, extract, train; deterministic and dropout predicted; the section.
        let names: Vec<&str> = one.steps.iter().map(|step| step.action.name()).collect();
        assert_eq!(names, ["simulate", "forge", "extract", "train", "dropout", "predict", "predict", "section"]);
        for (id, step) in both.steps.iter().enumerate() {
            assert!(step.needs.iter().all(|&need| need < id) && step.seconds > 0.0, "{}", step.title);
        }
    }

    #[test]
    fn a_change_changes_what_depends_on_it_alone() {
        let text = BASE.to_owned() + "[experiment.binary]\n";
        let keys = |text: &str| -> BTreeMap<String, String> {
            let plan = plan(&config(text), false).unwrap();
            plan.steps.into_iter().map(|s| (s.title, s.key)).collect()
        };
        let (before, after) = (keys(&text), keys(&text.replace("title = \"T\"", "title = \"T\"\nsamples = 7")));
        let changed: Vec<&String> = after.iter().filter(|(t, k)| before.get(*t) != Some(k)).map(|(t, _)| t).collect();
        assert!(changed.iter().all(|t| t.contains("7 samples") || t.starts_with("experiment")), "{changed:?}");
        // A title is in no result.
        assert_eq!(before, keys(&text.replace("\"T\"", "\"U\"")));
    }

    #[test]
    fn each_family_is_left_out_in_turn() {
        let text = BASE.to_owned() + "[experiment.leave_one_out]\nleave_out = \"each\"\n";
        let plan = plan(&config(&text), false).unwrap();
        let trained = plan.steps.iter().filter(|step| step.action.name() == "train");
        let mut left: Vec<String> = trained
            .filter_map(|step| match &step.action {
                Action::Train { leave_out, .. } => Some(leave_out.join("+")),
                _ => None,
            })
            .collect();
        left.sort();
        left.dedup();
        assert!(left.len() >= 5, "{left:?}");
        assert!(!left.contains(&"fsgan-wav2lip".to_owned()), "of two families at once: {left:?}");
    }

    #[test]
    fn an_ablation_changes_one_thing_at_a_time() {
        let text = BASE.replace("[detector.d]", "forge = { every = 1 }\n[detector.d]")
            + "[detector.p]\nrecipe = \"fakecatcher\"\nclips = \"w\"\n[data.a.clips.w]\nsampling = \"windows:1x144\"\n\
               [experiment.ablation]\nframes = [2, 4, 9]\ncrf = [36]\n\
               recipe = { dropout = [0.1], \"signal.omega\" = [64], \"signal.alpha\" = [5] }\n";
        let plan = plan(&config(&text), false).unwrap();
        let id = *plan.experiments[0].1.as_ref().unwrap();
        let Action::Section { roles, absent, .. } = &plan.steps[id].action else { panic!() };
        let of = |detector: &str| -> Vec<&str> {
            roles.iter().filter(|role| role.detector == detector).map(|role| role.setting.as_str()).collect()
        };
        assert_eq!(of("d"), ["dropout = 0.1", "frames = 2", "frames = 4", "crf = 36"]);
        assert_eq!(of("p"), ["dropout = 0.1", "signal.omega = 64", "crf = 36"]);
        let why = |detector: &str, setting: &str| {
            let found =
                absent.iter().find(|(role, _)| (role.detector.as_str(), role.setting.as_str()) == (detector, setting));
            found.unwrap().1.as_str()
        };
        assert!(why("d", "signal.omega = 64").contains("no [signal]"));
        assert!(why("p", "signal.alpha = 5").contains("kind ppg has no `alpha`"));
        assert!(why("p", "frames = 2").contains("128 consecutive frames"));
        assert!(why("d", "frames = 9").contains("have 4 frames"));
        assert_eq!(absent.len(), 7, "{absent:?}");
        // What differs is trained apart, from the same videos unless it is those that change.
        let count = |name: &str| plan.steps.iter().filter(|step| step.action.name() == name).count();
        assert_eq!((count("forge"), count("train"), count("predict")), (2, 7, 7));
        let forge = |crf: u8| {
            let is = |step: &&super::super::Step| matches!(&step.action, Action::Forge { options, .. } if options.quantiser == Some(crf));
            plan.steps.iter().filter(is).count()
        };
        assert_eq!((forge(23), forge(36)), (1, 1));
        let cut: Vec<&str> =
            plan.steps.iter().filter(|s| s.action.name() == "extract").map(|step| step.title.as_str()).collect();
        assert!(cut.contains(&"extract a crops of 2 frames"), "{cut:?}");
    }

    #[test]
    fn self_blends_are_trained_with_and_not_tested_on() {
        let text = BASE.to_owned()
            + "[experiment.leave_one_out]\nleave_out = [[\"faceswap\"], [\"wav2lip\"]]\nself_blends = true\n";
        let plan = plan(&config(&text), false).unwrap();
        let id = *plan.experiments[0].1.as_ref().unwrap();
        let Action::Section { roles, .. } = &plan.steps[id].action else { panic!() };
        let said: Vec<(&str, &str, &str)> =
            roles.iter().map(|role| (role.left_out[0].as_str(), role.setting.as_str(), role.test.as_str())).collect();
        let blends = "with self-blends";
        assert_eq!(
            said,
            [("faceswap", "", "a"), ("wav2lip", "", "a"), ("faceswap", blends, "a"), ("wav2lip", blends, "a")]
        );
        let with_blends = plan.steps.iter().filter(|step| match &step.action {
            Action::Train { self_blends, .. } => {
                // The clips of the other forge.
                let clips = &plan.steps[step.needs[0]];
                let forge = &plan.steps[clips.needs[0]].action;
                let Action::Forge { options, .. } = forge else { panic!() };
                assert_eq!(options.generators.contains(&Generator::SelfBlended), *self_blends);
                *self_blends
            }
            Action::Predict { others, .. } => {
                assert!(!others, "each person is judged by the run that did not learn from them");
                false
            }
            _ => false,
        });
        assert_eq!(with_blends.count(), 2);
    }

    #[test]
    fn what_needs_a_gpu_waits_for_one() {
        let text = BASE.to_owned() + "[experiment.binary]\nneeds = \"gpu\"\n[experiment.matrix]\n";
        let plan = plan(&config(&text), false).unwrap();
        let why = plan.experiments.iter().find(|(name, _)| name == "binary").unwrap().1.as_ref().unwrap_err();
        assert!(why.contains("GPU"), "{why}");
        assert!(plan.experiments.iter().any(|(name, step)| name == "matrix" && step.is_ok()));
        // An experiment that asks for nothing is no reason to leave the others out.
        let text = BASE.to_owned() + "[experiment.dose]\n[experiment.matrix]\n";
        let plan = super::plan(&config(&text), false).unwrap();
        assert!(plan.experiments.iter().any(|(name, step)| name == "dose" && step.is_err()));
    }
}
