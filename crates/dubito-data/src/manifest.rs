//! The manifest: one row for every video (or face track) that was given, whatever became of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema};
use dubito_table::{Block, Fault, Format, Kind, Table, TableError, Wanted, cut, is_missing};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// Most rows a manifest may hold: a limit on what a foreign file can make us allocate.
const MAX_ROWS: usize = 50_000_000;

/// What became of a video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Status {
    /// Indexed, forged or extracted as asked.
    #[default]
    Ok,
    /// Decoded, and no face was found in any frame that was looked at.
    NoFace,
    /// A face was followed for fewer frames than were asked for.
    TooShort,
    /// A face was followed for long enough, but too few frames are as good as was asked for.
    LowQuality,
    /// The file holds much less than it declares, or has times that no video has.
    Inconsistent,
    /// The file could not be decoded.
    Unreadable,
    /// A table names the file, and it is not there.
    Missing,
    /// The file shows the same frames as another one.
    Duplicate,
    /// Tables or names say nothing of the file, or say two different things.
    Unclear,
}

impl Status {
    const NAMES: [(Self, &str); 9] = [
        (Self::Ok, "ok"),
        (Self::NoFace, "no_face"),
        (Self::TooShort, "too_short"),
        (Self::LowQuality, "low_quality"),
        (Self::Inconsistent, "inconsistent"),
        (Self::Unreadable, "unreadable"),
        (Self::Missing, "missing"),
        (Self::Duplicate, "duplicate"),
        (Self::Unclear, "unclear"),
    ];

    /// The name as it stands in a manifest.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(s, _)| *s == self).map_or("ok", |(_, n)| n)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Status> for String {
    fn from(status: Status) -> Self {
        status.name().to_owned()
    }
}

impl FromStr for Status {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::NAMES.iter().find(|(_, n)| *n == text).map(|(s, _)| *s).ok_or_else(|| {
            let known: Vec<_> = Self::NAMES.iter().map(|(_, n)| *n).collect();
            format!("status {text:?} is none of {}", known.join(", "))
        })
    }
}

impl TryFrom<String> for Status {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Real or fake, the label of a binary task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Label {
    /// Nobody changed what the video shows.
    #[default]
    Real,
    /// A generator changed it.
    Fake,
}

impl Label {
    /// The name as it stands in a manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Fake => "fake",
        }
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.name().to_owned()
    }
}

impl TryFrom<String> for Label {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let number = text.parse::<f64>().ok();
        match text.to_ascii_lowercase().as_str() {
            "real" | "false" => Ok(Self::Real),
            "fake" | "true" => Ok(Self::Fake),
            // 0, 0.0 and 0.000e+00, as a column of floats writes it.
            _ if number == Some(0.0) => Ok(Self::Real),
            _ if number == Some(1.0) => Ok(Self::Fake),
            _ => Err(format!("label {text:?} is neither real nor fake")),
        }
    }
}

/// One row of a manifest. Paths are relative to the manifest's folder where they lie below it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The video's file.
    pub path: String,
    /// Real or fake.
    #[serde(default)]
    pub label: Label,
    /// What made a fake; `real` for a real video and for a null control.
    pub generator: String,
    /// The person who is seen (of a fake: whose video it was).
    pub identity: String,
    /// The person whose face or mouth was put in.
    pub donor: Option<String>,
    /// The data set that the video belongs to.
    pub dataset: String,
    /// How the video was compressed, e.g. `crf23`, `qp23`, `raw`, or `as_found`.
    pub compression: String,
    /// The fold or split the video belongs to, empty where none was made.
    #[serde(default)]
    pub split: String,
    /// What became of the video.
    #[serde(default)]
    pub status: Status,
    /// Why, where the status is not `ok`; a remark otherwise.
    pub reason: Option<String>,
    /// The name of the video, unique in the manifest.
    #[serde(default)]
    pub video: String,
    /// The part of a split that splits never cut: donors come from the same cell as their target.
    pub cell: Option<String>,
    /// Of a null control: the generator whose warp, blend and encoder it went through.
    pub control: Option<String>,
    /// The file that says which pixels were changed.
    pub mask: Option<String>,
    /// Of a forged video: the frames that could not be forged and show what is true, e.g. `0-3 7`.
    pub real_frames: Option<String>,
    /// The extracted clip.
    pub clip: Option<String>,
    /// The number of the face track in the video.
    pub track: Option<u32>,
    /// Frames in the clip (or in the forged video).
    pub frames: Option<u32>,
    /// Width in pixels as displayed.
    pub width: Option<u32>,
    /// Height in pixels as displayed.
    pub height: Option<u32>,
    /// Size of the file.
    pub bytes: Option<u64>,
    /// BLAKE3 of the file, in hexadecimal.
    pub blake3: Option<String>,
    /// What decoded the file, with its version.
    pub decoder: Option<String>,
    /// What encoded the file, with its settings and version.
    pub encoder: Option<String>,
    /// The file that a forged video was made from.
    pub source: Option<String>,
    /// Seed of whatever was drawn at random.
    pub seed: Option<u64>,
    /// A second person who was put in, e.g. whose voice drives the mouth of a swapped face.
    pub donor2: Option<String>,
    /// What the data set says of the person's race or origin, in its own words.
    pub race: Option<String>,
    /// What the data set says of the person's gender, in its own words.
    pub gender: Option<String>,
    /// What the data set says of the person's skin tone, in its own words.
    pub skin_tone: Option<String>,
    /// `real` or `fake`, where the data set says whether the sound was synthesised.
    pub audio: Option<String>,
}

impl Row {
    /// The frames named in [`Row::real_frames`]; what is no number or range is passed over.
    pub fn frames_that_are_real(&self) -> BTreeSet<u64> {
        let range = |text: &str| -> Option<std::ops::RangeInclusive<u64>> {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            (last < 1 << 20).then_some(first..=last)
        };
        self.real_frames.as_deref().unwrap_or_default().split(' ').filter_map(range).flatten().collect()
    }

    /// Everyone who is in the video: whose it was, and who was put in. A split must keep them together.
    pub fn people(&self) -> impl Iterator<Item = &str> {
        [Some(&self.identity), self.donor.as_ref(), self.donor2.as_ref()].into_iter().flatten().map(String::as_str)
    }
}

fn fields() -> Vec<FieldRef> {
    use DataType::{UInt32, UInt64, Utf8};
    let required = |name: &str| Arc::new(Field::new(name, Utf8, false));
    let optional = |name: &str, kind: DataType| Arc::new(Field::new(name, kind, true));
    let mut fields: Vec<FieldRef> = ["path", "label", "generator", "identity"].map(required).into();
    fields.push(optional("donor", Utf8));
    fields.extend(["dataset", "compression", "split", "status"].map(required));
    fields.push(optional("reason", Utf8));
    fields.push(required("video"));
    fields.extend(["cell", "control", "mask", "clip"].map(|n| optional(n, Utf8) as FieldRef));
    fields.extend(["track", "frames", "width", "height"].map(|n| optional(n, UInt32) as FieldRef));
    fields.push(optional("bytes", UInt64));
    fields.extend(["blake3", "decoder", "encoder", "source"].map(|n| optional(n, Utf8) as FieldRef));
    fields.push(optional("seed", UInt64));
    fields.extend(
        ["donor2", "race", "gender", "skin_tone", "audio", "real_frames"].map(|n| optional(n, Utf8) as FieldRef),
    );
    fields
}

fn table_error(path: &Path, row: Option<usize>, message: impl fmt::Display) -> DataError {
    DataError::Table { path: path.to_owned(), row, message: message.to_string() }
}

/// Writes a manifest, as CSV where the name ends in `.csv` and as Parquet otherwise; atomically.
/// `provenance` (a JSON text: seed, versions, command line) is kept in the Parquet file's metadata
/// under `dubito`; CSV has no place for it.
pub fn write(path: &Path, rows: &[Row], provenance: &str) -> Result<(), DataError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(DataError::io(folder))?;
    let mut temporary = dubito_media::temporary::file_in(folder).map_err(DataError::io(folder))?;
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
        let mut writer = csv::Writer::from_writer(temporary.as_file_mut());
        for row in rows {
            writer.serialize(row).map_err(|e| table_error(path, None, e))?;
        }
        writer.flush().map_err(DataError::io(path))?;
    } else {
        let fields = fields();
        let schema = Arc::new(Schema::new(fields.clone()));
        let properties = WriterProperties::builder()
            .set_compression(parquet::basic::Compression::SNAPPY)
            .set_key_value_metadata(Some(vec![KeyValue::new("dubito".to_owned(), provenance.to_owned())]))
            .build();
        let failed = |e: parquet::errors::ParquetError| table_error(path, None, e);
        let mut writer = ArrowWriter::try_new(temporary.as_file_mut(), schema, Some(properties)).map_err(failed)?;
        for part in rows.chunks(65_536) {
            let batch = serde_arrow::to_record_batch(&fields, &part).map_err(|e| table_error(path, None, e))?;
            writer.write(&batch).map_err(failed)?;
        }
        writer.close().map_err(failed)?;
    }
    temporary.as_file_mut().flush().map_err(DataError::io(path))?;
    temporary.persist(path).map_err(|e| DataError::Io { path: path.to_owned(), source: e.error })?;
    Ok(())
}

/// Reads a manifest, in any format that [`dubito_table`] reads: CSV, Parquet and others, plain or gzip, told by the content.
/// Columns it doesn't know are passed over; a required column that is missing is an error that says which columns there
/// are. What pandas, R and others make of a table is read as it was meant: `32.0` for 32, `nan` for nothing. Without a
/// label the generator says it.
///
/// # Errors
/// A file that can't be read as a table; a cell that is not what its column holds, with its row; a video without a person;
/// rows that contradict themselves or each other, see [`check`].
pub fn read(path: &Path) -> Result<Vec<Row>, DataError> {
    let mut rows = read_rows(path)?;
    check(path, &mut rows)?;
    Ok(rows)
}

fn read_rows(path: &Path) -> Result<Vec<Row>, DataError> {
    let table = Table::open(path)?;
    check_columns(path, &table.names)?;
    let mut wanted = Vec::new();
    for (name, kind, expected) in COLUMNS {
        if let Some(column) = table.column(name) {
            wanted.push(Wanted { column, name: name.to_owned(), kind, expected });
        }
    }
    let mut rows = Vec::new();
    let read = table.read(
        &wanted,
        |block| (0..block.rows).map(|row| Cells { block: &block, wanted: &wanted, row }.row()).collect(),
        |part: Vec<Row>, _| {
            rows.extend(part);
            match rows.len() {
                0..=MAX_ROWS => Ok(true),
                _ => Err(table_error(path, None, format!("more than {MAX_ROWS} rows; at most so many are read"))),
            }
        },
    );
    match read {
        Ok(()) | Err(DataError::Foreign(TableError::Empty { .. })) => Ok(rows),
        Err(error) => Err(error),
    }
}

/// The columns that are read, as what, and what an error says was expected.
const COLUMNS: [(&str, Kind, &str); 31] = {
    use Kind::{Name, Text, Whole};
    const NUMBER: &str = "a whole number, 0 or more";
    [
        ("path", Text, "the video's file"),
        ("label", Text, LABELS),
        ("generator", Name, "a generator"),
        ("identity", Name, "the person who is seen (where that is not known, the file's own name)"),
        ("donor", Name, "a person"),
        ("dataset", Name, "a data set"),
        ("compression", Text, "a compression"),
        ("split", Name, "a split"),
        ("status", Text, "a status"), // of which one is `missing`
        ("reason", Text, "text"),
        ("video", Name, "the name of the video"),
        ("cell", Name, "a cell"),
        ("control", Name, "a generator"),
        ("mask", Name, "a file"),
        ("real_frames", Name, "frames"),
        ("clip", Name, "a file"),
        ("track", Whole, NUMBER),
        ("frames", Whole, NUMBER),
        ("width", Whole, NUMBER),
        ("height", Whole, NUMBER),
        ("bytes", Whole, NUMBER),
        ("blake3", Name, "a hash"),
        ("decoder", Name, "text"),
        ("encoder", Name, "text"),
        ("source", Name, "a file"),
        ("seed", Whole, NUMBER),
        ("donor2", Name, "a person"),
        ("race", Name, "text"),
        ("gender", Name, "text"),
        ("skin_tone", Name, "text"),
        ("audio", Name, "real or fake"),
    ]
};

const LABELS: &str = "real or fake (0 or 1, false or true)";

/// One row of a block.
struct Cells<'a> {
    block: &'a Block,
    wanted: &'a [Wanted],
    row: usize,
}

impl Cells<'_> {
    fn slot(&self, name: &str) -> Option<usize> {
        self.wanted.iter().position(|wanted| wanted.name == name)
    }

    fn text(&self, name: &str) -> &str {
        self.block.text(self.slot(name), self.row)
    }

    fn owned(&self, name: &str) -> String {
        self.text(name).to_owned()
    }

    fn optional(&self, name: &str) -> Option<String> {
        Some(self.owned(name)).filter(|text| !text.is_empty())
    }

    fn number<T: TryFrom<u64>>(&self, name: &str) -> Result<Option<T>, Fault> {
        let Some(value) = self.block.whole(self.slot(name), self.row) else { return Ok(None) };
        T::try_from(value).map(Some).map_err(|_| self.bad(name, value.to_string(), "a smaller number"))
    }

    fn bad(&self, name: &str, found: impl Into<String>, expected: impl Into<String>) -> Fault {
        Fault::cell(self.row, name, found, expected)
    }

    /// The fault of a cell that says nothing.
    fn nothing(&self, name: &str) -> Fault {
        let expected = COLUMNS.iter().find(|(column, ..)| *column == name).map_or("a value", |(.., expected)| expected);
        self.bad(name, "nothing", expected)
    }

    /// Label and generator, of which one says the other where that says nothing.
    fn made_by(&self) -> Result<(Label, String), Fault> {
        let (label, generator) = (self.text("label"), self.text("generator"));
        let label = match (label, generator) {
            ("", "") => return Err(self.nothing("label")),
            ("", generator) if generator.eq_ignore_ascii_case(crate::classes::REAL) => Label::Real,
            ("", _) => Label::Fake,
            (text, _) => {
                Label::try_from(text.to_owned()).map_err(|_| self.bad("label", format!("{:?}", cut(text)), LABELS))?
            }
        };
        Ok(match (label, generator) {
            (Label::Real, "") => (label, crate::classes::REAL.to_owned()),
            (Label::Fake, "") => (label, "unknown".to_owned()),
            (label, generator) => (label, generator.to_owned()),
        })
    }

    fn row(&self) -> Result<Row, Fault> {
        let (label, generator) = self.made_by()?;
        let status = match self.text("status") {
            // `missing` is a status, whatever else it is elsewhere.
            text if text != Status::Missing.name() && is_missing(text) => Status::default(),
            text => text.parse().map_err(|problem: String| Fault::row(self.row, problem))?,
        };
        if self.text("path").is_empty() {
            return Err(self.nothing("path"));
        }
        if self.text("identity").is_empty() && status == Status::Ok {
            return Err(self.nothing("identity"));
        }
        Ok(Row {
            path: self.owned("path"),
            label,
            generator,
            identity: self.owned("identity"),
            donor: self.optional("donor"),
            dataset: self.owned("dataset"),
            compression: self.owned("compression"),
            split: self.owned("split"),
            status,
            reason: self.optional("reason"),
            video: self.owned("video"),
            cell: self.optional("cell"),
            control: self.optional("control"),
            mask: self.optional("mask"),
            real_frames: self.optional("real_frames"),
            clip: self.optional("clip"),
            track: self.number("track")?,
            frames: self.number("frames")?,
            width: self.number("width")?,
            height: self.number("height")?,
            bytes: self.number("bytes")?,
            blake3: self.optional("blake3"),
            decoder: self.optional("decoder"),
            encoder: self.optional("encoder"),
            source: self.optional("source"),
            seed: self.number("seed")?,
            donor2: self.optional("donor2"),
            race: self.optional("race"),
            gender: self.optional("gender"),
            skin_tone: self.optional("skin_tone"),
            audio: self.optional("audio"),
        })
    }
}

/// The folder that the paths in a manifest are relative to: its own; of what comes through a pipe, the current one.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|_| !dubito_table::is_stream(path)).unwrap_or(Path::new(""))
}

/// Refuses rows of which one contradicts itself or two each other: a real video with a generator, a fake of none, one file
/// (in whatever spelling of its path) both real and fake, one name for two files. A generator `Real` becomes `real`.
/// [`crate::names::refuse_two_labels`] looks at the files themselves, too.
///
/// # Errors
/// [`DataError::Table`] with the rows, what was expected and what was found.
pub fn check(path: &Path, rows: &mut [Row]) -> Result<(), DataError> {
    let real = crate::classes::REAL;
    // What is not used contradicts nothing.
    for (i, row) in rows.iter_mut().enumerate().filter(|(_, row)| row.status == Status::Ok) {
        let wrong = |message: String| Err(table_error(path, Some(i + 1), message));
        if row.path.trim().is_empty() {
            return wrong("path: expected a file, found nothing".into());
        }
        if row.generator.trim().eq_ignore_ascii_case(real) {
            row.generator = real.to_owned();
        }
        match row.label {
            Label::Real if row.generator != real && !row.generator.is_empty() => {
                let message =
                    format!("generator: expected real, as the label is (or lacks), found {:?}", row.generator);
                return wrong(message);
            }
            Label::Fake if row.generator == real => {
                return wrong("generator: expected what made the fake, found \"real\" with the label fake".into());
            }
            _ => {}
        }
    }
    // Of a path without a folder the current one.
    let folder = std::path::absolute(folder(path).join(".")).unwrap_or_default();
    let mut files: HashMap<String, usize> = HashMap::new();
    let mut names: HashMap<&str, usize> = HashMap::new();
    for (i, row) in rows.iter().enumerate().filter(|(_, row)| row.status == Status::Ok) {
        let file = crate::names::canonical(&folder.join(&row.path).to_string_lossy());
        let first = *files.entry(file).or_insert(i);
        if rows[first].label != row.label {
            return Err(crate::names::two_labels_error(path, rows, first, i));
        }
        let named = *names.entry(row.video.as_str()).or_insert(first);
        if !row.video.is_empty() && named != first {
            let message = format!(
                "video: {:?} is the name of {:?} here and of {:?} in row {}; expected another name for each file",
                row.video,
                row.path,
                rows[named].path,
                named + 1
            );
            return Err(table_error(path, Some(i + 1), message));
        }
    }
    Ok(())
}

/// The rows with paths as a manifest in `folder` has them: relative to it where they lie below it, absolute otherwise.
/// They were relative to `root`, which may be a relative path itself.
pub fn rebase(rows: Vec<Row>, root: &Path, folder: &Path) -> Vec<Row> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (root, folder) = (absolute(root), absolute(folder));
    let place = |path: String| {
        let full = root.join(path);
        full.strip_prefix(&folder).unwrap_or(&full).to_string_lossy().into_owned()
    };
    let rebased = |row: Row| Row { path: place(row.path), mask: row.mask.map(place), clip: row.clip.map(place), ..row };
    rows.into_iter().map(rebased).collect()
}

/// In what two rows of one file differ, where both say something: "label real and fake".
pub fn differences(a: &Row, b: &Row) -> Vec<String> {
    type Field = fn(&Row) -> &str;
    let fields: [(&str, Field); 9] = [
        ("label", |r| r.label.name()),
        ("generator", |r| &r.generator),
        ("identity", |r| &r.identity),
        ("donor", |r| r.donor.as_deref().unwrap_or("")),
        ("donor2", |r| r.donor2.as_deref().unwrap_or("")),
        ("dataset", |r| &r.dataset),
        ("compression", |r| &r.compression),
        ("split", |r| &r.split),
        ("blake3", |r| r.blake3.as_deref().unwrap_or("")),
    ];
    let differ = fields.iter().filter(|(_, of)| of(a) != of(b) && !of(a).is_empty() && !of(b).is_empty());
    differ.map(|(name, of)| format!("{name} {} and {}", of(a), of(b))).collect()
}

/// Several manifests as one, whose rows have paths relative to one folder (see [`rebase`]). A file that is in two is
/// one row; where the two disagree its status is `unclear`, and it is listed. Names of videos that two files share are
/// made different by the data set's name.
pub fn merge(parts: Vec<Vec<Row>>) -> (Vec<Row>, Vec<String>) {
    let mut merged: BTreeMap<String, Row> = BTreeMap::new();
    let mut disagreements = Vec::new();
    for row in parts.into_iter().flatten() {
        match merged.get_mut(&row.path) {
            None => {
                merged.insert(row.path.clone(), row);
            }
            Some(first) => {
                let differences = differences(first, &row);
                if !differences.is_empty() {
                    disagreements.push(format!("{} ({})", row.path, differences.join(", ")));
                    first.status = Status::Unclear;
                    first.reason = Some(format!("two manifests disagree: {}", differences.join(", ")));
                }
            }
        }
    }
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for row in merged.values() {
        *count.entry(row.video.clone()).or_default() += 1;
    }
    let mut rows: Vec<Row> = merged.into_values().collect();
    for row in rows.iter_mut().filter(|r| count[&r.video] > 1) {
        row.video = format!("{}/{}", row.dataset, row.path);
    }
    (rows, disagreements)
}

/// The provenance that a Parquet manifest was written with, see [`write()`]; nothing where there is none.
///
/// # Errors
/// A file that is no Parquet file.
pub fn provenance(path: &Path) -> Result<serde_json::Value, DataError> {
    let table = Table::open(path)?;
    if table.format != Format::Parquet {
        return Err(table_error(path, None, format!("not a Parquet file: {}", table.format.name())));
    }
    Ok(table.metadata("dubito")?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

fn check_columns(path: &Path, present: &[String]) -> Result<(), DataError> {
    let required = ["path", "generator", "identity", "dataset", "compression"];
    let missing: Vec<&str> = required.into_iter().filter(|name| !present.iter().any(|column| column == name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("column {} is missing; there are {}", missing.join(", "), present.join(", "));
    Err(table_error(path, None, message))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::File;

    use super::*;

    fn rows() -> Vec<Row> {
        vec![
            Row {
                path: "videos/a \"quoted\", name.mp4".into(),
                generator: "real".into(),
                identity: "p01".into(),
                dataset: "forged".into(),
                compression: "crf23".into(),
                video: "a".into(),
                frames: Some(32),
                ..Row::default()
            },
            Row {
                path: "videos/b.mp4".into(),
                label: Label::Fake,
                generator: "faceswap".into(),
                identity: "p01".into(),
                donor: Some("p02".into()),
                dataset: "forged".into(),
                compression: "crf23".into(),
                status: Status::NoFace,
                reason: Some("no face in 32 frames".into()),
                video: "b".into(),
                bytes: Some(u64::MAX),
                ..Row::default()
            },
        ]
    }

    #[test]
    fn both_formats_give_back_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["m.parquet", "m.csv"] {
            let path = folder.path().join(name);
            write(&path, &rows(), "{\"seed\":7}").unwrap();
            assert_eq!(read(&path).unwrap(), rows(), "{name}");
        }
        assert_eq!(provenance(&folder.path().join("m.parquet")).unwrap()["seed"], 7);
        assert!(provenance(&folder.path().join("m.csv")).is_err());
    }

    #[test]
    fn a_manifest_without_the_later_columns_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.parquet");
        let old: Vec<FieldRef> = fields().into_iter().take(25).collect();
        assert_eq!(old.last().unwrap().name(), "seed");
        let batch = serde_arrow::to_record_batch(&old, &rows()).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        assert_eq!(read(&path).unwrap(), rows());
    }

    #[test]
    fn a_bad_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good.parquet");
        write(&good, &rows(), "").unwrap();
        let bytes = std::fs::read(&good).unwrap();
        let bad = folder.path().join("bad.parquet");
        for cut in [0, 1, 4, bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&bad, &bytes[..cut]).unwrap();
            let message = read(&bad).unwrap_err().to_string();
            assert!(message.contains("bad.parquet"), "{message}");
        }
        let csv = folder.path().join("bad.csv");
        std::fs::write(&csv, "path,label,generator,identity,dataset,compression\nx,maybe,g,i,d,c\n").unwrap();
        let message = read(&csv).unwrap_err().to_string();
        assert!(message.contains("row 1") && message.contains("maybe"), "{message}");
    }
}
