//! Opening a file: which decoder reads it, what it holds, and its frames one by one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::{MediaError, Tools, embedded, ffmpeg, picture};

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

/// What a container says of its video stream. What it does not say is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoInfo {
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
pub struct Video {
    pub(crate) info: VideoInfo,
    pub(crate) provenance: Provenance,
    pub(crate) frames: Box<dyn Iterator<Item = Result<Frame, MediaError>> + Send>,
    pub(crate) ended: bool,
}

impl std::fmt::Debug for Video {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Video").field("info", &self.info).field("provenance", &self.provenance).finish_non_exhaustive()
    }
}

impl Video {
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
        let next = self.frames.next();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Opens a local video or image. Only files are read, never an address on a network.
///
/// PNG, JPEG and WebP files are known by their first bytes and are one-frame videos at time 0 (an
/// animated PNG has all its frames). Everything else goes to FFmpeg where it is there, else to the
/// embedded decoder. The file is read once in whole for its hash.
///
/// # Errors
/// What is wrong with the file as far as its header tells; the rest comes from the iterator, such as
/// [`MediaError::NoFrames`] for a stream without one.
pub fn open(path: &Path, tools: &Tools) -> Result<Video, MediaError> {
    let metadata = fs::metadata(path).map_err(|error| MediaError::io(path, error))?;
    if !metadata.is_file() {
        let kind = if metadata.is_dir() { "folder" } else { "special file" };
        return Err(MediaError::NotAFile { path: path.to_owned(), kind });
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(|error| MediaError::io(path, error))?;
    file.take(64).read_to_end(&mut start).map_err(|error| MediaError::io(path, error))?;
    if start.is_empty() {
        return Err(MediaError::Empty { path: path.to_owned() });
    }
    if let Some(format) = picture::sniff(&start) {
        return picture::open(path, format, &tools.limits);
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
