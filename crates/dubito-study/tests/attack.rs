//! From clips through trained runs to attacked frames and what a report says of them.
#![allow(clippy::unwrap_used)]

mod clips;

use std::path::{Path, PathBuf};

use dubito_data::classes::ClassList;
use dubito_data::manifest::{Label, Row, Status};
use dubito_nn::{Attack, AttackMethod, AttackObjective, OptimiserConfig, TrainConfig};
use dubito_report::section::{ChartKind, Value};
use dubito_report::{Options, Predictions, Scores};
use dubito_stats::Bootstrap;
use dubito_study::attack::{AttackOptions, Condition, Variant, attack, read, section};
use dubito_study::predict::{FoldRun, PredictOptions, find_runs, predict};
use dubito_study::train::{TrainOptions, train_rounds};
use dubito_study::{Lesson, Progress, Step};
use serde_json::json;

use clips::clip;

const FRAMES: usize = 5;

/// Three folds of two people, of each a real video and a fake; and a video without a face.
fn store(folder: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    for person in 0..6u64 {
        for (generator, tint) in [("real", [0.0; 3]), ("faceswap", [14.0, 0.0, -14.0])] {
            let video = format!("p{person}-{generator}");
            let name = format!("{video}.safetensors");
            clip(&video, rows.len() as u64, tint, FRAMES).write(&folder.join(&name)).unwrap();
            let fold = format!("fold{}", person / 2 + 1);
            rows.push(Row {
                label: if generator == "real" { Label::Real } else { Label::Fake },
                generator: generator.into(),
                identity: format!("p{person}"),
                dataset: "forged".into(),
                cell: Some(format!("{fold}.a")),
                split: fold,
                video,
                clip: Some(name),
                ..Row::default()
            });
        }
    }
    let reason = Some("no face was found".to_owned());
    rows.push(Row { video: "dark".into(), status: Status::NoFace, reason, clip: None, ..rows[0].clone() });
    rows
}

fn options(method: AttackMethod, steps: u32, epsilons: &[f32]) -> AttackOptions {
    AttackOptions {
        attack: Attack { steps, eot: 3, ..Attack::new(method, 1.0) },
        epsilons: epsilons.to_vec(),
        frames: 2,
        reencode: Some(80),
        samples: 6,
        seed: 0,
        device: "cpu".into(),
        views: false,
    }
}

fn scores(folder: &Path, condition: &str) -> Scores {
    let path = folder.join("predictions").join(format!("{condition}.parquet"));
    Predictions::read(&[path], &Options { bootstrap: None, ..Options::default() }).unwrap().scores
}

#[test]
fn attacked_clips_and_what_is_said_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let rows = store(folder.path());
    let go_on = |_: &Progress| true;
    let step = Step::only("test");
    let lesson = Lesson::of(&rows, &ClassList::default(), "binary", &[]).unwrap();
    let optimiser = OptimiserConfig { learning_rate: 3e-3, ..OptimiserConfig::default() };
    let config =
        TrainConfig { epochs: 8, batch: 10, width: Some(8), optimiser, patience: 0, seed: 1, ..TrainConfig::default() };
    let train = TrainOptions { config, device: "cpu".into() };
    train_rounds(&rows, folder.path(), &at("runs"), &train, &lesson, None, None, step, &go_on).unwrap();
    let runs = find_runs(&at("runs")).unwrap();
    let run = |out: &str, options: &AttackOptions| {
        attack(&rows, folder.path(), &runs, &at(out), options, &json!({ "made": "here" }), step, &go_on)
    };

    let pgd = options(AttackMethod::Pgd, 5, &[2.0, 12.0]);
    let found = run("pgd", &pgd).unwrap();
    assert_eq!((found.clips, found.frames, found.kept), (12, 24, 0));
    assert_eq!((found.missing.len(), found.missing[0].status.as_str()), (1, "no_face"));
    let names: Vec<&str> = found.conditions.iter().map(|c| c.name.as_str()).collect();
    let attacked = ["pgd_2", "pgd_2_8bit", "pgd_2_jpeg", "pgd_12", "pgd_12_8bit", "pgd_12_jpeg"];
    assert_eq!(names, [&["clean", "clean_jpeg"][..], &attacked].concat());
    assert_eq!(read(&at("pgd")).unwrap(), found);

    // What is said of frames that nobody attacked is what `predict` says of them.
    let how = PredictOptions { samples: 6.into(), seed: 0, device: "cpu".into(), views: false, name: None };
    let path = predict(&rows, folder.path(), &runs, &at("plain"), &how, &json!({}), step, &go_on).unwrap().path;
    let plain = Predictions::read(&[path], &Options { bootstrap: None, ..Options::default() }).unwrap().scores;
    let clean = scores(&at("pgd"), "clean");
    assert_eq!((clean.items(), clean.units.len(), clean.missing.len()), (24, 12, 1));
    for i in 0..24 {
        let same = (0..plain.items()).find(|&j| plain.item_name(j) == clean.item_name(i)).unwrap();
        let (a, b) = (clean.sets[0].items.probs(i)[1], plain.sets[0].items.probs(same)[1]);
        assert!((a - b).abs() < 1e-5, "{}: {a} {b}", clean.item_name(i));
    }
    // The larger the budget the worse; eight bits change little, and every condition another thing.
    let loss = |condition: &str| {
        let scores = scores(&at("pgd"), condition);
        let items = &scores.sets[0].items;
        (0..items.len()).map(|i| -items.probs(i)[items.label(i)].ln()).sum::<f64>() / items.len() as f64
    };
    let [none, small, large, rounded] = ["clean", "pgd_2", "pgd_12", "pgd_12_8bit"].map(loss);
    assert!(none < small && small < large && large > 2.0 * none, "{none} {small} {large}");
    assert!((rounded - large).abs() < 0.1 * large, "{rounded} {large}");
    let files: Vec<Vec<u8>> = names.iter().map(|name| bytes(&at("pgd"), name)).collect();
    let mut distinct = files.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), files.len());

    // Run again it finds everything; another budget alone is attacked anew, and nothing depends on what was there.
    let again = run("pgd", &pgd).unwrap();
    assert_eq!(again.kept, 24);
    assert!(names.iter().zip(&files).all(|(name, before)| bytes(&at("pgd"), name) == *before));
    let more = options(AttackMethod::Pgd, 5, &[2.0, 4.0]);
    assert_eq!(run("pgd", &more).unwrap().kept, 12);
    run("fresh", &pgd).unwrap();
    assert!(bytes(&at("fresh"), "pgd_12") == *files.iter().zip(&names).find(|(_, name)| **name == "pgd_12").unwrap().0);
    run("pgd", &pgd).unwrap();
    // Stopped half way and begun again it comes to the same.
    let stop = |p: &Progress| p.done < 5;
    assert!(
        attack(&rows, folder.path(), &runs, &at("stopped"), &pgd, &json!({ "made": "here" }), step, &stop).is_err()
    );
    assert!(!at("stopped").join("attacks.json").exists());
    let resumed = run("stopped", &pgd).unwrap();
    assert_eq!(resumed.kept, 2 * 5);
    assert!(bytes(&at("stopped"), "pgd_12") == bytes(&at("fresh"), "pgd_12"));

    let adaptive = AttackOptions {
        attack: Attack { objective: AttackObjective::Adaptive { weight: 5.0 }, ..pgd.attack.clone() },
        ..options(AttackMethod::Pgd, 5, &[12.0])
    };
    assert_eq!(run("adaptive", &adaptive).unwrap().conditions[2].name, "pgd_adaptive_12");
    let square = AttackOptions { reencode: None, ..options(AttackMethod::Square, 30, &[12.0]) };
    run("square", &square).unwrap();

    // The report of all three.
    let folders: Vec<(String, PathBuf)> = ["pgd", "adaptive", "square"].map(|n| ("resnet18".to_owned(), at(n))).into();
    let bootstrap = Bootstrap { replicates: 60, ..Bootstrap::default() };
    let section = section(&folders, &bootstrap).unwrap();
    let text = serde_json::to_string(&section).unwrap();
    assert_eq!(serde_json::from_str::<dubito_report::section::Section>(&text).unwrap(), section);
    assert_eq!(section.tables.iter().map(|table| table.rows.len()).collect::<Vec<_>>(), [8 + 5 + 3; 2]);
    for table in &section.tables {
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
    }
    let value = |table: usize, row: usize, column: usize| match &section.tables[table].rows[row][column] {
        Value::Estimate(e) => e.clone(),
        other => panic!("{other:?}"),
    };
    // By hand: accuracy of the frames, and what of the right ones is wrong under the largest attack.
    let right = |condition: &str| {
        let scores = scores(&at("pgd"), condition);
        (0..24).map(|i| !scores.sets[0].items.is_error(i)).collect::<Vec<bool>>()
    };
    let (before, after) = (right("clean"), right("pgd_12"));
    let share = |n: usize, of: usize| n as f64 / of as f64;
    let count = |right: &[bool]| right.iter().filter(|&&r| r).count();
    assert!((value(0, 0, 4).value.unwrap() - share(count(&before), 24)).abs() < 1e-12);
    assert!((value(0, 5, 4).value.unwrap() - share(count(&after), 24)).abs() < 1e-12);
    let fell = before.iter().zip(&after).filter(|(b, a)| **b && !**a).count();
    let success = value(0, 5, 8);
    assert!((success.value.unwrap() - share(fell, count(&before))).abs() < 1e-12 && fell > 0, "{success:?}");
    assert!(success.low.unwrap() <= success.value.unwrap() && success.value.unwrap() <= success.high.unwrap());
    assert!(value(0, 0, 8).value.is_none());
    // By hand: how epistemic uncertainty tells attacked from clean frames.
    let doubt = |condition: &str| scores(&at("pgd"), condition).sets[0].items.epistemic().to_vec();
    let (clean, attacked) = (doubt("clean"), doubt("pgd_12"));
    let wins = attacked
        .iter()
        .flat_map(|a| clean.iter().map(move |c| if a > c { 1.0 } else { 0.5 * f64::from(u8::from(a == c)) }));
    assert!((value(1, 5, 9).value.unwrap() - wins.sum::<f64>() / (24.0 * 24.0)).abs() < 1e-9);
    assert!(value(1, 5, 9).low.is_some() && value(1, 0, 9).value.is_none());
    let findings = section.findings.join("\n");
    assert!(
        findings.contains("pgd with 12/255") && findings.contains("pgd_adaptive") && findings.contains("square"),
        "{findings}"
    );
    let ChartKind::Curves { panels, .. } = &section.charts[0].kind else { panic!("{:?}", section.charts[0]) };
    let lines: Vec<(&str, usize)> = panels[0].lines.iter().map(|l| (l.name.as_str(), l.points.len())).collect();
    assert_eq!(lines, [("as found", 3), ("8 bits", 3), ("JPEG", 3)]);
    assert_eq!((panels.len(), panels[2].lines.len(), panels[0].lines[0].points[0].0), (3, 2, 0.0));
    let ChartKind::Dots { rows: dots, reference, .. } = &section.charts[2].kind else { panic!() };
    assert_eq!((dots.len(), reference.as_ref().map(|r| r.1)), (6 + 3 + 2, Some(0.5)));
    assert_eq!(section.skipped.len(), 3);
}

fn bytes(folder: &Path, condition: &str) -> Vec<u8> {
    let condition = Condition { name: condition.to_owned(), epsilon: 0.0, variant: Variant::Exact };
    std::fs::read(folder.join(condition.file())).unwrap()
}

#[test]
fn what_cannot_be_attacked_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let rows = store(folder.path());
    let onnx = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dubito-nn/tests/golden/onnx_detectors/two_logits.onnx");
    let refused = |dir: &Path, options: &AttackOptions| {
        let runs = [FoldRun { dir: dir.to_owned(), fold: None }];
        let go_on = |_: &Progress| true;
        let step = Step::only("test");
        attack(&rows, folder.path(), &runs, &folder.path().join("out"), options, &json!({}), step, &go_on).unwrap_err()
    };
    let error = refused(&onnx, &options(AttackMethod::Pgd, 5, &[2.0]));
    assert!(error.to_string().contains("black box") && error.hint().unwrap().contains("square"), "{error}");
    for (bad, says) in [
        (options(AttackMethod::Pgd, 5, &[]), "no epsilon"),
        (options(AttackMethod::Pgd, 5, &[2.0, 2.0]), "twice"),
        (options(AttackMethod::Pgd, 5, &[0.0]), "`epsilon`"),
        (options(AttackMethod::Fgsm, 5, &[2.0]), "`steps`"),
        (AttackOptions { frames: 0, ..options(AttackMethod::Pgd, 5, &[2.0]) }, "no frame"),
        (AttackOptions { reencode: Some(0), ..options(AttackMethod::Pgd, 5, &[2.0]) }, "`reencode`"),
    ] {
        let error = refused(&onnx, &bad).to_string();
        assert!(error.contains(says), "{error}");
    }
    let error = section(&[("x".into(), folder.path().into())], &Bootstrap::default()).unwrap_err().to_string();
    assert!(error.contains("attacks.json"), "{error}");
}
