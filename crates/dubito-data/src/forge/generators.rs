//! The generators: each makes one frame's counterfeit and the mask of what it changed.
//!
//! | name | imitates | does not imitate |
//! |---|---|---|
//! | `faceswap` | a graphics swap: the donor's texture on the target's mesh, colours transferred, feathered | a fitted 3D model, relighting |
//! | `wav2lip` | another speaker's lower face driven in, made at 96 pixels at most and pasted | audio, a learned generator |
//!
//! A null control is the same call with the target's own frame as the donor: it passes through every
//! step (the shrinking, the warp, the transfer, the blend), and what it shows is still true.

use std::fmt;
use std::str::FromStr;

use dubito_face::{FACE_OVAL, LIPS_OUTER, Similarity, TRIANGLES};
use image::{GrayImage, RgbImage};
use serde::{Deserialize, Serialize};

use super::blend;
use super::warp::{self, Point, Rect};

/// A mechanism of forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Generator {
    /// A graphics face swap.
    FaceSwap,
    /// A mouth re-synthesis.
    Wav2Lip,
}

impl Generator {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::FaceSwap, Self::Wav2Lip];

    /// The name in manifests, reports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::FaceSwap => "faceswap",
            Self::Wav2Lip => "wav2lip",
        }
    }
}

impl fmt::Display for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Generator {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|g| g.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|g| g.name()).collect();
            format!("generator {text:?} is none of {}", known.join(", "))
        })
    }
}

/// A frame with the mesh of the face in it, in its pixels.
#[derive(Clone, Copy)]
pub struct FaceFrame<'a> {
    /// The frame.
    pub image: &'a RgbImage,
    /// Its 468 points.
    pub points: &'a [[f32; 3]],
}

/// How hard the counterfeits are to see.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Share of the difference in colour that is removed, 0 to 1.
    pub colour_match: f32,
    /// Width of the blend at the edge, as a fraction of the face's width.
    pub feather: f32,
    /// Largest width in pixels at which a swapped face is drawn.
    pub face_pixels: f32,
    /// Largest width in pixels at which a mouth is drawn; never more than half its width.
    pub mouth_pixels: f32,
}

impl Default for Look {
    fn default() -> Self {
        Self { colour_match: 0.35, feather: 0.06, face_pixels: 128.0, mouth_pixels: 96.0 }
    }
}

/// Lower face: the jaw from ear to ear, then back over the cheeks and under the nose.
const LOWER_FACE: [u16; 22] =
    [58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 425, 327, 326, 2, 97, 98, 205];

/// Points that the mouth does not move: the corners of the eyes, and the bridge of the nose.
const STEADY: [u16; 9] = [33, 133, 362, 263, 168, 6, 197, 127, 356];

impl Generator {
    /// Makes the counterfeit of one frame: the donor's face (or mouth) in the target's, and the mask,
    /// 255 where a pixel may have changed. `None` where a mesh is no face (points that are not finite
    /// or outside the frame).
    pub fn apply(self, target: FaceFrame, donor: FaceFrame, look: &Look) -> Option<(RgbImage, GrayImage)> {
        if target.points.len() != donor.points.len() || target.points.len() <= max_index() {
            return None;
        }
        match self {
            Self::FaceSwap => swap(target, donor, look),
            Self::Wav2Lip => mouth(target, donor, look),
        }
    }
}

fn max_index() -> usize {
    TRIANGLES.iter().flatten().copied().max().unwrap_or(0) as usize
}

fn swap(target: FaceFrame, donor: FaceFrame, look: &Look) -> Option<(RgbImage, GrayImage)> {
    paste(target, donor, target.points, &FACE_OVAL, look.face_pixels, look)
}

fn mouth(target: FaceFrame, donor: FaceFrame, look: &Look) -> Option<(RgbImage, GrayImage)> {
    // The donor's points laid over the target's by what the mouth doesn't move.
    let wide = |p: Point| p.map(f64::from);
    let steady = |points: &[[f32; 3]]| STEADY.map(|i| wide(flat(points[i as usize])));
    let laid = Similarity::estimate(&steady(donor.points), &steady(target.points))?;
    let width = warp::spread(&target.points.iter().map(|&p| flat(p)).collect::<Vec<_>>());
    let lips: Vec<Point> = LIPS_OUTER.iter().map(|&i| flat(target.points[i as usize])).collect();
    // The lips follow the donor; the rest of the face follows less the farther it is from them, and
    // the outline not at all.
    let mut to = target.points.to_vec();
    for (i, p) in to.iter_mut().enumerate() {
        if FACE_OVAL.contains(&(i as u16)) {
            continue;
        }
        let here = flat(*p);
        let away = lips.iter().map(|l| (l[0] - here[0]).hypot(l[1] - here[1])).fold(f32::INFINITY, f32::min);
        let follow = (-(away / (0.25 * width)).powi(2)).exp();
        let driven = laid.apply(wide(flat(donor.points[i]))).map(|v| v as f32);
        p[0] += follow * (driven[0] - p[0]);
        p[1] += follow * (driven[1] - p[1]);
    }
    let outline = LOWER_FACE.map(|i| flat(to[i as usize]));
    let across = outline.iter().map(|p| p[0]).fold(f32::NEG_INFINITY, f32::max)
        - outline.iter().map(|p| p[0]).fold(f32::INFINITY, f32::min);
    paste(target, donor, &to, &LOWER_FACE, look.mouth_pixels.min(across / 2.0), look)
}

fn flat(p: [f32; 3]) -> Point {
    [p[0], p[1]]
}

/// Draws the donor's texture in the shape `to`, at most `pixels` wide, inside the polygon of the
/// `outline`, in the target's colours, with a feathered edge.
fn paste(
    target: FaceFrame,
    donor: FaceFrame,
    to: &[[f32; 3]],
    outline: &[u16],
    pixels: f32,
    look: &Look,
) -> Option<(RgbImage, GrayImage)> {
    let polygon: Vec<Point> = outline.iter().map(|&i| flat(to[i as usize])).collect();
    let rect = Rect::around(polygon.iter().copied(), 2.0, target.image.dimensions())?;
    let scale = (pixels / rect.width as f32).min(1.0);
    let mut layer = warp::draw(donor.image, donor.points, to, &TRIANGLES, rect, scale)?;
    let polygon: Vec<Point> = polygon.into_iter().map(|p| rect.inside(p)).collect();
    let opacity = blend::feathered(&layer, &polygon, look.feather * rect.width as f32);
    blend::transfer_colour(&mut layer.pixels, target.image, rect, &opacity, look.colour_match);
    let mut image = target.image.clone();
    let mask = blend::lay_over(&mut image, &layer.pixels, rect, &opacity);
    Some((image, mask))
}
