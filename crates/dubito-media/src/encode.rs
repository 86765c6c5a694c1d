//! Writing frames to a video file: FFmpeg where it is there, else the embedded encoder.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use dubito_process::Process;
use image::RgbImage;
use serde::{Deserialize, Serialize};
use tempfile::{NamedTempFile, TempPath};

use crate::ffmpeg::SCALE_FLAGS;
use crate::message::clean;
use crate::picture::AnimationWriter;
use crate::tools::ffmpeg_command;
use crate::video::hash_file;
use crate::{FfmpegTools, MediaError, Tools, embedded, worker};

/// How the pixels are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Lossless. With FFmpeg: FFV1 (version 3, every frame a key frame) in Matroska (`.mkv`), whose
    /// times are whole milliseconds. Without: an animated PNG (`.png`), about twice the size.
    Raw,
    /// H.264, 8-bit 4:2:0, BT.601 limited range and tagged so, in MP4 (`.mp4`).
    ///
    /// With FFmpeg: libx264, preset `veryfast` (a third of the default preset's time, files of about the
    /// same size), one thread, constant rate factor `quantiser` (FaceForensics++: 23 and 40). Without: OpenH264 at constant quantisation
    /// parameter `quantiser`. The two are not the same quality at one number:
    /// [`Encoded::encoder`] says which it was.
    H264 {
        /// Constant rate factor or quantisation parameter, 1 (best) to 51 (worst).
        quantiser: u8,
    },
}

/// How to write a video.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EncodeSettings {
    /// How the pixels are stored.
    pub codec: Codec,
    /// Constant frame rate in frames per second, above 0 up to 1000; frame n is shown at n / rate.
    pub frame_rate: f64,
}

/// A finished file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Encoded {
    /// Which encoder with which setting: `libx264 crf 23`, `openh264 qp 23`, `ffv1` or `apng`.
    pub encoder: String,
    /// Version of FFmpeg, OpenH264 or the PNG writer.
    pub version: String,
    /// The file. Its extension is the container's, whatever was asked for.
    pub path: PathBuf,
    /// Stored width in pixels: for H.264 the even number at or above the width given.
    pub width: u32,
    /// Stored height in pixels: for H.264 the even number at or above the height given.
    pub height: u32,
    /// Frames written.
    pub frames: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// BLAKE3 of the file, 64 hexadecimal digits.
    pub blake3: String,
}

impl EncodeSettings {
    fn check(&self) -> Result<(), MediaError> {
        let setting = |field, message| Err(MediaError::Setting { field, message });
        if !(self.frame_rate > 0.0 && self.frame_rate <= 1000.0) {
            return setting(
                "frame_rate",
                format!("is {}, expected above 0 up to 1000 frames per second", self.frame_rate),
            );
        }
        match self.codec {
            Codec::H264 { quantiser } if !(1..=51).contains(&quantiser) => {
                setting("quantiser", format!("is {quantiser}, expected 1 to 51"))
            }
            _ => Ok(()),
        }
    }
}

/// Writes a video frame by frame, under a temporary name beside the final one.
///
/// [`Writer::finish`] gives it its name in one step; a writer dropped before leaves nothing. The same
/// frames and settings give the same bytes with the same version of the encoder.
pub struct Writer {
    sink: Sink,
    /// Removes the unfinished file when dropped.
    temporary: TempPath,
    /// Says that somebody writes it, until it is dropped.
    _held: NamedTempFile,
    path: PathBuf,
    encoder: String,
    version: String,
    width: u32,
    height: u32,
    stored: (u32, u32),
    frames: u64,
}

enum Sink {
    /// A child that takes raw RGB frames on its standard input.
    Child(Box<Process>),
    Animation(Box<AnimationWriter>),
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("path", &self.path).field("encoder", &self.encoder).finish_non_exhaustive()
    }
}

impl Writer {
    /// Begins a video of `width` x `height` pixels.
    ///
    /// The extension of `path` is set to the container's (`.mkv`, `.mp4` or `.png`, see [`Codec`]); its
    /// folder must exist. H.264 needs even sizes: an odd one gains a column or row that repeats the
    /// last, see [`Encoded::width`].
    ///
    /// # Errors
    /// A setting out of range, an unwritable folder, no encoder.
    pub fn create(
        path: &Path,
        width: u32,
        height: u32,
        settings: &EncodeSettings,
        tools: &Tools,
    ) -> Result<Self, MediaError> {
        settings.check()?;
        if width == 0 || height == 0 {
            let message = format!("is {width}x{height}, expected at least 1x1 pixels");
            return Err(MediaError::Setting { field: "size", message });
        }
        tools.limits.check_pixels(path, u64::from(width), u64::from(height))?;
        let stored = match settings.codec {
            Codec::Raw => (width, height),
            Codec::H264 { .. } => (width.next_multiple_of(2), height.next_multiple_of(2)),
        };
        let extension = match (settings.codec, &tools.ffmpeg) {
            (Codec::H264 { .. }, _) => "mp4",
            (Codec::Raw, Some(_)) => "mkv",
            (Codec::Raw, None) => "png",
        };
        let path = path.with_extension(extension);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let io = |error| MediaError::io(folder, error);
        let (file, temporary, held) = crate::temporary::file_for_another(folder).map_err(io)?;
        let (sink, encoder, version) = match (settings.codec, &tools.ffmpeg, &tools.embedded_worker) {
            (codec, Some(ffmpeg), _) => {
                let mut command = ffmpeg_command(&ffmpeg.ffmpeg);
                command.args(ffmpeg_arguments(codec, stored, settings.frame_rate)).arg(file_url(&temporary)?);
                let process = Process::spawn(command, &tools.limits.process(), |_| false)?;
                (Sink::Child(Box::new(process)), encoder_name(codec), ffmpeg_version(ffmpeg))
            }
            (Codec::Raw, None, _) => {
                let writer = AnimationWriter::create(file, width, height, settings.frame_rate);
                let writer = writer.map_err(|error| MediaError::Encode {
                    path: path.clone(),
                    frames: 0,
                    message: error.to_string(),
                })?;
                (Sink::Animation(Box::new(writer)), "apng".to_owned(), "png 0.18".to_owned())
            }
            (Codec::H264 { quantiser }, None, Some(worker)) => {
                let process =
                    embedded::start_encoder(worker, &temporary, stored, settings.frame_rate, quantiser, &tools.limits)?;
                (Sink::Child(Box::new(process)), format!("openh264 qp {quantiser}"), worker::openh264_version())
            }
            (Codec::H264 { .. }, None, None) => {
                return Err(MediaError::ToolMissing {
                    path,
                    needs: "FFmpeg with libx264 or the embedded encoder".to_owned(),
                });
            }
        };
        Ok(Self { sink, temporary, _held: held, path, encoder, version, width, height, stored, frames: 0 })
    }

    /// Appends a frame.
    ///
    /// # Errors
    /// [`MediaError::FrameSize`] if the frame is not of the size begun; a failure of the encoder, after
    /// which the writer is of no more use.
    pub fn write(&mut self, image: &RgbImage) -> Result<(), MediaError> {
        if image.dimensions() != (self.width, self.height) {
            return Err(MediaError::FrameSize {
                path: self.path.clone(),
                index: self.frames,
                width: self.width,
                height: self.height,
                found_width: image.width(),
                found_height: image.height(),
            });
        }
        let padded;
        let image = if self.stored == (self.width, self.height) {
            image
        } else {
            padded = pad(image, self.stored);
            &padded
        };
        let written = match &mut self.sink {
            Sink::Child(process) => process.write(image.as_raw()).map_err(|error| error.to_string()),
            Sink::Animation(writer) => writer.write(image).map_err(|error| error.to_string()),
        };
        if let Err(message) = written {
            return Err(self.failure(message));
        }
        self.frames += 1;
        Ok(())
    }

    /// Ends the video, puts it under its final name (replacing a file of that name) and hashes it.
    ///
    /// # Errors
    /// If no frame was written, the encoder failed or the disk is full; nothing is left then.
    pub fn finish(mut self) -> Result<Encoded, MediaError> {
        if self.frames == 0 {
            return Err(self.failure("no frame was written".to_owned()));
        }
        if let Sink::Child(process) = &mut self.sink {
            let status = process.finish()?;
            if !status.success() {
                return Err(self.failure(format!("the encoder ended with {status}")));
            }
        }
        let Self { sink, temporary, path, encoder, version, stored: (width, height), frames, .. } = self;
        if let Sink::Animation(writer) = sink {
            writer.finish(&temporary).map_err(|error| MediaError::io(&path, error))?;
        }
        let io = |error| MediaError::io(&path, error);
        File::open(&temporary).and_then(|file| file.sync_all()).map_err(io)?;
        let bytes = fs::metadata(&temporary).map_err(io)?.len();
        let blake3 = hash_file(&temporary)?;
        temporary.persist(&path).map_err(|error| io(error.error))?;
        Ok(Encoded { encoder, version, path, width, height, frames, bytes, blake3 })
    }

    /// The reason why the encoder failed: what it said itself, else `message`.
    fn failure(&mut self, message: String) -> MediaError {
        let mut message = message;
        if let Sink::Child(process) = &mut self.sink {
            let _ = process.finish();
            if let Some(error) = MediaError::stopped(process, &self.path) {
                return error;
            }
            if !process.message().is_empty() {
                message = clean(&process.message(), &self.temporary);
            }
        }
        MediaError::Encode { path: self.path.clone(), frames: self.frames, message }
    }
}

fn file_url(path: &Path) -> Result<OsString, MediaError> {
    let absolute = std::path::absolute(path).map_err(|error| MediaError::io(path, error))?;
    let mut url = OsString::from("file:");
    url.push(absolute);
    Ok(url)
}

fn encoder_name(codec: Codec) -> String {
    match codec {
        Codec::Raw => "ffv1".to_owned(),
        Codec::H264 { quantiser } => format!("libx264 crf {quantiser}"),
    }
}

fn ffmpeg_version(tools: &FfmpegTools) -> String {
    format!("ffmpeg {}", tools.version)
}

/// FFmpeg's arguments up to the output file: raw RGB in, no date or version in the file, one thread.
fn ffmpeg_arguments(codec: Codec, (width, height): (u32, u32), frame_rate: f64) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut add = |text: &str| words.extend(text.split_whitespace().map(str::to_owned));
    add("-hide_banner -loglevel error -nostats -y");
    add(&format!("-f rawvideo -pix_fmt rgb24 -video_size {width}x{height} -framerate {frame_rate:.9} -i pipe:0"));
    add("-an -map_metadata -1 -fflags +bitexact -flags:v +bitexact -threads 1");
    match codec {
        Codec::Raw => add("-c:v ffv1 -level 3 -g 1 -slices 4 -slicecrc 1 -pix_fmt bgr0 -f matroska"),
        Codec::H264 { quantiser } => {
            add(&format!("-vf scale=out_color_matrix=bt601:out_range=tv:flags={SCALE_FLAGS},format=yuv420p"));
            add(&format!("-c:v libx264 -preset veryfast -crf {quantiser}"));
            add("-colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m -color_range tv -f mp4");
        }
    }
    words
}

/// The image with its last column and row repeated up to the given size.
fn pad(image: &RgbImage, (width, height): (u32, u32)) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| *image.get_pixel(x.min(image.width() - 1), y.min(image.height() - 1)))
}
