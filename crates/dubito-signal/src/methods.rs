//! From the skin's colour to a pulse wave: CHROM, POS and G-PPG.
//!
//! Every wave is positive where the skin holds more blood, as a contact sensor's is: the light that comes back is less
//! then. POS and G-PPG are therefore turned over against their papers, which follow the light.

use std::fmt;
use std::str::FromStr;

use crate::SignalError;
use crate::filters::Filter;

/// The band of human heart rates in hertz: 42 to 240 a minute.
pub const BAND: (f64, f64) = (0.7, 4.0);
/// Seconds of a window of CHROM and POS, as in their papers.
pub const WINDOW_SECONDS: f64 = 1.6;
/// Order of the band-pass.
const ORDER: usize = 2;

/// How a pulse wave is had from colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// [`chrom`]
    #[default]
    Chrom,
    /// [`pos`]
    Pos,
    /// [`green`]
    Green,
}

impl Method {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Chrom, Self::Pos, Self::Green];

    /// `chrom`, `pos` or `green`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chrom => "chrom",
            Self::Pos => "pos",
            Self::Green => "green",
        }
    }

    /// The wave in [`BAND`] of colours at `rate` frames a second.
    ///
    /// # Errors
    /// A rate of at most twice the band's upper end; fewer frames than a window or the filter needs.
    pub fn wave(self, colours: &[[f64; 3]], rate: f64) -> Result<Vec<f64>, SignalError> {
        let filter = band_pass(rate)?;
        match self {
            Self::Chrom => filter.zero_phase(&chrom(colours, rate, WINDOW_SECONDS)?),
            Self::Pos => filter.zero_phase(&pos(colours, rate, WINDOW_SECONDS)?),
            Self::Green => filter.zero_phase(&green(colours)),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|m| m.name() == text);
        found.ok_or_else(|| format!("{text:?} is none of chrom, pos, green"))
    }
}

/// The Butterworth band-pass of second order over [`BAND`].
///
/// # Errors
/// A rate of at most twice the band's upper end.
pub fn band_pass(rate: f64) -> Result<Filter, SignalError> {
    Filter::butterworth_band_pass(ORDER, BAND.0, BAND.1, rate)
}

/// Red, green and blue as changes relative to their temporal mean: the colour of the light drops out. A channel whose
/// mean is 0 stays 0.
fn normalised(colours: &[[f64; 3]]) -> Vec<[f64; 3]> {
    let mean = [0, 1, 2].map(|k| colours.iter().map(|c| c[k]).sum::<f64>() / colours.len().max(1) as f64);
    let relative = |c: &[f64; 3]| [0, 1, 2].map(|k| if mean[k] > 0.0 { c[k] / mean[k] - 1.0 } else { 0.0 });
    colours.iter().map(relative).collect()
}

/// The standard deviation (of the sample itself: divided by n).
pub(crate) fn deviation(values: &[f64]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
}

/// Frames of a window of so many seconds.
fn window_length(frames: usize, rate: f64, seconds: f64) -> Result<usize, SignalError> {
    let length = (seconds * rate).ceil() as usize;
    if !(seconds > 0.0 && rate > 0.0 && length >= 2 && length <= frames) {
        return Err(SignalError::Option {
            option: "colours",
            expected: format!("at least one window of {seconds} s, {length} frames"),
            found: format!("{frames} frames"),
        });
    }
    Ok(length)
}

/// CHROM in one window: the colours normalised by their temporal mean, two chrominance signals `X = 3R - 2G` and
/// `Y = 1.5R + G - 1.5B`, both through the band-pass, and `X - alpha Y` with `alpha = sd(X) / sd(Y)`, in which what
/// shines (equal in all channels but for the light's colour) and what moves drop out. 0 where the colours are still.
///
/// # Errors
/// A rate of at most twice the band's upper end; 15 frames or fewer, the filter's padding.
pub fn chrom_window(colours: &[[f64; 3]], rate: f64) -> Result<Vec<f64>, SignalError> {
    let filter = band_pass(rate)?;
    let relative = normalised(colours);
    let x: Vec<f64> = relative.iter().map(|[r, g, _]| 3.0 * r - 2.0 * g).collect();
    let y: Vec<f64> = relative.iter().map(|[r, g, b]| 1.5 * r + g - 1.5 * b).collect();
    let (x, y) = (filter.zero_phase(&x)?, filter.zero_phase(&y)?);
    let below = deviation(&y);
    let alpha = if below > 0.0 { deviation(&x) / below } else { 0.0 };
    Ok(x.iter().zip(&y).map(|(x, y)| x - alpha * y).collect())
}

/// CHROM (de Haan and Jeanne, "Robust pulse rate from chrominance-based rPPG", IEEE TBME 2013): [`chrom_window`] in
/// windows that overlap by half, each under a Hann window, added up and divided by the sum of the Hann windows, so
/// that the ends are as high as the middle. The last window ends with the signal.
///
/// # Errors
/// As [`chrom_window`]; fewer frames than one window.
pub fn chrom(colours: &[[f64; 3]], rate: f64, window_seconds: f64) -> Result<Vec<f64>, SignalError> {
    let frames = colours.len();
    let length = window_length(frames, rate, window_seconds)?;
    let hann: Vec<f64> =
        (0..length).map(|i| (std::f64::consts::PI * (i as f64 + 0.5) / length as f64).sin().powi(2)).collect();
    let (mut sum, mut weight) = (vec![0.0; frames], vec![0.0; frames]);
    let last = frames - length;
    let begins = (0..last).step_by(length.div_ceil(2)).chain(std::iter::once(last));
    for begin in begins {
        let wave = chrom_window(&colours[begin..begin + length], rate)?;
        for i in 0..length {
            sum[begin + i] += hann[i] * wave[i];
            weight[begin + i] += hann[i];
        }
    }
    Ok(sum.iter().zip(weight).map(|(s, w)| s / w).collect())
}

/// POS (Wang, den Brinker, Stuijk, de Haan, "Algorithmic principles of remote PPG", IEEE TBME 2017), turned over: for
/// each window of frames the colours are normalised by their mean, projected onto `G - B` and `G + B - 2R`, added as
/// `p1 + sd(p1) / sd(p2) p2`, and the windows added up without their means. Not filtered.
///
/// # Errors
/// Fewer frames than one window.
pub fn pos(colours: &[[f64; 3]], rate: f64, window_seconds: f64) -> Result<Vec<f64>, SignalError> {
    let length = window_length(colours.len(), rate, window_seconds)?;
    let mut wave = vec![0.0; colours.len()];
    for (begin, window) in colours.windows(length).enumerate() {
        let relative = normalised(window);
        let first: Vec<f64> = relative.iter().map(|[_, g, b]| g - b).collect();
        let second: Vec<f64> = relative.iter().map(|[r, g, b]| g + b - 2.0 * r).collect();
        let below = deviation(&second);
        let alpha = if below > 0.0 { deviation(&first) / below } else { 0.0 };
        let both: Vec<f64> = first.iter().zip(&second).map(|(a, b)| a + alpha * b).collect();
        let mean = both.iter().sum::<f64>() / length as f64;
        for (sum, value) in wave[begin..].iter_mut().zip(&both) {
            *sum -= value - mean;
        }
    }
    Ok(wave)
}

/// G-PPG (Verkruysse, Svaasand, Nelson, "Remote plethysmographic imaging using ambient light", Optics Express 2008):
/// green relative to its temporal mean, turned over. Not filtered.
pub fn green(colours: &[[f64; 3]]) -> Vec<f64> {
    normalised(colours).iter().map(|c| -c[1]).collect()
}
