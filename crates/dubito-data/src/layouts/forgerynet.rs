//! ForgeryNet.
//!
//! ```text
//! Training/video_list.txt    N NAME [START COUNT fake?]*N BINARY TRIPLE CLASS
//! Training/image_list.txt    NAME BINARY TRIPLE CLASS
//! Training/{video,image}/NAME   Validation/...
//! ```
//! BINARY is 0 for real and 1 for fake, CLASS 0 for real and 1 to 15 for the approaches. The lists give the
//! approaches numbers only, and so do we (`forgerynet-07`); a class list may name them by aliases. Nothing says who is
//! in a file: each is taken for a person of its own, so that a split of this data set by identity proves nothing.
//!
//! Sources: He et al., "ForgeryNet: A Versatile Benchmark for Comprehensive Forgery Analysis", CVPR 2021 (221,247
//! videos, 2.9 million images), the repository yinanhe/ForgeryNet (`Readme.txt`: the lists' columns); where lists and
//! videos lie as in public code that reads them (`Training/video_list.txt`, `Training/video/train_video_release/`).

use super::tree::{self, Item, Tree};
use super::{Layout, Published, Read, Source, unclear};
use crate::error::DataError;
use crate::manifest::{Label, Row};

const NAME: &str = "forgerynet";
const PAPER: &str = "He et al., CVPR 2021";
const PARTS: [(&str, &str); 3] = [("Training", "train"), ("Validation", "val"), ("Test", "test")];

pub(super) const LAYOUT: Layout = Layout {
    name: NAME,
    title: "ForgeryNet",
    looks_for: "Training/ or Validation/ with video_list.txt or image_list.txt",
    published: &[Published { part: "videos", count: 221_247, source: PAPER }],
    recognises,
    read,
    part,
};

fn lists<'a>(tree: &'a Tree, part: &str) -> Vec<&'a str> {
    let folder = part.len() + 1;
    let is_list = |path: &str| {
        let name = &path[folder..];
        !name.contains('/') && name.ends_with(".txt") && (name.contains("video_list") || name.contains("image_list"))
    };
    tree.below(part).iter().map(|f| f.path.as_str()).filter(|p| is_list(p)).collect()
}

fn recognises(tree: &Tree) -> bool {
    PARTS.iter().any(|(part, _)| !lists(tree, part).is_empty())
}

fn part(row: &Row) -> Option<(String, String)> {
    tree::is_video(&row.path).then(|| (String::new(), "videos".to_owned()))
}

fn read(source: &Source) -> Result<Read, DataError> {
    let tree = source.tree;
    let mut read = Read::default();
    for (part, split) in PARTS {
        let lists = lists(tree, part);
        let mut listed = std::collections::BTreeMap::new();
        for list in &lists {
            for (i, line) in tree.text(list)?.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
                let error = |message| DataError::Table { path: tree.root.join(list), row: Some(i + 1), message };
                let (name, label, class) = entry(line, list.contains("video_list")).map_err(error)?;
                let kinds = if list.contains("video_list") { ["video", "videos"] } else { ["image", "images"] };
                let mut places = kinds.iter().map(|k| format!("{part}/{k}/{name}")).chain([format!("{part}/{name}")]);
                let found = places.find_map(|path| {
                    let path = tree.locate(&path)?;
                    tree.file(&path).map(|f| (path.clone(), f.bytes))
                });
                let row = match found {
                    Some((path, bytes)) => source.row(&Item { path, bytes, images: None }, NAME),
                    None => source.missing(&format!("{part}/{}/{name}", kinds[0]), NAME, list),
                };
                let row = Row { identity: format!("{NAME}-{name}"), split: split.to_owned(), ..row };
                let row = match label {
                    Label::Real => row,
                    Label::Fake => source.fake(row, &format!("{NAME}-{class:02}")),
                };
                let row = if (class == 0) == (label == Label::Real) {
                    row
                } else {
                    unclear(row, format!("the list calls it {}, and its class is {class}", label.name()))
                };
                if let Some(other) = listed.insert(row.path.clone(), row.clone())
                    && other != row
                {
                    let path = row.path.clone();
                    listed.insert(path, unclear(row, "two lines of the lists say different things of it".into()));
                }
            }
        }
        let files = ["video", "videos", "image", "images"].iter().flat_map(|k| tree.below(&format!("{part}/{k}")));
        let strays =
            files.filter(|f| (tree::is_video(&f.path) || tree::is_image(&f.path)) && !listed.contains_key(&f.path));
        let strays = strays.map(|f| {
            let item = Item { path: f.path.clone(), bytes: f.bytes, images: None };
            let row = Row { split: split.to_owned(), ..source.row(&item, NAME) };
            unclear(row, if lists.is_empty() { "there is no list" } else { "no list names it" }.to_owned())
        });
        read.rows.extend(strays);
        read.rows.extend(listed.into_values());
    }
    let people = vec!["each file is taken for a person".to_owned()];
    read.note("no_identities", "data set names no people: splitting it by identity proves nothing", people);
    Ok(read)
}

/// Name, label and class of a line.
fn entry(line: &str, is_video: bool) -> Result<(String, Label, u32), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let form = if is_video { "N NAME, N times START COUNT LABEL, then three labels" } else { "NAME and three labels" };
    let error = || format!("expected {form}, found {line:?}");
    let (name, labels) = if is_video {
        let (count, rest) = words.split_first().ok_or_else(error)?;
        let count: usize = count.parse().map_err(|_| error())?;
        let (name, rest) = rest.split_first().ok_or_else(error)?;
        (name, rest.get(count.checked_mul(3).ok_or_else(error)?..).ok_or_else(error)?)
    } else {
        let (name, rest) = words.split_first().ok_or_else(error)?;
        (name, rest)
    };
    let [binary, _, class] = labels else { return Err(error()) };
    let label = match *binary {
        "0" => Label::Real,
        "1" => Label::Fake,
        _ => return Err(error()),
    };
    let class = class.parse().ok().filter(|c| *c <= 15).ok_or_else(error)?;
    Ok(((*name).to_owned(), label, class))
}
