//! What the embedded worker says on its standard output: a header, frames, an end.
//!
//! | message | bytes |
//! |---|---|
//! | header | `H`, length (u32), [`Header`] as JSON |
//! | frame | `F`, presentation time in seconds (f64), RGB of the header's width x height |
//! | end | `E`, length (u32), [`End`] as JSON |
//!
//! Numbers are little-endian. A header comes first unless the end does.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::VideoInfo;

/// Longest JSON accepted, in bytes.
const MOST_JSON: u32 = 64 * 1024;

/// What the worker found in the file. Its `size_bytes` is the parent's affair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub info: VideoInfo,
}

/// How the worker ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct End {
    pub failure: Option<Failure>,
}

/// Why the worker could not go on; the parent adds the path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Failure {
    NotMedia(String),
    NoVideo(String),
    NoFrames,
    Unsupported(String),
    Truncated(String),
    Decode(String),
    /// A decoder needs more memory than it is given.
    Memory(String),
    Pixels {
        width: u64,
        height: u64,
    },
}

/// A message without the pixels of a frame, which follow it in the stream.
#[derive(Debug, PartialEq)]
pub(crate) enum Message {
    Header(Header),
    Frame { timestamp: f64 },
    End(End),
}

pub(crate) fn write_header(output: &mut impl Write, header: &Header) -> io::Result<()> {
    write_json(output, b'H', header)
}

pub(crate) fn write_frame(output: &mut impl Write, timestamp: f64, pixels: &[u8]) -> io::Result<()> {
    output.write_all(b"F")?;
    output.write_all(&timestamp.to_le_bytes())?;
    output.write_all(pixels)
}

pub(crate) fn write_end(output: &mut impl Write, failure: Option<Failure>) -> io::Result<()> {
    write_json(output, b'E', &End { failure })?;
    output.flush()
}

fn write_json(output: &mut impl Write, tag: u8, value: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(value)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    output.write_all(&[tag])?;
    output.write_all(&length.to_le_bytes())?;
    output.write_all(&json)
}

/// Reads the next message; after a frame the caller reads its pixels.
pub(crate) fn read_message(input: &mut impl Read) -> io::Result<Message> {
    let mut tag = [0];
    input.read_exact(&mut tag)?;
    match &tag {
        b"H" => Ok(Message::Header(read_json(input)?)),
        b"E" => Ok(Message::End(read_json(input)?)),
        b"F" => {
            let mut bytes = [0; 8];
            input.read_exact(&mut bytes)?;
            let timestamp = f64::from_le_bytes(bytes);
            if timestamp.is_finite() {
                Ok(Message::Frame { timestamp })
            } else {
                Err(invalid("a time that is no number"))
            }
        }
        _ => Err(invalid("an unknown message")),
    }
}

fn read_json<T: DeserializeOwned>(input: &mut impl Read) -> io::Result<T> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    let length = u32::from_le_bytes(bytes);
    if length > MOST_JSON {
        return Err(invalid("a message that is too long"));
    }
    let mut json = vec![0; length as usize];
    input.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the embedded decoder sent {what}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_come_back_as_they_were_sent() {
        let mut wire = Vec::new();
        write_frame(&mut wire, 1.25, &[1, 2, 3]).unwrap();
        write_end(&mut wire, Some(Failure::Truncated("x".to_owned()))).unwrap();
        let mut input = wire.as_slice();
        assert_eq!(read_message(&mut input).unwrap(), Message::Frame { timestamp: 1.25 });
        let mut pixels = [0; 3];
        input.read_exact(&mut pixels).unwrap();
        assert_eq!(pixels, [1, 2, 3]);
        let end = Message::End(End { failure: Some(Failure::Truncated("x".to_owned())) });
        assert_eq!(read_message(&mut input).unwrap(), end);
        assert!(input.is_empty() && read_message(&mut input).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(tag in "[HFEX]", bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let all = [tag.as_bytes(), &bytes].concat();
            let _ = read_message(&mut all.as_slice());
        }
    }
}
