//! The parent side of the embedded decoder and encoder: a worker process, watched like FFmpeg.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use dubito_process::Process;
use image::RgbImage;

use crate::protocol::{Failure, Message, read_message};
use crate::video::hash_file;
use crate::{Frame, Limits, MediaError, Provenance, Video, VideoInfo, worker};

/// Name of the decoder in errors and provenance.
const DECODER: &str = "openh264";

fn start(worker: &[OsString], arguments: &[OsString], limits: &Limits) -> Result<Process, MediaError> {
    let Some((program, before)) = worker.split_first() else {
        return Err(MediaError::Setting {
            field: "embedded_worker",
            message: "is empty, expected a program and its arguments".to_owned(),
        });
    };
    let mut command = Command::new(program);
    command.args(before).args(arguments);
    Ok(Process::spawn_worker(command, &limits.process(), |_| false)?)
}

/// Starts the encoder; it takes raw RGB frames of `size` on its standard input.
pub(crate) fn start_encoder(
    worker: &[OsString],
    path: &Path,
    (width, height): (u32, u32),
    frame_rate: f64,
    quantiser: u8,
    limits: &Limits,
) -> Result<Process, MediaError> {
    let numbers = [width.to_string(), height.to_string(), frame_rate.to_string(), quantiser.to_string()];
    let mut arguments = vec![OsString::from("encode"), path.into()];
    arguments.extend(numbers.into_iter().map(OsString::from));
    start(worker, &arguments, limits)
}

/// Starts the decoder and waits for what it finds in the file.
pub(crate) fn open(path: &Path, worker: &[OsString], limits: &Limits) -> Result<Video, MediaError> {
    let io = |error| MediaError::io(path, error);
    let absolute = std::path::absolute(path).map_err(io)?;
    let size_bytes = std::fs::metadata(path).map_err(io)?.len();
    let provenance = Provenance {
        decoder: DECODER.to_owned(),
        version: worker::openh264_version(),
        exact: false,
        blake3: hash_file(path)?,
    };
    let arguments = ["decode".into(), absolute.into(), limits.max_pixels.to_string().into()];
    let process = start(worker, &arguments, limits)?;
    let mut frames = Frames { path: path.to_owned(), limits: limits.clone(), process, info: None, index: 0 };
    let mut info = match frames.message() {
        Ok(Message::Header(header)) => header.info,
        Ok(Message::End(end)) => return Err(frames.end(end.failure).unwrap_or_else(|| frames.broken("no header"))),
        Ok(Message::Frame { .. }) => return Err(frames.broken("a frame before the header")),
        Err(error) => return Err(error),
    };
    info.size_bytes = size_bytes;
    limits.check_pixels(path, u64::from(info.width), u64::from(info.height))?;
    frames.info = Some(info.clone());
    Ok(Video { info, provenance, frames: Box::new(frames), ended: false })
}

struct Frames {
    path: PathBuf,
    limits: Limits,
    process: Process,
    /// Known once the header has come.
    info: Option<VideoInfo>,
    index: u64,
}

/// A process's output as a reader.
struct Output<'a>(&'a mut Process);

impl Read for Output<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Frames {
    fn message(&mut self) -> Result<Message, MediaError> {
        read_message(&mut Output(&mut self.process)).map_err(|error| self.broken(&error.to_string()))
    }

    /// The worker ended or spoke out of turn: it crashed, ran out of memory or out of time.
    fn broken(&mut self, what: &str) -> MediaError {
        let status = self.process.finish();
        if let Some(error) = MediaError::stopped(&self.process, &self.path) {
            return error;
        }
        let mut message = match status {
            Ok(status) if !status.success() => format!("the embedded decoder ended with {status}"),
            _ => what.to_owned(),
        };
        if !self.process.message().is_empty() {
            message = format!("{message}: {}", self.process.message());
        }
        MediaError::Decode { path: self.path.clone(), frames: self.index, message }
    }

    fn end(&mut self, failure: Option<Failure>) -> Option<MediaError> {
        let (path, frames) = (self.path.clone(), self.index);
        let expected = self.info.as_ref().and_then(|info| info.frames);
        Some(match failure? {
            Failure::NotMedia(message) => MediaError::NotMedia { path, message },
            Failure::NoVideo(found) => MediaError::NoVideo { path, found },
            Failure::Unsupported(what) => MediaError::Unsupported { path, decoder: DECODER.to_owned(), what },
            Failure::NoFrames => MediaError::NoFrames { path, message: String::new() },
            Failure::Truncated(message) if frames == 0 => {
                MediaError::NoFrames { path, message: format!(": {message}") }
            }
            // The index was in order, the stream is not to its liking from the first picture on.
            Failure::Decode(message) if frames == 0 => {
                let what = format!("this H.264 stream: {message}");
                MediaError::Unsupported { path, decoder: DECODER.to_owned(), what }
            }
            Failure::Truncated(message) => MediaError::Truncated { path, frames, expected, message },
            Failure::Decode(message) => MediaError::Decode { path, frames, message },
            Failure::Pixels { width, height } => match self.limits.check_pixels(&path, width, height) {
                Err(error) => error,
                Ok(()) => MediaError::Decode { path, frames, message: "the stored picture is too large".to_owned() },
            },
        })
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, MediaError> {
        let timestamp = match self.message()? {
            Message::Frame { timestamp } => timestamp,
            Message::End(end) => return self.end(end.failure).map_or(Ok(None), Err),
            Message::Header(_) => return Err(self.broken("a second header")),
        };
        self.limits.check_frames(&self.path, self.index)?;
        let (width, height) = self.info.as_ref().map_or((0, 0), |info| (info.width, info.height));
        let mut pixels = vec![0; width as usize * height as usize * 3];
        if self.process.read(&mut pixels).unwrap_or(0) < pixels.len() {
            return Err(self.broken("half a frame"));
        }
        let Some(image) = RgbImage::from_raw(width, height, pixels) else {
            return Err(self.broken("a frame of a wrong size"));
        };
        let index = self.index;
        self.index += 1;
        Ok(Some(Frame { index, timestamp, image }))
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, MediaError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_frame().transpose()
    }
}
