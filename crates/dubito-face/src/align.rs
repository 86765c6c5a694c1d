//! A face to an upright crop: the similarity transform that brings its landmarks closest to the mean face, and
//! the picture resampled through it.

use image::{Rgb, RgbImage};

use crate::mesh::bilinear;
use crate::{FaceError, MEAN_FACE};

/// The landmarks that hold still when a face speaks: eye corners, bridge and base of the nose, brow, forehead,
/// temples. [`align`] uses no others, so that a moving mouth does not move the crop.
pub const STABLE_POINTS: [usize; 18] = [33, 133, 362, 263, 168, 6, 197, 195, 5, 98, 2, 327, 9, 151, 127, 356, 130, 359];

/// At most so many samples a pixel and axis when shrinking.
const MAX_SAMPLES: usize = 8;

/// A crop's form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropSpec {
    /// Width and height in pixels, from 1 to 8192.
    pub size: u32,
    /// What is added on each side, as a fraction of the face's size, which is the longer side of the box around
    /// its oval (usually its height from the hairline to the chin); from -0.4 to 4.
    pub margin: f32,
}

/// A similarity transform of the plane: rotation, scale and translation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// Two rows of three: `x' = m[0][0] x + m[0][1] y + m[0][2]`, `y'` likewise.
    pub matrix: [[f64; 3]; 2],
}

/// An aligned face.
#[derive(Clone, Debug)]
pub struct Aligned {
    /// The upright face, `size` by `size`.
    pub crop: RgbImage,
    /// The landmarks in the crop: x, y in its pixels, z at the same scale.
    pub landmarks: Vec<[f32; 3]>,
    /// From the picture's pixels to the crop's.
    pub transform: Similarity,
}

impl Similarity {
    /// The least-squares similarity from `from` to `to` (Umeyama 1991, doi:10.1109/34.88573, without
    /// reflection). `None` where a coordinate is not finite, the lengths differ, fewer than two points are
    /// given, or all of `from` or the result is one point.
    pub fn estimate(from: &[[f64; 2]], to: &[[f64; 2]]) -> Option<Self> {
        if from.len() != to.len() || from.len() < 2 {
            return None;
        }
        let count = from.len() as f64;
        let mean = |points: &[[f64; 2]]| {
            let sum = points.iter().fold([0.0; 2], |s, p| [s[0] + p[0], s[1] + p[1]]);
            sum.map(|v| v / count)
        };
        let (from_mean, to_mean) = (mean(from), mean(to));
        // In the plane the rotation and scale are one complex number, conj(from) * to / |from|^2.
        let (mut along, mut across, mut spread) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let (px, py) = (p[0] - from_mean[0], p[1] - from_mean[1]);
            let (qx, qy) = (q[0] - to_mean[0], q[1] - to_mean[1]);
            along += px * qx + py * qy;
            across += px * qy - py * qx;
            spread += px * px + py * py;
        }
        let (a, b) = (along / spread, across / spread);
        let tx = to_mean[0] - a * from_mean[0] + b * from_mean[1];
        let ty = to_mean[1] - b * from_mean[0] - a * from_mean[1];
        let matrix = [[a, -b, tx], [b, a, ty]];
        let sound = matrix.iter().flatten().all(|v| v.is_finite()) && a.hypot(b) > 1e-12;
        sound.then_some(Self { matrix })
    }

    /// How many times longer a length becomes.
    pub fn scale(&self) -> f64 {
        self.matrix[0][0].hypot(self.matrix[1][0])
    }

    /// The place a point goes to.
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let [[a, b, c], [d, e, f]] = self.matrix;
        [a * x + b * y + c, d * x + e * y + f]
    }

    /// The way back. A similarity that [`Similarity::estimate`] gave always has one.
    pub fn inverse(&self) -> Self {
        let [[a, _, tx], [b, _, ty]] = self.matrix;
        let square = a * a + b * b;
        let (a, b) = (a / square, -b / square);
        Self { matrix: [[a, -b, -a * tx + b * ty], [b, a, -b * tx - a * ty]] }
    }
}

/// Crops a face upright: [`STABLE_POINTS`] are brought onto [`MEAN_FACE`], whose oval fills the crop but for the
/// margin. Sampling is bilinear; where the crop is smaller than the face, each pixel is the mean of a grid of
/// samples about a source pixel apart (at most 8 x 8), so that shrinking does not alias. Outside the picture its
/// border goes on.
///
/// # Errors
/// [`FaceError::Landmarks`] where there are not 468 points, where they are not finite or lie on one spot;
/// [`FaceError::Option`] for a size or margin out of range.
pub fn align(image: &RgbImage, points: &[[f32; 3]], spec: &CropSpec) -> Result<Aligned, FaceError> {
    if !(1..=8192).contains(&spec.size) {
        return Err(FaceError::Option { option: "size", expected: "1 to 8192 pixels", found: spec.size.to_string() });
    }
    if !(-0.4..=4.0).contains(&spec.margin) {
        return Err(FaceError::Option { option: "margin", expected: "-0.4 to 4", found: spec.margin.to_string() });
    }
    if points.len() != MEAN_FACE.len() {
        return Err(FaceError::Landmarks { reason: format!("expected 468 points, found {}", points.len()) });
    }
    let size = f64::from(spec.size);
    let scale = size / (1.0 + 2.0 * f64::from(spec.margin));
    let target = |i: usize| MEAN_FACE[i].map(|v| (f64::from(v) - 0.5) * scale + size / 2.0);
    let source = |i: usize| [f64::from(points[i][0]), f64::from(points[i][1])];
    let transform = Similarity::estimate(&STABLE_POINTS.map(source), &STABLE_POINTS.map(target))
        .ok_or_else(|| FaceError::Landmarks { reason: "the points are not finite, or lie on one spot".into() })?;
    let zoom = transform.scale() as f32;
    let landmarks = points.iter().map(|p| {
        let [x, y] = transform.apply([f64::from(p[0]), f64::from(p[1])]);
        [x as f32, y as f32, p[2] * zoom]
    });
    Ok(Aligned { crop: warp(image, &transform, spec.size), landmarks: landmarks.collect(), transform })
}

/// The picture through a similarity, resampled as [`align`] says, `size` by `size`; black where the picture has no pixels.
/// Crops another picture of the same geometry (the untouched frame of a fake, its mask) exactly as a face was.
pub fn warp(image: &RgbImage, transform: &Similarity, size: u32) -> RgbImage {
    let mut crop = RgbImage::new(size, size);
    if image.width() == 0 || image.height() == 0 {
        return crop;
    }
    let back = transform.inverse();
    let samples = (back.scale().ceil() as usize).clamp(1, MAX_SAMPLES);
    let [[a, b, _], [d, e, _]] = back.matrix.map(|row| row.map(|v| v as f32));
    let offsets: Vec<f32> = (0..samples).map(|i| (i as f32 + 0.5) / samples as f32 - 0.5).collect();
    let weight = 1.0 / (samples * samples) as f32;
    for (x, y, pixel) in crop.enumerate_pixels_mut() {
        let [cx, cy] = back.apply([f64::from(x) + 0.5, f64::from(y) + 0.5]).map(|v| v as f32);
        let mut sum = [0.0f32; 3];
        for v in &offsets {
            for u in &offsets {
                let rgb = bilinear(image, cx + a * u + b * v, cy + d * u + e * v);
                for (sum, value) in sum.iter_mut().zip(rgb) {
                    *sum += value;
                }
            }
        }
        *pixel = Rgb(sum.map(|v| (v * weight + 0.5) as u8));
    }
    crop
}
