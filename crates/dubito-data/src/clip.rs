//! The clip: what is kept of one face track, in one safetensors file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use image::RgbImage;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::mapped::StoredFile;

/// Version of the layout below. A file of another version is refused, never guessed at.
pub const VERSION: u32 = 2;
/// Points of a face mesh.
pub const POINTS: usize = 468;
/// Largest clip that is read.
const MAX_BYTES: u64 = 8 << 30;
/// Largest side of a crop.
const MAX_SIDE: u32 = 16_384;
/// Most windows, and so the largest number of one.
const MAX_WINDOWS: u32 = 1_000_000;
/// Largest coordinate, in pixels, of a point or a box.
const MAX_PIXELS: f32 = 1e6;
/// Longest header that is read.
const MAX_HEADER: u64 = 16 << 20;

/// Where a clip comes from and how it was cut.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClipMeta {
    /// [`VERSION`] of the layout.
    pub version: u32,
    /// Name of the video in the manifest.
    pub video: String,
    /// BLAKE3 of the video's file, in hexadecimal.
    pub blake3: String,
    /// What decoded it.
    pub decoder: String,
    /// The decoder's version.
    pub decoder_version: String,
    /// Whether the decoder gives the standard's exact pixels.
    pub exact: bool,
    /// Number of the face track in the video.
    pub track: u32,
    /// Side of the crop in pixels.
    pub size: u32,
    /// Margin around the face, as a fraction of its size, on each side.
    pub margin: f32,
}

/// One face followed through a video: aligned crops with what is known of each frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clip {
    /// Where it comes from.
    pub meta: ClipMeta,
    /// Number of each frame in the video.
    pub frame_index: Vec<u64>,
    /// Presentation time of each frame, in seconds.
    pub timestamps: Vec<f64>,
    /// Box of the face in each frame: x0, y0, x1, y1 in the video's pixels as displayed.
    pub boxes: Vec<[f32; 4]>,
    /// Map from the video's pixels to the crop's, row by row: x' = a x + b y + c, y' = d x + e y + f.
    pub transforms: Vec<[f32; 6]>,
    /// The mesh's belief that there is a face, in [0, 1].
    pub presence: Vec<f32>,
    /// Number of the window that each frame belongs to, from 0; all 0 where frames were not sampled in windows.
    pub windows: Vec<u32>,
    /// 468 points for each frame, in the crop's pixels (z in the same scale).
    pub landmarks: Vec<[f32; 3]>,
    /// RGB pixels of each frame: `[frames, size, size, 3]`.
    pub frames: Vec<u8>,
}

impl Clip {
    /// Frames in the clip.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// RGB pixels of frame `i`, `[size, size, 3]`; `None` past the end.
    pub fn frame(&self, i: usize) -> Option<&[u8]> {
        let bytes = (self.meta.size as usize).pow(2) * 3;
        self.frames.get(i.checked_mul(bytes)?..(i + 1).checked_mul(bytes)?)
    }

    /// Frame `i` as an image; `None` past the end.
    pub fn image(&self, i: usize) -> Option<RgbImage> {
        RgbImage::from_raw(self.meta.size, self.meta.size, self.frame(i)?.to_vec())
    }

    /// Landmarks of frame `i` in the crop's pixels; `None` past the end.
    pub fn points(&self, i: usize) -> Option<&[[f32; 3]]> {
        self.landmarks.get(i * POINTS..(i + 1) * POINTS)
    }

    /// Writes the clip atomically.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        crate::write_atomically(path, &self.encode(path)?)
    }

    /// The bytes of the clip's file; `path` is what an error names.
    pub(crate) fn encode(&self, path: &Path) -> Result<Vec<u8>, DataError> {
        let wrong = |message: String| DataError::Clip { path: path.to_owned(), message };
        let (t, size) = (self.len(), self.meta.size as usize);
        let index: Vec<u8> = self.frame_index.iter().flat_map(|v| v.to_le_bytes()).collect();
        let times: Vec<u8> = self.timestamps.iter().flat_map(|v| v.to_le_bytes()).collect();
        let windows: Vec<u8> = self.windows.iter().flat_map(|v| v.to_le_bytes()).collect();
        let bytes = |values: &mut dyn Iterator<Item = f32>| values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
        let boxes = bytes(&mut self.boxes.iter().flatten().copied());
        let transforms = bytes(&mut self.transforms.iter().flatten().copied());
        let presence = bytes(&mut self.presence.iter().copied());
        let landmarks = bytes(&mut self.landmarks.iter().flatten().copied());
        let tensors = [
            ("frames", Dtype::U8, vec![t, size, size, 3], &self.frames),
            ("landmarks", Dtype::F32, vec![t, POINTS, 3], &landmarks),
            ("timestamps", Dtype::F64, vec![t], &times),
            ("frame_index", Dtype::U64, vec![t], &index),
            ("boxes", Dtype::F32, vec![t, 4], &boxes),
            ("transforms", Dtype::F32, vec![t, 2, 3], &transforms),
            ("presence", Dtype::F32, vec![t], &presence),
            ("windows", Dtype::U32, vec![t], &windows),
        ];
        let views = tensors
            .into_iter()
            .map(|(name, kind, shape, data)| {
                let view = TensorView::new(kind, shape, data).map_err(|e| wrong(format!("tensor {name}: {e}")))?;
                Ok((name, view))
            })
            .collect::<Result<Vec<_>, DataError>>()?;
        let meta = serde_json::to_string(&ClipMeta { version: VERSION, ..self.meta.clone() })
            .map_err(|e| wrong(e.to_string()))?;
        let header = HashMap::from([("dubito".to_owned(), meta)]);
        safetensors::serialize(views, Some(header)).map_err(|e| wrong(e.to_string()))
    }

    /// Whether its values can be what they stand for: numbers that are finite and in range, boxes that are not inside out,
    /// frames and times that rise, windows in order.
    ///
    /// # Errors
    /// The first field that is not, with the frame, what was expected and what was found.
    pub fn check(&self) -> Result<(), String> {
        let wrong = |field: &str, frame: usize, expected: &str, found: &dyn std::fmt::Debug| {
            Err(format!("tensor {field}, frame {frame}: expected {expected}, found {found:?}"))
        };
        let within = |v: &f32| v.is_finite() && v.abs() <= MAX_PIXELS;
        if !(0.0..=100.0).contains(&self.meta.margin) {
            return Err(format!("metadata margin: expected 0 to 100, found {:?}", self.meta.margin));
        }
        for (i, time) in self.timestamps.iter().enumerate() {
            if !time.is_finite() {
                return wrong("timestamps", i, "a number of seconds", time);
            }
            if i > 0 && *time <= self.timestamps[i - 1] {
                return wrong("timestamps", i, &format!("later than {:?}", self.timestamps[i - 1]), time);
            }
        }
        for (i, pair) in self.frame_index.windows(2).enumerate() {
            if pair[1] <= pair[0] {
                return wrong("frame_index", i + 1, &format!("above {}", pair[0]), &pair[1]);
            }
        }
        for (i, window) in self.windows.iter().enumerate() {
            if *window >= MAX_WINDOWS {
                return wrong("windows", i, &format!("a number below {MAX_WINDOWS}"), window);
            }
            if i > 0 && *window < self.windows[i - 1] {
                return wrong("windows", i, &format!("{} or above", self.windows[i - 1]), window);
            }
        }
        for (i, b) in self.boxes.iter().enumerate() {
            if !b.iter().all(within) || b[0] > b[2] || b[1] > b[3] {
                return wrong("boxes", i, "x0 <= x1 and y0 <= y1, in pixels", b);
            }
        }
        for (i, t) in self.transforms.iter().enumerate() {
            if !t.iter().all(|v| v.is_finite()) {
                return wrong("transforms", i, "six finite numbers", t);
            }
        }
        for (i, presence) in self.presence.iter().enumerate() {
            if !(0.0..=1.0).contains(presence) {
                return wrong("presence", i, "0 to 1", presence);
            }
        }
        for (i, point) in self.landmarks.iter().enumerate() {
            if !point.iter().all(within) {
                return wrong(
                    "landmarks",
                    i / POINTS,
                    &format!("coordinates of point {} in pixels", i % POINTS),
                    point,
                );
            }
        }
        Ok(())
    }

    /// Reads a clip.
    ///
    /// # Errors
    /// [`DataError::Clip`] names the tensor whose type, shape or values (see [`Clip::check`]) are not as they should be, and
    /// the version where it is another one.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let wrong = |message: String| DataError::Clip { path: path.to_owned(), message };
        let length = std::fs::metadata(path).map_err(DataError::io(path))?.len();
        if length > MAX_BYTES {
            return Err(wrong(format!("{length} bytes; at most {MAX_BYTES} are read")));
        }
        let buffer = std::fs::read(path).map_err(DataError::io(path))?;
        let (_, header) =
            SafeTensors::read_metadata(&buffer).map_err(|e| wrong(format!("not a safetensors file: {e}")))?;
        let meta = header.metadata().as_ref().and_then(|m| m.get("dubito"));
        let meta = meta.ok_or_else(|| wrong("no `dubito` metadata: this is no clip".into()))?;
        let version: serde_json::Value = serde_json::from_str(meta).map_err(|e| wrong(format!("metadata: {e}")))?;
        if version["version"] != VERSION {
            return Err(wrong(format!(
                "a clip of version {}, and this program reads version {VERSION}",
                version["version"]
            )));
        }
        // What serde says of a number out of range does not name the field.
        for (field, most) in [("size", u64::from(MAX_SIDE)), ("track", u64::from(u32::MAX))] {
            if version[field].as_u64().is_none_or(|n| n > most) {
                return Err(wrong(format!("metadata {field}: expected 0 to {most}, found {}", version[field])));
            }
        }
        let meta: ClipMeta = serde_json::from_str(meta).map_err(|e| wrong(format!("metadata: {e}")))?;
        let tensors = SafeTensors::deserialize(&buffer).map_err(|e| wrong(e.to_string()))?;
        let frames = tensors.tensor("frames").map_err(|e| wrong(format!("tensor frames: {e}")))?;
        let t = frames.shape().first().copied().unwrap_or(0);
        let size = meta.size as usize;
        let data = |name: &str, kind: Dtype, shape: &[usize]| {
            let tensor = tensors.tensor(name).map_err(|e| wrong(format!("tensor {name}: {e}")))?;
            if tensor.dtype() != kind || tensor.shape() != shape {
                let (k, s) = (tensor.dtype(), tensor.shape());
                return Err(wrong(format!("tensor {name}: expected {kind:?} {shape:?}, found {k:?} {s:?}")));
            }
            Ok(tensor.data().to_vec())
        };
        let floats = |name: &str, shape: &[usize]| {
            let bytes = data(name, Dtype::F32, shape)?;
            let (values, _) = bytes.as_chunks::<4>();
            Ok::<Vec<f32>, DataError>(values.iter().map(|b| f32::from_le_bytes(*b)).collect())
        };
        let clip = Self {
            frames: data("frames", Dtype::U8, &[t, size, size, 3])?,
            landmarks: floats("landmarks", &[t, POINTS, 3])?.as_chunks().0.to_vec(),
            timestamps: data("timestamps", Dtype::F64, &[t])?
                .as_chunks()
                .0
                .iter()
                .map(|b| f64::from_le_bytes(*b))
                .collect(),
            frame_index: data("frame_index", Dtype::U64, &[t])?
                .as_chunks()
                .0
                .iter()
                .map(|b| u64::from_le_bytes(*b))
                .collect(),
            boxes: floats("boxes", &[t, 4])?.as_chunks().0.to_vec(),
            transforms: floats("transforms", &[t, 2, 3])?.as_chunks().0.to_vec(),
            presence: floats("presence", &[t])?,
            windows: data("windows", Dtype::U32, &[t])?.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect(),
            meta,
        };
        clip.check().map_err(wrong)?;
        Ok(clip)
    }
}

/// The frames of a clip on disk, read one by one through a memory map.
///
/// Nothing is read before it is asked for, so that a store of very many clips opens at once. What is trusted without a
/// look: that the clip is there and has as many frames as the manifest says, until its first frame is read; and that the
/// pixels are those that were written, since a hash would cost more than the read.
#[derive(Debug)]
pub struct ClipFrames {
    path: PathBuf,
    /// Frames that the manifest promises.
    promised: Option<u32>,
    opened: OnceLock<Opened>,
}

/// A clip's file with what its header says of the frames.
#[derive(Debug)]
struct Opened {
    file: StoredFile,
    size: u32,
    count: usize,
    /// Where the first frame begins in the file.
    begin: u64,
}

impl ClipFrames {
    /// The frames of the clip at `path`, of which there are `promised` (a manifest's `frames`). With a promise nothing
    /// is read yet; without one the header is.
    ///
    /// # Errors
    /// Without a promise, [`DataError::Clip`] where there is no header, or the file is shorter than it says.
    pub fn open(path: &Path, promised: Option<u32>) -> Result<Self, DataError> {
        let frames = Self { path: path.to_owned(), promised, opened: OnceLock::new() };
        if promised.is_none() {
            frames.opened()?;
        }
        Ok(frames)
    }

    /// Side of the crops in pixels; reads the header.
    ///
    /// # Errors
    /// [`DataError::Clip`] where there is no header, the file is shorter than it says, or the number of frames is not
    /// what was promised.
    pub fn size(&self) -> Result<u32, DataError> {
        Ok(self.opened()?.size)
    }

    /// Frames in the clip: those promised, else what the header says.
    pub fn len(&self) -> usize {
        self.promised.map_or_else(|| self.opened.get().map_or(0, |o| o.count), |n| n as usize)
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads frame `i` into `out`, `[size, size, 3]`.
    ///
    /// # Errors
    /// Those of [`ClipFrames::size`]; [`DataError::Clip`] where there is no such frame, `out` has another length (the
    /// clip's crops are of another size), or the file was changed since it was opened.
    pub fn read(&self, i: usize, out: &mut [u8]) -> Result<(), DataError> {
        let Opened { file, size, count, begin } = self.opened()?;
        let bytes = (*size as usize).pow(2) * 3;
        if i >= *count || out.len() != bytes {
            let message = format!(
                "frame {i} in {} bytes was asked for; there are {count} of {size} x {size} pixels, {bytes} bytes each",
                out.len()
            );
            return Err(DataError::Clip { path: self.path.clone(), message });
        }
        file.read_at(begin + (i * bytes) as u64, out)
            .map_err(|e| DataError::Clip { path: self.path.clone(), message: e.to_string() })
    }

    fn opened(&self) -> Result<&Opened, DataError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = read_header(&self.path)?;
        if let Some(promised) = self.promised.filter(|n| *n as usize != opened.count) {
            let message = format!("{} frames, and the manifest says {promised}", opened.count);
            return Err(DataError::Clip { path: self.path.clone(), message });
        }
        // Another thread may have been faster; both read the same.
        Ok(self.opened.get_or_init(|| opened))
    }
}

fn read_header(path: &Path) -> Result<Opened, DataError> {
    let wrong = |message: &str| DataError::Clip { path: path.to_owned(), message: message.into() };
    let file = StoredFile::open(path).map_err(DataError::io(path))?;
    let mut length = [0; 8];
    file.read_at(0, &mut length).map_err(|_| wrong("shorter than a safetensors header"))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER {
        return Err(wrong("not a safetensors file: its header is too long"));
    }
    if file.len() < 8 + length {
        return Err(wrong("shorter than its header"));
    }
    let mut header = vec![0; length as usize];
    file.read_at(8, &mut header).map_err(|e| wrong(&e.to_string()))?;
    let header: serde_json::Value =
        serde_json::from_slice(&header).map_err(|e| wrong(&format!("not a safetensors file: {e}")))?;
    let frames = &header["frames"];
    let number = |v: &serde_json::Value| v.as_u64().ok_or_else(|| wrong("tensor frames: no shape or offset"));
    let (count, size) = (number(&frames["shape"][0])?, number(&frames["shape"][1])?);
    let (from, to) = (number(&frames["data_offsets"][0])?, number(&frames["data_offsets"][1])?);
    let bytes = size.checked_mul(size).and_then(|b| b.checked_mul(3)).and_then(|b| b.checked_mul(count));
    let end = to.checked_add(8 + length);
    if bytes != to.checked_sub(from) || end.is_none_or(|end| end > file.len()) || size > u64::from(MAX_SIDE) {
        return Err(wrong("tensor frames: its shape is not that of its bytes"));
    }
    Ok(Opened { file, size: size as u32, count: count as usize, begin: 8 + length + from })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn clip() -> Clip {
        let (t, size) = (3, 5);
        Clip {
            meta: ClipMeta { version: VERSION, video: "v".into(), size, margin: 0.25, ..ClipMeta::default() },
            frame_index: vec![0, 2, 4],
            timestamps: vec![0.0, 0.04, 0.11],
            boxes: vec![[1.0, 2.0, 3.0, 4.0]; t],
            transforms: vec![[1.0, 0.0, 0.5, 0.0, 1.0, -0.5]; t],
            presence: vec![0.9; t],
            windows: vec![0, 0, 1],
            landmarks: (0..t * POINTS).map(|i| [i as f32, 0.5, -1.0]).collect(),
            frames: (0..t * 75).map(|i| (i % 251) as u8).collect(),
        }
    }

    #[test]
    fn a_clip_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x/clip.safetensors");
        clip().write(&path).unwrap();
        let back = Clip::read(&path).unwrap();
        assert_eq!(back, clip());
        assert_eq!(back.image(2).unwrap().get_pixel(4, 4)[2], (3 * 75 - 1) as u8);
        assert!(back.frame(3).is_none() && back.points(3).is_none());
        let mut out = vec![0; 75];
        for promised in [None, Some(3)] {
            let frames = ClipFrames::open(&path, promised).unwrap();
            frames.read(1, &mut out).unwrap();
            assert_eq!((frames.len(), frames.size().unwrap(), out.as_slice()), (3, 5, clip().frame(1).unwrap()));
            assert!(frames.read(3, &mut out).is_err());
            let message = frames.read(0, &mut [0; 12]).unwrap_err().to_string();
            assert!(message.contains("clip.safetensors") && message.contains("5 x 5"), "{message}");
        }
        let message = ClipFrames::open(&path, Some(4)).unwrap().read(0, &mut out).unwrap_err().to_string();
        assert!(message.contains("3 frames") && message.contains("says 4"), "{message}");
    }

    #[test]
    fn values_that_can_not_be_are_refused_with_file_and_field() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd.safetensors");
        type Spoil = fn(&mut Clip);
        let spoils: [(&str, Spoil); 21] = [
            ("landmarks, frame 1", |c| c.landmarks[POINTS + 7][1] = f32::NAN),
            ("landmarks, frame 2", |c| c.landmarks[3 * POINTS - 1][2] = f32::NEG_INFINITY),
            ("landmarks, frame 0", |c| c.landmarks[0][0] = 1e30),
            ("boxes, frame 0", |c| c.boxes[0][2] = f32::INFINITY),
            ("boxes, frame 1", |c| c.boxes[1] = [3.0, 2.0, 1.0, 4.0]),
            ("boxes, frame 2", |c| c.boxes[2] = [1.0, 5.0, 3.0, 4.0]),
            ("timestamps, frame 0", |c| c.timestamps[0] = f64::NAN),
            ("timestamps, frame 2", |c| c.timestamps[2] = f64::INFINITY),
            ("timestamps, frame 1", |c| c.timestamps[1] = -0.5),
            ("timestamps, frame 2", |c| c.timestamps[2] = 0.04),
            ("frame_index, frame 2", |c| c.frame_index[2] = 2),
            ("frame_index, frame 1", |c| c.frame_index[0] = u64::MAX),
            ("windows, frame 2", |c| c.windows[2] = u32::MAX),
            ("windows, frame 1", |c| c.windows = vec![1, 0, 0]),
            ("transforms, frame 0", |c| c.transforms[0][5] = f32::NAN),
            ("transforms, frame 1", |c| c.transforms[1][0] = f32::INFINITY),
            ("presence, frame 0", |c| c.presence[0] = 1.000_01),
            ("presence, frame 1", |c| c.presence[1] = f32::NAN),
            ("presence, frame 2", |c| c.presence[2] = -0.1),
            ("margin", |c| c.meta.margin = -1.0),
            ("size", |c| (c.meta.size, c.frames) = (20_000, Vec::new())),
        ];
        for (field, spoil) in spoils {
            let mut odd = clip();
            spoil(&mut odd);
            if odd.frames.is_empty() {
                odd = Clip { meta: odd.meta, ..Clip::default() };
            }
            odd.write(&path).unwrap();
            let message = Clip::read(&path).unwrap_err().to_string();
            assert!(message.contains(field) && message.contains("odd.safetensors"), "{field}: {message}");
            assert!(message.contains("expected") && message.contains("found"), "{message}");
        }
        // A size below 0.
        let header = HashMap::from([("dubito".to_owned(), r#"{"version":2,"size":-5,"track":0}"#.to_owned())]);
        let frames = TensorView::new(Dtype::U8, vec![0, 0, 0, 3], &[]).unwrap();
        std::fs::write(&path, safetensors::serialize([("frames", frames)], Some(header)).unwrap()).unwrap();
        let message = Clip::read(&path).unwrap_err().to_string();
        assert!(message.contains("metadata size: expected 0 to 16384, found -5"), "{message}");
    }

    #[test]
    fn a_file_that_is_no_clip_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.safetensors");
        clip().write(&path).unwrap();
        let good = std::fs::read(&path).unwrap();
        let bad = folder.path().join("bad.safetensors");
        for cut in [0, 4, 9, 200, good.len() - 1] {
            std::fs::write(&bad, &good[..cut]).unwrap();
            let message = Clip::read(&bad).unwrap_err().to_string();
            assert!(message.contains("bad.safetensors"), "{message}");
            assert!(ClipFrames::open(&bad, None).is_err());
            let promised = ClipFrames::open(&bad, Some(3)).unwrap();
            assert!(promised.read(0, &mut [0; 75]).unwrap_err().to_string().contains("bad.safetensors"));
        }
        // Cut while it is open: an error, no crash.
        std::fs::write(&bad, &good).unwrap();
        let frames = ClipFrames::open(&bad, None).unwrap();
        frames.read(2, &mut [0; 75]).unwrap();
        std::fs::File::options().write(true).open(&bad).unwrap().set_len(100).unwrap();
        let message = frames.read(2, &mut [0; 75]).unwrap_err().to_string();
        assert!(message.contains("bad.safetensors") && message.contains("changed"), "{message}");
        // Another version, in place: the header keeps its length.
        let text = b"\\\"version\\\":2";
        let at = good.windows(text.len()).position(|w| w == text).unwrap();
        let mut other = good.clone();
        other[at + text.len() - 1] = b'9';
        std::fs::write(&bad, other).unwrap();
        let message = Clip::read(&bad).unwrap_err().to_string();
        assert!(message.contains("version 9"), "{message}");
    }
}
