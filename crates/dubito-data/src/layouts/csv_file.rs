//! A table of videos (CSV), its columns mapped to ours.
//!
//! `--columns path=filename,label=is_fake` says which of its columns is which of ours; one that is not said is looked
//! for under our name. `path` is needed, and `label` (real, fake, 0 or 1) or `generator`; identity, donor, donor2,
//! dataset, compression, split, race, gender, skin_tone and audio are taken where they are. Paths are relative to the
//! table's folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::tree::{Item, Table, Tree};
use super::{Layout, Read, Source, unclear};
use crate::classes::REAL;
use crate::error::DataError;
use crate::manifest::{Label, Row};
use crate::names;

const NAME: &str = "csv";
/// The columns that are read.
const COLUMNS: [&str; 13] = [
    "path",
    "label",
    "generator",
    "identity",
    "donor",
    "donor2",
    "dataset",
    "compression",
    "split",
    "race",
    "gender",
    "skin_tone",
    "audio",
];

pub(super) const LAYOUT: Layout = Layout {
    name: NAME,
    title: "a table",
    looks_for: "a .csv file, given as the root, with the columns path and label or generator",
    published: &[],
    recognises: |_: &Tree| false,
    read,
    part: |_| None,
};

fn read(source: &Source) -> Result<Read, DataError> {
    let Some(path) = source.table else {
        return Err(DataError::Layout {
            path: source.tree.root.clone(),
            message: "the layout csv takes a .csv file, not a folder".into(),
        });
    };
    let table = Table::read(path)?;
    if let Some(unknown) = source.columns.keys().find(|name| !COLUMNS.contains(&name.as_str())) {
        return Err(table.error(None, format!("--columns: {unknown:?} is none of {}", COLUMNS.join(", "))));
    }
    let mut column: BTreeMap<&str, usize> = BTreeMap::new();
    for name in COLUMNS {
        let place = match source.columns.get(name) {
            Some(theirs) => Some(table.column(theirs)?),
            None if name == "path" => Some(table.column(name)?),
            None => table.optional(name),
        };
        column.extend(place.map(|place| (name, place)));
    }
    if !column.contains_key("label") && !column.contains_key("generator") {
        return Err(table.error(None, "neither label nor generator is a column; name one with --columns".into()));
    }
    let name = table_name(path);
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut read = Read::default();
    let (mut unnamed, mut twice, mut outside) = (Vec::new(), Vec::new(), BTreeSet::new());
    let (mut finder, mut leftover) = (names::Finder::new(&source.tree.root), Vec::new());
    let root = std::fs::canonicalize(&source.tree.root).map_err(DataError::io(&source.tree.root))?;
    let given: Vec<String> = table.rows().map(|record| record[column["path"]].to_owned()).collect();
    let located = finder.locate(given.iter().map(String::as_str).filter(|file| !names::has_leftover(file)));
    let mut known: BTreeMap<PathBuf, String> = BTreeMap::new();
    for (i, record) in table.rows().enumerate() {
        let said = |name: &str| column.get(name).map(|&c| record[c].to_owned()).filter(|text| !text.is_empty());
        let file = said("path").ok_or_else(|| table.error(Some(i), "the path is empty".into()))?;
        if names::has_leftover(&file) {
            leftover.push(file);
            continue;
        }
        let file = located.get(file.as_str()).cloned().unwrap_or(file);
        let dataset = said("dataset").unwrap_or_else(|| NAME.to_owned());
        let place = source.tree.root.join(&file);
        let metadata = std::fs::metadata(&place);
        // One file is one row, whatever path leads to it.
        let file = match std::fs::canonicalize(&place) {
            Ok(place) => {
                let (own, is_outside) = (own_name(&place, &root), !place.starts_with(&root));
                let file = known.entry(place).or_insert_with(|| own.unwrap_or(file)).clone();
                outside.extend(is_outside.then(|| file.clone()));
                file
            }
            Err(_) => file,
        };
        let row = match &metadata {
            Ok(m) => {
                let row = source.row(&Item { path: file.clone(), bytes: m.len(), images: None }, &dataset);
                Row { bytes: row.bytes.filter(|_| m.is_file()), ..row }
            }
            Err(_) => {
                let reason = Some(format!("{name} names it, and {}", finder.heard.why_missing(&file)));
                Row { reason, ..source.missing(&file, &dataset, &name) }
            }
        };
        let generator = said("generator").map(|g| source.classes.canonical(&dataset, &g));
        let label = match said("label") {
            Some(text) => Some(Label::try_from(text).map_err(|e| table.error(Some(i), e))?),
            None => None,
        };
        let identity = said("identity").unwrap_or_else(|| {
            unnamed.push(file.clone());
            file.clone()
        });
        let row = Row {
            identity,
            donor: said("donor"),
            donor2: said("donor2"),
            compression: said("compression").unwrap_or(row.compression),
            split: said("split").unwrap_or_default(),
            race: said("race"),
            gender: said("gender"),
            skin_tone: said("skin_tone"),
            audio: said("audio"),
            ..row
        };
        let row = match (label, generator) {
            (None | Some(Label::Real), Some(g)) if g == REAL => row,
            (Some(Label::Real), None) => row,
            (Some(Label::Fake), None) => Row { label: Label::Fake, generator: "unknown".into(), ..row },
            (None | Some(Label::Fake), Some(generator)) if generator != REAL => {
                Row { label: Label::Fake, generator, ..row }
            }
            (label, generator) => {
                let label = label.map_or("nothing", Label::name);
                let generator = generator.unwrap_or_else(|| "nothing".into());
                unclear(row, format!("row {}: the label is {label} and the generator {generator}", i + 1))
            }
        };
        match rows.get(&file) {
            Some(other) if *other != row => {
                rows.insert(file, unclear(row, format!("row {} says something else of it than a row above", i + 1)));
            }
            Some(_) => twice.push(file),
            None => {
                rows.insert(file, row);
            }
        }
    }
    read.rows.extend(rows.into_values());
    read.findings.extend(finder.heard.findings());
    read.note(
        "leftover",
        "rows are of what macOS, Windows or a NAS leaves beside files, and were passed over",
        leftover,
    );
    read.note("listed_twice", "files are listed more than once, alike", twice);
    read.note("out_of_root", "files lie outside the table's folder", outside.into_iter().collect());
    read.note("own_identity", "files have no identity in the table: each is taken for a person", unnamed);
    Ok(read)
}

/// The name of a file below the root; none of one that lies elsewhere.
fn own_name(place: &Path, root: &Path) -> Option<String> {
    let below = place.strip_prefix(root).ok()?.to_str()?;
    Some(below.replace(std::path::MAIN_SEPARATOR, "/"))
}

fn table_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}
