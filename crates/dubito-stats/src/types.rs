//! What goes in (a task, scored items) and what comes out (an estimate).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::StatsError;

/// One value with its interval. What is undefined is `None`, with a reason, never 0 or NaN.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Estimate {
    /// The value, or `None` where it is undefined.
    pub value: Option<f64>,
    /// Lower end of the interval, where there is one.
    pub low: Option<f64>,
    /// Upper end of the interval, where there is one.
    pub high: Option<f64>,
    /// Why `value` is missing or, where `value` is there, why the interval is.
    pub undefined_because: Option<String>,
}

impl Estimate {
    /// A value without an interval (none was asked for).
    pub fn point(value: f64) -> Self {
        Self { value: Some(value), low: None, high: None, undefined_because: None }
    }

    /// No value, and why.
    pub fn undefined(reason: impl Into<String>) -> Self {
        Self { value: None, low: None, high: None, undefined_because: Some(reason.into()) }
    }

    /// With so many decimals, for a sentence: `0.412 (0.350 to 0.471)`, `0.412 (no interval)`, or `undefined (REASON)`.
    pub fn in_words(&self, decimals: usize) -> String {
        let number = |value: f64| format!("{value:.decimals$}");
        match (self.value, self.low.zip(self.high)) {
            (Some(value), Some((low, high))) => format!("{} ({} to {})", number(value), number(low), number(high)),
            (Some(value), None) => format!("{} (no interval)", number(value)),
            (None, _) => format!("undefined ({})", self.undefined_because.as_deref().unwrap_or("no reason given")),
        }
    }
}

/// One scored unit (a frame or a video), reduced over its samples; see
/// [`FrameSums`](crate::FrameSums) and [`VideoSums`](crate::VideoSums). Uncertainties are in nats and
/// `total = aleatoric + between_frames + epistemic`.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Scored {
    /// Index of the true class.
    pub label: usize,
    /// Mean probability of each class, over samples (and frames).
    pub probs: Vec<f64>,
    /// Entropy of `probs`, `H[m]`.
    pub total: f64,
    /// Mean entropy of the samples, `E H[p]`; in a video, the mean within its frames.
    pub aleatoric: f64,
    /// What a video's frames disagree about within each sample; 0 for a frame.
    pub between_frames: f64,
    /// What the samples disagree about: the mutual information of prediction and model.
    pub epistemic: f64,
    /// The cluster that the bootstrap resamples as one: the identity (or the video). Items of one
    /// cluster may depend on each other, clusters may not. Number the clusters by something that
    /// does not depend on the order of reading (for example by sorted name), and the intervals won't
    /// either.
    pub cluster: u32,
}

/// What the classes are.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Task {
    /// Names of the classes, by index.
    pub classes: Vec<String>,
    /// In a binary task, the index of the positive class ("fake"); `None` in a multi-class task.
    pub positive: Option<usize>,
}

impl Task {
    /// The binary task: class 0 is `real`, class 1 is `fake` and the positive one.
    pub fn binary() -> Self {
        Self { classes: vec!["real".into(), "fake".into()], positive: Some(1) }
    }

    /// A task of several classes, none of them the positive one.
    pub fn multiclass<S: Into<String>>(classes: impl IntoIterator<Item = S>) -> Self {
        Self { classes: classes.into_iter().map(Into::into).collect(), positive: None }
    }

    /// That there are two classes or more, all named differently, and exactly two where one of them
    /// is the positive one.
    pub(crate) fn check(&self) -> Result<(), StatsError> {
        let bad = |problem: String| Err(StatsError::BadTask { problem });
        let count = self.classes.len();
        if count < 2 {
            return bad(format!("expected two classes or more, found {count}"));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.classes.iter().find(|name| !seen.insert(*name)) {
            return bad(format!("the class \"{twice}\" is named twice"));
        }
        match self.positive {
            Some(_) if count != 2 => bad(format!(
                "a positive class is set, so expected two classes, found {count}: leave `positive` empty for a multi-class task"
            )),
            Some(positive) if positive > 1 => {
                bad(format!("the positive class is {positive}, expected 0 or 1 (an index into the classes)"))
            }
            _ => Ok(()),
        }
    }
}
