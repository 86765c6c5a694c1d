//! The spectrum of a wave: periodogram, the peak between its lines, the signal-to-noise ratio.

use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

use crate::methods::BAND;

/// Power over frequency, one-sided.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// Hertz from one line to the next; the first is at 0.
    pub step: f64,
    /// Power of each line, in the wave's units squared per hertz.
    pub power: Vec<f64>,
}

/// The periodogram (power spectral density, boxcar window) of a wave without its mean, padded with zeros to `length`
/// samples: SciPy's `periodogram(x, rate, "boxcar", nfft=length, detrend="constant")`. `length` counts as the wave's
/// own where it is less.
pub fn periodogram(wave: &[f64], rate: f64, length: usize) -> Spectrum {
    let n = wave.len();
    let length = length.max(n).max(1);
    let mean = wave.iter().sum::<f64>() / n.max(1) as f64;
    let mut values: Vec<Complex<f64>> = wave.iter().map(|v| Complex::new(v - mean, 0.0)).collect();
    values.resize(length, Complex::new(0.0, 0.0));
    FftPlanner::new().plan_fft_forward(length).process(&mut values);
    let scale = 1.0 / (rate * n.max(1) as f64);
    let twice = |k: usize| if k == 0 || 2 * k == length { 1.0 } else { 2.0 };
    let power = (0..=length / 2).map(|k| twice(k) * values[k].norm_sqr() * scale).collect();
    Spectrum { step: rate / length as f64, power }
}

/// The spectrum that heart rates are read from: padded to the power of two that has at least eight lines for each that
/// the wave resolves.
pub fn fine(wave: &[f64], rate: f64) -> Spectrum {
    periodogram(wave, rate, (8 * wave.len()).next_power_of_two())
}

impl Spectrum {
    /// The lines within `low` to `high` hertz.
    fn lines(&self, low: f64, high: f64) -> std::ops::Range<usize> {
        let first = (low / self.step).ceil().max(0.0) as usize;
        let end = (high / self.step).floor().max(0.0) as usize + 1;
        first.min(self.power.len())..end.min(self.power.len())
    }

    /// The frequency of the highest peak in [`BAND`], in hertz, by a parabola through the logarithms of its line and
    /// its neighbours. `None` where there is no power.
    pub fn peak(&self) -> Option<f64> {
        let lines = self.lines(BAND.0, BAND.1);
        // The first of equals.
        let top = lines.reduce(|best, k| if self.power[k] > self.power[best] { k } else { best })?;
        if self.power[top].is_nan() || self.power[top] <= 0.0 {
            return None;
        }
        let log = |k: usize| self.power.get(k).copied().filter(|p| *p > 0.0).map(f64::ln);
        let offset = match (top.checked_sub(1).and_then(log), log(top), log(top + 1)) {
            (Some(a), Some(b), Some(c)) if a - 2.0 * b + c < 0.0 => {
                (0.5 * (a - c) / (a - 2.0 * b + c)).clamp(-0.5, 0.5)
            }
            _ => 0.0,
        };
        Some((top as f64 + offset) * self.step)
    }

    /// The signal-to-noise ratio of a pulse of `frequency` hertz (de Haan and Jeanne 2013): the power within
    /// `half_width` hertz of the frequency and of twice it, over the rest of [`BAND`]; a ratio, not in decibels. `None`
    /// where the rest has no power.
    pub fn signal_to_noise(&self, frequency: f64, half_width: f64) -> Option<f64> {
        let (mut signal, mut noise) = (0.0, 0.0);
        for k in self.lines(BAND.0, BAND.1) {
            let at = k as f64 * self.step;
            let near = |f: f64| (at - f).abs() <= half_width;
            if near(frequency) || near(2.0 * frequency) { signal += self.power[k] } else { noise += self.power[k] }
        }
        (noise > 0.0).then(|| signal / noise)
    }
}

/// Half the width of a line in a spectrum of so many seconds, in hertz: 0.1 as in rPPG-Toolbox, or as far as the
/// recording resolves (1 over its length) where that is more.
pub fn half_width(seconds: f64) -> f64 {
    (1.0 / seconds).max(0.1)
}
