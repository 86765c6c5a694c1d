//! Who is in which file: a folder's videos, an `identities.csv` beside them, files that show the same frames.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dubito_media::Tools;

use crate::error::DataError;
use crate::finding::Finding;
use crate::layouts::{Table, Tree, is_media};
use crate::manifest::{Row, Status};
use crate::same_frames::same_frames;

/// Name of the table that says who is in which file.
pub const IDENTITIES: &str = "identities.csv";

/// Name of the folder, in a step's own, in which is kept which files show the same frames.
pub const SAME_FRAMES: &str = "same_frames";

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
    /// Where the file [shows the same frames](crate::same_frames) as another one, directly or over others: that one's name.
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
    pub missing: Vec<Missing>,
    /// What the user should know about how the people were told apart.
    pub warnings: Vec<String>,
}

/// A name in the table that is no file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The name.
    pub name: String,
    /// The person.
    pub identity: String,
    /// Why it is no file's, in words.
    pub reason: String,
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

    /// The files that show the same frames as no file before them.
    pub fn usable(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| source.duplicate_of.is_none())
    }

    /// The rows of what is not used, each with the reason: files that show the same frames as another, and names without a file.
    pub fn excluded(&self, dataset: &str) -> Vec<Row> {
        let duplicates = self.sources.iter().filter_map(|source| {
            let reason = same_frames_as(source.duplicate_of.as_ref()?);
            Some(Row { status: Status::Duplicate, reason: Some(reason), ..source.row(dataset) })
        });
        let missing = self.missing.iter().map(|Missing { name, identity, reason }| Row {
            status: Status::Missing,
            reason: Some(format!("{IDENTITIES} names it, and {reason}")),
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

/// Whether a folder, or one in it, holds a file that [`index`] takes for a video or an image.
pub fn holds_media(folder: &Path) -> bool {
    Tree::read(folder).is_ok_and(|tree| tree.files().iter().any(|file| is_media(&file.path)))
}

/// Lists the videos and images below `folder` and the person in each: from `identities.csv`
/// (columns `file,identity`, and `race`, `gender`, `skin_tone` where they are) where there is one. Without it each file is
/// taken for one person, and files that [show the same frames](crate::same_frames) for the same one. What systems leave
/// beside files, and hidden files, are passed over and counted. What is seen of the frames is written into `kept`, where one
/// is given, so that a run that is stopped goes on.
///
/// # Errors
/// A folder or table that can't be read or has no video; a table that contradicts itself; `kept` can't be written to.
pub fn index(folder: &Path, kept: Option<&Path>, tools: &Tools) -> Result<Folder, DataError> {
    let tree = Tree::read(folder)?;
    let names: Vec<String> = media(&tree);
    // Links that lead out and names that can't be written are in no row: say so.
    let warnings: Vec<String> = tree.findings.iter().chain(&tree.unfinished()).map(Finding::line).collect();
    if names.is_empty() {
        return Err(DataError::NoMedia { path: folder.to_owned(), seen: tree.files().len(), passed_over: warnings });
    }
    let files: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    let mut found = Folder { warnings, ..Folder::default() };
    let is_there = || folder.join(IDENTITIES).symlink_metadata().is_ok();
    if let Some(table) = tree.locate(IDENTITIES).or_else(|| is_there().then(|| IDENTITIES.to_owned())) {
        let path = folder.join(&table);
        let mut people = tree.adopt(&path, read_table(&path)?)?;
        for (path, name) in files.into_iter().zip(names) {
            let (identity, traits) = people.remove(&name).unwrap_or_else(|| {
                found.warnings.push(format!("{IDENTITIES} does not name {name}: it is taken for a person of its own"));
                (name.clone(), Traits::default())
            });
            found.sources.push(Source { path, name, identity, traits, duplicate_of: None });
        }
        found.missing.extend(people.into_iter().map(|(name, (identity, _))| {
            let reason = tree.why_missing(&name);
            Missing { name, identity, reason }
        }));
        found.warnings.extend(tree.heard().iter().map(Finding::line));
        for Missing { name, reason, .. } in &found.missing {
            found.warnings.push(format!("{IDENTITIES} names {name}: {reason}"));
        }
    } else {
        found.warnings.push(format!(
            "no {IDENTITIES} beside the videos: each of the {} files is taken for another person",
            files.len()
        ));
        let original = same_frames(&files, kept, tools)?;
        for ((path, name), original) in files.into_iter().zip(&names).zip(&original) {
            let duplicate_of = original.map(|i| names[i].clone());
            if let Some(other) = &duplicate_of {
                found.warnings.push(format!("{name} {}: taken for the same person", same_frames_as(other)));
            }
            let identity = duplicate_of.clone().unwrap_or_else(|| name.clone());
            let traits = Traits::default();
            found.sources.push(Source { path, name: name.clone(), identity, traits, duplicate_of });
        }
    }
    Ok(found)
}

fn same_frames_as(other: &str) -> String {
    format!("shows the same frames as {other}, directly or over other files")
}

/// How many videos and images lie below `folder`.
///
/// # Errors
/// A folder that can't be read.
pub fn count(folder: &Path) -> Result<usize, DataError> {
    Ok(media(&Tree::read(folder)?).len())
}

fn media(tree: &Tree) -> Vec<String> {
    tree.files().iter().map(|f| f.path.clone()).filter(|path| is_media(path)).collect()
}

fn read_table(path: &Path) -> Result<BTreeMap<String, (String, Traits)>, DataError> {
    let table = Table::read(path)?;
    let (Some(file), Some(identity)) = (table.optional("file"), table.optional("identity")) else {
        return Err(table.error(None, format!("expected the columns file,identity; there are {}", table.names())));
    };
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
}
