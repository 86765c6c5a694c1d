//! The clips of a manifest as the crops that a detector learns from and is asked about.

use std::collections::BTreeSet;
use std::path::Path;

use dubito_data::clip::ClipFrames;
use dubito_data::manifest::{Label, Row};
use dubito_nn::{CropError, Crops};

use crate::StudyError;

/// The people (targets) of a manifest, sorted: a person's number is its place here.
pub(crate) fn people(rows: &[Row]) -> Vec<&str> {
    let people: BTreeSet<&str> = rows.iter().map(|r| r.identity.as_str()).collect();
    people.into_iter().collect()
}

/// Frames of clips in a store, read through memory maps when they are asked for. Opening looks into the first clip alone:
/// how many frames each has is what the manifest says, and is checked when a clip is first read.
pub struct StoreCrops {
    clips: Vec<ClipFrames>,
    size: u32,
    /// Clip, frame, class and person of each item.
    items: Vec<(u32, u32, u8, u32)>,
}

impl StoreCrops {
    /// Opens the clips of `rows` (all that have one) in `store`; classes are real 0 and fake 1. A
    /// person's number is its place in `people`, sorted, the same for every set that is opened.
    ///
    /// # Errors
    /// The first clip can't be read; no clip at all. Clips of different sizes are an error when they are read.
    pub fn open(rows: &[&Row], store: &Path, people: &[&str]) -> Result<Self, StudyError> {
        let (mut clips, mut items) = (Vec::new(), Vec::new());
        for row in rows {
            let Some(clip) = &row.clip else { continue };
            let frames = ClipFrames::open(&store.join(clip), row.frames)?;
            let class = u8::from(row.label == Label::Fake);
            let person = people.binary_search(&row.identity.as_str()).unwrap_or(0) as u32;
            items.extend((0..frames.len()).map(|i| (clips.len() as u32, i as u32, class, person)));
            clips.push(frames);
        }
        let first = clips.first().ok_or_else(|| StudyError::Input {
            message: format!("{}: none of the {} rows has a clip", store.display(), rows.len()),
            hint: "run `dubito extract` first".into(),
        })?;
        let size = first.size()?;
        Ok(Self { clips, size, items })
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
        usize::from(self.items[i].2)
    }

    fn group(&self, i: usize) -> u32 {
        self.items[i].3
    }

    fn read(&self, i: usize, out: &mut [u8]) -> Result<(), CropError> {
        let (clip, frame, ..) = self.items[i];
        Ok(self.clips[clip as usize].read(frame as usize, out)?)
    }
}
