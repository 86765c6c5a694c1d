//! A study's file: data, detectors, inference methods and experiments, in TOML.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dubito_data::extract::ExtractOptions;
use dubito_data::follow::Sampling;
use dubito_data::forge::{ForgeOptions, Generator, Traces};
use dubito_data::handwritten::{self, Fault, Place, nearest};
use dubito_nn::{Boundary, Inference};
use serde::{Deserialize, Deserializer, Serialize};
use toml::{Table, Value};

use super::experiments::{self, Kind};
use super::step::is_nothing;
use crate::StudyError;
use crate::recipe::{self, Change};
use crate::simulate::SimulateOptions;

/// A study as its file says it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyConfig {
    /// Title of the report.
    pub title: String,
    /// Seed of everything drawn at random; seeds of experiments are added to it.
    #[serde(default)]
    pub seed: u64,
    /// `cpu` or `gpu`.
    #[serde(default = "cpu")]
    pub device: String,
    /// Posterior samples of each input.
    #[serde(default = "fifty")]
    pub samples: u32,
    /// Bootstrap replicates of every interval.
    #[serde(default = "thousand")]
    pub replicates: usize,
    /// Data sets, by name.
    pub data: BTreeMap<String, DataConfig>,
    /// Detectors, by name.
    pub detector: BTreeMap<String, DetectorConfig>,
    /// Inference methods, by name; `deterministic` and `mc_dropout` are there without being named.
    #[serde(default)]
    pub inference: BTreeMap<String, InferenceConfig>,
    /// Experiments, by name.
    pub experiment: BTreeMap<String, ExperimentConfig>,
}

fn cpu() -> String {
    "cpu".into()
}

fn fifty() -> u32 {
    50
}

fn thousand() -> usize {
    1000
}

/// One data set: where its videos come from, how they are forged, how clips are cut.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// A folder of real face videos, to be forged.
    pub faces: Option<PathBuf>,
    /// Simulated people, to be forged.
    pub simulate: Option<SimulateConfig>,
    /// A manifest of videos that are there already, split into folds (`dubito data index`, `dubito data split`).
    pub manifest: Option<PathBuf>,
    /// A class list (`classes.toml`) for the names of its generators.
    pub classes: Option<PathBuf>,
    /// How counterfeits are made of `faces` or of simulated people.
    #[serde(default)]
    pub forge: ForgeConfig,
    /// How clips are cut, by name; `crops` is what blind detectors look at without being told otherwise.
    #[serde(default)]
    pub clips: BTreeMap<String, ClipsConfig>,
}

/// Simulated people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulateConfig {
    /// Seed, added to the study's.
    pub seed: u64,
    /// People, one video each.
    pub subjects: usize,
    /// Frames of each video.
    pub frames: usize,
    /// Frames a second.
    pub frame_rate: f32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Lossless videos.
    pub raw: bool,
}

impl Default for SimulateConfig {
    fn default() -> Self {
        let SimulateOptions { subjects, frames, frame_rate, width, height, .. } = SimulateOptions::default();
        Self { seed: 0, subjects, frames, frame_rate, width, height, raw: false }
    }
}

/// How counterfeits are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForgeConfig {
    /// Most frames of each video.
    pub frames: usize,
    /// Distance of one frame from the next in the source.
    pub every: usize,
    /// Most donors for each target.
    pub donors: usize,
    /// Generators; the nine of the benchmark without it.
    pub generators: Vec<Generator>,
    /// Null controls of each target.
    pub controls: usize,
    /// How easily the fakes are seen, 0 to 1; each generator's standard without it.
    pub strength: Option<f32>,
    /// Strengths of single traces: `resolution`, `blend`, `colour`.
    #[serde(skip_serializing_if = "Traces::is_empty")]
    pub traces: Traces,
    /// Quantiser of the videos, 1 to 51.
    pub crf: u8,
    /// Lossless videos instead.
    pub raw: bool,
}

impl Default for ForgeConfig {
    fn default() -> Self {
        let ForgeOptions { frames, every, generators, .. } = ForgeOptions::default();
        Self {
            frames,
            every,
            donors: 1,
            generators,
            controls: 2,
            strength: None,
            traces: Traces::default(),
            crf: 23,
            raw: false,
        }
    }
}

impl ForgeConfig {
    pub(crate) fn options(&self, seed: u64) -> ForgeOptions {
        ForgeOptions {
            seed,
            frames: self.frames,
            every: self.every,
            min_frames: ForgeOptions::default().min_frames.min(self.frames),
            donors: self.donors,
            generators: self.generators.clone(),
            controls: self.controls,
            strength: self.strength,
            traces: self.traces,
            quantiser: (!self.raw).then_some(self.crf),
        }
    }
}

/// How clips are cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClipsConfig {
    /// Side of the crops in pixels.
    pub size: u32,
    /// Most frames of each video.
    pub frames: usize,
    /// Which frames: `uniform`, `every:STEP` or `windows:NxLENGTH`.
    pub sampling: String,
    /// Margin around the face, as a fraction of its size.
    pub margin: f32,
}

impl Default for ClipsConfig {
    fn default() -> Self {
        Self { size: 224, frames: 32, sampling: "uniform".into(), margin: 0.3 }
    }
}

impl ClipsConfig {
    pub(crate) fn options(&self) -> Result<ExtractOptions, String> {
        let sampling = Sampling::parse(&self.sampling, self.frames)?;
        if !(32..=2048).contains(&self.size) {
            return Err(format!("`size` is {}, expected 32 to 2048", self.size));
        }
        if !(0.0..=4.0).contains(&self.margin) {
            return Err(format!("`margin` is {}, expected 0 to 4", self.margin));
        }
        let min_frames = ExtractOptions::default().min_frames.min(self.frames.max(1));
        Ok(ExtractOptions { sampling, min_frames, size: self.size, margin: self.margin, ..ExtractOptions::default() })
    }
}

/// A detector and how it is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorConfig {
    /// The recipe: one that comes with the program, or a file.
    pub recipe: String,
    /// Changes to it: `epochs = 5`, `"optimiser.learning_rate" = 1e-3`.
    #[serde(default)]
    pub set: Table,
    /// The clips that it looks at, one of the data sets' `clips`.
    #[serde(default = "crops")]
    pub clips: String,
    /// Weights to begin from.
    pub weights: Option<PathBuf>,
}

/// The clips of a detector that names none.
pub(crate) const CROPS: &str = "crops";

fn crops() -> String {
    CROPS.into()
}

impl DetectorConfig {
    /// What is changed in its recipe.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let mut changes: Vec<Change> = self.set.iter().map(|(k, v)| (k.clone(), Some(v.clone()))).collect();
        if let Some(weights) = &self.weights {
            changes.push(recipe::set("weights", weights.to_string_lossy().into_owned()));
        }
        changes
    }
}

/// How a trained network becomes a posterior.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum InferenceConfig {
    /// The network as it is, without dropout.
    Deterministic,
    /// Monte Carlo dropout, at the rate and boundary of training or at others.
    McDropout {
        /// Another rate.
        rate: Option<f32>,
        /// Another boundary.
        boundary: Option<Boundary>,
    },
    /// Gaussian weights around the trained ones.
    Variational {
        /// Epochs of fine-tuning; 0 for none (MOPED as it is).
        #[serde(default)]
        epochs: usize,
        /// Scope, estimator, prior, delta: as `inference` in a run's `config.json`.
        #[serde(default)]
        set: Table,
    },
    /// A Gaussian last layer, fitted after training.
    Laplace {
        /// Curvature, predictive, prior precision.
        #[serde(default)]
        set: Table,
    },
    /// A Gaussian around the weights that training passes through.
    Swag {
        /// Epochs that it passes through.
        epochs: usize,
        /// Scope and rank.
        #[serde(default)]
        set: Table,
    },
    /// Networks trained apart, with seeds one after another.
    Ensemble {
        /// How many.
        members: usize,
    },
}

impl InferenceConfig {
    /// The settings of the method, where it has any.
    ///
    /// # Errors
    /// A key or value that the method does not have, in words.
    pub(crate) fn inference(&self) -> Result<Option<Inference>, String> {
        let (method, set) = match self {
            Self::Variational { set, .. } => ("variational", set),
            Self::Laplace { set } => ("laplace", set),
            Self::Swag { set, .. } => ("swag", set),
            _ => return Ok(None),
        };
        let mut table = set.clone();
        table.insert("method".into(), Value::String(method.into()));
        table.try_into().map(Some).map_err(|e: toml::de::Error| format!("`set`: {}", e.message()))
    }
}

/// One experiment. Which keys an experiment takes is said by its kind ([`Kind::keys`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExperimentConfig {
    /// What is asked; the experiment's name without it.
    pub kind: Option<String>,
    /// What has to be at hand: `gpu` for an experiment that is declared here and run where there is one.
    pub needs: Option<String>,
    /// The data set; the only one without it.
    pub data: Option<String>,
    /// Data sets that detectors trained on `data` are tested on.
    pub tests: Vec<String>,
    /// Detectors; all without it.
    pub detectors: Vec<String>,
    /// Inference methods.
    pub inference: Vec<String>,
    /// Seeds of training.
    pub seeds: Vec<u64>,
    /// What detectors are taught: `binary` without it, or another task of the class list.
    pub task: Option<String>,
    /// Generators left out together, or `each` for one family after another; experiments that ask for one training leave out
    /// the first list.
    pub leave_out: Option<LeaveOut>,
    /// Whether every training with a family left out is done again with self-blended faces among the fakes.
    pub self_blends: Option<bool>,
    /// Posterior samples: several of them for an ablation.
    pub samples: Vec<u32>,
    /// Dropout rates of posterior samples.
    pub rates: Vec<f32>,
    /// Boundaries of dropout.
    pub boundaries: Vec<Boundary>,
    /// Deltas of Gaussian weights.
    pub deltas: Vec<f32>,
    /// Attacks.
    pub attacks: Vec<String>,
    /// Sizes of the attacks' change, in parts of 255.
    pub epsilons: Vec<f32>,
    /// Steps of an attack.
    pub steps: Option<usize>,
    /// Frames of each video: one number, or several of them for an ablation.
    #[serde(deserialize_with = "one_or_more")]
    pub frames: Vec<usize>,
    /// Keys of the detectors' recipes, each with the values that they are trained anew with.
    pub recipe: BTreeMap<String, Vec<Value>>,
    /// Quantisers of the forge.
    pub crf: Vec<u8>,
    /// Strengths of the forge.
    pub strengths: Vec<f32>,
    /// Single traces of the forge that take these strengths while all else stays: `resolution`, `blend`, `colour`; the
    /// whole fake does without it.
    pub traces: Vec<String>,
    /// Videos of each generator.
    pub videos: Option<usize>,
    /// Shares of labels that are turned.
    pub shares: Vec<f32>,
    /// The inference method that is chosen before anything is known of how it does.
    pub chosen: Option<String>,
}

/// A number, or a list of numbers.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<usize>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a whole number, or a list of them")]
    enum Numbers {
        One(usize),
        Several(Vec<usize>),
    }
    Ok(match Numbers::deserialize(deserializer)? {
        Numbers::One(number) => vec![number],
        Numbers::Several(numbers) => numbers,
    })
}

/// What is left out of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LeaveOut {
    /// `each`: one family after another.
    Word(String),
    /// These lists, one after another.
    Lists(Vec<Vec<String>>),
}

impl ExperimentConfig {
    /// What it asks.
    pub(crate) fn kind_of(&self, name: &str) -> Result<&'static Kind, StudyError> {
        let kind = self.kind.as_deref().unwrap_or(name);
        experiments::KINDS.iter().find(|known| known.name == kind).ok_or_else(|| {
            let names: Vec<&str> = experiments::KINDS.iter().map(|k| k.name).collect();
            StudyError::Input {
                message: format!("experiment.{name}: no experiment {kind:?}"),
                hint: format!("{}`kind` is one of {}", nearest(kind, &names), names.join(", ")),
            }
        })
    }
}

/// The hint where nothing better is known.
const EXAMPLE: &str = "studies/demo.toml is a small example, docs/STUDY.md lists every key";

/// Reads a study's file, with some changes (`data.forged.forge.frames=12`). Paths in it are seen from its folder.
///
/// # Errors
/// What is wrong in the file, with line and key, and the nearest one where there is no such key.
pub fn read(path: &Path, changes: &[Change]) -> Result<StudyConfig, StudyError> {
    let text = handwritten::read(path)?;
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    parse(&text, &folder, changes).map_err(|fault| fault.of(path, EXAMPLE).into())
}

/// A study out of its text; what is wrong with it, and what may help.
pub(crate) fn parse(text: &str, folder: &Path, changes: &[Change]) -> Result<StudyConfig, Fault> {
    let mut config: StudyConfig = if changes.is_empty() {
        handwritten::from_toml(text, &places())?
    } else {
        let mut table: Table = handwritten::from_toml(text, &places())?;
        for (key, value) in changes {
            change(&mut table, key, value.clone())?;
        }
        // What is wrong in the file itself is said with its line.
        table.try_into().map_err(|error| {
            let as_it_is = handwritten::from_toml::<StudyConfig>(text, &places());
            as_it_is.err().unwrap_or_else(|| handwritten::changed(&error, &places()))
        })?
    };
    for (name, data) in &mut config.data {
        let paths = [("faces", &mut data.faces), ("manifest", &mut data.manifest), ("classes", &mut data.classes)];
        for (key, path) in paths.into_iter().filter_map(|(key, path)| Some((key, path.as_mut()?))) {
            no_escape(text, &["data", name, key], path)?;
            *path = folder.join(&*path);
        }
    }
    for (name, detector) in &config.detector {
        no_escape(text, &["detector", name, "recipe"], Path::new(&detector.recipe))?;
        detector.weights.iter().try_for_each(|path| no_escape(text, &["detector", name, "weights"], path))?;
    }
    for detector in config.detector.values_mut() {
        if let Some(weights) = &mut detector.weights {
            *weights = folder.join(&*weights);
        }
        if recipe::RECIPES.iter().all(|(name, _)| *name != detector.recipe) && detector.recipe.ends_with(".toml") {
            detector.recipe = folder.join(&detector.recipe).to_string_lossy().into_owned();
        }
    }
    for (name, inference) in [
        ("deterministic", InferenceConfig::Deterministic),
        ("mc_dropout", InferenceConfig::McDropout { rate: None, boundary: None }),
    ] {
        config.inference.entry(name.to_owned()).or_insert(inference);
    }
    check(&config).map_err(|e| Fault { message: e.to_string(), hint: e.hint() })?;
    Ok(config)
}

/// Puts a value at a key as `data.forged.forge.frames`.
fn change(table: &mut Table, key: &str, value: Option<Value>) -> Result<(), Fault> {
    match (key.split_once('.'), value) {
        (Some((section, rest)), value) => match table.entry(section).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => change(inner, rest, value),
            _ => Err(Fault { message: format!("`{section}` is no table"), hint: None }),
        },
        (None, Some(value)) => {
            table.insert(key.to_owned(), value);
            Ok(())
        }
        (None, None) => {
            table.remove(key);
            Ok(())
        }
    }
}

/// A path of which a backslash in double quotes made another one is refused: there is no file of that name.
fn no_escape(text: &str, key: &[&str], path: &Path) -> Result<(), Fault> {
    let Some(mut fault) = handwritten::escaped_path(path) else { return Ok(()) };
    let place = handwritten::position(text, key).map(|(line, column)| format!("line {line}, column {column}: "));
    fault.message = format!("{}`{}`: {}", place.unwrap_or_default(), key.join("."), fault.message);
    Err(fault)
}

/// The parts of a study's file, with the keys that belong there.
fn places() -> Vec<Place> {
    let place = |name, keys: &[&str]| Place { name, keys: keys.iter().map(|key| (*key).to_owned()).collect() };
    let fields = |name, part: serde_json::Result<serde_json::Value>| {
        let part = part.unwrap_or_default();
        Place { name, keys: part.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect() }
    };
    vec![
        place("at the top, before the first [table]", &["title", "seed", "device", "samples", "replicates"]),
        fields("in [data.NAME]", serde_json::to_value(DataConfig::default())),
        fields("in [data.NAME.simulate]", serde_json::to_value(SimulateConfig::default())),
        fields("in [data.NAME.forge]", serde_json::to_value(ForgeConfig::default())),
        fields("in [data.NAME.clips.NAME]", serde_json::to_value(ClipsConfig::default())),
        place("in [detector.NAME]", &["recipe", "set", "clips", "weights"]),
        place("in [inference.NAME]", &["method", "members"]),
        fields("in [experiment.NAME]", serde_json::to_value(ExperimentConfig::default())),
        Place { name: "in the `set` of [detector.NAME]", keys: recipe::keys() },
    ]
}

/// What the types do not say.
fn check(config: &StudyConfig) -> Result<(), StudyError> {
    let bad = |message: String, hint: &str| Err(StudyError::Input { message, hint: hint.to_owned() });
    if config.data.is_empty() || config.detector.is_empty() || config.experiment.is_empty() {
        return bad(
            "a study needs one [data.NAME], one [detector.NAME] and one [experiment.NAME] at least".into(),
            "studies/demo.toml is a small example",
        );
    }
    if !["cpu", "gpu"].contains(&config.device.as_str()) {
        return bad(format!("`device` is {:?}", config.device), "\"cpu\" or \"gpu\"");
    }
    for name in
        config.data.keys().chain(config.detector.keys()).chain(config.inference.keys()).chain(config.experiment.keys())
    {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return bad(format!("the name {name:?} becomes a part of file names"), "use letters, digits, _ and -");
        }
    }
    for (name, data) in &config.data {
        let from = [data.faces.is_some(), data.simulate.is_some(), data.manifest.is_some()];
        if from.into_iter().filter(|&is| is).count() != 1 {
            return bad(
                format!("data.{name}: one of `faces`, `simulate` and `manifest` is needed"),
                "`faces` is a folder of real videos, `manifest` names videos that are forged already",
            );
        }
        for (view, clips) in &data.clips {
            if let Err(message) = clips.options() {
                return bad(format!("data.{name}.clips.{view}: {message}"), "docs/STUDY.md lists every key");
            }
        }
        if data.forge.generators.is_empty() {
            return bad(format!("data.{name}.forge: no `generators`"), "leave the key out for all of them");
        }
    }
    for (name, experiment) in &config.experiment {
        check_experiment(config, name, experiment)?;
    }
    super::check::numbers(config)
}

/// The names that an experiment uses must be there, and its keys must be its kind's.
fn check_experiment(config: &StudyConfig, name: &str, experiment: &ExperimentConfig) -> Result<(), StudyError> {
    let bad = |message: String, hint: String| {
        Err(StudyError::Input { message: format!("experiment.{name}: {message}"), hint })
    };
    let kind = experiment.kind_of(name)?;
    let named =
        |what: &str, names: Vec<&String>, known: Vec<&String>| match names.into_iter().find(|n| !known.contains(n)) {
            Some(missing) => {
                let known: Vec<&str> = known.into_iter().map(String::as_str).collect();
                bad(
                    format!("no [{what}.{missing}] in this file"),
                    format!("{}there are {}", nearest(missing, &known), known.join(", ")),
                )
            }
            None => Ok(()),
        };
    named("data", experiment.data.iter().chain(&experiment.tests).collect(), config.data.keys().collect())?;
    named("detector", experiment.detectors.iter().collect(), config.detector.keys().collect())?;
    named("inference", experiment.inference.iter().collect(), config.inference.keys().collect())?;
    if experiment.data.is_none() && config.data.len() > 1 {
        let names: Vec<&str> = config.data.keys().map(String::as_str).collect();
        return bad("`data` is needed, as there are several".into(), format!("one of {}", names.join(", ")));
    }
    if let Some(needs) = experiment.needs.as_deref().filter(|needs| *needs != "gpu") {
        return bad(format!("`needs` is {needs:?}"), "the only thing that can be needed is \"gpu\"".into());
    }
    if let Some(LeaveOut::Word(word)) = &experiment.leave_out
        && word != "each"
    {
        return bad(format!("`leave_out` is {word:?}"), "\"each\", or lists of generators".into());
    }
    if experiment.frames.len() > 1 && kind.name != "ablation" {
        return bad(format!("`frames` is {:?}", experiment.frames), "several numbers only in an ablation".into());
    }
    for (key, values) in &experiment.recipe {
        if let Err(error) = recipe::known_key(key) {
            return bad(format!("`recipe`: {error}"), error.hint().unwrap_or_default());
        }
        if values.is_empty() {
            return bad(format!("`recipe`: no values of {key}"), format!("e.g. recipe = {{ \"{key}\" = [1, 2] }}"));
        }
    }
    if let Some(crf) = experiment.crf.iter().find(|crf| !(1..=51).contains(*crf)) {
        return bad(format!("`crf` is {crf}"), "1 (the finest) to 51".into());
    }
    // Keys that say something, beside those that every kind takes.
    let said = serde_json::to_value(experiment).unwrap_or_default();
    let used =
        said.as_object().into_iter().flatten().filter(|(_, value)| !is_nothing(value)).map(|(key, _)| key.as_str());
    for key in used {
        if !["kind", "needs", "data"].contains(&key) && !kind.keys.contains(&key) {
            return bad(
                format!("`{key}` means nothing to an experiment of the kind {}", kind.name),
                format!("it takes {}", [&["kind", "needs", "data"], kind.keys].concat().join(", ")),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SMALL: &str =
        "title = \"T\"\n[data.a]\nfaces = \"faces\"\n[detector.d]\nrecipe = \"demo\"\n[experiment.binary]\n";

    fn refused(text: &str) -> String {
        let Fault { message, hint } = parse(text, Path::new("folder"), &[]).unwrap_err();
        format!("{message}\n{}", hint.unwrap_or_default())
    }

    #[test]
    fn what_is_usual_need_not_be_said() {
        let config = parse(SMALL, Path::new("folder"), &[]).unwrap();
        assert_eq!(config.data["a"].faces.as_deref(), Some(Path::new("folder/faces")));
        assert_eq!((config.samples, config.device.as_str()), (50, "cpu"));
        assert_eq!(config.inference.keys().collect::<Vec<_>>(), ["deterministic", "mc_dropout"]);
        let change = |text: &str| vec![recipe::change(text).unwrap()];
        let changed = parse(SMALL, Path::new(""), &change("data.a.forge.frames=12")).unwrap();
        assert_eq!(changed.data["a"].forge.frames, 12);
        assert!(parse(SMALL, Path::new(""), &change("data.a.forge.frame=12")).is_err());
    }

    #[test]
    fn the_studies_of_the_project_are_read() {
        for name in ["demo", "small", "forged", "paper"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../studies").join(format!("{name}.toml"));
            read(&path, &[]).unwrap();
        }
    }

    #[test]
    fn nonsense_is_named_with_what_may_be_meant() {
        for (text, expected) in [
            ("", "missing field `title`"),
            ("title = ", "line 1"),
            (&SMALL.replace("[detector.d]", "[detectr.d]"), "did you mean `detector`?"),
            (&SMALL.replace("faces =", "face ="), "did you mean `faces`?"),
            (&SMALL.replace("faces = \"faces\"\n", ""), "one of `faces`, `simulate` and `manifest` is needed"),
            (&SMALL.replace("recipe = \"demo\"", "recipe = \"dem0\""), "did you mean `demo`?"),
            (&SMALL.replace("recipe = \"demo\"", "recipe = \"demo\"\nset = { epoch = 3 }"), "did you mean `epochs`?"),
            (&SMALL.replace("experiment.binary", "experiment.binry"), "did you mean `binary`?"),
            (
                &(SMALL.to_owned() + "strengths = [0.1]\n"),
                "`strengths` means nothing to an experiment of the kind binary",
            ),
            (&(SMALL.to_owned() + "detectors = [\"e\"]\n"), "no [detector.e]"),
            (&(SMALL.to_owned() + "inference = [\"mc_dropot\"]\n"), "did you mean `mc_dropout`?"),
            (&(SMALL.to_owned() + "needs = \"tpu\"\n"), "\"gpu\""),
            (&(SMALL.to_owned() + "kind = \"attacks\"\nframes = [1, 2]\n"), "several numbers only in an ablation"),
            (
                &(SMALL.to_owned() + "kind = \"ablation\"\nframes = \"two\"\n"),
                "expected a whole number, or a list of them",
            ),
            (&(SMALL.to_owned() + "kind = \"ablation\"\ncrf = [0, 23]\n"), "`crf` is 0"),
            (
                &(SMALL.to_owned() + "kind = \"ablation\"\nrecipe = { \"signal.omga\" = [32] }\n"),
                "did you mean `omega`?",
            ),
            (&(SMALL.to_owned() + "kind = \"ablation\"\nrecipe = { dropout = [] }\n"), "no values of dropout"),
            (
                &(SMALL.to_owned() + "[inference.v]\nmethod = \"variational\"\nset = { scop = \"head\" }\n"),
                "unknown field `scop`",
            ),
            (&(SMALL.to_owned() + "[inference.v]\nmethod = \"variatonal\"\n"), "did you mean `variational`?"),
            (&(SMALL.to_owned() + "[inference.e]\nmethod = \"ensemble\"\nmembers = 1\n"), "inference.e.members is 1"),
            (&SMALL.replace("[data.a]", "[data.\"a b\"]"), "a part of file names"),
            (&SMALL.replace("[detector.d]", "clips.crops.size = 8\n[detector.d]"), "expected 32 to 2048"),
            (&SMALL.replace("[detector.d]", "clips.crops.sampling = \"all\"\n[detector.d]"), "data.a.clips.crops"),
            (&SMALL.replace("title = \"T\"", "title = \"T\"\nsamples = 0"), "`samples` is 0"),
            (&SMALL.replace("[detector.d]", "forge.donors = 0\n[detector.d]"), "data.a.forge.donors is 0"),
            (&SMALL.replace("[detector.d]", "forge.generators = []\n[detector.d]"), "data.a.forge: no `generators`"),
            (&(SMALL.to_owned() + "kind = \"ablation\"\nframes = 0\n"), "experiment.binary.frames is 0"),
            (&SMALL.replace("title = \"T\"", "title = \"T\"\ndevice = \"tpu\""), "`device` is \"tpu\""),
        ] {
            let said = refused(text);
            assert!(said.contains(expected), "{text}\n-> {said}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.toml");
        std::fs::write(&path, b"title = \"\xff\"").unwrap();
        assert!(read(&path, &[]).unwrap_err().to_string().contains("UTF-8"));
        assert_eq!(read(&folder.path().join("no.toml"), &[]).unwrap_err().exit_code(), 3);
    }

    #[test]
    fn every_key_of_every_kind_is_one() {
        let all = serde_json::to_value(ExperimentConfig::default()).unwrap();
        for kind in experiments::KINDS {
            for key in kind.keys {
                assert!(all.get(key).is_some(), "{}: {key}", kind.name);
            }
        }
    }
}
