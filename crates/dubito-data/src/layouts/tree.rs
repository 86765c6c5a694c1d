//! What lies below a folder: every file once, in the order of the names, links that lead out not followed.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Index, Range};
use std::path::{Path, PathBuf};

use dubito_table::Records;

use crate::error::DataError;
use crate::finding::{Finding, Severity};
use crate::names::{self, Found, Heard, Names, PassedOver, Spelling, passed_over};

/// Endings of files that are taken for videos.
const VIDEOS: [&str; 16] =
    ["mp4", "avi", "mov", "mkv", "webm", "m4v", "mpg", "mpeg", "wmv", "ts", "flv", "3gp", "ogv", "mts", "m2ts", "gif"];
/// Endings of files that are taken for images.
const IMAGES: [&str; 11] = ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "avif", "heic", "heif", "jxl"];

/// Endings of files that a download has not finished.
const UNFINISHED: [&str; 8] = ["part", "partial", "crdownload", "download", "filepart", "aria2", "opdownload", "!ut"];

/// A file below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// Its path below the root, with `/` between the parts.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// A video, or a folder of images that stands for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its path below the root.
    pub path: String,
    /// Its size, or that of all its images.
    pub bytes: u64,
    /// Images, where it is a folder of them.
    pub images: Option<u32>,
}

impl Item {
    /// The file's name without its ending, or the folder's name.
    pub fn stem(&self) -> &str {
        match self.images {
            Some(_) => name(&self.path),
            None => stem(&self.path),
        }
    }
}

/// The last part of a path.
pub(crate) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The last part of a path, without its ending.
pub(crate) fn stem(path: &str) -> &str {
    let name = name(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Whether a path's ending is one of these, in capitals or not.
pub(crate) fn has_ending(path: &str, endings: &[&str]) -> bool {
    let ending = name(path).rsplit_once('.').map_or("", |(_, ending)| ending);
    endings.iter().any(|e| e.eq_ignore_ascii_case(ending))
}

/// Whether a path's ending is that of a video.
pub(crate) fn is_video(path: &str) -> bool {
    has_ending(path, &VIDEOS)
}

/// Whether a path's ending is that of an image.
pub(crate) fn is_image(path: &str) -> bool {
    has_ending(path, &IMAGES)
}

/// Whether a path's ending is that of a video or an image.
pub(crate) fn is_media(path: &str) -> bool {
    is_video(path) || is_image(path)
}

/// Everything below a folder.
#[derive(Default)]
pub(crate) struct Tree {
    pub root: PathBuf,
    files: Vec<File>,
    pub findings: Vec<Finding>,
    /// Files and folders, to be found by the names that tables give them; made when one is first looked for.
    names: OnceCell<Names>,
    /// The paths that lead to the root; asked for when a name is first not found as it stands.
    roots: OnceCell<Vec<String>>,
    heard: Heard,
}

impl Tree {
    /// Reads the names and sizes below `root`. A link to a file below the root is taken for that file; one to a
    /// folder, or out of the root, is not followed but counted; so are names that are not UTF-8, folders that can't be
    /// read, what systems leave beside files, and what is hidden.
    pub fn read(root: &Path) -> Result<Self, DataError> {
        let canonical = std::fs::canonicalize(root).map_err(DataError::io(root))?;
        if !canonical.is_dir() {
            let source = std::io::Error::new(std::io::ErrorKind::NotADirectory, "expected a folder");
            return Err(DataError::Io { path: root.to_owned(), source });
        }
        let mut files = Vec::new();
        let (mut out, mut folders, mut dangling, mut not_utf8, mut closed) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut leftover, mut hidden) = (Vec::new(), Vec::new());
        let mut walk = walkdir::WalkDir::new(&canonical).min_depth(1).into_iter();
        while let Some(entry) = walk.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().unwrap_or(&canonical).strip_prefix(&canonical);
                    closed.push(path.unwrap_or(Path::new("?")).to_string_lossy().into_owned());
                    continue;
                }
            };
            let is_folder = entry.file_type().is_dir();
            if let Some(why) = passed_over(&entry.file_name().to_string_lossy()) {
                let name = entry.path().strip_prefix(&canonical).unwrap_or(entry.path()).to_string_lossy();
                let name = format!("{name}{}", if is_folder { "/" } else { "" });
                match why {
                    PassedOver::Leftover => leftover.push(name),
                    PassedOver::Hidden => hidden.push(name),
                }
                if is_folder {
                    walk.skip_current_dir();
                }
                continue;
            }
            if is_folder {
                continue;
            }
            let below = entry.path().strip_prefix(&canonical).unwrap_or(entry.path());
            let path = match below.to_str() {
                Some(path) if std::path::MAIN_SEPARATOR == '/' => path.to_owned(),
                Some(path) => path.replace(std::path::MAIN_SEPARATOR, "/"),
                None => {
                    not_utf8.push(below.to_string_lossy().into_owned());
                    continue;
                }
            };
            if entry.file_type().is_symlink() {
                match std::fs::canonicalize(entry.path()) {
                    Err(_) => dangling.push(path),
                    Ok(target) if !target.starts_with(&canonical) => out.push(path),
                    Ok(target) if target.is_dir() => folders.push(path),
                    Ok(target) => match target.metadata() {
                        Ok(metadata) => files.push(File { path, bytes: metadata.len() }),
                        Err(_) => dangling.push(path),
                    },
                }
            } else {
                match entry.metadata() {
                    Ok(metadata) => files.push(File { path, bytes: metadata.len() }),
                    Err(_) => closed.push(path),
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        use Severity::{Note, Problem};
        let findings = [
            Finding::of(
                "link_out_of_root",
                Problem,
                "links lead out of the folder and were not followed; index the folder they lead to",
                out,
            ),
            Finding::of("link_to_folder", Note, "links lead to a folder below, which is read once", folders),
            Finding::of("dangling_link", Problem, "links lead nowhere", dangling),
            Finding::of(
                "name_not_utf8",
                Problem,
                "names are not UTF-8 and were left out; rename the files (shown as near as can be)",
                not_utf8,
            ),
            Finding::of("unreadable_folder", Problem, "folders or files may not be read", closed),
            Finding::of(
                "leftover",
                Note,
                "files and folders that macOS, Windows or a NAS leaves beside others were passed over",
                leftover,
            ),
            Finding::of(
                "hidden",
                Note,
                "files and folders are hidden (their names begin with a dot) and were passed over; rename what is meant",
                hidden,
            ),
        ];
        Ok(Self { root: root.to_owned(), files, findings: findings.into_iter().flatten().collect(), ..Self::default() })
    }

    /// A tree without files: for a table whose paths may lead anywhere.
    pub fn empty(root: &Path) -> Self {
        Self { root: root.to_owned(), ..Self::default() }
    }

    /// What lies below a folder, as a tree of its own.
    pub fn sub(&self, folder: &str) -> Self {
        let skip = folder.len() + 1;
        let files = self.below(folder).iter().map(|f| File { path: f.path[skip..].to_owned(), bytes: f.bytes });
        Self { root: self.root.join(folder), files: files.collect(), ..Self::default() }
    }

    /// All files, in the order of their paths.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    fn range(&self, folder: &str) -> Range<usize> {
        if folder.is_empty() {
            return 0..self.files.len();
        }
        // '0' comes right after '/'.
        let from = format!("{folder}/");
        let to = format!("{folder}0");
        let at = |bound: &str| self.files.partition_point(|f| f.path.as_str() < bound);
        at(&from)..at(&to)
    }

    /// The files below a folder.
    pub fn below(&self, folder: &str) -> &[File] {
        &self.files[self.range(folder)]
    }

    /// Whether there is a file below this folder.
    pub fn has_folder(&self, folder: &str) -> bool {
        !self.range(folder).is_empty()
    }

    /// The file at this path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.binary_search_by(|f| f.path.as_str().cmp(path)).ok().map(|i| &self.files[i])
    }

    /// The file or folder that a table calls `name`, see [`crate::names`]; in what other spelling is [heard](Self::heard).
    pub fn locate(&self, name: &str) -> Option<String> {
        self.heard.note(name, self.find(name))
    }

    fn find(&self, name: &str) -> Found {
        if self.file(name).is_some() {
            return Found::One(name.to_owned(), Spelling::Same);
        }
        let names = self.names.get_or_init(|| {
            let folders: BTreeSet<&str> =
                self.files.iter().flat_map(|f| f.path.match_indices('/').map(|(i, _)| &f.path[..i])).collect();
            Names::new(folders.into_iter().chain(self.files.iter().map(|f| f.path.as_str())).map(str::to_owned))
        });
        names.find_path(name, self.roots.get_or_init(|| names::roots(&self.root)))
    }

    /// Which of `names` a table means by `wanted`; in what other spelling is [heard](Self::heard).
    pub fn meant(&self, wanted: &str, names: &Names) -> Option<String> {
        self.heard.note(wanted, names.find(wanted))
    }

    /// What a table says, by the names on disk of the files it speaks of; by its own where there is no such file.
    ///
    /// # Errors
    /// It says two different things of one file, under two spellings of its name.
    pub fn adopt<V: PartialEq>(
        &self,
        table: &Path,
        said: BTreeMap<String, V>,
    ) -> Result<BTreeMap<String, V>, DataError> {
        let found = names::find_each(said.keys().map(String::as_str), |name| self.find(name));
        let files: Vec<Option<String>> = found.into_iter().map(|(name, found)| self.heard.note(name, found)).collect();
        let mut adopted: BTreeMap<String, (String, V)> = BTreeMap::new();
        // Both in the order of the names.
        for ((name, value), file) in said.into_iter().zip(files) {
            let file = file.unwrap_or_else(|| name.clone());
            match adopted.get(&file) {
                Some((other, said)) if *said != value => {
                    let message = format!(
                        "{other:?} and {name:?} are one file, {file:?}, and two different things are said of it"
                    );
                    return Err(DataError::Table { path: table.to_owned(), row: None, message });
                }
                Some(_) => {}
                None => drop(adopted.insert(file, (name, value))),
            }
        }
        Ok(adopted.into_iter().map(|(file, (_, value))| (file, value)).collect())
    }

    /// Names in tables that were matched in another spelling, or fit several files.
    pub fn heard(&self) -> Vec<Finding> {
        self.heard.findings()
    }

    /// Why a name in a table is no file's.
    pub fn why_missing(&self, name: &str) -> String {
        self.heard.why_missing(name)
    }

    /// What a download left unfinished.
    pub fn unfinished(&self) -> Option<Finding> {
        let files = self.files.iter().filter(|f| has_ending(&f.path, &UNFINISHED)).map(|f| f.path.clone());
        Finding::of(
            "unfinished_download",
            Severity::Problem,
            "files are what a download left unfinished",
            files.collect(),
        )
    }

    /// The names of the folders right below a folder (those with a file in them).
    pub fn folders(&self, folder: &str) -> Vec<&str> {
        let range = self.range(folder);
        let skip = if folder.is_empty() { 0 } else { folder.len() + 1 };
        let mut names = Vec::new();
        let mut i = range.start;
        while i < range.end {
            let path = &self.files[i].path;
            match path[skip..].split_once('/') {
                Some((name, _)) => {
                    names.push(name);
                    i = self.range(&path[..skip + name.len()]).end;
                }
                None => i += 1,
            }
        }
        names
    }

    /// The videos below a folder, and the folders of images, in the order of their paths. Images that lie in the
    /// folder itself, not in one below it, are items of their own.
    pub fn items(&self, folder: &str) -> Vec<Item> {
        let mut folders: BTreeMap<&str, Item> = BTreeMap::new();
        let mut items = Vec::new();
        for file in self.below(folder) {
            let parent = file.path.rsplit_once('/').map_or("", |(parent, _)| parent);
            if is_image(&file.path) && parent != folder {
                let item = folders.entry(parent).or_insert_with(|| Item {
                    path: parent.to_owned(),
                    bytes: 0,
                    images: Some(0),
                });
                item.bytes += file.bytes;
                item.images = item.images.map(|n| n + 1);
            } else if is_media(&file.path) {
                items.push(Item { path: file.path.clone(), bytes: file.bytes, images: None });
            }
        }
        items.extend(folders.into_values());
        items.sort_by(|a, b| a.path.cmp(&b.path));
        items
    }

    /// The text of a file, without a byte order mark.
    ///
    /// # Errors
    /// A file that can't be read or is not UTF-8.
    pub fn text(&self, path: &str) -> Result<String, DataError> {
        let full = self.root.join(path);
        let bytes = std::fs::read(&full).map_err(DataError::io(&full))?;
        let text = String::from_utf8(bytes).map_err(|e| DataError::Table {
            path: full,
            row: None,
            message: format!("expected UTF-8 text; byte {} is not", e.utf8_error().valid_up_to()),
        })?;
        Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    }
}

/// A table with a header, in any format that [`dubito_table`] reads; its cells as names.
pub(crate) struct Table {
    path: PathBuf,
    headers: Vec<String>,
    records: Records,
}

/// One row of a table: its cells by column.
pub(crate) struct Record<'a> {
    records: &'a Records,
    row: usize,
}

impl Index<usize> for Record<'_> {
    type Output = str;

    fn index(&self, column: usize) -> &str {
        self.records.get(self.row, column)
    }
}

impl Table {
    /// Reads a table.
    ///
    /// # Errors
    /// A file that can't be read, or a row that is not what the header says.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let table = dubito_table::Table::open(path)?;
        let records = table.records()?;
        Ok(Self { path: path.to_owned(), headers: table.names, records })
    }

    /// Its rows.
    pub fn rows(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.records.len()).map(|row| Record { records: &self.records, row })
    }

    /// The place of a column.
    ///
    /// # Errors
    /// The column is not there; the error names those that are.
    pub fn column(&self, name: &str) -> Result<usize, DataError> {
        self.optional(name)
            .ok_or_else(|| self.error(None, format!("column {name:?} is missing; there are {}", self.names())))
    }

    /// The names of its columns, with commas between them.
    pub fn names(&self) -> String {
        self.headers.join(",")
    }

    /// The place of a column that need not be there.
    pub fn optional(&self, name: &str) -> Option<usize> {
        self.headers.iter().position(|h| h == name)
    }

    /// Columns there are.
    pub fn width(&self) -> usize {
        self.headers.len()
    }

    /// An error in a row (counted from 0).
    pub fn error(&self, row: Option<usize>, message: String) -> DataError {
        DataError::Table { path: self.path.clone(), row: row.map(|r| r + 1), message }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        let tree = Tree::read(folder.path()).unwrap();
        (folder, tree)
    }

    #[test]
    fn names_that_begin_alike_are_told_apart() {
        let (_folder, tree) = tree(&["a-b/1.mp4", "a/2.mp4", "a.mp4", "a/c/3.png", "a/c/4.png", "a0/5.mp4"]);
        assert_eq!(tree.folders(""), ["a-b", "a", "a0"]);
        assert_eq!(tree.below("a").len(), 3);
        assert!(tree.has_folder("a/c") && !tree.has_folder("a/2.mp4") && !tree.has_folder("c"));
        assert_eq!(tree.file("a.mp4").unwrap().bytes, 5);
        let items = tree.items("a");
        assert_eq!(items[1], Item { path: "a/c".into(), bytes: 18, images: Some(2) });
        assert_eq!((items[0].stem(), items[1].stem()), ("2", "c"));
        assert_eq!(tree.items("a/c").len(), 2, "images in the folder itself are items");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_strange_names_are_counted() {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("x.mp4"), "x").unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("in/a.mp4"), "a").unwrap();
        symlink(outside.path(), folder.path().join("out")).unwrap();
        symlink(outside.path().join("x.mp4"), folder.path().join("out.mp4")).unwrap();
        symlink(folder.path(), folder.path().join("in/loop")).unwrap();
        symlink("a.mp4", folder.path().join("in/b.mp4")).unwrap();
        symlink("gone", folder.path().join("c.mp4")).unwrap();
        std::fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.mp4")), "").unwrap();
        let tree = Tree::read(folder.path()).unwrap();
        let files: Vec<_> = tree.files().iter().map(|f| f.path.as_str()).collect();
        assert_eq!(files, ["in/a.mp4", "in/b.mp4"]);
        let found: Vec<_> = tree.findings.iter().map(|f| (f.what, f.count)).collect();
        assert_eq!(found, [("link_out_of_root", 2), ("link_to_folder", 1), ("dangling_link", 1), ("name_not_utf8", 1)]);
        assert_eq!(tree.findings[3].examples, ["caf\u{fffd}.mp4"]);
    }
}
