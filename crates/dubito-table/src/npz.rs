//! NPZ, NumPy's archive of arrays (NEP 1): one array of one dimension for each column.
//!
//! Read are numbers of any width, booleans, and text of fixed length (`U` and `S`); never pickled objects.
//! The archive's directory is read by the `zip` crate; the arrays are streamed side by side, some
//! thousands of rows at a time, stored or deflated.

use std::io::{BufReader, Read};
use std::path::Path;

use flate2::CrcReader;
use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use crate::MOST_COLUMNS;
use crate::block::{Block, Fault, Kind, Wanted};
use crate::error::TableError;
use crate::source::{BOMB_BYTES, BOMB_RATIO, Handle, Source};
use crate::spelling::cut;

/// The longest header of an array.
const LONGEST_HEADER: usize = 1 << 16;

/// The most bytes that one element may take.
const LARGEST_ELEMENT: usize = 1 << 16;

/// Bytes read from all arrays at once, and the most rows.
const CHUNK: usize = 4 << 20;
const MOST_ROWS: usize = 32_768;

/// How an element is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Element {
    Bool,
    Signed(usize),
    Unsigned(usize),
    Float(usize),
    /// UTF-32, this many characters, padded with zeros.
    Unicode(usize),
    /// Bytes, this many, padded with zeros.
    Bytes(usize),
}

impl Element {
    fn size(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Signed(size) | Self::Unsigned(size) | Self::Float(size) | Self::Bytes(size) => size,
            Self::Unicode(characters) => 4 * characters,
        }
    }
}

/// One array of the archive, open behind its header.
struct Open {
    reader: CrcReader<Box<dyn Read + Send>>,
    /// The checksum of the whole array, as the archive has it.
    checksum: u32,
    element: Element,
    big_endian: bool,
    rows: u64,
}

fn corrupt(path: &Path, problem: impl std::fmt::Display) -> TableError {
    TableError::Npz { path: path.into(), problem: problem.to_string() }
}

fn archive(source: &Source) -> Result<ZipArchive<BufReader<Handle>>, TableError> {
    let path = &source.path;
    let archive = ZipArchive::new(BufReader::new(source.handle()?)).map_err(|e| corrupt(path, e))?;
    if archive.len() > MOST_COLUMNS {
        return Err(corrupt(path, format!("holds {} arrays, expected at most {MOST_COLUMNS}", archive.len())));
    }
    Ok(archive)
}

/// The names of the arrays.
pub(crate) fn names(source: &Source) -> Result<Vec<String>, TableError> {
    let path = &source.path;
    let mut archive = archive(source)?;
    let mut names = Vec::with_capacity(archive.len());
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).map_err(|e| corrupt(path, e))?;
        names.push(String::from_utf8_lossy(entry.name_raw()).into_owned());
    }
    // What a document is made of comes in any order.
    let holds = |name: &str| names.iter().any(|n| n == name);
    if holds("[Content_Types].xml") {
        return Err(corrupt(path, "is an Excel workbook (or another document): save the sheet as CSV"));
    }
    if holds("mimetype") {
        return Err(corrupt(path, "is an OpenDocument file: save the sheet as CSV"));
    }
    if let Some(name) = names.iter().find(|name| !name.ends_with(".npy")) {
        let problem = format!("is a ZIP archive that holds {}, which is no array (.npy): unpack it", cut(name));
        return Err(corrupt(path, problem));
    }
    names.iter_mut().for_each(|name| name.truncate(name.len() - ".npy".len()));
    Ok(names)
}

/// A block's rows as they lie in each array.
pub(crate) struct Raw {
    rows: usize,
    arrays: Vec<Vec<u8>>,
}

/// Reads the wanted arrays side by side.
pub(crate) struct Arrays {
    open: Vec<Open>,
    left: u64,
    rows_at_once: usize,
}

impl Arrays {
    /// Open the wanted arrays. Errors: an archive that is corrupt, an array of objects or of several
    /// dimensions, arrays of different lengths.
    pub fn new(source: &Source, wanted: &[Wanted]) -> Result<Self, TableError> {
        let path = &source.path;
        let mut archive = archive(source)?;
        let mut open = Vec::with_capacity(wanted.len());
        let (mut packed_bytes, mut unpacked_bytes) = (0, 0);
        for w in wanted {
            let entry = archive.by_index_raw(w.column).map_err(|e| corrupt(path, e))?;
            let start = entry.data_start().ok_or_else(|| corrupt(path, "an entry has no place in the file"))?;
            let (size, method, checksum) = (entry.compressed_size(), entry.compression(), entry.crc32());
            let mut place = source.handle()?;
            place.at = start;
            let packed = BufReader::with_capacity(1 << 16, place).take(size);
            let reader: Box<dyn Read + Send> = match method {
                CompressionMethod::Stored => Box::new(packed),
                CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(packed)),
                other => {
                    let problem = format!("array {} is packed by {other}, expected stored or deflated", w.name);
                    return Err(corrupt(path, problem));
                }
            };
            let array =
                header(reader, checksum).map_err(|problem| corrupt(path, format!("array {}: {problem}", w.name)))?;
            // What is declared is judged before it is unpacked: deflate makes at most 1032 bytes of one.
            let bytes = u128::from(array.rows) * array.element.size().max(1) as u128;
            if bytes > 1032 * u128::from(size) + 1032 {
                let problem = format!(
                    "array {} is cut off or corrupt: {} rows of {} bytes are declared, more than {size} packed bytes hold",
                    w.name,
                    array.rows,
                    array.element.size()
                );
                return Err(corrupt(path, problem));
            }
            packed_bytes += u128::from(size);
            unpacked_bytes += bytes;
            open.push(array);
        }
        if unpacked_bytes > BOMB_BYTES.into() && unpacked_bytes / packed_bytes.max(1) > BOMB_RATIO.into() {
            let widest =
                wanted.iter().zip(&open).max_by_key(|(_, array)| array.element.size()).map_or("", |(w, _)| &w.name);
            let problem = format!(
                "array {widest} and the others unpack from {packed_bytes} bytes to {unpacked_bytes}, more than \
                 {BOMB_RATIO} times as many: no scores do (numpy.savez writes arrays without packing them)"
            );
            return Err(corrupt(path, problem));
        }
        let rows = open.first().map_or(0, |array| array.rows);
        if let Some((w, array)) = wanted.iter().zip(&open).find(|(_, array)| array.rows != rows) {
            let problem = format!(
                "array {} has {rows} elements, but {} has {}: expected one for each row",
                wanted[0].name, w.name, array.rows
            );
            return Err(corrupt(path, problem));
        }
        let row: usize = open.iter().map(|array| array.element.size()).sum();
        Ok(Self { open, left: rows, rows_at_once: (CHUNK / row.max(1)).clamp(1, MOST_ROWS) })
    }

    pub fn next(&mut self, path: &Path, wanted: &[Wanted]) -> Result<Option<Raw>, TableError> {
        let rows = self.left.min(self.rows_at_once as u64) as usize;
        if rows == 0 {
            self.check_ends(path, wanted)?;
            return Ok(None);
        }
        self.left -= rows as u64;
        let mut arrays = Vec::with_capacity(self.open.len());
        for (array, w) in self.open.iter_mut().zip(wanted) {
            let mut bytes = vec![0; rows * array.element.size()];
            array
                .reader
                .read_exact(&mut bytes)
                .map_err(|e| corrupt(path, format!("array {} is cut off or corrupt: {e}", w.name)))?;
            arrays.push(bytes);
        }
        Ok(Some(Raw { rows, arrays }))
    }

    /// Whether each array ends where its header says, and its bytes are those that were packed.
    fn check_ends(&mut self, path: &Path, wanted: &[Wanted]) -> Result<(), TableError> {
        for (array, w) in self.open.iter_mut().zip(wanted) {
            let problem = match array.reader.read(&mut [0]) {
                Ok(0) if array.reader.crc().sum() == array.checksum => continue,
                Ok(0) => "is corrupt: its checksum is another one".to_string(),
                Ok(_) => "is longer than its header says".to_string(),
                Err(error) => format!("is cut off or corrupt: {error}"),
            };
            return Err(corrupt(path, format!("array {} {problem}", w.name)));
        }
        Ok(())
    }

    /// How to decode each array.
    pub fn kinds(&self) -> Kinds {
        Kinds(self.open.iter().map(|array| (array.element, array.big_endian)).collect())
    }
}

/// How each array's elements are written.
pub(crate) struct Kinds(Vec<(Element, bool)>);

/// The rows of a block.
pub(crate) fn parse(raw: &Raw, kinds: &Kinds, wanted: &[Wanted]) -> Result<Block, Fault> {
    let mut block = Block::new(wanted);
    for (slot, ((bytes, &(element, big_endian)), wanted)) in raw.arrays.iter().zip(&kinds.0).zip(wanted).enumerate() {
        let size = element.size();
        for row in 0..raw.rows {
            block.rows = row;
            let bytes = &bytes[row * size..(row + 1) * size];
            match value(bytes, element, big_endian)
                .map_err(|problem| Fault::cell(row, &wanted.name, problem, "text"))?
            {
                Value::Text(text) => block.put(slot, &text, wanted, false)?,
                Value::Whole(value) if wanted.kind == Kind::Number => block.put_number(slot, value as f64, wanted)?,
                Value::Whole(value) => block.put(slot, &value.to_string(), wanted, false)?,
                Value::Number(value) => block.put_number(slot, value, wanted)?,
            }
        }
    }
    block.rows = raw.rows;
    Ok(block)
}

enum Value {
    Text(String),
    Whole(i128),
    Number(f64),
}

fn value(bytes: &[u8], element: Element, big_endian: bool) -> Result<Value, &'static str> {
    let whole = |bytes: &[u8]| {
        let fold = |sum: u64, &byte: &u8| sum << 8 | u64::from(byte);
        if big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) }
    };
    Ok(match element {
        Element::Bool => Value::Text(if bytes[0] == 0 { "false".into() } else { "true".into() }),
        Element::Unsigned(_) => Value::Whole(whole(bytes).into()),
        Element::Signed(size) => {
            let unused = 64 - 8 * size as u32;
            Value::Whole(((whole(bytes) << unused) as i64 >> unused).into())
        }
        Element::Float(2) => Value::Number(half(whole(bytes) as u16)),
        Element::Float(4) => Value::Number(f32::from_bits(whole(bytes) as u32).into()),
        Element::Float(_) => Value::Number(f64::from_bits(whole(bytes))),
        Element::Bytes(_) => {
            let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1);
            Value::Text(std::str::from_utf8(&bytes[..end]).map_err(|_| "bytes that are not UTF-8")?.to_string())
        }
        Element::Unicode(_) => {
            let mut text = String::new();
            for character in bytes.chunks_exact(4) {
                text.push(char::from_u32(whole(character) as u32).ok_or("a number that is no character")?);
            }
            text.truncate(text.trim_end_matches('\0').len());
            Value::Text(text)
        }
    })
}

/// IEEE 754 half precision to double, exactly.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    }
}

/// Read an array's header.
fn header(reader: Box<dyn Read + Send>, checksum: u32) -> Result<Open, String> {
    let mut reader = CrcReader::new(reader);
    let mut exact = |bytes: &mut [u8]| reader.read_exact(bytes).map_err(|e| format!("is cut off or corrupt: {e}"));
    let mut magic = [0; 8];
    exact(&mut magic)?;
    if &magic[..6] != b"\x93NUMPY" {
        return Err("is no .npy array".into());
    }
    let mut length = [0; 4];
    match magic[6] {
        1 => exact(&mut length[..2])?,
        2 | 3 => exact(&mut length)?,
        version => return Err(format!("is written in version {version} of the format, expected 1 to 3")),
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST_HEADER {
        return Err(format!("has a header of {length} bytes, expected at most {LONGEST_HEADER}"));
    }
    let mut text = vec![0; length];
    exact(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let after = |key: &str| {
        let at = text.find(&format!("'{key}'")).ok_or_else(|| format!("has no '{key}' in its header"))?;
        Ok::<&str, String>(text[at + key.len() + 2..].trim_start_matches([' ', ':']))
    };
    let shape = after("shape")?.strip_prefix('(').and_then(|s| s.split(')').next()).ok_or("has no shape")?;
    let shape: Option<Vec<u64>> =
        shape.split(',').map(str::trim).filter(|s| !s.is_empty()).map(|s| s.parse().ok()).collect();
    let rows = match shape.as_deref() {
        Some([rows]) => *rows,
        Some(shape) => {
            return Err(format!(
                "has {} dimensions, expected 1: save each column under a name of its own",
                shape.len()
            ));
        }
        None => return Err("has a shape of no whole numbers".into()),
    };
    let kind = after("descr")?.strip_prefix('\'').and_then(|s| s.split('\'').next());
    let kind = kind.ok_or("is a record array: save each column under a name of its own")?;
    let unknown =
        || format!("is of type {kind}, expected numbers, booleans or text of fixed length (text: array.astype(str))");
    let (order, kind_of) = match kind.as_bytes() {
        [order @ (b'<' | b'>' | b'|' | b'='), rest @ ..] => (*order, rest),
        rest => (b'|', rest),
    };
    let (&letter, digits) = kind_of.split_first().ok_or_else(unknown)?;
    let size: usize = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).ok_or_else(unknown)?;
    let element = match (letter, size) {
        (b'b', 1) => Element::Bool,
        (b'i', 1 | 2 | 4 | 8) => Element::Signed(size),
        (b'u', 1 | 2 | 4 | 8) => Element::Unsigned(size),
        (b'f', 2 | 4 | 8) => Element::Float(size),
        (b'U', _) if size <= LARGEST_ELEMENT / 4 => Element::Unicode(size),
        (b'S', _) if size <= LARGEST_ELEMENT => Element::Bytes(size),
        _ => return Err(unknown()),
    };
    Ok(Open { reader, checksum, element, big_endian: order == b'>', rows })
}
