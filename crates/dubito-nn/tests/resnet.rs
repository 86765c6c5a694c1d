//! Parity of logits with torchvision's ResNet-18, through weights that are a formula of name and index.
#![allow(clippy::unwrap_used)]

use burn::tensor::{Device, Tensor};
use dubito_nn::{Architecture, Array, Detector, Init, NetworkConfig, NnError, read_state, write_state};

mod formula;

use formula::{config, image};

const RESNET: Architecture = Architecture::Resnet18;

fn network(device: &Device) -> Detector {
    let net = formula::detector(RESNET, &formula::config(), device);
    // 62 weights and biases, 40 running statistics.
    assert_eq!(net.to_state().len(), 102);
    net
}

fn small(width: usize, classes: usize) -> NetworkConfig {
    NetworkConfig { width: Some(width), ..NetworkConfig::new(classes) }
}

#[test]
fn logits_are_torchvisions() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/resnet.json")).unwrap();
    let device = Device::flex();
    let net = network(&device);
    for case in golden["inference"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let shape: [usize; 4] = serde_json::from_value(case["shape"].clone()).unwrap();
        let logits: Vec<Vec<f32>> = serde_json::from_value(case["logits"].clone()).unwrap();
        let images = image(name, shape, &device);
        let ours = net.forward(images).unwrap().into_data();
        for (ours, want) in ours.iter::<f32>().zip(logits.into_iter().flatten()) {
            assert!((ours - want).abs() < 1e-4 * want.abs().max(1.0), "{name}: {ours} instead of {want}");
        }
    }
}

#[test]
fn weights_go_to_a_file_and_back_unchanged() {
    let device = Device::flex();
    let net = network(&device);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights.safetensors");
    net.save(&path).unwrap();
    assert_eq!(read_state(&path).unwrap(), net.to_state());
    let again = Detector::load(RESNET, &config(), &path, &device).unwrap();
    assert_eq!(again.to_state(), net.to_state());
}

#[test]
fn a_state_dict_that_does_not_fit_names_the_tensor_and_both_shapes() {
    let device = Device::flex();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights.safetensors");
    let small = small(4, 2);
    let good = Detector::new(RESNET, &small, Init::Dct, 0, &device).unwrap().to_state();
    let load = |state: &dubito_nn::StateDict| {
        write_state(&path, state).unwrap();
        Detector::load(RESNET, &small, &path, &device)
    };
    assert!(load(&good).is_ok());

    let mut missing = good.clone();
    missing.remove("layer3.1.bn2.running_var");
    let error = load(&missing).unwrap_err();
    assert!(matches!(&error, NnError::MissingTensor { name, .. } if name == "layer3.1.bn2.running_var"));
    assert!(error.to_string().contains("[16]"), "{error}");

    let mut extra = good.clone();
    extra.insert("layer5.weight".to_owned(), Array { shape: vec![1], values: vec![0.0] });
    assert!(matches!(load(&extra).unwrap_err(), NnError::ExtraTensor { name, .. } if name == "layer5.weight"));

    let mut other = good.clone();
    let fc = other.get_mut("fc.weight").unwrap();
    fc.shape = vec![3, 32];
    fc.values = vec![0.0; 96];
    let error = load(&other).unwrap_err().to_string();
    assert!(error.contains("`fc.weight`") && error.contains("[3, 32]") && error.contains("[2, 32]"), "{error}");
}

#[test]
fn images_of_the_wrong_shape_are_errors() {
    let device = Device::flex();
    let net = Detector::new(RESNET, &small(4, 2), Init::Kaiming, 0, &device).unwrap();
    for shape in [[1, 4, 64, 64], [1, 3, 31, 64], [0, 3, 64, 64]] {
        assert!(matches!(net.forward(Tensor::zeros(shape, &device)), Err(NnError::Input { .. })));
    }
    for config in [NetworkConfig::new(1), small(0, 2)] {
        assert!(matches!(Detector::new(RESNET, &config, Init::Kaiming, 0, &device), Err(NnError::Setting { .. })));
    }
}

#[test]
fn stages_one_by_one_are_the_whole() {
    let device = Device::flex();
    let net = Detector::new(RESNET, &small(8, 3), Init::Dct, 0, &device).unwrap();
    // Odd sizes: halves are rounded up.
    let x = image("stages", [2, 3, 45, 38], &device);
    let whole: Vec<f32> = net.forward(x.clone()).unwrap().into_data().iter::<f32>().collect();
    let mut map = x;
    for (stage, want) in [[2, 12, 10, 8], [2, 12, 10, 8], [2, 6, 5, 16], [2, 3, 3, 32], [2, 2, 2, 64], [2, 1, 1, 3]]
        .into_iter()
        .enumerate()
    {
        map = net.forward_stages(map, stage..stage + 1).unwrap();
        assert_eq!(map.dims(), want);
    }
    assert_eq!(map.into_data().iter::<f32>().collect::<Vec<_>>(), whole);
    let wrong = Tensor::zeros([1, 4, 4, 9], &device);
    assert!(matches!(net.forward_stages(wrong.clone(), 2..4), Err(NnError::Input { .. })));
    assert!(matches!(net.forward_stages(wrong, 2..7), Err(NnError::Setting { .. })));
}

#[test]
fn initial_weights_are_a_function_of_the_seed() {
    let device = Device::flex();
    let config = small(8, 2);
    let state = |seed| Detector::new(RESNET, &config, Init::Kaiming, seed, &device).unwrap().to_state();
    assert_eq!(state(1), state(1));
    assert_ne!(state(1), state(2));
    // He's variance: 2 / (out * k * k).
    let conv = &state(1)["layer4.0.conv2.weight"];
    let mean_square = conv.values.iter().map(|v| v * v).sum::<f32>() / conv.values.len() as f32;
    assert!((mean_square * 64.0 * 9.0 / 2.0 - 1.0).abs() < 0.05);
    // The cosine basis has no mean, so a flat image leaves no trace.
    let dct = Detector::new(RESNET, &config, Init::Dct, 1, &device).unwrap().to_state();
    for filter in dct["conv1.weight"].values.chunks_exact(147).take(6) {
        assert!(filter.iter().sum::<f32>().abs() < 1e-5);
    }
}
