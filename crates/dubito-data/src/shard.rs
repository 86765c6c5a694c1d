//! One extraction shared by several processes: which rows are whose, and one manifest from the parts.
//!
//! Each process takes the rows whose video's name hashes to it, and writes `manifest.<i>-of-<N>.parquet` when it is done.
//! The last one finds all of them there and writes `manifest.parquet`. Two that finish at once both do so, with the same
//! content: each writes its own part first and then looks, so one at least sees them all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::DataError;
use crate::extract::ExtractOptions;
use crate::manifest::{self, Row};

/// Most parts of one job.
const MAX_PARTS: u32 = 100_000;

/// A part of a job: `2/8` is the second of eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    of: u32,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((number, of)) if (1..=of).contains(&number) && of <= MAX_PARTS => Ok(Self { number, of }),
            _ => Err(format!("{text:?} is no part of a whole: 1/8 is the first of eight, 8/8 the last")),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl Shard {
    /// Its number, from 1.
    pub fn number(self) -> u32 {
        self.number
    }

    /// How many there are.
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether a row is this part's: by the BLAKE3 of its video's name (of its path, where it has none) modulo the number
    /// of parts, so that it depends neither on the order of the rows nor on the others.
    pub fn takes(&self, row: &Row) -> bool {
        let name = if row.video.is_empty() { &row.path } else { &row.video };
        let hash = blake3::hash(name.as_bytes());
        let number = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        number % u64::from(self.of) + 1 == u64::from(self.number)
    }

    /// The part's manifest in `store`.
    pub fn manifest(&self, store: &Path) -> PathBuf {
        store.join(format!("manifest.{}-of-{}.parquet", self.number, self.of))
    }
}

/// What a part's manifest says of the whole, under `shard` of its provenance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Whole {
    /// Number of the part, from 1.
    number: u32,
    /// Number of parts.
    of: u32,
    /// BLAKE3 of what all parts were given: the rows of the manifest, and the options.
    job: String,
    /// Rows that all parts were given together.
    rows: usize,
    /// For each row of this part, the number of the row that it came from, from 0.
    from: Vec<usize>,
}

/// What tells one job from another: the rows of the whole manifest, and the options.
pub fn job(rows: &[Row], options: &ExtractOptions) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: String| {
        hasher.update(text.as_bytes()).update(b"\n");
    };
    add(serde_json::to_string(options).unwrap_or_default());
    rows.iter().for_each(|row| add(serde_json::to_string(row).unwrap_or_default()));
    hasher.finalize().to_hex().to_string()
}

/// Writes a part's manifest. `made` holds, for each row of the part, its number in the whole manifest (of `rows` rows) and
/// the rows that came of it; `job` is [`job()`]'s.
///
/// # Errors
/// A store that can't be written to.
pub fn write(
    store: &Path,
    shard: Shard,
    job: &str,
    rows: usize,
    made: Vec<(usize, Vec<Row>)>,
    mut provenance: Value,
) -> Result<PathBuf, DataError> {
    let from = made.iter().flat_map(|(i, rows)| rows.iter().map(|_| *i)).collect();
    let whole = Whole { number: shard.number, of: shard.of, job: job.to_owned(), rows, from };
    provenance["shard"] = serde_json::json!(whole);
    let rows: Vec<Row> = made.into_iter().flat_map(|(_, rows)| rows).collect();
    let path = shard.manifest(store);
    manifest::write(&path, &rows, &provenance.to_string())?;
    Ok(path)
}

/// The whole manifest, written from its parts.
#[derive(Clone, Debug)]
pub struct Merged {
    /// `manifest.parquet` of the store.
    pub path: PathBuf,
    /// Its rows, the same and in the same order as those of one process.
    pub rows: Vec<Row>,
}

/// Writes `manifest.parquet` if all parts of this job are in `store`; otherwise says how many of them are.
///
/// # Errors
/// A part that can't be read, or a store that can't be written to.
pub fn merge_if_whole(store: &Path, shard: Shard, job: &str) -> Result<Result<Merged, u32>, DataError> {
    let mut parts = Vec::new();
    for number in 1..=shard.of {
        let path = Shard { number, ..shard }.manifest(store);
        if path.is_file() {
            let (whole, provenance) = read_whole(&path)?;
            // A part of an earlier job, which the process whose it is will replace.
            if whole.job == job {
                parts.push((path, whole, provenance));
            }
        }
    }
    if parts.len() < shard.of as usize {
        return Ok(Err(parts.len() as u32));
    }
    merge_parts(store, parts).map(Ok)
}

/// Writes `manifest.parquet` from the parts that are in `store`.
///
/// # Errors
/// [`DataError::Shards`] where there are no parts, where some are missing (it names them), or where they are of different
/// jobs.
pub fn merge(store: &Path) -> Result<Merged, DataError> {
    let wrong = |message: String| DataError::Shards { path: store.to_owned(), message };
    let mut found: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir(store).map_err(DataError::io(store))? {
        let name = entry.map_err(DataError::io(store))?.file_name();
        let part = name.to_str().and_then(|n| n.strip_prefix("manifest.")).and_then(|n| n.strip_suffix(".parquet"));
        if let Some((number, of)) = part.and_then(|p| p.split_once("-of-"))
            && let Ok(shard) = format!("{number}/{of}").parse::<Shard>()
        {
            found.entry(shard.of).or_default().insert(shard.number);
        }
    }
    let whole: Vec<u32> = found.iter().filter(|(of, parts)| parts.len() == **of as usize).map(|(of, _)| *of).collect();
    let of = match (whole.as_slice(), found.first_key_value()) {
        ([of], _) => *of,
        ([], None) => return Err(wrong("no parts (manifest.1-of-N.parquet) are here".into())),
        ([], Some(_)) => {
            let missing = found.iter().map(|(of, parts)| {
                let missing: Vec<String> = (1..=*of).filter(|i| !parts.contains(i)).map(|i| i.to_string()).collect();
                format!(
                    "of {of} parts, {} {} missing",
                    missing.join(", "),
                    if missing.len() == 1 { "is" } else { "are" }
                )
            });
            return Err(wrong(missing.collect::<Vec<_>>().join("; ")));
        }
        (several, _) => {
            let several: Vec<String> = several.iter().map(u32::to_string).collect();
            return Err(wrong(format!("parts of several jobs are here: of {} parts", several.join(" and of "))));
        }
    };
    let parts: Vec<(PathBuf, Whole, Value)> = (1..=of)
        .map(|number| {
            let path = Shard { number, of }.manifest(store);
            let (whole, provenance) = read_whole(&path)?;
            Ok((path, whole, provenance))
        })
        .collect::<Result<_, DataError>>()?;
    let first = &parts[0].1.job;
    if let Some((path, ..)) = parts.iter().find(|(_, whole, _)| whole.job != *first) {
        let message = format!("{} is of another manifest or other options than part 1", path.display());
        return Err(wrong(message));
    }
    merge_parts(store, parts)
}

fn read_whole(path: &Path) -> Result<(Whole, Value), DataError> {
    let mut provenance = manifest::provenance(path)?;
    let whole = provenance.as_object_mut().and_then(|all| all.remove("shard")).unwrap_or_default();
    let whole = serde_json::from_value(whole).map_err(|e| DataError::Table {
        path: path.to_owned(),
        row: None,
        message: format!("it does not say which part of a whole it is: {e}"),
    })?;
    Ok((whole, provenance))
}

/// All parts, in their order, to one manifest.
fn merge_parts(store: &Path, parts: Vec<(PathBuf, Whole, Value)>) -> Result<Merged, DataError> {
    let (count, expected) = (parts.len(), parts.first().map_or(0, |(_, whole, _)| whole.rows));
    // The same whichever process merges.
    let mut provenance = parts.first().map(|(.., provenance)| provenance.clone()).unwrap_or_default();
    provenance["shards"] = count.into();
    let mut all: Vec<(usize, Row)> = Vec::new();
    for (path, whole, _) in &parts {
        let rows = manifest::read(path)?;
        if rows.len() != whole.from.len() {
            let message = format!("{} rows, and it says where {} came from", rows.len(), whole.from.len());
            return Err(DataError::Table { path: path.clone(), row: None, message });
        }
        all.extend(whole.from.iter().copied().zip(rows));
    }
    // Stable: the tracks of one video stay in their order.
    all.sort_by_key(|(from, _)| *from);
    let covered: BTreeSet<usize> = all.iter().map(|(from, _)| *from).collect();
    if covered.len() != expected || covered.last().is_some_and(|last| *last >= expected) {
        let message = format!("the parts hold {} of {expected} rows", covered.len());
        return Err(DataError::Shards { path: store.to_owned(), message });
    }
    let rows: Vec<Row> = all.into_iter().map(|(_, row)| row).collect();
    let path = store.join("manifest.parquet");
    manifest::write(&path, &rows, &provenance.to_string())?;
    Ok(Merged { path, rows })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        (0..50)
            .map(|i| Row {
                video: format!("v{i}"),
                path: format!("{i}.mp4"),
                generator: "real".into(),
                identity: format!("p{i}"),
                ..Row::default()
            })
            .collect()
    }

    /// Each row twice, as if there were two tracks.
    fn part(store: &Path, shard: &str, rows: &[Row], job: &str) -> Shard {
        let shard: Shard = shard.parse().unwrap();
        let made = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| shard.takes(row))
            .map(|(i, row)| (i, (0..2).map(|track| Row { track: Some(track), ..row.clone() }).collect::<Vec<_>>()));
        write(store, shard, job, rows.len(), made.collect(), serde_json::json!({ "seed": 0 })).unwrap();
        shard
    }

    #[test]
    fn a_part_is_read_as_it_is_written() {
        assert_eq!("2/8".parse::<Shard>().unwrap().to_string(), "2/8");
        for bad in ["0/8", "9/8", "1", "1/0", "a/b", "-1/3", "1/999999999"] {
            assert!(bad.parse::<Shard>().unwrap_err().contains("8/8 the last"), "{bad}");
        }
    }

    #[test]
    fn every_row_is_one_parts_whatever_the_order() {
        for of in [1, 3, 7] {
            for row in rows() {
                assert_eq!((1..=of).filter(|number| Shard { number: *number, of }.takes(&row)).count(), 1);
            }
        }
        assert!((1..=3).all(|number| rows().iter().any(|row| Shard { number, of: 3 }.takes(row))));
    }

    #[test]
    fn the_parts_make_the_whole_and_what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path();
        let (rows, options) = (rows(), ExtractOptions::default());
        let job = super::job(&rows, &options);
        assert!(merge(store).unwrap_err().to_string().contains("no parts"));
        let third = part(store, "3/3", &rows, &job);
        assert_eq!(merge_if_whole(store, third, &job).unwrap().unwrap_err(), 1);
        part(store, "1/3", &rows, &job);
        part(store, "2/3", &rows, "of an earlier job");
        assert_eq!(merge_if_whole(store, third, &job).unwrap().unwrap_err(), 2);
        let message = merge(store).unwrap_err().to_string();
        assert!(message.contains("manifest.2-of-3.parquet") && message.contains("other options"), "{message}");
        std::fs::remove_file(store.join("manifest.2-of-3.parquet")).unwrap();
        assert!(merge(store).unwrap_err().to_string().contains("of 3 parts, 2 is missing"));
        assert!(!store.join("manifest.parquet").exists());

        part(store, "2/3", &rows, &job);
        let merged = merge(store).unwrap();
        let expected: Vec<Row> =
            rows.iter().flat_map(|row| (0..2).map(|track| Row { track: Some(track), ..row.clone() })).collect();
        assert_eq!(merged.rows, expected);
        let bytes = std::fs::read(&merged.path).unwrap();
        assert_eq!(merge_if_whole(store, third, &job).unwrap().unwrap().rows, expected);
        assert!(std::fs::read(&merged.path).unwrap() == bytes, "the same bytes whoever merges");
        assert_eq!(manifest::provenance(&merged.path).unwrap()["shards"], 3);
        assert_ne!(super::job(&rows, &ExtractOptions { size: 96, ..options.clone() }), job);
        assert_ne!(super::job(&rows[1..], &options), job);
        part(store, "1/1", &rows, &job);
        assert!(merge(store).unwrap_err().to_string().contains("several jobs"));
    }
}
