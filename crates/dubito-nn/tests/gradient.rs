//! Gradients with respect to the input are PyTorch's, for every architecture; a black box says that it has none.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use burn::tensor::{Device, Tensor};
use dubito_nn::{
    Architecture, Detector, Deterministic, NetworkConfig, NnError, OnnxDetector, OnnxOptions, Posterior, input_gradient,
};
use serde_json::Value;

mod formula;

fn list(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn gradients_of_every_architecture_are_pytorchs() {
    let golden: Value = serde_json::from_str(include_str!("golden/gradients.json")).unwrap();
    let device = Device::flex();
    let step = golden["step"].as_u64().unwrap() as usize;
    let networks = golden["networks"].as_object().unwrap();
    assert_eq!(networks.len(), 12);
    for (name, golden_one) in networks {
        let window = golden["window"][name].as_u64().map(|n| n as usize);
        let config = NetworkConfig { window, ..formula::config() };
        let architecture: Architecture = name.parse().unwrap();
        let mut state = formula::detector(architecture, &config, &device).to_state();
        // Formula weights can make logits so large that every probability is 0 or 1: the last layer is scaled down.
        let scale = golden_one["scale"].as_f64().unwrap();
        for part in ["weight", "bias"] {
            let array = state.get_mut(&format!("{}.{part}", architecture.classifier())).unwrap();
            array.values.iter_mut().for_each(|v| *v = (f64::from(*v) * scale) as f32);
        }
        let net = Detector::from_state(architecture, &config, &state, &device).unwrap();
        let shape: [usize; 4] = serde_json::from_value(golden_one["shape"].clone()).unwrap();
        let labels = list(&golden_one["labels"]);
        let x = formula::image(golden_one["image"].as_str().unwrap(), shape, &device);
        let loss = |p: Tensor<3>| {
            let of = |i: usize| p.clone().slice([i..i + 1, 0..1, labels[i] as usize..labels[i] as usize + 1]);
            -Tensor::cat((0..2).map(|i| of(i).reshape([1])).collect(), 0).log()
        };
        let (values, gradient) = input_gradient(&Deterministic::new(net), x, 0..1, 0, &loss).unwrap();
        for (ours, want) in values.iter().zip(list(&golden_one["loss"])) {
            assert!((f64::from(*ours) - want).abs() < 1e-4 * want.max(1.0), "{name}: loss {ours} {want}");
        }
        let gradient: Vec<f64> = gradient.into_data().iter::<f64>().collect();
        let one = gradient.len() / 2;
        let against = formula::formula("against", 2 * one);
        let lengths = list(&golden_one["length"]);
        for i in 0..2 {
            let (ours, length) = (&gradient[i * one..(i + 1) * one], lengths[i]);
            let norm = ours.iter().map(|g| g * g).sum::<f64>().sqrt();
            let product: f64 = ours.iter().zip(&against[i * one..]).map(|(g, &a)| g * f64::from(a)).sum();
            let want = list(&golden_one["values"][i]);
            let worst = ours.iter().step_by(step).zip(&want).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            let scale = want.iter().map(|v| v * v).sum::<f64>().sqrt();
            let product_error = (product - golden_one["product"][i].as_f64().unwrap()).abs() / length;
            let errors = [(norm - length).abs() / length, worst / scale, product_error];
            println!("{name} {i}: {errors:?}");
            assert!(errors.iter().all(|&e| e < 1e-4), "{name} {i}: {errors:?}");
        }
    }
}

#[test]
fn an_onnx_file_says_that_it_has_no_gradient() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/onnx_detectors/two_logits.onnx");
    let detector = OnnxDetector::open(&path, OnnxOptions::default()).unwrap();
    let size = detector.size() as usize;
    let x = Tensor::zeros([1, 3, size, size], detector.device());
    let objective = |p: Tensor<3>| p.narrow(2, 1, 1).mean_dim(1).reshape([1]);
    let error = input_gradient(&detector, x, 0..2, 0, &objective).unwrap_err();
    assert!(matches!(error, NnError::NotDifferentiable) && error.to_string().contains("ONNX"), "{error}");
}

#[test]
fn an_objective_that_mixes_items_is_an_error() {
    let net = formula::detector("mobilenet_v3_small".parse().unwrap(), &formula::config(), &Device::flex());
    let x = formula::image("gradient", [2, 3, 32, 32], &Device::flex());
    let error = input_gradient(&Deterministic::new(net), x, 0..1, 0, &|p| p.sum()).unwrap_err().to_string();
    assert!(error.contains("one value for each item") && error.contains("[1]"), "{error}");
}
