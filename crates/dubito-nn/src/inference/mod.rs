//! Inference methods: ways to approximate the posterior over a network's weights, each behind one trait.

mod convert;
mod deterministic;
mod eigen;
mod ensemble;
mod evidential;
mod gaussian;
mod laplace;
mod masksembles;
mod mc_dropout;
mod noise;
mod scaled;
mod snapshots;
mod swag;
#[cfg(test)]
mod tests;
mod training;
mod variational;
mod views;

use std::ops::Range;
use std::path::Path;

use burn::tensor::{Device, Tensor, activation};
use serde::{Deserialize, Serialize};

pub use self::convert::{convert, join, scale};
pub use self::deterministic::Deterministic;
pub use self::ensemble::{Ensemble, EnsemblePosterior};
pub use self::evidential::{Evidential, EvidentialPosterior};
pub(crate) use self::evidential::{LEAST_PARAMETER, mean_logits};
pub use self::laplace::{Curvature, Laplace, LaplacePosterior, Predictive};
pub(crate) use self::masksembles::FixedMasks;
pub use self::masksembles::{Masksembles, MasksemblesPosterior};
pub use self::mc_dropout::McDropoutPosterior;
pub(crate) use self::noise::{LayerNoise, Noise};
pub use self::scaled::ScaledPosterior;
pub(crate) use self::scaled::check_temperature;
pub(crate) use self::snapshots::Snapshots;
pub(crate) use self::swag::SwagTraining;
pub use self::swag::{Swag, SwagPosterior};
pub(crate) use self::training::VariationalTraining;
pub use self::variational::{Estimator, KlScale, Prior, Variational, VariationalPosterior};
pub use self::views::{Views, ViewsPosterior};
use crate::NnError;
use crate::detector::{Detector, Pass};
use crate::dropout::Boundary;
use crate::network::{Network, Node, Stage, for_each};
use crate::state::{StateDict, read_metadata, read_state, write_state_with};

/// What receives samples chunk by chunk: which samples, and their probabilities
/// `[items, samples, classes]`.
pub type Sink<'a> = dyn FnMut(Range<u32>, Tensor<3>) -> Result<(), NnError> + 'a;

/// Something that draws class probabilities for images. Statistics, maps and reports know no more of
/// an inference method than this.
///
/// Sample t is one network, a function of (seed, t) alone: the same for every item, batch, order and
/// range of samples.
pub trait Posterior: Send + Sync {
    /// Number of classes.
    fn classes(&self) -> usize;

    /// The device that batches must be on.
    fn device(&self) -> &Device;

    /// How many different networks there are to draw, where they are few: one of a detector that does not doubt itself, an
    /// ensemble's members. From there on the samples begin anew.
    fn networks(&self) -> Option<u32> {
        None
    }

    /// Hands samples to `sink` chunk by chunk, in order, so that memory does not grow with their
    /// number.
    ///
    /// `batch` is `[items, 3, h, w]`, normalised as the detector was trained.
    ///
    /// # Errors
    /// [`NnError::Input`] for a batch of another shape; whatever `sink` returns.
    fn stream(&self, batch: Tensor<4>, samples: Range<u32>, seed: u64, sink: &mut Sink<'_>) -> Result<(), NnError>;

    /// All samples at once: probabilities `[items, samples, classes]`, each row summing to 1.
    ///
    /// # Errors
    /// As [`Posterior::stream`]; [`NnError::Setting`] where `samples` is empty.
    fn draw(&self, batch: Tensor<4>, samples: Range<u32>, seed: u64) -> Result<Tensor<3>, NnError> {
        if samples.is_empty() {
            return Err(NnError::setting("samples", "1 or more", 0));
        }
        let mut chunks = Vec::new();
        self.stream(batch, samples, seed, &mut |_, chunk| {
            chunks.push(chunk);
            Ok(())
        })?;
        Ok(Tensor::cat(chunks, 1))
    }
}

/// How the samples of a run are drawn, where it is not by dropout: `inference` in its `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Inference {
    /// Gaussian weights, each by itself.
    Variational(Variational),
    /// A Gaussian last layer, fitted after training.
    Laplace(Laplace),
    /// Networks trained apart.
    Ensemble(Ensemble),
    /// A Gaussian around the weights that training passes through.
    Swag(Swag),
    /// The network under each of a few masks that it was trained with.
    Masksembles(Masksembles),
    /// A Dirichlet of the probabilities, said by one network.
    Evidential(Evidential),
}

/// The file in a run's folder that holds what a method adds to the weights.
const ARRAYS: &str = "inference.safetensors";

impl Inference {
    /// Its name in settings.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Variational(_) => "variational",
            Self::Laplace(_) => "laplace",
            Self::Ensemble(_) => "ensemble",
            Self::Swag(_) => "swag",
            Self::Masksembles(_) => "masksembles",
            Self::Evidential(_) => "evidential",
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`NnError::Setting`] that names the field.
    pub fn check(&self, network: &Network) -> Result<(), NnError> {
        match self {
            Self::Variational(settings) => settings.check(network),
            Self::Laplace(settings) => settings.check(network),
            Self::Ensemble(settings) => settings.check(),
            Self::Swag(settings) => settings.check(network),
            Self::Masksembles(settings) => settings.check(network),
            Self::Evidential(settings) => settings.check(),
        }
    }

    /// The stages whose training makes the posterior, where training does.
    pub fn scope(&self) -> Option<Boundary> {
        match self {
            Self::Variational(settings) => Some(settings.scope),
            Self::Swag(settings) => Some(settings.scope),
            Self::Masksembles(settings) => Some(settings.scope),
            Self::Laplace(_) | Self::Ensemble(_) | Self::Evidential(_) => None,
        }
    }

    /// In words, for the model card.
    pub fn in_words(&self) -> String {
        match self {
            Self::Variational(settings) => settings.in_words(),
            Self::Laplace(settings) => settings.in_words(),
            Self::Ensemble(settings) => settings.in_words(),
            Self::Swag(settings) => settings.in_words(),
            Self::Masksembles(settings) => settings.in_words(),
            Self::Evidential(settings) => settings.in_words(),
        }
    }

    /// The posterior of the run in `dir`, whose weights are already in `net`.
    ///
    /// # Errors
    /// As [`read_state`] of what the method keeps beside the weights; [`NnError::Corrupt`] where that is another
    /// method's, [`NnError::MissingTensor`] or [`NnError::TensorShape`] where it is of another network.
    pub(crate) fn posterior(&self, net: Detector, dir: &Path) -> Result<Box<dyn Posterior>, NnError> {
        let arrays = self.arrays(dir)?;
        let posterior = || -> Result<Box<dyn Posterior>, NnError> {
            Ok(match self {
                Self::Variational(settings) => Box::new(VariationalPosterior::new(net, settings, &arrays)?),
                Self::Laplace(settings) => Box::new(LaplacePosterior::new(net, settings, &arrays)?),
                Self::Ensemble(settings) => Box::new(EnsemblePosterior::new(net, settings, &arrays)?),
                Self::Swag(settings) => Box::new(SwagPosterior::new(net, settings, &arrays)?),
                Self::Masksembles(settings) => Box::new(MasksemblesPosterior::new(net, settings, &arrays)?),
                Self::Evidential(_) => Box::new(EvidentialPosterior::new(net)),
            })
        };
        posterior().map_err(NnError::in_file(&dir.join(ARRAYS)))
    }

    /// Checks that what the method keeps beside the weights of the run in `dir` is there, and is its own.
    pub(crate) fn check_arrays(&self, dir: &Path) -> Result<(), NnError> {
        self.arrays(dir).map(drop)
    }

    /// What the method keeps beside the weights of the run in `dir`.
    fn arrays(&self, dir: &Path) -> Result<StateDict, NnError> {
        let path = dir.join(ARRAYS);
        match read_metadata(&path, "method")?.as_str() {
            method if method == self.name() => read_state(&path),
            method => Err(NnError::corrupt(
                &path,
                format!("is of the method `{method}`, and config.json says `{}`: convert the run again", self.name()),
            )),
        }
    }

    /// Writes what the method keeps beside the weights of the run in `dir`, atomically.
    pub(crate) fn write_arrays(&self, dir: &Path, arrays: &StateDict) -> Result<(), NnError> {
        let metadata = [("format", "pt"), ("method", self.name())];
        let metadata = metadata.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        write_state_with(&dir.join(ARRAYS), arrays, &metadata)
    }
}

/// A convolution or a linear layer, and where its arrays lie among [`Network::parameters`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WeightedLayer {
    pub(crate) name: String,
    pub(crate) weight: usize,
    pub(crate) bias: Option<usize>,
    /// Channels that it takes and returns.
    pub(crate) channels: [usize; 2],
}

impl WeightedLayer {
    /// Those of some stages in order.
    pub(crate) fn of(network: &Network, stages: Range<usize>) -> Vec<Self> {
        let (mut layers, mut index) = (Vec::new(), 0);
        for (stage, Stage { nodes, .. }) in network.stages.iter().enumerate() {
            for_each(nodes, &mut |node| {
                let (weight, count) = (index, node.parameters().len());
                index += count;
                let (name, channels) = match node {
                    Node::Convolution(conv) => (&conv.name, [conv.input, conv.out]),
                    Node::Linear(linear) => (&linear.name, [linear.input, linear.out]),
                    _ => return,
                };
                if stages.contains(&stage) {
                    let bias = (count > 1).then_some(weight + 1);
                    layers.push(Self { name: name.clone(), weight, bias, channels });
                }
            });
        }
        layers
    }

    /// Indices of its arrays.
    pub(crate) fn arrays(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.weight).chain(self.bias)
    }
}

/// The first node of a stage that has arrays: everything before it is the same in every network that differs from the
/// stage on.
pub(crate) fn first_weighted(network: &Network, stage: usize) -> [usize; 2] {
    let nodes = &network.stages[stage].nodes;
    let is_weighted = |node: &Node| {
        let mut found = false;
        for_each(std::slice::from_ref(node), &mut |node| {
            found |= !node.parameters().is_empty();
        });
        found
    };
    [stage, nodes.iter().position(is_weighted).unwrap_or(0)]
}

/// Samples that are networks which differ from `place` on: what lies before runs once, the rest once for each sample,
/// on all items at once.
pub(crate) fn stream_networks(
    net: &Detector,
    place: [usize; 2],
    batch: Tensor<4>,
    samples: Range<u32>,
    sink: &mut Sink<'_>,
    network: &dyn Fn(u32) -> Detector,
) -> Result<(), NnError> {
    net.check_images(&batch)?;
    let ([items, ..], classes) = (batch.dims(), net.config().classes);
    let trunk = net.run_until(batch, place);
    for sample in samples {
        let logits = network(sample).run_from(trunk.clone(), place, &mut Pass::inference(None));
        let p = activation::softmax(logits.reshape([items, classes]), 1);
        sink(sample..sample + 1, p.reshape([items, 1, classes]))?;
    }
    Ok(())
}
