//! What training makes small: a weighted sum of losses, each checked against PyTorch.

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::NnError;
use crate::parameter::values_of;

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
    /// Weight of the accuracy versus uncertainty loss (AvUC, Krishnan and Tickoo 2020), 0 or more: a step's crops are to be
    /// certain where they are right, and uncertain where they are wrong. The paper takes 3, beside the cross-entropy.
    #[serde(skip_serializing_if = "is_zero")]
    pub avuc: f32,
    /// A crop counts as certain up to this entropy, in parts of the largest one, ln(classes): above 0 and below 1. The others
    /// do not read it.
    #[serde(skip_serializing_if = "is_half")]
    pub avuc_threshold: f32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde asks for
fn is_zero(value: &f32) -> bool {
    *value == 0.0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde asks for
fn is_half(value: &f32) -> bool {
    *value == 0.5
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            cross_entropy: 1.0,
            label_smoothing: 0.0,
            focal: 0.0,
            focal_gamma: 2.0,
            real_fake: 0.0,
            avuc: 0.0,
            avuc_threshold: 0.5,
        }
    }
}

impl LossConfig {
    /// Checks every field; `real_fake` needs a class `real`.
    pub(super) fn check(&self, class_names: &[String]) -> Result<(), NnError> {
        for (field, weight) in [
            ("loss.cross_entropy", self.cross_entropy),
            ("loss.focal", self.focal),
            ("loss.real_fake", self.real_fake),
            ("loss.avuc", self.avuc),
        ] {
            if !(0.0..=1e6).contains(&weight) {
                return Err(NnError::setting(field, "0 to 1e6", weight));
            }
        }
        if self.cross_entropy + self.focal + self.real_fake == 0.0 {
            let expected = "above 0, where neither `loss.focal` nor `loss.real_fake` is";
            return Err(NnError::setting("loss.cross_entropy", expected, self.cross_entropy));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(NnError::setting("loss.label_smoothing", "0 or more and less than 1", self.label_smoothing));
        }
        if !(self.avuc_threshold > 0.0 && self.avuc_threshold < 1.0) {
            return Err(NnError::setting("loss.avuc_threshold", "above 0 and below 1", self.avuc_threshold));
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
        if self.avuc > 0.0 {
            terms.push(self.accuracy_versus_uncertainty(&log_p, labels, device) * self.avuc);
        }
        let sum = terms.into_iter().reduce(|a, b| a + b);
        sum.unwrap_or_else(|| log_p.sum() * 0.0)
    }

    /// -ln of the part that accurate and certain or inaccurate and uncertain crops have of all (equations 1 and 2 of Krishnan
    /// and Tickoo 2020): each counts by its confidence, or by what is missing from it, and by tanh of its entropy, or by what
    /// is missing from that.
    fn accuracy_versus_uncertainty(&self, log_p: &Tensor<2>, labels: &[usize], device: &Device) -> Tensor<1> {
        let [items, classes] = log_p.dims();
        let threshold = self.avuc_threshold * (classes as f32).ln();
        // Which of the four a crop is, by its numbers: 1 where it is right, and where it is certain.
        let (mut right, mut certain) = (Vec::with_capacity(items), Vec::with_capacity(items));
        for (row, &label) in values_of(log_p.clone()).chunks_exact(classes).zip(labels) {
            let entropy = -row.iter().map(|l| l.exp() * l).sum::<f32>();
            right.push(f32::from(u8::from(row.iter().all(|&other| other <= row[label]))));
            certain.push(f32::from(u8::from(entropy <= threshold)));
        }
        let column = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [items, 1]), device);
        let wanted = right.iter().zip(&certain).map(|(r, c)| f32::from(u8::from(r == c))).collect();
        let (right, certain, wanted) = (column(right), column(certain), column(wanted));
        let p = log_p.clone().exp();
        let doubt = (p.clone() * log_p.clone()).sum_dim(1).neg().tanh();
        let confidence = p.max_dim(1);
        // x where the flag is 1, 1 - x where it is 0.
        let either = |flag: Tensor<2>, x: Tensor<2>| (flag.clone() * 2.0 - 1.0) * x + (flag.neg() + 1.0);
        let counted = either(right, confidence) * either(certain.neg() + 1.0, doubt);
        const LEAST: f32 = 1e-10;
        let part = (counted.clone() * wanted).sum() / (counted.sum() + LEAST);
        -(part + LEAST).log()
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
            (self.avuc, format!("accuracy versus uncertainty (threshold {} of ln(classes))", self.avuc_threshold)),
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
        assert_eq!(cases.len(), 10);
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
            let config = LossConfig { focal: 1.0, focal_gamma, real_fake: 1.0, avuc: 1.0, ..LossConfig::default() };
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
            (LossConfig { avuc: f32::INFINITY, ..ok.clone() }, "loss.avuc"),
            (LossConfig { avuc_threshold: 0.0, ..ok.clone() }, "loss.avuc_threshold"),
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
