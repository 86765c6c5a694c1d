//! APGD on the cross-entropy (Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
//! parameter-free attacks", ICML 2020): no step length to choose.

use super::aim::Aim;
use super::{Ball, sign};
use crate::NnError;

/// How much of a step is the gradient's; the rest is momentum.
const ALPHA: f32 = 0.75;
/// A step is halved where fewer than this part of the steps since the last check gained anything.
const RHO: f64 = 0.75;

/// A start stretched so that each item's largest change is epsilon, as in the authors' code.
pub(super) fn widest(mut start: Vec<f32>, one: usize, epsilon: f32) -> Vec<f32> {
    for item in start.chunks_exact_mut(one) {
        let largest = item.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        if largest > 0.0 {
            item.iter_mut().for_each(|x| *x *= epsilon / largest);
        }
    }
    start
}

/// One item's search.
struct Search {
    step: f32,
    /// The objective at the start and after each step.
    values: Vec<f32>,
    best: f32,
    best_at_check: f32,
    was_halved: bool,
}

impl Search {
    /// Whether the step is to be halved after the last `k` steps: they gained too rarely, or nothing since the last check
    /// at which it wasn't halved.
    fn check(&mut self, k: usize) -> bool {
        let recent = &self.values[self.values.len() - 1 - k..];
        let gained = recent.windows(2).filter(|pair| pair[1] > pair[0]).count();
        let oscillates = gained as f64 <= RHO * k as f64;
        let stands = !self.was_halved && self.best_at_check >= self.best;
        self.was_halved = oscillates || stands;
        self.best_at_check = self.best;
        if self.was_halved {
            self.step /= 2.0;
        }
        self.was_halved
    }
}

/// Each item's best pixels on the way. `watch` sees the pixels and the objective after each step.
pub(super) fn apgd(
    aim: &Aim<'_>,
    ball: Ball<'_>,
    start: Vec<f32>,
    steps: u32,
    query: u32,
    watch: &mut dyn FnMut(&[f32], &[f32]),
) -> Result<Vec<f32>, NnError> {
    let one = aim.victim.one();
    // Steps to the first check, the least between two, and by how many each stretch is shorter than the one before.
    let part = |share: f64| ((share * f64::from(steps)) as usize).max(1);
    let (mut until_check, least, shorter) = (part(0.22), part(0.06), part(0.03));
    let mut since_check = 0;

    let mut pixels = start;
    let (values, mut gradient) = aim.gradient(&pixels, query)?;
    let mut searches: Vec<Search> = values
        .into_iter()
        .map(|value| Search {
            step: 2.0 * ball.epsilon,
            values: vec![value],
            best: value,
            best_at_check: value,
            was_halved: true,
        })
        .collect();
    let (mut best, mut best_gradient) = (pixels.clone(), gradient.clone());
    let mut before = pixels.clone();
    for k in 0..steps {
        let alpha = if k > 0 { ALPHA } else { 1.0 };
        let mut next = vec![0.0; pixels.len()];
        for (i, next) in next.iter_mut().enumerate() {
            let x = pixels[i];
            let z = ball.project(i, x + searches[i / one].step * sign(gradient[i]));
            *next = ball.project(i, x + (z - x) * alpha + (x - before[i]) * (1.0 - alpha));
        }
        before = std::mem::replace(&mut pixels, next);
        let values;
        (values, gradient) = aim.gradient(&pixels, query + 1 + k)?;
        since_check += 1;
        let checks = since_check == until_check;
        for (item, (search, &value)) in searches.iter_mut().zip(&values).enumerate() {
            let own = item * one..(item + 1) * one;
            search.values.push(value);
            if value > search.best {
                search.best = value;
                best[own.clone()].copy_from_slice(&pixels[own.clone()]);
                best_gradient[own.clone()].copy_from_slice(&gradient[own.clone()]);
            }
            if checks && search.check(until_check) {
                pixels[own.clone()].copy_from_slice(&best[own.clone()]);
                gradient[own.clone()].copy_from_slice(&best_gradient[own]);
            }
        }
        watch(&pixels, &values);
        if checks {
            since_check = 0;
            until_check = until_check.saturating_sub(shorter).max(least);
        }
    }
    Ok(best)
}
