//! ONNX detectors of others: what ONNX Runtime says of the same crop, and what can't be used.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use dubito_nn::{
    Architecture, Detector, Deterministic, Init, KnownBy, NetworkConfig, NnError, OnnxDetector, OnnxOptions,
    OnnxOutput, Posterior, Views, set_onnx_worker,
};
use rten_tensor::AsView;

const SIZE: usize = 32;

/// Opens a file as the program does: in a child process with limits.
fn open(path: &Path, options: OnnxOptions) -> Result<OnnxDetector, NnError> {
    set_onnx_worker(vec![env!("CARGO_BIN_EXE_dubito-nn-worker").into()]);
    OnnxDetector::open(path, options)
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn file(name: &str) -> PathBuf {
    golden("onnx_detectors").join(format!("{name}.onnx"))
}

fn crop() -> Vec<u8> {
    (0..SIZE * SIZE * 3).map(|i| ((i * 7919 + (i / 97) * 31) % 256) as u8).collect()
}

fn sized() -> OnnxOptions {
    OnnxOptions { size: Some(SIZE as u32), ..OnnxOptions::default() }
}

fn p_fake(detector: &OnnxDetector, crops: &[u8], samples: u32, seed: u64) -> Vec<f32> {
    let drawn = detector.draw(detector.batch(crops).unwrap(), 0..samples, seed).unwrap();
    let values: Vec<f32> = drawn.into_data().try_to_vec().unwrap();
    assert!(values.chunks_exact(2).all(|p| (p[0] + p[1] - 1.0).abs() < 1e-6));
    values.chunks_exact(2).map(|p| p[1]).collect()
}

#[test]
fn every_form_of_detector_says_what_onnx_runtime_says() {
    let text = std::fs::read_to_string(golden("onnx_detectors.json")).unwrap();
    let expected: BTreeMap<String, f64> = serde_json::from_str(&text).unwrap();
    assert_eq!(expected.len(), 7);
    for (name, expected) in &expected {
        let detector = open(&file(name), sized()).unwrap();
        let is_probability = ["softmax", "sigmoid"].contains(&name.as_str());
        assert_eq!(detector.output() == OnnxOutput::Probabilities, is_probability, "{name}");
        let other: Vec<u8> = crop().into_iter().rev().collect();
        let found = p_fake(&detector, &[crop(), other, crop()].concat(), 2, 0);
        for at in [0, 1, 4, 5] {
            assert!((f64::from(found[at]) - expected).abs() < 1e-5, "{name}: {} {expected}", found[at]);
        }
        assert!((found[2] - found[0]).abs() > 1e-4, "{name}: the second crop is another one");
        let turned = open(&file(name), OnnxOptions { fake: Some(0), ..sized() }).unwrap();
        assert!((p_fake(&turned, &crop(), 1, 0)[0] + found[0] - 1.0).abs() < 1e-6, "{name}");
    }
    let bgr = OnnxOptions { channels: dubito_nn::Channels::Bgr, ..sized() };
    let swapped: Vec<u8> = crop().chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect();
    let [rgb, bgr] = [(sized(), swapped), (bgr, crop())]
        .map(|(options, crops)| p_fake(&open(&file("two_logits"), options).unwrap(), &crops, 1, 0)[0]);
    assert_eq!(rgb, bgr);
}

#[test]
fn views_are_a_function_of_seed_and_sample_alone() {
    let options = OnnxOptions { views: Some(Views::default()), ..sized() };
    let detector = open(&file("two_logits"), options).unwrap();
    let other: Vec<u8> = crop().into_iter().rev().collect();
    let both = p_fake(&detector, &[crop(), other.clone()].concat(), 6, 3);
    let (one, two) = (p_fake(&detector, &crop(), 6, 3), p_fake(&detector, &other, 6, 3));
    assert_eq!(both, [one.clone(), two].concat(), "whatever the batch");
    let late = detector.draw(detector.batch(&crop()).unwrap(), 4..6, 3).unwrap();
    let late: Vec<f32> = late.into_data().try_to_vec().unwrap();
    assert_eq!([late[1], late[3]], one[4..6], "whatever the range");
    assert!(one.windows(2).any(|w| (w[0] - w[1]).abs() > 1e-4), "{one:?}");
    assert_ne!(p_fake(&detector, &crop(), 6, 4), one);
    // Without any change a view is the image.
    let still = Views { flip: 0.0, shift: 0.0, brightness: 0.0 };
    let still = open(&file("two_logits"), OnnxOptions { views: Some(still), ..sized() }).unwrap();
    let plain = open(&file("two_logits"), sized()).unwrap();
    assert!((p_fake(&still, &crop(), 1, 0)[0] - p_fake(&plain, &crop(), 1, 0)[0]).abs() < 1e-5);
}

#[test]
fn what_cannot_be_used_is_an_error_that_names_it() {
    let fails = |name: &str, options: OnnxOptions, words: &[&str]| {
        let error = open(&file(name), options).err().unwrap().to_string();
        for word in words {
            assert!(error.contains(word), "{name}: expected {word:?} in: {error}");
        }
    };
    fails("unknown_operator", sized(), &["unknown_operator.onnx", "Frobnicate"]);
    fails("open_sizes", OnnxOptions::default(), &["size", "open_sizes.json"]);
    fails("five_classes", sized(), &["[1, 5]", "expected [1, 1] or [1, 2]"]);
    fails("two_inputs", sized(), &["image, audio", "expected one"]);
    fails("flat_input", sized(), &["3072", "[batch, 3, size, size]"]);
    fails("two_logits", OnnxOptions { size: Some(64), ..sized() }, &["`size` is 64", "32"]);
    fails("two_logits", OnnxOptions { fake: Some(2), ..sized() }, &["`fake` is 2"]);
    fails("no_such_file", sized(), &["no_such_file.onnx", "read"]);
    let probabilities = OnnxOptions { output: Some(OnnxOutput::Probabilities), ..sized() };
    let detector = open(&file("two_logits"), probabilities);
    let said = match detector {
        Err(error) => error.to_string(),
        Ok(detector) => detector.draw(detector.batch(&crop()).unwrap(), 0..1, 0).err().unwrap().to_string(),
    };
    assert!(said.contains("no probabilities"), "{said}");
}

#[test]
fn the_file_beside_says_what_the_model_does_not() {
    assert_eq!(OnnxOptions::file(Path::new("folder/d.onnx")), Path::new("folder/d.json"));
    assert_eq!(serde_json::from_str::<OnnxOptions>("{}").unwrap(), OnnxOptions::default());
    let text = r#"{"size": 299, "normalisation": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
        "output": "logits", "fake": 0, "channels": "bgr", "margin": 0.15, "views": {"flip": 1.0}}"#;
    let options: OnnxOptions = serde_json::from_str(text).unwrap();
    assert_eq!((options.size, options.fake, options.margin), (Some(299), Some(0), Some(0.15)));
    assert_eq!(options.views.unwrap(), Views { flip: 1.0, ..Views::default() });
    let error = serde_json::from_str::<OnnxOptions>(r#"{"sise": 299}"#).unwrap_err().to_string();
    assert!(error.contains("sise"), "{error}");
}

#[test]
fn broken_files_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.onnx");
    let bytes = std::fs::read(file("two_logits")).unwrap();
    for n in (0..bytes.len()).step_by(7) {
        std::fs::write(&path, &bytes[..n]).unwrap();
        let _ = open(&path, sized());
    }
    std::fs::write(&path, "this is no model").unwrap();
    assert!(open(&path, sized()).err().unwrap().to_string().contains("not an ONNX model"));
}

/// The files of `crates/dubito/tests/cases/onnx`, all of P(fake) = .018 whatever the picture.
fn case(name: &str, options: OnnxOptions) -> Result<OnnxDetector, NnError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dubito/tests/cases/onnx");
    open(&folder.join(format!("{name}.onnx")), options)
}

#[test]
fn probabilities_are_never_squashed_again() {
    for name in [
        "softmax_cast",
        "softmax_squeeze",
        "softmax_identity",
        "softmax_split",
        "softmax_times_one",
        "softmax_mean",
        "softmax_reshape",
        "softmax_transpose",
        "softmax_turned",
        "log_softmax",
        "log_softmax_column",
        "sigmoid_pair",
        "written_sigmoid",
        "written_softmax",
        "hard_sigmoid",
        "flat",
        "scalar",
        "unsaid",
        "fake_first",
        "fake_first_column",
        "fake_first_sigmoid",
        "p_real",
        "features_first",
        "named_outputs",
        "fake_first_logit",
        "fake_first_hard",
        "fake_first_transposed",
        "logit_negated",
        "logit_times_minus_one",
        "logit_subtracted",
        "logit_over_minus_one",
        "logit_written",
        "logit_reciprocal",
        "written_softmax_shifted",
        "softmax_rejoined",
        "sigmoid_stacked",
        "softmax_view",
        "mean_same",
    ] {
        let detector = case(name, OnnxOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let p = p_fake(&detector, &crop(), 1, 0)[0];
        assert!((p - 0.018).abs() < 1e-4, "{name}: {p}");
    }
    for (name, words) in [
        ("softmax_percent", "Mul"),
        ("softmax_matmul", "MatMul"),
        ("softmax_largest", "ReduceMax"),
        ("softmax_decided", "Cast"),
        ("tanh", "Tanh"),
        ("logit_softmax", "Softmax"),
        ("logit_turned", "sign"),
        ("bare", "looks like probabilities"),
    ] {
        let error = case(name, OnnxOptions::default()).err().unwrap_or_else(|| panic!("{name} opens"));
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.hint().unwrap().contains("\"output\": \"probabilities\""), "{:?}", error.hint());
    }
    let said = OnnxOptions { output: Some(OnnxOutput::Probabilities), ..OnnxOptions::default() };
    for (name, options) in [("bare", said.clone()), ("softmax_matmul", OnnxOptions { fake: Some(1), ..said.clone() })] {
        let p = p_fake(&case(name, options).unwrap(), &crop(), 1, 0)[0];
        assert!((p - 0.018).abs() < 1e-4, "{name}: {p}");
    }
    let error = case("softmax_matmul", said).err().unwrap();
    assert!(error.to_string().contains("which class is fake"), "{error}");
    // The logarithm of a probability that is 0.
    assert!(p_fake(&case("log_of_softmax", OnnxOptions::default()).unwrap(), &crop(), 1, 0)[0] < 1e-9);
}

#[test]
fn which_class_is_fake_is_read_asked_or_said() {
    let known = |name: &str| case(name, OnnxOptions::default()).unwrap().fake_class().clone();
    assert_eq!((known("fake_first").class, known("fake_first").known_by), (0, KnownBy::Names("names".into())));
    assert_eq!((known("fake_first_column").class, known("fake_first_sigmoid").class), (1, 0));
    assert_eq!(known("p_real").known_by, KnownBy::OutputName("p_real".into()));
    let assumed = known("unsaid");
    assert_eq!((assumed.class, assumed.known_by), (1, KnownBy::Assumed));
    assert!(assumed.note.contains("\"fake\": 0 in unsaid.json"), "{}", assumed.note);
    for (name, word) in [
        ("contradiction", "contradicts"),
        ("two_outputs", "2 outputs"),
        ("two_sigmoids", "sum to 1"),
        ("three", "[1, 3]"),
        ("logit_first", "of the first one"),
        ("softmax_first", "of the first one"),
        ("logit_difference", "nor which one"),
        ("softmax_swapped", "nor which one"),
        ("sigmoid_swapped", "nor which one"),
        ("mean_turned", "nor which one"),
        ("softmax_reshaped_column", "nor which one"),
        ("softmax_squeezed_column", "nor which one"),
    ] {
        let error = case(name, OnnxOptions::default()).err().unwrap_or_else(|| panic!("{name} opens"));
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
    let named = |name: &str| OnnxOptions { output_name: Some(name.into()), ..OnnxOptions::default() };
    for output in ["q", "logits"] {
        let p = p_fake(&case("two_outputs", named(output)).unwrap(), &crop(), 1, 0)[0];
        assert!((p - 0.018).abs() < 1e-4, "{output}: {p}");
    }
    let error = case("two_outputs", named("other")).err().unwrap().to_string();
    assert!(error.contains("`output_name` is other; expected one of `q`, `logits`"), "{error}");
}

#[test]
fn what_only_shows_when_it_runs_ends_in_a_child_with_limits() {
    let begun = std::time::Instant::now();
    let error = case("doubled_late", OnnxOptions::default()).err().unwrap();
    if cfg!(target_os = "linux") {
        assert!(error.to_string().contains("needs more memory than the 1024 MiB"), "{error}");
    }
    assert!(error.hint().is_some() && begun.elapsed().as_secs() < 60);
    let error = case("absent", OnnxOptions::default()).err().unwrap().to_string();
    assert!(error.contains("absent.onnx_data") && error.contains("not beside it"), "{error}");
    assert!(case("beside", OnnxOptions::default()).is_ok());
    for name in ["nan_beside", "nan_in_if"] {
        let error = case(name, OnnxOptions::default()).err().unwrap().to_string();
        assert!(error.contains("`w` holds weights that are no numbers (NaN)"), "{error}");
    }
}

/// Each architecture written as ONNX and run by rten gives the probabilities that it gives itself.
#[test]
fn every_architecture_goes_to_onnx_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::flex();
    for architecture in Architecture::ALL.into_iter().filter(|a| a.signal().is_none()) {
        let width = (architecture == Architecture::Resnet18).then_some(8);
        let config = NetworkConfig { width, ..NetworkConfig::new(2) };
        let net = Detector::new(architecture, &config, Init::Kaiming, 7, &device).unwrap();
        let path = folder.path().join(format!("{architecture}.onnx"));
        std::fs::write(&path, net.to_onnx([64; 2], &[("made_for", "a test")]).unwrap()).unwrap();
        let options = OnnxOptions { output: Some(OnnxOutput::Logits), fake: Some(1), ..OnnxOptions::default() };
        let onnx = open(&path, options).unwrap();
        assert_eq!(onnx.size(), 64, "{architecture}");
        let values: Vec<f32> = (0..2 * 3 * 64 * 64).map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0).collect();
        let images = || Tensor::from_data(TensorData::new(values.clone(), [2, 3, 64, 64]), &device);
        let draw = |posterior: &dyn Posterior| -> Vec<f32> {
            posterior.draw(images(), 0..1, 0).unwrap().into_data().iter::<f32>().collect()
        };
        let (ours, theirs) = (draw(&Deterministic::new(net.clone())), draw(&onnx));
        for (a, b) in ours.iter().zip(&theirs) {
            assert!((a - b).abs() < 1e-4, "{architecture}: {ours:?} and {theirs:?}");
        }
        assert!(net.to_onnx([16; 2], &[]).is_err(), "{architecture}");
    }
}

/// A network on PPG maps goes to ONNX as it is; one with convolutions over frames is refused with the reason.
#[test]
fn networks_on_signals_go_to_onnx_where_they_can() {
    let device = Device::flex();
    let net = |architecture| Detector::new(architecture, &NetworkConfig::new(2), Init::Kaiming, 7, &device).unwrap();
    let bytes = net(Architecture::Fakecatcher).to_onnx([64, 128], &[]).unwrap();
    let model = rten::Model::load(bytes).unwrap();
    let values: Vec<f32> = (0..64 * 128).map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0).collect();
    let picture = rten_tensor::NdTensor::from_data([1, 1, 64, 128], values.clone());
    let theirs: rten_tensor::NdTensor<f32, 2> = model.run_one(picture.view().into(), None).unwrap().try_into().unwrap();
    let picture = Tensor::from_data(TensorData::new(values, [1, 1, 64, 128]), &device);
    let ours = net(Architecture::Fakecatcher).forward(picture).unwrap().into_data();
    for (a, b) in ours.iter::<f32>().zip(theirs.iter()) {
        assert!((a - b).abs() < 1e-4, "{a} and {b}");
    }
    for architecture in [Architecture::Motion, Architecture::MotionFactored] {
        let error = net(architecture).to_onnx([16 * 64, 64], &[]).unwrap_err().to_string();
        assert!(error.contains("over frames"), "{error}");
    }
}
