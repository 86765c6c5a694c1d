//! Whether two files show the same frames, whatever became of them since: compressed again, scaled, trimmed, in another
//! container, at another frame rate, with black bars.
//!
//! A face swap shows what its original shows, but for the face; two talking heads made from one portrait differ in nothing
//! but what they do; portraits in front of one wall are alike to any coarse hash. So frames are compared pixel by pixel, at
//! 96 x 96 pixels of luma, and what counts is the place where they differ most, measured by how much they differ
//! elsewhere: compression changes a picture everywhere a little, a forgery one place much. See [`difference`].
//!
//! Cheap for many files: each is decoded once for its hash, its key frames and a coarse signature; only files of which a
//! frame has the signature of another's key frame are decoded once more, to be compared with that file's key frames.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dubito_media::{MediaKind, RgbImage, Tools, Video};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::DataError;

/// Side of the pictures that are compared.
const SIDE: usize = 96;
/// Side of the neighbourhood over which a difference is averaged.
const NEAR: usize = 9;
/// Key frames held of a video: as many, evenly, up to twice so many less one.
const KEYS: usize = 8;
/// Cells to a side of the coarse signature.
const CELLS: usize = 4;
/// How far two signatures of one frame may be apart in a cell, in levels of 255.
const ALIKE: i16 = 8;
/// Largest [`difference`] of two frames that are one.
pub const SAME_FRAME: f32 = 0.9;
/// Most that one frame may differ from itself in one place, in levels of 255, averaged over [`NEAR`] x [`NEAR`] pixels. What
/// compression spoils more than that (CRF 35 at half the size) can't be told from another fake of the same picture.
const SPOILED: f32 = 4.0;
/// Share of a file's key frames that must be found in the other, in their order and at their distances.
const SAME_VIDEO: f32 = 0.75;
/// How far, in seconds, a frame may be from where the others say that it is: three frames of 25 a second.
const APART: f64 = 0.12;

/// The revision of the measure: what was kept of another one is looked at again.
const REVISION: u32 = 1;

/// A frame without colour and black bars, at one size.
#[derive(Clone)]
struct Small(Vec<u8>);

/// The mean of each cell of a frame.
type Signature = [i16; CELLS * CELLS];

// As hexadecimal text: two letters a pixel.
impl Serialize for Small {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0.iter().map(|v| format!("{v:02x}")).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Small {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
        let bytes: Option<Vec<u8>> = bytes.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect();
        let bytes = bytes.filter(|bytes| bytes.len() == SIDE * SIDE);
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("no picture of this size"))
    }
}

impl Small {
    fn of(image: &RgbImage) -> Option<Self> {
        let grey = image::imageops::grayscale(image);
        let (width, height) = grey.dimensions();
        let is_black = |x: u32, y: u32| grey.get_pixel(x, y)[0] <= 32;
        let row = |y: u32| (0..width).all(|x| is_black(x, y));
        let column = |x: u32| (0..height).all(|y| is_black(x, y));
        // Bars lie on two sides, alike but for a few pixels; a dark picture has none.
        let bars = |size: u32, dark: &dyn Fn(u32) -> bool| {
            let (near, far) =
                ((0..size).take_while(|&i| dark(i)).count(), (0..size).rev().take_while(|&i| dark(i)).count());
            let is_bar = near.abs_diff(far) <= 2 + size as usize / 50 && near + far <= size as usize * 7 / 10;
            if is_bar { (near as f64, (size as usize - near - far) as f64) } else { (0.0, f64::from(size)) }
        };
        let ((top, high), (left, wide)) = (bars(height, &row), bars(width, &column));
        let source = ImageRef::new(width, height, grey.as_raw(), PixelType::U8).ok()?;
        let mut small = Image::new(SIDE as u32, SIDE as u32, PixelType::U8);
        let options =
            ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(left, top, wide, high);
        Resizer::new().resize(&source, &mut small, &options).ok()?;
        Some(Self(small.into_vec()))
    }

    fn signature(&self) -> Signature {
        let mut sums = [0_u32; CELLS * CELLS];
        for (i, &value) in self.0.iter().enumerate() {
            let (y, x) = (i / SIDE, i % SIDE);
            sums[y * CELLS / SIDE * CELLS + x * CELLS / SIDE] += u32::from(value);
        }
        let cell = (SIDE / CELLS).pow(2) as u32;
        sums.map(|sum| (sum / cell) as i16)
    }
}

/// Whether two frames may be one.
fn alike(a: &Signature, b: &Signature) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= ALIKE)
}

/// How much two frames differ, as compression does not: the largest difference of luma averaged over 9 x 9 of 96 x 96 pixels,
/// divided by one level more than the difference that nine tenths of all pixels stay below. Brightness and contrast are
/// brought together first, within 15 percent. 0 for the same picture; infinite where that place differs by more than 4 levels.
fn difference(a: &Small, b: &Small) -> f32 {
    const COUNT: f32 = (SIDE * SIDE) as f32;
    let mean = |of: &Small| of.0.iter().map(|&v| f32::from(v)).sum::<f32>() / COUNT;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut both, mut own) = (0.0_f32, 0.0_f32);
    for (&a, &b) in a.0.iter().zip(&b.0) {
        let (a, b) = (f32::from(a) - mean_a, f32::from(b) - mean_b);
        both += a * b;
        own += a * a;
    }
    let gain = (both / own.max(COUNT)).clamp(0.85, 1.18);
    let apart: Vec<f32> =
        a.0.iter().zip(&b.0).map(|(&a, &b)| f32::from(b) - mean_b - gain * (f32::from(a) - mean_a)).collect();
    let mut sizes: Vec<f32> = apart.iter().map(|d| d.abs()).collect();
    let tenth = SIDE * SIDE * 9 / 10;
    let (_, &mut most, _) = sizes.select_nth_unstable_by(tenth, f32::total_cmp);
    let peak = peak(&apart);
    // Two other pictures altogether differ in no one place.
    if peak > SPOILED { f32::INFINITY } else { peak / (1.0 + most) }
}

/// The largest absolute mean over [`NEAR`] x [`NEAR`] pixels.
fn peak(apart: &[f32]) -> f32 {
    // Sums over all that lies above and to the left.
    let side = SIDE + 1;
    let mut sums = vec![0.0_f64; side * side];
    for y in 0..SIDE {
        let mut row = 0.0;
        for x in 0..SIDE {
            row += f64::from(apart[y * SIDE + x]);
            sums[(y + 1) * side + x + 1] = sums[y * side + x + 1] + row;
        }
    }
    let mut largest = 0.0_f64;
    for y in 0..=SIDE - NEAR {
        for x in 0..=SIDE - NEAR {
            let at = |y: usize, x: usize| sums[y * side + x];
            let sum = at(y + NEAR, x + NEAR) - at(y, x + NEAR) - at(y + NEAR, x) + at(y, x);
            largest = largest.max(sum.abs());
        }
    }
    (largest / (NEAR * NEAR) as f64) as f32
}

/// A frame by which a file is known.
#[derive(Serialize, Deserialize)]
struct Key {
    time: f64,
    small: Small,
    signature: Signature,
}

/// What is kept of a file.
#[derive(Serialize, Deserialize)]
struct Sketch {
    blake3: String,
    is_picture: bool,
    keys: Vec<Key>,
    /// Of its frames, one of a few.
    signatures: Vec<Signature>,
}

/// Frames between two of which the signature is kept.
const STRIDE: usize = 3;

/// A video's frames, small, with their times, until it ends or breaks.
fn frames(video: Video) -> impl Iterator<Item = (f64, Small)> {
    video.map_while(Result::ok).filter_map(|frame| Some((frame.timestamp, Small::of(&frame.image)?)))
}

/// What is known of a file; nothing where it can't be decoded.
fn sketch(path: &Path, tools: &Tools) -> Option<Sketch> {
    let video = dubito_media::open(path, tools).ok()?;
    let blake3 = video.provenance().blake3.clone();
    let is_picture = video.info().kind == MediaKind::Picture;
    let (mut keys, mut signatures, mut step) = (Vec::new(), Vec::new(), 1);
    for (i, (time, small)) in frames(video).enumerate() {
        let signature = small.signature();
        if i % STRIDE == 0 {
            signatures.push(signature);
        }
        if i % step == 0 {
            keys.push(Key { time, small, signature });
            if keys.len() == 2 * KEYS {
                step *= 2;
                let mut k = 0;
                keys.retain(|_| {
                    k += 1;
                    k % 2 == 1
                });
            }
        }
    }
    (!keys.is_empty()).then_some(Sketch { blake3, is_picture, keys, signatures })
}

/// For each file the first file before it that shows the same frames, if any: the same bytes, or three quarters of the key
/// frames of the one are in the other (a [`difference`] of at most [`SAME_FRAME`]), in their order and at their distances
/// in time, which may all be longer or shorter. A picture and a video are never the same. Files that can't be decoded are
/// like no other.
///
/// What is seen of each file is written into the folder `kept`, so that a run that is stopped goes on; at the end only the
/// answer is left there, for the same files (by name, length and time of change).
///
/// # Errors
/// `kept` can't be written to.
pub fn same_frames(files: &[PathBuf], kept: Option<&Path>, tools: &Tools) -> Result<Vec<Option<usize>>, DataError> {
    let Some(kept) = kept else { return Ok(originals(files.len(), distances(files, None, tools)?)) };
    let all: Vec<String> = files.iter().map(|path| stamp(path)).collect();
    let answer = kept.join(format!("{}.json", &blake3::hash(all.join("\n").as_bytes()).to_hex()[..32]));
    let known = std::fs::read(&answer).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(known) = known.filter(|known: &Vec<Option<usize>>| known.len() == files.len()) {
        return Ok(known);
    }
    let parts = kept.join("parts");
    dubito_media::temporary::sweep(&parts);
    let found = originals(files.len(), distances(files, Some(&parts), tools)?);
    crate::write_atomically(&answer, &serde_json::to_vec(&found).unwrap_or_default())?;
    // Another process may be at it, too.
    let _ = std::fs::remove_dir_all(&parts);
    Ok(found)
}

/// What tells whether a file has changed.
fn stamp(path: &Path) -> String {
    let metadata = std::fs::metadata(path).ok();
    let changed = metadata.as_ref().and_then(|m| m.modified().ok());
    let changed = changed.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()).map(|time| time.as_nanos());
    format!("{REVISION} {} {:?} {changed:?}", path.display(), metadata.map(|m| m.len()))
}

/// What `make` gives, kept at `parts/NAME-KIND` by the hash of `of`; made once.
fn once<T: Serialize + DeserializeOwned>(
    parts: Option<&Path>,
    kind: &str,
    of: &str,
    make: impl FnOnce() -> T,
) -> Result<T, DataError> {
    let Some(parts) = parts else { return Ok(make()) };
    let path = parts.join(format!("{}-{kind}.json", &blake3::hash(of.as_bytes()).to_hex()[..32]));
    if let Some(known) = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        return Ok(known);
    }
    let made = make();
    crate::write_atomically(&path, &serde_json::to_vec(&made).unwrap_or_default())?;
    Ok(made)
}

/// The first file that each is a copy of, by the distances of pairs.
fn originals(count: usize, distances: BTreeMap<(usize, usize), f32>) -> Vec<Option<usize>> {
    let mut original: Vec<Option<usize>> = vec![None; count];
    for ((a, b), distance) in distances {
        // In the order of the first of both: whether that is itself a copy is known before it is looked at.
        if distance <= SAME_FRAME && original[a].is_none() && original[b].is_none() {
            original[b] = Some(a);
        }
    }
    original
}

/// How far two files are from showing the same frames, for all pairs (by their places, the smaller one first) that are
/// worth a look: the smallest [`difference`] with which three quarters of the key frames of either are found in the
/// other, in their order and at their distances; 0 for equal bytes, infinite where there is none. `parts` is where what
/// was seen is kept.
///
/// # Errors
/// `parts` can't be written to.
pub fn distances(
    files: &[PathBuf],
    parts: Option<&Path>,
    tools: &Tools,
) -> Result<BTreeMap<(usize, usize), f32>, DataError> {
    let sketches: Vec<Option<Sketch>> = files
        .par_iter()
        .with_max_len(1)
        .map(|path| once(parts, "seen", &stamp(path), || sketch(path, tools)))
        .collect::<Result<_, DataError>>()?;
    let pairs = candidates(&sketches);
    let mut distances: BTreeMap<(usize, usize), f32> = BTreeMap::new();
    for (pair, distance) in pairs.iter().zip(compare(files, &sketches, &pairs, parts, tools)?) {
        let least = distances.entry((pair.0.min(pair.1), pair.0.max(pair.1))).or_insert(f32::INFINITY);
        *least = least.min(distance);
    }
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, sketch) in sketches.iter().enumerate().filter_map(|(i, s)| Some((i, s.as_ref()?))) {
        let twin = *first.entry(&sketch.blake3).or_insert(i);
        if twin != i {
            distances.insert((twin, i), 0.0);
        }
    }
    Ok(distances)
}

/// Pairs of files (by their places), sorted: of the first a frame looks like a key frame of the second.
fn candidates(sketches: &[Option<Sketch>]) -> Vec<(usize, usize)> {
    // Frames in the order of their mean, near which alone a key frame can have its like.
    let mean = |s: &Signature| s.iter().sum::<i16>();
    let mut all: Vec<(i16, usize, &Signature)> = Vec::new();
    for (i, sketch) in sketches.iter().enumerate() {
        all.extend(sketch.iter().flat_map(|s| &s.signatures).map(|s| (mean(s), i, s)));
    }
    all.sort_unstable();
    let reach = ALIKE * (CELLS * CELLS) as i16;
    let mut pairs: Vec<(usize, usize)> = sketches
        .par_iter()
        .enumerate()
        .flat_map_iter(|(a, sketch)| {
            let mut like = std::collections::BTreeSet::new();
            for key in sketch.iter().flat_map(|s| &s.keys) {
                let from = all.partition_point(|(m, ..)| *m < mean(&key.signature) - reach);
                let near = all[from..].iter().take_while(|(m, ..)| *m <= mean(&key.signature) + reach);
                like.extend(near.filter(|(_, b, s)| *b != a && alike(&key.signature, s)).map(|(_, b, _)| *b));
            }
            let kind = |i: usize| sketches[i].as_ref().map(|s| s.is_picture);
            like.into_iter().filter(move |&b| kind(b) == kind(a)).map(move |b| (b, a))
        })
        .collect();
    pairs.sort_unstable();
    pairs
}

/// For each pair the smallest difference with which enough key frames of the second are in the first, see [`fit`].
/// `pairs` are sorted, so that each file is decoded once.
fn compare(
    files: &[PathBuf],
    sketches: &[Option<Sketch>],
    pairs: &[(usize, usize)],
    parts: Option<&Path>,
    tools: &Tools,
) -> Result<Vec<f32>, DataError> {
    let groups: Vec<&[(usize, usize)]> = pairs.chunk_by(|x, y| x.0 == y.0).collect();
    let compared: Vec<Vec<Option<f32>>> = groups
        .par_iter()
        .with_max_len(1)
        .map(|group| {
            let stamps: Vec<String> = group.iter().flat_map(|(b, a)| [stamp(&files[*b]), stamp(&files[*a])]).collect();
            once(parts, "compared", &stamps.join("\n"), || look_for(group, files, sketches, tools))
        })
        .collect::<Result<_, DataError>>()?;
    Ok(compared.into_iter().flatten().map(|found| found.unwrap_or(f32::INFINITY)).collect())
}

/// Of pairs with one first file: how unlike the second's key frames are in it, if they are there at all.
fn look_for(
    group: &[(usize, usize)],
    files: &[PathBuf],
    sketches: &[Option<Sketch>],
    tools: &Tools,
) -> Vec<Option<f32>> {
    let keys: Vec<&[Key]> = group.iter().map(|(_, a)| sketches[*a].as_ref().map_or(&[][..], |s| &s.keys)).collect();
    // Of each key frame of each file: when it was seen, and how unlike.
    let mut seen: Vec<Vec<Vec<(f64, f32)>>> = keys.iter().map(|keys| vec![Vec::new(); keys.len()]).collect();
    let mut look = |time: f64, small: &Small| {
        let signature = small.signature();
        for (keys, seen) in keys.iter().zip(&mut seen) {
            for (key, seen) in keys.iter().zip(seen) {
                if alike(&key.signature, &signature) {
                    let difference = difference(&key.small, small);
                    if difference.is_finite() {
                        seen.push((time, difference));
                    }
                }
            }
        }
    };
    match &sketches[group[0].0] {
        // All its frames are here.
        Some(own) if own.is_picture => own.keys.iter().for_each(|key| look(key.time, &key.small)),
        Some(_) => {
            let video = dubito_media::open(&files[group[0].0], tools);
            video.into_iter().flat_map(frames).for_each(|(time, small)| look(time, &small));
        }
        None => {}
    }
    let times = keys.iter().map(|keys| keys.iter().map(|key| key.time).collect::<Vec<f64>>());
    times.zip(&seen).map(|(times, seen)| Some(fit(&times, seen)).filter(|found| found.is_finite())).collect()
}

/// The smallest difference with which [`SAME_VIDEO`] of the key frames, at their `times`, were `seen` along one line: at
/// a time that is a straight function of theirs, of any offset and of a slope from .4 to 2.5.
fn fit(times: &[f64], seen: &[Vec<(f64, f32)>]) -> f32 {
    /// Lines that are tried go through the best of each key frame's likes.
    const TRIED: usize = 6;
    let needed = (times.len() as f32 * SAME_VIDEO).ceil() as usize;
    let best = |likes: &[(f64, f32)]| {
        let mut likes = likes.to_vec();
        likes.sort_by(|a, b| a.1.total_cmp(&b.1));
        likes.truncate(TRIED);
        likes
    };
    let tops: Vec<Vec<(f64, f32)>> = seen.iter().map(|likes| best(likes)).collect();
    let mut lines: Vec<(f64, f64)> = Vec::new();
    for (i, top) in tops.iter().enumerate() {
        lines.extend(top.iter().map(|(time, _)| (1.0, time - times[i])));
        for (j, later) in tops.iter().enumerate().skip(i + 1 + times.len() / 3) {
            for (t, _) in top.iter().take(2) {
                for (u, _) in later.iter().take(2) {
                    let slope = (u - t) / (times[j] - times[i]);
                    if (0.4..=2.5).contains(&slope) {
                        lines.push((slope, t - slope * times[i]));
                    }
                }
            }
        }
    }
    let along = |(slope, offset): (f64, f64)| {
        let mut found: Vec<f32> = times
            .iter()
            .zip(seen)
            .filter_map(|(time, likes)| {
                let there = likes.iter().filter(|(t, _)| (slope * time + offset - t).abs() <= APART);
                there.map(|(_, difference)| *difference).min_by(f32::total_cmp)
            })
            .collect();
        found.sort_by(f32::total_cmp);
        found.get(needed.saturating_sub(1)).copied().unwrap_or(f32::INFINITY)
    };
    lines.into_iter().map(along).fold(f32::INFINITY, f32::min)
}
