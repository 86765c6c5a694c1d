//! Does anything but the forgery give the fakes away? Classifiers that must not be able to tell.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use dubito_data::clip::Clip;
use dubito_data::manifest::{Label, Row, Status};
use dubito_data::split;
use dubito_face::CropSpec;
use dubito_media::{RgbImage, Tools};
use dubito_nn::{Crops, MemoryCrops, Run, TrainConfig};
use dubito_stats::discrimination::Auroc;
use dubito_stats::weighted::Weighted;
use rayon::prelude::*;
use serde::Serialize;

use crate::StudyError;
use crate::logistic::Logistic;
use crate::progress::{OnProgress, Progress, Step};

/// The range that each AUROC must lie in.
pub const TOLERATED: std::ops::RangeInclusive<f64> = 0.4..=0.6;
/// Pixels around the mask that are hidden too: the side of the encoder's blocks, which carry a change
/// over the edge of the mask.
const BLOCK: u32 = 16;
/// Frames of each video that are looked at.
const FRAMES: usize = 8;
/// Side of the crops that the network is shown.
const SIDE: u32 = 96;

/// One classifier's success.
#[derive(Clone, Debug, Serialize)]
pub struct Shortcut {
    /// What it was shown.
    pub shown: &'static str,
    /// Its AUROC for fake against real (untouched and null controls), pooled over folds; `None` where
    /// one class is missing.
    pub auroc: Option<f64>,
    /// Whether that lies between .4 and .6.
    pub passed: bool,
}

/// What is measured of one output of the forge.
struct Shown {
    row: usize,
    /// Bytes, bit rate, width, height, mean red, green, blue, blur.
    features: [f64; 8],
    /// Crops with all that any generator changed painted grey, `[SIDE, SIDE, 3]` each.
    crops: Vec<u8>,
}

/// Checks what `forge` wrote in `out`: trains, cross-fitted over people, a linear classifier on the
/// file's size and bit rate, the picture's size, mean colour and blur, and a ResNet-18 on the pixels
/// that no generator touched.
///
/// For one target all outputs are shown with the same pixels hidden (the union of their masks, wider
/// by an encoder's block), so that the shape of the mask tells nothing either.
///
/// # Errors
/// Videos or masks that can't be read. That a check did not pass is no error here: see
/// [`Shortcut::passed`].
pub fn check(
    rows: &[Row],
    out: &Path,
    seed: u64,
    tools: &Tools,
    on_progress: OnProgress,
) -> Result<Vec<Shortcut>, StudyError> {
    let rounds = split::rounds(rows)?;
    let step = Step { name: "check", number: 2, of: 2, before: 0.5, share: 0.5 };
    let shown = look(rows, out, tools)?;
    let by_row: BTreeMap<usize, &Shown> = shown.iter().map(|s| (s.row, s)).collect();
    let fake = |i: usize| rows[i].label == Label::Fake;

    let people = crate::crops::people(rows);
    let (mut linear, mut pixels) = (Scores::default(), Scores::default());
    for (k, round) in rounds.iter().enumerate() {
        let item = round.fold.clone();
        if !on_progress(&Progress { step, done: k, total: rounds.len(), item }) {
            return Err(StudyError::stopped());
        }
        let learned: Vec<usize> = round.train.iter().chain(&round.valid).copied().collect();
        let features = |part: &[usize]| part.iter().map(|i| by_row[i].features).collect::<Vec<_>>();
        let there = |part: &[usize]| part.iter().filter(|i| by_row.contains_key(i)).copied().collect::<Vec<_>>();
        let (learned, tested) = (there(&learned), there(&round.test));
        let model = Logistic::fit(&features(&learned), &learned.iter().map(|&i| fake(i)).collect::<Vec<_>>());
        let scores = features(&tested).iter().map(|x| model.probability(x)).collect();
        linear.extend(scores, tested.iter().map(|&i| fake(i)));

        let crops = |part: &[usize]| {
            let part = there(part);
            let bytes: Vec<u8> = part.iter().flat_map(|i| by_row[i].crops.iter().copied()).collect();
            let each = (SIDE * SIDE * 3) as usize;
            let of = |i: &usize| by_row[i].crops.len() / each;
            let classes = part.iter().flat_map(|i| vec![usize::from(fake(*i)); of(i)]).collect();
            let person = |i: usize| people.binary_search(&rows[i].identity.as_str()).unwrap_or(0) as u32;
            let groups = part.iter().flat_map(|i| vec![person(*i); of(i)]).collect();
            MemoryCrops::new(SIDE, bytes, classes, groups)
        };
        let config = TrainConfig {
            epochs: 4,
            seed,
            width: 16,
            freeze: Some("stem".into()),
            class_names: vec!["real".into(), "fake".into()],
            ..TrainConfig::default()
        };
        let folder = out.join("check").join(&round.fold);
        let test = crops(&round.test)?;
        let device = dubito_nn::device("cpu")?;
        dubito_nn::train(&config, &crops(&round.train)?, &crops(&round.valid)?, &folder, &device, &mut |_| {
            ControlFlow::Continue(())
        })?;
        let run = Run::load(&folder)?;
        let posterior = run.posterior(&device)?;
        let mut scores = Vec::new();
        let mut crop = vec![0; (SIDE * SIDE * 3) as usize];
        for start in (0..test.len()).step_by(32) {
            let mut bytes = Vec::new();
            for i in start..test.len().min(start + 32) {
                test.read(i, &mut crop)
                    .map_err(|e| StudyError::Input { message: e.to_string(), hint: String::new() })?;
                bytes.extend_from_slice(&crop);
            }
            let drawn = posterior.draw(run.batch(&bytes, &device)?, 0..8, seed)?.mean_dim(1);
            let drawn: Vec<f32> = drawn.into_data().convert::<f32>().try_to_vec().unwrap_or_default();
            scores.extend(drawn.chunks_exact(2).map(|p| f64::from(p[1])));
        }
        pixels.extend(scores, (0..test.len()).map(|i| test.class(i) == 1));
    }
    on_progress(&Progress { step, done: rounds.len(), total: rounds.len(), item: "done".into() });
    Ok(vec![
        linear.shortcut("size, bit rate, mean colour and blur (linear)"),
        pixels.shortcut("pixels outside the masks (ResNet-18)"),
    ])
}

#[derive(Default)]
struct Scores {
    scores: Vec<f64>,
    fake: Vec<bool>,
}

impl Scores {
    fn extend(&mut self, scores: Vec<f64>, fake: impl Iterator<Item = bool>) {
        self.scores.extend(scores);
        self.fake.extend(fake);
    }

    fn shortcut(&self, shown: &'static str) -> Shortcut {
        let auroc = Auroc::new(&self.scores, &self.fake).value(&vec![1; self.scores.len()]).ok();
        Shortcut { shown, auroc, passed: auroc.is_some_and(|a| TOLERATED.contains(&a)) }
    }
}

/// Reads every output of the forge once, target by target.
fn look(rows: &[Row], out: &Path, tools: &Tools) -> Result<Vec<Shown>, StudyError> {
    let mut by_target: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate().filter(|(_, r)| r.status == Status::Ok) {
        by_target.entry(row.source.as_deref().unwrap_or(&row.video)).or_default().push(i);
    }
    let tracks = tracks(out)?;
    let shown: Vec<Vec<Shown>> = by_target
        .into_par_iter()
        .map(|(name, members)| {
            let track = tracks.get(name).ok_or_else(|| StudyError::Input {
                message: format!("{}: no track of {name}", out.join("tracks").display()),
                hint: "run `dubito forge` again: it makes what is missing".into(),
            })?;
            look_at_target(rows, &members, track, out, tools)
        })
        .collect::<Result<_, StudyError>>()?;
    Ok(shown.into_iter().flatten().collect())
}

/// The face tracks that `forge` kept, by the name of their source.
fn tracks(out: &Path) -> Result<BTreeMap<String, Clip>, StudyError> {
    let folder = out.join("tracks");
    let mut tracks = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).map_err(StudyError::io(&folder))? {
        let track = Clip::read(&entry.map_err(StudyError::io(&folder))?.path())?;
        tracks.insert(track.meta.video.clone(), track);
    }
    Ok(tracks)
}

fn look_at_target(
    rows: &[Row],
    members: &[usize],
    track: &Clip,
    out: &Path,
    tools: &Tools,
) -> Result<Vec<Shown>, StudyError> {
    let n = track.len();
    let frames: Vec<usize> = (0..FRAMES.min(n)).map(|k| k * n / FRAMES.min(n)).collect();
    let read = |path: &str| -> Result<Vec<RgbImage>, StudyError> {
        let video = dubito_media::open(&out.join(path), tools).map_err(dubito_data::DataError::from)?;
        let mut kept = Vec::new();
        for (i, frame) in video.enumerate() {
            let frame = frame.map_err(dubito_data::DataError::from)?;
            if frames.binary_search(&i).is_ok() {
                kept.push(frame.image);
            }
        }
        Ok(kept)
    };
    // All that any output changed, in each frame.
    let mut hidden: Vec<Vec<bool>> = Vec::new();
    for mask in members.iter().filter_map(|&i| rows[i].mask.as_deref()) {
        for (k, image) in read(mask)?.iter().enumerate() {
            if hidden.len() <= k {
                hidden.push(vec![false; image.pixels().len()]);
            }
            for (h, p) in hidden[k].iter_mut().zip(image.pixels()) {
                *h |= p[0] > 127;
            }
        }
    }
    let mut shown = Vec::new();
    for &row in members {
        let images = read(&rows[row].path)?;
        let (mut colour, mut blur, mut crops) = ([0.0; 3], 0.0, Vec::new());
        for (k, image) in images.iter().enumerate() {
            let (c, b) = colour_and_blur(image);
            (0..3).for_each(|i| colour[i] += c[i] / images.len() as f64);
            blur += b / images.len() as f64;
            let mut seen = image.clone();
            if let Some(hidden) = hidden.get(k) {
                paint(&mut seen, hidden);
            }
            let points = track.points(frames[k]).unwrap_or_default();
            if let Ok(aligned) = dubito_face::align(&seen, points, &CropSpec { size: SIDE, margin: 0.8 }) {
                crops.extend_from_slice(aligned.crop.as_raw());
            }
        }
        let r = &rows[row];
        let (bytes, count) = (r.bytes.unwrap_or(0) as f64, f64::from(r.frames.unwrap_or(1).max(1)));
        let size = [r.width, r.height].map(|v| f64::from(v.unwrap_or(0)));
        let features = [bytes, bytes / count, size[0], size[1], colour[0], colour[1], colour[2], blur];
        shown.push(Shown { row, features, crops });
    }
    Ok(shown)
}

/// Paints the hidden pixels grey, and those within a block of them.
fn paint(image: &mut RgbImage, hidden: &[bool]) {
    let (w, h) = image.dimensions();
    let (w, h) = (w as usize, h as usize);
    // Blocks that hold a hidden pixel, on a grid fine enough to widen by about a block.
    let cell = (BLOCK / 2) as usize;
    let (columns, lines) = (w.div_ceil(cell), h.div_ceil(cell));
    let mut touched = vec![false; columns * lines];
    for (i, _) in hidden.iter().enumerate().filter(|(_, h)| **h) {
        touched[i / w / cell * columns + i % w / cell] = true;
    }
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let (cx, cy) = (x as usize / cell, y as usize / cell);
        let near = (cy.saturating_sub(2)..(cy + 3).min(lines))
            .any(|j| (cx.saturating_sub(2)..(cx + 3).min(columns)).any(|i| touched[j * columns + i]));
        if near {
            *pixel = image::Rgb([128; 3]);
        }
    }
}

/// Mean of red, green and blue, and the variance of the Laplacian of the grey picture.
fn colour_and_blur(image: &RgbImage) -> ([f64; 3], f64) {
    let n = image.pixels().len().max(1) as f64;
    let mut colour = [0.0; 3];
    for p in image.pixels() {
        (0..3).for_each(|i| colour[i] += f64::from(p[i]) / n);
    }
    let grey = image::imageops::grayscale(image);
    let (w, h) = grey.dimensions();
    let at = |x: u32, y: u32| f64::from(grey.get_pixel(x, y)[0]);
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
    for y in 1..h.saturating_sub(1) {
        for x in 1..w.saturating_sub(1) {
            let v = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4.0 * at(x, y);
            sum += v;
            squares += v * v;
            count += 1.0;
        }
    }
    let count = f64::max(count, 1.0);
    (colour, squares / count - (sum / count).powi(2))
}
