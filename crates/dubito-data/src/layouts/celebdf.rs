//! Celeb-DF (v2).
//!
//! ```text
//! Celeb-real/id0_0000.mp4   YouTube-real/00170.mp4   Celeb-synthesis/id0_id16_0000.mp4
//! List_of_testing_videos.txt: "1 YouTube-real/00170.mp4", where 1 is real and 0 is fake
//! ```
//! `id0_id16_0000` is video 0000 of person 0 with the face of person 16. The videos may also lie in a folder `videos`
//! inside. The list gives the split `test`; everything else is `train`. The people of `YouTube-real` have no names:
//! each video is taken for one person. The published test list shares people with the training videos; `data split`
//! makes splits that don't.
//!
//! Sources: Li et al., "Celeb-DF: A Large-scale Challenging Dataset for DeepFake Forensics", CVPR 2020, and the
//! repository yuezunli/celeb-deepfakeforensics (`Celeb-DF-v2/README.md`).

use std::collections::BTreeMap;

use super::tree::Tree;
use super::{Layout, Published, Read, Source, unclear};
use crate::error::DataError;
use crate::manifest::{Label, Row};

const NAME: &str = "celebdf";
const README: &str = "yuezunli/celeb-deepfakeforensics, Celeb-DF-v2/README.md";
const FOLDERS: [&str; 3] = ["Celeb-real", "YouTube-real", "Celeb-synthesis"];
const LIST: &str = "List_of_testing_videos.txt";

pub(super) const LAYOUT: Layout = Layout {
    name: NAME,
    title: "Celeb-DF (v2)",
    looks_for: "Celeb-real/ or Celeb-synthesis/",
    published: &[
        Published { part: "Celeb-real", count: 590, source: README },
        Published { part: "YouTube-real", count: 300, source: README },
        Published { part: "Celeb-synthesis", count: 5639, source: README },
    ],
    recognises,
    read,
    part,
};

fn recognises(tree: &Tree) -> bool {
    // DeepfakeBench keeps frames in the same folders.
    [FOLDERS[0], FOLDERS[2]].iter().any(|f| tree.items(f).iter().any(|item| item.images.is_none()))
}

fn part(row: &Row) -> Option<(String, String)> {
    let folder = row.path.rsplit('/').find(|p| FOLDERS.contains(p))?;
    Some((String::new(), folder.to_owned()))
}

/// The person, or target and donor, of a name such as `id0_0000` or `id0_id16_0000`.
pub(super) fn pair(stem: &str) -> Option<(&str, Option<&str>)> {
    let person =
        |text: &str| text.strip_prefix("id").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match stem.split('_').collect::<Vec<_>>().as_slice() {
        [target, n] if person(target) && number(n) => Some((target, None)),
        [target, donor, n] if person(target) && person(donor) && number(n) => Some((target, Some(donor))),
        _ => None,
    }
}

fn read(source: &Source) -> Result<Read, DataError> {
    let tree = source.tree;
    let mut listed = list(tree)?;
    let has_list = !listed.is_empty();
    let mut read = Read::default();
    for folder in FOLDERS {
        for item in tree.items(folder) {
            let mut row = source.row(&item, NAME);
            let name = format!("{folder}/{}", super::tree::name(&item.path));
            let label = if folder == "Celeb-synthesis" { Label::Fake } else { Label::Real };
            if label == Label::Fake {
                row = source.fake(row, folder);
            }
            let in_list = listed.remove(&name);
            if has_list {
                row.split = if in_list.is_some() { "test" } else { "train" }.into();
            }
            let who = match folder {
                "YouTube-real" => Some((format!("celebdf-youtube-{}", item.stem()), None)),
                _ => pair(item.stem())
                    .filter(|(_, donor)| donor.is_some() == (label == Label::Fake))
                    .map(|(a, b)| (format!("celebdf-{a}"), b.map(|b| format!("celebdf-{b}")))),
            };
            read.rows.push(match (who, in_list) {
                (_, Some(listed)) if listed != label => {
                    unclear(row, format!("{LIST} says {}, the folder {}", listed.name(), label.name()))
                }
                (Some((identity, donor)), _) => Row { identity, donor, ..row },
                (None, _) => unclear(row, "the name does not say who is in it; expected idA_N or idA_idB_N".into()),
            });
        }
    }
    for (name, label) in listed {
        let stem = super::tree::stem(&name);
        let row = Row { split: "test".into(), ..source.missing(&name, NAME, LIST) };
        let row = if label == Label::Fake { source.fake(row, "Celeb-synthesis") } else { row };
        let (identity, donor) = match pair(stem) {
            Some((a, b)) => (format!("celebdf-{a}"), b.map(|b| format!("celebdf-{b}"))),
            None => (format!("celebdf-youtube-{stem}"), None),
        };
        read.rows.push(Row { identity, donor, ..row });
    }
    if !has_list {
        read.note("no_test_list", "lists are missing: no split is given", vec![LIST.to_owned()]);
    }
    Ok(read)
}

fn list(tree: &Tree) -> Result<BTreeMap<String, Label>, DataError> {
    if tree.file(LIST).is_none() {
        return Ok(BTreeMap::new());
    }
    let mut listed = BTreeMap::new();
    for (i, line) in tree.text(LIST)?.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let error = |message: String| DataError::Table { path: tree.root.join(LIST), row: Some(i + 1), message };
        let (label, name) = line.trim().split_once(' ').unwrap_or_default();
        let label = match label {
            "1" => Label::Real,
            "0" => Label::Fake,
            _ => return Err(error(format!("expected 1 (real) or 0 (fake) and a path, found {line:?}"))),
        };
        if listed.insert(name.trim().to_owned(), label).is_some_and(|other| other != label) {
            return Err(error(format!("{name:?} is real in one line and fake in another")));
        }
    }
    tree.adopt(&tree.root.join(LIST), listed)
}
