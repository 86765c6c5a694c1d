//! PPG maps: what FakeCatcher's network looks at.
//!
//! A map of window omega is a picture of 64 rows and omega columns (Ciftci, Demir, Yin, "FakeCatcher", 2020): the 32
//! regions' pulse waves, each scaled to 0 to 255, and below them their 32 power spectral densities, scaled likewise.
//! The *PPG cell* by which generators are told apart (Ciftci, Demir, Yin, "How Do the Hearts of Deep Fakes Beat?",
//! IJCB 2020) is the map of a short window: omega = 64, 64 by 64.

use crate::mesh::REGIONS;
use crate::methods::{self, Method};
use crate::reading::is_grey;
use crate::spectrum::periodogram;
use crate::{Grid, Undefined};

/// A PPG map.
#[derive(Clone, Debug, PartialEq)]
pub struct PpgMap {
    /// The first frame of the grid that it shows.
    pub start: usize,
    /// Frames that it shows, and its columns.
    pub omega: usize,
    /// 64 rows of omega values, 0 to 255. Row r below 32 is the wave of region r over the window; row 32 + r its power
    /// spectral density, from 0 Hz (left) to one line below half the frame rate.
    pub values: Vec<f32>,
}

impl PpgMap {
    /// Rows: waves, then spectra.
    pub const ROWS: usize = 2 * REGIONS;
}

/// The map of the window of `omega` frames (64, 128 and 256 in the paper) that begins at frame `start` of the grid.
///
/// The window is looked at by itself: colours are normalised by its means, and CHROM's alpha is that of the whole
/// window. The spectrum of omega columns is the periodogram of the wave padded with zeros to twice its length. A region
/// that does not change is a row of zeros.
///
/// # Errors
/// [`Undefined`] where the window is not within the grid or shorter than the filter needs (16 frames, 1.6 s for POS),
/// and where all of it is grey or still.
pub fn ppg_map(grid: &Grid, method: Method, omega: usize, start: usize) -> Result<PpgMap, Undefined> {
    let end = start.saturating_add(omega);
    if end > grid.len() {
        return Err(Undefined::Window { start, end, frames: grid.len() });
    }
    let window = Grid {
        colours: grid.colours.iter().map(|c| c[start..end].to_vec()).collect(),
        start: grid.start + start as f64 / grid.rate,
        ..*grid
    };
    let needed = if method == Method::Pos { methods::WINDOW_SECONDS.max(16.0 / grid.rate) } else { 16.0 / grid.rate };
    let short = Undefined::TooShort { seconds: window.seconds(), needed };
    if omega < 16 {
        return Err(short);
    }
    if is_grey(&window) {
        return Err(Undefined::Grey);
    }
    let wave = |colours: &Vec<[f64; 3]>| match method {
        Method::Chrom => methods::chrom_window(colours, grid.rate),
        Method::Pos | Method::Green => method.wave(colours, grid.rate),
    };
    let mut values = vec![0.0; PpgMap::ROWS * omega];
    for (region, colours) in window.colours.iter().enumerate() {
        let wave = wave(colours).map_err(|_| short.clone())?;
        let spectrum = periodogram(&wave, grid.rate, 2 * omega);
        scale(&wave, &mut values[region * omega..][..omega]);
        scale(&spectrum.power[..omega], &mut values[(REGIONS + region) * omega..][..omega]);
    }
    if values.iter().all(|v| *v == 0.0) {
        return Err(Undefined::Still);
    }
    Ok(PpgMap { start, omega, values })
}

/// All maps of windows of `omega` frames, each `step` frames (1 at least) after the one before: omega / 2 lets them
/// overlap by half.
///
/// # Errors
/// As [`ppg_map`] where not one window fits; a window that is still is an error of its own, in its place.
pub fn ppg_maps(
    grid: &Grid,
    method: Method,
    omega: usize,
    step: usize,
) -> Result<Vec<Result<PpgMap, Undefined>>, Undefined> {
    let Some(last) = grid.len().checked_sub(omega) else {
        return Err(Undefined::Window { start: 0, end: omega, frames: grid.len() });
    };
    Ok((0..=last).step_by(step.max(1)).map(|start| ppg_map(grid, method, omega, start)).collect())
}

/// Scales a row so that its least value is 0 and its largest 255.
fn scale(row: &[f64], out: &mut [f32]) {
    let low = row.iter().copied().fold(f64::INFINITY, f64::min);
    let high = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let by = if high > low { 255.0 / (high - low) } else { 0.0 };
    for (out, value) in out.iter_mut().zip(row) {
        *out = ((value - low) * by) as f32;
    }
}
