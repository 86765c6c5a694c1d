//! Maps against captum's and PyTorch's, against finite differences, and against themselves in other batches.
#![allow(clippy::unwrap_used)]

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData, activation};
use dubito_nn::{
    Architecture, Boundary, Detector, Deterministic, Explained, Init, McDropoutPosterior, Method, NetworkConfig,
    NnError, Posterior, Quantity, Sink, grad_cam, vanishing,
};

mod formula;

const RESNET: Architecture = Architecture::Resnet18;
/// As in golden/maps.py.
const TEMPERATURE: f32 = 20.0;

/// The posterior of golden/maps.py: sample t is network t.
struct Networks(Vec<Detector>);

impl Posterior for Networks {
    fn classes(&self) -> usize {
        self.0[0].config().classes
    }

    fn device(&self) -> &Device {
        self.0[0].device()
    }

    fn stream(&self, batch: Tensor<4>, samples: Range<u32>, _: u64, sink: &mut Sink<'_>) -> Result<(), NnError> {
        for sample in samples {
            let logits = self.0[sample as usize].forward(batch.clone())? / TEMPERATURE;
            let p = activation::softmax(logits, 1);
            let [items, classes] = p.dims();
            sink(sample..sample + 1, p.reshape([items, 1, classes]))?;
        }
        Ok(())
    }
}

/// The network of golden/resnet.py with `prefix` before each name.
fn network(prefix: &str, device: &Device) -> Detector {
    let mut state = formula::detector(RESNET, &formula::config(), device).to_state();
    for (name, array) in &mut state {
        array.values = formula::weight(&format!("{prefix}{name}"), &array.shape);
    }
    Detector::from_state(RESNET, &formula::config(), &state, device).unwrap()
}

fn explained(posterior: &dyn Posterior, samples: u32, quantity: Quantity) -> Explained<'_> {
    Explained { posterior, samples: 0..samples, seed: 3, quantity, real: Some(0), deviation: [1.0; 3] }
}

/// Sums of 16 x 16 pixels of a map of 64 x 64.
fn grid(map: &[f32]) -> Vec<f64> {
    let mut sums = vec![0.0; 16];
    for (i, v) in map.iter().enumerate() {
        sums[i / 64 / 16 * 4 + i % 64 / 16] += f64::from(*v);
    }
    sums
}

/// That two lists are the same but for a part of their largest number.
fn near(name: &str, ours: &[f64], want: &[f64], part: f64) {
    let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    assert_eq!(ours.len(), want.len());
    for (ours, want) in ours.iter().zip(want) {
        assert!((ours - want).abs() < part * largest, "{name}: {ours} instead of {want} (largest {largest})");
    }
}

#[test]
fn maps_are_captums() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/maps.json")).unwrap();
    let number = |name: &str| golden[name].as_f64().unwrap();
    let lists = |value: &serde_json::Value| serde_json::from_value::<Vec<Vec<f64>>>(value.clone()).unwrap();
    let device = Device::flex();
    let posterior = Networks(vec![network("", &device), network("other ", &device)]);
    let images = formula::image("map", [2, 3, 64, 64], &device) * 0.5;
    let blur = number("blur") as f32;
    let (patch, stride) = (number("patch") as usize, number("stride") as usize);
    for quantity in Quantity::ALL {
        let want = &golden["quantities"][quantity.name()];
        let of = explained(&posterior, 2, quantity);
        let values = of.values(images.clone()).unwrap();
        near(quantity.name(), &values, &serde_json::from_value::<Vec<f64>>(want["values"].clone()).unwrap(), 1e-3);
        for method in [
            Method::Gradient,
            Method::TimesInput,
            Method::Integrated { steps: number("steps") as u32, blur },
            Method::Occlusion { patch, stride, blur },
        ] {
            let name = format!("{} of {}", method.name(), quantity.name());
            let maps = of.maps(method, &images).unwrap();
            for (item, map) in maps.iter().enumerate() {
                assert!((map.value - values[item]).abs() < 1e-5, "{name}");
                near(&name, &grid(&map.pixels), &lists(&want[method.name()])[item], 1e-2);
                if let Some(completeness) = map.completeness {
                    let gap = want["gap"][item].as_f64().unwrap();
                    assert!((completeness.gap() - gap).abs() < 1e-2 * gap.max(completeness.difference.abs()), "{name}");
                }
            }
        }
    }
    let maps = grad_cam(&posterior.0[0], images, &|logits| logits.narrow(1, 1, 1).squeeze_dim(1)).unwrap();
    for (map, want) in maps.iter().zip(lists(&golden["grad_cam"])) {
        near("grad_cam", &grid(map), &want, 1e-3);
    }
}

fn small() -> McDropoutPosterior {
    let config = NetworkConfig { width: Some(4), ..NetworkConfig::new(2) };
    let net = Detector::new(RESNET, &config, Init::Kaiming, 5, &Device::flex()).unwrap();
    // Batch norm of many pictures: of few, at the last map's single pixel, it is as steep as chance makes it.
    let images = formula::image("calibration", [64, 3, 64, 64], &Device::flex()) * 0.5;
    McDropoutPosterior::new(net.randomised(5, images).unwrap(), Boundary::Stage(2), 0.3).unwrap()
}

fn images(items: usize) -> Tensor<4> {
    formula::image("items", [items, 3, 32, 32], &Device::flex()) * 0.5
}

/// A step along the gradient changes each quantity by its length; what uncertainty decomposes into adds up.
#[test]
fn gradients_are_the_slopes_of_the_quantities() {
    let posterior = small();
    let mut lengths = Vec::new();
    for quantity in Quantity::ALL {
        let of = explained(&posterior, 8, quantity);
        let (_, gradient) = of.gradient(images(1)).unwrap();
        let length = gradient.clone().powi_scalar(2).sum().sqrt().into_scalar::<f32>();
        let step = gradient * (2e-3 / length);
        let at = |sign: f32| of.values(images(1) + step.clone() * sign).unwrap()[0];
        let slope = (at(1.0) - at(-1.0)) / 4e-3;
        assert!((slope / f64::from(length) - 1.0).abs() < 0.05, "{quantity:?}: {slope} and {length}");
        lengths.push(length);
    }
    assert!(lengths.iter().all(|length| *length > 1e-6), "{lengths:?}");
    let values = Quantity::ALL.map(|quantity| explained(&posterior, 8, quantity).values(images(2)).unwrap());
    assert!((0..2).all(|i| (values[0][i] - values[1][i] - values[2][i]).abs() < 1e-9 && values[2][i] > 1e-4));
}

#[test]
fn integrated_gradients_add_up_as_the_steps_get_finer() {
    let posterior = small();
    let gap = |steps| {
        let of = explained(&posterior, 8, Quantity::Total);
        let map = &of.maps(Method::Integrated { steps, blur: 4.0 }, &(images(1) * 0.2)).unwrap()[0];
        let found = map.completeness.unwrap();
        assert!((map.pixels.iter().map(|v| f64::from(*v)).sum::<f64>() - found.sum).abs() < 1e-5);
        found.gap() / found.difference.abs()
    };
    let (coarse, fine) = (gap(2), gap(512));
    assert!(fine < 0.05 && fine < coarse, "{coarse} and {fine}");
}

#[test]
fn a_map_is_the_same_in_any_batch() {
    let posterior = small();
    let of = explained(&posterior, 4, Quantity::Epistemic);
    for method in [
        Method::Gradient,
        Method::Smooth { copies: 3, sigma: 20.0 },
        Method::Integrated { steps: 3, blur: 2.0 },
        Method::Occlusion { patch: 12, stride: 8, blur: 3.0 },
    ] {
        let together = of.maps(method, &images(3)).unwrap();
        let alone = of.maps(method, &images(3).narrow(0, 2, 1)).unwrap();
        let as_f64 = |map: &[f32]| map.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        near(method.name(), &as_f64(&alone[0].pixels), &as_f64(&together[2].pixels), 1e-3);
        assert_ne!(together[0].pixels, together[2].pixels);
    }
}

/// One network has no epistemic uncertainty, and no map of it; noise of no size leaves the gradient.
#[test]
fn what_is_known_beforehand() {
    let posterior = small();
    let of = explained(&posterior, 4, Quantity::Total);
    let plain = of.maps(Method::Gradient, &images(2)).unwrap();
    let still = of.maps(Method::Smooth { copies: 2, sigma: 0.0 }, &images(2)).unwrap();
    let noisy = of.maps(Method::Smooth { copies: 2, sigma: 30.0 }, &images(2)).unwrap();
    for ((plain, still), noisy) in plain.iter().zip(&still).zip(&noisy) {
        let largest = plain.pixels.iter().fold(0.0f32, |m, v| m.max(*v));
        assert!(plain.pixels.iter().zip(&still.pixels).all(|(a, b)| (a - b).abs() < 1e-4 * largest));
        assert_ne!(plain.pixels, noisy.pixels);
        // The unit is that of a pixel's value from 0 to 1: with another deviation the same gradient counts otherwise.
        let halved = Explained { deviation: [0.5; 3], ..of.clone() };
        let twice = &halved.maps(Method::Gradient, &images(2)).unwrap()[0].pixels;
        let first = &of.maps(Method::Gradient, &images(2)).unwrap()[0].pixels;
        assert!(twice.iter().zip(first).all(|(a, b)| (a - 2.0 * b).abs() < 1e-4 * largest));
    }
    let config = NetworkConfig { width: Some(4), ..NetworkConfig::new(2) };
    let one = Deterministic::new(Detector::new(RESNET, &config, Init::Kaiming, 5, &Device::flex()).unwrap());
    let found = explained(&one, 4, Quantity::Epistemic).maps(Method::Gradient, &images(1)).unwrap();
    assert!(found[0].value.abs() < 1e-9 && found[0].gradient.unwrap() < 1e-6, "{:?}", found[0].gradient);

    assert_eq!(vanishing(&[1.0, 2.0, 1e-9, 0.0, f64::NAN, 1.5], 1e-3), [false, false, true, true, true, false]);
    assert_eq!(vanishing(&[0.0, 0.0], 1e-3), [true, true]);
}

#[test]
fn settings_out_of_range_are_named() {
    let posterior = small();
    let of = explained(&posterior, 2, Quantity::Total);
    let refused = |of: &Explained<'_>, method| of.maps(method, &images(1)).unwrap_err().to_string();
    assert!(refused(&of, Method::Smooth { copies: 0, sigma: 1.0 }).contains("copies"));
    assert!(refused(&of, Method::Smooth { copies: 1, sigma: f32::NAN }).contains("sigma"));
    assert!(refused(&of, Method::Integrated { steps: 0, blur: 1.0 }).contains("steps"));
    assert!(refused(&of, Method::Occlusion { patch: 4, stride: 0, blur: 1.0 }).contains("stride"));
    let none = Explained { real: None, quantity: Quantity::PFake, ..of.clone() };
    assert!(refused(&none, Method::Gradient).contains("p_fake"));
    let empty = Explained { samples: 0..0, ..of.clone() };
    assert!(refused(&empty, Method::Gradient).contains("samples"));
    // A patch larger than the picture covers all of it.
    let whole = of.maps(Method::Occlusion { patch: 99, stride: 1, blur: 3.0 }, &images(1)).unwrap();
    assert!(whole[0].pixels.iter().all(|v| *v == whole[0].pixels[0]) && whole[0].pixels[0] != 0.0);
    let random = TensorData::new(vec![0.0f32; 12], [1, 3, 2, 2]);
    let tiny = Tensor::from_data(random, &Device::flex());
    assert!(of.maps(Method::Gradient, &tiny).is_err());
}
