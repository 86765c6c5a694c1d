//! Faces to data: manifests, identities and splits, the clip store, the forge.

pub mod classes;
pub mod clip;
mod error;
pub mod extract;
pub mod finding;
pub mod follow;
pub mod forge;
pub mod identities;
pub mod layouts;
pub mod manifest;
mod mapped;
pub mod shard;
pub mod split;
pub mod stats;
pub mod verify;

use std::io::Write;
use std::path::Path;

pub use error::DataError;

/// Writes a file by way of a temporary one beside it: whoever looks sees all of it or none.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(DataError::io(folder))?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder).map_err(DataError::io(folder))?;
    temporary.write_all(bytes).map_err(DataError::io(path))?;
    temporary.persist(path).map_err(|e| DataError::Io { path: path.to_owned(), source: e.error })?;
    Ok(())
}
