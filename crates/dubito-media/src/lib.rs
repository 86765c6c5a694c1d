//! Files to pixels and back: decoding and encoding of video and images, in child processes with limits.
//!
//! ```text
//! file -> open() -> Video (an iterator) -> Frame { index, timestamp, image } -> Writer -> file
//! ```
//!
//! Video is decoded by FFmpeg where it is installed: every codec, bit-exact, see [`Tools::discover`].
//! Where it is missing, an embedded OpenH264 decoder reads 8-bit 4:2:0 H.264 in MP4; what it cannot
//! read is an error whose [`MediaError::hint`] says to install FFmpeg. PNG, JPEG, WebP, GIF, BMP and
//! TIFF files are one-frame videos; an animated PNG, WebP or GIF has all its frames, and JPEGs of one
//! size in a row are a video. Their decoders are safe Rust. All of them run in a child process under
//! [`Limits`] (pictures in a thread, where no worker command is known), so that a hostile or broken
//! file costs one error, never the program.
//!
//! Frames are upright (the container's rotation is applied), have square pixels and are 8-bit
//! full-range RGB. Nothing here knows of tensors, faces or labels.
//!
//! | module | what it holds |
//! |---|---|
//! | `tools` | which programs there are, limits, the report for `doctor` |
//! | `probe`, `ffmpeg` | the FFmpeg decoder |
//! | `worker`, `protocol`, `embedded` | the embedded decoders (H.264, pictures) and encoder: child side, wire, parent side |
//! | `picture` | pictures and animations: PNG, JPEG, WebP, GIF, BMP, TIFF |
//! | `message` | what programs say, the same in every run |
//! | `colour` | YUV 4:2:0 from and to RGB, for the embedded path |
//! | `encode` | the [`Writer`] |
//! | [`temporary`] | files until they are whole, and what is left of them after a kill |

// A library says nothing by itself: it returns what there is to say.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod colour;
mod embedded;
mod encode;
mod error;
mod ffmpeg;
mod message;
mod picture;
mod probe;
mod protocol;
pub mod temporary;
mod tools;
mod video;
mod worker;

pub use encode::{Codec, EncodeSettings, Encoded, Writer};
pub use error::MediaError;
pub use image::RgbImage;
pub use tools::{FfmpegReport, FfmpegTools, Limits, Tools, ToolsReport};
pub use video::{Frame, MediaKind, Provenance, Video, VideoInfo, hash_file, open};
pub use worker::worker_main;
