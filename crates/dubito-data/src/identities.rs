//! Who is in which file: a folder's videos, an `identities.csv` beside them, near-duplicate files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dubito_media::Tools;
use image::imageops::FilterType;
use rayon::prelude::*;

use crate::error::DataError;
use crate::finding::Finding;
use crate::layouts::{Table, Tree, has_ending};
use crate::manifest::{Row, Status};

/// Endings of the files that are taken for videos or images.
pub const MEDIA: [&str; 27] = [
    "mp4", "mov", "m4v", "mkv", "webm", "avi", "mpg", "mpeg", "ts", "wmv", "flv", "3gp", "ogv", "mts", "m2ts", "gif",
    "png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "avif", "heic", "heif", "jxl",
];

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
    /// What else the table says of the person.
    pub traits: Traits,
    /// Where the file is another one's near duplicate: that one's name.
    pub duplicate_of: Option<String>,
}

/// What a table may say of a person, as it says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Column `race`.
    pub race: Option<String>,
    /// Column `gender`.
    pub gender: Option<String>,
    /// Column `skin_tone`.
    pub skin_tone: Option<String>,
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
        let Traits { race, gender, skin_tone } = self.traits.clone();
        let row = real_row(self.path.to_string_lossy().into_owned(), &self.name, &self.identity, dataset);
        Row { race, gender, skin_tone, ..row }
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
/// (columns `file,identity`, and `race`, `gender`, `skin_tone` where they are) where there is one. Without it each file is taken for one person, and
/// files that show the same frames (see [`near_duplicates`]) for the same one.
pub fn index(folder: &Path, tools: &Tools) -> Result<Folder, DataError> {
    let tree = Tree::read(folder)?;
    let names: Vec<String> =
        tree.files().iter().map(|f| f.path.clone()).filter(|path| has_ending(path, &MEDIA)).collect();
    if names.is_empty() {
        return Err(DataError::NoMedia { path: folder.to_owned(), seen: tree.files().len() });
    }
    let files: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    // Links that lead out and names that can't be written are in no row: say so.
    let warnings = tree.findings.iter().map(Finding::line).collect();
    let mut found = Folder { warnings, ..Folder::default() };
    let table = folder.join(IDENTITIES);
    if table.symlink_metadata().is_ok() {
        let mut people = read_table(&table)?;
        for (path, name) in files.into_iter().zip(names) {
            let (identity, traits) = people.remove(&name).unwrap_or_else(|| {
                found.warnings.push(format!("{IDENTITIES} does not name {name}: it is taken for a person of its own"));
                (name.clone(), Traits::default())
            });
            found.sources.push(Source { path, name, identity, traits, duplicate_of: None });
        }
        found.missing.extend(people.into_iter().map(|(name, (identity, _))| (name, identity)));
        for (name, _) in &found.missing {
            found.warnings.push(format!("{IDENTITIES} names {name}, which is not there"));
        }
    } else {
        found.warnings.push(format!(
            "no {IDENTITIES} beside the videos: each of the {} files is taken for another person",
            files.len()
        ));
        let original = near_duplicates(&files, tools);
        for ((path, name), original) in files.into_iter().zip(&names).zip(&original) {
            let duplicate_of = original.map(|i| names[i].clone());
            if let Some(other) = &duplicate_of {
                found.warnings.push(format!("{name} shows the same frames as {other}: taken for the same person"));
            }
            let identity = duplicate_of.clone().unwrap_or_else(|| name.clone());
            let traits = Traits::default();
            found.sources.push(Source { path, name: name.clone(), identity, traits, duplicate_of });
        }
    }
    Ok(found)
}

fn read_table(path: &Path) -> Result<BTreeMap<String, (String, Traits)>, DataError> {
    let table = Table::read(path)?;
    let (file, identity) = (table.column("file")?, table.column("identity")?);
    let [race, gender, skin_tone] = ["race", "gender", "skin_tone"].map(|name| table.optional(name));
    let mut people: BTreeMap<String, (String, Traits)> = BTreeMap::new();
    for (i, record) in table.rows().enumerate() {
        let (file, identity) = (&record[file], &record[identity]);
        if file.is_empty() || identity.is_empty() {
            return Err(table.error(Some(i), "neither file nor identity may be empty".into()));
        }
        let said = |column: Option<usize>| column.map(|c| record[c].to_owned()).filter(|text| !text.is_empty());
        let person =
            (identity.to_owned(), Traits { race: said(race), gender: said(gender), skin_tone: said(skin_tone) });
        if let Some(other) = people.insert(file.to_owned(), person.clone())
            && other != person
        {
            let message = match other.0 == identity {
                true => format!("{file} has another race, gender or skin tone here than above"),
                false => format!("{file} is {identity:?} here and {:?} above", other.0),
            };
            return Err(table.error(Some(i), message));
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
        assert_eq!(people["a, b.mp4"], ("p1".to_owned(), Traits::default()));
        assert_eq!(people["c.mp4"].0, "p2");
        std::fs::write(&path, "skin_tone,file,identity,gender\n7,a.mp4,p1,\n").unwrap();
        let tone = Traits { skin_tone: Some("7".into()), ..Traits::default() };
        assert_eq!(read_table(&path).unwrap()["a.mp4"], ("p1".to_owned(), tone));
        for (text, expected) in [
            ("name,who\na,b\n", "file,identity"),
            ("file,identity\na,\n", "row 1"),
            ("file,identity\na,p1\na,p2\n", "row 2"),
            ("file,identity,race\na,p1,x\na,p1,y\n", "another race"),
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
