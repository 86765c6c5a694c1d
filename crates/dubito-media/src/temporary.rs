//! Files that are being written, under a name of their own until they are whole; and what killed processes left of them.
//!
//! Whoever writes holds a lock on the file, which ends with the process however it ends. So a file of such a name that can
//! be locked is nobody's any more, whichever process, container or machine began it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};

const PREFIX: &str = ".dubito-";
const SUFFIX: &str = ".part";
/// Where a file system knows no locks, what nobody has written to for so long is nobody's.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

fn builder<'a>() -> tempfile::Builder<'a, 'a> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    builder
}

/// A new, empty file in `folder`, with the permissions that a new file has by default, and held by this process. It is
/// removed when it is dropped without having been given its final name.
///
/// # Errors
/// A folder that can't be written to.
pub fn file_in(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = builder();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    loop {
        let file = builder.tempfile_in(folder)?;
        // Another process's sweep may have come between: then it is gone, and another one is made.
        if hold(file.as_file()) && file.path().exists() {
            return Ok(file);
        }
    }
}

/// A new folder in `folder`, held by this process as long as the file beside it is; removed with all that is in it when it
/// is dropped.
///
/// # Errors
/// A folder that can't be written to.
pub fn folder_in(folder: &Path) -> io::Result<(TempDir, Option<File>)> {
    loop {
        let made = builder().tempdir_in(folder)?;
        // Not every system opens folders as files.
        let Ok(file) = File::open(made.path()) else { return Ok((made, None)) };
        if hold(&file) && made.path().exists() {
            return Ok((made, Some(file)));
        }
    }
}

/// Whether the file is this process's now; where there are no locks it is.
fn hold(file: &File) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Removes from `folder`, but not from those below it, what processes that are gone left unfinished; returns how much. What
/// a living process writes stays.
pub fn sweep(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut removed = 0;
    for entry in entries {
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
            continue;
        }
        let path = entry.path();
        let Ok(file) = File::open(&path) else { continue };
        let is_old = || {
            let age = file.metadata().and_then(|m| m.modified()).ok().and_then(|time| time.elapsed().ok());
            age.is_some_and(|age| age > FORGOTTEN)
        };
        let is_nobodys = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(_)) => is_old(),
        };
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let gone = || if is_folder { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        if is_nobodys && gone().is_ok() {
            removed += 1;
        }
    }
    removed
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_writes_any_more_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // Left by a process that was killed: nobody holds it.
        std::fs::write(at(".dubito-Ab12Cd.part"), "half").unwrap();
        std::fs::create_dir(at(".dubito-folder.part")).unwrap();
        std::fs::write(at(".dubito-folder.part/x"), "half").unwrap();
        for name in ["a.part", ".dubito-notes", "video.mp4", ".tmp123456"] {
            std::fs::write(at(name), "kept").unwrap();
        }
        let file = file_in(folder.path()).unwrap();
        let (made, held) = folder_in(folder.path()).unwrap();
        assert_eq!(sweep(folder.path()), 2);
        assert!(file.path().exists() && made.path().exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6);
        drop((made, held));
        file.persist(at("final")).unwrap();
        assert_eq!(sweep(folder.path()), 0);
        assert_eq!(sweep(&at("nowhere")), 0);
        assert!(at("final").exists());
    }
}
