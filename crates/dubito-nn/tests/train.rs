//! Training learns, resumes bit for bit, stops when told, and refuses what it cannot train on.
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use dubito_nn::rng::{Purpose, Stream};
use dubito_nn::{
    AugmentConfig, Boundary, CropError, Crops, EpochRecord, LossConfig, MemoryCrops, NnError, OptimiserConfig,
    OptimiserName, Run, ScheduleConfig, ScheduleName, TrainConfig, TrainProgress, TrainReport, read_state, train,
};

const SIZE: usize = 32;

/// Crops of noise; those of class 1 are smoothed a little inside a square, as a resampled mouth is.
fn crops(n: usize, seed: u64, group: u32) -> MemoryCrops {
    let mut pixels = Vec::new();
    for i in 0..n {
        let mut stream = Stream::new(Purpose::Other, seed, i as u32, 0);
        let noise: Vec<f32> = (0..SIZE * SIZE * 3).map(|_| stream.range(60.0, 200.0)).collect();
        for y in 0..SIZE {
            for x in 0..SIZE {
                for c in 0..3 {
                    let at = |y: usize, x: usize| noise[(y * SIZE + x) * 3 + c];
                    let inside = i % 2 == 1 && (8..24).contains(&y) && (8..24).contains(&x);
                    let value = if inside {
                        (at(y, x) + at(y + 1, x) + at(y, x + 1) + at(y + 1, x + 1)) / 4.0
                    } else {
                        at(y, x)
                    };
                    pixels.push(value as u8);
                }
            }
        }
    }
    let classes = (0..n).map(|i| i % 2).collect();
    MemoryCrops::new(SIZE as u32, pixels, classes, vec![group; n]).unwrap()
}

fn at_rate(learning_rate: f32) -> OptimiserConfig {
    OptimiserConfig { learning_rate, ..OptimiserConfig::default() }
}

fn config() -> TrainConfig {
    TrainConfig {
        epochs: 4,
        batch: 16,
        width: Some(8),
        optimiser: at_rate(3e-3),
        freeze: Some("stem".to_owned()),
        patience: 0,
        seed: 3,
        ..TrainConfig::default()
    }
}

fn run(
    config: &TrainConfig,
    dir: &Path,
    progress: &mut dyn FnMut(TrainProgress) -> ControlFlow<()>,
) -> Result<TrainReport, NnError> {
    train(config, &crops(64, 1, 0), &crops(32, 2, 1), dir, &Device::flex(), progress)
}

fn go_on(_: TrainProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn it_learns_what_can_be_learned_and_leaves_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let config = TrainConfig { epochs: 10, ..config() };
    let mut seen = Vec::new();
    let report = run(&config, dir.path(), &mut |p| {
        seen.push(p);
        ControlFlow::Continue(())
    })
    .unwrap();
    let best = &report.history[report.best_epoch - 1];
    assert!(best.valid_accuracy > 0.9 && best.valid_loss < 0.4, "{report:?}");
    assert_eq!(report.history.len(), 10);
    // Progress counts the trunk's pass (two variants of 64 crops, 32 for validation), then steps.
    let trunk: Vec<_> = seen.iter().filter(|p| p.epoch == 0).collect();
    assert_eq!(trunk.last().map(|p| (p.step, p.steps)), Some((160, 160)));
    assert_eq!(seen.last().map(|p| (p.epoch, p.step, p.steps)), Some((10, 4, 4)));
    let saved: Vec<_> = seen.iter().filter(|p| p.saved).map(|p| (p.epoch, p.valid_loss)).collect();
    let recorded: Vec<_> = report.history.iter().map(|h| (h.epoch, Some(h.valid_loss))).collect();
    assert_eq!(saved, recorded);
    let written = std::fs::read(dir.path().join("history.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Vec<EpochRecord>>(&written).unwrap(), report.history);

    let run = Run::load(dir.path()).unwrap();
    assert_eq!(run.config.class_names, ["real", "fake"]);
    assert_eq!(run.config.epoch, report.best_epoch);
    let device = Device::flex();
    let valid = crops(32, 2, 1);
    let mut bytes = vec![0; 32 * SIZE * SIZE * 3];
    for (i, crop) in bytes.chunks_exact_mut(SIZE * SIZE * 3).enumerate() {
        valid.read(i, crop).unwrap();
    }
    let posterior = run.posterior(&device).unwrap();
    let p = posterior.draw(run.batch(&bytes, &device).unwrap(), 0..20, 1).unwrap();
    let p: Vec<f32> = p.mean_dim(1).into_data().iter::<f32>().collect();
    let right = p.chunks_exact(2).enumerate().filter(|(i, p)| (p[1] > p[0]) == (i % 2 == 1)).count();
    assert!(right >= 28, "{right} of 32");
    assert!(run.batch(&bytes[1..], &device).is_err());
    let card = std::fs::read_to_string(dir.path().join("model_card.md")).unwrap();
    assert!(card.contains("real / fake") && card.contains("32 x 32 pixels"));
    for said in ["AdamW, learning rate 0.003, weight decay 0.01", "then half a cosine", "| loss | cross-entropy,"] {
        assert!(card.contains(said), "{card}");
    }
}

#[test]
fn stopped_anywhere_and_resumed_it_comes_to_the_same_bits() {
    let plain = TrainConfig { epochs: 3, dropout: 0.3, boundary: Boundary::Stage(3), ..config() };
    let every_option = TrainConfig {
        freeze: None,
        optimiser: OptimiserConfig { name: OptimiserName::Sgd, ..at_rate(0.05) },
        schedule: ScheduleConfig { name: ScheduleName::Step, every: 1, ..ScheduleConfig::default() },
        loss: LossConfig { label_smoothing: 0.1, focal: 0.5, real_fake: 0.5, ..LossConfig::default() },
        augment: AugmentConfig { compression: 0.5, downscale: 0.5, ..AugmentConfig::default() },
        ..plain.clone()
    };
    for config in [TrainConfig { freeze: Some("layer1".into()), ..plain }, every_option] {
        let whole = tempfile::tempdir().unwrap();
        let uninterrupted = run(&config, whole.path(), &mut go_on).unwrap();
        let parts = tempfile::tempdir().unwrap();
        for (epoch, step) in [(1, 2), (2, 3), (3, 1)] {
            let stopped = run(&config, parts.path(), &mut |p| {
                if (p.epoch, p.step) == (epoch, step) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert!(matches!(stopped, Err(NnError::Stopped { epoch: e }) if e == epoch - 1));
            assert!(Run::load(parts.path()).is_err());
        }
        // What a recipe is called is not what is trained.
        let config = TrainConfig { recipe: "by another name".into(), ..config };
        let resumed = run(&config, parts.path(), &mut go_on).unwrap();
        assert_eq!(resumed.history, uninterrupted.history);
        for file in ["weights.safetensors", "checkpoint.safetensors"] {
            let read = |dir: &tempfile::TempDir| read_state(&dir.path().join(file)).unwrap();
            assert!(read(&whole) == read(&parts), "{file} differs");
        }
        // A finished run is left as it is.
        let again = run(&config, parts.path(), &mut |_| ControlFlow::Break(())).unwrap();
        assert_eq!(again.history, uninterrupted.history);
        assert_eq!(again.images_per_second, None);
    }
}

#[test]
fn a_frozen_trunk_does_not_move() {
    let dir = tempfile::tempdir().unwrap();
    let early = TrainConfig { epochs: 1, ..config() };
    run(&early, dir.path(), &mut go_on).unwrap();
    let other = tempfile::tempdir().unwrap();
    run(&config(), other.path(), &mut go_on).unwrap();
    let state = |dir: &tempfile::TempDir| read_state(&dir.path().join("weights.safetensors")).unwrap();
    let (a, b) = (state(&dir), state(&other));
    for name in ["conv1.weight", "bn1.weight", "bn1.running_mean", "bn1.running_var"] {
        assert_eq!(a[name], b[name], "{name}");
    }
    assert_ne!(a["layer1.0.conv1.weight"], b["layer1.0.conv1.weight"]);
    // Calibrated: a random first layer of zero mean and unit variance would not need it.
    assert!(a["bn1.running_var"].values.iter().all(|&v| v != 1.0));
}

#[test]
fn early_stopping_keeps_the_best_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        TrainConfig { epochs: 30, patience: 2, optimiser: at_rate(0.02), augment: AugmentConfig::none(), ..config() };
    let report = run(&config, dir.path(), &mut go_on).unwrap();
    assert!(report.stopped_early);
    assert_eq!(report.history.len(), report.best_epoch + 2);
    let lowest = report.history.iter().map(|h| h.valid_loss).fold(f64::MAX, f64::min);
    assert_eq!(report.valid_loss, lowest);
}

#[test]
fn a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let config = TrainConfig { optimiser: at_rate(1e30), ..config() };
    let error = run(&config, dir.path(), &mut go_on).unwrap_err();
    assert!(matches!(error, NnError::Diverged { epoch: 1, .. }), "{error}");
    assert!(error.to_string().contains("learning_rate"), "{error}");
    assert!(Run::load(dir.path()).is_err());
}

/// Crops whose seventh cannot be read.
struct Broken(MemoryCrops);

impl Crops for Broken {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn size(&self) -> u32 {
        self.0.size()
    }
    fn class(&self, i: usize) -> usize {
        self.0.class(i)
    }
    fn group(&self, i: usize) -> u32 {
        self.0.group(i)
    }
    fn read(&self, i: usize, out: &mut [u8]) -> Result<(), CropError> {
        if i == 7 {
            return Err("clip.safetensors is cut short".into());
        }
        self.0.read(i, out)
    }
}

#[test]
fn what_cannot_be_trained_on_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let (good, valid) = (crops(16, 1, 0), crops(8, 2, 1));
    let attempt = |config: &TrainConfig, a: &dyn Crops, b: &dyn Crops| {
        train(config, a, b, &dir.path().join("run"), &device, &mut go_on).unwrap_err().to_string()
    };
    let ok = config();
    assert!(attempt(&ok, &good, &good).contains("identity 0 is in the training and the validation"));
    assert!(attempt(&ok, &good, &crops(0, 2, 1)).contains("0 validation"));
    assert!(attempt(&ok, &crops(1, 1, 0), &valid).contains("1 training"));
    assert!(attempt(&ok, &Broken(crops(16, 1, 0)), &valid).contains("crop 7 cannot be read: clip"));
    let names = |names: &[&str]| TrainConfig { class_names: names.iter().map(|&n| n.to_owned()).collect(), ..config() };
    assert!(attempt(&names(&["a"]), &good, &valid).contains("class_names"));
    assert!(attempt(&names(&["a", "b", "c"]), &good, &valid).contains("no training crop is of class `c`"));
    for (bad, field) in [
        (TrainConfig { epochs: 0, ..config() }, "epochs"),
        (TrainConfig { batch: 1, ..config() }, "batch"),
        (TrainConfig { optimiser: at_rate(f32::NAN), ..config() }, "optimiser.learning_rate"),
        (TrainConfig { dropout: 1.0, ..config() }, "dropout"),
        (TrainConfig { width: Some(1), ..config() }, "width"),
        (TrainConfig { freeze: Some("layer9".into()), ..config() }, "freeze"),
        (TrainConfig { freeze: Some("head".into()), ..config() }, "freeze"),
        (TrainConfig { freeze: Some("layer2".into()), boundary: Boundary::Stage(2), ..config() }, "freeze"),
    ] {
        let error = attempt(&bad, &good, &valid);
        assert!(error.contains(&format!("`{field}`")), "{error}");
    }
    assert!(MemoryCrops::new(32, vec![0; 100], vec![0], vec![0]).is_err());
}

#[test]
fn a_checkpoint_of_another_configuration_or_cut_short_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = TrainConfig { epochs: 1, ..config() };
    run(&config, dir.path(), &mut go_on).unwrap();
    let other = TrainConfig { seed: 4, ..config.clone() };
    let error = run(&other, dir.path(), &mut go_on).unwrap_err().to_string();
    assert!(error.contains("another configuration"), "{error}");
    let path = dir.path().join("checkpoint.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = run(&config, dir.path(), &mut go_on).unwrap_err().to_string();
    assert!(error.contains("checkpoint.safetensors"), "{error}");
}

#[test]
fn a_configuration_is_read_with_defaults_and_unknown_fields_are_named() {
    let config: TrainConfig =
        serde_json::from_str(r#"{"epochs": 3, "boundary": "stage:4", "augment": {"flip": 0}}"#).unwrap();
    assert_eq!(config.boundary, Boundary::Stage(4));
    assert_eq!((config.epochs, config.batch), (3, 32));
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), config);
    let error = serde_json::from_str::<TrainConfig>(r#"{"epoch": 3}"#).unwrap_err().to_string();
    assert!(error.contains("`epoch`"), "{error}");
    let error = serde_json::from_str::<TrainConfig>(r#"{"boundary": "stage:9"}"#).unwrap_err().to_string();
    assert!(error.contains("stage:1"), "{error}");
}
