//! What every output says of how it was made.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};

/// The commit that the program was built from, where it says so.
static COMMIT: OnceLock<&str> = OnceLock::new();

/// Says which commit the program was built from; the first call counts, and an empty name none.
pub fn built_from(commit: &'static str) {
    if !commit.is_empty() {
        let _ = COMMIT.set(commit);
    }
}

/// Version, commit, command line, seed, machine: kept beside every result.
pub fn provenance(seed: u64, tools: &dubito_media::Tools) -> Value {
    let command: Vec<String> = std::env::args_os()
        .enumerate()
        .map(|(i, a)| match i {
            // The program's name, not the folder it happens to lie in.
            0 => Path::new(&a).file_name().unwrap_or(&a).to_string_lossy().into_owned(),
            _ => a.to_string_lossy().into_owned(),
        })
        .collect();
    json!({
        "program": "dubito",
        "version": env!("CARGO_PKG_VERSION"),
        "commit": COMMIT.get(),
        "command": command.join(" "),
        "seed": seed,
        "ffmpeg": tools.ffmpeg.as_ref().map(|f| f.version.clone()),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "threads": rayon::current_num_threads(),
    })
}
