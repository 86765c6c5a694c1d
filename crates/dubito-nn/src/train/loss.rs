//! What training makes small: a weighted sum of losses, each checked against PyTorch.

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::NnError;

/// The class that is nobody's forgery.
const REAL: &str = "real";

/// The loss of a training: the sum of some losses, each times its weight and a mean over the batch, in nats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossConfig {
    /// Weight of the cross-entropy of the classes, 0 or more.
    pub cross_entropy: f32,
    /// The part of each label that the cross-entropy spreads evenly over all classes (Szegedy et al. 2016), 0 or more
    /// and less than 1.
    pub label_smoothing: f32,
    /// Weight of the focal loss (Lin et al. 2017), the cross-entropy of each crop times (1 - p)^gamma, p being the
    /// probability of its class: 0 or more.
    pub focal: f32,
    /// The focal loss's gamma, 0 to 10; at 0 it is the cross-entropy.
    pub focal_gamma: f32,
    /// Weight of the cross-entropy of `real` against all other classes together, 0 or more: for several classes, what
    /// the verdict is about.
    pub real_fake: f32,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self { cross_entropy: 1.0, label_smoothing: 0.0, focal: 0.0, focal_gamma: 2.0, real_fake: 0.0 }
    }
}

impl LossConfig {
    /// Checks every field; `real_fake` needs a class `real`.
    pub(super) fn check(&self, class_names: &[String]) -> Result<(), NnError> {
        for (field, weight) in
            [("loss.cross_entropy", self.cross_entropy), ("loss.focal", self.focal), ("loss.real_fake", self.real_fake)]
        {
            if !(weight >= 0.0 && weight.is_finite()) {
                return Err(NnError::setting(field, "0 or more", weight));
            }
        }
        if self.cross_entropy + self.focal + self.real_fake == 0.0 {
            let expected = "above 0, where neither `loss.focal` nor `loss.real_fake` is";
            return Err(NnError::setting("loss.cross_entropy", expected, self.cross_entropy));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(NnError::setting("loss.label_smoothing", "0 or more and less than 1", self.label_smoothing));
        }
        if !(0.0..=10.0).contains(&self.focal_gamma) {
            return Err(NnError::setting("loss.focal_gamma", "0 to 10", self.focal_gamma));
        }
        if self.real_fake > 0.0 && !class_names.iter().any(|name| name == REAL) {
            let expected = format!("0, as no class is called `{REAL}` (the classes are {})", class_names.join(", "));
            return Err(NnError::setting("loss.real_fake", expected, self.real_fake));
        }
        Ok(())
    }

    /// The loss of log-probabilities `[items, classes]`, with the class of each item; a tensor of one number.
    pub(super) fn of(&self, log_p: Tensor<2>, labels: &[usize], class_names: &[String], device: &Device) -> Tensor<1> {
        let (items, classes) = (labels.len(), class_names.len());
        let one_hot = |scale: f32, rest: f32| {
            let mut values = vec![rest; items * classes];
            for (row, &class) in labels.iter().enumerate() {
                values[row * classes + class] = scale + rest;
            }
            Tensor::<2>::from_data(TensorData::new(values, [items, classes]), device)
        };
        let mut terms = Vec::new();
        if self.cross_entropy > 0.0 {
            let (weight, smooth) = (-self.cross_entropy / items as f32, self.label_smoothing);
            terms.push((log_p.clone() * one_hot(weight * (1.0 - smooth), weight * smooth / classes as f32)).sum());
        }
        if self.focal > 0.0 {
            let own = (log_p.clone() * one_hot(1.0, 0.0)).sum_dim(1);
            // Where p is 1 to rounding the power has no finite derivative for gammas below 1.
            let missing = (own.clone().exp().neg() + 1.0).clamp_min(1e-7);
            let weight = -self.focal / items as f32;
            terms.push((missing.powf_scalar(self.focal_gamma) * own).sum() * weight);
        }
        if let (true, Some(real)) = (self.real_fake > 0.0, class_names.iter().position(|name| name == REAL)) {
            let columns = |from: usize, to: usize| log_p.clone().slice([0..items, from..to]);
            let others = match real {
                0 => columns(1, classes),
                last if last + 1 == classes => columns(0, last),
                _ => Tensor::cat(vec![columns(0, real), columns(real + 1, classes)], 1),
            };
            // log(1 - P(real)), from what the other classes have.
            let most = others.clone().detach().max_dim(1);
            let log_fake = (others - most.clone()).exp().sum_dim(1).log() + most;
            let two = Tensor::cat(vec![columns(real, real + 1), log_fake], 1);
            let mut values = vec![0.0; 2 * items];
            for (row, &class) in labels.iter().enumerate() {
                values[2 * row + usize::from(class != real)] = -self.real_fake / items as f32;
            }
            terms.push((two * Tensor::from_data(TensorData::new(values, [items, 2]), device)).sum());
        }
        let sum = terms.into_iter().reduce(|a, b| a + b);
        sum.unwrap_or_else(|| log_p.sum() * 0.0)
    }

    /// In words, for a model card.
    pub(super) fn in_words(&self) -> String {
        let smoothed = match self.label_smoothing {
            0.0 => String::new(),
            part => format!(" (labels smoothed by {part})"),
        };
        let terms = [
            (self.cross_entropy, format!("cross-entropy{smoothed}")),
            (self.focal, format!("focal loss (gamma {})", self.focal_gamma)),
            (self.real_fake, "cross-entropy of real against the rest".to_owned()),
        ];
        let used = terms.iter().filter(|(weight, _)| *weight > 0.0);
        let said: Vec<String> =
            used.map(|(w, name)| if *w == 1.0 { name.clone() } else { format!("{w} x {name}") }).collect();
        said.join(" + ")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::activation;

    use super::*;
    use crate::parameter::values_of;

    /// The value and the gradient of the logits, beside PyTorch's in double precision.
    #[test]
    fn losses_and_gradients_are_pytorchs() {
        let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/training.json")).unwrap();
        let golden = &golden["losses"];
        let rows: Vec<Vec<f32>> = serde_json::from_value(golden["logits"].clone()).unwrap();
        let labels: Vec<usize> = serde_json::from_value(golden["labels"].clone()).unwrap();
        let shape = [rows.len(), rows[0].len()];
        let device = Device::flex();
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 7);
        for case in cases {
            let config: LossConfig = serde_json::from_value(case["loss"].clone()).unwrap();
            let names: Vec<String> = serde_json::from_value(case["class_names"].clone()).unwrap();
            config.check(&names).unwrap();
            let data = TensorData::new(rows.concat(), shape);
            let logits = Tensor::<2>::from_data(data, &device).autodiff().require_grad();
            let loss = config.of(activation::log_softmax(logits.clone(), 1), &labels, &names, &device);
            let value = values_of(loss.clone().inner())[0];
            let want = case["value"].as_f64().unwrap() as f32;
            assert!((value - want).abs() < 1e-5 * want.max(1.0), "{config:?}: {value} instead of {want}");
            let ours = values_of(logits.grad(&loss.backward()).unwrap());
            let want: Vec<Vec<f32>> = serde_json::from_value(case["gradient"].clone()).unwrap();
            for (ours, want) in ours.iter().zip(want.concat()) {
                assert!((ours - want).abs() < 1e-6, "{config:?}: gradient {ours} instead of {want}");
            }
        }
    }

    /// Probabilities of 0 and 1 to rounding leave value and gradient finite.
    #[test]
    fn certainty_is_no_reason_to_diverge() {
        let device = Device::flex();
        let names = ["a", "real", "b"].map(str::to_owned);
        for focal_gamma in [0.0, 0.5, 2.0] {
            let config = LossConfig { focal: 1.0, focal_gamma, real_fake: 1.0, ..LossConfig::default() };
            let data = TensorData::new(vec![200.0f32, -200.0, 0.0, -90.0, 90.0, 0.0], [2, 3]);
            let logits = Tensor::<2>::from_data(data, &device).autodiff().require_grad();
            for labels in [[0, 1], [1, 0], [2, 2]] {
                let loss = config.of(activation::log_softmax(logits.clone(), 1), &labels, &names, &device);
                assert!(values_of(loss.clone().inner())[0].is_finite());
                let gradient = values_of(logits.grad(&loss.backward()).unwrap());
                assert!(gradient.iter().all(|g| g.is_finite()), "{focal_gamma} {labels:?}: {gradient:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        let names = ["real", "fake"].map(str::to_owned);
        let ok = LossConfig::default();
        for (bad, field) in [
            (LossConfig { cross_entropy: 0.0, ..ok.clone() }, "loss.cross_entropy"),
            (LossConfig { focal: -1.0, ..ok.clone() }, "loss.focal"),
            (LossConfig { label_smoothing: 1.0, ..ok.clone() }, "loss.label_smoothing"),
            (LossConfig { focal_gamma: f32::NAN, ..ok.clone() }, "loss.focal_gamma"),
        ] {
            assert!(bad.check(&names).unwrap_err().to_string().contains(field));
        }
        let two = LossConfig { real_fake: 0.5, ..ok };
        assert!(two.check(&names).is_ok());
        assert!(two.check(&["a".to_owned(), "b".to_owned()]).unwrap_err().to_string().contains("a, b"));
        assert_eq!(two.in_words(), "cross-entropy + 0.5 x cross-entropy of real against the rest");
    }
}
