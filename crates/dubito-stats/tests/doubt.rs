//! Measures of doubt, rules from frames to videos, thresholds and curves: golden/doubt.json (made by
//! golden/doubt.py) and what holds for all of them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use dubito_stats::discrimination::confusion;
use dubito_stats::selective::accuracy_rejection;
use dubito_stats::{
    Doubt, FrameSums, Items, Measures, Scale, Task, ThresholdRule, Unit, VideoRule, VideoSums, at_threshold,
    choose_threshold, decompose, epistemic_jackknife, metrics_of, video_probs,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    videos: Vec<Video>,
    rules: Vec<Rules>,
    thresholds: Vec<Threshold>,
}

#[derive(Deserialize)]
struct Video {
    name: String,
    probs: Vec<Vec<Vec<f64>>>,
    want: Measures,
    jackknife: Option<f64>,
}

#[derive(Deserialize)]
struct Rules {
    name: String,
    classes: usize,
    positive: Option<usize>,
    frames: Vec<Vec<f64>>,
    want: BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
struct Threshold {
    name: String,
    p: Vec<f64>,
    labels: Vec<usize>,
    fpr: f64,
    youden: f64,
    youden_tpr: f64,
    youden_fpr: f64,
    at_fpr: Option<f64>,
    at_fpr_tpr: f64,
    at_fpr_fpr: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/doubt.json")).unwrap()
}

fn binary(p: &[f64], labels: &[usize]) -> Items {
    let mut items = Items::new(&Task::binary()).unwrap();
    for (&p, &label) in p.iter().zip(labels) {
        items.push_parts(label, &[1.0 - p, p], [0.0; 4], 0).unwrap();
    }
    items
}

fn list(m: &Measures) -> [f64; 7] {
    [
        m.total_variance,
        m.aleatoric_variance,
        m.between_frames_variance,
        m.epistemic_variance,
        m.variation_ratio,
        m.max_probability,
        m.margin,
    ]
}

#[test]
fn measures_agree_with_numpy() {
    for Video { name, probs, want, jackknife } in golden().videos {
        let classes = probs[0][0].len();
        let mut video = VideoSums::new(classes);
        for (sample, frames) in probs.iter().enumerate() {
            frames.iter().for_each(|p| video.push(sample as u64, p).unwrap());
        }
        let found = video.measures().unwrap();
        for (found, want) in list(&found).into_iter().zip(list(&want)) {
            assert!((found - want).abs() < 1e-9, "{name}: {found} {want}");
        }
        let one: Vec<f64> = probs.iter().flat_map(|frames| frames[0].clone()).collect();
        let mut frame = FrameSums::new(classes);
        one.chunks(classes).for_each(|p| frame.push(p).unwrap());
        let measures = frame.measures().unwrap();
        if probs[0].len() == 1 {
            assert_eq!(list(&measures), list(&found), "{name}: a video of one frame is a frame");
        }
        assert_eq!(measures.between_frames_variance, 0.0);
        match jackknife {
            Some(want) => {
                let found = epistemic_jackknife(&one, classes).unwrap();
                assert!((found - want).abs() < 1e-9, "{name}: {found} {want}");
            }
            None => assert!(epistemic_jackknife(&one, classes).unwrap_err().to_string().contains("two or more")),
        }
    }
    assert!(FrameSums::new(2).measures().is_err() && VideoSums::new(2).measures().is_err());
    assert!(epistemic_jackknife(&[], 2).is_err());
}

#[test]
fn the_jackknife_takes_the_bias_away() {
    // Networks that say .2 or .8, as by a coin: the information of many is that of all.
    let truth = decompose(&[0.2, 0.8, 0.8, 0.2], 2).unwrap().epistemic;
    let (mut plain, mut mended) = (0.0, 0.0);
    // Every outcome of six tosses, once: exact expectations.
    for toss in 0..64u32 {
        let samples: Vec<f64> =
            (0..6).flat_map(|bit| if toss >> bit & 1 == 1 { [0.2, 0.8] } else { [0.8, 0.2] }).collect();
        plain += decompose(&samples, 2).unwrap().epistemic / 64.0;
        mended += epistemic_jackknife(&samples, 2).unwrap() / 64.0;
    }
    assert!(plain < 0.87 * truth, "{plain} {truth}");
    assert!((mended - truth).abs() < 0.2 * (truth - plain), "{mended} {plain} {truth}");
}

#[test]
fn units() {
    assert_eq!(Unit::default(), Unit::Nats);
    assert_eq!(Unit::Nats.of_nats(0.3, 4), 0.3);
    assert!((Unit::Bits.of_nats(4f64.ln(), 4) - 2.0).abs() < 1e-12);
    assert!((Unit::Normalised.of_nats(4f64.ln(), 4) - 1.0).abs() < 1e-12);
}

#[test]
fn rules_agree_with_numpy() {
    for Rules { name, classes, positive, frames, want } in golden().rules {
        let task = Task { classes: (0..classes).map(|k| format!("c{k}")).collect(), positive };
        let flat: Vec<f64> = frames.concat();
        let backwards: Vec<f64> = frames.iter().rev().flatten().copied().collect();
        for (rule, key) in [
            (VideoRule::Mean, "mean"),
            (VideoRule::Median, "median"),
            (VideoRule::LogOdds, "log_odds"),
            (VideoRule::TopK(3), "top3"),
            (VideoRule::TopShare(0.1), "top_share"),
            (VideoRule::Majority, "majority"),
        ] {
            let found = video_probs(rule, &flat, &task).unwrap();
            for (found, want) in found.iter().zip(&want[key]) {
                assert!((found - want).abs() < 1e-9, "{name}, {key}: {found} {want}");
            }
            assert_eq!(found, video_probs(rule, &backwards, &task).unwrap());
        }
    }
    let task = Task::binary();
    let why = |rule, frames: &[f64]| video_probs(rule, frames, &task).unwrap_err().to_string();
    assert!(why(VideoRule::Mean, &[]).contains("no samples"));
    assert!(why(VideoRule::Mean, &[0.5, 0.5, 0.5]).contains("rows of 2 classes"));
    assert!(why(VideoRule::Mean, &[0.5, 0.5, 0.5, 0.6]).contains("frame 1"));
    assert!(why(VideoRule::TopK(0), &[0.5, 0.5]).contains("one frame or more"));
    assert!(why(VideoRule::TopShare(1.5), &[0.5, 0.5]).contains("at most 1"));
    let three = Task::multiclass(["a", "b", "c"]);
    let apart = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    assert_eq!(video_probs(VideoRule::Median, &apart, &three).unwrap(), [1.0 / 3.0; 3]);
}

#[test]
fn thresholds_agree_with_scikit_learn() {
    for case in golden().thresholds {
        let items = binary(&case.p, &case.labels);
        let youden = choose_threshold(&items, ThresholdRule::Youden).unwrap().value.unwrap();
        // A probability is 1 - (1 - p) here, so it may differ in its last digit.
        assert!((youden - case.youden).abs() < 1e-12, "{}: {youden}", case.name);
        let judged = at_threshold(&items, Scale::Probability, youden).unwrap();
        assert!((judged.tpr.value.unwrap() - case.youden_tpr).abs() < 1e-12);
        assert!((judged.fpr.value.unwrap() - case.youden_fpr).abs() < 1e-12);
        let at_fpr = choose_threshold(&items, ThresholdRule::AtFpr(case.fpr)).unwrap();
        let Some(want) = case.at_fpr else {
            let why = at_fpr.undefined_because.unwrap();
            assert!(why.contains("are real: a threshold at this false-positive rate needs at least 300"), "{why}");
            continue;
        };
        assert!((at_fpr.value.unwrap() - want).abs() < 1e-12, "{}", case.name);
        let judged = at_threshold(&items, Scale::Probability, at_fpr.value.unwrap()).unwrap();
        assert!((judged.tpr.value.unwrap() - case.at_fpr_tpr).abs() < 1e-12);
        assert!((judged.fpr.value.unwrap() - case.at_fpr_fpr).abs() < 1e-12);
        assert!(judged.fpr.value.unwrap() <= case.fpr);
        let right = (judged.true_positives + judged.true_negatives) as f64;
        assert!((judged.accuracy.value.unwrap() - right / case.p.len() as f64).abs() < 1e-12);
    }
}

#[test]
fn thresholds_say_what_they_lack() {
    let why = |items: &Items, rule| choose_threshold(items, rule).unwrap().undefined_because.unwrap();
    assert_eq!(why(&binary(&[], &[]), ThresholdRule::Youden), "there are no items");
    let fakes = binary(&[0.4, 0.6], &[1, 1]);
    assert_eq!(why(&fakes, ThresholdRule::Youden), "all items are fake: a threshold needs both classes");
    assert_eq!(why(&fakes, ThresholdRule::AtFpr(0.1)), "all items are fake: a threshold needs both classes");
    // Reals alone tell where their false alarms end.
    let reals = binary(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95], &[0; 10]);
    let at = choose_threshold(&reals, ThresholdRule::AtFpr(0.3)).unwrap().value.unwrap();
    assert!((at - 0.8).abs() < 1e-12);
    assert!(why(&reals, ThresholdRule::Youden).starts_with("all items are real"));
    // One tie holds more than the share: nothing may be called fake.
    let at = choose_threshold(&binary(&[0.5; 10], &[0; 10]), ThresholdRule::AtFpr(0.3)).unwrap().value.unwrap();
    assert!(at > 0.5 && at < 0.500001);
    assert!(choose_threshold(&fakes, ThresholdRule::AtFpr(1.0)).is_err());
    assert!(choose_threshold(&Items::new(&Task::multiclass(["a", "b"])).unwrap(), ThresholdRule::Youden).is_err());
    let judged = at_threshold(&fakes, Scale::Probability, 0.5).unwrap();
    assert_eq!(judged.tpr.value, Some(0.5));
    assert_eq!(judged.balanced_accuracy.undefined_because.as_deref(), Some("there are no items that are real"));
}

#[test]
fn the_rejection_curve_ends_at_the_accuracy_and_its_mean_is_aurc() {
    let p: Vec<f64> = (0..200).map(|i| (f64::from(i) * 0.618_033_988_749_894_9) % 1.0).collect();
    let labels: Vec<usize> = (0..200).map(|i| usize::from((i * 37 % 100) as f64 / 100.0 < p[i])).collect();
    let items = binary(&p, &labels);
    let metrics = metrics_of(&items, None).unwrap();
    let curve = accuracy_rejection(&items, Doubt::MaxProbability, usize::MAX);
    assert_eq!(curve.len(), 200); // no ties
    let last = curve.last().unwrap();
    assert_eq!((last.coverage, Some(last.accuracy)), (1.0, metrics["accuracy"].value));
    let risk: f64 = curve.iter().map(|point| 1.0 - point.accuracy).sum::<f64>() / 200.0;
    assert!((risk - metrics["aurc"].value.unwrap()).abs() < 1e-12);
    let short = accuracy_rejection(&items, Doubt::MaxProbability, 10);
    assert_eq!(short.len(), 10);
    assert!(short.iter().all(|point| curve.contains(point)));
    // All doubts are 0: one block, never parted.
    assert_eq!(accuracy_rejection(&items, Doubt::Total, 10).len(), 1);
    assert!(accuracy_rejection(&binary(&[], &[]), Doubt::Margin, 10).is_empty());

    let matrix = confusion(&items);
    assert_eq!(matrix.iter().flatten().sum::<u64>(), 200);
    assert_eq!((matrix[0][0] + matrix[1][1]) as f64 / 200.0, metrics["accuracy"].value.unwrap());
    assert_eq!(matrix[1].iter().sum::<u64>(), labels.iter().sum::<usize>() as u64);
}

#[test]
fn the_debiased_error_of_a_perfect_model_is_nearer_to_none() {
    // 300 studies of 200 items whose probabilities are true.
    let mut state = 5u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let (mut plain, mut debiased, mut squared) = (0.0, 0.0, 0.0);
    for _ in 0..300 {
        let p: Vec<f64> = (0..200).map(|_| uniform()).collect();
        let labels: Vec<usize> = p.iter().map(|&p| usize::from(uniform() < p)).collect();
        let found = metrics_of(&binary(&p, &labels), None).unwrap();
        plain += found["ece_top15"].value.unwrap() / 300.0;
        debiased += found["ece_top15_debiased"].value.unwrap() / 300.0;
        squared += found["rms_top15_debiased"].value.unwrap().powi(2) / 300.0;
    }
    assert!(plain > 0.05, "{plain}");
    assert!(debiased < 0.65 * plain, "{debiased} {plain}");
    assert!(squared.sqrt() < 0.04, "{squared}");
}

#[test]
fn groups_and_parts() {
    let items = binary(&[0.1, 0.9, 0.6, 0.3], &[0, 1, 0, 1]);
    let odd = items.select(|i| i % 2 == 1);
    assert_eq!((odd.len(), odd.label(0), odd.probs(1)[1]), (2, 1, 0.3));
    let mut whole = items.select(|i| i < 2);
    whole.append(&items.select(|i| i >= 2)).unwrap();
    assert_eq!(whole, items);
    assert!(whole.append(&Items::new(&Task::multiclass(["real", "fake"])).unwrap()).is_err());
    assert!(items.select(|_| false).is_empty());
    let too_many = Task::multiclass((0..5000).map(|k| k.to_string()));
    assert!(Items::new(&too_many).unwrap_err().to_string().contains("at most 4096 classes"));
}
