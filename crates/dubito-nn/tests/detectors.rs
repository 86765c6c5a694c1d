//! Every network is Bayesian and trainable: samples equal whole passes, training lowers the loss and is deterministic.
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use dubito_nn::rng::{Purpose, Stream};
use dubito_nn::{
    Architecture, AugmentConfig, Boundary, Detector, Init, McDropoutPosterior, MemoryCrops, NetworkConfig, NnError,
    Posterior, Run, TrainConfig, read_state, train,
};

const NETWORKS: [Architecture; 6] = [
    Architecture::Resnet18,
    Architecture::MobilenetV2,
    Architecture::MobilenetV3Small,
    Architecture::EfficientnetB0,
    Architecture::EfficientnetB4,
    Architecture::Xception,
];

fn images(items: usize, size: usize) -> Tensor<4> {
    let mut stream = Stream::new(Purpose::Other, 2, 0, 0);
    let values: Vec<f32> = (0..items * 3 * size * size).map(|_| stream.normal()).collect();
    Tensor::from_data(TensorData::new(values, [items, 3, size, size]), &Device::flex())
}

fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    t.into_data().iter::<f32>().collect()
}

/// A random network whose logits are as large as 1, so that no probability is 0 or 1.
fn of_moderate_logits(architecture: Architecture, config: &NetworkConfig) -> Detector {
    let device = Device::flex();
    let mut state = Detector::new(architecture, config, Init::Kaiming, 5, &device).unwrap().to_state();
    let part = |part| format!("{}.{part}", architecture.classifier());
    state.get_mut(&part("bias")).unwrap().values.fill(0.0);
    let net = Detector::from_state(architecture, config, &state, &device).unwrap();
    let largest = values(net.forward(images(2, 48)).unwrap().abs()).into_iter().fold(0.0, f32::max);
    state.get_mut(&part("weight")).unwrap().values.iter_mut().for_each(|v| *v /= largest);
    Detector::from_state(architecture, config, &state, &device).unwrap()
}

#[test]
fn samples_from_any_boundary_are_whole_passes_with_the_same_masks() {
    let config = NetworkConfig::new(3);
    for architecture in NETWORKS {
        let net = of_moderate_logits(architecture, &config);
        for boundary in [Boundary::Head, Boundary::Stage(3), Boundary::All] {
            let posterior = McDropoutPosterior::new(net.clone(), boundary, 0.3).unwrap();
            let x = images(2, 48);
            let drawn = values(posterior.draw(x.clone(), 0..3, 11).unwrap());
            let whole: Vec<Tensor<3>> =
                (0..3).map(|t| posterior.whole_pass(x.clone(), t, 11).unwrap().reshape([2, 1, 3])).collect();
            let whole = values(Tensor::cat(whole, 1));
            for (a, b) in drawn.iter().zip(&whole) {
                assert!((a - b).abs() < 1e-5, "{architecture} {boundary}: {a} {b}");
            }
            assert!(
                drawn[..3].iter().zip(&drawn[3..6]).any(|(a, b)| (a - b).abs() > 1e-5),
                "{architecture} {boundary}"
            );
            // The same whatever is drawn with it.
            let alone = values(posterior.draw(x.clone().narrow(0, 1, 1), 2..3, 11).unwrap());
            for (a, b) in alone.iter().zip(&drawn[15..]) {
                assert!((a - b).abs() < 1e-6, "{architecture} {boundary}: {a} {b}");
            }
        }
    }
}

/// Four crops: two dark, two bright, with noise.
fn crops(group: u32) -> MemoryCrops {
    const SIZE: usize = 48;
    let pixels = (0..4u32)
        .flat_map(|i| {
            let mut stream = Stream::new(Purpose::Other, 7, i, group);
            (0..SIZE * SIZE * 3).map(move |_| (60.0 + 100.0 * f32::from(i % 2 == 1) + stream.range(0.0, 60.0)) as u8)
        })
        .collect();
    MemoryCrops::new(SIZE as u32, pixels, vec![0, 1, 0, 1], vec![group; 4]).unwrap()
}

#[test]
fn a_few_steps_lower_the_loss_and_two_runs_are_the_same_to_the_bit() {
    for detector in NETWORKS {
        let config = TrainConfig {
            detector,
            epochs: 3,
            batch: 4,
            augment: AugmentConfig::none(),
            patience: 0,
            dropout: 0.0,
            ..TrainConfig::default()
        };
        let make = || {
            let dir = tempfile::tempdir().unwrap();
            let go_on = &mut |_| ControlFlow::Continue(());
            let report = train(&config, &crops(0), &crops(1), None, dir.path(), &Device::flex(), go_on).unwrap();
            (dir, report)
        };
        let (dir, report) = make();
        let losses: Vec<f64> = report.history.iter().map(|h| h.train_loss).collect();
        assert!(losses[2] < losses[0], "{detector}: {losses:?}");
        // Checkpoints of the larger ones take long to write; they are made of the same operations.
        if !matches!(detector, Architecture::Xception | Architecture::EfficientnetB4) {
            let (again, second) = make();
            assert_eq!(report.history, second.history);
            let read = |dir: &tempfile::TempDir| read_state(&dir.path().join("weights.safetensors")).unwrap();
            assert!(read(&dir) == read(&again), "{detector}");
        }

        let run = Run::load(dir.path()).unwrap();
        assert_eq!(run.config.detector, detector);
        let expected = detector.preprocessing();
        assert_eq!(run.config.preprocessing.normalisation, expected.normalisation);
        assert_eq!((run.config.preprocessing.input_size, run.config.preprocessing.margin), (48, expected.margin));
        let posterior = run.posterior(&Device::flex()).unwrap();
        let batch = run.batch(&[100; 48 * 48 * 3], &Device::flex()).unwrap();
        // Preprocessing is the configuration's: grey 100 of 255, normalised.
        let pixel = values(batch.clone())[0];
        assert!(
            (pixel - (100.0 / 255.0 - expected.normalisation.mean[0]) / expected.normalisation.std[0]).abs() < 1e-6
        );
        assert_eq!(posterior.draw(batch, 0..2, 0).unwrap().dims(), [1, 2, 2]);
    }
}

#[test]
fn a_run_of_the_old_format_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), r#"{"version": 1, "detector": "resnet18"}"#).unwrap();
    let error = Run::load(dir.path()).unwrap_err();
    assert!(matches!(error, NnError::Corrupt { .. }));
    assert!(error.to_string().contains("train the detector again"), "{error}");
}
