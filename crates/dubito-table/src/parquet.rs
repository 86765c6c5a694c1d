//! Parquet, by batches of rows: only the columns that are needed are decoded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Array, Float64Array, Int64Array, RecordBatch, StringViewArray, UInt64Array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use crate::block::{Block, Cells, Column, Fault, Kind, Numbers, Wanted};
use crate::error::TableError;
use crate::source::{BOMB_RATIO, Handle, Source};

/// Rows decoded at once: few enough that their columns stay in the cache, and are made anew in the same memory.
const BATCH: usize = 8_192;

/// Bytes that the texts of one column may take in a batch: a long text that a dictionary holds once is many times as long
/// where each row has it.
const MOST_TEXT: usize = 64 << 20;

/// So many rows may take no room at all.
const MOST_ROWS_OF_NOTHING: i64 = 100_000_000;

/// Batches that one thread reads at once: so few that the parts that wait for their turn stay small.
pub(crate) const TOGETHER: usize = 4;

fn builder(source: &Source) -> Result<ParquetRecordBatchReaderBuilder<Handle>, TableError> {
    let handle = source.handle()?;
    guarded(&source.path, || ParquetRecordBatchReaderBuilder::try_new(handle))
}

/// The names of the columns.
pub(crate) fn names(source: &Source) -> Result<Vec<String>, TableError> {
    Ok(builder(source)?.schema().fields().iter().map(|field| field.name().clone()).collect())
}

/// What a file's metadata say under a key; `None` where they say nothing.
pub(crate) fn metadata(source: &Source, key: &str) -> Result<Option<String>, TableError> {
    let builder = builder(source)?;
    let pairs = builder.metadata().file_metadata().key_value_metadata();
    Ok(pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == key)).and_then(|pair| pair.value.clone()))
}

/// Reads batches of the wanted columns.
pub(crate) struct Batches {
    reader: ParquetRecordBatchReader,
    /// For each wanted column its place in a batch.
    places: Vec<usize>,
}

impl Batches {
    pub fn new(source: &Source, wanted: &[Wanted]) -> Result<Self, TableError> {
        let (path, builder) = (&source.path, builder(source)?);
        let (rows, bytes) = (builder.metadata().file_metadata().num_rows(), builder.metadata().row_groups().iter());
        let bytes: i64 = bytes.map(|group| group.compressed_size().max(0)).fold(0, i64::saturating_add);
        // Runs of one value take next to nothing: so many rows of scores can't.
        let is_bomb = rows > MOST_ROWS_OF_NOTHING && rows / bytes.max(1) > BOMB_RATIO as i64;
        if rows < 0 || is_bomb {
            let problem = format!("{rows} rows in {bytes} bytes are declared, which no table of scores has");
            return Err(TableError::Parquet { path: path.clone(), problem });
        }
        let mut columns: Vec<usize> = wanted.iter().map(|w| w.column).collect();
        columns.sort_unstable();
        columns.dedup();
        let places = wanted.iter().map(|w| columns.iter().position(|&c| c == w.column).unwrap_or(0)).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
        let builder = with_views(source, &builder)?;
        let reader = guarded(path, || builder.with_batch_size(BATCH).with_projection(mask).build())?;
        Ok(Self { reader, places })
    }

    pub fn next(&mut self, path: &Path) -> Result<Option<RecordBatch>, TableError> {
        guarded(path, || self.reader.next().transpose())
    }

    pub fn places(&self) -> Vec<usize> {
        self.places.clone()
    }
}

/// The same, but that texts are read as views of what the file holds, once however often rows repeat it.
fn with_views(
    source: &Source,
    builder: &ParquetRecordBatchReaderBuilder<Handle>,
) -> Result<ParquetRecordBatchReaderBuilder<Handle>, TableError> {
    let with_view = |field: &Arc<Field>| match text_type(field.data_type()) {
        Some(view) => Arc::new(field.as_ref().clone().with_data_type(view)),
        None => field.clone(),
    };
    let schema = builder.schema();
    let fields: Vec<Arc<Field>> = schema.fields().iter().map(with_view).collect();
    let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    let metadata = guarded(&source.path, || ArrowReaderMetadata::try_new(builder.metadata().clone(), options))?;
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(source.handle()?, metadata))
}

/// The rows of a batch, each column cast to what it is read as.
pub(crate) fn parse(path: &Path, batch: &RecordBatch, places: &[usize], wanted: &[Wanted]) -> Result<Block, Fault> {
    let mut block = Block { rows: batch.num_rows(), columns: Vec::with_capacity(wanted.len()) };
    for (wanted, &place) in wanted.iter().zip(places) {
        let schema = batch.schema();
        let (array, field) = (batch.column(place), schema.field(place));
        let kind = value_type(field.data_type());
        block.columns.push(match wanted.kind {
            // Digits are written without a text of each number in between.
            Kind::Text | Kind::Name if kind.is_integer() && *kind != DataType::UInt64 => {
                Column::Text(in_digits(&cast(path, array, field)?))
            }
            // Texts are read as those of a CSV, whatever is wanted of them.
            wanted_kind if matches!(wanted_kind, Kind::Text | Kind::Name) || text_type(kind).is_some() => {
                let texts: StringViewArray = cast(path, array, field)?;
                // The lower half of a view is the length of its text.
                let bytes: usize = texts.views().iter().map(|view| *view as u32 as usize).sum();
                if bytes > MOST_TEXT {
                    let problem = format!(
                        "column {} holds {} MiB of text in {} rows, expected names of at most some hundred bytes",
                        field.name(),
                        bytes >> 20,
                        batch.num_rows()
                    );
                    return Err(TableError::Parquet { path: path.into(), problem }.into());
                }
                let mut column = Block::new(std::slice::from_ref(wanted));
                for text in &texts {
                    column.put(0, text.unwrap_or_default(), wanted, false)?;
                    column.rows += 1;
                }
                column.columns.remove(0)
            }
            Kind::Number => {
                let numbers = cast::<Float64Array>(path, array, field)?;
                Column::Number(match numbers.null_count() {
                    0 => Numbers::of(numbers.values().to_vec()),
                    _ => numbers.iter().collect(),
                })
            }
            Kind::Whole if kind.is_floating() || is_decimal(kind) => {
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
            Kind::Whole if *kind == DataType::UInt64 => {
                let wholes: UInt64Array = cast(path, array, field)?;
                Column::Whole(wholes.iter().collect())
            }
            _ => {
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

/// The type of the cells: that of the values, where a dictionary holds them.
fn value_type(kind: &DataType) -> &DataType {
    match kind {
        DataType::Dictionary(_, value) => value_type(value),
        kind => kind,
    }
}

/// The type as which texts, also those in a dictionary, are read; `None` where cells are no texts.
fn text_type(kind: &DataType) -> Option<DataType> {
    match value_type(kind) {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8View),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Some(DataType::BinaryView),
        _ => None,
    }
}

fn is_decimal(kind: &DataType) -> bool {
    use DataType::{Decimal32, Decimal64, Decimal128, Decimal256};
    matches!(kind, Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..))
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

impl ReadAs for StringViewArray {
    const TYPE: DataType = DataType::Utf8View;
    const WORDS: &'static str = "text";
}
impl ReadAs for UInt64Array {
    const TYPE: DataType = DataType::UInt64;
    const WORDS: &'static str = "whole numbers";
}
impl ReadAs for Float64Array {
    const TYPE: DataType = DataType::Float64;
    const WORDS: &'static str = "numbers";
}
impl ReadAs for Int64Array {
    const TYPE: DataType = DataType::Int64;
    const WORDS: &'static str = "whole numbers";
}

fn cast<A: ReadAs>(path: &Path, array: &dyn Array, field: &Field) -> Result<A, TableError> {
    let options = CastOptions { safe: false, ..Default::default() };
    let bad = |why: String| TableError::Parquet {
        path: path.into(),
        problem: format!("column {} is of type {}, expected {} ({why})", field.name(), field.data_type(), A::WORDS),
    };
    let array =
        guarded(path, || cast_with_options(array, &A::TYPE, &options)).map_err(|error| bad(error.to_string()))?;
    array.as_any().downcast_ref::<A>().cloned().ok_or_else(|| bad("it does not convert".into()))
}

/// Call into the Parquet reader: what goes wrong there names the file, and a panic over a corrupt file
/// is an error like any other.
fn guarded<T, E: std::fmt::Display>(path: &Path, call: impl FnOnce() -> Result<T, E>) -> Result<T, TableError> {
    let problem = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the reader gave up on it".to_string(),
    };
    Err(TableError::Parquet { path: path.into(), problem })
}
