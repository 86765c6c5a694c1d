//! Variational inference with Gaussian weights, each by itself (Blundell et al. 2015), for convolutions and linear layers.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::gaussian::{inverse_softplus, softplus};
use super::{Posterior, Sink, WeightedLayer, first_weighted, stream_networks};
use crate::NnError;
use crate::detector::Detector;
use crate::dropout::Boundary;
use crate::network::Network;
use crate::parameter::Parameter;
use crate::rng::{Purpose, normals};
use crate::state::{Array, StateDict};

/// A deviation is never less than this part of `delta` times the root mean square of its array: a weight that happens to
/// be 0 is as uncertain as its neighbours.
const FLOOR: f32 = 0.05;

/// How the weights' noise enters a step of training. Predictions draw weights whatever trained them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// One network for all items of a step (Blundell et al. 2015).
    Reparameterised,
    /// Outputs drawn instead of weights (Kingma et al. 2015).
    Local,
    /// One deviation for all items, with random signs of each item's own (Wen et al. 2018).
    #[default]
    Flipout,
}

/// What the weights are believed to be before training.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Prior {
    /// MOPED (Krishnan, Subedar and Tickoo 2020): around the trained weights.
    #[default]
    Moped,
    /// As [`Prior::Moped`], with one deviation for all weights.
    MopedSigma {
        /// The deviation, above 0.
        sigma: f32,
    },
    /// Around 0.
    Zero {
        /// The deviation, above 0.
        sigma: f32,
    },
}

/// What the divergence from the prior counts beside the mean loss of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KlScale {
    /// The sum over the weights divided by the number of distinct training items: the evidence lower bound.
    #[default]
    Elbo,
    /// The mean over the weights of each array, summed, divided by the batch: what the package bayesian-torch does. Far
    /// less than the bound asks for.
    LayerMean,
}

/// Gaussian weights: settings of posterior and training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Variational {
    /// Which weights are uncertain: those of the head, of stage N and all behind it, or all.
    pub scope: Boundary,
    /// How a step of training is made noisy.
    pub estimator: Estimator,
    /// What is believed of the weights beforehand.
    pub prior: Prior,
    /// The deviation that a weight begins with, in parts of its size; above 0.
    pub delta: f32,
    /// How the divergence is scaled.
    pub kl: KlScale,
    /// Distinct training items that the divergence is divided by; the crops that there are without it.
    pub items: Option<usize>,
    /// Part of the steps in which the divergence's weight rises from 0 to 1; 0 to 1.
    pub warm_up: f32,
    /// What the divergence is multiplied by: 1 is the bound itself, anything else a tempered posterior.
    pub temperature: f32,
}

impl Default for Variational {
    fn default() -> Self {
        Self {
            scope: Boundary::Head,
            estimator: Estimator::default(),
            prior: Prior::default(),
            delta: 0.2,
            kl: KlScale::default(),
            items: None,
            warm_up: 0.1,
            temperature: 1.0,
        }
    }
}

impl Variational {
    /// Checks every field.
    ///
    /// # Errors
    /// [`NnError::Setting`] that names the field.
    pub fn check(&self, network: &Network) -> Result<(), NnError> {
        self.scope.check("scope", network)?;
        let above = |field, value: f32| match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(NnError::setting(field, "above 0", value)),
        };
        above("delta", self.delta)?;
        above("temperature", self.temperature)?;
        if let Prior::Zero { sigma } | Prior::MopedSigma { sigma } = self.prior {
            above("prior.sigma", sigma)?;
        }
        if self.items == Some(0) {
            return Err(NnError::setting("items", "1 or more", 0));
        }
        match (0.0..=1.0).contains(&self.warm_up) {
            true => Ok(()),
            false => Err(NnError::setting("warm_up", "0 to 1", self.warm_up)),
        }
    }

    /// Whether the prior lies around trained weights, so that there have to be some.
    pub fn is_moped(&self) -> bool {
        !matches!(self.prior, Prior::Zero { .. })
    }

    /// In words, for the model card.
    pub(super) fn in_words(&self) -> String {
        let prior = match self.prior {
            Prior::Moped => "around the trained weights (MOPED)".to_owned(),
            Prior::MopedSigma { sigma } => format!("around the trained weights (MOPED) with deviation {sigma}"),
            Prior::Zero { sigma } => format!("around 0 with deviation {sigma}"),
        };
        let scale = match (self.kl, self.items) {
            (KlScale::Elbo, Some(items)) => format!(", evidence lower bound over {items} distinct items"),
            (KlScale::Elbo, None) => String::new(),
            (KlScale::LayerMean, _) => ", divergence averaged over each layer and divided by the batch".to_owned(),
        };
        let tempered = match self.temperature == 1.0 {
            true => String::new(),
            false => format!(", tempered (divergence times {})", self.temperature),
        };
        format!(
            "Gaussian weights from `{}` on, begun at {} of their size, prior {prior}{scale}{tempered}",
            self.scope, self.delta
        )
    }

    /// The deviation that each value of an array begins with: `delta` of its size, with a floor.
    pub(crate) fn deviations(&self, values: &[f32]) -> Vec<f32> {
        let square = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len().max(1) as f64;
        // An array of zeros, as a bias that training never moved, has no size of its own.
        let floor = (FLOOR * square.sqrt() as f32).max(1e-4);
        values.iter().map(|v| self.delta * v.abs().max(floor)).collect()
    }

    /// What stands beside the weights of a network that becomes Bayesian: `NAME.rho` for each array in the scope, whose
    /// softplus is the deviation.
    pub(crate) fn moped(&self, net: &Detector) -> StateDict {
        let rho = |p: &Parameter| {
            let Array { shape, values } = p.to_array();
            let values = self.deviations(&values).into_iter().map(inverse_softplus).collect();
            (rho_name(p), Array { shape, values })
        };
        self.arrays(net.network()).into_iter().map(|i| rho(&net.parameters()[i])).collect()
    }

    /// Indices of the arrays in the scope.
    pub(crate) fn arrays(&self, network: &Network) -> Vec<usize> {
        let layers = WeightedLayer::of(network, self.scope.sites(network));
        layers.iter().flat_map(WeightedLayer::arrays).collect()
    }
}

/// What an array's deviations are called.
pub(crate) fn rho_name(p: &Parameter) -> String {
    format!("{}.rho", p.name())
}

/// An array of `state` laid out as a parameter is; an error where it is missing or of another shape.
pub(crate) fn like(p: &Parameter, name: &str, state: &StateDict) -> Result<Parameter, NnError> {
    let expected = p.array.shape.clone();
    let Some(Array { shape, values }) = state.get(name) else {
        return Err(NnError::MissingTensor { name: name.to_owned(), expected });
    };
    if *shape != expected {
        return Err(NnError::TensorShape { name: name.to_owned(), expected, found: shape.clone() });
    }
    let mut p = p.clone();
    p.array.name = name.to_owned();
    p.set_array(values);
    Ok(p)
}

/// Gaussian weights. Sample t is the network whose weights are mean + deviation times normals that are a function of
/// (seed, t, array).
#[derive(Debug, Clone)]
pub struct VariationalPosterior {
    net: Detector,
    place: [usize; 2],
    /// Deviations, with the index of their array.
    deviations: Vec<(usize, Tensor<2>)>,
}

impl VariationalPosterior {
    /// From the means in `net` and the arrays `NAME.rho` of the scope.
    ///
    /// # Errors
    /// [`NnError::Setting`] for a scope that the network has not; [`NnError::MissingTensor`],
    /// [`NnError::TensorShape`].
    pub fn new(net: Detector, settings: &Variational, arrays: &StateDict) -> Result<Self, NnError> {
        settings.check(net.network())?;
        let place = first_weighted(net.network(), settings.scope.sites(net.network()).start);
        let deviation = |i: usize| {
            let p = &net.parameters()[i];
            let mut rho = like(p, &rho_name(p), arrays)?;
            rho.set(rho.values().into_iter().map(softplus).collect());
            Ok((i, rho.value))
        };
        let deviations = settings.arrays(net.network()).into_iter().map(deviation).collect::<Result<_, NnError>>()?;
        Ok(Self { net, place, deviations })
    }

    /// A trained network made Bayesian: MOPED without fine-tuning.
    ///
    /// # Errors
    /// [`NnError::Setting`] as [`Variational::check`].
    pub fn moped(net: Detector, settings: &Variational) -> Result<Self, NnError> {
        settings.check(net.network())?;
        let arrays = settings.moped(&net);
        Self::new(net, settings, &arrays)
    }

    /// The network that sample `sample` is.
    pub fn network(&self, sample: u32, seed: u64) -> Detector {
        let mut net = self.net.clone();
        for (index, deviation) in &self.deviations {
            let shape @ [rows, columns] = deviation.dims();
            let z = normals(Purpose::Weight, seed, sample, *index as u32, rows * columns);
            let z = Tensor::from_data(TensorData::new(z, shape), self.net.device());
            net.set_value(*index, self.net.parameters()[*index].value.clone() + deviation.clone() * z);
        }
        net
    }
}

impl Posterior for VariationalPosterior {
    fn classes(&self) -> usize {
        self.net.config().classes
    }

    fn device(&self) -> &Device {
        self.net.device()
    }

    fn stream(&self, batch: Tensor<4>, samples: Range<u32>, seed: u64, sink: &mut Sink<'_>) -> Result<(), NnError> {
        stream_networks(&self.net, self.place, batch, samples, sink, &|sample| self.network(sample, seed))
    }
}
