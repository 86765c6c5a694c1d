//! WildDeepfake.
//!
//! ```text
//! {real_train,real_test,fake_train,fake_test}/N.tar.gz, each with folders of face images, a folder for a sequence
//! ```
//! The archives are unpacked into `real_train/N/.../SEQUENCE/FRAME.png`; one that is still packed is a row that says
//! so. Names of the four folders may have a blank or an underscore. All sequences of one archive are one identity; who
//! that is, and whether another archive shows the same person, is not known. How a fake was made is not known either.
//!
//! Sources: Zi et al., "WildDeepfake: A Challenging Real-World Dataset for Deepfake Detection", ACM Multimedia 2020
//! (7,314 sequences from 707 videos), and the repository OpenTAI/wild-deepfake (`README.md`, File Structure).

use super::tree::{Item, Tree};
use super::{Layout, Published, Read, Source};
use crate::error::DataError;
use crate::manifest::{Row, Status};

const NAME: &str = "wilddeepfake";

pub(super) const LAYOUT: Layout = Layout {
    name: NAME,
    title: "WildDeepfake",
    looks_for: "real_train/, real_test/, fake_train/ or fake_test/ with numbered folders or archives",
    published: &[Published { part: "sequences", count: 7314, source: "Zi et al., ACM Multimedia 2020" }],
    recognises,
    read,
    part,
};

/// Label and split of a folder's name.
fn meaning(folder: &str) -> Option<(&str, &str)> {
    let (label, split) = folder.split_once(['_', ' '])?;
    (["real", "fake"].contains(&label) && ["train", "test"].contains(&split)).then_some((label, split))
}

fn recognises(tree: &Tree) -> bool {
    tree.folders("").iter().any(|f| meaning(f).is_some())
}

fn part(row: &Row) -> Option<(String, String)> {
    (row.status == Status::Ok).then(|| (String::new(), "sequences".to_owned()))
}

fn read(source: &Source) -> Result<Read, DataError> {
    let tree = source.tree;
    let mut read = Read::default();
    for folder in tree.folders("") {
        let Some((label, split)) = meaning(folder) else { continue };
        let row = |item: &Item, archive: &str| {
            let row = source.row(item, NAME);
            let row = if label == "fake" { source.fake(row, NAME) } else { row };
            Row { identity: format!("{NAME}-{label}-{split}-{archive}"), split: split.to_owned(), ..row }
        };
        for item in tree.items(folder) {
            let below = &item.path[folder.len() + 1..];
            let archive = below.split('/').next().unwrap_or(below);
            read.rows.push(row(&item, archive));
        }
        for file in tree.below(folder).iter().filter(|f| f.path.ends_with(".tar.gz")) {
            let archive = super::tree::name(&file.path).trim_end_matches(".tar.gz");
            if tree.has_folder(&format!("{folder}/{archive}")) {
                continue;
            }
            let item = Item { path: file.path.clone(), bytes: file.bytes, images: None };
            let reason = Some(format!("the archive is still packed; unpack it into {folder}/{archive}/"));
            read.rows.push(Row { status: Status::Unreadable, reason, ..row(&item, archive) });
        }
    }
    let people = vec!["each archive is taken for a person".to_owned()];
    read.note("no_identities", "data set names no people: splitting it by identity proves little", people);
    Ok(read)
}
