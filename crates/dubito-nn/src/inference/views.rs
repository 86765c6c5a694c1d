//! Test-time augmentation: one network asked about views of an image, each a sample. What they disagree about is how little the
//! answer bears small changes of the image, and nothing about the weights: it is called "between views", never epistemic.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{Posterior, Sink};
use crate::NnError;
use crate::augment::Normalisation;
use crate::rng::{Purpose, Stream};

/// How views differ: a function of (seed, sample) alone, the same for every frame.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Views {
    /// Probability of a mirror image, 0 to 1.
    pub flip: f32,
    /// Largest shift in each direction, in parts of the side, by whole pixels; the edge is repeated. 0 to 0.5.
    pub shift: f32,
    /// Largest change of brightness, in parts of the range 0 to 1.
    pub brightness: f32,
}

impl Default for Views {
    /// Half of them mirrored, shifted by up to a twentieth of the side, brightness changed by up to a tenth.
    fn default() -> Self {
        Self { flip: 0.5, shift: 0.05, brightness: 0.1 }
    }
}

impl Views {
    /// Checks every field.
    ///
    /// # Errors
    /// [`NnError::Setting`] that names the field.
    pub(crate) fn check(&self) -> Result<(), NnError> {
        for (field, value, most) in [
            ("views.flip", self.flip, 1.0),
            ("views.shift", self.shift, 0.5),
            ("views.brightness", self.brightness, 1.0),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(NnError::setting(field, format!("0 to {most}"), value));
            }
        }
        Ok(())
    }

    /// Normalised images `[items, 3, side, side]` as sample `sample` sees them.
    pub(crate) fn of(&self, images: Tensor<4>, normalisation: &Normalisation, seed: u64, sample: u32) -> Tensor<4> {
        let [_, _, rows, columns] = images.dims();
        let mut stream = Stream::new(Purpose::Augment, seed, sample, 0);
        let flip = stream.uniform() < self.flip;
        let most = (self.shift * columns as f32).floor() as u32;
        let mut shift = || stream.below(2 * most + 1) as isize - most as isize;
        let (dx, dy) = (shift(), shift());
        let brightness = stream.range(-self.brightness, self.brightness);
        let device = images.device();
        let from = |side: usize, d: isize, flip: bool| {
            let edge = |i: usize| (i as isize + d).clamp(0, side as isize - 1);
            let places: Vec<i64> = (0..side).map(|i| edge(if flip { side - 1 - i } else { i }) as i64).collect();
            Tensor::<1, burn::tensor::Int>::from_data(TensorData::new(places, [side]), &device)
        };
        let moved = images.select(2, from(rows, dy, false)).select(3, from(columns, dx, flip));
        let colour = |values: [f32; 3]| Tensor::<4>::from_data(TensorData::new(values.to_vec(), [1, 3, 1, 1]), &device);
        let (mean, std) = (colour(normalisation.mean), colour(normalisation.std));
        let pixels = (moved * std.clone() + mean.clone() + brightness).clamp(0.0, 1.0);
        (pixels - mean) / std
    }
}

/// One network's views. Sample t is view t of every frame.
pub struct ViewsPosterior {
    inner: Box<dyn Posterior>,
    normalisation: Normalisation,
    views: Views,
}

impl ViewsPosterior {
    /// Views for a posterior whose first sample is asked about each; `normalisation` is that of its batches.
    ///
    /// # Errors
    /// [`NnError::Setting`] for views out of their range.
    pub fn new(inner: Box<dyn Posterior>, normalisation: Normalisation, views: Views) -> Result<Self, NnError> {
        views.check()?;
        Ok(Self { inner, normalisation, views })
    }
}

impl Posterior for ViewsPosterior {
    fn classes(&self) -> usize {
        self.inner.classes()
    }

    fn device(&self) -> &Device {
        self.inner.device()
    }

    fn stream(&self, batch: Tensor<4>, samples: Range<u32>, seed: u64, sink: &mut Sink<'_>) -> Result<(), NnError> {
        let dims = batch.dims();
        if dims[1] != 3 {
            return Err(NnError::Input { what: "batch", expected: "[items, 3, h, w]".into(), found: dims.to_vec() });
        }
        for sample in samples {
            let view = self.views.of(batch.clone(), &self.normalisation, seed, sample);
            self.inner.stream(view, 0..1, seed, &mut |_, p| sink(sample..sample + 1, p))?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::parameter::values_of;

    /// Pixel by pixel: a view is the image mirrored, moved with its edge repeated, and made brighter within its range.
    #[test]
    fn a_view_is_a_mirrored_moved_and_brighter_image() {
        let (side, device) = (20, Device::flex());
        let normalisation = Normalisation::default();
        let Normalisation { mean, std } = normalisation;
        let mut stream = Stream::new(Purpose::Other, 4, 0, 0);
        let pixels: Vec<f32> = (0..2 * 3 * side * side).map(|_| stream.uniform()).collect();
        let colour = |at: usize| at / (side * side) % 3;
        let images: Vec<f32> =
            pixels.iter().enumerate().map(|(at, p)| (p - mean[colour(at)]) / std[colour(at)]).collect();
        let views = Views { flip: 0.5, shift: 0.1, brightness: 0.2 };
        let mut mirrored = 0;
        for sample in 0..20 {
            let batch = Tensor::from_data(TensorData::new(images.clone(), [2, 3, side, side]), &device);
            let ours = values_of(views.of(batch, &normalisation, 9, sample));
            let mut stream = Stream::new(Purpose::Augment, 9, sample, 0);
            let flip = stream.uniform() < 0.5;
            let [dx, dy] = [(); 2].map(|()| stream.below(5) as i64 - 2);
            let brightness = stream.range(-0.2, 0.2);
            mirrored += usize::from(flip);
            for (at, ours) in ours.iter().enumerate() {
                let (plane, y, x) = (at / (side * side), at / side % side, at % side);
                let edge = |i: usize, d: i64| (i as i64 + d).clamp(0, side as i64 - 1) as usize;
                let x = edge(if flip { side - 1 - x } else { x }, dx);
                let value = (pixels[(plane * side + edge(y, dy)) * side + x] + brightness).clamp(0.0, 1.0);
                let back = ours * std[colour(at)] + mean[colour(at)];
                assert!((back - value).abs() < 1e-5, "sample {sample}, {at}: {back} instead of {value}");
            }
        }
        assert!((5..16).contains(&mirrored));
    }
}
