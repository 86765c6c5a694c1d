//! CSV and its kin: cells cut by a comma, tab, semicolon or bar, with a header.
//!
//! A chunk without a quotation mark is cut at delimiters and line ends directly, several chunks at a
//! time; one with quotation marks goes through the `csv` crate.

use std::io::Read;
use std::path::Path;

use super::MOST_COLUMNS;
use super::block::{Block, Fault, Wanted};
use super::file::{self, Compression};
use super::text::{Chunks, as_text};
use crate::ReportError;

/// The delimiters that are looked for.
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// As much as a header may take.
const LONGEST_HEADER: u64 = 1 << 20;

/// What a header says.
pub(crate) struct Header {
    pub delimiter: u8,
    pub names: Vec<String>,
    /// Bytes before the first row.
    pub length: u64,
}

/// Read the header of a file. The delimiter is the one that cuts it into most names.
pub(crate) fn header(path: &Path, compression: Compression) -> Result<Header, ReportError> {
    let failed = |source| ReportError::Read { path: path.into(), source };
    let bad = |problem: String| ReportError::BadRow { path: path.into(), row: 0, problem };
    let mut head = Vec::new();
    file::bytes(path, compression)?.take(LONGEST_HEADER).read_to_end(&mut head).map_err(failed)?;
    let bom = if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let text = &head[bom..];
    let mut best: Option<Header> = None;
    for delimiter in DELIMITERS {
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(text);
        let mut record = csv::ByteRecord::new();
        reader.read_byte_record(&mut record).map_err(|e| bad(e.to_string()))?;
        if best.as_ref().is_some_and(|b| b.names.len() >= record.len()) {
            continue;
        }
        if record.len() > MOST_COLUMNS {
            return Err(bad(format!("has {} columns, expected at most {MOST_COLUMNS}", record.len())));
        }
        let names: Option<Vec<String>> =
            record.iter().map(|name| Some(std::str::from_utf8(name).ok()?.trim().to_string())).collect();
        let names = names.ok_or_else(|| bad("the header is not UTF-8: save the file as UTF-8 text".into()))?;
        best = Some(Header { delimiter, names, length: bom as u64 + reader.position().byte() });
    }
    let header = best.ok_or_else(|| ReportError::Empty { path: path.into() })?;
    if header.length >= LONGEST_HEADER {
        return Err(bad(format!("is longer than {} MiB: expected the names of the columns", LONGEST_HEADER >> 20)));
    }
    Ok(header)
}

/// The chunks of a file's rows.
pub(crate) fn chunks(path: &Path, compression: Compression, header: &Header) -> Result<Chunks, ReportError> {
    let mut reader = file::bytes(path, compression)?;
    std::io::copy(&mut reader.by_ref().take(header.length), &mut std::io::sink())
        .map_err(|source| ReportError::Read { path: path.into(), source })?;
    Ok(Chunks::new(reader))
}

/// The place behind the last line end that is not inside quotation marks.
pub(crate) fn last_end(chunk: &[u8], delimiter: u8) -> Option<usize> {
    if memchr::memchr(b'"', chunk).is_none() {
        return memchr::memrchr(b'\n', chunk).map(|at| at + 1);
    }
    /// Where in a cell a byte is. A quotation mark opens only where the cell begins, and two in a row
    /// inside of one are a mark that is meant.
    enum Place {
        Start,
        Plain,
        Quoted,
        BehindQuote,
    }
    let (mut end, mut place) = (None, Place::Start);
    for (at, &byte) in chunk.iter().enumerate() {
        place = match (place, byte) {
            (Place::Quoted, b'"') => Place::BehindQuote,
            (Place::Quoted, _) | (Place::Start | Place::BehindQuote, b'"') => Place::Quoted,
            (_, b'\n') => {
                end = Some(at + 1);
                Place::Start
            }
            (_, b'\r') => Place::Start,
            (_, byte) if byte == delimiter => Place::Start,
            _ => Place::Plain,
        };
    }
    end
}

/// Which of the wanted columns each column of the file is.
pub(crate) fn slots(columns: usize, wanted: &[Wanted]) -> Vec<Option<usize>> {
    let mut slots = vec![None; columns];
    wanted.iter().enumerate().for_each(|(slot, w)| slots[w.column] = Some(slot));
    slots
}

/// The rows of a chunk.
pub(crate) fn parse(chunk: &[u8], delimiter: u8, slots: &[Option<usize>], wanted: &[Wanted]) -> Result<Block, Fault> {
    let has_lone_cr = || memchr::memchr_iter(b'\r', chunk).any(|at| chunk.get(at + 1) != Some(&b'\n'));
    if memchr::memchr(b'"', chunk).is_some() || has_lone_cr() {
        return parse_quoted(chunk, delimiter, slots, wanted);
    }
    let text = as_text(chunk)?;
    let mut block = Block::new(wanted);
    let (mut start, mut column) = (0, 0);
    let ends = memchr::memchr2_iter(delimiter, b'\n', chunk).chain((!chunk.ends_with(b"\n")).then_some(chunk.len()));
    for end in ends {
        let cell = &text[start..end];
        let ends_row = chunk.get(end) != Some(&delimiter);
        start = end + 1;
        if ends_row && column == 0 && cell.trim_ascii().is_empty() {
            continue; // an empty line
        }
        if let Some(Some(slot)) = slots.get(column) {
            block.put(*slot, cell, &wanted[*slot])?;
        }
        column += 1;
        if ends_row {
            if column != slots.len() {
                return Err(ragged(block.rows, column, slots.len()));
            }
            block.rows += 1;
            column = 0;
        }
    }
    Ok(block)
}

fn parse_quoted(chunk: &[u8], delimiter: u8, slots: &[Option<usize>], wanted: &[Wanted]) -> Result<Block, Fault> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(chunk);
    let mut block = Block::new(wanted);
    let mut record = csv::ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(block),
            Err(error) => return Err(Fault::row(block.rows, error.to_string())),
        }
        if record.len() == 1 && record[0].trim_ascii().is_empty() {
            continue;
        }
        if record.len() != slots.len() {
            return Err(ragged(block.rows, record.len(), slots.len()));
        }
        for (column, (cell, slot)) in record.iter().zip(slots).enumerate() {
            let Some(slot) = *slot else { continue };
            let cell = std::str::from_utf8(cell).map_err(|_| {
                Fault::row(block.rows, format!("cell {} is not UTF-8: save the file as UTF-8 text", column + 1))
            })?;
            block.put(slot, cell, &wanted[slot])?;
        }
        block.rows += 1;
    }
}

fn ragged(row: usize, found: usize, expected: usize) -> Fault {
    Fault::row(row, format!("{found} cells, expected {expected} as in the header"))
}
