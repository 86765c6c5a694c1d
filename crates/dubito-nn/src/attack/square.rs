//! Square attack in the maximum norm (Andriushchenko et al., "Square Attack: a query-efficient black-box adversarial attack
//! via random search", ECCV 2020): squares of one colour at random places, kept where the objective grows.

use super::Ball;
use super::aim::Aim;
use crate::NnError;
use crate::network::MapShape;
use crate::rng::{Purpose, Stream};

/// The part of the picture that the first squares cover.
const P: f64 = 0.8;

/// The part of the picture that the square of step `k` of `steps` covers: the authors' schedule of 10,000, stretched.
pub(super) fn part(k: u32, steps: u32) -> f64 {
    let at = u64::from(k) * 10_000 / u64::from(steps);
    let halvings = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000].iter().filter(|&&from| at > from).count();
    P / f64::from(1u32 << halvings)
}

/// A square of one colour.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Patch {
    pub top: usize,
    pub left: usize,
    pub side: usize,
    /// Of each channel whether it is as light or as dark as the ball lets it be: 1 or -1.
    pub signs: Vec<f32>,
}

/// Where an attack's randomness comes from, so that a test can give another's.
pub(super) trait Draws {
    /// The signs of the first stripes of an item, `[channels, w]`.
    fn stripes(&mut self, item: usize, shape: MapShape) -> Vec<f32>;

    /// The square of an item at step `k`.
    fn patch(&mut self, item: usize, k: u32, side: usize, shape: MapShape) -> Patch;
}

/// Draws as a function of (seed, step, item).
struct Seeded(u64);

impl Seeded {
    fn stream(&self, step: u32, item: usize) -> Stream {
        Stream::new(Purpose::Attack, self.0, step, item as u32)
    }
}

/// 1 or -1.
fn coin(stream: &mut Stream) -> f32 {
    if stream.below(2) == 0 { 1.0 } else { -1.0 }
}

impl Draws for Seeded {
    fn stripes(&mut self, item: usize, [_, w, channels]: MapShape) -> Vec<f32> {
        let mut stream = self.stream(0, item);
        (0..w * channels).map(|_| coin(&mut stream)).collect()
    }

    fn patch(&mut self, item: usize, k: u32, side: usize, [h, w, channels]: MapShape) -> Patch {
        let mut stream = self.stream(k + 1, item);
        let mut place = |n: usize| stream.below((n - side + 1) as u32) as usize;
        let (top, left) = (place(h), place(w));
        let signs = (0..channels).map(|_| coin(&mut stream)).collect();
        Patch { top, left, side, signs }
    }
}

/// The attack. `watch` sees the pixels and their objective after each step.
pub(super) fn square(
    aim: &Aim<'_>,
    ball: Ball<'_>,
    steps: u32,
    seed: u64,
    watch: &mut dyn FnMut(&[f32], &[f32]),
) -> Result<Vec<f32>, NnError> {
    square_by(aim, ball, steps, &mut Seeded(seed), watch)
}

/// The attack by these draws. Where samples differ, the pixels so far and the candidate are both asked about by the step's
/// fresh samples: a candidate is not kept for lucky samples, nor refused for the pixels' own luck before.
pub(super) fn square_by(
    aim: &Aim<'_>,
    ball: Ball<'_>,
    steps: u32,
    draws: &mut dyn Draws,
    watch: &mut dyn FnMut(&[f32], &[f32]),
) -> Result<Vec<f32>, NnError> {
    let shape @ [h, w, _] = aim.victim.shape;
    let one = aim.victim.one();
    let items = ball.clean.len() / one;
    let stripes: Vec<Vec<f32>> = (0..items).map(|item| draws.stripes(item, shape)).collect();
    let change: Vec<f32> =
        (0..ball.clean.len()).map(|i| ball.epsilon * stripes[i / one][i % one / (h * w) * w + i % w]).collect();
    let mut pixels = ball.moved(&change);
    let is_certain = aim.is_certain(ball.clean)?;
    let mut values = aim.values(&pixels, 0)?;
    for k in 0..steps {
        let side = ((part(k, steps) * (h * w) as f64).sqrt().round() as usize).clamp(1, h.min(w));
        let mut candidate = pixels.clone();
        for (item, candidate) in candidate.chunks_exact_mut(one).enumerate() {
            let Patch { top, left, side, signs } = draws.patch(item, k, side, shape);
            for (c, sign) in signs.into_iter().enumerate() {
                for y in top..top + side {
                    for x in left..left + side {
                        let i = (c * h + y) * w + x;
                        let place = item * one + i;
                        candidate[i] = ball.project(place, ball.clean[place] + ball.epsilon * sign);
                    }
                }
            }
        }
        let found = match is_certain {
            true => aim.values(&candidate, k + 1)?,
            false => {
                let mut both = aim.values(&[pixels.as_slice(), &candidate].concat(), k + 1)?;
                let found = both.split_off(items);
                values = both;
                found
            }
        };
        for item in 0..items {
            if found[item] > values[item] {
                values[item] = found[item];
                pixels[item * one..][..one].copy_from_slice(&candidate[item * one..][..one]);
            }
        }
        watch(&pixels, &values);
    }
    Ok(pixels)
}
