//! Where a table's bytes come from: a file, or something that can be read only once and is copied; what they are, by the
//! first of them; unpacked and as UTF-8, within limits.

use std::collections::HashMap;
use std::fs::{File, FileType, Metadata};
use std::io::{BufReader, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use serde::Serialize;

use crate::encoding::{Encoding, Transcoded};
use crate::error::TableError;
use crate::json_lines::ArrayLines;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text with a header, cells cut by a delimiter (comma, tab, semicolon, bar, or one space).
    Csv,
    /// One JSON object a line, or one array of such objects.
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

/// As much as is copied: of what can be read only once, and of a packed Parquet or NPZ file, which has to lie on disk to
/// be read.
const MOST_COPIED: u64 = 8 << 30;

/// From so many bytes on a file may not unpack to more than [`BOMB_RATIO`] times its size. Tables of scores pack to a
/// third or a tenth; deflate can't do better than 1032.
pub(crate) const BOMB_BYTES: u64 = 256 << 20;
pub(crate) const BOMB_RATIO: u64 = 300;

/// Bytes looked at to tell what a file is.
const HEAD: usize = 4096;

/// Bytes whose nature is known.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub path: PathBuf,
    pub format: Format,
    pub compression: Compression,
    pub encoding: Encoding,
    /// Whether the text is one JSON array.
    pub is_array: bool,
    origin: PathBuf,
    /// The bytes, where they are not those of the file at the path: copied, or unpacked.
    copy: Option<Arc<File>>,
}

impl Source {
    /// Look at what lies at a path; `-` is the standard input. Errors: it can't be read, is of no known format, is empty.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let failed = |source| TableError::Read { path: path.into(), source };
        let (copy, origin) = match once(path).map_err(failed)? {
            Some((file, origin)) => (Some(file), origin),
            None => (None, std::fs::canonicalize(path).map_err(failed)?),
        };
        let mut source = Self {
            path: path.into(),
            format: Format::Csv,
            compression: Compression::None,
            encoding: Encoding::Utf8,
            is_array: false,
            origin,
            copy,
        };
        let mut head = head_of(source.handle()?, path)?;
        if head.starts_with(&[0x1f, 0x8b]) {
            source.compression = Compression::Gzip;
            head = head_of(Gunzip::new(source.handle()?), path)?;
        }
        if head.is_empty() {
            return Err(TableError::Empty { path: path.into() });
        }
        (source.format, source.encoding, source.is_array) = nature(&head, path)?;
        if source.compression == Compression::Gzip && matches!(source.format, Format::Parquet | Format::Npz) {
            source.copy = Some(Arc::new(copied(Gunzip::new(source.handle()?)).map_err(failed)?));
        }
        Ok(source)
    }

    /// What the bytes are read from, by a name that is the same whatever path leads to it.
    pub fn origin(&self) -> &Path {
        &self.origin
    }

    /// The bytes at any place; of Parquet and NPZ, unpacked.
    pub fn handle(&self) -> Result<Handle, TableError> {
        let file = match &self.copy {
            Some(copy) => Arc::clone(copy),
            None => {
                Arc::new(File::open(&self.path).map_err(|source| TableError::Read { path: self.path.clone(), source })?)
            }
        };
        Ok(Handle { file, at: 0 })
    }

    /// The bytes of a text as they are read: unpacked, as UTF-8 without a byte order mark, an array as lines.
    pub fn text(&self) -> Result<Box<dyn Read + Send>, TableError> {
        let handle = self.handle()?;
        let bytes: Box<dyn Read + Send> = match self.compression {
            Compression::None => Box::new(handle),
            Compression::Gzip => Box::new(Gunzip::new(handle)),
        };
        let text = Transcoded::new(bytes, self.encoding);
        Ok(if self.is_array { Box::new(ArrayLines::new(text)) } else { Box::new(text) })
    }
}

/// What lies at a path, where it is not a plain file: its bytes, copied, and a name for it; `None` for a plain file.
/// A copy is kept while the program runs, as what was read once is not there again.
fn once(path: &Path) -> std::io::Result<Option<(Arc<File>, PathBuf)>> {
    static COPIES: Mutex<Option<HashMap<PathBuf, Arc<File>>>> = Mutex::new(None);
    let invalid = |problem: &str| std::io::Error::new(std::io::ErrorKind::InvalidInput, problem);
    let is_input = path == Path::new("-");
    let metadata = if is_input { None } else { Some(std::fs::metadata(path)?) };
    if let Some(metadata) = &metadata {
        if metadata.is_file() {
            return Ok(None);
        }
        if metadata.is_dir() {
            return Err(std::io::Error::new(std::io::ErrorKind::IsADirectory, "is a folder, expected a file"));
        }
        if is_socket(metadata.file_type()) {
            return Err(invalid("is a socket, expected a file or a pipe"));
        }
    }
    // What was copied is not opened again: a named pipe would wait for another writer.
    let known = |metadata: &Metadata| {
        let copies = COPIES.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = stream_name(path, metadata);
        copies.as_ref().and_then(|copies| copies.get(&origin)).map(|copy| (Arc::clone(copy), origin.clone()))
    };
    if let Some(copy) = metadata.as_ref().and_then(known) {
        return Ok(Some(copy));
    }
    let file = if is_input { standard_input()? } else { File::open(path)? };
    let metadata = file.metadata()?;
    if file.is_terminal() {
        return Err(invalid("is a terminal: give a file, or a pipe that brings one"));
    }
    if is_device(metadata.file_type()) {
        return Err(invalid("is a device, expected a file or a pipe"));
    }
    if let Some(copy) = known(&metadata) {
        return Ok(Some(copy));
    }
    // Standard input may be a plain file, whose bytes stay there.
    let copy = Arc::new(if metadata.is_file() { file } else { copied(file)? });
    let origin = stream_name(path, &metadata);
    let mut copies = COPIES.lock().unwrap_or_else(PoisonError::into_inner);
    copies.get_or_insert_default().insert(origin.clone(), Arc::clone(&copy));
    Ok(Some((copy, origin)))
}

/// Whether the bytes at a path are no plain file's, so that they can be read only once: those of a pipe.
pub fn is_stream(path: &Path) -> bool {
    path == Path::new("-") || std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

#[cfg(unix)]
fn standard_input() -> std::io::Result<File> {
    use std::os::fd::AsFd;
    Ok(std::io::stdin().as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn standard_input() -> std::io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(std::io::stdin().as_handle().try_clone_to_owned()?.into())
}

#[cfg(unix)]
fn is_socket(kind: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&kind)
}

#[cfg(not(unix))]
fn is_socket(_: FileType) -> bool {
    false
}

#[cfg(unix)]
fn is_device(kind: FileType) -> bool {
    use std::os::unix::fs::FileTypeExt;
    kind.is_char_device() || kind.is_block_device()
}

#[cfg(not(unix))]
fn is_device(_: FileType) -> bool {
    false
}

/// A name that a stream has whatever path leads to it.
#[cfg(unix)]
fn stream_name(_: &Path, metadata: &Metadata) -> PathBuf {
    use std::os::unix::fs::MetadataExt;
    format!("stream {}:{}", metadata.dev(), metadata.ino()).into()
}

#[cfg(not(unix))]
fn stream_name(path: &Path, _: &Metadata) -> PathBuf {
    path.into()
}

/// All of a stream in a file that has no name, and is gone with its last handle.
fn copied(reader: impl Read) -> std::io::Result<File> {
    let mut copy = tempfile::tempfile()?;
    let written = std::io::copy(&mut reader.take(MOST_COPIED + 1), &mut copy)?;
    if written > MOST_COPIED {
        let problem = format!("more than {} GiB, unpacked or from a pipe: write it to a file first", MOST_COPIED >> 30);
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, problem));
    }
    copy.flush()?;
    Ok(copy)
}

/// A place in a file that others read too, each at a place of its own.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    file: Arc<File>,
    pub at: u64,
}

impl Read for Handle {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        #[cfg(unix)]
        let found = std::os::unix::fs::FileExt::read_at(&*self.file, buffer, self.at)?;
        #[cfg(windows)]
        let found = std::os::windows::fs::FileExt::seek_read(&*self.file, buffer, self.at)?;
        self.at += found as u64;
        Ok(found)
    }
}

impl Seek for Handle {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidInput, "a place before the file"))?;
        Ok(self.at)
    }
}

impl Length for Handle {
    fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }
}

impl ChunkReader for Handle {
    type T = BufReader<Self>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::new(Self { at: start, ..self.clone() }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        // What the file does not hold is not made room for.
        if start.checked_add(length as u64).is_none_or(|end| end > self.len()) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are not there: the file is cut off")));
        }
        let mut bytes = vec![0; length];
        Self { at: start, ..self.clone() }.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// gzip unpacked, as long as it is no bomb.
struct Gunzip {
    decoder: MultiGzDecoder<BufReader<Handle>>,
    unpacked: u64,
}

impl Gunzip {
    fn new(handle: Handle) -> Self {
        Self { decoder: MultiGzDecoder::new(BufReader::with_capacity(1 << 18, handle)), unpacked: 0 }
    }
}

impl Read for Gunzip {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let invalid = |problem: String| std::io::Error::new(std::io::ErrorKind::InvalidData, problem);
        let found = self.decoder.read(buffer).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                invalid("gzip: the stream ends too early: the file is cut off, or has something behind its end".into())
            }
            _ if error.to_string() == "invalid gzip header" => {
                invalid("gzip: there are other bytes behind the end of the stream".into())
            }
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => {
                invalid(format!("gzip: the stream is damaged ({error})"))
            }
            _ => error,
        })?;
        self.unpacked += found as u64;
        let packed = self.decoder.get_ref().get_ref().at;
        if self.unpacked > BOMB_BYTES && self.unpacked / packed.max(1) > BOMB_RATIO {
            return Err(invalid(format!(
                "gzip: {packed} bytes unpack to more than {BOMB_RATIO} times as many: no table does (unpack it first, if \
                 it is one)"
            )));
        }
        Ok(found)
    }
}

fn head_of(reader: impl Read, path: &Path) -> Result<Vec<u8>, TableError> {
    let mut head = Vec::new();
    let read = reader.take(HEAD as u64).read_to_end(&mut head);
    read.map_err(|source| TableError::Read { path: path.into(), source })?;
    Ok(head)
}

/// What files are not read, and what to do about it.
const OTHERS: [(&[u8], &str); 25] = [
    (b"\x28\xb5\x2f\xfd", "is packed with zstd: unpack it, or pack it with gzip"),
    (b"BZh", "is packed with bzip2: unpack it, or pack it with gzip"),
    (b"\xfd7zXZ", "is packed with xz: unpack it, or pack it with gzip"),
    (b"\x04\x22\x4d\x18", "is packed with LZ4: unpack it, or pack it with gzip"),
    (b"7z\xbc\xaf", "is a 7z archive: unpack it"),
    (b"Rar!", "is a RAR archive: unpack it"),
    (b"\x1f\x8b", "is packed with gzip twice: unpack it once"),
    (b"\x93NUMPY", "is one NumPy array without a name: save the columns with numpy.savez(FILE, label=..., p_fake=...)"),
    (b"ARROW1", "is an Arrow or Feather file: write it as Parquet"),
    (b"FEA1", "is a Feather file: write it as Parquet"),
    (b"Obj\x01", "is an Avro file: write it as Parquet"),
    (b"\x89HDF", "is an HDF5 file: write it as Parquet or CSV"),
    (b"MATLAB 5.0", "is a MATLAB file: write it as CSV (writetable)"),
    (b"SQLite format 3", "is an SQLite database: export the table as CSV"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Excel workbook (.xls): save the sheet as CSV"),
    (b"RDX2\n", "is R's own format: write it with write.csv"),
    (b"RDX3\n", "is R's own format: write it with write.csv"),
    (b"X\n\0\0\0", "is R's own format (.rds): write it with write.csv"),
    (b"$FL2", "is an SPSS file: export it as CSV"),
    (b"<stata_dta>", "is a Stata file: export it as CSV"),
    (b"\x80\x02", "is a Python pickle, which is never opened: write it as Parquet or CSV"),
    (b"\x80\x03", "is a Python pickle, which is never opened: write it as Parquet or CSV"),
    (b"\x80\x04", "is a Python pickle, which is never opened: write it as Parquet or CSV"),
    (b"\x80\x05", "is a Python pickle, which is never opened: write it as Parquet or CSV"),
    (b"%PDF", "is a PDF: expected CSV, TSV, JSON Lines, Parquet or NPZ"),
];

/// Format, encoding, and whether a text is one JSON array: by the first bytes. The name decides nothing but what an error
/// says.
fn nature(head: &[u8], path: &Path) -> Result<(Format, Encoding, bool), TableError> {
    let unknown = |problem: &str| Err(TableError::UnknownFormat { path: path.into(), problem: problem.into() });
    if head.starts_with(b"PAR1") {
        return Ok((Format::Parquet, Encoding::Utf8, false));
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        return Ok((Format::Npz, Encoding::Utf8, false));
    }
    if let Some((_, problem)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return unknown(problem);
    }
    if head.get(257..262) == Some(b"ustar") {
        return unknown("is a tar archive: unpack it");
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
    let encoding = Encoding::of(head);
    let mut text = Vec::new();
    // What is wrong further on, the rows will say: half a character at the end of the head, for one.
    let _ = Transcoded::new(head, encoding).read_to_end(&mut text);
    if encoding == Encoding::Utf8 && text.contains(&0) {
        return unknown(&match Encoding::by_zeros(head) {
            Some(name) => format!("looks like {name} text without a byte order mark: save it as UTF-8"),
            None if is_text(head) => {
                let at = head.iter().position(|&b| b == 0).unwrap_or(0);
                let line = head[..at].iter().filter(|&&b| b == b'\n').count() + 1;
                format!("holds a NUL byte in line {line}, which no text does: copy or write the file again")
            }
            None => "is neither text nor Parquet nor NPZ: expected CSV, TSV, JSON Lines, Parquet or NPZ".into(),
        });
    }
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Ok((Format::JsonLines, encoding, false)),
        Some(b'[') => Ok((Format::JsonLines, encoding, true)),
        Some(b'<') => unknown("is HTML or XML: expected CSV, TSV, JSON Lines, Parquet or NPZ"),
        Some(_) => Ok((Format::Csv, encoding, false)),
        None => Err(TableError::Empty { path: path.into() }),
    }
}

/// Whether bytes are text but for some of them.
fn is_text(bytes: &[u8]) -> bool {
    let odd = bytes.iter().filter(|&&b| b < 0x20 && !b.is_ascii_whitespace()).count();
    odd * 20 < bytes.len()
}
