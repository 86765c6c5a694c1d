//! A block of rows, column by column: what every reader hands on, whatever the format.

use std::ops::Range;
use std::path::Path;

use rayon::iter::ParallelIterator;
use rayon::slice::ParallelSlice;

use crate::error::TableError;
use crate::spelling::{self, EXACT, advice, as_whole, cut, number, tidy, whole};

/// What a column is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, as it is.
    Text,
    /// The name of something: `nan`, `None`, `-` and what else says so is nothing, `5.0` is `5`.
    Name,
    /// A number; nothing where the cell is empty.
    Number,
    /// A whole number, 0 or more.
    Whole,
}

/// One column that is read.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its position in the file.
    pub column: usize,
    /// Its name in the file.
    pub name: String,
    /// What it is read as.
    pub kind: Kind,
    /// What an error says was expected.
    pub expected: &'static str,
}

/// Many short texts, end to end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Texts {
    bytes: String,
    ends: Vec<usize>,
}

impl Texts {
    /// With room for so many texts of some bytes.
    pub fn with_capacity(texts: usize) -> Self {
        const BYTES: usize = 8;
        Self { bytes: String::with_capacity(BYTES * texts), ends: Vec::with_capacity(texts) }
    }

    /// Add a text.
    pub fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len());
    }

    /// Add a number in digits.
    pub fn push_whole(&mut self, value: i64) {
        let (mut digits, mut at, mut rest) = ([0; 20], 20, value.unsigned_abs());
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            self.bytes.push('-');
        }
        digits[at..].iter().for_each(|&digit| self.bytes.push(digit.into()));
        self.ends.push(self.bytes.len());
    }

    /// Add all of another list.
    pub fn append(&mut self, other: &Self) {
        let before = self.bytes.len();
        self.bytes.push_str(&other.bytes);
        self.ends.extend(other.ends.iter().map(|end| before + end));
    }

    /// These of the texts, in this order.
    pub fn gathered(&self, which: &[u32]) -> Self {
        const PART: usize = 1 << 16;
        let part = |which: &[u32]| {
            let mut part = Self::default();
            which.iter().for_each(|&at| part.push(self.get(at as usize)));
            part
        };
        let parts: Vec<Self> = which.par_chunks(PART).map(part).collect();
        let mut all = Self::default();
        all.bytes.reserve_exact(parts.iter().map(|part| part.bytes.len()).sum());
        all.ends.reserve_exact(which.len());
        parts.iter().for_each(|part| all.append(part));
        all
    }

    /// Text `i`; panics where there is none, like indexing a slice.
    #[inline]
    pub fn get(&self, i: usize) -> &str {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.bytes[start..self.ends[i]]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// The texts of a column's rows. Rows that follow each other and say the same share one text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cells {
    texts: Texts,
    /// For each row the index of its text, which never falls.
    rows: Vec<u32>,
}

impl Cells {
    /// With room for so many rows that share so many short texts.
    pub fn with_capacity(rows: usize, texts: usize) -> Self {
        Self { texts: Texts::with_capacity(texts), rows: Vec::with_capacity(rows) }
    }

    /// Add a row.
    pub fn push(&mut self, text: &str) {
        if self.texts.is_empty() || self.texts.get(self.texts.len() - 1) != text {
            self.texts.push(text);
        }
        self.push_again();
    }

    /// Add so many rows whose text is a number in digits.
    pub fn push_whole(&mut self, value: i64, rows: usize) {
        self.texts.push_whole(value);
        self.rows.resize(self.rows.len() + rows, self.texts.len() as u32 - 1);
    }

    /// Add a row that says the same as the one before, of which there must be one.
    pub fn push_again(&mut self) {
        self.rows.push(self.texts.len() as u32 - 1);
    }

    /// The text of a row; panics where there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> &str {
        self.texts.get(self.rows[row] as usize)
    }

    /// The end, at most `end`, of the rows from `start` on that share one text.
    fn repeated(&self, start: usize, end: usize) -> usize {
        const STEP: usize = 16;
        // As indices never fall, all rows before one of the same index have it too.
        if self.rows[end - 1] == self.rows[start] {
            return end;
        }
        let is_same = |row: usize| row < end && self.rows[row] == self.rows[start];
        let mut same = start;
        while is_same(same + STEP) {
            same += STEP;
        }
        same_until(&self.rows, same, end)
    }
}

/// The end, at most `end`, of the values from `start` on that are equal.
fn same_until<T: PartialEq>(values: &[T], start: usize, end: usize) -> usize {
    let others = &values[start + 1..end];
    others.iter().position(|value| *value != values[start]).map_or(end, |more| start + 1 + more)
}

/// The numbers of a column's rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers<T> {
    /// Of an empty cell any number.
    values: Vec<T>,
    /// For each row whether its cell is empty; no entries where no cell is.
    empty: Vec<bool>,
}

impl<T: Copy + Default + PartialEq> Numbers<T> {
    /// Of rows without an empty cell.
    pub fn of(values: Vec<T>) -> Self {
        Self { values, empty: Vec::new() }
    }

    /// Add a row; `None` is an empty cell.
    pub fn push(&mut self, value: Option<T>) {
        if value.is_none() || !self.empty.is_empty() {
            self.empty.resize(self.values.len(), false);
            self.empty.push(value.is_none());
        }
        self.values.push(value.unwrap_or_default());
    }

    /// The number of a row; panics where there is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> Option<T> {
        let value = self.values[row];
        if self.empty.get(row) == Some(&true) { None } else { Some(value) }
    }

    /// Those of some rows, where no cell of the column is empty.
    pub fn all(&self, rows: Range<usize>) -> Option<&[T]> {
        if self.empty.is_empty() { self.values.get(rows) } else { None }
    }

    /// The end, at most `end`, of the rows from `start` on whose cells are the same.
    fn repeated(&self, start: usize, end: usize) -> usize {
        if self.empty.is_empty() {
            return same_until(&self.values, start, end);
        }
        (start + 1..end).find(|&row| self.get(row) != self.get(start)).unwrap_or(end)
    }
}

impl<T: Copy + Default + PartialEq> FromIterator<Option<T>> for Numbers<T> {
    fn from_iter<I: IntoIterator<Item = Option<T>>>(cells: I) -> Self {
        let mut numbers = Self::of(Vec::new());
        cells.into_iter().for_each(|cell| numbers.push(cell));
        numbers
    }
}

/// One column of a block. An empty text is an empty cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// See [`Kind::Text`].
    Text(Cells),
    /// See [`Kind::Number`].
    Number(Numbers<f64>),
    /// See [`Kind::Whole`].
    Whole(Numbers<u64>),
}

/// Some rows of a file: the wanted columns, in the order in which they were asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// How many rows.
    pub rows: usize,
    /// One for each wanted column.
    pub columns: Vec<Column>,
}

impl Block {
    /// Without rows, of these columns.
    pub fn new(wanted: &[Wanted]) -> Self {
        let columns = wanted
            .iter()
            .map(|w| match w.kind {
                Kind::Text | Kind::Name => Column::Text(Cells::default()),
                Kind::Number => Column::Number(Numbers::of(Vec::new())),
                Kind::Whole => Column::Whole(Numbers::of(Vec::new())),
            })
            .collect();
        Self { rows: 0, columns }
    }

    /// Add the text of a cell to a column, read as what the column is.
    #[inline]
    pub(crate) fn put(&mut self, slot: usize, cell: &str, wanted: &Wanted, decimal_comma: bool) -> Result<(), Fault> {
        let cell = tidy(cell);
        let is_read = match &mut self.columns[slot] {
            Column::Text(texts) => {
                texts.push(if wanted.kind == Kind::Name { spelling::name(cell, decimal_comma) } else { cell });
                true
            }
            Column::Number(values) => number(cell, decimal_comma).map(|value| values.push(value)).is_some(),
            Column::Whole(values) => whole(cell, decimal_comma).map(|value| values.push(value)).is_some(),
        };
        if is_read {
            return Ok(());
        }
        let expected = format!("{}{}", wanted.expected, advice(cell, decimal_comma, wanted.kind));
        Err(Fault::cell(self.rows, &wanted.name, format!("\"{}\"", cut(cell)), expected))
    }

    /// Add an empty cell to a column.
    pub(crate) fn put_nothing(&mut self, slot: usize) {
        match &mut self.columns[slot] {
            Column::Text(texts) => texts.push(""),
            Column::Number(values) => values.push(None),
            Column::Whole(values) => values.push(None),
        }
    }

    /// Add a number to a column. A text column gets it in digits, where they are all there.
    pub(crate) fn put_number(&mut self, slot: usize, value: f64, wanted: &Wanted) -> Result<(), Fault> {
        match &mut self.columns[slot] {
            Column::Text(_) if value.fract() == 0.0 && value.abs() > EXACT => {
                let problem = "text: a number of so many digits is rounded (write it in quotation marks)";
                return Err(Fault::cell(self.rows, &wanted.name, value.to_string(), problem));
            }
            Column::Text(texts) => {
                let text = value.to_string();
                texts.push(if wanted.kind == Kind::Name { spelling::name(&text, false) } else { &text });
            }
            Column::Number(values) => values.push(Some(value)),
            Column::Whole(values) => match as_whole(value) {
                Some(whole) => values.push(Some(whole)),
                None if value.is_nan() => values.push(None),
                None => return Err(Fault::cell(self.rows, &wanted.name, value.to_string(), wanted.expected)),
            },
        }
        Ok(())
    }

    /// The text of a cell; empty where there is no such column.
    pub fn text(&self, slot: Option<usize>, row: usize) -> &str {
        match slot.map(|slot| &self.columns[slot]) {
            Some(Column::Text(texts)) => texts.get(row),
            _ => "",
        }
    }

    /// The end of the rows from `start` on whose texts are known to be those of `start`, and whose whole number in this
    /// column is its.
    pub fn repeated(&self, start: usize, whole: Option<usize>) -> usize {
        // The columns in which most changes, the first ones as a rule, leave the others little to compare.
        self.columns.iter().enumerate().fold(self.rows, |least, (slot, column)| match column {
            Column::Text(cells) => cells.repeated(start, least),
            Column::Whole(values) if whole == Some(slot) => values.repeated(start, least),
            _ => least,
        })
    }

    /// The most texts that the rows of a column share: about as many as there are items, where items have names.
    pub fn texts(&self) -> usize {
        let texts = |column: &Column| match column {
            Column::Text(cells) => cells.texts.len(),
            _ => 0,
        };
        self.columns.iter().map(texts).max().unwrap_or(0)
    }

    /// The number of a cell; `None` where it is empty, or the column has none.
    pub fn number(&self, slot: usize, row: usize) -> Option<f64> {
        match &self.columns[slot] {
            Column::Number(values) => values.get(row),
            _ => None,
        }
    }

    /// The whole number of a cell; `None` where it is empty, or there is no such column.
    pub fn whole(&self, slot: Option<usize>, row: usize) -> Option<u64> {
        match slot.map(|slot| &self.columns[slot]) {
            Some(Column::Whole(values)) => values.get(row),
            _ => None,
        }
    }
}

/// What is wrong with a row of a block.
///
/// Made where a block is parsed or folded, whose place in the file is not known there; see [`Fault::into_error`].
#[derive(Debug)]
pub struct Fault {
    /// The row within the block, from 0.
    pub row: usize,
    what: What,
}

#[derive(Debug)]
enum What {
    Cell { column: String, found: String, expected: String },
    Row(String),
    Io(std::io::Error),
    Whole(Box<TableError>),
}

impl Fault {
    /// A cell that is wrong.
    pub fn cell(row: usize, column: &str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        let (column, found, expected) = (column.to_string(), found.into(), expected.into());
        Self { row, what: What::Cell { column, found, expected } }
    }

    /// The same with other words for what was expected.
    pub fn expecting(mut self, words: impl Into<String>) -> Self {
        if let What::Cell { expected, .. } = &mut self.what {
            *expected = words.into();
        }
        self
    }

    /// A row that is wrong.
    pub fn row(row: usize, problem: impl Into<String>) -> Self {
        Self { row, what: What::Row(problem.into()) }
    }

    /// As an error of this file, whose rows before the block are `before`; `line` says in which line a row begins, where
    /// that is known.
    pub(crate) fn into_error(self, path: &Path, before: u64, line: impl Fn(u64) -> Option<u64>) -> TableError {
        let (path, row) = (path.to_path_buf(), before + self.row as u64 + 1);
        match self.what {
            What::Cell { column, found, expected } => {
                let (found, expected) = (found.into(), expected.into());
                TableError::BadCell { path, row, line: line(row), column, found, expected }
            }
            What::Row(problem) => TableError::BadRow { path, row, line: line(row), problem },
            What::Io(source) => TableError::Read { path, source },
            What::Whole(error) => *error,
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self { row: 0, what: What::Io(error) }
    }
}

impl From<TableError> for Fault {
    fn from(error: TableError) -> Self {
        Self { row: 0, what: What::Whole(Box::new(error)) }
    }
}
