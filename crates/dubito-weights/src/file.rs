//! Files of weights: which format the bytes are, safetensors in both directions, atomic writes.

use std::collections::BTreeMap;
use std::fs::TryLockError;
use std::io::Write;
use std::path::Path;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::array::{Array, Element, StateDict, Tensor};
use crate::{WeightsError, torch};

/// The largest weights file that is read, in bytes (an Xception has 83 MB).
const MAX_FILE: u64 = 4 << 30;
/// The largest safetensors header that is read, in bytes.
const MAX_HEADER: u64 = 16 << 20;

/// The largest number in size that is read: what no product of two of them can hold is none of a network.
const MAX_VALUE: f32 = 1e18;

/// What a file of weights is, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// safetensors.
    Safetensors,
    /// What `torch.save` writes since PyTorch 1.6: a zip archive with a pickle.
    TorchZip,
    /// What `torch.save` wrote before: pickles, then the storages.
    TorchLegacy,
}

impl Format {
    /// The name in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::TorchZip => "PyTorch checkpoint (zip)",
            Self::TorchLegacy => "PyTorch checkpoint (legacy)",
        }
    }
}

/// The tensors of a file, with their names as they stand there.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// What the file is.
    pub format: Format,
    /// Its tensors.
    pub tensors: BTreeMap<String, Tensor>,
    /// What was taken out of the file and what was left, in sentences, e.g. that `optimizer` was not read.
    pub notes: Vec<String>,
}

impl Weights {
    /// Reads a file of any [`Format`]; its content decides which.
    ///
    /// # Errors
    /// [`WeightsError::Io`] where it cannot be read; [`WeightsError::Corrupt`] where it is none of the formats, is not
    /// whole, or is larger than the limits (4 GiB; a header of 16 MiB or a pickle of 64 MiB);
    /// [`WeightsError::Refused`] where it wants to run code.
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let size = std::fs::metadata(path).map_err(|e| WeightsError::io(path, "read", e))?.len();
        if size > MAX_FILE {
            let reason = format!("has {size} bytes, more than the {MAX_FILE} that are read");
            return Err(WeightsError::corrupt(path, reason));
        }
        let bytes = std::fs::read(path).map_err(|e| WeightsError::io(path, "read", e))?;
        Self::from_bytes(path, &bytes)
    }

    /// [`Weights::read`] of bytes already in memory; `path` is for the errors.
    ///
    /// # Errors
    /// As [`Weights::read`].
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, WeightsError> {
        if bytes.starts_with(b"PK\x03\x04") {
            return torch::from_zip(path, bytes);
        }
        if bytes.first() == Some(&0x80) && bytes.get(8) != Some(&b'{') {
            return torch::from_legacy(path, bytes);
        }
        let resave = "save its weights again: torch.save(model.state_dict(), FILE)";
        if bytes.get(257..262) == Some(b"ustar") {
            let reason = "is a tar archive, as PyTorch wrote before 0.1.10, or another one; those are not read";
            return Err(WeightsError::corrupt_hint(path, reason, resave));
        }
        if bytes.starts_with(b"\x89HDF") {
            let reason = "is an HDF5 file (Keras); expected safetensors or a PyTorch checkpoint";
            return Err(WeightsError::corrupt_hint(path, reason, "convert the model to ONNX with tf2onnx"));
        }
        if bytes.first() == Some(&0x08) && bytes.get(8).is_some_and(|b| *b != b'{') {
            let reason = "looks like an ONNX model; expected safetensors or a PyTorch checkpoint";
            let hint = "an ONNX detector is used as it is: `dubito detect --detector onnx:FILE`";
            return Err(WeightsError::corrupt_hint(path, reason, hint));
        }
        safetensors_from_bytes(path, bytes)
    }

    /// The weights as f32. Integer tensors whose name ends in `num_batches_tracked` (which PyTorch's batch norm writes
    /// and inference does not use) are left out.
    ///
    /// # Errors
    /// [`WeightsError::Corrupt`] that names a tensor of integers or one with a value that is not finite or beyond 1e18 in size.
    pub fn into_state(self, path: &Path) -> Result<StateDict, WeightsError> {
        let mut state = StateDict::new();
        for (name, Tensor { element, array }) in self.tensors {
            if !element.is_float() {
                if name.ends_with("num_batches_tracked") {
                    continue;
                }
                let found = element.name();
                let reason = format!("tensor `{name}` is of type {found}; expected F32, F64, F16 or BF16");
                let hint = "save the model's state_dict as floating-point numbers";
                return Err(WeightsError::corrupt_hint(path, reason, hint));
            }
            // NaN is not within it either.
            if let Some(i) = array.values.iter().position(|v| !(-MAX_VALUE..=MAX_VALUE).contains(v)) {
                let value = array.values[i];
                let shown = if value.is_finite() { format!("{value:e}") } else { value.to_string() };
                let reason = format!(
                    "tensor `{name}` holds {shown} at index {i}, expected a number from -1e18 to 1e18: the weights are broken"
                );
                return Err(WeightsError::corrupt_hint(path, reason, "restore the file, or make it again"));
            }
            state.insert(name, array);
        }
        Ok(state)
    }
}

/// The floating-point tensors of a file of any [`Format`], with their names as they stand there.
///
/// # Errors
/// As [`Weights::read`] and [`Weights::into_state`].
pub fn read_state(path: &Path) -> Result<StateDict, WeightsError> {
    Weights::read(path)?.into_state(path)
}

/// [`read_state`] of bytes already in memory; `path` is for the errors.
///
/// # Errors
/// As [`read_state`].
pub fn state_from_bytes(path: &Path, bytes: &[u8]) -> Result<StateDict, WeightsError> {
    Weights::from_bytes(path, bytes)?.into_state(path)
}

/// One entry of a safetensors file's metadata.
///
/// # Errors
/// [`WeightsError::Io`]; [`WeightsError::Corrupt`] where there is no such entry.
pub fn read_metadata(path: &Path, key: &str) -> Result<String, WeightsError> {
    let bytes = std::fs::read(path).map_err(|e| WeightsError::io(path, "read", e))?;
    SafeTensors::read_metadata(&bytes)
        .ok()
        .and_then(|(_, header)| header.metadata().as_ref()?.get(key).cloned())
        .ok_or_else(|| WeightsError::corrupt(path, format!("has no metadata `{key}`")))
}

fn safetensors_from_bytes(path: &Path, bytes: &[u8]) -> Result<Weights, WeightsError> {
    let bad = |reason: String| WeightsError::corrupt(path, reason);
    let header = bytes
        .get(..8)
        .and_then(|b| b.try_into().ok())
        .map(u64::from_le_bytes)
        .ok_or_else(|| bad("is too short to be a safetensors file or a PyTorch checkpoint".into()))?;
    if header > MAX_HEADER || header + 8 > bytes.len() as u64 {
        return Err(WeightsError::corrupt_hint(
            path,
            format!(
                "is no PyTorch checkpoint, and as a safetensors file it was cut short: its header would have {header} bytes"
            ),
            "give a safetensors file or what torch.save wrote (.pt, .pth)",
        ));
    }
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| bad(format!("is not a whole safetensors file ({e}): restore or make it again")))?;
    let mut tensors = BTreeMap::new();
    // By their names, so that of several faults it is always the same one that is said.
    let mut views: Vec<_> = file.iter().collect();
    views.sort_by_key(|(name, _)| *name);
    for (name, view) in views {
        let element = match view.dtype() {
            Dtype::F64 => Element::F64,
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::Bf16,
            Dtype::I64 => Element::I64,
            Dtype::I32 => Element::I32,
            Dtype::I16 => Element::I16,
            Dtype::I8 => Element::I8,
            Dtype::U8 => Element::U8,
            Dtype::BOOL => Element::Bool,
            other => return Err(bad(format!("tensor `{name}` is of type {other:?}, which is not read"))),
        };
        let array = Array { shape: view.shape().to_vec(), values: element.read(view.data()) };
        tensors.insert(name.to_owned(), Tensor { element, array });
    }
    Ok(Weights { format: Format::Safetensors, tensors, notes: Vec::new() })
}

/// Writes a state dict as F32 safetensors with the metadata `format: pt`, atomically.
///
/// # Errors
/// [`WeightsError::Io`] where the file cannot be written, [`WeightsError::Corrupt`] where an array's values do not fill
/// its shape.
pub fn write_state(path: &Path, state: &StateDict) -> Result<(), WeightsError> {
    write_state_with(path, state, &BTreeMap::from([("format".to_owned(), "pt".to_owned())]))
}

/// [`write_state`] with metadata of one's own.
///
/// # Errors
/// As [`write_state`].
pub fn write_state_with(
    path: &Path,
    state: &StateDict,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    let bytes: Vec<Vec<u8>> = state.values().map(|a| a.values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = state
        .iter()
        .zip(&bytes)
        .map(|((name, array), bytes)| {
            TensorView::new(Dtype::F32, array.shape.clone(), bytes)
                .map(|view| (name, view))
                .map_err(|e| WeightsError::corrupt(path, format!("tensor `{name}`: {e}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let file = safetensors::serialize(views, None).map_err(|e| WeightsError::corrupt(path, e.to_string()))?;
    let file =
        with_metadata(&file, metadata).ok_or_else(|| WeightsError::corrupt(path, "its header was not written"))?;
    write_atomic(path, &file)
}

/// A safetensors file without metadata, and metadata in the order of their names. The crate takes a hash map of them and writes it
/// in an order that is another one each time; so the same file is the same bytes.
fn with_metadata(file: &[u8], metadata: &BTreeMap<String, String>) -> Option<Vec<u8>> {
    let length = usize::try_from(u64::from_le_bytes(file.get(..8)?.try_into().ok()?)).ok()?;
    let (header, data) = file.get(8..)?.split_at_checked(length)?;
    let tensors = std::str::from_utf8(header).ok()?.trim().strip_prefix('{')?;
    let comma = if tensors == "}" { "" } else { "," };
    let mut header = format!("{{\"__metadata__\":{}{comma}{tensors}", serde_json::to_string(metadata).ok()?);
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let length = (header.len() as u64).to_le_bytes();
    Some([&length, header.as_bytes(), data].concat())
}

/// Writes a file so that it is there whole or not at all: a temporary file beside it, then a rename.
///
/// # Errors
/// [`WeightsError::Io`].
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), WeightsError> {
    let fail = |e| WeightsError::io(path, "write", e);
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    // The name that `dubito_media::temporary` knows such files by, held by this process: what is left of it after a kill is
    // removed by a run a day later.
    let mut file = loop {
        let file = tempfile::Builder::new().prefix(".dubito-").suffix(".part").tempfile_in(dir).map_err(fail)?;
        // Another process's sweep may have come between: then it is gone, and another one is made.
        let is_held = !matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock));
        if is_held && file.path().exists() {
            break file;
        }
    };
    file.write_all(bytes).map_err(fail)?;
    file.as_file().sync_all().map_err(fail)?;
    file.persist(path).map_err(|e| fail(e.error))?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sample() -> StateDict {
        StateDict::from([
            ("a.weight".to_owned(), Array { shape: vec![2, 3], values: vec![1.0, -2.5, 3.0, 0.0, 1e-7, 6.0] }),
            ("b".to_owned(), Array { shape: vec![], values: vec![4.0] }),
        ])
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        write_state(&path, &sample()).unwrap();
        assert_eq!(read_state(&path).unwrap(), sample());
    }

    /// The crate's own writer with metadata of one entry, which has one order, is what ours is held to.
    #[test]
    fn the_same_file_is_the_same_bytes_whatever_its_metadata() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        for state in [sample(), StateDict::new()] {
            let entries: Vec<(String, String)> =
                (0..20).map(|i| (format!("key {i}"), format!("\"{i}\" é\n"))).collect();
            let written = |entries: &mut dyn Iterator<Item = (String, String)>| {
                write_state_with(&path, &state, &entries.collect()).unwrap();
                std::fs::read(&path).unwrap()
            };
            let bytes = written(&mut entries.iter().cloned());
            assert!(bytes == written(&mut entries.iter().rev().cloned()));
            let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
            assert_eq!(
                header.metadata().clone().unwrap().into_iter().collect::<BTreeMap<_, _>>(),
                entries.iter().cloned().collect()
            );
            assert_eq!(read_state(&path).unwrap(), state);
            assert_eq!(read_metadata(&path, "key 7").unwrap(), "\"7\" é\n");
            // The order is that of the names: these bytes are of another process too.
            let text = String::from_utf8_lossy(&bytes);
            let places: Vec<_> =
                ["key 0", "key 1\"", "key 10", "key 9"].iter().map(|key| text.find(key).unwrap()).collect();
            assert!(places.is_sorted(), "{places:?}");

            let one = [("format".to_owned(), "pt".to_owned())];
            let data: Vec<Vec<u8>> =
                state.values().map(|a| a.values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
            let views = state
                .iter()
                .zip(&data)
                .map(|((name, array), data)| (name, TensorView::new(Dtype::F32, array.shape.clone(), data).unwrap()));
            let theirs = safetensors::serialize(views, Some(one.clone().into_iter().collect())).unwrap();
            assert!(written(&mut one.into_iter()) == theirs);
        }
    }

    #[test]
    fn numbers_that_no_network_has_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        for (value, shown) in [(3e38, "3e38"), (-1e19, "-1e19"), (f32::INFINITY, "inf"), (f32::NAN, "NaN")] {
            let mut state = sample();
            state.get_mut("b").unwrap().values[0] = value;
            write_state(&path, &state).unwrap();
            let error = read_state(&path).unwrap_err();
            let said = error.to_string();
            assert!(said.contains("w.safetensors: tensor `b` holds") && said.contains(shown), "{said}");
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn every_truncation_and_any_flipped_header_byte_is_an_error_or_readable_but_never_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        write_state(&path, &sample()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for n in 0..whole.len() {
            let error = state_from_bytes(&path, &whole[..n]).unwrap_err().to_string();
            assert!(error.contains("w.safetensors"), "{error}");
        }
        for i in 0..whole.len() {
            let mut broken = whole.clone();
            broken[i] ^= 0x55;
            let _ = state_from_bytes(&path, &broken);
        }
        let mut huge = whole;
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(state_from_bytes(&path, &huge).is_err());
    }

    #[test]
    fn a_value_that_is_not_finite_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let mut state = sample();
        state.get_mut("a.weight").unwrap().values[4] = f32::NAN;
        write_state(&path, &state).unwrap();
        let error = read_state(&path).unwrap_err().to_string();
        assert!(error.contains("`a.weight` holds NaN at index 4"), "{error}");
    }

    #[test]
    fn what_is_no_file_of_weights_is_an_error_that_says_what_to_do() {
        let path = Path::new("x.pth");
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let text = b"this is a text file, not a file of weights".to_vec();
        for (bytes, word) in [(tar, "tar archive"), (b"\x89HDF\r\n\x1a\n1234".to_vec(), "HDF5"), (text, "safetensors")]
        {
            let error = Weights::from_bytes(path, &bytes).unwrap_err();
            assert!(error.to_string().contains(word) && error.hint().is_some(), "{error}");
        }
        let error = Weights::read(Path::new("no/such/file.pth")).unwrap_err();
        assert!(error.to_string().contains("no/such/file.pth") && error.hint().is_some(), "{error}");
    }
}
