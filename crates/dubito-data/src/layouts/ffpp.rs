//! FaceForensics++ with DeepFakeDetection and FaceShifter.
//!
//! ```text
//! original_sequences/{youtube,actors}/{raw|c0,c23,c40}/{videos/033.mp4, images/033/0000.png}
//! manipulated_sequences/{Deepfakes,...}/{raw|c0,c23,c40}/{videos/033_097.mp4, images/033_097/0000.png}
//! manipulated_sequences/{Deepfakes,...}/masks/videos/033_097.mp4   (or {c23}/masks/033_097/*.png)
//! ```
//! `033_097` shows the target 033 with the face or the expression of 097. DeepFakeDetection's files are
//! `TARGET_DONOR__scene__CODE.mp4`, its originals `ACTOR__scene.mp4`. The 1000 sequences are cut from 977 videos:
//! where `conversion_dict.json` lies in the root, two sequences of one video are one identity.
//!
//! Sources: Roessler et al., "FaceForensics++: Learning to Detect Manipulated Facial Images", ICCV 2019, and the
//! repository ondyari/FaceForensics (`dataset/README.md`, `dataset/conversion_dict.json`); the masks' folder as its
//! download script makes it, and the masks and numbers of FaceShifter and DeepFakeDetection as the repository
//! SCLBD/DeepfakeBench lists them (`README.md`, `preprocessing/rearrange.py`).

use std::collections::BTreeMap;

use super::tree::{self, Tree};
use super::{Layout, Published, Read, Source, digits, unclear};
use crate::error::DataError;
use crate::manifest::Row;

const NAME: &str = "ffpp";
const PAPER: &str = "Roessler et al., ICCV 2019";
const BENCH: &str = "SCLBD/DeepfakeBench README";
const COPIES: &str = "counted in public copies (SCLBD/DeepfakeBench README: 3000, rounded)";

pub(super) const LAYOUT: Layout = Layout {
    name: NAME,
    title: "FaceForensics++",
    looks_for: "original_sequences/ or manipulated_sequences/ with NAME/{raw,c0,c23,c40}/{videos,images}/",
    published: &[
        Published { part: "youtube", count: 1000, source: PAPER },
        Published { part: "actors", count: 363, source: BENCH },
        Published { part: "Deepfakes", count: 1000, source: PAPER },
        Published { part: "Face2Face", count: 1000, source: PAPER },
        Published { part: "FaceSwap", count: 1000, source: PAPER },
        Published { part: "NeuralTextures", count: 1000, source: PAPER },
        Published { part: "FaceShifter", count: 1000, source: BENCH },
        Published { part: "DeepFakeDetection", count: 3068, source: COPIES },
    ],
    recognises,
    read,
    part,
};

const COMPRESSIONS: [&str; 4] = ["raw", "c0", "c23", "c40"];
const KINDS: [&str; 2] = ["videos", "images"];

fn recognises(tree: &Tree) -> bool {
    ["original_sequences", "manipulated_sequences"].iter().any(|top| {
        tree.folders(top).iter().any(|part| {
            COMPRESSIONS.iter().any(|c| KINDS.iter().any(|kind| tree.has_folder(&format!("{top}/{part}/{c}/{kind}"))))
        })
    })
}

fn part(row: &Row) -> Option<(String, String)> {
    let mut parts = row.path.rsplit('/').skip_while(|p| !KINDS.contains(p));
    let (kind, compression, part) = (parts.next()?, parts.next()?, parts.next()?);
    Some((format!("{compression}/{kind}"), part.to_owned()))
}

/// The identity of each sequence, where the table of original videos says more than its own number.
struct People(BTreeMap<String, String>);

impl People {
    fn read(tree: &Tree) -> Result<Self, DataError> {
        const TABLE: &str = "conversion_dict.json";
        if tree.file(TABLE).is_none() {
            return Ok(Self(BTreeMap::new()));
        }
        let videos: BTreeMap<String, String> =
            serde_json::from_str(&tree.text(TABLE)?).map_err(|e| DataError::Table {
                path: tree.root.join(TABLE),
                row: None,
                message: format!("expected an object of names of sequences and of videos: {e}"),
            })?;
        let mut first: BTreeMap<String, String> = BTreeMap::new();
        let mut people = BTreeMap::new();
        for (sequence, video) in videos {
            let video = video.split(' ').next().unwrap_or_default().to_owned();
            let person = first.entry(video).or_insert_with(|| sequence.clone()).clone();
            people.insert(sequence, person);
        }
        Ok(Self(people))
    }

    fn of(&self, sequence: &str) -> String {
        format!("ffpp-{}", self.0.get(sequence).map_or(sequence, String::as_str))
    }
}

/// The identity of a sequence of FaceForensics++, or target and donor of a fake.
pub(super) fn pair(stem: &str) -> Option<(&str, Option<&str>)> {
    match stem.split_once('_') {
        None if digits(stem, 3) => Some((stem, None)),
        Some((target, donor)) if digits(target, 3) && digits(donor, 3) => Some((target, Some(donor))),
        _ => None,
    }
}

/// Target and donor of a DeepFakeDetection fake, or the actor of an original.
fn actors(stem: &str) -> Option<(&str, Option<&str>)> {
    let (who, _) = stem.split_once("__")?;
    match who.split_once('_') {
        None if digits(who, 2) => Some((who, None)),
        Some((target, donor)) if digits(target, 2) && digits(donor, 2) => Some((target, Some(donor))),
        _ => None,
    }
}

fn read(source: &Source) -> Result<Read, DataError> {
    let tree = source.tree;
    let people = People::read(tree)?;
    let mut read = Read::default();
    let mut strange = Vec::new();
    for (top, is_fake) in [("original_sequences", false), ("manipulated_sequences", true)] {
        for part in tree.folders(top) {
            let by_actors = if is_fake { part == "DeepFakeDetection" } else { part == "actors" };
            let common = masks(tree, &format!("{top}/{part}/masks"));
            for compression in tree.folders(&format!("{top}/{part}")) {
                let folder = format!("{top}/{part}/{compression}");
                if compression == "masks" {
                    continue;
                }
                if !COMPRESSIONS.contains(&compression) {
                    strange.push(folder);
                    continue;
                }
                let own = masks(tree, &format!("{folder}/masks"));
                for item in KINDS.iter().flat_map(|kind| tree.items(&format!("{folder}/{kind}"))) {
                    let stem = item.stem();
                    let compression = if compression == "c0" { "raw" } else { compression };
                    let mut row = Row { compression: compression.to_owned(), ..source.row(&item, NAME) };
                    if is_fake {
                        row = source.fake(row, part);
                        row.mask = own.get(stem).or_else(|| common.get(stem)).cloned();
                    }
                    let who = if by_actors { actors(stem) } else { pair(stem) };
                    let person = |id: &str| if by_actors { format!("dfd-{id}") } else { people.of(id) };
                    read.rows.push(match who {
                        Some((target, donor)) if donor.is_some() == is_fake => {
                            Row { identity: person(target), donor: donor.map(person), ..row }
                        }
                        _ => {
                            let form = match (by_actors, is_fake) {
                                (true, true) => "TARGET_DONOR__scene__CODE",
                                (true, false) => "ACTOR__scene",
                                (false, true) => "TARGET_DONOR, of three digits each",
                                (false, false) => "three digits",
                            };
                            unclear(row, format!("the name does not say who is in it; expected {form}"))
                        }
                    });
                }
            }
        }
    }
    read.note("strange_folder", "folders are no compression (raw, c0, c23, c40) and were left out", strange);
    Ok(read)
}

/// Masks below a folder: a video, or a folder of images, for each name.
fn masks(tree: &Tree, folder: &str) -> BTreeMap<String, String> {
    tree.items(folder).into_iter().map(|item| (tree::stem(&item.path).to_owned(), item.path)).collect()
}
