//! Training of a ResNet-18 on labelled crops: deterministic by its seed, exact to resume.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData, activation};
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::NnError;
use crate::augment::{AugmentConfig, Normalisation};
use crate::dropout::{Boundary, Masks, check_rate};
use crate::layers::{Layout, Statistics, values_of};
use crate::optim::{AdamW, scheduled_rate};
use crate::resnet::{HEAD, Init, Pass, ResNet, ResNetConfig, STAGES, stage_index};
use crate::rng::{Purpose, Stream};
use crate::run::{RUN_VERSION, RunConfig, TrainedOn, write_json};
use crate::state::{read_metadata, read_state, write_atomic, write_state, write_state_with};

/// Why a crop could not be read.
pub type CropError = Box<dyn std::error::Error + Send + Sync>;

/// Labelled face crops, all of one size, read by index from many threads.
pub trait Crops: Sync {
    /// Number of crops.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Side of the square crops in pixels.
    fn size(&self) -> u32;

    /// Class of crop `i`, an index into [`TrainConfig::class_names`].
    fn class(&self, i: usize) -> usize;

    /// What made crop `i`, as a number: 0 for a real crop, one above 0 for each generator. Balanced training
    /// ([`TrainConfig::class_balance`]) goes by it; without more being known it is the class, class 0 being real.
    fn source(&self, i: usize) -> u32 {
        self.class(i) as u32
    }

    /// Identity of crop `i`; training and validation must not share one.
    fn group(&self, i: usize) -> u32;

    /// Writes crop `i` as RGB bytes `[size, size, 3]`.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self, i: usize, out: &mut [u8]) -> Result<(), CropError>;
}

/// Crops in memory.
#[derive(Debug, Clone)]
pub struct MemoryCrops {
    size: u32,
    pixels: Vec<u8>,
    classes: Vec<usize>,
    groups: Vec<u32>,
}

impl MemoryCrops {
    /// Crops from RGB bytes `[items, size, size, 3]`, and a class and an identity for each.
    ///
    /// # Errors
    /// [`NnError::Data`] where the lengths do not fit together.
    pub fn new(size: u32, pixels: Vec<u8>, classes: Vec<usize>, groups: Vec<u32>) -> Result<Self, NnError> {
        let one = size as usize * size as usize * 3;
        if one == 0 || pixels.len() != one * classes.len() || groups.len() != classes.len() {
            return Err(NnError::Data {
                reason: format!(
                    "{} bytes, {} classes and {} identities do not make whole crops of {size} pixels",
                    pixels.len(),
                    classes.len(),
                    groups.len()
                ),
            });
        }
        Ok(Self { size, pixels, classes, groups })
    }
}

impl Crops for MemoryCrops {
    fn len(&self) -> usize {
        self.classes.len()
    }

    fn size(&self) -> u32 {
        self.size
    }

    fn class(&self, i: usize) -> usize {
        self.classes[i]
    }

    fn group(&self, i: usize) -> u32 {
        self.groups[i]
    }

    fn read(&self, i: usize, out: &mut [u8]) -> Result<(), CropError> {
        out.copy_from_slice(&self.pixels[i * out.len()..(i + 1) * out.len()]);
        Ok(())
    }
}

/// How to train. Every field has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Names of the classes; a crop's class is an index into them. 2 or more.
    pub class_names: Vec<String>,
    /// What the classes are made of, and what was left out; kept in the run's `config.json`.
    pub trained_on: TrainedOn,
    /// Most epochs, 1 or more.
    pub epochs: usize,
    /// Crops in a step, 2 or more.
    pub batch: usize,
    /// Peak learning rate of AdamW, above 0; a tenth of the steps warms up, a cosine follows.
    pub learning_rate: f32,
    /// Decoupled weight decay of convolutions and the last layer, 0 or more.
    pub weight_decay: f32,
    /// Stages up to and with this one (`stem`, `layer1` to `layer4`) stay as they are, and their
    /// output is computed once and cached; none are frozen without it.
    pub freeze: Option<String>,
    /// How many variants of each crop are cached where stages are frozen: the crop itself, then
    /// augmented ones; an epoch takes them in turn. 1 or more.
    pub augment_copies: usize,
    /// Augmentation of training crops.
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
    /// real, or none is ([`Crops::source`]). The validation loss weighs its crops in the same way.
    pub class_balance: bool,
    /// Channels of the first stage; 64 is torchvision's ResNet-18, less is faster by the square.
    pub width: usize,
    /// How the first convolution begins.
    pub init: Init,
    /// Weights to begin from (safetensors with torchvision's names) instead of random ones; the last
    /// layer is begun anew where its classes differ.
    pub weights: Option<PathBuf>,
    /// How crops are normalised.
    pub normalisation: Normalisation,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            class_names: vec!["real".to_owned(), "fake".to_owned()],
            trained_on: TrainedOn::default(),
            epochs: 20,
            batch: 32,
            learning_rate: 1e-3,
            weight_decay: 0.01,
            freeze: None,
            augment_copies: 2,
            augment: AugmentConfig::default(),
            dropout: 0.2,
            boundary: Boundary::Head,
            patience: 5,
            seed: 0,
            class_balance: true,
            width: 64,
            init: Init::Dct,
            weights: None,
            normalisation: Normalisation::default(),
        }
    }
}

impl TrainConfig {
    /// Checks every field; returns how many stages are frozen.
    fn check(&self) -> Result<usize, NnError> {
        let at_least = |field, least: usize, value: usize| {
            if value < least { Err(NnError::setting(field, format!("{least} or more"), value)) } else { Ok(()) }
        };
        at_least("class_names", 2, self.class_names.len())?;
        at_least("epochs", 1, self.epochs)?;
        at_least("batch", 2, self.batch)?;
        at_least("augment_copies", 1, self.augment_copies)?;
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            let expected = "above 0";
            return Err(NnError::setting("learning_rate", expected, self.learning_rate));
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            let expected = "0 or more";
            return Err(NnError::setting("weight_decay", expected, self.weight_decay));
        }
        if self.normalisation.std.iter().any(|&s| s.is_nan() || s <= 0.0) {
            let found = format!("{:?}", self.normalisation.std);
            return Err(NnError::setting("normalisation.std", "above 0", found));
        }
        check_rate(self.dropout)?;
        self.augment.check()?;
        match &self.freeze {
            None => Ok(0),
            Some(name) => match stage_index("freeze", name)? {
                HEAD => Err(NnError::setting("freeze", "a stage before the head, which is left to train", name)),
                stage if stage >= self.boundary.first_site() && self.dropout > 0.0 => Err(NnError::setting(
                    "freeze",
                    format!("a stage before the boundary `{}`: a frozen trunk has no dropout", self.boundary),
                    name,
                )),
                stage => Ok(stage + 1),
            },
        }
    }
}

/// Temperatures that the validation loss is looked for at.
const TEMPERATURES: [f64; 11] = [0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.3, 16.0];

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
}

/// What one epoch came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: usize,
    /// Mean loss over its training steps, with dropout and augmentation, in nats.
    pub train_loss: f64,
    /// Mean negative log-likelihood on the validation set (weighed as [`TrainConfig::class_balance`] says), without
    /// either, in nats, at the temperature
    /// (of a few between 0.5 and 16) that makes it lowest: a network that has learned more is not passed
    /// over because it is also surer of itself ("refine, then calibrate", Berta et al. 2025,
    /// arXiv:2501.19195). The temperature is not kept.
    pub valid_loss: f64,
    /// Part of the validation set (weighed in the same way) whose most probable class is its own.
    pub valid_accuracy: f64,
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
    steps: u32,
    history: Vec<EpochRecord>,
}

impl Progress {
    fn best(&self) -> Option<&EpochRecord> {
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
/// finished is left as it is and reported.
///
/// # Errors
/// [`NnError::Setting`] and [`NnError::Data`] before anything is written; [`NnError::Crop`],
/// [`NnError::Io`]; [`NnError::Diverged`] where the loss is not finite, [`NnError::Stopped`] where
/// `progress` breaks: both leave the last checkpoint.
pub fn train(
    config: &TrainConfig,
    train: &dyn Crops,
    valid: &dyn Crops,
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
        let (train_maps, valid_maps) = trainer.trunk(train, valid, progress)?;
        while !trainer.state.done() {
            rate = Some(trainer.epoch(&train_maps, &valid_maps, progress)?);
            trainer.checkpoint()?;
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
    let size = train.size();
    if train.len() < 2 || valid.is_empty() {
        return fail(format!(
            "{} training and {} validation crops; at least 2 and 1 are needed",
            train.len(),
            valid.len()
        ));
    }
    if size < 32 || size != valid.size() {
        return fail(format!("crops of {size} and {} pixels; both sets need the same size, 32 or more", valid.size()));
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

/// What goes into the trained stages: images made when asked for, or cached maps of the frozen ones.
struct Maps<'a> {
    crops: &'a dyn Crops,
    augment: Option<&'a AugmentConfig>,
    normalisation: &'a Normalisation,
    seed: u64,
    device: Device,
    cache: Option<Cache>,
}

/// Feature maps of the last frozen stage in half precision, `[copies * items, h, w, channels]`.
struct Cache {
    shape: [usize; 3],
    copies: usize,
    values: Vec<f16>,
}

impl Maps<'_> {
    /// Images `[items, 3, size, size]`; variant 0 is the crop itself.
    fn images(&self, items: &[usize], variant: impl Fn(usize) -> u32 + Sync) -> Result<Tensor<4>, NnError> {
        let size = self.crops.size() as usize;
        let one = size * size * 3;
        let mut values = vec![0.0; items.len() * one];
        values.par_chunks_exact_mut(one).zip(items).try_for_each(|(out, &i)| {
            let mut crop = vec![0; one];
            self.crops.read(i, &mut crop).map_err(|e| NnError::Crop { index: i, reason: e.to_string() })?;
            let variant = variant(i);
            let mut stream = Stream::new(Purpose::Augment, self.seed, variant, i as u32);
            let augment = self.augment.filter(|_| variant > 0);
            let augment = augment.map(|config| (config, &mut stream));
            self.normalisation.planes(&crop, size, augment, out);
            Ok::<(), NnError>(())
        })?;
        let shape = [items.len(), 3, size, size];
        Ok(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }

    /// The input of the trained stages for these items in this epoch (from 0).
    fn batch(&self, items: &[usize], epoch: usize) -> Result<Tensor<4>, NnError> {
        let Some(cache) = &self.cache else {
            return self.images(items, |_| epoch as u32 + 1);
        };
        let one: usize = cache.shape.iter().product();
        let mut values = vec![0.0f32; items.len() * one];
        for (out, &i) in values.chunks_exact_mut(one).zip(items) {
            let copy = self.variant(i, epoch, cache.copies);
            let from = (copy * self.crops.len() + i) * one;
            cache.values[from..from + one].convert_to_f32_slice(out);
        }
        let [h, w, c] = cache.shape;
        let shape = [items.len(), h, w, c];
        Ok(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }

    /// Which cached variant of crop `i` an epoch takes: each in turn, from one drawn at random. Were it
    /// a function of the index alone, whether a crop is augmented could give away its class.
    fn variant(&self, i: usize, epoch: usize, copies: usize) -> usize {
        let first = Stream::new(Purpose::Order, self.seed, u32::MAX, i as u32).below(copies as u32);
        (first as usize + epoch) % copies
    }

    /// Runs every crop's variants through the frozen stages once.
    fn fill(
        &mut self,
        net: &ResNet,
        frozen: usize,
        copies: usize,
        done: &mut dyn FnMut(usize) -> Result<(), NnError>,
    ) -> Result<(), NnError> {
        let n = self.crops.len();
        let mut cache = Cache { shape: [0; 3], copies, values: Vec::new() };
        for copy in 0..copies {
            for from in (0..n).step_by(CHUNK) {
                let items: Vec<usize> = (from..n.min(from + CHUNK)).collect();
                let images = self.images(&items, |_| copy as u32)?;
                let maps = net.run_stages(images, 0..frozen, &mut Pass::inference(None));
                let [_, h, w, c] = maps.dims();
                cache.shape = [h, w, c];
                cache.values.reserve_exact(if from == 0 { n * h * w * c } else { 0 });
                let values = values_of(maps);
                let start = cache.values.len();
                cache.values.resize(start + values.len(), f16::ZERO);
                cache.values[start..].convert_from_f32_slice(&values);
                done(items.len())?;
            }
        }
        self.cache = Some(cache);
        Ok(())
    }
}

/// Crops in a forward pass without gradients.
const CHUNK: usize = 32;
/// Most crops that batch norm is calibrated on.
const CALIBRATION: usize = 256;

/// Sets the running statistics of some stages' batch norm to those of the crops given, by mean over
/// batches; a random trunk needs it before it is frozen.
fn calibrate_batch_norm(net: &mut ResNet, stages: Range<usize>, maps: &Maps<'_>) -> Result<(), NnError> {
    // Evenly over the set, which may be sorted by video.
    let n = maps.crops.len();
    let count = n.min(CALIBRATION);
    let items: Vec<usize> = (0..count).map(|i| i * n / count).collect();
    for (k, items) in items.chunks(CHUNK).enumerate() {
        let images = maps.images(items, |_| 0)?;
        let mut seen = Vec::new();
        let mut pass = Pass { statistics: Statistics::Batch(&mut seen), masks: None };
        net.run_stages(images, stages.clone(), &mut pass);
        net.update_statistics(&seen, 1.0 / (k + 1) as f32);
    }
    Ok(())
}

/// Crops by what is drawn evenly: halves (real and fake), in a half its classes, in a class its sources.
struct Strata(Vec<Vec<Vec<Vec<usize>>>>);

impl Strata {
    /// Of crops in this order.
    fn new(crops: &dyn Crops, order: &[usize]) -> Self {
        let mut halves: BTreeMap<bool, BTreeMap<usize, BTreeMap<u32, Vec<usize>>>> = BTreeMap::new();
        for &i in order {
            let (class, source) = (crops.class(i), crops.source(i));
            halves.entry(source > 0).or_default().entry(class).or_default().entry(source).or_default().push(i);
        }
        let classes = |half: BTreeMap<usize, BTreeMap<u32, Vec<usize>>>| {
            half.into_values().map(|sources| sources.into_values().collect()).collect()
        };
        Self(halves.into_values().map(classes).collect())
    }

    /// The `k`-th crop of an epoch: halves take turns, in a half its classes, in a class its sources.
    fn draw(&self, k: usize) -> usize {
        let half = &self.0[k % self.0.len()];
        let k = k / self.0.len();
        let class = &half[k % half.len()];
        let k = k / half.len();
        let source = &class[k % class.len()];
        source[k / class.len() % source.len()]
    }

    /// The share of each of `n` crops (all those there are) in an endless epoch; they sum to 1.
    fn weights(&self, n: usize) -> Vec<f64> {
        let mut weights = vec![0.0; n];
        for half in &self.0 {
            for class in half {
                for source in class {
                    let strata = self.0.len() * half.len() * class.len();
                    source.iter().for_each(|&i| weights[i] = 1.0 / (strata * source.len()) as f64);
                }
            }
        }
        weights
    }
}

/// A training in progress.
struct Trainer<'a> {
    config: &'a TrainConfig,
    frozen: usize,
    dir: &'a Path,
    device: &'a Device,
    net: ResNet,
    optimiser: AdamW,
    state: Progress,
    fresh: bool,
}

impl<'a> Trainer<'a> {
    /// From the checkpoint in `dir` where there is one, else from the start.
    fn begin(
        config: &'a TrainConfig,
        frozen: usize,
        train: &dyn Crops,
        valid: &dyn Crops,
        dir: &'a Path,
        device: &'a Device,
    ) -> Result<Self, NnError> {
        let network = ResNetConfig { classes: config.class_names.len(), width: config.width };
        let crops = [train.len(), valid.len()];
        let path = dir.join("checkpoint.safetensors");
        if !path.exists() {
            let mut net = ResNet::new(&network, config.init, config.seed, device)?;
            if let Some(weights) = &config.weights {
                let mut state = read_state(weights)?;
                let own = net.to_state();
                for name in ["fc.weight", "fc.bias"] {
                    if state.get(name).map(|a| &a.shape) != own.get(name).map(|a| &a.shape) {
                        state.extend(own.get_key_value(name).map(|(k, v)| (k.clone(), v.clone())));
                    }
                }
                net = ResNet::from_state(&network, &state, device)?;
            }
            return Ok(Self {
                config,
                frozen,
                dir,
                device,
                net,
                optimiser: AdamW::default(),
                state: Progress { config: config.clone(), crops, steps: 0, history: Vec::new() },
                fresh: true,
            });
        }
        let state: Progress = serde_json::from_str(&read_metadata(&path, "progress")?)
            .map_err(|e| NnError::corrupt(&path, format!("{e}: remove it to train anew")))?;
        if state.config != *config || state.crops != crops {
            return Err(NnError::corrupt(
                &path,
                "is of another configuration or other data: give another folder, or remove it to train anew",
            ));
        }
        let mut arrays = read_state(&path)?;
        let optimiser = AdamW::from_state(&mut arrays, state.steps);
        Ok(Self {
            config,
            frozen,
            dir,
            device,
            net: ResNet::from_state(&network, &arrays, device)?,
            optimiser,
            state,
            fresh: false,
        })
    }

    /// What goes into the trained stages, of both sets; frozen stages are calibrated and run here.
    fn trunk<'c>(
        &mut self,
        train: &'c dyn Crops,
        valid: &'c dyn Crops,
        progress: &mut dyn FnMut(TrainProgress) -> ControlFlow<()>,
    ) -> Result<(Maps<'c>, Maps<'c>), NnError>
    where
        'a: 'c,
    {
        let config = self.config;
        let maps = |crops, augment| Maps {
            crops,
            augment,
            normalisation: &config.normalisation,
            seed: config.seed,
            device: self.device.clone(),
            cache: None,
        };
        let mut train_maps = maps(train, Some(&config.augment));
        let mut valid_maps = maps(valid, None);
        if self.frozen > 0 {
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

    /// One epoch and its validation; crops per second.
    fn epoch(
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
        let mut rate = 0.0;
        for (step, items) in order.chunks_exact(batch).enumerate() {
            let learning_rate = scheduled_rate(config.learning_rate, self.state.steps, (steps * config.epochs) as u32);
            let labels: Vec<usize> = items.iter().map(|&i| train.crops.class(i)).collect();
            let x = train.batch(items, epoch)?;
            let loss = self.step(x, &labels, learning_rate);
            if !loss.is_finite() {
                return Err(NnError::Diverged { epoch: epoch + 1, step: step + 1, loss });
            }
            sum += f64::from(loss);
            rate = ((step + 1) * batch) as f64 / begin.elapsed().as_secs_f64();
            let at = TrainProgress {
                epoch: epoch + 1,
                epochs: config.epochs,
                step: step + 1,
                steps,
                loss: Some(sum / (step + 1) as f64),
                valid_loss: self.state.history.last().map(|h| h.valid_loss),
                images_per_second: rate,
            };
            if progress(at).is_break() {
                return Err(NnError::Stopped { epoch });
            }
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
        });
        Ok(rate)
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
    /// mean cross-entropy before it.
    fn step(&mut self, x: Tensor<4>, labels: &[usize], learning_rate: f32) -> f32 {
        let config = self.config;
        let trained = self.frozen..STAGES.len();
        let mut tracked = self.net.clone();
        tracked.each_parameter(trained.clone(), &mut |p, learned| {
            if learned {
                p.value = p.value.clone().autodiff().require_grad();
            }
        });
        let sites = if config.dropout > 0.0 { config.boundary.sites() } else { 0..0 };
        let masks = Masks::for_training(
            sites,
            |site| self.net.channels(site),
            config.dropout,
            config.seed,
            self.state.steps,
            labels.len(),
            self.device,
        );
        let mut seen = Vec::new();
        let mut pass = Pass { statistics: Statistics::Batch(&mut seen), masks: Some(&masks) };
        let logits = tracked.run_stages(x, trained.clone(), &mut pass);
        let classes = config.class_names.len();
        let log_p = activation::log_softmax(logits.reshape([labels.len(), classes]), 1);
        let mut weights = vec![0.0f32; labels.len() * classes];
        for (row, &class) in labels.iter().enumerate() {
            weights[row * classes + class] = -1.0 / labels.len() as f32;
        }
        let weights = TensorData::new(weights, [labels.len(), classes]);
        let loss = (log_p * Tensor::from_data(weights, self.device)).sum();
        let value = values_of(loss.clone().inner()).first().copied().unwrap_or(f32::NAN);
        if !value.is_finite() {
            return value;
        }
        let mut gradients = loss.backward();
        let mut by_parameter = Vec::new();
        tracked.each_parameter(trained.clone(), &mut |p, learned| {
            if learned {
                by_parameter.push(p.value.grad_remove(&mut gradients));
            }
        });
        drop(tracked);
        self.optimiser.begin_step();
        let mut by_parameter = by_parameter.into_iter();
        let (optimiser, device) = (&mut self.optimiser, self.device);
        self.net.each_parameter(trained, &mut |p, learned| {
            let Some(gradient) = learned.then(|| by_parameter.next().flatten()).flatten() else {
                return;
            };
            let decay = match p.layout {
                Layout::Vector(_) => 0.0,
                _ => config.weight_decay,
            };
            let mut values = p.values();
            let gradient = values_of(gradient);
            optimiser.update(&p.name, &mut values, &gradient, learning_rate, decay);
            p.set(values, device);
        });
        self.net.update_statistics(&seen, 0.1);
        self.state.steps += 1;
        value
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
            let stages = self.frozen..STAGES.len();
            let logits = self.net.run_stages(x, stages, &mut Pass::inference(None)).reshape([items.len(), classes]);
            let log_p = values_of(activation::log_softmax(logits, 1));
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
            write_state(&self.dir.join("weights.safetensors"), &arrays)?;
        }
        self.optimiser.to_state(&mut arrays);
        let path = self.dir.join("checkpoint.safetensors");
        let text = serde_json::to_string(&self.state).map_err(|e| NnError::corrupt(&path, e.to_string()))?;
        let metadata = HashMap::from([("progress".to_owned(), text)]);
        write_state_with(&path, &arrays, metadata)?;
        write_json(&self.dir.join("history.json"), &self.state.history)
    }

    /// Writes what makes the folder a run.
    fn finish(&self, train: &dyn Crops) -> Result<(), NnError> {
        let config = self.config;
        let Some(best) = self.state.best() else {
            return Ok(());
        };
        let run = RunConfig {
            version: RUN_VERSION,
            detector: "resnet18".to_owned(),
            network: self.net.config().clone(),
            class_names: config.class_names.clone(),
            trained_on: config.trained_on.clone(),
            input_size: train.size(),
            normalisation: config.normalisation,
            dropout: config.dropout,
            boundary: config.boundary,
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

/// The run in words, for a person.
fn model_card(run: &RunConfig, state: &Progress) -> String {
    let config = &state.config;
    let accuracy = state.best().map_or(f64::NAN, |best| best.valid_accuracy);
    let frozen = match &config.freeze {
        Some(stage) => format!("stages up to `{stage}` frozen"),
        None => "every stage trained".to_owned(),
    };
    let TrainedOn { task, generators, left_out, set_aside, .. } = &run.trained_on;
    let mut data = String::new();
    if !generators.is_empty() {
        data += &format!("| task | {task} |\n");
        let fakes: Vec<&str> =
            generators.iter().flatten().map(String::as_str).filter(|g| !g.ends_with("/real")).collect();
        data += &format!("| generators learned | {} |\n", fakes.join(", "));
    }
    for (what, names) in [("generators left out", left_out), ("set aside, as part of them was left out", set_aside)] {
        if !names.is_empty() {
            data += &format!("| {what} | {} |\n", names.join(", "));
        }
    }
    format!(
        "# Detector: ResNet-18, {classes}\n\n\
         | | |\n|---|---|\n\
         | input | RGB face crops of {size} x {size} pixels |\n\
         | width | {width} channels in the first stage |\n\
         | classes | {classes} |\n\
         {data}\
         | training | {n} crops, {epochs} epochs, {frozen}, AdamW at {rate}, seed {seed} |\n\
         | validation | {m} crops of other people: loss {loss:.4} nats, accuracy {accuracy:.3} (epoch {epoch}) |\n\
         | posterior | Monte Carlo dropout at rate {dropout} from `{boundary}` on |\n\
         | made by | {made_by} |\n\n\
         It knows the manipulations and the people it was trained on. Its scores on others are what a\n\
         reliability report is for; do not use it as evidence by itself.\n",
        classes = run.class_names.join(" / "),
        size = run.input_size,
        width = run.network.width,
        n = state.crops[0],
        m = state.crops[1],
        epochs = state.history.len(),
        rate = config.learning_rate,
        seed = run.seed,
        loss = run.valid_loss,
        epoch = run.epoch,
        dropout = run.dropout,
        boundary = run.boundary,
        made_by = run.made_by,
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::formula;

    /// Crops of a class and a source each, without pixels.
    struct Known(Vec<(usize, u32)>);

    impl Crops for Known {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn size(&self) -> u32 {
            1
        }
        fn class(&self, i: usize) -> usize {
            self.0[i].0
        }
        fn source(&self, i: usize) -> u32 {
            self.0[i].1
        }
        fn group(&self, _: usize) -> u32 {
            0
        }
        fn read(&self, _: usize, _: &mut [u8]) -> Result<(), CropError> {
            Ok(())
        }
    }

    #[test]
    fn half_is_real_and_the_fakes_are_even() {
        // Six reals; fakes: 30 of class 1, 20 of them by one generator and 10 by another; 4 of class 2.
        let kinds = [((0, 0), 6), ((1, 1), 20), ((1, 2), 10), ((2, 3), 4)];
        let crops = Known(kinds.iter().flat_map(|&(kind, n)| std::iter::repeat_n(kind, n)).collect());
        let all: Vec<usize> = (0..40).collect();
        let strata = Strata::new(&crops, &all);
        let drawn: Vec<usize> = (0..40).map(|k| strata.draw(k)).collect();
        let count = |kind: (usize, u32)| drawn.iter().filter(|&&i| crops.0[i] == kind).count();
        assert_eq!(kinds.map(|(kind, _)| count(kind)), [20, 5, 5, 10]);
        // Each crop of a rare kind comes as often as any other of it; none of a common kind twice.
        let times = |i: usize| drawn.iter().filter(|&&d| d == i).count();
        assert!((0..6).all(|i| (3..=4).contains(&times(i))) && (36..40).all(|i| (2..=3).contains(&times(i))));
        assert!((6..36).all(|i| times(i) <= 1));

        let weights = strata.weights(40);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((weights[0] - 0.5 / 6.0).abs() < 1e-12 && (weights[6] - 0.125 / 20.0).abs() < 1e-12);
        assert!((weights[30] - 0.125 / 10.0).abs() < 1e-12 && (weights[39] - 0.25 / 4.0).abs() < 1e-12);

        // Without reals the classes are even.
        let fakes = Known(crops.0[6..].to_vec());
        let strata = Strata::new(&fakes, &(0..34).collect::<Vec<_>>());
        let first = (0..34).filter(|&k| fakes.0[strata.draw(k)].0 == 1).count();
        assert_eq!(first, 17);
    }

    #[test]
    fn the_cached_variant_says_nothing_of_the_index() {
        let crops = MemoryCrops::new(1, vec![], vec![], vec![]).unwrap();
        let maps = Maps {
            crops: &crops,
            augment: None,
            normalisation: &Normalisation::default(),
            seed: 1,
            device: Device::flex(),
            cache: None,
        };
        for epoch in 0..2 {
            for parity in 0..2 {
                let first = (0..2000).filter(|i| i % 2 == parity && maps.variant(*i, epoch, 2) == 0).count();
                assert!((400..600).contains(&first), "{first} of 1000");
            }
        }
        assert_ne!(maps.variant(5, 0, 2), maps.variant(5, 1, 2));
    }

    /// The loss, every gradient and running statistics of one step, beside PyTorch's in float64.
    #[test]
    fn a_step_is_pytorchs() {
        let golden: serde_json::Value = serde_json::from_str(include_str!("../tests/golden/resnet.json")).unwrap();
        let golden = &golden["train"];
        let device = Device::flex();
        let config = TrainConfig {
            class_names: (0..5).map(|c| c.to_string()).collect(),
            weight_decay: 0.1,
            dropout: 0.0,
            ..TrainConfig::default()
        };
        let mut trainer = Trainer {
            config: &config,
            frozen: 0,
            dir: Path::new(""),
            device: &device,
            net: formula::network(&device),
            optimiser: AdamW::default(),
            state: Progress { config: config.clone(), crops: [4, 0], steps: 0, history: Vec::new() },
            fresh: true,
        };
        let x = formula::image("train", [4, 3, 64, 64], &device);
        let labels: Vec<usize> = serde_json::from_value(golden["labels"].clone()).unwrap();
        let loss = trainer.step(x, &labels, 1e-3);
        let want = golden["loss"].as_f64().unwrap() as f32;
        assert!((loss - want).abs() < 1e-4 * want, "{loss} instead of {want}");

        // After one step the first moment is a tenth of the gradient.
        let mut moments = crate::StateDict::new();
        trainer.optimiser.to_state(&mut moments);
        let norms: std::collections::BTreeMap<String, f32> =
            serde_json::from_value(golden["gradient_norms"].clone()).unwrap();
        assert_eq!(norms.len(), 62);
        for (name, want) in norms {
            let m = &moments[&format!("adam.m/{name}")].values;
            let ours = 10.0 * m.iter().map(|v| v * v).sum::<f32>().sqrt();
            // In float32 PyTorch itself is up to 4e-3 away: a ReLU flips here and there.
            assert!((ours - want).abs() < 1e-2 * want, "{name}: {ours} instead of {want}");
        }
        let state = trainer.net.to_state();
        let statistics: std::collections::BTreeMap<String, Vec<f32>> =
            serde_json::from_value(golden["statistics"].clone()).unwrap();
        assert_eq!(statistics.len(), 3);
        for (name, want) in statistics {
            for (ours, want) in state[&name].values.iter().zip(want) {
                assert!((ours - want).abs() < 1e-5, "{name}: {ours} instead of {want}");
            }
        }
    }
}
