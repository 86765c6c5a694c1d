//! Learning curves in TensorBoard's format: TFRecords of `Event` messages, the scalars of an epoch in each.
//!
//! <https://www.tensorflow.org/tutorials/load_data/tfrecord> and TensorFlow's `event.proto` and `summary.proto`. A record is
//! its length, the masked CRC-32C of the length, the message, and the masked CRC-32C of the message.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use dubito_nn::EpochRecord;

use crate::StudyError;

/// The name of a run's file. TensorBoard asks for `tfevents` in it; one name, so that a resumed training goes on in it.
pub const FILE: &str = "events.out.tfevents.dubito";

/// Brings the file up to an epoch's scalars for each record of the history: those that are there stay, with the time
/// at which they were written, and the others are added with the time `now` (seconds since 1970).
///
/// TensorBoard holds the file open, so it is added to in place: a record that was cut short, or is not of this history, is
/// cut off first, and readers wait for the rest of one that is not whole.
///
/// # Errors
/// A file that can't be written.
pub fn update(path: &Path, history: &[EpochRecord], now: f64) -> Result<(), StudyError> {
    let fail = || StudyError::io(path);
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(fail())?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(fail())?;
    // The first record says the version.
    let (records, whole) = whole_records(&bytes, 1 + history.len());
    file.set_len(whole as u64).map_err(fail())?;
    file.seek(SeekFrom::End(0)).map_err(fail())?;
    let mut added = Vec::new();
    if records == 0 {
        added.extend(record(&version(now)));
    }
    for epoch in &history[records.saturating_sub(1)..] {
        let scalars = [
            ("loss/train", epoch.train_loss as f32),
            ("loss/valid", epoch.valid_loss as f32),
            ("accuracy/valid", epoch.valid_accuracy as f32),
            ("learning_rate", epoch.learning_rate),
        ];
        added.extend(record(&event(now, epoch.epoch as u64, &scalars)));
    }
    file.write_all(&added).map_err(fail())
}

/// How many whole records (`most` at the most) a file begins with, and how many bytes they take.
fn whole_records(bytes: &[u8], most: usize) -> (usize, usize) {
    let (mut count, mut at) = (0, 0);
    while count < most {
        let Some(length) = bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes) else { break };
        let Some(end) = usize::try_from(length).ok().and_then(|n| at.checked_add(16)?.checked_add(n)) else { break };
        let Some(found) = bytes.get(at..end) else { break };
        if record(&found[12..found.len() - 4]) != found {
            break;
        }
        (count, at) = (count + 1, end);
    }
    (count, at)
}

/// A message with its length and checksums.
fn record(message: &[u8]) -> Vec<u8> {
    let masked = |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    let length = (message.len() as u64).to_le_bytes();
    [&length, masked(&length).as_slice(), message, &masked(message)].concat()
}

/// `Event { wall_time, file_version }`.
fn version(wall_time: f64) -> Vec<u8> {
    let mut out = fixed64(1, wall_time);
    out.extend(bytes(3, b"brain.Event:2"));
    out
}

/// `Event { wall_time, step, summary { value { tag, simple_value } ... } }`.
fn event(wall_time: f64, step: u64, scalars: &[(&str, f32)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in scalars {
        let mut one = bytes(1, tag.as_bytes());
        one.push(2 << 3 | 5);
        one.extend(value.to_le_bytes());
        summary.extend(bytes(1, &one));
    }
    let mut out = fixed64(1, wall_time);
    out.push(2 << 3);
    out.extend(varint(step));
    out.extend(bytes(5, &summary));
    out
}

/// A field of eight bytes.
fn fixed64(field: u8, value: f64) -> Vec<u8> {
    let mut out = vec![field << 3 | 1];
    out.extend(value.to_le_bytes());
    out
}

/// A field of a string or a message.
fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    out.extend(varint(content.len() as u64));
    out.extend(content);
    out
}

/// Seven bits at a time, the lowest first.
fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What `tests/golden/events.py` makes by TensorBoard's own classes.
    fn history() -> Vec<EpochRecord> {
        let epoch = |epoch: usize, train_loss, valid_loss| EpochRecord {
            epoch,
            train_loss,
            valid_loss,
            valid_accuracy: 0.5 + epoch as f64 / 1024.0,
            learning_rate: 0.001,
        };
        vec![epoch(1, 0.75, 0.6875), epoch(2, 0.5, 0.625), epoch(300, 0.25, 0.7)]
    }

    #[test]
    fn the_bytes_are_tensorboards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let golden = include_bytes!("../tests/golden/events.tfevents");
        update(&path, &history(), 1.75e9).unwrap();
        let written = std::fs::read(&path).unwrap();
        assert!(written == golden, "{written:02x?}");

        // A resumed training goes on in the same file, and mends one that was cut short or is of other epochs.
        for (epochs, cut) in [(1, 0), (2, 5), (3, 1), (0, 0), (3, 0)] {
            update(&path, &history()[..epochs], 1.75e9).unwrap();
            let whole = std::fs::read(&path).unwrap();
            assert!(golden.starts_with(&whole));
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            update(&path, &history(), 1.75e9).unwrap();
            assert!(std::fs::read(&path).unwrap() == golden, "{epochs} epochs, {cut} bytes cut");
        }
        // What is there keeps its time.
        update(&path, &history(), 2e9).unwrap();
        assert!(std::fs::read(&path).unwrap() == golden);
        std::fs::write(&path, b"this is no file of events, but a long enough line of text").unwrap();
        update(&path, &history(), 1.75e9).unwrap();
        assert!(std::fs::read(&path).unwrap() == golden);
    }
}
