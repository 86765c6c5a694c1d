//! Decoding with FFmpeg: raw RGB on its standard output, presentation times on its standard error.
//!
//! The `showinfo` filter stands first in the filter chain and prints one line for each frame, with
//! the frame's time in whole units of the stream's time base. Frames are passed through one to one
//! (`-fps_mode passthrough`), so line n belongs to frame n.
//!
//! 8-bit 4:2:0, which nearly all video is, comes as it is and is converted to RGB by `colour`: exact,
//! and several times faster than FFmpeg's exact conversion. Every other pixel format is converted by
//! FFmpeg's `scale` filter. Both go by the signalled matrix and range (unspecified: BT.601, limited)
//! and round alike on every processor. `scale` also makes pixels square.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};

use dubito_process::Process;
use image::RgbImage;

use crate::colour::{planes, rgb_from_yuv, yuv_length};
use crate::message::{Lines, clean};
use crate::probe::{Probe, input_arguments, probe};
use crate::tools::ffmpeg_command;
use crate::video::hash_file;
use crate::{FfmpegTools, Frame, Limits, MediaError, Provenance, Video};

/// How `scale` converts: exactly, on every processor alike.
pub(crate) const SCALE_FLAGS: &str = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact";

/// Probes the file and starts to decode it.
pub(crate) fn open(path: &Path, tools: &FfmpegTools, limits: &Limits) -> Result<Video, MediaError> {
    let probe = probe(path, tools, limits)?;
    let provenance = Provenance {
        decoder: "ffmpeg".to_owned(),
        version: tools.version.clone(),
        exact: true,
        blake3: hash_file(path)?,
    };
    let info = probe.info.clone();
    let frames = Frames::start(path, tools, limits, probe)?;
    Ok(Video::new(path, info, provenance, frames))
}

struct Frames {
    path: PathBuf,
    limits: Limits,
    probe: Probe,
    process: Process,
    times: Receiver<ShowInfo>,
    /// What FFmpeg complained of.
    complaints: Lines,
    /// Frames that FFmpeg calls damaged; it shows something in place of what it could not decode.
    damaged: Arc<AtomicU64>,
    time_base: Option<f64>,
    index: u64,
    last: Option<f64>,
}

/// A line of the `showinfo` filter.
#[derive(Debug, Clone, Copy, PartialEq)]
enum ShowInfo {
    /// Seconds in one unit of time.
    TimeBase(f64),
    /// Presentation time in units; `None` where the stream gives none.
    Time(Option<i64>),
}

impl Frames {
    fn start(path: &Path, tools: &FfmpegTools, limits: &Limits, probe: Probe) -> Result<Self, MediaError> {
        let mut command = ffmpeg_command(&tools.ffmpeg);
        command.args([
            "-hide_banner",
            "-nostdin",
            "-nostats",
            "-loglevel",
            "repeat+level+info",
            "-copyts",
            "-threads",
            "2",
        ]);
        command.args(input_arguments(path)?);
        command.args(["-map", &format!("0:{}", probe.stream), "-an", "-sn", "-dn"]);
        let (width, height) = (probe.info.width, probe.info.height);
        let format = if probe.colour.is_some() { probe.info.pixel_format.as_str() } else { "rgb24" };
        command
            .args(["-vf", &format!("showinfo=checksum=0,scale={width}:{height}:flags={SCALE_FLAGS},format={format}")]);
        let pass_through = if tools.release() >= (5, 1) { "-fps_mode" } else { "-vsync" };
        command.args([pass_through, "passthrough", "-f", "rawvideo", "-pix_fmt", format, "pipe:1"]);

        let (sender, times) = mpsc::channel();
        let (complaints, damaged) = (Lines::default(), Arc::new(AtomicU64::new(0)));
        let (complain, damage, file) = (complaints.clone(), damaged.clone(), path.to_owned());
        let process = Process::spawn(command, &limits.process(), move |line| match parse_showinfo(line) {
            Some(info) => {
                let _ = sender.send(info);
                true
            }
            None if line.contains("[warning]") && line.contains("corrupt decoded frame") => {
                damage.fetch_add(1, Ordering::Relaxed);
                true
            }
            None if ["[error]", "[fatal]", "[panic]"].iter().any(|level| line.contains(level)) => {
                complain.push(line, &file);
                false
            }
            // What is no error (the dump of the streams, statistics) is no reason of failure.
            None => true,
        })?;
        Ok(Self {
            path: path.to_owned(),
            limits: limits.clone(),
            probe,
            process,
            times,
            complaints,
            damaged,
            time_base: None,
            index: 0,
            last: None,
        })
    }

    /// Presentation time of the frame just read, in seconds.
    ///
    /// Where the stream gives none it is one average frame after the last.
    fn timestamp(&mut self) -> Option<f64> {
        loop {
            match self.times.recv().ok()? {
                ShowInfo::TimeBase(seconds) => self.time_base = Some(seconds),
                ShowInfo::Time(Some(units)) => return Some(units as f64 * self.time_base?),
                ShowInfo::Time(None) => {
                    let step = 1.0 / self.probe.info.frame_rate?;
                    return Some(self.last.map_or(0.0, |last| last + step));
                }
            }
        }
    }

    /// The output ended with `rest` bytes of an unfinished frame: was that the end of the video?
    fn end(&mut self, rest: usize) -> Option<MediaError> {
        let status = match self.process.finish() {
            Ok(status) => status,
            Err(error) => return Some(error.into()),
        };
        if let Some(error) = MediaError::stopped(&self.process, &self.path) {
            return Some(error);
        }
        let path = self.path.clone();
        let frames = self.index;
        let mut message = self.complaints.joined();
        if let Some(error) = killed(status, "ffmpeg", &self.path) {
            return Some(error);
        }
        let failed = !status.success() || rest > 0;
        let damaged = self.damaged.load(Ordering::Relaxed).min(frames);
        if frames == 0 {
            if message.contains("Decoder (codec") || message.contains("Decoding requested, but no decoder") {
                let what = self.probe.info.codec.clone();
                return Some(MediaError::Unsupported { path, decoder: "ffmpeg".to_owned(), what });
            }
            let message = if message.is_empty() { message } else { format!(": {message}") };
            return Some(MediaError::NoFrames { path, message });
        }
        let expected = self.probe.info.frames;
        if damaged > 0 {
            message = format!("{damaged} of {frames} frames are damaged: {message}");
            if 2 * damaged > frames {
                return Some(MediaError::Inconsistent { path, frames, message });
            }
        }
        if !message.is_empty() && self.is_short() {
            return Some(MediaError::Truncated { path, frames, expected, message });
        }
        (failed || damaged > 0).then(|| MediaError::Decode { path, frames, message: clean(&message, &self.path) })
    }

    /// Whether there were fewer frames than the container declares, or, where it declares no number,
    /// whether they end more than two frames before its duration, or that of the file, does.
    ///
    /// Alone this is no sign of damage (an edit list may hide frames); with an error message it is.
    fn is_short(&self) -> bool {
        let info = &self.probe.info;
        if let Some(expected) = info.frames {
            return self.index < expected;
        }
        match (self.last, info.duration.or(self.probe.file_duration), info.frame_rate) {
            (Some(last), Some(duration), Some(rate)) => last + 3.0 / rate < self.probe.start.unwrap_or(0.0) + duration,
            _ => false,
        }
    }
}

impl Frames {
    fn next_frame(&mut self) -> Result<Option<Frame>, MediaError> {
        let (width, height) = (self.probe.info.width, self.probe.info.height);
        let length = match self.probe.colour {
            Some(_) => yuv_length(width, height),
            None => width as usize * height as usize * 3,
        };
        let mut bytes = vec![0; length];
        let count = self.process.read(&mut bytes).unwrap_or(0);
        if count < length {
            return self.end(count).map_or(Ok(None), Err);
        }
        self.limits.check_frames(&self.path, self.index)?;
        let image = match self.probe.colour {
            Some(colour) => {
                planes(&bytes, width, height).and_then(|planes| rgb_from_yuv(planes, width, height, colour))
            }
            None => RgbImage::from_raw(width, height, bytes),
        };
        let failed = |message: &str| MediaError::Decode {
            path: self.path.clone(),
            frames: self.index,
            message: message.to_owned(),
        };
        let (no_image, no_time) = (failed("a frame has a wrong size"), failed("FFmpeg gave a frame without its time"));
        let image = image.ok_or(no_image)?;
        let timestamp = self.timestamp().ok_or(no_time)?;
        let index = self.index;
        self.last = Some(timestamp);
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

/// The error for a child that was ended by a signal, if it was, with what is behind it most often.
pub(crate) fn killed(status: ExitStatus, tool: &str, path: &Path) -> Option<MediaError> {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let why = match signal {
            6 => " (it gave up)",
            9 | 24 => " (the system does so when memory or processor time runs out)",
            4 | 7 | 8 | 11 => " (it crashed)",
            _ => "",
        };
        let (path, tool) = (path.to_owned(), tool.to_owned());
        return Some(MediaError::Killed { path, tool, how: format!("ended by signal {signal}{why}") });
    }
    let _ = (status, tool, path);
    None
}

/// Reads one line of `showinfo`: `[Parsed_showinfo_0 @ 0x55] [info] n:   3 pts:   1536 pts_time:...` or
/// `[Parsed_showinfo_0 @ 0x55] [info] config in time_base: 1/12800, frame_rate: 25/1`.
fn parse_showinfo(line: &str) -> Option<ShowInfo> {
    let (_, text) = line.strip_prefix("[Parsed_showinfo_")?.split_once("[info] ")?;
    if let Some(rest) = text.strip_prefix("config in time_base: ") {
        let (numerator, denominator) = rest.split([',', ' ']).next()?.split_once('/')?;
        let (numerator, denominator): (u32, u32) = (numerator.parse().ok()?, denominator.parse().ok()?);
        return (numerator > 0 && denominator > 0)
            .then(|| ShowInfo::TimeBase(f64::from(numerator) / f64::from(denominator)));
    }
    let (_, rest) = text.strip_prefix("n:")?.split_once("pts:")?;
    Some(ShowInfo::Time(rest.split_whitespace().next()?.parse().ok()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_showinfo() {
        let time = |line: &str| parse_showinfo(line).unwrap();
        let head = "[Parsed_showinfo_0 @ 0x5581] [info] ";
        assert_eq!(
            time(&format!("{head}config in time_base: 1/12800, frame_rate: 25/1")),
            ShowInfo::TimeBase(1.0 / 12800.0)
        );
        assert_eq!(time(&format!("{head}n:   3 pts:   1536 pts_time:0.12    pos:  48")), ShowInfo::Time(Some(1536)));
        assert_eq!(time(&format!("{head}n:1000 pts:-51200 pts_time:-4 duration: 512")), ShowInfo::Time(Some(-51200)));
        assert_eq!(time(&format!("{head}n:   0 pts:NOPTS pts_time:NOPTS")), ShowInfo::Time(None));
        assert_eq!(parse_showinfo(&format!("{head}config out time_base: 0/0, frame_rate: 0/0")), None);
        assert_eq!(parse_showinfo(&format!("{head}config in time_base: 0/0, frame_rate: 0/0")), None);
        // A title in the file's metadata cannot pass for a time.
        assert_eq!(parse_showinfo("[info]     title : [Parsed_showinfo_0 @ 0x1] [info] n: 0 pts: 9"), None);
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(tail in ".{0,80}") {
            let _ = parse_showinfo(&tail);
            let _ = parse_showinfo(&format!("[Parsed_showinfo_0 @ 0x1] [info] n:{tail}"));
            let _ = parse_showinfo(&format!("[Parsed_showinfo_0 @ 0x1] [info] config in time_base: {tail}"));
        }
    }
}
