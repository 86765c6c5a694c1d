//! The mid-face as a canonical rectangle of 32 regions, and where its samples lie in a frame.
//!
//! FakeCatcher (Ciftci, Demir, Yin, "FakeCatcher: Detection of Synthetic Portrait Videos using Biological Signals",
//! 2020) rectifies the face between eyes and mouth triangle by triangle, so that a place in the rectangle is the same
//! place on the skin in every frame, and cuts the rectangle into 32 equal parts. Here the triangles are fixed
//! (`mesh/mid_face.py`), 134 of them on 90 landmarks.

use std::sync::OnceLock;

use crate::SignalError;
use crate::mid_face::{POINTS, TRIANGLES};

/// Regions of the mid-face: 8 across, 4 down, in reading order (as the picture shows them).
pub const REGIONS: usize = 32;
/// Regions across.
pub const COLUMNS: usize = 8;
/// Landmarks of a face.
pub const LANDMARKS: usize = 468;
/// Samples across and down the canonical rectangle.
const SAMPLES: (usize, usize) = (256, 128);

/// A sample of the canonical rectangle.
pub(crate) struct Sample {
    /// The landmarks of its triangle.
    corners: [usize; 3],
    /// Its barycentric weights; they add up to 1.
    weights: [f32; 3],
    /// Its region.
    pub(crate) region: usize,
}

impl Sample {
    /// Where the sample lies in a frame: x, y in pixels. The landmarks must be 468.
    pub(crate) fn place(&self, landmarks: &[[f32; 3]]) -> [f32; 2] {
        let mut place = [0.0; 2];
        for (corner, weight) in self.corners.iter().zip(self.weights) {
            place[0] += weight * landmarks[*corner][0];
            place[1] += weight * landmarks[*corner][1];
        }
        place
    }
}

/// The samples of the canonical rectangle, 256 across and 128 down, in reading order.
pub(crate) fn samples() -> &'static [Sample] {
    static TABLE: OnceLock<Vec<Sample>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let (across, down) = SAMPLES;
        let all = (0..down).flat_map(|row| (0..across).map(move |column| (row, column)));
        let sample = |(row, column): (usize, usize)| {
            let at = [(column as f32 + 0.5) / across as f32 * 2.0, (row as f32 + 0.5) / down as f32];
            let region = row * 4 / down * COLUMNS + column * COLUMNS / across;
            // On an edge two triangles hold the sample, up to rounding: the one that holds it best.
            let best = TRIANGLES.iter().map(|t| (t, barycentric(t.map(|i| POINTS[usize::from(i)].1), at)));
            let depth = |w: &[f32; 3]| w[0].min(w[1]).min(w[2]);
            let best = best.max_by(|(_, a), (_, b)| depth(a).total_cmp(&depth(b)));
            let (triangle, weights) = best.unwrap_or((&TRIANGLES[0], [1.0, 0.0, 0.0]));
            Sample { corners: triangle.map(|i| usize::from(POINTS[usize::from(i)].0)), weights, region }
        };
        all.map(sample).collect()
    })
}

/// The weights of a triangle's corners whose mean is `at`; one is negative where `at` lies outside.
fn barycentric([a, b, c]: [[f32; 2]; 3], at: [f32; 2]) -> [f32; 3] {
    let cross = |o: [f32; 2], p: [f32; 2], q: [f32; 2]| (p[0] - o[0]) * (q[1] - o[1]) - (p[1] - o[1]) * (q[0] - o[0]);
    let whole = cross(a, b, c);
    let (v, w) = (cross(a, at, c) / whole, cross(a, b, at) / whole);
    [1.0 - v - w, v, w]
}

/// Refuses landmarks that are no face mesh.
pub(crate) fn check(landmarks: &[[f32; 3]]) -> Result<(), SignalError> {
    let wrong = |found: String| SignalError::Landmarks { found };
    if landmarks.len() != LANDMARKS {
        return Err(wrong(format!("{} points", landmarks.len())));
    }
    match landmarks.iter().position(|p| !p.iter().all(|v| v.is_finite())) {
        Some(i) => Err(wrong(format!("{:?} at point {i}", landmarks[i]))),
        None => Ok(()),
    }
}

/// How far a face is turned from the camera: the angle between the line of sight and the normal of the plane through
/// the outer corners of the eyes and the corners of the mouth, in degrees, 0 (frontal) to 180 (the back of the head).
/// z counts away from the camera, as MediaPipe has it.
///
/// # Errors
/// Landmarks that are not 468 finite points.
pub fn turned(landmarks: &[[f32; 3]]) -> Result<f32, SignalError> {
    check(landmarks)?;
    let between = |a: usize, b: usize| [0, 1, 2].map(|k| landmarks[b][k] - landmarks[a][k]);
    let mean = |a: [f32; 3], b: [f32; 3]| [0, 1, 2].map(|k| (a[k] + b[k]) / 2.0);
    // Across: from the person's right to the left, by eyes and mouth. Down: from each eye to its corner of the mouth.
    let across = mean(between(33, 263), between(61, 291));
    let down = mean(between(33, 61), between(263, 291));
    let normal = [
        across[1] * down[2] - across[2] * down[1],
        across[2] * down[0] - across[0] * down[2],
        across[0] * down[1] - across[1] * down[0],
    ];
    let length = normal.iter().map(|v| v * v).sum::<f32>().sqrt();
    // Landmarks in one place show nothing of a face: as good as turned away.
    if length <= f32::EPSILON { Ok(180.0) } else { Ok((normal[2] / length).clamp(-1.0, 1.0).acos().to_degrees()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_fill_the_rectangle_and_its_regions_evenly() {
        let samples = samples();
        let mut counts = [0; REGIONS];
        for sample in samples {
            counts[sample.region] += 1;
            assert!(sample.weights.iter().all(|w| *w > -1e-3), "{:?}", sample.weights);
        }
        assert_eq!(counts, [256 * 128 / 32; REGIONS]);
    }

    #[test]
    fn samples_follow_the_landmarks() {
        // Landmarks laid out like the canonical rectangle bring every sample to its own place.
        let mut landmarks = vec![[0.0; 3]; LANDMARKS];
        for (i, [u, v]) in POINTS {
            landmarks[usize::from(i)] = [u * 100.0, v * 100.0, 0.0];
        }
        for (k, sample) in samples().iter().enumerate() {
            let expected = [((k % 256) as f32 + 0.5) / 1.28, ((k / 256) as f32 + 0.5) / 1.28];
            let found = sample.place(&landmarks);
            assert!((0..2).all(|i| (found[i] - expected[i]).abs() < 0.05), "{k}: {found:?} {expected:?}");
        }
    }
}
