//! Training learns, resumes bit for bit, stops when told, and refuses what it cannot train on.
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use dubito_nn::rng::{Purpose, Stream};
use dubito_nn::{
    AugmentConfig, Boundary, CropError, Crops, EpochRecord, Estimator, Evidential, Inference, Laplace, LossConfig,
    Masksembles, MemoryCrops, NnError, OptimiserConfig, OptimiserName, Prior, Run, ScheduleConfig, ScheduleName, Swag,
    TrainConfig, TrainProgress, TrainReport, Trunk, Variational, Views, read_state, train,
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
    train(config, &crops(64, 1, 0), &crops(32, 2, 1), None, dir, &Device::flex(), progress)
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

fn constant() -> ScheduleConfig {
    ScheduleConfig { name: ScheduleName::Constant, ..ScheduleConfig::default() }
}

fn cyclic(cycles: usize) -> ScheduleConfig {
    ScheduleConfig { name: ScheduleName::Cyclic, cycles, ..ScheduleConfig::default() }
}

fn masksembles(scope: Boundary) -> Inference {
    Inference::Masksembles(Masksembles { scope, ..Masksembles::default() })
}

fn gaussian(settings: Variational) -> TrainConfig {
    TrainConfig { dropout: 0.0, inference: Some(Inference::Variational(settings)), ..config() }
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
    let gaussian = gaussian(Variational { scope: Boundary::Stage(4), ..Variational::default() });
    let swag = Inference::Swag(Swag { scope: Boundary::Stage(4), rank: 2, ..Swag::default() });
    let tail = |config: TrainConfig| TrainConfig { freeze: Some("layer3".into()), epochs: 3, ..config };
    let cases = [
        TrainConfig { freeze: Some("layer1".into()), ..plain },
        every_option,
        tail(gaussian),
        tail(TrainConfig { dropout: 0.0, inference: Some(swag), schedule: constant(), ..config() }),
        tail(TrainConfig { dropout: 0.0, inference: Some(masksembles(Boundary::Stage(4))), ..config() }),
        tail(TrainConfig { schedule: cyclic(3), ..config() }),
    ];
    for config in cases {
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
        let files = ["weights.safetensors", "checkpoint.safetensors", "inference.safetensors"];
        let is_one = Run::load(whole.path()).unwrap().config.inference.is_none();
        for file in &files[..if is_one { 2 } else { 3 }] {
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
        train(config, a, b, None, &dir.path().join("run"), &device, &mut go_on).unwrap_err().to_string()
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

#[test]
fn gaussian_weights_are_fine_tuned_around_trained_ones() {
    let first = tempfile::tempdir().unwrap();
    let trained = run(&TrainConfig { epochs: 8, ..config() }, first.path(), &mut go_on).unwrap();
    let weights = Some(first.path().join("weights.safetensors"));
    let mut divergences = Vec::new();
    for (estimator, prior) in [
        (Estimator::Flipout, Prior::Moped),
        (Estimator::Local, Prior::Moped),
        (Estimator::Reparameterised, Prior::MopedSigma { sigma: 0.05 }),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let settings = Variational { scope: Boundary::Stage(4), estimator, prior, ..Variational::default() };
        let config = TrainConfig {
            epochs: 2,
            optimiser: at_rate(1e-3),
            freeze: Some("layer3".to_owned()),
            weights: weights.clone(),
            ..gaussian(settings)
        };
        let report = run(&config, dir.path(), &mut go_on).unwrap();
        let best = &report.history[report.best_epoch - 1];
        assert!(best.valid_loss < trained.valid_loss + 0.1, "{estimator:?}: {report:?} after {trained:?}");
        divergences.push(best.divergence.unwrap());

        let run = Run::load(dir.path()).unwrap();
        let Some(Inference::Variational(found)) = &run.config.inference else { panic!("{:?}", run.config) };
        assert_eq!(found.items, Some(64), "each crop counts once, however often it is drawn");
        // What lies before the scope is that of the trained run; means and deviations have moved.
        let file = |dir: &Path, file: &str| read_state(&dir.join(file)).unwrap();
        let (before, after) = (file(first.path(), "weights.safetensors"), file(dir.path(), "weights.safetensors"));
        assert_eq!(before["layer3.1.conv2.weight"], after["layer3.1.conv2.weight"]);
        assert_ne!(before["layer4.1.conv2.weight"], after["layer4.1.conv2.weight"]);
        let deviations = file(dir.path(), "inference.safetensors");
        assert!(deviations.keys().all(|name| name.ends_with(".rho")));
        assert_eq!(deviations.len(), 5 + 2, "five convolutions, a linear layer's weight and bias");
        let size = SIZE * SIZE * 3;
        let mut bytes = vec![0; 4 * size];
        bytes.chunks_exact_mut(size).enumerate().for_each(|(i, out)| crops(32, 2, 1).read(i, out).unwrap());
        let device = Device::flex();
        let posterior = run.posterior(&device).unwrap();
        let p = posterior.draw(run.batch(&bytes, &device).unwrap(), 0..8, 1).unwrap();
        let p: Vec<f32> = p.into_data().iter::<f32>().collect();
        assert!(p.iter().all(|p| p.is_finite()) && p[0] != p[2]);
        let card = std::fs::read_to_string(dir.path().join("model_card.md")).unwrap();
        assert!(
            card.contains("Gaussian weights from `stage:4` on") && card.contains("over 64 distinct items"),
            "{card}"
        );
    }
    // The prior of MOPED is where training begins; one wide prior for all weights is far from the narrow posterior.
    assert!(divergences[0] > 0.0 && divergences[2] > 2.0 * divergences[0], "{divergences:?}");
}

#[test]
fn swag_keeps_the_mean_of_what_training_passes_through() {
    let dir = tempfile::tempdir().unwrap();
    let swag = Inference::Swag(Swag { scope: Boundary::Stage(4), ..Swag::default() });
    let config =
        TrainConfig { epochs: 8, dropout: 0.0, inference: Some(swag), patience: 1, schedule: constant(), ..config() };
    let report = run(&config, dir.path(), &mut go_on).unwrap();
    // To the last epoch, whose mean is kept.
    assert_eq!((report.history.len(), report.best_epoch), (8, 8));
    assert!(report.history[7].valid_accuracy > 0.8, "{report:?}");
    let run = Run::load(dir.path()).unwrap();
    let Some(Inference::Swag(found)) = &run.config.inference else { panic!("{:?}", run.config) };
    assert_eq!((found.collected, run.config.epoch), (8, 8));
    // The run is the mean, not what was trained last; before the scope the two are the same.
    let state = |file: &str| read_state(&dir.path().join(file)).unwrap();
    let (mean, last) = (state("weights.safetensors"), state("checkpoint.safetensors"));
    assert_ne!(mean["layer4.1.conv2.weight"], last["layer4.1.conv2.weight"]);
    assert_ne!(mean["layer4.1.bn2.running_var"], last["layer4.1.bn2.running_var"]);
    assert_eq!(mean["layer3.1.conv2.weight"], last["layer3.1.conv2.weight"]);
    let device = Device::flex();
    let posterior = run.posterior(&device).unwrap();
    let p = posterior.draw(run.batch(&vec![99; SIZE * SIZE * 3], &device).unwrap(), 0..4, 1).unwrap();
    let p: Vec<f32> = p.into_data().iter::<f32>().collect();
    assert!(p.iter().all(|p| p.is_finite()) && p[0] != p[2]);
    let card = std::fs::read_to_string(dir.path().join("model_card.md")).unwrap();
    assert!(card.contains("SWAG from `stage:4` on: 8 networks") && card.contains("rank 8"), "{card}");
}

#[test]
fn a_network_is_kept_of_each_cycle() {
    let dir = tempfile::tempdir().unwrap();
    // No early stop, whatever the patience.
    let config = TrainConfig { epochs: 6, patience: 1, schedule: cyclic(3), ..config() };
    let mut ends = Vec::new();
    let report = run(&config, dir.path(), &mut |p| {
        if p.saved && p.epoch.is_multiple_of(2) {
            let state = read_state(&dir.path().join("checkpoint.safetensors")).unwrap();
            ends.push(state["fc.weight"].clone());
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!((report.history.len(), report.best_epoch, ends.len()), (6, 6, 3));
    // The rate begins anew in each cycle and ends near 0.
    let rates: Vec<f32> = report.history.iter().map(|epoch| epoch.learning_rate).collect();
    assert!(rates[1] < 0.1 * rates[0] && rates[2] == rates[0] && rates[3] == rates[1], "{rates:?}");
    let run = Run::load(dir.path()).unwrap();
    let Some(Inference::Ensemble(found)) = &run.config.inference else { panic!("{:?}", run.config) };
    assert_eq!(found.members, 3);
    // The newest first.
    let [weights, others] =
        ["weights.safetensors", "inference.safetensors"].map(|f| read_state(&dir.path().join(f)).unwrap());
    assert_eq!([&weights["fc.weight"], &others["1/fc.weight"], &others["2/fc.weight"]], [&ends[2], &ends[1], &ends[0]]);
    let device = Device::flex();
    let p = run.posterior(&device).unwrap().draw(run.batch(&vec![99; SIZE * SIZE * 3], &device).unwrap(), 0..4, 1);
    let p: Vec<f32> = p.unwrap().into_data().iter::<f32>().collect();
    assert!(p[0] != p[2] && p[2] != p[4] && p[0] == p[6], "{p:?}");
    // Cycles of unlike length, or along with weights that are uncertain themselves.
    let refused = |config: TrainConfig| train_error(&config);
    assert!(refused(TrainConfig { epochs: 5, ..config.clone() }).contains("`schedule.cycles`"));
    assert!(refused(TrainConfig { schedule: cyclic(1), ..config.clone() }).contains("`schedule.cycles`"));
    let masks = Some(masksembles(Boundary::Head));
    assert!(refused(TrainConfig { inference: masks, dropout: 0.0, ..config }).contains("`schedule.name`"));
}

fn train_error(config: &TrainConfig) -> String {
    let dir = tempfile::tempdir().unwrap();
    run(config, dir.path(), &mut go_on).unwrap_err().to_string()
}

#[test]
fn a_network_is_trained_under_the_masks_that_it_is_asked_under() {
    let dir = tempfile::tempdir().unwrap();
    let config = TrainConfig { dropout: 0.0, inference: Some(masksembles(Boundary::Stage(4))), epochs: 8, ..config() };
    let report = run(&config, dir.path(), &mut go_on).unwrap();
    assert!(report.history.iter().any(|epoch| epoch.valid_accuracy > 0.8), "{report:?}");
    let run = Run::load(dir.path()).unwrap();
    assert_eq!(run.config.inference, config.inference);
    let kept = read_state(&dir.path().join("inference.safetensors")).unwrap();
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["masks.4", "masks.5"]);
    let device = Device::flex();
    let valid = crops(32, 2, 1);
    let mut pixels = vec![0; SIZE * SIZE * 3];
    let posterior = run.posterior(&device).unwrap();
    assert_eq!(posterior.networks(), Some(4));
    // Each network has learned it by itself.
    let mut right = [0; 4];
    for i in 0..32 {
        valid.read(i, &mut pixels).unwrap();
        let p = posterior.draw(run.batch(&pixels, &device).unwrap(), 0..4, 1).unwrap();
        let p: Vec<f32> = p.into_data().iter::<f32>().collect();
        p.chunks_exact(2).zip(&mut right).for_each(|(p, n)| *n += i32::from(p[valid.class(i)] > 0.5));
    }
    assert!(right.iter().all(|&n| n > 24), "{right:?}");
    let card = std::fs::read_to_string(dir.path().join("model_card.md")).unwrap();
    assert!(card.contains("Masksembles from `stage:4` on: 4 fixed masks of scale 2"), "{card}");

    let of =
        |settings: Masksembles| TrainConfig { inference: Some(Inference::Masksembles(settings)), ..config.clone() };
    let ok = Masksembles::default();
    assert!(train_error(&of(Masksembles { masks: 1, ..ok.clone() })).contains("`masks`"));
    for scale in [1.0, 6.5, f64::NAN] {
        assert!(train_error(&of(Masksembles { scale, ..ok.clone() })).contains("`scale`"));
    }
    assert!(train_error(&of(Masksembles { scope: Boundary::All, ..ok })).contains("`scope`"));
    assert!(train_error(&TrainConfig { dropout: 0.1, ..config }).contains("`dropout`"));
}

#[test]
fn an_evidential_network_says_how_much_it_has_seen() {
    let dir = tempfile::tempdir().unwrap();
    let evidential = Inference::Evidential(Evidential { annealing: 4 });
    let config = TrainConfig { dropout: 0.0, inference: Some(evidential), epochs: 10, ..config() };
    let report = run(&config, dir.path(), &mut go_on).unwrap();
    assert!(report.history.iter().any(|epoch| epoch.valid_accuracy > 0.8), "{report:?}");
    let run = Run::load(dir.path()).unwrap();
    assert_eq!(run.config.inference, config.inference);
    let device = Device::flex();
    let posterior = run.posterior(&device).unwrap();
    let p = posterior.draw(run.batch(&vec![99; SIZE * SIZE * 3], &device).unwrap(), 0..4, 1).unwrap();
    let p: Vec<f32> = p.into_data().iter::<f32>().collect();
    assert!(p.iter().all(|p| p.is_finite()) && p[0] != p[2], "{p:?}");
    let card = std::fs::read_to_string(dir.path().join("model_card.md")).unwrap();
    assert!(card.contains("evidential"), "{card}");
    assert!(run.views(Views::default(), &device).is_err());
    let none = Some(Inference::Evidential(Evidential { annealing: 0 }));
    assert!(train_error(&TrainConfig { inference: none, ..config.clone() }).contains("`annealing`"));
    let focal = LossConfig { focal: 1.0, ..LossConfig::default() };
    assert!(train_error(&TrainConfig { loss: focal, ..config }).contains("`loss`"));
}

#[test]
fn gaussian_weights_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |config: &TrainConfig| run(config, &dir.path().join("run"), &mut go_on).unwrap_err().to_string();
    let head = || gaussian(Variational::default());
    assert!(refused(&TrainConfig { dropout: 0.1, ..head() }).contains("`dropout`"));
    let frozen = gaussian(Variational { scope: Boundary::Stage(1), ..Variational::default() });
    assert!(
        refused(&TrainConfig { freeze: Some("layer2".to_owned()), ..frozen }).contains("before the scope `stage:1`")
    );
    assert!(refused(&gaussian(Variational { delta: 0.0, ..Variational::default() })).contains("`delta`"));
    assert!(refused(&gaussian(Variational { items: Some(0), ..Variational::default() })).contains("`items`"));
    let laplace = Some(Inference::Laplace(Laplace::default()));
    assert!(refused(&TrainConfig { inference: laplace, ..config() }).contains("begin with a trained run"));
    let swag = Some(Inference::Swag(Swag::default()));
    assert!(refused(&TrainConfig { inference: swag, dropout: 0.0, ..config() }).contains("`schedule.name`"));
    // A checkpoint of another method is not gone on from.
    run(&TrainConfig { epochs: 1, ..config() }, &dir.path().join("run"), &mut go_on).unwrap();
    assert!(refused(&TrainConfig { epochs: 1, ..head() }).contains("another configuration"));
}

#[test]
fn a_shared_trunk_comes_to_the_same_weights() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    run(&TrainConfig { epochs: 1, ..config() }, &at("first"), &mut go_on).unwrap();
    let config = TrainConfig {
        epochs: 2,
        freeze: Some("layer2".to_owned()),
        weights: Some(at("first").join("weights.safetensors")),
        ..config()
    };
    assert!(Trunk::is_shared(&config));
    run(&config, &at("own"), &mut go_on).unwrap();

    // The trunk's maps are of a larger set, in another order; a crop is known by its key.
    let (learned, valid) = (crops(64, 1, 0), crops(32, 2, 1));
    let all = Keyed { of: vec![&valid, &learned], first: vec![1000, 0] };
    let device = Device::flex();
    let mut counts = Vec::new();
    let told = &mut |done, total| {
        counts.push((done, total));
        ControlFlow::Continue(())
    };
    Trunk::compute(&config, &all, &at("trunk"), &device, told).unwrap();
    assert_eq!(counts.last(), Some(&(2 * 96, 2 * 96)));
    let trunk = Trunk::open(&at("trunk")).unwrap();
    let valid = Keyed { of: vec![&valid], first: vec![1000] };
    let shared = |config: &TrainConfig, name: &str| {
        train(config, &learned, &valid, Some(&trunk), &at(name), &device, &mut go_on)
    };
    shared(&config, "shared").unwrap();
    let bytes = |name: &str| std::fs::read(at(name).join("weights.safetensors")).unwrap();
    assert_eq!(bytes("own"), bytes("shared"));

    // Other settings would have made other maps.
    let error = shared(&TrainConfig { seed: 4, ..config.clone() }, "other").unwrap_err().to_string();
    assert!(error.contains("seed"), "{error}");
    // What is there is not made again; what is cut short is refused.
    Trunk::compute(&config, &all, &at("trunk"), &device, &mut |_, _| ControlFlow::Break(())).unwrap();
    let file = at("trunk").join("trunk.f16");
    std::fs::write(&file, &std::fs::read(&file).unwrap()[..100]).unwrap();
    assert!(Trunk::open(&at("trunk")).unwrap_err().to_string().contains("100 bytes"));
    let random = TrainConfig { weights: None, ..config };
    assert!(Trunk::compute(&random, &all, &at("none"), &device, &mut |_, _| ControlFlow::Continue(())).is_err());
}

/// Sets one after the other, their keys counted from a number each.
struct Keyed<'a> {
    of: Vec<&'a MemoryCrops>,
    first: Vec<u64>,
}

impl Keyed<'_> {
    fn find(&self, mut i: usize) -> (usize, usize) {
        let mut set = 0;
        while i >= self.of[set].len() {
            i -= self.of[set].len();
            set += 1;
        }
        (set, i)
    }
}

impl Crops for Keyed<'_> {
    fn len(&self) -> usize {
        self.of.iter().map(|set| set.len()).sum()
    }

    fn size(&self) -> u32 {
        self.of[0].size()
    }

    fn class(&self, i: usize) -> usize {
        let (set, i) = self.find(i);
        self.of[set].class(i)
    }

    fn group(&self, i: usize) -> u32 {
        let (set, i) = self.find(i);
        self.of[set].group(i)
    }

    fn key(&self, i: usize) -> u64 {
        let (set, i) = self.find(i);
        self.first[set] + i as u64
    }

    fn read(&self, i: usize, out: &mut [u8]) -> Result<(), CropError> {
        let (set, i) = self.find(i);
        self.of[set].read(i, out)
    }
}
