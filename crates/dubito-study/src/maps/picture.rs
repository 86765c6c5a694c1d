//! Maps as pictures: a perceptually uniform scale that reads in grey, laid over the crop, with its bar of colours.

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage};

use crate::StudyError;

/// Pixels between a picture and its bar, and the bar's width.
const BAR: [u32; 2] = [4, 10];

/// The colour of a number from 0 (dark) to 1 (light): viridis, by a polynomial that is within two grey levels of it. Its
/// lightness rises evenly, so that it reads in grey and with any eyes.
pub(crate) fn colour(value: f32) -> Rgb<u8> {
    const TERMS: [[f32; 3]; 7] = [
        [0.277_727_34, 0.005_407_345, 0.334_099_8],
        [0.105_093_04, 1.404_613_5, 1.384_590_2],
        [-0.330_861_83, 0.214_847_56, 0.095_095_165],
        [-4.634_230_5, -5.799_101, -19.332_441],
        [6.228_27, 14.179_934, 56.690_55],
        [4.776_385, -13.745_145, -65.353_03],
        [-5.435_456, 4.645_852_6, 26.312_435],
    ];
    let t = if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
    Rgb(std::array::from_fn(|c| {
        let v = TERMS.iter().rev().fold(0.0, |sum, term| sum * t + term[c]);
        (255.0 * v).round().clamp(0.0, 255.0) as u8
    }))
}

/// The value that a part of the map's pixels does not exceed: the upper end of a scale that one pixel does not set.
pub(crate) fn upper(map: &[f32], part: f64) -> f32 {
    let mut values: Vec<f32> = map.iter().copied().filter(|v| v.is_finite()).collect();
    values.sort_by(f32::total_cmp);
    let at = (part * values.len().saturating_sub(1) as f64).round() as usize;
    values.get(at).copied().unwrap_or(0.0)
}

/// A map `[side, side]` in colours, from 0 to `end`.
pub(crate) fn painted(map: &[f32], side: u32, end: f32) -> RgbImage {
    let end = if end > 0.0 { end } else { 1.0 };
    let mut image = RgbImage::new(side, side);
    for (pixel, value) in image.pixels_mut().zip(map) {
        *pixel = colour(value / end);
    }
    image
}

/// The crop in grey with the map's colours over it, the stronger the denser.
pub(crate) fn overlaid(crop: &[u8], map: &[f32], side: u32, end: f32) -> RgbImage {
    let end = if end > 0.0 { end } else { 1.0 };
    let mut image = RgbImage::new(side, side);
    for ((pixel, rgb), value) in image.pixels_mut().zip(crop.chunks_exact(3)).zip(map) {
        let part = (value / end).clamp(0.0, 1.0);
        let part = if part.is_finite() { part } else { 0.0 };
        let grey = 0.299 * f32::from(rgb[0]) + 0.587 * f32::from(rgb[1]) + 0.114 * f32::from(rgb[2]);
        let over = colour(part).0.map(f32::from);
        *pixel = Rgb(over.map(|v| (grey * (1.0 - 0.75 * part) + v * 0.75 * part).round() as u8));
    }
    image
}

/// A picture with the bar of colours at its right: dark is 0 (at the foot), light the scale's end.
pub(crate) fn with_bar(image: &RgbImage) -> RgbImage {
    let (w, h) = image.dimensions();
    let mut out = RgbImage::from_pixel(w + BAR[0] + BAR[1], h, Rgb([255; 3]));
    image::imageops::replace(&mut out, image, 0, 0);
    for y in 0..h {
        for x in 0..BAR[1] {
            out.put_pixel(w + BAR[0] + x, y, colour(1.0 - y as f32 / h.saturating_sub(1).max(1) as f32));
        }
    }
    out
}

/// Pictures of one height side by side.
pub(crate) fn beside(images: &[RgbImage]) -> RgbImage {
    let width = images.iter().map(|i| i.width() + BAR[0]).sum::<u32>().saturating_sub(BAR[0]);
    let height = images.iter().map(RgbImage::height).max().unwrap_or(0);
    let mut out = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    let mut x = 0;
    for image in images {
        image::imageops::replace(&mut out, image, x.into(), 0);
        x += image.width() + BAR[0];
    }
    out
}

/// Writes a PNG, atomically.
///
/// # Errors
/// A folder that can't be written to.
pub(crate) fn write_png(path: &Path, image: &RgbImage) -> Result<(), StudyError> {
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).map_err(|e| StudyError::Input {
        message: format!("{}: {e}", path.display()),
        hint: "give -o a folder that can be written to".into(),
    })?;
    Ok(dubito_data::write_atomically(path, png.get_ref())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// matplotlib's viridis at 0, 1/4, 1/2, 3/4 and 1.
    #[test]
    fn the_scale_is_viridis_and_its_lightness_rises() {
        let known = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
        for (i, known) in known.into_iter().enumerate() {
            let found = colour(i as f32 / 4.0).0;
            assert!(found.iter().zip(known).all(|(a, b)| a.abs_diff(b) < 6), "{i}: {found:?}");
        }
        let light = |t: f32| colour(t).0.iter().zip([0.299, 0.587, 0.114]).map(|(v, w)| f32::from(*v) * w).sum::<f32>();
        assert!((1..=50).all(|i| light(i as f32 / 50.0) > light((i - 1) as f32 / 50.0)));
        assert_eq!(colour(f32::NAN), colour(0.0));
    }

    #[test]
    fn pictures_are_laid_out() {
        let painted = painted(&[0.0, 1.0, 2.0, 4.0], 2, 4.0);
        assert_eq!((painted.get_pixel(1, 1), painted.get_pixel(0, 0)), (&colour(1.0), &colour(0.0)));
        let bar = with_bar(&painted);
        assert_eq!(bar.dimensions(), (16, 2));
        assert_eq!((bar.get_pixel(15, 0), bar.get_pixel(15, 1)), (&colour(1.0), &colour(0.0)));
        assert_eq!(beside(&[bar, painted]).dimensions(), (22, 2));
        let over = overlaid(&[100; 12], &[0.0; 4], 2, 1.0);
        assert!(over.pixels().all(|p| p.0 == [100; 3]));
        assert!((upper(&[0.0, 1.0, 2.0, 3.0, 100.0], 0.75) - 3.0).abs() < 1e-6);
    }
}
