//! Whether two files show the same frames, whatever became of them since: compressed again, scaled, trimmed, in another
//! container, at another frame rate, with black bars.
//!
//! A face swap shows what its original shows, but for the face; two talking heads made from one portrait differ in nothing
//! but what they do; portraits in front of one wall are alike to any coarse hash. So frames are compared pixel by pixel, at
//! 96 x 96 pixels of luma, and what counts is the place where they differ most, measured by how much they differ
//! elsewhere: compression changes a picture a little everywhere, a forgery rather one place. See [`difference`]; how far copies
//! and other pairs of files were found to be apart is in docs/DATA.md.
//!
//! Cheap for many files: each is decoded once, for its hash, its key frames and the ranges of its coarse signatures, which is
//! about one kilobyte. Only files of which a frame may have the signature of another's key frame are decoded once more, to be
//! compared with that file's key frames, whose pictures are kept on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use dubito_media::{MediaError, MediaKind, RgbImage, Tools};
use dubito_resize::{FilterType, ResizeAlg, ResizeOptions};
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// Side of the pictures that are compared.
const SIDE: usize = 96;
/// Side of the neighbourhood over which a difference is averaged.
const NEAR: usize = 9;
/// Key frames held of a video: as many, evenly, up to twice so many less one.
const KEYS: usize = 8;
/// Cells to a side of the coarse signature.
const CELLS: usize = 4;
/// Runs of frames whose signatures are held together: as many up to twice so many.
const RUNS: usize = 8;
/// How far two signatures of one frame may be apart in a cell, in levels of 255.
const ALIKE: u8 = 8;
/// Largest [`difference`] of two frames that are one.
pub const SAME_FRAME: f32 = 0.9;
/// Most that one frame may differ from itself in one place, in levels of 255, averaged over [`NEAR`] x [`NEAR`] pixels. What
/// compression spoils more than that is not told from another fake of the same picture.
const SPOILED: f32 = 4.0;
/// Share of a file's key frames that must be found in the other, in their order and at their distances.
const SAME_VIDEO: f32 = 0.75;
/// How far, in seconds, a frame may be from where the others say that it is: three frames of 25 a second.
const APART: f64 = 0.12;

/// Files that one file is compared with at a time: the pictures of so many are in memory.
const AT_ONCE: usize = 64;

/// The revision of the measure and of what is kept: what was kept of another one is looked at again.
const REVISION: u32 = 2;

/// A frame without colour and black bars, at one size.
#[derive(Clone, Debug, PartialEq)]
struct Small(Vec<u8>);

/// The mean of each cell of a frame.
type Signature = [u8; CELLS * CELLS];

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
        let options =
            ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(left, top, wide, high);
        let side = SIDE as u32;
        dubito_resize::grey(grey.as_raw(), (width, height), (side, side), &options).map(Self)
    }

    fn signature(&self) -> Signature {
        let mut sums = [0_u32; CELLS * CELLS];
        for (i, &value) in self.0.iter().enumerate() {
            let (y, x) = (i / SIDE, i % SIDE);
            sums[y * CELLS / SIDE * CELLS + x * CELLS / SIDE] += u32::from(value);
        }
        let cell = (SIDE / CELLS).pow(2) as u32;
        sums.map(|sum| (sum / cell) as u8)
    }
}

/// Whether two frames may be one.
fn alike(a: &Signature, b: &Signature) -> bool {
    a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= ALIKE)
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

/// The least and the largest signature, cell by cell, of some frames.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Range {
    least: Signature,
    most: Signature,
}

impl Range {
    fn of(signature: Signature) -> Self {
        Self { least: signature, most: signature }
    }

    fn with(self, other: Self) -> Self {
        let each = |f: fn(u8, u8) -> u8, a: Signature, b: Signature| std::array::from_fn(|i| f(a[i], b[i]));
        Self { least: each(u8::min, self.least, other.least), most: each(u8::max, self.most, other.most) }
    }

    /// The signatures that are [`alike`] to one in it are in this one.
    fn widened(self) -> Self {
        Self { least: self.least.map(|v| v.saturating_sub(ALIKE)), most: self.most.map(|v| v.saturating_add(ALIKE)) }
    }

    fn meets(&self, other: &Self) -> bool {
        (0..CELLS * CELLS).all(|i| self.least[i] <= other.most[i] && other.least[i] <= self.most[i])
    }
}

/// The signatures of all frames of a file, in [`RUNS`] to twice as many runs of equal length.
struct Runs {
    ranges: Vec<Range>,
    length: usize,
    frames: usize,
}

impl Runs {
    fn new() -> Self {
        Self { ranges: Vec::new(), length: 1, frames: 0 }
    }

    fn push(&mut self, signature: Signature) {
        let range = Range::of(signature);
        if self.frames.is_multiple_of(self.length) {
            if self.ranges.len() == 2 * RUNS {
                self.ranges = self.ranges.chunks(2).map(|pair| pair[0].with(pair[1])).collect();
                self.length *= 2;
            }
            self.ranges.push(range);
        } else if let Some(last) = self.ranges.last_mut() {
            *last = last.with(range);
        }
        self.frames += 1;
    }
}

/// Key frames by their signatures: a tree, each node of which is halved by the cell in which its signatures differ most.
struct Index {
    keys: Vec<(Signature, usize)>,
    /// The range of each node: of node n those of its halves are at 2n and 2n + 1.
    ranges: Vec<Option<Range>>,
}

impl Index {
    /// Keys of a node that is not halved.
    const LEAF: usize = 16;

    /// Of signatures, each with the place of its file.
    fn new(mut keys: Vec<(Signature, usize)>) -> Self {
        let mut ranges = Vec::new();
        Self::halve(&mut keys, 1, &mut ranges);
        Self { keys, ranges }
    }

    fn halve(keys: &mut [(Signature, usize)], node: usize, ranges: &mut Vec<Option<Range>>) {
        let Some(range) = keys.iter().map(|(signature, _)| Range::of(*signature)).reduce(Range::with) else { return };
        ranges.resize(ranges.len().max(node + 1), None);
        ranges[node] = Some(range);
        if keys.len() <= Self::LEAF {
            return;
        }
        let cell = (0..CELLS * CELLS).max_by_key(|&i| range.most[i] - range.least[i]).unwrap_or(0);
        let middle = keys.len() / 2;
        keys.select_nth_unstable_by_key(middle, |(signature, _)| signature[cell]);
        let (below, above) = keys.split_at_mut(middle);
        Self::halve(below, 2 * node, ranges);
        Self::halve(above, 2 * node + 1, ranges);
    }

    /// Adds to `found` the files of which a key frame is in `range`.
    fn find(&self, range: &Range, found: &mut BTreeSet<usize>) {
        self.find_in(range, 1, &self.keys, found);
    }

    fn find_in(&self, range: &Range, node: usize, keys: &[(Signature, usize)], found: &mut BTreeSet<usize>) {
        if !self.ranges.get(node).copied().flatten().is_some_and(|own| own.meets(range)) {
            return;
        }
        if keys.len() <= Self::LEAF {
            let there = keys.iter().filter(|(signature, _)| Range::of(*signature).meets(range));
            found.extend(there.map(|(_, file)| *file));
            return;
        }
        let (below, above) = keys.split_at(keys.len() / 2);
        self.find_in(range, 2 * node, below, found);
        self.find_in(range, 2 * node + 1, above, found);
    }
}

/// A frame by which a file is known; its picture is kept on disk.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Key {
    time: f64,
    signature: Signature,
}

/// What is held of a file.
#[derive(Serialize, Deserialize)]
struct Sketch {
    blake3: String,
    is_picture: bool,
    keys: Vec<Key>,
    /// The signatures of its [`Runs`].
    ranges: Vec<Range>,
}

/// How unlike the key frames of some files are in another one.
#[derive(Serialize, Deserialize)]
struct Compared {
    /// Which files: the hash of their stamps.
    with: String,
    /// In their order; none where they are not there.
    found: Vec<Option<f32>>,
}

/// For each file the first file that shows the same frames, if that is another one: the same bytes, or three quarters of the key
/// frames of the one are in the other (a [`difference`] of at most [`SAME_FRAME`]), in their order and at their distances
/// in time, which may all be longer or shorter; or both show the same frames as a third file does. A picture and a video are
/// never the same. Files that can't be decoded are like no other.
///
/// What is seen of each file is written into the folder `kept`, so that a run that is stopped goes on; at the end only the
/// answer is left there, for the same files (by name, length and time of change) and the same decoder. Where a decoder was
/// missing or was stopped, there is no answer to keep: what was seen stays, and the next run looks at the rest again. Several
/// runs may work in one folder.
///
/// # Errors
/// `kept` can't be written to.
pub fn same_frames(files: &[PathBuf], kept: Option<&Path>, tools: &Tools) -> Result<Vec<Option<usize>>, DataError> {
    let Some(kept) = kept else { return Ok(originals(files.len(), &distances(files, None, tools)?)) };
    let parts = kept.join("parts");
    let work = Work::new(files, Some(&parts), tools);
    let answer = kept.join(format!("{}.json", short_hash(&work.stamps.join("\n"))));
    let known = std::fs::read(&answer).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(known) = known.filter(|known: &Vec<Option<usize>>| known.len() == files.len()) {
        return Ok(known);
    }
    dubito_media::temporary::sweep(&parts);
    let found = originals(files.len(), &work.distances()?);
    if !work.is_unsure.load(Ordering::Relaxed) {
        crate::write_atomically(&answer, &serde_json::to_vec(&found).unwrap_or_default())?;
        work.remove_parts();
    }
    Ok(found)
}

/// How far two files are from showing the same frames, for all pairs (by their places, the smaller one first) of which it
/// is finite: the smallest [`difference`] with which three quarters of the key frames of either are found in the
/// other, in their order and at their distances; 0 for equal bytes. `parts` is a folder where what was seen is kept; without
/// one files are decoded again whenever they are compared.
///
/// # Errors
/// `parts` can't be written to.
pub fn distances(
    files: &[PathBuf],
    parts: Option<&Path>,
    tools: &Tools,
) -> Result<BTreeMap<(usize, usize), f32>, DataError> {
    Work::new(files, parts, tools).distances()
}

/// The first file that each is joined with, directly or over others, by the distances of pairs.
fn originals(count: usize, distances: &BTreeMap<(usize, usize), f32>) -> Vec<Option<usize>> {
    fn first_of(first: &mut [usize], mut i: usize) -> usize {
        while first[i] != i {
            first[i] = first[first[i]];
            i = first[i];
        }
        i
    }
    let mut first: Vec<usize> = (0..count).collect();
    for ((a, b), _) in distances.iter().filter(|(_, distance)| **distance <= SAME_FRAME) {
        let (a, b) = (first_of(&mut first, *a), first_of(&mut first, *b));
        first[a.max(b)] = a.min(b);
    }
    (0..count).map(|i| Some(first_of(&mut first, i)).filter(|original| *original != i)).collect()
}

fn short_hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
}

/// Whether an error comes of the file itself: any run with this decoder would end with it.
fn is_of_the_file(error: &MediaError) -> bool {
    match error {
        MediaError::Unsupported { decoder, .. } => decoder == "image",
        MediaError::ToolMissing { .. }
        | MediaError::Tool { .. }
        | MediaError::Killed { .. }
        | MediaError::Timeout { .. }
        | MediaError::NotFound { .. }
        | MediaError::NoPermission { .. }
        | MediaError::Io { .. } => false,
        _ => true,
    }
}

/// Files that are compared, and where what is seen of them is kept.
struct Work<'a> {
    files: &'a [PathBuf],
    /// What tells whether a file, or what decodes it, has changed: the hash of it.
    stamps: Vec<String>,
    parts: Option<&'a Path>,
    tools: &'a Tools,
    /// Whether a decoder was missing or was stopped, so that another run may see more.
    is_unsure: AtomicBool,
}

impl<'a> Work<'a> {
    fn new(files: &'a [PathBuf], parts: Option<&'a Path>, tools: &'a Tools) -> Self {
        let decoder = tools.decoder();
        let stamp = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok();
            let changed = metadata.as_ref().and_then(|m| m.modified().ok());
            let changed = changed.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
            let changed = changed.map(|time| time.as_nanos());
            short_hash(&format!("{REVISION} {decoder} {} {:?} {changed:?}", path.display(), metadata.map(|m| m.len())))
        };
        Self { files, stamps: files.iter().map(stamp).collect(), parts, tools, is_unsure: AtomicBool::new(false) }
    }

    /// Where a part of what was seen of a file is kept.
    fn part(&self, file: usize, kind: &str) -> Option<PathBuf> {
        Some(self.parts?.join(format!("{}-{kind}", self.stamps[file])))
    }

    fn recall<T: DeserializeOwned>(&self, file: usize, kind: &str) -> Option<T> {
        serde_json::from_slice(&std::fs::read(self.part(file, kind)?).ok()?).ok()
    }

    fn keep(&self, file: usize, kind: &str, bytes: &[u8]) -> Result<(), DataError> {
        self.part(file, kind).map_or(Ok(()), |path| crate::write_atomically(&path, bytes))
    }

    /// Removes what this run has kept. Another one may be at it, too: what it misses it makes again, and what it writes stays.
    fn remove_parts(&self) {
        for file in 0..self.files.len() {
            for kind in [SEEN, PICTURES, COMPARED] {
                self.part(file, kind).map(std::fs::remove_file);
            }
        }
        // Only where nothing is left in it.
        self.parts.map(std::fs::remove_dir);
    }

    fn distances(&self) -> Result<BTreeMap<(usize, usize), f32>, DataError> {
        let all = 0..self.files.len();
        let mut sketches: Vec<Option<Sketch>> = all
            .clone()
            .into_par_iter()
            .with_max_len(1)
            .map(|file| self.sketch(file))
            .collect::<Result<_, DataError>>()?;
        let mut distances: BTreeMap<(usize, usize), f32> = BTreeMap::new();
        let mut first: BTreeMap<String, usize> = BTreeMap::new();
        for (i, sketch) in sketches.iter_mut().enumerate() {
            let Some(blake3) = sketch.as_ref().map(|sketch| sketch.blake3.clone()) else { continue };
            let twin = *first.entry(blake3).or_insert(i);
            if twin != i {
                distances.insert((twin, i), 0.0);
                // What is like the one is like the other.
                *sketch = None;
            }
        }
        drop(first);
        let keys = |(i, sketch): (usize, &Option<Sketch>)| {
            sketch.iter().flat_map(|sketch| &sketch.keys).map(move |key| (key.signature, i)).collect::<Vec<_>>()
        };
        let index = Index::new(sketches.iter().enumerate().flat_map(keys).collect());
        let found: Vec<Vec<(usize, f32)>> = all
            .into_par_iter()
            .with_max_len(1)
            .map(|file| self.compare(file, &sketches, &index))
            .collect::<Result<_, DataError>>()?;
        for (file, found) in found.into_iter().enumerate() {
            for (other, distance) in found {
                let least = distances.entry((file.min(other), file.max(other))).or_insert(f32::INFINITY);
                *least = least.min(distance);
            }
        }
        Ok(distances)
    }

    /// Gives the frames of a file, small, with their times, to `take`, until it ends or breaks. Returns its hash and whether it
    /// is a picture, if it can be opened, and whether the file alone is the reason why there are no more frames.
    fn decode(&self, file: usize, mut take: impl FnMut(f64, Small)) -> (Option<(String, bool)>, bool) {
        let mut known = None;
        let error = match dubito_media::open(&self.files[file], self.tools) {
            Ok(mut video) => {
                known = Some((video.provenance().blake3.clone(), video.info().kind == MediaKind::Picture));
                video.find_map(|frame| match frame {
                    Ok(frame) => {
                        if let Some(small) = Small::of(&frame.image) {
                            take(frame.timestamp, small);
                        }
                        None
                    }
                    Err(error) => Some(error),
                })
            }
            Err(error) => Some(error),
        };
        let is_all = error.as_ref().is_none_or(is_of_the_file);
        if !is_all {
            self.is_unsure.store(true, Ordering::Relaxed);
        }
        (known, is_all)
    }

    /// What is known of a file, with the pictures of its key frames, and whether the file alone is the reason why it is not
    /// more; nothing where not one frame is decoded.
    fn look_at(&self, file: usize) -> Option<(Sketch, Vec<Small>, bool)> {
        let (mut keys, mut runs) = (Vec::<(Key, Small)>::new(), Runs::new());
        let (mut frames, mut step) = (0_usize, 1);
        let (known, is_all) = self.decode(file, |time, small| {
            let signature = small.signature();
            runs.push(signature);
            if frames.is_multiple_of(step) {
                keys.push((Key { time, signature }, small));
                if keys.len() == 2 * KEYS {
                    step *= 2;
                    let mut k = 0;
                    keys.retain(|_| {
                        k += 1;
                        k % 2 == 1
                    });
                }
            }
            frames += 1;
        });
        let (blake3, is_picture) = known.filter(|_| !keys.is_empty())?;
        let (keys, pictures) = keys.into_iter().unzip();
        Some((Sketch { blake3, is_picture, keys, ranges: runs.ranges }, pictures, is_all))
    }

    /// What is known of a file: what was kept, else what is seen, which is kept then.
    fn sketch(&self, file: usize) -> Result<Option<Sketch>, DataError> {
        if let Some(known) = self.recall(file, SEEN) {
            return Ok(Some(known));
        }
        let Some((sketch, pictures, is_all)) = self.look_at(file) else { return Ok(None) };
        if is_all {
            self.keep_pictures(file, &pictures)?;
            self.keep(file, SEEN, &serde_json::to_vec(&sketch).unwrap_or_default())?;
        }
        Ok(Some(sketch))
    }

    fn keep_pictures(&self, file: usize, pictures: &[Small]) -> Result<(), DataError> {
        let bytes: Vec<u8> = pictures.iter().flat_map(|small| &small.0).copied().collect();
        self.keep(file, PICTURES, &bytes)
    }

    /// The pictures of a file's key frames, of which there are `count`: those kept, else by another look at it. None where
    /// the file is no longer what it was.
    fn pictures(&self, file: usize, count: usize) -> Result<Vec<Small>, DataError> {
        let kept = self.part(file, PICTURES).and_then(|path| std::fs::read(path).ok());
        if let Some(bytes) = kept.filter(|bytes| bytes.len() == count * SIDE * SIDE) {
            return Ok(bytes.chunks_exact(SIDE * SIDE).map(|small| Small(small.to_vec())).collect());
        }
        match self.look_at(file) {
            Some((_, pictures, is_all)) if pictures.len() == count => {
                if is_all {
                    self.keep_pictures(file, &pictures)?;
                }
                Ok(pictures)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The files of which a key frame may be in this one, with the smallest difference with which enough of them are, see
    /// [`fit`]; without those of which not enough are.
    fn compare(&self, file: usize, sketches: &[Option<Sketch>], index: &Index) -> Result<Vec<(usize, f32)>, DataError> {
        let Some(own) = &sketches[file] else { return Ok(Vec::new()) };
        let mut others = BTreeSet::new();
        own.ranges.iter().for_each(|range| index.find(&range.widened(), &mut others));
        let is_like = |other: usize| sketches[other].as_ref().is_some_and(|other| other.is_picture == own.is_picture);
        others.retain(|other| *other != file && is_like(*other));
        let others: Vec<usize> = others.into_iter().collect();
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let with = short_hash(&others.iter().map(|other| self.stamps[*other].as_str()).collect::<Vec<_>>().join("\n"));
        let known: Option<Compared> = self.recall(file, COMPARED);
        let found = match known.filter(|known| known.with == with && known.found.len() == others.len()) {
            Some(known) => known.found,
            None => {
                let (mut found, mut is_all) = (Vec::new(), true);
                for others in others.chunks(AT_ONCE) {
                    let (some, all) = self.look_for(others, file, sketches)?;
                    found.extend(some);
                    is_all &= all;
                }
                let compared = Compared { with, found };
                if is_all {
                    self.keep(file, COMPARED, &serde_json::to_vec(&compared).unwrap_or_default())?;
                }
                compared.found
            }
        };
        Ok(others.into_iter().zip(found).filter_map(|(other, distance)| Some((other, distance?))).collect())
    }

    /// How unlike the key frames of `others` are in `file`, where enough of them are there; and whether the files alone are
    /// the reason why there are no more.
    fn look_for(
        &self,
        others: &[usize],
        file: usize,
        sketches: &[Option<Sketch>],
    ) -> Result<(Vec<Option<f32>>, bool), DataError> {
        /// A file that is looked for: its key frames, their pictures once one is needed, and of each when it was seen, and how
        /// unlike.
        struct Wanted<'a> {
            file: usize,
            keys: &'a [Key],
            pictures: Option<Vec<Small>>,
            seen: Vec<Vec<(f64, f32)>>,
        }
        let keys_of = |file: usize| sketches[file].as_ref().map_or(&[][..], |sketch| &sketch.keys);
        let wanted = |&file: &usize| {
            let keys = keys_of(file);
            Wanted { file, keys, pictures: None, seen: vec![Vec::new(); keys.len()] }
        };
        let mut wanted: Vec<Wanted> = others.iter().map(wanted).collect();
        let mut look = |time: f64, small: &Small| -> Result<(), DataError> {
            let signature = small.signature();
            for Wanted { file, keys, pictures, seen } in &mut wanted {
                for (k, _) in keys.iter().enumerate().filter(|(_, key)| alike(&key.signature, &signature)) {
                    let pictures = match pictures {
                        Some(pictures) => pictures,
                        None => pictures.insert(self.pictures(*file, keys.len())?),
                    };
                    let difference = pictures.get(k).map_or(f32::INFINITY, |picture| difference(picture, small));
                    if difference.is_finite() {
                        seen[k].push((time, difference));
                    }
                }
            }
            Ok(())
        };
        let (mut result, mut is_all) = (Ok(()), true);
        if sketches[file].as_ref().is_some_and(|own| own.is_picture) {
            // All its frames are here.
            let keys = keys_of(file);
            for (key, small) in keys.iter().zip(self.pictures(file, keys.len())?) {
                look(key.time, &small)?;
            }
        } else {
            (_, is_all) = self.decode(file, |time, small| {
                if result.is_ok() {
                    result = look(time, &small);
                }
            });
        }
        result?;
        let fitted = wanted.iter().map(|Wanted { keys, seen, .. }| {
            let times: Vec<f64> = keys.iter().map(|key| key.time).collect();
            Some(fit(&times, seen)).filter(|found| found.is_finite())
        });
        Ok((fitted.collect(), is_all))
    }
}

/// What is kept of a file: its [`Sketch`], the pictures of its key frames (a byte for each pixel), and what it was compared with.
const SEEN: &str = "seen.json";
const PICTURES: &str = "keys.luma";
const COMPARED: &str = "compared.json";

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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Numbers that are the same in every run.
    fn random(state: &mut u64) -> u8 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 56) as u8
    }

    /// A picture of stripes that differ with `kind`.
    fn picture(kind: u32) -> RgbImage {
        RgbImage::from_fn(128, 96, |x, y| {
            image::Rgb([(40 + (x * (kind + 1) / 2 + y * kind) % 200) as u8, (x + y) as u8, (60 + 40 * kind) as u8])
        })
    }

    #[test]
    fn files_that_are_joined_over_others_have_one_original() {
        let joined = |pairs: &[((usize, usize), f32)]| originals(4, &pairs.iter().copied().collect());
        // Two parts, and the whole that both are in.
        assert_eq!(joined(&[((0, 2), 0.1), ((1, 2), 0.2)]), [None, Some(0), Some(0), None]);
        assert_eq!(joined(&[((0, 3), 0.1), ((1, 2), 0.2), ((2, 3), 0.3)]), [None, Some(0), Some(0), Some(0)]);
        assert_eq!(joined(&[((0, 2), SAME_FRAME + 0.1), ((1, 2), 0.2)]), [None, None, Some(1), None]);
    }

    #[test]
    fn every_key_frame_that_is_alike_is_found() {
        let mut state = 1;
        // Signatures in a few heaps, as those of portraits in front of one wall.
        let keys: Vec<(Signature, usize)> = (0..600)
            .map(|i| {
                (
                    std::array::from_fn(|cell| {
                        (100 + 30 * (i % 4) + cell + usize::from(random(&mut state) % 14)) as u8
                    }),
                    i / 3,
                )
            })
            .collect();
        let index = Index::new(keys.clone());
        let mut some = 0;
        for (wanted, _) in keys.iter().step_by(7) {
            let mut found = BTreeSet::new();
            index.find(&Range::of(*wanted).widened(), &mut found);
            let expected: BTreeSet<usize> =
                keys.iter().filter(|(signature, _)| alike(signature, wanted)).map(|(_, file)| *file).collect();
            assert_eq!(found, expected);
            some += found.len();
        }
        assert!(some < 86 * 100, "{some}");
        let mut found = BTreeSet::new();
        Index::new(Vec::new()).find(&Range::of([0; 16]).widened(), &mut found);
        assert!(found.is_empty());
    }

    #[test]
    fn the_signatures_of_a_long_video_take_no_more_room() {
        let (mut runs, mut state) = (Runs::new(), 2);
        let all: Vec<Signature> = (0..1000).map(|_| std::array::from_fn(|_| random(&mut state))).collect();
        all.iter().for_each(|signature| runs.push(*signature));
        assert!((RUNS..=2 * RUNS).contains(&runs.ranges.len()), "{}", runs.ranges.len());
        for (i, signature) in all.iter().enumerate() {
            assert!(runs.ranges[i / runs.length].meets(&Range::of(*signature)), "{i}");
        }
    }

    /// Three pictures, of which the second has the pixels of the first.
    fn three(folder: &Path) -> Vec<PathBuf> {
        let files = ["a.png", "b.bmp", "c.png"].map(|name| folder.join(name));
        for (file, kind) in files.iter().zip([1, 1, 3]) {
            picture(kind).save(file).unwrap();
        }
        files.into()
    }

    #[test]
    fn a_run_leaves_its_answer_and_what_others_write() {
        let folder = tempfile::tempdir().unwrap();
        let (files, kept) = (three(folder.path()), folder.path().join("kept"));
        let tools = Tools::default();
        let find = || same_frames(&files, Some(&kept), &tools).unwrap();
        let there = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
        assert_eq!(find(), [None, Some(0), None]);
        assert_eq!(there(&kept), 1);
        assert_eq!(find(), [None, Some(0), None]);
        assert_eq!(same_frames(&files, None, &tools).unwrap(), [None, Some(0), None]);
        // Another run is at it: what it has written and what it is writing stays.
        std::fs::remove_dir_all(&kept).unwrap();
        let parts = kept.join("parts");
        std::fs::create_dir_all(&parts).unwrap();
        std::fs::write(parts.join("another-seen.json"), "{}").unwrap();
        let writing = dubito_media::temporary::file_in(&parts).unwrap();
        assert_eq!(find(), [None, Some(0), None]);
        assert_eq!((there(&kept), there(&parts)), (2, 2));
        assert!(writing.path().exists());
    }

    #[test]
    fn pictures_that_another_run_removed_are_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let (files, parts, tools) = (three(folder.path()), folder.path().join("parts"), Tools::default());
        let work = Work::new(&files, Some(&parts), &tools);
        let count = work.sketch(0).unwrap().unwrap().keys.len();
        let kept = work.pictures(0, count).unwrap();
        assert_eq!(kept, [Small::of(&picture(1)).unwrap()]);
        std::fs::remove_dir_all(&parts).unwrap();
        assert_eq!(work.pictures(0, count).unwrap(), kept);
        assert!(work.part(0, PICTURES).unwrap().exists());
    }

    #[test]
    fn what_a_decoder_is_missing_for_is_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut files, kept) = (three(folder.path()), folder.path().join("kept"));
        files.push(folder.path().join("video.mp4"));
        std::fs::write(&files[3], "perhaps a video").unwrap();
        let find = |tools: &Tools| same_frames(&files, Some(&kept), tools).unwrap();
        let answers = || std::fs::read_dir(&kept).unwrap().flatten().filter(|e| e.path().is_file()).count();
        assert_eq!(find(&Tools::default()), [None, Some(0), None, None]);
        assert_eq!(answers(), 0);
        assert!(kept.join("parts").is_dir());
        // Who can read it says that it is no video: that is an answer.
        let tools = Tools::discover();
        if tools.ffmpeg.is_some() {
            assert_eq!(find(&tools), [None, Some(0), None, None]);
            assert_eq!(answers(), 1);
            assert_ne!(Work::new(&files, None, &tools).stamps, Work::new(&files, None, &Tools::default()).stamps);
        }
    }
}
