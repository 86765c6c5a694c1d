//! `dubito extract` on one store: several processes, a kill, a second writer, and what is trusted afterwards.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use dubito_data::clip::Clip;
use dubito_data::manifest::{self, Row, Status};
use dubito_sim::{Performance, PerformanceConfig, Subject, render};
use serde_json::Value;

/// Still pictures of two simulated people, each under many names, and their manifest.
fn pictures(folder: &Path, count: usize) -> PathBuf {
    let mut rows = Vec::new();
    fs::create_dir_all(folder.join("videos")).unwrap();
    let pictures: Vec<PathBuf> = [3, 5]
        .map(|seed| {
            let mut config = PerformanceConfig::from_seed(seed);
            (config.camera.width, config.camera.height) = (320, 240);
            let performance = Performance::from_config(config).unwrap();
            let path = folder.join(format!("{seed}.png"));
            render(&Subject::new(seed), &performance, 10).image.save(&path).unwrap();
            path
        })
        .into();
    for i in 0..count {
        let name = format!("videos/{i:02}.png");
        fs::copy(&pictures[i % 2], folder.join(&name)).unwrap();
        rows.push(Row {
            path: name.clone(),
            video: name,
            generator: "real".into(),
            identity: format!("p{}", i % 2),
            dataset: "simulated".into(),
            compression: "raw".into(),
            ..Row::default()
        });
    }
    rows.push(Row { video: "gone".into(), path: "videos/gone.png".into(), ..rows[0].clone() });
    let path = folder.join("manifest.csv");
    manifest::write(&path, &rows, "").unwrap();
    path
}

fn command(manifest: &Path, store: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dubito"));
    command.arg("extract").arg(manifest).arg("-o").arg(store);
    command.args(["--frames", "1", "--min-frames", "1", "--size", "64", "--json", "-q"]).args(more);
    command
}

fn said(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn extract(manifest: &Path, store: &Path, more: &[&str]) -> Value {
    said(&command(manifest, store, more).output().unwrap())
}

fn spawn(manifest: &Path, store: &Path, more: &[&str]) -> Child {
    command(manifest, store, more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Every file below a folder whose name ends so, with its bytes.
fn files(folder: &Path, ending: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for entry in entries.map(|e| e.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.to_str().unwrap().ends_with(ending) {
                found.insert(entry.strip_prefix(folder).unwrap().to_owned(), fs::read(&entry).unwrap());
            }
        }
    }
    found
}

#[test]
fn three_shards_one_killed_make_what_one_process_makes() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = pictures(folder.path(), 40);
    let (single, store) = (folder.path().join("single"), folder.path().join("sharded"));
    let whole = extract(&manifest, &single, &[]);
    assert_eq!((&whole["status"]["ok"], &whole["status"]["missing"]), (&40.into(), &1.into()), "{whole}");

    // One is killed as soon as it has finished a video.
    let mut killed = spawn(&manifest, &store, &["--shard", "1/3", "--workers", "1"]);
    let begun = Instant::now();
    while files(&store, ".json").is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(120), "no video was finished");
        std::thread::sleep(Duration::from_millis(1));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!store.join("manifest.1-of-3.parquet").exists(), "it was killed too late to test anything");
    let before = files(&store, ".safetensors");
    assert!(!before.is_empty() && before.len() < 13);

    // The others run side by side, one of them twice.
    let others = ["2/3", "3/3", "2/3"].map(|shard| spawn(&manifest, &store, &["--shard", shard, "--workers", "2"]));
    for other in others {
        let said = said(&other.wait_with_output().unwrap());
        assert!(said["merged"].is_null(), "{said}");
    }
    assert!(!store.join("manifest.parquet").exists());
    let merge = || {
        let merge = Command::new(env!("CARGO_BIN_EXE_dubito")).args(["data", "merge"]).arg(&store).output().unwrap();
        (merge.status.code(), String::from_utf8_lossy(&merge.stderr).into_owned())
    };
    let (code, error) = merge();
    assert!(code == Some(3) && error.contains("of 3 parts, 1 is missing") && error.contains("hint:"), "{error}");

    // The killed one goes on, makes nothing twice, and is the last.
    let changed = |name: &PathBuf| fs::metadata(store.join(name)).unwrap().modified().unwrap();
    let times: Vec<_> = before.keys().map(changed).collect();
    let last = extract(&manifest, &store, &["--shard", "1/3", "--resume"]);
    assert!(last["merged"].as_str().unwrap().ends_with("manifest.parquet"), "{last}");
    // The video in hand when it was killed may have had its clip, and no record yet.
    let remade = before.keys().map(changed).zip(&times).filter(|(now, then)| now != *then).count();
    assert!(remade <= 1, "{remade} clips were made twice");

    // The same clips, and the same manifest, byte for byte once neither says how it was made.
    assert!(files(&single, ".safetensors") == files(&store, ".safetensors"));
    let same = |store: &Path| {
        let csv = folder.path().join("content.csv");
        manifest::write(&csv, &manifest::read(&store.join("manifest.parquet")).unwrap(), "").unwrap();
        fs::read(csv).unwrap()
    };
    assert!(same(&single) == same(&store));
    fs::remove_file(store.join("manifest.parquet")).unwrap();
    assert_eq!(merge().0, Some(0));
    assert!(same(&single) == same(&store));
    let output = command(&manifest, &store, &["--shard", "4/3"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_is_there_is_trusted_as_far_as_said() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = pictures(folder.path(), 4);
    let store = folder.path().join("store");
    extract(&manifest, &store, &[]);
    let good = files(&store, ".safetensors");
    let names: Vec<PathBuf> = good.keys().map(|name| store.join(name)).collect();
    // Another length is seen; another content of the same length only where it is asked for.
    fs::write(&names[0], b"short").unwrap();
    let mut flipped = fs::read(&names[1]).unwrap();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&names[1], &flipped).unwrap();
    extract(&manifest, &store, &[]);
    assert!(fs::read(&names[0]).unwrap() == good[names[0].strip_prefix(&store).unwrap()]);
    assert!(fs::read(&names[1]).unwrap() == flipped);
    extract(&manifest, &store, &["--verify"]);
    assert!(files(&store, ".safetensors") == good);

    // Another video under the old name is another clip; the same one touched is the same.
    let picture = folder.path().join("videos/00.png");
    let bytes = fs::read(&picture).unwrap();
    let clip = |store: &Path| manifest::read(&store.join("manifest.parquet")).unwrap()[0].clip.clone().unwrap();
    let first = clip(&store);
    fs::write(&picture, &bytes).unwrap();
    extract(&manifest, &store, &[]);
    assert_eq!(clip(&store), first);
    fs::copy(folder.path().join("videos/01.png"), &picture).unwrap();
    extract(&manifest, &store, &[]);
    assert_ne!(clip(&store), first);
}

#[test]
fn what_is_too_poor_or_too_short_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = pictures(folder.path(), 2);
    let row = |name: &str, more: &[&str]| {
        let store = folder.path().join(name);
        extract(&manifest, &store, more);
        manifest::read(&store.join("manifest.parquet")).unwrap().swap_remove(0)
    };
    let poor = row("poor", &["--min-face", "1000"]);
    let reason = poor.reason.unwrap();
    assert!(poor.status == Status::LowQuality && poor.clip.is_none(), "{reason}");
    assert!(reason.contains("a face smaller than 1000 pixels") && reason.contains("1 are needed"), "{reason}");
    let short = row("short", &["--sampling", "windows:2x8"]);
    assert!(short.status == Status::TooShort && short.reason.as_ref().unwrap().contains("windows"), "{short:?}");
    assert_eq!(row("fair", &["--min-face", "20", "--min-presence", "0.5"]).status, Status::Ok);
    for bad in [
        ["--sampling", "windows:0x8"],
        ["--sampling", "often"],
        ["--workers", "0"],
        ["--min-presence", "2"],
        ["--margin", "nan"],
    ] {
        assert_eq!(command(&manifest, folder.path(), &bad).output().unwrap().status.code(), Some(2), "{bad:?}");
    }
}

#[test]
fn windows_are_consecutive_frames() {
    let video = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/faces/lp_d0.mp4");
    if !video.is_file() {
        println!("skipped: no shared data");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::copy(video, folder.path().join("a.mp4")).unwrap();
    let store = folder.path().join("store");
    extract(folder.path(), &store, &["--sampling", "windows:3x8"]);
    let row = manifest::read(&store.join("manifest.parquet")).unwrap().swap_remove(0);
    let clip = Clip::read(&store.join(row.clip.unwrap())).unwrap();
    assert_eq!(clip.windows, (0..24).map(|i| i / 8).collect::<Vec<u32>>());
    let index = &clip.frame_index;
    assert!((0..24_usize).all(|i| i.is_multiple_of(8) || index[i] == index[i - 1] + 1), "{index:?}");
    assert!(index[0] == 0 && index[8] > 8 && index[16] > index[15] + 1, "{index:?}");
}
