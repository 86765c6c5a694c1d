//! Parquet, by batches of rows: only the columns that are needed are decoded.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow_array::{Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::block::{Block, Cells, Column, Fault, Kind, Numbers, Wanted};
use super::file::{self, Compression};
use crate::ReportError;
use crate::predictions::PROVENANCE_KEY;

/// Rows decoded at once: few enough that their columns stay in the cache, and are made anew in the same memory.
const BATCH: usize = 8_192;

/// Batches that one thread reads at once: so few that the parts that wait for their turn stay small.
pub(crate) const TOGETHER: usize = 4;

fn builder(path: &Path, compression: Compression) -> Result<ParquetRecordBatchReaderBuilder<File>, ReportError> {
    let file = file::seekable(path, compression)?;
    guarded(path, || ParquetRecordBatchReaderBuilder::try_new(file))
}

/// The names of the columns.
pub(crate) fn names(path: &Path, compression: Compression) -> Result<Vec<String>, ReportError> {
    Ok(builder(path, compression)?.schema().fields().iter().map(|field| field.name().clone()).collect())
}

/// What the writer of a Parquet file of predictions said about how it was made; `None` in a foreign file.
/// Errors: a file that is no Parquet.
pub fn provenance(path: &Path) -> Result<Option<serde_json::Value>, ReportError> {
    let builder = builder(path, Compression::None)?;
    let pairs = builder.metadata().file_metadata().key_value_metadata();
    Ok(pairs
        .and_then(|pairs| pairs.iter().find(|pair| pair.key == PROVENANCE_KEY))
        .and_then(|pair| serde_json::from_str(pair.value.as_deref()?).ok()))
}

/// Reads batches of the wanted columns.
pub(crate) struct Batches {
    reader: ParquetRecordBatchReader,
    /// For each wanted column its place in a batch.
    places: Vec<usize>,
}

impl Batches {
    pub fn new(path: &Path, compression: Compression, wanted: &[Wanted]) -> Result<Self, ReportError> {
        let builder = builder(path, compression)?;
        let mut columns: Vec<usize> = wanted.iter().map(|w| w.column).collect();
        columns.sort_unstable();
        columns.dedup();
        let places = wanted.iter().map(|w| columns.iter().position(|&c| c == w.column).unwrap_or(0)).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
        let reader = guarded(path, || builder.with_batch_size(BATCH).with_projection(mask).build())?;
        Ok(Self { reader, places })
    }

    pub fn next(&mut self, path: &Path) -> Result<Option<RecordBatch>, ReportError> {
        guarded(path, || self.reader.next().transpose())
    }

    pub fn places(&self) -> Vec<usize> {
        self.places.clone()
    }
}

/// The rows of a batch, each column cast to what it is read as.
pub(crate) fn parse(path: &Path, batch: &RecordBatch, places: &[usize], wanted: &[Wanted]) -> Result<Block, Fault> {
    let mut block = Block { rows: batch.num_rows(), columns: Vec::with_capacity(wanted.len()) };
    for (wanted, &place) in wanted.iter().zip(places) {
        let schema = batch.schema();
        let (array, field) = (batch.column(place), schema.field(place));
        block.columns.push(match wanted.kind {
            // Digits are written without a text of each number in between.
            Kind::Text if field.data_type().is_integer() && *field.data_type() != DataType::UInt64 => {
                Column::Text(in_digits(&cast(path, array, field)?))
            }
            Kind::Text => {
                let texts: StringArray = cast(path, array, field)?;
                let mut column = Cells::default();
                texts.iter().for_each(|text| column.push(text.unwrap_or_default().trim_ascii()));
                Column::Text(column)
            }
            Kind::Number => {
                let numbers = cast::<Float64Array>(path, array, field)?;
                Column::Number(match numbers.null_count() {
                    0 => Numbers::of(numbers.values().to_vec()),
                    _ => numbers.iter().collect(),
                })
            }
            Kind::Whole if field.data_type().is_floating() => {
                let numbers: Float64Array = cast(path, array, field)?;
                let mut column = Block::new(std::slice::from_ref(wanted));
                for number in &numbers {
                    match number {
                        Some(number) => column.put_number(0, number, wanted)?,
                        None => column.put_nothing(0),
                    }
                    column.rows += 1;
                }
                column.columns.remove(0)
            }
            Kind::Whole => {
                let wholes: Int64Array = cast(path, array, field)?;
                let is_negative = |row: &usize| wholes.is_valid(*row) && wholes.value(*row) < 0;
                // Whether there is any is asked first, without a branch: it takes less time.
                let any = wholes.values().iter().fold(0, |any, value| any | value) < 0;
                let negative = if any { (0..wholes.len()).find(is_negative) } else { None };
                if let Some((row, value)) = negative.map(|row| (row, wholes.value(row))) {
                    return Err(Fault::cell(row, &wanted.name, value.to_string(), wanted.expected));
                }
                Column::Whole(match wholes.null_count() {
                    0 => Numbers::of(wholes.values().iter().map(|&value| value as u64).collect()),
                    _ => wholes.iter().map(|value| value.map(|value| value as u64)).collect(),
                })
            }
        });
    }
    Ok(block)
}

/// Numbers as texts; nothing where there is none.
fn in_digits(numbers: &Int64Array) -> Cells {
    let changes = numbers.values().windows(2).map(|pair| usize::from(pair[0] != pair[1])).sum::<usize>();
    let mut column = Cells::with_capacity(numbers.len(), changes + 1);
    if numbers.null_count() > 0 {
        let mut last = None;
        for number in numbers {
            match number {
                _ if last == Some(number) => column.push_again(),
                Some(number) => column.push_whole(number, 1),
                None => column.push(""),
            }
            last = Some(number);
        }
    } else {
        numbers.values().chunk_by(i64::eq).for_each(|same| column.push_whole(same[0], same.len()));
    }
    column
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

fn cast<A: ReadAs>(path: &Path, array: &dyn Array, field: &Field) -> Result<A, ReportError> {
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
    let array =
        guarded(path, || cast_with_options(array, &A::TYPE, &options)).map_err(|error| bad(error.to_string()))?;
    array.as_any().downcast_ref::<A>().cloned().ok_or_else(|| bad("it does not convert".into()))
}

/// Call into the Parquet reader: what goes wrong there names the file, and a panic over a corrupt file
/// is an error like any other.
fn guarded<T, E: std::fmt::Display>(path: &Path, call: impl FnOnce() -> Result<T, E>) -> Result<T, ReportError> {
    let problem = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => match error.to_string().split_once("Disabled feature at compile time: ") {
            Some((_, codec)) => format!(
                "its columns are packed with {}, expected snappy or nothing: write it with compression=\"snappy\" (pandas, polars, pyarrow)",
                if codec == "flate2" { "gzip" } else { codec }
            ),
            None => error.to_string(),
        },
        Err(_) => "the reader gave up on it".to_string(),
    };
    Err(ReportError::Parquet { path: path.into(), problem })
}
