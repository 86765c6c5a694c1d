//! The clips of a manifest as the crops that a detector learns from and is asked about.

use std::collections::BTreeSet;
use std::path::Path;

use dubito_data::clip::{Clip, ClipFrames};
use dubito_data::manifest::{Label, Row};
use dubito_nn::{CropError, Crops};

use crate::{Lesson, StudyError};

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
            // Frames of a fake that could not be forged show what is true: they teach nothing about fakes.
            let real = if row.label == Label::Fake { row.frames_that_are_real() } else { BTreeSet::new() };
            let index = if real.is_empty() { Vec::new() } else { Clip::read(&store.join(clip))?.frame_index };
            let forged = |i: &usize| index.get(*i).is_none_or(|frame| !real.contains(frame));
            items.extend((0..frames.len()).filter(forged).map(|i| (clips.len() as u32, i as u32)));
            clips.push(Taught { frames, class, source, person });
        }
        let first: &Taught = clips.first().ok_or_else(|| StudyError::Input {
            message: format!("{}: none of the {} rows has a clip to learn from", store.display(), rows.len()),
            hint: "run `dubito extract` first; or does the task take none of them?".into(),
        })?;
        let size = first.frames.size()?;
        let path = rows.iter().find(|r| lesson.class_of(r).is_some()).and_then(|r| r.clip.as_ref());
        let margin = path.map(|clip| Clip::read(&store.join(clip))).transpose()?.map_or(0.0, |clip| clip.meta.margin);
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

    fn margin(&self) -> Option<f32> {
        Some(self.margin)
    }

    fn read(&self, i: usize, out: &mut [u8]) -> Result<(), CropError> {
        Ok(self.clip(i).frames.read(self.items[i].1 as usize, out)?)
    }
}
