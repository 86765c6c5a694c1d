//! The parent side of the embedded decoders and encoder: a worker process, watched like FFmpeg.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use dubito_process::Process;
use image::{ImageFormat, RgbImage};

use crate::ffmpeg::killed;
use crate::message::clean;
use crate::picture::{self, Stop};
use crate::protocol::{Failure, Header, Message, read_message};
use crate::video::hash_file;
use crate::{Frame, Limits, MediaError, Provenance, Video, VideoInfo, worker};

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

/// Starts the decoder of H.264 and waits for what it finds in the file.
pub(crate) fn open(path: &Path, worker: &[OsString], limits: &Limits) -> Result<Video, MediaError> {
    let provenance = Provenance {
        decoder: "openh264".to_owned(),
        version: worker::openh264_version(),
        exact: false,
        blake3: hash_file(path)?,
    };
    let arguments = ["decode".into(), absolute(path)?, limits.max_pixels.to_string().into()];
    begin(path, Source::Child(Box::new(start(worker, &arguments, limits)?)), limits, provenance)
}

/// Starts the decoder of pictures and waits for what it finds in the file: in a worker, where its command is known, else in
/// a thread.
pub(crate) fn open_picture(
    path: &Path,
    format: ImageFormat,
    worker: Option<&[OsString]>,
    limits: &Limits,
) -> Result<Video, MediaError> {
    let provenance = Provenance {
        decoder: "image".to_owned(),
        version: "0.25".to_owned(),
        exact: matches!(format, ImageFormat::Png | ImageFormat::Gif | ImageFormat::Bmp),
        blake3: hash_file(path)?,
    };
    let (max_pixels, memory) = (limits.max_pixels, limits.memory_bytes / 2);
    let source = match worker {
        Some(worker) => {
            let arguments =
                ["picture".into(), absolute(path)?, max_pixels.to_string().into(), memory.to_string().into()];
            Source::Child(Box::new(start(worker, &arguments, limits)?))
        }
        None => {
            // One frame ahead of the reader.
            let (sender, replies) = mpsc::sync_channel(1);
            let path = path.to_owned();
            thread::spawn(move || {
                let mut output = ToReader(sender);
                let failure = match picture::decode(&path, max_pixels, memory, &mut output) {
                    Ok(()) => None,
                    Err(Stop::Failure(failure)) => Some(failure),
                    Err(Stop::Output(_)) => return,
                };
                // Where nobody listens any more, nothing is lost.
                let _ = output.0.send(Reply::End(failure));
            });
            Source::Thread(replies)
        }
    };
    begin(path, source, limits, provenance)
}

fn absolute(path: &Path) -> Result<OsString, MediaError> {
    Ok(std::path::absolute(path).map_err(|error| MediaError::io(path, error))?.into())
}

fn begin(path: &Path, source: Source, limits: &Limits, provenance: Provenance) -> Result<Video, MediaError> {
    let size_bytes = std::fs::metadata(path).map_err(|error| MediaError::io(path, error))?.len();
    let decoder = provenance.decoder.clone();
    let mut frames = Frames { path: path.to_owned(), limits: limits.clone(), decoder, source, info: None, index: 0 };
    let mut info = match frames.reply()? {
        Reply::Header(header) => header.info,
        Reply::End(failure) => return Err(frames.end(failure).unwrap_or_else(|| frames.broken("no header"))),
        Reply::Frame(..) => return Err(frames.broken("a frame before the header")),
    };
    info.size_bytes = size_bytes;
    limits.check_pixels(path, u64::from(info.width), u64::from(info.height))?;
    frames.info = Some(info.clone());
    Ok(Video::new(path, info, provenance, frames))
}

struct Frames {
    path: PathBuf,
    limits: Limits,
    /// Name of the decoder in errors.
    decoder: String,
    source: Source,
    /// Known once the header has come.
    info: Option<VideoInfo>,
    index: u64,
}

/// Who decodes.
enum Source {
    Child(Box<Process>),
    Thread(Receiver<Reply>),
}

/// What a decoder says.
enum Reply {
    Header(Header),
    Frame(f64, RgbImage),
    End(Option<Failure>),
}

/// Sends what a decoder in a thread says.
struct ToReader(SyncSender<Reply>);

impl ToReader {
    fn send(&self, reply: Reply) -> io::Result<()> {
        self.0.send(reply).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl picture::Output for ToReader {
    fn header(&mut self, header: Header) -> io::Result<()> {
        self.send(Reply::Header(header))
    }

    fn frame(&mut self, timestamp: f64, image: RgbImage) -> io::Result<()> {
        self.send(Reply::Frame(timestamp, image))
    }
}

/// A process's output as a reader.
struct Output<'a>(&'a mut Process);

impl Read for Output<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Frames {
    fn reply(&mut self) -> Result<Reply, MediaError> {
        let process = match &mut self.source {
            Source::Thread(replies) => return replies.recv().map_err(|_| self.broken("no end")),
            Source::Child(process) => process,
        };
        match read_message(&mut Output(process)) {
            Ok(Message::Header(header)) => Ok(Reply::Header(header)),
            Ok(Message::End(end)) => Ok(Reply::End(end.failure)),
            Ok(Message::Frame { timestamp }) => {
                let (width, height) = self.info.as_ref().map_or((0, 0), |info| (info.width, info.height));
                let mut pixels = vec![0; width as usize * height as usize * 3];
                if process.read(&mut pixels).unwrap_or(0) < pixels.len() {
                    return Err(self.broken("half a frame"));
                }
                match RgbImage::from_raw(width, height, pixels) {
                    Some(image) => Ok(Reply::Frame(timestamp, image)),
                    None => Err(self.broken("a frame of a wrong size")),
                }
            }
            Err(error) => Err(self.broken(&error.to_string())),
        }
    }

    /// The decoder ended or spoke out of turn: it crashed, ran out of memory or out of time.
    fn broken(&mut self, what: &str) -> MediaError {
        let mut message = what.to_owned();
        if let Source::Child(process) = &mut self.source {
            let status = process.finish();
            if let Some(error) = MediaError::stopped(process, &self.path) {
                return error;
            }
            match status {
                Ok(status) if let Some(error) = killed(status, "the decoder", &self.path) => return error,
                Ok(status) if !status.success() => message = format!("the decoder ended with {status}"),
                _ => {}
            }
            if !process.message().is_empty() {
                message = format!("{message}: {}", clean(&process.message(), &self.path));
            }
        }
        MediaError::Decode { path: self.path.clone(), frames: self.index, message }
    }

    fn end(&mut self, failure: Option<Failure>) -> Option<MediaError> {
        let (path, frames, decoder) = (self.path.clone(), self.index, self.decoder.clone());
        let expected = self.info.as_ref().and_then(|info| info.frames);
        let cleaned = |message: String| clean(&message, &self.path);
        Some(match failure? {
            Failure::NotMedia(message) => MediaError::NotMedia { path, message: cleaned(message) },
            Failure::NoVideo(found) => MediaError::NoVideo { path, found: cleaned(found) },
            Failure::Unsupported(what) => MediaError::Unsupported { path, decoder, what: cleaned(what) },
            Failure::NoFrames => MediaError::NoFrames { path, message: String::new() },
            Failure::Truncated(message) if frames == 0 => {
                MediaError::NoFrames { path, message: format!(": {}", cleaned(message)) }
            }
            // The index was in order, the stream is not to its liking from the first picture on.
            Failure::Decode(message) if frames == 0 => {
                let what = format!(
                    "this {}: {}",
                    if decoder == "image" { "picture" } else { "H.264 stream" },
                    cleaned(message)
                );
                MediaError::Unsupported { path, decoder, what }
            }
            Failure::Truncated(message) => MediaError::Truncated { path, frames, expected, message: cleaned(message) },
            Failure::Decode(message) => MediaError::Decode { path, frames, message: cleaned(message) },
            Failure::Memory(message) => MediaError::Limit {
                path,
                field: "memory_bytes",
                what: format!("the memory that decoding needs ({})", cleaned(message)),
                limit: format!("{} bytes", self.limits.memory_bytes),
            },
            Failure::Pixels { width, height } => match self.limits.check_pixels(&path, width, height) {
                Err(error) => error,
                Ok(()) => MediaError::Decode { path, frames, message: "the stored picture is too large".to_owned() },
            },
        })
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, MediaError> {
        let (timestamp, image) = match self.reply()? {
            Reply::Frame(timestamp, image) => (timestamp, image),
            Reply::End(failure) => return self.end(failure).map_or(Ok(None), Err),
            Reply::Header(_) => return Err(self.broken("a second header")),
        };
        self.limits.check_frames(&self.path, self.index)?;
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
