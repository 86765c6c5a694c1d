//! Adversarial attacks on stochastic detectors: small changes of an input's pixels that make the mean of the samples wrong.
//!
//! A sample of a posterior is one network, and a prediction averages many. An attack that follows the gradient of one of
//! them runs after its noise; so each step follows the gradient of the mean probability over samples of its own
//! (expectation over transformation, Athalye et al., "Obfuscated gradients give a false sense of security", 2018). These
//! samples are never those of the evaluation ([`Attack::draws_seed`]): the attacker knows the weights and the method, not
//! which networks will be drawn. (An ensemble has no networks but its members, which the attack then knows.)
//!
//! Everything is in pixels from 0 to 1, that is bytes over 255, within a ball of the maximum norm around the input. The
//! detector's normalisation is part of what is attacked.

mod aim;
mod apgd;
mod fgsm;
mod pgd;
mod square;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use self::aim::Aim;
use crate::NnError;
use crate::augment::Normalisation;
use crate::inference::Posterior;
use crate::network::MapShape;
use crate::onnx::{Channels, OnnxDetector};
use crate::parameter::values_of;
use crate::rng::{Purpose, Stream};
use crate::run::Run;

/// How an attack looks for its change of the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttackMethod {
    /// One step of the whole budget along the gradient's sign (Goodfellow, Shlens and Szegedy 2015).
    Fgsm,
    /// Steps along the gradient's sign from a random start, projected into the ball (Madry et al. 2018).
    Pgd,
    /// PGD with momentum that halves its steps where it gains nothing, on the cross-entropy (Croce and Hein 2020).
    Apgd,
    /// Random squares, kept where they help: answers alone, no gradient (Andriushchenko et al. 2020).
    Square,
}

impl AttackMethod {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fgsm, Self::Pgd, Self::Apgd, Self::Square];

    /// Its name in settings and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fgsm => "fgsm",
            Self::Pgd => "pgd",
            Self::Apgd => "apgd",
            Self::Square => "square",
        }
    }

    /// Steps where nothing is said.
    pub fn default_steps(self) -> u32 {
        match self {
            Self::Fgsm => 1,
            Self::Pgd => 10,
            Self::Apgd => 20,
            Self::Square => 500,
        }
    }

    /// Whether it needs gradients, which a black box has not.
    pub fn needs_gradient(self) -> bool {
        self != Self::Square
    }
}

impl fmt::Display for AttackMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AttackMethod {
    type Err = NnError;

    fn from_str(text: &str) -> Result<Self, NnError> {
        let found = Self::ALL.into_iter().find(|method| method.name() == text);
        found.ok_or_else(|| NnError::setting("method", "`fgsm`, `pgd`, `apgd` or `square`", format!("`{text}`")))
    }
}

/// What an attack makes as large as it can, for each input by itself.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AttackObjective {
    /// The cross-entropy of the mean probability, in nats: to be wrong.
    #[default]
    CrossEntropy,
    /// That minus `weight` times the epistemic uncertainty (mutual information, in nats): to be wrong and to seem sure.
    Adaptive {
        /// What a nat of epistemic uncertainty costs, 0 or more.
        weight: f32,
    },
}

/// An attack's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    /// How it looks.
    pub method: AttackMethod,
    /// The largest change of a pixel's channel, in parts of 255: above 0, 255 at most.
    pub epsilon: f32,
    /// Steps; of `square` candidates. 1 of `fgsm`.
    pub steps: u32,
    /// Posterior samples of each step: 1 or more, 2 or more of an adaptive attack.
    #[serde(default = "one")]
    pub eot: u32,
    /// Random starts of `pgd` and `apgd`, of which each input keeps the best.
    #[serde(default = "one")]
    pub restarts: u32,
    /// `pgd`: length of a step in parts of 255, 2.5 epsilon / steps without it (as Madry's), so that it can reach every
    /// corner of the ball.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f32>,
    /// What is made large.
    #[serde(default)]
    pub objective: AttackObjective,
    /// Seed of starts, squares and samples.
    #[serde(default)]
    pub seed: u64,
}

fn one() -> u32 {
    1
}

impl Attack {
    /// An attack of this size with the method's usual number of steps, on the cross-entropy, eight samples a step.
    pub fn new(method: AttackMethod, epsilon: f32) -> Self {
        let (steps, objective) = (method.default_steps(), AttackObjective::CrossEntropy);
        Self { method, epsilon, steps, eot: 8, restarts: 1, step: None, objective, seed: 0 }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`NnError::Setting`] that names the field.
    pub fn check(&self) -> Result<(), NnError> {
        let bad = |field, expected: &str, found: String| Err(NnError::setting(field, expected, found));
        if !(self.epsilon > 0.0 && self.epsilon <= 255.0) {
            return bad("epsilon", "above 0 to 255, in parts of 255", self.epsilon.to_string());
        }
        match (self.method, self.steps) {
            (AttackMethod::Fgsm, 1) => {}
            (AttackMethod::Fgsm, steps) => return bad("steps", "1 of `fgsm`", steps.to_string()),
            (_, 0) => return bad("steps", "1 or more", "0".to_owned()),
            _ => {}
        }
        if let AttackObjective::Adaptive { weight } = self.objective {
            if !(weight >= 0.0 && weight.is_finite()) {
                return bad("objective.weight", "0 or more", weight.to_string());
            }
            if self.eot < 2 {
                let expected = "2 or more of an adaptive attack: one sample has no epistemic uncertainty";
                return bad("eot", expected, self.eot.to_string());
            }
        }
        if self.eot == 0 {
            return bad("eot", "1 or more", "0".to_owned());
        }
        let random_start = matches!(self.method, AttackMethod::Pgd | AttackMethod::Apgd);
        if self.restarts == 0 || (self.restarts > 1 && !random_start) {
            return bad("restarts", "1, or more of `pgd` and `apgd`", self.restarts.to_string());
        }
        match self.step {
            Some(_) if self.method != AttackMethod::Pgd => bad("step", "nothing but of `pgd`", self.method.to_string()),
            Some(step) if !(step > 0.0 && step <= 255.0) => bad("step", "above 0 to 255", step.to_string()),
            _ => match self.queries().checked_mul(u64::from(self.eot)) {
                Some(all) if all < u64::from(u32::MAX) => Ok(()),
                _ => bad("steps", "fewer: steps * restarts * eot below 2^32", self.steps.to_string()),
            },
        }
    }

    /// Times that the posterior is asked about each input, for `eot` samples.
    fn queries(&self) -> u64 {
        u64::from(self.restarts) * (u64::from(self.steps) + 1) + 1
    }

    /// The seed of the posterior samples that the attack looks at: derived from its own for this purpose, and never
    /// `evaluation`, the seed of the samples that it is judged on.
    pub fn draws_seed(&self, evaluation: u64) -> u64 {
        let mut stream = Stream::new(Purpose::Attack, self.seed, u32::MAX, 0);
        loop {
            let seed = u64::from(stream.bits()) << 32 | u64::from(stream.bits());
            if seed != evaluation {
                return seed;
            }
        }
    }

    /// Attacks inputs (bytes `[items, h, w, channels]`, of these classes), each by itself: an item's change depends on its
    /// place among them, not on the others. `evaluation` is the seed that the result will be judged with.
    ///
    /// # Errors
    /// [`NnError::Setting`] as [`Attack::check`]; [`NnError::Input`] for bytes that are not a whole number of inputs or not
    /// as many as labels, or a label that is no class; [`NnError::NotDifferentiable`] where a method that needs gradients
    /// meets a black box; as [`Posterior::draw`].
    pub fn run(
        &self,
        victim: &Victim<'_>,
        inputs: &[u8],
        labels: &[usize],
        evaluation: u64,
    ) -> Result<Adversarial, NnError> {
        self.check()?;
        let clean = victim.pixels(inputs)?;
        let items = clean.len() / victim.one();
        let classes = victim.posterior.classes();
        if labels.len() != items || labels.iter().any(|&label| label >= classes) {
            let expected = format!("[{items}], one class below {classes} for each input");
            return Err(NnError::Input { what: "labels", expected, found: labels.to_vec() });
        }
        let seed = self.draws_seed(evaluation);
        let aim = Aim { victim, labels, objective: self.objective, eot: self.eot, seed };
        let ball = Ball { clean: &clean, epsilon: self.epsilon / 255.0 };
        let ignore = &mut |_: &[f32], _: &[f32]| {};
        let last = self.queries() as u32 - 1;
        let mut best: Option<(Vec<f32>, Vec<f32>)> = None;
        for restart in 0..self.restarts {
            let first = restart * (self.steps + 1);
            let start = || ball.noise(self.seed, restart, victim.one());
            let pixels = match self.method {
                AttackMethod::Fgsm => fgsm::fgsm(&aim, ball, first)?,
                AttackMethod::Pgd => {
                    let step = self.step.unwrap_or(2.5 * self.epsilon / self.steps as f32) / 255.0;
                    pgd::pgd(&aim, ball, ball.moved(&start()), step, self.steps, first, ignore)?
                }
                AttackMethod::Apgd => {
                    let start = apgd::widest(start(), victim.one(), ball.epsilon);
                    apgd::apgd(&aim, ball, ball.moved(&start), self.steps, first, ignore)?
                }
                AttackMethod::Square => square::square(&aim, ball, self.steps, self.seed, ignore)?,
            };
            // Every start is judged by the same samples, which none of its steps saw.
            let values = aim.values(&pixels, last)?;
            best = Some(match best {
                None => (pixels, values),
                Some(best) => better(best, (pixels, values), victim.one()),
            });
        }
        let (pixels, objective) = best.unwrap_or_default();
        Ok(Adversarial { pixels, objective, shape: victim.shape, bytes: inputs.to_vec(), epsilon: self.epsilon })
    }
}

/// Of two results with their values the better for each item.
fn better(best: (Vec<f32>, Vec<f32>), other: (Vec<f32>, Vec<f32>), one: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut pixels, mut values) = best;
    for (item, (value, found)) in values.iter_mut().zip(other.1).enumerate() {
        if found > *value {
            *value = found;
            pixels[item * one..][..one].copy_from_slice(&other.0[item * one..][..one]);
        }
    }
    (pixels, values)
}

/// Everything within `epsilon` of the clean pixels, from 0 to 1.
#[derive(Clone, Copy)]
struct Ball<'a> {
    clean: &'a [f32],
    epsilon: f32,
}

impl Ball<'_> {
    /// The nearest value in the ball to `x` at place `i`.
    fn project(&self, i: usize, x: f32) -> f32 {
        let clean = self.clean[i];
        x.clamp(clean - self.epsilon, clean + self.epsilon).clamp(0.0, 1.0)
    }

    /// The clean pixels plus a change, in the ball.
    fn moved(&self, change: &[f32]) -> Vec<f32> {
        (0..self.clean.len()).map(|i| self.project(i, self.clean[i] + change[i])).collect()
    }

    /// A uniform change within epsilon, for each item by its place.
    fn noise(&self, seed: u64, restart: u32, one: usize) -> Vec<f32> {
        let items = self.clean.len() / one;
        let of = |item: usize| {
            let mut stream = Stream::new(Purpose::Attack, seed, restart, item as u32);
            (0..one).map(move |_| stream.range(-self.epsilon, self.epsilon))
        };
        (0..items).flat_map(of).collect()
    }
}

/// 1, 0 or -1.
fn sign(x: f32) -> f32 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0
    }
}

/// What is attacked: a posterior, and how pixels become its input.
#[derive(Clone, Copy)]
pub struct Victim<'a> {
    posterior: &'a dyn Posterior,
    shape: MapShape,
    normalisation: Normalisation,
    bgr: bool,
}

impl<'a> Victim<'a> {
    /// A posterior of a run. What is attacked of a run of signals is the picture of the signal.
    pub fn of_run(run: &Run, posterior: &'a dyn Posterior) -> Self {
        let preprocessing = &run.config.preprocessing;
        let (shape, normalisation) = (preprocessing.shape(), preprocessing.normalisation);
        Self { posterior, shape, normalisation, bgr: false }
    }

    /// An ONNX file, which is a black box.
    pub fn of_onnx(onnx: &OnnxDetector, posterior: &'a dyn Posterior) -> Self {
        let (size, options) = (onnx.size() as usize, onnx.options());
        let bgr = options.channels == Channels::Bgr;
        Self { posterior, shape: [size, size, 3], normalisation: options.normalisation, bgr }
    }

    /// Values of one input.
    fn one(&self) -> usize {
        self.shape.iter().product()
    }

    /// Pixels in planes `[items, channels, h, w]` from bytes `[items, h, w, channels]`.
    ///
    /// # Errors
    /// [`NnError::Input`] where the bytes are not a whole number of inputs, or none.
    pub fn pixels(&self, bytes: &[u8]) -> Result<Vec<f32>, NnError> {
        let [h, w, channels] = self.shape;
        if bytes.is_empty() || !bytes.len().is_multiple_of(self.one()) {
            let expected = format!("items * {h} * {w} * {channels} bytes, 1 item or more");
            return Err(NnError::Input { what: "inputs", expected, found: vec![bytes.len()] });
        }
        Ok(to_planes(bytes, self.shape).into_iter().map(|v| f32::from(v) / 255.0).collect())
    }

    /// What the posterior takes, from pixels in planes.
    fn batch(&self, pixels: &[f32]) -> Tensor<4> {
        let [h, w, channels] = self.shape;
        let plane = h * w;
        let mut values = Vec::with_capacity(pixels.len());
        for item in pixels.chunks_exact(self.one()) {
            for c in 0..channels {
                let source = if self.bgr { channels - 1 - c } else { c };
                let (mean, std) = (self.normalisation.mean[c], self.normalisation.std[c]);
                values.extend(item[source * plane..][..plane].iter().map(|x| (x - mean) / std));
            }
        }
        let shape = [pixels.len() / self.one(), channels, h, w];
        Tensor::from_data(TensorData::new(values, shape), self.posterior.device())
    }

    /// Posterior samples of pixels in planes: probabilities `[items, samples, classes]`, row by row.
    ///
    /// # Errors
    /// As [`Posterior::draw`].
    pub fn draw(&self, pixels: &[f32], samples: Range<u32>, seed: u64) -> Result<Vec<f32>, NnError> {
        Ok(values_of(self.posterior.draw(self.batch(pixels), samples, seed)?))
    }
}

/// Inputs `[items, h, w, channels]` as planes `[items, channels, h, w]`.
fn to_planes<T: Copy>(values: &[T], [h, w, channels]: MapShape) -> Vec<T> {
    let one = h * w * channels;
    let planes = |item| (0..channels).flat_map(move |c| (0..h * w).map(move |i| values[item * one + i * channels + c]));
    (0..values.len() / one).flat_map(planes).collect()
}

/// What an attack made of inputs.
#[derive(Debug, Clone)]
pub struct Adversarial {
    pixels: Vec<f32>,
    objective: Vec<f32>,
    shape: MapShape,
    bytes: Vec<u8>,
    epsilon: f32,
}

impl Adversarial {
    /// The pixels, 0 to 1, in planes `[items, channels, h, w]`, each within epsilon / 255 of the input's.
    pub fn pixels(&self) -> &[f32] {
        &self.pixels
    }

    /// Of each item what the attack made large, by samples that none of its steps saw.
    pub fn objective(&self) -> &[f32] {
        &self.objective
    }

    /// The pixels as bytes `[items, h, w, channels]`, as a picture holds them: rounded to the nearest that is within
    /// epsilon of the input. (So an epsilon below 1 leaves the input as it was.)
    pub fn rounded(&self) -> Vec<u8> {
        let [h, w, channels] = self.shape;
        let (one, most) = (h * w * channels, self.epsilon.floor());
        let byte = |(k, &clean): (usize, &u8)| {
            let (item, i, c) = (k / one, k % one / channels, k % channels);
            let (x, clean) = (self.pixels[item * one + c * h * w + i], f32::from(clean));
            (x * 255.0).round().clamp(clean - most, clean + most).clamp(0.0, 255.0) as u8
        };
        self.bytes.iter().enumerate().map(byte).collect()
    }
}
