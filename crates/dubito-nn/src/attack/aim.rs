//! What an attack makes large: its value and its gradient with respect to the pixels, over fresh samples each time.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};

use super::{AttackObjective, Victim};
use crate::NnError;
use crate::gradient::input_gradient;
use crate::parameter::values_of;

/// An objective of inputs of these classes.
pub(super) struct Aim<'a> {
    pub victim: &'a Victim<'a>,
    pub labels: &'a [usize],
    pub objective: AttackObjective,
    /// Samples of each query.
    pub eot: u32,
    /// Their seed.
    pub seed: u64,
}

impl Aim<'_> {
    /// The samples of query `query`; no other has one of them.
    fn samples(&self, query: u32) -> Range<u32> {
        query * self.eot..(query + 1) * self.eot
    }

    /// The objective of each item of `pixels`, which are the labels' items once or several times over.
    pub fn values(&self, pixels: &[f32], query: u32) -> Result<Vec<f32>, NnError> {
        let p = self.victim.posterior.draw(self.victim.batch(pixels), self.samples(query), self.seed)?;
        Ok(values_of(self.of(p)))
    }

    /// The objective of each item, and its gradient with respect to the pixels.
    pub fn gradient(&self, pixels: &[f32], query: u32) -> Result<(Vec<f32>, Vec<f32>), NnError> {
        let Victim { posterior, shape: [h, w, channels], normalisation, .. } = *self.victim;
        let batch = self.victim.batch(pixels);
        let (values, gradient) = input_gradient(posterior, batch, self.samples(query), self.seed, &|p| self.of(p))?;
        // Through the normalisation.
        let mut gradient = values_of(gradient);
        for (plane, gradient) in gradient.chunks_exact_mut(h * w).enumerate() {
            gradient.iter_mut().for_each(|g| *g /= normalisation.std[plane % channels]);
        }
        Ok((values, gradient))
    }

    /// Whether all samples are the same, as far as two of them tell.
    pub fn is_certain(&self, pixels: &[f32]) -> Result<bool, NnError> {
        let p = self.victim.draw(pixels, 0..2, self.seed)?;
        let classes = self.victim.posterior.classes();
        Ok(p.chunks_exact(2 * classes).all(|both| both[..classes] == both[classes..]))
    }

    /// The objective of probabilities `[items, samples, classes]`.
    fn of(&self, p: Tensor<3>) -> Tensor<1> {
        let [items, _, classes] = p.dims();
        let mut own = vec![0.0f32; items * classes];
        for (row, label) in own.chunks_exact_mut(classes).zip(self.labels.iter().cycle()) {
            row[*label] = 1.0;
        }
        let own = TensorData::new(own, [items, 1, classes]);
        let own = Tensor::<3>::from_data(own, self.victim.posterior.device());
        let mean = p.clone().mean_dim(1);
        let right = (mean.clone() * own.clone()).sum_dim(2).reshape([items]);
        let wrong = (mean.clone() * (-own + 1.0)).sum_dim(2).reshape([items]);
        // -ln(right), to all digits where `right` is almost 1, too: a sure detector can still be made less sure.
        let is_right = right.clone().greater_elem(0.5);
        let loss = -right.clamp_min(f32::MIN_POSITIVE).log();
        let loss = loss.mask_where(is_right, -(-wrong.clamp_max(0.75)).log1p());
        match self.objective {
            AttackObjective::CrossEntropy => loss,
            AttackObjective::Adaptive { weight } => {
                let entropy = |p: Tensor<3>| -(p.clone() * p.clamp_min(f32::MIN_POSITIVE).log()).sum_dim(2);
                let epistemic = entropy(mean) - entropy(p).mean_dim(1);
                loss - epistemic.reshape([items]) * weight
            }
        }
    }
}
