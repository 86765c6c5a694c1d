//! PGD (Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018).

use super::aim::Aim;
use super::{Ball, sign};
use crate::NnError;

/// Steps of length `step` along the gradient's sign, each projected into the ball. `watch` sees the pixels after each
/// step, and the objective before it.
pub(super) fn pgd(
    aim: &Aim<'_>,
    ball: Ball<'_>,
    start: Vec<f32>,
    step: f32,
    steps: u32,
    query: u32,
    watch: &mut dyn FnMut(&[f32], &[f32]),
) -> Result<Vec<f32>, NnError> {
    let mut pixels = start;
    for k in 0..steps {
        let (values, gradient) = aim.gradient(&pixels, query + k)?;
        for (i, (x, g)) in pixels.iter_mut().zip(gradient).enumerate() {
            *x = ball.project(i, *x + step * sign(g));
        }
        watch(&pixels, &values);
    }
    Ok(pixels)
}
