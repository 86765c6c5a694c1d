//! From the probabilities of a video's frames to those of the video, in the ways that others do it.
//!
//! The default everywhere else is [`VideoSums`](crate::VideoSums): the mean of each sample over the frames,
//! which alone keeps the parts of the uncertainty apart. These rules take one probability vector for each
//! frame (its mean over samples) and give one for the video. Their outputs are scores to compare detectors
//! by; that they are calibrated as probabilities must be measured.

use serde::{Deserialize, Serialize};

use crate::calibration::NLL_FLOOR;
use crate::probability::{FixedSum, SignedSum, append_normalised, argmax};
use crate::{StatsError, Task};

/// How the probabilities of frames become those of their video.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum VideoRule {
    /// The mean over the frames.
    Mean,
    /// The median over the frames (the mean of the middle two, of an even number), class by class,
    /// divided by their sum.
    Median,
    /// The mean of the log-odds, back to a probability; of several classes the normalised geometric mean,
    /// which of two is the same. A probability of 0 counts as [`NLL_FLOOR`], or as the smallest of the video above
    /// 0 where that is less.
    LogOdds,
    /// The mean of this many most suspicious frames (all, where there are fewer): the largest
    /// probabilities of the positive class. Of several classes each has its own largest, divided by their
    /// sum.
    TopK(usize),
    /// [`TopK`](Self::TopK) of this share of the frames (above 0, at most 1), rounded up.
    TopShare(f64),
    /// The share of the frames that predict the class (the most probable one, the first where several are).
    Majority,
}

/// The video's probability of each class, from its frames' probabilities, row by row `[frames, classes]`.
///
/// The result sums to 1 and is the same bits in whatever order the frames come. Where no class has any
/// (medians can all be 0), all are equal. Errors: no frames, rows that are no probability vectors of the
/// task, a number of frames of 0, a share outside (0, 1].
pub fn video_probs(rule: VideoRule, frames: &[f64], task: &Task) -> Result<Vec<f64>, StatsError> {
    task.check()?;
    let classes = task.classes.len();
    if !frames.len().is_multiple_of(classes) {
        return Err(StatsError::RaggedSamples { classes, found: frames.len() });
    }
    let count = frames.len() / classes;
    if count == 0 {
        return Err(StatsError::NoSamples);
    }
    let most = match rule {
        VideoRule::TopK(0) => return Err(bad("number of frames", "0".into(), "one frame or more")),
        VideoRule::TopK(k) => k.min(count),
        VideoRule::TopShare(share) if share > 0.0 && share <= 1.0 => {
            // A hair less, so that 0.1 of 30 frames is 3, not 4.
            ((share * count as f64 - 1e-9).ceil() as usize).clamp(1, count)
        }
        VideoRule::TopShare(share) => {
            return Err(bad("share of frames", share.to_string(), "a number above 0 and at most 1"));
        }
        _ => count,
    };
    let mut rows = Vec::with_capacity(frames.len());
    for (frame, probs) in frames.chunks_exact(classes).enumerate() {
        append_normalised(probs, classes, &mut rows, || format!("frame {frame}"))?;
    }
    let rows = || rows.chunks_exact(classes);
    let of_class = |class: usize| -> Vec<f64> {
        let mut values: Vec<f64> = rows().map(|row| row[class]).collect();
        values.sort_unstable_by(|a, b| b.total_cmp(a));
        values
    };
    let by_class: Vec<f64> = match (rule, task.positive) {
        (VideoRule::TopK(_) | VideoRule::TopShare(_), Some(positive)) => {
            // The other class of the same frames: that which is near to 0 keeps its digits.
            let mut probs = vec![mean_probability(of_class(1 - positive).iter().rev().take(most)); 2];
            probs[positive] = mean_probability(of_class(positive).iter().take(most));
            probs
        }
        (VideoRule::Mean | VideoRule::TopK(_) | VideoRule::TopShare(_), _) => {
            (0..classes).map(|class| mean_probability(of_class(class).iter().take(most))).collect()
        }
        (VideoRule::Median, _) => (0..classes)
            .map(|class| {
                let values = of_class(class);
                (values[(count - 1) / 2] + values[count / 2]) / 2.0
            })
            .collect(),
        (VideoRule::LogOdds, _) => {
            let floor = rows().flatten().copied().filter(|&p| p > 0.0).fold(NLL_FLOOR, f64::min);
            let logs: Vec<f64> = (0..classes).map(|class| mean(rows().map(|row| row[class].max(floor).ln()))).collect();
            let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            logs.iter().map(|log| (log - largest).exp()).collect()
        }
        (VideoRule::Majority, _) => {
            let votes = |class: usize| rows().filter(|row| argmax(row) == class).count();
            (0..classes).map(|class| votes(class) as f64 / count as f64).collect()
        }
    };
    let sum: f64 = by_class.iter().sum();
    Ok(by_class.iter().map(|p| if sum > 0.0 { p / sum } else { 1.0 / classes as f64 }).collect())
}

/// The mean of one probability or more.
fn mean_probability<'a>(values: impl ExactSizeIterator<Item = &'a f64>) -> f64 {
    let (mut sum, count) = (FixedSum::default(), values.len() as u64);
    values.for_each(|&value| sum.add(value));
    sum.mean(count)
}

/// The mean of one number or more, exact to 2^-60.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (SignedSum::default(), 0);
    values.for_each(|value| {
        sum.add(value, 1);
        count += 1;
    });
    sum.value() / f64::from(count)
}

fn bad(name: &'static str, value: String, expected: &'static str) -> StatsError {
    StatsError::BadParameter { name, value, expected }
}
