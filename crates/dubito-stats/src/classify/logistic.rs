//! Multinomial logistic regression with an L2 penalty.
//!
//! Minimised is `sum_i w_i * -ln softmax(W x_i + b)[y_i] + penalty / 2 * |W|^2` with the intercepts `b` free: what
//! scikit-learn's `LogisticRegression(C=1 / penalty)` minimises. By L-BFGS (Liu and Nocedal, "On the Limited Memory BFGS
//! Method for Large Scale Optimization", Mathematical Programming 45, 1989) from zero.

use std::collections::VecDeque;

use super::Matrix;
use crate::{StatsError, check};

/// Pairs of steps and changes of the gradient that are remembered.
const MEMORY: usize = 10;
/// Most steps.
const MOST_STEPS: usize = 2_000;
/// Share of the predicted decrease that a step must bring (Armijo).
const DECREASE: f64 = 1e-4;

/// A fitted model.
#[derive(Clone, Debug, PartialEq)]
pub struct Logistic {
    classes: usize,
    columns: usize,
    /// `[classes, columns + 1]`, the intercept last.
    weights: Vec<f64>,
}

impl Logistic {
    /// Fit to rows with their classes (`0..classes`) and weights (each above 0 or 0).
    ///
    /// `penalty` is 0 or more; without one, classes that can be parted have no best weights, and the search ends where the
    /// steps do. `tolerance` is the largest slope at which the search ends, as a share of the sum of the weights (1e-5 is
    /// usual). Without rows all classes are as likely. A class without rows gets a low probability, by its intercept.
    /// Errors: lists of another length, a label that is no class, NaN, a negative penalty or weight.
    pub fn fit(
        x: &Matrix,
        labels: &[usize],
        classes: usize,
        weights: &[f64],
        penalty: f64,
        tolerance: f64,
    ) -> Result<Self, StatsError> {
        check::length("labels", labels.len(), x.rows())?;
        check::length("weights", weights.len(), x.rows())?;
        (0..x.rows()).try_for_each(|i| check::finite("features", x.row(i)))?;
        if let Some(i) = labels.iter().position(|&label| label >= classes) {
            let last = classes.saturating_sub(1);
            return Err(StatsError::BadLabel { place: format!("item {i}"), label: labels[i], last });
        }
        if let Some(item) = weights.iter().position(|&w| !(w.is_finite() && w >= 0.0)) {
            let value = weights[item];
            return Err(StatsError::BadValue { name: "weights", item, value, expected: "a number, 0 or more" });
        }
        if !(penalty.is_finite() && penalty >= 0.0) {
            let value = penalty.to_string();
            return Err(StatsError::BadParameter { name: "penalty", value, expected: "a number, 0 or more" });
        }
        let loss = Loss { x, labels, weights, classes, penalty };
        let slope = tolerance * weights.iter().sum::<f64>();
        let weights = minimise(&loss, vec![0.0; classes * (x.columns() + 1)], slope);
        Ok(Self { classes, columns: x.columns(), weights })
    }

    /// The probability of each class `[rows, classes]`, row by row; panics where `x` has another number of columns than
    /// what was fitted.
    pub fn probabilities(&self, x: &Matrix) -> Vec<f64> {
        assert_eq!(x.columns(), self.columns, "as many columns as were fitted");
        let mut all = vec![0.0; x.rows() * self.classes];
        for (i, out) in all.chunks_exact_mut(self.classes.max(1)).enumerate() {
            logits(&self.weights, x.row(i), out);
            softmax(out);
        }
        all
    }

    /// The coefficients of a class, one for each column, then its intercept; panics where there is no such class.
    pub fn coefficients(&self, class: usize) -> &[f64] {
        &self.weights[class * (self.columns + 1)..(class + 1) * (self.columns + 1)]
    }
}

fn logits(weights: &[f64], row: &[f64], out: &mut [f64]) {
    for (out, w) in out.iter_mut().zip(weights.chunks_exact(row.len() + 1)) {
        *out = w[row.len()] + dot(&w[..row.len()], row);
    }
}

/// In place; returns the logarithm of the sum of the exponentials.
fn softmax(logits: &mut [f64]) -> f64 {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logits.iter_mut().for_each(|l| *l = (*l - most).exp());
    let sum: f64 = logits.iter().sum();
    logits.iter_mut().for_each(|l| *l /= sum);
    most + sum.ln()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Four sums side by side, which the processor adds at once.
    let mut sums = [0.0; 4];
    let (left, right) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in left.zip(right) {
        (0..4).for_each(|k| sums[k] += a[k] * b[k]);
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

struct Loss<'a> {
    x: &'a Matrix,
    labels: &'a [usize],
    weights: &'a [f64],
    classes: usize,
    penalty: f64,
}

impl Loss<'_> {
    /// The value at `at`, and its slope to `slope`.
    fn value(&self, at: &[f64], slope: &mut [f64]) -> f64 {
        let columns = self.x.columns();
        let mut scratch = vec![0.0; self.classes];
        slope.fill(0.0);
        let mut value = 0.0;
        for (i, (&label, &weight)) in self.labels.iter().zip(self.weights).enumerate() {
            let row = self.x.row(i);
            logits(at, row, &mut scratch);
            let of_label = scratch[label];
            value += weight * (softmax(&mut scratch) - of_label);
            scratch[label] -= 1.0;
            for (slope, residual) in slope.chunks_exact_mut(columns + 1).zip(&scratch) {
                let residual = weight * residual;
                slope.iter_mut().zip(row).for_each(|(s, x)| *s += residual * x);
                slope[columns] += residual;
            }
        }
        for (slope, w) in slope.chunks_exact_mut(columns + 1).zip(at.chunks_exact(columns + 1)) {
            for (s, w) in slope[..columns].iter_mut().zip(w) {
                *s += self.penalty * w;
                value += 0.5 * self.penalty * w * w;
            }
        }
        value
    }
}

/// L-BFGS until no slope is above `least`.
fn minimise(loss: &Loss, mut at: Vec<f64>, least: f64) -> Vec<f64> {
    let mut slope = vec![0.0; at.len()];
    let mut value = loss.value(&at, &mut slope);
    let mut pairs: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::with_capacity(MEMORY);
    let (mut next, mut next_slope) = (at.clone(), slope.clone());
    for _ in 0..MOST_STEPS {
        if slope.iter().all(|s| s.abs() <= least) {
            break;
        }
        let mut direction = direction(&slope, &pairs);
        let mut along = dot(&direction, &slope);
        if along >= 0.0 {
            // Rounding has spoiled what is remembered.
            pairs.clear();
            direction = slope.iter().map(|s| -s).collect();
            along = dot(&direction, &slope);
        }
        let mut length = if pairs.is_empty() { 1.0 / dot(&slope, &slope).sqrt().max(1.0) } else { 1.0 };
        let mut found = None;
        for _ in 0..50 {
            next.iter_mut().zip(&at).zip(&direction).for_each(|((n, a), d)| *n = a + length * d);
            let there = loss.value(&next, &mut next_slope);
            if there <= value + DECREASE * length * along {
                found = Some(there);
                break;
            }
            length *= 0.5;
        }
        // No step decreases the value any more: rounding.
        let Some(there) = found else { break };
        let step: Vec<f64> = next.iter().zip(&at).map(|(n, a)| n - a).collect();
        let change: Vec<f64> = next_slope.iter().zip(&slope).map(|(n, s)| n - s).collect();
        let curvature = dot(&step, &change);
        if curvature > 1e-12 * dot(&change, &change).sqrt() * dot(&step, &step).sqrt() {
            if pairs.len() == MEMORY {
                pairs.pop_front();
            }
            pairs.push_back((step, change, curvature));
        }
        std::mem::swap(&mut at, &mut next);
        std::mem::swap(&mut slope, &mut next_slope);
        value = there;
    }
    at
}

/// Minus the slope times the inverse curvature that the pairs tell of: the two-loop recursion.
fn direction(slope: &[f64], pairs: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let add = |to: &mut [f64], factor: f64, of: &[f64]| to.iter_mut().zip(of).for_each(|(t, o)| *t += factor * o);
    let mut q: Vec<f64> = slope.iter().map(|s| -s).collect();
    let mut factors = Vec::with_capacity(pairs.len());
    for (step, change, curvature) in pairs.iter().rev() {
        let factor = dot(step, &q) / curvature;
        add(&mut q, -factor, change);
        factors.push(factor);
    }
    if let Some((_, change, curvature)) = pairs.back() {
        let scale = curvature / dot(change, change);
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((step, change, curvature), factor) in pairs.iter().zip(factors.into_iter().rev()) {
        let back = dot(change, &q) / curvature;
        add(&mut q, factor - back, step);
    }
    q
}
