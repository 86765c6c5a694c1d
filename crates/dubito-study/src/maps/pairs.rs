//! Forged frames beside the true ones: the fake's crop, the untouched video's pixels in the same crop, and the mask.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dubito_data::clip::Clip;
use dubito_data::manifest::{Label, Row, Status};
use dubito_face::{Similarity, warp};
use dubito_media::{RgbImage, Tools};

use crate::StudyError;
use crate::audit::look::pictures;
use crate::crops::not_as_labelled;

/// One forged frame with what is true.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pair {
    /// Its place in the clip.
    pub(crate) place: usize,
    /// The fake's crop `[size, size, 3]`, as the clip has it.
    pub(crate) fake: Vec<u8>,
    /// The same frame of the untouched video, through the fake's alignment.
    pub(crate) real: Vec<u8>,
    /// Which pixels the generator changed, through the same alignment.
    pub(crate) mask: Vec<bool>,
}

impl Pair {
    /// Mean difference of fake and true pixels in grey levels: outside the mask and inside it. Outside it is what encoding and
    /// blending leave; if it were as large as inside, the two would not be of one frame. `None` where there are no such pixels.
    pub(crate) fn differences(&self) -> [Option<f64>; 2] {
        let mut sums = [(0u64, 0u64); 2];
        for ((fake, real), &inside) in self.fake.chunks_exact(3).zip(self.real.chunks_exact(3)).zip(&self.mask) {
            let (sum, count) = &mut sums[usize::from(inside)];
            *sum += fake.iter().zip(real).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>();
            *count += 3;
        }
        sums.map(|(sum, count)| (count > 0).then(|| sum as f64 / count as f64))
    }
}

/// The untouched video of each source, by data set and source: what a forged row's `source` leads to.
pub(crate) fn untouched(rows: &[Row]) -> BTreeMap<(&str, &str), &Row> {
    let real = rows.iter().filter(|row| row.label == Label::Real && row.control.is_none());
    real.filter_map(|row| Some(((row.dataset.as_str(), row.source.as_deref()?), row))).collect()
}

/// So many places of a clip's frames, evenly over those that are what the row's label says.
pub(crate) fn places(clip: &Clip, row: &Row, frames: usize) -> Vec<usize> {
    let skip: BTreeSet<u64> = not_as_labelled(row);
    let all: Vec<usize> = (0..clip.len()).filter(|&i| !skip.contains(&clip.frame_index[i])).collect();
    let count = frames.min(all.len());
    (0..count).map(|k| all[(2 * k + 1) * all.len() / (2 * count)]).collect()
}

/// Where pairs are read from, and where they are kept.
pub(crate) struct PairSource<'a> {
    /// The folder that the manifest's paths are relative to.
    pub(crate) root: &'a Path,
    /// Where pairs are kept, so that a video is decoded once.
    pub(crate) kept: PathBuf,
    /// Frames of a clip.
    pub(crate) frames: usize,
    /// What decodes.
    pub(crate) tools: &'a Tools,
}

impl PairSource<'_> {
    /// Pairs of a forged clip. `Err` inside: why there are none, in words.
    ///
    /// # Errors
    /// The clip can't be read, or what is made can't be kept.
    pub(crate) fn of(
        &self,
        fake: &Row,
        real: Option<&Row>,
        clip: &Clip,
    ) -> Result<Result<Vec<Pair>, String>, StudyError> {
        let Some(mask) = &fake.mask else { return Ok(Err("it has no mask".into())) };
        let Some(real) = real.filter(|real| real.status == Status::Ok) else {
            return Ok(Err("no row is the untouched video of its source".into()));
        };
        let places = places(clip, fake, self.frames);
        if places.is_empty() {
            return Ok(Err("no frame of it is forged".into()));
        }
        let named = |row: &Row| format!("{} {}", row.path, row.blake3.as_deref().unwrap_or_default());
        let transforms: Vec<u8> = places.iter().flat_map(|&i| clip.transforms[i]).flat_map(f32::to_le_bytes).collect();
        let mut key = blake3::Hasher::new();
        key.update(format!("{}\n{}\n{mask}\n{places:?} {}\n", named(fake), named(real), clip.meta.size).as_bytes());
        let key = key.update(&transforms).finalize().to_hex();
        let path = self.kept.join(&key[..2]).join(format!("{}.pairs", &key[..32]));
        let pixels = (clip.meta.size as usize).pow(2);
        let one = 4 * pixels;
        if let Some(bytes) = std::fs::read(&path).ok().filter(|bytes| bytes.len() == places.len() * one) {
            let pair = |(bytes, &place): (&[u8], &usize)| Pair {
                place,
                fake: clip.frame(place).unwrap_or_default().to_vec(),
                real: bytes[..3 * pixels].to_vec(),
                mask: bytes[3 * pixels..].iter().map(|v| *v > 0).collect(),
            };
            return Ok(Ok(bytes.chunks_exact(one).zip(&places).map(pair).collect()));
        }
        let pairs = match self.decode(&real.path, mask, clip, &places) {
            Ok(pairs) => pairs,
            Err(reason) => return Ok(Err(reason)),
        };
        let bytes: Vec<u8> = pairs
            .iter()
            .flat_map(|pair| pair.real.iter().copied().chain(pair.mask.iter().map(|v| u8::from(*v))))
            .collect();
        dubito_data::write_atomically(&path, &bytes)?;
        Ok(Ok(pairs))
    }

    fn decode(&self, real: &str, mask: &str, clip: &Clip, places: &[usize]) -> Result<Vec<Pair>, String> {
        let wanted: Vec<u64> = places.iter().map(|&i| clip.frame_index[i]).collect();
        let read = |path: &str| -> Result<Vec<RgbImage>, String> {
            let path = self.root.join(path);
            let video = dubito_media::open(&path, self.tools).map_err(|e| e.to_string())?;
            let images = pictures(video, &wanted)?;
            match images.len() == wanted.len() {
                true => Ok(images),
                false => Err(format!("{} ends before frame {}", path.display(), wanted[images.len()])),
            }
        };
        let (real, mask) = (read(real)?, read(mask)?);
        places
            .iter()
            .zip(real.iter().zip(&mask))
            .map(|(&place, (real, mask))| {
                if real.dimensions() != mask.dimensions() {
                    let (a, b) = (real.dimensions(), mask.dimensions());
                    return Err(format!("the untouched video is of {a:?} pixels, the mask of {b:?}"));
                }
                let [a, b, c, d, e, f] = clip.transforms[place].map(f64::from);
                if !(a * e - b * d).is_normal() {
                    return Err("the clip does not say how its crops were cut".to_owned());
                }
                let transform = Similarity { matrix: [[a, b, c], [d, e, f]] };
                let size = clip.meta.size;
                Ok(Pair {
                    place,
                    fake: clip.frame(place).unwrap_or_default().to_vec(),
                    real: warp(real, &transform, size).into_raw(),
                    mask: warp(mask, &transform, size).pixels().map(|p| p[0] > 127).collect(),
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_even_and_pass_over_what_is_true() {
        let clip = Clip { timestamps: vec![0.0; 10], frame_index: (0..10).collect(), ..Clip::default() };
        let row = Row { label: Label::Fake, real_frames: Some("0-3".into()), ..Row::default() };
        assert_eq!(places(&clip, &row, 2), [5, 8]);
        assert_eq!(places(&clip, &Row::default(), 2), [2, 7]);
        assert_eq!(places(&clip, &row, 99), [4, 5, 6, 7, 8, 9]);
        assert_eq!(places(&Clip::default(), &row, 2), [0; 0]);
    }

    #[test]
    fn differences_are_told_inside_and_outside() {
        let pair = Pair {
            place: 0,
            fake: vec![10, 10, 10, 50, 50, 50],
            real: vec![11, 9, 10, 20, 80, 50],
            mask: vec![false, true],
        };
        let [outside, inside] = pair.differences().map(Option::unwrap_or_default);
        assert!((outside - 2.0 / 3.0).abs() < 1e-12 && (inside - 20.0).abs() < 1e-12);
        assert_eq!(Pair { mask: vec![true; 2], ..pair }.differences()[0], None);
    }
}
