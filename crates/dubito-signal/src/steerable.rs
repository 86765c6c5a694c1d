//! The complex steerable pyramid's filters, in the frequency domain (Portilla and Simoncelli, IJCV 2000), at full
//! resolution: octave-wide bands of four directions, one-sided, so that a band's answer has a phase.

use std::f32::consts::{FRAC_PI_2, PI};
use std::sync::Arc;

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

/// Directions of each octave.
pub(crate) const DIRECTIONS: usize = 4;

/// The Fourier transform of pictures of one size.
pub(crate) struct Fft2 {
    width: usize,
    height: usize,
    /// Rows, columns; forward, then inverse.
    plans: [[Arc<dyn Fft<f32>>; 2]; 2],
}

impl Fft2 {
    pub(crate) fn new(width: usize, height: usize) -> Self {
        let mut planner = FftPlanner::new();
        let forward = [planner.plan_fft_forward(width), planner.plan_fft_forward(height)];
        let inverse = [planner.plan_fft_inverse(width), planner.plan_fft_inverse(height)];
        Self { width, height, plans: [forward, inverse] }
    }

    pub(crate) fn forward(&self, picture: &mut Vec<Complex<f32>>) {
        self.run(picture, &self.plans[0]);
    }

    /// Divided by the number of pixels, so that it undoes [`Fft2::forward`].
    pub(crate) fn inverse(&self, picture: &mut Vec<Complex<f32>>) {
        self.run(picture, &self.plans[1]);
        let scale = 1.0 / (self.width * self.height) as f32;
        picture.iter_mut().for_each(|v| *v *= scale);
    }

    fn run(&self, picture: &mut Vec<Complex<f32>>, plans: &[Arc<dyn Fft<f32>>; 2]) {
        plans[0].process(picture);
        let mut turned = transposed(picture, self.width);
        plans[1].process(&mut turned);
        *picture = transposed(&turned, self.height);
    }

    /// For each line of the spectrum its frequency: across and down, in radians a pixel, -pi to pi.
    pub(crate) fn frequencies(&self) -> impl Iterator<Item = (f32, f32)> + '_ {
        let signed = |k: usize, n: usize| {
            let k = if 2 * k >= n { k as f32 - n as f32 } else { k as f32 };
            2.0 * PI * k / n as f32
        };
        (0..self.height)
            .flat_map(move |y| (0..self.width).map(move |x| (signed(x, self.width), signed(y, self.height))))
    }
}

fn transposed(picture: &[Complex<f32>], width: usize) -> Vec<Complex<f32>> {
    let height = picture.len() / width.max(1);
    (0..width).flat_map(|x| (0..height).map(move |y| picture[y * width + x])).collect()
}

/// Octaves of a picture whose shorter side has so many pixels: the longest wave in a band is half of it.
pub(crate) fn octaves(side: usize) -> usize {
    (side.max(1).ilog2() as usize).saturating_sub(3).max(1)
}

/// The high-pass of octave 0: 0 up to half the highest frequency, 1 from the highest on; octave `l` is `2^l` lower.
fn high_pass(frequency: f32, octave: usize) -> f32 {
    let r = frequency / PI * 2f32.powi(octave as i32);
    if r <= 0.5 {
        0.0
    } else if r >= 1.0 {
        1.0
    } else {
        (FRAC_PI_2 * r.log2()).cos()
    }
}

fn low_pass(frequency: f32, octave: usize) -> f32 {
    (1.0 - high_pass(frequency, octave).powi(2)).max(0.0).sqrt()
}

/// One band's filter at every line of the spectrum. Octave `l` answers to waves of `2 * 2^l` to `8 * 2^l` pixels, most to
/// `4 * 2^l`. The squares of all bands, of both signs of frequency, and of [`residual`] add up to 1.
pub(crate) fn band(fft: &Fft2, octave: usize, direction: usize) -> Vec<f32> {
    let towards = PI * direction as f32 / DIRECTIONS as f32;
    // cos^3 of four directions: the squares over both half-planes add up to 4 * 20 / 64.
    let scale = (64.0f32 / 80.0).sqrt();
    let answer = |(x, y): (f32, f32)| {
        let frequency = x.hypot(y);
        let along = if frequency > 0.0 { (x * towards.cos() + y * towards.sin()) / frequency } else { 0.0 };
        if along <= 0.0 {
            return 0.0;
        }
        low_pass(frequency, octave) * high_pass(frequency, octave + 1) * scale * along.powi(DIRECTIONS as i32 - 1)
    };
    fft.frequencies().map(answer).collect()
}

/// What no band holds, squared: the finest detail and the coarsest light.
pub(crate) fn residual(fft: &Fft2, octaves: usize) -> Vec<f32> {
    let rest = |(x, y): (f32, f32)| {
        let frequency: f32 = x.hypot(y);
        high_pass(frequency, 0).powi(2) + low_pass(frequency, octaves).powi(2)
    };
    fft.frequencies().map(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_and_residual_hold_everything_once() {
        let fft = Fft2::new(48, 40);
        let octaves = octaves(40);
        let lines: Vec<(f32, f32)> = fft.frequencies().collect();
        let mut sum = residual(&fft, octaves);
        for octave in 0..octaves {
            for direction in 0..DIRECTIONS {
                let filter = band(&fft, octave, direction);
                for y in 0..40 {
                    for x in 0..48 {
                        let (this, mirrored) = (y * 48 + x, (40 - y) % 40 * 48 + (48 - x) % 48);
                        sum[this] += filter[this].powi(2) + filter[mirrored].powi(2);
                    }
                }
            }
        }
        for (sum, at) in sum.iter().zip(lines) {
            assert!((sum - 1.0).abs() < 1e-5, "{sum} at {at:?}");
        }
    }

    #[test]
    fn transforms_undo_each_other() {
        let fft = Fft2::new(12, 9);
        let picture: Vec<Complex<f32>> = (0..108).map(|i| Complex::new((i * 37 % 101) as f32, 0.0)).collect();
        let mut there = picture.clone();
        fft.forward(&mut there);
        assert!((there[0].re - picture.iter().map(|v| v.re).sum::<f32>()).abs() < 0.1);
        fft.inverse(&mut there);
        assert!(there.iter().zip(&picture).all(|(a, b)| (a - b).norm() < 1e-3));
    }
}
