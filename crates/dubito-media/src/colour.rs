//! YUV 4:2:0 from and to RGB (ITU-T H.273, BT.601, BT.709, BT.2020), for both decoders and the embedded encoder.
//!
//! Whole-number arithmetic: the same answer on every processor. Chroma samples are taken to lie in the
//! middle of their 2x2 luma block, as FFmpeg's `scale` filter takes them.

use image::RgbImage;

/// What the numbers of a YUV picture mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Colour {
    /// Weight of red in luma.
    red: f64,
    /// Weight of blue in luma.
    blue: f64,
    /// Luma from 0 to 255 instead of 16 to 235.
    full_range: bool,
}

impl Colour {
    /// BT.601, limited range: what an unmarked file is taken for, as FFmpeg does.
    pub(crate) const BT601: Self = Self { red: 0.299, blue: 0.114, full_range: false };

    /// By `matrix_coefficients` of H.273; codes that are unspecified or unknown count as BT.601.
    pub(crate) fn signalled(matrix_coefficients: u8, full_range: bool) -> Self {
        let (red, blue) = match matrix_coefficients {
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            7 => (0.212, 0.087),
            9 | 10 => (0.2627, 0.0593),
            _ => (Self::BT601.red, Self::BT601.blue),
        };
        Self { red, blue, full_range }
    }

    fn green(self) -> f64 {
        1.0 - self.red - self.blue
    }

    /// Steps of luma and of chroma between black and white, and luma of black.
    fn range(self) -> (f64, f64, i32) {
        if self.full_range { (255.0, 255.0, 0) } else { (219.0, 224.0, 16) }
    }
}

/// The planes Y, U, V of a picture, one behind the other without padding. `None` if there are too few
/// or too many bytes, see [`yuv_length`].
pub(crate) fn planes(bytes: &[u8], width: u32, height: u32) -> Option<[Plane<'_>; 3]> {
    let (wide, high) = (width as usize, height as usize);
    let (luma, chroma) = bytes.split_at_checked(wide * high)?;
    let (u, v) = chroma.split_at_checked(wide.div_ceil(2) * high.div_ceil(2))?;
    let plane = |samples, stride| Plane { samples, stride };
    let planes = [plane(luma, wide), plane(u, wide.div_ceil(2)), plane(v, wide.div_ceil(2))];
    (u.len() == v.len()).then_some(planes)
}

/// Bytes of a 4:2:0 picture; chroma of an odd size is rounded up.
pub(crate) fn yuv_length(width: u32, height: u32) -> usize {
    let (wide, high) = (width as usize, height as usize);
    wide * high + 2 * wide.div_ceil(2) * high.div_ceil(2)
}

/// A plane of 8-bit samples whose rows lie `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Plane<'a> {
    pub samples: &'a [u8],
    pub stride: usize,
}

const SHIFT: i32 = 16;
const HALF: i32 = 1 << (SHIFT - 1);

fn fixed(value: f64) -> i32 {
    (value * f64::from(1 << SHIFT)).round() as i32
}

/// RGB of a 4:2:0 picture of `width` x `height`; chroma is interpolated linearly. `None` if a plane is
/// too small.
///
/// All in 16-bit numbers, of which processors take eight or more at a time; levels carry four fractional
/// bits, so that the result is within one level of the exact one. No sum here can overflow: it is
/// written `wrapping_` because checks would keep the compiler from taking eight at a time.
pub(crate) fn rgb_from_yuv(planes: [Plane<'_>; 3], width: u32, height: u32, colour: Colour) -> Option<RgbImage> {
    let [luma, u, v] = planes;
    let (wide, high) = (width as usize, height as usize);
    let (chroma_wide, chroma_high) = (wide.div_ceil(2), high.div_ceil(2));
    let (luma_steps, chroma_steps, black) = colour.range();
    let factor = |value: f64| (value * f64::from(1 << FACTOR_BITS)).round() as i16;
    let chroma = 255.0 / chroma_steps;
    let scale = factor(255.0 / luma_steps);
    let red_v = factor(2.0 * (1.0 - colour.red) * chroma);
    let blue_u = factor(2.0 * (1.0 - colour.blue) * chroma);
    let green_u = -factor(2.0 * (1.0 - colour.blue) * colour.blue / colour.green() * chroma);
    let green_v = -factor(2.0 * (1.0 - colour.red) * colour.red / colour.green() * chroma);

    let mut rgb = vec![0; wide * high * 3];
    let mut rows = [ChromaRow::new(chroma_wide), ChromaRow::new(chroma_wide)];
    let mut channels = [vec![0_u8; wide], vec![0_u8; wide], vec![0_u8; wide]];
    for (y, line) in rgb.chunks_exact_mut(wide * 3).enumerate() {
        for (row, plane) in rows.iter_mut().zip([u, v]) {
            row.interpolate(plane, y, chroma_high)?;
        }
        let luma = luma.samples.get(y * luma.stride..)?.get(..wide)?;
        let (u, v) = (&rows[0].wide[..wide], &rows[1].wide[..wide]);
        let [red, green, blue] = &mut channels;
        for x in 0..wide {
            let grey = multiply(i16::from(luma[x]).wrapping_sub(black as i16) << 7, scale).wrapping_add(8);
            red[x] = level(grey.wrapping_add(multiply(v[x], red_v)));
            green[x] = level(grey.wrapping_add(multiply(u[x], green_u)).wrapping_add(multiply(v[x], green_v)));
            blue[x] = level(grey.wrapping_add(multiply(u[x], blue_u)));
        }
        for (pixel, ((red, green), blue)) in line.chunks_exact_mut(3).zip(red.iter().zip(green).zip(blue)) {
            pixel[0] = *red;
            pixel[1] = *green;
            pixel[2] = *blue;
        }
    }
    RgbImage::from_raw(width, height, rgb)
}

/// Fractional bits of a factor: with 7 of a level and 16 taken away, 4 remain.
const FACTOR_BITS: i32 = 13;

/// A level with 7 fractional bits times a factor: a level with 4.
fn multiply(level: i16, factor: i16) -> i16 {
    (i32::from(level).wrapping_mul(i32::from(factor)) >> 16) as i16
}

/// 3/4 and 1/4 of two samples, in quarters of their unit.
fn three_to_one(near: i16, far: i16) -> i16 {
    near.wrapping_mul(3).wrapping_add(far)
}

/// A level without its fraction, 0 to 255.
fn level(value: i16) -> u8 {
    (value >> 4).clamp(0, 255) as u8
}

/// One plane of chroma at the height of one row of luma.
struct ChromaRow {
    /// At the places of chroma, in quarters, the first and the last repeated beyond the edge.
    narrow: Vec<i16>,
    /// At the places of luma, with 7 fractional bits. Both less the 128 of no colour.
    wide: Vec<i16>,
}

impl ChromaRow {
    fn new(chroma_wide: usize) -> Self {
        Self { narrow: vec![0; chroma_wide + 2], wide: vec![0; chroma_wide * 2] }
    }

    /// Each luma sample takes 3/4 of the chroma sample of its block and 1/4 of the one on its other
    /// side, down and across. `None` if the plane is too small.
    fn interpolate(&mut self, plane: Plane<'_>, y: usize, chroma_high: usize) -> Option<()> {
        let count = self.wide.len() / 2;
        let near = y / 2;
        let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(chroma_high - 1) };
        let near = plane.samples.get(near * plane.stride..)?.get(..count)?;
        let far = plane.samples.get(far * plane.stride..)?.get(..count)?;
        for ((value, near), far) in self.narrow[1..=count].iter_mut().zip(near).zip(far) {
            *value = three_to_one(i16::from(*near), i16::from(*far)).wrapping_sub(4 * 128);
        }
        self.narrow[0] = self.narrow[1];
        self.narrow[count + 1] = self.narrow[count];
        for (pair, around) in self.wide.chunks_exact_mut(2).zip(self.narrow.windows(3)) {
            pair[0] = three_to_one(around[1], around[0]) << 3;
            pair[1] = three_to_one(around[1], around[2]) << 3;
        }
        Some(())
    }
}

/// Planes Y, U, V one behind the other, without padding, of a picture of even width and height.
///
/// Chroma is the mean of its 2x2 block.
pub(crate) fn yuv_from_rgb(rgb: &[u8], width: usize, height: usize, colour: Colour) -> Vec<u8> {
    let (luma_steps, chroma_steps, black) = colour.range();
    let weights = [colour.red, colour.green(), colour.blue];
    let luma = weights.map(|weight| fixed(weight * luma_steps / 255.0));
    let chroma = |own: usize| {
        let half = chroma_steps / 255.0 / 2.0 / (1.0 - weights[own]);
        let mut factors = weights.map(|weight| -weight * half);
        factors[own] += half;
        factors.map(fixed)
    };
    let (u, v) = (chroma(2), chroma(0));
    let pixel = |x: usize, y: usize| {
        let at = (y * width + x) * 3;
        [rgb[at], rgb[at + 1], rgb[at + 2]].map(i32::from)
    };
    let dot = |factors: [i32; 3], pixel: [i32; 3]| -> i32 { factors.iter().zip(pixel).map(|(f, p)| f * p).sum() };

    let mut planes = Vec::with_capacity(width * height * 3 / 2);
    for y in 0..height {
        planes.extend((0..width).map(|x| (((dot(luma, pixel(x, y)) + HALF) >> SHIFT) + black) as u8));
    }
    for factors in [u, v] {
        for y in (0..height).step_by(2) {
            for x in (0..width).step_by(2) {
                let block = [pixel(x, y), pixel(x + 1, y), pixel(x, y + 1), pixel(x + 1, y + 1)];
                let sum: i32 = block.map(|pixel| dot(factors, pixel)).iter().sum();
                let value = ((sum + 4 * HALF) >> (SHIFT + 2)) + 128;
                planes.push(value.clamp(0, 255) as u8);
            }
        }
    }
    planes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Colours of ITU-R BT.601-7, table 1 and its like for BT.709: 8-bit codes of the pure colours.
    #[test]
    fn pure_colours_have_the_codes_of_the_standards() {
        let code = |rgb: [u8; 3], colour| {
            let planes = yuv_from_rgb(&rgb.repeat(4), 2, 2, colour);
            [planes[0], planes[4], planes[5]]
        };
        let bt709 = Colour::signalled(1, false);
        assert_eq!(code([255, 255, 255], Colour::BT601), [235, 128, 128]);
        assert_eq!(code([0, 0, 0], Colour::BT601), [16, 128, 128]);
        assert_eq!(code([255, 0, 0], Colour::BT601), [81, 90, 240]);
        assert_eq!(code([0, 255, 0], Colour::BT601), [145, 54, 34]);
        assert_eq!(code([0, 0, 255], Colour::BT601), [41, 240, 110]);
        assert_eq!(code([255, 0, 0], bt709), [63, 102, 240]);
        assert_eq!(code([0, 255, 0], bt709), [173, 42, 26]);
        assert_eq!(code([0, 0, 255], bt709), [32, 240, 118]);
        // Full-range blue would be 255.5: it is cut at 255.
        assert_eq!(code([0, 0, 255], Colour::signalled(6, true)), [29, 255, 107]);
    }

    #[test]
    fn flat_colours_come_back_within_two_levels() {
        for colour in [Colour::BT601, Colour::signalled(1, false), Colour::signalled(1, true)] {
            for rgb in [[0, 0, 0], [255, 255, 255], [200, 30, 90], [12, 250, 130], [90, 60, 30]] {
                let planes = yuv_from_rgb(&rgb.repeat(16), 4, 4, colour);
                let image = rgb_from_yuv(super::planes(&planes, 4, 4).unwrap(), 4, 4, colour).unwrap();
                for (found, expected) in image.as_raw().iter().zip(rgb.iter().cycle()) {
                    assert!(found.abs_diff(*expected) <= 2, "{rgb:?} {:?}", image.get_pixel(0, 0));
                }
            }
        }
    }

    #[test]
    fn too_small_a_plane_is_refused() {
        let planes = [128; 23];
        let plane = |range: std::ops::Range<usize>, stride| Plane { samples: &planes[range], stride };
        assert!(rgb_from_yuv([plane(0..16, 4), plane(16..20, 2), plane(20..23, 2)], 4, 4, Colour::BT601).is_none());
        assert!(rgb_from_yuv([plane(0..9, 3), plane(9..13, 2), plane(13..17, 2)], 3, 3, Colour::BT601).is_some());
    }
}
