//! `dubito analyze` as its user sees it: anyone's table in, a report out, and what bad tables are told.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn analyze(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dubito")).arg("analyze").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_string()
}

fn metrics(out: &str) -> Value {
    serde_json::from_slice(&fs::read(Path::new(out).join("metrics.json")).unwrap()).unwrap()
}

/// A table of another's making: two detectors, missing cells, names of its own.
fn wide() -> String {
    let mut table = String::from("path,truth,source,prob_one,prob_two\n");
    for i in 0..60 {
        let fake = i % 2 == 1;
        let p = if fake { 0.9 - f64::from(i) * 0.006 } else { 0.1 + f64::from(i) * 0.006 };
        let two = if i % 10 == 0 { String::new() } else { format!("{:.3}", 1.0 - p) };
        let (truth, source) = if fake { ("Fake", "swap") } else { ("REAL", "") };
        table += &format!("v{i}.mp4,{truth},{source},{p:.3},{two}\n");
    }
    table
}

#[test]
fn a_table_of_another_is_read_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let table = write(folder.path(), "scores.csv", &wide());
    let out = folder.path().join("out").to_str().unwrap().to_string();
    let how = ["--map", "label=truth,item=path,generator=source", "--detector-column", "prob_*"];
    let explained = analyze(&[&[table.as_str(), "--explain"], &how[..]].concat());
    assert!(explained.status.success(), "{}", text(&explained.stderr));
    let said = text(&explained.stdout);
    assert!(said.contains("prob_two") && said.contains("truth"), "{said}");
    assert!(!Path::new(&out).exists(), "nothing is computed");

    let done = analyze(&[&[table.as_str(), "-o", &out, "--resamples", "50", "-q"], &how[..]].concat());
    assert!(done.status.success(), "{}", text(&done.stderr));
    let found = metrics(&out);
    let of = |detector: &str| {
        let groups = found["groups"].as_array().unwrap();
        groups.iter().find(|g| g["by"] == serde_json::json!({ "detector": detector })).unwrap().clone()
    };
    assert_eq!(of("prob_one")["items"], 60);
    assert_eq!(of("prob_two")["items"], 54, "an empty cell is missing, not 0");
    let auroc = |detector: &str| of(detector)["metrics"]["auroc"]["value"].as_f64().unwrap();
    assert!(auroc("prob_one") > 0.9 && auroc("prob_two") < 0.1);
    assert_eq!(found["comparisons"][0]["items"], 54);
    assert!(text(&done.stdout).contains("prob_two"));
    for file in ["report.html", "detectors/prob_one/report.html", "tables/comparisons.csv", "tables/detectors.tex"] {
        assert!(Path::new(&out).join(file).exists(), "{file}");
    }
}

/// What scikit-learn says of these five items, and what the definitions give.
#[test]
fn known_values() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [(0.25, 0), (0.25, 0), (0.55, 1), (0.75, 1), (0.75, 1)];
    let lines: String = rows.iter().map(|(p, y)| format!("{{\"label\":{y},\"p_fake\":{p}}}\n")).collect();
    let table = write(folder.path(), "scores.jsonl", &lines);
    let out = folder.path().join("out").to_str().unwrap().to_string();
    assert!(analyze(&[&table, "-o", &out, "--resamples", "0", "-q"]).status.success());
    let found = &metrics(&out)["groups"][0];
    assert_eq!(found["by"], serde_json::json!({}));
    let value = |name: &str| found["metrics"][name]["value"].as_f64().unwrap();
    let near = |name: &str, expected: f64| assert!((value(name) - expected).abs() < 1e-12, "{name}: {}", value(name));
    near("auroc", 1.0);
    near("accuracy", 1.0);
    near("brier", (2.0 * 0.0625 + 0.2025 + 2.0 * 0.0625) / 5.0);
    near("ece_pos15", (2.0 * 0.25 + 0.45 + 2.0 * 0.25) / 5.0);
    near("mce_pos15", 0.45);
    assert!(found["metrics"]["misclassification_auroc_total"]["value"].is_null());
}

#[test]
fn bad_tables_are_told_what_is_wrong_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").to_str().unwrap().to_string();
    let cases: &[(&str, &str, &[&str])] = &[
        ("empty.csv", "", &["empty.csv"]),
        ("header.csv", "item,label,p_fake\n", &["no predictions"]),
        ("nan.csv", "item,label,p_fake\na,1,0.5\nb,0,NaN\n", &["row 2", "p_fake"]),
        ("range.csv", "item,label,p_fake\na,1,0.5\nb,0,1.2\n", &["row 2", "p_fake", "hint:"]),
        ("logits.csv", "item,label,p_fake\na,1,-3.5\n", &["row 1", "--logits"]),
        ("label.csv", "item,label,p_fake\na,1,0.5\nb,maybe,0.2\n", &["row 2", "label", "maybe"]),
        ("twice.csv", "item,label,p_fake\na,1,0.5\na,1,0.6\n", &["a has the same sample"]),
        ("ragged.csv", "item,label,p_fake\na,1,0.5\nb,0\n", &["row 2"]),
        ("column.csv", "item,truth,p_fake\na,1,0.5\n", &["label", "--explain", "truth"]),
        ("sum.csv", "item,label,prob_real,prob_fake\na,1,0.5,0.9\n", &["row 1", "1.4"]),
        ("binary.csv", "PK\u{3}\u{4}\u{0}\u{1}\u{2}", &["binary.csv"]),
        ("cut.parquet", "PAR1 and no more", &["cut.parquet"]),
    ];
    for (name, content, expected) in cases {
        let table = write(folder.path(), name, content);
        let output = analyze(&[&table, "-o", &out, "-q"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{name}: {said}");
        assert!(said.starts_with("error:") && !said.contains("panicked"), "{name}: {said}");
        for word in *expected {
            assert!(said.contains(word), "{name}: expected {word:?} in: {said}");
        }
        assert!(!Path::new(&out).join("metrics.json").exists(), "{name}");
    }
    let missing = analyze(&["nowhere.csv", "-o", &out]);
    assert_eq!(missing.status.code(), Some(3));
    assert!(text(&missing.stderr).contains("nowhere.csv"));
    assert_eq!(analyze(&["a.csv", "--alpha", "2"]).status.code(), Some(2));
}
