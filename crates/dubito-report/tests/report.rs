//! The page holds all it shows, escapes what it is given, and speaks the truth about empty data.
#![allow(clippy::unwrap_used)]

mod synthetic;

use std::path::Path;

use dubito_report::{Example, Judgement, Missing, Options, ReportInput, Row, Scores, verdict, write_report};
use dubito_stats::Bootstrap;
use synthetic::{Size, rows, write};

fn options() -> Options {
    Options { bootstrap: Some(Bootstrap { replicates: 100, ..Bootstrap::default() }), ..Options::default() }
}

/// Write a report of these rows and give back its page and verdict.
fn report(folder: &Path, rows: &[Row], input: &ReportInput) -> (String, Vec<verdict::Sentence>) {
    let predictions = folder.join("predictions.parquet");
    write(&predictions, rows).unwrap();
    let metrics = write_report(&folder.join("out"), std::slice::from_ref(&predictions), input, &options()).unwrap();
    let scores = Scores::read(&[predictions], &options()).unwrap();
    (std::fs::read_to_string(folder.join("out/report.html")).unwrap(), verdict::verdict(&metrics, &scores))
}

/// Every address that a browser would fetch.
fn addresses(page: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for start in ["src=\"", "href=\"", "url(", "@import", "srcset=\"", "action=\"", "<script", "<link", "<iframe"] {
        found.extend(page.match_indices(start).map(|(at, _)| &page[at..(at + start.len() + 5).min(page.len())]));
    }
    found
}

#[test]
fn everything_is_there_and_nothing_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let input = ReportInput {
        title: "Test".into(),
        examples: vec![Example { png: vec![1, 2, 3], caption: "a".into(), group: "b".into() }],
        ..ReportInput::default()
    };
    let (page, sentences) = report(folder.path(), &rows(&Size { people: 6, frames: 2, samples: 4 }), &input);
    let found = addresses(&page);
    assert!(found.len() >= 3, "two fonts and an image");
    assert!(found.iter().all(|a| a.ends_with("data:")), "{found:?}");
    assert_eq!(sentences.len(), 4);
    for sentence in sentences {
        assert!(page.contains(sentence.question), "{}", sentence.question);
    }
    let out = folder.path().join("out");
    for name in ["metrics", "items", "videos", "missing", "reliability"] {
        assert!(out.join("tables").join(name).with_extension("csv").exists(), "{name}");
    }
    let names = ["reliability", "uncertainty_by_generator", "uncertainty_of_errors", "rejection", "roc"];
    for name in names {
        let path = out.join("figures").join(name);
        let svg = std::fs::read_to_string(path.with_extension("svg")).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{name}");
        let decoder = png::Decoder::new(std::io::Cursor::new(std::fs::read(path.with_extension("png")).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let inked = pixels.iter().filter(|&&value| value < 128).count();
        assert!(inked > 2000, "{name}: {inked} dark values");
    }
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("metrics.json")).unwrap()).unwrap();
    assert_eq!(json["groups"][0]["by"], serde_json::json!({}));
    assert!(json["groups"][1]["metrics"]["auroc"]["value"].is_f64());
}

#[test]
fn names_are_escaped_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let evil = "<script>alert('x')</script>";
    let mut all = rows(&Size { people: 5, frames: 1, samples: 2 });
    for row in &mut all {
        row.video = row.video.take().map(|video| format!("{evil}{video}"));
        row.item = format!("{evil}{}", row.item);
        if row.label == 1 {
            row.generator = Some(evil.into());
        }
    }
    let text = || evil.to_string();
    let input = ReportInput {
        title: text(),
        provenance: serde_json::json!({ (evil): { "command": [evil] } }),
        facts: vec![(text(), text())],
        missing: vec![Missing {
            video: text(),
            status: text(),
            reason: text(),
            fold: Some(text()),
            ..Missing::default()
        }],
        examples: vec![Example { png: vec![], caption: text(), group: text() }],
        notes: vec![text()],
        ..ReportInput::default()
    };
    let (page, _) = report(folder.path(), &all, &input);
    assert!(!page.contains("<script"), "{}", &page[page.find("<script").unwrap()..][..80]);
    assert!(page.contains("alert("), "it is shown as text");
    let svg = std::fs::read_to_string(folder.path().join("out/figures/uncertainty_by_generator.svg")).unwrap();
    assert!(!svg.contains("<script"));
}

#[test]
fn one_class_alone_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let mut fakes = rows(&Size { people: 5, frames: 2, samples: 2 });
    fakes.retain(|row| row.label == 1);
    let (page, sentences) = report(folder.path(), &fakes, &ReportInput::default());
    assert_eq!(sentences[0].judgement, Judgement::Unclear);
    assert!(sentences[0].text.contains("all items are fake"), "{}", sentences[0].text);
    assert_eq!(sentences.len(), 3, "no null controls, no sentence about them");
    assert!(page.contains("Nothing to draw: all frames are fake"));
    assert!(!page.contains("NaN"));
}

#[test]
fn guessing_is_called_guessing() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = rows(&Size { people: 12, frames: 2, samples: 3 });
    for row in &mut all {
        // Every person is one number, whatever was done to the video.
        let person: f64 = row.identity.as_ref().unwrap()[2..].parse().unwrap();
        let p = 0.1 + 0.8 * ((person * 0.618).fract() * 0.9 + 0.1 * row.probs[1] * 0.0);
        row.probs = vec![1.0 - p, p];
    }
    let (page, sentences) = report(folder.path(), &all, &ReportInput::default());
    assert_eq!(sentences[0].answer, "Not shown", "{}", sentences[0].text);
    assert!(page.contains("is not shown to be better than chance"));
}

#[test]
fn certain_and_wrong_is_overconfident() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = rows(&Size { people: 12, frames: 2, samples: 3 });
    for row in &mut all {
        let p = if row.probs[1] > 0.5 { 0.999 } else { 0.001 };
        row.probs = vec![1.0 - p, p];
    }
    let (_, sentences) = report(folder.path(), &all, &ReportInput::default());
    assert_eq!((sentences[1].judgement, sentences[1].answer.as_str()), (Judgement::Bad, "No, it is overconfident"));
}

#[test]
fn a_single_item_breaks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let one = [Row { item: "a".into(), label: 0, probs: vec![1.0, 0.0], ..Row::default() }];
    let path = folder.path().join("p.csv");
    std::fs::write(&path, "item,label,p_fake\na,real,0\n").unwrap();
    let metrics = write_report(&folder.path().join("csv"), &[path], &ReportInput::default(), &options()).unwrap();
    assert_eq!(metrics.groups[0].metric("accuracy").value, Some(1.0));
    let (page, _) = report(folder.path(), &one, &ReportInput::default());
    assert!(!page.contains("NaN"));
}
