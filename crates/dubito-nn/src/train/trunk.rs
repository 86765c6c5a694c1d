//! What a frozen trunk makes of the crops of a data set: computed once into a folder, shared by all trainings that begin so.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use burn::tensor::Device;
use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::{Deserialize, Serialize};

use super::maps::Maps;
use super::trainer::untrained;
use super::{Crops, TrainConfig};
use crate::NnError;
use crate::augment::{AugmentConfig, Normalisation};
use crate::detector::Detector;
use crate::run::write_json;

const ABOUT: &str = "trunk.json";
const MAPS: &str = "trunk.f16";
/// The largest number in half precision.
const LARGEST: f32 = 65504.0;
const REMOVE: &str = "remove the folder that it is in: the maps are made anew";

/// What the maps depend on besides the crops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Identity {
    /// BLAKE3 of the frozen stages' arrays.
    weights: String,
    stages: usize,
    copies: usize,
    augment: AugmentConfig,
    normalisation: Normalisation,
    seed: u64,
}

impl Identity {
    fn of(config: &TrainConfig, net: &Detector, stages: usize) -> Self {
        let mut hash = blake3::Hasher::new();
        for parameter in net.parameters().iter().filter(|p| p.stage < stages) {
            hash.update(parameter.name().as_bytes());
            for value in parameter.values() {
                hash.update(&value.to_le_bytes());
            }
        }
        Self {
            weights: hash.finalize().to_hex().to_string(),
            stages,
            copies: config.augment_copies,
            augment: config.augment.clone(),
            normalisation: config.normalisation(),
            seed: config.seed,
        }
    }
}

/// What `trunk.json` says.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    identity: Identity,
    /// Height, width and channels of a map.
    shape: [usize; 3],
    /// Key of each crop ([`Crops::key`]), in the order of the maps.
    keys: Vec<u64>,
}

/// Maps of a frozen trunk in half precision, of every crop of a data set and of its augmented variants, read from a file when
/// they are asked for.
///
/// A training that takes them ([`train`](crate::train())) comes to the same weights as one that computes them itself.
#[derive(Debug)]
pub struct Trunk {
    identity: Identity,
    shape: [usize; 3],
    places: HashMap<u64, usize>,
    path: PathBuf,
    file: Mutex<File>,
}

impl Trunk {
    /// Whether what a training freezes is the same whatever it learns from: given weights, not random ones, whose batch
    /// norm is set by the crops; and crops, not a signal in them.
    pub fn is_shared(config: &TrainConfig) -> bool {
        config.weights.is_some() && config.freeze.is_some() && config.signal().is_none()
    }

    /// Computes the maps of all crops into the folder `dir`; `progress` is told the crops (variants counted) done and to do.
    /// Where they are there already, nothing is done.
    ///
    /// # Errors
    /// [`NnError::Setting`] where the settings freeze nothing or are no settings, [`NnError::Crop`], [`NnError::Io`],
    /// those of reading the weights, [`NnError::Stopped`] where `progress` breaks.
    pub fn compute(
        config: &TrainConfig,
        crops: &dyn Crops,
        dir: &Path,
        device: &Device,
        progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<(), NnError> {
        let stages = config.check()?;
        if !Self::is_shared(config) {
            let found = format!("{:?}", config.freeze);
            return Err(NnError::setting("freeze", "a stage, with `weights` to begin from, to share its maps", found));
        }
        std::fs::create_dir_all(dir).map_err(|e| NnError::io(dir, "create", e))?;
        let net = untrained(config, device)?;
        let identity = Identity::of(config, &net, stages);
        let keys: Vec<u64> = (0..crops.len()).map(|i| crops.key(i)).collect();
        if read_about(dir).is_ok_and(|about| about.identity == identity && about.keys == keys) {
            return Ok(());
        }
        let maps = Maps {
            crops,
            augment: Some(&config.augment),
            normalisation: config.normalisation(),
            seed: config.seed,
            device: device.clone(),
            cache: None,
        };
        let path = dir.join(MAPS);
        let failed = |e| NnError::io(&path, "write", e);
        let mut file = BufWriter::new(File::create(&path).map_err(failed)?);
        let (mut shape, mut bytes) = ([0; 3], Vec::new());
        let mut write = |of: [usize; 3], values: &[f32]| {
            shape = of;
            check_maps(values)?;
            bytes.clear();
            bytes.extend(values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()));
            file.write_all(&bytes).map_err(failed)
        };
        let (mut count, total) = (0, config.augment_copies * crops.len());
        let mut done = |n: usize| {
            count += n;
            match progress(count, total) {
                ControlFlow::Break(()) => Err(NnError::Stopped { epoch: 0 }),
                ControlFlow::Continue(()) => Ok(()),
            }
        };
        maps.run(&net, stages, config.augment_copies, &mut write, &mut done)?;
        file.flush().map_err(failed)?;
        write_json(&dir.join(ABOUT), &About { identity, shape, keys })
    }

    /// The maps that were computed into a folder.
    ///
    /// # Errors
    /// [`NnError::Io`]; [`NnError::Corrupt`] where what is there does not belong together.
    pub fn open(dir: &Path) -> Result<Self, NnError> {
        let About { identity, shape, keys } = read_about(dir)?;
        let path = dir.join(MAPS);
        let file = File::open(&path).map_err(|e| NnError::io(&path, "read", e))?;
        let found = file.metadata().map_err(|e| NnError::io(&path, "read", e))?.len();
        let expected = [identity.copies, keys.len(), 2].into_iter().chain(shape);
        let expected = expected.map(|n| n as u64).try_fold(1u64, u64::checked_mul);
        if expected != Some(found) {
            let reason = match expected {
                Some(expected) => format!("has {found} bytes, expected {expected}"),
                None => format!("has {found} bytes, and trunk.json says more than can be: {shape:?}"),
            };
            return Err(NnError::corrupt_hint(&path, reason, REMOVE));
        }
        let count = keys.len();
        let places: HashMap<u64, usize> = keys.into_iter().enumerate().map(|(place, key)| (key, place)).collect();
        if places.len() != count {
            let reason = format!("lists {count} crops, of which {} are different ones", places.len());
            return Err(NnError::corrupt_hint(&dir.join(ABOUT), reason, REMOVE));
        }
        Ok(Self { identity, shape, places, path, file: Mutex::new(file) })
    }

    /// Refuses a training that would have made other maps.
    pub(super) fn check(&self, config: &TrainConfig, net: &Detector, stages: usize) -> Result<(), NnError> {
        if self.identity == Identity::of(config, net, stages) {
            return Ok(());
        }
        let reason =
            "the trunk's maps are of other weights, stages, seed or augmentation: make them for these settings";
        Err(NnError::Data { reason: reason.into() })
    }

    /// Height, width and channels of a map.
    pub(super) fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Variants of each crop, the crop itself first.
    pub(super) fn copies(&self) -> usize {
        self.identity.copies
    }

    /// Where the maps of the crop with this key are.
    pub(super) fn place(&self, key: u64) -> Result<usize, NnError> {
        let missing =
            || NnError::Data { reason: format!("the trunk's maps hold no crop {key}: they are of other clips") };
        self.places.get(&key).copied().ok_or_else(missing)
    }

    /// The map of a variant of the crop at a place.
    pub(super) fn read(&self, copy: usize, place: usize, out: &mut [f32]) -> Result<(), NnError> {
        let from = (copy * self.places.len() + place) * out.len() * 2;
        let mut bytes = vec![0; out.len() * 2];
        {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(from as u64))
                .and_then(|_| file.read_exact(&mut bytes))
                .map_err(|e| NnError::io(&self.path, "read", e))?;
        }
        let halves: Vec<f16> = bytes.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]])).collect();
        if let Some(at) = halves.iter().position(|value| !value.is_finite()) {
            let reason = format!("holds {} at byte {}, where a finite number should be", halves[at], from + 2 * at);
            return Err(NnError::corrupt_hint(&self.path, reason, REMOVE));
        }
        halves.convert_to_f32_slice(out);
        Ok(())
    }
}

/// Refuses maps that half precision does not hold.
pub(super) fn check_maps(values: &[f32]) -> Result<(), NnError> {
    match values.iter().find(|value| !(-LARGEST..=LARGEST).contains(*value)) {
        None => Ok(()),
        Some(found) => Err(NnError::Data {
            reason: format!(
                "the frozen stages answer {found:e} to a crop, and half precision, in which their maps are kept, ends at 65504: \
                 the weights they begin from do not fit these crops"
            ),
        }),
    }
}

fn read_about(dir: &Path) -> Result<About, NnError> {
    let path = dir.join(ABOUT);
    let bytes = std::fs::read(&path).map_err(|e| NnError::io(&path, "read", e))?;
    serde_json::from_slice(&bytes).map_err(|e| NnError::corrupt_hint(&path, e.to_string(), REMOVE))
}
