//! Training of a detector on labelled crops: deterministic by its seed, exact to resume.

mod card;
mod config;
mod crops;
mod loss;
mod maps;
mod strata;
mod trainer;
mod trunk;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

pub use self::config::TrainConfig;
pub use self::crops::{CropError, Crops, MemoryCrops};
pub use self::loss::LossConfig;
pub(crate) use self::strata::balanced_weights;
use self::trainer::Trainer;
pub use self::trunk::Trunk;
use crate::NnError;

/// How far a training is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainProgress {
    /// Epoch from 1; 0 while the frozen stages' output is computed.
    pub epoch: usize,
    /// Most epochs.
    pub epochs: usize,
    /// Steps done in this epoch; in epoch 0, crops.
    pub step: usize,
    /// Steps in an epoch; in epoch 0, crops.
    pub steps: usize,
    /// Mean training loss of this epoch so far, in nats; none in epoch 0.
    pub loss: Option<f64>,
    /// Validation loss after the last whole epoch, in nats.
    pub valid_loss: Option<f64>,
    /// Crops per second in this epoch.
    pub images_per_second: f64,
    /// Told once more after each whole epoch, when its checkpoint and its line of `history.json` are written.
    pub saved: bool,
}

/// What one epoch came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: usize,
    /// Mean over its training steps of what is made small ([`TrainConfig::loss`]), with dropout and augmentation, in nats.
    pub train_loss: f64,
    /// Mean negative log-likelihood on the validation set (weighed as [`TrainConfig::class_balance`] says), without
    /// either, in nats, at the temperature
    /// (of a few between 0.5 and 16) that makes it lowest: a network that has learned more is not passed
    /// over because it is also surer of itself ("refine, then calibrate", Berta et al. 2025,
    /// arXiv:2501.19195). The temperature is not kept.
    pub valid_loss: f64,
    /// Part of the validation set (weighed in the same way) whose most probable class is its own.
    pub valid_accuracy: f64,
    /// Learning rate of its last step.
    pub learning_rate: f32,
    /// Of Gaussian weights: how far they are from their prior, in nats (the Kullback-Leibler divergence, summed over the
    /// weights).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<f64>,
}

/// What a training came to.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainReport {
    /// Every epoch, those before an interruption too.
    pub history: Vec<EpochRecord>,
    /// The epoch with the lowest validation loss, whose weights were kept.
    pub best_epoch: usize,
    /// Its validation loss, in nats.
    pub valid_loss: f64,
    /// Whether fewer epochs than the most were needed.
    pub stopped_early: bool,
    /// Training crops per second, over this call's epochs; none where it had nothing left to do.
    pub images_per_second: Option<f64>,
}

/// What a checkpoint says besides its arrays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Progress {
    config: TrainConfig,
    crops: [usize; 2],
    /// The prior of the classes in an epoch, of which the network's own answers are freed; empty where they are not.
    #[serde(default)]
    prior: Vec<f64>,
    steps: u32,
    history: Vec<EpochRecord>,
}

impl Progress {
    fn best(&self) -> Option<&EpochRecord> {
        if self.config.swag().is_some() || self.config.snapshot_every().is_some() {
            // A mean over epochs is best after the last, and so is what is kept of each cycle.
            return self.history.last();
        }
        self.history.iter().min_by(|a, b| a.valid_loss.total_cmp(&b.valid_loss))
    }

    fn done(&self) -> bool {
        let epoch = self.history.len();
        let waited = self.best().map_or(0, |best| epoch - best.epoch);
        epoch >= self.config.epochs || (self.config.patience > 0 && waited >= self.config.patience)
    }
}

/// Trains a detector into the folder `dir`.
///
/// After each epoch everything is written to `checkpoint.safetensors`; called again with the same
/// configuration and data after an interruption, training goes on from there to the same weights, bit
/// for bit. The epoch with the lowest validation loss is kept as the run ([`crate::Run`]):
/// `weights.safetensors`, `config.json`, `history.json`, `model_card.md`. A folder whose run is
/// finished is left as it is and reported. Where `trunk` is given, what the frozen stages make of the crops is read there
/// instead of being computed; without frozen stages it is nothing.
///
/// # Errors
/// [`NnError::Setting`] and [`NnError::Data`] before anything is written; [`NnError::Crop`],
/// [`NnError::Io`]; [`NnError::Diverged`] where the loss is not finite, [`NnError::Stopped`] where
/// `progress` breaks: both leave the last checkpoint.
pub fn train(
    config: &TrainConfig,
    train: &dyn Crops,
    valid: &dyn Crops,
    trunk: Option<&Trunk>,
    dir: &Path,
    device: &Device,
    progress: &mut dyn FnMut(TrainProgress) -> ControlFlow<()>,
) -> Result<TrainReport, NnError> {
    let frozen = config.check()?;
    check_data(config, train, valid)?;
    std::fs::create_dir_all(dir).map_err(|e| NnError::io(dir, "create", e))?;
    let mut trainer = Trainer::begin(config, frozen, train, valid, dir, device)?;
    let mut rate = None;
    if !trainer.state.done() {
        let (train_maps, valid_maps) = trainer.trunk(train, valid, trunk, progress)?;
        while !trainer.state.done() {
            rate = Some(trainer.epoch(&train_maps, &valid_maps, progress)?);
        }
    }
    trainer.finish(train)?;
    let state = trainer.state;
    let (best_epoch, valid_loss) = state.best().map_or((0, f64::NAN), |best| (best.epoch, best.valid_loss));
    Ok(TrainReport {
        best_epoch,
        valid_loss,
        stopped_early: state.history.len() < config.epochs,
        history: state.history,
        images_per_second: rate,
    })
}

fn check_data(config: &TrainConfig, train: &dyn Crops, valid: &dyn Crops) -> Result<(), NnError> {
    let fail = |reason: String| Err(NnError::Data { reason });
    let shape = train.shape();
    if train.len() < 2 || valid.is_empty() {
        return fail(format!(
            "{} training and {} validation crops; at least 2 and 1 are needed",
            train.len(),
            valid.len()
        ));
    }
    if shape[0].min(shape[1]) < 32 || shape != valid.shape() || train.size() != valid.size() {
        let other = valid.shape();
        return fail(format!("crops of {shape:?} and {other:?}; both sets need the same size, 32 or more"));
    }
    let expected =
        config.signal().map_or([train.size() as usize, train.size() as usize, 3], |s| s.shape(train.size() as usize));
    if shape != expected {
        return fail(format!("crops are {shape:?}, {} looks at {expected:?}", config.detector));
    }
    let classes = config.class_names.len();
    for (set, name) in [(train, "training"), (valid, "validation")] {
        if let Some(i) = (0..set.len()).find(|&i| set.class(i) >= classes) {
            return fail(format!("{name} crop {i} has class {}, but there are {classes} class names", set.class(i)));
        }
    }
    let seen: BTreeSet<usize> = (0..train.len()).map(|i| train.class(i)).collect();
    if let Some(class) = (0..classes).find(|c| !seen.contains(c)) {
        return fail(format!("no training crop is of class `{}`", config.class_names[class]));
    }
    let groups = |set: &dyn Crops| (0..set.len()).map(|i| set.group(i)).collect::<BTreeSet<_>>();
    if let Some(shared) = groups(train).intersection(&groups(valid)).next() {
        return fail(format!("identity {shared} is in the training and the validation set; split by identity"));
    }
    Ok(())
}
