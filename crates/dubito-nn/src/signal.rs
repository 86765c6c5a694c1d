//! What a biological detector looks at instead of crops: pictures of signals in a run of frames, as settings.
//!
//! This crate only knows their shape; whoever has the clips makes them.

use serde::{Deserialize, Serialize};

use crate::NnError;
use crate::network::MapShape;

/// Rows of a PPG map: 32 waves and their 32 spectra.
const MAP_ROWS: usize = 64;

/// Pictures of a signal. A window is a run of consecutive frames; windows may overlap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Signal {
    /// PPG maps (Ciftci, Demir, Yin, "FakeCatcher", 2020): one channel, 64 rows (the CHROM waves of 32 regions of the face,
    /// then their spectra), a column for each frame of the window.
    Ppg {
        /// Frames in a window, 64, 128 and 256 in the paper; 32 to 512, a multiple of 8.
        omega: usize,
        /// Frames from the beginning of one window to that of the next, 1 or more.
        step: usize,
    },
    /// Magnified motion (Ciftci and Demir, "How do deepfakes move? Motion magnification for deepfake source detection",
    /// 2022): two channels, the luma magnified by phase and linearly; the frames of the window lie one below the other.
    Motion {
        /// Frames in a window, 16 in the paper; 8 to 64, a multiple of 8.
        frames: usize,
        /// Frames from the beginning of one window to that of the next, 1 or more.
        step: usize,
        /// Motion of d pixels becomes (1 + alpha) d; 0 to 100.
        alpha: f32,
        /// The band of motion in hertz: from, to.
        band: [f64; 2],
    },
}

impl Signal {
    /// PPG maps of 128 frames that overlap by half.
    pub const PPG: Self = Self::Ppg { omega: 128, step: 64 };
    /// PPG cells: maps of 64 frames that overlap by half.
    pub const PPG_CELL: Self = Self::Ppg { omega: 64, step: 32 };
    /// Runs of 16 frames that don't overlap, motion of 1 to 6 Hz magnified eleven times.
    pub const MOTION: Self = Self::Motion { frames: 16, step: 16, alpha: 10.0, band: [1.0, 6.0] };

    /// Its kind in settings.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ppg { .. } => "ppg",
            Self::Motion { .. } => "motion",
        }
    }

    /// Frames in a window.
    pub fn window(&self) -> usize {
        match *self {
            Self::Ppg { omega, .. } => omega,
            Self::Motion { frames, .. } => frames,
        }
    }

    /// Consecutive frames of a video that surely hold a window, timestamps being rounded.
    pub fn run(&self) -> usize {
        match *self {
            Self::Ppg { omega, .. } => omega + omega / 8,
            Self::Motion { frames, .. } => frames,
        }
    }

    /// Frames from the beginning of one window to that of the next.
    pub fn step(&self) -> usize {
        match *self {
            Self::Ppg { step, .. } | Self::Motion { step, .. } => step,
        }
    }

    /// Height, width and channels of a picture of a window of crops of this size.
    pub fn shape(&self, crop: usize) -> MapShape {
        match *self {
            Self::Ppg { omega, .. } => [MAP_ROWS, omega, 1],
            Self::Motion { frames, .. } => [frames * crop, crop, 2],
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`NnError::Setting`] that names the field.
    pub fn check(&self) -> Result<(), NnError> {
        let eights = |field, range: std::ops::RangeInclusive<usize>, n: usize| {
            let expected = format!("{} to {}, a multiple of 8", range.start(), range.end());
            if range.contains(&n) && n.is_multiple_of(8) { Ok(()) } else { Err(NnError::setting(field, expected, n)) }
        };
        match *self {
            Self::Ppg { omega, .. } => eights("signal.omega", 32..=512, omega)?,
            Self::Motion { frames, alpha, band: [from, to], .. } => {
                eights("signal.frames", 8..=64, frames)?;
                if !(0.0..=100.0).contains(&alpha) {
                    return Err(NnError::setting("signal.alpha", "0 to 100", alpha));
                }
                if !(from > 0.0 && from < to && to.is_finite()) {
                    return Err(NnError::setting(
                        "signal.band",
                        "[from, to] in hertz, 0 < from < to",
                        format!("[{from}, {to}]"),
                    ));
                }
            }
        }
        if self.step() == 0 { Err(NnError::setting("signal.step", "1 or more", 0)) } else { Ok(()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_are_written_and_checked_by_name() {
        for signal in [Signal::PPG, Signal::PPG_CELL, Signal::MOTION] {
            signal.check().unwrap();
            assert_eq!(serde_json::from_str::<Signal>(&serde_json::to_string(&signal).unwrap()).unwrap(), signal);
        }
        assert_eq!(Signal::PPG.shape(96), [64, 128, 1]);
        assert_eq!(Signal::MOTION.shape(96), [1536, 96, 2]);
        for (text, field) in [
            (r#"{"kind":"ppg","omega":100,"step":1}"#, "signal.omega"),
            (r#"{"kind":"ppg","omega":64,"step":0}"#, "signal.step"),
            (r#"{"kind":"motion","frames":4,"step":1,"alpha":1,"band":[1,2]}"#, "signal.frames"),
            (r#"{"kind":"motion","frames":16,"step":1,"alpha":-1,"band":[1,2]}"#, "signal.alpha"),
            (r#"{"kind":"motion","frames":16,"step":1,"alpha":1,"band":[2,1]}"#, "signal.band"),
        ] {
            let e = serde_json::from_str::<Signal>(text).unwrap().check().unwrap_err().to_string();
            assert!(e.contains(field), "{e}");
        }
        assert!(serde_json::from_str::<Signal>(r#"{"kind":"ppg","omega":64,"step":1,"alpha":1}"#).is_err());
    }
}
