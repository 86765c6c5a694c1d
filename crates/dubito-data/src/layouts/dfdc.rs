//! The Deepfake Detection Challenge data set (DFDC).
//!
//! ```text
//! dfdc_train_part_N/metadata.json: {"a.mp4": {"label": "FAKE", "split": "train", "original": "b.mp4"},
//!                                   "b.mp4": {"label": "REAL", "split": "train"}}
//! test/labels.csv: filename,label   (1 is fake)
//! ```
//! Parts may lie at any depth. Nothing says who is in a video or which of eight methods made a fake: the identity is
//! the original video, so that a fake stays with its original; one person filmed twice counts as two.
//!
//! Sources: Dolhansky et al., "The DeepFake Detection Challenge (DFDC) Dataset", 2020 (119,154 training clips, 100,000
//! of them fake); the fields of `metadata.json` from the competition's data page, `test/labels.csv` from
//! SCLBD/DeepfakeBench (`preprocessing/rearrange.py`).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::tree::{Item, Table, Tree};
use super::{Layout, Published, Read, Source, unclear};
use crate::error::DataError;
use crate::manifest::{Label, Row};
use crate::names::Names;

const NAME: &str = "dfdc";
const PAPER: &str = "Dolhansky et al., 2020";
const METADATA: &str = "metadata.json";
const LABELS: &str = "labels.csv";

pub(super) const LAYOUT: Layout = Layout {
    name: NAME,
    title: "Deepfake Detection Challenge",
    looks_for: "metadata.json with label and split for each video, in parts such as dfdc_train_part_0/",
    published: &[
        Published { part: "train, real", count: 19_154, source: PAPER },
        Published { part: "train, fake", count: 100_000, source: PAPER },
    ],
    recognises,
    read,
    part,
};

fn recognises(tree: &Tree) -> bool {
    let beside = |path: &str| path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    tree.files().iter().filter(|f| super::tree::name(&f.path) == METADATA).any(|f| {
        let folder = beside(&f.path);
        tree.below(&folder).iter().any(|f| super::tree::is_video(&f.path))
            && tree.text(&f.path).is_ok_and(|text| text.contains("\"label\"") && text.contains("\"split\""))
    })
}

fn part(row: &Row) -> Option<(String, String)> {
    (row.split == "train").then(|| (String::new(), format!("train, {}", row.label.name())))
}

#[derive(Deserialize)]
struct Entry {
    label: String,
    #[serde(default)]
    split: Option<String>,
    #[serde(default)]
    original: Option<String>,
}

fn read(source: &Source) -> Result<Read, DataError> {
    let tree = source.tree;
    let mut read = Read::default();
    let mut without_original = Vec::new();
    let tables = tree.files().iter().filter(|f| [METADATA, LABELS].contains(&super::tree::name(&f.path)));
    for table in tables {
        let folder = table.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut videos: BTreeMap<String, Vec<Item>> = BTreeMap::new();
        for item in tree.items(folder).into_iter().filter(|i| i.images.is_none() && super::tree::is_video(&i.path)) {
            videos.entry(super::tree::name(&item.path).to_owned()).or_default().push(item);
        }
        let entries = entries(tree, &table.path)?;
        // A file that the table names letter by letter is nobody else's.
        let names = Names::new(videos.keys().filter(|name| !entries.contains_key(*name)).cloned());
        for (name, entry) in entries {
            let name = match videos.contains_key(&name) {
                true => name,
                false => tree.meant(&name, &names).unwrap_or(name),
            };
            let error = |message| DataError::Table { path: tree.root.join(&table.path), row: None, message };
            let label = match entry.label.as_str() {
                "REAL" | "0" => Label::Real,
                "FAKE" | "1" => Label::Fake,
                other => return Err(error(format!("the label of {name} is {other:?}; expected REAL or FAKE"))),
            };
            let found = videos.remove(&name).unwrap_or_default();
            let row = match found.as_slice() {
                [] => {
                    let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                    source.missing(&path, NAME, &table.path)
                }
                [item, ..] => source.row(item, NAME),
            };
            let original = entry.original.filter(|o| !o.is_empty());
            if label == Label::Fake && original.is_none() {
                without_original.push(row.path.clone());
            }
            let person = original.as_deref().map_or_else(|| super::tree::stem(&name), super::tree::stem);
            let row = Row {
                identity: format!("dfdc-{person}"),
                split: entry.split.unwrap_or_default(),
                source: original,
                ..row
            };
            let row = if label == Label::Fake { source.fake(row, NAME) } else { row };
            read.rows.push(match found.len() {
                0 | 1 => row,
                n => unclear(row, format!("{n} files of this name lie below {}", table.path)),
            });
        }
        for item in videos.into_values().flatten() {
            read.rows.push(unclear(source.row(&item, NAME), format!("{} does not list it", table.path)));
        }
    }
    let people = vec!["one person filmed twice counts as two".to_owned()];
    read.note("identity_by_original", "data set names no people: the identity is the original video", people);
    read.note("no_original", "fakes have no original in their table: each is taken for a person", without_original);
    Ok(read)
}

fn entries(tree: &Tree, path: &str) -> Result<BTreeMap<String, Entry>, DataError> {
    if path.ends_with(METADATA) {
        let text = tree.text(path)?;
        return serde_json::from_str(&text).map_err(|e| DataError::Table {
            path: tree.root.join(path),
            row: None,
            message: format!("expected an object of videos, each with a label: {e}"),
        });
    }
    let table = Table::read(&tree.root.join(path))?;
    let (name, label) = (table.column("filename")?, table.column("label")?);
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for (i, r) in table.rows().enumerate() {
        let entry = Entry { label: r[label].to_owned(), split: Some("test".into()), original: None };
        if let Some(other) = entries.insert(r[name].to_owned(), entry).filter(|other| other.label != r[label]) {
            let message = format!("{} has the label {:?} here and {:?} above", &r[name], &r[label], other.label);
            return Err(table.error(Some(i), message));
        }
    }
    Ok(entries)
}
