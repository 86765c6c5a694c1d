//! Scores near 0 and 1, odd names and many detectors, through files: the inputs of the cases of the command line.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dubito_report::report::{MOST_PAGES, write_report};
use dubito_report::{InputOptions, Level, Metrics, Options, ReportInput, evaluate};

fn input(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dubito/tests/cases/scores").join(name)
}

fn options(logits: bool) -> Options {
    let map = vec![("p_fake".to_string(), "logit".to_string())];
    Options { bootstrap: None, input: InputOptions { logits, map, ..InputOptions::default() }, ..Options::default() }
}

fn of(name: &str, options: &Options) -> Metrics {
    evaluate(&[input(name)], &[], serde_json::Value::Null, options).unwrap()
}

#[test]
fn aurocs_are_those_of_the_scores_as_given() {
    let plain = |logits| Options { input: InputOptions { logits, ..InputOptions::default() }, ..options(logits) };
    for (name, options, expected) in [
        ("large_logits.csv", plain(true), 0.66),
        ("logits_of_40.csv", plain(true), 5.0 / 6.0),
        ("tiny_probabilities.csv", plain(false), 1.0),
        ("logits_of_800.csv", plain(true), 0.6525),
        ("logits_of_minus_5000.csv", plain(true), 0.6525),
        ("p_of_1e-250.csv", plain(false), 0.6525),
        ("three_logits.csv", plain(true), 0.6525),
        ("real_tells.csv", plain(false), 0.6525),
        ("samples.csv", plain(false), 0.66),
        ("sampled_logits.csv", options(true), 0.675),
        ("frames.csv", plain(false), 0.6725),
    ] {
        let metrics = of(name, &options);
        let group = metrics.group(&[], metrics.top_level()).unwrap();
        let found = group.metric("auroc").value.unwrap();
        assert!((found - expected).abs() < 1e-12, "{name}: {found} for {expected}");
        assert_eq!(metrics.warnings.len(), 1, "{name}: {:?}", metrics.warnings);
    }
}

/// The same scores in two folders, on one thread and on several: the same files.
#[test]
fn the_same_scores_are_the_same_bytes() {
    let files = |threads: usize| {
        let folder = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let options = Options { bootstrap: None, ..options(true) };
        let metrics = pool.install(|| {
            write_report(folder.path(), &[input("splits.csv")], &ReportInput::default(), &options).unwrap()
        });
        assert_eq!(metrics.top_level(), Level::Item);
        let scale = serde_json::to_value(&metrics.decisions[0].thresholds[0]).unwrap()["scale"].clone();
        assert_eq!(scale, "log_odds");
        let mut all = Vec::new();
        let mut folders = vec![folder.path().to_path_buf()];
        while let Some(at) = folders.pop() {
            for entry in std::fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(folder.path()).unwrap().to_path_buf();
                    all.push((name, std::fs::read(path).unwrap()));
                }
            }
        }
        all.sort();
        all
    };
    let (one, four) = (files(1), files(4));
    assert!(one.len() > 10);
    for (a, b) in one.iter().zip(&four) {
        assert!(a == b, "{} and {}", a.0.display(), b.0.display());
    }
    assert_eq!(one.len(), four.len());
    let (_, tex) = one.iter().find(|(name, _)| name.ends_with("thresholds.tex")).unwrap();
    assert!(String::from_utf8_lossy(tex).contains("the logit of P(fake) counts as fake"));
}

#[test]
fn every_detector_has_a_folder_of_its_own_and_no_name_is_a_formula() {
    let folder = tempfile::tempdir().unwrap();
    let plain = Options { bootstrap: None, ..Options::default() };
    let metrics = write_report(folder.path(), &[input("names.csv")], &ReportInput::default(), &plain).unwrap();
    let folders: BTreeSet<String> = metrics.folders.values().map(|folder| folder.to_ascii_lowercase()).collect();
    assert_eq!((metrics.folders.len(), folders.len()), (15, 15));
    assert_eq!(metrics.folders["CON"], "detectors/CON-0ba0f119aa5d684b");
    for of in metrics.folders.values() {
        assert!(folder.path().join(of).join("report.html").exists(), "{of}");
    }
    let pairs = std::fs::read_to_string(folder.path().join("tables/comparisons.csv")).unwrap();
    assert!(pairs.contains("\n'=HYPERLINK(1),") && !pairs.contains("\n=") && !pairs.contains(",="), "{pairs}");
    assert!(pairs.contains(",-0."), "numbers stay numbers");
}

#[test]
fn a_hair_outside_of_0_to_1_is_said() {
    for (name, words) in [
        (
            "above.csv",
            "above.csv: 1 of its probabilities lie outside of 0 to 1 by rounding and count as 0 or 1; the first in row 4, column `p_fake`: 1.0000001",
        ),
        ("below.csv", "row 6, column `p_fake`: -0.000"),
    ] {
        let warnings = of(name, &Options { bootstrap: None, ..Options::default() }).warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(words), "{warnings:?}");
    }
    let far = evaluate(&[input("far.csv")], &[], serde_json::Value::Null, &Options::default()).unwrap_err();
    assert!(far.to_string().contains("row 5") && far.to_string().contains("1.01"), "{far}");
}

#[test]
fn many_detectors_have_tables_and_the_first_have_pages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.csv");
    let mut text = "item,label,detector,p_fake\n".to_string();
    for detector in 0..60u32 {
        for item in 0..10u32 {
            let p = f64::from((detector * 7919 + item * 104_729) % 9973) / 9973.0;
            text += &format!("v{item},{},d{detector:04},{p:.4}\n", item % 2);
        }
    }
    std::fs::write(&path, text).unwrap();
    let plain = Options { bootstrap: None, ..Options::default() };
    let metrics = write_report(folder.path(), &[path], &ReportInput::default(), &plain).unwrap();
    assert_eq!(metrics.folders.len(), MOST_PAGES);
    assert_eq!(std::fs::read_dir(folder.path().join("detectors")).unwrap().count(), MOST_PAGES);
    assert!(metrics.groups.iter().any(|group| group.by.get("detector").is_some_and(|name| name == "d0059")));
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("Of 60 detectors the first 40 by name"));
}
