//! Text cut into chunks of whole records, each of which can be parsed on its own.

use std::io::Read;

use crate::block::Fault;

/// Bytes of a chunk.
const CHUNK: usize = 1 << 20;

/// The longest record. What is longer is no table.
const LONGEST_RECORD: usize = 1 << 20;

/// Cuts a stream of text into chunks that end where a record ends.
pub(crate) struct Chunks {
    reader: Box<dyn Read + Send>,
    rest: Vec<u8>,
    at_end: bool,
}

impl Chunks {
    pub fn new(reader: Box<dyn Read + Send>) -> Self {
        Self { reader, rest: Vec::new(), at_end: false }
    }

    /// The next chunk; `None` at the end. `last_end` gives the place behind the last whole record of a
    /// text that begins with a record. Errors: the system's, or a record that is too long.
    pub fn next(&mut self, last_end: impl Fn(&[u8]) -> Option<usize>) -> Result<Option<Vec<u8>>, Fault> {
        let mut chunk = std::mem::take(&mut self.rest);
        let mut wanted = CHUNK;
        loop {
            if !self.at_end && chunk.len() < wanted {
                let missing = wanted - chunk.len();
                let found = self.reader.by_ref().take(missing as u64).read_to_end(&mut chunk)?;
                self.at_end = found < missing;
            }
            if chunk.is_empty() {
                return Ok(None);
            }
            if self.at_end {
                return Ok(Some(chunk));
            }
            match last_end(&chunk) {
                Some(end) => {
                    self.rest = chunk.split_off(end);
                    return Ok(Some(chunk));
                }
                None if chunk.len() > LONGEST_RECORD => {
                    let problem = format!(
                        "is longer than {} MiB: expected one record a line (is a quote left open?)",
                        LONGEST_RECORD >> 20
                    );
                    return Err(Fault::row(0, problem));
                }
                None => wanted += CHUNK,
            }
        }
    }
}

/// In words, of bytes of which the first is no text.
pub(crate) fn not_utf8(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().take(2).map(|byte| format!("{byte:02X}")).collect();
    format!("is not UTF-8 (bytes {}; Windows-1252 or Latin-1?): save the file as UTF-8 text", bytes.join(" "))
}

/// A chunk as text. `records` counts the whole records of a text, for the error's row.
pub(crate) fn as_text(chunk: &[u8], records: impl Fn(&str) -> usize) -> Result<&str, Fault> {
    let (place, problem) = match (std::str::from_utf8(chunk), memchr::memchr(0, chunk)) {
        (Ok(text), None) => return Ok(text),
        (Err(error), zero) if zero.is_none_or(|zero| zero > error.valid_up_to()) => {
            let at = error.valid_up_to();
            (at, not_utf8(&chunk[at..]))
        }
        (_, zero) => {
            (zero.unwrap_or(0), "holds a NUL byte, which no text does: copy or write the file again".to_string())
        }
    };
    let before = std::str::from_utf8(&chunk[..place]).unwrap_or_default();
    Err(Fault::row(records(before), problem))
}
