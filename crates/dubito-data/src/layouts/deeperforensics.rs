//! DeeperForensics-1.0.
//!
//! ```text
//! manipulated_videos/{end_to_end,end_to_end_level_1,...,reenact_postprocess}/000_M101.mp4
//! source_videos/M004/{light_up,...}/{neutral,...}/*.mp4
//! lists/splits/{train,val,test}.txt: names of manipulated videos, one a line
//! ```
//! `000_M101` shows sequence 000 of FaceForensics++ with the face of actor M101: the target's identity is that of the
//! layout `ffpp`, so that a split of both keeps them together. The real part of the benchmark are FaceForensics++'s
//! c23 videos, which are not in the download. The actors' own videos are real, but not its real part: they get the
//! data set name `deeperforensics-source`. What was done to a video after the forgery (its variant) is in the column
//! `compression`. M and W in an actor's number are men and women; 1 as its first digit is Asia, 0 elsewhere.
//!
//! Sources: Jiang et al., "DeeperForensics-1.0: A Large-Scale Dataset for Real-World Face Forgery Detection", CVPR
//! 2020, and the repository EndlessSora/DeeperForensics-1.0 (`dataset/README.md`).

use std::collections::BTreeMap;

use super::tree::{self, Tree};
use super::{Layout, Published, Read, Source, digits, unclear};
use crate::error::DataError;
use crate::manifest::Row;

const NAME: &str = "deeperforensics";
const README: &str = "EndlessSora/DeeperForensics-1.0, dataset/README.md";

pub(super) const LAYOUT: Layout = Layout {
    name: NAME,
    title: "DeeperForensics-1.0",
    looks_for: "manipulated_videos/end_to_end.../ or source_videos/M004/...",
    published: &[Published { part: "videos of a variant", count: 1000, source: README }],
    recognises,
    read,
    part,
};

fn recognises(tree: &Tree) -> bool {
    let variants = tree.folders("manipulated_videos");
    let people = tree.folders("source_videos");
    variants.iter().any(|v| v.starts_with("end_to_end") || *v == "reenact_postprocess")
        || people.iter().any(|p| is_actor(p))
}

fn part(row: &Row) -> Option<(String, String)> {
    let mut parts = row.path.split('/').skip_while(|p| *p != "manipulated_videos");
    Some((parts.nth(1)?.to_owned(), "videos of a variant".to_owned()))
}

fn is_actor(name: &str) -> bool {
    matches!(name.split_at_checked(1), Some(("M" | "W", number)) if digits(number, 3))
}

/// What an actor's number says.
fn described(row: Row, actor: &str) -> Row {
    let gender = if actor.starts_with('M') { "male" } else { "female" };
    let race = match actor.as_bytes().get(1) {
        Some(b'1') => Some("Asian".to_owned()),
        Some(b'0') => Some("not Asian".to_owned()),
        _ => None,
    };
    Row { gender: Some(gender.to_owned()), race, ..row }
}

fn read(source: &Source) -> Result<Read, DataError> {
    let tree = source.tree;
    let mut splits: BTreeMap<String, String> = BTreeMap::new();
    for split in ["train", "val", "test"] {
        let path = format!("lists/splits/{split}.txt");
        if tree.file(&path).is_some() {
            for line in tree.text(&path)?.lines().map(str::trim).filter(|l| !l.is_empty()) {
                let name = tree::stem(line).to_owned();
                if let Some(other) = splits.insert(name, split.to_owned()).filter(|other| other != split) {
                    let message = format!("{line} is also in {other}.txt");
                    return Err(DataError::Table { path: tree.root.join(path), row: None, message });
                }
            }
        }
    }
    let mut read = Read::default();
    for variant in tree.folders("manipulated_videos") {
        for item in tree.items(&format!("manipulated_videos/{variant}")) {
            let row = source.fake(source.row(&item, NAME), "df-vae");
            let row = Row {
                compression: if variant == "end_to_end" { "as_found" } else { variant }.to_owned(),
                split: splits.get(item.stem()).cloned().unwrap_or_default(),
                ..row
            };
            read.rows.push(match item.stem().split_once('_') {
                Some((target, actor)) if digits(target, 3) && is_actor(actor) => {
                    let row = described(row, actor);
                    // The actor's origin is not the target's; the gender is, by the data set's own rule.
                    Row {
                        identity: format!("ffpp-{target}"),
                        donor: Some(format!("{NAME}-{actor}")),
                        race: None,
                        ..row
                    }
                }
                _ => unclear(row, "the name does not say who is in it; expected 000_M101".into()),
            });
        }
    }
    for actor in tree.folders("source_videos") {
        for item in tree.items(&format!("source_videos/{actor}")) {
            let row = source.row(&item, "deeperforensics-source");
            read.rows.push(if is_actor(actor) {
                described(Row { identity: format!("{NAME}-{actor}"), ..row }, actor)
            } else {
                unclear(row, "the folder is no actor; expected M or W and three digits".into())
            });
        }
    }
    let real = vec!["original_sequences/youtube/c23 of ffpp".to_owned()];
    read.note("real_part_elsewhere", "real part of the benchmark is in another data set", real);
    Ok(read)
}
