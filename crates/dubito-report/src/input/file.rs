//! What a file is, by its first bytes: format and compression; and its bytes, unpacked within limits.

use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::Serialize;

use crate::ReportError;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text with a header, cells cut by a delimiter (comma, tab, semicolon or bar).
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
    /// NumPy's `.npz`: one array for each column.
    Npz,
}

impl Format {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::JsonLines => "JSON Lines",
            Self::Parquet => "Parquet",
            Self::Npz => "NPZ",
        }
    }
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all (Parquet and NPZ may pack inside).
    None,
    /// gzip, one member or several.
    Gzip,
}

/// As much as a packed Parquet or NPZ file may unpack to, since it has to lie on disk to be read.
const MOST_UNPACKED: u64 = 8 << 30;

/// Bytes looked at to tell what a file is.
const HEAD: usize = 4096;

/// Tell format and compression by the content; the name decides nothing but what an error says.
pub(crate) fn sniff(path: &Path) -> Result<(Format, Compression), ReportError> {
    let head = head_of(open(path)?, path)?;
    if head.is_empty() {
        return Err(ReportError::Empty { path: path.into() });
    }
    if !head.starts_with(&[0x1f, 0x8b]) {
        return Ok((format_of(&head, path)?, Compression::None));
    }
    let head = head_of(MultiGzDecoder::new(BufReader::new(open(path)?)), path)?;
    if head.is_empty() {
        return Err(ReportError::Empty { path: path.into() });
    }
    Ok((format_of(&head, path)?, Compression::Gzip))
}

fn open(path: &Path) -> Result<File, ReportError> {
    File::open(path).map_err(|source| ReportError::Read { path: path.into(), source })
}

fn head_of(reader: impl Read, path: &Path) -> Result<Vec<u8>, ReportError> {
    let mut head = Vec::new();
    reader
        .take(HEAD as u64)
        .read_to_end(&mut head)
        .map_err(|source| ReportError::Read { path: path.into(), source })?;
    Ok(head)
}

fn format_of(head: &[u8], path: &Path) -> Result<Format, ReportError> {
    let unknown = |problem: &str| Err(ReportError::UnknownFormat { path: path.into(), problem: problem.into() });
    if head.starts_with(b"PAR1") {
        return Ok(Format::Parquet);
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return Ok(Format::Npz);
    }
    for (magic, problem) in [
        (&b"\x28\xb5\x2f\xfd"[..], "is packed with zstd: unpack it, or pack it with gzip"),
        (b"BZh", "is packed with bzip2: unpack it, or pack it with gzip"),
        (b"\xfd7zXZ", "is packed with xz: unpack it, or pack it with gzip"),
        (b"\x1f\x8b", "is packed with gzip twice: unpack it once"),
        (
            b"\x93NUMPY",
            "is one NumPy array without a name: save the columns with numpy.savez(FILE, label=..., p_fake=...)",
        ),
        (b"ARROW1", "is an Arrow file: write it as Parquet"),
        (b"\x89HDF", "is an HDF5 file: write it as Parquet or CSV"),
        (b"SQLite format 3", "is an SQLite database: export the table as CSV"),
        (b"\x80\x04", "is a Python pickle, which is never opened: write it as Parquet or CSV"),
        (b"\x80\x05", "is a Python pickle, which is never opened: write it as Parquet or CSV"),
        (b"\xff\xfe", "is UTF-16 text: save it as UTF-8"),
        (b"\xfe\xff", "is UTF-16 text: save it as UTF-8"),
    ] {
        if head.starts_with(magic) {
            return unknown(problem);
        }
    }
    let says = |ending: &str| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_lowercase();
        name.trim_end_matches(".gz").ends_with(ending)
    };
    if says(".parquet") {
        return unknown("is no Parquet file (it does not begin with PAR1): if it is text, name it .csv");
    }
    if says(".npz") {
        return unknown("is no NPZ file (it does not begin with PK): save it with numpy.savez");
    }
    if head.contains(&0) {
        return unknown("is neither text nor Parquet nor NPZ: expected CSV, TSV, JSON Lines, Parquet or NPZ");
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Ok(Format::JsonLines),
        Some(b'[') => unknown("is a JSON array: write one object a line, for example with jq -c '.[]'"),
        Some(b'<') => unknown("is HTML or XML: expected CSV, TSV, JSON Lines, Parquet or NPZ"),
        Some(_) => Ok(Format::Csv),
        None => Err(ReportError::Empty { path: path.into() }),
    }
}

/// The bytes of a text file, unpacked as they are read.
pub(crate) fn bytes(path: &Path, compression: Compression) -> Result<Box<dyn Read + Send>, ReportError> {
    let file = open(path)?;
    Ok(match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 18, file))),
    })
}

/// A file that can be read at any place: itself, or unpacked to a temporary file that goes with the
/// last handle.
pub(crate) fn seekable(path: &Path, compression: Compression) -> Result<File, ReportError> {
    if compression == Compression::None {
        return open(path);
    }
    let failed = |source| ReportError::Read { path: path.into(), source };
    let mut unpacked = tempfile::tempfile().map_err(failed)?;
    let mut reader = bytes(path, compression)?.take(MOST_UNPACKED + 1);
    let written = std::io::copy(&mut reader, &mut unpacked).map_err(failed)?;
    if written > MOST_UNPACKED {
        let problem = format!("unpacks to more than {} GiB: unpack it first", MOST_UNPACKED >> 30);
        return Err(ReportError::UnknownFormat { path: path.into(), problem });
    }
    unpacked.flush().and_then(|()| unpacked.rewind()).map_err(failed)?;
    Ok(unpacked)
}
