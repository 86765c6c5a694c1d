//! Weights and images that are a formula of name and index, as in golden/resnet.py.
#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Tensor, TensorData};
use dubito_nn::{Architecture, Detector, Init, NetworkConfig};

/// As `formula` in golden/resnet.py.
pub fn formula(name: &str, n: usize) -> Vec<f32> {
    let seed = name.bytes().fold(2_166_136_261u32, |h, b| (h ^ u32::from(b)).wrapping_mul(16_777_619));
    (0..n as u32)
        .map(|i| {
            let mut h = i.wrapping_mul(2_654_435_761) ^ seed;
            h ^= h >> 16;
            h = h.wrapping_mul(0x85EB_CA6B);
            h ^= h >> 13;
            h = h.wrapping_mul(0xC2B2_AE35);
            h ^= h >> 16;
            (f64::from(h >> 8) / f64::from(1 << 24) - 0.5) as f32
        })
        .collect()
}

/// As `weight` in golden/resnet.py.
pub fn weight(name: &str, shape: &[usize]) -> Vec<f32> {
    let fan_in = shape[1..].iter().product::<usize>() as f32;
    let (scale, offset) = match shape.len() {
        4 | 5 => ((24.0 / fan_in).sqrt(), 0.0),
        2 => ((12.0 / fan_in).sqrt(), 0.0),
        _ if name.ends_with("running_var") || name.ends_with("weight") => (0.4, 1.0),
        _ => (0.4, 0.0),
    };
    formula(name, shape.iter().product()).into_iter().map(|u| offset + scale * u).collect()
}

pub fn config() -> NetworkConfig {
    NetworkConfig::new(5)
}

pub fn detector(architecture: Architecture, config: &NetworkConfig, device: &Device) -> Detector {
    let mut state = Detector::new(architecture, config, Init::Kaiming, 0, device).unwrap().to_state();
    for (name, array) in &mut state {
        array.values = weight(name, &array.shape);
    }
    Detector::from_state(architecture, config, &state, device).unwrap()
}

/// As `image` in golden/resnet.py.
pub fn image(name: &str, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values = formula(name, shape.iter().product());
    let values: Vec<f32> = values.into_iter().map(|u| 4.0 * u).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}
