//! What is chosen on one split and judged on another, and detectors side by side.
#![allow(clippy::unwrap_used)]

mod synthetic;

use std::path::{Path, PathBuf};

use dubito_report::{Level, Metrics, Options, ReportError, ReportInput, Row, Scores, SetApart, write_report};
use dubito_stats::Bootstrap;
use synthetic::{Size, rows, write};

fn options() -> Options {
    Options { bootstrap: Some(Bootstrap { replicates: 50, ..Bootstrap::default() }), ..Options::default() }
}

/// Two thirds of the people to choose on, one third to judge; the generator `mouth` only in the latter.
fn two_splits(folder: &Path) -> PathBuf {
    let mut all = rows(&Size { people: 60, frames: 2, samples: 4 });
    for row in &mut all {
        let person: usize =
            row.identity.as_deref().unwrap().trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        row.split = Some(if person.is_multiple_of(3) { "test" } else { "calibration" }.into());
    }
    let mouth = |row: &Row| row.generator.as_deref() == Some("mouth") || row.control.as_deref() == Some("mouth");
    all.retain(|row| row.split.as_deref() == Some("test") || !mouth(row));
    let path = folder.join("scores.parquet");
    write(&path, &all).unwrap();
    path
}

fn analyse(path: &Path, out: &Path, options: &Options) -> Metrics {
    let input = ReportInput { title: "Test".into(), ..ReportInput::default() };
    write_report(out, &[path.to_path_buf()], &input, options).unwrap()
}

#[test]
fn what_is_chosen_on_one_split_is_judged_on_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = two_splits(folder.path());
    let out = folder.path().join("out");
    let metrics = analyse(&path, &out, &options());
    let [decided] = metrics.decisions.as_slice() else { panic!("one detector") };
    assert_eq!(decided.calibration.split.as_deref(), Some("calibration"));
    assert_eq!(decided.evaluated.split.as_deref(), Some("test"));
    assert_eq!((decided.calibration.clusters, decided.evaluated.clusters), (40, 20));
    assert_eq!(decided.unseen, ["mouth"]);
    // All groups are of the split that is judged: 20 people, 7 videos of each.
    assert_eq!(metrics.group(&[], metrics.top_level()).unwrap().items, 140);
    assert_eq!(decided.evaluated.items, 140);

    let nll = |method: &str| {
        let entry = decided.recalibration.iter().find(|entry| entry.method == method).unwrap();
        entry.metrics["nll"].value.unwrap()
    };
    assert!(nll("temperature") < nll("none") + 0.05, "{} {}", nll("temperature"), nll("none"));
    let sets = &decided.sets[0];
    assert!(sets.exchangeable.coverage.value.unwrap() > 0.75, "{:?}", sets.exchangeable);
    assert!(sets.by_origin.iter().any(|(origin, _)| origin == "mouth"));
    for entry in &decided.abstention {
        if let (Some(_), Some(risk)) = (entry.chosen.threshold.value, entry.exchangeable.risk.value) {
            assert!(risk < 0.3, "{}: {risk}", entry.doubt);
        }
        assert_eq!(entry.unseen.len(), 1);
    }
    let ratios = &decided.likelihood_ratios[0];
    assert!(ratios.cost.as_ref().unwrap().cllr.value.unwrap() < 1.0);
    assert!(ratios.fitted.as_ref().unwrap().limits.high <= 41f64.log10() + 1e-9, "40 clusters support no more");
    assert!(decided.detects_unseen.contains_key("total"));

    let table = std::fs::read_to_string(out.join("tables/decisions.csv")).unwrap();
    assert_eq!(table.lines().count(), 141);
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    for title in
        ["Recalibration", "Prediction sets", "Abstention", "Likelihood ratios", "Tippett plot", "unseen, not promised"]
    {
        assert!(page.contains(title), "{title}");
    }
    let latex = std::fs::read_to_string(out.join("tables/recalibration.tex")).unwrap();
    assert!(latex.contains("\\toprule") && latex.contains("temperature &"), "{latex}");
    assert!(out.join("figures/tippett.svg").exists() && out.join("figures/cross_entropy.png").exists());

    // The same bits again, and with shuffled rows.
    assert_eq!(analyse(&path, &folder.path().join("again"), &options()), metrics);
}

#[test]
fn splits_are_chosen_or_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = [two_splits(folder.path())];
    let read = |options: Options| Scores::read_splits(&path, &options);
    let (judged, calibration) = read(options()).unwrap();
    assert_eq!(judged.split.as_deref(), Some("test"));
    assert_eq!(calibration.unwrap().split.as_deref(), Some("calibration"));
    let (judged, calibration) = read(Options { split: Some("calibration".into()), ..options() }).unwrap();
    assert_eq!((judged.split.as_deref(), calibration), (Some("calibration"), None));
    let same = read(Options { calibration_split: Some("test".into()), split: Some("test".into()), ..options() });
    assert!(matches!(same, Err(ReportError::SameSplit { .. })));
    let unknown = read(Options { calibration_split: Some("dev2".into()), ..options() }).unwrap_err();
    assert!(unknown.to_string().contains("dev2"), "{unknown}");
}

#[test]
fn detectors_are_set_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = rows(&Size { people: 12, frames: 2, samples: 2 });
    for row in &mut all {
        row.detector = Some("good/one".into());
    }
    let worse: Vec<Row> = all
        .iter()
        .map(|row| {
            let mut row = row.clone();
            row.detector = Some("worse".into());
            // Every third video is misread.
            if row.video.as_deref().unwrap().len().is_multiple_of(3) {
                row.probs.reverse();
            }
            row
        })
        .collect();
    all.extend(worse);
    let path = folder.path().join("scores.parquet");
    write(&path, &all).unwrap();
    let out = folder.path().join("out");
    let metrics = analyse(&path, &out, &options());
    let of =
        |name: &str| metrics.group(&[("detector", name)], metrics.top_level()).unwrap().metric("auroc").value.unwrap();
    assert!(of("good/one") > of("worse"));
    let methods: Vec<(&str, &str)> = metrics.comparisons.iter().map(|pair| (pair.metric, pair.method)).collect();
    for expected in [("auroc", "Obuchowski"), ("accuracy", "cluster-robust"), ("brier", "paired bootstrap")] {
        assert!(methods.contains(&expected), "{methods:?}");
    }
    let pair = &metrics.comparisons.iter().find(|pair| pair.method == "Obuchowski").unwrap();
    assert_eq!((pair.items, pair.clusters), (84, 12));
    let difference = pair.comparison.difference.value.unwrap();
    assert!((difference - (of("good/one") - of("worse"))).abs() < 1e-12);
    // One pair needs no correction.
    assert_eq!(pair.p_value_holm.value, pair.comparison.p_value.value);

    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("detectors/good_one/report.html") && page.contains("Differences in auroc"));
    let own = std::fs::read_to_string(out.join("detectors/good_one/report.html")).unwrap();
    assert!(own.contains("Is it better than chance?"));
    // What a detector's own report says is what is said of it alone.
    for name in ["good/one", "worse"] {
        let alone = Options { detector: Some(name.into()), ..options() };
        let alone = analyse(&path, &folder.path().join("alone"), &alone);
        let alone = serde_json::to_value(alone).unwrap();
        let own = out.join("detectors").join(name.replace('/', "_")).join("metrics.json");
        let own: serde_json::Value = serde_json::from_slice(&std::fs::read(own).unwrap()).unwrap();
        assert_eq!(own, alone, "{name}");
    }
    assert!(out.join("tables/comparisons.csv").exists());
}

#[test]
fn numbers_by_a_column_in_another_unit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.csv");
    let mut text = String::from("item,label,p_fake,country\n");
    for i in 0..40 {
        text += &format!("i{i},{},{},{}\n", i % 2, 0.2 + 0.6 * f64::from(i % 2), if i < 10 { "NO" } else { "FI" });
    }
    std::fs::write(&path, text).unwrap();
    let by = Options { by: vec!["country".into()], bootstrap: None, ..Options::default() };
    let nats = analyse(&path, &folder.path().join("a"), &by);
    let bits = analyse(&path, &folder.path().join("b"), &Options { unit: dubito_stats::Unit::Bits, ..by });
    let level = nats.top_level();
    assert_eq!(nats.group(&[("country", "NO")], level).unwrap().items, 10);
    assert_eq!(nats.group(&[("country", "FI")], level).unwrap().items, 30);
    let total = |metrics: &Metrics| metrics.group(&[], level).unwrap().metric("total").value.unwrap();
    assert!((total(&bits) * std::f64::consts::LN_2 - total(&nats)).abs() < 1e-12);
}

#[test]
fn people_are_set_apart_with_those_they_share_videos_with_and_nothing_chosen_meets_an_unseen_generator() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = rows(&Size { people: 40, frames: 2, samples: 4 });
    // Each person's fakes take their face from the next one of a pair.
    for row in &mut all {
        let person = row.identity.clone().unwrap();
        let number: usize = person.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        let other = format!("{}{}", person.trim_end_matches(|c: char| c.is_ascii_digit()), number ^ 1);
        let is_fake = row.label == 1;
        row.donor = is_fake.then_some(other);
    }
    let path = folder.path().join("scores.parquet");
    write(&path, &all).unwrap();
    let mut options = options();
    options.set_apart = Some(SetApart { share: 0.5, seed: 3 });
    options.promises.unseen = ["mouth".to_owned()].into();
    let metrics = analyse(&path, &folder.path().join("out"), &options);
    let [decided] = metrics.decisions.as_slice() else { panic!("one detector") };
    let (fit, judged) = (&decided.calibration, &decided.evaluated);
    assert_eq!((fit.clusters, judged.clusters), (20, 20));
    assert!(!fit.generators.contains(&"mouth".to_owned()) && judged.generators.contains(&"mouth".to_owned()));
    assert_eq!(decided.unseen, ["mouth"]);
    // All other numbers are of everybody.
    assert_eq!(metrics.group(&[], metrics.top_level()).unwrap().items, 280);

    let scores = Scores::read(&[path], &options).unwrap();
    let how = SetApart { share: 0.5, seed: 3 };
    let (apart, others) = scores.set_apart(how, &Default::default()).unwrap();
    let people = |part: &Scores| -> std::collections::BTreeSet<String> {
        let set = &part.sets[0];
        let units = (0..set.videos.len()).map(|i| part.unit(set, Level::Video, i));
        units
            .flat_map(|unit| ["identity", "donor"].map(|fact| part.units.text(fact, unit).map(str::to_owned)))
            .flatten()
            .collect()
    };
    assert!(people(&apart).is_disjoint(&people(&others)));
    assert_eq!(apart.sets[0].videos.len() + others.sets[0].videos.len(), 280);
    assert_eq!(apart.sets[0].items.len(), 2 * apart.sets[0].videos.len());
    let (again, _) = scores.set_apart(how, &Default::default()).unwrap();
    assert_eq!(people(&apart), people(&again));
    let (other_seed, _) = scores.set_apart(SetApart { seed: 4, ..how }, &Default::default()).unwrap();
    assert_ne!(people(&apart), people(&other_seed));
}

#[test]
fn where_all_are_joined_nobody_can_be_set_apart() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = rows(&Size { people: 12, frames: 2, samples: 4 });
    let first = all[0].identity.clone();
    all.iter_mut().filter(|row| row.label == 1).for_each(|row| row.donor = first.clone());
    let path = folder.path().join("scores.parquet");
    write(&path, &all).unwrap();
    let scores = Scores::read(&[path], &options()).unwrap();
    let refused = scores.set_apart(SetApart { share: 0.5, seed: 0 }, &Default::default()).unwrap_err();
    assert!(matches!(refused, ReportError::NobodyApart { groups: 1 }), "{refused}");
}
