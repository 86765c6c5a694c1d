//! `dubito data` as its user sees it: index, split, verify and stats, their words, files and exit codes.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn dubito(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dubito")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that must end with this code, and gives its JSON.
fn json(arguments: &[&str], code: i32) -> Value {
    let output = dubito(&[arguments, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
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

fn put(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Sixty people of FaceForensics++'s shape, in pairs.
fn ffpp(root: &Path) {
    for i in 0..60 {
        put(root, &format!("original_sequences/youtube/c23/videos/{i:03}.mp4"), &format!("real {i}"));
        let other = i ^ 1;
        for method in ["Deepfakes", "FaceSwap"] {
            let name = format!("manipulated_sequences/{method}/c23/videos/{i:03}_{other:03}.mp4");
            put(root, &name, &format!("{method} {i}"));
        }
    }
}

fn what(findings: &Value) -> Vec<&str> {
    findings.as_array().unwrap().iter().map(|f| f["what"].as_str().unwrap()).collect()
}

#[test]
fn from_a_folder_to_a_manifest_that_is_split_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    ffpp(&folder.path().join("set"));
    let (root, manifest) = (path("set"), path("out/manifest.parquet"));
    let index = json(&["data", "index", &root, "-o", &manifest], 0);
    assert_eq!((&index["rows"], &index["status"]["ok"]), (&180.into(), &180.into()), "{index}");
    assert_eq!(index["roots"][0]["layout"], "ffpp");
    fails(&["data", "split", &manifest, "--check"], 3, &["no row has a split", "hint:"]);

    let split = json(&["data", "split", &manifest], 0);
    assert_eq!((&split["people"], &split["units"]), (&60.into(), &30.into()), "{split}");
    let videos: u64 = ["train", "val", "test"].iter().map(|s| split["splits"][s]["videos"].as_u64().unwrap()).sum();
    assert_eq!(videos, 180);
    let checked = json(&["data", "split", &manifest, "--check"], 0);
    assert_eq!((&checked["passed"], &checked["splits"]), (&true.into(), &split["splits"]));

    // One video moved to the other side: the check names its people.
    let mut rows = dubito_data::manifest::read(Path::new(&manifest)).unwrap();
    let moved = rows.iter_mut().find(|r| r.split == "train" && r.donor.is_some()).unwrap();
    moved.split = "test".into();
    let leaking = path("out/leaking.csv");
    dubito_data::manifest::write(Path::new(&leaking), &rows, "").unwrap();
    let checked = json(&["data", "split", &leaking, "--check"], 5);
    assert_eq!((&checked["passed"], &checked["findings"][0]["count"]), (&false.into(), &2.into()), "{checked}");
    fails(&["data", "split", &leaking, "--check"], 5, &["2 people are in more than one split"]);

    // Paths lead from the manifest to the files; what is published is not all there.
    let verified = json(&["data", "verify", &manifest], 5);
    let report = &verified["inputs"][0]["report"];
    assert_eq!(what(&report["findings"]), ["incomplete"], "{verified}");
    assert_eq!(report["counts"][0]["found"], 60);
    let both = json(&["data", "verify", &manifest, &leaking], 5);
    assert_eq!(what(&both["across"]), ["disagree", "identity_in_two_splits"], "{both}");
    let whole = json(&["data", "verify", &root], 5);
    assert_eq!(whole["inputs"][0]["layout"], "ffpp");

    let stats = json(&["data", "stats", &manifest, "-o", &path("stats")], 0);
    assert_eq!((&stats["stats"]["total"]["real"], &stats["stats"]["components"]), (&60.into(), &30.into()));
    assert!(fs::read_to_string(path("stats/stats.html")).unwrap().contains("By generator and split"));
    assert!(fs::read_to_string(path("stats/stats.csv")).unwrap().starts_with("by,value,real,fake,people,bytes\n"));

    // The files move away.
    fs::rename(folder.path().join("set"), folder.path().join("moved")).unwrap();
    let gone = json(&["data", "verify", &manifest], 5);
    assert_eq!(what(&gone["inputs"][0]["report"]["findings"])[0], "missing");
}

#[test]
fn two_roots_become_one_manifest_and_what_they_disagree_on_is_unclear() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    put(folder.path(), "v/a.mp4", "a");
    put(folder.path(), "v/b.mp4", "b");
    put(folder.path(), "one.csv", "path,label,identity\nv/a.mp4,real,anna\nv/b.mp4,real,ben\n");
    put(folder.path(), "two.csv", "path,label,identity\nv/a.mp4,fake,anna\nv/b.mp4,real,ben\n");
    let out = path("both.csv");
    let index = json(&["data", "index", &path("one.csv"), &path("two.csv"), "--layout", "csv", "-o", &out], 0);
    assert_eq!((&index["rows"], &index["status"]["unclear"]), (&2.into(), &1.into()), "{index}");
    let disagree = index["findings"].as_array().unwrap().iter().find(|f| f["what"] == "disagree").unwrap();
    assert!(disagree["examples"][0].as_str().unwrap().contains("label real and fake"), "{disagree}");
    let rows = dubito_data::manifest::read(Path::new(&out)).unwrap();
    assert_eq!((rows[0].path.as_str(), rows[0].status.name()), ("v/a.mp4", "unclear"));
    // Without --layout a table that is no manifest says what would help.
    fails(
        &["data", "index", &path("one.csv"), "-o", &out],
        3,
        &["generator, dataset, compression is missing", "--layout csv"],
    );
}

#[test]
fn what_cannot_serve_is_an_error_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let out = path("m.parquet");
    put(folder.path(), "set/notes.txt", "");
    let set = path("set");
    fails(&["data", "index", &set, "-o", &out], 3, &["no known layout", "fakeavceleb", "hint:", "docs/DATA.md"]);
    fails(&["data", "index", &set, "--layout", "imagenet", "-o", &out], 3, &["imagenet", "celebdf"]);
    fails(&["data", "index", "/no/such/root", "-o", &out], 3, &["/no/such/root"]);
    fails(&["data", "index", &set, "--columns", "path", "-o", &out], 3, &["OURS=THEIRS"]);
    put(folder.path(), "mine.toml", "[[generator]]\nname = \"a\"\nfamilies = [\"f\"]\n");
    fails(&["data", "index", &set, "--classes", &path("mine.toml"), "-o", &out], 3, &["mine.toml", "\"f\""]);
    assert!(!Path::new(&out).exists(), "nothing was written");
    put(folder.path(), "broken.parquet", "PAR1");
    let broken = path("broken.parquet");
    for command in ["split", "verify", "stats"] {
        fails(&["data", command, &broken], 3, &["broken.parquet"]);
    }
    put(folder.path(), "real/a.mp4", "a");
    put(folder.path(), "fake/x/b.mp4", "b");
    let root = folder.path().to_str().unwrap();
    json(&["data", "index", root, "--layout", "folder", "-o", &out], 0);
    fails(&["data", "split", &out], 3, &["2 people", "hint:"]);
    fails(&["data", "split", &out, "--ratios", "1,0,0"], 3, &["--ratios"]);
    fails(&["data", "split", &out, "--official", root], 3, &["train.json"]);
    fails(&["data", "split", &out, "--check", "--cut"], 2, &["--check"]);
    // A class list of one's own names what comes from a folder.
    put(
        folder.path(),
        "mine.toml",
        "[[family]]\nname = \"f\"\nblends = true\n[[generator]]\nname = \"mine\"\nfamilies = [\"f\"]\naliases = [\"X\"]\n",
    );
    json(&["data", "index", root, "--layout", "folder", "--classes", &path("mine.toml"), "-o", &out], 0);
    let rows = dubito_data::manifest::read(Path::new(&out)).unwrap();
    assert_eq!(rows[0].generator, "mine");
    assert_eq!(json(&["data", "verify", &out], 0)["passed"], true);
}
