//! Any-time sampling: posterior samples of a video until its verdict and its uncertainty are settled.

use std::ops::ControlFlow;

use dubito_nn::Posterior;
use dubito_stats::{Sequential, StatsError, StopRule};
use serde::Serialize;

use crate::inputs::Inputs;
use crate::{Detector, StudyError};

/// Samples between two looks at whether it is enough.
const EACH: u32 = 8;
/// Samples of the first round where a video's inputs are too many to go through the network together; each round after it
/// doubles them, so that what lies before the uncertain part runs a few times and not once for each look.
const FIRST: u32 = 64;

/// How many posterior samples are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Samples {
    /// As many of each input.
    Fixed(u32),
    /// Until each video is settled.
    Auto(Auto),
}

impl From<u32> for Samples {
    fn from(samples: u32) -> Self {
        Self::Fixed(samples)
    }
}

impl Samples {
    /// Checks their numbers.
    ///
    /// # Errors
    /// A tolerance or a largest number that is none.
    pub fn check(&self) -> Result<(), StudyError> {
        let wrong = |message: String, hint: &str| Err(StudyError::Input { message, hint: hint.into() });
        match *self {
            Self::Fixed(0) => wrong("--samples is 0".into(), "1 or more; 50 are usual"),
            Self::Auto(Auto { tolerance, .. }) if !(tolerance > 0.0 && tolerance <= std::f64::consts::LN_2) => wrong(
                format!("--tolerance {tolerance} is not above 0 and at most ln 2 = 0.693"),
                "it is in nats; 0.2 is usual, and half of it takes about twice the samples",
            ),
            Self::Auto(auto) if auto.most < auto.rule().least as u32 => wrong(
                format!("--max-samples {} is less than {}", auto.most, auto.rule().least),
                "with fewer nothing can be settled: give --samples a number",
            ),
            _ => Ok(()),
        }
    }

    /// What tells them from others where samples are kept.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Fixed(samples) => samples.to_string(),
            Self::Auto(Auto { tolerance, most }) => format!("auto {tolerance} {most}"),
        }
    }

    /// In words.
    pub fn in_words(&self) -> String {
        match self {
            Self::Fixed(samples) => format!("{samples} samples of each frame"),
            Self::Auto(Auto { tolerance, most }) => {
                format!("samples of each video until it is settled to {tolerance} nats, {most} at most")
            }
        }
    }
}

/// Samples of a video until it is known on which side of one half P(fake) of infinitely many samples lies, and their total and
/// aleatoric uncertainty to a tolerance; what is said then is wrong in at most one of twenty videos ([`StopRule::verdict`]).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Auto {
    /// How far total and aleatoric uncertainty may be off, nats.
    pub tolerance: f64,
    /// An end after so many, settled or not.
    pub most: u32,
}

impl Default for Auto {
    /// 0.2 nats (a video that is judged with 95 % or more needs 60 to 90 samples), at most 400.
    fn default() -> Self {
        Self { tolerance: 0.2, most: 400 }
    }
}

impl Auto {
    /// When samples are enough.
    pub fn rule(&self) -> StopRule {
        StopRule::verdict(self.tolerance, self.most as usize)
    }
}

/// How the sampling of a video ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settled {
    /// Samples that were drawn.
    pub samples: u32,
    /// Whether verdict, total and aleatoric uncertainty are settled, and the most samples were not needed.
    pub settled: bool,
    /// What infinitely many samples would give, all of it right with a probability of 95 % at least; `None` where there are
    /// no more networks than those that were asked.
    pub ranges: Option<Ranges>,
}

/// Intervals, lower and upper end; of the uncertainties of real against fake, in nats.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranges {
    /// P(fake).
    pub p_fake: [f64; 2],
    /// Total uncertainty.
    pub total: [f64; 2],
    /// Mean entropy of a sample's answer to the video: the aleatoric part with what frames disagree about.
    pub aleatoric: [f64; 2],
    /// Epistemic uncertainty: as far as it is known, it is not waited for.
    pub epistemic: [f64; 2],
}

/// P(fake) of one row: of two classes the other one's, of more what `real` leaves.
fn p_fake(row: &[f32], real: usize) -> f64 {
    let p = match row {
        [only] => *only,
        [_, _] => row[1 - real],
        _ => 1.0 - row[real],
    };
    f64::from(p).clamp(0.0, 1.0)
}

/// One video's samples as they come, each averaged over its inputs.
struct Watch {
    auto: Auto,
    /// All the networks there are, where they are few.
    networks: Option<u32>,
    item: Sequential,
}

impl Watch {
    fn new(auto: Auto, networks: Option<u32>) -> Result<Self, StudyError> {
        Ok(Self { auto, networks, item: Sequential::new(2, auto.rule()).map_err(wrong)? })
    }

    /// Takes the next sample; whether it was enough.
    fn push(&mut self, p_fake: f64) -> Result<bool, StudyError> {
        self.item.push(&[1.0 - p_fake, p_fake]).map_err(wrong)?;
        let samples = self.item.samples() as u32;
        Ok(match self.networks {
            Some(networks) => samples >= networks.min(self.auto.most),
            None if samples.is_multiple_of(EACH) || samples == self.auto.most => {
                self.item.progress().map_err(wrong)?.stop
            }
            None => false,
        })
    }

    fn end(&self) -> Result<Settled, StudyError> {
        let samples = self.item.samples() as u32;
        if let Some(networks) = self.networks {
            return Ok(Settled { samples, settled: samples >= networks, ranges: None });
        }
        let found = self.item.progress().map_err(wrong)?;
        let ranges = Ranges {
            p_fake: [found.mean.low, found.mean.high],
            total: [found.total.low, found.total.high],
            aleatoric: [found.aleatoric.low, found.aleatoric.high],
            epistemic: [found.epistemic.low, found.epistemic.high],
        };
        Ok(Settled { samples, settled: found.settled, ranges: Some(ranges) })
    }
}

fn wrong(source: StatsError) -> StudyError {
    StudyError::Report(dubito_report::ReportError::Stats { place: "its samples".into(), source })
}

/// Index of the class `real`: what any-time sampling settles is real against fake.
pub(crate) fn real_class(detector: &Detector) -> Result<usize, StudyError> {
    let names = detector.class_names();
    names.iter().position(|name| name == "real").ok_or_else(|| StudyError::Input {
        message: format!(
            "{} tells {} apart: --samples auto settles whether a video is real, and none of them is `real`",
            detector.path().display(),
            names.join(", ")
        ),
        hint: "give --samples a number".into(),
    })
}

/// Samples of a clip's [`inputs`](crate::inputs) until they are enough: probabilities `[items, samples, classes]`, and how it
/// ended. They are the first so many of those that [`Detector::draw`] gives.
pub(crate) fn draw(
    detector: &Detector,
    posterior: &dyn Posterior,
    inputs: &Inputs<'_>,
    auto: Auto,
    seed: u64,
) -> Result<(Vec<f32>, Settled), StudyError> {
    let (real, classes, items) = (real_class(detector)?, posterior.classes(), inputs.len());
    let mut watch = Watch::new(auto, posterior.networks())?;
    // The samples of each item.
    let mut rows = vec![Vec::new(); items];
    let (mut from, mut enough) = (0, items == 0);
    let batches: Vec<_> = inputs.batches().collect();
    while from < auto.most && !enough {
        let to = match batches.len() {
            1 => auto.most,
            _ => auto.most.min(if from == 0 { FIRST } else { 2 * from }),
        };
        let mut first = 0;
        for (k, bytes) in batches.iter().enumerate() {
            let many = items.min(first + Inputs::BATCH) - first;
            let mut next = from as usize;
            detector.stream(posterior, bytes, from..to, seed, &mut |count, p| {
                for (row, p) in rows[first..].iter_mut().zip(p.chunks_exact(count * classes)) {
                    row.extend_from_slice(p);
                }
                next += count;
                // With its last input a sample of the video is whole.
                while k + 1 == batches.len() && watch.item.samples() < next && !enough {
                    let at = watch.item.samples() * classes;
                    let sum: f64 = rows.iter().map(|row| p_fake(&row[at..at + classes], real)).sum();
                    enough = watch.push(sum / items as f64)?;
                }
                Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            first += many;
        }
        from = to;
    }
    rows.iter_mut().for_each(|row| row.truncate(watch.item.samples() * classes));
    Ok((rows.concat(), watch.end()?))
}

/// How the sampling of a video ended whose samples were kept, `[items, samples, width]` of `width` numbers each: those of all
/// classes, or of the one that is fake.
pub(crate) fn review(
    values: &[f32],
    [items, width]: [usize; 2],
    real: usize,
    auto: Auto,
    networks: Option<u32>,
) -> Result<Settled, StudyError> {
    let mut watch = Watch::new(auto, networks)?;
    let samples = values.len() / (items * width).max(1);
    for t in 0..samples {
        let row = |item: usize| &values[(item * samples + t) * width..][..width];
        let sum: f64 = (0..items).map(|item| p_fake(row(item), real)).sum();
        watch.item.push(&[1.0 - sum / items as f64, sum / items as f64]).map_err(wrong)?;
    }
    watch.end()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;

    fn detector(views: bool) -> (Detector, Box<dyn Posterior>) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dubito-nn/tests/golden/onnx_detectors/softmax.onnx");
        let detector = Detector::open(&path, views).unwrap();
        let posterior = detector.posterior("cpu").unwrap();
        (detector, posterior)
    }

    /// Crops of noise, each brighter than the one before.
    fn noise(size: usize, items: usize) -> Inputs<'static> {
        let byte = |i: usize| ((i * 7919 + i / 31 * 104_729) % 97 + 100 * (i / (size * size * 3)) / items) as u8;
        let bytes: Vec<u8> = (0..items * size * size * 3).map(byte).collect();
        Inputs { bytes: bytes.into(), frames: (0..items).collect(), without: Vec::new() }
    }

    /// Samples of the first so many numbers that a fixed draw gives, whatever the number of inputs: those of 40 go through
    /// the network in parts.
    #[test]
    fn settled_samples_are_the_first_of_many() {
        let (detector, posterior) = detector(true);
        for items in [1, 3, 40] {
            let inputs = noise(detector.size() as usize, items);
            for auto in [Auto::default(), Auto { tolerance: 0.02, most: 200 }] {
                let (drawn, end) = draw(&detector, posterior.as_ref(), &inputs, auto, 3).unwrap();
                let samples = end.samples as usize;
                assert!((16..=auto.most as usize).contains(&samples) && drawn.len() == items * samples * 2);
                assert!(end.settled || end.samples == auto.most);
                let fixed = detector.draw(posterior.as_ref(), &inputs, auto.most, 3).unwrap();
                for (item, fixed) in drawn.chunks_exact(samples * 2).zip(fixed.chunks_exact(auto.most as usize * 2)) {
                    assert!(item.iter().zip(fixed).all(|(a, b)| (a - b).abs() < 1e-6), "{items} inputs");
                }
                let ranges = end.ranges.clone().unwrap();
                let mean = drawn.chunks_exact(2).map(|p| f64::from(p[1])).sum::<f64>() / (items * samples) as f64;
                assert!(ranges.p_fake[0] <= mean && mean <= ranges.p_fake[1], "{mean} {ranges:?}");
                if end.settled {
                    let side = ranges.p_fake.map(|p| p > 0.5);
                    assert!(side[0] == side[1] && ranges.total[1] - ranges.total[0] <= 2.0 * auto.tolerance);
                }
                // What was kept says the same, also where only P(fake) was.
                let fake: Vec<f32> = drawn.chunks_exact(2).map(|p| p[1]).collect();
                assert_eq!(review(&drawn, [items, 2], 0, auto, None).unwrap(), end);
                assert_eq!(review(&fake, [items, 1], 0, auto, None).unwrap(), end);
            }
        }
    }

    #[test]
    fn one_network_needs_one_sample() {
        let (detector, posterior) = detector(false);
        let inputs = noise(detector.size() as usize, 3);
        let (drawn, end) = draw(&detector, posterior.as_ref(), &inputs, Auto::default(), 0).unwrap();
        assert_eq!((drawn.len(), end), (6, Settled { samples: 1, settled: true, ranges: None }));
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let auto = |tolerance: f64, most: u32| Samples::Auto(Auto { tolerance, most });
        for (samples, word) in [
            (Samples::Fixed(0), "--samples"),
            (auto(0.0, 100), "--tolerance"),
            (auto(f64::NAN, 100), "--tolerance"),
            (auto(0.8, 100), "--tolerance"),
            (auto(0.2, 15), "--max-samples 15"),
        ] {
            assert!(samples.check().unwrap_err().to_string().contains(word), "{samples:?}");
        }
        assert!(auto(0.2, 16).check().is_ok() && Samples::Fixed(1).check().is_ok());
    }
}
