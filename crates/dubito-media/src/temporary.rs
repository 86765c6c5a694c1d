//! Files that are being written, under a name of their own until they are whole; and what killed processes left of them.
//!
//! Whoever writes holds a lock on the file, or on an empty file beside it where another process does the writing. The lock
//! ends with the process however it ends. So a file of such a name that can be locked is nobody's any more, whichever process
//! or container of this host began it. Some network file systems don't show a lock to other hosts: the name of the file tells
//! its host, and what another host began is nobody's only once it is old, too.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir, TempPath};

const PREFIX: &str = ".dubito-";
const SUFFIX: &str = ".part";
/// Ending of the file that is held for one that another process writes.
const LOCK: &str = ".lock";
/// Where a lock says nothing, what nobody has written to for so long is nobody's.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

/// What the names of this host's files begin with: `.dubito-HOST-`.
fn own() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    OWN.get_or_init(|| {
        // Of a host without a name no process takes another one's files for its own.
        let name = host_name().filter(|name| !name.is_empty()).unwrap_or_else(|| std::process::id().to_string());
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        format!("{PREFIX}{}-", name.chars().take(64).map(plain).collect::<String>())
    })
}

#[cfg(unix)]
fn host_name() -> Option<String> {
    // SAFETY: this is the function of POSIX.1-2001; `length` is that of the buffer that `name` points to.
    #[allow(unsafe_code)]
    let (name, failed) = unsafe {
        unsafe extern "C" {
            fn gethostname(name: *mut std::ffi::c_char, length: usize) -> std::ffi::c_int;
        }
        let mut name = [0_u8; 256];
        let failed = gethostname(name.as_mut_ptr().cast(), name.len());
        (name, failed != 0)
    };
    let name = name.split(|byte| *byte == 0).next().filter(|_| !failed)?;
    Some(String::from_utf8_lossy(name).into_owned())
}

#[cfg(not(unix))]
fn host_name() -> Option<String> {
    std::env::var("COMPUTERNAME").ok()
}

/// A new, empty file in `folder`, with the permissions that a new file has by default, and held by this process. It is
/// removed when it is dropped without having been given its final name.
///
/// # Errors
/// A folder that can't be written to.
pub fn file_in(folder: &Path) -> io::Result<NamedTempFile> {
    held_file(folder, SUFFIX)
}

/// A new, empty file in `folder` for another process to write, and an empty file beside it that this process holds: where
/// locks are mandatory, nobody else can write to a file that is held. Both are removed when they are dropped, the first one
/// unless it was given its final name; it is to be dropped first.
///
/// # Errors
/// A folder that can't be written to.
pub fn file_for_another(folder: &Path) -> io::Result<(File, TempPath, NamedTempFile)> {
    let held = held_file(folder, LOCK)?;
    let path = held.path().with_extension("part");
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    Ok((file, TempPath::try_from_path(path)?, held))
}

fn held_file(folder: &Path, suffix: &str) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(own()).suffix(suffix);
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
        let made = tempfile::Builder::new().prefix(own()).suffix(SUFFIX).tempdir_in(folder)?;
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
/// a living process writes stays; so does for a day what another host began, or a process that did not write its host into
/// the name.
pub fn sweep(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut removed = 0;
    for entry in entries {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let Some(stem) = name.strip_suffix(SUFFIX).or_else(|| name.strip_suffix(LOCK)) else { continue };
        // What stands behind the host's name is without a hyphen.
        let is_own = stem.strip_prefix(own()).is_some_and(|rest| !rest.contains('-'));
        let path = entry.path();
        let beside = File::open(path.with_extension("lock"));
        let Ok(held) = beside.or_else(|_| File::open(&path)) else { continue };
        let is_old = || {
            let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|time| time.elapsed().ok());
            age.is_some_and(|age| age > FORGOTTEN)
        };
        let is_nobodys = match held.try_lock() {
            Ok(()) => is_own || is_old(),
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
        let left = |name: &str| at(&format!("{}{name}", own()));
        // Left by processes that were killed: nobody holds them.
        std::fs::write(left("Ab12Cd.part"), "half").unwrap();
        std::fs::create_dir(left("folder.part")).unwrap();
        std::fs::write(left("folder.part").join("x"), "half").unwrap();
        std::fs::write(left("child.lock"), "").unwrap();
        std::fs::write(left("child.part"), "half").unwrap();
        for name in ["a.part", ".dubito-notes", "video.mp4", ".tmp123456"] {
            std::fs::write(at(name), "kept").unwrap();
        }
        let file = file_in(folder.path()).unwrap();
        let (made, held) = folder_in(folder.path()).unwrap();
        let (written, path, beside) = file_for_another(folder.path()).unwrap();
        assert_eq!(sweep(folder.path()), 4);
        assert!(file.path().exists() && made.path().exists() && path.exists());
        // The file itself is nobody's: whoever writes it may lock it.
        written.try_lock().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 8);
        drop((made, held, written));
        path.persist(at("written")).unwrap();
        drop(beside);
        file.persist(at("final")).unwrap();
        assert_eq!(sweep(folder.path()), 0);
        assert_eq!(sweep(&at("nowhere")), 0);
        assert!(at("final").exists() && at("written").exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6);
    }

    #[test]
    fn what_another_host_began_stays_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let another = format!("{}another-", own());
        let names = [another.as_str(), ".dubito-elsewhere.org-", PREFIX].map(|host| format!("{host}Ab12Cd.part"));
        let files = names.map(|name| File::create(folder.path().join(name)).unwrap());
        assert_eq!(sweep(folder.path()), 0);
        let old = std::time::SystemTime::now() - 2 * FORGOTTEN;
        files.iter().for_each(|file| file.set_modified(old).unwrap());
        files[0].try_lock().unwrap();
        assert_eq!(sweep(folder.path()), 2);
        drop(files);
        assert_eq!(sweep(folder.path()), 1);
    }
}
