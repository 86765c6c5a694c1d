//! Where a command writes: that it can be written, and that nothing is overwritten that is read, checked before work begins.

use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf, is_separator};

use dubito_media::temporary;

use crate::StudyError;

/// Bytes that are tried: a disk that is full takes an empty file.
const TRIED: usize = 1 << 16;

/// Checks that a folder can be written to, or can be made. Makes nothing: what is tried is a temporary file in it, or in the
/// nearest folder above it that is there.
///
/// # Errors
/// It, or what it would be in, is a file; it can't be written to; the disk is full.
pub fn writable_folder(out: &Path) -> Result<(), StudyError> {
    writable(out, out)
}

/// [`writable_folder`] for the sake of `out`, which is the folder or in it.
fn writable(folder: &Path, out: &Path) -> Result<(), StudyError> {
    let mut folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    loop {
        match std::fs::metadata(folder) {
            Ok(found) if found.is_dir() => return try_in(folder, out),
            Ok(_) => return Err(is_a_file(folder, out)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if folder.symlink_metadata().is_ok() {
                    return Err(StudyError::Input {
                        message: format!("{}: is a link that leads nowhere", folder.display()),
                        hint: "make the folder that it leads to, or choose another by -o".into(),
                    });
                }
            }
            // Something above is no folder: what it is, is found there.
            Err(error) if error.kind() == ErrorKind::NotADirectory => {}
            Err(error) => return Err(StudyError::io(folder)(error)),
        }
        folder = match folder.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
    }
}

/// Checks that a file can be written: that its folder can, that its name is one of a file, and that it is no folder or device
/// itself.
///
/// # Errors
/// As [`writable_folder`].
pub fn writable_file(out: &Path) -> Result<(), StudyError> {
    if let Ok(found) = std::fs::metadata(out)
        && !found.is_file()
    {
        let what = if found.is_dir() { "a folder" } else { "no regular file" };
        return Err(StudyError::Input {
            message: format!("{}: is {what}, where a file is to be written", out.display()),
            hint: "give the name of a file by -o".into(),
        });
    }
    // A path forgets what stands behind its last name: the system does not.
    let text = out.to_string_lossy();
    if ["", ".", ".."].contains(&text.rsplit(is_separator).next().unwrap_or_default()) {
        return Err(StudyError::Input {
            message: format!("{text:?} names a folder, where a file is to be written"),
            hint: "give the name of a file by -o".into(),
        });
    }
    writable(out.parent().unwrap_or(Path::new("")), out)
}

fn is_a_file(file: &Path, out: &Path) -> StudyError {
    let message = match file == out {
        true => format!("{}: is a file, where a folder is needed", out.display()),
        false => format!("{}: can't be made, as {} is a file", out.display(), file.display()),
    };
    StudyError::Input { message, hint: "choose another folder by -o".into() }
}

/// Writes a temporary file in `folder`, for the sake of `out`.
fn try_in(folder: &Path, out: &Path) -> Result<(), StudyError> {
    let tried = temporary::file_in(folder).and_then(|mut file| {
        file.write_all(&[0; TRIED])?;
        file.flush()
    });
    tried.map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some disk space, or choose another folder by -o",
            _ => "choose a folder that can be written to by -o",
        };
        StudyError::Output { message: format!("{}: can't be written to: {error}", out.display()), hint: hint.into() }
    })
}

/// Checks that nothing that is written is read too, whatever it is called (links, other spellings). What is in `writes` is a file
/// that is written, or a folder that is filled; a folder in `reads` stands for itself, not for what is in it.
///
/// # Errors
/// Names both.
pub fn overwrites_nothing(writes: &[PathBuf], reads: &[&Path]) -> Result<(), StudyError> {
    // In the order of their components, so that what is in a folder comes right behind it.
    let by_path: BTreeMap<PathBuf, &Path> = reads.iter().map(|read| (resolved(read), *read)).collect();
    let by_id: HashMap<(u64, u64), &Path> = reads.iter().filter_map(|read| Some((file_id(read)?, *read))).collect();
    for written in writes {
        let place = resolved(written);
        let is_folder = written.is_dir();
        let there = by_path.range(place.clone()..).next().filter(|(path, _)| match is_folder {
            true => path.starts_with(&place),
            false => **path == place,
        });
        let read = there.map(|(_, read)| *read).or_else(|| by_id.get(&file_id(written)?).copied());
        if let Some(read) = read {
            return Err(StudyError::Input {
                message: format!("{}: would be overwritten by {}", read.display(), written.display()),
                hint: "what is read stays as it is: choose another place by -o".into(),
            });
        }
    }
    Ok(())
}

/// Checks that what is written does not lie in a folder whose files, of all folders in it, are taken for videos.
///
/// # Errors
/// Names both.
pub fn is_apart(out: &Path, videos: &Path) -> Result<(), StudyError> {
    match is_inside(out, videos) {
        false => Ok(()),
        true => Err(StudyError::Input {
            message: format!(
                "{}: lies in {}, so what is written there would be taken for videos of real people next time",
                out.display(),
                videos.display()
            ),
            hint: "choose a folder outside of it by -o".into(),
        }),
    }
}

/// Whether a path leads to a folder or to something in it.
fn is_inside(path: &Path, folder: &Path) -> bool {
    resolved(path).starts_with(resolved(folder))
}

/// Device and number of a file or folder that is there, the same by each of its hard links.
#[cfg(unix)]
fn file_id(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn file_id(_: &Path) -> Option<(u64, u64)> {
    None
}

/// The path without links and dots as far as it is there, and by its spelling from there on.
fn resolved(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for above in absolute.ancestors() {
        if let Ok(found) = above.canonicalize() {
            let rest = absolute.strip_prefix(above).unwrap_or(Path::new(""));
            return rest.components().fold(found, |mut path, component| {
                match component {
                    Component::ParentDir => {
                        path.pop();
                    }
                    other => path.push(other),
                }
                path
            });
        }
    }
    absolute
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_cannot_be_written_is_said_before_anything_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "x").unwrap();
        writable_folder(dir.path()).unwrap();
        writable_folder(&at("new/deep/er")).unwrap();
        writable_file(&at("file")).unwrap();
        writable_file(&at("new/file")).unwrap();
        assert!(!at("new").exists(), "nothing is made");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");

        let said = |result: Result<(), StudyError>| {
            let error = result.unwrap_err();
            assert!(error.hint().is_some(), "{error}");
            error.to_string()
        };
        assert!(said(writable_folder(&at("file"))).contains("file: is a file"));
        let below = said(writable_folder(&at("file/in/it")));
        assert!(below.contains("file/in/it") && below.contains("file is a file"), "{below}");
        assert!(said(writable_file(&at("file/it"))).contains("is a file"));
        assert!(said(writable_file(dir.path())).contains("is a folder"));
        for name in ["new/", "new/.", "new/..", "file/"] {
            assert!(said(writable_file(&at(name))).contains("names a folder"), "{name}");
        }
        assert!(said(writable_folder(&at(&"x".repeat(300)))).contains("xxx"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("gone"), at("link")).unwrap();
            assert!(said(writable_folder(&at("link/in"))).contains("leads nowhere"));
            assert!(said(writable_file(Path::new("/dev/null"))).contains("no regular file"));
        }
        #[cfg(target_os = "linux")]
        {
            let error = writable_folder(Path::new("/proc/dubito")).unwrap_err();
            assert_eq!(error.exit_code(), 1, "{error}");
            assert!(error.to_string().contains("/proc/dubito: can't be written to"), "{error}");
        }
    }

    #[test]
    fn what_is_read_is_not_written_whatever_it_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("in/deep")).unwrap();
        fs::write(at("in/a.pth"), "x").unwrap();
        fs::write(at("in/other.pth"), "x").unwrap();
        let mut same = vec![at("in/a.pth"), at("in/./a.pth"), at("in/deep/../a.pth"), at("in")];
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("in/a.pth"), at("link.pth")).unwrap();
            std::os::unix::fs::symlink(at("in"), at("linked")).unwrap();
            fs::hard_link(at("in/a.pth"), at("hard.pth")).unwrap();
            same.extend([at("link.pth"), at("linked/a.pth"), at("hard.pth"), at("linked/deep/../../linked/a.pth")]);
        }
        let read = at("in/a.pth");
        for written in same {
            let error = overwrites_nothing(std::slice::from_ref(&written), &[&at("other"), &read]).unwrap_err();
            let said = error.to_string();
            assert!(said.contains(&*read.to_string_lossy()) && said.contains(&*written.to_string_lossy()), "{said}");
        }
        overwrites_nothing(&[at("in/other.pth"), at("out/a.pth"), at("in/deep")], &[&read]).unwrap();
        assert!(overwrites_nothing(&[std::env::current_dir().unwrap()], &[Path::new("")]).is_err());

        for out in [at("in"), at("in/deep"), at("in/new/er"), at("out/../in/x")] {
            assert!(is_apart(&out, &at("in")).is_err(), "{}", out.display());
        }
        for out in [at("out"), at("inside"), dir.path().to_owned(), at("in/../out")] {
            is_apart(&out, &at("in")).unwrap();
        }
    }

    #[test]
    fn many_files_are_checked_in_a_moment() {
        let dir = tempfile::tempdir().unwrap();
        let reads: Vec<PathBuf> = (0..3000).map(|k| dir.path().join(format!("in/{k}.mp4"))).collect();
        let mut writes: Vec<PathBuf> = (0..9000).map(|k| dir.path().join(format!("out/{k}.json"))).collect();
        let read: Vec<&Path> = reads.iter().map(PathBuf::as_path).collect();
        let begun = std::time::Instant::now();
        overwrites_nothing(&writes, &read).unwrap();
        writes.push(reads[1234].clone());
        assert!(overwrites_nothing(&writes, &read).unwrap_err().to_string().contains("1234.mp4"));
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }
}
