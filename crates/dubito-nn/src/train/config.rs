//! How to train: settings with defaults, checked before anything is done.

use std::path::PathBuf;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::loss::LossConfig;
use super::trainer::untrained;
use crate::NnError;
use crate::architectures::{Architecture, NetworkConfig};
use crate::augment::{AugmentConfig, Normalisation};
use crate::dropout::{Boundary, check_rate};
use crate::inference::{Evidential, Inference, Masksembles, Swag, Variational};
use crate::init::Init;
use crate::network::Network;
use crate::optim::{OptimiserConfig, ScheduleConfig, ScheduleName};
use crate::run::TrainedOn;
use crate::signal::Signal;

/// How to train. Every field has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The architecture, e.g. `resnet18` or `mobilenet_v2`.
    pub detector: Architecture,
    /// Names of the classes; a crop's class is an index into them. 2 or more.
    pub class_names: Vec<String>,
    /// What the classes are made of, and what was left out; kept in the run's `config.json`.
    pub trained_on: TrainedOn,
    /// Where these settings come from, for the model card; two trainings that differ in it alone are the same.
    pub recipe: String,
    /// Most epochs, 1 or more.
    pub epochs: usize,
    /// Crops in a step, 2 or more.
    pub batch: usize,
    /// What moves the weights.
    pub optimiser: OptimiserConfig,
    /// How the learning rate goes down.
    pub schedule: ScheduleConfig,
    /// What is made small.
    pub loss: LossConfig,
    /// Stages up to and with this one (`stem`, `layer1` to `layer4`) stay as they are, and their
    /// output is computed once and cached; none are frozen without it.
    pub freeze: Option<String>,
    /// How many variants of each crop are cached where stages are frozen: the crop itself, then
    /// augmented ones; an epoch takes them in turn. 1 or more.
    pub augment_copies: usize,
    /// Augmentation of training crops; a signal is not augmented.
    pub augment: AugmentConfig,
    /// Dropout rate at the boundary's sites, 0 or more and less than 1.
    pub dropout: f32,
    /// Where dropout begins.
    pub boundary: Boundary,
    /// Stop after so many epochs without a lower validation loss; 0 never stops early.
    pub patience: usize,
    /// Seed of weights, order, augmentation and dropout.
    pub seed: u64,
    /// Draw one half of an epoch's crops from the real ones, and the other half evenly from the classes of fakes (in a
    /// class evenly from its generators), repeating those of the rarer ones; evenly from the classes where all crops are
    /// real, or none is ([`Crops::source`](crate::Crops::source)). The validation loss weighs its crops in the same way.
    pub class_balance: bool,
    /// Channels of the first stage ([`NetworkConfig::width`]): without it as published; less is faster by the square.
    pub width: Option<usize>,
    /// The signal that a biological detector looks at; without it [`Architecture::signal`].
    pub signal: Option<Signal>,
    /// Momentum of batch norm's running statistics (PyTorch's sense: the share of a new batch), above 0 and at most 1;
    /// without it the architecture's own, which is 0.01 for some and then takes hundreds of steps to follow the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm_momentum: Option<f32>,
    /// How the first convolution begins.
    pub init: Init,
    /// Weights to begin from (safetensors with the architecture's names) instead of random ones; the last
    /// layer is begun anew where its classes differ.
    pub weights: Option<PathBuf>,
    /// How crops are normalised; without it as the architecture's published weights expect
    /// ([`Architecture::preprocessing`]).
    pub normalisation: Option<Normalisation>,
    /// What is to be trained other than one network: Gaussian weights ([`Inference::Variational`]) or SWAG
    /// ([`Inference::Swag`], which takes a constant schedule and trains to the last epoch), or a network under fixed masks
    /// ([`Inference::Masksembles`]), or one that says a Dirichlet ([`Inference::Evidential`], which has a loss of its own). None
    /// takes dropout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference: Option<Inference>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            detector: Architecture::default(),
            class_names: vec!["real".to_owned(), "fake".to_owned()],
            trained_on: TrainedOn::default(),
            recipe: String::new(),
            epochs: 20,
            batch: 32,
            optimiser: OptimiserConfig::default(),
            schedule: ScheduleConfig::default(),
            loss: LossConfig::default(),
            freeze: None,
            augment_copies: 2,
            augment: AugmentConfig::default(),
            dropout: 0.2,
            boundary: Boundary::Head,
            patience: 5,
            seed: 0,
            class_balance: true,
            width: None,
            signal: None,
            norm_momentum: None,
            init: Init::Dct,
            weights: None,
            normalisation: None,
            inference: None,
        }
    }
}

impl TrainConfig {
    /// The size of its network; of settings that are of no task yet, for two classes.
    pub fn network(&self) -> NetworkConfig {
        let window = self.signal().filter(|_| self.detector.has_window()).map(|signal| signal.window());
        NetworkConfig { classes: self.class_names.len().max(2), width: self.width, window }
    }

    /// What the network looks at in the place of crops, if it does.
    pub fn signal(&self) -> Option<Signal> {
        self.signal.or(self.detector.signal())
    }

    /// How crops are normalised.
    pub(super) fn normalisation(&self) -> Normalisation {
        self.normalisation.unwrap_or(self.detector.preprocessing().normalisation)
    }

    /// The Gaussian weights to be trained, if they are.
    pub(super) fn variational(&self) -> Option<&Variational> {
        match &self.inference {
            Some(Inference::Variational(settings)) => Some(settings),
            _ => None,
        }
    }

    /// SWAG's settings, if it is to be trained.
    pub(super) fn swag(&self) -> Option<&Swag> {
        match &self.inference {
            Some(Inference::Swag(settings)) => Some(settings),
            _ => None,
        }
    }

    /// Masksembles' settings, if its masks are trained with.
    pub(super) fn masksembles(&self) -> Option<&Masksembles> {
        match &self.inference {
            Some(Inference::Masksembles(settings)) => Some(settings),
            _ => None,
        }
    }

    /// What an evidential network is trained with, if it is one.
    pub(super) fn evidential(&self) -> Option<&Evidential> {
        match &self.inference {
            Some(Inference::Evidential(settings)) => Some(settings),
            _ => None,
        }
    }

    /// Epochs after each of which a network is kept, if the run is to be their ensemble.
    pub(super) fn snapshot_every(&self) -> Option<usize> {
        (self.schedule.name == ScheduleName::Cyclic).then_some(self.epochs / self.schedule.cycles)
    }

    /// Checks what is to be trained other than one network.
    fn check_inference(&self, inference: &Inference, network: &Network) -> Result<(), NnError> {
        inference.check(network)?;
        let scope = inference.scope();
        let is_evidential = matches!(inference, Inference::Evidential(_));
        if scope.is_none() && !is_evidential {
            let expected =
                "`variational`, `swag`, `masksembles` or `evidential`: other methods begin with a trained run";
            return Err(NnError::setting("inference", expected, format!("`{}`", inference.name())));
        }
        if is_evidential && self.loss != LossConfig::default() {
            let expected = "the usual one: an evidential network has a loss of its own";
            return Err(NnError::setting("loss", expected, self.loss.in_words()));
        }
        if matches!(inference, Inference::Swag(_)) && self.schedule.name != ScheduleName::Constant {
            let expected = "`constant`: SWAG passes through networks at one rate";
            return Err(NnError::setting("schedule.name", expected, self.schedule.in_words()));
        }
        if self.schedule.name == ScheduleName::Cyclic {
            let expected = "another one, where the weights themselves are uncertain";
            return Err(NnError::setting("schedule.name", expected, self.schedule.in_words()));
        }
        if self.dropout > 0.0 {
            return Err(NnError::setting("dropout", "0 where the weights themselves are uncertain", self.dropout));
        }
        match (&self.freeze, scope) {
            (Some(name), Some(scope)) if scope.sites(network).contains(&network.stage_index("freeze", name)?) => {
                let expected = format!("a stage before the scope `{scope}`: what is frozen has no deviations to learn");
                Err(NnError::setting("freeze", expected, name))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the weights to begin from are there, and are those of its architecture.
    ///
    /// # Errors
    /// Those of reading the file and of [`Detector::from_state`](crate::Detector::from_state), with the file's name.
    pub fn check_weights(&self) -> Result<(), NnError> {
        untrained(self, &Device::flex()).map(drop)
    }

    /// Whether it trains the same detector: all is the same, but for what the recipe is called.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        *self == Self { recipe: self.recipe.clone(), ..other.clone() }
    }

    /// Checks every field; returns how many stages are frozen.
    ///
    /// # Errors
    /// [`NnError::Setting`] that names the field.
    pub fn check(&self) -> Result<usize, NnError> {
        let within = |field, least: usize, most: usize, value: usize| match (least..=most).contains(&value) {
            true => Ok(()),
            false => Err(NnError::setting(field, format!("{least} to {most}"), value)),
        };
        within("class_names", 2, 10_000, self.class_names.len())?;
        within("epochs", 1, 100_000, self.epochs)?;
        within("batch", 2, 65_536, self.batch)?;
        within("augment_copies", 1, 1000, self.augment_copies)?;
        self.optimiser.check()?;
        self.schedule.check()?;
        if self.schedule.name == ScheduleName::Cyclic && !self.epochs.is_multiple_of(self.schedule.cycles) {
            let expected = format!("a divisor of the {} epochs: a network is kept after each cycle", self.epochs);
            return Err(NnError::setting("schedule.cycles", expected, self.schedule.cycles));
        }
        self.loss.check(&self.class_names)?;
        self.normalisation().check()?;
        if let Some(momentum) = self.norm_momentum
            && !(momentum > 0.0 && momentum <= 1.0)
        {
            return Err(NnError::setting("norm_momentum", "above 0 and at most 1", momentum));
        }
        if let Some(signal) = self.signal {
            signal.check()?;
            let own = self.detector.signal().map(|signal| signal.kind());
            if own != Some(signal.kind()) {
                let expected = own.map_or("none".to_owned(), |own| format!("`{own}`"));
                let expected = format!("{expected}, what {} looks at", self.detector);
                return Err(NnError::setting("signal.kind", expected, format!("`{}`", signal.kind())));
            }
        }
        check_rate(self.dropout)?;
        let network = self.detector.network(&self.network())?;
        self.boundary.check("boundary", &network)?;
        self.augment.check()?;
        if let Some(inference) = &self.inference {
            self.check_inference(inference, &network)?;
        }
        match &self.freeze {
            None => Ok(0),
            Some(name) => match network.stage_index("freeze", name)? {
                stage if stage == network.head() => {
                    Err(NnError::setting("freeze", "a stage before the head, which is left to train", name))
                }
                stage if self.boundary.sites(&network).contains(&stage) && self.dropout > 0.0 => Err(NnError::setting(
                    "freeze",
                    format!("a stage before the boundary `{}`: a frozen trunk has no dropout", self.boundary),
                    name,
                )),
                stage => Ok(stage + 1),
            },
        }
    }
}
