//! What can be wrong with the numbers that were given.

/// Bad input: which item, what was found, what was expected.
///
/// `place` in the variants below is where the bad number was, for example `item 3`, `sample 7` or
/// `sample 2 of item 5`; all positions count from 0.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StatsError {
    /// The task has too few classes, a class twice, or a positive class that does not exist.
    #[error("task: {problem}")]
    BadTask {
        /// What is wrong and what was expected.
        problem: String,
    },
    /// A probability vector of another length than the number of classes.
    #[error("{place}: {found} probabilities, but there are {expected} classes")]
    WrongLength {
        /// Where.
        place: String,
        /// Number of classes.
        expected: usize,
        /// Number of probabilities found.
        found: usize,
    },
    /// The flat list of samples cannot be cut into rows of one value per class.
    #[error("{found} values cannot be rows of {classes} classes: expected a multiple of {classes}")]
    RaggedSamples {
        /// Number of classes.
        classes: usize,
        /// Number of values found.
        found: usize,
    },
    /// A value that is no probability: not finite, or outside [0, 1] by more than 1e-6.
    #[error("{place}: the probability of class {class} is {value}, expected a number from 0 to 1")]
    NotAProbability {
        /// Where.
        place: String,
        /// Index of the class.
        class: usize,
        /// The value found.
        value: f64,
    },
    /// Probabilities whose sum is not 1 within 1e-3.
    #[error(
        "{place}: the probabilities sum to {sum}, expected 1 within 0.001 (are they logits, or scores of one class only?)"
    )]
    NotNormalised {
        /// Where.
        place: String,
        /// The sum found.
        sum: f64,
    },
    /// A label that is no index of a class.
    #[error("{place}: label {label}, but the classes are numbered 0 to {last}")]
    BadLabel {
        /// Where.
        place: String,
        /// The label found.
        label: usize,
        /// The last class.
        last: usize,
    },
    /// An uncertainty that is negative, not finite, or larger than any entropy.
    #[error("{place}: {field} is {value}, expected a number of nats from 0 to 1000000")]
    BadUncertainty {
        /// Where.
        place: String,
        /// Which field of [`Scored`](crate::Scored).
        field: &'static str,
        /// The value found.
        value: f64,
    },
    /// Nothing to reduce: no sample was pushed.
    #[error("no samples: push at least one before asking for the result")]
    NoSamples,
    /// The samples of a video do not all cover the same number of frames.
    #[error(
        "sample {sample} covers {found} frames, sample {reference} covers {expected}: every sample must be drawn for every frame of the video"
    )]
    UnevenFrames {
        /// The sample that differs.
        sample: u64,
        /// Its number of frames.
        found: u64,
        /// The first sample of the video.
        reference: u64,
        /// The first sample's number of frames.
        expected: u64,
    },
    /// Two sums over different numbers of classes cannot be merged.
    #[error("cannot merge sums over {right} classes into sums over {left} classes")]
    ClassesDiffer {
        /// Classes of the sums merged into.
        left: usize,
        /// Classes of the sums given.
        right: usize,
    },
    /// A parameter outside its range.
    #[error("{name} is {value}, expected {expected}")]
    BadParameter {
        /// The parameter's name.
        name: &'static str,
        /// The value found, as text.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// Lists that go together, one entry for each item, have different lengths.
    #[error("{name} has {found} entries, but there are {expected}: expected one for each item")]
    LengthsDiffer {
        /// The list.
        name: &'static str,
        /// Its length.
        found: usize,
        /// The length of the list it goes with.
        expected: usize,
    },
    /// A number that is not what its list may hold.
    #[error("{name} of item {item} is {value}, expected {expected}")]
    BadValue {
        /// The list.
        name: &'static str,
        /// Position of the item, from 0.
        item: usize,
        /// The value found.
        value: f64,
        /// What is allowed.
        expected: &'static str,
    },
    /// A method for independent rows was given rows that share clusters.
    #[error(
        "{method} takes rows as independent, but {items} items come from {clusters} clusters (videos or identities): use {instead}"
    )]
    ClusteredRows {
        /// The method that refuses.
        method: &'static str,
        /// Number of items.
        items: usize,
        /// Number of clusters.
        clusters: usize,
        /// What to use on such rows.
        instead: &'static str,
    },
    /// These items do not determine what is to be fitted.
    #[error("cannot fit {what}: {because}")]
    CannotFit {
        /// What was to be fitted.
        what: &'static str,
        /// Why not, and what to do.
        because: String,
    },
}

impl StatsError {
    /// What whoever gave the numbers can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotAProbability { .. } | Self::NotNormalised { .. } => {
                "give probabilities of 0 to 1 that sum to 1 over the classes; of logits say so (--logits)"
            }
            Self::WrongLength { .. } | Self::BadTask { .. } | Self::BadLabel { .. } | Self::ClassesDiffer { .. } => {
                "give one probability for each class, and labels that are among the classes"
            }
            Self::BadUncertainty { .. } => "give entropies in nats, as `dubito predict` writes them",
            Self::RaggedSamples { .. } | Self::NoSamples | Self::UnevenFrames { .. } | Self::LengthsDiffer { .. } => {
                "give each sample once for every frame and item"
            }
            Self::BadParameter { .. } => "give another value; `--help` says the range of each option",
            Self::BadValue { .. } => "correct the number where it comes from",
            Self::CannotFit { .. } => "give more items, of every class",
            Self::ClusteredRows { .. } => "give rows that show different people, or use the method that is named",
        }
    }
}
