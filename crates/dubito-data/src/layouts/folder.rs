//! A plain folder: `real/`, and `fake/` with a folder for each generator.
//!
//! ```text
//! real/**/*.mp4   fake/GENERATOR/**/*.mp4   identities.csv: file,identity[,donor][,race][,gender][,skin_tone]
//! ```
//! Folders of images are taken for videos. A file right below `fake/` has no generator that is known. Files in
//! `identities.csv` are named by their paths below the root; without it each file is taken for a person of its own.

use std::collections::BTreeMap;

use super::tree::{Table, Tree};
use super::{Layout, Read, Source, unclear};
use crate::error::DataError;
use crate::identities::IDENTITIES;
use crate::manifest::{Label, Row, Status};

const NAME: &str = "folder";

pub(super) const LAYOUT: Layout = Layout {
    name: NAME,
    title: "a folder",
    looks_for: "real/ and fake/GENERATOR/",
    published: &[],
    recognises,
    read,
    part: |_| None,
};

fn recognises(tree: &Tree) -> bool {
    !tree.items("real").is_empty() && !tree.items("fake").is_empty()
}

fn read(source: &Source) -> Result<Read, DataError> {
    let tree = source.tree;
    let mut people = people(tree)?;
    let has_table = !people.is_empty();
    let mut read = Read::default();
    let mut unnamed = Vec::new();
    let mut folders = vec![(Label::Real, "real".to_owned(), None), (Label::Fake, "fake".to_owned(), None)];
    folders.extend(tree.folders("fake").into_iter().map(|g| (Label::Fake, format!("fake/{g}"), Some(g))));
    for (label, folder, generator) in folders {
        let loose = folder == "fake";
        for item in tree
            .items(&folder)
            .into_iter()
            .filter(|i| !loose || (i.images.is_none() && i.path.matches('/').count() == 1))
        {
            let mut row = source.row(&item, NAME);
            if let Some(name) = generator {
                row = source.fake(row, name);
            }
            match people.remove(&item.path) {
                Some(said) => {
                    row.identity = said.identity;
                    row.donor = said.donor;
                    (row.race, row.gender, row.skin_tone) = (said.race, said.gender, said.skin_tone);
                }
                None => {
                    unnamed.push(item.path.clone());
                    row.identity = item.path.clone();
                }
            }
            if label == Label::Fake && generator.is_none() {
                row = unclear(
                    Row { label, generator: "unknown".into(), ..row },
                    "it lies right below fake/, which says no generator; move it into fake/GENERATOR/".into(),
                );
            }
            read.rows.push(row);
        }
    }
    for (path, said) in people {
        let row = Row {
            identity: said.identity,
            donor: said.donor,
            race: said.race,
            gender: said.gender,
            skin_tone: said.skin_tone,
            ..source.missing(&path, NAME, IDENTITIES)
        };
        let there = tree.file(&path).is_some() || tree.has_folder(&path);
        read.rows.push(match path.strip_prefix("fake/").map(|p| p.split_once('/')) {
            _ if there => {
                let reason = format!("{IDENTITIES} names it, and it is no video in real/ or fake/GENERATOR/");
                Row { status: Status::Unclear, reason: Some(reason), ..row }
            }
            Some(Some((generator, _))) => source.fake(row, generator),
            Some(None) => Row { label: Label::Fake, generator: "unknown".into(), ..row },
            None => row,
        });
    }
    let meaning = if has_table { "files are not in identities.csv" } else { "files, and no identities.csv" };
    read.note("own_identity", &format!("{meaning}: each is taken for a person of its own"), unnamed);
    Ok(read)
}

fn people(tree: &Tree) -> Result<BTreeMap<String, Row>, DataError> {
    let Some(name) = tree.locate(IDENTITIES) else { return Ok(BTreeMap::new()) };
    let path = tree.root.join(&name);
    let table = Table::read(&path)?;
    let (file, identity) = (table.column("file")?, table.column("identity")?);
    let [donor, race, gender, tone] = ["donor", "race", "gender", "skin_tone"].map(|name| table.optional(name));
    let mut people = BTreeMap::new();
    for (i, record) in table.rows().enumerate() {
        let said = |column: Option<usize>| column.map(|c| record[c].to_owned()).filter(|text| !text.is_empty());
        if record[file].is_empty() || record[identity].is_empty() {
            return Err(table.error(Some(i), "neither file nor identity may be empty".into()));
        }
        let row = Row {
            identity: record[identity].to_owned(),
            donor: said(donor),
            race: said(race),
            gender: said(gender),
            skin_tone: said(tone),
            ..Row::default()
        };
        if people.insert(record[file].to_owned(), row.clone()).is_some_and(|other| other != row) {
            return Err(table.error(Some(i), format!("{} was said to be someone else above", &record[file])));
        }
    }
    tree.adopt(&path, people)
}
