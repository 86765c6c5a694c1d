//! What every output says of how it was made. What is the same for whoever does the same again (version, commit, seed,
//! decoder) stands in the outputs themselves; what differs from run to run (command line, folder, threads, machine)
//! stands in `provenance.json` beside them, so that results can be compared byte for byte.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::StudyError;

/// The file that says how what lies beside it was made, down to the command line.
pub const FILE: &str = "provenance.json";

/// The commit that the program was built from, where it says so.
static COMMIT: OnceLock<&str> = OnceLock::new();

/// Says which commit the program was built from; the first call counts, and an empty name none.
pub fn built_from(commit: &'static str) {
    if !commit.is_empty() {
        let _ = COMMIT.set(commit);
    }
}

/// Version, commit, seed and decoder: kept in every result.
pub fn provenance(seed: u64, tools: &dubito_media::Tools) -> Value {
    json!({
        "program": "dubito",
        "version": env!("CARGO_PKG_VERSION"),
        "commit": COMMIT.get(),
        "seed": seed,
        "ffmpeg": tools.ffmpeg.as_ref().map(|f| f.version.clone()),
    })
}

/// The same with the command line, the folder it was given in, the machine's kind and the number of threads.
pub fn complete(provenance: &Value) -> Value {
    let command: Vec<String> = std::env::args_os()
        .enumerate()
        .map(|(i, a)| match i {
            // The program's name, not the folder it happens to lie in.
            0 => Path::new(&a).file_name().unwrap_or(&a).to_string_lossy().into_owned(),
            _ => a.to_string_lossy().into_owned(),
        })
        .collect();
    let mut all = provenance.clone();
    all["command"] = command.join(" ").into();
    all["folder"] = json!(std::env::current_dir().ok().map(|folder| folder.to_string_lossy().into_owned()));
    all["system"] = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH).into();
    all["threads"] = rayon::current_num_threads().into();
    all
}

/// Adds the [complete] provenance of what a command did to a folder's [`FILE`], under the command's name, beside what
/// other commands have left there; of a file `NAME.parquet` to `NAME.provenance.json` beside it.
///
/// # Errors
/// A file that can't be written.
pub fn write(result: &Path, command: &str, provenance: &Value) -> Result<(), StudyError> {
    let path: PathBuf = if result.is_dir() { result.join(FILE) } else { result.with_extension(FILE) };
    let before = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut all: Map<String, Value> = before.unwrap_or_default();
    all.insert(command.to_owned(), complete(provenance));
    let text = serde_json::to_string_pretty(&all).unwrap_or_default();
    Ok(dubito_data::write_atomically(&path, format!("{text}\n").as_bytes())?)
}
