//! What parent and worker say to each other: a length (u32), as many bytes of JSON, a count (u32), as many f32; all little-endian.

use std::io::{self, Read, Write};

use dubito_weights::onnx::{Judged, OnnxError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest JSON, in bytes: the metadata of a file is part of it.
const MOST_JSON: u32 = 16 << 20;
/// Most numbers: a batch of the largest pictures.
const MOST_NUMBERS: u32 = 1 << 28;

/// What the worker is asked: these pictures, in the shape that the file takes, for this output.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Which output, from 0.
    pub output: usize,
    /// Items, channels, height, width.
    pub shape: [usize; 4],
    /// Whether the file wants channels last; the numbers that come with it have them first.
    pub channels_last: bool,
}

/// What the worker says: how much it reads, that it has loaded it, then the shape of each output, with its numbers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// Bytes of the file and of those that hold its weights.
    Reads(u64),
    Loaded(Judged),
    Ran {
        shape: Vec<usize>,
    },
    Failed(OnnxError),
}

/// Writes a message.
pub(super) fn write(output: &mut impl Write, message: &impl Serialize, numbers: &[f32]) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    let length = |count: usize| u32::try_from(count).map_err(io::Error::other);
    let mut bytes = Vec::with_capacity(8 + json.len() + 4 * numbers.len());
    bytes.extend(length(json.len())?.to_le_bytes());
    bytes.extend(json);
    bytes.extend(length(numbers.len())?.to_le_bytes());
    numbers.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    output.write_all(&bytes)?;
    output.flush()
}

/// Reads a message; `UnexpectedEof` where the other side has ended.
pub(super) fn read<T: DeserializeOwned>(input: &mut impl Read) -> io::Result<(T, Vec<f32>)> {
    let json = take(input, MOST_JSON, 1)?;
    let numbers = take(input, MOST_NUMBERS, 4)?;
    let numbers = numbers.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let message = serde_json::from_slice(&json).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok((message, numbers))
}

fn take(input: &mut impl Read, most: u32, width: u64) -> io::Result<Vec<u8>> {
    let mut count = [0; 4];
    input.read_exact(&mut count)?;
    let count = u32::from_le_bytes(count);
    if count > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message that is too long"));
    }
    let length = u64::from(count) * width;
    let mut bytes = Vec::new();
    // What is announced takes memory only once it is there.
    if input.by_ref().take(length).read_to_end(&mut bytes)? as u64 == length {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn messages_come_back_as_they_were_sent_and_broken_ones_are_errors() {
        let mut wire = Vec::new();
        let request = Request { output: 1, shape: [1, 3, 2, 2], channels_last: true };
        write(&mut wire, &request, &[0.5, f32::MIN]).unwrap();
        let (back, numbers): (Request, _) = read(&mut wire.as_slice()).unwrap();
        assert_eq!((back.output, back.shape, back.channels_last), (1, [1, 3, 2, 2], true));
        assert_eq!(numbers, [0.5, f32::MIN]);
        for n in 0..wire.len() {
            assert!(read::<Request>(&mut &wire[..n]).is_err(), "{n}");
        }
        assert!(read::<Request>(&mut [0xff; 40].as_slice()).is_err());
        // A message that is whole and is none: whoever sent it is still there.
        let mut other = Vec::new();
        write(&mut other, &"{", &[]).unwrap();
        other[4..7].copy_from_slice(b"{ \"");
        assert_eq!(read::<Request>(&mut other.as_slice()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
