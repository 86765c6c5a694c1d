//! Faces to data: manifests, identities and splits, the clip store, the forge.

// A library says nothing by itself: it returns what there is to say.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod classes;
pub mod clip;
mod error;
pub mod extract;
pub mod finding;
pub mod follow;
pub mod forge;
pub mod handwritten;
pub mod identities;
pub mod layouts;
pub mod manifest;
mod mapped;
pub mod names;
pub mod same_frames;
pub mod shard;
pub mod split;
pub mod stats;
pub mod verify;

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;

pub use error::DataError;

/// A file's name made of another name, such as a video's. It is the same where that can be one: at most `most` bytes, of
/// signs that every file system takes and every reader sees. Otherwise it is cut, has `_` for what can't stay, and ends
/// with eight digits of the hash of the whole name, so that two names stay two.
pub fn file_name(name: &OsStr, most: usize) -> String {
    let text = name.to_string_lossy();
    let stays =
        |c: char| c.is_alphanumeric() || " -_.,;()[]{}+=@#%&!~^$'".contains(c) || (!c.is_ascii() && !is_unseen(c));
    let plain: String = text.chars().map(|c| if stays(c) { c } else { '_' }).collect();
    let is_same = *plain == *text && name.to_str().is_some();
    if is_same && plain.len() <= most && !plain.starts_with('.') && !plain.is_empty() {
        return plain;
    }
    let hash = blake3::hash(name.as_encoded_bytes()).to_hex();
    let mut cut = plain.trim_start_matches('.').to_owned();
    while cut.len() + 9 > most && cut.pop().is_some() {}
    format!("{cut}-{}", &hash[..8])
}

/// Control characters and the format characters of Unicode, which turn the direction of writing or have no width.
pub fn is_unseen(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Writes a file by way of a temporary one beside it: whoever looks sees all of it or none.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(DataError::io(folder))?;
    let mut temporary = dubito_media::temporary::file_in(folder).map_err(DataError::io(folder))?;
    temporary.write_all(bytes).map_err(DataError::io(path))?;
    temporary.persist(path).map_err(|e| DataError::Io { path: path.to_owned(), source: e.error })?;
    Ok(())
}

/// Removes what killed runs left unfinished in a step's folder, in those of its folders that are called so, and in those
/// one below them; what a living process writes stays. To be called when a step begins.
pub fn remove_unfinished(out: &Path, folders: impl Fn(&str) -> bool) {
    let below = |folder: &Path| -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let is_folder = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        entries.filter(is_folder).map(|entry| entry.path()).collect()
    };
    let is_ours = |path: &std::path::PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(&folders);
    dubito_media::temporary::sweep(out);
    for folder in below(out).into_iter().filter(is_ours) {
        dubito_media::temporary::sweep(&folder);
        for folder in below(&folder) {
            dubito_media::temporary::sweep(&folder);
        }
    }
}
