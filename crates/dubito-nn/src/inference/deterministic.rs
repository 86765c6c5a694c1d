//! The trained weights and nothing else: every sample is the same.

use std::ops::Range;

use burn::tensor::{Device, Tensor, activation};

use super::{Posterior, Sink};
use crate::NnError;
use crate::detector::Detector;

/// One network with fixed weights: every sample is the same.
#[derive(Debug, Clone)]
pub struct Deterministic {
    net: Detector,
}

impl Deterministic {
    /// The posterior that is certain of its weights.
    pub fn new(net: Detector) -> Self {
        Self { net }
    }
}

impl Posterior for Deterministic {
    fn classes(&self) -> usize {
        self.net.config().classes
    }

    fn device(&self) -> &Device {
        self.net.device()
    }

    fn networks(&self) -> Option<u32> {
        Some(1)
    }

    fn stream(&self, batch: Tensor<4>, samples: Range<u32>, _seed: u64, sink: &mut Sink<'_>) -> Result<(), NnError> {
        let [items, ..] = batch.dims();
        let p = activation::softmax(self.net.forward(batch)?, 1);
        let p = p.reshape([items, 1, self.classes()]);
        sink(samples.clone(), p.repeat_dim(1, samples.len()))
    }
}
