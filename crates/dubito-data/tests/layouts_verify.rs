//! Verification and statistics: each thing that can be wrong with files and manifests is named and counted.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use dubito_data::layouts::{IndexOptions, index};
use dubito_data::manifest::{self, Row, Status};
use dubito_data::stats;
use dubito_data::verify::{VerifyOptions, compare, verify};
use dubito_media::Tools;

const CONTENTS: VerifyOptions = VerifyOptions { contents: true, frames: false };

fn tools() -> Tools {
    Tools::discover()
}

fn put(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn png(shade: u8) -> Vec<u8> {
    let picture = dubito_media::RgbImage::from_pixel(8, 8, [shade; 3].into());
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn folder_of_eight() -> (tempfile::TempDir, Vec<Row>) {
    let root = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("real/a.png", png(1)),
        ("real/b.png", png(2)),
        ("real/same.png", png(1)),
        ("fake/x/empty.png", Vec::new()),
        ("fake/x/text.png", b"this is text".to_vec()),
        ("fake/x/copy.png", png(2)),
        ("fake/x/frames/0.png", png(3)),
        ("fake/x/frames/1.png", png(4)),
    ] {
        put(root.path(), name, &bytes);
    }
    let rows = index(root.path(), &IndexOptions::default()).unwrap().rows;
    (root, rows)
}

fn found(findings: &[dubito_data::finding::Finding]) -> Vec<(&str, usize)> {
    findings.iter().map(|f| (f.what, f.count)).collect()
}

#[test]
fn what_is_wrong_with_files_is_named_and_counted() {
    let (root, mut rows) = folder_of_eight();
    assert_eq!(rows.len(), 7);
    let report = verify(&rows, root.path(), CONTENTS, &tools());
    assert!(!report.passed());
    assert_eq!(found(&report.findings), [("zero_byte", 1), ("duplicate", 2), ("content_with_two_labels", 1)]);
    assert_eq!(report.findings[1].examples, ["fake/x/copy.png = real/b.png", "real/a.png = real/same.png"]);
    let report = verify(&rows, root.path(), VerifyOptions { contents: false, frames: true }, &tools());
    assert_eq!(found(&report.findings), [("zero_byte", 1), ("unreadable", 1)]);
    assert!(report.findings[1].examples[0].starts_with("fake/x/text.png"));
    assert_eq!(report.frames, Some(4 + 2));
    // Splits, hashes, sizes and numbers of frames that the files do not keep to.
    for row in &mut rows {
        row.identity = "anna".into();
        row.split = if row.path == "real/a.png" { "train" } else { "test" }.into();
        match row.path.as_str() {
            "real/b.png" => row.blake3 = Some("0".repeat(64)),
            "real/a.png" => row.bytes = Some(1),
            "fake/x/frames" => row.frames = Some(5),
            _ => {}
        }
    }
    fs::remove_file(root.path().join("fake/x/text.png")).unwrap();
    let report = verify(&rows, root.path(), VerifyOptions { contents: true, frames: true }, &tools());
    assert_eq!(
        found(&report.findings),
        [
            ("missing", 1),
            ("zero_byte", 1),
            ("size_changed", 1),
            ("content_changed", 1),
            ("frame_count", 1),
            ("duplicate", 2),
            ("content_with_two_labels", 1),
            ("content_in_two_splits", 1),
            ("identity_in_two_splits", 1),
        ]
    );
}

#[test]
fn a_whole_set_passes() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "real/a.png", &png(1));
    put(root.path(), "fake/x/b.png", &png(2));
    let rows = index(root.path(), &IndexOptions::default()).unwrap().rows;
    let report = verify(&rows, root.path(), VerifyOptions { contents: true, frames: true }, &tools());
    assert!(report.passed() && report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!((report.rows, report.frames, report.status["ok"]), (2, Some(2), 2));
}

#[test]
fn a_manifest_whose_files_moved_is_told_from_a_few_missing() {
    let (root, rows) = folder_of_eight();
    let elsewhere = tempfile::tempdir().unwrap();
    let report = verify(&rows, elsewhere.path(), CONTENTS, &tools());
    assert_eq!(found(&report.findings), [("missing", 7), ("all_missing", 1)]);
    assert!(report.findings[1].examples[0].contains("--root"));
    // Paths survive a move of the manifest, below the data and away from it.
    let inside = manifest::rebase(rows.clone(), root.path(), root.path());
    assert_eq!(inside, rows);
    let outside = manifest::rebase(rows.clone(), root.path(), elsewhere.path());
    assert!(Path::new(&outside[0].path).is_absolute());
    assert!(verify(&outside, elsewhere.path(), CONTENTS, &tools()).findings.iter().all(|f| f.what != "missing"));
}

#[test]
fn half_a_download_is_incomplete_and_what_was_not_asked_for_is_absent() {
    let root = tempfile::tempdir().unwrap();
    for i in 0..1000_u32 {
        put(root.path(), &format!("original_sequences/youtube/c23/videos/{i:03}.mp4"), &i.to_le_bytes());
    }
    for i in 0..3_u32 {
        put(
            root.path(),
            &format!("manipulated_sequences/Deepfakes/c23/videos/{:03}_{:03}.mp4", i, 9 - i),
            &[i as u8; 7],
        );
    }
    let rows = index(root.path(), &IndexOptions::default()).unwrap().rows;
    let report = verify(&rows, root.path(), CONTENTS, &tools());
    let verdict = |part: &str| report.counts.iter().find(|c| c.part == part).unwrap().verdict();
    assert_eq!((verdict("youtube"), verdict("Deepfakes"), verdict("FaceSwap")), ("complete", "incomplete", "absent"));
    assert!(report.counts.iter().all(|c| c.group == "c23/videos" && c.dataset == "ffpp"));
    assert_eq!(found(&report.findings), [("incomplete", 1)]);
    assert_eq!(report.findings[0].examples, ["ffpp, c23/videos, Deepfakes (3 of 1000)"]);
}

#[test]
fn two_manifests_that_disagree() {
    let (root, a) = folder_of_eight();
    let mut b = a.clone();
    b.remove(0);
    b[0].generator = "y".into();
    b[1].identity = "someone else".into();
    b.push(Row { path: "new.png".into(), ..b[2].clone() });
    let findings = compare((&a, root.path()), (&b, root.path()));
    assert_eq!(found(&findings), [("disagree", 2), ("only_in_first", 1), ("only_in_second", 1)]);
    assert!(findings[0].examples.iter().any(|e| e.contains("generator x and y")), "{:?}", findings[0]);
    assert!(compare((&a, root.path()), (&a, root.path())).is_empty());
    // Put together, what they disagree on is unclear, and nothing is there twice.
    let (merged, disagreements) = manifest::merge(vec![a.clone(), b]);
    assert_eq!((merged.len(), disagreements.len()), (8, 2));
    assert_eq!(merged.iter().filter(|r| r.status == Status::Unclear).count(), 2);
    // Across: the same people trained on in one and tested on in the other.
    let trained: Vec<Row> = a.iter().map(|r| Row { split: "train".into(), ..r.clone() }).collect();
    let tested = vec![Row { path: "z.png".into(), split: "test".into(), ..a[0].clone() }];
    let across = compare((&trained, root.path()), (&tested, root.path()));
    assert!(across.iter().any(|f| f.what == "identity_in_two_splits" && f.count == 1), "{across:?}");
}

#[test]
fn manifests_as_csv_keep_to_their_columns_whatever_wrote_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.csv");
    let header = "path,generator,identity,dataset,compression,donor,reason,cell,control,mask,clip,track,frames,width,height,bytes,blake3,decoder,encoder,source,seed,gender";
    fs::write(&path, format!("\u{feff}{header}\r\n\"a, \"\"b\"\".mp4\",real,p,d,c23,,,,,,,,,,,,,,,,,women\r\n"))
        .unwrap();
    let rows = manifest::read(&path).unwrap();
    assert_eq!((rows[0].path.as_str(), rows[0].gender.as_deref()), ("a, \"b\".mp4", Some("women")));
    fs::write(&path, "path,label\nx,real\n").unwrap();
    let error = manifest::read(&path).unwrap_err().to_string();
    assert!(error.contains("generator, identity, dataset, compression is missing; there are path, label"), "{error}");
}

#[test]
fn statistics_count_what_is_there() {
    let (_root, mut rows) = folder_of_eight();
    rows[0].gender = Some("women".into());
    rows[1].status = Status::Unclear;
    rows[2].generator = "<b>&".into();
    let counted = stats::stats(&rows);
    assert_eq!((counted.total.real, counted.total.fake, counted.status["unclear"]), (3, 3, 1));
    assert_eq!((counted.components, counted.largest_component), (6, 1));
    let table = |by: &str| counted.tables.iter().find(|t| t.by == by).unwrap();
    let line = |by: &str, value: &str| table(by).lines.iter().find(|l| l.value == value).unwrap();
    assert_eq!(line("generator", "real").real, 3);
    assert_eq!((line("gender", "women").fake, line("gender", "(not said)").real), (1, 3));
    assert!(counted.tables.iter().all(|t| t.by != "race"), "what no row says has no table");
    for table in &counted.tables {
        assert_eq!(table.lines.iter().map(|l| l.real + l.fake).sum::<usize>(), 6, "{}", table.by);
    }
    let out = tempfile::tempdir().unwrap();
    let page = stats::write(&counted, &[], "A <set>", out.path()).unwrap();
    let html = fs::read_to_string(page).unwrap();
    assert!(html.contains("A &lt;set&gt;") && html.contains("&lt;b&gt;&amp;") && !html.contains("<b>"));
    assert!(html.contains("<svg") && html.ends_with("</html>\n"));
    for outside in ["http://", "https://", "<script", "url("] {
        assert!(!html.contains(outside), "the page asks for {outside}");
    }
    let mut csv = csv::Reader::from_path(out.path().join("stats.csv")).unwrap();
    assert_eq!(csv.headers().unwrap(), vec!["by", "value", "real", "fake", "people", "bytes"]);
    let all = csv.records().next().unwrap().unwrap();
    assert_eq!((&all[0], &all[2], &all[3]), ("all", "3", "3"));
}
