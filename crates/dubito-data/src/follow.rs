//! One pass over a video: its frames decoded, its faces followed, the frames asked for kept.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use dubito_face::{Aligned, CropSpec, FaceModels, TrackOptions, TrackedFace, Tracker};
use dubito_media::{Frame, MediaError, MediaKind, RgbImage, Tools, VideoInfo};
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
    /// Runs of consecutive frames, spread evenly over the whole video, as signals in time need them (pulse, motion). A
    /// window is kept only where the face is in all of its frames.
    Windows {
        /// Most windows; fewer where the video is too short for so many that don't overlap.
        windows: usize,
        /// Frames in each.
        length: usize,
    },
}

impl Sampling {
    /// `uniform`, `every:STEP` (both of at most `frames` frames) or `windows:NxLENGTH`, as the command line has it.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str, frames: usize) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok().filter(|n: &usize| (1..=1_000_000).contains(n));
        match text.split_once(':') {
            None if text == "uniform" => Some(Self::Uniform { frames }),
            Some(("every", step)) => number(step).map(|step| Self::Every { step, frames }),
            Some(("windows", size)) => size.split_once('x').and_then(|(windows, length)| {
                Some(Self::Windows { windows: number(windows)?, length: number(length)? })
            }),
            _ => None,
        }
        .ok_or_else(|| format!("{text:?} is none of uniform, every:STEP (every:4) and windows:NxLENGTH (windows:4x64)"))
    }
}

/// What is kept of a video.
pub struct Followed {
    /// The file as the decoder saw it.
    pub info: VideoInfo,
    /// The longest track first.
    pub tracks: Vec<Clip>,
    /// BLAKE3 of the file, in hexadecimal.
    pub blake3: String,
    /// Frames that were looked at.
    pub looked_at: usize,
    /// Windows that were looked for, and frames in each, where frames are sampled in windows.
    pub windows: Option<(usize, usize)>,
    /// Why the video ended early, if it did (a truncated file): what was read before is kept.
    pub broken: Option<String>,
    /// What was left out because its time is not later than the latest one seen before it, in words.
    pub stuck: Option<String>,
    /// What the container declares and the frames contradict, if they do: no answer can rest on them.
    pub inconsistent: Option<String>,
}

impl Followed {
    /// Frames that a track must have where `min_frames` are asked for: a still picture has one, and needs no more.
    pub fn needed(&self, min_frames: usize) -> usize {
        if self.info.kind == MediaKind::Picture { min_frames.min(1) } else { min_frames }
    }

    /// The status of track `i` if at least `min_frames` frames are asked for, and the reason.
    pub fn status(&self, i: usize, min_frames: usize) -> (Status, Option<String>) {
        if let Some(reason) = &self.inconsistent {
            return (Status::Inconsistent, Some(reason.clone()));
        }
        match self.tracks.get(i) {
            None => {
                let reason = match &self.broken {
                    Some(broken) => format!("no face in the {} frames before: {broken}", self.looked_at),
                    None => format!("no face in the {} frames that were looked at", self.looked_at),
                };
                (Status::NoFace, Some(reason))
            }
            Some(track) if self.windows.is_some() && track.is_empty() => {
                let (windows, length) = self.windows.unwrap_or_default();
                let reason = format!("none of {windows} windows of {length} frames has the face in all of its frames");
                (Status::TooShort, Some(reason))
            }
            Some(track) if track.len() < min_frames => {
                let short = format!("a face in {} frames, {min_frames} are needed", track.len());
                (Status::TooShort, joined([Some(short), self.stuck.clone()]))
            }
            Some(track) => {
                let kept = windows_of(track).len();
                let lost = self.windows.filter(|(windows, _)| kept < *windows);
                let lost =
                    lost.map(|(windows, _)| format!("in {} of {windows} windows the face is lost", windows - kept));
                (Status::Ok, joined([lost, self.stuck.clone(), self.broken.clone()]))
            }
        }
    }
}

/// Remarks in one text.
pub(crate) fn joined(remarks: impl IntoIterator<Item = Option<String>>) -> Option<String> {
    let remarks: Vec<String> = remarks.into_iter().flatten().collect();
    (!remarks.is_empty()).then(|| remarks.join("; "))
}

/// Frames of a track in each of its windows.
fn windows_of(track: &Clip) -> BTreeMap<u32, usize> {
    let mut frames = BTreeMap::new();
    for window in &track.windows {
        *frames.entry(*window).or_default() += 1;
    }
    frames
}

/// The windows in a video of so many frames: at most so many of `length` frames, the first at the start, the last at the
/// end (a single one in the middle), none over another. None in a video shorter than one.
fn place_windows(frames: u64, windows: usize, length: usize) -> Vec<Range<u64>> {
    let length = (length as u64).max(1);
    let count = (windows as u64).min(frames / length);
    let spare = frames.saturating_sub(length);
    let begin = |k: u64| if count == 1 { spare / 2 } else { spare * k / (count - 1) };
    (0..count).map(|k| begin(k)..begin(k) + length).collect()
}

/// Frames that the container declares; `None` where it doesn't, or declares many more than it has time to show: an edit list
/// hides the others.
fn declared(info: &VideoInfo) -> Option<u64> {
    let shown = info.duration.zip(info.frame_rate).map(|(seconds, rate)| seconds * rate);
    info.frames.filter(|&frames| shown.is_none_or(|shown| frames as f64 <= 1.25 * shown + 2.0))
}

/// Frames of a video, by decoding it.
fn count(path: &Path, tools: &Tools) -> Result<u64, DataError> {
    Ok(dubito_media::open(path, tools)?.filter(Result::is_ok).count() as u64)
}

/// Follows the faces in a video and keeps the frames that `sampling` asks for.
///
/// With a `crop` a track holds the aligned crops, with landmarks in the crop's pixels; without one it
/// holds no pixels (`size` 0), and landmarks in the video's. Frames between those sampled are not
/// looked at. Where the length is not known, the step starts at one and doubles whenever twice as
/// many frames as asked for are held, so memory never grows with the video; for windows the video is
/// decoded once more, to count its frames. Between windows a frame every half second is looked at and
/// not kept, so that a face keeps its track from one to the next.
///
/// # Errors
/// [`DataError::Media`] where the file can't be opened, not one frame is decoded, or a limit ends the decoder.
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
    let mut windows: Vec<Range<u64>> = Vec::new();
    let (wanted, mut step) = match sampling {
        Sampling::Uniform { frames } => {
            let frames = frames.max(1);
            (frames, declared(&info).map_or(1, |n| (n / (2 * frames as u64)).max(1)))
        }
        Sampling::Every { step, frames } => (frames.max(1), step.max(1) as u64),
        Sampling::Windows { windows: most, length } => {
            let frames = declared(&info).map_or_else(|| count(path, tools), Ok)?;
            windows = place_windows(frames, most, length);
            (usize::MAX, (info.frame_rate.unwrap_or(25.0) / 2.0).clamp(1.0, 60.0) as u64)
        }
    };
    let in_windows = matches!(sampling, Sampling::Windows { .. });
    let last = windows.last().map(|window| window.end);
    let uniform = matches!(sampling, Sampling::Uniform { .. });
    let mut tracker = Tracker::new(models, TrackOptions::default());
    let mut tracks: BTreeMap<u32, Clip> = BTreeMap::new();
    let mut held: Vec<u64> = Vec::new();
    let (mut looked_at, mut broken, mut inconsistent, mut stuck) = (0, None, None, 0);
    let mut latest = f64::NEG_INFINITY;
    for frame in &mut file {
        let Frame { index, timestamp, image } = match frame {
            Ok(frame) => frame,
            Err(MediaError::Inconsistent { message, .. }) => {
                inconsistent = Some(message);
                break;
            }
            Err(error @ (MediaError::Truncated { .. } | MediaError::Decode { .. })) if looked_at > 0 => {
                broken = Some(error.without_path());
                break;
            }
            // Of a video that the decoder was stopped in, nobody knows how much is missing.
            Err(error) => return Err(error.into()),
        };
        if last.is_some_and(|last| index >= last) {
            // The windows lie in the frames that the container declares.
            if declared(&info).is_some_and(|declared| index >= declared) {
                broken = declared(&info).map(|declared| format!("there are more frames than the {declared} declared"));
            }
            break;
        }
        let window = windows.iter().position(|window| window.contains(&index));
        if index % step != 0 && window.is_none() {
            continue;
        }
        looked_at += 1;
        if timestamp <= latest || !timestamp.is_finite() {
            stuck += 1;
            continue;
        }
        latest = timestamp;
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
            if !in_windows || window.is_some() {
                keep(track, index, timestamp, &image, &face, crop)?;
                track.windows.push(window.unwrap_or(0) as u32);
            }
        }
        if uniform && held.len() >= 2 * wanted {
            step *= 2;
            held.retain(|i| i % step == 0);
            tracks.values_mut().for_each(|t| thin(t, |i, t| t.frame_index[i].is_multiple_of(step)));
        }
        if !uniform && !in_windows && tracks.values().any(|t| t.len() >= wanted) {
            break;
        }
    }
    let mut tracks: Vec<Clip> = tracks.into_values().filter(|t| in_windows || !t.is_empty()).collect();
    for track in &mut tracks {
        if let Sampling::Windows { length, .. } = sampling {
            keep_whole_windows(track, length);
        }
        let n = track.len();
        if n > wanted {
            let chosen: Vec<usize> = (0..wanted).map(|k| k * n / wanted).collect();
            thin(track, |i, _| chosen.binary_search(&i).is_ok());
        }
    }
    // The track that is seen longest and largest first; earlier ones first among equals.
    let weight = |t: &Clip| t.boxes.iter().map(|b| f64::from(b[2] - b[0]).max(0.0)).sum::<f64>();
    tracks.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    let windows = match sampling {
        Sampling::Windows { length, .. } => Some((windows.len(), length)),
        _ => None,
    };
    let stuck = (stuck > 0).then(|| format!("the time of {stuck} frames is not after that of a frame before"));
    Ok(Followed { info, tracks, blake3: source.blake3, looked_at, windows, broken, inconsistent, stuck })
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

/// Leaves out the windows of a track that lack one of their frames.
fn keep_whole_windows(track: &mut Clip, length: usize) {
    let frames = windows_of(track);
    thin(track, |i, t| frames[&t.windows[i]] == length);
}

/// The least that a frame must be to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Smallest presence (the mesh's belief that there is a face), in [0, 1].
    pub presence: f32,
    /// Smallest face, the longer side of the box around its mesh, in the video's pixels.
    pub face: u32,
}

impl Quality {
    /// Leaves out the frames of a track that fall short (of windows, the whole window), and says how many did, if any.
    pub fn sift(&self, track: &mut Clip, sampling: Sampling) -> Option<String> {
        let before = track.len();
        let size = |b: &[f32; 4]| (b[2] - b[0]).max(b[3] - b[1]);
        let small = |i: usize, t: &Clip| size(&t.boxes[i]) < self.face as f32;
        let faint = |i: usize, t: &Clip| t.presence[i] < self.presence;
        let count = |what: &dyn Fn(usize, &Clip) -> bool| (0..before).filter(|&i| what(i, track)).count();
        let found = [
            (count(&small), format!("a face smaller than {} pixels", self.face)),
            (count(&faint), format!("a presence below {}", self.presence)),
        ];
        if found.iter().all(|(n, _)| *n == 0) {
            return None;
        }
        thin(track, |i, t| !small(i, t) && !faint(i, t));
        if let Sampling::Windows { length, .. } = sampling {
            keep_whole_windows(track, length);
        }
        let why: Vec<String> = found.iter().filter(|(n, _)| *n > 0).map(|(n, why)| format!("{n} with {why}")).collect();
        Some(format!("{} of {before} frames left out: {}", before - track.len(), why.join(", ")))
    }
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
        windows: kept.iter().map(|&i| clip.windows[i]).collect(),
        landmarks: kept.iter().flat_map(|&i| clip.points(i).unwrap_or_default()).copied().collect(),
        frames: kept.iter().flat_map(|&i| &clip.frames[i * pixels..(i + 1) * pixels]).copied().collect(),
    };
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clip::POINTS;

    #[test]
    fn windows_are_spread_whole_and_apart() {
        assert_eq!(place_windows(100, 3, 10), [0..10, 45..55, 90..100]);
        assert_eq!(place_windows(100, 1, 10), std::iter::once(45..55).collect::<Vec<_>>());
        assert_eq!(place_windows(25, 4, 10), [0..10, 15..25], "no more than fit");
        assert_eq!(place_windows(9, 4, 10), []);
        for (frames, most, length) in [(31, 3, 10), (64, 4, 16), (1000, 7, 13)] {
            let windows = place_windows(frames, most, length);
            assert_eq!(windows.len(), most);
            assert!(windows.windows(2).all(|w| w[0].end <= w[1].start), "{windows:?}");
            assert!(windows.iter().all(|w| w.end - w.start == length as u64 && w.end <= frames));
        }
    }

    #[test]
    fn frames_that_are_counted_and_not_shown_are_not_relied_on() {
        let info = |frames, duration, frame_rate| VideoInfo {
            kind: MediaKind::Video,
            width: 4,
            height: 4,
            codec: String::new(),
            pixel_format: String::new(),
            container: String::new(),
            frame_rate,
            frames,
            duration,
            bit_rate: None,
            rotation: 0,
            sample_aspect: (1, 1),
            size_bytes: 0,
        };
        assert_eq!(declared(&info(Some(238), Some(1.52), Some(25.0))), None);
        assert_eq!(declared(&info(Some(40), Some(1.52), Some(25.0))), Some(40));
        assert_eq!(declared(&info(Some(238), None, Some(25.0))), Some(238));
        assert_eq!(declared(&info(None, Some(1.52), Some(25.0))), None);
    }

    #[test]
    fn sampling_is_read_as_the_command_line_has_it() {
        assert_eq!(Sampling::parse("uniform", 8), Ok(Sampling::Uniform { frames: 8 }));
        assert_eq!(Sampling::parse("every:4", 8), Ok(Sampling::Every { step: 4, frames: 8 }));
        assert_eq!(Sampling::parse("windows:4x64", 8), Ok(Sampling::Windows { windows: 4, length: 64 }));
        for bad in ["", "uniform:3", "every", "every:0", "windows:4", "windows:0x3", "windows:4x-1", "all"] {
            assert!(Sampling::parse(bad, 8).unwrap_err().contains("windows:4x64"), "{bad}");
        }
    }

    fn track(windows: &[u32]) -> Clip {
        let t = windows.len();
        Clip {
            frame_index: (0..t as u64).collect(),
            timestamps: vec![0.0; t],
            boxes: vec![[0.0, 0.0, 40.0, 60.0]; t],
            transforms: vec![[0.0; 6]; t],
            presence: vec![0.9; t],
            windows: windows.to_vec(),
            landmarks: vec![[0.0; 3]; t * POINTS],
            ..Clip::default()
        }
    }

    #[test]
    fn what_falls_short_is_left_out_and_said() {
        let uniform = Sampling::Uniform { frames: 4 };
        let mut clip = track(&[0; 4]);
        assert_eq!(Quality { presence: 0.5, face: 60 }.sift(&mut clip, uniform), None);
        clip.boxes[1] = [0.0, 0.0, 30.0, 31.0];
        clip.presence[2] = 0.2;
        let said = Quality { presence: 0.5, face: 60 }.sift(&mut clip, uniform).unwrap();
        assert_eq!(clip.frame_index, [0, 3]);
        assert!(said.contains("2 of 4 frames") && said.contains("60 pixels") && said.contains("presence"), "{said}");

        let mut clip = track(&[0, 0, 1, 1, 2]);
        keep_whole_windows(&mut clip, 2);
        assert_eq!(clip.windows, [0, 0, 1, 1], "the third lacks a frame");
        clip.presence[1] = 0.1;
        Quality { presence: 0.5, face: 0 }.sift(&mut clip, Sampling::Windows { windows: 3, length: 2 });
        assert_eq!((clip.windows.as_slice(), clip.frame_index.as_slice()), (&[1, 1][..], &[2, 3][..]));
    }
}
