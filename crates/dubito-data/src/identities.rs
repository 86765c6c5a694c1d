//! Who is in which file: a folder's videos, an `identities.csv` beside them, near-duplicate files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dubito_media::Tools;
use image::imageops::FilterType;
use rayon::prelude::*;

use crate::error::DataError;
use crate::manifest::{Row, Status};

/// Endings of the files that are taken for videos or images.
pub const MEDIA: [&str; 14] =
    ["mp4", "mov", "m4v", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "wmv", "png", "jpg", "jpeg", "webp"];

/// Name of the table that says who is in which file.
pub const IDENTITIES: &str = "identities.csv";

/// One file and the person in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// Its path below the folder, with `/` between the parts.
    pub name: String,
    /// The person.
    pub identity: String,
    /// Where the file is another one's near duplicate: that one's name.
    pub duplicate_of: Option<String>,
}

/// What a folder holds.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// Its videos and images, by name.
    pub sources: Vec<Source>,
    /// Names that the table has and the folder has not.
    pub missing: Vec<(String, String)>,
    /// What the user should know about how the people were told apart.
    pub warnings: Vec<String>,
}

impl Source {
    /// The row of this file as a real video of the data set `dataset`.
    pub fn row(&self, dataset: &str) -> Row {
        real_row(self.path.to_string_lossy().into_owned(), &self.name, &self.identity, dataset)
    }
}

impl Folder {
    /// A row for each file that is there, then those of [`Folder::excluded`].
    pub fn rows(&self, dataset: &str) -> Vec<Row> {
        self.usable().map(|source| source.row(dataset)).chain(self.excluded(dataset)).collect()
    }

    /// The files that are nobody's near duplicate.
    pub fn usable(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| source.duplicate_of.is_none())
    }

    /// The rows of what is not used, each with the reason: near duplicates, and names without a file.
    pub fn excluded(&self, dataset: &str) -> Vec<Row> {
        let duplicates = self.sources.iter().filter_map(|source| {
            let reason = format!("shows the same frames as {}", source.duplicate_of.as_ref()?);
            Some(Row { status: Status::Duplicate, reason: Some(reason), ..source.row(dataset) })
        });
        let missing = self.missing.iter().map(|(name, identity)| Row {
            status: Status::Missing,
            reason: Some(format!("{IDENTITIES} names it, and it is not there")),
            ..real_row(name.clone(), name, identity, dataset)
        });
        duplicates.chain(missing).collect()
    }
}

fn real_row(path: String, name: &str, identity: &str, dataset: &str) -> Row {
    Row {
        path,
        video: name.to_owned(),
        generator: "real".into(),
        identity: identity.to_owned(),
        dataset: dataset.to_owned(),
        compression: "as_found".into(),
        ..Row::default()
    }
}

/// Lists the videos and images below `folder` and the person in each: from `identities.csv`
/// (columns `file,identity`) where there is one. Without it each file is taken for one person, and
/// files that show the same frames (see [`near_duplicates`]) for the same one.
pub fn index(folder: &Path, tools: &Tools) -> Result<Folder, DataError> {
    let mut files = Vec::new();
    let mut others = 0;
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.map_err(|e| DataError::Io {
            path: e.path().unwrap_or(folder).to_owned(),
            source: e.into_io_error().unwrap_or_else(|| std::io::Error::other("a loop of links")),
        })?;
        if !entry.file_type().is_file() {
            continue;
        }
        let ending = entry.path().extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        if ending.is_some_and(|e| MEDIA.contains(&e.as_str())) {
            files.push(entry.into_path());
        } else {
            others += 1;
        }
    }
    if files.is_empty() {
        return Err(DataError::NoMedia { path: folder.to_owned(), seen: others });
    }
    let name = |path: &Path| {
        let below = path.strip_prefix(folder).unwrap_or(path);
        below.components().map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
    };
    let mut found = Folder::default();
    let table = folder.join(IDENTITIES);
    if table.is_file() {
        let mut people = read_table(&table)?;
        for path in files {
            let name = name(&path);
            let identity = people.remove(&name).unwrap_or_else(|| {
                found.warnings.push(format!("{IDENTITIES} does not name {name}: it is taken for a person of its own"));
                name.clone()
            });
            found.sources.push(Source { path, name, identity, duplicate_of: None });
        }
        found.missing.extend(people);
        for (name, _) in &found.missing {
            found.warnings.push(format!("{IDENTITIES} names {name}, which is not there"));
        }
    } else {
        found.warnings.push(format!(
            "no {IDENTITIES} beside the videos: each of the {} files is taken for another person",
            files.len()
        ));
        let original = near_duplicates(&files, tools);
        for (path, original) in files.iter().zip(&original) {
            let duplicate_of = original.map(|i| name(&files[i]));
            let name = name(path);
            if let Some(other) = &duplicate_of {
                found.warnings.push(format!("{name} shows the same frames as {other}: taken for the same person"));
            }
            let identity = duplicate_of.clone().unwrap_or_else(|| name.clone());
            found.sources.push(Source { path: path.clone(), name, identity, duplicate_of });
        }
    }
    Ok(found)
}

fn read_table(path: &Path) -> Result<BTreeMap<String, String>, DataError> {
    let error = |row, message: String| DataError::Table { path: path.to_owned(), row, message };
    let bytes = std::fs::read(path).map_err(DataError::io(path))?;
    let text = String::from_utf8(bytes).map_err(|_| error(None, "expected UTF-8 text".into()))?;
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let headers = reader.headers().map_err(|e| error(None, e.to_string()))?.clone();
    let column = |name: &str| {
        headers.iter().position(|h| h == name).ok_or_else(|| {
            let there = headers.iter().collect::<Vec<_>>().join(",");
            error(None, format!("expected the columns file,identity and found {there}"))
        })
    };
    let (file, identity) = (column("file")?, column("identity")?);
    let mut people: BTreeMap<String, String> = BTreeMap::new();
    for (i, record) in reader.records().enumerate() {
        let record = record.map_err(|e| error(Some(i + 1), e.to_string()))?;
        let (file, identity) = (&record[file], &record[identity]);
        if file.is_empty() || identity.is_empty() {
            return Err(error(Some(i + 1), "neither file nor identity may be empty".into()));
        }
        if let Some(other) = people.insert(file.to_owned(), identity.to_owned())
            && other != identity
        {
            return Err(error(Some(i + 1), format!("{file} is {identity:?} here and {other:?} above")));
        }
    }
    Ok(people)
}

/// Frames of a file that are compared with another file's.
const HASHED_FRAMES: usize = 24;
/// Bits of 64 in which the hashes of two frames of the same picture may differ.
const SAME_PICTURE: u32 = 4;
/// Share of the shorter file's frames that must be found in the other.
const SAME_VIDEO: f64 = 0.75;

/// For each file the first file before it that shows the same frames, if any: at least three
/// quarters of the frames sampled from the one are found in the other, by a difference hash
/// (8 x 8 gradients of the grey picture, equal in all but 4 of 64 bits), which survives another size
/// or another compression. Files that can't be decoded are like no other.
pub fn near_duplicates(files: &[PathBuf], tools: &Tools) -> Vec<Option<usize>> {
    let hashes: Vec<Vec<u64>> = files.par_iter().map(|path| frame_hashes(path, tools)).collect();
    let mut original: Vec<Option<usize>> = vec![None; files.len()];
    for i in 1..files.len() {
        original[i] = (0..i)
            .find(|&j| original[j].is_none() && (shown_in(&hashes[i], &hashes[j]) || shown_in(&hashes[j], &hashes[i])));
    }
    original
}

fn shown_in(part: &[u64], whole: &[u64]) -> bool {
    if part.is_empty() || whole.is_empty() {
        return false;
    }
    let stride = part.len().div_ceil(HASHED_FRAMES);
    let sampled: Vec<_> = part.iter().step_by(stride).collect();
    let found = sampled.iter().filter(|a| whole.iter().any(|b| (**a ^ b).count_ones() <= SAME_PICTURE)).count();
    found as f64 >= SAME_VIDEO * sampled.len() as f64
}

fn frame_hashes(path: &Path, tools: &Tools) -> Vec<u64> {
    let Ok(video) = dubito_media::open(path, tools) else { return Vec::new() };
    video
        .map_while(Result::ok)
        .step_by(2)
        .map(|frame| {
            let grey = image::imageops::grayscale(&image::imageops::thumbnail(&frame.image, 36, 32));
            let small = image::imageops::resize(&grey, 9, 8, FilterType::Triangle);
            let mut bits = 0_u64;
            for y in 0..8 {
                for x in 0..8 {
                    bits = bits << 1 | u64::from(small.get_pixel(x, y)[0] < small.get_pixel(x + 1, y)[0]);
                }
            }
            bits
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_with_its_byte_order_mark_and_carriage_returns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(IDENTITIES);
        std::fs::write(&path, "\u{feff}file,identity\r\n\"a, b.mp4\",p1\r\nc.mp4 , p2\r\n").unwrap();
        let people = read_table(&path).unwrap();
        assert_eq!(people["a, b.mp4"], "p1");
        assert_eq!(people["c.mp4"], "p2");
        for (text, expected) in [
            ("name,who\na,b\n", "file,identity"),
            ("file,identity\na,\n", "row 1"),
            ("file,identity\na,p1\na,p2\n", "row 2"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = read_table(&path).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_file_is_found_in_a_longer_one() {
        let whole: Vec<u64> = (0..100_u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let noisy: Vec<u64> = whole[20..60].iter().map(|h| h ^ 0b101).collect();
        let other: Vec<u64> = (1000..1100_u64).map(|i| i.wrapping_mul(0xc2b2_ae3d_27d4_eb4f)).collect();
        assert!(shown_in(&noisy, &whole));
        assert!(!shown_in(&other, &whole));
        assert!(!shown_in(&[], &whole));
    }
}
