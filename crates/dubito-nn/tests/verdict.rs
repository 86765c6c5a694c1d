//! What a verdict is made of: no idea is the largest uncertainty whatever the classes, and weights that are none are refused.
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use dubito_nn::rng::{Purpose, Stream};
use dubito_nn::{
    Architecture, Boundary, Detector, Evidential, Inference, Init, Laplace, MemoryCrops, NetworkConfig, Posterior, Run,
    StateDict, TrainConfig, Variational, convert, join, read_state, scale, train, write_state,
};
use serde_json::{Value, json};

const SIZE: usize = 32;

fn network(classes: usize) -> NetworkConfig {
    NetworkConfig { width: Some(4), ..NetworkConfig::new(classes) }
}

/// The weights of a random network.
fn weights(classes: usize) -> StateDict {
    Detector::new(Architecture::Resnet18, &network(classes), Init::Kaiming, 1, &Device::flex()).unwrap().to_state()
}

/// A run of `real` and so many generators less one, with these weights, as a version that said no prior left it.
fn run(dir: &Path, classes: usize, state: &StateDict, more: Value) -> Run {
    std::fs::create_dir_all(dir).unwrap();
    let names: Vec<String> =
        (0..classes).map(|k| if k == 0 { "real".into() } else { format!("generator {k}") }).collect();
    let mut config = json!({
        "version": 2, "detector": "resnet18", "network": { "classes": classes, "width": 4 }, "class_names": names,
        "preprocessing": { "input_size": SIZE, "margin": 0.3, "normalisation": dubito_nn::Normalisation::default() },
        "dropout": 0.0, "boundary": "head", "seed": 0, "epoch": 1, "valid_loss": 0.5, "made_by": "test",
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    write_state(&dir.join("weights.safetensors"), state).unwrap();
    Run::load(dir).unwrap()
}

/// The weights of a network whose answer is the same for every class.
fn no_idea(classes: usize) -> StateDict {
    let mut state = weights(classes);
    for name in ["fc.weight", "fc.bias"] {
        state.get_mut(name).unwrap().values.fill(0.0);
    }
    state
}

/// Samples of one crop for a verdict, a row of classes each.
fn said(run: &Run, samples: u32) -> Vec<Vec<f64>> {
    let posterior = run.verdict(None, &Device::flex()).unwrap();
    drawn(run, posterior.as_ref(), samples)
}

fn drawn(run: &Run, posterior: &dyn Posterior, samples: u32) -> Vec<Vec<f64>> {
    let batch = run.batch(&[99; SIZE * SIZE * 3], &Device::flex()).unwrap();
    let p: Vec<f32> = posterior.draw(batch, 0..samples, 1).unwrap().into_data().iter::<f32>().collect();
    p.chunks_exact(posterior.classes()).map(|row| row.iter().map(|&p| f64::from(p)).collect()).collect()
}

fn mean_of_real(rows: &[Vec<f64>]) -> f64 {
    rows.iter().map(|row| row[0]).sum::<f64>() / rows.len() as f64
}

#[test]
fn no_idea_is_one_half_whatever_the_number_of_classes_and_the_method() {
    let dir = tempfile::tempdir().unwrap();
    let device = Device::flex();
    for classes in [2, 3, 8] {
        let at = |name: &str| dir.path().join(format!("{classes} {name}"));
        let plain = run(&at("plain"), classes, &no_idea(classes), json!({}));
        // The network's own answer is for equally common classes.
        let own = drawn(&plain, plain.posterior(&device).unwrap().as_ref(), 1);
        assert!(own[0].iter().all(|p| (p - 1.0 / classes as f64).abs() < 1e-6), "{own:?}");
        let mut runs = vec![plain.clone(), run(&at("dropout"), classes, &no_idea(classes), json!({ "dropout": 0.3 }))];
        for temperature in [0.05, 20.0] {
            let more = json!({ "softmax_temperature": temperature });
            runs.push(run(&at(&format!("at {temperature}")), classes, &no_idea(classes), more));
        }
        join(&[plain.clone(), plain.clone()], &at("joined"), &device).unwrap();
        runs.push(Run::load(&at("joined")).unwrap());
        for run in runs {
            for row in said(&run, 4) {
                assert!((row[0] - 0.5).abs() < 1e-6, "{}: {row:?}", run.dir.display());
                let each = 0.5 / (classes - 1) as f64;
                assert!(row[1..].iter().all(|p| (p - each).abs() < 1e-6), "{row:?}");
            }
        }
        // A Dirichlet without evidence: its mean.
        let evidential = Inference::Evidential(Evidential::default());
        std::fs::create_dir_all(at("evidential")).unwrap();
        let said = {
            let run = run(&at("evidential"), classes, &no_idea(classes), json!({ "inference": evidential }));
            let metadata = [("method", "evidential")].map(|(k, v)| (k.to_owned(), v.to_owned()));
            let path = run.dir.join("inference.safetensors");
            dubito_weights::write_state_with(&path, &StateDict::new(), &metadata.into_iter().collect()).unwrap();
            mean_of_real(&said(&run, 4000))
        };
        assert!((said - 0.5).abs() < 0.01, "{classes} classes, evidential: {said}");
    }
}

#[test]
fn members_that_disagree_about_everything_are_uncertain() {
    let dir = tempfile::tempdir().unwrap();
    let member = |name: &str, class: usize| {
        let mut state = no_idea(8);
        state.get_mut("fc.bias").unwrap().values[class] = 30.0;
        run(&dir.path().join(name), 8, &state, json!({}))
    };
    let (real, fake) = (member("real", 0), member("fake", 3));
    join(&[real, fake], &dir.path().join("both"), &Device::flex()).unwrap();
    let rows = said(&Run::load(&dir.path().join("both")).unwrap(), 2);
    assert!(rows[0][0] > 0.999_999 && rows[1][0] < 1e-6 && (mean_of_real(&rows) - 0.5).abs() < 1e-6, "{rows:?}");
}

#[test]
fn the_prior_that_a_run_says_is_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let state = weights(3);
    let plain = run(&dir.path().join("plain"), 3, &state, json!({}));
    let own = drawn(&plain, plain.posterior(&Device::flex()).unwrap().as_ref(), 1).remove(0);
    let of = |prior: [f64; 3]| {
        let more = json!({ "trained_on": { "class_prior": prior } });
        said(&run(&dir.path().join(format!("{prior:?}")), 3, &state, more), 1).remove(0)
    };
    // Trained with half real already: nothing is to be done.
    assert!(of([0.5, 0.25, 0.25]).iter().zip(&own).all(|(a, b)| (a - b).abs() < 1e-6));
    for prior in [[1.0 / 3.0; 3], [0.2, 0.3, 0.5]] {
        let want = dubito_stats::probability::with_prior(&own, &prior, &[0.5, 0.25, 0.25]);
        assert!(of(prior).iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-6), "{prior:?}");
    }
    for wrong in [
        json!([0.5, 0.5]),
        json!([0.5, 0.5, 0.0]),
        json!([1.0, 1e-40, 1e-40]),
        json!([0.5, 0.5, 0.5]),
        json!([1.5, -0.25, -0.25]),
    ] {
        let config = dir.path().join("plain/config.json");
        let mut text: Value = serde_json::from_str(&std::fs::read_to_string(&config).unwrap()).unwrap();
        text["trained_on"] = json!({ "class_prior": wrong });
        std::fs::write(&config, text.to_string()).unwrap();
        let error = Run::load(&dir.path().join("plain")).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("config.json") && said.contains("class_prior") && error.hint().is_some(), "{said}");
    }
}

/// No samples can be drawn of a parameter that is taken away, nor does anything follow from a temperature.
#[test]
fn what_no_evidential_run_has_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let evidential = json!({ "inference": Inference::Evidential(Evidential::default()) });
    let plain = run(dir.path(), 3, &no_idea(3), evidential);
    assert!(scale(&plain, &noise(3, 2), 2, 0, &dir.path().join("scaled"), &Device::flex()).is_err());
    let path = dir.path().join("config.json");
    let config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for (key, value, is_sound) in [
        ("trained_on", json!({ "class_prior": [0.2, 0.4, 0.4] }), true),
        ("trained_on", json!({ "class_prior": [0.05, 0.9, 0.05] }), false),
        ("softmax_temperature", json!(2.0), false),
    ] {
        let mut config = config.clone();
        config[key] = value;
        std::fs::write(&path, config.to_string()).unwrap();
        let loaded = Run::load(dir.path());
        assert_eq!(loaded.is_ok(), is_sound, "{key}");
        if let Err(error) = loaded {
            assert!(error.to_string().contains(key) && error.hint().is_some(), "{error}");
        }
    }
}

#[test]
fn an_exported_network_says_what_its_run_does() {
    let dir = tempfile::tempdir().unwrap();
    let run = run(&dir.path().join("run"), 4, &weights(4), json!({ "softmax_temperature": 3.0 }));
    let net = run.verdict_network(&Device::flex()).unwrap();
    let batch = run.batch(&[99; SIZE * SIZE * 3], &Device::flex()).unwrap();
    let p: Tensor<2> = burn::tensor::activation::softmax(net.forward(batch).unwrap(), 1);
    let p: Vec<f32> = p.into_data().iter::<f32>().collect();
    let want = said(&run, 1).remove(0);
    assert!(p.iter().zip(&want).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6), "{p:?} {want:?}");
}

/// Noise, whose class says nothing: half of it real, by 12 people, the fakes of two generators of which one is rare.
fn noise(seed: u64, group: u32) -> MemoryCrops {
    let mut stream = Stream::new(Purpose::Other, seed, 0, 0);
    let pixels = (0..24 * SIZE * SIZE * 3).map(|_| stream.below(256) as u8).collect();
    let classes = (0..24).map(|i| if i % 2 == 0 { 0 } else { 1 + usize::from(i % 8 == 1) }).collect();
    MemoryCrops::new(SIZE as u32, pixels, classes, vec![group; 24]).unwrap()
}

fn settings(class_balance: bool) -> TrainConfig {
    TrainConfig {
        class_names: ["real", "a", "b"].map(String::from).to_vec(),
        epochs: 1,
        batch: 8,
        width: Some(4),
        dropout: 0.0,
        class_balance,
        ..TrainConfig::default()
    }
}

fn trained(config: &TrainConfig, dir: &Path) -> Run {
    let go_on = &mut |_| ControlFlow::Continue(());
    train(config, &noise(1, 0), &noise(2, 1), None, dir, &Device::flex(), go_on).unwrap();
    Run::load(dir).unwrap()
}

/// With a learning rate of almost nothing the network stays what it began as: its answer to a verdict is one half, whether or
/// not half of what it saw was real; and the run says of which prior its own answers are.
#[test]
fn training_frees_the_network_of_the_prior() {
    let dir = tempfile::tempdir().unwrap();
    for balance in [true, false] {
        let mut config = TrainConfig { epochs: 30, ..settings(balance) };
        config.optimiser.learning_rate = 2e-3;
        let run = trained(&config, &dir.path().join(balance.to_string()));
        assert_eq!(run.config.trained_on.class_prior, [1.0 / 3.0; 3]);
        let valid = noise(2, 1);
        let mut bytes = vec![0; 24 * SIZE * SIZE * 3];
        for (i, crop) in bytes.chunks_exact_mut(SIZE * SIZE * 3).enumerate() {
            dubito_nn::Crops::read(&valid, i, crop).unwrap();
        }
        let posterior = run.verdict(None, &Device::flex()).unwrap();
        let p = posterior.draw(run.batch(&bytes, &Device::flex()).unwrap(), 0..1, 0).unwrap();
        let p: Vec<f32> = p.into_data().iter::<f32>().collect();
        let real = p.chunks_exact(3).map(|p| p[0]).sum::<f32>() / 24.0;
        assert!((real - 0.5).abs() < 0.2, "balance {balance}: P(real) {real}");
    }
}

/// Two trainings and conversions of them are the same bytes, file by file.
#[test]
fn the_same_training_leaves_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let files = |of: &Path| -> Vec<(String, Vec<u8>)> {
        let names =
            ["weights.safetensors", "inference.safetensors", "checkpoint.safetensors", "config.json", "model_card.md"];
        let there = names.into_iter().filter(|name| of.join(name).exists());
        there.map(|name| (name.to_owned(), std::fs::read(of.join(name)).unwrap())).collect()
    };
    let make = |name: &str| -> Vec<Vec<(String, Vec<u8>)>> {
        let at = |what: &str| dir.path().join(name).join(what);
        let gaussian = Inference::Variational(Variational { scope: Boundary::Head, ..Variational::default() });
        trained(&TrainConfig { inference: Some(gaussian.clone()), ..settings(true) }, &at("gaussian"));
        let plain = trained(&settings(true), &at("plain"));
        let crops = noise(3, 2);
        convert(&plain, &gaussian, None, &at("moped"), &device).unwrap();
        convert(&plain, &Inference::Laplace(Laplace::default()), Some(&crops), &at("laplace"), &device).unwrap();
        scale(&plain, &crops, 2, 0, &at("scaled"), &device).unwrap();
        ["gaussian", "plain", "moped", "laplace", "scaled"].map(|what| files(&at(what))).to_vec()
    };
    let (one, two) = (make("one"), make("two"));
    assert!(one[0].iter().any(|(name, _)| name == "inference.safetensors"));
    for (one, two) in one.iter().flatten().zip(two.iter().flatten()) {
        assert!(one == two, "{} differs", one.0);
    }
}

#[test]
fn weights_that_are_none_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |name: &str, value: f32| {
        let mut state = weights(2);
        state.get_mut(name).unwrap().values[3] = value;
        let run = run(&dir.path().join("run"), 2, &state, json!({}));
        let error = run.verdict(None, &Device::flex()).err().unwrap();
        assert!(error.hint().is_some());
        error.to_string()
    };
    for (name, value) in [
        ("layer2.0.conv1.weight", 3e38),
        ("layer2.0.conv1.weight", f32::INFINITY),
        ("layer2.0.conv1.weight", f32::NAN),
        ("fc.weight", -1e10),
        ("layer1.0.bn1.running_mean", 1e9),
        ("layer1.0.bn1.running_var", -1.0),
        ("layer1.0.bn1.running_var", f32::NEG_INFINITY),
    ] {
        let said = refused(name, value);
        assert!(said.contains("weights.safetensors") && said.contains(&format!("`{name}` holds")), "{value}: {said}");
    }
    // What is lacking, too many or of another shape.
    let mut state = weights(2);
    let array = state.remove("layer2.0.bn1.weight").unwrap();
    let load = |state: &StateDict| {
        let error = run(&dir.path().join("run"), 2, state, json!({})).verdict(None, &Device::flex()).err().unwrap();
        assert!(error.hint().is_some());
        error.to_string()
    };
    let said = load(&state);
    assert!(
        said.contains("weights.safetensors: tensor `layer2.0.bn1.weight`") && said.contains("is missing"),
        "{said}"
    );
    let mut other = array.clone();
    (other.shape, other.values) = (vec![3], vec![1.0; 3]);
    state.insert("layer2.0.bn1.weight".into(), other);
    assert!(load(&state).contains("has shape [3]"));
    state.insert("layer2.0.bn1.weight".into(), array.clone());
    state.insert("layer9.weight".into(), array);
    assert!(load(&state).contains("`layer9.weight`"));

    // What a method keeps beside them is named too.
    let plain = run(&dir.path().join("plain"), 2, &weights(2), json!({}));
    let out = dir.path().join("moped");
    convert(&plain, &Inference::Variational(Variational::default()), None, &out, &Device::flex()).unwrap();
    let path = out.join("inference.safetensors");
    let kept = read_state(&path).unwrap();
    let metadata = [("method", "variational")].map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect();
    for (value, word) in [(3e38, "3e38"), (f32::NAN, "NaN")] {
        let mut broken = kept.clone();
        broken.values_mut().next().unwrap().values[0] = value;
        dubito_weights::write_state_with(&path, &broken, &metadata).unwrap();
        let said = Run::load(&out).unwrap().verdict(None, &Device::flex()).err().unwrap().to_string();
        assert!(said.contains("inference.safetensors") && said.contains(word), "{said}");
    }
    let mut broken = kept.clone();
    let name = broken.keys().next().unwrap().clone();
    broken.remove(&name);
    dubito_weights::write_state_with(&path, &broken, &metadata).unwrap();
    let said = Run::load(&out).unwrap().verdict(None, &Device::flex()).err().unwrap().to_string();
    assert!(said.contains("inference.safetensors") && said.contains(&name), "{said}");
}

/// Each weight may be one of a network, and what they make together is no number.
#[test]
fn an_answer_that_is_no_number_is_an_error_that_names_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = weights(3);
    for (name, array) in &mut state {
        if name.contains("conv") {
            array.values.iter_mut().for_each(|value| *value *= 1e7);
        }
    }
    let run = run(&dir.path().join("broken run"), 3, &state, json!({}));
    let posterior = run.verdict(None, &Device::flex()).unwrap();
    let batch = run.batch(&[99; SIZE * SIZE * 3], &Device::flex()).unwrap();
    let error = posterior.draw(batch, 0..1, 0).unwrap_err();
    assert!(error.to_string().contains("broken run") && error.hint().is_some(), "{error}");
}
