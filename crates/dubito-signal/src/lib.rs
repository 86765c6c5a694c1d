//! Landmarks and frames in, signals out: colour traces of the face, the pulse in them, PPG maps, magnified motion.
//!
//! ```text
//! frame + 468 landmarks + time -> Traces -> Grid (uniform in time) -> wave -> spectrum -> Reading (rate, SNR, quality)
//!                                                             \-> PPG maps (for detectors)
//! aligned crops -> magnified crops (for detectors)
//! ```
//!
//! What is undefined says why ([`Undefined`]); nothing is 0 or NaN instead. Nothing here knows of labels, detectors or
//! files, and nothing depends on chance, the clock or the number of threads.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mesh`] | the mid-face as 32 regions of a canonical rectangle, and where their samples lie in a frame |
//! | [`traces`] | [`Traces`]: the mean colour of each region and frame; [`Grid`]: the same, uniform in time |
//! | [`filters`] | detrending, the Butterworth band-pass, zero-phase filtering |
//! | [`methods`] | CHROM, POS and G-PPG: from colours to a pulse wave |
//! | [`spectrum`] | periodogram, peak, signal-to-noise ratio |
//! | [`reading`] | [`Reading`]: heart rate, SNR and quality of a face, or why there are none |
//! | [`map`](mod@map) | PPG maps and cells |
//! | [`magnify`] | phase-based and linear magnification of motion |
//! | `mid_face` | generated constants: landmarks and triangles of the mid-face |

// A library says nothing by itself: it returns what there is to say.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod filters;
pub mod magnify;
pub mod map;
pub mod mesh;
pub mod methods;
mod mid_face;
pub mod reading;
pub mod spectrum;
mod steerable;
pub mod traces;

pub use map::{PpgMap, ppg_map, ppg_maps};
pub use mesh::REGIONS;
pub use methods::Method;
pub use reading::{Quality, Reading, measure};
pub use traces::{Grid, Sight, Traces};

/// Input that nothing can be computed from: a fault of the caller, not of the video.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SignalError {
    /// Landmarks that are no face mesh.
    #[error("landmarks: expected 468 finite points, found {found}")]
    Landmarks {
        /// What was found.
        found: String,
    },
    /// Times that do not increase.
    #[error("time: expected more than {before} s, that of the frame before, found {found} s")]
    Time {
        /// The frame before, in seconds.
        before: f64,
        /// This frame, in seconds.
        found: f64,
    },
    /// An option outside its range.
    #[error("option `{option}`: expected {expected}, found {found}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// The values it may have.
        expected: String,
        /// Its value.
        found: String,
    },
}

/// Why a signal is undefined.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Undefined {
    /// No frame shows a face.
    #[error("no face in any of {frames} frames")]
    NoFace {
        /// Frames that were looked at.
        frames: usize,
    },
    /// The face is turned away whenever it is seen.
    #[error("the face is turned away by more than {degrees} degrees in all of {frames} frames that show it")]
    TurnedAway {
        /// Frames that show a face.
        frames: usize,
        /// The limit.
        degrees: f32,
    },
    /// The face is seen without a gap for too short a time.
    #[error("the face is seen for {seconds:.1} s without a gap, {needed:.1} s are needed")]
    TooShort {
        /// The longest stretch.
        seconds: f64,
        /// The shortest that would do.
        needed: f64,
    },
    /// Too few frames a second.
    #[error("{rate:.1} frames a second, {needed} are needed")]
    FrameRate {
        /// Frames a second.
        rate: f64,
        /// The fewest that would do.
        needed: f64,
    },
    /// Red, green and blue are equal: without colour, light can't be told from blood.
    #[error("the video is grey: red, green and blue of the face are equal")]
    Grey,
    /// The colours do not change.
    #[error("the face's colours do not change: a still picture")]
    Still,
    /// A window that lies outside the signal.
    #[error("frames {start} to {end} are asked for, the face is seen without a gap in {frames}")]
    Window {
        /// The first frame.
        start: usize,
        /// The frame behind the last.
        end: usize,
        /// Frames there are.
        frames: usize,
    },
}

impl Undefined {
    /// The reason in a word, for tables: `no_face`, `turned_away`, `too_short`, `low_frame_rate`, `grey`, `still`.
    pub fn status(&self) -> &'static str {
        match self {
            Self::NoFace { .. } => "no_face",
            Self::TurnedAway { .. } => "turned_away",
            Self::TooShort { .. } | Self::Window { .. } => "too_short",
            Self::FrameRate { .. } => "low_frame_rate",
            Self::Grey => "grey",
            Self::Still => "still",
        }
    }
}
