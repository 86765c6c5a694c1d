//! `dubito data audit` as its user sees it, on still pictures of simulated people.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use dubito_data::manifest::{self, Label, Row};
use dubito_sim::{Performance, PerformanceConfig, Subject, render};
use serde_json::Value;

fn audit(manifest: &Path, out: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dubito"));
    let command = command.args(["data", "audit"]).arg(manifest).arg("-o").arg(out).args(["--json", "-q"]);
    command.output().unwrap()
}

fn check<'a>(object: &'a Value, name: &str) -> &'a Value {
    object["audit"]["checks"].as_array().unwrap().iter().find(|c| c["name"] == name).unwrap()
}

/// Twelve people in three folds. Of each a picture, and a fake: the same with a patch around the mouth turned over, and a
/// mask that says so. The fakes are written as `fake_format`.
fn benchmark(folder: &Path, fake_format: &str) -> std::path::PathBuf {
    let mut rows = Vec::new();
    for person in 0..12_u64 {
        let mut config = PerformanceConfig::from_seed(person);
        (config.camera.width, config.camera.height) = (320, 240);
        let rendered = render(&Subject::new(person), &Performance::from_config(config).unwrap(), 10);
        let (real, mut fake) = (rendered.image.clone(), rendered.image);
        let mouth = rendered.landmarks[13];
        let (x0, y0) = (mouth[0] as u32 - 16, mouth[1] as u32 - 8);
        let mut mask = real.clone();
        mask.fill(0);
        for y in y0..y0 + 24 {
            for x in x0..x0 + 32 {
                *fake.get_pixel_mut(x, y) = *real.get_pixel(2 * x0 + 31 - x, y);
                mask.get_pixel_mut(x, y).0 = [255; 3];
            }
        }
        let (real_path, fake_path) = (format!("real{person}.png"), format!("fake{person}.{fake_format}"));
        real.save(folder.join(&real_path)).unwrap();
        fake.save(folder.join(&fake_path)).unwrap();
        mask.save(folder.join(format!("mask{person}.png"))).unwrap();
        let (fold, cell) = (person % 3, ["a", "b"][person as usize / 3 % 2]);
        let row = Row {
            path: real_path.clone(),
            video: real_path.clone(),
            source: Some(real_path),
            generator: "real".into(),
            identity: format!("p{person:02}"),
            dataset: "simulated".into(),
            compression: "raw".into(),
            split: format!("fold{fold}"),
            cell: Some(format!("fold{fold}.{cell}")),
            ..Row::default()
        };
        rows.push(row.clone());
        rows.push(Row {
            path: fake_path.clone(),
            video: fake_path,
            label: Label::Fake,
            generator: "turned".into(),
            mask: Some(format!("mask{person}.png")),
            ..row
        });
    }
    let path = folder.join("manifest.parquet");
    manifest::write(&path, &rows, "{}").unwrap();
    path
}

#[test]
fn another_file_format_for_fakes_is_a_shortcut_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = benchmark(folder.path(), "jpg");
    let out = folder.path().join("out");
    let output = audit(&manifest, &out);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{error}");
    for word in ["a shortcut solves this benchmark", "container", "turned", "same encoder", "hint:"] {
        assert!(error.contains(word), "{word:?} is missing in: {error}");
    }
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let container = check(&said, "container");
    assert_eq!((&container["verdict"], &container["auroc"]["value"]), (&"failed".into(), &1.0.into()), "{container}");
    assert_eq!(container["leaks"][0], "turned");
    let page = fs::read_to_string(out.join("audit.html")).unwrap();
    assert!(page.contains("</html>") && page.contains("<svg") && page.contains("same encoder"));
    let kept: Value = serde_json::from_slice(&fs::read(out.join("audit.json")).unwrap()).unwrap();
    assert_eq!((&kept["passed"], &kept["audit"]), (&false.into(), &said["audit"]));
    let mut left: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["audit.html", "audit.json", "provenance.json"], "the network's folder is gone");
}

#[test]
fn where_only_the_mouth_differs_the_file_and_the_pixels_around_tell_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = benchmark(folder.path(), "png");
    // The store's folder does as well as the manifest.
    let output = audit(folder.path(), &folder.path().join("out"));
    let error = String::from_utf8_lossy(&output.stderr);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {error}"));
    assert_eq!(said["audit"]["videos"], serde_json::json!([12, 12]));
    for name in ["container", "background"] {
        assert_eq!(check(&said, name)["verdict"], "passed", "{name}: {}", check(&said, name));
        assert_eq!(check(&said, name)["videos"], 24);
    }
    // Pixels that the masks hide are all that differ: what is left is the same, and so is its score.
    assert_eq!(check(&said, "background")["auroc"]["value"], 0.5);

    // A fake whose file is gone is said, and the rest goes on; none at all is an error.
    fs::remove_file(folder.path().join("fake3.png")).unwrap();
    let output = audit(&manifest, &folder.path().join("out2"));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["audit"]["unreadable"][0].as_str().unwrap().contains("fake3.png"));
    for person in 0..12 {
        let _ = fs::remove_file(folder.path().join(format!("fake{person}.png")));
        fs::remove_file(folder.path().join(format!("real{person}.png"))).unwrap();
    }
    let output = audit(&manifest, &folder.path().join("out3"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(3) && error.contains("none of 24 videos") && error.contains("hint:"),
        "{error}"
    );
}
