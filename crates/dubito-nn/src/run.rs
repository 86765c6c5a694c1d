//! A run: the folder a trained detector lives in, `weights.safetensors`, `config.json`, `model_card.md`.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::NnError;
use crate::architectures::{Architecture, NetworkConfig, Preprocessing};
use crate::detector::Detector;
use crate::dropout::{Boundary, check_rate};
use crate::inference::{
    Deterministic, EvidentialPosterior, Inference, McDropoutPosterior, Posterior, ScaledPosterior, Views,
    ViewsPosterior, check_temperature,
};
use crate::prior::VerdictPosterior;
use crate::state::write_atomic;

/// The version of the run's format that is written, and the only one read.
pub const RUN_VERSION: u32 = 2;

/// What a detector's classes are made of, and what was kept from it. Training does not read it; those who label data for
/// the detector do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainedOn {
    /// Name of the task, e.g. `binary` or `multiclass`; empty where it is not known.
    pub task: String,
    /// For each class the generators that it was learned from, each as `DATASET/GENERATOR`; `DATASET/real` for videos
    /// that nobody changed (null controls among them). Empty where it is not known.
    pub generators: Vec<Vec<String>>,
    /// The class of fakes whose generator is not among [`generators`](Self::generators), where the task has one (the
    /// `fake` of the binary task).
    pub rest: Option<usize>,
    /// Generators that were left out on purpose, in the same form, their families' others among them: the detector never
    /// saw how they work.
    pub left_out: Vec<String>,
    /// The prior of the classes that the network's own answers are for, in their order; empty where it is not known: then that of
    /// equally common classes. [`Run::verdict`] says what it is for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub class_prior: Vec<f64>,
    /// Generators that were kept out of training as well, since part of how they work is that of a generator left out;
    /// the other part was seen, so they count neither as seen nor as unseen.
    pub set_aside: Vec<String>,
}

/// Everything that is needed to use a detector, besides its weights: `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Version of this format, [`RUN_VERSION`].
    pub version: u32,
    /// The architecture, e.g. `resnet18`.
    pub detector: Architecture,
    /// Its size.
    pub network: NetworkConfig,
    /// Names of the classes, in the order of the probabilities.
    pub class_names: Vec<String>,
    /// What the classes are made of, and what was left out.
    #[serde(default)]
    pub trained_on: TrainedOn,
    /// How a face becomes its input: the size that it was trained on, the margin, the normalisation.
    pub preprocessing: Preprocessing,
    /// Dropout rate, of training and of posterior samples; 0 makes a deterministic detector.
    pub dropout: f32,
    /// Where dropout begins.
    pub boundary: Boundary,
    /// How samples are drawn, where it is not by dropout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference: Option<Inference>,
    /// What the logits of every sample are divided by, 1 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub softmax_temperature: Option<f32>,
    /// Seed of weights, order and augmentation.
    pub seed: u64,
    /// Epoch (from 1) whose weights these are.
    pub epoch: usize,
    /// Its mean negative log-likelihood on the validation set, in nats.
    pub valid_loss: f64,
    /// Version of the program that made the run.
    pub made_by: String,
}

impl RunConfig {
    /// Checks every field.
    fn check(&self) -> Result<(), NnError> {
        if self.class_names.len() != self.network.classes {
            let expected = format!("{} names, one for each class", self.network.classes);
            return Err(NnError::setting("class_names", expected, self.class_names.len()));
        }
        if let Some(twice) = (1..self.class_names.len()).find(|&k| self.class_names[..k].contains(&self.class_names[k]))
        {
            return Err(NnError::setting(
                "class_names",
                "each name once",
                format!("`{}` twice", self.class_names[twice]),
            ));
        }
        self.check_class_prior()?;
        self.preprocessing.check()?;
        check_rate(self.dropout)?;
        let network = self.detector.network(&self.network)?;
        self.boundary.check("boundary", &network)?;
        if let Some(inference) = &self.inference {
            inference.check(&network)?;
        }
        self.check_evidential()?;
        self.softmax_temperature.map_or(Ok(()), check_temperature)
    }

    /// How samples are drawn, in words.
    pub fn posterior_in_words(&self) -> String {
        let method = match &self.inference {
            Some(inference) => inference.in_words(),
            None => format!("Monte Carlo dropout at rate {} from `{}` on", self.dropout, self.boundary),
        };
        match self.softmax_temperature {
            Some(temperature) => format!("{method}; logits divided by {temperature:.3}"),
            None => method,
        }
    }
}

/// A trained detector in its folder.
#[derive(Debug, Clone)]
pub struct Run {
    /// The folder.
    pub dir: PathBuf,
    /// What `config.json` says.
    pub config: RunConfig,
}

impl Run {
    /// Opens a run's folder and checks its configuration; the weights are read later.
    ///
    /// # Errors
    /// [`NnError::Io`], [`NnError::Corrupt`] or [`NnError::Setting`] that say what to do.
    pub fn load(dir: &Path) -> Result<Self, NnError> {
        let path = dir.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|e| {
            // Of a folder that is not there the error names the folder, not a file in it that nobody gave.
            NnError::io(if dir.exists() { &path } else { dir }, "read", e)
        })?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| NnError::corrupt(&path, format!("is not JSON: {e}")))?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(v) if v == u64::from(RUN_VERSION) => {}
            found => {
                let found = found.map_or("no version".to_owned(), |v| format!("version {v}"));
                return Err(NnError::corrupt(
                    &path,
                    format!(
                        "has {found}, expected {RUN_VERSION}: the format of runs has changed; train the detector again"
                    ),
                ));
            }
        }
        let config: RunConfig = serde_json::from_value(value)
            .map_err(|e| NnError::corrupt(&path, format!("is not a run's configuration: {e}")))?;
        config.check().map_err(NnError::in_file(&path))?;
        Ok(Self { dir: dir.to_owned(), config })
    }

    /// The detector with its weights on a device.
    ///
    /// # Errors
    /// As [`Detector::load`].
    pub fn detector(&self, device: &Device) -> Result<Detector, NnError> {
        let path = self.dir.join("weights.safetensors");
        Detector::load(self.config.detector, &self.config.network, &path, device).map_err(NnError::in_file(&path))
    }

    /// The posterior that the run was made for: that of [`RunConfig::inference`]; without it Monte Carlo dropout, or
    /// deterministic where the rate is 0.
    ///
    /// # Errors
    /// As [`Run::detector`], and of what the method keeps beside the weights.
    pub fn posterior(&self, device: &Device) -> Result<Box<dyn Posterior>, NnError> {
        let posterior = self.unscaled(device)?;
        Ok(match self.config.softmax_temperature {
            Some(temperature) => Box::new(ScaledPosterior::new(posterior, temperature)?),
            None => posterior,
        })
    }

    /// [`Run::posterior`] for a verdict: of several classes of which one is `real`, real and fake are equally likely before
    /// anything is seen, so that a network that knows nothing says P(fake) = 0.5 ([`RunConfig::verdict_factors`]). `views` are
    /// those of [`Run::views`].
    ///
    /// # Errors
    /// As [`Run::posterior`] and [`Run::views`]; of its samples [`NnError::NotFinite`] where the network answers with no number.
    pub fn verdict(&self, views: Option<Views>, device: &Device) -> Result<Box<dyn Posterior>, NnError> {
        let posterior = match (views, &self.config.inference, self.config.verdict_factors()) {
            (Some(views), ..) => self.views(views, device)?,
            // Its samples are of no network: a factor to each would not be one to their mean.
            (None, Some(inference @ Inference::Evidential(_)), Some(factors)) => {
                inference.check_arrays(&self.dir)?;
                let posterior = EvidentialPosterior::with_factors(self.detector(device)?, &factors);
                return Ok(Box::new(VerdictPosterior::new(Box::new(posterior), None, &self.dir)));
            }
            (None, ..) => self.posterior(device)?,
        };
        Ok(self.for_verdict(posterior))
    }

    /// A posterior of this run's classes, for a verdict as [`Run::verdict`].
    pub fn for_verdict(&self, posterior: Box<dyn Posterior>) -> Box<dyn Posterior> {
        Box::new(VerdictPosterior::new(posterior, self.config.verdict_factors(), &self.dir))
    }

    /// One network that says by itself what [`Run::verdict`] says on average where the method adds nothing to the weights: its
    /// logits are divided by the run's temperature, and the prior of a verdict is in its last layer. For other programs.
    ///
    /// # Errors
    /// As [`Run::detector`].
    pub fn verdict_network(&self, device: &Device) -> Result<Detector, NnError> {
        let net = self.detector(device)?;
        let (factors, temperature) = (self.config.verdict_factors(), self.config.softmax_temperature);
        if factors.is_none() && temperature.is_none() {
            return Ok(net);
        }
        let (mut state, last) = (net.to_state(), self.config.detector.classifier());
        for part in ["weight", "bias"] {
            let Some(array) = state.get_mut(&format!("{last}.{part}")) else { continue };
            array.values.iter_mut().for_each(|value| *value /= temperature.unwrap_or(1.0));
            if let (Some(factors), "bias") = (&factors, part) {
                array.values.iter_mut().zip(factors).for_each(|(value, factor)| *value += factor.ln() as f32);
            }
        }
        Detector::from_state(self.config.detector, &self.config.network, &state, device)
    }

    /// Views of each crop, seen by the network that the run is on average: test-time augmentation. What its samples disagree
    /// about is between views, and nothing about the weights.
    ///
    /// # Errors
    /// As [`Run::detector`]; [`NnError::Setting`] for a detector of signals, whose pictures have no views, and an evidential one.
    pub fn views(&self, views: Views, device: &Device) -> Result<Box<dyn Posterior>, NnError> {
        if let Some(signal) = self.config.preprocessing.signal {
            let found = format!("{}, which looks at `{}`", self.dir.display(), signal.kind());
            return Err(NnError::setting("views", "a detector of crops", found));
        }
        if let Some(Inference::Evidential(_)) = &self.config.inference {
            let found = format!("{}, whose network says a Dirichlet", self.dir.display());
            return Err(NnError::setting("views", "a run whose network says probabilities", found));
        }
        let net: Box<dyn Posterior> = Box::new(Deterministic::new(self.detector(device)?));
        let net = match self.config.softmax_temperature {
            Some(temperature) => Box::new(ScaledPosterior::new(net, temperature)?),
            None => net,
        };
        Ok(Box::new(ViewsPosterior::new(net, self.config.preprocessing.normalisation, views)?))
    }

    /// The posterior before its logits are divided.
    fn unscaled(&self, device: &Device) -> Result<Box<dyn Posterior>, NnError> {
        let net = self.detector(device)?;
        let RunConfig { boundary, dropout, .. } = self.config;
        match &self.config.inference {
            Some(inference) => inference.posterior(net, &self.dir),
            None if dropout == 0.0 => Ok(Box::new(Deterministic::new(net))),
            None => Ok(Box::new(McDropoutPosterior::new(net, boundary, dropout)?)),
        }
    }

    /// A batch for the posterior, `[items, channels, h, w]`, from inputs `[items, h, w, channels]` of bytes, each of
    /// [`Preprocessing::shape`]: RGB crops of the run's input size, or pictures of its signal.
    ///
    /// # Errors
    /// [`NnError::Input`] where the bytes are not a whole number of inputs, or none.
    pub fn batch(&self, inputs: &[u8], device: &Device) -> Result<Tensor<4>, NnError> {
        let preprocessing = &self.config.preprocessing;
        let shape @ [h, w, channels] = preprocessing.shape();
        let one = h * w * channels;
        if inputs.is_empty() || !inputs.len().is_multiple_of(one) {
            return Err(NnError::Input {
                what: "crops",
                expected: format!("items * {h} * {w} * {channels} bytes, 1 item or more"),
                found: vec![inputs.len()],
            });
        }
        let mut values = vec![0.0; inputs.len()];
        for (input, out) in inputs.chunks_exact(one).zip(values.chunks_exact_mut(one)) {
            match preprocessing.signal {
                None => preprocessing.normalisation.planes(input, h, None, out),
                Some(_) => preprocessing.normalisation.signal_planes(input, shape, out),
            }
        }
        Ok(Tensor::from_data(TensorData::new(values, [inputs.len() / one, channels, h, w]), device))
    }
}

/// Writes a value as indented JSON, atomically.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), NnError> {
    let mut text = serde_json::to_string_pretty(value).map_err(|e| NnError::corrupt(path, e.to_string()))?;
    text.push('\n');
    write_atomic(path, text.as_bytes())
}
