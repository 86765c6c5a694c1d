//! Attacks are torchattacks' step for step, stay in their ball, and look at samples that the evaluation does not.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Mutex;

use burn::tensor::Device;
use serde_json::Value;

use super::square::{Draws, Patch, part};
use super::*;
use crate::formula;
use crate::{
    Architecture, Boundary, Detector, Deterministic, Init, McDropoutPosterior, NetworkConfig, OnnxOptions, Sink,
};

fn list(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The golden file, its network, its inputs as bytes, its labels.
fn golden() -> (Value, Deterministic, Vec<u8>, Vec<usize>) {
    let golden: Value = serde_json::from_str(include_str!("../../tests/golden/attacks.json")).unwrap();
    let (architecture, config): (Architecture, _) =
        (golden["network"].as_str().unwrap().parse().unwrap(), formula::config());
    let mut state = formula::detector(architecture, &config, &Device::flex()).to_state();
    for part in ["weight", "bias"] {
        let array = state.get_mut(&format!("{}.{part}", architecture.classifier())).unwrap();
        array.values.iter_mut().for_each(|v| *v = (f64::from(*v) * golden["scale"].as_f64().unwrap()) as f32);
    }
    let net = Detector::from_state(architecture, &config, &state, &Device::flex()).unwrap();
    let labels: Vec<usize> = serde_json::from_value(golden["labels"].clone()).unwrap();
    let (size, n) = (32, labels.len() * 3 * 32 * 32);
    assert_eq!(golden["size"], size);
    let planes: Vec<u8> =
        formula::formula("attacked", n).iter().map(|&u| ((f64::from(u) + 0.5) * 255.0).round() as u8).collect();
    // Bytes have their channels innermost.
    let bytes = (0..n).map(|k| planes[k / 3072 * 3072 + k % 3 * 1024 + k % 3072 / 3]).collect();
    (golden, Deterministic::new(net), bytes, labels)
}

fn victim(posterior: &dyn Posterior) -> Victim<'_> {
    Victim { posterior, shape: [32, 32, 3], normalisation: Normalisation::default(), bgr: false }
}

/// Compares every 13th pixel.
fn assert_pixels(ours: &[f32], want: &Value, what: &str) {
    let want = list(want);
    assert_eq!(ours.len().div_ceil(13), want.len());
    for (i, (a, b)) in ours.iter().step_by(13).zip(want).enumerate() {
        assert!((f64::from(*a) - b).abs() < 1e-6, "{what}, value {i}: {a} instead of {b}");
    }
}

fn assert_losses(ours: &[f32], want: &Value, what: &str) {
    for (a, b) in ours.iter().zip(list(want)) {
        assert!((f64::from(*a) - b).abs() < 1e-4 * b.max(0.1), "{what}: a loss of {a} instead of {b}");
    }
}

fn aim<'a>(victim: &'a Victim<'a>, labels: &'a [usize]) -> Aim<'a> {
    Aim { victim, labels, objective: AttackObjective::CrossEntropy, eot: 1, seed: 0 }
}

#[test]
fn fgsm_and_pgd_are_torchattacks_step_for_step() {
    let (golden, net, bytes, labels) = golden();
    let victim = victim(&net);
    let (aim, clean) = (aim(&victim, &labels), victim.pixels(&bytes).unwrap());
    let ball = Ball { clean: &clean, epsilon: 2.0 / 255.0 };
    assert_pixels(&fgsm::fgsm(&aim, ball, 0).unwrap(), &golden["fgsm"]["pixels"], "fgsm");

    let golden = &golden["pgd"];
    let noise: Vec<f32> = formula::formula("noise", clean.len()).iter().map(|u| 2.0 * ball.epsilon * u).collect();
    let step = golden["step"].as_f64().unwrap() as f32 / 255.0;
    let (mut k, steps) = (0, golden["losses"].as_array().unwrap().len());
    let mut watch = |pixels: &[f32], losses: &[f32]| {
        assert_losses(losses, &golden["losses"][k], &format!("pgd, step {k}"));
        assert_pixels(pixels, &golden["pixels"][k], &format!("pgd, step {k}"));
        k += 1;
    };
    pgd::pgd(&aim, ball, ball.moved(&noise), step, steps as u32, 0, &mut watch).unwrap();
    assert_eq!((k, steps), (6, 6));
}

#[test]
fn apgd_goes_the_way_of_the_published_algorithm() {
    let (golden, net, bytes, labels) = golden();
    let golden = &golden["apgd"];
    let victim = victim(&net);
    let (aim, clean) = (aim(&victim, &labels), victim.pixels(&bytes).unwrap());
    let ball = Ball { clean: &clean, epsilon: 2.0 / 255.0 };
    let noise = formula::formula("noise", clean.len());
    let start = apgd::widest(noise, victim.one(), ball.epsilon);
    let mut k = 0;
    let mut watch = |_: &[f32], losses: &[f32]| {
        k += 1;
        assert_losses(losses, &golden["losses"][k], &format!("apgd, step {k}"));
    };
    let best = apgd::apgd(&aim, ball, ball.moved(&start), 20, 0, &mut watch).unwrap();
    assert_eq!(k, 20);
    // Where a gradient is almost 0, its sign is rounding's.
    let want = list(&golden["pixels"]);
    let differ = best.iter().step_by(13).zip(&want).filter(|(a, b)| (f64::from(**a) - **b).abs() > 1e-6).count();
    assert!(differ * 200 <= want.len(), "{differ} of {} pixels differ", want.len());
    assert_losses(&aim.values(&best, 0).unwrap(), &golden["best_losses"], "apgd's best");
}

/// The draws that torchattacks made.
struct Recorded<'a>(&'a Value);

impl Draws for Recorded<'_> {
    fn stripes(&mut self, _: usize, _: MapShape) -> Vec<f32> {
        list(&self.0["stripes"]).into_iter().map(|s| s as f32).collect()
    }

    fn patch(&mut self, _: usize, k: u32, side: usize, _: MapShape) -> Patch {
        let patch = list(&self.0["patches"][k as usize]);
        let signs = patch[2..].iter().map(|&s| s as f32).collect();
        Patch { top: patch[0] as usize, left: patch[1] as usize, side, signs }
    }
}

#[test]
fn square_is_torchattacks_with_its_draws() {
    let (golden, net, bytes, labels) = golden();
    let golden = &golden["square"];
    let victim = victim(&net);
    let (aim, clean) = (aim(&victim, &labels[..1]), victim.pixels(&bytes[..3072]).unwrap());
    let ball = Ball { clean: &clean, epsilon: golden["epsilon"].as_f64().unwrap() as f32 / 255.0 };
    let losses = list(&golden["losses"]);
    let (mut k, mut best) = (0, losses[0]);
    let mut watch = |_: &[f32], values: &[f32]| {
        k += 1;
        best = losses[k].max(best);
        assert!((f64::from(values[0]) - best).abs() < 1e-5, "step {k}: {} instead of {best}", values[0]);
    };
    let steps = golden["steps"].as_u64().unwrap() as u32;
    let pixels = square::square_by(&aim, ball, steps, &mut Recorded(golden), &mut watch).unwrap();
    assert_eq!(k, 40);
    assert_pixels(&pixels, &golden["pixels"], "square");
}

#[test]
fn the_squares_shrink_as_in_the_paper() {
    // Of 10,000 queries halved after 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000.
    let ends = [(0, 0.8), (10, 0.8), (11, 0.4), (51, 0.2), (201, 0.1), (501, 0.05), (1001, 0.025), (2001, 0.0125)];
    for (k, p) in ends.into_iter().chain([(4001, 0.00625), (6001, 0.003125), (8001, 0.0015625), (9999, 0.0015625)]) {
        assert!((part(k, 10_000) - p).abs() < 1e-12, "{k}");
    }
    // Fewer are the same in short.
    assert!((part(4, 100) - 0.1).abs() < 1e-12 && (part(99, 100) - 0.0015625).abs() < 1e-12);
}

fn net() -> Detector {
    let config = NetworkConfig { width: Some(8), ..NetworkConfig::new(3) };
    Detector::new(Architecture::Resnet18, &config, Init::Kaiming, 5, &Device::flex()).unwrap()
}

fn dropout() -> McDropoutPosterior {
    McDropoutPosterior::new(net(), Boundary::Stage(3), 0.3).unwrap()
}

fn inputs(items: usize) -> Vec<u8> {
    let mut stream = Stream::new(Purpose::Other, 2, 0, 0);
    (0..items * 3072).map(|_| stream.below(256) as u8).collect()
}

fn quick(method: AttackMethod, epsilon: f32) -> Attack {
    let steps = match method {
        AttackMethod::Fgsm => 1,
        AttackMethod::Pgd | AttackMethod::Apgd => 8,
        AttackMethod::Square => 60,
    };
    Attack { steps, eot: 4, seed: 3, ..Attack::new(method, epsilon) }
}

/// A posterior that writes down which samples are asked of it.
struct Spy<'a>(&'a dyn Posterior, Mutex<Vec<(u64, Range<u32>)>>);

impl Posterior for Spy<'_> {
    fn classes(&self) -> usize {
        self.0.classes()
    }

    fn device(&self) -> &Device {
        self.0.device()
    }

    fn stream(&self, batch: Tensor<4>, samples: Range<u32>, seed: u64, sink: &mut Sink<'_>) -> Result<(), NnError> {
        self.1.lock().unwrap().push((seed, samples.clone()));
        self.0.stream(batch, samples, seed, sink)
    }
}

/// The mean probability of each item's label and its epistemic uncertainty, by fifty samples of the evaluation.
fn judged(victim: &Victim<'_>, pixels: &[f32], labels: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let p: Vec<f64> = victim.draw(pixels, 0..50, 0).unwrap().into_iter().map(f64::from).collect();
    let entropy = |p: &[f64]| -p.iter().map(|p| p * p.max(1e-300).ln()).sum::<f64>();
    let of = |(p, &label): (&[f64], &usize)| {
        let mean: Vec<f64> = (0..3).map(|c| p.iter().skip(c).step_by(3).sum::<f64>() / 50.0).collect();
        (mean[label], entropy(&mean) - p.chunks_exact(3).map(entropy).sum::<f64>() / 50.0)
    };
    p.chunks_exact(150).zip(labels).map(of).unzip()
}

#[test]
fn every_attack_helps_stays_in_its_ball_and_never_sees_a_sample_twice() {
    let posterior = dropout();
    let (bytes, clean) = (inputs(3), victim(&posterior).pixels(&inputs(3)).unwrap());
    let labels = [0, 1, 2];
    let (before, _) = judged(&victim(&posterior), &clean, &labels);
    for method in AttackMethod::ALL {
        let spy = Spy(&posterior, Mutex::default());
        let attack = Attack { restarts: if method == AttackMethod::Pgd { 2 } else { 1 }, ..quick(method, 3.0) };
        let found = attack.run(&victim(&spy), &bytes, &labels, 7).unwrap();
        for (x, clean) in found.pixels().iter().zip(&clean) {
            assert!((0.0..=1.0).contains(x) && (x - clean).abs() <= 3.0 / 255.0 + 1e-6, "{method}");
        }
        let rounded = found.rounded();
        assert!(rounded.iter().zip(&bytes).all(|(a, b)| a.abs_diff(*b) <= 3) && rounded != bytes, "{method}");
        let (after, _) = judged(&victim(&posterior), found.pixels(), &labels);
        assert!(after.iter().zip(&before).all(|(a, b)| a < b), "{method}: {before:?} {after:?}");

        let asked = spy.1.into_inner().unwrap();
        assert!(asked.iter().all(|(seed, _)| *seed == attack.draws_seed(7) && *seed != 7), "{method}");
        // Square looks at two samples beforehand, whether they differ at all; everything after that is new each time, but
        // for the judgement of several starts, which is by the same.
        let steps = asked.iter().filter(|(_, range)| *range != (0..2)).map(|(_, range)| range.clone());
        let mut steps: Vec<Range<u32>> = steps.collect();
        let judging = steps.last().unwrap().clone();
        assert_eq!(steps.iter().filter(|range| **range == judging).count(), attack.restarts as usize);
        steps.retain(|range| *range != judging);
        assert!(steps.iter().all(|range| range.len() == 4));
        let mut starts: Vec<u32> = steps.iter().map(|range| range.start).collect();
        starts.sort_unstable();
        assert!(starts.windows(2).all(|pair| pair[0] + 4 <= pair[1]) && judging.start >= starts[starts.len() - 1] + 4);
    }
}

#[test]
fn the_seed_of_the_draws_is_never_the_evaluations() {
    let attack = Attack { seed: 5, ..Attack::new(AttackMethod::Pgd, 4.0) };
    let usual = attack.draws_seed(0);
    assert!(usual != 5 && usual != 0);
    assert_eq!(usual, attack.draws_seed(1));
    assert_ne!(attack.draws_seed(usual), usual);
    assert_ne!(Attack { seed: 6, ..attack }.draws_seed(0), usual);
}

#[test]
fn stronger_attacks_are_stronger_and_square_never_gets_worse() {
    let net = Deterministic::new(net());
    let victim = victim(&net);
    let (bytes, labels) = (inputs(2), [0, 1]);
    let loss = |method, epsilon| {
        let attack = Attack { eot: 1, ..quick(method, epsilon) };
        attack.run(&victim, &bytes, &labels, 0).unwrap().objective().to_vec()
    };
    let [fgsm, pgd, apgd] = [AttackMethod::Fgsm, AttackMethod::Pgd, AttackMethod::Apgd].map(|method| loss(method, 4.0));
    for i in 0..2 {
        assert!(pgd[i] > fgsm[i] && apgd[i] > fgsm[i], "{fgsm:?} {pgd:?} {apgd:?}");
    }
    assert!(loss(AttackMethod::Pgd, 1.0).iter().zip(&pgd).all(|(small, large)| small < large));
    let clean = victim.pixels(&bytes).unwrap();
    let (aim, ball) = (aim(&victim, &labels), Ball { clean: &clean, epsilon: 4.0 / 255.0 });
    let mut all: Vec<Vec<f32>> = Vec::new();
    square::square(&aim, ball, 80, 1, &mut |_, values| all.push(values.to_vec())).unwrap();
    assert!(all.windows(2).all(|pair| (0..2).all(|i| pair[1][i] >= pair[0][i])));
    assert!((0..2).all(|i| all[79][i] > all[0][i]));
}

#[test]
fn an_adaptive_attack_lowers_the_epistemic_uncertainty() {
    let posterior = McDropoutPosterior::new(net(), Boundary::Head, 0.5).unwrap();
    let victim = victim(&posterior);
    let (bytes, labels) = (inputs(3), [0, 1, 2]);
    let judge = |objective| {
        let attack = Attack { objective, eot: 8, ..quick(AttackMethod::Pgd, 6.0) };
        let found = attack.run(&victim, &bytes, &labels, 0).unwrap();
        let (p, epistemic) = judged(&victim, found.pixels(), &labels);
        (p.iter().sum::<f64>(), epistemic.iter().sum::<f64>())
    };
    let plain = judge(AttackObjective::CrossEntropy);
    let adaptive = judge(AttackObjective::Adaptive { weight: 20.0 });
    assert!(adaptive.1 < 0.9 * plain.1 && plain.0 < adaptive.0, "{plain:?} {adaptive:?}");
}

#[test]
fn an_item_is_attacked_by_itself() {
    let posterior = dropout();
    let victim = victim(&posterior);
    let bytes = inputs(3);
    for method in [AttackMethod::Pgd, AttackMethod::Square] {
        let attack = Attack { steps: 4, ..quick(method, 3.0) };
        let all = attack.run(&victim, &bytes, &[0, 1, 2], 0).unwrap();
        let alone = attack.run(&victim, &bytes[..3072], &[0], 0).unwrap();
        let same = alone.pixels().iter().zip(all.pixels()).filter(|(a, b)| (*a - *b).abs() < 1e-6).count();
        assert!(same > 3050, "{method}: {same} of 3072 pixels are the same");
        assert_eq!(attack.run(&victim, &bytes, &[0, 1, 2], 0).unwrap().pixels(), all.pixels());
    }
}

#[test]
fn a_black_box_is_attacked_by_square_alone() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/onnx_detectors/two_logits.onnx");
    let onnx = OnnxDetector::open(&path, OnnxOptions { channels: Channels::Bgr, ..OnnxOptions::default() }).unwrap();
    let victim = Victim::of_onnx(&onnx, &onnx);
    let one = victim.one();
    let mut stream = Stream::new(Purpose::Other, 2, 0, 0);
    let bytes: Vec<u8> = (0..2 * one).map(|_| stream.below(256) as u8).collect();
    // Pixels become what the detector's own function makes of bytes.
    let pixels = victim.pixels(&bytes).unwrap();
    assert_eq!(values_of(victim.batch(&pixels)), values_of(onnx.batch(&bytes).unwrap()));
    let attack = Attack { steps: 20, ..Attack::new(AttackMethod::Square, 8.0) };
    let found = attack.run(&victim, &bytes, &[0, 1], 0).unwrap();
    let loss = |pixels: &[f32]| aim(&victim, &[0, 1]).values(pixels, 0).unwrap();
    assert!(found.objective().iter().zip(loss(&pixels)).all(|(after, before)| *after >= before));
    let error = Attack::new(AttackMethod::Pgd, 8.0).run(&victim, &bytes, &[0, 1], 0).unwrap_err();
    assert!(matches!(error, NnError::NotDifferentiable), "{error}");
}

#[test]
fn settings_are_checked_by_name_and_written_as_they_are_read() {
    let good = Attack::new(AttackMethod::Pgd, 4.0);
    let adaptive = |weight| AttackObjective::Adaptive { weight };
    for (attack, field) in [
        (Attack { epsilon: 0.0, ..good.clone() }, "epsilon"),
        (Attack { epsilon: f32::NAN, ..good.clone() }, "epsilon"),
        (Attack { steps: 0, ..good.clone() }, "steps"),
        (Attack { steps: 2, ..Attack::new(AttackMethod::Fgsm, 1.0) }, "steps"),
        (Attack { steps: u32::MAX, ..good.clone() }, "steps"),
        (Attack { eot: 0, ..good.clone() }, "eot"),
        (Attack { eot: 1, objective: adaptive(1.0), ..good.clone() }, "eot"),
        (Attack { objective: adaptive(-1.0), ..good.clone() }, "objective.weight"),
        (Attack { restarts: 0, ..good.clone() }, "restarts"),
        (Attack { restarts: 2, ..Attack::new(AttackMethod::Square, 1.0) }, "restarts"),
        (Attack { step: Some(0.0), ..good.clone() }, "step"),
        (Attack { step: Some(1.0), ..Attack::new(AttackMethod::Apgd, 1.0) }, "step"),
    ] {
        let error = attack.check().unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}`")), "{field}: {error}");
    }
    let attack = Attack { objective: adaptive(2.0), step: Some(1.0), restarts: 3, seed: 9, ..good };
    attack.check().unwrap();
    let text = serde_json::to_string(&attack).unwrap();
    assert_eq!(serde_json::from_str::<Attack>(&text).unwrap(), attack, "{text}");
    let short = r#"{"method": "square", "epsilon": 4, "steps": 100}"#;
    assert_eq!(serde_json::from_str::<Attack>(short).unwrap().eot, 1);
    assert!(serde_json::from_str::<Attack>(r#"{"method": "square", "epsilon": 4, "stepz": 1}"#).is_err());

    let posterior = dropout();
    let victim = victim(&posterior);
    let attack = quick(AttackMethod::Fgsm, 1.0);
    for (bytes, labels) in [(&inputs(2)[..], &[0usize][..]), (&inputs(1), &[3]), (&[], &[]), (&inputs(1)[1..], &[0])] {
        assert!(matches!(attack.run(&victim, bytes, labels, 0), Err(NnError::Input { .. })), "{labels:?}");
    }
    assert!("deepfool".parse::<AttackMethod>().unwrap_err().to_string().contains("square"));
}

/// What 0.4 of 255 changes, no picture of bytes holds.
#[test]
fn rounding_stays_in_the_ball() {
    let posterior = dropout();
    let bytes = inputs(1);
    let rounded = |epsilon| {
        let attack = quick(AttackMethod::Fgsm, epsilon);
        attack.run(&victim(&posterior), &bytes, &[0], 0).unwrap().rounded()
    };
    let largest = |epsilon| rounded(epsilon).iter().zip(&bytes).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert_eq!([0.4, 0.7, 1.0, 1.6, 8.0].map(largest), [0, 0, 1, 1, 8]);
}
