//! A table, whatever its format: opened, its columns named, read block by block.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::block::{Block, Fault, Kind, Texts, Wanted};
use crate::delimited::{self, Header};
use crate::error::TableError;
use crate::source::{Compression, Format, Source};
use crate::{MOST_COLUMNS, json_lines, npz, parquet};

/// A file whose format and columns are known.
#[derive(Clone, Debug)]
pub struct Table {
    /// The file.
    pub path: PathBuf,
    /// Its format, told by the content.
    pub format: Format,
    /// How it is packed.
    pub compression: Compression,
    /// The columns as the file names them; one without a name is empty.
    pub names: Vec<String>,
    source: Source,
    /// What the header of a CSV says.
    header: Option<Header>,
}

impl Table {
    /// Look at a file, or at what comes through a pipe (`-` is the standard input). Errors: it can't be read, is of no
    /// known format, has no columns or one twice.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let source = Source::open(path)?;
        let header = match source.format {
            Format::Csv => Some(delimited::header(&source)?),
            _ => None,
        };
        let names = match (source.format, &header) {
            (_, Some(header)) => header.names.clone(),
            (Format::JsonLines, _) => json_lines::names(&source)?,
            (Format::Npz, _) => npz::names(&source)?,
            _ => parquet::names(&source)?,
        };
        if names.len() > MOST_COLUMNS {
            let problem = format!("has {} columns, expected at most {MOST_COLUMNS}", names.len());
            return Err(TableError::UnknownFormat { path: path.into(), problem });
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = names.iter().find(|name| !name.is_empty() && !seen.insert(name.as_str())) {
            return Err(TableError::DoubleColumn { path: path.into(), column: twice.clone() });
        }
        let (format, compression) = (source.format, source.compression);
        Ok(Self { path: path.into(), format, compression, names, source, header })
    }

    /// The delimiter of a CSV.
    pub fn delimiter(&self) -> Option<char> {
        self.header.as_ref().map(|header| char::from(header.delimiter))
    }

    /// What is worth to be known of how the file was understood: its encoding, decimal commas, rows with names.
    pub fn remarks(&self) -> Vec<String> {
        let encoding = self.source.encoding.name().map(|name| format!("the text is {name}"));
        let array = self.source.is_array.then(|| "one JSON array, of which each element is a row".to_string());
        let header = self.header.iter().flat_map(|header| header.remarks.iter().cloned());
        encoding.into_iter().chain(array).chain(header).collect()
    }

    /// What the rows are read from, by a name that is the same whatever path leads to it.
    pub fn origin(&self) -> &Path {
        self.source.origin()
    }

    /// What a Parquet file's metadata say under a key; `None` where they say nothing, and of other formats.
    pub fn metadata(&self, key: &str) -> Result<Option<String>, TableError> {
        if self.format == Format::Parquet { parquet::metadata(&self.source, key) } else { Ok(None) }
    }

    /// The place of a column that need not be there.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|column| column == name)
    }

    /// The error of a column that is needed and not there.
    pub fn missing(&self, expected: impl Into<String>) -> TableError {
        TableError::MissingColumn { path: self.path.clone(), expected: expected.into(), found: self.names.clone() }
    }

    /// What is wrong in a block before which there are so many rows.
    pub fn error(&self, fault: Fault, before: u64) -> TableError {
        fault.into_error(&self.path, before, |row| match &self.header {
            Some(header) => delimited::line_of(&self.source, header, row),
            None if self.format == Format::JsonLines => json_lines::line_of(&self.source, row),
            None => None,
        })
    }

    /// Read the wanted columns block by block: `map` is called for several blocks at a time, `sink` for
    /// one after the other, in the order of the rows and with the number of rows before. `sink` says
    /// whether to go on. Errors name the row; a file without rows is [`TableError::Empty`].
    pub fn read<T: Send, E: From<TableError> + Send>(
        &self,
        wanted: &[Wanted],
        map: impl Fn(Block) -> Result<T, Fault> + Sync,
        sink: impl FnMut(T, u64) -> Result<bool, E> + Send,
    ) -> Result<(), E> {
        match (self.format, &self.header) {
            (Format::JsonLines, _) => {
                let mut chunks = json_lines::chunks(&self.source)?;
                let known: BTreeSet<&str> = self.names.iter().map(String::as_str).collect();
                let parse = |chunk: Vec<u8>| json_lines::parse(&chunk, wanted, &known);
                in_order(self, 1, || chunks.next(json_lines::last_end), parse, map, sink)
            }
            (Format::Npz, _) => {
                let mut arrays = npz::Arrays::new(&self.source, wanted)?;
                let kinds = arrays.kinds();
                let parse = |raw: npz::Raw| npz::parse(&raw, &kinds, wanted);
                in_order(self, 1, || Ok(arrays.next(&self.path, wanted)?), parse, map, sink)
            }
            (Format::Csv, Some(header)) => {
                let mut chunks = delimited::chunks(&self.source, header)?;
                let slots = delimited::slots(header.names.len(), wanted);
                let parse = |chunk: Vec<u8>| delimited::parse(&chunk, header, &slots, wanted);
                in_order(
                    self,
                    1,
                    || chunks.next(|chunk| delimited::last_end(chunk, header.delimiter)),
                    parse,
                    map,
                    sink,
                )
            }
            _ => {
                let mut batches = parquet::Batches::new(&self.source, wanted)?;
                let places = batches.places();
                let parse = |batch| parquet::parse(&self.path, &batch, &places, wanted);
                in_order(self, parquet::TOGETHER, || Ok(batches.next(&self.path)?), parse, map, sink)
            }
        }
    }

    /// All rows at once, of a table small enough to be held: every cell as a name (see [`Kind::Name`]). Errors: those of
    /// [`read`](Self::read), but that there may be no rows.
    pub fn records(&self) -> Result<Records, TableError> {
        let wanted = |(column, name): (usize, &String)| Wanted {
            column,
            name: name.clone(),
            kind: Kind::Name,
            expected: "text",
        };
        let wanted: Vec<Wanted> = self.names.iter().enumerate().map(wanted).collect();
        let mut records = Records { width: wanted.len(), cells: Texts::default() };
        let read = self.read(&wanted, Ok, |block, _| {
            for row in 0..block.rows {
                (0..wanted.len()).for_each(|slot| records.cells.push(block.text(Some(slot), row)));
            }
            Ok(true)
        });
        match read {
            Ok(()) | Err(TableError::Empty { .. }) => Ok(records),
            Err(error) => Err(error),
        }
    }
}

/// The cells of a small table, row by row.
#[derive(Clone, Debug)]
pub struct Records {
    width: usize,
    cells: Texts,
}

impl Records {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.cells.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A cell; empty where there is nothing. Panics where there is no such row or column, like indexing a slice.
    pub fn get(&self, row: usize, column: usize) -> &str {
        assert!(column < self.width);
        self.cells.get(row * self.width + column)
    }
}

/// Pieces to blocks to parts, several at a time, and each part to the sink in its order. Each thread reads the pieces
/// that it makes parts of itself, so that their memory is its own, a lot of `together` pieces at a time; while some
/// become parts, the parts before them are taken.
fn in_order<P: Send, T: Send, E: From<TableError> + Send>(
    table: &Table,
    together: usize,
    next: impl FnMut() -> Result<Option<P>, Fault> + Send,
    parse: impl Fn(P) -> Result<Block, Fault> + Sync,
    map: impl Fn(Block) -> Result<T, Fault> + Sync,
    mut sink: impl FnMut(T, u64) -> Result<bool, E> + Send,
) -> Result<(), E> {
    let width = 8 * rayon::current_num_threads(); // so many that no thread waits long for the others
    let source = Mutex::new(Pieces { next, lots: 0, end: None });
    let folded = |piece: P| -> Result<(usize, T), Fault> {
        let block = parse(piece)?;
        Ok((block.rows, map(block)?))
    };
    let folded_lot = |_| -> Lot<T> {
        let (number, pieces) = source.lock().unwrap_or_else(PoisonError::into_inner).lot(together);
        (number, pieces.into_iter().map(folded).collect())
    };
    let mut row = 0;
    let mut take = |lots: Vec<Lot<T>>| -> Result<bool, E> {
        for part in lots.into_iter().flat_map(|(_, parts)| parts) {
            let (rows, part) = part.map_err(|fault| table.error(fault, row))?;
            if !sink(part, row)? {
                return Ok(false);
            }
            row += rows as u64;
        }
        Ok(true)
    };
    let mut lots = Vec::new();
    loop {
        let (taken, mut made) =
            rayon::join(|| take(lots), || (0..width).into_par_iter().map(folded_lot).collect::<Vec<_>>());
        if !taken? {
            return Ok(());
        }
        made.retain(|(_, parts)| !parts.is_empty());
        made.sort_unstable_by_key(|&(number, _)| number);
        if made.is_empty() {
            break;
        }
        lots = made;
    }
    match source.into_inner().unwrap_or_else(PoisonError::into_inner).end {
        Some(Err(fault)) => Err(table.error(fault, row).into()),
        _ if row == 0 => Err(TableError::Empty { path: table.path.clone() }.into()),
        _ => Ok(()),
    }
}

/// The number of a lot, and of each of its pieces the number of rows and what they became.
type Lot<T> = (usize, Vec<Result<(usize, T), Fault>>);

/// What pieces are read from, one after the other.
struct Pieces<F> {
    next: F,
    /// Number of lots so far.
    lots: usize,
    /// How it ended.
    end: Option<Result<(), Fault>>,
}

impl<P, F: FnMut() -> Result<Option<P>, Fault>> Pieces<F> {
    /// The next pieces, at most so many and at the end none, and the number of their lot.
    fn lot(&mut self, together: usize) -> (usize, Vec<P>) {
        let mut pieces = Vec::with_capacity(together);
        while pieces.len() < together && self.end.is_none() {
            match (self.next)() {
                Ok(Some(piece)) => pieces.push(piece),
                Ok(None) => self.end = Some(Ok(())),
                Err(fault) => self.end = Some(Err(fault)),
            }
        }
        self.lots += 1;
        (self.lots, pieces)
    }
}
