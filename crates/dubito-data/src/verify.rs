//! Whether the files are what the manifest says: there, whole, each once, and on one side of a split.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dubito_media::Tools;
use rayon::prelude::*;
use serde::Serialize;

use crate::error::DataError;
use crate::finding::{Finding, Severity};
use crate::layouts::LAYOUTS;
use crate::manifest::{self, Row, Status};
use crate::names;
use crate::split;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Compare the contents of files (BLAKE3); only files of equal size are read for it, and those whose hash the
    /// manifest has.
    pub contents: bool,
    /// Open each video and count its frames: as the container says, or by decoding where it doesn't.
    pub frames: bool,
}

/// How much there is of a part, beside how much was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The data set.
    pub dataset: String,
    /// What is counted apart, e.g. a compression; empty where nothing is.
    pub group: String,
    /// The part.
    pub part: String,
    /// How many there are.
    pub found: usize,
    /// How many were published.
    pub published: usize,
    /// Where that is written.
    pub source: &'static str,
}

impl Count {
    /// `complete`, `absent` (none), `incomplete` (some) or `more`.
    pub fn verdict(&self) -> &'static str {
        match self.found {
            0 => "absent",
            n if n < self.published => "incomplete",
            n if n == self.published => "complete",
            _ => "more",
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Rows that were looked at.
    pub rows: usize,
    /// Rows by the status that the manifest gives them.
    pub status: BTreeMap<&'static str, usize>,
    /// Parts beside what was published of them.
    pub counts: Vec<Count>,
    /// Frames in all, where they were counted.
    pub frames: Option<u64>,
    /// What was noticed.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn passed(&self) -> bool {
        self.findings.iter().all(|f| f.severity != Severity::Problem)
    }
}

/// Looks at every file that `rows` name below `root`.
///
/// Problems are: files that are missing, empty, unreadable or not as the manifest's hash says; two rows of equal
/// content; a number of frames other than the manifest's; an identity, or a content, in two splits; a part of which
/// only some was found. A part of which nothing is there was not asked for, and is no problem.
pub fn verify(rows: &[Row], root: &Path, options: VerifyOptions, tools: &Tools) -> Verification {
    use Severity::{Note, Problem};
    let files: Vec<File> = rows.par_iter().map(|row| File::look(root, row)).collect();
    let hashes = if options.contents { hashes(rows, &files) } else { vec![None; rows.len()] };
    let frames: Vec<Option<Result<u64, String>>> = rows
        .par_iter()
        .zip(&files)
        .map(|(row, file)| (options.frames && row.status == Status::Ok).then(|| file.frames(tools)).flatten())
        .collect();

    let mut found: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    let mut note = |what: &'static str, item: String| found.entry(what).or_default().push(item);
    let mut same: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, (row, file)) in rows.iter().zip(&files).enumerate() {
        match &file.state {
            State::Missing => note("missing", row.path.clone()),
            State::Unreadable(why) => note("unreadable", format!("{} ({why})", row.path)),
            State::Empty(0) => note("zero_byte", row.path.clone()),
            State::Empty(n) => note("zero_byte", format!("{} ({n} of its images)", row.path)),
            State::Whole => {}
        }
        if row.bytes.is_some_and(|bytes| bytes != file.bytes) && matches!(file.state, State::Whole) {
            note(
                "size_changed",
                format!("{} ({} bytes, the manifest says {})", row.path, file.bytes, row.bytes.unwrap_or(0)),
            );
        }
        match &hashes[i] {
            Some(Ok(hash)) => {
                same.entry(hash).or_default().push(i);
                if row.blake3.as_ref().is_some_and(|expected| expected != hash) {
                    note("content_changed", row.path.clone());
                }
            }
            Some(Err(why)) => note("unreadable", format!("{} ({why})", row.path)),
            None => {}
        }
        match &frames[i] {
            Some(Err(why)) => note("unreadable", format!("{} ({why})", row.path)),
            Some(Ok(0)) => note("unreadable", format!("{} (no frame)", row.path)),
            Some(Ok(n)) if row.frames.is_some_and(|expected| u64::from(expected) != *n) => {
                note("frame_count", format!("{} ({n}, the manifest says {})", row.path, row.frames.unwrap_or(0)));
            }
            _ => {}
        }
    }
    for group in same.values().filter(|group| group.len() > 1) {
        let names: Vec<&str> = group.iter().map(|&i| rows[i].path.as_str()).collect();
        note("duplicate", names.join(" = "));
        let of = |f: fn(&Row) -> String| group.iter().map(|&i| f(&rows[i])).collect::<BTreeSet<_>>();
        let splits: BTreeSet<String> = of(|r| r.split.clone()).into_iter().filter(|s| !s.is_empty()).collect();
        if splits.len() > 1 {
            let splits: Vec<String> = splits.into_iter().collect();
            note("content_in_two_splits", format!("{} ({})", names.join(" = "), splits.join(", ")));
        }
        let labels = of(|r| r.label.name().to_owned());
        if labels.len() > 1 {
            note("content_with_two_labels", names.join(" = "));
        }
    }
    for row in rows.iter().filter(|r| r.status == Status::Unclear) {
        note("unclear", format!("{} ({})", row.path, row.reason.as_deref().unwrap_or("no reason given")));
    }
    for leak in split::leaks(rows) {
        note("identity_in_two_splits", format!("{} ({})", leak.identity, leak.splits.join(", ")));
    }
    let counts = counts(rows, &files);
    for count in counts.iter().filter(|c| c.verdict() == "incomplete") {
        let part = [&count.dataset, &count.group, &count.part].map(String::as_str);
        let part: Vec<&str> = part.into_iter().filter(|p| !p.is_empty()).collect();
        note("incomplete", format!("{} ({} of {})", part.join(", "), count.found, count.published));
    }
    let meanings: [(&'static str, Severity, &str); 14] = [
        ("missing", Problem, "files are not there"),
        ("zero_byte", Problem, "files are empty"),
        ("unreadable", Problem, "files can't be read"),
        ("size_changed", Problem, "files have another size than the manifest says"),
        ("content_changed", Problem, "files have another content than the manifest's hash says"),
        ("frame_count", Problem, "files have another number of frames than the manifest says"),
        ("duplicate", Problem, "contents are there more than once"),
        ("content_with_two_labels", Problem, "contents are called both real and fake"),
        ("content_in_two_splits", Problem, "contents are in more than one split"),
        ("identity_in_two_splits", Problem, "people are in more than one split"),
        ("unclear", Problem, "rows are of unclear label or identity"),
        ("incomplete", Problem, "parts are incomplete: some of what was published is not there"),
        ("all_missing", Problem, "manifest whose files are all gone"),
        ("no_split", Note, "rows that are ok have no split, while others have one"),
    ];
    if !rows.is_empty() && files.iter().all(|f| matches!(f.state, State::Missing)) {
        note("all_missing", format!("none lies below {}; say where they are with --root", root.display()));
    }
    if rows.iter().any(|r| !r.split.is_empty()) {
        let without = rows.iter().filter(|r| r.status == Status::Ok && r.split.is_empty());
        without.for_each(|row| note("no_split", row.path.clone()));
    }
    let findings = meanings
        .into_iter()
        .filter_map(|(what, severity, meaning)| Finding::of(what, severity, meaning, found.remove(what)?))
        .collect();
    let mut status = BTreeMap::new();
    for row in rows {
        *status.entry(row.status.name()).or_default() += 1;
    }
    let total = options.frames.then(|| frames.iter().flatten().filter_map(|f| f.as_ref().ok()).sum());
    Verification { rows: rows.len(), status, counts, frames: total, findings }
}

/// Where two manifests say different things of one file (the same path, or the same hash), and what only one of them
/// has. Roots are the folders that their paths are relative to.
pub fn compare(a: (&[Row], &Path), b: (&[Row], &Path)) -> Vec<Finding> {
    let place = |root: &Path, row: &Row| -> PathBuf {
        let path = root.join(&row.path);
        std::fs::canonicalize(&path).or_else(|_| std::path::absolute(&path)).unwrap_or(path)
    };
    let by_path: BTreeMap<PathBuf, &Row> = b.0.iter().map(|row| (place(b.1, row), row)).collect();
    let by_hash: BTreeMap<&str, &Row> = b.0.iter().filter_map(|row| Some((row.blake3.as_deref()?, row))).collect();
    let mut met = BTreeSet::new();
    let (mut disagree, mut only_a) = (Vec::new(), Vec::new());
    for row in a.0 {
        let path = place(a.1, row);
        let other = by_path.get(&path).or_else(|| by_hash.get(row.blake3.as_deref()?));
        let Some(other) = other else {
            only_a.push(row.path.clone());
            continue;
        };
        met.insert(other.path.as_str());
        let differences = manifest::differences(row, other);
        if !differences.is_empty() {
            disagree.push(format!("{} ({})", row.path, differences.join(", ")));
        }
    }
    let only_b = b.0.iter().filter(|r| !met.contains(r.path.as_str())).map(|r| r.path.clone()).collect();
    let union: Vec<Row> = a.0.iter().chain(b.0).cloned().collect();
    let across =
        |leaks: Vec<split::Leak>| leaks.into_iter().map(|l| format!("{} ({})", l.identity, l.splits.join(", ")));
    let findings = [
        Finding::of("disagree", Severity::Problem, "files of which the two manifests say different things", disagree),
        Finding::of("only_in_first", Severity::Note, "files are only in the first manifest", only_a),
        Finding::of("only_in_second", Severity::Note, "files are only in the second manifest", only_b),
        Finding::of(
            "identity_in_two_splits",
            Severity::Problem,
            "people are in more than one split of the two together",
            across(split::leaks(&union)).collect(),
        ),
    ];
    findings.into_iter().flatten().collect()
}

/// A file, or a folder of images, as it is on disk.
struct File {
    path: PathBuf,
    state: State,
    bytes: u64,
    /// The images, where it is a folder.
    images: Option<Vec<PathBuf>>,
}

enum State {
    Whole,
    Missing,
    /// Empty; of a folder, so many of its images.
    Empty(usize),
    Unreadable(String),
}

impl File {
    fn look(root: &Path, row: &Row) -> Self {
        let path = root.join(&row.path);
        let file = |state, bytes, images| Self { path: path.clone(), state, bytes, images };
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return file(State::Missing, 0, None),
            Err(e) => return file(State::Unreadable(e.to_string()), 0, None),
        };
        if !metadata.is_dir() {
            let state = match std::fs::File::open(&path) {
                _ if metadata.len() == 0 => State::Empty(0),
                Ok(_) => State::Whole,
                Err(e) => State::Unreadable(e.to_string()),
            };
            return file(state, metadata.len(), None);
        }
        match images(&path) {
            Err(e) => file(State::Unreadable(e.to_string()), 0, None),
            Ok(images) => {
                let sizes: Vec<u64> = images.iter().map(|p| p.metadata().map_or(0, |m| m.len())).collect();
                let empty = sizes.iter().filter(|bytes| **bytes == 0).count();
                let state = match (images.len(), empty) {
                    (0, _) => State::Unreadable("the folder holds no image".into()),
                    (_, 0) => State::Whole,
                    (_, n) => State::Empty(n),
                };
                file(state, sizes.iter().sum(), Some(images))
            }
        }
    }

    /// BLAKE3 of the file, or of the hashes of a folder's images in the order of their names.
    fn hash(&self) -> Result<String, String> {
        let Some(images) = &self.images else {
            return dubito_media::hash_file(&self.path).map_err(|e| e.to_string());
        };
        let mut hasher = blake3::Hasher::new();
        for image in images {
            hasher.update(dubito_media::hash_file(image).map_err(|e| e.to_string())?.as_bytes());
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    fn frames(&self, tools: &Tools) -> Option<Result<u64, String>> {
        if !matches!(self.state, State::Whole) {
            return None;
        }
        if let Some(images) = &self.images {
            return Some(Ok(images.len() as u64));
        }
        let count = || -> Result<u64, dubito_media::MediaError> {
            let mut video = dubito_media::open(&self.path, tools)?;
            match video.info().frames {
                Some(frames) => Ok(frames),
                None => video.try_fold(0, |n, frame| frame.map(|_| n + 1)),
            }
        };
        Some(count().map_err(|e| e.to_string()))
    }
}

fn images(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut images = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_data = path.file_name().is_some_and(|name| !names::is_passed_over(name));
        if is_data && crate::layouts::is_image(&path.to_string_lossy()) {
            images.push(path);
        }
    }
    images.sort();
    Ok(images)
}

/// Hashes of those files that may be equal to another, or whose hash is known.
fn hashes(rows: &[Row], files: &[File]) -> Vec<Option<Result<String, String>>> {
    let mut of_size: BTreeMap<(bool, u64), usize> = BTreeMap::new();
    for file in files.iter().filter(|f| matches!(f.state, State::Whole)) {
        *of_size.entry((file.images.is_some(), file.bytes)).or_default() += 1;
    }
    rows.par_iter()
        .zip(files)
        .map(|(row, file)| {
            let wanted =
                row.blake3.is_some() || of_size.get(&(file.images.is_some(), file.bytes)).is_some_and(|n| *n > 1);
            (matches!(file.state, State::Whole) && wanted).then(|| file.hash())
        })
        .collect()
}

fn counts(rows: &[Row], files: &[File]) -> Vec<Count> {
    let mut counts = Vec::new();
    for layout in &LAYOUTS {
        let mut found: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (row, file) in rows.iter().zip(files).filter(|(row, _)| row.dataset == layout.name) {
            if let Some(part) = layout.part(row).filter(|_| !matches!(file.state, State::Missing)) {
                *found.entry(part).or_default() += 1;
            }
        }
        let groups: BTreeSet<String> = found.keys().map(|(group, _)| group.clone()).collect();
        for group in groups {
            for published in layout.published {
                counts.push(Count {
                    dataset: layout.name.to_owned(),
                    group: group.clone(),
                    part: published.part.to_owned(),
                    found: found.get(&(group.clone(), published.part.to_owned())).copied().unwrap_or_default(),
                    published: published.count,
                    source: published.source,
                });
            }
        }
    }
    counts
}

/// The rows of a manifest, the folder that its paths are relative to, and where a path is spelled otherwise than on disk
/// (the rows have the path on disk).
///
/// # Errors
/// Those of [`manifest::read`]; two rows that call one file real and fake, by whatever path.
pub fn open(path: &Path) -> Result<(Vec<Row>, PathBuf, Vec<Finding>), DataError> {
    let folder = Some(manifest::folder(path)).filter(|folder| !folder.as_os_str().is_empty());
    open_below(path, folder.unwrap_or(Path::new(".")))
}

/// As [`open`], of a manifest whose paths are relative to `root`.
///
/// # Errors
/// Those of [`open`].
pub fn open_below(path: &Path, root: &Path) -> Result<(Vec<Row>, PathBuf, Vec<Finding>), DataError> {
    let (rows, findings) = names::located(manifest::read(path)?, root);
    names::refuse_two_labels(path, &rows, root)?;
    Ok((rows, root.to_owned(), findings))
}
