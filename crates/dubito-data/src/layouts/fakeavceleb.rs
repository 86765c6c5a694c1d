//! FakeAVCeleb v1.2.
//!
//! ```text
//! meta_data.csv: source,target1,target2,method,category,type,race,gender,path,
//! {RealVideo-RealAudio,RealVideo-FakeAudio,FakeVideo-RealAudio,FakeVideo-FakeAudio}/RACE/{men,women}/SOURCE/*.mp4
//! ```
//! The table's `path` is a bare file name, which repeats across folders; the folder is its tenth column, which has no
//! name and begins with `FakeAVCeleb/`. Categories: A real, B real picture with a cloned voice (visually real: its
//! label here is real, its `audio` fake), C a fake picture with the real voice, D both fake. 22 files are listed twice,
//! once with a more specific method: each becomes one row, with the method that more single methods went into.
//! `target1` and `target2` are people where they read `id` and a number.
//!
//! Sources: Khalid et al., "FakeAVCeleb: A Novel Audio-Video Multimodal Deepfake Dataset", NeurIPS Datasets and
//! Benchmarks 2021, and the data set's own site (Documentation: 500 videos of 500 people from VoxCeleb2). Columns and
//! counts (21,566 rows, 21,544 files) as found in `meta_data.csv` of v1.2.

use std::collections::BTreeMap;

use super::tree::{Table, Tree};
use super::{Layout, Published, Read, Source, unclear};
use crate::error::DataError;
use crate::manifest::{Label, Row};

const NAME: &str = "fakeavceleb";
const TABLE: &str = "meta_data.csv";
const FOUND: &str = "meta_data.csv of v1.2";
const CATEGORIES: [(&str, &str); 4] = [
    ("A", "RealVideo-RealAudio"),
    ("B", "RealVideo-FakeAudio"),
    ("C", "FakeVideo-RealAudio"),
    ("D", "FakeVideo-FakeAudio"),
];

pub(super) const LAYOUT: Layout = Layout {
    name: NAME,
    title: "FakeAVCeleb v1.2",
    looks_for: "meta_data.csv beside RealVideo-RealAudio/, FakeVideo-RealAudio/, ...",
    published: &[
        Published { part: "RealVideo-RealAudio", count: 500, source: FOUND },
        Published { part: "RealVideo-FakeAudio", count: 500, source: FOUND },
        Published { part: "FakeVideo-RealAudio", count: 9709, source: FOUND },
        Published { part: "FakeVideo-FakeAudio", count: 10835, source: FOUND },
    ],
    recognises,
    read,
    part,
};

fn recognises(tree: &Tree) -> bool {
    tree.file(TABLE).is_some() && CATEGORIES.iter().any(|(_, folder)| tree.has_folder(folder))
}

fn part(row: &Row) -> Option<(String, String)> {
    let folder = row.path.split('/').find(|p| CATEGORIES.iter().any(|(_, folder)| folder == p))?;
    Some((String::new(), folder.to_owned()))
}

fn read(source: &Source) -> Result<Read, DataError> {
    let tree = source.tree;
    let table = Table::read(&tree.root.join(TABLE))?;
    let names = ["source", "target1", "target2", "method", "category", "type", "race", "gender", "path"];
    let mut column = BTreeMap::new();
    for name in names {
        column.insert(name, table.column(name)?);
    }
    if table.width() < 10 {
        let message = "the tenth column, which has no name and holds the folder, is missing";
        return Err(table.error(None, message.into()));
    }
    // Listings of one file, by its path.
    let mut listed: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for (i, record) in table.rows().enumerate() {
        let field = |name: &str| &record[column[name]];
        let folder = &record[9];
        let folder = folder.strip_prefix("FakeAVCeleb/").unwrap_or(folder).trim_end_matches('/');
        let file = format!("{folder}/{}", field("path"));
        let file = tree.locate(&file).unwrap_or(file);
        let Some((_, kind)) = CATEGORIES.iter().find(|(letter, _)| *letter == field("category")) else {
            return Err(table.error(Some(i), format!("category {:?} is none of A, B, C, D", field("category"))));
        };
        let person = |text: &str| format!("voxceleb2-{text}");
        let targets =
            [field("target1"), field("target2")].into_iter().filter(|t| is_person(t) && *t != field("source"));
        let mut donors = targets.map(person);
        let said = |name: &str| Some(field(name).to_owned()).filter(|s| !s.is_empty());
        let row = match tree.file(&file) {
            Some(found) => Row { bytes: Some(found.bytes), ..source.named(&file, NAME) },
            None => source.missing(&file, NAME, TABLE),
        };
        let row = Row {
            identity: person(field("source")),
            donor: donors.next(),
            donor2: donors.next(),
            race: said("race"),
            gender: said("gender"),
            audio: Some(if kind.ends_with("FakeAudio") { "fake" } else { "real" }.to_owned()),
            ..row
        };
        let row = if kind.starts_with("FakeVideo") { source.fake(row, field("method")) } else { row };
        let row = match field("method") {
            method if row.label == Label::Fake && ["real", "rtvc", "-", ""].contains(&method) => {
                let reason = format!("category {} has a fake picture, but the method is {method:?}", field("category"));
                unclear(row, reason)
            }
            _ if !folder.starts_with(kind) || field("type") != *kind => {
                let reason = format!("category {} is {kind}, but type and folder say otherwise", field("category"));
                unclear(row, reason)
            }
            _ => row,
        };
        listed.entry(file).or_default().push(row);
    }
    let mut read = Read::default();
    let mut twice = Vec::new();
    for (file, rows) in listed {
        if rows.len() > 1 {
            twice.push(file.clone());
        }
        read.rows.push(one_of(rows, source));
    }
    read.note("listed_twice", "files are listed more than once, and one row each", twice);
    let known: std::collections::BTreeSet<&str> = read.rows.iter().map(|r| r.path.as_str()).collect();
    let mut unlisted = Vec::new();
    for item in CATEGORIES.iter().flat_map(|(_, folder)| tree.items(folder)) {
        if !known.contains(item.path.as_str()) && super::tree::is_video(&item.path) {
            unlisted.push(unclear(source.row(&item, NAME), format!("{TABLE} does not list it")));
        }
    }
    read.rows.extend(unlisted);
    Ok(read)
}

fn is_person(text: &str) -> bool {
    text.strip_prefix("id").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// One row of several listings of one file: that of the most specific method; everything else must agree.
fn one_of(mut rows: Vec<Row>, source: &Source) -> Row {
    let specific = |row: &Row| source.classes.specificity(NAME, &row.generator);
    let most = rows.iter().map(specific).max().unwrap_or(1);
    let all: Vec<String> = rows.iter().map(|r| format!("{} {}", r.identity, r.generator)).collect();
    let same_video = rows.iter().all(|r| r.label == rows[0].label && r.identity == rows[0].identity);
    let mut people: Vec<String> = rows.iter().flat_map(|r| [r.donor.clone(), r.donor2.clone()]).flatten().collect();
    people.sort();
    people.dedup();
    let listings = rows.len();
    rows.retain(|row| specific(row) == most);
    let same_method = rows.iter().all(|r| r.generator == rows[0].generator) && people.len() <= 2;
    let mut row = rows.swap_remove(0);
    if same_video && same_method {
        if listings > 1 {
            // Whoever any of the listings names is kept apart.
            let mut people = people.into_iter();
            (row.donor, row.donor2) = (people.next(), people.next());
        }
        return row;
    }
    unclear(row, format!("{TABLE} lists it as {}", all.join(" and as ")))
}
