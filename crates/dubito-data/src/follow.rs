//! One pass over a video: its frames decoded, its faces followed, the frames asked for kept.

use std::collections::BTreeMap;
use std::path::Path;

use dubito_face::{Aligned, CropSpec, FaceModels, TrackOptions, TrackedFace, Tracker};
use dubito_media::{Frame, RgbImage, Tools, VideoInfo};
use serde::{Deserialize, Serialize};

use crate::clip::{Clip, ClipMeta};
use crate::error::DataError;
use crate::manifest::Status;

/// Which frames are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// So many frames, evenly over the whole video.
    Uniform {
        /// Most frames kept.
        frames: usize,
    },
    /// Every `step`-th frame from the first one that shows a face, and no more than `frames`.
    Every {
        /// Distance of one frame from the next.
        step: usize,
        /// Most frames kept.
        frames: usize,
    },
}

/// What is kept of a video.
pub struct Followed {
    /// The file as the decoder saw it.
    pub info: VideoInfo,
    /// The longest track first.
    pub tracks: Vec<Clip>,
    /// Frames that were looked at.
    pub looked_at: usize,
    /// Why the video ended early, if it did (a truncated file): what was read before is kept.
    pub broken: Option<String>,
}

impl Followed {
    /// The status of track `i` if at least `min_frames` frames are asked for, and the reason.
    pub fn status(&self, i: usize, min_frames: usize) -> (Status, Option<String>) {
        match self.tracks.get(i) {
            None => {
                let reason = match &self.broken {
                    Some(broken) => format!("no face in the {} frames before: {broken}", self.looked_at),
                    None => format!("no face in the {} frames that were looked at", self.looked_at),
                };
                (Status::NoFace, Some(reason))
            }
            Some(track) if track.len() < min_frames => {
                (Status::TooShort, Some(format!("a face in {} frames, {min_frames} are needed", track.len())))
            }
            Some(_) => (Status::Ok, self.broken.clone()),
        }
    }
}

/// Follows the faces in a video and keeps the frames that `sampling` asks for.
///
/// With a `crop` a track holds the aligned crops, with landmarks in the crop's pixels; without one it
/// holds no pixels (`size` 0), and landmarks in the video's. Frames between those sampled are not
/// looked at. Where the length is not known, the step starts at one and doubles whenever twice as
/// many frames as asked for are held, so memory never grows with the video.
///
/// # Errors
/// [`DataError::Media`] where the file can't be opened or not one frame is decoded.
pub fn follow(
    path: &Path,
    video: &str,
    tools: &Tools,
    models: &FaceModels,
    sampling: Sampling,
    crop: Option<&CropSpec>,
) -> Result<Followed, DataError> {
    let mut file = dubito_media::open(path, tools)?;
    let info = file.info().clone();
    let source = file.provenance().clone();
    let (wanted, mut step) = match sampling {
        Sampling::Uniform { frames } => {
            let frames = frames.max(1);
            (frames, info.frames.map_or(1, |n| (n / (2 * frames as u64)).max(1)))
        }
        Sampling::Every { step, frames } => (frames.max(1), step.max(1) as u64),
    };
    let uniform = matches!(sampling, Sampling::Uniform { .. });
    let mut tracker = Tracker::new(models, TrackOptions::default());
    let mut tracks: BTreeMap<u32, Clip> = BTreeMap::new();
    let mut held: Vec<u64> = Vec::new();
    let (mut looked_at, mut broken) = (0, None);
    for frame in &mut file {
        let Frame { index, timestamp, image } = match frame {
            Ok(frame) => frame,
            Err(error) if looked_at == 0 => return Err(error.into()),
            Err(error) => {
                broken = Some(error.to_string());
                break;
            }
        };
        if index % step != 0 {
            continue;
        }
        looked_at += 1;
        let faces = tracker.push(&image, timestamp)?;
        if faces.is_empty() {
            continue;
        }
        held.push(index);
        for face in faces {
            let track = tracks.entry(face.track).or_insert_with(|| Clip {
                meta: ClipMeta {
                    version: crate::clip::VERSION,
                    video: video.to_owned(),
                    blake3: source.blake3.clone(),
                    decoder: source.decoder.clone(),
                    decoder_version: source.version.clone(),
                    exact: source.exact,
                    track: face.track,
                    size: crop.map_or(0, |c| c.size),
                    margin: crop.map_or(0.0, |c| c.margin),
                },
                ..Clip::default()
            });
            keep(track, index, timestamp, &image, &face, crop)?;
        }
        if uniform && held.len() >= 2 * wanted {
            step *= 2;
            held.retain(|i| i % step == 0);
            tracks.values_mut().for_each(|t| thin(t, |i, t| t.frame_index[i].is_multiple_of(step)));
        }
        if !uniform && tracks.values().any(|t| t.len() >= wanted) {
            break;
        }
    }
    let mut tracks: Vec<Clip> = tracks.into_values().filter(|t| !t.is_empty()).collect();
    for track in &mut tracks {
        let n = track.len();
        if n > wanted {
            let chosen: Vec<usize> = (0..wanted).map(|k| k * n / wanted).collect();
            thin(track, |i, _| chosen.binary_search(&i).is_ok());
        }
    }
    // The track that is seen longest and largest first; earlier ones first among equals.
    let weight = |t: &Clip| t.boxes.iter().map(|b| f64::from(b[2] - b[0]).max(0.0)).sum::<f64>();
    tracks.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    Ok(Followed { info, tracks, looked_at, broken })
}

fn keep(
    track: &mut Clip,
    index: u64,
    timestamp: f64,
    image: &RgbImage,
    face: &TrackedFace,
    crop: Option<&CropSpec>,
) -> Result<(), DataError> {
    if let Some(spec) = crop {
        let Aligned { crop, landmarks, transform } = dubito_face::align(image, &face.mesh.points, spec)?;
        track.frames.extend_from_slice(crop.as_raw());
        track.landmarks.extend(landmarks);
        let [[a, b, c], [d, e, f]] = transform.matrix;
        track.transforms.push([a, b, c, d, e, f].map(|v| v as f32));
    } else {
        track.landmarks.extend(&face.mesh.points);
        track.transforms.push([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    }
    track.frame_index.push(index);
    track.timestamps.push(timestamp);
    track.boxes.push(face.bbox);
    track.presence.push(face.mesh.presence);
    Ok(())
}

/// Keeps the frames of a clip that `keep` says to.
fn thin(clip: &mut Clip, keep: impl Fn(usize, &Clip) -> bool) {
    let kept: Vec<usize> = (0..clip.len()).filter(|&i| keep(i, clip)).collect();
    let pixels = (clip.meta.size as usize).pow(2) * 3;
    *clip = Clip {
        meta: clip.meta.clone(),
        frame_index: kept.iter().map(|&i| clip.frame_index[i]).collect(),
        timestamps: kept.iter().map(|&i| clip.timestamps[i]).collect(),
        boxes: kept.iter().map(|&i| clip.boxes[i]).collect(),
        transforms: kept.iter().map(|&i| clip.transforms[i]).collect(),
        presence: kept.iter().map(|&i| clip.presence[i]).collect(),
        landmarks: kept.iter().flat_map(|&i| clip.points(i).unwrap_or_default()).copied().collect(),
        frames: kept.iter().flat_map(|&i| &clip.frames[i * pixels..(i + 1) * pixels]).copied().collect(),
    };
}
