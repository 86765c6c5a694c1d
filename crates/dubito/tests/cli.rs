//! The program as its user sees it: whole commands, their words, their files and exit codes.
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

/// Real face videos, where they are at hand.
fn faces() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/faces");
    if !path.is_dir() {
        println!("skipped: no shared data");
        return None;
    }
    Some(path)
}

fn fails(arguments: &[&str], code: i32, expected: &[&str]) {
    let output = dubito(arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    for word in expected {
        assert!(said.contains(word), "{arguments:?}: expected {word:?} in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn help_teaches_and_names_the_exit_codes() {
    let output = dubito(&["--help"]);
    let said = text(&output.stdout);
    for word in ["demo", "forge", "extract", "train", "predict", "analyze", "doctor", "Exit codes"] {
        assert!(said.contains(word), "{word} is missing in: {said}");
    }
    assert!(!said.contains("worker"));
    assert_eq!(dubito(&["--no-such-thing"]).status.code(), Some(2));
}

#[test]
fn doctor_says_what_is_found() {
    let output = dubito(&["doctor", "--json"]);
    assert!(output.status.success());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<_> = found["findings"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"FFmpeg") && names.contains(&"face models") && names.contains(&"disk"), "{names:?}");
    let models = found["findings"].as_array().unwrap().iter().find(|f| f["name"] == "face models").unwrap();
    assert_eq!(models["found"], true);
}

#[test]
fn a_folder_that_cannot_serve_is_an_error_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (faces, out) = (folder.path().to_str().unwrap(), out.to_str().unwrap());
    fails(&["demo", "--faces", faces, "-o", out], 3, &["no video or image", "hint:"]);
    fails(&["demo", "--faces", "/no/such/folder", "-o", out], 3, &["/no/such/folder", "hint:"]);
    fs::write(folder.path().join("a.mp4"), "this is text").unwrap();
    fs::write(folder.path().join("b.mp4"), "").unwrap();
    fails(&["demo", "--faces", faces, "-o", out, "-q"], 3, &["people", "hint:"]);
    fails(&["analyze", "/no/such/file.csv", "-o", out], 3, &["/no/such/file.csv"]);
    fails(&["train", &format!("{faces}/a.mp4"), "-o", out], 3, &["a.mp4"]);
    fails(&["predict", &format!("{faces}/a.mp4"), "--run", faces, "-o", out], 3, &["a.mp4"]);
}

#[test]
fn what_cannot_be_read_is_a_row_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let videos = folder.path().join("videos");
    fs::create_dir(&videos).unwrap();
    fs::write(videos.join("text.mp4"), "this is text").unwrap();
    fs::write(videos.join("empty.mp4"), "").unwrap();
    fs::write(videos.join("broken.png"), b"\x89PNG\r\n\x1a\n, and no more").unwrap();
    fs::write(videos.join("identities.csv"), "file,identity\ntext.mp4,a\nempty.mp4,b\nbroken.png,c\ngone.mp4,d\n")
        .unwrap();
    let mut expected = vec![
        ("broken.png", "unreadable"),
        ("empty.mp4", "unreadable"),
        ("text.mp4", "unreadable"),
        ("gone.mp4", "missing"),
    ];
    if let Some(faces) = faces() {
        fs::copy(faces.join("lp_d0.mp4"), videos.join("whole.mp4")).unwrap();
        let bytes = fs::read(faces.join("face_noface.mov")).unwrap();
        fs::write(videos.join("truncated.mov"), &bytes[..bytes.len() / 2]).unwrap();
        expected.push(("whole.mp4", "ok"));
    }
    let out = folder.path().join("out");
    let output = dubito(&[
        "extract",
        videos.to_str().unwrap(),
        "-o",
        out.to_str().unwrap(),
        "--json",
        "-q",
        "--frames",
        "8",
        "--size",
        "64",
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows = dubito_data::manifest::read(&out.join("manifest.parquet")).unwrap();
    for (name, status) in expected {
        let row = rows.iter().find(|r| r.video == name).unwrap_or_else(|| panic!("no row for {name}"));
        assert_eq!(row.status.name(), status, "{name}: {:?}", row.reason);
        assert_eq!(row.reason.is_some(), status != "ok", "{name}");
        assert_eq!(row.clip.is_some(), status == "ok", "{name}");
    }
}

#[test]
fn a_recipe_is_shown_and_nonsense_in_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    let mine = path.to_str().unwrap();
    let show = |arguments: &[&str]| {
        let output = dubito(&[&["train", "--show"], arguments].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let shown =
        show(&["--detector", "mobilenet_v2", "--freeze", "stem", "--set", "optimiser.name=sgd", "--dropout", "0.1"]);
    for line in ["detector = \"mobilenet_v2\"", "freeze = \"stem\"", "name = \"sgd\"", "dropout = 0.1 "] {
        assert!(shown.lines().any(|l| l.starts_with(line)), "{line} in {shown}");
    }
    fs::write(&path, &shown).unwrap();
    let settings = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(settings(&show(&["--recipe", mine])), settings(&shown));
    fs::write(&path, "[optimiser]\nlearing_rate = 0.1").unwrap();
    fails(&["train", "--show", "--recipe", mine], 3, &["mine.toml", "`learing_rate`", "did you mean `learning_rate`"]);
    fails(&["train", "--show", "--recipe", "/no/such.toml"], 3, &["/no/such.toml", "resnet18"]);
    fails(&["train", "--show", "--detector", "resnet19"], 3, &["did you mean `resnet18`"]);
    fails(&["train", "--show", "--set", "freeze=layer9"], 3, &["demo with freeze", "layer9"]);
    fails(&["train", "--show", "--set", "freeze"], 2, &["KEY=VALUE"]);
    fails(&["train", "--recipe", "resnet18"], 2, &["MANIFEST"]);
}

/// Every step once, on six simulated people and a few frames: the files that each leaves are what the next one
/// reads, and the same command again does the same work in no time.
#[test]
fn the_whole_road_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = |arguments: &[&str]| {
        let output = dubito(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let small = ["--frame-rate", "6", "--width", "320", "--height", "240"];
    let mut simulate = vec!["simulate", "--subjects", "6", "--frames", "8", "--json", "-q", "-o"];
    let videos = path("videos");
    simulate.push(&videos);
    simulate.extend(small);
    run(&simulate);
    assert!(fs::read_to_string(folder.path().join("videos/person01.truth.jsonl")).unwrap().contains("pulse"));
    let forge = |out: &str| {
        let settings = ["--frames", "8", "--every", "1", "--donors", "1", "--controls", "2", "--json", "-q"];
        run(&[&["forge", &path("videos"), "-o", &path(out)], settings.as_slice()].concat())
    };
    let forged = forge("forged");
    // Six people: a real one, two null controls and nine fakes each.
    assert_eq!(forged["status"]["ok"], 72, "{forged}");
    let card = fs::read_to_string(folder.path().join("forged/CARD.md")).unwrap();
    assert!(card.contains("| fsgan-wav2lip | 6 |") && card.contains("null control of"), "{card}");
    let sums = fs::read_to_string(folder.path().join("forged/BLAKE3SUMS")).unwrap();
    // Each video, and the mask of each but the untouched ones.
    assert_eq!(sums.lines().count(), 72 + 66);
    let first = fs::read(folder.path().join("forged/videos/faceswap").read_dir_first()).unwrap();
    assert_eq!(forge("forged"), forged);
    assert_eq!(forge("again")["rows"], 72);
    let again = fs::read(folder.path().join("again/videos/faceswap").read_dir_first()).unwrap();
    assert!(first == again, "the same seed gave another file");

    let manifest = path("forged/manifest.parquet");
    let clips = run(&["extract", &manifest, "-o", &path("clips"), "--frames", "8", "--size", "64", "--json", "-q"]);
    assert_eq!(clips["rows"], 72, "{clips}");
    let manifest = path("clips/manifest.parquet");
    let task = ["--task", "multiclass", "--leave-out", "faceshifter,neuraltextures"];
    let out = path("runs");
    let train = ["train", &manifest, "-o", &out, "--epochs", "1", "--json", "-q"];
    let runs = run(&[train.as_slice(), &task].concat());
    assert_eq!(runs["runs"].as_array().unwrap().len(), 3);
    let run_file = |name: &str| {
        String::from_utf8_lossy(&fs::read(folder.path().join("runs/fold1").join(name)).unwrap()).into_owned()
    };
    assert!(
        run_file("recipe.toml").contains("\nepochs = 1  #") && run_file("curves.html").contains("weights of epoch 1")
    );
    assert!(run_file("events.out.tfevents.dubito").contains("loss/valid"));
    assert!(run_file("model_card.md").contains("| recipe | demo with epochs = 1 |"));
    // A loss that is not finite is an error that says where; what was written before stays.
    let (diverged, huge) = (path("diverged"), "optimiser.learning_rate=1e30");
    let settings = ["--fold", "fold1", "--set", huge, "--set", "schedule.warm_up=0", "-o", &diverged, "-q"];
    fails(&[&["train", &manifest], settings.as_slice()].concat(), 3, &["fold1", "at step", "of epoch", "hint:"]);
    run(&["predict", &manifest, "--run", &path("runs"), "-o", &path("out"), "--samples", "8", "--json", "-q"]);
    run(&["analyze", &path("out/predictions.parquet"), "-o", &path("out"), "--resamples", "50", "--json", "-q"]);
    let metrics: Value = serde_json::from_slice(&fs::read(folder.path().join("out/metrics.json")).unwrap()).unwrap();
    let overall = &metrics["groups"][0];
    assert!(overall["by"].as_object().unwrap().is_empty());
    let auroc = overall["metrics"]["auroc"]["value"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&auroc));
    let total = |name: &str| overall["metrics"][name]["value"].as_f64().unwrap();
    assert!(total("epistemic") > 0.0, "a Bayesian detector without any doubt about itself");
    assert_eq!(metrics["unseen"][0]["generators"].as_array().unwrap().len(), 3, "together, and each of the two");
    assert!(fs::read_to_string(folder.path().join("out/report.html")).unwrap().contains("</html>"));

    // A corrupt checkpoint is an error that names the file.
    let weights = folder.path().join("runs/fold1/weights.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let (runs, out) = (path("runs"), path("out2"));
    fails(&["predict", &manifest, "--run", &runs, "-o", &out, "-q"], 3, &["weights.safetensors"]);
}

trait FirstFile {
    fn read_dir_first(&self) -> PathBuf;
}

impl FirstFile for PathBuf {
    /// The first file of a folder, by name.
    fn read_dir_first(&self) -> PathBuf {
        let mut files: Vec<_> = fs::read_dir(self).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files.swap_remove(0)
    }
}
