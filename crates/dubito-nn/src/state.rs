//! State dicts: named arrays in safetensors files, read with limits and written atomically.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::NnError;

/// The largest weights file that is read, in bytes (a ResNet-18 has 45 MB).
const MAX_FILE: u64 = 4 << 30;
/// The largest safetensors header that is read, in bytes.
const MAX_HEADER: u64 = 16 << 20;

/// A dense array on the host, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Its shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Its values, as many as the shape's product.
    pub values: Vec<f32>,
}

/// Named arrays, in the order of their names.
pub type StateDict = BTreeMap<String, Array>;

/// Reads every floating-point tensor (F32, F16, BF16) of a safetensors file as f32.
///
/// Integer tensors whose name ends in `num_batches_tracked`, which PyTorch's batch norm writes and
/// inference does not use, are left out; any other type is an error, and so is a value that is not
/// finite.
///
/// # Errors
/// [`NnError::Io`] where the file cannot be read, [`NnError::Corrupt`] where it is not a whole
/// safetensors file or is larger than the limits (4 GiB, header 16 MiB).
pub fn read_state(path: &Path) -> Result<StateDict, NnError> {
    let size = std::fs::metadata(path).map_err(|e| NnError::io(path, "read", e))?.len();
    if size > MAX_FILE {
        return Err(NnError::corrupt(path, format!("has {size} bytes, more than the {MAX_FILE} that are read")));
    }
    let bytes = std::fs::read(path).map_err(|e| NnError::io(path, "read", e))?;
    state_from_bytes(path, &bytes)
}

/// One entry of a safetensors file's metadata.
pub(crate) fn read_metadata(path: &Path, key: &str) -> Result<String, NnError> {
    let bytes = std::fs::read(path).map_err(|e| NnError::io(path, "read", e))?;
    SafeTensors::read_metadata(&bytes)
        .ok()
        .and_then(|(_, header)| header.metadata().as_ref()?.get(key).cloned())
        .ok_or_else(|| NnError::corrupt(path, format!("has no metadata `{key}`")))
}

/// [`read_state`] on bytes already in memory; `path` is for the errors.
///
/// # Errors
/// As [`read_state`].
pub fn state_from_bytes(path: &Path, bytes: &[u8]) -> Result<StateDict, NnError> {
    let bad = |reason: String| NnError::corrupt(path, reason);
    let header = bytes
        .get(..8)
        .and_then(|b| b.try_into().ok())
        .map(u64::from_le_bytes)
        .ok_or_else(|| bad("is too short to be a safetensors file".into()))?;
    if header > MAX_HEADER || header + 8 > bytes.len() as u64 {
        return Err(bad(format!("is not a safetensors file, or was cut short: its header says {header} bytes")));
    }
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| bad(format!("is not a whole safetensors file ({e}): restore or make it again")))?;
    let mut state = StateDict::new();
    for (name, view) in file.iter() {
        let data = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::F16 => data.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Dtype::BF16 => data.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            _ if name.ends_with("num_batches_tracked") => continue,
            other => {
                return Err(bad(format!("tensor `{name}` is of type {other:?}; expected F32, F16 or BF16")));
            }
        };
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(bad(format!("tensor `{name}` holds {} at index {i}: the weights are broken", values[i])));
        }
        state.insert(name.to_owned(), Array { shape: view.shape().to_vec(), values });
    }
    Ok(state)
}

/// Writes a state dict as F32 safetensors with the metadata `format: pt`, atomically.
///
/// # Errors
/// [`NnError::Io`] where the file cannot be written, [`NnError::Corrupt`] where an array's values do
/// not fill its shape.
pub fn write_state(path: &Path, state: &StateDict) -> Result<(), NnError> {
    let format = ("format".to_owned(), "pt".to_owned());
    write_state_with(path, state, HashMap::from([format]))
}

/// [`write_state`] with metadata of one's own.
pub(crate) fn write_state_with(
    path: &Path,
    state: &StateDict,
    metadata: HashMap<String, String>,
) -> Result<(), NnError> {
    let bytes: Vec<Vec<u8>> = state.values().map(|a| a.values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = state
        .iter()
        .zip(&bytes)
        .map(|((name, array), bytes)| {
            TensorView::new(Dtype::F32, array.shape.clone(), bytes)
                .map(|view| (name, view))
                .map_err(|e| NnError::corrupt(path, format!("tensor `{name}`: {e}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let file = safetensors::serialize(views, Some(metadata)).map_err(|e| NnError::corrupt(path, e.to_string()))?;
    write_atomic(path, &file)
}

/// Writes a file so that it is there whole or not at all: a temporary file beside it, then a rename.
///
/// # Errors
/// [`NnError::Io`].
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), NnError> {
    let fail = |e| NnError::io(path, "write", e);
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(fail)?;
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
}
