//! Text cut into chunks of whole records, each of which can be parsed on its own.

use std::io::Read;

use super::block::Fault;

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

/// A chunk as text. The error names the row, counted in lines that are not empty.
pub(crate) fn as_text(chunk: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(chunk).map_err(|error| {
        let before = &chunk[..error.valid_up_to()];
        let lines = before.split(|&b| b == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        let begun = before.rsplit(|&b| b == b'\n').next().is_some_and(|line| !line.trim_ascii().is_empty());
        Fault::row(lines - usize::from(begun), "is not UTF-8: save the file as UTF-8 text")
    })
}
