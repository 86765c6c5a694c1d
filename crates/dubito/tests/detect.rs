//! `detect` and `weights` as their user sees them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn dubito(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dubito")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(&output.stderr)))
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn onnx(name: &str) -> String {
    format!("onnx:{}", crates().join("dubito-nn/tests/golden/onnx_detectors").join(name).display())
}

/// A picture of a simulated face in front of the camera.
fn face(folder: &Path) -> PathBuf {
    let out = folder.join("simulated");
    let size = ["--subjects", "1", "--frames", "8", "--width", "320", "--height", "240"];
    let output = dubito(&[&["simulate", "-q", "-o", out.to_str().unwrap()][..], &size].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    out.join("person01.mp4")
}

#[test]
fn every_file_gets_an_answer_and_the_uncertainty_adds_up() {
    let folder = tempfile::tempdir().unwrap();
    let video = face(folder.path());
    let (not, missing) = (folder.path().join("text.mp4"), folder.path().join("gone.mp4"));
    fs::write(&not, "this is text").unwrap();
    let black = folder.path().join("black.png");
    image::RgbImage::new(64, 64).save(&black).unwrap();
    let out = folder.path().join("out");
    let files = [&video, &not, &missing, &black].map(|path| path.to_str().unwrap());
    let detector = onnx("two_logits.onnx");
    let how = ["--detector", &detector, "--views", "--json", "-q", "--samples", "6", "-o", out.to_str().unwrap()];
    let output = dubito(&[&["detect"][..], &files, &how].concat());
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    assert!(said.contains("2 of 4 files") && said.contains("text.mp4") && said.contains("hint:"), "{said}");
    let found = json(&output);
    let statuses: Vec<_> = found["files"].as_array().unwrap().iter().map(|f| f["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["ok", "unreadable", "missing", "no_face"]);
    for file in &found["files"].as_array().unwrap()[1..] {
        assert_eq!((&file["answer"], &file["p_fake"]), (&Value::from("cant_tell"), &Value::Null));
        assert!(!file["reason"].as_str().unwrap().is_empty());
    }
    let file = &found["files"][0];
    let number = |value: &Value| value.as_f64().unwrap();
    let parts =
        |of: &Value| -> f64 { ["aleatoric", "between_frames", "between_views"].iter().map(|k| number(&of[*k])).sum() };
    assert!((number(&file["uncertainty"]["total"]) - parts(&file["uncertainty"])).abs() < 1e-9, "{file}");
    // Views say nothing about the weights.
    assert!(file["uncertainty"]["epistemic"].is_null(), "{file}");
    let frames = file["faces"][0]["frames"].as_array().unwrap();
    let mean = frames.iter().map(|frame| number(&frame["p_fake"])).sum::<f64>() / frames.len() as f64;
    assert!((mean - number(&file["p_fake"])).abs() < 1e-6);
    for ending in ["json", "svg", "png"] {
        assert!(fs::metadata(out.join(format!("001-person01.{ending}"))).unwrap().len() > 500);
    }
    // The same again, and another answer where more or less uncertainty is borne.
    let again = dubito(&[&["detect", files[0]][..], &how[..7]].concat());
    assert_eq!(json(&again)["files"][0]["p_fake"], file["p_fake"]);
    for (above, told) in [("0", false), ("0.6931", true)] {
        let output = dubito(&[&["detect", files[0], "--abstain-above", above][..], &how[..7]].concat());
        let file = &json(&output)["files"][0];
        assert_eq!(file["answer"] != "cant_tell", told, "{file}");
        assert!(told || file["reason"].as_str().unwrap().contains("unsure"), "{file}");
    }
    let small = dubito(&[&["detect", files[0], "--min-face", "1000"][..], &how[..7]].concat());
    let file = json(&small)["files"][0].clone();
    assert!(file["answer"] == "cant_tell" && file["reason"].as_str().unwrap().contains("too small"), "{file}");
    // One network: what it can't know is not 0.
    let output = dubito(&["detect", files[0], "--detector", &detector, "--json", "--samples", "3"]);
    let doubt = json(&output)["files"][0]["uncertainty"].clone();
    assert!(doubt["epistemic"].is_null() && doubt["undefined_because"].as_str().unwrap().contains("one network"));

    // Until it is settled: how many samples it took, and what more would give.
    let auto = ["--samples", "auto", "--max-samples", "64"];
    let output = dubito(&[&["detect", files[0], "--detector", &detector, "--views", "--json"][..], &auto].concat());
    let face = json(&output)["files"][0]["faces"][0].clone();
    let sampling = &face["sampling"];
    assert!(face["samples"] == sampling["samples"] && (16..=64).contains(&face["samples"].as_u64().unwrap()), "{face}");
    assert!(number(&sampling["ranges"]["p_fake"][0]) <= number(&face["p_fake"]), "{face}");
    assert!(sampling["settled"].as_bool().unwrap() || face["reason"].as_str().unwrap().contains("did not settle"));
}

#[test]
fn a_detector_that_cannot_serve_is_an_error_with_its_name() {
    let fails = |arguments: &[&str], code: i32, word: &str| {
        let output = dubito(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(word) && !said.contains("panicked"), "{said}");
    };
    fails(&["detect", "a.mp4"], 2, "--run");
    fails(&["detect", "a.mp4", "--detector", "file.onnx"], 2, "onnx:FILE");
    fails(&["detect", "a.mp4", "--run", "/no/such/run"], 3, "/no/such/run");
    fails(&["detect", "a.mp4", "--detector", &onnx("unknown_operator.onnx")], 3, "Frobnicate");
    fails(&["detect", "a.mp4", "--detector", &onnx("two_logits.onnx"), "--abstain-above", "2"], 2, "ln 2");
    let auto = ["detect", "a.mp4", "--detector", &onnx("two_logits.onnx"), "--samples", "auto", "--tolerance", "2"];
    fails(&auto, 2, "--tolerance");
    fails(&["detect", "a.mp4", "--detector", &onnx("two_logits.onnx"), "--samples", "some"], 2, "auto");
    fails(&["predict", "/no/such/manifest", "--detector", &onnx("two_logits.onnx")], 3, "/no/such/manifest");
}

#[test]
fn an_onnx_detector_predicts_a_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let video = face(folder.path());
    let clips = folder.path().join("clips");
    let (of, clips) = (video.parent().unwrap().to_str().unwrap(), clips.to_str().unwrap());
    assert!(dubito(&["extract", of, "-o", clips, "--size", "32", "-q"]).status.success());
    let out = folder.path().join("predictions");
    let manifest = format!("{clips}/manifest.parquet");
    let output = dubito(&[
        "predict",
        &manifest,
        "--detector",
        &onnx("softmax.onnx"),
        "--views",
        "--samples",
        "4",
        "-q",
        "-o",
        out.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let explained = dubito(&["analyze", out.join("predictions.parquet").to_str().unwrap(), "--explain"]);
    assert!(text(&explained.stdout).contains("sample"), "{}", text(&explained.stdout));
    // Until each video is settled, from what was drawn and from what was kept.
    let auto =
        ["predict", &manifest, "--detector", &onnx("softmax.onnx"), "--views", "--samples", "auto", "--json", "-q"];
    let [first, again] = [(); 2].map(|()| json(&dubito(&[&auto[..], &["-o", out.to_str().unwrap()]].concat())));
    assert!((16..=400).contains(&first["sampled"][0]["samples"].as_u64().unwrap()), "{first}");
    assert_eq!(first, again);
}

#[test]
fn weights_are_listed_imported_and_refused() {
    let golden = crates().join("dubito-weights/tests/golden/torch");
    let file = |name: &str| golden.join(name).to_str().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("w.safetensors");
    let out = out.to_str().unwrap();
    let imported = json(&dubito(&["weights", "import", &file("legacy_nested.pt"), "-o", out, "--json"]));
    assert!(imported["notes"].to_string().contains("prefix `module.`"), "{imported}");
    let listed = json(&dubito(&["weights", "list", out, "--json"]));
    let names: Vec<_> = listed["tensors"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"conv.weight") && !names.iter().any(|name| name.contains("num_batches")), "{names:?}");
    let refused = dubito(&["weights", "list", &file("system_evil.pt")]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("wants to run `posix.system`: refused"), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("hint:"));
    assert_eq!(dubito(&["weights", "export", out, "-o", "x.onnx"]).status.code(), Some(3));
}
