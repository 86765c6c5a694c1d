//! SWAG (Maddox et al. 2019): a Gaussian around the weights that training at a constant rate passes through, with their
//! variances and the directions in which the last of them lay.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::variational::like;
use super::{Inference, Posterior, Sink, stream_networks};
use crate::NnError;
use crate::detector::Detector;
use crate::dropout::Boundary;
use crate::network::Network;
use crate::parameter::Parameter;
use crate::rng::{Purpose, normals};
use crate::state::{Array, StateDict};

/// The layer's number of the normals that all arrays of a sample share.
const SHARED: u32 = u32::MAX;

/// SWAG: settings of training and prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Swag {
    /// Which weights are uncertain, those of batch norms among them.
    pub scope: Boundary,
    /// Most directions that are kept, 2 or more.
    pub rank: usize,
    /// Weights that were passed through, one at the end of each epoch.
    pub collected: usize,
}

impl Default for Swag {
    fn default() -> Self {
        Self { scope: Boundary::Head, rank: 20, collected: 0 }
    }
}

impl Swag {
    /// Checks every field.
    ///
    /// # Errors
    /// [`NnError::Setting`] that names the field.
    pub fn check(&self, network: &Network) -> Result<(), NnError> {
        self.scope.check("scope", network)?;
        match self.rank {
            2.. => Ok(()),
            rank => Err(NnError::setting("rank", "2 or more", rank)),
        }
    }

    /// In words, for the model card.
    pub(super) fn in_words(&self) -> String {
        let rank = self.rank.min(self.collected);
        format!("SWAG from `{}` on: {} networks of a training passed through, rank {rank}", self.scope, self.collected)
    }

    /// Indices of the arrays in the scope.
    fn arrays(&self, net: &Detector) -> Vec<usize> {
        let stages = self.scope.sites(net.network());
        let all = net.parameters().iter().enumerate();
        all.filter(|(_, p)| p.array.learned && stages.contains(&p.stage)).map(|(i, _)| i).collect()
    }

    /// Directions that there are after so many networks.
    fn kept(&self) -> usize {
        self.rank.min(self.collected)
    }
}

/// What is kept of an array: running mean, sum of squared distances from it, the last distances.
#[derive(Debug, Clone, Default)]
struct Moments {
    mean: Vec<f32>,
    square: Vec<f32>,
    away: Vec<Vec<f32>>,
}

/// SWAG in training.
#[derive(Debug)]
pub(crate) struct SwagTraining {
    settings: Swag,
    arrays: BTreeMap<usize, Moments>,
}

impl SwagTraining {
    /// Before the first epoch.
    pub(crate) fn begin(settings: &Swag, net: &Detector) -> Self {
        let empty = |i: usize| {
            let zeros = vec![0.0; net.parameters()[i].layout.matrix().iter().product()];
            (i, Moments { mean: zeros.clone(), square: zeros, away: Vec::new() })
        };
        let settings = Swag { collected: 0, ..settings.clone() };
        Self { arrays: settings.arrays(net).into_iter().map(empty).collect(), settings }
    }

    /// From what [`SwagTraining::to_state`] left after so many epochs, which is taken out of `state`.
    pub(crate) fn resume(
        settings: &Swag,
        collected: usize,
        net: &Detector,
        state: &mut StateDict,
    ) -> Result<Self, NnError> {
        let mut training = Self::begin(settings, net);
        training.settings.collected = collected;
        let kept = training.settings.kept();
        for (&i, moments) in &mut training.arrays {
            let p = &net.parameters()[i];
            let mut take = |part: &str| {
                let name = format!("{part}/{}", p.name());
                let values = like(p, &name, state)?.values();
                state.remove(&name);
                Ok::<_, NnError>(values)
            };
            let away = (0..kept).map(|k| take(&format!("swag.away.{k}"))).collect::<Result<_, _>>()?;
            *moments = Moments { mean: take("swag.mean")?, square: take("swag.square")?, away };
        }
        Ok(training)
    }

    /// What it takes to go on.
    pub(crate) fn to_state(&self, net: &Detector, state: &mut StateDict) {
        for (&i, moments) in &self.arrays {
            let p = &net.parameters()[i];
            let mut put = |part: &str, values: &[f32]| {
                state.insert(format!("{part}/{}", p.name()), array_of(p, values));
            };
            put("swag.mean", &moments.mean);
            put("swag.square", &moments.square);
            moments.away.iter().enumerate().for_each(|(k, away)| put(&format!("swag.away.{k}"), away));
        }
    }

    /// Takes in the weights that an epoch ended with.
    pub(crate) fn collect(&mut self, net: &Detector) {
        self.settings.collected += 1;
        let n = self.settings.collected as f32;
        for (&i, moments) in &mut self.arrays {
            let values = net.parameters()[i].values();
            let mut away = Vec::with_capacity(values.len());
            for ((value, mean), square) in values.iter().zip(&mut moments.mean).zip(&mut moments.square) {
                // Welford's update.
                let before = value - *mean;
                *mean += before / n;
                *square += before * (value - *mean);
                away.push(value - *mean);
            }
            moments.away.push(away);
            let too_many = moments.away.len().saturating_sub(self.settings.rank);
            moments.away.drain(..too_many);
        }
    }

    /// The network of the mean weights; its batch norms' statistics are those of `net`.
    pub(crate) fn mean(&self, net: &Detector) -> Detector {
        let mut mean = net.clone();
        for (&i, moments) in &self.arrays {
            let mut p = net.parameters()[i].clone();
            p.set(moments.mean.clone());
            mean.set_value(i, p.value);
        }
        mean
    }

    /// The settings with what was found out: for the run's configuration.
    pub(crate) fn inference(&self) -> Inference {
        Inference::Swag(self.settings.clone())
    }

    /// What the run keeps beside the mean: `NAME.deviation`, and `NAME.away.K` for each direction.
    pub(crate) fn kept(&self, net: &Detector) -> StateDict {
        let mut state = StateDict::new();
        let n = self.settings.collected.max(1) as f32;
        for (&i, moments) in &self.arrays {
            let p = &net.parameters()[i];
            let deviation: Vec<f32> = moments.square.iter().map(|s| (s / n).max(0.0).sqrt()).collect();
            state.insert(format!("{}.deviation", p.name()), array_of(p, &deviation));
            for (k, away) in moments.away.iter().enumerate() {
                state.insert(format!("{}.away.{k}", p.name()), array_of(p, away));
            }
        }
        state
    }
}

fn array_of(p: &Parameter, matrix: &[f32]) -> Array {
    let mut p = p.clone();
    p.set(matrix.to_vec());
    p.to_array()
}

/// A Gaussian of low rank and a diagonal. Sample t is mean + (deviation z1 + sum over k of away_k z2_k / sqrt(K - 1)) /
/// sqrt(2), equation 1 of the paper, with z1 and z2 a function of (seed, t, array) and (seed, t).
#[derive(Debug, Clone)]
pub struct SwagPosterior {
    net: Detector,
    place: [usize; 2],
    /// Index of an array, its deviation, its directions.
    arrays: Vec<(usize, Tensor<2>, Vec<Tensor<2>>)>,
    rank: usize,
}

impl SwagPosterior {
    /// From the mean network and what training left.
    ///
    /// # Errors
    /// [`NnError::Setting`] for a scope that the network has not or fewer than two networks passed through;
    /// [`NnError::MissingTensor`], [`NnError::TensorShape`].
    pub fn new(net: Detector, settings: &Swag, arrays: &StateDict) -> Result<Self, NnError> {
        settings.check(net.network())?;
        let rank = settings.kept();
        if rank < 2 {
            return Err(NnError::setting("collected", "2 or more: a spread has to be seen", settings.collected));
        }
        let one = |i: usize| {
            let p = &net.parameters()[i];
            let deviation = like(p, &format!("{}.deviation", p.name()), arrays)?.value;
            let away = |k: usize| Ok(like(p, &format!("{}.away.{k}", p.name()), arrays)?.value);
            Ok((i, deviation, (0..rank).map(away).collect::<Result<Vec<_>, NnError>>()?))
        };
        let arrays = settings.arrays(&net).into_iter().map(one).collect::<Result<Vec<_>, NnError>>()?;
        let place = super::first_weighted(net.network(), settings.scope.sites(net.network()).start);
        Ok(Self { net, place, arrays, rank })
    }

    /// The network that sample `sample` is.
    pub fn network(&self, sample: u32, seed: u64) -> Detector {
        let shared = normals(Purpose::Weight, seed, sample, SHARED, self.rank);
        let mut net = self.net.clone();
        for (i, deviation, away) in &self.arrays {
            let shape @ [rows, columns] = deviation.dims();
            let z = normals(Purpose::Weight, seed, sample, *i as u32, rows * columns);
            let z = Tensor::<2>::from_data(TensorData::new(z, shape), self.net.device());
            net.set_value(*i, drawn(self.net.parameters()[*i].value.clone(), deviation, away, z, &shared));
        }
        net
    }
}

/// An array's weights by equation 1 of the paper.
pub(super) fn drawn(
    mean: Tensor<2>,
    deviation: &Tensor<2>,
    away: &[Tensor<2>],
    z: Tensor<2>,
    shared: &[f32],
) -> Tensor<2> {
    let (half, along) = (0.5f32.sqrt(), (0.5 / (away.len() - 1) as f32).sqrt());
    let start = mean + deviation.clone() * z * half;
    away.iter().zip(shared).fold(start, |sum, (away, z)| sum + away.clone() * (z * along))
}

impl Posterior for SwagPosterior {
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
