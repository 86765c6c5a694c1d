//! Values known from papers and documentation, the words for what is undefined, and bad input.
#![allow(clippy::unwrap_used)]

use dubito_stats::calibration::{CalibrationError, Gap};
use dubito_stats::weighted::Weighted;
use dubito_stats::{
    Bootstrap, Confidence, Estimate, FrameSums, Scored, StatsError, Task, VideoSums, decompose, metrics, reliability,
};

/// A plain score: one sample, no clusters to speak of.
fn item(probs: &[f64], label: usize, cluster: u32) -> Scored {
    let mut sums = FrameSums::new(probs.len());
    sums.push(probs).unwrap();
    sums.finish(label, cluster).unwrap()
}

fn binary(positive: &[f64], labels: &[usize]) -> Vec<Scored> {
    positive.iter().zip(labels).map(|(&p, &label)| item(&[1.0 - p, p], label, 0)).collect()
}

fn value(items: &[Scored], task: &Task, name: &str) -> f64 {
    metrics(items, task, None).unwrap()[name].value.unwrap()
}

fn reason(items: &[Scored], task: &Task, name: &str) -> String {
    let estimate = &metrics(items, task, None).unwrap()[name];
    assert_eq!((estimate.value, estimate.low, estimate.high), (None, None, None), "{name}");
    estimate.undefined_because.clone().unwrap()
}

#[test]
fn positive_class_ece() {
    // The example of torchmetrics' binary_calibration_error.
    let happened = [false, false, true, true, true];
    let confidence = [0.25, 0.25, 0.55, 0.75, 0.75];
    let ece = CalibrationError::new(&confidence, &happened, 2, Gap::Mean);
    assert!((ece.value(&[1; 5]).unwrap() - 0.29).abs() < 1e-12);
    let mce = CalibrationError::new(&confidence, &happened, 2, Gap::Largest);
    assert!((mce.value(&[1; 5]).unwrap() - 0.95 / 3.0).abs() < 1e-12);

    let rms = CalibrationError::new(&confidence, &happened, 2, Gap::RootMeanSquare);
    assert!((rms.value(&[1; 5]).unwrap() - 0.2918).abs() < 5e-5);

    // The largest gap may be in the first bin, and an empty bin has none.
    let mce = CalibrationError::new(&[0.0, 0.1, 0.9], &[true, true, true], 3, Gap::Largest);
    assert!((mce.value(&[1; 3]).unwrap() - 0.95).abs() < 1e-12);

    let items = binary(&[0.95, 1.0], &[1, 0]);
    assert!((value(&items, &Task::binary(), "ece_pos15") - 0.475).abs() < 1e-12);
    assert!((value(&items, &Task::binary(), "ece_top15") - 0.475).abs() < 1e-12);
}

#[test]
fn opposite_networks_are_all_epistemic() {
    let found = decompose(&[0.0, 1.0, 1.0, 0.0], 2).unwrap();
    assert!((found.epistemic - 2f64.ln()).abs() < 1e-12);
    assert_eq!(found.aleatoric, 0.0);
}

#[test]
fn three_kinds_of_doubt_are_told_apart() {
    let (yes, no) = ([0.0, 1.0], [1.0, 0.0]);
    let video = |rows: &[(u64, [f64; 2])]| {
        let mut sums = VideoSums::new(2);
        rows.iter().for_each(|(sample, probs)| sums.push(*sample, probs).unwrap());
        let v = sums.finish(1, 0).unwrap();
        [v.aleatoric, v.between_frames, v.epistemic].map(|x| (x / 2f64.ln() * 1e9).round() / 1e9)
    };
    // Each network sees one frame as fake and one as real, and they agree: the doubt is between frames.
    assert_eq!(video(&[(0, yes), (0, no), (1, yes), (1, no)]), [0.0, 1.0, 0.0]);
    // Each network is sure of the whole video, and they disagree: epistemic.
    assert_eq!(video(&[(0, yes), (0, yes), (1, no), (1, no)]), [0.0, 0.0, 1.0]);
    // Everybody tosses a coin: aleatoric.
    assert_eq!(video(&[(0, [0.5, 0.5]), (0, [0.5, 0.5]), (1, [0.5, 0.5]), (1, [0.5, 0.5])]), [1.0, 0.0, 0.0]);
}

#[test]
fn aurc_is_the_mean_selective_risk() {
    let items = [item(&[0.7, 0.3], 0, 0), item(&[0.6, 0.4], 1, 0), item(&[0.8, 0.2], 0, 0)];
    // Kept one, two, three: risk 0, 0, 1/3.
    assert!((value(&items, &Task::binary(), "aurc") - 1.0 / 9.0).abs() < 1e-12);
    // The integral of the generalised risk: one error, the last of three.
    assert!((value(&items, &Task::binary(), "augrc") - 1.0 / 18.0).abs() < 1e-12);
    assert!((value(&items, &Task::binary(), "aurc_trapezoid") - 1.0 / 12.0).abs() < 1e-12);
    // The error is the least confident item: no ranking is better.
    assert_eq!(value(&items, &Task::binary(), "eaurc"), 0.0);
    let reason = reason(&items[..1], &Task::binary(), "aurc_trapezoid");
    assert_eq!(reason, "there are fewer than 2 items (1): the trapezoid rule needs two coverages");
}

#[test]
fn what_is_undefined_says_why() {
    let task = Task::binary();
    let real = binary(&[0.1, 0.6], &[0, 0]);
    assert_eq!(reason(&real, &task, "auroc"), "all items are real: AUROC needs both classes");
    assert_eq!(reason(&real, &task, "average_precision"), "all items are real: average precision needs both classes");
    assert_eq!(reason(&real, &task, "balanced_accuracy"), "all items are real: balanced accuracy needs both classes");
    let fake = binary(&[0.9, 0.4], &[1, 1]);
    assert_eq!(reason(&fake, &task, "auroc"), "all items are fake: AUROC needs both classes");
    let right = binary(&[0.1, 0.9], &[0, 1]);
    assert!(reason(&right, &task, "misclassification_auroc_total").starts_with("no item is misclassified: "));
    let wrong = binary(&[0.9, 0.1], &[0, 1]);
    assert!(reason(&wrong, &task, "misclassification_auroc_epistemic").starts_with("every item is misclassified: "));

    let task = Task::multiclass(["real", "swap", "mouth"]);
    let some = [item(&[0.5, 0.3, 0.2], 0, 0), item(&[0.5, 0.3, 0.2], 1, 0)];
    assert_eq!(reason(&some, &task, "auroc_mouth"), "no item is mouth: the AUROC of mouth against the rest needs both");
    assert_eq!(value(&some, &task, "auroc"), 0.5);
    let one = [item(&[0.5, 0.3, 0.2], 1, 0)];
    assert_eq!(reason(&one, &task, "auroc"), "all items are swap: AUROC needs items of two classes or more");
    assert!(!metrics(&one, &task, None).unwrap().contains_key("ece_pos15"));

    for task in [Task::binary(), task] {
        for (name, estimate) in metrics(&[], &task, Some(&Bootstrap::default())).unwrap() {
            assert_eq!(estimate, Estimate::undefined("there are no items"), "{name}");
        }
        let empty = reliability(&[], &task, 3, Confidence::Top).unwrap();
        assert!(empty.iter().all(|bin| bin.count == 0 && bin.confidence.is_none() && bin.accuracy_low.is_none()));
    }
}

#[test]
fn few_people_have_no_interval() {
    let items: Vec<Scored> = (0..40).map(|i| item(&[0.3, 0.7], i % 2, i as u32 % 4)).collect();
    let found = &metrics(&items, &Task::binary(), Some(&Bootstrap::default())).unwrap()["accuracy"];
    assert_eq!((found.value, found.low, found.high), (Some(0.5), None, None));
    assert_eq!(
        found.undefined_because.as_deref(),
        Some("no interval: the items come from 4 clusters (identities), an interval needs at least 5")
    );
}

#[test]
fn a_metric_missing_in_many_replicates_has_no_interval() {
    // One of ten people is fake: (9/10)^10 = 35 % of the replicates have no fake.
    let items: Vec<Scored> = (0..10).map(|i| item(&[0.5, 0.5], usize::from(i == 0), i)).collect();
    let found = &metrics(&items, &Task::binary(), Some(&Bootstrap::default())).unwrap();
    let auroc = &found["auroc"];
    assert_eq!((auroc.value, auroc.low, auroc.high), (Some(0.5), None, None));
    let words = auroc.undefined_because.as_deref().unwrap();
    let share: f64 = words.split(' ').find_map(|w| w.parse().ok()).unwrap();
    assert!((share - 34.9).abs() < 5.0, "{words}");
    assert!(found["nll"].low.is_some());
    assert_eq!(found["nll"].undefined_because, None);
}

#[test]
fn bad_input_is_named() {
    let task = Task::binary();
    let good = item(&[0.5, 0.5], 0, 0);
    let error = |change: &dyn Fn(&mut Scored)| {
        let mut bad = good.clone();
        change(&mut bad);
        metrics(&[good.clone(), bad], &task, None).unwrap_err().to_string()
    };
    assert_eq!(
        error(&|s| s.probs = vec![0.5, f64::NAN]),
        "item 1: the probability of class 1 is NaN, expected a number from 0 to 1"
    );
    assert_eq!(
        error(&|s| s.probs = vec![1.2, -0.2]),
        "item 1: the probability of class 0 is 1.2, expected a number from 0 to 1"
    );
    assert!(error(&|s| s.probs = vec![0.5, 0.4]).starts_with("item 1: the probabilities sum to 0.9, expected 1"));
    assert_eq!(error(&|s| s.probs = vec![1.0]), "item 1: 1 probabilities, but there are 2 classes");
    assert_eq!(error(&|s| s.label = 2), "item 1: label 2, but the classes are numbered 0 to 1");
    assert_eq!(
        error(&|s| s.epistemic = f64::INFINITY),
        "item 1: epistemic is inf, expected a number of nats from 0 to 1000000"
    );
    assert!(error(&|s| s.aleatoric = -0.1).starts_with("item 1: aleatoric is -0.1"));

    let task_error = |classes: &[&str], positive| {
        let task = Task { classes: classes.iter().map(|c| c.to_string()).collect(), positive };
        metrics(&[], &task, None).unwrap_err().to_string()
    };
    assert!(task_error(&["real"], None).contains("expected two classes or more, found 1"));
    assert!(task_error(&["a", "b", "a"], None).contains("\"a\" is named twice"));
    assert!(task_error(&["a", "b", "c"], Some(1)).contains("expected two classes, found 3"));
    assert!(task_error(&["a", "b"], Some(2)).contains("expected 0 or 1"));

    let bootstrap = |replicates, level| {
        let bootstrap = Bootstrap { replicates, level, ..Bootstrap::default() };
        metrics(&[], &task, Some(&bootstrap)).unwrap_err().to_string()
    };
    assert_eq!(bootstrap(0, 0.95), "replicates is 0, expected a number from 1 to 1000000");
    assert_eq!(bootstrap(10, 1.0), "level is 1, expected a number above 0 and below 1");
    assert_eq!(bootstrap(10, f64::NAN), "level is NaN, expected a number above 0 and below 1");

    assert!(reliability(&[], &task, 0, Confidence::Top).unwrap_err().to_string().starts_with("bins is 0"));
    let multiclass = Task::multiclass(["a", "b", "c"]);
    assert!(reliability(&[], &multiclass, 5, Confidence::Positive).is_err());
    assert_eq!(decompose(&[], 2), Err(StatsError::NoSamples));
    assert_eq!(decompose(&[0.5; 3], 2), Err(StatsError::RaggedSamples { classes: 2, found: 3 }));
    assert_eq!(decompose(&[0.5; 3], 0), Err(StatsError::RaggedSamples { classes: 0, found: 3 }));
}

#[test]
fn a_video_needs_every_sample_of_every_frame() {
    let mut video = VideoSums::new(2);
    assert_eq!(video.finish(0, 0).unwrap_err(), StatsError::NoSamples);
    video.push(3, &[0.5, 0.5]).unwrap();
    video.push(3, &[0.5, 0.5]).unwrap();
    video.push(u64::MAX, &[0.5, 0.5]).unwrap();
    let error = StatsError::UnevenFrames { sample: u64::MAX, found: 1, reference: 3, expected: 2 };
    assert_eq!(video.finish(0, 0).unwrap_err(), error);
    assert!(video.push(u64::MAX, &[0.5, 0.6]).unwrap_err().to_string().contains("sum to 1.1"));
    video.push(u64::MAX, &[0.5, 0.5]).unwrap();
    assert_eq!(video.finish(0, 0).unwrap().total, 2f64.ln());
    assert!(video.merge(&VideoSums::new(3)).is_err());
    assert!(FrameSums::new(2).merge(&FrameSums::new(3)).is_err());
}

#[test]
fn nearly_normalised_is_mended() {
    // Sums of f32, and of tables with three digits.
    let items = [item(&[0.333, 0.333, 0.333], 0, 0), item(&[0.1, 0.2, 0.7 + 1e-8], 1, 0)];
    assert!((items[0].probs.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let task = Task::multiclass(["a", "b", "c"]);
    assert!(value(&items, &task, "nll") > 0.0);
    // A hair outside [0, 1] is clipped.
    assert_eq!(item(&[1.0 + 1e-7, -1e-7], 0, 0).total, 0.0);
}
