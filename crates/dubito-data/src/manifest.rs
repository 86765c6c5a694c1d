//! The manifest: one row for every video (or face track) that was given, whatever became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
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
    const NAMES: [(Self, &str); 8] = [
        (Self::Ok, "ok"),
        (Self::NoFace, "no_face"),
        (Self::TooShort, "too_short"),
        (Self::LowQuality, "low_quality"),
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
        match text.to_ascii_lowercase().as_str() {
            "real" | "0" => Ok(Self::Real),
            "fake" | "1" => Ok(Self::Fake),
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
    let mut temporary = tempfile::NamedTempFile::new_in(folder).map_err(DataError::io(folder))?;
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

/// Reads a manifest (Parquet, or CSV where the name ends in `.csv`). Columns it doesn't know are
/// passed over; a required column that is missing is an error that says which columns there are.
pub fn read(path: &Path) -> Result<Vec<Row>, DataError> {
    let file = File::open(path).map_err(DataError::io(path))?;
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv")) {
        let mut reader = csv::Reader::from_reader(file);
        let headers = reader.headers().map_err(|e| table_error(path, None, e))?;
        check_columns(path, &headers.iter().collect::<Vec<_>>())?;
        let rows: Result<Vec<Row>, _> = reader
            .deserialize()
            .enumerate()
            .map(|(i, row)| row.map_err(|e| table_error(path, Some(i + 1), e)))
            .collect();
        return rows;
    }
    // The Parquet reader is safe Rust, yet a corrupt file can make it panic: that is an error here.
    std::panic::catch_unwind(|| read_parquet(path, file))
        .unwrap_or_else(|_| Err(table_error(path, None, "the file is not readable as Parquet")))
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
    let file = File::open(path).map_err(DataError::io(path))?;
    let read = || -> Result<serde_json::Value, DataError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|e| table_error(path, None, format!("not a Parquet file: {e}")))?;
        let metadata = builder.metadata().file_metadata().key_value_metadata();
        let text =
            metadata.and_then(|all| all.iter().find(|kept| kept.key == "dubito")).and_then(|kept| kept.value.as_ref());
        Ok(text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(table_error(path, None, "the file is not readable as Parquet")))
}

fn check_columns(path: &Path, present: &[&str]) -> Result<(), DataError> {
    let required = ["path", "generator", "identity", "dataset", "compression"];
    let missing: Vec<&str> = required.into_iter().filter(|name| !present.contains(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("column {} is missing; there are {}", missing.join(", "), present.join(", "));
    Err(table_error(path, None, message))
}

fn read_parquet(path: &Path, file: File) -> Result<Vec<Row>, DataError> {
    let not_parquet = |e: parquet::errors::ParquetError| table_error(path, None, format!("not a Parquet file: {e}"));
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(not_parquet)?;
    let count = builder.metadata().file_metadata().num_rows();
    if usize::try_from(count).map_or(true, |n| n > MAX_ROWS) {
        return Err(table_error(path, None, format!("{count} rows; at most {MAX_ROWS} are read")));
    }
    let schema = builder.schema().clone();
    check_columns(path, &schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>())?;
    let mut rows = Vec::new();
    for batch in builder.build().map_err(not_parquet)? {
        let batch = batch.map_err(|e| table_error(path, None, e))?;
        let part: Vec<Row> = serde_arrow::from_record_batch(&batch)
            .map_err(|e| table_error(path, None, format!("rows after {}: {e}", rows.len())))?;
        rows.extend(part);
    }
    Ok(rows)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
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
