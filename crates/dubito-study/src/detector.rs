//! What judges crops: a run of our own, or an ONNX file of somebody else's.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use dubito_data::handwritten;
use dubito_data::manifest::{Label, Row};
use dubito_nn::{
    FakeClass, KnownBy, NnError, OnnxDetector, OnnxOptions, Posterior, Run, RunConfig, Signal, VerdictPosterior,
    Victim, Views, device,
};

use crate::StudyError;
use crate::inputs::Inputs;
use crate::lesson::{Known, class_for};

/// What takes samples as they come: how many, and their probabilities; it says when it has enough.
pub(crate) type SampleSink<'a> = dyn FnMut(usize, &[f32]) -> Result<ControlFlow<()>, StudyError> + 'a;

/// What judges crops, before its weights are on a device.
pub enum Detector {
    /// A folder that `train` wrote; the views that its samples are, if they are.
    Run(Box<Run>, Option<Views>),
    /// An ONNX file.
    Onnx(Box<OnnxDetector>),
}

/// The options in the JSON file beside an ONNX file: what is wrong in one, which somebody wrote by hand, is said with its line.
fn options_beside(path: &Path) -> Result<OnnxOptions, StudyError> {
    let file = OnnxOptions::file(path);
    if !file.is_file() {
        return Ok(OnnxOptions::default());
    }
    let text = handwritten::read(&file)?;
    handwritten::from_json(&text).map_err(|fault| {
        fault.of(&file, "docs/DETECT.md lists what describes an ONNX detector, with an example").into()
    })
}

impl Detector {
    /// Opens a run's folder, or an ONNX file with the options in the JSON file beside it ([`OnnxOptions::file`]). With
    /// `views` its samples are views of each image, of a run seen by the network that it is on average: [`Views::default`], or
    /// those of the options.
    ///
    /// # Errors
    /// What is there can't be read or run, or is not there.
    pub fn open(path: &Path, views: bool) -> Result<Self, StudyError> {
        let has_its_name = path.extension().is_some_and(|extension| extension == "onnx");
        if path.is_dir() || !(path.exists() || has_its_name) {
            return Ok(Self::Run(Box::new(Run::load(path)?), views.then(Views::default)));
        }
        let mut options = options_beside(path)?;
        options.views = views.then(|| options.views.unwrap_or_default());
        Ok(Self::Onnx(Box::new(OnnxDetector::open(path, options)?)))
    }

    /// Its architecture, or the ONNX file's name.
    pub fn name(&self) -> String {
        match self {
            Self::Run(run, _) => run.config.detector.to_string(),
            Self::Onnx(onnx) => onnx.path().file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Run(run, _) => &run.dir,
            Self::Onnx(onnx) => onnx.path(),
        }
    }

    /// Names of its classes, in the order of the probabilities.
    pub fn class_names(&self) -> Vec<String> {
        match self {
            Self::Run(run, _) => run.config.class_names.clone(),
            Self::Onnx(_) => ["real", "fake"].map(String::from).to_vec(),
        }
    }

    /// Of an ONNX file, which class counts as fake and how that is known.
    pub fn fake_class(&self) -> Option<&FakeClass> {
        match self {
            Self::Run(..) => None,
            Self::Onnx(onnx) => Some(onnx.fake_class()),
        }
    }

    /// What a reader of its answers should know of it, unless the options say it.
    pub fn note(&self) -> Option<String> {
        self.fake_class().filter(|fake| fake.known_by != KnownBy::Option).map(|fake| fake.note.clone())
    }

    /// Side of its crops in pixels.
    pub fn size(&self) -> u32 {
        match self {
            Self::Run(run, _) => run.config.preprocessing.input_size,
            Self::Onnx(onnx) => onnx.size(),
        }
    }

    /// Margin around the face in parts of its size: that of the crops a run was trained on, or what the options of an ONNX
    /// file say.
    pub fn margin(&self) -> Option<f32> {
        match self {
            Self::Run(run, _) => Some(run.config.preprocessing.margin),
            Self::Onnx(onnx) => onnx.options().margin,
        }
    }

    /// The signal that it looks at in the place of crops, if it does.
    pub fn signal(&self) -> Option<Signal> {
        match self {
            Self::Run(run, _) => run.config.preprocessing.signal,
            Self::Onnx(_) => None,
        }
    }

    /// What tells its weights and settings from others', in hexadecimal.
    ///
    /// # Errors
    /// The weights can't be read.
    pub fn hash(&self) -> Result<String, StudyError> {
        let signal = self.signal().and_then(|signal| serde_json::to_string(&signal).ok()).unwrap_or_default();
        let (paths, settings) = match self {
            Self::Run(run, views) => {
                let RunConfig { inference, softmax_temperature, .. } = &run.config;
                let (mut files, mut settings) = (vec![run.dir.join("weights.safetensors")], signal);
                if let Some(inference) = inference {
                    files.push(run.dir.join("inference.safetensors"));
                    settings += &serde_json::to_string(inference).unwrap_or_default();
                }
                if let Some(views) = views {
                    settings += &format!(" views {}", serde_json::to_string(views).unwrap_or_default());
                }
                if let Some(temperature) = softmax_temperature {
                    settings += &format!(" temperature {temperature}");
                }
                if let Some(factors) = run.config.verdict_factors() {
                    settings += &format!(" prior {factors:?}");
                }
                (files, settings)
            }
            Self::Onnx(onnx) => {
                // What a file beside it says counts too.
                let taken_for = (onnx.options(), onnx.output(), onnx.fake_class().class);
                (onnx.files().map(Path::to_owned).collect(), serde_json::to_string(&taken_for).unwrap_or_default())
            }
        };
        let hash = |path: &PathBuf| {
            let bytes = std::fs::read(path).map_err(StudyError::io(path))?;
            Ok(blake3::hash(&bytes).to_hex().to_string())
        };
        let mut parts = paths.iter().map(hash).collect::<Result<Vec<String>, StudyError>>()?;
        parts.extend((!settings.is_empty()).then_some(settings));
        Ok(parts.join(" "))
    }

    /// Its posterior on a device. An ONNX detector runs on the CPU.
    ///
    /// # Errors
    /// The weights can't be read, or there is no such device.
    pub fn posterior(&self, name: &str) -> Result<Box<dyn Posterior>, StudyError> {
        match self {
            Self::Run(run, views) => Ok(run.verdict(*views, &device(name)?)?),
            Self::Onnx(onnx) => {
                if name != "cpu" {
                    let reason = "an ONNX detector runs on the CPU; use `cpu`".to_owned();
                    return Err(NnError::Device { name: name.to_owned(), reason }.into());
                }
                Ok(Box::new(VerdictPosterior::new(Box::new((**onnx).clone()), None, onnx.path())))
            }
        }
    }

    /// What an attack attacks: a posterior of this detector, on pixels.
    pub fn victim<'a>(&self, posterior: &'a dyn Posterior) -> Victim<'a> {
        match self {
            Self::Run(run, _) => Victim::of_run(run, posterior),
            Self::Onnx(onnx) => Victim::of_onnx(onnx, posterior),
        }
    }

    /// Samples for the [`inputs`](crate::inputs) of a clip, a few at a time: probabilities `[items, samples, classes]`, row by
    /// row.
    ///
    /// # Errors
    /// The clip's crops are not of its size, or the posterior fails.
    pub fn draw(
        &self,
        posterior: &dyn Posterior,
        inputs: &Inputs<'_>,
        samples: u32,
        seed: u64,
    ) -> Result<Vec<f32>, StudyError> {
        let mut values = Vec::with_capacity(inputs.len() * samples as usize * posterior.classes());
        for bytes in inputs.batches() {
            let batch = match self {
                Self::Run(run, _) => run.batch(bytes, posterior.device())?,
                Self::Onnx(onnx) => onnx.batch(bytes)?,
            };
            let drawn = posterior.draw(batch, 0..samples, seed)?.into_data().convert::<f32>();
            values.extend(drawn.try_to_vec::<f32>().map_err(|e| unreadable(&e))?);
        }
        Ok(values)
    }

    /// Samples of inputs that go through the network together, as they come: `sink` gets how many, and their
    /// probabilities `[items, samples, classes]`, row by row; it says when it has enough.
    pub(crate) fn stream(
        &self,
        posterior: &dyn Posterior,
        bytes: &[u8],
        samples: Range<u32>,
        seed: u64,
        sink: &mut SampleSink<'_>,
    ) -> Result<(), StudyError> {
        let batch = match self {
            Self::Run(run, _) => run.batch(bytes, posterior.device())?,
            Self::Onnx(onnx) => onnx.batch(bytes)?,
        };
        let mut told = Ok(ControlFlow::Continue(()));
        let ended = posterior.stream(batch, samples, seed, &mut |range, chunk| {
            let drawn = chunk.into_data().convert::<f32>().try_to_vec::<f32>().map_err(|e| unreadable(&e));
            told = drawn.and_then(|p| sink(range.len(), &p));
            match told {
                Ok(ControlFlow::Continue(())) => Ok(()),
                // The stream ends by it; what it ended for is in `told`.
                _ => Err(NnError::Stopped { epoch: 0 }),
            }
        });
        match told? {
            ControlFlow::Continue(()) => Ok(ended?),
            ControlFlow::Break(()) => Ok(()),
        }
    }

    /// The class of a video for it, and what it knows of its maker ([`class_for`]); nothing is known of what a foreign
    /// detector learned from, so everything counts as seen.
    pub fn class_for(&self, row: &Row) -> (Option<usize>, Known) {
        match self {
            Self::Run(run, _) => class_for(&run.config, row),
            Self::Onnx(_) => (Some(usize::from(row.label == Label::Fake)), Known::Seen),
        }
    }

    /// What it was taught, to see whether two are alike.
    pub(crate) fn taught(&self) -> (Vec<String>, dubito_nn::TrainedOn) {
        match self {
            Self::Run(run, _) => (run.config.class_names.clone(), run.config.trained_on.clone()),
            Self::Onnx(_) => (self.class_names(), dubito_nn::TrainedOn::default()),
        }
    }

    /// What the user should know of it: that a run of several classes does not say the prior that its answers are for.
    pub fn notes(&self) -> Vec<String> {
        let Self::Run(run, _) = self else { return Vec::new() };
        let is_said = !run.config.trained_on.class_prior.is_empty();
        let is_assumed = !is_said && run.config.verdict_factors().is_some();
        let note = format!(
            "{}: config.json does not say the prior of its {} classes (trained_on.class_prior): they are taken for equally common; \
             train it again if an earlier version did",
            run.dir.display(),
            run.config.class_names.len()
        );
        is_assumed.then_some(note).into_iter().collect()
    }

    /// The views that its samples are, if they are.
    pub fn views(&self) -> Option<Views> {
        match self {
            Self::Run(_, views) => *views,
            Self::Onnx(onnx) => onnx.options().views,
        }
    }
}

fn unreadable(error: &dyn std::fmt::Debug) -> StudyError {
    StudyError::Input {
        message: format!("samples could not be read from the device: {error:?}"),
        hint: "run again with --device cpu".into(),
    }
}
