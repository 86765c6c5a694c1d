//! What the audit measures of each video: the file, the face's pose and track, its appearance, and the pixels that no
//! generator touched.

use std::collections::BTreeMap;
use std::f64::consts::FRAC_PI_2;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dubito_data::manifest::{Label, Row};
use dubito_face::{CropSpec, FaceModels, TrackOptions, Tracker};
use dubito_media::{RgbImage, Tools, Video, VideoInfo};
use rayon::prelude::*;

use crate::StudyError;
use crate::progress::{OnProgress, Progress, Step};

/// Frames of each video that are looked at.
const FRAMES: u64 = 6;
/// Side of the crops that the network is shown.
pub(super) const SIDE: u32 = 96;
/// Pixels around the mask that are hidden too: the side of the encoder's blocks, which carry a change over the edge of
/// the mask.
const BLOCK: u32 = 16;

/// What was measured of one video.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Its row.
    pub row: usize,
    /// Container, codec and pixel format.
    pub kind: String,
    /// Logarithms of bytes, bits per second and bits per pixel; width, height, frames, frames per second.
    pub container: Vec<f64>,
    /// Mean and deviation of yaw, pitch and roll of the person filmed: of the untouched video, in those frames that are
    /// what the row's label says. Where the untouched video isn't known, as [`drawn_pose`](Self::drawn_pose). None
    /// without a face.
    pub pose: Option<Vec<f64>>,
    /// Mean and deviation of yaw, pitch and roll of the face as this video shows it, forged or not; none without a face.
    pub drawn_pose: Option<Vec<f64>>,
    /// Share of the frames with a face, mean and least presence, mean number of faces, and frames of the clip.
    pub track: Vec<f64>,
    /// Logarithms of the Laplacian's variance and of the gradient's energy.
    pub sharpness: Option<Vec<f64>>,
    /// Noise of Y, Cb and Cr.
    pub noise: Option<Vec<f64>>,
    /// Mean and deviation of Y, Cb and Cr.
    pub colour: Option<Vec<f64>>,
    /// Crops with all that any generator changed painted grey, `[SIDE, SIDE, 3]` each; none where masks or the real
    /// video are missing.
    pub crops: Vec<u8>,
}

/// What was measured of all videos, and why the others could not be read.
pub(super) struct Looked {
    pub seen: Vec<Seen>,
    pub unreadable: Vec<String>,
}

/// Measures the videos of each group: the outputs made of one target, which are shown with the same pixels hidden.
pub(super) fn look(
    rows: &[Row],
    groups: &[Vec<usize>],
    root: &Path,
    tools: &Tools,
    step: Step,
    on_progress: OnProgress,
) -> Result<Looked, StudyError> {
    let models = FaceModels::cpu()?;
    let total = groups.iter().map(Vec::len).sum();
    let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let tell = |row: usize| -> Result<(), StudyError> {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if !on_progress(&Progress { step, done, total, item: rows[row].video.clone() }) {
            stop.store(true, Ordering::Relaxed);
        }
        if stop.load(Ordering::Relaxed) { Err(StudyError::stopped()) } else { Ok(()) }
    };
    let looked: Vec<Looked> = groups
        .par_iter()
        .with_max_len(1)
        .map(|members| look_at_group(rows, members, root, tools, &models, &tell))
        .collect::<Result<_, StudyError>>()?;
    let mut all = Looked { seen: Vec::new(), unreadable: Vec::new() };
    for part in looked {
        all.seen.extend(part.seen);
        all.unreadable.extend(part.unreadable);
    }
    Ok(all)
}

/// Some frames of a video, with the largest face in each.
struct Frames {
    info: VideoInfo,
    images: Vec<RgbImage>,
    /// Landmarks and presence of the largest face.
    faces: Vec<Option<(Vec<[f32; 3]>, f32)>>,
    /// Faces in each frame.
    counts: Vec<usize>,
}

/// The landmarks of the largest face in each frame that is looked at.
type Places = Vec<Option<Vec<[f32; 3]>>>;

fn look_at_group(
    rows: &[Row],
    members: &[usize],
    root: &Path,
    tools: &Tools,
    models: &FaceModels,
    tell: &(dyn Fn(usize) -> Result<(), StudyError> + Sync),
) -> Result<Looked, StudyError> {
    let mut out = Looked { seen: Vec::new(), unreadable: Vec::new() };
    let open = |path: &str| dubito_media::open(&root.join(path), tools).map_err(|e| e.to_string());
    // The untouched video says which frames are looked at, and where the face is.
    let reference = members.iter().copied().find(|&i| rows[i].label == Label::Real && rows[i].control.is_none());
    let first = reference.unwrap_or(members[0]);
    let count = open(&rows[first].path).ok().and_then(|video| video.info().frames);
    let count = count.or(rows[first].frames.map(u64::from)).unwrap_or(FRAMES).max(1);
    let wanted: Vec<u64> = (0..FRAMES.min(count)).map(|k| k * count / FRAMES.min(count)).collect();
    let mut order: Vec<usize> = members.to_vec();
    order.sort_by_key(|&i| i != first);

    let masks: Vec<&str> = members.iter().filter_map(|&i| rows[i].mask.as_deref()).collect();
    let unmasked = members.iter().filter(|&&i| rows[i].label == Label::Fake && rows[i].mask.is_none()).count();
    let mut hidden = None;
    if reference.is_some() && !masks.is_empty() && unmasked == 0 {
        match union_of_masks(&masks, &wanted, &open) {
            Ok(union) => hidden = Some(union),
            Err(reason) => out.unreadable.push(reason),
        }
    }
    let mut places: Option<Places> = None;
    for row in order {
        let read = open(&rows[row].path).and_then(|video| frames_of(video, &wanted, models));
        match read {
            Err(reason) => out.unreadable.push(format!("{}: {reason}", rows[row].video)),
            Ok(frames) => {
                let own = || -> Places {
                    frames.faces.iter().map(|f| f.as_ref().map(|(points, _)| points.clone())).collect()
                };
                if row == first {
                    places = Some(own());
                }
                let places = places.clone().unwrap_or_else(own);
                let mut seen = measure(row, &rows[row], &frames, &places, hidden.as_deref());
                seen.drawn_pose = poses(&own(), |_| true);
                seen.pose = match reference {
                    Some(_) => {
                        let not_forged = rows[row].frames_that_are_real();
                        poses(&places, |k| wanted.get(k).is_none_or(|frame| !not_forged.contains(frame)))
                    }
                    None => seen.drawn_pose.clone(),
                };
                out.seen.push(seen);
            }
        }
        tell(row)?;
    }
    Ok(out)
}

/// The wanted frames (their numbers, rising); a video that ends early has fewer.
pub(crate) fn pictures(video: Video, wanted: &[u64]) -> Result<Vec<RgbImage>, String> {
    let mut images = Vec::new();
    for frame in video {
        match frame {
            Ok(frame) => {
                let last = wanted.last().is_none_or(|last| frame.index >= *last);
                if wanted.binary_search(&frame.index).is_ok() {
                    images.push(frame.image);
                }
                if last {
                    break;
                }
            }
            Err(error) if images.is_empty() => return Err(error.to_string()),
            Err(_) => break,
        }
    }
    Ok(images)
}

fn frames_of(video: Video, wanted: &[u64], models: &FaceModels) -> Result<Frames, String> {
    let info = video.info().clone();
    let images = pictures(video, wanted)?;
    let rate = info.frame_rate.filter(|r| *r > 0.0).unwrap_or(25.0);
    let mut tracker = Tracker::new(models, TrackOptions::default());
    let (mut faces, mut counts) = (Vec::new(), Vec::new());
    for (image, index) in images.iter().zip(wanted) {
        let found = tracker.push(image, *index as f64 / rate).map_err(|e| e.to_string())?;
        counts.push(found.len());
        let area = |b: [f32; 4]| (b[2] - b[0]) * (b[3] - b[1]);
        let largest = found.into_iter().max_by(|a, b| area(a.bbox).total_cmp(&area(b.bbox)));
        faces.push(largest.map(|face| (face.mesh.points, face.mesh.presence)));
    }
    Ok(Frames { info, images, faces, counts })
}

/// All that any output changed, in each frame.
fn union_of_masks(
    masks: &[&str],
    wanted: &[u64],
    open: &dyn Fn(&str) -> Result<Video, String>,
) -> Result<Vec<Hidden>, String> {
    let mut union: Vec<Hidden> = Vec::new();
    for path in masks {
        let images = open(path).and_then(|video| pictures(video, wanted)).map_err(|e| format!("mask {path}: {e}"))?;
        for (k, image) in images.iter().enumerate() {
            if union.len() <= k {
                union.push(Hidden::nothing(image.width(), image.height()));
            }
            if union[k].size != image.dimensions() {
                return Err(format!(
                    "mask {path}: {:?} pixels, another mask of its target {:?}",
                    image.dimensions(),
                    union[k].size
                ));
            }
            union[k].add(image);
        }
    }
    Ok(union)
}

/// The part of a picture that masks hide, in cells half a block wide.
struct Hidden {
    size: (u32, u32),
    columns: usize,
    cells: Vec<bool>,
}

const CELL: usize = (BLOCK / 2) as usize;

impl Hidden {
    fn nothing(width: u32, height: u32) -> Self {
        let columns = (width as usize).div_ceil(CELL);
        Self { size: (width, height), columns, cells: vec![false; columns * (height as usize).div_ceil(CELL)] }
    }

    fn add(&mut self, mask: &RgbImage) {
        for (x, y, pixel) in mask.enumerate_pixels() {
            if pixel[0] > 127 {
                self.cells[y as usize / CELL * self.columns + x as usize / CELL] = true;
            }
        }
    }

    /// Paints the hidden pixels grey, and those within a block of them.
    fn paint(&self, image: &mut RgbImage) {
        let lines = self.cells.len() / self.columns.max(1);
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            let (x, y) = (x as usize / CELL, y as usize / CELL);
            let near = (y.saturating_sub(2)..(y + 3).min(lines))
                .any(|j| (x.saturating_sub(2)..(x + 3).min(self.columns)).any(|i| self.cells[j * self.columns + i]));
            if near {
                *pixel = image::Rgb([128; 3]);
            }
        }
    }
}

fn measure(row: usize, of: &Row, frames: &Frames, places: &[Option<Vec<[f32; 3]>>], hidden: Option<&[Hidden]>) -> Seen {
    let info = &frames.info;
    let count = info.frames.or(of.frames.map(u64::from)).unwrap_or(0) as f64;
    let rate = info.frame_rate.unwrap_or(0.0);
    let seconds = info.duration.unwrap_or(if rate > 0.0 { count / rate } else { 0.0 });
    let bytes = info.size_bytes as f64;
    let bit_rate = info.bit_rate.map_or(if seconds > 0.0 { 8.0 * bytes / seconds } else { 0.0 }, |b| b as f64);
    let (width, height) = (f64::from(info.width), f64::from(info.height));
    let per_pixel = 8.0 * bytes / (width * height * count.max(1.0)).max(1.0);
    let logs = [bytes, bit_rate, per_pixel].map(|v| (1e-6 + v).ln());

    let presence: Vec<f64> = frames.faces.iter().flatten().map(|(_, presence)| f64::from(*presence)).collect();
    let looked = frames.images.len().max(1) as f64;
    let mean_presence = presence.iter().sum::<f64>() / presence.len().max(1) as f64;
    let least = presence.iter().copied().fold(f64::INFINITY, f64::min);
    let track = vec![
        presence.len() as f64 / looked,
        mean_presence,
        if least.is_finite() { least } else { 0.0 },
        frames.counts.iter().sum::<usize>() as f64 / looked,
        of.clip.as_ref().and(of.frames).map_or(0.0, f64::from),
    ];

    let mut seen = Seen {
        row,
        kind: format!("{} {} {}", info.container, info.codec, info.pixel_format),
        container: logs.into_iter().chain([width, height, count, rate]).collect(),
        track,
        ..Seen::default()
    };
    let mut appearances: Vec<Appearance> = Vec::new();
    for (k, image) in frames.images.iter().enumerate() {
        let Some(points) = places.get(k).and_then(Option::as_deref) else { continue };
        appearances.extend(appearance(image, points));
        let Some(hidden) = hidden.and_then(|h| h.get(k)).filter(|h| h.size == image.dimensions()) else { continue };
        let mut painted = image.clone();
        hidden.paint(&mut painted);
        if let Ok(aligned) = dubito_face::align(&painted, points, &CropSpec { size: SIDE, margin: 0.8 }) {
            seen.crops.extend_from_slice(aligned.crop.as_raw());
        }
    }
    if !appearances.is_empty() {
        let mean = |of: fn(&Appearance) -> &[f64]| -> Vec<f64> {
            let count = appearances.len() as f64;
            (0..of(&appearances[0]).len()).map(|j| appearances.iter().map(|a| of(a)[j]).sum::<f64>() / count).collect()
        };
        seen.sharpness = Some(mean(|a| &a.sharpness));
        seen.noise = Some(mean(|a| &a.noise));
        seen.colour = Some(mean(|a| &a.colour));
    }
    seen
}

/// Mean and deviation of the angles in the frames (by their place among those looked at) that count.
fn poses(places: &[Option<Vec<[f32; 3]>>], counts: impl Fn(usize) -> bool) -> Option<Vec<f64>> {
    let faces = places.iter().enumerate().filter(|(k, _)| counts(*k));
    let poses: Vec<[f64; 3]> = faces.filter_map(|(_, points)| pose(points.as_deref()?)).collect();
    (!poses.is_empty()).then(|| mean_and_deviation(&poses))
}

fn mean_and_deviation(values: &[[f64; 3]]) -> Vec<f64> {
    let count = values.len() as f64;
    let mean: [f64; 3] = std::array::from_fn(|j| values.iter().map(|v| v[j]).sum::<f64>() / count);
    let deviation = (0..3).map(|j| (values.iter().map(|v| (v[j] - mean[j]).powi(2)).sum::<f64>() / count).sqrt());
    mean.into_iter().chain(deviation).collect()
}

/// Yaw, pitch and roll in radians from 468 landmarks (z in the pixels' scale): the angles by which the line through the
/// outer corners of the eyes (33, 263) leaves the picture's plane, by which the line from the forehead to the base of
/// the nose (151, 2) does, and by which the first leaves the horizontal. A talking mouth moves none of these points.
/// `None` where points are missing or not finite, or lie on one spot.
fn pose(points: &[[f32; 3]]) -> Option<[f64; 3]> {
    let line = |a: usize, b: usize| -> Option<[f64; 3]> {
        let (a, b) = (points.get(a)?, points.get(b)?);
        let line: [f64; 3] = std::array::from_fn(|i| f64::from(b[i]) - f64::from(a[i]));
        (line.iter().all(|v| v.is_finite()) && line.iter().any(|v| *v != 0.0)).then_some(line)
    };
    let (across, down) = (line(33, 263)?, line(151, 2)?);
    let out_of_plane = |v: [f64; 3]| v[2].atan2(v[0].hypot(v[1]));
    Some([out_of_plane(across), out_of_plane(down), across[1].atan2(across[0])])
}

/// How a face looks, whoever it is.
struct Appearance {
    sharpness: [f64; 2],
    noise: [f64; 3],
    colour: [f64; 6],
}

/// Of the pixels in the box around the landmarks; `None` where it holds fewer than 16 x 16 of them.
fn appearance(image: &RgbImage, points: &[[f32; 3]]) -> Option<Appearance> {
    let (w, h) = image.dimensions();
    let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
    for p in points {
        for i in 0..2 {
            low[i] = low[i].min(p[i]);
            high[i] = high[i].max(p[i]);
        }
    }
    // `as` saturates: points that are not finite make an empty box.
    let (x0, y0) = (low[0] as u32, low[1] as u32);
    let (x1, y1) = ((high[0] as u32).min(w), (high[1] as u32).min(h));
    if x1.saturating_sub(x0) < 16 || y1.saturating_sub(y0) < 16 {
        return None;
    }
    let size = [(x1 - x0) as usize, (y1 - y0) as usize];
    let mut planes = [(); 3].map(|()| Vec::with_capacity(size[0] * size[1]));
    for y in y0..y1 {
        for x in x0..x1 {
            let [r, g, b] = image.get_pixel(x, y).0.map(f64::from);
            // Rec. ITU-R BT.601.
            let luma = 0.299 * r + 0.587 * g + 0.114 * b;
            planes[0].push(luma);
            planes[1].push(0.564 * (b - luma));
            planes[2].push(0.713 * (r - luma));
        }
    }
    let (laplacian, gradient) = sharpness(&planes[0], size);
    let mut colour = [0.0; 6];
    for (i, plane) in planes.iter().enumerate() {
        let mean = plane.iter().sum::<f64>() / plane.len() as f64;
        let spread = plane.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / plane.len() as f64;
        (colour[i], colour[3 + i]) = (mean, spread.sqrt());
    }
    Some(Appearance {
        sharpness: [(1.0 + laplacian).ln(), (1.0 + gradient).ln()],
        noise: [0, 1, 2].map(|i| noise(&planes[i], size)),
        colour,
    })
}

/// Variance of the Laplacian, and mean square of the gradient (central differences).
fn sharpness(plane: &[f64], [w, h]: [usize; 2]) -> (f64, f64) {
    let (mut sum, mut squares, mut energy) = (0.0, 0.0, 0.0);
    let count = ((w - 2) * (h - 2)) as f64;
    for y in 1..h - 1 {
        for x in 1..w - 1 {
            let i = y * w + x;
            let (left, right, up, down) = (plane[i - 1], plane[i + 1], plane[i - w], plane[i + w]);
            let laplacian = left + right + up + down - 4.0 * plane[i];
            sum += laplacian;
            squares += laplacian * laplacian;
            energy += ((right - left).powi(2) + (down - up).powi(2)) / 4.0;
        }
    }
    (squares / count - (sum / count).powi(2), energy / count)
}

/// Standard deviation of the noise in a plane, in its own unit (Immerkaer, "Fast Noise Variance Estimation", Computer
/// Vision and Image Understanding 64, 1996): the mean size of the answer to a difference of two Laplacians, which the
/// picture itself hardly gives.
fn noise(plane: &[f64], [w, h]: [usize; 2]) -> f64 {
    let mut sum = 0.0;
    for y in 1..h - 1 {
        for x in 1..w - 1 {
            let row =
                |y: usize, a: f64, b: f64| a * plane[y * w + x - 1] + b * plane[y * w + x] + a * plane[y * w + x + 1];
            sum += (row(y - 1, 1.0, -2.0) + row(y, -2.0, 4.0) + row(y + 1, 1.0, -2.0)).abs();
        }
    }
    FRAC_PI_2.sqrt() * sum / (6.0 * ((w - 2) * (h - 2)) as f64)
}

/// The targets of the manifest, each with all rows made of it: those that name it as their `source`, and itself.
pub(super) fn groups(rows: &[Row], chosen: impl Fn(usize) -> bool) -> BTreeMap<String, Vec<usize>> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate().filter(|(i, _)| chosen(*i)) {
        groups.entry(row.source.clone().unwrap_or_else(|| row.video.clone())).or_default().push(i);
    }
    groups
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Points of a face that looks at the camera, turned by yaw (about y), pitch (about x), then roll (about z).
    fn turned(yaw: f64, pitch: f64, roll: f64) -> Vec<[f32; 3]> {
        let mut points = vec![[0.0_f64; 3]; 468];
        (points[33], points[263]) = ([-30.0, 0.0, 0.0], [30.0, 0.0, 0.0]);
        (points[151], points[2]) = ([0.0, -40.0, 0.0], [0.0, 35.0, 0.0]);
        let turn = |[x, y, z]: [f64; 3]| {
            let (x, z) = (x * yaw.cos() - z * yaw.sin(), x * yaw.sin() + z * yaw.cos());
            let (y, z) = (y * pitch.cos() - z * pitch.sin(), y * pitch.sin() + z * pitch.cos());
            [x * roll.cos() - y * roll.sin() + 100.0, x * roll.sin() + y * roll.cos() + 80.0, z]
        };
        points.into_iter().map(|p| turn(p).map(|v| v as f32)).collect()
    }

    #[test]
    fn a_turned_head_gives_back_its_angles() {
        for angles in [[0.4, 0.0, 0.0], [0.0, -0.3, 0.0], [0.0, 0.0, 0.7], [0.5, 0.0, -0.2], [0.0, 0.25, 0.6]] {
            let found = pose(&turned(angles[0], angles[1], angles[2])).unwrap();
            for (found, angle) in found.iter().zip(angles) {
                assert!((found - angle).abs() < 1e-5, "{angles:?}: {found}");
            }
        }
        assert!(pose(&[[0.0; 3]; 468]).is_none());
        assert!(pose(&[[f32::NAN; 3]; 468]).is_none());
        assert!(pose(&[]).is_none());
    }

    /// Twelve uniform numbers each, less six: nearly normal, of deviation 1.
    fn normal(count: usize) -> Vec<f64> {
        let mut state = 1_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0).collect()
    }

    #[test]
    fn noise_is_measured_and_a_slope_is_none() {
        let size = [120, 100];
        let slope: Vec<f64> = (0..12_000).map(|i| 3.0 * (i % 120) as f64 + 2.0 * (i / 120) as f64).collect();
        assert!(noise(&slope, size) < 1e-9);
        for sigma in [0.5, 4.0] {
            let noisy: Vec<f64> = slope.iter().zip(normal(12_000)).map(|(s, n)| s + sigma * n).collect();
            let found = noise(&noisy, size);
            assert!((found / sigma - 1.0).abs() < 0.03, "{sigma}: {found}");
        }
    }

    #[test]
    fn blur_lowers_sharpness() {
        let size = [60, 60];
        let sharp = normal(3600);
        let blurred: Vec<f64> =
            (0..3600).map(|i| (sharp[i] + sharp[(i + 1) % 3600] + sharp[(i + 60) % 3600]) / 3.0).collect();
        let (sharp, blurred) = (sharpness(&sharp, size), sharpness(&blurred, size));
        assert!(blurred.0 < 0.7 * sharp.0 && blurred.1 < 0.7 * sharp.1);
        // White noise of variance 1: the Laplacian's is 1 + 1 + 1 + 1 + 16, the gradient's energy 2 * 2 / 4.
        assert!((sharp.0 / 20.0 - 1.0).abs() < 0.1 && (sharp.1 - 1.0).abs() < 0.1, "{sharp:?}");
    }

    #[test]
    fn the_mask_hides_itself_and_a_block_around() {
        let mut mask = RgbImage::new(100, 60);
        mask.put_pixel(50, 30, image::Rgb([255; 3]));
        let mut hidden = Hidden::nothing(100, 60);
        hidden.add(&mask);
        let mut image = RgbImage::new(100, 60);
        hidden.paint(&mut image);
        for (x, y, pixel) in image.enumerate_pixels() {
            let near = x.abs_diff(50).max(y.abs_diff(30));
            if near <= BLOCK {
                assert_eq!(pixel[0], 128, "{x} {y}");
            }
            if near > 2 * BLOCK {
                assert_eq!(pixel[0], 0, "{x} {y}");
            }
        }
    }
}
