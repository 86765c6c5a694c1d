//! Motion too small to see, made larger: by phase and linearly, on short runs of aligned crops.
//!
//! | | [`phase`] | [`linear`] |
//! |---|---|---|
//! | after | Wadhwa, Rubinstein, Durand, Freeman, "Phase-based video motion processing", 2013 | Wu et al., "Eulerian video magnification", 2012 |
//! | what grows | the phase of a complex steerable pyramid | the change of each pixel, in a Laplacian pyramid |
//! | motion of `d` pixels becomes | `(1 + alpha) d` | about `(1 + alpha) d` |
//! | as long as, for waves of `L` pixels | `(1 + alpha) d < L / 4` | `(1 + alpha) d < L / 11` |
//! | noise | moves | grows by alpha |
//!
//! **The bounds.** Phase: a band of one octave holds waves of a wavelength L under an envelope whose standard deviation
//! is about L / 4; the phase moves the waves under an envelope that stays, so beyond that the waves leave it. (A pure
//! grating has no envelope, and follows up to `d < L / 2`, where the phase wraps. A lone blob is all envelope: it moves
//! by about 0.83 of what was asked for, as the part of its motion that changes amplitudes is not in the phases.) Linear: to the first order a wave
//! `sin(k x)` that moves by `d` gains `(1 + alpha) k d cos(k x)`, which moves it by `atan((1 + alpha) k d) / k`. With
//! `k = 2 pi / L` that is less than `(1 + alpha) d` by 10 % at `(1 + alpha) d = 0.093 L`, about L / 11; at L / 8, the
//! bound of the paper, by 15 %. Octaves whose waves are too short for `largest` are therefore amplified less
//! ([`Magnification::largest`]).
//!
//! The published second stream of the motion detector is a learned network (deep magnification) whose weights are not
//! to be had; the linear one stands in its place.

use image::RgbImage;
use rustfft::num_complex::Complex;

use crate::SignalError;
use crate::steerable::{DIRECTIONS, Fft2, band, octaves, residual};

/// One channel of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Row by row.
    pub values: Vec<f32>,
}

/// What is magnified, and how far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Magnification {
    /// Motion of `d` becomes `(1 + alpha) d`; 0 to 100.
    pub alpha: f32,
    /// The band of motion in hertz: from, to. Whole cycles of the run lie in it or don't.
    pub band: (f64, f64),
    /// Frames a second.
    pub rate: f64,
    /// Of [`linear`]: the largest motion expected, in pixels. Octaves in which it would break the bound of the paper get
    /// the alpha that doesn't: `L / (8 largest) - 1`, 0 at least.
    pub largest: f32,
    /// Of [`phase`]: the standard deviation of the blur of phases, in wavelengths of the octave; 0 for none. Phases are
    /// weighted by their amplitude, so that flat skin moves with what is drawn on it.
    pub blur: f32,
}

impl Default for Magnification {
    /// Alpha 10, 1 to 6 Hz at 25 frames a second, motion up to 0.3 pixels, blur of half a wavelength.
    fn default() -> Self {
        Self { alpha: 10.0, band: (1.0, 6.0), rate: 25.0, largest: 0.3, blur: 0.5 }
    }
}

impl Magnification {
    fn check(&self, frames: &[Plane]) -> Result<(), SignalError> {
        let wrong = |option, expected: &str, found: String| {
            Err(SignalError::Option { option, expected: expected.into(), found })
        };
        let first = frames.first().map(|f| (f.width, f.height)).unwrap_or_default();
        if first.0.min(first.1) < 16 || frames.len() < 4 {
            let found = format!("{} of {}x{}", frames.len(), first.0, first.1);
            return wrong("frames", "4 frames at least, of 16x16 pixels at least", found);
        }
        if let Some(i) = frames.iter().position(|f| {
            (f.width, f.height) != first
                || f.values.len() != f.width * f.height
                || !f.values.iter().all(|v| v.is_finite())
        }) {
            return wrong("frames", "finite pixels, all frames of one size", format!("frame {i}"));
        }
        if !(0.0..=100.0).contains(&self.alpha) {
            return wrong("alpha", "0 to 100", self.alpha.to_string());
        }
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return wrong("rate", "more than 0", self.rate.to_string());
        }
        if !(self.band.0 > 0.0 && self.band.0 <= self.band.1) {
            return wrong("band", "0 < from <= to", format!("{} to {}", self.band.0, self.band.1));
        }
        if self.cycles(frames.len()).is_empty() {
            let each = self.rate / frames.len() as f64;
            let expected = format!("a multiple of {each:.2} Hz (1 over the run's length) within it");
            return wrong("band", &expected, format!("{} to {} Hz", self.band.0, self.band.1));
        }
        if self.largest.is_nan() || self.largest <= 0.0 {
            return wrong("largest", "more than 0 pixels", self.largest.to_string());
        }
        if !(0.0..=4.0).contains(&self.blur) {
            return wrong("blur", "0 to 4 wavelengths", self.blur.to_string());
        }
        Ok(())
    }

    /// The whole cycles of a run of so many frames that lie in the band.
    fn cycles(&self, frames: usize) -> Vec<usize> {
        let hertz = |k: usize| k as f64 * self.rate / frames as f64;
        (1..=frames / 2).filter(|&k| hertz(k) >= self.band.0 - 1e-9 && hertz(k) <= self.band.1 + 1e-9).collect()
    }

    /// The ideal band-pass over a run: what frame `t` takes from frame `s` is `matrix[t][s]`.
    fn temporal(&self, frames: usize) -> Vec<Vec<f32>> {
        let cycles = self.cycles(frames);
        let share = |t: usize, s: usize| {
            let each = cycles.iter().map(|&k| {
                let twice = if 2 * k == frames { 1.0 } else { 2.0 };
                let turns = k as f64 * (t as f64 - s as f64) / frames as f64;
                twice / frames as f64 * (std::f64::consts::TAU * turns).cos()
            });
            each.sum::<f64>() as f32
        };
        (0..frames).map(|t| (0..frames).map(|s| share(t, s)).collect()).collect()
    }
}

/// `matrix` times the frames, pixel by pixel.
fn filter_in_time(matrix: &[Vec<f32>], frames: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let row = |weights: &Vec<f32>| {
        let mut out = vec![0.0; frames[0].len()];
        for (weight, frame) in weights.iter().zip(frames) {
            out.iter_mut().zip(frame).for_each(|(out, v)| *out += weight * v);
        }
        out
    };
    matrix.iter().map(row).collect()
}

/// Magnifies motion by the phases of a complex steerable pyramid (octaves of four directions, at full resolution). Waves
/// shorter than 4 pixels, of which the finest octave holds a part, move less than asked for.
///
/// # Errors
/// Options out of range; fewer than 4 frames, frames under 16 pixels, of several sizes, or not finite.
pub fn phase(frames: &[Plane], options: &Magnification) -> Result<Vec<Plane>, SignalError> {
    options.check(frames)?;
    let (width, height) = (frames[0].width, frames[0].height);
    let fft = Fft2::new(width, height);
    let spectra: Vec<Vec<Complex<f32>>> = frames
        .iter()
        .map(|frame| {
            let mut spectrum: Vec<_> = frame.values.iter().map(|v| Complex::new(*v, 0.0)).collect();
            fft.forward(&mut spectrum);
            spectrum
        })
        .collect();
    let matrix = options.temporal(frames.len());
    let octaves = octaves(width.min(height));
    // Of a real picture, half of what is kept of both signs of frequency.
    let rest = residual(&fft, octaves);
    let mut sums: Vec<Vec<Complex<f32>>> =
        spectra.iter().map(|s| s.iter().zip(&rest).map(|(v, r)| v * (r / 2.0)).collect()).collect();
    for octave in 0..octaves {
        let wavelength = 4.0 * 2f32.powi(octave as i32);
        let blur = blur_filter(&fft, options.blur * wavelength);
        for direction in 0..DIRECTIONS {
            let filter = band(&fft, octave, direction);
            let answers: Vec<Vec<Complex<f32>>> = spectra
                .iter()
                .map(|s| {
                    let mut answer: Vec<_> = s.iter().zip(&filter).map(|(v, f)| v * f).collect();
                    fft.inverse(&mut answer);
                    answer
                })
                .collect();
            // Phases against the mean answer: small, so that they don't wrap.
            let mut mean = vec![Complex::new(0.0, 0.0); width * height];
            answers.iter().for_each(|a| mean.iter_mut().zip(a).for_each(|(m, v)| *m += v));
            let phases: Vec<Vec<f32>> =
                answers.iter().map(|a| a.iter().zip(&mean).map(|(v, m)| (v * m.conj()).arg()).collect()).collect();
            let moved = filter_in_time(&matrix, &phases);
            for ((answer, moved), sum) in answers.into_iter().zip(moved).zip(&mut sums) {
                let moved = weighted_blur(&fft, &answer, &moved, blur.as_deref());
                let turn = |(v, m): (&Complex<f32>, &f32)| v * Complex::from_polar(1.0, options.alpha * m);
                let mut turned: Vec<_> = answer.iter().zip(&moved).map(turn).collect();
                fft.forward(&mut turned);
                sum.iter_mut().zip(turned).zip(&filter).for_each(|((sum, v), f)| *sum += v * f);
            }
        }
    }
    let plane = |mut sum: Vec<Complex<f32>>| {
        fft.inverse(&mut sum);
        Plane { width, height, values: sum.iter().map(|v| 2.0 * v.re).collect() }
    };
    Ok(sums.into_iter().map(plane).collect())
}

/// A Gaussian blur of so many pixels as a filter; `None` for no blur.
fn blur_filter(fft: &Fft2, pixels: f32) -> Option<Vec<f32>> {
    let answer = |(x, y): (f32, f32)| (-0.5 * pixels * pixels * (x * x + y * y)).exp();
    (pixels > 0.0).then(|| fft.frequencies().map(answer).collect())
}

/// The mean of phases around each pixel, weighted by amplitude.
fn weighted_blur(fft: &Fft2, answer: &[Complex<f32>], phases: &[f32], blur: Option<&[f32]>) -> Vec<f32> {
    let Some(blur) = blur else { return phases.to_vec() };
    // Two real pictures in one complex transform: weighted phases, weights.
    let mut both: Vec<_> = answer.iter().zip(phases).map(|(a, p)| Complex::new(a.norm() * p, a.norm())).collect();
    // Below a millionth of the mean amplitude there is nothing to move.
    let least = 1e-6 * both.iter().map(|v| v.im).sum::<f32>() / both.len() as f32;
    fft.forward(&mut both);
    both.iter_mut().zip(blur).for_each(|(v, b)| *v *= b);
    fft.inverse(&mut both);
    both.iter().map(|v| if v.im > least { v.re / v.im } else { 0.0 }).collect()
}

/// Magnifies the change of each pixel in the band, octave by octave of a Laplacian pyramid.
///
/// # Errors
/// As [`phase`].
pub fn linear(frames: &[Plane], options: &Magnification) -> Result<Vec<Plane>, SignalError> {
    options.check(frames)?;
    let matrix = options.temporal(frames.len());
    let (width, height) = (frames[0].width, frames[0].height);
    let values: Vec<Vec<f32>> = frames.iter().map(|f| f.values.clone()).collect();
    let change: Vec<Plane> =
        filter_in_time(&matrix, &values).into_iter().map(|values| Plane { width, height, values }).collect();
    let octaves = octaves(width.min(height));
    let magnified = frames.iter().zip(change).map(|(frame, mut fine)| {
        let mut out = frame.clone();
        let mut levels: Vec<Plane> = Vec::new();
        for octave in 0..=octaves {
            // What is left at last holds all longer waves.
            let (level, coarse) = if octave < octaves {
                let coarse = halved(&fine);
                let wide = doubled(&coarse, fine.width, fine.height);
                let values = fine.values.iter().zip(&wide.values).map(|(f, w)| f - w).collect();
                (Plane { values, ..fine }, coarse)
            } else {
                (fine.clone(), fine)
            };
            let wavelength = 4.0 * 2f32.powi(octave as i32);
            let alpha = options.alpha.min((wavelength / (8.0 * options.largest) - 1.0).max(0.0));
            levels.push(Plane { values: level.values.iter().map(|v| alpha * v).collect(), ..level });
            fine = coarse;
        }
        let summed = levels.into_iter().rev().reduce(|coarse, level| {
            let wide = doubled(&coarse, level.width, level.height);
            let values = level.values.iter().zip(&wide.values).map(|(l, w)| l + w).collect();
            Plane { values, ..level }
        });
        if let Some(summed) = summed {
            out.values.iter_mut().zip(&summed.values).for_each(|(out, v)| *out += v);
        }
        out
    });
    Ok(magnified.collect())
}

/// The binomial filter of Burt and Adelson (1983).
const BINOMIAL: [f32; 5] = [1.0 / 16.0, 4.0 / 16.0, 6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0];

/// Half the size, after the binomial filter; the border goes on outside.
fn halved(plane: &Plane) -> Plane {
    let (width, height) = (plane.width.div_ceil(2), plane.height.div_ceil(2));
    let inside = |i: isize, n: usize| i.clamp(0, n as isize - 1) as usize;
    let tap = |x: usize, y: usize| -> f32 {
        let weighted = |k: usize, n: usize, at: usize| (BINOMIAL[k], inside(2 * at as isize + k as isize - 2, n));
        (0..5)
            .map(|j| {
                let (wy, row) = weighted(j, plane.height, y);
                let line = &plane.values[row * plane.width..][..plane.width];
                wy * (0..5).map(|i| weighted(i, plane.width, x)).map(|(wx, column)| wx * line[column]).sum::<f32>()
            })
            .sum()
    };
    let values = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| tap(x, y)).collect();
    Plane { width, height, values }
}

/// To a size of twice (or twice less one) the plane's: even places the binomial filter's (1 6 1) / 8, odd ones the mean
/// of their neighbours.
fn doubled(plane: &Plane, width: usize, height: usize) -> Plane {
    let along = |line: &dyn Fn(usize) -> f32, n: usize, at: usize| -> f32 {
        let (k, last) = (at / 2, n - 1);
        if at % 2 == 1 {
            (line(k) + line((k + 1).min(last))) / 2.0
        } else {
            (line(k.saturating_sub(1)) + 6.0 * line(k) + line((k + 1).min(last))) / 8.0
        }
    };
    let mut wide = vec![0.0; width * plane.height];
    for y in 0..plane.height {
        let row = &plane.values[y * plane.width..][..plane.width];
        (0..width).for_each(|x| wide[y * width + x] = along(&|k| row[k], plane.width, x));
    }
    let values = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let values = values.map(|(x, y)| along(&|k| wide[k * width + x], plane.height, y)).collect();
    Plane { width, height, values }
}

/// How motion is magnified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`phase`]
    Phase,
    /// [`linear`]
    Linear,
}

/// Magnifies the motion in a run of aligned crops. Brightness (Rec. 601) is magnified; colours stay.
///
/// # Errors
/// As [`phase`].
pub fn magnify(crops: &[RgbImage], kind: Kind, options: &Magnification) -> Result<Vec<RgbImage>, SignalError> {
    let brightness = |crop: &RgbImage| Plane {
        width: crop.width() as usize,
        height: crop.height() as usize,
        values: crop
            .pixels()
            .map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]))
            .collect(),
    };
    let planes: Vec<Plane> = crops.iter().map(brightness).collect();
    let magnified = match kind {
        Kind::Phase => phase(&planes, options)?,
        Kind::Linear => linear(&planes, options)?,
    };
    let crops = crops.iter().zip(planes).zip(magnified).map(|((crop, before), after)| {
        let mut out = crop.clone();
        let change = after.values.iter().zip(&before.values).map(|(a, b)| a - b);
        for (pixel, change) in out.pixels_mut().zip(change) {
            pixel.0 = pixel.0.map(|v| (f32::from(v) + change).round().clamp(0.0, 255.0) as u8);
        }
        out
    });
    Ok(crops.collect())
}
