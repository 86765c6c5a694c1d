//! How much of the doubt is in the data, between the frames, and in the model.
//!
//! A frame's samples `p_t` split their total uncertainty as in Depeweg et al., "Decomposition of
//! Uncertainty in Bayesian Deep Learning for Efficient and Risk-sensitive Learning" (ICML 2018), and
//! Smith and Gal, "Understanding Measures of Uncertainty for Adversarial Example Detection" (UAI 2018):
//!
//! ```text
//! H[E_t p_t] = E_t H[p_t] + (H[E_t p_t] - E_t H[p_t])
//!   total    =  aleatoric +         epistemic
//! ```
//!
//! In a video, sample `t` is one network that saw every frame `f`. Each sample is averaged over the
//! frames first, `m_t = E_f p_tf`, and `m = E_t m_t`:
//!
//! ```text
//! H[m]  = E_tf H[p_tf] + E_t (H[m_t] - E_f H[p_tf]) + (H[m] - E_t H[m_t])
//! total =  aleatoric   +       between_frames       +      epistemic
//! ```
//!
//! Each term is an average of Jensen gaps of the concave entropy, so none is negative. All are in
//! nats, at most `ln(classes)`. A difference below 1e-12 nats is rounding and reported as 0.

use std::collections::BTreeMap;

use crate::probability::{FixedSum, entropy, excess, normalise};
use crate::{Scored, StatsError};

/// The uncertainty of one frame, in nats: `total = aleatoric + epistemic`.
#[derive(serde::Serialize, serde::Deserialize, Clone, Copy, PartialEq, Debug)]
pub struct Decomposition {
    /// Entropy of the mean prediction, 0 to `ln(classes)`.
    pub total: f64,
    /// Mean entropy of the samples: doubt that stays when the model is known.
    pub aleatoric: f64,
    /// Mutual information of prediction and model: doubt that more training data would take away.
    pub epistemic: f64,
}

/// Decompose the uncertainty of one frame.
///
/// `samples` holds probabilities row by row, `[samples, classes]`. Errors: no samples, a length that
/// is no multiple of `classes`, a row that is no probability vector (a sum within 1e-3 of 1 is
/// renormalised, one within 1e-6 taken as it is).
///
/// ```
/// // Two networks, each sure, of opposite minds: all the doubt is in the model.
/// let d = dubito_stats::decompose(&[0.0, 1.0, 1.0, 0.0], 2)?;
/// assert_eq!(d.aleatoric, 0.0);
/// assert!((d.epistemic - 2f64.ln()).abs() < 1e-12);
/// # Ok::<(), dubito_stats::StatsError>(())
/// ```
pub fn decompose(samples: &[f64], classes: usize) -> Result<Decomposition, StatsError> {
    if classes == 0 || !samples.len().is_multiple_of(classes) {
        return Err(StatsError::RaggedSamples { classes, found: samples.len() });
    }
    let mut sums = FrameSums::new(classes);
    for row in samples.chunks_exact(classes) {
        sums.push(row)?;
    }
    let frame = sums.finish(0, 0)?;
    Ok(Decomposition { total: frame.total, aleatoric: frame.aleatoric, epistemic: frame.epistemic })
}

/// Streaming sums over one frame's samples. The memory is one number per class, however many samples;
/// the result is the same bits in whatever order they are pushed or merged.
#[derive(Clone, Debug)]
pub struct FrameSums {
    samples: u64,
    probs: Vec<FixedSum>,
    entropy: FixedSum,
    scratch: Vec<f64>,
}

impl FrameSums {
    /// No samples yet, of a frame with this many classes.
    pub fn new(classes: usize) -> Self {
        Self {
            samples: 0,
            probs: vec![FixedSum::default(); classes],
            entropy: FixedSum::default(),
            scratch: Vec::with_capacity(classes),
        }
    }

    /// Add one sample: the probability of each class. An error leaves the sums as they were.
    pub fn push(&mut self, probs: &[f64]) -> Result<(), StatsError> {
        let samples = self.samples;
        normalise(probs, self.probs.len(), &mut self.scratch, || format!("sample {samples}"))?;
        add(&mut self.probs, &self.scratch);
        self.entropy.add(entropy(&self.scratch));
        self.samples += 1;
        Ok(())
    }

    /// Add the samples of another part of the same frame.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        merge(&mut self.probs, &other.probs)?;
        self.entropy.merge(other.entropy);
        self.samples += other.samples;
        Ok(())
    }

    /// Number of samples so far.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// The frame, reduced over its samples; `between_frames` is 0. `label` is the true class, `cluster`
    /// the identity; neither is looked at here. Without samples: [`StatsError::NoSamples`].
    pub fn finish(&self, label: usize, cluster: u32) -> Result<Scored, StatsError> {
        if self.samples == 0 {
            return Err(StatsError::NoSamples);
        }
        let probs = mean(&self.probs, self.samples);
        let total = entropy(&probs);
        let aleatoric = self.entropy.mean(self.samples);
        Ok(Scored { label, probs, total, aleatoric, between_frames: 0.0, epistemic: excess(total, aleatoric), cluster })
    }
}

/// Streaming sums over one video's samples and frames. The memory is one number per sample and class,
/// however many frames; the result is the same bits in whatever order they are pushed or merged.
#[derive(Clone, Debug)]
pub struct VideoSums {
    classes: usize,
    /// Over the frames, by sample.
    by_sample: BTreeMap<u64, (u64, Vec<FixedSum>)>,
    /// Over all frames and samples.
    entropy: FixedSum,
    scratch: Vec<f64>,
}

impl VideoSums {
    /// No samples yet, of a video with this many classes.
    pub fn new(classes: usize) -> Self {
        Self { classes, by_sample: BTreeMap::new(), entropy: FixedSum::default(), scratch: Vec::with_capacity(classes) }
    }

    /// Add what sample (network) `sample` says about one frame: the probability of each class. Any
    /// number names a sample; gaps do no harm. An error leaves the sums as they were.
    pub fn push(&mut self, sample: u64, probs: &[f64]) -> Result<(), StatsError> {
        normalise(probs, self.classes, &mut self.scratch, || format!("sample {sample}"))?;
        let (frames, sums) =
            self.by_sample.entry(sample).or_insert_with(|| (0, vec![FixedSum::default(); self.classes]));
        add(sums, &self.scratch);
        *frames += 1;
        self.entropy.add(entropy(&self.scratch));
        Ok(())
    }

    /// Add other frames (or samples) of the same video.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.classes != other.classes {
            return Err(StatsError::ClassesDiffer { left: self.classes, right: other.classes });
        }
        for (sample, (more_frames, more)) in &other.by_sample {
            let (frames, sums) =
                self.by_sample.entry(*sample).or_insert_with(|| (0, vec![FixedSum::default(); self.classes]));
            merge(sums, more)?;
            *frames += more_frames;
        }
        self.entropy.merge(other.entropy);
        Ok(())
    }

    /// Number of samples (networks) so far.
    pub fn samples(&self) -> u64 {
        self.by_sample.len() as u64
    }

    /// The video, reduced over its samples and frames. `label` is the true class, `cluster` the
    /// identity; neither is looked at here. Errors: no samples, or samples that cover different
    /// numbers of frames.
    pub fn finish(&self, label: usize, cluster: u32) -> Result<Scored, StatsError> {
        let (reference, frames) = match self.by_sample.iter().next() {
            Some((sample, (frames, _))) => (*sample, *frames),
            None => return Err(StatsError::NoSamples),
        };
        let samples = self.samples();
        let mut all = vec![FixedSum::default(); self.classes];
        let mut sample_entropy = FixedSum::default();
        for (&sample, (found, sums)) in &self.by_sample {
            if *found != frames {
                return Err(StatsError::UnevenFrames { sample, found: *found, reference, expected: frames });
            }
            merge(&mut all, sums)?;
            sample_entropy.add(entropy(&mean(sums, frames)));
        }
        let probs = mean(&all, samples * frames);
        let total = entropy(&probs);
        let sample_entropy = sample_entropy.mean(samples);
        let aleatoric = self.entropy.mean(samples * frames);
        Ok(Scored {
            label,
            probs,
            total,
            aleatoric,
            between_frames: excess(sample_entropy, aleatoric),
            epistemic: excess(total, sample_entropy),
            cluster,
        })
    }
}

fn add(sums: &mut [FixedSum], probs: &[f64]) {
    sums.iter_mut().zip(probs).for_each(|(sum, &p)| sum.add(p));
}

fn merge(sums: &mut [FixedSum], more: &[FixedSum]) -> Result<(), StatsError> {
    if sums.len() != more.len() {
        return Err(StatsError::ClassesDiffer { left: sums.len(), right: more.len() });
    }
    sums.iter_mut().zip(more).for_each(|(sum, &m)| sum.merge(m));
    Ok(())
}

/// Mean of each class.
fn mean(sums: &[FixedSum], count: u64) -> Vec<f64> {
    sums.iter().map(|sum| sum.mean(count)).collect()
}
