//! Parity of the detectors' logits with the original implementations, through weights that are a formula.
#![allow(clippy::unwrap_used)]

use burn::tensor::Device;
use dubito_nn::{Architecture, Detector, Init, NetworkConfig, NnError, Node, read_state};

mod formula;

#[test]
fn logits_are_those_of_the_original_implementations() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/networks.json")).unwrap();
    let device = Device::flex();
    let signals: serde_json::Value = serde_json::from_str(include_str!("golden/signal_networks.json")).unwrap();
    let networks = || [&golden, &signals].into_iter().flat_map(|golden| golden["networks"].as_object().unwrap());
    assert_eq!(networks().count(), 7 + 4);
    for (name, golden) in networks() {
        let window = signals["window"][name].as_u64().map(|n| n as usize);
        let config = NetworkConfig { window, ..formula::config() };
        let net = formula::detector(name.parse().unwrap(), &config, &device);
        assert_eq!(net.to_state().len(), golden["arrays"].as_u64().unwrap() as usize, "{name}");
        // The scale is how far apart the logits of different images are: more than rounding must be right.
        let cases = golden["inference"].as_array().unwrap();
        let all: Vec<Vec<f32>> = cases
            .iter()
            .flat_map(|case| serde_json::from_value::<Vec<Vec<f32>>>(case["logits"].clone()).unwrap())
            .collect();
        let spread = |class: usize| {
            let of = |pick: fn(f32, f32) -> f32, from| all.iter().map(|row| row[class]).fold(from, pick);
            of(f32::max, f32::MIN) - of(f32::min, f32::MAX)
        };
        let scale = (0..5).map(spread).fold(0.0, f32::max);
        for case in cases {
            let shape: [usize; 4] = serde_json::from_value(case["shape"].clone()).unwrap();
            let logits: Vec<Vec<f32>> = serde_json::from_value(case["logits"].clone()).unwrap();
            let images = formula::image(case["name"].as_str().unwrap(), shape, &device);
            let ours: Vec<f32> = net.forward(images).unwrap().into_data().iter::<f32>().collect();
            let want: Vec<f32> = logits.into_iter().flatten().collect();
            let worst = ours.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / scale;
            println!("{name} {shape:?}: {worst:.1e} of the logits' spread");
            assert!(worst < 1e-4, "{name} {shape:?}: {ours:?} instead of {want:?}");
        }
    }
}

#[test]
fn a_walk_tells_every_shape_and_ends_at_the_logits() {
    let config = NetworkConfig::new(7);
    for architecture in Architecture::ALL {
        let network = architecture.network(&config).unwrap();
        let [h, w, _] = architecture.preprocessing().shape();
        let (mut nodes, mut largest) = (0, 0);
        let mut layers = std::collections::BTreeSet::new();
        let end = network
            .walk([h, w], &mut |visit| {
                nodes += 1;
                largest = largest.max(visit.output.iter().product());
                assert!(visit.input.iter().all(|&n| n > 0) && visit.output.iter().all(|&n| n > 0));
                for p in visit.node.parameters() {
                    assert!(layers.insert(p.name));
                }
                if *visit.node == Node::Dropout {
                    assert_eq!(visit.input[2], network.channels(visit.stage), "{architecture}");
                }
            })
            .unwrap();
        assert_eq!(end, [1, 1, 7]);
        assert_eq!(layers.len(), network.parameters().len());
        assert!(nodes > 15 && largest > 100_000);
        // Each halving of the resolution is a stage, and each stage has one dropout.
        assert_eq!(network.stages.len(), if architecture == Architecture::Fakecatcher { 4 } else { 6 });
        for stage in &network.stages {
            assert_eq!(stage.nodes.iter().filter(|node| **node == Node::Dropout).count(), 1, "{architecture}");
        }
        assert!(layers.contains(&format!("{}.weight", architecture.classifier())));
    }
}

#[test]
fn architectures_are_known_by_name_and_say_whether_they_take_a_width_or_a_window() {
    for architecture in Architecture::ALL {
        assert_eq!(architecture.name().parse::<Architecture>().unwrap(), architecture);
        let text = serde_json::to_string(&architecture).unwrap();
        assert_eq!(serde_json::from_str::<Architecture>(&text).unwrap(), architecture);
        architecture.preprocessing().check().unwrap();
        let narrow = NetworkConfig { width: Some(16), ..NetworkConfig::new(2) };
        let is_ours = architecture.signal().is_some();
        assert_eq!(architecture.network(&narrow).is_ok(), is_ours || architecture == Architecture::Resnet18);
        let short = NetworkConfig { window: Some(32), ..NetworkConfig::new(2) };
        assert_eq!(architecture.network(&short).is_ok(), is_ours && architecture != Architecture::PpgCells);
    }
    let error = "resnet50".parse::<Architecture>().unwrap_err().to_string();
    assert!(error.contains("mobilenet_v2") && error.contains("resnet50"), "{error}");
}

#[test]
fn weights_go_out_and_in_unchanged_and_begin_by_their_seed() {
    let device = Device::flex();
    let config = NetworkConfig::new(2);
    for architecture in [Architecture::MobilenetV3Small, Architecture::EfficientnetB0] {
        let state = |seed| Detector::new(architecture, &config, Init::Dct, seed, &device).unwrap().to_state();
        let one = state(1);
        assert_eq!(one, state(1));
        assert_ne!(one, state(2));
        let again = Detector::from_state(architecture, &config, &one, &device).unwrap();
        assert_eq!(again.to_state(), one);
        let other = Detector::from_state(Architecture::MobilenetV2, &config, &one, &device);
        assert!(matches!(other, Err(NnError::MissingTensor { .. } | NnError::TensorShape { .. })));
    }
}

/// ImageNet's weights, which `golden/imagenet.py` unpacks into a file that the variable names.
#[test]
fn logits_with_the_weights_of_imagenet_are_torchvisions() {
    let Some(path) = std::env::var_os("DUBITO_IMAGENET_MOBILENET_V2") else {
        println!("skipped: no weights (DUBITO_IMAGENET_MOBILENET_V2; see tests/golden/imagenet.py)");
        return;
    };
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/imagenet.json")).unwrap();
    let device = Device::flex();
    let state = read_state(path.as_ref()).unwrap();
    let config = NetworkConfig::new(1000);
    let net = Detector::from_state(Architecture::MobilenetV2, &config, &state, &device).unwrap();
    for case in golden.as_array().unwrap() {
        let shape: [usize; 4] = serde_json::from_value(case["shape"].clone()).unwrap();
        let want: Vec<f32> = serde_json::from_value(case["logits"].clone()).unwrap();
        let images = formula::image(case["name"].as_str().unwrap(), shape, &device);
        let ours: Vec<f32> = net.forward(images).unwrap().into_data().iter::<f32>().collect();
        let scale = ours.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        let worst = ours.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / scale;
        println!("{shape:?}: {worst:.1e} of the logits' scale");
        assert!(worst < 1e-4, "{shape:?}: {worst}");
        let largest = ours.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
        assert_eq!(largest as u64, case["largest"].as_u64().unwrap());
    }
}
