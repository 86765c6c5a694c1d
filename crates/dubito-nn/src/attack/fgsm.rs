//! FGSM (Goodfellow, Shlens and Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015).

use super::aim::Aim;
use super::{Ball, sign};
use crate::NnError;

/// One step of the whole budget along the sign of the gradient at the clean pixels.
pub(super) fn fgsm(aim: &Aim<'_>, ball: Ball<'_>, query: u32) -> Result<Vec<f32>, NnError> {
    let (_, gradient) = aim.gradient(ball.clean, query)?;
    let change: Vec<f32> = gradient.into_iter().map(|g| ball.epsilon * sign(g)).collect();
    Ok(ball.moved(&change))
}
