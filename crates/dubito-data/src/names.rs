//! Names of files: which of them no data set put there, and which file on disk a table means.
//!
//! A table is written on one machine and read on another. macOS takes names apart (`e` and an accent where others write
//! one letter), Windows writes backslashes, and neither tells capitals from small letters. So a name is looked for as it
//! stands, then in another spelling of the same name (Unicode normal form, backslashes, `./`, blanks at its ends, the
//! root in front of it), then in other capitals, and last, where it is an absolute path that is not here, by its end.
//! Whatever was found in another spelling is said; what fits several files is never chosen among, and of several paths that end
//! like one file none is taken for it.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use crate::error::DataError;
use crate::finding::{Finding, Severity};
use crate::manifest::{Row, Status};

/// Folders that macOS, Windows, a NAS or a file system makes for itself, in small letters.
const FOLDERS: [&str; 30] = [
    "__macosx",
    "@eadir",
    "@tmp",
    "@recycle",
    "@recently-snapshot",
    "#recycle",
    "#snapshot",
    "~snapshot",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "found.000",
    "lost+found",
    "network trash folder",
    "temporary items",
    ".appledouble",
    ".appledb",
    ".appledesktop",
    ".trashes",
    ".trash",
    ".recycle",
    ".spotlight-v100",
    ".fseventsd",
    ".temporaryitems",
    ".documentrevisions-v100",
    ".snapshot",
    ".snapshots",
    ".zfs",
    ".@__thumb",
    ".thumbnails",
];
/// Files of the same kind, in small letters.
const FILES: [&str; 9] = [
    ".ds_store",
    ".localized",
    ".apdisk",
    ".volumeicon.icns",
    "icon\r",
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
];
/// What the names of such files and folders begin with: resource forks of macOS, rubbish of desktops, files that a network
/// file system keeps because they are still open, locks of office programs.
const BEGINNINGS: [&str; 8] = ["._", ".trash-", ".com.apple.", ".nfs0", ".fuse_hidden", ".smbdelete", ".~lock.", "~$"];
/// Streams of a file that were copied as files of their own.
const STREAMS: [&str; 3] = [":zone.identifier", ":afp_afpinfo", ":com.apple."];

/// Why a file or folder is passed over wherever a folder is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PassedOver {
    /// A system left it there.
    Leftover,
    /// Its name begins with a dot.
    Hidden,
}

/// Whether what has this name (the last part of a path) is passed over.
pub(crate) fn passed_over(name: &str) -> Option<PassedOver> {
    let small = name.to_lowercase();
    let is_leftover = FOLDERS.contains(&small.as_str())
        || FILES.contains(&small.as_str())
        || BEGINNINGS.iter().any(|beginning| small.starts_with(beginning))
        || STREAMS.iter().any(|stream| small.contains(stream));
    match is_leftover {
        true => Some(PassedOver::Leftover),
        false => (small.starts_with('.') && small != "." && small != "..").then_some(PassedOver::Hidden),
    }
}

/// Whether a folder's entry is no data: a system left it there, or it is hidden.
pub fn is_passed_over(name: &std::ffi::OsStr) -> bool {
    passed_over(&name.to_string_lossy()).is_some()
}

/// Whether a part of a path names what is passed over.
pub(crate) fn has_leftover(path: &str) -> bool {
    path.split(['/', '\\']).any(|part| passed_over(part) == Some(PassedOver::Leftover))
}

/// A path with `/` between its parts, without `.`, `..`, empty parts and blanks at its ends.
fn plain(path: &str) -> String {
    let path = path.trim();
    let rooted = path.starts_with(['/', '\\']);
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("{}{}", if rooted { "/" } else { "" }, parts.join("/"))
}

/// A [`plain`] path in Unicode's composed form.
pub(crate) fn canonical(path: &str) -> String {
    plain(path).nfc().collect()
}

/// A [`canonical`] path without capitals.
fn folded(path: &str) -> String {
    canonical(path).to_lowercase().nfc().collect()
}

/// Whether a path is absolute here or on Windows.
fn is_absolute(path: &str) -> bool {
    let drive = path.as_bytes().first_chunk::<3>().is_some_and(|b| b[0].is_ascii_alphabetic() && b[1..] == *b":/");
    drive || path.starts_with('/')
}

/// In which way a name is a file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spelling {
    /// Letter by letter.
    Same,
    /// As another system spells it.
    Other,
    /// In other capitals.
    Capitals,
    /// By its end: its beginning is of another machine.
    End,
}

/// What a name was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// This one.
    One(String, Spelling),
    /// Any of these.
    Several(Vec<String>),
    /// Nothing that is there.
    Nothing,
}

/// Names that are there, looked up by what a table calls them.
#[derive(Default)]
pub(crate) struct Names {
    all: BTreeSet<String>,
    /// By their [`folded`] form; made when a name is first not found as it stands.
    folded: OnceCell<HashMap<String, Vec<String>>>,
}

impl Names {
    pub fn new(all: impl IntoIterator<Item = String>) -> Self {
        Self { all: all.into_iter().collect(), folded: OnceCell::new() }
    }

    /// The name that `wanted` means.
    pub fn find(&self, wanted: &str) -> Found {
        if self.all.contains(wanted) {
            return Found::One(wanted.to_owned(), Spelling::Same);
        }
        let folded_names = self.folded.get_or_init(|| {
            let mut names: HashMap<String, Vec<String>> = HashMap::new();
            for name in &self.all {
                names.entry(folded(name)).or_default().push(name.clone());
            }
            names
        });
        let Some(like) = folded_names.get(&folded(wanted)) else { return Found::Nothing };
        let form = canonical(wanted);
        let same: Vec<&String> = like.iter().filter(|name| canonical(name) == form).collect();
        match (same.as_slice(), like.as_slice()) {
            ([one], _) => Found::One((*one).clone(), Spelling::Other),
            ([], [one]) => Found::One(one.clone(), Spelling::Capitals),
            ([], several) => Found::Several(several.to_vec()),
            (several, _) => Found::Several(several.iter().map(|name| (*name).clone()).collect()),
        }
    }

    /// As [`Names::find`], of a path that may be an absolute one: below one of the [`roots`], or of another machine.
    pub fn find_path(&self, wanted: &str, roots: &[String]) -> Found {
        if self.all.contains(wanted) {
            return Found::One(wanted.to_owned(), Spelling::Same);
        }
        find_below(wanted, roots, |path| self.find(path))
    }
}

/// The paths that lead to a folder, as [`find_below`] takes them.
pub(crate) fn roots(folder: &Path) -> Vec<String> {
    let paths = [std::path::absolute(folder), std::fs::canonicalize(folder)];
    let mut roots: Vec<String> = paths.into_iter().flatten().map(|path| plain(&path.to_string_lossy())).collect();
    roots.dedup();
    roots
}

/// What a path is that may be absolute, by what `find` finds below one of `roots`: a path below one of them, or, where it is of
/// another machine, the longest of its ends that is anything.
fn find_below(wanted: &str, roots: &[String], mut find: impl FnMut(&str) -> Found) -> Found {
    let path = plain(wanted);
    let below = match is_absolute(&path) {
        _ if path.is_empty() => return Found::Nothing,
        false => Some(path.as_str()),
        true => roots.iter().find_map(|root| strip_root(&path, root)),
    };
    match below {
        Some(below) => match find(below) {
            Found::One(name, Spelling::Same) if name != wanted => Found::One(name, Spelling::Other),
            found => found,
        },
        // It is somewhere else.
        None if Path::new(wanted).exists() => Found::Nothing,
        None => match ends(&path).map(find).find(|found| *found != Found::Nothing) {
            Some(Found::One(name, _)) => Found::One(name, Spelling::End),
            found => found.unwrap_or(Found::Nothing),
        },
    }
}

/// The path below a root, whatever normal form the root is in.
fn strip_root<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    root.trim_end_matches('/').split('/').try_fold(path, |rest, part| {
        let (first, after) = rest.split_once('/')?;
        first.nfc().eq(part.nfc()).then_some(after)
    })
}

/// The ends of an absolute path, the longest first.
fn ends(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(i, _)| &path[i + 1..]).filter(|end| !end.is_empty())
}

/// What each of the names in a table is, by `find`. Of different paths of another machine that end like one file none is it.
pub(crate) fn find_each<'a>(
    wanted: impl IntoIterator<Item = &'a str>,
    mut find: impl FnMut(&str) -> Found,
) -> BTreeMap<&'a str, Found> {
    let mut found: BTreeMap<&str, Found> = wanted.into_iter().map(|name| (name, Found::Nothing)).collect();
    // By the file, then by what is one path in any spelling.
    let mut by_end: HashMap<String, BTreeMap<String, &str>> = HashMap::new();
    for (name, found) in &mut found {
        *found = find(name);
        if let Found::One(file, Spelling::End) = found {
            by_end.entry(file.clone()).or_default().entry(folded(name)).or_insert(name);
        }
    }
    for (name, found) in &mut found {
        let Found::One(file, Spelling::End) = found else { continue };
        let form = folded(name);
        if let Some((_, other)) = by_end[file.as_str()].iter().find(|(other, _)| **other != form) {
            *found = Found::Several(vec![format!("{file}, which {other} fits, too")]);
        }
    }
    found
}

/// What was found in another spelling, and what could not be told apart: what the user should know of it.
#[derive(Default)]
pub(crate) struct Heard {
    spelled: RefCell<BTreeMap<Spelling, BTreeSet<String>>>,
    several: RefCell<BTreeMap<String, Vec<String>>>,
}

impl Heard {
    /// The name found, if one was; whatever is worth saying is kept.
    pub fn note(&self, wanted: &str, found: Found) -> Option<String> {
        match found {
            Found::One(name, Spelling::Same) => Some(name),
            Found::One(name, how) => {
                let said = format!("{} is {}", wanted.escape_debug(), name.escape_debug());
                // Two normal forms of one name look alike.
                let said = match wanted.nfc().eq(name.nfc()) {
                    true => wanted.nfc().collect::<String>(),
                    false => said,
                };
                self.spelled.borrow_mut().entry(how).or_default().insert(said);
                Some(name)
            }
            Found::Several(names) => {
                self.several.borrow_mut().insert(wanted.to_owned(), names);
                None
            }
            Found::Nothing => None,
        }
    }

    /// Why a name is no file's: it fits several, or none is there.
    pub fn why_missing(&self, wanted: &str) -> String {
        if let Some(names) = self.several.borrow().get(wanted) {
            return format!("it fits {}: say which, letter by letter", names.join(" and "));
        }
        let hidden = wanted.rsplit(['/', '\\']).next().and_then(passed_over);
        match hidden {
            Some(PassedOver::Hidden) => {
                "its name begins with a dot, and hidden files are passed over: rename it".into()
            }
            Some(PassedOver::Leftover) => "a system leaves such files beside others, and they are passed over".into(),
            None if wanted.contains('\\') => format!("it is not there, as {} neither", canonical(wanted)),
            None => "it is not there".into(),
        }
    }

    /// All of it.
    pub fn findings(&self) -> Vec<Finding> {
        let mut spelled = self.spelled.borrow().clone();
        let mut of = |how| spelled.remove(&how).unwrap_or_default().into_iter().collect();
        let several = self.several.borrow();
        let several = several.iter().map(|(name, names)| format!("{name} ({})", names.join(", "))).collect();
        use Severity::{Note, Problem};
        let (other, capitals, end) = (of(Spelling::Other), of(Spelling::Capitals), of(Spelling::End));
        [
            Finding::of(
                "spelled_otherwise",
                Note,
                "names in tables are spelled otherwise than on disk, and matched",
                other,
            ),
            Finding::of(
                "other_capitals",
                Note,
                "names in tables differ from those on disk in capitals, and are matched",
                capitals,
            ),
            Finding::of(
                "path_of_another_machine",
                Note,
                "absolute paths in tables are not of this machine, and matched by their ends",
                end,
            ),
            Finding::of("fits_several", Problem, "names in tables fit several files", several),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Finds files by the paths in a manifest, which may be spelled otherwise than on disk; folders are listed when a path is
/// first not found as it stands.
pub(crate) struct Finder {
    root: PathBuf,
    /// The paths that lead to it.
    roots: Vec<String>,
    folders: HashMap<PathBuf, Names>,
    pub heard: Heard,
}

impl Finder {
    pub fn new(root: &Path) -> Self {
        let roots = roots(root);
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        Self { root, roots, folders: HashMap::new(), heard: Heard::default() }
    }

    /// The paths, below the root or absolute as they were given, as they are on disk; none of those to nothing.
    pub fn locate<'a>(&mut self, paths: impl IntoIterator<Item = &'a str>) -> BTreeMap<&'a str, String> {
        let found = find_each(paths, |path| self.find(path));
        found.into_iter().filter_map(|(path, found)| Some((path, self.heard.note(path, found)?))).collect()
    }

    fn find(&mut self, path: &str) -> Found {
        if path.is_empty() || self.root.join(path).symlink_metadata().is_ok() {
            return Found::One(path.to_owned(), Spelling::Same);
        }
        let roots = std::mem::take(&mut self.roots);
        let found = find_below(path, &roots, |below| self.walk(below));
        self.roots = roots;
        found
    }

    /// Looks for a path part by part.
    fn walk(&mut self, path: &str) -> Found {
        let (mut at, mut how) = (PathBuf::new(), Spelling::Other);
        for part in Path::new(path).components() {
            let part = match part {
                Component::Normal(part) => part.to_string_lossy().into_owned(),
                other => {
                    at.push(other);
                    continue;
                }
            };
            let folder = self.root.join(&at);
            let names = self.folders.entry(folder.clone()).or_insert_with(|| {
                let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
                Names::new(entries.filter_map(|entry| entry.file_name().into_string().ok()))
            });
            match names.find(&part) {
                Found::One(name, spelling) => {
                    at.push(name);
                    how = how.max(spelling);
                }
                Found::Several(names) => {
                    let full = |name: String| at.join(name).to_string_lossy().into_owned();
                    return Found::Several(names.into_iter().map(full).collect());
                }
                Found::Nothing => return Found::Nothing,
            }
        }
        Found::One(at.to_string_lossy().into_owned(), how)
    }
}

/// The rows of a manifest with the paths of their files as they are on disk below `root`, and what the user should know of
/// it. A path to nothing stays as it is.
pub fn located(mut rows: Vec<Row>, root: &Path) -> (Vec<Row>, Vec<Finding>) {
    let mut finder = Finder::new(root);
    let columns: [fn(&mut Row) -> Option<&mut String>; 3] =
        [|row| Some(&mut row.path), |row| row.mask.as_mut(), |row| row.clip.as_mut()];
    for column in columns {
        let given: Vec<String> = rows.iter_mut().filter_map(column).map(|path| path.clone()).collect();
        let found = finder.locate(given.iter().map(String::as_str));
        for path in rows.iter_mut().filter_map(column) {
            if let Some(there) = found.get(path.as_str()) {
                path.clone_from(there);
            }
        }
    }
    (rows, finder.heard.findings())
}

/// Refuses a manifest of which two rows call one file real and fake, whatever path leads to it: another spelling, a link.
///
/// # Errors
/// [`DataError::Table`] with both rows.
pub fn refuse_two_labels(manifest: &Path, rows: &[Row], root: &Path) -> Result<(), DataError> {
    match two_labels(rows, root).first() {
        Some(&(first, second)) => Err(two_labels_error(manifest, rows, first, second)),
        None => Ok(()),
    }
}

/// The error that two rows, the first one first, call one file real and fake.
pub(crate) fn two_labels_error(manifest: &Path, rows: &[Row], first: usize, second: usize) -> DataError {
    let (a, b) = (&rows[first], &rows[second]);
    let spelled = if a.path == b.path { String::new() } else { format!(" as {:?}", a.path) };
    let message = format!(
        "{:?} is {} here and {} in row {}{spelled}; a file is one or the other",
        b.path,
        b.label.name(),
        a.label.name(),
        first + 1
    );
    DataError::Table { path: manifest.to_owned(), row: Some(second + 1), message }
}

/// Pairs of rows (by their places) that call one file real and fake.
pub(crate) fn two_labels(rows: &[Row], root: &Path) -> Vec<(usize, usize)> {
    let mut seen: HashMap<PathBuf, usize> = HashMap::new();
    let mut pairs = Vec::new();
    for (i, row) in rows.iter().enumerate().filter(|(_, row)| row.status == Status::Ok) {
        let path = root.join(&row.path);
        let file = std::fs::canonicalize(&path)
            .unwrap_or_else(|_| canonical(&std::path::absolute(&path).unwrap_or(path).to_string_lossy()).into());
        let first = *seen.entry(file).or_insert(i);
        if rows[first].label != row.label {
            pairs.push((first, i));
        }
    }
    pairs
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Names {
        Names::new(all.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn what_systems_leave_behind_is_known_and_data_is_not() {
        for name in [
            "._a.mp4",
            "__MACOSX",
            ".DS_Store",
            "Thumbs.db",
            "THUMBS.DB",
            "desktop.ini",
            "@eaDir",
            ".Trashes",
            ".Trash-1000",
            ".Spotlight-V100",
            ".fseventsd",
            "$RECYCLE.BIN",
            "System Volume Information",
            ".snapshot",
            "#recycle",
            ".AppleDouble",
            "lost+found",
            "~$report.mp4",
            "a.mp4:Zone.Identifier",
            "Icon\r",
            ".nfs000012",
        ] {
            assert_eq!(passed_over(name), Some(PassedOver::Leftover), "{name}");
        }
        for name in [".a.mp4", ".git", ".cache", "..a.mp4"] {
            assert_eq!(passed_over(name), Some(PassedOver::Hidden), "{name}");
        }
        for name in
            ["a.mp4", "_a.mp4", "a._b.mp4", "thumbs.mp4", "macosx", "@a.mp4", "#1.mp4", "$a.mp4", "~a.mp4", "..", "."]
        {
            assert_eq!(passed_over(name), None, "{name}");
        }
    }

    #[test]
    fn a_name_is_found_however_it_is_spelled() {
        let names =
            names(&["real/caf\u{e9}.mp4", "real/Ben.MP4", "fake/x/Jose\u{301}.mp4", "a.mp4", "A.mp4", "b c.mp4"]);
        let roots = ["/data/set".to_owned()];
        let find = |name: &str| names.find_path(name, &roots);
        let one = |name: &str, how| Found::One(name.to_owned(), how);
        use Spelling::{Capitals, End, Other, Same};
        assert_eq!(find("real/caf\u{e9}.mp4"), one("real/caf\u{e9}.mp4", Same));
        assert_eq!(find("real/cafe\u{301}.mp4"), one("real/caf\u{e9}.mp4", Other));
        assert_eq!(find("fake/x/Jos\u{e9}.mp4"), one("fake/x/Jose\u{301}.mp4", Other));
        assert_eq!(find("fake\\x\\Jos\u{e9}.mp4"), one("fake/x/Jose\u{301}.mp4", Other));
        assert_eq!(find("./real//x/../Ben.MP4 "), one("real/Ben.MP4", Other));
        assert_eq!(find("/data/set/real/Ben.MP4"), one("real/Ben.MP4", Other));
        assert_eq!(find("real/ben.mp4"), one("real/Ben.MP4", Capitals));
        assert_eq!(find("REAL\\CAFE\u{301}.MP4"), one("real/caf\u{e9}.mp4", Capitals));
        assert_eq!(find("C:\\set\\real\\Ben.MP4"), one("real/Ben.MP4", End));
        assert_eq!(find("/no/such/place/b c.mp4"), one("b c.mp4", End));
        assert_eq!(find("A.mp4"), one("A.mp4", Same));
        assert_eq!(find("A.MP4"), Found::Several(vec!["A.mp4".into(), "a.mp4".into()]));
        assert_eq!(find("real/nobody.mp4"), Found::Nothing);
        assert_eq!(find(""), Found::Nothing);
    }

    #[test]
    fn of_two_normal_forms_on_disk_each_path_means_its_own() {
        let (composed, apart) = ("Jos\u{e9}.mp4", "Jose\u{301}.mp4");
        let both = names(&[composed, apart]);
        let roots = ["/data/caf\u{e9}".to_owned()];
        for name in [composed, apart] {
            for wanted in [format!("./{name}"), format!("/data/caf\u{e9}/{name}"), format!("/data/cafe\u{301}/{name}")]
            {
                let found = both.find_path(&wanted, &roots);
                assert_eq!(found, Found::One(name.to_owned(), Spelling::Other), "{wanted:?}");
            }
        }
        assert_eq!(strip_root("/a.mp4", "/"), Some("a.mp4"));
        assert_eq!(strip_root("/data/settled/a.mp4", "/data/set"), None);
    }

    #[test]
    fn two_paths_of_another_machine_that_end_alike_are_not_one_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("real")).unwrap();
        std::fs::write(folder.path().join("real/001.mp4"), "x").unwrap();
        let paths = ["/old/train/real/001.mp4", "/old/test/real/001.mp4", "/old/train//real/001.mp4"];
        let row = |path: &str| Row { path: path.into(), ..Row::default() };
        let (rows, findings) = located(paths.map(row).into(), folder.path());
        assert_eq!(rows.iter().map(|row| row.path.as_str()).collect::<Vec<_>>(), paths);
        assert_eq!(findings.iter().map(|f| (f.what, f.count)).collect::<Vec<_>>(), [("fits_several", 3)]);
        assert!(findings[0].examples[0].contains("real/001.mp4, which /old/t"), "{:?}", findings[0].examples);
        // Two spellings of one path are no two paths.
        let (rows, _) = located(vec![row(paths[0]), row(paths[2])], folder.path());
        assert!(rows.iter().all(|row| row.path == "real/001.mp4"));
    }

    #[test]
    fn the_files_of_a_manifest_are_found_and_one_file_has_one_label() {
        use crate::manifest::Label;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("Real")).unwrap();
        std::fs::write(root.join("Real/caf\u{e9}.mp4"), "x").unwrap();
        std::fs::write(root.join("b.mp4"), "x").unwrap();
        let row = |path: &str, label| Row { path: path.into(), label, ..Row::default() };
        let absolute = root.join("b.mp4").to_string_lossy().into_owned();
        let given = vec![
            row("real\\cafe\u{301}.mp4", Label::Real),
            row("./b.mp4", Label::Real),
            row("gone.mp4", Label::Fake),
            row(&absolute, Label::Fake),
            row("D:\\set\\b.mp4", Label::Real),
        ];
        let (rows, findings) = located(given, root);
        let paths: Vec<&str> = rows.iter().map(|row| row.path.as_str()).collect();
        assert_eq!(paths, ["Real/caf\u{e9}.mp4", "./b.mp4", "gone.mp4", &absolute, "b.mp4"]);
        let found: Vec<_> = findings.iter().map(|f| (f.what, f.count)).collect();
        assert_eq!(found, [("other_capitals", 1), ("path_of_another_machine", 1)]);
        let message = refuse_two_labels(Path::new("m.csv"), &rows, root).unwrap_err().to_string();
        assert!(message.contains("row 4") && message.contains("row 2 as \"./b.mp4\""), "{message}");
        refuse_two_labels(Path::new("m.csv"), &rows[..3], root).unwrap();
    }
}
