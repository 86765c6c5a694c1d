//! A run that is ready to be explained: its posterior and network, and bytes in where tensors are inside.

use std::path::Path;

use dubito_nn::{
    Deterministic, Explained, Map, McDropoutPosterior, Method, Posterior, Quantity, Run, device, grad_cam,
    log_odds_of_fake,
};

use crate::{Detector, StudyError};

/// Most crops that go through the network together.
const BATCH: usize = 32;
/// Dropout rate of the network with random weights, where the run has none.
const RATE: f32 = 0.2;

/// How samples are drawn for maps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draw {
    pub(crate) samples: u32,
    pub(crate) seed: u64,
    pub(crate) device: String,
}

/// A run that is ready to be explained.
pub(crate) struct Ready {
    pub(crate) run: Run,
    posterior: Box<dyn Posterior>,
    net: dubito_nn::Detector,
    /// What [`Quantity::PFake`] is of, where the run has a class `real`.
    pub(crate) real: Option<usize>,
    pub(crate) hash: String,
    draw: Draw,
}

/// All four quantities in the order of [`Quantity::ALL`].
pub(crate) type Values = [f64; 4];

impl Ready {
    /// [`Ready::open`]; why a run can't be explained is added to `skipped`, and is no error.
    pub(crate) fn open_or_say(dir: &Path, draw: &Draw, skipped: &mut Vec<String>) -> Result<Option<Self>, StudyError> {
        match Self::open(dir, draw) {
            Ok(ready) => Ok(Some(ready)),
            Err(StudyError::Input { message, .. }) => {
                skipped.push(message);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a run's folder.
    ///
    /// # Errors
    /// It can't be read, is an ONNX file (which has no gradients), or looks at signals and not at crops.
    pub(crate) fn open(dir: &Path, draw: &Draw) -> Result<Self, StudyError> {
        let detector = Detector::open(dir, false)?;
        let (hash, signal) = (detector.hash()?, detector.signal());
        let no = |message: &str| StudyError::Input {
            message: format!("{}: {message}", dir.display()),
            hint: "give the folder of a run that `dubito train` wrote, of a detector that looks at crops".into(),
        };
        let Detector::Run(run, _) = detector else { return Err(no("an ONNX file has no gradients to make maps of")) };
        if signal.is_some() {
            return Err(no("it looks at a signal in time, which has no pixels of the face to make maps of"));
        }
        let device = device(&draw.device)?;
        let (posterior, net) = (run.verdict(None, &device)?, run.detector(&device)?);
        let real = run.config.class_names.iter().position(|name| name == "real");
        Ok(Self { run: *run, posterior, net, real, hash, draw: draw.clone() })
    }

    /// The same architecture with random weights, its batch norm measured on some crops.
    ///
    /// # Errors
    /// Crops of another size.
    pub(crate) fn randomised(&self, crops: &[u8], seed: u64) -> Result<Self, StudyError> {
        let net = self.net.randomised(seed, self.run.batch(crops, self.net.device())?)?;
        let rate = if self.run.config.dropout > 0.0 { self.run.config.dropout } else { RATE };
        let posterior: Box<dyn Posterior> = match self.draw.samples {
            1 => Box::new(Deterministic::new(net.clone())),
            _ => Box::new(McDropoutPosterior::new(net.clone(), self.run.config.boundary, rate)?),
        };
        let posterior = self.run.for_verdict(posterior);
        let (run, hash, draw) = (self.run.clone(), self.hash.clone(), self.draw.clone());
        Ok(Self { run, posterior, net, real: self.real, hash, draw })
    }

    /// Side of its crops.
    pub(crate) fn size(&self) -> usize {
        self.run.config.preprocessing.input_size as usize
    }

    /// The quantities that it has.
    pub(crate) fn quantities(&self) -> Vec<Quantity> {
        Quantity::ALL.into_iter().filter(|q| *q != Quantity::PFake || self.real.is_some()).collect()
    }

    /// All quantities of crops `[items, size, size, 3]`; P(fake) is 1 without a class `real`.
    ///
    /// # Errors
    /// Crops of another size, or the posterior fails.
    pub(crate) fn values(&self, crops: &[u8]) -> Result<Vec<Values>, StudyError> {
        let one = self.size().pow(2) * 3;
        let (classes, samples) = (self.posterior.classes(), self.draw.samples);
        let mut out = Vec::with_capacity(crops.len() / one);
        for part in crops.chunks(BATCH * one) {
            let batch = self.run.batch(part, self.posterior.device())?;
            let drawn = self.posterior.draw(batch, 0..samples, self.draw.seed)?.into_data();
            let drawn: Vec<f32> = drawn.iter::<f32>().collect();
            let items = drawn.chunks_exact(samples as usize * classes);
            out.extend(items.map(|item| Quantity::ALL.map(|q| q.of_samples(item, classes, self.real))));
        }
        Ok(out)
    }

    /// A map of one crop.
    ///
    /// # Errors
    /// As [`Explained::maps`].
    pub(crate) fn map(&self, crop: &[u8], quantity: Quantity, method: Method) -> Result<Map, StudyError> {
        let explained = Explained {
            posterior: self.posterior.as_ref(),
            samples: 0..self.draw.samples,
            seed: self.draw.seed,
            quantity,
            real: self.real,
            deviation: self.run.config.preprocessing.normalisation.std,
        };
        let maps = explained.maps(method, &self.run.batch(crop, self.posterior.device())?)?;
        maps.into_iter().next().ok_or_else(|| StudyError::Input {
            message: "no crop to make a map of".into(),
            hint: "give a clip with a frame".into(),
        })
    }

    /// Grad-CAM of the log-odds of fake, of the run's network without dropout or noise.
    ///
    /// # Errors
    /// As [`grad_cam`].
    pub(crate) fn grad_cam(&self, crop: &[u8]) -> Result<Vec<f32>, StudyError> {
        let maps = grad_cam(&self.net, self.run.batch(crop, self.net.device())?, &log_odds_of_fake(self.real))?;
        Ok(maps.into_iter().next().unwrap_or_default())
    }
}
