//! What goes into the trained stages: images made when asked for, or cached maps of the frozen ones.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use super::crops::Crops;
use super::trunk::{Trunk, check_maps};
use crate::NnError;
use crate::augment::{AugmentConfig, Normalisation};
use crate::detector::{Detector, Pass, Statistics};
use crate::parameter::values_of;
use crate::rng::{Purpose, Stream};

/// What goes into the trained stages: images made when asked for, or cached maps of the frozen ones.
pub(super) struct Maps<'a> {
    pub(super) crops: &'a dyn Crops,
    pub(super) augment: Option<&'a AugmentConfig>,
    pub(super) normalisation: Normalisation,
    pub(super) seed: u64,
    pub(super) device: Device,
    pub(super) cache: Option<Cache<'a>>,
}

/// Feature maps of the last frozen stage in half precision.
pub(super) enum Cache<'a> {
    /// Those of these crops, `[copies * items, h, w, channels]`.
    Own { shape: [usize; 3], copies: usize, values: Vec<f16> },
    /// Those of a whole data set, and the place of each of these crops among them.
    Shared { trunk: &'a Trunk, places: Vec<usize> },
}

/// What takes the shape of a map and the maps of some crops.
type Write<'a> = dyn FnMut([usize; 3], &[f32]) -> Result<(), NnError> + 'a;

impl<'a> Maps<'a> {
    /// Pictures `[items, channels, h, w]`; variant 0 is the crop itself. A signal has no other variant.
    pub(super) fn images(&self, items: &[usize], variant: impl Fn(usize) -> u32 + Sync) -> Result<Tensor<4>, NnError> {
        let shape @ [h, w, channels] = self.crops.shape();
        let one = h * w * channels;
        let mut values = vec![0.0; items.len() * one];
        values.par_chunks_exact_mut(one).zip(items).try_for_each(|(out, &i)| {
            let mut crop = vec![0; one];
            self.crops.read(i, &mut crop).map_err(|e| NnError::Crop { index: i, reason: e.to_string() })?;
            let variant = variant(i);
            let mut stream = Stream::new(Purpose::Augment, self.seed, variant, self.crops.key(i) as u32);
            let augment = self.augment.filter(|_| variant > 0);
            match channels {
                3 => self.normalisation.planes(&crop, h, augment.map(|config| (config, &mut stream)), out),
                _ => self.normalisation.signal_planes(&crop, shape, out),
            }
            Ok::<(), NnError>(())
        })?;
        let shape = [items.len(), channels, h, w];
        Ok(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }

    /// The input of the trained stages for these items in this epoch (from 0).
    pub(super) fn batch(&self, items: &[usize], epoch: usize) -> Result<Tensor<4>, NnError> {
        let Some(cache) = &self.cache else {
            return self.images(items, |_| epoch as u32 + 1);
        };
        let (shape, copies) = match cache {
            Cache::Own { shape, copies, .. } => (*shape, *copies),
            Cache::Shared { trunk, .. } => (trunk.shape(), trunk.copies()),
        };
        let one: usize = shape.iter().product();
        let mut values = vec![0.0f32; items.len() * one];
        for (out, &i) in values.chunks_exact_mut(one).zip(items) {
            let copy = if self.augment.is_some() { self.variant(i, epoch, copies) } else { 0 };
            match cache {
                Cache::Own { values, .. } => {
                    let from = (copy * self.crops.len() + i) * one;
                    values[from..from + one].convert_to_f32_slice(out);
                }
                Cache::Shared { trunk, places } => trunk.read(copy, places[i], out)?,
            }
        }
        let [h, w, c] = shape;
        let shape = [items.len(), h, w, c];
        Ok(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }

    /// Which cached variant of crop `i` an epoch takes: each in turn, from one drawn at random. Were it
    /// a function of the index alone, whether a crop is augmented could give away its class.
    fn variant(&self, i: usize, epoch: usize, copies: usize) -> usize {
        let first = Stream::new(Purpose::Order, self.seed, u32::MAX, self.crops.key(i) as u32).below(copies as u32);
        (first as usize + epoch) % copies
    }

    /// Runs every crop's variants through the frozen stages once, one variant of all crops after the other; `write` is
    /// given the shape of a map and the maps of some crops.
    pub(super) fn run(
        &self,
        net: &Detector,
        frozen: usize,
        copies: usize,
        write: &mut Write<'_>,
        done: &mut dyn FnMut(usize) -> Result<(), NnError>,
    ) -> Result<(), NnError> {
        let n = self.crops.len();
        for copy in 0..copies {
            for from in (0..n).step_by(CHUNK) {
                let items: Vec<usize> = (from..n.min(from + CHUNK)).collect();
                let images = self.images(&items, |_| copy as u32)?;
                let maps = net.run_stages(images, 0..frozen, &mut Pass::inference(None));
                let [_, h, w, c] = maps.dims();
                write([h, w, c], &values_of(maps))?;
                done(items.len())?;
            }
        }
        Ok(())
    }

    /// Keeps what the frozen stages make of every crop's variants.
    pub(super) fn fill(
        &mut self,
        net: &Detector,
        frozen: usize,
        copies: usize,
        done: &mut dyn FnMut(usize) -> Result<(), NnError>,
    ) -> Result<(), NnError> {
        let (mut shape, mut values) = ([0; 3], Vec::new());
        let all = copies * self.crops.len();
        let mut write = |of: [usize; 3], maps: &[f32]| {
            shape = of;
            check_maps(maps)?;
            if values.is_empty() {
                values.reserve_exact(all * of.iter().product::<usize>());
            }
            let start = values.len();
            values.resize(start + maps.len(), f16::ZERO);
            values[start..].convert_from_f32_slice(maps);
            Ok(())
        };
        self.run(net, frozen, copies, &mut write, done)?;
        self.cache = Some(Cache::Own { shape, copies, values });
        Ok(())
    }

    /// Takes what the frozen stages make of these crops from those of the whole data set.
    pub(super) fn share(&mut self, trunk: &'a Trunk) -> Result<(), NnError> {
        let places = (0..self.crops.len()).map(|i| trunk.place(self.crops.key(i))).collect::<Result<_, _>>()?;
        self.cache = Some(Cache::Shared { trunk, places });
        Ok(())
    }
}

/// Crops in a forward pass without gradients.
pub(super) const CHUNK: usize = 32;
/// Most crops that batch norm is calibrated on.
const CALIBRATION: usize = 256;

/// Sets the running statistics of some stages' batch norm to those of the crops given, by mean over
/// batches; a random trunk needs it before it is frozen.
pub(super) fn calibrate_batch_norm(net: &mut Detector, stages: Range<usize>, maps: &Maps<'_>) -> Result<(), NnError> {
    // Evenly over the set, which may be sorted by video.
    let n = maps.crops.len();
    let count = n.min(CALIBRATION);
    let items: Vec<usize> = (0..count).map(|i| i * n / count).collect();
    for (k, items) in items.chunks(CHUNK).enumerate() {
        let images = maps.images(items, |_| 0)?;
        let mut seen = Vec::new();
        let mut pass = Pass { statistics: Statistics::Batch(&mut seen), masks: None, noise: None };
        net.run_stages(images, stages.clone(), &mut pass);
        net.update_statistics(&seen, Some(1.0 / (k + 1) as f32));
    }
    Ok(())
}

/// As [`calibrate_batch_norm`], of the trained stages, from what goes into them in this epoch.
pub(super) fn calibrate_trained(
    net: &mut Detector,
    stages: Range<usize>,
    maps: &Maps<'_>,
    epoch: usize,
) -> Result<(), NnError> {
    let n = maps.crops.len();
    let count = n.min(CALIBRATION);
    let items: Vec<usize> = (0..count).map(|i| i * n / count).collect();
    for (k, items) in items.chunks(CHUNK).enumerate() {
        let mut seen = Vec::new();
        let mut pass = Pass { statistics: Statistics::Batch(&mut seen), masks: None, noise: None };
        net.run_stages(maps.batch(items, epoch)?, stages.clone(), &mut pass);
        net.update_statistics(&seen, Some(1.0 / (k + 1) as f32));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::MemoryCrops;

    #[test]
    fn the_cached_variant_says_nothing_of_the_index() {
        let crops = MemoryCrops::new(1, vec![], vec![], vec![]).unwrap();
        let maps = Maps {
            crops: &crops,
            augment: None,
            normalisation: Normalisation::default(),
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
}
