//! State dicts with this crate's errors; `dubito-weights` reads and writes them.

use std::collections::BTreeMap;
use std::path::Path;

pub use dubito_weights::{Array, StateDict};
use dubito_weights::{Weights, WeightsError};

use crate::NnError;

impl From<WeightsError> for NnError {
    fn from(error: WeightsError) -> Self {
        match error {
            WeightsError::Io { path, action, source } => Self::Io { path, action, source },
            WeightsError::Corrupt { path, reason, hint } => Self::Corrupt { path, reason, hint },
            WeightsError::Refused { ref path, ref name } => Self::Corrupt {
                path: path.clone(),
                reason: format!("wants to run `{name}`: refused"),
                hint: error.hint(),
            },
        }
    }
}

/// The floating-point tensors of a safetensors file or a PyTorch checkpoint, by its content, as f32, with their names as
/// they stand there; `num_batches_tracked` of batch norms is left out. No code of a checkpoint is run.
///
/// # Errors
/// [`NnError::Io`] where the file cannot be read, [`NnError::Corrupt`] where it is no such file, is not whole, holds
/// values that are not finite or integers, wants to run code, or is larger than the limits of [`Weights::read`].
pub fn read_state(path: &Path) -> Result<StateDict, NnError> {
    Ok(dubito_weights::read_state(path)?)
}

/// [`read_state`] on bytes already in memory; `path` is for the errors.
///
/// # Errors
/// As [`read_state`].
pub fn state_from_bytes(path: &Path, bytes: &[u8]) -> Result<StateDict, NnError> {
    Ok(Weights::from_bytes(path, bytes)?.into_state(path)?)
}

/// One entry of a safetensors file's metadata.
pub(crate) fn read_metadata(path: &Path, key: &str) -> Result<String, NnError> {
    Ok(dubito_weights::read_metadata(path, key)?)
}

/// Writes a state dict as F32 safetensors with the metadata `format: pt`, atomically.
///
/// # Errors
/// [`NnError::Io`] where the file cannot be written, [`NnError::Corrupt`] where an array's values do
/// not fill its shape.
pub fn write_state(path: &Path, state: &StateDict) -> Result<(), NnError> {
    Ok(dubito_weights::write_state(path, state)?)
}

/// [`write_state`] with metadata of one's own.
pub(crate) fn write_state_with(
    path: &Path,
    state: &StateDict,
    metadata: &BTreeMap<String, String>,
) -> Result<(), NnError> {
    Ok(dubito_weights::write_state_with(path, state, metadata)?)
}

/// Writes a file so that it is there whole or not at all: a temporary file beside it, then a rename.
///
/// # Errors
/// [`NnError::Io`].
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), NnError> {
    Ok(dubito_weights::write_atomic(path, bytes)?)
}
