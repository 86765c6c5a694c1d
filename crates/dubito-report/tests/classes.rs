//! Predictions of several classes: two views of the same numbers, and generators that were never seen.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dubito_report::predictions::OTHER_FAKE;
use dubito_report::{
    Level, Metrics, Options, PredictionWriter, Predictions, ReportInput, Row, evaluate, verdict, write_report,
};
use dubito_stats::{Bootstrap, Task};
use serde_json::{Value, json};

const PEOPLE: usize = 8;
const FRAMES: usize = 2;
const SAMPLES: usize = 5;
const CLASSES: [&str; 3] = ["real", "swap", "mouth"];

/// A number from 0 to 1 that depends on nothing but its key.
fn noise(key: [usize; 4]) -> f64 {
    let mix = |state: u64, part: usize| {
        let z = (state ^ part as u64).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) ^ (z >> 31)
    };
    (key.into_iter().fold(7, mix) >> 11) as f64 / (1u64 << 53) as f64
}

/// Of each person a real video, one of each class, one of a generator of no class (`new`) on which the samples disagree,
/// and one that is set aside.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for person in 0..PEOPLE {
        for (kind, (generator, label)) in
            [("real", 0), ("swap", 1), ("mouth", 2), ("new", OTHER_FAKE), ("mixed", OTHER_FAKE)].into_iter().enumerate()
        {
            for frame in 0..FRAMES {
                for sample in 0..SAMPLES {
                    let mut logits: Vec<f64> =
                        (0..3).map(|class| noise([person, kind, frame, 10 * sample + class])).collect();
                    match CLASSES.get(label) {
                        Some(_) => logits[label] += 2.0 * noise([person, kind, 1, 1]),
                        None => logits[1 + sample % 2] += 3.0,
                    }
                    let sum: f64 = logits.iter().map(|l| l.exp()).sum();
                    let video = format!("p{person}-{generator}");
                    rows.push(Row {
                        item: format!("{video}#{frame}"),
                        label,
                        probs: logits.iter().map(|l| l.exp() / sum).collect(),
                        sample: sample as u64,
                        frame: Some(frame as u64),
                        video: Some(video),
                        generator: Some(generator.into()),
                        identity: Some(format!("p{person}")),
                        ..Row::default()
                    });
                }
            }
        }
    }
    rows
}

fn provenance() -> Value {
    json!({ "generators": { "unseen": ["new"], "set_aside": ["mixed"] } })
}

fn write(path: &Path, rows: &[Row], task: &Task, provenance: &Value) {
    let mut writer = PredictionWriter::create(path, task, provenance).unwrap();
    rows.iter().for_each(|row| writer.push(row).unwrap());
    writer.finish().unwrap();
}

fn options() -> Options {
    Options { bootstrap: Some(Bootstrap { replicates: 100, ..Bootstrap::default() }), ..Options::default() }
}

fn of(path: PathBuf) -> Metrics {
    evaluate(&[path], &[], Value::Null, &options()).unwrap()
}

/// The same as P(fake): what the view of real against fake must be.
fn collapsed() -> Vec<Row> {
    let mut rows = rows();
    for row in &mut rows {
        row.label = usize::from(row.label != 0);
        row.probs = vec![row.probs[0], 1.0 - row.probs[0]];
    }
    rows
}

fn entropy(probs: &[f64]) -> f64 {
    -probs.iter().map(|p| p * p.ln()).sum::<f64>()
}

/// Of each video the mean probabilities, and total, aleatoric and between-frames doubt, the slow way.
fn videos() -> BTreeMap<String, (Vec<f64>, f64, f64, f64)> {
    let mut of: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    rows().into_iter().for_each(|row| of.entry(row.video.clone().unwrap()).or_default().push(row));
    let mean = |rows: &[&Row]| -> Vec<f64> {
        (0..3).map(|c| rows.iter().map(|row| row.probs[c]).sum::<f64>() / rows.len() as f64).collect()
    };
    of.into_iter()
        .map(|(video, rows)| {
            let all = mean(&rows.iter().collect::<Vec<_>>());
            let within = rows.iter().map(|row| entropy(&row.probs)).sum::<f64>() / rows.len() as f64;
            let by_sample: f64 = (0..SAMPLES as u64)
                .map(|sample| entropy(&mean(&rows.iter().filter(|row| row.sample == sample).collect::<Vec<_>>())))
                .sum();
            let total = entropy(&all);
            (video, (all, total, within, by_sample / SAMPLES as f64 - within))
        })
        .collect()
}

#[test]
fn the_overall_groups_are_of_real_against_fake() {
    let folder = tempfile::tempdir().unwrap();
    let (several, two) = (folder.path().join("several.parquet"), folder.path().join("two.parquet"));
    write(&several, &rows(), &Task::multiclass(CLASSES), &provenance());
    write(&two, &collapsed(), &Task::binary(), &provenance());
    let (several, two) = (of(several), of(two));
    assert_eq!(several.task, Task::binary());
    assert!(two.confusion.is_empty() && two.groups.iter().all(|group| !group.by.contains_key("task")));
    let close = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        (a, b) => a == b,
    };
    for group in &two.groups {
        let same = several.groups.iter().find(|g| g.by == group.by && g.level == group.level).unwrap();
        assert_eq!((same.items, same.videos), (group.items, group.videos), "{:?}", group.by);
        for (name, estimate) in &group.metrics {
            let other = &same.metrics[name];
            // Where P(real) is 1 - P(fake) to rounding only, ties may part.
            assert!(close(estimate.value, other.value), "{:?} {name}: {estimate:?} {other:?}", group.by);
        }
    }
    assert_eq!(several.unseen.len(), 2);
    assert_eq!(several.unseen[0].generators.len(), two.unseen[0].generators.len());
    for (a, b) in several.unseen[0].generators.iter().zip(&two.unseen[0].generators) {
        assert_eq!((&a.generator, a.items, a.caught.value), (&b.generator, b.items, b.caught.value));
        assert!(close(a.doubts["epistemic"].unseen.value, b.doubts["epistemic"].unseen.value));
    }
}

#[test]
fn the_view_of_several_classes_holds_the_seen_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    write(&path, &rows(), &Task::multiclass(CLASSES), &provenance());
    let metrics = of(path);
    let group = metrics.group(&[("task", "multiclass")], Level::Video).unwrap();
    assert_eq!((group.items, group.videos), (3 * PEOPLE, 3 * PEOPLE));
    let frames = metrics.group(&[("task", "multiclass")], Level::Frame).unwrap();
    assert_eq!((frames.items, frames.videos), (3 * PEOPLE * FRAMES, 3 * PEOPLE));

    let videos = videos();
    let largest = |probs: &[f64]| (0..3).max_by(|&a, &b| probs[a].total_cmp(&probs[b])).unwrap();
    let mut counts = vec![vec![0u64; 3]; 3];
    let (mut totals, mut aleatoric, mut between, mut nll) = (0.0, 0.0, 0.0, 0.0);
    for (video, (probs, total, within, frames)) in &videos {
        let Some(class) = CLASSES.iter().position(|class| video.ends_with(class)) else { continue };
        counts[class][largest(probs)] += 1;
        totals += total;
        aleatoric += within;
        between += frames;
        nll -= probs[class].ln();
    }
    let n = 3.0 * PEOPLE as f64;
    let right = (0..3).map(|c| counts[c][c]).sum::<u64>() as f64 / n;
    let recall = (0..3).map(|c| counts[c][c] as f64 / PEOPLE as f64).sum::<f64>() / 3.0;
    for (name, expected) in [
        ("accuracy", right),
        ("balanced_accuracy", recall),
        ("nll", nll / n),
        ("total", totals / n),
        ("aleatoric", aleatoric / n),
        ("between_frames", between / n),
        ("epistemic", (totals - aleatoric - between) / n),
    ] {
        let found = group.metric(name);
        assert!((found.value.unwrap() - expected).abs() < 1e-9, "{name}: {found:?}, {expected}");
        assert!(found.low.is_some(), "{name}: {found:?}");
    }
    assert!(group.metric("auroc").value.is_some() && group.metric("ece_top15").value.is_some());

    let confusion = &metrics.confusion[0];
    assert_eq!((&confusion.counts, confusion.level), (&counts, Level::Video));
    let mut new = vec![0; 3];
    videos.iter().filter(|(name, _)| name.ends_with("new")).for_each(|(_, video)| new[largest(&video.0)] += 1);
    assert_eq!(confusion.unseen, BTreeMap::from([("new".to_owned(), new)]));
}

#[test]
fn doubt_on_unseen_generators_is_that_of_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    write(&path, &rows(), &Task::multiclass(CLASSES), &provenance());
    let metrics = of(path);
    let of = |task: &str| metrics.unseen.iter().find(|unseen| unseen.task == task).unwrap();
    for unseen in [of("binary"), of("multiclass")] {
        assert_eq!((unseen.seen, unseen.seen_fakes, unseen.level), (3 * PEOPLE, 2 * PEOPLE, Level::Video));
        assert_eq!(unseen.set_aside, ["mixed"]);
        let names: Vec<_> = unseen.generators.iter().map(|one| (one.generator.as_deref(), one.items)).collect();
        assert_eq!(names, [(None, PEOPLE), (Some("new"), PEOPLE)]);
        let doubts: Vec<_> = unseen.generators[0].doubts.keys().copied().collect();
        assert_eq!(doubts, ["aleatoric", "between_frames", "epistemic", "total"]);
    }
    let several = &of("multiclass").generators[1];
    let doubt = |suffix: &str| -> Vec<f64> {
        videos().into_iter().filter(|(name, _)| name.ends_with(suffix)).map(|(_, v)| v.1 - v.2 - v.3).collect()
    };
    let (new, swap, mouth, real) = (doubt("new"), doubt("swap"), doubt("mouth"), doubt("real"));
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let fakes = [swap, mouth].concat();
    let seen = [fakes.clone(), real].concat();
    let above = new.iter().flat_map(|u| seen.iter().map(move |s| f64::from(u8::from(u > s))));
    let found = &several.doubts["epistemic"];
    let close = |found: &dubito_stats::Estimate, expected: f64| {
        assert!((found.value.unwrap() - expected).abs() < 1e-9, "{found:?}, {expected}");
    };
    close(&found.detection.auroc, above.sum::<f64>() / (new.len() * seen.len()) as f64);
    close(&found.difference, mean(&new) - mean(&fakes));
    // Two samples in five say another class: the epistemic doubt is far above that on what is known.
    assert!(found.detection.auroc.low.unwrap() > 0.9 && found.difference.low.unwrap() > 0.0, "{found:?}");
    // Of real against fake they agree.
    let binary = &of("binary").generators[1].doubts["epistemic"];
    assert!(binary.unseen.value.unwrap() < found.unseen.value.unwrap() / 2.0, "{binary:?}");
}

#[test]
fn a_label_alone_tells_what_was_not_learned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.csv");
    write(&path, &rows(), &Task::multiclass(CLASSES), &Value::Null);
    let read = Predictions::read(std::slice::from_ref(&path), &options()).unwrap();
    let unseen: Vec<_> = read.scores.not_learned.unseen.iter().cloned().collect();
    assert_eq!(unseen, ["mixed", "new"]);
    assert_eq!(read.classes.unwrap().known.items(), 3 * PEOPLE * FRAMES);
    assert_eq!(of(path).unseen[0].generators.len(), 3);
    // Among classes of which none is real, `fake` is no label.
    let path = folder.path().join("q.csv");
    std::fs::write(&path, "item,label,prob_a,prob_b\nx,a,0.5,0.5\ny,fake,0.5,0.5\n").unwrap();
    let error = evaluate(&[path], &[], Value::Null, &options()).unwrap_err().to_string();
    assert!(error.contains("row 2, column label"), "{error}");
    let mut writer =
        PredictionWriter::create(&folder.path().join("r.csv"), &Task::multiclass(["a", "b"]), &Value::Null).unwrap();
    let row = Row { item: "x".into(), label: OTHER_FAKE, probs: vec![0.5, 0.5], ..Row::default() };
    assert!(writer.push(&row).unwrap_err().to_string().contains("label"));
}

#[test]
fn a_report_shows_classes_and_the_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    write(&path, &rows(), &Task::multiclass(CLASSES), &provenance());
    let input = ReportInput { not_in_this_run: vec!["No attack was <tried>.".into()], ..ReportInput::default() };
    let out = folder.path().join("out");
    let paths = [path.clone()];
    let metrics = write_report(&out, &paths, &input, &options()).unwrap();
    assert_eq!(metrics, Metrics { provenance: metrics.provenance.clone(), ..of(path) });
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    for text in [
        "Not in this run",
        "No attack was &#60;tried&#62;.",
        "Several classes",
        "What is called what",
        "Unseen generators, several classes",
        "Does doubt rise on generators it never saw?",
        "Never seen in training",
        "new (never seen)",
    ] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("NaN"));
    for name in ["figures/confusion.svg", "figures/confusion.png", "figures/unseen.svg", "tables/confusion.csv"] {
        assert!(out.join(name).exists(), "{name}");
    }
    let csv = std::fs::read_to_string(out.join("tables/confusion.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 4 * 3);
    assert!(csv.contains("new,yes,swap,"));
    let csv = std::fs::read_to_string(out.join("tables/unseen.csv")).unwrap();
    assert!(csv.lines().any(|line| line.contains(",multiclass,video,all unseen,") && line.contains("epistemic_auroc")));

    let scores = Predictions::read(&paths, &options()).unwrap().scores;
    let sentences = verdict::verdict(&metrics, &scores);
    let said = sentences.iter().find(|s| s.question.contains("never saw")).unwrap();
    assert!(said.text.contains("how new works"), "{}", said.text);
    assert!(said.text.contains("over all its classes"), "{}", said.text);
}

#[test]
fn several_detectors_each_have_their_classes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    let mut all = Vec::new();
    for detector in ["first", "second"] {
        all.extend(rows().into_iter().map(|row| Row { detector: Some(detector.into()), ..row }));
    }
    write(&path, &all, &Task::multiclass(CLASSES), &provenance());
    let out = folder.path().join("out");
    let metrics = write_report(&out, &[path], &ReportInput::default(), &options()).unwrap();
    assert!(metrics.group(&[("task", "multiclass"), ("detector", "second")], Level::Video).is_some());
    assert_eq!((metrics.confusion.len(), metrics.unseen.len()), (2, 4));
    let alone: Value =
        serde_json::from_slice(&std::fs::read(out.join("detectors/second/metrics.json")).unwrap()).unwrap();
    assert_eq!(alone["confusion"].as_array().unwrap().len(), 1);
    assert_eq!(alone["unseen"].as_array().unwrap().len(), 2);
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("a generator is new to it"), "each detector's summary speaks of it");
    // The figure of each detector stands on the common page, and no file is written over another.
    for name in ["confusion_first", "confusion_second"] {
        assert!(out.join("figures").join(name).with_extension("svg").exists(), "{name}");
        assert!(out.join("figures").join(name).with_extension("png").exists(), "{name}");
    }
    assert!(page.contains("By the detector first.") && page.contains("By the detector second."));
    assert!(out.join("detectors/first/figures/confusion.svg").exists());
}
