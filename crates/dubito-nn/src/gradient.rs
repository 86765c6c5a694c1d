//! Gradients of what posterior samples say with respect to the input: for attacks and for maps of uncertainty.

use std::ops::Range;

use burn::tensor::Tensor;

use crate::NnError;
use crate::inference::Posterior;
use crate::parameter::values_of;

/// Values of an objective of posterior samples `[items]`, and their gradients with respect to the input, of the input's
/// shape.
///
/// `batch` is what [`Posterior::stream`] takes: `[items, channels, h, w]`, normalised. `objective` takes probabilities
/// `[items, samples, classes]` and returns one value for each item `[items]`; it must treat items independently, so that
/// the gradient of an item is of its own value alone. Samples `samples` of `seed` are those that [`Posterior::draw`]
/// returns: the gradient is exact for these networks. What lies before the stochastic boundary runs once, forward and
/// backward; memory grows with the number of samples behind it.
///
/// # Errors
/// As [`Posterior::draw`]; [`NnError::Input`] where the objective returns another number of values than there are items;
/// [`NnError::NotDifferentiable`] for a posterior that is a black box, as an ONNX file is.
pub fn input_gradient(
    posterior: &dyn Posterior,
    batch: Tensor<4>,
    samples: Range<u32>,
    seed: u64,
    objective: &dyn Fn(Tensor<3>) -> Tensor<1>,
) -> Result<(Vec<f32>, Tensor<4>), NnError> {
    let [items, ..] = batch.dims();
    let leaf = batch.autodiff().require_grad();
    let p = posterior.draw(leaf.clone(), samples, seed)?;
    if !p.is_autodiff() {
        return Err(NnError::NotDifferentiable);
    }
    let values = objective(p);
    if values.dims() != [items] {
        let expected = format!("[{items}], one value for each item");
        return Err(NnError::Input { what: "objective", expected, found: values.dims().to_vec() });
    }
    let list = values_of(values.clone().inner());
    // An item's value depends on its own input alone, so the gradient of the sum is each one's own.
    let mut gradients = values.sum().backward();
    let gradient = match leaf.grad_remove(&mut gradients) {
        Some(gradient) => gradient,
        // No path leads from the objective to the input, as in a constant.
        None => leaf.inner().zeros_like(),
    };
    Ok((list, gradient))
}
