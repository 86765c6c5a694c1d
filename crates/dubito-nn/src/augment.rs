//! Augmentation of crops. By default none resamples them: that would wipe out what a detector looks for.

use std::borrow::Cow;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{ExtendedColorType, ImageEncoder, ImageFormat, RgbImage};
use serde::{Deserialize, Serialize};

use crate::NnError;
use crate::network::MapShape;
use crate::rng::Stream;

/// How much crops are changed while training. Every strength is a maximum, drawn uniformly; 0 is off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Probability of a mirror image, 0 to 1.
    pub flip: f32,
    /// Largest shift in each direction, in parts of the crop's side, by whole pixels; the edge is
    /// repeated. 0 to 0.5.
    pub shift: f32,
    /// Largest change of brightness, in parts of the range 0 to 1.
    pub brightness: f32,
    /// Largest relative change of contrast about the crop's mean.
    pub contrast: f32,
    /// Largest relative change of each colour channel on its own.
    pub colour: f32,
    /// Probability of a slight blur (a 3 x 3 binomial filter, mixed in by half at most), 0 to 1.
    pub blur: f32,
    /// Largest standard deviation of added Gaussian noise, in parts of the range 0 to 1.
    pub noise: f32,
    /// Probability that a crop is made smaller and then as large as before (both by a triangle filter), 0 to 1.
    pub downscale: f32,
    /// The least part of its side that it is made smaller to, 0.1 to 1; the part is drawn uniformly from there to 1.
    pub downscale_to: f32,
    /// Probability of JPEG compression, after that: 0 to 1.
    pub compression: f32,
    /// The least and the largest JPEG quality, 1 to 100; it is drawn uniformly between the two.
    pub compression_quality: [u8; 2],
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            flip: 0.5,
            shift: 0.05,
            brightness: 0.1,
            contrast: 0.15,
            colour: 0.05,
            blur: 0.1,
            noise: 0.01,
            downscale: 0.0,
            downscale_to: 0.5,
            compression: 0.0,
            compression_quality: [30, 95],
        }
    }
}

impl AugmentConfig {
    /// No augmentation.
    pub fn none() -> Self {
        let colour = Self { brightness: 0.0, contrast: 0.0, colour: 0.0, ..Self::default() };
        Self { flip: 0.0, shift: 0.0, blur: 0.0, noise: 0.0, downscale: 0.0, compression: 0.0, ..colour }
    }

    /// Checks every strength.
    ///
    /// # Errors
    /// [`NnError::Setting`] that names the field.
    pub fn check(&self) -> Result<(), NnError> {
        for (field, value, most) in [
            ("augment.flip", self.flip, 1.0),
            ("augment.shift", self.shift, 0.5),
            ("augment.brightness", self.brightness, 1.0),
            ("augment.contrast", self.contrast, 1.0),
            ("augment.colour", self.colour, 1.0),
            ("augment.blur", self.blur, 1.0),
            ("augment.noise", self.noise, 1.0),
            ("augment.downscale", self.downscale, 1.0),
            ("augment.compression", self.compression, 1.0),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(NnError::setting(field, format!("0 to {most}"), value));
            }
        }
        if !(0.1..=1.0).contains(&self.downscale_to) {
            return Err(NnError::setting("augment.downscale_to", "0.1 to 1", self.downscale_to));
        }
        let [least, most] = self.compression_quality;
        if least < 1 || most > 100 || least > most {
            let expected = "the least and the largest quality, 1 to 100";
            return Err(NnError::setting("augment.compression_quality", expected, format!("[{least}, {most}]")));
        }
        Ok(())
    }

    /// A crop `[size, size, 3]` as a poorer camera or a network would have left it. Draws nothing that is off.
    fn degrade<'a>(&self, crop: &'a [u8], size: usize, stream: &mut Stream) -> Cow<'a, [u8]> {
        let side = size as u32;
        let mut out = Cow::Borrowed(crop);
        if self.downscale > 0.0 && stream.uniform() < self.downscale {
            let small = ((stream.range(self.downscale_to, 1.0) * size as f32).round() as u32).clamp(1, side);
            if let Some(image) = RgbImage::from_raw(side, side, out.to_vec()) {
                let small = resize(&image, small, small, FilterType::Triangle);
                out = Cow::Owned(resize(&small, side, side, FilterType::Triangle).into_raw());
            }
        }
        if self.compression > 0.0 && stream.uniform() < self.compression {
            let [least, most] = self.compression_quality;
            let quality = least + stream.below(u32::from(most - least) + 1) as u8;
            let mut bytes = Vec::new();
            let encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
            // What was just written in memory can be read; were it not, the crop stays as it was.
            if encoder.write_image(&out, side, side, ExtendedColorType::Rgb8).is_ok()
                && let Ok(image) = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg)
            {
                out = Cow::Owned(image.into_rgb8().into_raw());
            }
        }
        out
    }
}

/// Mean and standard deviation by which crops are normalised, of RGB in 0 to 1; a signal's channels take them in order.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// Mean of red, green and blue.
    pub mean: [f32; 3],
    /// Their standard deviation, above 0.
    pub std: [f32; 3],
}

impl Default for Normalisation {
    /// ImageNet's, as torchvision's weights expect.
    fn default() -> Self {
        Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
    }
}

impl Normalisation {
    /// Checks that every deviation is above 0.
    ///
    /// # Errors
    /// [`NnError::Setting`] that names the field.
    pub fn check(&self) -> Result<(), NnError> {
        let finite = self.mean.iter().chain(&self.std).all(|v| v.is_finite());
        match finite && self.std.iter().all(|&s| s > 0.0) {
            true => Ok(()),
            false => Err(NnError::setting("normalisation", "finite means, deviations above 0", format!("{self:?}"))),
        }
    }

    /// Writes a picture of a signal `[h, w, channels]` of bytes, of up to three channels, as normalised planes
    /// `[channels, h, w]`.
    pub(crate) fn signal_planes(&self, picture: &[u8], [h, w, channels]: MapShape, out: &mut [f32]) {
        for (i, &v) in picture.iter().enumerate() {
            let (pixel, c) = (i / channels, i % channels);
            out[c * h * w + pixel] = (f32::from(v) / 255.0 - self.mean[c]) / self.std[c];
        }
    }

    /// Writes a crop `[size, size, 3]` of bytes as normalised planes `[3, size, size]`; with a
    /// configuration and a stream, augmented.
    pub(crate) fn planes(
        &self,
        crop: &[u8],
        size: usize,
        augment: Option<(&AugmentConfig, &mut Stream)>,
        out: &mut [f32],
    ) {
        let plane = size * size;
        let Some((config, stream)) = augment else {
            for (i, &v) in crop.iter().enumerate() {
                let (pixel, c) = (i / 3, i % 3);
                out[c * plane + pixel] = (f32::from(v) / 255.0 - self.mean[c]) / self.std[c];
            }
            return;
        };
        let degraded = config.degrade(crop, size, stream);
        let crop = degraded.as_ref();
        let flip = stream.uniform() < config.flip;
        let most = (config.shift * size as f32).floor() as u32;
        let mut shift = || stream.below(2 * most + 1) as isize - most as isize;
        let (dx, dy) = (shift(), shift());
        let brightness = stream.range(-config.brightness, config.brightness);
        let contrast = 1.0 + stream.range(-config.contrast, config.contrast);
        let gain: [f32; 3] = std::array::from_fn(|_| 1.0 + stream.range(-config.colour, config.colour));
        let blur = if stream.uniform() < config.blur { stream.range(0.0, 0.5) } else { 0.0 };
        let noise = stream.range(0.0, config.noise);
        let mean = crop.iter().map(|&v| f32::from(v)).sum::<f32>() / (255.0 * crop.len() as f32);
        let edge = |i: usize, d: isize| (i as isize + d).clamp(0, size as isize - 1) as usize;
        for y in 0..size {
            let sy = edge(y, dy);
            for x in 0..size {
                let sx = edge(if flip { size - 1 - x } else { x }, dx);
                for c in 0..3 {
                    let v = f32::from(crop[(sy * size + sx) * 3 + c]) / 255.0;
                    out[c * plane + y * size + x] = ((v - mean) * contrast + mean + brightness) * gain[c];
                }
            }
        }
        if blur > 0.0 {
            for channel in out.chunks_exact_mut(plane) {
                mix_in_blur(channel, size, blur);
            }
        }
        for (c, channel) in out.chunks_exact_mut(plane).enumerate() {
            for v in channel {
                let grain = if noise > 0.0 { noise * stream.normal() } else { 0.0 };
                *v = ((*v + grain).clamp(0.0, 1.0) - self.mean[c]) / self.std[c];
            }
        }
    }
}

/// `(1 - weight) * image + weight * blurred`, blurred by the binomial filter 1-2-1 both ways.
fn mix_in_blur(image: &mut [f32], size: usize, weight: f32) {
    let at = |x: usize, d: isize| (x as isize + d).clamp(0, size as isize - 1) as usize;
    let mut rows = vec![0.0; image.len()];
    for y in 0..size {
        let row = &image[y * size..(y + 1) * size];
        for x in 0..size {
            rows[y * size + x] = 0.25 * row[at(x, -1)] + 0.5 * row[x] + 0.25 * row[at(x, 1)];
        }
    }
    for y in 0..size {
        for x in 0..size {
            let r = |d| rows[at(y, d) * size + x];
            let blurred = 0.25 * r(-1) + 0.5 * r(0) + 0.25 * r(1);
            let v = &mut image[y * size + x];
            *v += weight * (blurred - *v);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    fn crop(size: usize) -> Vec<u8> {
        let mut stream = Stream::new(Purpose::Other, 9, 0, 0);
        (0..size * size * 3).map(|_| stream.below(256) as u8).collect()
    }

    #[test]
    fn no_augmentation_is_plain_normalisation() {
        let norm = Normalisation::default();
        let crop = crop(8);
        let (mut plain, mut off) = (vec![0.0; 192], vec![0.0; 192]);
        norm.planes(&crop, 8, None, &mut plain);
        let mut stream = Stream::new(Purpose::Augment, 1, 0, 0);
        norm.planes(&crop, 8, Some((&AugmentConfig::none(), &mut stream)), &mut off);
        for (i, (a, b)) in plain.iter().zip(&off).enumerate() {
            assert!((a - b).abs() < 1e-5, "{i}: {a} {b}");
        }
        // Pixel (1, 2), green, by hand.
        let want = (f32::from(crop[(8 + 2) * 3 + 1]) / 255.0 - 0.456) / 0.224;
        assert!((plain[64 + 8 + 2] - want).abs() < 1e-6);
    }

    #[test]
    fn a_certain_flip_mirrors_and_the_stream_decides_everything() {
        let norm = Normalisation::default();
        let crop = crop(8);
        let flip = AugmentConfig { flip: 1.0, ..AugmentConfig::none() };
        let (mut plain, mut flipped) = (vec![0.0; 192], vec![0.0; 192]);
        norm.planes(&crop, 8, None, &mut plain);
        let mut stream = Stream::new(Purpose::Augment, 1, 0, 0);
        norm.planes(&crop, 8, Some((&flip, &mut stream)), &mut flipped);
        for y in 0..8 {
            for x in 0..8 {
                assert!((plain[y * 8 + x] - flipped[y * 8 + 7 - x]).abs() < 1e-5);
            }
        }
        let with = |variant| {
            let mut out = vec![0.0; 192];
            let mut stream = Stream::new(Purpose::Augment, 1, variant, 0);
            norm.planes(&crop, 8, Some((&AugmentConfig::default(), &mut stream)), &mut out);
            out
        };
        assert_eq!(with(3), with(3));
        assert_ne!(with(3), with(4));
    }

    /// What is lost grows as the quality and the size fall; a function of the stream alone.
    #[test]
    fn compression_and_downscaling_lose_detail() {
        let size = 48;
        // A wave of eight pixels, in colour: neither noise nor flat.
        let wave = |i: usize, k: f32| 128.0 + 90.0 * ((i as f32) * 0.8 + k).sin();
        let crop: Vec<u8> =
            (0..size * size * 3).map(|i| wave(i / 3 % size + i / 3 / size, (i % 3) as f32) as u8).collect();
        let lost = |config: AugmentConfig| {
            let mut stream = Stream::new(Purpose::Augment, 1, 1, 0);
            let out = config.degrade(&crop, size, &mut stream);
            let mut again = Stream::new(Purpose::Augment, 1, 1, 0);
            assert_eq!(out, config.degrade(&crop, size, &mut again));
            let square = |(&a, &b): (&u8, &u8)| (f64::from(a) - f64::from(b)).powi(2);
            (crop.iter().zip(out.iter()).map(square).sum::<f64>() / crop.len() as f64).sqrt()
        };
        let none = AugmentConfig::none();
        let jpeg = |q| lost(AugmentConfig { compression: 1.0, compression_quality: [q, q], ..none.clone() });
        let smaller = |to| lost(AugmentConfig { downscale: 1.0, downscale_to: to, ..none.clone() });
        assert_eq!(lost(none.clone()), 0.0);
        assert!(jpeg(95) > 0.0 && jpeg(95) < 6.0, "{}", jpeg(95));
        assert!(jpeg(10) > 2.0 * jpeg(95), "{} {}", jpeg(10), jpeg(95));
        assert!(smaller(0.1) > smaller(0.7) && smaller(0.7) > 1.0, "{} {}", smaller(0.1), smaller(0.7));
        // Off, they draw nothing: what else is drawn stays as it was before they were there.
        let mut stream = Stream::new(Purpose::Augment, 1, 1, 0);
        let first = stream.clone().bits();
        none.degrade(&crop, size, &mut stream);
        assert_eq!(stream.bits(), first);
    }

    #[test]
    fn strengths_out_of_range_are_named() {
        let ok = AugmentConfig::default();
        for (bad, field, expected) in [
            (AugmentConfig { shift: 0.7, ..ok.clone() }, "augment.shift", "0.5"),
            (AugmentConfig { compression: 1.5, ..ok.clone() }, "augment.compression", "0 to 1"),
            (AugmentConfig { downscale_to: 0.0, ..ok.clone() }, "augment.downscale_to", "0.1"),
            (AugmentConfig { compression_quality: [90, 30], ..ok }, "augment.compression_quality", "largest"),
        ] {
            let e = bad.check().unwrap_err().to_string();
            assert!(e.contains(field) && e.contains(expected), "{e}");
        }
    }
}
