//! Which programs there are to decode and encode with, and the limits they run under.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dubito_process::Process;
use serde::Serialize;

use crate::MediaError;

/// Bounds on what one file may cost. The defaults let every ordinary video through.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Longest silence of a child process while we wait for it (default 30 s).
    pub stall: Duration,
    /// Longest time spent waiting for a child process in all, over the whole file (default 1 h).
    /// Time that the caller takes between frames does not count.
    pub timeout: Duration,
    /// Address space of a child process in bytes (default 4 GiB). Enforced on Linux only.
    pub memory_bytes: u64,
    /// Most pixels in one frame, as stored and as shown (default 67 108 864 = 8192x8192).
    pub max_pixels: u64,
    /// Most frames in one file (default: no bound). A longer file delivers this many and then one
    /// [`MediaError::Limit`]; who wants only the beginning uses `take`.
    pub max_frames: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(30),
            timeout: Duration::from_secs(3600),
            memory_bytes: 4 << 30,
            max_pixels: 8192 * 8192,
            max_frames: None,
        }
    }
}

impl Limits {
    /// What a child process is bounded by.
    pub(crate) fn process(&self) -> dubito_process::Limits {
        dubito_process::Limits { stall: self.stall, timeout: self.timeout, memory_bytes: self.memory_bytes }
    }

    /// Refuses a picture of more than `max_pixels`.
    pub(crate) fn check_pixels(&self, path: &Path, width: u64, height: u64) -> Result<(), MediaError> {
        if width.saturating_mul(height) <= self.max_pixels {
            return Ok(());
        }
        Err(MediaError::Limit {
            path: path.to_owned(),
            field: "max_pixels",
            what: format!("a frame of {width}x{height} pixels"),
            limit: format!("{} pixels", self.max_pixels),
        })
    }

    /// Refuses frame number `index` (from 0) where `max_frames` does not allow it.
    pub(crate) fn check_frames(&self, path: &Path, index: u64) -> Result<(), MediaError> {
        match self.max_frames {
            Some(most) if index >= most => Err(MediaError::Limit {
                path: path.to_owned(),
                field: "max_frames",
                what: "the number of frames".to_owned(),
                limit: format!("{most} frames"),
            }),
            _ => Ok(()),
        }
    }
}

/// The FFmpeg programs, found and answering.
#[derive(Debug, Clone, PartialEq)]
pub struct FfmpegTools {
    /// The `ffmpeg` program.
    pub ffmpeg: PathBuf,
    /// The `ffprobe` program of the same build.
    pub ffprobe: PathBuf,
    /// The version as the program gives it, such as `5.1.9-0+deb12u1`.
    pub version: String,
}

/// What to decode and encode with. FFmpeg is preferred; the embedded worker stands in for it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tools {
    /// FFmpeg, where it is installed.
    pub ffmpeg: Option<FfmpegTools>,
    /// Command line of a program that calls [`worker_main`](crate::worker_main), such as
    /// `[current_exe, "worker"]`; [`Tools::discover`] leaves it `None`, because only the program
    /// knows its own command line.
    pub embedded_worker: Option<Vec<OsString>>,
    /// Bounds on what one file may cost.
    pub limits: Limits,
}

impl Tools {
    /// Looks for FFmpeg: first where the environment variable `DUBITO_FFMPEG` says (the path of the
    /// `ffmpeg` program or of its folder; `none` keeps FFmpeg out of use), then on `PATH`.
    ///
    /// A program counts as found when `ffprobe` lies beside it (or on `PATH`) and `-version` answers.
    pub fn discover() -> Self {
        let ffmpeg = match env::var_os("DUBITO_FFMPEG") {
            Some(value) if value.eq_ignore_ascii_case("none") => None,
            Some(value) if !value.is_empty() => FfmpegTools::at(Path::new(&value)),
            _ => FfmpegTools::on_path(),
        };
        Self { ffmpeg, embedded_worker: None, limits: Limits::default() }
    }

    /// Who decodes video: FFmpeg, with its version, or the embedded decoder, or nobody. What could not be read by one may be
    /// by another.
    pub fn decoder(&self) -> String {
        match (&self.ffmpeg, &self.embedded_worker) {
            (Some(ffmpeg), _) => format!("ffmpeg {}", ffmpeg.version),
            (None, Some(_)) => format!("openh264 {}", crate::worker::openh264_version()),
            (None, None) => "none".to_owned(),
        }
    }

    /// Says what was found and what it can do. Runs `ffmpeg -encoders` and `-decoders`.
    pub fn report(&self) -> ToolsReport {
        ToolsReport {
            ffmpeg: self.ffmpeg.as_ref().map(|tools| tools.report(&self.limits)),
            embedded: self.embedded_worker.is_some(),
            embedded_version: crate::worker::openh264_version(),
        }
    }
}

impl FfmpegTools {
    /// The tools at `path`, the `ffmpeg` program or a folder that holds it.
    pub fn at(path: &Path) -> Option<Self> {
        let ffmpeg = if path.is_dir() { path.join(program("ffmpeg")) } else { path.to_owned() };
        let beside = ffmpeg.with_file_name(program("ffprobe"));
        let ffprobe = if beside.is_file() { beside } else { search_path("ffprobe")? };
        Self::from_programs(ffmpeg, ffprobe)
    }

    fn on_path() -> Option<Self> {
        Self::from_programs(search_path("ffmpeg")?, search_path("ffprobe")?)
    }

    fn from_programs(ffmpeg: PathBuf, ffprobe: PathBuf) -> Option<Self> {
        let limits = Limits { stall: Duration::from_secs(10), ..Limits::default() };
        let banner = output_of(&ffmpeg, &["-version"], &limits)?;
        output_of(&ffprobe, &["-version"], &limits)?;
        let version = version_from_banner(&banner)?;
        Some(Self { ffmpeg, ffprobe, version })
    }

    /// Major and minor version; a development build without a number counts as the newest.
    pub(crate) fn release(&self) -> (u32, u32) {
        let digits = self.version.trim_start_matches('n');
        let mut numbers = digits.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
            (Some(Ok(major)), _) => (major, 0),
            _ => (u32::MAX, 0),
        }
    }

    fn report(&self, limits: &Limits) -> FfmpegReport {
        let ask = |option| output_of(&self.ffmpeg, &["-hide_banner", option], limits).unwrap_or_default();
        let encoders = ask("-encoders");
        let decoders = ask("-decoders");
        let has = |listing: &str, names: &[&str]| {
            listing.lines().filter_map(|line| line.split_whitespace().nth(1)).any(|name| names.contains(&name))
        };
        let wanted: [(&str, &[&str]); 5] = [
            ("h264", &["h264"]),
            ("hevc", &["hevc"]),
            ("vp9", &["vp9", "libvpx-vp9"]),
            ("av1", &["libdav1d", "libaom-av1", "av1"]),
            ("ffv1", &["ffv1"]),
        ];
        FfmpegReport {
            ffmpeg: self.ffmpeg.clone(),
            ffprobe: self.ffprobe.clone(),
            version: self.version.clone(),
            encoders: ["libx264", "ffv1"].into_iter().map(|name| (name.to_owned(), has(&encoders, &[name]))).collect(),
            decoders: wanted.into_iter().map(|(name, any)| (name.to_owned(), has(&decoders, any))).collect(),
        }
    }
}

/// What [`Tools::report`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToolsReport {
    /// FFmpeg, or `None` where it was not found.
    pub ffmpeg: Option<FfmpegReport>,
    /// Whether the embedded decoder and encoder can be started.
    pub embedded: bool,
    /// Version of the embedded OpenH264.
    pub embedded_version: String,
}

/// One FFmpeg installation and what it can do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FfmpegReport {
    /// The `ffmpeg` program.
    pub ffmpeg: PathBuf,
    /// The `ffprobe` program.
    pub ffprobe: PathBuf,
    /// Its version.
    pub version: String,
    /// Encoders that the [`Writer`](crate::Writer) uses, by name: is it there?
    pub encoders: BTreeMap<String, bool>,
    /// Codecs that videos come in, by name: is there a decoder?
    pub decoders: BTreeMap<String, bool>,
}

fn program(name: &str) -> String {
    format!("{name}{}", env::consts::EXE_SUFFIX)
}

fn search_path(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(program(name))).find(|path| path.is_file())
}

/// A command of FFmpeg's, without colours in its messages and without a report of its own.
pub(crate) fn ffmpeg_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("AV_LOG_FORCE_NOCOLOR", "1").env_remove("FFREPORT");
    command
}

/// Standard output of a short command, at most 1 MiB of it; `None` if it fails.
fn output_of(program: &Path, arguments: &[&str], limits: &Limits) -> Option<String> {
    let mut command = ffmpeg_command(program);
    command.args(arguments.iter().map(OsStr::new));
    let mut process = Process::spawn(command, &limits.process(), |_| false).ok()?;
    let bytes = process.read_all(1 << 20).ok()?;
    process.finish().ok()?.success().then(|| String::from_utf8_lossy(&bytes).into_owned())
}

fn version_from_banner(banner: &str) -> Option<String> {
    let mut words = banner.lines().next()?.split_whitespace();
    words.find(|word| *word == "version")?;
    words.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tools(version: &str) -> FfmpegTools {
        FfmpegTools { ffmpeg: "ffmpeg".into(), ffprobe: "ffprobe".into(), version: version.into() }
    }

    #[test]
    fn versions_of_releases_and_development_builds() {
        let banner = "ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026 the FFmpeg developers\n";
        assert_eq!(version_from_banner(banner).unwrap(), "5.1.9-0+deb12u1");
        assert_eq!(version_from_banner("hello"), None);
        assert_eq!(tools("5.1.9-0+deb12u1").release(), (5, 1));
        assert_eq!(tools("n7.1").release(), (7, 1));
        assert_eq!(tools("8").release(), (8, 0));
        assert_eq!(tools("N-118193-g5f38c82536").release(), (u32::MAX, 0));
    }

    #[test]
    fn a_folder_without_ffmpeg_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(FfmpegTools::at(folder.path()), None);
    }
}
