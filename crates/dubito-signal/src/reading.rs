//! The pulse of a face: heart rate, signal-to-noise ratio and quality, or why there are none.

use std::fmt;

use crate::mesh::REGIONS;
use crate::methods::{self, Method};
use crate::spectrum::{Spectrum, fine, half_width};
use crate::{Grid, Traces, Undefined};

/// The shortest stretch that a heart rate is read from, in seconds: four beats of the slowest heart. In less, noise has a
/// peak as clear as many a pulse's (docs/PULSE.md).
pub const LEAST_SECONDS: f64 = 6.0;
/// Red, green and blue that differ by less than this on average are grey; of 255.
const GREY: f64 = 0.75;
/// A wave that changes by less than this is rounding: a hundredth of the faintest pulse that a camera shows.
const STILL: f64 = 1e-7;
/// From these SNR on, in decibels: good, fair. See [`Quality`].
const STEPS: (f64, f64) = (3.0, 0.0);

/// How far a reading can be believed, by its SNR. A search for the best line finds one in noise too: docs/PULSE.md has
/// how often faces without a pulse reach each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Below 0 dB: noise does that too.
    Poor,
    /// 0 to 3 dB: probably a pulse.
    Fair,
    /// 3 dB and more.
    Good,
}

impl Quality {
    /// The quality of a signal-to-noise ratio in decibels.
    pub fn of(snr_db: f64) -> Self {
        match snr_db {
            snr if snr >= STEPS.0 => Self::Good,
            snr if snr >= STEPS.1 => Self::Fair,
            _ => Self::Poor,
        }
    }

    /// `good`, `fair` or `poor`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor",
        }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The pulse of a face.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// How the wave was had.
    pub method: Method,
    /// Beats a minute, 42 to 240: the highest peak of the spectrum, between its lines.
    pub heart_rate_bpm: f64,
    /// Power at the heart rate and its first harmonic over the rest of 0.7 to 4 Hz, in decibels.
    pub snr_db: f64,
    /// What the SNR is worth.
    pub quality: Quality,
    /// Seconds that the wave covers.
    pub seconds: f64,
    /// Time of the wave's first value in seconds.
    pub start: f64,
    /// Values of the wave a second.
    pub rate: f64,
    /// The wave in 0.7 to 4 Hz; higher where there is more blood; its standard deviation is 1.
    pub wave: Vec<f64>,
    /// The wave's spectrum.
    pub spectrum: Spectrum,
    /// What each region counts; they add up to 1.
    pub weights: [f64; REGIONS],
    /// Gaps in the face's track: above 0, the reading is of the longest stretch without one.
    pub gaps: usize,
}

/// Reads the pulse from the longest stretch of traces without a gap.
///
/// Each of the 32 regions gives a wave by `method`, and counts by how clear the pulse is in it: its weight is its
/// signal-to-noise ratio at the face's heart rate (first that of the mean colour, then that of the weighted wave).
/// Beards, shadows and moving lips so count little, and nobody has to say what is skin.
///
/// # Errors
/// [`Undefined`] where there is no face, it is turned away, frames are too few a second or in all, the video is grey or
/// still.
pub fn measure(traces: &Traces, method: Method) -> Result<Reading, Undefined> {
    read(&traces.grid()?, method)
}

/// [`measure`] of traces that are uniform in time.
///
/// # Errors
/// As [`measure`].
pub fn read(grid: &Grid, method: Method) -> Result<Reading, Undefined> {
    let seconds = grid.seconds();
    let short = Undefined::TooShort { seconds, needed: LEAST_SECONDS };
    // Timestamps are rounded.
    if seconds < LEAST_SECONDS * 0.999 {
        return Err(short);
    }
    if is_grey(grid) {
        return Err(Undefined::Grey);
    }
    // At this length and rate filters and windows have what they need.
    let wave = |colours: &[[f64; 3]]| method.wave(colours, grid.rate).map_err(|_| short.clone());
    let waves: Vec<Vec<f64>> =
        grid.colours.iter().map(|colours| Ok(unit(wave(colours)?))).collect::<Result<_, Undefined>>()?;
    let spectra: Vec<Spectrum> = waves.iter().map(|wave| fine(wave, grid.rate)).collect();
    let width = half_width(seconds);
    let mut face = unit(wave(&grid.mean(&[1.0; REGIONS]))?);
    let mut weights = [1.0 / REGIONS as f64; REGIONS];
    for _ in 0..2 {
        let peak = fine(&face, grid.rate).peak().ok_or(Undefined::Still)?;
        for (weight, spectrum) in weights.iter_mut().zip(&spectra) {
            *weight = spectrum.signal_to_noise(peak, width).unwrap_or(0.0);
        }
        let sum: f64 = weights.iter().sum();
        if sum.is_nan() || sum <= 0.0 {
            return Err(Undefined::Still);
        }
        weights.iter_mut().for_each(|weight| *weight /= sum);
        let mean = |i: usize| waves.iter().zip(weights).map(|(wave, weight)| weight * wave[i]).sum();
        face = unit((0..grid.len()).map(mean).collect());
    }
    let spectrum = fine(&face, grid.rate);
    let peak = spectrum.peak().ok_or(Undefined::Still)?;
    let snr = spectrum.signal_to_noise(peak, width).ok_or(Undefined::Still)?;
    let snr_db = 10.0 * snr.log10();
    Ok(Reading {
        method,
        heart_rate_bpm: 60.0 * peak,
        snr_db,
        quality: Quality::of(snr_db),
        seconds,
        start: grid.start,
        rate: grid.rate,
        wave: face,
        spectrum,
        weights,
        gaps: grid.gaps,
    })
}

/// Whether the colours of a face are grey.
pub(crate) fn is_grey(grid: &Grid) -> bool {
    let apart = |c: &[f64; 3]| (c[0] - c[1]).abs().max((c[1] - c[2]).abs());
    let sum: f64 = grid.colours.iter().flatten().map(apart).sum();
    sum < GREY * (grid.len() * grid.colours.len()) as f64
}

/// A wave without its mean, with standard deviation 1; 0 where it is still.
fn unit(wave: Vec<f64>) -> Vec<f64> {
    let n = wave.len().max(1) as f64;
    let mean = wave.iter().sum::<f64>() / n;
    let deviation = methods::deviation(&wave);
    let scale = if deviation > STILL { 1.0 / deviation } else { 0.0 };
    wave.into_iter().map(|v| (v - mean) * scale).collect()
}
