//! Adversarial attacks on held-out clips: what detectors say of attacked frames as they are, rounded to bytes and encoded again.

mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use dubito_data::manifest::{Row, Status};
use dubito_nn::{Attack, AttackMethod, AttackObjective, Posterior};
use dubito_report::PredictionWriter;
use dubito_report::evaluate::Missing;
use dubito_stats::Task;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageFormat};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use self::report::section;
use crate::crops::not_as_labelled;
use crate::inputs::{Inputs, inputs};
use crate::predict::{
    FoldRun, check_clip, kept_classes, knowledge, load_all, read_clip, read_samples, some_are_whole, task_of,
    without_prediction, write_clip,
};
use crate::progress::{OnProgress, Progress, Step};
use crate::{Detector, StudyError};

/// The file that says what was attacked and how.
pub const FILE: &str = "attacks.json";

/// How clips are attacked and judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttackOptions {
    /// The attack. Its epsilon is each of [`epsilons`](Self::epsilons) in turn; its seed is joined with the clip's name, so
    /// that no two clips meet the same noise or the same networks.
    pub attack: Attack,
    /// Budgets in parts of 255.
    pub epsilons: Vec<f32>,
    /// Frames (of signals: windows) of each clip, evenly over it.
    pub frames: usize,
    /// JPEG quality, 1 to 100, of the frames encoded again; without it none are, and never are pictures of signals.
    pub reencode: Option<u8>,
    /// Posterior samples by which each frame is judged.
    pub samples: u32,
    /// Their seed, as of `predict`; the attack looks at samples of another.
    pub seed: u64,
    /// `cpu` or `gpu`.
    pub device: String,
    /// Whether the samples of an ONNX detector are views of each image.
    pub views: bool,
}

impl AttackOptions {
    /// Checks every field but the device.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), StudyError> {
        let bad = |message: String, hint: &str| Err(StudyError::Input { message, hint: hint.into() });
        if self.epsilons.is_empty() {
            return bad("no epsilon to attack with".into(), "give one or several, as --epsilon 1,2,4,8");
        }
        let twice = self.epsilons.iter().enumerate().find(|(i, epsilon)| self.epsilons[..*i].contains(epsilon));
        if let Some((_, epsilon)) = twice {
            return bad(format!("epsilon {epsilon} is given twice"), "give each once, as --epsilon 1,2,4,8");
        }
        for &epsilon in &self.epsilons {
            Attack { epsilon, ..self.attack.clone() }.check()?;
        }
        if self.frames == 0 || self.samples == 0 {
            return bad("no frame or no sample to judge by".into(), "give --frames and --samples 1 or more");
        }
        match self.reencode {
            Some(quality) if !(1..=100).contains(&quality) => {
                bad(format!("`reencode` is {quality}; expected a JPEG quality, 1 to 100"), "90 is a usual one")
            }
            _ => Ok(()),
        }
    }

    /// Name of the attack in files, as `pgd` or `pgd_adaptive`.
    pub fn name(&self) -> String {
        match self.attack.objective {
            AttackObjective::CrossEntropy => self.attack.method.to_string(),
            AttackObjective::Adaptive { .. } => format!("{}_adaptive", self.attack.method),
        }
    }
}

/// What became of frames between the attack and the detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Numbers of the network's own precision: more than any file holds.
    Exact,
    /// Rounded to bytes.
    Rounded,
    /// Rounded and encoded as JPEG.
    Reencoded,
}

impl Variant {
    /// Its ending in names of conditions.
    fn ending(self) -> &'static str {
        match self {
            Self::Exact => "",
            Self::Rounded => "_8bit",
            Self::Reencoded => "_jpeg",
        }
    }

    /// In words.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Exact => "as found",
            Self::Rounded => "8 bits",
            Self::Reencoded => "JPEG",
        }
    }
}

/// One state of the frames, with the file of what was said of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// Its name, as `clean`, `pgd_4_8bit`.
    pub name: String,
    /// The attack's epsilon in parts of 255; 0 where nothing was attacked.
    pub epsilon: f32,
    /// What became of the frames.
    pub variant: Variant,
}

impl Condition {
    /// The file of predictions, in the folder of the attack.
    pub fn file(&self) -> PathBuf {
        Path::new("predictions").join(format!("{}.parquet", self.name))
    }
}

/// What was attacked: [`FILE`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attacked {
    /// How.
    pub options: AttackOptions,
    /// The detector, e.g. `resnet18`.
    pub detector: String,
    /// The conditions; without an attack first.
    pub conditions: Vec<Condition>,
    /// Clips and frames that were attacked.
    pub clips: usize,
    /// Their frames, or windows.
    pub frames: usize,
    /// Videos that could not be attacked, each with its reason.
    pub missing: Vec<Missing>,
    /// Seconds that attacks and judgements took, without what was kept from before.
    pub seconds: f64,
    /// Clips and epsilons that were kept from before.
    pub kept: usize,
}

/// The conditions of one command.
fn conditions(options: &AttackOptions, is_signal: bool) -> Vec<Condition> {
    let reencoded = options.reencode.filter(|_| !is_signal).map(|_| Variant::Reencoded);
    let of = |name: &str, epsilon: f32, variant: Variant| Condition {
        name: format!("{name}{}", variant.ending()),
        epsilon,
        variant,
    };
    let mut all = vec![of("clean", 0.0, Variant::Exact)];
    all.extend(reencoded.map(|variant| of("clean", 0.0, variant)));
    for &epsilon in &options.epsilons {
        let name = format!("{}_{epsilon}", options.name());
        all.extend([Variant::Exact, Variant::Rounded].into_iter().chain(reencoded).map(|v| of(&name, epsilon, v)));
    }
    all
}

/// Attacks the clips of `rows` (in `store`), each by the run that did not learn from its fold, and writes
/// `predictions/CONDITION.parquet` and [`FILE`] in `out`. What was found before for the same weights, clip and settings is
/// kept in `out/samples` and not made again.
///
/// # Errors
/// As [`predict`](crate::predict::predict); settings that can't be; a method that needs gradients against a detector of
/// signals or an ONNX file.
#[allow(clippy::too_many_arguments)] // one call, each argument a different thing
pub fn attack(
    rows: &[Row],
    store: &Path,
    runs: &[FoldRun],
    out: &Path,
    options: &AttackOptions,
    provenance: &serde_json::Value,
    step: Step,
    on_progress: OnProgress,
) -> Result<Attacked, StudyError> {
    options.check()?;
    let loaded = load_all(runs, options.views)?;
    let Some(first) = loaded.first() else {
        return Err(StudyError::Input {
            message: "no run to attack".into(),
            hint: "give --run the folder that `dubito train` wrote".into(),
        });
    };
    check_method(first, options.attack.method)?;
    let task = task_of(first);
    let takes = |run: &Detector, fold: &Option<String>, row: &Row| {
        let is_there = row.status == Status::Ok && row.clip.is_some();
        is_there && fold.as_ref().is_none_or(|fold| *fold == row.split) && run.class_for(row).0.is_some()
    };
    let work: Vec<(&Detector, Vec<&Row>)> = loaded
        .iter()
        .zip(runs)
        .map(|(run, of)| (run, rows.iter().filter(|row| takes(run, &of.fold, row)).collect()))
        .collect();
    let all: Vec<&Row> = work.iter().flat_map(|(_, rows)| rows.iter().copied()).collect();
    if all.is_empty() {
        return Err(StudyError::Input {
            message: "no clip to attack: the folds of the runs are not those of the manifest".into(),
            hint: "give the manifest that the runs were trained on, or one run's own folder".into(),
        });
    }
    let mut missing: Vec<Missing> = Vec::new();
    for row in rows {
        if row.status != Status::Ok {
            missing.push(without_prediction(row, row.status.name(), row.reason.clone().unwrap_or_default()));
        } else if first.class_for(row).0.is_none() {
            let reason = "its generator is none of the detector's classes: there is nothing to lead it away from";
            missing.push(without_prediction(row, "no_class", reason.to_owned()));
        }
    }

    let conditions = conditions(options, first.signal().is_some());
    let folder = out.join("predictions");
    std::fs::create_dir_all(&folder).map_err(StudyError::io(&folder))?;
    let mut writers = Vec::with_capacity(conditions.len());
    for condition in &conditions {
        let mut provenance = provenance.clone();
        provenance["generators"] = knowledge(first, &all);
        provenance["attack"] = json!({ "condition": condition, "options": options });
        writers.push(PredictionWriter::create(&out.join(condition.file()), &task, &provenance)?);
    }
    let begun = Instant::now();
    let mut found = Attacked {
        options: options.clone(),
        detector: first.name(),
        conditions,
        clips: 0,
        frames: 0,
        missing: Vec::new(),
        seconds: 0.0,
        kept: 0,
    };
    let (mut done, mut broken, total) = (0, Vec::new(), all.len());
    for (run, rows) in work {
        let posterior = run.posterior(&options.device)?;
        let judge = Judge { run, posterior: posterior.as_ref(), weights: run.hash()?, task: &task, out, options };
        for row in rows {
            let Some(clip) = read_clip(row, store, &mut missing, &mut broken)? else {
                done += 1;
                continue;
            };
            check_clip(run, &clip)?;
            let all = inputs(&clip, run.signal(), &not_as_labelled(row))?;
            if all.is_empty() {
                let (status, reason) = all.reason(run.signal());
                missing.push(without_prediction(row, status, reason));
            } else {
                let some = evenly(&all, options.frames);
                let said = judge.clip(row, &some, &found.conditions)?;
                found.kept += said.kept;
                found.clips += 1;
                found.frames += some.len();
                for (writer, values) in writers.iter_mut().zip(&said.values) {
                    let frames = some.frames.iter().map(|&i| clip.frame_index[i]);
                    write_clip(writer, &task, row, frames, values, options.samples as usize, (run, &run.name()))?;
                }
            }
            done += 1;
            if !on_progress(&Progress { step, done, total, item: row.video.clone() }) {
                return Err(StudyError::stopped());
            }
        }
    }
    some_are_whole(broken, total)?;
    for mut writer in writers {
        writer.provenance()["missing"] = json!(missing);
        writer.finish()?;
    }
    found.missing = missing;
    found.seconds = begun.elapsed().as_secs_f64();
    let text = serde_json::to_string_pretty(&found).unwrap_or_default() + "\n";
    dubito_data::write_atomically(&out.join(FILE), text.as_bytes())?;
    Ok(found)
}

/// What was attacked in this folder.
///
/// # Errors
/// The file can't be read, or is of another version.
pub fn read(folder: &Path) -> Result<Attacked, StudyError> {
    let path = folder.join(FILE);
    let text = std::fs::read_to_string(&path).map_err(StudyError::io(&path))?;
    serde_json::from_str(&text).map_err(|e| StudyError::Input {
        message: format!("{}: does not say what was attacked: {e}", path.display()),
        hint: "make it again with `dubito attack`".into(),
    })
}

/// Refuses a method that needs gradients where there are none, or none that lead to pixels of a video.
fn check_method(run: &Detector, method: AttackMethod) -> Result<(), StudyError> {
    let why = match (run.signal(), run) {
        _ if !method.needs_gradient() => return Ok(()),
        (Some(signal), _) => format!(
            "looks at pictures of a signal ({}), and what makes them from a video has no gradient",
            signal.kind()
        ),
        (None, Detector::Onnx(_)) => "is an ONNX file, a black box without gradients".to_owned(),
        (None, Detector::Run(..)) => return Ok(()),
    };
    Err(StudyError::Input {
        message: format!("{}: `{method}` needs gradients, and this detector {why}", run.path().display()),
        hint: "attack it with --method square, which asks for answers alone".into(),
    })
}

/// `count` inputs, or all where there are fewer, evenly over them from the first.
fn evenly(all: &Inputs<'_>, count: usize) -> Inputs<'static> {
    let (n, one) = (all.len(), all.bytes.len() / all.len());
    let count = count.min(n);
    let chosen: Vec<usize> = (0..count).map(|k| k * n / count).collect();
    let bytes: Vec<u8> = chosen.iter().flat_map(|&i| &all.bytes[i * one..][..one]).copied().collect();
    Inputs { bytes: bytes.into(), frames: chosen.iter().map(|&i| all.frames[i]).collect(), without: Vec::new() }
}

/// One detector that attacks its own clips and judges what comes of it.
struct Judge<'a> {
    run: &'a Detector,
    posterior: &'a dyn Posterior,
    weights: String,
    task: &'a Task,
    out: &'a Path,
    options: &'a AttackOptions,
}

/// What was said of a clip under each condition, and how many parts were kept from before.
struct Said {
    values: Vec<Vec<f32>>,
    kept: usize,
}

impl Judge<'_> {
    /// Attacks a clip with every epsilon. What is kept for one is of its two or three conditions together.
    fn clip(&self, row: &Row, some: &Inputs<'_>, conditions: &[Condition]) -> Result<Said, StudyError> {
        let mut said = Said { values: Vec::with_capacity(conditions.len()), kept: 0 };
        for group in conditions.chunk_by(|a, b| a.epsilon.to_bits() == b.epsilon.to_bits()) {
            let epsilon = group[0].epsilon;
            let one = some.len() * self.options.samples as usize * kept_classes(self.task).len();
            let path = self.path(row, some, epsilon, group)?;
            let values = match read_samples(&path, one * group.len()) {
                Some(values) => {
                    said.kept += usize::from(epsilon > 0.0);
                    values
                }
                None => {
                    let values = match epsilon > 0.0 {
                        true => self.attacked(row, some, epsilon, group)?,
                        false => self.clean(some, group)?,
                    };
                    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                    dubito_data::write_atomically(&path, &bytes)?;
                    values
                }
            };
            said.values.extend(values.chunks_exact(one).map(<[f32]>::to_vec));
        }
        Ok(said)
    }

    /// The attack on a clip: with a seed of the clip's own.
    fn settings(&self, row: &Row, epsilon: f32) -> Attack {
        let text = format!("{} {}", self.options.attack.seed, row.clip.as_deref().unwrap_or_default());
        let seed = blake3::hash(text.as_bytes()).as_bytes()[..8].try_into().map_or(0, u64::from_le_bytes);
        Attack { epsilon, seed, ..self.options.attack.clone() }
    }

    /// Where what is said of a clip is kept.
    fn path(&self, row: &Row, some: &Inputs<'_>, epsilon: f32, group: &[Condition]) -> Result<PathBuf, StudyError> {
        let AttackOptions { samples, seed, reencode, .. } = self.options;
        let name = row.clip.as_deref().unwrap_or_default();
        let label = self.run.class_for(row).0;
        let attack = match epsilon > 0.0 {
            true => serde_json::to_string(&self.settings(row, epsilon)).unwrap_or_default(),
            false => "clean".to_owned(),
        };
        let quality = reencode.filter(|_| group.iter().any(|c| c.variant == Variant::Reencoded));
        let text = format!("{} {name} {label:?} {samples} {seed} {:?} {quality:?} {attack}", self.weights, some.frames);
        let key = blake3::hash(text.as_bytes()).to_hex();
        Ok(self.out.join("samples").join(&key[..2]).join(format!("{}.f32", &key[..32])))
    }

    fn attacked(
        &self,
        row: &Row,
        some: &Inputs<'_>,
        epsilon: f32,
        group: &[Condition],
    ) -> Result<Vec<f32>, StudyError> {
        let AttackOptions { samples, seed, .. } = *self.options;
        let victim = self.run.victim(self.posterior);
        let labels = vec![self.run.class_for(row).0.unwrap_or_default(); some.len()];
        let adversarial = self.settings(row, epsilon).run(&victim, &some.bytes, &labels, seed)?;
        let rounded = adversarial.rounded();
        let mut values = Vec::new();
        for condition in group {
            values.extend(match condition.variant {
                Variant::Exact => self.kept(&victim.draw(adversarial.pixels(), 0..samples, seed)?),
                Variant::Rounded => self.judge(&rounded, some)?,
                Variant::Reencoded => self.judge(&self.reencoded(&rounded)?, some)?,
            });
        }
        Ok(values)
    }

    fn clean(&self, some: &Inputs<'_>, group: &[Condition]) -> Result<Vec<f32>, StudyError> {
        let mut values = Vec::new();
        for condition in group {
            values.extend(match condition.variant {
                Variant::Exact | Variant::Rounded => self.judge(&some.bytes, some)?,
                Variant::Reencoded => self.judge(&self.reencoded(&some.bytes)?, some)?,
            });
        }
        Ok(values)
    }

    /// What is said of inputs that are bytes.
    fn judge(&self, bytes: &[u8], like: &Inputs<'_>) -> Result<Vec<f32>, StudyError> {
        let inputs = Inputs { bytes: bytes.into(), frames: like.frames.clone(), without: Vec::new() };
        Ok(self.kept(&self.run.draw(self.posterior, &inputs, self.options.samples, self.options.seed)?))
    }

    /// The probabilities that are kept.
    fn kept(&self, drawn: &[f32]) -> Vec<f32> {
        drawn.chunks_exact(self.posterior.classes()).flat_map(|p| &p[kept_classes(self.task)]).copied().collect()
    }

    /// Crops through JPEG.
    fn reencoded(&self, bytes: &[u8]) -> Result<Vec<u8>, StudyError> {
        let side = self.run.size();
        let quality = self.options.reencode.unwrap_or(90);
        let failed = |e: image::ImageError| StudyError::Input {
            message: format!("a crop of {side} x {side} pixels can't be encoded as JPEG: {e}"),
            hint: "leave --reencode out".into(),
        };
        let mut out = Vec::with_capacity(bytes.len());
        for crop in bytes.chunks_exact(side as usize * side as usize * 3) {
            let mut jpeg = Vec::new();
            let encoder = JpegEncoder::new_with_quality(&mut jpeg, quality);
            encoder.write_image(crop, side, side, ExtendedColorType::Rgb8).map_err(failed)?;
            let image = image::load_from_memory_with_format(&jpeg, ImageFormat::Jpeg).map_err(failed)?;
            out.extend(image.into_rgb8().into_raw());
        }
        Ok(out)
    }
}

/// Conditions by epsilon and variant, to look them up.
fn by_place(conditions: &[Condition]) -> BTreeMap<(u32, Variant), &Condition> {
    conditions.iter().map(|c| ((c.epsilon.to_bits(), c.variant), c)).collect()
}
