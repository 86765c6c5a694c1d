//! Every reader of foreign bytes that is ours, as a fuzz target: any bytes give an answer or an error, never a panic,
//! much memory or much time.
//!
//! `.ci/fuzz` runs each under libFuzzer; `tests/corpus.rs` replays the corpus in every test run, cut and changed.
//! A new target is a line of [`TARGETS`] and a folder of small inputs below `corpus/`.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use dubito_data::classes::ClassList;
use dubito_data::clip::Clip;
use dubito_data::manifest;
use dubito_report::{InputOptions, explain};
use dubito_study::{recipe, study};
use dubito_weights::{Weights, clean, onnx};

/// A target: its name, the ending of the files that its reader takes, and the reader.
pub struct Target {
    /// Its name, and that of its folder below `corpus/`.
    pub name: &'static str,
    ending: &'static str,
    read: fn(&Path, &[u8]),
}

/// All of them.
pub const TARGETS: [Target; 11] = [
    Target { name: "csv", ending: "csv", read: |path, _| scores(path) },
    Target { name: "json-lines", ending: "jsonl", read: |path, _| scores(path) },
    Target { name: "npz", ending: "npz", read: |path, _| scores(path) },
    Target { name: "manifest", ending: "csv", read: |path, _| drop(manifest::read(path)) },
    Target { name: "pickle", ending: "pth", read: weights },
    Target { name: "safetensors", ending: "safetensors", read: weights },
    Target { name: "onnx", ending: "onnx", read: |_, bytes| graph(bytes) },
    Target { name: "clip", ending: "safetensors", read: |path, _| drop(Clip::read(path)) },
    Target { name: "study", ending: "toml", read: |path, _| drop(study::config::read(path, &[])) },
    Target { name: "recipe", ending: "toml", read: |path, _| drop(recipe::read(&path.to_string_lossy(), &[])) },
    Target { name: "classes", ending: "toml", read: |path, _| drop(ClassList::read(path)) },
];

fn scores(path: &Path) {
    for logits in [false, true] {
        let _ = explain(path, &InputOptions { logits, ..InputOptions::default() });
    }
}

fn weights(path: &Path, bytes: &[u8]) {
    if let Ok(state) = Weights::from_bytes(path, bytes).and_then(|weights| weights.into_state(path)) {
        let _ = clean(state);
    }
}

fn graph(bytes: &[u8]) {
    let _ = onnx::judge(bytes, Some(224));
}

/// A file that inputs are written into, one after the other.
pub struct Scratch {
    target: &'static Target,
    file: File,
    folder: tempfile::TempDir,
}

impl Scratch {
    /// For a target.
    ///
    /// # Errors
    /// There is no target of this name, or no temporary file can be made.
    pub fn new(name: &str) -> std::io::Result<Self> {
        let known = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
        let target = TARGETS.iter().find(|target| target.name == name);
        let target = target.ok_or_else(|| std::io::Error::other(format!("{name} is none of {}", known())))?;
        let folder = tempfile::tempdir()?;
        let file = File::create(folder.path().join("input").with_extension(target.ending))?;
        Ok(Self { target, file, folder })
    }

    /// Has the target read these bytes.
    ///
    /// # Errors
    /// They can't be written.
    pub fn read(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(bytes)?;
        (self.target.read)(&self.folder.path().join("input").with_extension(self.target.ending), bytes);
        Ok(())
    }
}
