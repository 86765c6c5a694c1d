//! Training of Gaussian weights: the trainer keeps their means as the detector's arrays, and here what stands for their
//! deviations.

use std::collections::BTreeMap;

use burn::tensor::{Gradients, Tensor, TensorData};

use super::gaussian::{divergence, inverse_softplus, softplus};
use super::noise::{LayerNoise, Noise, Place, signs};
use super::variational::{Estimator, KlScale, Prior, Variational, like, rho_name};
use super::{Inference, WeightedLayer};
use crate::NnError;
use crate::detector::Detector;
use crate::optim::Optimiser;
use crate::parameter::{Parameter, values_of};
use crate::rng::{Purpose, normals};
use crate::state::StateDict;

/// Gaussian weights in training.
#[derive(Debug)]
pub(crate) struct VariationalTraining {
    settings: Variational,
    /// Distinct training items.
    items: usize,
    layers: Vec<WeightedLayer>,
    learned: BTreeMap<usize, Learned>,
}

/// What is kept of an array in the scope.
#[derive(Debug)]
struct Learned {
    /// Its softplus is the deviation.
    rho: Parameter,
    /// Where training began: the mean of a MOPED prior.
    start: Parameter,
    prior: [Tensor<2>; 2],
}

/// Gaussian weights in one step: what gradients are wanted of, and what is added to layers.
pub(crate) struct Tracked {
    leaves: Vec<(usize, [Tensor<2>; 2])>,
    pub(crate) noise: LayerNoise,
}

impl VariationalTraining {
    /// From the weights that training begins with, on so many distinct items.
    pub(crate) fn begin(settings: &Variational, items: usize, net: &Detector) -> Self {
        let start = |i: usize| net.parameters()[i].clone();
        let rho = |i: usize| {
            let mut rho = net.parameters()[i].clone();
            rho.set(settings.deviations(&rho.values()).into_iter().map(inverse_softplus).collect());
            rho.array.name = rho_name(&net.parameters()[i]);
            rho
        };
        let arrays = settings.arrays(net.network()).into_iter().map(|i| (i, [rho(i), start(i)])).collect();
        Self::new(settings, items, net, arrays)
    }

    /// From what [`VariationalTraining::to_state`] left, which is taken out of `state`; `net` is of the same network.
    pub(crate) fn resume(
        settings: &Variational,
        items: usize,
        net: &Detector,
        state: &mut StateDict,
    ) -> Result<Self, NnError> {
        let mut arrays = BTreeMap::new();
        for i in settings.arrays(net.network()) {
            let p = &net.parameters()[i];
            let names = [rho_name(p), start_name(p)];
            let [rho, start] = names.each_ref().map(|name| like(p, name, state));
            arrays.insert(i, [rho?, Parameter { array: p.array.clone(), ..start? }]);
            names.iter().for_each(|name| drop(state.remove(name)));
        }
        Ok(Self::new(settings, items, net, arrays))
    }

    fn new(settings: &Variational, items: usize, net: &Detector, arrays: BTreeMap<usize, [Parameter; 2]>) -> Self {
        let learned = |(i, [rho, start]): (usize, [Parameter; 2])| {
            let [rows, columns] = start.layout.matrix();
            let all = |value: f32| Tensor::full([rows, columns], value, net.device());
            let own = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, [rows, columns]), net.device());
            let prior = match settings.prior {
                Prior::Zero { sigma } => [all(0.0), all(sigma)],
                Prior::MopedSigma { sigma } => [start.value.clone(), all(sigma)],
                // As `begin` begins.
                Prior::Moped => [start.value.clone(), own(settings.deviations(&start.values()))],
            };
            (i, Learned { rho, start, prior })
        };
        Self {
            settings: settings.clone(),
            items: settings.items.unwrap_or(items),
            layers: WeightedLayer::of(net.network(), settings.scope.sites(net.network())),
            learned: arrays.into_iter().map(learned).collect(),
        }
    }

    /// The settings with what was found out: for the run's configuration.
    pub(crate) fn inference(&self) -> Inference {
        Inference::Variational(Variational { items: Some(self.items), ..self.settings.clone() })
    }

    /// Whether the array of that name is one of those with a deviation.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.learned.values().any(|l| l.start.name() == name)
    }

    /// `NAME.rho` of each array in the scope: what the run keeps.
    pub(crate) fn rhos(&self) -> StateDict {
        self.learned.values().map(|l| (l.rho.name().to_owned(), l.rho.to_array())).collect()
    }

    /// What it takes to go on.
    pub(crate) fn to_state(&self, state: &mut StateDict) {
        state.extend(self.rhos());
        state.extend(self.learned.values().map(|l| (start_name(&l.start), l.start.to_array())));
    }

    /// The divergence of the posterior from the prior, in nats.
    pub(crate) fn divergence(&self, net: &Detector) -> f64 {
        let one = |(&i, l): (&usize, &Learned)| {
            let [means, sigmas] = l.prior.each_ref().map(|t| values_of(t.clone()));
            let prior = means.into_iter().zip(sigmas).map(<[f32; 2]>::from);
            let own = net.parameters()[i].values().into_iter().zip(l.rho.values());
            divergence(own.map(|(mean, rho)| [mean, softplus(rho)]).zip(prior))
        };
        self.learned.iter().map(one).sum()
    }

    /// Puts a step's noise into a detector whose arrays in the scope are leaves of the autodiff graph.
    pub(crate) fn track(&self, tracked: &mut Detector, seed: u64, step: u32, items: usize) -> Tracked {
        let mut leaves = BTreeMap::new();
        for (&i, learned) in &self.learned {
            let mean = tracked.parameters()[i].value.clone();
            leaves.insert(i, [mean, learned.rho.value.clone().autodiff().require_grad()]);
        }
        let device = tracked.device().clone();
        let sigma = |i: usize| leaf_sigma(&leaves[&i][1]);
        let deviation = |i: usize| {
            let sigma = sigma(i);
            let shape @ [rows, columns] = sigma.dims();
            let z = normals(Purpose::TrainNoise, seed, step, i as u32, rows * columns);
            sigma * Tensor::from_data(TensorData::new(z, shape), &device)
        };
        let mut noise = LayerNoise::default();
        for layer in &self.layers {
            let place = Place { seed, step, layer: layer.weight as u32 };
            let added = match self.settings.estimator {
                Estimator::Reparameterised => {
                    layer.arrays().for_each(|i| tracked.set_value(i, leaves[&i][0].clone() + deviation(i)));
                    continue;
                }
                Estimator::Flipout => Noise::Flipout {
                    weight: deviation(layer.weight),
                    bias: layer.bias.map(deviation),
                    signs: [(Purpose::SignIn, 0), (Purpose::SignOut, 1)]
                        .map(|(purpose, side)| signs(purpose, place, [items, layer.channels[side]], &device)),
                },
                Estimator::Local => Noise::Local {
                    variance: sigma(layer.weight).square(),
                    bias_variance: layer.bias.map(|i| sigma(i).square()),
                    place,
                },
            };
            noise.0.insert(layer.name.clone(), added);
        }
        Tracked { leaves: leaves.into_iter().collect(), noise }
    }

    /// What a step adds to the mean loss of a batch: the divergence as the settings scale it. `done` is the part of the
    /// steps that were made before.
    pub(crate) fn penalty(&self, tracked: &Tracked, done: f32, batch: usize) -> Tensor<1> {
        let warm = if self.settings.warm_up > 0.0 { (done / self.settings.warm_up).min(1.0) } else { 1.0 };
        let share = match self.settings.kl {
            KlScale::Elbo => 1.0 / self.items as f64,
            KlScale::LayerMean => 1.0 / batch as f64,
        };
        let weight = f64::from(self.settings.temperature * warm) * share;
        let one = |(i, [mean, rho]): &(usize, [Tensor<2>; 2])| {
            let [prior_mean, prior_sigma] = self.learned[i].prior.clone();
            let sigma = leaf_sigma(rho);
            let apart = sigma.clone().square() + (mean.clone() - prior_mean).square();
            let kl = prior_sigma.clone().log() - sigma.log() + apart / (prior_sigma.square() * 2.0) - 0.5;
            let sum = match self.settings.kl {
                KlScale::Elbo => kl.sum(),
                KlScale::LayerMean => kl.mean(),
            };
            sum * weight
        };
        let sums = tracked.leaves.iter().map(one);
        sums.reduce(|a, b| a + b).unwrap_or_else(|| Tensor::zeros([1], &Default::default()))
    }

    /// Moves what stands for the deviations.
    pub(crate) fn update(&mut self, gradients: Vec<(usize, Tensor<2>)>, optimiser: &mut Optimiser, rate: f32) {
        for (i, gradient) in gradients {
            let Some(Learned { rho, .. }) = self.learned.get_mut(&i) else { continue };
            let mut values = rho.values();
            optimiser.update(rho.name(), &mut values, &values_of(gradient), rate, 0.0);
            rho.set(values);
        }
    }
}

impl Tracked {
    /// Puts the leaves back in place of drawn weights, so that their gradients are found there; those of the deviations.
    pub(crate) fn untrack(self, tracked: &mut Detector, gradients: &mut Gradients) -> Vec<(usize, Tensor<2>)> {
        let mut found = Vec::new();
        for (i, [mean, rho]) in self.leaves {
            found.extend(rho.grad_remove(gradients).map(|gradient| (i, gradient)));
            tracked.set_value(i, mean);
        }
        found
    }
}

fn start_name(p: &Parameter) -> String {
    format!("{}.start", p.name())
}

/// softplus(rho) in the graph; rho stays far below where exp overflows.
fn leaf_sigma(rho: &Tensor<2>) -> Tensor<2> {
    rho.clone().exp().log1p()
}
