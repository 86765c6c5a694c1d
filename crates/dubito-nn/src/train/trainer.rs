//! A training in progress: epochs, steps, validation, and what is written after each.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::card::model_card;
use super::config::TrainConfig;
use super::crops::Crops;
use super::maps::{CHUNK, Maps, calibrate_batch_norm, calibrate_trained};
use super::strata::{Strata, class_shares};
use super::trunk::Trunk;
use super::{EpochRecord, Progress, TrainProgress};
use crate::NnError;
use crate::architectures::Preprocessing;
use crate::detector::{Detector, Pass, Statistics};
use crate::dropout::Masks;
use crate::inference::{FixedMasks, Snapshots, SwagTraining, VariationalTraining, mean_logits};
use crate::optim::Optimiser;
use crate::parameter::{Layout, values_of};
use crate::prior::{equal_prior, has_several_fakes};
use crate::rng::{Purpose, Stream};
use crate::run::{RUN_VERSION, RunConfig, TrainedOn, write_json};
use crate::state::StateDict;
use crate::state::{read_metadata, read_state, write_atomic, write_state, write_state_with};

/// Temperatures that the validation loss is looked for at.
const TEMPERATURES: [f64; 11] = [0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.3, 16.0];

/// A training in progress.
pub(super) struct Trainer<'a> {
    config: &'a TrainConfig,
    frozen: usize,
    dir: &'a Path,
    device: &'a Device,
    net: Detector,
    optimiser: Optimiser,
    variational: Option<VariationalTraining>,
    swag: Option<SwagTraining>,
    snapshots: Option<Snapshots>,
    masks: Option<FixedMasks>,
    /// The network that the run is, where it is not the one being trained: SWAG's mean.
    mean: Option<Detector>,
    pub(super) state: Progress,
    fresh: bool,
}

/// The masks that are trained with, if they are fixed: a function of the seed.
fn masks_of(config: &TrainConfig, net: &Detector) -> Result<Option<FixedMasks>, NnError> {
    config.masksembles().map(|settings| FixedMasks::new(settings, net.network(), config.seed)).transpose()
}

/// The network that training begins with: random, or the weights given with a last layer for these classes.
pub(super) fn untrained(config: &TrainConfig, device: &Device) -> Result<Detector, NnError> {
    let network = config.network();
    let net = Detector::new(config.detector, &network, config.init, config.seed, device)?;
    let Some(weights) = &config.weights else { return Ok(net) };
    let mut state = read_state(weights)?;
    let own = net.to_state();
    for part in ["weight", "bias"] {
        let name = format!("{}.{part}", config.detector.classifier());
        if state.get(&name).map(|a| &a.shape) != own.get(&name).map(|a| &a.shape) {
            state.extend(own.get_key_value(&name).map(|(k, v)| (k.clone(), v.clone())));
        }
    }
    Detector::from_state(config.detector, &network, &state, device).map_err(NnError::in_file(weights))
}

impl<'a> Trainer<'a> {
    /// From the checkpoint in `dir` where there is one, else from the start.
    pub(super) fn begin(
        config: &'a TrainConfig,
        frozen: usize,
        train: &dyn Crops,
        valid: &dyn Crops,
        dir: &'a Path,
        device: &'a Device,
    ) -> Result<Self, NnError> {
        let network = config.network();
        let crops = [train.len(), valid.len()];
        let prior = match has_several_fakes(&config.class_names) {
            true => class_shares(train, config.class_names.len(), config.class_balance),
            false => Vec::new(),
        };
        let path = dir.join("checkpoint.safetensors");
        if !path.exists() {
            let net = untrained(config, device)?;
            let masks = masks_of(config, &net)?;
            let variational = config.variational().map(|v| VariationalTraining::begin(v, train.len(), &net));
            let swag = config.swag().map(|s| SwagTraining::begin(s, &net));
            return Ok(Self {
                config,
                frozen,
                dir,
                device,
                net,
                optimiser: Optimiser::new(&config.optimiser),
                variational,
                swag,
                snapshots: config.snapshot_every().map(|_| Snapshots::default()),
                masks,
                mean: None,
                state: Progress { config: config.clone(), crops, prior, steps: 0, history: Vec::new() },
                fresh: true,
            });
        }
        let mut state: Progress = serde_json::from_str(&read_metadata(&path, "progress")?)
            .map_err(|e| NnError::corrupt(&path, format!("{e}: remove it to train anew")))?;
        if !state.config.same_as(config) || state.crops != crops || state.prior != prior {
            return Err(NnError::corrupt(
                &path,
                "is of another configuration or other data: give another folder, or remove it to train anew",
            ));
        }
        state.config.recipe.clone_from(&config.recipe);
        let mut arrays = read_state(&path)?;
        let optimiser = Optimiser::from_state(&config.optimiser, &mut arrays, state.steps);
        let shapes = Detector::new(config.detector, &network, config.init, config.seed, device)?;
        let items = train.len();
        let variational = config.variational().map(|v| VariationalTraining::resume(v, items, &shapes, &mut arrays));
        let epochs = state.history.len();
        let swag = config.swag().map(|s| SwagTraining::resume(s, epochs, &shapes, &mut arrays));
        let snapshots = config.snapshot_every().map(|_| Snapshots::resume(&mut arrays));
        Ok(Self {
            config,
            frozen,
            dir,
            device,
            variational: variational.transpose()?,
            swag: swag.transpose()?,
            snapshots,
            masks: masks_of(config, &shapes)?,
            net: Detector::from_state(config.detector, &network, &arrays, device)?,
            optimiser,
            mean: None,
            state,
            fresh: false,
        })
    }

    /// What goes into the trained stages, of both sets; frozen stages are calibrated and run here, unless their maps are
    /// given.
    pub(super) fn trunk<'c>(
        &mut self,
        train: &'c dyn Crops,
        valid: &'c dyn Crops,
        shared: Option<&'c Trunk>,
        progress: &mut dyn FnMut(TrainProgress) -> ControlFlow<()>,
    ) -> Result<(Maps<'c>, Maps<'c>), NnError>
    where
        'a: 'c,
    {
        let config = self.config;
        let maps = |crops, augment| Maps {
            crops,
            augment,
            normalisation: config.normalisation(),
            seed: config.seed,
            device: self.device.clone(),
            cache: None,
        };
        let mut train_maps = maps(train, Some(&config.augment));
        let mut valid_maps = maps(valid, None);
        if let Some(shared) = shared.filter(|_| self.frozen > 0) {
            shared.check(config, &self.net, self.frozen)?;
            train_maps.share(shared)?;
            valid_maps.share(shared)?;
        } else if self.frozen > 0 {
            if self.fresh && config.weights.is_none() {
                calibrate_batch_norm(&mut self.net, 0..self.frozen, &train_maps)?;
            }
            let total = train.len() * config.augment_copies + valid.len();
            let (begin, mut count) = (Instant::now(), 0);
            let epoch = self.state.history.len();
            let mut done = |n: usize| {
                count += n;
                let at = TrainProgress {
                    epoch: 0,
                    epochs: config.epochs,
                    step: count,
                    steps: total,
                    loss: None,
                    valid_loss: None,
                    images_per_second: count as f64 / begin.elapsed().as_secs_f64(),
                    saved: false,
                };
                match progress(at) {
                    ControlFlow::Break(()) => Err(NnError::Stopped { epoch }),
                    ControlFlow::Continue(()) => Ok(()),
                }
            };
            train_maps.fill(&self.net, self.frozen, config.augment_copies, &mut done)?;
            valid_maps.fill(&self.net, self.frozen, 1, &mut done)?;
        }
        Ok((train_maps, valid_maps))
    }

    /// One epoch, its validation and its checkpoint; crops per second.
    pub(super) fn epoch(
        &mut self,
        train: &Maps<'_>,
        valid: &Maps<'_>,
        progress: &mut dyn FnMut(TrainProgress) -> ControlFlow<()>,
    ) -> Result<f64, NnError> {
        let config = self.config;
        let epoch = self.state.history.len();
        let order = self.order(train.crops, epoch);
        let batch = config.batch.min(order.len());
        let steps = order.len() / batch;
        let begin = Instant::now();
        let mut sum = 0.0;
        let (mut told, mut learning_rate) = (None, 0.0);
        for (step, items) in order.chunks_exact(batch).enumerate() {
            learning_rate =
                config.schedule.rate(config.optimiser.learning_rate, self.state.steps, steps, config.epochs);
            let labels: Vec<usize> = items.iter().map(|&i| train.crops.class(i)).collect();
            let x = train.batch(items, epoch)?;
            let loss = self.step(x, &labels, learning_rate);
            if !loss.is_finite() {
                return Err(NnError::Diverged { epoch: epoch + 1, step: step + 1, loss });
            }
            sum += f64::from(loss);
            let at = TrainProgress {
                epoch: epoch + 1,
                epochs: config.epochs,
                step: step + 1,
                steps,
                loss: Some(sum / (step + 1) as f64),
                valid_loss: self.state.history.last().map(|h| h.valid_loss),
                images_per_second: ((step + 1) * batch) as f64 / begin.elapsed().as_secs_f64(),
                saved: false,
            };
            told = Some(at);
            if progress(at).is_break() {
                return Err(NnError::Stopped { epoch });
            }
        }
        if let Some(swag) = &mut self.swag {
            swag.collect(&self.net);
            let mut mean = swag.mean(&self.net);
            calibrate_trained(&mut mean, self.frozen..self.net.network().stages.len(), train, epoch)?;
            self.mean = Some(mean);
        }
        if let (Some(snapshots), Some(every)) = (&mut self.snapshots, config.snapshot_every())
            && (epoch + 1).is_multiple_of(every)
        {
            snapshots.keep(&self.net);
        }
        let (valid_loss, valid_accuracy) = self.validate(valid)?;
        if !valid_loss.is_finite() {
            return Err(NnError::Diverged { epoch: epoch + 1, step: steps, loss: valid_loss as f32 });
        }
        self.state.history.push(EpochRecord {
            epoch: epoch + 1,
            train_loss: sum / steps as f64,
            valid_loss,
            valid_accuracy,
            learning_rate,
            divergence: self.variational.as_ref().map(|v| v.divergence(&self.net)),
        });
        self.checkpoint()?;
        let Some(at) = told else { return Ok(0.0) };
        match progress(TrainProgress { valid_loss: Some(valid_loss), saved: true, ..at }) {
            ControlFlow::Break(()) => Err(NnError::Stopped { epoch: epoch + 1 }),
            ControlFlow::Continue(()) => Ok(at.images_per_second),
        }
    }

    /// The items of an epoch in order, as many as there are crops.
    fn order(&self, crops: &dyn Crops, epoch: usize) -> Vec<usize> {
        let mut stream = Stream::new(Purpose::Order, self.config.seed, epoch as u32, 0);
        let mut order: Vec<usize> = (0..crops.len()).collect();
        stream.shuffle(&mut order);
        if self.config.class_balance {
            let strata = Strata::new(crops, &order);
            order = (0..crops.len()).map(|k| strata.draw(k)).collect();
            stream.shuffle(&mut order);
        }
        order
    }

    /// One step of the optimiser on the input of the trained stages and a class for each item; the
    /// loss before it (with Gaussian weights under their noise, without their divergence).
    fn step(&mut self, x: Tensor<4>, labels: &[usize], learning_rate: f32) -> f32 {
        let config = self.config;
        let trained = self.frozen..self.net.network().stages.len();
        let mut tracked = self.net.clone();
        for p in tracked.parameters_mut(trained.clone()).filter(|p| p.array.learned) {
            p.value = p.value.clone().autodiff().require_grad();
        }
        let sites = if config.dropout > 0.0 { config.boundary.sites(self.net.network()) } else { 0..0 };
        let masks = match &self.masks {
            Some(masks) => masks.for_training(labels.len(), self.device),
            None => Masks::for_training(
                sites,
                |site| self.net.network().channels(site),
                config.dropout,
                config.seed,
                self.state.steps,
                labels.len(),
                self.device,
            ),
        };
        let (seed, step, items) = (config.seed, self.state.steps, labels.len());
        let weights = self.variational.as_ref().map(|v| (v, v.track(&mut tracked, seed, step, items)));
        let noise = weights.as_ref().map(|(_, weights)| &weights.noise);
        let mut seen = Vec::new();
        let mut pass = Pass { statistics: Statistics::Batch(&mut seen), masks: Some(&masks), noise };
        let logits = tracked.run_stages(x, trained.clone(), &mut pass);
        let names = &config.class_names;
        let logits = logits.reshape([labels.len(), names.len()]);
        let mut loss = match config.evidential() {
            Some(evidential) => {
                let counts: Vec<f32> = self.offsets().iter().map(|offset| (-offset).exp()).collect();
                evidential.loss(logits, labels, &counts, self.state.history.len(), self.device)
            }
            None => {
                let log_p = activation::log_softmax(self.of_epoch(logits), 1);
                config.loss.of(log_p, labels, names, self.device)
            }
        };
        let value = values_of(loss.clone().inner()).first().copied().unwrap_or(f32::NAN);
        if !value.is_finite() {
            return value;
        }
        if let Some((variational, weights)) = &weights {
            loss = loss + variational.penalty(weights, self.done(), labels.len());
        }
        let mut gradients = loss.backward();
        let deviations = weights.map(|(_, weights)| weights.untrack(&mut tracked, &mut gradients)).unwrap_or_default();
        let by_parameter: Vec<Option<Tensor<2>>> =
            tracked.parameters_mut(trained.clone()).map(|p| p.value.grad_remove(&mut gradients)).collect();
        drop(tracked);
        self.optimiser.begin_step();
        for (p, gradient) in self.net.parameters_mut(trained).zip(by_parameter) {
            let Some(gradient) = gradient else { continue };
            let decay = match p.layout {
                Layout::Vector(_) => 0.0,
                // A prior is what pulls these.
                _ if self.variational.as_ref().is_some_and(|v| v.holds(p.name())) => 0.0,
                _ => config.optimiser.weight_decay,
            };
            let mut values = p.values();
            let gradient = values_of(gradient);
            self.optimiser.update(p.name(), &mut values, &gradient, learning_rate, decay);
            p.set(values);
        }
        if let Some(variational) = &mut self.variational {
            variational.update(deviations, &mut self.optimiser, learning_rate);
        }
        self.net.update_statistics(&seen, config.norm_momentum);
        self.state.steps += 1;
        value
    }

    /// ln of how much more common each class is in an epoch than equally common classes are; nothing where the network's
    /// answers are those of the epoch's prior.
    fn offsets(&self) -> Vec<f32> {
        let classes = self.state.prior.len() as f64;
        self.state.prior.iter().map(|share| (share * classes).ln() as f32).collect()
    }

    /// The logits of a network whose own answers are for equally common classes, as they are with the prior of an epoch (Menon
    /// et al., "Long-tail learning via logit adjustment", ICLR 2021): what it is trained by.
    fn of_epoch(&self, logits: Tensor<2>) -> Tensor<2> {
        match self.offsets() {
            none if none.is_empty() => logits,
            offsets => {
                let shape = [1, offsets.len()];
                logits + Tensor::<2>::from_data(TensorData::new(offsets, shape), self.device)
            }
        }
    }

    /// The part of all steps that is done.
    fn done(&self) -> f32 {
        let n = self.state.crops[0];
        let total = self.config.epochs * (n / self.config.batch.min(n).max(1));
        self.state.steps as f32 / total.max(1) as f32
    }

    /// Mean negative log-likelihood and accuracy on the validation set.
    fn validate(&self, valid: &Maps<'_>) -> Result<(f64, f64), NnError> {
        let classes = self.config.class_names.len();
        let items: Vec<usize> = (0..valid.crops.len()).collect();
        let weights = match self.config.class_balance {
            true => Strata::new(valid.crops, &items).weights(items.len()),
            false => vec![1.0 / items.len() as f64; items.len()],
        };
        let (mut rows, mut right) = (Vec::with_capacity(valid.crops.len()), 0.0);
        for items in items.chunks(CHUNK) {
            let x = match &valid.cache {
                Some(_) => valid.batch(items, 0)?,
                None => valid.images(items, |_| 0)?,
            };
            let stages = self.frozen..self.net.network().stages.len();
            let net = self.mean.as_ref().unwrap_or(&self.net);
            let logits = net.run_stages(x, stages, &mut Pass::inference(None)).reshape([items.len(), classes]);
            let logits = if self.config.evidential().is_some() { mean_logits(logits) } else { logits };
            let log_p = values_of(activation::log_softmax(self.of_epoch(logits), 1));
            for (row, &i) in log_p.chunks_exact(classes).zip(items) {
                let own = row[valid.crops.class(i)];
                rows.push(row.iter().map(|&l| f64::from(l - own)).collect::<Vec<_>>());
                right += if row.iter().all(|&other| other <= own) { weights[i] } else { 0.0 };
            }
        }
        // The softmax at temperature T of logits is that of log-probabilities at T.
        let nll = |row: &Vec<f64>, t: f64| row.iter().map(|l| (l / t).exp()).sum::<f64>().ln();
        let at = |t: f64| rows.iter().zip(&weights).map(|(row, w)| w * nll(row, t)).sum::<f64>();
        let loss = TEMPERATURES.map(at).into_iter().fold(f64::INFINITY, |a, b| if b.is_nan() { b } else { a.min(b) });
        Ok((loss, right))
    }

    /// Writes what is needed to go on; and, after the best epoch so far, the run's weights.
    fn checkpoint(&self) -> Result<(), NnError> {
        let mut arrays = self.net.to_state();
        if self.state.best() == self.state.history.last() {
            let path = self.dir.join("weights.safetensors");
            match (&self.mean, &self.snapshots) {
                (_, Some(snapshots)) => snapshots.write(self.dir)?,
                (Some(mean), None) => mean.save(&path)?,
                (None, None) => write_state(&path, &arrays)?,
            }
            if let Some(swag) = &self.swag {
                swag.inference().write_arrays(self.dir, &swag.kept(&self.net))?;
            }
            if let Some(variational) = &self.variational {
                variational.inference().write_arrays(self.dir, &variational.rhos())?;
            }
            if let (Some(inference), Some(_)) = (&self.config.inference, self.config.evidential()) {
                // It keeps nothing beside the weights but whose they are.
                inference.write_arrays(self.dir, &StateDict::new())?;
            }
            if let Some(masks) = &self.masks {
                masks.inference().write_arrays(self.dir, &masks.arrays())?;
            }
        }
        if let Some(variational) = &self.variational {
            variational.to_state(&mut arrays);
        }
        if let Some(swag) = &self.swag {
            swag.to_state(&self.net, &mut arrays);
        }
        if let Some(snapshots) = &self.snapshots {
            snapshots.to_state(&mut arrays);
        }
        self.optimiser.to_state(&mut arrays);
        let path = self.dir.join("checkpoint.safetensors");
        let text = serde_json::to_string(&self.state).map_err(|e| NnError::corrupt(&path, e.to_string()))?;
        let metadata = BTreeMap::from([("progress".to_owned(), text)]);
        write_state_with(&path, &arrays, &metadata)?;
        write_json(&self.dir.join("history.json"), &self.state.history)
    }

    /// Writes what makes the folder a run.
    pub(super) fn finish(&self, train: &dyn Crops) -> Result<(), NnError> {
        let config = self.config;
        let Some(best) = self.state.best() else {
            return Ok(());
        };
        let run = RunConfig {
            version: RUN_VERSION,
            detector: config.detector,
            network: self.net.config().clone(),
            class_names: config.class_names.clone(),
            trained_on: TrainedOn {
                class_prior: if self.state.prior.is_empty() {
                    Vec::new()
                } else {
                    equal_prior(config.class_names.len())
                },
                ..config.trained_on.clone()
            },
            preprocessing: Preprocessing {
                input_size: train.size(),
                margin: train.margin().unwrap_or(config.detector.preprocessing().margin),
                normalisation: config.normalisation(),
                signal: config.signal(),
            },
            dropout: config.dropout,
            boundary: config.boundary,
            inference: match (&self.variational, &self.snapshots) {
                (Some(variational), _) => Some(variational.inference()),
                (None, Some(snapshots)) => Some(snapshots.inference()),
                (None, None) => match &self.masks {
                    Some(masks) => Some(masks.inference()),
                    None if config.evidential().is_some() => config.inference.clone(),
                    None => self.swag.as_ref().map(SwagTraining::inference),
                },
            },
            softmax_temperature: None,
            seed: config.seed,
            epoch: best.epoch,
            valid_loss: best.valid_loss,
            made_by: format!("dubito {}", env!("CARGO_PKG_VERSION")),
        };
        let card = model_card(&run, &self.state);
        write_atomic(&self.dir.join("model_card.md"), card.as_bytes())?;
        write_json(&self.dir.join("config.json"), &run)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::architectures::{Architecture, NetworkConfig};
    use crate::formula;
    use crate::optim::OptimiserConfig;

    /// The loss, every gradient and running statistics of one step, beside PyTorch's in float64.
    #[test]
    fn a_step_is_pytorchs() {
        let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/resnet.json")).unwrap();
        a_step_is(&golden["train"], Architecture::Resnet18, [4, 3, 64, 64], 62);
        let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/networks.json")).unwrap();
        for (architecture, arrays) in [
            (Architecture::MobilenetV2, 158),
            (Architecture::MobilenetV3Small, 142),
            (Architecture::EfficientnetB0, 213),
            (Architecture::Xception, 156),
        ] {
            a_step_is(&golden["networks"][architecture.name()]["train"], architecture, [4, 3, 96, 96], arrays);
        }
        let golden = include_str!("../../tests/golden/signal_networks.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        for (architecture, arrays) in [
            (Architecture::Fakecatcher, 16),
            (Architecture::PpgCells, 66),
            (Architecture::Motion, 17),
            (Architecture::MotionFactored, 32),
        ] {
            let golden = &golden["networks"][architecture.name()]["train"];
            let shape = serde_json::from_value(golden["shape"].clone()).unwrap();
            a_step_is(golden, architecture, shape, arrays);
        }
    }

    fn a_step_is(golden: &serde_json::Value, detector: Architecture, shape: [usize; 4], arrays: usize) {
        let device = Device::flex();
        let window = detector.has_window().then_some(if detector == Architecture::Fakecatcher { 64 } else { 16 });
        let config = TrainConfig {
            detector,
            class_names: (0..5).map(|c| c.to_string()).collect(),
            optimiser: OptimiserConfig { weight_decay: 0.1, ..OptimiserConfig::default() },
            dropout: 0.0,
            ..TrainConfig::default()
        };
        let mut trainer = Trainer {
            config: &config,
            frozen: 0,
            dir: Path::new(""),
            device: &device,
            net: formula::detector(detector, &NetworkConfig { window, ..formula::config() }, &device),
            optimiser: Optimiser::new(&config.optimiser),
            variational: None,
            swag: None,
            snapshots: None,
            masks: None,
            mean: None,
            state: Progress { config: config.clone(), crops: [4, 0], prior: Vec::new(), steps: 0, history: Vec::new() },
            fresh: true,
        };
        let x = formula::image("train", shape, &device);
        let labels: Vec<usize> = serde_json::from_value(golden["labels"].clone()).unwrap();
        let loss = trainer.step(x, &labels, 1e-3);
        let want = golden["loss"].as_f64().unwrap() as f32;
        assert!((loss - want).abs() < 1e-4 * want, "{detector}: loss {loss} instead of {want}");

        // After one step the first moment is a tenth of the gradient.
        let mut moments = crate::StateDict::new();
        trainer.optimiser.to_state(&mut moments);
        let norms: std::collections::BTreeMap<String, f32> =
            serde_json::from_value(golden["gradient_norms"].clone()).unwrap();
        assert_eq!(norms.len(), arrays);
        // A bias before another batch norm has no gradient, and rounding gives it a little.
        let floor = 1e-6 * norms.values().fold(0.0f32, |a, &b| a.max(b));
        for (name, want) in norms {
            let m = &moments[&format!("adam.m/{name}")].values;
            let ours = 10.0 * m.iter().map(|v| v * v).sum::<f32>().sqrt();
            // In float32 PyTorch itself is up to 4e-3 away: a ReLU flips here and there.
            assert!((ours - want).abs() < 1e-2 * want + floor, "{detector} {name}: {ours} instead of {want}");
        }
        let state = trainer.net.to_state();
        let statistics: std::collections::BTreeMap<String, Vec<f32>> =
            serde_json::from_value(golden["statistics"].clone()).unwrap();
        assert!(!statistics.is_empty());
        for (name, want) in statistics {
            for (ours, want) in state[&name].values.iter().zip(want) {
                assert!((ours - want).abs() < 1e-5, "{name}: {ours} instead of {want}");
            }
        }
    }
}
