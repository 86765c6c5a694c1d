//! The networks against the published models, and our CPU executor against burn's.
#![allow(clippy::unwrap_used)]

use burn::tensor::Device;
use serde_json::Value;

use crate::FaceModels;
use crate::detect::{blend, decode};
use crate::models::{Model, WEIGHTS};
use crate::network::Network;

/// A face of ellipses, the same pixels as `synthetic_face` of `tests/golden/networks.py` draws.
pub(crate) fn synthetic_face(size: i64, shift: i64) -> Vec<u8> {
    let mut pixels = Vec::new();
    for y in 0..size {
        for x in 0..size {
            let (u, v) = (((x - shift) * 1000).div_euclid(size), (y * 1000).div_euclid(size));
            let mut colour =
                [60 + (u * 60).div_euclid(1000), 80 + (v * 40).div_euclid(1000), 110 + (x * 7 + y * 13) % 17];
            let shade = (u - 500).div_euclid(12).abs();
            let parts = [
                (500, 520, 240, 330, [205 - shade, 160 - shade, 135 - shade]),
                (500, 240, 230, 110, [60, 40, 30]),
                (400, 440, 55, 14, [70, 45, 35]),
                (600, 440, 55, 14, [70, 45, 35]),
                (400, 490, 42, 20, [240; 3]),
                (600, 490, 42, 20, [240; 3]),
                (400, 490, 18, 19, [40, 30, 25]),
                (600, 490, 18, 19, [40, 30, 25]),
                (500, 590, 40, 55, [190, 140, 118]),
                (482, 630, 10, 7, [90, 50, 45]),
                (518, 630, 10, 7, [90, 50, 45]),
                (500, 720, 85, 28, [165, 70, 75]),
                (500, 718, 70, 5, [90, 30, 35]),
            ];
            for (cx, cy, rx, ry, fill) in parts {
                if (u - cx).pow(2) * ry * ry + (v - cy).pow(2) * rx * rx <= rx * rx * ry * ry {
                    colour = fill;
                }
            }
            pixels.extend(colour.map(|c: i64| c.clamp(0, 255) as u8));
        }
    }
    pixels
}

type ToInput = fn(u8) -> f32;

/// Each network's name, its input size and how a pixel becomes an input.
fn inputs() -> [(&'static str, i64, ToInput); 3] {
    let signed: ToInput = |v| f32::from(v) / 127.5 - 1.0;
    let unit: ToInput = |v| f32::from(v) / 255.0;
    [("short_range", 128, signed), ("full_range", 192, signed), ("face_mesh", 192, unit)]
}

fn model<'a>(models: &'a FaceModels, name: &str) -> &'a Model {
    match name {
        "short_range" => &models.short_range,
        "full_range" => &models.full_range,
        _ => &models.mesh,
    }
}

/// The largest difference from the golden values, relative to the output's mean magnitude.
fn error(models: &FaceModels) -> f64 {
    let golden: Value = serde_json::from_str(include_str!("../tests/golden/networks.json")).unwrap();
    let mut worst = 0.0f64;
    for (name, size, to_input) in inputs() {
        for case in golden[name].as_array().unwrap() {
            let image = synthetic_face(size, case["shift"].as_i64().unwrap());
            let image: Vec<f32> = image.into_iter().map(to_input).collect();
            let outputs = model(models, name).run(&image).unwrap();
            for (output, golden) in outputs.iter().zip(case["outputs"].as_array().unwrap()) {
                assert_eq!(output.len() as u64, golden["length"].as_u64().unwrap());
                let values = golden["values"].as_array().unwrap();
                for (ours, theirs) in output.iter().step_by(golden["step"].as_u64().unwrap() as usize).zip(values) {
                    let difference = (f64::from(*ours) - theirs.as_f64().unwrap()).abs();
                    worst = worst.max(difference / golden["mean_magnitude"].as_f64().unwrap());
                }
            }
        }
    }
    worst
}

#[test]
fn cpu_equals_the_published_models() {
    let worst = error(&FaceModels::cpu().unwrap());
    assert!(worst < 1e-4, "relative error {worst}");
}

#[test]
fn burn_equals_the_published_models() {
    let worst = error(&FaceModels::on_device(&Device::flex()).unwrap());
    assert!(worst < 1e-4, "relative error {worst}");
}

#[test]
fn burn_takes_several_images_at_once() {
    let models = FaceModels::on_device(&Device::flex()).unwrap();
    let Model::Device(network) = &*models.short_range else { panic!("burn was asked for") };
    let images = [0, 12].map(|shift| synthetic_face(128, shift).iter().map(|&v| f32::from(v) / 127.5 - 1.0).collect());
    let [first, second]: [Vec<f32>; 2] = images;
    let both = network.run(&[first.clone(), second.clone()].concat()).unwrap();
    for (image, at) in [(first, 0), (second, 1)] {
        for (alone, both) in network.run(&image).unwrap().iter().zip(&both) {
            let part = &both[at * alone.len()..(at + 1) * alone.len()];
            assert!(alone.iter().zip(part).all(|(a, b)| (a - b).abs() < 1e-3), "image {at} differs in company");
        }
    }
}

#[test]
fn damaged_weights_are_an_error_that_names_the_file() {
    let (file, bytes) = WEIGHTS[0];
    let error = Network::parse(file, &bytes[..bytes.len() / 2]).unwrap_err().to_string();
    assert!(error.contains("short_range.safetensors"), "{error}");
    let error = Network::parse(file, b"text").unwrap_err().to_string();
    assert!(error.contains("short_range.safetensors"), "{error}");
}

#[test]
fn blending_averages_by_score() {
    let mut boxes = vec![0.0; 896 * 16];
    let mut scores = vec![-50.0; 896];
    // Two anchors at one place, two pixels apart, with scores 3/4 and 1/2.
    for (anchor, offset, logit) in [(0, 0.0, 3.0f32.ln()), (1, 2.0, 0.0)] {
        boxes[anchor * 16..anchor * 16 + 4].copy_from_slice(&[offset, 0.0, 20.0, 20.0]);
        scores[anchor] = logit;
    }
    let found = blend(decode(&boxes, &scores, 128, 0.4));
    assert_eq!(found.len(), 1);
    assert!((found[0].score - 0.75).abs() < 1e-6);
    // The anchor's centre is (4, 4); the mean centre 4 + 2 * 0.5 / 1.25.
    assert!((found[0].bbox[0] - (4.8 - 10.0)).abs() < 1e-5, "{:?}", found[0].bbox);
    assert!(decode(&boxes, &scores, 128, 0.8).is_empty());
}
