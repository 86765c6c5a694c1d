//! Samples from the boundary on equal whole passes, and depend on nothing but (seed, sample).
#![allow(clippy::unwrap_used)]

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData, activation};
use dubito_nn::rng::{Purpose, Stream};
use dubito_nn::{
    Architecture, Boundary, Curvature, Detector, Deterministic, EvidentialPosterior, Inference, Init, Laplace,
    Masksembles, MasksemblesPosterior, McDropoutPosterior, MemoryCrops, NetworkConfig, NnError, Posterior, Predictive,
    Preprocessing, RUN_VERSION, Run, RunConfig, ScaledPosterior, StateDict, Swag, SwagPosterior, TrainedOn,
    Variational, VariationalPosterior, Views, convert, input_gradient, join, scale,
};

const SIZE: usize = 48;

fn net() -> Detector {
    let config = NetworkConfig { width: Some(8), ..NetworkConfig::new(3) };
    Detector::new(Architecture::Resnet18, &config, Init::Kaiming, 5, &Device::flex()).unwrap()
}

fn posterior(boundary: Boundary) -> McDropoutPosterior {
    McDropoutPosterior::new(net(), boundary, 0.3).unwrap()
}

fn images(items: usize) -> Tensor<4> {
    let mut stream = Stream::new(Purpose::Other, 2, 0, 0);
    let values: Vec<f32> = (0..items * 3 * SIZE * SIZE).map(|_| stream.normal()).collect();
    Tensor::from_data(TensorData::new(values, [items, 3, SIZE, SIZE]), &Device::flex())
}

fn values(t: Tensor<3>) -> Vec<f32> {
    t.into_data().iter::<f32>().collect()
}

fn assert_close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() < tolerance, "{i}: {a} {b}");
    }
}

const BOUNDARIES: [Boundary; 4] = [Boundary::Head, Boundary::Stage(4), Boundary::Stage(2), Boundary::All];

#[test]
fn fifty_samples_equal_fifty_whole_passes_with_the_same_masks() {
    for boundary in BOUNDARIES {
        let posterior = posterior(boundary);
        let drawn = posterior.draw(images(2), 0..50, 11).unwrap();
        assert_eq!(drawn.dims(), [2, 50, 3]);
        let whole: Vec<Tensor<3>> = (0..50)
            .map(|t| {
                let p = posterior.whole_pass(images(2), t, 11).unwrap();
                p.reshape([2, 1, 3])
            })
            .collect();
        assert_close(&values(drawn.clone()), &values(Tensor::cat(whole, 1)), 1e-5);
        // The samples do differ, and each is a distribution.
        let all = values(drawn);
        assert!((all[0] - all[3]).abs() > 1e-4, "{boundary}");
        for p in all.chunks_exact(3) {
            assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}

/// A run of [`net`] begun with this seed, as training leaves it.
fn run(dir: &Path, seed: u64) -> Run {
    let device = Device::flex();
    let network = NetworkConfig { classes: 3, width: Some(8), window: None };
    std::fs::create_dir_all(dir).unwrap();
    let net = Detector::new(Architecture::Resnet18, &network, Init::Kaiming, seed, &device).unwrap();
    net.save(&dir.join("weights.safetensors")).unwrap();
    let config = RunConfig {
        version: RUN_VERSION,
        detector: Architecture::Resnet18,
        network,
        class_names: ["real", "a", "b"].map(String::from).to_vec(),
        trained_on: TrainedOn::default(),
        preprocessing: Preprocessing { input_size: SIZE as u32, ..Architecture::Resnet18.preprocessing() },
        dropout: 0.3,
        boundary: Boundary::Head,
        inference: None,
        softmax_temperature: None,
        seed,
        epoch: 1,
        valid_loss: 1.0,
        made_by: "a test".to_owned(),
    };
    std::fs::write(dir.join("config.json"), serde_json::to_string(&config).unwrap()).unwrap();
    std::fs::write(dir.join("model_card.md"), "# A detector\n| posterior | dropout |\n").unwrap();
    Run::load(dir).unwrap()
}

/// Crops of noise of three classes.
fn crops(n: usize) -> MemoryCrops {
    let mut stream = Stream::new(Purpose::Other, 7, 0, 0);
    let pixels = (0..n * SIZE * SIZE * 3).map(|_| stream.below(256) as u8).collect();
    MemoryCrops::new(SIZE as u32, pixels, (0..n).map(|i| i % 3).collect(), vec![0; n]).unwrap()
}

fn variational(scope: Boundary) -> Inference {
    Inference::Variational(Variational { scope, ..Variational::default() })
}

fn laplace(curvature: Curvature) -> Inference {
    Inference::Laplace(Laplace { curvature, ..Laplace::default() })
}

/// One posterior of each method, by name; whether its samples depend on the seed.
fn methods() -> Vec<(String, Box<dyn Posterior>, bool)> {
    let dir = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let trained = run(&dir.path().join("run"), 5);
    let mut all: Vec<(String, Box<dyn Posterior>, bool)> = Vec::new();
    for boundary in BOUNDARIES {
        all.push((format!("dropout {boundary}"), Box::new(posterior(boundary)), true));
    }
    let mut converted: Vec<Inference> = [Boundary::Head, Boundary::Stage(4), Boundary::All].map(variational).to_vec();
    converted.extend([Curvature::Full, Curvature::Kronecker, Curvature::Diagonal].map(laplace));
    for (k, inference) in converted.iter().enumerate() {
        let out = dir.path().join(k.to_string());
        convert(&trained, inference, Some(&crops(30)), &out, &device).unwrap();
        // What is read from disk says the same as what was asked for.
        let run = Run::load(&out).unwrap();
        assert_eq!(run.config.inference.as_ref().map(Inference::name), Some(inference.name()));
        all.push((format!("{inference:?}"), run.posterior(&device).unwrap(), true));
    }
    // SWAG's spread, as training would have left it.
    let mut spread = StateDict::new();
    for (k, part) in ["deviation", "away.0", "away.1", "away.2"].into_iter().enumerate() {
        for name in ["fc.weight", "fc.bias"] {
            let mut array = net().to_state()[name].clone();
            let mut stream = Stream::new(Purpose::Other, 3, k as u32, 0);
            array.values.iter_mut().for_each(|v| *v = 0.05 * stream.uniform());
            spread.insert(format!("{name}.{part}"), array);
        }
    }
    let swag = Swag { collected: 3, ..Swag::default() };
    all.push(("swag".to_owned(), Box::new(SwagPosterior::new(net(), &swag, &spread).unwrap()), true));
    let masks = Masksembles { scope: Boundary::Stage(4), ..Masksembles::default() };
    let posterior = MasksemblesPosterior::untrained(net(), &masks, 1).unwrap();
    all.push(("masksembles".to_owned(), Box::new(posterior), false));
    all.push(("evidential".to_owned(), Box::new(EvidentialPosterior::new(net())), true));
    let views = trained.views(Views { flip: 0.5, shift: 0.1, brightness: 0.1 }, &device).unwrap();
    all.push(("views".to_owned(), views, true));
    let members = [5, 6, 7].map(|seed| run(&dir.path().join(format!("member{seed}")), seed));
    join(&members, &dir.path().join("ensemble"), &device).unwrap();
    let ensemble = Run::load(&dir.path().join("ensemble")).unwrap();
    all.push(("ensemble".to_owned(), ensemble.posterior(&device).unwrap(), false));
    let head = Run::load(&dir.path().join("0")).unwrap().posterior(&device).unwrap();
    all.push(("scaled".to_owned(), Box::new(ScaledPosterior::new(head, 0.5).unwrap()), true));
    all
}

#[test]
fn samples_do_not_depend_on_batch_order_or_range() {
    for (name, posterior, seeded) in methods() {
        let x = images(4);
        let all = values(posterior.draw(x.clone(), 0..8, 3).unwrap());
        assert!((all[0] - all[3]).abs() > 1e-5, "{name}: two samples are alike");
        for p in all.chunks_exact(3) {
            assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{name}");
        }
        let item = |i: usize| &all[i * 24..(i + 1) * 24];
        for i in 0..4 {
            let alone = posterior.draw(x.clone().narrow(0, i, 1), 0..8, 3).unwrap();
            assert_close(&values(alone), item(i), 1e-5);
        }
        let turned = values(posterior.draw(x.clone().flip([0]), 0..8, 3).unwrap());
        assert_close(&turned[..24], item(3), 1e-5);
        let parts = [0..3, 3..8].map(|range| posterior.draw(x.clone(), range, 3).unwrap());
        assert_close(&values(Tensor::cat(parts.to_vec(), 1)), &all, 1e-6);
        let other = values(posterior.draw(x, 0..8, 4).unwrap());
        assert_eq!(other != all, seeded, "{name}");
    }
}

/// Per item the cross-entropy of class 1 under the mean over the samples, and the mutual information of samples and class.
fn loss_and_information(p: Tensor<3>) -> Tensor<1> {
    let [items, _, classes] = p.dims();
    let mean = p.clone().mean_dim(1);
    let loss = -mean.clone().narrow(2, 1, 1).log().reshape([items]);
    let entropy = |p: Tensor<3>| -(p.clone() * p.log()).sum_dim(2);
    let information = entropy(mean) - entropy(p).mean_dim(1);
    assert_eq!(classes, 3);
    loss + information.reshape([items]) * 3.0
}

#[test]
fn gradients_of_every_method_are_the_central_differences() {
    let mut all = methods();
    all.push(("deterministic".to_owned(), Box::new(Deterministic::new(net())), false));
    for (name, posterior, _) in all {
        let (items, samples, x) = (2, 2..7, images(2));
        let (values_at, gradient) =
            input_gradient(posterior.as_ref(), x.clone(), samples.clone(), 3, &loss_and_information).unwrap();
        let objective = |x: Tensor<4>| -> Vec<f32> {
            let p = posterior.draw(x, samples.clone(), 3).unwrap();
            loss_and_information(p).into_data().iter::<f32>().collect()
        };
        assert_close(&values_at, &objective(x.clone()), 1e-5);
        assert_eq!(gradient.dims(), x.dims(), "{name}");
        // Along the gradient itself, and along noise; each item by itself.
        let length = gradient.clone().square().sum_dims(&[1, 2, 3]).sqrt();
        let along = gradient.clone() / length.clone();
        let noise = images(4).narrow(0, 2, 2);
        for (direction, step) in [(along, 5e-3), (noise, 1e-4)] {
            let moved = |h: f32| objective(x.clone() + direction.clone() * h);
            let difference: Vec<f32> =
                moved(step).iter().zip(moved(-step)).map(|(a, b)| (a - b) / (2.0 * step)).collect();
            let slope = (gradient.clone() * direction.clone()).sum_dims(&[1, 2, 3]).reshape([items]);
            let slope: Vec<f32> = slope.into_data().iter::<f32>().collect();
            let length: Vec<f32> = length.clone().reshape([items]).into_data().iter::<f32>().collect();
            let size: Vec<f32> =
                direction.square().sum_dims(&[1, 2, 3]).sqrt().reshape([items]).into_data().iter().collect();
            for i in 0..items {
                assert!(length[i] > 1e-4, "{name}: a gradient of length {}", length[i]);
                let error = (slope[i] - difference[i]).abs() / (length[i] * size[i].min(3.0));
                assert!(error < 0.02, "{name}: {} by differences, {} by the gradient", difference[i], slope[i]);
            }
        }
    }
}

#[test]
fn dropout_samples_do_not_depend_on_memory() {
    for boundary in BOUNDARIES {
        let posterior = posterior(boundary);
        let all = values(posterior.draw(images(5), 0..6, 3).unwrap());
        let little = posterior.with_memory(1);
        assert_close(&values(little.draw(images(5), 0..6, 3).unwrap()), &all, 1e-6);
    }
}

#[test]
fn a_variational_sample_is_a_whole_pass_of_one_network() {
    for scope in [Boundary::Head, Boundary::Stage(3), Boundary::All] {
        let settings = Variational { scope, ..Variational::default() };
        let posterior = VariationalPosterior::moped(net(), &settings).unwrap();
        let drawn = posterior.draw(images(2), 4..7, 11).unwrap();
        let whole = (4..7).map(|t| {
            let logits = posterior.network(t, 11).forward(images(2)).unwrap();
            activation::softmax(logits, 1).reshape([2, 1, 3])
        });
        assert_close(&values(drawn), &values(Tensor::cat(whole.collect(), 1)), 1e-5);
        // Weights before the scope are the trained ones, those in it are not.
        let (drawn, trained) = (posterior.network(4, 11).to_state(), net().to_state());
        assert_eq!(drawn["conv1.weight"] == trained["conv1.weight"], scope != Boundary::All);
        assert_ne!(drawn["fc.weight"], trained["fc.weight"]);
        let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
        let (drawn, trained) = (&drawn["fc.weight"].values, &trained["fc.weight"].values);
        let relative = norm(&mut drawn.iter().zip(trained).map(|(d, t)| d - t)) / norm(&mut trained.iter().copied());
        assert!((relative - 0.2).abs() < 0.04, "{relative}");
    }
}

#[test]
fn without_deviation_every_method_is_the_deterministic_network() {
    let certain = values(Deterministic::new(net()).draw(images(2), 0..2, 0).unwrap());
    let settings = Variational { scope: Boundary::All, delta: 1e-7, ..Variational::default() };
    let posterior = VariationalPosterior::moped(net(), &settings).unwrap();
    assert_close(&values(posterior.draw(images(2), 0..2, 0).unwrap()), &certain, 1e-5);
    // An infinitely narrow prior, and an average of the logits' uncertainty, which then is none.
    let dir = tempfile::tempdir().unwrap();
    let trained = run(&dir.path().join("run"), 5);
    for predictive in [Predictive::Samples, Predictive::Probit] {
        let settings = Laplace { prior_precision: Some(1e12), predictive, ..Laplace::default() };
        let out = dir.path().join("laplace");
        convert(&trained, &Inference::Laplace(settings), Some(&crops(30)), &out, &Device::flex()).unwrap();
        let posterior = Run::load(&out).unwrap().posterior(&Device::flex()).unwrap();
        assert_close(&values(posterior.draw(images(2), 0..2, 0).unwrap()), &certain, 1e-4);
    }
}

#[test]
fn a_stream_hands_out_every_sample_once_and_in_order() {
    let posterior = posterior(Boundary::Stage(3)).with_memory(1);
    let mut next = 7;
    posterior
        .stream(images(2), 7..12, 1, &mut |range, chunk| {
            assert_eq!(range, next..next + 1);
            assert_eq!(chunk.dims(), [2, 1, 3]);
            next = range.end;
            Ok(())
        })
        .unwrap();
    assert_eq!(next, 12);
}

fn entropy(p: &[f64]) -> f64 {
    -p.iter().map(|&p| if p > 0.0 { p * p.ln() } else { 0.0 }).sum::<f64>()
}

/// Total and aleatoric entropy of one item's samples `[samples, classes]`, in nats.
fn entropies(samples: &[f64]) -> [f64; 2] {
    let n = samples.len() as f64 / 3.0;
    let mut mean = [0.0; 3];
    let mut aleatoric = 0.0;
    for p in samples.chunks_exact(3) {
        for (m, p) in mean.iter_mut().zip(p) {
            *m += p / n;
        }
        aleatoric += entropy(p) / n;
    }
    [entropy(&mean), aleatoric]
}

#[test]
fn a_video_of_one_frame_repeated_has_that_frames_uncertainty() {
    for (name, posterior, _) in methods() {
        let frame = images(1);
        let as_f64 = |t| values(t).into_iter().map(f64::from).collect::<Vec<_>>();
        let one = as_f64(posterior.draw(frame.clone(), 0..20, 9).unwrap());
        let video = as_f64(posterior.draw(frame.repeat_dim(0, 32), 0..20, 9).unwrap());
        // Each sample is averaged over frames first.
        let mut mean = vec![0.0; 60];
        for frame in video.chunks_exact(60) {
            for (m, p) in mean.iter_mut().zip(frame) {
                *m += p / 32.0;
            }
        }
        let (frame, video) = (entropies(&one), entropies(&mean));
        let epistemic = frame[0] - frame[1];
        assert!(epistemic > 1e-4, "{name}: the test needs some doubt, {epistemic}");
        for (f, v) in frame.iter().zip(video) {
            assert!((f - v).abs() < 1e-6, "{name}: {f} {v}");
        }
    }
}

#[test]
fn a_deterministic_detector_gives_the_same_sample_every_time() {
    let certain = Deterministic::new(net());
    let p = values(certain.draw(images(2), 0..3, 0).unwrap());
    assert_eq!(p[..3], p[3..6]);
    assert_eq!(p[..3], p[6..9]);
    assert_ne!(p[..3], p[9..12]);
    // Dropout at rate 0 is the same network.
    let never = McDropoutPosterior::new(net(), Boundary::All, 0.0).unwrap();
    assert_close(&values(never.draw(images(2), 0..3, 0).unwrap()), &p, 1e-6);
}

#[test]
fn bad_settings_and_inputs_are_errors() {
    for rate in [-0.1, 1.0, f32::NAN] {
        assert!(matches!(McDropoutPosterior::new(net(), Boundary::Head, rate), Err(NnError::Setting { .. })));
    }
    let posterior = posterior(Boundary::Head);
    assert!(posterior.draw(images(1), 3..3, 0).is_err());
    let grey = Tensor::zeros([1, 1, SIZE, SIZE], &Device::flex());
    assert!(matches!(posterior.draw(grey, 0..2, 0), Err(NnError::Input { .. })));
}

#[test]
fn conversions_that_make_no_sense_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let trained = run(&dir.path().join("run"), 5);
    let out = dir.path().join("out");
    let refused = |inference: &Inference, data: Option<&MemoryCrops>| {
        let data = data.map(|data| data as &dyn dubito_nn::Crops);
        convert(&trained, inference, data, &out, &device).unwrap_err().to_string()
    };
    for delta in [0.0, -1.0, f32::NAN] {
        let settings = Variational { delta, ..Variational::default() };
        assert!(refused(&Inference::Variational(settings), None).contains("`delta`"));
    }
    let error = refused(&variational(Boundary::Stage(9)), None);
    assert!(error.contains("`scope`") && error.contains("stage:4"), "{error}");
    assert!(refused(&laplace(Curvature::Full), None).contains("no crop to fit"));
    assert!(refused(&laplace(Curvature::Full), Some(&crops(0))).contains("no crop to fit"));
    let settings = Laplace { prior_precision: Some(0.0), ..Laplace::default() };
    assert!(refused(&Inference::Laplace(settings), Some(&crops(30))).contains("`prior_precision`"));
    let large = MemoryCrops::new(64, vec![0; 64 * 64 * 3], vec![0], vec![0]).unwrap();
    assert!(refused(&laplace(Curvature::Full), Some(&large)).contains("[64, 64, 3]"));

    // A Bayesian run is not converted again, nor a run over itself.
    convert(&trained, &variational(Boundary::Head), None, &out, &device).unwrap();
    let again = convert(&Run::load(&out).unwrap(), &laplace(Curvature::Full), None, &dir.path().join("x"), &device);
    assert!(again.unwrap_err().to_string().contains("which is `variational`"));
    assert!(convert(&trained, &variational(Boundary::Head), None, &trained.dir, &device).is_err());
    let card = std::fs::read_to_string(out.join("model_card.md")).unwrap();
    assert!(card.contains("# A detector") && card.contains("MOPED") && !card.contains("dropout"), "{card}");

    // What another method left beside the weights.
    let other = dir.path().join("other");
    convert(&trained, &laplace(Curvature::Kronecker), Some(&crops(30)), &other, &device).unwrap();
    std::fs::copy(other.join("inference.safetensors"), out.join("inference.safetensors")).unwrap();
    let error = Run::load(&out).unwrap().posterior(&device).err().unwrap().to_string();
    assert!(error.contains("method `laplace`") && error.contains("`variational`"), "{error}");
    std::fs::remove_file(out.join("inference.safetensors")).unwrap();
    assert!(Run::load(&out).unwrap().posterior(&device).is_err());
}

#[test]
fn an_ensemble_is_of_runs_that_were_taught_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let [a, mut b] = [1, 2].map(|seed| run(&dir.path().join(seed.to_string()), seed));
    let refused = |runs: &[Run]| join(runs, &dir.path().join("out"), &device).unwrap_err().to_string();
    assert!(refused(std::slice::from_ref(&a)).contains("two runs or more"));
    b.config.class_names.swap(0, 2);
    assert!(refused(&[a.clone(), b.clone()]).contains("whose classes is not"));
    b.config.trained_on.task = "source".to_owned();
    assert!(refused(&[a.clone(), b]).contains("whose task is not"));

    // Sample t is member t.
    let b = run(&dir.path().join("2"), 2);
    join(&[a.clone(), b.clone()], &dir.path().join("out"), &device).unwrap();
    let both = Run::load(&dir.path().join("out")).unwrap().posterior(&device).unwrap();
    let drawn = values(both.draw(images(1), 0..3, 9).unwrap());
    for (run, at) in [(&a, 0), (&b, 3), (&a, 6)] {
        let alone = Deterministic::new(run.detector(&device).unwrap()).draw(images(1), 0..1, 0).unwrap();
        assert_close(&values(alone), &drawn[at..at + 3], 1e-6);
    }
}

#[test]
fn a_temperature_divides_the_logits_of_every_sample() {
    let dir = tempfile::tempdir().unwrap();
    let device = Device::flex();
    // Labels of noise: the best that a random network can do is to say that it knows nothing.
    let trained = run(&dir.path().join("run"), 5);
    let out = dir.path().join("scaled");
    let config = scale(&trained, &crops(30), 8, 1, &out, &device).unwrap();
    let temperature = config.softmax_temperature.unwrap();
    assert!(temperature > 2.0, "{temperature}");
    let draw = |run: &Run| values(run.posterior(&device).unwrap().draw(images(1), 0..5, 1).unwrap());
    let (before, after) = (draw(&trained), draw(&Run::load(&out).unwrap()));
    for (before, after) in before.chunks_exact(3).zip(after.chunks_exact(3)) {
        let odds = |p: &[f32]| (p[0] / p[1]).ln();
        assert!((odds(before) / temperature - odds(after)).abs() < 1e-4);
    }
    let card = std::fs::read_to_string(out.join("model_card.md")).unwrap();
    assert!(card.contains("logits divided by"), "{card}");

    let other = dir.path().join("other");
    assert!(scale(&trained, &crops(0), 8, 1, &other, &device).unwrap_err().to_string().contains("no crop"));
    assert!(scale(&trained, &crops(3), 0, 1, &other, &device).unwrap_err().to_string().contains("`samples`"));
    let scaled = Run::load(&out).unwrap();
    assert!(scale(&scaled, &crops(3), 2, 1, &other, &device).is_err(), "scaled twice");
    assert!(convert(&scaled, &variational(Boundary::Head), None, &other, &device).is_err());
    assert!(join(&[trained, scaled], &other, &device).unwrap_err().to_string().contains("has a temperature"));
}
