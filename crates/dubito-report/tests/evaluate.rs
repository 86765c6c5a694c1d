//! Every number of every group, against NumPy and scikit-learn; and the same whatever the order.
#![allow(clippy::unwrap_used)]

mod synthetic;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dubito_report::{Level, Metrics, Missing, Options, PredictionWriter, ReportError, Row, Scores, evaluate};
use dubito_stats::Bootstrap;
use serde_json::Value;
use synthetic::{Size, rows, write};

const SIZE: Size = Size { people: 6, frames: 3, samples: 4 };

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn options() -> Options {
    Options { bootstrap: Some(Bootstrap { replicates: 200, ..Bootstrap::default() }), ..Options::default() }
}

fn of_rows(rows: &[Row], name: &str) -> Result<Metrics, ReportError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    write(&path, rows).unwrap();
    evaluate(&[path], &[], Value::Null, &options())
}

/// The golden predictions are what the generator makes. `DUBITO_BLESS=1` writes them anew.
#[test]
fn golden_predictions_are_those_of_the_generator() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictions.csv");
    write(&path, &rows(&SIZE)).unwrap();
    let made = std::fs::read_to_string(&path).unwrap();
    if std::env::var_os("DUBITO_BLESS").is_some() {
        std::fs::write(golden("predictions.csv"), &made).unwrap();
    }
    // The exponential may differ in its last bit between machines.
    let kept = std::fs::read_to_string(golden("predictions.csv")).unwrap();
    assert_eq!(made.lines().count(), kept.lines().count());
    for (a, b) in made.lines().zip(kept.lines()).skip(1) {
        let (a, b): (Vec<&str>, Vec<&str>) = (a.split(',').collect(), b.split(',').collect());
        let (p, q): (f64, f64) = (a[2].parse().unwrap(), b[2].parse().unwrap());
        assert!((p - q).abs() < 1e-12 && a[..2] == b[..2] && a[3..] == b[3..], "{a:?} {b:?}");
    }
}

#[test]
fn agrees_with_scikit_learn() {
    let metrics = evaluate(&[golden("predictions.csv")], &[], Value::Null, &options()).unwrap();
    let expected: Vec<Value> = serde_json::from_slice(&std::fs::read(golden("metrics.json")).unwrap()).unwrap();
    assert_eq!(expected.len(), 16);
    let mut compared = 0;
    for group in expected {
        let by: BTreeMap<String, String> = serde_json::from_value(group["by"].clone()).unwrap();
        let level: Level = serde_json::from_value(group["level"].clone()).unwrap();
        let ours = metrics.groups.iter().find(|g| g.by == by && g.level == level).unwrap();
        assert_eq!(ours.items as u64, group["items"].as_u64().unwrap());
        for (name, value) in group["metrics"].as_object().unwrap() {
            let found = ours.metrics[name].value;
            match value.as_f64() {
                None => {
                    assert!(found.is_none(), "{by:?} {name}: {found:?}");
                    assert!(ours.metrics[name].undefined_because.is_some());
                }
                Some(value) => {
                    assert!((found.unwrap() - value).abs() < 1e-9, "{by:?} {level:?} {name}: {found:?}, {value}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 280, "{compared} numbers compared");
}

#[test]
fn no_order_of_rows_changes_a_bit() {
    let ordered = rows(&SIZE);
    let expected = of_rows(&ordered, "p.parquet").unwrap();
    let mut shuffled = ordered.clone();
    // Every 61st row, round and round: 61 is coprime to the number of rows.
    let count = ordered.len();
    assert_ne!(count % 61, 0);
    (0..count).for_each(|i| shuffled[i] = ordered[(i * 61) % count].clone());
    // Only the jackknife asks for the samples of a frame side by side.
    let without = |mut metrics: Metrics| {
        let frames = metrics.groups.iter_mut().filter(|group| group.level == Level::Frame);
        frames.for_each(|group| drop(group.metrics.remove("epistemic_jackknife")));
        metrics
    };
    assert!(expected.groups[0].metric("epistemic_jackknife").value.is_some());
    let expected = without(expected);
    let found = of_rows(&shuffled, "p.parquet").unwrap();
    assert!(found.groups[0].metric("epistemic_jackknife").undefined_because.unwrap().contains("side by side"));
    assert_eq!(without(found), expected);
    assert_eq!(without(of_rows(&shuffled, "p.csv").unwrap()), expected);

    let folder = tempfile::tempdir().unwrap();
    let shards: Vec<PathBuf> = (0..3).map(|i| folder.path().join(format!("{i}.parquet"))).collect();
    for (path, part) in shards.iter().zip(shuffled.chunks(count.div_ceil(3))) {
        write(path, part).unwrap();
    }
    let reversed: Vec<PathBuf> = shards.iter().rev().cloned().collect();
    for order in [shards, reversed] {
        assert_eq!(without(evaluate(&order, &[], Value::Null, &options()).unwrap()), expected);
    }
}

/// Without intervals the groups share one sorting, with them each is sorted for itself.
#[test]
fn groups_are_the_same_by_both_roads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    write(&path, &rows(&Size { people: 9, frames: 3, samples: 3 })).unwrap();
    let with = evaluate(std::slice::from_ref(&path), &[], Value::Null, &options()).unwrap();
    let without = evaluate(&[path], &[], Value::Null, &Options { bootstrap: None, ..options() }).unwrap();
    assert_eq!(with.groups.len(), without.groups.len());
    let mut compared = 0;
    for (with, without) in with.groups.iter().zip(&without.groups) {
        assert_eq!(
            (&with.by, with.level, with.items, with.videos),
            (&without.by, without.level, without.items, without.videos)
        );
        for (name, estimate) in &with.metrics {
            if name != "ece_top15_if_calibrated" {
                assert_eq!(estimate.value, without.metrics[name].value, "{:?} {name}", with.by);
                compared += 1;
            }
        }
    }
    assert!(compared > 1000, "{compared}");
}

#[test]
fn every_group_is_in_the_unit_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    write(&path, &rows(&SIZE)).unwrap();
    let nats = Options { bootstrap: None, ..options() };
    let bits = Options { unit: dubito_stats::Unit::Bits, ..nats.clone() };
    let nats = evaluate(std::slice::from_ref(&path), &[], Value::Null, &nats).unwrap();
    let bits = evaluate(&[path], &[], Value::Null, &bits).unwrap();
    assert!(nats.groups.iter().any(|group| group.by.contains_key("video_rule")));
    for (nats, bits) in nats.groups.iter().zip(&bits.groups) {
        for name in ["total", "aleatoric", "between_frames", "epistemic", "epistemic_jackknife"] {
            let pair = [bits, nats].map(|group| group.metrics.get(name).map(|estimate| estimate.value.unwrap()));
            assert_eq!(pair[0].is_some(), pair[1].is_some());
            if let [Some(bits), Some(nats)] = pair {
                assert!((bits * std::f64::consts::LN_2 - nats).abs() < 1e-12, "{name}: {bits} bits, {nats} nats");
            }
        }
        assert_eq!(nats.metric("total_variance"), bits.metric("total_variance"));
    }
    // Each generator's doubt stays in nats, as documented.
    assert_eq!(nats.across_generators, bits.across_generators);
}

#[test]
fn metrics_json_keeps_its_form() {
    let mut metrics = of_rows(&rows(&Size { people: 5, frames: 2, samples: 3 }), "p.csv").unwrap();
    metrics.provenance = serde_json::json!({ "seed": 7 });
    metrics.groups.retain(|group| group.by.len() < 2 && !group.by.contains_key("fold"));
    metrics.groups.truncate(5);
    for estimate in metrics.groups.iter_mut().flat_map(|group| group.metrics.values_mut()) {
        for number in [&mut estimate.value, &mut estimate.low, &mut estimate.high].into_iter().flatten() {
            *number = (*number * 1e6).round() / 1e6 + 0.0;
        }
    }
    insta::assert_json_snapshot!(metrics);
}

#[test]
fn groups_keep_generators_and_reals_apart() {
    let metrics = of_rows(&rows(&SIZE), "p.parquet").unwrap();
    assert!(metrics.groups[0].by.is_empty() && metrics.groups[1].by.is_empty());
    assert_eq!((metrics.groups[0].level, metrics.groups[1].level), (Level::Frame, Level::Video));
    assert_eq!((metrics.groups[0].items, metrics.groups[1].items), (6 * 7 * 3, 6 * 7));
    let alone = metrics.group(&[("generator", "mouth")], Level::Video).unwrap();
    assert_eq!(alone.items, 12);
    assert!(alone.metric("auroc").undefined_because.unwrap().contains("all items are fake"));
    assert!(alone.metric("false_alarm_rate").undefined_because.unwrap().contains("no reals"));
    let against = metrics.group(&[("generator", "mouth"), ("against", "real")], Level::Video).unwrap();
    assert_eq!(against.items, 12 + 18);
    assert!(against.metric("auroc").low.is_some());
    assert!(metrics.group(&[("fold", "3")], Level::Frame).is_some());

    // In a group of one class the rates are the accuracy's complement, interval and all.
    let reals = metrics.group(&[("control", "mouth")], Level::Frame).unwrap();
    let (alarms, accuracy) = (reals.metric("false_alarm_rate"), reals.metric("accuracy"));
    assert!((alarms.value.unwrap() + accuracy.value.unwrap() - 1.0).abs() < 1e-12);
    assert!((alarms.low.unwrap() + accuracy.high.unwrap() - 1.0).abs() < 1e-12);
    assert!((alarms.high.unwrap() + accuracy.low.unwrap() - 1.0).abs() < 1e-12);

    let above = reals.metric("false_alarm_rate_above_real");
    let untouched = metrics.group(&[("generator", "real")], Level::Frame).unwrap().metric("false_alarm_rate");
    assert!((above.value.unwrap() - (alarms.value.unwrap() - untouched.value.unwrap())).abs() < 1e-12);
}

#[test]
fn missing_videos_are_counted_where_they_belong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.csv");
    write(&path, &rows(&SIZE)).unwrap();
    let missing = |generator: &str, control: Option<&str>| Missing {
        video: "gone".into(),
        status: "no_face".into(),
        reason: "no face".into(),
        generator: Some(generator.into()),
        control: control.map(String::from),
        ..Missing::default()
    };
    let list = [missing("real", None), missing("real", Some("mouth")), missing("mouth", None), missing("new", None)];
    let metrics = evaluate(&[path], &list, Value::Null, &options()).unwrap();
    let count = |by: &[(&str, &str)]| metrics.group(by, Level::Video).unwrap().missing;
    assert_eq!(count(&[]), 4);
    assert_eq!(count(&[("generator", "real")]), 1);
    assert_eq!(count(&[("generator", "mouth")]), 1);
    assert_eq!(count(&[("generator", "mouth"), ("against", "real")]), 3);
    assert_eq!(count(&[("control", "mouth")]), 1);
    let new = metrics.group(&[("generator", "new")], Level::Video).unwrap();
    assert_eq!((new.items, new.missing), (0, 1));
    assert_eq!(new.metric("accuracy").undefined_because.unwrap(), "there are no items");
}

#[test]
fn few_people_have_no_interval() {
    let metrics = of_rows(&rows(&Size { people: 4, frames: 2, samples: 2 }), "p.csv").unwrap();
    for name in ["auroc", "false_alarm_rate", "miss_rate"] {
        let estimate = metrics.groups[1].metric(name);
        assert!(estimate.value.is_some() && estimate.low.is_none(), "{name}: {estimate:?}");
        assert!(estimate.undefined_because.unwrap().contains("4 clusters"), "{name}");
    }
}

#[test]
fn scores_without_videos_are_items() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.csv");
    let lines: String = (0..40).map(|i| format!("i{i},{},{}\n", i % 2, f64::from(i) / 40.0)).collect();
    std::fs::write(&path, format!("item,label,p_fake\n{lines}")).unwrap();
    let scores = Scores::read(std::slice::from_ref(&path), &options()).unwrap();
    assert_eq!((scores.clusters, scores.sets[0].samples), (40, 1));
    let metrics = evaluate(&[path], &[], Value::Null, &options()).unwrap();
    assert!(metrics.groups.iter().all(|group| group.level == Level::Item));
    assert_eq!(metrics.groups[0].metric("epistemic").value, Some(0.0));
}

fn changed(change: impl Fn(&mut Vec<Row>)) -> String {
    let mut rows = rows(&Size { people: 2, frames: 2, samples: 2 });
    change(&mut rows);
    of_rows(&rows, "p.csv").unwrap_err().to_string()
}

#[test]
fn contradictions_are_named() {
    let message = changed(|rows| rows[1].identity = Some("other".into()));
    assert!(
        message.contains("row 2, column identity: \"other\", but an earlier row of id00_real says \"id00\""),
        "{message}"
    );
    assert!(changed(|rows| rows[1].label = 1).contains("column label"));
    assert!(changed(|rows| drop(rows.pop())).contains("1 rows for 2 samples"));
    assert!(
        changed(|rows| rows.push(rows[0].clone()))
            .contains("has the same sample of the same detector here and in row 1")
    );
    assert!(changed(|rows| rows.extend(rows.clone())).contains("has the same sample of the same detector"));
    assert!(changed(|rows| rows[0].split = Some("test".into())).contains("several values of split"));
}

/// Videos whose samples were drawn until they were settled have the first so many of them, and nothing else will do.
#[test]
fn videos_may_have_as_many_samples_as_they_took() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |skipped: Option<u64>| -> Vec<Row> {
        let of = |(video, frame, sample): (u64, u64, u64)| Row {
            item: format!("v{video}#{frame}"),
            label: (video % 2) as usize,
            probs: vec![1.0 - (sample + video) as f64 / 100.0, (sample + video) as f64 / 100.0],
            sample,
            frame: Some(frame),
            video: Some(format!("v{video}")),
            identity: Some(format!("p{video}")),
            ..Row::default()
        };
        // 8 to 13 samples.
        let all = (0..6).flat_map(|v| (0..2).flat_map(move |f| (0..8 + v).map(move |s| (v, f, s))));
        all.filter(|(video, _, sample)| *video != 2 || Some(*sample) != skipped).map(of).collect()
    };
    let of = |rows: &[Row], provenance: serde_json::Value| {
        let path = folder.path().join("p.parquet");
        let mut writer = PredictionWriter::create(&path, &dubito_stats::Task::binary(), &provenance).unwrap();
        rows.iter().for_each(|row| writer.push(row).unwrap());
        writer.finish().unwrap();
        Scores::read(&[path], &options())
    };
    let rule = serde_json::json!({ "samples": { "rule": { "most": 400 }, "videos": [] } });
    let scores = of(&rows(None), rule.clone()).unwrap();
    assert_eq!((scores.sets[0].samples, scores.sets[0].most_samples), (8, 13));
    // Each video has the mean of its own samples.
    let video = |v: usize| scores.sets[0].videos.probs(v)[1];
    for v in 0..6 {
        let mean = (7 + v) as f64 / 200.0 + v as f64 / 100.0;
        assert!((video(v) - mean).abs() < 1e-9, "{} {mean}", video(v));
    }
    // Without the rule a number of samples that differs is a fault, and one in the middle is with it too.
    assert!(of(&rows(None), serde_json::Value::Null).is_err());
    let error = of(&rows(Some(3)), rule).unwrap_err().to_string();
    assert!(error.contains("sample"), "{error}");
}

/// Views of one network are no posterior: what they disagree about has its own name.
#[test]
fn the_spread_of_views_is_not_called_epistemic() {
    let folder = tempfile::tempdir().unwrap();
    let of = |provenance: serde_json::Value| {
        let path = folder.path().join("p.parquet");
        let mut writer = PredictionWriter::create(&path, &dubito_stats::Task::binary(), &provenance).unwrap();
        for (video, sample) in (0..8u64).flat_map(|v| (0..5u64).map(move |s| (v, s))) {
            let fake = (sample + 2 * video) as f64 / 20.0;
            let row = Row {
                item: format!("v{video}"),
                label: (video % 2) as usize,
                probs: vec![1.0 - fake, fake],
                sample,
                video: Some(format!("v{video}")),
                ..Row::default()
            };
            writer.push(&row).unwrap();
        }
        writer.finish().unwrap();
        let scores = Scores::read(&[path], &options()).unwrap();
        dubito_report::evaluate::metrics_from_scores(&scores, &[], serde_json::json!({}), &options()).unwrap()
    };
    let (networks, views) = (of(serde_json::Value::Null), of(serde_json::json!({ "views": { "flip": 0.5 } })));
    for (level, group) in [Level::Frame, Level::Video].map(|level| (level, views.group(&[], level).unwrap())) {
        let plain = networks.group(&[], level).unwrap();
        assert!(plain.metrics.keys().all(|name| !name.contains("views")));
        for (of_networks, of_views) in [
            ("epistemic", "between_views"),
            ("misclassification_auroc_epistemic", "misclassification_auroc_between_views"),
        ] {
            assert_eq!(group.metric(of_views).value, plain.metric(of_networks).value);
            assert!(plain.metric(of_networks).value.is_some());
            let none = group.metric(of_networks);
            assert!(none.value.is_none() && none.undefined_because.unwrap().contains("views"));
        }
    }
}
