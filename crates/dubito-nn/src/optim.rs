//! Optimisers and learning-rate schedules, on the host: exact to resume, the same on every device.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::NnError;
use crate::state::{Array, StateDict};

/// What moves the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimiserName {
    /// `adamw`: Loshchilov and Hutter 2019, with PyTorch's defaults: betas 0.9 and 0.999, epsilon 1e-8.
    #[default]
    Adamw,
    /// `sgd`: stochastic gradient descent with Nesterov's momentum, as PyTorch's `SGD(nesterov=True)`.
    Sgd,
}

/// What moves the parameters, and how far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimiserConfig {
    /// `adamw` or `sgd`.
    pub name: OptimiserName,
    /// Largest learning rate, above 0; the schedule lowers it.
    pub learning_rate: f32,
    /// Weight decay of convolutions and the last layer, 0 or more: decoupled from the gradient for `adamw`, added to it
    /// for `sgd`.
    pub weight_decay: f32,
    /// Momentum of `sgd`, 0 or more and less than 1; `adamw` does not read it.
    pub momentum: f32,
}

impl Default for OptimiserConfig {
    fn default() -> Self {
        Self { name: OptimiserName::Adamw, learning_rate: 1e-3, weight_decay: 0.01, momentum: 0.9 }
    }
}

impl OptimiserConfig {
    /// Checks every field.
    pub(crate) fn check(&self) -> Result<(), NnError> {
        let Self { learning_rate, weight_decay, momentum, .. } = *self;
        if !(learning_rate > 0.0 && learning_rate.is_finite()) {
            return Err(NnError::setting("optimiser.learning_rate", "above 0", learning_rate));
        }
        if !(0.0..=100.0).contains(&weight_decay) {
            return Err(NnError::setting("optimiser.weight_decay", "0 to 100", weight_decay));
        }
        if !(0.0..1.0).contains(&momentum) {
            return Err(NnError::setting("optimiser.momentum", "0 or more and less than 1", momentum));
        }
        Ok(())
    }

    /// In words, for a model card.
    pub(crate) fn in_words(&self) -> String {
        let name = match self.name {
            OptimiserName::Adamw => "AdamW".to_owned(),
            OptimiserName::Sgd => format!("SGD with Nesterov momentum {}", self.momentum),
        };
        format!("{name}, learning rate {}, weight decay {}", self.learning_rate, self.weight_decay)
    }
}

/// An optimiser with what it remembers of each parameter, on the host.
#[derive(Debug, Clone)]
pub(crate) struct Optimiser {
    name: OptimiserName,
    momentum: f32,
    /// For each parameter the moments that [`Optimiser::prefixes`] names.
    moments: BTreeMap<String, Vec<Vec<f32>>>,
    /// Steps made.
    pub(crate) steps: u32,
}

impl Optimiser {
    const BETAS: [f32; 2] = [0.9, 0.999];
    const EPSILON: f32 = 1e-8;

    /// An optimiser before its first step.
    pub(crate) fn new(config: &OptimiserConfig) -> Self {
        Self { name: config.name, momentum: config.momentum, moments: BTreeMap::new(), steps: 0 }
    }

    /// What each moment is called in a checkpoint, before the parameter's name.
    fn prefixes(&self) -> &'static [&'static str] {
        match self.name {
            OptimiserName::Adamw => &["adam.m/", "adam.v/"],
            OptimiserName::Sgd => &["sgd.m/"],
        }
    }

    /// Begins a step; [`Optimiser::update`] then is called once for each parameter.
    pub(crate) fn begin_step(&mut self) {
        self.steps += 1;
    }

    /// Moves one parameter against its gradient.
    pub(crate) fn update(&mut self, name: &str, values: &mut [f32], gradient: &[f32], rate: f32, decay: f32) {
        let (n, kinds) = (values.len(), self.prefixes().len());
        let moments = self.moments.entry(name.to_owned()).or_insert_with(|| vec![vec![0.0; n]; kinds]);
        const CHUNK: usize = 1 << 14;
        let parts = values.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
        match moments.as_mut_slice() {
            [m, v] => {
                let [b1, b2] = Self::BETAS;
                let correct = |beta: f32| (1.0 - f64::from(beta).powf(f64::from(self.steps))) as f32;
                let (step, root) = (rate / correct(b1), correct(b2).sqrt());
                parts.zip(m.par_chunks_mut(CHUNK)).zip(v.par_chunks_mut(CHUNK)).for_each(
                    |(((values, gradient), m), v)| {
                        for (((p, &g), m), v) in values.iter_mut().zip(gradient).zip(m).zip(v) {
                            *m += (g - *m) * (1.0 - b1);
                            *v = b2 * *v + (1.0 - b2) * g * g;
                            *p -= rate * decay * *p;
                            *p -= step * *m / (v.sqrt() / root + Self::EPSILON);
                        }
                    },
                );
            }
            moments => {
                let momentum = self.momentum;
                let buffer = moments.iter_mut().flat_map(|m| m.chunks_mut(CHUNK)).collect::<Vec<_>>();
                parts.zip(buffer).for_each(|((values, gradient), buffer)| {
                    for ((p, &g), buffer) in values.iter_mut().zip(gradient).zip(buffer) {
                        let g = g + decay * *p;
                        *buffer = momentum * *buffer + g;
                        *p -= rate * (g + momentum * *buffer);
                    }
                });
            }
        }
    }

    /// The moments as flat arrays, `adam.m/NAME` and `adam.v/NAME`, or `sgd.m/NAME`.
    pub(crate) fn to_state(&self, state: &mut StateDict) {
        for (name, moments) in &self.moments {
            for (prefix, values) in self.prefixes().iter().zip(moments) {
                let array = Array { shape: vec![values.len()], values: values.clone() };
                state.insert(format!("{prefix}{name}"), array);
            }
        }
    }

    /// Takes the moments out of a state dict that [`Optimiser::to_state`] filled.
    pub(crate) fn from_state(config: &OptimiserConfig, state: &mut StateDict, steps: u32) -> Self {
        let mut optimiser = Self { steps, ..Self::new(config) };
        let prefixes = optimiser.prefixes();
        let names: Vec<String> = state.keys().filter_map(|k| k.strip_prefix(prefixes[0]).map(str::to_owned)).collect();
        let mut take = |key: String| state.remove(&key).map(|a| a.values).unwrap_or_default();
        for name in names {
            let moments = prefixes.iter().map(|prefix| take(format!("{prefix}{name}"))).collect();
            optimiser.moments.insert(name, moments);
        }
        optimiser
    }
}

/// How the learning rate goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleName {
    /// `cosine`: half a cosine to 0 (Loshchilov and Hutter 2017).
    #[default]
    Cosine,
    /// `constant`: it does not.
    Constant,
    /// `step`: by a factor every so many epochs, as PyTorch's `StepLR`.
    Step,
    /// `cyclic`: half a cosine to 0 in each of some cycles of as many epochs, without a warm-up (Huang et al. 2017); the
    /// network at the end of each is kept, and the run is their ensemble.
    Cyclic,
}

/// The learning rate over a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// `cosine`, `constant`, `step` or `cyclic`.
    pub name: ScheduleName,
    /// The part of all steps in which the rate first rises in a line to its largest, 0 to 1.
    pub warm_up: f32,
    /// Epochs after which `step` lowers the rate, each time anew; 1 or more. The others do not read it.
    pub every: usize,
    /// What `step` multiplies the rate by, above 0 and at most 1.
    pub factor: f32,
    /// Cycles of `cyclic`, 2 or more; a divisor of the epochs. The others do not read it.
    #[serde(skip_serializing_if = "is_usual")]
    pub cycles: usize,
}

/// Cycles where nothing is said.
const CYCLES: usize = 5;

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde asks for
fn is_usual(cycles: &usize) -> bool {
    *cycles == CYCLES
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self { name: ScheduleName::Cosine, warm_up: 0.1, every: 5, factor: 0.5, cycles: CYCLES }
    }
}

impl ScheduleConfig {
    /// Checks every field.
    pub(crate) fn check(&self) -> Result<(), NnError> {
        if !(0.0..=1.0).contains(&self.warm_up) {
            return Err(NnError::setting("schedule.warm_up", "0 to 1", self.warm_up));
        }
        if self.every == 0 {
            return Err(NnError::setting("schedule.every", "1 or more", self.every));
        }
        if self.cycles < 2 {
            return Err(NnError::setting("schedule.cycles", "2 or more", self.cycles));
        }
        if !(self.factor > 0.0 && self.factor <= 1.0) {
            return Err(NnError::setting("schedule.factor", "above 0 and at most 1", self.factor));
        }
        Ok(())
    }

    /// The learning rate at a step from 0, of `epochs` epochs of `steps` steps each.
    pub(crate) fn rate(&self, peak: f32, step: u32, steps: usize, epochs: usize) -> f32 {
        let total = (steps * epochs) as u32;
        if self.name == ScheduleName::Cyclic {
            let cycle = total.div_ceil(self.cycles as u32).max(1);
            let done = f64::from(step % cycle) / f64::from(cycle);
            return peak * (0.5 * (1.0 + (std::f64::consts::PI * done).cos())) as f32;
        }
        let warm = ((f64::from(total) * f64::from(self.warm_up)) as u32).max(1);
        if step < warm {
            return peak * (step + 1) as f32 / warm as f32;
        }
        match self.name {
            ScheduleName::Cosine => {
                let done = f64::from(step - warm) / f64::from((total - warm.min(total)).max(1));
                peak * (0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())) as f32
            }
            ScheduleName::Constant | ScheduleName::Cyclic => peak,
            ScheduleName::Step => {
                let drops = step as usize / steps.max(1) / self.every;
                (f64::from(peak) * f64::from(self.factor).powf(drops as f64)) as f32
            }
        }
    }

    /// In words, for a model card.
    pub(crate) fn in_words(&self) -> String {
        let then = match self.name {
            ScheduleName::Cosine => "then half a cosine to 0".to_owned(),
            ScheduleName::Constant => "then constant".to_owned(),
            ScheduleName::Step => format!("times {} every {} epochs", self.factor, self.every),
            ScheduleName::Cyclic => return format!("{} cycles, each half a cosine to 0", self.cycles),
        };
        format!("warm-up over {} of the steps, {then}", self.warm_up)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn list(v: &serde_json::Value) -> Vec<f32> {
        serde_json::from_value(v.clone()).unwrap()
    }

    #[test]
    fn steps_are_pytorchs() {
        let adamw: serde_json::Value = serde_json::from_str(include_str!("../tests/golden/resnet.json")).unwrap();
        steps_are(&adamw["adamw"], &OptimiserConfig::default());
        let golden: serde_json::Value = serde_json::from_str(include_str!("../tests/golden/training.json")).unwrap();
        for case in golden["sgd"].as_array().unwrap() {
            let momentum = case["momentum"].as_f64().unwrap() as f32;
            steps_are(case, &OptimiserConfig { name: OptimiserName::Sgd, momentum, ..OptimiserConfig::default() });
        }
    }

    fn steps_are(golden: &serde_json::Value, config: &OptimiserConfig) {
        let (mut values, mut optimiser) = (list(&golden["values"]), Optimiser::new(config));
        let decay = golden["decay"].as_f64().unwrap() as f32;
        for step in golden["steps"].as_array().unwrap() {
            optimiser.begin_step();
            let rate = step["rate"].as_f64().unwrap() as f32;
            optimiser.update("p", &mut values, &list(&step["gradient"]), rate, decay);
            for (ours, want) in values.iter().zip(list(&step["values"])) {
                assert!((ours - want).abs() < 1e-6, "{config:?}: {ours} instead of {want}");
            }
        }
        // What is saved goes on as if it had not been.
        let mut state = StateDict::new();
        optimiser.to_state(&mut state);
        assert!(!state.is_empty());
        let mut again = Optimiser::from_state(config, &mut state, optimiser.steps);
        let mut copy = values.clone();
        for (optimiser, values) in [(&mut optimiser, &mut values), (&mut again, &mut copy)] {
            optimiser.begin_step();
            optimiser.update("p", values, &[0.5; 8], 0.01, 0.1);
        }
        assert_eq!(values, copy);
        assert!(state.is_empty());
    }

    #[test]
    fn the_rate_rises_for_a_tenth_and_falls_to_zero() {
        let cosine = ScheduleConfig::default();
        let rates: Vec<f32> = (0..100).map(|s| cosine.rate(2.0, s, 10, 10)).collect();
        assert!(rates[..10].windows(2).all(|w| w[0] < w[1]));
        assert_eq!(rates[9], 2.0);
        assert!(rates[10..].windows(2).all(|w| w[0] >= w[1]));
        assert!((rates[55] - 1.0).abs() < 1e-6 && rates[99] < 0.001);
        assert!(cosine.rate(2.0, 0, 1, 1).is_finite());
        let all = ScheduleConfig { warm_up: 1.0, ..cosine.clone() };
        assert_eq!((all.rate(2.0, 4, 1, 10), all.rate(2.0, 10, 1, 10)), (1.0, 2.0));
        let constant = ScheduleConfig { name: ScheduleName::Constant, warm_up: 0.0, ..cosine };
        assert!((0..100).all(|s| constant.rate(2.0, s, 10, 10) == 2.0));
    }

    /// PyTorch's `LinearLR` for the warm-up, `CosineAnnealingLR` and `StepLR` after it.
    #[test]
    fn rates_are_pytorchs() {
        let golden: serde_json::Value = serde_json::from_str(include_str!("../tests/golden/training.json")).unwrap();
        for case in golden["schedules"].as_array().unwrap() {
            let config: ScheduleConfig = serde_json::from_value(case["schedule"].clone()).unwrap();
            let [steps, epochs] = serde_json::from_value(case["steps_and_epochs"].clone()).unwrap();
            let rates = list(&case["rates"]);
            assert_eq!(rates.len(), steps * epochs);
            for (step, want) in rates.into_iter().enumerate() {
                let ours = config.rate(0.5, step as u32, steps, epochs);
                assert!((ours - want).abs() < 1e-6, "{config:?}, step {step}: {ours} instead of {want}");
            }
        }
    }
}
