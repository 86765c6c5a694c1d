//! How public data sets lie on disk: one small file for each, read into the rows of a manifest.
//!
//! A layout is a [`Layout`] in [`LAYOUTS`]: a name, what it is recognised by, and a function from the files below a
//! root to rows. Names of people are prefixed by the data set they come from (`ffpp-033`, `celebdf-id16`), and two
//! data sets that show the same people give them the same names, so that a split of both keeps them together.
//! What a name or a table does not say is said to be `unclear`, never guessed.

mod celebdf;
mod csv_file;
mod deeperforensics;
mod deepfakebench;
mod df40;
mod dfdc;
mod fakeavceleb;
mod ffpp;
mod folder;
mod forgerynet;
mod tree;
mod wilddeepfake;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::classes::ClassList;
use crate::error::DataError;
use crate::finding::{Finding, Severity};
use crate::manifest::{Label, Row, Status};

use tree::Item;
pub(crate) use tree::{Table, Tree};
pub(crate) use tree::{has_ending, is_image, is_media};

/// Every layout that is known.
pub static LAYOUTS: [Layout; 11] = [
    ffpp::LAYOUT,
    fakeavceleb::LAYOUT,
    celebdf::LAYOUT,
    dfdc::LAYOUT,
    deeperforensics::LAYOUT,
    forgerynet::LAYOUT,
    wilddeepfake::LAYOUT,
    df40::LAYOUT,
    deepfakebench::LAYOUT,
    folder::LAYOUT,
    csv_file::LAYOUT,
];

/// How a data set lies on disk.
pub struct Layout {
    /// Its short name, as `--layout` takes it and as the manifest's column `dataset` has it.
    pub name: &'static str,
    /// The data set's own name.
    pub title: &'static str,
    /// What it is recognised by, in words.
    pub looks_for: &'static str,
    /// How much was published, part by part.
    pub published: &'static [Published],
    recognises: fn(&Tree) -> bool,
    read: fn(&Source) -> Result<Read, DataError>,
    /// The group (counted apart, e.g. a compression) and the published part that a row belongs to.
    part: fn(&Row) -> Option<(String, String)>,
}

/// How many videos (or images, or face sequences) of a part were published.
pub struct Published {
    /// The part's name.
    pub part: &'static str,
    /// How many.
    pub count: usize,
    /// Where that is written.
    pub source: &'static str,
}

impl Layout {
    /// The layout of this name.
    ///
    /// # Errors
    /// There is none; the error lists those there are.
    pub fn named(name: &str) -> Result<&'static Self, DataError> {
        LAYOUTS
            .iter()
            .find(|l| l.name == name)
            .ok_or_else(|| DataError::Layout { path: PathBuf::from(name), message: "no layout has this name".into() })
    }

    /// The group and the published part that a row belongs to.
    pub(crate) fn part(&self, row: &Row) -> Option<(String, String)> {
        (self.part)(row)
    }
}

/// The names of all layouts.
pub fn names() -> Vec<&'static str> {
    LAYOUTS.iter().map(|l| l.name).collect()
}

/// What an adapter reads from.
pub(crate) struct Source<'a> {
    tree: &'a Tree,
    classes: &'a ClassList,
    /// The table, where the root is one.
    table: Option<&'a Path>,
    /// Our column names to the table's.
    columns: &'a BTreeMap<String, String>,
}

/// What an adapter found. Paths are relative to the root.
#[derive(Default)]
struct Read {
    rows: Vec<Row>,
    findings: Vec<Finding>,
}

impl Read {
    fn note(&mut self, what: &'static str, meaning: &str, items: Vec<String>) {
        self.findings.extend(Finding::of(what, Severity::Note, meaning, items));
    }
}

impl Source<'_> {
    /// A real video; callers fill in the identity.
    fn row(&self, item: &Item, dataset: &str) -> Row {
        Row {
            path: item.path.clone(),
            video: item.path.clone(),
            bytes: Some(item.bytes),
            frames: item.images,
            ..self.named(&item.path, dataset)
        }
    }

    /// The row of a file that only a table names.
    fn missing(&self, path: &str, dataset: &str, table: &str) -> Row {
        Row {
            status: Status::Missing,
            reason: Some(format!("{table} names it, and {}", self.tree.why_missing(path))),
            ..self.named(path, dataset)
        }
    }

    fn named(&self, path: &str, dataset: &str) -> Row {
        Row {
            path: path.to_owned(),
            video: path.to_owned(),
            dataset: dataset.to_owned(),
            compression: "as_found".to_owned(),
            generator: crate::classes::REAL.to_owned(),
            ..Row::default()
        }
    }

    /// The row, made by a generator that the data set calls `name`.
    fn fake(&self, row: Row, name: &str) -> Row {
        Row { label: Label::Fake, generator: self.classes.canonical(&row.dataset, name), ..row }
    }
}

/// The row, of which something is not known or said twice.
fn unclear(row: Row, reason: String) -> Row {
    let identity = if row.identity.is_empty() { format!("{}-{}", row.dataset, row.video) } else { row.identity };
    Row { status: Status::Unclear, reason: Some(reason), identity, ..row }
}

/// Whether this is a number of exactly so many digits.
fn digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|b| b.is_ascii_digit())
}

/// The sequences of FaceForensics++ that a row shows: those in its file's name, or else in its people's.
pub(crate) fn sequences(row: &Row) -> Vec<String> {
    let is_ours = |person: &str| person.starts_with("ffpp-");
    if !row.people().any(is_ours) {
        return Vec::new();
    }
    let name = tree::name(&row.path);
    let stem = if tree::is_video(name) { tree::stem(name) } else { name };
    if let Some((target, donor)) = ffpp::pair(stem) {
        return std::iter::once(target).chain(donor).map(str::to_owned).collect();
    }
    row.people().filter_map(|p| p.strip_prefix("ffpp-")).map(str::to_owned).collect()
}

/// How a root is indexed.
#[derive(Clone, Debug, Default)]
pub struct IndexOptions {
    /// The layout's name; recognised where there is none.
    pub layout: Option<String>,
    /// The class list.
    pub classes: ClassList,
    /// For the layout `csv`: which of its columns is which of ours.
    pub columns: BTreeMap<String, String>,
}

/// A root, indexed.
pub struct Index {
    /// The layout that it has.
    pub layout: &'static Layout,
    /// The folder that the rows' paths are relative to.
    pub root: PathBuf,
    /// One row for each video, or folder of frames, by path.
    pub rows: Vec<Row>,
    /// What was noticed.
    pub findings: Vec<Finding>,
}

/// Indexes a data set: one row for each video, or each folder of frames that stands for one, that lies below `root` or
/// that its tables name. Files are not opened; `verify` does that.
///
/// # Errors
/// A root that is not there, has no layout that is known or has several, or whose tables can't be read.
pub fn index(root: &Path, options: &IndexOptions) -> Result<Index, DataError> {
    let named = options.layout.as_deref().map(Layout::named).transpose()?;
    let is_csv = root.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) && root.is_file();
    let is_table = is_csv || (named.is_some_and(|l| l.name == csv_file::LAYOUT.name) && !root.is_dir());
    let (layout, tree) = match named {
        _ if is_table => {
            if let Some(other) = named.filter(|l| l.name != csv_file::LAYOUT.name) {
                let message = format!("a table has the layout csv, not {}", other.name);
                return Err(DataError::Layout { path: root.to_owned(), message });
            }
            let folder = crate::manifest::folder(root);
            let parent = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            (&LAYOUTS[LAYOUTS.len() - 1], Tree::empty(parent))
        }
        Some(layout) => (layout, Tree::read(root)?),
        None => {
            let tree = Tree::read(root)?;
            (recognise(&tree)?, tree)
        }
    };
    let table = is_table.then_some(root);
    let source = Source { tree: &tree, classes: &options.classes, table, columns: &options.columns };
    let mut read = (layout.read)(&source)?;
    if read.rows.is_empty() {
        let message = format!("nothing to index: the layout {} looks for {}", layout.name, layout.looks_for);
        let message = format!("{message}. {}", wrong_root(&tree, Some(layout)));
        return Err(DataError::Layout { path: root.to_owned(), message });
    }
    read.rows.sort_by(|a, b| a.path.cmp(&b.path));
    let of = |status: Status| read.rows.iter().filter(|r| r.status == status).map(|r| r.path.clone()).collect();
    let findings = [
        Finding::of("missing", Severity::Problem, "files are named by a table and not there", of(Status::Missing)),
        Finding::of("unclear", Severity::Problem, "files are of unclear label or identity", of(Status::Unclear)),
        Finding::of("unreadable", Severity::Problem, "files can't be read as they are", of(Status::Unreadable)),
    ];
    let unknown: BTreeSet<String> = read
        .rows
        .iter()
        .filter(|r| !options.classes.knows(&r.dataset, &r.generator))
        .map(|r| r.generator.clone())
        .collect();
    let meaning = "generators are not in the class list, and a family of their own";
    let unknown = Finding::of("unknown_generator", Severity::Note, meaning, unknown.into_iter().collect());
    let findings = tree.findings.iter().cloned().chain(read.findings).chain(findings.into_iter().flatten());
    let findings = findings.chain(unknown).chain(tree.heard()).chain(passed_over(&tree, &read.rows)).collect();
    Ok(Index { layout, root: tree.root.clone(), rows: read.rows, findings })
}

/// Endings of files that are still packed.
const PACKED: [&str; 7] = ["zip", "tar", "gz", "tgz", "bz2", "7z", "rar"];

/// What lies below the root and is in no row: videos and folders of images where the layout has no place for them,
/// files that a download left unfinished, archives.
fn passed_over(tree: &Tree, rows: &[Row]) -> Vec<Finding> {
    let known: BTreeSet<&str> =
        rows.iter().flat_map(|row| [Some(row.path.as_str()), row.mask.as_deref()]).flatten().collect();
    let of_a_row = |path: &str| {
        let folders = path.match_indices('/').map(|(i, _)| &path[..i]);
        folders.chain([path]).any(|path| known.contains(path))
    };
    let in_a_row =
        |item: &Item| of_a_row(&item.path) || tree.below(&item.path).iter().any(|f| known.contains(f.path.as_str()));
    let elsewhere = tree.items("").into_iter().filter(|item| !in_a_row(item)).map(|item| item.path).collect();
    let ending_in = |endings: &[&str]| {
        let files = tree.files().iter().map(|f| f.path.as_str());
        files.filter(|f| has_ending(f, endings) && !known.contains(f)).map(str::to_owned).collect()
    };
    [
        tree.unfinished(),
        Finding::of("still_packed", Severity::Note, "archives are still packed; unpack them", ending_in(&PACKED)),
        Finding::of(
            "not_in_layout",
            Severity::Note,
            "videos or folders of images lie where the layout has no place for them, or no table names them",
            elsewhere,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn recognise(tree: &Tree) -> Result<&'static Layout, DataError> {
    let found: Vec<&Layout> = LAYOUTS.iter().filter(|l| (l.recognises)(tree)).collect();
    let message = match found.as_slice() {
        [one] => return Ok(one),
        [] => {
            let sought: Vec<String> = LAYOUTS.iter().map(|l| format!("{}: {}", l.name, l.looks_for)).collect();
            format!("no known layout. {} Looked for {}", wrong_root(tree, None), sought.join("; "))
        }
        several => {
            let found: Vec<String> = several.iter().map(|l| format!("{} ({})", l.name, l.looks_for)).collect();
            format!("this could be {}; say which with --layout", found.join(" or "))
        }
    };
    Err(DataError::Layout { path: tree.root.clone(), message })
}

/// What there is instead, and whether the root lies one level below.
fn wrong_root(tree: &Tree, layout: Option<&Layout>) -> String {
    let wanted = |l: &&Layout| layout.is_none_or(|wanted| wanted.name == l.name);
    let below = tree.folders("").into_iter().find_map(|folder| {
        let sub = tree.sub(folder);
        LAYOUTS.iter().filter(wanted).find(|l| (l.recognises)(&sub)).map(|l| (folder, l.name))
    });
    if let Some((folder, name)) = below {
        return format!("Its folder {folder:?} looks like {name}: was that meant?");
    }
    let folders = tree.folders("");
    let listed: Vec<_> = folders.iter().take(5).map(|f| format!("{f:?}")).collect();
    match (tree.files().len(), folders.len()) {
        (0, _) => "The folder is empty.".to_owned(),
        (files, 0) => format!("There are {files} files and no folder in it."),
        (files, n) => {
            format!("There are {files} files, in {}{}.", listed.join(", "), if n > 5 { ", ..." } else { "" })
        }
    }
}
