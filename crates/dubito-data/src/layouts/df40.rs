//! DF40, its preprocessed frames.
//!
//! ```text
//! METHOD/{ff,cdf}/[frames/]VIDEO/*.png        31 methods on FaceForensics++ and Celeb-DF, fakes only
//! METHOD/{real,fake}/[frames/]VIDEO/*.png     9 methods with real data of their own
//! ```
//! VIDEO keeps the name it has in its source (`000_003`, `id0_id1_0000`), and the identities are those of the layouts
//! `ffpp` and `celebdf`. With DF40's JSON files, which also say what is for training, use the layout `deepfakebench`.
//!
//! Sources: Yan et al., "DF40: Toward Next-Generation Deepfake Detection", NeurIPS Datasets and Benchmarks 2024, and
//! the repository YZY-stack/DF40 (`README.md`: methods, their sources, real data inside the folders of nine of them).

use super::tree::Tree;
use super::{Layout, Read, Source, celebdf, digits, ffpp};
use crate::error::DataError;
use crate::manifest::Row;

const NAME: &str = "df40";

pub(super) const LAYOUT: Layout = Layout {
    name: NAME,
    title: "DF40",
    looks_for: "METHOD/ff/ or METHOD/cdf/ with a folder of frames for each video",
    published: &[],
    recognises,
    read,
    part: |_| None,
};

fn recognises(tree: &Tree) -> bool {
    tree.folders("").iter().any(|method| ["ff", "cdf"].iter().any(|s| tree.has_folder(&format!("{method}/{s}"))))
}

/// Identity and donor that a video's name gives, in a source whose names say it.
pub(super) fn people(domain: &str, stem: &str) -> Option<(String, Option<String>)> {
    match domain {
        "ff" => ffpp::pair(stem).map(|(a, b)| (format!("ffpp-{a}"), b.map(|b| format!("ffpp-{b}")))),
        "cdf" if digits(stem, 5) => Some((format!("celebdf-youtube-{stem}"), None)),
        "cdf" => celebdf::pair(stem).map(|(a, b)| (format!("celebdf-{a}"), b.map(|b| format!("celebdf-{b}")))),
        _ => None,
    }
}

fn read(source: &Source) -> Result<Read, DataError> {
    let tree = source.tree;
    let mut read = Read::default();
    let mut own = Vec::new();
    for method in tree.folders("") {
        for domain in ["ff", "cdf", "fake", "real"] {
            for item in tree.items(&format!("{method}/{domain}")) {
                let row = source.row(&item, NAME);
                let row = if domain == "real" { row } else { source.fake(row, method) };
                let (identity, donor) = people(domain, item.stem()).unwrap_or_else(|| {
                    own.push(item.path.clone());
                    (format!("{NAME}-{method}-{}", item.stem()), None)
                });
                read.rows.push(Row { identity, donor, ..row });
            }
        }
    }
    read.note("own_identity", "names give no person: each is taken for one", own);
    Ok(read)
}
