//! What the program prints, and to whom: closed pipes, full disks, hostile names, signals, and a hint with every error.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn dubito(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dubito"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn put(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

const SCORES: &str = "item,label,p_fake\na,real,0.1\nb,fake,0.8\nc,real,0.3\nd,fake,0.6\n";
const STUDY: &str = "title = \"T\"\n[data.a]\nsimulate = { subjects = 6, frames = 8, frame_rate = 6.0, width = 320, height = 240 }\n[detector.d]\nrecipe = \"demo\"\n[experiment.binary]\n";

/// The program with nobody at the other end of standard output, and of standard error.
fn unheard(arguments: &[&str], both: bool) -> (Option<i32>, String) {
    let mut child = dubito(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    let mut stderr = child.stderr.take();
    if both {
        drop(stderr);
    } else {
        stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
    }
    (child.wait().unwrap().code(), said)
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let scores = put(folder.path(), "scores.csv", SCORES);
    let study = put(folder.path(), "study.toml", STUDY);
    let out = folder.path().join("out").to_str().unwrap().to_owned();
    let none = folder.path().join("none.csv").to_str().unwrap().to_owned();
    for (arguments, code) in [
        (vec!["--help"], 0),
        (vec!["help", "extract"], 0),
        (vec!["--version"], 0),
        (vec!["doctor"], 0),
        (vec!["doctor", "--json"], 0),
        (vec!["train", "--show"], 0),
        (vec!["analyze", &scores, "--explain"], 0),
        (vec!["analyze", &scores, "-o", &out, "--resamples", "10"], 0),
        (vec!["study", "plan", &study], 0),
        (vec!["study", "plan", &study, "--json"], 0),
        (vec!["analyze", &none], 3),
        (vec!["--no-such-thing"], 2),
        (vec!["worker", "decode", &none, "1"], 1),
        (vec!["worker"], 1),
    ] {
        for both in [false, true] {
            let (ended, said) = unheard(&arguments, both);
            assert_eq!(ended, Some(code), "{arguments:?}: {said}");
            assert!(!said.contains("panicked") && !said.contains("roken pipe"), "{arguments:?}: {said}");
        }
    }
    // What was asked for was done all the same.
    assert!(Path::new(&out).join("report.html").is_file() && Path::new(&out).join("metrics.json").is_file());
}

#[test]
fn what_standard_output_does_not_take_is_an_error() {
    if !Path::new("/dev/full").exists() {
        println!("skipped: no /dev/full");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let scores = put(folder.path(), "scores.csv", SCORES);
    let out = folder.path().join("out");
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for arguments in [vec!["--help"], vec!["doctor"], vec!["analyze", &scores, "-o", out.to_str().unwrap()]] {
        let ended = dubito(&arguments).stdout(full()).output().unwrap();
        let said = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("error: standard output: ") && said.contains("hint: "), "{said}");
    }
    assert!(out.join("metrics.json").is_file());
    // Nobody is left to be told of standard error.
    assert_eq!(dubito(&["doctor"]).stderr(full()).output().unwrap().status.code(), Some(0));
}

/// Names that would forge a line, clear the screen, set the title or turn the direction of writing.
const HOSTILE: [&str; 5] =
    ["a\nreal", "b\r\u{1b}[2Jx", "c\u{1b}]0;title\u{7}", "d\u{202e}gpj.exe", "e\u{8}\u{9b}31m\u{200b}\u{2028}"];

fn assert_plain(said: &str) {
    for char in ['\u{1b}', '\r', '\u{7}', '\u{8}', '\u{9b}', '\u{202e}', '\u{200b}', '\u{2028}', '\u{feff}'] {
        assert!(!said.contains(char), "{char:?} in {said:?}");
    }
    assert!(said.lines().all(|line| !line.starts_with("real")), "a forged line in {said:?}");
}

#[test]
fn foreign_names_are_printed_as_they_can_be_seen() {
    let folder = tempfile::tempdir().unwrap();
    let videos = folder.path().join("videos");
    fs::create_dir(&videos).unwrap();
    for name in HOSTILE {
        fs::write(videos.join(format!("{name}.mp4")), "no video").unwrap();
    }
    let (videos, out) = (videos.to_str().unwrap(), folder.path().join("out").to_str().unwrap().to_owned());
    let ended = dubito(&["extract", videos, "-o", &out]).output().unwrap();
    let (stdout, stderr) = (text(&ended.stdout), text(&ended.stderr));
    assert!(ended.status.success(), "{stderr}");
    assert_plain(&stdout);
    assert_plain(&stderr);
    for seen in
        ["a\\nreal.mp4: unreadable", "b\\r\\u{1b}[2Jx.mp4", "\\u{1b}]0;title\\u{7}", "d\\u{202e}gpj.exe", "\\u{9b}31m"]
    {
        assert!(stdout.contains(seen), "{seen} in {stdout}");
    }

    // Column names and labels of a table, the name of the file, and a value in an error.
    for (at, name) in HOSTILE.iter().enumerate() {
        let quoted = format!("\"{name}\"");
        let table = format!("item,label,p_fake,{quoted}\na,real,0.1,1\nb,{quoted},0.8,1\n");
        let path = put(folder.path(), &format!("{at}{name}.csv"), &table);
        for arguments in
            [vec!["analyze", &path, "--explain"], vec!["analyze", &path, "-o", &out], vec!["data", "stats", &path]]
        {
            let ended = dubito(&arguments).output().unwrap();
            assert_plain(&text(&ended.stdout));
            assert_plain(&text(&ended.stderr));
        }
        // JSON has the names as they are, and shows them as the rest does.
        let ended = dubito(&["analyze", &path, "--explain", "--json"]).output().unwrap();
        assert_plain(&text(&ended.stdout));
        let object: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!(object["path"], Value::from(path.as_str()));
        // The command line's own complaints, of a name and of a value.
        for argument in [format!("--{name}"), format!("--resamples={name}"), format!("--map={name},label")] {
            let ended = dubito(&["analyze", &path, &argument]).output().unwrap();
            assert_eq!(ended.status.code(), Some(2), "{argument:?}");
            assert_plain(&text(&ended.stderr));
        }
    }
    // An argument of nothing but a line feed: clap's own lines stay lines.
    let ended = dubito(&["analyze", "\n", "--nothing"]).output().unwrap();
    let said = text(&ended.stderr);
    assert!(said.starts_with("error: ") && said.lines().count() > 2, "{said}");
}

fn started(folder: &Path, name: &str) -> Child {
    let out = folder.join(name);
    let arguments = ["simulate", "--subjects", "200", "--frames", "40", "--width", "320", "--height", "240", "-o"];
    let child = dubito(&[arguments.as_slice(), &[out.to_str().unwrap()]].concat());
    let mut child = { child }.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It is at work once the first video is there.
    let begun = Instant::now();
    while !out.join("person01.mp4").is_file() && begun.elapsed() < Duration::from_secs(60) {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn signals_stop_a_command_with_a_word() {
    let folder = tempfile::tempdir().unwrap();
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let child = started(folder.path(), name);
        signal(&child, name);
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        let said = text(&stderr);
        assert_eq!(status.code(), Some(code), "{said}");
        assert!(said.lines().last().unwrap() == "stopped; the same command goes on from there", "{said}");
        assert!(!said.contains("error:") && !said.contains("panicked"), "{said}");
        // No half file under a final name: each video that is there is whole.
        let video = folder.path().join(name).join("person01.mp4");
        let bytes = fs::read(&video).unwrap();
        assert!(bytes.len() > 1000 && bytes[4..8] == *b"ftyp");
    }
    // The second one ends it at once.
    let child = started(folder.path(), "twice");
    signal(&child, "-INT");
    let begun = Instant::now();
    std::thread::sleep(Duration::from_millis(50));
    // It may have ended by the first one alone.
    let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).stderr(Stdio::null()).status();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
}

/// Every error that a command line can lead to has an exit code of the list, and says what to do.
#[test]
fn every_error_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let put = |name: &str, content: &str| put(folder.path(), name, content);
    let (scores, none, out) = (put("scores.csv", SCORES), path("none"), path("out"));
    let words = put("words.txt", "these are words, and no more\n");
    let (video, picture) = (put("video.mp4", "no video"), put("picture.png", "no picture"));
    let empty = put("empty.csv", "");
    let header = put("header.csv", "item,label,p_fake\n");
    let one_class = put("one.csv", "item,label,p_fake\na,real,0.1\nb,real,0.8\n");
    let nan = put("nan.csv", "item,label,p_fake\na,real,zero\n");
    let splits = put("splits.csv", "item,label,p_fake,split\na,real,0.1,x\nb,fake,0.8,y\n");
    let manifest = put("manifest.csv", "path,label,generator,identity,dataset,compression\nx.mp4,real,real,a,d,c23\n");
    let study = put("study.toml", STUDY);
    let (bad_toml, bad_json) = (put("bad.toml", "a = \n"), put("bad.json", "{\"a\": }"));
    let onnx = put("model.onnx", "no model");
    let folder_of_nothing = path("nothing");
    fs::create_dir(&folder_of_nothing).unwrap();
    let by_onnx = format!("onnx:{onnx}");
    let by_none = format!("onnx:{none}");
    let inside = format!("{scores}/out");
    let long = path(&"n".repeat(300));
    let (scores, none, out, words, video) = (&*scores, &*none, &*out, &*words, &*video);
    let lines: Vec<Vec<&str>> = vec![
        vec!["analyze", none],
        vec!["analyze", &long],
        vec!["analyze", folder.path().to_str().unwrap()],
        vec!["analyze", words],
        vec!["analyze", &empty],
        vec!["analyze", &header],
        vec!["analyze", &nan],
        vec!["analyze", &splits, "-o", out],
        vec!["analyze", video],
        vec!["analyze", &bad_json],
        vec!["analyze", scores, "--detector", "nobody", "-o", out],
        vec!["analyze", scores, "--split", "nowhere", "-o", out],
        vec!["analyze", scores, "--map", "label=nothing", "-o", out],
        vec!["analyze", scores, "--set-apart", "0.5", "--calibration-split", "x", "-o", out],
        vec!["analyze", scores, "-o", &inside],
        vec!["analyze", scores, &one_class, scores, "-o", out],
        vec!["analyze", "--explain", none],
        vec!["source", scores, "-o", out],
        vec!["source", none],
        vec!["extract", none, "-o", out],
        vec!["extract", &folder_of_nothing, "-o", out],
        vec!["extract", words, "-o", out],
        vec!["extract", &manifest, "-o", &inside],
        vec!["extract", &manifest, "--margin", "9", "-o", out],
        vec!["extract", &manifest, "--min-presence", "2", "-o", out],
        vec!["extract", &manifest, "--sampling", "all", "-o", out],
        vec!["extract", &manifest, "--shard", "3/2", "-o", out],
        vec!["forge", none, "-o", out],
        vec!["forge", &folder_of_nothing, "-o", out],
        vec!["forge", &folder_of_nothing, "--strength", "2", "-o", out],
        vec!["simulate", "--width", "7", "--height", "3", "-o", out],
        vec!["simulate", "--frame-rate", "-1", "-o", out],
        vec!["simulate", "-o", &inside],
        vec!["train", none],
        vec!["train", words, "-o", out],
        vec!["train", &manifest, "-o", out],
        vec!["train", &manifest, "--task", "nothing", "-o", out],
        vec!["train", &manifest, "--classes", &bad_toml, "-o", out],
        vec!["train", "--show", "--recipe", &bad_toml],
        vec!["train", "--show", "--recipe", none],
        vec!["train", "--show", "--recipe", &folder_of_nothing],
        vec!["train", "--show", "--set", "epochs=0"],
        vec!["train", "--show", "--set", "nothing=0"],
        vec!["train", "--show", "--set", "epochs=many"],
        vec!["train", "--show", "--boundary", "stage:9"],
        vec!["bayes", "convert", none, "-o", out],
        vec!["bayes", "convert", &folder_of_nothing, "-o", out],
        vec!["bayes", "join", none, none, "-o", out],
        vec!["bayes", "scale", none, "--manifest", &manifest, "-o", out],
        vec!["predict", none, "--run", none, "-o", out],
        vec!["predict", &manifest, "--run", none, "-o", out],
        vec!["predict", &manifest, "--detector", &by_onnx, "-o", out],
        vec!["predict", &manifest, "--detector", &by_none, "-o", out],
        vec!["attack", &manifest, "--run", none, "-o", out],
        vec!["attack", &manifest, "--run", none, "--epsilon", "-1", "-o", out],
        vec!["detect", video, "--run", none],
        vec!["detect", video, "--run", &folder_of_nothing],
        vec!["detect", video, "--detector", &by_onnx],
        vec!["detect", video, "--detector", &by_none],
        vec!["explain", none, video, "-o", out],
        vec!["explain", &folder_of_nothing, &picture, "-o", out],
        vec!["pulse", none, "-o", out],
        vec!["pulse", video, "-o", out],
        vec!["pulse", "--manifest", none, "-o", out],
        vec!["weights", "list", none],
        vec!["weights", "list", words],
        vec!["weights", "import", words, "-o", out],
        vec!["weights", "export", none, "-o", "x.safetensors"],
        vec!["weights", "export", none, "-o", "x.txt"],
        vec!["weights", "export", words, "-o", "x.onnx"],
        vec!["data", "index", none, "-o", out],
        vec!["data", "index", &folder_of_nothing, "-o", out],
        vec!["data", "index", &folder_of_nothing, "--layout", "nothing", "-o", out],
        vec!["data", "split", none],
        vec!["data", "split", words],
        vec!["data", "split", &manifest, "--ratios", "1,2", "-o", out],
        vec!["data", "split", &manifest, "--check"],
        vec!["data", "split", &manifest, "--official", none, "-o", out],
        vec!["data", "verify", none],
        vec!["data", "stats", none, "-o", out],
        vec!["data", "audit", none, "-o", out],
        vec!["data", "audit", &manifest, "-o", out],
        vec!["data", "merge", none],
        vec!["data", "merge", &folder_of_nothing],
        vec!["study", "plan", none],
        vec!["study", "plan", words],
        vec!["study", "plan", &folder_of_nothing],
        vec!["study", "plan", &study, "--set", "data.a=3"],
        vec!["study", "plan", &study, "--set", "samples=none"],
        vec!["study", "plan", &study, "--set", "title.x=3"],
        vec!["study", "run", &bad_toml],
        vec!["demo", "--faces", none, "-o", out],
    ];
    let mut wrong = Vec::new();
    for arguments in &lines {
        let ended = dubito(arguments).output().unwrap();
        let (said, code) = (text(&ended.stderr), ended.status.code());
        let has = |start: &str| said.lines().any(|line| line.starts_with(start) && line.len() > start.len() + 3);
        // Of a wrong command line clap speaks.
        let is_kind = code == Some(2) || has("hint: ");
        if !matches!(code, Some(1..=5)) || !has("error: ") || !is_kind || said.contains("panicked") {
            wrong.push(format!("{}\n  {code:?}: {said}", arguments.join(" ")));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
}
