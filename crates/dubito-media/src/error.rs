//! What can go wrong with a media file, in words that name the file and what to do.

use std::io;
use std::path::{Path, PathBuf};

use dubito_process::{Process, ProcessError, Stopped};

/// An error of reading or writing media.
///
/// The message says what happened to which file; [`MediaError::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// There is nothing at this path.
    #[error("{path}: no such file", path = .path.display())]
    NotFound {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The path is a folder or a device; one regular file was expected.
    #[error("{path}: is a {kind}, expected a video or image file", path = .path.display())]
    NotAFile {
        /// The path that was asked for.
        path: PathBuf,
        /// What it is instead: `folder`, or `special file` (pipe, socket, device).
        kind: &'static str,
    },
    /// The operating system does not let us read or write the file.
    #[error("{path}: permission denied", path = .path.display())]
    NoPermission {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// The file has no bytes.
    #[error("{path}: the file is empty (0 bytes), expected a video or image", path = .path.display())]
    Empty {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// Reading or writing failed in the operating system (a full disk, a lost network drive).
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The bytes are no video or image that the decoder knows, whatever the file's name says.
    #[error("{path}: not a readable video or image: {message}", path = .path.display())]
    NotMedia {
        /// The path that was asked for.
        path: PathBuf,
        /// What the decoder said.
        message: String,
    },
    /// A media file without pictures: audio only, subtitles, or cover art.
    #[error("{path}: holds no video stream (found: {found})", path = .path.display())]
    NoVideo {
        /// The path that was asked for.
        path: PathBuf,
        /// The kinds of stream it does hold.
        found: String,
    },
    /// There is a video stream but not one frame could be decoded from it.
    #[error("{path}: the video stream holds no frame that can be decoded{message}", path = .path.display())]
    NoFrames {
        /// The path that was asked for.
        path: PathBuf,
        /// What the decoder said, beginning with `: `, or nothing.
        message: String,
    },
    /// The video is encrypted, as what shops and streaming services sell is.
    #[error("{path}: the video is encrypted (DRM)", path = .path.display())]
    Encrypted {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// A video or picture of a kind that the decoder at hand does not decode.
    #[error("{path}: {decoder} cannot decode {what}", path = .path.display())]
    Unsupported {
        /// The path that was asked for.
        path: PathBuf,
        /// The decoder that was tried.
        decoder: String,
        /// What it is that it cannot decode.
        what: String,
    },
    /// The file ends, or is damaged, before its last frame. The frames before were delivered.
    #[error("{path}: ends early: {frames} frames decoded{expected}: {message}",
        path = .path.display(),
        expected = .expected.map(|n| format!(" of {n}")).unwrap_or_default())]
    Truncated {
        /// The path that was asked for.
        path: PathBuf,
        /// Frames delivered before this error.
        frames: u64,
        /// Frames that the container declares, where it does.
        expected: Option<u64>,
        /// What the decoder said.
        message: String,
    },
    /// The decoder failed in the middle of the file. The frames before were delivered.
    #[error("{path}: decoding failed after {frames} frames: {message}", path = .path.display())]
    Decode {
        /// The path that was asked for.
        path: PathBuf,
        /// Frames delivered before this error.
        frames: u64,
        /// What the decoder said.
        message: String,
    },
    /// The stream holds much less than its container declares, or has times that no video has. The frames before were
    /// delivered, but what is concluded from them does not hold for the file.
    #[error("{path}: {message}", path = .path.display())]
    Inconsistent {
        /// The path that was asked for.
        path: PathBuf,
        /// Frames delivered before this error.
        frames: u64,
        /// What was declared and what was found.
        message: String,
    },
    /// The file asks for more than [`Limits`](crate::Limits) allows.
    #[error("{path}: {what} exceeds the limit of {limit}", path = .path.display())]
    Limit {
        /// The file concerned.
        path: PathBuf,
        /// The field of `Limits` that was exceeded.
        field: &'static str,
        /// What was found.
        what: String,
        /// What is allowed.
        limit: String,
    },
    /// A child process gave no sign of life for too long, or took too long in all; it was ended.
    #[error("{path}: {tool} {what}; it was stopped", path = .path.display())]
    Timeout {
        /// The file concerned.
        path: PathBuf,
        /// The program that was stopped.
        tool: String,
        /// What it did for how long.
        what: String,
    },
    /// A child process was ended by the system, or crashed.
    #[error("{path}: {tool} was {how}", path = .path.display())]
    Killed {
        /// The file concerned.
        path: PathBuf,
        /// The program.
        tool: String,
        /// The signal, and what it means most often.
        how: String,
    },
    /// No program that could do this is installed.
    #[error("{path}: needs {needs}, which was not found", path = .path.display())]
    ToolMissing {
        /// The file concerned.
        path: PathBuf,
        /// What is needed.
        needs: String,
    },
    /// A program is there but does not start or does not answer as it should.
    #[error("{tool}: {message}")]
    Tool {
        /// The program.
        tool: String,
        /// What happened.
        message: String,
    },
    /// A frame given to the writer has another size than the video begun.
    #[error("{path}: frame {index} is {found_width}x{found_height}, expected {width}x{height} as in Writer::create", path = .path.display())]
    FrameSize {
        /// The file being written.
        path: PathBuf,
        /// Number of the frame, from 0.
        index: u64,
        /// Expected width, pixels.
        width: u32,
        /// Expected height, pixels.
        height: u32,
        /// Width of the frame given.
        found_width: u32,
        /// Height of the frame given.
        found_height: u32,
    },
    /// A setting is out of its range.
    #[error("{field}: {message}")]
    Setting {
        /// The setting's name.
        field: &'static str,
        /// What was found and what was expected.
        message: String,
    },
    /// The encoder failed; no file was left behind.
    #[error("{path}: encoding failed after {frames} frames: {message}", path = .path.display())]
    Encode {
        /// The file that was to be written.
        path: PathBuf,
        /// Frames accepted before.
        frames: u64,
        /// What the encoder said.
        message: String,
    },
}

impl MediaError {
    /// What the user can do about it, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotFound { path } if path.to_string_lossy().contains("://") => {
                "nothing is read from a network: download it, and give the file"
            }
            Self::NotFound { path } if path.as_os_str() == "-" => {
                "videos and pictures are not read from standard input: save it to a file first"
            }
            Self::NotFound { .. } => "check the path; a relative one begins at the current folder",
            Self::NotAFile { kind: "folder", .. } => "give the files in the folder one by one",
            Self::NotAFile { .. } => "it can be read only once: save its contents to a file first",
            Self::NoPermission { .. } => "change the file's permissions (`chmod u+r FILE`) or run as its owner",
            Self::Empty { .. } => "the copy or download probably failed: fetch the file again",
            Self::NotMedia { .. } => {
                "check that it plays in a video player; if it is cut short, fetch it again; if its format is unusual, convert it: `ffmpeg -i IN -c:v libx264 -crf 17 OUT.mp4`"
            }
            Self::NoVideo { .. } => "give a file that holds a video stream",
            Self::NoFrames { .. } => "the recording probably failed: fetch or export the file again",
            Self::Encrypted { .. } => "no decoder reads it without its key: give a copy that is not protected",
            Self::Unsupported { decoder, .. } if decoder.starts_with("ffmpeg") => {
                "install an FFmpeg build that has this decoder (`ffmpeg -decoders` lists them)"
            }
            Self::Unsupported { decoder, .. } if decoder == "image" => {
                "convert it to PNG or JPEG first: `magick IN OUT.png` (ImageMagick), `heif-convert IN OUT.png` (HEIC, AVIF; Debian, Ubuntu: `apt install libheif-examples`), on macOS `sips -s format png IN --out OUT.png`"
            }
            Self::Unsupported { .. } | Self::ToolMissing { .. } => {
                "install FFmpeg 4.4 or later with ffprobe (Debian, Ubuntu: `apt install ffmpeg`; macOS: `brew install ffmpeg`; Windows: `winget install ffmpeg`), or name it by DUBITO_FFMPEG=/path/to/ffmpeg"
            }
            Self::Truncated { .. } => "the frames before the end can be used; fetch the file again for the rest",
            Self::Decode { .. } => "the file is damaged; the frames before it can be used",
            Self::Inconsistent { .. } => {
                "the file is damaged or its index is wrong: fetch it again, or write it anew (`ffmpeg -i IN -c:v libx264 -crf 17 OUT.mp4`) and see whether all of it is there"
            }
            Self::Limit { field, .. } => {
                return Some(format!(
                    "`{field}` bounds what one file may cost: if you trust the file, write it anew smaller (`ffmpeg -i IN -vf scale=1920:-2 OUT.mp4`), or \
                     raise the limit in a program of your own"
                ));
            }
            Self::Timeout { .. } => {
                "raise `stall` or `timeout` in the limits if the machine is slow and you trust the file"
            }
            Self::Killed { .. } => {
                "run it again with more memory free; if it ends alike, the file is hostile or the decoder has a fault: convert it first (`ffmpeg -i IN -c:v libx264 -crf 17 OUT.mp4`)"
            }
            Self::Tool { .. } => "run it by hand with `-version`; DUBITO_FFMPEG=/path/to/ffmpeg names another",
            Self::Encode { .. } => "check that the disk has room and that `ffmpeg -encoders` lists the encoder",
            Self::FrameSize { .. } => "make all frames of one size",
            Self::Setting { .. } => "give another value; `--help` says the range of each option",
            // What the system says has one explanation for all crates, that of the command line.
            Self::Io { .. } => return None,
        };
        Some(hint.to_owned())
    }

    /// The message without the path that it begins with: the same wherever the file lies.
    pub fn without_path(&self) -> String {
        let text = self.to_string();
        let path = match self {
            Self::Tool { .. } | Self::Setting { .. } => return text,
            Self::NotFound { path }
            | Self::NotAFile { path, .. }
            | Self::NoPermission { path }
            | Self::Empty { path }
            | Self::Io { path, .. }
            | Self::NotMedia { path, .. }
            | Self::NoVideo { path, .. }
            | Self::NoFrames { path, .. }
            | Self::Encrypted { path }
            | Self::Unsupported { path, .. }
            | Self::Truncated { path, .. }
            | Self::Decode { path, .. }
            | Self::Inconsistent { path, .. }
            | Self::Limit { path, .. }
            | Self::Timeout { path, .. }
            | Self::Killed { path, .. }
            | Self::ToolMissing { path, .. }
            | Self::FrameSize { path, .. }
            | Self::Encode { path, .. } => path,
        };
        text.strip_prefix(&format!("{}: ", path.display())).unwrap_or(&text).to_owned()
    }

    /// [`MediaError::without_path`], with what to do about it.
    pub fn reason(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{}; {hint}", self.without_path()),
            None => self.without_path(),
        }
    }

    /// What the decoder said, without the rest of the error.
    pub(crate) fn decoder_message(self) -> Option<String> {
        match self {
            Self::Truncated { message, .. } | Self::Decode { message, .. } => Some(message),
            _ => None,
        }
    }

    /// The error of a child process that one of the limits ended while it worked on `path`; `None` where none did.
    pub(crate) fn stopped(process: &Process, path: &Path) -> Option<Self> {
        let (path, tool) = (path.to_owned(), process.program().to_owned());
        match process.stopped()? {
            Stopped::Memory(bytes) => Some(Self::Limit {
                path,
                field: "memory_bytes",
                what: format!("the memory that {tool} needs"),
                limit: format!("{bytes} bytes"),
            }),
            Stopped::Silence(most) => {
                Some(Self::Timeout { path, tool, what: format!("gave no sign of life for {most:?}") })
            }
            Stopped::Time(most) => {
                Some(Self::Timeout { path, tool, what: format!("took longer than {most:?} in all") })
            }
            // The decoder's last words say it, as of other faults.
            Stopped::Stack => None,
        }
    }

    /// The error for a failed operation of the system on `path`.
    /// What the operating system says of a path.
    #[must_use]
    pub fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::PermissionDenied => Self::NoPermission { path },
            _ => Self::Io { path, source },
        }
    }
}

impl From<ProcessError> for MediaError {
    fn from(error: ProcessError) -> Self {
        Self::Tool { tool: error.program, message: error.message }
    }
}
