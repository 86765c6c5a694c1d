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
//! nats, at most `ln(classes)`; [`Unit`] converts. A difference below 1e-12 nats is rounding and reported
//! as 0.
//!
//! Other [`Measures`] of the same samples: variances, split in the same way by the law of total variance,
//! the variation ratio, the margin. [`epistemic_jackknife`] takes from the epistemic part what it has from
//! there being few samples.

use std::collections::BTreeMap;

use crate::items::margin;
use crate::probability::{FixedSum, append_normalised, argmax, entropy, excess, normalise};
use crate::{SampleAdder, Scored, StatsError};

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

/// Other measures of doubt of one frame or video, from the same samples.
///
/// The variances follow the law of total variance, `total = aleatoric + between_frames + epistemic`, of the
/// event "the item is of this class" (Depeweg et al., ICML 2018, section 3): `m (1 - m) = E p (1 - p) +
/// Var p`. Of two classes it is that of one of them (they are equal), 0 to 1/4; of more it is summed over
/// the classes, 0 to `1 - 1/classes` (twice the other convention at two classes).
#[derive(serde::Serialize, serde::Deserialize, Clone, Copy, PartialEq, Debug)]
pub struct Measures {
    /// Variance of the event under the mean prediction.
    pub total_variance: f64,
    /// Mean variance of the event under each sample (and frame).
    pub aleatoric_variance: f64,
    /// Mean variance of the probabilities over the frames within each sample; 0 for a frame.
    pub between_frames_variance: f64,
    /// Variance of the probabilities over the samples.
    pub epistemic_variance: f64,
    /// Share of the samples that do not predict the class that most predict, 0 to `1 - 1/classes` (Freeman,
    /// "Elementary Applied Statistics", 1965; Gal, "Uncertainty in Deep Learning", 2016, section 3.3). A
    /// sample predicts its most probable class, the first where several are; a video's sample is averaged
    /// over its frames first.
    pub variation_ratio: f64,
    /// Largest probability of the mean prediction, `1/classes` to 1.
    pub max_probability: f64,
    /// Difference of the two largest probabilities of the mean prediction, 0 to 1.
    pub margin: f64,
}

/// Variance of the event "the item is of this class" under a prediction, by the convention of
/// [`Measures::total_variance`].
pub fn total_variance(probs: &[f64]) -> f64 {
    let scale = if probs.len() == 2 { 0.5 } else { 1.0 };
    scale * excess(probs.iter().sum(), probs.iter().map(|p| p * p).sum())
}

impl Measures {
    /// From the mean prediction, the mean over the samples of `sum_k p_k^2`, and how many samples predict each
    /// class: of an item whose sums were kept elsewhere. One vote or more.
    pub fn from_sums(probs: &[f64], squares: f64, votes: &[u64]) -> Self {
        Self::new(probs, squares, squares, votes)
    }

    /// From the mean prediction, the means of `sum_k p_k^2` over all predictions and over the samples'
    /// means over frames, and the samples' votes.
    fn new(probs: &[f64], squares: f64, sample_squares: f64, votes: &[u64]) -> Self {
        let scale = if probs.len() == 2 { 0.5 } else { 1.0 };
        let mean_squares: f64 = probs.iter().map(|p| p * p).sum();
        let (all, most) = (votes.iter().sum::<u64>(), votes.iter().max().copied().unwrap_or(0));
        Self {
            total_variance: total_variance(probs),
            aleatoric_variance: scale * excess(probs.iter().sum(), squares),
            between_frames_variance: scale * excess(squares, sample_squares),
            epistemic_variance: scale * excess(sample_squares, mean_squares),
            variation_ratio: (all - most) as f64 / all as f64,
            max_probability: probs[argmax(probs)],
            margin: margin(probs),
        }
    }
}

/// The unit of an entropy.
#[derive(serde::Serialize, serde::Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Natural logarithm; what everything in this crate is in.
    #[default]
    Nats,
    /// Logarithm to base 2: one bit is ln 2 nats.
    Bits,
    /// Share of the largest possible entropy, `ln(classes)` nats: 0 to 1.
    Normalised,
}

impl Unit {
    /// An entropy (or a difference of entropies) over `classes` classes (2 or more), given in nats.
    pub fn of_nats(self, nats: f64, classes: usize) -> f64 {
        match self {
            Self::Nats => nats,
            Self::Bits => nats / std::f64::consts::LN_2,
            Self::Normalised => nats / (classes as f64).ln(),
        }
    }
}

/// The epistemic uncertainty (mutual information) of one frame in nats, with its bias in the number of
/// samples taken away by the jackknife: `T I - (T - 1) / T sum_t I(without t)` for `T` samples (Quenouille,
/// "Notes on Bias in Estimation", Biometrika 43, 1956).
///
/// The plain value is too small by about `(classes - 1) / 2T` times how far samples differ, since the
/// entropy of a mean of few samples is too small on average; what is left has a bias of order `1/T^2`. It
/// may be a hair below 0. All samples are needed, so there is none of streaming sums. `samples` is as in
/// [`decompose`]; errors: as there, and fewer than two samples.
pub fn epistemic_jackknife(samples: &[f64], classes: usize) -> Result<f64, StatsError> {
    if classes == 0 || !samples.len().is_multiple_of(classes) {
        return Err(StatsError::RaggedSamples { classes, found: samples.len() });
    }
    let mut rows = Vec::with_capacity(samples.len());
    for (sample, row) in samples.chunks_exact(classes).enumerate() {
        append_normalised(row, classes, &mut rows, || format!("sample {sample}"))?;
    }
    jackknife(&rows, classes)
}

/// [`epistemic_jackknife`] of rows that are normalised.
fn jackknife(rows: &[f64], classes: usize) -> Result<f64, StatsError> {
    SampleAdder::default().add_up(rows, &mut vec![FixedSum::default(); classes + 2], &mut vec![0; classes])
}

fn frame_sums(samples: &[f64], classes: usize) -> Result<FrameSums, StatsError> {
    if classes == 0 || !samples.len().is_multiple_of(classes) {
        return Err(StatsError::RaggedSamples { classes, found: samples.len() });
    }
    let mut sums = FrameSums::new(classes);
    samples.chunks_exact(classes).try_for_each(|row| sums.push(row))?;
    Ok(sums)
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
    let frame = frame_sums(samples, classes)?.finish(0, 0)?;
    Ok(Decomposition { total: frame.total, aleatoric: frame.aleatoric, epistemic: frame.epistemic })
}

/// Streaming sums over one frame's samples. The memory is two numbers per class, however many samples;
/// the result is the same bits in whatever order they are pushed or merged.
#[derive(Clone, Debug)]
pub struct FrameSums {
    samples: u64,
    probs: Vec<FixedSum>,
    entropy: FixedSum,
    /// Of all squared probabilities.
    squares: FixedSum,
    /// How many samples predict each class.
    votes: Vec<u64>,
    scratch: Vec<f64>,
}

impl FrameSums {
    /// No samples yet, of a frame with this many classes.
    pub fn new(classes: usize) -> Self {
        Self {
            samples: 0,
            probs: vec![FixedSum::default(); classes],
            entropy: FixedSum::default(),
            squares: FixedSum::default(),
            votes: vec![0; classes],
            scratch: Vec::with_capacity(classes),
        }
    }

    /// Add one sample: the probability of each class. An error leaves the sums as they were.
    pub fn push(&mut self, probs: &[f64]) -> Result<(), StatsError> {
        let samples = self.samples;
        normalise(probs, self.probs.len(), &mut self.scratch, || format!("sample {samples}"))?;
        add(&mut self.probs, &self.scratch);
        self.entropy.add(entropy(&self.scratch));
        self.scratch.iter().for_each(|p| self.squares.add(p * p));
        if let Some(votes) = self.votes.get_mut(argmax(&self.scratch)) {
            *votes += 1;
        }
        self.samples += 1;
        Ok(())
    }

    /// Add the samples of another part of the same frame.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        merge(&mut self.probs, &other.probs)?;
        self.entropy.merge(&other.entropy);
        self.squares.merge(&other.squares);
        self.votes.iter_mut().zip(&other.votes).for_each(|(votes, more)| *votes += more);
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

    /// Variances, variation ratio and margin of the frame. Without samples: [`StatsError::NoSamples`].
    pub fn measures(&self) -> Result<Measures, StatsError> {
        if self.samples == 0 {
            return Err(StatsError::NoSamples);
        }
        let squares = self.squares.mean(self.samples);
        Ok(Measures::new(&mean(&self.probs, self.samples), squares, squares, &self.votes))
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
    /// Of all squared probabilities.
    squares: FixedSum,
    scratch: Vec<f64>,
}

impl VideoSums {
    /// No samples yet, of a video with this many classes.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            by_sample: BTreeMap::new(),
            entropy: FixedSum::default(),
            squares: FixedSum::default(),
            scratch: Vec::with_capacity(classes),
        }
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
        self.scratch.iter().for_each(|p| self.squares.add(p * p));
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
        self.entropy.merge(&other.entropy);
        self.squares.merge(&other.squares);
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
        let (frames, probs) = self.mean()?;
        let samples = self.samples();
        let mut sample_entropy = FixedSum::default();
        self.by_sample.values().for_each(|(_, sums)| sample_entropy.add(entropy(&mean(sums, frames))));
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

    /// Variances, variation ratio and margin of the video. Errors: as of [`finish`](Self::finish).
    pub fn measures(&self) -> Result<Measures, StatsError> {
        let (frames, probs) = self.mean()?;
        let samples = self.samples();
        let (mut squares, mut votes) = (FixedSum::default(), vec![0; self.classes]);
        for (_, sums) in self.by_sample.values() {
            let probs = mean(sums, frames);
            probs.iter().for_each(|p| squares.add(p * p));
            if let Some(votes) = votes.get_mut(argmax(&probs)) {
                *votes += 1;
            }
        }
        Ok(Measures::new(&probs, self.squares.mean(samples * frames), squares.mean(samples), &votes))
    }

    /// The epistemic uncertainty of the video in nats, jackknifed over the samples, each averaged over its frames
    /// first: [`epistemic_jackknife`](crate::epistemic_jackknife) of the samples' means. Errors: as of
    /// [`finish`](Self::finish), and fewer than two samples.
    pub fn epistemic_jackknife(&self) -> Result<f64, StatsError> {
        let (frames, _) = self.mean()?;
        let rows: Vec<f64> = self.by_sample.values().flat_map(|(_, sums)| mean(sums, frames)).collect();
        jackknife(&rows, self.classes)
    }

    /// The number of frames, which is that of each sample, and the mean prediction over all.
    fn mean(&self) -> Result<(u64, Vec<f64>), StatsError> {
        let (reference, frames) = match self.by_sample.iter().next() {
            Some((sample, (frames, _))) => (*sample, *frames),
            None => return Err(StatsError::NoSamples),
        };
        let mut all = vec![FixedSum::default(); self.classes];
        for (&sample, (found, sums)) in &self.by_sample {
            if *found != frames {
                return Err(StatsError::UnevenFrames { sample, found: *found, reference, expected: frames });
            }
            merge(&mut all, sums)?;
        }
        Ok((frames, mean(&all, self.samples() * frames)))
    }
}

fn add(sums: &mut [FixedSum], probs: &[f64]) {
    sums.iter_mut().zip(probs).for_each(|(sum, &p)| sum.add(p));
}

fn merge(sums: &mut [FixedSum], more: &[FixedSum]) -> Result<(), StatsError> {
    if sums.len() != more.len() {
        return Err(StatsError::ClassesDiffer { left: sums.len(), right: more.len() });
    }
    sums.iter_mut().zip(more).for_each(|(sum, more)| sum.merge(more));
    Ok(())
}

/// Mean of each class.
fn mean(sums: &[FixedSum], count: u64) -> Vec<f64> {
    sums.iter().map(|sum| sum.mean(count)).collect()
}
