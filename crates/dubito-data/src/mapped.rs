//! A file of the store, read at any place through a memory map: the one place of the project with unsafe code.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use memmap2::Mmap;

/// Most files mapped at a time, half of what Linux grants a process (`vm.max_map_count`); the others are read.
const MAX_MAPS: usize = 32_768;

static MAPS: AtomicUsize = AtomicUsize::new(0);

/// A file that others may only replace (by a rename), never change: clips are written so.
///
/// Before and after each read the file at the path is compared with the one that was opened (length, time of the last
/// change, and on Unix which file it is). One that was shortened, changed or replaced is an error. What is left is a
/// file shortened by somebody in the very moments between the two looks, which ends the process with a bus error: no
/// program can rule that out for a mapped file.
#[derive(Debug)]
pub(crate) struct StoredFile {
    path: PathBuf,
    seen: Seen,
    map: Option<Counted>,
}

/// A map that is counted while it lives.
#[derive(Debug)]
struct Counted(Mmap);

impl Drop for Counted {
    fn drop(&mut self) {
        MAPS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What tells a changed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    length: u64,
    modified: Option<SystemTime>,
    file: (u64, u64),
}

impl Seen {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let file = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let file = (0, 0);
        Self { length: metadata.len(), modified: metadata.modified().ok(), file }
    }
}

impl StoredFile {
    /// Opens a file and maps it; where no map is to be had (too many, or a file system without) it is read instead.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let seen = Seen::of(&file.metadata()?);
        Ok(Self { path: path.to_owned(), seen, map: map(&file, seen.length) })
    }

    /// Bytes in the file.
    pub(crate) fn len(&self) -> u64 {
        self.seen.length
    }

    /// Copies the bytes from `at` on into all of `out`.
    pub(crate) fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        let end = at.checked_add(out.len() as u64).filter(|end| *end <= self.seen.length);
        let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        self.check()?;
        match &self.map {
            Some(map) => out.copy_from_slice(
                map.0.get(at as usize..end as usize).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?,
            ),
            None => {
                let mut file = File::open(&self.path)?;
                file.seek(SeekFrom::Start(at))?;
                file.read_exact(out)?;
            }
        }
        self.check()
    }

    fn check(&self) -> io::Result<()> {
        if Seen::of(&std::fs::metadata(&self.path)?) == self.seen {
            return Ok(());
        }
        Err(io::Error::other("the file was changed since it was opened"))
    }
}

fn map(file: &File, length: u64) -> Option<Counted> {
    if length == 0 || usize::try_from(length).is_err() {
        return None;
    }
    if MAPS.fetch_add(1, Ordering::Relaxed) >= MAX_MAPS {
        MAPS.fetch_sub(1, Ordering::Relaxed);
        return None;
    }
    // SAFETY: the map is read only, and its bytes are only ever copied out, by `read_at`, as bytes, for which every
    // value is valid. Nobody may change the file meanwhile: files of the store are written under another name and
    // renamed, and never changed afterwards; `read_at` looks before and after that this was so.
    #[allow(unsafe_code)]
    let map = unsafe { Mmap::map(file) };
    match map {
        Ok(map) => Some(Counted(map)),
        Err(_) => {
            MAPS.fetch_sub(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_cut_replaced_or_gone_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let read = |file: &StoredFile| {
            let mut out = [0; 3];
            file.read_at(2, &mut out).map(|()| out)
        };
        std::fs::write(&path, b"0123456789").unwrap();
        let file = StoredFile::open(&path).unwrap();
        assert!(file.map.is_some());
        assert_eq!(read(&file).unwrap(), *b"234");
        assert!(file.read_at(8, &mut [0; 3]).is_err(), "past the end");
        assert!(file.read_at(u64::MAX, &mut [0; 3]).is_err());
        // Without a map the same bytes are read.
        let unmapped = StoredFile { path: path.clone(), seen: file.seen, map: None };
        assert_eq!(read(&unmapped).unwrap(), *b"234");

        File::options().write(true).open(&path).unwrap().set_len(1).unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("changed"));
        let file = StoredFile::open(&path).unwrap();
        std::fs::write(folder.path().join("g"), b"x").unwrap();
        std::fs::rename(folder.path().join("g"), &path).unwrap();
        assert!(file.read_at(0, &mut [0; 1]).is_err(), "replaced by another of the same length");
        std::fs::remove_file(&path).unwrap();
        assert!(read(&unmapped).is_err());
        std::fs::write(&path, b"").unwrap();
        assert!(StoredFile::open(&path).unwrap().map.is_none());
    }
}
