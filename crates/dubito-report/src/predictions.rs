//! Predictions as files: the long form, one row per item and sample, written and read as Parquet or CSV.
//!
//! | column | what it holds |
//! |---|---|
//! | `item` | name of what was scored: a frame, or a whole video |
//! | `label` | the truth: the name of a class, or its index (`0` real, `1` fake) |
//! | `p_fake`, or one `prob_<class>` for each class | probabilities, 0 to 1; those of the classes sum to 1 |
//! | `sample` | which draw from the posterior, from 0; without the column every row is sample 0 |
//! | `video`, `frame` | the video that the item is a frame of, and its number in it |
//! | `generator` | what made the fake; `real` or nothing for a real video |
//! | `control` | the generator whose null control this is: a real video put through that generator's whole warp, blend and encode; its label is `real` |
//! | `identity`, `donor` | the person seen, and the person whose face was put in |
//! | `detector`, `dataset`, `split`, `fold` | where the number comes from |
//!
//! Only `item`, `label` and the probabilities are needed. Other columns are ignored. Both directions
//! stream: the memory is one batch of rows, however long the file.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Schema};
use dubito_stats::Task;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use tempfile::NamedTempFile;

use crate::ReportError;

/// Key of the Parquet metadata under which the provenance is kept, as JSON.
pub const PROVENANCE_KEY: &str = "dubito.provenance";

/// Rows of one Parquet row group: what the writer holds in memory.
const ROW_GROUP: usize = 65_536;
/// Rows that the reader decodes at once.
const BATCH: usize = 8_192;
/// Probabilities may leave [0, 1] by this much, as rounding does.
const SLACK: f64 = 1e-6;

/// One sample of one item. See the [module](self) for what each column means.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Row {
    /// Name of the item, unique among the items.
    pub item: String,
    /// Index of the true class in [`Task::classes`].
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
}

/// The optional columns that hold text, in the order of [`Row::texts`].
const TEXTS: [&str; 9] = ["video", "generator", "control", "identity", "donor", "detector", "dataset", "split", "fold"];

impl Row {
    /// The optional texts, in the order of [`TEXTS`].
    fn texts(&self) -> [&Option<String>; 9] {
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
        ]
    }

    fn texts_mut(&mut self) -> [&mut Option<String>; 9] {
        [
            &mut self.video,
            &mut self.generator,
            &mut self.control,
            &mut self.identity,
            &mut self.donor,
            &mut self.detector,
            &mut self.dataset,
            &mut self.split,
            &mut self.fold,
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
            _ => Err(ReportError::UnknownFormat { path: path.into() }),
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
        let file = tempfile::Builder::new().prefix(".predictions-").tempfile_in(folder).map_err(io)?;
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
                    .set_key_value_metadata(Some(vec![KeyValue::new(
                        PROVENANCE_KEY.to_string(),
                        provenance.to_string(),
                    )]))
                    .build();
                let writer = ArrowWriter::try_new(file, schema(task), Some(properties))
                    .map_err(|e| ReportError::Parquet { path: path.into(), problem: e.to_string() })?;
                Sink::Parquet(Box::new(writer))
            }
        };
        Ok(Self { path: path.into(), task: task.clone(), sink, rows: Vec::new(), written: 0 })
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
            Sink::Parquet(writer) => {
                writer.into_inner().map_err(|e| ReportError::Parquet { path: path.clone(), problem: e.to_string() })?
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
                .map_err(|e| ReportError::Parquet { path: self.path.clone(), problem: e.to_string() })?,
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

fn csv_record(row: &Row, task: &Task) -> Vec<String> {
    let mut cells = vec![row.item.clone(), task.classes[row.label].clone()];
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
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &task.classes[row.label]))),
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
    if row.label >= task.classes.len() {
        return bad("label", row.label.to_string(), &format!("one of {}", class_list(task)));
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
    if !(0.999..=1.001).contains(&sum) {
        return bad("prob_*", format!("a sum of {sum}"), "probabilities that sum to 1 (are they logits?)");
    }
    let real = task.classes[row.label] == "real";
    if let (Some(control), false) = (&row.control, real) {
        return bad("control", control.clone(), "nothing, as the label is not real: a null control is a real video");
    }
    Ok(())
}

fn class_list(task: &Task) -> String {
    let names = task.classes.join(", ");
    format!("{names} (or the index, 0 to {})", task.classes.len() - 1)
}

// ---------------------------------------------------------------------------------------- reading

/// Reads predictions row by row.
pub struct PredictionReader {
    path: PathBuf,
    task: Task,
    columns: Columns,
    source: Source,
    provenance: Option<serde_json::Value>,
    has_video: bool,
    row: u64,
}

/// Where each column is, counted in the file's own order (CSV) or among the columns read (Parquet).
struct Columns {
    item: usize,
    label: usize,
    probs: Vec<usize>,
    sample: Option<usize>,
    frame: Option<usize>,
    texts: [Option<usize>; 9],
}

enum Source {
    Csv(Box<csv::Reader<BufReader<File>>>, csv::StringRecord),
    Parquet { reader: Box<ParquetRecordBatchReader>, batch: Option<Batch>, at: usize },
}

/// One decoded batch, each column cast to what it is read as.
struct Batch {
    texts: Vec<Option<StringArray>>,
    numbers: Vec<Option<Float64Array>>,
    integers: Vec<Option<Int64Array>>,
    rows: usize,
}

impl PredictionReader {
    /// Open a file of predictions and find its columns.
    ///
    /// The task follows from them: `p_fake` (or `prob_real` with `prob_fake`) is binary, other
    /// `prob_<class>` columns name the classes in their order. Errors: a file that can't be read, is
    /// of another kind than its name says, lacks a column or has one twice.
    pub fn open(path: &Path) -> Result<Self, ReportError> {
        let format = Format::of(path)?;
        let mut file = File::open(path).map_err(|source| ReportError::Read { path: path.into(), source })?;
        let mut start = [0u8; 4];
        let found =
            read_up_to(&mut file, &mut start).map_err(|source| ReportError::Read { path: path.into(), source })?;
        let is_parquet = &start[..found] == b"PAR1";
        if found == 0 {
            return Err(ReportError::Empty { path: path.into() });
        }
        if is_parquet != (format == Format::Parquet) {
            return Err(ReportError::WrongKind { path: path.into(), is_parquet });
        }
        match format {
            Format::Csv => Self::open_csv(path),
            Format::Parquet => Self::open_parquet(path),
        }
    }

    fn open_csv(path: &Path) -> Result<Self, ReportError> {
        let file = File::open(path).map_err(|source| ReportError::Read { path: path.into(), source })?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(BufReader::new(file));
        let header = reader.headers().map_err(|e| csv_error(path, 0, &e))?;
        let names: Vec<String> = header.iter().map(|name| name.trim_start_matches('\u{feff}').into()).collect();
        let (task, columns) = find_columns(path, &names)?;
        let has_video = columns.texts[0].is_some();
        let source = Source::Csv(Box::new(reader), csv::StringRecord::new());
        Ok(Self { path: path.into(), task, columns, source, provenance: None, has_video, row: 0 })
    }

    fn open_parquet(path: &Path) -> Result<Self, ReportError> {
        let file = File::open(path).map_err(|source| ReportError::Read { path: path.into(), source })?;
        let builder = guarded(path, || ParquetRecordBatchReaderBuilder::try_new(file))?;
        let names: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
        let (task, columns) = find_columns(path, &names)?;
        let wanted = columns.all();
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.iter().copied());
        let provenance = builder
            .metadata()
            .file_metadata()
            .key_value_metadata()
            .and_then(|pairs| pairs.iter().find(|pair| pair.key == PROVENANCE_KEY))
            .and_then(|pair| serde_json::from_str(pair.value.as_deref()?).ok());
        let has_video = columns.texts[0].is_some();
        let columns = columns.among(&wanted);
        let reader = guarded(path, || builder.with_batch_size(BATCH).with_projection(mask).build())?;
        let source = Source::Parquet { reader: Box::new(reader), batch: None, at: 0 };
        Ok(Self { path: path.into(), task, columns, source, provenance, has_video, row: 0 })
    }

    /// The classes of this file.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// What the writer said about how the file was made; `None` in a CSV or a foreign file.
    pub fn provenance(&self) -> Option<&serde_json::Value> {
        self.provenance.as_ref()
    }

    /// Whether the file has a column `video`.
    pub fn has_video(&self) -> bool {
        self.has_video
    }

    /// The file that is read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the last row read, from 1.
    pub fn row_number(&self) -> u64 {
        self.row
    }

    /// Read the next row into `row` (whose memory is used again); `false` at the end. Errors name the
    /// file, row and column: a cell that is missing, no number, no probability or no class. A file
    /// without rows is [`ReportError::Empty`].
    pub fn read(&mut self, row: &mut Row) -> Result<bool, ReportError> {
        let more = match &mut self.source {
            Source::Csv(reader, record) => {
                reader.read_record(record).map_err(|e| csv_error(&self.path, self.row + 1, &e))?
            }
            Source::Parquet { reader, batch, at } => {
                *at += 1;
                while batch.as_ref().is_none_or(|b| *at >= b.rows) {
                    let path = &self.path;
                    match guarded(path, || reader.next().transpose())? {
                        Some(next) => *batch = Some(Batch::new(path, &next, &self.columns)?),
                        None => {
                            *batch = None;
                            break;
                        }
                    }
                    *at = 0;
                }
                batch.is_some()
            }
        };
        if !more {
            return if self.row == 0 { Err(ReportError::Empty { path: self.path.clone() }) } else { Ok(false) };
        }
        self.row += 1;
        self.fill(row).and_then(|()| check_row(row, &self.task)).map_err(|(column, found, expected)| {
            ReportError::BadValue { path: self.path.clone(), row: self.row, column, found, expected }
        })?;
        Ok(true)
    }

    /// Copy the current cells into `row`.
    fn fill(&self, row: &mut Row) -> Result<(), BadCell> {
        let columns = &self.columns;
        let missing = |column: &str| (column.to_string(), "nothing".to_string(), "a value".to_string());
        set(&mut row.item, self.text(columns.item).ok_or_else(|| missing("item"))?);
        let label = self.text(columns.label).ok_or_else(|| missing("label"))?;
        row.label = self
            .task
            .classes
            .iter()
            .position(|class| class == label)
            .or_else(|| label.parse().ok().filter(|&index: &usize| index < self.task.classes.len()))
            .ok_or_else(|| ("label".into(), format!("\"{label}\""), format!("one of {}", class_list(&self.task))))?;
        row.probs.clear();
        let names = probability_columns(&self.task);
        let single = columns.probs.len() == 1;
        for (at, &column) in columns.probs.iter().enumerate() {
            let name = if single { "p_fake" } else { names.get(at).map_or("prob_*", |name| name.as_str()) };
            row.probs.push(self.number(column, name)?);
        }
        if single {
            row.probs.insert(0, 1.0 - row.probs[0]);
        }
        row.sample = match columns.sample {
            Some(column) => self.integer(column, "sample")?.ok_or_else(|| missing("sample"))?,
            None => 0,
        };
        row.frame = match columns.frame {
            Some(column) => self.integer(column, "frame")?,
            None => None,
        };
        for (to, column) in row.texts_mut().into_iter().zip(columns.texts) {
            match column.and_then(|column| self.text(column)) {
                Some(text) => set(to.get_or_insert_default(), text),
                None => *to = None,
            }
        }
        Ok(())
    }

    /// A cell's text; `None` where it is empty.
    fn text(&self, column: usize) -> Option<&str> {
        let text = match &self.source {
            Source::Csv(_, record) => record.get(column)?,
            Source::Parquet { batch, at, .. } => {
                let array = batch.as_ref()?.texts.get(column)?.as_ref()?;
                if array.is_null(*at) {
                    return None;
                }
                array.value(*at)
            }
        };
        (!text.is_empty()).then_some(text)
    }

    fn number(&self, column: usize, name: &str) -> Result<f64, BadCell> {
        let bad = |found: String| (name.to_string(), found, "a probability from 0 to 1".to_string());
        match &self.source {
            Source::Csv(..) => {
                let text = self.text(column).ok_or_else(|| bad("nothing".into()))?;
                text.parse().map_err(|_| bad(format!("\"{text}\"")))
            }
            Source::Parquet { batch, at, .. } => batch
                .as_ref()
                .and_then(|b| b.numbers.get(column)?.as_ref())
                .filter(|array| !array.is_null(*at))
                .map(|array| array.value(*at))
                .ok_or_else(|| bad("nothing".into())),
        }
    }

    fn integer(&self, column: usize, name: &str) -> Result<Option<u64>, BadCell> {
        let bad = |found: String| (name.to_string(), found, "a whole number, 0 or more".to_string());
        match &self.source {
            Source::Csv(..) => {
                self.text(column).map(|text| text.parse().map_err(|_| bad(format!("\"{text}\"")))).transpose()
            }
            Source::Parquet { batch, at, .. } => batch
                .as_ref()
                .and_then(|b| b.integers.get(column)?.as_ref())
                .filter(|array| !array.is_null(*at))
                .map(|array| u64::try_from(array.value(*at)).map_err(|_| bad(array.value(*at).to_string())))
                .transpose(),
        }
    }
}

fn set(to: &mut String, text: &str) {
    to.clear();
    to.push_str(text);
}

/// Read until `buffer` is full or the file ends.
fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut found = 0;
    while found < buffer.len() {
        match file.read(&mut buffer[found..])? {
            0 => break,
            n => found += n,
        }
    }
    Ok(found)
}

/// Which columns a header holds, and the task that follows.
fn find_columns(path: &Path, names: &[String]) -> Result<(Task, Columns), ReportError> {
    let at = |name: &str| names.iter().position(|n| n == name);
    let missing = |expected: &str| ReportError::MissingColumn {
        path: path.into(),
        expected: expected.into(),
        found: names.into(),
    };
    if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
        return Err(ReportError::DoubleColumn { path: path.into(), column: twice.1.clone() });
    }
    let mut classes: Vec<(usize, &str)> =
        names.iter().enumerate().filter_map(|(i, name)| Some((i, name.strip_prefix("prob_")?))).collect();
    let (task, probs) = match at("p_fake") {
        Some(column) => (Task::binary(), vec![column]),
        None if classes.len() < 2 => return Err(missing("p_fake (or prob_<class> for each of two classes or more)")),
        None => {
            let mut sorted: Vec<&str> = classes.iter().map(|c| c.1).collect();
            sorted.sort_unstable();
            if sorted == ["fake", "real"] {
                classes.sort_by(|a, b| b.1.cmp(a.1));
                (Task::binary(), classes.iter().map(|c| c.0).collect())
            } else {
                (Task::multiclass(classes.iter().map(|c| c.1)), classes.iter().map(|c| c.0).collect())
            }
        }
    };
    let columns = Columns {
        item: at("item").ok_or_else(|| missing("item"))?,
        label: at("label").ok_or_else(|| missing("label"))?,
        probs,
        sample: at("sample"),
        frame: at("frame"),
        texts: TEXTS.map(at),
    };
    Ok((task, columns))
}

impl Columns {
    /// Every column that is read, rising.
    fn all(&self) -> Vec<usize> {
        let mut all = vec![self.item, self.label];
        all.extend(&self.probs);
        all.extend(self.sample.iter().chain(&self.frame));
        all.extend(self.texts.iter().flatten());
        all.sort_unstable();
        all
    }

    /// The same columns counted among those in `kept`.
    fn among(&self, kept: &[usize]) -> Self {
        let to = |column: usize| kept.iter().position(|&k| k == column).unwrap_or(0);
        Self {
            item: to(self.item),
            label: to(self.label),
            probs: self.probs.iter().map(|&c| to(c)).collect(),
            sample: self.sample.map(to),
            frame: self.frame.map(to),
            texts: self.texts.map(|c| c.map(to)),
        }
    }
}

impl Batch {
    /// Cast each column to what it is read as. Errors name the column and its type.
    fn new(path: &Path, batch: &RecordBatch, columns: &Columns) -> Result<Self, ReportError> {
        let width = batch.num_columns();
        let mut texts = vec![None; width];
        let mut numbers = vec![None; width];
        let mut integers = vec![None; width];
        for &column in [columns.item, columns.label].iter().chain(columns.texts.iter().flatten()) {
            texts[column] = Some(cast(path, batch, column)?);
        }
        for &column in &columns.probs {
            numbers[column] = Some(cast(path, batch, column)?);
        }
        for &column in columns.sample.iter().chain(&columns.frame) {
            integers[column] = Some(cast(path, batch, column)?);
        }
        Ok(Self { texts, numbers, integers, rows: batch.num_rows() })
    }
}

/// An array that a column can be read as.
trait ReadAs: Array + Clone + 'static {
    const TYPE: DataType;
    const WORDS: &'static str;
}

impl ReadAs for StringArray {
    const TYPE: DataType = DataType::Utf8;
    const WORDS: &'static str = "text";
}
impl ReadAs for Float64Array {
    const TYPE: DataType = DataType::Float64;
    const WORDS: &'static str = "numbers";
}
impl ReadAs for Int64Array {
    const TYPE: DataType = DataType::Int64;
    const WORDS: &'static str = "whole numbers";
}

fn cast<A: ReadAs>(path: &Path, batch: &RecordBatch, column: usize) -> Result<A, ReportError> {
    let schema = batch.schema();
    let field = schema.field(column);
    let options = CastOptions { safe: false, ..Default::default() };
    let bad = |why: String| ReportError::Parquet {
        path: path.into(),
        problem: format!(
            "column {} is of type {}, expected {} ({why}): write it as {}",
            field.name(),
            field.data_type(),
            A::WORDS,
            A::TYPE
        ),
    };
    let array = guarded(path, || cast_with_options(batch.column(column), &A::TYPE, &options))
        .map_err(|e| bad(e.to_string()))?;
    array.as_any().downcast_ref::<A>().cloned().ok_or_else(|| bad("it does not convert".into()))
}

/// Call into the Parquet reader: what goes wrong there names the file, and a panic over a corrupt file
/// is an error like any other.
fn guarded<T, E: std::fmt::Display>(path: &Path, call: impl FnOnce() -> Result<T, E>) -> Result<T, ReportError> {
    let problem = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the reader gave up on it".to_string(),
    };
    Err(ReportError::Parquet { path: path.into(), problem })
}

fn csv_error(path: &Path, row: u64, error: &csv::Error) -> ReportError {
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} cells, expected {expected_len} as in the header")
        }
        csv::ErrorKind::Utf8 { err, .. } => {
            format!("cell {} is not UTF-8: save the file as UTF-8 text", err.field() + 1)
        }
        _ => error.to_string(),
    };
    ReportError::Csv { path: path.into(), row, problem }
}
