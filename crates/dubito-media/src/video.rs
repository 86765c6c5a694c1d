//! Opening a file: which decoder reads it, what it holds, and its frames one by one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::picture::{self, Sniffed};
use crate::{MediaError, Tools, embedded, ffmpeg};

/// One picture of a video.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Number in display order, from 0.
    pub index: u64,
    /// Presentation time in seconds as the container gives it; the first frame need not be at 0.
    pub timestamp: f64,
    /// 8-bit full-range RGB, upright, with square pixels.
    pub image: RgbImage,
}

/// The kind of file, decided by its format, never by the number of frames that could be decoded from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// A still picture: PNG, JPEG, WebP, ...
    Picture,
    /// A picture format with several frames: animated PNG, WebP or GIF.
    Animation,
    /// A video, be it of one frame.
    #[default]
    Video,
}

/// What a container says of its video stream. What it does not say is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoInfo {
    /// The kind of file.
    pub kind: MediaKind,
    /// Width of the frames in pixels, after rotation and with square pixels.
    pub width: u32,
    /// Height of the frames in pixels, after rotation and with square pixels.
    pub height: u32,
    /// Codec by FFmpeg's name: `h264`, `hevc`, `vp9`, `png`, ...
    pub codec: String,
    /// Stored pixel format by FFmpeg's name: `yuv420p`, `yuv444p10le`, ...
    pub pixel_format: String,
    /// Container by FFmpeg's name: `mov,mp4,m4a,3gp,3g2,mj2`, `matroska,webm`, ...
    pub container: String,
    /// Average frames per second.
    pub frame_rate: Option<f64>,
    /// Number of frames that the container declares.
    pub frames: Option<u64>,
    /// Duration in seconds that the container declares.
    pub duration: Option<f64>,
    /// Bits per second of the video stream, or of the whole file where the stream's is unknown.
    pub bit_rate: Option<u64>,
    /// Clockwise degrees (0, 90, 180, 270) by which the stored picture was turned to be upright.
    pub rotation: i32,
    /// Width to height of a stored pixel; 1:1 is square. Frames are delivered square.
    pub sample_aspect: (u32, u32),
    /// Size of the file in bytes.
    pub size_bytes: u64,
}

/// Which decoder read a file, and the file's hash: what a result needs to be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// `ffmpeg`, `openh264` or `image`.
    pub decoder: String,
    /// The decoder's version.
    pub version: String,
    /// Whether the pixels are bit-exact by the codec's standard. `false` for the embedded decoder,
    /// and for lossy images, whose standards leave the last bit open.
    pub exact: bool,
    /// BLAKE3 of the file's bytes, 64 hexadecimal digits.
    pub blake3: String,
}

/// A file being decoded: an iterator over its frames. Memory does not grow with the file's length;
/// dropping it ends the decoder.
///
/// After the first `Err` the iterator ends. Frames before the error are good: a truncated file
/// yields the frames there are and then one [`MediaError::Truncated`].
///
/// A video whose frames contradict what its container declares ends with [`MediaError::Inconsistent`]:
/// fewer than half of the frames, or of the seconds, that are declared; most timestamps not later than the one before; more
/// than 1000 frames a second or fewer than one a minute, on average. A few frames less than declared are no error: cut
/// recordings leave some out. AVI, MP4 and MOV may count frames that are not shown: a number of frames alone is no
/// contradiction there, if the seconds are all there, but for MP4 and MOV of which a single frame is shown or of which the
/// decoder complains.
pub struct Video {
    pub(crate) info: VideoInfo,
    pub(crate) provenance: Provenance,
    path: PathBuf,
    frames: Box<dyn Iterator<Item = Result<Frame, MediaError>> + Send>,
    ended: bool,
    seen: Seen,
}

/// What the frames that were delivered say of the whole.
#[derive(Debug, Default)]
struct Seen {
    frames: u64,
    first: f64,
    last: f64,
    /// Frames that are not later than the one before.
    not_later: u64,
}

/// Frames a second above which timestamps are nonsense.
const FASTEST: f64 = 1000.0;
/// Seconds from one frame to the next, on average, above which timestamps are nonsense.
const SLOWEST: f64 = 60.0;

impl std::fmt::Debug for Video {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Video").field("info", &self.info).field("provenance", &self.provenance).finish_non_exhaustive()
    }
}

impl Video {
    pub(crate) fn new(
        path: &Path,
        info: VideoInfo,
        provenance: Provenance,
        frames: impl Iterator<Item = Result<Frame, MediaError>> + Send + 'static,
    ) -> Self {
        let (path, frames) = (path.to_owned(), Box::new(frames));
        Self { info, provenance, path, frames, ended: false, seen: Seen::default() }
    }

    /// What the container says.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// Which decoder runs, and the file's hash.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }
}

impl Iterator for Video {
    type Item = Result<Frame, MediaError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.frames.next() {
            Some(Ok(frame)) => {
                self.seen.push(frame.timestamp);
                Some(Ok(frame))
            }
            // A limit, or a fault of the machine: it says nothing of the file's contents.
            Some(Err(error)) if !matches!(error, MediaError::Truncated { .. } | MediaError::Decode { .. }) => {
                self.ended = true;
                Some(Err(error))
            }
            end => {
                self.ended = true;
                let error = end.and_then(Result::err);
                match self.seen.contradiction(&self.info, error.is_none()) {
                    // An edit list may hide all of them.
                    None if error.is_none() && self.seen.frames == 0 => {
                        Some(Err(MediaError::NoFrames { path: self.path.clone(), message: String::new() }))
                    }
                    None => error.map(Err),
                    Some(message) => {
                        let why = error.and_then(|error| error.decoder_message());
                        let message = why.map_or(message.clone(), |why| format!("{message}: {why}"));
                        let (path, frames) = (self.path.clone(), self.seen.frames);
                        Some(Err(MediaError::Inconsistent { path, frames, message }))
                    }
                }
            }
        }
    }
}

impl Seen {
    fn push(&mut self, timestamp: f64) {
        if self.frames == 0 {
            self.first = timestamp;
        } else if timestamp <= self.last {
            self.not_later += 1;
        }
        self.last = timestamp;
        self.frames += 1;
    }

    /// What the container declares and the frames are not, if it is much; `in_order` where the decoder complained of nothing.
    fn contradiction(&self, info: &VideoInfo, in_order: bool) -> Option<String> {
        if info.kind == MediaKind::Picture || self.frames == 0 {
            return None;
        }
        self.shortfall(info, in_order).or_else(|| self.nonsense(info))
    }

    fn shortfall(&self, info: &VideoInfo, in_order: bool) -> Option<String> {
        let frames = self.frames;
        let is = |name: &str| info.container.split(',').any(|container| container == name);
        let step = match frames {
            1 => info.frame_rate.map_or(0.0, |rate| 1.0 / rate),
            _ => (self.last - self.first) / (frames - 1) as f64,
        };
        // Matroska declares when the stream ends, the others how long it is. A stream of MPEG declares nothing:
        // FFmpeg guesses its duration from what it finds.
        let seconds = self.last + step - if is("matroska") { self.first.min(0.0) } else { self.first };
        let declares = ["mov", "matroska", "avi", "flv", "asf", "nut", "ogg", "mxf"].iter().any(|name| is(name));
        let duration = info.duration.filter(|_| declares);
        let short = duration.filter(|duration| 2.0 * seconds < *duration);
        match info.frames.filter(|declared| 2 * u128::from(frames) < u128::from(*declared)) {
            // AVI counts packets, and those of a frame that stays as it was are empty. MP4 and MOV count what their edit lists
            // hide, such as all that a cut without re-encoding needs from the key frame before it.
            Some(_) if duration.is_some() && short.is_none() && (is("avi") || is("mov") && frames > 1 && in_order) => {
                None
            }
            Some(declared) => Some(format!("ends after {frames} of {declared} frames")),
            None => short.map(|duration| format!("ends after {seconds:.2} of {duration:.2} seconds ({frames} frames)")),
        }
    }

    /// Timestamps that no video has.
    fn nonsense(&self, info: &VideoInfo) -> Option<String> {
        let steps = self.frames.saturating_sub(1);
        if info.kind != MediaKind::Video || steps == 0 {
            return None;
        }
        let (frames, span) = (self.frames, self.last - self.first);
        if 2 * self.not_later > steps {
            return Some(format!(
                "its timestamps do not rise: {} of {frames} frames are not later than the one before",
                self.not_later
            ));
        }
        let step = span / steps as f64;
        if (1.0 / FASTEST..=SLOWEST).contains(&step) {
            return None;
        }
        Some(format!(
            "its timestamps are no video's: {frames} frames in {span:.6} seconds, expected between one a minute and \
             {FASTEST:.0} a second"
        ))
    }
}

/// Opens a local video or image. Only files are read, never an address on a network.
///
/// PNG, JPEG, WebP, GIF, BMP and TIFF files are known by their first bytes, whatever their names, and are one-frame videos at
/// time 0 (an animated PNG, WebP or GIF has all its frames); they are decoded in a process of [`Tools::embedded_worker`],
/// where it is known, else in a thread of this one. AVIF is read by FFmpeg; of other pictures the hint says how to convert
/// them. Everything else goes to FFmpeg where it is there, else to the embedded
/// decoder. The file is read once in whole for its hash.
///
/// # Errors
/// What is wrong with the file as far as its header tells; the rest comes from the iterator, such as
/// [`MediaError::NoFrames`] for a stream without one.
pub fn open(path: &Path, tools: &Tools) -> Result<Video, MediaError> {
    let metadata = fs::metadata(path).map_err(|error| MediaError::io(path, error))?;
    // /dev/stdin and its like lead elsewhere in a child process.
    let is_own = metadata.is_file() && ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder));
    let real = is_own.then(|| fs::canonicalize(path).map_err(|error| MediaError::io(path, error))).transpose()?;
    let path = real.as_deref().unwrap_or(path);
    if !metadata.is_file() {
        let kind = if metadata.is_dir() { "folder" } else { "special file" };
        return Err(MediaError::NotAFile { path: path.to_owned(), kind });
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(|error| MediaError::io(path, error))?;
    file.take(picture::SNIFFED).read_to_end(&mut start).map_err(|error| MediaError::io(path, error))?;
    if start.is_empty() {
        return Err(MediaError::Empty { path: path.to_owned() });
    }
    match picture::sniff(&start) {
        Sniffed::Picture(format) => {
            return embedded::open_picture(path, format, tools.embedded_worker.as_deref(), &tools.limits);
        }
        Sniffed::ByFfmpeg(name, kind) => {
            let opened = tools.ffmpeg.as_ref().map(|ffmpeg| ffmpeg::open(path, ffmpeg, &tools.limits));
            return match opened {
                // An FFmpeg that is too old for it.
                None | Some(Err(MediaError::NotMedia { .. } | MediaError::NoVideo { .. })) => {
                    Err(unsupported(path, name))
                }
                Some(opened) => opened.map(|mut video| {
                    video.info.kind = kind;
                    video
                }),
            };
        }
        Sniffed::Foreign(name) => return Err(unsupported(path, name)),
        Sniffed::Other(what) => {
            return Err(MediaError::NotMedia { path: path.to_owned(), message: what.to_owned() });
        }
        Sniffed::Unknown => {}
    }
    match (&tools.ffmpeg, &tools.embedded_worker) {
        (Some(ffmpeg), _) => ffmpeg::open(path, ffmpeg, &tools.limits),
        (None, Some(worker)) => embedded::open(path, worker, &tools.limits),
        (None, None) => Err(MediaError::ToolMissing {
            path: path.to_owned(),
            needs: "FFmpeg (ffmpeg and ffprobe) or the embedded decoder".to_owned(),
        }),
    }
}

fn unsupported(path: &Path, picture: &str) -> MediaError {
    let (path, decoder) = (path.to_owned(), "image".to_owned());
    MediaError::Unsupported { path, decoder, what: format!("{picture} pictures") }
}

/// BLAKE3 of a file's bytes as 64 hexadecimal digits, read in pieces.
///
/// # Errors
/// If the file cannot be read.
pub fn hash_file(path: &Path) -> Result<String, MediaError> {
    let hash = || -> io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path)?)?;
        Ok(hasher.finalize().to_hex().to_string())
    };
    hash().map_err(|error| MediaError::io(path, error))
}

/// Width and height to show a stored picture at: square pixels, upright.
///
/// Pixels that are not square are made so by scaling the stored width by their aspect, rounded to
/// the nearest even number (at least 2), before the picture is turned; a picture with square pixels
/// keeps its size, odd or even.
pub(crate) fn display_size(width: u32, height: u32, sample_aspect: (u32, u32), rotation: i32) -> (u64, u64) {
    let (numerator, denominator) = sample_aspect;
    let width = if numerator == denominator || numerator == 0 || denominator == 0 {
        u64::from(width)
    } else {
        let exact = f64::from(width) * f64::from(numerator) / f64::from(denominator);
        // `as` saturates; limits are checked afterwards.
        ((exact / 2.0).round() as u64).max(1).saturating_mul(2)
    };
    if rotation % 180 == 90 { (u64::from(height), width) } else { (width, u64::from(height)) }
}

#[cfg(test)]
mod tests {
    use super::display_size;

    #[test]
    fn square_pixels_widen_and_rotation_swaps() {
        assert_eq!(display_size(640, 480, (1, 1), 0), (640, 480));
        assert_eq!(display_size(641, 481, (1, 1), 90), (481, 641));
        assert_eq!(display_size(640, 480, (4, 3), 0), (854, 480));
        assert_eq!(display_size(512, 480, (15, 16), 0), (480, 480));
        assert_eq!(display_size(640, 480, (4, 3), 270), (480, 854));
        assert_eq!(display_size(640, 480, (0, 1), 0), (640, 480));
        assert_eq!(display_size(1, 9, (1, 1000), 0), (2, 9));
    }
}
