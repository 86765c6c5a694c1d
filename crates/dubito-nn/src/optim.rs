//! AdamW and its learning-rate schedule, on the host: exact to resume, the same on every device.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::state::{Array, StateDict};

/// AdamW (Loshchilov and Hutter 2019) with PyTorch's defaults: betas 0.9 and 0.999, epsilon 1e-8.
#[derive(Debug, Clone, Default)]
pub(crate) struct AdamW {
    moments: BTreeMap<String, [Vec<f32>; 2]>,
    /// Steps made.
    pub(crate) steps: u32,
}

impl AdamW {
    const BETAS: [f32; 2] = [0.9, 0.999];
    const EPSILON: f32 = 1e-8;

    /// Begins a step; [`AdamW::update`] then is called once for each parameter.
    pub(crate) fn begin_step(&mut self) {
        self.steps += 1;
    }

    /// Moves one parameter against its gradient. `decay` is the decoupled weight decay.
    pub(crate) fn update(&mut self, name: &str, values: &mut [f32], gradient: &[f32], rate: f32, decay: f32) {
        let n = values.len();
        let [m, v] = self.moments.entry(name.to_owned()).or_insert_with(|| [vec![0.0; n], vec![0.0; n]]);
        let [b1, b2] = Self::BETAS;
        let correct = |beta: f32| (1.0 - f64::from(beta).powf(f64::from(self.steps))) as f32;
        let (step, root) = (rate / correct(b1), correct(b2).sqrt());
        const CHUNK: usize = 1 << 14;
        values
            .par_chunks_mut(CHUNK)
            .zip(gradient.par_chunks(CHUNK))
            .zip(m.par_chunks_mut(CHUNK))
            .zip(v.par_chunks_mut(CHUNK))
            .for_each(|(((values, gradient), m), v)| {
                for (((p, &g), m), v) in values.iter_mut().zip(gradient).zip(m).zip(v) {
                    *m += (g - *m) * (1.0 - b1);
                    *v = b2 * *v + (1.0 - b2) * g * g;
                    *p -= rate * decay * *p;
                    *p -= step * *m / (v.sqrt() / root + Self::EPSILON);
                }
            });
    }

    /// The moments as flat arrays, `adam.m/NAME` and `adam.v/NAME`.
    pub(crate) fn to_state(&self, state: &mut StateDict) {
        for (name, moments) in &self.moments {
            for (prefix, values) in ["adam.m/", "adam.v/"].iter().zip(moments) {
                let array = Array { shape: vec![values.len()], values: values.clone() };
                state.insert(format!("{prefix}{name}"), array);
            }
        }
    }

    /// Takes the moments out of a state dict that [`AdamW::to_state`] filled.
    pub(crate) fn from_state(state: &mut StateDict, steps: u32) -> Self {
        let names: Vec<String> = state.keys().filter_map(|k| k.strip_prefix("adam.m/").map(str::to_owned)).collect();
        let mut take = |key: String| state.remove(&key).map(|a| a.values).unwrap_or_default();
        let moments = names
            .into_iter()
            .map(|name| {
                let m = take(format!("adam.m/{name}"));
                let v = take(format!("adam.v/{name}"));
                (name, [m, v])
            })
            .collect();
        Self { moments, steps }
    }
}

/// The learning rate at a step from 0: linear warm-up over the first tenth, then half a cosine to 0
/// (Loshchilov and Hutter 2017).
pub(crate) fn scheduled_rate(peak: f32, step: u32, total: u32) -> f32 {
    let warm = (total / 10).max(1);
    if step < warm {
        return peak * (step + 1) as f32 / warm as f32;
    }
    let done = f64::from(step - warm) / f64::from((total - warm).max(1));
    peak * (0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())) as f32
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_pytorchs() {
        let golden: serde_json::Value = serde_json::from_str(include_str!("../tests/golden/resnet.json")).unwrap();
        let list = |v: &serde_json::Value| serde_json::from_value::<Vec<f32>>(v.clone()).unwrap();
        let golden = &golden["adamw"];
        let (mut values, mut adamw) = (list(&golden["values"]), AdamW::default());
        for step in golden["steps"].as_array().unwrap() {
            adamw.begin_step();
            adamw.update("p", &mut values, &list(&step["gradient"]), step["rate"].as_f64().unwrap() as f32, 0.1);
            for (ours, want) in values.iter().zip(list(&step["values"])) {
                assert!((ours - want).abs() < 1e-6, "{ours} instead of {want}");
            }
        }
        // What is saved goes on as if it had not been.
        let mut state = StateDict::new();
        adamw.to_state(&mut state);
        let mut again = AdamW::from_state(&mut state, adamw.steps);
        let mut copy = values.clone();
        for (adamw, values) in [(&mut adamw, &mut values), (&mut again, &mut copy)] {
            adamw.begin_step();
            adamw.update("p", values, &[0.5; 8], 0.01, 0.1);
        }
        assert_eq!(values, copy);
        assert!(state.is_empty());
    }

    #[test]
    fn the_rate_rises_for_a_tenth_and_falls_to_zero() {
        let rates: Vec<f32> = (0..100).map(|s| scheduled_rate(2.0, s, 100)).collect();
        assert!(rates[..10].windows(2).all(|w| w[0] < w[1]));
        assert_eq!(rates[9], 2.0);
        assert!(rates[10..].windows(2).all(|w| w[0] >= w[1]));
        assert!((rates[55] - 1.0).abs() < 1e-6 && rates[99] < 0.001);
        assert!(scheduled_rate(2.0, 0, 1).is_finite());
    }
}
