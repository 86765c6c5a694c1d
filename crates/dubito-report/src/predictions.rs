//! Predictions to a file: the long form, one row per item and sample, as Parquet or CSV.
//! [`input`](crate::input) reads them, and other people's.
//!
//! The columns are `item`, `label`, `p_fake` (or one `prob_<class>` for each class), `sample`, `frame` and
//! those of [`Row`] that hold text. Writing streams: the memory is one batch of rows.

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use dubito_stats::Task;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use tempfile::NamedTempFile;

use crate::ReportError;
use crate::input::rows::{SLACK, SUM_SLACK, class_list};

/// Key of the Parquet metadata under which the provenance is kept, as JSON.
pub const PROVENANCE_KEY: &str = "dubito.provenance";

/// The label of a fake that is of none of the task's classes (of a generator that was left out of training): written as
/// `fake`. Only a task that has a class `real` takes it.
pub const OTHER_FAKE: usize = usize::MAX;

/// Rows of one Parquet row group: what the writer holds in memory.
const ROW_GROUP: usize = 65_536;
/// Rows handed to the file at once.
const BATCH: usize = 8_192;

/// One sample of one item. See [`input`](crate::input) for what each column means.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Row {
    /// Name of the item, unique among the items.
    pub item: String,
    /// Index of the true class in [`Task::classes`], or [`OTHER_FAKE`].
    pub label: usize,
    /// Probability of each class, in the order of [`Task::classes`].
    pub probs: Vec<f64>,
    /// Which draw from the posterior.
    pub sample: u64,
    /// Number of the frame in its video.
    pub frame: Option<u64>,
    /// The video that the item belongs to.
    pub video: Option<String>,
    /// What made the fake.
    pub generator: Option<String>,
    /// The generator that this real video is the null control of.
    pub control: Option<String>,
    /// The person seen.
    pub identity: Option<String>,
    /// The person whose face was put in.
    pub donor: Option<String>,
    /// The detector that gave the probabilities.
    pub detector: Option<String>,
    /// The data set that the video is from.
    pub dataset: Option<String>,
    /// `train`, `val`, `test`, ...
    pub split: Option<String>,
    /// The fold of a cross-fitted evaluation in which the item was held out.
    pub fold: Option<String>,
    /// What the data set says of the person's skin tone, in its own words.
    pub skin_tone: Option<String>,
    /// What it says of the person's gender.
    pub gender: Option<String>,
}

/// The optional columns that hold text, in the order of [`Row::texts`].
const TEXTS: [&str; 11] = [
    "video",
    "generator",
    "control",
    "identity",
    "donor",
    "detector",
    "dataset",
    "split",
    "fold",
    "skin_tone",
    "gender",
];

impl Row {
    /// The optional texts, in the order of [`TEXTS`].
    fn texts(&self) -> [&Option<String>; 11] {
        [
            &self.video,
            &self.generator,
            &self.control,
            &self.identity,
            &self.donor,
            &self.detector,
            &self.dataset,
            &self.split,
            &self.fold,
            &self.skin_tone,
            &self.gender,
        ]
    }
}

/// The two kinds of file.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    Csv,
    Parquet,
}

impl Format {
    /// By the file's name.
    fn of(path: &Path) -> Result<Self, ReportError> {
        match path.extension().and_then(|e| e.to_str()).map(str::to_lowercase).as_deref() {
            Some("csv") => Ok(Self::Csv),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(ReportError::UnknownName { path: path.into() }),
        }
    }
}

/// Whether the task's probabilities are one column `p_fake`.
fn is_real_fake(task: &Task) -> bool {
    task.positive == Some(1) && task.classes == ["real", "fake"]
}

// ---------------------------------------------------------------------------------------- writing

/// Writes predictions row by row, to a temporary file beside `path` that takes its name in
/// [`finish`](Self::finish): a reader sees all of it or nothing.
pub struct PredictionWriter {
    path: PathBuf,
    task: Task,
    sink: Sink,
    provenance: serde_json::Value,
    rows: Vec<Row>,
    written: u64,
}

enum Sink {
    Csv(Box<csv::Writer<BufWriter<NamedTempFile>>>),
    Parquet(Box<ArrowWriter<NamedTempFile>>),
}

impl PredictionWriter {
    /// Begin a file of predictions for `task`: `.parquet` or `.csv` by its name.
    ///
    /// `provenance` (seed, versions, command line, ...) is kept as JSON in the Parquet file's metadata
    /// under [`PROVENANCE_KEY`]; a CSV has no place for it. Errors: an unknown extension, or a folder
    /// that cannot be written.
    pub fn create(path: &Path, task: &Task, provenance: &serde_json::Value) -> Result<Self, ReportError> {
        let format = Format::of(path)?;
        let io = |source| ReportError::Write { path: path.into(), source };
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = crate::temporary_in(folder).map_err(io)?;
        let sink = match format {
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(BufWriter::new(file));
                writer.write_record(column_names(task)).map_err(|e| io(e.into()))?;
                Sink::Csv(Box::new(writer))
            }
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .set_max_row_group_row_count(Some(ROW_GROUP))
                    .build();
                let writer = ArrowWriter::try_new(file, schema(task), Some(properties))
                    .map_err(|e| io(std::io::Error::other(e)))?;
                Sink::Parquet(Box::new(writer))
            }
        };
        let provenance = provenance.clone();
        Ok(Self { path: path.into(), task: task.clone(), sink, provenance, rows: Vec::new(), written: 0 })
    }

    /// The provenance that [`finish`](Self::finish) will write, to add to what is only known at the end.
    pub fn provenance(&mut self) -> &mut serde_json::Value {
        &mut self.provenance
    }

    /// Add one row. Errors: a label that is no class, probabilities that are none or too few, or a
    /// full disk.
    pub fn push(&mut self, row: &Row) -> Result<(), ReportError> {
        self.written += 1;
        check_row(row, &self.task).map_err(|(column, found, expected)| ReportError::BadValue {
            path: self.path.clone(),
            row: self.written,
            column,
            found,
            expected,
        })?;
        self.rows.push(row.clone());
        if self.rows.len() >= BATCH { self.write() } else { Ok(()) }
    }

    /// Write what is left and give the file its name. Returns the number of rows.
    pub fn finish(mut self) -> Result<u64, ReportError> {
        self.write()?;
        let path = self.path;
        let io = |source| ReportError::Write { path: path.clone(), source };
        let file = match self.sink {
            Sink::Csv(writer) => {
                writer.into_inner().map_err(|e| io(e.into_error()))?.into_inner().map_err(|e| io(e.into_error()))?
            }
            Sink::Parquet(mut writer) => {
                let provenance = KeyValue::new(PROVENANCE_KEY.to_string(), self.provenance.to_string());
                writer.append_key_value_metadata(provenance);
                writer.into_inner().map_err(|e| io(std::io::Error::other(e)))?
            }
        };
        file.as_file().sync_all().map_err(io)?;
        crate::persist(file, &path)?;
        Ok(self.written)
    }

    /// Hand the waiting rows to the file.
    fn write(&mut self) -> Result<(), ReportError> {
        match &mut self.sink {
            Sink::Csv(writer) => {
                for row in &self.rows {
                    writer
                        .write_record(csv_record(row, &self.task))
                        .map_err(|e| ReportError::Write { path: self.path.clone(), source: e.into() })?;
                }
            }
            Sink::Parquet(writer) => record_batch(&self.rows, &self.task)
                .map_err(parquet::errors::ParquetError::from)
                .and_then(|batch| writer.write(&batch))
                .map_err(|e| ReportError::Write { path: self.path.clone(), source: std::io::Error::other(e) })?,
        }
        self.rows.clear();
        Ok(())
    }
}

/// Names of the columns that hold probabilities.
fn probability_columns(task: &Task) -> Vec<String> {
    if is_real_fake(task) {
        vec!["p_fake".into()]
    } else {
        task.classes.iter().map(|class| format!("prob_{class}")).collect()
    }
}

/// What a file holds of a row's probabilities, in the order of [`probability_columns`].
fn stored<'a>(row: &'a Row, task: &Task) -> &'a [f64] {
    if is_real_fake(task) { &row.probs[1..] } else { &row.probs }
}

fn column_names(task: &Task) -> Vec<String> {
    let mut names = vec!["item".to_string(), "label".into()];
    names.extend(probability_columns(task));
    names.extend(["sample".into(), "frame".into()]);
    names.extend(TEXTS.map(String::from));
    names
}

/// The label as the file has it.
fn label<'a>(row: &Row, task: &'a Task) -> &'a str {
    task.classes.get(row.label).map_or("fake", String::as_str)
}

fn csv_record(row: &Row, task: &Task) -> Vec<String> {
    let mut cells = vec![row.item.clone(), label(row, task).to_owned()];
    cells.extend(stored(row, task).iter().map(f64::to_string));
    cells.extend([row.sample.to_string(), row.frame.map(|f| f.to_string()).unwrap_or_default()]);
    cells.extend(row.texts().map(|text| text.clone().unwrap_or_default()));
    cells
}

fn schema(task: &Task) -> Arc<Schema> {
    let mut fields = vec![Field::new("item", DataType::Utf8, false), Field::new("label", DataType::Utf8, false)];
    fields.extend(probability_columns(task).iter().map(|name| Field::new(name, DataType::Float64, false)));
    fields.extend([Field::new("sample", DataType::Int64, false), Field::new("frame", DataType::Int64, true)]);
    fields.extend(TEXTS.map(|name| Field::new(name, DataType::Utf8, true)));
    Arc::new(Schema::new(fields))
}

fn record_batch(rows: &[Row], task: &Task) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.item))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| label(row, task)))),
    ];
    for at in 0..probability_columns(task).len() {
        columns.push(Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| stored(row, task)[at]))));
    }
    columns.push(Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.sample as i64))));
    columns.push(Arc::new(rows.iter().map(|row| row.frame.map(|f| f as i64)).collect::<Int64Array>()));
    for at in 0..TEXTS.len() {
        columns.push(Arc::new(rows.iter().map(|row| row.texts()[at].as_deref()).collect::<StringArray>()));
    }
    RecordBatch::try_new(schema(task), columns)
}

/// A cell that is wrong: column, what was found, what was expected.
type BadCell = (String, String, String);

/// What every row must keep to, read or written.
fn check_row(row: &Row, task: &Task) -> Result<(), BadCell> {
    let bad = |column: &str, found: String, expected: &str| Err((column.to_string(), found, expected.to_string()));
    if row.item.is_empty() {
        return bad("item", "nothing".into(), "the name of the item");
    }
    let has_real = task.classes.iter().any(|class| class == "real");
    if row.label >= task.classes.len() && !(row.label == OTHER_FAKE && has_real) {
        return bad("label", row.label.to_string(), &class_list(task));
    }
    if row.probs.len() != task.classes.len() {
        let expected = format!("{} probabilities, one for each class", task.classes.len());
        return bad("probabilities", row.probs.len().to_string(), &expected);
    }
    if row.sample > i64::MAX as u64 || row.frame.is_some_and(|frame| frame > i64::MAX as u64) {
        return bad("sample or frame", "a number above 2^63".into(), "a number below");
    }
    for (name, &p) in probability_columns(task).iter().zip(stored(row, task)) {
        if !(-SLACK..=1.0 + SLACK).contains(&p) {
            return bad(name, p.to_string(), "a probability from 0 to 1");
        }
    }
    let sum: f64 = row.probs.iter().sum();
    if !(1.0 - SUM_SLACK..=1.0 + SUM_SLACK).contains(&sum) {
        return bad("prob_*", format!("a sum of {sum}"), "probabilities that sum to 1 (are they logits?)");
    }
    let real = label(row, task) == "real";
    if let (Some(control), false) = (&row.control, real) {
        return bad("control", control.clone(), "nothing, as the label is not real: a null control is a real video");
    }
    Ok(())
}
