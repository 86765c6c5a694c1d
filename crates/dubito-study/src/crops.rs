//! The clips of a manifest as what a detector learns from: crops read when they are asked for, or pictures of a signal.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use dubito_data::clip::{Clip, ClipFrames};
use dubito_data::manifest::{Label, Row};
use dubito_nn::{CropError, Crops, MapShape, Signal};
use rayon::prelude::*;

use crate::inputs::inputs;
use crate::{Lesson, StudyError};

/// The frames of a video that must not be judged as what its label says: those of a fake that could not be forged, which show
/// what is true.
pub(crate) fn not_as_labelled(row: &Row) -> BTreeSet<u64> {
    if row.label == Label::Fake { row.frames_that_are_real() } else { BTreeSet::new() }
}

/// The people (targets) of a manifest, sorted: a person's number is its place here.
pub(crate) fn people(rows: &[Row]) -> Vec<&str> {
    let people: BTreeSet<&str> = rows.iter().map(|r| r.identity.as_str()).collect();
    people.into_iter().collect()
}

/// A clip to learn from.
struct Taught {
    frames: ClipFrames,
    class: usize,
    source: u32,
    person: u32,
    /// Of its path in the store.
    hash: u64,
}

fn hash_of(path: &str) -> u64 {
    blake3::hash(path.as_bytes()).as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Frames of clips in a store, read through memory maps when they are asked for. Opening looks into the first clip alone:
/// how many frames each has is what the manifest says, and is checked when a clip is first read.
pub struct StoreCrops {
    clips: Vec<Taught>,
    size: u32,
    margin: f32,
    /// Clip and frame of each item.
    items: Vec<(u32, u32)>,
}

impl StoreCrops {
    /// Opens in `store` the clips of those of `rows` that have one and that the lesson teaches. A person's number is its
    /// place in `people`, sorted, the same for every set that is opened.
    ///
    /// # Errors
    /// The first clip can't be read; no clip at all. Clips of different sizes are an error when they are read.
    pub fn open(rows: &[&Row], lesson: &Lesson, store: &Path, people: &[&str]) -> Result<Self, StudyError> {
        let (mut clips, mut items) = (Vec::new(), Vec::new());
        for row in rows {
            let (Some(clip), Some((class, source))) = (&row.clip, lesson.class_of(row)) else { continue };
            let frames = ClipFrames::open(&store.join(clip), row.frames)?;
            let person = people.binary_search(&row.identity.as_str()).unwrap_or(0) as u32;
            let real = not_as_labelled(row);
            let index = if real.is_empty() { Vec::new() } else { Clip::read(&store.join(clip))?.frame_index };
            let forged = |i: &usize| index.get(*i).is_none_or(|frame| !real.contains(frame));
            items.extend((0..frames.len()).filter(forged).map(|i| (clips.len() as u32, i as u32)));
            clips.push(Taught { frames, class, source, person, hash: hash_of(clip) });
        }
        let taught = rows.iter().find(|r| r.clip.is_some() && lesson.class_of(r).is_some());
        Self::of(clips, items, taught.copied(), store)
    }

    /// Every frame of every clip of a manifest, whatever it shows; classes and people mean nothing.
    ///
    /// # Errors
    /// As [`StoreCrops::open`].
    pub(crate) fn all(rows: &[Row], store: &Path) -> Result<Self, StudyError> {
        let (mut clips, mut items) = (Vec::new(), Vec::new());
        for row in rows {
            let Some(clip) = &row.clip else { continue };
            let frames = ClipFrames::open(&store.join(clip), row.frames)?;
            items.extend((0..frames.len() as u32).map(|i| (clips.len() as u32, i)));
            clips.push(Taught { frames, class: 0, source: 0, person: 0, hash: hash_of(clip) });
        }
        Self::of(clips, items, rows.iter().find(|row| row.clip.is_some()), store)
    }

    fn of(clips: Vec<Taught>, items: Vec<(u32, u32)>, row: Option<&Row>, store: &Path) -> Result<Self, StudyError> {
        let first: &Taught = clips.first().ok_or_else(|| StudyError::Input {
            message: format!("{}: none of the rows has a clip to learn from", store.display()),
            hint: "run `dubito extract` first; or does the task take none of them?".into(),
        })?;
        let size = first.frames.size()?;
        let margin = row
            .and_then(|row| row.clip.as_ref())
            .map(|clip| Clip::read(&store.join(clip)))
            .transpose()?
            .map_or(0.0, |clip| clip.meta.margin);
        Ok(Self { clips, size, margin, items })
    }

    fn clip(&self, i: usize) -> &Taught {
        &self.clips[self.items[i].0 as usize]
    }
}

impl Crops for StoreCrops {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn size(&self) -> u32 {
        self.size
    }

    fn class(&self, i: usize) -> usize {
        self.clip(i).class
    }

    fn source(&self, i: usize) -> u32 {
        self.clip(i).source
    }

    fn group(&self, i: usize) -> u32 {
        self.clip(i).person
    }

    fn key(&self, i: usize) -> u64 {
        // Frames of one clip lie apart by an odd number, so that no two have the same key.
        self.clip(i).hash.wrapping_add(u64::from(self.items[i].1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn margin(&self) -> Option<f32> {
        Some(self.margin)
    }

    fn read(&self, i: usize, out: &mut [u8]) -> Result<(), CropError> {
        Ok(self.clip(i).frames.read(self.items[i].1 as usize, out)?)
    }
}

/// Pictures of the signal in the clips of a manifest, found once for whatever is learned from them and held: 8 KiB for a PPG
/// map of 128 frames, 288 KiB for the motion in 16 crops of 96 pixels.
pub struct Signals {
    signal: Signal,
    /// By the clip's path in the store.
    clips: BTreeMap<String, Found>,
}

/// What was found in a clip.
struct Found {
    size: u32,
    margin: f32,
    pictures: Arc<[u8]>,
    count: usize,
    /// Why there is none, where there is none.
    why: String,
}

impl Signals {
    /// Finds the signal in the clips of those of `rows` that have one.
    ///
    /// # Errors
    /// A clip can't be read.
    pub fn find(rows: &[&Row], store: &Path, signal: Signal) -> Result<Self, StudyError> {
        let with_clips: Vec<(&Row, &str)> = rows.iter().filter_map(|row| Some((*row, row.clip.as_deref()?))).collect();
        let clips = with_clips
            .par_iter()
            .map(|(row, path)| {
                let clip = Clip::read(&store.join(path))?;
                let found = inputs(&clip, Some(signal), &not_as_labelled(row))?;
                let why = found.reason(Some(signal)).1;
                let (count, pictures) = (found.frames.len(), found.bytes.into_owned().into());
                let found = Found { size: clip.meta.size, margin: clip.meta.margin, pictures, count, why };
                Ok(((*path).to_owned(), found))
            })
            .collect::<Result<_, StudyError>>()?;
        Ok(Self { signal, clips })
    }
}

/// The pictures of the signal that a lesson teaches.
pub struct SignalCrops {
    clips: Vec<Arc<[u8]>>,
    shape: MapShape,
    size: u32,
    margin: f32,
    items: Vec<Picture>,
    /// Videos without a picture, and why.
    pub without: Vec<(String, String)>,
}

/// A picture to learn from.
struct Picture {
    clip: u32,
    /// Its number in the clip.
    number: u32,
    class: usize,
    source: u32,
    person: u32,
}

impl SignalCrops {
    /// Finds the signal in the clips of those of `rows` that have one and that the lesson teaches; persons as in
    /// [`StoreCrops::open`].
    ///
    /// # Errors
    /// A clip can't be read, clips of different sizes, not one picture.
    pub fn open(
        rows: &[&Row],
        lesson: &Lesson,
        store: &Path,
        people: &[&str],
        signal: Signal,
    ) -> Result<Self, StudyError> {
        let taught: Vec<&Row> = rows.iter().copied().filter(|row| lesson.class_of(row).is_some()).collect();
        Self::of(&Signals::find(&taught, store, signal)?, rows, lesson, store, people)
    }

    /// The same of what was found before.
    ///
    /// # Errors
    /// Clips of different sizes, not one picture.
    pub(crate) fn of(
        signals: &Signals,
        rows: &[&Row],
        lesson: &Lesson,
        store: &Path,
        people: &[&str],
    ) -> Result<Self, StudyError> {
        let signal = signals.signal;
        let taught = rows.iter().filter_map(|row| {
            let found = signals.clips.get(row.clip.as_deref()?)?;
            Some((*row, found, lesson.class_of(row)?))
        });
        let taught: Vec<(&Row, &Found, (usize, u32))> = taught.collect();
        let (size, margin) = taught.first().map_or((0, 0.0), |(_, first, _)| (first.size, first.margin));
        let mut crops = Self {
            clips: Vec::new(),
            shape: signal.shape(size as usize),
            size,
            margin,
            items: Vec::new(),
            without: Vec::new(),
        };
        for (row, found, (class, source)) in &taught {
            if found.size != size {
                return Err(StudyError::Input {
                    message: format!("{}: a clip of {} pixels among clips of {size}", row.video, found.size),
                    hint: "extract all clips with one --size".into(),
                });
            }
            if found.count == 0 {
                crops.without.push((row.video.clone(), found.why.clone()));
            }
            let person = people.binary_search(&row.identity.as_str()).unwrap_or(0) as u32;
            let clip = crops.clips.len() as u32;
            let picture = |number| Picture { clip, number, class: *class, source: *source, person };
            crops.items.extend((0..found.count as u32).map(picture));
            crops.clips.push(found.pictures.clone());
        }
        if crops.items.is_empty() {
            let why =
                crops.without.first().map_or("no clip is taught".to_owned(), |(video, why)| format!("{video}: {why}"));
            return Err(StudyError::Input {
                message: format!("{}: none of {} clips shows the signal ({why})", store.display(), taught.len()),
                hint: format!(
                    "this detector needs runs of {} consecutive frames: extract with --sampling windows:1x{}",
                    signal.window(),
                    2 * signal.window()
                ),
            });
        }
        Ok(crops)
    }
}

impl Crops for SignalCrops {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn size(&self) -> u32 {
        self.size
    }

    fn shape(&self) -> MapShape {
        self.shape
    }

    fn class(&self, i: usize) -> usize {
        self.items[i].class
    }

    fn source(&self, i: usize) -> u32 {
        self.items[i].source
    }

    fn group(&self, i: usize) -> u32 {
        self.items[i].person
    }

    fn margin(&self) -> Option<f32> {
        Some(self.margin)
    }

    fn read(&self, i: usize, out: &mut [u8]) -> Result<(), CropError> {
        let Picture { clip, number, .. } = self.items[i];
        let from = number as usize * out.len();
        out.copy_from_slice(&self.clips[clip as usize][from..from + out.len()]);
        Ok(())
    }
}
