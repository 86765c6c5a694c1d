//! DeepfakeBench's preprocessed frames, by its JSON files (also those of DF40).
//!
//! ```text
//! [preprocessing/]dataset_json/NAME.json, or NAME.json in the root:
//! {NAME: {GROUP: {train|val|test: {[c23: ]{VIDEO: {"label": GROUP, "frames": [PATH, ...]}}}}}}
//! ```
//! Paths of frames are those of the machine that wrote them, with either slash: the longest end of a path that exists
//! below the root is taken. A group whose name ends in `real` is real, every other one is a generator (`FF-DF`). The
//! benchmark puts the same video into several splits where a data set has no validation part of its own; such a video
//! is one row here, and its split is left empty.
//!
//! Sources: Yan et al., "DeepfakeBench: A Comprehensive Benchmark of Deepfake Detection", NeurIPS Datasets and
//! Benchmarks 2023, and the repository SCLBD/DeepfakeBench (`README.md`, `preprocessing/rearrange.py`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::tree::{self, Item, Tree};
use super::{Layout, Read, Source, df40, unclear};
use crate::error::DataError;
use crate::manifest::Row;

const NAME: &str = "deepfakebench";
const FOLDERS: [&str; 3] = ["", "dataset_json/", "preprocessing/dataset_json/"];
const SPLITS: [&str; 3] = ["train", "val", "test"];

pub(super) const LAYOUT: Layout = Layout {
    name: NAME,
    title: "DeepfakeBench",
    looks_for: "dataset_json/NAME.json with \"frames\" of each video",
    published: &[],
    recognises,
    read,
    part: |_| None,
};

fn json_files(tree: &Tree) -> Vec<&str> {
    let in_place = |path: &str| {
        FOLDERS.iter().any(|folder| path.strip_prefix(folder).is_some_and(|n| !n.contains('/') && n.ends_with(".json")))
    };
    tree.files().iter().map(|f| f.path.as_str()).filter(|p| in_place(p)).collect()
}

fn recognises(tree: &Tree) -> bool {
    json_files(tree)
        .iter()
        .any(|path| tree.text(path).is_ok_and(|t| t.contains("\"frames\"") && t.contains("\"label\"")))
}

/// A video as the JSON files list it.
#[derive(Default)]
struct Listed {
    group: BTreeSet<String>,
    splits: BTreeSet<String>,
    compression: String,
    name: String,
    files: BTreeSet<String>,
    frames: usize,
    missing: usize,
}

fn read(source: &Source) -> Result<Read, DataError> {
    let tree = source.tree;
    // Videos by the folder of their frames.
    let mut videos: BTreeMap<String, Listed> = BTreeMap::new();
    let mut other = Vec::new();
    let mut resolver = Resolver { tree, skip: 0 };
    for file in json_files(tree) {
        let error = |message: String| DataError::Table { path: tree.root.join(file), row: None, message };
        let text = tree.text(file)?;
        if !text.contains("\"frames\"") {
            other.push(file.to_owned());
            continue;
        }
        let json: Value = serde_json::from_str(&text).map_err(|e| error(format!("not readable as JSON: {e}")))?;
        for (group, splits) in object(&json).into_iter().flat_map(|(_, groups)| object(groups)) {
            for (split, content) in object(splits) {
                if !SPLITS.contains(&split.as_str()) {
                    return Err(error(format!("{group}: expected train, val or test, found {split:?}")));
                }
                for (key, value) in object(content) {
                    // A compression, with its videos, or a video.
                    let inner: Vec<_> = if value.get("frames").is_some() {
                        vec![("as_found", key, value)]
                    } else {
                        object(value).into_iter().map(|(name, video)| (key.as_str(), name, video)).collect()
                    };
                    for (compression, name, video) in inner {
                        let Some(frames) = video.get("frames").and_then(Value::as_array) else { continue };
                        let frames: Vec<&str> = frames.iter().filter_map(Value::as_str).collect();
                        let Some(first) = frames.first() else { continue };
                        let folder = resolver.folder(first);
                        let listed = videos.entry(folder).or_default();
                        listed.group.insert(group.clone());
                        listed.splits.insert(split.clone());
                        listed.files.insert(file.to_owned());
                        if listed.name.is_empty() {
                            listed.name = name.clone();
                            listed.compression = compression.to_owned();
                            listed.frames = frames.len();
                            listed.missing = frames.iter().filter(|f| !resolver.exists(f)).count();
                        }
                    }
                }
            }
        }
    }
    let mut read = Read::default();
    let mut several = Vec::new();
    for (folder, listed) in videos {
        let frames = u32::try_from(listed.frames).ok();
        let bytes = tree.below(&folder).iter().map(|f| f.bytes).sum();
        let item = Item { path: folder.clone(), bytes, images: frames };
        let table = listed.files.iter().next().cloned().unwrap_or_default();
        let row = match listed.missing {
            0 => source.row(&item, NAME),
            n if n == listed.frames => source.missing(&folder, NAME, &table),
            n => {
                Row { reason: Some(format!("{n} of {} frames are missing", listed.frames)), ..source.row(&item, NAME) }
            }
        };
        let split = if listed.splits.len() == 1 {
            listed.splits.into_iter().next().unwrap_or_default()
        } else {
            several.push(folder.clone());
            String::new()
        };
        let is_real = |group: &String| group.to_lowercase().ends_with("real");
        let domain =
            if folder.to_lowercase().contains("celeb") || folder.split('/').any(|p| p == "cdf") { "cdf" } else { "ff" };
        let (identity, donor) =
            df40::people(domain, &listed.name).unwrap_or_else(|| (format!("{NAME}-{}", listed.name), None));
        let row = Row { identity, donor, split, compression: listed.compression, ..row };
        let fakes: BTreeSet<String> =
            listed.group.iter().filter(|g| !is_real(g)).map(|g| generator(g, &folder)).collect();
        let reals = listed.group.iter().filter(|g| is_real(g)).count();
        read.rows.push(match (reals, fakes.iter().next()) {
            (_, None) => row,
            (0, Some(name)) if fakes.len() == 1 => source.fake(row, name),
            _ => {
                let groups: Vec<_> = listed.group.into_iter().collect();
                unclear(row, format!("it is listed as {}", groups.join(" and as ")))
            }
        });
    }
    read.note("several_splits", "videos are listed in several splits: their split is left empty", several);
    read.note("other_json", "JSON files list no frames and were passed over", other);
    Ok(read)
}

/// The generator of a group of fakes: in DF40's files groups are called `NAME_Fake`, some of them after another method,
/// so that the folder `METHOD/ff/...` says more.
fn generator(group: &str, folder: &str) -> String {
    let Some(method) = group.strip_suffix("_Fake") else { return group.to_owned() };
    let parts: Vec<&str> = folder.split('/').collect();
    let place = parts.iter().position(|p| ["ff", "cdf", "fake"].contains(p)).and_then(|i| i.checked_sub(1));
    place.map_or(method, |i| parts[i]).to_owned()
}

fn object(value: &Value) -> Vec<(&String, &Value)> {
    value.as_object().map(|o| o.iter().collect()).unwrap_or_default()
}

/// Finds frames by the paths that another machine wrote.
struct Resolver<'a> {
    tree: &'a Tree,
    /// Parts at the beginning of a path that were left out last time.
    skip: usize,
}

impl Resolver<'_> {
    /// The path below the root; the path's own last four parts where there is no such file.
    fn path(&mut self, path: &str) -> Option<String> {
        let path = path.replace('\\', "/");
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
        let tried = std::iter::once(self.skip.min(parts.len())).chain(0..parts.len());
        for skip in tried {
            let end = parts[skip..].join("/");
            if self.tree.file(&end).is_some() {
                self.skip = skip;
                return Some(end);
            }
        }
        (0..parts.len()).find_map(|skip| self.tree.locate(&parts[skip..].join("/")))
    }

    fn exists(&mut self, path: &str) -> bool {
        self.path(path).is_some()
    }

    /// The folder a frame is in.
    fn folder(&mut self, path: &str) -> String {
        let found = self.path(path).unwrap_or_else(|| {
            let path = path.replace('\\', "/");
            path.trim_start_matches("./").trim_start_matches('/').to_owned()
        });
        match found.rsplit_once('/') {
            Some((folder, _)) => folder.to_owned(),
            None => tree::name(&found).to_owned(),
        }
    }
}
