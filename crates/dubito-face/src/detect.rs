//! Faces in a picture: BlazeFace's outputs to boxes, as MediaPipe decodes them.
//!
//! The picture (or a tile of it) is shrunk to fit the network's square, the rest filled with black. Each anchor
//! gives a score and a box with six points relative to it. Overlapping boxes of one pass are averaged by score
//! (BlazeFace's "blending", intersection over union above 0.3). Boxes of several passes (both networks, tiles)
//! are not averaged, as a tile may cut a face: the best score wins.

use dubito_resize::{FilterType, ResizeAlg, ResizeOptions};
use image::RgbImage;

use crate::models::Model;
use crate::{FaceError, FaceModels};

/// Above this intersection over union two boxes are one face.
const SAME_FACE: f32 = 0.3;

/// A face as the detector sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// Probability of a face, in \[0, 1\].
    pub score: f32,
    /// x0, y0, x1, y1 in pixels; may reach out of the picture.
    pub bbox: [f32; 4],
    /// Right eye, left eye, nose tip, mouth, right ear, left ear: x, y in pixels.
    pub keypoints: [[f32; 2]; 6],
}

/// Which detector looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Range {
    /// 128 pixels: faces of about a fifth of the picture and more; the fastest.
    #[default]
    Short,
    /// 192 pixels: smaller faces too, at about five times the time.
    Full,
    /// Both, one after the other.
    Both,
}

/// Whether parts of the picture are looked at on their own, for faces that are small in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tiles {
    /// The whole picture only.
    #[default]
    Off,
    /// Where the whole picture shows no face: squares of its shorter side, then of half that, overlapping by a
    /// quarter or more, until one size shows a face. Squares under 192 pixels are not tried.
    WhenEmpty,
}

/// How to look for faces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectOptions {
    /// Which detector.
    pub range: Range,
    /// Faces below this score are left out; in \[0, 1\].
    pub min_score: f32,
    /// At most so many, the best first.
    pub max_faces: usize,
    /// Whether to look at parts of the picture.
    pub tiles: Tiles,
}

impl Default for DetectOptions {
    /// Short range, score 0.5, 16 faces, no tiles.
    fn default() -> Self {
        Self { range: Range::Short, min_score: 0.5, max_faces: 16, tiles: Tiles::Off }
    }
}

impl FaceModels {
    /// The faces of a picture, the best score first. A picture without pixels has none.
    ///
    /// # Errors
    /// [`FaceError::Device`] where a device fails; never on the CPU.
    pub fn detect(&self, image: &RgbImage, options: &DetectOptions) -> Result<Vec<Detection>, FaceError> {
        let (width, height) = image.dimensions();
        if width == 0 || height == 0 {
            return Ok(Vec::new());
        }
        let mut found = self.detect_square(image, [0, 0, width, height], options)?;
        if found.is_empty() && options.tiles == Tiles::WhenEmpty {
            let shorter = width.min(height);
            for side in [shorter, shorter / 2] {
                if side < 192 || !found.is_empty() {
                    break;
                }
                for y in tile_starts(height, side) {
                    for x in tile_starts(width, side) {
                        found.extend(self.detect_square(image, [x, y, side, side], options)?);
                    }
                }
            }
        }
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut kept: Vec<Detection> = Vec::new();
        for detection in found {
            let again =
                |k: &Detection| covered(k.bbox, detection.bbox) > 0.6 || iou(k.bbox, detection.bbox) > SAME_FACE;
            if !kept.iter().any(again) {
                kept.push(detection);
            }
        }
        kept.truncate(options.max_faces);
        Ok(kept)
    }

    /// One part of the picture, `[x, y, width, height]`, by the detectors of the options.
    fn detect_square(
        &self,
        image: &RgbImage,
        part: [u32; 4],
        options: &DetectOptions,
    ) -> Result<Vec<Detection>, FaceError> {
        let passes: &[(&Model, u32)] = match options.range {
            Range::Short => &[(&self.short_range, 128)],
            Range::Full => &[(&self.full_range, 192)],
            Range::Both => &[(&self.short_range, 128), (&self.full_range, 192)],
        };
        let mut found = Vec::new();
        for &(model, size) in passes {
            let (input, scale, origin) = letterbox(image, part, size);
            let outputs = model.run(&input)?;
            let candidates = decode(&outputs[0], &outputs[1], size, options.min_score);
            found.extend(blend(candidates).into_iter().map(|d| d.moved(scale, origin)));
        }
        Ok(found)
    }
}

impl Detection {
    /// From the network's square, in pixels of it, to the picture.
    fn moved(mut self, scale: f32, origin: [f32; 2]) -> Self {
        let place = |[x, y]: [f32; 2]| [x * scale + origin[0], y * scale + origin[1]];
        let [x0, y0, x1, y1] = self.bbox;
        let ([x0, y0], [x1, y1]) = (place([x0, y0]), place([x1, y1]));
        self.bbox = [x0, y0, x1, y1];
        self.keypoints = self.keypoints.map(place);
        self
    }
}

/// Where tiles of `side` begin along an axis, overlapping by a quarter or more.
fn tile_starts(length: u32, side: u32) -> Vec<u32> {
    let free = length - side;
    let count = free.div_ceil((side * 3 / 4).max(1));
    (0..=count).map(|i| (free * i).checked_div(count).unwrap_or(0)).collect()
}

/// A part of the picture fitted into a square of `size`, in [-1, 1], black around; the picture's pixels per
/// pixel of the square; and the picture's place of the square's corner.
fn letterbox(image: &RgbImage, [x, y, width, height]: [u32; 4], size: u32) -> (Vec<f32>, f32, [f32; 2]) {
    let scale = width.max(height) as f32 / size as f32;
    let fit = |length: u32| ((length as f32 / scale).round() as u32).clamp(1, size);
    let (inner_width, inner_height) = (fit(width), fit(height));
    let (left, top) = ((size - inner_width) / 2, (size - inner_height) / 2);
    let options = ResizeOptions::new()
        .crop(x.into(), y.into(), width.into(), height.into())
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let small = dubito_resize::rgb(image.as_raw(), image.dimensions(), (inner_width, inner_height), &options);
    let mut input = vec![-1.0; (size * size * 3) as usize];
    // Neither can fail: the buffer is the image's own and the part lies inside it. A black square shows no face.
    if let Some(small) = small {
        let row_length = (inner_width * 3) as usize;
        for (row, pixels) in small.chunks_exact(row_length).enumerate() {
            let at = (((top as usize + row) * size as usize) + left as usize) * 3;
            for (to, &from) in input[at..at + row_length].iter_mut().zip(pixels) {
                *to = f32::from(from) / 127.5 - 1.0;
            }
        }
    }
    // The exact scale along each axis differs from `scale` by the rounding of the inner size, under half a
    // pixel of the square.
    (input, scale, [x as f32 - left as f32 * scale, y as f32 - top as f32 * scale])
}

/// The anchors' centres in pixels of the network's square: for 128 two at each pixel of a 16 x 16 map and six
/// at each of an 8 x 8 map, for 192 one at each of a 48 x 48 map.
fn anchors(size: u32) -> Vec<[f32; 2]> {
    let maps: &[(u32, usize)] = if size == 128 { &[(16, 2), (8, 6)] } else { &[(48, 1)] };
    let mut anchors = Vec::new();
    for &(cells, count) in maps {
        let step = size as f32 / cells as f32;
        for y in 0..cells {
            for x in 0..cells {
                anchors.extend(std::iter::repeat_n([(x as f32 + 0.5) * step, (y as f32 + 0.5) * step], count));
            }
        }
    }
    anchors
}

/// The network's outputs to detections of at least `min_score`, in pixels of its square. Per anchor `boxes`
/// holds centre, size, and six points, all in pixels and but for the size relative to the anchor.
pub(crate) fn decode(boxes: &[f32], scores: &[f32], size: u32, min_score: f32) -> Vec<Detection> {
    let mut found = Vec::new();
    for ((b, &logit), [ax, ay]) in boxes.chunks_exact(16).zip(scores).zip(anchors(size)) {
        let score = sigmoid(logit);
        if score < min_score || !b.iter().all(|v| v.is_finite()) {
            continue;
        }
        let (cx, cy, half_width, half_height) = (b[0] + ax, b[1] + ay, b[2] / 2.0, b[3] / 2.0);
        found.push(Detection {
            score,
            bbox: [cx - half_width, cy - half_height, cx + half_width, cy + half_height],
            keypoints: std::array::from_fn(|k| [b[4 + 2 * k] + ax, b[5 + 2 * k] + ay]),
        });
    }
    found
}

/// Weighted non-maximum suppression: the best box takes the score-weighted mean of all that overlap it.
pub(crate) fn blend(mut candidates: Vec<Detection>) -> Vec<Detection> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut blended = Vec::new();
    while let Some(best) = candidates.first().cloned() {
        let (same, rest): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|c| iou(best.bbox, c.bbox) > SAME_FACE);
        candidates = rest;
        let total: f32 = same.iter().map(|d| d.score).sum();
        let mean = |value: &dyn Fn(&Detection) -> f32| same.iter().map(|d| d.score * value(d)).sum::<f32>() / total;
        if same.is_empty() || total <= 0.0 {
            // A box without area overlaps nothing, not even itself.
            candidates.retain(|c| c != &best);
            continue;
        }
        blended.push(Detection {
            score: best.score,
            bbox: std::array::from_fn(|i| mean(&|d| d.bbox[i])),
            keypoints: std::array::from_fn(|k| std::array::from_fn(|i| mean(&|d| d.keypoints[k][i]))),
        });
    }
    blended
}

pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x.clamp(-100.0, 100.0)).exp())
}

fn area([x0, y0, x1, y1]: [f32; 4]) -> f32 {
    (x1 - x0).max(0.0) * (y1 - y0).max(0.0)
}

fn intersection(a: [f32; 4], b: [f32; 4]) -> f32 {
    area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])])
}

/// Intersection over union of two boxes; 0 where either has no area.
pub(crate) fn iou(a: [f32; 4], b: [f32; 4]) -> f32 {
    let shared = intersection(a, b);
    if shared > 0.0 { shared / (area(a) + area(b) - shared) } else { 0.0 }
}

/// Intersection over the smaller of two boxes; 0 where either has no area.
pub(crate) fn covered(a: [f32; 4], b: [f32; 4]) -> f32 {
    let shared = intersection(a, b);
    if shared > 0.0 { shared / area(a).min(area(b)) } else { 0.0 }
}
