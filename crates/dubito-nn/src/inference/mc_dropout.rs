//! Monte Carlo dropout: a sample is the network under one mask for each site.

use std::ops::Range;

use burn::tensor::{Device, Tensor, activation};

use super::{Posterior, Sink};
use crate::NnError;
use crate::detector::{Detector, Pass};
use crate::dropout::{Boundary, Masks, check_rate};

/// Monte Carlo dropout (Gal and Ghahramani 2016) from a boundary on.
///
/// Everything before the boundary runs once per batch, everything after it once per sample, as many
/// samples together as the memory limit allows. Equal, to rounding, to whole passes with the same
/// masks.
#[derive(Debug, Clone)]
pub struct McDropoutPosterior {
    net: Detector,
    boundary: Boundary,
    rate: f32,
    memory: usize,
}

impl McDropoutPosterior {
    /// Dropout of `rate` in [0, 1) at the boundary and after; 64 MiB for the samples in flight.
    ///
    /// # Errors
    /// [`NnError::Setting`] for a rate out of its range, or a boundary at a stage that the network has not.
    pub fn new(net: Detector, boundary: Boundary, rate: f32) -> Result<Self, NnError> {
        check_rate(rate)?;
        boundary.check("boundary", net.network())?;
        Ok(Self { net, boundary, rate, memory: 64 << 20 })
    }

    /// Sets the limit, in bytes, on the feature maps of samples computed together; at least one
    /// sample always is.
    #[must_use]
    pub fn with_memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    fn masks(&self, sites: Range<usize>, seed: u64, samples: Range<u32>, items: usize) -> Masks {
        Masks::for_samples(
            sites,
            |site| self.net.network().channels(site),
            self.rate,
            seed,
            samples,
            items,
            self.net.device(),
        )
    }

    /// One whole pass of the network with the masks of sample `sample`: probabilities
    /// `[items, classes]`. [`Posterior::draw`] gives the same, faster.
    ///
    /// # Errors
    /// [`NnError::Input`] for a batch of another shape.
    pub fn whole_pass(&self, batch: Tensor<4>, sample: u32, seed: u64) -> Result<Tensor<2>, NnError> {
        self.net.check_images(&batch)?;
        let [items, ..] = batch.dims();
        let sites = self.boundary.sites(self.net.network());
        let masks = self.masks(sites.clone(), seed, sample..sample + 1, items);
        let logits = self.net.run_stages(batch, 0..sites.end, &mut Pass::inference(Some(&masks)));
        Ok(activation::softmax(logits.reshape([items, self.classes()]), 1))
    }
}

impl Posterior for McDropoutPosterior {
    fn classes(&self) -> usize {
        self.net.config().classes
    }

    fn device(&self) -> &Device {
        self.net.device()
    }

    fn networks(&self) -> Option<u32> {
        (self.rate == 0.0).then_some(1)
    }

    fn stream(&self, batch: Tensor<4>, samples: Range<u32>, seed: u64, sink: &mut Sink<'_>) -> Result<(), NnError> {
        self.net.check_images(&batch)?;
        let [items, ..] = batch.dims();
        let sites = self.boundary.sites(self.net.network());
        let trunk = self.net.run_until(batch, self.net.dropout(sites.start));
        // A block holds about four maps of its input's size while it runs.
        let per_sample = 4 * 4 * trunk.shape().num_elements();
        let chunk = (self.memory / per_sample.max(1)).clamp(1, 1 << 16) as u32;
        let mut from = samples.start;
        while from < samples.end {
            let range = from..samples.end.min(from.saturating_add(chunk));
            let masks = self.masks(sites.clone(), seed, range.clone(), items);
            let x = trunk.clone().repeat_dim(0, range.len());
            let logits = self.net.run_from(x, self.net.dropout(sites.start), &mut Pass::inference(Some(&masks)));
            let logits = logits.reshape([range.len() * items, self.classes()]);
            let p = activation::softmax(logits, 1).reshape([range.len(), items, self.classes()]).swap_dims(0, 1);
            from = range.end;
            sink(range, p)?;
        }
        Ok(())
    }
}
